//! Where each robot goes next, and when it is charged; who takes what is decided in [`super::sharing`]. A robot goes home when it has nothing to do, when its battery is low, and when its next stop stays occupied, so that nobody
//! waits for it. Charging is asked for by the standard's `startCharging` at home and ended by `stopCharging` at the
//! first node of its next order, where the robot's factsheet knows them.

use linefree_bus::vda5050::factsheet::ActionScope;
use linefree_bus::vda5050::order::{Action, ActionParameter};
use linefree_bus::vda5050::state::State;

use super::control::{MasterControl, Stage, TaskRecord};
use super::steering::work_id;
use super::trip::{Purpose, Trip};
use super::vehicle::{CHARGE_BELOW, Job, Link, Progress, Stop, StopAt, Vehicle, Whereabouts, Work};
use super::{COUNTER, RobotTask, RobotTaskKind, STOCK, TaskState};

/// A robot waits so long for its next stop before it goes home to be out of the way.
const BLOCKED_US: i64 = 10_000_000;

impl MasterControl {
    /// Decides everything that can be decided now.
    pub(super) fn think(&mut self, now_us: i64) {
        if self.is_listening(now_us) {
            return;
        }
        let strays = self.has_strays();
        if strays {
            self.bring_strays_home(now_us);
        }
        for v in 0..self.vehicles.len() {
            let astray = self.vehicles[v].trip.as_ref().is_some_and(|t| t.purpose == Purpose::Astray);
            if !strays && !astray {
                self.release(v, now_us);
            }
        }
        if strays {
            return;
        }
        self.share_out(now_us);
        for v in 0..self.vehicles.len() {
            if self.is_ready(v) {
                self.go_on(v, now_us);
                self.release(v, now_us);
            }
        }
    }

    /// Can a robot be sent somewhere now?
    pub(super) fn is_ready(&self, v: usize) -> bool {
        let vehicle = &self.vehicles[v];
        vehicle.whereabouts == Whereabouts::Known
            && vehicle.trip.is_none()
            && vehicle.cancelling.is_none()
            && vehicle.unfit().is_none()
            && vehicle.state.as_ref().is_some_and(State::is_idle)
    }

    /// Tells a robot of nodes that have become free ahead of it.
    fn release(&mut self, v: usize, now_us: i64) {
        let vehicle = &self.vehicles[v];
        let Some(trip) = &vehicle.trip else { return };
        if trip.void || vehicle.cancelling.is_some() || vehicle.unfit().is_some() {
            return;
        }
        let released = (trip.reached + 1 + self.traffic.released(v)).min(trip.nodes.len());
        let begins = trip.sent.is_none() && (released > 1 || trip.nodes.len() == 1);
        let goes_on = trip.sent.is_some() && trip.confirmed && released > trip.released;
        if begins || goes_on {
            self.send_trip(v, released, now_us);
        }
    }

    /// Could a robot ever do a task, as things are?
    pub(super) fn may_ever(&self, v: usize, record: &TaskRecord) -> bool {
        let vehicle = &self.vehicles[v];
        let broken = match vehicle.link {
            Link::Online => vehicle.state.is_some() && vehicle.unfit().is_some(),
            Link::Lost(_) | Link::Unheard => true,
        };
        let tidy = record.task.kind == RobotTaskKind::Tidy && !vehicle.knows("tidy", ActionScope::Node);
        !broken && !tidy && !record.shunned.contains(&v)
    }

    /// A task whose goods are on the robot already.
    pub(super) fn take_up(&mut self, v: usize) -> bool {
        let waits = |task: &str| self.tasks.get(task).is_some_and(|t| t.stage == Stage::Waiting);
        let done: Vec<(String, Progress)> = self.vehicles[v]
            .done
            .iter()
            .filter(|(task, _)| waits(task))
            .map(|(t, p)| (t.clone(), *p))
            .collect();
        let name = self.vehicles[v].id.to_string();
        for (task, progress) in done {
            if progress == Progress::Delivered {
                self.tell(
                    &task,
                    TaskState::Done,
                    Some(name.clone()),
                    Some("it had been done before".to_owned()),
                );
                continue;
            }
            let Some(record) = self.tasks.get(&task) else { continue };
            let (_, to) = ends(&record.task, record.plate, |id| self.plates_of(id));
            if let Some(record) = self.tasks.get_mut(&task) {
                record.stage = Stage::On(v);
            }
            let stops =
                to.into_iter().map(|at| Stop { at, work: vec![(task.clone(), Work::Drop)] }).collect();
            self.vehicles[v].job = Some(Job { tasks: vec![task.clone()], stops });
            self.tell(&task, TaskState::Assigned, Some(name), Some("its goods are on the robot".to_owned()));
            return true;
        }
        false
    }

