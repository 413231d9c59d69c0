//! Every camera's people into shoppers on the floor plane.

use nalgebra::{Matrix2, Point2, Point3};

use crate::ids::{CameraIndex, TrackId};
use crate::time::StoreTime;

/// One person as one camera sees them at one moment, on the floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Where they stand, metres.
    pub foot: Point2<f64>,
    /// Its covariance, square metres.
    pub cov_m2: Matrix2<f64>,
    /// Detector's score, 0 to 1.
    pub score: f64,
    /// Body height where it can be told, metres.
    pub height_m: Option<f64>,
    /// Hands where they can be seen, metres.
    pub hands: Vec<Point3<f64>>,
    /// Standard deviation of each hand coordinate, metres.
    pub hand_sd_m: f64,
    /// That camera's own track.
    pub track: Option<TrackId>,
}

/// Everyone one camera sees at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PeopleObservation {
    /// Which camera.
    pub camera: CameraIndex,
    /// Exposure time of the frame.
    pub time: StoreTime,
    /// Everyone in it.
    pub people: Vec<Person>,
}
