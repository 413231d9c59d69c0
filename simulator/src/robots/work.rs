//! What each robot and the member of staff do next.

use std::time::Instant;

use linefree_domain::fulfilment::dispatch::{Choice, Estimate, Job};
use linefree_domain::fulfilment::fleet::{Fleet, Ready};
use linefree_domain::fulfilment::tour::shortest;

use super::run::{Doing, Event, SECOND_US, World};

/// Orders that a robot carries.
const ROOM: usize = 2;
/// A robot that has less charge goes home, and works again from the second on.
const EMPTY: (f64, f64) = (0.2, 0.5);
/// A robot that picks a line of mean difficulty needs so long, with stopping and starting.
const PICK_S: f64 = 22.0;
const HAND_OVER_S: f64 = 10.0;
/// A person walks and picks, and is not to be planned too tightly.
const STAFF: Estimate = Estimate { m_per_s: 1.0, pick_s: 15.0, hand_over_s: HAND_OVER_S };
/// A person needs less time for a line than a robot.
const STAFF_SHARE: f64 = 0.7;

impl<'f> World<'f> {
    fn fleet(&self) -> Fleet<'f> {
        Fleet {
            map: &self.floor.map,
            counters: &self.floor.counters,
            room: ROOM,
            estimate: Estimate { m_per_s: self.pace.m_per_s(), pick_s: PICK_S, hand_over_s: HAND_OVER_S },
        }
    }

    /// The robot as the dispatcher sees it.
    fn seen(&self, robot: usize, now_us: i64) -> Option<Ready> {
        let r = &self.robots[robot];
        let from = self.roads.base_end(robot)?;
        Some(Ready { robot, from, at_us: now_us, carries: r.carries.clone(), to_pick: r.to_pick.clone() })
    }

    /// Shares out the orders that wait, sends robots off, and sends home whoever has nothing to do.
    pub(super) fn share_out(&mut self, now_us: i64) {
        if !self.waiting.is_empty() {
            let can = |robot: &usize| {
                let r = &self.robots[*robot];
                let free = r.carries.is_empty() && (r.doing == Doing::Idle || r.doing == Doing::Driving);
                // On its way through the bays a robot takes another order; the yardsticks fill robots only once.
                let more = self.setting.choice == Choice::LeastSlack
                    && !r.to_pick.is_empty()
                    && r.carries.len() < ROOM
                    && r.doing != Doing::Broken;
                !r.empty && (free || more)
            };
            let ready: Vec<Ready> =
                (0..self.robots.len()).filter(can).filter_map(|r| self.seen(r, now_us)).collect();
            let began = Instant::now();
            let taken = self.fleet().assign(self.setting.choice, &ready, &self.waiting);
            self.planned(began);
            let mut gone: Vec<usize> = Vec::new();
            for t in &taken {
                self.account(t.robot, now_us);
                for i in &t.jobs {
                    let job = self.waiting[*i].clone();
                    self.robots[t.robot].to_pick.extend(&job.bays);
                    self.robots[t.robot].carries.push(job);
                    gone.push(*i);
                }
            }
            gone.sort_unstable();
            for i in gone.into_iter().rev() {
                self.waiting.remove(i);
            }
            for t in taken {
                self.go_on(t.robot, now_us);
            }
            self.rescue(now_us);
        }
        for robot in 0..self.robots.len() {
            let r = &self.robots[robot];
            let home = self.floor.homes[robot];
            if r.doing == Doing::Idle && r.carries.is_empty() && self.bodies.node(robot) != home {
                self.send(robot, home, now_us);
            }
        }
    }

    /// Whoever waits for a place tries again.
    pub(super) fn stir(&mut self, now_us: i64) {
        for robot in 0..self.robots.len() {
            if self.robots[robot].doing == Doing::Idle && !self.robots[robot].carries.is_empty() {
                self.go_on(robot, now_us);
            }
        }
    }

    /// Sends a robot with orders on: to the first place of its tour that is free.
    fn go_on(&mut self, robot: usize, now_us: i64) {
        let r = &self.robots[robot];
        let under_way_home = r.doing == Doing::Driving && r.goal == self.floor.homes[robot];
        if !(r.doing == Doing::Idle || under_way_home) {
            return;
        }
        let Some(from) = self.roads.base_end(robot) else { return };
        let goals = if r.to_pick.is_empty() {
            let mut counters = self.floor.counters.all().to_vec();
            counters
                .sort_by(|a, b| self.floor.map.far_m(*a, from).total_cmp(&self.floor.map.far_m(*b, from)));
            counters.truncate(16);
            counters
        } else {
            shortest(&self.floor.map, from, &r.to_pick, &self.floor.counters).stops
        };
        for goal in &goals {
            if (*goal == from || self.roads.is_free(*goal)) && self.send(robot, *goal, now_us) {
                return;
            }
        }
        if under_way_home {
            return;
        }
        // Wait where it is if somebody is at work at one of the places, who will leave; otherwise two may wait for each
        // other's, so go out of the way.
        let at_work = goals.iter().filter_map(|g| self.roads.first(*g));
        let soon = at_work.into_iter().any(|other| self.robots[other].doing == Doing::Serving);
        let home = self.floor.homes[robot];
        if !soon && self.bodies.node(robot) != home {
            self.send(robot, home, now_us);
        }
    }

    pub(super) fn at_goal(&mut self, robot: usize, now_us: i64) {
        self.bodies.rests(robot);
        self.account(robot, now_us);
        let home = self.floor.homes[robot];
        let r = &mut self.robots[robot];
        let took_s = (now_us - r.left_us) as f64 * 1e-6;
        if r.doing == Doing::Driving {
            self.pace.saw(r.way_m, took_s);
        }
        let life = r.life;
        if r.goal == home {
            r.doing = Doing::Idle;
            r.empty |= r.battery < EMPTY.0;
            if r.empty {
                let hours = (EMPTY.1 - r.battery).max(0.0);
                self.at(now_us + (hours * 3600.0 * 1e6) as i64, Event::Charged { robot, life });
            } else if r.carries.is_empty() {
                self.share_out(now_us);
            } else {
                self.go_on(robot, now_us);
            }
            return;
        }
        r.doing = Doing::Serving;
        let takes_s = if self.floor.counters.all().contains(&r.goal) {
            HAND_OVER_S * r.carries.len() as f64
        } else {
            let here = r.carries.iter().filter_map(|job| self.lines.get(&job.id)).flatten();
            let (mut sum_s, goal) = (0.0, r.goal);
            for line in here.filter(|line| line.bay == goal) {
                self.out.staff_picks += u64::from(line.fails);
                sum_s += line.pick_s + if line.fails { 15.0 } else { 0.0 };
            }
            sum_s
        };
        self.at(now_us + (takes_s * 1e6) as i64, Event::Served { robot, life });
    }

    pub(super) fn served(&mut self, robot: usize, now_us: i64) {
        self.account(robot, now_us);
        let goal = self.robots[robot].goal;
        if self.floor.counters.all().contains(&goal) {
            for job in std::mem::take(&mut self.robots[robot].carries) {
                self.handed_over(&job, now_us, false);
            }
        } else {
            self.robots[robot].to_pick.retain(|b| *b != goal);
        }
        let r = &mut self.robots[robot];
        r.doing = Doing::Idle;
        if r.carries.is_empty() {
            r.empty |= r.battery < EMPTY.0;
            self.share_out(now_us);
        } else {
            self.go_on(robot, now_us);
        }
    }

    pub(super) fn charged(&mut self, robot: usize, now_us: i64) {
        self.account(robot, now_us);
        self.robots[robot].empty = false;
        self.share_out(now_us);
    }

    fn handed_over(&mut self, job: &Job, now_us: i64, by_staff: bool) {
        self.lines.remove(&job.id);
        let in_time = u64::from(now_us <= job.due_us);
        let took_s = (now_us - job.placed_us) as f64 * 1e-6;
        self.out.on_time += in_time;
        self.out.by_staff += u64::from(by_staff);
        self.out.on_time_by_staff += if by_staff { in_time } else { 0 };
        self.out.took_s += took_s;
        self.out.worst_s = self.out.worst_s.max(took_s);
    }

    /// A free member of staff takes over an order that robots would bring too late.
    fn rescue(&mut self, now_us: i64) {
        for who in 0..self.staff.len() {
            if self.staff[who].job.is_some() {
                continue;
            }
            let fleet = self.fleet();
            let busy = (0..self.robots.len()).filter(|r| self.robots[*r].doing != Doing::Broken);
            let left_s = busy.filter_map(|r| self.seen(r, now_us)).map(|r| fleet.takes_s(&r, &[]));
            let soonest_s = left_s.fold(f64::INFINITY, f64::min).min(1e6);
            let next_us = now_us + (soonest_s * 1e6) as i64;
            let from = self.staff[who].at;
            let walker = Ready { robot: who, from, at_us: now_us, carries: Vec::new(), to_pick: Vec::new() };
            let Some(i) = fleet.rescue(&self.waiting, next_us, &walker, &STAFF) else { return };
            let job = self.waiting.remove(i);
            let way = shortest(&self.floor.map, from, &job.bays, &self.floor.counters);
            let picks_s: f64 =
                self.lines.get(&job.id).into_iter().flatten().map(|l| l.pick_s * STAFF_SHARE).sum();
            let takes_s = way.length_m / STAFF.m_per_s + picks_s + HAND_OVER_S;
            self.staff[who].at = way.counter.unwrap_or(from);
            self.staff[who].job = Some(job);
            self.at(now_us + (takes_s * SECOND_US as f64) as i64, Event::StaffServed { who });
        }
    }

    pub(super) fn staff_served(&mut self, who: usize, now_us: i64) {
        if let Some(job) = self.staff[who].job.take() {
            self.handed_over(&job, now_us, true);
        }
        self.rescue(now_us);
    }
}
