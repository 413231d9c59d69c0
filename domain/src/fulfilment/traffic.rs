//! Who may drive where, in which order: plans without collision, releases without deadlock.
//!
//! **Planning.** A robot that gets a new goal plans from its resting place through the gaps that all earlier plans
//! leave (COBRA: Čáp, Vokřínek, Kleiner, ICAPS 2015). Its goal must be free for ever after its arrival. On a
//! well-formed map a way to a free resting place always exists: at the latest when everybody has arrived.
//!
//! **Driving.** People stand in the way, so nobody keeps a timetable. What is kept is the *order* in which robots pass
//! each node (RMTRACK: Gregoire, Čáp, Frazzoli, Autonomous Robots 2017): every node has a queue of the visits to come,
//! and a robot is released onto a node when its visit is the first there. The order was once a timetable without
//! overlap, so it has no cycle: however long anybody is delayed, somebody can always go on. New plans are laid into
//! the timetable *predicted* from the present queues, which keeps that true.
//!
//! **Failure.** A robot that stops holds its nodes and the released ones after it; those behind it wait, others plan
//! around for as long as [`Traffic::expect_until`] says. [`Traffic::take_away`] gives everything of it back once staff
//! have pushed it home. A release is never taken back while the robot may still act on it: a robot without connection
//! drives to the end of its base and stops there.

use std::collections::VecDeque;

use super::road_map::{Place, RoadMap};
use super::search::{Question, Span, Visit, earliest};

/// Where a robot is in its way.
#[derive(Debug, Clone, Default)]
struct Robot {
    /// Nodes still to come, the present one first. Empty for a robot that is not in the store.
    way: VecDeque<usize>,
    /// When it began to drive to the next node.
    left_us: Option<i64>,
    /// It is not expected to go on before this.
    stuck_until_us: i64,
}

/// Why the traffic refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// The robot has not arrived yet, or is not there.
    #[error("robot {0} is under way or absent; it takes a new goal where it rests")]
    NotAtRest(usize),
    /// The goal is a lane, or somebody's already.
    #[error("node {0} is no resting place that is free for robot {1}")]
    NotFree(usize, usize),
    /// The robot may not be where it says it is.
    #[error("robot {0} may not drive on: its next node is not released")]
    NotReleased(usize),
}

/// All robots of one map.
pub struct Traffic {
    map: RoadMap,
    robots: Vec<Robot>,
    /// For each node who holds it (first) and who comes next, in order.
    queues: Vec<VecDeque<usize>>,
    fastest_m_per_s: f64,
}

impl Traffic {
    /// Robots, each at a home of its own.
    ///
    /// # Errors
    /// When a home is no resting place or is given twice.
    pub fn new(map: RoadMap, homes: &[usize], fastest_m_per_s: f64) -> Result<Self, TrafficError> {
        let queues = vec![VecDeque::new(); map.nodes().len()];
        let robots = vec![Robot::default(); homes.len()];
        let mut traffic = Self { map, robots, queues, fastest_m_per_s };
        for (robot, &home) in homes.iter().enumerate() {
            traffic.put(robot, home)?;
        }
        Ok(traffic)
    }

    /// The map.
    #[must_use]
    pub fn map(&self) -> &RoadMap {
        &self.map
    }

    /// The node where a robot is, or which it is leaving.
    #[must_use]
    pub fn at(&self, robot: usize) -> Option<usize> {
        self.robots.get(robot)?.way.front().copied()
    }

    /// Does the robot rest, with no way to go?
    #[must_use]
    pub fn at_rest(&self, robot: usize) -> bool {
        self.robots.get(robot).is_some_and(|r| r.way.len() == 1)
    }

    /// Nobody is at a node, or on the way to or through it.
    #[must_use]
    pub fn is_free(&self, node: usize) -> bool {
        self.queues.get(node).is_some_and(VecDeque::is_empty)
    }

