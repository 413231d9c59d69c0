//! A short look-ahead: what a track looked like, told a moment later and better.
//!
//! Frames come out a fixed time after they went in. A track that is confirmed by then is shown from its first
//! sighting on, and one that was out of sight for a moment is shown where it must have been in between. Whoever must
//! know at once (the camera role) uses the [`Tracker`] itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::ids::TrackId;
use crate::time::StoreTime;

use super::tracker::blend;
use super::{Detection, Track, Tracker, TrackerConfig};

/// One frame that waits to be told.
#[derive(Debug, Clone)]
struct Waiting {
    time: StoreTime,
    /// Everybody seen in it, on trial or confirmed.
    seen: Vec<Track>,
}

/// A [`Tracker`] whose frames come out a fixed time later.
#[derive(Debug, Clone)]
pub struct DelayedTracker {
    tracker: Tracker,
    delay: Duration,
    waiting: VecDeque<Waiting>,
    confirmed: BTreeSet<TrackId>,
    /// Longer gaps than this are left open, seconds.
    max_gap_s: f64,
    last: BTreeMap<TrackId, (StoreTime, Track)>,
}

impl DelayedTracker {
    /// A tracker with this look-ahead.
    #[must_use]
    pub fn new(config: TrackerConfig, delay: Duration) -> Self {
        Self {
            tracker: Tracker::new(config),
            delay,
            waiting: VecDeque::new(),
            confirmed: BTreeSet::new(),
            max_gap_s: 2.0 * delay.as_secs_f64(),
            last: BTreeMap::new(),
        }
    }

    /// The tracker inside.
    #[must_use]
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Takes one frame; gives those that are old enough, oldest first.
    pub fn handle_frame(
        &mut self,
        time: StoreTime,
        detections: &[Detection],
    ) -> Vec<(StoreTime, Vec<Track>)> {
        let before = self.tracker.counters().frames;
        self.tracker.handle_frame(time, detections);
        if self.tracker.counters().frames == before {
            return Vec::new();
        }
        let mut seen = Vec::new();
        for f in self.tracker.followed() {
            if f.frames_unseen == 0 {
                seen.push(f.track());
                if f.confirmed {
                    self.confirmed.insert(f.id);
                }
            }
        }
        self.waiting.push_back(Waiting { time, seen });
        let mut told = Vec::new();
        while self.waiting.front().is_some_and(|w| w.time + self.delay <= time) {
            told.extend(self.tell());
        }
        told
    }

    /// The frames that still wait, at the end.
    pub fn finish(&mut self) -> Vec<(StoreTime, Vec<Track>)> {
        let mut told = Vec::new();
        while !self.waiting.is_empty() {
            told.extend(self.tell());
        }
        told
    }

    fn tell(&mut self) -> Option<(StoreTime, Vec<Track>)> {
        let frame = self.waiting.pop_front()?;
        let mut tracks: Vec<Track> =
            frame.seen.iter().filter(|t| self.confirmed.contains(&t.id)).copied().collect();
        for t in &tracks {
            self.last.insert(t.id, (frame.time, *t));
        }
        // Whoever was seen before and is seen again within the look-ahead was there in between.
        for (id, (then, old)) in &self.last {
            if *then == frame.time {
                continue;
            }
            let next =
                self.waiting.iter().find_map(|w| w.seen.iter().find(|t| t.id == *id).map(|t| (w.time, t)));
            if let Some((later, new)) = next {
                let gap = later.seconds_since(*then);
                if gap <= self.max_gap_s {
                    let u = frame.time.seconds_since(*then) / gap;
                    let bbox = blend(&old.bbox, &new.bbox, u);
                    let score = old.score.min(new.score);
                    tracks.push(Track { id: *id, bbox, seen: bbox, score });
                }
            }
        }
        let newest = frame.time;
        let keep = self.max_gap_s;
        self.last.retain(|_, (t, _)| newest.seconds_since(*t) <= keep);
        // Only who may still come up needs remembering.
        let (waiting, tracker) = (&self.waiting, &self.tracker);
        self.confirmed.retain(|id| {
            waiting.iter().any(|w| w.seen.iter().any(|t| t.id == *id))
                || tracker.followed().iter().any(|f| f.id == *id)
        });
        tracks.sort_by_key(|t| t.id);
        Some((frame.time, tracks))
    }
}
