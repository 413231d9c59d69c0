//! Price rules from the cloud's command to what is captured and paid back, and contests of what was paid.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod feed;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::payload::*;
use linefree_domain::payment::Policy;
use linefree_domain::units::{Currency, Money};
use serde_json::{Value, json};
use store_sync::cloud::command::Command;
use store_sync::cloud::event::CloudEvent;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::commands::{Commander, StoreFacts};
use store_sync::ledger::payment_book::{PaymentBook, TripRow};
use store_sync::ledger::shown::{PurseRow, ShownRow};
use store_sync::ledger::staff::Staff;
use store_sync::ledger::{Ledger, LedgerError, LedgerReader, ReceiptRow};
use store_sync::payments::Payments;
use store_sync::payments::sandbox::Sandbox;
use store_sync::projecting::{Projecting, Waker};

fn facts() -> StoreFacts {
    StoreFacts {
        skus: ["milk", "bread", "tea"].map(String::from).into(),
        currency: Some("USD".into()),
        ..StoreFacts::default()
    }
}

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

/// A store that takes commands, closes visits and is paid.
struct Store {
    dir: tempfile::TempDir,
    ledger: Ledger,
    commander: Commander,
    staff: Staff,
    payments: Payments,
    reader: LedgerReader,
    projector: Waker,
    told: u64,
    commanded: u64,
    now_us: i64,
}

impl Store {
    fn new(hold_minor: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite"), "corner", 1).unwrap();
        let projector = ledger.take_projector().unwrap();
        let projector = Projecting::start(projector, Arc::default(), Arc::default()).unwrap().waker();
        let path = ledger.path().to_owned();
        let book = PaymentBook::open(&path, facts(), usd()).unwrap();
        let gateway = Sandbox::open(&dir.path().join("gateway.json")).unwrap();
        let policy = Policy { hold: Money::from_minor(hold_minor), ..Policy::default() };
        Self {
            commander: Commander::open(&path, facts()).unwrap(),
            staff: Staff::open(&path, facts()).unwrap(),
            payments: Payments::new(book, Box::new(gateway), policy),
            reader: LedgerReader::open(&path).unwrap(),
            dir,
            ledger,
            projector,
            told: 0,
            commanded: 0,
            now_us: START_US,
        }
    }

    /// Until the projections show everything.
    fn catch_up(&self) {
        let began = Instant::now();
        while self.reader.projected_seq().unwrap() < self.reader.last_seq().unwrap() {
            self.projector.wake();
            assert!(began.elapsed() < Duration::from_secs(20), "nobody projects");
            std::thread::yield_now();
        }
    }

    /// Commands; says why when it is refused.
    fn command(&mut self, version: u64, body: Value) -> Option<String> {
        self.catch_up();
        self.commanded += 1;
        let seq = self.commanded;
        let command =
            Command { command: format!("c{seq}"), seq, version, issued_us: 5, answered: None, body };
        let decided = self.commander.take(&[command], self.now_us).unwrap();
        self.catch_up();
        assert_eq!(decided.command_seq, seq);
        decided.refused.into_iter().next().map(|(_, why)| why)
    }

    fn rules(&mut self, version: u64, rules: Value) -> Option<String> {
        let mut whole = json!({"currency": "USD"});
        whole.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        self.command(version, json!({"kind": "price_rules", "rules": whole}))
    }

    fn tell(&mut self, body: EventBody) {
        self.told += 1;
        let at_s = i64::try_from(self.told).unwrap();
        self.ledger.store(&[event("floor-1", epoch(1), self.told, at_s, body)], 1).unwrap();
        self.catch_up();
    }

    /// A visit from second to second.
    fn visit(&mut self, visit: &str, from_s: i64, lines: Vec<Line>) -> ReceiptRow {
        self.tell(opened(visit));
        self.tell(closed(visit, from_s, from_s + 40, lines));
        self.receipt(visit)
    }

