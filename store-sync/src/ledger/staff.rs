//! What people in the store decide: answers to reviews, refunds, counts. Written as the ledger's own events.
//!
//! The same rules hold as for the cloud's commands ([`super::commands`]): a line is answered once, and refunds never
//! exceed what a visit paid. Decisions about money wait until the projections, which they rest on, are up to date.

use std::path::Path;

use linefree_bus::payload::{EventBody, StockCounted};

use super::LedgerError;
use super::commands::{StoreFacts, refund_issued, review_answer};
use super::decider::Decider;
use super::sound::unsound;
use crate::cloud::command::RefundedLine;

/// Writes what people in the store decide.
#[derive(Debug)]
pub struct Staff(Decider);

impl Staff {
    /// Of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, facts: StoreFacts) -> Result<Self, LedgerError> {
        Ok(Self(Decider::open(ledger, facts)?))
    }

    /// How many of a line in review the shopper pays for. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn answer(&mut self, visit: &str, sku: &str, quantity: u32, now_us: i64) -> Result<u64, LedgerError> {
        self.0.decide(now_us, |tx, reader| review_answer(tx, reader, visit, sku, quantity))
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
        self.0.decide(now_us, |tx, reader| {
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
        let known = if !self.0.facts.plates.contains(plate) {
            Err(format!("this store has no plate {plate:?}"))
        } else if !self.0.facts.skus.contains(sku) {
            Err(format!("this store has no product {sku:?}"))
        } else {
            Ok(())
        };
        let body = EventBody::StockCounted(StockCounted { plate: plate.into(), sku: sku.into(), quantity });
        self.0.decide(now_us, |_, _| Ok(known.and_then(|()| unsound(&body).map(|()| vec![body]))))
    }
}
