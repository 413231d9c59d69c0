//! One camera's detections into tracks.

use crate::geometry::PixelBox;
use crate::ids::TrackId;

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
    /// Where, pixels.
    pub bbox: PixelBox,
    /// Score of the detection behind it, 0 to 1.
    pub score: f64,
}
