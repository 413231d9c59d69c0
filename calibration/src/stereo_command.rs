//! `calibrate stereo`.

use std::fmt::Write;
use std::path::PathBuf;

use linefree_calibration::lens::{self, Board, BoardView};
use linefree_calibration::stereo;
use serde_json::json;

use crate::{images, note, print, write_file};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Inner corners of the board: one of 10 x 7 squares is 9x6
    #[arg(long, value_name = "COLUMNSxROWS")]
    board: Board,
    /// Images of one camera
    #[arg(long, required = true, num_args = 1.., value_name = "IMAGE")]
    left: Vec<PathBuf>,
    /// Images of the other camera at the same moments, in the same order
    #[arg(long, required = true, num_args = 1.., value_name = "IMAGE")]
    right: Vec<PathBuf>,
    /// Side of one square, metres: gives the distance between the cameras in metres
    #[arg(long, value_name = "METRES")]
    square: Option<f64>,
    /// The board is a ChArUco board
    #[arg(long)]
    charuco: bool,
    /// Where to write how the cameras stand to each other
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Example:
  $ calibrate stereo --board 9x6 --left left*.jpg --right right*.jpg --square 0.025

Each lens is fitted alone; then corners of one image must lie on their epipolar lines in the
other. Pairs further off than a pixel were not taken at one moment, or a lens is wrong.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.left.len() == arguments.right.len(),
        "{} images of the left camera and {} of the right; name them in pairs, in the same order",
        arguments.left.len(),
        arguments.right.len()
    );
    if let Some(square) = arguments.square {
        anyhow::ensure!(square.is_finite() && square > 0.0, "--square must be a length above 0 metres");
    }
    let (left, left_out) = images::from_files(&arguments.left, arguments.board, arguments.charuco)?;
    let (right, right_out) = images::from_files(&arguments.right, arguments.board, arguments.charuco)?;
    let whole = |views: &[Option<BoardView>]| views.iter().flatten().cloned().collect::<Vec<_>>();
    let left_fit = lens::fit(whole(&left), arguments.board, left_out)?;
    let right_fit = lens::fit(whole(&right), arguments.board, right_out)?;
    let kept = |fit: &lens::LensFit, view: &BoardView| fit.views.iter().any(|(name, _)| *name == view.name);
    let pairs: Vec<(BoardView, BoardView)> = left
        .into_iter()
        .zip(right)
        .filter_map(|(l, r)| l.zip(r))
        .filter(|(l, r)| kept(&left_fit, l) && kept(&right_fit, r))
        .collect();
    let fit = stereo::fit(&pairs, [&left_fit, &right_fit], arguments.board)?;
    let unit = arguments.square.unwrap_or(1.0);
    let baseline = fit.baseline_squares() * unit;
    let name = if arguments.square.is_some() { "m" } else { "squares" };
    let mut summary = format!(
        "{} pairs: rms {:.3} px, {:.3} px off the epipolar lines; the cameras are {baseline:.3} {name} apart and \
         turned by {:.2} degrees",
        fit.pairs.len(),
        fit.rms_px,
        fit.epipolar_px(),
        stereo::turned_deg(&fit.rotation)
    );
    for (l, r, off) in fit.inconsistent() {
        let _ = write!(
            summary,
            "\nwarning: {l} and {r} are {off:.2} px off their epipolar lines; were they taken at one moment?"
        );
    }
    note(&summary);
    let rotation: Vec<f64> = fit.rotation.transpose().iter().copied().collect();
    let shift: Vec<f64> = fit.translation_squares.iter().map(|v| v * unit).collect();
    let toml = format!(
        "# How the right camera stands to the left one: X_right = R X_left + t, in {name}.\n[stereo]\nrotation = \
         {rotation:?}\ntranslation = {shift:?}\nquality = {{ rms_px = {:?}, epipolar_px = {:?}, pairs = {} }}\n",
        fit.rms_px,
        fit.epipolar_px(),
        fit.pairs.len()
    );
    if let Some(out) = &arguments.out {
        write_file(out, &toml)?;
    }
    if arguments.json {
        let pairs: Vec<_> =
            fit.pairs.iter().map(|(l, r, px)| json!({"left": l, "right": r, "epipolar_px": px})).collect();
        let report = json!({
            "rms_px": fit.rms_px,
            "epipolar_px": fit.epipolar_px(),
            "baseline": baseline,
            "unit": name,
            "rotation": rotation,
            "translation": shift,
            "left": {"rms_px": left_fit.rms_px, "fx_px": left_fit.lens.fx_px, "fy_px": left_fit.lens.fy_px},
            "right": {"rms_px": right_fit.rms_px, "fx_px": right_fit.lens.fx_px, "fy_px": right_fit.lens.fy_px},
            "pairs": pairs,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else if arguments.out.is_none() {
        print(&toml)?;
    }
    Ok(())
}
