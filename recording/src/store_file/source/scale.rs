//! The keys of a `[[source]]` that feeds plates.

use std::path::PathBuf;

use linefree_domain::ids::PlateIndex;

use super::{behind, whole};
use crate::store_file::shelf_calibration::ShelfCalibration;
use crate::toml_walk::{Node, Table};

/// What a plate can carry unless `capacity_g` says otherwise: offsets are not zeroed, so this is generous.
const DEFAULT_CAPACITY_G: f64 = 100_000.0;
/// Most plates of one scale.
const PLATES_MAX: usize = 256;

const SCHEMES: &str =
    "serial:/dev/ttyUSB0, gpio:/dev/gpiochip0, i2c:/dev/i2c-1, bus:SOURCE or simulated:SEED";

/// A scale whose channels are plates of store.toml.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleConfig {
    /// Its plates, in the order of its channels.
    pub plates: Vec<PlateIndex>,
    /// How it is read.
    pub driver: ScaleDriver,
    /// For each plate, what a reading is divided by to become grams.
    pub counts_per_g: Vec<f64>,
    /// Weights beyond this are absurd, grams.
    pub capacity_g: f64,
}

/// How a scale is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScaleDriver {
    /// `serial:` with an ASCII protocol.
    Serial {
        /// The line.
        line: SerialLine,
        /// How it speaks.
        protocol: LineProtocol,
    },
    /// `gpio:` with two-wire converters, one a plate.
    TwoWire {
        /// The GPIO chip.
        chip: PathBuf,
        /// Which part.
        part: Adc,
        /// Data and clock line of each plate.
        lines: Vec<(u32, u32)>,
        /// Amplification (HX711 only).
        gain: u32,
    },
    /// `i2c:` with an NAU7802.
    Nau7802 {
        /// The bus.
        bus: PathBuf,
        /// Amplification.
        gain: u32,
        /// Samples a second.
        rate_hz: u32,
    },
    /// `bus:`, a microcontroller that sends counts.
    Counts {
        /// Its name on the bus.
        source: String,
    },
    /// `simulated:`.
    Simulated {
        /// Its seed.
        seed: u64,
    },
}

/// A serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLine {
    /// The device.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// The parity bit.
    pub parity: SerialParity,
}

/// The parity bit of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialParity {
    /// None, 8 data bits.
    None,
    /// Even, 7 data bits.
    Even,
    /// Odd, 7 data bits.
    Odd,
}

/// What a serial scale speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineProtocol {
    /// Mettler-Toledo MT-SICS.
    Sics,
    /// A&D standard format.
    And,
    /// A number and a unit.
    Plain,
    /// One value a plate, with commas.
    Csv,
}

/// A two-wire converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adc {
    /// HX711.
    Hx711,
    /// ADS1232, ADS1231, ADS1230.
    Ads1232,
}

