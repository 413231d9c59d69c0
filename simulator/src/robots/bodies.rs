//! Where robots physically are, by their own account: who meets whom, and who stands for ever.
//!
//! This knows nothing of reservations. A robot on an edge is taken to be on all of it, so robots that come too near are
//! counted however fast they are.

use linefree_domain::fulfilment::road_map::RoadMap;
use nalgebra::Point2;

/// Robots whose centres are nearer than this touch.
const WIDE_M: f64 = 0.6;
/// Whoever wants to drive and stands for so long while nobody is broken down is stuck.
const STUCK_US: i64 = 20 * 60 * 1_000_000;

#[derive(Debug, Clone, Copy)]
struct Body {
    /// The node where it is, or which it is leaving.
    node: usize,
    /// Where it drives.
    next: Option<usize>,
    /// Since when it has been standing with somewhere to go.
    waits_since_us: Option<i64>,
}

/// Every robot's body.
pub struct Bodies<'f> {
    map: &'f RoadMap,
    all: Vec<Body>,
    /// Moments in which two came too near to each other.
    pub collisions: u64,
    /// How often somebody was found stuck.
    pub stuck: u64,
}

impl<'f> Bodies<'f> {
    /// Everybody at home.
    #[must_use]
    pub fn new(map: &'f RoadMap, homes: &[usize]) -> Self {
        let body = |home: &usize| Body { node: *home, next: None, waits_since_us: None };
        Self { map, all: homes.iter().map(body).collect(), collisions: 0, stuck: 0 }
    }

    /// A robot begins to drive.
    pub fn drives(&mut self, robot: usize, next: usize) {
        self.all[robot].next = Some(next);
        self.all[robot].waits_since_us = None;
        self.meets(robot);
    }

    /// It is where it drove.
    pub fn arrives(&mut self, robot: usize) {
        if let Some(next) = self.all[robot].next.take() {
            self.all[robot].node = next;
        }
    }

    /// It wants to go on and cannot.
    pub fn waits(&mut self, robot: usize, now_us: i64) {
        self.all[robot].waits_since_us.get_or_insert(now_us);
    }

    /// It is where it wants to be.
    pub fn rests(&mut self, robot: usize) {
        self.all[robot].waits_since_us = None;
    }

    /// Staff have pushed it somewhere.
    pub fn pushed(&mut self, robot: usize, node: usize) {
        self.all[robot] = Body { node, next: None, waits_since_us: None };
        self.meets(robot);
    }

    /// Is it on an edge?
    #[must_use]
    pub fn drives_now(&self, robot: usize) -> bool {
        self.all[robot].next.is_some()
    }

    /// Where it is.
    #[must_use]
    pub fn node(&self, robot: usize) -> usize {
        self.all[robot].node
    }

    /// Counts who stands for ever. While somebody is broken down, waiting is no wonder.
    pub fn audit(&mut self, now_us: i64, somebody_broken: bool) {
        for body in &mut self.all {
            if let Some(since_us) = &mut body.waits_since_us {
                if somebody_broken {
                    *since_us = now_us;
                } else if now_us - *since_us > STUCK_US {
                    self.stuck += 1;
                    *since_us = now_us;
                }
            }
        }
    }

    fn segment(&self, robot: usize) -> [Point2<f64>; 2] {
        let body = self.all[robot];
        let at = |n: usize| self.map.nodes()[n].at;
        [at(body.node), at(body.next.unwrap_or(body.node))]
    }

    fn meets(&mut self, robot: usize) {
        let own = self.segment(robot);
        let others = (0..self.all.len()).filter(|other| *other != robot);
        self.collisions +=
            others.filter(|other| gap_m(own, self.segment(*other)) < WIDE_M - 1e-9).count() as u64;
    }
}

/// How near two straight segments come to each other, metres.
fn gap_m([a, b]: [Point2<f64>; 2], [c, d]: [Point2<f64>; 2]) -> f64 {
    let reach_m = ((b - a).norm() + (d - c).norm()) / 2.0;
    let apart_m = (nalgebra::center(&a, &b) - nalgebra::center(&c, &d)).norm();
    // Far away, the bound is enough.
    if apart_m - reach_m > 2.0 * WIDE_M {
        return apart_m - reach_m;
    }
    let side = |p: Point2<f64>, q: Point2<f64>, r: Point2<f64>| (q - p).perp(&(r - p));
    if side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0 {
        return 0.0;
    }
    let off_m = |p: Point2<f64>, q: Point2<f64>, r: Point2<f64>| {
        let along = r - q;
        let share = ((p - q).dot(&along) / along.norm_squared().max(1e-12)).clamp(0.0, 1.0);
        (p - (q + along * share)).norm()
    };
    off_m(a, c, d).min(off_m(b, c, d)).min(off_m(c, a, b)).min(off_m(d, a, b))
}

#[cfg(test)]
mod tests {
    use super::super::floor::Floor;
    use super::*;

    #[test]
    fn gaps_are_those_of_geometry() {
        let p = |x: f64, y: f64| Point2::new(x, y);
        let gap = |a, b| (gap_m(a, b) * 100.0).round() / 100.0;
        for (a, b, wanted_m) in [
            ([p(0.0, 0.0), p(2.0, 0.0)], [p(1.0, -1.0), p(1.0, 1.0)], 0.0),
            ([p(0.0, 0.0), p(2.0, 0.0)], [p(1.0, 0.5), p(1.0, 0.5)], 0.5),
            ([p(0.0, 0.0), p(2.0, 0.0)], [p(0.0, 0.3), p(2.0, 0.3)], 0.3),
            ([p(0.0, 0.0), p(0.0, 0.0)], [p(0.3, 0.4), p(3.0, 4.0)], 0.5),
        ] {
            assert!((gap(a, b) - wanted_m).abs() < 1e-9, "{a:?} {b:?}");
        }
        assert!(gap_m([p(0.0, 0.0), p(1.0, 0.0)], [p(9.0, 0.0), p(8.0, 0.0)]) > WIDE_M);
    }

    #[test]
    fn who_drives_onto_somebody_is_counted() {
        let floor = Floor::for_robots(10).unwrap();
        let mut bodies = Bodies::new(&floor.map, &floor.homes);
        let (lane, _) = floor.map.joined(floor.homes[0])[0];
        bodies.drives(0, lane);
        bodies.arrives(0);
        assert_eq!(bodies.collisions, 0);
        bodies.pushed(1, lane);
        assert_eq!(bodies.collisions, 1, "two on one node");
        bodies.pushed(1, floor.homes[1]);
        let (beyond, _) = floor.map.joined(lane)[0];
        bodies.drives(0, beyond);
        bodies.pushed(1, lane);
        assert_eq!(bodies.collisions, 2, "one on the edge that another has not left yet");
    }

    #[test]
    fn who_stands_for_ever_is_counted_and_who_waits_for_a_broken_one_is_not() {
        let floor = Floor::for_robots(10).unwrap();
        let mut bodies = Bodies::new(&floor.map, &floor.homes);
        let minute_us = 60_000_000;
        bodies.waits(0, 0);
        for minute in 1..=20 {
            bodies.audit(minute * minute_us, false);
        }
        assert_eq!(bodies.stuck, 0);
        bodies.audit(21 * minute_us, true);
        bodies.audit(40 * minute_us, false);
        assert_eq!(bodies.stuck, 0);
        bodies.audit(42 * minute_us, false);
        assert_eq!(bodies.stuck, 1);
        bodies.rests(0);
        bodies.audit(90 * minute_us, false);
        assert_eq!(bodies.stuck, 1);
    }
}
