//! The sure parts of everybody's paths.
//!
//! A stretch lasts as long as some camera sees a body in one and the same tracklet: within it nobody can have been
//! mistaken for somebody else. Between stretches bodies are followed as well as it goes, and who is who is settled by
//! linking stretches (`linking`).

use nalgebra::{Matrix2, Point2, Vector2};

use super::motion::Walk;
use crate::ids::{CameraIndex, ShopperId, TrackletId};
use crate::time::StoreTime;
use crate::tracking::{Alike, Tracklet};

/// Sightings at each end of a stretch that its ends are fitted to.
const END_SIGHTINGS: usize = 12;
/// Spread of single sightings that are fitted, metres; and how often as large their mean's is, since they are alike.
const SIGHTING_SD_M: f64 = 0.3;
const ALIKE_FACTOR: f64 = 2.5;
/// A stretch is over when nobody was seen in it for so long, seconds.
pub(super) const OVER_S: f64 = 0.5;

/// Number of a stretch; not used twice within a run.
pub(super) type StretchNumber = u32;

/// Somebody's sure path for a while.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) number: StretchNumber,
    pub(super) tracklets: Vec<(CameraIndex, TrackletId)>,
    /// When and where, oldest first: the first few sightings, and the last few.
    first: Vec<(StoreTime, Point2<f64>)>,
    last: Vec<(StoreTime, Point2<f64>)>,
    /// Comparisons of its tracklets with earlier ones of the same camera.
    compared: Vec<(CameraIndex, Vec<Alike>)>,
    /// Who was first seen in it, if it began somebody's path.
    pub(super) newborn: Option<ShopperId>,
    /// The stretch that it continues.
    pub(super) after: Option<StretchNumber>,
    /// By how much that is likelier than anything else, nats, and the stretch that it would continue instead; as of when
    /// it was told.
    pub(super) margin: f64,
    pub(super) rival: Option<StretchNumber>,
    /// The margin was told when it was time to.
    pub(super) told: bool,
    /// Its owner has left the store.
    pub(super) gone: bool,
}

/// One end of a stretch: place and velocity with variances per axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) time: StoreTime,
    pub(super) at: Point2<f64>,
    pub(super) velocity: Vector2<f64>,
    pub(super) place_var: f64,
    pub(super) velocity_var: f64,
}

impl Stretch {
    pub(super) fn new(number: StretchNumber, time: StoreTime, at: Point2<f64>) -> Self {
        Self {
            number,
            tracklets: Vec::new(),
            first: vec![(time, at)],
            last: vec![(time, at)],
            compared: Vec::new(),
            newborn: None,
            after: None,
            margin: f64::INFINITY,
            rival: None,
            told: false,
            gone: false,
        }
    }

    pub(super) fn began(&self) -> StoreTime {
        self.first[0].0
    }

    pub(super) fn ended(&self) -> StoreTime {
        self.last[self.last.len() - 1].0
    }

    pub(super) fn lasted_s(&self) -> f64 {
        self.ended().seconds_since(self.began())
    }

    pub(super) fn is_over(&self, now: StoreTime) -> bool {
        now.seconds_since(self.ended()) > OVER_S
    }

    /// Have its looks been compared with others'?
    pub(super) fn is_compared(&self) -> bool {
        !self.compared.is_empty()
    }

    pub(super) fn see(&mut self, camera: CameraIndex, tracklet: &Tracklet, time: StoreTime, at: Point2<f64>) {
        if !self.tracklets.contains(&(camera, tracklet.id)) {
            self.tracklets.push((camera, tracklet.id));
        }
        if let Some(alike) = &tracklet.alike {
            self.compared.retain(|(c, _)| *c != camera);
            self.compared.push((camera, alike.clone()));
        }
        if time <= self.ended() {
            return;
        }
        if self.first.len() < END_SIGHTINGS {
            self.first.push((time, at));
        }
        if self.last.len() >= END_SIGHTINGS {
            self.last.remove(0);
        }
        self.last.push((time, at));
    }

    /// Where it is known to have been: near its ends.
    pub(super) fn places(&self) -> impl Iterator<Item = Point2<f64>> + '_ {
        self.first.iter().chain(&self.last).map(|(_, at)| *at)
    }

    pub(super) fn beginning(&self, walk: &Walk) -> End {
        fitted(&self.first, self.began(), walk)
    }

    pub(super) fn end(&self, walk: &Walk) -> End {
        fitted(&self.last, self.ended(), walk)
    }

    /// What the looks say for this and an earlier stretch being one person, nats; `None` where they were not compared.
    pub(super) fn looks_like(&self, earlier: &Self) -> Option<f64> {
        let told = self.compared.iter().flat_map(|(camera, alike)| {
            alike.iter().filter(|a| earlier.tracklets.contains(&(*camera, a.tracklet))).map(|a| a.log_odds)
        });
        let (sum, count) = told.fold((0.0, 0), |(sum, count), l| (sum + l, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// A straight line through a few sightings, its velocity drawn towards standing as the walk says.
fn fitted(sightings: &[(StoreTime, Point2<f64>)], time: StoreTime, walk: &Walk) -> End {
    let n = sightings.len() as f64;
    let speed_var = walk.speed_sd_m_s.powi(2);
    let single_var = SIGHTING_SD_M.powi(2) * ALIKE_FACTOR;
    let mean_t = sightings.iter().map(|(t, _)| t.seconds_since(time)).sum::<f64>() / n;
    let mean = sightings.iter().map(|(_, p)| p.coords).sum::<Vector2<f64>>() / n;
    let (mut tt, mut tp) = (0.0, Vector2::zeros());
    for (t, p) in sightings {
        let off = t.seconds_since(time) - mean_t;
        tt += off * off;
        tp += (p.coords - mean) * off;
    }
    if tt < 1e-4 {
        return End {
            time,
            at: Point2::from(mean),
            velocity: Vector2::zeros(),
            place_var: single_var / n,
            velocity_var: speed_var,
        };
    }
    // Regression with a prior on the slope (ridge): standing still, give or take the walk's speed.
    let slope_var = 1.0 / (tt / single_var + 1.0 / speed_var);
    let velocity = tp / single_var * slope_var;
    End {
        time,
        at: Point2::from(mean - velocity * mean_t),
        velocity,
        place_var: single_var / n + slope_var * mean_t * mean_t,
        velocity_var: slope_var,
    }
}

impl End {
    /// The place's covariance.
    pub(super) fn cov_m2(&self) -> Matrix2<f64> {
        Matrix2::identity() * self.place_var
    }
}
