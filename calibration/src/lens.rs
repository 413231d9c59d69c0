//! A camera's lens from images of a chessboard.
//!
//! Method: Zhang 2000 ("A flexible new technique for camera calibration"), as OpenCV's `findChessboardCorners`,
//! `cornerSubPix` and `calibrateCamera` do it; five Brown-Conrady coefficients.
//!
//! # Failure rules
//! Images that cannot help are left out and named: no board found, another size, the same view as an earlier one, or
//! a reprojection error more than [`OUTLIER_FACTOR`] times the median view's (and over [`OUTLIER_FLOOR_PX`]). With
//! fewer than [`MIN_VIEWS`] left, or a focal length that the views leave open, there is no result. Boards that are all
//! parallel leave it open whatever the fit's own standard deviations say: OpenCV takes them from a pseudo-inverse,
//! which is blind in just that direction.

use image::GrayImage;
use linefree_domain::geometry::Lens;
use nalgebra::{Rotation3, Vector3};
use opencv::calib3d;
use opencv::core::{Mat, MatTraitConst, Point2f, Point3f, Size, TermCriteria, Vector};
use opencv::imgproc;
use opencv::prelude::VectorToVec;

/// The fewest views that a lens is fitted to.
pub const MIN_VIEWS: usize = 3;
/// Fewer views than this are warned about.
pub const GOOD_VIEWS: usize = 10;
/// A view is an outlier when its error is this many times the median view's ...
pub const OUTLIER_FACTOR: f64 = 3.0;
/// ... and more than this, pixels.
pub const OUTLIER_FLOOR_PX: f64 = 1.0;
/// Boards turned less than this against each other, all of them, tell nothing about the focal length. Degrees.
pub const MIN_TILT_DEG: f64 = 15.0;
/// A focal length known worse than this, relative, is no result.
const MAX_FOCAL_SD: f64 = 0.05;

/// A chessboard, by its inner corners: a board of 10 x 7 squares is 9x6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Inner corners along one side.
    pub columns: u16,
    /// Inner corners along the other.
    pub rows: u16,
}

impl std::str::FromStr for Board {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X']).and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
        match sides {
            Some((columns, rows)) if (3..=100).contains(&columns) && (3..=100).contains(&rows) => {
                Ok(Self { columns, rows })
            }
            _ => Err(
                "write the inner corners as COLUMNSxROWS, each 3 to 100: a board of 10 x 7 squares is 9x6"
                    .into(),
            ),
        }
    }
}

/// The board as found in one image.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardView {
    /// The image, for messages.
    pub name: String,
    /// Width and height of the image, pixels.
    pub size_px: [u32; 2],
    /// Inner corners, row by row, pixels.
    pub corners_px: Vec<[f32; 2]>,
}

/// An image that was left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// The image.
    pub image: String,
    /// Why.
    pub reason: String,
}

/// A fitted lens and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct LensFit {
    /// The lens.
    pub lens: Lens,
    /// Width and height of the images that it holds for, pixels.
    pub size_px: [u32; 2],
    /// Root mean square distance of the corners from where the fit has them, pixels.
    pub rms_px: f64,
    /// Standard deviation of the focal length fx, pixels.
    pub focal_sd_px: f64,
    /// The views used and each one's error, pixels.
    pub views: Vec<(String, f64)>,
    /// The images left out.
    pub dropped: Vec<Dropped>,
    /// What a person should know before trusting it.
    pub warnings: Vec<String>,
}

/// Why there is no lens.
#[derive(Debug, thiserror::Error)]
pub enum LensError {
    /// Too few usable views.
    #[error(
        "{usable} usable views of the board, at least {MIN_VIEWS} are needed and {GOOD_VIEWS} are good; take more, \
         tilted and in all parts of the image{}",
        listed(dropped)
    )]
    TooFewViews {
        /// How many there are.
        usable: usize,
        /// The images left out, and why.
        dropped: Vec<Dropped>,
    },
    /// The views do not determine the lens.
    #[error(
        "the views leave the focal length open (fx {fx_px:.0} px, give or take {sd_px:.0}); tilt the board by 30 to \
         45 degrees in different directions and take more"
    )]
    Undetermined {
        /// What came out.
        fx_px: f64,
        /// Its standard deviation.
        sd_px: f64,
    },
    /// All boards are (nearly) parallel.
    #[error(
        "the boards of all {views} views are parallel within {tilt_deg:.0} degrees, which leaves the focal length \
         open; tilt the board by 30 to 45 degrees in different directions and take more"
    )]
    Parallel {
        /// How many views there are.
        views: usize,
        /// Greatest angle between two boards.
        tilt_deg: f64,
    },
    /// OpenCV failed.
    #[error("OpenCV could not {operation}")]
    OpenCv {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: opencv::Error,
    },
}

