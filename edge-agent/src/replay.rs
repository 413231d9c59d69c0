//! A recording into receipts, in one process, as fast as it goes and with the same bytes every time.
//!
//! Video is decoded and looked at by one thread a camera, each with a short queue of results; everything else is
//! merged in event time by the calling thread. Which thread was faster does not matter: an observation is used when
//! every source has passed its moment.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_domain::attribution::ProductView;
use linefree_domain::cart::{CartPolicy, Receipt};
use linefree_domain::floor::{ClockComparison, PeopleObservation, person_from_box};
use linefree_domain::ids::CameraIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector, ShelfEvent};
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{Detection, Tracker, TrackerConfig};
use linefree_domain::visit::GatePassed;
use linefree_hardware::camera::open;
use linefree_recording::{
    CameraFile, GateEvent, GateLine, PeopleLine, ReceiptLine, Receipts, RecordedPerson, Recording, ViewLine,
};

use crate::looking::{LookCounts, Looker, VIEWS_WAIT_S};
use crate::paths;
use crate::report::{LineScore, ReplayReport, Stages};
use crate::trace::Trace;
use crate::vision::{Vision, recorded_source, sight};

/// How late a line of people.jsonl may be, seconds: cameras interleave there and have their own clocks.
const PEOPLE_LATE_S: f64 = 3.0;
/// Observations that may wait between a camera's thread and the merge. A full queue makes the camera wait.
const CAMERA_QUEUE: usize = 16;
/// A folder of images knows no rate: this is shown.
const FOLDER_RATE_HZ: f64 = 10.0;

/// The result of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// The receipts, canonical.
    pub receipts: Receipts,
    /// What it took.
    pub report: ReplayReport,
}

/// Replays a recording.
///
/// `trace` names a file for what was believed on the way ([`Trace`]).
///
/// # Errors
/// Mistakes in the recording, each by file, line and field; a missing model or library; a video that is not there.
pub fn replay(dir: &Path, progress: bool, trace: Option<&Path>) -> anyhow::Result<Replayed> {
    let began = Instant::now();
    let recording = Recording::open(dir).with_context(|| format!("open the recording {}", dir.display()))?;
    let layout = std::sync::Arc::new(recording.store.layout.clone());
    let config = StoreConfig {
        cart: CartPolicy { review_below: recording.store.live.policy.review_below },
        views_wait_s: if looks(&recording) { VIEWS_WAIT_S } else { 0.0 },
        ..StoreConfig::default()
    };
    let (ahead_s, scales_ahead_s) = clocks_of(&recording, &layout)?;
    let mut merge = Merge {
        ahead_s,
        scales_ahead_s,
        store: Store::new(std::sync::Arc::clone(&layout), config)
            .with_staff(&recording.store.live.policy.staff),
        shelves: ShelfDetector::new(&layout, ShelfConfig::default()),
        layout: &layout,
        receipts: Vec::new(),
        tag: 0,
        trace: trace.map(Trace::create).transpose()?,
        looks: LookCounts::default(),
    };
    let (stages, frames, faults) = merge.run(&recording, &bar(&recording, progress))?;
    if let Some(trace) = &mut merge.trace {
        trace.flush()?;
    }
    let receipts = receipts_of(&merge.receipts, &layout);
    let expected = recording.expected()?;
    let elapsed_s = began.elapsed().as_secs_f64();
    let counters = merge.counters();
    let report = ReplayReport {
        duration_s: recording.manifest.duration_s,
        elapsed_s,
        times_real_time: recording.manifest.duration_s / elapsed_s.max(1e-9),
        frames,
        ms_per_stage: stages.ms_per_frame(frames),
        counters,
        missing: missing(&recording)?,
        faults,
        lines: expected.map(|expected| LineScore::of(&receipts, &expected)),
    };
    Ok(Replayed { receipts, report })
}

