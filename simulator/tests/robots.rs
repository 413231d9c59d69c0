//! Robots among shoppers: nobody meets, nobody is stuck, nothing is lost, few are late; and mistakes are noticed.

use indicatif::ProgressBar;
use linefree_domain::fulfilment::dispatch::Choice;
use linefree_simulator::robots::floor::Floor;
use linefree_simulator::robots::report::{planning_ms, stretch};
use linefree_simulator::robots::roads::Rules;
use linefree_simulator::robots::run::{Outcome, Setting, run};

/// The store of the promise: 10 robots, 200 orders an hour, 60 shoppers.
fn setting(choice: Choice) -> Setting {
    Setting {
        robots: 10,
        shoppers: 60,
        orders_per_hour: 200.0,
        hours: 4,
        seed: 71,
        choice,
        staff: 0,
        rules: Rules::Kept,
    }
}

fn outcome(setting: Setting) -> Outcome {
    let floor = Floor::for_robots(setting.robots).expect("the floor is well formed");
    run(&floor, setting).expect("everybody has a home")
}

fn assert_safe(outcome: &Outcome, seed: u64) {
    let Outcome { collisions, deadlocks, lost, .. } = outcome;
    assert_eq!((*collisions, *deadlocks, *lost), (0, 0, 0), "collisions, deadlocks, lost with seed {seed}");
}

fn on_time(outcome: &Outcome) -> f64 {
    outcome.on_time as f64 / outcome.orders as f64
}

#[test]
fn nobody_meets_or_is_stuck_and_orders_are_in_time() {
    for seed in [71, 72, 73] {
        let outcome = outcome(Setting { seed, ..setting(Choice::LeastSlack) });
        assert_safe(&outcome, seed);
        assert!(outcome.orders > 700);
        assert!(on_time(&outcome) >= 0.98, "{:.4} on time with seed {seed}", on_time(&outcome));
    }
}

#[test]
fn with_more_orders_than_the_yardsticks_manage_least_slack_does_better() {
    let busy = |choice| Setting { orders_per_hour: 250.0, hours: 8, ..setting(choice) };
    let [ours, first_come, nearest] =
        [Choice::LeastSlack, Choice::FirstCome, Choice::NearestFirst].map(|choice| outcome(busy(choice)));
    for outcome in [&ours, &first_come, &nearest] {
        assert_safe(outcome, 71);
        assert_eq!(outcome.orders, ours.orders, "the same demand for all");
    }
    let [ours, first_come, nearest] = [ours, first_come, nearest].map(|o| on_time(&o));
    assert!(ours > first_come + 0.02 && ours > nearest + 0.02, "{ours:.4}, {first_come:.4}, {nearest:.4}");
}

#[test]
fn a_member_of_staff_saves_orders_and_is_counted_apart() {
    let busy = Setting { orders_per_hour: 270.0, hours: 6, ..setting(Choice::LeastSlack) };
    let (alone, helped) = (outcome(busy), outcome(Setting { staff: 1, ..busy }));
    assert_safe(&helped, 71);
    assert_eq!((alone.by_staff, alone.on_time_by_staff), (0, 0));
    assert!(helped.on_time_by_staff > 0 && helped.on_time_by_staff <= helped.by_staff);
    assert!(on_time(&helped) > on_time(&alone), "{:.4}, {:.4}", on_time(&helped), on_time(&alone));
    // One person cannot do more than one person's work.
    assert!(helped.by_staff < helped.orders / 8, "{} of {}", helped.by_staff, helped.orders);
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let [a, b] = [(); 2].map(|()| outcome(setting(Choice::LeastSlack)));
    assert_eq!((a.orders, a.on_time, a.breakdowns), (b.orders, b.on_time, b.breakdowns));
    assert_eq!(a.took_s.to_bits(), b.took_s.to_bits());
    assert_eq!(a.planning_us.len(), b.planning_us.len());
}

#[test]
fn without_reservations_collisions_are_counted() {
    let blind = outcome(Setting { rules: Rules::Blind, ..setting(Choice::LeastSlack) });
    assert!(blind.collisions > 100, "{} collisions", blind.collisions);
}

#[test]
fn without_an_order_of_passing_deadlocks_are_counted() {
    let polite = outcome(Setting { rules: Rules::Polite, ..setting(Choice::LeastSlack) });
    assert_eq!(polite.collisions, 0, "they do stop before each other");
    assert!(polite.deadlocks > 10, "{} deadlocks", polite.deadlocks);
    assert!(polite.lost > 0);
}

#[test]
fn larger_fleets_neither_meet_nor_are_stuck() {
    let larger = Setting {
        robots: 40,
        shoppers: 240,
        orders_per_hour: 600.0,
        hours: 1,
        ..setting(Choice::LeastSlack)
    };
    let outcome = outcome(larger);
    assert_safe(&outcome, larger.seed);
    assert!(on_time(&outcome) > 0.98, "{:.4}", on_time(&outcome));
}

#[test]
#[ignore = "long: a thousand simulated hours, about two minutes"]
fn a_thousand_hours_without_a_collision_or_deadlock() {
    for seed in [7001, 7002] {
        let thousand = Setting { hours: 1000, seed, ..setting(Choice::LeastSlack) };
        let outcome = stretch(thousand, 2, &ProgressBar::hidden()).unwrap();
        assert_safe(&outcome, seed);
        assert!(outcome.orders > 195_000);
        assert!(on_time(&outcome) >= 0.98, "{:.4} on time with seed {seed}", on_time(&outcome));
        // A busy machine may interrupt a step, not one in a thousand.
        let [most_ms] = planning_ms(&outcome, [0.999]);
        assert!(most_ms < 50.0, "planning takes {most_ms} ms");
    }
}
