//! One event of the ledger as a CloudEvents 1.0 event, there and back.

use linefree_bus::payload::{Event, EventBody};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::ledger::{EventId, OutboxEvent, StoredEvent, kind_of};

/// The type that fills the place of an event whose body retention has let go.
pub const LET_GO: &str = "org.linefree.event.let-go.v1";

/// A ledger's event in the CloudEvents JSON format.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CloudEvent {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'static str,
    ledger: String,
    sequence: String,
    data: Value,
}

/// `org.linefree.visit.closed.v1` and its like.
#[must_use]
pub fn type_name(kind: &str) -> String {
    format!("org.linefree.{}.v1", kind.replace('_', "."))
}

impl CloudEvent {
    /// The cloud's view of a place in the ledger. A body that was let go is replaced by an event with an id of its own,
    /// so that it never contradicts the event that the cloud may have.
    ///
    /// # Errors
    /// As [`CloudEvent::new`].
    pub fn of(store: &str, ledger: Uuid, place: &OutboxEvent) -> Result<Self, serde_json::Error> {
        match place {
            OutboxEvent::Whole(stored) => Self::new(store, ledger, stored),
            OutboxEvent::LetGo { ledger_seq, id, kind, time_us, .. } => Ok(Self {
                specversion: "1.0",
                id: format!("{id}#let-go"),
                source: format!("/stores/{store}"),
                kind: LET_GO.to_owned(),
                subject: Some(id.to_string()),
                time: rfc3339(*time_us),
                datacontenttype: "application/json",
                ledger: ledger.to_string(),
                sequence: format!("{ledger_seq:020}"),
                data: serde_json::json!({ "kind": kind }),
            }),
        }
    }

    /// The cloud's view of a stored event.
    ///
    /// # Errors
    /// When the body cannot be written as JSON, which no event that was read from JSON does.
    pub fn new(store: &str, ledger: Uuid, stored: &StoredEvent) -> Result<Self, serde_json::Error> {
        let event = &stored.event;
        let mut data = serde_json::to_value(&event.body)?;
        if let Some(object) = data.as_object_mut() {
            // The kind is the event's type already.
            object.remove("kind");
        }
        Ok(Self {
            specversion: "1.0",
            id: EventId::of(event).to_string(),
            source: format!("/stores/{store}"),
            kind: type_name(kind_of(&event.body)),
            subject: subject(&event.body),
            time: rfc3339(event.time_us),
            datacontenttype: "application/json",
            ledger: ledger.to_string(),
            sequence: format!("{:020}", stored.ledger_seq),
            data,
        })
    }
}

/// An event as the bus and the ledger know it, from what the cloud has of it: for taking back what a store has lost.
///
/// # Errors
/// For people: why it is none. Bodies that were let go cannot be taken back.
pub fn event_of(cloud: &Value) -> Result<Event, String> {
    let text = |name: &str| {
        cloud.get(name).and_then(Value::as_str).ok_or_else(|| format!("attribute {name:?} is missing"))
    };
    let kind = text("type")?
        .strip_prefix("org.linefree.")
        .and_then(|t| t.strip_suffix(".v1"))
        .ok_or("it is of another type")?
        .replace('.', "_");
    let mut id = text("id")?.rsplitn(3, '/');
    let (seq, epoch, source) = (id.next(), id.next(), id.next());
    let seq = seq.and_then(|s| s.parse().ok()).ok_or("its id has no number")?;
    let epoch = epoch.and_then(|e| Uuid::parse_str(e).ok()).ok_or("its id has no epoch")?;
    let time: jiff::Timestamp = text("time")?.parse().map_err(|e| format!("its time: {e}"))?;
    let mut body = cloud.get("data").cloned().unwrap_or(Value::Null);
    body.as_object_mut().ok_or("its data is no object")?.insert("kind".into(), Value::String(kind));
    let body = serde_json::from_value(body).map_err(|e| format!("its data: {e}"))?;
    let source = source.filter(|s| !s.is_empty()).ok_or("its id has no source")?;
    Ok(Event { source: source.to_owned(), epoch, seq, time_us: time.as_microsecond(), body })
}

/// What the event is about: the visit, the device, the gate or the first plate.
fn subject(body: &EventBody) -> Option<String> {
    let text = match body {
        EventBody::VisitOpened(e) => &e.visit,
        EventBody::CartChanged(e) => &e.visit,
        EventBody::VisitClosed(e) => &e.visit,
        EventBody::DeviceFault(e) => &e.device,
        EventBody::GatePassed(e) => &e.gate,
        EventBody::ShelfChanged(e) => &e.plates.first()?.plate,
        EventBody::ItemAttributed(e) => {
            return Some(format!("{}/{}/{}", e.shelf_source, e.shelf_epoch, e.shelf_seq));
        }
        EventBody::ReviewAnswered(e) => &e.visit,
        EventBody::RefundIssued(e) => &e.visit,
        EventBody::StockCounted(e) => &e.plate,
        EventBody::PaymentChanged(e) => &e.visit,
        EventBody::ContestChanged(e) => &e.visit,
        EventBody::ReceiptPriced(e) => &e.visit,
        EventBody::OrderChanged(e) => &e.order,
        EventBody::TaskChanged(e) => &e.task,
        EventBody::CommandAnswered(e) => &e.command,
        EventBody::PriceRulesChanged(_) | EventBody::InsightsTold(_) | EventBody::ShopperForgotten(_) => {
            return None;
        }
    };
    // CloudEvents: a subject is present or not, but never empty.
    (!text.is_empty()).then(|| text.clone())
}

