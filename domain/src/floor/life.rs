//! Who appears, who is found again, who has left, and who was one person all along.

use nalgebra::{Matrix2, Point2, Vector2};

use super::body::Body;
use super::motion::distance2;
use super::tracker::{FRAMES_MISSED, FloorTracker, Gone};
use super::{FloorConfig, FloorEvent};
use crate::geometry::{Polygon, Segment};
use crate::ids::{GateIndex, ShopperId};
use crate::layout::{Gate, GateKind};
use crate::time::StoreTime;

/// House is kept at most this often, seconds of event time.
const HOUSEKEEPING_S: f64 = 0.1;
/// A shopper and the trial that continues them may overlap in time by this much, seconds.
const OVERLAP_S: f64 = 0.3;
/// One camera that saw both a shopper and a trial within this time saw two people, seconds.
const APART_S: f64 = 0.5;
/// Price of a newcomer at a gate instead of a lost shopper, nats: only who is close by and only just lost is likelier.
const NEWCOMER_AT_GATE: f64 = 3.0;
/// An entry explains who is first seen at most this much later, seconds, and as far as one walks meanwhile.
const EXPECTED_S: f64 = 6.0;
/// Metres a second.
const EXPECTED_PACE_M_S: f64 = 1.4;
/// Sightings after which a trial may be a shopper who was out of sight.
const RETURN_HITS: u32 = 3;
/// Slower than this is standing, metres per second.
const STANDING_M_S: f64 = 0.3;

/// A gate, and which way leads out.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) segment: Segment,
    kind: GateKind,
    /// Unit vector out of the store; `None` where both sides of the gate are floor.
    outward: Option<Vector2<f64>>,
}

impl Exit {
    pub(super) fn new(gate: &Gate, floor: &Polygon) -> Self {
        let along = gate.segment.to - gate.segment.from;
        let normal = Vector2::new(along.y, -along.x);
        let normal = if normal.norm() > 1e-9 { normal.normalize() } else { Vector2::zeros() };
        let side = |step: f64| floor.distance_m(gate.segment.middle() + normal * step);
        let (ahead, behind) = (side(0.5), side(-0.5));
        let outward = if ahead > behind + 0.05 {
            Some(normal)
        } else if behind > ahead + 0.05 {
            Some(-normal)
        } else {
            None
        };
        Self { segment: gate.segment, kind: gate.kind, outward }
    }

    /// Speed at which somebody goes out here, metres per second.
    fn outward_speed(&self, at: Point2<f64>, velocity: Vector2<f64>) -> f64 {
        match self.outward {
            Some(outward) => velocity.dot(&outward),
            None => self.segment.distance_m(at) - self.segment.distance_m(at + velocity),
        }
    }
}

impl FloorTracker {
    /// Decides about trials that have been seen often enough: a shopper who was out of sight, the same as somebody
    /// seen now, or new.
    pub(super) fn settle_trials(&mut self, now: StoreTime) {
        let trials: Vec<usize> = (0..self.bodies.len())
            .filter(|i| self.bodies[*i].id.is_none() && self.bodies[*i].hits >= RETURN_HITS)
            .collect();
        if trials.is_empty() {
            return;
        }
        // All of them compete for all who are out of sight, so that identities are settled together.
        let shoppers: Vec<usize> = (0..self.bodies.len()).filter(|i| self.bodies[*i].id.is_some()).collect();
        self.assignment.reset(trials.len(), shoppers.len());
        for (row, t) in trials.iter().enumerate() {
            for (column, s) in shoppers.iter().enumerate() {
                if let Some(cost) = self.return_cost(&self.bodies[*s], &self.bodies[*t]) {
                    self.assignment.set(row, column, cost);
                }
            }
        }
        let pairs = self.assignment.solve(0.0).to_vec();
        let mut settled: Vec<usize> = Vec::new();
        for (row, t) in trials.iter().enumerate() {
            if let Some(column) = pairs[row] {
                let trial = self.bodies[*t].clone();
                self.bodies[shoppers[column]].become_trial(&trial);
                self.counters.found_again += 1;
                settled.push(*t);
            } else if self.is_ripe(&self.bodies[*t], now) {
                if self.seen_by_others(*t, now) {
                    settled.push(*t);
                } else {
                    self.welcome(*t);
                }
            }
        }
        for t in settled.into_iter().rev() {
            self.bodies.remove(t);
        }
    }