pub(super) fn read(
    t: &mut Table<'_>,
    address: Option<&(Node<'_>, String)>,
    plates: Option<Vec<PlateIndex>>,
    shelves: &[ShelfCalibration],
) -> Option<ScaleConfig> {
    let count = plates.as_ref().map_or(1, Vec::len);
    let driver = address.and_then(|(node, url)| read_driver(t, node, url, count));
    let raw = matches!(
        driver,
        Some(ScaleDriver::TwoWire { .. } | ScaleDriver::Nau7802 { .. } | ScaleDriver::Counts { .. })
    );
    let gain = |p: &PlateIndex| shelves.iter().find_map(|s| s.gain_of(*p));
    let gains: Vec<Option<f64>> = plates.iter().flatten().map(gain).collect();
    let counts_per_g = if gains.iter().any(Option::is_some) {
        calibrated_gains(t, gains)
    } else {
        read_counts_per_g(t, count, raw)
    };
    let capacity_g = match t.get("capacity_g") {
        Some(n) => positive(&n, "what a plate can carry, grams"),
        None => Some(DEFAULT_CAPACITY_G),
    };
    if count > PLATES_MAX {
        t.mistake("plates", format!("names {count} plates"), format!("at most {PLATES_MAX} make one scale"));
    }
    Some(ScaleConfig {
        plates: plates.filter(|p| !p.is_empty())?,
        driver: driver?,
        counts_per_g: counts_per_g?,
        capacity_g: capacity_g?,
    })
}

fn positive(node: &Node<'_>, wanted: &str) -> Option<f64> {
    let value = node.num(wanted)?;
    if value <= 0.0 {
        node.mistake(format!("is {value}"), format!("write {wanted}, more than 0"));
        return None;
    }
    Some(value)
}

/// The gains of `[[shelf_calibration]]`, which must then have them all.
fn calibrated_gains(t: &mut Table<'_>, gains: Vec<Option<f64>>) -> Option<Vec<f64>> {
    if let Some(node) = t.get("counts_per_g") {
        node.mistake(
            "stands beside the [[shelf_calibration]] of these plates",
            "remove it: calibrate shelf has measured the gains",
        );
        return None;
    }
    let all: Option<Vec<f64>> = gains.into_iter().collect();
    if all.is_none() {
        t.mistake(
            "plates",
            "names plates with and without [[shelf_calibration]]",
            "calibrate the others too (`calibrate shelf`), or split the source",
        );
    }
    all
}

fn read_counts_per_g(t: &mut Table<'_>, plates: usize, raw: bool) -> Option<Vec<f64>> {
    let Some(node) = t.get("counts_per_g") else {
        if raw {
            t.mistake(
                "counts_per_g",
                "is missing",
                "write how many counts one gram is: put a known weight on the plate, and divide the change of counts \
                 by its grams (docs/guide/hardware.md)",
            );
            return None;
        }
        return Some(vec![1.0; plates]);
    };
    let one = |n: &Node<'_>| {
        let value = n.num("counts a gram")?;
        if value == 0.0 {
            n.mistake("is 0", "write how many counts one gram is; negative for a cell mounted upside down");
            return None;
        }
        Some(value)
    };
    if !node.is_array() {
        return one(&node).map(|value| vec![value; plates]);
    }
    let list = node.array("counts a gram, one a plate")?;
    if list.len() != plates {
        node.mistake(
            format!("has {} entries for {plates} plates", list.len()),
            "write one number for all plates, or one for each",
        );
        return None;
    }
    list.iter().map(one).collect()
}

fn read_driver(t: &mut Table<'_>, node: &Node<'_>, url: &str, plates: usize) -> Option<ScaleDriver> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("serial") => {
            let protocol = read_protocol(t, plates);
            let line = serial_line(t, node, url);
            Some(ScaleDriver::Serial { line: line?, protocol: protocol? })
        }
        Some("gpio") => {
            let part = read_part(t);
            let lines = read_lines(t, plates);
            let gain = match (part, t.get("gain")) {
                (_, None) => Some(128),
                (Some(Adc::Hx711), Some(n)) => one_of(&n, &[128, 64, 32]),
                (_, Some(n)) => {
                    n.mistake("is not set by software", "remove it: an ADS1232's gain is set by its pins");
                    None
                }
            };
            let chip = behind(node, url, "gpio:", "the GPIO chip: gpio:/dev/gpiochip0")?.into();
            Some(ScaleDriver::TwoWire { chip, part: part?, lines: lines?, gain: gain? })
        }
        Some("i2c") => {
            if let Some(n) = t.get("driver") {
                named(&n, &[("nau7802", ())], "the part")?;
            }
            let gain = t.get("gain").map_or(Some(128), |n| one_of(&n, &[1, 2, 4, 8, 16, 32, 64, 128]));
            let rate_hz = t.get("rate_hz").map_or(Some(80), |n| one_of(&n, &[10, 20, 40, 80, 320]));
            if plates != 1 {
                t.mistake(
                    "plates",
                    format!("names {plates} plates for one NAU7802"),
                    "write one [[source]] for each: the part has one address, so each has an I²C bus of its own",
                );
            }
            let bus = behind(node, url, "i2c:", "the I²C bus: i2c:/dev/i2c-1")?.into();
            Some(ScaleDriver::Nau7802 { bus, gain: gain?, rate_hz: rate_hz? })
        }
        Some("bus") => {
            let source = behind(node, url, "bus:", "the controller's name on the bus: bus:scale-3")?;
            if source.chars().any(|c| c.is_whitespace() || "/+#$".contains(c)) || source.chars().count() > 64
            {
                node.mistake(
                    "is no name on the bus",
                    "write up to 64 characters without white space, '/', '+', '#' and '$'",
                );
                return None;
            }
            Some(ScaleDriver::Counts { source: source.to_owned() })
        }
        Some("simulated") => match url.trim_start_matches("simulated:").parse() {
            Ok(seed) => Some(ScaleDriver::Simulated { seed }),
            Err(_) => {
                node.mistake("has no seed", "write simulated:7");
                None
            }
        },
        _ => {
            node.mistake("is no place of a scale that this program knows", format!("write one of {SCHEMES}"));
            None
        }
    }
}

