//! Robots whose place the traffic does not know: at master control's start, and after a person has moved one.
//!
//! A robot that stands at a resting place is put there. One that still has an order of an earlier run is let finish when
//! its whole way is in its base; otherwise its order is called off. What it has done of tasks its states tell, so a task
//! that is given again goes on where it was.
//!
//! A robot in a lane has no way that is reserved for it. While there is one, nobody else gets anything released; when
//! the others stand still, the stray is sent home around them. When they leave no way, the next one is tried, and staff
//! are told.

use std::collections::VecDeque;

use linefree_bus::vda5050::state::State;
use linefree_domain::fulfilment::road_map::Place;
use nalgebra::Point2;

use super::control::MasterControl;
use super::trip::{ON_NODE_M, Purpose, Trip};
use super::vehicle::{Link, Whereabouts};

impl MasterControl {
    /// The node where a robot says that it is.
    fn node_of(&self, state: &State) -> Option<usize> {
        let nodes = self.map.nodes();
        let named = nodes.iter().position(|n| n.id == state.last_node_id);
        let at = state.agv_position.as_ref().filter(|p| p.position_initialized);
        let Some(at) = at else { return named };
        let off_m = |n: usize| (nodes[n].at - Point2::new(at.x, at.y)).norm();
        // The node that it names may lie behind it by now; the nearest one counts unless it is the same.
        let near = (0..nodes.len()).min_by(|a, b| off_m(*a).total_cmp(&off_m(*b)))?;
        match named {
            Some(named) if off_m(named) <= self.floor.apart_m => Some(named),
            _ if off_m(near) <= ON_NODE_M => Some(near),
            named => named,
        }
    }

    /// Puts a robot, whose place was not known, where it says that it is.
    pub(super) fn locate(&mut self, v: usize, state: &State, now_us: i64) {
        let vehicle = &self.vehicles[v];
        if vehicle.cancelling.is_some() || vehicle.unfit().is_some() {
            return;
        }
        if !state.is_idle() {
            // An order of an earlier run: one that ends at a resting place without our help may end.
            let ends = state.node_states.iter().all(|n| n.released) && {
                let last =
                    state.node_states.last().map_or(state.last_node_id.as_str(), |n| n.node_id.as_str());
                self.map.nodes().iter().any(|n| n.id == last && n.place != Place::Lane)
            };
            if !ends {
                let action_id = self.instant(v, "cancelOrder", Vec::new(), now_us);
                let cancelling = super::vehicle::Cancelling { action_id, sent_us: now_us, tries: 1 };
                self.vehicles[v].cancelling = Some(cancelling);
            }
            return;
        }
        let Some(node) = self.node_of(state) else {
            self.notice(v, "it does not say where it is: push it home and say so");
            return;
        };
        let rests = self.map.nodes().get(node).is_some_and(|n| n.place != Place::Lane);
        let home_of_other = self.vehicles.iter().enumerate().any(|(w, o)| w != v && o.post.home == node);
        if rests && !home_of_other && self.traffic.put(v, node).is_ok() {
            self.vehicles[v].whereabouts = Whereabouts::Known;
        } else {
            self.vehicles[v].whereabouts = Whereabouts::Astray(node);
        }
    }

    /// A robot that rests without an order, elsewhere than the traffic has it: a person has moved it.
    pub(super) fn stands_elsewhere(&mut self, v: usize, state: &State, now_us: i64) {
        let vehicle = &self.vehicles[v];
        let quiet = vehicle.whereabouts == Whereabouts::Known
            && vehicle.trip.is_none()
            && vehicle.cancelling.is_none()
            && vehicle.unfit().is_none()
            && state.is_idle()
            && !state.driving;
        let (Some(here), true) = (self.traffic.at(v), quiet) else { return };
        let Some(node) = self.node_of(state) else { return };
        // On its way it may have come as far as the next node without saying so.
        if node == here || self.traffic.way(v).take(2).any(|n| n == node) {
            return;
        }
        let far_m =
            self.map.nodes().get(node).zip(self.map.nodes().get(here)).map(|(a, b)| (a.at - b.at).norm());
        if far_m.is_some_and(|m| m > 2.0 * ON_NODE_M) {
            self.fail_job(v, "the robot was moved", false, now_us);
            self.traffic.take_away(v);
            self.vehicles[v].whereabouts = Whereabouts::Unknown;
            self.locate(v, state, now_us);
        }
    }

