//! The plates of a shelf: which channel each is wired to, its tare, its gain, what leaks to its neighbours, and what
//! the temperature does to it.
//!
//! Method: known weights are put on one plate after the other (a guided walk), and every channel is read each time.
//! The counts of a channel are `tare + drift (T - T0) + sum over plates (leak x load)`; each channel is a linear least
//! squares problem. A shelf's board bends, so a plate's neighbours feel a part of its load (cross-talk): plates
//! further away than [`REACH`] are taken to feel nothing. The inverse of all leaks turns counts into grams.
//!
//! # Failure rules
//! Wiring is judged before anything is fitted: a plate whose load no channel feels is dead, two that feel each other's
//! are swapped, and one whose counts fall under a load is wired the wrong way round. With any of these there is no
//! calibration, for its numbers would belong to other plates.

use nalgebra::{DMatrix, DVector};

/// A plate's load is felt this many plates away.
pub const REACH: usize = 1;
/// A channel feels a load when it moves by this many times the noise of the quiet channels.
const FEELS: f64 = 20.0;
/// Readings must differ by this for the temperature to be told, degrees Celsius.
pub const MIN_WARMTH_C: f64 = 3.0;
/// The gains of two weights may differ by this share.
pub const LINEAR_SHARE: f64 = 0.002;

/// All channels at one step of the walk, settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which plate bears the weight; `None` = the shelf is empty.
    pub plate: Option<usize>,
    /// That weight, grams.
    pub load_g: f64,
    /// Temperature, degrees Celsius, where it is known.
    pub temperature_c: Option<f64>,
    /// Counts by channel, in the order of the plates.
    pub counts: Vec<f64>,
}

/// A calibrated shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfFit {
    /// Counts of the empty shelf by channel, at [`Self::at_c`].
    pub tare_counts: Vec<f64>,
    /// Counts a gram by channel (row) and plate (column).
    pub leaks: DMatrix<f64>,
    /// Grams a count by plate (row) and channel (column): the inverse.
    pub grams_a_count: DMatrix<f64>,
    /// Counts a degree by channel; `None` where the readings do not differ enough in temperature.
    pub counts_a_degree: Option<Vec<f64>>,
    /// The mean temperature of the readings, where known.
    pub at_c: Option<f64>,
    /// Root mean square difference between the weights that were put and those that are read, grams.
    pub rms_g: f64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

impl ShelfFit {
    /// What lies on each plate, grams.
    #[must_use]
    pub fn grams(&self, counts: &[f64], temperature_c: Option<f64>) -> Option<Vec<f64>> {
        if counts.len() != self.tare_counts.len() {
            return None;
        }
        let warmer = temperature_c.zip(self.at_c).map_or(0.0, |(now, then)| now - then);
        let moved = |i: usize| {
            let drift = self.counts_a_degree.as_ref().map_or(0.0, |d| d[i] * warmer);
            counts[i] - self.tare_counts[i] - drift
        };
        let moved = DVector::from_fn(counts.len(), |i, _| moved(i));
        Some((&self.grams_a_count * moved).iter().copied().collect())
    }
}

impl ShelfFit {
    /// For each plate, how many counts of its own channel one gram is.
    #[must_use]
    pub fn counts_per_g(&self) -> Vec<f64> {
        (0..self.leaks.nrows()).map(|i| self.leaks[(i, i)]).collect()
    }

    /// By plate (row), the share that the grams of each channel (column), as its own gain gives them, have in its
    /// weight: what takes cross-talk away.
    #[must_use]
    pub fn shares(&self) -> DMatrix<f64> {
        let gains = self.counts_per_g();
        DMatrix::from_fn(gains.len(), gains.len(), |row, column| {
            self.grams_a_count[(row, column)] * gains[column]
        })
    }
}

/// Why there is no calibration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShelfError {
    /// A reading cannot be used.
    #[error("reading {reading}: {reason}")]
    Reading {
        /// Which, from 1.
        reading: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The shelf was never empty.
    #[error("no reading of the empty shelf; take everything off and read it first and last")]
    NeverEmpty,
    /// A plate never bore a weight.
    #[error("no weight lay on plate {0}; put a known weight on it and read again")]
    NeverLoaded(String),
    /// Wiring faults.
    #[error("{}", .0.join("\n"))]
    Wiring(Vec<String>),
    /// The leaks cannot be inverted.
    #[error("the plates cannot be told apart; check that each plate rests on its own cell, and walk again")]
    Singular,
}

