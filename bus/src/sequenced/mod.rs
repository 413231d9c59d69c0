//! What a source publishes numbered events with: its journal plus its connection.
//!
//! [`EventPublisher::publish`] returns when the event is durable on this device's disk. From then on it is the
//! publisher's business: it sends the event, sends it again after a reconnect, when a receiver asks, and when the
//! ledger stays silent ([`SendPlan`] says exactly when), and forgets it some time after the ledger
//! has acknowledged it. Memory stays bounded however long the ledger is away: what is sent is read from the
//! journal, in batches.
//!
//! Many callers may publish at once; events that arrive while the disk is busy share the next fsync.

pub mod plan;
mod writer;

use crate::client::{BusClient, Heard, LinkState, Outgoing, PublishError, Shared, Tap};
use crate::journal::{Journal, JournalError, JournalOptions, OpenReport};
use crate::payload::{Event, EventBody, Watermark};
use crate::topic::TopicError;
use plan::SendPlan;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;
use writer::{COMMANDS, Command, Extent};

/// Events read from the journal and handed to the connection at once.
const BATCH: u64 = 256;

/// How a publisher behaves.
#[derive(Debug, Clone, Default)]
pub struct PublisherOptions {
    /// Its journal.
    pub journal: JournalOptions,
}

/// The ledger did not acknowledge everything in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ledger has acknowledged event {acked_seq} of {source_id}, not yet {last_seq}: is store-sync running?"
)]
pub struct NotAcked {
    /// Whose events.
    pub source_id: String,
    /// Highest acknowledged number.
    pub acked_seq: u64,
    /// Highest number.
    pub last_seq: u64,
}

/// What the handles and the task of a publisher share.
#[derive(Debug)]
struct State {
    source: String,
    epoch: Uuid,
    commands: mpsc::Sender<Command>,
    extent: watch::Receiver<Extent>,
    acked: watch::Sender<u64>,
    /// The newest watermark that is to be sent once its events are through.
    mark: Mutex<Option<Watermark>>,
    /// The newest watermark that was ever given, so that it never goes back.
    highest_mark: Mutex<(i64, bool)>,
    mark_bell: Notify,
    resent: AtomicU64,
    resend_requests: AtomicU64,
}

#[derive(Debug)]
struct Guard {
    task: AbortHandle,
    commands: mpsc::Sender<Command>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
        // Should the queue be full, the thread still ends when the last sender is gone.
        let (done, _) = oneshot::channel();
        let _ = self.commands.try_send(Command::Close(done));
    }
}

/// What a source publishes numbered events with. Clones are handles of the same publisher.
#[derive(Debug, Clone)]
pub struct EventPublisher {
    state: Arc<State>,
    guard: Arc<Guard>,
    /// The connection lives as long as somebody may publish on it.
    _client: BusClient,
}

impl EventPublisher {
    /// Opens the source's journal in a directory of its own and begins to send what the ledger does not have.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be used, see [`crate::journal`].
    pub async fn open(
        journal_dir: &Path,
        source: &str,
        client: BusClient,
        options: PublisherOptions,
    ) -> Result<(Self, OpenReport), JournalError> {
        let bad_source =
            |e: TopicError| JournalError::BadEvent { origin: source.to_owned(), why: e.to_string() };
        let tap = client.shared().tap(source).map_err(bad_source)?;
        let (dir, name) = (journal_dir.to_owned(), source.to_owned());
        let opened = tokio::task::spawn_blocking(move || Journal::open(&dir, &name, options.journal)).await;
        let (journal, report) = opened.map_err(|_| JournalError::Closed(source.to_owned()))??;
        if let Some(cut) = &report.cut {
            tracing::warn!(
                path = %cut.path.display(), offset = cut.offset, bytes = cut.bytes, why = cut.why,
                "cut off what a crash had left unfinished at the journal's end; none of it had been published"
            );
        }
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (extent, extent_seen) = watch::channel(Extent::of(&journal));
        let epoch = journal.epoch();
        let now = *extent_seen.borrow();
        let state = Arc::new(State {
            source: source.to_owned(),
            epoch,
            commands: commands.clone(),
            extent: extent_seen,
            acked: watch::Sender::new(now.first_seq.saturating_sub(1)),
            mark: Mutex::default(),
            highest_mark: Mutex::new((i64::MIN, false)),
            mark_bell: Notify::new(),
            resent: AtomicU64::new(0),
            resend_requests: AtomicU64::new(0),
        });
        std::thread::Builder::new()
            .name(format!("journal-{source}"))
            .spawn(move || writer::run(journal, receiver, &extent))
            .map_err(|source| JournalError::Io {
                path: journal_dir.to_owned(),
                doing: "start the journal's thread",
                source,
            })?;
        let plan = SendPlan::new(now.first_seq, now.durable_seq);
        let sender = Sender {
            shared: Arc::clone(client.shared()),
            link: client.shared().link(),
            tap,
            plan,
            started: Instant::now(),
            connection: None,
            state: Arc::clone(&state),
        };
        let task = tokio::spawn(sender.run()).abort_handle();
        let guard = Arc::new(Guard { task, commands });
        Ok((Self { state, guard, _client: client }, report))
    }