    fn receipt(&self, visit: &str) -> ReceiptRow {
        self.reader.receipt(visit).unwrap().unwrap()
    }

    /// Until nothing is to be asked any more.
    fn settle(&mut self) -> TripRow {
        for _ in 0..30 {
            self.catch_up();
            self.now_us += 700_000_000;
            let asked = self
                .payments
                .step(self.now_us, &|_| self.projector.wake())
                .unwrap_or_else(|e| panic!("{e}"))
                .asked;
            self.catch_up();
            if asked == 0 {
                break;
            }
        }
        self.reader.trip("v1", usd()).unwrap().unwrap()
    }

    /// What the gateway took and paid back.
    fn moved(&self) -> (i64, i64) {
        let done = Sandbox::open(&self.dir.path().join("gateway.json")).unwrap().done();
        (done.captured_minor, done.refunded_minor)
    }

    /// What the reference cloud lists of a visit when it has been told everything: charge, in review, answered, refunded,
    /// owed.
    fn in_cloud(&self, visit: &str) -> [i64; 5] {
        let mut cloud = CloudEvents::open(&self.dir.path().join("cloud.sqlite")).unwrap();
        let events = self.reader.events_after(0, 1000).unwrap();
        let id = uuid::Uuid::nil();
        let told = events.iter().map(|e| json!(CloudEvent::new("corner", id, e).unwrap()));
        cloud.take(&told.collect::<Vec<_>>(), 9).unwrap();
        let receipts = cloud.receipts("corner", 100).unwrap();
        let receipt = receipts.iter().find(|r| r["visit"] == visit).unwrap();
        ["charge", "in_review", "answered", "refunded", "owed"]
            .map(|name| receipt[format!("{name}_minor")].as_i64().unwrap())
    }

    /// Nothing is wrong, and the projections are made again to the same bytes.
    fn is_sound(&self) {
        self.catch_up();
        assert_eq!(self.reader.check().unwrap().findings, []);
        let mut again = Ledger::open(self.ledger.path(), "corner", 1).unwrap();
        let live = again.dump_projections().unwrap();
        again.rebuild(|_, _| ()).unwrap();
        assert_eq!(again.dump_projections().unwrap(), live);
    }
}

fn three_for_two() -> Value {
    json!({"multi_buys": [{"id": "3-for-2", "sku": "milk", "take": 3, "deal": {"price_of": 2}}]})
}

fn amounts(receipt: &ReceiptRow) -> Vec<(&str, i64, usize)> {
    receipt.lines.iter().map(|l| (l.sku.as_str(), l.amount_minor, l.steps.len())).collect()
}

#[test]
fn from_the_command_to_the_receipt_the_capture_and_the_refund() {
    let mut store = Store::new(0);
    assert_eq!(store.rules(1, three_for_two()), None);
    // Four milk at 199: a set of three for two, and one more.
    let receipt = store.visit("v1", 60, vec![line("milk", 4, 0.99, false), line("bread", 2, 0.5, true)]);
    assert_eq!(amounts(&receipt), [("bread", 398, 1), ("milk", 597, 2)]);
    assert_eq!((receipt.charge_minor, receipt.in_review_minor, receipt.rules_version), (597, 398, Some(1)));
    assert_eq!(
        receipt.lines[1].steps,
        [
            PriceStep { why: PriceWhy::UnitPrice(4), change_minor: 796 },
            PriceStep { why: PriceWhy::MultiBuy { id: "3-for-2".into(), sets: 1 }, change_minor: -199 },
        ]
    );
    let trip = store.settle().trip;
    assert_eq!((trip.captured.minor, store.moved()), (597, (597, 0)));
    assert_eq!(store.in_cloud("v1"), [597, 398, 0, 0, 597]);

    // What was paid for them goes back, not what they say on the shelf; in parts, to the last cent.
    let now_us = store.now_us;
    store.staff.refund("r1", "v1", &[("milk".into(), 1)], "sour", now_us).unwrap();
    assert_eq!(store.settle().trip.refunded.minor, 149);
    let too_many = store.staff.refund("r2", "v1", &[("milk".into(), 4)], "sour", now_us);
    assert!(matches!(too_many, Err(LedgerError::Refused(why)) if why.contains("3 can still be refunded")));
    store.staff.refund("r2", "v1", &[("milk".into(), 3)], "sour", now_us).unwrap();
    let trip = store.settle().trip;
    assert_eq!((trip.net().minor, store.moved()), (0, (597, 597)));
    assert_eq!(store.in_cloud("v1"), [597, 398, 0, 597, 0]);
    store.is_sound();
}

