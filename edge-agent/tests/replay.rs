//! The replay command on small recordings written here: right receipts, the same bytes, clear mistakes.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use edge_agent::replay::replay;

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
id = "cam1"
size_px = [600, 400]
homography = [0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]
[[gondola]]
id = "1"
origin = [1.0, 4.0, 0.0]
yaw_deg = 0.0
[[gondola.shelf]]
id = "1"
height_m = 1.0
plates = [{ id = "1", offset = [0.0, 0.0], size = [0.4, 0.4] }, { id = "2", offset = [2.5, 0.0], size = [0.4, 0.4] }]
[[product]]
sku = "tea"
name = "Tea"
price = 349
weight_g = 250.0
[[product]]
sku = "rice"
name = "Rice"
price = 199
weight_g = { mean = 1000.0, sd = 4.0 }
[[facing]]
sku = "tea"
plates = ["1/1/1"]
count = 6
[[facing]]
sku = "rice"
plates = ["1/1/2"]
"#;

const MANIFEST: &str = "format = 1\nstart = 2026-03-01T10:00:00Z\nduration_s = 30.0\n";
const GATES: &str = r#"{"t": 1.0, "gate": "door", "event": "entry", "credential": "ada"}
{"t": 25.0, "gate": "door", "event": "exit"}
"#;

/// One shopper walks to the tea, takes one, then takes two bags of rice and lays one back, and leaves.
fn write(dir: &Path) {
    let corners = [(1.0, 0.1, 1.5), (6.0, 1.2, 3.6), (11.0, 1.2, 3.6), (14.0, 3.7, 3.6), (20.0, 3.7, 3.6)];
    let corners = [&corners[..], &[(25.0, 0.1, 1.5)]].concat();
    let mut people = String::new();
    let mut weights = String::from("t,1/1/1,1/1/2\n");
    for i in 0..300 {
        let t = f64::from(i) / 10.0;
        let leg = corners.windows(2).find(|l| (l[0].0..=l[1].0).contains(&t));
        if let Some([a, b]) = leg {
            let u = (t - a.0) / (b.0 - a.0);
            let (x, y) = (a.1 + u * (b.1 - a.1), a.2 + u * (b.2 - a.2));
            writeln!(
                people,
                r#"{{"t": {t:.2}, "camera": "cam1", "people": [{{"foot": [{x:.3}, {y:.3}], "cov": [0.02, 0.0, 0.02], "score": 0.9}}]}}"#
            )
            .unwrap();
        }
        let wobble = f64::from((i * 7919) % 11 - 5) * 0.12;
        let tea = if t < 8.0 { 1_500.0 } else { 1_250.0 };
        let rice = match t {
            t if t < 15.0 => 8_000.0,
            t if t < 18.0 => 5_998.0,
            _ => 6_999.0,
        };
        let fault = if i == 40 { "nan".into() } else { format!("{:.1}", tea + wobble) };
        writeln!(weights, "{t:.2},{fault},{:.1}", rice - wobble).unwrap();
    }
    for (name, text) in [
        ("store.toml", STORE),
        ("recording.toml", MANIFEST),
        ("gate.jsonl", GATES),
        ("people.jsonl", &people),
        ("weights.csv", &weights),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[test]
fn the_receipt_is_right_and_the_bytes_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let expected = r#"{"receipts": [{"credential": "ada", "lines": [
        {"sku": "rice", "quantity": 1}, {"sku": "tea", "quantity": 1}]}]}"#;
    std::fs::write(dir.path().join("expected.json"), expected).unwrap();
    let first = replay(dir.path(), false, None).unwrap();
    let lines = first.report.lines.unwrap();
    assert_eq!((lines.expected, lines.right, lines.wrong), (2, 2, 0), "{}", first.receipts.to_json());
    assert_eq!(first.report.counters["bad_weights"], 1);
    assert!(first.report.faults.iter().any(|f| f.contains("1/1/1")), "{:?}", first.report.faults);
    let second = replay(dir.path(), false, None).unwrap();
    assert_eq!(first.receipts.to_json(), second.receipts.to_json());
}

#[test]
fn a_trace_has_positions_and_decisions() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let path = dir.path().join("trace.jsonl");
    replay(dir.path(), false, Some(&path)).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().filter(|l| l["shoppers"].as_array().is_some_and(|s| s.len() == 1)).count() > 50);
    let closed: Vec<_> = lines.iter().filter(|l| l["event"]["kind"] == "visit_closed").collect();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0]["event"]["charge_minor"], 349 + 199);
}

#[test]
fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    for name in ["people.jsonl", "weights.csv", "gate.jsonl"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let replayed = replay(dir.path(), false, None).unwrap();
    assert_eq!(replayed.report.missing.len(), 3, "{:?}", replayed.report.missing);
    assert!(replayed.receipts.receipts.is_empty());
}

/// Every spoiled file is named, with the line where there is one.
#[test]
fn mistakes_are_named() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("weights.csv", "t,1/1/1,9/9/9\n0.0,1,2\n", &["weights.csv", "9/9/9"]),
        ("weights.csv", "t,1/1/1,1/1/2\n0.0,1,2\n0.1,one,2\n", &["weights.csv", "3", "one"]),
        ("people.jsonl", "{\"t\": 1.0, \"camera\": \"cam1\", \"peo", &["people.jsonl", "1"]),
        ("gate.jsonl", "{\"t\": 1.0, \"gate\": \"hatch\", \"event\": \"exit\"}\n", &["gate.jsonl", "hatch"]),
        ("store.toml", "format = 1\n[store]\nid = 3\n", &["store.toml", "3"]),
        ("recording.toml", "format = 2\n", &["recording.toml", "format"]),
    ];
    for (name, text, wanted) in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        std::fs::write(dir.path().join(name), text).unwrap();
        let error = format!("{:#}", replay(dir.path(), false, None).unwrap_err());
        for word in wanted {
            assert!(error.contains(word), "{name}: {error:?} does not name {word:?}");
        }
    }
}

#[test]
fn a_video_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let camera = "[[camera]]\nid = \"cam1\"\nfile = \"cameras/cam1.mp4\"\noffset_s = 0.0\n";
    std::fs::write(dir.path().join("recording.toml"), format!("{MANIFEST}{camera}")).unwrap();
    let error = format!("{:#}", replay(dir.path(), false, None).unwrap_err());
    // Without set-up the library is missed first; either way the thing and the remedy are named.
    assert!(error.contains("cam1") || error.contains("setup"), "{error}");
}
