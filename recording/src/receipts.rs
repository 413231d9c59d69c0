//! Receipts: `expected.json`, and what replay writes. Read strictly, written canonically.

use std::fmt;
use std::path::Path;

use linefree_domain::ids::{Credential, Sku};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mistake::Mistake;

/// Digits after the point that a probability is written with. Fixed, so that the same run writes the same bytes.
pub const PROBABILITY_DIGITS: u32 = 4;

/// A set of receipts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// One for every visit.
    pub receipts: Vec<Receipt>,
}

/// What one visit took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// With which credential they entered; `None` (`null`) for a shopper who was never seen entering.
    #[serde(deserialize_with = "nullable_credential", serialize_with = "write_credential")]
    pub credential: Option<Credential>,
    /// What was taken; empty if nothing was.
    pub lines: Vec<ReceiptLine>,
}

/// One product of a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptLine {
    /// Which product.
    #[serde(deserialize_with = "sku", serialize_with = "write_text")]
    pub sku: Sku,
    /// How many, at least 1.
    #[serde(deserialize_with = "quantity")]
    pub quantity: u32,
    /// Probability that the line is right; replay writes it, expected.json has none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "probability")]
    pub probability: Option<f64>,
    /// Must a person look? Replay writes it, expected.json has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<bool>,
}

fn nullable_credential<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Credential>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    text.map(Credential::new).transpose().map_err(serde::de::Error::custom)
}

fn write_credential<S: Serializer>(value: &Option<Credential>, s: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Credential::as_str).serialize(s)
}

fn write_text<S: Serializer, T: fmt::Display>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

fn sku<'de, D: Deserializer<'de>>(d: D) -> Result<Sku, D::Error> {
    Sku::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
}

fn quantity<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    match u32::deserialize(d)? {
        0 => Err(serde::de::Error::custom("quantity is 0; leave the line out")),
        quantity => Ok(quantity),
    }
}

fn probability<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    let value = f64::deserialize(d)?;
    if !(0.0..=1.0).contains(&value) {
        return Err(serde::de::Error::custom(format!("probability is {value}, not between 0 and 1")));
    }
    Ok(Some(value))
}

impl Receipts {
    /// Reads receipts from a file.
    ///
    /// # Errors
    /// The first mistake in it, with line and column.
    pub fn read(path: &Path) -> Result<Self, Mistake> {
        let text = std::fs::read_to_string(path).map_err(|e| Mistake::io(path, "read it", &e))?;
        Self::parse(path, &text)
    }

    /// Reads receipts from a text; `path` names it in messages.
    ///
    /// # Errors
    /// The first mistake in it, with line and column.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Mistake> {
        serde_json::from_str(text).map_err(|e| {
            let full = e.to_string();
            let what = full.rsplit_once(" at line ").map_or(full.as_str(), |(what, _)| what);
            let line = u32::try_from(e.line()).unwrap_or(u32::MAX).max(1);
            Mistake::in_line(path, line, "", what, "write it as docs/ref/recording.md says")
                .at_column(u32::try_from(e.column()).unwrap_or(u32::MAX).max(1))
        })
    }

    /// The same receipts in their one order: by credential (`null` last), lines by SKU, probabilities rounded.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let scale = 10_f64.powi(PROBABILITY_DIGITS as i32);
        let round = |p: f64| if p.is_finite() { (p.clamp(0.0, 1.0) * scale).round() / scale } else { 0.0 };
        let mut receipts = self.receipts.clone();
        for receipt in &mut receipts {
            for line in &mut receipt.lines {
                line.probability = line.probability.map(round);
            }
            receipt.lines.sort_by(|a, b| a.sku.cmp(&b.sku).then(a.quantity.cmp(&b.quantity)));
        }
        let order = |r: &Receipt| {
            let lines: Vec<(Sku, u32)> = r.lines.iter().map(|l| (l.sku.clone(), l.quantity)).collect();
            (r.credential.is_none(), r.credential.clone(), lines)
        };
        receipts.sort_by_cached_key(order);
        Self { receipts }
    }

    /// Canonical JSON, ending in a line break: the same receipts give the same bytes, whatever their order was.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text, integers, finite numbers and vectors: serialising them cannot fail.
        let mut text = serde_json::to_string_pretty(&self.canonical()).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes canonical JSON to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Mistake> {
        std::fs::write(path, self.to_json()).map_err(|e| Mistake::io(path, "write it", &e))
    }
}
