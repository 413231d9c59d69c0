//! Scenarios by seeds, on all cores, with the same figures whatever the number of cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use edge_agent::replay::replay;
use indicatif::ProgressBar;
use linefree_recording::Receipts;

use super::baseline::baseline;
use super::metrics::Tally;
use crate::scenario::{LayoutKind, Scenario};
use crate::simulation::{Evidence, Simulation};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which scenarios.
    pub scenarios: Vec<Scenario>,
    /// Which seeds.
    pub seeds: Vec<u64>,
    /// Which store; each scenario's own for none.
    pub layout: Option<LayoutKind>,
    /// What to leave out.
    pub without: Vec<Evidence>,
    /// How many at once.
    pub jobs: usize,
    /// Run the yardstick too?
    pub baseline: bool,
}

/// What came of one scenario and seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Position of the scenario in [`Options::scenarios`].
    pub scenario: usize,
    /// The seed.
    pub seed: u64,
    /// What is counted.
    pub tally: Tally,
    /// The yardstick's.
    pub baseline: Option<Tally>,
    /// What was owed.
    pub expected: Receipts,
    /// What came out.
    pub got: Receipts,
    /// What happened, in words.
    pub story: Vec<String>,
}

/// Reads `3`, `1..20` (without 20) or `1..=20`.
///
/// # Errors
/// When it is none of these, or no seed at all.
pub fn seeds(text: &str) -> anyhow::Result<Vec<u64>> {
    let number =
        |t: &str| t.trim().parse::<u64>().with_context(|| format!("{t:?} is no seed; write --seeds 1..20"));
    let seeds: Vec<u64> = if let Some((from, to)) = text.split_once("..=") {
        (number(from)?..=number(to)?).collect()
    } else if let Some((from, to)) = text.split_once("..") {
        (number(from)?..number(to)?).collect()
    } else {
        vec![number(text)?]
    };
    ensure!(!seeds.is_empty(), "{text} holds no seed; 1..20 is 1 to 19");
    Ok(seeds)
}

/// Runs everything. Failures come last, each with what to run to see it again.
#[must_use]
pub fn run(options: &Options, bar: &ProgressBar) -> (Vec<Outcome>, Vec<String>) {
    let work: Vec<(usize, u64)> =
        (0..options.scenarios.len()).flat_map(|s| options.seeds.iter().map(move |seed| (s, *seed))).collect();
    bar.set_length(work.len() as u64);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Outcome, String>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, 256) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, seed)) = work.get(i).copied() else { return };
                    let outcome = one(options, scenario, seed).map_err(|error| {
                        let name = &options.scenarios[scenario].name;
                        format!("{name} with seed {seed} failed: {error:#}\n  see it again: simulator score --scenarios {name} --seeds {seed}")
                    });
                    if let Ok(mut done) = done.lock() {
                        done.push((i, outcome));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_default();
    // The order of work, not of whoever was faster.
    done.sort_by_key(|(i, _)| *i);
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for (_, outcome) in done {
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) => failures.push(failure),
        }
    }
    (outcomes, failures)
}

fn one(options: &Options, scenario: usize, seed: u64) -> anyhow::Result<Outcome> {
    let plan = &options.scenarios[scenario];
    let layout = options.layout.unwrap_or_else(|| plan.home());
    let mut simulation = Simulation::run(plan, layout, seed, &options.without)?;
    let dir = tempfile::tempdir().context("make a folder for a recording")?;
    simulation.write(dir.path())?;
    let yardstick = options.baseline.then(|| baseline(&simulation)).transpose()?;
    // A long recording's samples are many; replay reads its own.
    simulation.samples = Vec::new();
    let replayed = replay(dir.path(), false, None)?;
    let expected = simulation.happened.receipts.clone();
    let mut tally = Tally::of(&replayed.receipts, &expected);
    tally.shelf_events = replayed.report.counters.get("shelf_events").copied().unwrap_or(0);
    tally.elapsed_s = replayed.report.elapsed_s;
    tally.recorded_s = replayed.report.duration_s;
    Ok(Outcome {
        scenario,
        seed,
        tally,
        baseline: yardstick.map(|told| Tally::of(&told, &expected)),
        expected,
        got: replayed.receipts,
        story: simulation.happened.story,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_as_in_rust() {
        assert_eq!(seeds("3").unwrap(), [3]);
        assert_eq!(seeds("1..4").unwrap(), [1, 2, 3]);
        assert_eq!(seeds("1..=3").unwrap(), [1, 2, 3]);
        for wrong in ["", "a..b", "4..4", "..", "-1..3"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
