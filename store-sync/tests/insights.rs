//! What an hour says is told once, when it is over, and survives a restart.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::collections::BTreeSet;
use std::path::Path;

use feed::*;
use linefree_bus::payload::*;
use store_sync::ledger::{Ledger, LedgerReader, OwnVoice};
use store_sync::telling::{GRACE_US, Telling};

const HOUR_US: i64 = 3_600_000_000;
const TEA: &str = "632565000012";
const MILK: &str = "632565000029";
/// When the feed's hour began, and ended.
const BEGAN_US: i64 = START_US - START_US % HOUR_US;
const ENDED_US: i64 = BEGAN_US + HOUR_US;

fn telling(ledger: &Path) -> Telling {
    let facings = BTreeSet::from([("1/5/10".to_owned(), TEA.to_owned())]);
    Telling::new(LedgerReader::open(ledger).unwrap(), OwnVoice::open(ledger).unwrap(), facings)
}

fn told(ledger: &Path) -> Vec<InsightsTold> {
    let events = LedgerReader::open(ledger).unwrap().events_after(0, 1000).unwrap();
    let told = |e: store_sync::ledger::StoredEvent| match e.event.body {
        EventBody::InsightsTold(told) => Some(told),
        _ => None,
    };
    events.into_iter().filter_map(told).collect()
}

#[test]
fn an_hour_is_told_once_when_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    let counted =
        EventBody::StockCounted(StockCounted { plate: "1/5/10".into(), sku: TEA.into(), quantity: 1 });
    let back = event("shelf-9", epoch(1), 1, 35, shelf("1/5/10", 200.0, 33));
    let put_back = EventBody::ItemAttributed(ItemAttributed {
        shelf_source: back.source.clone(),
        shelf_epoch: back.epoch,
        shelf_seq: back.seq,
        candidates: vec![Candidate {
            visit: Some("v2".into()),
            sku: Some(MILK.into()),
            quantity: -1,
            probability: 0.9,
        }],
    });
    let more = [event("staff-1", epoch(1), 1, 0, counted), back, event("floor-9", epoch(1), 1, 35, put_back)];
    ledger.append(&[&morning()[..], &more[..]].concat(), ENDED_US).unwrap();

    // Not before it is over, by event time; nor by the wall clock while anything still comes.
    let mut first = telling(&path);
    assert_eq!(first.step(Some(ENDED_US + GRACE_US - 1), ENDED_US).unwrap(), None);
    assert_eq!(first.step(None, ENDED_US + GRACE_US - 1).unwrap(), None);
    assert!(first.step(Some(ENDED_US + GRACE_US), ENDED_US).unwrap().is_some());
    assert_eq!(first.step(Some(ENDED_US + 2 * GRACE_US), ENDED_US).unwrap(), None);
    drop(first);
    let all = told(&path);
    let [hour] = &all[..] else { panic!("{all:?}") };
    assert_eq!((hour.hour_us, hour.visits, hour.buyers), (BEGAN_US, 2, 1));
    let of = |sku: &str| hour.products.iter().find(|p| p.sku == sku).unwrap();
    // The only one went with the lift at 10 s; the count was at 0 s.
    let empty_s = (ENDED_US - START_US) / 1_000_000 - 10;
    assert_eq!((of(TEA).taken, i64::from(of(TEA).out_of_stock_s)), (1, empty_s));
    assert_eq!((of(MILK).put_back, of(MILK).misplaced), (1, 1), "put onto the tea's plate");

    // After a restart nothing is told again, not even when all is quiet for long.
    drop(ledger);
    let mut ledger = Ledger::open(&path, "nano", ENDED_US).unwrap();
    assert_eq!(telling(&path).step(None, ENDED_US + 100 * HOUR_US).unwrap(), None);
    assert_eq!(told(&path).len(), 1);
    // The next hour in which anything happens is the next one that is told of, however long that takes.
    let later_s = 50 * 3_600;
    ledger
        .append(&[event("floor-1", epoch(1), 14, later_s, closed("v3", later_s - 60, later_s, vec![]))], 2)
        .unwrap();
    assert!(telling(&path).step(None, START_US + 60 * HOUR_US).unwrap().is_some());
    let all = told(&path);
    assert_eq!((all.len(), all[1].hour_us, all[1].visits), (2, BEGAN_US + 50 * HOUR_US, 1));
    assert_eq!(all[1].dwell_s, Some(60.0));
}