fn listed(dropped: &[Dropped]) -> String {
    dropped.iter().map(|d| format!("\n  {}: {}", d.image, d.reason)).collect()
}

/// Finds the board in an image; `None` when it is not (wholly) there.
///
/// # Errors
/// [`LensError::OpenCv`].
pub fn find_board(name: &str, image: &GrayImage, board: Board) -> Result<Option<BoardView>, LensError> {
    let fail = |source| LensError::OpenCv { operation: "look for the board", source };
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Ok(None);
    }
    let flat = Mat::from_slice(image.as_raw()).map_err(fail)?;
    let gray = flat.reshape(1, i32::try_from(height).unwrap_or(i32::MAX)).map_err(fail)?;
    let pattern = Size::new(i32::from(board.columns), i32::from(board.rows));
    let flags = calib3d::CALIB_CB_ADAPTIVE_THRESH | calib3d::CALIB_CB_NORMALIZE_IMAGE;
    let mut corners = Vector::<Point2f>::new();
    if !calib3d::find_chessboard_corners(&gray, pattern, &mut corners, flags).map_err(fail)? {
        return Ok(None);
    }
    // The window must not reach the next corner, or it pulls both together: half the least distance at most.
    let all = corners.to_vec();
    let next = all.windows(2).map(|p| (p[1] - p[0]).norm()).fold(f64::INFINITY, f64::min);
    let half = ((next / 2.0) as i32).clamp(2, 11);
    let stop = TermCriteria::new(3, 30, 0.01).map_err(fail)?;
    imgproc::corner_sub_pix(&gray, &mut corners, Size::new(half, half), Size::new(-1, -1), stop)
        .map_err(fail)?;
    let corners_px = corners.iter().map(|c| [c.x, c.y]).collect();
    Ok(Some(BoardView { name: name.to_owned(), size_px: [width, height], corners_px }))
}

/// Fits the lens to views of the board; `dropped` are the images that were left out before.
///
/// # Errors
/// [`LensError`] when the views are too few or do not determine the lens.
pub fn fit(views: Vec<BoardView>, board: Board, mut dropped: Vec<Dropped>) -> Result<LensFit, LensError> {
    let (mut views, size_px) = usable(views, &mut dropped);
    loop {
        if views.len() < MIN_VIEWS {
            return Err(LensError::TooFewViews { usable: views.len(), dropped });
        }
        let (fit, tilt_deg) = calibrate(&views, board, size_px)?;
        let mut sorted: Vec<f64> = fit.views.iter().map(|(_, e)| *e).collect();
        sorted.sort_by(f64::total_cmp);
        let limit_px = (OUTLIER_FACTOR * sorted[sorted.len() / 2]).max(OUTLIER_FLOOR_PX);
        // One at a time, the worst first: a bad view spoils the errors of the good ones.
        let worst = fit.views.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        if let Some((at, (image, error_px))) = worst
            && *error_px > limit_px
        {
            let reason = format!(
                "its corners are off by {error_px:.2} px, where the median view's are by {:.2}: blurred, bent or \
                 wrongly found",
                sorted[sorted.len() / 2]
            );
            dropped.push(Dropped { image: image.clone(), reason });
            views.remove(at);
            continue;
        }
        if tilt_deg < MIN_TILT_DEG {
            return Err(LensError::Parallel { views: views.len(), tilt_deg });
        }
        let (fx_px, sd_px) = (fit.lens.fx_px, fit.focal_sd_px);
        let determined = fx_px > 0.0 && fit.lens.fy_px > 0.0 && sd_px <= MAX_FOCAL_SD * fx_px;
        if !determined {
            return Err(LensError::Undetermined { fx_px, sd_px });
        }
        let mut warnings = Vec::new();
        if views.len() < GOOD_VIEWS {
            warnings.push(format!("{} views were used; {GOOD_VIEWS} or more are good", views.len()));
        }
        return Ok(LensFit { dropped, warnings, ..fit });
    }
}

