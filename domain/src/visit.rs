//! Gates and shoppers into visits: who entered with which credential, and when they have left.
//!
//! A gate knows a credential and a moment; the floor knows who was near. They are matched after a short wait, since
//! a shopper is often seen only after having passed. A visit ends after an exit that fits one of its shoppers, or
//! when all of them vanished at gates; it stays open for a grace time, so that a shelf that settles late still counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::floor::{FloorEvent, FloorTracker};
use crate::ids::{Credential, GateIndex, ShopperId, VisitId};
use crate::layout::StoreLayout;
use crate::time::StoreTime;

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
    /// Between leaving and the receipt, seconds.
    pub grace_s: f64,
}

impl Default for VisitConfig {
    fn default() -> Self {
        Self { match_after_s: 1.5, match_until_s: 12.0, gate_reach_m: 2.5, walk_mps: 1.0, grace_s: 3.0 }
    }
}

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
    gone: BTreeSet<ShopperId>,
    leaving: Option<StoreTime>,
}

#[derive(Debug, Clone, PartialEq)]
struct PendingExit {
    passed: GatePassed,
}

/// Every open visit of the store.
#[derive(Debug, Clone)]
pub struct Visits {
    config: VisitConfig,
    open: Vec<Visit>,
    exits: Vec<PendingExit>,
    by_shopper: BTreeMap<ShopperId, VisitId>,
    opened: u64,
}

impl Visits {
    /// Nobody is in the store.
    #[must_use]
    pub fn new(config: VisitConfig) -> Self {
        Self { config, open: Vec::new(), exits: Vec::new(), by_shopper: BTreeMap::new(), opened: 0 }
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
            self.exits.push(PendingExit { passed });
            return None;
        }
        Some(self.begin(passed.credential, passed.party, passed.time, Some(passed.gate)))
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
        self.open.push(Visit {
            id,
            credential,
            party,
            entered,
            gate,
            shoppers: BTreeSet::new(),
            gone: BTreeSet::new(),
            leaving: None,
        });
        self.open[self.open.len() - 1].clone()
    }

    fn link(&mut self, shopper: ShopperId, visit: usize) {
        self.by_shopper.insert(shopper, self.open[visit].id.clone());
        self.open[visit].shoppers.insert(shopper);
    }

    /// Follows what the floor says of shoppers who left or turned out to be one.
    pub fn handle_floor(&mut self, event: &FloorEvent) {
        match event {
            FloorEvent::Left { shopper, gate: Some(_), .. } => {
                if let Some(visit) = self.visit_of_mut(*shopper) {
                    visit.gone.insert(*shopper);
                }
            }
            FloorEvent::Merged { kept, gone, .. } => {
                let visit = self.by_shopper.remove(gone);
                for open in &mut self.open {
                    open.shoppers.remove(gone);
                    open.gone.remove(gone);
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

    /// Matches entries and exits with shoppers as far as `now` allows.
    pub fn advance(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        self.match_entries(now, layout, floor);
        self.match_exits(now, layout, floor);
        for visit in &mut self.open {
            // Everyone gone through gates: the exit event may be missing or nameless.
            if visit.leaving.is_none() && !visit.shoppers.is_empty() && visit.shoppers == visit.gone {
                visit.leaving = Some(now);
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

    fn match_entries(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        let config = self.config;
        // Every open place of every waiting entry against every shopper without a visit, nearest first.
        let mut pairs: Vec<(f64, usize, ShopperId)> = Vec::new();
        for (i, visit) in self.open.iter().enumerate() {
            let waited_s = now.seconds_since(visit.entered);
            let full = visit.shoppers.len() >= visit.party as usize;
            let Some(gate) = visit
                .gate
                .filter(|_| !full && (config.match_after_s..config.match_until_s).contains(&waited_s))
            else {
                continue;
            };
            let segment = layout.gates[gate.0].segment;
            for shopper in floor.shoppers().filter(|s| !self.by_shopper.contains_key(&s.id)) {
                // Someone who came long before or after this entry is somebody else's.
                let late_s = shopper.born.seconds_since(visit.entered);
                let at = floor.position(shopper.id, visit.entered).map(|p| p.at);
                let distance_m = segment.distance_m(at.unwrap_or(shopper.born_at));
                let walked_m = if at.is_some() { 0.0 } else { late_s.max(0.0) * config.walk_mps };
                let strange_m = (distance_m - walked_m).abs().min(distance_m) + 0.3 * late_s.abs();
                if distance_m <= config.gate_reach_m + walked_m {
                    pairs.push((strange_m, i, shopper.id));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (_, visit, shopper) in pairs {
            let open = &self.open[visit];
            if open.shoppers.len() < open.party as usize && !self.by_shopper.contains_key(&shopper) {
                self.link(shopper, visit);
            }
        }
    }

    fn match_exits(&mut self, now: StoreTime, layout: &StoreLayout, floor: &FloorTracker) {
        let config = self.config;
        let ready = |e: &mut PendingExit| now.seconds_since(e.passed.time) >= config.match_after_s;
        let due: Vec<PendingExit> = self.exits.extract_if(.., ready).collect();
        for PendingExit { passed } in due {
            let found = match &passed.credential {
                Some(credential) => self.open.iter().position(|v| v.credential.as_ref() == Some(credential)),
                None => self.nearest_leaving(&passed, layout, floor),
            };
            if let Some(i) = found {
                self.open[i].leaving.get_or_insert(passed.time);
            }
        }
    }

    /// The visit whose shopper passed out of this gate at that moment, by distance then; those whom the floor saw
    /// leave there come first.
    fn nearest_leaving(
        &self,
        passed: &GatePassed,
        layout: &StoreLayout,
        floor: &FloorTracker,
    ) -> Option<usize> {
        let segment = layout.gates[passed.gate.0].segment;
        let mut best: Option<(f64, usize)> = None;
        for (i, visit) in self.open.iter().enumerate().filter(|(_, v)| v.leaving.is_none()) {
            for shopper in &visit.shoppers {
                let Some(position) = floor.position(*shopper, passed.time) else { continue };
                let bonus_m = if visit.gone.contains(shopper) { 1.0 } else { 0.0 };
                let distance_m = segment.distance_m(position.at);
                let cost_m = distance_m - bonus_m;
                if distance_m <= self.config.gate_reach_m && best.is_none_or(|(b, _)| cost_m < b) {
                    best = Some((cost_m, i));
                }
            }
        }
        best.map(|(_, i)| i)
    }
}
