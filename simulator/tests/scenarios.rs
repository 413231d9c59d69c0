//! Every scenario as a recording: readable, the same every time, and true to the ledger of its world.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;

use linefree_domain::floor::Person;
use linefree_recording::{RecordedPerson, Recording};
use linefree_simulator::scenario::{self, LayoutKind, Scenario, ScenarioKind};
use linefree_simulator::simulation::{Evidence, Simulation};
use linefree_simulator::stores::shared_nanostore;
use linefree_simulator::world::Place;

/// Scenarios that can be run here: those of files and, where its data is there, two cases of the real store.
fn scenarios() -> Vec<Scenario> {
    let mut all = scenario::all().unwrap();
    let cases: Vec<String> = scenario::real_case_names().into_iter().skip(2).collect();
    all.retain(|s| !cases.contains(&s.name));
    if shared_nanostore().is_none() {
        eprintln!("skipped: scenarios of the real nanostore; its data is not here (LINEFREE_SHARED)");
        all.retain(|s| s.kind != ScenarioKind::Nanostore);
    }
    all
}

fn simulate(scenario: &Scenario, seed: u64) -> Simulation {
    Simulation::run(scenario, scenario.home(), seed, &[])
        .unwrap_or_else(|e| panic!("{}: {e:#}", scenario.name))
}

#[test]
fn every_scenario_is_a_recording_that_can_be_read() {
    for scenario in scenarios() {
        let dir = tempfile::tempdir().unwrap();
        let simulation = simulate(&scenario, 11);
        simulation.write(dir.path()).unwrap();
        let r = Recording::open(dir.path()).unwrap_or_else(|e| panic!("{}: {e}", scenario.name));
        let rows = r.weights().unwrap().unwrap().map(Result::unwrap).count();
        assert_eq!(rows, simulation.samples.len(), "{}", scenario.name);
        let people = r.people().unwrap().unwrap().map(Result::unwrap).count();
        assert_eq!(people, simulation.looks.len(), "{}", scenario.name);
        r.views().unwrap();
        let gates = r.gates().unwrap();
        let expected = r.expected().unwrap().unwrap();
        // Every credential that entered has a receipt, and nobody else.
        let mut entered: Vec<String> =
            gates.iter().filter_map(|g| g.credential.as_ref().map(ToString::to_string)).collect();
        let mut billed: Vec<String> =
            expected.receipts.iter().filter_map(|r| r.credential.as_ref().map(ToString::to_string)).collect();
        entered.sort();
        billed.sort();
        assert_eq!(entered, billed, "{}", scenario.name);
    }
}

