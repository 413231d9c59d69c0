//! Everybody on the floor: association of each observation, and what others may ask.

use std::collections::{BTreeMap, VecDeque};

use nalgebra::{Matrix2, Point2, Vector2};

use super::body::Body;
use super::history::{HandSighting, History, Position};
use super::life::Exit;
use super::meetings::Meeting;
use super::motion::{Walk, largest_eigenvalue};
use super::outage::Outage;
use super::stretches::{Stretch, StretchNumber};
use super::{FloorConfig, FloorEvent, PeopleObservation, Person, Shopper};
use crate::geometry::Polygon;
use crate::ids::{CameraIndex, GateIndex, ShopperId};
use crate::layout::StoreLayout;
use crate::time::StoreTime;
use crate::tracking::Assignment;

/// The most people, trials included, that are followed at once; further ones are ignored and counted.
pub const MOST_BODIES: usize = 4096;
/// The most cameras; observations of further ones are dropped and counted.
pub const MOST_CAMERAS: usize = 4096;
/// The most people taken from one observation; further ones are ignored and counted.
pub const MOST_PEOPLE: usize = 512;

/// Two people are not closer than this, axis to axis, metres.
const BODY_M: f64 = 0.3;
/// No trial begins with a sighting of a lower score.
const BIRTH_SCORE: f64 = 0.3;
/// Cost that a trial pays against a shopper for the same sighting, nats.
const TRIAL_PRICE: f64 = 1.0;
/// A doubtful sighting's covariance is not scaled by more than this.
const MOST_DOUBT: f64 = 10.0;
/// A sighting that fits a trial worse than this begins a trial of its own, nats.
const TRIAL_LIMIT: f64 = 3.5;
/// A place that is less certain than this tells nothing, metres. One that claims to be exact is taken: a camera's constant
/// error is added to all of them.
const SD_MAX_M: f64 = 6.0;

/// Frames in a row that a detector may miss somebody in: limits in seconds are stretched to so many frames for slow
/// cameras.
pub(super) const FRAMES_MISSED: f64 = 2.5;

/// How often a camera reports.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    last: Option<StoreTime>,
    period_s: f64,
}

impl Pace {
    fn note(&mut self, time: StoreTime) {
        if let Some(last) = self.last.filter(|l| *l < time) {
            // A camera that was away for long is not slow: longer than three seconds does not count.
            let gap = time.seconds_since(last).min(3.0);
            self.period_s = if self.period_s > 0.0 { 0.8 * self.period_s + 0.2 * gap } else { gap };
        }
        self.last = self.last.max(Some(time));
    }
}

/// What a floor tracker has met so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FloorCounters {
    /// Observations handled.
    pub observations: u64,
    /// Observations dropped: a camera beyond [`MOST_CAMERAS`].
    pub unknown_camera: u64,
    /// Observations dropped: too late behind the newest.
    pub late: u64,
    /// People handed over.
    pub people: u64,
    /// People dropped: a number that is none, a covariance that is none, or too many at once.
    pub bad_people: u64,
    /// People ignored: not on the floor.
    pub outside: u64,
    /// Trials begun.
    pub trials: u64,
    /// Shoppers found again after they were lost.
    pub found_again: u64,
    /// Pairs of shoppers whose names were exchanged after they had parted.
    pub exchanged: u64,
}

/// Somebody who is no longer followed, and whose past is kept for a while.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) id: ShopperId,
    pub(super) left: StoreTime,
    pub(super) at: Point2<f64>,
    pub(super) born: StoreTime,
    pub(super) born_at: Point2<f64>,
    pub(super) history: History,
}

