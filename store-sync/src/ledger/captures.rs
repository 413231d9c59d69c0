//! What gateways have taken, capture by capture, from the events themselves.

use std::collections::BTreeMap;

use linefree_bus::payload::{AskKind, EventBody, PaymentChanged};

use super::{LedgerError, LedgerReader};

/// One capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The visit.
    pub visit: String,
    /// The key under which it was asked.
    pub key: String,
    /// How much, minor units.
    pub amount_minor: i64,
    /// When the gateway said so.
    pub at_us: i64,
}

/// Events read at once.
const PAGE: u32 = 1000;

impl LedgerReader {
    /// Every capture between two moments, in the order of the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn captures(&self, from_us: i64, to_us: i64) -> Result<Vec<Capture>, LedgerError> {
        let mut before: BTreeMap<String, PaymentChanged> = BTreeMap::new();
        let (mut out, mut after) = (Vec::new(), 0);
        loop {
            let page = self.events_of_kinds(&["payment_changed"], after, PAGE)?;
            let Some(last) = page.last() else { return Ok(out) };
            after = last.ledger_seq;
            for stored in page {
                let EventBody::PaymentChanged(now) = stored.event.body else { continue };
                let at_us = stored.event.time_us;
                if let Some(was) = before.get(&now.visit)
                    && was.ask.as_ref().is_some_and(|a| a.ask == AskKind::Capture)
                    && now.captured_minor > was.captured_minor
                    && (from_us..to_us).contains(&at_us)
                {
                    out.push(Capture {
                        visit: now.visit.clone(),
                        key: format!("{}:{}", was.visit, was.step),
                        amount_minor: now.captured_minor - was.captured_minor,
                        at_us,
                    });
                }
                before.insert(now.visit.clone(), now);
            }
        }
    }
}
