//! One simulated stretch of hours: demand, shoppers, robots with faults and batteries, staff as fallback.
//!
//! Assumptions, all stated in `docs/design/fulfilment.md`: orders come by a Poisson process; three in ten are promised
//! within 20 minutes, the others within 45; one to five lines; a line takes a robot 20 s, more or less. A robot drives
//! 1.2 m/s, 0.5 m/s where a shopper is, and now and then waits for somebody who stands in the way. It breaks down
//! every 50 hours on average until staff have pushed it home (5 minutes on average), and its orders go back to the
//! queue. One line in a hundred fails and a member of staff fetches it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use linefree_domain::fulfilment::dispatch::{Choice, Dispatcher, Estimate, Job, tour};
use linefree_domain::fulfilment::traffic::Traffic;

use super::floor::Floor;
use crate::chance::Chance;

const SECOND_US: i64 = 1_000_000;
const FREE_M_PER_S: f64 = 1.2;
const SLOW_M_PER_S: f64 = 0.5;
const TOTES: usize = 2;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// How many robots.
    pub robots: usize,
    /// How many shoppers walk about.
    pub shoppers: usize,
    /// Orders in an hour, on average.
    pub orders_per_hour: f64,
    /// Hours in which orders come.
    pub hours: u32,
    /// Decides everything left open.
    pub seed: u64,
    /// How robots choose.
    pub choice: Choice,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Orders placed.
    pub orders: u64,
    /// Of them handed over in time.
    pub on_time: u64,
    /// Never handed over; must be 0.
    pub lost: u64,
    /// Moments in which two robots had one node or edge; must be 0.
    pub collisions: u64,
    /// Moments in which somebody could never go on; must be 0.
    pub deadlocks: u64,
    /// Breakdowns.
    pub breakdowns: u64,
    /// Lines that staff fetched.
    pub staff_picks: u64,
    /// From placing to handing over, seconds, summed.
    pub took_s: f64,
    /// Each planning step (choice and way), microseconds of computing time.
    pub planning_us: Vec<u32>,
}

impl Outcome {
    /// Adds another stretch.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.on_time += other.on_time;
        self.lost += other.lost;
        self.collisions += other.collisions;
        self.deadlocks += other.deadlocks;
        self.breakdowns += other.breakdowns;
        self.staff_picks += other.staff_picks;
        self.took_s += other.took_s;
        self.planning_us.extend(&other.planning_us);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Order,
    Arrive { robot: usize, life: u32 },
    Served { robot: usize, life: u32 },
    Break { robot: usize },
    Recovered { robot: usize },
    Shopper { who: usize },
    Charged { robot: usize, life: u32 },
    Audit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Idle,
    Driving,
    Serving,
    Charging,
    Broken,
}

struct Robot {
    doing: Doing,
    carries: Vec<Job>,
    to_pick: Vec<usize>,
    goal: usize,
    battery: f64,
    since_us: i64,
    /// Events of an earlier life of a robot that broke down are void.
    life: u32,
    /// Where it physically is: its node, and the next one while it drives.
    here: Option<(usize, Option<usize>)>,
}

struct World<'f> {
    floor: &'f Floor,
    setting: Setting,
    traffic: Traffic,
    robots: Vec<Robot>,
    waiting: Vec<Job>,
    people: Vec<u16>,
    shoppers: Vec<usize>,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    count: u64,
    demand: Chance,
    crowd: Chance,
    luck: Chance,
    out: Outcome,
}

