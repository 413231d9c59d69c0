//! What the ledger says about products, visits and time, for whoever makes, buys and places products.
//!
//! A take or put counts for its likeliest explanation, when that is likelier than not. A product is out of stock while
//! every plate on which somebody has counted it is empty, by the last count and the shelf events since.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::params;

use super::{Doing, LedgerError, LedgerReader};
use crate::out_of_stock::{Change, HOUR_US, What, out_of_stock};

/// What happened to a product in an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InsightRow {
    /// The product.
    pub sku: String,
    /// Hours since the Unix epoch.
    pub hour: i64,
    /// Items taken.
    pub taken: u64,
    /// Items put back.
    pub put_back: u64,
    /// Of those: onto a plate where the planogram has another product.
    pub misplaced: u64,
    /// How long it was out of stock, seconds.
    pub out_of_stock_s: u32,
}

/// Visits that ended in an hour.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hour {
    /// How many.
    pub visits: u64,
    /// How many of them took something.
    pub buyers: u64,
    /// How long each lasted, seconds, shortest first.
    pub dwell_s: Vec<f64>,
}

/// What the store's hours say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Insights {
    /// By hour and product.
    pub products: Vec<InsightRow>,
    /// By hours since the Unix epoch.
    pub hours: BTreeMap<i64, Hour>,
}

/// Most rows of one answer.
const MAX_ROWS: i64 = 50_000;

impl LedgerReader {
    /// What these hours say, of event time up to `until_us`. `facings` says which product belongs on which plate, as
    /// (plate, SKU).
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn insights(
        &self,
        hours: Range<i64>,
        until_us: i64,
        facings: &BTreeSet<(String, String)>,
    ) -> Result<Insights, LedgerError> {
        let (from_us, to_us) = (hours.start.saturating_mul(HOUR_US), hours.end.saturating_mul(HOUR_US));
        let moved: Vec<(String, i64, String, i64)> = self.all(
            "SELECT p.plate, s.end_us / ?3, c.sku, sum(c.quantity)
             FROM shelf_events s
             JOIN shelf_event_plates p ON (p.source, p.epoch, p.seq) = (s.source, s.epoch, s.seq) AND p.main
             JOIN attribution_candidates c ON (c.shelf_source, c.shelf_epoch, c.shelf_seq) = (s.source, s.epoch, s.seq)
             WHERE c.rank = 1 AND c.sku IS NOT NULL AND c.probability >= 0.5 AND s.end_us >= ?1 AND s.end_us < ?2
             GROUP BY 1, 2, 3, c.quantity > 0 ORDER BY 2, 3 LIMIT ?4",
            params![from_us, to_us, HOUR_US, MAX_ROWS],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
        )?;
        let mut products: BTreeMap<(i64, String), InsightRow> = BTreeMap::new();
        let mut row = |hour: i64, sku: &str, add: &dyn Fn(&mut InsightRow)| {
            let row = products.entry((hour, sku.to_owned())).or_insert_with(|| InsightRow {
                sku: sku.to_owned(),
                hour,
                ..InsightRow::default()
            });
            add(row);
        };
        for (plate, hour, sku, quantity) in moved {
            let (items, place) = (quantity.unsigned_abs(), (plate, sku));
            let misplaced = quantity < 0 && !facings.contains(&place);
            row(hour, &place.1, &|row| {
                if quantity > 0 {
                    row.taken += items;
                } else {
                    row.put_back += items;
                    row.misplaced += if misplaced { items } else { 0 };
                }
            });
        }
        for ((sku, hour), us) in out_of_stock(&self.stock_changes(to_us)?, hours, until_us) {
            row(hour, &sku, &|row| row.out_of_stock_s = (us / 1_000_000) as u32);
        }
        let ended: Vec<(i64, f64, bool)> = self.all(
            "SELECT left_us / ?3, (left_us - entered_us) / 1e6,
                    EXISTS (SELECT 1 FROM receipt_lines l WHERE l.visit = r.visit AND l.quantity > 0)
             FROM receipts r WHERE left_us >= ?1 AND left_us < ?2 ORDER BY left_us DESC LIMIT ?4",
            params![from_us, to_us, HOUR_US, MAX_ROWS],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )?;
        let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
        for (hour, dwell_s, bought) in ended {
            let hour = hours.entry(hour).or_default();
            hour.visits += 1;
            hour.buyers += u64::from(bought);
            hour.dwell_s.push(dwell_s);
        }
        for hour in hours.values_mut() {
            hour.dwell_s.sort_by(f64::total_cmp);
        }
        Ok(Insights { products: products.into_values().collect(), hours })
    }

