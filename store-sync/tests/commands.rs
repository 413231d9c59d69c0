//! The cloud's commands: taken once, in order, or refused with a reason; whatever a cloud sends.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod feed;

use std::path::{Path, PathBuf};

use feed::*;
use linefree_bus::payload::*;
use linefree_recording::StoreFile;
use proptest::prelude::*;
use serde_json::{Value, json};
use store_sync::cloud::command::{Command, NewOrder, NewPayment, Wanted};
use store_sync::cloud::receive::{CloudEvents, router};
use store_sync::downlink::Downlink;
use store_sync::ledger::commands::{Commander, Decided, StoreFacts};
use store_sync::ledger::order_book::OrderBook;
use store_sync::ledger::staff::Staff;
use store_sync::ledger::{Ledger, LedgerReader};
use store_sync::outbox::http::HttpCloud;
use store_sync::outbox::{Outbox, Step};

fn facts() -> StoreFacts {
    let corner = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/corner.toml");
    StoreFacts::of(&StoreFile::read(corner).unwrap().layout)
}

/// A store with one receipt: two milk charged, one bread in review.
fn shop(dir: &Path) -> (Ledger, PathBuf) {
    let path = dir.join("ledger.sqlite");
    let mut l = Ledger::open(&path, "corner", 1).unwrap();
    let receipt = vec![line("milk", 2, 0.97, false), line("bread", 3, 0.5, true)];
    l.append(
        &[
            event("floor-1", epoch(1), 1, 1, opened("v1")),
            event("floor-1", epoch(1), 2, 9, closed("v1", 1, 9, receipt)),
        ],
        2,
    )
    .unwrap();
    (l, path)
}

fn command(seq: u64, version: u64, body: Value) -> Command {
    Command { command: format!("c{seq}"), seq, version, issued_us: 5, answered: None, body }
}

/// Decides about bodies in turn, with the projections kept up to date as the server does.
struct Desk {
    ledger: Ledger,
    commander: Commander,
    seq: u64,
}

impl Desk {
    fn new(dir: &Path) -> Self {
        let (ledger, path) = shop(dir);
        Self { ledger, commander: Commander::open(&path, facts()).unwrap(), seq: 0 }
    }

    fn ask(&mut self, version: u64, body: Value) -> Decided {
        self.ledger.append(&[], 3).unwrap();
        self.seq += 1;
        let decided = self.commander.take(&[command(self.seq, version, body)], 7).unwrap();
        assert_eq!(decided.command_seq, self.seq, "each is decided about");
        decided
    }

    fn accepts(&mut self, version: u64, body: Value) {
        let decided = self.ask(version, body.clone());
        assert_eq!((decided.accepted, decided.refused.len()), (1, 0), "{body}: {decided:?}");
    }

    fn refuses(&mut self, version: u64, body: Value, word: &str) {
        let decided = self.ask(version, body.clone());
        assert_eq!(decided.accepted, 0, "{body}");
        assert!(decided.refused[0].1.contains(word), "{:?} does not name {word}", decided.refused);
    }
}

