//! The connection of one device to the bus.
//!
//! MQTT 3.1.1 with clean sessions: what rumqttd, Mosquitto and nats-server all speak, and no session state of a
//! broker is relied on. The connection is made again for ever, with growing pauses of up to
//! [`ClientLimits::max_pause`]; after each reconnect the client subscribes again, publishes its status, and repeats
//! the newest status, acknowledgements, watermarks and progress it ever published, because a restarted broker has
//! forgotten the retained ones. The newest watermark and progress of each source are also repeated once a second
//! while they do not change: they travel with QoS 0, and a receiver that missed the last one would wait for ever.
//!
//! **Queues.** Everything is bounded, see [`ClientLimits`]; what happens when a queue is full:
//!
//! | queue | kind of message | when full |
//! | --- | --- | --- |
//! | out | people, shoppers, watermarks, progress | the oldest of these is dropped and counted |
//! | out | status, acknowledgements, resend requests | the oldest of these is dropped and counted; they are repeated anyway |
//! | out | events | refused: the journal has them, [`EventPublisher`](crate::sequenced::EventPublisher) waits |
//! | in | people, shoppers, watermarks, progress, malformed | the oldest of these is dropped and counted |
//! | in | events and everything else | the client stops reading from the network until the consumer has caught up |
//!
//! [`BusClient::publish`] never waits, so a consumer that publishes while its own inbox is full cannot deadlock.
//! A client that does not read from the network for longer than [`ClientLimits::keep_alive`] may be thrown out by the
//! broker; it comes back, and the numbers of the events bring back what was missed.
//!
//! **Last will.** When the connection is cut without [`BusClient::close`], which includes dropping the last
//! [`BusClient`], the broker publishes the device's status as offline. A broker can be wrong about that (a stale
//! connection that dies after the device has come back), so the client watches its own status and corrects it.

mod config;
mod inbox;
mod link;
mod outbox;
mod stats;
mod tap;

pub use config::{BusConfig, ClientLimits};
pub use inbox::{Inbox, Incoming};
pub use outbox::Outgoing;
pub use stats::ClientStats;
pub(crate) use tap::{Heard, Tap};

use crate::check::Payload;
use crate::codec::{self, CodecError};
use crate::payload::Wanted;
use crate::topic::{Subscription, Topic, TopicError, TopicKind};
use crate::url::BusUrl;
use inbox::InboxQueue;
use outbox::{Outbox, Packet};
use stats::Counters;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Why a client could not be made. Not: that the broker is away.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The store, the device or a subscription has an id that cannot stand in a topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The status cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A URL over TLS, and nothing to show there.
    #[error(
        "{0} is a bus over TLS, which asks for a certificate; name its folder as tls_dir in store.toml's [bus]"
    )]
    NoIdentity(String),
    /// Not called within a tokio runtime.
    #[error("the bus client needs a tokio runtime around it: {0}")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its source's id cannot stand in a topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The queue of events is full.
    #[error("{0} events are waiting to be sent already")]
    Full(usize),
    /// The client is closed.
    #[error("the bus client is closed")]
    Closed,
}

/// The broker was not reached in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the bus at {url} within {} s: {why}", at_most.as_secs_f64())]
pub struct NotConnected {
    /// Where it should be.
    pub url: String,
    /// How long was waited.
    pub at_most: Duration,
    /// What the last attempt said.
    pub why: String,
}

/// How the link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Connected and subscribed; the number of the connection.
    Up(u64),
    /// Not connected, and why.
    Down(String),
    /// Closed for good.
    Closed,
}

