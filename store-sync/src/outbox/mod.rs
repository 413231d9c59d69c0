//! Ledger to cloud: contiguous numbers, batches, again and again until the cloud says that it has them.
//!
//! **Nothing is lost.** The outbox is the ledger itself plus a cursor; the cloud may be away for weeks. **Exactly once
//! in effect.** Batches are sent at least once, events carry their identity, the cloud keeps each once. **The cursor**
//! moves only to what the cloud has acknowledged of what was sent: an answer beyond the ledger's end is a lie and is
//! refused, an answer below the cursor (a cloud put back from a backup, or another cloud) moves the cursor back and
//! the rest is sent again. **Back-off**: half a second, doubled up to a minute, with jitter so that a chain's stores do
//! not all knock at once; every failure is retried, because only a person can tell a wrong token from a broken cloud.
//! **After days offline** live events are not held up by the rest: see [`lanes`]. **A ledger that was put back from a copy**
//! has a new id and is delivered from its beginning.

pub mod http;
pub mod lanes;
pub mod nats;
pub mod tls;
pub mod waits;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::wall_us;
use crate::cloud::event::CloudEvent;
use crate::ledger::{LedgerError, LedgerReader, OutboxCursor, OutboxEvent};
use lanes::{Lanes, Reached, Send as Wanted};
use waits::Waits;

/// Most events in a batch.
pub const MAX_EVENTS: u32 = 500;

