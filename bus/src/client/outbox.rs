//! What waits to be sent, in order and bounded; and what is sent again after a reconnect.

use super::{ClientLimits, PublishError, lock};
use crate::codec;
use crate::payload::{
    Ack, Counts, Event, Handlings, InForce, People, ProductView, Resend, Shoppers, Status, Wanted, Watermark,
};
use crate::topic::{Topic, TopicKind};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// A watermark or progress that has not changed for this long is sent again.
const REPEAT_AFTER: Duration = Duration::from_secs(1);

/// Topics whose newest message is remembered. A ledger acknowledges each source of a store; more are not kept.
const MAX_REMEMBERED: usize = 4_096;

/// A message to publish.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// One camera's people.
    People(People),
    /// A numbered event. Use [`EventPublisher`](crate::sequenced::EventPublisher), which numbers it.
    Event(Event),
    /// How far a source has sent everything. Sources of events use
    /// [`EventPublisher::watermark`](crate::sequenced::EventPublisher::watermark).
    Watermark(Watermark),
    /// Where everyone is.
    Shoppers {
        /// The floor role that says so.
        source: String,
        /// Everyone.
        shoppers: Shoppers,
    },
    /// How far the floor role has consumed.
    Progress(Watermark),
    /// A device's state; the time is filled in when it is queued.
    Status(Status),
    /// The ledger's acknowledgement.
    Ack(Ack),
    /// A request to send again.
    Resend(Resend),
    /// What a scale's controller has measured.
    Counts(Counts),
    /// What robots handle at shelves.
    Handlings(Handlings),
    /// Which product a camera saw handled.
    View(ProductView),
    /// The release that a device is to run by.
    Wanted(Wanted),
    /// The release that a device runs by.
    InForce(InForce),
}

/// An encoded message.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) topic: String,
    pub(super) kind: TopicKind,
    pub(super) payload: Bytes,
}

impl Packet {
    pub(super) fn new(topic: &Topic, payload: Bytes) -> Self {
        Self { topic: topic.to_string(), kind: topic.kind(), payload }
    }
}

/// The three classes that are bounded each by itself.
fn class(kind: TopicKind) -> usize {
    match kind {
        TopicKind::People
        | TopicKind::Shoppers
        | TopicKind::Watermark
        | TopicKind::Progress
        | TopicKind::Counts
        | TopicKind::Handlings
        | TopicKind::View => MOMENTARY,
        TopicKind::Status | TopicKind::Ack | TopicKind::Resend | TopicKind::Wanted | TopicKind::InForce => {
            CONTROL
        }
        TopicKind::Event => EVENTS,
    }
}

const MOMENTARY: usize = 0;
const CONTROL: usize = 1;
const EVENTS: usize = 2;

#[derive(Debug, Default)]
struct State {
    /// By class, each with the message's position in the order of all of them.
    queues: [VecDeque<(u64, Packet)>; 3],
    next_position: u64,
    momentary_bytes: usize,
    remembered: HashMap<String, (Packet, Instant)>,
    dropped: u64,
    finishing: bool,
    closed: bool,
}

/// What waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    bounds: [usize; 3],
    max_momentary_bytes: usize,
    /// Rung when there is something to send.
    ready: Notify,
    /// Rung when there is room again.
    room: Notify,
}

