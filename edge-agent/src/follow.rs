//! The camera role's pipeline on a video file, without bus and floor: what it sees and what it costs.
//!
//! Costs are processor time of the whole process (decoding threads included) from the first frame on. With
//! `--minutes` the video is shown again and again to the same pipeline, and resident memory is read every 1,000
//! frames, so that a leak shows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_domain::geometry::PixelBox;
use linefree_domain::time::StoreTime;
use linefree_hardware::camera::{Camera, CameraSource, open};
use linefree_models::DEFAULT_PERSON_MODEL;
use linefree_recording::DetectorConfig;
use serde::Serialize;

use crate::attention::AttentionConfig;
use crate::cli::size;
use crate::paths;
use crate::sight::Sight;
use crate::vision::{person_detector, threshold};

/// Image folders are taken at this rate.
const FOLDER_RATE_HZ: f64 = 10.0;
/// Memory is read every so many frames.
const MEMORY_EVERY: u64 = 1_000;

/// What is followed, and how closely.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// A video file or a folder of images.
    video: PathBuf,
    /// Where to write the tracks (MOT text).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write what it cost (JSON).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Run the model on every frame.
    #[arg(long, conflicts_with_all = ["rate", "idle"])]
    every_frame: bool,
    /// Detections a second while people are in view.
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Longest time without a detection, seconds.
    #[arg(long, value_name = "SECONDS")]
    idle: Option<f64>,
    /// A model of models/manifest.toml.
    #[arg(long, default_value = DEFAULT_PERSON_MODEL)]
    model: String,
    /// Width and height the model is run at, as 416x320; by default the frames' shape.
    #[arg(long, value_name = "WxH", value_parser = size)]
    input: Option<[u32; 2]>,
    /// Show the video again and again for so long; nothing is written but the report.
    #[arg(long, value_name = "MINUTES", conflicts_with = "out")]
    minutes: Option<f64>,
}

/// What it cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FollowReport {
    /// Frames in all.
    pub frames: u64,
    /// Frames that the model saw.
    pub detected: u64,
    /// Frames in which boxes were carried along.
    pub carried: u64,
    /// Frames in which nothing had changed.
    pub same: u64,
    /// Frames passed over unseen.
    pub skipped: u64,
    /// Frames a second of the video.
    pub rate_hz: f64,
    /// Seconds of the clock.
    pub elapsed_s: f64,
    /// Processor time a frame, milliseconds.
    pub cpu_ms_per_frame: f64,
    /// Cameras of this kind that one core can watch at the video's rate.
    pub cameras_per_core: f64,
    /// Milliseconds a frame by stage.
    pub ms_per_stage: std::collections::BTreeMap<&'static str, f64>,
    /// Resident memory, megabytes, every 1,000 frames and at the end.
    pub memory_mb: Vec<f64>,
}

