//! Figures as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::metrics::{Figures, Tally, table};
use super::run::{Options, Outcome};
use crate::scenario::ScenarioKind;

/// One scenario's figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// What it is about.
    pub kind: &'static str,
    /// Is it part of the total?
    pub counted: bool,
    /// The engine's figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The yardstick's F1, where it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_f1: Option<f64>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// By name.
    pub scenarios: BTreeMap<String, Row>,
    /// All that are counted, unit by unit and line by line.
    pub total: Row,
    /// Which seeds.
    pub seeds: Vec<u64>,
    /// What was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Runs that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

fn row(kind: &'static str, counted: bool, outcomes: &[&Outcome]) -> Row {
    let mut tally = Tally::default();
    let mut yardstick: Option<Tally> = None;
    for outcome in outcomes {
        tally.add(&outcome.tally);
        if let Some(baseline) = &outcome.baseline {
            yardstick.get_or_insert_default().add(baseline);
        }
    }
    Row { kind, counted, figures: tally.figures(), baseline_f1: yardstick.map(|t| t.figures().receipt_f1) }
}

impl Report {
    /// Adds everything up.
    #[must_use]
    pub fn new(options: &Options, outcomes: &[Outcome], failures: Vec<String>) -> Self {
        // What is only reported counts where it is all there is.
        let reported = |o: &Outcome| options.scenarios[o.scenario].kind == ScenarioKind::Reported;
        let all_reported = outcomes.iter().all(reported);
        let mut scenarios = BTreeMap::new();
        for (i, scenario) in options.scenarios.iter().enumerate() {
            let own: Vec<&Outcome> = outcomes.iter().filter(|o| o.scenario == i).collect();
            let counted = scenario.kind != ScenarioKind::Reported || all_reported;
            if !own.is_empty() {
                scenarios.insert(scenario.name.clone(), row(scenario.kind.word(), counted, &own));
            }
        }
        let counted: Vec<&Outcome> = outcomes.iter().filter(|o| all_reported || !reported(o)).collect();
        let without = options.without.iter().map(|w| format!("{w:?}").to_lowercase()).collect();
        Self {
            scenarios,
            total: row("total", true, &counted),
            seeds: options.seeds.clone(),
            without,
            failures,
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let wide = self.scenarios.keys().map(String::len).max().unwrap_or(8).max(8);
        let mut out = String::new();
        let head = ["f1", "exact", "wrong", "review", "ece", "lines", "base f1"];
        let _ = write!(out, "{:wide$}  {:9}", "scenario", "kind");
        for name in head {
            let _ = write!(out, " {name:>8}");
        }
        out.push('\n');
        let total = ("total".to_owned(), self.total);
        for (name, row) in self.scenarios.iter().map(|(n, r)| (n.clone(), *r)).chain([total]) {
            let f = row.figures;
            let base = row.baseline_f1.map_or(String::new(), |b| format!("{b:.3}"));
            let kind = if row.counted { row.kind.to_owned() } else { format!("({})", row.kind) };
            let _ = writeln!(
                out,
                "{name:wide$}  {kind:9} {:8.3} {:8.3} {:8.4} {:8.3} {:8.3} {:8} {base:>8}",
                f.receipt_f1, f.exact_receipts, f.wrong_unreviewed_rate, f.review_rate, f.ece, f.lines
            );
        }
        let f = self.total.figures;
        let _ = writeln!(
            out,
            "{} recordings; {:.0} shelf events/s, {:.0} times real time a core",
            f.runs, f.events_per_second, f.times_real_time
        );
        out
    }
}

/// The runs that lost most units, with what was owed and what came out.
#[must_use]
pub fn worst(options: &Options, outcomes: &[Outcome], count: usize) -> String {
    let mut order: Vec<&Outcome> =
        outcomes.iter().filter(|o| o.tally.lost() > 0 || o.tally.in_review > 0).collect();
    order.sort_by_key(|o| {
        (std::cmp::Reverse(o.tally.lost()), std::cmp::Reverse(o.tally.in_review), o.scenario, o.seed)
    });
    let mut out = String::new();
    for outcome in order.into_iter().take(count) {
        let name = &options.scenarios[outcome.scenario].name;
        let t = &outcome.tally;
        let _ = writeln!(
            out,
            "\n{name} --seed {}: F1 {:.3}, {} units charged wrongly, {} missed, {} lines in review",
            outcome.seed,
            t.receipt_f1(),
            t.false_charges,
            t.misses,
            t.in_review
        );
        for line in &outcome.story {
            let _ = writeln!(out, "  {line}");
        }
        let (owed, told) = (table(&outcome.expected), table(&outcome.got));
        let mut keys: Vec<_> = owed.keys().chain(told.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let owes = owed.get(key).map_or(0, |l| l.charged);
            let line = told.get(key).copied().unwrap_or_default();
            let lines = outcome
                .got
                .receipts
                .iter()
                .filter(|r| r.credential.as_ref().map(ToString::to_string).unwrap_or_default() == key.0);
            let p =
                lines.flat_map(|r| &r.lines).find(|l| l.sku.as_str() == key.1).and_then(|l| l.probability);
            let mark = if line.review {
                "review"
            } else if line.charged == owes {
                "right"
            } else {
                "WRONG"
            };
            let who = if key.0.is_empty() { "(nobody's)" } else { &key.0 };
            let _ = writeln!(
                out,
                "  {mark:6} {who:12} {:14} owed {owes}, charged {}, waiting {}{}",
                key.1,
                line.charged,
                line.waiting,
                p.map_or(String::new(), |p| format!(", p = {p:.3}"))
            );
        }
    }
    out
}
