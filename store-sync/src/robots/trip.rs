//! One trip of a robot, which is one order of VDA 5050: drive to a resting place and work there.
//!
//! The `sequenceId` of the trip's node `i` is `2 i`, of the edge behind it `2 i + 1`. What is in the base stays as it was
//! sent; an update holds the last node of the base, what has been added to the base, and the new horizon.

use linefree_bus::vda5050::Header;
use linefree_bus::vda5050::order::{Action, Edge, Node, NodePosition, Order};
use linefree_domain::fulfilment::road_map::RoadMap;
use nalgebra::Point2;

/// A robot stands on a node when it is so near, metres.
pub const ON_NODE_M: f64 = 0.3;

/// Why a robot drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To the next stop of its job.
    Job,
    /// To its home.
    Home,
    /// Along the way that is reserved for it, after its order was ended before its time.
    Clear,
    /// From where it was found to its home, while nobody else drives.
    Astray,
}

/// One trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Its order.
    pub order_id: String,
    /// The newest update that was sent.
    pub update_id: u32,
    /// Why.
    pub purpose: Purpose,
    /// Nodes of the map from the first to the resting place.
    pub nodes: Vec<usize>,
    /// How many of them are in the base.
    pub released: usize,
    /// The last one that the robot has reached.
    pub reached: usize,
    /// What to do at the first node.
    pub first: Vec<Action>,
    /// What to do at the last node.
    pub last: Vec<Action>,
    /// Where the robot stood at the beginning, when that was not on a node.
    pub from: Option<Point2<f64>>,
    /// What was sent last; `None` before the first message.
    pub sent: Option<Order>,
    /// When.
    pub sent_us: i64,
    /// How often.
    pub tries: u32,
    /// The robot's state has shown the order.
    pub accepted: bool,
    /// The robot's state has shown the newest update.
    pub confirmed: bool,
    /// Actions of the last node whose end has been dealt with.
    pub handled: Vec<String>,
    /// It is over for us: nothing more is released, and the order is called off as soon as that can be.
    pub void: bool,
    /// When the robot was sent out.
    pub began_us: i64,
    /// When its way was last looked for anew.
    pub planned_us: i64,
    /// When the robot last got on.
    pub moved_us: i64,
    /// Where it was then, as it says.
    pub moved_at: Option<Point2<f64>>,
}

/// What every message about a trip needs to know of the floor.
pub struct Ground<'g> {
    /// The map.
    pub map: &'g RoadMap,
    /// What robots call it.
    pub map_id: &'g str,
    /// How fast a robot may drive from one node to the next, metres a second.
    pub speed: &'g dyn Fn(usize, usize) -> f64,
}

impl Trip {
    /// Along some nodes, nothing sent yet.
    #[must_use]
    pub fn new(order_id: String, purpose: Purpose, nodes: Vec<usize>, now_us: i64) -> Self {
        Self {
            order_id,
            update_id: 0,
            purpose,
            nodes,
            released: 1,
            reached: 0,
            first: Vec::new(),
            last: Vec::new(),
            from: None,
            sent: None,
            sent_us: now_us,
            tries: 0,
            accepted: false,
            confirmed: false,
            handled: Vec::new(),
            void: false,
            began_us: now_us,
            planned_us: now_us,
            moved_us: now_us,
            moved_at: None,
        }
    }

    /// The resting place.
    #[must_use]
    pub fn goal(&self) -> Option<usize> {
        self.nodes.last().copied()
    }

    /// Is the robot where it was to go?
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.reached + 1 == self.nodes.len()
    }

    /// How long its way is, metres.
    #[must_use]
    pub fn length_m(&self, map: &RoadMap) -> f64 {
        self.nodes.windows(2).map(|w| map.far_m(w[1], w[0])).sum()
    }

    /// Makes the next message, with so many nodes in the base: the order itself, or an update of it.
    pub fn message(&mut self, ground: &Ground<'_>, released: usize, header: Header, now_us: i64) -> Order {
        let from = if self.sent.is_some() { self.released.saturating_sub(1) } else { 0 };
        if self.sent.is_some() {
            self.update_id += 1;
        }
        self.released = released.clamp(self.released, self.nodes.len());
        let order = Order {
            header,
            order_id: self.order_id.clone(),
            order_update_id: self.update_id,
            zone_set_id: None,
            nodes: (from..self.nodes.len()).map(|i| self.node(ground, i)).collect(),
            edges: (from..self.nodes.len().saturating_sub(1)).map(|i| self.edge(ground, i)).collect(),
        };
        self.sent = Some(order.clone());
        self.sent_us = now_us;
        self.tries = 1;
        self.confirmed = false;
        order
    }

    /// What a node is called in this order: one that the robot stands beside gets a name of its own.
    fn name(&self, ground: &Ground<'_>, i: usize) -> String {
        let id = self.nodes.get(i).and_then(|n| ground.map.nodes().get(*n)).map_or("", |n| n.id.as_str());
        if i == 0 && self.from.is_some() { format!("{id}-beside") } else { id.to_owned() }
    }

    fn node(&self, ground: &Ground<'_>, i: usize) -> Node {
        let at = self.nodes.get(i).and_then(|n| ground.map.nodes().get(*n)).map(|n| n.at);
        let at = if i == 0 { self.from.or(at) } else { at };
        let last = i + 1 == self.nodes.len();
        let mut actions = Vec::new();
        if i == 0 {
            actions.extend(self.first.iter().cloned());
        }
        if last {
            actions.extend(self.last.iter().cloned());
        }
        Node {
            node_id: self.name(ground, i),
            sequence_id: 2 * i as u32,
            node_description: None,
            released: i < self.released,
            node_position: at.map(|at| NodePosition {
                x: at.x,
                y: at.y,
                theta: None,
                allowed_deviation_xy: Some(if i == 0 || last { ON_NODE_M } else { 2.0 * ON_NODE_M }),
                allowed_deviation_theta: None,
                map_id: ground.map_id.to_owned(),
                map_description: None,
            }),
            actions,
        }
    }

    fn edge(&self, ground: &Ground<'_>, i: usize) -> Edge {
        let (from, to) = (self.name(ground, i), self.name(ground, i + 1));
        Edge {
            edge_id: format!("{from}:{to}"),
            sequence_id: 2 * i as u32 + 1,
            released: i + 1 < self.released,
            max_speed: Some((ground.speed)(self.nodes[i], self.nodes[i + 1])),
            start_node_id: from,
            end_node_id: to,
            ..Edge::default()
        }
    }

    /// Does the state's last node stand at this place of the trip?
    #[must_use]
    pub fn is_node(&self, map: &RoadMap, i: usize, node_id: &str) -> bool {
        let known = self.nodes.get(i).and_then(|n| map.nodes().get(*n)).is_some_and(|n| n.id == node_id);
        known || (i == 0 && self.from.is_some() && node_id.ends_with("-beside"))
    }
}
