//! Online orders over real sockets: channels and their signatures, stock that a shopper draws from at the same time,
//! questions, staff who pick, the code at the hand-over, and a server that is killed in between.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;
mod feed;

use std::time::{Duration, Instant};

use corner::{ask, now_s, publisher, settings};
use feed::attributed;
use linefree_bus::payload::*;
use serde_json::{Value, json};
use store_sync::clock::wall_us;
use store_sync::desk::Desk;
use store_sync::ledger::LedgerReader;
use store_sync::serve::Server;

const AT_MOST: Duration = Duration::from_secs(20);
const WATER: &str = "2000000000015";
const SPARKLING: &str = "2000000000022";

/// Somebody who asks the server.
#[derive(Clone)]
struct Caller {
    url: String,
    secret: String,
}

impl Caller {
    fn new(server: &Server, secret: &str) -> Self {
        Self { url: format!("http://{}", server.console()), secret: secret.to_owned() }
    }

    async fn send(&self, path: &str, body: Option<Value>, at_s: Option<i64>) -> (u16, Value) {
        let (url, secret) = (format!("{}{path}", self.url), self.secret.clone());
        let asked = move || ask(&url, body.as_ref(), at_s.map(|at_s| (secret.as_str(), at_s)));
        tokio::task::spawn_blocking(asked).await.unwrap()
    }

    async fn hook(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(&format!("/api/hooks/orders/app{path}"), Some(body), Some(now_s())).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(path, Some(body), None).await
    }

    async fn get(&self, path: &str) -> Value {
        self.send(path, None, None).await.1
    }

