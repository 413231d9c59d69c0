//! Robots that pick online orders among shoppers: a store, its demand, and what comes of it.
//!
//! The traffic and the dispatcher are the real ones of `linefree_domain::fulfilment`; robots, people, pick times,
//! faults and batteries are made up here. The simulation keeps its own account of who is physically where and counts
//! every moment in which two robots have one node or one edge, so that a mistake of the traffic shows.

pub mod floor;
pub mod report;
pub mod run;
