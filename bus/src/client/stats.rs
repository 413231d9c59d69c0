//! What a client counts.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

/// Counters of a client since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientStats {
    /// Messages handed to the connection.
    pub sent: u64,
    /// Messages received and decoded.
    pub received: u64,
    /// Messages received that could not be decoded.
    pub malformed: u64,
    /// Outgoing messages dropped because the queue was full.
    pub dropped_out: u64,
    /// Incoming messages dropped because the consumer was too slow.
    pub dropped_in: u64,
    /// Connections made.
    pub connections: u64,
    /// Times the device had to stop reading because events were not consumed.
    pub stalls: u64,
    /// Subscriptions that the broker refused.
    pub refused: u64,
}

impl ClientStats {
    /// By name, as they stand in a status.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        [
            ("bus_sent", self.sent),
            ("bus_received", self.received),
            ("bad_payloads", self.malformed),
            ("bus_dropped_out", self.dropped_out),
            ("bus_dropped_in", self.dropped_in),
            ("bus_connections", self.connections),
            ("bus_stalls", self.stalls),
            ("bus_refused_subscriptions", self.refused),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }
}

/// [`ClientStats`] while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) refused: AtomicU64,
}
