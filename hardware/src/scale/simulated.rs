//! The simulated twin of a scale: set loads, white noise, a linear drift and the amplifier's step, from a seed.
//!
//! Deliberately thin: transients of handling, shaking neighbours, creep and temperature belong to the simulator,
//! which knows who handles what.

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use super::{Scale, ScaleError};

/// What the simulated plates are like.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedPlates {
    /// Everything is drawn from this.
    pub seed: u64,
    /// The plates and what lies on each at the start, grams.
    pub loads_g: Vec<(PlateIndex, f64)>,
    /// Time of the first sample.
    pub start: StoreTime,
    /// Samples a second.
    pub rate_hz: f64,
    /// How many samples there are; `None` for no end.
    pub samples: Option<u64>,
    /// Standard deviation of each plate's noise, grams.
    pub noise_g: f64,
    /// Drift, grams an hour.
    pub drift_g_per_h: f64,
    /// Smallest step the amplifier tells apart, grams; 0 for none.
    pub step_g: f64,
}

impl Default for SimulatedPlates {
    /// One plate with 5 kg, 10 samples/s, 0.2 g rms noise (an HX711 on a 20 kg cell), 2 g/h, 0.01 g steps.
    fn default() -> Self {
        Self {
            seed: 0,
            loads_g: vec![(PlateIndex(0), 5000.0)],
            start: StoreTime::default(),
            rate_hz: 10.0,
            samples: None,
            noise_g: 0.2,
            drift_g_per_h: 2.0,
            step_g: 0.01,
        }
    }
}

/// A scale that needs nothing.
#[derive(Debug)]
pub struct SimulatedScale {
    plates: SimulatedPlates,
    rng: ChaCha8Rng,
    next: u64,
}

impl SimulatedScale {
    /// Starts at the first sample.
    #[must_use]
    pub fn new(plates: SimulatedPlates) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(plates.seed);
        Self { plates, rng, next: 0 }
    }

    /// Puts on a plate, or takes from it, from the next sample on. A plate that it does not have is left alone.
    pub fn add_load_g(&mut self, plate: PlateIndex, change_g: f64) {
        if let Some((_, load_g)) = self.plates.loads_g.iter_mut().find(|(p, _)| *p == plate) {
            *load_g += change_g;
        }
    }
}

impl Scale for SimulatedScale {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        let p = &self.plates;
        if p.samples.is_some_and(|samples| self.next >= samples) {
            return Ok(None);
        }
        let elapsed_s = self.next as f64 / p.rate_hz;
        self.next += 1;
        let drift_g = p.drift_g_per_h * elapsed_s / 3600.0;
        // A negative or NaN standard deviation is no noise.
        let noise = Normal::new(0.0, p.noise_g.max(0.0)).ok();
        let mut weights_g = Vec::with_capacity(p.loads_g.len());
        for (plate, load_g) in &p.loads_g {
            let noise_g = noise.map_or(0.0, |n| n.sample(&mut self.rng));
            let seen_g = load_g + drift_g + noise_g;
            let weight_g = if p.step_g > 0.0 { (seen_g / p.step_g).round() * p.step_g } else { seen_g };
            weights_g.push((*plate, weight_g));
        }
        Ok(Some(WeightSample { time: p.start.plus_s(elapsed_s), weights_g }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights_g(scale: &mut SimulatedScale, samples: usize) -> Vec<f64> {
        (0..samples).map(|_| scale.next_sample().unwrap().unwrap().weights_g[0].1).collect()
    }

    #[test]
    fn noise_drift_and_step_are_as_set() {
        let plates = SimulatedPlates { drift_g_per_h: 36.0, step_g: 0.05, ..SimulatedPlates::default() };
        let seen = weights_g(&mut SimulatedScale::new(plates), 36_000);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&seen[..1000]), mean(&seen[35_000..]));
        assert!((last - first - 35.0).abs() < 0.1, "drifted by {}", last - first);
        let spread = seen[..1000].iter().map(|w| (w - first).powi(2)).sum::<f64>() / 1000.0;
        assert!((0.17..0.45).contains(&spread.sqrt()), "{}", spread.sqrt());
        assert!(seen.iter().all(|w| (w / 0.05 - (w / 0.05).round()).abs() < 1e-6));
    }

    #[test]
    fn the_same_seed_weighs_the_same_and_loads_show() {
        let run = |seed| {
            let mut scale = SimulatedScale::new(SimulatedPlates { seed, ..SimulatedPlates::default() });
            let before = weights_g(&mut scale, 50);
            scale.add_load_g(PlateIndex(0), -538.0);
            scale.add_load_g(PlateIndex(7), -538.0);
            [before, weights_g(&mut scale, 50)].concat()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        let seen = run(3);
        assert!((seen[49] - seen[50] - 538.0).abs() < 3.0);
    }

    #[test]
    fn it_ends_where_it_was_told_to() {
        let mut scale =
            SimulatedScale::new(SimulatedPlates { samples: Some(3), ..SimulatedPlates::default() });
        weights_g(&mut scale, 3);
        assert_eq!(scale.next_sample().unwrap(), None);
    }
}
