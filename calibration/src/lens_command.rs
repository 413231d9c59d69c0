//! `calibrate lens`.

use std::fmt::Write;
use std::path::PathBuf;

use linefree_calibration::lens::{self, Board, LensFit};
use linefree_calibration::tables;
use serde_json::{Value, json};

use crate::{images, note, print, write_file};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Inner corners of the board: one of 10 x 7 squares is 9x6
    #[arg(long, value_name = "COLUMNSxROWS")]
    board: Board,
    /// Images of the board, .jpg or .png, all of one camera at one size
    #[arg(required_unless_present = "video", value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The board is a ChArUco board (calibrate print charuco); it may be partly hidden
    #[arg(long)]
    charuco: bool,
    /// Take the views from a video or a live camera instead, saying which poses are still missing
    #[arg(long, value_name = "FILE or URL", conflicts_with = "images")]
    video: Option<String>,
    /// Where to write the lens; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  $ calibrate lens --board 9x6 boards/*.jpg --out lens.toml
  $ calibrate lens --board 9x6 --video rtsp://10.0.0.7/main --out lens.toml
  $ calibrate lens --board 7x5 --charuco boards/*.jpg --out lens.toml

Print a chessboard, glue it to something flat, and take 10 to 20 sharp images: tilted by 30 to
45 degrees in different directions, near and far, in the middle and in every corner of the
image. The size of the squares does not matter.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (views, dropped) = match &arguments.video {
        Some(source) => {
            let views = images::from_video(source, arguments.board, arguments.charuco, note)?;
            (views.into_iter().map(Some).collect(), Vec::new())
        }
        None => images::from_files(&arguments.images, arguments.board, arguments.charuco)?,
    };
    let views = views.into_iter().flatten().collect();
    let fit = lens::fit(views, arguments.board, dropped)?;
    let keys = tables::lens_keys(&fit);
    let mut summary = summary(&fit);
    if let Some(out) = &arguments.out {
        write_file(out, &keys)?;
        let _ = write!(summary, "\nwrote {}", out.display());
    }
    note(&summary);
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report(&fit))?))?;
    } else if arguments.out.is_none() {
        print(&keys)?;
    }
    Ok(())
}

fn summary(fit: &LensFit) -> String {
    let l = &fit.lens;
    let mut out = format!(
        "{} views: rms {:.3} px; fx {:.1} px (give or take {:.1}), fy {:.1} px, centre ({:.1}, {:.1})",
        fit.views.len(),
        fit.rms_px,
        l.fx_px,
        fit.focal_sd_px,
        l.fy_px,
        l.cx_px,
        l.cy_px
    );
    for d in &fit.dropped {
        let _ = write!(out, "\nleft out: {}: {}", d.image, d.reason);
    }
    if !fit.missing.is_empty() {
        let _ = write!(out, "\nwould still help: {}", fit.missing.join("\n                  "));
    }
    for warning in &fit.warnings {
        let _ = write!(out, "\nwarning: {warning}");
    }
    out
}

fn report(fit: &LensFit) -> Value {
    let l = &fit.lens;
    let used: Vec<Value> =
        fit.views.iter().map(|(image, rms_px)| json!({"image": image, "rms_px": rms_px})).collect();
    json!({
        "rms_px": fit.rms_px,
        "fx_px": l.fx_px,
        "fy_px": l.fy_px,
        "cx_px": l.cx_px,
        "cy_px": l.cy_px,
        "distortion": l.distortion,
        "size_px": fit.size_px,
        "fx_sd_px": fit.focal_sd_px,
        "views": fit.views.len(),
        "used": used,
        "dropped": fit.dropped,
        "missing_poses": fit.missing,
        "warnings": fit.warnings,
    })
}
