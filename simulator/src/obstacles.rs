//! What stands in the way of feet and of sight: shelving, as boxes on the floor; and ways around it.

use std::cmp::Ordering;

use linefree_domain::geometry::{Polygon, Segment};
use linefree_domain::layout::StoreLayout;
use nalgebra::{Point2, Point3, Vector2};
use pathfinding::directed::astar::astar;

/// Radius of a body, metres.
pub const BODY_RADIUS_M: f64 = 0.22;
/// Edge of a square of the grid on which ways are sought, metres.
const CELL_M: f64 = 0.12;

/// Shelving as a box that stands on the floor, turned about the vertical.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    centre: Point2<f64>,
    /// Unit vector along its front.
    along: Vector2<f64>,
    half_m: Vector2<f64>,
    height_m: f64,
}

impl Block {
    fn local(&self, p: Point2<f64>) -> Vector2<f64> {
        let off = p - self.centre;
        Vector2::new(off.dot(&self.along), off.dot(&Vector2::new(-self.along.y, self.along.x)))
    }

    fn world(&self, local: Vector2<f64>) -> Vector2<f64> {
        self.along * local.x + Vector2::new(-self.along.y, self.along.x) * local.y
    }

    /// How far a point is from it, metres; negative inside.
    #[must_use]
    pub fn distance_m(&self, p: Point2<f64>) -> f64 {
        let q = self.local(p).abs() - self.half_m;
        q.map(|v| v.max(0.0)).norm() + q.x.max(q.y).min(0.0)
    }

    /// The shortest way out of its surroundings of `margin_m`; `None` for who is outside already.
    #[must_use]
    pub fn push_out(&self, p: Point2<f64>, margin_m: f64) -> Option<Vector2<f64>> {
        let local = self.local(p);
        let reach = self.half_m.add_scalar(margin_m);
        let inside = reach - local.abs();
        if inside.x <= 0.0 || inside.y <= 0.0 {
            return None;
        }
        let sign = |v: f64| if v < 0.0 { -1.0 } else { 1.0 };
        let out = if inside.x < inside.y {
            Vector2::new(inside.x * sign(local.x), 0.0)
        } else {
            Vector2::new(0.0, inside.y * sign(local.y))
        };
        Some(self.world(out))
    }

    /// Does the straight line between two points pass through it?
    #[must_use]
    pub fn hides(&self, from: Point3<f64>, to: Point3<f64>) -> bool {
        let (a, b) = (self.local(from.xy()), self.local(to.xy()));
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        let slabs = [
            (a.x, b.x, -self.half_m.x, self.half_m.x),
            (a.y, b.y, -self.half_m.y, self.half_m.y),
            (from.z, to.z, 0.0, self.height_m),
        ];
        for (start, end, low, high) in slabs {
            let step = end - start;
            if step.abs() < 1e-9 {
                if start < low || start > high {
                    return false;
                }
                continue;
            }
            let (t0, t1) = ((low - start) / step, (high - start) / step);
            enter = enter.max(t0.min(t1));
            leave = leave.min(t0.max(t1));
        }
        enter < leave
    }
}

/// Everything that stands in the way in one store.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacles {
    /// The shelving.
    pub blocks: Vec<Block>,
    floor: Polygon,
}

impl Obstacles {
    /// The shelving of a layout: a box around each gondola's plates, somewhat higher than its highest shelf.
    #[must_use]
    pub fn of(layout: &StoreLayout) -> Self {
        let block = |(g, gondola): (usize, &linefree_domain::layout::Gondola)| {
            let plates = layout.plates.iter().filter(|p| p.gondola == g);
            let facing = gondola.facing();
            let along = Vector2::new(-facing.y, facing.x);
            let across = Vector2::new(-along.y, along.x);
            let (mut low, mut high) = (Vector2::repeat(f64::MAX), Vector2::repeat(f64::MIN));
            let mut top_m = 0.0_f64;
            for plate in plates {
                top_m = top_m.max(plate.centre.z);
                for c in &plate.corners {
                    let local = Vector2::new(c.coords.dot(&along), c.coords.dot(&across));
                    (low, high) = (low.inf(&local), high.sup(&local));
                }
            }
            let middle = (low + high) / 2.0;
            (low.x <= high.x).then(|| Block {
                centre: Point2::from(along * middle.x + across * middle.y),
                along,
                half_m: (high - low) / 2.0,
                height_m: top_m + 0.25,
            })
        };
        let blocks = layout.gondolas.iter().enumerate().filter_map(block).collect();
        Self { blocks, floor: layout.floor.clone() }
    }

    /// Is there room for a body?
    #[must_use]
    pub fn is_free(&self, p: Point2<f64>) -> bool {
        // A hair less than what bodies are kept at, so that where they are kept is free.
        self.floor.contains(p) && self.blocks.iter().all(|b| b.push_out(p, BODY_RADIUS_M - 0.005).is_none())
    }

    /// Takes a body that stands in shelving or beyond the floor's edge back to where there is room.
    #[must_use]
    pub fn kept_out(&self, p: Point2<f64>, may_be_outside: bool) -> Point2<f64> {
        let mut p = p;
        for block in &self.blocks {
            if let Some(out) = block.push_out(p, BODY_RADIUS_M) {
                p += out;
            }
        }
        if !may_be_outside && !self.floor.contains(p) { self.nearest_inside(p) } else { p }
    }

