//! The composed store on small scenes with known answers: people walk, plates change, receipts follow.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use linefree_domain::cart::Receipt;
use linefree_domain::floor::{PeopleObservation, Person};
use linefree_domain::geometry::{Polygon, Segment, View};
use linefree_domain::ids::{
    CameraId, CameraIndex, Credential, GateId, GateIndex, PlateId, PlateIndex, ProductIndex, Sku, StoreId,
};
use linefree_domain::layout::{
    Camera, Facing, Gate, GateKind, Gondola, ItemWeight, Plate, Product, StoreLayout,
};
use linefree_domain::shelf::{PlateChange, ShelfEvent};
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};
use linefree_domain::visit::GatePassed;
use nalgebra::{Matrix2, Matrix3, Point2, Point3};
use proptest::prelude::*;

/// One shelf of six plates along y = 4, its front towards -y; a door at the left wall.
fn layout() -> Arc<StoreLayout> {
    let point = |x: f64, y: f64| Point2::new(x, y);
    let plate = |i: usize| {
        let x = 1.0 + i as f64;
        Plate {
            id: PlateId::new(format!("1/1/{i}")).unwrap(),
            gondola: 0,
            centre: Point3::new(x, 4.2, 1.0),
            corners: [point(x - 0.4, 4.0), point(x + 0.4, 4.0), point(x + 0.4, 4.4), point(x - 0.4, 4.4)],
        }
    };
    let product = |i: usize, mean_g: f64| Product {
        sku: Sku::new(format!("sku-{i}")).unwrap(),
        name: format!("Product {i}"),
        price: Money::from_minor(100 + i as i64),
        weight: ItemWeight { mean_g, sd_g: 2.0 },
    };
    // The products on plates 1 and 4 weigh the same.
    let weights_g = [500.0, 330.0, 250.0, 750.0, 330.0, 120.0];
    Arc::new(StoreLayout {
        id: StoreId::new("test").unwrap(),
        name: "Test".into(),
        timezone: "UTC".into(),
        currency: Currency::new("EUR").unwrap(),
        floor: Polygon::new(vec![point(0.0, 0.0), point(8.0, 0.0), point(8.0, 4.0), point(0.0, 4.0)])
            .unwrap(),
        gates: vec![Gate {
            id: GateId::new("door").unwrap(),
            kind: GateKind::Both,
            segment: Segment { from: point(0.0, 1.0), to: point(0.0, 2.0) },
        }],
        cameras: vec![Camera {
            id: CameraId::new("cam1").unwrap(),
            size_px: [800, 400],
            view: View::Homography(Matrix3::new(0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0)),
        }],
        gondolas: vec![Gondola { id: "1".into(), origin: Point3::new(0.6, 4.0, 0.0), yaw_deg: 0.0 }],
        plates: (0..6).map(plate).collect(),
        products: weights_g.iter().enumerate().map(|(i, w)| product(i, *w)).collect(),
        facings: (0..6)
            .map(|i| Facing { product: ProductIndex(i), plates: vec![PlateIndex(i)], count: Some(8) })
            .collect(),
        robots: None,
    })
}

fn at(t_s: f64) -> StoreTime {
    StoreTime::from_micros(1_000_000_000_000).plus_s(t_s)
}

/// Where somebody is: corner points with their times, straight lines between.
type Walk = &'static [(f64, f64, f64)];

fn place(walk: Walk, t_s: f64) -> Option<Point2<f64>> {
    let leg = walk.windows(2).find(|leg| (leg[0].0..=leg[1].0).contains(&t_s))?;
    let u = (t_s - leg[0].0) / (leg[1].0 - leg[0].0);
    Some(Point2::new(leg[0].1 + u * (leg[1].1 - leg[0].1), leg[0].2 + u * (leg[1].2 - leg[0].2)))
}

fn people(walks: &[Walk], until_s: f64) -> Vec<Input> {
    (0..(until_s * 10.0) as usize)
        .map(|i| {
            let t_s = i as f64 / 10.0;
            let person = |foot: Point2<f64>| Person {
                foot,
                cov_m2: Matrix2::identity() * 0.02,
                score: 0.9,
                height_m: None,
                hands: Vec::new(),
                hand_sd_m: 0.08,
                track: None,
                tracklet: None,
            };
            let people = walks.iter().filter_map(|w| place(w, t_s)).map(person).collect();
            Input::People(PeopleObservation { camera: CameraIndex(0), time: at(t_s), people })
        })
        .collect()
}

fn pass(t_s: f64, entry: bool, credential: Option<&str>) -> Input {
    Input::Gate(GatePassed {
        time: at(t_s),
        gate: GateIndex(0),
        entry,
        credential: credential.map(|c| Credential::new(c).unwrap()),
        party: 1,
    })
}

fn change(tag: u64, plate: usize, delta_g: f64, start_s: f64, end_s: f64) -> Input {
    let change =
        PlateChange { plate: PlateIndex(plate), delta_g, sd_g: 1.5, start: at(start_s), end: at(end_s) };
    Input::Shelf { tag, event: ShelfEvent { changes: vec![change] } }
}

fn receipts(inputs: Vec<Input>) -> Vec<Receipt> {
    let mut store = Store::new(layout(), StoreConfig::default()).with_staff("staff-");
    inputs.into_iter().for_each(|input| store.handle(input));
    let mut decisions = store.advance(at(120.0));
    decisions.extend(store.finish());
    let closed = |d| if let Decision::VisitClosed(receipt) = d { Some(receipt) } else { None };
    decisions.into_iter().filter_map(closed).collect()
}

