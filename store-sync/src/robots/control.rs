//! Master control: what goes in, what comes out, and what it keeps in mind.
//!
//! Pure: messages and the time are handed in, messages come out of [`MasterControl::poll_output`]. The same input gives
//! the same output. [`MasterControl::handle_timeout`] wants to be called at [`MasterControl::poll_deadline`]; all waiting
//! is measured there, to the second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use linefree_bus::vda5050::factsheet::Factsheet;
use linefree_bus::vda5050::order::{Action, InstantActions, Order};
use linefree_bus::vda5050::state::{Connection, ConnectionState, State};
use linefree_bus::vda5050::{Header, RobotId};
use linefree_domain::fulfilment::fleet::Pace;
use linefree_domain::fulfilment::road_map::{MapError, RoadMap};
use linefree_domain::fulfilment::tour::Counters;
use linefree_domain::fulfilment::traffic::{Traffic, TrafficError};
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::{RobotFloor, StoreLayout};
use nalgebra::Point2;

use super::handlings::HandlingLog;
use super::sharing::FIRST_PACE_M_S;
use super::trip::Ground;
use super::vehicle::{Link, Vehicle, Whereabouts};
use super::{RobotTask, RobotTaskKind, STAFF, TaskState, TaskUpdate};

/// How often time-outs are looked at.
const TICK_US: i64 = 1_000_000;
/// At its start master control hears every robot, or waits so long, before it sends one.
const LISTEN_US: i64 = 10_000_000;
/// Positions of people that are older say nothing: robots drive slowly everywhere then.
const PEOPLE_STALE_US: i64 = 5_000_000;
/// Tasks that are over and whose end is remembered.
const MAX_OVER: usize = 1_000;
/// Tasks that are not over; more are refused.
pub const MAX_TASKS: usize = 10_000;
/// Robots that are not in `store.toml` and are told of.
const MAX_STRANGERS: usize = 64;

/// Why there is no master control.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store has no robots.
    #[error("store.toml has no [robots]")]
    NoRobots,
    /// The road map is none.
    #[error("[robots] of store.toml: {0}")]
    Map(#[from] MapError),
    /// The homes are none.
    #[error("[[robots.robot]] of store.toml: {0}")]
    Homes(#[from] TrafficError),
}

/// What master control says.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To a robot, on its topic `order`.
    Order(RobotId, Order),
    /// To a robot, on its topic `instantActions`.
    InstantActions(RobotId, InstantActions),
    /// To whoever gave the task.
    Task(TaskUpdate),
    /// To staff.
    Notice {
        /// About which robot.
        robot: RobotId,
        /// What is the matter, and what to do.
        text: String,
    },
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// With nobody.
    Waiting,
    /// With a robot.
    On(usize),
    /// With staff.
    Staff,
}

/// A task that is not over.
#[derive(Debug, Clone)]
pub(super) struct TaskRecord {
    pub(super) task: RobotTask,
    pub(super) plate: PlateIndex,
    /// Where it begins.
    pub(super) bays: Vec<usize>,
    pub(super) placed_us: i64,
    pub(super) stage: Stage,
    pub(super) failures: u32,
    /// Robots that have failed at it.
    pub(super) shunned: BTreeSet<usize>,
    pub(super) told: TaskUpdate,
}

/// Where people are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum People {
    /// Nobody has ever said: a store without eyes.
    Unwatched,
    /// There, at that moment.
    At(i64, Vec<Point2<f64>>),
}

/// Master control of a store's robots.
pub struct MasterControl {
    pub(super) floor: RobotFloor,
    pub(super) map: RoadMap,
    plates: BTreeMap<String, PlateIndex>,
    plate_ids: Vec<String>,
    pub(super) traffic: Traffic,
    /// Where orders are handed over.
    pub(super) counters: Counters,
    /// How fast robots get on.
    pub(super) pace: Pace,
    pub(super) vehicles: Vec<Vehicle>,
    by_id: BTreeMap<RobotId, usize>,
    pub(super) tasks: BTreeMap<String, TaskRecord>,
    over: VecDeque<TaskUpdate>,
    strangers: BTreeSet<RobotId>,
    pub(super) people: People,
    pub(super) handling_log: HandlingLog,
    pub(super) out: VecDeque<Output>,
    /// Makes ids differ from those of an earlier run.
    run: i64,
    began_us: i64,
    pub(super) next_order: u32,
    ticked_us: i64,
}

