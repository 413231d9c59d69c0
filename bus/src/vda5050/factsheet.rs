//! `factsheet`: what a robot says about its kind.
//!
//! Master control uses what decides whether an order can be carried out: the actions that the robot knows, its size and
//! speed, the types of its loads and the lengths of messages that it can take. The rest is kept for people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::order::BlockingType;
use super::state::{BoundingBoxReference, LoadDimensions};
use super::{Header, Message};

/// What a robot says about its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Factsheet {
    /// Header.
    #[serde(flatten)]
    pub header: Header,
    /// What class of robot it is.
    pub type_specification: TypeSpecification,
    /// How large and fast it is.
    pub physical_parameters: PhysicalParameters,
    /// How long messages may be.
    pub protocol_limits: ProtocolLimits,
    /// What it can do.
    pub protocol_features: ProtocolFeatures,
    /// Its outline.
    pub agv_geometry: AgvGeometry,
    /// What it can carry.
    pub load_specification: LoadSpecification,
    /// What runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_config: Option<VehicleConfig>,
}

/// What class of robot it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeSpecification {
    /// Name of its series.
    pub series_name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_description: Option<String>,
    /// How it moves.
    pub agv_kinematic: AgvKinematic,
    /// What it is for.
    pub agv_class: AgvClass,
    /// Kilograms.
    pub max_load_mass: f64,
    /// How it finds its place.
    pub localization_types: Vec<LocalizationType>,
    /// How it finds its way, the preferred one first.
    pub navigation_types: Vec<NavigationType>,
}

/// How large and fast a robot is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhysicalParameters {
    /// Metres a second.
    pub speed_min: f64,
    /// Metres a second.
    pub speed_max: f64,
    /// Metres a second squared.
    pub acceleration_max: f64,
    /// Metres a second squared.
    pub deceleration_max: f64,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_min: Option<f64>,
    /// Metres.
    pub height_max: f64,
    /// Metres.
    pub width: f64,
    /// Metres.
    pub length: f64,
}

/// How long messages may be, and how frequent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolLimits {
    /// Longest texts.
    pub max_string_lens: MaxStringLens,
    /// Longest lists.
    pub max_array_lens: MaxArrayLens,
    /// How frequent messages are.
    pub timing: Timing,
}

/// Longest texts; 0 or absent: any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxStringLens {
    /// Of a message, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_len: Option<u64>,
    /// Of serial numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_serial_len: Option<u64>,
    /// Of other levels of topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_elem_len: Option<u64>,
    /// Of ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_len: Option<u64>,
    /// Are ids numbers only?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_numerical_only: Option<bool>,
    /// Of enumerations and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enum_len: Option<u64>,
    /// Of ids of loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_id_len: Option<u64>,
}

/// Longest lists; 0 or absent: any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxArrayLens {
    /// Nodes of an order.
    #[serde(default, rename = "order.nodes", skip_serializing_if = "Option::is_none")]
    pub order_nodes: Option<u64>,
    /// Edges of an order.
    #[serde(default, rename = "order.edges", skip_serializing_if = "Option::is_none")]
    pub order_edges: Option<u64>,
    /// Actions at a node.
    #[serde(default, rename = "node.actions", skip_serializing_if = "Option::is_none")]
    pub node_actions: Option<u64>,
    /// Actions on an edge.
    #[serde(default, rename = "edge.actions", skip_serializing_if = "Option::is_none")]
    pub edge_actions: Option<u64>,
    /// Parameters of an action.
    #[serde(default, rename = "actions.actionsParameters", skip_serializing_if = "Option::is_none")]
    pub actions_actions_parameters: Option<u64>,
    /// Instant actions of a message.
    #[serde(default, rename = "instantActions", skip_serializing_if = "Option::is_none")]
    pub instant_actions: Option<u64>,
    /// Knots of a curve.
    #[serde(default, rename = "trajectory.knotVector", skip_serializing_if = "Option::is_none")]
    pub trajectory_knot_vector: Option<u64>,
    /// Control points of a curve.
    #[serde(default, rename = "trajectory.controlPoints", skip_serializing_if = "Option::is_none")]
    pub trajectory_control_points: Option<u64>,
    /// Nodes in a state.
    #[serde(default, rename = "state.nodeStates", skip_serializing_if = "Option::is_none")]
    pub state_node_states: Option<u64>,
    /// Edges in a state.
    #[serde(default, rename = "state.edgeStates", skip_serializing_if = "Option::is_none")]
    pub state_edge_states: Option<u64>,
    /// Loads in a state.
    #[serde(default, rename = "state.loads", skip_serializing_if = "Option::is_none")]
    pub state_loads: Option<u64>,
    /// Actions in a state.
    #[serde(default, rename = "state.actionStates", skip_serializing_if = "Option::is_none")]
    pub state_action_states: Option<u64>,
    /// Errors in a state.
    #[serde(default, rename = "state.errors", skip_serializing_if = "Option::is_none")]
    pub state_errors: Option<u64>,
    /// Information in a state.
    #[serde(default, rename = "state.information", skip_serializing_if = "Option::is_none")]
    pub state_information: Option<u64>,
    /// References of an error.
    #[serde(default, rename = "error.errorReferences", skip_serializing_if = "Option::is_none")]
    pub error_error_references: Option<u64>,
    /// References of an information.
    #[serde(default, rename = "information.infoReferences", skip_serializing_if = "Option::is_none")]
    pub information_info_references: Option<u64>,
}

/// How frequent messages are, seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// Between two orders at least.
    pub min_order_interval: f64,
    /// Between two states at least.
    pub min_state_interval: f64,
    /// Between two states where nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_state_interval: Option<f64>,
    /// Between two positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visualization_interval: Option<f64>,
}

