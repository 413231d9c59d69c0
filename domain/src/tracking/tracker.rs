//! The tracker itself.

use crate::geometry::PixelBox;
use crate::ids::TrackId;
use crate::time::StoreTime;

use super::assignment::Assignment;
use super::config::TrackerConfig;
use super::motion::BoxFilter;
use super::scores::Scores;
use super::{Appearance, Detection, Track};

/// What a tracker has met so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackerCounters {
    /// Frames handled.
    pub frames: u64,
    /// Frames ignored because their time was not later than the one before.
    pub frames_out_of_order: u64,
    /// Detections handed over.
    pub detections: u64,
    /// Detections dropped for a box or score that is no number, or a box without area.
    pub bad_detections: u64,
    /// Tracks begun, confirmed or not.
    pub tracks_begun: u64,
}

/// A detection with what it looks like, where that is known.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    detection: Detection,
    /// Its score, relative to the detector's own where the thresholds are.
    score: f64,
    appearance: Option<Appearance>,
    /// Does no other detection cover a good part of it?
    clear: bool,
}

/// Somebody followed, confirmed or on trial.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) id: TrackId,
    pub(super) filter: BoxFilter,
    /// The filter as it was after the last detection, for the re-update after a gap.
    at_last: BoxFilter,
    pub(super) last_box: PixelBox,
    pub(super) last_seen: StoreTime,
    pub(super) frames_unseen: u32,
    pub(super) hits: u32,
    pub(super) score: f64,
    pub(super) confirmed: bool,
    appearance: Option<Appearance>,
    /// How often the appearance was learned.
    looks: u32,
    /// How the last detection looks, where nobody covers it.
    pub(super) seen_look: Option<Appearance>,
    /// Squared Mahalanobis distance of the last detection from where it was expected.
    pub(super) strangeness: f64,
}

/// Follows people through one camera's frames. Deterministic; never reads a clock.
#[derive(Debug, Clone)]
pub struct Tracker {
    config: TrackerConfig,
    followed: Vec<Followed>,
    next_id: u32,
    last_frame: Option<StoreTime>,
    counters: TrackerCounters,
    scores: Scores,
    assignment: Assignment,
    strong: Vec<Sighting>,
    weak: Vec<Sighting>,
    rows: Vec<usize>,
    taken: Vec<bool>,
    tracks: Vec<Track>,
}

impl Tracker {
    /// A tracker that has seen nothing yet.
    #[must_use]
    pub fn new(config: TrackerConfig) -> Self {
        Self {
            config,
            followed: Vec::new(),
            next_id: 1,
            last_frame: None,
            counters: TrackerCounters::default(),
            scores: Scores::default(),
            assignment: Assignment::default(),
            strong: Vec::new(),
            weak: Vec::new(),
            rows: Vec::new(),
            taken: Vec::new(),
            tracks: Vec::new(),
        }
    }

    /// What it has met so far.
    #[must_use]
    pub fn counters(&self) -> TrackerCounters {
        self.counters
    }

    /// The confirmed tracks that were seen in the last frame.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Everybody followed, seen or not, confirmed or on trial.
    pub(super) fn followed(&self) -> &[Followed] {
        &self.followed
    }

    /// Takes one frame's detections; gives the confirmed tracks that were seen in it.
    ///
    /// Times must rise; a frame that is not later than the one before is ignored and counted.
    pub fn handle_frame(&mut self, time: StoreTime, detections: &[Detection]) -> &[Track] {
        self.handle_looks(time, detections, &[])
    }

