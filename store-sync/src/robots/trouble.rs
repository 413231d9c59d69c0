//! What goes wrong with robots, and what becomes of their tasks.
//!
//! | what is seen | what follows |
//! | --- | --- |
//! | an order is not confirmed within [`CONFIRM_US`] | it is sent again, [`TRIES`] times; then the task is given to another robot and the order called off |
//! | an order or an update is refused | the task goes to another robot; the robot rests for [`REST_US`] |
//! | an action fails | its task goes to another robot; the other tasks of the job go on |
//! | nothing moves for [`STUCK_US`] (a person in the way does not move for long) | the task goes to another robot; the order is called off |
//! | `CONNECTIONBROKEN`, `OFFLINE`, or no state for [`SILENT_US`] | after [`LOST_US`] the tasks go to other robots; every node that was released stays blocked; when the robot is back its order is called off, and it goes on along its way |
//! | a FATAL error, an emergency stop, a person who drives | the same, at once for errors and people |
//! | the robot has forgotten its order | the task fails once; the robot is asked to go on along its way |
//! | the robot is where it was not sent | the order is called off, staff are told |
//! | a task has failed `staff_after` times, is late and nobody has it, or no robot is left that may have it | it is for staff |
//!
//! Goods that a robot had picked for a task that then went to somebody else stay on it: it takes nothing new, goes home,
//! and staff are told to take them off.

use linefree_bus::vda5050::factsheet::ActionScope;
use linefree_bus::vda5050::order::ActionParameter;
use linefree_bus::vda5050::state::{ErrorLevel, OperatingMode, State};

use linefree_domain::fulfilment::road_map::Place;

use super::control::{MasterControl, Stage};
use super::trip::Purpose;
use super::vehicle::{Cancelling, Link, Progress, Vehicle, Whereabouts};
use super::{STAFF, TaskState};

/// An order that the robot's state does not show is sent again after this.
pub const CONFIRM_US: i64 = 3_000_000;
/// How often something is sent.
pub const TRIES: u32 = 4;
/// A robot that failed takes no task for so long.
pub const REST_US: i64 = 30_000_000;
/// A robot on its way that does not get on for so long is stuck.
pub const STUCK_US: i64 = 90_000_000;
/// An action that takes longer is stuck.
pub const WORK_US: i64 = 300_000_000;
/// Robots say how they are every 30 s at least; one that is silent for longer is lost.
pub const SILENT_US: i64 = 45_000_000;
/// A lost robot may come back so long before its tasks go to others.
pub const LOST_US: i64 = 20_000_000;
/// A robot that waits for others looks for another way after so long.
const REPLAN_US: i64 = 10_000_000;
/// Others plan around a lost or broken robot for so long ahead.
const AROUND_US: i64 = 120_000_000;
/// A task that no robot could take is for staff so long after the moment at which it was due.
const LATE_US: i64 = 0;

impl MasterControl {
    pub(super) fn is_online(&mut self, v: usize, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        let was_lost = matches!(vehicle.link, Link::Lost(_));
        vehicle.link = Link::Online;
        if was_lost {
            let vehicle = &mut self.vehicles[v];
            let orphan = vehicle.trip.as_ref().is_some_and(|t| t.void);
            if let Some(trip) = &mut vehicle.trip {
                trip.moved_us = now_us;
            }
            if orphan {
                self.call_off(v, now_us);
            }
        }
    }

    pub(super) fn is_lost(&mut self, v: usize, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        if vehicle.link == Link::Online {
            vehicle.link = Link::Lost(now_us);
            self.traffic.expect_until(v, now_us.saturating_add(AROUND_US));
        }
    }

    /// Looks at one robot's time-outs.
    pub(super) fn watch(&mut self, v: usize, now_us: i64) {
        if self.vehicles[v].link == Link::Online && now_us - self.vehicles[v].heard_us > SILENT_US {
            self.is_lost(v, now_us);
        }
        let vehicle = &self.vehicles[v];
        let hindered = vehicle.link != Link::Online
            || vehicle.unfit().is_some()
            || vehicle.cancelling.is_some()
            || vehicle.trip.as_ref().is_some_and(|t| t.void);
        self.traffic.expect_until(v, if hindered { now_us.saturating_add(AROUND_US) } else { now_us });
        if let Link::Lost(since_us) = self.vehicles[v].link {
            if now_us - since_us > LOST_US {
                self.fail_job(v, "the connection to the robot is lost", false, now_us);
                if self.vehicles[v].whereabouts == Whereabouts::Known {
                    self.notice(
                        v,
                        "lost: see to it, or push it home and say so; its place stays blocked until then",
                    );
                }
            }
            return;
        }
        self.ask_factsheet(v, now_us);
        if let Some(cancelling) = &self.vehicles[v].cancelling {
            if now_us - cancelling.sent_us > CONFIRM_US {
                if cancelling.tries >= TRIES {
                    self.notice(v, "it does not stop its order: see to it, or push it home and say so");
                } else {
                    let tries = cancelling.tries + 1;
                    let action_id = self.instant(v, "cancelOrder", Vec::new(), now_us);
                    self.vehicles[v].cancelling = Some(Cancelling { action_id, sent_us: now_us, tries });
                }
            }
            return;
        }
        self.watch_trip(v, now_us);
    }

