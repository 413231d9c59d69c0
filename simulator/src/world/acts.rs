//! What people do, act by act.

use linefree_domain::geometry::Segment;
use linefree_domain::ids::{GateIndex, PlateIndex, ProductIndex};
use nalgebra::{Point2, Vector2};

use super::reach::Reaching;
use super::{Passage, Place, World};
use crate::obstacles::nearest;
use crate::scenario::{Manner, Visitor};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Go out through one.
    Leave,
    /// Wait before a closed gate and go away again.
    TurnAway,
    /// Walk to a point, out of the doorway.
    GoAside(Point2<f64>),
    /// Walk to the front of plates.
    GoTo(Vec<PlateIndex>),
    /// Walk to the front of a product's home.
    Visit(ProductIndex),
    /// Take items in one reach from where another product is at home.
    TakeFrom(Vec<(u32, ProductIndex, Vec<PlateIndex>)>, ProductIndex, Manner),
    /// Put items where another product is at home.
    PutAt(u32, ProductIndex, ProductIndex, Manner),
    /// Touch the plates where a product is at home.
    TouchOf(ProductIndex),
    /// Take items in one reach; no plates: where the product is at home.
    Take(Vec<(u32, ProductIndex, Vec<PlateIndex>)>, Manner),
    /// Put items; no plates: where they are at home.
    Put(u32, ProductIndex, Vec<PlateIndex>, Manner),
    /// Touch plates and change nothing.
    Touch(Vec<PlateIndex>),
    /// Put items from the back onto their home.
    Stock(u32, ProductIndex),
    /// The reach itself, once they stand there.
    Reach(Box<Reaching>),
    /// Put something on the floor.
    Drop(ProductIndex),
    /// Pick it up from there.
    PickUp(ProductIndex),
    /// Hand something over.
    Give(ProductIndex, usize),
    /// Wait, seconds.
    Wait(f64),
    /// Wait until a moment, seconds from the start.
    At(f64),
    /// Wait until somebody waits for them too.
    Meet(usize),
    /// Wait until somebody has a product.
    UntilHas(usize, ProductIndex),
    /// Wait until somebody had a product and has it no more.
    UntilRid(usize, ProductIndex),
    /// Wait until somebody has left.
    UntilLeft(usize),
    /// Walk faster from now on.
    Hurry,
    /// Go where no camera looks.
    Hide,
    /// Do so many things at random.
    Shop(u32),
}

/// What somebody is at.
#[derive(Debug, Clone, PartialEq)]
pub enum Busy {
    /// Nothing.
    No,
    /// Walking to where the way leads.
    Walking,
    /// Handling plates.
    Reaching(Box<Reaching>),
    /// Waiting until a moment, seconds.
    Until(f64),
    /// Waiting for somebody, since so many seconds.
    For(Act, f64),
    /// Handing over, until so many seconds.
    Giving(usize, f64),
    /// Passing a gate: inwards?
    Passing(GateIndex, bool),
    /// Going away from a gate that stayed closed.
    GoingAway,
}

/// Nobody waits longer for somebody, seconds.
const PATIENCE_S: f64 = 30.0;
/// How far outside people come from and vanish to, metres.
const OUTSIDE_M: f64 = 0.9;

