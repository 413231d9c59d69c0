//! Checks that any scale's samples can be put through: not a number, absurd, stuck, silent, too fast, out of order.
//!
//! | check | seen as | what happens to the sample |
//! | --- | --- | --- |
//! | `nan_weight` | NaN | passed on as it is |
//! | `absurd_weight` | infinite, or beyond the capacity | the value becomes NaN |
//! | `stuck` | one value for [`CheckLimits::stuck_s`], to the last bit | passed on: it may be true |
//! | `no_samples` | nothing of a plate, or of the whole scale, for [`CheckLimits::silent_s`] | - |
//! | `too_many_samples` | over [`CheckLimits::max_rate_hz`], counted per second | passed on |
//! | `out_of_order` | not later than the sample before | dropped |
//!
//! A stuck plate is told by the absence of noise: a load cell's amplifier is never still for long. A plate whose values
//! are rounded coarser than its noise can look stuck while it is well, which is why its weight stays in use.

use std::collections::BTreeMap;

use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;

use crate::fault::{Fault, FaultKind, FaultLog};

/// Where the checks draw their lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckLimits {
    /// What a plate can carry; weights beyond it, to either side, are absurd. Grams.
    pub capacity_g: f64,
    /// One value for this long is stuck. Seconds; infinite switches the check off.
    pub stuck_s: f64,
    /// Nothing for this long is silence. Seconds.
    pub silent_s: f64,
    /// Faster than this is a broken clock or a doubled feed. Samples a second.
    pub max_rate_hz: f64,
}

impl Default for CheckLimits {
    /// 100 kg (offsets are not zeroed), stuck after 30 s, silent after 2 s, at most 200 samples/s as recordings allow
    /// (with a tenth on top for jitter).
    fn default() -> Self {
        Self { capacity_g: 100_000.0, stuck_s: 30.0, silent_s: 2.0, max_rate_hz: 220.0 }
    }
}

/// What to do with a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Use it.
    Use,
    /// Throw it away: it goes back in time.
    Drop,
}

#[derive(Debug, Clone)]
struct Plate {
    name: String,
    /// Time of its last sample, of any value; the scale's first sample before there is one.
    heard: StoreTime,
    /// Its last number and since when it has been that.
    level: Option<(f64, StoreTime)>,
    silent: bool,
}

/// The checks of one scale. Sans-IO: time is that of the samples.
#[derive(Debug)]
pub struct WeightChecks {
    limits: CheckLimits,
    plates: Vec<Plate>,
    last: Option<StoreTime>,
    waiting_since: Option<StoreTime>,
    second: (StoreTime, u32),
    log: FaultLog,
}

impl WeightChecks {
    /// Checks for plates by name: position i is the plate of [`PlateIndex`](linefree_domain::ids::PlateIndex)(i).
    /// Plates with an empty name are not this scale's and are not waited for.
    #[must_use]
    pub fn new(plate_names: Vec<String>, limits: CheckLimits) -> Self {
        let plate = |name| Plate { name, heard: StoreTime::default(), level: None, silent: false };
        Self {
            limits,
            plates: plate_names.into_iter().map(plate).collect(),
            last: None,
            waiting_since: None,
            second: (StoreTime::default(), 0),
            log: FaultLog::default(),
        }
    }

    /// Checks a sample and blanks what is absurd.
    pub fn check(&mut self, sample: &mut WeightSample) -> Verdict {
        let now = sample.time;
        if let Some(last) = self.last
            && now <= last
        {
            let back_s = last.seconds_since(now);
            self.log.raise(last, "scale", FaultKind::OutOfOrder, || {
                format!(
                    "a sample is {back_s:.3} s older than, or as old as, the one before it and was dropped; check \
                     the clock of the scale's controller"
                )
            });
            return Verdict::Drop;
        }
        if self.last.is_none() {
            self.plates.iter_mut().for_each(|p| p.heard = now);
            self.second = (now, 0);
        }
        self.last = Some(now);
        self.check_rate(now);
        for (index, weight_g) in &mut sample.weights_g {
            let Some(plate) = self.plates.get_mut(index.0) else { continue };
            plate.heard = now;
            check_weight(plate, weight_g, now, &self.limits, &mut self.log);
        }
        self.check_silence(now);
        Verdict::Use
    }

