//! Planograms proposed from simulated weights.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

mod corner;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use linefree_calibration::planogram::{Change, Place, PlanogramError, propose};
use linefree_domain::ids::PlateIndex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};

fn place(plate: usize, weight_g: f64, changes_g: &[f64]) -> Place {
    Place {
        plates: vec![PlateIndex(plate)],
        weight_g,
        changes: changes_g.iter().map(|g| Change { delta_g: *g, sd_g: 0.5, most_items: 1 }).collect(),
        seen: BTreeMap::new(),
    }
}

#[test]
fn filled_shelves_are_recognised_by_one_item_and_the_whole() {
    let store = corner::store("");
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let noise = Normal::new(0.0, 1.0).unwrap();
    let (mut right, mut wrong, mut open, mut counted) = (0, 0, 0, 0);
    for _ in 0..200 {
        let product = Uniform::new(2, 5).unwrap().sample(&mut rng);
        let count = Uniform::new(1, 13).unwrap().sample(&mut rng);
        let (sku, mean, sd) = corner::PRODUCTS[product];
        let item = Normal::new(mean, sd).unwrap();
        let all: Vec<f64> = (0..count).map(|_| item.sample(&mut rng)).collect();
        let whole = all.iter().sum::<f64>() + noise.sample(&mut rng);
        let proposal =
            &propose(&store.layout, &[place(0, whole, &[all[0] + noise.sample(&mut rng)])]).unwrap()[0];
        match proposal.sure() {
            Some(c) if store.layout.products[c.product.unwrap().0].sku.as_str() == sku => {
                right += 1;
                counted += usize::from(c.count as usize == count);
            }
            Some(_) => wrong += 1,
            None => open += 1,
        }
    }
    eprintln!("{right} right ({counted} with the right count), {wrong} wrong, {open} left open");
    assert!(right >= 190 && wrong == 0 && counted >= right - 4, "{right} {wrong} {open} {counted}");
}

#[test]
fn what_weighs_alike_stays_open_until_something_else_tells() {
    let store = corner::store("");
    let twins = place(0, 3.0 * 538.2, &[538.0]);
    let proposal = &propose(&store.layout, std::slice::from_ref(&twins)).unwrap()[0];
    assert_eq!(proposal.sure(), None, "water and juice weigh alike");
    assert_eq!(proposal.candidates.iter().filter(|c| c.count == 3).count(), 2, "{proposal:?}");
    // Seen by a camera.
    let mut seen = twins.clone();
    seen.seen.insert(store.layout.product("juice").unwrap(), 0.97);
    let proposal = &propose(&store.layout, &[seen]).unwrap()[0];
    let sure = proposal.sure().unwrap();
    assert_eq!(store.layout.products[sure.product.unwrap().0].sku.as_str(), "juice");
    // What lay there before helps, but does not decide alone.
    let before = corner::store("[[facing]]\nsku = \"water\"\nplates = [\"1/1/1\"]\n");
    let proposal = &propose(&before.layout, &[twins]).unwrap()[0];
    assert_eq!(before.layout.products[proposal.candidates[0].product.unwrap().0].sku.as_str(), "water");
    assert_eq!(proposal.sure(), None);
    // Something else lies there now.
    let proposal = &propose(&before.layout, &[place(0, 561.0, &[187.0])]).unwrap()[0];
    assert!(proposal.differs(), "{proposal:?}");
}

#[test]
fn what_is_not_in_the_catalogue_is_not_forced_into_it() {
    let store = corner::store("");
    let proposal = &propose(&store.layout, &[place(0, 1284.0, &[321.0])]).unwrap()[0];
    assert!(proposal.sure().is_none() && proposal.candidates[0].product.is_none(), "{proposal:?}");
    assert!(propose(&store.layout, &[place(0, 1.0, &[])]).unwrap()[0].candidates.is_empty());
}

#[test]
fn bad_numbers_are_refused_by_plate() {
    let store = corner::store("");
    for weight in [f64::NAN, f64::INFINITY, 1e9] {
        let error = propose(&store.layout, &[place(5, weight, &[])]).unwrap_err();
        assert!(matches!(&error, PlanogramError::NoWeight { plate, .. } if plate == "1/2/2"), "{error}");
    }
    assert_eq!(propose(&store.layout, &[]), Err(PlanogramError::NothingWeighed));
    let mut empty = store.layout;
    empty.products.clear();
    assert_eq!(propose(&empty, &[place(0, 5.0, &[])]), Err(PlanogramError::NoProducts));
}