/// No code of ours panics while it holds one of these locks; if it did, the data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the handles and the tasks of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    url: BusUrl,
    store: String,
    own_status: Topic,
    limits: ClientLimits,
    outbox: Outbox,
    inbox: InboxQueue,
    counters: Counters,
    /// What the consumer asked for; everything else that is subscribed is the client's own business.
    wanted: Vec<Subscription>,
    /// Every MQTT filter that is to be subscribed; it only grows.
    filters: Mutex<Vec<(String, TopicKind)>>,
    /// Rung when `filters` has grown.
    filters_bell: Notify,
    taps: Mutex<HashMap<String, Arc<Tap>>>,
    /// The release that this device is to run by, as last heard.
    release: watch::Sender<Option<Wanted>>,
    link: watch::Sender<LinkState>,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    fn stats(&self) -> ClientStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClientStats {
            sent: get(&self.counters.sent),
            received: get(&self.counters.received),
            malformed: get(&self.counters.malformed),
            dropped_out: self.outbox.dropped(),
            dropped_in: self.inbox.dropped(),
            connections: get(&self.counters.connections),
            stalls: get(&self.counters.stalls),
            refused: get(&self.counters.refused),
        }
    }

    fn add_filter(&self, subscription: &Subscription) -> Result<(), TopicError> {
        let filter = subscription.filter(&self.store)?;
        let mut filters = lock(&self.filters);
        if !filters.iter().any(|(known, _)| *known == filter) {
            filters.push((filter, subscription.kind));
        }
        drop(filters);
        self.filters_bell.notify_one();
        Ok(())
    }

    /// Routes the acknowledgements and resend requests of a source to its publisher.
    pub(crate) fn tap(&self, source: &str) -> Result<Arc<Tap>, TopicError> {
        let tap = Arc::clone(lock(&self.taps).entry(source.to_owned()).or_default());
        self.add_filter(&Subscription::of(TopicKind::Ack, source))?;
        self.add_filter(&Subscription::of(TopicKind::Resend, source))?;
        Ok(tap)
    }

    pub(crate) fn publish(&self, message: &Outgoing) -> Result<(), PublishError> {
        let packet = self.packet(message)?;
        self.outbox.push(packet)
    }

    pub(crate) async fn publish_when_room(&self, message: &Outgoing) -> Result<(), PublishError> {
        let packet = self.packet(message)?;
        let mut link = self.link.subscribe();
        loop {
            let connected = {
                let state = link.wait_for(|state| !matches!(state, LinkState::Down(_))).await;
                matches!(state.as_deref(), Ok(LinkState::Up(_)))
            };
            if !connected {
                return Err(PublishError::Closed);
            }
            let room = self.outbox.room_bell();
            if self.outbox.push_if_room(&packet)? {
                return Ok(());
            }
            room.await;
        }
    }

    fn packet(&self, message: &Outgoing) -> Result<Packet, PublishError> {
        let build = |kind, source: &str| Topic::new(kind, &self.store, source);
        fn packet<T: Payload>(topic: &Topic, payload: &T) -> Result<Packet, PublishError> {
            Ok(Packet::new(topic, codec::encode(topic, payload)?))
        }
        match message {
            Outgoing::People(p) => packet(&build(TopicKind::People, &p.camera)?, p),
            Outgoing::Event(e) => packet(&build(TopicKind::Event, &e.source)?, e),
            Outgoing::Watermark(w) => packet(&build(TopicKind::Watermark, &w.source)?, w),
            Outgoing::Shoppers { source, shoppers } => packet(&build(TopicKind::Shoppers, source)?, shoppers),
            Outgoing::Progress(w) => packet(&build(TopicKind::Progress, &w.source)?, w),
            Outgoing::Status(s) => {
                let mut status = s.clone();
                if status.online || status.time_us == 0 {
                    status.time_us = now_us();
                }
                packet(&build(TopicKind::Status, &status.source)?, &status)
            }
            Outgoing::Ack(a) => packet(&build(TopicKind::Ack, &a.source)?, a),
            Outgoing::Resend(r) => packet(&build(TopicKind::Resend, &r.source)?, r),
            Outgoing::Counts(c) => packet(&build(TopicKind::Counts, &c.source)?, c),
            Outgoing::Handlings(h) => packet(&build(TopicKind::Handlings, &h.source)?, h),
            Outgoing::View(v) => packet(&build(TopicKind::View, &v.camera)?, v),
            Outgoing::Wanted(w) => packet(&build(TopicKind::Wanted, &w.source)?, w),
            Outgoing::InForce(i) => packet(&build(TopicKind::InForce, &i.source)?, i),
        }
    }
}

/// Wall clock, microseconds since the Unix epoch. Only for statuses; event times come from the caller.
fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Ends the client's tasks when the last handle is gone.
#[derive(Debug)]
struct Guard {
    tasks: Vec<AbortHandle>,
    shared: Arc<Shared>,
}

