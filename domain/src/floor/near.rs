//! Who was near a place: the question of gates.

use std::time::Duration;

use nalgebra::Point2;

use super::tracker::FloorTracker;
use crate::geometry::Segment;
use crate::ids::ShopperId;
use crate::time::StoreTime;

/// A shopper and how near they came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearShopper {
    /// Who.
    pub shopper: ShopperId,
    /// Distance at the moment asked for, metres; for who was not in the store then, at the nearest moment.
    pub distance_at_m: f64,
    /// Least distance within the window, metres.
    pub closest_m: f64,
    /// When that was.
    pub closest_time: StoreTime,
    /// Did their path cross the segment within the window?
    pub crossed: bool,
    /// Did they appear here within the window?
    pub born_here: bool,
    /// Did they leave here within the window?
    pub left_here: bool,
}

impl FloorTracker {
    /// Everybody who was in the store within `window` of `time`, with their distance to a segment; nearest first.
    #[must_use]
    pub fn who_was_near(&self, segment: &Segment, time: StoreTime, window: Duration) -> Vec<NearShopper> {
        let (from, to) = (time - window, time + window);
        let reach = self.config.gate_reach_m;
        let here = self.bodies.iter().filter_map(|b| Some((b.id?, b.born, b.born_at, None)));
        let gone = self.gone.iter().map(|g| (g.id, g.born, g.born_at, Some((g.left, g.at))));
        let mut near: Vec<NearShopper> = Vec::new();
        for (shopper, born, born_at, left) in here.chain(gone) {
            if born > to || left.is_some_and(|(t, _)| t < from) {
                continue;
            }
            let end = left.map_or(to, |(t, _)| to.min(t));
            let mut found: Option<NearShopper> = None;
            let mut nearest_in_time = f64::INFINITY;
            let mut before: Option<Point2<f64>> = None;
            for (t, p) in self.path(shopper, from.max(born), end) {
                let d = segment.distance_m(p.at);
                let entry = found.get_or_insert(NearShopper {
                    shopper,
                    distance_at_m: d,
                    closest_m: d,
                    closest_time: t,
                    crossed: false,
                    born_here: born >= from && segment.distance_m(born_at) <= reach,
                    left_here: left.is_some_and(|(_, at)| segment.distance_m(at) <= reach),
                });
                let apart = t.seconds_since(time).abs();
                if apart < nearest_in_time {
                    nearest_in_time = apart;
                    entry.distance_at_m = d;
                }
                if d < entry.closest_m {
                    entry.closest_m = d;
                    entry.closest_time = t;
                }
                entry.crossed |= before.is_some_and(|b| crosses(segment, b, p.at));
                before = Some(p.at);
            }
            near.extend(found);
        }
        near.sort_by(|a, b| a.distance_at_m.total_cmp(&b.distance_at_m).then(a.shopper.cmp(&b.shopper)));
        near
    }
}

/// Does the way from `a` to `b` cross the segment?
fn crosses(segment: &Segment, a: Point2<f64>, b: Point2<f64>) -> bool {
    let side = |p: Point2<f64>, q: Point2<f64>, r: Point2<f64>| (q - p).perp(&(r - p));
    let along = side(segment.from, segment.to, a) * side(segment.from, segment.to, b);
    let across = side(a, b, segment.from) * side(a, b, segment.to);
    along < 0.0 && across < 0.0
}
