//! One simulated robot: where it is, what it has been told, what it does.

use std::collections::VecDeque;

use linefree_bus::vda5050::RobotId;
use linefree_bus::vda5050::order::{Action, Edge, Node};
use linefree_bus::vda5050::state::{ActionState, ActionStatus, Error, ErrorLevel, Load};
use linefree_domain::layout::RobotFloor;
use nalgebra::Point2;

use super::faults::Faults;
use super::scales::Moved;
use crate::chance::Chance;

/// It slows down and speeds up so fast, metres a second squared.
pub const ACCELERATION_M_S2: f64 = 0.8;
/// Seconds for one pick, one drop, and any other action.
const PICK_S: f64 = 8.0;
const DROP_S: f64 = 4.0;
const OTHER_S: f64 = 1.0;
/// Percent of its battery for an hour of driving, and for an hour of standing.
const DRIVING_PER_H: f64 = 12.0;
const STANDING_PER_H: f64 = 3.0;
/// Percent that an hour of charging brings.
const CHARGING_PER_H: f64 = 60.0;

/// What it is doing at a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Doing {
    /// Which action.
    pub action: Action,
    /// How much longer, seconds.
    pub left_s: f64,
}

/// Something that has gone wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Something stands in its way.
    Stuck,
    /// It cannot go on without a person; here it recovers by itself.
    Fatal,
    /// Its connection is gone.
    Dropout,
}

/// A simulated robot.
#[derive(Debug)]
pub struct Amr {
    /// Who it is.
    pub id: RobotId,
    /// What it calls its map.
    pub map: String,
    /// Top speed, metres a second.
    pub top_m_s: f64,
    /// Where it is, metres.
    pub at: Point2<f64>,
    /// Where it looks, radians.
    pub theta: f64,
    /// How fast it drives, metres a second.
    pub speed_m_s: f64,
    /// Does it know where it is?
    pub located: bool,
    /// The last node that it reached.
    pub last_node: (String, u32),
    /// The order that it has or had.
    pub order: (String, u32),
    /// Nodes still to come.
    pub nodes: VecDeque<Node>,
    /// The edges to them.
    pub edges: VecDeque<Edge>,
    /// The last node of its base, as it was told, for whoever continues it.
    pub base_end: (String, u32),
    /// Actions of the node that it is at which are still to be done.
    pub to_do: VecDeque<Action>,
    /// What it is doing.
    pub doing: Option<Doing>,
    /// How far its actions are.
    pub actions: Vec<ActionState>,
    /// Ids of those that were instant actions.
    pub instant: Vec<String>,
    /// What it carries.
    pub loads: Vec<Load>,
    /// What it has taken and put since somebody last looked.
    pub moved: Vec<Moved>,
    /// What is wrong.
    pub errors: Vec<Error>,
    /// Percent.
    pub battery: f64,
    /// Is it being charged?
    pub charging: bool,
    /// Is it paused?
    pub paused: bool,
    /// What has gone wrong, and how much longer, seconds.
    pub trouble: Option<(Trouble, f64)>,
    /// How often what goes wrong.
    pub faults: Faults,
    /// What decides that.
    pub chance: Chance,
    /// Something has happened that its state should tell.
    pub news: bool,
    /// It was asked for its factsheet.
    pub factsheet_wanted: bool,
}

impl Amr {
    /// A robot of a store, at its home.
    #[must_use]
    pub fn new(floor: &RobotFloor, robot: usize, faults: Faults, seed: u64) -> Option<Self> {
        let post = floor.robots.get(robot)?;
        let home = floor.nodes.get(post.home)?;
        let id = RobotId::new(post.manufacturer.as_str(), post.serial.as_str());
        let chance = Chance::new(seed, &format!("amr {id}"));
        Some(Self {
            map: floor.map.clone(),
            top_m_s: floor.speed_m_s,
            at: home.at,
            theta: 0.0,
            speed_m_s: 0.0,
            located: true,
            last_node: (home.id.clone(), 0),
            order: (String::new(), 0),
            nodes: VecDeque::new(),
            edges: VecDeque::new(),
            base_end: (home.id.clone(), 0),
            to_do: VecDeque::new(),
            doing: None,
            actions: Vec::new(),
            instant: Vec::new(),
            loads: Vec::new(),
            moved: Vec::new(),
            errors: Vec::new(),
            battery: 92.0,
            charging: false,
            paused: false,
            trouble: None,
            faults,
            chance,
            news: true,
            factsheet_wanted: false,
            id,
        })
    }

