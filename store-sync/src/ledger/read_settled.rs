//! Questions about what became of a receipt, and the events of some kinds.

use linefree_bus::payload::PriceStep;
use rusqlite::params;
use uuid::Uuid;

use super::read_prices::json;
use super::store::{EVENT_COLUMNS, EVENT_TABLES, event_of};
use super::{Doing, EventId, LedgerError, LedgerReader, RefundRow, StoredEvent, clamp_seq};

/// Somebody looked at a line that was in review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// The line's product.
    pub sku: String,
    /// How many are paid.
    pub quantity: u32,
    /// What they cost, minor units.
    pub charge_minor: i64,
    /// How that came about; empty where no price rules made it.
    pub steps: Vec<PriceStep>,
    /// When.
    pub time_us: i64,
}

/// What became of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledRow {
    /// The event that closed the visit.
    pub event: EventId,
    /// Answers to its lines in review, by SKU.
    pub answers: Vec<AnswerRow>,
    /// Refunds, oldest first.
    pub refunds: Vec<RefundRow>,
}

impl SettledRow {
    /// Charged after somebody looked, minor units.
    #[must_use]
    pub fn answered_minor(&self) -> i64 {
        self.answers.iter().map(|a| a.charge_minor).sum()
    }

    /// Paid back, minor units.
    #[must_use]
    pub fn refunded_minor(&self) -> i64 {
        self.refunds.iter().map(|r| r.amount_minor).sum()
    }
}

impl LedgerReader {
    /// What became of a visit's receipt.
    ///
    /// # Errors
    /// [`LedgerError`]; also when the visit has no receipt.
    pub fn settled(&self, visit: &str) -> Result<SettledRow, LedgerError> {
        let mut events = self.all(
            "SELECT by_source, by_epoch, by_seq FROM receipts WHERE visit = ?",
            params![visit],
            |r| {
                let epoch: String = r.get(1)?;
                Ok(EventId {
                    source: r.get(0)?,
                    epoch: Uuid::parse_str(&epoch).unwrap_or_default(),
                    seq: r.get::<_, i64>(2)?.cast_unsigned(),
                })
            },
        )?;
        let event =
            events.pop().ok_or_else(|| LedgerError::NoLedger(format!("visit {visit} has no receipt")))?;
        let answers = self.all(
            "SELECT sku, quantity, charge_minor, answered_us, steps FROM review_answers WHERE visit = ? ORDER BY sku",
            params![visit],
            |r| {
                Ok(AnswerRow {
                    sku: r.get(0)?,
                    quantity: r.get(1)?,
                    charge_minor: r.get(2)?,
                    time_us: r.get(3)?,
                    steps: json(r, 4)?,
                })
            },
        )?;
        Ok(SettledRow { event, answers, refunds: self.refunds_of(visit)? })
    }

    /// Up to `limit` events of some kinds after a ledger number, in order; those that were let go are left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn events_of_kinds(
        &self,
        kinds: &[&str],
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, LedgerError> {
        let doing = "reading events of some kinds";
        let mut statement = self
            .conn
            .prepare_cached(&format!(
                "SELECT {EVENT_COLUMNS} FROM {EVENT_TABLES}
                 WHERE e.ledger_seq > ? AND e.body IS NOT NULL AND e.kind IN (SELECT value FROM json_each(?))
                 ORDER BY e.ledger_seq LIMIT ?"
            ))
            .doing(doing)?;
        let kinds = serde_json::json!(kinds).to_string();
        let mut rows = statement.query(params![clamp_seq(after), kinds, limit]).doing(doing)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let ledger_seq = row.get::<_, i64>(0).doing(doing)?.cast_unsigned();
            let received_us = row.get(7).doing(doing)?;
            if let Some(event) = event_of(row)? {
                out.push(StoredEvent { ledger_seq, received_us, event });
            }
        }
        Ok(out)
    }
}