/// Simulates; the floor must have been made for as many robots.
///
/// # Errors
/// When the floor has too few homes.
pub fn run(floor: &Floor, setting: Setting) -> anyhow::Result<Outcome> {
    let traffic = Traffic::new(floor.map.clone(), &floor.homes, FREE_M_PER_S)?;
    let robot = |home: &usize| Robot {
        doing: Doing::Idle,
        carries: Vec::new(),
        to_pick: Vec::new(),
        goal: *home,
        battery: 1.0,
        since_us: 0,
        life: 0,
        here: Some((*home, None)),
    };
    let mut world = World {
        floor,
        setting,
        traffic,
        robots: floor.homes.iter().map(robot).collect(),
        waiting: Vec::new(),
        people: vec![0; floor.map.nodes().len()],
        shoppers: Vec::new(),
        events: BinaryHeap::new(),
        count: 0,
        demand: Chance::new(setting.seed, "robots: demand"),
        crowd: Chance::new(setting.seed, "robots: crowd"),
        luck: Chance::new(setting.seed, "robots: luck"),
        out: Outcome::default(),
    };
    world.begin();
    let end_us = i64::from(setting.hours) * 3600 * SECOND_US;
    // After the last order four hours remain to hand everything over.
    while let Some(Reverse((now_us, _, event))) = world.events.pop() {
        if now_us > end_us + 4 * 3600 * SECOND_US {
            break;
        }
        world.handle(event, now_us, end_us);
        let carried = world.robots.iter().any(|r| !r.carries.is_empty());
        if now_us > end_us && world.waiting.is_empty() && !carried {
            break;
        }
    }
    world.out.lost =
        (world.waiting.len() + world.robots.iter().map(|r| r.carries.len()).sum::<usize>()) as u64;
    Ok(world.out)
}