#[test]
fn what_was_priced_stays_when_rules_change() {
    let mut store = Store::new(0);
    let milk = |n| vec![line("milk", n, 0.99, false)];
    assert_eq!(store.visit("v0", 0, milk(3)).charge_minor, 597, "there are no rules yet");
    store.now_us = START_US + 100_000_000;
    assert!(store.rules(0, three_for_two()).unwrap().contains("versions of price rules begin at 1"));
    assert_eq!(store.rules(1, three_for_two()), None);
    let before = store.visit("v1", 50, milk(3));
    assert_eq!((before.charge_minor, before.rules_version), (597, None), "they were in the store already");
    assert_eq!(store.visit("v2", 101, milk(3)).charge_minor, 398);
    store.now_us = START_US + 200_000_000;
    let half = json!({"coupons": [{"code": "HALF", "off": {"share_bp": 5000}, "everyone": true}]});
    assert_eq!(store.rules(2, half), None);
    assert_eq!(
        store.visit("v3", 150, milk(3)).charge_minor,
        398,
        "the first rules were in force when it began"
    );
    let receipt = store.visit("v4", 250, milk(3));
    assert_eq!((receipt.charge_minor, receipt.rules_version), (298, Some(2)));
    assert_eq!(receipt.lines[0].steps[1].why, PriceWhy::Coupon("HALF".into()));
    // Rules of nothing end them; an older version is refused.
    store.now_us = START_US + 300_000_000;
    assert!(store.rules(1, json!({})).unwrap().contains("not newer"));
    assert_eq!(store.rules(3, json!({})), None);
    assert_eq!(store.visit("v5", 350, milk(3)).charge_minor, 597);
    // Rules of tomorrow are in force tomorrow.
    let mut tomorrow = three_for_two();
    tomorrow["currency"] = json!("USD");
    let from_us = START_US + 1_000_000_000;
    assert_eq!(store.command(4, json!({"kind": "price_rules", "from_us": from_us, "rules": tomorrow})), None);
    assert_eq!(store.visit("v6", 400, milk(3)).charge_minor, 597);
    assert_eq!(store.visit("v7", 1000, milk(3)).charge_minor, 398);
    for (visit, charge) in
        [("v0", 597), ("v1", 597), ("v2", 398), ("v3", 398), ("v4", 298), ("v5", 597), ("v6", 597)]
    {
        assert_eq!(store.receipt(visit).charge_minor, charge, "{visit}");
    }
    store.is_sound();
}