#[test]
fn receipts_are_what_the_ledger_says() {
    for scenario in scenarios() {
        for seed in [3, 4] {
            let s = simulate(&scenario, seed);
            let ledger = &s.happened.ledger;
            assert!(ledger.is_conserved(), "{}", scenario.name);
            let mut off_shelf: BTreeMap<&str, u32> = BTreeMap::new();
            for item in ledger.items.iter().filter(|i| i.place != Place::Shelf) {
                assert!(!matches!(item.place, Place::Moving | Place::With(_)), "{}: {item:?}", scenario.name);
                *off_shelf.entry(s.store.layout.products[item.product.0].sku.as_str()).or_default() += 1;
            }
            let mut billed: BTreeMap<&str, u32> = BTreeMap::new();
            for line in s.happened.receipts.receipts.iter().flat_map(|r| &r.lines) {
                *billed.entry(line.sku.as_str()).or_default() += line.quantity;
            }
            assert_eq!(off_shelf, billed, "{} with seed {seed}", scenario.name);
            // What the scales felt is what moved: all steps together weigh as much as what left the shelves, less
            // what came from the back.
            let felt: f64 = s.happened.handlings.iter().map(|h| h.delta_g).sum();
            let gone: f64 = ledger.items.iter().filter(|i| i.place != Place::Shelf).map(|i| i.weight_g).sum();
            if !scenario.name.starts_with("staff-restocking") {
                assert!((felt + gone).abs() < 1e-6, "{}: {felt} g felt, {gone} g gone", scenario.name);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let chosen = ["three-people-thirty-actions", "staff-restocking", "messages-late", "plate-dead"];
    for scenario in scenarios().iter().filter(|s| chosen.contains(&s.name.as_str())) {
        let dirs: Vec<_> = [5, 5, 6]
            .iter()
            .map(|seed| {
                let dir = tempfile::tempdir().unwrap();
                simulate(scenario, *seed).write(dir.path()).unwrap();
                dir
            })
            .collect();
        for name in
            ["recording.toml", "store.toml", "weights.csv", "people.jsonl", "gate.jsonl", "expected.json"]
        {
            let bytes: Vec<Vec<u8>> =
                dirs.iter().map(|d| std::fs::read(d.path().join(name)).unwrap()).collect();
            assert!(bytes[0] == bytes[1], "{}: {name} differs between runs", scenario.name);
            assert!(
                name == "recording.toml" || bytes[0] != bytes[2],
                "{}: {name} knows no seed",
                scenario.name
            );
        }
    }
}

#[test]
fn nobody_walks_through_shelving() {
    for scenario in scenarios().iter().filter(|s| s.kind != ScenarioKind::Nanostore) {
        let s = simulate(scenario, 21);
        for walk in &s.happened.walks {
            for pose in &walk.poses {
                let inside = s.store.obstacles.blocks.iter().any(|b| b.distance_m(pose.at) < 0.05);
                assert!(!inside, "{}: {} stands in a shelf at {}", scenario.name, walk.name, pose.at);
            }
            let fastest =
                walk.poses.windows(2).map(|w| (w[1].at - w[0].at).norm() / 0.05).fold(0.0, f64::max);
            assert!(fastest < 6.0, "{}: {} moves at {fastest} m/s", scenario.name, walk.name);
        }
    }
}

fn people(s: &Simulation) -> impl Iterator<Item = Person> + '_ {
    s.looks.iter().flat_map(|l| s.people_line(l).people).filter_map(|p| match p {
        RecordedPerson::Floor(person) => Some(person),
        RecordedPerson::Box(_) => None,
    })
}

#[test]
fn evidence_can_be_left_out() {
    let scenario = &scenario::named("same-weight-misplaced").unwrap()[0];
    let run = |without: &[Evidence]| Simulation::run(scenario, LayoutKind::Generated, 2, without).unwrap();
    // With a seed at which cameras see hands.
    let all = run(&[]);
    let none = run(&[Evidence::Hands, Evidence::Views, Evidence::Tracks, Evidence::Planogram]);
    assert!(!all.views.is_empty() && none.views.is_empty());
    assert!(people(&all).any(|p| p.track.is_some()));
    assert!(people(&none).all(|p| p.hands.is_empty() && p.track.is_none()));
    assert!(none.store.told.facings.is_empty() && !none.store.layout.facings.is_empty());
    assert_eq!(all.happened.receipts, none.happened.receipts, "what happened does not change");
}

#[test]
fn positions_are_off_as_much_as_cameras_are() {
    // The distance of every sighting from the nearest body at that moment, over a few seeds.
    let scenario = &scenario::named("three-people-thirty-actions").unwrap()[0];
    let mut off: Vec<f64> = Vec::new();
    let mut cameras = 0;
    for seed in 0..4 {
        let s = simulate(scenario, seed);
        cameras += s.store.eyes.len();
        for look in &s.looks {
            for person in &look.people {
                let near = s.happened.walks.iter().filter_map(|w| w.pose(look.t_s));
                let nearest = near.map(|p| (p.at - person.foot).norm()).fold(f64::MAX, f64::min);
                off.push(nearest);
            }
        }
    }
    assert!(cameras >= 12, "three cameras and more");
    off.sort_by(f64::total_cmp);
    let median = off[off.len() / 2];
    assert!((0.08..0.35).contains(&median), "sightings are {median} m off in the median");
    assert!(off[off.len() * 95 / 100] < 0.9);
}

#[test]
fn scenarios_can_be_played_in_the_real_store() {
    if shared_nanostore().is_none() {
        eprintln!("skipped: the nanostore's data is not here (LINEFREE_SHARED)");
        return;
    }
    for name in ["handover", "one-large-or-two-small", "crowd-at-one-gondola", "wrong-planogram-gondola"] {
        let scenario = &scenario::named(name).unwrap()[0];
        let s = Simulation::run(scenario, LayoutKind::Nanostore, 1, &[]).unwrap();
        assert_eq!(s.store.layout.plates.len(), 306, "{name}");
    }
}
