//! What a source sends next. Sans-IO: numbers and times in, numbers out.
//!
//! Every event is sent once when it has become durable. It is sent again
//! - when a receiver asks: from the number it names on, everything;
//! - after a reconnect, and when the ledger has acknowledged nothing for a while (with growing pauses): what is not
//!   acknowledged, at most [`WINDOW`] events ahead of what the ledger acknowledges meanwhile. A ledger that is away
//!   for days is not flooded when it comes back.
//!
//! Receivers take events in order only, so what is sent again goes before what is new.

use std::time::Duration;

/// Events sent again before the ledger acknowledges any of them.
pub const WINDOW: u64 = 1_024;

/// How long the ledger may take before events are sent again.
pub const FIRST_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause between two such attempts.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// What a source sends next.
#[derive(Debug, Clone)]
pub struct SendPlan {
    /// Lowest number that the journal still has.
    first: u64,
    /// Highest durable number.
    durable: u64,
    /// Highest number acknowledged by the ledger.
    acked: u64,
    /// Lowest number that was never sent.
    next: u64,
    /// What is being sent again: from, up to but without.
    again: Option<(u64, u64)>,
    /// After a rewind, the end of what has been sent again or is about to be (exclusive) ...
    window_end: u64,
    /// ... and how far it moves with the ledger's acknowledgements (exclusive).
    rewound_end: u64,
    connected: bool,
    timeout: Duration,
    /// Since when the ledger has owed an acknowledgement, on the caller's clock.
    waiting_since: Option<Duration>,
    resent: u64,
}

impl SendPlan {
    /// For a journal that holds these numbers. Nobody knows which of them were sent, so all of them count as sent
    /// and not acknowledged.
    pub fn new(first: u64, durable: u64) -> Self {
        Self {
            first,
            durable,
            acked: first.saturating_sub(1),
            next: durable + 1,
            again: None,
            window_end: 0,
            rewound_end: 0,
            connected: false,
            timeout: FIRST_TIMEOUT,
            waiting_since: None,
            resent: 0,
        }
    }

    /// A connection is there.
    pub fn on_connected(&mut self, now: Duration) {
        self.connected = true;
        self.timeout = FIRST_TIMEOUT;
        self.rewind(now);
    }

    /// The connection is lost.
    pub fn on_disconnected(&mut self) {
        self.connected = false;
        self.waiting_since = None;
    }

    /// The journal holds these numbers now.
    pub fn on_journal(&mut self, first: u64, durable: u64) {
        self.first = first;
        self.durable = durable;
        self.acked = self.acked.max(first.saturating_sub(1));
    }

    /// The ledger has everything up to this number. Returns whether that is news.
    pub fn on_ack(&mut self, seq: u64, now: Duration) -> bool {
        // An acknowledgement of numbers that were never given out is a mistake of the ledger; it counts as all.
        let seq = seq.min(self.durable);
        if seq <= self.acked {
            return false;
        }
        self.acked = seq;
        self.timeout = FIRST_TIMEOUT;
        self.waiting_since = (self.acked + 1 < self.next).then_some(now);
        self.again = self.again.and_then(|(from, until)| {
            let from = from.max(seq + 1);
            (from < until).then_some((from, until))
        });
        self.slide_window();
        true
    }

    /// A receiver asks for everything from this number on.
    pub fn on_resend(&mut self, from: u64) {
        let from = from.max(self.first);
        if from < self.next {
            let from = self.again.map_or(from, |(known, _)| known.min(from));
            self.again = Some((from, self.next));
            self.window_end = self.rewound_end;
        }
    }

