//! Two products of one weight on one plate: only a picture tells which was taken. Drawn frames through the real models.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they may fail and say that they skip"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use edge_agent::replay::{Replayed, replay};
use image::imageops::{overlay, resize};
use image::{Rgb, RgbImage};
use linefree_domain::ids::Sku;
use linefree_models::{
    ColourOrder, DEFAULT_PERSON_MODEL, DEFAULT_PRODUCT_MODEL, FrameView, Gallery, Home, Provider,
};
use linefree_recording::StoreFile;
use nalgebra::{Point2, Vector3};

const STORE: &str = r#"format = 1
[store]
id = "corner"
name = "Corner shop"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0.0, 0.0], [6.0, 0.0], [6.0, 4.0], [0.0, 4.0]]
[[gate]]
id = "door"
kind = "both"
segment = [[0.0, 1.0], [0.0, 2.0]]
[[camera]]
id = "above"
size_px = [600, 400]
homography = [0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]
[[camera]]
id = "shelf"
size_px = [480, 320]
lens = { fx = 420.0, fy = 420.0, cx = 240.0, cy = 160.0, distortion = [0.0, 0.0, 0.0, 0.0, 0.0] }
pose = { rotation = [1.5707963267948966, 0.0, 0.0], translation = [-1.2, 1.15, -2.6] }
[[gondola]]
id = "1"
origin = [1.0, 4.0, 0.0]
yaw_deg = 0.0
[[gondola.shelf]]
id = "1"
height_m = 1.0
plates = [{ id = "1", offset = [0.0, 0.0], size = [0.4, 0.4] }]
[[product]]
sku = "mate"
name = "Mate"
price = 449
weight_g = 250.0
[[product]]
sku = "tea"
name = "Tea"
price = 349
weight_g = 250.0
[[facing]]
sku = "mate"
plates = ["1/1/1"]
[[facing]]
sku = "tea"
plates = ["1/1/1"]
"#;

const VISION: &str = "[vision]\ngallery = \"gallery\"\n";
const MANIFEST: &str = r#"format = 1
start = 2026-03-01T10:00:00Z
duration_s = 22.0
[[camera]]
id = "shelf"
file = "cameras/shelf"
offset_s = 0.0
"#;
const GATES: &str = r#"{"t": 1.0, "gate": "door", "event": "entry", "credential": "ada"}
{"t": 18.0, "gate": "door", "event": "exit"}
"#;
/// When something is taken, seconds.
const TAKEN_S: f64 = 8.0;

/// A drawn package, a little other light each time.
fn package(sku: &str, light: u8) -> RgbImage {
    RgbImage::from_fn(120, 160, |x, y| {
        let (first, base) = match sku {
            "tea" => ((y / 20) % 2 == 0, [200, 30, 40]),
            _ => ((x.abs_diff(60).pow(2) + y.abs_diff(80).pow(2)) < 2000, [30, 90, 190]),
        };
        Rgb((if first { base } else { [232, 226, 205] }).map(|v: u8| v.saturating_sub(light)))
    })
}

fn place(frame: &mut RgbImage, picture: &RgbImage, foot: Point2<f64>, height_px: f64) {
    let (w, h) = ((height_px * 0.75) as u32, height_px as u32);
    let small = resize(picture, w, h, image::imageops::FilterType::Triangle);
    overlay(frame, &small, (foot.x - f64::from(w) / 2.0) as i64, (foot.y - f64::from(h)) as i64);
}

fn disc(frame: &mut RgbImage, at: (f64, f64), radius: f64, colour: [u8; 3]) {
    for (x, y, pixel) in frame.enumerate_pixels_mut() {
        if (f64::from(x) - at.0).hypot(f64::from(y) - at.1) < radius {
            *pixel = Rgb(colour);
        }
    }
}

/// What the camera sees: both products until one is taken, and the hand that takes it.
fn frame(store: &StoreFile, taken: &str, t_s: f64) -> RgbImage {
    let mut frame = RgbImage::from_fn(480, 320, |x, y| {
        let shade = 150 + (x / 16) as u8 + (y / 20) as u8;
        Rgb([shade, shade, shade.saturating_sub(8)])
    });
    let camera = &store.layout.cameras[1];
    let centre = store.layout.plates[0].centre;
    let at = |dx: f64, dz: f64| camera.view.pixel_of(centre + Vector3::new(dx, 0.0, dz)).unwrap();
    let board = at(0.0, 0.0).y as u32;
    for y in board..(board + 12).min(320) {
        for x in 0..480 {
            frame.put_pixel(x, y, Rgb([70, 72, 76]));
        }
    }
    let height_px = at(0.0, 0.0).y - at(0.0, 0.22).y;
    for (sku, dx) in [("mate", -0.13), ("tea", 0.13)] {
        let moved = if sku == taken { (t_s - TAKEN_S + 0.4).max(0.0) } else { 0.0 };
        if moved > 1.2 {
            continue;
        }
        // Drawn out to the front and down.
        let foot = at(dx, -0.25 * moved);
        let grown = height_px * (1.0 + 0.3 * moved);
        place(&mut frame, &package(sku, 10), foot, grown);
        if moved > 0.0 {
            let skin = [214, 160, 130];
            for i in 0..30 {
                let down = f64::from(i) * 6.0;
                disc(&mut frame, (foot.x + 8.0 + down * 0.4, foot.y + 14.0 + down), 16.0, skin);
            }
            for finger in -1..=1 {
                disc(&mut frame, (foot.x + f64::from(finger) * 13.0, foot.y - 4.0), 8.0, skin);
            }
        }
    }
    frame
}

