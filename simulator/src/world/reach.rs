//! Hands at plates: where people stand, how long they reach, what moves.

use linefree_domain::ids::{PlateIndex, ProductIndex};
use nalgebra::{Point2, Point3, Vector2};

use super::{Act, Busy, Handled, World};
use crate::load_cell::{Handling, Press};
use crate::obstacles::BODY_RADIUS_M;
use crate::scenario::Manner;

/// What a hand does to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Lifts it off.
    Take,
    /// Puts it down.
    Put,
}

/// An item that is moved in a reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Grip {
    /// Which item.
    pub item: usize,
    /// What is done to it.
    pub deed: Deed,
    /// Where it lay, or where it will.
    pub rests: Vec<(PlateIndex, f64)>,
    /// How long after the reach's moment, seconds.
    pub after_s: f64,
    /// Has it been done?
    pub done: bool,
}

/// A reach to plates.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaching {
    /// What is moved; empty for a touch.
    pub grips: Vec<Grip>,
    /// The plates that are touched.
    pub plates: Vec<PlateIndex>,
    /// How.
    pub manner: Manner,
    /// From when to when the hand is there, and when the weight moves, seconds; set when it begins.
    pub from_s: f64,
    /// See above.
    pub at_s: f64,
    /// See above.
    pub to_s: f64,
    /// Where the hand goes.
    pub target: Point3<f64>,
}

/// How long a hand needs to get to a plate, and back, seconds.
const APPROACH_S: f64 = 0.4;

