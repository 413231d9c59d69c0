//! The ledger under everything a bus can do to its input: duplicates, gaps, reordering, a stop between batches.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::path::Path;

use feed::*;
use linefree_bus::payload::*;
use proptest::prelude::*;
use store_sync::ledger::{Ledger, LedgerError, LedgerReader, Severity};

fn ledger(dir: &Path) -> Ledger {
    Ledger::open(&dir.join("ledger.sqlite"), "nano", 1).unwrap()
}

fn in_order() -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    l.dump_projections().unwrap()
}

#[test]
fn a_morning_ends_in_two_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let done = l.append(&morning(), 2).unwrap();
    assert_eq!(done.stored.len(), 19);
    assert_eq!(done.complete[&("floor-1".to_owned(), epoch(1))], 13);
    assert_eq!(done.complete[&("shelf-1".to_owned(), epoch(1))], 4);
    assert!(done.oddities.is_empty() && done.conflicts.is_empty() && done.refused.is_empty());

    let r = LedgerReader::open(l.path()).unwrap();
    assert!(r.carts(10).unwrap().is_empty(), "both have left");
    let receipts = r.receipts(10).unwrap();
    assert_eq!(receipts.iter().map(|r| r.visit.as_str()).collect::<Vec<_>>(), ["v2", "v1"]);
    assert_eq!((receipts[1].charge_minor, receipts[1].lines.len()), (199, 1));
    assert!(receipts[0].lines.is_empty());

    // The second lift was first given to v1, then to v2: only v2 has it as evidence now.
    let of = |v: &str| r.evidence(v).unwrap().iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(of("v1"), [1]);
    assert_eq!(of("v2"), [2, 3]);
    let first = &r.evidence("v1").unwrap()[0];
    assert_eq!(first.plates, [("1/5/10".to_owned(), -538.0)]);
    assert_eq!(first.candidates.len(), 2);

    let report = r.check().unwrap();
    assert_eq!(report.findings, [], "a sound ledger has nothing to report");
    assert_eq!(report.events, 19);
}

#[test]
fn duplicates_change_nothing_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    let again = l.append(&morning(), 3).unwrap();
    assert_eq!((again.stored.len(), again.duplicates), (0, 19));
    // The source may have missed the acknowledgement, so it is given again.
    assert_eq!(again.complete[&("floor-1".to_owned(), epoch(1))], 13);
    assert_eq!(l.dump_projections().unwrap(), in_order());
}

#[test]
fn another_content_under_a_known_number_is_refused_and_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let e = event("floor-1", epoch(1), 1, 1, opened("v1"));
    l.append(std::slice::from_ref(&e), 2).unwrap();
    let other_body = Event { body: opened("v9"), ..e.clone() };
    let other_time = Event { time_us: e.time_us + 1, ..e.clone() };
    let before = l.dump_projections().unwrap();
    let done = l.append(&[other_body, other_time, e], 3).unwrap();
    assert_eq!((done.conflicts.len(), done.duplicates, done.stored.len()), (2, 1, 0));
    assert_eq!(l.dump_projections().unwrap(), before);
    let r = LedgerReader::open(l.path()).unwrap();
    assert_eq!(r.totals().unwrap().conflicts, 2);
    let report = r.check().unwrap();
    assert!(!report.has_errors());
    assert!(report.findings.iter().any(|f| f.text.contains("another content")), "{report:?}");
}

#[test]
fn what_cannot_be_numbered_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let bad = [
        event("floor-1", epoch(1), 0, 1, opened("v1")),
        event("floor-1", epoch(1), u64::MAX, 1, opened("v1")),
        event("", epoch(1), 1, 1, opened("v1")),
        event("floor/1", epoch(1), 1, 1, opened("v1")),
    ];
    let done = l.append(&bad, 2).unwrap();
    assert_eq!((done.refused.len(), done.stored.len()), (4, 0));
    assert!(done.complete.is_empty(), "nothing to acknowledge");
}

