//! `state`, `visualization` and `connection`: what a robot tells while it runs.

use serde::{Deserialize, Serialize};

use super::order::Trajectory;
use super::{Header, Message};

/// How a robot is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Header.
    #[serde(flatten)]
    pub header: Header,
    /// Maps on the robot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<Map>,
    /// The order that it has or had last; empty for none.
    pub order_id: String,
    /// The newest update of it that was accepted.
    pub order_update_id: u32,
    /// Zones in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_set_id: Option<String>,
    /// The last node that was reached; empty when there was none.
    pub last_node_id: String,
    /// Its place in the order.
    pub last_node_sequence_id: u32,
    /// Is it moving?
    pub driving: bool,
    /// Is it paused?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// It nears the end of its base and would like more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_base_request: Option<bool>,
    /// Metres since the last node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_since_last_node: Option<f64>,
    /// Who drives it.
    pub operating_mode: OperatingMode,
    /// Nodes still to come.
    pub node_states: Vec<NodeState>,
    /// Edges still to come.
    pub edge_states: Vec<EdgeState>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agv_position: Option<AgvPosition>,
    /// How it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub velocity: Option<Velocity>,
    /// What it carries; `None` when it cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads: Option<Vec<Load>>,
    /// How far its actions are.
    pub action_states: Vec<ActionState>,
    /// Its battery.
    pub battery_state: BatteryState,
    /// What is wrong with it.
    pub errors: Vec<Error>,
    /// What it says for people; never used for decisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub information: Vec<Info>,
    /// Its safety.
    pub safety_state: SafetyState,
}

impl Message for State {
    fn header(&self) -> Option<&Header> {
        Some(&self.header)
    }
}

impl State {
    /// Has it neither nodes to reach nor actions to end? (The standard's figure 8, step 3.)
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.node_states.is_empty() && self.action_states.iter().all(|a| a.action_status.is_over())
    }

    /// How far an action is.
    #[must_use]
    pub fn action(&self, action_id: &str) -> Option<&ActionState> {
        self.action_states.iter().find(|a| a.action_id == action_id)
    }
}

/// A map on a robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Which.
    pub map_id: String,
    /// Its version.
    pub map_version: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_description: Option<String>,
    /// Is it in use?
    pub map_status: MapStatus,
}

/// Is a map in use?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MapStatus {
    /// Yes.
    Enabled,
    /// No.
    Disabled,
}

/// Who drives a robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperatingMode {
    /// Master control.
    Automatic,
    /// Master control, at a speed that a person sets.
    SemiAutomatic,
    /// A person.
    Manual,
    /// A technician.
    Service,
    /// It is being taught.
    TeachIn,
}

/// A node still to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Which.
    pub node_id: String,
    /// Its place in the order.
    pub sequence_id: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_description: Option<String>,
    /// Part of the base?
    pub released: bool,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_position: Option<StatePosition>,
}

/// Where a node still to come is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatePosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// On which map.
    pub map_id: String,
}

/// An edge still to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeState {
    /// Which.
    pub edge_id: String,
    /// Its place in the order.
    pub sequence_id: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_description: Option<String>,
    /// Part of the base?
    pub released: bool,
    /// The curve that it drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
}

/// Where a robot is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgvPosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians.
    pub theta: f64,
    /// On which map.
    pub map_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_description: Option<String>,
    /// Does it know where it is?
    pub position_initialized: bool,
    /// How sure it is, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localization_score: Option<f64>,
    /// How far it may be off, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation_range: Option<f64>,
}

/// How a robot moves, in its own coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Velocity {
    /// Ahead, metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vx: Option<f64>,
    /// Sideways, metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vy: Option<f64>,
    /// Turning, radians a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
}

/// Something that a robot carries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_id: Option<String>,
    /// What kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_type: Option<String>,
    /// Where on the robot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_position: Option<String>,
    /// Where the middle of its bottom is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounding_box_reference: Option<BoundingBoxReference>,
    /// How large it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_dimensions: Option<LoadDimensions>,
    /// Kilograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// Where a load's box is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBoxReference {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Metres.
    pub z: f64,
    /// Radians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
}

/// How large a load is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadDimensions {
    /// Metres.
    pub length: f64,
    /// Metres.
    pub width: f64,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<f64>,
}

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionState {
    /// Which.
    pub action_id: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_description: Option<String>,
    /// How far it is.
    pub action_status: ActionStatus,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_description: Option<String>,
}

/// How far an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionStatus {
    /// Its node or edge is not reached yet.
    Waiting,
    /// It begins.
    Initializing,
    /// It goes on.
    Running,
    /// It is interrupted. Only read: the schema does not have it.
    Paused,
    /// It is done.
    Finished,
    /// It could not be done.
    Failed,
}

impl ActionStatus {
    /// Finished or failed?
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed)
    }
}

/// A robot's battery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatteryState {
    /// Percent.
    pub battery_charge: f64,
    /// Volts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery_voltage: Option<f64>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery_health: Option<f64>,
    /// Is it being charged?
    pub charging: bool,
    /// Metres that it lasts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<f64>,
}

/// What is wrong with a robot, or with what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    /// Which error.
    pub error_type: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_references: Vec<ErrorReference>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<String>,
    /// Can it go on?
    pub error_level: ErrorLevel,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReference {
    /// Kind of thing: `orderId`, `nodeId`...
    pub reference_key: String,
    /// Which one.
    pub reference_value: String,
}

/// Can a robot go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ErrorLevel {
    /// Yes.
    Warning,
    /// Not without a person.
    Fatal,
}

/// Something that a robot says for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Which.
    pub info_type: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info_references: Vec<ErrorReference>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_description: Option<String>,
    /// For whom.
    pub info_level: InfoLevel,
}

/// For whom an information is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InfoLevel {
    /// For displays.
    Info,
    /// For technicians.
    Debug,
}

/// A robot's safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SafetyState {
    /// Is it stopped for an emergency, and who may let it go on?
    pub e_stop: EStop,
    /// Is somebody in its protective field?
    pub field_violation: bool,
}

/// How an emergency stop is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EStop {
    /// By itself.
    AutoAck,
    /// At the robot.
    Manual,
    /// From afar.
    Remote,
    /// There is none.
    None,
}

/// Where a robot is and how it moves. Everything is optional in the standard, the header too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visualization {
    /// Header.
    #[serde(flatten)]
    pub header: Option<Header>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agv_position: Option<AgvPosition>,
    /// How it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub velocity: Option<Velocity>,
}

impl Message for Visualization {
    fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }
}

/// Is a robot connected?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Header.
    #[serde(flatten)]
    pub header: Header,
    /// Is it?
    pub connection_state: ConnectionState,
}

impl Message for Connection {
    fn header(&self) -> Option<&Header> {
        Some(&self.header)
    }
}

/// Is a robot connected?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionState {
    /// Yes.
    Online,
    /// No, and it said so.
    Offline,
    /// No; the broker says so with its last will.
    ConnectionBroken,
}
