//! NAU7802: a 24-bit converter with amplifier for load cells, over I²C (Nuvoton, NAU7802 data sheet).
//!
//! Address 0x2A, fixed: one part a bus. Several plates need several buses or an I²C multiplexer, whose ports Linux shows
//! as buses of their own. 10 to 320 samples a second, gain 1 to 128, both set by registers.
//!
//! # Failure rules
//! [`Nau7802::start`] checks the revision register, waits for power-up and for the part's own offset calibration, each
//! for at most [`READY_WITHIN_MS`]; what does not happen is named.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::converter::{Converter, ConverterError, Reading};
use super::two_wire::sign_extend;

/// Its address.
pub const ADDRESS: u8 = 0x2a;
/// How long power-up and calibration may take, milliseconds each (data sheet: 200 µs, 344 ms).
pub const READY_WITHIN_MS: u32 = 1_000;

/// Registers, by their names in the data sheet.
mod register {
    pub const PU_CTRL: u8 = 0x00;
    pub const CTRL1: u8 = 0x01;
    pub const CTRL2: u8 = 0x02;
    pub const ADCO_B2: u8 = 0x12;
    pub const ADC: u8 = 0x15;
    pub const PGA_PWR: u8 = 0x1c;
    pub const REVISION: u8 = 0x1f;
}

/// Bits of `PU_CTRL`.
mod pu_ctrl {
    /// Register reset.
    pub const RR: u8 = 1;
    /// Digital part on.
    pub const PUD: u8 = 1 << 1;
    /// Analogue part on.
    pub const PUA: u8 = 1 << 2;
    /// Powered up.
    pub const PUR: u8 = 1 << 3;
    /// Start converting.
    pub const CS: u8 = 1 << 4;
    /// A conversion is ready.
    pub const CR: u8 = 1 << 5;
    /// Analogue supply from the part's own regulator.
    pub const AVDDS: u8 = 1 << 7;
}

/// `CTRL1`: the regulator gives 3.0 V.
const VLDO_3V0: u8 = 0b101 << 3;
/// `CTRL2`: start a calibration; it clears itself at the end.
const CALS: u8 = 1 << 2;
/// `CTRL2`: the calibration failed.
const CAL_ERR: u8 = 1 << 3;
/// `ADC`: chopper clock off, as the data sheet asks for.
const CLK_CHP_OFF: u8 = 0x30;
/// `PGA_PWR`: the capacitor at the amplifier's output of channel 2 is used, which halves the noise.
const PGA_CAP_EN: u8 = 1 << 7;

/// Samples a second that it can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nau7802Rate {
    /// 10 a second.
    Hz10,
    /// 20 a second.
    Hz20,
    /// 40 a second.
    Hz40,
    /// 80 a second.
    Hz80,
    /// 320 a second.
    Hz320,
}

impl Nau7802Rate {
    /// The field CRS of `CTRL2`.
    fn bits(self) -> u8 {
        match self {
            Self::Hz10 => 0b000 << 4,
            Self::Hz20 => 0b001 << 4,
            Self::Hz40 => 0b010 << 4,
            Self::Hz80 => 0b011 << 4,
            Self::Hz320 => 0b111 << 4,
        }
    }
}

/// An NAU7802 on an I²C bus.
#[derive(Debug)]
pub struct Nau7802<B, T> {
    bus: B,
    delay: T,
    gain_log2: u8,
    rate: Nau7802Rate,
}

impl<B: I2c, T: DelayNs> Nau7802<B, T> {
    /// With a gain of `2^gain_log2`, at most 128.
    pub fn new(bus: B, delay: T, gain_log2: u8, rate: Nau7802Rate) -> Self {
        Self { bus, delay, gain_log2: gain_log2.min(7), rate }
    }

    fn write(&mut self, operation: &'static str, register: u8, value: u8) -> Result<(), ConverterError> {
        self.bus.write(ADDRESS, &[register, value]).map_err(|e| ConverterError::bus(operation, &e))
    }

    fn read_register(&mut self, operation: &'static str, register: u8) -> Result<u8, ConverterError> {
        let mut value = [0];
        self.bus
            .write_read(ADDRESS, &[register], &mut value)
            .map_err(|e| ConverterError::bus(operation, &e))?;
        Ok(value[0])
    }

    /// Waits until a register's bits are what is wanted; gives its value.
    fn wait(&mut self, register: u8, mask: u8, wanted: u8, what: &'static str) -> Result<u8, ConverterError> {
        for _ in 0..READY_WITHIN_MS {
            let value = self.read_register(what, register)?;
            if value & mask == wanted {
                return Ok(value);
            }
            self.delay.delay_ms(1);
        }
        Err(ConverterError::NotReady { part: "NAU7802", what, after_ms: READY_WITHIN_MS })
    }
}

