//! How long events have waited between the ledger and the cloud, as a histogram.

/// Upper ends of the classes, seconds; longer waits are in none of them.
pub const BOUNDS_S: [f64; 9] = [0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0, 86_400.0];

/// Waits of events that the cloud has taken. One that is sent again counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Waits {
    classes: [u64; BOUNDS_S.len()],
    count: u64,
    sum_s: f64,
    last_s: f64,
}

impl Waits {
    /// The cloud took an event that the ledger has had since a moment.
    pub fn note(&mut self, since_us: i64, now_us: i64) {
        // A clock that was set back makes no negative wait.
        let waited_s = now_us.saturating_sub(since_us).max(0) as f64 / 1e6;
        for (class, bound_s) in self.classes.iter_mut().zip(BOUNDS_S) {
            *class += u64::from(waited_s <= bound_s);
        }
        self.count += 1;
        self.sum_s += waited_s;
        self.last_s = waited_s;
    }

    /// How many waited at most so long: bound in seconds, count.
    pub fn at_most(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS_S.into_iter().zip(self.classes)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All waits together, seconds.
    #[must_use]
    pub fn sum_s(&self) -> f64 {
        self.sum_s
    }

    /// The last one, seconds.
    #[must_use]
    pub fn last_s(&self) -> f64 {
        self.last_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_every_class_that_it_fits_in() {
        let mut waits = Waits::default();
        for (since_us, now_us) in [(0, 100_000), (0, 40_000_000), (0, 1_000_000_000_000), (9, 0)] {
            waits.note(since_us, now_us);
        }
        let counts: Vec<u64> = waits.at_most().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!((waits.count(), waits.last_s()), (4, 0.0));
        assert!((waits.sum_s() - 1_000_040.1).abs() < 1e-6);
    }
}
