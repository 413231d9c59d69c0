//! `order` and `instantActions`: what master control tells a robot.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Header, Message};

/// Drive along these nodes and edges, and do this there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Header.
    #[serde(flatten)]
    pub header: Header,
    /// Names the order; all its updates have the same.
    pub order_id: String,
    /// Number of the update, from 0.
    pub order_update_id: u32,
    /// Zones to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_set_id: Option<String>,
    /// Nodes, in the order in which they are reached.
    pub nodes: Vec<Node>,
    /// The edges between them.
    pub edges: Vec<Edge>,
}

impl Message for Order {
    fn header(&self) -> Option<&Header> {
        Some(&self.header)
    }
}

/// A place on the way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Which node of the map.
    pub node_id: String,
    /// Its place in the order: nodes are even, edges odd.
    pub sequence_id: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_description: Option<String>,
    /// Part of the base? Otherwise of the horizon.
    pub released: bool,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_position: Option<NodePosition>,
    /// What to do there.
    pub actions: Vec<Action>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Orientation, radians, -π to π.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// How far off still counts as there, metres.
    #[serde(default, rename = "allowedDeviationXY", skip_serializing_if = "Option::is_none")]
    pub allowed_deviation_xy: Option<f64>,
    /// How far the orientation may be off, radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_deviation_theta: Option<f64>,
    /// On which map.
    pub map_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_description: Option<String>,
}

/// A way from one node to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Which edge of the map.
    pub edge_id: String,
    /// Its place in the order.
    pub sequence_id: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_description: Option<String>,
    /// Part of the base?
    pub released: bool,
    /// From which node.
    pub start_node_id: String,
    /// To which node.
    pub end_node_id: String,
    /// No faster, metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_speed: Option<f64>,
    /// No higher, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_height: Option<f64>,
    /// Load handling no lower, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_height: Option<f64>,
    /// Orientation on the edge, radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<f64>,
    /// `GLOBAL` or `TANGENTIAL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation_type: Option<String>,
    /// For guided vehicles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// May it turn on the edge?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_allowed: Option<bool>,
    /// Turn no faster, radians a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rotation_speed: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// The curve to drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
    /// How far it may swerve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corridor: Option<Corridor>,
    /// What to do on the way.
    pub actions: Vec<Action>,
}

/// A curve (NURBS).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trajectory {
    /// Degree, at least 1.
    pub degree: u32,
    /// Knots, 0 to 1.
    pub knot_vector: Vec<f64>,
    /// Control points.
    pub control_points: Vec<ControlPoint>,
}

/// A control point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ControlPoint {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// How strongly it pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// How far a robot may swerve from an edge to get around something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Corridor {
    /// To the left, metres.
    pub left_width: f64,
    /// To the right, metres.
    pub right_width: f64,
    /// What of the robot must stay within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corridor_ref_point: Option<CorridorRefPoint>,
}

/// What of a robot must stay within a corridor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CorridorRefPoint {
    /// Its kinematic centre.
    KinematicCenter,
    /// All of it.
    Contour,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What: `pick`, `drop`, `startCharging`...
    pub action_type: String,
    /// Names this very action; its state carries the same.
    pub action_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_description: Option<String>,
    /// What may go on beside it.
    pub blocking_type: BlockingType,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_parameters: Vec<ActionParameter>,
}

impl Action {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, key: &str) -> Option<&Value> {
        self.action_parameters.iter().find(|p| p.key == key).map(|p| &p.value)
    }
}

/// What may go on beside an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BlockingType {
    /// Driving and other actions.
    None,
    /// Other actions, no driving.
    Soft,
    /// Nothing.
    Hard,
}

/// What an action is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionParameter {
    /// Its name.
    pub key: String,
    /// Its value: anything but null.
    pub value: Value,
}

impl ActionParameter {
    /// A name and a value.
    #[must_use]
    pub fn new(key: &str, value: impl Into<Value>) -> Self {
        Self { key: key.to_owned(), value: value.into() }
    }
}

/// Do this at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstantActions {
    /// Header.
    #[serde(flatten)]
    pub header: Header,
    /// What to do.
    pub actions: Vec<Action>,
    /// The same under the name that version 2.0 had for it; empty for robots that speak 2.1.
    #[serde(default, rename = "instantActions", skip_serializing_if = "Vec::is_empty")]
    pub instant_actions: Vec<Action>,
}

impl InstantActions {
    /// For a robot of the header's version.
    #[must_use]
    pub fn new(header: Header, actions: Vec<Action>) -> Self {
        let old = header.version.starts_with("2.0");
        Self { header, instant_actions: if old { actions.clone() } else { Vec::new() }, actions }
    }
}

impl Message for InstantActions {
    fn header(&self) -> Option<&Header> {
        Some(&self.header)
    }
}
