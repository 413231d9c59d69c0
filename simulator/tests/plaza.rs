//! The committed plaza recording: whole, checked, and reproducible.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use linefree_domain::shelf::WeightSample;
use linefree_recording::{GateEvent, Recording};
use linefree_simulator::load_cell::{Furniture, Handling, weigh};
use linefree_simulator::plaza;
use linefree_simulator::script::{Deed, Script};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/plaza")
}

/// Where the shared data lies, if it is here.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LINEFREE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let found = root.join(path);
    found.exists().then_some(found)
}

#[test]
fn the_recording_is_one() {
    let r = Recording::open(source()).unwrap();
    assert_eq!(r.store.warnings, []);
    let mut rows = 0;
    for sample in r.weights().unwrap().unwrap() {
        sample.unwrap();
        rows += 1;
    }
    assert_eq!(rows, 1590);
    let gates = r.gates().unwrap();
    let entries = gates.iter().filter(|g| g.event == GateEvent::Entry).count();
    let expected = r.expected().unwrap().unwrap();
    assert_eq!(expected.receipts.len(), entries, "every credential that entered has a receipt");
}

#[test]
fn it_is_as_hard_as_it_says() {
    let script = Script::read(&source().join("script.toml")).unwrap();
    let count = |deed| script.actions.iter().filter(|a| a.deed == deed).count();
    assert!(count(Deed::Take) >= 25 && count(Deed::Put) >= 5 && count(Deed::Touch) >= 1);
    let who: std::collections::BTreeSet<_> = script.actions.iter().map(|a| &a.credential).collect();
    assert!(who.len() >= 10);
    let layout = Recording::open(source()).unwrap().store.layout;
    let elsewhere = |a: &&linefree_simulator::script::Action| {
        let plate = layout.plate(&a.plates[0]).unwrap();
        a.deed == Deed::Put && layout.products_on(plate).all(|p| layout.products[p.0].sku.as_str() != a.sku)
    };
    assert!(script.actions.iter().filter(elsewhere).count() >= 1, "nothing is put back elsewhere");
}

#[test]
fn the_expected_receipts_follow_from_the_script() {
    let r = Recording::open(source()).unwrap();
    let script = Script::read(&source().join("script.toml")).unwrap();
    let credentials: Vec<String> =
        r.gates().unwrap().into_iter().filter_map(|g| g.credential).map(|c| c.to_string()).collect();
    let receipts = script.receipts(credentials.iter().map(String::as_str)).unwrap();
    assert_eq!(receipts.to_json(), std::fs::read_to_string(source().join("expected.json")).unwrap());
}

#[test]
fn the_ground_truth_bears_it_out_and_gives_the_same_bytes() {
    let Some(ground_truth) = shared("data/mot15/PETS09-S2L1/gt.txt") else {
        eprintln!("skipped: the clip's ground truth is not here (LINEFREE_SHARED)");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let checked = plaza::build(&source(), &ground_truth, out.path()).unwrap();
    assert!(checked.iter().filter(|c| c.contested()).count() >= 3);
    for name in ["recording.toml", "store.toml", "weights.csv", "gate.jsonl", "expected.json"] {
        let committed = std::fs::read(source().join(name)).unwrap();
        assert!(
            std::fs::read(out.path().join(name)).unwrap() == committed,
            "{name} differs from the committed one"
        );
    }
}

#[test]
fn a_script_that_the_ground_truth_denies_is_refused() {
    let Some(ground_truth) = shared("data/mot15/PETS09-S2L1/gt.txt") else {
        eprintln!("skipped: the clip's ground truth is not here (LINEFREE_SHARED)");
        return;
    };
    let altered = tempfile::tempdir().unwrap();
    std::fs::copy(source().join("store.toml"), altered.path().join("store.toml")).unwrap();
    let script = std::fs::read_to_string(source().join("script.toml")).unwrap();
    let swapped = script.replacen("credential = \"c19\"", "credential = \"c15\"", 1);
    assert_ne!(script, swapped);
    std::fs::write(altered.path().join("script.toml"), swapped).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = plaza::build(altered.path(), &ground_truth, out.path()).unwrap_err().to_string();
    assert!(error.contains("c15") && error.contains("t = 3.3"), "{error}");
    assert!(!out.path().join("recording.toml").exists(), "a refused script must not leave a recording");
}

/// Mean and standard deviation of a plate between two moments.
fn level(samples: &[WeightSample], plate: usize, from_s: f64, to_s: f64) -> (f64, f64) {
    let start = samples[0].time;
    let values: Vec<f64> = samples
        .iter()
        .filter(|s| (from_s..to_s).contains(&s.time.seconds_since(start)))
        .flat_map(|s| s.weights_g.iter().filter(|(p, _)| p.0 == plate).map(|(_, g)| *g))
        .collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// The load cells against the figures measured on real shelves.
#[test]
fn load_cells_are_as_noisy_as_real_shelves() {
    let r = Recording::open(source()).unwrap();
    let layout = &r.store.layout;
    let plate = layout.plate("a/1/1").unwrap();
    let (mut beside, mut pushed, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..40 {
        let handling = Handling {
            at_s: 10.0,
            duration_s: 3.0,
            plates: vec![plate],
            delta_g: -500.0,
            ..Handling::default()
        };
        let sampling = linefree_simulator::load_cell::Sampling {
            rate_hz: 20.0,
            duration_s: 24.0,
            seed,
            furniture: Furniture::RATTLING,
        };
        let samples = weigh(layout, r.manifest.start, sampling, &[handling]);
        // Long means ride out a bump that may fall into them.
        let (before, _) = level(&samples, plate.0, 0.0, 7.0);
        let (after, _) = level(&samples, plate.0, 14.0, 24.0);
        off.push((after - before + 500.0).abs());
        beside.push(level(&samples, layout.plate("a/1/2").unwrap().0, 8.5, 11.5).1);
        let of = |s: &WeightSample| s.weights_g.iter().find(|(p, _)| *p == plate).map(|(_, g)| *g);
        let peak = samples.iter().filter_map(of).fold(f64::MIN, f64::max);
        pushed.push(peak - before);
        let quiet = (0..layout.plates.len()).map(|p| level(&samples, p, 2.0, 3.0).1);
        let mut quiet: Vec<f64> = quiet.collect();
        quiet.sort_by(f64::total_cmp);
        let median = quiet[quiet.len() / 2];
        assert!((0.3..1.0).contains(&median), "quiet noise of {median} g");
    }
    for list in [&mut beside, &mut pushed, &mut off] {
        list.sort_by(f64::total_cmp);
    }
    assert!((6.0..40.0).contains(&beside[20]), "the neighbour shakes by {} g rms", beside[20]);
    assert!((100.0..1600.0).contains(&pushed[20]) && pushed[39] > 400.0, "a hand pushes by {} g", pushed[20]);
    assert!(off[20] < 2.5 && off[39] < 8.0, "a level is off by {} g, at worst {} g", off[20], off[39]);
    assert!(off[39] > 1.0, "levels are too good to be true");
}
