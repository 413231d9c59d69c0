//! Who comes and what they have in mind: from a scenario's roles, its crowd, or a labelled case.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Context;
use linefree_domain::ids::PlateIndex;
use nalgebra::{Point2, Point3, Vector2};

use super::{Act, Body, Busy, World};
use crate::chance::Chance;
use crate::nanostore;
use crate::scenario::{Cast, Manner, Range, Scenario, Step, Visitor};
use crate::stores::shared_nanostore;

/// Heights of adults, metres.
const ADULT_M: Range<f64> = [1.55, 1.92];
/// Between members of a party at the door, seconds.
const BEHIND_S: f64 = 1.1;

/// Fills a world with people.
pub fn people(world: &mut World<'_>, scenario: &Scenario, seed: u64) -> anyhow::Result<()> {
    if let Some(case) = &scenario.real_case {
        return labelled(world, case);
    }
    let mut chance = Chance::new(seed, "cast");
    let cast = Cast::new(scenario, &world.store.layout, &mut chance)?;
    let names: BTreeMap<&str, usize> =
        scenario.shoppers.iter().enumerate().map(|(i, r)| (r.name.as_str(), i)).collect();
    let person = |name: &str| names.get(name).copied().with_context(|| format!("there is no {name}"));
    let mut behind: BTreeMap<usize, u32> = BTreeMap::new();
    for (i, role) in scenario.shoppers.iter().enumerate() {
        let [from, to] = role.enters_s;
        let mut enters_s = chance.between(from.max(0.5), to.max(0.5));
        let account = match &role.with {
            Some(name) => person(name)?,
            None => i,
        };
        if let (true, Some(leader)) = (account != i, world.bodies.get(account)) {
            let n = behind.entry(account).or_default();
            *n += 1;
            enters_s = leader.enters_s + BEHIND_S * f64::from(*n);
        }
        let mut acts = VecDeque::new();
        for step in role.steps(scenario)? {
            acts.push_back(act(&step, &cast, person)?);
        }
        acts.push_back(if role.visitor == Visitor::Denied { Act::TurnAway } else { Act::Leave });
        if role.visitor == Visitor::Denied {
            acts.push_front(Act::Wait(chance.between(2.0, 4.0)));
        }
        let height = role.height_m.unwrap_or(ADULT_M);
        let mut body = body(&role.name, height, enters_s, &mut chance);
        if let Some(name) = &role.again {
            body.again = Some((person(name)?, enters_s));
            body.enters_s = f64::INFINITY;
        }
        body.visitor = role.visitor;
        body.account = account;
        body.credential_of = i;
        body.acts = acts;
        world.bodies.push(body);
    }
    let crowd = &scenario.crowd;
    for n in 0..chance.count(crowd.shoppers[0], crowd.shoppers[1]) {
        let enters_s = chance.between(0.5, crowd.within_s);
        let mut body = body(&format!("Guest-{}", n + 1), ADULT_M, enters_s, &mut chance);
        body.account = world.bodies.len();
        body.credential_of = body.account;
        body.acts = [Act::Shop(chance.count(crowd.does[0], crowd.does[1])), Act::Leave].into();
        world.bodies.push(body);
    }
    Ok(())
}

fn body(name: &str, height_m: Range<f64>, enters_s: f64, chance: &mut Chance) -> Body {
    Body {
        name: name.to_owned(),
        visitor: Visitor::Shopper,
        account: 0,
        credential_of: 0,
        height_m: chance.between(height_m[0], height_m[1]),
        speed_m_s: chance.between(0.8, 1.35),
        again: None,
        enters_s,
        here: false,
        gone: false,
        passing: false,
        at: Point2::origin(),
        velocity: Vector2::zeros(),
        heading: Vector2::x(),
        hand: Point3::origin(),
        acts: VecDeque::new(),
        busy: Busy::No,
        way: VecDeque::new(),
        progress: (f64::MAX, 0.0),
        squeezes: false,
        spot: None,
        last_plates: Vec::new(),
        from_step: 0,
        poses: Vec::new(),
    }
}