    /// Has it neither a way to go nor anything to do?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.nodes.is_empty() && self.actions.iter().all(|a| a.action_status.is_over())
    }

    /// Is it moving?
    #[must_use]
    pub fn is_driving(&self) -> bool {
        self.speed_m_s > 0.0
    }

    /// Sets how far an action is.
    pub fn set(&mut self, action_id: &str, status: ActionStatus, result: Option<String>) {
        if let Some(state) = self.actions.iter_mut().find(|a| a.action_id == action_id) {
            state.action_status = status;
            state.result_description = result;
            self.news = true;
        }
    }

    /// Some time passes, seconds of the robot's own.
    pub fn advance(&mut self, dt_s: f64) {
        self.chance_of_trouble(dt_s);
        let held = self.paused || matches!(self.trouble, Some((Trouble::Stuck | Trouble::Fatal, _)));
        let per_h = if self.charging {
            CHARGING_PER_H
        } else if self.is_driving() {
            -DRIVING_PER_H
        } else {
            -STANDING_PER_H
        };
        self.battery = (self.battery + per_h * dt_s / 3600.0).clamp(0.0, 100.0);
        if held {
            self.news |= self.is_driving();
            self.speed_m_s = 0.0;
            return;
        }
        if !self.work(dt_s) {
            self.drive(dt_s);
        }
    }

    /// Does what is to be done where it is; `true` while there is something.
    fn work(&mut self, dt_s: f64) -> bool {
        if self.doing.is_none()
            && let Some(action) = self.to_do.pop_front()
        {
            self.set(&action.action_id, ActionStatus::Running, None);
            let left_s = match action.action_type.as_str() {
                "pick" => PICK_S,
                "drop" => DROP_S,
                _ => OTHER_S,
            };
            self.doing = Some(Doing { action, left_s });
        }
        let Some(doing) = &mut self.doing else { return false };
        self.speed_m_s = 0.0;
        doing.left_s -= dt_s;
        if doing.left_s <= 0.0
            && let Some(Doing { action, .. }) = self.doing.take()
        {
            let done = self.perform(&action);
            let status = if done.is_ok() { ActionStatus::Finished } else { ActionStatus::Failed };
            let result = match done {
                Ok(result) => result,
                Err(why) => {
                    self.errors.push(super::told::error(
                        "orderActionError",
                        ErrorLevel::Warning,
                        &why,
                        &[("actionId", &action.action_id)],
                    ));
                    why
                }
            };
            self.set(&action.action_id, status, Some(result));
        }
        true
    }

    /// Does an action that it has come to the end of.
    fn perform(&mut self, action: &Action) -> Result<String, String> {
        let load_id = action.parameter("loadId").and_then(|v| v.as_str()).map(str::to_owned);
        match action.action_type.as_str() {
            "pick" => {
                if self.chance.happens(self.faults.fumble) {
                    return Err("it slipped out of the gripper".to_owned());
                }
                let load_type = action.parameter("loadType").and_then(|v| v.as_str()).map(str::to_owned);
                self.loads.push(Load { load_id, load_type, ..Load::default() });
                self.moved.extend(moved(action, -1));
                Ok("picked".to_owned())
            }
            "drop" => {
                let place = self.loads.iter().position(|l| l.load_id == load_id);
                let place = place.ok_or("there is no such load on board")?;
                self.loads.remove(place);
                self.moved.extend(moved(action, 1));
                Ok("dropped".to_owned())
            }
            "stopCharging" => {
                self.charging = false;
                Ok("no longer charging".to_owned())
            }
            "startCharging" => {
                self.charging = true;
                Ok("charging".to_owned())
            }
            _ => Ok("done".to_owned()),
        }
    }

    /// Drives towards the next node of its base.
    fn drive(&mut self, dt_s: f64) {
        let mut left_s = dt_s;
        while left_s > 0.0 {
            let Some(next) = self.nodes.front().filter(|n| n.released) else {
                self.news |= self.is_driving();
                self.speed_m_s = 0.0;
                return;
            };
            if self.charging {
                // It does not tear itself off the charger: master control must end that first.
                return;
            }
            let to = next.node_position.as_ref().map_or(self.at, |p| Point2::new(p.x, p.y));
            let way = to - self.at;
            let far_m = way.norm();
            if !self.is_driving() {
                self.news = true;
            }
            let most = self.edges.front().and_then(|e| e.max_speed).unwrap_or(self.top_m_s).min(self.top_m_s);
            self.speed_m_s = (self.speed_m_s + ACCELERATION_M_S2 * left_s).min(most).max(0.05);
            let step_m = self.speed_m_s * left_s;
            if far_m > 1e-9 {
                self.theta = way.y.atan2(way.x);
            }
            if step_m < far_m {
                self.at += way * (step_m / far_m);
                return;
            }
            left_s -= far_m / self.speed_m_s;
            self.at = to;
            self.reach();
            if !self.to_do.is_empty() {
                self.speed_m_s = 0.0;
                return;
            }
        }
    }

    /// It has reached its next node.
    fn reach(&mut self) {
        let Some(node) = self.nodes.pop_front() else { return };
        self.edges.pop_front();
        self.last_node = (node.node_id, node.sequence_id);
        self.to_do.extend(node.actions);
        self.news = true;
    }

    fn chance_of_trouble(&mut self, dt_s: f64) {
        if let Some((trouble, left_s)) = &mut self.trouble {
            *left_s -= dt_s;
            if *left_s <= 0.0 {
                if *trouble == Trouble::Fatal {
                    self.errors.retain(|e| e.error_level != ErrorLevel::Fatal);
                }
                self.trouble = None;
                self.news = true;
            }
            return;
        }
        let kinds = [
            (self.faults.stuck, Trouble::Stuck, 120.0),
            (self.faults.fatal, Trouble::Fatal, 180.0),
            (self.faults.dropout, Trouble::Dropout, 40.0),
        ];
        for (per_h, trouble, for_s) in kinds {
            if per_h > 0.0 && self.chance.happens((per_h * dt_s / 3600.0).min(1.0)) {
                self.trouble = Some((trouble, for_s));
                if trouble == Trouble::Fatal {
                    self.errors.push(super::told::error(
                        "laserScannerError",
                        ErrorLevel::Fatal,
                        "the laser scanner is dirty",
                        &[],
                    ));
                }
                self.news = true;
                return;
            }
        }
    }
}

/// What an action moves at its station, in this direction.
fn moved(action: &Action, sign: i32) -> Option<Moved> {
    let text = |key: &str| action.parameter(key).and_then(|v| v.as_str()).map(str::to_owned);
    let quantity = i32::try_from(action.parameter("quantity")?.as_u64()?).ok()?;
    Some(Moved { plate: text("stationName")?, sku: text("sku")?, quantity: sign * quantity })
}
