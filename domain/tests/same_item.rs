//! An item weighs the same when it is moved again: what a shopper puts down is told apart from what else they hold.

#![allow(clippy::unwrap_used)]

mod small_store;

use std::sync::Arc;

use linefree_domain::layout::StoreLayout;
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use small_store::*;

/// Products 1 and 4 weigh the same, and their items differ by more than scales err.
fn spread() -> Arc<StoreLayout> {
    let mut layout = StoreLayout::clone(&layout());
    for product in [1, 4] {
        layout.products[product].weight.sd_g = 6.0;
    }
    Arc::new(layout)
}

/// Plate 1, then plate 4, then plate 5.
const CARLA: Walk = &[
    (0.0, 0.2, 1.5),
    (6.0, 2.0, 3.6),
    (12.0, 2.0, 3.6),
    (16.0, 5.0, 3.6),
    (22.0, 5.0, 3.6),
    (24.0, 6.0, 3.6),
    (30.0, 6.0, 3.6),
    (40.0, 0.1, 1.5),
];

/// What Carla owes who takes one of each and puts down something of `put_g` grams where it does not belong.
fn owes(taken_g: [f64; 2], put_g: f64) -> Vec<(usize, u32, bool)> {
    let mut store = Store::new(spread(), StoreConfig::default());
    people(&[CARLA], 42.0).into_iter().for_each(|input| store.handle(input));
    let happens: [Input; 5] = [
        pass(0.0, true, Some("carla")),
        change(1, 1, -taken_g[0], 8.0, 9.5),
        change(2, 4, -taken_g[1], 18.0, 19.5),
        change(3, 5, put_g, 26.0, 27.5),
        pass(40.0, false, None),
    ];
    happens.into_iter().for_each(|input| store.handle(input));
    let mut decisions = store.advance(at(60.0));
    decisions.extend(store.finish());
    let closed = |d| if let Decision::VisitClosed(receipt) = d { Some(receipt) } else { None };
    table(&decisions.into_iter().filter_map(closed).collect::<Vec<_>>()).remove(0).1
}

#[test]
fn what_is_put_down_is_what_weighed_so_when_it_was_taken() {
    assert_eq!(owes([323.0, 337.0], 336.0), [(1, 1, false)]);
    assert_eq!(owes([323.0, 337.0], 324.5), [(4, 1, false)]);
    // The other way round: it is not the product's mean weight that decides.
    assert_eq!(owes([337.0, 323.0], 336.0), [(4, 1, false)]);
}

#[test]
fn items_that_weigh_alike_stay_in_doubt() {
    let lines = owes([330.5, 329.5], 330.0);
    assert_eq!(lines, [(1, 1, true), (4, 1, true)], "nothing tells which one it was");
}