    /// Who is first in a node's queue: its holder, or who may drive there next.
    #[must_use]
    pub fn first(&self, node: usize) -> Option<usize> {
        self.queues.get(node)?.front().copied()
    }

    /// Nodes still to come, the present one first.
    pub fn way(&self, robot: usize) -> impl Iterator<Item = usize> + '_ {
        self.robots.get(robot).into_iter().flat_map(|r| r.way.iter().copied())
    }

    /// How many nodes ahead a robot may drive: VDA 5050's base. The rest of its way is the horizon.
    #[must_use]
    pub fn released(&self, robot: usize) -> usize {
        let Some(r) = self.robots.get(robot) else { return 0 };
        r.way.iter().skip(1).take_while(|n| self.queues[**n].front() == Some(&robot)).count()
    }

    /// A robot is not expected to go on before `until_us`.
    pub fn expect_until(&mut self, robot: usize, until_us: i64) {
        if let Some(r) = self.robots.get_mut(robot) {
            r.stuck_until_us = until_us;
        }
    }

    /// Plans a robot's way to a resting place and reserves it. Gives the plan with its predicted times.
    ///
    /// # Errors
    /// When the robot is under way, or the goal is no resting place that is free for it.
    pub fn send(
        &mut self,
        robot: usize,
        goal: usize,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> Result<Vec<Visit>, TrafficError> {
        if !self.at_rest(robot) {
            return Err(TrafficError::NotAtRest(robot));
        }
        let from = self.at(robot).ok_or(TrafficError::NotAtRest(robot))?;
        let rests = self.map.nodes().get(goal).is_some_and(|n| n.place != Place::Lane);
        if !rests || !(self.is_free(goal) || goal == from) {
            return Err(TrafficError::NotFree(goal, robot));
        }
        let held = self.predict(Some(robot), now_us, drive_us);
        let busy: Vec<Vec<Span>> =
            held.iter().map(|spans| spans.iter().map(|(_, span)| *span).collect()).collect();
        let question =
            Question { map: &self.map, busy: &busy, drive_us, fastest_m_per_s: self.fastest_m_per_s };
        let way = earliest(&question, from, goal, now_us).ok_or(TrafficError::NotFree(goal, robot))?;
        // Each visit goes before the first one of another robot that is predicted to come after it. Later visits of
        // this robot to the same node come after its earlier ones, so places are counted from the back.
        for visit in way[1..].iter().rev() {
            let place = held[visit.node].iter().filter(|(_, span)| span.from_us < visit.held_us).count();
            self.queues[visit.node].insert(place, robot);
        }
        // The present node was held first; visits inserted before it belong behind it.
        let own = &mut self.queues[from];
        own.retain(|r| *r != robot);
        let again = way[1..].iter().filter(|v| v.node == from).count();
        for _ in 0..=again {
            own.push_front(robot);
        }
        self.robots[robot].way = way.iter().map(|v| v.node).collect();
        Ok(way)
    }

    /// A robot begins to drive to its next node.
    ///
    /// # Errors
    /// When that node is not released.
    pub fn leaves(&mut self, robot: usize, now_us: i64) -> Result<usize, TrafficError> {
        if self.released(robot) == 0 || self.robots[robot].left_us.is_some() {
            return Err(TrafficError::NotReleased(robot));
        }
        self.robots[robot].left_us = Some(now_us);
        Ok(self.robots[robot].way[1])
    }

    /// A robot has reached its next node. Gives the node behind it, which it no longer holds.
    ///
    /// # Errors
    /// When it was not driving.
    pub fn arrives(&mut self, robot: usize) -> Result<usize, TrafficError> {
        let r = self.robots.get_mut(robot).ok_or(TrafficError::NotReleased(robot))?;
        if r.left_us.take().is_none() {
            return Err(TrafficError::NotReleased(robot));
        }
        let behind = r.way.pop_front().ok_or(TrafficError::NotReleased(robot))?;
        self.queues[behind].pop_front();
        Ok(behind)
    }

    /// Takes a robot out of the store; everything that it held or was to hold is free. Gives those nodes.
    pub fn take_away(&mut self, robot: usize) -> Vec<usize> {
        let Some(r) = self.robots.get_mut(robot) else { return Vec::new() };
        let nodes: Vec<usize> = std::mem::take(r).way.into_iter().collect();
        for &node in &nodes {
            self.queues[node].retain(|other| *other != robot);
        }
        nodes
    }

    /// Puts an absent robot onto a free resting place.
    ///
    /// # Errors
    /// When it is no resting place, not free, or the robot is in the store already.
    pub fn put(&mut self, robot: usize, node: usize) -> Result<(), TrafficError> {
        let rests = self.map.nodes().get(node).is_some_and(|n| n.place != Place::Lane);
        if !rests || !self.is_free(node) || self.at(robot).is_some() {
            return Err(TrafficError::NotFree(node, robot));
        }
        self.queues[node].push_back(robot);
        self.robots[robot].way = VecDeque::from([node]);
        Ok(())
    }

    /// When everybody is expected to hold each node, were they to drive on from now in the order of the queues;
    /// without `except`, who rests. Those who can never go on hold their places for ever.
    fn predict(
        &self,
        except: Option<usize>,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> Vec<Vec<(usize, Span)>> {
        let mut held: Vec<Vec<(usize, Span)>> = vec![Vec::new(); self.queues.len()];
        let mut turn: Vec<usize> = vec![0; self.queues.len()];
        let mut free_us: Vec<i64> = vec![i64::MIN; self.queues.len()];
        let mut step: Vec<usize> = vec![0; self.robots.len()];
        let mut there_us: Vec<i64> = self.robots.iter().map(|r| r.stuck_until_us.max(now_us)).collect();
        let mut held_us: Vec<i64> = vec![i64::MIN; self.robots.len()];
        let mut ready: Vec<usize> = (0..self.robots.len()).filter(|r| Some(*r) != except).collect();
        while let Some(robot) = ready.pop() {
            let r = &self.robots[robot];
            while let Some(&next) = r.way.get(step[robot] + 1) {
                let here = r.way[step[robot]];
                if self.queues[next].get(turn[next]) != Some(&robot) {
                    break;
                }
                let leaves_us = match r.left_us {
                    Some(left_us) if step[robot] == 0 => left_us,
                    _ => there_us[robot].max(free_us[next]),
                };
                let arrives_us = leaves_us.saturating_add(drive_us(here, next).max(1)).max(there_us[robot]);
                held[here].push((robot, Span { from_us: held_us[robot], to_us: arrives_us }));
                turn[here] += 1;
                free_us[here] = arrives_us;
                held_us[robot] = leaves_us;
                there_us[robot] = arrives_us;
                step[robot] += 1;
                if let Some(&waiting) = self.queues[here].get(turn[here])
                    && Some(waiting) != except
                    && waiting != robot
                {
                    ready.push(waiting);
                }
            }
        }
        for (robot, r) in self.robots.iter().enumerate() {
            if let Some(&last) = r.way.get(step[robot])
                && Some(robot) != except
            {
                held[last].push((robot, Span { from_us: held_us[robot], to_us: i64::MAX }));
            }
        }
        held
    }

    /// Who can never go on although nobody is stuck: empty unless the order of the queues has a cycle.
    #[must_use]
    pub fn deadlocked(&self) -> Vec<usize> {
        let held = self.predict(None, 0, &|_, _| 1);
        let rests = |robot: usize, goal: usize| {
            held[goal].iter().any(|(who, span)| *who == robot && span.to_us == i64::MAX)
        };
        let stuck = |(robot, r): (usize, &Robot)| {
            let goal = *r.way.back()?;
            (!rests(robot, goal)).then_some(robot)
        };
        self.robots.iter().enumerate().filter_map(stuck).collect()
    }
}