    /// Publishes one event; returns when it is durable on disk. It is sent, and sent again, by itself.
    ///
    /// # Errors
    /// [`JournalError`]: then the event was not published, unless the error says that nobody knows.
    pub async fn publish(&self, time_us: i64, body: EventBody) -> Result<Event, JournalError> {
        one(&self.state.source, self.publish_all(vec![(time_us, body)]).await?)
    }

    /// Publishes several events, all or none, with one fsync.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_all(&self, events: Vec<(i64, EventBody)>) -> Result<Vec<Event>, JournalError> {
        let (reply, result) = oneshot::channel();
        self.state.commands.send(Command::Append(events, reply)).await.map_err(|_| self.closed())?;
        result.await.map_err(|_| self.closed())?
    }

    /// As [`Self::publish`], from a thread that is no tokio task.
    ///
    /// # Errors
    /// As [`Self::publish`].
    ///
    /// # Panics
    /// When called within a tokio task, where it would block the runtime.
    pub fn publish_blocking(&self, time_us: i64, body: EventBody) -> Result<Event, JournalError> {
        let (reply, result) = oneshot::channel();
        let command = Command::Append(vec![(time_us, body)], reply);
        self.state.commands.blocking_send(command).map_err(|_| self.closed())?;
        one(&self.state.source, result.blocking_recv().map_err(|_| self.closed())??)
    }

    /// Says that nothing older than `time_us` will follow. It is sent after every event published so far, never
    /// waits, and never goes back. `finished` is said once, when a replayed source has reached its end.
    pub fn watermark(&self, time_us: i64, finished: bool) {
        let (time_us, finished) = {
            let mut highest = self.state.highest_mark.lock().unwrap_or_else(PoisonError::into_inner);
            *highest = (highest.0.max(time_us), highest.1 || finished);
            *highest
        };
        let extent = *self.state.extent.borrow();
        let mark = Watermark {
            source: self.state.source.clone(),
            time_us,
            epoch: Some(self.state.epoch),
            last_seq: extent.durable_seq,
            first_seq: Some(extent.first_seq),
            finished,
        };
        *self.state.mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        self.state.mark_bell.notify_one();
    }

    /// Waits until the ledger has everything published so far.
    ///
    /// # Errors
    /// [`NotAcked`] after `at_most`.
    pub async fn wait_acked(&self, at_most: Duration) -> Result<(), NotAcked> {
        let last_seq = self.last_seq();
        let mut acked = self.state.acked.subscribe();
        match timeout(at_most, acked.wait_for(|seq| *seq >= last_seq)).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                Err(NotAcked { source_id: self.state.source.clone(), acked_seq: self.acked_seq(), last_seq })
            }
        }
    }

    /// Which numbering.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.state.epoch
    }

    /// Whose events.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.state.source
    }

    /// Highest number published, 0 for none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.state.extent.borrow().durable_seq
    }

    /// Highest number that the ledger is known to have.
    #[must_use]
    pub fn acked_seq(&self) -> u64 {
        *self.state.acked.borrow()
    }

    /// Counters by name, as they stand in a status.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let extent = *self.state.extent.borrow();
        let acked = self.acked_seq();
        [
            ("events", extent.durable_seq),
            ("events_unacknowledged", extent.durable_seq.saturating_sub(acked)),
            ("events_resent", self.state.resent.load(Ordering::Relaxed)),
            ("resend_requests", self.state.resend_requests.load(Ordering::Relaxed)),
            ("journal_bytes", extent.bytes),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }

    /// Ends this publisher, also for its other handles, and waits until the journal may be opened again. What is
    /// not acknowledged is sent when it is.
    pub async fn close(self) {
        self.guard.task.abort();
        let (done, closed) = oneshot::channel();
        if self.state.commands.send(Command::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }

    fn closed(&self) -> JournalError {
        JournalError::Closed(self.state.source.clone())
    }
}

