//! Load-cell converters: raw counts of one amplifier, and a scale made of several.
//!
//! | part | interface | identity | driver |
//! | --- | --- | --- | --- |
//! | HX711 | two wires | none: it is known by answering | [`Hx711`](super::Hx711) |
//! | ADS1232, ADS1231, ADS1230 | two wires | none | [`Ads1232`](super::Ads1232) |
//! | NAU7802 | I²C, address 0x2A | revision register | [`Nau7802`](super::Nau7802) |
//!
//! A converter gives [`Reading`]s: counts, or that its input is beyond its range. Counts become grams by a
//! calibration factor alone ([`grams`]); there is no zero, because only changes of weight mean anything.
//!
//! # Limits
//! [`ConverterScale::next_sample`] returns after [`SAMPLE_TIMEOUT`] at the latest, with an empty sample when nothing
//! was ready, so that silence is noticed. Converters are polled every millisecond: one conversion at 80 samples a second
//! is dated up to 1 ms late.
//!
//! # Failure rules
//! A converter that fails is `scale_lost`; it is started again with growing pauses ([`BackOff`]), while the others go
//! on. A saturated one says NaN and is `saturated`.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;

use super::{Scale, ScaleError};
use crate::camera::{BackOff, Reconnect};
use crate::clock::LiveClock;
use crate::fault::{Fault, FaultKind, FaultLog};

/// How long a sample is waited for.
pub const SAMPLE_TIMEOUT: Duration = Duration::from_millis(500);
/// How often converters are asked whether one is ready.
const POLL: Duration = Duration::from_millis(1);

/// What a converter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Raw counts, 24 bits with sign.
    Counts(i32),
    /// The input is beyond the range: overload, or a broken wire.
    Saturated,
}

impl Reading {
    /// What 24-bit converters clip to is no measurement.
    #[must_use]
    pub fn of_24_bits(counts: i32) -> Self {
        match counts {
            ..=-0x80_0000 | 0x7f_ffff.. => Self::Saturated,
            counts => Self::Counts(counts),
        }
    }
}

/// Counts as grams. Negative factors are cells that were mounted upside down.
#[must_use]
pub fn grams(counts: i32, counts_per_g: f64) -> f64 {
    f64::from(counts) / counts_per_g
}

/// Why a converter does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConverterError {
    /// A line cannot be driven or read.
    #[error("cannot {operation}: {why}; check that the line is free and this user may use the GPIO chip")]
    Pin {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        why: String,
    },
    /// The I²C bus failed.
    #[error("cannot {operation}: {why}; check wiring, supply and address (`i2cdetect -y 1` shows 2a)")]
    Bus {
        /// What was tried, with the register's name.
        operation: &'static str,
        /// What the system said.
        why: String,
    },
    /// Something else answers at its address.
    #[error("register {register} says {found:#04x}, a {part} says {wanted}: another part has this address")]
    OtherPart {
        /// Which part was expected.
        part: &'static str,
        /// Which register tells.
        register: &'static str,
        /// What it said.
        found: u8,
        /// What it should say.
        wanted: &'static str,
    },
    /// It answers, but does not become ready.
    #[error("{part}: {what} within {after_ms} ms; check its supply and the load cell's wiring")]
    NotReady {
        /// Which part.
        part: &'static str,
        /// What did not happen.
        what: &'static str,
        /// How long was waited, milliseconds.
        after_ms: u32,
    },
    /// Its own calibration failed.
    #[error("{part}: its own calibration failed; check the load cell's four wires")]
    Calibration {
        /// Which part.
        part: &'static str,
    },
}

impl ConverterError {
    pub(super) fn pin(operation: &'static str, why: &impl Debug) -> Self {
        Self::Pin { operation, why: format!("{why:?}") }
    }

    pub(super) fn bus(operation: &'static str, why: &impl Debug) -> Self {
        Self::Bus { operation, why: format!("{why:?}") }
    }
}

/// One load-cell converter with one channel.
pub trait Converter: Send {
    /// The part's name.
    fn part(&self) -> &'static str;

    /// Resets and configures it; also called again after it was lost.
    ///
    /// # Errors
    /// [`ConverterError`] when it does not answer as the part does.
    fn start(&mut self) -> Result<(), ConverterError>;

    /// The newest conversion; `None` when none is ready. Does not wait.
    ///
    /// # Errors
    /// [`ConverterError`] when it does not answer.
    fn read(&mut self) -> Result<Option<Reading>, ConverterError>;
}

impl<C: Converter + ?Sized> Converter for Box<C> {
    fn part(&self) -> &'static str {
        (**self).part()
    }

    fn start(&mut self) -> Result<(), ConverterError> {
        (**self).start()
    }

    fn read(&mut self) -> Result<Option<Reading>, ConverterError> {
        (**self).read()
    }
}

/// One converter of a scale.
#[derive(Debug)]
struct Channel<C> {
    converter: C,
    plate: PlateIndex,
    name: String,
    counts_per_g: f64,
    started: bool,
    link: Reconnect,
}

/// A plate's converter, with what turns its counts into grams.
#[derive(Debug)]
pub struct PlateConverter<C> {
    /// The converter.
    pub converter: C,
    /// Its plate.
    pub plate: PlateIndex,
    /// The plate's id, for faults.
    pub name: String,
    /// Calibration: counts a gram; not 0.
    pub counts_per_g: f64,
}

/// A scale of converters that are read by this machine.
#[derive(Debug)]
pub struct ConverterScale<C> {
    channels: Vec<Channel<C>>,
    clock: LiveClock,
    faults: FaultLog,
}

