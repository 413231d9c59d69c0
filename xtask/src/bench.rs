//! `cargo xtask bench`: milliseconds per frame by stage, beside a bare run of the same model in the same process;
//! durable events a second beside bare rusqlite ([`crate::bench_ledger`]); and, when asked for, tracking beside the
//! trackers of PyPI ([`crate::bench_tracking`]) and what a camera costs ([`crate::bench_camera`]).
//!
//! The figures are made by the example `bench_detect` of linefree-models, which prints them as JSON; here they are
//! shown as a table and kept under `target/bench/`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;
use crate::say::{self, Running};
use crate::setup::stamp;
use crate::workspace::Workspace;

/// A whole detection (decoding the video excluded) may take this many times a bare run of its model.
const MOST_RATIO: f64 = 1.25;

/// What is measured, and how it is built.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench                    detection and the ledger\n  \
    cargo xtask bench tracking           our tracker and those of PyPI on MOT15, with a table\n  \
    cargo xtask bench camera             what a camera costs, by how often it is looked at\n  \
    cargo xtask bench soak --minutes 60  is memory flat over an hour of looped video?")]
pub struct Options {
    /// Only this measurement; without it, detection and the ledger.
    #[arg(value_enum)]
    part: Option<Part>,
    /// Leave set-up out.
    #[arg(long)]
    pub no_setup: bool,
    /// Build as the demo does instead of optimised as for a store: starts sooner, measures the demo's profile.
    #[arg(long)]
    dev: bool,
    /// The same as PART.
    #[arg(long, value_enum, conflicts_with = "part", hide = true)]
    only: Option<Part>,
    /// Write the tables and plots of docs/ again (tracking, camera).
    #[arg(long)]
    docs: bool,
    /// How long the soak runs.
    #[arg(long, default_value_t = 60.0, value_name = "MINUTES")]
    minutes: f64,
    /// Passed on to the measuring program of detection, for example `-- --model person-nanodet-320`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Milliseconds per frame.
    Detect,
    /// Durable events a second.
    Ledger,
    /// Tracking in one camera, beside the trackers of PyPI.
    Tracking,
    /// What a camera costs and what looking less often loses.
    Camera,
    /// Memory over a long run.
    Soak,
}

/// Measures, prints tables, keeps the JSON.
///
/// # Errors
/// When a program does not build or fails, or when something is slower than is wanted.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let profile = if options.dev { "dev" } else { "release" };
    let docs = options.docs.then(|| workspace.root.join("docs/design"));
    match options.part.or(options.only) {
        Some(Part::Detect) => detect(workspace, options, profile),
        Some(Part::Ledger) => crate::bench_ledger::run(workspace, profile),
        Some(Part::Tracking) => crate::bench_tracking::run(workspace, profile, docs.as_deref()),
        Some(Part::Camera) => crate::bench_camera::run(workspace, profile, docs.as_deref()),
        Some(Part::Soak) => crate::bench_camera::soak(workspace, profile, options.minutes),
        None => {
            detect(workspace, options, profile)?;
            crate::bench_ledger::run(workspace, profile)
        }
    }
}

fn detect(workspace: &Workspace, options: &Options, profile: &str) -> Result<()> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--locked",
        "-p",
        "linefree-models",
        "--example",
        "bench_detect",
        "--profile",
        profile,
    ]);
    process::loudly(&mut build)?;

    let running = Running::begin(format!("measuring ({profile} profile)"));
    let mut bench = workspace.cargo();
    bench.args(["run", "--locked", "--quiet", "-p", "linefree-models", "--example", "bench_detect"]);
    bench.args(["--profile", profile, "--"]).args(&options.arguments);
    let text = process::output(&mut bench)?;
    running.done("");

    let figures: Figures = serde_json::from_str(&text).context("bench_detect printed something else")?;
    say::line(figures.table(profile));
    let kept: PathBuf = workspace.target.join("bench").join(format!("detect-{profile}.json"));
    stamp::write_whole(&kept, text.as_bytes())?;
    say::note(format!("kept in {}", workspace.shown(&kept)));
    if figures.ratio > MOST_RATIO {
        bail!(
            "a whole detection takes {:.2} times a bare run, at most {MOST_RATIO} is wanted",
            figures.ratio
        );
    }
    Ok(())
}

/// What `bench_detect` prints. Times are medians, milliseconds.
#[derive(Debug, Deserialize)]
struct Figures {
    model: String,
    input_px: [u32; 2],
    frame_px: [u32; 2],
    threads: u32,
    runs: u32,
    bare_run_ms_p50: f64,
    preprocess_ms_p50: f64,
    run_ms_p50: f64,
    postprocess_ms_p50: f64,
    total_ms_p50: f64,
    ratio: f64,
}

impl Figures {
    fn table(&self, profile: &str) -> String {
        let [[w, h], [fw, fh]] = [self.input_px, self.frame_px];
        let mut text = format!(
            "{} at {w}x{h}, frames {fw}x{fh}, {} thread(s), {} rounds, {profile} profile\n\
             stage             ms (median)\n",
            self.model, self.threads, self.runs
        );
        let rows = [
            ("preprocess", self.preprocess_ms_p50),
            ("run", self.run_ms_p50),
            ("postprocess", self.postprocess_ms_p50),
            ("total", self.total_ms_p50),
            ("bare run", self.bare_run_ms_p50),
        ];
        for (stage, ms) in rows {
            text += &format!("{stage:<14} {ms:>14.2}\n");
        }
        text + &format!("total / bare   {:>14.3}", self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_example_prints_becomes_a_table() {
        let text = r#"{"model": "m", "input_px": [512, 384], "frame_px": [768, 576], "threads": 1, "runs": 50,
            "bare_run_ms_p50": 20.0, "preprocess_ms_p50": 0.5, "run_ms_p50": 20.1, "postprocess_ms_p50": 0.05,
            "total_ms_p50": 20.65, "ratio": 1.0325}"#;
        let figures: Figures = serde_json::from_str(text).unwrap();
        let table = figures.table("release");
        assert!(
            table.starts_with("m at 512x384, frames 768x576, 1 thread(s), 50 rounds, release profile\n"),
            "{table}"
        );
        assert!(table.ends_with("total / bare            1.032") || table.ends_with("1.033"), "{table}");
        assert_eq!(table.lines().count(), 8);
    }
}
