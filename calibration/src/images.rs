//! Images of a board, from files or from a video, with progress: what `calibrate lens` and `stereo` look at.

use std::path::{Path, PathBuf};

use anyhow::Context;
use image::GrayImage;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_calibration::lens::{self, Board, BoardView, Dropped};
use linefree_calibration::{guidance, markers};
use opencv::core::Mat;
use opencv::prelude::{MatTraitConst, MatTraitConstManual, VideoCaptureTrait, VideoCaptureTraitConst};
use opencv::videoio;

/// Of a video, every so manieth frame is looked at.
const EVERY: usize = 5;
/// A video's view is taken when the board has moved by this share of the image's width since every view taken.
const MOVED_SHARE: f32 = 0.05;
/// After as many frames without a board, it is said that there is none.
const MISSES: usize = 10;
/// As many views of a video are taken.
const VIDEO_VIEWS: usize = 25;

/// Finds the board in an image of either kind.
pub fn find(name: &str, image: &GrayImage, board: Board, charuco: bool) -> anyhow::Result<Option<BoardView>> {
    let found = if charuco {
        markers::find_charuco(name, image, board)
    } else {
        lens::find_board(name, image, board)
    };
    Ok(found?)
}

/// Looks for the board in image files; `None` for those without, which are named in the second.
pub fn from_files(
    paths: &[PathBuf],
    board: Board,
    charuco: bool,
) -> anyhow::Result<(Vec<Option<BoardView>>, Vec<Dropped>)> {
    let bar = ProgressBar::new(paths.len() as u64).with_style(
        ProgressStyle::with_template("looking for the board {bar:30} {pos}/{len} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let (mut views, mut dropped) = (Vec::new(), Vec::new());
    let mut told_size = false;
    for path in paths {
        let name = path.display().to_string();
        bar.set_message(name.clone());
        let found = match image::open(path) {
            Err(e) => Err(format!("cannot be read as an image: {e}")),
            Ok(image) => {
                let image = image.into_luma8();
                match find(&name, &image, board, charuco)? {
                    Some(view) => Ok(view),
                    None => {
                        let mut reason = not_found(board, charuco);
                        if !charuco && !told_size {
                            // Trying other sizes takes time: once is enough to point out the mistake.
                            told_size = true;
                            reason = other_board(&image, board)?.unwrap_or(reason);
                        }
                        Err(reason)
                    }
                }
            }
        };
        match found {
            Ok(view) => views.push(Some(view)),
            Err(reason) => {
                views.push(None);
                dropped.push(Dropped { image: name, reason });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((views, dropped))
}

/// What to say where another board is seen instead.
fn other_board(image: &GrayImage, board: Board) -> anyhow::Result<Option<String>> {
    let told = |other: Board| {
        format!(
            "shows a board with {0}x{1} inner corners, not {2}x{3}; give --board {0}x{1} if that is your board",
            other.columns, other.rows, board.columns, board.rows
        )
    };
    Ok(lens::other_board(image, board)?.map(told))
}

fn not_found(board: Board, charuco: bool) -> String {
    let (columns, rows) = (board.columns, board.rows);
    if charuco {
        format!(
            "no ChArUco board with {columns}x{rows} inner corners was found; is it printed by calibrate print?"
        )
    } else {
        format!("no whole board with {columns}x{rows} inner corners was found; keep all of it in the image")
    }
}

/// Watches a video (file or address) and takes views as the board moves, saying which poses are still missing.
pub fn from_video(
    source: &str,
    board: Board,
    charuco: bool,
    mut say: impl FnMut(&str),
) -> anyhow::Result<Vec<BoardView>> {
    let mut capture = videoio::VideoCapture::from_file(source, videoio::CAP_ANY)
        .with_context(|| format!("{source}: cannot be opened"))?;
    anyhow::ensure!(
        capture.is_opened()?,
        "{source}: cannot be opened as a video; check the address or file, and that nothing else uses the camera"
    );
    let mut views: Vec<BoardView> = Vec::new();
    let mut frame = Mat::default();
    let (mut number, mut misses) = (0, 0);
    let mut told = Vec::new();
    while views.len() < VIDEO_VIEWS && capture.read(&mut frame)? && !frame.empty() {
        number += 1;
        if number % EVERY != 0 {
            continue;
        }
        let image = grey(&frame)?;
        let name = format!("{} frame {number}", Path::new(source).display());
        let Some(view) = find(&name, &image, board, charuco)? else {
            misses += 1;
            if views.is_empty() && misses == MISSES {
                let other = if charuco { None } else { other_board(&image, board)? };
                say(&format!("frame {number}: {}", other.unwrap_or_else(|| not_found(board, charuco))));
            }
            continue;
        };
        if views.iter().any(|taken| !moved(taken, &view)) {
            continue;
        }
        views.push(view);
        let missing =
            guidance::missing_poses(&views, board, views[0].size_px, lens::facings(&views, board).as_deref());
        say(&format!("view {} taken (frame {number})", views.len()));
        if missing.is_empty() {
            break;
        }
        if missing != told {
            say(&format!("  next: {}", missing.join("\n        ")));
            told = missing;
        }
    }
    Ok(views)
}

fn moved(taken: &BoardView, view: &BoardView) -> bool {
    let least_px = MOVED_SHARE * view.size_px[0] as f32;
    let far = taken.corner_ids.iter().zip(&taken.corners_px).filter_map(|(id, p)| {
        let at = view.corner_ids.iter().position(|i| i == id)?;
        let q = view.corners_px[at];
        Some((p[0] - q[0]).hypot(p[1] - q[1]))
    });
    far.fold(0.0, f32::max) >= least_px
}

fn grey(frame: &Mat) -> anyhow::Result<GrayImage> {
    let size = frame.size()?;
    let (width, height) = (u32::try_from(size.width)?, u32::try_from(size.height)?);
    anyhow::ensure!(frame.channels() == 3, "the video has {} channels, not 3", frame.channels());
    let bytes = frame.data_bytes()?;
    // Rec. 601 luma of blue, green, red.
    let luma = |p: &[u8]| ((29 * u32::from(p[0]) + 150 * u32::from(p[1]) + 77 * u32::from(p[2])) >> 8) as u8;
    let pixels = bytes.chunks_exact(3).map(luma).collect();
    GrayImage::from_raw(width, height, pixels).context("a frame has fewer bytes than its size says")
}
