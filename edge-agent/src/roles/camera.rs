//! The camera role: frames in, people on the floor out. One thread a camera.
//!
//! Nothing is queued between looking and telling: a live camera that is slower than its stream skips frames at the
//! source, a replayed one waits for the floor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use linefree_bus::client::Outgoing;
use linefree_bus::payload::Watermark;
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_domain::ids::CameraIndex;
use linefree_domain::time::StoreTime;
use linefree_hardware::camera::{CameraError, CameraSource, open};
use linefree_recording::SourceDevice;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::device::{Device, ProgressTap, progress_subscription, tap_progress};
use super::pace::Pacer;
use super::{Role, Site};
use crate::convert;
use crate::looking::Looker;
use crate::paths;
use crate::report::Stages;
use crate::vision::{Vision, recorded_source, sight};

/// Status counters are told this often, frames.
const STATUS_EVERY: u64 = 20;
/// An image folder as a live source is shown at this rate.
const FOLDER_RATE_HZ: f64 = 10.0;

/// What a camera role did, for `--report`.
#[derive(Debug, Serialize)]
struct CameraReport {
    frames: u64,
    ms_per_stage: BTreeMap<&'static str, f64>,
}

/// One camera and where its frames come from.
struct Assignment {
    camera: CameraIndex,
    source: CameraSource,
    offset_s: f64,
}

