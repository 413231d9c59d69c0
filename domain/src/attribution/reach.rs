//! Who could have reached there: bodies and hands against plates, over the whole interval of handling.

use nalgebra::{Matrix2, Point2, Point3, Vector2};

use crate::floor::FloorTracker;
use crate::ids::{PlateIndex, ShopperId};
use crate::layout::StoreLayout;
use crate::shelf::PlateChange;
use crate::time::StoreTime;

/// How people stand and reach, relative to the plate they handle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReachConfig {
    /// Mean distance of the body in front of the plate's middle, metres.
    pub stand_off_m: f64,
    /// Its standard deviation, metres.
    pub stand_off_sd_m: f64,
    /// Standard deviation of the body's position along the shelf, metres.
    pub sideways_sd_m: f64,
    /// Share of reaches that do not look like that: long arms, odd postures, position errors.
    pub odd_share: f64,
    /// Standard deviation of the body's position in an odd reach, metres.
    pub odd_sd_m: f64,
    /// The hand is at the plate within this long after handling began, seconds; a shelf settles later.
    pub handling_s: f64,
    /// Seconds of standing there that count as one independent look.
    pub look_s: f64,
    /// Most independent looks one event can give.
    pub looks_max: f64,
    /// Spread of a handling hand about the plate, metres.
    pub hand_sd_m: f64,
    /// The least a hand far away can say: natural logarithm.
    pub hand_floor: f64,
    /// Body distance at which "somebody we do not see" is as likely, metres.
    pub unseen_at_m: f64,
}

impl Default for ReachConfig {
    fn default() -> Self {
        Self {
            stand_off_m: 0.50,
            stand_off_sd_m: 0.25,
            sideways_sd_m: 0.30,
            odd_share: 0.05,
            odd_sd_m: 0.9,
            handling_s: 2.0,
            look_s: 1.0,
            looks_max: 2.5,
            hand_sd_m: 0.12,
            hand_floor: -4.0,
            unseen_at_m: 2.2,
        }
    }
}

/// Height above a plate within which a hand handles what lies on it, metres.
const HANDLING_HEIGHT_M: f64 = 0.35;
/// Fewest hand sightings that say anything.
const HAND_SIGHTINGS_MIN: usize = 3;

/// Reach of everyone on the floor.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    layout: &'a StoreLayout,
    floor: &'a FloorTracker,
    config: ReachConfig,
}

/// The region that a set of plates takes up, seen from its front.
struct Front {
    centre: Point2<f64>,
    facing: Vector2<f64>,
    half_width_m: f64,
    half_depth_m: f64,
    height_m: f64,
}

impl<'a> Reach<'a> {
    /// Reach as the floor tracker's history tells it.
    #[must_use]
    pub fn new(layout: &'a StoreLayout, floor: &'a FloorTracker, config: ReachConfig) -> Self {
        Self { layout, floor, config }
    }

