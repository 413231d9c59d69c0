//! `calibrate pose`.

use std::fmt::Write;
use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use linefree_calibration::points::SurveyedPoint;
use linefree_calibration::pose::{self, PoseFit, PoseOptions};
use linefree_calibration::{points, resection, residuals, survey, tables};
use linefree_domain::ids::CameraId;
use serde_json::{Value, json};

use crate::{note, parse_size, print, rig_command, write_file};

/// More than this share of points outside the image is a mistake.
const MAX_OUTSIDE_SHARE: f64 = 0.05;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// CSV of surveyed points: x_px,y_px,x_m,y_m and optionally z_m (with --lens) and name
    #[arg(long, value_name = "FILE", required_unless_present_any = ["markers", "walk"])]
    points: Option<PathBuf>,
    /// CSV of surveyed marker sheets: id,x_m,y_m,z_m,yaw_deg,side_m (print them with calibrate print)
    #[arg(long, value_name = "FILE", conflicts_with = "points")]
    markers: Option<PathBuf>,
    /// With --markers: an image of a camera, as cam1=cam1.jpg; once for each camera, and all are adjusted together
    #[arg(long = "image", value_name = "CAMERA=FILE", value_parser = rig_command::parse_named, requires = "markers")]
    images: Vec<rig_command::Named>,
    /// A camera's lens, as cam1=lens.toml: with --markers, or with --points that may then lie at any height
    #[arg(long = "lens", value_name = "CAMERA=FILE", value_parser = rig_command::parse_named, conflicts_with = "walk")]
    lenses: Vec<rig_command::Named>,
    /// With --markers: the size of the stream that the agent looks at, where the images are larger stills of it
    #[arg(long, value_name = "WxH", value_parser = parse_size, requires = "markers")]
    stream: Option<[u32; 2]>,
    /// Refine the poses of --store from people who walked: people.jsonl of a recording, with boxes
    #[arg(long, value_name = "FILE", requires = "store", conflicts_with_all = ["points", "markers"])]
    walk: Option<PathBuf>,
    /// With --walk: the store.toml whose cameras have lenses and rough poses
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// With --walk: a camera whose pose is right already
    #[arg(long, value_name = "ID")]
    known: Vec<String>,
    /// Where to write the camera table; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The camera's id in store.toml
    #[arg(long, value_name = "ID", default_value = "cam1")]
    camera: CameraId,
    /// Size of the image in which the points were marked, as 1920x1080
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<[u32; 2]>,
    /// Hold each point out once, in this many parts, to measure the accuracy
    #[arg(long, value_name = "PARTS", default_value_t = PoseOptions::default().holdout)]
    holdout: usize,
    /// Leave out points that are off by more pixels than this
    #[arg(long, value_name = "PIXELS", default_value_t = PoseOptions::default().outlier_px)]
    outlier_px: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Example:
  $ cat points.csv
  x_px,y_px,x_m,y_m,name
  412,655,0.00,0.00,door left
  873,640,1.80,0.00,door right
  251,388,-0.60,4.20,end of gondola 1
  ...
  $ calibrate pose --points points.csv --camera cam1 --size 1280x720 --out cam1.toml

  $ calibrate pose --points corners.csv --camera cam1 --lens cam1=lens.toml --out cam1.toml
  $ calibrate pose --markers sheets.csv --image cam1=cam1.jpg --lens cam1=lens1.toml \\
      --image cam2=cam2.jpg --lens cam2=lens2.toml --out cameras.toml
  $ calibrate pose --walk people.jsonl --store store.toml --known cam1 --out cameras.toml

