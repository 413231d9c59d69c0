//! How fast events become durable, beside bare rusqlite with the same batches; and how fast a day is projected.
//!
//! ```text
//! cargo run --release -p store-sync --example bench_ledger [FOLDER]
//! ```
//! Prints JSON for `cargo xtask bench`. Both sides write the same events in the same batches to a file in WAL mode with
//! `synchronous = FULL` in the same folder, in turns; the bare side gets its JSON ready-made and has one table with the
//! same columns and the same uniqueness. Figures are medians of the rounds.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use linefree_bus::payload::*;
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;
use store_sync::ledger::{Ledger, LedgerReader, Projector};
use uuid::Uuid;

const EVENTS: usize = 100_000;
const ROUNDS: usize = 5;
const BATCHES: [usize; 3] = [1, 64, 1000];
const START_US: i64 = 1_769_639_040_000_000;

/// A day in a store: visits of ten takes, each with its shelf event, its explanation and its cart.
fn day() -> Vec<Event> {
    let epoch = |n: u128| Uuid::from_u128(0x019b_0000_0000_7000_8000_0000_0000_0000 + n);
    let mut seqs = [0_u64; 3];
    let mut events = Vec::with_capacity(EVENTS);
    let sources = ["shelf-1", "gate-1", "floor-1"];
    let mut push = |events: &mut Vec<Event>, which: usize, time_us: i64, body: EventBody| {
        seqs[which] += 1;
        let source = sources[which].to_owned();
        events.push(Event { source, epoch: epoch(which as u128), seq: seqs[which], time_us, body });
        seqs[which]
    };
    let mut number = 0;
    while events.len() < EVENTS {
        number += 1;
        let (visit, credential) = (format!("v{number}"), Some(format!("c{number:012}")));
        let begin_us = START_US + number * 6_000_000;
        let pass = |direction| GatePassed {
            gate: "door".into(),
            direction,
            credential: credential.clone(),
            party: 1,
        };
        push(&mut events, 1, begin_us, EventBody::GatePassed(pass(GateDirection::Entry)));
        let opened = VisitOpened { visit: visit.clone(), credential: credential.clone(), party: 1 };
        push(&mut events, 2, begin_us, EventBody::VisitOpened(opened));
        let mut lines: Vec<Line> = Vec::new();
        for take in 0..10_i64 {
            let at_us = begin_us + take * 20_000_000;
            let plate = |n: i64, delta_g: f64| PlateDelta {
                plate: format!("{}/{}/{n}", number % 9, take % 5),
                delta_g,
                sd_g: 1.9,
                start_us: at_us - 3_100_000,
                end_us: at_us,
            };
            let body = ShelfChanged {
                plates: vec![plate(1, -411.25), plate(2, -126.125)],
                delta_g: -537.375,
                sd_g: 2.7,
                start_us: at_us - 3_100_000,
                end_us: at_us,
            };
            let shelf_seq = push(&mut events, 0, at_us, EventBody::ShelfChanged(body));
            let sku = format!("6325650{:05}", (number * 7 + take * 13) % 4000);
            let candidate = |visit: Option<&str>, probability| Candidate {
                visit: visit.map(str::to_owned),
                robot: None,
                sku: Some(sku.clone()),
                quantity: 1,
                probability,
            };
            let body = ItemAttributed {
                shelf_source: "shelf-1".into(),
                shelf_epoch: epoch(0),
                shelf_seq,
                candidates: vec![
                    candidate(Some(&visit), 0.962),
                    candidate(Some("v0"), 0.031),
                    candidate(None, 0.007),
                ],
            };
            push(&mut events, 2, at_us, EventBody::ItemAttributed(body));
            if !lines.iter().any(|l| l.sku == sku) {
                lines.push(Line {
                    name: format!("Product {sku}"),
                    sku,
                    quantity: 1,
                    unit_price_minor: 199 + take,
                    probability: 0.962,
                    review: false,
                });
            }
            let body = CartChanged { visit: visit.clone(), lines: lines.clone() };
            push(&mut events, 2, at_us, EventBody::CartChanged(body));
        }
        let end_us = begin_us + 220_000_000;
        push(&mut events, 1, end_us, EventBody::GatePassed(pass(GateDirection::Exit)));
        let body = VisitClosed {
            visit,
            credential,
            entered_us: begin_us,
            left_us: end_us,
            currency: "EUR".into(),
            charge_minor: lines.iter().map(|l| l.unit_price_minor).sum(),
            in_review_minor: 0,
            lines,
        };
        push(&mut events, 2, end_us, EventBody::VisitClosed(body));
    }
    events.truncate(EVENTS);
    events
}

