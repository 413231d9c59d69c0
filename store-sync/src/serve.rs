//! The store's server, composed: broker, ledger, outbox, API and console in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::gatekeeper::{Gatekeeper, GatekeeperConfig};
use linefree_bus::identity::{IdentityDir, client_config};
use linefree_bus::payload::Status;
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::url::{BusUrl, Login};
use linefree_domain::layout::StoreLayout;
use linefree_recording::OidcConfig;
use tokio::sync::watch;

pub use crate::data_dir::DataDir;

use crate::clock::wall_us;
use crate::config::Config;
use crate::desk::accounts::First;
use crate::desk::{self, Desk};
use crate::downlink::{AskCommands, Downlink, RunningDownlink};
use crate::fetching::Fetching;
use crate::http;
use crate::intake::{Intake, LEDGER_SOURCE};
use crate::ledger::commands::{Commander, StoreFacts};
use crate::ledger::order_book::OrderBook;
use crate::ledger::payment_book::PaymentBook;
use crate::ledger::staff::Staff;
use crate::ledger::{Ledger, LedgerReader, OwnVoice};
use crate::live::Live;
use crate::oidc::Oidc;
use crate::outbox::http::HttpCloud;
use crate::outbox::nats::{NatsTrunk, TrunkUrl};
use crate::outbox::{Deliver, Outbox, RunningOutbox};
use crate::payments::{PaymentSettings, RunningPayments};
use crate::projecting::{Progress, Projecting, Waker, Written};
use crate::risk::RiskSettings;
use crate::robots::handlings;
use crate::robots::service::{Robots, RobotsConfig};
use crate::rollout::{self, RolloutSettings, RunningRollout};
use crate::signed::SigningKey;
use crate::telling::{self, Telling};

/// How long a stop waits for each part that does not end by itself.
const STOP_AT_MOST: Duration = Duration::from_secs(3);

/// In the data folder: what programs on this machine read the API with, drawn anew at each start.
pub const READER_TOKEN_FILE: &str = "reader-token";

/// How often it is looked which answers to reviews are due.
const DUE_EVERY: Duration = Duration::from_millis(500);

/// Where the bus is.
#[derive(Debug, Clone)]
pub enum Bus {
    /// A broker of somebody else's.
    At(BusUrl),
    /// A broker of somebody else's, over mutual TLS.
    Tls {
        /// Where.
        url: BusUrl,
        /// Folder of keys and certificates.
        tls_dir: PathBuf,
    },
    /// A broker within this process.
    Embedded(SocketAddr),
    /// The same behind a proxy that does TLS: then, and only then, it may listen beyond this machine.
    EmbeddedBehindTls(SocketAddr),
    /// A broker within this process that devices reach over mutual TLS only.
    Guarded {
        /// Where the broker itself listens, behind a login of its own.
        broker: SocketAddr,
        /// Where devices connect.
        listen: SocketAddr,
        /// Folder of keys and certificates.
        tls_dir: PathBuf,
    },
}

/// Where the cloud is.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Takes CloudEvents batches: `https://.../v1/events`, or a NATS trunk, `nats://host,host/chain`.
    pub url: String,
    /// Holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// Folder of the chain's authority and of this store's certificate.
    pub tls_dir: Option<PathBuf>,
}

impl Cloud {
    /// The way up and the way down.
    fn connect(&self, store: &str) -> anyhow::Result<(Box<dyn Deliver>, Box<dyn AskCommands>)> {
        let token_file = || self.token_file.clone();
        if TrunkUrl::is_one(&self.url) {
            if self.tls_dir.is_some() {
                bail!("{}: a trunk is trusted by the public authorities; leave tls_dir out", self.url);
            }
            let trunk = || NatsTrunk::new(&self.url, store, token_file());
            return Ok((Box::new(trunk()?), Box::new(trunk()?)));
        }
        let http = || {
            let http = HttpCloud::new(&self.url, token_file())?;
            match &self.tls_dir {
                Some(dir) => http.with_tls(dir, store),
                None => Ok(http),
            }
        };
        Ok((Box::new(http()?), Box::new(http()?)))
    }
}

