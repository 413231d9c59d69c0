//! The published calibration of a real store, and its shelves in a video of it.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use linefree_calibration::bundle::{Mark, RigCamera, Sight, adjust};
use linefree_calibration::nanostore::{ImportedCamera, read};
use linefree_domain::geometry::View;
use nalgebra::{Point2, Point3, Rotation3, Vector3};
use serde_json::Value;

const SIZE_PX: [u32; 2] = [640, 360];

/// Front right lower corners of gondola 5's shelves, 6 (at the top) to 1, marked by eye on an enlarged still of the
/// video called cam5. Its left corners are hidden by the long row; the other videos show every front edge-on or not
/// at all. Marks are good to about two pixels.
const MARKED_PX: [[f64; 2]; 6] =
    [[206.5, 66.2], [210.6, 91.5], [214.4, 115.1], [217.9, 139.1], [220.7, 161.5], [224.2, 187.8]];

fn data() -> Option<PathBuf> {
    let shared = PathBuf::from(std::env::var("LINEFREE_SHARED").unwrap_or_else(|_| "../../shared".into()));
    let data = shared.join("data/nanostore/store_meta");
    if data.join("calibration.json").exists() {
        return Some(data);
    }
    eprintln!("skipped: {} is not there (LINEFREE_SHARED)", data.display());
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn xyz(v: &Value) -> Vector3<f64> {
    Vector3::new(v["x"].as_f64().unwrap(), v["y"].as_f64().unwrap(), v["z"].as_f64().unwrap())
}

/// The front right corners of gondola 5's shelves, 6 to 1, metres; as the file nests them.
fn shelf_corners(data: &Path) -> Vec<Point3<f64>> {
    let id = |v: &Value| v["id"]["gondola_id"]["id"].as_i64().or(v["id"]["id"].as_i64());
    let gondolas = json(&data.join("Gondolas.json"));
    let gondola = gondolas["gondolas"].as_array().unwrap().iter().find(|g| id(g) == Some(5)).unwrap();
    let transform = &gondola["coordinates"]["transform"];
    let turn = Rotation3::new(xyz(&transform["rotation"]));
    let shelves = json(&data.join("Shelves.json"));
    let mut corners: Vec<(i64, Point3<f64>)> = shelves["shelves"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| id(s) == Some(5))
        .map(|s| {
            let width = s["coordinates"]["dim_x"].as_f64().unwrap();
            let right = xyz(&s["coordinates"]["transform"]["translation"]) + Vector3::new(width, 0.0, 0.0);
            (
                s["id"]["shelf_index"].as_i64().unwrap(),
                Point3::from(xyz(&transform["translation"]) + turn * right),
            )
        })
        .collect();
    corners.sort_by_key(|(index, _)| -index);
    corners.into_iter().map(|(_, at)| at).collect()
}

fn camera(data: &Path, number: &str) -> ImportedCamera {
    let text = std::fs::read_to_string(data.join("calibration.json")).unwrap();
    read(&text, SIZE_PX).unwrap().into_iter().find(|c| c.number == number).unwrap()
}

#[test]
fn every_published_camera_is_imported_where_it_hangs() {
    let Some(data) = data() else { return };
    let text = std::fs::read_to_string(data.join("calibration.json")).unwrap();
    let cameras = read(&text, SIZE_PX).unwrap();
    assert_eq!(cameras.len(), 22);
    let published = json(&data.join("calibration.json"));
    for c in &cameras {
        // Where the file says it looks: at the place where its middle meets the floor, which the file tells apart.
        let of = &published["cameras"][&c.number];
        let look: Vec<f64> =
            of["look_at"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() * 0.0254).collect();
        let ahead = c.pose.matrix().transpose() * Vector3::z();
        let towards = (Point3::new(look[0], look[1], look[2]) - c.pose.position()).normalize();
        assert!(ahead.dot(&towards) > 0.999, "{}: {ahead} for {towards}", c.number);
        assert!((2.3..2.6).contains(&c.pose.position().z), "{}", c.number);
        let view = View::Lens { lens: c.lens, pose: c.pose };
        assert!(view.pixel_of(c.pose.position() + ahead * 2.0).is_some());
    }
}

/// The cameras had been turned since they were calibrated (an overlay of the shelves shows it), but hang where they
/// hung. So place and lens are taken from the file, and the rotation from all corners but one; that one is measured.
#[test]
fn its_shelf_corners_reproject_onto_the_shelves_of_its_video() {
    let Some(data) = data() else { return };
    let corners = shelf_corners(&data);
    let published = camera(&data, "9");
    let distance = |camera: &ImportedCamera, i: usize| {
        let px = View::Lens { lens: camera.lens, pose: camera.pose }.pixel_of(corners[i]).unwrap();
        (px - Point2::from(MARKED_PX[i])).norm()
    };
    let mut before: Vec<f64> = (0..6).map(|i| distance(&published, i)).collect();
    let (mut after, mut turned) = (Vec::new(), Vec::new());
    for out in 0..6 {
        let used: Vec<usize> = (0..6).filter(|i| *i != out).collect();
        // Shelves hang in slots an inch apart, and their boards are as thick.
        let marks: Vec<Mark> =
            used.iter().map(|i| Mark { at: corners[*i], sd_m: Vector3::repeat(0.025) }).collect();
        let sights: Vec<Sight> = used
            .iter()
            .enumerate()
            .map(|(mark, i)| Sight { camera: 0, mark, px: Point2::from(MARKED_PX[*i]), sd_px: 2.0 })
            .collect();
        let rig = [RigCamera {
            id: "cam5".into(),
            lens: published.lens,
            pose: published.pose,
            prior: Some([0.05, 30.0_f64.to_radians()]),
        }];
        let found = adjust(&rig, &marks, &sights).unwrap();
        let pose = found.poses[0];
        turned.push(
            (Rotation3::new(pose.rotation) * Rotation3::new(published.pose.rotation).inverse())
                .angle()
                .to_degrees(),
        );
        assert!((pose.position() - published.pose.position()).norm() < 0.15, "{}", pose.position());
        after.push(distance(&ImportedCamera { pose, ..published.clone() }, out));
    }
    before.sort_by(f64::total_cmp);
    after.sort_by(f64::total_cmp);
    turned.sort_by(f64::total_cmp);
    eprintln!(
        "corners held out lie {after:.1?} px from the shelves (median {:.1}); as published {before:.1?}; turned by {:.0} \
         degrees",
        (after[2] + after[3]) / 2.0,
        turned[3]
    );
    assert!(before[0] > 30.0, "the file's own rotation fits after all: {before:?}");
    assert!((after[2] + after[3]) / 2.0 < 8.0 && after[5] < 20.0, "{after:?}");
}

#[test]
fn the_import_is_a_table_that_the_agent_reads_and_says_that_nobody_measured_it() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = data.join("calibration.json");
    let file = file.canonicalize().unwrap();
    let run = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_calibrate"))
            .args(["import", "nanostore", file.to_str().unwrap(), "--size", "640x360"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let done = run(&["--camera", "9=cam5", "--camera", "1", "--out", "cameras.toml"]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).contains("check them"));
    let table = std::fs::read_to_string(folder.path().join("cameras.toml")).unwrap();
    assert!(table.contains("Nobody has measured it here"), "{table}");
    let store = format!(
        "format = 1\n[store]\nid = \"n\"\nname = \"n\"\ntimezone = \"UTC\"\ncurrency = \"USD\"\n\
         floor = [[0, -1.5], [3.7, -1.5], [3.7, 0]]\n{table}"
    );
    let read = linefree_recording::StoreFile::parse(Path::new("store.toml"), &store).unwrap();
    assert_eq!(read.layout.cameras.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["cam5", "cam1"]);
    let View::Lens { pose, .. } = &read.layout.cameras[0].view else { panic!() };
    assert_eq!(*pose, camera(&data, "9").pose, "nothing is lost on the way");
    let done = run(&["--camera", "99"]);
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("has no camera 99; it has 1, 10"));
}

