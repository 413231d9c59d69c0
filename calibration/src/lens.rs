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

use crate::guidance;

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
/// A view of fewer corners than this says little; a chessboard's is always whole.
pub const MIN_CORNERS: usize = 6;
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
    /// Inner corners that were found, pixels.
    pub corners_px: Vec<[f32; 2]>,
    /// Which corner of the board each one is, counted row by row.
    pub corner_ids: Vec<u32>,
}

impl BoardView {
    /// Pairs of the pixels of corners that both views show.
    fn shared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = ([f32; 2], [f32; 2])> + 'a {
        self.corner_ids.iter().zip(&self.corners_px).filter_map(|(id, px)| {
            other.corner_ids.iter().position(|o| o == id).map(|at| (*px, other.corners_px[at]))
        })
    }

    /// Are the corners of the image those of the other one within half a pixel?
    fn repeats(&self, other: &Self) -> bool {
        let far = |(p, q): ([f32; 2], [f32; 2])| (p[0] - q[0]).hypot(p[1] - q[1]) >= 0.5;
        self.shared(other).count() >= MIN_CORNERS && !self.shared(other).any(far)
    }

    /// Is the image the other one's mirror image? The finder numbers a chessboard's corners anew in it, so each must
    /// lie near any of the other's.
    fn mirrors(&self, other: &Self) -> bool {
        let [width, height] = [self.size_px[0] as f32 - 1.0, self.size_px[1] as f32 - 1.0];
        let flip = |[x, y]: [f32; 2], sideways| if sideways { [width - x, y] } else { [x, height - y] };
        [true, false].into_iter().any(|sideways| {
            self.corners_px.len() == other.corners_px.len()
                && self.corners_px.iter().all(|c| {
                    let [x, y] = flip(*c, sideways);
                    other.corners_px.iter().any(|[u, v]| (x - u).hypot(y - v) < 0.7)
                })
        })
    }

    /// Which way round the board is seen: the sign of the area between its first directions.
    fn handedness(&self, columns: u32) -> f32 {
        let at = |id: u32| self.corner_ids.iter().position(|i| *i == id).map(|i| self.corners_px[i]);
        let turn = |id: &u32| {
            let (o, x, y) = (at(*id)?, at(id + 1)?, at(id + columns)?);
            let same_row = !(id + 1).is_multiple_of(columns);
            same_row.then(|| (x[0] - o[0]) * (y[1] - o[1]) - (x[1] - o[1]) * (y[0] - o[0]))
        };
        self.corner_ids
            .iter()
            .filter_map(turn)
            .filter(|area| area.is_finite())
            .map(f32::signum)
            .sum::<f32>()
            .signum()
    }
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
    /// Which views would still help, as instructions.
    pub missing: Vec<String>,
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
    with_mat(image, |gray| find_in(name, gray, [width, height], board)).map_err(fail)
}

fn find_in(name: &str, gray: &Mat, size_px: [u32; 2], board: Board) -> opencv::Result<Option<BoardView>> {
    let pattern = Size::new(i32::from(board.columns), i32::from(board.rows));
    let flags = calib3d::CALIB_CB_ADAPTIVE_THRESH | calib3d::CALIB_CB_NORMALIZE_IMAGE;
    let mut corners = Vector::<Point2f>::new();
    if !calib3d::find_chessboard_corners(gray, pattern, &mut corners, flags)? {
        return Ok(None);
    }
    let window = window_px(&corners.to_vec(), usize::from(board.columns));
    let stop = TermCriteria::new(3, 30, 0.01)?;
    imgproc::corner_sub_pix(gray, &mut corners, Size::new(window, window), Size::new(-1, -1), stop)?;
    let corners_px: Vec<[f32; 2]> = corners.iter().map(|c| [c.x, c.y]).collect();
    let corner_ids = (0..).take(corners_px.len()).collect();
    Ok(Some(BoardView { name: name.to_owned(), size_px, corners_px, corner_ids }))
}

/// Looks for boards of other usual sizes: for the message when the wanted one is not there.
///
/// # Errors
/// [`LensError::OpenCv`].
pub fn other_board(image: &GrayImage, wanted: Board) -> Result<Option<Board>, LensError> {
    let fail = |source| LensError::OpenCv { operation: "look for the board", source };
    // Larger ones first: a part of a board may pass for a smaller one.
    let sizes =
        [(11, 8), (10, 7), (9, 7), (9, 6), (8, 6), (8, 5), (7, 6), (7, 5), (7, 4), (6, 5), (6, 4), (5, 4)];
    for (columns, rows) in sizes {
        let turned = wanted.columns == rows && wanted.rows == columns;
        let board = Board { columns, rows };
        if board == wanted || turned {
            continue;
        }
        let flags = calib3d::CALIB_CB_ADAPTIVE_THRESH
            | calib3d::CALIB_CB_NORMALIZE_IMAGE
            | calib3d::CALIB_CB_FAST_CHECK;
        let pattern = Size::new(i32::from(columns), i32::from(rows));
        let mut corners = Vector::<Point2f>::new();
        let there = |gray: &Mat| calib3d::find_chessboard_corners(gray, pattern, &mut corners, flags);
        if image.width() > 0 && image.height() > 0 && with_mat(image, there).map_err(fail)? {
            return Ok(Some(board));
        }
    }
    Ok(None)
}

/// Which way the boards face, as far as these views tell; `None` while they are too few or leave it open.
#[must_use]
pub fn facings(views: &[BoardView], board: Board) -> Option<Vec<Vector3<f64>>> {
    let size_px = views.first()?.size_px;
    (views.len() >= MIN_VIEWS).then(|| calibrate(views, board, size_px).ok().map(|(_, normals)| normals))?
}

