//! Calibrations as they stand in `store.toml`.
//!
//! Written by hand rather than through a serialiser, because people read, keep and compare these few lines: the
//! quality stands above them as comments. Numbers are written with the fewest digits that give the same `f64` back.

use std::fmt::Write;

use linefree_domain::geometry::{Lens, Pose, View};
use linefree_domain::ids::CameraId;

use crate::coverage::Viewer;
use crate::lens::LensFit;
use crate::pose::{FloorErrors, PoseFit};
use crate::resection::Resection;
use crate::survey::LensFile;

/// The `[[camera]]` table of a fitted pose. Without a size, its line is a comment to fill in.
#[must_use]
pub fn pose_table(fit: &PoseFit, camera: &CameraId, size_px: Option<[u32; 2]>, source: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# Pose from {}, fitted to {} points.", one_line(source), fit.fitted.points);
    let _ = writeln!(out, "# Errors on the floor: {}.", errors(&fit.fitted));
    let _ = match &fit.held_out {
        Some(held_out) => writeln!(out, "# Errors of points held out: {}.", errors(held_out)),
        None => writeln!(out, "# Errors of points held out: not known, too few points."),
    };
    for outlier in &fit.outliers {
        let _ = writeln!(
            out,
            "# Left out: {} is {:.0} px off.",
            one_line(&outlier.point.to_string()),
            outlier.error_px
        );
    }
    for warning in &fit.warnings {
        let _ = writeln!(out, "# Warning: {}.", one_line(warning));
    }
    let _ = writeln!(out, "[[camera]]\nid = {}", quoted(camera.as_str()));
    let _ = match size_px {
        Some([width, height]) => writeln!(out, "size_px = [{width}, {height}]"),
        None => writeln!(
            out,
            "# size_px = [width, height]   # fill in: the size of the image the points were marked in"
        ),
    };
    let _ = writeln!(out, "homography = [");
    for row in fit.homography.row_iter() {
        let _ = writeln!(out, "  {}, {}, {},", number(row[0]), number(row[1]), number(row[2]));
    }
    out.push_str("]\n");
    // The median of points held out, or of those fitted where there are too few to hold out.
    let error_m = fit.held_out.as_ref().map_or(fit.fitted.median_m, |h| h.median_m);
    let _ =
        writeln!(out, "quality = {{ floor_error_m = {}, points = {} }}", number(error_m), fit.fitted.points);
    out
}

/// The `[[camera]]` table of a lens and a pose: rms of the pose in pixels, and how surely its place (metres) and
/// rotation (degrees) are known.
#[must_use]
pub fn rig_table(id: &str, lens: &LensFile, pose: &Pose, rms_px: f64, [sd_m, sd_deg]: [f64; 2]) -> String {
    let mut out = camera_keys(id, lens, pose);
    let of_lens = lens.rms_px.map(|rms| format!("lens_rms_px = {}, ", number(rms))).unwrap_or_default();
    let _ = writeln!(
        out,
        "quality = {{ {of_lens}pose_rms_px = {}, position_sd_m = {}, rotation_sd_deg = {} }}\n",
        number(rms_px),
        number(sd_m),
        number(sd_deg)
    );
    out
}

/// The `[[camera]]` table of a lens and a pose from surveyed points.
#[must_use]
pub fn resection_table(id: &str, lens: &LensFile, fit: &Resection) -> String {
    let mut out = String::new();
    for outlier in &fit.outliers {
        let _ = writeln!(out, "# Left out: {}.", one_line(&outlier.to_string()));
    }
    out.push_str(&camera_keys(id, lens, &fit.pose));
    let of_lens = lens.rms_px.map(|rms| format!("lens_rms_px = {}, ", number(rms))).unwrap_or_default();
    let held_out =
        fit.held_out_median_m().map(|m| format!("floor_error_m = {}, ", number(m))).unwrap_or_default();
    let _ = writeln!(
        out,
        "quality = {{ {of_lens}{held_out}pose_rms_px = {}, position_sd_m = {}, rotation_sd_deg = {}, points = {} }}\n",
        number(fit.rms_px),
        number(fit.sds[0]),
        number(fit.sds[1]),
        fit.residuals.len() - fit.outliers.len()
    );
    out
}

/// The `[[camera]]` table of a planned camera. Its quality is that of a plan: the agent refuses it until the camera that
/// hangs there has been calibrated.
#[must_use]
pub fn planned_table(viewer: &Viewer, words: &str) -> String {
    let View::Lens { lens, pose } = &viewer.view else { return String::new() };
    let lens = LensFile { lens: *lens, size_px: viewer.size_px, rms_px: None };
    let mut out = format!("# {}: planned, not measured: {}.\n", one_line(&viewer.id), one_line(words));
    out.push_str(&camera_keys(&viewer.id, &lens, pose));
    out.push_str("quality = { position_sd_m = 0.5, rotation_sd_deg = 5.0 }\n\n");
    out
}

/// A `[[camera]]` table without its quality.
fn camera_keys(id: &str, lens: &LensFile, pose: &Pose) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "[[camera]]\nid = {}", quoted(id));
    let _ = writeln!(out, "size_px = [{}, {}]", lens.size_px[0], lens.size_px[1]);
    let _ = writeln!(out, "lens = {}", lens_value(&lens.lens));
    let list = |v: &nalgebra::Vector3<f64>| v.iter().map(|v| number(*v)).collect::<Vec<_>>().join(", ");
    let (rotation, translation) = (list(&pose.rotation), list(&pose.translation));
    let _ = writeln!(out, "pose = {{ rotation = [{rotation}], translation = [{translation}] }}");
    out
}

/// The `[[camera]]` table of a pose that was taken over from elsewhere, without quality: nobody has measured it here.
#[must_use]
pub fn imported_table(id: &str, lens: &LensFile, pose: &Pose) -> String {
    camera_keys(id, lens, pose) + "\n"
}

fn lens_value(l: &Lens) -> String {
    let distortion: Vec<String> = l.distortion.iter().map(|d| number(*d)).collect();
    format!(
        "{{ fx = {}, fy = {}, cx = {}, cy = {}, distortion = [{}] }}",
        number(l.fx_px),
        number(l.fy_px),
        number(l.cx_px),
        number(l.cy_px),
        distortion.join(", ")
    )
}

/// The `size_px` and `lens` keys of a `[[camera]]` table.
#[must_use]
pub fn lens_keys(fit: &LensFit) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# Lens from {} views of a chessboard: rms {:.3} px, fx known to {:.1} px. Goes into the camera's table.",
        fit.views.len(),
        fit.rms_px,
        fit.focal_sd_px
    );
    for wish in &fit.missing {
        let _ = writeln!(out, "# Would still help: {wish}.");
    }
    let _ = writeln!(out, "size_px = [{}, {}]", fit.size_px[0], fit.size_px[1]);
    let _ = writeln!(out, "lens = {}", lens_value(&fit.lens));
    let _ =
        writeln!(out, "quality = {{ lens_rms_px = {}, views = {} }}", number(fit.rms_px), fit.views.len());
    out
}

fn errors(e: &FloorErrors) -> String {
    format!("rms {:.3} m, median {:.3} m, worst {:.3} m", e.rms_m, e.median_m, e.worst_m)
}

/// `Debug` of a float has always a point or an exponent, which TOML wants.
fn number(value: f64) -> String {
    format!("{value:?}")
}

/// An id holds no control character; what is left to escape are the quote and the backslash.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A file name may hold anything; a comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
