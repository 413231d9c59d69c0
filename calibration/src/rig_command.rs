//! `calibrate pose` with markers, or with people walking.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use linefree_calibration::bundle::{Adjusted, Mark, RigCamera, Sight};
use linefree_calibration::markers;
use linefree_calibration::markers::inner::{self, Node};
use linefree_calibration::residuals::{self, Residual};
use linefree_calibration::rig;
use linefree_calibration::survey::{self, LensFile, StoreCamera};
use linefree_calibration::tables;
use linefree_domain::geometry::{Lens, View};
use nalgebra::{Point2, Vector3};
use serde_json::{Value, json};

use crate::{note, print, write_file};

/// A corner of a marker is found to this, pixels.
const CORNER_SD_PX: f64 = 0.5;
/// The middle of a sheet lies where the survey says to this, metres.
const SURVEY_SD_M: f64 = 0.002;
/// The feet of a box are found to this, pixels.
const FEET_SD_PX: f64 = 3.0;
/// People of one moment are within this, seconds.
const MOMENT_S: f64 = 0.1;
/// A camera that is called known is known to this: metres and radians.
const KNOWN: [f64; 2] = [0.005, 0.002];

/// Of a long walk, as many residuals of a camera are kept, roughly.
const WALK_RESIDUALS: usize = 500;

/// `CAMERA=FILE`.
pub type Named = (String, PathBuf);

pub fn parse_named(text: &str) -> Result<Named, String> {
    match text.split_once('=') {
        Some((id, file)) if !id.is_empty() && !file.is_empty() => Ok((id.to_owned(), file.into())),
        _ => Err("write CAMERA=FILE, as cam1=cam1.jpg".into()),
    }
}

/// One camera of the result.
struct Row<'a> {
    id: &'a str,
    lens: &'a LensFile,
}

pub fn from_markers(
    survey_file: &Path,
    images: &[Named],
    lenses: &[Named],
    stream: Option<[u32; 2]>,
    out: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let surveyed = survey::read_markers(survey_file)?;
    anyhow::ensure!(!images.is_empty(), "no images; name one of each camera: --image cam1=cam1.jpg");
    let mut cameras: Vec<(String, LensFile)> = Vec::new();
    let mut marks: Vec<Mark> = Vec::new();
    // Which sheet and corner of its pattern each mark is.
    let mut which: Vec<(usize, Node)> = Vec::new();
    let (mut sights, mut told) = (Vec::new(), Vec::new());
    for (id, path) in images {
        let lens_path = lenses.iter().find(|(of, _)| of == id).map(|(_, file)| file);
        let lens_path = lens_path.with_context(|| {
            format!("camera {id} has no lens; add --lens {id}=lens.toml from `calibrate lens`")
        })?;
        let lens = survey::read_lens(lens_path, id)?;
        let image = image::open(path).with_context(|| format!("{}: no image", path.display()))?.into_luma8();
        let size_px = [image.width(), image.height()];
        anyhow::ensure!(
            size_px == lens.size_px,
            "{} is {}x{} pixels, the lens of {id} was measured at {}x{}; take the image at that size, or measure the \
             lens at this one",
            path.display(),
            size_px[0],
            size_px[1],
            lens.size_px[0],
            lens.size_px[1]
        );
        let index = cameras.iter().position(|(of, _)| of == id).unwrap_or(cameras.len());
        if index == cameras.len() {
            cameras.push((id.clone(), lens));
        }
        let (seen, twice) = markers::find_markers(&image).context("looking for markers")?;
        told.extend(twice.iter().map(|m| format!("{id} sees marker {m} twice; print another number")));
        if seen.is_empty() {
            told.push(format!(
                "{id} sees no marker in {}; is the light good and the sheet flat?",
                path.display()
            ));
        }
        for marker in seen {
            let Some(at) = surveyed.iter().position(|m| m.id == marker.id) else {
                told.push(format!(
                    "{id} sees marker {}, which is not in the survey; it was passed over",
                    marker.id
                ));
                continue;
            };
            let outer = inner::OUTER.into_iter().zip(marker.corners_px);
            let within = inner::find(&image, &marker).context("looking within a marker")?;
            for (node, [x, y]) in outer.chain(within) {
                let mark = which.iter().position(|w| *w == (at, node)).unwrap_or_else(|| {
                    which.push((at, node));
                    marks.push(Mark { at: surveyed[at].node(node), sd_m: Vector3::repeat(SURVEY_SD_M) });
                    marks.len() - 1
                });
                sights.push(Sight { camera: index, mark, px: Point2::new(x, y), sd_px: CORNER_SD_PX });
            }
        }
    }
    // A sheet is surveyed as a whole: however many corners it has, together they are no surer than its place.
    for (mark, (sheet, _)) in marks.iter_mut().zip(&which) {
        let corners = which.iter().filter(|(other, _)| other == sheet).count();
        mark.sd_m *= (corners as f64).sqrt();
    }
    let with_lens: Vec<(String, Lens)> = cameras.iter().map(|(id, l)| (id.clone(), l.lens)).collect();
    let adjusted = rig::from_marks(&with_lens, &marks, &sights).inspect_err(|_| note(&told.join("\n")))?;
    for outlier in &adjusted.outliers {
        let sight = &sights[*outlier];
        let (camera, marker) = (&cameras[sight.camera].0, surveyed[which[sight.mark].0].id);
        let line = format!("{camera}: marker {marker} disagrees with the others; measure its place again");
        if !told.contains(&line) {
            told.push(line);
        }
    }
    // Poses are those of the camera; only lens and pixels belong to an image's size.
    let (mut written, mut adjusted_rms) = (Vec::new(), adjusted.rms_px.clone());
    for ((id, lens), rms_px) in cameras.iter().zip(&mut adjusted_rms) {
        let resized = stream.map(|size_px| lens.resized(size_px)).transpose();
        let resized = resized.map_err(|e| anyhow::anyhow!("{id}: {e}"))?.unwrap_or(*lens);
        *rms_px *= f64::from(resized.size_px[0]) / f64::from(lens.size_px[0]);
        written.push((id, resized));
    }
    let rows: Vec<Row<'_>> = written.iter().map(|(id, lens)| Row { id, lens }).collect();
    if let Some(out) = out {
        let left = residuals_of(&with_lens, &adjusted, &sights);
        write_file(&residuals::beside(out), &residuals::to_csv(&left))?;
    }
    let adjusted = Adjusted { rms_px: adjusted_rms, ..adjusted };
    finish(&rows, &adjusted, sights.len(), &told, out, as_json)
}