/// A batch is cut when it has grown to this many bytes; one event alone may be larger.
pub const MAX_BYTES: usize = 1 << 20;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Nobody answered.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// TLS refused, on one side or the other.
    #[error("no secure connection: {0}")]
    Insecure(String),
    /// The cloud refused.
    #[error("the cloud answered {status}: {told}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        told: String,
    },
    /// The answer is not what the contract says.
    #[error("the cloud's answer makes no sense: {0}")]
    Nonsense(String),
    /// The token's file cannot be used.
    #[error("the token file {path}: {why}")]
    Token {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Who carries a batch to the cloud.
pub trait Deliver: Send {
    /// What follows is of this ledger, of which everything up to a number was acknowledged. A cloud that keeps count
    /// itself need not be told.
    fn begin(&self, _ledger: Uuid, _acknowledged: u64) {}

    /// Sends a batch (a JSON array of CloudEvents) and returns up to which ledger number the cloud has everything.
    ///
    /// # Errors
    /// [`DeliveryError`]; the batch may or may not have arrived.
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError>;
}

/// What one step did.
#[derive(Debug)]
pub enum Step {
    /// The cloud has everything.
    Idle,
    /// The cursor moved on.
    Delivered {
        /// How many events were sent.
        events: usize,
    },
    /// The cloud has less than it once said: the cursor moved back.
    Rewound {
        /// To where.
        to: u64,
    },
    /// It did not work; try again later.
    Failed(DeliveryError),
}

/// How delivery goes, for people.
#[derive(Debug, Clone, Default)]
pub struct OutboxStatus {
    /// Everything up to here is in the cloud.
    pub acknowledged_seq: u64,
    /// Batches that were acknowledged.
    pub batches: u64,
    /// Failed attempts since the start.
    pub failures: u64,
    /// Failed attempts since the last success.
    pub failures_in_a_row: u32,
    /// What the last failure said; `None` after a success.
    pub last_error: Option<String>,
    /// Wall clock of the last success.
    pub last_success_us: Option<i64>,
    /// How long events waited that the cloud has taken since the start.
    pub waits: Waits,
}

/// The outbox of one ledger.
pub struct Outbox {
    reader: LedgerReader,
    cursor: OutboxCursor,
    ledger_id: Uuid,
    store: String,
    lanes: Lanes,
    to: Box<dyn Deliver>,
    /// Most events in a batch.
    page: u32,
    /// The same, halved when the cloud finds a batch too large, until one is taken.
    max_events: u32,
    waits: Waits,
}

impl Outbox {
    /// Opens the outbox of a ledger that exists, where it stood.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, to: Box<dyn Deliver>) -> Result<Self, LedgerError> {
        let reader = LedgerReader::open(ledger)?;
        let cursor = OutboxCursor::open(ledger)?;
        let (ledger_id, store) = reader.identity()?;
        let acknowledged_seq = reader.acknowledged_seq()?;
        let lanes = Lanes::new(acknowledged_seq);
        to.begin(ledger_id, acknowledged_seq);
        let (page, max_events, waits) = (MAX_EVENTS, MAX_EVENTS, Waits::default());
        Ok(Self { reader, cursor, ledger_id, store, lanes, to, page, max_events, waits })
    }

    /// With smaller batches than [`MAX_EVENTS`], for links that bear no more.
    #[must_use]
    pub fn with_page(mut self, events: u32) -> Self {
        self.page = events.clamp(1, MAX_EVENTS);
        self.max_events = self.page;
        self
    }

    /// Everything up to here is in the cloud.
    #[must_use]
    pub fn acknowledged_seq(&self) -> u64 {
        self.lanes.acknowledged()
    }

    /// How long events waited that the cloud has taken.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.waits
    }

    /// Sends the next batch, if there is any.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read or the cursor not be written.
    pub fn step(&mut self) -> Result<Step, LedgerError> {
        let (ledger_id, _) = self.reader.identity()?;
        if ledger_id != self.ledger_id {
            tracing::warn!(
                "the ledger was put back from a copy: everything is delivered again under its new id"
            );
            self.ledger_id = ledger_id;
            self.lanes = Lanes::new(self.reader.acknowledged_seq()?);
            self.to.begin(ledger_id, self.lanes.acknowledged());
        }
        let end = self.reader.last_seq()?;
        let Some(wanted) = self.lanes.next(end, u64::from(self.max_events)) else { return Ok(Step::Idle) };
        let places = self.reader.outbox_events(wanted.after, wanted.until, self.max_events)?;
        let (batch, last, events) = self.write(&places)?;
        let Some(last) = last else { return Ok(Step::Idle) };
        match self.to.deliver(&batch) {
            Ok(answer) => {
                let step = self.on_answer(wanted, last, events, answer)?;
                if matches!(step, Step::Delivered { .. }) {
                    let now_us = wall_us();
                    places[..events].iter().for_each(|place| self.waits.note(place.received_us(), now_us));
                }
                Ok(step)
            }
            Err(e) => {
                if matches!(e, DeliveryError::Refused { status: 413, .. }) {
                    self.max_events = (self.max_events / 2).max(1);
                }
                self.lanes.on_failure(wanted);
                Ok(Step::Failed(e))
            }
        }
    }

    /// As many places as fit in a batch: its text, the last of them, and how many.
    fn write(&self, places: &[OutboxEvent]) -> Result<(Vec<u8>, Option<u64>, usize), LedgerError> {
        let mut batch = vec![b'['];
        let (mut last, mut events) = (None, 0);
        for place in places {
            let ledger_seq = place.ledger_seq();
            let bytes = CloudEvent::of(&self.store, self.ledger_id, place)
                .and_then(|e| serde_json::to_vec(&e))
                .map_err(|source| LedgerError::Body { ledger_seq: ledger_seq.cast_signed(), source })?;
            if events > 0 && batch.len() + bytes.len() > MAX_BYTES {
                break;
            }
            if events > 0 {
                batch.push(b',');
            }
            batch.extend_from_slice(&bytes);
            last = Some(ledger_seq);
            events += 1;
        }
        batch.push(b']');
        Ok((batch, last, events))
    }

    fn on_answer(
        &mut self,
        wanted: Wanted,
        last: u64,
        events: usize,
        answer: u64,
    ) -> Result<Step, LedgerError> {
        self.max_events = self.page;
        let end = self.reader.last_seq()?;
        if answer > end {
            self.lanes.on_failure(wanted);
            return Ok(Step::Failed(DeliveryError::Nonsense(format!(
                "it has everything up to {answer}, but this ledger ends at {end}. Was the ledger's file put back by \
                 hand from an older copy? Then run `store-sync restore --here`. Or is this another store's address?"
            ))));
        }
        // The cursor is written before it is believed: should that fail, the batch is sent again.
        let mut lanes = self.lanes.clone();
        let step = match lanes.on_answer(wanted, last, answer) {
            Reached::Stuck => {
                let first = wanted.after + 1;
                let told = format!("it took {first} to {last} but still has only up to {answer}");
                return Ok(Step::Failed(DeliveryError::Nonsense(told)));
            }
            Reached::Forward(_) => Step::Delivered { events },
            Reached::Back(to) => Step::Rewound { to },
        };
        if lanes.acknowledged() != self.lanes.acknowledged() {
            self.cursor.set(lanes.acknowledged())?;
        }
        self.lanes = lanes;
        Ok(step)
    }
}

/// The pauses between failed attempts.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// How long to wait after another failure; `random` spreads it over the upper half.
    pub fn next(&mut self, random: u16) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        doubled / 2 + doubled.mul_f64(f64::from(random) / f64::from(u16::MAX)) / 2
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A running outbox: a thread of its own.
pub struct RunningOutbox {
    wake: mpsc::SyncSender<()>,
    thread: std::thread::JoinHandle<()>,
    status: Arc<Mutex<OutboxStatus>>,
}

