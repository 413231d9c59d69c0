//! Drift of a calibration, from what the store sees every day.
//!
//! Cameras: whoever is seen by two cameras at one moment stands in one place. For each camera, the shift, turn and
//! stretch on the floor that brings it back to the others is found by robust least squares (iteratively reweighted,
//! Holland and Welsch 1977) over all such pairs; the corrections themselves are weighted so that few cameras take them
//! (as an L1 norm does): one that was knocked stands against all that were not. A camera whose people grow or shrink
//! was tilted, even if no other sees what it sees.
//!
//! Plates: takes and puts of single items are known weights. Their median against the catalogue is a plate's gain.
//!
//! # Limits
//! Two cameras that disagree do not tell which of them moved. A drift that all cameras share is not seen; bodies are
//! half a metre wide, so that a few centimetres take some hundred pairs.

use std::collections::BTreeMap;

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::ShelfEvent;
use nalgebra::{DMatrix, DVector, Point2, Vector2};
use serde::{Deserialize, Serialize};

/// Feet of one person in two cameras lie this near together, metres.
const GATE_M: f64 = 1.0;
/// Somebody else within this many times their distance makes a pair doubtful; it is passed over.
const ALONE: f64 = 2.0;
/// A pair's own error, metres: bodies have a width, and feet are found to a few pixels.
const PAIR_SD_M: f64 = 0.15;
/// A correction is believed this large beforehand: metres, and radians or share.
const SHIFT_SD_M: f64 = 0.3;
const TURN_SD: f64 = 0.05;
/// Corrections below this are not weighted any more strongly, metres.
const SHIFT_FLOOR_M: f64 = 0.01;
const ROUNDS: usize = 12;
/// The fewest pairs of a camera that say something.
pub const MIN_PAIRS: usize = 50;
/// The fewest people whose height says something.
pub const MIN_HEIGHTS: usize = 50;
/// The fewest takes and puts of a plate that say something.
pub const MIN_CHANGES: usize = 8;
/// A change is this near to a whole number of items to count.
const WHOLE: f64 = 0.12;

/// Somebody as one camera places them on the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When, in steps in which nobody moves far.
    pub moment: i64,
    /// Index of the camera.
    pub camera: usize,
    /// Where, metres.
    pub at: Point2<f64>,
    /// How tall they seem, metres, where that can be told.
    pub height_m: Option<f64>,
}

/// What a camera's people say of it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CameraDrift {
    /// Pairs with other cameras.
    pub pairs: usize,
    /// How far it puts people from where the others do, root mean square over where it sees them, metres; `None`
    /// with too few pairs.
    pub off_m: Option<f64>,
    /// Which way, in the mean, metres.
    pub shift_m: Option<[f64; 2]>,
    /// How tall people seem, median, metres; `None` with too few.
    pub height_m: Option<f64>,
}

/// What a plate's takes and puts say of it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PlateDrift {
    /// Takes and puts of whole items.
    pub changes: usize,
    /// Median of weighed over catalogued; 1 = right. `None` with too few.
    pub gain: Option<f64>,
    /// How surely.
    pub gain_sd: Option<f64>,
}

/// Compares cameras with each other, in the order of `cameras` of them.
#[must_use]
pub fn of_cameras(cameras: usize, seen: &[Seen]) -> Vec<CameraDrift> {
    let pairs = pairs(seen);
    let mut drifts = vec![CameraDrift::default(); cameras];
    for pair in &pairs {
        drifts[pair.a.0].pairs += 1;
        drifts[pair.b.0].pairs += 1;
    }
    for (camera, drift) in drifts.iter_mut().enumerate() {
        let mut heights: Vec<f64> =
            seen.iter().filter(|s| s.camera == camera).filter_map(|s| s.height_m).collect();
        heights.sort_by(f64::total_cmp);
        if heights.len() >= MIN_HEIGHTS {
            drift.height_m = heights.get(heights.len() / 2).copied();
        }
    }
    // Around the middle of what each camera pairs: else shift and turn are one.
    let middles: Vec<Point2<f64>> = (0..cameras).map(|c| middle(&pairs, c)).collect();
    let Some(found) = corrections(cameras, &pairs, &middles) else { return drifts };
    for (camera, drift) in drifts.iter_mut().enumerate() {
        if drift.pairs < MIN_PAIRS {
            continue;
        }
        let own: Vec<Vector2<f64>> =
            places_of(&pairs, camera).map(|at| correction(&found, camera, at - middles[camera])).collect();
        let squares = own.iter().map(Vector2::norm_squared).sum::<f64>() / own.len() as f64;
        let mean = own.iter().sum::<Vector2<f64>>() / own.len() as f64;
        // The correction leads back; the camera is off the other way.
        drift.off_m = Some(squares.sqrt());
        drift.shift_m = Some([-mean.x, -mean.y]);
    }
    drifts
}

struct Pair {
    a: (usize, Point2<f64>),
    b: (usize, Point2<f64>),
}

/// Feet of two cameras that are each other's nearest and nobody else's.
fn pairs(seen: &[Seen]) -> Vec<Pair> {
    let mut sorted: Vec<&Seen> = seen.iter().filter(|s| s.at.iter().all(|v| v.is_finite())).collect();
    sorted.sort_by_key(|s| (s.moment, s.camera));
    let mut pairs = Vec::new();
    for moment in sorted.chunk_by(|a, b| a.moment == b.moment) {
        for (i, a) in moment.iter().enumerate() {
            for b in &moment[i + 1..] {
                let apart_m = (a.at - b.at).norm();
                if a.camera == b.camera || apart_m > GATE_M {
                    continue;
                }
                let near = |of: &Seen, camera: usize, but: &Seen| {
                    moment.iter().any(|o| {
                        o.camera == camera
                            && o.at != but.at
                            && (o.at - of.at).norm() < (ALONE * apart_m).max(0.5 * GATE_M)
                    })
                };
                if !near(a, b.camera, b) && !near(b, a.camera, a) {
                    pairs.push(Pair { a: (a.camera, a.at), b: (b.camera, b.at) });
                }
            }
        }
    }
    pairs
}

