//! `calibrate pose --markers` on drawn views of sheets on a floor: from pictures to poses.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use linefree_calibration::markers::{CELLS, cells};
use linefree_calibration::plan::looking;
use linefree_calibration::survey::{LensFile, SurveyedMarker, read_cameras};
use linefree_domain::geometry::{Lens, Pose};
use nalgebra::{Point3, Rotation3, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

/// A still of 4 MP.
const SIZE_PX: [u32; 2] = [2560, 1440];
const LENS: Lens = Lens { fx_px: 1600.0, fy_px: 1600.0, cx_px: 1284.0, cy_px: 714.0, distortion: [0.0; 5] };

fn sheets() -> Vec<SurveyedMarker> {
    let places = [
        (1.2, 1.4, 10.0),
        (2.4, 1.3, 80.0),
        (1.9, 2.1, -30.0),
        (3.1, 2.2, 0.0),
        (1.1, 2.6, 45.0),
        (2.5, 3.0, 120.0),
        (1.6, 3.3, 0.0),
        (3.3, 3.3, 200.0),
        (0.8, 3.4, 5.0),
    ];
    let sheet = |(id, (x_m, y_m, yaw_deg)): (u32, (f64, f64, f64))| SurveyedMarker {
        id,
        x_m,
        y_m,
        z_m: 0.0,
        yaw_deg,
        side_m: 0.18,
    };
    (0..).zip(places).map(sheet).collect()
}

/// What a camera sees of the floor: each pixel the mean of nine rays, with noise of 3 grey levels.
fn picture(pose: &Pose, seed: u64) -> image::GrayImage {
    let sheets = sheets();
    let patterns: Vec<_> = sheets.iter().map(|s| cells(s.id).unwrap()).collect();
    let back = pose.matrix().transpose();
    let eye = pose.position();
    let place = |x: f64, y: f64| {
        let ray = back * Vector3::new((x - LENS.cx_px) / LENS.fx_px, (y - LENS.cy_px) / LENS.fy_px, 1.0);
        eye.coords - ray * (eye.z / ray.z)
    };
    let light = |x: f64, y: f64| {
        let at = place(x, y);
        for (s, cells) in sheets.iter().zip(&patterns) {
            let (dx, dy) = (at.x - s.x_m, at.y - s.y_m);
            if dx.hypot(dy) > s.side_m {
                continue;
            }
            let (sin, cos) = s.yaw_deg.to_radians().sin_cos();
            let cell = s.side_m / CELLS as f64;
            let (u, v) = ((dx * cos + dy * sin) / cell + 3.0, 3.0 - (dy * cos - dx * sin) / cell);
            if (0.0..6.0).contains(&u) && (0.0..6.0).contains(&v) {
                return if cells[v as usize][u as usize] { 225.0 } else { 30.0 };
            }
            if (-1.0..7.0).contains(&u) && (-1.0..7.0).contains(&v) {
                return 225.0;
            }
        }
        150.0
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0, 3.0).unwrap();
    let mut image = image::GrayImage::new(SIZE_PX[0], SIZE_PX[1]);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let mut sum = 0.0;
        let bare = place(f64::from(x), f64::from(y));
        if sheets.iter().all(|s| (bare.x - s.x_m).hypot(bare.y - s.y_m) > 1.1 * s.side_m) {
            pixel.0[0] = f64::round(150.0 + noise.sample(&mut rng)) as u8;
            continue;
        }
        for i in 0..9 {
            let at = |v: u32, k: i32| f64::from(v) + f64::from(k - 1) * 0.45;
            sum += light(at(x, i % 3), at(y, i / 3));
        }
        pixel.0[0] = f64::round(sum / 9.0 + noise.sample(&mut rng)).clamp(0.0, 255.0) as u8;
    }
    image
}

