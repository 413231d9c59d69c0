//! The `calibrate` binary, as people and scripts call it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Nine marks seen through the homography of `expected`.
const POINTS: &str = "# a made survey
x_px,y_px,x_m,y_m,name
140,470,-1.0,0.0,a
320,470,0.0,0.0,b
500,470,1.0,0.0,c
200,350,-1.0,1.0,d
320,350,0.0,1.0,e
440,350,1.0,1.0,f
230,290,-1.0,2.0,g
320,290,0.0,2.0,h
410,290,1.0,2.0,i
";

fn calibrate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_calibrate"))
        .args(arguments)
        .current_dir(folder)
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap()
}

fn survey(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("points.csv"), text).unwrap();
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn floor_of(homography: &[f64], x_px: f64, y_px: f64) -> [f64; 2] {
    let row = |i: usize| homography[i] * x_px + homography[i + 1] * y_px + homography[i + 2];
    [row(0) / row(6), row(3) / row(6)]
}

#[test]
fn pose_writes_a_camera_table_that_places_the_points() {
    let folder = survey(POINTS);
    let arguments = [
        "pose",
        "--points",
        "points.csv",
        "--camera",
        "till",
        "--size",
        "640x480",
        "--out",
        "till.toml",
        "--json",
    ];
    let done = calibrate(folder.path(), &arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let table: toml::Table =
        std::fs::read_to_string(folder.path().join("till.toml")).unwrap().parse().unwrap();
    let camera = table["camera"][0].as_table().unwrap();
    assert_eq!(camera.keys().collect::<Vec<_>>(), ["homography", "id", "quality", "size_px"]);
    assert_eq!(camera["id"].as_str(), Some("till"));
    assert_eq!(camera["size_px"].as_array().unwrap().len(), 2);
    let homography: Vec<f64> =
        camera["homography"].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect();
    assert_eq!(homography.len(), 9);
    for (px, m) in [([140.0, 470.0], [-1.0, 0.0]), ([440.0, 350.0], [1.0, 1.0]), ([320.0, 290.0], [0.0, 2.0])]
    {
        let at = floor_of(&homography, px[0], px[1]);
        assert!((at[0] - m[0]).hypot(at[1] - m[1]) < 1e-3, "{px:?} lies at {at:?}, not {m:?}");
    }

    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    let same: Vec<f64> = json["homography"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(same, homography, "the table and the JSON differ");
    assert_eq!((json["points"].as_u64(), json["used"].as_u64()), (Some(9), Some(9)));
    assert!(json["held_out"]["median_m"].as_f64().unwrap() < 1e-3);
}

#[test]
fn pose_without_out_prints_the_table_and_says_what_is_missing() {
    let folder = survey(POINTS);
    let done = calibrate(folder.path(), &["pose", "--points", "points.csv"]);
    let printed = text(&done.stdout);
    let table: toml::Table = printed.parse().unwrap();
    assert_eq!(table["camera"][0]["id"].as_str(), Some("cam1"));
    assert!(printed.contains("# size_px = [width, height]   # fill in"), "{printed}");
    assert!(text(&done.stderr).contains("held out"), "{}", text(&done.stderr));
}

#[test]
fn pose_names_a_wrong_point_in_table_and_report() {
    let folder = survey(&POINTS.replace("200,350,-1.0,1.0,d", "200,350,-1.0,1.9,d"));
    let done = calibrate(folder.path(), &["pose", "--points", "points.csv", "--json", "--out", "c.toml"]);
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["outliers"][0]["line"], 6);
    assert_eq!(json["outliers"][0]["name"], "d");
    assert!((json["outliers"][0]["error_m"].as_f64().unwrap() - 0.9).abs() < 0.05);
    assert!(text(&done.stderr).contains("line 6 (d)"));
    let table = std::fs::read_to_string(folder.path().join("c.toml")).unwrap();
    assert!(table.contains("# Left out: line 6 (d)"), "{table}");
}

#[test]
fn pose_refuses_with_file_line_and_remedy_and_writes_nothing() {
    let header = "x_px,y_px,x_m,y_m\n";
    let cases = [
        ("x,y\n1,2\n".to_owned(), "no header of surveyed points"),
        (format!("{header}1,2,3,4\n"), "survey 8 or more"),
        (format!("{header}1,1,1,1\n2,9,2,2\n3,5,3,3\n4,4,4,4\n5,1,5,5\n"), "one line on the floor"),
        (format!("{header}1,2,3,nan\n"), "line 2: y_m is NaN"),
        (format!("{header}1,2,3,4,5\n"), "line 2: has 5 fields where the header has 4"),
        (POINTS.replace("410,290", "320,290"), "line 11 repeats the pixel (320, 290) of line 10"),
        (
            POINTS.replace("140,470", "1400,470").replace("-1.0,0.0,a", "6.0,0.0,a"),
            "1 of 9 points lie outside an image of 640x480 pixels, first line 3 (a)",
        ),
    ];
    for (csv, part) in cases {
        let folder = survey(&csv);
        let arguments = ["pose", "--points", "points.csv", "--size", "640x480", "--out", "c.toml"];
        let done = calibrate(folder.path(), &arguments);
        let message = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{csv}: {message}");
        assert!(!message.contains("stack backtrace"), "{message}");
        assert!(message.contains("points.csv") && message.contains(part), "{csv}: {message}");
        assert!(!folder.path().join("c.toml").exists(), "{csv}: a table was written");
    }
    let folder = tempfile::tempdir().unwrap();
    let done = calibrate(folder.path(), &["pose", "--points", "gone.csv"]);
    assert!(text(&done.stderr).contains("gone.csv: cannot be opened"));
    let done = calibrate(folder.path(), &["pose", "--points", "gone.csv", "--camera", "a/b"]);
    assert_eq!(done.status.code(), Some(2), "an id that no topic can hold was taken");
}

#[test]
fn lens_names_every_image_it_could_not_use() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("torn.jpg"), b"\xff\xd8\xff").unwrap();
    image::GrayImage::new(64, 48).save(folder.path().join("black.png")).unwrap();
    let arguments = ["lens", "--board", "9x6", "torn.jpg", "black.png", "gone.jpg", "--out", "lens.toml"];
    let done = calibrate(folder.path(), &arguments);
    let message = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{message}");
    for part in [
        "0 usable views",
        "torn.jpg: cannot be read",
        "black.png: no whole board",
        "gone.jpg: cannot be read",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!folder.path().join("lens.toml").exists());
    let done = calibrate(folder.path(), &["lens", "--board", "9by6", "x.jpg"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("COLUMNSxROWS"));
}

