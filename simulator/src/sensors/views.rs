//! Product vision as another program would give it: how likely each product is at a place, sometimes wrong.

use linefree_domain::ids::ProductIndex;

use crate::chance::Chance;
use crate::stores::SimulatedStore;
use crate::world::Happened;

/// One look at what was handled.
#[derive(Debug, Clone, PartialEq)]
pub struct Viewed {
    /// When, seconds.
    pub t_s: f64,
    /// `gondola/shelf`.
    pub place: String,
    /// How likely the picture is for some products.
    pub likelihood: Vec<(ProductIndex, f64)>,
}

/// How often the best guess is another product.
const MISTAKEN: f64 = 0.08;
/// Products that a view names.
const NAMED: u32 = 5;

/// Looks at this share of what was handled.
#[must_use]
pub fn views(store: &SimulatedStore, happened: &Happened, share: f64, seed: u64) -> Vec<Viewed> {
    let mut chance = Chance::new(seed, "views");
    let products: Vec<ProductIndex> = (0..store.layout.products.len()).map(ProductIndex).collect();
    let mut views = Vec::new();
    for handled in &happened.handled {
        if !chance.happens(share) {
            continue;
        }
        let mut others: Vec<ProductIndex> =
            products.iter().copied().filter(|p| *p != handled.product).collect();
        chance.shuffle(&mut others);
        others.truncate(NAMED as usize);
        let sure = chance.between(0.45, 0.92);
        let mut likelihood = vec![(handled.product, sure)];
        let mut left = 1.0 - sure;
        for other in others {
            let part = left * chance.between(0.2, 0.7);
            left -= part;
            likelihood.push((other, part));
        }
        if chance.happens(MISTAKEN) && likelihood.len() > 1 {
            let swapped = likelihood[1].1;
            likelihood[1].1 = likelihood[0].1;
            likelihood[0].1 = swapped;
        }
        for (_, p) in &mut likelihood {
            *p = (*p * 1000.0).round() / 1000.0;
        }
        let place = store.layout.plates[handled.plate.0].id.place().to_owned();
        views.push(Viewed { t_s: handled.at_s + chance.bounded_normal(0.15), place, likelihood });
    }
    views.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    views
}
