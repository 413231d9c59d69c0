//! Scales on serial lines: RS-232, RS-485 or USB converters, at any Linux `tty`.
//!
//! # Limits
//! [`SerialScale::next_sample`] blocks for at most [`READ_TIMEOUT`] and then gives an empty sample, so that silence is
//! noticed. A sample is dated when its line was complete; one character takes 1 ms at 9,600 baud.
//!
//! # Failure rules
//! A line that cannot be opened, or goes away (a pulled USB converter), is `scale_lost` and is opened again with growing
//! pauses, for ever. A text that is no line of the protocol is `malformed_line`, dropped, and the next one is tried; the
//! first, perhaps torn, line after opening is never used.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;

use super::converter::saturated_remedy;
use super::line::{LineValue, MAX_LINE_BYTES, SerialProtocol, parse_line};
use super::{Scale, ScaleError};
use crate::camera::{BackOff, Reconnect};
use crate::clock::LiveClock;
use crate::fault::{Fault, FaultKind, FaultLog};
use crate::tty::{self, Parity};

/// How long a line is waited for.
pub const READ_TIMEOUT: Duration = Duration::from_millis(500);

/// How a serial line is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// The device, best by its stable name below /dev/serial/by-id.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// Parity; with one, characters have 7 bits, as scales that use it do.
    pub parity: Parity,
    /// How the scale speaks.
    pub protocol: SerialProtocol,
}

/// A scale on a serial line.
#[derive(Debug)]
pub struct SerialScale {
    settings: SerialSettings,
    /// Plates with the name and the calibration factor of each; values are divided by it.
    plates: Vec<(PlateIndex, String, f64)>,
    clock: LiveClock,
    port: Option<File>,
    link: Reconnect,
    buffer: Vec<u8>,
    /// The line that is coming in is torn or too long: it is dropped to its end.
    torn: bool,
    name: String,
    faults: FaultLog,
}

impl SerialScale {
    /// Opened at the first sample: a store whose scale is unplugged still starts.
    #[must_use]
    pub fn new(settings: SerialSettings, plates: Vec<(PlateIndex, String, f64)>, clock: LiveClock) -> Self {
        // Several scales that are lost together do not come back together.
        let seed = plates.first().map_or(0, |p| p.0.0 as u64);
        let back_off = BackOff { max: Duration::from_secs(10), ..BackOff::default() };
        Self {
            name: settings.path.display().to_string(),
            link: Reconnect::new(back_off, seed),
            settings,
            plates,
            clock,
            port: None,
            buffer: Vec::new(),
            torn: true,
            faults: FaultLog::default(),
        }
    }

    fn lost(&mut self, why: &str) {
        self.port = None;
        self.link.lost(Instant::now());
        let name = &self.name;
        self.faults.raise(self.clock.now(), name, FaultKind::ScaleLost, || {
            format!(
                "{name}: the scale is away ({why}); check its cable and power. It is tried again by itself"
            )
        });
    }

    /// A sample from one whole line, where it holds one.
    fn take_line(&mut self, line: &[u8]) -> Option<WeightSample> {
        let text = String::from_utf8_lossy(line);
        match parse_line(self.settings.protocol, &text, self.plates.len()) {
            Ok(None) => None,
            Ok(Some(values)) => {
                let name = &self.name;
                self.faults
                    .clear(name, FaultKind::MalformedLine, || format!("{name}: its lines can be read again"));
                self.faults.clear(name, FaultKind::ScaleLost, || format!("{name}: the scale is back"));
                Some(self.sample(&values))
            }
            Err(error) => {
                let name = &self.name;
                let message = || format!("{name}: {error}");
                self.faults.raise(self.clock.now(), name, FaultKind::MalformedLine, message);
                None
            }
        }
    }

    fn sample(&mut self, values: &[LineValue]) -> WeightSample {
        let time = self.clock.now();
        let mut weights_g = Vec::with_capacity(values.len());
        for ((plate, name, per_g), value) in self.plates.iter().zip(values) {
            match value {
                LineValue::Absent => {}
                LineValue::Weight(value) => {
                    self.faults
                        .clear(name, FaultKind::Saturated, || format!("{name}: is within its range again"));
                    weights_g.push((*plate, value / per_g));
                }
                LineValue::Saturated => {
                    let message = || format!("{name}: {}", saturated_remedy());
                    self.faults.raise(time, name, FaultKind::Saturated, message);
                    weights_g.push((*plate, f64::NAN));
                }
            }
        }
        WeightSample { time, weights_g }
    }

    /// The next whole line that is in the buffer.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        loop {
            // Some scales end lines with CR alone.
            let end = self.buffer.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
            let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
            if !std::mem::take(&mut self.torn) {
                return Some(line);
            }
        }
    }
}

impl Scale for SerialScale {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            while let Some(line) = self.next_line() {
                if let Some(sample) = self.take_line(&line) {
                    return Ok(Some(sample));
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(Some(WeightSample { time: self.clock.now(), weights_g: Vec::new() }));
            }
            let Some(port) = &mut self.port else {
                let wait = self.link.wait(now);
                if !wait.is_zero() {
                    std::thread::sleep(wait.min(deadline - now));
                    continue;
                }
                match open(&self.settings) {
                    Ok(port) => {
                        self.port = Some(port);
                        self.buffer.clear();
                        self.torn = true;
                        self.link.connected(Instant::now());
                    }
                    Err(error) => self.lost(&error.to_string()),
                }
                continue;
            };
            let mut bytes = [0; 512];
            match port.read(&mut bytes) {
                // Nothing within the line's own time-out.
                Ok(0) => {
                    if tty::hung_up(port) {
                        self.lost("the line was closed");
                    }
                }
                Ok(read) => {
                    self.buffer.extend_from_slice(&bytes[..read]);
                    if self.buffer.len() > MAX_LINE_BYTES
                        && !self.buffer.iter().any(|b| matches!(b, b'\n' | b'\r'))
                    {
                        self.buffer.clear();
                        self.torn = true;
                        let name = &self.name;
                        self.faults.raise(self.clock.now(), name, FaultKind::MalformedLine, || {
                            format!(
                                "{name}: {MAX_LINE_BYTES} bytes without an end of line; check driver, baud and parity \
                                 in store.toml"
                            )
                        });
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => self.lost(&error.to_string()),
            }
        }
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        self.faults.take()
    }
}

fn open(settings: &SerialSettings) -> std::io::Result<File> {
    let mut port = tty::open(&settings.path, settings.baud, settings.parity)?;
    port.write_all(settings.protocol.request())?;
    Ok(port)
}
