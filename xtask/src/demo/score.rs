//! Compares the receipts that reached the cloud with those that the recording expects. Pure.
//!
//! A line is one product on one credential's receipt. Receipts of one credential (somebody who came twice) count
//! together. Of each line, `expected`, `charged` (on the receipt without review) and `in_review` are quantities:
//!
//! | line is | when |
//! | --- | --- |
//! | in review | some of it is in review, and no more is charged than expected |
//! | right | nothing of it is in review, and exactly what is expected is charged |
//! | wrong | anything else: another quantity, a product that was not taken, or one that is missing altogether |
//!
//! So a wrong line is one that nobody would look at before money moves, or that money would never move for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// `expected.json`, and what replay writes.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Receipts {
    /// One a visit, or one a credential.
    pub receipts: Vec<Receipt>,
}

/// One receipt, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// `None` for a shopper who was never seen entering.
    pub credential: Option<String>,
    /// What is on it.
    pub lines: Vec<Line>,
}

/// One product on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Which product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// Must a person look before it is charged? Expected lines never say so.
    #[serde(default)]
    pub review: bool,
}

/// How many lines are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// Lines that the recording expects.
    pub expected: u32,
    /// Charged exactly as expected.
    pub right: u32,
    /// Would go through unseen, and is not what happened.
    pub wrong: u32,
    /// A person looks at it first.
    pub in_review: u32,
}

/// What became of one line that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose receipt.
    pub credential: Option<String>,
    /// Which product.
    pub sku: String,
    /// How many were taken.
    pub expected: u32,
    /// How many would be charged without a look.
    pub charged: u32,
    /// How many a person looks at first.
    pub in_review: u32,
    /// `wrong` or `in_review`.
    pub verdict: &'static str,
}

/// The whole comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Lines by verdict.
    pub lines: Lines,
    /// Credentials whose receipt never came.
    pub missing: Vec<String>,
    /// Every line that is not right.
    pub differences: Vec<Difference>,
}

/// Share of the expected lines that must be right without review, percent.
pub const RIGHT_AT_LEAST_PERCENT: u32 = 90;

impl Score {
    /// Why this is not good enough; empty when it is.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        let Lines { expected, right, wrong, .. } = self.lines;
        let mut why = Vec::new();
        if u64::from(right) * 100 < u64::from(expected) * u64::from(RIGHT_AT_LEAST_PERCENT) {
            why.push(format!(
                "{right} of {expected} expected lines are right without review, at least \
                 {RIGHT_AT_LEAST_PERCENT} % must be"
            ));
        }
        if wrong > 0 {
            why.push(format!("{wrong} lines are wrong and not in review"));
        }
        if !self.missing.is_empty() {
            why.push(format!("no receipt came for {}", self.missing.join(", ")));
        }
        if expected == 0 {
            why.push("the recording expects no line at all: nothing was measured".into());
        }
        why
    }
}

#[derive(Default)]
struct Tally {
    expected: u32,
    charged: u32,
    in_review: u32,
}

