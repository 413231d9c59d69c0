//! Frames of one camera into people on the floor: decode, detect, track, project.
//!
//! One thread owns all of it, and every buffer is reused: the camera lends its frame, the detector reads it in
//! place. A file that ends early gives the people it has and a fault.

use std::time::Instant;

use anyhow::Context;
use linefree_domain::floor::{PeopleObservation, Person, person_from_box};
use linefree_domain::geometry::PixelBox;
use linefree_domain::ids::CameraIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{
    Appearance, Track, Tracker, TrackerConfig, Tracklet, Tracklets, TrackletsConfig,
};
use linefree_hardware::camera::Camera;
use linefree_hardware::fault::Fault;
use linefree_models::{
    ColourOrder, DetectorOptions, FrameView, InputSize, PersonDetector, Registry, Runtime, appearance_of,
};
use linefree_recording::DetectorConfig;

use crate::report::{Stage, Stages};

/// The tracker's second association stage lives on uncertain detections, so the detector hands over more than it
/// would show to people: everything from this share of its own threshold on.
const WEAK_SHARE: f64 = 0.5;
/// A new track needs this much more than the threshold.
const BIRTH_MARGIN: f64 = 0.05;

/// A tracker for the scores of one model. What a score means differs between models; their manifest's threshold is the
/// point at which each is about as precise as it is complete.
fn tracker_config(threshold: f64) -> TrackerConfig {
    TrackerConfig {
        strong_score: threshold,
        weak_score: WEAK_SHARE * threshold,
        birth_score: threshold + BIRTH_MARGIN,
        ..TrackerConfig::default()
    }
}

/// Loads the person model that a store asks for, sized for frames of this shape.
///
/// # Errors
/// When the model is unknown, missing, altered or of another signature than its manifest's.
pub fn person_detector(
    runtime: &Runtime,
    registry: &Registry,
    wanted: &DetectorConfig,
    frame_px: [u32; 2],
    threads: usize,
) -> anyhow::Result<PersonDetector> {
    let input = match wanted.input_px {
        Some([width_px, height_px]) => InputSize::Exact { width_px, height_px },
        None => InputSize::ShapedAs { frame_width_px: frame_px[0], frame_height_px: frame_px[1] },
    };
    let score_min = Some((WEAK_SHARE * threshold(registry, wanted)?) as f32);
    let options = DetectorOptions { threads, input, score_min, ..DetectorOptions::default() };
    registry
        .person_detector(runtime, &wanted.model, &options)
        .with_context(|| format!("load the person model {:?}", wanted.model))
}

/// The score from which on a detection is believed: the store's, else the model's own.
///
/// # Errors
/// When the model is unknown.
pub fn threshold(registry: &Registry, wanted: &DetectorConfig) -> anyhow::Result<f64> {
    let model = registry.manifest().model(&wanted.model)?;
    Ok(wanted.score_min.unwrap_or(f64::from(model.score_min)))
}

/// One camera's way from frames to people.
pub struct Vision {
    camera: Box<dyn Camera>,
    index: CameraIndex,
    detector: PersonDetector,
    tracker: Tracker,
    tracklets: Tracklets,
    looks: Vec<Option<Appearance>>,
    stages: Stages,
    frames: u64,
}

impl Vision {
    /// Puts a camera and a detector together; detections from `threshold` on are believed.
    #[must_use]
    pub fn new(
        camera: Box<dyn Camera>,
        index: CameraIndex,
        detector: PersonDetector,
        threshold: f64,
    ) -> Self {
        Self {
            camera,
            index,
            detector,
            tracker: Tracker::new(tracker_config(threshold)),
            tracklets: Tracklets::new(TrackletsConfig::default()),
            looks: Vec::new(),
            stages: Stages::default(),
            frames: 0,
        }
    }

    /// The people in the next frame, at `start` plus the frame's own offset (or its arrival, for live cameras);
    /// `None` when there will be no more.
    ///
    /// # Errors
    /// When the camera or the model fails; a camera that reconnects says when to come back
    /// ([`linefree_hardware::camera::CameraError::retry_in`]).
    pub fn next_people(
        &mut self,
        start: StoreTime,
        layout: &StoreLayout,
    ) -> anyhow::Result<Option<PeopleObservation>> {
        let Self { camera, detector, tracker, tracklets, stages, .. } = self;
        let began = Instant::now();
        let Some(frame) = camera.next_frame()? else { return Ok(None) };
        stages.add(Stage::Decode, began.elapsed());
        let view = FrameView::new(
            frame.data,
            frame.width_px,
            frame.height_px,
            frame.stride_bytes,
            ColourOrder::Bgr,
        )?;
        let time = frame.arrived.unwrap_or_else(|| start.plus_s(frame.offset_s));
        let camera_layout = &layout.cameras[self.index.0];
        let frame_px = [frame.width_px, frame.height_px];
        let detections = detector.detect(&view)?;
        let tracking = Instant::now();
        self.looks.clear();
        self.looks.extend(detections.iter().map(|d| appearance_of(&view, &d.bbox)));
        tracker.handle_looks(time, detections, &self.looks);
        let told = tracklets.handle_frame(time, tracker);
        let people = people_of(tracker.tracks(), told, camera_layout, frame_px);
        stages.add(Stage::Track, tracking.elapsed());
        let spent = detector.timings();
        stages.add(Stage::Preprocess, spent.preprocess);
        stages.add(Stage::Run, spent.run);
        stages.add(Stage::Postprocess, spent.postprocess);
        self.frames += 1;
        Ok(Some(PeopleObservation { camera: self.index, time, people }))
    }

    /// Frames seen so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Where the time went.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// How many frames the camera will give, where that is known.
    #[must_use]
    pub fn frames_expected(&self) -> Option<u64> {
        self.camera.info().frames
    }

    /// Faults of the camera since the last call.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        self.camera.take_faults()
    }
}

/// Tracks in the image as people on the floor. Images of another size than the calibration's are scaled to it.
fn people_of(
    tracks: &[Track],
    tracklets: Vec<Option<Tracklet>>,
    camera: &linefree_domain::layout::Camera,
    frame_px: [u32; 2],
) -> Vec<Person> {
    let [sx, sy] = [0, 1].map(|i| f64::from(camera.size_px[i]) / f64::from(frame_px[i].max(1)));
    tracks
        .iter()
        .zip(tracklets)
        .filter_map(|(track, tracklet)| {
            let b = track.seen;
            let scaled = PixelBox { x: b.x * sx, y: b.y * sy, w: b.w * sx, h: b.h * sy };
            let person = person_from_box(camera, scaled, track.score, Some(track.id))?;
            Some(Person { tracklet, ..person })
        })
        .collect()
}
