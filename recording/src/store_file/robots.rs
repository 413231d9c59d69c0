//! `[robots]`: where robots drive, and which there are.
//!
//! The nodes and edges must make a road map on which robots cannot block each other for good; why one is refused is
//! said by [`RoadMap`](linefree_domain::fulfilment::road_map::RoadMap).

use std::collections::BTreeMap;

use linefree_domain::fulfilment::road_map::{MapError, Node as RoadNode, Place};
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::{Bay, RobotFloor, RobotPost, Station};

use super::layout::{filled, point};
use super::live::above_zero;
use super::source::whole;
use crate::toml_walk::{Node, Table};

/// First level of robots' topics unless `interface` says otherwise: what VDA 5050 proposes.
const DEFAULT_INTERFACE: &str = "uagv";
/// A robot of 0.6 m with a hand's breadth around it.
const DEFAULT_APART_M: f64 = 0.7;
const DEFAULT_SPEED_M_S: f64 = 1.2;
const DEFAULT_SLOW_M_S: f64 = 0.4;
const DEFAULT_SLOW_WITHIN_M: f64 = 1.5;
const DEFAULT_STAFF_AFTER: u32 = 3;

pub(super) fn read(
    root: &mut Table<'_>,
    store: Option<&str>,
    plates: &BTreeMap<&str, PlateIndex>,
) -> Option<RobotFloor> {
    let node = root.get("robots")?;
    let mut t = node.table("[robots] with single brackets")?;
    let mut nodes = Nodes::default();
    for (node, mut table) in t.tables("node") {
        nodes.read(&node, &mut table, plates);
        table.finish();
    }
    let edges_node = t.need("edges", "list the pairs of nodes between which robots drive: [[\"a\", \"b\"]]");
    let edges = edges_node.as_ref().map(|n| nodes.edges(n)).unwrap_or_default();
    let mut robots: Vec<RobotPost> = Vec::new();
    for (node, mut table) in t.tables("robot") {
        robots.extend(read_robot(&node, &mut table, &nodes, &robots));
        table.finish();
    }
    let number = |node: Option<Node<'_>>, what: &str, default: f64| {
        node.and_then(|n| above_zero(&n, what)).unwrap_or(default)
    };
    let topic_level = |n: Node<'_>| level(&n);
    let counted = |node: Option<Node<'_>>, most: u32, wanted: &str, default: u32| {
        node.and_then(|n| whole(&n, 1, most, wanted)).unwrap_or(default)
    };
    let floor = RobotFloor {
        interface: t.get("interface").and_then(topic_level).unwrap_or_else(|| DEFAULT_INTERFACE.to_owned()),
        map: t
            .get("map")
            .and_then(|n| filled(&n, "the name of the map on the robots"))
            .unwrap_or_else(|| store.unwrap_or_default().to_owned()),
        apart_m: number(t.get("apart_m"), "metres", DEFAULT_APART_M),
        speed_m_s: number(t.get("speed_m_s"), "metres a second", DEFAULT_SPEED_M_S),
        slow_m_s: number(t.get("slow_m_s"), "metres a second", DEFAULT_SLOW_M_S),
        slow_within_m: number(t.get("slow_within_m"), "metres", DEFAULT_SLOW_WITHIN_M),
        totes: counted(t.get("totes"), 16, "how many tasks a robot takes along", 1) as usize,
        staff_after: counted(t.get("staff_after"), 100, "a number of failures", DEFAULT_STAFF_AFTER),
        nodes: nodes.nodes,
        edges,
        bays: nodes.bays,
        stations: nodes.stations,
        robots,
    };
    if floor.slow_m_s > floor.speed_m_s {
        let at = t.get("slow_m_s").or_else(|| t.get("speed_m_s"));
        let at = at.as_ref().unwrap_or(&node);
        at.mistake("slow_m_s is faster than speed_m_s", "make slow_m_s a speed for where people are");
    }
    let whole = nodes.whole && edges_node.is_some();
    if whole && let Err(error) = floor.road_map() {
        let remedy = match error {
            MapError::NotAnEnd(_) => "join it to one lane node by one edge; put a lane node before it",
            MapError::Apart(_) => "add the edge that is missing, or remove the node",
            MapError::TooNear(..) => "move one of them, or correct apart_m",
            MapError::Crossing(..) => "put a lane node where they cross and join all four ends to it",
            MapError::Narrow(..) => "move the node or the edge, or correct apart_m",
            MapError::Nowhere(_) => "write its place in metres",
            MapError::SameName(_) | MapError::NoSuchNode(..) => "correct the node or edge",
        };
        edges_node.as_ref().unwrap_or(&node).mistake(error.to_string(), remedy);
    }
    t.finish();
    Some(floor)
}

/// Nodes as they are read.
struct Nodes {
    nodes: Vec<RoadNode>,
    bays: Vec<Bay>,
    stations: Vec<Station>,
    whole: bool,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { nodes: Vec::new(), bays: Vec::new(), stations: Vec::new(), whole: true }
    }
}

