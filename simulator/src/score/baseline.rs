//! A yardstick: the nearest shopper took the product of the nearest weight.
//!
//! It has the same shelf events and the same shoppers on the floor as the engine, and nothing of its belief: no
//! planogram, no odds, no memory but each shopper's cart. What it reaches says how unkind the recordings are.

use std::collections::BTreeMap;

use linefree_domain::floor::{FloorConfig, FloorTracker, PeopleObservation};
use linefree_domain::ids::{Credential, ProductIndex, ShopperId, Sku};
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector, ShelfEvent};
use linefree_domain::time::StoreTime;
use linefree_recording::{GateEvent, Receipt, ReceiptLine, Receipts, RecordedPerson};

use crate::simulation::Simulation;

/// The hand is there so long after an event's beginning, seconds.
const HAND_S: f64 = 0.6;
/// Lateness of messages that it waits for, seconds.
const WAIT_S: f64 = 1.0;

/// Receipts as the nearest shopper and the nearest weight have it.
///
/// # Errors
/// When a SKU is no SKU; stores that were written have none such.
pub fn baseline(simulation: &Simulation) -> anyhow::Result<Receipts> {
    let layout = &simulation.store.told;
    let mut shelves = ShelfDetector::new(layout, ShelfConfig::default());
    let mut events: Vec<ShelfEvent> =
        simulation.samples.iter().flat_map(|s| shelves.handle_sample(s)).collect();
    events.extend(shelves.finish());
    events.sort_by_key(|e| (e.end(), e.start()));

    let mut floor = FloorTracker::new(layout, FloorConfig::default());
    let mut carts: BTreeMap<ShopperId, BTreeMap<ProductIndex, u32>> = BTreeMap::new();
    let mut born: BTreeMap<ShopperId, StoreTime> = BTreeMap::new();
    let mut observations: Vec<PeopleObservation> = Vec::new();
    for look in &simulation.looks {
        let line = simulation.people_line(look);
        let person = |p: RecordedPerson| match p {
            RecordedPerson::Floor(person) => Some(person),
            RecordedPerson::Box(_) => None,
        };
        let people = line.people.into_iter().filter_map(person).collect();
        observations.push(PeopleObservation {
            camera: linefree_domain::ids::CameraIndex(look.camera),
            time: line.time,
            people,
        });
    }
    observations.sort_by_key(|o| (o.time, o.camera));
    let mut waiting = events.into_iter().peekable();
    for observation in &observations {
        floor.handle_people(observation);
        floor.advance(observation.time);
        while floor.poll_event().is_some() {}
        for shopper in floor.shoppers() {
            born.entry(shopper.id).or_insert(shopper.born);
        }
        while let Some(event) = waiting.next_if(|e| e.end().plus_s(WAIT_S) < observation.time) {
            charge(&event, layout, &floor, &mut carts);
        }
    }
    for event in waiting {
        charge(&event, layout, &floor, &mut carts);
    }
    receipts(simulation, layout, &carts, born)
}

fn charge(
    event: &ShelfEvent,
    layout: &StoreLayout,
    floor: &FloorTracker,
    carts: &mut BTreeMap<ShopperId, BTreeMap<ProductIndex, u32>>,
) {
    let Some(plate) = event.changes.first().and_then(|c| layout.plates.get(c.plate.0)) else { return };
    let at = event.start().plus_s(HAND_S);
    let distance_m = |s: ShopperId| floor.position(s, at).map(|p| (p.at - plate.centre.xy()).norm());
    let near = floor.known_at(at).into_iter().filter_map(|s| Some((distance_m(s)?, s)));
    let Some((_, shopper)) = near.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    let cart = carts.entry(shopper).or_default();
    let grams = event.delta_g();
    let off = |p: &ProductIndex| (layout.products[p.0].weight.mean_g - grams.abs()).abs();
    let nearest = |list: Vec<ProductIndex>| list.into_iter().min_by(|a, b| off(a).total_cmp(&off(b)));
    if grams < 0.0 {
        if let Some(product) = nearest((0..layout.products.len()).map(ProductIndex).collect()) {
            *cart.entry(product).or_default() += 1;
        }
    } else if let Some(product) = nearest(cart.iter().filter(|(_, n)| **n > 0).map(|(p, _)| *p).collect())
        && let Some(n) = cart.get_mut(&product)
    {
        *n -= 1;
    }
}

/// Each entry gets the shopper who appeared nearest to its moment.
fn receipts(
    simulation: &Simulation,
    layout: &StoreLayout,
    carts: &BTreeMap<ShopperId, BTreeMap<ProductIndex, u32>>,
    mut born: BTreeMap<ShopperId, StoreTime>,
) -> anyhow::Result<Receipts> {
    let mut all: Vec<(Option<Credential>, ShopperId)> = Vec::new();
    let mut list = Vec::new();
    for line in simulation.gate_lines().iter().filter(|l| l.event == GateEvent::Entry) {
        list.push((line.credential.clone(), Vec::new()));
        for _ in 0..line.party {
            let gap = |t: &StoreTime| t.seconds_since(line.time).abs();
            let best = born.iter().min_by(|a, b| gap(a.1).total_cmp(&gap(b.1))).map(|(s, _)| *s);
            let Some(shopper) = best else { continue };
            born.remove(&shopper);
            all.push((line.credential.clone(), shopper));
        }
    }
    for (credential, shopper) in all {
        let mut lines = Vec::new();
        for (product, quantity) in carts.get(&shopper).into_iter().flatten().filter(|(_, n)| **n > 0) {
            let sku = Sku::new(layout.products[product.0].sku.as_str())?;
            lines.push(ReceiptLine { sku, quantity: *quantity, probability: None, review: None });
        }
        list.push((credential, lines));
    }
    let receipts = list.into_iter().map(|(credential, lines)| Receipt { credential, lines }).collect();
    Ok(Receipts { receipts }.canonical())
}
