//! Scales: what the plates weigh, sample after sample.
//!
//! A scale is whatever delivers samples of one or many plates together: a load-cell amplifier, a shelf controller, a
//! recording. Samples come in the order of their times. Absolute weights are not zeroed and drift; only changes mean
//! anything.
//!
//! # Failure rules
//! A plate that cannot weigh says NaN and the others go on. [`CheckedScale`] puts the checks of [`WeightChecks`]
//! around any scale: what is absurd becomes NaN, so that the core knows one kind of bad value; what goes back in
//! time is dropped; each is counted and reported as a fault. A live driver never ends: what it lost it tries again,
//! and what it knows of that it tells through [`Scale::take_faults`].
//!
//! | driver | for |
//! | --- | --- |
//! | [`SerialScale`] | scales on serial lines, with the common ASCII protocols ([`mod@line`]) |
//! | [`ConverterScale`] | HX711, ADS1232 and NAU7802 at this machine's own pins and buses ([`converter`]) |
//! | [`CountsScale`] | a microcontroller that sends raw counts over the bus ([`counts`]) |
//! | [`ReplayScale`], [`SimulatedScale`] | recordings; tests and demos |

mod ads1232;
mod checks;
pub mod converter;
pub mod counts;
mod hx711;
pub mod line;
mod nau7802;
mod open;
mod serial;
mod simulated;
pub mod two_wire;

use std::collections::BTreeMap;

use linefree_domain::shelf::WeightSample;

use crate::fault::Fault;

pub use ads1232::Ads1232;
pub use checks::{CheckLimits, Verdict, WeightChecks};
pub use converter::{Converter, ConverterError, ConverterScale, PlateConverter, Reading};
pub use counts::{CountsReport, CountsScale};
pub use hx711::{Hx711, Hx711Gain};
pub use line::{LineError, LineValue, SerialProtocol, parse_line};
pub use nau7802::{Nau7802, Nau7802Rate};
pub use open::{LinePair, PlateSetting, ScaleSource, open};
pub use serial::{SerialScale, SerialSettings};
pub use simulated::{SimulatedPlates, SimulatedScale};

/// Why a scale cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The recording behind a replay twin is bad.
    #[error("the weights of the recording cannot be replayed further")]
    Replay(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A chip or bus of this machine cannot be used.
    #[error(
        "{device}: cannot {operation}; check that it exists and that this user may use it (groups gpio, i2c)"
    )]
    Device {
        /// Which one.
        device: String,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A source of weights.
pub trait Scale: Send {
    /// The next sample; `None` when there will be no more (a recording's end).
    ///
    /// # Errors
    /// [`ScaleError`] when the scale cannot go on.
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError>;

    /// Takes what the driver itself found wrong since the last call, oldest first.
    fn take_faults(&mut self) -> Vec<Fault> {
        Vec::new()
    }
}

impl<S: Scale + ?Sized> Scale for Box<S> {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        (**self).next_sample()
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        (**self).take_faults()
    }
}

/// Replay twin: yields what an iterator yields, at once. Pacing is the caller's.
#[derive(Debug)]
pub struct ReplayScale<I> {
    samples: I,
}

impl<I> ReplayScale<I> {
    /// A scale fed by a fallible iterator, as a recording's reader is one.
    pub fn new(samples: I) -> Self {
        Self { samples }
    }
}

impl<I, E> Scale for ReplayScale<I>
where
    I: Iterator<Item = Result<WeightSample, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        self.samples.next().transpose().map_err(|e| ScaleError::Replay(e.into()))
    }
}

/// Any scale with its samples checked.
#[derive(Debug)]
pub struct CheckedScale<S> {
    scale: S,
    checks: WeightChecks,
}

impl<S: Scale> CheckedScale<S> {
    /// Puts the checks around a scale.
    pub fn new(scale: S, checks: WeightChecks) -> Self {
        Self { scale, checks }
    }

    /// How often each kind of fault was seen.
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        self.checks.counters()
    }
}

impl<S: Scale> Scale for CheckedScale<S> {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        loop {
            let Some(mut sample) = self.scale.next_sample()? else { return Ok(None) };
            if sample.weights_g.is_empty() {
                // A live driver's way to say that nothing came: worth a look at the clock, not a sample.
                self.checks.check_silence(sample.time);
                return Ok(Some(sample));
            }
            if self.checks.check(&mut sample) == Verdict::Use {
                return Ok(Some(sample));
            }
        }
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        let mut faults = self.scale.take_faults();
        faults.extend(self.checks.take_faults());
        faults
    }
}

#[cfg(test)]
mod tests {
    use linefree_domain::ids::PlateIndex;
    use linefree_domain::time::StoreTime;

    use super::*;

    fn sample(seconds: f64, weight_g: f64) -> WeightSample {
        WeightSample {
            time: StoreTime::default().plus_s(seconds),
            weights_g: vec![(PlateIndex(0), weight_g)],
        }
    }

    #[test]
    fn replay_yields_all_samples_then_none_and_passes_errors_on() {
        let items = [Ok(sample(0.0, 1.0)), Err("weights.csv:3: \"12,4\" is no number")];
        let mut scale: Box<dyn Scale> = Box::new(ReplayScale::new(items.into_iter()));
        assert_eq!(scale.next_sample().unwrap(), Some(sample(0.0, 1.0)));
        let error = scale.next_sample().unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().starts_with("weights.csv:3"));
        assert_eq!(scale.next_sample().unwrap(), None);
    }

    #[test]
    fn a_checked_scale_drops_what_goes_back_in_time_and_blanks_what_is_absurd() {
        let items = [sample(0.0, 1.0), sample(0.1, 9e9), sample(0.05, 2.0), sample(0.2, 3.0)];
        let checks = WeightChecks::new(vec!["1/5/10".into()], CheckLimits::default());
        let mut scale = CheckedScale::new(ReplayScale::new(items.into_iter().map(Ok::<_, String>)), checks);
        let mut seen = Vec::new();
        while let Some(sample) = scale.next_sample().unwrap() {
            seen.push(sample.weights_g[0].1);
        }
        assert_eq!(seen.len(), 3);
        assert!(seen[1].is_nan() && (seen[2] - 3.0).abs() < 1e-12, "{seen:?}");
        assert_eq!(scale.counters()["absurd_weight"], 1);
        assert_eq!(scale.counters()["out_of_order"], 1);
        assert_eq!(scale.take_faults().iter().filter(|f| !f.cleared).count(), 2);
    }
}
