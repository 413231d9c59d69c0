//! A small store, people who walk in it, plates that change, and receipts.

#![allow(clippy::unwrap_used, dead_code)] // Helpers of tests are not known as tests to clippy; not each test uses all.

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

/// One shelf of six plates along y = 4, its front towards -y; a door at the left wall.
pub fn layout() -> Arc<StoreLayout> {
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

pub fn at(t_s: f64) -> StoreTime {
    StoreTime::from_micros(1_000_000_000_000).plus_s(t_s)
}

/// Where somebody is: corner points with their times, straight lines between.
pub type Walk = &'static [(f64, f64, f64)];

pub fn place(walk: Walk, t_s: f64) -> Option<Point2<f64>> {
    let leg = walk.windows(2).find(|leg| (leg[0].0..=leg[1].0).contains(&t_s))?;
    let u = (t_s - leg[0].0) / (leg[1].0 - leg[0].0);
    Some(Point2::new(leg[0].1 + u * (leg[1].1 - leg[0].1), leg[0].2 + u * (leg[1].2 - leg[0].2)))
}

pub fn people(walks: &[Walk], until_s: f64) -> Vec<Input> {
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

pub fn pass(t_s: f64, entry: bool, credential: Option<&str>) -> Input {
    Input::Gate(GatePassed {
        time: at(t_s),
        gate: GateIndex(0),
        entry,
        credential: credential.map(|c| Credential::new(c).unwrap()),
        party: 1,
    })
}

pub fn change(tag: u64, plate: usize, delta_g: f64, start_s: f64, end_s: f64) -> Input {
    let change =
        PlateChange { plate: PlateIndex(plate), delta_g, sd_g: 1.5, start: at(start_s), end: at(end_s) };
    Input::Shelf { tag, event: ShelfEvent { changes: vec![change] } }
}

pub fn receipts(inputs: Vec<Input>) -> Vec<Receipt> {
    let mut store = Store::new(layout(), StoreConfig::default()).with_staff("staff-");
    inputs.into_iter().for_each(|input| store.handle(input));
    let mut decisions = store.advance(at(120.0));
    decisions.extend(store.finish());
    let closed = |d| if let Decision::VisitClosed(receipt) = d { Some(receipt) } else { None };
    decisions.into_iter().filter_map(closed).collect()
}

/// `(credential, [(product, quantity, review)])`, sorted.
pub type Table = Vec<(Option<String>, Vec<(usize, u32, bool)>)>;

pub fn table(receipts: &[Receipt]) -> Table {
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

pub const ANNA: Walk = &[(0.0, 0.2, 1.5), (6.0, 2.0, 3.7), (16.0, 2.0, 3.7), (24.0, 0.1, 1.5)];
pub const BEN: Walk = &[(2.0, 0.2, 1.5), (10.0, 5.0, 3.7), (26.0, 5.0, 3.7), (36.0, 0.1, 1.5)];

pub fn gates() -> Vec<Input> {
    vec![
        pass(0.0, true, Some("anna")),
        pass(2.0, true, Some("ben")),
        pass(24.0, false, None),
        pass(36.0, false, None),
    ]
}