/// Compares what is expected with what came.
#[must_use]
pub fn score(expected: &Receipts, came: &Receipts) -> Score {
    let mut tallies: BTreeMap<(Option<&str>, &str), Tally> = BTreeMap::new();
    let lines = |receipts: &'_ Receipts| -> Vec<(Option<String>, Line)> {
        let of = |r: &Receipt| r.lines.iter().map(|l| (r.credential.clone(), l.clone())).collect::<Vec<_>>();
        receipts.receipts.iter().flat_map(of).collect()
    };
    let (wanted, got) = (lines(expected), lines(came));
    for (credential, line) in &wanted {
        tallies.entry((credential.as_deref(), &line.sku)).or_default().expected += line.quantity;
    }
    for (credential, line) in &got {
        let tally = tallies.entry((credential.as_deref(), &line.sku)).or_default();
        *(if line.review { &mut tally.in_review } else { &mut tally.charged }) += line.quantity;
    }

    let mut result = Score::default();
    for ((credential, sku), tally) in tallies {
        let Tally { expected, charged, in_review } = tally;
        result.lines.expected += u32::from(expected > 0);
        let verdict = if in_review > 0 && charged <= expected {
            result.lines.in_review += 1;
            "in_review"
        } else if in_review == 0 && charged == expected {
            result.lines.right += u32::from(expected > 0);
            continue;
        } else {
            result.lines.wrong += 1;
            "wrong"
        };
        let credential = credential.map(str::to_owned);
        result.differences.push(Difference {
            credential,
            sku: sku.into(),
            expected,
            charged,
            in_review,
            verdict,
        });
    }
    let names =
        |r: &Receipts| r.receipts.iter().filter_map(|r| r.credential.clone()).collect::<BTreeSet<_>>();
    result.missing = names(expected).difference(&names(came)).cloned().collect();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(json: &str) -> Receipts {
        serde_json::from_str(&format!("{{\"receipts\": {json}}}")).unwrap()
    }

    fn lines(expected: u32, right: u32, wrong: u32, in_review: u32) -> Lines {
        Lines { expected, right, wrong, in_review }
    }

    #[test]
    fn equal_receipts_are_right_in_any_order() {
        let expected = receipts(
            r#"[{"credential": "a", "lines": [{"sku": "x", "quantity": 2}, {"sku": "y", "quantity": 1}]},
                {"credential": "b", "lines": []}]"#,
        );
        let came = receipts(
            r#"[{"credential": "b", "lines": []},
                {"credential": "a", "visit": "v1", "lines": [
                    {"sku": "y", "name": "Why", "quantity": 1, "review": false, "probability": 1.0},
                    {"sku": "x", "quantity": 2, "review": false}]}]"#,
        );
        let score = score(&expected, &came);
        assert_eq!(score.lines, lines(2, 2, 0, 0));
        assert_eq!(score.shortfalls(), Vec::<String>::new());
    }

    #[test]
    fn each_way_to_be_wrong_counts_once() {
        let expected = receipts(
            r#"[{"credential": "a", "lines": [{"sku": "quantity", "quantity": 2}, {"sku": "missing", "quantity": 1}]},
                {"credential": "b", "lines": [{"sku": "swapped", "quantity": 1}]}]"#,
        );
        let came = receipts(
            r#"[{"credential": "a", "lines": [{"sku": "quantity", "quantity": 1}, {"sku": "extra", "quantity": 1},
                                              {"sku": "swapped", "quantity": 1}]},
                {"credential": "b", "lines": []}]"#,
        );
        let score = score(&expected, &came);
        // quantity, missing, extra, swapped on a (charged to the wrong one), swapped on b (missing).
        assert_eq!(score.lines, lines(3, 0, 5, 0));
        assert_eq!(score.shortfalls().len(), 2);
    }

    #[test]
    fn review_excuses_a_line_unless_too_much_is_charged() {
        let expected = receipts(r#"[{"credential": "a", "lines": [{"sku": "x", "quantity": 2}]}]"#);
        let with = |lines: &str| {
            score(&expected, &receipts(&format!(r#"[{{"credential": "a", "lines": {lines}}}]"#))).lines
        };
        let x = |quantity: u32, review: bool| {
            format!(r#"{{"sku": "x", "quantity": {quantity}, "review": {review}}}"#)
        };
        assert_eq!(with(&format!("[{}]", x(2, true))), lines(1, 0, 0, 1), "right, but somebody must look");
        assert_eq!(with(&format!("[{}]", x(5, true))), lines(1, 0, 0, 1), "wrong, but somebody looks");
        assert_eq!(with(&format!("[{}, {}]", x(1, false), x(1, true))), lines(1, 0, 0, 1), "half of it");
        assert_eq!(
            with(&format!("[{}, {}]", x(3, false), x(1, true))),
            lines(1, 0, 1, 0),
            "one too many charged"
        );
        let stranger = format!(r#"[{}, {{"sku": "z", "quantity": 1, "review": true}}]"#, x(2, false));
        assert_eq!(with(&stranger), lines(1, 1, 0, 1), "an unexpected line that somebody looks at");
    }

    #[test]
    fn two_visits_of_one_credential_count_together_and_a_missing_receipt_is_named() {
        let expected = receipts(
            r#"[{"credential": "a", "lines": [{"sku": "x", "quantity": 2}]}, {"credential": "b", "lines": []}]"#,
        );
        let came = receipts(
            r#"[{"credential": "a", "lines": [{"sku": "x", "quantity": 1}]},
                {"credential": "a", "lines": [{"sku": "x", "quantity": 1}]},
                {"credential": null, "lines": [{"sku": "y", "quantity": 1, "review": true}]}]"#,
        );
        let score = score(&expected, &came);
        assert_eq!(score.lines, lines(1, 1, 0, 1));
        assert_eq!(score.shortfalls(), ["no receipt came for b"]);
    }

    #[test]
    fn nine_of_ten_is_enough_and_less_is_not() {
        let of = |right, expected| Score {
            lines: lines(expected, right, 0, expected - right),
            ..Score::default()
        };
        assert!(of(9, 10).shortfalls().is_empty());
        assert!(!of(8, 9).shortfalls().is_empty());
        assert!(!of(0, 0).shortfalls().is_empty(), "an empty recording proves nothing");
    }
}
