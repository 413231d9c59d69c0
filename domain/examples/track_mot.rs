//! Tracks a detection file and writes the tracks, both in MOT text format, so that anyone's tools can score them.
//!
//! `cargo run --release -p linefree-domain --example track_mot -- DET FPS OUT [DELAY_S]`
//!
//! DET has lines `frame,-1,left,top,width,height,score,...`; OUT gets `frame,track,left,top,width,height,1,-1,-1,-1`.
//! With DELAY_S (at most 0.3 is sensible) frames are told that much later and better.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use linefree_domain::geometry::PixelBox;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{DelayedTracker, Detection, Track, Tracker, TrackerConfig};

type Failure = Box<dyn std::error::Error>;

fn read(path: &str) -> Result<BTreeMap<u32, Vec<Detection>>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let mut frames: BTreeMap<u32, Vec<Detection>> = BTreeMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let fields: Result<Vec<f64>, _> = line.split(',').map(|f| f.trim().parse()).collect();
        let fields = fields.map_err(|e| format!("{path}, line {}: {e}", i + 1))?;
        let [frame, _, x, y, w, h, score, ..] = fields[..] else {
            return Err(format!("{path}, line {}: seven fields are wanted", i + 1).into());
        };
        let bbox = PixelBox { x, y, w, h };
        frames.entry(frame as u32).or_default().push(Detection { bbox, score });
    }
    Ok(frames)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (det, fps, out, delay) = match &arguments[..] {
        [det, fps, out] => (det, fps, out, None),
        [det, fps, out, delay] => (det, fps, out, Some(delay.parse::<f64>()?)),
        _ => {
            return Err(
                "usage: track_mot DET FPS OUT [DELAY_S], for example: track_mot det.txt 25 out.txt 0.3"
                    .into(),
            );
        }
    };
    let fps: f64 = fps.parse()?;
    let delay = delay.map(Duration::try_from_secs_f64).transpose()?;
    let frames = read(det)?;
    let last = frames.keys().next_back().copied().unwrap_or(0);
    let time = |frame: u32| StoreTime::from_micros(0).plus_s(f64::from(frame) / fps);
    let mut told: Vec<(StoreTime, Vec<Track>)> = Vec::new();
    let started = Instant::now();
    if let Some(delay) = delay {
        let mut tracker = DelayedTracker::new(TrackerConfig::default(), delay);
        for frame in 1..=last {
            told.extend(tracker.handle_frame(time(frame), frames.get(&frame).map_or(&[], Vec::as_slice)));
        }
        told.extend(tracker.finish());
    } else {
        let mut tracker = Tracker::new(TrackerConfig::default());
        for frame in 1..=last {
            let seen = frames.get(&frame).map_or(&[][..], Vec::as_slice);
            told.push((time(frame), tracker.handle_frame(time(frame), seen).to_vec()));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut file = std::io::BufWriter::new(std::fs::File::create(out).map_err(|e| format!("{out}: {e}"))?);
    for (t, tracks) in &told {
        let frame = (t.seconds_since(time(0)) * fps).round();
        for Track { id, bbox: b, .. } in tracks {
            writeln!(file, "{frame},{},{:.2},{:.2},{:.2},{:.2},1,-1,-1,-1", id.0, b.x, b.y, b.w, b.h)?;
        }
    }
    file.flush()?;
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "{last} frames in {:.1} ms: {:.0} frames/s", seconds * 1e3, f64::from(last) / seconds)?;
    Ok(())
}
