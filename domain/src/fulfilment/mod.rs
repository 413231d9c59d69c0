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
//! A fleet controller asks [`fleet::Fleet::assign`] who fetches what, [`tour::shortest`] where to begin, and the traffic
//! for the way; it tells vehicles what is released, and the traffic what vehicles report:
//!
//! ```
//! use linefree_domain::fulfilment::road_map::{Node, Place, RoadMap};
//! use linefree_domain::fulfilment::traffic::Traffic;
//! use nalgebra::Point2;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = |id: &str, x_m: f64, place| Node { id: id.into(), at: Point2::new(x_m, 0.0), place };
//! let nodes = vec![node("home", 0.0, Place::Home), node("aisle", 1.0, Place::Lane), node("bay", 2.0, Place::Bay)];
//! let map = RoadMap::new(nodes, &[(0, 1), (1, 2)], 0.7)?;
//! let mut traffic = Traffic::new(map, &[0], 1.2)?;
//! // A way to the bay; the closure says how long each edge takes now, slow zones included.
//! let way = traffic.send(0, 2, 0, &|_from, _to| 1_000_000)?;
//! assert_eq!(way.len(), 3);
//! // Both nodes are released: they go into the vehicle's order as its base.
//! assert_eq!(traffic.released(0), 2);
//! // The vehicle reports that it has left home for the aisle, and later that it is there.
//! traffic.leaves(0, 10_000)?;
//! let behind = traffic.arrives(0)?;
//! // Whoever is first there now may have more released.
//! assert_eq!((behind, traffic.first(behind)), (0, None));
//! # Ok(())
//! # }
//! ```
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