    /// For live scales: call now and then, so that a scale that says nothing at all is noticed too.
    pub fn check_silence(&mut self, now: StoreTime) {
        if self.last.is_none() {
            // Its silence counts from the first look.
            let began = *self.waiting_since.get_or_insert(now);
            self.plates.iter_mut().for_each(|p| p.heard = began);
        }
        for plate in self.plates.iter_mut().filter(|p| !p.name.is_empty()) {
            let silent_s = now.seconds_since(plate.heard);
            if silent_s > self.limits.silent_s {
                plate.silent = true;
                self.log.raise(now, &plate.name, FaultKind::NoSamples, || {
                    format!(
                        "{}: no sample for {silent_s:.1} s; check its cable and controller. Items taken from it now \
                         are not seen",
                        plate.name
                    )
                });
            } else if plate.silent {
                plate.silent = false;
                self.log.clear(&plate.name, FaultKind::NoSamples, || {
                    format!("{}: samples are coming again", plate.name)
                });
            }
        }
    }

    fn check_rate(&mut self, now: StoreTime) {
        let (start, count) = &mut self.second;
        *count += 1;
        let elapsed_s = now.seconds_since(*start);
        if elapsed_s < 1.0 {
            return;
        }
        let rate_hz = f64::from(*count) / elapsed_s;
        self.second = (now, 0);
        if rate_hz > self.limits.max_rate_hz {
            self.log.raise(now, "scale", FaultKind::TooManySamples, || {
                format!(
                    "{rate_hz:.0} samples/s where at most {:.0} are possible; look for a doubled feed or a wrong clock",
                    self.limits.max_rate_hz
                )
            });
        } else {
            self.log.clear("scale", FaultKind::TooManySamples, || "the rate is usual again".to_owned());
        }
    }

    /// Takes the faults reported since the last call, oldest first.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        self.log.take()
    }

    /// How often each kind of fault was seen.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        self.log.counters()
    }
}

fn check_weight(
    plate: &mut Plate,
    weight_g: &mut f64,
    now: StoreTime,
    limits: &CheckLimits,
    log: &mut FaultLog,
) {
    let name = plate.name.as_str();
    if weight_g.is_nan() {
        log.raise(now, name, FaultKind::NanWeight, || {
            format!("{name}: reports no number; check its load cell and amplifier, or replace the plate")
        });
        return;
    }
    log.clear(name, FaultKind::NanWeight, || format!("{name}: reports numbers again"));
    if weight_g.abs() > limits.capacity_g {
        let seen_g = *weight_g;
        log.raise(now, name, FaultKind::AbsurdWeight, || {
            format!(
                "{name}: reports {seen_g:.0} g, more than the {:.0} g it can carry; check its wiring and its calibration",
                limits.capacity_g
            )
        });
        *weight_g = f64::NAN;
        return;
    }
    log.clear(name, FaultKind::AbsurdWeight, || format!("{name}: reports possible weights again"));
    match plate.level {
        // To the last bit: anything else is noise, and noise is life.
        Some((level_g, since)) if level_g.to_bits() == weight_g.to_bits() => {
            let still_s = now.seconds_since(since);
            if still_s > limits.stuck_s {
                log.raise(now, name, FaultKind::Stuck, || {
                    format!(
                        "{name}: has reported exactly {level_g} g for {still_s:.0} s, which no load cell does; press on \
                         it, and restart its controller if nothing changes"
                    )
                });
            }
        }
        _ => {
            plate.level = Some((*weight_g, now));
            log.clear(name, FaultKind::Stuck, || format!("{name}: moves again"));
        }
    }
}

#[cfg(test)]
mod tests {
    use linefree_domain::ids::PlateIndex;

    use super::*;

    fn checks() -> WeightChecks {
        WeightChecks::new(vec!["1/5/10".into(), "1/5/11".into()], CheckLimits::default())
    }

    fn sample(seconds: f64, weights_g: &[f64]) -> WeightSample {
        WeightSample {
            time: StoreTime::default().plus_s(seconds),
            weights_g: weights_g.iter().enumerate().map(|(i, w)| (PlateIndex(i), *w)).collect(),
        }
    }

    /// 10 samples a second; plate 0 as given, plate 1 alive and well.
    fn run(checks: &mut WeightChecks, from_s: f64, weights_g: impl Iterator<Item = f64>) -> Vec<Fault> {
        for (i, weight_g) in weights_g.enumerate() {
            let alive = 500.0 + (i % 7) as f64 * 0.3;
            let verdict = checks.check(&mut sample(from_s + i as f64 * 0.1, &[weight_g, alive]));
            assert_eq!(verdict, Verdict::Use);
        }
        checks.take_faults()
    }

    fn summary(faults: &[Fault]) -> Vec<(&str, &str, bool)> {
        faults.iter().map(|f| (f.device.as_str(), f.kind.name(), f.cleared)).collect()
    }

