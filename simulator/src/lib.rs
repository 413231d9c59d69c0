//! Stores, shoppers and sensors with ground truth: what recordings are made of.
//!
//! | module | what it makes |
//! | --- | --- |
//! | [`scenario`] | what happens: files that a store manager can read |
//! | [`stores`] | where: made-up stores, and the real nanostore |
//! | [`world`] | people among shelves, and the ledger of what their hands do |
//! | [`sensors`] | what cameras, gates and product vision make of it, with their errors and faults |
//! | [`simulation`] | all of that into a recording |
//! | [`mod@score`] | recordings through the real pipeline, and how right its receipts are |
//! | [`honesty`] | simulated shelf signals beside real ones |
//! | [`robots`] | robots that pick online orders among shoppers, with the real traffic and dispatcher |
//! | [`cli`] | the commands of scenarios |
//! | [`load_cell`] | plate weights with the noise of real shelves, from what was handled when |
//! | [`script`] | who takes and puts what when; the receipts that follow from it |
//! | [`plaza`] | the recording of the PETS09-S2L1 clip, checked against the clip's ground truth |
//! | [`amr`] | robots that speak VDA 5050 over MQTT |
//! | [`nanostore`] | the recording of a real walk-out store, from its published data |
//!
//! Everything random is drawn from seeded ChaCha streams, one for each plate and each handling, so that the same
//! script gives the same bytes and a change to one plate leaves the others as they were.

pub mod amr;
pub mod chance;
pub mod cli;
pub mod honesty;
pub mod load_cell;
pub mod nanostore;
pub mod obstacles;
pub mod plaza;
pub mod reorder;
pub mod robots;
pub mod scenario;
pub mod score;
pub mod script;
pub mod sensors;
pub mod simulation;
pub mod stores;
pub mod world;
