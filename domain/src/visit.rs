//! Gates and shoppers into visits: who entered with which credential, and when they have left.
//!
//! A gate knows a credential and a moment; the floor knows who was near. They are matched after a short wait, since
//! a shopper is often seen only after having passed. A visit ends after an exit that fits one of its shoppers, or
//! when all of them vanished at gates; it stays open for a grace time, so that a shelf that settles late still counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::floor::{FloorEvent, FloorTracker, Shopper};
use crate::ids::{Credential, GateIndex, ShopperId, VisitId};
use crate::layout::StoreLayout;
use crate::time::StoreTime;
use crate::tracking::Assignment;

mod outage;

pub use outage::CarriedVisit;

/// Limits of matching gates to shoppers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VisitConfig {
    /// How long an entry waits before it is matched, seconds.
    pub match_after_s: f64,
    /// How long an entry without a shopper keeps looking for one, seconds.
    pub match_until_s: f64,
    /// A shopper further from the gate than this did not pass it, metres.
    pub gate_reach_m: f64,
    /// How fast people walk away from the gate before they are first seen, metres a second.
    pub walk_mps: f64,
    /// A pair of entry and shopper stranger than this is none, in standard deviations.
    pub strangest: f64,
    /// How long an exit that fits several shoppers waits for one of them to be clear, seconds.
    pub doubt_s: f64,
    /// Those of a party whom no camera ever matched with an entry are waited for this long after the others left,
    /// seconds.
    pub missing_s: f64,
    /// Between leaving and the receipt, seconds.
    pub grace_s: f64,
    /// A visit in doubt of whom nobody has been seen for so long is over, seconds.
    pub abandoned_s: f64,
}

impl Default for VisitConfig {
    fn default() -> Self {
        Self {
            match_after_s: 1.5,
            match_until_s: 12.0,
            gate_reach_m: 2.5,
            walk_mps: 1.2,
            strangest: 3.5,
            doubt_s: 4.0,
            missing_s: 20.0,
            grace_s: 3.0,
            abandoned_s: 300.0,
        }
    }
}

impl VisitConfig {
    /// How strange it would be for this shopper to have passed a gate at `entered`, in standard deviations.
    ///
    /// Who was on the floor by then must have been at the gate; who was first seen later must have been seen as far
    /// from it as people walk meanwhile, and the later, the stranger. Whoever was first seen outside had not passed yet.
    fn strangeness(
        &self,
        gate: GateIndex,
        entered: StoreTime,
        shopper: &Shopper,
        layout: &StoreLayout,
        floor: &FloorTracker,
    ) -> f64 {
        let segment = &layout.gates[gate.0].segment;
        let late_s = shopper.born.seconds_since(entered);
        if late_s <= 0.0 {
            let Some(position) = floor.position(shopper.id, entered) else { return f64::INFINITY };
            // Positions before anybody was seen are guesses; so is an entry's time.
            return segment.distance_m(position.at) / AT_GATE_SD_M - 0.2 * late_s;
        }
        if late_s > AT_GATE_S && layout.floor.distance_m(shopper.born_at) > OUTSIDE_M {
            return f64::INFINITY;
        }
        let walked_m = self.walk_mps * late_s;
        let off_m = segment.distance_m(shopper.born_at) - walked_m;
        off_m.abs() / (AT_GATE_SD_M + WALK_SD * walked_m) + 0.25 * late_s
    }
}

/// Where people are when a gate says that they pass it, metres from its threshold.
const AT_GATE_SD_M: f64 = 0.8;
/// Who shows a credential at a gate has passed it within so many seconds ...
const AT_GATE_S: f64 = 1.2;
/// ... and who is so far beyond the floor's edge is outside, metres.
const OUTSIDE_M: f64 = 0.25;
/// Spread of walking speeds, as a share.
const WALK_SD: f64 = 0.5;