#[test]
fn prices_planogram_and_policies_come_into_force_by_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path());
    let skus: Vec<String> = facts().skus.into_iter().collect();
    let plate = facts().plates.into_iter().next().unwrap();
    let prices = |minor: i64| {
        json!({"kind": "prices", "currency": "EUR",
        "prices": [{"sku": skus[0], "unit_price_minor": minor}]})
    };
    desk.accepts(3, prices(250));
    desk.refuses(3, prices(260), "version 3 is not newer than version 3");
    desk.refuses(2, prices(260), "not newer");
    desk.refuses(4, prices(-1), "prices[0].unit_price_minor is -1");
    desk.refuses(4, json!({"kind": "prices", "currency": "USD", "prices": []}), "currency");
    desk.refuses(4, json!({"kind": "prices", "currency": "EUR", "prices": []}), "empty");
    desk.refuses(
        4,
        json!({"kind": "prices", "currency": "EUR", "prices": [{"sku": "unicorn", "unit_price_minor": 1}]}),
        "no product \"unicorn\"",
    );
    desk.accepts(9, prices(270));
    let (version, told) = desk.commander.in_force("prices").unwrap().unwrap();
    assert!(version == 9 && told.contains("270"), "{told}");

    let weighs =
        |g: f64| json!({"kind": "catalogue", "products": [{"sku": "new-1", "name": "New", "weight_g": g}]});
    desk.refuses(1, weighs(0.0), "weight_g");
    desk.accepts(1, weighs(120.0));
    // A product of the catalogue in force may be planned and priced.
    let facing =
        |sku: &str, plate: &str| json!({"kind": "planogram", "facings": [{"sku": sku, "plates": [plate]}]});
    desk.refuses(1, facing("new-1", "Z/9/9"), "no plate \"Z/9/9\"");
    desk.accepts(1, facing("new-1", &plate));
    desk.refuses(1, json!({"kind": "policy", "review_below": 1.5}), "review_below");
    desk.refuses(
        1,
        json!({"kind": "policy", "review_below": 0.9, "keep_days": {"visit_closed": 1}}),
        "visit_closed",
    );
    desk.accepts(1, json!({"kind": "policy", "review_below": 0.9, "keep_days": {"cart_changed": 30}}));
    desk.refuses(1, json!({"kind": "model_rollout", "model": "m", "sha256": "xyz"}), "sha256");
    desk.refuses(1, json!({"kind": "free_beer"}), "free_beer");
    desk.refuses(1, json!("no object"), "body");
    desk.refuses(1, json!({"kind": "policy", "review_below": 0.9, "colour": 1}), "colour");

    // Every decision is an event of the ledger's own.
    desk.ledger.append(&[], 3).unwrap();
    let events = LedgerReader::open(desk.ledger.path()).unwrap().events_after(2, 100).unwrap();
    let answers: Vec<&CommandAnswered> = events
        .iter()
        .filter_map(|e| if let EventBody::CommandAnswered(a) = &e.event.body { Some(a) } else { None })
        .collect();
    assert_eq!(answers.len() as u64, desk.seq);
    assert!(answers.iter().all(|a| a.accepted == a.reason.is_none()));
    assert!(events.iter().all(|e| e.event.source == "ledger" && e.event.epoch == desk.ledger.ledger_id()));
    assert_eq!(LedgerReader::open(desk.ledger.path()).unwrap().check().unwrap().findings, []);
}

/// Picks go where the planogram in force says that a product lies, and orders may hold what only the catalogue in force
/// has, at the price in force.
#[test]
fn orders_are_planned_by_the_planogram_the_catalogue_and_the_prices_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path());
    let path = desk.ledger.path().to_owned();
    let facts = facts();
    let (plate, sku) = facts.facings[0].clone();
    let other = facts.facings[1].0.clone();
    assert_ne!(plate, other);
    let mut book = OrderBook::open(&path, facts).unwrap();
    let place = |desk: &mut Desk, book: &mut OrderBook, order: &str, sku: &str| {
        let held = NewPayment { held: true, currency: "EUR".into(), amount_minor: 0, reference: None };
        let wanted = Wanted { sku: sku.into(), quantity: 1, substitutes: Vec::new(), unit_price_minor: None };
        let new = NewOrder {
            order: order.into(),
            lines: vec![wanted],
            channel: None,
            due_us: None,
            handover: None,
            if_short: None,
            payment: Some(held),
        };
        desk.ledger.append(&[], 3).unwrap();
        // What it costs is told by the refusal of a wrong amount.
        let told = book.take(&new, 10).unwrap_err().to_string();
        let free = NewOrder { payment: None, ..new };
        book.take(&free, 10).unwrap();
        desk.ledger.append(&[], 3).unwrap();
        book.plan(11).unwrap();
        desk.ledger.append(&[], 3).unwrap();
        let tasks = LedgerReader::open(&path).unwrap().tasks_of(order).unwrap();
        (tasks.iter().map(|t| t.task.plate.clone()).collect::<Vec<_>>(), told)
    };
    assert_eq!(place(&mut desk, &mut book, "o1", &sku).0, std::slice::from_ref(&plate));
    desk.accepts(
        1,
        json!({"kind": "catalogue", "products": [{"sku": "new-1", "name": "New", "weight_g": 80.0}]}),
    );
    desk.accepts(
        1,
        json!({"kind": "prices", "currency": "EUR", "prices": [{"sku": "new-1", "unit_price_minor": 345}]}),
    );
    desk.accepts(
        1,
        json!({"kind": "planogram", "facings": [
        {"sku": sku, "plates": [other]}, {"sku": "new-1", "plates": [plate]}]}),
    );
    assert_eq!(place(&mut desk, &mut book, "o2", &sku).0, [other]);
    let (plates, told) = place(&mut desk, &mut book, "o3", "new-1");
    assert_eq!(plates, std::slice::from_ref(&plate));
    assert!(told.contains("345"), "{told}");
    // Staff count it and fill it up as any other product.
    let mut staff = Staff::open(&path, self::facts()).unwrap();
    assert!(staff.count(&plate, "new-1", 7, 12).unwrap() > 0);
    desk.ledger.append(&[], 3).unwrap();
    assert!(book.add_task(TaskKind::Restock, "new-1", 5, &plate, 13).unwrap() > 0);
    desk.ledger.append(&[], 3).unwrap();
    assert!(staff.count(&plate, "new-2", 7, 14).unwrap_err().to_string().contains("no product \"new-2\""));
}