    fn is_ripe(&self, body: &Body, now: StoreTime) -> bool {
        let c: &FloorConfig = &self.config;
        if body.unseen_s(now) > c.trial_keep_s.max(FRAMES_MISSED * self.slowest_s(body)) {
            return false;
        }
        let age = body.last_seen.seconds_since(body.born);
        if self.gate_near(body.born_at, GateKind::lets_in).is_some() {
            return body.hits >= c.birth_hits_at_gate;
        }
        if self.is_expected(body) {
            return body.hits >= c.birth_hits_elsewhere;
        }
        let several = body.links.len() > 1;
        let needed_s = if several { c.birth_elsewhere_s / 2.0 } else { c.birth_elsewhere_s };
        let moved = (body.belief.at() - body.born_at).norm() > 0.3 || several;
        body.hits >= c.birth_hits_elsewhere && age >= needed_s && (moved || age >= c.birth_still_s)
    }

    /// Can this be somebody who passed a gate a moment ago and has not been seen there?
    fn is_expected(&self, trial: &Body) -> bool {
        self.expected.iter().any(|(gate, entered)| {
            let since_s = trial.born.seconds_since(*entered);
            let walked_m = EXPECTED_PACE_M_S * since_s.max(0.0);
            (-1.0..=EXPECTED_S).contains(&since_s)
                && self.exits.get(gate.0).is_some_and(|e| {
                    e.segment.distance_m(trial.born_at) <= self.config.gate_reach_m + walked_m
                })
        })
    }

    /// The gate within whose reach a place lies, the nearest first.
    pub(super) fn gate_near(&self, at: Point2<f64>, wanted: impl Fn(GateKind) -> bool) -> Option<GateIndex> {
        let mut best: Option<(f64, usize)> = None;
        for (i, exit) in self.exits.iter().enumerate().filter(|(_, e)| wanted(e.kind)) {
            let d = exit.segment.distance_m(at);
            if d <= self.config.gate_reach_m && best.is_none_or(|(least, _)| d < least) {
                best = Some((d, i));
            }
        }
        best.map(|(_, i)| GateIndex(i))
    }

    /// Negative logarithm of the odds that a trial is this lost shopper rather than a newcomer; `None` where that
    /// cannot be.
    fn return_cost(&self, lost: &Body, trial: &Body) -> Option<f64> {
        // Only the last sightings count: a trial may have begun with a false one.
        if trial.recent[0].seconds_since(lost.last_seen) < -OVERLAP_S {
            return None;
        }
        // Whom a camera has just seen beside the trial is somebody else.
        let beside = trial.born.max(trial.last_seen.plus_s(-APART_S));
        if lost.told_apart_from(trial, beside) {
            return None;
        }
        let gap = trial.last_seen.seconds_since(lost.last_seen).max(0.0);
        let offset = trial.belief.at() - lost.at_last.at();
        let reach = self.config.top_speed_m_s * gap + 0.5 + 2.0 * lost.at_last.place_sd_m();
        if offset.norm() > reach {
            return None;
        }
        let there = self.walk.predict(&lost.at_last, gap);
        let bias = Matrix2::identity() * self.config.bias_sd_m.powi(2);
        let cov = there.place_cov() + trial.belief.place_cov() + bias;
        let (d2, log_det) = distance2(trial.belief.at() - there.at(), &cov)?;
        if d2 > self.config.gate_d2 {
            return None;
        }
        let at_gate = self.gate_near(trial.born_at, GateKind::lets_in).is_some();
        let newcomer = if at_gate || self.is_expected(trial) {
            NEWCOMER_AT_GATE
        } else {
            // Nobody falls from the sky: whoever can be a lost shopper is one.
            0.5 * (self.config.gate_d2 + 2.0 * self.walk.most_var_m2.ln()) + 1.0
        };
        Some(0.5 * (d2 + log_det) - newcomer + lost.heights_apart(trial))
    }

