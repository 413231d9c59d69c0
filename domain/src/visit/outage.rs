//! Visits across a time in which nobody watched: the program that decides was away.
//!
//! Whoever was in the store stays on their visit, but who is who afterwards is known only where something says so
//! that cannot have been mistaken. All other visits are in doubt from then on: a person looks at each of their lines.
//! What is guessed here, so that what was taken stands on somebody's receipt at all, is guessed for that person.

use std::collections::BTreeSet;

use super::{Visit, Visits};
use crate::floor::{FloorTracker, Shopper};
use crate::ids::{Credential, ShopperId, VisitId};
use crate::layout::StoreLayout;
use crate::time::StoreTime;

/// Who was out of sight is found again within this time, or was not followed on, seconds.
const SETTLED_AFTER_S: f64 = 3.0;
/// Somebody first seen so long after is no longer one who was there before, seconds.
const TAKEN_IN_UNTIL_S: f64 = 60.0;

/// A visit as it is known from before, where nothing else is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedVisit {
    /// Its id.
    pub id: VisitId,
    /// Who pays.
    pub credential: Option<Credential>,
    /// How many people are on the credential.
    pub party: u32,
    /// When it began.
    pub entered: StoreTime,
}

impl Visits {
    /// How many visits have been opened, those that ended included. It numbers the next one.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Goes on numbering after so many visits.
    pub fn resume_after(&mut self, opened: u64) {
        self.opened = self.opened.max(opened);
    }

    /// Nobody watched from one moment to another: every visit of that time is in doubt, also those whose entries are told
    /// later.
    pub fn interrupt(&mut self, from: StoreTime, until: StoreTime) {
        self.unwatched = Some((from, until));
        for visit in &mut self.open {
            visit.doubt_from(until);
        }
    }

    /// Takes the doubt back from visits of whom everybody is surely the same as before.
    pub fn reassure(&mut self, is_same: impl Fn(ShopperId) -> bool) {
        let Some((from, _)) = self.unwatched else { return };
        for visit in self.open.iter_mut().filter(|v| v.in_doubt && !v.carried && v.doubts == 1) {
            let complete = visit.shoppers.len() >= visit.party as usize;
            if visit.entered < from && complete && visit.shoppers.iter().all(|s| is_same(*s)) {
                visit.in_doubt = false;
                visit.doubts = 0;
            }
        }
    }

    /// Goes on with a visit of which only this is known; it is in doubt.
    pub fn carry(&mut self, carried: CarriedVisit, now: StoreTime) {
        let mut visit = Visit::new(carried.id, carried.credential, carried.party, carried.entered, None);
        visit.carried = true;
        visit.doubt_from(now);
        self.open.push(visit);
        self.open.sort_by_key(|v| v.entered);
    }

    /// Forgets an open visit: its receipt is written already.
    pub fn forget(&mut self, id: &VisitId) {
        self.open.retain(|v| v.id != *id);
        self.by_shopper.retain(|_, visit| visit != id);
    }

    /// An entry that is told for a time in which nobody watched.
    pub(super) fn doubt_if_unwatched(&mut self, visit: usize) {
        if let Some((_, until)) = self.unwatched.filter(|(_, until)| self.open[visit].entered <= *until) {
            self.open[visit].doubt_from(until);
        }
    }

    /// How long an entry has had to find its shopper; nobody was found while nobody watched.
    pub(super) fn looking_s(visit: &Visit, now: StoreTime) -> f64 {
        let since = visit.watched_from.map_or(visit.entered, |from| from.max(visit.entered));
        now.seconds_since(since)
    }

    /// Visits in doubt of whom nobody is seen any more take in whoever walks about without one: the nearest first.
    pub(super) fn take_in(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        let Some((from, until)) = self.unwatched else { return };
        let since_s = now.seconds_since(until);
        if !(SETTLED_AFTER_S..=TAKEN_IN_UNTIL_S).contains(&since_s) {
            return;
        }
        let stranger = |s: &&Shopper| {
            let waited_s = now.seconds_since(s.born);
            let new = s.born >= from && s.born_gate.is_none() && waited_s >= SETTLED_AFTER_S;
            new && !self.by_shopper.contains_key(&s.id)
        };
        let strangers: Vec<Shopper> = floor.shoppers().filter(stranger).copied().collect();
        let lost: Vec<usize> = (0..self.open.len()).filter(|i| self.open[*i].is_lost(until, floor)).collect();
        let mut pairs: Vec<(f64, usize, ShopperId)> = Vec::new();
        for visit in lost {
            let known = self.open[visit].shoppers.iter().filter_map(|s| Some(floor.shopper(*s)?.at));
            let places: Vec<_> = known.collect();
            for stranger in &strangers {
                let near = places.iter().map(|at| (at - stranger.born_at).norm());
                let gate = self.open[visit].gate;
                let from_gate = gate.map_or(0.0, |g| layout.gates[g.0].segment.distance_m(stranger.born_at));
                pairs.push((near.reduce(f64::min).unwrap_or(from_gate), visit, stranger.id));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut taken: (BTreeSet<usize>, BTreeSet<ShopperId>) = Default::default();
        for (_, visit, shopper) in pairs {
            if !taken.0.contains(&visit) && taken.1.insert(shopper) {
                taken.0.insert(visit);
                let lost: Vec<ShopperId> = self.open[visit].shoppers.iter().copied().collect();
                self.open[visit].gone.extend(lost);
                self.link(shopper, visit);
            }
        }
    }

    /// A visit in doubt of whom nobody has been seen for long is over: it gets its receipt.
    pub(super) fn give_up(&mut self, now: StoreTime, floor: &FloorTracker) {
        let abandoned_s = self.config.abandoned_s;
        for visit in self.open.iter_mut().filter(|v| v.in_doubt && v.leaving.is_none()) {
            let Some(from) = visit.watched_from else { continue };
            let seen = visit.shoppers.iter().filter_map(|s| Some(floor.shopper(*s)?.last_seen)).max();
            if now.seconds_since(seen.map_or(from, |seen| seen.max(from))) >= abandoned_s {
                visit.leaving = Some(now);
            }
        }
    }
}

impl Visit {
    fn doubt_from(&mut self, until: StoreTime) {
        self.in_doubt = true;
        self.doubts += 1;
        self.watched_from = self.watched_from.max(Some(until));
    }

    /// Has nobody of it been seen since a moment, although they have not left?
    fn is_lost(&self, since: StoreTime, floor: &FloorTracker) -> bool {
        let seen = |s: &ShopperId| floor.shopper(*s).is_some_and(|s| s.last_seen > since);
        self.in_doubt && self.leaving.is_none() && self.last_left.is_none() && !self.shoppers.iter().any(seen)
    }
}
