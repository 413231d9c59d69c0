//! Tracks cut where somebody may have been mistaken for somebody else.
//!
//! A tracker goes on through a meeting of two people as well as it can, and sometimes comes out with the wrong one. So a
//! track is cut into tracklets there: while two boxes overlap, and while somebody is out of sight, a track belongs to no
//! tracklet; afterwards it begins a new one. Each tracklet's looks are averaged over the frames in which nobody covers
//! it, and compared with those of earlier tracklets. The floor gets the numbers of the comparison and settles who is
//! who; what people look like stays here, for [`TrackletsConfig::remember_s`] at most.

use std::collections::{BTreeMap, VecDeque};

use crate::geometry::PixelBox;
use crate::ids::{TrackId, TrackletId};
use crate::time::StoreTime;

use super::tracker::{Followed, Tracker};
use super::{Alike, Appearance, Tracklet};

/// Where tracks are cut, and how looks are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackletsConfig {
    /// Two boxes that overlap by more, as intersection over union, may be mistaken for each other.
    pub meet_iou: f64,
    /// Whoever is unseen for longer may come back as somebody else, seconds.
    pub unseen_s: f64,
    /// After a meeting, this long apart before a new tracklet begins, seconds.
    pub apart_s: f64,
    /// An association stranger than this (squared Mahalanobis distance of the box) may have been somebody else.
    pub strange_d2: f64,
    /// Looks of this long ago are forgotten, seconds.
    pub remember_s: f64,
    /// Clear looks that a tracklet needs before it is compared.
    pub looks_min: u32,
}

impl Default for TrackletsConfig {
    fn default() -> Self {
        Self {
            meet_iou: 0.2,
            unseen_s: 0.35,
            apart_s: 0.15,
            strange_d2: 16.0,
            remember_s: 90.0,
            looks_min: 5,
        }
    }
}

/// Most tracklets whose looks are remembered.
const MOST_REMEMBERED: usize = 512;
/// Whoever went out of sight behind somebody may come out as them for this long, seconds.
const HIDDEN_S: f64 = 4.0;
/// Looks are compared when their number reaches `looks_min` and at every doubling until here.
const LOOKS_ENOUGH: u32 = 80;

/// Distance of two average looks of one person: median and spread of its logarithm. Measured on PETS09-S2L1, average
/// looks of 2 s, 4 to 12 s apart.
const ONE: (f64, f64) = (0.175, 0.42);
/// The same of two people.
const TWO: (f64, f64) = (0.45, 0.37);
/// What the looks of two people in one tracklet are worth.
const MIXED_SHARE: f64 = 0.5;
/// No comparison says more than this, nats: light changes, and clothes are alike.
const MOST_SAID: f64 = 7.0;

/// A stretch of somebody's track.
#[derive(Debug, Clone)]
struct Piece {
    id: TrackletId,
    began: StoreTime,
    last_seen: StoreTime,
    looks: u32,
    appearance: Option<Appearance>,
    /// Somebody stepped out from behind this one: it may have shown either of the two.
    mixed: bool,
}

/// What is known of a track.
#[derive(Debug, Clone, Default)]
struct Cut {
    piece: Option<Piece>,
    /// Since when nobody is near.
    apart_since: Option<StoreTime>,
    last_seen: Option<StoreTime>,
    /// Whom this one may be hiding, and since when.
    hides: Option<(TrackId, StoreTime)>,
}

/// Cuts the tracks of one camera's [`Tracker`] into tracklets. Deterministic; never reads a clock.
#[derive(Debug, Clone)]
pub struct Tracklets {
    config: TrackletsConfig,
    cuts: BTreeMap<TrackId, Cut>,
    past: VecDeque<Piece>,
    next_id: u32,
}

