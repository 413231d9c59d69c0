//! The receiver's side of the numbers: in order, each once, and what is missing is asked for. Sans-IO.
//!
//! A receiver takes events of a numbering in order only. What comes too early is dropped, because it comes again:
//! the source sends everything from the requested number on. So a receiver needs no memory for what came early,
//! and [`GapTracker::contiguous`] alone says what it has.
//!
//! Limits: [`MAX_SOURCES`] sources, [`EPOCHS_PER_SOURCE`] numberings of each; beyond that the oldest is forgotten,
//! and would be received once more if it ever spoke again.

use crate::payload::{Event, Resend, Watermark};
use std::collections::HashMap;
use uuid::Uuid;

/// Sources that a tracker knows at once. A store has tens.
pub const MAX_SOURCES: usize = 4_096;

/// Numberings that a tracker knows of each source.
pub const EPOCHS_PER_SOURCE: usize = 8;

/// A request that was not answered is repeated after this long.
pub const ASK_AGAIN_US: i64 = 1_000_000;

/// What to do with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one: take it.
    Accept,
    /// It was taken before: drop it. (The ledger acknowledges again: its acknowledgement may have been lost.)
    Duplicate,
    /// Something before it is missing: drop it, it comes again in order.
    Gap {
        /// First number that is missing.
        from_seq: u64,
        /// To be published; `None` when it was asked for a moment ago.
        resend: Option<Resend>,
    },
}

/// What to do with a watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkVerdict {
    /// All events it speaks of are here: use it.
    Complete,
    /// Events are missing. The tracker holds it back; see [`GapTracker::released`].
    Missing {
        /// To be published; `None` when it was asked for a moment ago.
        resend: Option<Resend>,
    },
    /// The source no longer has these events; the tracker goes on after them. To be logged. The watermark is held
    /// back: [`GapTracker::released`] gives it at once when nothing else is missing.
    Lost {
        /// First number that is lost.
        from_seq: u64,
        /// Last number that is lost.
        to_seq: u64,
    },
}

#[derive(Debug, Clone)]
struct Numbering {
    epoch: Uuid,
    /// Everything up to here has been taken.
    contiguous: u64,
    /// Which number was asked for last, and when.
    asked: Option<(u64, i64)>,
    last_used: u64,
}

#[derive(Debug, Clone, Default)]
struct Source {
    numberings: Vec<Numbering>,
    held: Option<Watermark>,
    last_used: u64,
}

/// Puts every source's numbers in order.
#[derive(Debug, Clone, Default)]
pub struct GapTracker {
    sources: HashMap<String, Source>,
    uses: u64,
}

impl GapTracker {
    /// Every numbering is expected from 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what has been taken of a numbering: after a restart, or when a transaction failed and what was
    /// accepted is to come again.
    pub fn resume(&mut self, source: &str, epoch: Uuid, contiguous_seq: u64) {
        let numbering = self.numbering(source, epoch);
        numbering.contiguous = contiguous_seq;
        numbering.asked = None;
    }

    /// Judges an event. `now_us` is any clock that runs evenly; it paces repeated requests.
    pub fn on_event(&mut self, event: &Event, now_us: i64) -> Verdict {
        let numbering = self.numbering(&event.source, event.epoch);
        let next = numbering.contiguous + 1;
        if event.seq < next {
            Verdict::Duplicate
        } else if event.seq == next {
            numbering.contiguous = next;
            Verdict::Accept
        } else {
            Verdict::Gap { from_seq: next, resend: numbering.ask(&event.source, now_us) }
        }
    }

