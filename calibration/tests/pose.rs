//! Poses fitted to made and to real points.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::PathBuf;

use linefree_calibration::points::{PointsError, SurveyedPoint};
use linefree_calibration::pose::{PoseError, PoseOptions, fit};
use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Point2, Point3, Rotation3, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

/// A camera 3 m above (offset, offset), looking down at the floor before it.
fn camera(offset_m: f64) -> View {
    let rotation = Rotation3::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI - 0.9);
    let at = Vector3::new(offset_m, offset_m, 3.0);
    let lens = Lens { fx_px: 800.0, fy_px: 800.0, cx_px: 640.0, cy_px: 360.0, distortion: [0.0; 5] };
    View::Lens { lens, pose: Pose { rotation: rotation.scaled_axis(), translation: -(rotation * at) } }
}

fn point(line: u64, image_px: Point2<f64>, floor_m: Point2<f64>) -> SurveyedPoint {
    SurveyedPoint { line, name: None, image_px, floor_m, height_m: 0.0 }
}

/// A grid of marks as that camera sees them.
fn survey(columns: u32, rows: u32, offset_m: f64) -> Vec<SurveyedPoint> {
    let view = camera(offset_m);
    let mut points = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let floor = Point2::new(
                offset_m - 1.5 + 3.0 * f64::from(column) / f64::from(columns - 1),
                offset_m + 2.0 + 3.0 * f64::from(row) / f64::from(rows - 1),
            );
            let px = view.pixel_of(Point3::new(floor.x, floor.y, 0.0)).unwrap();
            points.push(point(points.len() as u64 + 2, px, floor));
        }
    }
    points
}

fn shake(points: &mut [SurveyedPoint], sd_px: f64, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0, sd_px).unwrap();
    for p in points {
        p.image_px += nalgebra::Vector2::new(noise.sample(&mut rng), noise.sample(&mut rng));
    }
}

#[test]
fn exact_points_give_the_pose_back_wherever_the_origin_is() {
    // 500 km: a national grid. 32-bit floats alone would be off by centimetres there.
    for offset_m in [0.0, 500_000.0] {
        for (columns, rows) in [(2, 2), (3, 2), (5, 4)] {
            let points = survey(columns, rows, offset_m);
            let found = fit(&points, &PoseOptions::default()).unwrap();
            assert!(found.fitted.worst_m < 1e-3, "{columns}x{rows} at {offset_m}: {:?}", found.fitted);
            assert!(found.outliers.is_empty());
            let unseen = Point3::new(offset_m + 0.37, offset_m + 3.3, 0.0);
            let px = camera(offset_m).pixel_of(unseen).unwrap();
            let at = View::Homography(found.homography).floor_at(px, 0.0).unwrap().at;
            assert!((at - unseen.xy()).norm() < 2e-3, "{at} for {unseen}");
        }
    }
}

#[test]
fn held_out_errors_tell_the_truth_and_fitted_errors_flatter() {
    let mut points = survey(4, 3, 0.0);
    shake(&mut points, 2.0, 1);
    let found = fit(&points, &PoseOptions::default()).unwrap();
    let held_out = found.held_out.unwrap();
    assert_eq!(held_out.points, 12);
    assert!(held_out.rms_m > found.fitted.rms_m, "{held_out:?} {:?}", found.fitted);
    // What it is really worth: a fine grid of exact points.
    let truth = survey(21, 21, 0.0);
    let view = View::Homography(found.homography);
    let square = |p: &SurveyedPoint| (view.floor_at(p.image_px, 0.0).unwrap().at - p.floor_m).norm_squared();
    let true_rms_m = (truth.iter().map(square).sum::<f64>() / truth.len() as f64).sqrt();
    // Held-out points carry their own noise too, so they may only look worse than that.
    assert!(true_rms_m < 1.5 * held_out.rms_m, "true {true_rms_m}, held out {}", held_out.rms_m);
    assert!(true_rms_m > 0.0 && held_out.rms_m < 0.1);
}

#[test]
fn wrong_points_are_named_and_left_out() {
    let mut points = survey(5, 4, 0.0);
    shake(&mut points, 1.0, 2);
    points[7].floor_m.x += 0.8;
    points[13].image_px.y -= 60.0;
    let found = fit(&points, &PoseOptions::default()).unwrap();
    let lines: Vec<u64> = found.outliers.iter().map(|o| o.point.line).collect();
    assert_eq!(lines, [9, 15]);
    assert!((found.outliers[0].error_m - 0.8).abs() < 0.1, "{:?}", found.outliers[0]);
    assert!((found.outliers[1].error_px - 60.0).abs() < 6.0);
    assert_eq!(found.fitted.points, 18);
    assert!(found.fitted.worst_m < 0.05);
}

