//! The corners within a marker: where the cells of its pattern meet.
//!
//! A marker's four outer corners are found by its border. Its bits have corners as well, a dozen or two, at places that
//! are known as exactly: each is looked for where the outer four have it, and refined like them.
//!
//! # Failure rules
//! Only where a cell is [`MIN_CELL_PX`] wide: in smaller ones the window of a corner reaches its neighbours. A corner
//! that the refinement moves by more than two fifths of a cell was pulled to something else and is left out.

use image::GrayImage;
use nalgebra::{Matrix3, SMatrix, SVector, Vector3};
use opencv::core::{Point2f, Size, TermCriteria, Vector};
use opencv::imgproc;

use super::{CELLS, SeenMarker, cells};
use crate::lens::with_mat;

/// The least side of a cell in the image, pixels.
pub const MIN_CELL_PX: f64 = 6.0;
/// A refined corner may have moved by this share of a cell.
const MAX_SHIFT: f64 = 0.4;

/// A corner of a marker's pattern: how many cells to the right and down from the upper left of the print.
pub type Node = [usize; 2];

/// The four outer corners, clockwise from the upper left.
pub const OUTER: [Node; 4] = [[0, 0], [CELLS, 0], [CELLS, CELLS], [0, CELLS]];

/// Where cells of a marker meet in a corner, not along an edge.
///
/// # Errors
/// OpenCV's, for a number that the dictionary has not.
pub fn nodes(id: u32) -> opencv::Result<Vec<Node>> {
    let cells = cells(id)?;
    let mut nodes = Vec::new();
    for row in 1..CELLS {
        for column in 1..CELLS {
            let around = [
                cells[row - 1][column - 1],
                cells[row - 1][column],
                cells[row][column],
                cells[row][column - 1],
            ];
            let white = around.iter().filter(|w| **w).count();
            // Two opposite cells make a crossing, one or three make a corner; two neighbours are an edge.
            if white == 1 || white == 3 || (white == 2 && around[0] == around[2]) {
                nodes.push([column, row]);
            }
        }
    }
    Ok(nodes)
}

/// Finds the corners within a marker, and where they are, pixels.
///
/// # Errors
/// OpenCV's.
pub fn find(image: &GrayImage, marker: &SeenMarker) -> opencv::Result<Vec<(Node, [f64; 2])>> {
    let Some(map) = homography(&marker.corners_px) else { return Ok(Vec::new()) };
    let at = |column: f64, row: f64| {
        let p = map * Vector3::new(column, row, 1.0);
        [p.x / p.z, p.y / p.z]
    };
    let mut wanted: Vec<(Node, [f64; 2], f64)> = Vec::new();
    for [column, row] in nodes(marker.id)? {
        let (c, r) = (column as f64, row as f64);
        let here = at(c, r);
        let sides = [at(c + 1.0, r), at(c - 1.0, r), at(c, r + 1.0), at(c, r - 1.0)];
        let side_px =
            sides.iter().map(|s| (s[0] - here[0]).hypot(s[1] - here[1])).fold(f64::INFINITY, f64::min);
        let [x, y] = here;
        let inside =
            x > 8.0 && y > 8.0 && x < f64::from(image.width()) - 8.0 && y < f64::from(image.height()) - 8.0;
        if side_px >= MIN_CELL_PX && inside {
            wanted.push(([column, row], here, side_px));
        }
    }
    let Some(least) = wanted.iter().map(|w| w.2).reduce(f64::min) else { return Ok(Vec::new()) };
    // A window that does not reach the next corner, less the pixel that its gradients take.
    let half = ((least / 2.0) as i32 - 1).clamp(2, 7);
    let mut corners: Vector<Point2f> =
        wanted.iter().map(|(_, [x, y], _)| Point2f::new(*x as f32, *y as f32)).collect();
    with_mat(image, |gray| {
        let until = TermCriteria::new(3, 30, 0.01)?;
        imgproc::corner_sub_pix(gray, &mut corners, Size::new(half, half), Size::new(-1, -1), until)
    })?;
    let found = wanted.iter().zip(&corners).filter_map(|((node, [x, y], side_px), c)| {
        let refined = [f64::from(c.x), f64::from(c.y)];
        let moved = (refined[0] - x).hypot(refined[1] - y);
        (moved <= MAX_SHIFT * side_px).then_some((*node, refined))
    });
    Ok(found.collect())
}

/// From cells of the marker to pixels, through its four outer corners.
fn homography(corners_px: &[[f64; 2]; 4]) -> Option<Matrix3<f64>> {
    let (mut left, mut right) = (SMatrix::<f64, 8, 8>::zeros(), SVector::<f64, 8>::zeros());
    for (i, ([column, row], [x, y])) in OUTER.iter().zip(corners_px).enumerate() {
        let (c, r) = (*column as f64, *row as f64);
        let rows = [[c, r, 1.0, 0.0, 0.0, 0.0, -c * x, -r * x], [0.0, 0.0, 0.0, c, r, 1.0, -c * y, -r * y]];
        for (j, row) in rows.iter().enumerate() {
            for (k, value) in row.iter().enumerate() {
                left[(2 * i + j, k)] = *value;
            }
        }
        right[2 * i] = *x;
        right[2 * i + 1] = *y;
    }
    let h = left.lu().solve(&right)?;
    Some(Matrix3::new(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], 1.0))
}
