//! Which robot takes which tasks, where each goes next, and when it is charged.
//!
//! Tasks are chosen by least slack ([`Dispatcher`]): the one with the least time to spare, and with it, where a robot
//! takes several along, those that lie on its way. Picks of one destination go together; other tasks go alone. A robot
//! goes home when it has nothing to do, when its battery is low, and when its next stop stays occupied, so that nobody
//! waits for it. Charging is asked for by the standard's `startCharging` at home and ended by `stopCharging` at the
//! first node of its next order, where the robot's factsheet knows them.

use linefree_bus::vda5050::factsheet::ActionScope;
use linefree_bus::vda5050::order::{Action, ActionParameter};
use linefree_bus::vda5050::state::State;
use linefree_domain::fulfilment::dispatch::{Choice, Dispatcher, Estimate, Job as Wanted, tour};

use super::control::{MasterControl, Stage, TaskRecord};
use super::steering::work_id;
use super::trip::{Purpose, Trip};
use super::vehicle::{
    CHARGE_BELOW, Job, LOW_BATTERY, Link, Progress, Stop, StopAt, Vehicle, Whereabouts, Work,
};
use super::{COUNTER, RobotTask, RobotTaskKind, STOCK, TaskState};

/// A robot waits so long for its next stop before it goes home to be out of the way.
const BLOCKED_US: i64 = 10_000_000;

/// What estimates are made of: people and other robots are about.
const ESTIMATE: Estimate = Estimate { m_per_s: 0.6, pick_s: 22.0, hand_over_s: 10.0 };

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
        self.dispatch(now_us);
        for v in 0..self.vehicles.len() {
            if self.is_ready(v) {
                self.go_on(v, now_us);
                self.release(v, now_us);
            }
        }
    }

    /// Can a robot be sent somewhere now?
    fn is_ready(&self, v: usize) -> bool {
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

    /// Gives tasks to robots that have none.
    fn dispatch(&mut self, now_us: i64) {
        for v in 0..self.vehicles.len() {
            let vehicle = &self.vehicles[v];
            let free = vehicle.job.is_none()
                && self.is_ready(v)
                && self.traffic.at_rest(v)
                && now_us >= vehicle.rest_until_us
                && !vehicle.carries_leftovers()
                && vehicle.charge() >= LOW_BATTERY;
            // What an earlier run has had it pick, it brings, however it is.
            if self.is_ready(v) && vehicle.job.is_none() && self.take_up(v) {
                continue;
            }
            let Some(from) = self.traffic.at(v).filter(|_| free) else { continue };
            let chosen = self.choose(v, from, now_us);
            if !chosen.is_empty() {
                self.give(v, from, &chosen);
            }
        }
    }

    /// A task whose goods are on the robot already.
    fn take_up(&mut self, v: usize) -> bool {
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

    /// The tasks that a robot takes next.
    fn choose(&self, v: usize, from: usize, now_us: i64) -> Vec<String> {
        let open: Vec<&TaskRecord> =
            self.tasks.values().filter(|t| t.stage == Stage::Waiting && self.may_ever(v, t)).collect();
        let wanted = |records: &[&TaskRecord]| -> Vec<Wanted> {
            let near = |r: &TaskRecord| {
                let far_m = |b: &usize| self.map.far_m(*b, from);
                r.bays.iter().copied().min_by(|a, b| far_m(a).total_cmp(&far_m(b)))
            };
            let one = |(i, r): (usize, &&TaskRecord)| Wanted {
                id: i as u64,
                placed_us: r.placed_us,
                due_us: r.task.due_us,
                bays: near(r).into_iter().collect(),
            };
            records.iter().enumerate().map(one).collect()
        };
        let counter = self.floor.station(COUNTER).next().unwrap_or(self.vehicles[v].post.home);
        let by = |room: usize| Dispatcher { map: &self.map, from, counter, room, estimate: ESTIMATE };
        let first = by(1).choose(Choice::LeastSlack, &wanted(&open), now_us);
        let Some(first) = first.first().and_then(|i| open.get(*i)) else { return Vec::new() };
        let alone = vec![first.task.task.clone()];
        if self.floor.totes < 2 || first.task.kind != RobotTaskKind::Pick {
            return alone;
        }
        let alike: Vec<&TaskRecord> = open
            .iter()
            .copied()
            .filter(|r| r.task.kind == RobotTaskKind::Pick && r.task.deliver_to == first.task.deliver_to)
            .collect();
        let chosen = by(self.floor.totes).choose(Choice::LeastSlack, &wanted(&alike), now_us);
        chosen.iter().filter_map(|i| alike.get(*i)).map(|r| r.task.task.clone()).collect()
    }

    /// Makes tasks the job of a robot: first everything is taken, on a short tour, then everything is given.
    fn give(&mut self, v: usize, from: usize, chosen: &[String]) {
        let mut takes: Vec<(usize, Stop)> = Vec::new();
        let mut gives: Vec<Stop> = Vec::new();
        let add = |stops: &mut Vec<Stop>, at: StopAt, work: (String, Work)| match stops
            .iter_mut()
            .find(|s| s.at == at)
        {
            Some(stop) => stop.work.push(work),
            None => stops.push(Stop { at, work: vec![work] }),
        };
        for task in chosen {
            let Some(record) = self.tasks.get(task) else { continue };
            let (take, give) = ends(&record.task, record.plate, |id| self.plates_of(id));
            let far_m = |b: &usize| self.map.far_m(*b, from);
            let bay = record.bays.iter().copied().min_by(|a, b| far_m(a).total_cmp(&far_m(b)));
            let work = if record.task.kind == RobotTaskKind::Tidy { Work::Tidy } else { Work::Pick };
            takes.push((bay.unwrap_or(from), Stop { at: take, work: vec![(task.clone(), work)] }));
            if let Some(give) = give {
                add(&mut gives, give, (task.clone(), Work::Drop));
            }
        }
        let bays: Vec<usize> = takes.iter().map(|(bay, _)| *bay).collect();
        let (order, _) = tour(&self.map, from, &bays);
        let mut stops: Vec<Stop> = Vec::new();
        for bay in order {
            if let Some(i) = takes.iter().position(|(b, _)| *b == bay) {
                let (_, stop) = takes.remove(i);
                for work in stop.work {
                    add(&mut stops, stop.at.clone(), work);
                }
            }
        }
        stops.extend(gives);
        self.vehicles[v].job = Some(Job { tasks: chosen.to_vec(), stops: stops.into() });
        let name = self.vehicles[v].id.to_string();
        for task in chosen {
            if let Some(record) = self.tasks.get_mut(task) {
                record.stage = Stage::On(v);
            }
            self.tell(task, TaskState::Assigned, Some(name.clone()), None);
        }
    }

    fn plates_of(&self, id: &str) -> Option<StopAt> {
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

    fn go_to_stop(&mut self, v: usize, here: usize, stop: &Stop, now_us: i64) -> bool {
        let mut goals: Vec<usize> = match &stop.at {
            StopAt::Plate(plate) => self.floor.bays_of(*plate).collect(),
            StopAt::Station(name) => self.floor.station(name).collect(),
        };
        goals.sort_by(|a, b| self.map.far_m(*a, here).total_cmp(&self.map.far_m(*b, here)));
        let Some(goal) = goals.into_iter().find(|g| *g == here || self.traffic.is_free(*g)) else {
            return false;
        };
        let fresh = self.fresh_id();
        let actions =
            stop.work.iter().map(|(task, work)| self.work_action(v, &fresh, task, *work, stop)).collect();
        self.drive(v, goal, Purpose::Job, actions, now_us)
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
fn ends(
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
