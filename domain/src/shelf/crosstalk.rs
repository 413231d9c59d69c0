//! Neighbouring plates share a board: what one bears, the others feel a part of. This takes that part away again.
//!
//! The scale has made grams of each channel's counts by that channel's own gain; `calibrate shelf` has measured how
//! grams on one plate appear on the others (`W = M w`), and its inverse gives the weights back. A sample that names
//! some plates only is joined with the newest of the others.
//!
//! # Failure rules
//! While a plate of the shelf has not been heard, or its newest weight is no number, the shelf's samples pass as they
//! came: a sum over an unknown would spoil its neighbours too.

use std::collections::BTreeMap;

use super::WeightSample;
use crate::ids::PlateIndex;

/// How the plates of one shelf are told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfMixing {
    /// Its plates.
    pub plates: Vec<PlateIndex>,
    /// By plate (row), the share that each channel's grams (column) have in its weight; 1 for its own where nothing
    /// leaks.
    pub shares: Vec<Vec<f64>>,
}

impl ShelfMixing {
    /// `None` unless there is a row and a column of finite numbers for each plate.
    #[must_use]
    pub fn new(plates: Vec<PlateIndex>, shares: Vec<Vec<f64>>) -> Option<Self> {
        let square = shares.len() == plates.len() && shares.iter().all(|r| r.len() == plates.len());
        let finite = shares.iter().flatten().all(|v| v.is_finite());
        (square && finite && !plates.is_empty()).then_some(Self { plates, shares })
    }
}

/// Takes cross-talk away from samples, shelf by shelf.
#[derive(Debug, Clone, Default)]
pub struct CrosstalkFilter {
    shelves: Vec<ShelfMixing>,
    newest: BTreeMap<PlateIndex, f64>,
}

impl CrosstalkFilter {
    /// For these shelves; plates of no shelf pass as they come.
    #[must_use]
    pub fn new(shelves: Vec<ShelfMixing>) -> Self {
        Self { shelves, newest: BTreeMap::new() }
    }

    /// The sample as it would be without cross-talk.
    pub fn apply(&mut self, mut sample: WeightSample) -> WeightSample {
        if self.shelves.is_empty() {
            return sample;
        }
        let came: BTreeMap<PlateIndex, f64> = sample.weights_g.iter().copied().collect();
        for (plate, weight_g) in &came {
            self.newest.insert(*plate, *weight_g);
        }
        for shelf in &self.shelves {
            if !shelf.plates.iter().any(|p| came.contains_key(p)) {
                continue;
            }
            let raw: Option<Vec<f64>> =
                shelf.plates.iter().map(|p| self.newest.get(p).copied().filter(|w| w.is_finite())).collect();
            let Some(raw) = raw else { continue };
            for (plate, shares) in shelf.plates.iter().zip(&shelf.shares) {
                let own: f64 = shares.iter().zip(&raw).map(|(share, grams)| share * grams).sum();
                for (_, weight_g) in sample.weights_g.iter_mut().filter(|(p, _)| p == plate) {
                    *weight_g = own;
                }
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::StoreTime;

    fn sample(weights_g: &[(usize, f64)]) -> WeightSample {
        WeightSample {
            time: StoreTime::from_micros(1),
            weights_g: weights_g.iter().map(|(p, w)| (PlateIndex(*p), *w)).collect(),
        }
    }

    #[test]
    fn what_leaks_is_taken_away() {
        // 3 % of each plate's load is felt by the other: the inverse of [[1, .03], [.03, 1]].
        let d = 1.0 - 0.03 * 0.03;
        let shares = vec![vec![1.0 / d, -0.03 / d], vec![-0.03 / d, 1.0 / d]];
        let shelf = ShelfMixing::new(vec![PlateIndex(4), PlateIndex(2)], shares).unwrap();
        let mut filter = CrosstalkFilter::new(vec![shelf]);
        // 500 g on plate 4, 15 g of which plate 2 feels; plate 9 is of another shelf.
        let seen = filter.apply(sample(&[(4, 500.0), (2, 15.0), (9, 70.0)]));
        assert!((seen.weights_g[0].1 - 500.0).abs() < 1e-9 && seen.weights_g[1].1.abs() < 1e-9);
        assert!((seen.weights_g[2].1 - 70.0).abs() < 1e-12);
        // A sample of one plate only is joined with the other's newest.
        let seen = filter.apply(sample(&[(2, 115.0)]));
        assert!((seen.weights_g[0].1 - 100.0 / d).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn an_unknown_neighbour_spoils_nothing() {
        let shelf =
            ShelfMixing::new(vec![PlateIndex(0), PlateIndex(1)], vec![vec![1.0, -0.1], vec![-0.1, 1.0]]);
        let mut filter = CrosstalkFilter::new(vec![shelf.unwrap()]);
        assert_eq!(filter.apply(sample(&[(0, 50.0)])), sample(&[(0, 50.0)]));
        let broken = filter.apply(sample(&[(0, 50.0), (1, f64::NAN)]));
        assert!((broken.weights_g[0].1 - 50.0).abs() < 1e-12 && broken.weights_g[1].1.is_nan());
        assert!(ShelfMixing::new(vec![PlateIndex(0)], vec![vec![f64::NAN]]).is_none());
        assert!(ShelfMixing::new(vec![PlateIndex(0)], vec![vec![1.0, 0.0]]).is_none());
    }
}
