//! One simulated stretch of hours: demand, shoppers, robots with faults and batteries, staff as fallback.
//!
//! Assumptions, all stated in `docs/design/fulfilment.md`: orders come by a Poisson process; three in ten are promised
//! within 20 minutes, the others within 45; one to five lines anywhere in the store; a line takes a robot 20 s, more or
//! less. A robot carries two orders, drives 1.2 m/s, 0.5 m/s where a shopper is, and waits for who stands in its way.
//! It works eight hours from one charge and charges in one. It breaks down every 50 hours on average until staff have
//! pushed it home (5 minutes on average), and its orders go back to the queue. One line in a hundred fails and a member
//! of staff fetches it.
//!
//! Demand, crowd, faults, batteries and what is difficult about each line are streams of their own that depend on the
//! seed alone: whoever chooses how, meets the same day.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use linefree_domain::fulfilment::dispatch::{Choice, Job};
use linefree_domain::fulfilment::fleet::Pace;
use linefree_domain::fulfilment::traffic::Traffic;

use super::bodies::Bodies;
use super::crowd::Crowd;
use super::floor::Floor;
use super::roads::{Lawless, Roads, Rules};
use crate::chance::Chance;

pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const FREE_M_PER_S: f64 = 1.2;
const SLOW_M_PER_S: f64 = 0.5;
/// Hours of work from one charge.
const WORKS_H: f64 = 8.0;

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
    /// How many members of staff take over orders that robots would bring too late.
    pub staff: usize,
    /// What robots keep to when they drive.
    pub rules: Rules,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Orders placed.
    pub orders: u64,
    /// Of them handed over in time, by whomever.
    pub on_time: u64,
    /// Handed over by staff instead of a robot.
    pub by_staff: u64,
    /// Of [`Self::on_time`] those that staff handed over.
    pub on_time_by_staff: u64,
    /// Never handed over; must be 0.
    pub lost: u64,
    /// Moments in which two robots were too near to each other; must be 0.
    pub collisions: u64,
    /// Moments in which somebody could never go on; must be 0.
    pub deadlocks: u64,
    /// Breakdowns.
    pub breakdowns: u64,
    /// Lines that staff fetched for a robot that failed to.
    pub staff_picks: u64,
    /// From placing to handing over, seconds, summed.
    pub took_s: f64,
    /// The longest of them.
    pub worst_s: f64,
    /// Time in which robots had an order, seconds, summed.
    pub busy_s: f64,
    /// Time of all robots, until the last order was handed over, seconds, summed.
    pub robot_s: f64,
    /// Each planning step (sharing out orders, or a way), microseconds of computing time.
    pub planning_us: Vec<u32>,
}

impl Outcome {
    /// Adds another stretch.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.on_time += other.on_time;
        self.by_staff += other.by_staff;
        self.on_time_by_staff += other.on_time_by_staff;
        self.lost += other.lost;
        self.collisions += other.collisions;
        self.deadlocks += other.deadlocks;
        self.breakdowns += other.breakdowns;
        self.staff_picks += other.staff_picks;
        self.took_s += other.took_s;
        self.worst_s = self.worst_s.max(other.worst_s);
        self.busy_s += other.busy_s;
        self.robot_s += other.robot_s;
        self.planning_us.extend(&other.planning_us);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Order,
    Arrive { robot: usize, life: u32 },
    Served { robot: usize, life: u32 },
    Break { robot: usize },
    Recovered { robot: usize },
    Shopper { who: usize },
    Charged { robot: usize, life: u32 },
    StaffServed { who: usize },
    Audit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Rests: charges at home, or waits for a place to go to.
    Idle,
    Driving,
    Serving,
    Broken,
}

pub(super) struct Robot {
    pub doing: Doing,
    pub carries: Vec<Job>,
    /// One entry for each line.
    pub to_pick: Vec<usize>,
    pub goal: usize,
    /// Its way, for learning how fast it gets on.
    pub way_m: f64,
    pub left_us: i64,
    pub battery: f64,
    /// It charges before it works again.
    pub empty: bool,
    pub since_us: i64,
    /// Events of an earlier life of a robot that broke down are void.
    pub life: u32,
    faults: Chance,
}

