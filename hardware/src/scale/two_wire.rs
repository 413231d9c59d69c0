//! The two-wire interface of 24-bit load-cell converters: a data line that falls when a conversion is ready, and a
//! clock line that shifts it out. HX711 and ADS1232 speak it; they differ in what further clock pulses mean.
//!
//! Lines are driven one by one through `embedded-hal` pins, on Linux the GPIO character device. One pulse takes some
//! microseconds there; a process that is put aside in the middle of one may take milliseconds.
//!
//! # Failure rules
//! An HX711 whose clock stays high for 60 µs switches itself off and answers nonsense. A reading during which a high
//! phase lasted longer than [`MAX_HIGH`] is therefore thrown away and counted as [`TwoWire::late`]; the next
//! conversion is as good as any. Give the process a real-time priority where this happens often.

use std::time::{Duration, Instant};

use embedded_hal::digital::{InputPin, OutputPin};

use super::converter::ConverterError;

/// The longest high phase of the clock after which a reading is believed; the HX711's own limit is 60 µs.
pub const MAX_HIGH: Duration = Duration::from_micros(50);

/// The data and the clock line of one converter.
#[derive(Debug)]
pub struct TwoWire<D, C> {
    data: D,
    clock: C,
    now: fn() -> Instant,
    late: u64,
}

impl<D: InputPin, C: OutputPin> TwoWire<D, C> {
    /// Over two lines; the clock should be low.
    pub fn new(data: D, clock: C) -> Self {
        Self { data, clock, now: Instant::now, late: 0 }
    }

    /// The same with another stopwatch, for tests.
    #[must_use]
    pub fn with_stopwatch(mut self, now: fn() -> Instant) -> Self {
        self.now = now;
        self
    }

    /// How many readings were thrown away because a clock pulse took too long.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Brings the clock line to rest; one that was left high keeps a converter switched off.
    ///
    /// # Errors
    /// When a line cannot be driven.
    pub fn rest(&mut self) -> Result<(), ConverterError> {
        self.clock.set_low().map_err(|e| ConverterError::pin("set the clock line low", &e))
    }

    /// Raises the clock line, which switches an HX711 off until it is lowered again.
    ///
    /// # Errors
    /// When a line cannot be driven.
    pub fn power_down(&mut self) -> Result<(), ConverterError> {
        self.clock.set_high().map_err(|e| ConverterError::pin("set the clock line high", &e))
    }

    /// Is a conversion ready?
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn ready(&mut self) -> Result<bool, ConverterError> {
        self.data.is_low().map_err(|e| ConverterError::pin("read the data line", &e))
    }

    /// Shifts out one conversion, most significant bit first, and then pulses the clock `further` times. `None` when
    /// it took so long that the answer cannot be believed.
    ///
    /// # Errors
    /// When a line cannot be driven or read.
    pub fn shift(&mut self, further: u8) -> Result<Option<i32>, ConverterError> {
        let mut bits = 0_u32;
        let mut longest = Duration::ZERO;
        for pulse in 0..24 + further {
            let rose = (self.now)();
            self.clock.set_high().map_err(|e| ConverterError::pin("set the clock line high", &e))?;
            if pulse < 24 {
                let bit = self.data.is_high().map_err(|e| ConverterError::pin("read the data line", &e))?;
                bits = bits << 1 | u32::from(bit);
            }
            self.rest()?;
            longest = longest.max((self.now)().saturating_duration_since(rose));
        }
        if longest > MAX_HIGH {
            self.late += 1;
            return Ok(None);
        }
        Ok(Some(sign_extend(bits)))
    }
}

/// 24 bits of two's complement.
#[must_use]
pub fn sign_extend(bits: u32) -> i32 {
    ((bits << 8) as i32) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_s_complement_of_24_bits() {
        for (bits, value) in
            [(0, 0), (1, 1), (0x7f_ffff, 8_388_607), (0x80_0000, -8_388_608), (0xff_ffff, -1)]
        {
            assert_eq!(sign_extend(bits), value);
        }
    }
}
