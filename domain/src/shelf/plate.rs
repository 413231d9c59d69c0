//! Change points of one plate.
//!
//! Two phases. **Quiet**: the level follows the weight slowly (drift, creep) until samples leave it by more than the
//! plate's noise allows. **Active**: hands press, items roll, neighbours shake the shelf; nothing is believed until
//! the weight holds a level again. Shaking swings about the true weight, so "holds a level" is judged by block means
//! and not by the swing: the mean of a window is trusted when the standard error of its blocks is small and its two
//! halves agree. Windows of growing length are tried, so a calm plate answers soon and a shaken one when it can.
//! The statistic is that of batch means (Law and Carson 1979; Law, Simulation Modeling and Analysis, ch. 9).

use std::collections::VecDeque;

use crate::ids::PlateIndex;
use crate::time::StoreTime;

/// Limits of change detection on one plate. The defaults come from the measurements in `docs/design/shelf.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateConfig {
    /// Windows over which a level is judged, seconds, rising.
    pub windows_s: [f64; 3],
    /// Largest standard error of a believable level, grams.
    pub level_se_g: f64,
    /// A plate that has been active for this long settles at a looser [`Self::loose_se_g`], seconds.
    pub patience_s: f64,
    /// Standard error allowed after [`Self::patience_s`], grams.
    pub loose_se_g: f64,
    /// Leaving the level by this many noise standard deviations begins activity ...
    pub wake_sds: f64,
    /// ... but never by less than this, grams.
    pub wake_min_g: f64,
    /// Time constant with which a quiet level follows drift, seconds.
    pub drift_s: f64,
    /// Repeatability of a settled level after handling (settling, friction, tilt), grams.
    pub repeat_sd_g: f64,
    /// Smallest change that is reported, grams.
    pub change_min_g: f64,
    /// A level that was held for more than the shortest window may be less certain when the change to it is large: this share of
    /// the change.
    pub level_se_share: f64,
    /// Handling is told to begin at most this long before the weight moved for good, seconds: shaking and touching
    /// before that is nobody's take.
    pub lead_s: f64,
}

impl Default for PlateConfig {
    fn default() -> Self {
        Self {
            windows_s: [0.6, 1.2, 2.0],
            level_se_g: 1.2,
            patience_s: 6.0,
            loose_se_g: 6.0,
            wake_sds: 5.0,
            wake_min_g: 4.0,
            drift_s: 20.0,
            repeat_sd_g: 1.0,
            change_min_g: 5.0,
            level_se_share: 0.006,
            lead_s: 1.0,
        }
    }
}

/// The settled weight of one plate changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateChange {
    /// Which plate.
    pub plate: PlateIndex,
    /// New level minus old level, grams.
    pub delta_g: f64,
    /// Standard deviation of the change, grams.
    pub sd_g: f64,
    /// When handling began: when the weight first left the old level, but at most [`PlateConfig::lead_s`] before it
    /// left it for good.
    pub start: StoreTime,
    /// From when on it held the new level.
    pub end: StoreTime,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    mean_g: f64,
    se_g: f64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No level has been found yet.
    Waking,
    Quiet(Level),
    Active {
        from: Level,
        since: StoreTime,
    },
}

/// Finds the changes of one plate. Memory is bounded by the longest window at 250 samples a second.
#[derive(Debug, Clone)]
pub struct PlateDetector {
    plate: PlateIndex,
    config: PlateConfig,
    samples: VecDeque<(StoreTime, f64)>,
    /// The weights of the activity so far, thinned out: the newest [`TRAIL_MAX`].
    trail: VecDeque<(StoreTime, f64)>,
    noise_sd_g: Option<f64>,
    phase: Phase,
    last_deviant: Option<StoreTime>,
}

/// Fewest samples that make a level: at 5 Hz the shortest window would hold three.
const LEVEL_SAMPLES_MIN: usize = 4;
/// Blocks of the batch-means estimate.
const BLOCKS: usize = 4;
const SAMPLES_MAX: usize = 512;
/// Weights kept of an activity, and the least time between two of them: half a minute.
const TRAIL_MAX: usize = 600;
const TRAIL_EVERY_S: f64 = 0.05;
/// A quiet plate noisier than this is being shaken, grams.
const NOISE_MAX_G: f64 = 8.0;
const NOISE_MIN_G: f64 = 0.05;

