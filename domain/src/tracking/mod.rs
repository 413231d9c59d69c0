//! One camera's detections into tracks.
mod appearance;
mod assignment;
mod config;
mod delayed;
mod motion;
mod scores;
mod tracker;
mod tracklets;

use crate::geometry::PixelBox;
use crate::ids::{TrackId, TrackletId};

pub use appearance::{Appearance, BINS, CHANNELS, PARTS};
pub use assignment::Assignment;
pub use config::TrackerConfig;
pub use delayed::DelayedTracker;
pub use motion::BoxNoise;
pub use tracker::{Tracker, TrackerCounters};
pub use tracklets::{Tracklets, TrackletsConfig};

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

/// The piece of a track that somebody is seen in, and whom they look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracklet {
    /// Its number.
    pub id: TrackletId,
    /// Evidence that it shows the same person as earlier tracklets of this camera; `None` while there is no news.
    pub alike: Option<Vec<Alike>>,
}

/// How much a tracklet looks like an earlier one of the same camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alike {
    /// The earlier one.
    pub tracklet: TrackletId,
    /// Natural logarithm of how much likelier these looks are of one person than of two.
    pub log_odds: f64,
}
