//! Where robots drive in a store, and which robots there are: `[robots]` of `store.toml`.

use crate::fulfilment::road_map::{MapError, Node, RoadMap};
use crate::ids::PlateIndex;

/// A resting place from which plates can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bay {
    /// Its position in [`RobotFloor::nodes`].
    pub node: usize,
    /// The plates.
    pub plates: Vec<PlateIndex>,
}

/// A resting place with a name, where goods are handed over or taken in. Several may have one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// What it is called: `counter`, `stock`...
    pub name: String,
    /// Its position in [`RobotFloor::nodes`].
    pub node: usize,
}

/// A robot of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotPost {
    /// Who made it: a level of its topics.
    pub manufacturer: String,
    /// Its serial number: a level of its topics.
    pub serial: String,
    /// Its own place, a position in [`RobotFloor::nodes`].
    pub home: usize,
    /// What it calls the loads that it takes; `None` for the first kind in its factsheet.
    pub load_type: Option<String>,
}

/// Where robots drive, and which there are.
#[derive(Debug, Clone, PartialEq)]
pub struct RobotFloor {
    /// First level of their topics.
    pub interface: String,
    /// What robots call the map of this floor.
    pub map: String,
    /// Nodes are at least so far apart, metres.
    pub apart_m: f64,
    /// Top speed, metres a second.
    pub speed_m_s: f64,
    /// Top speed where people are, metres a second.
    pub slow_m_s: f64,
    /// People nearer than this to an edge slow robots on it down, metres.
    pub slow_within_m: f64,
    /// How many orders a robot carries at once; any other task rides alone.
    pub totes: usize,
    /// After so many failed attempts a task is for staff.
    pub staff_after: u32,
    /// Places.
    pub nodes: Vec<Node>,
    /// Pairs of nodes between which robots drive, both ways.
    pub edges: Vec<(usize, usize)>,
    /// From where plates are reached.
    pub bays: Vec<Bay>,
    /// Where goods are handed over.
    pub stations: Vec<Station>,
    /// The robots.
    pub robots: Vec<RobotPost>,
}

impl RobotFloor {
    /// The road map, checked.
    ///
    /// # Errors
    /// [`MapError`] says what is wrong with it.
    pub fn road_map(&self) -> Result<RoadMap, MapError> {
        RoadMap::new(self.nodes.clone(), &self.edges, self.apart_m)
    }

    /// The bays from which a plate is reached.
    pub fn bays_of(&self, plate: PlateIndex) -> impl Iterator<Item = usize> + '_ {
        self.bays.iter().filter(move |b| b.plates.contains(&plate)).map(|b| b.node)
    }

    /// The nodes of a station.
    pub fn station<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.stations.iter().filter(move |s| s.name == name).map(|s| s.node)
    }
}
