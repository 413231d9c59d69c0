//! Commands and their options.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_models::DEFAULT_PERSON_MODEL;
use linefree_recording::DetectorConfig;
use tracing_subscriber::EnvFilter;

use crate::credential::CredentialCommand;
use crate::model_commands::{self, ModelsCommand};
use crate::products::{self, EnrolArgs, RecogniseArgs};
use crate::roles::{self, RoleOptions};
use crate::{config_check, credential, follow, mot, paths, pictures, provision, replay};

/// The device program of Linefree: what stands at the cameras, the shelves and the gates of a store.
///
/// A store runs one of these on each device, with the role that the device has, or `all` on a single machine. They
/// find each other over the store's MQTT bus, whose server is `store-sync serve`.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    edge-agent config check store.toml                  every mistake, with line and remedy\n  \
    edge-agent all --config store.toml                  a whole store on one machine\n  \
    edge-agent replay recordings/monday --receipts out.json\n  \
    edge-agent detect clip.mp4 --out det.txt && edge-agent track --detections det.txt --fps 25 --out tracks.txt\n\n\
    Logs go to stderr; RUST_LOG=debug shows more."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch cameras: find people in frames and tell the bus where they are.
    Camera(RoleOptions),
    /// Watch shelves: turn plate weights into lift and put events.
    Shelf(RoleOptions),
    /// Watch gates: tell who entered and left.
    Gate(RoleOptions),
    /// Be the store's memory of the moment: who took what.
    Floor(RoleOptions),
    /// All roles in one process.
    All(RoleOptions),
    /// Turn a recording into receipts, as fast as this machine goes.
    Replay(ReplayArgs),
    /// Find people in a video and write MOT text; find people, or products and hands, in images and print JSON.
    Detect(DetectArgs),
    /// Add a product to a gallery from a few pictures, at once.
    Enrol(EnrolArgs),
    /// Say which enrolled product a picture shows.
    Recognise(RecogniseArgs),
    /// Look after the models of this device.
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Track MOT detections and write MOT tracks.
    #[command(
        after_help = "Example:\n  edge-agent track --detections det.txt --fps 25 --size 768x576 \\\n      \
        --out tracks.txt --timing timing.json"
    )]
    Track(TrackArgs),
    /// Follow people through a video as a camera role does; write MOT tracks and what it cost.
    #[command(after_help = "Examples:\n  edge-agent follow clip.avi --out tracks.txt --report cost.json\n  \
        edge-agent follow clip.avi --every-frame --out tracks.txt\n  \
        edge-agent follow clip.avi --minutes 60 --report soak.json    again and again, watching memory")]
    Follow(follow::FollowArgs),
    /// Look at configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make this device's key and its request for a certificate; again, to renew.
    Provision(provision::ProvisionArgs),
    /// Make keys and codes for gates.
    Credential {
        #[command(subcommand)]
        command: CredentialCommand,
    },
    /// Write manual pages and shell completions into a folder, for packages.
    #[command(hide = true)]
    Packaging {
        /// The folder.
        folder: PathBuf,
    },
    /// Print shell completions.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Explain every mistake in a store.toml, with line and remedy; say what a right one describes.
    Check {
        /// The file.
        store_toml: PathBuf,
    },
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The recording's folder; its format is docs/ref/recording.md.
    recording: PathBuf,
    /// Where to write the receipts (JSON). The same recording gives the same bytes.
    #[arg(long, value_name = "FILE")]
    receipts: PathBuf,
    /// Where to write what it took and, with expected.json, how right it was (JSON).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where to write what was believed on the way: who was where, who took what (lines of JSON, for plots).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct DetectArgs {
    /// A video file or a folder of images; with --json, image files.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Take image files and print a line of JSON for each: {"image", "boxes": [{"x", "y", "w", "h", "score"}, ...]};
    /// with a model of products and hands, such as product-hand, each box has a "class" besides.
    #[arg(long, conflicts_with = "out")]
    json: bool,
    /// A model of models/manifest.toml.
    #[arg(long, default_value = DEFAULT_PERSON_MODEL)]
    model: String,
    /// Where to write the detections (MOT text).
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    out: Option<PathBuf>,
    /// Least score that is written.
    #[arg(long, value_name = "0..1")]
    score_min: Option<f64>,
    /// Width and height the model is run at, as 416x320; by default the frames' shape.
    #[arg(long, value_name = "WxH", value_parser = size)]
    input: Option<[u32; 2]>,
    /// Threads of the model.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Debug, Args)]
struct TrackArgs {
    /// Detections (MOT text).
    #[arg(long, value_name = "FILE")]
    detections: PathBuf,
    /// Frames a second of the video they come from.
    #[arg(long, default_value_t = 25.0)]
    fps: f64,
    /// Image size. Tracking does not depend on it; taken so that scripts can pass it to any tracker.
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<[u32; 2]>,
    /// Where to write the tracks (MOT text).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write what tracking alone took (JSON: frames, seconds, frames_per_second).
    #[arg(long, value_name = "FILE")]
    timing: Option<PathBuf>,
}

