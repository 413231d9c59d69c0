//! Plate weights into lift and put events.

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
