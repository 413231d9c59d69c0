//! What a camera costs, by how often its frames go through the model, and what looking less often loses: the camera
//! part of `cargo xtask bench`. And the soak: is memory flat while a video runs again and again?
//!
//! `edge-agent follow` is the camera role's own pipeline; here it runs over the demo's clip (PETS09-S2L1) at several
//! rates, TrackEval scores the tracks against the ground truth of `LINEFREE_SHARED/data/mot15`, and the curve is drawn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::bench_tracking::{SCORER, Score, install_scorer, write_between};
use crate::process;
use crate::say::{self, Running};
use crate::setup::stamp;
use crate::workspace::Workspace;

/// The clip's name among the MOT sequences.
const SEQUENCE: &str = "PETS09-S2L1";
/// Name and arguments of each way to watch.
const WAYS: [(&str, &[&str]); 10] = [
    ("every frame", &["--every-frame"]),
    ("every frame, input 320x256", &["--every-frame", "--input", "320x256"]),
    ("every frame, input 256x192", &["--every-frame", "--input", "256x192"]),
    ("default", &[]),
    ("5 a second", &["--rate", "5"]),
    ("3.4 a second", &["--rate", "3.4"]),
    ("2.5 a second", &["--rate", "2.5"]),
    ("2.5 a second, input 320x256", &["--rate", "2.5", "--input", "320x256"]),
    ("2 a second", &["--rate", "2"]),
    ("1.5 a second", &["--rate", "1.5"]),
];
/// The ways that the docs' verdict compares.
const FULL: &str = "every frame";
const OURS: &str = "2.5 a second";
/// Cameras per core must be so many times those of every frame.
const LEAST_TIMES: f64 = 3.0;
/// And IDF1 at most so many points lower.
const MOST_LOSS: f64 = 0.5;
/// Memory at the end of a soak may exceed that of its first quarter by so many megabytes.
const MOST_GROWTH_MB: f64 = 8.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cost {
    frames: u64,
    detected: u64,
    carried: u64,
    same: u64,
    skipped: u64,
    cpu_ms_per_frame: f64,
    cameras_per_core: f64,
    ms_per_stage: BTreeMap<String, f64>,
    memory_mb: Vec<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    way: String,
    #[serde(flatten)]
    cost: Cost,
    score: Score,
}

/// Measures, prints a table, keeps the JSON; with `docs`, writes the page's table and its plot.
///
/// # Errors
/// When the clip or its ground truth is missing, when a program fails, or when ours is worse than is wanted.
pub fn run(workspace: &Workspace, profile: &str, docs: Option<&Path>) -> Result<()> {
    let program = build(workspace, profile)?;
    let clip = clip(workspace)?;
    let truth = workspace.shared.join("data/mot15").join(SEQUENCE).join("gt.txt");
    ensure!(truth.is_file(), "{} is not there: LINEFREE_SHARED names the folder of data/", truth.display());
    let python = install_scorer(workspace)?;
    let out = workspace.target.join("bench/camera");
    let data = out.join("truth");
    fs::create_dir_all(data.join(SEQUENCE)).context("make a folder for the ground truth")?;
    fs::copy(&truth, data.join(SEQUENCE).join("gt.txt")).context("copy the ground truth")?;
    let mut costs = Vec::new();
    for (way, arguments) in WAYS {
        let folder = out.join(way.replace([' ', ','], "_"));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let report = folder.join("cost.json");
        let running = Running::begin(format!("follow: {way}"));
        let mut follow = crate::bench_tracking::pinned(workspace, &program);
        follow.arg("follow").arg(&clip).args(arguments);
        follow.arg("--out").arg(folder.join(format!("{SEQUENCE}.txt"))).arg("--report").arg(&report);
        process::quietly(&mut follow, &folder.join("log.txt"), &running)?;
        running.done("");
        costs.push((way, folder, read(&report)?));
    }
    let mut score = workspace.command(&python);
    score.arg(workspace.root.join(SCORER)).arg(&data).args(costs.iter().map(|c| &c.1));
    let scores: BTreeMap<String, Score> =
        serde_json::from_str(&process::output(&mut score)?).context("the scorer printed something else")?;
    let mut rows = Vec::new();
    for (way, folder, cost) in costs {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let score = scores.get(&name).with_context(|| format!("no score of {name}"))?.clone();
        rows.push(Row { way: way.to_owned(), cost, score });
    }
    say::line(table(&rows));
    let kept = workspace.target.join("bench").join(format!("camera-{profile}.json"));
    stamp::write_whole(&kept, (serde_json::to_string_pretty(&rows)? + "\n").as_bytes())?;
    say::note(format!("kept in {}", workspace.shown(&kept)));
    if let Some(folder) = docs {
        write_between(&folder.join("tracking.md"), "camera", &markdown(&rows))?;
        let plot = workspace.root.join("docs/images/camera-cost.svg");
        stamp::write_whole(&plot, plotted(&rows).as_bytes())?;
    }
    let find = |way: &str| rows.iter().find(|r| r.way == way).context("a way is missing");
    let (full, ours) = (find(FULL)?, find(OURS)?);
    let times = ours.cost.cameras_per_core / full.cost.cameras_per_core;
    let lost = full.score.idf1 - ours.score.idf1;
    say::line(format!("ours: {times:.1} times the cameras per core of every frame, IDF1 {:+.1}", -lost));
    if times < LEAST_TIMES || lost > MOST_LOSS {
        bail!("at least {LEAST_TIMES} times at no more than {MOST_LOSS} points of IDF1 less is wanted");
    }
    Ok(())
}

