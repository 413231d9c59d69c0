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

/// For each node and gap the earliest visit, and the node and gap before it.
type Best = HashMap<(usize, usize), (Visit, Option<(usize, usize)>)>;

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
    let mut best: Best = HashMap::new();
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use nalgebra::Point2;
    use proptest::prelude::*;

    use super::super::road_map::Node;
    use super::*;

    /// A ladder: two lanes of four nodes beside each other, joined by rungs, a bay at each end of each.
    fn ladder() -> RoadMap {
        let node = |id: String, x_m: f64, y_m: f64, place| Node { id, at: Point2::new(x_m, y_m), place };
        let mut nodes = Vec::new();
        for y in 0..2 {
            let y_m = f64::from(y) * 2.0;
            nodes.extend((0..4).map(|x| node(format!("l{y}{x}"), f64::from(x), y_m, Place::Lane)));
            nodes.push(node(format!("w{y}"), -1.0, y_m, Place::Bay));
            nodes.push(node(format!("e{y}"), 4.0, y_m, Place::Bay));
        }
        let lane = [(0, 1), (1, 2), (2, 3), (4, 0), (5, 3)];
        let mut edges: Vec<(usize, usize)> =
            lane.iter().flat_map(|&(a, b)| [(a, b), (a + 6, b + 6)]).collect();
        edges.extend([(0, 6), (2, 8), (3, 9)]);
        RoadMap::new(nodes, &edges, 0.7).unwrap()
    }

    const FREE: Vec<Span> = Vec::new();

    /// One second a metre.
    fn second_a_metre(map: &RoadMap) -> impl Fn(usize, usize) -> i64 {
        |a, b| map.joined(a).iter().find(|(n, _)| *n == b).map_or(1, |(_, m)| (m * 1e6) as i64)
    }

    /// Nodes and seconds of arrival.
    fn solve(busy: &[Vec<Span>], from: usize, goal: usize) -> Option<Vec<(usize, i64)>> {
        let map = ladder();
        let drive_us = second_a_metre(&map);
        let question = Question { map: &map, busy, drive_us: &drive_us, fastest_m_per_s: 1.0 };
        let way = earliest(&question, from, goal, 0)?;
        Some(way.iter().map(|v| (v.node, v.there_us / 1_000_000)).collect())
    }

    fn span(from_s: i64, to_s: i64) -> Span {
        let us = |s: i64| if s == i64::MAX { s } else { s * 1_000_000 };
        Span { from_us: us(from_s), to_us: us(to_s) }
    }

    #[test]
    fn alone_it_is_the_shortest_way() {
        let way = solve(&vec![FREE; 12], 4, 5).unwrap();
        assert_eq!(way, [(4, 0), (0, 1), (1, 2), (2, 3), (3, 4), (5, 5)]);
    }

    #[test]
    fn a_short_hindrance_is_waited_for_and_a_long_one_driven_around() {
        let mut busy = vec![FREE; 12];
        busy[1] = vec![span(0, 3)];
        assert_eq!(solve(&busy, 4, 5).unwrap().last(), Some(&(5, 7)), "waits two seconds");
        busy[1] = vec![span(0, 30)];
        let around = solve(&busy, 4, 5).unwrap();
        assert_eq!(around.last(), Some(&(5, 9)), "by the other lane: {around:?}");
        assert!(around.iter().all(|(n, _)| *n != 1));
    }

    #[test]
    fn nobody_swaps_places() {
        // Somebody comes from l2 to l1 and goes on to l0: they meet, and the only way is to stay away until then.
        let mut busy = vec![FREE; 12];
        busy[2] = vec![span(0, 2)];
        busy[1] = vec![span(1, 3)];
        busy[0] = vec![span(2, 5)];
        let way = solve(&busy, 4, 5).unwrap();
        for (node, at_s) in &way {
            assert!(
                busy[*node].iter().all(|s| *at_s * 1_000_000 >= s.to_us || *at_s * 1_000_000 < s.from_us),
                "{way:?}"
            );
        }
        assert_eq!(way.last(), Some(&(5, 10)));
    }

    #[test]
    fn a_goal_that_is_never_free_again_has_no_way() {
        let mut busy = vec![FREE; 12];
        busy[5] = vec![span(50, i64::MAX)];
        assert_eq!(solve(&busy, 4, 5), None);
        busy[5] = vec![span(50, 60)];
        assert_eq!(solve(&busy, 4, 5).unwrap().last(), Some(&(5, 60 + 1)), "free for ever only after that");
        assert_eq!(solve(&vec![FREE; 12], 4, 2), None, "nobody rests on a lane");
    }

    /// Every state of every second, breadth first: slow, and plainly right.
    fn brute(map: &RoadMap, busy: &[Vec<Span>], from: usize, goal: usize, horizon_s: i64) -> Option<i64> {
        let drive_us = second_a_metre(map);
        let free = |n: usize, from_s: i64, to_s: i64| {
            busy[n].iter().all(|s| to_s * 1_000_000 <= s.from_us || s.to_us <= from_s * 1_000_000)
        };
        let mut open: Vec<HashSet<usize>> = vec![HashSet::new(); horizon_s as usize + 1];
        open[0].insert(from);
        for t in 0..horizon_s {
            let here: Vec<usize> = open[t as usize].iter().copied().collect();
            for n in here {
                if n == goal && free(goal, t, i64::MAX / 2_000_000) {
                    return Some(t);
                }
                if free(n, t, t + 1) {
                    open[t as usize + 1].insert(n);
                }
                for &(m, _) in map.joined(n) {
                    let passes = map.nodes()[m].place == Place::Lane || m == goal || m == from;
                    let there = t + drive_us(n, m) / 1_000_000;
                    // Whoever arrives must have the node for a moment more.
                    if passes && there < horizon_s && free(n, t, there) && free(m, t, there + 1) {
                        open[there as usize].insert(m);
                    }
                }
            }
        }
        None
    }

    proptest! {
        #[test]
        fn no_way_is_earlier_than_the_one_found(
            held in proptest::collection::vec((0usize..12, 0i64..20, 1i64..8), 0..24),
            from in prop::sample::select(vec![4usize, 5, 10, 11]),
            goal in prop::sample::select(vec![4usize, 5, 10, 11]),
        ) {
            let map = ladder();
            let mut busy = vec![FREE; 12];
            for (node, from_s, long_s) in held {
                if node != from {
                    busy[node].push(span(from_s, from_s + long_s));
                }
            }
            for spans in &mut busy {
                spans.sort_by_key(|s| s.from_us);
                let mut apart: Vec<Span> = Vec::new();
                for s in spans.drain(..) {
                    if apart.last().is_none_or(|l| l.to_us <= s.from_us) {
                        apart.push(s);
                    }
                }
                *spans = apart;
            }
            let found = solve(&busy, from, goal).and_then(|way| way.last().map(|v| v.1));
            prop_assert_eq!(found, brute(&map, &busy, from, goal, 100));
        }
    }
}
