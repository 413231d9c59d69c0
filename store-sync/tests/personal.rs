//! Personal data and retention: what goes is gone, what stays adds up, and a rebuild gives the same bytes.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::collections::BTreeMap;
use std::path::Path;

use feed::*;
use linefree_bus::payload::*;
use store_sync::cloud::event::CloudEvent;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::personal::{empty_logs, forget};
use store_sync::ledger::retention::{KeepDays, let_go};
use store_sync::ledger::{Ledger, LedgerError, LedgerReader, OutboxCursor, OutboxEvent, Projector};

const DAY_US: i64 = 86_400_000_000;

fn ledger(dir: &Path) -> Ledger {
    Ledger::open(&dir.join("ledger.sqlite"), "nano", 1).unwrap()
}

/// Is a text anywhere in any file of a folder?
fn on_disk(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    })
}

fn deliver(ledger: &Path, cloud: &mut CloudEvents) {
    let reader = LedgerReader::open(ledger).unwrap();
    let (id, store) = reader.identity().unwrap();
    let all = reader.outbox_events(0, u64::MAX, u32::MAX).unwrap();
    let batch: Vec<_> = all
        .iter()
        .map(|place| serde_json::to_value(CloudEvent::of(&store, id, place).unwrap()).unwrap())
        .collect();
    assert_eq!(cloud.take(&batch, 1).unwrap().acknowledged, all.len() as u64);
}

#[test]
fn a_forgotten_shopper_leaves_the_money_and_no_byte_of_the_credential() {
    let dir = tempfile::tempdir().unwrap();
    let cloud_dir = tempfile::tempdir().unwrap();
    let mut cloud = CloudEvents::open(&cloud_dir.path().join("cloud.sqlite")).unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    let path = l.path().to_owned();
    deliver(&path, &mut cloud);
    assert!(on_disk(dir.path(), "cred-v1"));
    let before = LedgerReader::open(&path).unwrap().receipt("v1").unwrap().unwrap();

    let nobody = forget(&path, "cred-v9", 3).unwrap_err().to_string();
    assert!(nobody.contains("no event"), "{nobody}");
    let forgotten = forget(&path, "cred-v1", 3).unwrap();
    assert_eq!((forgotten.visits.as_slice(), forgotten.events), (&["v1".to_owned()][..], 3));
    drop(l);
    let mut l = ledger(dir.path());
    assert!(empty_logs(&path).unwrap());
    assert!(!on_disk(dir.path(), "cred-v1"), "a byte of it is left");
    assert!(on_disk(dir.path(), "cred-v2"), "the other shopper's stays");

    let r = LedgerReader::open(&path).unwrap();
    let after = r.receipt("v1").unwrap().unwrap();
    assert_eq!(
        (after.charge_minor, &after.lines, after.credential),
        (before.charge_minor, &before.lines, None)
    );
    let live = l.dump_projections().unwrap();
    assert!(!live.contains("cred-v1"));
    l.rebuild(|_, _| ()).unwrap();
    assert_eq!(l.dump_projections().unwrap(), live);
    assert!(!r.check().unwrap().has_errors());
    // A device that still has the events in its journal sends them again: known, and nothing comes back.
    let again = l.append(&morning(), 4).unwrap();
    assert_eq!((again.duplicates, again.conflicts.len()), (19, 0));
    assert!(!l.dump_projections().unwrap().contains("cred-v1"));

    // The cloud forgets with the next delivery, and takes the rest of it for what it has.
    deliver(&path, &mut cloud);
    let in_cloud = serde_json::to_string(&cloud.events("nano", 0, 100).unwrap()).unwrap();
    assert!(!in_cloud.contains("cred-v1") && in_cloud.contains("cred-v2"));
    assert_eq!(cloud.receipts("nano", 10).unwrap().len(), 2);
}

#[test]
fn a_visit_that_lasts_is_not_forgotten_yet() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&[event("floor-1", epoch(1), 1, 1, opened("v1"))], 2).unwrap();
    let told = forget(l.path(), "cred-v1", 3).unwrap_err();
    assert!(matches!(&told, LedgerError::Refused(why) if why.contains("v1 still lasts")), "{told}");
    assert_eq!(l.last_seq().unwrap(), 1, "nothing was written");
}

fn keep(days: &[(&str, u32)]) -> KeepDays {
    KeepDays::new(days.iter().map(|(kind, days)| ((*kind).to_owned(), *days)).collect()).unwrap()
}

