//! How receipts compare with what was owed.
//!
//! A *line* is a credential and a SKU; two receipts of one credential are added up. Only what would be charged without
//! anybody looking counts: a line in review is charged nothing until somebody has looked, so it is never a hit.

use std::collections::{BTreeMap, BTreeSet};

use linefree_recording::Receipts;
use serde::Serialize;

/// Bins of probability for the calibration error.
const BINS: usize = 10;

/// Counts that can be added up over runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// Units charged that were owed.
    pub hits: u64,
    /// Units charged that were not owed.
    pub false_charges: u64,
    /// Units owed that were not charged.
    pub misses: u64,
    /// Lines that were owed.
    pub lines: u64,
    /// Lines with a wrong quantity, a missing one among them, at which nobody looks.
    pub wrong_unreviewed: u64,
    /// Lines in review.
    pub in_review: u64,
    /// Receipts of everybody who owes or is charged something, or entered.
    pub receipts: u64,
    /// Receipts on which everything is right and nothing is in review.
    pub exact: u64,
    /// Told lines by probability: how many, sum of probabilities, how many right.
    bins: [(u64, f64, u64); BINS],
    /// Runs.
    pub runs: u64,
    /// Shelf events that the pipeline saw.
    pub shelf_events: u64,
    /// Seconds that the pipeline took.
    pub elapsed_s: f64,
    /// Seconds that the recordings are long.
    pub recorded_s: f64,
}

/// One line of a receipt as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Told {
    /// Units charged.
    pub charged: u32,
    /// Units that wait for a person.
    pub waiting: u32,
    /// Does a part of it wait?
    pub review: bool,
}

/// Credential (empty for nobody's) and SKU.
pub type LineKey = (String, String);

/// Receipts as one table.
#[must_use]
pub fn table(receipts: &Receipts) -> BTreeMap<LineKey, Told> {
    let mut lines: BTreeMap<LineKey, Told> = BTreeMap::new();
    for receipt in &receipts.receipts {
        let who = receipt.credential.as_ref().map(ToString::to_string).unwrap_or_default();
        for l in &receipt.lines {
            let line = lines.entry((who.clone(), l.sku.to_string())).or_default();
            if l.review.unwrap_or(false) {
                line.waiting += l.quantity;
                line.review = true;
            } else {
                line.charged += l.quantity;
            }
        }
    }
    lines
}

impl Tally {
    /// Compares the receipts of one run.
    #[must_use]
    pub fn of(got: &Receipts, expected: &Receipts) -> Self {
        let mut tally = Self { runs: 1, ..Self::default() };
        let owed = table(expected);
        let told = table(got);
        let people = |r: &Receipts, all: bool| -> BTreeSet<String> {
            let counted = r.receipts.iter().filter(|r| all || !r.lines.is_empty());
            counted.map(|r| r.credential.as_ref().map(ToString::to_string).unwrap_or_default()).collect()
        };
        let mut exact = people(expected, true);
        exact.extend(people(got, false));
        tally.receipts = exact.len() as u64;
        tally.lines = owed.len() as u64;
        let keys: BTreeSet<&LineKey> = owed.keys().chain(told.keys()).collect();
        for key in keys {
            let owes = owed.get(key).map_or(0, |l| l.charged);
            let line = told.get(key).copied().unwrap_or_default();
            let hits = owes.min(line.charged);
            tally.hits += u64::from(hits);
            tally.false_charges += u64::from(line.charged - hits);
            tally.misses += u64::from(owes - hits);
            if line.review {
                tally.in_review += 1;
            } else if line.charged != owes {
                tally.wrong_unreviewed += 1;
            }
            if line.review || line.charged != owes {
                exact.remove(&key.0);
            }
        }
        tally.exact = exact.len() as u64;
        for receipt in &got.receipts {
            let who = receipt.credential.as_ref().map(ToString::to_string).unwrap_or_default();
            for line in &receipt.lines {
                let Some(p) = line.probability else { continue };
                let key = (who.clone(), line.sku.to_string());
                // Of two receipts of one credential, each line stands for the sum.
                let whole = told.get(&key).map_or(line.quantity, |t| t.charged + t.waiting);
                let right = owed.get(&key).is_some_and(|o| o.charged == whole);
                let bin = &mut tally.bins[((p * BINS as f64) as usize).min(BINS - 1)];
                bin.0 += 1;
                bin.1 += p;
                bin.2 += u64::from(right);
            }
        }
        tally
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.false_charges += other.false_charges;
        self.misses += other.misses;
        self.lines += other.lines;
        self.wrong_unreviewed += other.wrong_unreviewed;
        self.in_review += other.in_review;
        self.receipts += other.receipts;
        self.exact += other.exact;
        self.runs += other.runs;
        self.shelf_events += other.shelf_events;
        self.elapsed_s += other.elapsed_s;
        self.recorded_s += other.recorded_s;
        for (mine, theirs) in self.bins.iter_mut().zip(other.bins) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
            mine.2 += theirs.2;
        }
    }

    /// F1 over units; 1 where nothing was owed and nothing charged.
    #[must_use]
    pub fn receipt_f1(&self) -> f64 {
        let all = 2 * self.hits + self.false_charges + self.misses;
        if all == 0 { 1.0 } else { 2.0 * self.hits as f64 / all as f64 }
    }

    /// Units that were lost: charged wrongly or not at all.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.false_charges + self.misses
    }

    /// Expected calibration error: mean distance between told probability and share of right lines, by bins.
    #[must_use]
    pub fn ece(&self) -> f64 {
        let told: u64 = self.bins.iter().map(|b| b.0).sum();
        let off = |(n, p, right): &(u64, f64, u64)| if *n == 0 { 0.0 } else { (p - *right as f64).abs() };
        if told == 0 { 0.0 } else { self.bins.iter().map(off).sum::<f64>() / told as f64 }
    }

    /// The figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let share = |n: u64, of: u64| if of == 0 { 0.0 } else { n as f64 / of as f64 };
        let round = |v: f64| (v * 1e6).round() / 1e6;
        Figures {
            receipt_f1: round(self.receipt_f1()),
            exact_receipts: round(share(self.exact, self.receipts)),
            wrong_unreviewed_rate: round(share(self.wrong_unreviewed, self.lines)),
            review_rate: round(share(self.in_review, self.lines)),
            ece: round(self.ece()),
            lines: self.lines,
            receipts: self.receipts,
            runs: self.runs,
            events_per_second: (self.shelf_events as f64 / self.elapsed_s.max(1e-9)).round(),
            times_real_time: (self.recorded_s / self.elapsed_s.max(1e-9)).round(),
        }
    }
}

