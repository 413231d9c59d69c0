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
//! **Base.** A vehicle is told some nodes ahead ([`Traffic::released`]), and may act on them whatever is said later. So
//! what is released once stays released: no later plan is laid before it, and [`Traffic::divert`] changes only the way
//! behind it. The longer the base ([`Traffic::with_base`]), the more a robot keeps from others.
//!
//! **Failure.** A robot that stops holds its nodes and the released ones after it; those behind it wait, others plan
//! around for as long as [`Traffic::expect_until`] says. [`Traffic::take_away`] gives everything of it back once staff
//! have pushed it home. A release is never taken back while the robot may still act on it: a robot without connection
//! drives to the end of its base and stops there.

use std::collections::VecDeque;

use super::road_map::{Place, RoadMap};
use super::search::{Question, Span, Visit, earliest};

/// How many nodes ahead a robot is released at most, unless [`Traffic::with_base`] says otherwise: one to drive to, and
/// one more so that it need not brake before it.
pub const BASE: usize = 2;

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
    base: usize,
}

/// When everybody is expected to hold each node: robot, place in its way, time. Sorted by time.
type Timetable = Vec<Vec<(usize, usize, Span)>>;

impl Traffic {
    /// Robots, each at a home of its own.
    ///
    /// # Errors
    /// When a home is no resting place or is given twice.
    pub fn new(map: RoadMap, homes: &[usize], fastest_m_per_s: f64) -> Result<Self, TrafficError> {
        let queues = vec![VecDeque::new(); map.nodes().len()];
        let robots = vec![Robot::default(); homes.len()];
        let mut traffic = Self { map, robots, queues, fastest_m_per_s, base: BASE };
        for (robot, &home) in homes.iter().enumerate() {
            traffic.put(robot, home)?;
        }
        Ok(traffic)
    }

