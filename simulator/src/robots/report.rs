//! The tables of `simulator robots`.

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
                    bar.inc(u64::from(hours) * setting.robots as u64);
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
    let columns = [
        "choice",
        "robots",
        "staff",
        "orders/h",
        "hours",
        "orders",
        "on time",
        "without staff",
        "by staff",
        "mean min",
        "worst min",
        "busy",
        "collisions",
        "deadlocks",
        "lost",
        "breakdowns",
        "planning ms: median",
        "99.9 %",
        "worst",
    ];
    format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()))
}

/// How a choice is called.
#[must_use]
pub fn name(choice: Choice) -> &'static str {
    match choice {
        Choice::FirstCome => "first come",
        Choice::NearestFirst => "nearest first",
        Choice::LeastSlack => "least slack",
    }
}

/// The planning times that a share of the steps stay under, milliseconds.
#[must_use]
pub fn planning_ms<const N: usize>(outcome: &Outcome, shares: [f64; N]) -> [f64; N] {
    let mut times = outcome.planning_us.clone();
    times.sort_unstable();
    shares.map(|share| {
        let i = ((times.len().saturating_sub(1)) as f64 * share) as usize;
        f64::from(times.get(i).copied().unwrap_or(0)) / 1000.0
    })
}

/// One row.
#[must_use]
pub fn row(setting: &Setting, outcome: &Outcome) -> String {
    let orders = outcome.orders.max(1) as f64;
    let percent = |n: u64| format!("{:.2} %", n as f64 / orders * 100.0);
    let [median, most, worst] = planning_ms(outcome, [0.5, 0.999, 1.0]);
    let busy = outcome.busy_s / outcome.robot_s.max(1.0);
    let cells = [
        name(setting.choice).to_owned(),
        setting.robots.to_string(),
        setting.staff.to_string(),
        format!("{:.0}", setting.orders_per_hour),
        setting.hours.to_string(),
        outcome.orders.to_string(),
        percent(outcome.on_time),
        percent(outcome.on_time - outcome.on_time_by_staff),
        outcome.by_staff.to_string(),
        format!("{:.1}", outcome.took_s / orders / 60.0),
        format!("{:.0}", outcome.worst_s / 60.0),
        format!("{:.0} %", busy * 100.0),
        outcome.collisions.to_string(),
        outcome.deadlocks.to_string(),
        outcome.lost.to_string(),
        outcome.breakdowns.to_string(),
        format!("{median:.2}"),
        format!("{most:.2}"),
        format!("{worst:.2}"),
    ];
    format!("| {} |\n", cells.join(" | "))
}