    /// The same with what each detection looks like: people who pass each other in different clothes keep their
    /// tracks. `appearances` go with the detections by position; the list may be shorter.
    pub fn handle_looks(
        &mut self,
        time: StoreTime,
        detections: &[Detection],
        appearances: &[Option<Appearance>],
    ) -> &[Track] {
        self.tracks.clear();
        let dt = match self.last_frame {
            Some(last) if time <= last => {
                self.counters.frames_out_of_order += 1;
                return &self.tracks;
            }
            Some(last) => time.seconds_since(last),
            None => 0.0,
        };
        self.last_frame = Some(time);
        self.counters.frames += 1;
        self.sort_detections(detections, appearances);
        self.forget(time);
        let noise = self.config.noise;
        for f in &mut self.followed {
            f.frames_unseen += 1;
            f.filter.predict(dt, &noise, f.frames_unseen > 1);
        }
        self.associate(time);
        for f in self.followed.iter().filter(|f| f.confirmed && f.frames_unseen == 0) {
            self.tracks.push(f.track());
        }
        &self.tracks
    }

    /// Moves those seen in the last frame on to `time` without looking for people: by as much as `shift` says that a
    /// box has moved since (dx, dy, pixels; it is told the box and what to expect), else by their own movement. Gives
    /// where they are then.
    ///
    /// For frames in which the detector does not run. Nobody is confirmed, lost or found by it; times must rise.
    pub fn carry(
        &mut self,
        time: StoreTime,
        mut shift: impl FnMut(&PixelBox, (f64, f64)) -> Option<(f64, f64)>,
    ) -> &[Track] {
        self.tracks.clear();
        let dt = match self.last_frame {
            Some(last) if time > last => time.seconds_since(last),
            _ => {
                self.counters.frames_out_of_order += 1;
                return &self.tracks;
            }
        };
        self.last_frame = Some(time);
        let noise = self.config.noise;
        for f in &mut self.followed {
            let seen = f.frames_unseen == 0;
            f.filter.predict(dt, &noise, !seen);
            if !seen {
                continue;
            }
            // The last box goes as the believed one does, unless it is seen to go elsewhere.
            let (now, then) = (f.filter.bbox(), f.at_last.bbox());
            let middle = |b: &PixelBox| (b.x + b.w / 2.0, b.y + b.h / 2.0);
            let guess = (middle(&now).0 - middle(&then).0, middle(&now).1 - middle(&then).1);
            let (x, y) = shift(&f.last_box, guess).unwrap_or(guess);
            f.last_box.x += x;
            f.last_box.y += y;
            f.filter.correct_doubted(&f.last_box, &noise, CARRIED_NOISE);
            f.at_last = f.filter;
            f.last_seen = time;
            f.seen_look = None;
            if f.confirmed {
                self.tracks.push(f.track());
            }
        }
        &self.tracks
    }

    /// Is anybody on trial, and was seen in the last frame?
    #[must_use]
    pub fn on_trial(&self) -> bool {
        self.followed.iter().any(|f| !f.confirmed && f.frames_unseen == 0)
    }

    fn sort_detections(&mut self, detections: &[Detection], appearances: &[Option<Appearance>]) {
        self.counters.detections += detections.len() as u64;
        self.strong.clear();
        self.weak.clear();
        let sure = if self.config.relative_scores {
            for d in detections.iter().filter(|d| d.score.is_finite()) {
                self.scores.add(d.score);
            }
            self.scores.sure()
        } else {
            1.0
        };
        for (i, d) in detections.iter().enumerate() {
            let score = (d.score / sure).min(1.0);
            let sighting = |d: &Detection| {
                let covered = |o: &Detection| o.bbox.overlap_px2(&d.bbox) > COVERED * d.bbox.area_px2();
                let clear = !detections.iter().enumerate().any(|(j, o)| j != i && covered(o));
                Sighting { detection: *d, score, appearance: appearances.get(i).copied().flatten(), clear }
            };
            if !d.bbox.is_valid() || !d.score.is_finite() || d.bbox.area_px2() > 1e12 {
                self.counters.bad_detections += 1;
            } else if score >= self.config.strong_score {
                self.strong.push(sighting(d));
            } else if score >= self.config.weak_score {
                self.weak.push(sighting(d));
            }
        }
    }

