//! Simulated robots (AMRs) that speak VDA 5050 over MQTT, each a peer of its own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`vehicle`] | one robot: drives, works, runs down its battery; pure, time is passed in |
//! | [`told`] | what it does with orders and instant actions: everything that the standard has it check |
//! | [`looks`] | what it says: state, visualization, connection, factsheet |
//! | [`faults`] | what goes wrong with it, by chance |
//! | [`scales`] | scales of the store that feel what robots do |
//! | [`peer`] | its connection to the broker, and its clock |
//!
//! It takes nothing on trust: an order that is malformed, does not begin where it stands, does not continue its base, or
//! asks for what it cannot do is refused with the standard's error, and nothing beyond the base is ever driven.

pub mod faults;
pub mod looks;
pub mod peer;
pub mod scales;
pub mod told;
pub mod vehicle;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use linefree_bus::url::BusUrl;
use linefree_recording::{Recording, StoreFile};

use faults::Faults;
use scales::Scales;

/// Options of `amr`.
#[derive(Debug, Args)]
pub struct AmrArgs {
    /// Where the broker is
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    bus: BusUrl,
    /// The store, with `[robots]`
    #[arg(long, value_name = "FILE", default_value = "store.toml")]
    store: PathBuf,
    /// How many of the store's robots [default: all]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// How many times faster than real robots they drive and work
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    speed: f64,
    /// Decides faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong: fumble and refuse as probabilities, stuck, fatal and dropout as times an hour
    #[arg(long, value_name = "LIST", default_value = "")]
    faults: Faults,
    /// Simulate the store's scales that are read over the bus as well: they feel what robots take
    #[arg(long)]
    scales: bool,
    /// With --scales: what lies on the plates is this recording's, as if it were played now
    #[arg(long, value_name = "DIR", requires = "scales")]
    replay: Option<PathBuf>,
}

/// Runs robots until Ctrl-C.
///
/// # Errors
/// When the store has no robots or the options make no sense, or a line of the recording's weights cannot be read.
pub fn run(args: &AmrArgs) -> anyhow::Result<()> {
    if !(args.speed > 0.0 && args.speed <= 1000.0) {
        bail!("--speed takes a number above 0, up to 1000");
    }
    let store = StoreFile::read(&args.store)?;
    let floor = store.layout.robots.clone().with_context(|| {
        format!("{} has no [robots]: docs/guide/robots.md says how to describe them", args.store.display())
    })?;
    let count = args.count.unwrap_or(floor.robots.len());
    if count == 0 || count > floor.robots.len() {
        bail!("--count {count}: {} has {} robots", args.store.display(), floor.robots.len());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let played = args.replay.as_ref().map(Recording::open).transpose()?;
        let start = || Scales::start(&store, &args.bus, args.seed, played.as_ref());
        let scales = args.scales.then(start).transpose()?;
        let mut fleet = Vec::with_capacity(count);
        for robot in 0..count {
            let setting = peer::Setting {
                url: args.bus.clone(),
                speed: args.speed,
                seed: args.seed,
                faults: args.faults,
                scales: scales.clone(),
            };
            fleet.push(peer::start(&floor, robot, &setting)?);
        }
        let mut screen = std::io::stderr();
        writeln!(screen, "{count} robots at {}, Ctrl-C ends them", args.bus)?;
        let broken = async {
            match &scales {
                Some(scales) => scales.ended().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.context("wait for Ctrl-C"),
            why = broken => Err(anyhow::anyhow!(why)),
        };
        for robot in fleet {
            robot.stop().await;
        }
        ended
    })
}