/// What is difficult about one line of an order.
pub(super) struct Line {
    pub bay: usize,
    pub pick_s: f64,
    pub fails: bool,
}

pub(super) struct Staff {
    pub at: usize,
    pub job: Option<Job>,
}

pub(super) struct World<'f> {
    pub floor: &'f Floor,
    pub setting: Setting,
    pub roads: Box<dyn Roads>,
    pub bodies: Bodies<'f>,
    pub robots: Vec<Robot>,
    pub staff: Vec<Staff>,
    pub waiting: Vec<Job>,
    pub lines: HashMap<u64, Vec<Line>>,
    pub crowd: Crowd<'f>,
    pub pace: Pace,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    count: u64,
    demand: Chance,
    difficulty: Chance,
    pub out: Outcome,
}

/// Simulates; the floor must have been made for as many robots.
///
/// # Errors
/// When the floor has too few homes.
pub fn run(floor: &Floor, setting: Setting) -> anyhow::Result<Outcome> {
    let roads: Box<dyn Roads> = match setting.rules {
        Rules::Kept => Box::new(Traffic::new(floor.map.clone(), &floor.homes, FREE_M_PER_S)?),
        rules => Box::new(Lawless::new(floor.map.clone(), &floor.homes, rules == Rules::Polite)),
    };
    let mut charged = Chance::new(setting.seed, "robots: batteries");
    let robot = |(i, home): (usize, &usize)| Robot {
        doing: Doing::Idle,
        carries: Vec::new(),
        to_pick: Vec::new(),
        goal: *home,
        way_m: 0.0,
        left_us: 0,
        // Nobody's day begins with all robots full.
        battery: charged.between(0.3, 1.0),
        empty: false,
        since_us: 0,
        life: 0,
        faults: Chance::new(setting.seed, &format!("robots: faults {i}")),
    };
    let (crowd, steps_us) = Crowd::new(floor, setting.shoppers, setting.seed);
    let mut world = World {
        floor,
        setting,
        roads,
        bodies: Bodies::new(&floor.map, &floor.homes),
        robots: floor.homes.iter().enumerate().map(robot).collect(),
        staff: (0..setting.staff).map(|_| Staff { at: floor.counters.all()[0], job: None }).collect(),
        waiting: Vec::new(),
        lines: HashMap::new(),
        crowd,
        pace: Pace::new(0.6),
        events: BinaryHeap::new(),
        count: 0,
        demand: Chance::new(setting.seed, "robots: demand"),
        difficulty: Chance::new(setting.seed, "robots: difficulty"),
        out: Outcome::default(),
    };
    world.at(0, Event::Order);
    world.at(60 * SECOND_US, Event::Audit);
    for (who, first_us) in steps_us.into_iter().enumerate() {
        world.at(first_us, Event::Shopper { who });
    }
    for robot in 0..world.robots.len() {
        world.next_break(robot, 0);
    }
    let end_us = i64::from(setting.hours) * 3600 * SECOND_US;
    // After the last order four hours remain to hand everything over.
    let mut ended_us = 0;
    while let Some(Reverse((now_us, _, event))) = world.events.pop() {
        if now_us > end_us + 4 * 3600 * SECOND_US || (now_us > end_us && world.is_done()) {
            break;
        }
        ended_us = now_us;
        world.handle(event, now_us, end_us);
    }
    world.out.robot_s = ended_us as f64 * 1e-6 * world.robots.len() as f64;
    let carried: usize = world.robots.iter().map(|r| r.carries.len()).sum();
    let held = world.staff.iter().filter(|s| s.job.is_some()).count();
    world.out.lost = (world.waiting.len() + carried + held) as u64;
    world.out.collisions += world.bodies.collisions;
    world.out.deadlocks += world.bodies.stuck;
    Ok(world.out)
}