#[test]
fn points_that_contradict_each_other_are_refused() {
    // One wrong point of five: any four of them fit exactly, so nobody can say which.
    let mut few = survey(3, 2, 0.0);
    few.truncate(5);
    few[1].floor_m.y += 1.0;
    let error = fit(&few, &PoseOptions::default()).unwrap_err();
    assert!(matches!(error, PoseError::Contradiction { all: 5, .. }), "{error}");

    // The metres of another survey: shuffled lines.
    let mut shuffled = survey(5, 4, 0.0);
    let floors: Vec<_> = shuffled.iter().map(|p| p.floor_m).collect();
    for (i, p) in shuffled.iter_mut().enumerate() {
        p.floor_m = floors[(i * 7 + 3) % 20];
    }
    let error = fit(&shuffled, &PoseOptions::default()).unwrap_err();
    assert!(matches!(error, PoseError::Contradiction { .. }), "{error}");
    assert!(error.to_string().contains("line "), "{error}");
}

#[test]
fn an_image_upside_down_is_refused() {
    let mut points = survey(4, 3, 0.0);
    for p in &mut points {
        p.image_px = Point2::new(1280.0 - p.image_px.x, 720.0 - p.image_px.y);
    }
    let error = fit(&points, &PoseOptions::default()).unwrap_err();
    assert!(error.to_string().contains("upside down"), "{error}");
}

#[test]
fn a_mirrored_floor_and_exact_fits_are_warned_about() {
    let good = survey(4, 3, 0.0);
    assert_eq!(fit(&good, &PoseOptions::default()).unwrap().warnings, Vec::<String>::new());
    let mut swapped = good;
    for p in &mut swapped {
        p.floor_m = Point2::new(p.floor_m.y, p.floor_m.x);
    }
    let warnings = fit(&swapped, &PoseOptions::default()).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("mirrored"), "{warnings:?}");

    let four = fit(&survey(2, 2, 0.0), &PoseOptions::default()).unwrap();
    assert!(four.held_out.is_none() && four.warnings[0].contains("four points fit exactly"));
}

#[test]
fn degenerate_points_and_senseless_options_are_refused() {
    let mut line = survey(5, 4, 0.0);
    line.retain(|p| (p.floor_m.y - 2.0).abs() < 1e-9);
    let error = fit(&line, &PoseOptions::default()).unwrap_err();
    assert!(matches!(error, PoseError::Points(PointsError::Collinear { .. })), "{error}");
    let good = survey(4, 3, 0.0);
    for outlier_px in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(fit(&good, &PoseOptions { outlier_px, holdout: 5 }).is_err());
    }
    for holdout in [0, 1] {
        assert!(fit(&good, &PoseOptions { outlier_px: 8.0, holdout }).is_err());
    }
    // More parts than points is one part a point.
    assert!(fit(&good, &PoseOptions { outlier_px: 8.0, holdout: 1000 }).unwrap().held_out.is_some());
}

#[test]
fn the_result_does_not_change_from_run_to_run() {
    let mut points = survey(5, 4, 0.0);
    shake(&mut points, 3.0, 3);
    let once = fit(&points, &PoseOptions::default()).unwrap();
    for _ in 0..5 {
        assert_eq!(fit(&points, &PoseOptions::default()).unwrap(), once);
    }
}

/// PETS09-S2L1: the clip that the demo plays. Its ground truth has boxes in pixels and positions in metres.
#[test]
fn the_plaza_s_ground_truth_gives_centimetres() {
    let shared = PathBuf::from(std::env::var("LINEFREE_SHARED").unwrap_or_else(|_| "../../shared".into()));
    let path = shared.join("data/mot15/PETS09-S2L1/gt.txt");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there (LINEFREE_SHARED)", path.display());
        return;
    };
    let mut points = Vec::new();
    for (row, line) in text.lines().zip(1..) {
        let v: Vec<f64> = row.split(',').map(|field| field.trim().parse().unwrap()).collect();
        points.push(point(line, Point2::new(v[2] + v[4] / 2.0, v[3] + v[5]), Point2::new(v[7], v[8])));
    }
    let found = fit(&points, &PoseOptions::default()).unwrap();
    let held_out = found.held_out.unwrap();
    eprintln!(
        "{} points: fitted {:?}, held out {held_out:?}, warnings {:?}",
        points.len(),
        found.fitted,
        found.warnings
    );
    assert!(held_out.points > 4500, "{held_out:?}");
    assert!(held_out.median_m < 0.030, "{held_out:?}");
}