    /// Is a trial but another camera's view of a shopper whom others see at the same place now?
    fn seen_by_others(&mut self, trial: usize, now: StoreTime) -> bool {
        let t = &self.bodies[trial];
        let same = |b: &Body| {
            b.id.is_some()
                && b.unseen_s(now) < 0.5
                && (b.belief.at() - t.belief.at()).norm() < self.config.merge_m
                && !b.told_apart_from(t, t.born)
        };
        let Some(other) = self.bodies.iter().position(same) else { return false };
        let links = t.links.clone();
        self.bodies[other].links.extend(links);
        true
    }

    fn welcome(&mut self, trial: usize) {
        let id = ShopperId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let gate = self.gate_near(self.bodies[trial].born_at, GateKind::lets_in);
        let body = &mut self.bodies[trial];
        body.id = Some(id);
        body.born_gate = gate;
        let stretch = body.stretch;
        body.refresh(body.last_seen, &self.walk);
        let (time, at) = (body.born, body.born_at);
        self.events.push_back(FloorEvent::Appeared { shopper: id, time, at, gate });
        let root = stretch.map(|number| self.root_of(number));
        if let Some(s) = self.stretches.iter_mut().find(|s| Some(s.number) == root) {
            s.newborn = s.newborn.or(Some(id));
        }
    }

    /// What only time brings about.
    pub(super) fn keep_house(&mut self, now: StoreTime) {
        let due = self.housekept.is_none_or(|t| now.seconds_since(t) >= HOUSEKEEPING_S);
        if due {
            self.housekept = Some(now);
            let keeps: Vec<bool> = self.bodies.iter().map(|b| self.is_kept(b, now)).collect();
            let mut keeps = keeps.into_iter();
            self.bodies.retain(|_| keeps.next().unwrap_or(true));
            self.let_go(now);
            self.merge(now);
            self.follow_meetings(now);
            let history_s = self.config.history_s;
            while self.gone.front().is_some_and(|g| now.seconds_since(g.left) > history_s) {
                self.gone.pop_front();
            }
            self.merged.retain(|_, (_, t)| now.seconds_since(*t) <= history_s);
        }
        for body in &mut self.bodies {
            body.refresh(now, &self.walk);
        }
    }

    /// Is a body worth following on? Shoppers always are; they end by leaving.
    fn is_kept(&self, body: &Body, now: StoreTime) -> bool {
        // Who was seen once or twice must be seen again soon; a false sighting must not lie in wait.
        let few = if body.hits < RETURN_HITS { 3.0 } else { 1.0 };
        let keep_s = (self.config.trial_keep_s / few).max(FRAMES_MISSED * self.slowest_s(body));
        body.id.is_some() || body.unseen_s(now) <= keep_s
    }

    fn let_go(&mut self, now: StoreTime) {
        let mut i = 0;
        while i < self.bodies.len() {
            match self.has_left(&self.bodies[i], now) {
                Some(gate) => self.end(i, gate),
                None => i += 1,
            }
        }
    }