Mark 8 points or more where things touch the floor, spread over the whole view and not on one
line. Judge the result by the errors of points held out; the table goes into store.toml.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (out, as_json) = (arguments.out.as_deref(), arguments.json);
    if let Some(markers) = &arguments.markers {
        return rig_command::from_markers(
            markers,
            &arguments.images,
            &arguments.lenses,
            arguments.stream,
            out,
            as_json,
        );
    }
    if let (Some(walk), Some(store)) = (&arguments.walk, &arguments.store) {
        return rig_command::from_walk(store, walk, &arguments.known, out, as_json);
    }
    let file = arguments.points.as_ref().context("give --points, --markers or --walk")?;
    let path = file.display();
    let file = File::open(file).with_context(|| format!("{path}: cannot be opened"))?;
    let surveyed = points::read(file).with_context(|| path.to_string())?;
    if !arguments.lenses.is_empty() {
        return with_lens(arguments, &surveyed).with_context(|| path.to_string());
    }
    if let Some(high) = surveyed.iter().find(|p| p.height_m.abs() > 1e-9) {
        anyhow::bail!(
            "{path}: {high} lies {} m above the floor, of which a homography knows nothing; measure the lens with \
             `calibrate lens` and give it with --lens {}=lens.toml, or mark points on the floor",
            high.height_m,
            arguments.camera.as_str()
        );
    }
    let options = PoseOptions { outlier_px: arguments.outlier_px, holdout: arguments.holdout };
    let mut fit = pose::fit(&surveyed, &options).with_context(|| path.to_string())?;
    if let Some(size_px) = arguments.size {
        fit.warnings.extend(check_size(&surveyed, size_px).with_context(|| path.to_string())?);
    }
    let table = tables::pose_table(&fit, &arguments.camera, arguments.size, &path.to_string());
    if let Some(out) = &arguments.out {
        write_file(out, &table)?;
    }
    let mut summary = summary(&fit);
    if let Some(out) = &arguments.out {
        let left = fit.residuals(arguments.camera.as_str(), &surveyed);
        write_file(&residuals::beside(out), &residuals::to_csv(&left))?;
        let _ = write!(summary, "\nwrote {}", out.display());
        if arguments.size.is_none() {
            summary.push_str("; fill in size_px, or run again with --size");
        }
    }
    note(&summary);
    if arguments.json {
        let json = report(&fit, arguments);
        print(&format!("{}\n", serde_json::to_string_pretty(&json)?))?;
    } else if arguments.out.is_none() {
        print(&table)?;
    }
    Ok(())
}

/// Points at any height, through a lens that is known.
fn with_lens(arguments: &Arguments, surveyed: &[SurveyedPoint]) -> anyhow::Result<()> {
    let id = arguments.camera.as_str();
    let file = arguments.lenses.iter().find(|(of, _)| of == id).map(|(_, file)| file);
    let file = file.with_context(|| format!("no lens of camera {id}; write --lens {id}=lens.toml"))?;
    let lens = survey::read_lens(file, id)?;
    anyhow::ensure!(
        arguments.size.is_none_or(|size| size == lens.size_px),
        "the lens of {id} was measured at {}x{} pixels; mark the points in an image of that size, or measure the lens \
         at the other",
        lens.size_px[0],
        lens.size_px[1]
    );
    let warning = check_size(surveyed, lens.size_px)?;
    let fit = resection::fit(id, &lens.lens, surveyed)?;
    let table = tables::resection_table(id, &lens, &fit);
    let at = fit.pose.position();
    let mut summary = format!(
        "{} points: rms {:.2} px; {id} is at ({:.3}, {:.3}, {:.3}) m, give or take {:.0} mm and {:.2} degrees",
        surveyed.len() - fit.outliers.len(),
        fit.rms_px,
        at.x,
        at.y,
        at.z,
        fit.sds[0] * 1000.0,
        fit.sds[1]
    );
    if let (Some(median), Some(worst)) = (fit.held_out_median_m(), fit.held_out_m.last()) {
        let _ = write!(summary, "\nheld out:      median {median:.3} m, worst {worst:.3} m");
    }
    for outlier in &fit.outliers {
        let _ = write!(summary, "\nleft out: {outlier} disagrees with the others; measure it again");
    }
    if let Some(warning) = &warning {
        let _ = write!(summary, "\nwarning: {warning}");
    }
    if let Some(out) = &arguments.out {
        write_file(out, &table)?;
        write_file(&residuals::beside(out), &residuals::to_csv(&fit.residuals))?;
        let _ = write!(summary, "\nwrote {}", out.display());
    }
    note(&summary);
    if arguments.json {
        let outliers: Vec<_> = fit.outliers.iter().map(|p| json!({"line": p.line, "name": p.name})).collect();
        let json = json!({
            "camera": id,
            "position_m": [at.x, at.y, at.z],
            "rotation": fit.pose.rotation.as_slice(),
            "translation": fit.pose.translation.as_slice(),
            "rms_px": fit.rms_px,
            "position_sd_m": fit.sds[0],
            "rotation_sd_deg": fit.sds[1],
            "held_out_median_m": fit.held_out_median_m(),
            "points": surveyed.len(),
            "outliers": outliers,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&json)?))?;
    } else if arguments.out.is_none() {
        print(&table)?;
    }
    Ok(())
}

