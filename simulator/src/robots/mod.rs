//! Robots that pick online orders among shoppers: a store, its demand, and what comes of it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`floor`] | the store: halls of aisles, bays, counters, homes |
//! | [`crowd`] | shoppers |
//! | [`bodies`] | where robots physically are: counts collisions and who is stuck, and knows nothing of reservations |
//! | [`roads`] | what robots keep to: the real traffic, or none, to see that mistakes are noticed |
//! | [`run`] | one simulated stretch of hours |
//! | `work` | what each robot and the member of staff do next |
//! | [`report`] | stretches side by side, tables |
//! | `curve` | the picture of larger fleets |
//! | [`command`] | `simulator robots` |
//!
//! The traffic and the dispatcher are the real ones of `linefree_domain::fulfilment`; robots, people, pick times,
//! faults and batteries are made up here.

pub mod bodies;
pub mod command;
pub mod crowd;
mod curve;
pub mod floor;
pub mod report;
pub mod roads;
pub mod run;
mod work;
