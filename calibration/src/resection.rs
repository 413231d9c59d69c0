//! The pose of one camera whose lens is known, from surveyed points at any height: floor marks, corners of shelves.
//!
//! Method: RANSAC over poses through three points ([`crate::rig::first_pose`]), then all points together
//! ([`crate::bundle`]); each point is held out once to tell how good it is.
//!
//! # Failure rules
//! Fewer than [`MIN_POINTS`] points, repeated pixels, points that lie on one line, and points of which fewer than four
//! in ten agree are errors; single points that disagree are left out and named.

use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Matrix3, Point3, Vector2, Vector3};

use crate::bundle::{self, Mark, RigCamera, Sight};
use crate::points::SurveyedPoint;
use crate::residuals::Residual;
use crate::rig::{self, RigError};

/// The fewest points.
pub const MIN_POINTS: usize = 5;
/// A point is measured in the store to this, metres.
const SURVEY_SD_M: f64 = 0.005;
/// A point is marked in the image to this, pixels.
const MARKED_SD_PX: f64 = 1.5;
/// Points within this share of their extent from one line lie on it.
const COLLINEAR_SHARE: f64 = 0.01;

/// A pose from points.
#[derive(Debug, Clone, PartialEq)]
pub struct Resection {
    /// The pose.
    pub pose: Pose,
    /// How surely it is known: place (metres) and rotation (degrees).
    pub sds: [f64; 2],
    /// Root mean square error of the points that were used, pixels.
    pub rms_px: f64,
    /// Distances of points from where a fit without them sees them: on the floor for those that lie there, else
    /// across the ray; metres, in rising order.
    pub held_out_m: Vec<f64>,
    /// Points that were left out.
    pub outliers: Vec<SurveyedPoint>,
    /// Every point's rest.
    pub residuals: Vec<Residual>,
}

impl Resection {
    /// Median of the points held out, metres.
    #[must_use]
    pub fn held_out_median_m(&self) -> Option<f64> {
        self.held_out_m.get(self.held_out_m.len() / 2).copied()
    }
}

/// Why there is no pose.
#[derive(Debug, thiserror::Error)]
pub enum ResectionError {
    /// Too few points.
    #[error(
        "{found} points, at least {MIN_POINTS} are needed to find a pose and see whether they agree; survey 8 or more, \
         spread over the view and at different heights"
    )]
    TooFew {
        /// How many there are.
        found: usize,
    },
    /// A number that is none.
    #[error("{point}: holds a number that is not finite; measure it again or remove it")]
    NotFinite {
        /// Which point.
        point: String,
    },
    /// One pixel twice.
    #[error("{later} repeats the pixel of {first}; one mark is one pixel: mark one of them again")]
    Repeated {
        /// The later point.
        later: String,
        /// The earlier one.
        first: String,
    },
    /// All on one line.
    #[error("all points lie on one line; add points well away from it, to its sides or at another height")]
    Collinear,
    /// Nothing fits.
    #[error(transparent)]
    Rig(#[from] RigError),
}

/// Fits a pose.
///
/// # Errors
/// [`ResectionError`].
pub fn fit(camera: &str, lens: &Lens, points: &[SurveyedPoint]) -> Result<Resection, ResectionError> {
    check(points)?;
    let all: Vec<usize> = (0..points.len()).collect();
    let (pose, sds, outliers) = pose_of(camera, lens, points, &all)?;
    let view = View::Lens { lens: *lens, pose };
    let off = |p: &SurveyedPoint| view.pixel_of(at(p)).map(|px| px - p.image_px);
    let residuals: Vec<Residual> = points
        .iter()
        .enumerate()
        .map(|(i, p)| Residual {
            camera: camera.to_owned(),
            px: p.image_px,
            off_px: off(p).unwrap_or(Vector2::repeat(f64::INFINITY)),
            used: !outliers.contains(&i),
        })
        .collect();
    let used: Vec<f64> = residuals.iter().filter(|r| r.used).map(|r| r.off_px.norm_squared()).collect();
    let rms_px = (used.iter().sum::<f64>() / used.len().max(1) as f64).sqrt();
    let mut held_out_m = Vec::new();
    for out in all.iter().filter(|i| !outliers.contains(i)) {
        let others: Vec<usize> = all.iter().copied().filter(|i| i != out && !outliers.contains(i)).collect();
        if others.len() < MIN_POINTS {
            continue;
        }
        // Without this one, the others may not determine a pose: that is worth knowing, and no error to average.
        if let Ok((pose, ..)) = pose_of(camera, lens, points, &others) {
            held_out_m.extend(distance_m(lens, pose, &points[*out]));
        }
    }
    held_out_m.sort_by(f64::total_cmp);
    let outliers = outliers.into_iter().map(|i| points[i].clone()).collect();
    Ok(Resection { pose, sds, rms_px, held_out_m, outliers, residuals })
}