    /// Is there a robot in a lane without a way of its own?
    pub(super) fn has_strays(&self) -> bool {
        let stray = |v: &super::vehicle::Vehicle| {
            v.link == Link::Online && matches!(v.whereabouts, Whereabouts::Astray(_))
        };
        self.vehicles.iter().any(stray)
    }

    /// Sends one stray home when everybody else stands still.
    pub(super) fn bring_strays_home(&mut self, now_us: i64) {
        let on_the_way = |v: &super::vehicle::Vehicle| {
            v.trip.as_ref().is_some_and(|t| t.sent.is_some() && t.reached + 1 < t.released)
        };
        if self.vehicles.iter().any(on_the_way) {
            return;
        }
        for v in 0..self.vehicles.len() {
            let vehicle = &self.vehicles[v];
            let Whereabouts::Astray(node) = vehicle.whereabouts else { continue };
            let ready = vehicle.trip.is_none()
                && vehicle.cancelling.is_none()
                && vehicle.unfit().is_none()
                && now_us >= vehicle.rest_until_us
                && vehicle.state.as_ref().is_some_and(State::is_idle);
            if !ready {
                continue;
            }
            let home = vehicle.post.home;
            match self.way_around(v, node, home) {
                Some(way) => {
                    let mut trip = Trip::new(self.fresh_id(), Purpose::Astray, way, now_us);
                    trip.from = self.beside(v, node);
                    let all = trip.nodes.len();
                    self.vehicles[v].trip = Some(trip);
                    self.send_trip(v, all, now_us);
                    return;
                }
                None => self.notice(
                    v,
                    "it stands in a lane and cannot get home past the others: push it home and say so",
                ),
            }
        }
    }

    /// Where a robot stands, when that is not on the node.
    pub(super) fn beside(&self, v: usize, node: usize) -> Option<Point2<f64>> {
        let at = self.vehicles[v].state.as_ref()?.agv_position.as_ref()?;
        let at = Point2::new(at.x, at.y);
        let off_m = (self.map.nodes().get(node)?.at - at).norm();
        (off_m > ON_NODE_M).then_some(at)
    }

    /// The way with the fewest nodes that nobody holds (breadth first).
    fn way_around(&self, v: usize, from: usize, to: usize) -> Option<Vec<usize>> {
        let held = |node: usize| {
            let stands = self
                .vehicles
                .iter()
                .enumerate()
                .any(|(w, other)| w != v && other.whereabouts == Whereabouts::Astray(node));
            stands
                || self.vehicles.iter().enumerate().any(|(w, _)| {
                    w != v && self.traffic.way(w).take(1 + self.traffic.released(w)).any(|n| n == node)
                })
        };
        let mut came: Vec<Option<usize>> = vec![None; self.map.nodes().len()];
        let mut open = VecDeque::from([from]);
        while let Some(n) = open.pop_front() {
            if n == to {
                let mut way = vec![n];
                let mut at = n;
                while at != from {
                    at = came[at]?;
                    way.push(at);
                }
                way.reverse();
                return Some(way);
            }
            let through = |m: usize| m == to || self.map.nodes()[m].place == Place::Lane;
            for &(m, _) in self.map.joined(n) {
                if came[m].is_none() && m != from && through(m) && !held(m) {
                    came[m] = Some(n);
                    open.push_back(m);
                }
            }
        }
        None
    }
}