    fn watch_trip(&mut self, v: usize, now_us: i64) {
        let Some(trip) = &self.vehicles[v].trip else { return };
        if trip.sent.is_none() {
            return;
        }
        if !trip.confirmed && now_us - trip.sent_us > CONFIRM_US {
            if trip.tries < TRIES {
                self.send_again(v, now_us);
            } else {
                self.vehicles[v].rest_until_us = now_us.saturating_add(REST_US);
                self.fail_job(v, "the robot did not take the order", true, now_us);
                self.call_off(v, now_us);
            }
            return;
        }
        let working = trip.is_there() && !trip.last.is_empty();
        let may_go_on = working || trip.reached + 1 < trip.released || trip.is_there();
        let limit_us = if working { WORK_US } else { STUCK_US };
        if trip.confirmed && may_go_on && now_us - trip.moved_us > limit_us {
            self.vehicles[v].rest_until_us = now_us.saturating_add(REST_US);
            self.fail_job(v, "the robot does not get on", true, now_us);
            self.call_off(v, now_us);
            self.notice(v, "it does not get on: is something in its way?");
            return;
        }
        let waits = trip.confirmed && !trip.void && trip.reached + 1 == trip.released && !trip.is_there();
        if waits && now_us - trip.moved_us.max(trip.planned_us) > REPLAN_US {
            self.plan_again(v, now_us);
        }
    }

    /// Looks for another way to where a robot is going that does not wait for whoever is in its way.
    fn plan_again(&mut self, v: usize, now_us: i64) {
        let Some(goal) = self.vehicles[v].trip.as_ref().and_then(super::trip::Trip::goal) else { return };
        let diverted = self.divert(v, goal, now_us);
        let way: Vec<usize> = self.traffic.way(v).collect();
        let Some(trip) = &mut self.vehicles[v].trip else { return };
        trip.planned_us = now_us;
        if diverted && trip.purpose != Purpose::Astray {
            trip.nodes.truncate(trip.reached);
            trip.nodes.extend(way);
        }
    }

    /// The same message once more: a robot that has it passes it over.
    fn send_again(&mut self, v: usize, now_us: i64) {
        let header = self.header(v, 0, now_us);
        let vehicle = &mut self.vehicles[v];
        let Some(trip) = &mut vehicle.trip else { return };
        let Some(order) = &mut trip.sent else { return };
        order.header = header;
        trip.sent_us = now_us;
        trip.tries += 1;
        let order = order.clone();
        self.out.push_back(super::control::Output::Order(vehicle.id.clone(), order));
    }

    /// Asks for a factsheet, a few times.
    pub(super) fn ask_factsheet(&mut self, v: usize, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        let (asked_us, times) = vehicle.asked_factsheet;
        let due = vehicle.link == Link::Online
            && vehicle.factsheet.is_none()
            && times < TRIES
            && (times == 0 || now_us - asked_us > 10 * CONFIRM_US);
        if due {
            vehicle.asked_factsheet = (now_us, times + 1);
            self.instant(v, "factsheetRequest", Vec::new(), now_us);
        }
    }

    /// Calls a robot's order off. One that was never sent is just forgotten.
    pub(super) fn call_off(&mut self, v: usize, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        let sent = vehicle.trip.as_ref().is_some_and(|t| t.sent.is_some());
        if !sent {
            vehicle.trip = None;
            return;
        }
        if vehicle.cancelling.is_none() {
            let action_id = self.instant(v, "cancelOrder", Vec::new(), now_us);
            self.vehicles[v].cancelling = Some(Cancelling { action_id, sent_us: now_us, tries: 1 });
        }
    }

    /// Is the order off?
    pub(super) fn is_called_off(&mut self, v: usize, state: &State, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        let Some(cancelling) = &vehicle.cancelling else { return };
        // An order that the robot never had cannot be called off; then the action fails, and that is as well.
        // And one that has been switched off and moved meanwhile does not know of it any more.
        let over = state.action(&cancelling.action_id).is_some_and(|a| a.action_status.is_over())
            || now_us - cancelling.sent_us > CONFIRM_US;
        if !over || !state.is_idle() || state.driving {
            return;
        }
        vehicle.cancelling = None;
        self.end_early(v, state, now_us);
    }

