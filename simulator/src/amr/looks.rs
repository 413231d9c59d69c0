//! What a simulated robot says of itself.

use linefree_bus::vda5050::factsheet::*;
use linefree_bus::vda5050::state::*;
use linefree_bus::vda5050::{Header, VERSION};

use super::told::{AT_NODES, AT_ONCE};
use super::vehicle::{ACCELERATION_M_S2, Amr};

impl Amr {
    /// A header.
    #[must_use]
    pub fn header(&self, number: u32, now_us: i64) -> Header {
        Header::new(&self.id, VERSION, number, now_us)
    }

    fn position(&self) -> AgvPosition {
        let rounded = |m: f64| (m * 1e4).round() / 1e4;
        AgvPosition {
            x: rounded(self.at.x),
            y: rounded(self.at.y),
            theta: rounded(self.theta),
            map_id: self.map.clone(),
            map_description: None,
            position_initialized: self.located,
            localization_score: Some(1.0),
            deviation_range: None,
        }
    }

    fn velocity(&self) -> Velocity {
        Velocity { vx: Some(self.speed_m_s), vy: Some(0.0), omega: Some(0.0) }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self, number: u32, now_us: i64) -> State {
        let node = |n: &linefree_bus::vda5050::order::Node| NodeState {
            node_id: n.node_id.clone(),
            sequence_id: n.sequence_id,
            node_description: None,
            released: n.released,
            node_position: n.node_position.as_ref().map(|p| StatePosition {
                x: p.x,
                y: p.y,
                theta: p.theta,
                map_id: p.map_id.clone(),
            }),
        };
        let edge = |e: &linefree_bus::vda5050::order::Edge| EdgeState {
            edge_id: e.edge_id.clone(),
            sequence_id: e.sequence_id,
            edge_description: None,
            released: e.released,
            trajectory: None,
        };
        let ahead = self.nodes.iter().filter(|n| n.released).count();
        State {
            header: self.header(number, now_us),
            maps: Vec::new(),
            order_id: self.order.0.clone(),
            order_update_id: self.order.1,
            zone_set_id: None,
            last_node_id: self.last_node.0.clone(),
            last_node_sequence_id: self.last_node.1,
            driving: self.is_driving(),
            paused: Some(self.paused),
            new_base_request: Some(ahead == 0 && !self.nodes.is_empty()),
            distance_since_last_node: None,
            operating_mode: OperatingMode::Automatic,
            node_states: self.nodes.iter().map(node).collect(),
            edge_states: self.edges.iter().map(edge).collect(),
            agv_position: Some(self.position()),
            velocity: Some(self.velocity()),
            loads: Some(self.loads.clone()),
            action_states: self.actions.clone(),
            battery_state: BatteryState {
                battery_charge: (self.battery * 10.0).round() / 10.0,
                battery_voltage: None,
                battery_health: None,
                charging: self.charging,
                reach: None,
            },
            errors: self.errors.clone(),
            information: Vec::new(),
            safety_state: SafetyState { e_stop: EStop::None, field_violation: false },
        }
    }

    /// Where it is.
    #[must_use]
    pub fn visualization(&self, number: u32, now_us: i64) -> Visualization {
        Visualization {
            header: Some(self.header(number, now_us)),
            agv_position: Some(self.position()),
            velocity: Some(self.velocity()),
        }
    }

    /// Whether it is connected.
    #[must_use]
    pub fn connection(&self, number: u32, state: ConnectionState, now_us: i64) -> Connection {
        Connection { header: self.header(number, now_us), connection_state: state }
    }

    /// What it is.
    #[must_use]
    pub fn factsheet(&self, number: u32, now_us: i64) -> Factsheet {
        let action = |name: &str| {
            let scope = |at: &[&str], scope: ActionScope| at.contains(&name).then_some(scope);
            let scopes = [scope(&AT_NODES, ActionScope::Node), scope(&AT_ONCE, ActionScope::Instant)];
            AgvAction {
                action_type: name.to_owned(),
                action_description: None,
                action_scopes: scopes.into_iter().flatten().collect(),
                action_parameters: Vec::new(),
                result_description: None,
                blocking_types: Vec::new(),
            }
        };
        let mut names: Vec<&str> = AT_NODES.into_iter().chain(AT_ONCE).collect();
        names.sort_unstable();
        names.dedup();
        Factsheet {
            header: self.header(number, now_us),
            type_specification: TypeSpecification {
                series_name: "linefree simulated AMR".to_owned(),
                series_description: None,
                agv_kinematic: AgvKinematic::Diff,
                agv_class: AgvClass::Carrier,
                max_load_mass: 40.0,
                localization_types: vec![LocalizationType::Natural],
                navigation_types: vec![NavigationType::VirtualLineGuided],
            },
            physical_parameters: PhysicalParameters {
                speed_min: 0.05,
                speed_max: self.top_m_s,
                acceleration_max: ACCELERATION_M_S2,
                deceleration_max: ACCELERATION_M_S2,
                height_min: None,
                height_max: 1.5,
                width: 0.6,
                length: 0.6,
            },
            protocol_limits: ProtocolLimits {
                max_string_lens: MaxStringLens {
                    msg_len: None,
                    topic_serial_len: None,
                    topic_elem_len: None,
                    id_len: None,
                    id_numerical_only: None,
                    enum_len: None,
                    load_id_len: None,
                },
                max_array_lens: MaxArrayLens {
                    order_nodes: None,
                    order_edges: None,
                    node_actions: None,
                    edge_actions: Some(0),
                    actions_actions_parameters: None,
                    instant_actions: None,
                    trajectory_knot_vector: None,
                    trajectory_control_points: None,
                    state_node_states: None,
                    state_edge_states: None,
                    state_loads: None,
                    state_action_states: None,
                    state_errors: None,
                    state_information: None,
                    error_error_references: None,
                    information_info_references: None,
                },
                timing: Timing {
                    min_order_interval: 0.0,
                    min_state_interval: 0.05,
                    default_state_interval: Some(15.0),
                    visualization_interval: Some(0.5),
                },
            },
            protocol_features: ProtocolFeatures {
                optional_parameters: Vec::new(),
                agv_actions: names.into_iter().map(action).collect(),
            },
            agv_geometry: AgvGeometry {
                wheel_definitions: Vec::new(),
                envelopes2d: Vec::new(),
                envelopes3d: Vec::new(),
            },
            load_specification: LoadSpecification {
                load_positions: Vec::new(),
                load_sets: vec![LoadSet {
                    set_name: "DEFAULT".to_owned(),
                    load_type: "TOTE".to_owned(),
                    load_positions: Vec::new(),
                    bounding_box_reference: None,
                    load_dimensions: None,
                    max_weight: Some(10.0),
                    min_loadhandling_height: None,
                    max_loadhandling_height: None,
                    min_loadhandling_depth: None,
                    max_loadhandling_depth: None,
                    min_loadhandling_tilt: None,
                    max_loadhandling_tilt: None,
                    agv_speed_limit: None,
                    agv_acceleration_limit: None,
                    agv_deceleration_limit: None,
                    pick_time: Some(8.0),
                    drop_time: Some(4.0),
                    description: None,
                }],
            },
            vehicle_config: None,
        }
    }
}