/// Follows everybody on the floor plane. Deterministic; never reads a clock.
#[derive(Debug, Clone)]
pub struct FloorTracker {
    pub(super) config: FloorConfig,
    pub(super) walk: Walk,
    pub(super) floor: Polygon,
    pub(super) exits: Vec<Exit>,
    paces: Vec<Pace>,
    pub(super) bodies: Vec<Body>,
    pub(super) gone: VecDeque<Gone>,
    pub(super) merged: BTreeMap<ShopperId, (ShopperId, StoreTime)>,
    pub(super) events: VecDeque<FloorEvent>,
    pub(super) next_id: u32,
    /// The sure parts of everybody's paths, oldest first.
    pub(super) stretches: Vec<Stretch>,
    pub(super) next_stretch: StretchNumber,
    pub(super) now: Option<StoreTime>,
    pub(super) housekept: Option<StoreTime>,
    pub(super) counters: FloorCounters,
    pub(super) assignment: Assignment,
    /// Entries whose shopper has not been found yet.
    pub(super) expected: Vec<(GateIndex, StoreTime)>,
    /// Entries of late, found or not.
    pub(super) entered: Vec<(GateIndex, StoreTime)>,
    /// Who was doubted of late, told already.
    pub(super) doubted: Vec<(ShopperId, ShopperId, StoreTime)>,
    /// Who is near whom, or has just parted.
    pub(super) meetings: Vec<Meeting>,
    /// The last time in which nobody watched.
    pub(super) outage: Option<Outage>,
}

impl FloorTracker {
    /// A tracker for this store, with nobody in it.
    #[must_use]
    pub fn new(layout: &StoreLayout, config: FloorConfig) -> Self {
        let (mut low, mut high) = (Point2::new(f64::MAX, f64::MAX), Point2::new(f64::MIN, f64::MIN));
        for c in layout.floor.corners() {
            low = low.inf(c);
            high = high.sup(c);
        }
        let half = ((high - low).norm() / 2.0).max(2.0);
        let walk = Walk {
            speed_sd_m_s: config.speed_sd_m_s.max(0.01),
            turn_s: config.turn_s.max(0.01),
            most_var_m2: half * half,
        };
        Self {
            config,
            walk,
            floor: layout.floor.clone(),
            exits: layout.gates.iter().map(|g| Exit::new(g, &layout.floor)).collect(),
            paces: vec![Pace::default(); layout.cameras.len()],
            bodies: Vec::new(),
            gone: VecDeque::new(),
            merged: BTreeMap::new(),
            events: VecDeque::new(),
            next_id: 1,
            stretches: Vec::new(),
            next_stretch: 1,
            now: None,
            housekept: None,
            counters: FloorCounters::default(),
            assignment: Assignment::default(),
            expected: Vec::new(),
            entered: Vec::new(),
            doubted: Vec::new(),
            meetings: Vec::new(),
            outage: None,
        }
    }

    /// Takes what one camera sees at one moment.
    pub fn handle_people(&mut self, observation: &PeopleObservation) {
        let PeopleObservation { camera, time, .. } = *observation;
        if camera.0 >= MOST_CAMERAS {
            self.counters.unknown_camera += 1;
            return;
        }
        if self.now.is_some_and(|now| now.seconds_since(time) > self.config.late_tolerance_s) {
            self.counters.late += 1;
            return;
        }
        self.counters.observations += 1;
        // A camera that store.toml does not have can still tell floor points.
        if camera.0 >= self.paces.len() {
            self.paces.resize_with(camera.0 + 1, Pace::default);
        }
        self.paces[camera.0].note(time);
        let now = self.now.map_or(time, |n| n.max(time));
        self.now = Some(now);
        let people = self.usable(observation);
        let taken = self.associate(camera, time, &people);
        self.begin_trials(camera, time, &people, &taken);
        self.settle_trials(now);
        if people.iter().any(|p| p.tracklet.as_ref().is_some_and(|t| t.alike.is_some())) {
            self.settle_identities(now);
        }
        self.keep_house(now);
    }

    /// Tells which entries still look for their shopper: a newcomer near one is that shopper and not somebody who was
    /// lost elsewhere. Replaces what was told before.
    pub fn expect(&mut self, entries: Vec<(GateIndex, StoreTime)>) {
        for entry in &entries {
            if !self.entered.contains(entry) {
                self.entered.push(*entry);
            }
        }
        self.expected = entries;
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: StoreTime) {
        let now = self.now.map_or(now, |n| n.max(now));
        self.now = Some(now);
        self.settle_trials(now);
        self.keep_house(now);
    }