pub(crate) fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    sides.filter(|[w, h]| *w > 0 && *h > 0).ok_or_else(|| format!("{text:?} is not a size such as 768x576"))
}

/// Runs a command to its end.
///
/// # Errors
/// Whatever stopped it, with what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match cli.command {
        Command::Camera(options) => roles::run(&options, &[roles::Role::Camera]),
        Command::Shelf(options) => roles::run(&options, &[roles::Role::Shelf]),
        Command::Gate(options) => roles::run(&options, &[roles::Role::Gate]),
        Command::Floor(options) => roles::run(&options, &[roles::Role::Floor]),
        Command::All(options) => roles::run(&options, &roles::Role::ALL),
        Command::Replay(args) => run_replay(&args),
        Command::Detect(args) => run_detect(&args),
        Command::Enrol(args) => print(&products::enrol(&args)?),
        Command::Recognise(args) => products::recognise(&args, print),
        Command::Models { command } => print(&model_commands::run(&command)?),
        Command::Track(args) => run_track(&args),
        Command::Follow(args) => print(&follow::run(&args)?),
        Command::Config { command: ConfigCommand::Check { store_toml } } => {
            print(&config_check::check(&store_toml)?)
        }
        Command::Provision(args) => print(&provision::run(&args)?),
        Command::Credential { command } => print(&credential::run(&command)?),
        Command::Packaging { folder } => packaging(&folder),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "edge-agent", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
    }
}

/// Manual pages in `man/`, completions beside it.
fn packaging(folder: &Path) -> anyhow::Result<()> {
    let man = folder.join("man");
    std::fs::create_dir_all(&man).with_context(|| format!("make {}", man.display()))?;
    clap_mangen::generate_to(Cli::command().name("edge-agent"), &man).context("write manual pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "edge-agent", folder)
            .context("write completions")?;
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to stdout")
}

fn run_replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let replayed = replay::replay(&args.recording, !args.quiet, args.trace.as_deref())?;
    for missing in &replayed.report.missing {
        tracing::warn!("{}: {missing}", args.recording.display());
    }
    for fault in &replayed.report.faults {
        tracing::warn!("{fault}");
    }
    write(&args.receipts, &replayed.receipts.to_json())?;
    if let Some(path) = &args.report {
        write(path, &(serde_json::to_string_pretty(&replayed.report)? + "\n"))?;
    }
    let r = &replayed.report;
    let lines: usize = replayed.receipts.receipts.iter().map(|r| r.lines.len()).sum();
    let mut told = format!(
        "{} receipts with {lines} lines from {:.1} s of recording in {:.1} s ({:.1} times real time)\n",
        replayed.receipts.receipts.len(),
        r.duration_s,
        r.elapsed_s,
        r.times_real_time
    );
    if let Some(s) = r.lines {
        told += &format!(
            "of {} expected lines {} are right; {} wrong, {} in review\n",
            s.expected, s.right, s.wrong, s.in_review
        );
    }
    print(&told)
}

fn run_detect(args: &DetectArgs) -> anyhow::Result<()> {
    let wanted = DetectorConfig {
        input_px: args.input,
        score_min: args.score_min,
        ..DetectorConfig::model(&args.model)
    };
    let (video, out) = match (args.inputs.as_slice(), &args.out) {
        (images, None) => return pictures::detect(images, &wanted, args.threads, print),
        ([video], Some(out)) => (video, out),
        (several, Some(_)) => {
            bail!("{} inputs; one video or folder goes into one MOT file, or use --json", several.len())
        }
    };
    let style = ProgressStyle::with_template("{bar:40} frame {pos}/{len}, {per_sec}, {eta} to go")?;
    let bar = ProgressBar::new(0).with_style(style);
    let (text, frames) = mot::detect(video, &wanted, args.threads, |frame, of| {
        bar.set_length(of.unwrap_or(frame));
        bar.set_position(frame);
    })?;
    bar.finish_and_clear();
    write(out, &text)?;
    print(&format!("{} detections in {frames} frames -> {}\n", text.lines().count(), out.display()))
}

fn run_track(args: &TrackArgs) -> anyhow::Result<()> {
    let frames = mot::read_detections(&args.detections)?;
    let count = frames.last_key_value().map_or(0, |(frame, _)| *frame);
    let (text, spent) = mot::track(&frames, args.fps)?;
    write(&args.out, &text)?;
    let seconds = spent.as_secs_f64();
    let rate = f64::from(count) / seconds.max(1e-9);
    if let Some(path) = &args.timing {
        let timing = serde_json::json!({ "frames": count, "seconds": seconds, "frames_per_second": rate });
        write(path, &format!("{timing}\n"))?;
    }
    print(&format!("{count} frames tracked at {rate:.0} frames/s -> {}\n", args.out.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    paths::write_whole(path, text)
}
