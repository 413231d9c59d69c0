//! Which robot takes which tasks.
//!
//! The lines of an order that wait for the same destination are one job; any other task is one by itself. All robots with
//! room (at rest, on their way home, or under way through bays) and all jobs that wait are looked at together by the
//! domain's [`Fleet`]; docs/design/fulfilment.md says how, and what that brings. A robot has `totes` for as many orders; what
//! is no pick rides alone. How fast robots get on among people is learned from their ways ([`linefree_domain::fulfilment::fleet::Pace`]).
//!
//! A robot that is on its way home is called back behind what is released to it; where no way leads back, it goes home
//! first. One that picks gets further stops before it hands over.

use std::collections::BTreeMap;

use linefree_domain::fulfilment::dispatch::{Choice, Estimate, Job as Wanted};
use linefree_domain::fulfilment::fleet::{Fleet, Ready};
use linefree_domain::fulfilment::tour::shortest;

use super::control::{MasterControl, Stage, TaskRecord};
use super::dispatching::ends;
use super::trip::Purpose;
use super::vehicle::{Job, LOW_BATTERY, Stop, StopAt, Whereabouts, Work};
use super::{RobotTaskKind, TaskState};

/// How fast robots get on before anything was learned, metres a second: people and other robots are about.
pub(super) const FIRST_PACE_M_S: f64 = 0.6;
/// Seconds for one pick with stopping and starting, and for handing over one order.
const PICK_S: f64 = 22.0;
const HAND_OVER_S: f64 = 10.0;

/// Which tasks are one job: an order's lines for one destination, or a task by itself.
fn job_of(record: &TaskRecord) -> (String, String) {
    match &record.task.order {
        Some(order) if record.task.kind == RobotTaskKind::Pick => {
            (order.clone(), record.task.deliver_to.clone())
        }
        _ => (String::new(), record.task.task.clone()),
    }
}

impl MasterControl {
    /// Gives what waits to robots that have room.
    pub(super) fn share_out(&mut self, now_us: i64) {
        // What an earlier run has had them pick, they bring, however they are.
        for v in 0..self.vehicles.len() {
            if self.is_ready(v) && self.vehicles[v].job.is_none() {
                self.take_up(v);
            }
        }
        if self.tasks.values().all(|t| t.stage != Stage::Waiting) {
            return;
        }
        let mut ready: Vec<Ready> =
            (0..self.vehicles.len()).filter_map(|v| self.with_room(v, now_us)).collect();
        while !ready.is_empty() {
            let jobs = self.jobs_that_wait();
            let wanted: Vec<Wanted> =
                jobs.iter().enumerate().map(|(i, tasks)| self.wanted(i, tasks)).collect();
            let fleet = Fleet {
                map: &self.map,
                counters: &self.counters,
                room: self.floor.totes,
                estimate: Estimate { m_per_s: self.pace.m_per_s(), pick_s: PICK_S, hand_over_s: HAND_OVER_S },
            };
            let mut cannot = Vec::new();
            for taken in fleet.assign(Choice::LeastSlack, &ready, &wanted) {
                let chosen: Vec<String> =
                    taken.jobs.iter().filter_map(|i| jobs.get(*i)).flatten().cloned().collect();
                if !self.give(taken.robot, &chosen, now_us) {
                    cannot.push(taken.robot);
                }
            }
            // Who could not be called back leaves its tasks to those who took nothing.
            let took = |v: usize| self.vehicles[v].job.is_some();
            ready.retain(|r| !cannot.is_empty() && !cannot.contains(&r.robot) && !took(r.robot));
        }
    }

    /// The tasks that wait, job by job.
    fn jobs_that_wait(&self) -> Vec<Vec<String>> {
        let mut jobs: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for record in self.tasks.values().filter(|t| t.stage == Stage::Waiting) {
            jobs.entry(job_of(record)).or_default().push(record.task.task.clone());
        }
        jobs.into_values().collect()
    }

    /// A job as the fleet sees it.
    fn wanted(&self, i: usize, tasks: &[String]) -> Wanted {
        let records: Vec<&TaskRecord> = tasks.iter().filter_map(|t| self.tasks.get(t)).collect();
        let counter = self.counters.all().first().copied();
        let near = |record: &&TaskRecord| {
            let far_m = |bay: &usize| counter.map_or(0.0, |counter| self.map.far_m(counter, *bay));
            record.bays.iter().copied().min_by(|a, b| far_m(a).total_cmp(&far_m(b)))
        };
        let mut bays: Vec<usize> = records.iter().filter_map(near).collect();
        // What is brought to a plate goes there at the end.
        let to_plate = records.iter().filter(|r| r.task.kind == RobotTaskKind::Restock);
        bays.extend(to_plate.filter_map(|r| self.floor.bays_of(r.plate).next()));
        let shuns = (0..self.vehicles.len()).filter(|v| records.iter().any(|r| !self.may_ever(*v, r)));
        Wanted {
            id: i as u64,
            placed_us: records.iter().map(|r| r.placed_us).min().unwrap_or_default(),
            due_us: records.iter().map(|r| r.task.due_us).min().unwrap_or_default(),
            bays,
            company: records.first().and_then(|r| self.company(r)),
            shuns: shuns.collect(),
        }
    }

    /// Picks for one destination ride together. The number is that of the station's first bay.
    fn company(&self, record: &TaskRecord) -> Option<u32> {
        let (_, to) = ends(&record.task, record.plate, |id| self.plates_of(id));
        match to {
            Some(StopAt::Station(name)) if record.task.kind == RobotTaskKind::Pick => {
                self.floor.station(&name).next().and_then(|bay| u32::try_from(bay).ok())
            }
            _ => None,
        }
    }