/// What a robot can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolFeatures {
    /// Which optional fields it wants or knows.
    pub optional_parameters: Vec<OptionalParameter>,
    /// Which actions it knows.
    pub agv_actions: Vec<AgvAction>,
}

/// An optional field that a robot wants or knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionalParameter {
    /// Which, `order.nodes.nodePosition` for example.
    pub parameter: String,
    /// Wants or knows?
    pub support: Support,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An action that a robot knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgvAction {
    /// Which.
    pub action_type: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_description: Option<String>,
    /// Where it can be asked for.
    pub action_scopes: Vec<ActionScope>,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_parameters: Vec<AgvActionParameter>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_description: Option<String>,
    /// What may go on beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking_types: Vec<BlockingType>,
}

/// What an action can be given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgvActionParameter {
    /// Its name.
    pub key: String,
    /// Its type.
    pub value_data_type: ValueDataType,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// May it be left out?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_optional: Option<bool>,
}

/// A robot's outline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgvGeometry {
    /// Its wheels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheel_definitions: Vec<WheelDefinition>,
    /// Its outlines from above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub envelopes2d: Vec<Envelope2d>,
    /// Its outlines in space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub envelopes3d: Vec<Envelope3d>,
}

/// A wheel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WheelDefinition {
    /// Which kind.
    #[serde(rename = "type")]
    pub wheel_type: WheelType,
    /// Is it driven?
    pub is_active_driven: bool,
    /// Is it steered?
    pub is_active_steered: bool,
    /// Where it is.
    pub position: WheelPosition,
    /// Metres.
    pub diameter: f64,
    /// Metres.
    pub width: f64,
    /// From the wheel's centre to its axis of rotation, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_displacement: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<String>,
}

/// Where a wheel is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WheelPosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
}

/// An outline from above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope2d {
    /// Its name.
    pub set: String,
    /// Its corners.
    pub polygon_points: Vec<PolygonPoint>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A corner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolygonPoint {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
}

/// An outline in space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope3d {
    /// Its name.
    pub set: String,
    /// Of the data.
    pub format: String,
    /// The data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// Where the data are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The schema says that it is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<i64>,
}

/// What a robot can carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadSpecification {
    /// Where on the robot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_positions: Vec<String>,
    /// What.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_sets: Vec<LoadSet>,
}

/// A kind of load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadSet {
    /// Its name.
    pub set_name: String,
    /// Its type.
    pub load_type: String,
    /// Where on the robot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_positions: Vec<String>,
    /// Where its box is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounding_box_reference: Option<BoundingBoxReference>,
    /// How large it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_dimensions: Option<LoadDimensions>,
    /// Kilograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_weight: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_loadhandling_height: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loadhandling_height: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_loadhandling_depth: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loadhandling_depth: Option<f64>,
    /// Radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_loadhandling_tilt: Option<f64>,
    /// Radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loadhandling_tilt: Option<f64>,
    /// Metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agv_speed_limit: Option<f64>,
    /// Metres a second squared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agv_acceleration_limit: Option<f64>,
    /// Metres a second squared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agv_deceleration_limit: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick_time: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_time: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What runs on a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VehicleConfig {
    /// Versions of what is on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionEntry>,
    /// How it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// The version of something on a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionEntry {
    /// Of what.
    pub key: String,
    /// Which.
    pub value: String,
}

/// How a robot is connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_ip_address: Option<String>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp_servers: Vec<String>,
    /// Its network's mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netmask: Option<String>,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_gateway: Option<String>,
}

/// How a robot moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AgvKinematic {
    /// Differential drive.
    Diff,
    /// Any way.
    Omni,
    /// Three wheels.
    ThreeWheel,
}

/// What a robot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AgvClass {
    /// Forks.
    Forklift,
    /// A conveyor on top.
    Conveyor,
    /// Tows.
    Tugger,
    /// Carries.
    Carrier,
}

/// How a robot finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LocalizationType {
    /// By what it sees.
    Natural,
    /// By reflectors.
    Reflector,
    /// By tags in the floor.
    Rfid,
    /// By codes.
    Dmc,
    /// By magnetic spots.
    Spot,
    /// By a magnetic grid.
    Grid,
}

/// How a robot finds its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NavigationType {
    /// By a line on the floor.
    PhysicalLineGuided,
    /// By the lines of a map.
    VirtualLineGuided,
    /// By itself.
    Autonomous,
}

/// How much a robot cares for an optional field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Support {
    /// Knows it.
    Supported,
    /// Wants it.
    Required,
}

/// Where an action can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionScope {
    /// At once.
    Instant,
    /// At a node.
    Node,
    /// On an edge.
    Edge,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValueDataType {
    /// Yes or no.
    Bool,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// A text.
    String,
    /// An object.
    Object,
    /// A list.
    Array,
}

/// Kind of a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WheelType {
    /// Drives.
    Drive,
    /// Follows.
    Caster,
    /// Stands.
    Fixed,
    /// Goes sideways.
    Mecanum,
}

impl Message for Factsheet {
    fn header(&self) -> Option<&Header> {
        Some(&self.header)
    }
}

impl Factsheet {
    /// Does the robot know this action in this scope?
    #[must_use]
    pub fn knows(&self, action_type: &str, scope: ActionScope) -> bool {
        let actions = self.protocol_features.agv_actions.iter();
        actions.filter(|a| a.action_type == action_type).any(|a| a.action_scopes.contains(&scope))
    }
}
