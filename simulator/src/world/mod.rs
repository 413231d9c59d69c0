//! The simulated world: people with goals among shelves, and what their hands really do.
//!
//! Nothing in here knows of sensors or of the engine that is tested. What comes out is what happened: where everybody
//! was at every moment, every touch of a plate, every passing of a gate, and from the ledger of items who owes what.

mod acts;
mod body;
mod ledger;
mod plan;
mod reach;
mod shop;

use std::collections::BTreeMap;

use anyhow::ensure;
use linefree_domain::ids::{Credential, GateIndex, PlateIndex, ProductIndex, Sku};
use linefree_recording::{Receipt, ReceiptLine, Receipts};
use nalgebra::{Point2, Vector2};

use crate::chance::Chance;
use crate::load_cell::Handling;
use crate::scenario::{CrowdPlan, Scenario, Visitor};
use crate::stores::SimulatedStore;

pub use acts::{Act, Busy};
pub use body::{Body, Pose, STEP_S};
pub use ledger::{Item, Ledger, Place};

/// The longest a scenario may take, seconds: whoever is still there then is stuck.
const LONGEST_S: f64 = 900.0;
/// Between the last one's leaving and the recording's end, seconds: shelves settle, visits close.
const AFTERWARDS_S: f64 = 6.0;

/// Somebody passed a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// When the gate says so, seconds.
    pub at_s: f64,
    /// Which.
    pub gate: GateIndex,
    /// Into the store?
    pub entry: bool,
    /// On which credential.
    pub credential: Option<Credential>,
    /// How many come in on it.
    pub party: u32,
}

/// An item was handled where product vision could see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    /// When, seconds.
    pub at_s: f64,
    /// At which plate.
    pub plate: PlateIndex,
    /// What.
    pub product: ProductIndex,
}

/// Where one body was at every step.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// What stories call them.
    pub name: String,
    /// Body height, metres.
    pub height_m: f64,
    /// When they entered, seconds.
    pub entered_s: f64,
    /// The first step.
    pub from_step: usize,
    /// Every step from then on.
    pub poses: Vec<Pose>,
}

impl Walk {
    /// Where they are at a moment, between steps on the straight line; `None` before and after.
    #[must_use]
    pub fn pose(&self, t_s: f64) -> Option<Pose> {
        let step = t_s / STEP_S;
        let before = step.floor() as usize;
        let i = before.checked_sub(self.from_step)?;
        let a = self.poses.get(i)?;
        let b = self.poses.get(i + 1).unwrap_or(a);
        let part = step.fract();
        Some(Pose { at: a.at + (b.at - a.at) * part, hand: a.hand + (b.hand - a.hand) * part })
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub struct Happened {
    /// How long it took, seconds.
    pub duration_s: f64,
    /// Everybody's ways.
    pub walks: Vec<Walk>,
    /// Every hand at a plate.
    pub handlings: Vec<Handling>,
    /// Every passing of a gate.
    pub passages: Vec<Passage>,
    /// Every item handled.
    pub handled: Vec<Handled>,
    /// What everybody owes.
    pub receipts: Receipts,
    /// Where every item is at the end.
    pub ledger: Ledger,
    /// Items that each facing held in the beginning.
    pub stock: Vec<u32>,
    /// In words, for people.
    pub story: Vec<String>,
}

/// A store with people in it.
pub struct World<'s> {
    store: &'s SimulatedStore,
    crowd: CrowdPlan,
    chance: Chance,
    now_s: f64,
    step: usize,
    bodies: Vec<Body>,
    ledger: Ledger,
    stock: Vec<u32>,
    handlings: Vec<Handling>,
    passages: Vec<Passage>,
    handled: Vec<Handled>,
    story: Vec<String>,
    entered_s: BTreeMap<usize, f64>,
}

/// Lets a scenario happen.
///
/// # Errors
/// When the scenario asks for what the store does not have, or does not come to an end.
pub fn happen(scenario: &Scenario, store: &SimulatedStore, seed: u64) -> anyhow::Result<Happened> {
    let mut world = World::new(scenario, store, seed);
    plan::people(&mut world, scenario, seed)?;
    world.stock_up();
    while !world.bodies.iter().all(|b| b.gone) {
        ensure!(
            world.now_s < LONGEST_S,
            "scenario {} does not end within {LONGEST_S} s; still there: {:?}",
            scenario.name,
            world
                .bodies
                .iter()
                .filter(|b| !b.gone)
                .map(|b| (&b.name, &b.busy, b.acts.front()))
                .collect::<Vec<_>>()
        );
        world.tick();
    }
    world.end()
}

impl<'s> World<'s> {
    fn new(scenario: &Scenario, store: &'s SimulatedStore, seed: u64) -> Self {
        Self {
            store,
            crowd: scenario.crowd.clone(),
            chance: Chance::new(seed, "world"),
            now_s: 0.0,
            step: 0,
            bodies: Vec::new(),
            ledger: Ledger::default(),
            stock: store.stock.clone(),
            handlings: Vec::new(),
            passages: Vec::new(),
            handled: Vec::new(),
            story: Vec::new(),
            entered_s: BTreeMap::new(),
        }
    }

    /// Puts the items where they are in the beginning.
    fn stock_up(&mut self) {
        for (facing, count) in self.stock.clone().into_iter().enumerate() {
            for _ in 0..count {
                self.new_item(facing);
            }
        }
    }

