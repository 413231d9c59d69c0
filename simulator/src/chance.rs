//! Seeded randomness, one stream for each purpose.
//!
//! A stream is named by what it is for, so that a change to one part of a simulation leaves every other part as it
//! was: the same seed with other cameras has the same shoppers, and without hands the same feet.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Chance {
    rng: ChaCha8Rng,
}

/// FNV-1a: turns names into stream numbers, the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl Chance {
    /// The stream of `purpose` for a seed.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(hash(purpose));
        Self { rng }
    }

    /// A seed for something that is seeded itself, different for every scenario.
    #[must_use]
    pub fn seed_of(seed: u64, scenario: &str) -> u64 {
        Self::new(seed, scenario).rng.random()
    }

    /// Evenly between `from` and `to`; `from` when there is nothing between them.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        let u: f64 = self.rng.random_range(0.0..1.0);
        from + (to - from).max(0.0) * u
    }

    /// Evenly between the logarithms of two positive numbers.
    pub fn log_between(&mut self, from: f64, to: f64) -> f64 {
        self.between(from.ln(), to.ln()).exp()
    }

    /// A whole number from `from` to `to`, both included.
    pub fn count(&mut self, from: u32, to: u32) -> u32 {
        if to <= from { from } else { self.rng.random_range(from..=to) }
    }

    /// Gaussian with mean zero.
    pub fn normal(&mut self, sd: f64) -> f64 {
        let z: f64 = StandardNormal.sample(&mut self.rng);
        z * sd
    }

    /// Gaussian with mean zero, no further out than three standard deviations.
    pub fn bounded_normal(&mut self, sd: f64) -> f64 {
        self.normal(1.0).clamp(-3.0, 3.0) * sd
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        let u: f64 = self.rng.random_range(0.0..1.0);
        u < probability
    }

    /// Exponential waiting time.
    pub fn waiting_s(&mut self, mean_s: f64) -> f64 {
        let u: f64 = self.rng.random_range(f64::EPSILON..1.0);
        -mean_s * u.ln()
    }

    /// One of several; `None` of none.
    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        if of.is_empty() { None } else { of.get(self.rng.random_range(0..of.len())) }
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.rng.random_range(0..=i));
        }
    }
}
