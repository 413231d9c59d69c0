//! Where cameras should hang: for a floor plan with none yet, or one more for a store that has some.
//!
//! Method: from many possible places under the ceiling, each with many directions, the one that helps most is taken,
//! again and again; what a camera adds shrinks with what others see already, so that this comes near to the best
//! possible choice (Nemhauser, Wolsey and Fisher 1978: never worse than 63 % of it; Krause et al. 2008 for sensors).
//! Then each is taken away once and put where it helps most now, until nothing moves.
//!
//! What is wanted of a cell: one camera, better two, from which shoppers can be told apart when they hide each other,
//! a little for a third, and a small expected error. A place before a shelf counts double.
//!
//! # Limits
//! Cameras are pinholes of one kind at one height. Cells, shelving and errors are those of [`crate::coverage`].

use linefree_domain::geometry::{Lens, Pose, View};
use linefree_domain::layout::StoreLayout;
use nalgebra::{Matrix2, Matrix3, Point2, Point3, Rotation3, UnitQuaternion, Vector3};

use crate::coverage::{self, Body, Coverage, Viewer};
use crate::store::Quality;

/// What a cell is worth by how many cameras see it; from three on, the last.
const WORTH: [f64; 4] = [0.0, 1.0, 1.6, 1.7];
/// What a cell is worth before a shelf's front, beside one that is not.
const FRONT_WORTH: f64 = 2.0;
/// What an error of nothing would be worth; one of this many metres is worth a half of that.
const EXACT_WORTH: f64 = 0.4;
const EXACT_M: f64 = 0.1;
/// At most this many places are tried.
const MOST_PLACES: f64 = 150.0;
/// Directions: every so many degrees around, and these below the horizontal.
const TURN_DEG: usize = 30;
const DOWN_DEG: [f64; 4] = [25.0, 40.0, 55.0, 75.0];
/// Rounds of moving each camera once.
const ROUNDS: usize = 3;
/// Cameras hang this far from those that are there, metres.
const APART_M: f64 = 0.75;
/// What is moved must gain this share.
const LEAST_GAIN: f64 = 1e-3;
/// The most cameras that are planned at once.
pub const MOST_CAMERAS: usize = 64;
/// What a planned camera's calibration is expected to say of itself: `calibrate pose --markers` in a store.
const EXPECTED: Quality = Quality {
    lens_rms_px: None,
    floor_error_m: None,
    pose_rms_px: None,
    position_sd_m: Some(0.01),
    rotation_sd_deg: Some(0.1),
};

/// What kind of cameras, and how many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// How many may be bought.
    pub cameras: usize,
    /// How high they hang, metres.
    pub height_m: f64,
    /// Width and height of their images, pixels.
    pub size_px: [u32; 2],
    /// Their horizontal field of view, degrees.
    pub field_deg: f64,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The wish makes no sense.
    #[error("{0}")]
    Wish(String),
    /// There is no floor to see.
    #[error("no part of the floor is free of shelving; check [store] floor and the gondolas' places")]
    NoFloor,
    /// No possible camera sees anything.
    #[error("from {height_m} m no camera would see any floor; check --height and the gondolas' heights")]
    NothingSeen {
        /// How high they would hang.
        height_m: f64,
    },
}

/// A camera where it should hang.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The camera, with a new id.
    pub viewer: Viewer,
    /// Where, metres.
    pub at: Point3<f64>,
    /// Where it looks, counter-clockwise from the x axis seen from above, degrees.
    pub yaw_deg: f64,
    /// How far below the horizontal, degrees.
    pub down_deg: f64,
}

/// A plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is proposed, in the order of what each adds.
    pub cameras: Vec<Proposed>,
    /// What is seen without them.
    pub before: Coverage,
    /// What is seen with them.
    pub after: Coverage,
}

/// A possible camera and what it sees: cells and information there.
struct Candidate {
    at: Point3<f64>,
    yaw_deg: f64,
    down_deg: f64,
    sees: Vec<(usize, Matrix2<f64>)>,
}

/// What is known of each cell.
#[derive(Clone)]
struct Known {
    counts: Vec<usize>,
    information: Vec<Matrix2<f64>>,
}

