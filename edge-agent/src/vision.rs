//! What one camera sees, as people on the floor: [`Sight`] follows them in the image, here they are projected.
//!
//! A file that ends early gives the people it has and a fault.

use std::path::PathBuf;

use anyhow::Context;
use linefree_domain::attribution::ProductView;
use linefree_domain::floor::{PeopleObservation, Person, person_from_box};
use linefree_domain::geometry::PixelBox;
use linefree_domain::ids::CameraIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::ShelfEvent;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{Track, Tracklet};
use linefree_hardware::camera::{Camera, CameraSource, Clear};
use linefree_hardware::fault::Fault;
use linefree_models::{DetectorOptions, InputSize, PersonDetector, Registry, Runtime};
use linefree_recording::DetectorConfig;

use crate::attention::AttentionConfig;
use crate::looking::{LookCounts, Looker};
use crate::report::Stages;
use crate::sight::{Looks, Sight};

/// The tracker's second association stage lives on uncertain detections, so the detector hands over more than it
/// would show to people: everything from this share of its own threshold on.
pub(crate) const WEAK_SHARE: f64 = 0.5;
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
    let input = input_size(wanted, frame_px);
    let score_min = Some((WEAK_SHARE * threshold(registry, wanted)?) as f32);
    let options = DetectorOptions { threads, input, score_min, ..DetectorOptions::default() };
    registry
        .person_detector(runtime, &wanted.model, &options)
        .with_context(|| format!("load the person model {:?}", wanted.model))
}

/// The size of a model's input: the store's, else of the frames' shape.
#[must_use]
pub fn input_size(wanted: &DetectorConfig, frame_px: [u32; 2]) -> InputSize {
    match wanted.input_px {
        Some([width_px, height_px]) => InputSize::Exact { width_px, height_px },
        None => InputSize::ShapedAs { frame_width_px: frame_px[0], frame_height_px: frame_px[1] },
    }
}

/// The score from which on a detection is believed: the store's, else the model's own.
///
/// # Errors
/// When the model is unknown.
pub fn threshold(registry: &Registry, wanted: &DetectorConfig) -> anyhow::Result<f64> {
    let model = registry.manifest().model(&wanted.model)?;
    Ok(wanted.score_min.unwrap_or(f64::from(model.score_min)))
}

/// A camera with the model and the attention that a store asks for. `size_px` is the frames' size where the camera does
/// not know it yet.
///
/// # Errors
/// When the model is unknown, missing, altered or of another signature than its manifest's.
pub fn sight(
    camera: Box<dyn Camera>,
    size_px: [u32; 2],
    runtime: &Runtime,
    registry: &Registry,
    wanted: &DetectorConfig,
) -> anyhow::Result<Sight> {
    let frame_px = camera.info().size_px.unwrap_or(size_px);
    let detector = person_detector(runtime, registry, wanted, frame_px, 1)?;
    let threshold = threshold(registry, wanted)?;
    Ok(Sight::new(camera, detector, threshold, AttentionConfig::of(wanted)))
}

/// Where a recording has a camera's frames: a video, or a folder of images, which is shown at ten a second.
#[must_use]
pub fn recorded_source(path: PathBuf) -> CameraSource {
    if path.is_dir() { CameraSource::Folder(path) } else { CameraSource::File(path) }
}

/// One camera's way from frames to people.
pub struct Vision {
    sight: Sight,
    index: CameraIndex,
    looker: Option<Looker>,
}

impl Vision {
    /// How many frames a live camera gave that nobody looked at.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sight.dropped()
    }

    /// Gives what a camera sees its place on the floor.
    #[must_use]
    pub fn new(sight: Sight, index: CameraIndex) -> Self {
        Self { sight, index, looker: None }
    }

    /// With looks at what is handled, too.
    #[must_use]
    pub fn with_looker(self, looker: Option<Looker>) -> Self {
        Self { looker, ..self }
    }

    /// Asks for a look at what was handled, where this camera looks at all.
    pub fn ask(&mut self, event: ShelfEvent) {
        if let Some(looker) = &mut self.looker {
            looker.ask(event);
        }
    }

    /// What was handled in the events that were asked about, as far as `now`, the time of the newest frame, tells.
    ///
    /// # Errors
    /// When a model fails.
    pub fn views(&mut self, now: StoreTime, layout: &StoreLayout) -> anyhow::Result<Vec<ProductView>> {
        self.looker.as_mut().map_or(Ok(Vec::new()), |looker| looker.views(now, layout))
    }

    /// What looking has come to; `None` where nothing looks.
    #[must_use]
    pub fn look_counts(&self) -> Option<LookCounts> {
        self.looker.as_ref().map(Looker::counts)
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
        let recent = self.looker.as_mut().map(Looker::frames_mut);
        let Some(seen) = self.sight.next_seen(start, recent)? else { return Ok(None) };
        let camera = &layout.cameras[self.index.0];
        let people = people_of(seen.tracks, seen.tracklets, camera, seen.frame_px);
        Ok(Some(PeopleObservation { camera: self.index, time: seen.time, people }))
    }

    /// Frames seen so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.sight.counts().frames
    }

    /// How many frames went which way.
    #[must_use]
    pub fn looks(&self) -> Looks {
        self.sight.counts()
    }

    /// Where the time went.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        self.sight.stages()
    }

    /// How the camera sees beside what is usual for it, once that is known.
    #[must_use]
    pub fn clear(&self) -> Option<Clear> {
        self.sight.clear()
    }

    /// Faults of the camera since the last call.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        self.sight.take_faults()
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
