//! Robots on the shop floor: where they may drive, who goes first, and who fetches what.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`road_map`] | nodes and edges on which robots drive, checked to be well formed |
//! | [`traffic`] | reservations of nodes: plans without collision, releases without deadlock |
//! | [`search`] | the way through the gaps that other robots leave: safe interval path planning |
//! | [`dispatch`] | which orders one robot takes next, by three rules |
//! | [`fleet`] | which robot takes which orders, all of them looked at together |
//! | [`tour`] | the way through several bays to a counter |
//!
//! Limits: a robot holds one node, or both ends of the edge that it is on. It rests only in bays and at home. What
//! happens on failure is stated at [`traffic`]. The methods and their measured figures are in
//! `docs/design/fulfilment.md`.

pub mod dispatch;
pub mod fleet;
pub mod road_map;
pub mod search;
pub mod tour;
pub mod traffic;