impl MasterControl {
    /// Of the robots of a store. Knows nothing of them yet.
    ///
    /// # Errors
    /// When the store has no robots, or their map is none.
    pub fn new(layout: &StoreLayout, now_us: i64) -> Result<Self, ControlError> {
        let floor = layout.robots.clone().ok_or(ControlError::NoRobots)?;
        let map = floor.road_map()?;
        let homes: Vec<usize> = floor.robots.iter().map(|r| r.home).collect();
        let mut traffic = Traffic::new(map.clone(), &homes, floor.speed_m_s)?;
        for robot in 0..homes.len() {
            traffic.take_away(robot);
        }
        let vehicles: Vec<Vehicle> = floor.robots.iter().map(|post| Vehicle::new(post, now_us)).collect();
        let by_id = vehicles.iter().enumerate().map(|(i, v)| (v.id.clone(), i)).collect();
        let plate_ids: Vec<String> = layout.plates.iter().map(|p| p.id.to_string()).collect();
        let plates = plate_ids.iter().enumerate().map(|(i, id)| (id.clone(), PlateIndex(i))).collect();
        let stations: Vec<usize> = floor.station(super::COUNTER).collect();
        Ok(Self {
            counters: Counters::new(&map, &stations),
            pace: Pace::new(FIRST_PACE_M_S),
            floor,
            map,
            plates,
            plate_ids,
            traffic,
            vehicles,
            by_id,
            tasks: BTreeMap::new(),
            over: VecDeque::new(),
            strangers: BTreeSet::new(),
            people: People::Unwatched,
            handling_log: HandlingLog::new(layout),
            out: VecDeque::new(),
            run: now_us.div_euclid(1_000_000),
            began_us: now_us,
            next_order: 0,
            ticked_us: now_us,
        })
    }

    /// What is known of the robots.
    #[must_use]
    pub fn vehicles(&self) -> &[Vehicle] {
        &self.vehicles
    }

    /// The reservations.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How many tasks are not over, staff's own left out.
    #[must_use]
    pub fn open_tasks(&self) -> usize {
        self.tasks.values().filter(|t| t.stage != Stage::Staff).count()
    }