/// A standard deviation of strangeness more makes it by so much less likely that two entries were the other way round, nats.
const ENTRY_LOG_ODDS: f64 = 4.0;
/// Doubts below this are not told.
const LEAST_DOUBT: f64 = 0.01;

/// A gate was passed.
#[derive(Debug, Clone, PartialEq)]
pub struct GatePassed {
    /// When.
    pub time: StoreTime,
    /// Which gate.
    pub gate: GateIndex,
    /// Into the store, or out of it?
    pub entry: bool,
    /// With which credential; exits may carry none.
    pub credential: Option<Credential>,
    /// How many people the credential lets in, at least 1.
    pub party: u32,
}

/// One stay in the store, from entry to exit.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Its id.
    pub id: VisitId,
    /// Who pays; none for a shopper who was never seen entering.
    pub credential: Option<Credential>,
    /// How many people are on the credential.
    pub party: u32,
    /// When it began.
    pub entered: StoreTime,
    gate: Option<GateIndex>,
    /// The people on the floor who belong to it.
    pub shoppers: BTreeSet<ShopperId>,
    /// Those of them whom the floor saw leave.
    gone: BTreeSet<ShopperId>,
    /// Those of them whom an exit was matched to; it is nobody else's.
    exited: BTreeSet<ShopperId>,
    /// Exits that named the credential.
    exits: u32,
    /// When the latest of those who left did.
    last_left: Option<StoreTime>,
    leaving: Option<StoreTime>,
    /// Nobody watched for a part of it, and who is who since then is not certain: a person looks at every line.
    pub in_doubt: bool,
    /// How often that was so.
    doubts: u32,
    /// Nothing else is known of it than what was told before.
    carried: bool,
    /// Since when it has been watched again.
    watched_from: Option<StoreTime>,
}

impl Visit {
    fn new(
        id: VisitId,
        credential: Option<Credential>,
        party: u32,
        entered: StoreTime,
        gate: Option<GateIndex>,
    ) -> Self {
        Self {
            id,
            credential,
            party,
            entered,
            gate,
            shoppers: BTreeSet::new(),
            gone: BTreeSet::new(),
            exited: BTreeSet::new(),
            exits: 0,
            last_left: None,
            leaving: None,
            in_doubt: false,
            doubts: 0,
            carried: false,
            watched_from: None,
        }
    }

    /// Has everybody left? Those of a party who were never matched with anybody are waited for a while.
    fn is_over(&self, now: StoreTime, missing_s: f64) -> bool {
        let Some(last) = self.last_left else { return false };
        let known_left = self.shoppers.iter().all(|s| self.exited.contains(s) || self.gone.contains(s));
        let left = self.shoppers.iter().filter(|s| self.exited.contains(s) || self.gone.contains(s)).count();
        let everybody = left.max(self.exits as usize) >= (self.party as usize).max(self.shoppers.len());
        everybody || (known_left && now.seconds_since(last) >= missing_s)
    }
}

/// Every open visit of the store.
#[derive(Debug, Clone)]
pub struct Visits {
    config: VisitConfig,
    open: Vec<Visit>,
    exits: Vec<GatePassed>,
    by_shopper: BTreeMap<ShopperId, VisitId>,
    doubts: Vec<(ShopperId, ShopperId, f64)>,
    opened: u64,
    /// The last time in which nobody watched.
    unwatched: Option<(StoreTime, StoreTime)>,
}

impl Visits {
    /// Nobody is in the store.
    #[must_use]
    pub fn new(config: VisitConfig) -> Self {
        Self {
            config,
            open: Vec::new(),
            exits: Vec::new(),
            by_shopper: BTreeMap::new(),
            doubts: Vec::new(),
            opened: 0,
            unwatched: None,
        }
    }

    /// The open visits, by entry.
    #[must_use]
    pub fn open(&self) -> &[Visit] {
        &self.open
    }

