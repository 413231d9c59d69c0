//! What serial scales say: the common ASCII protocols, a line at a time. Pure.
//!
//! | protocol | a line | spoken by |
//! | --- | --- | --- |
//! | [`Sics`](SerialProtocol::Sics) | `S S      100.00 g` | Mettler-Toledo (MT-SICS level 0); `SIR` makes it send for ever |
//! | [`And`](SerialProtocol::And) | `ST,+00100.00  g`, `US,GS,+  100.0kg` | A&D standard format, CAS, Rice Lake and many indicators |
//! | [`Plain`](SerialProtocol::Plain) | `N     +   100.00 g  `, `100.00 g ?` | Sartorius SBI, Kern, Ohaus, anything that sends a number and a unit |
//! | [`Csv`](SerialProtocol::Csv) | `100.0,,-3.5,sat` | a controller of many plates: one value a plate, empty for none |
//!
//! Values that the scale calls unstable or dynamic are taken as the others are: whether a weight has settled is the
//! core's business. What a scale says about itself (stable, net, gross) is not used.
//!
//! # Limits
//! A line has at most [`MAX_LINE_BYTES`] bytes. Units are g, kg, mg, t, lb and oz; a number without one is grams.

/// The longest line.
pub const MAX_LINE_BYTES: usize = 1_024;

/// How a scale speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialProtocol {
    /// MT-SICS, one plate.
    Sics,
    /// A&D standard format, one plate.
    And,
    /// A number and perhaps a unit, one plate.
    Plain,
    /// Comma-separated values, one a plate.
    Csv,
}

impl SerialProtocol {
    /// What must be sent once so that the scale speaks by itself.
    #[must_use]
    pub fn request(self) -> &'static [u8] {
        match self {
            Self::Sics => b"SIR\r\n",
            Self::And | Self::Plain | Self::Csv => b"",
        }
    }
}

/// One plate's value in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LineValue {
    /// Grams; in `Csv` whatever is sent, to be divided by the calibration factor.
    Weight(f64),
    /// Overload or underload.
    Saturated,
    /// Nothing was said of this plate.
    Absent,
}

/// Why a line is no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not of the protocol.
    #[error("{line:?} is no line of this protocol ({why}); check driver, baud and parity in store.toml")]
    Malformed {
        /// The line, cut to 60 characters.
        line: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The scale refuses to weigh.
    #[error("the scale answers {line:?}: {why}")]
    Refused {
        /// The line.
        line: String,
        /// What it means.
        why: &'static str,
    },
    /// More or fewer values than plates.
    #[error("{found} values where store.toml names {wanted} plates for this scale")]
    Count {
        /// Values in the line.
        found: usize,
        /// Plates of the scale.
        wanted: usize,
    },
}

/// Reads one line, without its end, for a scale of so many plates. `None` for lines that say nothing: empty ones, and
/// answers to commands.
///
/// # Errors
/// [`LineError`] for anything that is not a line of the protocol.
pub fn parse_line(
    protocol: SerialProtocol,
    line: &str,
    plates: usize,
) -> Result<Option<Vec<LineValue>>, LineError> {
    let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{2}' || c == '\u{3}');
    if line.is_empty() {
        return Ok(None);
    }
    let one = match protocol {
        SerialProtocol::Sics => sics(line)?,
        SerialProtocol::And => Some(and(line)?),
        SerialProtocol::Plain => Some(plain(line)?),
        SerialProtocol::Csv => return csv(line, plates).map(Some),
    };
    Ok(one.map(|value| vec![value]))
}

fn malformed(line: &str, why: &'static str) -> LineError {
    LineError::Malformed { line: line.chars().take(60).collect(), why }
}

/// MT-SICS reference manual: `S` and `SI` answer `S`, a status, and the value with its unit.
fn sics(line: &str) -> Result<Option<LineValue>, LineError> {
    let refused = |why| Err(LineError::Refused { line: line.chars().take(60).collect(), why });
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some("ES" | "EL" | "ET"), _) => refused("it does not understand what was sent; is it MT-SICS?"),
        (Some("S"), Some("S" | "D")) => {
            let Some(number) = words.next() else { return Err(malformed(line, "there is no value")) };
            weight(line, number, words.next().unwrap_or("g")).map(|w| Some(LineValue::Weight(w)))
        }
        (Some("S"), Some("+" | "-")) => Ok(Some(LineValue::Saturated)),
        (Some("S"), Some("I")) => refused("it cannot weigh now, for example during a calibration"),
        (Some("S" | "SIR"), Some("L")) => refused("it does not know this command"),
        // `I4 A "serial"` after a power-up, and answers to others' commands.
        (Some("I4" | "SIR" | "Z" | "T" | "@"), _) => Ok(None),
        _ => Err(malformed(line, "it does not begin with S and a status")),
    }
}

/// A&D: header, perhaps gross or net, value with unit.
fn and(line: &str) -> Result<LineValue, LineError> {
    let mut fields = line.split(',').map(str::trim);
    match fields.next() {
        Some("ST" | "US" | "QT" | "WT" | "TR") => {}
        Some("OL") => return Ok(LineValue::Saturated),
        _ => return Err(malformed(line, "it does not begin with ST, US or OL")),
    }
    let mut field = fields.next().ok_or_else(|| malformed(line, "there is no value"))?;
    if matches!(field, "GS" | "NT" | "TR" | "G" | "N") {
        field = fields.next().ok_or_else(|| malformed(line, "there is no value"))?;
    }
    number_and_unit(line, field).map(LineValue::Weight)
}

