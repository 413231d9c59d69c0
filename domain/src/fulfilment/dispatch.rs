//! Which orders a robot takes next, so that few are late.
//!
//! Three ways to choose, on the same terms: the same estimate of times, the same tour through the chosen bays.
//! [`Choice::FirstCome`] and [`Choice::NearestFirst`] are the yardsticks. [`Choice::LeastSlack`] gives up what is late
//! already until nothing else waits (the idea of Moore, "An n job, one machine sequencing algorithm for minimizing the
//! number of late jobs", Management Science 1968), begins with the order that has the least time to spare, and adds
//! those that cost the shortest detour as long as all of them stay in time.

use super::road_map::RoadMap;

/// An order that waits for a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// When it was placed.
    pub placed_us: i64,
    /// When it was promised for.
    pub due_us: i64,
    /// The bays where its lines are.
    pub bays: Vec<usize>,
    /// Which jobs it may ride with: those of the same company. `None` rides alone.
    pub company: Option<u32>,
    /// Robots that must not take it.
    pub shuns: Vec<usize>,
}

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Whoever ordered first.
    FirstCome,
    /// Whatever lies nearest to the robot.
    NearestFirst,
    /// Whatever has the least time to spare, with what lies on its way.
    LeastSlack,
}

/// What estimates are made of.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// Speed over ground with people and other robots about.
    pub m_per_s: f64,
    /// Seconds for one line at a bay.
    pub pick_s: f64,
    /// Seconds for handing over one order.
    pub hand_over_s: f64,
}

/// The tour: always on to the nearest bay left. Gives the bays in order and the metres from `from` to the last one.
#[must_use]
pub fn tour(map: &RoadMap, from: usize, bays: &[usize]) -> (Vec<usize>, f64) {
    let mut left: Vec<usize> = bays.to_vec();
    let mut way = Vec::with_capacity(left.len());
    let (mut at, mut total_m) = (from, 0.0);
    while let Some((i, far_m)) =
        left.iter().map(|bay| map.far_m(*bay, at)).enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
    {
        at = left.remove(i);
        total_m += far_m;
        way.push(at);
    }
    (way, total_m)
}

/// A robot that can take orders, and what it goes by.
pub struct Dispatcher<'d> {
    /// Where it drives.
    pub map: &'d RoadMap,
    /// Where it is: a bay or home.
    pub from: usize,
    /// Where orders are handed over.
    pub counter: usize,
    /// How many orders it can carry.
    pub room: usize,
    /// What estimates are made of.
    pub estimate: Estimate,
}

