//! How many bytes a ledger's batches are on the way to the cloud: plain, by gzip, by zstd.
//!
//! ```text
//! cargo run --release -p store-sync --example batch_bytes LEDGER
//! ```
//! Delivers a copy of the ledger from its beginning, in the outbox's own batches, to a cloud that only measures.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use store_sync::cloud::packing::Packing;
use store_sync::ledger::Ledger;
use store_sync::ledger::backup::restore;
use store_sync::outbox::{Deliver, DeliveryError, Outbox, Step};

#[derive(Default)]
struct Measured {
    batches: usize,
    events: usize,
    bytes: [usize; 3],
    took: [Duration; 3],
}

struct Scales(Arc<Mutex<Measured>>);

#[derive(Deserialize)]
struct Numbered {
    sequence: String,
}

impl Deliver for Scales {
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let nonsense = |e: String| DeliveryError::Nonsense(e);
        let events: Vec<Numbered> = serde_json::from_slice(batch).map_err(|e| nonsense(e.to_string()))?;
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.batches += 1;
        sum.events += events.len();
        for (i, packing) in Packing::ALL.into_iter().enumerate() {
            let began = Instant::now();
            sum.bytes[i] += packing.pack(batch).map_err(|e| nonsense(e.to_string()))?.len();
            sum.took[i] += began.elapsed();
        }
        let last = events.last().map_or("0", |e| e.sequence.as_str());
        last.parse().map_err(|_| nonsense(format!("sequence {last}")))
    }
}

fn main() -> anyhow::Result<()> {
    let from = PathBuf::from(std::env::args().nth(1).context("which ledger? Give its file")?);
    let folder = std::env::temp_dir().join(format!("linefree-batch-bytes-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("ledger.sqlite");
    // A restored copy has a new id, and is delivered from its beginning.
    restore(&from, &copy, 0)?;
    drop(Ledger::open_existing(&copy)?);
    let sum = Arc::new(Mutex::new(Measured::default()));
    let mut outbox = Outbox::open(&copy, Box::new(Scales(Arc::clone(&sum))))?;
    while let Step::Delivered { .. } = outbox.step()? {}
    std::fs::remove_dir_all(&folder)?;
    let sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{} events in {} batches", sum.events, sum.batches);
    println!("| | bytes | of plain | bytes an event | packing |\n| --- | --- | --- | --- | --- |");
    let plain = sum.bytes[2] as f64;
    for (i, packing) in Packing::ALL.into_iter().enumerate() {
        println!(
            "| {} | {} | {:.1} % | {:.0} | {:.1} ms |",
            packing.name(),
            sum.bytes[i],
            100.0 * sum.bytes[i] as f64 / plain,
            sum.bytes[i] as f64 / sum.events as f64,
            sum.took[i].as_secs_f64() * 1e3
        );
    }
    Ok(())
}