/// Do cameras look at what is handled?
fn looks(recording: &Recording) -> bool {
    recording.store.live.vision.is_some() && !recording.manifest.cameras.is_empty()
}

fn bar(recording: &Recording, progress: bool) -> ProgressBar {
    if !progress {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} s of the recording, {eta} to go {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(recording.manifest.duration_s.ceil() as u64).with_style(style)
}

/// What the recording leaves out and what that costs.
fn missing(recording: &Recording) -> anyhow::Result<Vec<String>> {
    let layout = &recording.store.layout;
    let mut missing = Vec::new();
    let people = recording.people()?.is_some();
    if recording.manifest.cameras.is_empty() && !people {
        missing.push("no video and no people.jsonl: nobody is seen, so no shopper can be told".into());
    }
    if layout.plates.is_empty() || recording.weights()?.is_none() {
        missing.push("no plates or no weights.csv: nothing is known to be taken".into());
    }
    if layout.gates.is_empty() || recording.gates()?.is_empty() {
        missing.push("no gates or no gate.jsonl: no visit has a credential".into());
    }
    Ok(missing)
}

/// How far each camera's clock is ahead of the others' and the scales' ahead of theirs, seconds, from a first reading of
/// people.jsonl and weights.csv.
fn clocks_of(recording: &Recording, layout: &StoreLayout) -> anyhow::Result<(Vec<f64>, f64)> {
    let mut clocks = ClockComparison::default();
    let mut boxes = BoxTracker::default();
    for line in recording.people()?.into_iter().flatten() {
        clocks.note(&boxes.observation(line?, layout));
    }
    let ahead_s = clocks.ahead_s();
    if ahead_s.is_empty() {
        return Ok((ahead_s, 0.0));
    }
    let events = shelf_events(recording, layout)?;
    let scales_ahead_s = clocks.scales_ahead_s(&ahead_s, layout, &events);
    Ok((ahead_s, scales_ahead_s))
}

/// Every shelf event of the recording, by the scales' clock.
fn shelf_events(recording: &Recording, layout: &StoreLayout) -> anyhow::Result<Vec<ShelfEvent>> {
    let mut shelves = ShelfDetector::new(layout, ShelfConfig::default());
    let mut events = Vec::new();
    for sample in recording.weights()?.into_iter().flatten() {
        events.extend(shelves.handle_sample(&sample?));
    }
    events.extend(shelves.finish());
    Ok(events)
}

struct Merge<'a> {
    /// How far each camera's clock in people.jsonl is ahead, seconds.
    ahead_s: Vec<f64>,
    /// How far the scales' clock is, seconds.
    scales_ahead_s: f64,
    store: Store,
    shelves: ShelfDetector,
    layout: &'a StoreLayout,
    receipts: Vec<Receipt>,
    tag: u64,
    trace: Option<Trace>,
    /// What looking at what was handled has come to, over all cameras.
    looks: LookCounts,
}

/// One camera's observations as they come out of its thread.
struct Feed {
    results: Receiver<anyhow::Result<Seen>>,
    next: Option<Seen>,
}

/// The people in a frame, and what was seen to be handled before it.
struct Seen {
    people: PeopleObservation,
    views: Vec<ProductView>,
}

impl Feed {
    fn pull(&mut self) -> anyhow::Result<()> {
        // A closed channel is the end of the video.
        self.next = self.results.recv().ok().transpose()?;
        Ok(())
    }
}

struct CameraEnd {
    stages: Stages,
    frames: u64,
    faults: Vec<String>,
    looks: LookCounts,
}

