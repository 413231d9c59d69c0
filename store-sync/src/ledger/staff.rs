//! What people in the store decide: answers to reviews, refunds, counts. Written as the ledger's own events.
//!
//! The same rules hold as for the cloud's commands ([`super::commands`]): a line is answered once, and refunds never
//! exceed what a visit paid. Decisions about money wait until the projections, which they rest on, are up to date.

use std::path::Path;

use linefree_bus::payload::{EventBody, StockCounted};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::commands::{Decision, StoreFacts, refund_issued, review_answer};
use super::sound::unsound;
use super::{Doing, LedgerError, LedgerReader, connect, own};
use crate::cloud::command::RefundedLine;

/// How often, and how many times, it is looked whether the projections are up to date.
const WAIT: (std::time::Duration, u32) = (std::time::Duration::from_millis(10), 300);

/// Writes what people in the store decide.
#[derive(Debug)]
pub struct Staff {
    conn: Connection,
    reader: LedgerReader,
    facts: StoreFacts,
}

impl Staff {
    /// Of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, facts: StoreFacts) -> Result<Self, LedgerError> {
        Ok(Self { conn: connect(ledger)?, reader: LedgerReader::open(ledger)?, facts })
    }

    fn decide(
        &mut self,
        now_us: i64,
        decision: impl FnOnce(&Transaction<'_>, &LedgerReader) -> Result<Decision, LedgerError>,
    ) -> Result<u64, LedgerError> {
        let doing = "writing a decision";
        let mut waited = 0;
        while self.reader.projected_seq()? < self.reader.last_seq()? {
            waited += 1;
            if waited > WAIT.1 {
                return Err(LedgerError::Refused("the projections are behind: try again".into()));
            }
            std::thread::sleep(WAIT.0);
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        // Whoever decided about money just now, the cloud's commander or another request, must be seen: nobody writes
        // while this transaction lasts, so once the projections are up to date they stay so.
        if self.reader.projected_seq()? < self.reader.last_seq()? {
            return Err(LedgerError::Refused(
                "the store has just decided about something else: try again".into(),
            ));
        }
        let bodies = decision(&tx, &self.reader)?.map_err(LedgerError::Refused)?;
        let mut last = 0;
        for body in bodies {
            last = own::say(&tx, body, now_us)?;
        }
        tx.commit().doing(doing)?;
        Ok(last)
    }

    /// How many of a line in review the shopper pays for. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn answer(&mut self, visit: &str, sku: &str, quantity: u32, now_us: i64) -> Result<u64, LedgerError> {
        self.decide(now_us, |tx, reader| review_answer(tx, reader, visit, sku, quantity))
    }

    /// Money goes back. The same id again is refused. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn refund(
        &mut self,
        refund: &str,
        visit: &str,
        lines: &[(String, u32)],
        reason: &str,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        self.decide(now_us, |tx, reader| {
            if reason.trim().is_empty() {
                return Ok(Err("a refund has a reason".into()));
            }
            let Some(receipt) = reader.receipt(visit)? else {
                return Ok(Err(format!("visit {visit:?} has no receipt in this store")));
            };
            let money = reader.money(visit)?;
            if money.refunds.iter().any(|r| r.refund == refund) {
                return Ok(Err(format!("refund {refund:?} was issued already")));
            }
            let mut wanted = Vec::new();
            for (sku, quantity) in lines {
                let Some(line) = receipt.lines.iter().find(|l| &l.sku == sku) else {
                    return Ok(Err(format!("visit {visit:?} has no line {sku:?}")));
                };
                let paid = if line.review {
                    money.answers.iter().find(|(s, _)| s == sku).map_or(0, |(_, n)| *n)
                } else {
                    line.quantity
                };
                let back: u32 =
                    money.refunds.iter().flat_map(|r| &r.lines).filter(|l| &l.0 == sku).map(|l| l.1).sum();
                let left = paid.saturating_sub(back);
                if *quantity == 0 || *quantity > left {
                    return Ok(Err(format!("of {sku:?}, {left} can still be refunded, not {quantity}")));
                }
                wanted.push(RefundedLine {
                    sku: sku.clone(),
                    quantity: *quantity,
                    amount_minor: line.unit_price_minor.saturating_mul(i64::from(*quantity)),
                });
            }
            refund_issued(tx, reader, refund, visit, &wanted, reason)
        })
    }

    /// Somebody counted a plate. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn count(&mut self, plate: &str, sku: &str, quantity: u32, now_us: i64) -> Result<u64, LedgerError> {
        let known = if !self.facts.plates.contains(plate) {
            Err(format!("this store has no plate {plate:?}"))
        } else if !self.facts.skus.contains(sku) {
            Err(format!("this store has no product {sku:?}"))
        } else {
            Ok(())
        };
        let body = EventBody::StockCounted(StockCounted { plate: plate.into(), sku: sku.into(), quantity });
        self.decide(now_us, |_, _| Ok(known.and_then(|()| unsound(&body).map(|()| vec![body]))))
    }
}