    /// Looks at the clock.
    pub fn on_time(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
            self.rewind(now);
        }
    }

    /// When [`Self::on_time`] wants to be called, on the caller's clock.
    pub fn deadline(&self) -> Option<Duration> {
        if self.connected && self.again.is_none() && self.acked + 1 < self.next {
            self.waiting_since.map(|since| since + self.timeout)
        } else {
            None
        }
    }

    fn rewind(&mut self, now: Duration) {
        self.again = None;
        self.window_end = (self.acked + 1).max(self.first);
        self.rewound_end = self.next;
        self.slide_window();
        self.waiting_since = (self.acked + 1 < self.next).then_some(now);
    }

    /// Sends again what the ledger's acknowledgements have made room for.
    fn slide_window(&mut self) {
        let from = self.window_end.max(self.acked + 1);
        let until = self.rewound_end.min(self.acked + 1 + WINDOW);
        if from < until {
            self.again = Some((self.again.map_or(from, |(known, _)| known.min(from)), until));
            self.window_end = until;
        }
    }

    /// The numbers to send now: from, and how many at most; `None` when there is nothing to send.
    pub fn batch(&self, at_most: u64) -> Option<(u64, u64)> {
        if !self.connected {
            return None;
        }
        let (from, until) = self.again.unwrap_or((self.next, self.durable + 1));
        (from < until).then(|| (from, (until - from).min(at_most)))
    }

    /// Everything up to this number of the last batch has been handed to the connection.
    pub fn on_sent(&mut self, seq: u64, now: Duration) {
        if let Some((from, until)) = self.again {
            self.resent += (seq + 1).saturating_sub(from);
            self.again = (seq + 1 < until).then_some((seq + 1, until));
            if self.again.is_none() {
                // The ledger gets its full time from the last of them on.
                self.waiting_since = (self.acked + 1 < self.next).then_some(now);
            }
        } else {
            self.next = self.next.max(seq + 1);
            if self.acked + 1 < self.next {
                self.waiting_since.get_or_insert(now);
            }
        }
    }

    /// Has everything up to this number been sent on this connection, and nothing is being sent again?
    pub fn is_through(&self, seq: u64) -> bool {
        self.connected && self.again.is_none() && self.next > seq
    }

    /// Highest number acknowledged by the ledger.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// How many events were sent again.
    pub fn resent(&self) -> u64 {
        self.resent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn send_all(plan: &mut SendPlan, now: Duration) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some((from, count)) = plan.batch(100) {
            sent.extend(from..from + count);
            plan.on_sent(from + count - 1, now);
        }
        sent
    }

    #[test]
    fn events_are_sent_once_while_the_ledger_answers() {
        let mut plan = SendPlan::new(1, 0);
        plan.on_connected(S(0));
        plan.on_journal(1, 3);
        assert_eq!(send_all(&mut plan, S(0)), [1, 2, 3]);
        assert!(plan.on_ack(3, S(1)));
        plan.on_time(S(1_000));
        assert!(send_all(&mut plan, S(1_000)).is_empty());
        assert_eq!(plan.resent(), 0);
    }

    #[test]
    fn a_silent_ledger_is_asked_with_growing_pauses() {
        let mut plan = SendPlan::new(1, 0);
        plan.on_connected(S(0));
        plan.on_journal(1, 2);
        assert_eq!(send_all(&mut plan, S(0)), [1, 2]);
        assert_eq!(plan.deadline(), Some(S(5)));
        plan.on_time(S(4));
        assert_eq!(plan.batch(10), None);
        plan.on_time(S(5));
        assert_eq!(send_all(&mut plan, S(5)), [1, 2]);
        assert_eq!(plan.deadline(), Some(S(15)));
        plan.on_time(S(15));
        assert_eq!(send_all(&mut plan, S(15)), [1, 2]);
        assert_eq!(plan.deadline(), Some(S(35)));
        plan.on_ack(1, S(16));
        assert_eq!(plan.deadline(), Some(S(21)));
    }

    #[test]
    fn a_reconnect_sends_windows_that_the_ledger_opens() {
        let mut plan = SendPlan::new(1, 3_000);
        plan.on_connected(S(0));
        assert_eq!(send_all(&mut plan, S(0)), (1..=1_024).collect::<Vec<_>>());
        plan.on_journal(1, 3_001);
        assert_eq!(send_all(&mut plan, S(0)), [3_001], "what is new does not wait for the ledger");
        plan.on_ack(1_000, S(1));
        assert_eq!(send_all(&mut plan, S(1)), (1_025..=2_024).collect::<Vec<_>>());
        plan.on_ack(2_024, S(2));
        assert_eq!(send_all(&mut plan, S(2)), (2_025..=3_000).collect::<Vec<_>>());
        plan.on_ack(3_001, S(3));
        assert!(send_all(&mut plan, S(3)).is_empty());
    }

    #[test]
    fn a_receiver_gets_all_that_it_asks_for_before_what_is_new() {
        let mut plan = SendPlan::new(1, 0);
        plan.on_connected(S(0));
        plan.on_journal(1, 5_000);
        send_all(&mut plan, S(0));
        plan.on_ack(4_990, S(0));
        plan.on_journal(200, 5_001);
        plan.on_resend(7);
        assert_eq!(send_all(&mut plan, S(0)), (200..=5_001).collect::<Vec<_>>());
        plan.on_resend(9_000);
        assert_eq!(plan.batch(10), None);
    }

    #[test]
    fn nothing_is_sent_without_a_connection_and_an_acknowledgement_cannot_exceed_what_there_is() {
        let mut plan = SendPlan::new(1, 4);
        plan.on_resend(1);
        assert_eq!(plan.batch(10), None);
        plan.on_ack(99, S(0));
        assert_eq!(plan.acked(), 4);
        plan.on_connected(S(0));
        assert!(plan.is_through(4));
    }
}