/// Leaves out views of another size than most have, and views that repeat another.
fn usable(views: Vec<BoardView>, dropped: &mut Vec<Dropped>) -> (Vec<BoardView>, [u32; 2]) {
    let sizes: Vec<[u32; 2]> = views.iter().map(|v| v.size_px).collect();
    let count = |size: &[u32; 2]| sizes.iter().filter(|s| *s == size).count();
    // `rev`: of equally frequent sizes, the first one seen.
    let size_px = sizes.iter().rev().max_by_key(|s| count(s)).copied().unwrap_or_default();
    let mut kept: Vec<BoardView> = Vec::new();
    for view in views {
        let reason = if view.size_px == size_px {
            let same = |a: &BoardView| {
                let far = |(p, q): (&[f32; 2], &[f32; 2])| (p[0] - q[0]).hypot(p[1] - q[1]) >= 0.5;
                !a.corners_px.iter().zip(&view.corners_px).any(far)
            };
            kept.iter().find(|a| same(a)).map(|a| format!("shows the same view as {}", a.name))
        } else {
            let ([w, h], [width, height]) = (view.size_px, size_px);
            Some(format!("is {w}x{h} pixels, the others are {width}x{height}"))
        };
        match reason {
            Some(reason) => dropped.push(Dropped { image: view.name, reason }),
            None => kept.push(view),
        }
    }
    (kept, size_px)
}

/// The fit, and the greatest angle between two of the boards, degrees.
fn calibrate(views: &[BoardView], board: Board, size_px: [u32; 2]) -> Result<(LensFit, f64), LensError> {
    let fail = |source| LensError::OpenCv { operation: "fit the lens", source };
    // The unit of length is one square: it scales the board's distance, not the lens.
    let flat: Vector<Point3f> = (0..board.rows)
        .flat_map(|r| (0..board.columns).map(move |c| Point3f::new(f32::from(c), f32::from(r), 0.0)))
        .collect();
    let mut on_board = Vector::<Vector<Point3f>>::new();
    let mut in_image = Vector::<Vector<Point2f>>::new();
    for view in views {
        on_board.push(flat.clone());
        in_image.push(view.corners_px.iter().map(|[x, y]| Point2f::new(*x, *y)).collect());
    }
    let side = |i: usize| i32::try_from(size_px[i]).unwrap_or(i32::MAX);
    let (mut matrix, mut distortion) = (Mat::default(), Mat::default());
    let (mut turns, mut shifts) = (Vector::<Mat>::new(), Vector::<Mat>::new());
    let (mut lens_sd, mut pose_sd, mut view_errors) = (Mat::default(), Mat::default(), Mat::default());
    let rms_px = calib3d::calibrate_camera_extended(
        &on_board,
        &in_image,
        Size::new(side(0), side(1)),
        &mut matrix,
        &mut distortion,
        &mut turns,
        &mut shifts,
        &mut lens_sd,
        &mut pose_sd,
        &mut view_errors,
        0,
        TermCriteria::new(3, 30, 1e-9).map_err(fail)?,
    )
    .map_err(fail)?;
    let at = |mat: &Mat, i: i32, j: i32| mat.at_2d::<f64>(i, j).copied().map_err(fail);
    let flat_at = |mat: &Mat, i: i32| mat.at::<f64>(i).copied().map_err(fail);
    let mut coefficients = [0.0; 5];
    for (i, c) in coefficients.iter_mut().enumerate() {
        *c = flat_at(&distortion, i as i32)?;
    }
    let lens = Lens {
        fx_px: at(&matrix, 0, 0)?,
        fy_px: at(&matrix, 1, 1)?,
        cx_px: at(&matrix, 0, 2)?,
        cy_px: at(&matrix, 1, 2)?,
        distortion: coefficients,
    };
    let mut used = Vec::new();
    for (i, view) in views.iter().enumerate() {
        used.push((view.name.clone(), flat_at(&view_errors, i as i32)?));
    }
    let mut normals = Vec::new();
    for turn in &turns {
        let rodrigues = Vector3::new(flat_at(&turn, 0)?, flat_at(&turn, 1)?, flat_at(&turn, 2)?);
        normals.push(Rotation3::new(rodrigues) * Vector3::z());
    }
    let between = normals.iter().flat_map(|a| normals.iter().map(|b| a.angle(b)));
    let tilt_deg = between.fold(0.0, f64::max).to_degrees();
    let fit = LensFit {
        lens,
        size_px,
        rms_px,
        focal_sd_px: flat_at(&lens_sd, 0)?,
        views: used,
        dropped: Vec::new(),
        warnings: Vec::new(),
    };
    Ok((fit, tilt_deg))
}
