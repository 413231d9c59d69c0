//! Things that change hands, entries that may be each other's, and two hands in one place.

#![allow(clippy::unwrap_used)]

mod small_store;

use std::sync::Arc;

use linefree_domain::layout::StoreLayout;
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use small_store::*;

/// Receipts of a store in which no two products weigh alike.
fn told(inputs: Vec<Input>) -> Table {
    let mut layout = StoreLayout::clone(&layout());
    layout.products[4].weight.mean_g = 410.0;
    let mut store = Store::new(Arc::new(layout), StoreConfig::default());
    inputs.into_iter().for_each(|input| store.handle(input));
    let mut decisions = store.advance(at(120.0));
    decisions.extend(store.finish());
    let closed = |d| if let Decision::VisitClosed(receipt) = d { Some(receipt) } else { None };
    table(&decisions.into_iter().filter_map(closed).collect::<Vec<_>>())
}

fn nothing(who: &str) -> (Option<String>, Vec<(usize, u32, bool)>) {
    (Some(who.to_owned()), Vec::new())
}

#[test]
fn what_one_takes_and_another_puts_down_is_owed_by_nobody() {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend(gates());
    // Anna at plate 1, Ben at plate 4, which is not its place.
    inputs.extend([change(1, 1, -330.0, 8.0, 9.5), change(2, 4, 330.5, 18.0, 19.5)]);
    assert_eq!(told(inputs), [nothing("anna"), nothing("ben")]);
}

#[test]
fn what_one_takes_and_nobody_puts_down_is_theirs() {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend(gates());
    inputs.push(change(1, 1, -330.0, 8.0, 9.5));
    assert_eq!(told(inputs), [(Some("anna".to_owned()), vec![(1, 1, false)]), nothing("ben")]);
}

/// Two who come in side by side and are first seen at the same moment; each takes something where they stand.
fn side_by_side(entries_s: [f64; 2]) -> Table {
    const LEFT: Walk = &[(2.0, 0.3, 1.3), (8.0, 2.0, 3.7), (18.0, 2.0, 3.7), (26.0, 0.1, 1.5)];
    const RIGHT: Walk = &[(2.0, 0.3, 1.7), (8.0, 5.0, 3.7), (28.0, 5.0, 3.7), (38.0, 0.1, 1.5)];
    let mut inputs = people(&[LEFT, RIGHT], 42.0);
    inputs.extend([
        pass(entries_s[0], true, Some("anna")),
        pass(entries_s[1], true, Some("ben")),
        pass(26.0, false, None),
        pass(38.0, false, None),
        change(1, 1, -330.0, 10.0, 11.5),
        change(2, 4, -410.0, 12.0, 13.5),
    ]);
    told(inputs)
}

#[test]
fn who_came_in_side_by_side_is_not_guessed() {
    let table = side_by_side([1.6, 1.7]);
    let lines: Vec<_> = table.iter().flat_map(|(_, lines)| lines).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|(_, _, review)| *review), "{table:?}");
}
