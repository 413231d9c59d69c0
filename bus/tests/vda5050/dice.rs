//! Messages that dice decide.

use linefree_bus::vda5050::factsheet::*;
use linefree_bus::vda5050::order::*;
use linefree_bus::vda5050::state::*;
use linefree_bus::vda5050::{Header, VERSION};
use serde_json::json;

/// Bytes that decide what a message looks like; when they end, everything is small and empty.
pub struct Dice {
    words: Vec<u32>,
    at: usize,
}

impl Dice {
    pub fn new(words: Vec<u32>) -> Self {
        Self { words, at: 0 }
    }

    fn roll(&mut self) -> u32 {
        self.at += 1;
        self.words.get(self.at - 1).copied().unwrap_or(0)
    }

    fn up_to(&mut self, most: u32) -> u32 {
        self.roll() % (most + 1)
    }

    fn yes(&mut self) -> bool {
        self.roll() % 2 == 1
    }

    fn text(&mut self) -> String {
        let texts = ["", "a", "counter-1", "Tür \"2\"\n", "🧃/é", "0123456789", "node:7_x.y"];
        texts[self.roll() as usize % texts.len()].to_owned()
    }

    /// From -1 to 1.
    fn unit(&mut self) -> f64 {
        (f64::from(self.roll()) / f64::from(u32::MAX)).mul_add(2.0, -1.0)
    }

    fn number(&mut self) -> f64 {
        let scale = [0.0, 1.0, 1e3, 1e-9, 1e12][self.roll() as usize % 5];
        self.unit() * scale
    }

    fn positive(&mut self) -> f64 {
        self.number().abs()
    }

    fn angle(&mut self) -> f64 {
        self.unit() * std::f64::consts::PI
    }