impl Outbox {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        Self {
            state: Mutex::default(),
            bounds: [limits.out_momentary, limits.out_lasting, limits.out_lasting],
            max_momentary_bytes: limits.momentary_bytes,
            ready: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Queues; makes room by dropping the oldest of its class, except for events.
    pub(super) fn push(&self, packet: Packet) -> Result<(), PublishError> {
        let class = class(packet.kind);
        let mut state = lock(&self.state);
        if state.closed {
            return Err(PublishError::Closed);
        }
        if class == EVENTS && state.queues[EVENTS].len() >= self.bounds[EVENTS] {
            return Err(PublishError::Full(self.bounds[EVENTS]));
        }
        while !self.has_room(&state, class, packet.payload.len()) {
            match state.queues[class].pop_front() {
                Some((_, old)) if class == MOMENTARY => state.momentary_bytes -= old.payload.len(),
                Some(_) => {}
                None => break,
            }
            state.dropped += 1;
        }
        Self::put(&mut state, class, packet);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Queues when that drops nothing. The packet is shared, not copied.
    pub(super) fn push_if_room(&self, packet: &Packet) -> Result<bool, PublishError> {
        let class = class(packet.kind);
        let mut state = lock(&self.state);
        if state.closed {
            return Err(PublishError::Closed);
        }
        if !self.has_room(&state, class, packet.payload.len()) {
            return Ok(false);
        }
        Self::put(&mut state, class, packet.clone());
        drop(state);
        self.ready.notify_one();
        Ok(true)
    }

    fn has_room(&self, state: &State, class: usize, bytes: usize) -> bool {
        let queue = &state.queues[class];
        queue.len() < self.bounds[class]
            && (class != MOMENTARY
                || queue.is_empty()
                || state.momentary_bytes + bytes <= self.max_momentary_bytes)
    }

    fn put(state: &mut State, class: usize, packet: Packet) {
        if matches!(
            packet.kind,
            TopicKind::Status
                | TopicKind::Ack
                | TopicKind::Watermark
                | TopicKind::Progress
                | TopicKind::Wanted
                | TopicKind::InForce
        ) && (state.remembered.len() < MAX_REMEMBERED || state.remembered.contains_key(&packet.topic))
        {
            state.remembered.insert(packet.topic.clone(), (packet.clone(), Instant::now()));
        }
        if class == MOMENTARY {
            state.momentary_bytes += packet.payload.len();
        }
        let position = state.next_position;
        state.next_position += 1;
        state.queues[class].push_back((position, packet));
    }

    /// The next message to send: the one that was queued first.
    pub(super) fn pop(&self) -> Option<Packet> {
        let mut state = lock(&self.state);
        let first = (0..3).filter_map(|c| Some((state.queues[c].front()?.0, c))).min()?;
        let (_, packet) = state.queues[first.1].pop_front()?;
        if first.1 == MOMENTARY {
            state.momentary_bytes -= packet.payload.len();
        }
        drop(state);
        self.room.notify_waiters();
        Some(packet)
    }

    /// What has to be said again on a new connection: statuses and acknowledgements that a restarted broker has
    /// forgotten, then how far everybody is. Queues nothing that is queued already.
    pub(super) fn repeat_all(&self) {
        let mut state = lock(&self.state);
        let mut packets: Vec<Packet> = state.remembered.values().map(|(packet, _)| packet.clone()).collect();
        packets.sort_by(|a, b| (class(b.kind), &a.topic).cmp(&(class(a.kind), &b.topic)));
        for packet in packets {
            Self::put_unless_queued(&mut state, packet);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Watermarks and progress that have not changed for a while.
    pub(super) fn repeat_stale(&self, now: Instant) {
        let mut state = lock(&self.state);
        let stale: Vec<Packet> = state
            .remembered
            .values()
            .filter(|(packet, since)| {
                class(packet.kind) == MOMENTARY && now.duration_since(*since) >= REPEAT_AFTER
            })
            .map(|(packet, _)| packet.clone())
            .collect();
        for packet in stale {
            Self::put_unless_queued(&mut state, packet);
        }
    }

    fn put_unless_queued(state: &mut State, packet: Packet) {
        let class = class(packet.kind);
        if !state.queues[class].iter().any(|(_, queued)| queued.topic == packet.topic) {
            Self::put(state, class, packet);
        }
    }

    /// The last status published for a topic.
    pub(super) fn newest_status(&self, topic: &Topic) -> Option<Status> {
        let packet = lock(&self.state).remembered.get(&topic.to_string())?.0.clone();
        codec::decode(topic, &packet.payload).ok()
    }

    /// Everything may be sent, then there will be no more.
    pub(super) fn finish(&self) {
        lock(&self.state).finishing = true;
        self.ready.notify_one();
    }

    /// Has everything been sent after [`Self::finish`]?
    pub(super) fn is_finished(&self) -> bool {
        let state = lock(&self.state);
        state.finishing && state.queues.iter().all(VecDeque::is_empty)
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    pub(super) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }

    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Resolves when room is made after this call.
    pub(super) fn room_bell(&self) -> Notified<'_> {
        self.room.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: TopicKind, source: &str, n: u8) -> Packet {
        Packet::new(&Topic::new(kind, "nano", source).unwrap(), Bytes::from(vec![n]))
    }

    fn outbox(bound: usize) -> Outbox {
        let limits = ClientLimits { out_momentary: bound, out_lasting: bound, ..ClientLimits::default() };
        Outbox::new(&limits)
    }

    fn drain(outbox: &Outbox) -> Vec<u8> {
        std::iter::from_fn(|| outbox.pop()).map(|p| p.payload[0]).collect()
    }

    #[test]
    fn momentary_messages_drop_the_oldest_and_events_are_refused() {
        let outbox = outbox(2);
        for n in 1..=3 {
            outbox.push(packet(TopicKind::People, "cam1", n)).unwrap();
        }
        outbox.push(packet(TopicKind::Event, "shelf-1", 11)).unwrap();
        assert!(!outbox.push_if_room(&packet(TopicKind::People, "cam1", 4)).unwrap());
        outbox.push(packet(TopicKind::Event, "shelf-1", 12)).unwrap();
        assert!(matches!(outbox.push(packet(TopicKind::Event, "shelf-1", 13)), Err(PublishError::Full(2))));
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(drain(&outbox), [2, 3, 11, 12]);
    }

    #[test]
    fn a_new_connection_hears_the_newest_of_what_lasts() {
        let outbox = outbox(10);
        for n in 1..=2 {
            outbox.push(packet(TopicKind::Watermark, "cam1", n)).unwrap();
            outbox.push(packet(TopicKind::Ack, "shelf-1", 10 + n)).unwrap();
            outbox.push(packet(TopicKind::People, "cam1", 20 + n)).unwrap();
        }
        assert_eq!(drain(&outbox), [1, 11, 21, 2, 12, 22]);
        outbox.repeat_all();
        outbox.repeat_all();
        assert_eq!(drain(&outbox), [12, 2]);
    }

    #[test]
    fn a_watermark_that_does_not_change_is_said_again() {
        let outbox = outbox(10);
        outbox.push(packet(TopicKind::Watermark, "cam1", 1)).unwrap();
        outbox.push(packet(TopicKind::Ack, "shelf-1", 2)).unwrap();
        assert_eq!(drain(&outbox), [1, 2]);
        outbox.repeat_stale(Instant::now());
        assert!(drain(&outbox).is_empty());
        outbox.repeat_stale(Instant::now() + REPEAT_AFTER);
        assert_eq!(drain(&outbox), [1]);
    }
}
