//! Frames of one camera into tracks in its image: decode, glance, detect where that is needed, track.
//!
//! One thread owns all of it, and every buffer is reused: the camera lends its frame, the detector reads it in place.

use std::time::Instant;

use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{
    Appearance, BoxNoise, Track, Tracker, TrackerConfig, Tracklet, Tracklets, TrackletsConfig,
};
use linefree_hardware::camera::{Camera, CameraError, CameraInfo, Clear, Clearness, Glance};
use linefree_hardware::fault::Fault;
use linefree_models::{ColourOrder, FrameView, PersonDetector, appearance_of};

use crate::attention::{Attention, AttentionConfig, Look, Scene};
use crate::frames::RecentFrames;
use crate::report::{Stage, Stages};
use crate::vision::WEAK_SHARE;

/// One of so many frames is looked at for how clearly the camera sees.
const CLEAR_EVERY: u64 = 25;

/// A new track needs this much more than the threshold.
const BIRTH_MARGIN: f64 = 0.05;

/// A tracker for the scores of one model. What a score means differs between models; their manifest's threshold is the
/// point at which each is about as precise as it is complete.
fn tracker_config(threshold: f64) -> TrackerConfig {
    let default = TrackerConfig::default();
    TrackerConfig {
        // The figures of PETS09-S2L1 with the default detector are better so: its boxes jump about more.
        noise: BoxNoise { acceleration: 0.3, ..default.noise },
        relative_scores: false,
        doubt_noise: 0.0,
        confirm_hits: 3,
        strong_score: threshold,
        weak_score: WEAK_SHARE * threshold,
        birth_score: threshold + BIRTH_MARGIN,
        ..default
    }
}

/// What was seen in one frame.
#[derive(Debug)]
pub struct Seen<'a> {
    /// When.
    pub time: StoreTime,
    /// The frame's number, from 0.
    pub index: u64,
    /// The frame's size, pixels.
    pub frame_px: [u32; 2],
    /// Everybody in it.
    pub tracks: &'a [Track],
    /// The tracklet of each.
    pub tracklets: Vec<Option<Tracklet>>,
}

/// How many frames went which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looks {
    /// Frames in all.
    pub frames: u64,
    /// Those that the model saw.
    pub detected: u64,
    /// Those in which boxes were carried along.
    pub carried: u64,
    /// Those in which nothing had changed.
    pub same: u64,
    /// Those that were passed over unseen, in a quiet scene.
    pub skipped: u64,
}

/// One camera's way from frames to tracks.
pub struct Sight {
    camera: Box<dyn Camera>,
    detector: PersonDetector,
    attention: Attention,
    glance: Glance,
    clearness: Clearness,
    tracker: Tracker,
    tracklets: Tracklets,
    looks: Vec<Option<Appearance>>,
    /// Time of the next frame by the last two, for files: seconds from the first frame.
    next_offset_s: Option<(f64, f64)>,
    stages: Stages,
    counts: Looks,
}

impl Sight {
    /// Puts a camera and a detector together; detections from `threshold` on are believed.
    #[must_use]
    pub fn new(
        camera: Box<dyn Camera>,
        detector: PersonDetector,
        threshold: f64,
        attention: AttentionConfig,
    ) -> Self {
        Self {
            camera,
            detector,
            attention: Attention::new(attention),
            glance: Glance::default(),
            clearness: Clearness::default(),
            tracker: Tracker::new(tracker_config(threshold)),
            tracklets: Tracklets::new(TrackletsConfig::default()),
            looks: Vec::new(),
            next_offset_s: None,
            stages: Stages::default(),
            counts: Looks::default(),
        }
    }