fn one(source: &str, events: Vec<Event>) -> Result<Event, JournalError> {
    events.into_iter().next().ok_or_else(|| JournalError::Closed(source.to_owned()))
}

/// The task that sends.
struct Sender {
    shared: Arc<Shared>,
    state: Arc<State>,
    tap: Arc<Tap>,
    link: watch::Receiver<LinkState>,
    plan: SendPlan,
    started: Instant,
    connection: Option<u64>,
}

impl Sender {
    async fn run(mut self) {
        let mut extent = self.state.extent.clone();
        loop {
            let now = self.started.elapsed();
            let held = *extent.borrow_and_update();
            self.plan.on_journal(held.first_seq, held.durable_seq);
            if !self.hear_link(now) {
                return;
            }
            self.hear_receivers(now);
            self.plan.on_time(now);
            if let Some((from, count)) = self.plan.batch(BATCH) {
                match self.send(from, count as usize).await {
                    Ok(()) => continue,
                    Err(()) => return,
                }
            }
            self.send_mark();
            let deadline = self.plan.deadline().map(|deadline| self.started + deadline);
            tokio::select! {
                changed = extent.changed() => if changed.is_err() { return },
                changed = self.link.changed() => if changed.is_err() { return },
                () = self.tap.bell.notified() => {}
                () = self.state.mark_bell.notified() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
        }
    }

    /// Returns false when the client is closed.
    fn hear_link(&mut self, now: Duration) -> bool {
        match *self.link.borrow_and_update() {
            LinkState::Closed => return false,
            LinkState::Down(_) => {
                if self.connection.take().is_some() {
                    self.plan.on_disconnected();
                }
            }
            LinkState::Up(number) => {
                if self.connection != Some(number) {
                    self.connection = Some(number);
                    self.plan.on_connected(now);
                }
            }
        }
        true
    }

    fn hear_receivers(&mut self, now: Duration) {
        let Heard { ack, resend } = self.tap.take();
        // Acknowledgements and requests for an older numbering concern a journal that is no more.
        if let Some(ack) = ack.filter(|ack| ack.epoch == self.state.epoch)
            && self.plan.on_ack(ack.seq, now)
        {
            self.state.acked.send_replace(self.plan.acked());
            // A trim that is not taken now is made up for by the next one.
            let _ = self.state.commands.try_send(Command::Trim(self.plan.acked()));
        }
        if let Some(resend) = resend.filter(|resend| resend.epoch == self.state.epoch) {
            self.state.resend_requests.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(source = self.state.source, from_seq = resend.from_seq, "asked to send again");
            self.plan.on_resend(resend.from_seq);
        }
    }

    async fn send(&mut self, from: u64, count: usize) -> Result<(), ()> {
        let (reply, result) = oneshot::channel();
        self.state.commands.send(Command::Read(from, count, reply)).await.map_err(|_| ())?;
        let events = match result.await.map_err(|_| ())? {
            Ok(events) => events,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read; nothing more of it is sent");
                return Err(());
            }
        };
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(()) };
        for event in events {
            match self.shared.publish_when_room(&Outgoing::Event(event)).await {
                Ok(()) => {}
                Err(PublishError::Closed) => return Err(()),
                // The journal has checked it as the codec does; whatever it is now, the next one may be well.
                Err(error) => tracing::error!(%error, "an event of the journal cannot be sent"),
            }
        }
        self.plan.on_sent(last, self.started.elapsed());
        self.state.resent.store(self.plan.resent(), Ordering::Relaxed);
        Ok(())
    }

    fn send_mark(&self) {
        let mut waiting = self.state.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_some_and(|mark| self.plan.is_through(mark.last_seq))
            && let Some(mark) = waiting.take()
            && let Err(error) = self.shared.publish(&Outgoing::Watermark(mark))
        {
            tracing::warn!(%error, "a watermark was not sent");
        }
    }
}