/// Who may use the API and the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever signs in, with what their role allows.
    Accounts,
    /// As `Accounts`, behind a proxy that does TLS: then, and only then, other machines may be listened to.
    AccountsBehindTls,
    /// Everybody on this machine, without signing in: for tests and for looking around.
    Open,
}

/// Everything that a server needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The store.
    pub layout: StoreLayout,
    /// Folder of the ledger.
    pub data_dir: PathBuf,
    /// Address of the API and console; port 0 for any free one.
    pub listen: SocketAddr,
    /// The bus.
    pub bus: Bus,
    /// The cloud; `None` = the ledger keeps everything until there is one.
    pub cloud: Option<Cloud>,
    /// The store's Global Location Number, for EPCIS events.
    pub gln: Option<String>,
    /// Who may use it.
    pub access: Access,
    /// How it is paid; `None` = receipts are made, and nobody is charged.
    pub payments: Option<PaymentSettings>,
    /// Who is asked whether somebody may enter.
    pub risk: Option<RiskSettings>,
    /// Where people who work here sign in beside the store's own accounts.
    pub oidc: Option<OidcConfig>,
    /// store.toml, where it can be edited in the console.
    pub config: Option<Arc<Config>>,
    /// How releases reach devices; `None` = devices run by their own store.toml.
    pub rollout: Option<RolloutSettings>,
}

/// The key that receipts are signed with, made at the first start; its public half lies beside it.
fn receipt_key(data_dir: &Path) -> anyhow::Result<SigningKey> {
    let path = DataDir::receipt_key_in(data_dir);
    let key = SigningKey::read_or_generate(&path)?;
    let public = path.with_extension("pub.pem");
    if !public.exists() {
        std::fs::write(&public, key.public().to_pem())
            .with_context(|| format!("cannot write {}", public.display()))?;
    }
    Ok(key)
}

/// Writes answers to reviews when they can no longer be undone, and plans orders as stock changes.
async fn write_answers(context: http::Context, mut stop: watch::Receiver<bool>) {
    let mut due = tokio::time::interval(DUE_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let stopped = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => true,
            _ = due.tick() => false,
        };
        if stopped {
            return;
        }
        context.write_due_answers().await;
        context.plan_orders().await;
    }
}

/// A server that runs.
pub struct Server {
    console: SocketAddr,
    bus: BusUrl,
    stop: watch::Sender<bool>,
    intake: tokio::task::JoinHandle<anyhow::Result<BusClient>>,
    web: tokio::task::JoinHandle<std::io::Result<()>>,
    outbox: Option<Arc<RunningOutbox>>,
    downlink: Option<RunningDownlink>,
    payments: Option<RunningPayments>,
    rollout: Option<RunningRollout>,
    waker: Arc<Waker>,
    projecting: Projecting,
    desk: tokio::task::JoinHandle<()>,
    first: Option<First>,
    _robots: Option<Robots>,
    _data: DataDir,
}