impl Merge<'_> {
    fn run(
        &mut self,
        recording: &Recording,
        bar: &ProgressBar,
    ) -> anyhow::Result<(Stages, u64, Vec<String>)> {
        std::thread::scope(|scope| {
            let mut feeds = Vec::new();
            let mut threads = Vec::new();
            if !recording.manifest.cameras.is_empty() {
                let runtime = paths::runtime()?;
                let registry = paths::registry()?;
                let asked = if looks(recording) {
                    shelf_events(recording, self.layout)?.into_iter().map(|e| self.on_time(e)).collect()
                } else {
                    Vec::new()
                };
                for file in &recording.manifest.cameras {
                    let mut vision = vision_of(recording, file, &runtime, &registry)?;
                    let mut asked = asked.clone().into_iter().peekable();
                    let (sender, results) = sync_channel(CAMERA_QUEUE);
                    let start = recording.manifest.time_at(file.offset_s);
                    let layout = self.layout;
                    threads.push(scope.spawn(move || {
                        let mut next = || {
                            let Some(people) = vision.next_people(start, layout)? else { return Ok(None) };
                            while let Some(event) = asked.next_if(|e: &ShelfEvent| e.end() <= people.time) {
                                vision.ask(event);
                            }
                            let views = vision.views(people.time, layout)?;
                            Ok(Some(Seen { people, views }))
                        };
                        while let Some(next) = next().transpose() {
                            let failed = next.is_err();
                            // The merge has gone away: it has its own error to tell.
                            if sender.send(next).is_err() || failed {
                                break;
                            }
                        }
                        let faults = vision.take_faults().into_iter().map(|f| f.message).collect();
                        let looks = vision.look_counts().unwrap_or_default();
                        CameraEnd { stages: *vision.stages(), frames: vision.frames(), faults, looks }
                    }));
                    feeds.push(Feed { results, next: None });
                }
            }
            self.merge(recording, &mut feeds, bar)?;
            drop(feeds);
            bar.finish_and_clear();
            let (mut stages, mut frames, mut faults) = (Stages::default(), 0, Vec::new());
            for thread in threads {
                let end = thread.join().map_err(|_| anyhow::anyhow!("a camera's thread failed"))?;
                stages.join(&end.stages);
                frames += end.frames;
                self.looks.add(&end.looks);
                faults.extend(end.faults);
            }
            faults.extend(self.clock_faults());
            faults.extend(self.shelves.take_faults().into_iter().map(|f| {
                let plate = &self.layout.plates[f.plate.0].id;
                let turn = if f.cleared { "is over" } else { "began" };
                format!("plate {plate}: {:?} {turn} at {} us", f.kind, f.time.micros)
            }));
            Ok((stages, frames, faults))
        })
    }

    /// Feeds the store in event time: always the source that is furthest behind.
    fn merge(&mut self, recording: &Recording, feeds: &mut [Feed], bar: &ProgressBar) -> anyhow::Result<()> {
        let start = recording.manifest.start;
        for feed in feeds.iter_mut() {
            feed.pull()?;
        }
        let mut weights = recording.weights()?;
        let mut sample = weights.as_mut().and_then(Iterator::next).transpose()?;
        let mut people = recording.people()?;
        let mut line = people.as_mut().and_then(Iterator::next).transpose()?;
        let mut boxes = BoxTracker::default();
        let most_ahead_s = self.ahead_s.iter().copied().fold(0.0, f64::max);
        let mut people_seen: Option<StoreTime> = None;
        for gate in recording.gates()? {
            self.store.handle(Input::Gate(gate_of(&gate)));
        }
        for ViewLine { time, place, likelihood } in recording.views()? {
            self.store.handle(Input::View(ProductView { time, place, likelihood }));
        }
        loop {
            let feed = feeds
                .iter()
                .enumerate()
                .filter_map(|(i, f)| f.next.as_ref().map(|s| (s.people.time, i)))
                .min();
            let weight = sample.as_ref().map(|s| s.time);
            let seen = line.as_ref().map(|l| people_seen.unwrap_or(l.time).max(l.time));
            let Some(next) = [feed.map(|f| f.0), weight, seen].into_iter().flatten().min() else {
                break;
            };
            if let Some((time, i)) = feed
                && time == next
            {
                if let Some(Seen { people, views }) = feeds[i].next.take() {
                    views.into_iter().for_each(|view| self.store.handle(Input::View(view)));
                    self.store.handle(Input::People(people));
                }
                feeds[i].pull()?;
            } else if weight == Some(next) {
                if let Some(sample) = sample.take() {
                    let events = self.shelves.handle_sample(&sample);
                    self.shelf(events);
                }
                sample = weights.as_mut().and_then(Iterator::next).transpose()?;
                if sample.is_none() {
                    let events = self.shelves.finish();
                    self.shelf(events);
                }
            } else if let Some(current) = line.take() {
                people_seen = people_seen.max(Some(current.time));
                let mut observation = boxes.observation(current, self.layout);
                let ahead_s = self.ahead_s.get(observation.camera.0).copied().unwrap_or_default();
                observation.time = observation.time.plus_s(-ahead_s);
                self.store.handle(Input::People(observation));
                line = people.as_mut().and_then(Iterator::next).transpose()?;
            }
            // What each source may still send is younger than this.
            let shelves = sample.as_ref().map(|_| {
                self.shelves.watermark().unwrap_or(start.plus_s(-1.0)).plus_s(-self.scales_ahead_s.max(0.0))
            });
            let lines =
                line.as_ref().map(|_| people_seen.unwrap_or(start).plus_s(-PEOPLE_LATE_S - most_ahead_s));
            let frames = feeds.iter().filter_map(|f| f.next.as_ref().map(|s| s.people.time)).min();
            let watermark = [shelves, lines, frames, Some(next)].into_iter().flatten().min();
            if let Some(watermark) = watermark {
                let decisions = self.store.advance(watermark);
                self.keep(decisions)?;
                if let Some(trace) = &mut self.trace {
                    trace.shoppers(watermark, &self.store)?;
                }
            }
            bar.set_position(next.seconds_since(start).max(0.0) as u64);
        }
        let decisions = self.store.advance(recording.manifest.end());
        self.keep(decisions)?;
        let decisions = self.store.finish();
        self.keep(decisions)?;
        Ok(())
    }

    /// What to know of cameras' clocks.
    fn clock_faults(&self) -> impl Iterator<Item = String> + '_ {
        let off = self.ahead_s.iter().enumerate().filter(|(_, ahead_s)| **ahead_s != 0.0);
        let way = |ahead_s: f64| if ahead_s > 0.0 { "ahead of" } else { "behind" };
        let scales_s = self.scales_ahead_s;
        let scales = (scales_s != 0.0).then(|| {
            let (much_s, way) = (scales_s.abs(), way(scales_s));
            format!(
                "scales: their clock is about {much_s:.1} s {way} the cameras'; corrected for this replay"
            )
        });
        let cameras = off.map(move |(camera, ahead_s)| {
            let id = self.layout.cameras.get(camera).map_or_else(|| camera.to_string(), |c| c.id.to_string());
            let (much_s, way) = (ahead_s.abs(), way(*ahead_s));
            format!("camera {id}: its clock is {much_s:.1} s {way} the others'; corrected for this replay")
        });
        cameras.chain(scales)
    }

    fn shelf(&mut self, events: Vec<ShelfEvent>) {
        for event in events {
            let event = self.on_time(event);
            self.tag += 1;
            self.store.handle(Input::Shelf { tag: self.tag, event });
        }
    }

    /// By the cameras' clock.
    fn on_time(&self, mut event: ShelfEvent) -> ShelfEvent {
        for change in &mut event.changes {
            (change.start, change.end) =
                (change.start.plus_s(-self.scales_ahead_s), change.end.plus_s(-self.scales_ahead_s));
        }
        event
    }

    fn keep(&mut self, decisions: Vec<Decision>) -> anyhow::Result<()> {
        for decision in decisions {
            if let Some(trace) = &mut self.trace {
                trace.decision(&decision, self.layout)?;
            }
            if let Decision::VisitClosed(receipt) = decision {
                self.receipts.push(receipt);
            }
        }
        Ok(())
    }

    fn counters(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let store = self.store.counters();
        let shelves = self.shelves.counters();
        let floor = self.store.floor().counters();
        [
            ("people_observations", store.people),
            ("shelf_events", store.shelf_events),
            ("gate_events", store.gates),
            ("product_views", store.views),
            ("looks_asked", self.looks.asked),
            ("looks_told", self.looks.told),
            ("late_inputs", store.late),
            ("weights", shelves.weights),
            ("bad_weights", shelves.bad_weights),
            ("people_outside_floor", floor.outside),
        ]
        .into()
    }
}