/// Proposes cameras beside those there are. `said` is told how much of the work is done, 0 to 1.
///
/// # Errors
/// [`PlanError`].
pub fn propose(
    layout: &StoreLayout,
    existing: &[Viewer],
    wish: &Wish,
    mut said: impl FnMut(f64),
) -> Result<Plan, PlanError> {
    check(wish)?;
    let bodies = Body::of(layout);
    let (_, cells) = coverage::cells(layout, &bodies);
    if cells.is_empty() {
        return Err(PlanError::NoFloor);
    }
    let worth: Vec<f64> = cells.iter().map(|c| if c.front { FRONT_WORTH } else { 1.0 }).collect();
    let middles: Vec<Point2<f64>> = cells.iter().map(|c| c.at).collect();
    let places = places(layout, &bodies, wish.height_m);
    let mut candidates = Vec::new();
    for (done, place) in places.iter().enumerate() {
        said(done as f64 / places.len() as f64);
        candidates.extend(from_place(*place, &middles, &bodies, wish));
    }
    said(1.0);
    // Another view of the same from the same place shows nothing that is hidden there.
    let taken: Vec<Point3<f64>> = existing.iter().filter_map(Viewer::position).collect();
    candidates.retain(|c| taken.iter().all(|t| (c.at - t).norm() >= APART_M));
    let mut known = Known { counts: vec![0; cells.len()], information: vec![Matrix2::zeros(); cells.len()] };
    for viewer in existing {
        let sees: Vec<(usize, Matrix2<f64>)> = informed(viewer, &bodies, &middles).collect();
        known.add(&sees, 1.0);
    }
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < wish.cameras {
        let Some((best, _)) = known.best(&candidates, &worth, &chosen) else { break };
        known.add(&candidates[best].sees, 1.0);
        chosen.push(best);
    }
    if chosen.is_empty() {
        return Err(PlanError::NothingSeen { height_m: wish.height_m });
    }
    for _ in 0..ROUNDS {
        let mut moved = false;
        for slot in 0..chosen.len() {
            known.add(&candidates[chosen[slot]].sees, -1.0);
            let stays = known.gain(&candidates[chosen[slot]].sees, &worth);
            if let Some((best, gain)) = known.best(&candidates, &worth, &chosen)
                && gain > stays * (1.0 + LEAST_GAIN)
            {
                chosen[slot] = best;
                moved = true;
            }
            known.add(&candidates[chosen[slot]].sees, 1.0);
        }
        if !moved {
            break;
        }
    }
    let cameras = named(existing, chosen.iter().map(|i| &candidates[*i]), wish);
    let mut all = existing.to_vec();
    all.extend(cameras.iter().map(|c| c.viewer.clone()));
    Ok(Plan { cameras, before: Coverage::of(layout, existing), after: Coverage::of(layout, &all) })
}

fn check(wish: &Wish) -> Result<(), PlanError> {
    let wrong = |what: String| Err(PlanError::Wish(what));
    if wish.cameras == 0 || wish.cameras > MOST_CAMERAS {
        return wrong(format!("{} cameras cannot be planned; ask for 1 to {MOST_CAMERAS}", wish.cameras));
    }
    if !(1.0..=12.0).contains(&wish.height_m) {
        return wrong(format!("cameras do not hang {} m high; give 1 to 12 m", wish.height_m));
    }
    if !(20.0..=140.0).contains(&wish.field_deg) {
        return wrong(format!(
            "a field of view of {} degrees is none that a flat image shows; give 20 to 140",
            wish.field_deg
        ));
    }
    if wish.size_px.iter().any(|s| !(64..=16_384).contains(s)) {
        return wrong(format!("{}x{} pixels is no camera", wish.size_px[0], wish.size_px[1]));
    }
    Ok(())
}

/// Where cameras could hang: a grid under the ceiling over floor and shelving, and not within shelving.
fn places(layout: &StoreLayout, bodies: &[Body], height_m: f64) -> Vec<Point3<f64>> {
    let step_m = (layout.floor.area_m2() / MOST_PLACES).sqrt().max(0.5);
    let [least, most] = coverage::bounds(layout.floor.corners());
    let count = |axis: usize| ((most[axis] - least[axis]) / step_m).floor() as usize;
    let mut places = Vec::new();
    for row in 0..=count(1) {
        for column in 0..=count(0) {
            let rest = |axis: usize| (most[axis] - least[axis] - count(axis) as f64 * step_m) / 2.0;
            let at = Point2::new(
                least.x + rest(0) + column as f64 * step_m,
                least.y + rest(1) + row as f64 * step_m,
            );
            // On the wall itself is as good as within it.
            let inside = layout.floor.distance_m(at) < 0.05 || bodies.iter().any(|b| b.covers(at));
            let at = Point3::new(at.x, at.y, height_m);
            let free = !bodies.iter().any(|b| b.blocks(at, at + Vector3::new(0.0, 0.0, 0.05)));
            if inside && free {
                places.push(at);
            }
        }
    }
    places
}

