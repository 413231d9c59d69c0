//! Who can be seen from where: rays between a lens and points of a body.

use nalgebra::{Point2, Point3};

use crate::obstacles::{Obstacles, beside_line};
use crate::stores::Eye;
use linefree_domain::geometry::Segment;

/// Heights of a body's points, as shares of its height: foot, knee, hip, chest, head.
const POINTS: [f64; 5] = [0.04, 0.28, 0.52, 0.76, 0.97];
/// Radius within which a body hides what is behind it, metres.
const HIDING_RADIUS_M: f64 = 0.2;

/// Bodies of one moment among the shelving.
#[derive(Debug, Clone)]
pub struct Scene<'s> {
    /// The shelving.
    pub obstacles: &'s Obstacles,
    /// Everybody: number, feet, height.
    pub bodies: Vec<(usize, Point2<f64>, f64)>,
    /// Where no camera looks, along x.
    pub blind_x_m: Option<[f64; 2]>,
}

/// How much of a body is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Share of its points.
    pub share: f64,
    /// Is the foot among them?
    pub foot: bool,
}

impl Scene<'_> {
    fn blind(&self, at: Point2<f64>) -> bool {
        self.blind_x_m.is_some_and(|[from, to]| (from..to).contains(&at.x))
    }

    /// Is the straight line from a lens to a point free, but for one body?
    #[must_use]
    pub fn sees(&self, eye: &Eye, point: Point3<f64>, but: usize) -> bool {
        if self.obstacles.hidden(eye.at, point) {
            return false;
        }
        let line = Segment { from: eye.at.xy(), to: point.xy() };
        let hides = |(_, at, height_m): &(usize, Point2<f64>, f64)| {
            let (off_m, u) = beside_line(*at, &line);
            let ray_m = eye.at.z + (point.z - eye.at.z) * u;
            off_m < HIDING_RADIUS_M && u > 0.0 && u < 1.0 && ray_m < *height_m
        };
        !self.bodies.iter().any(|b| b.0 != but && hides(b))
    }

    /// How much of somebody a camera sees.
    #[must_use]
    pub fn seen(&self, eye: &Eye, who: usize, at: Point2<f64>, height_m: f64) -> Seen {
        if self.blind(at) {
            return Seen { share: 0.0, foot: false };
        }
        let visible = POINTS.map(|h| self.sees(eye, Point3::new(at.x, at.y, h * height_m), who));
        let count = visible.iter().filter(|v| **v).count();
        Seen { share: count as f64 / POINTS.len() as f64, foot: visible[0] }
    }
}
