//! Opens the scale that store.toml asks for.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;
use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};
use linux_embedded_hal::{CdevPin, Delay, I2cdev};

use super::two_wire::TwoWire;
use super::{
    Ads1232, Converter, ConverterScale, CountsReport, CountsScale, Hx711, Hx711Gain, Nau7802, Nau7802Rate,
    PlateConverter, Scale, ScaleError, SerialScale, SerialSettings, SimulatedPlates, SimulatedScale,
};
use crate::clock::LiveClock;

/// Where a live scale is and how it is read.
#[derive(Debug)]
pub enum ScaleSource {
    /// On a serial line.
    Serial(SerialSettings),
    /// HX711s at a GPIO chip, one a plate.
    Hx711 {
        /// The chip, such as /dev/gpiochip0.
        chip: PathBuf,
        /// Each plate's lines.
        lines: Vec<LinePair>,
        /// Amplification.
        gain: Hx711Gain,
    },
    /// ADS1232s at a GPIO chip, one a plate.
    Ads1232 {
        /// The chip.
        chip: PathBuf,
        /// Each plate's lines.
        lines: Vec<LinePair>,
    },
    /// One NAU7802 on an I²C bus, for one plate.
    Nau7802 {
        /// The bus, such as /dev/i2c-1.
        bus: PathBuf,
        /// Amplification, as a power of two.
        gain_log2: u8,
        /// Samples a second.
        rate: Nau7802Rate,
    },
    /// A microcontroller that sends counts over the bus.
    Counts {
        /// Its name there.
        source: String,
        /// What whoever listens to the bus passes on.
        reports: Receiver<CountsReport>,
    },
    /// The simulated twin: every plate carries 5 kg and nothing ever happens.
    Simulated {
        /// Its noise is drawn from this.
        seed: u64,
    },
}

/// The GPIO lines of one converter, as numbers on the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePair {
    /// Data: DOUT, DRDY/DOUT.
    pub data: u32,
    /// Clock: PD_SCK, SCLK.
    pub clock: u32,
}

/// A plate of the scale.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateSetting {
    /// Which one.
    pub plate: PlateIndex,
    /// Its id, for faults.
    pub name: String,
    /// What a reading is divided by to become grams; not 0.
    pub counts_per_g: f64,
}

/// Opens a live scale for these plates, in the order of its channels.
///
/// # Errors
/// [`ScaleError::Device`] when a GPIO chip or an I²C bus of this machine cannot be used. What stands behind it may be
/// away: that is a fault, and tried again.
pub fn open(
    source: ScaleSource,
    plates: Vec<PlateSetting>,
    clock: LiveClock,
) -> Result<Box<dyn Scale>, ScaleError> {
    let tuples = || plates.iter().map(|p| (p.plate, p.name.clone(), p.counts_per_g)).collect();
    Ok(match source {
        ScaleSource::Serial(settings) => Box::new(SerialScale::new(settings, tuples(), clock)),
        ScaleSource::Counts { source, reports } => {
            Box::new(CountsScale::new(source, reports, tuples(), clock))
        }
        ScaleSource::Simulated { seed } => Box::new(LiveSimulated::new(seed, &plates, clock)),
        ScaleSource::Hx711 { chip, lines, gain } => {
            let converters = two_wires(&chip, &lines)?.into_iter();
            let converters = converters.map(|wires| Hx711::new(wires, Delay, gain)).collect();
            Box::new(converter_scale(converters, plates, clock))
        }
        ScaleSource::Ads1232 { chip, lines } => {
            let converters = two_wires(&chip, &lines)?.into_iter();
            let converters = converters.map(|wires| Ads1232::new(wires, Delay)).collect();
            Box::new(converter_scale(converters, plates, clock))
        }
        ScaleSource::Nau7802 { bus, gain_log2, rate } => {
            let opened = I2cdev::new(&bus).map_err(|e| failed(&bus, "open the I²C bus", e))?;
            let converter = Nau7802::new(opened, Delay, gain_log2, rate);
            Box::new(converter_scale(vec![converter], plates, clock))
        }
    })
}

