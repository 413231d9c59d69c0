//! What goes wrong with a simulated robot, by chance.

use std::str::FromStr;

/// How often what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Probability that a pick fails.
    pub fumble: f64,
    /// Probability that a new order is refused.
    pub refuse: f64,
    /// How often an hour it stands still for two minutes.
    pub stuck: f64,
    /// How often an hour it has a FATAL error for three minutes.
    pub fatal: f64,
    /// How often an hour its connection is gone for 40 seconds.
    pub dropout: f64,
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let example = "write for example fumble=0.05,dropout=2";
            let (name, value) = part.split_once('=').ok_or(format!("{part:?} has no '='; {example}"))?;
            let value: f64 = value.parse().map_err(|_| format!("{part:?}: no number; {example}"))?;
            let (field, most) = match name {
                "fumble" => (&mut faults.fumble, 1.0),
                "refuse" => (&mut faults.refuse, 1.0),
                "stuck" => (&mut faults.stuck, 3600.0),
                "fatal" => (&mut faults.fatal, 3600.0),
                "dropout" => (&mut faults.dropout, 3600.0),
                _ => return Err(format!("{name:?} is no fault: fumble, refuse, stuck, fatal, dropout")),
            };
            if !(0.0..=most).contains(&value) {
                return Err(format!("{part:?}: wanted 0 to {most}"));
            }
            *field = value;
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_nonsense_is_refused() {
        let faults: Faults = "fumble=0.5,dropout=2".parse().unwrap();
        assert_eq!(faults, Faults { fumble: 0.5, dropout: 2.0, ..Faults::default() });
        assert_eq!("".parse(), Ok(Faults::default()));
        for bad in ["fumble", "fumble=x", "fumble=2", "fall=1", "stuck=-1", "fatal=nan"] {
            assert!(bad.parse::<Faults>().is_err(), "{bad}");
        }
    }
}
