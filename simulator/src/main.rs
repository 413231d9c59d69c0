//! Builds recordings: stores, shoppers and sensors with ground truth.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use linefree_simulator::robots::command;
use linefree_simulator::{amr, cli, nanostore, plaza};

/// Builds recordings: stores, shoppers and sensors with ground truth.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  simulator list
  simulator record pick-and-put-back --seed 7 --out /tmp/r
  simulator score --scenarios all --seeds 1..9 --report score.json
  simulator robots --hours 20                       robots that pick orders among shoppers
  simulator plaza                                   build simulator/recordings/plaza again, byte for byte
  simulator plaza --media .linefree/media/vtest.avi  and link the clip into it
  simulator nanostore --data ../shared/data/nanostore --out /tmp/nanostore
  simulator completions bash > ~/.local/share/bash-completion/completions/simulator

A recording is replayed with `edge-agent replay DIR --receipts FILE`; its format is docs/ref/recording.md."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name every scenario, with what it is about
    List,
    /// Write the recording of a scenario, with expected.json
    #[command(after_help = "\
Examples:
  simulator record pick-and-put-back --seed 7 --out /tmp/r
  simulator record nanostore-shoppers --seed 7 --out /tmp/n && edge-agent replay /tmp/n --receipts /tmp/n.json")]
    Record(cli::RecordArgs),
    /// Run scenarios through the real pipeline and tell how right its receipts are
    #[command(after_help = "\
The figures are explained in docs/design/simulator.md.

Examples:
  simulator score --scenarios all --seeds 1..20 --report score.json
  simulator score --scenarios 'nanostore-*' --seeds 1..40 --baseline
  simulator score --scenarios handover,busy-store --seeds 5..9 --list-worst 3
  simulator score --scenarios all --seeds 1..9 --without hands,views")]
    Score(cli::ScoreArgs),
    /// Compare simulated shelf signals with real ones: a plot, and tables in Markdown
    Honesty(cli::HonestyArgs),
    /// Robots that pick online orders among shoppers: how many are in time, beside two yardsticks
    #[command(after_help = "\
Each row is one way to choose which robot fetches what: by the least time to spare (ours), first come first served, and \
the nearest first. All meet the same orders, shoppers and faults. `without staff` counts what staff handed over as late; \
`busy` is the share of time in which robots have an order; a planning step shares out the orders or finds one way.

Collisions, deadlocks and orders that are never handed over make the command fail. What is assumed about robots, \
people and orders is in docs/design/fulfilment.md.

Examples:
  simulator robots                                            one simulated day, seconds
  simulator robots --hours 1000 --seed 7 --orders 200,240      the table of docs/design/fulfilment.md, minutes
  simulator robots --hours 20 --robots 20 --orders 300 --shoppers 90
  simulator robots --staff 0                                  what robots manage alone
  simulator robots --curve --hours 4 --jobs 1                 fleets up to 100 robots: table and docs/images/robots.svg")]
    Robots(command::RobotsArgs),
    /// Simulated robots that speak VDA 5050 2.1 over MQTT, until Ctrl-C
    #[command(after_help = "\
Each robot of the store's [robots] is a peer of its own; docs/guide/robots.md. --faults takes fumble=P (a pick fails), \
refuse=P (an order is refused), and times an hour: stuck=N, fatal=N, dropout=N.

Examples:
  simulator amr --bus mqtt://127.0.0.1:1883 --store store.toml
  simulator amr --store store.toml --count 2 --speed 5
  simulator amr --store store.toml --faults fumble=0.05,dropout=2 --seed 7
  simulator amr --store store.toml --scales                    scales read over the bus feel what they pick")]
    Amr(amr::AmrArgs),
    /// Orders to suppliers in a simulated year: the store's method beside two rules of thumb
    #[command(after_help = "\
The method is domain/src/orders/reorder.rs; docs/design/orders.md explains the table.

Example:
  simulator reorder --products 300 --days 365 --service 0.95")]
    Reorder(linefree_simulator::reorder::ReorderArgs),
    /// The PETS09-S2L1 clip as a shop floor: checks the script against the clip's ground truth, writes the recording
    #[command(after_help = "\
Reads store.toml and script.toml in --source. Every action must be borne out by the ground truth: its shopper within \
reach of the plate, and nearer than anybody else.