    /// Has a shopper left, and by which gate?
    fn has_left(&self, body: &Body, now: StoreTime) -> Option<Option<GateIndex>> {
        body.id?;
        let c = &self.config;
        let unseen = self.looked_for_s(body, now);
        if unseen < c.left_walking_s.max(FRAMES_MISSED * self.slowest_s(body)) {
            return None;
        }
        let (at, velocity) = (body.at_last.at(), body.at_last.velocity());
        let mut best: Option<(f64, usize)> = None;
        for (i, exit) in self.exits.iter().enumerate().filter(|(_, e)| e.kind.lets_out()) {
            let d = exit.segment.distance_m(at);
            let out = exit.outward_speed(at, velocity);
            let walking = out > STANDING_M_S || (d < c.gate_reach_m && self.floor.distance_m(at) > 0.05);
            let carried = out.max(0.0) * unseen.min(c.turn_s);
            let gone_out = walking && d <= c.gate_reach_m + 1.0 && d - carried < c.gate_reach_m;
            let vanished = d <= c.gate_reach_m && unseen >= c.left_standing_s;
            if (gone_out || vanished) && best.is_none_or(|(least, _)| d < least) {
                best = Some((d, i));
            }
        }
        if let Some((_, i)) = best {
            return Some(Some(GateIndex(i)));
        }
        // One who was hardly ever seen is not looked for as long as one who is known well.
        let known = if body.born_gate.is_some() { f64::INFINITY } else { 10.0 + 10.0 * body.seen_s };
        (unseen >= c.give_up_s.min(known)).then_some(None)
    }

    fn end(&mut self, index: usize, gate: Option<GateIndex>) {
        let body = self.bodies.remove(index);
        let Some(id) = body.id else { return };
        self.close_stretches(id);
        let (left, at) = (body.last_seen, body.at_last.at());
        self.events.push_back(FloorEvent::Left { shopper: id, time: left, at, gate });
        self.gone.push_back(Gone {
            id,
            left,
            at,
            born: body.born,
            born_at: body.born_at,
            history: body.history,
        });
    }

    /// The visit module is sure that a shopper has left: the exit gate said so.
    pub fn retire(&mut self, id: ShopperId, _time: StoreTime) {
        let id = self.kept_id(id);
        let Some(index) = self.bodies.iter().position(|b| b.id == Some(id)) else { return };
        let gate = self.gate_near(self.bodies[index].at_last.at(), GateKind::lets_out);
        self.end(index, gate);
    }

    /// Shoppers in one place whom no camera tells apart are one.
    fn merge(&mut self, now: StoreTime) {
        let limit2 = self.config.merge_m.powi(2);
        let mut pair = None;
        for i in 0..self.bodies.len() {
            let Some(_) = self.bodies[i].id.filter(|_| self.bodies[i].unseen_s(now) < 0.5) else {
                self.bodies[i].together.clear();
                continue;
            };
            for j in i + 1..self.bodies.len() {
                let Some(other) = self.bodies[j].id else { continue };
                let (a, b) = (&self.bodies[i], &self.bodies[j]);
                let since = a.together.get(&other).copied();
                let close = b.unseen_s(now) < 0.5
                    && (a.shown.at - b.shown.at).norm_squared() < limit2
                    && !a.told_apart_from(b, since.unwrap_or(now).plus_s(-0.5));
                match since {
                    Some(_) if !close => {
                        self.bodies[i].together.remove(&other);
                    }
                    Some(since) if now.seconds_since(since) >= self.config.merge_s => pair = Some((i, j)),
                    None if close => {
                        self.bodies[i].together.insert(other, now);
                    }
                    _ => {}
                }
            }
        }
        // One pair a time is enough: the next comes a moment later.
        let Some((i, j)) = pair else { return };
        let (keep, drop) = if self.bodies[i].born <= self.bodies[j].born { (i, j) } else { (j, i) };
        let (Some(kept), Some(gone)) = (self.bodies[keep].id, self.bodies[drop].id) else { return };
        let links = self.bodies[drop].links.clone();
        self.bodies[keep].links.extend(links);
        self.bodies.remove(drop);
        for b in &mut self.bodies {
            b.together.remove(&gone);
        }
        self.merged.insert(gone, (kept, now));
        self.events.push_back(FloorEvent::Merged { kept, gone, time: now });
    }
}