impl World<'_> {
    fn at(&mut self, at_us: i64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at_us, self.count, event)));
    }

    fn begin(&mut self) {
        self.at(0, Event::Order);
        self.at(60 * SECOND_US, Event::Audit);
        for who in 0..self.setting.shoppers {
            let node = self.crowd.pick(&self.floor.lanes).copied().unwrap_or(0);
            self.shoppers.push(node);
            self.people[node] += 1;
            let first_us = (self.crowd.waiting_s(10.0) * 1e6) as i64;
            self.at(first_us, Event::Shopper { who });
        }
        for robot in 0..self.robots.len() {
            let breaks_us = (self.luck.waiting_s(50.0 * 3600.0) * 1e6) as i64;
            self.at(breaks_us, Event::Break { robot });
        }
    }

    fn handle(&mut self, event: Event, now_us: i64, end_us: i64) {
        match event {
            Event::Order if now_us < end_us => self.order(now_us),
            Event::Order => {}
            Event::Shopper { who } => self.shopper(who, now_us),
            Event::Arrive { robot, life } if life == self.robots[robot].life => self.arrive(robot, now_us),
            Event::Served { robot, life } if life == self.robots[robot].life => self.served(robot, now_us),
            Event::Charged { robot, life } if life == self.robots[robot].life => {
                self.robots[robot].battery = 0.9;
                self.robots[robot].doing = Doing::Idle;
                self.think(robot, now_us);
            }
            Event::Arrive { .. } | Event::Served { .. } | Event::Charged { .. } => {}
            Event::Break { robot } => self.break_down(robot, now_us),
            Event::Recovered { robot } => self.recover(robot, now_us),
            Event::Audit => {
                self.out.deadlocks += self.traffic.deadlocked().len() as u64;
                self.at(now_us + 60 * SECOND_US, Event::Audit);
                self.think_all(now_us);
            }
        }
    }

    fn order(&mut self, now_us: i64) {
        let lines = self.demand.count(1, 5);
        let bays = (0..lines).filter_map(|_| self.demand.pick(&self.floor.bays).copied()).collect();
        let promise_s = if self.demand.happens(0.3) { 20 * 60 } else { 45 * 60 };
        self.out.orders += 1;
        self.waiting.push(Job {
            id: self.out.orders,
            placed_us: now_us,
            due_us: now_us + promise_s * SECOND_US,
            bays,
        });
        let next_s = self.demand.waiting_s(3600.0 / self.setting.orders_per_hour);
        self.at(now_us + (next_s * 1e6) as i64, Event::Order);
        self.think_all(now_us);
    }

    fn shopper(&mut self, who: usize, now_us: i64) {
        let from = self.shoppers[who];
        let near: Vec<usize> = self
            .floor
            .map
            .joined(from)
            .iter()
            .map(|(n, _)| *n)
            .filter(|n| !self.floor.map.joined(*n).is_empty() && self.floor.map.joined(*n).len() > 1)
            .collect();
        let to = self.crowd.pick(&near).copied().unwrap_or(from);
        self.people[from] -= 1;
        self.people[to] += 1;
        self.shoppers[who] = to;
        // One step in four ends at a shelf.
        let stays_s = if self.crowd.happens(0.25) { self.crowd.waiting_s(25.0) } else { 1.5 };
        self.at(now_us + (stays_s * 1e6) as i64, Event::Shopper { who });
    }

    fn drive_us(floor: &Floor, people: &[u16], a: usize, b: usize) -> i64 {
        let length_m = floor.map.joined(a).iter().find(|(n, _)| *n == b).map_or(1.0, |(_, m)| *m);
        let slow = people[a] + people[b] > 0;
        (length_m / if slow { SLOW_M_PER_S } else { FREE_M_PER_S } * 1e6) as i64
    }

    /// Sends a robot; `false` when the goal is not free.
    fn send(&mut self, robot: usize, goal: usize, now_us: i64) -> bool {
        let (floor, people) = (self.floor, &self.people);
        let drive_us = |a: usize, b: usize| Self::drive_us(floor, people, a, b);
        let began = Instant::now();
        let sent = self.traffic.send(robot, goal, now_us, &drive_us).is_ok();
        self.out.planning_us.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        if sent {
            self.robots[robot].goal = goal;
            self.robots[robot].doing = Doing::Driving;
            if self.traffic.at_rest(robot) {
                self.at_goal(robot, now_us);
            } else {
                self.start(robot, now_us);
            }
        }
        sent
    }

    /// Drives on if the next node is released.
    fn start(&mut self, robot: usize, now_us: i64) {
        if self.robots[robot].doing != Doing::Driving {
            return;
        }
        let Some(here) = self.traffic.at(robot) else { return };
        let Ok(next) = self.traffic.leaves(robot, now_us) else { return };
        let mut takes_us = Self::drive_us(self.floor, &self.people, here, next);
        if self.people[next] > 0 && self.luck.happens(0.04) {
            takes_us += (self.luck.waiting_s(6.0) * 1e6) as i64;
        }
        let claimed = |r: &Robot| r.here.is_some_and(|(a, b)| a == next || b == Some(next));
        if self.robots.iter().enumerate().any(|(i, r)| i != robot && claimed(r)) {
            self.out.collisions += 1;
        }
        self.robots[robot].here = Some((here, Some(next)));
        let life = self.robots[robot].life;
        self.at(now_us + takes_us, Event::Arrive { robot, life });
    }

    fn arrive(&mut self, robot: usize, now_us: i64) {
        let Ok(behind) = self.traffic.arrives(robot) else { return };
        self.robots[robot].here = self.traffic.at(robot).map(|n| (n, None));
        if self.traffic.at_rest(robot) {
            self.at_goal(robot, now_us);
        } else {
            self.start(robot, now_us);
        }
        if let Some(next) = self.traffic.first(behind) {
            self.start(next, now_us);
        }
    }

    fn at_goal(&mut self, robot: usize, now_us: i64) {
        let r = &mut self.robots[robot];
        // Eight hours of work from one charge.
        r.battery -= (now_us - r.since_us) as f64 / (8.0 * 3600.0 * 1e6);
        r.since_us = now_us;
        let life = r.life;
        if r.goal == self.floor.homes[robot] {
            let empty = 0.9 - r.battery;
            if r.battery < 0.25 {
                r.doing = Doing::Charging;
                // A full charge takes an hour.
                self.at(now_us + (empty * 3600.0 * 1e6) as i64, Event::Charged { robot, life });
            } else {
                r.doing = Doing::Idle;
                self.think(robot, now_us);
            }
            return;
        }
        r.doing = Doing::Serving;
        let lines = r.to_pick.iter().filter(|b| **b == r.goal).count();
        let takes_s = if self.floor.counters.contains(&r.goal) {
            10.0 * r.carries.len() as f64
        } else {
            let failed = (0..lines).filter(|_| self.luck.happens(0.01)).count();
            self.out.staff_picks += failed as u64;
            (0..lines).map(|_| 20.0 * self.luck.bounded_normal(0.3).exp()).sum::<f64>() + 15.0 * failed as f64
        };
        self.at(now_us + (takes_s * 1e6) as i64, Event::Served { robot, life });
    }

    fn served(&mut self, robot: usize, now_us: i64) {
        let goal = self.robots[robot].goal;
        if self.floor.counters.contains(&goal) {
            for job in std::mem::take(&mut self.robots[robot].carries) {
                self.out.on_time += u64::from(now_us <= job.due_us);
                self.out.took_s += (now_us - job.placed_us) as f64 * 1e-6;
            }
        } else {
            self.robots[robot].to_pick.retain(|b| *b != goal);
        }
        self.robots[robot].doing = Doing::Idle;
        self.think(robot, now_us);
    }

    fn think_all(&mut self, now_us: i64) {
        for robot in 0..self.robots.len() {
            self.think(robot, now_us);
        }
    }

    /// Finds something to do for a robot that rests. Whoever cannot go on goes home, so that its place is free.
    fn think(&mut self, robot: usize, now_us: i64) {
        if self.robots[robot].doing != Doing::Idle {
            return;
        }
        let Some(from) = self.traffic.at(robot) else { return };
        let home = self.floor.homes[robot];
        if self.robots[robot].carries.is_empty() {
            if self.robots[robot].battery < 0.25 {
                self.send(robot, home, now_us);
                return;
            }
            self.take_orders(robot, from, now_us);
        }
        let r = &self.robots[robot];
        if r.carries.is_empty() {
            if from != home {
                self.send(robot, home, now_us);
            }
            return;
        }
        let mut goals = if r.to_pick.is_empty() {
            let mut counters = self.floor.counters.clone();
            counters
                .sort_by(|a, b| self.floor.map.far_m(*a, from).total_cmp(&self.floor.map.far_m(*b, from)));
            counters
        } else {
            tour(&self.floor.map, from, &r.to_pick).0
        };
        goals.dedup();
        let free = goals.into_iter().find(|g| *g == from || self.traffic.is_free(*g));
        match free {
            Some(goal) => {
                self.send(robot, goal, now_us);
            }
            None if from != home => {
                self.send(robot, home, now_us);
            }
            None => {}
        }
    }

    fn take_orders(&mut self, robot: usize, from: usize, now_us: i64) {
        if self.waiting.is_empty() {
            return;
        }
        let dispatcher = Dispatcher {
            map: &self.floor.map,
            from,
            counter: self.floor.counters[self.floor.counters.len() / 2],
            room: TOTES,
            estimate: Estimate { m_per_s: 0.6, pick_s: 22.0, hand_over_s: 10.0 },
        };
        let began = Instant::now();
        let mut chosen = dispatcher.choose(self.setting.choice, &self.waiting, now_us);
        self.out.planning_us.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        chosen.sort_unstable();
        for i in chosen.into_iter().rev() {
            let job = self.waiting.remove(i);
            self.robots[robot].to_pick.extend(&job.bays);
            self.robots[robot].carries.push(job);
        }
    }

    /// Its orders go back to the queue at once; it blocks its place until staff have pushed it home.
    fn break_down(&mut self, robot: usize, now_us: i64) {
        let away_s = self.luck.waiting_s(300.0).max(60.0);
        let recovered_us = now_us + (away_s * 1e6) as i64;
        let r = &mut self.robots[robot];
        r.life += 1;
        r.doing = Doing::Broken;
        r.to_pick.clear();
        let orders = std::mem::take(&mut r.carries);
        self.waiting.extend(orders);
        self.out.breakdowns += 1;
        self.traffic.expect_until(robot, recovered_us);
        self.at(recovered_us, Event::Recovered { robot });
        self.think_all(now_us);
    }

    fn recover(&mut self, robot: usize, now_us: i64) {
        let freed = self.traffic.take_away(robot);
        let home = self.floor.homes[robot];
        self.robots[robot].here = Some((home, None));
        if self.traffic.put(robot, home).is_err() {
            self.out.collisions += 1;
        }
        self.robots[robot].goal = home;
        self.robots[robot].doing = Doing::Idle;
        self.robots[robot].since_us = now_us;
        for node in freed {
            if let Some(next) = self.traffic.first(node) {
                self.start(next, now_us);
            }
        }
        let breaks_s = self.luck.waiting_s(50.0 * 3600.0);
        self.at(now_us + (breaks_s * 1e6) as i64, Event::Break { robot });
        self.think(robot, now_us);
    }
}