fn at(p: &SurveyedPoint) -> Point3<f64> {
    Point3::new(p.floor_m.x, p.floor_m.y, p.height_m)
}

fn distance_m(lens: &Lens, pose: Pose, point: &SurveyedPoint) -> Option<f64> {
    let view = View::Lens { lens: *lens, pose };
    if point.height_m.abs() < 1e-9 {
        return Some((view.floor_at(point.image_px, 0.0)?.at - point.floor_m).norm());
    }
    let ideal = lens.undistort(point.image_px)?;
    let ray = (pose.matrix().transpose() * Vector3::new(ideal.x, ideal.y, 1.0)).normalize();
    Some((at(point) - pose.position()).cross(&ray).norm())
}

type Found = (Pose, [f64; 2], Vec<usize>);

fn pose_of(
    camera: &str,
    lens: &Lens,
    points: &[SurveyedPoint],
    which: &[usize],
) -> Result<Found, ResectionError> {
    let known: Vec<_> = which.iter().map(|i| (at(&points[*i]), points[*i].image_px)).collect();
    let pose = rig::first_pose(camera, lens, &known)?;
    let marks: Vec<Mark> =
        known.iter().map(|(at, _)| Mark { at: *at, sd_m: Vector3::repeat(SURVEY_SD_M) }).collect();
    let sight = |(mark, (_, px)): (usize, &(_, _))| Sight { camera: 0, mark, px: *px, sd_px: MARKED_SD_PX };
    let sights: Vec<Sight> = known.iter().enumerate().map(sight).collect();
    let rig = [RigCamera { id: camera.to_owned(), lens: *lens, pose, prior: None }];
    let adjusted = bundle::adjust(&rig, &marks, &sights).map_err(RigError::from)?;
    let outliers = adjusted.outliers.iter().map(|s| which[*s]).collect();
    Ok((adjusted.poses[0], adjusted.sds[0], outliers))
}

fn check(points: &[SurveyedPoint]) -> Result<(), ResectionError> {
    for (index, p) in points.iter().enumerate() {
        let numbers = [p.image_px.x, p.image_px.y, p.floor_m.x, p.floor_m.y, p.height_m];
        if !numbers.iter().all(|v| v.is_finite()) {
            return Err(ResectionError::NotFinite { point: p.to_string() });
        }
        if let Some(first) = points[..index].iter().find(|q| q.image_px == p.image_px) {
            return Err(ResectionError::Repeated { later: p.to_string(), first: first.to_string() });
        }
    }
    if points.len() < MIN_POINTS {
        return Err(ResectionError::TooFew { found: points.len() });
    }
    let mean = points.iter().map(|p| at(p).coords).sum::<Vector3<f64>>() / points.len() as f64;
    let scatter: Matrix3<f64> =
        points.iter().map(|p| (at(p).coords - mean) * (at(p).coords - mean).transpose()).sum();
    let mut spread: Vec<f64> = scatter.symmetric_eigenvalues().iter().map(|v| v.max(0.0).sqrt()).collect();
    spread.sort_by(f64::total_cmp);
    if spread[1] <= COLLINEAR_SHARE * spread[2] {
        return Err(ResectionError::Collinear);
    }
    Ok(())
}