#[test]
fn evidence_goes_in_time_and_a_rebuild_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    let path = l.path().to_owned();
    let all = [
        ("shelf_changed", 30),
        ("item_attributed", 30),
        ("cart_changed", 30),
        ("gate_passed", 30),
        ("device_fault", 30),
    ];
    let later_us = START_US + 31 * DAY_US;
    assert_eq!(let_go(&path, &keep(&all), later_us, false).unwrap(), 0, "the cloud has nothing yet");
    OutboxCursor::open(&path).unwrap().set(19).unwrap();
    assert_eq!(let_go(&path, &keep(&all), START_US + 29 * DAY_US, false).unwrap(), 0, "not old enough");
    assert_eq!(let_go(&path, &keep(&all[..1]), later_us, false).unwrap(), 3);
    assert_eq!(
        let_go(&path, &keep(&all), later_us, false).unwrap(),
        12,
        "19 less 2 + 2 visits and 3 gone before"
    );
    assert_eq!(let_go(&path, &keep(&all), later_us, false).unwrap(), 0);

    let r = LedgerReader::open(&path).unwrap();
    assert_eq!(r.receipts(10).unwrap().iter().map(|r| r.charge_minor).collect::<Vec<_>>(), [0, 199]);
    assert!(r.evidence("v1").unwrap().is_empty());
    let places = r.outbox_events(0, u64::MAX, 100).unwrap();
    assert_eq!(places.len(), 19, "no number has gone");
    assert_eq!(places.iter().filter(|p| matches!(p, OutboxEvent::LetGo { .. })).count(), 15);
    let report = r.check().unwrap();
    assert!(!report.has_errors(), "{report:?}");
    let live = l.dump_projections().unwrap();
    l.rebuild(|_, _| ()).unwrap();
    assert_eq!(l.dump_projections().unwrap(), live);
    // What comes again is known; another cloud gets every number, and the old one no contradiction.
    assert_eq!(l.append(&morning(), 4).unwrap().duplicates, 19);
    let mut cloud = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap();
    deliver(&path, &mut cloud);
    assert_eq!(cloud.receipts("nano", 10).unwrap().len(), 2);
}

#[test]
fn an_older_event_that_was_replaced_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    // The clock went back between the two: the later event has the earlier time.
    let first = cart("v1", vec![line("old", 1, 0.9, false)]);
    let second = cart("v1", vec![line("new", 1, 0.9, false)]);
    let far_s = 40 * 86_400;
    let events = [event("floor-1", epoch(1), 1, far_s, first), event("floor-1", epoch(1), 2, 1, second)];
    l.append(&events, 2).unwrap();
    let_go(l.path(), &keep(&[("cart_changed", 30)]), START_US + 41 * DAY_US, true).unwrap();
    let live = l.dump_projections().unwrap();
    l.rebuild(|_, _| ()).unwrap();
    assert_eq!(l.dump_projections().unwrap(), live);
    assert!(!live.contains("old"), "{live}");
}

#[test]
fn money_is_never_let_go_and_stock_keeps_its_evidence() {
    let days = |kind: &str| KeepDays::new(BTreeMap::from([(kind.to_owned(), 1)]));
    for kind in
        ["visit_closed", "review_answered", "refund_issued", "order_changed", "visit_opened", "nonsense"]
    {
        let told = days(kind).unwrap_err().to_string();
        assert!(told.contains(kind) && told.contains("cart_changed"), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let count = StockCounted { plate: "1/5/10".into(), sku: "632565000012".into(), quantity: 8 };
    l.append(&[event("staff-1", epoch(1), 1, -100, EventBody::StockCounted(count))], 2).unwrap();
    l.append(&morning(), 2).unwrap();
    let stock = LedgerReader::open(l.path()).unwrap().stock(10).unwrap();
    assert_eq!((stock[0].counted, stock[0].quantity, stock[0].delta_g), (8, 7, -538.0));
    let kinds = keep(&[("shelf_changed", 1), ("item_attributed", 1), ("cart_changed", 1)]);
    let gone = let_go(l.path(), &kinds, START_US + 90 * DAY_US, true).unwrap();
    assert_eq!(gone, 6 - 1, "carts only: stock follows from the rest since its count");
    assert_eq!(LedgerReader::open(l.path()).unwrap().stock(10).unwrap(), stock);
}

#[test]
fn damaged_projections_are_made_again_or_named() {
    // Cut off in the middle of a page, as a full disk may leave it.
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    let (path, whole) = (l.path().to_owned(), l.dump_projections().unwrap());
    drop(l);
    let file = dir.path().join("projections.sqlite");
    let bytes = std::fs::read(&file).unwrap();
    for size in [1, 100, 4096, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..size]).unwrap();
        let opened = Projector::open(&path).and_then(|mut p| p.catch_up().map(drop).and(p.dump()));
        match opened {
            Ok(_) => {}
            // Damage that shows only later is found by a check, which says what to do.
            Err(e) => assert!(e.to_string().contains("malformed"), "{e}"),
        }
        std::fs::remove_file(&file).unwrap();
    }
    assert_eq!(ledger(dir.path()).dump_projections().unwrap(), whole);
}
