//! One person on the floor, a shopper or on trial.

use std::collections::BTreeMap;

use nalgebra::{Matrix2, Point2};

use super::history::{HandSighting, History};
use super::motion::{Belief, Walk, distance2, largest_eigenvalue};
use super::stretches::StretchNumber;
use super::{FloorConfig, Person, Shopper};
use crate::ids::{CameraIndex, GateIndex, ShopperId, TrackId};
use crate::time::StoreTime;

/// How one camera last saw a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    pub(super) track: Option<TrackId>,
    pub(super) time: StoreTime,
}

/// Somebody on the floor.
#[derive(Debug, Clone)]
pub(super) struct Body {
    /// `None` while on trial.
    pub(super) id: Option<ShopperId>,
    pub(super) belief: Belief,
    /// Moment of `belief`.
    pub(super) time: StoreTime,
    pub(super) last_seen: StoreTime,
    /// The belief as of `last_seen`.
    pub(super) at_last: Belief,
    pub(super) born: StoreTime,
    pub(super) born_at: Point2<f64>,
    pub(super) born_gate: Option<GateIndex>,
    pub(super) hits: u32,
    /// The last three sightings, oldest first.
    pub(super) recent: [StoreTime; 3],
    /// Seconds in which somebody saw them.
    pub(super) seen_s: f64,
    pub(super) links: BTreeMap<CameraIndex, Link>,
    pub(super) history: History,
    /// The stretch that they were last seen in.
    pub(super) stretch: Option<StretchNumber>,
    /// Since when somebody else stands in the same place, apart for no camera.
    pub(super) together: BTreeMap<ShopperId, StoreTime>,
    pub(super) height: Height,
    pub(super) shown: Shopper,
}

/// How tall somebody is, as far as cameras have measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Height {
    count: f64,
    sum_m: f64,
}

/// Error of one measured height, and of the mean of however many, metres.
const HEIGHT_SD_M: f64 = 0.08;
const HEIGHT_BIAS_SD_M: f64 = 0.03;
/// Spread of heights among people, metres.
const HEIGHTS_SD_M: f64 = 0.11;
/// The most that one height can say, nats.
const HEIGHT_LIMIT: f64 = 2.0;
/// The most that two means of heights can say, nats.
const HEIGHTS_LIMIT: f64 = 4.0;

impl Height {
    fn note(&mut self, height_m: Option<f64>) {
        let Some(height_m) = height_m.filter(|h| (0.5..2.5).contains(h)) else { return };
        self.count += 1.0;
        self.sum_m += height_m;
    }

    /// What two sets of measurements say for being of two people rather than of one, nats.
    pub(super) fn misfit(&self, other: &Self, limit: f64) -> f64 {
        if self.count == 0.0 || other.count == 0.0 {
            return 0.0;
        }
        let off_m = self.sum_m / self.count - other.sum_m / other.count;
        let same =
            HEIGHT_SD_M.powi(2) * (1.0 / self.count + 1.0 / other.count) + 2.0 * HEIGHT_BIAS_SD_M.powi(2);
        let two = same + 2.0 * HEIGHTS_SD_M.powi(2);
        let cost = |var: f64| 0.5 * (off_m * off_m / var + var.ln());
        (cost(same) - cost(two)).clamp(-limit, limit)
    }

    /// Both sets of measurements as one.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self { count: self.count + other.count, sum_m: self.sum_m + other.sum_m }
    }

    /// What was measured after a set of measurements that this one holds.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let count = (self.count - earlier.count).max(0.0);
        Self { count, sum_m: if count > 0.0 { self.sum_m - earlier.sum_m } else { 0.0 } }
    }

    fn of(height_m: Option<f64>) -> Self {
        let mut height = Self::default();
        height.note(height_m);
        height
    }
}

impl Body {
    pub(super) fn new(
        person: &Person,
        camera: CameraIndex,
        time: StoreTime,
        walk: &Walk,
        config: &FloorConfig,
    ) -> Self {
        let cov = person.cov_m2 + Matrix2::identity() * config.bias_sd_m.powi(2);
        let belief = walk.first(person.foot, &cov);
        let mut body = Self {
            id: None,
            belief,
            time,
            last_seen: time,
            at_last: belief,
            born: time,
            born_at: person.foot,
            born_gate: None,
            hits: 1,
            recent: [time; 3],
            seen_s: 0.0,
            links: BTreeMap::from([(camera, Link { track: person.track, time })]),
            history: History::default(),
            stretch: None,
            together: BTreeMap::new(),
            height: Height::of(person.height_m),
            shown: Shopper::unknown(time, person.foot),
        };
        body.history.push(time, &belief, config.history_s);
        body.note_hands(person, time);
        body
    }