    /// Counts and explained moves before a moment, oldest first.
    fn stock_changes(&self, before_us: i64) -> Result<Vec<Change>, LedgerError> {
        let mut changes = self.all(
            "SELECT counted_us, plate, sku, quantity FROM counts WHERE counted_us < ?1
             ORDER BY counted_us DESC, by_epoch DESC, by_source DESC, by_seq DESC LIMIT ?2",
            params![before_us, MAX_ROWS],
            |r| {
                Ok(Change {
                    at_us: r.get(0)?,
                    plate: r.get(1)?,
                    sku: r.get(2)?,
                    what: What::Counted(r.get(3)?),
                })
            },
        )?;
        changes.reverse();
        let Some(first_us) = changes.first().map(|c| c.at_us) else { return Ok(changes) };
        changes.extend(self.all(
            "SELECT p.end_us, p.plate, c.sku, c.quantity FROM shelf_event_plates p
             JOIN attribution_candidates c ON (c.shelf_source, c.shelf_epoch, c.shelf_seq) = (p.source, p.epoch, p.seq)
             WHERE p.main AND p.plate IN (SELECT plate FROM counts) AND p.end_us > ?1 AND p.end_us < ?2
               AND c.sku IS NOT NULL AND c.probability >= 0.5
             ORDER BY p.end_us, p.plate LIMIT ?3",
            params![first_us, before_us, MAX_ROWS],
            |r| Ok(Change { at_us: r.get(0)?, plate: r.get(1)?, sku: r.get(2)?, what: What::Taken(r.get(3)?) }),
        )?);
        // Stable: of one moment, the count comes first.
        changes.sort_by_key(|c| c.at_us);
        Ok(changes)
    }

    /// The last hour whose insights were told, as its beginning.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_hour_told_us(&self) -> Result<Option<i64>, LedgerError> {
        self.conn
            .query_row("SELECT max(hour_us) FROM hours_told", [], |r| r.get(0))
            .doing("asking which hours were told")
    }

    /// The first hour since the Unix epoch, from this one on, in which something was handled or somebody left.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn next_busy_hour(&self, from: i64) -> Result<Option<i64>, LedgerError> {
        let found: Option<i64> = self
            .conn
            .query_row(
                "SELECT min(at_us) FROM (SELECT min(end_us) AS at_us FROM shelf_events WHERE end_us >= ?1
                 UNION ALL SELECT min(left_us) FROM receipts WHERE left_us >= ?1)",
                [from.saturating_mul(HOUR_US)],
                |r| r.get(0),
            )
            .doing("looking for an hour to tell of")?;
        Ok(found.map(|at_us| at_us.div_euclid(HOUR_US)))
    }

    /// When the ledger took its last event, wall clock.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_received_us(&self) -> Result<Option<i64>, LedgerError> {
        self.conn
            .query_row("SELECT (SELECT received_us FROM events ORDER BY ledger_seq DESC LIMIT 1)", [], |r| {
                r.get(0)
            })
            .doing("asking when the last event came")
    }

    /// When the first and last thing happened on the floor.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn floor_times_us(&self) -> Result<Option<(i64, i64)>, LedgerError> {
        let times: (Option<i64>, Option<i64>) = self
            .conn
            .query_row(
                "SELECT min(a), max(b) FROM (
                   SELECT min(end_us) AS a, max(end_us) AS b FROM shelf_event_plates
                   UNION ALL SELECT min(opened_us), max(opened_us) FROM visits
                   UNION ALL SELECT min(left_us), max(left_us) FROM receipts)",
                [],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .doing("asking when anything happened")?;
        Ok(times.0.zip(times.1))
    }
}
