//! What the console sees at this moment: positions, device states and fresh events, fanned out to any number of
//! viewers.
//!
//! **Bounded.** One ring of [`RING`] messages for everybody; a viewer that falls behind loses the oldest and is told how
//! many (`missed`), so that it can read the ledger again. **Coalesced.** Positions are sent at most once every
//! [`POSITIONS_EVERY`], the newest only. Nothing here is kept: the ledger is the truth.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linefree_bus::payload::{Event, Shoppers, Status};
use serde::Serialize;
use tokio::sync::broadcast;

/// Messages kept for slow viewers.
pub const RING: usize = 512;

/// Least time between two messages of positions.
pub const POSITIONS_EVERY: Duration = Duration::from_millis(100);

/// Positions that are older say nothing of where people are now.
pub const PEOPLE_FRESH: Duration = Duration::from_secs(2);

/// Devices and floor roles that are remembered at once; further ones are ignored.
const MAX_NAMES: usize = 4096;

/// One message to every viewer.
#[derive(Debug, Clone)]
pub struct LiveMessage {
    /// `shoppers`, `event` or `status`.
    pub name: &'static str,
    /// JSON.
    pub data: Arc<str>,
}

/// Counts since the program started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages from the bus, decoded.
    pub messages: AtomicU64,
    /// Messages that did not parse.
    pub malformed: AtomicU64,
    /// Events that were new.
    pub events: AtomicU64,
    /// Events that the ledger had.
    pub duplicates: AtomicU64,
    /// Events that the ledger had with another content.
    pub conflicts: AtomicU64,
    /// Events that cannot be numbered.
    pub refused: AtomicU64,
    /// Events that came before one that is missing; they come again.
    pub early: AtomicU64,
    /// Requests to send again.
    pub resends: AtomicU64,
    /// Transactions.
    pub batches: AtomicU64,
    /// Transactions that failed and were tried again.
    pub failed_batches: AtomicU64,
    /// Messages that slow viewers missed.
    pub viewers_missed: AtomicU64,
    /// Is the ledger being written without trouble?
    pub ledger_ok: AtomicBool,
    /// Is the bus there?
    pub bus_ok: AtomicBool,
}

/// Adds to a counter.
pub fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[derive(Debug, Default)]
struct Now {
    statuses: BTreeMap<String, Status>,
    shoppers: BTreeMap<String, Shoppers>,
    moved: bool,
    /// When positions were last told.
    told: Option<Instant>,
    /// What does not work now, by what it is about.
    troubles: BTreeMap<&'static str, String>,
}

/// The present, for viewers.
#[derive(Debug)]
pub struct Live {
    ring: broadcast::Sender<LiveMessage>,
    now: Mutex<Now>,
    /// Counts since the program started.
    pub counters: Counters,
    /// Where people were in the last while.
    pub trails: crate::trails::Trails,
}

#[derive(Serialize)]
struct EventMessage<'a> {
    ledger_seq: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            ring: broadcast::channel(RING).0,
            now: Mutex::default(),
            counters: Counters::default(),
            trails: crate::trails::Trails::default(),
        }
    }
}

impl Live {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, name: &'static str, value: &impl Serialize) {
        // No viewer is no error, and our own types always write as JSON.
        if let Ok(text) = serde_json::to_string(value) {
            let _ = self.ring.send(LiveMessage { name, data: text.into() });
        }
    }

    /// Something does not work; told to the log when it begins, and to whoever asks while it lasts.
    pub fn trouble(&self, about: &'static str, told: &str) {
        let before = self.now().troubles.insert(about, told.to_owned());
        if before.as_deref() != Some(told) {
            tracing::error!("{told}");
        }
    }

    /// It works again, or still.
    pub fn trouble_over(&self, about: &'static str) {
        if self.now().troubles.remove(about).is_some() {
            tracing::info!("{about}: well again");
        }
    }

    /// What does not work now, for people.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.now().troubles.values().cloned().collect()
    }

    /// Where everyone is; sent with the next tick.
    pub fn shoppers(&self, source: String, shoppers: Shoppers) {
        let mut now = self.now();
        if now.shoppers.len() < MAX_NAMES || now.shoppers.contains_key(&source) {
            now.shoppers.insert(source, shoppers);
            now.moved = true;
            now.told = Some(Instant::now());
            let everyone = merged(&now);
            drop(now);
            self.trails.add(&everyone);
        }
    }

    /// Where people are; `None` before anybody told, or when nobody has told for [`PEOPLE_FRESH`].
    #[must_use]
    pub fn people(&self) -> Option<Vec<nalgebra::Point2<f64>>> {
        let now = self.now();
        let fresh = now.told.is_some_and(|told| told.elapsed() < PEOPLE_FRESH);
        fresh.then(|| merged(&now).shoppers.iter().map(|s| nalgebra::Point2::from(s.at)).collect())
    }

    /// The youngest event time that anybody told; `None` before anybody did.
    #[must_use]
    pub fn event_time(&self) -> Option<i64> {
        self.now().shoppers.values().map(|s| s.time_us).max()
    }

    /// A device's state.
    pub fn status(&self, status: Status) {
        self.send("status", &status);
        let mut now = self.now();
        if now.statuses.len() < MAX_NAMES || now.statuses.contains_key(&status.source) {
            now.statuses.insert(status.source.clone(), status);
        }
    }

    /// An event that is in the ledger now.
    pub fn event(&self, ledger_seq: u64, event: &Event) {
        if self.ring.receiver_count() > 0 {
            self.send("event", &EventMessage { ledger_seq, event });
        }
    }

    /// Sends the newest positions if anybody moved. To be called every [`POSITIONS_EVERY`].
    pub fn tick(&self) {
        let message = {
            let mut now = self.now();
            if !std::mem::take(&mut now.moved) {
                return;
            }
            merged(&now)
        };
        self.send("shoppers", &message);
    }

    /// Every device's last state.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.now().statuses.values().cloned().collect()
    }

    /// What a new viewer starts with, and everything from now on.
    #[must_use]
    pub fn view(&self) -> (Vec<LiveMessage>, broadcast::Receiver<LiveMessage>) {
        let now = self.now();
        let rest = self.ring.subscribe();
        let mut first = Vec::new();
        if let Ok(text) = serde_json::to_string(&merged(&now)) {
            first.push(LiveMessage { name: "shoppers", data: text.into() });
        }
        for status in now.statuses.values() {
            if let Ok(text) = serde_json::to_string(status) {
                first.push(LiveMessage { name: "status", data: text.into() });
            }
        }
        (first, rest)
    }

    /// How many are watching.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.ring.receiver_count()
    }
}

/// Everyone, whichever floor role sees them.
fn merged(now: &Now) -> Shoppers {
    Shoppers {
        time_us: now.shoppers.values().map(|s| s.time_us).max().unwrap_or(0),
        shoppers: now.shoppers.values().flat_map(|s| s.shoppers.iter().cloned()).collect(),
    }
}
