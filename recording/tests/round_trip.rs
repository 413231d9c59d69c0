//! What is written reads back the same, and equal input gives equal bytes.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use linefree_domain::floor::Person;
use linefree_domain::geometry::PixelBox;
use linefree_domain::ids::{
    CameraId, CameraIndex, Credential, GateIndex, PlateIndex, ProductIndex, Sku, TrackId,
};
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::Detection;
use linefree_recording::{
    CameraFile, GateEvent, GateLine, PeopleLine, Receipt, ReceiptLine, Receipts, RecordedPerson, Recording,
    RecordingWriter, StoreFile, ViewLine, store_toml,
};
use nalgebra::{Matrix2, Point2, Point3};
use proptest::prelude::*;

const START: StoreTime = StoreTime::from_micros(1_769_639_040_000_000);

/// A store of one gondola, turned by an angle.
fn store(yaw_deg: f64, plates: &[(f64, f64)], prices: &[i64]) -> String {
    let mut text = format!(
        "format = 1\n[store]\nid = \"s\"\nname = \"The \\\"Shop\\\"\"\ntimezone = \"UTC\"\ncurrency = \"EUR\"\n\
         floor = [[0, 0], [6.5, 0], [6, 4], [0, 4]]\n\
         [[gate]]\nid = \"door\"\nkind = \"both\"\nsegment = [[2.0, 0.0], [3.0, 0.0]]\n\
         [[camera]]\nid = \"cam1\"\nsize_px = [640, 360]\n\
         lens = {{ fx = 500.0, fy = 501.5, cx = 320.0, cy = 180.0, distortion = [-0.1, 0.01, 0, 0, 0] }}\n\
         pose = {{ rotation = [2.0, 0.1, 0.0], translation = [0.5, 1.0, 3.0] }}\n\
         [[camera]]\nid = \"cam2\"\nsize_px = [10, 20]\nhomography = [0.01, 0, 1, 0.5, 0.01, 2, 0, 0.001, 1]\n\
         [[gondola]]\nid = \"g\"\norigin = [1.5, 2.25, 0.0]\nyaw_deg = {yaw_deg:?}\n\
         [[gondola.shelf]]\nid = \"1\"\nheight_m = 1.1\nplates = [\n"
    );
    for (i, (x, width)) in plates.iter().enumerate() {
        text += &format!("{{ id = \"{i}\", offset = [{x:?}, 0.01], size = [{width:?}, 0.4] }},\n");
    }
    text += "]\n";
    for (i, price) in prices.iter().enumerate() {
        text += &format!(
            "[[product]]\nsku = \"p/{i}\"\nname = \"P {i}\"\nprice = {price}\nweight_g = {}\n\
             [[facing]]\nsku = \"p/{i}\"\nplates = [\"g/1/{}\"]\n",
            100 + i,
            i % plates.len()
        );
    }
    text
}

fn millimetres() -> impl Strategy<Value = f64> {
    (0..3000_i32).prop_map(|mm| f64::from(mm) / 1000.0)
}