    /// Drops whoever has been out of sight for too long, and trials that were not seen again.
    fn forget(&mut self, time: StoreTime) {
        let config = &self.config;
        self.followed.retain(|f| {
            let unseen_s = time.seconds_since(f.last_seen);
            if f.confirmed {
                unseen_s <= config.keep_s
            } else {
                unseen_s <= config.trial_keep_s || f.frames_unseen == 0
            }
        });
    }

    fn associate(&mut self, time: StoreTime) {
        // 1. Strong detections to everybody confirmed; 2. the weak to those seen of late; 3. what is left of the
        // strong to people on trial; 4. what nobody explains is new.
        let mut strong = std::mem::take(&mut self.strong);
        let mut weak = std::mem::take(&mut self.weak);
        self.match_up(time, &mut strong, |f| f.confirmed);
        let recent = self.config.weak_recent_frames;
        self.match_up(time, &mut weak, |f| f.confirmed && f.frames_unseen <= recent);
        self.match_up(time, &mut strong, |f| !f.confirmed);
        for d in &strong {
            if d.score >= self.config.birth_score {
                self.begin(time, d);
            }
        }
        self.strong = strong;
        self.weak = weak;
    }

    fn match_up(
        &mut self,
        time: StoreTime,
        detections: &mut Vec<Sighting>,
        wanted: impl Fn(&Followed) -> bool,
    ) {
        self.rows.clear();
        self.rows.extend(
            (0..self.followed.len())
                .filter(|i| self.followed[*i].frames_unseen > 0 && wanted(&self.followed[*i])),
        );
        if self.rows.is_empty() || detections.is_empty() {
            return;
        }
        let config = &self.config;
        self.assignment.reset(self.rows.len(), detections.len());
        for (row, i) in self.rows.iter().enumerate() {
            let f = &self.followed[*i];
            for (column, d) in detections.iter().enumerate() {
                if let Some(cost) = f.unlikeness(d, config) {
                    self.assignment.set(row, column, cost);
                }
            }
        }
        let limit = 1.0 - config.least_likeness;
        self.take_pairs(time, detections, limit);
    }

    fn take_pairs(&mut self, time: StoreTime, detections: &mut Vec<Sighting>, limit: f64) {
        self.taken.clear();
        self.taken.resize(detections.len(), false);
        let pairs = self.assignment.solve(limit);
        for (row, pair) in pairs.iter().enumerate() {
            let Some(column) = *pair else { continue };
            self.taken[column] = true;
            self.followed[self.rows[row]].see(time, &detections[column], &self.config);
        }
        let mut column = 0;
        detections.retain(|_| {
            column += 1;
            !self.taken[column - 1]
        });
    }

    fn begin(&mut self, time: StoreTime, sighting: &Sighting) {
        let d = &sighting.detection;
        let filter = BoxFilter::new(&d.bbox, &self.config.noise);
        self.followed.push(Followed {
            id: TrackId(self.next_id),
            filter,
            at_last: filter,
            last_box: d.bbox,
            last_seen: time,
            frames_unseen: 0,
            hits: 1,
            score: d.score,
            confirmed: self.config.confirm_hits <= 1,
            appearance: sighting.appearance.filter(|_| sighting.clear),
            looks: 1,
            seen_look: None,
            strangeness: 0.0,
        });
        self.next_id = self.next_id.wrapping_add(1);
        self.counters.tracks_begun += 1;
    }
}

impl Followed {
    /// This track as of the frame that was just handled.
    pub(super) fn track(&self) -> Track {
        Track { id: self.id, bbox: self.filter.bbox(), seen: self.last_box, score: self.score }
    }