#[test]
fn an_odd_event_is_stored_acknowledged_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let odd = [
        cart("v1", vec![line("a", 1, 1.5, false)]),
        cart("v1", vec![line("a", 1, 0.5, false), line("a", 2, 0.5, false)]),
        closed("v1", 40, 1, vec![]),
        shelf("1/5/10", f64::MAX, 3),
    ];
    let mut batch = vec![event("floor-1", epoch(1), 1, 1, cart("v1", vec![line("b", 2, 0.9, false)]))];
    batch.extend((2..).zip(odd).map(|(seq, body)| event("floor-1", epoch(1), seq, 2, body)));
    let done = l.append(&batch, 2).unwrap();
    assert_eq!((done.stored.len(), done.oddities.len()), (5, 4), "{done:?}");
    assert_eq!(done.complete[&("floor-1".to_owned(), epoch(1))], 5);
    let r = LedgerReader::open(l.path()).unwrap();
    let carts = r.carts(10).unwrap();
    assert_eq!(carts[0].lines.iter().map(|l| l.sku.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(r.receipts(10).unwrap().is_empty());
    let report = r.check().unwrap();
    assert_eq!(report.findings.iter().filter(|f| f.question == "oddities").count(), 4);
    assert!(!report.has_errors(), "{report:?}");
}

#[test]
fn a_gap_holds_the_acknowledgement_until_it_is_filled_or_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    let e = |seq| event("floor-1", epoch(1), seq, 1, opened(&format!("v{seq}")));
    let complete = |done: store_sync::ledger::Appended| done.complete[&("floor-1".to_owned(), epoch(1))];
    assert_eq!(complete(l.append(&[e(1), e(2), e(4), e(5)], 2).unwrap()), 2);
    assert_eq!(complete(l.append(&[e(8)], 2).unwrap()), 2);
    assert_eq!(complete(l.append(&[e(3)], 2).unwrap()), 5);
    assert_eq!(l.note_loss("floor-1", epoch(1), 6, 7, 3).unwrap(), 8);
    assert_eq!(l.note_loss("floor-1", epoch(2), 1, 3, 3).unwrap(), 3, "nothing of this numbering is there");
    let before = l.dump_projections().unwrap();
    l.rebuild(|_, _| ()).unwrap();
    assert_eq!(l.dump_projections().unwrap(), before);
    let report = LedgerReader::open(l.path()).unwrap().check().unwrap();
    assert!(!report.has_errors(), "{report:?}");
    assert!(report.findings.iter().any(|f| f.text.contains("lacks 6 to 7")), "{report:?}");
}

#[test]
fn a_check_finds_what_was_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    let wrong = closed("v3", 1, 2, vec![line("a", 2, 0.9, false)]);
    let EventBody::VisitClosed(wrong) = wrong else { unreachable!() };
    let wrong = VisitClosed { charge_minor: 1, ..wrong };
    l.append(&[event("floor-1", epoch(1), 14, 50, EventBody::VisitClosed(wrong))], 3).unwrap();

    let raw = rusqlite::Connection::open(l.path()).unwrap();
    assert!(raw.execute("UPDATE events SET time_us = 0", []).is_err(), "append-only");
    assert!(raw.execute("DELETE FROM events", []).is_err(), "append-only");
    let views = rusqlite::Connection::open(dir.path().join("projections.sqlite")).unwrap();
    views.execute("UPDATE receipts SET charge_minor = 5 WHERE visit = 'v1'", []).unwrap();

    let report = LedgerReader::open(l.path()).unwrap().check().unwrap();
    let errors: Vec<_> = report.findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.iter().any(|f| f.question == "sums" && f.text.contains("v3")), "{errors:?}");
    assert!(errors.iter().any(|f| f.question == "sums" && f.text.contains("v1")), "{errors:?}");
    assert!(errors.iter().any(|f| f.question == "projections"), "{errors:?}");
    assert!(report.findings.iter().any(|f| f.question == "orphans" && f.text.contains("v3")));

    l.rebuild(|_, _| ()).unwrap();
    let report = LedgerReader::open(l.path()).unwrap().check().unwrap();
    assert!(report.findings.iter().all(|f| f.question != "projections"), "{report:?}");
}

