//! What people in the store decide: answers to reviews, refunds, contests, counts. Written as the ledger's own events.
//!
//! The same rules hold as for the cloud's commands ([`super::commands`]): a line is answered once, and refunds never
//! exceed what a visit paid. Decisions about money wait until the projections, which they rest on, are up to date.

use std::path::Path;

use linefree_bus::payload::{ContestChanged, ContestState, EventBody, StockCounted};
use linefree_domain::pricing::share_of;
use linefree_domain::units::Money;
use rusqlite::Transaction;

use super::commands::{Decision, StoreFacts, no_receipt, refund_issued, review_answer, sound};
use super::decider::Decider;
use super::sound::unsound;
use super::{LedgerError, LedgerReader, ReceiptRow, SettledRow};
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

    pub(super) fn decider(&mut self) -> &mut Decider {
        &mut self.0
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
        self.0.decide(now_us, |tx, reader| paid_back(tx, reader, refund, visit, lines, reason))
    }

    /// A shopper contests a line: what was paid for it and did not go back is in dispute. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn contest(
        &mut self,
        contest: &str,
        visit: &str,
        sku: &str,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        self.0.decide(now_us, |_, reader| contested(reader, contest, visit, sku, ContestState::Open))
    }

    /// Answers a contest: `quantity` of the line go back with a refund, or none. One that was answered stays answered.
    /// Returns the event's place, 0 when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn settle_contest(
        &mut self,
        (contest, visit, sku): (&str, &str, &str),
        quantity: u32,
        reason: &str,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        let state = if quantity > 0 { ContestState::Refunded } else { ContestState::Upheld };
        self.0.decide(now_us, |tx, reader| {
            if let Some(known) = reader.contest(contest)?
                && known.contest.state != ContestState::Open
            {
                return Ok(Ok(Vec::new()));
            }
            let settled = contested(reader, contest, visit, sku, state)?;
            if quantity == 0 {
                return Ok(settled);
            }
            let lines = [(sku.to_owned(), quantity)];
            let back = paid_back(tx, reader, &format!("contest-{contest}"), visit, &lines, reason)?;
            Ok(back.and_then(|mut bodies| {
                bodies.extend(settled?);
                Ok(bodies)
            }))
        })
    }

    /// Somebody counted a plate. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn count(&mut self, plate: &str, sku: &str, quantity: u32, now_us: i64) -> Result<u64, LedgerError> {
        let known = self.0.known(plate, sku)?;
        let body = EventBody::StockCounted(StockCounted { plate: plate.into(), sku: sku.into(), quantity });
        self.0.decide(now_us, |_, _| Ok(known.and_then(|()| unsound(&body).map(|()| vec![body]))))
    }
}

/// Of a visit's line: how many were paid, what they came to, how many went back. `None` when it has no such line.
fn line_paid(receipt: &ReceiptRow, settled: &SettledRow, sku: &str) -> Option<(u32, i64, u32)> {
    let line = receipt.lines.iter().find(|l| l.sku == sku)?;
    let (paid, paid_minor) = if line.review {
        let answer = settled.answers.iter().find(|a| a.sku == sku);
        answer.map_or((0, 0), |a| (a.quantity, a.charge_minor))
    } else {
        (line.quantity, line.amount_minor)
    };
    let back = settled.refunds.iter().flat_map(|r| &r.lines).filter(|l| l.0 == sku).map(|l| l.1).sum();
    Some((paid, paid_minor, back))
}

fn no_line(visit: &str, sku: &str) -> String {
    format!("visit {visit:?} has no line {sku:?}")
}

/// A refund by SKU and quantity: what was paid for so many of the line goes back.
fn paid_back(
    tx: &Transaction<'_>,
    reader: &LedgerReader,
    refund: &str,
    visit: &str,
    lines: &[(String, u32)],
    reason: &str,
) -> Result<Decision, LedgerError> {
    if reason.trim().is_empty() {
        return Ok(Err("a refund has a reason".into()));
    }
    let Some(receipt) = reader.receipt(visit)? else { return Ok(Err(no_receipt(visit))) };
    let settled = reader.settled(visit)?;
    if settled.refunds.iter().any(|r| r.refund == refund) {
        return Ok(Err(format!("refund {refund:?} was issued already")));
    }
    let mut wanted = Vec::new();
    for (sku, quantity) in lines {
        let Some((paid, paid_minor, back)) = line_paid(&receipt, &settled, sku) else {
            return Ok(Err(no_line(visit, sku)));
        };
        let share = share_of(Money::from_minor(paid_minor), paid, back, *quantity);
        let Some(share) = share.filter(|_| *quantity > 0) else {
            let left = paid.saturating_sub(back);
            return Ok(Err(format!("of {sku:?}, {left} can still be refunded, not {quantity}")));
        };
        wanted.push(RefundedLine { sku: sku.clone(), quantity: *quantity, amount_minor: share.minor });
    }
    refund_issued(tx, reader, refund, visit, &wanted, reason)
}

/// A contest as it stands then.
fn contested(
    reader: &LedgerReader,
    contest: &str,
    visit: &str,
    sku: &str,
    state: ContestState,
) -> Result<Decision, LedgerError> {
    let Some(receipt) = reader.receipt(visit)? else { return Ok(Err(no_receipt(visit))) };
    let amount_minor = match reader.contest(contest)? {
        Some(_) if state == ContestState::Open => {
            return Ok(Err(format!("contest {contest:?} is known already")));
        }
        Some(known) => known.contest.amount_minor,
        None => {
            let Some((paid, paid_minor, back)) = line_paid(&receipt, &reader.settled(visit)?, sku) else {
                return Ok(Err(no_line(visit, sku)));
            };
            let left = share_of(Money::from_minor(paid_minor), paid, back, paid.saturating_sub(back));
            left.map_or(0, |left| left.minor)
        }
    };
    Ok(sound(EventBody::ContestChanged(ContestChanged {
        contest: contest.to_owned(),
        visit: visit.to_owned(),
        sku: sku.to_owned(),
        currency: receipt.currency,
        amount_minor,
        state,
    })))
}
