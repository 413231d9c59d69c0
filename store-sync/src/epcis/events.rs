//! From the ledger's events, one after the other, to EPCIS events. Sans-IO.
//!
//! What the ledger tells is whole and may be replaced (the greatest identity wins, as in the projections); EPCIS events
//! are never changed, only declared wrong. So the teller keeps what it has told of each line, task and plate, works out
//! what should be told now, and tells the difference.

use std::collections::BTreeMap;

use linefree_bus::payload::{
    Event, EventBody, RefundIssued, StockCounted, TaskChanged, TaskKind, TaskState, VisitClosed,
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::cloud::event::rfc3339;
use crate::gs1::{Place, product_uri};
use crate::ledger::EventId;

/// What decides between two events about the same thing, as in the projections.
type Rank = (uuid::Uuid, String, u64);

fn rank(event: &Event) -> Rank {
    (event.epoch, event.source.clone(), event.seq)
}

/// What is known of a visit's purchase.
#[derive(Default)]
struct Purchase {
    receipt: Option<(Rank, VisitClosed)>,
    answers: BTreeMap<String, (Rank, u32)>,
    refunds: BTreeMap<String, (Rank, RefundIssued)>,
    /// What was told, by SKU.
    told: BTreeMap<String, Told>,
}

/// An event that was told and not declared wrong.
struct Told {
    quantity: u32,
    event: Value,
}

/// What is known of a plate.
struct Plate {
    sku: String,
    quantity: u32,
    time_us: i64,
}

/// Tells a ledger's events in EPCIS terms.
pub(super) struct Teller {
    place: Place,
    purchases: BTreeMap<String, Purchase>,
    tasks: BTreeMap<String, (Rank, Option<Told>)>,
    plates: BTreeMap<String, Plate>,
}

impl Teller {
    pub fn new(place: Place) -> Self {
        Self { place, purchases: BTreeMap::new(), tasks: BTreeMap::new(), plates: BTreeMap::new() }
    }

    /// What follows from the ledger's next event.
    pub fn tell(&mut self, event: &Event) -> Vec<Value> {
        match &event.body {
            EventBody::VisitClosed(closed) => {
                let purchase = self.purchases.entry(closed.visit.clone()).or_default();
                if purchase.receipt.as_ref().is_none_or(|(of, _)| *of < rank(event)) {
                    purchase.receipt = Some((rank(event), closed.clone()));
                }
                self.sales(&closed.visit, event)
            }
            EventBody::ReviewAnswered(answer) => {
                let purchase = self.purchases.entry(answer.visit.clone()).or_default();
                let known = purchase.answers.get(&answer.sku);
                if known.is_none_or(|(of, _)| *of < rank(event)) {
                    purchase.answers.insert(answer.sku.clone(), (rank(event), answer.quantity));
                }
                self.sales(&answer.visit, event)
            }
            EventBody::RefundIssued(refund) => {
                let purchase = self.purchases.entry(refund.visit.clone()).or_default();
                let known = purchase.refunds.get(&refund.refund);
                if known.is_none_or(|(of, _)| *of < rank(event)) {
                    purchase.refunds.insert(refund.refund.clone(), (rank(event), refund.clone()));
                }
                self.sales(&refund.visit, event)
            }
            EventBody::TaskChanged(task) => self.pick(task, event),
            EventBody::StockCounted(count) => self.count(count, event),
            _ => Vec::new(),
        }
    }

    /// What a visit's sales are now, beside what was told of them.
    fn sales(&mut self, visit: &str, because: &Event) -> Vec<Value> {
        let mut out = Vec::new();
        let place = &self.place;
        let Some(purchase) = self.purchases.get_mut(visit) else { return out };
        // Without its receipt nothing is known of when it was.
        let Some((_, receipt)) = &purchase.receipt else { return out };
        let mut sold: BTreeMap<String, u32> = BTreeMap::new();
        for line in receipt.lines.iter().filter(|l| !l.review) {
            *sold.entry(line.sku.clone()).or_default() += line.quantity;
        }
        for (sku, (_, quantity)) in &purchase.answers {
            *sold.entry(sku.clone()).or_default() += quantity;
        }
        for line in purchase.refunds.values().flat_map(|(_, refund)| &refund.lines) {
            if let Some(quantity) = sold.get_mut(&line.sku) {
                *quantity = quantity.saturating_sub(line.quantity);
            }
        }
        for sku in purchase.told.keys() {
            sold.entry(sku.clone()).or_default();
        }
        let left = rfc3339(receipt.left_us);
        for (sku, quantity) in sold {
            let sale = (quantity > 0).then(|| {
                let mut sale = happened(because, &left, &sku, quantity, "retail_selling");
                sale["disposition"] = json!("retail_sold");
                sale["readPoint"] = json!({ "id": place.uri() });
                sale["bizLocation"] = json!({ "id": place.uri() });
                sale["bizTransactionList"] =
                    json!([{ "type": "inv", "bizTransaction": place.document_uri("receipt", visit) }]);
                Told { quantity, event: named(sale, because, &[place.store(), visit, &sku]) }
            });
            let before = purchase.told.remove(&sku);
            let now = correct(before, sale, because, &mut out);
            if let Some(now) = now {
                purchase.told.insert(sku, now);
            }
        }
        out
    }

    fn pick(&mut self, task: &TaskChanged, because: &Event) -> Vec<Value> {
        let mut out = Vec::new();
        let place = &self.place;
        let known = self.tasks.remove(&task.task);
        if let Some((of, told)) = known {
            if of >= rank(because) {
                self.tasks.insert(task.task.clone(), (of, told));
                return out;
            }
            let now = correct(told, picked(place, task, because), because, &mut out);
            self.tasks.insert(task.task.clone(), (rank(because), now));
        } else {
            let now = correct(None, picked(place, task, because), because, &mut out);
            self.tasks.insert(task.task.clone(), (rank(because), now));
        }
        out
    }

    fn count(&mut self, count: &StockCounted, because: &Event) -> Vec<Value> {
        let mut out = Vec::new();
        let place = &self.place;
        let time = rfc3339(because.time_us);
        let tell = |quantity: u32, step: &str, disposition: &str| {
            let mut event = happened(because, &time, &count.sku, quantity, step);
            event["disposition"] = json!(disposition);
            event["readPoint"] = json!({ "id": place.plate_uri(&count.plate) });
            event["bizLocation"] = json!({ "id": place.uri() });
            named(event, because, &[place.store(), &count.plate, step])
        };
        let last = self.plates.get(&count.plate);
        // A count that comes late says nothing about what was put there since.
        if last.is_none_or(|last| last.time_us <= because.time_us) {
            let before = last.filter(|last| last.sku == count.sku).map_or(0, |last| last.quantity);
            if count.quantity > before {
                out.push(tell(count.quantity - before, "stocking", "sellable_accessible"));
            }
            let plate = Plate { sku: count.sku.clone(), quantity: count.quantity, time_us: because.time_us };
            self.plates.insert(count.plate.clone(), plate);
        }
        out.push(tell(count.quantity, "cycle_counting", "sellable_accessible"));
        out
    }
}

/// A task that is done, as a pick.
fn picked(place: &Place, task: &TaskChanged, because: &Event) -> Option<Told> {
    if task.task_kind != TaskKind::Pick || task.state != TaskState::Done || task.quantity == 0 {
        return None;
    }
    let mut pick = happened(because, &rfc3339(because.time_us), &task.sku, task.quantity, "picking");
    pick["disposition"] = json!("in_progress");
    pick["readPoint"] = json!({ "id": place.plate_uri(&task.plate) });
    pick["bizLocation"] = json!({ "id": place.uri() });
    if let Some(order) = &task.order {
        pick["bizTransactionList"] =
            json!([{ "type": "po", "bizTransaction": place.document_uri("order", order) }]);
    }
    Some(Told { quantity: task.quantity, event: named(pick, because, &[place.store(), &task.task]) })
}

/// Objects of a class were seen in a step of business.
fn happened(because: &Event, time: &str, sku: &str, quantity: u32, step: &str) -> Value {
    json!({
        "type": "ObjectEvent",
        "eventTime": time,
        // Times are written in UTC; the store's own zone is not the ledger's matter.
        "eventTimeZoneOffset": "+00:00",
        "action": "OBSERVE",
        "bizStep": step,
        "quantityList": [{ "epcClass": product_uri(sku), "quantity": quantity }],
        "linefree:because": EventId::of(because).to_string(),
        "@context": [{ "linefree": "urn:linefree:epcis:" }],
    })
}

/// With its id: a UUID of version 8 (RFC 9562) from a hash of what it says, about what, and because of what.
fn named(mut event: Value, because: &Event, about: &[&str]) -> Value {
    let mut text = EventId::of(because).to_string();
    for part in about {
        text.push('\n');
        text.push_str(part);
    }
    text.push('\n');
    text.push_str(&event.to_string());
    let hash = digest(&SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    event["eventID"] = json!(uuid::Builder::from_custom_bytes(bytes).into_uuid().urn().to_string());
    event
}

/// Does a new telling say the same as the old one, but for what it follows from?
fn same(a: &Told, b: &Told) -> bool {
    let bare = |told: &Told| {
        let mut event = told.event.clone();
        if let Some(fields) = event.as_object_mut() {
            fields.remove("eventID");
            fields.remove("linefree:because");
        }
        event
    };
    a.quantity == b.quantity && bare(a) == bare(b)
}

/// Tells what changed: nothing, a new event, or the old one as an error with what corrects it.
fn correct(before: Option<Told>, now: Option<Told>, because: &Event, out: &mut Vec<Value>) -> Option<Told> {
    if let (Some(before), Some(now)) = (&before, &now)
        && same(before, now)
    {
        return Some(Told { quantity: before.quantity, event: before.event.clone() });
    }
    if let Some(before) = before {
        // EPCIS 2.0, 7.4.1.4: the same event with the same id, and the declaration.
        let mut wrong = before.event;
        let mut declaration = json!({
            "declarationTime": rfc3339(because.time_us),
            "reason": if now.is_some() { "incorrect_data" } else { "did_not_occur" },
        });
        if let Some(now) = &now {
            declaration["correctiveEventIDs"] = json!([now.event["eventID"]]);
        }
        wrong["errorDeclaration"] = declaration;
        out.push(wrong);
    }
    if let Some(now) = &now {
        out.push(now.event.clone());
    }
    now
}
