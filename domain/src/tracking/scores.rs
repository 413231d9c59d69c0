//! What a detector's scores mean: how high they are when it is sure.
//!
//! One detector gives 0.98 to whom another gives 0.6. The upper quarter of all scores so far tells them apart without
//! knowing either; old scores fade, so a camera that gets another model is understood after a while.

/// Scores are counted in so many steps from 0 to 1.
const STEPS: usize = 200;
/// Counts are halved when there are so many: the past fades.
const MOST: u32 = 20_000;
/// A detector that gives less to everybody is never taken to be sure: it may be looking at things.
const LEAST_SURE: f64 = 0.5;
/// The share of scores that lie below the one that counts as sure.
const SURE_QUANTILE: f64 = 0.75;

/// Counts of the scores of one detector.
#[derive(Debug, Clone)]
pub(super) struct Scores {
    counts: [u32; STEPS],
    total: u32,
}

impl Default for Scores {
    fn default() -> Self {
        Self { counts: [0; STEPS], total: 0 }
    }
}

impl Scores {
    /// Takes one score into account; numbers outside 0 to 1 count as the nearest end.
    pub fn add(&mut self, score: f64) {
        if self.total >= MOST {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += *count;
            }
        }
        let step = (score.clamp(0.0, 1.0) * STEPS as f64) as usize;
        self.counts[step.min(STEPS - 1)] += 1;
        self.total += 1;
    }

    /// The score of somebody this detector is sure of; 1 while it has given none.
    pub fn sure(&self) -> f64 {
        let wanted = SURE_QUANTILE * f64::from(self.total);
        let mut below = 0.0;
        for (step, count) in self.counts.iter().enumerate() {
            below += f64::from(*count);
            if *count > 0 && below >= wanted {
                return ((step + 1) as f64 / STEPS as f64).max(LEAST_SURE);
            }
        }
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_of_low_scores_only_is_not_sure() {
        let mut scores = Scores::default();
        (0..1_000).for_each(|_| scores.add(0.2));
        assert!((scores.sure() - LEAST_SURE).abs() < 1e-9);
    }

    #[test]
    fn the_upper_quarter_is_sure() {
        let mut scores = Scores::default();
        assert!((scores.sure() - 1.0).abs() < 1e-9);
        for i in 0..100 {
            scores.add(f64::from(i) / 125.0);
        }
        assert!((scores.sure() - 0.6).abs() < 0.011, "{}", scores.sure());
        for _ in 0..60_000 {
            scores.add(0.9);
        }
        assert!((scores.sure() - 0.905).abs() < 0.011, "the past does not fade: {}", scores.sure());
    }
}