    pub fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| make(self))
    }

    pub fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.up_to(3)).map(|_| make(self)).collect()
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll() as usize % all.len()]
    }

    pub fn header(&mut self) -> Header {
        let us = i64::from(self.roll()) * 1_000_003;
        Header::new(&super::robot(), VERSION, self.roll(), us)
    }

    pub fn action(&mut self) -> Action {
        let value = |d: &mut Self| match d.up_to(4) {
            0 => json!(d.text()),
            1 => json!(d.number()),
            2 => json!(d.yes()),
            3 => json!([d.text(), d.number()]),
            _ => json!({ "a": d.text() }),
        };
        Action {
            action_type: self.text(),
            action_id: self.text(),
            action_description: self.some(Self::text),
            blocking_type: self.of(&[BlockingType::None, BlockingType::Soft, BlockingType::Hard]),
            action_parameters: self.list(|d| ActionParameter { key: d.text(), value: value(d) }),
        }
    }

    fn trajectory(&mut self) -> Trajectory {
        Trajectory {
            degree: 1 + self.up_to(4),
            knot_vector: self.list(|d| d.unit().abs()),
            control_points: self.list(|d| ControlPoint {
                x: d.number(),
                y: d.number(),
                weight: d.some(Self::positive),
            }),
        }
    }

    pub fn order(&mut self) -> Order {
        let position = |d: &mut Self| NodePosition {
            x: d.number(),
            y: d.number(),
            theta: d.some(Self::angle),
            allowed_deviation_xy: d.some(Self::positive),
            allowed_deviation_theta: d.some(Self::angle),
            map_id: d.text(),
            map_description: d.some(Self::text),
        };
        let corridor = |d: &mut Self| Corridor {
            left_width: d.positive(),
            right_width: d.positive(),
            corridor_ref_point: d
                .some(|d| d.of(&[CorridorRefPoint::KinematicCenter, CorridorRefPoint::Contour])),
        };
        Order {
            header: self.header(),
            order_id: self.text(),
            order_update_id: self.roll(),
            zone_set_id: self.some(Self::text),
            nodes: self.list(|d| Node {
                node_id: d.text(),
                sequence_id: d.roll(),
                node_description: d.some(Self::text),
                released: d.yes(),
                node_position: d.some(position),
                actions: d.list(Self::action),
            }),
            edges: self.list(|d| Edge {
                edge_id: d.text(),
                sequence_id: d.roll(),
                edge_description: d.some(Self::text),
                released: d.yes(),
                start_node_id: d.text(),
                end_node_id: d.text(),
                max_speed: d.some(Self::positive),
                max_height: d.some(Self::number),
                min_height: d.some(Self::number),
                orientation: d.some(Self::angle),
                orientation_type: d.some(|d| d.of(&["GLOBAL", "TANGENTIAL"]).to_owned()),
                direction: d.some(Self::text),
                rotation_allowed: d.some(Self::yes),
                max_rotation_speed: d.some(Self::number),
                length: d.some(Self::positive),
                trajectory: d.some(Self::trajectory),
                corridor: d.some(corridor),
                actions: d.list(Self::action),
            }),
        }
    }

    pub fn position(&mut self) -> AgvPosition {
        AgvPosition {
            x: self.number(),
            y: self.number(),
            theta: self.angle(),
            map_id: self.text(),
            map_description: None,
            position_initialized: self.yes(),
            localization_score: self.some(|d| d.unit().abs()),
            deviation_range: self.some(Self::positive),
        }
    }

    pub fn velocity(&mut self) -> Velocity {
        Velocity { vx: self.some(Self::number), vy: self.some(Self::number), omega: self.some(Self::number) }
    }

    fn references(&mut self) -> Vec<ErrorReference> {
        self.list(|d| ErrorReference { reference_key: d.text(), reference_value: d.text() })
    }

    fn load(&mut self) -> Load {
        Load {
            load_id: self.some(Self::text),
            load_type: self.some(Self::text),
            load_position: self.some(Self::text),
            bounding_box_reference: self.some(Self::bounding_box),
            load_dimensions: self.some(Self::dimensions),
            weight: self.some(Self::positive),
        }
    }

    fn bounding_box(&mut self) -> BoundingBoxReference {
        let (x, y, z) = (self.number(), self.number(), self.number());
        BoundingBoxReference { x, y, z, theta: self.some(Self::angle) }
    }

    fn dimensions(&mut self) -> LoadDimensions {
        LoadDimensions { length: self.positive(), width: self.positive(), height: self.some(Self::positive) }
    }

    pub fn state(&mut self) -> State {
        let status = [
            ActionStatus::Waiting,
            ActionStatus::Initializing,
            ActionStatus::Running,
            ActionStatus::Finished,
            ActionStatus::Failed,
        ];
        let modes = [
            OperatingMode::Automatic,
            OperatingMode::SemiAutomatic,
            OperatingMode::Manual,
            OperatingMode::Service,
            OperatingMode::TeachIn,
        ];
        State {
            header: self.header(),
            maps: self.list(|d| Map {
                map_id: d.text(),
                map_version: d.text(),
                map_description: d.some(Self::text),
                map_status: d.of(&[MapStatus::Enabled, MapStatus::Disabled]),
            }),
            order_id: self.text(),
            order_update_id: self.roll(),
            zone_set_id: self.some(Self::text),
            last_node_id: self.text(),
            last_node_sequence_id: self.roll(),
            driving: self.yes(),
            paused: self.some(Self::yes),
            new_base_request: self.some(Self::yes),
            distance_since_last_node: self.some(Self::positive),
            operating_mode: self.of(&modes),
            node_states: self.list(|d| NodeState {
                node_id: d.text(),
                sequence_id: d.roll(),
                node_description: d.some(Self::text),
                released: d.yes(),
                node_position: d.some(|d| StatePosition {
                    x: d.number(),
                    y: d.number(),
                    theta: d.some(Self::angle),
                    map_id: d.text(),
                }),
            }),
            edge_states: self.list(|d| EdgeState {
                edge_id: d.text(),
                sequence_id: d.roll(),
                edge_description: d.some(Self::text),
                released: d.yes(),
                trajectory: d.some(Self::trajectory),
            }),
            agv_position: self.some(Self::position),
            velocity: self.some(Self::velocity),
            loads: self.some(|d| d.list(Self::load)),
            action_states: self.list(|d| ActionState {
                action_id: d.text(),
                action_type: d.some(Self::text),
                action_description: d.some(Self::text),
                action_status: d.of(&status),
                result_description: d.some(Self::text),
            }),
            battery_state: BatteryState {
                battery_charge: self.unit().abs() * 100.0,
                battery_voltage: self.some(Self::number),
                battery_health: self.some(|d| d.unit().abs() * 100.0),
                charging: self.yes(),
                reach: self.some(Self::positive),
            },
            errors: self.list(|d| Error {
                error_type: d.text(),
                error_references: d.references(),
                error_description: d.some(Self::text),
                error_hint: d.some(Self::text),
                error_level: d.of(&[ErrorLevel::Warning, ErrorLevel::Fatal]),
            }),
            information: self.list(|d| Info {
                info_type: d.text(),
                info_references: d.references(),
                info_description: d.some(Self::text),
                info_level: d.of(&[InfoLevel::Info, InfoLevel::Debug]),
            }),
            safety_state: SafetyState {
                e_stop: self.of(&[EStop::AutoAck, EStop::Manual, EStop::Remote, EStop::None]),
                field_violation: self.yes(),
            },
        }
    }

    pub fn factsheet(&mut self) -> Factsheet {
        let n = |d: &mut Self| d.some(|d| u64::from(d.roll()));
        let types =
            [ValueDataType::Bool, ValueDataType::Integer, ValueDataType::Object, ValueDataType::Array];
        Factsheet {
            header: self.header(),
            type_specification: TypeSpecification {
                series_name: self.text(),
                series_description: self.some(Self::text),
                agv_kinematic: self.of(&[AgvKinematic::Diff, AgvKinematic::Omni, AgvKinematic::ThreeWheel]),
                agv_class: self.of(&[
                    AgvClass::Forklift,
                    AgvClass::Conveyor,
                    AgvClass::Tugger,
                    AgvClass::Carrier,
                ]),
                max_load_mass: self.positive(),
                localization_types: self.list(|d| d.of(&[LocalizationType::Natural, LocalizationType::Rfid])),
                navigation_types: self.list(|d| {
                    d.of(&[
                        NavigationType::PhysicalLineGuided,
                        NavigationType::VirtualLineGuided,
                        NavigationType::Autonomous,
                    ])
                }),
            },
            physical_parameters: PhysicalParameters {
                speed_min: self.positive(),
                speed_max: self.positive(),
                acceleration_max: self.positive(),
                deceleration_max: self.positive(),
                height_min: self.some(Self::positive),
                height_max: self.positive(),
                width: self.positive(),
                length: self.positive(),
            },
            protocol_limits: ProtocolLimits {
                max_string_lens: MaxStringLens {
                    msg_len: n(self),
                    topic_serial_len: n(self),
                    topic_elem_len: n(self),
                    id_len: n(self),
                    id_numerical_only: self.some(Self::yes),
                    enum_len: n(self),
                    load_id_len: n(self),
                },
                max_array_lens: MaxArrayLens {
                    order_nodes: n(self),
                    order_edges: n(self),
                    node_actions: n(self),
                    edge_actions: n(self),
                    actions_actions_parameters: n(self),
                    instant_actions: n(self),
                    trajectory_knot_vector: n(self),
                    trajectory_control_points: n(self),
                    state_node_states: n(self),
                    state_edge_states: n(self),
                    state_loads: n(self),
                    state_action_states: n(self),
                    state_errors: n(self),
                    state_information: n(self),
                    error_error_references: n(self),
                    information_info_references: n(self),
                },
                timing: Timing {
                    min_order_interval: self.positive(),
                    min_state_interval: self.positive(),
                    default_state_interval: self.some(Self::positive),
                    visualization_interval: self.some(Self::positive),
                },
            },
            protocol_features: ProtocolFeatures {
                optional_parameters: self.list(|d| OptionalParameter {
                    parameter: d.text(),
                    support: d.of(&[Support::Supported, Support::Required]),
                    description: d.some(Self::text),
                }),
                agv_actions: self.list(|d| AgvAction {
                    action_type: d.text(),
                    action_description: d.some(Self::text),
                    action_scopes: d
                        .list(|d| d.of(&[ActionScope::Instant, ActionScope::Node, ActionScope::Edge])),
                    action_parameters: d.list(|d| AgvActionParameter {
                        key: d.text(),
                        value_data_type: d.of(&types),
                        description: d.some(Self::text),
                        is_optional: d.some(Self::yes),
                    }),
                    result_description: d.some(Self::text),
                    // The schema's enumeration is on the list itself, which no list can satisfy; see the docs.
                    blocking_types: Vec::new(),
                }),
            },
            agv_geometry: AgvGeometry {
                wheel_definitions: self.list(|d| WheelDefinition {
                    wheel_type: d.of(&[
                        WheelType::Drive,
                        WheelType::Caster,
                        WheelType::Fixed,
                        WheelType::Mecanum,
                    ]),
                    is_active_driven: d.yes(),
                    is_active_steered: d.yes(),
                    position: WheelPosition { x: d.number(), y: d.number(), theta: d.some(Self::angle) },
                    diameter: d.positive(),
                    width: d.positive(),
                    center_displacement: d.some(Self::number),
                    constraints: d.some(Self::text),
                }),
                envelopes2d: self.list(|d| Envelope2d {
                    set: d.text(),
                    polygon_points: d.list(|d| PolygonPoint { x: d.number(), y: d.number() }),
                    description: d.some(Self::text),
                }),
                envelopes3d: self.list(|d| Envelope3d {
                    set: d.text(),
                    format: d.text(),
                    data: d.some(|d| [(d.text(), json!(d.number()))].into_iter().collect()),
                    url: d.some(Self::text),
                    description: d.some(|d| i64::from(d.roll())),
                }),
            },
            load_specification: LoadSpecification {
                load_positions: self.list(Self::text),
                load_sets: self.list(|d| LoadSet {
                    set_name: d.text(),
                    load_type: d.text(),
                    load_positions: d.list(Self::text),
                    bounding_box_reference: d.some(Self::bounding_box),
                    load_dimensions: d.some(Self::dimensions),
                    max_weight: d.some(Self::positive),
                    min_loadhandling_height: d.some(Self::positive),
                    max_loadhandling_height: d.some(Self::positive),
                    min_loadhandling_depth: d.some(Self::positive),
                    max_loadhandling_depth: d.some(Self::positive),
                    min_loadhandling_tilt: d.some(Self::angle),
                    max_loadhandling_tilt: d.some(Self::angle),
                    agv_speed_limit: d.some(Self::positive),
                    agv_acceleration_limit: d.some(Self::positive),
                    agv_deceleration_limit: d.some(Self::positive),
                    pick_time: d.some(Self::positive),
                    drop_time: d.some(Self::positive),
                    description: d.some(Self::text),
                }),
            },
            vehicle_config: self.some(|d| VehicleConfig {
                versions: d.list(|d| VersionEntry { key: d.text(), value: d.text() }),
                network: d.some(|d| Network {
                    dns_servers: d.list(Self::text),
                    local_ip_address: d.some(Self::text),
                    ntp_servers: d.list(Self::text),
                    netmask: d.some(Self::text),
                    default_gateway: d.some(Self::text),
                }),
            }),
        }
    }
}
