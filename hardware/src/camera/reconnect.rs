//! When to try a lost stream again: exponential back-off with jitter.
//!
//! Sans-IO: the time is passed in. A stream counts as recovered only after it has been up for a while
//! ([`BackOff::stable`]): one that connects and dies at once keeps backing off.

use std::time::{Duration, Instant};

/// How long to wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackOff {
    /// Before the second attempt.
    pub first: Duration,
    /// At most.
    pub max: Duration,
    /// How much longer each wait is than the one before.
    pub factor: f64,
    /// Share of the wait that is drawn at random, 0 to 1: cameras that were lost together do not come back together.
    pub jitter: f64,
    /// How long a connection must hold before the next wait starts from `first` again.
    pub stable: Duration,
}

impl Default for BackOff {
    /// 0.5 s, doubling up to 30 s, a fifth of it random; stable after 10 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.2,
            stable: Duration::from_secs(10),
        }
    }
}

/// Decides when a stream is tried again.
#[derive(Debug, Clone)]
pub struct Reconnect {
    policy: BackOff,
    seed: u64,
    failures: u32,
    connected_at: Option<Instant>,
    next_try: Option<Instant>,
}

impl Reconnect {
    /// Not connected, free to try at once. The seed spreads the jitter: give each camera its own.
    #[must_use]
    pub fn new(policy: BackOff, seed: u64) -> Self {
        Self { policy, seed, failures: 0, connected_at: None, next_try: None }
    }

    /// How long to wait before the next attempt; zero when it may be made now.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Duration {
        self.next_try.map_or(Duration::ZERO, |t| t.saturating_duration_since(now))
    }

    /// Number of the attempt that comes next, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.failures.saturating_add(1)
    }

    /// An attempt succeeded.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        self.next_try = None;
    }

    /// An attempt failed, or the connection was lost. Returns how long to wait.
    pub fn lost(&mut self, now: Instant) -> Duration {
        let held = self.connected_at.take().map(|since| now.saturating_duration_since(since));
        if held.is_some_and(|held| held >= self.policy.stable) {
            self.failures = 0;
        }
        // `powi` saturates to infinity and `min` brings it back.
        let exponent = i32::try_from(self.failures).unwrap_or(i32::MAX);
        let grown = self.policy.first.as_secs_f64() * self.policy.factor.max(1.0).powi(exponent);
        let wait_s = grown.min(self.policy.max.as_secs_f64());
        let shorter = self.policy.jitter.clamp(0.0, 1.0) * self.draw();
        let wait = Duration::from_secs_f64(wait_s * (1.0 - shorter));
        self.failures = self.failures.saturating_add(1);
        self.next_try = Some(now + wait);
        wait
    }

    /// A number in 0..1 from the seed and the count of failures (SplitMix64, Steele et al. 2014).
    fn draw(&self) -> f64 {
        let mut z = self.seed ^ u64::from(self.failures).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> BackOff {
        BackOff { jitter: 0.0, ..BackOff::default() }
    }

    #[test]
    fn waits_double_up_to_the_maximum() {
        let now = Instant::now();
        let mut link = Reconnect::new(plain(), 1);
        assert_eq!((link.wait(now), link.attempt()), (Duration::ZERO, 1));
        let waits: Vec<f64> = (0..9).map(|_| link.lost(now).as_secs_f64()).collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(link.wait(now + Duration::from_secs(29)), Duration::from_secs(1));
        assert_eq!(link.wait(now + Duration::from_secs(31)), Duration::ZERO);
        for _ in 0..10_000 {
            assert!(link.lost(now) <= Duration::from_secs(30));
        }
    }

    #[test]
    fn only_a_connection_that_held_starts_over() {
        let start = Instant::now();
        let mut link = Reconnect::new(plain(), 1);
        link.lost(start);
        link.lost(start);
        link.connected(start);
        assert_eq!(link.wait(start), Duration::ZERO);
        let flapped = link.lost(start + Duration::from_secs(1));
        assert_eq!(flapped, Duration::from_secs(2), "a connection of one second reset the back-off");
        link.connected(start);
        assert_eq!(link.lost(start + Duration::from_secs(60)), Duration::from_millis(500));
    }

    #[test]
    fn jitter_shortens_differs_by_camera_and_repeats() {
        let now = Instant::now();
        let first = |seed| Reconnect::new(BackOff::default(), seed).lost(now);
        let waits: Vec<Duration> = (0..50).map(first).collect();
        assert!(waits.iter().all(|w| (0.4..=0.5).contains(&w.as_secs_f64())), "{waits:?}");
        assert!(waits.iter().collect::<std::collections::BTreeSet<_>>().len() > 40);
        assert_eq!(first(3), first(3));
    }
}
