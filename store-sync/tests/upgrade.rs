//! Ledgers of every earlier version, as those versions wrote them, are brought up to date and lose nothing.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::path::Path;

use feed::*;
use store_sync::ledger::{Ledger, LedgerReader};

/// What the version before step 2 wrote: `sqlite3 .dump` of a ledger with a morning, a conflict, a loss and an oddity.
const VERSION_1: &str = include_str!("upgrade/v1.sql");
/// The same ledger as the version before step 3 had brought it up to date.
const VERSION_2: &str = include_str!("upgrade/v2.sql");

/// The same ledger as the version before step 4 had brought it up to date.
const VERSION_3: &str = include_str!("upgrade/v3.sql");

fn of_version(dump: &str, dir: &Path) -> std::path::PathBuf {
    let path = dir.join("ledger.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch(dump).unwrap();
    path
}

#[test]
fn every_version_keeps_each_event_conflict_loss_and_what_the_cloud_has() {
    for dump in [VERSION_1, VERSION_2, VERSION_3] {
        keeps_everything(dump);
    }
}

fn keeps_everything(dump: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = of_version(dump, dir.path());
    let before = rusqlite::Connection::open(&path).unwrap();
    let id: String = before.query_row("SELECT ledger_id FROM ledger", [], |r| r.get(0)).unwrap();
    drop(before);
    let mut l = Ledger::open(&path, "nano", 9).unwrap();
    assert_eq!(l.ledger_id().to_string(), id);
    assert_eq!(l.last_seq().unwrap(), 21);
    let complete = l.complete().unwrap();
    let floor = complete.iter().find(|(source, _, _)| source == "floor-1").unwrap();
    assert_eq!(floor.2, 17, "15 and 16 are lost, 17 is there");
    let r = LedgerReader::open(&path).unwrap();
    let events: Vec<_> = r.events_after(0, 100).unwrap().into_iter().map(|s| s.event).collect();
    assert_eq!(events[..19], morning(), "every event is as it was, its credential too");
    assert_eq!(r.acknowledged_seq().unwrap(), 7);
    let totals = r.totals().unwrap();
    assert_eq!((totals.conflicts, totals.oddities, totals.lost, totals.receipts), (1, 1, 2, 2));
    // Not a word of the credentials is left in the bodies.
    let raw = rusqlite::Connection::open(&path).unwrap();
    let left: i64 = raw
        .query_row(
            "SELECT (SELECT count(*) FROM events WHERE body LIKE '%cred-%')
                  + (SELECT count(*) FROM conflicts WHERE body LIKE '%cred-%')",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(left, 0);
    // Sources that send again are recognised, and a new ledger of the same events ends in the same projections.
    assert_eq!(l.append(&morning(), 10).unwrap().duplicates, 19);
    let report = r.check().unwrap();
    assert!(!report.has_errors(), "{report:?}");
    let live = l.dump_projections().unwrap();
    l.rebuild(|_, _| ()).unwrap();
    assert_eq!(l.dump_projections().unwrap(), live);
    // Once more: nothing is left to do.
    drop(l);
    assert_eq!(Ledger::open(&path, "nano", 11).unwrap().dump_projections().unwrap(), live);
}

#[test]
fn an_upgrade_that_is_interrupted_leaves_the_old_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = of_version(VERSION_1, dir.path());
    // Something in the way of the last statements: the whole step is undone.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("CREATE TABLE in_force (a)").unwrap();
    drop(raw);
    assert!(Ledger::open(&path, "nano", 9).is_err());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let (version, events): (i64, i64) = raw
        .query_row("SELECT user_version, (SELECT count(*) FROM events) FROM pragma_user_version", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    assert_eq!((version, events), (1, 21));
    raw.execute_batch("DROP TABLE in_force").unwrap();
    drop(raw);
    assert_eq!(Ledger::open(&path, "nano", 9).unwrap().last_seq().unwrap(), 21);
}