#[test]
fn lens_reports_the_public_images() {
    let data = "/usr/share/doc/opencv-doc/examples/data";
    if !Path::new(data).join("left01.jpg").exists() {
        println!("skipped: {data} holds no left01.jpg (Debian package opencv-doc)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<String> = [1, 2, 3, 4, 5, 6].iter().map(|i| format!("{data}/left{i:02}.jpg")).collect();
    let mut arguments = vec!["lens", "--board", "9x6", "--json", "--out", "lens.toml"];
    arguments.extend(images.iter().map(String::as_str));
    let done = calibrate(folder.path(), &arguments);
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["views"], 6);
    assert!((json["fx_px"].as_f64().unwrap() - 536.0).abs() < 15.0, "{json}");
    for key in ["rms_px", "fy_px", "cx_px", "cy_px"] {
        assert!(json[key].is_f64(), "{key}");
    }
    let keys: toml::Table =
        std::fs::read_to_string(folder.path().join("lens.toml")).unwrap().parse().unwrap();
    assert_eq!(keys["lens"]["distortion"].as_array().unwrap().len(), 5);
    assert_eq!(keys["lens"]["fx"].as_float(), json["fx_px"].as_f64());
}

#[test]
fn help_teaches_by_example_and_completions_are_made() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (vec!["--help"], "calibrate pose --points points.csv"),
        (vec!["pose", "--help"], "x_px,y_px,x_m,y_m,name"),
        (vec!["lens", "--help"], "glue it to something flat"),
        (vec!["completions", "bash"], "_calibrate()"),
        (vec!["completions", "fish"], "complete -c calibrate"),
    ] {
        let done = calibrate(folder.path(), &arguments);
        assert!(done.status.success() && text(&done.stdout).contains(part), "{arguments:?}");
    }
    assert_eq!(calibrate(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn lens_names_the_board_that_it_sees_instead() {
    let data = "/usr/share/doc/opencv-doc/examples/data";
    if !Path::new(data).join("left01.jpg").exists() {
        println!("skipped: {data} holds no left01.jpg (Debian package opencv-doc)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = format!("{data}/left01.jpg");
    let done = calibrate(folder.path(), &["lens", "--board", "10x7", &image, "--out", "lens.toml"]);
    let message = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{message}");
    assert!(message.contains("9x6 inner corners, not 10x7; give --board 9x6"), "{message}");
    assert!(!folder.path().join("lens.toml").exists());
}