/// Follows; gives what is to be told on stdout.
///
/// # Errors
/// When the video or the model cannot be used, or a file cannot be written.
pub fn run(args: &FollowArgs) -> anyhow::Result<String> {
    let camera = opened(&args.video)?;
    let info = camera.info();
    let frame_px = info.size_px.context("the video does not say its size")?;
    let rate_hz = info.rate_hz.unwrap_or(FOLDER_RATE_HZ);
    let wanted = DetectorConfig {
        input_px: args.input,
        rate_hz: args.rate,
        idle_s: args.idle,
        ..DetectorConfig::model(&args.model)
    };
    for (name, value) in [("--rate", args.rate), ("--idle", args.idle), ("--minutes", args.minutes)] {
        ensure!(value.is_none_or(|v| v.is_finite() && v > 0.0), "{name}: want a positive number");
    }
    let attention = AttentionConfig { every_frame: args.every_frame, ..AttentionConfig::of(&wanted) };
    let registry = paths::registry()?;
    let detector = person_detector(&paths::runtime()?, &registry, &wanted, frame_px, 1)?;
    let mut sight = Sight::new(camera, detector, threshold(&registry, &wanted)?, attention);
    let bar = bar(args.minutes, info.frames)?;
    let (began, cpu_before) = (Instant::now(), cpu_time()?);
    let mut start = StoreTime::default();
    let (mut text, mut memory_mb, mut last) = (String::new(), Vec::new(), start);
    let until = args.minutes.map(|m| Duration::from_secs_f64(60.0 * m));
    loop {
        let counted = sight.counts().frames;
        match sight.next_seen(start, None)? {
            Some(seen) => {
                last = seen.time;
                if until.is_none() {
                    for t in seen.tracks {
                        let PixelBox { x, y, w, h } = t.bbox;
                        let (frame, id) = (seen.index + 1, t.id.0);
                        // Writing to a String cannot fail.
                        let _ = writeln!(
                            text,
                            "{frame},{id},{x:.2},{y:.2},{w:.2},{h:.2},{:.4},-1,-1,-1",
                            t.score
                        );
                    }
                }
            }
            None if until.is_some_and(|u| began.elapsed() < u) => {
                ensure!(counted > 0, "{}: no frame in it", args.video.display());
                start = last.plus_s(1.0 / rate_hz);
                sight.change_camera(opened(&args.video)?);
            }
            None => break,
        }
        let frames = sight.counts().frames;
        if frames / MEMORY_EVERY != counted / MEMORY_EVERY {
            memory_mb.push(resident_mb()?);
        }
        bar.set_position(until.map_or(frames, |_| began.elapsed().as_secs()));
        if until.is_some_and(|u| began.elapsed() >= u) {
            break;
        }
    }
    bar.finish_and_clear();
    memory_mb.push(resident_mb()?);
    let counts = sight.counts();
    let frames = counts.frames.max(1) as f64;
    let cpu_s = (cpu_time()? - cpu_before).max(1e-9);
    let report = FollowReport {
        frames: counts.frames,
        detected: counts.detected,
        carried: counts.carried,
        same: counts.same,
        skipped: counts.skipped,
        rate_hz,
        elapsed_s: began.elapsed().as_secs_f64(),
        cpu_ms_per_frame: 1e3 * cpu_s / frames,
        cameras_per_core: frames / cpu_s / rate_hz,
        ms_per_stage: sight.stages().ms_per_frame(counts.frames),
        memory_mb,
    };
    if let Some(out) = &args.out {
        paths::write_whole(out, &text)?;
    }
    if let Some(path) = &args.report {
        paths::write_whole(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    Ok(format!(
        "{} frames: {} detected, {} carried, {} unchanged, {} passed over; {:.2} ms of processor a frame, {:.1} \
         cameras of {rate_hz:.0} frames/s a core, {:.0} MB\n",
        report.frames,
        report.detected,
        report.carried,
        report.same,
        report.skipped,
        report.cpu_ms_per_frame,
        report.cameras_per_core,
        report.memory_mb.last().copied().unwrap_or_default()
    ))
}

fn opened(video: &Path) -> anyhow::Result<Box<dyn Camera>> {
    let path = video.to_owned();
    let source = if video.is_dir() { CameraSource::Folder(path) } else { CameraSource::File(path) };
    Ok(open(&source, FOLDER_RATE_HZ)?)
}

fn bar(minutes: Option<f64>, frames: Option<u64>) -> anyhow::Result<ProgressBar> {
    let (template, length) = match minutes {
        Some(minutes) => ("{bar:40} {pos}/{len} s", (60.0 * minutes) as u64),
        None => ("{bar:40} frame {pos}/{len}, {per_sec}, {eta} to go", frames.unwrap_or(0)),
    };
    Ok(ProgressBar::new(length).with_style(ProgressStyle::with_template(template)?))
}

/// Processor time of this process, user and system, seconds.
fn cpu_time() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // The program's name, in brackets, may hold spaces; user and system time are fields 14 and 15.
    let after = text.rsplit_once(')').context("/proc/self/stat without a name")?.1;
    let ticks: Vec<f64> = after.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/self/stat: {text:?}");
    // Linux counts in hundredths of a second for programs, whatever its own timer does (USER_HZ).
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Resident memory of this process, megabytes.
fn resident_mb() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line =
        text.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("/proc/self/status has no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS")?;
    Ok((kilobytes / 102.4).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_what_it_costs() {
        assert!(cpu_time().unwrap() >= 0.0);
        assert!(resident_mb().unwrap() > 1.0);
    }
}
