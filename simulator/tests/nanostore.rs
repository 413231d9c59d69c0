//! The real store's recording, built from the shared data.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use linefree_domain::layout::GateKind;
use linefree_recording::{Recording, StoreFile};
use linefree_simulator::nanostore;
use nalgebra::{Point2, Point3, center};

fn data() -> Option<PathBuf> {
    let root = std::env::var_os("LINEFREE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let found = root.join("data/nanostore");
    if !found.exists() {
        eprintln!("skipped: the nanostore data is not here (LINEFREE_SHARED)");
    }
    found.exists().then_some(found)
}

#[test]
fn the_recording_is_whole_and_reproducible() {
    let Some(data) = data() else { return };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let videos = nanostore::build(&data, a.path()).unwrap();
    nanostore::build(&data, b.path()).unwrap();
    for name in ["recording.toml", "store.toml", "weights.csv", "gate.jsonl", "expected.json"] {
        assert!(
            std::fs::read(a.path().join(name)).unwrap() == std::fs::read(b.path().join(name)).unwrap(),
            "{name}"
        );
    }
    assert!(videos.iter().all(|(from, _)| from.is_file()), "{videos:?}");

    let r = Recording::open(a.path()).unwrap();
    let layout = &r.store.layout;
    assert_eq!((layout.gondolas.len(), layout.plates.len(), layout.cameras.len()), (5, 306, 4));
    assert_eq!(layout.products.len(), 83);
    assert!(layout.facings.len() >= 83, "a product lies nowhere");
    assert_eq!(r.weights().unwrap().unwrap().map(Result::unwrap).count(), 676);
    let lines: Vec<_> = r.expected().unwrap().unwrap().receipts[0]
        .lines
        .iter()
        .map(|l| (l.sku.as_str().to_owned(), l.quantity))
        .collect();
    assert_eq!(lines, [("071063437089".to_owned(), 1), ("632565000012".to_owned(), 1)]);
    // What is taken lies where it is taken.
    for (sku, plate) in [("071063437089", "2/5/4"), ("632565000012", "1/5/10")] {
        let product = layout.product(sku).unwrap();
        assert!(
            layout.products_on(layout.plate(plate).unwrap()).any(|p| p == product),
            "{sku} is not on {plate}"
        );
    }
}

/// Pixels read off the videos by eye: feet, which the poses were not fitted to, and the two hands, which they were.
#[test]
fn the_cameras_see_what_is_there() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    nanostore::build(&data, out.path()).unwrap();
    let layout = StoreFile::read(out.path().join("store.toml")).unwrap().layout;
    let view = |id: &str| &layout.cameras[layout.camera(id).unwrap().0].view;
    let foot = |id: &str, x: f64, y: f64| view(id).floor_at(Point2::new(x, y), 0.0).unwrap().at;
    // The shopper's lower foot: coming back from the far door, after the second take, at the near door.
    for (camera, x, y) in [("cam1", 320.0, 255.0), ("cam3", 405.0, 275.0), ("cam7", 345.0, 265.0)] {
        assert!(layout.floor.contains(foot(camera, x, y)), "{camera} puts the shopper outside the floor");
    }
    // After leaving he stands beyond the glass.
    assert!(layout.floor.distance_m(foot("cam5", 560.0, 250.0)) > 1.0);
    let exit = layout.gates.iter().find(|g| g.kind == GateKind::Exit).unwrap();
    assert!(exit.segment.distance_m(foot("cam7", 345.0, 265.0)) < 0.8);
    // The hands reach towards the plates that the labels name.
    for (camera, plate, hand) in [
        ("cam3", "2/5/4", (503.0, 218.0)),
        ("cam3", "1/5/10", (518.0, 150.0)),
        ("cam7", "1/5/10", (101.0, 105.0)),
    ] {
        let p = &layout.plates[layout.plate(plate).unwrap().0];
        let front = center(&p.corners[0], &p.corners[1]);
        let px = view(camera).pixel_of(Point3::new(front.x, front.y, p.centre.z)).unwrap();
        let off = (px - Point2::new(hand.0, hand.1)).norm();
        assert!(off < 60.0, "{camera} sees {plate} {off:.0} px from the hand");
    }
}

#[test]
fn data_that_is_not_there_is_told() {
    let out = tempfile::tempdir().unwrap();
    let error = nanostore::build(Path::new("/no/such/data"), out.path()).unwrap_err();
    assert!(format!("{error:#}").contains("/no/such/data/cases.json"), "{error:#}");
}
