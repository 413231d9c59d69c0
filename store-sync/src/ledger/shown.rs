//! What shoppers show at their phones for their next receipt: codes of coupons, points to be redeemed.
//!
//! **Once.** The first receipt of a credential that is priced after something was shown takes it, whether the rules of its
//! visit know the codes or not; a later closing of the same visit is priced by the same. **Points** can be shown as far as
//! they are there, which is decided when the projections show every receipt ([`Staff::show`]); a receipt takes no more
//! than it costs. Points earned are not taken back by refunds, and points redeemed on a line that is not paid in the end
//! do not come back.

use std::collections::BTreeSet;

use linefree_bus::payload::PriceWhy;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::rows::LineRow;
use super::staff::Staff;
use super::{Doing, LedgerError, LedgerReader};

/// The most codes that are shown at once.
pub const MAX_CODES: usize = 20;

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownRow {
    /// Codes of coupons.
    pub codes: BTreeSet<String>,
    /// Points to be redeemed.
    pub points: u64,
}

/// What a shopper has and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurseRow {
    /// Points that were earned and not redeemed yet.
    pub points: u64,
    /// What a point takes off by the rules in force, minor units; `None` where there are no points.
    pub point_worth_minor: Option<i64>,
    /// Shown for the next receipt.
    pub shown: ShownRow,
}

impl ShownRow {
    /// What was used for a receipt, by the steps of its lines.
    pub(super) fn used(lines: &[LineRow]) -> Self {
        let mut used = Self::default();
        for step in lines.iter().flat_map(|l| &l.steps) {
            match &step.why {
                PriceWhy::Coupon(code) => {
                    used.codes.insert(code.clone());
                }
                // Each line names all of them.
                PriceWhy::Points(points) => used.points = used.points.max(*points),
                _ => {}
            }
        }
        used
    }
}

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<ShownRow> {
    let codes: String = r.get(0)?;
    let points: i64 = r.get(1)?;
    Ok(ShownRow { codes: serde_json::from_str(&codes).unwrap_or_default(), points: points.unsigned_abs() })
}

/// What counts for a visit's receipt; from now on it is that visit's.
pub(super) fn take(
    tx: &Transaction<'_>,
    visit: &str,
    credential: Option<&str>,
) -> Result<ShownRow, LedgerError> {
    let work = || -> rusqlite::Result<Option<ShownRow>> {
        if let Some(credential) = credential {
            tx.prepare_cached(
                "UPDATE shown SET visit = ?1 WHERE credential = ?2 AND visit IS NULL
                 AND NOT EXISTS (SELECT 1 FROM shown WHERE visit = ?1)",
            )?
            .execute(params![visit, credential])?;
        }
        tx.prepare_cached("SELECT codes, points FROM shown WHERE visit = ?")?
            .query_row([visit], row)
            .optional()
    };
    work().map(Option::unwrap_or_default).doing("reading what a shopper shows")
}

impl LedgerReader {
    /// What a shopper has, and shows for the next receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn purse(&self, credential: &str, now_us: i64) -> Result<PurseRow, LedgerError> {
        let sums: Option<(i64, i64)> = self
            .all(
                "SELECT coalesce(sum(p.points_earned), 0),
                        coalesce(sum((SELECT max(s.value ->> '$.why.points')
                                      FROM receipt_price_lines l, json_each(l.steps) s
                                      WHERE l.visit = p.visit AND l.closed_epoch = p.closed_epoch
                                        AND l.closed_source = p.closed_source AND l.closed_seq = p.closed_seq)), 0)
                 FROM receipts r JOIN receipt_prices p
                   ON p.visit = r.visit AND p.closed_epoch = r.by_epoch AND p.closed_source = r.by_source
                      AND p.closed_seq = r.by_seq
                 WHERE r.credential = ?",
                params![credential],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?
            .pop();
        let (earned, redeemed) = sums.unwrap_or_default();
        let rules = self.price_rules_at(now_us)?;
        let shown = self.all(
            "SELECT codes, points FROM shown WHERE credential = ? AND visit IS NULL",
            [credential],
            row,
        )?;
        Ok(PurseRow {
            points: u64::try_from(earned.saturating_sub(redeemed)).unwrap_or(0),
            point_worth_minor: rules.and_then(|r| r.rules.loyalty).map(|l| l.point_worth_minor),
            shown: shown.into_iter().next().unwrap_or_default(),
        })
    }
}

impl Staff {
    /// A shopper shows codes and points for the next receipt, instead of what was shown before.
    ///
    /// # Errors
    /// [`LedgerError::Refused`]: there is no such coupon, or there are not as many points.
    pub fn show(&mut self, credential: &str, wanted: &ShownRow, now_us: i64) -> Result<u64, LedgerError> {
        self.decider().decide(now_us, |tx, reader| {
            if wanted.codes.len() > MAX_CODES {
                return Ok(Err(format!("at most {MAX_CODES} coupons are shown at once")));
            }
            let rules = reader.price_rules_at(now_us)?;
            let known = |code: &String| {
                rules.as_ref().is_some_and(|r| r.rules.coupons.iter().any(|c| c.code == *code))
            };
            if let Some(unknown) = wanted.codes.iter().find(|code| !known(code)) {
                return Ok(Err(format!("there is no coupon {unknown:?} here")));
            }
            let purse = reader.purse(credential, now_us)?;
            if wanted.points > 0 && (purse.point_worth_minor.is_none() || wanted.points > purse.points) {
                return Ok(Err(format!("{} points are there, not {}", purse.points, wanted.points)));
            }
            let codes = serde_json::json!(wanted.codes).to_string();
            let points = i64::try_from(wanted.points).unwrap_or(i64::MAX);
            let write = || -> rusqlite::Result<()> {
                tx.execute("DELETE FROM shown WHERE credential = ? AND visit IS NULL", [credential])?;
                if *wanted != ShownRow::default() {
                    tx.execute(
                        "INSERT INTO shown (credential, codes, points, shown_us) VALUES (?, ?, ?, ?)",
                        params![credential, codes, points, now_us],
                    )?;
                }
                Ok(())
            };
            write().doing("noting what a shopper shows")?;
            Ok(Ok(Vec::new()))
        })
    }
}