    /// The robot has no order any more, before it has reached its resting place.
    fn end_early(&mut self, v: usize, state: &State, now_us: i64) {
        let Some(trip) = self.vehicles[v].trip.take() else { return };
        if trip.purpose == Purpose::Astray {
            self.vehicles[v].whereabouts = Whereabouts::Unknown;
            self.locate(v, state, now_us);
            return;
        }
        // It has no order now. At a resting place nothing needs to be kept ahead of it.
        if let Some(here) = self.traffic.at(v).filter(|_| !self.traffic.at_rest(v)) {
            self.give_back(v, here);
        }
    }

    /// The robot has forgotten an order that it had.
    pub(super) fn lost_its_order(&mut self, v: usize, state: &State, now_us: i64) {
        self.vehicles[v].cancelling = None;
        self.fail_job(v, "the robot no longer knows its order", true, now_us);
        let on_the_way = self.vehicles[v].trip.as_ref().is_some_and(|t| {
            t.is_node(&self.map, t.reached, &state.last_node_id) || state.last_node_id.is_empty()
        });
        self.end_early(v, state, now_us);
        if !on_the_way && self.vehicles[v].whereabouts == Whereabouts::Known {
            self.traffic.take_away(v);
            self.vehicles[v].whereabouts = Whereabouts::Unknown;
            self.locate(v, state, now_us);
        }
    }

    /// The robot refuses an order that it has not begun.
    pub(super) fn refused(&mut self, v: usize, why: &str, now_us: i64) {
        let vehicle = &mut self.vehicles[v];
        vehicle.rest_until_us = now_us.saturating_add(REST_US);
        vehicle.cancelling = None;
        let Some(trip) = vehicle.trip.take() else { return };
        self.fail_job(v, &format!("the robot refused the order: {why}"), true, now_us);
        self.notice(v, &format!("it refuses orders: {why}"));
        // It has not left its place: what was reserved ahead of it is given back, if its place is still its own.
        if trip.purpose != Purpose::Astray
            && let Some(here) = trip.nodes.first().copied()
            && self.traffic.way(v).count() > 1
        {
            self.give_back(v, here);
        }
    }

    /// Gives back what is reserved ahead of a robot that stands at a resting place, unless somebody is to come there.
    fn give_back(&mut self, v: usize, here: usize) {
        if self.map.nodes().get(here).is_none_or(|n| n.place == Place::Lane) {
            return;
        }
        let others = |w: &usize| *w != v && self.traffic.way(*w).any(|n| n == here);
        if (0..self.vehicles.len()).any(|w| others(&w)) {
            return;
        }
        self.traffic.take_away(v);
        if self.traffic.put(v, here).is_err() {
            self.vehicles[v].whereabouts = Whereabouts::Unknown;
        }
    }

    /// Errors that a person must see to.
    pub(super) fn faults(&mut self, v: usize, now_us: i64) {
        let Some(state) = &self.vehicles[v].state else { return };
        let fatal = state.errors.iter().any(|e| e.error_level == ErrorLevel::Fatal);
        let driven = !matches!(state.operating_mode, OperatingMode::Automatic | OperatingMode::SemiAutomatic);
        if !fatal && !driven {
            return;
        }
        let why = self.vehicles[v].unfit().unwrap_or_default();
        self.fail_job(v, &why, false, now_us);
        let has_order = self.vehicles[v].trip.as_ref().is_some_and(|t| t.purpose == Purpose::Job);
        if has_order {
            self.call_off(v, now_us);
        }
        self.notice(v, &format!("{why}: see to it"));
    }

    /// Everything that the robot has to do goes to others. `counts`: the robot has had its chance.
    pub(super) fn fail_job(&mut self, v: usize, why: &str, counts: bool, now_us: i64) {
        let job = self.vehicles[v].job.take().unwrap_or_default();
        if let Some(trip) = self.vehicles[v].trip.as_mut().filter(|t| t.purpose == Purpose::Job && !t.void) {
            trip.void = true;
            // Where it was going is free for others; what was released to it is not.
            let home = self.vehicles[v].post.home;
            if !self.traffic.at_rest(v) {
                self.divert(v, home, now_us);
            }
        }
        for task in job.tasks {
            self.fail_task(&task, v, why, counts);
        }
        if self.vehicles[v].carries_leftovers() {
            self.notice(v, "goods of a task that somebody else has now are on it: take them off and say so");
        }
    }

