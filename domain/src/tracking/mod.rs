//! One camera's detections into tracks.
mod appearance;
mod assignment;
mod config;
mod delayed;
mod motion;
mod tracker;

use crate::geometry::PixelBox;
use crate::ids::TrackId;

pub use appearance::{Appearance, BINS, CHANNELS, PARTS};
pub use assignment::Assignment;
pub use config::TrackerConfig;
pub use delayed::DelayedTracker;
pub use motion::BoxNoise;
pub use tracker::{Tracker, TrackerCounters};

/// A person found in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where, pixels.
    pub bbox: PixelBox,
    /// Detector's score, 0 to 1.
    pub score: f64,
}

/// A person followed through frames, as of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Its number; not used twice within a run.
    pub id: TrackId,
    /// Where, pixels: what is believed, with the noise of single detections filtered out.
    pub bbox: PixelBox,
    /// The detection behind it, pixels: for those who filter themselves, as `floor` does. Between two sightings (only
    /// from a [`DelayedTracker`]) it is the same as `bbox`.
    pub seen: PixelBox,
    /// Score of the detection behind it, 0 to 1.
    pub score: f64,
}