fn residuals_of(cameras: &[(String, Lens)], adjusted: &Adjusted, sights: &[Sight]) -> Vec<Residual> {
    let one = |(index, s): (usize, &Sight)| {
        let (camera, lens) = &cameras[s.camera];
        let view = View::Lens { lens: *lens, pose: adjusted.poses[s.camera] };
        let off_px = view.pixel_of(adjusted.marks[s.mark])? - s.px;
        Some(Residual { camera: camera.clone(), px: s.px, off_px, used: !adjusted.outliers.contains(&index) })
    };
    sights.iter().enumerate().filter_map(one).collect()
}

pub fn from_walk(
    store: &Path,
    people: &Path,
    known: &[String],
    out: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let cameras: Vec<StoreCamera> = survey::read_cameras(store)?;
    for id in known {
        anyhow::ensure!(
            cameras.iter().any(|c| c.id == *id),
            "{}: there is no camera {id} with lens and pose",
            store.display()
        );
    }
    anyhow::ensure!(
        !known.is_empty(),
        "people only tell how cameras stand to each other: name one whose pose is right with --known cam1"
    );
    let feet = survey::read_feet(people, &cameras, MOMENT_S)?;
    let rig: Vec<RigCamera> = cameras
        .iter()
        .map(|c| {
            let prior = known.contains(&c.id).then_some(KNOWN);
            RigCamera { id: c.id.clone(), lens: c.lens.lens, pose: c.pose, prior }
        })
        .collect();
    let walked = rig::from_people(&rig, &feet, FEET_SD_PX)?;
    let told = [format!("{} moments were seen by two cameras or more", walked.shared)];
    if let Some(out) = out {
        let with_lens: Vec<(String, Lens)> = cameras.iter().map(|c| (c.id.clone(), c.lens.lens)).collect();
        let all = residuals_of(&with_lens, &walked.adjusted, &walked.sights);
        let every = (all.len() / (WALK_RESIDUALS * with_lens.len()).max(1)).max(1);
        let left: Vec<Residual> = all.into_iter().step_by(every).collect();
        write_file(&residuals::beside(out), &residuals::to_csv(&left))?;
    }
    let rows: Vec<Row<'_>> = cameras.iter().map(|c| Row { id: &c.id, lens: &c.lens }).collect();
    finish(&rows, &walked.adjusted, feet.len(), &told, out, as_json)
}

fn finish(
    rows: &[Row<'_>],
    adjusted: &Adjusted,
    sights: usize,
    told: &[String],
    out: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut table = String::new();
    let mut summary = format!("{sights} sights, {} left out", adjusted.outliers.len());
    let mut cameras: Vec<Value> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let pose = &adjusted.poses[index];
        let [sd_m, sd_deg] = adjusted.sds[index];
        let rms_px = adjusted.rms_px[index];
        let at = pose.position();
        let _ = write!(
            summary,
            "\n{}: at ({:.3}, {:.3}, {:.3}) m, give or take {:.1} mm and {sd_deg:.3} degrees, rms {rms_px:.2} px",
            row.id,
            at.x,
            at.y,
            at.z,
            sd_m * 1000.0
        );
        table.push_str(&tables::rig_table(row.id, row.lens, pose, rms_px, [sd_m, sd_deg]));
        cameras.push(json!({
            "camera": row.id,
            "position_m": [at.x, at.y, at.z],
            "rotation": pose.rotation.as_slice(),
            "translation": pose.translation.as_slice(),
            "rms_px": rms_px,
            "position_sd_m": sd_m,
            "rotation_sd_deg": sd_deg,
        }));
    }
    for line in told {
        let _ = write!(summary, "\nnote: {line}");
    }
    if let Some(out) = out {
        write_file(out, &table)?;
        let _ = write!(summary, "\nwrote {}", out.display());
    }
    note(&summary);
    if as_json {
        let report = json!({
            "cameras": cameras, "sights": sights, "left_out": adjusted.outliers.len(), "notes": told,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else if out.is_none() {
        print(&table)?;
    }
    Ok(())
}