/// The figures of a tally.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// F1 over units of receipt lines; what is in review is a miss.
    pub receipt_f1: f64,
    /// Share of receipts on which everything is right and nothing in review.
    pub exact_receipts: f64,
    /// Lines wrong and not in review, over lines owed.
    pub wrong_unreviewed_rate: f64,
    /// Lines in review, over lines owed.
    pub review_rate: f64,
    /// Expected calibration error in ten bins.
    pub ece: f64,
    /// Lines owed.
    pub lines: u64,
    /// Receipts.
    pub receipts: u64,
    /// Recordings.
    pub runs: u64,
    /// Shelf events a second and core.
    pub events_per_second: f64,
    /// Length of the recordings over the time that replay took, a core.
    pub times_real_time: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who, what, how many; and what was told of it.
    type Given = (&'static str, &'static str, u32, Option<(f64, bool)>);

    fn receipts(lines: &[Given]) -> Receipts {
        let mut by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (who, sku, quantity, told) in lines {
            let list = by.entry(who).or_default();
            if *quantity > 0 {
                let more = told.map_or(String::new(), |(p, r)| format!(r#","probability":{p},"review":{r}"#));
                list.push(format!(r#"{{"sku":"{sku}","quantity":{quantity}{more}}}"#));
            }
        }
        let list: Vec<String> = by
            .iter()
            .map(|(who, l)| format!(r#"{{"credential":"{who}","lines":[{}]}}"#, l.join(",")))
            .collect();
        serde_json::from_str(&format!(r#"{{"receipts":[{}]}}"#, list.join(","))).unwrap()
    }

    #[test]
    fn review_is_no_hit_and_a_missing_line_is_wrong() {
        let expected =
            receipts(&[("a", "x", 2, None), ("a", "y", 1, None), ("a", "z", 1, None), ("b", "x", 0, None)]);
        let told = receipts(&[
            ("a", "x", 1, Some((0.95, false))),
            ("a", "y", 1, Some((0.6, true))),
            ("a", "w", 1, Some((0.9, false))),
            ("b", "x", 0, None),
        ]);
        let t = Tally::of(&told, &expected);
        // One of two x; y waits; z is missing; w is invented.
        assert_eq!((t.hits, t.false_charges, t.misses), (1, 1, 3));
        assert_eq!((t.lines, t.wrong_unreviewed, t.in_review), (3, 3, 1));
        assert_eq!((t.receipts, t.exact), (2, 1));
        let f = t.figures();
        assert!((f.receipt_f1 - 2.0 / 6.0).abs() < 1e-6, "{f:?}");
        assert!((f.wrong_unreviewed_rate - 1.0).abs() < 1e-6 && (f.review_rate - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn perfect_is_one_and_calibration_counts_both_ways() {
        let expected = receipts(&[("a", "x", 1, None), ("a", "y", 1, None)]);
        let told = receipts(&[("a", "x", 1, Some((0.9, false))), ("a", "y", 1, Some((0.7, true)))]);
        let t = Tally::of(&told, &expected);
        // Both right, said to be 0.9 and 0.7: off by 0.1 and 0.3.
        assert!((t.ece() - 0.2).abs() < 1e-9);
        let t = Tally::of(&expected, &expected);
        assert!((t.receipt_f1() - 1.0).abs() < 1e-12);
        assert_eq!((t.exact, t.receipts, t.wrong_unreviewed), (1, 1, 0));
        let nobody = receipts(&[("a", "x", 0, None)]);
        assert!((Tally::of(&nobody, &nobody).receipt_f1() - 1.0).abs() < 1e-12);
    }
}