impl Guard {
    /// Cuts the connection and ends everything that waits on it.
    fn cut(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.closing.store(true, Ordering::Release);
        self.shared.outbox.close();
        self.shared.inbox.close();
        self.shared.link.send_replace(LinkState::Closed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cut();
    }
}

/// A device's connection to the bus. Clones are handles of the same connection.
#[derive(Debug, Clone)]
pub struct BusClient {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

impl BusClient {
    /// Begins to connect, and goes on for ever. Never waits for the broker; must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] when an id cannot stand in a topic, or there is no runtime.
    #[allow(clippy::needless_pass_by_value)] // A configuration is given away.
    pub fn connect(config: BusConfig) -> Result<(Self, Inbox), ConnectError> {
        let runtime = tokio::runtime::Handle::try_current()?;
        if config.url.tls() && config.identity.is_none() {
            return Err(ConnectError::NoIdentity(config.url.to_string()));
        }
        let own_status = Topic::new(TopicKind::Status, &config.store, &config.status.source)?;
        let will = codec::encode(&own_status, &config.status.last_will())?;
        let shared = Arc::new(Shared {
            outbox: Outbox::new(&config.limits),
            inbox: InboxQueue::new(&config.limits),
            counters: Counters::default(),
            wanted: config.subscriptions.clone(),
            filters: Mutex::default(),
            filters_bell: Notify::new(),
            taps: Mutex::default(),
            release: watch::Sender::new(None),
            link: watch::Sender::new(LinkState::Down("no attempt has ended yet".to_owned())),
            closing: AtomicBool::new(false),
            url: config.url.clone(),
            store: config.store.clone(),
            limits: config.limits.clone(),
            own_status: own_status.clone(),
        });
        for subscription in &config.subscriptions {
            shared.add_filter(subscription)?;
        }
        shared.add_filter(&Subscription::of(TopicKind::Status, &config.status.source))?;
        if let Err(PublishError::Codec(error)) = shared.publish(&Outgoing::Status(config.status.clone())) {
            return Err(error.into());
        }
        let tasks = link::spawn(&runtime, &shared, &config, (own_status.to_string(), will));
        let guard = Arc::new(Guard { tasks, shared: Arc::clone(&shared) });
        let inbox = Inbox::new(Arc::clone(&shared));
        Ok((Self { shared, guard }, inbox))
    }

    /// Waits until the device is connected and subscribed.
    ///
    /// # Errors
    /// [`NotConnected`] after `at_most`, with what the last attempt said.
    pub async fn wait_connected(&self, at_most: Duration) -> Result<(), NotConnected> {
        let mut link = self.shared.link.subscribe();
        if let Ok(Ok(_)) = timeout(at_most, link.wait_for(|state| matches!(state, LinkState::Up(_)))).await {
            return Ok(());
        }
        let why = match &*self.shared.link.borrow() {
            LinkState::Down(why) => why.clone(),
            LinkState::Up(_) => "it came up just now".to_owned(),
            LinkState::Closed => "the client is closed".to_owned(),
        };
        Err(NotConnected { url: self.shared.url.to_string(), at_most, why })
    }

    /// Is the device connected and subscribed?
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(*self.shared.link.borrow(), LinkState::Up(_))
    }

    /// Queues a message. From any thread; never waits. See the module's documentation for full queues.
    ///
    /// # Errors
    /// [`PublishError`] when the message cannot be encoded, the queue of events is full, or the client is closed.
    #[allow(clippy::needless_pass_by_value)] // A message is given away; that it is encoded at once is our business.
    pub fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        self.shared.publish(&message)
    }

    /// Waits for a connection and for room, then queues: where nothing may be dropped, as in replays that run
    /// faster than real time.
    ///
    /// # Errors
    /// [`PublishError`] when the message cannot be encoded or the client is closed.
    #[allow(clippy::needless_pass_by_value)] // As above.
    pub async fn publish_when_room(&self, message: Outgoing) -> Result<(), PublishError> {
        self.shared.publish_when_room(&message).await
    }

    /// The release that this device is to run by, as it is told; listens from now on.
    ///
    /// # Errors
    /// When the device's name cannot stand in a topic, which connecting has found out before.
    pub fn hear_wanted(&self) -> Result<watch::Receiver<Option<Wanted>>, TopicError> {
        let heard = self.shared.release.subscribe();
        self.shared.add_filter(&Subscription::of(TopicKind::Wanted, self.shared.own_status.source()))?;
        Ok(heard)
    }

    /// Counters since the client was made.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.shared.stats()
    }

    /// Which store.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.shared.store
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends what is queued, publishes the device's status as offline, says goodbye to the broker, and ends. What
    /// is not done after `at_most` is given up. Other handles of this client are closed with it.
    pub async fn close(self, at_most: Duration) {
        let mut offline = self.shared.outbox.newest_status(&self.shared.own_status);
        if let Some(status) = &mut offline {
            status.online = false;
            status.time_us = now_us();
            // A full queue drops older messages for it, and a closed client has nothing to say.
            let _ = self.shared.publish(&Outgoing::Status(status.clone()));
        }
        let mut link = self.shared.link.subscribe();
        if self.is_connected() {
            self.shared.closing.store(true, Ordering::Release);
            self.shared.outbox.finish();
            let closed = link.wait_for(|state| matches!(state, LinkState::Closed));
            if timeout(at_most, closed).await.is_err() {
                tracing::warn!(url = %self.shared.url, "the bus connection was cut before everything was sent");
            }
        }
        self.guard.cut();
    }
}