#[test]
fn unit_prices_of_the_chain_are_charged_from_the_next_visit_on() {
    let mut store = Store::new(0);
    let prices = |milk: i64| json!({"kind": "prices", "currency": "USD", "prices": [{"sku": "milk", "unit_price_minor": milk}]});
    let basket = || vec![line("milk", 3, 0.99, false), line("bread", 2, 0.5, true)];
    store.now_us = START_US + 100_000_000;
    assert_eq!(store.command(5, prices(150)), None);
    let earlier = store.visit("v0", 50, basket());
    assert_eq!((earlier.charge_minor, earlier.prices_version), (597, None), "they were in the store already");
    // The cart says what will be charged.
    let begun = [
        event("floor-1", epoch(2), 1, 101, opened("v1")),
        event("floor-1", epoch(2), 2, 102, cart("v1", basket())),
    ];
    store.ledger.store(&begun, 1).unwrap();
    store.catch_up();
    let held = store.reader.cart("v1").unwrap().unwrap();
    let of_cart: Vec<_> =
        held.lines.iter().map(|l| (l.sku.as_str(), l.unit_price_minor, l.amount_minor)).collect();
    assert_eq!(of_cart, [("bread", 199, 398), ("milk", 150, 450)]);
    assert_eq!(store.reader.carts(9).unwrap()[0].lines, held.lines);

    store.tell(closed("v1", 101, 140, basket()));
    let receipt = store.receipt("v1");
    assert_eq!(amounts(&receipt), [("bread", 398, 1), ("milk", 450, 1)]);
    assert_eq!((receipt.charge_minor, receipt.in_review_minor), (450, 398));
    assert_eq!((receipt.prices_version, receipt.rules_version), (Some(5), None));
    assert_eq!(receipt.lines[1].unit_price_minor, 150);
    assert_eq!(receipt.lines[1].steps, [PriceStep { why: PriceWhy::UnitPrice(3), change_minor: 450 }]);

    // Prices that change later change nothing of it: what is captured, answered and paid back follows from the receipt.
    store.now_us = START_US + 200_000_000;
    let both = json!({"kind": "prices", "currency": "USD", "prices": [
        {"sku": "milk", "unit_price_minor": 90}, {"sku": "bread", "unit_price_minor": 1}]});
    assert_eq!(store.command(6, both), None);
    assert!(store.command(6, prices(1)).unwrap().contains("version 6 is not newer than version 6"));
    assert!(store.command(7, prices(-1)).unwrap().contains("prices[0].unit_price_minor is -1"));
    assert_eq!(store.settle().trip.captured.minor, 450);
    let now_us = store.now_us;
    store.staff.answer("v1", "bread", 1, now_us).unwrap();
    assert_eq!(store.settle().trip.captured.minor, 649);
    store.staff.refund("r1", "v1", &[("milk".into(), 1)], "sour", now_us).unwrap();
    assert_eq!(store.settle().trip.refunded.minor, 150);
    assert_eq!(store.in_cloud("v1"), [450, 398, 199, 150, 499]);

    // With rules: the sets are made of the chain's prices. The other product's price counts, too.
    assert_eq!(store.rules(1, three_for_two()), None);
    let later_s = (store.now_us - START_US) / 1_000_000 + 10;
    let receipt = store.visit("v2", later_s, basket());
    assert_eq!(amounts(&receipt), [("bread", 2, 1), ("milk", 180, 2)]);
    assert_eq!((receipt.prices_version, receipt.rules_version), (Some(6), Some(1)));
    let document = store_sync::signed::receipt_document(&store.reader, "v2").unwrap().unwrap();
    assert_eq!(
        (&document["lines"][1]["unit_price_minor"], &document["charged_minor"]),
        (&json!(90), &json!(180))
    );
    store.is_sound();
}

#[test]
fn a_receipt_that_comes_again_is_priced_once_and_a_later_one_of_the_visit_anew() {
    let mut store = Store::new(0);
    store.rules(1, three_for_two());
    store.visit("v1", 60, vec![line("milk", 3, 0.99, false)]);
    let again = event("floor-1", epoch(1), 2, 2, closed("v1", 60, 100, vec![line("milk", 3, 0.99, false)]));
    let before = store.ledger.last_seq().unwrap();
    assert_eq!(store.ledger.store(&[again], 9).unwrap().duplicates, 1);
    assert_eq!(store.ledger.last_seq().unwrap(), before);
    store.tell(closed("v1", 60, 100, vec![line("milk", 6, 0.99, false)]));
    assert_eq!(store.receipt("v1").charge_minor, 796);
    // The ledger's word about one receipt stays, should it be said again.
    let events = store.reader.events_after(0, 100).unwrap();
    let said = events.iter().rev().find(|e| matches!(e.event.body, EventBody::ReceiptPriced(_))).unwrap();
    let EventBody::ReceiptPriced(mut other) = said.event.body.clone() else { unreachable!() };
    (other.charge_minor, other.lines[0].amount_minor, other.lines[0].steps) = (1, 1, vec![]);
    store.ledger.say(EventBody::ReceiptPriced(other), 5).unwrap();
    store.catch_up();
    assert_eq!(store.receipt("v1").charge_minor, 796);
}