/// The steps of a walk, in words: the shelf empty, each weight on each plate, and the shelf empty again.
#[must_use]
pub fn steps(plates: &[String], weights_g: &[f64]) -> Vec<(Option<usize>, f64, String)> {
    let mut steps = vec![(None, 0.0, "take everything off the shelf".to_owned())];
    for weight_g in weights_g {
        for (index, plate) in plates.iter().enumerate() {
            steps.push((
                Some(index),
                *weight_g,
                format!("put the {weight_g} g weight on plate {plate}, alone"),
            ));
        }
    }
    steps.push((None, 0.0, "take everything off the shelf again".to_owned()));
    steps
}

/// Fits a shelf to the readings of a walk.
///
/// # Errors
/// [`ShelfError`], which names readings and plates and says what to do next.
pub fn fit(plates: &[String], readings: &[Reading]) -> Result<ShelfFit, ShelfError> {
    check(plates, readings)?;
    let empty: Vec<&Reading> = readings.iter().filter(|r| r.plate.is_none()).collect();
    if empty.is_empty() {
        return Err(ShelfError::NeverEmpty);
    }
    if let Some(never) = (0..plates.len()).find(|p| readings.iter().all(|r| r.plate != Some(*p))) {
        return Err(ShelfError::NeverLoaded(plates[never].clone()));
    }
    judge_wiring(plates, readings, &empty)?;
    let warmths: Option<Vec<f64>> = readings.iter().map(|r| r.temperature_c).collect();
    let at_c = warmths.as_ref().map(|w| w.iter().sum::<f64>() / w.len() as f64);
    let spread =
        |w: &Vec<f64>| w.iter().fold(f64::MIN, |a, b| a.max(*b)) - w.iter().fold(f64::MAX, |a, b| a.min(*b));
    let warm = warmths.as_ref().is_some_and(|w| spread(w) >= MIN_WARMTH_C);

    let count = plates.len();
    let mut leaks = DMatrix::zeros(count, count);
    let (mut tare_counts, mut drifts) = (Vec::new(), Vec::new());
    for channel in 0..count {
        let near: Vec<usize> = (0..count).filter(|p| p.abs_diff(channel) <= REACH).collect();
        let unknowns = 1 + usize::from(warm) + near.len();
        let row = |r: &Reading| -> Vec<f64> {
            let mut row = vec![1.0];
            if warm {
                row.push(r.temperature_c.zip(at_c).map_or(0.0, |(now, mean)| now - mean));
            }
            // In kilograms, so that all columns are of one size.
            row.extend(near.iter().map(|p| if r.plate == Some(*p) { r.load_g / 1000.0 } else { 0.0 }));
            row
        };
        let rows: Vec<f64> = readings.iter().flat_map(row).collect();
        let system = DMatrix::from_row_slice(readings.len(), unknowns, &rows);
        let wanted = DVector::from_iterator(readings.len(), readings.iter().map(|r| r.counts[channel]));
        let found = system.svd(true, true).solve(&wanted, 1e-12).map_err(|_| ShelfError::Singular)?;
        tare_counts.push(found[0]);
        if warm {
            drifts.push(found[1]);
        }
        for (i, plate) in near.iter().enumerate() {
            leaks[(channel, *plate)] = found[1 + usize::from(warm) + i] / 1000.0;
        }
    }
    let grams_a_count = leaks.clone().try_inverse().ok_or(ShelfError::Singular)?;
    let mut fit = ShelfFit {
        tare_counts,
        leaks,
        grams_a_count,
        counts_a_degree: warm.then_some(drifts),
        at_c,
        rms_g: 0.0,
        warnings: Vec::new(),
    };
    let mut squares = Vec::new();
    for reading in readings {
        let grams = fit.grams(&reading.counts, reading.temperature_c).unwrap_or_default();
        for (plate, grams) in grams.iter().enumerate() {
            let put = if reading.plate == Some(plate) { reading.load_g } else { 0.0 };
            squares.push((grams - put).powi(2));
        }
    }
    fit.rms_g = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt();
    fit.warnings = warnings(plates, readings, &fit);
    Ok(fit)
}

