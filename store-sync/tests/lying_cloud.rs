//! A cloud that lies: about what it has, about money, about versions and about its own commands. Each lie is told by name,
//! and nothing that the store holds changes by it.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]
#![allow(clippy::needless_pass_by_value)] // JSON is written where it is given.

mod feed;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::response::IntoResponse;
use axum::routing::{get, post};
use feed::*;
use linefree_bus::payload::{CommandAnswered, EventBody};
use linefree_recording::StoreFile;
use serde_json::{Value, json};
use store_sync::downlink::{Downlink, DownlinkError};
use store_sync::ledger::commands::{Commander, Decided, StoreFacts};
use store_sync::ledger::{Ledger, LedgerReader};
use store_sync::outbox::http::HttpCloud;
use store_sync::outbox::{DeliveryError, Outbox, Step};

const SKU: &str = "2000000000015";

/// What it says next: to a batch, and to the question for commands.
#[derive(Default)]
struct Script {
    acknowledges: Value,
    commands: String,
}

struct Liar {
    script: Arc<Mutex<Script>>,
    addr: SocketAddr,
    ledger: Ledger,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Liar {
    /// In front of a store with one visit: two milk charged, three bread in review.
    fn new() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let (says, lists) = (Arc::clone(&script), Arc::clone(&script));
        let app = axum::Router::new()
            .route(
                "/v1/events",
                post(move || async move { axum::Json(says.lock().unwrap().acknowledges.clone()) }),
            )
            .route(
                "/v1/stores/{store}/commands",
                get(move || async move { lists.lock().unwrap().commands.clone().into_response() }),
            );
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&path, "corner", 1).unwrap();
        let receipt = vec![line("milk", 2, 0.97, false), line("bread", 3, 0.5, true)];
        let visit = [
            event("floor-1", epoch(1), 1, 1, opened("v1")),
            event("floor-1", epoch(1), 2, 9, closed("v1", 1, 9, receipt)),
        ];
        ledger.append(&visit, 2).unwrap();
        Self { script, addr: told.recv().unwrap(), ledger, path, _dir: dir }
    }

    fn cloud(&self) -> Box<HttpCloud> {
        Box::new(HttpCloud::new(&format!("http://{}/v1/events", self.addr), None).unwrap())
    }

    fn acknowledges(&self, answer: Value) -> Step {
        self.script.lock().unwrap().acknowledges = answer;
        Outbox::open(&self.path, self.cloud()).unwrap().step().unwrap()
    }

    /// Lists these commands, whatever is asked for; says what the store decides.
    fn lists(&mut self, commands: Value) -> Result<Decided, DownlinkError> {
        self.lists_text(json!({ "commands": commands }).to_string())
    }

    fn lists_text(&mut self, page: String) -> Result<Decided, DownlinkError> {
        self.script.lock().unwrap().commands = page;
        self.ledger.append(&[], 3).unwrap();
        let corner = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/corner.toml");
        let facts = StoreFacts::of(&StoreFile::read(corner).unwrap().layout);
        let commander = Commander::open(&self.path, facts).unwrap();
        let decided = Downlink::new(commander, self.cloud()).unwrap().step();
        self.ledger.append(&[], 3).unwrap();
        decided.map(Option::unwrap)
    }

    fn refuses(&mut self, command: Value, why: &str) {
        let decided = self.lists(json!([command])).unwrap();
        assert_eq!(decided.accepted, 0, "{command}");
        assert!(decided.refused[0].1.contains(why), "{:?}", decided.refused);
        // The reason goes up as an event.
        let events = LedgerReader::open(&self.path).unwrap().events_after(0, 1000).unwrap();
        let EventBody::CommandAnswered(CommandAnswered { accepted, reason, .. }) =
            &events.last().unwrap().event.body
        else {
            panic!("no answer")
        };
        assert!(!accepted && reason.as_ref().unwrap().contains(why));
    }

    fn in_force(&self, kind: &str) -> Option<String> {
        LedgerReader::open(&self.path).unwrap().in_force(kind).unwrap()
    }

    fn paid(&self) -> (i64, i64, i64) {
        let payment = LedgerReader::open(&self.path).unwrap().payment("v1").unwrap().unwrap();
        (payment.charge_minor, payment.answered_minor, payment.refunded_minor)
    }
}

fn command(seq: u64, version: u64, body: Value) -> Value {
    json!({"command": format!("c{seq}"), "seq": seq, "version": version, "issued_us": 5, "body": body})
}

fn price(minor: i64) -> Value {
    json!({"kind": "prices", "currency": "EUR", "prices": [{"sku": SKU, "unit_price_minor": minor}]})
}

#[test]
fn it_acknowledges_what_it_was_not_sent() {
    let store = Liar::new();
    for (answer, why) in [
        (json!({"acknowledged": 3}), "up to 3, but this ledger ends at 2"),
        (json!({"acknowledged": u64::MAX}), "but this ledger ends at 2"),
        (json!({"acknowledged": -1}), "makes no sense"),
        (json!({"acknowledged": "2"}), "makes no sense"),
        (json!({"acknowledged": 2.5}), "makes no sense"),
        (json!({"taken": 2}), "makes no sense"),
    ] {
        match store.acknowledges(answer.clone()) {
            Step::Failed(e @ DeliveryError::Nonsense(_)) => assert!(e.to_string().contains(why), "{e}"),
            other => panic!("{answer}: {other:?}"),
        }
        assert_eq!(LedgerReader::open(&store.path).unwrap().acknowledged_seq().unwrap(), 0, "{answer}");
    }
    assert!(matches!(store.acknowledges(json!({"acknowledged": 2})), Step::Delivered { events: 2 }));
}

