//! The ledger in the ecosystem's own terms: GS1 EPCIS 2.0 events with CBV 2.0 vocabulary, in JSON-LD.
//!
//! | the ledger says | EPCIS says |
//! | --- | --- |
//! | a line of a receipt that needs no review, or was answered | `retail_selling`, disposition `retail_sold`, with the receipt as `inv` |
//! | a task is done | `picking`, with the order as `po` |
//! | a plate was counted | `cycle_counting` with what lies there; and where it is more than at the last count, `stocking` of what must have been put there at least |
//! | a receipt, answer or task was replaced, money went back | the old event again with an `errorDeclaration`, and the event that corrects it |
//!
//! **The same ledger makes the same events**: ids are hashes of what is told and of the event that told it, so a
//! repository that takes them twice has them once. Ids of products and places are GS1 Digital Link URIs where there is a
//! GTIN or GLN ([`crate::gs1`]). Credentials and visits' people are never told; the visit's id is, as the receipt's number.
//!
//! **Limits.** Events are made by reading every event of the kinds above from the ledger's beginning: a day of a busy
//! store is some thousand. Events whose content retention has let go are not told; receipts, refunds and answers are
//! always kept.

mod events;

use serde_json::{Value, json};

use crate::cloud::event::rfc3339;
use crate::gs1::Place;
use crate::ledger::{LedgerError, LedgerReader};
use events::Teller;

/// The JSON-LD context of EPCIS 2.0.
const CONTEXT: &str = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld";

/// The media type of EPCIS in JSON-LD.
pub const MEDIA_TYPE: &str = "application/ld+json";

/// Kinds of event that anything is told about.
const KINDS: [&str; 5] =
    ["visit_closed", "review_answered", "refund_issued", "task_changed", "stock_counted"];

/// Events read at once.
const PAGE: u32 = 1000;

/// An EPCIS event and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct EpcisEvent {
    /// The ledger's event that it follows from.
    pub ledger_seq: u64,
    /// As EPCIS has it, without a context of its own.
    pub event: Value,
}

/// Every EPCIS event of a ledger that follows from events after a number, in order, until there are `limit`; events of
/// one ledger number stay together. The second is where to go on; `None` at the end.
///
/// # Errors
/// [`LedgerError`].
pub fn events(
    ledger: &LedgerReader,
    place: &Place,
    after: u64,
    limit: usize,
) -> Result<(Vec<EpcisEvent>, Option<u64>), LedgerError> {
    let mut teller = Teller::new(place.clone());
    let mut told: Vec<EpcisEvent> = Vec::new();
    let mut read = 0;
    loop {
        let page = ledger.events_of_kinds(&KINDS, read, PAGE)?;
        let Some(last) = page.last() else { return Ok((told, None)) };
        read = last.ledger_seq;
        for stored in &page {
            if told.len() >= limit && told.last().is_some_and(|e| e.ledger_seq < stored.ledger_seq) {
                let next = told.last().map(|e| e.ledger_seq);
                return Ok((told, next));
            }
            let made = teller.tell(&stored.event);
            // What came earlier is needed to know what is corrected, but was told before.
            if stored.ledger_seq > after {
                let ledger_seq = stored.ledger_seq;
                told.extend(made.into_iter().map(|event| EpcisEvent { ledger_seq, event }));
            }
        }
    }
}

/// A capture document with these events.
#[must_use]
pub fn document(place: &Place, events: Vec<EpcisEvent>, now_us: i64) -> Value {
    json!({
        "@context": context(),
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": rfc3339(now_us),
        "sender": place.uri(),
        "epcisBody": { "eventList": list(events) },
    })
}

/// The answer to a query, with these events.
#[must_use]
pub fn query_document(events: Vec<EpcisEvent>, now_us: i64) -> Value {
    json!({
        "@context": context(),
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": rfc3339(now_us),
        "epcisBody": { "queryResults": {
            "queryName": "SimpleEventQuery",
            "resultsBody": { "eventList": list(events) },
        } },
    })
}

fn context() -> Value {
    json!([CONTEXT])
}

fn list(events: Vec<EpcisEvent>) -> Vec<Value> {
    events.into_iter().map(|e| e.event).collect()
}