fn check(plates: &[String], readings: &[Reading]) -> Result<(), ShelfError> {
    for (index, r) in readings.iter().enumerate() {
        let wrong = |reason: String| ShelfError::Reading { reading: index + 1, reason };
        if r.counts.len() != plates.len() {
            return Err(wrong(format!(
                "has {} channels, the shelf has {} plates",
                r.counts.len(),
                plates.len()
            )));
        }
        if let Some(dead) = r.counts.iter().position(|c| !c.is_finite()) {
            return Err(wrong(format!("channel {} is no number; read it again", plates[dead])));
        }
        if r.temperature_c.is_some_and(|t| !t.is_finite()) {
            return Err(wrong("the temperature is no number; leave it empty where it is not known".into()));
        }
        match r.plate {
            Some(plate) if plate >= plates.len() => return Err(wrong("there is no such plate".into())),
            Some(_) if !(r.load_g.is_finite() && r.load_g > 0.0) => {
                return Err(wrong(format!("{} g are no weight; write what the weight weighs", r.load_g)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn judge_wiring(plates: &[String], readings: &[Reading], empty: &[&Reading]) -> Result<(), ShelfError> {
    let count = plates.len();
    let mean = |c: usize| empty.iter().map(|r| r.counts[c]).sum::<f64>() / empty.len() as f64;
    let tare: Vec<f64> = (0..count).map(mean).collect();
    // How far each channel moves a gram for a load on each plate; the median over all of them is what noise and far
    // plates make.
    let mut felt = DMatrix::<f64>::zeros(count, count);
    for plate in 0..count {
        let loaded: Vec<&Reading> = readings.iter().filter(|r| r.plate == Some(plate)).collect();
        for channel in 0..count {
            let sum: f64 = loaded.iter().map(|r| (r.counts[channel] - tare[channel]) / r.load_g).sum();
            felt[(channel, plate)] = sum / loaded.len() as f64;
        }
    }
    let strongest =
        |plate: usize| (0..count).max_by(|a, b| felt[(*a, plate)].abs().total_cmp(&felt[(*b, plate)].abs()));
    let mut usual: Vec<f64> = (0..count).filter_map(|p| strongest(p).map(|c| felt[(c, p)].abs())).collect();
    usual.sort_by(f64::total_cmp);
    let usual = usual[usual.len() / 2];
    let mut faults = Vec::new();
    for plate in 0..count {
        let Some(channel) = strongest(plate) else { continue };
        let name = &plates[plate];
        // A dead cell leaves its neighbours' leaks, a small part of what a cell of its own would feel.
        if felt[(channel, plate)].abs() * FEELS < usual
            || (felt[(plate, plate)].abs() * FEELS < usual && !answers_elsewhere(&felt, plate, usual))
        {
            faults.push(format!(
                "plate {name} is dead: no channel of its own moves under a load; check cell and cable"
            ));
        } else if channel != plate {
            if strongest(channel) == Some(plate) {
                if channel > plate {
                    faults.push(format!(
                        "plates {name} and {} are swapped: exchange their cables",
                        plates[channel]
                    ));
                }
            } else {
                faults.push(format!("plate {name} is wired to channel {}: move its cable", plates[channel]));
            }
        } else if felt[(plate, plate)] < 0.0 {
            faults.push(format!(
                "plate {name} counts backwards under a load: exchange its two signal wires, or turn its cell over"
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(ShelfError::Wiring(faults)) }
}

/// Does another channel feel this plate's load as a cell of its own does?
fn answers_elsewhere(felt: &DMatrix<f64>, plate: usize, usual: f64) -> bool {
    (0..felt.nrows()).any(|c| c != plate && felt[(c, plate)].abs() > 0.5 * usual)
}

fn warnings(plates: &[String], readings: &[Reading], fit: &ShelfFit) -> Vec<String> {
    let mut warnings = Vec::new();
    for (plate, name) in plates.iter().enumerate() {
        let mut shares: Vec<(f64, f64)> = Vec::new();
        for r in readings.iter().filter(|r| r.plate == Some(plate)) {
            if let Some(grams) = fit.grams(&r.counts, r.temperature_c) {
                shares.push((r.load_g, grams[plate] / r.load_g));
            }
        }
        let (lightest, heaviest) =
            shares.iter().fold((f64::MAX, 0.0_f64), |(a, b), s| (a.min(s.0), b.max(s.0)));
        if lightest >= heaviest {
            warnings.push(format!(
                "plate {name} bore one weight only: a second one would show whether it is linear"
            ));
            continue;
        }
        let worst = shares.iter().map(|s| (s.1 - 1.0).abs()).fold(0.0, f64::max);
        if worst > LINEAR_SHARE {
            warnings.push(format!(
                "plate {name} reads {:.2} % wrong with one of its weights: does something touch it?",
                worst * 100.0
            ));
        }
    }
    if fit.counts_a_degree.is_none() {
        warnings.push(format!(
            "what the temperature does is not known: walk again when it is {MIN_WARMTH_C} degrees warmer or colder, and \
             put both walks into one file"
        ));
    }
    warnings
}
