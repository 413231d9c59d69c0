//! Everything composed: observations, shelf events and gates in, decisions out. The floor role's brain.
//!
//! Inputs may come in any order within the reorder bound: they wait in a queue until the caller's watermark says
//! that nothing older will follow, and are then taken in event time. The caller decides how long to wait
//! ([`Store::advance`]); the same inputs give the same decisions whatever their order of arrival.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::attribution::{
    Attribution, AttributionConfig, Candidate, Handling, JUDGED_AFTER_S, ProductView, Reach, ReachConfig,
};
use crate::cart::{CartPolicy, Line, Receipt, lines};
use crate::floor::{FloorConfig, FloorEvent, FloorTracker, PeopleObservation};
use crate::ids::{ProductIndex, ShopperId, VisitId};
use crate::layout::StoreLayout;
use crate::shelf::ShelfEvent;
use crate::time::StoreTime;
use crate::visit::{GatePassed, Visit, VisitConfig, Visits};

mod outage;

/// Limits and policies of a store.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StoreConfig {
    /// Tracking on the floor.
    pub floor: FloorConfig,
    /// How people reach.
    pub reach: ReachConfig,
    /// Who took what.
    pub attribution: AttributionConfig,
    /// Gates and visits.
    pub visit: VisitConfig,
    /// What may be charged.
    pub cart: CartPolicy,
    /// How long a shelf event waits for product vision, seconds from its end, at most 3; 0 where nothing looks.
    pub views_wait_s: f64,
}

/// Something the store has seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// People on the floor.
    People(PeopleObservation),
    /// A lift or put, with a tag that comes back with its explanation.
    Shelf {
        /// The caller's reference.
        tag: u64,
        /// What changed.
        event: ShelfEvent,
    },
    /// A gate was passed.
    Gate(GatePassed),
    /// Product vision looked at a shelf.
    View(ProductView),
    /// Somebody whom no camera follows says what they do at a shelf, or how it ended.
    Handling(Handling),
    /// Nobody watched: the program was away.
    Unwatched {
        /// Since when.
        from: StoreTime,
        /// Until when.
        until: StoreTime,
    },
}

impl Input {
    fn time(&self) -> StoreTime {
        match self {
            Self::People(observation) => observation.time,
            Self::Shelf { event, .. } => event.end(),
            Self::Gate(passed) => passed.time,
            Self::View(view) => view.time,
            // Before every shelf event that may be part of it, however late it is told.
            Self::Handling(handling) => handling.from,
            // Before anything that happened meanwhile.
            Self::Unwatched { from, .. } => *from,
        }
    }

    /// Order of inputs of the same moment: gates before people before shelves, each by its own device.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Gate(passed) => (0, passed.gate.0),
            Self::People(observation) => (1, observation.camera.0),
            Self::View(_) => (2, 0),
            Self::Handling(_) => (3, 0),
            Self::Shelf { event, .. } => (4, event.changes.first().map_or(0, |c| c.plate.0)),
            Self::Unwatched { .. } => (5, 0),
        }
    }
}

/// Something the store decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A visit began.
    VisitOpened(Visit),
    /// A shelf event was explained.
    ItemAttributed {
        /// The caller's reference to the shelf event.
        tag: u64,
        /// When the event ended.
        time: StoreTime,
        /// Who (shopper and, where known, visit), what, how many; best first.
        candidates: Vec<(Candidate, Option<VisitId>)>,
    },
    /// A visit's cart is now this.
    CartChanged {
        /// The visit.
        visit: VisitId,
        /// When.
        time: StoreTime,
        /// Its lines.
        lines: Vec<Line>,
    },
    /// A visit ended.
    VisitClosed(Receipt),
}

/// What a store has taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounters {
    /// People observations.
    pub people: u64,
    /// Shelf events.
    pub shelf_events: u64,
    /// Gate events.
    pub gates: u64,
    /// Looks of product vision.
    pub views: u64,
    /// Declarations of handlings.
    pub handlings: u64,
    /// Times in which nobody watched.
    pub outages: u64,
    /// Inputs that came after their moment had passed; they are still used, at once.
    pub late: u64,
}

