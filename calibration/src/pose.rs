//! The homography from image pixels to floor metres, fitted to surveyed points.
//!
//! Method: RANSAC (Fischler and Bolles 1981), then least squares over its inliers by the normalised direct linear
//! transform and Levenberg-Marquardt (Hartley and Zisserman, Multiple View Geometry, 2nd ed., ch. 4), both as
//! OpenCV's `findHomography` does them. The fit goes from floor to image, because that is where the errors are made:
//! a mark is measured to a centimetre and found in the image to a pixel or two. Its inverse is the result. OpenCV
//! computes in 32-bit floats, so points go in centred and scaled.
//!
//! How good it is, is told by points that the fit did not see: each is held out once, in turn with every k-th
//! other. Errors are distances on the floor.

use linefree_domain::geometry::View;
use nalgebra::{Matrix3, Point2, Vector3};
use opencv::calib3d;
use opencv::core::{Mat, MatTraitConst, Point2f, Vector};

use crate::points::{self, MIN_POINTS, PointsError, SurveyedPoint};
use crate::residuals::Residual;

/// With fewer agreeing points than this it cannot be told which of two contradicting points is wrong.
const MIN_TO_OUTVOTE: usize = 6;

/// At least this share of the points must agree.
const MIN_AGREEING_SHARE: f64 = 0.6;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseOptions {
    /// A point further than this from where the fit has it, in the image, is an outlier. Pixels.
    pub outlier_px: f64,
    /// In how many parts the points are split, each to be held out once.
    pub holdout: usize,
}

impl Default for PoseOptions {
    /// 8 pixels, five parts.
    fn default() -> Self {
        Self { outlier_px: 8.0, holdout: 5 }
    }
}

/// Errors on the floor.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct FloorErrors {
    /// Of how many points.
    pub points: usize,
    /// Root mean square, metres.
    pub rms_m: f64,
    /// Median, metres.
    pub median_m: f64,
    /// Greatest, metres.
    pub worst_m: f64,
}

impl FloorErrors {
    fn of(mut errors_m: Vec<f64>) -> Option<Self> {
        errors_m.sort_by(f64::total_cmp);
        let worst_m = *errors_m.last()?;
        let rms_m = (errors_m.iter().map(|e| e * e).sum::<f64>() / errors_m.len() as f64).sqrt();
        Some(Self { points: errors_m.len(), rms_m, median_m: median(&errors_m)?, worst_m })
    }
}

/// A point that does not agree with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlier {
    /// Which.
    pub point: SurveyedPoint,
    /// How far off in the image, pixels.
    pub error_px: f64,
    /// How far off on the floor, metres; infinite where the fit has it beyond the horizon.
    pub error_m: f64,
}

/// A fitted pose and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseFit {
    /// Image pixels to floor metres.
    pub homography: Matrix3<f64>,
    /// Errors of the points that were used. Small by construction where these are few.
    pub fitted: FloorErrors,
    /// Errors of the same points, each under a fit that did not use it; `None` where the points are too few.
    pub held_out: Option<FloorErrors>,
    /// Points that were left out, in the order of their lines.
    pub outliers: Vec<Outlier>,
    /// What one pixel spans on the floor at the points, metres: median and greatest.
    pub m_per_px: [f64; 2],
    /// What a person should know before trusting it.
    pub warnings: Vec<String>,
}

impl PoseFit {
    /// What it leaves over of these points.
    #[must_use]
    pub fn residuals(&self, camera: &str, points: &[SurveyedPoint]) -> Vec<Residual> {
        let view = View::Homography(self.homography);
        let off = |p: &SurveyedPoint| {
            view.pixel_of(nalgebra::Point3::new(p.floor_m.x, p.floor_m.y, 0.0)).map(|px| px - p.image_px)
        };
        let residual = |p: &SurveyedPoint| Residual {
            camera: camera.to_owned(),
            px: p.image_px,
            off_px: off(p).unwrap_or(nalgebra::Vector2::repeat(f64::INFINITY)),
            used: self.outliers.iter().all(|o| o.point.line != p.line),
        };
        points.iter().map(residual).collect()
    }
}

/// Why there is no pose.
#[derive(Debug, thiserror::Error)]
pub enum PoseError {
    /// The points cannot determine one.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// The options make no sense.
    #[error("{0}")]
    Options(&'static str),
    /// Too many points disagree.
    #[error(
        "only {agreeing} of {all} points agree within {outlier_px} pixels; look for a mistake that runs through the \
         survey (x_m and y_m swapped, another image size, another camera), worst are {worst}; if the image is simply \
         coarse, allow more with --outlier-px"
    )]
    Contradiction {
        /// How many agree.
        agreeing: usize,
        /// How many there are.
        all: usize,
        /// Within what.
        outlier_px: f64,
        /// The lines that are off most.
        worst: String,
    },
    /// A point would lie beyond the horizon.
    #[error(
        "{point} would lie beyond the horizon of the fitted pose; the image may be upside down (rotate it and survey \
         again), or this point is wrong"
    )]
    BeyondHorizon {
        /// Which.
        point: String,
    },
    /// OpenCV found no homography.
    #[error("no pose fits these points; check that pixels and metres of each line belong to the same mark")]
    NoFit,
    /// OpenCV failed.
    #[error("OpenCV could not fit the pose")]
    OpenCv(#[from] opencv::Error),
}

