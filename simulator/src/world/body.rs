//! Bodies that walk: towards a goal, around shelving, out of each other's way.
//!
//! Steering after the social force model (Helbing and Molnar, Physical Review E 51, 1995): a pull towards the wished
//! velocity, a push from whoever is near, and a little to the right of whoever comes head-on. Shelving is no force:
//! nobody is ever inside it.

use std::collections::VecDeque;

use linefree_domain::ids::PlateIndex;
use nalgebra::{Point2, Point3, Vector2};

use super::acts::{Act, Busy};
use crate::obstacles::Obstacles;
use crate::scenario::Visitor;

/// A step of the simulated world, seconds.
pub const STEP_S: f64 = 0.05;
/// Time in which a wished velocity is reached, seconds.
const RELAX_S: f64 = 0.4;
/// Strength of the push between bodies, metres per second squared, ...
const PUSH_M_S2: f64 = 2.2;
/// ... the distance at which it is that strong, metres, usually, and for who squeezes past ...
const PUSH_AT_M: f64 = 0.45;
const SQUEEZE_AT_M: f64 = 0.24;
/// ... and over which it falls, metres.
const PUSH_RANGE_M: f64 = 0.18;

/// One moment of one body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Middle of the feet, metres.
    pub at: Point2<f64>,
    /// The hand that does things, metres.
    pub hand: Point3<f64>,
}

/// Somebody in or before the store.
#[derive(Debug, Clone)]
pub struct Body {
    /// What scenarios and stories call them.
    pub name: String,
    /// How they came in.
    pub visitor: Visitor,
    /// Whose credential they are on: their own position, or that of who brought them.
    pub account: usize,
    /// Who they are: themselves, or who they were when they came before.
    pub credential_of: usize,
    /// Body height, metres.
    pub height_m: f64,
    /// Walking speed, metres a second.
    pub speed_m_s: f64,
    /// Who they were when they came before, and how long after that they come again, seconds.
    pub again: Option<(usize, f64)>,
    /// When they come, seconds.
    pub enters_s: f64,
    /// Have they come?
    pub here: bool,
    /// Have they gone?
    pub gone: bool,
    /// May they be beyond the floor's edge, passing a gate?
    pub passing: bool,
    /// Where they are, metres.
    pub at: Point2<f64>,
    /// Metres a second.
    pub velocity: Vector2<f64>,
    /// Where they look.
    pub heading: Vector2<f64>,
    /// The hand, metres.
    pub hand: Point3<f64>,
    /// What is still to do.
    pub acts: VecDeque<Act>,
    /// What they are at.
    pub busy: Busy,
    /// Way still to go.
    pub way: VecDeque<Point2<f64>>,
    /// Closest they have been to the next corner of the way, and since when.
    pub progress: (f64, f64),
    /// Do they squeeze past others, having waited long enough?
    pub squeezes: bool,
    /// Where they stand or want to stand.
    pub spot: Option<Point2<f64>>,
    /// The plates they handled last.
    pub last_plates: Vec<PlateIndex>,
    /// When they appeared, in steps.
    pub from_step: usize,
    /// Every step since then.
    pub poses: Vec<Pose>,
}

impl Body {
    /// Where the hand is when it does nothing.
    #[must_use]
    pub fn resting_hand(&self) -> Point3<f64> {
        let side = Vector2::new(self.heading.y, -self.heading.x);
        let at = self.at + self.heading * 0.18 + side * 0.2;
        Point3::new(at.x, at.y, 0.55 * self.height_m)
    }

    /// Sets out along a way.
    pub fn set_out(&mut self, way: Vec<Point2<f64>>, now_s: f64) {
        self.way = way.into();
        self.progress = (f64::MAX, now_s);
    }

    /// One step of walking; `others` are everyone else in the store. True when the end of the way is reached.
    pub fn walk(
        &mut self,
        others: &[(Point2<f64>, Vector2<f64>)],
        obstacles: &Obstacles,
        now_s: f64,
    ) -> bool {
        let Some(next) = self.way.front().copied() else {
            self.stand(others, obstacles);
            return true;
        };
        let to = next - self.at;
        let distance_m = to.norm();
        let last = self.way.len() == 1;
        let near_m = if last { 0.07 } else { 0.2 };
        let slow = if last { (distance_m / 0.5).clamp(0.25, 1.0) } else { 1.0 };
        let wished = to / distance_m.max(1e-6) * self.speed_m_s * slow;
        let mut force = (wished - self.velocity) / RELAX_S;
        let push_at_m = if self.squeezes { SQUEEZE_AT_M } else { PUSH_AT_M };
        for (at, velocity) in others {
            let off = self.at - at;
            let d = off.norm().max(1e-3);
            if d > 1.5 {
                continue;
            }
            let push = PUSH_M_S2 * ((push_at_m - d) / PUSH_RANGE_M).exp();
            force += off / d * push.min(12.0);
            // Whoever comes head-on is passed on the right.
            if velocity.dot(&self.velocity) < 0.0 || velocity.norm() < 0.1 {
                let ahead = -off.dot(&wished) / (d * wished.norm().max(1e-6));
                if ahead > 0.6 {
                    force += Vector2::new(wished.y, -wished.x) * (1.5 - d) * 1.2;
                }
            }
        }
        self.velocity += force * STEP_S;
        let top = 1.25 * self.speed_m_s;
        if self.velocity.norm() > top {
            self.velocity *= top / self.velocity.norm();
        }
        self.step(obstacles);
        if self.velocity.norm() > 0.15 {
            self.heading = self.velocity.normalize();
        }
        let left_m = (next - self.at).norm();
        if left_m < self.progress.0 - 0.05 {
            self.progress = (left_m, now_s);
        }
        if left_m < near_m {
            self.way.pop_front();
            self.progress = (f64::MAX, now_s);
        }
        self.way.is_empty()
    }

    /// One step of standing: whoever is too near is given way to, a little.
    pub fn stand(&mut self, others: &[(Point2<f64>, Vector2<f64>)], obstacles: &Obstacles) {
        let mut push = Vector2::zeros();
        for (at, _) in others {
            let off = self.at - at;
            let d = off.norm().max(1e-3);
            if d < 0.34 {
                push += off / d * (0.34 - d);
            }
        }
        self.velocity = push * 2.0;
        self.step(obstacles);
    }

    fn step(&mut self, obstacles: &Obstacles) {
        let moved = self.at + self.velocity * STEP_S;
        self.at = obstacles.kept_out(moved, self.passing);
    }

    /// For how long they have come no nearer, seconds.
    #[must_use]
    pub fn stuck_s(&self, now_s: f64) -> f64 {
        if self.way.is_empty() { 0.0 } else { now_s - self.progress.1 }
    }
}