    /// The visit that a shopper belongs to.
    #[must_use]
    pub fn of(&self, shopper: ShopperId) -> Option<&VisitId> {
        self.by_shopper.get(&shopper)
    }

    /// An entry opens a visit, which is given; an exit is kept until it can be matched.
    pub fn handle_gate(&mut self, passed: GatePassed) -> Option<Visit> {
        if !passed.entry {
            self.exits.push(passed);
            return None;
        }
        Some(self.begin(passed.credential, passed.party, passed.time, Some(passed.gate)))
    }

    /// The entries that still look for a shopper.
    #[must_use]
    pub fn unmatched(&self, now: StoreTime) -> Vec<(GateIndex, StoreTime)> {
        self.open
            .iter()
            .filter(|v| Self::looking_s(v, now) <= self.config.match_until_s)
            .filter(|v| v.shoppers.len() < v.party as usize)
            .filter_map(|v| Some((v.gate?, v.entered)))
            .collect()
    }

    /// Opens a visit for a shopper who was never seen entering.
    pub fn open_unknown(&mut self, shopper: ShopperId, time: StoreTime) -> Visit {
        self.begin(None, 1, time, None);
        let last = self.open.len() - 1;
        self.link(shopper, last);
        self.open[last].clone()
    }

    fn begin(
        &mut self,
        credential: Option<Credential>,
        party: u32,
        entered: StoreTime,
        gate: Option<GateIndex>,
    ) -> Visit {
        self.opened += 1;
        let text = format!("v-{}-{}", entered.micros, self.opened);
        // Digits and dashes are always an id.
        let id = VisitId::new(text).unwrap_or_else(|_| unreachable!("digits and dashes make an id"));
        self.open.push(Visit::new(id, credential, party, entered, gate));
        self.doubt_if_unwatched(self.open.len() - 1);
        self.open[self.open.len() - 1].clone()
    }

    fn link(&mut self, shopper: ShopperId, visit: usize) {
        self.by_shopper.insert(shopper, self.open[visit].id.clone());
        self.open[visit].shoppers.insert(shopper);
    }

    /// Follows what the floor says of shoppers who left or turned out to be one.
    pub fn handle_floor(&mut self, event: &FloorEvent) {
        match event {
            FloorEvent::Doubted { .. } => {}
            FloorEvent::Left { shopper, time, gate: Some(_), .. } => {
                if let Some(visit) = self.visit_of_mut(*shopper) {
                    visit.gone.insert(*shopper);
                    visit.last_left = visit.last_left.max(Some(*time));
                }
            }
            FloorEvent::Merged { kept, gone, .. } => {
                let visit = self.by_shopper.remove(gone);
                for open in &mut self.open {
                    open.shoppers.remove(gone);
                    open.gone.remove(gone);
                    open.exited.remove(gone);
                }
                if let (Some(id), false) = (visit, self.by_shopper.contains_key(kept))
                    && let Some(at) = self.open.iter().position(|v| v.id == id)
                {
                    self.link(*kept, at);
                }
            }
            FloorEvent::Left { gate: None, .. } | FloorEvent::Appeared { .. } => {}
        }
    }

    fn visit_of_mut(&mut self, shopper: ShopperId) -> Option<&mut Visit> {
        let id = self.by_shopper.get(&shopper)?;
        self.open.iter_mut().find(|v| v.id == *id)
    }

    /// Takes out the doubts about who came in on which credential: two shoppers, and the probability that it was the other
    /// way round from the beginning.
    pub fn take_doubts(&mut self) -> Vec<(ShopperId, ShopperId, f64)> {
        std::mem::take(&mut self.doubts)
    }

    /// Matches entries and exits with shoppers as far as `now` allows.
    pub fn advance(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        self.match_entries(now, layout, floor);
        self.match_exits(now, layout, floor);
        self.take_in(now, layout, floor);
        self.give_up(now, floor);
        for visit in &mut self.open {
            // By exits, or gone through gates: the exit event may be missing or nameless.
            if visit.leaving.is_none() && visit.is_over(now, self.config.missing_s) {
                // Whoever was seen leaving by the floor alone may still be on the threshold.
                let by_exits = visit.gone.is_subset(&visit.exited);
                visit.leaving = visit.last_left.filter(|_| by_exits).or(Some(now));
            }
        }
    }

