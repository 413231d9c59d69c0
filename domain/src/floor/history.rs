//! Where a shopper was: a bounded history, smoothed when it is asked.
//!
//! Beliefs are kept at most every [`SAMPLE_S`] seconds, and only where somebody saw the shopper. A question about
//! the past is answered with what was seen later too, by the Rauch-Tung-Striebel smoother (AIAA Journal 3, 1965)
//! run backwards over the next [`LOOK_AHEAD_S`] seconds and to the first sighting after a gap: between two
//! sightings that are ten seconds apart the answer lies between them.

use std::collections::VecDeque;

use nalgebra::{Matrix2, Point2, Point3, Vector2};

use super::motion::{Belief, Walk};
use crate::time::StoreTime;

/// Spacing of kept beliefs, seconds.
pub(super) const SAMPLE_S: f64 = 0.1;
const LOOK_AHEAD_S: f64 = 3.0;
const MOST_HANDS: usize = 2048;

/// Where a shopper is believed to have been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Metres.
    pub at: Point2<f64>,
    /// Metres per second.
    pub velocity: Vector2<f64>,
    /// Covariance of `at`, square metres.
    pub cov_m2: Matrix2<f64>,
    /// Seconds to the nearest moment at which a camera saw them.
    pub seen_gap_s: f64,
}

/// A hand that a camera saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandSighting {
    /// When.
    pub time: StoreTime,
    /// Where, metres.
    pub at: Point3<f64>,
    /// Standard deviation of each coordinate, metres.
    pub sd_m: f64,
}

/// One kept belief.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) time: StoreTime,
    pub(super) belief: Belief,
}

/// A shopper's past.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    hands: VecDeque<HandSighting>,
}

impl History {
    /// Keeps a belief. The newest is replaced as long as it is not a whole step after the one before it.
    pub(super) fn push(&mut self, time: StoreTime, belief: &Belief, keep_s: f64) {
        let sample = Sample { time, belief: *belief };
        let newest_kept = self.samples.len().checked_sub(2).map(|i| self.samples[i].time);
        match self.samples.back_mut() {
            Some(last) if time < last.time => return,
            Some(last) if newest_kept.is_some_and(|t| time.seconds_since(t) < SAMPLE_S + 1e-3) => {
                *last = sample;
            }
            _ => self.samples.push_back(sample),
        }
        // One sample older than the limit stays, so that the whole span can be interpolated.
        while self.samples.len() > 2 && time.seconds_since(self.samples[1].time) > keep_s {
            self.samples.pop_front();
        }
        while self.hands.front().is_some_and(|h| time.seconds_since(h.time) > keep_s) {
            self.hands.pop_front();
        }
    }

    pub(super) fn push_hand(&mut self, hand: HandSighting) {
        if self.hands.len() >= MOST_HANDS {
            self.hands.pop_front();
        }
        self.hands.push_back(hand);
    }

    /// Adds what somebody else's history knows after the end of this one.
    pub(super) fn append(&mut self, later: &Self) {
        let end = self.samples.back().map(|s| s.time);
        self.samples.extend(later.samples.iter().filter(|s| end.is_none_or(|e| s.time > e)));
        let mut hands: Vec<HandSighting> = self.hands.iter().chain(&later.hands).copied().collect();
        hands.sort_by_key(|h| h.time);
        self.hands = hands.into();
        while self.hands.len() > MOST_HANDS {
            self.hands.pop_front();
        }
    }

    /// What it knows up to a moment.
    pub(super) fn until(&self, end: StoreTime) -> Self {
        Self {
            samples: self.samples.iter().filter(|s| s.time <= end).copied().collect(),
            hands: self.hands.iter().filter(|h| h.time <= end).copied().collect(),
        }
    }