#[test]
fn an_answer_is_priced_with_the_basket_and_taxes_and_sellers_are_told() {
    let mut store = Store::new(0);
    let rules = json!({
        "multi_buys": [{"id": "tea-2", "sku": "tea", "take": 2, "deal": {"amount_minor": 300}}],
        "group_prices": [{"id": "street", "sku": "bread", "people": 10, "joined": 12, "unit_price_minor": 100}],
        "coupons": [{"code": "TWO-OFF", "off": {"amount_minor": 200}, "least_minor": 500, "everyone": true}],
        "loyalty": {"spend_per_point_minor": 100, "point_worth_minor": 1},
        "taxes": [{"class": "standard", "rate_bp": 1000}, {"class": "food", "rate_bp": 500}],
        "sold_as": [{"sku": "bread", "seller": "bakery", "tax_class": "food"}],
        "commissions": [{"seller": "bakery", "rate_bp": 2000}]
    });
    assert_eq!(store.rules(7, rules), None);
    let lines = vec![line("bread", 3, 0.99, false), line("milk", 1, 0.99, false), line("tea", 3, 0.4, true)];
    let receipt = store.visit("v1", 60, lines);
    // Bread 300, milk 199, tea 499: 998. The coupon's 200 are shared out 60, 40, 100. Then taxes.
    assert_eq!(amounts(&receipt), [("bread", 252, 4), ("milk", 175, 3), ("tea", 439, 4)]);
    assert_eq!((receipt.charge_minor, receipt.in_review_minor), (427, 439));
    let events = store.reader.events_after(0, 100).unwrap();
    let priced = events.iter().find_map(|e| match &e.event.body {
        EventBody::ReceiptPriced(p) => Some(p.clone()),
        _ => None,
    });
    let priced = priced.unwrap();
    assert_eq!(priced.points_earned, 4);
    let share = |seller: &str, paid_minor, tax_minor, commission_minor| SellerShare {
        seller: seller.into(),
        paid_minor,
        tax_minor,
        commission_minor,
    };
    assert_eq!(priced.sellers, [share("bakery", 252, 12, 48), share("store", 175, 16, 0)]);

    let now_us = store.now_us;
    store.staff.answer("v1", "tea", 2, now_us).unwrap();
    store.catch_up();
    // Two tea are a set for 300, less its share of the coupon (75 of 200), plus tax.
    let answer = store.reader.settled("v1").unwrap().answers.remove(0);
    assert_eq!((answer.charge_minor, answer.steps.len()), (248, 4));
    assert_eq!(answer.steps.iter().map(|s| s.change_minor).sum::<i64>(), 248);
    assert_eq!(store.settle().trip.captured.minor, 427 + 248);
    // Of two tea the tax of a tenth is 23 of 248; the receipt's share of the bakery stays.
    let shares = |store: &Store| store.reader.shares("v1").unwrap();
    assert_eq!(shares(&store), [share("bakery", 252, 12, 48), share("store", 175 + 248, 16 + 23, 0)]);
    store.staff.refund("r1", "v1", &[("tea".into(), 1)], "stale", now_us).unwrap();
    assert_eq!(store.settle().trip.refunded.minor, 124);
    assert_eq!(shares(&store), [share("bakery", 252, 12, 48), share("store", 175 + 124, 16 + 11, 0)]);
    // A third of the bread, then the rest: the bakery is owed less, then nothing, and pays no commission on it.
    store.staff.refund("r2", "v1", &[("bread".into(), 1)], "stale", now_us).unwrap();
    store.settle();
    assert_eq!(shares(&store)[0], share("bakery", 168, 8, 32));
    store.staff.refund("r3", "v1", &[("bread".into(), 2)], "stale", now_us).unwrap();
    assert_eq!(store.settle().trip.net().minor, shares(&store).iter().map(|s| s.paid_minor).sum::<i64>());
    assert_eq!(shares(&store), [share("bakery", 0, 0, 0), share("store", 299, 27, 0)]);
    let signed = store_sync::signed::receipt_document(&store.reader, "v1").unwrap().unwrap();
    assert_eq!((&signed["lines"][0]["amount_minor"], &signed["paid_minor"]), (&json!(252), &json!(299)));
    store.is_sound();
}

