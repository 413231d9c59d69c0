//! What a visit costs, from everything that the cloud has heard of it.
//!
//! The floor says what was taken; what it costs is said by the store's ledger (by the chain's prices and rules), by
//! whoever answers lines in review, and by refunds. Which event counts is decided as in the store: of a visit's closings
//! and of a line's answers the greatest identity, of a closing's prices the first; any order of arrival ends the same.

use std::collections::BTreeMap;

use linefree_bus::payload::{Event, EventBody, ReceiptPriced, VisitClosed};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::event::event_of;

/// Types of the events that a receipt is made of; the first closes a visit.
pub(super) const KINDS: [&str; 4] = [
    "org.linefree.visit.closed.v1",
    "org.linefree.receipt.priced.v1",
    "org.linefree.review.answered.v1",
    "org.linefree.refund.issued.v1",
];

type Identity<'a> = (Uuid, &'a str, u64);

fn identity(event: &Event) -> Identity<'_> {
    (event.epoch, &event.source, event.seq)
}

/// A visit's receipt from its events of [`KINDS`], in the order in which they came; `None` when none of them closes it.
/// What a newer store says besides stays in it; a closing that cannot be read is told as it came.
pub(super) fn receipt_of(events: &[Value]) -> Option<Value> {
    let last = events.iter().rfind(|e| e["type"] == KINDS[0])?;
    let read: Vec<(&Value, Event)> =
        events.iter().filter_map(|e| event_of(e).ok().map(|read| (e, read))).collect();
    let closings = read.iter().filter_map(|(raw, event)| match &event.body {
        EventBody::VisitClosed(closed) => Some((*raw, event, closed)),
        _ => None,
    });
    let Some((raw, event, closed)) = closings.max_by_key(|(_, event, _)| identity(event)) else {
        return Some(last["data"].clone());
    };
    let mut receipt = raw["data"].as_object().cloned().unwrap_or_default();
    settle(&mut receipt, event, closed, read.iter().map(|(_, event)| event));
    Some(Value::Object(receipt))
}

