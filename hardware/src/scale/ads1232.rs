//! ADS1232 and its relatives ADS1230 and ADS1231: 24-bit (ADS1230: 20-bit) converters for load cells over two GPIO
//! lines (Texas Instruments, ADS1232 data sheet SBAS350).
//!
//! Gain (GAIN1, GAIN0), channel (A0) and speed (SPEED: 10 or 80 samples a second) are pins, not registers; wire them
//! or drive them by other means. DRDY/DOUT falls when a conversion is ready. The 25th clock pulse brings it up again;
//! a 26th one starts an offset calibration, after which the first good conversion follows by itself (801 ms at 10,
//! 101 ms at 80 samples a second). It has no register that tells who it is.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};

use super::converter::{Converter, ConverterError, Reading};
use super::two_wire::TwoWire;

/// The first conversion after power-up comes after at most 401 ms at 10 samples a second (data sheet, table 9).
const READY_WITHIN_MS: u32 = 500;

/// An ADS1232 on two lines.
#[derive(Debug)]
pub struct Ads1232<D, C, T> {
    wires: TwoWire<D, C>,
    delay: T,
}

impl<D: InputPin, C: OutputPin, T: DelayNs> Ads1232<D, C, T> {
    /// Over its DRDY/DOUT and SCLK lines; PDWN is wired high.
    pub fn new(wires: TwoWire<D, C>, delay: T) -> Self {
        Self { wires, delay }
    }
}

impl<D, C, T> Converter for Ads1232<D, C, T>
where
    D: InputPin + Send,
    C: OutputPin + Send,
    T: DelayNs + Send,
{
    fn part(&self) -> &'static str {
        "ADS1232"
    }

    /// Waits for a conversion and starts the offset calibration with it.
    fn start(&mut self) -> Result<(), ConverterError> {
        self.wires.rest()?;
        for _ in 0..READY_WITHIN_MS {
            if self.wires.ready()? {
                // A late pulse does no harm here: the value is not used.
                let _ = self.wires.shift(2)?;
                return Ok(());
            }
            self.delay.delay_ms(1);
        }
        Err(ConverterError::NotReady { part: self.part(), what: "no conversion", after_ms: READY_WITHIN_MS })
    }

    fn read(&mut self) -> Result<Option<Reading>, ConverterError> {
        if !self.wires.ready()? {
            return Ok(None);
        }
        Ok(self.wires.shift(1)?.map(Reading::of_24_bits))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Instant;

    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    fn still() -> Instant {
        static NOW: OnceLock<Instant> = OnceLock::new();
        *NOW.get_or_init(Instant::now)
    }

    #[test]
    fn it_calibrates_with_26_pulses_and_reads_with_25() {
        let bits = |value: u32| {
            let bit = move |i: u32| if value >> i & 1 == 1 { State::High } else { State::Low };
            (0..24).rev().map(bit).collect::<Vec<_>>()
        };
        let not_ready = [State::High, State::High];
        let data = [&not_ready[..], &[State::Low], &bits(9), &[State::High, State::Low], &bits(0x0a_bcde)];
        let data: Vec<_> = data.concat().into_iter().map(Transaction::get).collect();
        let pulses = [State::High, State::Low].into_iter().cycle().take(2 * (26 + 25));
        let clock: Vec<_> = std::iter::once(State::Low).chain(pulses).map(Transaction::set).collect();
        let (mut d, mut c) = (Mock::new(&data), Mock::new(&clock));
        let wires = TwoWire::new(d.clone(), c.clone()).with_stopwatch(still);
        let mut ads1232 = Ads1232::new(wires, NoopDelay::new());
        ads1232.start().unwrap();
        assert_eq!(ads1232.read().unwrap(), None, "it is calibrating");
        assert_eq!(ads1232.read().unwrap(), Some(Reading::Counts(0x0a_bcde)));
        d.done();
        c.done();
    }

    #[test]
    fn a_part_that_never_becomes_ready_is_named() {
        let data: Vec<_> = (0..READY_WITHIN_MS).map(|_| Transaction::get(State::High)).collect();
        let (mut d, mut c) = (Mock::new(&data), Mock::new(&[Transaction::set(State::Low)]));
        let mut ads1232 = Ads1232::new(TwoWire::new(d.clone(), c.clone()), NoopDelay::new());
        let error = ads1232.start().unwrap_err().to_string();
        assert!(error.contains("ADS1232: no conversion within 500 ms"), "{error}");
        d.done();
        c.done();
    }
}
