//! What store.toml says about scales and gates, as the drivers of `linefree-hardware` want it.

use std::sync::mpsc::Receiver;

use linefree_domain::layout::StoreLayout;
use linefree_hardware::clock::LiveClock;
use linefree_hardware::scale::{
    self, CheckLimits, CheckedScale, CountsReport, Hx711Gain, LinePair, Nau7802Rate, PlateSetting, Scale,
    ScaleError, ScaleSource, SerialProtocol, SerialSettings, WeightChecks,
};
use linefree_hardware::tty::Parity;
use linefree_recording::{Adc, LineProtocol, ScaleConfig, ScaleDriver, SerialLine, SerialParity};

/// Any scale, with its samples checked.
pub(super) type LiveScale = CheckedScale<Box<dyn Scale>>;

/// Opens a scale. `reports` is what comes over the bus for a scale that is read there.
///
/// # Errors
/// When a chip or bus of this machine cannot be used.
pub(super) fn open_scale(
    config: &ScaleConfig,
    layout: &StoreLayout,
    reports: Option<Receiver<CountsReport>>,
    clock: LiveClock,
) -> Result<LiveScale, ScaleError> {
    let mut names = vec![String::new(); layout.plates.len()];
    let mut plates = Vec::with_capacity(config.plates.len());
    for (plate, counts_per_g) in config.plates.iter().zip(&config.counts_per_g) {
        let name = layout.plates[plate.0].id.to_string();
        names[plate.0].clone_from(&name);
        plates.push(PlateSetting { plate: *plate, name, counts_per_g: *counts_per_g });
    }
    let limits = CheckLimits { capacity_g: config.capacity_g, ..CheckLimits::default() };
    let scale = scale::open(source(&config.driver, reports), plates, clock)?;
    Ok(CheckedScale::new(scale, WeightChecks::new(names, limits)))
}

fn source(driver: &ScaleDriver, reports: Option<Receiver<CountsReport>>) -> ScaleSource {
    match driver {
        ScaleDriver::Serial { line, protocol } => ScaleSource::Serial(serial(line, *protocol)),
        ScaleDriver::TwoWire { chip, part, lines, gain } => {
            let chip = chip.clone();
            let lines = lines.iter().map(|(data, clock)| LinePair { data: *data, clock: *clock }).collect();
            match part {
                Adc::Ads1232 => ScaleSource::Ads1232 { chip, lines },
                Adc::Hx711 => ScaleSource::Hx711 {
                    chip,
                    lines,
                    gain: match gain {
                        32 => Hx711Gain::B32,
                        64 => Hx711Gain::A64,
                        _ => Hx711Gain::A128,
                    },
                },
            }
        }
        ScaleDriver::Nau7802 { bus, gain, rate_hz } => ScaleSource::Nau7802 {
            bus: bus.clone(),
            // A power of two, says store.toml's reader.
            gain_log2: gain.trailing_zeros().min(7) as u8,
            rate: match rate_hz {
                10 => Nau7802Rate::Hz10,
                20 => Nau7802Rate::Hz20,
                40 => Nau7802Rate::Hz40,
                320 => Nau7802Rate::Hz320,
                _ => Nau7802Rate::Hz80,
            },
        },
        ScaleDriver::Counts { source } => ScaleSource::Counts {
            source: source.clone(),
            // Without a listener it is a scale that ends at once.
            reports: reports.unwrap_or_else(|| std::sync::mpsc::channel().1),
        },
        ScaleDriver::Simulated { seed } => ScaleSource::Simulated { seed: *seed },
    }
}

fn serial(line: &SerialLine, protocol: LineProtocol) -> SerialSettings {
    SerialSettings {
        path: line.path.clone(),
        baud: line.baud,
        parity: parity(line.parity),
        protocol: match protocol {
            LineProtocol::Sics => SerialProtocol::Sics,
            LineProtocol::And => SerialProtocol::And,
            LineProtocol::Plain => SerialProtocol::Plain,
            LineProtocol::Csv => SerialProtocol::Csv,
        },
    }
}

/// A serial line's parity.
pub(super) fn parity(parity: SerialParity) -> Parity {
    match parity {
        SerialParity::None => Parity::None,
        SerialParity::Even => Parity::Even,
        SerialParity::Odd => Parity::Odd,
    }
}