    fn nearest_inside(&self, p: Point2<f64>) -> Point2<f64> {
        let corners = self.floor.corners();
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        let on_edge = |(a, b): (&Point2<f64>, &Point2<f64>)| {
            let along = b - a;
            let u = ((p - a).dot(&along) / along.norm_squared().max(1e-12)).clamp(0.0, 1.0);
            a + along * u
        };
        edges.map(on_edge).min_by(|a, b| (a - p).norm().total_cmp(&(b - p).norm())).unwrap_or(p)
    }

    /// Does shelving stand between two points?
    #[must_use]
    pub fn hidden(&self, from: Point3<f64>, to: Point3<f64>) -> bool {
        self.blocks.iter().any(|b| b.hides(from, to))
    }

    fn straight(&self, from: Point2<f64>, to: Point2<f64>) -> bool {
        let steps = ((to - from).norm() / (CELL_M / 2.0)).ceil().max(1.0) as u32;
        (0..=steps).all(|i| self.is_free(from + (to - from) * (f64::from(i) / f64::from(steps))))
    }

    /// Corners of a way from one point to another around the shelving, without the first point.
    #[must_use]
    pub fn way(&self, from: Point2<f64>, to: Point2<f64>) -> Vec<Point2<f64>> {
        if self.straight(from, to) {
            return vec![to];
        }
        let cell = |p: Point2<f64>| ((p.x / CELL_M).round() as i32, (p.y / CELL_M).round() as i32);
        let point = |(x, y): (i32, i32)| Point2::new(f64::from(x) * CELL_M, f64::from(y) * CELL_M);
        let goal = cell(to);
        let near = |c: &(i32, i32)| (c.0 - goal.0).abs() <= 1 && (c.1 - goal.1).abs() <= 1;
        let next = |&(x, y): &(i32, i32)| {
            let mut list = Vec::with_capacity(8);
            for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)] {
                let c = (x + dx, y + dy);
                if self.is_free(point(c)) {
                    list.push((c, if dx * dy == 0 { 10 } else { 14 }));
                }
            }
            list
        };
        let guess = |c: &(i32, i32)| {
            let (dx, dy) = ((c.0 - goal.0).abs(), (c.1 - goal.1).abs());
            10 * dx.max(dy) + 4 * dx.min(dy)
        };
        let Some((cells, _)) = astar(&cell(from), next, guess, near) else { return vec![to] };
        let mut points: Vec<Point2<f64>> = cells.into_iter().map(point).collect();
        points.push(to);
        // Corners that can be cut are.
        let mut way = Vec::new();
        let mut at = from;
        let mut i = 0;
        while i < points.len() {
            let ahead = (i..points.len()).rev().find(|j| self.straight(at, points[*j])).unwrap_or(i);
            at = points[ahead];
            way.push(at);
            i = ahead + 1;
        }
        way
    }
}

/// Distance between a point and a straight piece in space, seen from above, with where along it the nearest point is.
#[must_use]
pub fn beside_line(p: Point2<f64>, line: &Segment) -> (f64, f64) {
    let along = line.to - line.from;
    let u = ((p - line.from).dot(&along) / along.norm_squared().max(1e-12)).clamp(0.0, 1.0);
    ((p - (line.from + along * u)).norm(), u)
}

/// The nearest of some points; `None` of none.
#[must_use]
pub fn nearest(p: Point2<f64>, of: impl IntoIterator<Item = Point2<f64>>) -> Option<Point2<f64>> {
    of.into_iter().min_by(|a, b| (a - p).norm().partial_cmp(&(b - p).norm()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Obstacles {
        let floor = Polygon::new(vec![
            Point2::new(0.0, 0.0),
            Point2::new(6.0, 0.0),
            Point2::new(6.0, 4.0),
            Point2::new(0.0, 4.0),
        ]);
        let block = Block {
            centre: Point2::new(3.0, 2.0),
            along: Vector2::x(),
            half_m: Vector2::new(1.5, 0.2),
            height_m: 1.5,
        };
        Obstacles { blocks: vec![block], floor: floor.unwrap() }
    }

    #[test]
    fn ways_lead_around_shelving() {
        let room = room();
        let (from, to) = (Point2::new(3.0, 1.0), Point2::new(3.0, 3.0));
        let way = room.way(from, to);
        assert!(way.len() >= 2, "{way:?}");
        let mut at = from;
        for p in &way {
            for i in 0..=20 {
                let q = at + (p - at) * (f64::from(i) / 20.0);
                assert!(room.blocks[0].distance_m(q) > BODY_RADIUS_M - 0.02, "{q}");
            }
            at = *p;
        }
        assert_eq!(at, to);
    }

    #[test]
    fn shelving_hides_what_is_behind_and_below() {
        let room = room();
        let eye = Point3::new(3.0, 0.2, 2.5);
        assert!(room.hidden(eye, Point3::new(3.0, 2.6, 0.1)));
        assert!(!room.hidden(eye, Point3::new(3.0, 2.6, 2.4)));
        assert!(!room.hidden(eye, Point3::new(5.5, 0.6, 0.1)));
    }

    #[test]
    fn nobody_stands_in_a_shelf() {
        let room = room();
        let out = room.kept_out(Point2::new(3.0, 2.1), false);
        assert!(room.blocks[0].distance_m(out) >= BODY_RADIUS_M - 1e-9);
        assert!(room.floor.contains(room.kept_out(Point2::new(-1.0, 2.0), false)));
    }
}
