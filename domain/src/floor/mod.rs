//! Every camera's people into shoppers on the floor plane.
//!
//! What comes in: [`PeopleObservation`]s of any number of calibrated cameras, unsynchronised, in event time. What
//! comes out: [`Shopper`]s with a believed place, velocity and covariance; [`FloorEvent`]s when they appear, leave
//! or turn out to be one; and a history of [`Position`]s, which attribution and visits look back into.
//!
//! The world is closed: people appear and vanish at gates only. A shopper whom nobody sees any more is lost, not
//! gone: the believed place grows until an unexplained person stands where they can be.
//!
//! Limits: [`MOST_BODIES`] people at once, [`MOST_PEOPLE`] in one observation, `history_s` seconds of the past.
//! Failure rules: a number that is no number, a covariance that is none, a camera that the layout does not know, a
//! place outside the floor or an observation that comes too late is dropped and counted ([`FloorCounters`]);
//! nothing panics, and nothing that was dropped changes what is believed.
//!
//! The same input gives the same output, byte for byte. `docs/design/tracking.md` has methods, sources and figures.

mod body;
mod clocks;
mod config;
mod history;
mod identity;
mod life;
mod linking;
mod meetings;
mod motion;
mod near;
mod outage;
mod project;
mod stretches;
mod tracker;

use nalgebra::{Matrix2, Point2, Point3, Vector2};

use crate::ids::{CameraIndex, GateIndex, ShopperId, TrackId};
use crate::time::StoreTime;
use crate::tracking::Tracklet;

pub use clocks::ClockComparison;
pub use config::FloorConfig;
pub use history::{HandSighting, Position};
pub use near::NearShopper;
pub use project::person_from_box;
pub use tracker::{FloorCounters, FloorTracker, MOST_BODIES, MOST_CAMERAS, MOST_PEOPLE};

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
    /// That camera's own track; it may switch to somebody else.
    pub track: Option<TrackId>,
    /// That camera's own tracklet, where it can tell that nobody was mistaken, and whom it looks like.
    pub tracklet: Option<Tracklet>,
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

/// Somebody in the store, as of now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shopper {
    /// Their number; not used twice within a run.
    pub id: ShopperId,
    /// Where they are believed to be, metres.
    pub at: Point2<f64>,
    /// Metres per second.
    pub velocity: Vector2<f64>,
    /// Covariance of `at`, square metres; large for whoever is lost from sight.
    pub cov_m2: Matrix2<f64>,
    /// When a camera last saw them.
    pub last_seen: StoreTime,
    /// When a camera first saw them.
    pub born: StoreTime,
    /// Where that was, metres.
    pub born_at: Point2<f64>,
    /// The gate they came in by, where it was one.
    pub born_gate: Option<GateIndex>,
}

impl Shopper {
    fn unknown(time: StoreTime, at: Point2<f64>) -> Self {
        Self {
            id: ShopperId(0),
            at,
            velocity: Vector2::zeros(),
            cov_m2: Matrix2::identity(),
            last_seen: time,
            born: time,
            born_at: at,
            born_gate: None,
        }
    }
}

/// What happened on the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FloorEvent {
    /// Somebody is in the store.
    Appeared {
        /// Who.
        shopper: ShopperId,
        /// First sighting; it takes a few to be sure, so this is told a little later.
        time: StoreTime,
        /// Where, metres.
        at: Point2<f64>,
        /// By which gate; `None` for who was first seen elsewhere.
        gate: Option<GateIndex>,
    },
    /// Somebody is no longer in the store.
    Left {
        /// Who.
        shopper: ShopperId,
        /// Last sighting.
        time: StoreTime,
        /// Where, metres.
        at: Point2<f64>,
        /// By which gate; `None` for who was given up after long loss.
        gate: Option<GateIndex>,
    },
    /// From now on two shoppers may be each other.
    Doubted {
        /// One.
        shopper: ShopperId,
        /// The other.
        rival: ShopperId,
        /// Probability that each is shown as the other, 0 to 1.
        probability: f64,
        /// Since when.
        time: StoreTime,
    },
    /// Two shoppers were one person all along.
    Merged {
        /// The number that stays.
        kept: ShopperId,
        /// The number that ends; questions about it are answered for `kept`.
        gone: ShopperId,
        /// When that was settled.
        time: StoreTime,
    },
}