/// Coupons and points that a shopper shows count once, for the next receipt, as far as they are there.
#[test]
fn what_a_shopper_shows_counts_for_the_next_receipt_and_once() {
    let mut store = Store::new(0);
    let rules = json!({
        "coupons": [{"code": "HALF", "off": {"share_bp": 5000}, "everyone": false}],
        "loyalty": {"spend_per_point_minor": 100, "point_worth_minor": 10}
    });
    assert_eq!(store.rules(1, rules), None);
    let wanted =
        |codes: &[&str], points| ShownRow { codes: codes.iter().map(ToString::to_string).collect(), points };
    let visit = |store: &mut Store, visit: &str, from_s: i64, credential: &str, lines: Vec<Line>| {
        let EventBody::VisitClosed(mut body) = closed(visit, from_s, from_s + 40, lines) else {
            unreachable!()
        };
        let credential = Some(credential.to_owned());
        store.tell(EventBody::VisitOpened(VisitOpened {
            visit: visit.into(),
            credential: credential.clone(),
            party: 1,
        }));
        body.credential = credential;
        store.tell(EventBody::VisitClosed(body));
        store.receipt(visit)
    };
    let milk = |n| vec![line("milk", n, 0.99, false)];
    let now_us = store.now_us;
    assert_eq!(visit(&mut store, "v1", 60, "ann", milk(5)).charge_minor, 995, "nobody has shown anything");
    assert_eq!(store.reader.purse("ann", now_us).unwrap().points, 9);
    for (shown, why) in [
        (wanted(&["THIRD"], 0), "there is no coupon \"THIRD\""),
        (wanted(&[], 10), "9 points are there, not 10"),
        (wanted(&[], u64::MAX), "9 points are there"),
    ] {
        let refused = store.staff.show("ann", &shown, now_us);
        assert!(matches!(&refused, Err(LedgerError::Refused(told)) if told.contains(why)), "{refused:?}");
    }
    store.staff.show("ann", &wanted(&["HALF"], 2), now_us).unwrap();
    store.staff.show("ann", &wanted(&["HALF"], 9), now_us).unwrap();
    assert_eq!(store.reader.purse("ann", now_us).unwrap().shown, wanted(&["HALF"], 9));
    // Somebody else's receipt takes nothing of it.
    assert_eq!(visit(&mut store, "v2", 70, "bob", milk(2)).charge_minor, 398);
    let basket = || vec![line("milk", 2, 0.99, false), line("tea", 2, 0.4, true)];
    let receipt = visit(&mut store, "v3", 120, "ann", basket());
    // 796 in all, half off, 90 for the points: 308, shared by both lines.
    assert_eq!((receipt.charge_minor, receipt.in_review_minor), (154, 154));
    assert_eq!(receipt.lines[0].steps[2].why, PriceWhy::Points(9));
    let purse = store.reader.purse("ann", now_us).unwrap();
    assert_eq!((purse.points, purse.shown), (1, ShownRow::default()), "9 are gone, 1 was earned");
    // The same visit closed anew is priced by the same; the next one is not.
    assert_eq!(visit(&mut store, "v3", 120, "ann", milk(2)).charge_minor, 109);
    assert_eq!(visit(&mut store, "v4", 180, "ann", milk(2)).charge_minor, 398);
    // An answer is priced with what was used, although it is shown no more.
    store.staff.show("ann", &wanted(&["HALF"], 0), now_us).unwrap();
    visit(&mut store, "v5", 240, "ann", basket());
    store.staff.answer("v5", "tea", 1, now_us).unwrap();
    store.catch_up();
    assert_eq!(store.reader.settled("v5").unwrap().answers[0].charge_minor, 99);
    // Who is forgotten shows nothing.
    store.staff.show("ann", &wanted(&["HALF"], 0), now_us).unwrap();
    store_sync::ledger::personal::forget(store.ledger.path(), "ann", now_us).unwrap();
    store.catch_up();
    assert_eq!(
        store.reader.purse("ann", now_us).unwrap(),
        PurseRow { point_worth_minor: Some(10), ..PurseRow::default() }
    );
    store.is_sound();
}