/// Microseconds since the Unix epoch as RFC 3339; a time beyond the calendar is written as its nearest end.
#[must_use]
pub fn rfc3339(time_us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(time_us).unwrap_or(if time_us < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    // CloudEvents and RFC 3339 know the years 0 to 9999 only.
    let first = jiff::Timestamp::from_second(-62_167_219_200).unwrap_or(time);
    format!("{:.6}", time.max(first))
}

/// What the receiver needs of an event, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The store, from `source`.
    pub store: String,
    /// The event's identity.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// When it happened, as written.
    pub time: Option<String>,
    /// Which ledger it comes from.
    pub ledger: Uuid,
    /// Its position there.
    pub ledger_seq: u64,
}

/// Checks an event against the CloudEvents 1.0 rules and this contract.
///
/// # Errors
/// For people: which attribute is wrong, and how.
pub fn check(event: &Value) -> Result<Received, String> {
    let object = event.as_object().ok_or("an event must be a JSON object")?;
    for (name, value) in object {
        if matches!(name.as_str(), "data" | "data_base64") {
            continue;
        }
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(format!("attribute name {name:?} may hold only a-z and 0-9"));
        }
        if value.is_object() || value.is_array() {
            return Err(format!("attribute {name:?} must be a text, a number, true or false"));
        }
    }
    let text = |name: &str| -> Result<&str, String> {
        match object.get(name).and_then(Value::as_str) {
            Some("") => Err(format!("attribute {name:?} must not be empty")),
            Some(text) => Ok(text),
            None => Err(format!("attribute {name:?} is missing or not a text")),
        }
    };
    if text("specversion")? != "1.0" {
        return Err("attribute \"specversion\" must be \"1.0\"".into());
    }
    let source = text("source")?;
    let store = source
        .strip_prefix("/stores/")
        .filter(|s| linefree_domain::ids::StoreId::new(s).is_ok())
        .ok_or_else(|| format!("attribute \"source\" is {source:?}, not /stores/{{store}}"))?;
    if object.contains_key("subject") {
        text("subject")?;
    }
    let time = match object.get("time") {
        None => None,
        Some(_) => {
            let time = text("time")?;
            time.parse::<jiff::Timestamp>().map_err(|e| format!("attribute \"time\": {e}"))?;
            Some(time.to_owned())
        }
    };
    if object.contains_key("datacontenttype") && text("datacontenttype")? != "application/json" {
        return Err("attribute \"datacontenttype\" must be \"application/json\"".into());
    }
    if !object.get("data").is_some_and(Value::is_object) {
        return Err("\"data\" must be a JSON object".into());
    }
    let kind = text("type")?;
    let ledger = Uuid::parse_str(text("ledger")?).map_err(|e| format!("attribute \"ledger\": {e}"))?;
    let ledger_seq = text("sequence")?
        .parse::<u64>()
        .ok()
        .filter(|seq| *seq >= 1 && i64::try_from(*seq).is_ok())
        .ok_or("attribute \"sequence\" is no number from 1")?;
    Ok(Received {
        store: store.to_owned(),
        id: text("id")?.to_owned(),
        kind: kind.to_owned(),
        time,
        ledger,
        ledger_seq,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "specversion": "1.0", "id": "floor-1/e/1", "source": "/stores/nano",
            "type": "org.linefree.visit.closed.v1", "time": "2026-01-28T22:24:00.000001Z",
            "ledger": Uuid::nil().to_string(), "sequence": "00000000000000000007", "data": {}
        })
    }

    #[test]
    fn a_sound_event_is_taken() {
        let got = check(&good()).unwrap();
        assert_eq!((got.store.as_str(), got.ledger_seq), ("nano", 7));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let with = |name: &str, value: Value| {
            let mut e = good();
            e[name] = value;
            e
        };
        let without = |name: &str| {
            let mut e = good();
            e.as_object_mut().unwrap().remove(name);
            e
        };
        let cases = [
            (json!([]), "object"),
            (without("id"), "\"id\""),
            (with("id", json!("")), "empty"),
            (with("id", json!(7)), "\"id\""),
            (without("type"), "\"type\""),
            (without("source"), "\"source\""),
            (with("source", json!("/shops/nano")), "/stores/"),
            (with("source", json!("/stores/a/b")), "/stores/"),
            (with("specversion", json!("0.3")), "1.0"),
            (with("time", json!("yesterday")), "\"time\""),
            (with("subject", json!("")), "\"subject\""),
            (with("sequence", json!("0")), "\"sequence\""),
            (with("sequence", json!(7)), "\"sequence\""),
            (with("ledger", json!("x")), "\"ledger\""),
            (with("data", json!("text")), "\"data\""),
            (with("Upper", json!(1)), "Upper"),
            (with("nested", json!({})), "nested"),
        ];
        for (event, word) in cases {
            let told = check(&event).unwrap_err();
            assert!(told.contains(word), "{told} does not name {word}");
        }
    }

    #[test]
    fn times_are_rfc_3339_even_absurd_ones() {
        assert_eq!(rfc3339(1_769_639_040_000_001), "2026-01-28T22:24:00.000001Z");
        for absurd in [i64::MIN, i64::MAX, -62_167_219_200_000_001] {
            let text = rfc3339(absurd);
            assert!(text.parse::<jiff::Timestamp>().is_ok() && !text.starts_with('-'), "{text}");
        }
    }
}