fn vision_of(
    recording: &Recording,
    file: &CameraFile,
    runtime: &linefree_models::Runtime,
    registry: &linefree_models::Registry,
) -> anyhow::Result<Vision> {
    let path = recording.video_path(file);
    let camera = open(&recorded_source(path), FOLDER_RATE_HZ).with_context(|| {
        format!("open the video of camera {}", recording.store.layout.cameras[file.camera.0].id)
    })?;
    let size_px = recording.store.layout.cameras[file.camera.0].size_px;
    let sight = sight(camera, size_px, runtime, registry, &recording.store.live.detector)?;
    let wanted = recording.store.live.vision.as_ref();
    let looker = wanted.map(|w| Looker::load(runtime, registry, w, &recording.store.layout, file.camera));
    Ok(Vision::new(sight, file.camera).with_looker(looker.transpose()?))
}

/// A gate line as the core takes it.
#[must_use]
pub fn gate_of(line: &GateLine) -> GatePassed {
    GatePassed {
        time: line.time,
        gate: line.gate,
        entry: line.event == GateEvent::Entry,
        credential: line.credential.clone(),
        party: line.party.max(1),
    }
}

/// Turns recorded people into observations; boxes are tracked a camera each, as a camera role would have.
#[derive(Debug, Default)]
struct BoxTracker {
    trackers: std::collections::BTreeMap<CameraIndex, Tracker>,
    strangers: std::collections::BTreeMap<String, usize>,
}

