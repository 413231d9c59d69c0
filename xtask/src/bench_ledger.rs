//! The ledger's part of `cargo xtask bench`: durable events beside bare rusqlite, and a day made again.
//!
//! The figures are made by the example `bench_ledger` of store-sync, which prints them as JSON.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;
use crate::say::{self, Running};
use crate::setup::stamp;
use crate::workspace::Workspace;

/// Durable events a second, as a share of what bare rusqlite does with the same batches.
const LEAST_RATIO: f64 = 0.8;

/// Seconds that the projections of a day of 100,000 events may take.
const MOST_REPLAY_S: f64 = 2.0;

/// Measures, prints a table, keeps the JSON.
///
/// # Errors
/// When the program does not build or fails, or when the ledger is slower than is wanted.
pub fn run(workspace: &Workspace, profile: &str) -> Result<()> {
    let example = ["--locked", "-p", "store-sync", "--example", "bench_ledger", "--profile", profile];
    process::loudly(workspace.cargo().arg("build").args(example))?;
    let running = Running::begin(format!("measuring the ledger ({profile} profile)"));
    let mut bench = workspace.cargo();
    bench.args(["run", "--quiet"]).args(example).arg("--").arg(&workspace.target);
    let text = process::output(&mut bench)?;
    running.done("");
    let figures: Figures = serde_json::from_str(&text).context("bench_ledger printed something else")?;
    say::line(figures.table(profile));
    let kept = workspace.target.join("bench").join(format!("ledger-{profile}.json"));
    stamp::write_whole(&kept, text.as_bytes())?;
    say::note(format!("kept in {}", workspace.shown(&kept)));
    let short = figures.shortcomings();
    if !short.is_empty() {
        bail!("{}", short.join("; "));
    }
    Ok(())
}

/// What `bench_ledger` prints; medians.
#[derive(Debug, Deserialize)]
struct Figures {
    events: u32,
    rounds: u32,
    durable: Vec<Durable>,
    durable_and_projected_events_per_s: f64,
    replay_s: f64,
}

#[derive(Debug, Deserialize)]
struct Durable {
    batch_events: u32,
    bare_events_per_s: f64,
    ledger_events_per_s: f64,
    ratio: f64,
}

impl Figures {
    fn table(&self, profile: &str) -> String {
        let mut text = format!(
            "the ledger: {} events, {} rounds, {profile} profile\n\
             events a second    bare rusqlite       ledger    ratio\n",
            self.events, self.rounds
        );
        for row in &self.durable {
            let batch = format!("batches of {}", row.batch_events);
            text += &format!(
                "{batch:<18} {:>13.0} {:>12.0} {:>8.2}\n",
                row.bare_events_per_s, row.ledger_events_per_s, row.ratio
            );
        }
        text += &format!("and projected      {:>26.0}\n", self.durable_and_projected_events_per_s);
        text + &format!("a day made again   {:>24.2} s", self.replay_s)
    }

    fn shortcomings(&self) -> Vec<String> {
        let slow = self.durable.iter().filter(|row| row.ratio < LEAST_RATIO).map(|row| {
            format!(
                "in batches of {} the ledger reaches {:.2} of bare rusqlite, at least {LEAST_RATIO} is wanted",
                row.batch_events, row.ratio
            )
        });
        let replay = (self.replay_s >= MOST_REPLAY_S).then(|| {
            format!("a day takes {:.2} s to project, less than {MOST_REPLAY_S} is wanted", self.replay_s)
        });
        slow.chain(replay).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_example_prints_becomes_a_table_and_a_verdict() {
        let text = r#"{"events": 100000, "rounds": 5, "receipts": 2941, "ledger_bytes": 1, "durable": [
            {"batch_events": 64, "bare_events_per_s": 100000.0, "ledger_events_per_s": 95000.0, "ratio": 0.95},
            {"batch_events": 1000, "bare_events_per_s": 200000.0, "ledger_events_per_s": 150000.0, "ratio": 0.75}],
            "durable_and_projected_events_per_s": 60000.0, "replay_s": 1.5}"#;
        let figures: Figures = serde_json::from_str(text).unwrap();
        let table = figures.table("release");
        assert!(table.contains("batches of 64"), "{table}");
        assert_eq!(table.lines().count(), 6, "{table}");
        let short = figures.shortcomings();
        assert!(short.len() == 1 && short[0].contains("0.75"), "{short:?}");
    }
}
