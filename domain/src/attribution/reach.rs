//! Who could have reached there: bodies and hands against plates, over the whole interval of handling.

use nalgebra::{Matrix2, Point2, Vector2};

use crate::floor::{FloorTracker, Position};
use crate::ids::{PlateIndex, ShopperId};
use crate::layout::StoreLayout;
use crate::shelf::PlateChange;
use crate::time::StoreTime;

/// How people stand and reach, relative to the plate they handle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReachConfig {
    /// Mean distance of the body from the plate's front edge, metres.
    pub stand_off_m: f64,
    /// Its standard deviation, metres.
    pub stand_off_sd_m: f64,
    /// Standard deviation of the body's position along the shelf for who stands right before the plate, metres.
    pub sideways_sd_m: f64,
    /// The same for who reaches past somebody or something, metres.
    pub aside_sd_m: f64,
    /// Share of reaches past somebody or something.
    pub aside_share: f64,
    /// Share of reaches that do not look like that: long arms, odd postures, position errors.
    pub odd_share: f64,
    /// Standard deviation of the body's position in an odd reach, metres.
    pub odd_sd_m: f64,
    /// Error of positions that no averaging removes, metres.
    pub place_sd_m: f64,
    /// Standard deviation of the velocity of who handles something, per axis, metres a second.
    pub still_sd_m_s: f64,
    /// The same for who walks by.
    pub walk_sd_m_s: f64,
    /// Share of bystanders who walk.
    pub walk_share: f64,
    /// The hand is at the plate within this long after handling began, seconds; a shelf settles later.
    pub handling_s: f64,
    /// Probability that a hand which a camera sees meanwhile is the one at the plate.
    pub hand_share: f64,
    /// Where the hands of others are: a space of this many cubic metres.
    pub hand_space_m3: f64,
    /// Sightings within this time are one look, seconds.
    pub hand_look_s: f64,
    /// The most that hands can say for and against somebody: natural logarithm.
    pub hand_limit: f64,
    /// Density of somebody whom no camera sees at the place where one stands to reach, per square metre.
    pub unseen_per_m2: f64,
}

impl Default for ReachConfig {
    fn default() -> Self {
        Self {
            stand_off_m: 0.42,
            stand_off_sd_m: 0.16,
            sideways_sd_m: 0.18,
            aside_sd_m: 0.42,
            aside_share: 0.25,
            odd_share: 0.03,
            odd_sd_m: 0.9,
            place_sd_m: 0.05,
            still_sd_m_s: 0.22,
            walk_sd_m_s: 0.8,
            walk_share: 0.4,
            handling_s: 2.0,
            hand_share: 0.75,
            hand_space_m3: 0.8,
            hand_look_s: 0.25,
            hand_limit: 7.0,
            unseen_per_m2: 6e-4,
        }
    }
}

