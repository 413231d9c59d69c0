//! What somebody looks like from afar: the colours of their clothes, to tell people apart who pass each other.
//!
//! A few coarse colour histograms, by height. It cannot tell who a person is, only that two figures of the same minutes
//! wear different clothes; it lives in the camera role's memory until a while after the person was last seen
//! (`TrackletsConfig::remember_s`) and is never sent or stored.

/// Parts of a standing figure from top to bottom: chest, waist, legs.
pub const PARTS: usize = 3;
/// Histograms of one part: brightness, blueness, redness.
pub const CHANNELS: usize = 3;
/// Bins of one histogram.
pub const BINS: usize = 16;
const LENGTH: usize = PARTS * CHANNELS * BINS;

/// Colour histograms of a figure; each sums to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appearance {
    bins: [f32; LENGTH],
}

impl Appearance {
    /// From counts, by part, channel and bin; `None` when a histogram is empty or holds a number that is none.
    #[must_use]
    pub fn from_counts(counts: &[[[f32; BINS]; CHANNELS]; PARTS]) -> Option<Self> {
        let mut bins = [0.0; LENGTH];
        for (h, histogram) in counts.iter().flatten().enumerate() {
            let sum: f32 = histogram.iter().sum();
            if !(sum.is_finite() && sum > 0.0) || histogram.iter().any(|c| *c < 0.0) {
                return None;
            }
            for (b, count) in histogram.iter().enumerate() {
                bins[h * BINS + b] = count / sum;
            }
        }
        Some(Self { bins })
    }

    /// Mean Hellinger distance of the histograms, 0 (alike) to 1 (nothing in common).
    #[must_use]
    pub fn distance(&self, other: &Self) -> f64 {
        let histograms = self.bins.chunks_exact(BINS).zip(other.bins.chunks_exact(BINS));
        let sum: f64 = histograms
            .map(|(a, b)| {
                let likeness: f64 = a.iter().zip(b).map(|(x, y)| f64::from(x * y).sqrt()).sum();
                (1.0 - likeness).max(0.0).sqrt()
            })
            .sum();
        sum / (PARTS * CHANNELS) as f64
    }

    /// Moves towards what was seen now by a share of the way.
    pub fn learn(&mut self, seen: &Self, share: f32) {
        for (mine, new) in self.bins.iter_mut().zip(seen.bins) {
            *mine += share * (new - *mine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bin: usize) -> Appearance {
        let mut histogram = [0.0; BINS];
        histogram[bin] = 5.0;
        Appearance::from_counts(&[[histogram; CHANNELS]; PARTS]).unwrap()
    }

    #[test]
    fn distance_is_0_for_oneself_and_1_for_a_stranger() {
        assert!(plain(2).distance(&plain(2)) < 1e-6);
        assert!((plain(2).distance(&plain(5)) - 1.0).abs() < 1e-6);
        assert!(Appearance::from_counts(&[[[0.0; BINS]; CHANNELS]; PARTS]).is_none());
    }

    #[test]
    fn learning_draws_nearer() {
        let mut model = plain(2);
        let before = model.distance(&plain(5));
        model.learn(&plain(5), 0.3);
        assert!(model.distance(&plain(5)) < before);
    }
}