Examples:
  simulator plaza
  simulator plaza --out /tmp/plaza --media /usr/share/doc/opencv-doc/examples/data/vtest.avi")]
    Plaza {
        /// Folder that holds store.toml and script.toml
        #[arg(long, default_value = "simulator/recordings/plaza", value_name = "DIR")]
        source: PathBuf,
        /// The clip's ground truth with floor coordinates, in MOT text [default: data/mot15/PETS09-S2L1/gt.txt in $LINEFREE_SHARED, else in ../shared]
        #[arg(long, value_name = "FILE")]
        ground_truth: Option<PathBuf>,
        /// Where the recording is written [default: the source folder itself]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// The clip (opencv-doc's vtest.avi), to be linked into the recording
        #[arg(long, value_name = "FILE")]
        media: Option<PathBuf>,
    },
    /// A real walk-out store with four cameras: builds its recording from the published data
    #[command(after_help = "\
The data's plate signals are not public: they are made here from its labelled events, its product weights and the \
noise of real shelves.

Example:
  simulator nanostore --data ../shared/data/nanostore --out /tmp/nanostore")]
    Nanostore {
        /// Folder with store_meta/, products.json, cases.json and videos/
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Where the recording is written
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Writes a completion script for a shell to standard output
    Completions {
        /// Which shell
        shell: Shell,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::List => cli::list(),
        Command::Record(args) => cli::record(&args),
        Command::Score(args) => cli::score(&args),
        Command::Robots(args) => command::robots(&args),
        Command::Amr(args) => amr::run(&args),
        Command::Honesty(args) => cli::honesty(&args),
        Command::Reorder(args) => {
            write!(io::stdout().lock(), "{}", linefree_simulator::reorder::run(&args)?)?;
            Ok(())
        }
        Command::Plaza { source, ground_truth, out, media } => {
            let ground_truth = ground_truth.unwrap_or_else(default_ground_truth);
            let out = out.unwrap_or_else(|| source.clone());
            build_plaza(&source, &ground_truth, &out, media.as_deref())
        }
        Command::Nanostore { data, out } => build_nanostore(&data, &out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "simulator", &mut io::stdout());
            Ok(())
        }
    }
}

fn default_ground_truth() -> PathBuf {
    let shared =
        std::env::var_os("LINEFREE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    shared.join("data/mot15/PETS09-S2L1/gt.txt")
}

fn build_plaza(source: &Path, ground_truth: &Path, out: &Path, media: Option<&Path>) -> anyhow::Result<()> {
    let checked = plaza::build(source, ground_truth, out)?;
    if let Some(media) = media {
        link(media, &out.join("cameras/plaza.avi"))?;
    }
    let mut screen = io::stdout().lock();
    writeln!(screen, "     t  who   plate    own m  next m")?;
    for c in &checked {
        let note = if c.contested() { "contested" } else { "" };
        writeln!(
            screen,
            "{:6.1}  {:4}  {:7} {:6.2} {:7.2}  {note}",
            c.t, c.credential, c.plate, c.distance_m, c.next_m
        )?;
    }
    let contested = checked.iter().filter(|c| c.contested()).count();
    writeln!(
        screen,
        "{} actions, {contested} of them contested; written to {}",
        checked.len(),
        out.display()
    )?;
    if !out.join("cameras/plaza.avi").exists() {
        writeln!(
            screen,
            "The clip is not there yet: give it with --media, or let `cargo xtask demo` fetch it."
        )?;
    }
    Ok(())
}

fn build_nanostore(data: &Path, out: &Path) -> anyhow::Result<()> {
    let videos = nanostore::build(data, out)?;
    for (from, to) in &videos {
        link(from, to)?;
    }
    writeln!(io::stdout().lock(), "{} videos linked; written to {}", videos.len(), out.display())?;
    Ok(())
}

/// Links a large file into a recording, or copies it where links cannot be made.
fn link(from: &Path, to: &Path) -> anyhow::Result<()> {
    let from = from.canonicalize().with_context(|| format!("find {}", from.display()))?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    if to.symlink_metadata().is_ok() {
        std::fs::remove_file(to).with_context(|| format!("replace {}", to.display()))?;
    }
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&from, to);
    #[cfg(not(unix))]
    let linked: io::Result<()> = Err(io::ErrorKind::Unsupported.into());
    if linked.is_err() {
        std::fs::copy(&from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
