//! The way through several bays to a counter.
//!
//! Built by always going on to the nearest bay left, then improved until neither turning a stretch round (2-opt: Croes,
//! "A method for solving traveling-salesman problems", Operations Research 1958) nor moving a stretch of up to three
//! bays elsewhere (Or-opt: Or, 1976) makes it shorter. The end is open: it costs the way to the nearest counter.
//!
//! Limits: distances are those of the road map without traffic. With the handful of bays of one robot's load the result
//! is the shortest tour in nearly all cases (a test compares with all permutations). Bays that cannot be reached count
//! as infinitely far.

use super::road_map::RoadMap;

/// Where orders are handed over, and which of those places is nearest to every node.
#[derive(Debug, Clone)]
pub struct Counters {
    all: Vec<usize>,
    nearest: Vec<Option<(f64, usize)>>,
}

impl Counters {
    /// Looks up the nearest of these bays for every node.
    #[must_use]
    pub fn new(map: &RoadMap, all: &[usize]) -> Self {
        let nearest = |node: usize| {
            let far = all.iter().map(|c| (map.far_m(*c, node), *c));
            far.min_by(|a, b| a.0.total_cmp(&b.0))
        };
        Self { all: all.to_vec(), nearest: (0..map.nodes().len()).map(nearest).collect() }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[usize] {
        &self.all
    }

    /// How far the nearest one is from a node, metres, and which it is.
    #[must_use]
    pub fn nearest(&self, node: usize) -> Option<(f64, usize)> {
        self.nearest.get(node).copied().flatten()
    }
}

/// Bays in the order in which they are visited, and where the load is handed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Tour {
    /// Each bay once.
    pub stops: Vec<usize>,
    /// The counter that is nearest to the last stop; none when there are no counters.
    pub counter: Option<usize>,
    /// From the start to the counter, or to the last stop when there are no counters, metres.
    pub length_m: f64,
}

/// Finds a short tour from a node through bays (repeated ones are visited once) to any of the counters.
#[must_use]
pub fn shortest(map: &RoadMap, from: usize, bays: &[usize], counters: &Counters) -> Tour {
    let mut stops: Vec<usize> = Vec::with_capacity(bays.len());
    for bay in bays {
        if !stops.contains(bay) {
            stops.push(*bay);
        }
    }
    let n = stops.len();
    let end = |node: usize| counters.nearest(node).map_or((0.0, None), |(far_m, c)| (far_m, Some(c)));
    if n == 0 {
        let (length_m, counter) = end(from);
        return Tour { stops, counter, length_m };
    }
    // Row 0 is the start; the last column is the way to a counter.
    let wide = n + 2;
    let mut far_m = vec![0.0; wide * wide];
    for (i, a) in stops.iter().enumerate() {
        far_m[i + 1] = map.far_m(*a, from);
        for (j, b) in stops.iter().enumerate() {
            far_m[(j + 1) * wide + i + 1] = map.far_m(*a, *b);
        }
        far_m[(i + 1) * wide + n + 1] = end(*a).0;
    }
    let far = |a: usize, b: usize| far_m[a * wide + b];
    let mut way: Vec<usize> = Vec::with_capacity(wide);
    way.push(0);
    let mut left: Vec<usize> = (1..=n).collect();
    while !left.is_empty() {
        let at = way[way.len() - 1];
        let nearest =
            (0..left.len()).min_by(|a, b| far(at, left[*a]).total_cmp(&far(at, left[*b]))).unwrap_or(0);
        way.push(left.remove(nearest));
    }
    way.push(n + 1);
    while improved(&mut way, &far) {}
    let length_m = way.windows(2).map(|w| far(w[0], w[1])).sum();
    let order: Vec<usize> = way[1..=n].iter().map(|i| stops[i - 1]).collect();
    let counter = order.last().and_then(|last| end(*last).1);
    Tour { stops: order, counter, length_m }
}

