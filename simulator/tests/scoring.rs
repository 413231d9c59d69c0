//! Scoring end to end: the same figures whatever the number of jobs, and a yardstick that is beaten.

#![allow(clippy::unwrap_used)]

use edge_agent::replay::replay;
use indicatif::ProgressBar;
use linefree_simulator::scenario;
use linefree_simulator::score::{Options, Report, run};
use linefree_simulator::simulation::Simulation;

fn options(jobs: usize) -> Options {
    Options {
        scenarios: scenario::named("pick-and-put-back,gate-denied").unwrap(),
        seeds: vec![1, 2, 3],
        layout: None,
        without: Vec::new(),
        jobs,
        baseline: true,
    }
}

/// Everything but how long it took.
fn figures(report: &Report) -> String {
    let mut value = serde_json::to_value(report).unwrap();
    let rows = value["scenarios"].as_object_mut().unwrap().values_mut().collect::<Vec<_>>();
    for row in rows {
        let row = row.as_object_mut().unwrap();
        assert!(row.remove("events_per_second").is_some() && row.remove("times_real_time").is_some());
    }
    let total = value["total"].as_object_mut().unwrap();
    for key in ["receipt_f1", "exact_receipts", "wrong_unreviewed_rate", "review_rate", "ece"] {
        assert!(total[key].is_number(), "{key}");
    }
    total.remove("events_per_second");
    total.remove("times_real_time");
    value.to_string()
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let report = |jobs| {
        let options = options(jobs);
        let (outcomes, failures) = run(&options, &ProgressBar::hidden());
        assert_eq!(failures, Vec::<String>::new());
        assert_eq!(outcomes.len(), 6);
        Report::new(&options, &outcomes, failures)
    };
    let (one, three) = (report(1), report(3));
    assert_eq!(figures(&one), figures(&three));
    let total = one.total;
    assert!(
        total.figures.receipt_f1 > total.baseline_f1.unwrap(),
        "the engine is no better than the yardstick"
    );
}

/// What the replay of a scenario says of clocks.
fn clocks(name: &str, seed: u64) -> Vec<String> {
    let scenario = scenario::named(name).unwrap().remove(0);
    let simulation = Simulation::run(&scenario, scenario.home(), seed, &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    simulation.write(dir.path()).unwrap();
    let report = replay(dir.path(), false, None).unwrap().report;
    report.faults.into_iter().filter(|f| f.contains("clock is")).collect()
}

#[test]
fn clocks_that_are_two_seconds_off_are_found_and_right_ones_left_alone() {
    // Who stands still tells nothing of a clock: not every short recording gives it away.
    let camera = |said: &[String]| {
        let near = [" 1.9 s ", " 2.0 s ", " 2.1 s "];
        matches!(said, [one] if one.starts_with("camera ") && near.iter().any(|n| one.contains(n)))
    };
    let found = (1..=5).filter(|seed| camera(&clocks("camera-clock-off", *seed))).count();
    assert!(found >= 4, "a camera's clock was found in {found} of 5 recordings");
    // People stand before a shelf for longer than it takes to handle it: the scales' clock shows only where they soon
    // walk on.
    let scales = |said: &[String]| said.iter().any(|f| f.starts_with("scales"));
    let found = (1..=5).filter(|seed| scales(&clocks("scale-clock-off", *seed))).count();
    assert!(found >= 1, "the scales' clock was found in none of 5 recordings");
    for seed in 1..=3 {
        let said = clocks("pick-and-put-back", seed);
        assert!(said.is_empty(), "seed {seed}: {said:?}");
    }
}