#[test]
fn it_sends_a_price_of_minus_one_and_other_amounts_that_are_none() {
    let mut store = Liar::new();
    store.refuses(command(1, 1, price(-1)), "prices[0].unit_price_minor is -1");
    store.refuses(command(2, 1, price(i64::MAX)), "prices[0].unit_price_minor is 9223372036854775807");
    let nan = json!({"kind": "prices", "currency": "EUR", "prices": [{"sku": SKU, "unit_price_minor": 1.5}]});
    store.refuses(command(3, 1, nan), "body: ");
    assert_eq!(store.in_force("prices"), None);
    let refund = |minor: i64| {
        json!({"kind": "refund", "refund": "r1", "visit": "v1", "reason": "x",
            "lines": [{"sku": "milk", "quantity": 1, "amount_minor": minor}]})
    };
    store.refuses(command(4, 0, refund(-1)), "lines[0].amount_minor is -1");
    store.refuses(command(5, 0, refund(399)), "only 398 can still be refunded");
    let weight = json!({"kind": "catalogue", "products": [{"sku": SKU, "name": "x", "weight_g": -1.0}]});
    store.refuses(command(6, 1, weight), "products[0].weight_g is -1");
    let long = json!({"kind": "catalogue", "products": [{"sku": "new\n1", "name": "x", "weight_g": 1.0}]});
    store.refuses(command(7, 1, long), "products[0].sku");
    store.refuses(command(8, 1, json!({"kind": "policy", "review_below": -0.1})), "review_below is -0.1");
    assert_eq!(store.paid(), (398, 0, 0));
}

#[test]
fn it_sends_an_older_version() {
    let mut store = Liar::new();
    assert_eq!(store.lists(json!([command(1, 7, price(90))])).unwrap().accepted, 1);
    for (seq, version) in [(2, 6), (3, 7), (4, 0)] {
        store.refuses(command(seq, version, price(10)), "not newer than version 7, which is in force");
    }
    assert!(store.in_force("prices").unwrap().contains("\"unit_price_minor\":90"));
}

#[test]
fn it_says_something_else_under_a_number_that_was_decided_about_or_leaves_numbers_out() {
    let mut store = Liar::new();
    assert_eq!(store.lists(json!([command(1, 1, price(90))])).unwrap().accepted, 1);
    let decided = store.lists(json!([command(1, 2, price(1))])).unwrap();
    assert_eq!((decided.accepted, decided.contradictions, decided.command_seq), (0, 1, 1));
    // What is not the next is not looked at, were it the only thing that is ever listed.
    let decided = store.lists(json!([command(3, 9, price(1)), command(2, 8, price(2))])).unwrap();
    assert_eq!(decided, Decided { command_seq: 1, ..Decided::default() });
    // The same id under another number is no second command.
    let mut again = command(2, 3, price(1));
    again["command"] = json!("c1");
    store.refuses(again, "was decided about under another number");
    assert!(store.in_force("prices").unwrap().contains("\"unit_price_minor\":90"));
}

#[test]
fn it_says_that_money_moved_which_did_not() {
    let mut store = Liar::new();
    let refund = json!({"kind": "refund", "refund": "r1", "visit": "v1", "reason": "x",
        "lines": [{"sku": "milk", "quantity": 1, "amount_minor": 199}]});
    let mut told = command(1, 0, refund);
    told["answered"] = json!(true);
    let before = store.ledger.last_seq().unwrap();
    assert_eq!(store.lists(json!([told])).unwrap().accepted, 1);
    // It is believed to have happened before this ledger was put back: it does not happen again, and nothing is paid.
    assert_eq!((store.ledger.last_seq().unwrap(), store.paid()), (before, (398, 0, 0)));
}

#[test]
fn it_talks_nonsense_where_commands_are_asked_for() {
    let mut store = Liar::new();
    for page in
        ["", "<html>please log in</html>", "{}", "[]", "{\"commands\": 7}", "{\"commands\": [{\"seq\": -1}]}"]
    {
        let told = store.lists_text(page.to_owned()).unwrap_err().to_string();
        assert!(told.contains("makes no sense"), "{page:?}: {told}");
    }
    // A page that is larger than a store ever takes is not read to its end.
    let told = store.lists_text(" ".repeat(33 << 20)).unwrap_err().to_string();
    assert!(told.contains("no answer: status 200"), "{told}");
    // Names that no table can hold are refused, and do not stand in the way of what follows.
    store.refuses(command(1, 0, json!(null)), "body: ");
    for (seq, kind) in [(2, "\u{0}"), (3, "prices\u{0}"), (4, "\u{7}\u{1b}"), (5, "")] {
        store.refuses(command(seq, 0, json!({ "kind": kind })), "body: ");
    }
    for (seq, id) in [(6, "\u{0}"), (7, "c\u{0}1"), (8, "#3"), (9, "")] {
        let mut named = command(seq, 1, price(90));
        named["command"] = json!(id);
        store.refuses(named, "a command's id has 1 to 64 characters");
    }
    assert_eq!(store.lists(json!([command(10, 1, price(90))])).unwrap().accepted, 1);
    assert_eq!(LedgerReader::open(&store.path).unwrap().check().unwrap().findings, []);
}