fn settle<'a>(
    receipt: &mut Map<String, Value>,
    closing: &Event,
    closed: &VisitClosed,
    events: impl Iterator<Item = &'a Event>,
) {
    let mut priced: Option<(Identity<'_>, &ReceiptPriced)> = None;
    let mut answers: BTreeMap<&str, (Identity<'_>, u32, i64)> = BTreeMap::new();
    let mut refunds: BTreeMap<&str, (Identity<'_>, i64)> = BTreeMap::new();
    for event in events {
        let id = identity(event);
        match &event.body {
            EventBody::ReceiptPriced(e)
                if (e.closed_epoch, e.closed_source.as_str(), e.closed_seq) == identity(closing)
                    && priced.is_none_or(|(first, _)| id < first) =>
            {
                priced = Some((id, e));
            }
            EventBody::ReviewAnswered(e) => {
                let answer = answers.entry(&e.sku).or_insert((id, e.quantity, e.charge_minor));
                if id > answer.0 {
                    *answer = (id, e.quantity, e.charge_minor);
                }
            }
            EventBody::RefundIssued(e) => {
                let refund = refunds.entry(&e.refund).or_insert((id, e.amount_minor));
                if id > refund.0 {
                    *refund = (id, e.amount_minor);
                }
            }
            _ => {}
        }
    }
    let priced = priced.map(|(_, e)| e);
    if let Some(lines) = receipt.get_mut("lines").and_then(Value::as_array_mut) {
        for (line, told) in lines.iter_mut().zip(&closed.lines) {
            if let Some(by_rules) = priced.and_then(|p| p.lines.iter().find(|l| l.sku == told.sku)) {
                line["amount_minor"] = json!(by_rules.amount_minor);
                line["steps"] = json!(by_rules.steps);
            }
            if let Some((_, quantity, charge_minor)) = answers.get(told.sku.as_str()) {
                line["answered"] = json!({ "quantity": quantity, "charge_minor": charge_minor });
            }
        }
    }
    let (charge, in_review) =
        priced.map_or((closed.charge_minor, closed.in_review_minor), |p| (p.charge_minor, p.in_review_minor));
    // What a hostile store says is added up without overflow.
    let sum = |amounts: &mut dyn Iterator<Item = i64>| amounts.fold(0_i64, i64::saturating_add);
    let answered = sum(&mut answers.values().map(|a| a.2));
    let refunded = sum(&mut refunds.values().map(|r| r.1));
    let owed = charge.saturating_add(answered).saturating_sub(refunded);
    let mut say = |name: &str, value: Value| receipt.insert(name.to_owned(), value);
    say("charge_minor", json!(charge));
    say("in_review_minor", json!(in_review));
    say("answered_minor", json!(answered));
    say("refunded_minor", json!(refunded));
    say("owed_minor", json!(owed));
    if let Some(priced) = priced {
        say("rules_version", json!(priced.version));
        say("prices_version", json!(priced.prices_version));
        say("points_earned", json!(priced.points_earned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: &str = "019b0000-0000-7000-8000-000000000001";

    fn event(kind: &str, source: &str, seq: u64, data: &Value) -> Value {
        json!({"specversion": "1.0", "id": format!("{source}/{EPOCH}/{seq}"), "source": "/stores/nano",
               "type": format!("org.linefree.{kind}.v1"), "time": "2026-01-28T22:24:00.000001Z", "data": data})
    }

    fn closed(seq: u64, charge: i64) -> Value {
        let line = |sku: &str, price: i64, review: bool| {
            json!({"sku": sku, "name": sku, "quantity": 1, "unit_price_minor": price, "probability": 0.97,
                   "review": review})
        };
        let data = json!({"visit": "v1", "credential": "c", "entered_us": 1, "left_us": 2, "currency": "EUR",
            "lines": [line("a", charge, false), line("b", 300, true)], "charge_minor": charge,
            "in_review_minor": 300});
        event("visit.closed", "floor-1", seq, &data)
    }

    fn priced(seq: u64, of: u64, charge: i64) -> Value {
        let line = |sku: &str, amount: i64| json!({"sku": sku, "amount_minor": amount, "tax_minor": 0, "seller": "store", "steps": []});
        let data = json!({"visit": "v1", "closed_source": "floor-1", "closed_epoch": EPOCH, "closed_seq": of,
            "version": 7, "currency": "EUR", "lines": [line("a", charge), line("b", 250)],
            "charge_minor": charge, "in_review_minor": 250, "points_earned": 3, "sellers": []});
        event("receipt.priced", "ledger", seq, &data)
    }

    fn answered(seq: u64, charge: i64) -> Value {
        let data =
            json!({"visit": "v1", "sku": "b", "quantity": 1, "currency": "EUR", "charge_minor": charge});
        event("review.answered", "ledger", seq, &data)
    }

    #[test]
    fn what_is_owed_follows_prices_answers_and_refunds_in_any_order() {
        let refund = json!({"refund": "r1", "visit": "v1", "currency": "EUR", "lines": [], "amount_minor": 40,
            "reason": "broken"});
        // Closed twice: what was priced for the first closing does not count, nor a second pricing of the same.
        let mut events = vec![
            closed(1, 199),
            closed(2, 210),
            priced(1, 1, 150),
            priced(2, 2, 180),
            priced(3, 2, 1),
            answered(4, 300),
            answered(5, 250),
            event("refund.issued", "ledger", 6, &refund),
        ];
        for _ in 0..events.len() {
            events.rotate_left(1);
            let receipt = receipt_of(&events).unwrap();
            assert_eq!((&receipt["charge_minor"], &receipt["in_review_minor"]), (&json!(180), &json!(250)));
            assert_eq!((&receipt["answered_minor"], &receipt["refunded_minor"]), (&json!(250), &json!(40)));
            assert_eq!((&receipt["owed_minor"], &receipt["rules_version"]), (&json!(390), &json!(7)));
            assert_eq!(receipt["lines"][0]["amount_minor"], 180);
            assert_eq!(receipt["lines"][1]["answered"], json!({"quantity": 1, "charge_minor": 250}));
        }
    }

    #[test]
    fn without_prices_the_floor_is_believed_and_what_cannot_be_read_is_told_as_it_came() {
        let receipt = receipt_of(&[closed(1, 199)]).unwrap();
        assert_eq!((&receipt["charge_minor"], &receipt["owed_minor"]), (&json!(199), &json!(199)));
        assert_eq!(receipt.get("rules_version"), None);
        let odd = event("visit.closed", "floor-1", 1, &json!({"visit": "v1", "newer": true}));
        assert_eq!(receipt_of(&[odd]), Some(json!({"visit": "v1", "newer": true})));
        assert_eq!(receipt_of(&[answered(1, 5)]), None);
    }
}