fn run(folder: &Path, more: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_calibrate"))
        .args(["pose", "--markers", "sheets.csv", "--image", "cam1=cam1.png", "--out", "cameras.toml"])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn pictures_of_sheets_become_poses_for_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let truths = [
        looking(Point3::new(2.0, 0.0, 3.0), Vector3::new(0.0, 2.2, -3.0)),
        looking(Point3::new(4.6, 2.3, 2.9), Vector3::new(-2.4, 0.1, -2.9)),
    ];
    for (i, pose) in truths.iter().enumerate() {
        picture(pose, i as u64).save(folder.path().join(format!("cam{}.png", i + 1))).unwrap();
    }
    let mut csv = String::from("id,x_m,y_m,z_m,yaw_deg,side_m\n");
    for s in sheets() {
        let _ = writeln!(csv, "{},{},{},{},{},{}", s.id, s.x_m, s.y_m, s.z_m, s.yaw_deg, s.side_m);
    }
    std::fs::write(folder.path().join("sheets.csv"), &csv).unwrap();
    let lens = |size: [u32; 2]| {
        format!(
            "size_px = {size:?}\nlens = {{ fx = 1600.0, fy = 1600.0, cx = 1284.0, cy = 714.0, distortion = {:?} }}\n\
             quality = {{ lens_rms_px = 0.3 }}\n",
            LENS.distortion
        )
    };
    std::fs::write(folder.path().join("lens.toml"), lens(SIZE_PX)).unwrap();
    std::fs::write(folder.path().join("other.toml"), lens([1280, 720])).unwrap();
    let (ok, told) = run(folder.path(), &["--lens", "cam1=other.toml"]);
    assert!(
        !ok && told.contains("cam1.png is 2560x1440 pixels, the lens of cam1 was measured at 1280x720"),
        "{told}"
    );
    let lenses = ["--lens", "cam1=lens.toml", "--image", "cam2=cam2.png", "--lens", "cam2=lens.toml"];
    let (ok, told) = run(folder.path(), &[&lenses[..], &["--stream", "640x480"]].concat());
    assert!(!ok && told.contains("a part is cut off"), "{told}");

    let (ok, told) = run(folder.path(), &[&lenses[..], &["--stream", "1280x720"]].concat());
    assert!(ok, "{told}");
    let found = read_cameras(&folder.path().join("cameras.toml")).unwrap();
    for (camera, truth) in found.iter().zip(&truths) {
        let off_mm = (camera.pose.position() - truth.position()).norm() * 1000.0;
        let turn = Rotation3::new(camera.pose.rotation) * Rotation3::new(truth.rotation).inverse();
        eprintln!("{}: off by {off_mm:.2} mm, {:.4} degrees", camera.id, turn.angle().to_degrees());
        assert!(off_mm < 5.0 && turn.angle().to_degrees() < 0.1, "{told}");
        let small =
            LensFile { lens: LENS, size_px: SIZE_PX, rms_px: Some(0.3) }.resized([1280, 720]).unwrap();
        assert_eq!((camera.lens.size_px, camera.lens.lens), ([1280, 720], small.lens));
    }
    let left = linefree_calibration::residuals::read(&folder.path().join("cameras.residuals.csv")).unwrap();
    let of = |id: &str| left.iter().filter(|r| r.camera == id).count();
    assert!(of("cam1") > 80 && of("cam2") > 80, "more than the outer corners: {} {}", of("cam1"), of("cam2"));

    // A sheet that was surveyed 30 cm beside its place is named and does no harm.
    std::fs::write(folder.path().join("sheets.csv"), csv.replace("5,2.5,3,", "5,2.8,3,")).unwrap();
    let (ok, told) = run(folder.path(), &lenses);
    assert!(ok && told.contains("marker 5 disagrees with the others"), "{told}");
    let found = read_cameras(&folder.path().join("cameras.toml")).unwrap();
    assert!((found[0].pose.position() - truths[0].position()).norm() < 0.01, "{told}");
}
