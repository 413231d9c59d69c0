//! The way through the gaps that other robots leave: safe interval path planning.
//!
//! Phillips, Likhachev: "SIPP: Safe interval path planning for dynamic environments", ICRA 2011: a state is a node and
//! one stretch of time in which nobody else has it; the earliest arrival in that stretch dominates all later ones.
//! Here a robot on an edge holds both its ends, so two robots can neither swap places nor meet on an edge.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::road_map::{Place, RoadMap};

/// A stretch of time, microseconds; `to_us` is `i64::MAX` for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub from_us: i64,
    /// Until, not included.
    pub to_us: i64,
}

/// One stop of a planned way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Where.
    pub node: usize,
    /// When the robot begins to drive there, and so begins to hold it.
    pub held_us: i64,
    /// When it is there.
    pub there_us: i64,
}

/// The gaps between the spans in which others hold a node. Spans are sorted and do not overlap.
fn gaps(busy: &[Span]) -> Vec<Span> {
    let mut out = Vec::with_capacity(busy.len() + 1);
    let mut from_us = i64::MIN;
    for span in busy {
        if span.from_us > from_us {
            out.push(Span { from_us, to_us: span.from_us });
        }
        from_us = from_us.max(span.to_us);
    }
    if from_us < i64::MAX {
        out.push(Span { from_us, to_us: i64::MAX });
    }
    out
}

/// What a search needs to know.
pub struct Question<'q> {
    /// Where robots may drive.
    pub map: &'q RoadMap,
    /// When others hold each node.
    pub busy: &'q [Vec<Span>],
    /// How long an edge takes, microseconds.
    pub drive_us: &'q dyn Fn(usize, usize) -> i64,
    /// No edge is driven faster than this.
    pub fastest_m_per_s: f64,
}

/// The earliest way from a resting place to another, beginning at `now_us`; `None` when there is none, because the
/// goal is somebody else's for ever. The first visit is the start itself.
#[must_use]
pub fn earliest(question: &Question<'_>, from: usize, goal: usize, now_us: i64) -> Option<Vec<Visit>> {
    let Question { map, busy, drive_us, fastest_m_per_s } = question;
    let at_least_us = |n: usize| (map.far_m(goal, n) / fastest_m_per_s * 1e6).floor() as i64;
    if !map.far_m(goal, from).is_finite() {
        return None;
    }
    let mut known_gaps: HashMap<usize, Vec<Span>> = HashMap::new();
    let start_gap = gaps(&busy[from]).iter().position(|g| g.from_us <= now_us && now_us < g.to_us)?;
    // Arrival and predecessor of the best way into each (node, gap).
    let mut best: HashMap<(usize, usize), (Visit, Option<(usize, usize)>)> = HashMap::new();
    let first = Visit { node: from, held_us: now_us, there_us: now_us };
    best.insert((from, start_gap), (first, None));
    let mut open = BinaryHeap::from([Reverse((now_us + at_least_us(from), now_us, from, start_gap))]);
    while let Some(Reverse((_, there_us, node, gap))) = open.pop() {
        if best.get(&(node, gap)).is_none_or(|(v, _)| v.there_us < there_us) {
            continue;
        }
        let until_us = known_gaps.entry(node).or_insert_with(|| gaps(&busy[node]))[gap].to_us;
        if node == goal && until_us == i64::MAX {
            return Some(trace(&best, (node, gap)));
        }
        for &(next, _) in map.joined(node) {
            // Others' resting places are no thoroughfare.
            if map.nodes()[next].place != Place::Lane && next != goal && next != from {
                continue;
            }
            let takes_us = drive_us(node, next).max(1);
            let next_gaps = known_gaps.entry(next).or_insert_with(|| gaps(&busy[next]));
            for (i, g) in next_gaps.iter().enumerate() {
                let held_us = there_us.max(g.from_us);
                let arrives_us = held_us.saturating_add(takes_us);
                if arrives_us > until_us {
                    break;
                }
                if arrives_us >= g.to_us {
                    continue;
                }
                let better = best.get(&(next, i)).is_none_or(|(v, _)| arrives_us < v.there_us);
                if better {
                    best.insert(
                        (next, i),
                        (Visit { node: next, held_us, there_us: arrives_us }, Some((node, gap))),
                    );
                    open.push(Reverse((arrives_us + at_least_us(next), arrives_us, next, i)));
                }
            }
        }
    }
    None
}

type Best = HashMap<(usize, usize), (Visit, Option<(usize, usize)>)>;

fn trace(best: &Best, end: (usize, usize)) -> Vec<Visit> {
    let mut way = Vec::new();
    let mut at = Some(end);
    while let Some((visit, before)) = at.and_then(|key| best.get(&key)) {
        way.push(*visit);
        at = *before;
    }
    way.reverse();
    way
}
