//! The installed models, whole: pixels in, boxes out.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they may fail and say that they skip"
)]

use std::path::Path;

use linefree_domain::geometry::PixelBox;
use linefree_domain::tracking::Detection;
use linefree_models::{
    ColourOrder, DEFAULT_HANDLING_MODEL, DetectorOptions, FrameView, Home, InputSize, PersonDetector, Thing,
};

/// A detector, or why there is none.
fn detector(name: &str, options: &DetectorOptions) -> Option<PersonDetector> {
    let home = Home::find(Path::new(env!("CARGO_MANIFEST_DIR")));
    let model = home.models_dir().join(format!("{name}.onnx"));
    for path in [home.library(), model] {
        if !path.is_file() {
            eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", path.display());
            return None;
        }
    }
    let (runtime, registry) = home.open().unwrap();
    Some(registry.person_detector(&runtime, name, options).unwrap())
}

/// The picture of convert/synthetic.py, which see.
fn synthetic_picture(width: i64, height: i64) -> Vec<u8> {
    const FIGURES: [[i64; 3]; 4] = [[90, 60, 260], [300, 150, 180], [210, 20, 120], [410, 90, 300]];
    let mut out = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let ground = 110 + 12 * c + x * 40 / width - y * 30 / height;
                let mut value = ground + (x * 7919 + y * 104_729 + x * y * 31 + c * 17) % 23 - 11;
                for (n, [left, top, tall]) in (0..).zip(FIGURES) {
                    let h = tall * height / 512;
                    let u = (x - left * width / 512) * 1000;
                    let v = (y - top * height / 512) * 1000;
                    let (u, v) = (u.div_euclid((h * 2 / 5).max(1)), v.div_euclid(h.max(1)));
                    if (u - 500).pow(2) * 4 + (v - 85).pow(2) * 25 < 150_000 {
                        value = 205 - 30 * c;
                    }
                    if (160..540).contains(&v) && (180..820).contains(&u) {
                        value = (60 + 50 * n + 70 * c) % 200;
                    }
                    if (540..1000).contains(&v) && ((230..470).contains(&u) || (530..770).contains(&u)) {
                        value = 35 + 15 * c + 5 * n;
                    }
                }
                out.push(value.clamp(0, 255) as u8);
            }
        }
    }
    out
}

/// `convert/reference.json` was made by TensorFlow.js from the published graph: neither the converter nor anything
/// here had a part in it. Its strongest cell must be our strongest box.
#[test]
fn centernet_agrees_with_tensorflow_js() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("convert/reference.json");
    let reference: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(reference).unwrap()).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let (width, height) =
            (case["width"].as_u64().unwrap() as u32, case["height"].as_u64().unwrap() as u32);
        let options = DetectorOptions {
            input: InputSize::Exact { width_px: width, height_px: height },
            score_min: Some(0.02),
            ..DetectorOptions::default()
        };
        let Some(mut detector) = detector("person-centernet", &options) else { return };
        let mut pixels = synthetic_picture(i64::from(width), i64::from(height));
        for (order, name) in [(ColourOrder::Rgb, "RGB"), (ColourOrder::Bgr, "BGR")] {
            if order == ColourOrder::Bgr {
                pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|p| p.swap(0, 2));
            }
            let frame = FrameView::new(&pixels, width, height, width as usize * 3, order).unwrap();
            let found = detector.detect(&frame).unwrap()[0];

            let samples = case["samples"].as_array().unwrap();
            let number = |v: &serde_json::Value| v.as_f64().unwrap();
            let strongest =
                samples.iter().max_by(|a, b| number(&a["logit"]).total_cmp(&number(&b["logit"]))).unwrap();
            let score = 1.0 / (1.0 + (-number(&strongest["logit"])).exp());
            assert!((found.score - score).abs() < 1e-4, "{width} {name}: {found:?}, expected {score}");
            let (x, y) = (4.0 * number(&strongest["x"]), 4.0 * number(&strongest["y"]));
            let side = |n: usize| number(&strongest["size"][n]);
            let expected = [
                (x - side(0)).max(0.0),
                (y - side(1)).max(0.0),
                (x + side(2)).min(f64::from(width)),
                (y + side(3)).min(f64::from(height)),
            ];
            let b = found.bbox;
            for (found, expected) in [b.x, b.y, b.x + b.w, b.y + b.h].iter().zip(expected) {
                assert!((found - expected).abs() < 0.02, "{width} {name}: {b:?}, expected {expected}");
            }
        }
    }
}

