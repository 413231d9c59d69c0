//! Money, and the numbers whose unit is in their name.
//!
//! Lengths, weights and angles are `f64` in fields and variables that end in their unit (`_m`, `_g`, `_deg`,
//! `_px`, `_s`); wrapping each in a type bought little and cost every formula its shape. Money is different:
//! it is counted, never measured, so it is a type over an integer and has no floating-point door.

use std::fmt;

/// An amount in the minor unit of a currency (cents, paise). May be negative: a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money {
    /// Minor units.
    pub minor: i64,
}

impl Money {
    /// An amount of minor units.
    #[must_use]
    pub const fn from_minor(minor: i64) -> Self {
        Self { minor }
    }

    /// Unit price times quantity; `None` when the result does not fit.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        self.minor.checked_mul(i64::from(quantity)).map(Self::from_minor)
    }

    /// The sum; `None` when the result does not fit.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.minor.checked_add(other.minor).map(Self::from_minor)
    }
}

/// An ISO 4217 currency code: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Takes a code such as `"EUR"`; `None` when it is not three capital ASCII letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_does_not_wrap() {
        assert_eq!(Money::from_minor(199).times(3), Some(Money::from_minor(597)));
        assert_eq!(Money::from_minor(i64::MAX).times(2), None);
        assert_eq!(Money::from_minor(i64::MAX).plus(Money::from_minor(1)), None);
    }

    #[test]
    fn a_currency_is_three_capitals() {
        assert_eq!(Currency::new("USD").map(|c| c.to_string()), Some("USD".into()));
        for bad in ["usd", "US", "EURO", "€€€", ""] {
            assert_eq!(Currency::new(bad), None, "{bad}");
        }
    }
}
