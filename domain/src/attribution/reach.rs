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
    /// Who handles something has been standing for this long before, seconds.
    pub arrived_s: f64,
    /// Who handled something is looked at for this long after, seconds: they stay to look at it and put it away.
    pub stay_s: f64,
    /// Standard deviation of how far somebody moves meanwhile who stays, per axis, metres.
    pub stay_sd_m: f64,
    /// The same for who does not.
    pub leave_sd_m: f64,
    /// Share of those who do not stay, among those who handled something.
    pub leave_share: f64,
    /// Share of bystanders who do not stay.
    pub pass_share: f64,
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
            arrived_s: 0.5,
            stay_s: 2.0,
            stay_sd_m: 0.2,
            leave_sd_m: 1.2,
            leave_share: 0.1,
            pass_share: 0.5,
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
/// Whoever stands so badly for a reach that this is the log-likelihood of it is nobody's rival, whatever manner and hands
/// say for them: their past is not looked up.
const OUT_OF_REACH: f64 = -30.0;
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
    /// plate, reaching past somebody and an odd posture; the manner, for who handles stands, has stood before and stays a
    /// while; and the hands.
    #[must_use]
    pub fn log_likelihood(&self, shopper: ShopperId, changes: &[PlateChange]) -> f64 {
        let Some(front) = self.front(changes.iter().map(|c| c.plate)) else {
            return f64::NEG_INFINITY;
        };
        let (start, end) = self.interval(changes);
        let mut path = self.seen(shopper, start, end);
        if path.is_empty() {
            path.extend([start, end].into_iter().filter_map(|t| self.floor.position(shopper, t)));
        }
        if path.is_empty() {
            return f64::NEG_INFINITY;
        }
        let at = mean(&path, |p| p.at.coords);
        // Errors of successive positions are alike: their mean is hardly better than one of them.
        let cov_m2 = path.iter().map(|p| p.cov_m2).sum::<Matrix2<f64>>() / path.len() as f64;
        let body = self.body(&front, at.into(), &cov_m2);
        if body < OUT_OF_REACH {
            return body;
        }
        body + self.manner(shopper, &path, start, end) + self.hands(shopper, &front, start, end)
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

    /// Until when to look before it is said who it was.
    #[must_use]
    pub fn watched_until(&self, changes: &[PlateChange]) -> StoreTime {
        self.interval(changes).1.plus_s(self.config.stay_s)
    }

    /// Log of how much likelier it is for who handles something than for a bystander to move like that. Whoever stands
    /// does so before, meanwhile and after: all three are one look, in a mixture of people who stand and who walk by.
    fn manner(&self, shopper: ShopperId, path: &[Position], start: StoreTime, end: StoreTime) -> f64 {
        let config = &self.config;
        let before = self.seen(shopper, start.plus_s(-config.arrived_s), start);
        let after = self.seen(shopper, end, end.plus_s(config.stay_s));
        let moves = |sd: f64| {
            let density = |path: &[Position]| density2(mean(path, |p| p.velocity), sd);
            density(path) * if before.is_empty() { 1.0 } else { density(&before) }
        };
        let goes = |share: f64| {
            if after.is_empty() {
                return 1.0;
            }
            let off = mean(&after, |p| p.at.coords) - mean(path, |p| p.at.coords);
            (1.0 - share) * density2(off, config.stay_sd_m) + share * density2(off, config.leave_sd_m)
        };
        let (stands, walks) = (moves(config.still_sd_m_s), moves(config.walk_sd_m_s) * goes(1.0));
        let mixed = |walkers: f64, leavers: f64| (1.0 - walkers) * stands * goes(leavers) + walkers * walks;
        let handles = mixed(config.odd_share, config.leave_share);
        let bystander = mixed(config.walk_share, config.pass_share);
        (handles.max(1e-300) / bystander.max(1e-300)).ln()
    }

    fn seen(&self, shopper: ShopperId, from: StoreTime, to: StoreTime) -> Vec<Position> {
        self.floor.path(shopper, from, to).into_iter().map(|(_, p)| p).collect()
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

/// Mean of what `part` gives of every position; there is at least one.
fn mean(path: &[Position], part: impl Fn(&Position) -> Vector2<f64>) -> Vector2<f64> {
    path.iter().map(part).sum::<Vector2<f64>>() / path.len() as f64
}

/// Density of a round two-dimensional Gaussian with mean zero, but for the factor of all of them.
fn density2(off: Vector2<f64>, sd: f64) -> f64 {
    (-off.norm_squared() / (2.0 * sd * sd)).exp() / (sd * sd)
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