    /// A robot could not do a task.
    pub(super) fn fail_task(&mut self, task: &str, v: usize, why: &str, counts: bool) {
        self.drop_from_job(v, task);
        let name = self.vehicles[v].id.to_string();
        let staff_after = self.floor.staff_after;
        let Some(record) = self.tasks.get_mut(task) else { return };
        if record.stage != Stage::On(v) {
            return;
        }
        record.stage = Stage::Waiting;
        record.failures += 1;
        if counts {
            record.shunned.insert(v);
        }
        let failures = record.failures;
        if failures >= staff_after {
            self.give_to_staff(task, format!("{name}: {why}; robots have failed {failures} times"));
        } else {
            self.tell(task, TaskState::Waiting, None, Some(format!("{name}: {why}")));
        }
    }

    pub(super) fn give_to_staff(&mut self, task: &str, why: String) {
        if let Some(record) = self.tasks.get_mut(task) {
            record.stage = Stage::Staff;
            self.tell(task, TaskState::Assigned, Some(STAFF.to_owned()), Some(why));
            // From here on staff tell what becomes of it.
            self.tasks.remove(task);
        }
    }

    /// What no robot could take in time, or none is left to take, is for staff.
    pub(super) fn give_up_late_tasks(&mut self, now_us: i64) {
        let waiting: Vec<(String, &'static str)> = self
            .tasks
            .values()
            .filter(|t| t.stage == Stage::Waiting)
            .filter_map(|t| {
                let left = (0..self.vehicles.len()).any(|v| self.may_ever(v, t));
                if !left && now_us - t.placed_us > LOST_US {
                    return Some((t.task.task.clone(), "no robot is left that could do it"));
                }
                (now_us > t.task.due_us.saturating_add(LATE_US) && now_us - t.placed_us > LOST_US)
                    .then(|| (t.task.task.clone(), "no robot was free in time"))
            })
            .collect();
        for (task, why) in waiting {
            self.give_to_staff(&task, why.to_owned());
        }
    }

    /// A task is called off. What a robot has picked already it still brings.
    pub fn cancel(&mut self, task: &str, now_us: i64) {
        let Some(record) = self.tasks.get(task) else { return };
        let stage = record.stage;
        let mut why = None;
        if let Stage::On(v) = stage {
            let picked = self.vehicles[v].done.get(task) == Some(&Progress::Picked);
            if picked {
                why = Some("its goods had been picked; they come to where they were to go".to_owned());
            } else {
                let alone = self.vehicles[v].job.as_ref().is_some_and(|j| j.tasks.len() == 1);
                self.drop_from_job(v, task);
                let on_job = self.vehicles[v].trip.as_ref().is_some_and(|t| t.purpose == Purpose::Job);
                if alone && on_job {
                    self.call_off(v, now_us);
                }
            }
        }
        self.tell(task, TaskState::Cancelled, None, why);
        self.think(now_us);
    }

    /// Staff have brought a robot home, taken goods off it, and switched it to automatic again.
    pub fn moved_home(&mut self, robot: &linefree_bus::vda5050::RobotId, now_us: i64) -> bool {
        let Some(v) = self.vehicles.iter().position(|w| w.id == *robot) else { return false };
        self.fail_job(v, "staff have moved the robot", false, now_us);
        self.traffic.take_away(v);
        let home = self.vehicles[v].post.home;
        let placed = self.traffic.put(v, home).is_ok();
        let vehicle: &mut Vehicle = &mut self.vehicles[v];
        vehicle.whereabouts = if placed { Whereabouts::Known } else { Whereabouts::Unknown };
        vehicle.done.retain(|_, progress| *progress != Progress::Picked);
        vehicle.told = None;
        vehicle.rest_until_us = now_us;
        if vehicle.state.as_ref().is_some_and(|s| !s.is_idle()) {
            self.call_off(v, now_us);
        } else {
            vehicle.trip = None;
            vehicle.cancelling = None;
        }
        let at = self.map.nodes().get(home).map(|n| (n.at, n.id.clone()));
        if let Some((at, id)) = at
            && self.vehicles[v].knows("initPosition", ActionScope::Instant)
        {
            let theta = self.vehicles[v]
                .state
                .as_ref()
                .and_then(|s| s.agv_position.as_ref())
                .map_or(0.0, |p| p.theta);
            let parameters = vec![
                ActionParameter::new("x", at.x),
                ActionParameter::new("y", at.y),
                ActionParameter::new("theta", theta),
                ActionParameter::new("mapId", self.floor.map.as_str()),
                ActionParameter::new("lastNodeId", id),
            ];
            self.instant(v, "initPosition", parameters, now_us);
        }
        self.think(now_us);
        true
    }
}