impl Dispatcher<'_> {
    /// When these orders would be handed over.
    fn done_us(&self, now_us: i64, jobs: &[&Job]) -> i64 {
        let bays: Vec<usize> = jobs.iter().flat_map(|j| j.bays.iter().copied()).collect();
        let (way, to_last_m) = tour(self.map, self.from, &bays);
        let back_m = self.map.far_m(self.counter, way.last().copied().unwrap_or(self.from));
        let takes_s = (to_last_m + back_m) / self.estimate.m_per_s
            + self.estimate.pick_s * bays.len() as f64
            + self.estimate.hand_over_s * jobs.len() as f64;
        now_us.saturating_add((takes_s * 1e6) as i64)
    }

    /// Chooses among the orders that wait. Gives their places in `waiting`, at most [`Self::room`] of them.
    #[must_use]
    pub fn choose(&self, choice: Choice, waiting: &[Job], now_us: i64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..waiting.len()).collect();
        match choice {
            Choice::FirstCome => order.sort_by_key(|i| (waiting[*i].placed_us, waiting[*i].id)),
            Choice::NearestFirst => {
                let near_um = |i: &usize| {
                    let nearest_m = waiting[*i].bays.iter().map(|b| self.map.far_m(*b, self.from));
                    ((nearest_m.fold(f64::INFINITY, f64::min) * 1e6) as i64, waiting[*i].id)
                };
                order.sort_by_key(near_um);
            }
            Choice::LeastSlack => return self.least_slack(waiting, now_us),
        }
        order.truncate(self.room);
        order
    }

    fn least_slack(&self, waiting: &[Job], now_us: i64) -> Vec<usize> {
        let spare_us = |i: usize| waiting[i].due_us - self.done_us(now_us, &[&waiting[i]]);
        let by_spare = (0..waiting.len()).map(|i| (spare_us(i), waiting[i].id, i));
        // What is late already comes after everything that is not, the oldest promise first.
        let Some((_, _, first)) =
            by_spare.min_by_key(
                |(spare, id, i)| {
                    if *spare >= 0 { (0, *spare, *id) } else { (1, waiting[*i].due_us, *id) }
                },
            )
        else {
            return Vec::new();
        };
        let mut chosen = vec![first];
        while chosen.len() < self.room {
            let with = |i: usize| {
                let jobs: Vec<&Job> = chosen.iter().chain([&i]).map(|c| &waiting[*c]).collect();
                let done_us = self.done_us(now_us, &jobs);
                let late = jobs.iter().any(|j| done_us > j.due_us && self.done_us(now_us, &[j]) <= j.due_us);
                (!late).then_some((done_us, waiting[i].id, i))
            };
            let others = (0..waiting.len()).filter(|i| !chosen.contains(i));
            let Some((_, _, next)) = others.filter_map(with).min() else { break };
            chosen.push(next);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Point2;

    use super::super::road_map::{Node, Place};
    use super::*;

    /// A lane of six nodes, 5 m apart, with a counter (6) at its beginning and a bay (7 to 12) at each.
    fn map() -> RoadMap {
        let node = |id: String, x_m: f64, y_m: f64, place| Node { id, at: Point2::new(x_m, y_m), place };
        let mut nodes: Vec<Node> =
            (0..6).map(|i| node(format!("l{i}"), f64::from(i) * 5.0, 0.0, Place::Lane)).collect();
        nodes.push(node("counter".into(), -1.0, 0.0, Place::Bay));
        let mut edges: Vec<(usize, usize)> = (0..5).map(|i| (i, i + 1)).collect();
        edges.push((0, 6));
        for i in 0..6 {
            nodes.push(node(format!("bay{i}"), f64::from(i) * 5.0, 1.0, Place::Bay));
            edges.push((i as usize, nodes.len() - 1));
        }
        RoadMap::new(nodes, &edges, 0.7).unwrap()
    }

    fn chosen(choice: Choice, waiting: &[Job]) -> Vec<usize> {
        let map = map();
        let estimate = Estimate { m_per_s: 1.0, pick_s: 20.0, hand_over_s: 10.0 };
        Dispatcher { map: &map, from: 6, counter: 6, room: 2, estimate }.choose(choice, waiting, 0)
    }

    fn job(id: u64, placed_s: i64, due_s: i64, bay: usize) -> Job {
        Job {
            id,
            placed_us: placed_s * 1_000_000,
            due_us: due_s * 1_000_000,
            bays: vec![bay],
            company: Some(0),
            shuns: Vec::new(),
        }
    }

    #[test]
    fn a_tour_goes_on_to_the_nearest() {
        let (way, to_last_m) = tour(&map(), 6, &[12, 7, 9]);
        assert_eq!(way, [7, 9, 12]);
        assert!((to_last_m - (2.0 + 12.0 + 17.0)).abs() < 1e-9, "{to_last_m}");
        assert_eq!(tour(&map(), 6, &[]), (vec![], 0.0));
    }

    #[test]
    fn each_choice_is_what_it_says() {
        // The far one came first, the near one last; the middle one is urgent and the far one lies behind it.
        let waiting =
            [job(1, -300, 900, 12), job(2, -200, 70, 10), job(3, -100, 3000, 7), job(4, -50, 3000, 8)];
        assert_eq!(chosen(Choice::FirstCome, &waiting), [0, 1]);
        assert_eq!(chosen(Choice::NearestFirst, &waiting), [2, 3]);
        assert_eq!(chosen(Choice::LeastSlack, &waiting), [1], "a second one would make it late");
        assert!(chosen(Choice::LeastSlack, &[]).is_empty());
    }

    #[test]
    fn what_is_late_already_waits_until_nothing_else_does() {
        let waiting = [job(1, 0, 5, 7), job(2, 0, 3000, 12)];
        assert_eq!(chosen(Choice::LeastSlack, &waiting)[0], 1);
        assert_eq!(chosen(Choice::LeastSlack, &waiting[..1]), [0]);
    }
}