/// Pixels outside the stated image were marked in another one. A few are let through with a warning: ground truth of
/// people who are half out of the image has them.
fn check_size(surveyed: &[SurveyedPoint], [width, height]: [u32; 2]) -> anyhow::Result<Option<String>> {
    let outside = |p: &&SurveyedPoint| {
        let (x, y) = (p.image_px.x, p.image_px.y);
        !(0.0..=f64::from(width)).contains(&x) || !(0.0..=f64::from(height)).contains(&y)
    };
    let count = surveyed.iter().filter(outside).count();
    let Some(first) = surveyed.iter().find(outside) else { return Ok(None) };
    let message = format!(
        "{count} of {} points lie outside an image of {width}x{height} pixels, first {first} at ({}, {}); check --size \
         and which image the points were marked in",
        surveyed.len(),
        first.image_px.x,
        first.image_px.y
    );
    anyhow::ensure!(count as f64 <= MAX_OUTSIDE_SHARE * surveyed.len() as f64, message);
    Ok(Some(message))
}

fn summary(fit: &PoseFit) -> String {
    let mut out = format!(
        "{} points fitted: rms {:.3} m, median {:.3} m, worst {:.3} m on the floor",
        fit.fitted.points, fit.fitted.rms_m, fit.fitted.median_m, fit.fitted.worst_m
    );
    if let Some(h) = &fit.held_out {
        let _ = write!(
            out,
            "\nheld out:      rms {:.3} m, median {:.3} m, worst {:.3} m",
            h.rms_m, h.median_m, h.worst_m
        );
    }
    let [median, worst] = fit.m_per_px;
    let _ = write!(
        out,
        "\none pixel is {:.1} cm of floor, at the worst point {:.1} cm",
        median * 100.0,
        worst * 100.0
    );
    for outlier in fit.outliers.iter().take(10) {
        let _ = write!(
            out,
            "\nleft out: {} is off by {:.0} px, {:.2} m; measure it again",
            outlier.point, outlier.error_px, outlier.error_m
        );
    }
    if fit.outliers.len() > 10 {
        let _ = write!(out, "\nleft out: {} more", fit.outliers.len() - 10);
    }
    for warning in &fit.warnings {
        let _ = write!(out, "\nwarning: {warning}");
    }
    out
}

fn report(fit: &PoseFit, arguments: &Arguments) -> Value {
    let homography: Vec<f64> = fit.homography.transpose().iter().copied().collect();
    let outliers: Vec<Value> = fit
        .outliers
        .iter()
        .map(|o| {
            // Beyond the horizon is infinitely far: JSON has null for it.
            json!({"line": o.point.line, "name": o.point.name, "error_px": o.error_px, "error_m": o.error_m})
        })
        .collect();
    json!({
        "camera": arguments.camera.as_str(),
        "size_px": arguments.size,
        "homography": homography,
        "points": fit.fitted.points + fit.outliers.len(),
        "used": fit.fitted.points,
        "rms_m": fit.fitted.rms_m,
        "median_m": fit.fitted.median_m,
        "worst_m": fit.fitted.worst_m,
        "held_out": fit.held_out,
        "m_per_px": {"median": fit.m_per_px[0], "worst": fit.m_per_px[1]},
        "outliers": outliers,
        "warnings": fit.warnings,
    })
}