    /// How many frames a live camera gave that nobody looked at.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.camera.dropped()
    }

    /// Who is in the next frame, at `start` plus the frame's own offset (or its arrival, for live cameras); `None`
    /// when there will be no more. Frames that a quiet scene lets pass unseen give nothing. Those that are seen are
    /// kept in `recent`, where somebody wants to look back.
    ///
    /// # Errors
    /// When the camera or the model fails; a camera that reconnects says when to come back
    /// ([`CameraError::retry_in`]).
    pub fn next_seen(
        &mut self,
        start: StoreTime,
        recent: Option<&mut RecentFrames>,
    ) -> anyhow::Result<Option<Seen<'_>>> {
        self.skip_quiet(start)?;
        let Self {
            camera, detector, attention, glance, clearness, tracker, tracklets, stages, counts, ..
        } = self;
        let began = Instant::now();
        let Some(frame) = camera.next_frame()? else { return Ok(None) };
        stages.add(Stage::Decode, began.elapsed());
        let (w, h) = (frame.width_px, frame.height_px);
        let view = FrameView::new(frame.data, w, h, frame.stride_bytes, ColourOrder::Bgr)?;
        let time = frame.arrived.unwrap_or_else(|| start.plus_s(frame.offset_s));
        if let Some(recent) = recent {
            recent.keep(time, frame.data, [w, h], frame.stride_bytes);
        }
        let last = self.next_offset_s.map_or(0.0, |(last, _)| last);
        self.next_offset_s = frame.arrived.is_none().then_some((frame.offset_s, frame.offset_s - last));
        let glancing = Instant::now();
        let look = if attention.glances() {
            glance.take(&frame);
            attention.decide(time, &Scene { changed: glance.changed(), on_trial: tracker.on_trial() })
        } else {
            Look::Detect
        };
        if counts.frames.is_multiple_of(CLEAR_EVERY) {
            clearness.take(&frame);
        }
        stages.add(Stage::Glance, glancing.elapsed());
        counts.frames += 1;
        let tracking = match look {
            Look::Detect => {
                counts.detected += 1;
                let detections = detector.detect(&view)?;
                let tracking = Instant::now();
                self.looks.clear();
                self.looks.extend(detections.iter().map(|d| appearance_of(&view, &d.bbox)));
                tracker.handle_looks(time, detections, &self.looks);
                if attention.glances() {
                    glance.look();
                }
                let spent = detector.timings();
                stages.add(Stage::Preprocess, spent.preprocess);
                stages.add(Stage::Run, spent.run);
                stages.add(Stage::Postprocess, spent.postprocess);
                tracking
            }
            Look::Carry => {
                counts.carried += 1;
                let tracking = Instant::now();
                tracker.carry(time, |b, guess| glance.shift([b.x, b.y, b.w, b.h], guess));
                tracking
            }
            Look::Same => {
                counts.same += 1;
                let tracking = Instant::now();
                tracker.carry(time, |_, _| Some((0.0, 0.0)));
                tracking
            }
        };
        let told = tracklets.handle_frame(time, tracker);
        stages.add(Stage::Track, tracking.elapsed());
        let index = frame.index;
        Ok(Some(Seen { time, index, frame_px: [w, h], tracks: self.tracker.tracks(), tracklets: told }))
    }

    /// Passes over frames of a file that need not even be glanced at.
    fn skip_quiet(&mut self, start: StoreTime) -> Result<(), CameraError> {
        let began = Instant::now();
        while let Some((last, step)) = self.next_offset_s {
            if step <= 0.0
                || !self.attention.may_skip(start.plus_s(last + step))
                || !self.camera.skip_frame()?
            {
                break;
            }
            self.next_offset_s = Some((last + step, step));
            self.counts.frames += 1;
            self.counts.skipped += 1;
        }
        self.stages.add(Stage::Decode, began.elapsed());
        Ok(())
    }

    /// What is known about the camera.
    #[must_use]
    pub fn info(&self) -> CameraInfo {
        self.camera.info()
    }

    /// How many frames went which way.
    #[must_use]
    pub fn counts(&self) -> Looks {
        self.counts
    }

    /// Where the time went.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Shows the next video to the same eyes: buffers, tracks and looks stay.
    pub fn change_camera(&mut self, camera: Box<dyn Camera>) {
        self.camera = camera;
        self.next_offset_s = None;
    }

    /// How the camera sees beside what is usual for it, once that is known.
    #[must_use]
    pub fn clear(&self) -> Option<Clear> {
        self.clearness.last()
    }

    /// Faults of the camera since the last call.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        self.camera.take_faults()
    }
}
