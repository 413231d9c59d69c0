//! The outbox, a cloud and backups against a model: whatever fails in whatever order, everything arrives once.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use feed::*;
use linefree_bus::payload::*;
use proptest::prelude::*;
use serde_json::Value;
use store_sync::cloud::event::event_of;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::backup::{backup, restore};
use store_sync::ledger::{EventId, Ledger, LedgerError, LedgerReader};
use store_sync::outbox::{Deliver, DeliveryError, Outbox, Step};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Honest,
    /// Not reached.
    Away,
    /// Takes the batch; the answer is lost.
    AnswerLost,
    /// Takes the batch and claims to have more than it was sent.
    Boasts,
    /// Takes nothing and says that it has nothing.
    Denies,
}

/// The reference cloud in this process, with moods.
#[derive(Clone)]
struct Cloud {
    events: Arc<Mutex<CloudEvents>>,
    mood: Arc<Mutex<Mood>>,
}

impl Deliver for Cloud {
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let mood = *self.mood.lock().unwrap();
        let away = || DeliveryError::Unreachable("away".into());
        match mood {
            Mood::Away => return Err(away()),
            Mood::Denies => return Ok(0),
            Mood::Honest | Mood::AnswerLost | Mood::Boasts => {}
        }
        let batch: Vec<Value> = serde_json::from_slice(batch).unwrap();
        let taken = self.events.lock().unwrap().take(&batch, 1);
        let taken = taken.map_err(|e| DeliveryError::Refused { status: 409, told: e.to_string() })?;
        match mood {
            Mood::AnswerLost => Err(away()),
            Mood::Boasts => Ok(taken.acknowledged + 1),
            _ => Ok(taken.acknowledged),
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// So many events happen.
    Happen(usize),
    /// The outbox tries so many times, with the cloud in this mood.
    Deliver(usize, Mood),
    /// The program is killed and started again.
    Restart,
    /// A backup is made.
    Backup,
    /// The last backup is put back under the running program, and the source sends again what it still has.
    Restore,
}

fn op() -> impl Strategy<Value = Op> {
    let mood = prop_oneof![
        4 => Just(Mood::Honest),
        1 => Just(Mood::Away),
        1 => Just(Mood::AnswerLost),
        1 => Just(Mood::Boasts),
        1 => Just(Mood::Denies),
    ];
    prop_oneof![
        4 => (1..30_usize).prop_map(Op::Happen),
        6 => (1..4_usize, mood).prop_map(|(times, mood)| Op::Deliver(times, mood)),
        1 => Just(Op::Restart),
        1 => Just(Op::Backup),
        1 => Just(Op::Restore),
    ]
}

fn nth(seq: u64) -> Event {
    let visit = format!("v{}", (seq - 1) / 3);
    let body = match (seq - 1) % 3 {
        0 => opened(&visit),
        1 => cart(&visit, vec![line("milk", 1, 0.9, false)]),
        _ => closed(&visit, 1, 2, vec![line("milk", 1, 0.9, false)]),
    };
    event("floor-1", epoch(1), seq, seq as i64, body)
}

fn ids_in_cloud(cloud: &Cloud) -> Vec<String> {
    let events = cloud.events.lock().unwrap().events("nano", 0, u32::MAX).unwrap();
    events.into_iter().map(|e| EventId::of(&event_of(&e.event).unwrap()).to_string()).collect()
}

fn outbox(ledger: &Path, cloud: &Cloud) -> Outbox {
    // Small pages, so that the live lane opens.
    Outbox::open(ledger, Box::new(cloud.clone())).unwrap().with_page(3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_once(ops in prop::collection::vec(op(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
        let cloud = Cloud {
            events: Arc::new(Mutex::new(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap())),
            mood: Arc::new(Mutex::new(Mood::Honest)),
        };
        let mut out = outbox(&path, &cloud);
        let (mut happened, mut backups) = (0_u64, 0_u32);
        for op in ops {
            match op {
                Op::Happen(count) => {
                    let events: Vec<Event> = (happened + 1..=happened + count as u64).map(nth).collect();
                    happened += count as u64;
                    prop_assert_eq!(ledger.append(&events, 2).unwrap().stored.len(), count);
                }
                Op::Deliver(times, mood) => {
                    *cloud.mood.lock().unwrap() = mood;
                    for _ in 0..times {
                        let step = out.step().unwrap();
                        if mood == Mood::Away || mood == Mood::AnswerLost {
                            prop_assert!(matches!(step, Step::Failed(_) | Step::Idle), "{:?}", step);
                        }
                    }
                }
                Op::Restart => {
                    drop((out, ledger));
                    ledger = Ledger::open(&path, "nano", 1).unwrap();
                    out = outbox(&path, &cloud);
                }
                Op::Backup => {
                    backups += 1;
                    backup(&path, &dir.path().join(format!("backup-{backups}"))).unwrap();
                }
                Op::Restore if backups > 0 => {
                    let id = ledger.ledger_id();
                    restore(&dir.path().join(format!("backup-{backups}")), &path, 3).unwrap();
                    // The running program notices, and its source still has everything.
                    let refused = ledger.store(&[nth(1)], 4);
                    let noticed = matches!(refused, Err(LedgerError::Replaced { was, .. }) if was == id);
                    prop_assert!(noticed, "the restored ledger was not noticed");
                    ledger.accept_replacement().unwrap();
                    ledger.append(&(1..=happened).map(nth).collect::<Vec<_>>(), 4).unwrap();
                }
                Op::Restore => {}
            }
            // What is said to be in the cloud is in the cloud, whatever it said.
            let there: BTreeSet<String> = ids_in_cloud(&cloud).into_iter().collect();
            let reader = LedgerReader::open(&path).unwrap();
            let acknowledged = u32::try_from(reader.acknowledged_seq().unwrap()).unwrap();
            for stored in reader.outbox_events(0, u64::from(acknowledged), u32::MAX).unwrap() {
                let store_sync::ledger::OutboxEvent::Whole(stored) = stored else { unreachable!() };
                prop_assert!(there.contains(&EventId::of(&stored.event).to_string()));
            }
        }
        *cloud.mood.lock().unwrap() = Mood::Honest;
        let mut steps = 0;
        while !matches!(out.step().unwrap(), Step::Idle) {
            steps += 1;
            prop_assert!(steps < 2000, "it must end");
        }
        let there = ids_in_cloud(&cloud);
        prop_assert_eq!(there.len() as u64, happened, "each once");
        prop_assert_eq!(there.into_iter().collect::<BTreeSet<_>>().len() as u64, happened);
        prop_assert_eq!(ledger.last_seq().unwrap(), happened);
        let charged = cloud.events.lock().unwrap().receipts("nano", u32::MAX).unwrap().len();
        prop_assert_eq!(charged, LedgerReader::open(&path).unwrap().receipts(u32::MAX).unwrap().len());
        let report = LedgerReader::open(&path).unwrap().check().unwrap();
        prop_assert!(!report.has_errors(), "{:?}", report);
    }

    /// A write-ahead log that was torn or changed at any byte: what opens is the ledger as it was after some whole
    /// batch, and sources that send again make it complete.
    #[test]
    fn a_torn_log_leaves_whole_batches(
        sizes in prop::collection::vec(1..20_usize, 2..8),
        at in 0.0..1.0_f64,
        flip in prop::option::of(1..=255_u8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
        let mut ends = vec![0];
        for size in &sizes {
            let from = ends[ends.len() - 1];
            let events: Vec<Event> = (from + 1..=from + *size as u64).map(nth).collect();
            ledger.store(&events, 2).unwrap();
            ends.push(from + *size as u64);
        }
        let all: Vec<Event> = (1..=ends[ends.len() - 1]).map(nth).collect();
        // As a power cut leaves it: the files as they are, without a good-bye.
        let torn = dir.path().join("torn");
        std::fs::create_dir(&torn).unwrap();
        std::fs::copy(&path, torn.join("ledger.sqlite")).unwrap();
        let mut log = std::fs::read(dir.path().join("ledger.sqlite-wal")).unwrap();
        prop_assume!(!log.is_empty());
        let cut = ((log.len() as f64) * at) as usize;
        match flip {
            Some(flip) => log[cut] ^= flip,
            None => log.truncate(cut),
        }
        std::fs::write(torn.join("ledger.sqlite-wal"), log).unwrap();
        let path = torn.join("ledger.sqlite");
        let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
        let last = ledger.last_seq().unwrap();
        prop_assert!(ends.contains(&last), "{} is no end of a batch {:?}", last, ends);
        let report = LedgerReader::open(&path).unwrap().check().unwrap();
        prop_assert_eq!(report.findings, vec![]);
        ledger.append(&all, 3).unwrap();
        prop_assert_eq!(ledger.last_seq().unwrap(), all.len() as u64);
        let report = LedgerReader::open(&path).unwrap().check().unwrap();
        prop_assert_eq!(report.findings, vec![]);
    }
}
