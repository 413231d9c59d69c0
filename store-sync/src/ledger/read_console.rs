//! The console's questions: the review queue, money by visit, misplaced items, a moment of the past.

use rusqlite::{OptionalExtension as _, params};

use super::{Doing, LedgerError, LedgerReader};

/// A line that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewRow {
    /// The visit.
    pub visit: String,
    /// When it ended.
    pub left_us: i64,
    /// The product.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// How many it may be.
    pub quantity: u32,
    /// Price of one, minor units.
    pub unit_price_minor: i64,
    /// Probability that the line is right.
    pub probability: f64,
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// Its id.
    pub refund: String,
    /// What went back, minor units.
    pub amount_minor: i64,
    /// Why.
    pub reason: String,
    /// When.
    pub issued_us: i64,
    /// SKU and quantity.
    pub lines: Vec<(String, u32)>,
}

/// What became of a visit's money after its receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoneyRow {
    /// Answered reviews: SKU and quantity.
    pub answers: Vec<(String, u32)>,
    /// Refunds, oldest first.
    pub refunds: Vec<RefundRow>,
}

/// A step of a plate's weight.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateStep {
    /// When handling began.
    pub start_us: i64,
    /// When it had settled.
    pub end_us: i64,
    /// By how much it changed, grams.
    pub delta_g: f64,
    /// Its standard deviation, grams.
    pub sd_g: f64,
}

/// Something was put on a plate, with the likeliest explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct MisplacedRow {
    /// Where.
    pub plate: String,
    /// What, most likely.
    pub sku: String,
    /// How many.
    pub quantity: i32,
    /// How likely.
    pub probability: f64,
    /// When.
    pub time_us: i64,
}

/// A visit's cart at a moment of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct MomentCart {
    /// The visit.
    pub visit: String,
    /// What its shopper entered with.
    pub credential: Option<String>,
    /// When it began.
    pub opened_us: i64,
    /// Its lines: SKU, name, quantity, unit price, probability, in review.
    pub lines: serde_json::Value,
}

/// The store at a moment of the past, from the ledger's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Visits that lasted then, with what they held.
    pub carts: Vec<MomentCart>,
    /// How many receipts there were.
    pub receipts: u64,
    /// Plates that changed within ten seconds before.
    pub plates: Vec<(String, f64)>,
}

/// How many events of a kind happened in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Which stretch, from 0.
    pub bucket: u32,
    /// The kind.
    pub kind: String,
    /// How many.
    pub events: u64,
}

