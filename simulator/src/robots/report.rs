//! The tables of `simulator robots`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use indicatif::ProgressBar;
use linefree_domain::fulfilment::dispatch::Choice;

use super::floor::Floor;
use super::run::{Outcome, Setting, run};

/// Simulates `hours` in stretches of at most 20, each with a seed of its own, `jobs` at once.
///
/// # Errors
/// When the floor cannot be made.
pub fn stretch(setting: Setting, jobs: usize, bar: &ProgressBar) -> anyhow::Result<Outcome> {
    let floor = Floor::for_robots(setting.robots)?;
    let stretches = setting.hours.div_ceil(20);
    let next = AtomicU32::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (send, next, floor) = (send.clone(), &next, &floor);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= stretches {
                        break;
                    }
                    let hours = (setting.hours - i * 20).min(20);
                    let seed = setting.seed.wrapping_add(u64::from(i) << 32);
                    let outcome = run(floor, Setting { hours, seed, ..setting });
                    bar.inc(u64::from(hours));
                    if send.send(outcome).is_err() {
                        break;
                    }
                }
            });
        }
    });
    drop(send);
    let mut total = Outcome::default();
    for outcome in receive {
        total.add(&outcome?);
    }
    Ok(total)
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    "| choice | robots | hours | orders | on time | mean min | collisions | deadlocks | lost | breakdowns | planning ms: median | 99.9 % | worst |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n".to_owned()
}

/// One row.
#[must_use]
pub fn row(setting: &Setting, outcome: &Outcome) -> String {
    let mut times = outcome.planning_us.clone();
    times.sort_unstable();
    let ms = |share: f64| {
        let i = ((times.len().saturating_sub(1)) as f64 * share) as usize;
        f64::from(times.get(i).copied().unwrap_or(0)) / 1000.0
    };
    let name = match setting.choice {
        Choice::FirstCome => "first come",
        Choice::NearestFirst => "nearest first",
        Choice::LeastSlack => "least slack",
    };
    let orders = outcome.orders.max(1) as f64;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "| {name} | {} | {} | {} | {:.2} % | {:.1} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} |",
        setting.robots,
        setting.hours,
        outcome.orders,
        outcome.on_time as f64 / orders * 100.0,
        outcome.took_s / orders / 60.0,
        outcome.collisions,
        outcome.deadlocks,
        outcome.lost,
        outcome.breakdowns,
        ms(0.5),
        ms(0.999),
        ms(1.0),
    );
    text
}