    /// The moment everything is believed for.
    #[must_use]
    pub fn now(&self) -> Option<StoreTime> {
        self.now
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<FloorEvent> {
        self.events.pop_front()
    }

    /// Everybody in the store, the lost included.
    pub fn shoppers(&self) -> impl Iterator<Item = &Shopper> {
        self.bodies.iter().filter(|b| b.id.is_some()).map(|b| &b.shown)
    }

    /// One shopper who is in the store.
    #[must_use]
    pub fn shopper(&self, id: ShopperId) -> Option<&Shopper> {
        let id = self.kept_id(id);
        self.bodies.iter().find(|b| b.id == Some(id)).map(|b| &b.shown)
    }

    /// Where a shopper was at a moment, as well as is known by now; also for those who left a while ago.
    #[must_use]
    pub fn position(&self, id: ShopperId, time: StoreTime) -> Option<Position> {
        self.history(id)?.at(time, &self.walk)
    }

    /// Where a shopper was in an interval, every 0.1 s.
    #[must_use]
    pub fn path(&self, id: ShopperId, from: StoreTime, to: StoreTime) -> Vec<(StoreTime, Position)> {
        let Some(history) = self.history(id) else { return Vec::new() };
        let to = self.now.map_or(to, |now| to.min(now));
        // A second of the past costs ten samples: nobody gets more than is kept.
        let from = from.max(to.plus_s(-2.0 * self.config.history_s));
        let steps = (to.seconds_since(from) * 10.0).floor().max(0.0) as u32;
        (0..=steps)
            .map(|k| from.plus_s(0.1 * f64::from(k)))
            .filter(|t| *t <= to)
            .filter_map(|t| Some((t, history.at(t, &self.walk)?)))
            .collect()
    }

    /// A shopper's hands in an interval, wherever a camera saw them.
    pub fn hands_of(
        &self,
        id: ShopperId,
        from: StoreTime,
        to: StoreTime,
    ) -> impl Iterator<Item = &HandSighting> {
        self.history(id).into_iter().flat_map(move |h| h.hands(from, to))
    }

    /// Everybody who was in the store at a moment: those whose past covers it.
    #[must_use]
    pub fn known_at(&self, time: StoreTime) -> Vec<ShopperId> {
        let here = self.bodies.iter().filter(|b| b.born <= time).filter_map(|b| b.id);
        let left = self.gone.iter().filter(|g| g.born <= time && g.left >= time).map(|g| g.id);
        let mut all: Vec<ShopperId> = here.chain(left).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What it has met so far.
    #[must_use]
    pub fn counters(&self) -> FloorCounters {
        self.counters
    }

    /// The number a shopper goes by after mergers.
    #[must_use]
    pub fn kept_id(&self, id: ShopperId) -> ShopperId {
        // Chains are followed; each merger leads to an older number, so this ends.
        let mut id = id;
        while let Some((kept, _)) = self.merged.get(&id) {
            id = *kept;
        }
        id
    }

    /// Time between two observations of a camera, as of late, seconds.
    pub(super) fn period_s(&self, camera: CameraIndex) -> f64 {
        self.paces.get(camera.0).map_or(0.0, |p| p.period_s)
    }

    /// The longest such time among the cameras that saw a body, seconds.
    pub(super) fn slowest_s(&self, body: &Body) -> f64 {
        body.links.keys().map(|c| self.period_s(*c)).fold(0.0, f64::max)
    }

    pub(super) fn history(&self, id: ShopperId) -> Option<&History> {
        let id = self.kept_id(id);
        let here = self.bodies.iter().find(|b| b.id == Some(id)).map(|b| &b.history);
        here.or_else(|| self.gone.iter().rev().find(|g| g.id == id).map(|g| &g.history))
    }

    fn usable<'a>(&mut self, observation: &'a PeopleObservation) -> Vec<&'a Person> {
        self.counters.people += observation.people.len() as u64;
        let mut people = Vec::with_capacity(observation.people.len().min(MOST_PEOPLE));
        for person in &observation.people {
            if !is_sound(person) || people.len() >= MOST_PEOPLE {
                self.counters.bad_people += 1;
            } else if self.floor.distance_m(person.foot) > self.config.outside_m {
                self.counters.outside += 1;
            } else {
                people.push(person);
            }
        }
        people
    }

