//! Detection and tracking on MOT text files, so that they can be scored by anyone's tools.
//!
//! A line is `frame,id,left,top,width,height,score,-1,-1,-1`: frames count from 1, pixels, id -1 for detections
//! (MOTChallenge, Leal-Taixe et al. 2015).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use linefree_domain::geometry::PixelBox;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{DelayedTracker, Detection, Track, TrackerConfig};
use linefree_hardware::camera::{Camera, CameraSource, open};
use linefree_models::{ColourOrder, FrameView};
use linefree_recording::DetectorConfig;

use crate::paths;
use crate::vision::person_detector;

/// Detections by frame, from 1.
pub type Frames = BTreeMap<u32, Vec<Detection>>;

/// How far tracking may look ahead.
const LOOK_AHEAD: Duration = Duration::from_millis(300);
/// Image folders are taken at this rate.
const FOLDER_RATE_HZ: f64 = 25.0;

/// Reads detections.
///
/// # Errors
/// The first line that is not MOT text, by number.
pub fn read_detections(path: &Path) -> anyhow::Result<Frames> {
    let mut frames = Frames::new();
    for (i, line) in paths::read_text(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let (frame, detection) = detection_of(line).with_context(|| {
            format!("{}:{}: want frame,id,left,top,width,height,score", path.display(), i + 1)
        })?;
        frames.entry(frame).or_default().push(detection);
    }
    Ok(frames)
}

fn detection_of(line: &str) -> anyhow::Result<(u32, Detection)> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    ensure!(fields.len() >= 6, "{} fields", fields.len());
    let number = |i: usize| -> anyhow::Result<f64> {
        let value: f64 = fields[i].parse().with_context(|| format!("field {}: {:?}", i + 1, fields[i]))?;
        ensure!(value.is_finite(), "field {}: {value}", i + 1);
        Ok(value)
    };
    let frame = number(0)?;
    ensure!((1.0..=f64::from(u32::MAX)).contains(&frame), "frame {frame}: frames count from 1");
    let bbox = PixelBox { x: number(2)?, y: number(3)?, w: number(4)?, h: number(5)? };
    // Some tools leave the score out or write -1 for "none".
    let score = if fields.len() > 6 { number(6)? } else { 1.0 };
    let score = if score < 0.0 { 1.0 } else { score };
    Ok((frame as u32, Detection { bbox, score }))
}

/// Tracks detections; gives the tracks as MOT text and the time that tracking alone took.
///
/// # Errors
/// When the rate is not a positive number.
pub fn track(frames: &Frames, fps: f64) -> anyhow::Result<(String, Duration)> {
    ensure!(fps.is_finite() && fps > 0.0, "--fps {fps}: want a positive number of frames a second");
    let last = frames.last_key_value().map_or(0, |(frame, _)| *frame);
    let time = |frame: u32| StoreTime::default().plus_s(f64::from(frame - 1) / fps);
    let numbers: BTreeMap<StoreTime, u32> = (1..=last).map(|f| (time(f), f)).collect();
    let mut done: Vec<(StoreTime, Vec<Track>)> = Vec::new();
    let mut tracker = DelayedTracker::new(TrackerConfig::default(), LOOK_AHEAD);
    let began = Instant::now();
    for frame in 1..=last {
        let detections = frames.get(&frame).map_or(&[][..], Vec::as_slice);
        done.extend(tracker.handle_frame(time(frame), detections));
    }
    done.extend(tracker.finish());
    let spent = began.elapsed();
    let mut text = String::new();
    for (time, tracks) in done {
        let Some(frame) = numbers.get(&time) else { bail!("a track at a time that no frame has") };
        for t in tracks {
            let PixelBox { x, y, w, h } = t.bbox;
            let id = t.id.0;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{frame},{id},{x:.2},{y:.2},{w:.2},{h:.2},{:.4},-1,-1,-1", t.score);
        }
    }
    Ok((text, spent))
}

/// Finds people in every frame of a video; gives MOT text and the number of frames.
///
/// # Errors
/// When the video or the model cannot be used.
pub fn detect(
    video: &Path,
    wanted: &DetectorConfig,
    threads: usize,
    mut each: impl FnMut(u64, Option<u64>),
) -> anyhow::Result<(String, u64)> {
    let source = if video.is_dir() {
        CameraSource::Folder(video.to_owned())
    } else {
        CameraSource::File(video.to_owned())
    };
    let mut camera = open(&source, FOLDER_RATE_HZ)?;
    let info = camera.info();
    let frame_px = info.size_px.context("the video does not say its size")?;
    let mut detector = person_detector(&paths::runtime()?, &paths::registry()?, wanted, frame_px, threads)?;
    let mut text = String::new();
    let mut frames = 0;
    while let Some(frame) = camera.next_frame()? {
        let view = FrameView::new(
            frame.data,
            frame.width_px,
            frame.height_px,
            frame.stride_bytes,
            ColourOrder::Bgr,
        )?;
        frames += 1;
        for Detection { bbox, score } in detector.detect(&view)? {
            let PixelBox { x, y, w, h } = bbox;
            let _ = writeln!(text, "{},-1,{x:.2},{y:.2},{w:.2},{h:.2},{score:.4},-1,-1,-1", frame.index + 1);
        }
        each(frames, info.frames);
    }
    Ok((text, frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("det.txt");
        std::fs::write(&path, "1,-1,10,20,30,60,0.9,-1,-1,-1\n2,-1,10,twenty,30,60,0.9\n").unwrap();
        let error = format!("{:#}", read_detections(&path).unwrap_err());
        assert!(error.contains("det.txt:2") && error.contains("twenty"), "{error}");
    }

    #[test]
    fn a_walking_box_keeps_its_number() {
        let frames: Frames = (1..=40)
            .map(|f| {
                let bbox = PixelBox { x: 10.0 + 3.0 * f64::from(f), y: 50.0, w: 30.0, h: 80.0 };
                (f, vec![Detection { bbox, score: 0.9 }])
            })
            .collect();
        let (text, _) = track(&frames, 10.0).unwrap();
        let ids: std::collections::BTreeSet<&str> =
            text.lines().map(|l| l.split(',').nth(1).unwrap()).collect();
        assert_eq!(ids.len(), 1);
        assert!(text.lines().count() >= 36, "only {} frames tracked", text.lines().count());
    }
}