fn places_of(pairs: &[Pair], camera: usize) -> impl Iterator<Item = Point2<f64>> + '_ {
    pairs.iter().flat_map(|p| [p.a, p.b]).filter(move |(c, _)| *c == camera).map(|(_, at)| at)
}

fn middle(pairs: &[Pair], camera: usize) -> Point2<f64> {
    let (count, sum) =
        places_of(pairs, camera).fold((0.0, Vector2::zeros()), |(n, s), at| (n + 1.0, s + at.coords));
    Point2::from(sum / f64::max(count, 1.0))
}

/// Shift along x and y, turn and stretch.
const UNKNOWNS: usize = 4;

fn correction(found: &DVector<f64>, camera: usize, from_middle: Vector2<f64>) -> Vector2<f64> {
    let c = found.rows(UNKNOWNS * camera, UNKNOWNS);
    let (x, y) = (from_middle.x, from_middle.y);
    Vector2::new(c[0] - c[2] * y + c[3] * x, c[1] + c[2] * x + c[3] * y)
}

fn corrections(cameras: usize, pairs: &[Pair], middles: &[Point2<f64>]) -> Option<DVector<f64>> {
    let size = UNKNOWNS * cameras;
    let mut found = DVector::zeros(size);
    for _ in 0..ROUNDS {
        let (mut left, mut right) = (DMatrix::zeros(size, size), DVector::zeros(size));
        for pair in pairs {
            let ends = [(pair.a, 1.0), (pair.b, -1.0)];
            let gap = pair.a.1 - pair.b.1;
            let now: Vector2<f64> = gap
                + ends
                    .iter()
                    .map(|((c, at), sign)| correction(&found, *c, at - middles[*c]) * *sign)
                    .sum::<Vector2<f64>>();
            // Cauchy's: a wrong pair pulls the less the wronger it is.
            let weight = 1.0 / (PAIR_SD_M * PAIR_SD_M * (1.0 + now.norm_squared() / (PAIR_SD_M * PAIR_SD_M)));
            for axis in 0..2 {
                let mut row: Vec<(usize, f64)> = Vec::new();
                for ((camera, at), sign) in ends {
                    let d = at - middles[camera];
                    let by = if axis == 0 { [1.0, 0.0, -d.y, d.x] } else { [0.0, 1.0, d.x, d.y] };
                    row.extend(by.iter().enumerate().map(|(k, v)| (UNKNOWNS * camera + k, sign * v)));
                }
                for (i, v) in &row {
                    right[*i] -= weight * v * gap[axis];
                    for (j, u) in &row {
                        left[(*i, *j)] += weight * v * u;
                    }
                }
            }
        }
        for camera in 0..cameras {
            let shift = Vector2::new(found[UNKNOWNS * camera], found[UNKNOWNS * camera + 1]).norm();
            let sparse = pairs.len().max(1) as f64 * SHIFT_FLOOR_M / shift.max(SHIFT_FLOOR_M);
            for k in 0..UNKNOWNS {
                let sd = if k < 2 { SHIFT_SD_M } else { TURN_SD };
                left[(UNKNOWNS * camera + k, UNKNOWNS * camera + k)] +=
                    sparse.max(1.0) * if k < 2 { 1.0 } else { 0.1 } / (sd * sd);
            }
        }
        found = left.cholesky()?.solve(&right);
    }
    Some(found)
}

/// Compares takes and puts with the catalogue, plate by plate; plates that say nothing are left out.
#[must_use]
pub fn of_plates(layout: &StoreLayout, events: &[ShelfEvent]) -> BTreeMap<PlateIndex, PlateDrift> {
    let mut ratios: BTreeMap<PlateIndex, Vec<f64>> = BTreeMap::new();
    for event in events {
        let [change] = event.changes.as_slice() else { continue };
        let mut products = layout.products_on(change.plate);
        let (Some(product), None) = (products.next(), products.next()) else { continue };
        let mean_g = layout.products[product.0].weight.mean_g;
        let items = (change.delta_g.abs() / mean_g).round().clamp(1.0, 3.0);
        let ratio = change.delta_g.abs() / (items * mean_g);
        if (ratio - 1.0).abs() < WHOLE {
            ratios.entry(change.plate).or_default().push(ratio);
        }
    }
    let drift = |mut ratios: Vec<f64>| {
        ratios.sort_by(f64::total_cmp);
        let changes = ratios.len();
        if changes < MIN_CHANGES {
            return PlateDrift { changes, gain: None, gain_sd: None };
        }
        let gain = ratios[changes / 2];
        let mut off: Vec<f64> = ratios.iter().map(|r| (r - gain).abs()).collect();
        off.sort_by(f64::total_cmp);
        // Of the median, from the median deviation (Hampel 1974).
        let sd = 1.4826 * off[changes / 2] * 1.25 / (changes as f64).sqrt();
        PlateDrift { changes, gain: Some(gain), gain_sd: Some(sd) }
    };
    ratios.into_iter().map(|(plate, r)| (plate, drift(r))).collect()
}