fn write(dir: &Path, taken: &str, vision: bool) {
    let text = if vision { format!("{STORE}{VISION}") } else { STORE.to_owned() };
    let corners = [(1.0, 0.1, 1.5), (6.0, 1.2, 3.6), (11.0, 1.2, 3.6), (18.0, 0.1, 1.5)];
    let (mut people, mut weights) = (String::new(), String::from("t,1/1/1\n"));
    for i in 0..220 {
        let t = f64::from(i) / 10.0;
        if let Some([a, b]) = corners.windows(2).find(|l| (l[0].0..=l[1].0).contains(&t)) {
            let u = (t - a.0) / (b.0 - a.0);
            let (x, y) = (a.1 + u * (b.1 - a.1), a.2 + u * (b.2 - a.2));
            writeln!(
                people,
                r#"{{"t": {t:.2}, "camera": "above", "people": [{{"foot": [{x:.3}, {y:.3}], "cov": [0.02, 0.0, 0.02], "score": 0.9}}]}}"#
            )
            .unwrap();
        }
        let wobble = f64::from((i * 7919) % 11 - 5) * 0.12;
        writeln!(weights, "{t:.2},{:.1}", if t < TAKEN_S { 1_500.0 } else { 1_250.0 } + wobble).unwrap();
    }
    for (name, text) in [
        ("store.toml", &text[..]),
        ("recording.toml", MANIFEST),
        ("gate.jsonl", GATES),
        ("people.jsonl", &people),
        ("weights.csv", &weights),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let store = StoreFile::read(dir.join("store.toml")).unwrap();
    let frames = dir.join("cameras/shelf");
    std::fs::create_dir_all(&frames).unwrap();
    let moving = (TAKEN_S - 0.6)..(TAKEN_S + 1.4);
    let mut drawn: Option<PathBuf> = None;
    for i in 0..200 {
        let path = frames.join(format!("{i:04}.png"));
        let t = f64::from(i) / 10.0;
        // A still scene is drawn once.
        match drawn.take().filter(|_| !moving.contains(&t)) {
            Some(before) => {
                std::fs::copy(&before, &path).unwrap();
            }
            None => frame(&store, taken, t).save(&path).unwrap(),
        }
        drawn = Some(path);
    }
}

/// Enrols both products, where ONNX Runtime and the person model are installed.
fn enrol(dir: &Path) -> Option<()> {
    let home = Home::find(Path::new(env!("CARGO_MANIFEST_DIR")));
    for path in [home.library(), home.models_dir().join(format!("{DEFAULT_PERSON_MODEL}.onnx"))] {
        if !path.is_file() {
            eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", path.display());
            return None;
        }
    }
    let (runtime, registry) = home.open().unwrap();
    let mut embedder = registry.product_embedder(&runtime, DEFAULT_PRODUCT_MODEL, 1, Provider::Cpu).unwrap();
    let mut gallery = Gallery::new(embedder.model(), embedder.digest(), embedder.length());
    for sku in ["mate", "tea"] {
        for light in [0, 25, 50] {
            let picture = package(sku, light);
            let view = FrameView::new(picture.as_raw(), 120, 160, 360, ColourOrder::Rgb).unwrap();
            gallery.enrol(&Sku::new(sku).unwrap(), embedder.embed(&view).unwrap());
        }
    }
    gallery.write(&dir.join("gallery")).unwrap();
    Some(())
}

fn replayed(taken: &str, vision: bool) -> Option<Replayed> {
    let dir = tempfile::tempdir().unwrap();
    enrol(dir.path())?;
    write(dir.path(), taken, vision);
    Some(replay(dir.path(), false, None).unwrap())
}

#[test]
fn of_two_products_of_one_weight_the_one_that_was_seen_is_believed() {
    let mut guesses = Vec::new();
    for taken in ["mate", "tea"] {
        let Some(seen) = replayed(taken, true) else { return };
        let c = &seen.report.counters;
        assert_eq!((c["looks_asked"], c["looks_told"], c["product_views"], c["late_inputs"]), (1, 1, 1, 0));
        let odds = |replayed: &Replayed, sku: &str| {
            let lines = &replayed.receipts.receipts[0].lines;
            lines.iter().find(|l| l.sku.as_str() == sku).map_or(0.0, |l| l.probability.unwrap())
        };
        assert!(odds(&seen, taken) > 0.8, "{taken}: {}", seen.receipts.to_json());

        let unseen = replayed(taken, false).unwrap();
        assert_eq!(unseen.report.counters["looks_asked"], 0);
        assert!(odds(&unseen, taken) < 0.6, "{taken}: {}", unseen.receipts.to_json());
        guesses.push(unseen.receipts.to_json());
    }
    assert_eq!(guesses[0], guesses[1], "weights alone cannot tell them apart");
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let Some(first) = replayed("tea", true) else { return };
    assert_eq!(first.receipts.to_json(), replayed("tea", true).unwrap().receipts.to_json());
}

#[test]
fn a_gallery_that_is_not_there_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    if enrol(dir.path()).is_none() {
        return;
    }
    std::fs::remove_dir_all(dir.path().join("gallery")).unwrap();
    write(dir.path(), "tea", true);
    let said = format!("{:#}", replay(dir.path(), false, None).unwrap_err());
    assert!(said.contains("gallery: there is none") && said.contains("edge-agent enrol"), "{said}");
}
