//! A robot that does one step a second: one node, or one action. It takes orders as the standard says.

use std::collections::BTreeSet;

use linefree_bus::vda5050::factsheet::*;
use linefree_bus::vda5050::order::{Action, InstantActions, Order};
use linefree_bus::vda5050::state::*;
use linefree_bus::vda5050::{Header, RobotId, VERSION};

/// What a robot does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It hears no orders.
    Deaf,
    /// It refuses orders.
    Refuses,
    /// It refuses updates.
    RefusesUpdates,
    /// Its picks fail.
    Fumbles,
    /// It does not move.
    Stuck,
    /// It has a FATAL error.
    Broken,
}

#[derive(Debug)]
pub struct FakeRobot {
    pub id: RobotId,
    pub online: bool,
    pub node: String,
    pub faults: BTreeSet<Fault>,
    pub mode: OperatingMode,
    pub charging: bool,
    pub charge: f64,
    pub loads: Vec<Load>,
    pub sequence: u32,
    pub order: Option<Order>,
    pub update: u32,
    pub order_id: String,
    pub actions: Vec<ActionState>,
    pub errors: Vec<Error>,
    pub heard: Vec<Order>,
    pub instant: Vec<String>,
    header: u32,
}

impl FakeRobot {
    pub fn at(serial: &str, node: &str) -> Self {
        Self {
            id: RobotId::new("acme", serial),
            online: false,
            node: node.to_owned(),
            faults: BTreeSet::new(),
            mode: OperatingMode::Automatic,
            charging: false,
            charge: 95.0,
            loads: Vec::new(),
            sequence: 0,
            order: None,
            update: 0,
            order_id: String::new(),
            actions: Vec::new(),
            errors: Vec::new(),
            heard: Vec::new(),
            instant: Vec::new(),
            header: 0,
        }
    }

    fn header(&mut self) -> Header {
        self.header += 1;
        Header::new(&self.id, VERSION, self.header, 0)
    }

    pub fn connection(&mut self, online: bool) -> Connection {
        let connection_state =
            if online { ConnectionState::Online } else { ConnectionState::ConnectionBroken };
        Connection { header: self.header(), connection_state }
    }

    pub fn factsheet(&mut self) -> Factsheet {
        let action = |name: &str, scopes: &[ActionScope]| AgvAction {
            action_type: name.to_owned(),
            action_description: None,
            action_scopes: scopes.to_vec(),
            action_parameters: Vec::new(),
            result_description: None,
            blocking_types: Vec::new(),
        };
        let text = serde_json::json!({
            "headerId": 1, "timestamp": "2026-11-23T08:15:00Z", "version": VERSION,
            "manufacturer": self.id.manufacturer, "serialNumber": self.id.serial,
            "typeSpecification": { "seriesName": "fake", "agvKinematic": "DIFF", "agvClass": "CARRIER",
                "maxLoadMass": 20, "localizationTypes": ["NATURAL"], "navigationTypes": ["AUTONOMOUS"] },
            "physicalParameters": { "speedMin": 0, "speedMax": 1.2, "accelerationMax": 1, "decelerationMax": 1,
                "heightMax": 1.5, "width": 0.6, "length": 0.6 },
            "protocolLimits": { "maxStringLens": {}, "maxArrayLens": {},
                "timing": { "minOrderInterval": 0, "minStateInterval": 0 } },
            "protocolFeatures": { "optionalParameters": [], "agvActions": [] },
            "agvGeometry": {}, "loadSpecification": { "loadSets": [{ "setName": "a", "loadType": "BAG" }] }
        });
        let mut factsheet: Factsheet = serde_json::from_value(text).unwrap();
        factsheet.protocol_features.agv_actions = vec![
            action("pick", &[ActionScope::Node]),
            action("drop", &[ActionScope::Node]),
            action("startCharging", &[ActionScope::Instant]),
            action("stopCharging", &[ActionScope::Node]),
            action("initPosition", &[ActionScope::Instant]),
        ];
        factsheet
    }

    fn is_idle(&self) -> bool {
        self.order.as_ref().is_none_or(|o| o.nodes.is_empty())
            && self.actions.iter().all(|a| a.action_status.is_over())
    }

    fn refuse(&mut self, order: &Order, error_type: &str) {
        let reference = |key: &str, value: String| ErrorReference {
            reference_key: key.to_owned(),
            reference_value: value,
        };
        self.errors.push(Error {
            error_type: error_type.to_owned(),
            error_references: vec![
                reference("orderId", order.order_id.clone()),
                reference("orderUpdateId", order.order_update_id.to_string()),
            ],
            error_description: Some("because".to_owned()),
            error_hint: None,
            error_level: ErrorLevel::Warning,
        });
    }

