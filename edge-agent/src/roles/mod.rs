//! Camera, shelf, gate and floor as participants of the store's bus.
//!
//! Every role runs the same code on a live store and on a recording; with `--recording`, its sensors are the
//! recording's, at the pace asked for. A role ends when its recording ends or the process is asked to stop. Cameras
//! publish moments (nothing is kept); shelves, gates and the floor number and journal what they say, and it is
//! re-sent until the ledger has it.

mod camera;
mod device;
mod drivers;
mod floor;
mod gate;
mod live_gate;
mod live_shelf;
mod metrics;
mod pace;
mod present;
mod release;
mod shelf;
mod watchdog;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use linefree_bus::url::BusUrl;
use linefree_recording::{Recording, StoreFile};
use tokio::sync::watch;
use tokio::task::JoinSet;

use linefree_bus::release::ReleaseKey;
use linefree_hardware::health::Health;
use metrics::Metrics;
pub use pace::Pace;
use release::Releases;

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Watches cameras.
    Camera,
    /// Watches plates.
    Shelf,
    /// Watches gates.
    Gate,
    /// Decides who took what.
    Floor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Camera, Self::Shelf, Self::Gate, Self::Floor];

    /// Its name on the bus and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Shelf => "shelf",
            Self::Gate => "gate",
            Self::Floor => "floor",
        }
    }
}

/// Options of every role.
#[derive(Debug, Clone, Args)]
pub struct RoleOptions {
    /// The store. With --recording it may be left out: the recording has its own.
    #[arg(long, value_name = "FILE", required_unless_present = "recording")]
    pub config: Option<PathBuf>,
    /// Take sensors from this recording instead of live ones.
    #[arg(long, value_name = "DIR")]
    pub recording: Option<PathBuf>,
    /// How fast a recording runs: a factor of real time, or `max`.
    #[arg(long, default_value = "1", value_name = "FACTOR|max")]
    pub pace: Pace,
    /// The broker, as `mqtt://host:port`; by default the one of store.toml's bus table, else the one that store-sync
    /// embeds.
    #[arg(long, value_name = "URL")]
    pub bus: Option<String>,
    /// Where journals are kept; by default the `data_dir` of store.toml's server table.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Camera role: only these cameras.
    #[arg(long = "camera", value_name = "ID")]
    pub cameras: Vec<String>,
    /// Number of this device among those of its role: names its events `shelf-1`, `gate-1`, `floor-1`.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub number: u32,
    /// Live: a device that is silent for longer than this is not waited for, seconds.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub lateness: f64,
    /// Public key of the store's releases, release-key.pub.pem of the server's data folder: with it, the server rolls
    /// configuration, planogram and models out to this device [default: /etc/linefree/release-key.pub.pem, if it is
    /// there].
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    pub release_key: Option<PathBuf>,
    /// Serve /metrics (Prometheus) and /healthz at this address.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Camera role: where to write what it took, when its recording ends (JSON).
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Where an embedded broker listens unless told otherwise.
const DEFAULT_BUS: &str = "mqtt://127.0.0.1:1883";

/// Where a device finds the key of releases, unless told otherwise.
const RELEASE_KEY: &str = "/etc/linefree/release-key.pub.pem";

/// How long roles may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(3);

/// What every role is started with.
#[derive(Debug)]
pub(crate) struct SiteContext {
    pub store: StoreFile,
    pub recording: Option<Recording>,
    pub pace: Pace,
    pub bus: BusUrl,
    pub data: PathBuf,
    pub options: RoleOptions,
    /// What its roles have told.
    pub metrics: Metrics,
    /// What this process does.
    pub roles: Vec<Role>,
    /// Becomes true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
    /// What the store's server has it run by; `None` where it has no say.
    pub releases: Option<Releases>,
}

pub(crate) type Site = Arc<SiteContext>;

fn site(options: &RoleOptions, roles: &[Role], stop: watch::Receiver<bool>) -> anyhow::Result<Site> {
    let recording = options
        .recording
        .as_ref()
        .map(|dir| Recording::open(dir).with_context(|| format!("open the recording {}", dir.display())))
        .transpose()?;
    let store = match (&options.config, &recording) {
        (Some(path), _) => StoreFile::read(path)?,
        (None, Some(recording)) => recording.store.clone(),
        (None, None) => bail!("give --config store.toml or --recording DIR"),
    };
    let releases = releases(options, roles, &store)?;
    match fit(options, roles, stop, recording, store, releases.clone()) {
        Err(e) if releases.is_some_and(|r| r.fail(&format!("it does not fit this device: {e:#}"))) => {
            release::begin_anew()?;
            Err(e)
        }
        fitted => fitted,
    }
}

fn fit(
    options: &RoleOptions,
    roles: &[Role],
    stop: watch::Receiver<bool>,
    recording: Option<Recording>,
    own: StoreFile,
    releases: Option<Releases>,
) -> anyhow::Result<Site> {
    // Bus and folders are the device's own, whatever the release.
    let store = releases.as_ref().map_or(own, Releases::store);
    for camera in &options.cameras {
        if store.layout.camera(camera).is_none() {
            let known: Vec<&str> = store.layout.cameras.iter().map(|c| c.id.as_str()).collect();
            bail!("--camera {camera}: store.toml has {}", known.join(", "));
        }
    }
    let bus = bus_url(options, &store)?;
    let data = options.data.clone().unwrap_or_else(|| store.live.server.data_dir.clone());
    let (options, roles) = (options.clone(), roles.to_vec());
    let (pace, metrics) = (options.pace, Metrics::default());
    Ok(Arc::new(SiteContext { store, recording, pace, bus, data, options, metrics, roles, stop, releases }))
}

/// What the store's server has this process run by, where there is a key.
fn releases(options: &RoleOptions, roles: &[Role], own: &StoreFile) -> anyhow::Result<Option<Releases>> {
    let (Some(config), None) = (&options.config, &options.recording) else { return Ok(None) };
    let key = match &options.release_key {
        Some(path) => path.clone(),
        None if std::path::Path::new(RELEASE_KEY).exists() => PathBuf::from(RELEASE_KEY),
        None => return Ok(None),
    };
    let data = options.data.as_ref().unwrap_or(&own.live.server.data_dir);
    // Processes that share a data folder differ in their number, their roles or their cameras.
    let mut name = vec![options.number.to_string()];
    name.extend(roles.iter().map(|r| r.name().to_owned()).chain(options.cameras.iter().cloned()));
    let folder = data.join("release").join(name.join("-"));
    Releases::open(folder, ReleaseKey::read(&key)?, config, own.clone(), roles).map(Some)
}

fn bus_url(options: &RoleOptions, store: &StoreFile) -> anyhow::Result<BusUrl> {
    if let Some(text) = &options.bus {
        return BusUrl::parse(text).with_context(|| "--bus".to_string());
    }
    let Some(bus) = &store.live.bus else { return Ok(BusUrl::parse(DEFAULT_BUS)?) };
    let text = match (&bus.username, bus.url.split_once("://")) {
        (Some(user), Some((scheme, rest))) => format!("{scheme}://{user}@{rest}"),
        _ => bus.url.clone(),
    };
    let url = BusUrl::parse(&text).context("[bus] url in store.toml")?;
    Ok(match &bus.password_file {
        Some(file) => url.with_password_file(file)?,
        None => url,
    })
}

/// Runs roles until their recording ends, one of them fails, or the process is asked to stop.
///
/// # Errors
/// Whatever stopped a role.
pub fn run(options: &RoleOptions, roles: &[Role]) -> anyhow::Result<()> {
    let (ask, stop) = watch::channel(false);
    let site = site(options, roles, stop)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start tokio")?;
    let releases = site.releases.clone();
    let result = runtime.block_on(run_all(site, roles, &ask));
    // A camera that waits for a lost stream must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match (result, releases) {
        (Ok(Ended::Anew), _) => release::begin_anew(),
        (Ok(Ended::Done), Some(releases)) if releases.fail("its roles have ended") => release::begin_anew(),
        (Ok(Ended::Done | Ended::Asked), _) => Ok(()),
        // What a release has brought down is brought up without it.
        (Err(e), Some(releases)) if releases.fail(&format!("a role ended: {e:#}")) => release::begin_anew(),
        (Err(e), _) => Err(e),
    }
}