fn fresh(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Seconds for all of the events, in one table of bare rusqlite.
fn bare(folder: &Path, events: &[(&Event, String, String)], batch: usize) -> anyhow::Result<f64> {
    let folder = fresh(folder, "bare")?;
    let mut conn = Connection::open(folder.join("bare.sqlite"))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch(
        "CREATE TABLE events (ledger_seq INTEGER PRIMARY KEY, source TEXT NOT NULL, epoch TEXT NOT NULL,
           source_seq INTEGER NOT NULL, kind TEXT NOT NULL, time_us INTEGER NOT NULL, body TEXT NOT NULL,
           received_us INTEGER NOT NULL, UNIQUE (source, epoch, source_seq)) STRICT",
    )?;
    let began = Instant::now();
    let mut ledger_seq = 0_i64;
    for page in events.chunks(batch) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = tx.prepare_cached("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
            for (event, epoch, body) in page {
                ledger_seq += 1;
                insert.execute(params![
                    ledger_seq,
                    event.source,
                    epoch,
                    event.seq.cast_signed(),
                    "kind",
                    event.time_us,
                    body,
                    1
                ])?;
            }
        }
        tx.commit()?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds for all of the events until they are durable in a ledger.
fn durable(folder: &Path, events: &[Event], batch: usize) -> anyhow::Result<f64> {
    let folder = fresh(folder, "ours")?;
    let mut ledger = Ledger::open(&folder.join("ledger.sqlite"), "bench", 1)?;
    ledger.take_projector();
    let began = Instant::now();
    for page in events.chunks(batch) {
        let done = ledger.store(page, 2)?;
        anyhow::ensure!(done.stored.len() == page.len(), "events were not stored");
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds until all of the events are durable and projected, both at once on two threads.
fn durable_and_projected(folder: &Path, events: &[Event], batch: usize) -> anyhow::Result<f64> {
    let folder = fresh(folder, "both")?;
    let path = folder.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "bench", 1)?;
    let mut projector = ledger.take_projector().ok_or_else(|| anyhow::anyhow!("no projector"))?;
    let began = Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let wanted = events.len() as u64;
        let projecting = scope.spawn(move || -> anyhow::Result<()> {
            while projector.step()?.ledger_seq < wanted {
                std::thread::yield_now();
            }
            Ok(())
        });
        for page in events.chunks(batch) {
            ledger.store(page, 2)?;
        }
        projecting.join().map_err(|_| anyhow::anyhow!("the projector's thread died"))?
    })?;
    Ok(began.elapsed().as_secs_f64())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() -> anyhow::Result<()> {
    let here = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = here.join(format!("linefree-bench-{}", std::process::id()));
    let events = day();
    let ready: Vec<(&Event, String, String)> = events
        .iter()
        .map(|e| Ok((e, e.epoch.to_string(), serde_json::to_string(&e.body)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut rows = Vec::new();
    for batch in BATCHES {
        // Single events cost an fsync each: fewer of them say the same.
        let count = if batch == 1 { EVENTS / 20 } else { EVENTS };
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(bare(&folder, &ready[..count], batch)?);
            ours.push(durable(&folder, &events[..count], batch)?);
        }
        // Each round's two runs shared the machine's mood; the ratio is taken there.
        let ratio = median(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect());
        rows.push(json!({
            "batch_events": batch, "bare_events_per_s": count as f64 / median(theirs),
            "ledger_events_per_s": count as f64 / median(ours), "ratio": ratio,
        }));
    }
    let both = median(
        (0..ROUNDS).map(|_| durable_and_projected(&folder, &events, 1000)).collect::<anyhow::Result<_>>()?,
    );
    // The projections of the last round, made again.
    let path = folder.join("both/ledger.sqlite");
    let mut projector = Projector::open(&path)?;
    let live = projector.dump()?;
    let mut replays = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        projector.rebuild(|_, _| ())?;
        replays.push(began.elapsed().as_secs_f64());
    }
    anyhow::ensure!(projector.dump()? == live, "the projections were made again with other bytes");
    let bytes: u64 = std::fs::metadata(&path)?.len();
    let receipts = LedgerReader::open(&path)?.totals()?.receipts;
    std::fs::remove_dir_all(&folder)?;
    println!(
        "{:#}",
        json!({
            "events": EVENTS, "rounds": ROUNDS, "receipts": receipts, "ledger_bytes": bytes, "durable": rows,
            "durable_and_projected_events_per_s": EVENTS as f64 / both, "replay_s": median(replays),
        })
    );
    Ok(())
}