fn from_place(at: Point3<f64>, cells: &[Point2<f64>], bodies: &[Body], wish: &Wish) -> Vec<Candidate> {
    let open: Vec<usize> = (0..cells.len())
        .filter(|i| !coverage::hidden(bodies, at, Point3::new(cells[*i].x, cells[*i].y, 0.0)))
        .collect();
    let mut candidates = Vec::new();
    for turn in (0..360).step_by(TURN_DEG) {
        for down_deg in DOWN_DEG {
            let yaw_deg = turn as f64;
            let pinhole = Pinhole::of(&viewer(String::new(), at, yaw_deg, down_deg, wish), at);
            let told = |i: &usize| Some((*i, pinhole.as_ref()?.information(cells[*i])?));
            let sees: Vec<(usize, Matrix2<f64>)> = open.iter().filter_map(told).collect();
            if !sees.is_empty() {
                candidates.push(Candidate { at, yaw_deg, down_deg, sees });
            }
        }
    }
    candidates
}

/// A planned camera, which has no distortion: what [`Viewer::covariance_m2`] says of any camera, in closed form, for
/// there are very many of them.
struct Pinhole {
    at: Point3<f64>,
    turn: Matrix3<f64>,
    focal_px: f64,
    half_px: [f64; 2],
    own_m2: f64,
    feet_px2: f64,
}

impl Pinhole {
    fn of(viewer: &Viewer, at: Point3<f64>) -> Option<Self> {
        let View::Lens { lens, pose } = &viewer.view else { return None };
        let quality = &viewer.quality;
        let turned_px = quality.rotation_sd_deg.unwrap_or(0.0).to_radians() * lens.fx_px;
        let feet_px = coverage::FEET_SD_SHARE * f64::from(viewer.size_px[1]);
        Some(Self {
            at,
            turn: pose.matrix(),
            focal_px: lens.fx_px,
            half_px: [lens.cx_px, lens.cy_px],
            own_m2: coverage::BODY_SD_M.powi(2) + quality.position_sd_m.unwrap_or(0.0).powi(2),
            feet_px2: feet_px * feet_px + turned_px * turned_px,
        })
    }

    /// The inverse of the covariance with which it places somebody; `None` outside its image.
    fn information(&self, floor: Point2<f64>) -> Option<Matrix2<f64>> {
        let p = self.turn * (Point3::new(floor.x, floor.y, 0.0) - self.at);
        let (u, v) = (p.x / p.z, p.y / p.z);
        let f = self.focal_px;
        if p.z < 1e-6 || (f * u).abs() >= self.half_px[0] || (f * v).abs() >= self.half_px[1] {
            return None;
        }
        let t = &self.turn;
        let row = |i: usize, w: f64| [0, 1].map(|j| f / p.z * (t[(i, j)] - w * t[(2, j)]));
        let ([a, b], [c, d]) = (row(0, u), row(1, v));
        let per_px = Matrix2::new(a, b, c, d).try_inverse()?;
        let covariance = per_px * per_px.transpose() * self.feet_px2 + Matrix2::identity() * self.own_m2;
        covariance.try_inverse()
    }
}

fn viewer(id: String, at: Point3<f64>, yaw_deg: f64, down_deg: f64, wish: &Wish) -> Viewer {
    let [width, height] = wish.size_px.map(f64::from);
    let focal_px = width / 2.0 / (wish.field_deg.to_radians() / 2.0).tan();
    let lens = Lens {
        fx_px: focal_px,
        fy_px: focal_px,
        cx_px: width / 2.0,
        cy_px: height / 2.0,
        distortion: [0.0; 5],
    };
    let (yaw, down) = (yaw_deg.to_radians(), down_deg.to_radians());
    let ahead = Vector3::new(yaw.cos() * down.cos(), yaw.sin() * down.cos(), -down.sin());
    let view = View::Lens { lens, pose: looking(at, ahead) };
    Viewer { id, size_px: wish.size_px, view, quality: EXPECTED }
}

