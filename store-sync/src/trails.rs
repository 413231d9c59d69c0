//! Where people were in the last while, for the review of a doubt and for scrubbing back.
//!
//! In memory only: at most [`MAX_POSITIONS`] positions, at most one look every [`EVERY_US`] of event time. Nothing of it
//! is written anywhere, and it is gone with the process: where somebody stood an hour ago is nobody's business.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use linefree_bus::payload::{ShopperPosition, Shoppers};

/// Positions that are kept at most, of all shoppers together: about an hour of fifty people.
pub const MAX_POSITIONS: usize = 400_000;

/// Least event time between two looks.
pub const EVERY_US: i64 = 500_000;

/// The last while.
#[derive(Debug, Default)]
pub struct Trails(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    looks: VecDeque<Shoppers>,
    positions: usize,
}

impl Trails {
    /// Everybody's place at a moment. Moments that come out of order are left out.
    pub fn add(&self, shoppers: &Shoppers) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.looks.back().is_some_and(|last| shoppers.time_us < last.time_us + EVERY_US) {
            return;
        }
        kept.positions += shoppers.shoppers.len();
        kept.looks.push_back(shoppers.clone());
        while kept.positions > MAX_POSITIONS || kept.looks.len() > MAX_POSITIONS {
            let Some(oldest) = kept.looks.pop_front() else { break };
            kept.positions -= oldest.shoppers.len();
        }
    }

    /// Where everybody was at a moment: the look nearest to it, within two seconds.
    #[must_use]
    pub fn at(&self, at_us: i64) -> Vec<ShopperPosition> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = kept.looks.partition_point(|look| look.time_us < at_us);
        let near =
            [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| kept.looks.get(i));
        near.min_by_key(|look| look.time_us.abs_diff(at_us))
            .filter(|look| look.time_us.abs_diff(at_us) <= 2_000_000)
            .map(|look| look.shoppers.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(time_us: i64, n: u32) -> Shoppers {
        let one = |shopper| ShopperPosition { shopper, visit: None, at: [0.0, 0.0], radius_m: 0.1 };
        Shoppers { time_us, shoppers: (0..n).map(one).collect() }
    }

    #[test]
    fn the_nearest_look_answers_and_memory_is_bounded() {
        let trails = Trails::default();
        for i in 0..500 {
            trails.add(&look(i * EVERY_US, 1000));
            trails.add(&look(i * EVERY_US + 1, 1000));
        }
        let kept = trails.0.lock().unwrap();
        assert_eq!((kept.looks.len(), kept.positions), (400, MAX_POSITIONS));
        drop(kept);
        assert_eq!(trails.at(499 * EVERY_US + 100).len(), 1000);
        assert!(trails.at(0).is_empty(), "too old");
        assert!(trails.at(499 * EVERY_US + 3_000_000).is_empty(), "not yet");
    }
}
