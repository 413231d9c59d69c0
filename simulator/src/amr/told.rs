//! What a simulated robot does with what it is told: figure 8 of the standard (chapter 6.6.2), and chapters 6.6.3,
//! 6.6.4 and 6.8.

use linefree_bus::vda5050::check;
use linefree_bus::vda5050::order::{Action, InstantActions, Node, Order};
use linefree_bus::vda5050::state::{ActionState, ActionStatus, Error, ErrorLevel, ErrorReference};
use nalgebra::Point2;

use super::vehicle::Amr;

/// How near is near enough when an order does not say, metres.
const NEAR_M: f64 = 0.2;
/// What it can do at a node.
pub const AT_NODES: [&str; 4] = ["pick", "drop", "startCharging", "stopCharging"];
/// What it can do at once.
pub const AT_ONCE: [&str; 8] = [
    "cancelOrder",
    "stateRequest",
    "factsheetRequest",
    "startPause",
    "stopPause",
    "startCharging",
    "stopCharging",
    "initPosition",
];

/// An error as the standard has it.
#[must_use]
pub fn error(error_type: &str, level: ErrorLevel, text: &str, about: &[(&str, &str)]) -> Error {
    let reference = |(key, value): &(&str, &str)| ErrorReference {
        reference_key: (*key).to_owned(),
        reference_value: (*value).to_owned(),
    };
    Error {
        error_type: error_type.to_owned(),
        error_references: about.iter().map(reference).collect(),
        error_description: Some(text.to_owned()),
        error_hint: None,
        error_level: level,
    }
}