    /// Gives sightings to the bodies they fit, all of one observation at once. Tells which were given.
    fn associate(&mut self, camera: CameraIndex, time: StoreTime, people: &[&Person]) -> Vec<bool> {
        let mut taken = vec![false; people.len()];
        if people.is_empty() {
            return taken;
        }
        let stretches: Vec<Option<StretchNumber>> =
            people.iter().map(|p| self.stretch_of(camera, p.tracklet.as_ref()?.id)).collect();
        let mut rows: Vec<usize> = Vec::new();
        let mut costs: Vec<(usize, usize, f64)> = Vec::new();
        for (i, body) in self.bodies.iter().enumerate() {
            let lost =
                body.unseen_s(time) > self.config.lost_after_s.max(FRAMES_MISSED * self.period_s(camera));
            let before = costs.len();
            for (column, person) in people.iter().enumerate() {
                // The lost are found again by several sightings (`settle_trials`), or by their camera's own track.
                let link = body.links.get(&camera).and_then(|l| l.track);
                if lost && (link.is_none() || link != person.track) {
                    continue;
                }
                let same = body.stretch.is_some() && body.stretch == stretches[column];
                if let Some(cost) = body.misfit(person, camera, time, &self.walk, &self.config, same) {
                    let trial = body.id.is_none();
                    if !trial || cost < TRIAL_LIMIT {
                        costs.push((rows.len(), column, cost + if trial { TRIAL_PRICE } else { 0.0 }));
                    }
                }
            }
            if costs.len() > before {
                rows.push(i);
            }
        }
        self.assignment.reset(rows.len(), people.len());
        for (row, column, cost) in &costs {
            self.assignment.set(*row, *column, *cost);
        }
        // The dearest pair allowed: at the gate's edge, with 1.5 m of uncertainty.
        let limit = 0.5 * (self.config.gate_d2 + 4.0 * 1.5f64.ln()) + TRIAL_PRICE;
        let pairs = self.assignment.solve(limit).to_vec();
        for (row, pair) in pairs.iter().enumerate() {
            let Some(column) = *pair else { continue };
            taken[column] = true;
            // A sighting that somebody else explains as well says less about this one.
            let here = self.assignment.cost(row, column);
            let others: f64 = (0..rows.len())
                .filter(|other| *other != row)
                .map(|other| (here - self.assignment.cost(other, column)).exp())
                .sum();
            let doubt = (1.0 + others).min(MOST_DOUBT);
            let body = &mut self.bodies[rows[row]];
            body.see(people[column], camera, time, doubt, &self.walk, &self.config);
            self.note_stretch(rows[row], people[column], camera, time);
        }
        taken
    }

    fn begin_trials(&mut self, camera: CameraIndex, time: StoreTime, people: &[&Person], taken: &[bool]) {
        for (i, person) in people.iter().enumerate() {
            if taken[i] || person.score < BIRTH_SCORE {
                continue;
            }
            // A second box around the same person is no second person.
            let twin = |j: usize| taken[j] && (people[j].foot - person.foot).norm() < BODY_M;
            if (0..people.len()).any(twin) {
                continue;
            }
            if self.bodies.len() >= MOST_BODIES {
                self.counters.bad_people += 1;
                continue;
            }
            self.counters.trials += 1;
            self.bodies.push(Body::new(person, camera, time, &self.walk, &self.config));
            self.note_stretch(self.bodies.len() - 1, person, camera, time);
        }
    }
}

fn is_sound(person: &Person) -> bool {
    let c: &Matrix2<f64> = &person.cov_m2;
    let foot: Vector2<f64> = person.foot.coords;
    let finite = foot.iter().chain(c.iter()).chain([&person.score]).all(|v| v.is_finite() && v.abs() < 1e9);
    if !finite || (c[(0, 1)] - c[(1, 0)]).abs() > 1e-6 * (1.0 + c[(0, 1)].abs()) {
        return false;
    }
    let large = largest_eigenvalue(c);
    let small = c.trace() - large;
    // A rounding error below zero is zero.
    small >= -1e-9 && large < SD_MAX_M * SD_MAX_M
}
