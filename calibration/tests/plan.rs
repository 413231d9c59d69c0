//! Who sees what, plans and reports.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

mod corner;

use std::path::Path;
use std::process::{Command, Output};

use linefree_calibration::coverage::{Body, Coverage, Viewer, blind_zones, hidden};
use linefree_calibration::plan::{PlanError, Wish, looking, propose};
use linefree_calibration::store::{Quality, Store};
use linefree_domain::geometry::{Lens, View};
use nalgebra::{Point2, Point3, Vector3};
use serde_json::Value;

const WISH: Wish = Wish { cameras: 4, height_m: 3.0, size_px: [1280, 720], field_deg: 100.0 };

fn viewer(id: &str, at: [f64; 3], along: [f64; 3]) -> Viewer {
    let lens = Lens { fx_px: 540.0, fy_px: 540.0, cx_px: 640.0, cy_px: 360.0, distortion: [0.0; 5] };
    let pose = looking(Point3::from(at), Vector3::from(along));
    Viewer {
        id: id.into(),
        size_px: [1280, 720],
        view: View::Lens { lens, pose },
        quality: Quality::default(),
    }
}

fn calibrate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_calibrate")).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn shelving_hides_what_is_behind_it_and_nothing_else() {
    let store = corner::store("");
    let bodies = Body::of(&store.layout);
    assert_eq!(bodies.iter().map(Body::id).collect::<Vec<_>>(), ["1", "2", "3"]);
    let eye = Point3::new(4.0, 1.0, 1.6);
    // Gondolas 2 and 3 stand back to back between y = 3.6 and 4.55, 1.45 m high.
    assert!(hidden(&bodies, eye, Point3::new(4.0, 5.5, 0.0)));
    assert!(!hidden(&bodies, eye, Point3::new(4.0, 3.5, 0.0)));
    assert!(!hidden(&bodies, eye, Point3::new(4.0, 5.5, 1.7)));
    assert!(!hidden(&bodies, eye, Point3::new(9.0, 5.0, 0.0)));
    assert!(hidden(&bodies, Point3::new(4.0, 5.5, 0.0), eye));
    let front = |at: [f64; 2]| bodies.iter().any(|b| b.fronts(Point2::from(at)));
    assert!(front([4.0, 3.2]) && front([4.0, 5.0]) && front([4.0, 6.0]) && !front([4.0, 1.0]));
}

#[test]
fn coverage_counts_cameras_and_errors_shrink_with_them() {
    let store = corner::store("");
    let one = viewer("a", [5.0, 0.2, 3.0], [0.0, 1.0, -0.8]);
    let two = viewer("b", [9.8, 1.8, 3.0], [-1.0, 0.1, -0.6]);
    let alone = Coverage::of(&store.layout, std::slice::from_ref(&one));
    let both = Coverage::of(&store.layout, &[one.clone(), two.clone()]);
    let at = |c: &Coverage, x: f64, y: f64| {
        let near = |a: &&linefree_calibration::coverage::Cell| (a.at - Point2::new(x, y)).norm() < 0.01;
        c.cells.iter().find(near).unwrap().clone()
    };
    let (before, after) = (at(&alone, 5.25, 2.25), at(&both, 5.25, 2.25));
    assert_eq!((before.seen_by.as_slice(), after.seen_by.as_slice()), (&[0][..], &[0, 1][..]));
    assert!(after.error_m.unwrap() < 0.9 * before.error_m.unwrap(), "{before:?} {after:?}");
    // Behind the gondola nobody sees anything.
    assert_eq!(at(&both, 3.25, 4.75).error_m, None);
    // What a calibration leaves open is part of the error.
    let vague = Viewer { quality: Quality { position_sd_m: Some(0.3), ..Quality::default() }, ..one };
    let vague = Coverage::of(&store.layout, &[vague]);
    assert!(at(&vague, 5.25, 2.25).error_m.unwrap() > 0.4);
    let squares = both.by_square_metre();
    assert_eq!(squares.len(), 70, "none of the 70 squares of 1 m holds shelving only");
}