    /// What it knows from a moment on.
    pub(super) fn since(&self, begin: StoreTime) -> Self {
        Self {
            samples: self.samples.iter().filter(|s| s.time >= begin).copied().collect(),
            hands: self.hands.iter().filter(|h| h.time >= begin).copied().collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn hands(&self, from: StoreTime, to: StoreTime) -> impl Iterator<Item = &HandSighting> {
        self.hands.iter().filter(move |h| h.time >= from && h.time <= to)
    }

    /// The smoothed belief at a moment; `None` before the first sighting.
    pub(super) fn at(&self, time: StoreTime, walk: &Walk) -> Option<Position> {
        let next = self.samples.partition_point(|s| s.time <= time);
        let before = self.samples.get(next.checked_sub(1)?)?;
        let since = time.seconds_since(before.time);
        let here = walk.predict(&before.belief, since);
        let Some(after) = self.samples.get(next) else {
            return Some(position(&here, since));
        };
        let until = after.time.seconds_since(time);
        // Backwards from the end of the look-ahead to the first sample after the moment asked for.
        let end = self
            .samples
            .partition_point(|s| s.time.seconds_since(time) <= LOOK_AHEAD_S)
            .max(next + 1)
            .min(self.samples.len());
        let mut smooth = self.samples[end - 1].belief;
        for i in (next..end - 1).rev() {
            let (this, that) = (&self.samples[i], &self.samples[i + 1]);
            smooth = smoothed(&this.belief, &smooth, that.time.seconds_since(this.time), walk);
        }
        Some(position(&smoothed(&here, &smooth, until, walk), since.min(until)))
    }
}

fn position(belief: &Belief, seen_gap_s: f64) -> Position {
    Position { at: belief.at(), velocity: belief.velocity(), cov_m2: belief.place_cov(), seen_gap_s }
}

/// One step of the smoother: `here` filtered, `later` smoothed and `dt` seconds after it.
fn smoothed(here: &Belief, later: &Belief, dt: f64, walk: &Walk) -> Belief {
    let f = walk.transition(dt);
    let predicted_cov = f * here.cov * f.transpose() + walk.noise(dt);
    let Some(inverse) = predicted_cov.try_inverse() else { return *here };
    let gain = here.cov * f.transpose() * inverse;
    let cov = here.cov + gain * (later.cov - predicted_cov) * gain.transpose();
    Belief { mean: here.mean + gain * (later.mean - f * here.mean), cov: (cov + cov.transpose()) * 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALK: Walk = Walk { speed_sd_m_s: 0.8, turn_s: 2.0, most_var_m2: 400.0 };

    fn walked(gap: std::ops::Range<i32>) -> History {
        let r = Matrix2::identity() * 0.01;
        let mut history = History::default();
        let mut belief = WALK.first(Point2::origin(), &r);
        let mut last = 0;
        for k in (0..300).filter(|k| !gap.contains(k)) {
            belief = WALK.predict(&belief, f64::from(k - last) * 0.05);
            belief.correct(Point2::new(0.05 * f64::from(k), 1.0), &r);
            history.push(StoreTime::from_micros(i64::from(k) * 50_000), &belief, 60.0);
            last = k;
        }
        history
    }

    #[test]
    fn a_gap_is_bridged_with_what_came_after_it() {
        let history = walked(100..200);
        let there = history.at(StoreTime::from_micros(7_500_000), &WALK).unwrap();
        assert!((there.at - Point2::new(7.5, 1.0)).norm() < 0.2, "{there:?}");
        assert!((there.seen_gap_s - 2.5).abs() < 0.11);
        let sure = history.at(StoreTime::from_micros(2_500_000), &WALK).unwrap();
        assert!(sure.cov_m2[(0, 0)] < there.cov_m2[(0, 0)] / 10.0);
        assert!(there.cov_m2[(0, 0)] > 0.0 && history.at(StoreTime::from_micros(-1), &WALK).is_none());
    }

    #[test]
    fn samples_are_thinned_and_bounded() {
        let history = walked(0..0);
        assert!((145..=155).contains(&history.len()), "20 Hz kept at 10 Hz: {}", history.len());
        let mut short = History::default();
        for s in &history.samples {
            short.push(s.time, &s.belief, 2.0);
        }
        assert!(short.len() <= 22, "{}", short.len());
    }
}