impl World<'_> {
    pub(super) fn at(&mut self, at_us: i64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at_us, self.count, event)));
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
            && self.robots.iter().all(|r| r.carries.is_empty())
            && self.staff.iter().all(|s| s.job.is_none())
    }

    fn handle(&mut self, event: Event, now_us: i64, end_us: i64) {
        match event {
            Event::Order if now_us < end_us => self.order(now_us),
            Event::Order => {}
            Event::Shopper { who } => {
                let stays_us = self.crowd.step(who);
                self.at(now_us + stays_us, Event::Shopper { who });
            }
            Event::Arrive { robot, life } if life == self.robots[robot].life => self.arrive(robot, now_us),
            Event::Served { robot, life } if life == self.robots[robot].life => self.served(robot, now_us),
            Event::Charged { robot, life } if life == self.robots[robot].life => self.charged(robot, now_us),
            Event::Arrive { .. } | Event::Served { .. } | Event::Charged { .. } => {}
            Event::Break { robot } => self.break_down(robot, now_us),
            Event::Recovered { robot } => self.recover(robot, now_us),
            Event::StaffServed { who } => self.staff_served(who, now_us),
            Event::Audit => {
                self.out.deadlocks += self.roads.deadlocked() as u64;
                let broken = self.robots.iter().any(|r| r.doing == Doing::Broken);
                self.bodies.audit(now_us, broken);
                self.at(now_us + 60 * SECOND_US, Event::Audit);
                self.stir(now_us);
                self.share_out(now_us);
            }
        }
    }

    fn order(&mut self, now_us: i64) {
        let count = self.demand.count(1, 5);
        let bays: Vec<usize> =
            (0..count).filter_map(|_| self.demand.pick(&self.floor.bays).copied()).collect();
        let promise_s = if self.demand.happens(0.3) { 20 * 60 } else { 45 * 60 };
        self.out.orders += 1;
        let id = self.out.orders;
        let line = |bay: &usize| Line {
            bay: *bay,
            pick_s: 20.0 * self.difficulty.bounded_normal(0.3).exp(),
            fails: self.difficulty.happens(0.01),
        };
        let lines = bays.iter().map(line).collect();
        self.lines.insert(id, lines);
        self.waiting.push(Job {
            id,
            placed_us: now_us,
            due_us: now_us + promise_s * SECOND_US,
            bays,
            company: Some(0),
            shuns: Vec::new(),
        });
        let next_s = self.demand.waiting_s(3600.0 / self.setting.orders_per_hour);
        self.at(now_us + (next_s * 1e6) as i64, Event::Order);
        self.share_out(now_us);
    }

    fn drive_us(floor: &Floor, crowd: &Crowd<'_>, a: usize, b: usize) -> i64 {
        let length_m = floor.map.joined(a).iter().find(|(n, _)| *n == b).map_or(1.0, |(_, m)| *m);
        (length_m / if crowd.near(a, b) { SLOW_M_PER_S } else { FREE_M_PER_S } * 1e6) as i64
    }

    /// Sends a robot, at rest or under way; `false` when the goal is not free or no gap leads there now.
    pub(super) fn send(&mut self, robot: usize, goal: usize, now_us: i64) -> bool {
        let from = self.roads.base_end(robot).unwrap_or(goal);
        let (floor, crowd) = (self.floor, &self.crowd);
        let drive_us = |a: usize, b: usize| Self::drive_us(floor, crowd, a, b);
        let began = std::time::Instant::now();
        let under_way = !self.roads.at_rest(robot);
        let sent = self.roads.send(robot, goal, now_us, &drive_us);
        self.planned(began);
        if sent {
            let r = &mut self.robots[robot];
            (r.goal, r.doing, r.left_us) = (goal, Doing::Driving, now_us);
            r.way_m = self.floor.map.far_m(goal, from);
            if self.roads.at_rest(robot) {
                self.at_goal(robot, now_us);
            } else {
                self.start(robot, now_us);
            }
        }
        if sent && under_way {
            // Whoever waited behind it on its old way may go on.
            for other in 0..self.robots.len() {
                self.start(other, now_us);
            }
        }
        sent
    }

    pub(super) fn planned(&mut self, began: std::time::Instant) {
        self.out.planning_us.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    /// Drives on if the next node is released.
    fn start(&mut self, robot: usize, now_us: i64) {
        if self.robots[robot].doing != Doing::Driving || self.bodies.drives_now(robot) {
            return;
        }
        let here = self.bodies.node(robot);
        let Some(next) = self.roads.leaves(robot, now_us) else {
            self.bodies.waits(robot, now_us);
            return;
        };
        let blocked_us = (self.crowd.in_way_s(next) * 1e6) as i64;
        let takes_us = Self::drive_us(self.floor, &self.crowd, here, next) + blocked_us;
        self.bodies.drives(robot, next);
        let life = self.robots[robot].life;
        self.at(now_us + takes_us, Event::Arrive { robot, life });
    }

    fn arrive(&mut self, robot: usize, now_us: i64) {
        let Some(behind) = self.roads.arrives(robot) else { return };
        self.bodies.arrives(robot);
        if self.roads.at_rest(robot) {
            self.at_goal(robot, now_us);
        } else {
            self.start(robot, now_us);
        }
        self.freed(behind, now_us);
    }

    /// Somebody may be waiting for a node.
    fn freed(&mut self, node: usize, now_us: i64) {
        if let Some(next) = self.roads.first(node) {
            self.start(next, now_us);
        } else if self.floor.map.joined(node).len() == 1 {
            self.stir(now_us);
        }
    }

    /// Brings a robot's battery up to date: it charges at home, and works elsewhere.
    pub(super) fn account(&mut self, robot: usize, now_us: i64) {
        let at_home = self.bodies.node(robot) == self.floor.homes[robot];
        let r = &mut self.robots[robot];
        let hours = (now_us - r.since_us) as f64 / (3600.0 * 1e6);
        r.since_us = now_us;
        r.battery += if at_home && r.doing == Doing::Idle { hours } else { -hours / WORKS_H };
        r.battery = r.battery.clamp(0.0, 1.0);
        if !r.carries.is_empty() {
            self.out.busy_s += hours * 3600.0;
        }
    }

    fn next_break(&mut self, robot: usize, now_us: i64) {
        let breaks_s = self.robots[robot].faults.waiting_s(50.0 * 3600.0);
        self.at(now_us + (breaks_s * 1e6) as i64, Event::Break { robot });
    }

    /// Its orders go back to the queue at once; it blocks its place until staff have pushed it home.
    fn break_down(&mut self, robot: usize, now_us: i64) {
        self.account(robot, now_us);
        let r = &mut self.robots[robot];
        let away_s = r.faults.waiting_s(300.0).max(60.0);
        let recovered_us = now_us + (away_s * 1e6) as i64;
        r.life += 1;
        r.doing = Doing::Broken;
        r.to_pick.clear();
        let orders = std::mem::take(&mut r.carries);
        self.waiting.extend(orders);
        self.out.breakdowns += 1;
        self.bodies.rests(robot);
        self.roads.expect_until(robot, recovered_us);
        self.at(recovered_us, Event::Recovered { robot });
        self.share_out(now_us);
    }

    fn recover(&mut self, robot: usize, now_us: i64) {
        self.account(robot, now_us);
        let freed = self.roads.take_away(robot);
        let home = self.floor.homes[robot];
        self.bodies.pushed(robot, home);
        if !self.roads.put(robot, home) {
            self.out.collisions += 1;
        }
        self.robots[robot].goal = home;
        self.robots[robot].doing = Doing::Idle;
        self.next_break(robot, now_us);
        for node in freed {
            self.freed(node, now_us);
        }
        self.at_goal(robot, now_us);
    }
}