    /// Takes out the visits whose grace time is over; `None` for `now` takes out all.
    pub fn take_closed(&mut self, now: Option<StoreTime>) -> Vec<(Visit, StoreTime)> {
        let grace_s = self.config.grace_s;
        let over = |v: &mut Visit| {
            now.is_none_or(|now| v.leaving.is_some_and(|left| now.seconds_since(left) >= grace_s))
        };
        let closed: Vec<Visit> = self.open.extract_if(.., over).collect();
        for shopper in closed.iter().flat_map(|v| &v.shoppers) {
            self.by_shopper.remove(shopper);
        }
        closed
            .into_iter()
            .map(|v| {
                let left = v.leaving.or(now).unwrap_or(v.entered);
                (v, left)
            })
            .collect()
    }

    /// Matches the open places of entries with shoppers who have no visit, all at once: an entry that is still too
    /// young to be matched competes too, so that nobody takes its shopper.
    fn match_entries(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        let config = self.config;
        let places: Vec<(usize, GateIndex, usize)> = self
            .open
            .iter()
            .enumerate()
            .filter(|(_, v)| Self::looking_s(v, now) <= config.match_until_s)
            .filter_map(|(i, v)| Some((i, v.gate?, v.shoppers.len()..v.party as usize)))
            .flat_map(|(i, gate, free)| free.map(move |place| (i, gate, place)))
            .collect();
        let strangers: Vec<&Shopper> =
            floor.shoppers().filter(|s| !self.by_shopper.contains_key(&s.id)).collect();
        if places.is_empty() || strangers.is_empty() {
            return;
        }
        let mut assignment = Assignment::default();
        assignment.reset(places.len(), strangers.len());
        for (row, (visit, gate, place)) in places.iter().enumerate() {
            let entered = self.open[*visit].entered;
            for (column, shopper) in strangers.iter().enumerate() {
                // The gate tells of a party once; those after the first come through when they come.
                let passed = if *place == 0 { entered } else { entered.max(shopper.born) };
                let strangeness = config.strangeness(*gate, passed, shopper, layout, floor);
                if strangeness < config.strangest {
                    assignment.set(row, column, strangeness);
                }
            }
        }
        let pairs: Vec<(usize, ShopperId)> = assignment
            .solve(config.strangest)
            .iter()
            .enumerate()
            .filter_map(|(row, column)| Some((places[row].0, strangers[(*column)?].id)))
            .collect();
        for (visit, shopper) in pairs {
            // Both must have had the time to find a better partner.
            let known = floor.shopper(shopper).map_or(now, |s| s.born);
            if now.seconds_since(self.open[visit].entered.max(known)) >= config.match_after_s {
                self.link(shopper, visit);
                self.doubt_entry(visit, shopper, layout, floor);
            }
        }
    }

    /// Would this shopper and one who came in before fit each other's entries as well?
    fn doubt_entry(&mut self, visit: usize, shopper: ShopperId, layout: &StoreLayout, floor: &FloorTracker) {
        let strangeness = |visit: &Visit, shopper: ShopperId| {
            let shopper = floor.shopper(shopper)?;
            Some(self.config.strangeness(visit.gate?, visit.entered, shopper, layout, floor))
        };
        let alone = |v: &&Visit| v.party == 1 && v.leaving.is_none();
        let Some(this) = Some(&self.open[visit]).filter(alone) else { return };
        let doubt = |other: &Visit| {
            let rival = *other.shoppers.first()?;
            let is = strangeness(this, shopper)? + strangeness(other, rival)?;
            let would_be = strangeness(this, rival)? + strangeness(other, shopper)?;
            let probability = 1.0 / (1.0 + (ENTRY_LOG_ODDS * (would_be - is)).exp());
            (probability > LEAST_DOUBT).then_some((shopper, rival, probability))
        };
        let since = |v: &&Visit| {
            this.entered.seconds_since(v.entered).abs() <= self.config.match_until_s && v.id != this.id
        };
        let doubts: Vec<_> = self.open.iter().filter(alone).filter(since).filter_map(doubt).collect();
        self.doubts.extend(doubts);
    }

