//! Nobody watched for a while: nothing that is uncertain afterwards is charged, and nobody is left without a receipt.

#![allow(clippy::unwrap_used)]

mod small_store;

use linefree_domain::cart::{Line, Receipt};
use linefree_domain::ids::{Credential, ProductIndex, TrackId, TrackletId, VisitId};
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use linefree_domain::tracking::Tracklet;
use linefree_domain::visit::CarriedVisit;
use small_store::*;

/// Everybody's sightings in one tracklet each, as a camera tells them that never lost anybody.
fn followed(walks: &[Walk], until_s: f64) -> Vec<Input> {
    let mut inputs = people(walks, until_s);
    for input in &mut inputs {
        let Input::People(observation) = input else { continue };
        let seconds = observation.time.seconds_since(at(0.0));
        let here = (0..walks.len()).filter(|w| place(walks[*w], seconds).is_some());
        for (person, walk) in observation.people.iter_mut().zip(here) {
            let number = walk as u32 + 1;
            person.track = Some(TrackId(number));
            person.tracklet = Some(Tracklet { id: TrackletId(number), alike: None });
        }
    }
    inputs
}

/// The inputs without the people of a time, and the news that nobody watched then.
fn without(mut inputs: Vec<Input>, from_s: f64, until_s: f64) -> Vec<Input> {
    inputs.retain(
        |i| !matches!(i, Input::People(o) if (from_s..until_s).contains(&o.time.seconds_since(at(0.0)))),
    );
    inputs.push(Input::Unwatched { from: at(from_s), until: at(until_s) });
    inputs
}

fn scene(people: Vec<Input>) -> Vec<Input> {
    let mut inputs = people;
    inputs.extend(gates());
    inputs.extend([change(1, 1, -331.0, 8.0, 10.5), change(2, 4, -329.0, 17.0, 19.0)]);
    inputs
}

#[test]
fn what_is_uncertain_after_an_outage_is_looked_at() {
    let inputs = without(scene(people(&[ANNA, BEN], 40.0)), 12.0, 15.0);
    assert_eq!(
        table(&receipts(inputs)),
        [(Some("anna".into()), vec![(1, 1, true)]), (Some("ben".into()), vec![(4, 1, true)])]
    );
}

#[test]
fn who_is_surely_the_same_is_charged() {
    let inputs = without(scene(followed(&[ANNA, BEN], 40.0)), 12.0, 14.5);
    assert_eq!(
        table(&receipts(inputs)),
        [(Some("anna".into()), vec![(1, 1, false)]), (Some("ben".into()), vec![(4, 1, false)])]
    );
}

#[test]
fn what_was_taken_while_nobody_watched_is_looked_at_whoever_is_who() {
    let mut inputs = scene(followed(&[ANNA, BEN], 40.0));
    inputs.push(change(3, 4, -330.0, 12.5, 13.5));
    let inputs = without(inputs, 12.0, 14.5);
    let receipts = table(&receipts(inputs));
    assert_eq!(receipts.len(), 2);
    assert!(receipts.iter().flat_map(|(_, lines)| lines).all(|(_, _, review)| *review), "{receipts:?}");
    assert!(receipts.iter().all(|(_, lines)| !lines.is_empty()), "{receipts:?}");
}

#[test]
fn who_stood_at_the_gate_has_not_left_because_nobody_looked() {
    // Anna has just come in when the outage begins; it lasts longer than somebody unseen at a gate is waited for.
    let anna: Walk = &[
        (0.0, 0.2, 1.5),
        (3.0, 0.8, 1.5),
        (20.0, 1.0, 1.6),
        (24.0, 2.0, 3.7),
        (34.0, 2.0, 3.7),
        (40.0, 0.1, 1.5),
    ];
    let mut inputs = people(&[anna], 41.0);
    inputs.extend([pass(0.0, true, Some("anna")), pass(40.0, false, None), change(1, 1, -331.0, 27.0, 29.0)]);
    assert_eq!(table(&receipts(without(inputs, 5.0, 19.0))), [(Some("anna".into()), vec![(1, 1, true)])]);
}

#[test]
fn what_a_stranger_takes_after_a_long_outage_is_somebody_s_in_doubt() {
    // So long that she is given up: whoever walks about then is the only one it can be.
    let anna: Walk =
        &[(0.0, 0.2, 1.5), (6.0, 2.0, 3.7), (320.0, 5.0, 3.7), (340.0, 5.0, 3.7), (346.0, 0.1, 1.5)];
    let mut inputs = people(&[anna], 346.0);
    inputs.extend([
        pass(0.0, true, Some("anna")),
        pass(346.0, false, None),
        change(1, 4, -331.0, 330.0, 332.0),
    ]);
    let mut store = Store::new(layout(), StoreConfig::default());
    without(inputs, 8.0, 320.0).into_iter().for_each(|input| store.handle(input));
    let closed = closed(store.advance(at(400.0)));
    assert_eq!(table(&closed), [(Some("anna".into()), vec![(4, 1, true)])]);
}

#[test]
fn who_is_never_seen_again_gets_a_receipt() {
    let mut store = Store::new(layout(), StoreConfig::default());
    let visit = CarriedVisit {
        id: VisitId::new("v-1-7").unwrap(),
        credential: Some(Credential::new("anna").unwrap()),
        party: 1,
        entered: at(0.0),
    };
    let line = Line { product: ProductIndex(2), quantity: 2, probability: 0.99, review: false };
    store.resume_after(7);
    store.carry(visit, vec![line]);
    store.handle(Input::Unwatched { from: at(1.0), until: at(60.0) });
    assert!(closed(store.advance(at(350.0))).is_empty());
    let receipts = closed(store.advance(at(380.0)));
    assert_eq!(table(&receipts), [(Some("anna".into()), vec![(2, 2, true)])]);
    assert_eq!((receipts[0].visit.to_string().as_str(), store.visits_opened()), ("v-1-7", 7));
    assert!(store.open_visits().next().is_none());
}

fn closed(decisions: Vec<Decision>) -> Vec<Receipt> {
    let closed = |d| if let Decision::VisitClosed(receipt) = d { Some(receipt) } else { None };
    decisions.into_iter().filter_map(closed).collect()
}
