//! Poses from surveyed points at any height, through a lens that is known.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::process::Command;

use linefree_calibration::plan::looking;
use linefree_calibration::points::SurveyedPoint;
use linefree_calibration::resection::{ResectionError, fit};
use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Point2, Point3, Rotation3, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

const LENS: Lens =
    Lens { fx_px: 900.0, fy_px: 902.0, cx_px: 640.0, cy_px: 355.0, distortion: [-0.1, 0.02, 0.0, 0.0, 0.0] };

fn truth() -> Pose {
    looking(Point3::new(1.0, 0.5, 2.8), Vector3::new(0.4, 1.0, -0.6))
}

/// Corners of shelves and marks on the floor, found to a pixel.
fn survey() -> Vec<SurveyedPoint> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let noise = Normal::new(0.0, 1.0).unwrap();
    let view = View::Lens { lens: LENS, pose: truth() };
    let mut points = Vec::new();
    for (x, y) in [(1.5, 2.5), (2.5, 2.6), (2.0, 4.0), (3.5, 4.2), (1.2, 3.6), (3.0, 3.1)] {
        for z in [0.0, 0.7, 1.5] {
            let px = view.pixel_of(Point3::new(x, y, z)).unwrap();
            if (0.0..1280.0).contains(&px.x) && (0.0..720.0).contains(&px.y) {
                points.push(SurveyedPoint {
                    line: points.len() as u64 + 2,
                    name: None,
                    image_px: Point2::new(px.x + noise.sample(&mut rng), px.y + noise.sample(&mut rng)),
                    floor_m: Point2::new(x, y),
                    height_m: z,
                });
            }
        }
    }
    points
}

#[test]
fn corners_of_shelves_give_the_pose_and_name_the_wrong_one() {
    let mut points = survey();
    assert!(points.len() >= 12, "{}", points.len());
    points[4].image_px.x += 45.0;
    let found = fit("till", &LENS, &points).unwrap();
    assert_eq!(found.outliers.iter().map(|p| p.line).collect::<Vec<_>>(), [6]);
    let off_m = (found.pose.position() - truth().position()).norm();
    let turned = (Rotation3::new(found.pose.rotation) * Rotation3::new(truth().rotation).inverse()).angle();
    assert!(
        off_m < 0.03 && off_m < 3.0 * found.sds[0] && turned.to_degrees() < 0.5,
        "{off_m} {:?}",
        found.sds
    );
    assert!(found.held_out_median_m().unwrap() < 0.02, "{:?}", found.held_out_m);
    assert_eq!(found.residuals.iter().filter(|r| !r.used).count(), 1);
}

#[test]
fn points_that_determine_nothing_are_refused() {
    let good = survey();
    assert!(matches!(fit("a", &LENS, &good[..3]), Err(ResectionError::TooFew { found: 3 })));
    let mut nan = good.clone();
    nan[2].height_m = f64::NAN;
    assert!(fit("a", &LENS, &nan).unwrap_err().to_string().starts_with("line 4: holds a number"));
    let mut twice = good.clone();
    twice[3].image_px = twice[1].image_px;
    assert!(
        fit("a", &LENS, &twice).unwrap_err().to_string().starts_with("line 5 repeats the pixel of line 3")
    );
    let line: Vec<SurveyedPoint> = good
        .iter()
        .enumerate()
        .map(|(i, p)| SurveyedPoint {
            floor_m: Point2::new(i as f64, 2.0 * i as f64),
            height_m: 0.5,
            ..p.clone()
        })
        .collect();
    assert!(matches!(fit("a", &LENS, &line), Err(ResectionError::Collinear)));
    // The metres of other points.
    let mut shuffled = good.clone();
    let count = shuffled.len();
    for (i, p) in shuffled.iter_mut().enumerate() {
        (p.floor_m, p.height_m) = (good[(7 * i + 3) % count].floor_m, good[(5 * i + 2) % count].height_m);
    }
    assert!(matches!(fit("a", &LENS, &shuffled), Err(ResectionError::Rig(_))));
}

#[test]
fn the_command_wants_a_lens_for_what_is_above_the_floor_and_writes_residuals() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = String::from("x_px,y_px,x_m,y_m,z_m\n");
    for p in survey() {
        let (px, m) = (p.image_px, p.floor_m);
        let _ = writeln!(csv, "{:.2},{:.2},{},{},{}", px.x, px.y, m.x, m.y, p.height_m);
    }
    std::fs::write(folder.path().join("points.csv"), csv).unwrap();
    let lens = format!(
        "size_px = [1280, 720]\nlens = {{ fx = 900.0, fy = 902.0, cx = 640.0, cy = 355.0, distortion = {:?} }}\n",
        LENS.distortion
    );
    std::fs::write(folder.path().join("lens.toml"), lens).unwrap();
    let run = |more: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_calibrate"))
            .args(["pose", "--points", "points.csv", "--camera", "till", "--out", "till.toml"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (ok, told) = run(&[]);
    assert!(
        !ok && told.contains("0.7 m above the floor") && told.contains("--lens till=lens.toml"),
        "{told}"
    );
    let (ok, told) = run(&["--lens", "other=lens.toml"]);
    assert!(!ok && told.contains("no lens of camera till"), "{told}");
    let (ok, told) = run(&["--lens", "till=lens.toml", "--size", "640x360"]);
    assert!(!ok && told.contains("measured at 1280x720"), "{told}");
    let (ok, told) = run(&["--lens", "till=lens.toml"]);
    assert!(ok && told.contains("held out:"), "{told}");
    let left = linefree_calibration::residuals::read(&folder.path().join("till.residuals.csv")).unwrap();
    assert_eq!(left.len(), survey().len());
    // The table is one that the lens can be read from again.
    let (ok, told) = run(&["--lens", "till=till.toml"]);
    assert!(ok, "{told}");
}