    fn match_exits(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        let config = self.config;
        let ready = |e: &mut GatePassed| now.seconds_since(e.time) >= config.match_after_s;
        let due: Vec<GatePassed> = self.exits.extract_if(.., ready).collect();
        for passed in due {
            let found = match &passed.credential {
                Some(credential) => {
                    let is =
                        |v: &Visit| v.credential.as_ref() == Some(credential) && v.entered <= passed.time;
                    let at = self.open.iter().position(is);
                    at.map(|i| (i, None))
                }
                None => match self.who_left(&passed, layout, floor) {
                    Departure::Clear(visit, shopper) => Some((visit, Some(shopper))),
                    // Somebody else stands at the gate too: in a moment one of them will still be there.
                    Departure::Doubtful(..) if now.seconds_since(passed.time) < config.doubt_s => {
                        self.exits.push(passed);
                        continue;
                    }
                    Departure::Doubtful(visit, shopper) => Some((visit, Some(shopper))),
                    Departure::Nobody => None,
                },
            };
            if let Some((i, shopper)) = found {
                let visit = &mut self.open[i];
                visit.last_left = visit.last_left.max(Some(passed.time));
                match shopper {
                    Some(shopper) => {
                        visit.exited.insert(shopper);
                    }
                    None => visit.exits += 1,
                }
            }
        }
    }

    /// Whose shopper passed out of this gate at that moment: near it then, and not seen in the store afterwards.
    fn who_left(&self, passed: &GatePassed, layout: &StoreLayout, floor: &FloorTracker) -> Departure {
        let segment = layout.gates[passed.gate.0].segment;
        let mut found: Vec<(f64, usize, ShopperId)> = Vec::new();
        for (i, visit) in self.open.iter().enumerate() {
            for shopper in visit.shoppers.difference(&visit.exited) {
                let Some(position) = floor.position(*shopper, passed.time) else { continue };
                let distance_m = segment.distance_m(position.at);
                if distance_m > self.config.gate_reach_m {
                    continue;
                }
                let seen = floor.shopper(*shopper).map(|s| s.last_seen.seconds_since(passed.time));
                let stayed_s = seen.unwrap_or(0.0).clamp(0.0, STAYED_MAX_S);
                found.push((distance_m / AT_GATE_SD_M + STAYED_WEIGHT * stayed_s, i, *shopper));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        match found[..] {
            [] => Departure::Nobody,
            [(best, visit, shopper), ref others @ ..]
                if best <= CLEAR_COST && others.first().is_none_or(|o| o.0 > best + CLEAR_MARGIN) =>
            {
                Departure::Clear(visit, shopper)
            }
            [(_, visit, shopper), ..] => Departure::Doubtful(visit, shopper),
        }
    }
}

/// Who an exit without a name belongs to: a visit, by its position among the open ones, and one of its shoppers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    Clear(usize, ShopperId),
    Doubtful(usize, ShopperId),
    Nobody,
}

/// Who is seen in the store for longer than this after an exit was not the one who left, seconds.
const STAYED_MAX_S: f64 = 3.0;
/// What a second of staying counts against having left, in standard deviations.
const STAYED_WEIGHT: f64 = 2.0;
/// An exit is clear when the best fit is this good, in standard deviations ...
const CLEAR_COST: f64 = 3.0;
/// ... and this much better than the next.
const CLEAR_MARGIN: f64 = 2.0;
