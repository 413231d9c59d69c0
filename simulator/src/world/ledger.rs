//! Where every item is: the ground truth.
//!
//! Policy: **who picks pays.** An item belongs to whoever lifted it off a plate last, through any hand-over, until it
//! lies on a plate again. One that was left on the floor is still the picker's: no sensor of a store tells it from one
//! that was carried out. Staff pay for nothing; what they hand to a shopper is the shopper's.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::ids::{PlateIndex, ProductIndex};
use nalgebra::Point2;

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// On plates.
    Shelf,
    /// In a hand that has not left the plate yet, or has not let go.
    Moving,
    /// Somebody has it.
    With(usize),
    /// On the floor.
    Floor(Point2<f64>),
    /// Somebody carried it out.
    Sold(usize),
}

/// One physical piece of a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Of which product.
    pub product: ProductIndex,
    /// What this very piece weighs.
    pub weight_g: f64,
    /// Where it is.
    pub place: Place,
    /// The plates under it with their shares of its weight, while it lies on a shelf.
    pub rests: Vec<(PlateIndex, f64)>,
    /// Where it belongs: position among the layout's facings.
    pub home: usize,
    /// Who lifted it off a plate last.
    pub picker: Option<usize>,
}

/// Everything that can be taken, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Every item.
    pub items: Vec<Item>,
    /// Who ever had which product in hand.
    pub had: BTreeSet<(usize, ProductIndex)>,
    /// How often each product was lifted off a plate.
    pub taken: BTreeMap<ProductIndex, u32>,
    /// How often it was put on one by somebody who had it.
    pub returned: BTreeMap<ProductIndex, u32>,
}

impl Ledger {
    /// Items of a product that lie on any of these plates; all of that product that lie on a shelf for no plates.
    pub fn lying<'l>(
        &'l self,
        product: ProductIndex,
        plates: &'l [PlateIndex],
    ) -> impl Iterator<Item = usize> + 'l {
        self.items
            .iter()
            .enumerate()
            .filter(move |(_, i)| i.product == product && i.place == Place::Shelf)
            .filter(move |(_, i)| plates.is_empty() || i.rests.iter().any(|(p, _)| plates.contains(p)))
            .map(|(n, _)| n)
    }

    /// Items that somebody has.
    pub fn with(&self, who: usize) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().enumerate().filter(move |(_, i)| i.place == Place::With(who)).map(|(n, _)| n)
    }

    /// A hand closes around an item on a plate.
    pub fn grasp(&mut self, item: usize) {
        self.items[item].place = Place::Moving;
    }

    /// The item has left its plates.
    pub fn take(&mut self, item: usize, who: usize) {
        let i = &mut self.items[item];
        i.place = Place::With(who);
        i.picker = Some(who);
        i.rests.clear();
        self.had.insert((who, i.product));
        *self.taken.entry(i.product).or_default() += 1;
    }

    /// Somebody has the item from another's hand, or from the floor.
    pub fn hand(&mut self, item: usize, who: usize) {
        let i = &mut self.items[item];
        i.place = Place::With(who);
        self.had.insert((who, i.product));
    }

    /// The item lies on plates.
    pub fn put(&mut self, item: usize, rests: Vec<(PlateIndex, f64)>) {
        let i = &mut self.items[item];
        i.place = Place::Shelf;
        i.rests = rests;
        if i.picker.take().is_some() {
            *self.returned.entry(i.product).or_default() += 1;
        }
    }

    /// What was carried out or lies about, by who pays for it: `pays` tells whether a person is somebody who pays.
    pub fn owed(&self, pays: impl Fn(usize) -> bool) -> BTreeMap<usize, BTreeMap<ProductIndex, u32>> {
        let mut owed: BTreeMap<usize, BTreeMap<ProductIndex, u32>> = BTreeMap::new();
        for item in &self.items {
            let carrier = match item.place {
                Place::Shelf => continue,
                Place::With(who) | Place::Sold(who) => Some(who),
                Place::Moving | Place::Floor(_) => None,
            };
            let payer = item.picker.filter(|p| pays(*p)).or(carrier.filter(|c| pays(*c)));
            if let Some(payer) = payer {
                *owed.entry(payer).or_default().entry(item.product).or_default() += 1;
            }
        }
        owed
    }

    /// Is taken minus returned what people hold, carried out or left lying, for every product?
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let mut off: BTreeMap<ProductIndex, u32> = BTreeMap::new();
        for item in self.items.iter().filter(|i| i.picker.is_some()) {
            if item.place != Place::Shelf {
                *off.entry(item.product).or_default() += 1;
            }
        }
        let count = |m: &BTreeMap<ProductIndex, u32>, p| m.get(p).copied().unwrap_or(0);
        let products = self.taken.keys().chain(self.returned.keys()).chain(off.keys());
        products.into_iter().all(|p| count(&self.taken, p) == count(&self.returned, p) + count(&off, p))
    }
}
