//! Bus to ledger: group commits, acknowledgements after them, requests for what is missing.
//!
//! What follows from the events is written right after, on another thread ([`crate::projecting`]).
//!
//! **Order of things.** An event is acknowledged only after the transaction that holds it is durable, never before. What
//! arrives while a transaction is being written makes the next one, so batches grow with the load by themselves.
//!
//! **Bounds.** At most [`MAX_BATCH`] events a transaction; behind that the bus client's inbox is bounded and stops
//! reading from the network. **When the disk fails** the batch is kept and tried again, with growing pauses, and nothing
//! is acknowledged meanwhile: the sources keep what they have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use linefree_bus::client::{BusClient, Inbox, Incoming, Outgoing};
use linefree_bus::gap::{GapTracker, MarkVerdict, Verdict};
use linefree_bus::payload::{Ack, DeviceFault, Event, EventBody, Status};
use tokio::sync::watch;

use crate::clock::wall_us;
use crate::ledger::{Appended, Ledger, LedgerError};
use crate::live::{Live, POSITIONS_EVERY, count};
use crate::outbox::RunningOutbox;
use crate::projecting::{Progress, Waker};
use crate::rollout::Heard;

pub use crate::ledger::OWN_SOURCE as LEDGER_SOURCE;

/// Most events in a transaction.
pub const MAX_BATCH: usize = 1000;

/// Most messages that are taken from the inbox before a transaction is written.
const MAX_MESSAGES: usize = 4000;

/// How often the ledger tells its own state.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Takes everything from the bus into the ledger until told to stop.
pub struct Intake {
    /// `None` only while a transaction is being written on another thread.
    ledger: Option<Ledger>,
    tracker: GapTracker,
    client: BusClient,
    inbox: Inbox,
    live: Arc<Live>,
    outbox: Option<Arc<RunningOutbox>>,
    projections: (Arc<Progress>, Waker),
    batch: Vec<Event>,
    losses: Vec<(String, uuid::Uuid, u64, u64)>,
    status: Status,
    /// Who else wants to hear of devices.
    ear: Option<SyncSender<Heard>>,
}