impl<B: I2c + Send, T: DelayNs + Send> Converter for Nau7802<B, T> {
    fn part(&self) -> &'static str {
        "NAU7802"
    }

    fn start(&mut self) -> Result<(), ConverterError> {
        self.write("reset (PU_CTRL)", register::PU_CTRL, pu_ctrl::RR)?;
        self.write("power up (PU_CTRL)", register::PU_CTRL, pu_ctrl::PUD)?;
        self.wait(register::PU_CTRL, pu_ctrl::PUR, pu_ctrl::PUR, "no power-up (PU_CTRL.PUR)")?;
        let revision = self.read_register("read REVISION", register::REVISION)?;
        if revision & 0x0f != 0x0f {
            return Err(ConverterError::OtherPart {
                part: "NAU7802",
                register: "REVISION",
                found: revision,
                wanted: "0x?f",
            });
        }
        let on = pu_ctrl::AVDDS | pu_ctrl::PUA | pu_ctrl::PUD;
        self.write("power the bridge (PU_CTRL)", register::PU_CTRL, on)?;
        self.write("set gain (CTRL1)", register::CTRL1, VLDO_3V0 | self.gain_log2)?;
        self.write("set the chopper (ADC)", register::ADC, CLK_CHP_OFF)?;
        self.write("set the capacitor (PGA_PWR)", register::PGA_PWR, PGA_CAP_EN)?;
        self.write("calibrate (CTRL2)", register::CTRL2, self.rate.bits() | CALS)?;
        let ctrl2 = self.wait(register::CTRL2, CALS, 0, "no end of its calibration (CTRL2.CALS)")?;
        if ctrl2 & CAL_ERR != 0 {
            return Err(ConverterError::Calibration { part: "NAU7802" });
        }
        self.write("start converting (PU_CTRL)", register::PU_CTRL, on | pu_ctrl::CS)
    }

    fn read(&mut self) -> Result<Option<Reading>, ConverterError> {
        if self.read_register("read PU_CTRL", register::PU_CTRL)? & pu_ctrl::CR == 0 {
            return Ok(None);
        }
        let mut bytes = [0; 3];
        self.bus
            .write_read(ADDRESS, &[register::ADCO_B2], &mut bytes)
            .map_err(|e| ConverterError::bus("read ADCO", &e))?;
        Ok(Some(convert(bytes)))
    }
}

/// `ADCO_B2`, `ADCO_B1`, `ADCO_B0` as a reading.
#[must_use]
pub fn convert([b2, b1, b0]: [u8; 3]) -> Reading {
    Reading::of_24_bits(sign_extend(u32::from_be_bytes([0, b2, b1, b0])))
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    use super::*;

    fn write(register: u8, value: u8) -> Transaction {
        Transaction::write(ADDRESS, vec![register, value])
    }

    fn read(register: u8, bytes: &[u8]) -> Transaction {
        Transaction::write_read(ADDRESS, vec![register], bytes.to_vec())
    }

    fn up_to_identity(revision: u8) -> Vec<Transaction> {
        vec![
            write(0x00, 0x01),
            write(0x00, 0x02),
            read(0x00, &[0x02]),
            read(0x00, &[0x0a]),
            read(0x1f, &[revision]),
        ]
    }

    fn calibrated(ctrl2: u8) -> Vec<Transaction> {
        let mut all = up_to_identity(0x0f);
        all.extend([
            write(0x00, 0x86),
            write(0x01, 0x2f),
            write(0x15, 0x30),
            write(0x1c, 0x80),
            write(0x02, 0x34),
            read(0x02, &[0x34]),
            read(0x02, &[ctrl2]),
        ]);
        all
    }

    fn part(transactions: &[Transaction]) -> (Nau7802<Mock, NoopDelay>, Mock) {
        let bus = Mock::new(transactions);
        (Nau7802::new(bus.clone(), NoopDelay::new(), 7, Nau7802Rate::Hz80), bus)
    }

    #[test]
    fn it_is_set_up_byte_by_byte_and_read() {
        let mut transactions = calibrated(0x30);
        transactions.extend([
            write(0x00, 0x96),
            read(0x00, &[0x9e]),
            read(0x00, &[0xbe]),
            read(0x12, &[0xff, 0xff, 0x00]),
        ]);
        let (mut nau7802, mut bus) = part(&transactions);
        nau7802.start().unwrap();
        assert_eq!(nau7802.read().unwrap(), None);
        assert_eq!(nau7802.read().unwrap(), Some(Reading::Counts(-256)));
        bus.done();
    }

    #[test]
    fn another_part_at_its_address_is_refused() {
        let (mut nau7802, mut bus) = part(&up_to_identity(0x42));
        let error = nau7802.start().unwrap_err().to_string();
        assert!(error.contains("REVISION says 0x42") && error.contains("NAU7802"), "{error}");
        bus.done();
    }

    #[test]
    fn a_calibration_that_fails_is_told() {
        let (mut nau7802, mut bus) = part(&calibrated(0x38));
        assert_eq!(nau7802.start(), Err(ConverterError::Calibration { part: "NAU7802" }));
        bus.done();
    }

    #[test]
    fn a_bus_without_the_part_says_what_to_check() {
        let nobody = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        let (mut nau7802, mut bus) = part(&[write(0x00, 0x01).with_error(nobody)]);
        let error = nau7802.start().unwrap_err().to_string();
        assert!(error.contains("reset (PU_CTRL)") && error.contains("i2cdetect"), "{error}");
        bus.done();
    }

    #[test]
    fn bytes_become_counts() {
        assert_eq!(convert([0, 1, 2]), Reading::Counts(258));
        assert_eq!(convert([0x80, 0, 0]), Reading::Saturated);
        assert_eq!(convert([0x7f, 0xff, 0xff]), Reading::Saturated);
    }
}