impl BoxTracker {
    fn observation(&mut self, line: PeopleLine, layout: &StoreLayout) -> PeopleObservation {
        // A camera that store.toml does not have gets an index behind those it has.
        let camera = line.index.unwrap_or_else(|| {
            let known = self.strangers.len();
            let stranger = *self.strangers.entry(line.camera.to_string()).or_insert(known);
            CameraIndex(layout.cameras.len() + stranger)
        });
        let mut people = Vec::new();
        let mut boxes: Vec<Detection> = Vec::new();
        for person in line.people {
            match person {
                RecordedPerson::Floor(person) => people.push(person),
                RecordedPerson::Box(detection) => boxes.push(detection),
            }
        }
        if let (false, Some(view)) = (boxes.is_empty(), layout.cameras.get(camera.0)) {
            let tracker =
                self.trackers.entry(camera).or_insert_with(|| Tracker::new(TrackerConfig::default()));
            let tracks = tracker.handle_frame(line.time, &boxes);
            people.extend(tracks.iter().filter_map(|t| person_from_box(view, t.seen, t.score, Some(t.id))));
        }
        PeopleObservation { camera, time: line.time, people }
    }
}

/// Receipts in the form that recordings use: sorted, with probability and review.
#[must_use]
pub fn receipts_of(receipts: &[Receipt], layout: &StoreLayout) -> Receipts {
    let receipts = receipts
        .iter()
        .map(|r| linefree_recording::Receipt {
            credential: r.credential.clone(),
            lines: r
                .lines
                .iter()
                .map(|l| ReceiptLine {
                    sku: layout.products[l.product.0].sku.clone(),
                    quantity: l.quantity,
                    probability: Some(l.probability),
                    review: Some(l.review),
                })
                .collect(),
        })
        .collect();
    Receipts { receipts }.canonical()
}
