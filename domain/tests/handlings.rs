//! Robots that pick beside shoppers: what was declared is theirs, and what was not is the shopper's.

#![allow(clippy::unwrap_used)]

mod small_store;

use linefree_domain::attribution::Handling;
use linefree_domain::ids::{HandlingId, PlateIndex, ProductIndex};
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use proptest::prelude::*;
use small_store::*;

/// Anna stands before plate 1 from 6 s to 16 s; product 1 lies there and weighs 330 g.
const PLATE: usize = 1;
const ITEM_G: f64 = 330.0;

fn picks(quantity: i32, from_s: f64, to_s: Option<f64>, moved: Option<u32>) -> Input {
    Input::Handling(Handling {
        id: HandlingId(7),
        plates: vec![PlateIndex(PLATE)],
        product: ProductIndex(PLATE),
        quantity,
        from: at(from_s),
        to: to_s.map(at),
        moved,
    })
}

/// A pick from its beginning to its end.
fn robot(quantity: i32, from_s: f64, to_s: f64) -> [Input; 2] {
    let moved = quantity.unsigned_abs();
    [picks(quantity, from_s, None, None), picks(quantity, from_s, Some(to_s), Some(moved))]
}

/// What Anna owes when this happens while she is there.
fn annas(happens: impl IntoIterator<Item = Input>) -> Vec<(usize, u32, bool)> {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend(gates());
    inputs.extend(happens);
    let table = table(&receipts(inputs));
    assert!(table.iter().all(|(who, lines)| who.as_deref() == Some("anna") || lines.is_empty()), "{table:?}");
    table.into_iter().find(|(who, _)| who.as_deref() == Some("anna")).unwrap().1
}

fn take(tag: u64, weight_g: f64, start_s: f64) -> Input {
    change(tag, PLATE, -weight_g, start_s, start_s + 1.5)
}

#[test]
fn a_robots_pick_beside_a_shopper_charges_nobody() {
    let [begins, ends] = robot(1, 7.0, 15.0);
    assert_eq!(annas([begins, take(1, ITEM_G, 9.0), ends]), []);
    // Two items, one after the other and at once.
    let [begins, ends] = robot(2, 7.0, 15.0);
    assert_eq!(annas([begins, take(1, ITEM_G, 8.0), take(2, ITEM_G, 12.0), ends]), []);
    let [begins, ends] = robot(2, 7.0, 15.0);
    assert_eq!(annas([begins, take(1, 2.0 * ITEM_G, 9.0), ends]), []);
}

#[test]
fn without_a_declaration_it_is_the_shoppers() {
    assert_eq!(annas([take(1, ITEM_G, 9.0)]), [(PLATE, 1, false)]);
    // Nor does one of another time or another plate help.
    let [begins, ends] = robot(1, 25.0, 30.0);
    assert_eq!(annas([take(1, ITEM_G, 9.0), begins, ends]), [(PLATE, 1, false)]);
    let elsewhere = robot(1, 7.0, 15.0).map(|input| match input {
        Input::Handling(handling) => Input::Handling(Handling { plates: vec![PlateIndex(3)], ..handling }),
        other => other,
    });
    assert_eq!(annas(elsewhere.into_iter().chain([take(1, ITEM_G, 9.0)])), [(PLATE, 1, false)]);
}

#[test]
fn what_a_shopper_takes_during_the_pick_is_theirs() {
    for (first_s, second_s) in [(8.0, 11.0), (11.0, 8.0)] {
        let [begins, ends] = robot(1, 7.0, 14.0);
        let both = [begins, take(1, ITEM_G, first_s), take(2, ITEM_G, second_s), ends];
        assert_eq!(annas(both), [(PLATE, 1, false)], "{first_s} {second_s}");
    }
    // At once: one event of both.
    let [begins, ends] = robot(1, 7.0, 14.0);
    assert_eq!(annas([begins, take(1, 2.0 * ITEM_G, 9.0), ends]), [(PLATE, 1, false)]);
    // Another product, from the plate beside it.
    let [begins, ends] = robot(1, 7.0, 14.0);
    let other = change(2, 2, -250.0, 11.0, 12.5);
    assert_eq!(annas([begins, take(1, ITEM_G, 8.0), other, ends]), [(2, 1, false)]);
}

