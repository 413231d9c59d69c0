//! What was sold, day by day.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{LedgerError, LedgerReader};

/// A day, microseconds.
pub(crate) const DAY_US: i64 = 86_400_000_000;

impl LedgerReader {
    /// How many of each product left the store on each of `days` days that end at `until_us`, the youngest last: lines of
    /// receipts, lines in review as they were answered, and picks for online orders. Refunds are not taken off: the
    /// demand was there.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn daily_sales(&self, until_us: i64, days: u32) -> Result<BTreeMap<String, Vec<u32>>, LedgerError> {
        let from_us = until_us.saturating_sub(i64::from(days).saturating_mul(DAY_US));
        let rows: Vec<(String, i64, i64)> = self.all(
            "SELECT sku, (at_us - ?1) / ?3 AS day, sum(quantity) FROM (
               SELECT l.sku, r.left_us AS at_us, l.quantity FROM receipt_lines l JOIN receipts r USING (visit)
               WHERE NOT l.review
               UNION ALL
               SELECT a.sku, r.left_us, a.quantity FROM review_answers a JOIN receipts r USING (visit)
               UNION ALL
               SELECT sku, changed_us, quantity FROM tasks WHERE kind = 'pick' AND state = 'done'
             ) WHERE at_us >= ?1 AND at_us < ?2 GROUP BY sku, day ORDER BY sku, day",
            params![from_us, until_us, DAY_US],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )?;
        let mut out: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (sku, day, quantity) in rows {
            let daily = out.entry(sku).or_insert_with(|| vec![0; days as usize]);
            if let Some(sold) = usize::try_from(day).ok().and_then(|day| daily.get_mut(day)) {
                *sold = u32::try_from(quantity).unwrap_or(u32::MAX);
            }
        }
        Ok(out)
    }

    /// When the store first sold or counted anything, if it has.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn first_day_us(&self) -> Result<Option<i64>, LedgerError> {
        let found: Vec<Option<i64>> = self.all(
            "SELECT min(at_us) FROM (SELECT min(left_us) AS at_us FROM receipts
             UNION ALL SELECT min(counted_us) FROM stock_counts UNION ALL SELECT min(changed_us) FROM tasks)",
            params![],
            |r| r.get(0),
        )?;
        Ok(found.into_iter().flatten().next())
    }
}
