//! `enrol`, `recognise`, `detect --json` and `models`, as a shop's staff run them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they may fail and say that they skip"
)]

use std::path::Path;
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use linefree_domain::geometry::PixelBox;
use linefree_models::Home;

/// Whether ONNX Runtime is installed.
fn ready() -> bool {
    let library = Home::find(Path::new(env!("CARGO_MANIFEST_DIR"))).library();
    if !library.is_file() {
        eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", library.display());
    }
    library.is_file()
}

fn agent(arguments: &[&str]) -> Output {
    let home = Home::find(Path::new(env!("CARGO_MANIFEST_DIR")));
    let mut agent = Command::new(env!("CARGO_BIN_EXE_edge-agent"));
    agent.args(arguments).env("LINEFREE_HOME", home.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A drawn package: stripes of two colours, one of three patterns, a little other light each time.
fn package(kind: u32, light: u8) -> RgbImage {
    RgbImage::from_fn(120, 160, |x, y| {
        let first = match kind {
            0 => (y / 20) % 2 == 0,
            1 => (x / 15 + y / 15) % 2 == 0,
            _ => (x.abs_diff(60).pow(2) + y.abs_diff(80).pow(2)) < 2000,
        };
        let base = [[200, 30, 40], [30, 90, 190], [240, 210, 60]][kind as usize % 3];
        let pixel = if first { base } else { [230, 230, 225] };
        Rgb(pixel.map(|v: u8| v.saturating_sub(light)))
    })
}

#[test]
fn a_product_is_known_as_soon_as_it_is_enrolled() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let gallery = at("shop");
    for kind in 0..3 {
        for light in [0, 20, 40] {
            package(kind, light).save(at(&format!("{kind}-{light}.png"))).unwrap();
        }
        let sku = format!("0000000000{kind}");
        let files = [at(&format!("{kind}-0.png")), at(&format!("{kind}-40.png"))];
        let done = agent(&["enrol", "--gallery", &gallery, "--sku", &sku, &files[0], &files[1]]);
        assert!(done.status.success(), "{}", said(&done));
    }
    let asked: Vec<String> = (0..3).map(|kind| at(&format!("{kind}-20.png"))).collect();
    let done = agent(&["recognise", "--gallery", &gallery, &asked[0], &asked[1], &asked[2]]);
    assert!(done.status.success(), "{}", said(&done));
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text.lines().count(), 3);
    for (kind, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["image"], asked[kind].as_str());
        assert_eq!(line["candidates"][0]["sku"], format!("0000000000{kind}"), "{line}");
        let shares = line["candidates"].as_array().unwrap().iter().map(|c| c["p"].as_f64().unwrap());
        let sum = shares.sum::<f64>() + line["unknown"].as_f64().unwrap();
        assert!((sum - 1.0).abs() < 1e-4, "{line}");
    }
    let few = ["--among", "00000000001,00000000002", "--view", "1/5", "--at", "12.5"];
    let done = agent(&[&["recognise", "--gallery", &gallery], &few[..], &[&asked[1]]].concat());
    let view: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((view["t"].as_f64(), view["place"].as_str()), (Some(12.5), Some("1/5")));
    let likelihood = view["likelihood"].as_object().unwrap();
    assert_eq!(likelihood.len(), 2);
    assert!(likelihood["00000000001"].as_f64() > likelihood["00000000002"].as_f64());

    // One bad picture: the others are answered, and enrolment changes nothing.
    std::fs::write(at("bad.jpg"), "no picture").unwrap();
    let done = agent(&["recognise", "--gallery", &gallery, &at("bad.jpg"), &asked[0]]);
    assert!(!done.status.success() && said(&done).contains("bad.jpg"));
    assert_eq!(String::from_utf8(done.stdout).unwrap().lines().count(), 1);
    let before = std::fs::read(folder.path().join("shop/gallery.lfg")).unwrap();
    let done = agent(&["enrol", "--gallery", &gallery, "--sku", "9", &asked[0], &at("bad.jpg")]);
    assert!(!done.status.success());
    assert_eq!(std::fs::read(folder.path().join("shop/gallery.lfg")).unwrap(), before);

    let other = String::from_utf8_lossy(&before).contains("product-embedding");
    assert!(other, "the gallery names its model");
    let start = before.windows(10).position(|w| w == b"\"digest\":\"").unwrap() + 10;
    let mut foreign = before;
    foreign[start] = if foreign[start] == b'0' { b'1' } else { b'0' };
    std::fs::write(folder.path().join("shop/gallery.lfg"), foreign).unwrap();
    let done = agent(&["recognise", "--gallery", &gallery, &asked[0]]);
    assert!(said(&done).contains("embeddings of different models do not compare"), "{}", said(&done));
}

#[test]
fn products_are_found_in_pictures() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut picture = RgbImage::from_pixel(320, 256, Rgb([170, 168, 160]));
    for (kind, x) in [(0, 30), (2, 180)] {
        image::imageops::overlay(&mut picture, &package(kind, 0), x, 50);
    }
    picture.save(at("shelf.png")).unwrap();
    let done = agent(&["detect", &at("shelf.png"), "--model", "product-hand", "--json"]);
    assert!(done.status.success(), "{}", said(&done));
    let line: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(line["image"], at("shelf.png"));
    let boxes = line["boxes"].as_array().unwrap();
    for left in [30.0, 180.0] {
        let near = |b: &serde_json::Value| {
            let side = |key: &str| b[key].as_f64().unwrap();
            let found = PixelBox { x: side("x"), y: side("y"), w: side("w"), h: side("h") };
            b["class"] == "product" && found.iou(&PixelBox { x: left, y: 50.0, w: 120.0, h: 160.0 }) > 0.5
        };
        assert!(boxes.iter().any(near), "nothing at {left}: {line}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().to_str().unwrap();
    for (arguments, what) in [
        (&["enrol", "--gallery", gallery, "--sku", "", "a.jpg"][..], "an id must not be empty"),
        (&["enrol", "--gallery", gallery, "--sku", "1"], "IMAGES"),
        (
            &["enrol", "--gallery", gallery, "--sku", "1", "--model", "person-centernet", "a.jpg"],
            "is for people",
        ),
        (&["enrol", "--gallery", gallery, "--sku", "1", "--provider", "tpu", "a.jpg"], "there is no such"),
        (&["detect", "a.jpg"], "--out"),
        (&["models", "verify", "nothing"], "no model is called \"nothing\""),
    ] {
        let done = agent(arguments);
        assert!(!done.status.success() && said(&done).contains(what), "{what}: {}", said(&done));
    }
}