    /// A new item on its facing.
    fn new_item(&mut self, facing: usize) -> usize {
        let f = &self.store.layout.facings[facing];
        let weight = self.store.weights[f.product.0];
        let weight_g = (weight.mean_g + self.chance.bounded_normal(weight.sd_g)).max(1.0);
        let rests = self.rests_on(&f.plates.clone());
        self.ledger.items.push(Item {
            product: self.store.layout.facings[facing].product,
            weight_g,
            place: Place::Shelf,
            rests,
            home: facing,
            picker: None,
        });
        self.ledger.items.len() - 1
    }

    /// How an item comes to rest on plates: mostly across the gap of two neighbours, sometimes on one alone.
    fn rests_on(&mut self, plates: &[PlateIndex]) -> Vec<(PlateIndex, f64)> {
        let pairs: Vec<&[PlateIndex]> = plates.windows(2).collect();
        match (self.chance.pick(&pairs).copied(), self.chance.happens(0.65)) {
            (Some([a, b]), true) => {
                let u = self.chance.between(0.12, 0.88);
                vec![(*a, u), (*b, 1.0 - u)]
            }
            _ => self.chance.pick(plates).map(|p| (*p, 1.0)).into_iter().collect(),
        }
    }

    fn tick(&mut self) {
        for who in 0..self.bodies.len() {
            if let Some((before, after_s)) = self.bodies[who].again
                && self.bodies[before].gone
            {
                self.bodies[who].again = None;
                self.bodies[who].credential_of = before;
                self.bodies[who].enters_s = self.now_s + after_s;
            }
            if !self.bodies[who].here && !self.bodies[who].gone && self.now_s >= self.bodies[who].enters_s {
                self.come(who);
            }
            if self.bodies[who].here && !self.bodies[who].gone {
                self.act(who);
            }
        }
        for body in self.bodies.iter_mut().filter(|b| b.here && !b.gone) {
            if !matches!(body.busy, Busy::Reaching(_)) {
                body.hand = body.resting_hand();
            }
            body.poses.push(Pose { at: body.at, hand: body.hand });
        }
        self.step += 1;
        self.now_s = self.step as f64 * STEP_S;
    }

    /// Everyone else in the store: place and velocity.
    fn others(&self, who: usize) -> Vec<(Point2<f64>, Vector2<f64>)> {
        let there = |(i, b): &(usize, &Body)| *i != who && b.here && !b.gone;
        self.bodies.iter().enumerate().filter(there).map(|(_, b)| (b.at, b.velocity)).collect()
    }

    fn tell(&mut self, who: usize, what: &str) {
        let name = &self.bodies[who].name;
        self.story.push(format!("{:7.1} s  {name} {what}", self.now_s));
    }

    fn product_name(&self, product: ProductIndex) -> String {
        let p = &self.store.layout.products[product.0];
        format!("{} ({:.0} g)", p.sku, p.weight.mean_g)
    }

    fn plate_names(&self, plates: &[PlateIndex]) -> String {
        let names: Vec<&str> = plates.iter().map(|p| self.store.layout.plates[p.0].id.as_str()).collect();
        names.join("+")
    }

    fn credential(&self, who: usize) -> Option<Credential> {
        let body = &self.bodies[who];
        let leader = &self.bodies[body.account];
        let name = &self.bodies[leader.credential_of].name;
        let text = match leader.visitor {
            Visitor::Shopper => format!("c-{name}"),
            Visitor::Staff => format!("staff-{name}"),
            Visitor::Unseen | Visitor::Denied => return None,
        };
        Credential::new(text).ok()
    }

    fn end(self) -> anyhow::Result<Happened> {
        let pays = |who: usize| {
            let leader = &self.bodies[self.bodies[who].account];
            matches!(leader.visitor, Visitor::Shopper | Visitor::Unseen)
        };
        ensure!(
            self.ledger.is_conserved(),
            "the world lost or made an item: this is a mistake in the simulator"
        );
        // Everyone who entered has a receipt; strangers only for what they took. Two stays are two receipts, and what
        // was owed is theirs who entered, by body.
        let owed = self.ledger.owed(pays);
        let mut by_account: BTreeMap<usize, BTreeMap<ProductIndex, u32>> = BTreeMap::new();
        for who in self.entered_s.keys() {
            by_account.entry(self.bodies[*who].account).or_default();
        }
        for (who, list) in owed {
            let account = by_account.entry(self.bodies[who].account).or_default();
            for (product, count) in list {
                *account.entry(product).or_default() += count;
            }
        }
        let mut receipts = Vec::new();
        for (account, list) in by_account {
            let credential = self.credential(account);
            if credential.is_none() && list.is_empty() {
                continue;
            }
            let mut lines = Vec::new();
            for (product, quantity) in list {
                let sku = Sku::new(self.store.layout.products[product.0].sku.as_str())?;
                lines.push(ReceiptLine { sku, quantity, probability: None, review: None });
            }
            receipts.push(Receipt { credential, lines });
        }
        let mut passages = self.passages;
        passages.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let mut handlings = self.handlings;
        handlings.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let entered = self.entered_s;
        let walks = self.bodies.into_iter().enumerate().map(|(i, b)| Walk {
            name: b.name,
            height_m: b.height_m,
            entered_s: entered.get(&i).copied().unwrap_or(b.enters_s),
            from_step: b.from_step,
            poses: b.poses,
        });
        Ok(Happened {
            duration_s: ((self.now_s + AFTERWARDS_S) * 10.0).ceil() / 10.0,
            walks: walks.collect(),
            handlings,
            passages,
            handled: self.handled,
            receipts: Receipts { receipts }.canonical(),
            ledger: self.ledger,
            stock: self.stock,
            story: self.story,
        })
    }
}
