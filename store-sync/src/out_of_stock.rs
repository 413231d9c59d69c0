//! How long products were out of stock, by hour: from counts and what was taken since. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

/// An hour, microseconds.
pub const HOUR_US: i64 = 3_600_000_000;

/// Something that changes how many of a product lie on a plate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at_us: i64,
    /// Where: `gondola/shelf/plate`.
    pub plate: String,
    /// The product.
    pub sku: String,
    /// How.
    pub what: What,
}

/// How it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Somebody counted this many.
    Counted(i64),
    /// This many were taken; negative when they were put.
    Taken(i64),
}

/// For each product and hour since the Unix epoch, how long every plate on which it was counted was empty, microseconds,
/// up to `until_us`. `changes` are oldest first. A product that nobody has counted is never out of stock; a plate that
/// is counted with another product no longer holds this one.
#[must_use]
pub fn out_of_stock(changes: &[Change], hours: Range<i64>, until_us: i64) -> BTreeMap<(String, i64), i64> {
    let mut out = BTreeMap::new();
    let mut plates: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    let mut empty_since: BTreeMap<&str, i64> = BTreeMap::new();
    let mut told = |sku: &str, from_us: i64, to_us: i64| {
        let from_us = from_us.max(hours.start.saturating_mul(HOUR_US));
        let to_us = to_us.min(hours.end.saturating_mul(HOUR_US)).min(until_us);
        let mut at_us = from_us;
        while at_us < to_us {
            let hour = at_us.div_euclid(HOUR_US);
            let end_us = ((hour + 1) * HOUR_US).min(to_us);
            *out.entry((sku.to_owned(), hour)).or_insert(0) += end_us - at_us;
            at_us = end_us;
        }
    };
    for change in changes {
        let mut touched = vec![change.sku.as_str()];
        match change.what {
            What::Counted(items) => {
                for (sku, on) in &mut plates {
                    if *sku != change.sku && on.remove(change.plate.as_str()).is_some() {
                        touched.push(sku);
                    }
                }
                plates.entry(&change.sku).or_default().insert(&change.plate, items);
            }
            What::Taken(items) => {
                // Of a plate that nobody has counted, nothing is known; elsewhere than its own it is misplaced.
                let on = plates.get_mut(change.sku.as_str()).and_then(|on| on.get_mut(change.plate.as_str()));
                if let Some(left) = on {
                    *left -= items;
                }
            }
        }
        for sku in touched {
            let empty = plates.get(sku).is_some_and(|on| !on.is_empty() && on.values().all(|n| *n <= 0));
            match (empty, empty_since.get(sku).copied()) {
                (true, None) => {
                    empty_since.insert(sku, change.at_us);
                }
                (false, Some(since_us)) => {
                    empty_since.remove(sku);
                    told(sku, since_us, change.at_us);
                }
                _ => {}
            }
        }
    }
    for (sku, since_us) in empty_since {
        told(sku, since_us, until_us);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN_US: i64 = 60_000_000;

    fn at(minute: i64, plate: &str, sku: &str, what: What) -> Change {
        Change { at_us: minute * MIN_US, plate: plate.into(), sku: sku.into(), what }
    }

    fn minutes(changes: &[Change], until: i64) -> Vec<(String, i64, i64)> {
        let found = out_of_stock(changes, 0..100, until * MIN_US);
        found.into_iter().map(|((sku, hour), us)| (sku, hour, us / MIN_US)).collect()
    }

    #[test]
    fn empty_from_the_last_take_to_the_next_count_split_by_hour() {
        let day = [
            at(10, "a/1/1", "tea", What::Counted(2)),
            at(20, "a/1/1", "tea", What::Taken(1)),
            at(50, "a/1/1", "tea", What::Taken(1)),
            at(75, "a/1/1", "tea", What::Counted(8)),
        ];
        assert_eq!(minutes(&day, 200), [("tea".into(), 0, 10), ("tea".into(), 1, 15)]);
    }

    #[test]
    fn one_full_plate_of_several_is_enough() {
        let day = [
            at(0, "a/1/1", "tea", What::Counted(1)),
            at(0, "a/1/2", "tea", What::Counted(1)),
            at(10, "a/1/1", "tea", What::Taken(1)),
            at(30, "a/1/2", "tea", What::Taken(1)),
            at(40, "a/1/1", "tea", What::Taken(-1)),
        ];
        assert_eq!(minutes(&day, 60), [("tea".into(), 0, 10)]);
    }

    #[test]
    fn what_still_lasts_ends_with_the_question_and_what_nobody_counted_is_unknown() {
        let day = [at(5, "a/1/1", "tea", What::Taken(3)), at(30, "b/1/1", "milk", What::Counted(0))];
        assert_eq!(minutes(&day, 45), [("milk".into(), 0, 15)]);
    }

    #[test]
    fn a_plate_that_now_holds_something_else_says_nothing_of_what_it_held() {
        let day = [at(0, "a/1/1", "tea", What::Counted(0)), at(20, "a/1/1", "milk", What::Counted(3))];
        assert_eq!(minutes(&day, 60), [("tea".into(), 0, 20)]);
    }

    #[test]
    fn only_the_hours_asked_for_are_told() {
        let day = [at(0, "a/1/1", "tea", What::Counted(0))];
        let found = out_of_stock(&day, 2..3, 1_000 * MIN_US);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(("tea".to_owned(), 2), HOUR_US)]);
    }
}