#[test]
fn rules_that_are_none_are_refused_with_the_field() {
    let mut store = Store::new(0);
    let multi = |sku: &str, take: u32, deal: Value| json!({"multi_buys": [{"id": "m", "sku": sku, "take": take, "deal": deal}]});
    let coupon =
        |off: Value, everyone: bool| json!({"coupons": [{"code": "C", "off": off, "everyone": everyone}]});
    for (rules, why) in [
        (
            multi("unicorn", 3, json!({"price_of": 2})),
            "multi_buys[0].sku: this store has no product \"unicorn\"",
        ),
        (multi("milk", 3, json!({"price_of": 3})), "multi_buys[0].deal: 3 for the price of 3 is no rule"),
        (multi("milk", 0, json!({"price_of": 0})), "multi_buys[0].take is 0"),
        (multi("milk", 3, json!({"amount_minor": -1})), "deal.amount_minor is -1"),
        (multi("milk", 3, json!({"free": 1})), "free"),
        (json!({"currency": "EUR"}), "rules.currency is \"EUR\", this store charges USD"),
        (json!({"buy_none_get_one": []}), "buy_none_get_one"),
        (
            json!({"group_prices": [{"id": "g", "sku": "milk", "people": 5, "joined": 0, "unit_price_minor": -7}]}),
            "group_prices[0].unit_price_minor is -7",
        ),
        (coupon(json!({"share_bp": 10_001}), true), "share_bp is 10001"),
        (coupon(json!({"amount_minor": 0}), true), "amount_minor is 0"),
        (
            json!({"taxes": [{"class": "a", "rate_bp": 1}, {"class": "a", "rate_bp": 2}]}),
            "\"a\" stands there twice",
        ),
        (json!({"sold_as": [{"sku": "milk", "tax_class": "luxury"}]}), "no rate is stated for \"luxury\""),
        (json!({"commissions": [{"seller": "nobody", "rate_bp": 1}]}), "\"nobody\" sells nothing"),
        (
            json!({"loyalty": {"spend_per_point_minor": 0, "point_worth_minor": 1}}),
            "spend_per_point_minor is 0",
        ),
    ] {
        let refused = store.rules(1, rules.clone());
        assert!(refused.as_ref().is_some_and(|r| r.contains(why)), "{rules}: {refused:?}");
    }
    assert_eq!(store.reader.price_rules_at(i64::MAX).unwrap(), None);
    // A receipt in another currency is charged at its unit prices, and nothing is lost.
    store.rules(1, three_for_two());
    let EventBody::VisitClosed(mut other) = closed("v1", 60, 90, vec![line("milk", 3, 0.99, false)]) else {
        unreachable!()
    };
    other.currency = "EUR".into();
    store.tell(opened("v1"));
    store.tell(EventBody::VisitClosed(other));
    assert_eq!((store.receipt("v1").charge_minor, store.receipt("v1").rules_version), (597, None));
    store.is_sound();
}

