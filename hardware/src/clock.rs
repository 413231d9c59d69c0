//! The clock of live sensors: store time from the system's clock, without ever going back.
//!
//! Live sources stamp what they see with the wall clock, because cameras, scales and gates on several machines must
//! agree. A wall clock may be stepped. [`StoreClock`] follows it, but
//!
//! * never goes back: when the wall clock is behind, store time goes on at [`SLEW`] less than its usual speed until
//!   both agree;
//! * steps forward at once: nothing that was sensed gets another time by that.
//!
//! Sans-IO: [`StoreClock::at`] takes what both clocks say. [`LiveClock`] asks the system.
//!
//! # Failure rules
//! How far the wall clock is off is known ([`StoreClock::behind_s`]) and told by the health of the device. A machine
//! whose clock was stepped back by an hour has times that are wrong for days: restart its roles after mending it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use linefree_domain::time::StoreTime;

/// By how much of its speed store time is held back while the wall clock is behind it.
pub const SLEW: f64 = 0.05;

/// Follows a wall clock without going back.
#[derive(Debug, Clone, Default)]
pub struct StoreClock {
    last: Option<(StoreTime, Duration)>,
    behind_s: f64,
}

impl StoreClock {
    /// Store time, given what the wall clock says and how long this device has been running.
    pub fn at(&mut self, wall: StoreTime, uptime: Duration) -> StoreTime {
        let Some((last, then)) = self.last else {
            self.last = Some((wall, uptime));
            return wall;
        };
        let elapsed_s = uptime.saturating_sub(then).as_secs_f64();
        let slowest = last.plus_s(elapsed_s * (1.0 - SLEW));
        // At least a microsecond: two samples never share a time.
        let now = wall.max(slowest).max(StoreTime::from_micros(last.micros.saturating_add(1)));
        self.behind_s = now.seconds_since(wall);
        self.last = Some((now, uptime));
        now
    }

    /// How far the wall clock is behind store time, seconds; 0 while they agree.
    #[must_use]
    pub fn behind_s(&self) -> f64 {
        self.behind_s
    }
}

/// [`StoreClock`] on the system's clocks. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct LiveClock {
    began: Instant,
    clock: Arc<Mutex<StoreClock>>,
}

impl Default for LiveClock {
    fn default() -> Self {
        Self { began: Instant::now(), clock: Arc::default() }
    }
}

impl LiveClock {
    /// Store time now. No two calls give the same.
    #[must_use]
    pub fn now(&self) -> StoreTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.at(StoreTime::default() + since, self.began.elapsed())
    }

    /// See [`StoreClock::behind_s`].
    #[must_use]
    pub fn behind_s(&self) -> f64 {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).behind_s()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: f64) -> StoreTime {
        StoreTime::from_micros(1_700_000_000_000_000).plus_s(seconds)
    }

    #[test]
    fn it_follows_the_wall_clock_and_steps_forward_with_it() {
        let mut clock = StoreClock::default();
        for (at_s, wall_s) in [(0, 0.0), (1, 1.0), (2, 2.000_1), (3, 3603.0)] {
            assert_eq!(clock.at(wall(wall_s), Duration::from_secs(at_s)), wall(wall_s));
        }
        assert!(clock.behind_s().abs() < 1e-9);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_slows_it_down_until_both_agree() {
        let mut clock = StoreClock::default();
        clock.at(wall(100.0), Duration::from_secs(100));
        let mut last = wall(100.0);
        for second in 101..=160 {
            // Set back by two seconds.
            let now = clock.at(wall(f64::from(second) - 2.0), Duration::from_secs(second as u64));
            assert!(now > last, "it went back");
            last = now;
        }
        assert_eq!(last, wall(158.0), "after 40 s at 5 % both agree");
    }

    #[test]
    fn two_readings_never_share_a_time() {
        let mut clock = StoreClock::default();
        let first = clock.at(wall(0.0), Duration::ZERO);
        let second = clock.at(wall(0.0), Duration::ZERO);
        assert!(second > first);
        let live = LiveClock::default();
        assert!(live.now() < live.now());
    }
}
