//! Stores made up: a row of gondolas along the back wall, islands back to back, gates in the front wall.

use anyhow::Context;
use linefree_domain::geometry::{Polygon, Segment};
use linefree_domain::ids::{GateId, PlateId, PlateIndex, ProductIndex, Sku, StoreId};
use linefree_domain::layout::{Facing, Gate, GateKind, Gondola, ItemWeight, Plate, Product, StoreLayout};
use linefree_domain::units::{Currency, Money};
use linefree_recording::gtin_check_digit;
use nalgebra::{Point2, Point3};

use crate::chance::Chance;
use crate::scenario::StorePlan;

/// Depth of shelving from front to back, metres.
const DEPTH_M: f64 = 0.42;
const KINDS: [&str; 12] = [
    "Water",
    "Tea",
    "Chips",
    "Cookies",
    "Coffee",
    "Soap",
    "Noodles",
    "Chocolate",
    "Juice",
    "Candy",
    "Rice",
    "Beans",
];
const BRANDS: [&str; 10] =
    ["Alder", "Birch", "Cedar", "Dune", "Elm", "Fjord", "Grove", "Heath", "Isle", "Juniper"];

/// A store of a plan.
pub fn layout(plan: &StorePlan, chance: &mut Chance) -> anyhow::Result<StoreLayout> {
    let gondolas = chance.count(plan.gondolas[0], plan.gondolas[1]);
    let at_wall = gondolas.div_ceil(2).max(2).min(gondolas);
    let islands = gondolas - at_wall;
    let columns = chance.count(plan.plates[0], plan.plates[1]);
    let plate_m = (chance.between(0.10, 0.16) * 1000.0).round() / 1000.0;
    let wide_m = f64::from(columns) * plate_m;
    let pitch_m = wide_m + 0.04;
    let room_w = (f64::from(at_wall) * pitch_m + chance.between(1.2, 2.6)).max(4.5);
    let room_d = if islands > 0 { chance.between(6.0, 7.2) } else { chance.between(3.4, 4.6) };
    let (room_w, room_d) = (millimetre(room_w), millimetre(room_d));

    let mut list = Vec::new();
    let from_x = (room_w - f64::from(at_wall) * pitch_m) / 2.0;
    for i in 0..at_wall {
        let x = from_x + f64::from(i) * pitch_m;
        list.push((Point3::new(millimetre(x), millimetre(room_d), 0.0), 0.0));
    }
    let middle = room_d * 0.5;
    for i in 0..islands {
        let x = (room_w - f64::from(islands.div_ceil(2)) * pitch_m) / 2.0 + f64::from(i / 2) * pitch_m;
        // One faces the gates, the next stands at its back.
        let (origin, yaw) = if i % 2 == 0 {
            (Point3::new(millimetre(x), millimetre(middle - DEPTH_M), 0.0), 0.0)
        } else {
            (Point3::new(millimetre(x + wide_m), millimetre(middle + DEPTH_M), 0.0), 180.0)
        };
        list.push((origin, yaw));
    }
    let gondolas: Vec<Gondola> = (1..)
        .zip(list)
        .map(|(i, (origin, yaw_deg))| Gondola { id: i.to_string(), origin, yaw_deg })
        .collect();
    let levels = chance.count(plan.shelves[0], plan.shelves[1]);
    let plates = plates(&gondolas, levels, columns, plate_m)?;
    let products = products(chance.count(plan.products[0], plan.products[1]), chance)?;
    let facings = facings(&plates, products.len(), chance);
    // What found no place is not sold.
    let placed = facings.iter().map(|f| f.product.0 + 1).max().unwrap_or(0);
    let mut products = products;
    products.truncate(placed);
    let floor = [[0.0, 0.0], [room_w, 0.0], [room_w, room_d], [0.0, room_d]];
    Ok(StoreLayout {
        id: StoreId::new("simulated")?,
        name: "Simulated store".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        currency: Currency::new("EUR").context("a currency")?,
        floor: Polygon::new(floor.map(Point2::from).to_vec()).context("the floor has no area")?,
        gates: gates(room_w, plan.gates.unwrap_or_else(|| chance.count(1, 2)))?,
        cameras: Vec::new(),
        gondolas,
        plates,
        products,
        facings,
        robots: None,
    })
}

fn millimetre(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}