    pub(super) fn plates_of(&self, id: &str) -> Option<StopAt> {
        self.plate(id).map(StopAt::Plate)
    }

    /// Sends a robot that stands still on: along its way, to its next stop, home, or to the charger.
    fn go_on(&mut self, v: usize, now_us: i64) {
        if !self.traffic.at_rest(v) {
            let way: Vec<usize> = self.traffic.way(v).collect();
            self.set_out(v, Purpose::Clear, way, Vec::new(), now_us);
            return;
        }
        let Some(here) = self.traffic.at(v) else { return };
        let home = self.vehicles[v].post.home;
        if let Some(job) = &mut self.vehicles[v].job {
            while job.stops.front().is_some_and(|s| s.work.is_empty()) {
                job.stops.pop_front();
            }
            let Some(stop) = job.stops.front().cloned() else {
                self.vehicles[v].job = None;
                return;
            };
            if self.go_to_stop(v, here, &stop, now_us) {
                self.vehicles[v].blocked_us = None;
                return;
            }
            let since_us = *self.vehicles[v].blocked_us.get_or_insert(now_us);
            if now_us - since_us < BLOCKED_US || here == home {
                return;
            }
        }
        if here != home {
            if self.drive(v, home, Purpose::Home, Vec::new(), now_us) {
                self.vehicles[v].blocked_us = None;
            }
            return;
        }
        self.charge(v, now_us);
    }

    /// Asks for charging at home, once.
    fn charge(&mut self, v: usize, now_us: i64) {
        let vehicle = &self.vehicles[v];
        let asked = vehicle
            .state
            .iter()
            .flat_map(|s| &s.action_states)
            .any(|a| a.action_id.starts_with("startCharging") && !a.action_status.is_over());
        let wants = vehicle.charge() < CHARGE_BELOW
            && !vehicle.is_charging()
            && !asked
            && now_us >= vehicle.rest_until_us
            && vehicle.knows("startCharging", ActionScope::Instant);
        if wants {
            self.instant(v, "startCharging", Vec::new(), now_us);
            // It is not asked again at every state until it has answered.
            self.vehicles[v].rest_until_us = now_us.saturating_add(super::trouble::CONFIRM_US);
        }
    }

    /// The nearest bay of a stop that nobody has, or that the robot is at.
    fn goal_of(&self, here: usize, stop: &Stop) -> Option<usize> {
        let mut goals: Vec<usize> = match &stop.at {
            StopAt::Plate(plate) => self.floor.bays_of(*plate).collect(),
            StopAt::Station(name) => self.floor.station(name).collect(),
        };
        goals.sort_by(|a, b| self.map.far_m(*a, here).total_cmp(&self.map.far_m(*b, here)));
        goals.into_iter().find(|g| *g == here || self.traffic.is_free(*g))
    }

    fn actions_at(&mut self, v: usize, stop: &Stop) -> Vec<Action> {
        let fresh = self.fresh_id();
        stop.work.iter().map(|(task, work)| self.work_action(v, &fresh, task, *work, stop)).collect()
    }

    fn go_to_stop(&mut self, v: usize, here: usize, stop: &Stop, now_us: i64) -> bool {
        let Some(goal) = self.goal_of(here, stop) else { return false };
        let actions = self.actions_at(v, stop);
        self.drive(v, goal, Purpose::Job, actions, now_us)
    }

    /// Calls a robot that is on its way home back to the first stop of a job; `false` when it goes on home first.
    pub(super) fn call_back(&mut self, v: usize, job: Job, now_us: i64) -> bool {
        let Some(from) = self.base_end(v) else { return false };
        let goal = job.stops.front().and_then(|stop| self.goal_of(from, stop));
        if goal.is_none_or(|goal| goal == from || !self.divert(v, goal, now_us)) {
            return false;
        }
        let last = job.stops.front().map(|stop| self.actions_at(v, stop)).unwrap_or_default();
        let way: Vec<usize> = self.traffic.way(v).collect();
        let vehicle = &mut self.vehicles[v];
        vehicle.job = Some(job);
        if let Some(trip) = &mut vehicle.trip {
            trip.nodes.truncate(trip.reached);
            trip.nodes.extend(way);
            (trip.purpose, trip.last, trip.planned_us) = (Purpose::Job, last, now_us);
        }
        true
    }

    /// The last node that is released to a robot, from which it can go anywhere.
    pub(super) fn base_end(&self, v: usize) -> Option<usize> {
        self.traffic.way(v).nth(self.traffic.released(v))
    }