    /// Releases up to so many nodes ahead; at least one.
    #[must_use]
    pub fn with_base(mut self, nodes: usize) -> Self {
        self.base = nodes.max(1);
        self
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

    /// How many nodes ahead a robot may drive: VDA 5050's base. The rest of its way is the horizon. What is released
    /// stays released until the robot has driven it or is taken away.
    #[must_use]
    pub fn released(&self, robot: usize) -> usize {
        let Some(r) = self.robots.get(robot) else { return 0 };
        let is_next = |(i, node): &(usize, &usize)| {
            // A way may come by a node twice, and others may pass it in between.
            let before = r.way.iter().take(*i).filter(|n| n == node).count();
            let queue = &self.queues[**node];
            queue.len() > before && queue.iter().take(before + 1).all(|who| *who == robot)
        };
        r.way.iter().enumerate().skip(1).take(self.base).take_while(is_next).count()
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
        let way = self.find(&held, from, goal, now_us, drive_us).ok_or(TrafficError::NotFree(goal, robot))?;
        self.lay(robot, &held, &way);
        Ok(way)
    }

    /// Gives a robot that is under way another goal: it keeps what is released to it and goes on from there. Gives the
    /// new plan from the last released node; after an error everything is as it was. For a robot at rest this is
    /// [`Self::send`].
    ///
    /// # Errors
    /// When the robot is absent, the goal is no resting place that is free for it, or no gap leads there from where
    /// the robot must be out of the way.
    pub fn divert(
        &mut self,
        robot: usize,
        goal: usize,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> Result<Vec<Visit>, TrafficError> {
        if self.at_rest(robot) {
            return self.send(robot, goal, now_us, drive_us);
        }
        let keep = self.released(robot);
        let from = self.way(robot).nth(keep).ok_or(TrafficError::NotAtRest(robot))?;
        let rests = self.map.nodes().get(goal).is_some_and(|n| n.place != Place::Lane);
        if !rests || !self.queues[goal].iter().all(|who| *who == robot) {
            return Err(TrafficError::NotFree(goal, robot));
        }
        // The timetable with the old way in it is the one without overlap; then what is given up is taken out.
        let mut held = self.predict(None, now_us, drive_us);
        let mut there_us = now_us.max(self.robots[robot].stuck_until_us);
        for spans in &mut held {
            spans.retain(|(who, step, span)| {
                // At the last node that is kept it arrives when it gives back the one before.
                if *who == robot && keep > 0 && *step == keep - 1 {
                    there_us = span.to_us;
                }
                *who != robot || *step < keep
            });
        }
        let way =
            self.find(&held, from, goal, there_us, drive_us).ok_or(TrafficError::NotFree(goal, robot))?;
        let given_up: Vec<usize> = self.robots[robot].way.drain(keep + 1..).collect();
        for node in given_up {
            if let Some(last) = self.queues[node].iter().rposition(|who| *who == robot) {
                self.queues[node].remove(last);
            }
        }
        self.lay(robot, &held, &way);
        Ok(way)
    }

    fn find(
        &self,
        held: &Timetable,
        from: usize,
        goal: usize,
        at_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> Option<Vec<Visit>> {
        let busy: Vec<Vec<Span>> =
            held.iter().map(|spans| spans.iter().map(|(_, _, span)| *span).collect()).collect();
        let question =
            Question { map: &self.map, busy: &busy, drive_us, fastest_m_per_s: self.fastest_m_per_s };
        earliest(&question, from, goal, at_us)
    }

    /// Appends a plan to a robot's way, whose last node is the plan's first, and puts it into the queues.
    fn lay(&mut self, robot: usize, held: &Timetable, plan: &[Visit]) {
        let kept: Vec<usize> = self.robots[robot].way.iter().copied().collect();
        // Each visit goes before the first one of another robot that is predicted to come after it. Later visits of
        // this robot to the same node come after its earlier ones, so places are counted from the back.
        for visit in plan[1..].iter().rev() {
            let others = held[visit.node]
                .iter()
                .filter(|(who, _, span)| *who != robot && span.from_us < visit.held_us);
            let own = kept.iter().filter(|n| **n == visit.node).count();
            self.queues[visit.node].insert(others.count() + own, robot);
        }
        self.robots[robot].way.extend(plan[1..].iter().map(|v| v.node));
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
    /// without `except`, who rests. What is released is held already. Those who can never go on hold their places for
    /// ever.
    fn predict(
        &self,
        except: Option<usize>,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> Timetable {
        let mut held: Timetable = vec![Vec::new(); self.queues.len()];
        let mut turn: Vec<usize> = vec![0; self.queues.len()];
        let mut free_us: Vec<i64> = vec![i64::MIN; self.queues.len()];
        let mut step: Vec<usize> = vec![0; self.robots.len()];
        let mut there_us: Vec<i64> = self.robots.iter().map(|r| r.stuck_until_us.max(now_us)).collect();
        let mut held_us: Vec<i64> = vec![i64::MIN; self.robots.len()];
        let released: Vec<usize> = (0..self.robots.len()).map(|r| self.released(r)).collect();
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
                held[here].push((robot, step[robot], Span { from_us: held_us[robot], to_us: arrives_us }));
                turn[here] += 1;
                free_us[here] = arrives_us;
                step[robot] += 1;
                held_us[robot] = if step[robot] <= released[robot] { i64::MIN } else { leaves_us };
                there_us[robot] = arrives_us;
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
                held[last].push((robot, step[robot], Span { from_us: held_us[robot], to_us: i64::MAX }));
            }
        }
        held
    }

    /// Who can never go on although nobody is stuck: empty unless the order of the queues has a cycle.
    #[must_use]
    pub fn deadlocked(&self) -> Vec<usize> {
        let held = self.predict(None, 0, &|_, _| 1);
        let rests = |robot: usize, goal: usize| {
            held[goal].iter().any(|(who, _, span)| *who == robot && span.to_us == i64::MAX)
        };
        let stuck = |(robot, r): (usize, &Robot)| {
            let goal = *r.way.back()?;
            (!rests(robot, goal)).then_some(robot)
        };
        self.robots.iter().enumerate().filter_map(stuck).collect()
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Point2;

    use super::super::road_map::Node;
    use super::*;

    /// Homes h0 and h1 (0, 1) at the ends of a lane (2, 3, 4) that has a bay (5) at its middle node.
    fn lane() -> RoadMap {
        let node =
            |id: &str, x_m: f64, y_m: f64, place| Node { id: id.into(), at: Point2::new(x_m, y_m), place };
        let nodes = vec![
            node("h0", 0.0, 0.0, Place::Home),
            node("h1", 4.0, 0.0, Place::Home),
            node("a", 1.0, 0.0, Place::Lane),
            node("b", 2.0, 0.0, Place::Lane),
            node("c", 3.0, 0.0, Place::Lane),
            node("bay", 2.0, 1.0, Place::Bay),
        ];
        RoadMap::new(nodes, &[(0, 2), (2, 3), (3, 4), (4, 1), (3, 5)], 0.7).unwrap()
    }

    fn second(_: usize, _: usize) -> i64 {
        1_000_000
    }

    fn drive(traffic: &mut Traffic, robot: usize) {
        traffic.leaves(robot, 0).unwrap();
        traffic.arrives(robot).unwrap();
    }

    #[test]
    fn refuses_what_is_no_place_to_rest_or_somebodys() {
        let mut traffic = Traffic::new(lane(), &[0, 1], 1.0).unwrap();
        assert!(matches!(Traffic::new(lane(), &[0, 0], 1.0), Err(TrafficError::NotFree(0, 1))));
        assert!(matches!(Traffic::new(lane(), &[2], 1.0), Err(TrafficError::NotFree(2, 0))));
        assert_eq!(traffic.send(0, 3, 0, &second), Err(TrafficError::NotFree(3, 0)));
        assert_eq!(traffic.send(0, 1, 0, &second), Err(TrafficError::NotFree(1, 0)));
        assert_eq!(traffic.send(7, 5, 0, &second), Err(TrafficError::NotAtRest(7)));
        assert_eq!(traffic.leaves(0, 0), Err(TrafficError::NotReleased(0)));
        assert_eq!(traffic.arrives(0), Err(TrafficError::NotReleased(0)));
        traffic.send(0, 5, 0, &second).unwrap();
        assert_eq!(traffic.send(0, 0, 0, &second), Err(TrafficError::NotAtRest(0)));
        assert_eq!(traffic.send(1, 5, 0, &second), Err(TrafficError::NotFree(5, 1)));
        assert_eq!(traffic.put(0, 1), Err(TrafficError::NotFree(1, 0)));
    }

    #[test]
    fn a_base_is_bounded_and_never_taken_back() {
        let mut traffic = Traffic::new(lane(), &[0, 1], 1.0).unwrap().with_base(3);
        traffic.send(0, 5, 0, &second).unwrap();
        assert_eq!(traffic.released(0), 3, "a, b and the bay");
        drive(&mut traffic, 0);
        drive(&mut traffic, 0);
        drive(&mut traffic, 0);
        // h1's robot could pass b and a before the other is predicted there, had that not been told that it may go.
        let mut traffic = Traffic::new(lane(), &[0, 1], 1.0).unwrap().with_base(2);
        traffic.expect_until(0, 60_000_000);
        traffic.send(0, 5, 0, &second).unwrap();
        assert_eq!(traffic.released(0), 2);
        let before: Vec<usize> = traffic.way(0).collect();
        traffic.leaves(0, 0).unwrap();
        assert!(traffic.divert(0, 5, 0, &second).is_ok(), "its own goal is free for it");
        assert_eq!(traffic.way(0).collect::<Vec<_>>(), before);
        traffic.divert(0, 0, 0, &second).unwrap();
        assert_eq!(traffic.way(0).collect::<Vec<_>>(), [0, 2, 3, 2, 0], "drives out its base, then turns");
        assert_eq!(traffic.released(0), 2, "base");
        assert!(traffic.is_free(5));
        for _ in 0..4 {
            if traffic.released(0) > 0 && traffic.robots[0].left_us.is_none() {
                traffic.leaves(0, 0).unwrap();
            }
            traffic.arrives(0).unwrap();
        }
        assert!(traffic.at_rest(0) && traffic.is_free(2) && traffic.is_free(3));
    }

    #[test]
    fn who_is_taken_away_frees_everything() {
        let mut traffic = Traffic::new(lane(), &[0, 1], 1.0).unwrap();
        traffic.send(0, 5, 0, &second).unwrap();
        traffic.leaves(0, 0).unwrap();
        assert_eq!(traffic.take_away(0), [0, 2, 3, 5]);
        assert!([0, 2, 3, 5].iter().all(|n| traffic.is_free(*n)));
        assert_eq!(traffic.at(0), None);
        traffic.put(0, 0).unwrap();
        assert!(traffic.at_rest(0));
        traffic.send(1, 5, 0, &second).unwrap();
    }

    #[test]
    fn an_order_with_a_cycle_is_seen_as_a_deadlock() {
        let mut traffic = Traffic::new(lane(), &[0, 1], 1.0).unwrap().with_base(1);
        traffic.send(0, 5, 0, &second).unwrap();
        drive(&mut traffic, 0);
        drive(&mut traffic, 0);
        // Robot 0 stands on b before the bay; robot 1 is on its way to h0 when both want each other's node.
        traffic.robots[1].way = VecDeque::from([1, 4, 3, 2]);
        traffic.queues[4].push_back(1);
        traffic.queues[3].push_back(1);
        traffic.queues[2].push_back(1);
        assert_eq!(traffic.deadlocked(), Vec::<usize>::new(), "robot 0 goes into the bay, robot 1 passes");
        // The queue of the bay says that robot 1 comes first, which it never does.
        traffic.queues[5].push_front(1);
        assert_eq!(traffic.deadlocked(), [0, 1]);
    }
}