impl Nodes {
    fn find(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.id == id)
    }

    fn read(&mut self, node: &Node<'_>, t: &mut Table<'_>, plates: &BTreeMap<&str, PlateIndex>) {
        let id_node = t.need("id", "name the node, for example id = \"aisle1-3\"");
        let id = id_node.as_ref().and_then(level);
        let at = t.need("at", "write where it is, in metres: at = [1.5, 2]").and_then(|n| point(&n));
        let place = match t.get("place") {
            None => Some(Place::Lane),
            Some(n) => n.str("\"lane\", \"bay\" or \"home\"").and_then(|text| match text {
                "lane" => Some(Place::Lane),
                "bay" => Some(Place::Bay),
                "home" => Some(Place::Home),
                _ => {
                    n.mistake(format!("{text:?} is no kind of place"), "write \"lane\", \"bay\" or \"home\"");
                    None
                }
            }),
        };
        let reached = t.get("plates").map(|n| read_plates(&n, plates));
        let station = t.get("station").and_then(|n| filled(&n, "a station's name"));
        if place.is_some_and(|p| p != Place::Bay) && (reached.is_some() || station.is_some()) {
            node.mistake(
                "has plates or a station and is no bay",
                "write place = \"bay\": robots stand still there",
            );
        }
        if let (Some(id), Some(n)) = (&id, &id_node)
            && self.find(id).is_some()
        {
            n.mistake(format!("{id:?} is the id of an earlier node"), "give every node its own id");
            self.whole = false;
            return;
        }
        let (Some(id), Some(at), Some(place)) = (id, at, place) else {
            self.whole = false;
            return;
        };
        let here = self.nodes.len();
        self.nodes.push(RoadNode { id, at, place });
        if let Some(plates) = reached {
            self.bays.push(Bay { node: here, plates });
        }
        self.stations.extend(station.map(|name| Station { name, node: here }));
    }

    fn known(&self, node: &Node<'_>) -> Option<usize> {
        let id = node.str("the id of a node")?;
        let found = self.find(id);
        if found.is_none() && self.whole {
            node.mistake(format!("no node is called {id:?}"), "write the id of a [[robots.node]]");
        }
        found
    }

    fn edges(&mut self, node: &Node<'_>) -> Vec<(usize, usize)> {
        let wanted = "a list of pairs of nodes: [[\"a\", \"b\"], [\"b\", \"c\"]]";
        let Some(pairs) = node.array(wanted) else { return Vec::new() };
        let mut edges = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let Some(ends) = pair.array("two ids of nodes: [\"a\", \"b\"]") else {
                self.whole = false;
                continue;
            };
            let [a, b] = ends.as_slice() else {
                pair.mistake(format!("has {} ends", ends.len()), "write two ids of nodes: [\"a\", \"b\"]");
                self.whole = false;
                continue;
            };
            match (self.known(a), self.known(b)) {
                (Some(a), Some(b)) if a != b => edges.push((a, b)),
                (Some(_), Some(_)) => {
                    pair.mistake("joins a node to itself", "write two different nodes");
                    self.whole = false;
                }
                _ => self.whole = false,
            }
        }
        edges
    }
}

/// What can stand in a topic and in an id of VDA 5050 (chapter 6.1.2).
fn level(node: &Node<'_>) -> Option<String> {
    let text = filled(node, "a short name")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if text.len() > 64 || !text.chars().all(fits) {
        node.mistake(
            format!("{text:?} cannot stand in a message to robots"),
            "use up to 64 of A-Z a-z 0-9 _ . : -",
        );
        return None;
    }
    Some(text)
}

fn read_plates(node: &Node<'_>, plates: &BTreeMap<&str, PlateIndex>) -> Vec<PlateIndex> {
    let items = node.array("a list of plates: [\"1/2/3\"]").unwrap_or_default();
    let known = |n: &Node<'_>| {
        let id = n.str("the id of a plate")?;
        let found = plates.get(id).copied();
        if found.is_none() {
            n.mistake(
                format!("no plate is called {id:?}"),
                "write gondola/shelf/plate, as in [[gondola.shelf]]",
            );
        }
        found
    };
    items.iter().filter_map(known).collect()
}

fn read_robot(node: &Node<'_>, t: &mut Table<'_>, nodes: &Nodes, earlier: &[RobotPost]) -> Option<RobotPost> {
    let manufacturer =
        t.need("manufacturer", "write the manufacturer as in the robot's topics").and_then(|n| level(&n));
    let serial = t.need("serial", "write the serial number as in the robot's topics").and_then(|n| level(&n));
    let home_node = t.need("home", "write the id of the node where it rests and charges");
    let home = home_node.as_ref().and_then(|n| nodes.known(n));
    let load_type = t.get("load_type").and_then(|n| filled(&n, "a type of load"));
    let post = RobotPost { manufacturer: manufacturer?, serial: serial?, home: home?, load_type };
    if earlier.iter().any(|r| (&r.manufacturer, &r.serial) == (&post.manufacturer, &post.serial)) {
        node.mistake("is an earlier robot again", "keep one of the two");
        return None;
    }
    let home_node = home_node?;
    if nodes.nodes.get(post.home).is_some_and(|n| n.place != Place::Home) {
        home_node.mistake("is no home", "write place = \"home\" at that node");
    }
    if earlier.iter().any(|r| r.home == post.home) {
        home_node.mistake("is the home of an earlier robot", "give each robot a home of its own");
    }
    Some(post)
}
