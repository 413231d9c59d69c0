//! The road map: nodes and edges on which robots drive.
//!
//! A map is taken only when it is *well formed* (Čáp, Vokřínek, Kleiner: "Complete decentralized method for on-line
//! multi-robot trajectory planning in well-formed infrastructures", ICAPS 2015): robots rest in bays and at home only,
//! and a robot that rests never cuts others off. Here that means: bays and homes are ends of the map, each joined to
//! one lane, and all lanes are joined to each other. Nodes are far enough apart that two robots on two nodes never
//! touch, no two edges cross, and no edge passes a node that is not its end too closely. So two robots touch only when
//! they have a node in common, where "have" means to stand on it or to drive on an edge that ends there.

use std::collections::BinaryHeap;

use nalgebra::Point2;

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Robots pass; nobody rests here.
    Lane,
    /// A robot stands here while it picks or hands over.
    Bay,
    /// A robot's own place, with a charger. No other robot ever comes here.
    Home,
}

/// A place on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, as in VDA 5050's `nodeId`.
    pub id: String,
    /// Where, on the floor, metres.
    pub at: Point2<f64>,
    /// What it is for.
    pub place: Place,
}

/// Why a map is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MapError {
    /// An edge names a node that is not there, or joins a node to itself.
    #[error("edge {0} joins node {1} to node {2}; there are {3} nodes, and an edge joins two different ones")]
    NoSuchNode(usize, usize, usize, usize),
    /// Two nodes have one name.
    #[error("two nodes are called {0:?}")]
    SameName(String),
    /// A bay or home is not the end of exactly one edge to a lane.
    #[error("{0:?} is a place to rest; it must be joined to exactly one lane node, so that it blocks nobody")]
    NotAnEnd(String),
    /// Not every lane can be reached from every other.
    #[error("{0:?} cannot be reached from the other lanes")]
    Apart(String),
    /// Two nodes are so near that robots on them would touch.
    #[error("{0:?} and {1:?} are {2:.2} m apart; robots need {3:.2} m")]
    TooNear(String, String, f64, f64),
    /// An edge passes so near to a node that a robot on the one would touch a robot on the other.
    #[error("the edge {1:?}-{2:?} passes {0:?} at {3:.2} m; robots need {4:.2} m")]
    Narrow(String, String, String, f64, f64),
    /// A node's place is no place.
    #[error("{0:?} is not at a finite place")]
    Nowhere(String),
    /// Two edges cross away from any node.
    #[error("the edges {0:?}-{1:?} and {2:?}-{3:?} cross")]
    Crossing(String, String, String, String),
}

/// Nodes, and which are joined.
#[derive(Debug, Clone)]
pub struct RoadMap {
    nodes: Vec<Node>,
    /// For every node its neighbours and how far they are, metres.
    joined: Vec<Vec<(usize, f64)>>,
    /// For every bay and home: how far it is from everywhere, metres. Empty for lanes.
    far_m: Vec<Vec<f64>>,
}

impl RoadMap {
    /// Checks nodes and edges (pairs of indices, driven both ways) and makes them a map.
    ///
    /// # Errors
    /// [`MapError`] says what is wrong with the map.
    pub fn new(nodes: Vec<Node>, edges: &[(usize, usize)], apart_m: f64) -> Result<Self, MapError> {
        let mut joined = vec![Vec::new(); nodes.len()];
        for (i, &(a, b)) in edges.iter().enumerate() {
            if a == b || a >= nodes.len() || b >= nodes.len() {
                return Err(MapError::NoSuchNode(i, a, b, nodes.len()));
            }
            let length_m = (nodes[a].at - nodes[b].at).norm();
            joined[a].push((b, length_m));
            joined[b].push((a, length_m));
        }
        let mut map = Self { nodes, joined, far_m: Vec::new() };
        map.check_names()?;
        map.check_places()?;
        map.check_rest()?;
        map.check_clear(edges, apart_m)?;
        map.far_m = (0..map.nodes.len())
            .map(|n| if map.nodes[n].place == Place::Lane { Vec::new() } else { map.measure(n) })
            .collect();
        Ok(map)
    }

    fn check_names(&self) -> Result<(), MapError> {
        let mut names: Vec<&str> = self.nodes.iter().map(|n| n.id.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|w| w[0] == w[1]) {
            Some(w) => Err(MapError::SameName(w[0].to_owned())),
            None => Ok(()),
        }
    }

    fn check_places(&self) -> Result<(), MapError> {
        match self.nodes.iter().find(|n| !n.at.coords.iter().all(|c| c.is_finite())) {
            Some(n) => Err(MapError::Nowhere(n.id.clone())),
            None => Ok(()),
        }
    }