fn person() -> impl Strategy<Value = RecordedPerson> {
    let number = -50.0..50.0_f64;
    let boxed = (number.clone(), number.clone(), 1.0..300.0_f64, 1.0..300.0_f64, 0.0..=1.0_f64).prop_map(
        |(x, y, w, h, score)| RecordedPerson::Box(Detection { bbox: PixelBox { x, y, w, h }, score }),
    );
    let hands = prop::collection::vec((number.clone(), number.clone(), 0.0..2.0_f64), 0..3);
    let floor = (
        (number.clone(), number),
        (0.001..1.0_f64, -0.9..0.9_f64, 0.001..1.0_f64),
        0.0..=1.0_f64,
        prop::option::of(0.5..2.2_f64),
        hands,
        0.01..0.5_f64,
        prop::option::of(any::<u32>()),
    )
        .prop_map(|((x, y), (xx, rho, yy), score, height_m, hands, sd, track)| {
            let xy = rho * (xx * yy).sqrt();
            let hands: Vec<_> = hands.into_iter().map(|(x, y, z)| Point3::new(x, y, z)).collect();
            RecordedPerson::Floor(Person {
                foot: Point2::new(x, y),
                cov_m2: Matrix2::new(xx, xy, xy, yy),
                score,
                height_m,
                hand_sd_m: if hands.is_empty() { linefree_recording::DEFAULT_HAND_SD_M } else { sd },
                hands,
                track: track.map(TrackId),
                tracklet: None,
            })
        });
    prop_oneof![boxed, floor]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layout_survives_its_text(
        yaw in -720.0..720.0_f64,
        plates in prop::collection::vec((millimetres(), (1..900_i32).prop_map(|mm| f64::from(mm) / 1000.0)), 1..6),
        prices in prop::collection::vec(0..100_000_i64, 0..6),
    ) {
        let first = StoreFile::parse(Path::new("a"), &store(yaw, &plates, &prices)).unwrap().layout;
        let text = store_toml(&first);
        let second = StoreFile::parse(Path::new("b"), &text).map_err(|m| TestCaseError::fail(m.to_string()))?.layout;
        prop_assert_eq!(store_toml(&second), text, "the text is not stable");
        for (a, b) in first.plates.iter().zip(&second.plates) {
            prop_assert!((a.centre - b.centre).norm() < 1e-9);
        }
        prop_assert_eq!(&first.products, &second.products);
        prop_assert_eq!(&first.facings, &second.facings);
        prop_assert_eq!(&first.gates, &second.gates);
        prop_assert_eq!(&first.cameras, &second.cameras);
        prop_assert_eq!(&first.gondolas, &second.gondolas);
    }

    #[test]
    fn every_stream_survives_its_file(
        rows in prop::collection::vec(
            (0..5_000_000_i64, prop::collection::vec(prop::option::of(prop_oneof![Just(f64::NAN), -1e6..1e6_f64]), 3)),
            0..20,
        ),
        people in prop::collection::vec((0..5_000_000_i64, any::<bool>(), prop::collection::vec(person(), 0..4)), 0..12),
        gates in prop::collection::vec((0..5_000_000_i64, any::<bool>(), "[a-z+/ ]{0,5}[a-z]", 1..5_u32), 0..12),
        views in prop::collection::vec((0..5_000_000_i64, 0.0..1.0_f64), 0..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let text = store(0.0, &[(0.0, 0.1), (0.1, 0.1), (0.2, 0.1)], &[100]);
        let store = StoreFile::parse(Path::new("s"), &text).unwrap();
        let mut writer = RecordingWriter::create(dir.path(), &store, START).unwrap();
        let at = |us: i64| StoreTime::from_micros(START.micros + us);

        let mut t = 0;
        let mut samples = Vec::new();
        for (step, weights) in rows {
            t += step;
            let of = |(i, w): (usize, Option<f64>)| w.map(|w| (PlateIndex(i), w));
            samples.push(WeightSample { time: at(t), weights_g: weights.into_iter().enumerate().filter_map(of).collect() });
        }
        let mut t = 0;
        let mut lines = Vec::new();
        for (step, second, people) in people {
            t += step;
            let index = usize::from(second);
            let camera = CameraId::new(["cam1", "cam2"][index]).unwrap();
            lines.push(PeopleLine { time: at(t), camera, index: Some(CameraIndex(index)), people });
        }
        let mut passages: Vec<GateLine> = gates.into_iter().map(|(t, entry, name, party)| GateLine {
            time: at(t),
            gate: GateIndex(0),
            event: if entry { GateEvent::Entry } else { GateEvent::Exit },
            credential: entry.then(|| Credential::new(name).unwrap()),
            party,
        }).collect();
        let mut seen: Vec<ViewLine> = views.into_iter().map(|(t, p)| ViewLine {
            time: at(t), place: "g/1".into(), likelihood: vec![(ProductIndex(0), p)],
        }).collect();

        for s in &samples { writer.weights(s).unwrap(); }
        for l in &lines { writer.people(l).unwrap(); }
        for g in &passages { writer.gate(g).unwrap(); }
        for v in &seen { writer.view(v).unwrap(); }
        let video = CameraFile { camera: CameraIndex(1), file: "cameras/a \"b\".avi".into(), offset_s: 0.25 };
        writer.finish(61.5, vec![video.clone()]).unwrap();

        let r = Recording::open(dir.path()).map_err(|m| TestCaseError::fail(m.to_string()))?;
        prop_assert_eq!(r.manifest.start, START);
        prop_assert_eq!(&r.manifest.cameras, &vec![video]);
        let read: Vec<WeightSample> = r.weights().unwrap().into_iter().flatten().map(Result::unwrap).collect();
        // NaN is not equal to itself; its text is.
        prop_assert_eq!(format!("{read:?}"), format!("{samples:?}"));
        let read: Vec<PeopleLine> = r.people().unwrap().into_iter().flatten().map(Result::unwrap).collect();
        prop_assert_eq!(read, lines);
        passages.sort_by_key(|g| g.time);
        prop_assert_eq!(r.gates().unwrap(), passages);
        seen.sort_by_key(|v| v.time);
        prop_assert_eq!(r.views().unwrap(), seen);
    }

    #[test]
    fn receipts_have_one_text(
        receipts in prop::collection::vec(
            (prop::option::of("[a-c]{1,2}"), prop::collection::btree_map("[0-9]{1,3}", (1..9_u32, 0.0..=1.0_f64), 0..4)),
            0..6,
        ),
        turn in 0..6_usize,
    ) {
        let make = |(credential, lines): &(Option<String>, std::collections::BTreeMap<String, (u32, f64)>)| Receipt {
            credential: credential.as_ref().map(|c| Credential::new(c).unwrap()),
            lines: lines.iter().rev().map(|(sku, (quantity, p))| ReceiptLine {
                sku: Sku::new(sku).unwrap(), quantity: *quantity, probability: Some(*p), review: Some(*p < 0.5),
            }).collect(),
        };
        let mut all = Receipts { receipts: receipts.iter().map(make).collect() };
        // Receipts that differ in nothing but probability have no order of their own.
        all.receipts.dedup_by(|a, b| a.credential == b.credential);
        let text = all.to_json();
        let read = Receipts::parse(Path::new("r"), &text).map_err(|m| TestCaseError::fail(m.to_string()))?;
        prop_assert_eq!(&read, &all.canonical());
        prop_assert_eq!(read.to_json(), text.clone());
        let keys: Vec<_> = all.receipts.iter().map(|r| r.credential.clone()).collect();
        let distinct: std::collections::BTreeSet<_> = keys.iter().cloned().collect();
        if distinct.len() == keys.len() && !keys.is_empty() {
            let by = turn % keys.len();
            all.receipts.rotate_left(by);
            prop_assert_eq!(all.to_json(), text);
        }
    }
}

#[test]
fn a_receipt_file_looks_like_this() {
    let line = |sku: &str, p: f64| ReceiptLine {
        sku: Sku::new(sku).unwrap(),
        quantity: 1,
        probability: Some(p),
        review: Some(false),
    };
    let receipts = Receipts {
        receipts: vec![
            Receipt { credential: None, lines: vec![] },
            Receipt {
                credential: Some(Credential::new("c1").unwrap()),
                lines: vec![line("2", 1.0), line("1", 0.98765)],
            },
        ],
    };
    let wanted = r#"{
  "receipts": [
    {
      "credential": "c1",
      "lines": [
        {
          "sku": "1",
          "quantity": 1,
          "probability": 0.9877,
          "review": false
        },
        {
          "sku": "2",
          "quantity": 1,
          "probability": 1.0,
          "review": false
        }
      ]
    },
    {
      "credential": null,
      "lines": []
    }
  ]
}
"#;
    assert_eq!(receipts.to_json(), wanted);
}
