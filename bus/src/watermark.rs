//! How far event time may be released: the minimum of the sources' watermarks. Sans-IO.
//!
//! A watermark says "nothing older will follow". What is older than every expected source's watermark can be put in
//! order and used. In replay one waits for every source for ever. Live, a source whose watermark has not advanced
//! for [`MinWatermark`]'s lateness is left out until it advances again; what it sends then may be too late.

use crate::payload::Watermark;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    time_us: Option<i64>,
    finished: bool,
    /// When its watermark last advanced, on the caller's clock; before it has spoken, since when it is expected.
    advanced_us: Option<i64>,
}

/// The minimum of the watermarks of the expected sources.
#[derive(Debug, Clone)]
pub struct MinWatermark {
    sources: BTreeMap<String, Source>,
    lateness_us: Option<i64>,
    released_us: Option<i64>,
}

impl MinWatermark {
    /// Expects these sources. `lateness_us` is how long, on the clock of `now_us`, a source may stand still before
    /// it is left out; `None` waits for ever.
    #[must_use]
    pub fn new(expected: impl IntoIterator<Item = String>, lateness_us: Option<i64>) -> Self {
        let sources = expected.into_iter().map(|name| (name, Source::default())).collect();
        Self { sources, lateness_us, released_us: None }
    }

    /// Takes a watermark. One of a source that is not expected makes it expected, unless it is finished.
    pub fn observe(&mut self, mark: &Watermark, now_us: i64) {
        if mark.finished && !self.sources.contains_key(&mark.source) {
            return;
        }
        let source = self.sources.entry(mark.source.clone()).or_default();
        let advances = source.time_us.is_none_or(|time_us| mark.time_us > time_us);
        if advances {
            source.time_us = Some(mark.time_us);
            source.advanced_us = Some(now_us);
            // A source that goes on after its end was started again.
            source.finished = mark.finished;
        } else if mark.finished && source.time_us == Some(mark.time_us) {
            source.finished = true;
        }
    }

    /// Expects one more source.
    pub fn expect(&mut self, source: &str, now_us: i64) {
        self.sources
            .entry(source.to_owned())
            .or_insert(Source { advanced_us: Some(now_us), ..Source::default() });
    }

    /// No longer expects a source: it was taken out of the store.
    pub fn forget(&mut self, source: &str) {
        self.sources.remove(source);
    }

    /// The event time that may be released, never less than before. `None` while an expected source has not
    /// spoken; `i64::MAX` when all are finished.
    pub fn min_us(&mut self, now_us: i64) -> Option<i64> {
        let lateness_us = self.lateness_us;
        let mut min = None;
        for source in self.sources.values_mut().filter(|s| !s.finished) {
            let since = *source.advanced_us.get_or_insert(now_us);
            if is_late(lateness_us, since, now_us) {
                continue;
            }
            match source.time_us {
                None => return self.released_us,
                Some(time_us) => min = Some(min.map_or(time_us, |m: i64| m.min(time_us))),
            }
        }
        if self.all_finished() {
            min = Some(i64::MAX);
        }
        self.released_us = self.released_us.max(min);
        self.released_us
    }

    /// Have all expected sources reached their end? Not when none is expected.
    #[must_use]
    pub fn all_finished(&self) -> bool {
        !self.sources.is_empty() && self.sources.values().all(|s| s.finished)
    }

    /// Who is left out now for standing still.
    #[must_use]
    pub fn late(&self, now_us: i64) -> Vec<String> {
        let late = |s: &Source| {
            !s.finished && s.advanced_us.is_some_and(|since| is_late(self.lateness_us, since, now_us))
        };
        self.sources.iter().filter(|(_, s)| late(s)).map(|(name, _)| name.clone()).collect()
    }

    /// Who has not spoken at all yet: what a start waits for.
    #[must_use]
    pub fn silent(&self) -> Vec<String> {
        let silent = |s: &Source| !s.finished && s.time_us.is_none();
        self.sources.iter().filter(|(_, s)| silent(s)).map(|(name, _)| name.clone()).collect()
    }
}

fn is_late(lateness_us: Option<i64>, since_us: i64, now_us: i64) -> bool {
    lateness_us.is_some_and(|lateness_us| now_us.saturating_sub(since_us) > lateness_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(source: &str, time_us: i64, finished: bool) -> Watermark {
        Watermark::unnumbered(source, time_us, finished)
    }

    fn two(lateness_us: Option<i64>) -> MinWatermark {
        MinWatermark::new(["a".to_owned(), "b".to_owned()], lateness_us)
    }

    #[test]
    fn the_slowest_source_decides_and_time_never_goes_back() {
        let mut min = two(None);
        min.observe(&mark("a", 10, false), 0);
        assert_eq!(min.min_us(1_000_000_000), None);
        assert_eq!(min.silent(), ["b"]);
        min.observe(&mark("b", 5, false), 0);
        assert_eq!(min.min_us(0), Some(5));
        min.observe(&mark("b", 3, false), 0);
        min.observe(&mark("b", 20, false), 0);
        assert_eq!(min.min_us(0), Some(10));
        min.expect("c", 0);
        min.observe(&mark("c", 1, false), 0);
        assert_eq!(min.min_us(0), Some(10));
        min.forget("c");
        min.forget("a");
        assert_eq!(min.min_us(0), Some(20));
    }

    #[test]
    fn finished_sources_hold_nothing_up() {
        let mut min = two(None);
        min.observe(&mark("a", 10, true), 0);
        min.observe(&mark("b", 20, false), 0);
        assert_eq!(min.min_us(0), Some(20));
        assert!(!min.all_finished());
        min.observe(&mark("b", 20, true), 0);
        assert_eq!(min.min_us(0), Some(i64::MAX));
        assert!(min.all_finished());
        assert!(!MinWatermark::new([], None).all_finished());
    }

    #[test]
    fn live_a_source_that_stands_still_is_left_out_until_it_advances() {
        let mut min = two(Some(100));
        min.observe(&mark("a", 10, false), 0);
        assert_eq!(min.min_us(0), None);
        assert_eq!(min.min_us(50), None);
        min.observe(&mark("a", 60, false), 60);
        assert_eq!(min.min_us(101), Some(60), "b has said nothing for 101 us");
        assert_eq!(min.late(101), ["b"]);
        min.observe(&mark("b", 30, false), 110);
        min.observe(&mark("a", 120, false), 120);
        assert_eq!(min.min_us(120), Some(60));
        min.observe(&mark("b", 90, false), 130);
        assert_eq!(min.min_us(130), Some(90));
        assert_eq!(min.min_us(10_000), Some(90), "with everybody gone time stands still");
    }
}