    fn check_rest(&self) -> Result<(), MapError> {
        let is_lane = |n: usize| self.nodes[n].place == Place::Lane;
        for (n, node) in self.nodes.iter().enumerate() {
            let end = self.joined[n].len() == 1 && self.joined[n].iter().all(|(m, _)| is_lane(*m));
            if node.place != Place::Lane && !end {
                return Err(MapError::NotAnEnd(node.id.clone()));
            }
        }
        let Some(first) = (0..self.nodes.len()).find(|n| is_lane(*n)) else { return Ok(()) };
        let mut seen = vec![false; self.nodes.len()];
        let mut open = vec![first];
        while let Some(n) = open.pop() {
            if !std::mem::replace(&mut seen[n], true) {
                open.extend(self.joined[n].iter().map(|(m, _)| *m).filter(|m| is_lane(*m)));
            }
        }
        match (0..self.nodes.len()).find(|n| is_lane(*n) && !seen[*n]) {
            Some(n) => Err(MapError::Apart(self.nodes[n].id.clone())),
            None => Ok(()),
        }
    }

    fn check_clear(&self, edges: &[(usize, usize)], apart_m: f64) -> Result<(), MapError> {
        let name = |n: usize| self.nodes[n].id.clone();
        for a in 0..self.nodes.len() {
            for b in 0..a {
                let gap_m = (self.nodes[a].at - self.nodes[b].at).norm();
                if gap_m < apart_m - 1e-9 {
                    return Err(MapError::TooNear(name(b), name(a), gap_m, apart_m));
                }
            }
        }
        for (i, &(a, b)) in edges.iter().enumerate() {
            for &(c, d) in &edges[..i] {
                let shared = a == c || a == d || b == c || b == d;
                let at = |n: usize| self.nodes[n].at;
                if !shared && cross(at(a), at(b), at(c), at(d)) {
                    return Err(MapError::Crossing(name(a), name(b), name(c), name(d)));
                }
            }
        }
        // Edges that do not cross are nearest to each other at an end of one of them.
        for &(a, b) in edges {
            for n in (0..self.nodes.len()).filter(|n| *n != a && *n != b) {
                let gap_m = off_segment_m(self.nodes[n].at, self.nodes[a].at, self.nodes[b].at);
                if gap_m < apart_m - 1e-9 {
                    return Err(MapError::Narrow(name(n), name(a), name(b), gap_m, apart_m));
                }
            }
        }
        Ok(())
    }

    /// How far every node is from one, metres (Dijkstra). Ways lead through lanes only.
    fn measure(&self, from: usize) -> Vec<f64> {
        let mut far_m = vec![f64::INFINITY; self.nodes.len()];
        far_m[from] = 0.0;
        // Whole micrometres order the heap: they are exact and comparable.
        let mut open = BinaryHeap::from([(std::cmp::Reverse(0_i64), from)]);
        while let Some((std::cmp::Reverse(so_far_um), n)) = open.pop() {
            if so_far_um > (far_m[n] * 1e6).round() as i64 {
                continue;
            }
            for &(m, length_m) in &self.joined[n] {
                let new_m = far_m[n] + length_m;
                if new_m < far_m[m] {
                    far_m[m] = new_m;
                    open.push((std::cmp::Reverse((new_m * 1e6).round() as i64), m));
                }
            }
        }
        far_m
    }

    /// All nodes; their indices are what the rest of this module speaks of.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a name.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.id == id)
    }

    /// A node's neighbours, and how far they are, metres.
    #[must_use]
    pub fn joined(&self, node: usize) -> &[(usize, f64)] {
        self.joined.get(node).map_or(&[], Vec::as_slice)
    }

    /// How far a node is from a bay or home, metres; infinite when `rest` is neither.
    #[must_use]
    pub fn far_m(&self, rest: usize, node: usize) -> f64 {
        self.far_m.get(rest).and_then(|row| row.get(node)).copied().unwrap_or(f64::INFINITY)
    }
}

/// How far a point is from a segment, metres.
fn off_segment_m(p: Point2<f64>, a: Point2<f64>, b: Point2<f64>) -> f64 {
    let along = b - a;
    let share = ((p - a).dot(&along) / along.norm_squared().max(1e-12)).clamp(0.0, 1.0);
    (p - (a + along * share)).norm()
}

