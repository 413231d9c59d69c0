//! What a run cost and what came of it, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use linefree_recording::Receipts;
use serde::Serialize;

/// A stage of the way from frames to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading and decoding a frame.
    Decode,
    /// Seeing whether anything has changed.
    Glance,
    /// Letterbox and normalisation.
    Preprocess,
    /// The model.
    Run,
    /// Decoding the model's output and suppression.
    Postprocess,
    /// Tracking in the image and projection to the floor.
    Track,
}

const STAGES: [(Stage, &str); 6] = [
    (Stage::Decode, "decode"),
    (Stage::Glance, "glance"),
    (Stage::Preprocess, "preprocess"),
    (Stage::Run, "run"),
    (Stage::Postprocess, "postprocess"),
    (Stage::Track, "track"),
];

/// Time spent by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    spent: [Duration; STAGES.len()],
}

impl Stages {
    /// Adds to a stage.
    pub fn add(&mut self, stage: Stage, spent: Duration) {
        self.spent[stage as usize] += spent;
    }

    /// Adds another camera's times.
    pub fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.spent.iter_mut().zip(other.spent) {
            *mine += theirs;
        }
    }

    /// Mean milliseconds a frame, by stage.
    #[must_use]
    pub fn ms_per_frame(&self, frames: u64) -> BTreeMap<&'static str, f64> {
        let frames = frames.max(1) as f64;
        let ms = |d: Duration| (d.as_secs_f64() * 1e6 / frames).round() / 1e3;
        STAGES.iter().map(|(stage, name)| (*name, ms(self.spent[*stage as usize]))).collect()
    }
}

/// How receipts compare with what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LineScore {
    /// Lines that were expected.
    pub expected: usize,
    /// Expected lines that are there with the right quantity and need no review.
    pub right: usize,
    /// Lines that would be charged wrongly or not at all, without anybody looking.
    pub wrong: usize,
    /// Lines that wait for a person.
    pub in_review: usize,
}

impl LineScore {
    /// Compares line by line: a line is a credential, a SKU and a quantity.
    #[must_use]
    pub fn of(receipts: &Receipts, expected: &Receipts) -> Self {
        // A credential that came twice has two receipts; what it took is their sum.
        let table = |r: &Receipts| {
            let mut lines: BTreeMap<(String, String), (u32, bool)> = BTreeMap::new();
            for receipt in &r.receipts {
                let who = receipt.credential.as_ref().map(ToString::to_string).unwrap_or_default();
                for l in &receipt.lines {
                    let line = lines.entry((who.clone(), l.sku.to_string())).or_default();
                    line.0 += l.quantity;
                    line.1 |= l.review.unwrap_or(false);
                }
            }
            lines
        };
        let (got, wanted) = (table(receipts), table(expected));
        let mut score = Self { expected: wanted.len(), ..Self::default() };
        for (key, (quantity, review)) in &got {
            if *review {
                score.in_review += 1;
            } else if wanted.get(key).is_some_and(|(q, _)| q == quantity) {
                score.right += 1;
            } else {
                score.wrong += 1;
            }
        }
        score.wrong += wanted.keys().filter(|key| !got.contains_key(*key)).count();
        score
    }
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Length of the recording, seconds.
    pub duration_s: f64,
    /// What it took, seconds.
    pub elapsed_s: f64,
    /// Length over time taken.
    pub times_real_time: f64,
    /// Video frames seen.
    pub frames: u64,
    /// Mean milliseconds a frame, by stage.
    pub ms_per_stage: BTreeMap<&'static str, f64>,
    /// What went in and what was refused, by name.
    pub counters: BTreeMap<&'static str, u64>,
    /// What this recording cannot tell, and why.
    pub missing: Vec<String>,
    /// Faults that were seen.
    pub faults: Vec<String>,
    /// Comparison with expected.json, where there is one.
    pub lines: Option<LineScore>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(json: &str) -> Receipts {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_line_is_right_wrong_or_in_review() {
        let expected = receipts(
            r#"{"receipts":[{"credential":"c1","lines":[
                {"sku":"a","quantity":1},{"sku":"b","quantity":2},{"sku":"c","quantity":1}]}]}"#,
        );
        let got = receipts(
            r#"{"receipts":[{"credential":"c1","lines":[
                {"sku":"a","quantity":1,"probability":0.99,"review":false},
                {"sku":"b","quantity":1,"probability":0.6,"review":true},
                {"sku":"d","quantity":1,"probability":0.95,"review":false}]}]}"#,
        );
        // a is right, b waits, d would be charged wrongly, c is forgotten.
        let score = LineScore::of(&got, &expected);
        assert_eq!(score, LineScore { expected: 3, right: 1, wrong: 2, in_review: 1 });
    }
}