/// A recording of filling two places: crisps on one plate, coffee across two.
fn filling() -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let noise = Normal::new(0.0, 0.5).unwrap();
    let mut csv = String::from("t,1/1/1,1/1/2,1/1/3,1/1/4\n");
    let puts: Vec<(f64, [f64; 4])> = vec![
        (6.0, [187.4, 0.0, 0.0, 0.0]),
        (14.0, [186.1, 0.0, 0.0, 0.0]),
        (22.0, [188.0, 0.0, 0.0, 0.0]),
        (30.0, [0.0, 312.0, 208.5, 0.0]),
        (38.0, [0.0, 250.0, 269.2, 0.0]),
    ];
    for i in 0..460 {
        let t = f64::from(i) / 10.0;
        let _ = write!(csv, "{t:.1}");
        for plate in 0..4 {
            let lies: f64 = puts.iter().filter(|(at, _)| t >= *at).map(|(_, g)| g[plate]).sum();
            let _ = write!(csv, ",{:.2}", 1200.0 * plate as f64 + lies + noise.sample(&mut rng));
        }
        csv.push('\n');
    }
    csv
}

fn run(folder: &std::path::Path, arguments: &[&str], answers: &str) -> (bool, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_calibrate"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (done.status.success(), text(&done.stdout), text(&done.stderr))
}

#[test]
fn a_recorded_filling_becomes_facings_of_store_toml() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.toml"), corner::toml("")).unwrap();
    std::fs::write(folder.path().join("weights.csv"), filling()).unwrap();
    let (ok, out, err) = run(folder.path(), &["planogram", "store.toml", "--filling", "weights.csv"], "");
    assert!(ok && err.contains("3 places: 2 sure, 0 to confirm, 1 empty"), "{err}{out}");
    let whole = corner::store(&out);
    let told: Vec<(&str, usize, Option<u32>)> = whole
        .layout
        .facings
        .iter()
        .map(|f| (whole.layout.products[f.product.0].sku.as_str(), f.plates.len(), f.count))
        .collect();
    assert_eq!(told, [("crisps", 1, Some(3)), ("coffee", 2, Some(2))]);
}

#[test]
fn doubtful_places_are_asked_for_and_never_written_unasked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.toml"), corner::toml("")).unwrap();
    let plates = "plate,weight_g,one_item_g\n1/1/1,1614.3,538.1\n1/1/2+1/1/3,374,187\n1/1/4,0.6,\n";
    std::fs::write(folder.path().join("p.csv"), plates).unwrap();
    let base = ["planogram", "store.toml", "--weights", "p.csv"];
    let (_, out, err) = run(folder.path(), &base, "");
    assert!(out.contains("# [[facing]]") && err.contains("to confirm: 1/1/1: 1614 g"), "{out}{err}");
    assert_eq!(corner::store(&out).layout.facings.len(), 1);
    let (_, out, err) = run(folder.path(), &[&base[..], &["--confirm"]].concat(), "beer\njuice\n");
    assert!(err.contains("\"beer\" is neither"), "{err}");
    let store = corner::store(&out);
    assert_eq!(store.layout.facings[0].count, Some(3));
    assert_eq!(store.layout.products[store.layout.facings[0].product.0].sku.as_str(), "juice");
    let (_, out, _) = run(folder.path(), &[&base[..], &["--confirm"]].concat(), "\n");
    assert_eq!(corner::store(&out).layout.facings.len(), 1, "left open");

    for (csv, part) in [
        ("plate,weight_g\n9/9/9,3\n", "line 2: the store has no plate \"9/9/9\""),
        ("plate,weight_g\n1/1/1,x\n", "line 2: weight_g is \"x\""),
        ("plate,weight_g\n1/1/1,NaN\n", "line 2: weight_g is \"NaN\""),
        ("plate,weight_g\n1/1/1,3\n1/1/1,4\n", "line 3: plate 1/1/1 stands there twice"),
        ("plate,grams\n1/1/1,3\n", "the header must be plate,weight_g"),
        ("plate,weight_g\n", "no plate was weighed"),
    ] {
        std::fs::write(folder.path().join("p.csv"), csv).unwrap();
        let (ok, _, err) = run(folder.path(), &base, "");
        assert!(!ok && err.contains(part), "{csv}: {err}");
    }
}
