//! `store-sync`: the store's server, the reference cloud, and the ledger's tools.

mod cli;
mod proofs;
mod tools;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser as _};
use linefree_bus::identity::{Clients, IdentityDir};
use linefree_bus::url::BusUrl;
use linefree_recording::StoreFile;
use store_sync::cloud::listen::{Peer, TlsListener};
use store_sync::cloud::receive::{CloudEvents, Credentials, shared};
use store_sync::cloud::trunk::{self, SharedEvents};
use store_sync::config::Config;
use store_sync::outbox::http::read_token;
use store_sync::outbox::nats::TrunkUrl;
use store_sync::payments::PaymentSettings;
use store_sync::risk::{IfSilent, RiskSettings};
use store_sync::rollout::RolloutSettings;
use store_sync::rollout::plan::Gates;
use store_sync::serve::{Access, Bus, Cloud, DataDir, Server, Settings};

use cli::{Cli, Command, ReceiveArgs, ServeArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("warn,store_sync=info,linefree_bus=info,rumqttd=off")
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    match run(cli.command) {
        Ok(code) => code,
        Err(e) => {
            let _ = writeln!(std::io::stderr().lock(), "store-sync: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Whoever reads us may have gone; that is no reason to fail.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => runtime()?.block_on(serve(*args)),
        Command::Receive(args) => runtime()?.block_on(receive(args)),
        Command::Rebuild(place) => tools::rebuild(&place),
        Command::Check(place) => tools::check(&place),
        Command::Backup(args) => tools::backup(&args),
        Command::Restore(args) => tools::restore(&args),
        Command::Refill(args) => tools::refill(&args),
        Command::DeleteMyData(place) => tools::delete_my_data(&place),
        Command::LetGo(args) => tools::let_go(&args),
        Command::Receipt(command) => proofs::receipt(&command),
        Command::Epcis(args) => proofs::epcis(&args),
        Command::Channel(command) => tools::channel(&command),
        Command::Payments(command) => tools::payments(&command),
        Command::Reorder(args) => tools::reorder(&args),
        Command::Openapi { cloud } => {
            let text = if cloud {
                store_sync::cloud::receive::openapi_json()?
            } else {
                store_sync::http::openapi_json()?
            };
            std::io::stdout().lock().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Provision { command } => {
            use std::io::Write as _;
            std::io::stdout().lock().write_all(store_sync::provision::run(&command)?.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Packaging { folder } => packaging(&folder),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "store-sync", &mut std::io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Manual pages in `man/`, completions beside it.
fn packaging(folder: &Path) -> anyhow::Result<ExitCode> {
    use clap_complete::Shell;
    let man = folder.join("man");
    std::fs::create_dir_all(&man).with_context(|| format!("cannot make {}", man.display()))?;
    clap_mangen::generate_to(Cli::command(), &man).context("cannot write manual pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "store-sync", folder)
            .context("cannot write completions")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

fn read_store(path: &Path) -> anyhow::Result<StoreFile> {
    let file = StoreFile::read(path)?;
    for warning in &file.warnings {
        tracing::warn!("{warning}");
    }
    Ok(file)
}

fn settings(args: &ServeArgs) -> anyhow::Result<Settings> {
    let file = read_store(&args.config)?;
    let data_dir = args.data.clone().unwrap_or_else(|| file.live.server.data_dir.clone());
    let (config, file) = Config::open(&args.config, &data_dir, file)?;
    if let Some((who, _)) = config.saved_by() {
        tracing::info!("store.toml as {who} saved it in the console is in force");
    }
    let config = Arc::new(config);
    let live = file.live;
    let bus = match (&args.bus, live.bus) {
        (Some(url), _) => Bus::At(BusUrl::parse(url)?),
        (None, Some(bus)) => {
            let text = match (&bus.username, bus.url.split_once("://")) {
                (Some(user), Some((scheme, rest))) => format!("{scheme}://{user}@{rest}"),
                _ => bus.url.clone(),
            };
            let url = BusUrl::parse(&text)?;
            let url = match &bus.password_file {
                Some(path) => url.with_password_file(path)?,
                None => url,
            };
            match args.tls_dir.clone().or(bus.tls_dir).filter(|_| url.tls()) {
                Some(tls_dir) => Bus::Tls { url, tls_dir },
                None => Bus::At(url),
            }
        }
        (None, None) => match (args.guard, &args.tls_dir) {
            (Some(listen), Some(tls_dir)) => {
                Bus::Guarded { broker: args.broker, listen, tls_dir: tls_dir.clone() }
            }
            _ if args.broker_behind_tls => Bus::EmbeddedBehindTls(args.broker),
            _ => Bus::Embedded(args.broker),
        },
    };
    let cloud = match (&args.cloud, live.cloud) {
        (Some(url), _) => Some(Cloud {
            url: url.clone(),
            token_file: args.cloud_token_file.clone(),
            tls_dir: args.cloud_tls_dir.clone(),
        }),
        (None, Some(cloud)) => {
            Some(Cloud { url: cloud.url, token_file: cloud.token_file, tls_dir: cloud.tls_dir })
        }
        (None, None) => None,
    };
    Ok(Settings {
        layout: file.layout,
        data_dir,
        listen: args.listen.unwrap_or(live.server.listen),
        bus,
        cloud,
        rollout: Some(RolloutSettings {
            gates: Gates {
                canary_share: args.canary_share,
                hold_us: i64::from(args.hold_s) * 1_000_000,
                // Taking it is a restart and a trial.
                take_us: (i64::from(args.trial_s) + 600) * 1_000_000,
                ..Gates::default()
            },
            trial_s: args.trial_s,
            config: Arc::clone(&config),
        }),
        oidc: live.oidc,
        config: Some(config),
        gln: args.gln.clone(),
        access: match (args.no_login, args.behind_tls) {
            (true, _) => Access::Open,
            (false, true) => Access::AccountsBehindTls,
            (false, false) => Access::Accounts,
        },
        payments: match &args.payments {
            Some(how) => Some(PaymentSettings::parse(how, args.payments_token_file.clone(), args.hold)?),
            None => None,
        },
        risk: args.risk.clone().map(|url| RiskSettings {
            url,
            token_file: args.risk_token_file.clone(),
            if_silent: if args.risk_required { IfSilent::Refuse } else { IfSilent::Enter },
        }),
    })
}

async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(&args)?;
    let (name, data) = (settings.layout.name.clone(), settings.data_dir.clone());
    let cloud = settings.cloud.as_ref().map(|c| c.url.clone());
    let mut server = Server::start(settings).await?;
    let console = format!("http://{}/", server.console());
    say(&format!("{name}: the store's server is running"));
    say(&format!("  console  {console}"));
    say(&format!("  bus      {}", server.bus()));
    say(&format!("  ledger   {}", DataDir::ledger_in(&data).display()));
    let none = "none configured: the ledger keeps everything until there is one";
    say(&format!("  cloud    {}", cloud.as_deref().unwrap_or(none)));
    if let Some(gateway) = server.paid_by() {
        say(&format!("  paid by  {gateway}"));
    }
    if let Some(first) = server.first() {
        say(&format!("  sign in  as {:?} with the one-time password {}", first.name, first.password));
        say(&format!("           {console}#once={}", first.password));
    }
    say("Ctrl-C stops it.");
    if let Some(path) = &args.ready_file {
        let ready = serde_json::json!({
            "console": console, "bus": server.bus().to_string(), "pid": std::process::id(),
        });
        // Written aside and renamed, so that whoever waits for it never reads half of it.
        let aside = path.with_extension("new");
        std::fs::write(&aside, ready.to_string())
            .and_then(|()| std::fs::rename(&aside, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    tokio::select! {
        end = stop_signal() => end?,
        e = server.died() => return Err(e),
    }
    say("stopping ...");
    server.stop().await?;
    say("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn receive(args: ReceiveArgs) -> anyhow::Result<ExitCode> {
    let password = args.database_password_file.as_deref().map(read_token).transpose()?;
    let (data, events) = match (&args.database, &args.data) {
        (Some(url), _) => {
            let url = url.clone();
            let open = move || CloudEvents::open_postgres(&url, password);
            let opened = tokio::task::spawn_blocking(open).await?;
            (None, opened.context("cannot open the PostgreSQL database")?)
        }
        (None, Some(folder)) => {
            let data = DataDir::take(folder)?;
            let path = folder.join("cloud.sqlite");
            let events =
                CloudEvents::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            (Some(data), events)
        }
        (None, None) => bail!("where to? Give --data DIR or --database URL"),
    };
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    let mut credentials =
        Credentials { chain: token, certificates: args.client_certificates, ..Credentials::default() };
    if let Some(path) = &args.store_tokens {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        credentials =
            credentials.with_stores(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    }
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another server there?", args.listen))?;
    let at: SocketAddr = listener.local_addr()?;
    if !at.ip().is_loopback() {
        if args.tls_dir.is_none() && !args.behind_tls {
            bail!(
                "{at} can be reached from other machines: give --tls-dir, or put a proxy that does TLS before it and \
                 say --behind-tls, or listen on 127.0.0.1"
            );
        }
        if credentials.is_open() {
            bail!(
                "{at} can be reached from other machines: give --client-certificates, --token-file or \
                 --store-tokens, or listen on 127.0.0.1"
            );
        }
    }
    let scheme = if args.tls_dir.is_some() { "https" } else { "http" };
    say(&format!("the reference cloud is running on {scheme}://{at}/"));
    say("put this into store.toml:");
    say(&format!("  [cloud]\n  url = \"{scheme}://{at}/v1/events\""));
    let events: SharedEvents = Arc::new(Mutex::new(events));
    let trunk = args.trunk.as_deref().map(TrunkUrl::parse).transpose()?;
    let trunk_token = args.trunk_token_file.as_deref().map(read_token).transpose()?;
    if let Some(trunk) = &trunk {
        say(&format!("it reads the stream {}", trunk.stream()));
    }
    say("Ctrl-C stops it.");
    let app = shared(Arc::clone(&events), credentials).into_make_service_with_connect_info::<Peer>();
    let stopped = async {
        let _ = stop_signal().await;
    };
    let web = async {
        match &args.tls_dir {
            None => axum::serve(listener, app).with_graceful_shutdown(stopped).await.map_err(Into::into),
            Some(dir) => {
                let clients = if args.client_certificates { Clients::Certified } else { Clients::Anyone };
                let listener = TlsListener::new(listener, IdentityDir::new(dir), clients)?;
                axum::serve(listener, app).with_graceful_shutdown(stopped).await.map_err(anyhow::Error::from)
            }
        }
    };
    tokio::select! {
        end = web => end?,
        () = read_trunk(trunk, trunk_token, Arc::clone(&events)) => {}
    }
    // Closing a PostgreSQL connection waits for it.
    tokio::task::spawn_blocking(move || drop(events)).await?;
    drop(data);
    say("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reads the trunk for ever; waits for ever when there is none.
async fn read_trunk(url: Option<TrunkUrl>, token: Option<String>, events: SharedEvents) {
    let Some(url) = url else { return std::future::pending().await };
    loop {
        let session = async {
            let client = url.connect("linefree-receive", token.as_deref()).await?;
            let (reader, answerer) = (Arc::clone(&events), Arc::clone(&events));
            tokio::select! {
                end = trunk::read(&url, client.clone(), reader) => end,
                end = trunk::answer(&url, client, answerer) => end,
            }
        };
        if let Err(e) = session.await {
            tracing::warn!("the trunk cannot be read: {e}; trying again");
        }
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
}

async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        end = tokio::signal::ctrl_c() => end,
        _ = terminate.recv() => Ok(()),
    }
}