    /// How badly a sighting fits: half the squared Mahalanobis distance plus half the logarithm of the covariance's
    /// determinant, that is, the negative logarithm of the likelihood but for a constant. `None` outside the gate.
    pub(super) fn misfit(
        &self,
        person: &Person,
        camera: CameraIndex,
        time: StoreTime,
        walk: &Walk,
        config: &FloorConfig,
        same_stretch: bool,
    ) -> Option<f64> {
        let dt = time.seconds_since(self.time);
        let reach = 4.0 + config.top_speed_m_s * dt.abs();
        if (person.foot - self.belief.at()).norm_squared() > reach * reach {
            return None;
        }
        let now = walk.predict(&self.belief, dt);
        let bias = Matrix2::identity() * config.bias_sd_m.powi(2);
        let (d2, log_det) = distance2(person.foot - now.at(), &(now.place_cov() + person.cov_m2 + bias))?;
        if d2 > config.gate_d2 {
            return None;
        }
        // Somebody seen once has any velocity, so that the gate alone would let a trial leap to the next person.
        let unseen_s = time.seconds_since(self.last_seen).abs();
        let blur = (self.at_last.place_sd_m().powi(2) + largest_eigenvalue(&person.cov_m2)).sqrt();
        if (person.foot - self.at_last.at()).norm()
            > config.top_speed_m_s * unseen_s + 3.0 * blur + config.bias_sd_m
        {
            return None;
        }
        let linked = self.links.get(&camera).is_some_and(|l| l.track.is_some() && l.track == person.track);
        let known = match (same_stretch, linked) {
            (true, _) => config.tracklet_log_odds,
            (false, true) => config.link_log_odds,
            (false, false) => 0.0,
        };
        let height = self.height.misfit(&Height::of(person.height_m), HEIGHT_LIMIT);
        Some(0.5 * (d2 + log_det) - known + height)
    }

    /// Takes a sighting as this body's; `doubt` scales its covariance.
    pub(super) fn see(
        &mut self,
        person: &Person,
        camera: CameraIndex,
        time: StoreTime,
        doubt: f64,
        walk: &Walk,
        config: &FloorConfig,
    ) {
        let dt = time.seconds_since(self.time);
        self.belief = walk.predict(&self.belief, dt);
        // A late sighting is brought to the present along the believed velocity.
        let carried = self.belief.velocity() * (-dt).max(0.0);
        // One camera's successive errors are alike: the closer in time, the less each of them adds.
        let apart_s = self.links.get(&camera).map_or(f64::INFINITY, |l| time.seconds_since(l.time).abs());
        let alike = (config.alike_s / apart_s.max(1e-3)).clamp(1.0, 10.0);
        let bias = Matrix2::identity() * config.bias_sd_m.powi(2) * 0.25;
        self.belief.correct(person.foot + carried, &(person.cov_m2 * (alike * doubt) + bias));
        let time = time.max(self.time);
        let gap = time.seconds_since(self.last_seen);
        if gap < config.lost_after_s {
            self.seen_s += gap;
        }
        self.time = time;
        self.last_seen = time;
        self.at_last = self.belief;
        self.hits = self.hits.saturating_add(1);
        self.height.note(person.height_m);
        self.recent = [self.recent[1], self.recent[2], time];
        self.links.insert(camera, Link { track: person.track, time });
        self.history.push(time, &self.belief, config.history_s);
        self.note_hands(person, time);
    }

    fn note_hands(&mut self, person: &Person, time: StoreTime) {
        for hand in &person.hands {
            if hand.coords.iter().all(|v| v.is_finite()) && person.hand_sd_m.is_finite() {
                self.history.push_hand(HandSighting { time, at: *hand, sd_m: person.hand_sd_m.abs() });
            }
        }
    }

    pub(super) fn unseen_s(&self, now: StoreTime) -> f64 {
        now.seconds_since(self.last_seen)
    }

    /// What their heights say for being two people, nats.
    pub(super) fn heights_apart(&self, other: &Self) -> f64 {
        self.height.misfit(&other.height, HEIGHTS_LIMIT)
    }

    /// Did one camera see both of them, at whatever moment since `since`? Then they are two.
    pub(super) fn told_apart_from(&self, other: &Self, since: StoreTime) -> bool {
        self.links.iter().any(|(camera, mine)| {
            mine.time >= since && other.links.get(camera).is_some_and(|theirs| theirs.time >= since)
        })
    }

    /// Goes on as somebody who was on trial until now: the trial's place, this one's name and past.
    pub(super) fn become_trial(&mut self, trial: &Self) {
        self.belief = trial.belief;
        self.time = trial.time;
        self.last_seen = trial.last_seen;
        self.at_last = trial.at_last;
        self.hits = self.hits.saturating_add(trial.hits);
        self.seen_s += trial.seen_s;
        self.height = self.height.plus(&trial.height);
        self.links.extend(trial.links.iter().map(|(c, l)| (*c, *l)));
        self.history.append(&trial.history);
        self.stretch = trial.stretch.or(self.stretch);
    }

    /// Brings what is shown to the present.
    pub(super) fn refresh(&mut self, now: StoreTime, walk: &Walk) {
        let belief = walk.predict(&self.at_last, self.unseen_s(now));
        self.shown = Shopper {
            id: self.id.unwrap_or(ShopperId(0)),
            at: belief.at(),
            velocity: belief.velocity(),
            cov_m2: belief.place_cov(),
            last_seen: self.last_seen,
            born: self.born,
            born_at: self.born_at,
            born_gate: self.born_gate,
        };
    }
}