/// Fits the pose.
///
/// # Errors
/// [`PoseError`], which names the points concerned and what to do next.
pub fn fit(points: &[SurveyedPoint], options: &PoseOptions) -> Result<PoseFit, PoseError> {
    if !(options.outlier_px.is_finite() && options.outlier_px > 0.0) {
        return Err(PoseError::Options("the outlier distance must be a positive number of pixels"));
    }
    if options.holdout < 2 {
        return Err(PoseError::Options(
            "hold out in at least 2 parts, so that there is something left to fit",
        ));
    }
    points::check(points)?;
    let all: Vec<&SurveyedPoint> = points.iter().collect();
    let (to_image, used) = fit_robustly(&all, options.outlier_px)?;
    let homography = inverse(&to_image).ok_or(PoseError::NoFit)?;
    let view = View::Homography(homography);

    let mut errors_m = Vec::new();
    let mut spans_m = Vec::new();
    let mut outliers = Vec::new();
    let mut mirrored = 0;
    for (point, used) in points.iter().zip(&used) {
        let on_floor = view.floor_at(point.image_px, 0.0);
        let error_m = on_floor.map_or(f64::INFINITY, |f| (f.at - point.floor_m).norm());
        if !used {
            let error_px = error_px(&to_image, point);
            outliers.push(Outlier { point: point.clone(), error_px, error_m });
            continue;
        }
        let Some(on_floor) = on_floor else {
            return Err(PoseError::BeyondHorizon { point: point.to_string() });
        };
        errors_m.push(error_m);
        spans_m.push(on_floor.per_px.singular_values().max());
        mirrored += usize::from(on_floor.per_px.determinant() > 0.0);
    }
    spans_m.sort_by(f64::total_cmp);
    let used = chosen(&all, &used);
    let held_out = hold_out(&used, options);
    let mut warnings = Vec::new();
    if mirrored > used.len() / 2 {
        warnings.push(
            "the floor is mirrored: seen from above, y_m must run to the left of x_m; check whether x_m and y_m are \
             swapped or one has the wrong sign"
                .to_owned(),
        );
    }
    if used.len() == MIN_POINTS {
        warnings.push(
            "four points fit exactly whatever they are: nothing is known about the accuracy; survey 8 or more".to_owned(),
        );
    } else if held_out.is_none() {
        warnings.push(
            "without some of the points the rest fixes no pose: the accuracy is not known; survey 8 or more"
                .to_owned(),
        );
    }
    Ok(PoseFit {
        homography,
        fitted: FloorErrors::of(errors_m).ok_or(PoseError::NoFit)?,
        held_out,
        outliers,
        m_per_px: [median(&spans_m).unwrap_or(f64::NAN), spans_m.last().copied().unwrap_or(f64::NAN)],
        warnings,
    })
}

/// Errors of points under fits that did not see them.
fn hold_out(used: &[&SurveyedPoint], options: &PoseOptions) -> Option<FloorErrors> {
    if used.len() <= MIN_POINTS {
        return None;
    }
    let parts = options.holdout.min(used.len());
    let mut errors_m = Vec::new();
    for part in 0..parts {
        let of_part = |i: usize| i % parts == part;
        let split = |wanted: bool| -> Vec<&SurveyedPoint> {
            used.iter().enumerate().filter(|(i, _)| of_part(*i) == wanted).map(|(_, p)| *p).collect()
        };
        let (seen, unseen) = (split(false), split(true));
        let owned: Vec<SurveyedPoint> = seen.iter().map(|p| (*p).clone()).collect();
        points::check(&owned).ok()?;
        let (to_image, _) = fit_robustly(&seen, options.outlier_px).ok()?;
        let view = View::Homography(inverse(&to_image)?);
        for point in unseen {
            errors_m.push((view.floor_at(point.image_px, 0.0)?.at - point.floor_m).norm());
        }
    }
    FloorErrors::of(errors_m)
}

/// From floor to image, and which points it is fitted to.
fn fit_robustly(all: &[&SurveyedPoint], outlier_px: f64) -> Result<(Matrix3<f64>, Vec<bool>), PoseError> {
    // Where least squares can please everyone, nobody is an outlier: RANSAC might still leave out a good corner point,
    // which the others reach only by extrapolation.
    let (to_image, everyone) = find(all, None)?;
    if all.iter().all(|p| error_px(&to_image, p) <= outlier_px) {
        return Ok((to_image, everyone));
    }
    let (mut to_image, mut used) = find(all, Some(outlier_px))?;
    // Only the set is taken from RANSAC. It is judged again with each refined fit until it does not change; should it
    // alternate, the last one is as good as the one before.
    for _ in 0..10 {
        let chosen = chosen(all, &used);
        refuse_contradiction(all, &chosen, &to_image, outlier_px)?;
        to_image = find(&chosen, None)?.0;
        let judged: Vec<bool> = all.iter().map(|p| error_px(&to_image, p) <= outlier_px).collect();
        if judged == used {
            break;
        }
        used = judged;
    }
    let chosen = chosen(all, &used);
    refuse_contradiction(all, &chosen, &to_image, outlier_px)?;
    Ok((find(&chosen, None)?.0, used))
}

