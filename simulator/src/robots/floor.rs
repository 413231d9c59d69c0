//! The simulated shop floor: aisles with bays to both sides, a counter, and a home for each robot.

use linefree_domain::fulfilment::road_map::{MapError, Node, Place, RoadMap};
use nalgebra::Point2;

/// Metres between two lane nodes along an aisle.
const STEP_M: f64 = 1.5;
/// Metres from one aisle to the next, twice a step so that cross aisles have a node between.
const AISLE_M: f64 = 3.0;
/// Metres from a lane to a bay.
const SPUR_M: f64 = 0.75;
/// Nodes along an aisle.
const ALONG: usize = 15;
/// Robots are 0.6 m wide; nodes are at least this far apart.
const APART_M: f64 = 0.7;

/// A floor for a number of robots: larger fleets get larger stores.
pub struct Floor {
    /// The road map.
    pub map: RoadMap,
    /// Where robots pick.
    pub bays: Vec<usize>,
    /// Where they hand over.
    pub counters: Vec<usize>,
    /// Where each one lives.
    pub homes: Vec<usize>,
    /// Where people walk.
    pub lanes: Vec<usize>,
}

impl Floor {
    /// Eight aisles of 21 m for every ten robots, joined at the front, in the middle and at the back.
    ///
    /// # Errors
    /// Never for this geometry; the map checks itself.
    pub fn for_robots(robots: usize) -> Result<Self, MapError> {
        let aisles = (robots * 8).div_ceil(10).max(8);
        let mut made = Making::default();
        let mut grid = vec![vec![0; ALONG]; aisles];
        for (a, column) in grid.iter_mut().enumerate() {
            for (k, at) in column.iter_mut().enumerate() {
                *at = made.node(format!("l{a}-{k}"), a as f64 * AISLE_M, k as f64 * STEP_M, Place::Lane);
            }
            for pair in column.windows(2) {
                made.edges.push((pair[0], pair[1]));
            }
        }
        let (mut bays, mut counters, mut homes) = (Vec::new(), Vec::new(), Vec::new());
        for a in 0..aisles {
            let x_m = a as f64 * AISLE_M;
            for k in [0, ALONG / 2, ALONG - 1] {
                if a + 1 < aisles {
                    let between =
                        made.node(format!("c{a}-{k}"), x_m + STEP_M, k as f64 * STEP_M, Place::Lane);
                    made.edges.extend([(grid[a][k], between), (between, grid[a + 1][k])]);
                }
            }
            for (k, lane) in
                grid[a].iter().enumerate().filter(|(k, _)| ![0, ALONG / 2, ALONG - 1].contains(k))
            {
                for (side, dx_m) in [("w", -SPUR_M), ("e", SPUR_M)] {
                    let id = format!("bay{a}-{k}{side}");
                    let bay = made.node(id, x_m + dx_m, k as f64 * STEP_M, Place::Bay);
                    made.edges.push((*lane, bay));
                    bays.push(bay);
                }
            }
            // The front has the counter and homes below it, the back only homes.
            let back_m = (ALONG - 1) as f64 * STEP_M + STEP_M;
            let front = made.node(format!("counter{a}"), x_m, -STEP_M, Place::Bay);
            made.edges.push((grid[a][0], front));
            counters.push(front);
            let home = made.node(format!("home{a}b"), x_m, back_m, Place::Home);
            made.edges.push((grid[a][ALONG - 1], home));
            homes.push(home);
            if a + 1 < aisles {
                let between = made.named(&format!("c{a}-{}", ALONG - 1));
                let home = made.node(format!("home{a}c"), x_m + STEP_M, back_m, Place::Home);
                made.edges.push((between, home));
                homes.push(home);
            }
        }
        homes.truncate(robots);
        let lanes = (0..made.nodes.len()).filter(|n| made.nodes[*n].place == Place::Lane).collect();
        let map = RoadMap::new(made.nodes, &made.edges, APART_M)?;
        Ok(Self { map, bays, counters, homes, lanes })
    }
}

#[derive(Default)]
struct Making {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

impl Making {
    fn node(&mut self, id: String, x_m: f64, y_m: f64, place: Place) -> usize {
        self.nodes.push(Node { id, at: Point2::new(x_m, y_m), place });
        self.nodes.len() - 1
    }

    fn named(&self, id: &str) -> usize {
        self.nodes.iter().position(|n| n.id == id).unwrap_or(0)
    }
}
