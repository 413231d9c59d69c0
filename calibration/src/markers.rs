//! ArUco markers and ChArUco boards: drawing them, and finding them in images.
//!
//! Method: Garrido-Jurado et al. 2014 ("Automatic generation and detection of highly reliable fiducial markers under
//! occlusion"), as OpenCV 4.6's `aruco` does it, with the dictionary of 50 markers of 4 x 4 bits: with few markers of
//! few bits, small and distant ones are read more surely.
//!
//! # Failure rules
//! What is no marker of the dictionary is not reported. A marker that is seen twice in one image is left out: two
//! sheets with one number cannot be told apart.

pub mod inner;

use image::GrayImage;
use opencv::aruco;
use opencv::core::{Mat, MatTraitConst, Point2f, Ptr, Vector};
use opencv::prelude::DetectorParametersTrait;

use crate::lens::{Board, BoardView, LensError, with_mat};

/// Markers of the dictionary: 0 to this, exclusive.
pub const MARKERS: u32 = 50;
/// Squares along a marker's side: four bits and the black border.
pub const CELLS: usize = 6;
/// Side of a ChArUco board's markers, as a share of its squares.
pub const MARKER_SHARE: f32 = 0.75;

/// A marker as found in an image.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenMarker {
    /// Its number.
    pub id: u32,
    /// Its corners in the image, clockwise from the upper left of the print, pixels.
    pub corners_px: [[f64; 2]; 4],
}

fn dictionary() -> opencv::Result<Ptr<aruco::Dictionary>> {
    aruco::get_predefined_dictionary(aruco::PREDEFINED_DICTIONARY_NAME::DICT_4X4_50)
}

/// The cells of a marker, row by row, `true` where it is white.
///
/// # Errors
/// OpenCV's, for a number of [`MARKERS`] or more.
pub fn cells(id: u32) -> opencv::Result<[[bool; CELLS]; CELLS]> {
    let mut drawn = Mat::default();
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    aruco::draw_marker(&dictionary()?, id, CELLS as i32, &mut drawn, 1)?;
    let mut cells = [[false; CELLS]; CELLS];
    for (row, line) in cells.iter_mut().enumerate() {
        for (column, cell) in line.iter_mut().enumerate() {
            *cell = *drawn.at_2d::<u8>(row as i32, column as i32)? > 127;
        }
    }
    Ok(cells)
}

/// Finds the markers in an image, in the order of their numbers, and the numbers that were seen twice.
///
/// # Errors
/// OpenCV's.
pub fn find_markers(image: &GrayImage) -> opencv::Result<(Vec<SeenMarker>, Vec<u32>)> {
    if image.width() < 16 || image.height() < 16 {
        return Ok((Vec::new(), Vec::new()));
    }
    let (corners, ids) = with_mat(image, detect)?;
    let mut seen = Vec::new();
    for (id, quad) in ids.iter().zip(&corners) {
        let quad: Vec<[f64; 2]> = quad.iter().map(|c| [f64::from(c.x), f64::from(c.y)]).collect();
        if let (Ok(id), Ok(corners_px)) = (u32::try_from(id), quad.try_into()) {
            seen.push(SeenMarker { id, corners_px });
        }
    }
    seen.sort_by_key(|m| m.id);
    let mut twice: Vec<u32> = seen.windows(2).filter(|w| w[0].id == w[1].id).map(|w| w[0].id).collect();
    twice.dedup();
    seen.retain(|m| !twice.contains(&m.id));
    Ok((seen, twice))
}

type Quads = (Vector<Vector<Point2f>>, Vector<i32>);

fn detect(gray: &Mat) -> opencv::Result<Quads> {
    let (mut corners, mut ids) = (Vector::<Vector<Point2f>>::new(), Vector::<i32>::new());
    let mut parameters = aruco::DetectorParameters::create()?;
    parameters.set_corner_refinement_method(aruco::CORNER_REFINE_SUBPIX);
    let mut rejected = Vector::<Vector<Point2f>>::new();
    aruco::detect_markers(gray, &dictionary()?, &mut corners, &mut ids, &parameters, &mut rejected)?;
    Ok((corners, ids))
}

/// Finds a ChArUco board; `None` when fewer than [`crate::lens::MIN_CORNERS`] of its corners are seen. Other than a
/// chessboard, it may be partly hidden or reach beyond the image.
///
/// # Errors
/// [`LensError::OpenCv`].
pub fn find_charuco(name: &str, image: &GrayImage, board: Board) -> Result<Option<BoardView>, LensError> {
    let fail = |source| LensError::OpenCv { operation: "look for the ChArUco board", source };
    if image.width() < 16 || image.height() < 16 {
        return Ok(None);
    }
    let found = with_mat(image, |gray| {
        let (corners, ids) = detect(gray)?;
        if ids.is_empty() {
            return Ok(None);
        }
        let (columns, rows) = (i32::from(board.columns) + 1, i32::from(board.rows) + 1);
        let layout = aruco::CharucoBoard::create(columns, rows, 1.0, MARKER_SHARE, &dictionary()?)?;
        let (mut at, mut of) = (Mat::default(), Mat::default());
        let count = aruco::interpolate_corners_charuco_def(&corners, &ids, gray, &layout, &mut at, &mut of)?;
        if (count as usize) < crate::lens::MIN_CORNERS {
            return Ok(None);
        }
        let (mut corners_px, mut corner_ids) = (Vec::new(), Vec::new());
        for i in 0..count {
            let corner = at.at::<Point2f>(i)?;
            corners_px.push([corner.x, corner.y]);
            corner_ids.push(u32::try_from(*of.at::<i32>(i)?).unwrap_or(u32::MAX));
        }
        Ok(Some((corners_px, corner_ids)))
    });
    let size_px = [image.width(), image.height()];
    Ok(found.map_err(fail)?.map(|(corners_px, corner_ids)| BoardView {
        name: name.to_owned(),
        size_px,
        corners_px,
        corner_ids,
    }))
}

/// Where a ChArUco board's squares are black and where its markers lie: for drawing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Square {
    /// A black square.
    Black,
    /// A white square with this marker in its middle.
    Marker(u32),
}

/// The squares of a ChArUco board, row by row. Its first square is black, as OpenCV 4.6 draws it.
#[must_use]
pub fn charuco_squares(board: Board) -> Vec<Vec<Square>> {
    let mut next = 0;
    let mut square = |row: u16, column: u16| {
        if (row + column).is_multiple_of(2) {
            return Square::Black;
        }
        next += 1;
        Square::Marker(next - 1)
    };
    (0..=board.rows).map(|r| (0..=board.columns).map(|c| square(r, c)).collect()).collect()
}