/// One improvement, or `false`. The first and the last place stay.
fn improved(way: &mut Vec<usize>, far: &dyn Fn(usize, usize) -> f64) -> bool {
    const LEAST_M: f64 = 1e-6;
    let last = way.len() - 1;
    for i in 1..last {
        for j in i + 1..last {
            let before = far(way[i - 1], way[i]) + far(way[j], way[j + 1]);
            let after = far(way[i - 1], way[j]) + far(way[i], way[j + 1]);
            if after < before - LEAST_M {
                way[i..=j].reverse();
                return true;
            }
        }
    }
    for long in 1..=3 {
        for i in 1..last.saturating_sub(long - 1) {
            let (first, end) = (way[i], way[i + long - 1]);
            let gained = far(way[i - 1], first) + far(end, way[i + long]) - far(way[i - 1], way[i + long]);
            for to in (0..last).filter(|to| *to + 1 < i || *to >= i + long) {
                let added = far(way[to], first) + far(end, way[to + 1]) - far(way[to], way[to + 1]);
                if added < gained - LEAST_M {
                    let moved: Vec<usize> = way.drain(i..i + long).collect();
                    let at = if to < i { to + 1 } else { to + 1 - long };
                    way.splice(at..at, moved);
                    return true;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use nalgebra::Point2;
    use proptest::prelude::*;

    use super::super::road_map::{Node, Place};
    use super::*;

    /// A lane of eight nodes, a bay to each side of each, and a counter at both ends.
    fn map() -> RoadMap {
        let node = |id: String, x_m: f64, y_m: f64, place| Node { id, at: Point2::new(x_m, y_m), place };
        let mut nodes: Vec<Node> =
            (0..8).map(|i| node(format!("l{i}"), f64::from(i), 0.0, Place::Lane)).collect();
        let mut edges: Vec<(usize, usize)> = (0..7).map(|i| (i, i + 1)).collect();
        for i in 0..8 {
            for y_m in [-1.0 - i as f64 * 0.1, 1.0] {
                nodes.push(node(format!("b{i}{y_m}"), i as f64, y_m, Place::Bay));
                edges.push((i, nodes.len() - 1));
            }
        }
        nodes.push(node("w".into(), -1.0, 0.0, Place::Bay));
        nodes.push(node("e".into(), 8.5, 0.0, Place::Bay));
        edges.extend([(0, 24), (7, 25)]);
        RoadMap::new(nodes, &edges, 0.7).unwrap()
    }

    fn permutations(list: &[usize]) -> Vec<Vec<usize>> {
        if list.is_empty() {
            return vec![Vec::new()];
        }
        let without = |i: usize| list.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, v)| *v);
        (0..list.len())
            .flat_map(|i| {
                let rest = permutations(&without(i).collect::<Vec<_>>());
                rest.into_iter().map(move |mut p| {
                    p.insert(0, list[i]);
                    p
                })
            })
            .collect()
    }

    #[test]
    fn an_empty_tour_is_the_way_to_the_counter() {
        let tour = shortest(&map(), 24, &[], &Counters::new(&map(), &[25]));
        assert_eq!((tour.stops.len(), tour.counter), (0, Some(25)));
        assert!((tour.length_m - 9.5).abs() < 1e-9);
        assert_eq!(shortest(&map(), 24, &[8, 8], &Counters::new(&map(), &[])).stops, [8]);
    }

    proptest! {
        #[test]
        fn it_is_hardly_ever_longer_than_the_best_of_all(
            from in 8usize..26,
            bays in proptest::collection::vec(8usize..24, 1..6),
        ) {
            let map = map();
            let counters = [24, 25];
            let tour = shortest(&map, from, &bays, &Counters::new(&map, &counters));
            let length = |order: &[usize]| {
                let mut at = from;
                let mut sum = 0.0;
                for stop in order {
                    sum += map.far_m(*stop, at);
                    at = *stop;
                }
                sum + counters.iter().map(|c| map.far_m(*c, at)).fold(f64::INFINITY, f64::min)
            };
            prop_assert!((length(&tour.stops) - tour.length_m).abs() < 1e-9);
            let mut wanted: Vec<usize> = bays.clone();
            wanted.sort_unstable();
            wanted.dedup();
            let mut got = tour.stops.clone();
            got.sort_unstable();
            prop_assert_eq!(got, wanted);
            let best = permutations(&tour.stops).iter().map(|p| length(p)).fold(f64::INFINITY, f64::min);
            prop_assert!(tour.length_m <= best * 1.2 + 1e-9, "{} m, best {best} m", tour.length_m);
        }
    }
}