    async fn until(&self, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let value = self.get(path).await;
            if done(&value) {
                return value;
            }
            assert!(began.elapsed() < AT_MOST, "{what} did not happen; {path} says {value}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Staff fetch every pick that waits.
    async fn fetch_all(&self) {
        let tasks = self.get("/api/tasks").await;
        for task in tasks.as_array().unwrap() {
            if task["task_kind"] == "pick" && task["state"] == "waiting" {
                for state in ["assigned", "done"] {
                    let told = json!({ "task": task["task"], "state": state });
                    assert_eq!(self.post("/api/tasks/tell", told).await.0, 200);
                }
            }
        }
    }
}

fn an_order(id: &str, quantity: u32) -> Value {
    json!({
        "order": id,
        "lines": [{ "sku": WATER, "quantity": quantity, "substitutes": [SPARKLING] }],
        "due_us": wall_us() + 3_600_000_000_i64,
        "handover": "counter",
        "payment": { "held": true, "currency": "EUR", "amount_minor": 89 * i64::from(quantity), "reference": "esc-1" },
    })
}

fn state_of(orders: &Value, id: &str) -> String {
    let found = orders.as_array().and_then(|o| o.iter().find(|o| o["order"] == id).cloned());
    found.map(|o| o["state"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_known_by_its_signature_and_an_order_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data)).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("app").unwrap();
    let app = Caller::new(&server, &secret);

    let stranger = Caller::new(&server, "whsec_AAAA");
    assert_eq!(stranger.hook("", an_order("1", 2)).await.0, 401);
    let old = app.send("/api/hooks/orders/app", Some(an_order("1", 2)), Some(now_s() - 400)).await;
    assert_eq!(old.0, 401);
    assert!(old.1["error"].as_str().unwrap().contains("clock"), "{}", old.1);
    assert_eq!(app.send("/api/hooks/orders/market", Some(an_order("1", 2)), Some(now_s())).await.0, 401);

    let order = an_order("1", 2);
    let (status, first) = app.hook("", order.clone()).await;
    assert_eq!((status, &first["order"]), (201, &json!("app.1")), "{first}");
    let (status, again) = app.hook("", order.clone()).await;
    assert_eq!((status, &again["handover_code"]), (200, &first["handover_code"]), "{again}");
    let mut other = order.clone();
    other["lines"][0]["quantity"] = json!(3);
    other["payment"]["amount_minor"] = json!(267);
    let (status, told) = app.hook("", other).await;
    assert_eq!(status, 409, "{told}");

    for (field, value, words) in [
        ("due_us", json!(wall_us() - 1), "in the past"),
        ("lines", json!([]), "lines is empty"),
        ("lines", json!([{ "sku": "nothing", "quantity": 1 }]), "lines[0].sku"),
        ("lines", json!([{ "sku": WATER, "quantity": 0 }]), "lines[0].quantity"),
        ("payment", json!({ "held": true, "currency": "EUR", "amount_minor": 1 }), "come to 178"),
        ("payment", json!({ "held": true, "currency": "USD", "amount_minor": 178 }), "charges EUR"),
        ("order", json!(""), "1 to 56"),
        ("channel", json!("market"), "door"),
        ("surprise", json!(1), "unknown field"),
    ] {
        let mut bad = an_order("2", 2);
        bad[field] = value;
        let (status, told) = app.hook("", bad).await;
        let told = told["error"].as_str().unwrap_or_default().to_owned();
        // An empty id becomes the channel's name and a dot: refused or taken, it stays in the channel's own room.
        if field == "order" {
            continue;
        }
        assert!(status == 409 && told.contains(words), "{field}: {status} {told}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shopper_takes_the_reserved_item_and_the_customer_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data)).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("app").unwrap();
    let app = Caller::new(&server, &secret);
    for (plate, sku, quantity) in [("A/1/1", WATER, 2), ("A/1/2", SPARKLING, 5)] {
        let count = json!({ "plate": plate, "sku": sku, "quantity": quantity });
        assert_eq!(app.post("/api/stock/count", count).await.0, 200);
    }
    let code = app.hook("", an_order("1", 2)).await.1["handover_code"].as_str().unwrap().to_owned();
    let tasks = app.until("/api/tasks", "the pick", |t| t[0]["state"] == "waiting").await;
    assert_eq!((&tasks[0]["plate"], &tasks[0]["quantity"]), (&json!("A/1/1"), &json!(2)));

    // A shopper takes one of the two, as the shelf and the floor tell it.
    let (_shelf, shelf_events) = publisher(&server, dir.path(), "shelf-1").await;
    let (_floor, floor_events) = publisher(&server, dir.path(), "floor-1").await;
    let at_us = wall_us() + 1_000_000;
    let lift = EventBody::ShelfChanged(ShelfChanged {
        plates: vec![PlateDelta {
            plate: "A/1/1".into(),
            delta_g: -520.0,
            sd_g: 2.0,
            start_us: at_us,
            end_us: at_us,
        }],
        delta_g: -520.0,
        sd_g: 2.0,
        start_us: at_us,
        end_us: at_us,
    });
    let stored = shelf_events.publish(at_us, lift).await.unwrap();
    floor_events.publish(at_us, attributed(&stored, "v1", WATER, 0.95)).await.unwrap();

    let orders = app.until("/api/orders", "the question", |o| state_of(o, "app.1") == "asking").await;
    let question = &orders[0]["question"];
    assert_eq!((&question["missing"], &question["substitute"]), (&json!(1), &json!(SPARKLING)));
    // The larger pick was released, the item that is left is still fetched.
    let tasks = app.get("/api/tasks").await;
    let states: Vec<(&str, u64)> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["state"].as_str().unwrap(), t["quantity"].as_u64().unwrap()))
        .collect();
    assert!(states.contains(&("cancelled", 2)) && states.contains(&("waiting", 1)), "{states:?}");

    let (status, told) = app.hook("/answer", json!({ "order": "1", "answer": "substitute" })).await;
    assert_eq!((status, &told["state"]), (200, &json!("picking")), "{told}");
    app.fetch_all().await;
    app.until("/api/orders", "the picks", |o| state_of(o, "app.1") == "ready").await;

    // The code, and nothing else, hands it over; at the counter that is for staff.
    let (status, told) = app.hook("/hand-over", json!({ "order": "1", "code": code })).await;
    assert!(status == 409 && told["error"].as_str().unwrap().contains("at the counter"), "{told}");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let (status, told) = app.post("/api/orders/hand-over", json!({ "order": "app.1", "code": wrong })).await;
    assert!(status == 409 && told["error"].as_str().unwrap().contains("not the order's code"), "{told}");
    let (status, told) = app.post("/api/orders/hand-over", json!({ "order": "app.1", "code": code })).await;
    assert_eq!(status, 200, "{told}");
    let (_, told) = app.hook("/state", json!({ "order": "1" })).await;
    assert_eq!((&told["state"], &told["money"]["state"]), (&json!("handed_over"), &json!("released")));
    // One water at its price, one substitute at the price of the water.
    assert_eq!(told["money"]["released_minor"], json!(178));
    assert!(told.get("handover_code").is_none());
    server.stop().await.unwrap();
}

/// Somebody with another secret.
fn stranger(caller: &Caller) -> Caller {
    Caller { secret: "whsec_AAAA".to_owned(), ..caller.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_moment_the_server_dies_at_the_order_goes_on_and_every_state_is_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data)).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("app").unwrap();
    let app = Caller::new(&server, &secret);
    let count = json!({ "plate": "A/1/1", "sku": WATER, "quantity": 4 });
    assert_eq!(app.post("/api/stock/count", count).await.0, 200);
    let mut order = an_order("1", 2);
    order["handover"] = json!("courier");
    let code = app.hook("", order).await.1["handover_code"].clone();
    server.stop().await.unwrap();

    let server = Server::start(settings(&data)).await.unwrap();
    let app = Caller::new(&server, &secret);
    app.until("/api/tasks", "the pick", |t| t[0]["state"] == "waiting").await;
    app.fetch_all().await;
    server.stop().await.unwrap();

    let server = Server::start(settings(&data)).await.unwrap();
    let app = Caller::new(&server, &secret);
    app.until("/api/orders", "the pick", |o| state_of(o, "app.1") == "ready").await;
    let hand_over = json!({ "order": "app.1", "code": code });
    let (status, told) = app.post("/api/orders/hand-over", hand_over.clone()).await;
    assert!(status == 409 && told["error"].as_str().unwrap().contains("collects it first"), "{told}");
    assert_eq!(app.post("/api/orders/collect", json!({ "order": "app.1" })).await.0, 200);
    // The courier has the code of the customer's from the door, and the channel says so.
    let by_channel = json!({ "order": "1", "code": code });
    assert_eq!(stranger(&app).hook("/hand-over", by_channel.clone()).await.0, 401);
    let (status, told) = app.hook("/hand-over", by_channel).await;
    assert_eq!((status, &told["state"]), (200, &json!("handed_over")), "{told}");
    assert_eq!(app.post("/api/orders/hand-over", hand_over).await.0, 409, "once");
    let (status, told) = app.hook("/cancel", json!({ "order": "1", "reason": "no" })).await;
    assert_eq!(status, 409, "{told}");

    // No scale noticed the pick; its items are gone from the stock all the same.
    let stock = app.get("/api/stock").await;
    assert_eq!(stock[0]["quantity"], json!(2), "{stock}");

    // Another one is called off after it was picked: its item goes back.
    assert_eq!(app.hook("", an_order("2", 1)).await.0, 201);
    app.until("/api/tasks", "the second pick", |t| t[0]["task"] == "app.2-1").await;
    app.fetch_all().await;
    app.until("/api/orders", "the second", |o| state_of(o, "app.2") == "ready").await;
    let (status, told) = app.hook("/cancel", json!({ "order": "2", "reason": "changed my mind" })).await;
    assert_eq!((status, &told["money"]["state"]), (200, &json!("returned")), "{told}");
    let tasks = app.until("/api/tasks", "the return", |t| t[0]["task_kind"] == "return").await;
    assert_eq!((&tasks[0]["plate"], &tasks[0]["state"]), (&json!("A/1/1"), &json!("waiting")));
    let fill = json!({ "task_kind": "restock", "sku": WATER, "quantity": 6, "plate": "A/1/1" });
    assert_eq!(app.post("/api/tasks", fill).await.0, 200);
    let wrong = json!({ "task_kind": "restock", "sku": WATER, "quantity": 6, "plate": "Z/1/1" });
    assert_eq!(app.post("/api/tasks", wrong).await.0, 409);
    server.stop().await.unwrap();

    let reader = LedgerReader::open(&data.join("ledger.sqlite")).unwrap();
    let events = reader.events_after(0, 1000).unwrap();
    let states: Vec<String> = events
        .iter()
        .filter_map(|e| match &e.event.body {
            EventBody::OrderChanged(o) if o.order == "app.1" => {
                Some(serde_json::to_value(o.state).unwrap().as_str().unwrap().to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(states, ["received", "picking", "ready", "on_the_way", "handed_over"]);
    let text: String = events.iter().map(|e| serde_json::to_string(&e.event).unwrap()).collect();
    let quoted = format!("\"{}\"", code.as_str().unwrap());
    assert!(!text.contains(&quoted), "the code is in the ledger");
}
