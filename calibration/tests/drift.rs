//! Drift of cameras and plates, from simulated days.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

mod corner;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use linefree_calibration::coverage::Viewer;
use linefree_calibration::drift::{Seen, of_cameras, of_plates};
use linefree_calibration::plan::looking;
use linefree_calibration::store::Quality;
use linefree_domain::geometry::{Lens, View};
use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::{PlateChange, ShelfEvent};
use linefree_domain::time::StoreTime;
use nalgebra::{Point2, Point3, Rotation3, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};

fn cameras() -> Vec<Viewer> {
    let lens = Lens {
        fx_px: 540.0,
        fy_px: 540.0,
        cx_px: 640.0,
        cy_px: 360.0,
        distortion: [-0.05, 0.0, 0.0, 0.0, 0.0],
    };
    let viewer = |id: &str, at: [f64; 3], along: [f64; 3]| Viewer {
        id: id.into(),
        size_px: [1280, 720],
        view: View::Lens { lens, pose: looking(Point3::from(at), Vector3::from(along)) },
        quality: Quality::default(),
    };
    vec![
        viewer("cam1", [0.3, 0.3, 3.0], [1.0, 0.5, -0.7]),
        viewer("cam2", [9.7, 0.3, 3.0], [-1.0, 0.5, -0.7]),
        viewer("cam3", [5.0, 0.2, 3.0], [0.0, 1.0, -0.7]),
    ]
}

/// The camera was knocked: it looks elsewhere than its calibration says.
fn knocked(viewer: &Viewer, turn_deg: f64) -> Viewer {
    let View::Lens { lens, pose } = viewer.view.clone() else { panic!() };
    let turn =
        Rotation3::from_axis_angle(&Vector3::y_axis(), turn_deg.to_radians()) * Rotation3::new(pose.rotation);
    let mut turned = pose;
    turned.rotation = turn.scaled_axis();
    turned.translation = -(turn * pose.position().coords);
    Viewer { view: View::Lens { lens, pose: turned }, ..viewer.clone() }
}

/// A person walks before the shelves for some minutes; boxes in people.jsonl, as the true cameras see them.
fn day(truth: &[Viewer], seed: u64, minutes: usize) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0, 3.0).unwrap();
    let along = Uniform::new(0.5, 9.5).unwrap();
    let across = Uniform::new(0.4, 3.2).unwrap();
    let goal = |rng: &mut ChaCha8Rng| Point2::new(along.sample(rng), across.sample(rng));
    let (mut at, mut to) = (goal(&mut rng), goal(&mut rng));
    let mut out = String::new();
    for step in 0..minutes * 120 {
        if (to - at).norm() < 0.6 {
            to = goal(&mut rng);
        }
        at += (to - at).normalize() * 0.5_f64.min((to - at).norm());
        for v in truth {
            let feet = v.pixel_of(Point3::new(at.x, at.y, 0.0));
            let head = v.pixel_of(Point3::new(at.x, at.y, 1.72));
            let (Some(feet), Some(head)) = (feet, head) else { continue };
            let mut shake = || noise.sample(&mut rng);
            let (x, y, h) = (feet.x + shake(), head.y + shake(), feet.y - head.y + shake());
            let t = step as f64 / 2.0;
            let _ = writeln!(
                out,
                "{{\"t\":{t},\"camera\":\"{}\",\"people\":[{{\"box\":[{:.1},{y:.1},40,{h:.1}],\"score\":0.9}}]}}",
                v.id,
                x - 20.0
            );
        }
    }
    out
}

fn table(v: &Viewer) -> String {
    let View::Lens { lens, pose } = &v.view else { panic!() };
    format!(
        "[[camera]]\nid = \"{}\"\nsize_px = [1280, 720]\nlens = {{ fx = {:?}, fy = {:?}, cx = {:?}, cy = {:?}, \
         distortion = {:?} }}\npose = {{ rotation = {:?}, translation = {:?} }}\n",
        v.id,
        lens.fx_px,
        lens.fy_px,
        lens.cx_px,
        lens.cy_px,
        lens.distortion,
        pose.rotation.as_slice(),
        pose.translation.as_slice()
    )
}