#[test]
fn what_is_contested_is_in_dispute_until_staff_answer() {
    for (hold_minor, quantity, captured, refunded) in [(0, 0, 597, 0), (5000, 0, 597, 0), (0, 1, 597, 199)] {
        let mut store = Store::new(hold_minor);
        store.visit("v1", 60, vec![line("milk", 2, 0.99, false), line("bread", 1, 0.9, false)]);
        let now_us = store.now_us;
        // Before anything was taken: the bread waits, the milk is paid.
        store.staff.contest("c1", "v1", "bread", now_us).unwrap();
        let again = store.staff.contest("c1", "v1", "bread", now_us);
        assert!(again.is_err(), "the projections are behind, or it is known already: {again:?}");
        store.catch_up();
        let row = store.settle();
        assert!(row.bill.is_contested() && !row.trip.is_settled(&row.bill));
        assert_eq!((row.trip.captured.minor, row.bill.contested.minor), (398, 199));
        assert_eq!(store.reader.contest("c1").unwrap().unwrap().contest.state, ContestState::Open);

        let of = ("c1", "v1", "bread");
        store.staff.settle_contest(of, quantity, "looked at the video", now_us).unwrap();
        store.catch_up();
        assert_eq!(store.staff.settle_contest(of, 1 - quantity, "twice", now_us).unwrap(), 0);
        let row = store.settle();
        assert!(!row.bill.is_contested() && row.trip.is_settled(&row.bill), "{row:?}");
        // What was never taken needs no refund at the gateway.
        let taken = captured - refunded;
        assert_eq!((row.trip.net().minor, store.moved()), (taken, (taken, 0)));
        let state = if quantity > 0 { ContestState::Refunded } else { ContestState::Upheld };
        assert_eq!(store.reader.contest("c1").unwrap().unwrap().contest.state, state);
        assert_eq!(row.trip.authorised.minor, 0, "what is held for nothing is let go");
        store.is_sound();
    }
    // After it was taken: it stays until a refund says otherwise.
    let mut store = Store::new(0);
    store.visit("v1", 60, vec![line("milk", 2, 0.99, false)]);
    store.settle();
    let now_us = store.now_us;
    store.staff.contest("c1", "v1", "milk", now_us).unwrap();
    let row = store.settle();
    assert_eq!((row.trip.captured.minor, row.bill.contested.minor, store.moved()), (398, 398, (398, 0)));
    store.staff.settle_contest(("c1", "v1", "milk"), 1, "one was put back", now_us).unwrap();
    let row = store.settle();
    assert_eq!(
        (row.trip.refunded.minor, store.moved(), row.trip.is_settled(&row.bill)),
        (199, (398, 199), true)
    );
    assert!(store.staff.contest("c2", "v1", "unicorn", now_us).is_err());
    store.is_sound();
}

#[test]
fn rules_and_receipts_are_the_same_wherever_the_ledger_is() {
    // What a store's events say, stored in another order and another ledger, is the same in the end.
    let mut store = Store::new(0);
    store.rules(1, three_for_two());
    store.visit("v1", 60, vec![line("milk", 3, 0.99, false)]);
    let mut events: Vec<Event> =
        store.reader.events_after(0, 100).unwrap().into_iter().map(|e| e.event).collect();
    let path = |dir: &Path| dir.join("other.sqlite");
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut other = Ledger::open(&path(dir.path()), "corner", 1).unwrap();
        other.refill(&events, 5).unwrap();
        receipts.push(LedgerReader::open(other.path()).unwrap().receipt("v1").unwrap().unwrap());
        events.reverse();
    }
    assert_eq!(receipts, [store.receipt("v1"), store.receipt("v1")]);
}