/// The line of a serial address with its `baud` and `parity`.
pub(super) fn serial_line(t: &mut Table<'_>, node: &Node<'_>, url: &str) -> Option<SerialLine> {
    let baud =
        t.get("baud").map_or(Some(9_600), |n| whole(&n, 300, 4_000_000, "the line's speed, bits a second"));
    let parities = [("none", SerialParity::None), ("even", SerialParity::Even), ("odd", SerialParity::Odd)];
    let parity =
        t.get("parity").map_or(Some(SerialParity::None), |n| named(&n, &parities, "the line's parity"));
    let path = behind(node, url, "serial:", "the device: serial:/dev/ttyUSB0")?.into();
    Some(SerialLine { path, baud: baud?, parity: parity? })
}

fn read_protocol(t: &mut Table<'_>, plates: usize) -> Option<LineProtocol> {
    let protocols = [
        ("sics", LineProtocol::Sics),
        ("and", LineProtocol::And),
        ("plain", LineProtocol::Plain),
        ("csv", LineProtocol::Csv),
    ];
    let remedy = "write what the scale speaks: driver = \"sics\" (Mettler-Toledo), \"and\" (A&D, CAS), \"plain\" (a \
                  number and a unit) or \"csv\" (one value a plate)";
    let protocol = t.need("driver", remedy).and_then(|n| named(&n, &protocols, "what the scale speaks"))?;
    if protocol != LineProtocol::Csv && plates > 1 {
        t.mistake(
            "plates",
            format!("names {plates} plates"),
            "name one plate: only driver = \"csv\" speaks of several",
        );
    }
    Some(protocol)
}

fn read_part(t: &mut Table<'_>) -> Option<Adc> {
    let parts = [("hx711", Adc::Hx711), ("ads1232", Adc::Ads1232)];
    let node = t.need("driver", "write which converter it is: driver = \"hx711\" or \"ads1232\"")?;
    named(&node, &parts, "the converter")
}

fn read_lines(t: &mut Table<'_>, plates: usize) -> Option<Vec<(u32, u32)>> {
    let mut column = |key: &'static str, remedy: &str| {
        let node = t.need(key, remedy)?;
        let list = node.array("line numbers, one a plate")?;
        if list.len() != plates {
            node.mistake(
                format!("has {} entries for {plates} plates", list.len()),
                "write the number of one GPIO line for each plate",
            );
            return None;
        }
        list.iter().map(|n| whole(n, 0, 1_023, "the number of a GPIO line")).collect::<Option<Vec<u32>>>()
    };
    let data = column("data_lines", "write each converter's data line (DOUT): data_lines = [5]");
    let clock = column("clock_lines", "write each converter's clock line (SCK): clock_lines = [6]");
    let (data, clock) = (data?, clock?);
    let mut all: Vec<u32> = data.iter().chain(&clock).copied().collect();
    all.sort_unstable();
    if all.windows(2).any(|w| w[0] == w[1]) {
        t.mistake("data_lines", "uses a line twice", "give each converter two lines of its own");
        return None;
    }
    Some(data.into_iter().zip(clock).collect())
}

fn named<T: Copy>(node: &Node<'_>, names: &[(&str, T)], wanted: &str) -> Option<T> {
    let text = node.str(wanted)?;
    let found = names.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let known: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
        node.mistake(format!("is {text:?}"), format!("write {wanted}: {}", known.join(", ")));
    }
    found.map(|(_, value)| *value)
}

fn one_of(node: &Node<'_>, allowed: &[u32]) -> Option<u32> {
    let value = node.int("a whole number")?;
    let found = allowed.iter().copied().find(|a| i64::from(*a) == value);
    if found.is_none() {
        let known: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        node.mistake(format!("is {value}"), format!("write one of {}", known.join(", ")));
    }
    found
}