fn check(folder: &Path, day: &str, more: &[&str]) -> (Option<i32>, String) {
    let arguments =
        [&["check", "store.toml", "--people", "p.jsonl", "--day", day, "--strict"], more].concat();
    let done =
        Command::new(env!("CARGO_BIN_EXE_calibrate")).args(arguments).current_dir(folder).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_knocked_camera_is_named_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let good = cameras();
    std::fs::write(
        folder.path().join("store.toml"),
        corner::toml(&good.iter().map(table).collect::<String>()),
    )
    .unwrap();
    let people = |truth: &[Viewer], seed| {
        std::fs::write(folder.path().join("p.jsonl"), day(truth, seed, 20)).unwrap();
    };
    people(&good, 1);
    let (code, told) = check(folder.path(), "2026-11-01", &[]);
    assert!(code == Some(0) && told.contains("the first check"), "{told}");
    people(&good, 2);
    let (code, told) = check(folder.path(), "2026-11-02", &[]);
    assert!(code == Some(0) && told.contains("nothing has drifted"), "{told}");
    // Turned by 2 degrees: 10 to 20 cm on the floor.
    for knock in 0..3 {
        let mut truth = good.clone();
        truth[knock] = knocked(&good[knock], 2.0);
        people(&truth, 3 + knock as u64);
        let (code, told) = check(folder.path(), "2026-11-03", &[]);
        eprintln!("{told}");
        let warned: Vec<&str> = told.lines().filter(|l| l.starts_with("warning:")).collect();
        assert_eq!(code, Some(1), "{told}");
        assert!(
            warned.iter().any(|l| l.contains(&good[knock].id) && l.contains("repeat `calibrate pose`")),
            "{told}"
        );
        assert!(warned.iter().all(|l| l.contains(&good[knock].id)), "{told}");
    }
    let history = std::fs::read_to_string(folder.path().join("check.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 5);
    // After a calibration, everything begins anew.
    let (code, _) = check(folder.path(), "2026-11-04", &["--afresh"]);
    assert!(code.is_some());
    assert_eq!(std::fs::read_to_string(folder.path().join("check.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn messages_of_the_bus_are_read_and_bad_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("store.toml"),
        corner::toml(&cameras().iter().map(table).collect::<String>()),
    )
    .unwrap();
    let mut lines = String::new();
    for i in 0..200 {
        let (x, y) = (2.0 + f64::from(i % 17) * 0.3, 1.0 + f64::from(i % 7) * 0.25);
        for (camera, off) in [("cam1", 0.0), ("cam2", 0.02), ("cam3", -0.01)] {
            let _ = writeln!(
                lines,
                "{{\"camera\":\"{camera}\",\"time_us\":{},\"people\":[{{\"foot\":[{:.3},{y:.3}],\"cov\":[0.01,0,0.01],\
                 \"score\":0.9,\"height\":1.7}}]}}",
                i * 500_000,
                x + off
            );
        }
    }
    std::fs::write(folder.path().join("p.jsonl"), &lines).unwrap();
    let (code, told) = check(folder.path(), "2026-11-01", &[]);
    assert!(code == Some(0) && told.contains("cam2: off by") && told.contains("1.70 m tall"), "{told}");
    for (text, part) in [
        (format!("{lines}{{\"camera\":3}}\n"), "line 601: is no line of people"),
        ("{\"camera\":\"cam1\",\"people\":[]}\n".to_owned(), "line 1: has no time"),
        (String::new(), "holds nobody"),
    ] {
        std::fs::write(folder.path().join("p.jsonl"), text).unwrap();
        let (code, told) = check(folder.path(), "2026-11-01", &[]);
        assert!(code == Some(1) && told.contains(part), "{told}");
    }
    std::fs::write(folder.path().join("p.jsonl"), &lines).unwrap();
    std::fs::write(folder.path().join("check.jsonl"), "not a check\n").unwrap();
    let (code, told) = check(folder.path(), "2026-11-01", &[]);
    assert!(code == Some(1) && told.contains("check.jsonl: line 1: is no check"), "{told}");
}

#[test]
fn the_size_of_a_shift_is_told_within_two_centimetres() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let noise = Normal::new(0.0, 0.08).unwrap();
    let anywhere = Uniform::new(0.0, 6.0).unwrap();
    let mut seen = Vec::new();
    for moment in 0..600 {
        let at = Point2::new(anywhere.sample(&mut rng), anywhere.sample(&mut rng));
        for camera in 0..4 {
            let off = if camera == 2 { 0.12 } else { 0.0 };
            // One in ten is somebody else.
            let wild = if (moment + camera as i64) % 10 == 0 { 0.6 } else { 0.0 };
            let place =
                Point2::new(at.x + off + wild + noise.sample(&mut rng), at.y + noise.sample(&mut rng));
            seen.push(Seen { moment, camera, at: place, height_m: None });
        }
    }
    let drifts = of_cameras(4, &seen);
    let off = |i: usize| drifts[i].off_m.unwrap();
    eprintln!("{drifts:?}");
    assert!(
        (off(2) - 0.12).abs() < 0.02 && (drifts[2].shift_m.unwrap()[0] - 0.12).abs() < 0.02,
        "{drifts:?}"
    );
    assert!([0, 1, 3].into_iter().all(|i| off(i) < 0.03), "{drifts:?}");
    // Too little to say anything.
    assert!(of_cameras(4, &seen[..40]).iter().all(|d| d.off_m.is_none()));
}

#[test]
fn a_plate_s_gain_is_told_from_what_is_taken() {
    let store = corner::store(
        "[[facing]]\nsku = \"water\"\nplates = [\"1/1/1\"]\n[[facing]]\nsku = \"crisps\"\nplates = [\"1/1/2\"]\n",
    );
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut events = Vec::new();
    for i in 0..80 {
        for (plate, sku, gain) in [(0, 0, 1.025), (1, 2, 1.0)] {
            let (_, mean, sd) = corner::PRODUCTS[sku];
            let item = Normal::new(mean, sd).unwrap().sample(&mut rng);
            let sign = if i % 2 == 0 { -1.0 } else { 1.0 };
            let noise = Normal::new(0.0, 1.5).unwrap().sample(&mut rng);
            let change = PlateChange {
                plate: PlateIndex(plate),
                delta_g: sign * gain * item + noise,
                sd_g: 1.5,
                start: StoreTime::from_micros(i),
                end: StoreTime::from_micros(i + 1),
            };
            events.push(ShelfEvent { changes: vec![change] });
        }
    }
    let drifts = of_plates(&store.layout, &events);
    let gain = |p: usize| drifts[&PlateIndex(p)].gain.unwrap();
    eprintln!("{drifts:?}");
    assert!((gain(0) - 1.025).abs() < 0.004 && (gain(1) - 1.0).abs() < 0.004, "{drifts:?}");
    assert!(of_plates(&store.layout, &events[..6])[&PlateIndex(0)].gain.is_none());
}

/// What to do when a camera was knocked: the others are known, and a walk mends it.
#[test]
fn a_walk_mends_the_pose_that_the_check_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = cameras();
    let mut believed = good.clone();
    believed[1] = knocked(&good[1], 2.0);
    let store = corner::toml(&believed.iter().map(table).collect::<String>());
    std::fs::write(folder.path().join("store.toml"), store).unwrap();
    let people = day(&good, 11, 5);
    std::fs::write(folder.path().join("p.jsonl"), &people).unwrap();
    let walk = |known: &[&str]| {
        let mut arguments =
            vec!["pose", "--walk", "p.jsonl", "--store", "store.toml", "--out", "mended.toml"];
        for id in known {
            arguments.extend(["--known", id]);
        }
        let done = Command::new(env!("CARGO_BIN_EXE_calibrate"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (ok, told) = walk(&["cam1", "cam3"]);
    assert!(ok, "{told}");
    let mended = linefree_calibration::survey::read_cameras(&folder.path().join("mended.toml")).unwrap();
    let View::Lens { pose, .. } = &good[1].view else { panic!() };
    let off_m = (mended[1].pose.position() - pose.position()).norm();
    let turn = Rotation3::new(mended[1].pose.rotation) * Rotation3::new(pose.rotation).inverse();
    eprintln!("mended to {:.1} cm, {:.3} degrees", off_m * 100.0, turn.angle().to_degrees());
    assert!(off_m < 0.03 && turn.angle().to_degrees() < 0.5, "{told}");
    let left = linefree_calibration::residuals::read(&folder.path().join("mended.residuals.csv")).unwrap();
    assert!(left.iter().any(|r| r.camera == "cam2" && r.used));

    let (ok, told) = walk(&[]);
    assert!(!ok && told.contains("name one whose pose is right with --known"), "{told}");
    let (ok, told) = walk(&["cam9"]);
    assert!(!ok && told.contains("there is no camera cam9"), "{told}");
    // Cameras that never see anybody at one moment.
    let number = |line: &str| line[5..].split(',').next().unwrap().parse::<f64>().unwrap();
    let alone: String = people
        .lines()
        .map(|l| {
            let late = if l.contains("cam1") {
                0.0
            } else if l.contains("cam2") {
                1e5
            } else {
                2e5
            };
            let t = number(l);
            l.replacen(&format!("\"t\":{t}"), &format!("\"t\":{}", t + late), 1) + "\n"
        })
        .collect();
    std::fs::write(folder.path().join("p.jsonl"), alone).unwrap();
    let (ok, told) = walk(&["cam1"]);
    assert!(!ok && told.contains("cameras that do not overlap need markers"), "{told}");
}
