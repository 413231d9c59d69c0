//! Stores, shoppers and sensors with ground truth: what recordings are made of.
//!
//! | module | what it makes |
//! | --- | --- |
//! | [`load_cell`] | plate weights with the noise of real shelves, from what was handled when |
//! | [`script`] | who takes and puts what when; the receipts that follow from it |
//! | [`plaza`] | the recording of the PETS09-S2L1 clip, checked against the clip's ground truth |
//! | [`nanostore`] | the recording of a real walk-out store, from its published data |
//!
//! Everything random is drawn from seeded ChaCha streams, one for each plate and each handling, so that the same
//! script gives the same bytes and a change to one plate leaves the others as they were.

pub mod load_cell;
pub mod nanostore;
pub mod plaza;
pub mod script;
