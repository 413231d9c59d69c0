//! Store time: microseconds since the Unix epoch, always passed in, never read.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, in microseconds since 1970-01-01T00:00:00Z, on the store's event clock.
///
/// Live, it is the clock of the device that observed something; in replay it is the recording's start plus `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StoreTime {
    /// Microseconds since the Unix epoch.
    pub micros: i64,
}

impl StoreTime {
    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// This moment plus seconds, rounded to the microsecond. A NaN adds nothing.
    #[must_use]
    pub fn plus_s(self, seconds: f64) -> Self {
        // `as` saturates and maps NaN to 0, which is the wanted behaviour for absurd input.
        Self { micros: self.micros.saturating_add((seconds * 1e6).round() as i64) }
    }

    /// Seconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.micros.saturating_sub(earlier.micros) as f64 * 1e-6
    }
}

impl Add<Duration> for StoreTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self { micros: self.micros.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)) }
    }
}

impl Sub<Duration> for StoreTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self { micros: self.micros.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_go_there_and_back() {
        let t = StoreTime::from_micros(1_769_639_040_000_000);
        assert!((t.plus_s(12.345_678).seconds_since(t) - 12.345_678).abs() < 1e-9);
        assert_eq!(t.plus_s(f64::NAN), t);
        assert_eq!(t + Duration::from_millis(1) - Duration::from_millis(1), t);
    }
}