impl RunningOutbox {
    /// Starts delivering.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(outbox: Outbox) -> std::io::Result<Self> {
        // One pending wake-up is as good as many: a full channel drops the next.
        let (wake, woken) = mpsc::sync_channel(1);
        let status = Arc::new(Mutex::new(OutboxStatus {
            acknowledged_seq: outbox.acknowledged_seq(),
            ..OutboxStatus::default()
        }));
        let shared = Arc::clone(&status);
        let thread =
            std::thread::Builder::new().name("outbox".into()).spawn(move || run(outbox, &woken, &shared))?;
        Ok(Self { wake, thread, status })
    }

    /// There is more in the ledger.
    pub fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// How delivery goes.
    #[must_use]
    pub fn status(&self) -> OutboxStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops after the delivery under way, or leaves it after `at_most`: what the cloud did not acknowledge stays in
    /// the ledger either way.
    pub fn stop(self, at_most: Duration) {
        let Self { wake, thread, .. } = self;
        drop(wake);
        let began = std::time::Instant::now();
        while !thread.is_finished() && began.elapsed() < at_most {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

fn run(mut outbox: Outbox, woken: &mpsc::Receiver<()>, status: &Mutex<OutboxStatus>) {
    use mpsc::RecvTimeoutError::Disconnected;
    let mut pause = BackOff::default();
    loop {
        let step = outbox.step();
        let wait = {
            let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
            status.acknowledged_seq = outbox.acknowledged_seq();
            status.waits = outbox.waits();
            match step {
                Ok(Step::Idle) => Some(Duration::from_secs(1)),
                Ok(Step::Delivered { events }) => {
                    if status.failures_in_a_row > 0 {
                        tracing::info!(failures = status.failures_in_a_row, "the cloud takes events again");
                    }
                    tracing::debug!(events, up_to = status.acknowledged_seq, "delivered to the cloud");
                    status.batches += 1;
                    status.failures_in_a_row = 0;
                    status.last_error = None;
                    status.last_success_us = Some(wall_us());
                    pause.reset();
                    None
                }
                Ok(Step::Rewound { to }) => {
                    tracing::warn!(to, "the cloud has less than it once said: sending again from there");
                    Some(note_failure(&mut status, &mut pause, "the cloud has less than it once said".into()))
                }
                Ok(Step::Failed(e)) => Some(note_failure(&mut status, &mut pause, e.to_string())),
                Err(e) => Some(note_failure(&mut status, &mut pause, e.to_string())),
            }
        };
        let Some(mut wait) = wait else {
            // On to the next batch, unless somebody wants to stop.
            if matches!(woken.try_recv(), Err(mpsc::TryRecvError::Disconnected)) {
                return;
            }
            continue;
        };
        let failed = pause.failures > 0;
        loop {
            let began = std::time::Instant::now();
            match woken.recv_timeout(wait) {
                Err(Disconnected) => return,
                // New events are no reason to knock sooner at a cloud that is down.
                Ok(()) if failed => match wait.checked_sub(began.elapsed()) {
                    Some(rest) => wait = rest,
                    None => break,
                },
                _ => break,
            }
        }
    }
}

fn note_failure(status: &mut OutboxStatus, pause: &mut BackOff, told: String) -> Duration {
    status.failures += 1;
    status.failures_in_a_row = status.failures_in_a_row.saturating_add(1);
    // The low bits of a UUID are random, and nothing here needs more than that.
    let wait = pause.next(Uuid::now_v7().as_u128() as u16);
    // Once when it begins, then at every doubling: an outage of days is not a log of megabytes.
    if status.failures_in_a_row.is_power_of_two() {
        tracing::warn!(
            attempts = status.failures_in_a_row,
            next_in_s = wait.as_secs_f32(),
            "cannot deliver to the cloud: {told}; nothing is lost, the ledger keeps it"
        );
    }
    status.last_error = Some(told);
    wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_never_vanish() {
        let mut pause = BackOff::default();
        let longest: Vec<_> = (0..12).map(|_| pause.next(u16::MAX).as_millis()).collect();
        assert_eq!(longest[..4], [500, 1000, 2000, 4000]);
        assert_eq!(longest[11], 60_000);
        assert_eq!(pause.next(0), Duration::from_secs(30));
        pause.reset();
        assert_eq!(pause.next(0), Duration::from_millis(250));
    }
}
