//! Simulated shelf signals are within what the real recording shows.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use linefree_simulator::honesty::{self, Figures};

fn aim3s() -> Option<PathBuf> {
    let root = std::env::var_os("LINEFREE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let found = root.join("data/aim3s");
    if !found.exists() {
        eprintln!("skipped: the AIM3S data is not here (LINEFREE_SHARED)");
    }
    found.exists().then_some(found)
}

fn median(values: &[f64]) -> f64 {
    values[values.len() / 2]
}

#[test]
fn simulated_shelves_are_like_real_ones() {
    let Some(aim3s) = aim3s() else { return };
    let real = honesty::real(&aim3s).unwrap();
    let theirs = Figures::of(&real);
    let mut ours = Figures::default();
    for seed in 101..107 {
        let f = Figures::of(&honesty::simulated(&real, seed).unwrap());
        ours.quiet_g.extend(f.quiet_g);
        ours.shake_g.extend(f.shake_g);
        ours.highest_g.extend(f.highest_g);
        ours.lowest_g.extend(f.lowest_g);
    }
    for list in [&mut ours.quiet_g, &mut ours.shake_g, &mut ours.highest_g, &mut ours.lowest_g] {
        list.sort_by(f64::total_cmp);
    }
    // In the median within a factor of 1.7 of what was measured.
    for (name, a, b) in [
        ("quiet", &theirs.quiet_g, &ours.quiet_g),
        ("shaking", &theirs.shake_g, &ours.shake_g),
        ("highest", &theirs.highest_g, &ours.highest_g),
        ("lowest", &theirs.lowest_g, &ours.lowest_g),
    ] {
        let ratio = median(b) / median(a);
        assert!((0.59..1.7).contains(&ratio), "{name}: {} simulated, {} real", median(b), median(a));
    }
}

#[test]
fn our_detector_finds_what_was_really_handled() {
    let Some(aim3s) = aim3s() else { return };
    let found = honesty::detect(&honesty::real(&aim3s).unwrap()).unwrap();
    assert_eq!((found.labelled, found.found, found.extra), (8, 8, 0), "{found:?}");
}

#[test]
fn the_committed_plot_can_be_made_again() {
    let Some(aim3s) = aim3s() else { return };
    let dir = tempfile::tempdir().unwrap();
    let plot = dir.path().join("plot.svg");
    let table = honesty::compare(&aim3s, 2, &plot).unwrap();
    assert!(table.contains("| quiet noise") && table.contains("| handlings found | 8 of 8 |"), "{table}");
    let size = std::fs::metadata(&plot).unwrap().len();
    assert!((10_000..200_000).contains(&size), "{size} bytes");
}