impl PlateDetector {
    /// A detector for one plate; the first level is taken from its first calm window.
    #[must_use]
    pub fn new(plate: PlateIndex, config: PlateConfig) -> Self {
        Self {
            plate,
            config,
            samples: VecDeque::new(),
            trail: VecDeque::new(),
            noise_sd_g: None,
            phase: Phase::Waking,
            last_deviant: None,
        }
    }

    /// Standard deviation at rest, grams.
    pub fn noise_g(&self) -> Option<f64> {
        self.noise_sd_g
    }

    /// When the plate began to be handled, if it is being handled now.
    #[must_use]
    pub fn active_since(&self) -> Option<StoreTime> {
        match self.phase {
            Phase::Active { since, .. } => Some(since),
            Phase::Waking | Phase::Quiet(_) => None,
        }
    }

    /// The settled weight, grams; none before the first calm window.
    #[must_use]
    pub fn level_g(&self) -> Option<f64> {
        match self.phase {
            Phase::Quiet(level) | Phase::Active { from: level, .. } => Some(level.mean_g),
            Phase::Waking => None,
        }
    }

    /// Takes one finite weight; samples come in time order.
    pub fn handle_weight(&mut self, time: StoreTime, weight_g: f64) -> Option<PlateChange> {
        self.samples.push_back((time, weight_g));
        let longest_s = self.config.windows_s[2];
        while self.samples.len() > LEVEL_SAMPLES_MIN
            && (self.samples.len() > SAMPLES_MAX
                || self.samples.front().is_some_and(|(t, _)| time.seconds_since(*t) > longest_s + 0.25))
        {
            self.samples.pop_front();
        }
        match self.phase {
            Phase::Waking => {
                let (level, sd_g, _) = self.held(time, None, |_, _| self.config.level_se_g)?;
                self.noise_sd_g = Some(sd_g.clamp(NOISE_MIN_G, NOISE_MAX_G));
                self.phase = Phase::Quiet(level);
                None
            }
            Phase::Quiet(level) => {
                self.watch(time, weight_g, level);
                None
            }
            Phase::Active { from, since } => {
                let thin = |(t, _): &(StoreTime, f64)| time.seconds_since(*t) < TRAIL_EVERY_S - 1e-6;
                if !self.trail.back().is_some_and(thin) {
                    self.trail.push_back((time, weight_g));
                    if self.trail.len() > TRAIL_MAX {
                        self.trail.pop_front();
                    }
                }
                self.settle(time, from, since)
            }
        }
    }

    fn wake_g(&self) -> f64 {
        (self.config.wake_sds * self.noise_sd_g.unwrap_or(NOISE_MAX_G)).max(self.config.wake_min_g)
    }

    /// Quiet: two deviant samples in a row (one alone is a spike) begin activity; else the level follows drift.
    fn watch(&mut self, time: StoreTime, weight_g: f64, level: Level) {
        if (weight_g - level.mean_g).abs() > self.wake_g() {
            if let Some(since) = self.last_deviant {
                self.phase = Phase::Active { from: level, since };
                self.last_deviant = None;
                self.trail.clear();
            } else {
                self.last_deviant = Some(time);
            }
            return;
        }
        self.last_deviant = None;
        let rate_s = self.sample_interval_s().min(1.0);
        let gain = (rate_s / self.config.drift_s).min(0.5);
        let moved = Level { mean_g: level.mean_g + gain * (weight_g - level.mean_g), se_g: level.se_g };
        self.phase = Phase::Quiet(moved);
        if let Some(noise) = &mut self.noise_sd_g {
            let variance = *noise * *noise;
            let deviation2 = (weight_g - level.mean_g).powi(2);
            *noise = (variance + gain * (deviation2 - variance)).sqrt().clamp(NOISE_MIN_G, NOISE_MAX_G);
        }
    }

    fn sample_interval_s(&self) -> f64 {
        let n = self.samples.len();
        if n < 2 {
            return 0.0;
        }
        self.samples[n - 1].0.seconds_since(self.samples[n - 2].0)
    }

