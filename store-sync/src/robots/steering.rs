//! What a robot's state means for its trip and its tasks.

use linefree_bus::vda5050::state::{ActionStatus, Error, State};
use nalgebra::Point2;

use super::TaskState;
use super::control::{MasterControl, Stage};
use super::trip::{Purpose, Trip};
use super::vehicle::{Progress, Whereabouts, Work};

/// A robot has moved when it is so much further, metres.
const MOVED_M: f64 = 0.1;

/// The id of an action of a task: `pick.{something fresh}.{task}`.
pub(super) fn work_id(work: Work, fresh: &str, task: &str) -> String {
    format!("{}.{fresh}.{task}", work.action_type())
}

/// What an id of an action says: the work and the task.
pub(super) fn work_of(action_id: &str) -> Option<(Work, &str)> {
    let mut parts = action_id.splitn(3, '.');
    let work = match parts.next()? {
        "pick" => Work::Pick,
        "drop" => Work::Drop,
        "tidy" => Work::Tidy,
        _ => return None,
    };
    parts.next()?;
    Some((work, parts.next()?))
}

/// What followed from a state.
enum Follows {
    Nothing,
    /// The robot no longer has the order.
    Vanished,
    /// The robot refuses the order.
    Refused(String),
    /// The robot refuses an update.
    UpdateRefused(String),
    /// The robot is where it was not sent.
    OffTheWay(String),
}

/// An error about this order or update, if the robot reports one.
fn refusal(state: &State, trip: &Trip) -> Option<String> {
    let about = |error: &&Error| {
        let of = |key: &str| {
            let refs = error.error_references.iter();
            refs.clone().find(|r| r.reference_key == key).map(|r| r.reference_value.as_str())
        };
        let ours = of("orderId") == Some(trip.order_id.as_str());
        let update = of("orderUpdateId").is_none_or(|n| n == trip.update_id.to_string());
        // The standard's own names where nothing is referenced.
        let nameless = error.error_references.is_empty()
            && matches!(
                error.error_type.as_str(),
                "orderError" | "orderUpdateError" | "noRouteError" | "validationError"
            );
        let action = of("actionId").is_some() && trip.accepted;
        (ours && update && !action) || nameless
    };
    let error = state.errors.iter().find(about)?;
    let text = error.error_description.as_deref().unwrap_or_default();
    Some(format!("{} {text}", error.error_type).trim_end().to_owned())
}

impl MasterControl {
    /// Takes in the newest state of a robot.
    pub(super) fn steer(&mut self, v: usize, now_us: i64) {
        let Some(state) = self.vehicles[v].state.clone() else { return };
        self.note_done(v, &state);
        self.ask_factsheet(v, now_us);
        if self.vehicles[v].whereabouts != Whereabouts::Known
            && self.vehicles[v].trip.as_ref().is_none_or(|t| t.purpose != Purpose::Astray)
        {
            self.locate(v, &state, now_us);
        }
        match self.follow(v, &state, now_us) {
            Follows::Nothing => {}
            Follows::Vanished => self.lost_its_order(v, &state, now_us),
            Follows::Refused(why) => self.refused(v, &why, now_us),
            Follows::UpdateRefused(why) => {
                self.fail_job(v, &format!("the robot refused an order update: {why}"), true, now_us);
                self.call_off(v, now_us);
            }
            Follows::OffTheWay(why) => {
                self.fail_job(v, &why, true, now_us);
                self.call_off(v, now_us);
                self.notice(v, &format!("{why}: push it home and say so"));
            }
        }
        self.has_moved(v, &state, now_us);
        self.work_of_trip(v, now_us);
        self.is_called_off(v, &state, now_us);
        self.end_trip(v, &state);
        self.stands_elsewhere(v, &state, now_us);
        self.faults(v, now_us);
    }

    /// Remembers what the robot has done of tasks, whoever gave them to it: also what an earlier run did.
    fn note_done(&mut self, v: usize, state: &State) {
        let vehicle = &mut self.vehicles[v];
        for action in state.action_states.iter().filter(|a| a.action_status == ActionStatus::Finished) {
            let Some((work, task)) = work_of(&action.action_id) else { continue };
            let progress = if work == Work::Pick { Progress::Picked } else { Progress::Delivered };
            let known = vehicle.done.entry(task.to_owned()).or_insert(progress);
            *known = progress.max(*known);
        }
        let mentioned = |task: &str| {
            state.action_states.iter().any(|a| work_of(&a.action_id).is_some_and(|(_, t)| t == task))
        };
        let empty = state.loads.as_ref().is_some_and(Vec::is_empty);
        let job = vehicle.job.clone().unwrap_or_default();
        vehicle.done.retain(|task, progress| {
            // What was delivered is remembered while the robot speaks of it. Goods that no job is about are gone when
            // the robot says that it is empty.
            let gone = empty && !job.tasks.contains(task);
            if *progress == Progress::Picked { !gone } else { mentioned(task) }
        });
    }