#[test]
fn money_moves_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path());
    let answer =
        |sku: &str, n: u32| json!({"kind": "review_answer", "visit": "v1", "sku": sku, "quantity": n});
    desk.refuses(0, answer("milk", 1), "no line \"milk\" in review");
    desk.refuses(0, answer("bread", 4), "the line has 3");
    desk.accepts(0, answer("bread", 2));
    desk.refuses(0, answer("bread", 3), "answered already");
    let refund = |id: &str, minor: i64| {
        json!({"kind": "refund", "refund": id, "visit": "v1", "reason": "mouldy",
        "lines": [{"sku": "bread", "quantity": 1, "amount_minor": minor}]})
    };
    desk.refuses(0, refund("r1", -5), "not less than 0");
    desk.refuses(0, refund("r1", 0), "amount_minor");
    // Paid: 2 milk and 2 bread at 199.
    desk.refuses(0, refund("r1", 797), "only 796 can still be refunded");
    desk.accepts(0, refund("r1", 700));
    desk.refuses(0, refund("r1", 1), "issued already");
    desk.refuses(0, refund("r2", 97), "only 96");
    desk.accepts(0, refund("r2", 96));
    desk.ledger.append(&[], 3).unwrap();
    let reader = LedgerReader::open(desk.ledger.path()).unwrap();
    let payment = reader.payment("v1").unwrap().unwrap();
    assert_eq!(
        (payment.charge_minor, payment.answered_minor, payment.refunded_minor, payment.open_minor),
        (398, 398, 796, 0)
    );
    let order = |id: &str| json!({"kind": "order", "order": id, "lines": [{"sku": facts().skus.first(), "quantity": 2}]});
    desk.accepts(0, order("o1"));
    desk.refuses(0, order("o1"), "here already");
    desk.refuses(
        0,
        json!({"kind": "order", "order": "o2", "lines": [{"sku": "unicorn", "quantity": 1}]}),
        "unicorn",
    );
    let cancel = |id: &str| json!({"kind": "order_cancelled", "order": id, "reason": "changed their mind"});
    desk.refuses(0, cancel("o9"), "no order");
    desk.accepts(0, cancel("o1"));
    desk.refuses(0, cancel("o1"), "cannot be called off");
    desk.ledger.append(&[], 3).unwrap();
    assert_eq!(reader.order("o1").unwrap().unwrap().order.state, OrderState::Cancelled);
    let live = desk.ledger.dump_projections().unwrap();
    desk.ledger.rebuild(|_, _| ()).unwrap();
    assert_eq!(desk.ledger.dump_projections().unwrap(), live);
    assert_eq!(reader.check().unwrap().findings, []);
}

#[test]
fn an_older_copy_does_not_pay_back_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path());
    let refund = json!({"kind": "refund", "refund": "r1", "visit": "v1", "reason": "mouldy",
        "lines": [{"sku": "milk", "quantity": 1, "amount_minor": 199}]});
    let policy = json!({"kind": "policy", "review_below": 0.8});
    // As the cloud lists them to a store whose ledger has forgotten them.
    let told = |seq, version, answered, body: &Value| Command {
        answered: Some(answered),
        ..command(seq, version, body.clone())
    };
    let decided = desk.commander.take(&[told(1, 0, true, &refund)], 7).unwrap();
    assert_eq!((decided.accepted, decided.command_seq), (1, 1));
    assert_eq!(desk.commander.take(&[told(2, 0, false, &refund)], 7).unwrap().refused.len(), 1);
    assert_eq!(desk.ledger.last_seq().unwrap(), 2, "nothing happened, and nothing is answered again");
    // How things are comes into force again.
    assert_eq!(desk.commander.take(&[told(3, 5, true, &policy)], 7).unwrap().accepted, 1);
    assert_eq!(desk.commander.in_force("policy").unwrap().unwrap().0, 5);
    // The same number once more is known, whatever the cloud knows of the answer.
    assert_eq!(desk.commander.take(&[command(1, 0, refund)], 7).unwrap().known, 1);
}

