//! A store that was offline for two days comes back: how its backlog shrinks, and how long what happens now waits.
//!
//! ```text
//! cargo run --release -p store-sync --example catch_up -- docs/images/catch-up.svg
//! ```
//! The real ledger, outbox and reference cloud, over a pretended link in pretended time: each batch takes a round trip of
//! 80 ms and its gzip-compressed bytes at 2 Mbit/s, and the cloud's own time as measured. Meanwhile 20 events a second go
//! on happening. Prints the table of docs/design/catch-up.md and draws its picture.
#![allow(clippy::print_stdout)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use linefree_bus::payload::*;
use serde_json::Value;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::Ledger;
use store_sync::outbox::{Deliver, DeliveryError, Outbox, Step};
use uuid::Uuid;

const BACKLOG: u64 = 200_000;
const LIVE_PER_S: f64 = 20.0;
const ROUND_TRIP_S: f64 = 0.08;
const UPLINK_BYTES_PER_S: f64 = 250_000.0;
/// A row of the table.
const ROW_S: f64 = 15.0;

/// Second, events behind, and how long each live event of the row waited, seconds.
type Row = (f64, u64, Vec<f64>);

/// The cloud behind the link.
struct Link(Arc<Mutex<State>>);

struct State {
    cloud: CloudEvents,
    now_s: f64,
    /// Ledger numbers that have arrived, and when.
    arrived: Vec<(u64, f64)>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliver for Link {
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed
            .write_all(batch)
            .and_then(|()| packed.try_finish())
            .map_err(|e| DeliveryError::Nonsense(e.to_string()))?;
        let bytes = packed.get_ref().len() as f64;
        let events: Vec<Value> =
            serde_json::from_slice(batch).map_err(|e| DeliveryError::Nonsense(e.to_string()))?;
        let state = &mut *lock(&self.0);
        let began = Instant::now();
        let taken = state.cloud.take(&events, 1).map_err(|e| DeliveryError::Nonsense(e.to_string()))?;
        state.now_s += ROUND_TRIP_S + bytes / UPLINK_BYTES_PER_S + began.elapsed().as_secs_f64();
        let now_s = state.now_s;
        let seqs = events.iter().filter_map(|e| e["sequence"].as_str()?.parse().ok());
        state.arrived.extend(seqs.map(|seq: u64| (seq, now_s)));
        Ok(taken.acknowledged)
    }
}

fn nth(seq: u64) -> Event {
    let visit = format!("v{}", seq / 5);
    let line = |n: u64| Line {
        sku: format!("6325650{:05}", (seq * 7 + n * 131) % 4000),
        name: format!("Product {}", (seq * 7 + n * 131) % 4000),
        quantity: 1,
        unit_price_minor: 199,
        probability: 0.962,
        review: false,
    };
    let body = EventBody::CartChanged(CartChanged { visit, lines: (0..seq % 5).map(line).collect() });
    let time_us = 1_769_639_040_000_000 + seq.cast_signed() * 1_000;
    Event { source: "floor-1".into(), epoch: Uuid::from_u128(1), seq, time_us, body }
}

fn percentile(of: &[f64], share: f64) -> f64 {
    let at = ((of.len() as f64 - 1.0) * share).round() as usize;
    of.get(at).copied().unwrap_or(0.0)
}

fn main() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("linefree-catch-up-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "corner", 1)?;
    ledger.take_projector();
    for from in (1..=BACKLOG).step_by(1000) {
        ledger.store(&(from..from + 1000).map(nth).collect::<Vec<_>>(), 2)?;
    }
    let cloud = CloudEvents::open(&dir.join("cloud.sqlite"))?;
    let state = Arc::new(Mutex::new(State { cloud, now_s: 0.0, arrived: Vec::new() }));
    let mut outbox = Outbox::open(&path, Box::new(Link(Arc::clone(&state))))?;
    let (mut happened, mut row_end, mut seen) = (0_u64, 0.0, 0);
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let now_s = lock(&state).now_s;
        let due = (now_s * LIVE_PER_S) as u64;
        if due > happened {
            let events: Vec<Event> = (happened + 1..=due).map(|n| nth(BACKLOG + n)).collect();
            ledger.store(&events, 2)?;
            happened = due;
        }
        let step = outbox.step()?;
        {
            let mut state = lock(&state);
            match step {
                Step::Delivered { .. } => {}
                // Nothing to send: wait for the next event.
                Step::Idle => state.now_s += 1.0 / LIVE_PER_S,
                other => anyhow::bail!("{other:?}"),
            }
            if state.now_s >= row_end {
                rows.push((row_end, BACKLOG.saturating_sub(outbox.acknowledged_seq()), Vec::new()));
                row_end += ROW_S;
            }
            let row = rows.len() - 1;
            for (seq, at_s) in &state.arrived[seen..] {
                if *seq > BACKLOG {
                    rows[row].2.push(at_s - (seq - BACKLOG) as f64 / LIVE_PER_S);
                }
            }
            seen = state.arrived.len();
        }
        if rows.len() > 3 && rows[rows.len() - 3].1 == 0 {
            break;
        }
    }
    let caught_up_s = lock(&state)
        .arrived
        .iter()
        .filter(|(seq, _)| *seq <= BACKLOG)
        .fold(0.0_f64, |latest, (_, at_s)| latest.max(*at_s));
    println!(
        "{BACKLOG} events behind, {LIVE_PER_S} a second going on; caught up after {caught_up_s:.0} s.\n"
    );
    println!("| second | events behind | live events | wait p50 (s) | wait p95 (s) | longest (s) |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (at_s, behind, waits) in &mut rows {
        waits.sort_by(f64::total_cmp);
        println!(
            "| {at_s:.0} | {behind} | {} | {:.2} | {:.2} | {:.2} |",
            waits.len(),
            percentile(waits, 0.5),
            percentile(waits, 0.95),
            percentile(waits, 1.0)
        );
    }
    if let Some(picture) = std::env::args_os().nth(1) {
        std::fs::write(picture, draw(&rows))?;
    }
    drop(outbox);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Two curves over the same time: what is behind, and how long live events wait.
fn draw(rows: &[Row]) -> String {
    let end_s = rows.last().map_or(1.0, |r| r.0).max(1.0);
    let longest = rows.iter().map(|r| percentile(&r.2, 0.95)).fold(0.5, f64::max);
    let curve = |value: &dyn Fn(&Row) -> f64| {
        rows.iter().fold(String::new(), |mut text, row| {
            let _ = write!(text, "{:.1},{:.1} ", 60.0 + 560.0 * row.0 / end_s, 260.0 - 220.0 * value(row));
            text
        })
    };
    let behind = curve(&|r| r.1 as f64 / BACKLOG as f64);
    let wait = curve(&|r| percentile(&r.2, 0.95) / longest);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 310" font-family="sans-serif" font-size="12">
<rect width="680" height="310" fill="#fff"/>
<path d="M60 40V260H620" fill="none" stroke="#888"/>
<polyline points="{behind}" fill="none" stroke="#1f6feb" stroke-width="2"/>
<polyline points="{wait}" fill="none" stroke="#d1242f" stroke-width="2"/>
<text x="60" y="24" fill="#1f6feb">backlog, {BACKLOG} events at the top</text>
<text x="620" y="24" fill="#d1242f" text-anchor="end">wait of live events, 95th percentile, {longest:.2} s at the top</text>
<text x="60" y="280">0</text>
<text x="620" y="280" text-anchor="end">{end_s:.0} s after the link is back</text>
</svg>
"##
    )
}