/// Do two segments cross or touch?
fn cross(a: Point2<f64>, b: Point2<f64>, c: Point2<f64>, d: Point2<f64>) -> bool {
    let side = |p: Point2<f64>, q: Point2<f64>, r: Point2<f64>| (q - p).perp(&(r - p));
    side(a, b, c) * side(a, b, d) <= 0.0 && side(c, d, a) * side(c, d, b) <= 0.0 && {
        // Parallel segments on one line overlap only when their boxes do.
        let box_meets = |p: f64, q: f64, r: f64, s: f64| p.min(q) <= r.max(s) && r.min(s) <= p.max(q);
        box_meets(a.x, b.x, c.x, d.x) && box_meets(a.y, b.y, c.y, d.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART_M: f64 = 0.7;

    fn node(id: &str, x_m: f64, y_m: f64, place: Place) -> Node {
        Node { id: id.to_owned(), at: Point2::new(x_m, y_m), place }
    }

    /// A lane of three nodes with a bay at one end and a home at the other.
    fn good() -> (Vec<Node>, Vec<(usize, usize)>) {
        let nodes = vec![
            node("bay", 0.0, 0.0, Place::Bay),
            node("l1", 1.0, 0.0, Place::Lane),
            node("l2", 3.0, 0.0, Place::Lane),
            node("l3", 3.0, 2.0, Place::Lane),
            node("home", 3.0, 3.0, Place::Home),
        ];
        (nodes, vec![(0, 1), (1, 2), (2, 3), (3, 4)])
    }

    fn refused(change: impl FnOnce(&mut Vec<Node>, &mut Vec<(usize, usize)>)) -> MapError {
        let (mut nodes, mut edges) = good();
        change(&mut nodes, &mut edges);
        RoadMap::new(nodes, &edges, APART_M).expect_err("this map is not well formed")
    }

    #[test]
    fn a_well_formed_map_knows_its_distances() {
        let (nodes, edges) = good();
        let map = RoadMap::new(nodes, &edges, APART_M).unwrap();
        assert!((map.far_m(0, 4) - 6.0).abs() < 1e-9);
        assert!((map.far_m(4, 0) - 6.0).abs() < 1e-9);
        assert!((map.far_m(4, 2) - 3.0).abs() < 1e-9);
        assert!(map.far_m(1, 0).is_infinite(), "a lane is no place to go to");
        assert!(map.far_m(99, 0).is_infinite());
        assert_eq!(map.named("home"), Some(4));
        assert_eq!(map.named("nowhere"), None);
        assert_eq!(map.joined(2).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 3]);
        assert!(map.joined(99).is_empty());
    }

    #[test]
    fn an_edge_joins_two_nodes_that_are_there() {
        assert_eq!(refused(|_, edges| edges.push((2, 2))), MapError::NoSuchNode(4, 2, 2, 5));
        assert_eq!(refused(|_, edges| edges.push((2, 5))), MapError::NoSuchNode(4, 2, 5, 5));
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(refused(|nodes, _| nodes[2].id = "l1".into()), MapError::SameName("l1".into()));
    }

    #[test]
    fn a_place_that_is_no_number_is_refused() {
        assert_eq!(refused(|nodes, _| nodes[1].at.y = f64::NAN), MapError::Nowhere("l1".into()));
    }

    #[test]
    fn who_rests_blocks_nobody() {
        let not_an_end = |id: &str| MapError::NotAnEnd(id.into());
        // On the way, without any way, and behind another place to rest.
        assert_eq!(refused(|nodes, _| nodes[2].place = Place::Bay), not_an_end("l2"));
        assert_eq!(
            refused(|_, edges| {
                edges.remove(0);
            }),
            not_an_end("bay")
        );
        assert_eq!(refused(|nodes, _| nodes[1].place = Place::Home), not_an_end("bay"));
    }

    #[test]
    fn lanes_hang_together() {
        assert_eq!(
            refused(|_, edges| {
                edges.remove(1);
            }),
            MapError::Apart("l2".into())
        );
    }

    #[test]
    fn robots_have_room_on_nodes_and_beside_edges() {
        assert_eq!(
            refused(|nodes, _| nodes[0].at.x = 0.5),
            MapError::TooNear("bay".into(), "l1".into(), 0.5, APART_M)
        );
        // 0.5 m beside the edge l1-l2, and far from every node.
        let beside = refused(|nodes, edges| {
            nodes.push(node("bay2", 2.0, 0.5, Place::Bay));
            nodes.push(node("l4", 2.0, 1.5, Place::Lane));
            edges.extend([(5, 6), (6, 3)]);
        });
        assert!(
            matches!(&beside, MapError::Narrow(n, a, b, ..) if (n.as_str(), a.as_str(), b.as_str()) == ("bay2", "l1", "l2")),
            "{beside}"
        );
        assert!(beside.to_string().contains("passes \"bay2\" at 0.50 m; robots need 0.70 m"), "{beside}");
    }

    #[test]
    fn edges_do_not_cross() {
        let crossing = refused(|nodes, edges| {
            nodes.push(node("l4", 2.0, -1.0, Place::Lane));
            nodes.push(node("l5", 2.0, 1.0, Place::Lane));
            edges.extend([(5, 6), (6, 3)]);
        });
        assert!(matches!(crossing, MapError::Crossing(..)), "{crossing}");
    }
}