#[test]
fn what_weighs_otherwise_is_the_shoppers() {
    // What was laid there by mistake, and nothing of the robot's.
    let [begins, ends] = [picks(1, 7.0, None, None), picks(1, 7.0, Some(14.0), Some(0))];
    assert_eq!(annas([begins, change(1, PLATE, -250.0, 9.0, 10.5), ends]), [(2, 1, false)]);
}

#[test]
fn a_pick_that_failed_takes_nothing_from_what_a_shopper_owes() {
    let [begins, ends] = [picks(1, 7.0, None, None), picks(1, 7.0, Some(14.0), Some(0))];
    let lines = annas([begins, take(1, ITEM_G, 9.0), ends]);
    // It may have dropped it: a person looks.
    assert_eq!(lines, [(PLATE, 1, true)]);
}

#[test]
fn a_shelf_that_is_filled_beside_a_shopper_takes_nothing_off_their_receipt() {
    let [begins, ends] = robot(-1, 10.5, 15.0);
    assert_eq!(
        annas([take(1, ITEM_G, 7.0), begins, change(2, PLATE, ITEM_G, 12.0, 13.5), ends]),
        [(PLATE, 1, false)]
    );
}

#[test]
fn the_explanation_names_the_handling() {
    let mut store = Store::new(layout(), StoreConfig::default());
    for input in people(&[ANNA], 16.0).into_iter().chain(robot(1, 7.0, 14.0)).chain([take(5, ITEM_G, 9.0)]) {
        store.handle(input);
    }
    let explained = store.advance(at(16.0)).into_iter().find_map(|decision| match decision {
        Decision::ItemAttributed { tag: 5, candidates, .. } => Some(candidates),
        _ => None,
    });
    let best = explained.unwrap()[0].0;
    assert_eq!((best.handling, best.shopper, best.quantity), (Some(HandlingId(7)), None, 1));
    assert!(best.probability > 0.97, "{best:?}");
    assert_eq!(store.counters().late, 0);
}

#[test]
fn a_declaration_that_comes_after_the_shelf_event_counts_as_well() {
    let mut store = Store::new(layout(), StoreConfig::default());
    people(&[ANNA], 30.0).into_iter().for_each(|input| store.handle(input));
    store.handle(pass(0.0, true, Some("anna")));
    let mut decisions = store.advance(at(10.0));
    // The shelf speaks first; the robot's news comes a second later, before event time has got that far.
    store.handle(take(1, ITEM_G, 9.0));
    decisions.extend(store.advance(at(10.4)));
    robot(1, 7.0, 14.0).into_iter().for_each(|input| store.handle(input));
    decisions.extend(store.advance(at(40.0)));
    decisions.extend(store.finish());
    let carts =
        decisions.iter().filter(|d| matches!(d, Decision::CartChanged { lines, .. } if !lines.is_empty()));
    assert_eq!(carts.count(), 0, "{decisions:?}");
}

#[test]
fn an_end_is_not_forgotten_when_its_beginning_comes_later() {
    let [begins, ends] = robot(1, 7.0, 9.0);
    // After the end a take is the shopper's again.
    assert_eq!(annas([ends, begins, take(1, ITEM_G, 13.0)]), [(PLATE, 1, false)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However many the robot and the shopper take, and in whichever order: everybody has what they took.
    #[test]
    fn nobody_pays_for_what_a_robot_picked(robots in 0_u32..3, annas_own in 0_u32..3, seed in any::<u64>()) {
        let total = robots + annas_own;
        let takes: Vec<Input> =
            (0..total).map(|i| take(u64::from(i) + 1, ITEM_G + f64::from(i), 7.5 + 2.0 * f64::from(i))).collect();
        let declared = if robots > 0 { robot(robots as i32, 7.0, 15.5).to_vec() } else { Vec::new() };
        let mut inputs: Vec<(u64, Input)> = takes
            .into_iter()
            .chain(declared)
            .enumerate()
            .map(|(i, input)| ((i as u64 + 1).wrapping_mul(seed | 1).rotate_left(23), input))
            .collect();
        inputs.sort_by_key(|(key, _)| *key);
        let owed = if annas_own > 0 { vec![(PLATE, annas_own, false)] } else { Vec::new() };
        prop_assert_eq!(annas(inputs.into_iter().map(|(_, input)| input)), owed);
    }
}