    /// Judges a watermark, which also tells of events that were lost at the end, where no later event shows it.
    pub fn on_watermark(&mut self, mark: &Watermark, now_us: i64) -> MarkVerdict {
        let Some(epoch) = mark.epoch else { return MarkVerdict::Complete };
        let numbering = self.numbering(&mark.source, epoch);
        let next = numbering.contiguous + 1;
        let verdict = match mark.first_seq {
            Some(first) if first > next => {
                numbering.contiguous = first - 1;
                MarkVerdict::Lost { from_seq: next, to_seq: first - 1 }
            }
            _ if mark.last_seq < next => MarkVerdict::Complete,
            _ => MarkVerdict::Missing { resend: numbering.ask(&mark.source, now_us) },
        };
        if let Some(source) = self.sources.get_mut(&mark.source) {
            source.held = (verdict != MarkVerdict::Complete).then(|| mark.clone());
        }
        verdict
    }

    /// The watermark of a source that was held back and whose events are all here now. To be asked after each
    /// [`Verdict::Accept`] and after [`MarkVerdict::Lost`].
    pub fn released(&mut self, source: &str) -> Option<Watermark> {
        let known = self.sources.get_mut(source)?;
        let mark = known.held.as_ref()?;
        let complete = mark.epoch.is_none_or(|epoch| {
            known.numberings.iter().any(|n| n.epoch == epoch && n.contiguous >= mark.last_seq)
        });
        if complete { known.held.take() } else { None }
    }

    /// The number up to which everything has been taken: what an acknowledgement may say once it is durable.
    #[must_use]
    pub fn contiguous(&self, source: &str, epoch: Uuid) -> u64 {
        let known = self.sources.get(source).and_then(|s| s.numberings.iter().find(|n| n.epoch == epoch));
        known.map_or(0, |n| n.contiguous)
    }

    fn numbering(&mut self, name: &str, epoch: Uuid) -> &mut Numbering {
        self.uses += 1;
        let used = self.uses;
        if !self.sources.contains_key(name) && self.sources.len() >= MAX_SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, s)| s.last_used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                tracing::warn!(forgotten = oldest, "more sources than a receiver keeps track of");
                self.sources.remove(&oldest);
            }
        }
        let source = self.sources.entry(name.to_owned()).or_default();
        source.last_used = used;
        let at = match source.numberings.iter().position(|n| n.epoch == epoch) {
            Some(at) => at,
            None => {
                if source.numberings.len() >= EPOCHS_PER_SOURCE {
                    let oldest = source.numberings.iter().enumerate().min_by_key(|(_, n)| n.last_used);
                    if let Some((oldest, _)) = oldest {
                        source.numberings.swap_remove(oldest);
                    }
                }
                source.numberings.push(Numbering { epoch, contiguous: 0, asked: None, last_used: used });
                source.numberings.len() - 1
            }
        };
        let numbering = &mut source.numberings[at];
        numbering.last_used = used;
        numbering
    }
}