impl<C: Converter> ConverterScale<C> {
    /// Converters are started at the first sample.
    #[must_use]
    pub fn new(converters: Vec<PlateConverter<C>>, clock: LiveClock) -> Self {
        let channel = |(i, c): (usize, PlateConverter<C>)| Channel {
            converter: c.converter,
            plate: c.plate,
            name: c.name,
            counts_per_g: c.counts_per_g,
            started: false,
            link: Reconnect::new(BackOff::default(), i as u64),
        };
        let channels = converters.into_iter().enumerate().map(channel).collect();
        Self { channels, clock, faults: FaultLog::default() }
    }
}

impl<C: Converter> Scale for ConverterScale<C> {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        let deadline = Instant::now() + SAMPLE_TIMEOUT;
        loop {
            let mut weights_g = Vec::new();
            for channel in &mut self.channels {
                if let Some(weight_g) = channel.poll(&self.clock, &mut self.faults) {
                    weights_g.push((channel.plate, weight_g));
                }
            }
            if !weights_g.is_empty() || Instant::now() >= deadline {
                return Ok(Some(WeightSample { time: self.clock.now(), weights_g }));
            }
            std::thread::sleep(POLL);
        }
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        self.faults.take()
    }
}

impl<C: Converter> Channel<C> {
    fn poll(&mut self, clock: &LiveClock, faults: &mut FaultLog) -> Option<f64> {
        if !self.started && !self.link.wait(Instant::now()).is_zero() {
            return None;
        }
        match self.attempt() {
            Ok(None) => None,
            Ok(Some(reading)) => {
                let name = &self.name;
                faults.clear(name, FaultKind::ScaleLost, || format!("{name}: its converter answers again"));
                match reading {
                    Reading::Counts(counts) => {
                        faults.clear(name, FaultKind::Saturated, || {
                            format!("{name}: is within its range again")
                        });
                        Some(grams(counts, self.counts_per_g))
                    }
                    Reading::Saturated => {
                        faults.raise(clock.now(), name, FaultKind::Saturated, || {
                            format!("{name}: {}", saturated_remedy())
                        });
                        Some(f64::NAN)
                    }
                }
            }
            Err(error) => {
                self.started = false;
                self.link.lost(Instant::now());
                let (name, part) = (&self.name, self.converter.part());
                faults.raise(clock.now(), name, FaultKind::ScaleLost, || {
                    format!("{name}: its {part} does not answer: {error}. It is tried again by itself")
                });
                None
            }
        }
    }

    fn attempt(&mut self) -> Result<Option<Reading>, ConverterError> {
        if !self.started {
            self.converter.start()?;
            self.started = true;
            self.link.connected(Instant::now());
        }
        self.converter.read()
    }
}

/// What a person does about a saturated plate.
pub(super) fn saturated_remedy() -> &'static str {
    "the amplifier's input is beyond its range; take weight off, and check the load cell's wires if nothing changes"
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Answers what it is told to, in order.
    struct Scripted(VecDeque<Result<Reading, ConverterError>>, u32);

    impl Converter for Scripted {
        fn part(&self) -> &'static str {
            "test part"
        }

        fn start(&mut self) -> Result<(), ConverterError> {
            self.1 += 1;
            Ok(())
        }

        fn read(&mut self) -> Result<Option<Reading>, ConverterError> {
            self.0.pop_front().transpose()
        }
    }

    #[test]
    fn counts_become_grams_and_what_is_wrong_a_fault() {
        let gone = || Err(ConverterError::Calibration { part: "test part" });
        let script = |all: [Result<Reading, ConverterError>; 4]| Scripted(all.into(), 0);
        let plate = |i, name: &str, converter| PlateConverter {
            converter,
            plate: PlateIndex(i),
            name: name.into(),
            counts_per_g: -400.0,
        };
        let good = |n| Ok(Reading::Counts(n));
        let mut scale = ConverterScale::new(
            vec![
                plate(4, "a", script([good(400), Ok(Reading::Saturated), good(800), good(1200)])),
                plate(7, "b", script([good(0), gone(), good(5), good(5)])),
            ],
            LiveClock::default(),
        );
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(scale.next_sample().unwrap().unwrap());
        }
        assert!(all.windows(2).all(|w| w[0].time < w[1].time));
        let of = |plate: usize| -> Vec<f64> {
            let values = all.iter().flat_map(|s| &s.weights_g);
            values.filter(|(p, _)| p.0 == plate).map(|(_, g)| *g).collect()
        };
        assert_eq!(format!("{:?}", of(4)), "[-1.0, NaN, -2.0, -3.0]");
        assert_eq!(of(7).len(), 1, "a lost converter is left alone until its pause is over");
        let told: Vec<_> =
            scale.take_faults().iter().map(|f| (f.device.clone(), f.kind.name(), f.cleared)).collect();
        assert_eq!(
            told,
            [
                ("a".to_owned(), "saturated", false),
                ("b".to_owned(), "scale_lost", false),
                ("a".to_owned(), "saturated", true)
            ]
        );
    }

    #[test]
    fn what_a_converter_clips_to_is_no_measurement() {
        assert_eq!(Reading::of_24_bits(8_388_607), Reading::Saturated);
        assert_eq!(Reading::of_24_bits(-8_388_608), Reading::Saturated);
        assert_eq!(Reading::of_24_bits(8_388_606), Reading::Counts(8_388_606));
        assert_eq!(Reading::of_24_bits(-8_388_607), Reading::Counts(-8_388_607));
    }
}
