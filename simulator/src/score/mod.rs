//! The engine against the truth: every scenario and seed through the real pipeline, and what came of it.

mod baseline;
mod metrics;
mod report;
mod run;

pub use baseline::baseline;
pub use metrics::{Figures, LineKey, Tally, Told, table};
pub use report::{Report, Row, worst};
pub use run::{Options, Outcome, run, seeds};
