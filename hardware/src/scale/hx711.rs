//! HX711: a 24-bit converter with amplifier for one load cell, over two GPIO lines (Avia Semiconductor, HX711 data
//! sheet).
//!
//! 10 or 80 samples a second, chosen by its RATE pin, not by software. The gain of the *next* conversion is set by
//! how many clock pulses follow the 24 of this one: 1 for 128 (channel A), 2 for 32 (channel B), 3 for 64 (channel A).
//! It has no register that tells who it is; the first conversion after a reset (clock high for more than 60 µs) comes
//! after 50 to 400 ms and was made with a gain of 128, so it is not used where another gain is wanted.

use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};

use super::converter::{Converter, ConverterError, Reading};
use super::two_wire::TwoWire;

/// Clock high for longer than 60 µs switches it off; low switches it on again, reset.
const POWER_DOWN: Duration = Duration::from_micros(100);

/// Amplification before conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hx711Gain {
    /// 128, channel A: ±20 mV, for load cells.
    A128,
    /// 64, channel A: ±40 mV.
    A64,
    /// 32, channel B: ±80 mV.
    B32,
}

impl Hx711Gain {
    fn pulses(self) -> u8 {
        match self {
            Self::A128 => 1,
            Self::B32 => 2,
            Self::A64 => 3,
        }
    }
}

/// An HX711 on two lines.
#[derive(Debug)]
pub struct Hx711<D, C, T> {
    wires: TwoWire<D, C>,
    delay: T,
    gain: Hx711Gain,
    skip: bool,
}

impl<D: InputPin, C: OutputPin, T: DelayNs> Hx711<D, C, T> {
    /// Over its data (DOUT) and clock (PD_SCK) lines.
    pub fn new(wires: TwoWire<D, C>, delay: T, gain: Hx711Gain) -> Self {
        Self { wires, delay, gain, skip: true }
    }
}

impl<D, C, T> Converter for Hx711<D, C, T>
where
    D: InputPin + Send,
    C: OutputPin + Send,
    T: DelayNs + Send,
{
    fn part(&self) -> &'static str {
        "HX711"
    }

    fn start(&mut self) -> Result<(), ConverterError> {
        self.wires.power_down()?;
        self.delay.delay_us(u32::try_from(POWER_DOWN.as_micros()).unwrap_or(100));
        self.wires.rest()?;
        // After a reset it converts with a gain of 128.
        self.skip = self.gain != Hx711Gain::A128;
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Reading>, ConverterError> {
        if !self.wires.ready()? {
            return Ok(None);
        }
        let Some(counts) = self.wires.shift(self.gain.pulses())? else {
            // It may have switched itself off meanwhile and be back with a gain of 128.
            self.skip = self.gain != Hx711Gain::A128;
            return Ok(None);
        };
        if std::mem::take(&mut self.skip) {
            return Ok(None);
        }
        Ok(Some(Reading::of_24_bits(counts)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Instant;

    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    /// Time stands still: no pulse is ever late.
    fn still() -> Instant {
        static NOW: OnceLock<Instant> = OnceLock::new();
        *NOW.get_or_init(Instant::now)
    }

    /// What the data line shows: ready, then the bits.
    fn data(bits: &[u32]) -> Vec<Transaction> {
        let conversion = |bits: &u32| {
            let bit = |i: u32| if bits >> i & 1 == 1 { State::High } else { State::Low };
            let shifted: Vec<State> = (0..24).rev().map(bit).collect();
            std::iter::once(State::Low).chain(shifted)
        };
        bits.iter().flat_map(conversion).map(Transaction::get).collect()
    }

    /// What the clock line must do: a reset, then pulses.
    fn clock(pulses: usize) -> Vec<Transaction> {
        let pulse = [State::High, State::Low];
        let reset = pulse.into_iter();
        reset.chain(pulse.into_iter().cycle().take(2 * pulses)).map(Transaction::set).collect()
    }

    #[test]
    fn a_conversion_is_shifted_out_with_25_pulses() {
        let (mut d, mut c) = (Mock::new(&data(&[0x00_1234, 0xff_fffe])), Mock::new(&clock(50)));
        let wires = TwoWire::new(d.clone(), c.clone()).with_stopwatch(still);
        let mut hx711 = Hx711::new(wires, NoopDelay::new(), Hx711Gain::A128);
        hx711.start().unwrap();
        assert_eq!(hx711.read().unwrap(), Some(Reading::Counts(0x1234)));
        assert_eq!(hx711.read().unwrap(), Some(Reading::Counts(-2)));
        d.done();
        c.done();
    }

    #[test]
    fn another_gain_takes_27_pulses_and_skips_the_first_conversion() {
        let (mut d, mut c) = (Mock::new(&data(&[77, 0x80_0000])), Mock::new(&clock(54)));
        let wires = TwoWire::new(d.clone(), c.clone()).with_stopwatch(still);
        let mut hx711 = Hx711::new(wires, NoopDelay::new(), Hx711Gain::A64);
        hx711.start().unwrap();
        assert_eq!(hx711.read().unwrap(), None, "made with the gain of a reset");
        assert_eq!(hx711.read().unwrap(), Some(Reading::Saturated));
        d.done();
        c.done();
    }

    #[test]
    fn nothing_is_shifted_before_it_is_ready() {
        let mut d = Mock::new(&[Transaction::get(State::High)]);
        let mut c = Mock::new(&[]);
        let wires = TwoWire::new(d.clone(), c.clone());
        assert_eq!(Hx711::new(wires, NoopDelay::new(), Hx711Gain::A128).read().unwrap(), None);
        d.done();
        c.done();
    }

    #[test]
    fn a_reading_with_a_late_pulse_is_thrown_away() {
        /// Every look at this watch is 30 µs after the last: a pulse takes 30 µs, two looks.
        fn slow() -> Instant {
            use std::sync::atomic::{AtomicU32, Ordering};
            static LOOKS: AtomicU32 = AtomicU32::new(0);
            let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
            // The fourth pulse takes 200 µs.
            still() + Duration::from_micros(u64::from(looks) * 30 + u64::from(looks >= 7) * 170)
        }
        let (mut d, mut c) = (Mock::new(&data(&[5])), Mock::new(&clock(25)[2..]));
        let wires = TwoWire::new(d.clone(), c.clone()).with_stopwatch(slow);
        let mut hx711 = Hx711 { skip: false, ..Hx711::new(wires, NoopDelay::new(), Hx711Gain::A128) };
        assert_eq!(hx711.read().unwrap(), None);
        assert_eq!(hx711.wires.late(), 1);
        d.done();
        c.done();
    }
}
