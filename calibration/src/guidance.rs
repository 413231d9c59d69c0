//! Which views of a board are still missing: what to do next, in words for whoever holds the board.
//!
//! A lens is well determined when corners reach every part of the image (the distortion is only known where they
//! were), when the board was tilted both ways about both axes (else focal length and distance cannot be told apart)
//! and when it was seen near and far.

use nalgebra::Vector3;

use crate::lens::{Board, BoardView, GOOD_VIEWS};

/// The image is cut into this many parts along each side.
const PARTS: usize = 3;
/// A part of the image has been reached when it has seen this many corners.
const CORNERS_IN_PART: usize = 8;
/// A board counts as tilted from here, degrees.
const TILT_DEG: f64 = 20.0;
/// Near and far differ at least by this factor in size.
const NEAR_TO_FAR: f32 = 1.5;

/// Instructions for the views that would still help; empty when there is nothing to wish for. `normals` are which way
/// the boards face in camera coordinates, once a fit knows them.
#[must_use]
pub fn missing_poses(
    views: &[BoardView],
    board: Board,
    size_px: [u32; 2],
    normals: Option<&[Vector3<f64>]>,
) -> Vec<String> {
    let mut missing = Vec::new();
    if views.len() < GOOD_VIEWS {
        missing.push(format!("take {} more views", GOOD_VIEWS - views.len()));
    }
    missing.extend(unreached(views, size_px));
    if let Some(normals) = normals {
        missing.extend(untilted(normals));
    }
    let sizes: Vec<f32> = views.iter().filter_map(|v| square_px(v, board)).collect();
    let (least, most) = sizes.iter().fold((f32::INFINITY, 0.0_f32), |(a, b), s| (a.min(*s), b.max(*s)));
    if !sizes.is_empty() && most < NEAR_TO_FAR * least {
        missing.push("hold the board both nearer and further away".to_owned());
    }
    missing
}

fn unreached(views: &[BoardView], [width, height]: [u32; 2]) -> Vec<String> {
    let mut seen = [[0_usize; PARTS]; PARTS];
    let part = |v: f32, side: u32| ((v / side.max(1) as f32 * PARTS as f32) as usize).min(PARTS - 1);
    for [x, y] in views.iter().flat_map(|v| &v.corners_px) {
        seen[part(*y, height)][part(*x, width)] += 1;
    }
    let rows = ["top", "middle", "bottom"];
    let columns = ["left", "middle", "right"];
    let mut missing = Vec::new();
    for (row, cells) in rows.iter().zip(seen) {
        for (column, corners) in columns.iter().zip(cells) {
            if corners < CORNERS_IN_PART {
                missing.push(match (*row, *column) {
                    ("middle", "middle") => "hold the board in the middle of the image".to_owned(),
                    (row, column) => format!("hold the board at the {row} {column} of the image"),
                });
            }
        }
    }
    missing
}

fn untilted(normals: &[Vector3<f64>]) -> Vec<String> {
    // A chessboard's normal has no front. Turned away from the camera, its x and y point to the edge that is near.
    let least = TILT_DEG.to_radians().sin();
    let mut far = [f64::NEG_INFINITY; 4];
    for n in normals {
        let n = if n.z < 0.0 { -n } else { *n };
        for (most, v) in far.iter_mut().zip([n.x, -n.x, n.y, -n.y]) {
            *most = most.max(v);
        }
    }
    let words = [
        "with its right edge towards the camera",
        "with its left edge towards the camera",
        "with its lower edge towards the camera",
        "with its upper edge towards the camera",
    ];
    let wanted = far.iter().zip(words).filter(|(most, _)| **most < least);
    wanted.map(|(_, word)| format!("tilt the board by 30 to 45 degrees {word}")).collect()
}

/// How large one square appears: the mean distance of corners that follow each other in a row, pixels.
fn square_px(view: &BoardView, board: Board) -> Option<f32> {
    let columns = u32::from(board.columns);
    let at = |id: u32| view.corner_ids.iter().position(|i| *i == id).map(|i| view.corners_px[i]);
    let next = |id: &u32| {
        let (a, b) = (at(*id)?, at(id + 1)?);
        (!(id + 1).is_multiple_of(columns)).then(|| (a[0] - b[0]).hypot(a[1] - b[1]))
    };
    let all: Vec<f32> = view.corner_ids.iter().filter_map(next).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f32>() / all.len() as f32)
}