#[test]
fn blind_zones_are_found_before_the_shelf_that_nobody_sees() {
    let store = corner::store("");
    let south = viewer("a", [5.0, 0.2, 3.0], [0.0, 1.0, -0.8]);
    let west = viewer("b", [0.3, 1.8, 3.0], [1.0, 0.1, -0.6]);
    let zones = blind_zones(&store.layout, &[south, west]);
    let worst = |id: &str| zones.iter().filter(|z| z.gondola == id).map(|z| z.cameras).min();
    assert_eq!(worst("3"), Some(0), "{zones:?}");
    let length = |id: &str, cameras: usize| -> f64 {
        let of = zones.iter().filter(|z| z.gondola == id && z.cameras == cameras);
        of.map(|z| (z.to - z.from).norm() + 0.25).sum()
    };
    assert!(length("3", 0) > 4.0 && length("2", 0) < 0.5, "{zones:?}");
}

#[test]
fn a_plan_sees_what_it_says_and_beats_cameras_in_the_corners() {
    let store = corner::store("");
    let plan = propose(&store.layout, &[], &WISH, |_| ()).unwrap();
    let by_hand = [
        viewer("a", [0.2, 0.2, 3.0], [1.0, 0.7, -0.7]),
        viewer("b", [9.8, 0.2, 3.0], [-1.0, 0.7, -0.7]),
        viewer("c", [9.8, 6.8, 3.0], [-1.0, -0.7, -0.7]),
        viewer("d", [0.2, 6.8, 3.0], [1.0, -0.7, -0.7]),
    ];
    let corners = Coverage::of(&store.layout, &by_hand);
    let told = |c: &Coverage| [c.share_seen(1, false), c.share_seen(2, false), c.share_seen(2, true)];
    eprintln!("planned {:.3?}, in the corners {:.3?}", told(&plan.after), told(&corners));
    assert!(plan.after.share_seen(1, false) > 0.97 && plan.after.share_seen(2, true) > 0.95);
    assert!(plan.after.share_seen(2, false) > corners.share_seen(2, false));
    assert!(plan.before.share_seen(1, false) == 0.0);
    let ids: Vec<&str> = plan.cameras.iter().map(|c| c.viewer.id.as_str()).collect();
    assert_eq!(ids, ["cam1", "cam2", "cam3", "cam4"]);
    // More cameras never see less.
    let fewer = propose(&store.layout, &[], &Wish { cameras: 2, ..WISH }, |_| ()).unwrap();
    assert!(fewer.after.share_seen(2, false) < plan.after.share_seen(2, false));
}

#[test]
fn one_more_camera_goes_where_nobody_sees() {
    let store = corner::store("");
    let south =
        [viewer("cam1", [5.0, 0.2, 3.0], [0.0, 1.0, -0.8]), viewer("b", [0.3, 1.8, 3.0], [1.0, 0.1, -0.6])];
    let plan = propose(&store.layout, &south, &Wish { cameras: 1, ..WISH }, |_| ()).unwrap();
    let best = &plan.cameras[0];
    assert_eq!(best.viewer.id, "cam2", "an id that is free");
    assert!(plan.after.share_seen(1, true) > plan.before.share_seen(1, true) + 0.2);
}

#[test]
fn senseless_wishes_are_refused() {
    let store = corner::store("");
    for wish in [
        Wish { cameras: 0, ..WISH },
        Wish { cameras: 1000, ..WISH },
        Wish { height_m: f64::NAN, ..WISH },
        Wish { field_deg: 180.0, ..WISH },
        Wish { size_px: [0, 720], ..WISH },
    ] {
        assert!(matches!(propose(&store.layout, &[], &wish, |_| ()), Err(PlanError::Wish(_))), "{wish:?}");
    }
}

