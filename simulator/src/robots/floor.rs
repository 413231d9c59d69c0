//! The simulated shop floor: aisles with bays to both sides, counters, and a home for each robot.

use std::collections::HashMap;

use linefree_domain::fulfilment::road_map::{MapError, Node, Place, RoadMap};
use linefree_domain::fulfilment::tour::Counters;
use nalgebra::Point2;

/// Metres between two lane nodes along an aisle, and from a hall's last one to a home.
const STEP_M: f64 = 1.5;
/// Metres from a lane to a bay.
const SPUR_M: f64 = 0.75;
/// Nodes along an aisle.
const ALONG: i32 = 15;
/// Rows at which aisles are joined: front, middle and back.
const CROSS: [i32; 3] = [0, ALONG / 2, ALONG - 1];
/// Aisles of a hall.
const AISLES: i32 = 8;
/// Robots of a hall.
const ROBOTS: usize = 10;
/// Robots are 0.6 m wide; nodes are at least this far apart.
const APART_M: f64 = 0.7;
/// From one aisle to the next and from one hall to the next, in steps. Cross aisles have a node between two aisles.
const AISLE_STEPS: i32 = 2;
const HALL_STEPS: (i32, i32) = (AISLES * AISLE_STEPS, ALONG + 2);

/// A floor for a number of robots: larger fleets get larger stores.
pub struct Floor {
    /// The road map.
    pub map: RoadMap,
    /// Where robots pick.
    pub bays: Vec<usize>,
    /// Where they hand over.
    pub counters: Counters,
    /// Where each one lives.
    pub homes: Vec<usize>,
    /// Where people walk.
    pub lanes: Vec<usize>,
}

impl Floor {
    /// A hall for every ten robots: eight aisles of 21 m, 3 m apart, joined at the front, in the middle and at the
    /// back. Halls lie beside and behind each other, about as many each way; two lanes join each to the one behind.
    ///
    /// # Errors
    /// Never for this geometry; the map checks itself.
    pub fn for_robots(robots: usize) -> Result<Self, MapError> {
        let halls = robots.div_ceil(ROBOTS).max(1);
        let wide = (halls as f64).sqrt().ceil() as usize;
        let mut making = Making::default();
        for hall in 0..halls {
            let behind = hall + wide < halls;
            making.hall(hall, (hall % wide) as i32, (hall / wide) as i32, behind);
        }
        let Making { nodes, edges, bays, counters, mut homes, .. } = making;
        homes.truncate(robots);
        let lanes = (0..nodes.len()).filter(|n| nodes[*n].place == Place::Lane).collect();
        let map = RoadMap::new(nodes, &edges, APART_M)?;
        let counters = Counters::new(&map, &counters);
        Ok(Self { map, bays, counters, homes, lanes })
    }
}

#[derive(Default)]
struct Making {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
    /// Lanes by their place in steps.
    lanes: HashMap<(i32, i32), usize>,
    bays: Vec<usize>,
    counters: Vec<usize>,
    homes: Vec<usize>,
}

impl Making {
    fn node(&mut self, id: String, x_m: f64, y_m: f64, place: Place) -> usize {
        self.nodes.push(Node { id, at: Point2::new(x_m, y_m), place });
        self.nodes.len() - 1
    }

    /// The lane node at a place, joined to `from` if it is new or not yet joined.
    fn lane(&mut self, x: i32, y: i32, from: Option<usize>) -> usize {
        let at = match self.lanes.get(&(x, y)) {
            Some(at) => *at,
            None => {
                let at = self.node(
                    format!("lane{x}.{y}"),
                    f64::from(x) * STEP_M,
                    f64::from(y) * STEP_M,
                    Place::Lane,
                );
                self.lanes.insert((x, y), at);
                at
            }
        };
        if let Some(from) = from
            && !self.edges.contains(&(from, at))
        {
            self.edges.push((from, at));
        }
        at
    }

    /// A place to rest beside a lane node.
    fn rest(&mut self, id: String, lane: usize, dx_m: f64, dy_m: f64, place: Place) -> usize {
        let at = self.nodes[lane].at;
        let rest = self.node(id, at.x + dx_m, at.y + dy_m, place);
        self.edges.push((lane, rest));
        rest
    }

    fn hall(&mut self, hall: usize, column: i32, row: i32, behind: bool) {
        let (x0, y0) = (column * HALL_STEPS.0, row * HALL_STEPS.1);
        for a in 0..AISLES {
            let x = x0 + a * AISLE_STEPS;
            let mut before = None;
            for k in 0..ALONG {
                let lane = self.lane(x, y0 + k, before);
                before = Some(lane);
                if !CROSS.contains(&k) {
                    for (side, dx_m) in [("w", -SPUR_M), ("e", SPUR_M)] {
                        let bay = self.rest(format!("bay{hall}.{a}.{k}{side}"), lane, dx_m, 0.0, Place::Bay);
                        self.bays.push(bay);
                    }
                }
            }
            // Cross aisles reach on to the next hall, which may not be there: then they end between.
            for k in CROSS {
                let lane = self.lane(x, y0 + k, None);
                if a > 0 || column > 0 {
                    let between = self.lane(x - 1, y0 + k, None);
                    self.lane(x, y0 + k, Some(between));
                    let west = self.lane(x - 2, y0 + k, None);
                    self.lane(x - 1, y0 + k, Some(west));
                } else if row > 0 || behind {
                    self.lane(x - 1, y0 + k, Some(lane));
                }
            }
        }
        // Lanes to the hall behind: at the western border and in the middle.
        let joins = [x0 - 1, x0 + AISLES - 1];
        if behind {
            for x in joins {
                let mut before = self.lane(x, y0 + ALONG - 1, None);
                for y in y0 + ALONG..=y0 + HALL_STEPS.1 {
                    before = self.lane(x, y, Some(before));
                }
            }
        }
        let mut homes = Vec::new();
        for a in 0..AISLES {
            let x = x0 + a * AISLE_STEPS;
            let front = self.lane(x, y0, None);
            let counter = self.rest(format!("counter{hall}.{a}"), front, 0.0, -STEP_M, Place::Bay);
            self.counters.push(counter);
            for x in [x, x + 1] {
                let free = x == x0 + a * AISLE_STEPS || (a + 1 < AISLES && !joins.contains(&x));
                if free && homes.len() < ROBOTS {
                    let back = self.lane(x, y0 + ALONG - 1, None);
                    homes.push(self.rest(
                        format!("home{hall}.{}", homes.len()),
                        back,
                        0.0,
                        STEP_M,
                        Place::Home,
                    ));
                }
            }
        }
        self.homes.extend(homes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fleet_has_a_floor_with_room_for_it() {
        for robots in [1, 10, 11, 40, 70] {
            let floor = Floor::for_robots(robots).unwrap();
            let halls = robots.div_ceil(10);
            assert_eq!(floor.homes.len(), robots);
            assert_eq!(floor.bays.len(), halls * 192);
            assert_eq!(floor.counters.all().len(), halls * 8);
            let cut_off = floor.bays.iter().find(|b| !floor.map.far_m(**b, floor.homes[0]).is_finite());
            assert_eq!(cut_off, None);
        }
        // The store that the promise is about.
        let ten = Floor::for_robots(10).unwrap();
        assert_eq!((ten.lanes.len(), ten.map.nodes().len()), (8 * 15 + 3 * 7, 8 * 15 + 3 * 7 + 192 + 8 + 10));
    }
}