    pub fn take_order(&mut self, order: Order) {
        if self.faults.contains(&Fault::Deaf) {
            return;
        }
        self.heard.push(order.clone());
        if self.faults.contains(&Fault::Refuses) {
            return self.refuse(&order, "noRouteError");
        }
        let first = order.nodes[0].clone();
        if order.order_id == self.order_id {
            if order.order_update_id <= self.update {
                return;
            }
            if self.faults.contains(&Fault::RefusesUpdates) {
                return self.refuse(&order, "orderUpdateError");
            }
            // It continues where the base ends.
            let mut kept = self.order.take().expect("an update without an order");
            kept.nodes.retain(|n| n.released);
            kept.edges.retain(|e| e.released);
            let end = kept.nodes.last().map(|n| (n.node_id.clone(), n.sequence_id));
            let end = end.unwrap_or((self.node.clone(), self.sequence));
            assert_eq!(end, (first.node_id, first.sequence_id), "the update does not continue the base");
            assert!(first.actions.is_empty(), "the stitching node has actions");
            self.update = order.order_update_id;
            for node in order.nodes.into_iter().skip(1) {
                for action in node.actions.clone() {
                    if !self.actions.iter().any(|a| a.action_id == action.action_id) {
                        self.actions.push(waiting(action));
                    }
                }
                kept.nodes.push(node);
            }
            kept.edges.extend(order.edges);
            self.order = Some(kept);
            return;
        }
        assert!(self.is_idle(), "a new order while the old one runs");
        assert!(first.node_id == self.node || first.node_id.ends_with("-beside"), "not where it stands");
        self.errors.clear();
        self.order_id = order.order_id.clone();
        self.update = order.order_update_id;
        self.sequence = 0;
        self.actions = order.nodes.iter().flat_map(|n| n.actions.clone()).map(waiting).collect();
        let mut order = order;
        // It stands on the first node already.
        self.do_all(&order.nodes[0].actions.clone(), order.nodes.len() > 1);
        order.nodes.remove(0);
        self.order = Some(order);
    }

    pub fn take_actions(&mut self, actions: &InstantActions) {
        for action in &actions.actions {
            self.instant.push(action.action_type.clone());
            match action.action_type.as_str() {
                "cancelOrder" => {
                    let had = !self.is_idle();
                    for state in self.actions.iter_mut().filter(|a| !a.action_status.is_over()) {
                        state.action_status = ActionStatus::Failed;
                    }
                    self.order = None;
                    self.end(action, if had { ActionStatus::Finished } else { ActionStatus::Failed });
                }
                "startCharging" => {
                    self.charging = true;
                    self.end(action, ActionStatus::Finished);
                }
                _ => self.end(action, ActionStatus::Finished),
            }
        }
    }

    fn end(&mut self, action: &Action, status: ActionStatus) {
        let mut state = waiting(action.clone());
        state.action_status = status;
        self.actions.push(state);
    }

    fn set(&mut self, action_id: &str, status: ActionStatus) {
        if let Some(state) = self.actions.iter_mut().find(|a| a.action_id == action_id) {
            state.action_status = status;
        }
    }

    fn do_all(&mut self, actions: &[Action], leaves: bool) {
        for action in actions.iter().filter(|a| leaves || a.action_type == "stopCharging") {
            self.charging &= action.action_type != "stopCharging";
            self.set(&action.action_id, ActionStatus::Finished);
        }
    }

    /// Does one step; gives whether anything has changed.
    pub fn step(&mut self) -> bool {
        if self.faults.contains(&Fault::Stuck) || self.faults.contains(&Fault::Broken) {
            return false;
        }
        let here: Option<ActionState> = self.actions.iter().find(|a| !a.action_status.is_over()).cloned();
        let next = self.order.as_ref().and_then(|o| o.nodes.first().cloned());
        match (next, here) {
            (Some(next), _) if next.released => {
                self.node = next.node_id.trim_end_matches("-beside").to_owned();
                self.sequence = next.sequence_id;
                let order = self.order.as_mut().unwrap();
                order.nodes.remove(0);
                if !order.edges.is_empty() {
                    order.edges.remove(0);
                }
                true
            }
            (None, Some(action)) => {
                let fumbles =
                    self.faults.contains(&Fault::Fumbles) && action.action_type.as_deref() == Some("pick");
                let status = if fumbles { ActionStatus::Failed } else { ActionStatus::Finished };
                self.set(&action.action_id, status);
                match action.action_type.as_deref() {
                    Some("pick") if !fumbles => self.loads.push(Load::default()),
                    Some("drop") => drop(self.loads.pop()),
                    _ => {}
                }
                true
            }
            _ => false,
        }
    }

    pub fn state(&mut self) -> State {
        let header = self.header();
        let mut errors = self.errors.clone();
        if self.faults.contains(&Fault::Broken) {
            errors.push(Error {
                error_type: "scannerError".to_owned(),
                error_references: Vec::new(),
                error_description: None,
                error_hint: None,
                error_level: ErrorLevel::Fatal,
            });
        }
        let order = self.order.clone();
        let nodes = order.iter().flat_map(|o| &o.nodes).map(|n| NodeState {
            node_id: n.node_id.clone(),
            sequence_id: n.sequence_id,
            node_description: None,
            released: n.released,
            node_position: None,
        });
        State {
            header,
            maps: Vec::new(),
            order_id: self.order_id.clone(),
            order_update_id: self.update,
            zone_set_id: None,
            last_node_id: self.node.clone(),
            last_node_sequence_id: self.sequence,
            driving: false,
            paused: None,
            new_base_request: None,
            distance_since_last_node: None,
            operating_mode: self.mode,
            node_states: nodes.collect(),
            edge_states: Vec::new(),
            agv_position: None,
            velocity: None,
            loads: Some(self.loads.clone()),
            action_states: self.actions.clone(),
            battery_state: BatteryState {
                battery_charge: self.charge,
                battery_voltage: None,
                battery_health: None,
                charging: self.charging,
                reach: None,
            },
            errors,
            information: Vec::new(),
            safety_state: SafetyState { e_stop: EStop::None, field_violation: false },
        }
    }
}

fn waiting(action: Action) -> ActionState {
    ActionState {
        action_id: action.action_id,
        action_type: Some(action.action_type),
        action_description: None,
        action_status: ActionStatus::Waiting,
        result_description: None,
    }
}