fn act(step: &Step, cast: &Cast, person: impl Fn(&str) -> anyhow::Result<usize>) -> anyhow::Result<Act> {
    // Places are found when people get to them; a product's own place is no plates yet.
    Ok(match step {
        Step::Go(a) => Act::Visit(cast.product(a)?),
        Step::Take { what, from, manner } => {
            let mut list = Vec::new();
            for (count, a) in what {
                list.push((*count, cast.product(a)?, Vec::new()));
            }
            match from {
                Some(b) => Act::TakeFrom(list, cast.product(b)?, *manner),
                None => Act::Take(list, *manner),
            }
        }
        Step::Put { count, product, at: None, manner } => {
            Act::Put(*count, cast.product(product)?, Vec::new(), *manner)
        }
        Step::Put { count, product, at: Some(b), manner } => {
            Act::PutAt(*count, cast.product(product)?, cast.product(b)?, *manner)
        }
        Step::Touch(a) => Act::TouchOf(cast.product(a)?),
        Step::Drop(a) => Act::Drop(cast.product(a)?),
        Step::PickUp(a) => Act::PickUp(cast.product(a)?),
        Step::Give { product, to } => Act::Give(cast.product(product)?, person(to)?),
        Step::Stock(count, a) => Act::Stock(*count, cast.product(a)?),
        Step::Wait(s) => Act::Wait(*s),
        Step::Meet(who) => Act::Meet(person(who)?),
        Step::UntilHas(who, a) => Act::UntilHas(person(who)?, cast.product(a)?),
        Step::UntilRid(who, a) => Act::UntilRid(person(who)?, cast.product(a)?),
        Step::UntilLeft(who) => Act::UntilLeft(person(who)?),
        Step::Hurry => Act::Hurry,
        Step::Hide => Act::Hide,
        Step::Shop(n) => Act::Shop(*n),
    })
}

/// A labelled case of the real store: everybody does what the labels say, when they say it, as far as legs allow.
fn labelled(world: &mut World<'_>, name: &str) -> anyhow::Result<()> {
    let data = shared_nanostore().context("the nanostore's data is not here; set LINEFREE_SHARED")?;
    let cases = nanostore::cases(&data)?;
    let case = cases.iter().find(|c| c.case == name).with_context(|| format!("cases.json has no {name}"))?;
    let layout = &world.store.layout;
    let times = case.events.iter().map(|e| label_s(&e.time)).collect::<anyhow::Result<Vec<_>>>()?;
    let first_s = times.first().copied().unwrap_or(0.0);
    let mut chance = world.chance.clone();
    // Labels of one case can come from two videos that begin at different times: time never goes back.
    let mut last_s: f64 = 0.0;
    let mut shoppers: Vec<&str> = Vec::new();
    for (event, at) in case.events.iter().zip(times) {
        let plates: Vec<PlateIndex> =
            event.position.plates().iter().filter_map(|p| layout.plate(p)).collect();
        if plates.is_empty() {
            continue;
        }
        last_s = last_s.max(at - first_s);
        let at_s = 9.0 + last_s;
        let who = shoppers.iter().position(|s| *s == event.shopper).unwrap_or_else(|| {
            shoppers.push(&event.shopper);
            shoppers.len() - 1
        });
        if who == world.bodies.len() {
            let enters_s = chance.between(0.5, 2.0) + 1.3 * who as f64;
            let mut body = body(&format!("Shopper-{}", who + 1), ADULT_M, enters_s, &mut chance);
            body.account = who;
            body.credential_of = who;
            world.bodies.push(body);
        }
        let acts = &mut world.bodies[who].acts;
        acts.push_back(Act::GoTo(plates.clone()));
        // The label is when it is done; the hand has set out before.
        acts.push_back(Act::At((at_s - 1.2).max(0.0)));
        for sku in &event.products {
            // The labels know of a product that nobody could name; it weighs nothing in the catalogue.
            let Some(product) = layout.product(sku) else { continue };
            acts.push_back(if event.putback == 0 {
                Act::Take(vec![(1, product, plates.clone())], Manner::Quickly)
            } else {
                Act::Put(1, product, plates.clone(), Manner::Quickly)
            });
        }
    }
    for body in &mut world.bodies {
        body.acts.push_back(Act::Leave);
    }
    world.chance = chance;
    Ok(())
}

/// The seconds that a label's time says: `4:06 + 2019-...` is an offset into a video, `2020-01-28_22-24-15` a time.
fn label_s(text: &str) -> anyhow::Result<f64> {
    let (clock, separator) = match text.split_once('+') {
        Some((offset, _)) => (offset.trim(), ':'),
        None => (text.rsplit('_').next().unwrap_or(text), '-'),
    };
    clock.split(separator).try_fold(0.0, |sum, part| {
        let value: f64 = part.trim().parse().with_context(|| format!("{text:?} is no time of a label"))?;
        Ok(sum * 60.0 + value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_two_forms() {
        assert!((label_s("4:06 + 2019-11-07_02-41-19").unwrap() - 246.0).abs() < 1e-9);
        assert!((label_s("2020-01-28_22-24-15").unwrap() - 80_655.0).abs() < 1e-9);
        assert!(label_s("soon").is_err());
    }
}