    fn settle(&mut self, time: StoreTime, from: Level, since: StoreTime) -> Option<PlateChange> {
        let active_s = time.seconds_since(since);
        let se_limit_g = if active_s > self.config.patience_s {
            self.config.loose_se_g
        } else {
            // A level that is precise compared with the noise of a calm plate; never stricter than that noise.
            self.config.level_se_g.max(self.noise_sd_g.unwrap_or(0.0))
        };
        let long_s = self.config.windows_s[1];
        let (level, _, end) = self.held(time, Some(since), |mean_g, window_s| {
            // A hand that still shakes the plate holds no level for long; a board that sways does.
            let large_g = if window_s < long_s { 0.0 } else { (mean_g - from.mean_g).abs() };
            se_limit_g.max(self.config.level_se_share * large_g)
        })?;
        self.phase = Phase::Quiet(level);
        let delta_g = level.mean_g - from.mean_g;
        let sd_g = (from.se_g.powi(2) + level.se_g.powi(2) + 2.0 * self.config.repeat_sd_g.powi(2)).sqrt();
        let limit_g = self.config.change_min_g.max(2.5 * sd_g);
        (delta_g.abs() > limit_g).then_some(PlateChange {
            plate: self.plate,
            delta_g,
            sd_g,
            start: since.max(self.moved_for_good(from, level).plus_s(-self.config.lead_s)),
            end,
        })
    }

    /// When the weight was nearer to the old level than to the new one for the last time. The middle one of three
    /// neighbours counts, so that no single spike does.
    fn moved_for_good(&self, from: Level, to: Level) -> StoreTime {
        let begin = self.trail.front().map_or_else(StoreTime::default, |(t, _)| *t);
        let near_old = |w: f64| (w - from.mean_g).abs() < (w - to.mean_g).abs();
        (1..self.trail.len().saturating_sub(1))
            .rev()
            .find(|i| {
                let old = [i - 1, *i, i + 1].iter().filter(|k| near_old(self.trail[**k].1)).count();
                old >= 2
            })
            .map_or(begin, |i| self.trail[i].0)
    }

    /// The level that the last samples hold, their standard deviation, and since when; tries windows short to long.
    ///
    /// Only samples after `since` count: a window must not mix two levels.
    /// `se_limit_g` says how certain a level of a given mean must be in a window of a given length.
    fn held(
        &self,
        now: StoreTime,
        since: Option<StoreTime>,
        se_limit_g: impl Fn(f64, f64) -> f64,
    ) -> Option<(Level, f64, StoreTime)> {
        for window_s in self.config.windows_s {
            let inside = |t: StoreTime| now.seconds_since(t) <= window_s && since.is_none_or(|s| t > s);
            let mut count = self.samples.iter().rev().take_while(|(t, _)| inside(*t)).count();
            count = count.max(LEVEL_SAMPLES_MIN);
            let first = self.samples.len().checked_sub(count)?;
            let begin = self.samples[first].0;
            if since.is_some_and(|s| begin <= s) || now.seconds_since(begin) < 0.7 * window_s {
                return None;
            }
            let held = self.samples.range(first..).map(|(_, w)| *w);
            let stats = BlockMeans::of(held, count);
            let limit_g = se_limit_g(stats.mean_g, window_s);
            if stats.se_g <= limit_g && stats.halves_agree(limit_g) {
                return Some((Level { mean_g: stats.mean_g, se_g: stats.se_g }, stats.sd_g, begin));
            }
        }
        None
    }
}

/// Mean of a window and the standard error of it, from the means of its blocks.
#[derive(Debug, Clone, Copy)]
struct BlockMeans {
    mean_g: f64,
    sd_g: f64,
    se_g: f64,
    half_step_g: f64,
}

impl BlockMeans {
    fn of(weights_g: impl Iterator<Item = f64>, count: usize) -> Self {
        let mut sums = [0.0; BLOCKS];
        let mut counts = [0.0_f64; BLOCKS];
        let (mut sum, mut sum2) = (0.0, 0.0);
        let mut origin = None;
        for (i, w) in weights_g.enumerate() {
            // Relative to the first sample: squares of kilograms would cost the digits of the grams.
            let w = w - *origin.get_or_insert(w);
            let block = (i * BLOCKS / count).min(BLOCKS - 1);
            sums[block] += w;
            counts[block] += 1.0;
            sum += w;
            sum2 += w * w;
        }
        let n = count as f64;
        let mean = sum / n;
        let means: [f64; BLOCKS] = std::array::from_fn(|b| sums[b] / counts[b].max(1.0));
        let between = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (BLOCKS - 1) as f64;
        let within = (sum2 / n - mean * mean).max(0.0) * n / (n - 1.0).max(1.0);
        // The larger of the two estimates: blocks see slow swings, single samples see white noise.
        let se = (between / BLOCKS as f64).max(within / n).sqrt();
        let half = (means[2] + means[3] - means[0] - means[1]) / 2.0;
        Self { mean_g: mean + origin.unwrap_or(0.0), sd_g: within.sqrt(), se_g: se, half_step_g: half.abs() }
    }