impl Tracklets {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: TrackletsConfig) -> Self {
        Self { config, cuts: BTreeMap::new(), past: VecDeque::new(), next_id: 1 }
    }

    /// Takes what the tracker made of a frame; gives the tracklet of each confirmed track that was seen in it, in the
    /// order of [`Tracker::tracks`]. `None` where it cannot be told who it is.
    pub fn handle_frame(&mut self, time: StoreTime, tracker: &Tracker) -> Vec<Option<Tracklet>> {
        self.forget(time);
        let followed = tracker.followed();
        let mut told = Vec::new();
        // Who steps out from behind somebody may be either of the two.
        let fresh: Vec<PixelBox> = followed
            .iter()
            .filter(|f| f.confirmed && !self.cuts.contains_key(&f.id))
            .map(|f| f.last_box)
            .collect();
        for f in followed.iter().filter(|f| f.confirmed && f.frames_unseen == 0) {
            let met: Vec<&Followed> =
                followed.iter().filter(|o| o.id != f.id && o.confirmed && self.meets(f, o)).collect();
            let cut = self.cuts.entry(f.id).or_default();
            if let Some(hidden) = met.iter().find(|o| o.frames_unseen > 0) {
                cut.hides = Some((hidden.id, hidden.last_seen));
            }
            cut.hides = cut.hides.filter(|(hidden, since)| {
                let back = followed.iter().any(|o| o.id == *hidden && o.frames_unseen == 0);
                !back && time.seconds_since(*since) <= HIDDEN_S
            });
            let unseen_s = cut.last_seen.map_or(f64::INFINITY, |t| time.seconds_since(t));
            cut.last_seen = Some(time);
            let parted = fresh.iter().any(|b| *b != f.last_box && beside(b, &f.last_box));
            let doubtful =
                parted || !met.is_empty() || cut.hides.is_some() || f.strangeness > self.config.strange_d2;
            if let Some(piece) = cut.piece.as_mut().filter(|_| parted) {
                piece.mixed = true;
            }
            if doubtful || unseen_s > self.config.unseen_s {
                cut.apart_since = None;
                self.past.extend(cut.piece.take().filter(|p| p.appearance.is_some()));
            }
            if doubtful {
                told.push(None);
                continue;
            }
            let apart_since = *cut.apart_since.get_or_insert(time);
            if cut.piece.is_none() && time.seconds_since(apart_since) < self.config.apart_s {
                told.push(None);
                continue;
            }
            let next_id = &mut self.next_id;
            let piece = cut.piece.get_or_insert_with(|| {
                let id = TrackletId(*next_id);
                *next_id = next_id.wrapping_add(1);
                Piece { id, began: time, last_seen: time, looks: 0, appearance: None, mixed: false }
            });
            piece.last_seen = time;
            let mut news = false;
            if let Some(look) = &f.seen_look {
                piece.looks = piece.looks.saturating_add(1);
                match &mut piece.appearance {
                    Some(mean) => mean.learn(look, 1.0 / piece.looks as f32),
                    None => piece.appearance = Some(*look),
                }
                let doubled = piece.looks.is_multiple_of(self.config.looks_min.max(1))
                    && (piece.looks / self.config.looks_min.max(1)).is_power_of_two();
                news = doubled && piece.looks <= LOOKS_ENOUGH;
            }
            let alike = news.then(|| compare(piece, &self.past, self.config.looks_min));
            told.push(Some(Tracklet { id: piece.id, alike }));
        }
        while self.past.len() > MOST_REMEMBERED {
            self.past.pop_front();
        }
        told
    }

    fn forget(&mut self, time: StoreTime) {
        let config = self.config;
        let past = &mut self.past;
        self.cuts.retain(|_, cut| {
            let unseen_s = cut.last_seen.map_or(f64::INFINITY, |t| time.seconds_since(t));
            if unseen_s > config.unseen_s {
                past.extend(cut.piece.take().filter(|p| p.appearance.is_some()));
            }
            unseen_s <= config.remember_s
        });
        past.retain(|p| time.seconds_since(p.last_seen) <= config.remember_s);
    }

    fn meets(&self, a: &Followed, b: &Followed) -> bool {
        let other = if b.frames_unseen == 0 { b.last_box } else { b.filter.bbox() };
        a.last_box.iou(&other) > self.config.meet_iou
    }
}

/// Are two figures within a body's width of each other in the image?
fn beside(a: &PixelBox, b: &PixelBox) -> bool {
    let gap = |low_a: f64, size_a: f64, low_b: f64, size_b: f64| {
        (low_a - (low_b + size_b)).max(low_b - (low_a + size_a))
    };
    gap(a.x, a.w, b.x, b.w) < 0.5 * (a.w + b.w) && gap(a.y, a.h, b.y, b.h) < 0.0
}

fn compare(piece: &Piece, past: &VecDeque<Piece>, looks_min: u32) -> Vec<Alike> {
    let Some(mine) = &piece.appearance else { return Vec::new() };
    past.iter()
        .filter(|p| p.looks >= looks_min && p.last_seen <= piece.began)
        .filter_map(|p| {
            let share = if p.mixed { MIXED_SHARE } else { 1.0 };
            let log_odds = share * log_odds(mine.distance(p.appearance.as_ref()?));
            Some(Alike { tracklet: p.id, log_odds })
        })
        .collect()
}

/// What a distance of two looks says for one person against two: the ratio of two log-normal densities.
fn log_odds(distance: f64) -> f64 {
    let log = distance.max(1e-3).ln();
    let density = |(median, spread): (f64, f64)| -0.5 * ((log - median.ln()) / spread).powi(2) - spread.ln();
    (density(ONE) - density(TWO)).clamp(-MOST_SAID, MOST_SAID)
}
