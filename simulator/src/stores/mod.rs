//! Stores to simulate: what is really there, and what their store.toml says.
//!
//! The two differ as in life: weights in the catalogue come from a few weighed items, a planogram may be wrong, and
//! stock counts may be unknown.

mod eyes;
mod generated;
mod real;

use linefree_domain::layout::{Facing, ItemWeight, StoreLayout};
use linefree_recording::{DEFAULT_SD_FRACTION, MIN_DEFAULT_SD_G, MIN_SD_G};

use crate::chance::Chance;
use crate::obstacles::Obstacles;
use crate::scenario::{LayoutKind, Planogram, Scenario};

pub use eyes::Eye;
pub use real::shared_nanostore;

/// A store as the simulation knows it.
#[derive(Debug, Clone)]
pub struct SimulatedStore {
    /// What is really there.
    pub layout: StoreLayout,
    /// What store.toml says.
    pub told: StoreLayout,
    /// What one item of each product really weighs.
    pub weights: Vec<ItemWeight>,
    /// How many items each facing holds at the start.
    pub stock: Vec<u32>,
    /// The cameras, in the order of the layout.
    pub eyes: Vec<Eye>,
    /// What people must walk around and cameras cannot see through.
    pub obstacles: Obstacles,
    /// From where to where along x no camera sees, metres.
    pub blind_x_m: Option<[f64; 2]>,
}

impl SimulatedStore {
    /// The store of a scenario for a seed.
    ///
    /// # Errors
    /// When the real store's data is not there.
    pub fn new(scenario: &Scenario, kind: LayoutKind, seed: u64) -> anyhow::Result<Self> {
        let mut layout = match kind {
            LayoutKind::Generated => generated::layout(&scenario.store, &mut Chance::new(seed, "store"))?,
            LayoutKind::Nanostore => real::layout(&mut Chance::new(seed, "store"))?,
        };
        let mut chance = Chance::new(seed, "cameras stand");
        let eyes = eyes::place(&mut layout, &scenario.cameras, &mut chance)?;
        let mut chance = Chance::new(seed, "weights of products");
        let weights: Vec<ItemWeight> = layout.products.iter().map(|p| p.weight).collect();
        for product in &mut layout.products {
            product.weight = weighed(product.weight, &mut chance);
        }
        let mut chance = Chance::new(seed, "stock");
        let stock: Vec<u32> = layout.facings.iter().map(|_| chance.count(5, 12)).collect();
        let known = chance.happens(0.5);
        let mut told = layout.clone();
        for (facing, count) in told.facings.iter_mut().zip(&stock) {
            facing.count = known.then_some(*count);
        }
        mislead(&mut told, scenario.store.planogram, &mut Chance::new(seed, "wrong planogram"));
        let obstacles = Obstacles::of(&layout);
        let blind_x_m =
            scenario.cameras.blind_corner.then(|| blind(&layout, &mut Chance::new(seed, "blind")));
        Ok(Self { layout, told, weights, stock, eyes, obstacles, blind_x_m })
    }
}

/// What a catalogue knows of a weight: eight weighed items, or a number off the packet with the usual spread.
fn weighed(truth: ItemWeight, chance: &mut Chance) -> ItemWeight {
    let round = |g: f64| (g * 100.0).round() / 100.0;
    if chance.happens(0.5) {
        let n = 8;
        let grams: Vec<f64> = (0..n).map(|_| truth.mean_g + chance.bounded_normal(truth.sd_g)).collect();
        let mean_g = grams.iter().sum::<f64>() / f64::from(n);
        let squares: f64 = grams.iter().map(|g| (g - mean_g).powi(2)).sum();
        let sd_g = (squares / f64::from(n - 1)).sqrt().max(MIN_SD_G);
        return ItemWeight { mean_g: round(mean_g), sd_g: round(sd_g * 1.1) };
    }
    let mean_g = truth.mean_g + chance.bounded_normal(truth.sd_g.min(0.01 * truth.mean_g) * 0.5);
    let default_g = (mean_g * DEFAULT_SD_FRACTION).max(MIN_DEFAULT_SD_G);
    ItemWeight { mean_g: round(mean_g), sd_g: round(default_g.max(0.8 * truth.sd_g)) }
}

/// Writes into the planogram what is not so.
fn mislead(told: &mut StoreLayout, planogram: Planogram, chance: &mut Chance) {
    let wrong: Vec<usize> = match planogram {
        Planogram::Right => return,
        Planogram::HalfWrong => {
            let mut all: Vec<usize> = (0..told.facings.len()).collect();
            chance.shuffle(&mut all);
            all.truncate(told.facings.len().div_ceil(2));
            all
        }
        Planogram::GondolaWrong => {
            let gondola = told.plates.first().map_or(0, |p| p.gondola);
            let on = |f: &Facing| f.plates.iter().any(|p| told.plates[p.0].gondola == gondola);
            (0..told.facings.len()).filter(|i| on(&told.facings[*i])).collect()
        }
    };
    // Everybody moves to the next one's place: no wrong facing is right by accident.
    let products: Vec<_> = wrong.iter().map(|i| told.facings[*i].product).collect();
    for (i, product) in wrong.iter().zip(products.iter().cycle().skip(1)) {
        told.facings[*i].product = *product;
    }
}

/// A strip at one end of the store that no camera looks at.
fn blind(layout: &StoreLayout, chance: &mut Chance) -> [f64; 2] {
    let xs = layout.floor.corners().iter().map(|c| c.x);
    let (low, high) = (xs.clone().fold(f64::MAX, f64::min), xs.fold(f64::MIN, f64::max));
    let wide = (high - low) * chance.between(0.22, 0.3);
    if chance.happens(0.5) { [low, low + wide] } else { [high - wide, high] }
}