    fn halves_agree(&self, se_limit_g: f64) -> bool {
        self.half_step_g <= 2.0 * se_limit_g.min(2.0 * self.se_g + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic noise of unit standard deviation: the sum of three incommensurate waves.
    fn noise(i: usize) -> f64 {
        let x = i as f64;
        ((x * 2.399_963).sin() + (x * 1.130_7 + 0.4).sin() + (x * 0.713_1 + 1.9).cos()) * 0.816
    }

    fn run(rate_hz: f64, seconds: f64, weight_g: impl Fn(f64, usize) -> f64) -> Vec<PlateChange> {
        let mut detector = PlateDetector::new(PlateIndex(0), PlateConfig::default());
        (0..(seconds * rate_hz) as usize)
            .filter_map(|i| {
                let t_s = i as f64 / rate_hz;
                detector.handle_weight(StoreTime::default().plus_s(t_s), weight_g(t_s, i))
            })
            .collect()
    }

    #[test]
    fn a_lift_is_found_at_every_rate() {
        for rate_hz in [5.0, 10.0, 60.0, 200.0] {
            let changes = run(rate_hz, 12.0, |t, i| {
                let handled = if (4.0..6.0).contains(&t) { 400.0 * (t * 9.0).sin() } else { 0.0 };
                5_000.0 - if t > 5.0 { 394.5 } else { 0.0 } + handled + 0.7 * noise(i)
            });
            assert_eq!(changes.len(), 1, "at {rate_hz} Hz: {changes:?}");
            assert!((changes[0].delta_g + 394.5).abs() < 3.0, "at {rate_hz} Hz: {changes:?}");
            let start_s = changes[0].start.seconds_since(StoreTime::default());
            let end_s = changes[0].end.seconds_since(StoreTime::default());
            // The hand is there from 4 to 6 s and the weight is back at the old level now and then until the end of it.
            assert!((3.7..5.1).contains(&start_s) && (5.7..7.2).contains(&end_s), "{start_s} to {end_s}");
        }
    }

    #[test]
    fn shaking_and_touching_are_no_change() {
        let changes = run(60.0, 20.0, |t, i| {
            let shaken = if (5.0..12.0).contains(&t) { 25.0 } else { 0.8 };
            let pressed = if (14.0..14.8).contains(&t) { 600.0 } else { 0.0 };
            2_000.0 + pressed + shaken * noise(i)
        });
        // The press may show as a put and its lift, never as a net change.
        let net_g: f64 = changes.iter().map(|c| c.delta_g).sum();
        assert!(net_g.abs() < 4.0, "{changes:?}");
    }

    #[test]
    fn drift_and_spikes_are_no_change() {
        let changes = run(60.0, 300.0, |t, i| {
            let spike = if i % 997 == 0 { 900.0 } else { 0.0 };
            1_000.0 + 0.03 * t + spike + 0.8 * noise(i)
        });
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[test]
    fn a_plate_that_a_hand_still_shakes_holds_no_level() {
        // The item is off, and for 0.8 s the hand that took it leans on the plate: longer than the shortest window needs.
        let changes = run(60.0, 12.0, |t, i| {
            let leant = if (5.0..5.8).contains(&t) { 70.0 + 14.0 * noise(i) } else { 0.0 };
            5_000.0 - if t > 5.0 { 1_070.0 } else { 0.0 } + leant + 0.7 * noise(i)
        });
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!((changes[0].delta_g + 1_070.0).abs() < 3.0, "{changes:?}");
    }

    #[test]
    fn a_lift_amid_shaking_is_found() {
        let changes = run(60.0, 20.0, |t, i| {
            let shaken = if (3.0..14.0).contains(&t) { 20.0 } else { 0.8 };
            3_000.0 - if t > 8.0 { 324.3 } else { 0.0 } + shaken * noise(i)
        });
        let net_g: f64 = changes.iter().map(|c| c.delta_g).sum();
        assert!((net_g + 324.3).abs() < 6.0, "{changes:?}");
    }
}
