//! What has been received and waits to be consumed, in order and bounded.

use super::{ClientLimits, Shared, lock};
use crate::payload::{
    Ack, Counts, Event, Handlings, InForce, People, ProductView, Resend, Shoppers, Status, Wanted, Watermark,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What a device hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// One camera's people.
    People(People),
    /// A numbered event: give it to a [`GapTracker`](crate::gap::GapTracker).
    Event(Event),
    /// How far a source has sent everything.
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
    /// A device's state.
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
    /// Connected to the broker and subscribed.
    Connected,
    /// The connection is lost; it is being made again.
    Disconnected {
        /// What happened.
        why: String,
    },
    /// A message that could not be decoded. It is counted and otherwise harmless.
    Malformed {
        /// The topic it came on.
        topic: String,
        /// What is wrong with it, with the JSON path.
        why: String,
    },
}

impl Incoming {
    fn is_momentary(&self) -> bool {
        matches!(
            self,
            Self::People(_)
                | Self::Watermark(_)
                | Self::Shoppers { .. }
                | Self::Progress(_)
                | Self::Counts(_)
                | Self::Handlings(_)
                | Self::View(_)
                | Self::Malformed { .. }
        )
    }
}

#[derive(Debug, Default)]
struct State {
    /// Each with its position in the order of all messages, and momentary ones with their size.
    momentary: VecDeque<(u64, usize, Incoming)>,
    lasting: VecDeque<(u64, Incoming)>,
    next_position: u64,
    momentary_bytes: usize,
    dropped: u64,
    closed: bool,
}

/// The queue between the connection and the consumer.
#[derive(Debug)]
pub(super) struct InboxQueue {
    state: Mutex<State>,
    max_momentary: usize,
    max_lasting: usize,
    max_momentary_bytes: usize,
    ready: Notify,
    room: Notify,
}

impl InboxQueue {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        Self {
            state: Mutex::default(),
            max_momentary: limits.in_momentary,
            max_lasting: limits.in_lasting,
            max_momentary_bytes: limits.momentary_bytes,
            ready: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Queues a message of some size. `Err` gives it back: it may not be dropped and there is no room for it.
    pub(super) fn offer(&self, message: Incoming, bytes: usize) -> Result<(), Box<Incoming>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Ok(());
        }
        let position = state.next_position;
        if message.is_momentary() {
            while state.momentary.len() >= self.max_momentary
                || (state.momentary_bytes + bytes > self.max_momentary_bytes && !state.momentary.is_empty())
            {
                if let Some((_, size, _)) = state.momentary.pop_front() {
                    state.momentary_bytes -= size;
                    state.dropped += 1;
                }
            }
            state.momentary_bytes += bytes;
            state.momentary.push_back((position, bytes, message));
        } else if state.lasting.len() < self.max_lasting {
            state.lasting.push_back((position, message));
        } else {
            return Err(Box::new(message));
        }
        state.next_position += 1;
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Queues a message; waits for room if it may not be dropped.
    pub(super) async fn push(&self, mut message: Incoming, bytes: usize) {
        loop {
            let room = self.room.notified();
            match self.offer(message, bytes) {
                Ok(()) => return,
                Err(back) => message = *back,
            }
            room.await;
        }
    }

    fn pop(&self) -> Result<Option<Incoming>, Closed> {
        let mut state = lock(&self.state);
        let momentary = state.momentary.front().map_or(u64::MAX, |m| m.0);
        let lasting = state.lasting.front().map_or(u64::MAX, |m| m.0);
        let message = if momentary < lasting {
            state.momentary.pop_front().map(|(_, size, message)| {
                state.momentary_bytes -= size;
                message
            })
        } else {
            state.lasting.pop_front().map(|(_, message)| message)
        };
        if message.is_none() && state.closed {
            return Err(Closed);
        }
        drop(state);
        self.room.notify_one();
        Ok(message)
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
        self.room.notify_one();
    }

    /// Nobody will read any more: what comes is thrown away, so that the connection does not stall.
    fn abandon(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.momentary.clear();
        state.lasting.clear();
        drop(state);
        self.room.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }
}

struct Closed;

/// The receiving end of a client. When it is dropped, the client goes on and throws away what it receives.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next message; `None` once the client is closed and everything is consumed. May be cancelled.
    pub async fn recv(&mut self) -> Option<Incoming> {
        let queue = &self.shared.inbox;
        loop {
            let ready = queue.ready.notified();
            match queue.pop() {
                Ok(Some(message)) => return Some(message),
                Ok(None) => ready.await,
                Err(Closed) => return None,
            }
        }
    }

    /// The next message if there is one now.
    pub fn try_recv(&mut self) -> Option<Incoming> {
        self.shared.inbox.pop().ok().flatten()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: i64) -> Incoming {
        Incoming::Watermark(Watermark::unnumbered("cam1", n, false))
    }

    fn ack(n: u64) -> Incoming {
        Incoming::Ack(Ack { source: "a".to_owned(), epoch: uuid::Uuid::from_u128(1), seq: n })
    }

    fn drain(queue: &InboxQueue) -> Vec<Incoming> {
        std::iter::from_fn(|| queue.pop().ok().flatten()).collect()
    }

    #[test]
    fn order_is_kept_and_only_momentary_messages_are_dropped() {
        let limits = ClientLimits { in_momentary: 2, in_lasting: 2, ..ClientLimits::default() };
        let queue = InboxQueue::new(&limits);
        for message in [mark(1), ack(1), mark(2), mark(3), ack(2)] {
            queue.offer(message, 10).unwrap();
        }
        assert_eq!(queue.offer(ack(3), 10), Err(Box::new(ack(3))));
        assert_eq!(queue.dropped(), 1);
        assert_eq!(drain(&queue), [ack(1), mark(2), mark(3), ack(2)]);
        assert_eq!(lock(&queue.state).momentary_bytes, 0);
    }

    #[tokio::test]
    async fn a_full_inbox_waits_for_the_consumer() {
        let limits = ClientLimits { in_lasting: 1, ..ClientLimits::default() };
        let queue = Arc::new(InboxQueue::new(&limits));
        queue.offer(ack(1), 0).unwrap();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.push(ack(2), 0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(queue.pop().ok().flatten(), Some(ack(1)));
        waiting.await.unwrap();
        assert_eq!(drain(&queue), [ack(2)]);
    }
}
