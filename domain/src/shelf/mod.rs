//! Plate weights into shelf events: lifts and puts with their uncertainty.
//!
//! Absolute weights drift by grams over hours and differ from cell to cell, so only changes between settled levels
//! mean anything. [`plate::PlateDetector`] finds the changes of one plate; [`ShelfDetector`] joins changes of
//! neighbouring plates that overlap in time into one [`ShelfEvent`], since one item may rest on several plates.
//!
//! Rates from 5 to 200 samples a second, with jitter. A NaN or absurd weight is a [`PlateFault`], is counted and
//! never moves a level; a change that happened while a plate was silent is found when it speaks again.

mod crosstalk;
mod detector;
mod plate;

pub use crosstalk::{CrosstalkFilter, ShelfMixing};
pub use detector::{PlateFault, PlateFaultKind, ShelfConfig, ShelfCounters, ShelfDetector};
pub use plate::{PlateChange, PlateConfig, PlateDetector};

use crate::ids::PlateIndex;
use crate::time::StoreTime;

/// Weights of plates at one moment. A NaN is a fault of the plate; plates without a sample are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSample {
    /// When.
    pub time: StoreTime,
    /// Which plate weighs how many grams; not zeroed: only changes mean anything.
    pub weights_g: Vec<(PlateIndex, f64)>,
}

/// Something was lifted from or put onto one or several neighbouring plates.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfEvent {
    /// The plates that changed, in the order of the layout; never empty.
    pub changes: Vec<PlateChange>,
}

impl ShelfEvent {
    /// When handling began on the first of its plates.
    #[must_use]
    pub fn start(&self) -> StoreTime {
        self.changes.iter().map(|c| c.start).min().unwrap_or_default()
    }

    /// When the last of its plates had settled.
    #[must_use]
    pub fn end(&self) -> StoreTime {
        self.changes.iter().map(|c| c.end).max().unwrap_or_default()
    }

    /// Change over all its plates, grams: negative for a lift.
    #[must_use]
    pub fn delta_g(&self) -> f64 {
        self.changes.iter().map(|c| c.delta_g).sum()
    }

    /// Standard deviation of [`Self::delta_g`], grams; the plates' errors are independent.
    #[must_use]
    pub fn sd_g(&self) -> f64 {
        self.changes.iter().map(|c| c.sd_g * c.sd_g).sum::<f64>().sqrt()
    }
}