    /// What a robot is told to do for a task.
    fn work_action(&self, v: usize, fresh: &str, task: &str, work: Work, stop: &Stop) -> Action {
        let vehicle = &self.vehicles[v];
        let mut parameters = Vec::new();
        let station = match &stop.at {
            StopAt::Plate(plate) => self.plate_id(*plate),
            StopAt::Station(name) => name.clone(),
        };
        if work != Work::Tidy {
            parameters.push(ActionParameter::new("stationType", "floor"));
            parameters.push(ActionParameter::new("stationName", station));
            parameters.push(ActionParameter::new("loadType", vehicle.load_type()));
            parameters.push(ActionParameter::new("loadId", task));
        }
        if let Some(record) = self.tasks.get(task) {
            parameters.push(ActionParameter::new("sku", record.task.sku.as_str()));
            parameters.push(ActionParameter::new("quantity", record.task.quantity));
            parameters.push(ActionParameter::new("plate", record.task.plate.as_str()));
            if let Some(order) = &record.task.order {
                parameters.push(ActionParameter::new("order", order.as_str()));
            }
        }
        Vehicle::action_with(work.action_type(), work_id(work, fresh, task), parameters)
    }

    /// Plans a way and sets out; `false` when the goal is not free.
    fn drive(&mut self, v: usize, goal: usize, purpose: Purpose, actions: Vec<Action>, now_us: i64) -> bool {
        let way: Vec<usize> = if self.traffic.at(v) == Some(goal) {
            vec![goal]
        } else {
            let drive_us = self.drive_us(now_us);
            let sent = self.traffic.send(v, goal, now_us, &drive_us);
            if sent.is_err() {
                return false;
            }
            self.traffic.way(v).collect()
        };
        self.set_out(v, purpose, way, actions, now_us);
        true
    }

    /// Gives a robot that is under way another goal behind what is released to it; `false` when that cannot be now.
    pub(super) fn divert(&mut self, v: usize, goal: usize, now_us: i64) -> bool {
        let drive_us = self.drive_us(now_us);
        self.traffic.divert(v, goal, now_us, &drive_us).is_ok()
    }

    /// How long each edge takes now, apart from the traffic, which is changed by planning.
    fn drive_us(&self, now_us: i64) -> impl Fn(usize, usize) -> i64 + use<> {
        let (map, speeds, slow_m_s) = (self.map.clone(), self.speeds(now_us), self.floor.slow_m_s);
        move |a: usize, b: usize| {
            let length_m = map.joined(a).iter().find(|(n, _)| *n == b).map_or(1.0, |(_, m)| *m);
            let m_s = speeds.get(&(a.min(b), a.max(b))).copied().unwrap_or(slow_m_s);
            (length_m / m_s * 1e6) as i64
        }
    }

    /// How fast each edge may be driven now.
    fn speeds(&self, now_us: i64) -> std::collections::HashMap<(usize, usize), f64> {
        let speed = self.speed(now_us);
        self.floor.edges.iter().map(|&(a, b)| ((a.min(b), a.max(b)), speed(a, b))).collect()
    }

    fn set_out(&mut self, v: usize, purpose: Purpose, way: Vec<usize>, last: Vec<Action>, now_us: i64) {
        let mut trip = Trip::new(self.fresh_id(), purpose, way, now_us);
        trip.last = last;
        trip.from = trip.nodes.first().and_then(|n| self.beside(v, *n)).filter(|_| purpose == Purpose::Clear);
        let vehicle = &self.vehicles[v];
        if trip.nodes.len() > 1 && vehicle.is_charging() && vehicle.knows("stopCharging", ActionScope::Node) {
            trip.first.push(Vehicle::action("stopCharging", format!("stopCharging.{}", trip.order_id)));
        }
        self.vehicles[v].trip = Some(trip);
    }
}

/// Where a task's goods are taken and given.
pub(super) fn ends(
    task: &RobotTask,
    plate: linefree_domain::ids::PlateIndex,
    plate_of: impl Fn(&str) -> Option<StopAt>,
) -> (StopAt, Option<StopAt>) {
    let station = |name: &str, default: &str| {
        StopAt::Station(if name.is_empty() { default.to_owned() } else { name.to_owned() })
    };
    let here = StopAt::Plate(plate);
    match task.kind {
        RobotTaskKind::Pick => (here, Some(station(&task.deliver_to, COUNTER))),
        RobotTaskKind::Restock => (station("", STOCK), Some(here)),
        RobotTaskKind::ReturnMisplaced => {
            let to = plate_of(&task.deliver_to).unwrap_or_else(|| station(&task.deliver_to, COUNTER));
            (here, Some(to))
        }
        RobotTaskKind::Tidy => (here, None),
    }
}