    /// The next thing that master control says.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_deadline(&self) -> i64 {
        self.ticked_us.saturating_add(TICK_US)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_us: i64) {
        self.ticked_us = now_us;
        for v in 0..self.vehicles.len() {
            self.watch(v, now_us);
        }
        self.give_up_late_tasks(now_us);
        self.think(now_us);
    }

    /// Connected to the broker, perhaps again: every robot that has been heard is asked how it is. The others speak first,
    /// so that it is known which version of the protocol they speak.
    pub fn handle_connected(&mut self, now_us: i64) {
        for v in 0..self.vehicles.len() {
            if self.vehicles[v].link == Link::Unheard {
                continue;
            }
            self.instant(v, "stateRequest", Vec::new(), now_us);
        }
    }

    fn find(&mut self, robot: &RobotId) -> Option<usize> {
        let found = self.by_id.get(robot).copied();
        if found.is_none() && self.strangers.len() < MAX_STRANGERS && self.strangers.insert(robot.clone()) {
            let text = "a robot that is not in store.toml speaks: add a [[robots.robot]], or switch it off";
            self.out.push_back(Output::Notice { robot: robot.clone(), text: text.to_owned() });
        }
        found
    }

    /// A robot says how it is.
    pub fn handle_state(&mut self, robot: &RobotId, state: State, now_us: i64) {
        let Some(v) = self.find(robot) else { return };
        let vehicle = &mut self.vehicles[v];
        let before_us = vehicle.state.is_some().then_some(vehicle.heard_us);
        vehicle.heard_us = now_us;
        vehicle.version.clone_from(&state.header.version);
        // Before tasks that this state ends are forgotten.
        self.note_handlings(v, &state, before_us, now_us);
        self.vehicles[v].state = Some(state);
        self.is_online(v, now_us);
        self.steer(v, now_us);
        self.think(now_us);
    }

    /// A robot has connected or is gone.
    pub fn handle_connection(&mut self, robot: &RobotId, connection: &Connection, now_us: i64) {
        let Some(v) = self.find(robot) else { return };
        self.vehicles[v].version.clone_from(&connection.header.version);
        match connection.connection_state {
            ConnectionState::Online => {
                self.vehicles[v].heard_us = now_us;
                self.is_online(v, now_us);
                self.instant(v, "stateRequest", Vec::new(), now_us);
            }
            ConnectionState::Offline | ConnectionState::ConnectionBroken => self.is_lost(v, now_us),
        }
        self.think(now_us);
    }

    /// A robot says what kind it is.
    pub fn handle_factsheet(&mut self, robot: &RobotId, factsheet: Factsheet, now_us: i64) {
        let Some(v) = self.find(robot) else { return };
        self.vehicles[v].factsheet = Some(factsheet);
        self.think(now_us);
    }

    /// Where people are.
    pub fn handle_people(&mut self, at: Vec<Point2<f64>>, now_us: i64) {
        self.people = People::At(now_us, at);
    }

    /// A task to be done. What is known already is told again.
    pub fn assign(&mut self, task: RobotTask, now_us: i64) {
        if let Some(known) = self.tasks.get(&task.task) {
            self.out.push_back(Output::Task(known.told.clone()));
            return;
        }
        if let Some(over) = self.over.iter().find(|u| u.task == task.task) {
            self.out.push_back(Output::Task(over.clone()));
            return;
        }
        let refuse = |out: &mut VecDeque<Output>, assignee: Option<&str>, state, reason: String| {
            let assignee = assignee.map(str::to_owned);
            let task = task.task.clone();
            out.push_back(Output::Task(TaskUpdate { task, state, assignee, reason: Some(reason) }));
        };
        let Some(plate) = self.plates.get(&task.plate).copied() else {
            refuse(&mut self.out, None, TaskState::Failed, format!("there is no plate {:?}", task.plate));
            return;
        };
        let bays: Vec<usize> = match task.kind {
            RobotTaskKind::Restock => self.floor.station(super::STOCK).collect(),
            _ => self.floor.bays_of(plate).collect(),
        };
        if bays.is_empty() || self.tasks.len() >= MAX_TASKS {
            let why = if bays.is_empty() { "no robot can get there" } else { "too many tasks wait" };
            refuse(&mut self.out, Some(STAFF), TaskState::Assigned, why.to_owned());
            return;
        }
        let told =
            TaskUpdate { task: task.task.clone(), state: TaskState::Waiting, assignee: None, reason: None };
        let record = TaskRecord {
            plate,
            bays,
            placed_us: now_us,
            stage: Stage::Waiting,
            failures: 0,
            shunned: BTreeSet::new(),
            told,
            task,
        };
        self.tasks.insert(record.task.task.clone(), record);
        self.think(now_us);
    }

    /// Tells what has become of a task, unless it was told already; forgets it when it is over.
    pub(super) fn tell(
        &mut self,
        task: &str,
        state: TaskState,
        assignee: Option<String>,
        reason: Option<String>,
    ) {
        let Some(record) = self.tasks.get_mut(task) else { return };
        let update = TaskUpdate { task: task.to_owned(), state, assignee, reason };
        if record.told == update {
            return;
        }
        record.told = update.clone();
        if matches!(state, TaskState::Done | TaskState::Failed | TaskState::Cancelled) {
            self.tasks.remove(task);
            if self.over.len() >= MAX_OVER {
                self.over.pop_front();
            }
            self.over.push_back(update.clone());
        }
        self.out.push_back(Output::Task(update));
    }

    /// Tells staff about a robot, once until it changes.
    pub(super) fn notice(&mut self, v: usize, text: &str) {
        let vehicle = &mut self.vehicles[v];
        if vehicle.told.as_deref() != Some(text) {
            vehicle.told = Some(text.to_owned());
            self.out.push_back(Output::Notice { robot: vehicle.id.clone(), text: text.to_owned() });
        }
    }

    pub(super) fn plate_id(&self, plate: PlateIndex) -> String {
        self.plate_ids.get(plate.0).cloned().unwrap_or_default()
    }

    pub(super) fn plate(&self, id: &str) -> Option<PlateIndex> {
        self.plates.get(id).copied()
    }

    /// An id that no earlier run has given.
    pub(super) fn fresh_id(&mut self) -> String {
        self.next_order += 1;
        format!("{:x}-{}", self.run, self.next_order)
    }

    /// The header of the next message to a robot; 0 for orders, 1 for instant actions.
    pub(super) fn header(&mut self, v: usize, topic: usize, now_us: i64) -> Header {
        let vehicle = &mut self.vehicles[v];
        let number = vehicle.headers[topic];
        vehicle.headers[topic] = number.wrapping_add(1);
        Header::new(&vehicle.id, &vehicle.version, number, now_us)
    }

    /// Tells a robot to do something at once. Gives the action's id.
    pub(super) fn instant(
        &mut self,
        v: usize,
        action_type: &str,
        parameters: Vec<linefree_bus::vda5050::order::ActionParameter>,
        now_us: i64,
    ) -> String {
        let id = format!("{action_type}.{}", self.fresh_id());
        let mut action: Action = Vehicle::action_with(action_type, id.clone(), parameters);
        if matches!(action_type, "stateRequest" | "factsheetRequest") {
            action.blocking_type = linefree_bus::vda5050::order::BlockingType::None;
        }
        let header = self.header(v, 1, now_us);
        let message = InstantActions::new(header, vec![action]);
        self.out.push_back(Output::InstantActions(self.vehicles[v].id.clone(), message));
        id
    }

    /// Does it still listen for robots at its start?
    pub(super) fn is_listening(&self, now_us: i64) -> bool {
        let unheard = |v: &Vehicle| v.link == Link::Unheard || v.whereabouts == Whereabouts::Unknown;
        now_us < self.began_us.saturating_add(LISTEN_US) && self.vehicles.iter().any(unheard)
    }

    /// How fast a robot may drive from one node to the next, metres a second.
    pub(super) fn speed(&self, now_us: i64) -> impl Fn(usize, usize) -> f64 + '_ {
        let stale = matches!(self.people, People::At(at_us, _) if now_us - at_us > PEOPLE_STALE_US);
        let people: &[Point2<f64>] = match &self.people {
            People::At(_, people) => people,
            People::Unwatched => &[],
        };
        move |a: usize, b: usize| {
            let nodes = self.map.nodes();
            let (Some(a), Some(b)) = (nodes.get(a), nodes.get(b)) else { return self.floor.slow_m_s };
            let near = people.iter().any(|p| distance_m(*p, a.at, b.at) < self.floor.slow_within_m);
            if stale || near { self.floor.slow_m_s } else { self.floor.speed_m_s }
        }
    }

    /// Sends the next message of a robot's trip, with so many nodes in the base.
    pub(super) fn send_trip(&mut self, v: usize, released: usize, now_us: i64) {
        let Some(mut trip) = self.vehicles[v].trip.take() else { return };
        let header = self.header(v, 0, now_us);
        let order = {
            let speed = self.speed(now_us);
            let ground = Ground { map: &self.map, map_id: &self.floor.map, speed: &speed };
            trip.message(&ground, released, header, now_us)
        };
        self.vehicles[v].trip = Some(trip);
        self.out.push_back(Output::Order(self.vehicles[v].id.clone(), order));
    }
}

/// How far a point is from a stretch, metres.
fn distance_m(p: Point2<f64>, a: Point2<f64>, b: Point2<f64>) -> f64 {
    let along = b - a;
    let length2 = along.norm_squared();
    let u = if length2 > 0.0 { ((p - a).dot(&along) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (p - (a + along * u)).norm()
}