impl LedgerReader {
    /// Lines in review that nobody has answered, oldest visit first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn reviews(&self, limit: u32) -> Result<Vec<ReviewRow>, LedgerError> {
        self.all(
            "SELECT l.visit, r.left_us, l.sku, l.name, l.quantity, l.unit_price_minor, l.probability
             FROM receipt_lines l JOIN receipts r USING (visit)
             WHERE l.review AND NOT EXISTS (SELECT 1 FROM review_answers a WHERE (a.visit, a.sku) = (l.visit, l.sku))
             ORDER BY r.left_us, l.visit, l.sku LIMIT ?",
            params![limit],
            |r| {
                Ok(ReviewRow {
                    visit: r.get(0)?,
                    left_us: r.get(1)?,
                    sku: r.get(2)?,
                    name: r.get(3)?,
                    quantity: r.get(4)?,
                    unit_price_minor: r.get(5)?,
                    probability: r.get(6)?,
                })
            },
        )
    }

    /// Was a line in review answered?
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn is_answered(&self, visit: &str, sku: &str) -> Result<bool, LedgerError> {
        self.conn
            .prepare_cached("SELECT 1 FROM review_answers WHERE visit = ? AND sku = ?")
            .and_then(|mut s| s.exists(params![visit, sku]))
            .doing("looking for an answer")
    }

    /// Answers and refunds of a visit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn money(&self, visit: &str) -> Result<MoneyRow, LedgerError> {
        let answers = self.all(
            "SELECT sku, quantity FROM review_answers WHERE visit = ? ORDER BY sku",
            params![visit],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?;
        Ok(MoneyRow { answers, refunds: self.refunds_of(visit)? })
    }

    /// A visit's refunds with their lines, oldest first.
    pub(super) fn refunds_of(&self, visit: &str) -> Result<Vec<RefundRow>, LedgerError> {
        let mut refunds = self.all(
            "SELECT refund, amount_minor, reason, issued_us FROM refunds WHERE visit = ? ORDER BY issued_us, refund",
            params![visit],
            |r| {
                Ok(RefundRow {
                    refund: r.get(0)?,
                    amount_minor: r.get(1)?,
                    reason: r.get(2)?,
                    issued_us: r.get(3)?,
                    lines: Vec::new(),
                })
            },
        )?;
        for refund in &mut refunds {
            refund.lines = self.all(
                "SELECT sku, quantity FROM refund_lines WHERE refund = ? ORDER BY sku",
                params![refund.refund],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?;
        }
        Ok(refunds)
    }

    /// Steps of a plate's weight between two moments, in order: the curve as far as the ledger has it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn plate_steps(&self, plate: &str, from_us: i64, to_us: i64) -> Result<Vec<PlateStep>, LedgerError> {
        self.all(
            "SELECT start_us, end_us, delta_g, sd_g FROM shelf_event_plates
             WHERE plate = ? AND end_us BETWEEN ? AND ? ORDER BY end_us LIMIT 200",
            params![plate, from_us, to_us],
            |r| Ok(PlateStep { start_us: r.get(0)?, end_us: r.get(1)?, delta_g: r.get(2)?, sd_g: r.get(3)? }),
        )
    }

    /// What was put where, as far as it is explained with better odds than not, youngest first. Whether it belongs
    /// there, the planogram says.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn puts(&self, limit: u32) -> Result<Vec<MisplacedRow>, LedgerError> {
        self.all(
            "SELECT p.plate, c.sku, -c.quantity, c.probability, p.end_us
             FROM shelf_event_plates p
             JOIN attribution_candidates c ON (c.shelf_source, c.shelf_epoch, c.shelf_seq) = (p.source, p.epoch, p.seq)
             WHERE p.main AND c.rank = 1 AND c.sku IS NOT NULL AND c.quantity < 0 AND c.probability >= 0.5
             ORDER BY p.end_us DESC LIMIT ?",
            params![limit],
            |r| {
                Ok(MisplacedRow {
                    plate: r.get(0)?,
                    sku: r.get(1)?,
                    quantity: r.get(2)?,
                    probability: r.get(3)?,
                    time_us: r.get(4)?,
                })
            },
        )
    }

    /// The first and last moment that the ledger knows of what happened on the floor, and how much happened in each of
    /// `buckets` stretches between them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn timeline(&self, buckets: u32) -> Result<Option<(i64, i64, Vec<Bucket>)>, LedgerError> {
        let kinds = "('shelf_changed', 'gate_passed', 'visit_opened', 'visit_closed', 'cart_changed')";
        let range: Option<(Option<i64>, Option<i64>)> = self
            .conn
            .query_row(
                &format!("SELECT min(time_us), max(time_us) FROM events WHERE kind IN {kinds}"),
                [],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()
            .doing("reading the timeline")?;
        let Some((Some(from_us), Some(to_us))) = range else { return Ok(None) };
        let width = ((to_us - from_us) / i64::from(buckets.max(1))).max(1);
        let rows = self.all(
            &format!(
                "SELECT min((time_us - ?1) / ?2, ?3 - 1), kind, count(*) FROM events WHERE kind IN {kinds}
                 GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            params![from_us, width, buckets.max(1)],
            |r| {
                Ok(Bucket { bucket: r.get(0)?, kind: r.get(1)?, events: r.get::<_, i64>(2)?.cast_unsigned() })
            },
        )?;
        Ok(Some((from_us, to_us, rows)))
    }

    /// The store as it was at a moment of event time.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn moment(&self, at_us: i64) -> Result<Moment, LedgerError> {
        let carts = self.all(
            "WITH told AS (
               SELECT body ->> '$.visit' AS visit, body -> '$.lines' AS lines,
                      row_number() OVER (PARTITION BY body ->> '$.visit' ORDER BY time_us DESC, ledger_seq DESC) AS n
               FROM events WHERE kind = 'cart_changed' AND time_us <= ?1 AND body IS NOT NULL)
             SELECT v.visit, v.credential, v.opened_us, coalesce(t.lines, '[]')
             FROM visits v LEFT JOIN told t ON t.visit = v.visit AND t.n = 1
             LEFT JOIN receipts r ON r.visit = v.visit
             WHERE v.opened_us <= ?1 AND (r.left_us IS NULL OR r.left_us > ?1)
             ORDER BY v.opened_us, v.visit LIMIT 1000",
            params![at_us],
            |r| {
                Ok(MomentCart {
                    visit: r.get(0)?,
                    credential: r.get(1)?,
                    opened_us: r.get(2)?,
                    lines: serde_json::from_str(&r.get::<_, String>(3)?).unwrap_or_default(),
                })
            },
        )?;
        let receipts: i64 = self
            .conn
            .query_row("SELECT count(*) FROM receipts WHERE left_us <= ?", [at_us], |r| r.get(0))
            .doing("counting receipts")?;
        let plates = self.all(
            "SELECT plate, delta_g FROM shelf_event_plates WHERE end_us BETWEEN ? AND ? ORDER BY end_us LIMIT 1000",
            params![at_us.saturating_sub(10_000_000), at_us],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?;
        Ok(Moment { carts, receipts: receipts.cast_unsigned(), plates })
    }

    /// The visit that a credential has under way, if any, and its receipts, youngest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn visits_of(&self, credential: &str) -> Result<(Option<String>, Vec<String>), LedgerError> {
        let open = self.all(
            "SELECT v.visit FROM visits v WHERE v.credential = ?
             AND NOT EXISTS (SELECT 1 FROM receipts r WHERE r.visit = v.visit) ORDER BY v.opened_us DESC LIMIT 1",
            params![credential],
            |r| r.get(0),
        )?;
        let closed = self.all(
            "SELECT visit FROM receipts WHERE credential = ? ORDER BY left_us DESC LIMIT 50",
            params![credential],
            |r| r.get(0),
        )?;
        Ok((open.into_iter().next(), closed))
    }
}