#[test]
fn a_planned_store_can_be_reported_and_is_refused_until_it_is_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.toml"), corner::toml("")).unwrap();
    let done = calibrate(
        folder.path(),
        &["plan", "store.toml", "--cameras", "3", "--out", "plan.toml", "--html", "plan.html", "--json"],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["cameras"].as_array().unwrap().len(), 3);
    let table = std::fs::read_to_string(folder.path().join("plan.toml")).unwrap();
    let both = corner::toml(&table);
    let refused =
        linefree_recording::StoreFile::parse(Path::new("store.toml"), &both).unwrap_err().to_string();
    assert!(
        refused.contains("repeat `calibrate pose`") && refused.contains("camera[3].quality"),
        "{refused}"
    );
    let read = Store::parse(Path::new("store.toml"), &both).unwrap();
    assert_eq!((read.layout.cameras.len(), read.refused.len()), (3, 6), "{:?}", read.refused);
    assert_eq!(read.qualities[2].rotation_sd_deg, Some(5.0));

    // As if they had been calibrated: the agent takes them.
    let calibrated =
        table.replace("position_sd_m = 0.5", "position_sd_m = 0.004").replace("_deg = 5.0", "_deg = 0.05");
    std::fs::write(folder.path().join("store.toml"), corner::toml(&calibrated)).unwrap();
    linefree_recording::StoreFile::read(folder.path().join("store.toml")).unwrap();
    let residuals =
        "camera,x_px,y_px,off_x_px,off_y_px,used\ncam1,100,200,0.3,-0.4,true\ncam1,900,200,40,0,false\n";
    std::fs::write(folder.path().join("r.csv"), residuals).unwrap();
    let done = calibrate(folder.path(), &["report", "store.toml", "--residuals", "r.csv", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(json["coverage"]["seen_by_1"].as_f64().unwrap() > 0.9, "{json}");
    assert!(json["one_more_camera"]["position_m"].is_array() && json["blind_zones"].is_array());
    let more = json["with_one_more"]["seen_by_2"].as_f64().unwrap();
    assert!(more > json["coverage"]["seen_by_2"].as_f64().unwrap());
    for page in ["report.html", "plan.html"] {
        let html = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(html.contains("Corner &lt;shop&gt;") && !html.contains("Corner <shop>"));
        // Self-contained: nothing is fetched and nothing runs.
        for outside in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!html.contains(outside), "{page} has {outside}");
        }
        assert!(html.matches("<svg").count() == html.matches("</svg>").count() && html.contains("<svg"));
    }
    let html = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for part in [
        "Who sees the floor",
        "Blind zones in front of shelves",
        "Expected error of a shopper's place",
        "Where one more camera would help most",
        "cam1: 1 points, rms 0.50 px, 1 left out",
        "Every calibration is within",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn reports_and_plans_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.toml"), corner::toml("")).unwrap();
    std::fs::write(folder.path().join("torn.toml"), "format = 1\n[store]\nid = 3\n").unwrap();
    std::fs::write(folder.path().join("notes.csv"), "a,b\n1,2\n").unwrap();
    for (arguments, part) in [
        (vec!["report", "store.toml"], "`calibrate plan` proposes"),
        (vec!["report", "gone.toml"], "gone.toml: cannot be read"),
        (vec!["report", "torn.toml"], "torn.toml:3"),
        (vec!["plan", "store.toml", "--cameras", "0"], "ask for 1 to 64"),
        (vec!["plan", "store.toml", "--cameras", "2", "--height", "0.2"], "1 to 12 m"),
        (vec!["plan", "store.toml", "--cameras", "2", "--field", "200"], "20 to 140"),
    ] {
        let done = calibrate(folder.path(), &arguments);
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(1) && message.contains(part), "{arguments:?}: {message}");
    }
    assert!(!folder.path().join("report.html").exists());
}
