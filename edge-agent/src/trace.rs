//! What a replay believed on the way, as lines of JSON: who was where five times a second, and every decision.
//!
//! Each line has a `time_us` and either `shoppers` or one of the bus's event bodies under `event`, so that plots and
//! scripts read one format for recordings and live stores.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use linefree_bus::payload::{CartChanged, EventBody, ItemAttributed};
use linefree_domain::layout::StoreLayout;
use linefree_domain::store::{Decision, Store};
use linefree_domain::time::StoreTime;
use serde_json::{Value, json};

use crate::convert;

/// Positions are written this often, seconds of event time.
const SHOPPERS_EVERY_S: f64 = 0.2;

/// An open trace.
#[derive(Debug)]
pub struct Trace {
    path: PathBuf,
    file: BufWriter<File>,
    told: Option<StoreTime>,
}

impl Trace {
    /// Begins a trace; replaces what the file held.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("make the trace {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), told: None })
    }

    fn line(&mut self, value: &Value) -> anyhow::Result<()> {
        writeln!(self.file, "{value}").with_context(|| format!("write the trace {}", self.path.display()))
    }

    /// Writes where everyone is believed to be, when it is time to.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn shoppers(&mut self, time: StoreTime, store: &Store) -> anyhow::Result<()> {
        if self.told.is_some_and(|told| time.seconds_since(told) < SHOPPERS_EVERY_S) {
            return Ok(());
        }
        self.told = Some(time);
        let positions = convert::positions_out(store);
        self.line(&json!({ "time_us": time.micros, "shoppers": positions }))
    }

    /// Writes a decision.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn decision(&mut self, decision: &Decision, layout: &StoreLayout) -> anyhow::Result<()> {
        let (time, body) = match decision {
            Decision::VisitOpened(visit) => {
                (visit.entered, EventBody::VisitOpened(convert::visit_out(visit)))
            }
            Decision::ItemAttributed { tag, time, candidates } => {
                // In a replay the tag counts shelf events, as a source's numbers would.
                let body = ItemAttributed {
                    shelf_source: "replay".into(),
                    shelf_epoch: uuid::Uuid::nil(),
                    shelf_seq: *tag,
                    candidates: convert::candidates_out(candidates, layout, |_| None),
                };
                (*time, EventBody::ItemAttributed(body))
            }
            Decision::CartChanged { visit, time, lines } => {
                let lines = convert::lines_out(lines, layout);
                (*time, EventBody::CartChanged(CartChanged { visit: visit.to_string(), lines }))
            }
            Decision::VisitClosed(receipt) => {
                let Some(closed) = convert::receipt_out(receipt, layout) else { return Ok(()) };
                (receipt.left, EventBody::VisitClosed(closed))
            }
        };
        self.line(&json!({ "time_us": time.micros, "event": body }))
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("write the trace {}", self.path.display()))
    }
}