#[test]
fn a_ledger_is_opened_by_its_store_and_by_programs_that_know_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    drop(Ledger::open(&path, "nano", 1).unwrap());
    let other = Ledger::open(&path, "plaza", 1).unwrap_err();
    assert!(matches!(other, LedgerError::OtherStore { .. }), "{other}");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let newer = Ledger::open(&path, "nano", 1).unwrap_err();
    assert!(matches!(newer, LedgerError::Newer { found: 999, .. }), "{newer}");

    let foreign = dir.path().join("other.sqlite");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Ledger::open(&foreign, "nano", 1).unwrap_err(), LedgerError::NoLedger(_)));
    assert!(matches!(Ledger::open_existing(&dir.path().join("none")).unwrap_err(), LedgerError::NoLedger(_)));
    let text = dir.path().join("text");
    std::fs::write(&text, "this is no database, but long enough to look like one to somebody").unwrap();
    assert!(Ledger::open(&text, "nano", 1).is_err());
}

#[test]
fn older_projections_are_made_again_when_the_ledger_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger(dir.path());
    l.append(&morning(), 2).unwrap();
    drop(l);
    let file = dir.path().join("projections.sqlite");
    let views = rusqlite::Connection::open(&file).unwrap();
    views.execute_batch("DROP TABLE cart_lines; UPDATE projected SET version = 0").unwrap();
    drop(views);
    assert_eq!(ledger(dir.path()).dump_projections().unwrap(), in_order());
    // Lost or damaged, it is made again, too.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ledger(dir.path()).dump_projections().unwrap(), in_order());
    std::fs::write(&file, vec![0x5a; 9000]).unwrap();
    assert_eq!(ledger(dir.path()).dump_projections().unwrap(), in_order());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the events come (any order, any batches, doubled, the program stopped in between), the carts, receipts
    /// and all the rest end the same, and a rebuild gives the same bytes.
    #[test]
    fn any_delivery_ends_the_same(
        order in Just((0..19usize).collect::<Vec<_>>()).prop_shuffle(),
        doubled in prop::collection::vec(0..19usize, 0..12),
        cuts in prop::collection::vec(0..31usize, 0..8),
    ) {
        let events = morning();
        let mut delivery = order;
        for (i, d) in doubled.iter().enumerate() {
            delivery.insert((i * 7) % (delivery.len() + 1), *d);
        }
        let dir = tempfile::tempdir().unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(delivery.len())).collect();
        cuts.extend([0, delivery.len()]);
        cuts.sort_unstable();
        let mut taken = 0;
        for pair in cuts.windows(2) {
            // Opened anew for each batch: as if the program had been killed between two.
            let mut l = ledger(dir.path());
            let batch: Vec<Event> = delivery[pair[0]..pair[1]].iter().map(|i| events[*i].clone()).collect();
            taken += l.append(&batch, 2).unwrap().stored.len();
        }
        let mut l = ledger(dir.path());
        prop_assert_eq!(taken, 19);
        prop_assert_eq!(l.last_seq().unwrap(), 19);
        let live = l.dump_projections().unwrap();
        prop_assert_eq!(&live, &in_order());
        prop_assert_eq!(l.rebuild(|_, _| ()).unwrap(), 19);
        prop_assert_eq!(&l.dump_projections().unwrap(), &live);
        prop_assert_eq!(LedgerReader::open(l.path()).unwrap().check().unwrap().findings, vec![]);
    }

    /// What is acknowledged is exactly the part without a hole, whatever is missing.
    #[test]
    fn the_acknowledgement_ends_before_the_first_hole(present in prop::collection::vec(any::<bool>(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut l = ledger(dir.path());
        let mut batch: Vec<Event> = (1..).zip(&present).filter(|(_, p)| **p)
            .map(|(seq, _)| event("floor-1", epoch(1), seq, 1, opened(&format!("v{seq}")))).collect();
        batch.reverse();
        l.append(&batch, 2).unwrap();
        let expected = present.iter().take_while(|p| **p).count() as u64;
        let got = l.complete().unwrap().first().map_or(0, |(_, _, seq)| *seq);
        prop_assert_eq!(got, expected);
    }
}