/// Where the two stand, read off the photograph by eye.
const PLAYERS: [PixelBox; 2] =
    [PixelBox { x: 38.0, y: 80.0, w: 127.0, h: 400.0 }, PixelBox { x: 435.0, y: 23.0, w: 203.0, h: 457.0 }];

/// Every model, on a photograph of two basketball players that Debian's opencv-doc brings.
#[test]
fn every_model_finds_the_two_players() {
    let photo = Path::new("/usr/share/doc/opencv-doc/examples/data/basketball1.png");
    if !photo.is_file() {
        eprintln!("skipped: {} is absent; Debian's package opencv-doc brings it", photo.display());
        return;
    }
    let picture = image::open(photo).unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    let frame =
        FrameView::new(picture.as_raw(), width, height, width as usize * 3, ColourOrder::Rgb).unwrap();
    for name in ["person-centernet", "person-yolox-nano", "person-nanodet-320"] {
        let Some(mut detector) = detector(name, &DetectorOptions::default()) else { continue };
        let first: Vec<Detection> = detector.detect(&frame).unwrap().to_vec();
        let again = detector.detect(&frame).unwrap();
        assert_eq!(first, again, "{name}: the same frame, the same boxes");
        for player in PLAYERS {
            let covered = first.iter().any(|d| d.score > 0.4 && d.bbox.iou(&player) > 0.6);
            assert!(covered, "{name}: no box like {player:?} among {first:?}");
        }
        for d in &first {
            let b = d.bbox;
            assert!(b.is_valid() && b.x >= 0.0 && b.y >= 0.0, "{b:?}");
            assert!(b.x + b.w <= f64::from(width) + 1e-9 && b.y + b.h <= f64::from(height) + 1e-9, "{b:?}");
            assert!(d.score >= f64::from(detector.score_min()) && d.score <= 1.0);
        }
        let timings = detector.timings();
        assert!(timings.run > timings.postprocess && timings.total() >= timings.run);
    }
}

/// Three drawn packages on a board: what the generator of the training scenes never drew, but like it.
fn packages() -> (Vec<u8>, [PixelBox; 3]) {
    let boxes = [30.0, 110.0, 190.0].map(|x| PixelBox { x, y: 70.0, w: 56.0, h: 104.0 });
    let colours = [[190, 40, 50], [40, 90, 180], [235, 205, 70]];
    let mut pixels = Vec::new();
    for y in 0..256 {
        for x in 0..288 {
            let (fx, fy) = (f64::from(x), f64::from(y));
            let hit =
                boxes.iter().position(|b| (b.x..b.x + b.w).contains(&fx) && (b.y..b.y + b.h).contains(&fy));
            let pixel = match hit {
                Some(n) if (110..140).contains(&y) => [240 - 20 * n as i32; 3],
                Some(n) => colours[n],
                None if (174..186).contains(&y) => [95, 95, 100],
                None => [165 + x / 16, 165 + x / 16, 160 + y / 20],
            };
            pixels.extend(pixel.map(|v| v as u8));
        }
    }
    (pixels, boxes)
}

#[test]
fn products_are_found_whatever_they_are() {
    let home = Home::find(Path::new(env!("CARGO_MANIFEST_DIR")));
    if !home.library().is_file() {
        eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", home.library().display());
        return;
    }
    let (runtime, registry) = home.open().unwrap();
    let options = DetectorOptions::default();
    let mut detector = registry.product_detector(&runtime, DEFAULT_HANDLING_MODEL, &options).unwrap();
    let (pixels, boxes) = packages();
    let frame = FrameView::new(&pixels, 288, 256, 288 * 3, ColourOrder::Rgb).unwrap();
    let found = detector.detect(&frame).unwrap().to_vec();
    for b in boxes {
        let covered = found.iter().any(|f| f.thing == Thing::Product && f.bbox.iou(&b) > 0.6);
        assert!(covered, "no box like {b:?} among {found:?}");
    }
    assert!(found.iter().all(|f| f.thing == Thing::Product), "there is no hand: {found:?}");
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    assert_eq!(detector.detect(&frame).unwrap(), found, "the same picture, the same boxes");

    let refused = registry.product_detector(&runtime, "product-embedding", &options).unwrap_err().to_string();
    assert!(refused.contains("is for recognising products, not for products and hands"), "{refused}");
    let refused =
        registry.person_detector(&runtime, DEFAULT_HANDLING_MODEL, &options).unwrap_err().to_string();
    assert!(refused.contains("is for products and hands, not for people"), "{refused}");
}