    /// Everyone who was on the floor during the event.
    #[must_use]
    pub fn shoppers(&self, changes: &[PlateChange]) -> Vec<ShopperId> {
        let mut ids: Vec<ShopperId> = changes
            .iter()
            .flat_map(|c| [c.start, c.end])
            .flat_map(|time| self.floor.known_at(time))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Log-likelihood of where this shopper was, given that they handled these plates.
    ///
    /// Comparable between shoppers and with [`Self::nobody`] for the same changes. A mixture of an ordinary reach
    /// (a Gaussian in front of the plate) and an odd one, averaged over the path and counted as at most
    /// [`ReachConfig::looks_max`] independent looks: consecutive positions share their error.
    #[must_use]
    pub fn log_likelihood(&self, shopper: ShopperId, changes: &[PlateChange]) -> f64 {
        let Some(front) = self.front(changes.iter().map(|c| c.plate)) else {
            return f64::NEG_INFINITY;
        };
        let (start, end) = self.interval(changes);
        let path = self.floor.path(shopper, start, end);
        let mut positions: Vec<(Point2<f64>, Matrix2<f64>)> =
            path.into_iter().map(|(_, p)| (p.at, p.cov_m2)).collect();
        if positions.is_empty() {
            let at_ends = [start, end].into_iter().filter_map(|t| self.floor.position(shopper, t));
            positions.extend(at_ends.map(|p| (p.at, p.cov_m2)));
        }
        if positions.is_empty() {
            return f64::NEG_INFINITY;
        }
        let mean = positions.iter().map(|(at, cov)| self.body(&front, *at, cov)).sum::<f64>()
            / positions.len() as f64;
        let looks = self.looks(end.seconds_since(start));
        mean * looks + self.hands(shopper, &front, start, end)
    }

    /// Log-likelihood for somebody whom no camera sees.
    #[must_use]
    pub fn nobody(&self, changes: &[PlateChange]) -> f64 {
        let (start, end) = self.interval(changes);
        let variance = self.config.odd_sd_m.powi(2);
        let odd = self.config.odd_share / (std::f64::consts::TAU * variance)
            * (-self.config.unseen_at_m.powi(2) / (2.0 * variance)).exp();
        odd.ln() * self.looks(end.seconds_since(start))
    }

    /// When hands were at these plates.
    fn interval(&self, changes: &[PlateChange]) -> (StoreTime, StoreTime) {
        let start = changes.iter().map(|c| c.start).min().unwrap_or_default();
        let end = changes.iter().map(|c| c.end.min(c.start.plus_s(self.config.handling_s))).max();
        (start, end.unwrap_or(start))
    }

    fn looks(&self, duration_s: f64) -> f64 {
        (duration_s / self.config.look_s).clamp(1.0, self.config.looks_max)
    }

    fn front(&self, plates: impl Iterator<Item = PlateIndex>) -> Option<Front> {
        let plates: Vec<_> = plates.map(|p| &self.layout.plates[p.0]).collect();
        let first = plates.first()?;
        let facing = self.layout.gondolas[first.gondola].facing();
        let along = Vector2::new(-facing.y, facing.x);
        let n = plates.len() as f64;
        let centre = Point2::from(plates.iter().map(|p| p.centre.xy().coords).sum::<Vector2<f64>>() / n);
        let extent = |axis: Vector2<f64>| {
            plates
                .iter()
                .flat_map(|p| p.corners.iter())
                .map(|c| (c - centre).dot(&axis).abs())
                .fold(0.0, f64::max)
        };
        Some(Front {
            centre,
            facing,
            half_width_m: extent(along),
            half_depth_m: extent(facing),
            height_m: plates.iter().map(|p| p.centre.z).sum::<f64>() / n,
        })
    }

    fn body(&self, front: &Front, at: Point2<f64>, cov_m2: &Matrix2<f64>) -> f64 {
        let config = &self.config;
        let along = Vector2::new(-front.facing.y, front.facing.x);
        let axes = Matrix2::from_columns(&[along, front.facing]);
        let seen = axes.transpose() * cov_m2 * axes;
        let usual = Matrix2::new(
            config.sideways_sd_m.powi(2) + front.half_width_m.powi(2) / 3.0,
            0.0,
            0.0,
            config.stand_off_sd_m.powi(2),
        );
        let local = axes.transpose() * (at - front.centre);
        let off = local - Vector2::new(0.0, config.stand_off_m);
        let odd = Matrix2::identity() * config.odd_sd_m.powi(2);
        let mixed = (1.0 - config.odd_share) * gaussian2(off, usual + seen)
            + config.odd_share * gaussian2(off, odd + seen);
        mixed.max(1e-30).ln()
    }

    fn hands(&self, shopper: ShopperId, front: &Front, start: StoreTime, end: StoreTime) -> f64 {
        let along = Vector2::new(-front.facing.y, front.facing.x);
        let outside_m = |at: Point3<f64>| {
            let off = at.xy() - front.centre;
            let beyond = |value: f64, half: f64| (value.abs() - half).max(0.0);
            let above = (at.z - front.height_m - HANDLING_HEIGHT_M).max(0.0);
            let below = (front.height_m - at.z).max(0.0);
            let across = [
                beyond(off.dot(&along), front.half_width_m),
                beyond(off.dot(&front.facing), front.half_depth_m),
                above + below,
            ];
            across.iter().map(|d| d * d).sum::<f64>().sqrt()
        };
        let mut count = 0;
        let nearest = self.floor.hands_of(shopper, start, end).fold(f64::NEG_INFINITY, |best, hand| {
            count += 1;
            let variance = self.config.hand_sd_m.powi(2) + hand.sd_m.powi(2);
            best.max(-outside_m(hand.at).powi(2) / (2.0 * variance))
        });
        if count < HAND_SIGHTINGS_MIN { 0.0 } else { nearest.max(self.config.hand_floor) }
    }
}

/// Density of a two-dimensional Gaussian with mean zero; 0 for a covariance that is none.
fn gaussian2(off: Vector2<f64>, cov: Matrix2<f64>) -> f64 {
    let det = cov.determinant();
    match cov.try_inverse() {
        Some(inverse) if det > 0.0 => {
            (-0.5 * (off.transpose() * inverse * off)[0]).exp() / (std::f64::consts::TAU * det.sqrt())
        }
        _ => 0.0,
    }
}