impl Numbering {
    fn ask(&mut self, source: &str, now_us: i64) -> Option<Resend> {
        let from_seq = self.contiguous + 1;
        let recent = self.asked.is_some_and(|(asked, at_us)| {
            asked == from_seq && (0..ASK_AGAIN_US).contains(&now_us.saturating_sub(at_us))
        });
        if recent {
            return None;
        }
        self.asked = Some((from_seq, now_us));
        Some(Resend { source: source.to_owned(), epoch: self.epoch, from_seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{EventBody, VisitOpened};

    const EPOCH: Uuid = Uuid::from_u128(1);

    fn event(epoch: Uuid, seq: u64) -> Event {
        let opened = VisitOpened { visit: "v".to_owned(), credential: None, party: 1 };
        Event { source: "floor-1".to_owned(), epoch, seq, time_us: 0, body: EventBody::VisitOpened(opened) }
    }

    fn mark(last_seq: u64, first_seq: u64) -> Watermark {
        Watermark {
            source: "floor-1".to_owned(),
            time_us: 1,
            epoch: Some(EPOCH),
            last_seq,
            first_seq: Some(first_seq),
            finished: false,
        }
    }

    fn asked(from_seq: u64) -> Option<Resend> {
        Some(Resend { source: "floor-1".to_owned(), epoch: EPOCH, from_seq })
    }

    #[test]
    fn each_number_is_taken_once_and_in_order() {
        let mut tracker = GapTracker::new();
        assert_eq!(tracker.on_event(&event(EPOCH, 1), 0), Verdict::Accept);
        assert_eq!(tracker.on_event(&event(EPOCH, 1), 0), Verdict::Duplicate);
        assert_eq!(tracker.on_event(&event(EPOCH, 3), 0), Verdict::Gap { from_seq: 2, resend: asked(2) });
        assert_eq!(tracker.on_event(&event(EPOCH, 4), 10), Verdict::Gap { from_seq: 2, resend: None });
        let later = ASK_AGAIN_US;
        assert_eq!(tracker.on_event(&event(EPOCH, 5), later), Verdict::Gap { from_seq: 2, resend: asked(2) });
        for seq in 2..=5 {
            assert_eq!(tracker.on_event(&event(EPOCH, seq), later), Verdict::Accept);
        }
        assert_eq!(tracker.contiguous("floor-1", EPOCH), 5);
        assert_eq!(tracker.on_event(&event(Uuid::from_u128(2), 1), 0), Verdict::Accept, "a new numbering");
        assert_eq!(tracker.contiguous("floor-1", EPOCH), 5);
    }

    #[test]
    fn a_ledger_resumes_where_its_database_ends() {
        let mut tracker = GapTracker::new();
        tracker.resume("floor-1", EPOCH, 7);
        assert_eq!(tracker.on_event(&event(EPOCH, 7), 0), Verdict::Duplicate);
        assert_eq!(tracker.on_event(&event(EPOCH, 8), 0), Verdict::Accept);
        tracker.resume("floor-1", EPOCH, 7);
        assert_eq!(tracker.on_event(&event(EPOCH, 8), 0), Verdict::Accept, "after a failed transaction");
    }

    #[test]
    fn a_watermark_waits_for_its_events() {
        let mut tracker = GapTracker::new();
        assert_eq!(tracker.on_watermark(&mark(0, 1), 0), MarkVerdict::Complete);
        assert_eq!(tracker.on_watermark(&mark(2, 1), 0), MarkVerdict::Missing { resend: asked(1) });
        assert_eq!(tracker.on_watermark(&mark(2, 1), 1), MarkVerdict::Missing { resend: None });
        assert_eq!(tracker.on_event(&event(EPOCH, 1), 2), Verdict::Accept);
        assert_eq!(tracker.released("floor-1"), None);
        assert_eq!(tracker.on_event(&event(EPOCH, 2), 2), Verdict::Accept);
        assert_eq!(tracker.released("floor-1"), Some(mark(2, 1)));
        assert_eq!(tracker.released("floor-1"), None);
        let camera = Watermark::unnumbered("cam1", 5, false);
        assert_eq!(tracker.on_watermark(&camera, 0), MarkVerdict::Complete);
    }

    #[test]
    fn what_a_source_no_longer_has_is_not_waited_for() {
        let mut tracker = GapTracker::new();
        assert_eq!(tracker.on_watermark(&mark(4, 5), 0), MarkVerdict::Lost { from_seq: 1, to_seq: 4 });
        assert_eq!(tracker.released("floor-1"), Some(mark(4, 5)));
        assert_eq!(tracker.on_event(&event(EPOCH, 5), 0), Verdict::Accept);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tracker = GapTracker::new();
        for n in 0..100 {
            tracker.on_event(&event(Uuid::from_u128(n), 1), 0);
        }
        assert_eq!(tracker.sources["floor-1"].numberings.len(), EPOCHS_PER_SOURCE);
        for n in 0..2 * MAX_SOURCES {
            tracker.resume(&format!("s{n}"), EPOCH, 1);
        }
        assert_eq!(tracker.sources.len(), MAX_SOURCES);
    }
}