/// The pose of a camera that looks along a direction, with its image upright.
#[must_use]
pub fn looking(from: Point3<f64>, along: Vector3<f64>) -> Pose {
    let z = along.normalize();
    let x = z.cross(&Vector3::z()).try_normalize(1e-9).unwrap_or_else(Vector3::x);
    let turn = Matrix3::from_rows(&[x.transpose(), z.cross(&x).transpose(), z.transpose()]);
    // Through a quaternion: half a turn, as of a camera that looks straight down, has no axis that the matrix alone
    // would show.
    let turned = Rotation3::from_matrix_unchecked(turn);
    let rotation = UnitQuaternion::from_rotation_matrix(&turned).scaled_axis();
    Pose { rotation, translation: -(turn * from.coords) }
}

fn informed<'a>(
    viewer: &'a Viewer,
    bodies: &'a [Body],
    cells: &'a [Point2<f64>],
) -> impl Iterator<Item = (usize, Matrix2<f64>)> + 'a {
    let one =
        move |(i, at): (usize, &Point2<f64>)| Some((i, coverage::seen(viewer, bodies, *at)?.try_inverse()?));
    cells.iter().enumerate().filter_map(one)
}

fn value(count: usize, information: &Matrix2<f64>) -> f64 {
    let exact = coverage::error_m(information).map_or(0.0, |e| EXACT_WORTH * EXACT_M / (EXACT_M + e));
    WORTH[count.min(WORTH.len() - 1)] + exact
}

impl Known {
    fn add(&mut self, sees: &[(usize, Matrix2<f64>)], sign: f64) {
        for (cell, information) in sees {
            self.information[*cell] += information * sign;
            let count = &mut self.counts[*cell];
            *count = if sign > 0.0 { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                // What rounding leaves must not pass for knowledge.
                self.information[*cell] = Matrix2::zeros();
            }
        }
    }

    fn gain(&self, sees: &[(usize, Matrix2<f64>)], worth: &[f64]) -> f64 {
        let one = |(cell, information): &(usize, Matrix2<f64>)| {
            let (count, before) = (self.counts[*cell], &self.information[*cell]);
            worth[*cell] * (value(count + 1, &(before + information)) - value(count, before))
        };
        sees.iter().map(one).sum()
    }

    /// The candidate that adds most, and how much; the first of equals.
    fn best(&self, candidates: &[Candidate], worth: &[f64], taken: &[usize]) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            if taken.iter().any(|t| candidates[*t].at == candidate.at) {
                continue;
            }
            let gain = self.gain(&candidate.sees, worth);
            if gain > best.map_or(1e-9, |(_, most)| most) {
                best = Some((index, gain));
            }
        }
        best
    }
}

fn named<'a>(existing: &[Viewer], chosen: impl Iterator<Item = &'a Candidate>, wish: &Wish) -> Vec<Proposed> {
    let free = (1..).map(|i| format!("cam{i}")).filter(|id| existing.iter().all(|v| v.id != *id));
    let proposed = |(c, id): (&Candidate, String)| Proposed {
        viewer: viewer(id, c.at, c.yaw_deg, c.down_deg, wish),
        at: c.at,
        yaw_deg: c.yaw_deg,
        down_deg: c.down_deg,
    };
    chosen.zip(free).map(proposed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_looks_straight_down_sees_what_is_below_it() {
        let pose = looking(Point3::new(1.0, 2.0, 3.0), -Vector3::z());
        assert!((pose.position() - Point3::new(1.0, 2.0, 3.0)).norm() < 1e-6, "{pose:?}");
        assert!((pose.matrix().transpose() * Vector3::z() + Vector3::z()).norm() < 1e-6);
    }

    #[test]
    fn the_closed_form_agrees_with_the_general_one() {
        let wish = Wish { cameras: 1, height_m: 2.9, size_px: [1280, 720], field_deg: 95.0 };
        let at = Point3::new(2.0, 1.0, 2.9);
        let camera = viewer(String::new(), at, 60.0, 40.0, &wish);
        let pinhole = Pinhole::of(&camera, at).unwrap();
        let mut seen = 0;
        for i in 0..400 {
            let floor = Point2::new(f64::from(i % 20) * 0.4, f64::from(i / 20) * 0.4);
            let general = coverage::seen(&camera, &[], floor).and_then(Matrix2::try_inverse);
            let closed = pinhole.information(floor);
            assert_eq!(general.is_some(), closed.is_some(), "{floor}");
            if let (Some(general), Some(closed)) = (general, closed) {
                assert!((general - closed).norm() < 1e-3 * general.norm(), "{floor}: {general} {closed}");
                seen += 1;
            }
        }
        assert!(seen > 50);
    }
}