/// A number with a unit behind, perhaps a label of letters before, perhaps `?` or `*` behind.
fn plain(line: &str) -> Result<LineValue, LineError> {
    let number = line.trim_end_matches(['?', '*']).trim_end();
    let number = number.trim_start_matches(|c: char| c.is_ascii_alphabetic() || matches!(c, '#' | ':'));
    let number = number.trim_start();
    let lower = line.to_ascii_lowercase();
    if ["ol", "ul", "high", "low", "err"]
        .iter()
        .any(|w| lower.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == *w))
    {
        return Ok(LineValue::Saturated);
    }
    number_and_unit(line, number).map(LineValue::Weight)
}

fn csv(line: &str, plates: usize) -> Result<Vec<LineValue>, LineError> {
    let value = |field: &str| match field.trim() {
        "" => Ok(LineValue::Absent),
        "sat" | "ol" => Ok(LineValue::Saturated),
        number => {
            let value: f64 = number.parse().map_err(|_| malformed(line, "a value is no number"))?;
            Ok(LineValue::Weight(value))
        }
    };
    let values: Vec<LineValue> = line.split(',').map(value).collect::<Result<_, _>>()?;
    if values.len() != plates {
        return Err(LineError::Count { found: values.len(), wanted: plates });
    }
    Ok(values)
}

/// `+  100.0 kg`: a sign that may stand apart, a number, a unit that may touch it.
fn number_and_unit(line: &str, text: &str) -> Result<f64, LineError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, unit) = rest.split_at(end);
    let unit = unit.trim();
    let value = weight(line, number, if unit.is_empty() { "g" } else { unit })?;
    Ok(if negative { -value } else { value })
}

fn weight(line: &str, number: &str, unit: &str) -> Result<f64, LineError> {
    let grams_of_unit = match unit {
        "g" | "G" => 1.0,
        "kg" | "KG" | "Kg" => 1_000.0,
        "mg" => 0.001,
        "t" => 1e6,
        "lb" | "LB" => 453.592_37,
        "oz" | "OZ" => 28.349_523_125,
        _ => return Err(malformed(line, "its unit is none of g, kg, mg, t, lb, oz")),
    };
    let value: f64 = number.parse().map_err(|_| malformed(line, "its value is no number"))?;
    if !value.is_finite() {
        return Err(malformed(line, "its value is no number"));
    }
    Ok(value * grams_of_unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SerialProtocol::{And, Csv, Plain, Sics};

    fn one(protocol: SerialProtocol, line: &str) -> LineValue {
        match parse_line(protocol, line, 1).unwrap().unwrap()[..] {
            [value] => value,
            ref other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn lines_of_every_protocol_become_grams() {
        for (protocol, line, grams) in [
            (Sics, "S S      100.00 g\r", 100.0),
            (Sics, "S D     -1.2345 kg", -1234.5),
            (Sics, "S S        12.0", 12.0),
            (And, "ST,+00123.45  g", 123.45),
            (And, "US,GS,-  123.4kg\r", -123_400.0),
            (And, "ST,NT,+0001.00lb", 453.592_37),
            (And, "QT,+00001234", 1234.0),
            (Plain, "N     +   123.45 g  ", 123.45),
            (Plain, "\u{2}  -  0.50 kg ?\u{3}", -500.0),
            (Plain, "G      12.3", 12.3),
            (Plain, "538", 538.0),
            (Csv, "-4711.5", -4711.5),
        ] {
            match one(protocol, line) {
                LineValue::Weight(w) => assert!((w - grams).abs() < 1e-9, "{line:?}: {w}"),
                other => panic!("{line:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn overload_is_no_weight() {
        for (protocol, line) in
            [(Sics, "S +"), (Sics, "S -"), (And, "OL,+9999999  g"), (Plain, "   OL   "), (Plain, "High")]
        {
            assert_eq!(one(protocol, line), LineValue::Saturated, "{line:?}");
        }
    }

    #[test]
    fn a_csv_line_has_one_value_a_plate() {
        let values = parse_line(Csv, "1.5, ,sat,-2", 4).unwrap().unwrap();
        let wanted =
            [LineValue::Weight(1.5), LineValue::Absent, LineValue::Saturated, LineValue::Weight(-2.0)];
        assert_eq!(values, wanted);
        assert_eq!(parse_line(Csv, "1,2", 3), Err(LineError::Count { found: 2, wanted: 3 }));
    }

    #[test]
    fn what_says_nothing_is_passed_over() {
        for (protocol, line) in
            [(Sics, "I4 A \"B021002593\""), (Sics, ""), (And, "  \r"), (Plain, "\u{2}\u{3}")]
        {
            assert_eq!(parse_line(protocol, line, 1), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn what_is_of_another_protocol_is_refused_with_what_to_check() {
        for (protocol, line) in [
            (Sics, "ST,+00123.45  g"),
            (Sics, "S S"),
            (Sics, "S S abc g"),
            (Sics, "ES"),
            (Sics, "S I"),
            (And, "S S 100 g"),
            (And, "ST"),
            (And, "ST,GS"),
            (And, "ST,+12 stone"),
            (Plain, "hello"),
            (Plain, "12.3.4 g"),
            (Plain, "+-3 g"),
            (Plain, "\u{fffd}\u{fffd}3"),
            (Csv, "1;2"),
        ] {
            assert!(parse_line(protocol, line, 1).is_err(), "{line:?} was taken");
        }
        let error = parse_line(And, "S S 100 g", 1).unwrap_err().to_string();
        assert!(error.contains("driver, baud and parity"), "{error}");
    }
}