impl Server {
    /// Starts every part; returns when the console can be opened and the broker, if embedded, answers.
    ///
    /// # Errors
    /// When a part cannot start: the message names it and what to do.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let store = settings.layout.id.to_string();
        let data = DataDir::take(&settings.data_dir)?;
        let path = data.ledger();
        let mut ledger = {
            let (path, store) = (path.clone(), store.clone());
            tokio::task::spawn_blocking(move || Ledger::open(&path, &store, wall_us())).await??
        };
        let reader = LedgerReader::open(&path)?;
        let identity =
            http::Identity::new(&store, settings.gln.as_deref(), receipt_key(&settings.data_dir)?)?;
        let listener = tokio::net::TcpListener::bind(settings.listen).await.with_context(|| {
            format!("cannot listen on {}: is another server there? Try --listen 127.0.0.1:0", settings.listen)
        })?;
        let console = listener.local_addr()?;
        if !console.ip().is_loopback() && settings.access != Access::AccountsBehindTls {
            bail!(
                "{console} can be reached from other machines: put a proxy that does TLS before the server and say so \
                 with --behind-tls, or listen on 127.0.0.1"
            );
        }
        let desk = Arc::new(Desk::open(&settings.data_dir)?);
        desk.tell_gates()?;
        let open = settings.access == Access::Open;
        let first = if open { None } else { desk.first_account(wall_us())? };
        let reader_token = desk::hex(&desk::random::<32>()?);
        desk::write_secret(&settings.data_dir.join(READER_TOKEN_FILE), &format!("{reader_token}\n"))?;
        let mut bus_identity = None;
        let bus = match settings.bus {
            Bus::At(url) => url,
            Bus::Tls { url, tls_dir } => {
                bus_identity = Some(client_config(&IdentityDir::new(tls_dir), LEDGER_SOURCE)?);
                url
            }
            Bus::Embedded(listen) => embedded(BrokerConfig::on(listen)).await?.url(),
            Bus::EmbeddedBehindTls(listen) => {
                embedded(BrokerConfig { behind_tls: true, ..BrokerConfig::on(listen) }).await?.url()
            }
            Bus::Guarded { broker, listen, tls_dir } => guarded(broker, listen, tls_dir).await?,
        };
        let live = Arc::new(Live::default());
        let projector = ledger.take_projector().context("the ledger's projections are not open")?;
        let progress = Arc::new(Progress::default());
        let projecting = Projecting::start(projector, Arc::clone(&progress), Arc::clone(&live))?;
        // Whoever writes later holds it weakly: a gateway that keeps payments waiting keeps no thread alive.
        let waker = Arc::new(projecting.waker());
        let (outbox, downlink) = match settings.cloud {
            Some(cloud) => {
                let (to, asked) = cloud.connect(&store)?;
                let outbox = Arc::new(RunningOutbox::start(Outbox::open(&path, to)?)?);
                let commander = Commander::open(&path, StoreFacts::of(&settings.layout))?;
                let answers = Written::new(&progress, &waker, Some(&outbox));
                let downlink =
                    RunningDownlink::start(Downlink::new(commander, asked)?, move || answers.wake())?;
                (Some(outbox), Some(downlink))
            }
            None => (None, None),
        };
        let written = Written::new(&progress, &waker, outbox.as_ref());
        let mut robots = match &settings.layout.robots {
            Some(_) => {
                let watched = Arc::clone(&live);
                let config = RobotsConfig {
                    url: bus.clone(),
                    identity: bus_identity.clone(),
                    eyes: Box::new(move || watched.people()),
                };
                Some(Robots::start(&settings.layout, config)?)
            }
            None => None,
        };
        let status = Status::online(LEDGER_SOURCE, "ledger", env!("CARGO_PKG_VERSION"));
        let mut config = BusConfig::new(bus.clone(), store, status.clone());
        for kind in [
            TopicKind::Event,
            TopicKind::Watermark,
            TopicKind::Shoppers,
            TopicKind::Status,
            TopicKind::InForce,
        ] {
            config = config.subscribe(Subscription::all(kind));
        }
        config.identity = bus_identity;
        let (client, inbox) = BusClient::connect(config)?;
        let (stop, stopped) = watch::channel(false);
        if let Some(running) = &robots {
            tokio::spawn(handlings::tell(running.handlings.clone(), client.clone(), stopped.clone()));
        }
        let devices = client.clone();
        let intake = Intake::new(
            ledger,
            client,
            inbox,
            Arc::clone(&live),
            outbox.clone(),
            (Arc::clone(&progress), Waker::clone(&waker)),
            status,
        )?;
        let rollout = match settings.rollout {
            None => None,
            Some(how) => {
                let facts = StoreFacts::of(&settings.layout);
                let parts = rollout::service::Parts {
                    store: settings.layout.id.to_string(),
                    data_dir: settings.data_dir.clone(),
                    commander: Commander::open(&path, facts)?,
                    voice: OwnVoice::open(&path)?,
                    desk: Arc::clone(&desk),
                    client: devices,
                };
                let told = written.clone();
                Some(RunningRollout::start(how, parts, move |seq| told.tell(seq))?)
            }
        };
        let intake = match &rollout {
            Some(rollout) => intake.with_ear(rollout.ear()),
            None => intake,
        };
        let intake = tokio::spawn(intake.run(stopped.clone()));
        let payments = match settings.payments {
            None => None,
            Some(how) => {
                let own = settings.layout.currency;
                let book = PaymentBook::open(&path, StoreFacts::of(&settings.layout), own)?;
                // A store that is paid from today on does not charge what was bought before.
                let youngest_us = book.reader().youngest_visit_us()?.unwrap_or(i64::MIN);
                let book = book.after(desk.keep_first("payments-after", youngest_us)?);
                let payments = Arc::new(how.open(&settings.data_dir, book)?);
                let told = written.clone();
                Some(RunningPayments::start(payments, move |ledger_seq| told.tell(ledger_seq))?)
            }
        };
        let orders = Arc::new(Mutex::new(OrderBook::open(&path, StoreFacts::of(&settings.layout))?));
        if let Some(running) = &mut robots
            && let Some(updates) = running.updates.take()
        {
            let fetching =
                Fetching::new(Arc::clone(&orders), running.commands.clone(), updates, written.clone());
            tokio::spawn(fetching.run(stopped.clone()));
        }
        let oidc = settings.oidc.map(|config| {
            let here = format!("http://{console}/api/oidc/back");
            let redirect = config.redirect.clone().unwrap_or(here);
            Oidc::new(config, redirect)
        });
        let telling = Telling::new(
            LedgerReader::open(&path)?,
            OwnVoice::open(&path)?,
            http::facings_of(&settings.layout),
        );
        tokio::spawn(telling::run(telling, Arc::clone(&live), written.clone(), stopped.clone()));
        let parts = http::Parts {
            oidc,
            config: settings.config,
            rollout: rollout.as_ref().map(RunningRollout::desk),
            identity,
            layout: &settings.layout,
            listen: console,
            ledger: path.clone(),
            desk,
            staff: Staff::open(&path, StoreFacts::of(&settings.layout))?,
            orders: Arc::clone(&orders),
            robots: robots
                .as_ref()
                .map(|r| http::RobotsDesk { views: r.views.clone(), commands: r.commands.clone() }),
            payments: payments.as_ref().map(RunningPayments::payments),
            gate_policy: settings.risk.map(RiskSettings::policy).transpose()?.map(Arc::new),
            reader_token,
            open,
        };
        let context =
            http::Context::new(reader, parts, live, outbox.clone(), (progress, written), stopped.clone());
        let desk = tokio::spawn(write_answers(context.clone(), stopped.clone()));
        let router = http::router(context).into_make_service_with_connect_info::<SocketAddr>();
        let web = axum::serve(listener, router);
        let mut until = stopped;
        let web = tokio::spawn(
            web.with_graceful_shutdown(async move {
                let _ = until.wait_for(|stop| *stop).await;
            })
            .into_future(),
        );
        Ok(Self {
            console,
            bus,
            stop,
            intake,
            web,
            outbox,
            downlink,
            payments,
            rollout,
            waker,
            projecting,
            desk,
            first,
            _robots: robots,
            _data: data,
        })
    }

    /// Where the API and console are.
    #[must_use]
    pub fn console(&self) -> SocketAddr {
        self.console
    }

    /// The first account with its one-time password, while nobody has used it.
    #[must_use]
    pub fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }

    /// Who moves the shoppers' money, for people; `None` when nobody does.
    #[must_use]
    pub fn paid_by(&self) -> Option<String> {
        self.payments.as_ref().map(|running| running.payments().gateway())
    }

    /// Where devices find the bus.
    #[must_use]
    pub fn bus(&self) -> &BusUrl {
        &self.bus
    }

    /// Returns when a part has died; a server that is well never does.
    pub async fn died(&mut self) -> anyhow::Error {
        tokio::select! {
            end = &mut self.intake => match end {
                Ok(Err(e)) => e.context("the ledger's intake ended"),
                Ok(Ok(_)) => anyhow::anyhow!("the ledger's intake ended: the bus client was closed"),
                Err(e) => anyhow::anyhow!("the ledger's intake died: {e}"),
            },
            end = &mut self.web => anyhow::anyhow!("the HTTP server ended: {end:?}"),
        }
    }

    /// Stops every part in order: what has arrived is written, then the bus and the cloud are left.
    ///
    /// # Errors
    /// When the last events could not be written; their sources keep them.
    pub async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(STOP_AT_MOST, self.desk).await;
        let end = tokio::time::timeout(STOP_AT_MOST * 3, self.intake).await;
        if let (Some(rollout), true) = (self.rollout, end.is_ok()) {
            tokio::task::spawn_blocking(move || rollout.stop()).await?;
        }
        if let Some(payments) = self.payments {
            tokio::task::spawn_blocking(move || payments.stop(STOP_AT_MOST)).await?;
        }
        if let Some(downlink) = self.downlink {
            tokio::task::spawn_blocking(move || downlink.stop(STOP_AT_MOST)).await?;
        }
        if let Some(outbox) = self.outbox {
            // Requests that are under way hold it, too; they end with the web server.
            let _ = tokio::time::timeout(STOP_AT_MOST, self.web).await;
            if let Some(outbox) = Arc::into_inner(outbox) {
                tokio::task::spawn_blocking(move || outbox.stop(STOP_AT_MOST)).await?;
            }
        } else {
            let _ = tokio::time::timeout(STOP_AT_MOST, self.web).await;
        }
        drop(self.waker);
        // An intake that did not end in time still holds a waker: its thread would never be done.
        if end.is_ok() {
            tokio::task::spawn_blocking(move || self.projecting.stop()).await?;
        }
        match end {
            Ok(Ok(Ok(client))) => client.close(STOP_AT_MOST).await,
            Ok(Ok(Err(e))) => return Err(e),
            Ok(Err(e)) => bail!("the ledger's intake died: {e}"),
            Err(_) => {
                bail!("the ledger's intake did not end in time; what it had not written, the sources keep")
            }
        }
        Ok(())
    }
}

