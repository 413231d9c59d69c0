//! Configuration, planogram, policy and model, brought to the store's devices in stages.
//!
//! What the store is to run by is its server's store.toml with what the cloud's commands have put in force (catalogue,
//! planogram, policy, model roll-out). Whenever that changes, [`plan`] rolls it out as a numbered release, which
//! [`service`] signs and publishes to each device, retained. Devices decide for themselves
//! (`edge-agent`, `roles/release.rs`) and tell what they run by.
//!
//! Files, in `rollout/` of the data folder: `plan.json` and the releases that may still be wanted, each replaced whole.
//! Nothing is published before it is on the disk. Every step stands in the audit log, written before it is taken; bad
//! news is also a fault `rollout-N / rolled_back` or `refused`, which staff and the cloud hear of.

pub mod content;
pub mod plan;
pub mod service;

pub use service::{Heard, RolloutDesk, RolloutSettings, RolloutView, RunningRollout};