    #[test]
    fn a_living_plate_has_no_faults() {
        let mut checks = checks();
        assert_eq!(run(&mut checks, 0.0, (0..2000).map(|i| 100.0 + f64::from(i % 5))), []);
        assert!(checks.counters().is_empty());
    }

    #[test]
    fn nan_is_reported_with_the_plate_and_cleared() {
        let mut checks = checks();
        let weights = (0..60).map(|i| if (20..30).contains(&i) { f64::NAN } else { f64::from(i) });
        let faults = run(&mut checks, 0.0, weights);
        assert_eq!(summary(&faults), [("1/5/10", "nan_weight", false), ("1/5/10", "nan_weight", true)]);
        assert_eq!(checks.counters()["nan_weight"], 10);
        assert!(faults[0].message.contains("load cell"), "{}", faults[0].message);
    }

    #[test]
    fn absurd_weights_become_nan_on_both_sides() {
        for absurd in [1e6, -1e6, f64::INFINITY, f64::NEG_INFINITY] {
            let mut checks = checks();
            let mut bad = sample(0.0, &[absurd, 1.0]);
            assert_eq!(checks.check(&mut bad), Verdict::Use);
            assert!(bad.weights_g[0].1.is_nan());
            assert!((bad.weights_g[1].1 - 1.0).abs() < 1e-12);
            assert_eq!(summary(&checks.take_faults()), [("1/5/10", "absurd_weight", false)]);
        }
    }

    #[test]
    fn a_stuck_plate_is_told_after_its_time_and_cleared_by_the_least_move() {
        let mut checks = checks();
        assert_eq!(run(&mut checks, 0.0, std::iter::repeat_n(812.5, 300)), [], "told before 30 s");
        assert_eq!(
            summary(&run(&mut checks, 30.0, std::iter::repeat_n(812.5, 20))),
            [("1/5/10", "stuck", false)]
        );
        assert_eq!(summary(&run(&mut checks, 32.0, std::iter::once(812.6))), [("1/5/10", "stuck", true)]);
    }

    #[test]
    fn a_plate_that_falls_silent_is_told_while_others_go_on() {
        let mut checks = checks();
        run(&mut checks, 0.0, (0..10).map(f64::from));
        for i in 0..40 {
            let mut rest = sample(1.0 + f64::from(i) * 0.1, &[]);
            rest.weights_g.push((PlateIndex(1), f64::from(i)));
            assert_eq!(checks.check(&mut rest), Verdict::Use);
        }
        assert_eq!(summary(&checks.take_faults()), [("1/5/10", "no_samples", false)]);
        assert_eq!(summary(&run(&mut checks, 5.0, (0..2).map(f64::from))), [("1/5/10", "no_samples", true)]);
        // And when nothing comes at all, the caller's clock tells.
        checks.check_silence(StoreTime::default().plus_s(70.0));
        assert_eq!(
            summary(&checks.take_faults()),
            [("1/5/10", "no_samples", false), ("1/5/11", "no_samples", false)]
        );
    }

    #[test]
    fn a_scale_that_never_spoke_is_told() {
        let mut checks = checks();
        for second in 0..4 {
            checks.check_silence(StoreTime::default().plus_s(f64::from(second)));
        }
        assert_eq!(
            summary(&checks.take_faults()),
            [("1/5/10", "no_samples", false), ("1/5/11", "no_samples", false)]
        );
        let back = run(&mut checks, 10.0, std::iter::once(1.0));
        assert_eq!(summary(&back), [("1/5/10", "no_samples", true), ("1/5/11", "no_samples", true)]);
    }

    #[test]
    fn too_fast_and_out_of_order_are_told() {
        let mut checks = checks();
        for i in 0..1500 {
            let mut fast = sample(f64::from(i) / 500.0, &[f64::from(i), f64::from(i)]);
            assert_eq!(checks.check(&mut fast), Verdict::Use);
        }
        assert_eq!(checks.check(&mut sample(1.0, &[5.0, 5.0])), Verdict::Drop);
        assert_eq!(
            summary(&checks.take_faults()),
            [("scale", "too_many_samples", false), ("scale", "out_of_order", false)]
        );
    }

    #[test]
    fn plates_that_are_not_this_scales_are_left_alone() {
        let mut checks = WeightChecks::new(vec![String::new(), "1/5/11".into()], CheckLimits::default());
        for i in 0..50 {
            let mut own = sample(f64::from(i) * 0.1, &[]);
            own.weights_g = vec![(PlateIndex(1), f64::from(i)), (PlateIndex(99), f64::NAN)];
            assert_eq!(checks.check(&mut own), Verdict::Use);
        }
        assert_eq!(checks.take_faults(), []);
    }
}