    /// A robot that can take something, as the fleet sees it.
    fn with_room(&self, v: usize, now_us: i64) -> Option<Ready> {
        let vehicle = &self.vehicles[v];
        let fit = vehicle.whereabouts == Whereabouts::Known
            && vehicle.cancelling.is_none()
            && vehicle.unfit().is_none()
            && now_us >= vehicle.rest_until_us
            && !vehicle.carries_leftovers()
            && vehicle.charge() >= LOW_BATTERY;
        if !fit {
            return None;
        }
        let Some(job) = &vehicle.job else {
            let at_rest = self.is_ready(v) && self.traffic.at_rest(v);
            let homeward = vehicle
                .trip
                .as_ref()
                .is_some_and(|t| t.purpose == Purpose::Home && !t.void && t.confirmed && !t.is_there());
            let from = if at_rest { self.traffic.at(v) } else { self.base_end(v).filter(|_| homeward) };
            return from.map(|from| Ready {
                robot: v,
                from,
                at_us: now_us,
                carries: Vec::new(),
                to_pick: Vec::new(),
            });
        };
        // Only while it still picks, and nothing was handed over yet.
        let gives =
            |task: &String| job.stops.iter().flat_map(|s| &s.work).any(|w| *w == (task.clone(), Work::Drop));
        let to_pick: Vec<usize> = job
            .stops
            .iter()
            .filter(|stop| stop.work.iter().any(|(_, work)| *work == Work::Pick))
            .filter_map(|stop| match &stop.at {
                StopAt::Plate(plate) => self.floor.bays_of(*plate).next(),
                StopAt::Station(_) => None,
            })
            .collect();
        if to_pick.is_empty() || !job.tasks.iter().all(gives) {
            return None;
        }
        let mut carried: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for record in job.tasks.iter().filter_map(|t| self.tasks.get(t)) {
            carried.entry(job_of(record)).or_default().push(record.task.task.clone());
        }
        let carries: Vec<Wanted> =
            carried.into_values().enumerate().map(|(i, tasks)| self.wanted(i, &tasks)).collect();
        if carries.iter().any(|c| c.company.is_none()) || carries.len() >= self.floor.totes {
            return None;
        }
        let goal = vehicle.trip.as_ref().and_then(super::trip::Trip::goal);
        let from = goal.or_else(|| self.traffic.at(v))?;
        Some(Ready { robot: v, from, at_us: now_us, carries, to_pick })
    }

    /// Makes tasks the job of a robot, or a part of the one that it has: first everything is taken, on a short tour, then
    /// everything is given. `false` when it cannot be called back now.
    fn give(&mut self, v: usize, chosen: &[String], now_us: i64) -> bool {
        let job = self.job_with(v, chosen);
        let vehicle = &mut self.vehicles[v];
        let homeward = vehicle.job.is_none() && vehicle.trip.is_some();
        if !homeward {
            vehicle.job = Some(job);
        } else if !self.call_back(v, job, now_us) {
            return false;
        }
        let name = self.vehicles[v].id.to_string();
        for task in chosen {
            if let Some(record) = self.tasks.get_mut(task) {
                record.stage = Stage::On(v);
            }
            self.tell(task, TaskState::Assigned, Some(name.clone()), None);
        }
        true
    }

    /// A robot's job with these tasks more. The stop that it is under way to stays the first.
    fn job_with(&self, v: usize, chosen: &[String]) -> Job {
        let vehicle = &self.vehicles[v];
        let mut job = vehicle.job.clone().unwrap_or_default();
        let going = vehicle.trip.as_ref().is_some_and(|t| t.purpose == Purpose::Job);
        let first = if going { job.stops.pop_front() } else { None };
        let is_take = |stop: &Stop| stop.work.iter().all(|(_, work)| *work != Work::Drop);
        let (mut takes, mut gives): (Vec<Stop>, Vec<Stop>) = job.stops.drain(..).partition(is_take);
        let add = |stops: &mut Vec<Stop>, at: StopAt, work: (String, Work)| match stops
            .iter_mut()
            .find(|s| s.at == at)
        {
            Some(stop) => stop.work.push(work),
            None => stops.push(Stop { at, work: vec![work] }),
        };
        for record in chosen.iter().filter_map(|t| self.tasks.get(t)) {
            let task = &record.task.task;
            let (take, give) = ends(&record.task, record.plate, |id| self.plates_of(id));
            let work = if record.task.kind == RobotTaskKind::Tidy { Work::Tidy } else { Work::Pick };
            add(&mut takes, take, (task.clone(), work));
            if let Some(give) = give {
                add(&mut gives, give, (task.clone(), Work::Drop));
            }
            job.tasks.push(task.clone());
        }
        let goal = vehicle.trip.as_ref().and_then(super::trip::Trip::goal).filter(|_| going);
        let from = goal.or_else(|| self.base_end(v)).unwrap_or(vehicle.post.home);
        let takes = self.on_tour(from, takes);
        job.stops.extend(first.into_iter().chain(takes).chain(gives));
        job
    }

    /// Stops in the order of a short tour.
    fn on_tour(&self, from: usize, stops: Vec<Stop>) -> Vec<Stop> {
        let bay = |stop: &Stop| match &stop.at {
            StopAt::Plate(plate) => self.floor.bays_of(*plate).next(),
            StopAt::Station(name) => self.floor.station(name).next(),
        };
        let bays: Vec<usize> = stops.iter().filter_map(bay).collect();
        let order = shortest(&self.map, from, &bays, &self.counters).stops;
        let place = |stop: &Stop| order.iter().position(|b| Some(*b) == bay(stop)).unwrap_or(order.len());
        let mut stops = stops;
        stops.sort_by_key(place);
        stops
    }
}