fn gates(room_w: f64, count: u32) -> anyhow::Result<Vec<Gate>> {
    let gate = |id: &str, kind, from: f64| -> anyhow::Result<Gate> {
        let (a, b) = (millimetre(from), millimetre(from + 1.0));
        let segment = Segment { from: Point2::new(a, 0.0), to: Point2::new(b, 0.0) };
        Ok(Gate { id: GateId::new(id)?, kind, segment })
    };
    if count <= 1 {
        return Ok(vec![gate("door", GateKind::Both, room_w / 2.0 - 0.5)?]);
    }
    Ok(vec![
        gate("in", GateKind::Entry, room_w * 0.25 - 0.5)?,
        gate("out", GateKind::Exit, room_w * 0.75 - 0.5)?,
    ])
}

fn plates(gondolas: &[Gondola], levels: u32, columns: u32, plate_m: f64) -> anyhow::Result<Vec<Plate>> {
    let mut plates = Vec::new();
    for (g, gondola) in gondolas.iter().enumerate() {
        for level in 1..=levels {
            let z = 0.35 + 1.3 * f64::from(level - 1) / f64::from(levels.max(2) - 1);
            for column in 1..=columns {
                let x = f64::from(column - 1) * plate_m;
                let at = |u: f64, v: f64| {
                    gondola.to_store(Point3::new(x + u * plate_m, v * DEPTH_M, millimetre(z)))
                };
                plates.push(Plate {
                    id: PlateId::new(format!("{}/{level}/{column}", gondola.id))?,
                    gondola: g,
                    centre: at(0.5, 0.5),
                    corners: [at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)].map(|c| c.xy()),
                });
            }
        }
    }
    Ok(plates)
}

/// A catalogue in which some weigh alike, and some weigh half of another.
fn products(count: u32, chance: &mut Chance) -> anyhow::Result<Vec<Product>> {
    let mut products: Vec<Product> = Vec::new();
    for i in 0..count {
        let earlier = products.get(chance.count(0, i.saturating_sub(1)) as usize).map(|p| p.weight.mean_g);
        let fresh = chance.log_between(28.0, 1500.0);
        let mean_g = match (chance.between(0.0, 1.0), earlier) {
            (u, Some(g)) if u < 0.15 => g * (1.0 + chance.normal(0.004)),
            (u, Some(g)) if u < 0.25 && g > 150.0 => g * 0.5 * (1.0 + chance.normal(0.003)),
            _ => fresh,
        };
        let mean_g = (mean_g * 10.0).round() / 10.0;
        let spread = chance.log_between(0.001, 0.05);
        let digits = format!("20{:010}", 100_000 + u64::from(i) * 7_919);
        let sku = match gtin_check_digit(&format!("{digits}0")) {
            Some(check) => format!("{digits}{check}"),
            None => digits,
        };
        let brand = BRANDS[i as usize % BRANDS.len()];
        let kind = KINDS[(i as usize / BRANDS.len() + i as usize) % KINDS.len()];
        products.push(Product {
            sku: Sku::new(&sku)?,
            name: format!("{brand} {kind} {mean_g:.0} g"),
            price: Money::from_minor(i64::from(chance.count(49, 999))),
            weight: ItemWeight { mean_g, sd_g: (mean_g * spread).max(0.2) },
        });
    }
    Ok(products)
}

/// One after the other along the shelves, each on one to three plates; some plates stay empty.
fn facings(plates: &[Plate], products: usize, chance: &mut Chance) -> Vec<Facing> {
    let mut places: Vec<Vec<PlateIndex>> = Vec::new();
    let mut i = 0;
    while i < plates.len() {
        let same = plates[i..].iter().take_while(|p| p.id.place() == plates[i].id.place()).count();
        let wide = (chance.count(1, 3) as usize).min(same);
        if !chance.happens(0.1) {
            places.push((i..i + wide).map(PlateIndex).collect());
        }
        i += wide;
    }
    chance.shuffle(&mut places);
    // A few products lie in two places.
    let mut facings: Vec<Facing> = places
        .into_iter()
        .enumerate()
        .filter_map(|(i, plates)| {
            let product = if i < products {
                i
            } else if chance.happens(0.1) {
                i % products.max(1)
            } else {
                return None;
            };
            Some(Facing { product: ProductIndex(product), plates, count: None })
        })
        .collect();
    facings.sort_by_key(|f| f.plates.first().copied());
    facings
}
