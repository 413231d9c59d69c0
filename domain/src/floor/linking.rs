//! Which stretch continues which: everybody's path put together at once.
//!
//! Each stretch continues one earlier stretch or begins a path, and no stretch is continued twice. The cheapest such
//! choice over the last [`WINDOW_S`] seconds is one linear assignment (tracklet linking as in Huang, Wu and Nevatia,
//! ECCV 2008). A link costs the negative log-likelihood of walking from the end of one to the beginning of the other,
//! place and velocity both, less what their looks say; beginning a path costs little at a gate and much elsewhere, for
//! people do not fall from the sky.

use std::ops::Range;

use super::motion::Walk;
use super::stretches::{End, Stretch, StretchNumber};
use super::tracker::FloorTracker;
use crate::ids::{CameraIndex, GateIndex, ShopperId, TrackletId};
use crate::layout::GateKind;
use crate::time::StoreTime;

/// Links of stretches that began longer ago are not reconsidered, seconds.
const WINDOW_S: f64 = 20.0;
/// Nobody is linked over a longer time out of sight, seconds.
const MOST_GAP_S: f64 = 60.0;
/// Weight of looks: their comparisons are less independent of each other than their likelihoods pretend.
const LOOKS_SHARE: f64 = 0.7;
/// An entry explains who is first seen from so long before it to so long after it, seconds, and as far off as one walks
/// meanwhile (metres a second), give or take (metres).
const ENTERED_LATE_S: f64 = 2.0;
const ENTERED_S: f64 = 8.0;
const ENTERED_PACE_M_S: f64 = 1.3;
const ENTERED_SD_M: f64 = 0.8;
/// Price of beginning a path after an entry; at a gate that nobody is known to have passed; elsewhere; elsewhere by
/// somebody hardly seen (who may be nobody), nats.
const BEGIN_ENTERED: f64 = 0.0;
const BEGIN_AT_GATE: f64 = 5.0;
const BEGIN_ELSEWHERE: f64 = 12.0;
const BEGIN_FLICKER: f64 = 6.0;
/// A stretch shorter than this may be a false detection, seconds.
const FLICKER_S: f64 = 1.0;
/// Whoever is lost at a gate has probably left, the surer the longer they are unseen: nats, and seconds.
const LOST_AT_GATE: f64 = 4.0;
const LOST_S: f64 = 2.0;
/// Stretches of a path, the latest, that looks are compared with.
const LOOKS_BACK: usize = 4;
/// Price of each second out of sight, nats.
const UNSEEN_PER_S: f64 = 0.1;
/// A place stranger than this is a detour or a bad sighting, and not stranger still (squared Mahalanobis distance).
const MOST_D2: f64 = 30.0;
/// Metres that places at both ends of a gap are off for other reasons, standard deviation.
const DETOUR_SD_M: f64 = 0.15;
/// Stands for a pair that cannot be.
const NEVER: f64 = 1e4;

impl FloorTracker {
    /// Puts the paths together anew.
    pub(super) fn link_stretches(&mut self, now: StoreTime) {
        let open: Vec<usize> = (0..self.stretches.len())
            .filter(|i| now.seconds_since(self.stretches[*i].began()) <= WINDOW_S)
            .collect();
        let earlier: Vec<usize> = (0..self.stretches.len())
            .filter(|i| {
                let s = &self.stretches[*i];
                // What an older link has taken stays taken.
                let taken = self.stretches.iter().any(|later| {
                    later.after == Some(s.number) && now.seconds_since(later.began()) > WINDOW_S
                });
                !s.gone && !taken
            })
            .collect();
        let ends: Vec<End> = earlier.iter().map(|i| self.stretches[*i].end(&self.walk)).collect();
        let costs: Vec<Vec<f64>> = open
            .iter()
            .map(|j| {
                let later = &self.stretches[*j];
                let begin = later.beginning(&self.walk);
                let links = earlier.iter().zip(&ends).map(|(i, end)| {
                    let before = &self.stretches[*i];
                    if *i == *j {
                        return NEVER;
                    }
                    self.link_cost(before, end, later, &begin).unwrap_or(NEVER)
                });
                let entries = self
                    .entered
                    .iter()
                    .map(|(gate, time)| self.entry_cost(*gate, *time, &begin).unwrap_or(NEVER));
                links.chain(entries).chain([self.begin_cost(later, &begin)]).collect()
            })
            .collect();
        let (best, total) = self.cheapest(&costs, None);
        // How sure a link is costs a solution of its own, and is asked once: until it has been told.
        let second: Vec<Option<(usize, f64)>> = best
            .iter()
            .enumerate()
            .map(|(row, column)| {
                if self.stretches[open[row]].told {
                    return None;
                }
                // All ways to begin a path are one: the rival of a beginning is a link.
                let barred =
                    if *column < earlier.len() { *column..column + 1 } else { earlier.len()..usize::MAX };
                let (other, cost) = self.cheapest(&costs, Some(&(row, barred)));
                Some((other[row], cost - total))
            })
            .collect();
        for ((j, column), second) in open.iter().zip(&best).zip(&second) {
            let number = |column: usize| earlier.get(column).map(|i| self.stretches[*i].number);
            let (after, rival) = (number(*column), second.map(|(other, margin)| (number(other), margin)));
            let stretch = &mut self.stretches[*j];
            stretch.after = after;
            if let Some((rival, margin)) = rival {
                (stretch.rival, stretch.margin) = (rival, margin);
            }
        }
    }