fn chosen<'a>(all: &[&'a SurveyedPoint], used: &[bool]) -> Vec<&'a SurveyedPoint> {
    all.iter().zip(used).filter(|(_, used)| **used).map(|(p, _)| *p).collect()
}

fn refuse_contradiction(
    all: &[&SurveyedPoint],
    chosen: &[&SurveyedPoint],
    to_image: &Matrix3<f64>,
    outlier_px: f64,
) -> Result<(), PoseError> {
    let outvoted =
        chosen.len() >= MIN_TO_OUTVOTE && chosen.len() as f64 >= MIN_AGREEING_SHARE * all.len() as f64;
    if chosen.len() == all.len() || outvoted {
        let owned: Vec<SurveyedPoint> = chosen.iter().map(|p| (*p).clone()).collect();
        return Ok(points::check(&owned)?);
    }
    let mut worst: Vec<_> = all.iter().map(|p| (error_px(to_image, p), p.to_string())).collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worst: Vec<String> = worst.into_iter().take(3).map(|(_, name)| name).collect();
    Err(PoseError::Contradiction {
        agreeing: chosen.len(),
        all: all.len(),
        outlier_px,
        worst: worst.join(", "),
    })
}

/// One call of `findHomography`, floor to image: by RANSAC where an outlier distance is given, else least squares.
fn find(points: &[&SurveyedPoint], outlier_px: Option<f64>) -> Result<(Matrix3<f64>, Vec<bool>), PoseError> {
    let floor = Normal::of(points.iter().map(|p| p.floor_m));
    let image = Normal::of(points.iter().map(|p| p.image_px));
    let as_f32 = |p: Point2<f64>| Point2f::new(p.x as f32, p.y as f32);
    let from: Vector<Point2f> = points.iter().map(|p| as_f32(floor.apply(p.floor_m))).collect();
    let to: Vector<Point2f> = points.iter().map(|p| as_f32(image.apply(p.image_px))).collect();
    let mut mask = Mat::default();
    let (method, threshold) = match outlier_px {
        Some(distance_px) => (calib3d::RANSAC, distance_px * image.scale),
        None => (0, 3.0),
    };
    let found = calib3d::find_homography_ext(&from, &to, method, threshold, &mut mask, 5000, 0.999)?;
    if found.empty() {
        return Err(PoseError::NoFit);
    }
    let mut normal = Matrix3::zeros();
    for row in 0..3 {
        for column in 0..3 {
            normal[(row, column)] = *found.at_2d::<f64>(row as i32, column as i32)?;
        }
    }
    let back = image.matrix().try_inverse().ok_or(PoseError::NoFit)?;
    let to_image = back * normal * floor.matrix();
    if !to_image.iter().all(|v| v.is_finite()) {
        return Err(PoseError::NoFit);
    }
    let mut used = Vec::with_capacity(points.len());
    for row in 0..points.len() {
        used.push(outlier_px.is_none() || *mask.at::<u8>(row as i32)? != 0);
    }
    Ok((to_image, used))
}

/// Centres points and scales them to a mean distance of the square root of 2 (Hartley 1997).
struct Normal {
    centre: Point2<f64>,
    scale: f64,
}

impl Normal {
    fn of(points: impl Iterator<Item = Point2<f64>> + Clone) -> Self {
        let count = points.clone().count().max(1) as f64;
        let centre =
            Point2::from(points.clone().fold(nalgebra::Vector2::zeros(), |s, p| s + p.coords) / count);
        let mean = points.map(|p| (p - centre).norm()).sum::<f64>() / count;
        Self { centre, scale: if mean > 0.0 { std::f64::consts::SQRT_2 / mean } else { 1.0 } }
    }

    fn apply(&self, p: Point2<f64>) -> Point2<f64> {
        Point2::from((p - self.centre) * self.scale)
    }

    fn matrix(&self) -> Matrix3<f64> {
        let (s, c) = (self.scale, self.centre);
        Matrix3::new(s, 0.0, -s * c.x, 0.0, s, -s * c.y, 0.0, 0.0, 1.0)
    }
}

fn error_px(to_image: &Matrix3<f64>, point: &SurveyedPoint) -> f64 {
    let p = to_image * Vector3::new(point.floor_m.x, point.floor_m.y, 1.0);
    let error = (Point2::new(p.x / p.z, p.y / p.z) - point.image_px).norm();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The inverse, scaled so that its last number is 1 where it can be.
fn inverse(to_image: &Matrix3<f64>) -> Option<Matrix3<f64>> {
    let h = to_image.try_inverse()?;
    let largest = h.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let last = h[(2, 2)];
    // A camera whose image corner lies on its horizon has 0 there.
    let scaled = h / if last.abs() > 1e-9 * largest { last } else { largest };
    scaled.iter().all(|v| v.is_finite()).then_some(scaled)
}

/// Of sorted numbers.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}