fn failed(
    device: &Path,
    operation: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ScaleError {
    ScaleError::Device { device: device.display().to_string(), operation, source: Box::new(source) }
}

fn converter_scale<C: Converter>(
    converters: Vec<C>,
    plates: Vec<PlateSetting>,
    clock: LiveClock,
) -> ConverterScale<C> {
    let both = converters.into_iter().zip(plates).map(|(converter, p)| PlateConverter {
        converter,
        plate: p.plate,
        name: p.name,
        counts_per_g: p.counts_per_g,
    });
    ConverterScale::new(both.collect(), clock)
}

fn two_wires(chip: &Path, lines: &[LinePair]) -> Result<Vec<TwoWire<CdevPin, CdevPin>>, ScaleError> {
    let mut opened = Chip::new(chip).map_err(|e| failed(chip, "open the GPIO chip", e))?;
    let mut pin = |line: u32, flags: LineRequestFlags, operation: &'static str| {
        let handle = opened.get_line(line).and_then(|l| l.request(flags, 0, "linefree"));
        handle.and_then(CdevPin::new).map_err(|e| failed(chip, operation, e))
    };
    lines
        .iter()
        .map(|pair| {
            let data = pin(pair.data, LineRequestFlags::INPUT, "request a data line")?;
            let clock = pin(pair.clock, LineRequestFlags::OUTPUT, "request a clock line")?;
            Ok(TwoWire::new(data, clock))
        })
        .collect()
}

/// The simulated twin at the pace of the clock.
struct LiveSimulated {
    scale: SimulatedScale,
    began: Instant,
    next: u32,
    clock: LiveClock,
}

/// Samples a second of the simulated twin.
const SIMULATED_RATE_HZ: u32 = 20;

impl LiveSimulated {
    fn new(seed: u64, plates: &[PlateSetting], clock: LiveClock) -> Self {
        let loads_g = plates.iter().map(|p| (p.plate, 5_000.0)).collect();
        let rate_hz = f64::from(SIMULATED_RATE_HZ);
        let scale = SimulatedScale::new(SimulatedPlates { seed, loads_g, rate_hz, ..Default::default() });
        Self { scale, began: Instant::now(), next: 0, clock }
    }
}

impl Scale for LiveSimulated {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        let due = self.began + Duration::from_secs(1) / SIMULATED_RATE_HZ * self.next;
        self.next += 1;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sample = self.scale.next_sample()?;
        Ok(sample.map(|sample| WeightSample { time: self.clock.now(), ..sample }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plates(n: usize) -> Vec<PlateSetting> {
        (0..n)
            .map(|i| PlateSetting { plate: PlateIndex(i), name: format!("p{i}"), counts_per_g: 1.0 })
            .collect()
    }

    #[test]
    fn a_chip_or_bus_that_is_not_there_is_named_with_what_to_check() {
        let lines = vec![LinePair { data: 5, clock: 6 }];
        let sources = [
            ScaleSource::Hx711 {
                chip: "/dev/gpiochip99".into(),
                lines: lines.clone(),
                gain: Hx711Gain::A128,
            },
            ScaleSource::Ads1232 { chip: "/dev/gpiochip99".into(), lines },
            ScaleSource::Nau7802 { bus: "/dev/i2c-99".into(), gain_log2: 7, rate: Nau7802Rate::Hz80 },
        ];
        for source in sources {
            let Err(error) = open(source, plates(1), LiveClock::default()) else { panic!("it opened") };
            let text = error.to_string();
            assert!(text.contains("99: cannot open the") && text.contains("groups gpio, i2c"), "{text}");
        }
    }

    #[test]
    fn the_simulated_twin_keeps_the_clock_s_pace() {
        let mut scale = open(ScaleSource::Simulated { seed: 1 }, plates(2), LiveClock::default()).unwrap();
        let times: Vec<_> = (0..5).map(|_| scale.next_sample().unwrap().unwrap().time).collect();
        assert!(times[4].seconds_since(times[0]) > 0.15);
    }
}