    /// The cheapest choice: for each row a column, the last one being "begins a path", which any row may have.
    fn cheapest(&mut self, costs: &[Vec<f64>], without: Option<&(usize, Range<usize>)>) -> (Vec<usize>, f64) {
        let columns = costs.first().map_or(0, |line| line.len() - 1);
        self.assignment.reset(costs.len(), columns + costs.len());
        for (row, line) in costs.iter().enumerate() {
            for (column, cost) in line.iter().enumerate() {
                let barred = without.is_some_and(|(r, columns)| *r == row && columns.contains(&column));
                if *cost < NEVER && !barred {
                    // Each row has its own copy of "begins a path".
                    let place = if column == columns { columns + row } else { column };
                    self.assignment.set(row, place, *cost);
                }
            }
        }
        let chosen: Vec<Option<usize>> = self.assignment.solve(NEVER).to_vec();
        let best: Vec<usize> = chosen.iter().map(|c| c.unwrap_or(columns).min(columns)).collect();
        let cost = |row: usize, column: Option<usize>| column.map_or(NEVER, |c| costs[row][c.min(columns)]);
        let total = chosen.iter().enumerate().map(|(row, column)| cost(row, *column)).sum();
        (best, total)
    }

    fn link_cost(&self, before: &Stretch, end: &End, later: &Stretch, begin: &End) -> Option<f64> {
        let gap_s = begin.time.seconds_since(end.time);
        if gap_s <= 0.0 || gap_s > MOST_GAP_S {
            return None;
        }
        if (begin.at - end.at).norm() > self.config.top_speed_m_s * gap_s + 1.0 {
            return None;
        }
        let hardly_seen = [before, later].iter().any(|s| s.lasted_s() < 0.3);
        let at_gate = self.gate_near(end.at, GateKind::lets_out).is_some();
        Some(
            walked(&self.walk, end, begin, gap_s) - LOOKS_SHARE * self.looks(before, later)
                + UNSEEN_PER_S * gap_s
                + if at_gate { LOST_AT_GATE * (1.0 - (-gap_s / LOST_S).exp()) } else { 0.0 }
                + if hardly_seen { 1.0 } else { 0.0 },
        )
    }

    /// What the looks of a stretch say for it being of the person who walked another and, as far as is known, those
    /// before it.
    fn looks(&self, before: &Stretch, later: &Stretch) -> f64 {
        let mut earlier = Some(before);
        let (mut sum, mut count) = (0.0, 0);
        for _ in 0..LOOKS_BACK {
            let Some(stretch) = earlier else { break };
            if let Some(said) = later.looks_like(stretch) {
                sum += said;
                count += 1;
            }
            earlier = stretch.after.and_then(|n| self.stretch(n));
        }
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }

    /// What it costs that a stretch began where somebody passed a gate; `None` where it cannot have.
    fn entry_cost(&self, gate: GateIndex, entered: StoreTime, begin: &End) -> Option<f64> {
        let since_s = begin.time.seconds_since(entered);
        if !(-ENTERED_LATE_S..=ENTERED_S).contains(&since_s) {
            return None;
        }
        let walked_m = ENTERED_PACE_M_S * since_s.max(0.0);
        let far_m = self.exits.get(gate.0)?.segment.distance_m(begin.at);
        let off = (far_m - walked_m).max(0.0) / (ENTERED_SD_M + 0.5 * walked_m);
        (off <= 3.5).then_some(BEGIN_ENTERED + 0.5 * off * off + UNSEEN_PER_S * since_s.abs())
    }

    fn begin_cost(&self, stretch: &Stretch, begin: &End) -> f64 {
        if self.gate_near(begin.at, GateKind::lets_in).is_some() {
            BEGIN_AT_GATE
        } else if stretch.lasted_s() < FLICKER_S {
            BEGIN_FLICKER
        } else {
            BEGIN_ELSEWHERE
        }
    }

    /// Whose path a stretch is part of, by the name they go by now.
    pub(super) fn owner_of(&self, number: StretchNumber) -> Option<ShopperId> {
        let newborn = self.stretch(self.root_of(number))?.newborn?;
        Some(self.kept_id(newborn))
    }

    /// The stretch that a path began with.
    pub(super) fn root_of(&self, number: StretchNumber) -> StretchNumber {
        let mut number = number;
        // Links lead back in time, so this ends.
        while let Some(earlier) = self.stretch(number).and_then(|s| s.after) {
            if self.stretch(earlier).is_none() {
                break;
            }
            number = earlier;
        }
        number
    }

    pub(super) fn stretch_of(&self, camera: CameraIndex, tracklet: TrackletId) -> Option<StretchNumber> {
        self.stretches.iter().rev().find(|s| s.tracklets.contains(&(camera, tracklet))).map(|s| s.number)
    }

    pub(super) fn stretch(&self, number: StretchNumber) -> Option<&Stretch> {
        self.stretches.iter().find(|s| s.number == number)
    }
}

/// Negative log-likelihood of walking from one end to the other, up to a constant.
fn walked(walk: &Walk, end: &End, begin: &End, gap_s: f64) -> f64 {
    let transition = walk.transition(gap_s);
    let (reach_s, keep) = (transition[(0, 2)], transition[(2, 2)]);
    let noise = walk.noise(gap_s);
    let place_var = end.place_var
        + begin.place_var
        + end.velocity_var * reach_s * reach_s
        + noise[(0, 0)]
        + DETOUR_SD_M * DETOUR_SD_M;
    let d2 = (begin.at - end.at - end.velocity * reach_s).norm_squared() / place_var;
    let speed_var = walk.speed_sd_m_s.powi(2);
    let velocity_var = end.velocity_var * keep * keep + noise[(2, 2)] + begin.velocity_var + 0.1;
    let v2 = (begin.velocity - end.velocity * keep).norm_squared() / velocity_var;
    0.5 * d2.min(MOST_D2) + place_var.ln() + 0.5 * v2 + velocity_var.ln() - speed_var.ln()
}