impl World<'_> {
    fn outward(&self, gate: &Segment) -> Vector2<f64> {
        let corners = self.store.layout.floor.corners();
        let middle = corners.iter().map(|c| c.coords).sum::<Vector2<f64>>() / corners.len() as f64;
        let along = gate.to - gate.from;
        let normal = Vector2::new(-along.y, along.x).normalize();
        if normal.dot(&(gate.middle().coords - middle)) > 0.0 { normal } else { -normal }
    }

    fn gate(&mut self, inwards: bool) -> GateIndex {
        let gates = &self.store.layout.gates;
        let works: Vec<GateIndex> = (0..gates.len())
            .filter(|g| if inwards { gates[*g].kind.lets_in() } else { gates[*g].kind.lets_out() })
            .map(GateIndex)
            .collect();
        self.chance.pick(&works).copied().unwrap_or(GateIndex(0))
    }

    /// Somebody appears before a gate.
    pub(super) fn come(&mut self, who: usize) {
        let gate = self.gate(true);
        // One after the other.
        let taken = |b: &super::Body| b.here && !b.gone && matches!(b.busy, Busy::Passing(g, _) if g == gate);
        if self.bodies.iter().any(taken) {
            self.bodies[who].enters_s = self.now_s + self.chance.between(0.3, 0.8);
            return;
        }
        let segment = self.store.layout.gates[gate.0].segment;
        let out = self.outward(&segment);
        let along = (segment.to - segment.from) * self.chance.between(-0.2, 0.2);
        let at = segment.middle() + along + out * OUTSIDE_M;
        let way = [segment.middle() + along, segment.middle() + along - out * 0.7];
        let body = &mut self.bodies[who];
        body.here = true;
        body.from_step = self.step;
        body.at = at;
        body.heading = -out;
        body.passing = true;
        if body.visitor == Visitor::Denied {
            body.set_out(vec![segment.middle() + along + out * 0.35], self.now_s);
            body.busy = Busy::Walking;
        } else {
            body.set_out(way.to_vec(), self.now_s);
            body.busy = Busy::Passing(gate, true);
        }
        body.hand = body.resting_hand();
    }

    /// One step of what somebody is at.
    pub(super) fn act(&mut self, who: usize) {
        let others = self.others(who);
        match self.bodies[who].busy.clone() {
            Busy::No => {
                self.bodies[who].stand(&others, &self.store.obstacles);
                self.next_act(who);
            }
            Busy::Walking => {
                // After a while of "after you", somebody squeezes past.
                self.bodies[who].squeezes |= self.bodies[who].stuck_s(self.now_s) > 1.8;
                let arrived = self.bodies[who].walk(&others, &self.store.obstacles, self.now_s);
                if arrived {
                    self.bodies[who].busy = Busy::No;
                } else {
                    self.get_unstuck(who);
                }
            }
            Busy::Reaching(reaching) => self.reach(who, reaching),
            Busy::Until(until_s) => {
                self.bodies[who].stand(&others, &self.store.obstacles);
                if self.now_s >= until_s {
                    self.bodies[who].busy = Busy::No;
                }
            }
            Busy::For(act, since_s) => {
                self.bodies[who].stand(&others, &self.store.obstacles);
                self.wait_for(who, &act, since_s);
            }
            Busy::Giving(to, until_s) => {
                if self.now_s >= until_s {
                    self.hand_over(who, to);
                    self.bodies[who].busy = Busy::No;
                }
            }
            Busy::Passing(gate, inwards) => self.pass(who, gate, inwards, &others),
            Busy::GoingAway => {
                if self.bodies[who].walk(&others, &self.store.obstacles, self.now_s)
                    || self.bodies[who].stuck_s(self.now_s) > 5.0
                {
                    self.bodies[who].gone = true;
                }
            }
        }
    }

    fn get_unstuck(&mut self, who: usize) {
        let stuck_s = self.bodies[who].stuck_s(self.now_s);
        if stuck_s < 2.0 {
            return;
        }
        let Some(goal) = self.bodies[who].way.back().copied() else { return };
        let left_m = (goal - self.bodies[who].at).norm();
        if left_m < 0.15 + 0.1 * stuck_s {
            // Near enough, if somebody else stands there.
            self.bodies[who].way.clear();
            return;
        }
        if self.chance.happens(0.03) {
            let aside = Vector2::new(self.chance.normal(0.4), self.chance.normal(0.4));
            let by = self.bodies[who].at + aside;
            let from = if self.store.obstacles.is_free(by) { by } else { self.bodies[who].at };
            let mut way = vec![from];
            way.extend(self.store.obstacles.way(from, goal));
            let since = self.bodies[who].progress.1;
            self.bodies[who].set_out(way, since);
        }
    }

    fn walk_to(&mut self, who: usize, goal: Point2<f64>) {
        let way = self.store.obstacles.way(self.bodies[who].at, goal);
        self.bodies[who].set_out(way, self.now_s);
        self.bodies[who].squeezes = false;
        self.bodies[who].busy = Busy::Walking;
    }

    fn next_act(&mut self, who: usize) {
        let Some(act) = self.bodies[who].acts.pop_front() else {
            self.bodies[who].gone = true;
            return;
        };
        match act {
            Act::Leave => {
                self.bodies[who].squeezes = false;
                let gate = self.gate(false);
                let segment = self.store.layout.gates[gate.0].segment;
                let out = self.outward(&segment);
                let along = (segment.to - segment.from) * self.chance.between(-0.2, 0.2);
                let inside = segment.middle() + along - out * 0.6;
                let mut way = self.store.obstacles.way(self.bodies[who].at, inside);
                way.push(segment.middle() + along + out * OUTSIDE_M);
                self.bodies[who].set_out(way, self.now_s);
                self.bodies[who].busy = Busy::Passing(gate, false);
            }
            Act::TurnAway => {
                let back = self.bodies[who].at - self.bodies[who].heading * 1.2;
                self.bodies[who].set_out(vec![back], self.now_s);
                self.bodies[who].busy = Busy::GoingAway;
                self.tell(who, "was not let in and goes away");
            }
            Act::GoAside(at) => self.walk_to(who, at),
            Act::GoTo(plates) => {
                let spot = self.spot_before(who, &plates);
                self.bodies[who].spot = Some(spot);
                self.walk_to(who, spot);
            }
            Act::Visit(product) => {
                let plates = self.home_plates(who, product);
                self.bodies[who].acts.push_front(Act::GoTo(plates));
            }
            Act::TakeFrom(mut what, other, manner) => {
                let plates = self.home_plates(who, other);
                for (_, _, from) in &mut what {
                    from.clone_from(&plates);
                }
                self.begin_take(who, what, manner);
            }
            Act::PutAt(count, product, other, manner) => {
                let plates = self.home_plates(who, other);
                self.begin_put(who, count, product, plates, manner);
            }
            Act::TouchOf(product) => {
                let plates = self.home_plates(who, product);
                self.begin_touch(who, plates);
            }
            Act::Take(what, manner) => self.begin_take(who, what, manner),
            Act::Put(count, product, plates, manner) => self.begin_put(who, count, product, plates, manner),
            Act::Touch(plates) => self.begin_touch(who, plates),
            Act::Stock(count, product) => self.begin_stock(who, count, product),
            Act::Reach(reaching) => self.begin_reach(who, *reaching),
            Act::Drop(product) => {
                let item = self.ledger.with(who).find(|i| self.ledger.items[*i].product == product);
                if let Some(item) = item {
                    let at = self.bodies[who].at + self.bodies[who].heading * 0.3;
                    self.ledger.items[item].place = Place::Floor(at);
                    let name = self.product_name(product);
                    self.tell(who, &format!("leaves {name} on the floor"));
                }
                self.bodies[who].busy = Busy::Until(self.now_s + 1.0);
            }
            Act::PickUp(product) => self.pick_up(who, product),
            Act::Give(product, to) => self.give(who, product, to),
            Act::Wait(s) => self.bodies[who].busy = Busy::Until(self.now_s + s),
            Act::At(t_s) => self.bodies[who].busy = Busy::Until(t_s),
            Act::Hurry => {
                self.bodies[who].speed_m_s = self.chance.between(1.8, 2.3);
            }
            Act::Hide => {
                if let Some(at) = self.hidden_spot() {
                    self.walk_to(who, at);
                }
            }
            Act::Shop(n) => self.shop(who, n),
            waiting @ (Act::Meet(_) | Act::UntilHas(..) | Act::UntilRid(..) | Act::UntilLeft(_)) => {
                self.bodies[who].busy = Busy::For(waiting, self.now_s);
            }
        }
    }

    fn has(&self, who: usize, product: ProductIndex) -> bool {
        self.ledger.with(who).any(|i| self.ledger.items[i].product == product)
    }

    fn wait_for(&mut self, who: usize, act: &Act, since_s: f64) {
        let over = match act {
            Act::Meet(other) => {
                let mine = matches!(&self.bodies[*other].busy, Busy::For(Act::Meet(me), _) if *me == who);
                // Both go on in the same step: the other one is freed with me.
                if mine {
                    self.bodies[*other].busy = Busy::No;
                }
                mine
            }
            Act::UntilHas(other, product) => self.has(*other, *product),
            Act::UntilRid(other, product) => {
                self.ledger.had.contains(&(*other, *product)) && !self.has(*other, *product)
            }
            Act::UntilLeft(other) => self.bodies[*other].gone,
            _ => true,
        };
        if over {
            self.bodies[who].busy = Busy::No;
        } else if self.now_s - since_s > PATIENCE_S {
            self.tell(who, "gives up waiting");
            self.bodies[who].busy = Busy::No;
        }
    }

    fn pass(&mut self, who: usize, gate: GateIndex, inwards: bool, others: &[(Point2<f64>, Vector2<f64>)]) {
        let floor = &self.store.layout.floor;
        let was_inside = floor.contains(self.bodies[who].at);
        // The last leg of leaving goes over the threshold.
        if !inwards && self.bodies[who].way.len() == 1 {
            self.bodies[who].passing = true;
        }
        if !inwards && was_inside && self.bodies[who].stuck_s(self.now_s) > 4.0 {
            // Another way, by whichever gate.
            self.bodies[who].passing = false;
            self.bodies[who].acts.push_front(Act::Leave);
            self.bodies[who].busy = Busy::No;
            return;
        }
        // People squeeze through a door.
        self.bodies[who].squeezes |= self.bodies[who].stuck_s(self.now_s) > 1.5;
        let arrived = self.bodies[who].walk(others, &self.store.obstacles, self.now_s);
        let is_inside = floor.contains(self.bodies[who].at);
        if inwards && !was_inside && is_inside {
            self.entered(who, gate);
        }
        if !inwards && was_inside && !is_inside {
            self.left(who, gate);
        }
        // Through is through, wherever exactly somebody else stands on the other side.
        let through = inwards == is_inside && self.bodies[who].stuck_s(self.now_s) > 1.0;
        if arrived || through {
            let aside = if inwards { self.aside(who) } else { None };
            let body = &mut self.bodies[who];
            if inwards {
                body.way.clear();
                body.passing = false;
                body.busy = Busy::No;
                if let Some(at) = aside {
                    body.acts.push_front(Act::GoAside(at));
                }
            } else {
                body.gone = true;
            }
        }
    }

    /// Where somebody waits who has come in and has to wait: not in the doorway.
    fn aside(&mut self, who: usize) -> Option<Point2<f64>> {
        let waits = matches!(
            self.bodies[who].acts.front(),
            Some(Act::Meet(_) | Act::UntilHas(..) | Act::UntilRid(..) | Act::UntilLeft(_) | Act::Wait(_))
        );
        let at = self.bodies[who].at;
        let free = |p: &Point2<f64>, s: &Self| s.store.obstacles.is_free(*p);
        let mut spot = None;
        for _ in 0..60 {
            let angle = self.chance.between(0.0, std::f64::consts::TAU);
            let p = at + Vector2::new(angle.cos(), angle.sin()) * self.chance.between(1.0, 2.4);
            let clear = self.store.layout.gates.iter().all(|g| g.segment.distance_m(p) > 1.1);
            if free(&p, self) && clear {
                spot = Some(p);
                break;
            }
        }
        spot.filter(|_| waits)
    }

    fn entered(&mut self, who: usize, gate: GateIndex) {
        self.entered_s.insert(who, self.now_s);
        self.tell(who, "enters");
        // People scan, and then walk in.
        let scanned_s = self.now_s - self.chance.between(-0.2, 1.0);
        // One scans when the one before is through.
        let before = self.passages.iter().filter(|p| p.gate == gate && p.entry).map(|p| p.at_s);
        let at_s = scanned_s.max(before.fold(0.0, f64::max) + 0.3);
        let body = &self.bodies[who];
        let leads = body.account == who;
        let noticed = self.bodies[body.account].visitor != Visitor::Unseen;
        if leads && noticed {
            let party = self.bodies.iter().filter(|b| b.account == who).count();
            let credential = self.credential(who);
            let party = u32::try_from(party).unwrap_or(1);
            self.passages.push(Passage { at_s, gate, entry: true, credential, party });
        }
    }

    fn left(&mut self, who: usize, gate: GateIndex) {
        self.tell(who, "leaves");
        let at_s = self.now_s + self.chance.between(-0.2, 0.3);
        self.passages.push(Passage { at_s, gate, entry: false, credential: None, party: 1 });
        for item in self.ledger.with(who).collect::<Vec<_>>() {
            self.ledger.items[item].place = Place::Sold(who);
        }
    }

    fn pick_up(&mut self, who: usize, product: ProductIndex) {
        let on_floor = |i: &super::Item| match i.place {
            Place::Floor(at) if i.product == product => Some(at),
            _ => None,
        };
        let spots = self.ledger.items.iter().filter_map(on_floor);
        let Some(at) = nearest(self.bodies[who].at, spots) else { return };
        if (at - self.bodies[who].at).norm() > 0.8 {
            let aside = self.store.obstacles.kept_out(at, false);
            self.bodies[who].acts.push_front(Act::PickUp(product));
            let before = self.bodies[who].at;
            self.walk_to(who, aside);
            // Somebody stands on it: take it from where they are.
            if (before - aside).norm() > 0.3 {
                return;
            }
            self.bodies[who].acts.pop_front();
        }
        let item =
            self.ledger.items.iter().position(|i| i.product == product && matches!(i.place, Place::Floor(_)));
        if let Some(item) = item {
            self.ledger.hand(item, who);
            let name = self.product_name(product);
            self.tell(who, &format!("picks up {name} from the floor"));
        }
        self.bodies[who].busy = Busy::Until(self.now_s + 1.5);
    }

    fn give(&mut self, who: usize, product: ProductIndex, to: usize) {
        if !self.has(who, product) || self.bodies[to].gone {
            return;
        }
        let off = self.bodies[to].at - self.bodies[who].at;
        if !self.bodies[to].here || off.norm() > 0.75 {
            let goal = self.bodies[to].at - off / off.norm().max(1e-6) * 0.6;
            let goal = self.store.obstacles.kept_out(goal, false);
            self.bodies[who].acts.push_front(Act::Give(product, to));
            if self.bodies[to].here && self.store.layout.floor.contains(self.bodies[to].at) {
                self.walk_to(who, goal);
            } else {
                self.bodies[who].busy = Busy::Until(self.now_s + 0.5);
            }
            return;
        }
        self.bodies[who].acts.push_front(Act::Give(product, to));
        self.bodies[who].busy = Busy::Giving(to, self.now_s + self.chance.between(0.6, 1.5));
    }

    fn hand_over(&mut self, who: usize, to: usize) {
        let Some(Act::Give(product, _)) = self.bodies[who].acts.pop_front() else { return };
        let item = self.ledger.with(who).find(|i| self.ledger.items[*i].product == product);
        if let Some(item) = item {
            self.ledger.hand(item, to);
            let (name, whom) = (self.product_name(product), self.bodies[to].name.clone());
            self.tell(who, &format!("hands {name} to {whom}"));
        }
    }

    fn hidden_spot(&mut self) -> Option<Point2<f64>> {
        let [from, to] = self.store.blind_x_m?;
        let corners = self.store.layout.floor.corners();
        let low = corners.iter().map(|c| c.y).fold(f64::MAX, f64::min);
        let high = corners.iter().map(|c| c.y).fold(f64::MIN, f64::max);
        (0..200)
            .map(|_| Point2::new(self.chance.between(from, to), self.chance.between(low, high)))
            .find(|p| self.store.obstacles.is_free(*p))
    }
}