async fn embedded(config: BrokerConfig) -> anyhow::Result<EmbeddedBroker> {
    let listen = config.listen;
    EmbeddedBroker::start(config).await.with_context(|| {
        format!(
            "cannot start the embedded broker on {listen}. Try --broker 127.0.0.1:0 for a free port, or --bus \
             mqtt://HOST for a broker that runs already"
        )
    })
}

/// The embedded broker behind a login that nobody else knows, and the gatekeeper in front of it.
async fn guarded(broker: SocketAddr, listen: SocketAddr, tls_dir: PathBuf) -> anyhow::Result<BusUrl> {
    let login = Login { username: "gatekeeper".to_owned(), password: uuid::Uuid::new_v4().to_string() };
    let broker = embedded(BrokerConfig { login: Some(login.clone()), ..BrokerConfig::on(broker) }).await?;
    let config = GatekeeperConfig {
        listen,
        broker: broker.addr(),
        login: Some(login),
        identity: IdentityDir::new(tls_dir),
        source: "bus".to_owned(),
        max_connections: 1_000,
    };
    let gatekeeper = Gatekeeper::start(config).await.context("cannot guard the bus")?;
    tracing::info!(addr = %gatekeeper.addr(), "devices connect over mutual TLS");
    Ok(broker.url())
}
