//! Commands of scenarios: list, record, score.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::honesty;
use crate::scenario::{self, LayoutKind, ScenarioKind};
use crate::score::{self, Options, Report};
use crate::simulation::{Evidence, Simulation};
use crate::stores::shared_nanostore;

/// Options of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// A name of `simulator list`
    scenario: String,
    /// Decides everything that the scenario leaves open
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the recording is written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which store [default: the scenario's own]
    #[arg(long)]
    layout: Option<LayoutKind>,
    /// Evidence to leave out
    #[arg(long, value_delimiter = ',')]
    without: Vec<Evidence>,
}

/// Options of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// `all`, or names of `simulator list` with commas between; `nanostore-*` is all that begin so
    #[arg(long, default_value = "all")]
    scenarios: String,
    /// Seeds: 1..20 (1 to 19), 1..=20 or one number
    #[arg(long, default_value = "1..4")]
    seeds: String,
    /// Which store [default: each scenario's own]
    #[arg(long)]
    layout: Option<LayoutKind>,
    /// Where the figures are written, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Evidence to leave out, to see what it is worth
    #[arg(long, value_delimiter = ',')]
    without: Vec<Evidence>,
    /// Runs at once [default: all cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Score the nearest shopper with the nearest weight too
    #[arg(long)]
    baseline: bool,
    /// Show the N runs that lose most: what happened, what was owed, what came out
    #[arg(long, value_name = "N", default_value_t = 0)]
    list_worst: usize,
}

/// Options of `honesty`.
#[derive(Debug, Args)]
pub struct HonestyArgs {
    /// Folder of the AIM3S data [default: data/aim3s in $LINEFREE_SHARED, else in ../shared]
    #[arg(long, value_name = "DIR")]
    aim3s: Option<PathBuf>,
    /// How many simulated recordings
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Where the plot is written
    #[arg(long, value_name = "FILE", default_value = "docs/images/shelf-signals.svg")]
    out: PathBuf,
}

/// Compares simulated with real shelf signals.
///
/// # Errors
/// When the data is absent or the plot cannot be written.
pub fn honesty(args: &HonestyArgs) -> anyhow::Result<()> {
    let shared =
        std::env::var_os("LINEFREE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let aim3s = args.aim3s.clone().unwrap_or_else(|| shared.join("data/aim3s"));
    let table = honesty::compare(&aim3s, args.seeds, &args.out)?;
    write!(io::stdout().lock(), "{table}")?;
    Ok(())
}

/// Names every scenario.
///
/// # Errors
/// When a file is none, or the screen is gone.
pub fn list() -> anyhow::Result<()> {
    let all = scenario::all()?;
    let wide = all.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let mut screen = io::stdout().lock();
    for s in &all {
        writeln!(screen, "{:wide$}  {:9}  {}", s.name, s.kind.word(), s.summary)?;
    }
    if shared_nanostore().is_none() {
        writeln!(
            screen,
            "The real nanostore's cases and layout are not here: set LINEFREE_SHARED to the folder that holds data/nanostore."
        )?;
    }
    Ok(())
}

/// Writes one recording.
///
/// # Errors
/// When there is no such scenario, or the recording cannot be written.
pub fn record(args: &RecordArgs) -> anyhow::Result<()> {
    let chosen = scenario::named(&args.scenario)?;
    let [scenario] = chosen.as_slice() else { bail!("{} is more than one scenario", args.scenario) };
    let layout = args.layout.unwrap_or_else(|| scenario.home());
    let simulation = Simulation::run(scenario, layout, args.seed, &args.without)?;
    simulation.write(&args.out)?;
    let mut screen = io::stdout().lock();
    for line in &simulation.happened.story {
        writeln!(screen, "{line}")?;
    }
    let lines: usize = simulation.happened.receipts.receipts.iter().map(|r| r.lines.len()).sum();
    writeln!(
        screen,
        "{:.0} s, {} people, {lines} lines owed; written to {}",
        simulation.happened.duration_s,
        simulation.happened.walks.len(),
        args.out.display()
    )?;
    Ok(())
}

/// Runs scenarios through the pipeline and tells how right it is.
///
/// # Errors
/// When nothing can be run, or a run failed; figures of the others are told and written before.
pub fn score(args: &ScoreArgs) -> anyhow::Result<()> {
    let mut scenarios = scenario::named(&args.scenarios)?;
    let mut screen = io::stdout().lock();
    if args.layout == Some(LayoutKind::Generated) {
        scenarios.retain(|s| s.kind != ScenarioKind::Nanostore);
    }
    if shared_nanostore().is_none() {
        ensure!(
            args.layout != Some(LayoutKind::Nanostore),
            "the nanostore's data is not here: set LINEFREE_SHARED to the folder that holds data/nanostore"
        );
        let before = scenarios.len();
        scenarios.retain(|s| s.kind != ScenarioKind::Nanostore);
        if scenarios.len() < before {
            writeln!(
                screen,
                "skipped {} scenarios of the real nanostore: set LINEFREE_SHARED to the folder that holds data/nanostore",
                before - scenarios.len()
            )?;
        }
    }
    ensure!(!scenarios.is_empty(), "no scenario is left to run with this layout");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        scenarios,
        seeds: score::seeds(&args.seeds)?,
        layout: args.layout,
        without: args.without.clone(),
        jobs: args.jobs.unwrap_or(cores),
        baseline: args.baseline,
    };
    // indicatif draws on stderr and hides itself where that is no terminal.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} recordings, {eta} to go")?;
    let bar = ProgressBar::new(0).with_style(style);
    let (outcomes, failures) = score::run(&options, &bar);
    let report = Report::new(&options, &outcomes, failures);
    write!(screen, "{}", report.table())?;
    if args.list_worst > 0 {
        write!(screen, "{}", score::worst(&options, &outcomes, args.list_worst))?;
    }
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    ensure!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    Ok(())
}
