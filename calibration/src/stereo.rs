//! Two cameras that see one board at the same moments: how they stand to each other, and whether their lenses agree.
//!
//! Method: each lens alone, then the pair's rotation and shift with both lenses held, as OpenCV's `stereoCalibrate`
//! does it. A corner of the left image must lie on its epipolar line in the right one (Hartley and Zisserman, ch. 9):
//! that distance tells of pairs that were not taken at one moment, and of a lens that is wrong.

use nalgebra::{Matrix3, Point2, Rotation3, Vector3};
use opencv::calib3d;
use opencv::core::{Mat, MatTraitConst, Point2f, Point3f, Size, TermCriteria, Vector};

use crate::lens::{Board, BoardView, LensFit, on_board_at};

/// A pair whose corners are off their epipolar lines by more than this is inconsistent, pixels.
pub const CONSISTENT_PX: f64 = 1.0;
/// The fewest pairs.
pub const MIN_PAIRS: usize = 3;

/// How two cameras stand to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct StereoFit {
    /// From the left camera's coordinates to the right one's.
    pub rotation: Matrix3<f64>,
    /// From the left camera's coordinates to the right one's, in the board's squares.
    pub translation_squares: Vector3<f64>,
    /// Root mean square error of both images' corners, pixels.
    pub rms_px: f64,
    /// Root mean square distance of the corners from their epipolar lines by pair, pixels.
    pub pairs: Vec<(String, String, f64)>,
}

impl StereoFit {
    /// Distance between the cameras, in squares.
    #[must_use]
    pub fn baseline_squares(&self) -> f64 {
        self.translation_squares.norm()
    }

    /// Root mean square distance from the epipolar lines over all pairs, pixels.
    #[must_use]
    pub fn epipolar_px(&self) -> f64 {
        let sum: f64 = self.pairs.iter().map(|p| p.2 * p.2).sum();
        (sum / self.pairs.len().max(1) as f64).sqrt()
    }

    /// Pairs that contradict the others.
    #[must_use]
    pub fn inconsistent(&self) -> Vec<&(String, String, f64)> {
        self.pairs.iter().filter(|p| p.2 > CONSISTENT_PX).collect()
    }
}

/// Why there is no pair.
#[derive(Debug, thiserror::Error)]
pub enum StereoError {
    /// Too few moments.
    #[error(
        "{found} pairs show the board in both images, at least {MIN_PAIRS} are needed; take images of both cameras at \
         the same moments and name them in the same order"
    )]
    TooFewPairs {
        /// How many there are.
        found: usize,
    },
    /// OpenCV failed.
    #[error("OpenCV could not fit the pair")]
    OpenCv(#[from] opencv::Error),
}

/// Fits the pair to views that were taken at the same moments, with both lenses held.
///
/// # Errors
/// [`StereoError`].
pub fn fit(
    pairs: &[(BoardView, BoardView)],
    lenses: [&LensFit; 2],
    board: Board,
) -> Result<StereoFit, StereoError> {
    let mut shared = Vec::new();
    for (left, right) in pairs {
        let both: Vec<(u32, [f32; 2], [f32; 2])> = left
            .corner_ids
            .iter()
            .zip(&left.corners_px)
            .filter_map(|(id, px)| {
                let at = right.corner_ids.iter().position(|other| other == id)?;
                Some((*id, *px, right.corners_px[at]))
            })
            .collect();
        if both.len() >= crate::lens::MIN_CORNERS {
            shared.push((left.name.clone(), right.name.clone(), both));
        }
    }
    if shared.len() < MIN_PAIRS {
        return Err(StereoError::TooFewPairs { found: shared.len() });
    }
    let mut on_board = Vector::<Vector<Point3f>>::new();
    let mut images = [Vector::<Vector<Point2f>>::new(), Vector::<Vector<Point2f>>::new()];
    for (_, _, both) in &shared {
        on_board.push(both.iter().map(|b| on_board_at(b.0, board)).collect());
        images[0].push(both.iter().map(|b| Point2f::new(b.1[0], b.1[1])).collect());
        images[1].push(both.iter().map(|b| Point2f::new(b.2[0], b.2[1])).collect());
    }
    let [mut k1, mut k2] = [matrix(lenses[0])?, matrix(lenses[1])?];
    let [mut d1, mut d2] = [distortion(lenses[0])?, distortion(lenses[1])?];
    let [mut r, mut t, mut e, mut f] = [Mat::default(), Mat::default(), Mat::default(), Mat::default()];
    let side = |i: usize| i32::try_from(lenses[0].size_px[i]).unwrap_or(i32::MAX);
    let rms_px = calib3d::stereo_calibrate(
        &on_board,
        &images[0],
        &images[1],
        &mut k1,
        &mut d1,
        &mut k2,
        &mut d2,
        Size::new(side(0), side(1)),
        &mut r,
        &mut t,
        &mut e,
        &mut f,
        calib3d::CALIB_FIX_INTRINSIC,
        TermCriteria::new(3, 100, 1e-9)?,
    )?;
    let mut rotation = Matrix3::zeros();
    for row in 0..3 {
        for column in 0..3 {
            rotation[(row, column)] = *r.at_2d::<f64>(row as i32, column as i32)?;
        }
    }
    let translation_squares = Vector3::new(*t.at::<f64>(0)?, *t.at::<f64>(1)?, *t.at::<f64>(2)?);
    let essential = translation_squares.cross_matrix() * rotation;
    let pairs = shared
        .into_iter()
        .map(|(left, right, both)| (left, right, off_line_px(&both, lenses, &essential)))
        .collect();
    Ok(StereoFit { rotation, translation_squares, rms_px, pairs })
}

fn off_line_px(both: &[(u32, [f32; 2], [f32; 2])], lenses: [&LensFit; 2], essential: &Matrix3<f64>) -> f64 {
    let ideal =
        |px: [f32; 2], fit: &LensFit| fit.lens.undistort(Point2::new(f64::from(px[0]), f64::from(px[1])));
    let mut squares = Vec::new();
    for (_, left, right) in both {
        let (Some(l), Some(r)) = (ideal(*left, lenses[0]), ideal(*right, lenses[1])) else { continue };
        let line = essential * Vector3::new(l.x, l.y, 1.0);
        let off = Vector3::new(r.x, r.y, 1.0).dot(&line) / line.x.hypot(line.y) * lenses[1].lens.fx_px;
        squares.push(off * off);
    }
    (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt()
}

fn matrix(fit: &LensFit) -> opencv::Result<Mat> {
    let l = &fit.lens;
    Mat::from_slice_2d(&[[l.fx_px, 0.0, l.cx_px], [0.0, l.fy_px, l.cy_px], [0.0, 0.0, 1.0]])
}

fn distortion(fit: &LensFit) -> opencv::Result<Mat> {
    Mat::from_slice_2d(&[fit.lens.distortion])
}

/// The rotation between the cameras, degrees.
#[must_use]
pub fn turned_deg(rotation: &Matrix3<f64>) -> f64 {
    Rotation3::from_matrix_unchecked(*rotation).angle().to_degrees()
}