    /// One minus the overlap of the grown boxes, modulated by how well they agree in height.
    ///
    /// Where both looks are known, they decide by [`TrackerConfig::looks_share`].
    fn unlikeness(&self, sighting: &Sighting, config: &TrackerConfig) -> Option<f64> {
        let d = &sighting.detection;
        let here = self.filter.bbox();
        let overlap = grown(&here, config.grow).iou(&grown(&d.bbox, config.grow));
        if overlap < config.least_overlap || self.filter.distance2(&d.bbox, &config.noise) > config.gate_d2 {
            return None;
        }
        let (end, seen_end) = (here.y + here.h, d.bbox.y + d.bbox.h);
        let shared = end.min(seen_end) - here.y.max(d.bbox.y);
        let spanned = end.max(seen_end) - here.y.min(d.bbox.y);
        let place = 1.0 - overlap * (shared / spanned).max(0.0);
        Some(match (&self.appearance, &sighting.appearance) {
            (Some(known), Some(seen)) if self.looks >= LOOKS_MIN => {
                let looks = (known.distance(seen) / STRANGE).min(1.0);
                (1.0 - config.looks_share) * place + config.looks_share * looks
            }
            _ => place,
        })
    }

    fn learn_look(&mut self, sighting: &Sighting) {
        let Some(seen) = sighting.appearance.filter(|_| sighting.clear) else { return };
        match &mut self.appearance {
            // The first looks count alike, later ones fade.
            Some(known) => known.learn(&seen, LEARNING.max(1.0 / (self.looks as f32 + 1.0))),
            None => self.appearance = Some(seen),
        }
        self.looks = self.looks.saturating_add(1);
    }

    fn see(&mut self, time: StoreTime, sighting: &Sighting, config: &TrackerConfig) {
        let d = &sighting.detection;
        self.learn_look(sighting);
        let noise = &config.noise;
        self.seen_look = sighting.appearance.filter(|_| sighting.clear);
        self.strangeness = self.filter.distance2(&d.bbox, noise);
        if self.frames_unseen > 1 {
            // Observation-centric re-update (OC-SORT, Cao et al., CVPR 2023): walk the gap again along the straight
            // line between the two sightings.
            let gap_s = time.seconds_since(self.last_seen);
            let steps = self.frames_unseen.min(60);
            self.filter = self.at_last;
            for step in 1..=steps {
                let u = f64::from(step) / f64::from(steps);
                let between = blend(&self.last_box, &d.bbox, u);
                self.filter.predict(gap_s / f64::from(steps), noise, false);
                self.filter.correct(&between, noise);
            }
        } else {
            let times = 1.0 + config.doubt_noise * (1.0 - sighting.score).max(0.0);
            self.filter.correct_doubted(&d.bbox, noise, times);
        }
        self.at_last = self.filter;
        self.last_box = d.bbox;
        self.last_seen = time;
        self.frames_unseen = 0;
        self.hits = self.hits.saturating_add(1);
        self.score = d.score;
        self.confirmed = self.confirmed || self.hits >= config.confirm_hits;
    }
}

/// A carried box is so many times less exact than a detected one.
const CARRIED_NOISE: f64 = 2.0;
/// A box is covered when another takes up more than this share of it: its colours are then another's too.
const COVERED: f64 = 0.15;
/// Looks that make an appearance worth comparing.
const LOOKS_MIN: u32 = 4;
/// Distance of two appearances that nobody takes for one person.
const STRANGE: f64 = 0.58;
/// Share of the way that a known appearance moves towards what is seen now.
const LEARNING: f32 = 0.1;

/// The box between two others: `a` at 0, `b` at 1.
pub(super) fn blend(a: &PixelBox, b: &PixelBox, u: f64) -> PixelBox {
    let mix = |a: f64, b: f64| a + (b - a) * u;
    PixelBox { x: mix(a.x, b.x), y: mix(a.y, b.y), w: mix(a.w, b.w), h: mix(a.h, b.h) }
}

/// The box grown by a share of its own sides on every side (C-BIoU, Yang et al., WACV 2023).
fn grown(b: &PixelBox, share: f64) -> PixelBox {
    let (dx, dy) = (b.w * share, b.h * share);
    PixelBox { x: b.x - dx, y: b.y - dy, w: b.w + 2.0 * dx, h: b.h + 2.0 * dy }
}