#[test]
fn other_files_are_refused_by_camera_and_reason() {
    let good = r#"{"cameras":{"7":{"K":[[0.8,0,0.5],[0,1.4,0.5],[0,0,1]],"Tw":[[1,0,0,5],[0,-1,0,6],[0,0,-1,90],[0,0,0,1]],
        "dist_coeffs":[-0.4,0.2,0,0,0]}}}"#;
    let found = read(good, [1280, 720]).unwrap();
    assert!((found[0].lens.fx_px - 1024.0).abs() < 1e-9 && (found[0].lens.fy_px - 1008.0).abs() < 1e-9);
    assert!((found[0].pose.position() - Point3::new(0.127, 0.1524, 2.286)).norm() < 1e-6);
    for (from, to, part) in [
        ("[0,-1,0,6]", "[0,1,0,6]", "camera 7: has a Tw that is no rotation"),
        ("[0,-1,0,6]", "[0,-2,0,6]", "camera 7: has a Tw that is no rotation"),
        ("[[0.8,", "[[-0.8,", "focal length of 0 or less"),
        ("-0.4,0.2,0,0,0", "-0.4,0.2,0,0", "no calibration of the AutoCheckout data"),
        ("\"Tw\"", "\"T\"", "missing field `Tw`"),
    ] {
        let error = read(&good.replacen(from, to, 1), [640, 360]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(read("{\"cameras\":{}}", [640, 360]).unwrap_err().to_string().contains("names no cameras"));
}
