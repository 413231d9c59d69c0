//! Tells the demo's live events in words, from what has reached the cloud.
//!
//! What is told here has gone the whole way: device, bus, ledger, outbox, cloud. So it comes about a second after it
//! happened; the console is faster.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

/// An event in the cloud.
#[derive(Debug, Deserialize)]
pub struct Placed {
    event: CloudEvent,
}

#[derive(Debug, Deserialize)]
struct CloudEvent {
    #[serde(rename = "type")]
    kind: String,
    time: String,
    #[serde(default)]
    data: Data,
}

/// Every field that is told of any kind of event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    gate: String,
    direction: String,
    credential: Option<String>,
    visit: String,
    plates: Vec<Plate>,
    delta_g: f64,
    sd_g: f64,
    lines: Vec<Line>,
    currency: String,
    charge_minor: i64,
    in_review_minor: i64,
    device: String,
    message: String,
    cleared: bool,
    order: Option<String>,
    task: String,
    state: String,
    assignee: Option<String>,
    plate: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Plate {
    plate: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    name: String,
    quantity: u32,
    review: bool,
}

/// Remembers who is who.
#[derive(Debug, Default)]
pub struct Narrator {
    /// Credentials by visit.
    credentials: BTreeMap<String, String>,
}

impl Narrator {
    /// One line for people; `None` for events that say nothing to them.
    pub fn tell(&mut self, placed: &Placed) -> Option<String> {
        let d = &placed.event.data;
        if let (false, Some(credential)) = (d.visit.is_empty(), &d.credential) {
            self.credentials.insert(d.visit.clone(), credential.clone());
        }
        let known = d.credential.as_ref().or_else(|| self.credentials.get(&d.visit));
        let who = known.map_or("somebody", String::as_str);
        let what = match placed.event.kind.strip_prefix("org.linefree.")?.strip_suffix(".v1")? {
            "gate.passed" if d.direction == "entry" => format!("gate    {who} comes in by {}", d.gate),
            "gate.passed" => format!("gate    {who} goes out by {}", d.gate),
            "visit.opened" => format!("visit   {who}: {} begins", d.visit),
            "shelf.changed" => {
                let plates: Vec<&str> = d.plates.iter().map(|p| p.plate.as_str()).collect();
                format!("shelf   {} {:+.0} g (sd {:.1})", plates.join(" "), d.delta_g, d.sd_g)
            }
            "cart.changed" => format!("cart    {who}: {}", told_lines(&d.lines)),
            "visit.closed" => {
                let mut text = format!(
                    "receipt {who}: {}; {} to pay",
                    told_lines(&d.lines),
                    told_money(d.charge_minor, &d.currency)
                );
                if d.in_review_minor != 0 {
                    let _ = write!(text, ", {} in review", told_money(d.in_review_minor, &d.currency));
                }
                text
            }
            "order.changed" => {
                let order = d.order.as_deref().unwrap_or_default();
                format!("order   {order} is {}", d.state.replace('_', " "))
            }
            "task.changed" => {
                let by = d.assignee.as_deref().unwrap_or("nobody yet");
                format!("task    {}: pick at {}, {}, {by}", d.task, d.plate, d.state.replace('_', " "))
            }
            "device.fault" if d.cleared => format!("device  {} is well again", d.device),
            "device.fault" => format!("device  {}: {}", d.device, d.message),
            _ => return None,
        };
        // 2009-06-18T12:00:01.200000Z: the time of day is enough on a screen.
        let time = placed.event.time.split_once('T').map_or("", |(_, t)| t.get(..10).unwrap_or(t));
        Some(format!("{time}  {what}"))
    }
}

fn told_lines(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "nothing".into();
    }
    let told = lines
        .iter()
        .map(|l| format!("{} x {}{}", l.quantity, l.name, if l.review { " (in review)" } else { "" }));
    told.collect::<Vec<_>>().join(", ")
}

/// Amounts of currencies with hundredths, as most have; good enough for a demo's screen.
fn told_money(minor: i64, currency: &str) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    format!("{sign}{}.{:02} {currency}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, data: &serde_json::Value) -> Option<String> {
        let placed = serde_json::json!({
            "position": 7,
            "event": {"type": format!("org.linefree.{kind}.v1"), "time": "2026-01-28T22:24:15.300000Z", "data": data}
        });
        Narrator::default().tell(&serde_json::from_value(placed).unwrap())
    }

    #[test]
    fn a_receipt_is_told_in_one_line() {
        let receipt = serde_json::json!({
            "visit": "v1", "credential": "c1", "entered_us": 1, "left_us": 2, "currency": "GBP",
            "lines": [
                {"sku": "1", "name": "Water", "quantity": 2, "unit_price_minor": 199, "probability": 0.99, "review": false},
                {"sku": "2", "name": "Tea", "quantity": 1, "unit_price_minor": 305, "probability": 0.6, "review": true}
            ],
            "charge_minor": 398, "in_review_minor": 305
        });
        assert_eq!(
            told("visit.closed", &receipt).unwrap(),
            "22:24:15.3  receipt c1: 2 x Water, 1 x Tea (in review); 3.98 GBP to pay, 3.05 GBP in review"
        );
    }

    #[test]
    fn a_cart_is_told_with_its_credential() {
        let mut narrator = Narrator::default();
        let mut tell = |kind: &str, data: serde_json::Value| {
            let event =
                serde_json::json!({"type": format!("org.linefree.{kind}.v1"), "time": "T", "data": data});
            narrator
                .tell(&serde_json::from_value(serde_json::json!({"position": 1, "event": event})).unwrap())
        };
        let cart = serde_json::json!({"visit": "v1", "lines": [{"name": "Tea", "quantity": 1}]});
        assert_eq!(tell("cart.changed", cart.clone()).unwrap(), "  cart    somebody: 1 x Tea");
        tell("visit.opened", serde_json::json!({"visit": "v1", "credential": "c7", "party": 1}));
        assert_eq!(tell("cart.changed", cart).unwrap(), "  cart    c7: 1 x Tea");
    }

    #[test]
    fn shelves_gates_and_strangers_are_told_and_the_rest_is_not() {
        let lift = serde_json::json!({"plates": [{"plate": "1/5/10", "delta_g": -538.2}], "delta_g": -538.2, "sd_g": 2.04});
        assert_eq!(told("shelf.changed", &lift).unwrap(), "22:24:15.3  shelf   1/5/10 -538 g (sd 2.0)");
        let exit = serde_json::json!({"gate": "door", "direction": "exit", "party": 1});
        assert_eq!(told("gate.passed", &exit).unwrap(), "22:24:15.3  gate    somebody goes out by door");
        assert_eq!(told("item.attributed", &serde_json::json!({"shelf_source": "shelf-1"})), None);
        assert_eq!(told_money(-5, "EUR"), "-0.05 EUR");
    }
}