/// Half the side of the window in which a corner is refined. It must not reach the next corner's, along the rows or
/// along the columns, or it pulls both together: half the least distance, less the pixel that its gradients take.
fn window_px(corners: &[Point2f], columns: usize) -> i32 {
    let apart = |i: usize, j: usize| corners.get(j).map(|next| (*next - corners[i]).norm());
    let along_rows = (0..corners.len()).filter(|i| (i + 1) % columns != 0).filter_map(|i| apart(i, i + 1));
    let along_columns = (0..corners.len()).filter_map(|i| apart(i, i + columns));
    let least = along_rows.chain(along_columns).fold(f64::INFINITY, f64::min);
    ((least / 2.0) as i32 - 1).clamp(2, 11)
}

/// An image as OpenCV's matrix of bytes.
pub(crate) fn with_mat<T>(
    image: &GrayImage,
    work: impl FnOnce(&Mat) -> opencv::Result<T>,
) -> opencv::Result<T> {
    let flat = Mat::from_slice(image.as_raw())?;
    let gray = flat.reshape(1, i32::try_from(image.height()).unwrap_or(i32::MAX))?.clone_pointee();
    work(&gray)
}

/// Fits the lens to views of the board; `dropped` are the images that were left out before.
///
/// # Errors
/// [`LensError`] when the views are too few or do not determine the lens.
pub fn fit(views: Vec<BoardView>, board: Board, mut dropped: Vec<Dropped>) -> Result<LensFit, LensError> {
    let (mut views, size_px) = usable(views, board, &mut dropped);
    loop {
        if views.len() < MIN_VIEWS {
            return Err(LensError::TooFewViews { usable: views.len(), dropped });
        }
        let (fit, normals) = calibrate(&views, board, size_px)?;
        let tilt_deg = greatest_angle_deg(&normals);
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
        let missing = guidance::missing_poses(&views, board, size_px, Some(&normals));
        return Ok(LensFit { dropped, warnings, missing, ..fit });
    }
}

/// Leaves out views of another size than most have, and views that repeat another.
fn usable(views: Vec<BoardView>, board: Board, dropped: &mut Vec<Dropped>) -> (Vec<BoardView>, [u32; 2]) {
    let sizes: Vec<[u32; 2]> = views.iter().map(|v| v.size_px).collect();
    let count = |size: &[u32; 2]| sizes.iter().filter(|s| *s == size).count();
    // `rev`: of equally frequent sizes, the first one seen.
    let size_px = sizes.iter().rev().max_by_key(|s| count(s)).copied().unwrap_or_default();
    let columns = u32::from(board.columns);
    let turns: Vec<f32> = views.iter().map(|v| v.handedness(columns)).collect();
    let usual = if turns.iter().sum::<f32>() < 0.0 { -1.0 } else { 1.0 };
    let mut kept: Vec<BoardView> = Vec::new();
    for (view, turn) in views.into_iter().zip(turns) {
        let finite = view.corners_px.iter().flatten().all(|v| v.is_finite());
        let reason = if !finite || view.corners_px.len() != view.corner_ids.len() {
            Some("has corners that are no numbers; take the image again".to_owned())
        } else if view.corners_px.len() < MIN_CORNERS {
            Some(format!("shows {} corners, {MIN_CORNERS} are needed; come nearer", view.corners_px.len()))
        } else if view.size_px != size_px {
            let ([w, h], [width, height]) = (view.size_px, size_px);
            Some(format!(
                "is {w}x{h} pixels, the others are {width}x{height}; take all images at the size that the camera \
                 runs at"
            ))
        } else if turn * usual < 0.0 {
            Some("shows the board mirrored; switch off mirroring and take it again".to_owned())
        } else if let Some(a) = kept.iter().find(|a| view.repeats(a)) {
            Some(format!("shows the same view as {}; move or tilt the board between images", a.name))
        } else {
            let mirror = kept.iter().find(|a| view.mirrors(a));
            mirror.map(|a| format!("is the mirror image of {}; switch off mirroring", a.name))
        };
        match reason {
            Some(reason) => dropped.push(Dropped { image: view.name, reason }),
            None => kept.push(view),
        }
    }
    (kept, size_px)
}

/// Where a corner lies on the board, squares.
pub(crate) fn on_board_at(id: u32, board: Board) -> Point3f {
    let columns = u32::from(board.columns);
    Point3f::new((id % columns) as f32, (id / columns) as f32, 0.0)
}

/// The fit, and which way each board faces.
fn calibrate(
    views: &[BoardView],
    board: Board,
    size_px: [u32; 2],
) -> Result<(LensFit, Vec<Vector3<f64>>), LensError> {
    let fail = |source| LensError::OpenCv { operation: "fit the lens", source };
    // The unit of length is one square: it scales the board's distance, not the lens.
    let mut on_board = Vector::<Vector<Point3f>>::new();
    let mut in_image = Vector::<Vector<Point2f>>::new();
    for view in views {
        on_board.push(view.corner_ids.iter().map(|id| on_board_at(*id, board)).collect());
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
    let fit = LensFit {
        lens,
        size_px,
        rms_px,
        focal_sd_px: flat_at(&lens_sd, 0)?,
        views: used,
        dropped: Vec::new(),
        missing: Vec::new(),
        warnings: Vec::new(),
    };
    Ok((fit, normals))
}

fn greatest_angle_deg(normals: &[Vector3<f64>]) -> f64 {
    let between = normals.iter().flat_map(|a| normals.iter().map(|b| a.angle(b)));
    between.fold(0.0, f64::max).to_degrees()
}