/// Runs the clip again and again and watches memory.
///
/// # Errors
/// When the pipeline fails, or when memory has grown.
pub fn soak(workspace: &Workspace, profile: &str, minutes: f64) -> Result<()> {
    let program = build(workspace, profile)?;
    let report = workspace.target.join("bench").join(format!("soak-{profile}.json"));
    fs::create_dir_all(workspace.target.join("bench")).context("make a folder for the report")?;
    let mut follow = workspace.command(&program);
    follow
        .arg("follow")
        .arg(clip(workspace)?)
        .args(["--minutes", &minutes.to_string(), "--report"])
        .arg(&report);
    process::loudly(&mut follow)?;
    let cost = read(&report)?;
    let memory = &cost.memory_mb;
    ensure!(memory.len() >= 4, "only {} readings of memory: run it for longer", memory.len());
    // What is allocated once (arenas, the first loop's buffers) is there after a quarter.
    let settled = &memory[memory.len() / 4..];
    let (first, last) = (settled[0], settled[settled.len() - 1]);
    let most = settled.iter().copied().fold(0.0, f64::max);
    say::line(format!(
        "{} frames in {minutes} minutes: {first:.1} MB after a quarter, {last:.1} MB at the end, {most:.1} MB at most",
        cost.frames
    ));
    if last - first > MOST_GROWTH_MB {
        bail!("memory has grown by {:.1} MB, at most {MOST_GROWTH_MB} MB are wanted", last - first);
    }
    Ok(())
}

fn build(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    process::loudly(workspace.cargo().args(["build", "--locked", "-p", "edge-agent", "--profile", profile]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(workspace.target.join(folder).join("edge-agent"))
}

fn clip(workspace: &Workspace) -> Result<PathBuf> {
    let clip = workspace.home.join("media/vtest.avi");
    ensure!(clip.is_file(), "{} is not there: `cargo xtask setup` brings it", clip.display());
    Ok(clip)
}

fn read(report: &Path) -> Result<Cost> {
    let text = fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report of follow", report.display()))
}

fn share(row: &Row) -> f64 {
    100.0 * row.cost.detected as f64 / row.cost.frames.max(1) as f64
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "way to watch                 detected    ms/frame   cameras/core   HOTA   IDF1   MOTA  switches\n",
    );
    for row in rows {
        let (c, s) = (&row.cost, &row.score);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<28} {:>6.0} % {:>11.2} {:>14.1} {:>6.1} {:>6.1} {:>6.1} {:>9}",
            row.way,
            share(row),
            c.cpu_ms_per_frame,
            c.cameras_per_core,
            s.hota,
            s.idf1,
            s.mota,
            s.switches
        );
    }
    text.trim_end().to_owned()
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| way to watch | frames detected | ms of processor a frame | cameras per core | HOTA | IDF1 | MOTA | switches |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let (c, s) = (&row.cost, &row.score);
        let _ = writeln!(
            text,
            "| {} | {:.0} % | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
            row.way,
            share(row),
            c.cpu_ms_per_frame,
            c.cameras_per_core,
            s.hota,
            s.idf1,
            s.mota,
            s.switches
        );
    }
    text
}