type QueueKey = (StoreTime, (u8, usize), u64);

/// One store's floor role.
#[derive(Debug)]
pub struct Store {
    layout: Arc<StoreLayout>,
    config: StoreConfig,
    floor: FloorTracker,
    attribution: Attribution,
    visits: Visits,
    queue: BTreeMap<QueueKey, Input>,
    arrived: u64,
    now: Option<StoreTime>,
    carts: BTreeMap<VisitId, Vec<Line>>,
    /// What carried visits were known to hold.
    carried: BTreeMap<VisitId, Vec<Line>>,
    /// The last time in which nobody watched.
    outage: Option<outage::Outage>,
    /// Shelf events that wait for it to be settled who was there and stays there, oldest first.
    held: VecDeque<(u64, ShelfEvent)>,
    /// Looks of product vision of late, oldest first.
    views: VecDeque<ProductView>,
    decisions: Vec<Decision>,
    counters: StoreCounters,
    /// Who enters with a credential that begins like this is staff; nobody where it is empty.
    staff_prefix: String,
}

/// Steps in which time passes when nothing is seen, seconds.
const TICK_S: f64 = 0.5;
/// A shelf event waits at most this long for it to be settled who was there and stays there, seconds. No longer than a
/// visit's grace: what somebody took is explained before their receipt is written.
const PATIENCE_S: f64 = 3.0;
/// Looks of product vision that are kept for events to come; older ones make room.
const VIEWS_KEPT: usize = 1024;
/// A shopper without a visit who holds something with this probability gets one.
const UNKNOWN_HOLDS: f64 = 0.5;

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(layout: Arc<StoreLayout>, config: StoreConfig) -> Self {
        Self {
            floor: FloorTracker::new(&layout, config.floor),
            attribution: Attribution::new(&layout, config.attribution),
            visits: Visits::new(config.visit),
            layout,
            config,
            queue: BTreeMap::new(),
            arrived: 0,
            now: None,
            carts: BTreeMap::new(),
            carried: BTreeMap::new(),
            outage: None,
            held: VecDeque::new(),
            views: VecDeque::new(),
            decisions: Vec::new(),
            counters: StoreCounters::default(),
            staff_prefix: String::new(),
        }
    }

    /// Whoever enters with a credential that begins like this is staff: they fill shelves and never pay.
    #[must_use]
    pub fn with_staff(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.staff_prefix);
        self
    }

    fn is_staff(&self, visit: &Visit) -> bool {
        let named = visit.credential.as_ref().is_some_and(|c| c.to_string().starts_with(&self.staff_prefix));
        named && !self.staff_prefix.is_empty()
    }

    /// The floor as it is believed to be now.
    #[must_use]
    pub fn floor(&self) -> &FloorTracker {
        &self.floor
    }

    /// The visit that a shopper belongs to.
    #[must_use]
    pub fn visit_of(&self, shopper: ShopperId) -> Option<&VisitId> {
        self.visits.of(shopper)
    }

    /// What has been taken in.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        self.counters
    }

    /// How many inputs wait for the watermark.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes an input in; it is used when the watermark has passed it.
    pub fn handle(&mut self, input: Input) {
        match &input {
            Input::People(_) => self.counters.people += 1,
            Input::Shelf { .. } => self.counters.shelf_events += 1,
            Input::Gate(_) => self.counters.gates += 1,
            Input::View(_) => self.counters.views += 1,
            Input::Handling(_) => self.counters.handlings += 1,
            Input::Unwatched { .. } => self.counters.outages += 1,
        }
        // The end of a handling is told at its end, and is news of its beginning; a view of what was handled is told
        // after it.
        let told_later = match &input {
            Input::Handling(_) | Input::Unwatched { .. } => true,
            Input::View(view) => {
                self.now.is_none_or(|now| now.seconds_since(view.time) <= self.config.views_wait_s)
            }
            _ => false,
        };
        if !told_later && self.now.is_some_and(|now| input.time() < now) {
            self.counters.late += 1;
        }
        self.arrived += 1;
        self.queue.insert((input.time(), input.rank(), self.arrived), input);
    }

    /// Nothing older than `watermark` will follow: decides everything up to it.
    pub fn advance(&mut self, watermark: StoreTime) -> Vec<Decision> {
        while let Some(entry) = self.queue.first_entry() {
            let time = entry.key().0;
            if time > watermark {
                break;
            }
            let input = entry.remove();
            self.pass_time(time);
            self.take(input);
            self.explain_held(time, PATIENCE_S);
        }
        // An empty store needs no ticks before its first input.
        if self.now.is_some() {
            self.pass_time(watermark);
        }
        std::mem::take(&mut self.decisions)
    }

    /// The end of all input: decides what waits and closes every visit.
    pub fn finish(&mut self) -> Vec<Decision> {
        if let Some((time, _, _)) = self.queue.last_key_value().map(|(k, _)| *k) {
            let decisions = self.advance(time);
            self.decisions = decisions;
        }
        if let Some(now) = self.now {
            self.explain_held(now, 0.0);
            self.judge_handlings(now.plus_s(2.0 * JUDGED_AFTER_S));
            self.visits.advance(now, &self.layout, &self.floor);
            self.open_unknown(now);
        }
        self.close(None);
        std::mem::take(&mut self.decisions)
    }

    fn pass_time(&mut self, to: StoreTime) {
        let mut now = self.now.unwrap_or(to);
        while now < to {
            now = now.plus_s(TICK_S).min(to);
            self.floor.advance(now);
            self.now = Some(now);
            self.follow_floor();
            self.explain_held(now, PATIENCE_S);
            self.judge_handlings(now);
            self.settle_outage(now);
            self.visits.advance(now, &self.layout, &self.floor);
            for (shopper, rival, probability) in self.visits.take_doubts() {
                self.attribution.doubt_entries(shopper, rival, probability);
            }
            self.floor.expect(self.visits.unmatched(now));
            self.close(Some(now));
        }
        self.now = Some(now);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::People(observation) => {
                self.floor.handle_people(&observation);
                self.follow_floor();
            }
            Input::Gate(passed) => {
                let time = passed.time;
                if let Some(visit) = self.visits.handle_gate(passed) {
                    self.floor.expect(self.visits.unmatched(time));
                    self.decisions.push(Decision::VisitOpened(visit));
                }
            }
            Input::Shelf { tag, event } => {
                self.note_touched(event.start(), event.end());
                self.held.push_back((tag, event));
            }
            Input::View(view) => {
                if self.views.len() >= VIEWS_KEPT {
                    self.views.pop_front();
                }
                self.views.push_back(view);
            }
            Input::Handling(handling) => self.attribution.declare(handling),
            Input::Unwatched { from, until } => self.interrupt(from, until),
        }
    }

    /// Explains what is ripe, in order: an event that waits holds up those after it.
    fn explain_held(&mut self, now: StoreTime, patience_s: f64) {
        while let Some((_, event)) = self.held.front() {
            let waited_s = now.seconds_since(event.end());
            let reach = Reach::new(&self.layout, &self.floor, self.config.reach);
            let watched = now >= reach.watched_until(&event.changes);
            let place = event.changes.first().map(|c| self.layout.plates[c.plate.0].centre.xy());
            // The dearest question last: it is asked with every input.
            let settled = || {
                let until = event.end().max(event.start());
                place.is_none_or(|at| self.floor.is_settled(at, event.start(), until))
            };
            let looked = waited_s >= self.config.views_wait_s;
            if waited_s < patience_s && !(watched && looked && settled()) {
                return;
            }
            if let Some((tag, event)) = self.held.pop_front() {
                self.explain(tag, &event);
            }
        }
    }

    /// Judges declared handlings that no shelf event to come can be part of.
    fn judge_handlings(&mut self, now: StoreTime) {
        let until =
            self.held.iter().map(|(_, event)| event.start()).min().map_or(now, |start| start.min(now));
        if self.attribution.judge_handlings(until) {
            self.update_carts(now);
        }
    }

    fn follow_floor(&mut self) {
        while let Some(event) = self.floor.poll_event() {
            match &event {
                FloorEvent::Merged { kept, gone, .. } => self.attribution.merge(*kept, *gone),
                FloorEvent::Doubted { shopper, rival, probability, .. } => {
                    self.attribution.doubt(*shopper, *rival, *probability);
                }
                FloorEvent::Appeared { .. } | FloorEvent::Left { .. } => {}
            }
            self.visits.handle_floor(&event);
        }
    }

    fn explain(&mut self, tag: u64, event: &ShelfEvent) {
        let reach = Reach::new(&self.layout, &self.floor, self.config.reach);
        let views: Vec<&ProductView> = self.views.iter().filter(|v| v.shows(event, &self.layout)).collect();
        let staff =
            self.visits.open().iter().filter(|v| self.is_staff(v)).flat_map(|v| v.shoppers.iter().copied());
        let staff: Vec<ShopperId> = staff.collect();
        let candidates = self.attribution.handle_event(event, &reach, &views, &staff);
        let named = candidates
            .into_iter()
            .map(|c| {
                let visit = c.shopper.and_then(|s| self.visits.of(s)).cloned();
                (c, visit)
            })
            .collect();
        self.decisions.push(Decision::ItemAttributed { tag, time: event.end(), candidates: named });
        self.update_carts(event.end());
    }

    fn update_carts(&mut self, time: StoreTime) {
        for visit in self.visits.open() {
            let lines = self.lines_of(visit);
            let before = self.carts.entry(visit.id.clone()).or_default();
            if !alike(before, &lines) {
                before.clone_from(&lines);
                self.decisions.push(Decision::CartChanged { visit: visit.id.clone(), time, lines });
            }
        }
    }

    fn lines_of(&self, visit: &Visit) -> Vec<Line> {
        if self.is_staff(visit) {
            return Vec::new();
        }
        let shoppers: Vec<ShopperId> = visit.shoppers.iter().copied().collect();
        let lines = lines(&self.attribution.holdings(&shoppers), self.config.cart);
        if visit.in_doubt { self.doubted(&visit.id, lines) } else { lines }
    }

    /// Whoever holds something and never passed an entry is a visit without a credential.
    fn open_unknown(&mut self, now: StoreTime) {
        let strangers: Vec<ShopperId> = self
            .attribution
            .shoppers()
            .into_iter()
            .filter(|s| self.visits.of(*s).is_none())
            .filter(|s| {
                let sure = |odds: &[(u32, f64)]| odds.iter().any(|(n, p)| *n > 0 && *p >= UNKNOWN_HOLDS);
                self.attribution.holdings(&[*s]).iter().any(|h| sure(&h.odds))
            })
            .collect();
        for stranger in strangers {
            let visit = self.visits.open_unknown(stranger, now);
            self.decisions.push(Decision::VisitOpened(visit));
        }
    }

    fn close(&mut self, now: Option<StoreTime>) {
        let end = self.now.unwrap_or_default();
        let closed = self.visits.take_closed(now);
        if !closed.is_empty() {
            // What they took is explained before their receipts are written.
            self.explain_held(end, 0.0);
        }
        for (visit, left) in closed {
            let receipt = Receipt {
                visit: visit.id.clone(),
                credential: visit.credential.clone(),
                entered: visit.entered,
                left: if now.is_some() { left } else { end.max(left) },
                lines: self.lines_of(&visit),
            };
            for shopper in &visit.shoppers {
                self.attribution.settle(*shopper);
                self.floor.retire(*shopper, receipt.left);
            }
            self.carts.remove(&visit.id);
            self.carried.remove(&visit.id);
            self.decisions.push(Decision::VisitClosed(receipt));
        }
        // Retiring tells of people leaving; nobody waits for it any more.
        while self.floor.poll_event().is_some() {}
    }
}

/// Are two carts the same for everyone who looks (probability to three digits)?
fn alike(a: &[Line], b: &[Line]) -> bool {
    let key = |l: &Line| -> (ProductIndex, u32, bool, i64) {
        (l.product, l.quantity, l.review, (l.probability * 1e3).round() as i64)
    };
    a.len() == b.len() && a.iter().map(key).eq(b.iter().map(key))
}