/// How a process's roles have ended.
enum Ended {
    /// Their work is done.
    Done,
    /// The process was asked to stop.
    Asked,
    /// They are to begin again, with another release.
    Anew,
}

async fn run_all(site: Site, roles: &[Role], ask: &watch::Sender<bool>) -> anyhow::Result<Ended> {
    if let Some(address) = site.options.metrics {
        let health = Health::new(site.data.clone());
        metrics::listen(address, site.metrics.clone(), health).await?;
    }
    tokio::spawn(watchdog::tell(site.metrics.clone()));
    let (anew, site_metrics) = (site.releases.clone(), site.metrics.clone());
    let anew = async move {
        match anew {
            Some(releases) => {
                tokio::spawn(releases.clone().watch_trial(site_metrics));
                let _ = releases.anew().wait_for(|anew| *anew).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(anew);
    let mut running: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for role in roles {
        let site = Arc::clone(&site);
        match role {
            Role::Camera => running.spawn(camera::run(site)),
            Role::Shelf => running.spawn(shelf::run(site)),
            Role::Gate => running.spawn(gate::run(site)),
            Role::Floor => running.spawn(floor::run(site)),
        };
    }
    let replayed = site.recording.is_some();
    let stop = stop_asked();
    tokio::pin!(stop);
    let ended = loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => return Ok(Ended::Done),
                Some(result) => result.context("a role ended in a panic")??,
            },
            () = &mut stop => {
                tracing::info!("asked to stop");
                ask.send_replace(true);
                break Ended::Asked;
            }
            () = &mut anew => {
                ask.send_replace(true);
                break Ended::Anew;
            }
        }
    };
    // Who has last words says them; who does not is cut off, and the broker tells of it.
    let farewell = async { while running.join_next().await.is_some() {} };
    // A recording has none: what it has said is journalled.
    if !replayed {
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
    Ok(ended)
}

/// Waits for Ctrl-C or SIGTERM.
async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
