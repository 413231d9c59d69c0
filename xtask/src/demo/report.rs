//! What the demo measured: for programs as JSON, for people as a small table.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::order::Followed;
use super::score::{Difference, Lines, Score};

/// What the camera role leaves behind.
#[derive(Debug, Default, Deserialize)]
pub struct CameraReport {
    frames: u64,
    ms_per_stage: BTreeMap<String, f64>,
}

impl CameraReport {
    /// Reads what the camera role has written.
    ///
    /// # Errors
    /// When it is not there or not what it should be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }
}

/// The demo's report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Receipts that reached the cloud.
    receipts: usize,
    /// Receipts that the recording expects.
    expected: usize,
    /// Lines by verdict; see [`mod@super::score`].
    lines: Lines,
    /// Frames that were looked at.
    frames: u64,
    /// Mean milliseconds a frame, by stage.
    ms_per_stage: BTreeMap<String, f64>,
    /// Messages that the store's server took from the bus.
    messages: u64,
    /// From the first program's start until the last receipt was in the cloud, seconds.
    elapsed_s: f64,
    /// Length of the recording, seconds.
    duration_s: f64,
    /// What became of the online order, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Followed>,
    /// Is this good enough?
    passed: bool,
    /// Why not.
    shortfalls: Vec<String>,
    /// Credentials whose receipt never came.
    missing: Vec<String>,
    /// Every line that is not right.
    differences: Vec<Difference>,
}

/// What was measured besides the score.
pub struct Measured {
    /// Receipts that reached the cloud.
    pub receipts: usize,
    /// Receipts that the recording expects.
    pub expected: usize,
    /// What the camera role says.
    pub camera: CameraReport,
    /// Messages that the store's server took from the bus.
    pub messages: u64,
    /// How long it took, seconds.
    pub elapsed_s: f64,
    /// Length of the recording, seconds.
    pub duration_s: f64,
    /// The online order, where there is one.
    pub order: Option<Followed>,
}

impl Report {
    /// Puts the score and the figures together.
    #[must_use]
    pub fn new(score: Score, measured: Measured) -> Self {
        let mut shortfalls = score.shortfalls();
        shortfalls.extend(measured.order.iter().flat_map(Followed::shortfalls));
        Self {
            receipts: measured.receipts,
            expected: measured.expected,
            lines: score.lines,
            frames: measured.camera.frames,
            ms_per_stage: measured.camera.ms_per_stage,
            messages: measured.messages,
            elapsed_s: measured.elapsed_s,
            duration_s: measured.duration_s,
            order: measured.order,
            passed: shortfalls.is_empty(),
            shortfalls,
            missing: score.missing,
            differences: score.differences,
        }
    }

    /// Why it is not good enough; empty when it is.
    #[must_use]
    pub fn shortfalls(&self) -> &[String] {
        &self.shortfalls
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let Lines { expected, right, wrong, in_review } = self.lines;
        let mut rows = vec![
            ("receipts in the cloud".to_owned(), format!("{} of {}", self.receipts, self.expected)),
            ("lines expected".into(), expected.to_string()),
            ("  right without review".into(), right.to_string()),
            ("  wrong without review".into(), wrong.to_string()),
            ("  in review".into(), in_review.to_string()),
            ("frames".into(), self.frames.to_string()),
        ];
        let per_frame: f64 = self.ms_per_stage.values().sum();
        rows.push(("ms per frame".into(), format!("{per_frame:.1}")));
        rows.extend(self.ms_per_stage.iter().map(|(stage, ms)| (format!("  {stage}"), format!("{ms:.1}"))));
        rows.push(("messages".into(), self.messages.to_string()));
        let pace = self.duration_s / self.elapsed_s.max(1e-9);
        rows.push(("took".into(), format!("{:.1} s, {pace:.1} times real time", self.elapsed_s)));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, figure) in rows {
            text += &format!("{name:<width$}  {figure}\n");
        }
        if let Some(order) = &self.order {
            text += &format!("{}\n", order.told());
        }
        for d in &self.differences {
            let who = d.credential.as_deref().unwrap_or("nobody known");
            let Difference { sku, expected, charged, in_review, verdict, .. } = d;
            text += &format!(
                "{}: {who}, {sku}: expected {expected}, charged {charged}, in review {in_review}\n",
                verdict.replace('_', " ")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::score::{Receipts, score};
    use super::*;

    #[test]
    fn the_report_has_the_fields_that_are_promised() {
        let expected: Receipts = serde_json::from_str(
            r#"{"receipts": [{"credential": "a", "lines": [{"sku": "x", "quantity": 1}, {"sku": "y", "quantity": 1}]}]}"#,
        )
        .unwrap();
        let came: Receipts = serde_json::from_str(
            r#"{"receipts": [{"credential": "a", "lines": [{"sku": "x", "quantity": 1}, {"sku": "y", "quantity": 2}]}]}"#,
        )
        .unwrap();
        let camera = CameraReport { frames: 795, ms_per_stage: [("run".to_owned(), 40.25)].into() };
        let measured = Measured {
            receipts: 1,
            expected: 1,
            camera,
            messages: 12,
            elapsed_s: 10.0,
            duration_s: 79.5,
            order: None,
        };
        let report = Report::new(score(&expected, &came), measured);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["lines"], serde_json::json!({"expected": 2, "right": 1, "wrong": 1, "in_review": 0}));
        assert_eq!((&json["receipts"], &json["expected"]), (&1.into(), &1.into()));
        assert_eq!((&json["frames"], &json["messages"]), (&795.into(), &12.into()));
        assert_eq!(json["ms_per_stage"]["run"], 40.25);
        assert_eq!(json["passed"], false);
        assert_eq!(report.shortfalls().len(), 2, "too few right, and one wrong");
        let table = report.table();
        assert!(table.contains("wrong: a, y: expected 1, charged 2, in review 0"), "{table}");
        assert!(table.contains("8.0 times real time"), "{table}");
    }
}