#[test]
fn a_decision_waits_for_the_projections() {
    let dir = tempfile::tempdir().unwrap();
    let (mut l, path) = shop(dir.path());
    let mut commander = Commander::open(&path, facts()).unwrap();
    let answer = json!({"kind": "review_answer", "visit": "v1", "sku": "bread", "quantity": 1});
    l.store(&[event("floor-1", epoch(1), 3, 10, opened("v2"))], 3).unwrap();
    let decided = commander.take(&[command(1, 0, answer.clone())], 7).unwrap();
    assert_eq!(decided, Decided::default(), "not decided about on old knowledge; it is asked for again");
    l.append(&[], 3).unwrap();
    assert_eq!(commander.take(&[command(1, 0, answer)], 7).unwrap().accepted, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Commands doubled, reordered, left out and sent with another content end in the decisions that each number's first
    /// content in order deserves.
    #[test]
    fn each_number_is_decided_about_once_and_in_order(sent in prop::collection::vec((1..12_u64, 0..3_i64), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(dir.path());
        let sku = facts().skus.into_iter().next().unwrap();
        let mut expected: Vec<i64> = Vec::new();
        for (seq, minor) in sent {
            desk.ledger.append(&[], 3).unwrap();
            let body = json!({"kind": "prices", "currency": "EUR", "prices": [{"sku": sku, "unit_price_minor": minor - 1}]});
            let decided = desk.commander.take(&[command(seq, seq, body)], 7).unwrap();
            if seq == expected.len() as u64 + 1 {
                expected.push(minor - 1);
            }
            prop_assert_eq!(decided.command_seq, expected.len() as u64);
        }
        let in_force = expected.iter().rposition(|minor| *minor >= 0).map(|at| at as u64 + 1);
        prop_assert_eq!(desk.commander.in_force("prices").unwrap().map(|(version, _)| version), in_force);
    }
}

#[test]
fn a_command_goes_down_and_its_answer_comes_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut l, path) = shop(dir.path());
    let file = dir.path().join("cloud.sqlite");
    let mut issuing = CloudEvents::open(&file).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let app = router(CloudEvents::open(&file).unwrap(), None);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    let url = format!("http://{}/v1/events", told.recv().unwrap());
    let policy = json!({"kind": "policy", "review_below": 0.8});
    assert_eq!(issuing.issue("corner", "p1", 1, &policy, 1).unwrap(), Some(1));
    assert_eq!(issuing.issue("corner", "p1", 1, &policy, 1).unwrap(), Some(1), "the same again");
    assert_eq!(issuing.issue("corner", "p1", 2, &policy, 1).unwrap(), None);
    assert_eq!(
        issuing.issue("corner", "bad", 2, &json!({"kind": "policy", "review_below": 7}), 1).unwrap(),
        Some(2)
    );
    assert_eq!(
        issuing.issue("other", "p1", 1, &policy, 1).unwrap(),
        Some(1),
        "each store has its own numbers"
    );

    let commander = Commander::open(&path, facts()).unwrap();
    let mut down = Downlink::new(commander, Box::new(HttpCloud::new(&url, None).unwrap())).unwrap();
    let decided = down.step().unwrap().unwrap();
    // The second waits for the projections, which nobody writes here.
    assert_eq!((decided.accepted, decided.command_seq), (1, 1));
    l.append(&[], 3).unwrap();
    let decided = down.step().unwrap().unwrap();
    assert_eq!((decided.refused.len(), decided.command_seq), (1, 2));
    assert_eq!(down.step().unwrap().unwrap(), Decided { command_seq: 2, ..Decided::default() });

    let mut out = Outbox::open(&path, Box::new(HttpCloud::new(&url, None).unwrap())).unwrap();
    assert!(matches!(out.step().unwrap(), Step::Delivered { events: 4 }));
    let answers = issuing.answers("corner", 10).unwrap();
    assert_eq!((&answers[1]["command"], &answers[1]["accepted"]), (&json!("p1"), &json!(true)));
    assert_eq!(answers[0]["accepted"], json!(false));
    assert!(answers[0]["reason"].as_str().unwrap().contains("review_below is 7"), "{answers:?}");
    assert_eq!(issuing.answers("other", 10).unwrap()[0]["accepted"], Value::Null);
}