/// `(credential, [(product, quantity, review)])`, sorted.
type Table = Vec<(Option<String>, Vec<(usize, u32, bool)>)>;

fn table(receipts: &[Receipt]) -> Table {
    let mut table: Table = receipts
        .iter()
        .map(|r| {
            let lines = r.lines.iter().map(|l| (l.product.0, l.quantity, l.review)).collect();
            (r.credential.as_ref().map(ToString::to_string), lines)
        })
        .collect();
    table.sort();
    table
}

const ANNA: Walk = &[(0.0, 0.2, 1.5), (6.0, 2.0, 3.7), (16.0, 2.0, 3.7), (24.0, 0.1, 1.5)];
const BEN: Walk = &[(2.0, 0.2, 1.5), (10.0, 5.0, 3.7), (26.0, 5.0, 3.7), (36.0, 0.1, 1.5)];

fn gates() -> Vec<Input> {
    vec![
        pass(0.0, true, Some("anna")),
        pass(2.0, true, Some("ben")),
        pass(24.0, false, None),
        pass(36.0, false, None),
    ]
}

#[test]
fn two_shoppers_have_their_own_receipts() {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend(gates());
    inputs.extend([
        change(1, 1, -331.0, 8.0, 10.5),
        change(2, 4, -329.0, 12.0, 14.0),
        change(3, 4, -658.5, 16.0, 18.0),
        change(4, 4, 329.5, 20.0, 22.0),
    ]);
    assert_eq!(
        table(&receipts(inputs)),
        [(Some("anna".into()), vec![(1, 1, false)]), (Some("ben".into()), vec![(4, 2, false)])]
    );
}

#[test]
fn an_item_put_elsewhere_can_be_bought_by_another() {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend(gates());
    inputs.extend([
        // Anna takes the 330 g product of plate 1 and lays it down on plate 2 (its neighbour weighs 250 g).
        change(1, 1, -331.0, 7.0, 9.0),
        change(2, 2, 331.0, 12.0, 14.0),
        // Ben takes something of 750 g that is his own.
        change(3, 3, -750.0, 15.0, 17.0),
    ]);
    // Ben goes by plate 2 on his way out.
    let ben: Walk = &[
        (2.0, 0.2, 1.5),
        (10.0, 4.3, 3.7),
        (19.0, 4.3, 3.7),
        (22.0, 3.0, 3.7),
        (28.0, 3.0, 3.7),
        (36.0, 0.1, 1.5),
    ];
    inputs.retain(|i| !matches!(i, Input::People(_)));
    inputs.extend(people(&[ANNA, ben], 40.0));
    inputs.push(change(4, 2, -331.0, 24.0, 26.0));
    assert_eq!(
        table(&receipts(inputs)),
        [(Some("anna".into()), vec![]), (Some("ben".into()), vec![(1, 1, false), (3, 1, false)])]
    );
}

#[test]
fn two_in_front_of_one_plate_are_not_guessed() {
    let side: [Walk; 2] = [
        &[(0.0, 0.2, 1.5), (6.0, 1.75, 3.6), (18.0, 1.75, 3.6), (24.0, 0.1, 1.5)],
        &[(2.0, 0.2, 1.5), (8.0, 2.25, 3.6), (26.0, 2.25, 3.6), (36.0, 0.1, 1.5)],
    ];
    let mut inputs = people(&side, 40.0);
    inputs.extend(gates());
    inputs.push(change(1, 1, -330.0, 11.0, 13.0));
    let lines: Vec<_> = table(&receipts(inputs)).into_iter().flat_map(|(_, lines)| lines).collect();
    assert!(!lines.is_empty() && lines.iter().all(|(_, _, review)| *review), "{lines:?}");
}

#[test]
fn staff_fill_shelves_and_never_pay() {
    let mut inputs = people(&[ANNA, BEN], 40.0);
    inputs.extend([
        pass(0.0, true, Some("staff-anna")),
        pass(2.0, true, Some("ben")),
        pass(24.0, false, None),
        pass(36.0, false, None),
        // Three items that nobody saw her take, and one that she takes away.
        change(1, 1, 992.0, 8.0, 10.5),
        change(2, 1, -331.0, 12.0, 14.0),
        change(3, 4, -330.5, 13.0, 15.0),
    ]);
    assert_eq!(
        table(&receipts(inputs)),
        [(Some("ben".into()), vec![(4, 1, false)]), (Some("staff-anna".into()), vec![])]
    );
}

#[test]
fn everyone_who_entered_has_a_receipt() {
    // Nobody is ever seen, nothing is ever taken.
    assert_eq!(table(&receipts(gates())), [(Some("anna".into()), vec![]), (Some("ben".into()), vec![])]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order of arrival within the watermark, the receipts are the same.
    #[test]
    fn the_order_of_arrival_changes_nothing(seed in any::<u64>()) {
        let mut inputs = people(&[ANNA, BEN], 40.0);
        inputs.extend(gates());
        inputs.extend([change(1, 1, -331.0, 8.0, 10.5), change(2, 4, -329.0, 12.0, 14.0)]);
        let ordered = receipts(inputs.clone());
        // A multiplicative hash as a shuffle: the seed decides.
        let mut keyed: Vec<(u64, Input)> = inputs
            .into_iter()
            .enumerate()
            .map(|(i, input)| ((i as u64 + 1).wrapping_mul(seed | 1).rotate_left(17), input))
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        prop_assert_eq!(ordered, receipts(keyed.into_iter().map(|(_, input)| input).collect()));
    }
}