pub(super) async fn run(site: Site) -> anyhow::Result<()> {
    let assignments = assignments(&site)?;
    if assignments.is_empty() {
        tracing::warn!("no camera to watch: nobody will be seen");
        return Ok(());
    }
    let runtime = paths::runtime()?;
    let registry = paths::registry()?;
    let mut threads = JoinSet::new();
    for assignment in assignments {
        let layout = &site.store.layout.cameras[assignment.camera.0];
        let camera =
            open(&assignment.source, FOLDER_RATE_HZ).with_context(|| format!("open camera {}", layout.id))?;
        let sight = sight(camera, layout.size_px, &runtime, &registry, &site.store.live.detector)?;
        let looks = site.store.live.vision.as_ref();
        let looker =
            looks.map(|l| Looker::load(&runtime, &registry, l, &site.store.layout, assignment.camera));
        let vision = Vision::new(sight, assignment.camera).with_looker(looker.transpose()?);
        let replayed = site.recording.is_some();
        let mut wanted = if replayed { vec![progress_subscription()] } else { Vec::new() };
        wanted.extend(looks.map(|_| Subscription::all(TopicKind::Event)));
        let (device, inbox) = Device::connect(&site, layout.id.to_string(), Role::Camera, &wanted)?;
        let tap = tap_progress(inbox);
        let (site, handle) = (Arc::clone(&site), Handle::current());
        threads.spawn_blocking(move || {
            Watch { site, vision, device, tap, handle, offset_s: assignment.offset_s, age_ms: None }.run()
        });
    }
    let (mut frames, mut stages) = (0, Stages::default());
    while let Some(ended) = threads.join_next().await {
        let (seen, spent) = ended.context("a camera's thread failed")??;
        frames += seen;
        stages.join(&spent);
    }
    if let Some(path) = &site.options.report {
        let report = CameraReport { frames, ms_per_stage: stages.ms_per_frame(frames) };
        paths::write_whole(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    Ok(())
}

fn assignments(site: &Site) -> anyhow::Result<Vec<Assignment>> {
    let layout = &site.store.layout;
    let wanted = |camera: CameraIndex| {
        let id = layout.cameras[camera.0].id.as_str();
        site.options.cameras.is_empty() || site.options.cameras.iter().any(|c| c == id)
    };
    let mut assignments = Vec::new();
    if let Some(recording) = &site.recording {
        for file in recording.manifest.cameras.iter().filter(|f| wanted(f.camera)) {
            assignments.push(Assignment {
                camera: file.camera,
                source: recorded_source(recording.video_path(file)),
                offset_s: file.offset_s,
            });
        }
        return Ok(assignments);
    }
    for source in &site.store.live.sources {
        if let SourceDevice::Camera(camera) = source.device
            && wanted(camera)
        {
            let id = &layout.cameras[camera.0].id;
            let source =
                CameraSource::parse(&source.url).with_context(|| format!("[[source]] of camera {id}"))?;
            assignments.push(Assignment { camera, source, offset_s: 0.0 });
        }
    }
    let asked = site.options.cameras.len();
    if assignments.len() < asked {
        bail!("--camera names {asked} cameras, [[source]] in store.toml has {} of them", assignments.len());
    }
    Ok(assignments)
}

/// Where a process begins to number tracks: no camera has as many a second, so one that begins again uses no number of
/// those that the floor may remember.
fn first_track() -> u32 {
    const A_SECOND: u32 = 4_096;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() as u32).wrapping_mul(A_SECOND)
}

/// How old something is by the wall clock; nothing where a file is shown as a camera, with times of its own.
fn age_ms(time: StoreTime) -> Option<u64> {
    const MOST_MS: u64 = 3_600_000;
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let age_us = i64::try_from(wall.as_micros()).ok()?.saturating_sub(time.micros);
    u64::try_from(age_us / 1_000).ok().filter(|ms| *ms < MOST_MS)
}

/// One camera's thread.
struct Watch {
    site: Site,
    vision: Vision,
    device: Device,
    tap: ProgressTap,
    handle: Handle,
    offset_s: f64,
    /// How old the newest frame was when its people were told, milliseconds; live cameras only.
    age_ms: Option<u64>,
}

impl Watch {
    fn run(mut self) -> anyhow::Result<(u64, Stages)> {
        let site = Arc::clone(&self.site);
        let layout = &site.store.layout;
        let recorded = site.recording.as_ref().map(|r| r.manifest.start);
        let start = recorded.unwrap_or_default().plus_s(self.offset_s);
        let mut pacer = recorded.map(|at| Pacer::new(site.pace, at, self.tap.progress.clone()));
        // A recording tells the same each time.
        let first_track = recorded.map_or_else(first_track, |_| 0);
        let mut last = start;
        loop {
            if *site.stop.borrow() && recorded.is_none() {
                self.tell_status();
                self.handle.block_on(self.device.client.close(Duration::from_secs(2)));
                return Ok((self.vision.frames(), *self.vision.stages()));
            }
            let people = match self.vision.next_people(start, layout) {
                Ok(Some(people)) => people,
                Ok(None) => break,
                Err(error) => match error.downcast_ref::<CameraError>().and_then(CameraError::retry_in) {
                    Some(wait) => {
                        tracing::warn!("{error:#}");
                        // A camera that is away is no agent that hangs.
                        self.tell_status();
                        self.handle.block_on(tokio::time::sleep(wait.min(Duration::from_secs(5))));
                        continue;
                    }
                    None => return Err(error),
                },
            };
            last = people.time;
            // Before the camera's watermark: whoever has that has the views, too.
            self.look(people.time)?;
            let mut told = convert::people_out(&people, layout);
            convert::renumber(&mut told, first_track);
            let message = Outgoing::People(told);
            let mark = Outgoing::Watermark(Watermark::unnumbered(
                self.device.source.as_str(),
                people.time.micros,
                false,
            ));
            if let Some(pacer) = &mut pacer {
                // Nothing of a recording may be dropped: the same recording gives the same receipts.
                self.handle.block_on(async {
                    pacer.until(people.time).await;
                    self.device.client.publish_when_room(message).await?;
                    self.device.client.publish_when_room(mark).await
                })?;
            } else {
                self.device.client.publish(message)?;
                self.device.client.publish(mark)?;
                self.age_ms = age_ms(people.time);
            }
            if self.vision.frames().is_multiple_of(STATUS_EVERY) {
                self.tell_status();
            }
        }
        self.finish(last)
    }

    /// Looks back at what shelves have told of, and tells what was handled.
    fn look(&mut self, now: StoreTime) -> anyhow::Result<()> {
        let site = Arc::clone(&self.site);
        let layout = &site.store.layout;
        while let Ok(changed) = self.tap.changes.try_recv() {
            match convert::shelf_in(&changed, layout) {
                Ok(event) => self.vision.ask(event),
                Err(why) => tracing::warn!(why, "shelf event refused"),
            }
        }
        for view in self.vision.views(now, layout)? {
            let message = Outgoing::View(convert::view_out(&view, self.device.source.as_str(), layout));
            self.handle.block_on(self.device.client.publish_when_room(message))?;
        }
        Ok(())
    }

    fn finish(mut self, last: StoreTime) -> anyhow::Result<(u64, Stages)> {
        self.tell_status();
        let source = self.device.source.clone();
        let mark = Outgoing::Watermark(Watermark::unnumbered(source.as_str(), last.micros, true));
        self.handle.block_on(self.device.client.publish_when_room(mark))?;
        let (frames, stages) = (self.vision.frames(), *self.vision.stages());
        tracing::info!(camera = source, frames, "the video has ended");
        // The newest watermark is repeated while connected; stay until the floor has gone past the end.
        let mut progress = self.tap.progress.clone();
        let past = |p: &Option<StoreTime>| p.is_some_and(|p| p >= last);
        let _ = self.handle.block_on(tokio::time::timeout(Duration::from_secs(60), progress.wait_for(past)));
        self.handle.block_on(self.device.client.close(Duration::from_secs(2)));
        Ok((frames, stages))
    }

    fn tell_status(&mut self) {
        let looks = self.vision.looks();
        let mut counters = BTreeMap::from([
            ("frames".to_string(), looks.frames),
            ("frames_detected".to_string(), looks.detected),
            ("frames_dropped".to_string(), self.vision.dropped()),
        ]);
        if let Some(age_ms) = self.age_ms {
            counters.insert("frame_age_ms".into(), age_ms);
        }
        if let Some(clear) = self.vision.clear() {
            let percent = |share: f64| (share * 100.0).round().clamp(0.0, 1_000.0) as u64;
            counters.insert("sharpness_percent".into(), percent(clear.sharpness));
            counters.insert("covered_percent".into(), percent(clear.covered));
        }
        if let Some(looks) = self.vision.look_counts() {
            let told = [
                ("looks_asked", looks.asked),
                ("looks_told", looks.told),
                ("looks_certain", looks.certain),
                ("looks_unseen", looks.unseen),
                ("looks_late", looks.late),
            ];
            counters.extend(told.map(|(name, count)| (name.to_string(), count)));
        }
        for fault in self.vision.take_faults() {
            tracing::warn!(device = fault.device, "{}", fault.message);
            *counters.entry(format!("fault_{}", fault.kind.name())).or_default() += 1;
        }
        let ms = self.vision.stages().ms_per_frame(self.vision.frames());
        counters.extend(ms.into_iter().map(|(stage, ms)| (format!("us_{stage}"), (ms * 1e3) as u64)));
        self.device.tell_status(counters);
    }
}