/// Cameras per core against IDF1, a dot a way.
fn plotted(rows: &[Row]) -> String {
    let (width, height, margin) = (640.0, 380.0, 56.0);
    let most = |of: fn(&Row) -> f64| rows.iter().map(of).fold(1.0, f64::max);
    let (x_max, y_max) = (1.15 * most(|r| r.cost.cameras_per_core), 1.1 * most(|r| r.score.idf1));
    let x = |v: f64| margin + v / x_max * (width - 2.0 * margin);
    let y = |v: f64| height - margin - v / y_max * (height - 2.0 * margin);
    let (left, right, top, bottom) = (margin, width - margin, margin, height - margin);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">cameras of 10 frames/s per core</text>\n\
         <text x=\"{left}\" y=\"{}\">IDF1, PETS09-S2L1</text>\n",
        width / 2.0,
        height - 14.0,
        top - 16.0
    );
    for tick in (0..=100).step_by(20).map(f64::from).filter(|t| *t <= y_max) {
        let (at, from) = (y(tick), left - 8.0);
        let _ = writeln!(text, "<text x=\"{from}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>", at + 4.0);
        let _ = writeln!(text, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>");
    }
    let step = (x_max / 6.0).ceil().max(1.0) as usize;
    for tick in (0..=x_max as usize).step_by(step).map(|t| t as f64) {
        let under = bottom + 18.0;
        let _ =
            writeln!(text, "<text x=\"{:.1}\" y=\"{under}\" text-anchor=\"middle\">{tick}</text>", x(tick));
    }
    for (i, row) in rows.iter().enumerate() {
        let (cx, cy) = (x(row.cost.cameras_per_core), y(row.score.idf1));
        let colour = if row.way.starts_with(OURS) { "#c03" } else { "#036" };
        let _ = writeln!(text, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{colour}\"/>");
        // Labels of neighbours stand at different heights.
        let ty = cy + if i % 2 == 0 { -9.0 } else { 18.0 } + if i % 3 == 2 { 13.0 } else { 0.0 };
        let _ = writeln!(
            text,
            "<text x=\"{cx:.1}\" y=\"{ty:.1}\" text-anchor=\"middle\" font-size=\"10\">{}</text>",
            row.way
        );
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_in_table_and_plot() {
        let cost = r#"{"frames": 100, "detected": 25, "carried": 70, "same": 5, "skipped": 0,
            "cpu_ms_per_frame": 5.0, "cameras_per_core": 20.0, "ms_per_stage": {"run": 4.0}, "memory_mb": [80.0]}"#;
        let score = r#"{"hota": 54.0, "det_a": 45, "ass_a": 42, "idf1": 72.4, "mota": 70, "switches": 25}"#;
        let rows = [Row {
            way: "default".into(),
            cost: serde_json::from_str(cost).unwrap(),
            score: serde_json::from_str(score).unwrap(),
        }];
        assert!(markdown(&rows).contains("| default | 25 % | 5.00 | 20.0 | 54.0 | 72.4 | 70.0 | 25 |"));
        assert!(table(&rows).lines().count() == 2);
        let plot = plotted(&rows);
        assert!(plot.contains("<circle") && plot.ends_with("</svg>\n"), "{plot}");
    }
}