/// Height above a plate within which a hand handles what lies on it, metres.
const HANDLING_HEIGHT_M: f64 = 0.35;
/// An arm that disappears in a shelf is seen to end at most this far before the shelf's edge, metres.
const IN_FRONT_M: f64 = 0.15;
/// Spread of a handling hand about that space, metres.
const HAND_SD_M: f64 = 0.05;
/// A hand's sightings blur the space about a plate by so many of their standard deviations.
const HAND_BLUR: f64 = 2.5;

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

    /// Log-likelihood of where this shopper was, given that they handled these plates, against having stood by.
    ///
    /// Comparable between shoppers and with [`Self::nobody`] for the same changes. Where one stands to reach is drawn
    /// once a reach, so that the whole path is one look: its mean place, in a mixture of standing right before the
    /// plate, reaching past somebody and an odd posture; its mean velocity, for who handles stands; and the hands.
    #[must_use]
    pub fn log_likelihood(&self, shopper: ShopperId, changes: &[PlateChange]) -> f64 {
        let Some(front) = self.front(changes.iter().map(|c| c.plate)) else {
            return f64::NEG_INFINITY;
        };
        let (start, end) = self.interval(changes);
        let mut path: Vec<Position> =
            self.floor.path(shopper, start, end).into_iter().map(|(_, p)| p).collect();
        if path.is_empty() {
            path.extend([start, end].into_iter().filter_map(|t| self.floor.position(shopper, t)));
        }
        if path.is_empty() {
            return f64::NEG_INFINITY;
        }
        let n = path.len() as f64;
        let at = Point2::from(path.iter().map(|p| p.at.coords).sum::<Vector2<f64>>() / n);
        // Errors of successive positions are alike: their mean is hardly better than one of them.
        let cov_m2 = path.iter().map(|p| p.cov_m2).sum::<Matrix2<f64>>() / n;
        let velocity = path.iter().map(|p| p.velocity).sum::<Vector2<f64>>() / n;
        self.body(&front, at, &cov_m2) + self.stillness(velocity) + self.hands(shopper, &front, start, end)
    }

    /// Log-likelihood for somebody whom no camera sees.
    #[must_use]
    pub fn nobody(&self) -> f64 {
        self.config.unseen_per_m2.ln()
    }

    /// When hands were at these plates.
    fn interval(&self, changes: &[PlateChange]) -> (StoreTime, StoreTime) {
        let start = changes.iter().map(|c| c.start).min().unwrap_or_default();
        let end = changes.iter().map(|c| c.end.min(c.start.plus_s(self.config.handling_s))).max();
        (start, end.unwrap_or(start))
    }

    /// Log of how much likelier this velocity is for who handles something than for a bystander.
    fn stillness(&self, velocity: Vector2<f64>) -> f64 {
        let config = &self.config;
        let density = |sd: f64| (-velocity.norm_squared() / (2.0 * sd * sd)).exp() / (sd * sd);
        let (still, walking) = (density(config.still_sd_m_s), density(config.walk_sd_m_s));
        let bystander = (1.0 - config.walk_share) * still + config.walk_share * walking;
        let odd = config.odd_share * walking;
        (((1.0 - config.odd_share) * still + odd).max(1e-30) / bystander.max(1e-30)).ln()
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
        let seen = axes.transpose() * cov_m2 * axes + Matrix2::identity() * config.place_sd_m.powi(2);
        let local = axes.transpose() * (at - front.centre);
        let off = local - Vector2::new(0.0, front.half_depth_m + config.stand_off_m);
        let wide_m2 = front.half_width_m.powi(2) / 3.0;
        let stance = |sideways_sd_m: f64| {
            let spread = Vector2::new(sideways_sd_m.powi(2) + wide_m2, config.stand_off_sd_m.powi(2));
            gaussian2(off, Matrix2::from_diagonal(&spread) + seen)
        };
        let odd = Matrix2::identity() * config.odd_sd_m.powi(2);
        let mixed = (1.0 - config.aside_share - config.odd_share) * stance(config.sideways_sd_m)
            + config.aside_share * stance(config.aside_sd_m)
            + config.odd_share * gaussian2(off, odd + seen);
        mixed.max(1e-30).ln()
    }

    /// Log of how much likelier the hands that were seen are for who handles this than for who does not: a hand at the
    /// plate speaks for them, hands seen elsewhere all the while against.
    fn hands(&self, shopper: ShopperId, front: &Front, start: StoreTime, end: StoreTime) -> f64 {
        let config = &self.config;
        let along = Vector2::new(-front.facing.y, front.facing.x);
        let half_m = [front.half_width_m, front.half_depth_m + IN_FRONT_M / 2.0, HANDLING_HEIGHT_M / 2.0];
        let (mut sum, mut look, mut seen): (f64, Option<StoreTime>, (f64, f64)) = (0.0, None, (0.0, 0.0));
        for hand in self.floor.hands_of(shopper, start, end) {
            let off = hand.at.xy() - front.centre;
            let above = hand.at.z - front.height_m - half_m[2];
            let off_m = [off.dot(&along), off.dot(&front.facing) - IN_FRONT_M / 2.0, above];
            let outside2 = off_m.iter().zip(half_m).map(|(o, h)| (o.abs() - h).max(0.0).powi(2)).sum::<f64>();
            let sd_m = hand.sd_m.max(0.03).hypot(HAND_SD_M);
            let space_m3: f64 = half_m.iter().map(|h| 2.0 * h + HAND_BLUR * sd_m).product();
            let there = (-outside2 / (2.0 * sd_m.powi(2))).exp() * config.hand_space_m3 / space_m3;
            let ratio = (1.0 - config.hand_share + config.hand_share * there).ln();
            if look.is_none_or(|since| hand.time.seconds_since(since) > config.hand_look_s) {
                sum += if seen.1 > 0.0 { seen.0 / seen.1 } else { 0.0 };
                (look, seen) = (Some(hand.time), (0.0, 0.0));
            }
            seen = (seen.0 + ratio, seen.1 + 1.0);
        }
        sum += if seen.1 > 0.0 { seen.0 / seen.1 } else { 0.0 };
        sum.clamp(-config.hand_limit, config.hand_limit)
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