    fn follow(&mut self, v: usize, state: &State, now_us: i64) -> Follows {
        let vehicle = &mut self.vehicles[v];
        let Some(trip) = &mut vehicle.trip else { return Follows::Nothing };
        if trip.sent.is_none() {
            return Follows::Nothing;
        }
        if state.order_id != trip.order_id {
            if trip.accepted {
                return Follows::Vanished;
            }
            return refusal(state, trip).map_or(Follows::Nothing, Follows::Refused);
        }
        trip.accepted = true;
        if state.order_update_id == trip.update_id {
            trip.confirmed = true;
        } else if let Some(why) = refusal(state, trip)
            && vehicle.cancelling.is_none()
        {
            return Follows::UpdateRefused(why);
        }
        let reached = (state.last_node_sequence_id / 2) as usize;
        let even = state.last_node_sequence_id.is_multiple_of(2);
        // Some tell the number of their last order's last node until they begin to move: it is the node that they are at.
        let stale = !trip.is_node(&self.map, reached, &state.last_node_id)
            && trip.is_node(&self.map, trip.reached, &state.last_node_id);
        if even && reached > trip.reached && !stale {
            if reached >= trip.released || !trip.is_node(&self.map, reached, &state.last_node_id) {
                return Follows::OffTheWay(format!(
                    "the robot says that it is at {:?}, where it was not sent",
                    state.last_node_id
                ));
            }
            if trip.purpose != Purpose::Astray {
                for _ in trip.reached..reached {
                    // It may have left long ago; what counts is that it has arrived.
                    let _ = self.traffic.leaves(v, now_us);
                    let _ = self.traffic.arrives(v);
                }
            }
            trip.reached = reached;
            trip.moved_us = now_us;
            if trip.is_there() && !trip.void {
                let took_s = (now_us - trip.began_us) as f64 * 1e-6;
                self.pace.saw(trip.length_m(&self.map), took_s);
            }
        }
        if state.driving && trip.purpose != Purpose::Astray && trip.reached + 1 < trip.released {
            let _ = self.traffic.leaves(v, now_us);
        }
        if trip.purpose == Purpose::Job {
            self.tell_underway(v);
        }
        Follows::Nothing
    }

    /// A robot that moves is not stuck.
    fn has_moved(&mut self, v: usize, state: &State, now_us: i64) {
        let Some(at) = state.agv_position.as_ref().map(|p| Point2::new(p.x, p.y)) else { return };
        let Some(trip) = &mut self.vehicles[v].trip else { return };
        if trip.moved_at.is_none_or(|before| (at - before).norm() >= MOVED_M) {
            trip.moved_at = Some(at);
            trip.moved_us = now_us;
        }
    }

    fn tell_underway(&mut self, v: usize) {
        let name = self.vehicles[v].id.to_string();
        let fresh = |task: &String| {
            self.tasks
                .get(task)
                .is_some_and(|t| t.stage == Stage::On(v) && t.told.state == TaskState::Assigned)
        };
        let tasks = self.vehicles[v].job.iter().flat_map(|job| &job.tasks);
        for task in tasks.filter(|t| fresh(t)).cloned().collect::<Vec<_>>() {
            self.tell(&task, TaskState::Underway, Some(name.clone()), None);
        }
    }

    /// Deals with actions at the resting place that have ended.
    fn work_of_trip(&mut self, v: usize, now_us: i64) {
        let Some(trip) = &self.vehicles[v].trip else { return };
        let ended: Vec<(String, ActionStatus)> = trip
            .last
            .iter()
            .filter(|a| !trip.handled.contains(&a.action_id))
            .filter_map(|a| Some((a.action_id.clone(), self.vehicles[v].status(&a.action_id)?)))
            .filter(|(_, status)| status.is_over())
            .collect();
        for (id, status) in ended {
            if let Some(trip) = &mut self.vehicles[v].trip {
                trip.handled.push(id.clone());
                trip.moved_us = now_us;
            }
            let Some((work, task)) = work_of(&id) else { continue };
            if status == ActionStatus::Failed && self.vehicles[v].cancelling.is_none() {
                let why = self.why_failed(v, &id);
                self.fail_task(task, v, &format!("{} failed{why}", work.action_type()), true);
            } else if status == ActionStatus::Finished && work != Work::Pick {
                let name = self.vehicles[v].id.to_string();
                if self.tasks.get(task).is_some_and(|t| t.stage == Stage::On(v)) {
                    self.tell(task, TaskState::Done, Some(name), None);
                }
                self.drop_from_job(v, task);
            }
        }
    }

    fn why_failed(&self, v: usize, action_id: &str) -> String {
        let Some(state) = &self.vehicles[v].state else { return String::new() };
        let about = |e: &&Error| e.error_references.iter().any(|r| r.reference_value == action_id);
        let said = state.errors.iter().find(about).and_then(|e| e.error_description.clone());
        let said = said.or_else(|| state.action(action_id)?.result_description.clone());
        said.map(|text| format!(": {text}")).unwrap_or_default()
    }

    /// A task is no longer of a robot's job.
    pub(super) fn drop_from_job(&mut self, v: usize, task: &str) {
        let Some(job) = &mut self.vehicles[v].job else { return };
        job.tasks.retain(|t| t != task);
        for stop in &mut job.stops {
            stop.work.retain(|(t, _)| t != task);
        }
        if job.tasks.is_empty() {
            self.vehicles[v].job = None;
        }
    }

    /// Is the robot at its resting place, with nothing left to do there?
    fn end_trip(&mut self, v: usize, state: &State) {
        let vehicle = &mut self.vehicles[v];
        let Some(trip) = &vehicle.trip else { return };
        let over = trip.confirmed
            && state.order_id == trip.order_id
            && trip.is_there()
            && state.is_idle()
            && trip.last.iter().all(|a| trip.handled.contains(&a.action_id));
        if !over || vehicle.cancelling.is_some() {
            return;
        }
        let (purpose, goal) = (trip.purpose, trip.goal());
        vehicle.trip = None;
        match purpose {
            Purpose::Job => {
                if let Some(job) = &mut vehicle.job {
                    job.stops.pop_front();
                    if job.stops.is_empty() {
                        vehicle.job = None;
                    }
                }
            }
            Purpose::Astray => {
                if goal.is_some_and(|home| self.traffic.put(v, home).is_ok()) {
                    self.vehicles[v].whereabouts = Whereabouts::Known;
                    self.vehicles[v].told = None;
                }
            }
            Purpose::Home | Purpose::Clear => {}
        }
    }
}