impl Intake {
    /// Resumes where the ledger stands and acknowledges that again.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn new(
        ledger: Ledger,
        client: BusClient,
        inbox: Inbox,
        live: Arc<Live>,
        outbox: Option<Arc<RunningOutbox>>,
        projections: (Arc<Progress>, Waker),
        status: Status,
    ) -> Result<Self, LedgerError> {
        let tracker = resume(&ledger, &client)?;
        projections.0.on_stored(ledger.last_seq()?);
        live.counters.ledger_ok.store(true, Ordering::Relaxed);
        let (batch, losses) = (Vec::new(), Vec::new());
        Ok(Self {
            ledger: Some(ledger),
            tracker,
            client,
            inbox,
            live,
            outbox,
            projections,
            batch,
            losses,
            status,
            ear: None,
        })
    }

    /// Also tells somebody what is heard of devices.
    #[must_use]
    pub fn with_ear(mut self, ear: SyncSender<Heard>) -> Self {
        self.ear = Some(ear);
        self
    }

    fn tell_of_device(&self, heard: Heard) {
        if let Some(ear) = &self.ear {
            // Devices repeat what they say: whatever finds no room is heard next time.
            let _ = ear.try_send(heard);
        }
    }

    /// Runs until told to stop, then writes what is at hand and gives the connection back to be closed.
    ///
    /// # Errors
    /// Only when the writing thread died, which is a bug.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<BusClient> {
        let mut positions = tokio::time::interval(POSITIONS_EVERY);
        positions.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = tokio::time::interval(STATUS_EVERY);
        loop {
            let incoming = tokio::select! {
                _ = stop.changed() => None,
                _ = positions.tick() => { self.live.tick(); continue }
                _ = told.tick() => {
                    self.notice_replacement();
                    self.tell_status();
                    continue
                }
                incoming = self.inbox.recv() => incoming,
            };
            match incoming {
                Some(incoming) => self.take(incoming, &stop).await?,
                None => break,
            }
        }
        self.write(&stop).await?;
        Ok(self.client)
    }

    async fn take(&mut self, first: Incoming, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
        self.handle(first);
        for _ in 0..MAX_MESSAGES {
            if self.batch.len() >= MAX_BATCH {
                break;
            }
            let Some(next) = self.inbox.try_recv() else { break };
            self.handle(next);
        }
        self.write(stop).await
    }

    fn handle(&mut self, incoming: Incoming) {
        let live = &self.live;
        match incoming {
            Incoming::Event(event) => match self.tracker.on_event(&event, wall_us()) {
                // A duplicate goes to the ledger too: it must have the content that is there, and its source may have
                // missed the acknowledgement.
                Verdict::Accept | Verdict::Duplicate => self.batch.push(event),
                Verdict::Gap { from_seq, resend } => {
                    count(&live.counters.early, 1);
                    if let Some(resend) = resend {
                        tracing::debug!(source = %event.source, from_seq, came = event.seq, "asking again");
                        count(&live.counters.resends, 1);
                        publish(&self.client, Outgoing::Resend(resend));
                    }
                }
            },
            Incoming::Watermark(mark) => {
                let verdict = self.tracker.on_watermark(&mark, wall_us());
                while self.tracker.released(&mark.source).is_some() {}
                match verdict {
                    MarkVerdict::Missing { resend: Some(resend) } => {
                        count(&live.counters.resends, 1);
                        publish(&self.client, Outgoing::Resend(resend));
                    }
                    MarkVerdict::Lost { from_seq, to_seq } => {
                        tracing::error!(
                            source = %mark.source, from_seq, to_seq,
                            "the source can no longer send these events: they are missing from the ledger for good. \
                             Was its disk lost, or this ledger put back from an older copy?"
                        );
                        if let Some(epoch) = mark.epoch {
                            self.losses.push((mark.source, epoch, from_seq, to_seq));
                        }
                    }
                    MarkVerdict::Complete | MarkVerdict::Missing { resend: None } => {}
                }
            }
            Incoming::Shoppers { source, shoppers } => live.shoppers(source, shoppers),
            Incoming::Status(status) => {
                self.tell_of_device(Heard::Status(status.clone()));
                live.status(status);
            }
            Incoming::InForce(report) => self.tell_of_device(Heard::Report(report)),
            Incoming::Connected => {
                live.counters.bus_ok.store(true, Ordering::Relaxed);
                tracing::info!("connected to the bus");
            }
            Incoming::Disconnected { why } => {
                live.counters.bus_ok.store(false, Ordering::Relaxed);
                tracing::warn!("the bus is gone: {why}; connecting again");
            }
            Incoming::Malformed { topic, why } => {
                let so_far = live.counters.malformed.fetch_add(1, Ordering::Relaxed) + 1;
                // The first, then at every doubling: one mad device must not fill the disk with its story.
                if so_far.is_power_of_two() {
                    tracing::warn!(topic, so_far, "a message does not parse: {why}");
                }
                return;
            }
            Incoming::People(_)
            | Incoming::Progress(_)
            | Incoming::Ack(_)
            | Incoming::Resend(_)
            | Incoming::Counts(_)
            | Incoming::Handlings(_)
            | Incoming::View(_)
            | Incoming::Wanted(_) => {}
        }
        count(&self.live.counters.messages, 1);
    }

    /// Writes the batch at hand, for as long as it takes; acknowledges it.
    async fn write(&mut self, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
        if self.batch.is_empty() && self.losses.is_empty() {
            return Ok(());
        }
        let batch = Arc::new(std::mem::take(&mut self.batch));
        let losses = Arc::new(std::mem::take(&mut self.losses));
        let mut pause = Duration::from_millis(100);
        let since_us = wall_us();
        loop {
            let mut ledger = self.ledger.take().ok_or_else(|| anyhow::anyhow!("the ledger's thread died"))?;
            let (events, lost) = (Arc::clone(&batch), Arc::clone(&losses));
            let failing = !self.live.counters.ledger_ok.load(Ordering::Relaxed);
            let (ledger, done) = tokio::task::spawn_blocking(move || {
                let done = store(&mut ledger, &events, &lost);
                if done.is_ok() && failing {
                    note_failure(&mut ledger, since_us);
                }
                (ledger, done)
            })
            .await?;
            self.ledger = Some(ledger);
            match done {
                Ok(done) => {
                    self.live.counters.ledger_ok.store(true, Ordering::Relaxed);
                    self.live.trouble_over("ledger");
                    self.wrote(done);
                    return Ok(());
                }
                Err(LedgerError::Replaced { .. }) => {
                    // What is at hand was numbered for the ledger that was; its sources still have it.
                    self.replaced();
                    return Ok(());
                }
                Err(e) => {
                    self.live.counters.ledger_ok.store(false, Ordering::Relaxed);
                    count(&self.live.counters.failed_batches, 1);
                    self.live.trouble(
                        "ledger",
                        &format!(
                            "{e}. Nothing is acknowledged until it can be written: check the disk (is it full, or \
                             mounted read-only?); the sources keep their events, and it is tried again"
                        ),
                    );
                }
            }
            if *stop.borrow() {
                anyhow::bail!(
                    "the last {} events could not be written; their sources keep them",
                    batch.len()
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Goes on with a ledger that was put back from a copy: says how much it has, and asks for the rest as soon as the
    /// sources tell their last numbers.
    fn replaced(&mut self) {
        let Some(ledger) = &mut self.ledger else { return };
        tracing::warn!(
            "the ledger was put back from a copy: its sources are asked for what it lacks. What they no longer have can \
             be taken back from the cloud: store-sync refill"
        );
        let resumed = ledger.accept_replacement().and_then(|()| resume(ledger, &self.client));
        match resumed {
            Ok(tracker) => self.tracker = tracker,
            Err(e) => {
                self.live.trouble("ledger", &format!("{e}: the ledger that was put back cannot be read"));
            }
        }
    }

    fn notice_replacement(&mut self) {
        if self.ledger.as_ref().is_some_and(|l| l.is_replaced().unwrap_or(false)) {
            self.replaced();
        }
    }

    fn wrote(&self, done: Appended) {
        let counters = &self.live.counters;
        count(&counters.batches, 1);
        count(&counters.events, done.stored.len() as u64);
        count(&counters.duplicates, done.duplicates);
        count(&counters.conflicts, done.conflicts.len() as u64);
        count(&counters.refused, done.refused.len() as u64);
        for id in &done.conflicts {
            tracing::warn!(%id, "an event came again with another content: the first is kept, see `store-sync check`");
        }
        for refusal in &done.refused {
            tracing::warn!(id = %refusal.id, "an event was refused: {}", refusal.reason);
        }
        // Whoever hears the acknowledgement finds the event, so the projections are told first.
        if let Some((last, _)) = done.stored.last() {
            self.projections.0.on_stored(*last);
            self.projections.1.wake();
        }
        for ((source, epoch), seq) in done.complete {
            publish(&self.client, Outgoing::Ack(Ack { source, epoch, seq }));
        }
        if let Some(outbox) = &self.outbox {
            outbox.wake();
        }
    }

    fn tell_status(&mut self) {
        let counters = &self.live.counters;
        let get = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        self.status.counters = self.client.stats().counters();
        let own = [
            ("events", get(&counters.events)),
            ("duplicates", get(&counters.duplicates)),
            ("conflicts", get(&counters.conflicts)),
            ("resends", get(&counters.resends)),
            ("failed_batches", get(&counters.failed_batches)),
        ];
        self.status.counters.extend(own.map(|(name, n)| (name.to_owned(), n)));
        self.status.time_us = wall_us();
        publish(&self.client, Outgoing::Status(self.status.clone()));
    }
}

/// What the ledger has of every source: to the tracker, and to the sources.
fn resume(ledger: &Ledger, client: &BusClient) -> Result<GapTracker, LedgerError> {
    let mut tracker = GapTracker::new();
    for (source, epoch, seq) in ledger.complete()? {
        tracker.resume(&source, epoch, seq);
        publish(client, Outgoing::Ack(Ack { source, epoch, seq }));
    }
    Ok(tracker)
}

/// Leaves word in the ledger that it could not be written for a while.
fn note_failure(ledger: &mut Ledger, since_us: i64) {
    let now_us = wall_us();
    let seconds = now_us.saturating_sub(since_us) / 1_000_000;
    let fault = DeviceFault {
        device: LEDGER_SOURCE.to_owned(),
        fault: "not_writable".to_owned(),
        message: format!(
            "The ledger could not be written for {seconds} s. Nothing is lost: the sources kept their events and sent \
             them again. See to the disk of the store's server."
        ),
        cleared: true,
    };
    if let Err(e) = ledger.say(EventBody::DeviceFault(fault), now_us) {
        tracing::warn!("the ledger's own fault was not noted: {e}");
    }
}

fn store(
    ledger: &mut Ledger,
    events: &[Event],
    losses: &[(String, uuid::Uuid, u64, u64)],
) -> Result<Appended, LedgerError> {
    let now = wall_us();
    let mut done = if events.is_empty() { Appended::default() } else { ledger.store(events, now)? };
    for (source, epoch, from_seq, to_seq) in losses {
        let complete = ledger.note_loss(source, *epoch, *from_seq, *to_seq, now)?;
        done.complete.insert((source.clone(), *epoch), complete);
    }
    Ok(done)
}

fn publish(client: &BusClient, message: Outgoing) {
    if let Err(e) = client.publish(message) {
        // An acknowledgement or request that is not sent now is made good by the next one.
        tracing::debug!("not published: {e}");
    }
}