impl World<'_> {
    /// Plates of the product's home; of several, the nearest.
    pub(super) fn home_plates(&self, who: usize, product: ProductIndex) -> Vec<PlateIndex> {
        let layout = &self.store.layout;
        let at = self.bodies[who].at;
        let far = |plates: &[PlateIndex]| {
            plates.first().map_or(f64::MAX, |p| (layout.plates[p.0].centre.xy() - at).norm())
        };
        let homes = layout.facings.iter().filter(|f| f.product == product);
        homes
            .min_by(|a, b| far(&a.plates).total_cmp(&far(&b.plates)))
            .map(|f| f.plates.clone())
            .unwrap_or_default()
    }

    /// Where somebody stands who reaches for these plates: before them, a little to the side, not in anybody's place.
    pub(super) fn spot_before(&mut self, who: usize, plates: &[PlateIndex]) -> Point2<f64> {
        let layout = &self.store.layout;
        let list: Vec<_> = plates.iter().map(|p| &layout.plates[p.0]).collect();
        let Some(first) = list.first() else { return self.bodies[who].at };
        let facing = layout.gondolas[first.gondola].facing();
        let along = Vector2::new(-facing.y, facing.x);
        let front: Vector2<f64> =
            list.iter().map(|p| nalgebra::center(&p.corners[0], &p.corners[1]).coords).sum::<Vector2<f64>>()
                / list.len() as f64;
        let taken: Vec<Point2<f64>> = (0..self.bodies.len())
            .filter(|i| *i != who && self.bodies[*i].here && !self.bodies[*i].gone)
            .map(|i| match (&self.bodies[i].busy, self.bodies[i].spot) {
                (Busy::Walking, Some(spot)) => spot,
                _ => self.bodies[i].at,
            })
            .collect();
        let off_m = BODY_RADIUS_M + self.chance.between(0.05, 0.33);
        let side_m = self.chance.bounded_normal(0.12);
        let mut best = (f64::MAX, Point2::from(front + facing * off_m));
        for step in 0..14 {
            let sign = if step % 2 == 0 { 1.0 } else { -1.0 };
            let aside = side_m + sign * 0.09 * f64::from((step + 1) / 2);
            let back_m = off_m + if step > 9 { 0.25 } else { 0.0 };
            let p = Point2::from(front + facing * back_m + along * aside);
            let p = self.store.obstacles.kept_out(p, false);
            let nearest_m = taken.iter().map(|t| (t - p).norm()).fold(f64::MAX, f64::min);
            let cost = f64::from(step) * 0.05 + (0.42 - nearest_m).max(0.0) * 10.0;
            if cost < best.0 && self.store.obstacles.is_free(p) {
                best = (cost, p);
            }
        }
        best.1
    }

    fn set_reach(&mut self, who: usize, grips: Vec<Grip>, plates: Vec<PlateIndex>, manner: Manner) {
        let reaching = Reaching {
            grips,
            plates: plates.clone(),
            manner,
            from_s: 0.0,
            at_s: 0.0,
            to_s: 0.0,
            target: Point3::origin(),
        };
        let body = &mut self.bodies[who];
        body.acts.push_front(Act::Reach(Box::new(reaching)));
        body.acts.push_front(Act::GoTo(plates));
    }

    pub(super) fn begin_take(
        &mut self,
        who: usize,
        what: Vec<(u32, ProductIndex, Vec<PlateIndex>)>,
        manner: Manner,
    ) {
        let mut plates_all = Vec::new();
        let mut grips = Vec::new();
        for (part, (count, product, plates)) in what.into_iter().enumerate() {
            let plates = if plates.is_empty() { self.home_plates(who, product) } else { plates };
            let after_s = if part == 0 { 0.0 } else { self.chance.between(0.0, 0.4) };
            for _ in 0..count {
                let mut lying: Vec<usize> = self.ledger.lying(product, &plates).collect();
                self.chance.shuffle(&mut lying);
                let item = lying.first().copied().unwrap_or_else(|| self.extra_item(product, &plates));
                self.ledger.grasp(item);
                let rests = self.ledger.items[item].rests.clone();
                grips.push(Grip { item, deed: Deed::Take, rests, after_s, done: false });
            }
            plates_all.extend(plates);
        }
        self.set_reach(who, grips, plates_all, manner);
    }

    /// One more than was thought lay there from the beginning.
    fn extra_item(&mut self, product: ProductIndex, plates: &[PlateIndex]) -> usize {
        let facings = &self.store.layout.facings;
        let of = |f: &&linefree_domain::layout::Facing| f.product == product;
        let here = facings.iter().position(|f| of(&f) && f.plates.iter().any(|p| plates.contains(p)));
        let Some(home) = here.or_else(|| facings.iter().position(|f| of(&f))) else { return 0 };
        let item = self.new_item(home);
        if here.is_some() {
            self.stock[home] += 1;
        } else {
            self.ledger.items[item].rests = self.rests_on(plates);
        }
        item
    }

    pub(super) fn begin_put(
        &mut self,
        who: usize,
        count: u32,
        product: ProductIndex,
        plates: Vec<PlateIndex>,
        manner: Manner,
    ) {
        let held: Vec<usize> = self
            .ledger
            .with(who)
            .filter(|i| self.ledger.items[*i].product == product)
            .take(count as usize)
            .collect();
        if held.is_empty() {
            return;
        }
        let plates = if plates.is_empty() { self.home_plates(who, product) } else { plates };
        let mut grips = Vec::new();
        for item in held {
            let rests = self.rests_on(&plates);
            grips.push(Grip { item, deed: Deed::Put, rests, after_s: 0.0, done: false });
        }
        self.set_reach(who, grips, plates, manner);
    }

    pub(super) fn begin_touch(&mut self, who: usize, plates: Vec<PlateIndex>) {
        self.set_reach(who, Vec::new(), plates, Manner::Usual);
    }

    pub(super) fn begin_stock(&mut self, who: usize, count: u32, product: ProductIndex) {
        let plates = self.home_plates(who, product);
        let facing =
            self.store.layout.facings.iter().position(|f| f.product == product && f.plates == plates);
        let Some(facing) = facing else { return };
        let mut left = count;
        // People put one, two or three down at a time.
        while left > 0 {
            let some = self.chance.count(1, 3).min(left);
            left -= some;
            let grips = (0..some)
                .map(|_| {
                    let item = self.new_item(facing);
                    let rests = std::mem::take(&mut self.ledger.items[item].rests);
                    self.ledger.grasp(item);
                    Grip { item, deed: Deed::Put, rests, after_s: 0.0, done: false }
                })
                .collect();
            self.set_reach(who, grips, plates.clone(), Manner::Usual);
        }
    }

    /// They stand there; the hand goes out.
    pub(super) fn begin_reach(&mut self, who: usize, mut reaching: Reaching) {
        let long_s = match reaching.manner {
            Manner::Usual => (1.7 * self.chance.normal(0.45).exp()).clamp(0.8, 4.0),
            Manner::Quickly => self.chance.between(0.8, 1.2),
            Manner::Slowly => self.chance.between(3.2, 5.0),
            Manner::AfterHolding => self.chance.between(1.2, 2.5),
        };
        let hesitates_s = match reaching.manner {
            Manner::Quickly => 0.0,
            Manner::AfterHolding => self.chance.between(5.0, 10.0),
            _ if self.chance.happens(0.3) => self.chance.between(0.3, 1.5),
            _ => 0.0,
        };
        let there_s = self.now_s + APPROACH_S;
        let holds = reaching.manner == Manner::AfterHolding;
        reaching.from_s = self.now_s + if holds { 0.0 } else { hesitates_s };
        let begins_s = there_s + hesitates_s;
        reaching.at_s = begins_s + 0.55 * long_s;
        reaching.to_s = begins_s + long_s;
        let press = holds.then(|| Press {
            from_s: there_s,
            to_s: begins_s + 0.3 * long_s,
            grams: self.chance.between(30.0, 250.0),
        });
        let lift_s = match reaching.manner {
            Manner::Slowly => Some(self.chance.between(1.2, 2.6)),
            _ => None,
        };
        // Each moment and each set of plates is a handling of its own.
        let mut groups: Vec<(f64, Vec<(PlateIndex, f64)>)> = Vec::new();
        for grip in &reaching.grips {
            let sign = if grip.deed == Deed::Take { -1.0 } else { 1.0 };
            let weight_g = self.ledger.items[grip.item].weight_g;
            let at = groups.iter().position(|(after, _)| (*after - grip.after_s).abs() < 1e-9);
            let at = at.unwrap_or_else(|| {
                groups.push((grip.after_s, Vec::new()));
                groups.len() - 1
            });
            for (plate, share) in &grip.rests {
                let grams = sign * weight_g * share;
                match groups[at].1.iter_mut().find(|(p, _)| p == plate) {
                    Some((_, sum)) => *sum += grams,
                    None => groups[at].1.push((*plate, grams)),
                }
            }
        }
        if groups.is_empty() {
            let touched = self.chance.pick(&reaching.plates).copied();
            groups.push((0.0, touched.map(|p| (p, 0.0)).into_iter().collect()));
        }
        for (after_s, mut steps_g) in groups {
            steps_g.sort_by_key(|(p, _)| *p);
            self.handlings.push(Handling {
                at_s: reaching.at_s + after_s,
                duration_s: long_s,
                plates: steps_g.iter().map(|(p, _)| *p).collect(),
                delta_g: steps_g.iter().map(|(_, g)| *g).sum(),
                parts_g: Some(steps_g.iter().map(|(_, g)| *g).collect()),
                lift_s,
                press,
            });
        }
        let aim = reaching.grips.first().and_then(|g| g.rests.first().map(|(p, _)| *p));
        let aim = aim.or(reaching.plates.first().copied());
        if let Some(plate) = aim.map(|p| &self.store.layout.plates[p.0]) {
            let depth = self.chance.between(0.15, 0.75);
            let front = nalgebra::center(&plate.corners[0], &plate.corners[1]);
            let at = front + (plate.centre.xy() - front) * (2.0 * depth);
            reaching.target = Point3::new(at.x, at.y, plate.centre.z + self.chance.between(0.04, 0.2));
            let body = &mut self.bodies[who];
            body.heading = (at - body.at).try_normalize(1e-6).unwrap_or(body.heading);
            body.velocity = Vector2::zeros();
            body.last_plates.clone_from(&reaching.plates);
        }
        self.bodies[who].busy = Busy::Reaching(Box::new(reaching));
    }

    /// One step of a reach.
    pub(super) fn reach(&mut self, who: usize, mut reaching: Box<Reaching>) {
        let rest = self.bodies[who].resting_hand();
        let out = ((self.now_s - reaching.from_s) / APPROACH_S).clamp(0.0, 1.0);
        let back = ((self.now_s - reaching.to_s) / APPROACH_S).clamp(0.0, 1.0);
        let part = if back > 0.0 { 1.0 - back } else { out };
        let sway = Vector2::new(self.chance.normal(0.004), self.chance.normal(0.004));
        let at = self.bodies[who].at + sway;
        self.bodies[who].at = self.store.obstacles.kept_out(at, false);
        self.bodies[who].hand = rest + (reaching.target - rest) * part;
        let mut done = Vec::new();
        for grip in &mut reaching.grips {
            if !grip.done && self.now_s >= reaching.at_s + grip.after_s {
                grip.done = true;
                done.push(grip.clone());
            }
        }
        for grip in done {
            let product = self.ledger.items[grip.item].product;
            let plates: Vec<PlateIndex> = grip.rests.iter().map(|(p, _)| *p).collect();
            let (verb, prep) = if grip.deed == Deed::Take { ("takes", "from") } else { ("puts", "on") };
            let told = format!("{verb} {} {prep} {}", self.product_name(product), self.plate_names(&plates));
            self.tell(who, &told);
            if let Some(plate) = plates.first() {
                let at_s = reaching.at_s + grip.after_s;
                self.handled.push(Handled { at_s, plate: *plate, product });
            }
            match grip.deed {
                Deed::Take => self.ledger.take(grip.item, who),
                Deed::Put => self.ledger.put(grip.item, grip.rests),
            }
        }
        let over = self.now_s >= reaching.to_s + APPROACH_S && reaching.grips.iter().all(|g| g.done);
        self.bodies[who].busy = if over { Busy::No } else { Busy::Reaching(reaching) };
    }
}