/// Why an order is refused: the standard's type of error, and words.
type Refusal = (&'static str, String);

impl Amr {
    /// Takes an order or refuses it; a refusal is among its errors until it takes the next one.
    pub fn take_order(&mut self, order: &Order) {
        self.news = true;
        if let Err((error_type, text)) = self.consider(order) {
            let update = order.order_update_id.to_string();
            let about = [("orderId", order.order_id.as_str()), ("orderUpdateId", update.as_str())];
            let refusal = error(error_type, ErrorLevel::Warning, &text, &about);
            if !self.errors.contains(&refusal) {
                self.errors.push(refusal);
            }
        }
    }

    fn consider(&mut self, order: &Order) -> Result<(), Refusal> {
        check::check(order).map_err(|problem| ("validationError", problem.to_string()))?;
        let is_update = order.order_id == self.order.0;
        if is_update && order.order_update_id < self.order.1 {
            return Err(("orderUpdateError", format!("update {} is in force already", self.order.1)));
        }
        if is_update && order.order_update_id == self.order.1 {
            // Sent again: it has it.
            return Ok(());
        }
        for (i, node) in order.nodes.iter().enumerate() {
            let Some(at) = &node.node_position else {
                return Err(("noRouteError", format!("node {:?} has no position", node.node_id)));
            };
            if at.map_id != self.map {
                return Err(("noRouteError", format!("{:?} is on another map", node.node_id)));
            }
            // The actions of a stitching node were told before.
            let told = is_update && i == 0;
            let strange = |a: &&Action| !AT_NODES.contains(&a.action_type.as_str());
            if let Some(action) = node.actions.iter().find(strange).filter(|_| !told) {
                return Err(("orderError", format!("it cannot {:?}", action.action_type)));
            }
        }
        if order.edges.iter().any(|e| !e.actions.is_empty()) {
            return Err(("orderError", "it does nothing while it drives".to_owned()));
        }
        let first = &order.nodes[0];
        if is_update {
            let from = (first.node_id.clone(), first.sequence_id);
            if from != self.base_end {
                let (id, sequence) = &self.base_end;
                return Err(("orderUpdateError", format!("its base ends at {id:?} ({sequence})")));
            }
            if self.nodes.is_empty() && from != self.last_node {
                return Err(("orderUpdateError", "it has ended elsewhere".to_owned()));
            }
            self.extend(order);
            return Ok(());
        }
        if !self.is_idle() {
            return Err(("orderError", format!("it still has the order {:?}", self.order.0)));
        }
        if !self.located {
            return Err(("noRouteError", "it does not know where it is".to_owned()));
        }
        let off_m = off(first, self.at);
        let allowed_m = first
            .node_position
            .as_ref()
            .and_then(|p| p.allowed_deviation_xy)
            .filter(|m| *m > 0.0)
            .unwrap_or(NEAR_M);
        if off_m > allowed_m {
            return Err(("noRouteError", format!("{:?} is {off_m:.2} m away", first.node_id)));
        }
        if self.chance.happens(self.faults.refuse) {
            return Err(("noRouteError", "it does not like this way".to_owned()));
        }
        self.begin(order);
        Ok(())
    }

    fn begin(&mut self, order: &Order) {
        self.errors.retain(|e| e.error_level == ErrorLevel::Fatal);
        self.actions.clear();
        self.instant.clear();
        self.order = (order.order_id.clone(), order.order_update_id);
        let first = &order.nodes[0];
        self.last_node = (first.node_id.clone(), first.sequence_id);
        self.remember(&order.nodes);
        self.to_do = first.actions.clone().into();
        self.nodes = order.nodes[1..].to_vec().into();
        self.edges = order.edges.clone().into();
        self.note_base();
    }

    fn extend(&mut self, order: &Order) {
        self.errors.retain(|e| e.error_level == ErrorLevel::Fatal);
        self.order.1 = order.order_update_id;
        let horizon: Vec<String> = self
            .nodes
            .iter()
            .filter(|n| !n.released)
            .flat_map(|n| n.actions.iter().map(|a| a.action_id.clone()))
            .collect();
        self.actions.retain(|a| !horizon.contains(&a.action_id));
        self.nodes.retain(|n| n.released);
        self.edges.retain(|e| e.released);
        self.remember(&order.nodes[1..]);
        self.nodes.extend(order.nodes[1..].iter().cloned());
        self.edges.extend(order.edges.iter().cloned());
        self.note_base();
    }

    fn note_base(&mut self) {
        let end = self.nodes.iter().rfind(|n| n.released).map(|n| (n.node_id.clone(), n.sequence_id));
        self.base_end = end.unwrap_or_else(|| self.last_node.clone());
    }

    fn remember(&mut self, nodes: &[Node]) {
        for action in nodes.iter().flat_map(|n| &n.actions) {
            self.actions.push(action_state(action, ActionStatus::Waiting));
        }
    }

    /// Does what is to be done at once.
    pub fn take_actions(&mut self, actions: &InstantActions) {
        for action in &actions.actions {
            self.news = true;
            if self.actions.iter().any(|a| a.action_id == action.action_id) {
                continue;
            }
            let done = self.at_once(action);
            let status = if done.is_ok() { ActionStatus::Finished } else { ActionStatus::Failed };
            let mut state = action_state(action, status);
            if let Err((error_type, text)) = done {
                self.errors.retain(|e| e.error_type != error_type);
                let about = [("actionId", action.action_id.as_str())];
                self.errors.push(error(error_type, ErrorLevel::Warning, &text, &about));
                state.result_description = Some(text);
            }
            self.actions.push(state);
            self.instant.push(action.action_id.clone());
        }
        // What ended long ago is of no use to anybody.
        while self.instant.len() > 20 {
            let id = self.instant.remove(0);
            self.actions.retain(|a| a.action_id != id);
        }
    }

    fn at_once(&mut self, action: &Action) -> Result<(), Refusal> {
        match action.action_type.as_str() {
            "stateRequest" => Ok(()),
            "factsheetRequest" => {
                self.factsheet_wanted = true;
                Ok(())
            }
            "cancelOrder" => self.cancel(),
            "startPause" => {
                self.paused = true;
                Ok(())
            }
            "stopPause" => {
                self.paused = false;
                Ok(())
            }
            "startCharging" if !self.is_idle() => Err(("instantActionError", "it has an order".to_owned())),
            "startCharging" => {
                self.charging = true;
                Ok(())
            }
            "stopCharging" => {
                self.charging = false;
                Ok(())
            }
            "initPosition" => self.init_position(action),
            other => Err(("instantActionError", format!("it cannot {other:?} at once"))),
        }
    }

    fn cancel(&mut self) -> Result<(), Refusal> {
        if self.is_idle() {
            return Err(("noOrderToCancel", "it has no order".to_owned()));
        }
        // It stops where it is.
        self.speed_m_s = 0.0;
        self.nodes.clear();
        self.edges.clear();
        self.to_do.clear();
        self.doing = None;
        for state in self.actions.iter_mut().filter(|a| !a.action_status.is_over()) {
            state.action_status = ActionStatus::Failed;
        }
        self.base_end = self.last_node.clone();
        Ok(())
    }

    fn init_position(&mut self, action: &Action) -> Result<(), Refusal> {
        let bad = |key: &str| ("instantActionError", format!("initPosition without {key}"));
        let number =
            |key: &str| action.parameter(key).and_then(serde_json::Value::as_f64).ok_or_else(|| bad(key));
        let text = |key: &str| action.parameter(key).and_then(|v| v.as_str()).ok_or_else(|| bad(key));
        if !self.is_idle() {
            return Err(("instantActionError", "it has an order".to_owned()));
        }
        if text("mapId")? != self.map {
            return Err(("instantActionError", "it does not have this map".to_owned()));
        }
        self.at = Point2::new(number("x")?, number("y")?);
        self.theta = number("theta")?;
        self.last_node = (text("lastNodeId")?.to_owned(), 0);
        self.located = true;
        Ok(())
    }
}

fn off(node: &Node, at: Point2<f64>) -> f64 {
    node.node_position.as_ref().map_or(0.0, |p| (Point2::new(p.x, p.y) - at).norm())
}

fn action_state(action: &Action, status: ActionStatus) -> ActionState {
    ActionState {
        action_id: action.action_id.clone(),
        action_type: Some(action.action_type.clone()),
        action_description: None,
        action_status: status,
        result_description: None,
    }
}
