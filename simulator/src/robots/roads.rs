//! What robots keep to when they drive: the real traffic, or, to see that mistakes are noticed, none of it.

use std::collections::VecDeque;

use linefree_domain::fulfilment::road_map::{Place, RoadMap};
use linefree_domain::fulfilment::traffic::Traffic;

/// What robots keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// The real traffic.
    #[default]
    Kept,
    /// Everybody drives the shortest way and looks at nobody: they must be seen to collide.
    Blind,
    /// Everybody drives the shortest way and stops before a node that somebody has: they must be seen to be stuck.
    Polite,
}

/// What the simulation asks of traffic.
pub trait Roads {
    /// The node where a robot is, or which it is leaving.
    fn at(&self, robot: usize) -> Option<usize>;
    /// The last node that is released to a robot.
    fn base_end(&self, robot: usize) -> Option<usize>;
    /// Does it rest, with no way to go?
    fn at_rest(&self, robot: usize) -> bool;
    /// Nobody is at a node, or on the way to it.
    fn is_free(&self, node: usize) -> bool;
    /// Who has a node or may drive there next.
    fn first(&self, node: usize) -> Option<usize>;
    /// Sends a robot, at rest or under way; `false` when that cannot be.
    fn send(
        &mut self,
        robot: usize,
        goal: usize,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> bool;
    /// It begins to drive to the next node, if it may.
    fn leaves(&mut self, robot: usize, now_us: i64) -> Option<usize>;
    /// It is there. Gives the node behind it.
    fn arrives(&mut self, robot: usize) -> Option<usize>;
    /// It is not expected to go on before.
    fn expect_until(&mut self, robot: usize, until_us: i64);
    /// Takes it out of the store. Gives the nodes that it had or was to have.
    fn take_away(&mut self, robot: usize) -> Vec<usize>;
    /// Puts it back; `false` when somebody is there.
    fn put(&mut self, robot: usize, node: usize) -> bool;
    /// How many can never go on, as far as the traffic knows.
    fn deadlocked(&self) -> usize;
}

impl Roads for Traffic {
    fn at(&self, robot: usize) -> Option<usize> {
        Traffic::at(self, robot)
    }
    fn base_end(&self, robot: usize) -> Option<usize> {
        self.way(robot).nth(self.released(robot))
    }
    fn at_rest(&self, robot: usize) -> bool {
        Traffic::at_rest(self, robot)
    }
    fn is_free(&self, node: usize) -> bool {
        Traffic::is_free(self, node)
    }
    fn first(&self, node: usize) -> Option<usize> {
        Traffic::first(self, node)
    }
    fn send(
        &mut self,
        robot: usize,
        goal: usize,
        now_us: i64,
        drive_us: &dyn Fn(usize, usize) -> i64,
    ) -> bool {
        self.divert(robot, goal, now_us, drive_us).is_ok()
    }
    fn leaves(&mut self, robot: usize, now_us: i64) -> Option<usize> {
        Traffic::leaves(self, robot, now_us).ok()
    }
    fn arrives(&mut self, robot: usize) -> Option<usize> {
        Traffic::arrives(self, robot).ok()
    }
    fn expect_until(&mut self, robot: usize, until_us: i64) {
        Traffic::expect_until(self, robot, until_us);
    }
    fn take_away(&mut self, robot: usize) -> Vec<usize> {
        Traffic::take_away(self, robot)
    }
    fn put(&mut self, robot: usize, node: usize) -> bool {
        Traffic::put(self, robot, node).is_ok()
    }
    fn deadlocked(&self) -> usize {
        Traffic::deadlocked(self).len()
    }
}

/// Robots without reservations.
pub struct Lawless {
    map: RoadMap,
    ways: Vec<VecDeque<usize>>,
    driving: Vec<bool>,
    polite: bool,
}

impl Lawless {
    /// Robots at their homes.
    #[must_use]
    pub fn new(map: RoadMap, homes: &[usize], polite: bool) -> Self {
        let ways = homes.iter().map(|h| VecDeque::from([*h])).collect();
        Self { map, ways, driving: vec![false; homes.len()], polite }
    }

    fn has(&self, robot: usize, node: usize) -> bool {
        let way = &self.ways[robot];
        way.front() == Some(&node) || (self.driving[robot] && way.get(1) == Some(&node))
    }
}

impl Roads for Lawless {
    fn at(&self, robot: usize) -> Option<usize> {
        self.ways[robot].front().copied()
    }
    fn base_end(&self, robot: usize) -> Option<usize> {
        self.ways[robot].get(usize::from(self.driving[robot])).copied()
    }
    fn at_rest(&self, robot: usize) -> bool {
        self.ways[robot].len() == 1
    }
    fn is_free(&self, node: usize) -> bool {
        self.ways.iter().all(|way| way.front() != Some(&node) && way.back() != Some(&node))
    }
    fn first(&self, node: usize) -> Option<usize> {
        (0..self.ways.len()).find(|r| self.ways[*r].get(1) == Some(&node))
    }
    fn send(&mut self, robot: usize, goal: usize, _: i64, _: &dyn Fn(usize, usize) -> i64) -> bool {
        let keep = 1 + usize::from(self.driving[robot]);
        let rests = self.map.nodes()[goal].place != Place::Lane;
        let Some(mut at) = self.base_end(robot) else { return false };
        if !rests || !((0..self.ways.len()).all(|r| r == robot || self.ways[r].back() != Some(&goal))) {
            return false;
        }
        self.ways[robot].truncate(keep);
        while at != goal {
            let far = |(n, length_m): &&(usize, f64)| self.map.far_m(goal, *n) + length_m;
            let next = self.map.joined(at).iter().min_by(|a, b| far(a).total_cmp(&far(b)));
            let Some((next, _)) = next else { return false };
            at = *next;
            self.ways[robot].push_back(at);
        }
        true
    }
    fn leaves(&mut self, robot: usize, _: i64) -> Option<usize> {
        let next = *self.ways[robot].get(1)?;
        let taken = (0..self.ways.len()).any(|other| other != robot && self.has(other, next));
        if self.driving[robot] || (self.polite && taken) {
            return None;
        }
        self.driving[robot] = true;
        Some(next)
    }
    fn arrives(&mut self, robot: usize) -> Option<usize> {
        self.driving[robot] = false;
        self.ways[robot].pop_front()
    }
    fn expect_until(&mut self, _: usize, _: i64) {}
    fn take_away(&mut self, robot: usize) -> Vec<usize> {
        self.driving[robot] = false;
        self.ways[robot].drain(..).collect()
    }
    fn put(&mut self, robot: usize, node: usize) -> bool {
        self.ways[robot] = VecDeque::from([node]);
        true
    }
    /// It keeps no account of that; the simulation's own must notice.
    fn deadlocked(&self) -> usize {
        0
    }
}
