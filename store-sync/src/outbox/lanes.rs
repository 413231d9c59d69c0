//! Which part of the ledger goes to the cloud next. Sans-IO: numbers in, numbers out.
//!
//! While the cloud is nearly up to date there is one lane: the next events, in order. A store that comes back after days
//! offline has two: the **live lane** begins at the ledger's end and sends what happens from now on, the **backlog lane**
//! sends the rest in order. They take turns, so a receipt waits for one batch of the backlog at most, not for days of
//! it. The acknowledgement stays contiguous: it jumps over the live lane's events when the backlog has reached them. What
//! the live lane has sent is remembered for this run only; after a restart it is sent again, and the cloud drops it.

/// Further behind than this many pages, the live lane opens.
const BEHIND_PAGES: u64 = 4;

/// What to send next: events after a number, up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// After this number ...
    pub after: u64,
    /// ... up to this one at most.
    pub until: u64,
    /// Ahead of the backlog?
    pub live: bool,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The cloud has everything up to here; nothing new for the live lane, which has no effect on the cursor.
    Forward(u64),
    /// It has less than it once said.
    Back(u64),
    /// It has taken the backlog's batch, but not moved.
    Stuck,
}

/// The lanes of one outbox.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// Everything up to here is in the cloud.
    acknowledged: u64,
    /// The live lane: it began after this number and has sent up to that one.
    live: Option<(u64, u64)>,
    live_was_last: bool,
}

impl Lanes {
    /// Where the cursor stands.
    #[must_use]
    pub fn new(acknowledged: u64) -> Self {
        Self { acknowledged, live: None, live_was_last: false }
    }

    /// Everything up to here is in the cloud.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How far the live lane is ahead, if it is open: it began after this number and has sent up to that one.
    #[must_use]
    pub fn live(&self) -> Option<(u64, u64)> {
        self.live
    }

    /// What to send next, in pages of so many events; `None` when the cloud has everything up to `end`.
    pub fn next(&mut self, end: u64, page: u64) -> Option<Send> {
        if self.live.is_some_and(|(begin, _)| self.acknowledged >= begin) {
            self.live = None;
        }
        if end <= self.acknowledged {
            return None;
        }
        if self.live.is_none() && end - self.acknowledged > BEHIND_PAGES * page.max(1) {
            self.live = Some((end, end));
            self.live_was_last = false;
        }
        let Some((begin, sent)) = self.live else {
            return Some(Send { after: self.acknowledged, until: end, live: false });
        };
        if end > sent && !self.live_was_last {
            return Some(Send { after: sent, until: end, live: true });
        }
        Some(Send { after: self.acknowledged, until: begin, live: false })
    }

    /// A batch did not arrive: the other lane may have its turn.
    pub fn on_failure(&mut self, send: Send) {
        self.live_was_last = send.live;
    }

    /// The cloud took a batch whose last event was `last`, and says what it has.
    pub fn on_answer(&mut self, send: Send, last: u64, answer: u64) -> Reached {
        self.live_was_last = send.live;
        let before = self.acknowledged;
        if send.live {
            if let Some((_, sent)) = &mut self.live {
                *sent = last.max(*sent);
            }
            if answer < before {
                return self.back(answer);
            }
            return Reached::Forward(before);
        }
        // What it may have from an earlier run is not counted until this run has sent it.
        let covered = match self.live {
            Some((begin, sent)) if last >= begin => sent.max(last),
            _ => last,
        };
        let reached = answer.min(covered);
        if reached < before {
            return self.back(reached);
        }
        if reached == before {
            return Reached::Stuck;
        }
        self.acknowledged = reached;
        Reached::Forward(reached)
    }

    fn back(&mut self, to: u64) -> Reached {
        // It may have forgotten what the live lane sent, too.
        *self = Self::new(to);
        Reached::Back(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lane_while_the_cloud_keeps_up() {
        let mut lanes = Lanes::new(10);
        assert_eq!(lanes.next(10, 5), None);
        let send = lanes.next(12, 5).unwrap();
        assert_eq!(send, Send { after: 10, until: 12, live: false });
        assert_eq!(lanes.on_answer(send, 12, 12), Reached::Forward(12));
        assert_eq!(lanes.next(12, 5), None);
    }

    #[test]
    fn live_events_take_turns_with_the_backlog_and_the_cursor_jumps_over_them() {
        let mut lanes = Lanes::new(0);
        let backlog = lanes.next(100, 10).unwrap();
        assert_eq!(backlog, Send { after: 0, until: 100, live: false });
        assert_eq!(lanes.on_answer(backlog, 10, 10), Reached::Forward(10));
        let live = lanes.next(103, 10).unwrap();
        assert_eq!(live, Send { after: 100, until: 103, live: true });
        assert_eq!(lanes.on_answer(live, 103, 10), Reached::Forward(10));
        // More has come, but it is the backlog's turn.
        let backlog = lanes.next(104, 10).unwrap();
        assert_eq!(backlog, Send { after: 10, until: 100, live: false });
        assert_eq!(lanes.on_answer(backlog, 95, 95), Reached::Forward(95));
        let live = lanes.next(104, 10).unwrap();
        assert_eq!(live, Send { after: 103, until: 104, live: true });
        assert_eq!(lanes.on_answer(live, 104, 95), Reached::Forward(95));
        let backlog = lanes.next(104, 10).unwrap();
        assert_eq!(backlog, Send { after: 95, until: 100, live: false });
        // The backlog has reached the live lane: everything is there.
        assert_eq!(lanes.on_answer(backlog, 100, 104), Reached::Forward(104));
        assert_eq!(lanes.next(104, 10), None);
        assert_eq!(lanes.live(), None);
    }

    #[test]
    fn an_acknowledgement_counts_only_what_was_sent() {
        let mut lanes = Lanes::new(0);
        let backlog = lanes.next(100, 10).unwrap();
        assert_eq!(
            lanes.on_answer(backlog, 10, 60),
            Reached::Forward(10),
            "11 to 60 were not sent by this run"
        );
        let backlog = lanes.next(100, 10).unwrap();
        assert_eq!(lanes.on_answer(backlog, 20, 10), Reached::Stuck);
        assert_eq!(lanes.on_answer(backlog, 20, 3), Reached::Back(3));
        assert_eq!(lanes.acknowledged(), 3);
    }
}
