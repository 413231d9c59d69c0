//! Which robot takes which orders: all robots that could, and all orders that wait, looked at together.
//!
//! Every robot with room and every one or two of the orders is a *proposal*. It costs the time that the robot's tour
//! grows by, and is worth the urgency of its orders: 1 for one that would just be in time, less by a factor of `e` for
//! every half hour to spare, and next to nothing for one that is late anyway. The proposal with the highest worth a second is
//! taken, and so on until nobody has room or nothing waits. That is the "apparent tardiness cost" rule (Vepsalainen,
//! Morton: "Priority rules for job shops with weighted tardiness costs", Management Science 1987) in its form for
//! batches (Balasubramanian, Monch, Fowler, Pfund: "Genetic algorithm based scheduling of parallel batch machines with
//! incompatible job families to minimize total weighted tardiness", IJPR 2004): few are late only when neither urgent
//! orders wait nor time is wasted on ways.
//!
//! Limits: at most [`SEEDS`] orders are tried as the first of a pair and [`PARTNERS`] beside each, those with the
//! highest worth and those that lie nearest, so that planning takes milliseconds however many wait. Only jobs of one
//! company ride together, and nobody takes what shuns them. What a robot has taken it keeps. An order that is late already is still brought when nothing else presses, so none is ever lost.

use super::dispatch::{Choice, Dispatcher, Estimate, Job};
use super::road_map::RoadMap;
use super::tour::{Counters, shortest};

/// Orders that are tried as the first of a pair.
pub const SEEDS: usize = 32;
/// Orders that are tried beside each of them.
pub const PARTNERS: usize = 20;
/// To have so much more time to spare makes an order less urgent by a factor of `e`, seconds: about what orders have at
/// first. Much less forgets that saved ways are time for all, much more forgets whose time runs out.
const CALM_S: f64 = 1800.0;
/// What an order is worth that is late anyway, and by how much more for every hour that it is late: it gives way to those
/// that can still be in time, but not for ever.
const LATE_WORTH: f64 = 0.02;
const LATE_WORTH_PER_H: f64 = 0.05;

/// A robot that can take orders now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Which one.
    pub robot: usize,
    /// The node from which it can go anywhere: where it rests, or the last one that is released to it.
    pub from: usize,
    /// When it is there.
    pub at_us: i64,
    /// What it carries already.
    pub carries: Vec<Job>,
    /// The bays where it still has to pick, one entry for each line.
    pub to_pick: Vec<usize>,
}

/// A robot and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which robot.
    pub robot: usize,
    /// Places in the list of orders that wait.
    pub jobs: Vec<usize>,
}

/// What all robots of a store have in common.
#[derive(Debug, Clone, Copy)]
pub struct Fleet<'d> {
    /// Where they drive.
    pub map: &'d RoadMap,
    /// Where orders are handed over.
    pub counters: &'d Counters,
    /// How many orders a robot can carry.
    pub room: usize,
    /// What estimates are made of.
    pub estimate: Estimate,
}

impl Fleet<'_> {
    /// Seconds until a robot would have handed over everything, with these orders more.
    #[must_use]
    pub fn takes_s(&self, robot: &Ready, more: &[&Job]) -> f64 {
        let mut bays = robot.to_pick.clone();
        bays.extend(more.iter().flat_map(|j| j.bays.iter().copied()));
        let orders = robot.carries.len() + more.len();
        if orders == 0 {
            return 0.0;
        }
        shortest(self.map, robot.from, &bays, self.counters).length_m / self.estimate.m_per_s
            + self.estimate.pick_s * bays.len() as f64
            + self.estimate.hand_over_s * orders as f64
    }

    /// Shares out the orders that wait. The two yardsticks serve one robot after the other, and only empty ones.
    #[must_use]
    pub fn assign(&self, choice: Choice, robots: &[Ready], waiting: &[Job]) -> Vec<Taken> {
        let mut left: Vec<usize> = (0..waiting.len()).collect();
        let mut robots: Vec<Ready> = robots.to_vec();
        let mut taken: Vec<Taken> = Vec::new();
        if choice != Choice::LeastSlack {
            for robot in robots.iter().filter(|r| r.carries.is_empty()) {
                let may: Vec<usize> =
                    left.iter().copied().filter(|i| !waiting[*i].shuns.contains(&robot.robot)).collect();
                let open: Vec<Job> = may.iter().map(|i| waiting[*i].clone()).collect();
                let one = Dispatcher {
                    map: self.map,
                    from: robot.from,
                    counter: self.counters.all().first().copied().unwrap_or(robot.from),
                    room: self.room,
                    estimate: self.estimate,
                };
                let jobs: Vec<usize> =
                    one.choose(choice, &open, robot.at_us).into_iter().map(|i| may[i]).collect();
                left.retain(|i| !jobs.contains(i));
                if !jobs.is_empty() {
                    taken.push(Taken { robot: robot.robot, jobs });
                }
            }
            return taken;
        }
        // A robot that has taken something is proposed to again only if it has room, from its new tour.
        let mut best: Vec<Option<(f64, Vec<usize>)>> =
            robots.iter().map(|r| self.best_for(r, &left, waiting)).collect();
        while let Some((r, jobs)) = highest(&best) {
            left.retain(|i| !jobs.contains(i));
            for i in &jobs {
                robots[r].to_pick.extend(&waiting[*i].bays);
                robots[r].carries.push(waiting[*i].clone());
            }
            match taken.iter_mut().find(|t| t.robot == robots[r].robot) {
                Some(t) => t.jobs.extend(&jobs),
                None => taken.push(Taken { robot: robots[r].robot, jobs: jobs.clone() }),
            }
            for (other, proposal) in best.iter_mut().enumerate() {
                if other == r || proposal.as_ref().is_some_and(|(_, p)| p.iter().any(|i| jobs.contains(i))) {
                    *proposal = self.best_for(&robots[other], &left, waiting);
                }
            }
        }
        taken
    }

    /// What an order is worth that is handed over then.
    fn worth(job: &Job, done_us: i64) -> f64 {
        let spare_s = job.due_us.saturating_sub(done_us) as f64 * 1e-6;
        if spare_s < 0.0 {
            LATE_WORTH + LATE_WORTH_PER_H * -spare_s / 3600.0
        } else {
            LATE_WORTH + (-spare_s / CALM_S).exp()
        }
    }

    /// Worth a second of taking these orders too; `None` when that makes something late that is in time now.
    fn rate(&self, robot: &Ready, now_takes_s: f64, more: &[&Job]) -> Option<f64> {
        let takes_s = self.takes_s(robot, more);
        let done_us = |s: f64| robot.at_us.saturating_add((s * 1e6) as i64);
        let spoils = |j: &Job| done_us(takes_s) > j.due_us && done_us(now_takes_s) <= j.due_us;
        if robot.carries.iter().any(spoils) {
            return None;
        }
        let worth: f64 = more.iter().map(|j| Self::worth(j, done_us(takes_s))).sum();
        Some(worth / (takes_s - now_takes_s).max(1.0))
    }

    fn best_for(&self, robot: &Ready, left: &[usize], waiting: &[Job]) -> Option<(f64, Vec<usize>)> {
        let room = self.room.saturating_sub(robot.carries.len());
        if room == 0 {
            return None;
        }
        let now_takes_s = self.takes_s(robot, &[]);
        let rides =
            |i: &usize, with: &Job| waiting[*i].company.is_some() && waiting[*i].company == with.company;
        let left: Vec<usize> = left
            .iter()
            .copied()
            .filter(|i| !waiting[*i].shuns.contains(&robot.robot))
            .filter(|i| robot.carries.iter().all(|carried| rides(i, carried)))
            .collect();
        let mut alone: Vec<(f64, usize)> = left
            .iter()
            .filter_map(|i| self.rate(robot, now_takes_s, &[&waiting[*i]]).map(|rate| (rate, *i)))
            .collect();
        alone.sort_by(|a, b| b.0.total_cmp(&a.0).then(waiting[a.1].id.cmp(&waiting[b.1].id)));
        let mut best = alone.first().map(|(rate, i)| (*rate, vec![*i]))?;
        if room < 2 {
            return Some(best);
        }
        for (_, first) in alone.iter().take(SEEDS) {
            let mut partners: Vec<(i64, usize)> = left
                .iter()
                .filter(|i| *i != first && rides(i, &waiting[*first]))
                .map(|i| (self.detour_mm(&waiting[*first], &waiting[*i]), *i))
                .collect();
            if partners.len() > PARTNERS {
                partners.select_nth_unstable(PARTNERS - 1);
                partners.truncate(PARTNERS);
            }
            for (_, second) in partners {
                let pair = [&waiting[*first], &waiting[second]];
                if let Some(rate) = self.rate(robot, now_takes_s, &pair)
                    && rate > best.0
                {
                    best = (rate, vec![*first, second]);
                }
            }
        }
        Some(best)
    }

    /// Roughly how far a second order lies off the tour of a first, each of its lines by itself.
    fn detour_mm(&self, first: &Job, second: &Job) -> i64 {
        let off_m = |bay: &usize| {
            let to = first.bays.iter().map(|b| self.map.far_m(*b, *bay));
            to.fold(f64::INFINITY, f64::min)
        };
        (second.bays.iter().map(|b| off_m(b) / self.estimate.m_per_s + self.estimate.pick_s).sum::<f64>()
            * 1e3) as i64
    }

    /// The order that a member of staff should take over, if any: one that robots would bring too late even if the
    /// next of them to be ready, at `next_us`, began with it, and that staff can still bring in time. Among those the
    /// one with the least time to spare.
    #[must_use]
    pub fn rescue(&self, waiting: &[Job], next_us: i64, staff: &Ready, walks: &Estimate) -> Option<usize> {
        let from = self.counters.all().first().copied().unwrap_or(staff.from);
        let robot = Ready { robot: 0, from, at_us: next_us, carries: Vec::new(), to_pick: Vec::new() };
        let by_staff = Self { estimate: *walks, ..*self };
        let late = |from_us: i64, s: f64, job: &Job| from_us.saturating_add((s * 1e6) as i64) > job.due_us;
        let missed = waiting.iter().enumerate().filter(|(_, job)| {
            late(next_us, self.takes_s(&robot, &[job]), job)
                && !late(staff.at_us, by_staff.takes_s(staff, &[job]), job)
        });
        missed.min_by_key(|(_, job)| (job.due_us, job.id)).map(|(i, _)| i)
    }
}

fn highest(best: &[Option<(f64, Vec<usize>)>]) -> Option<(usize, Vec<usize>)> {
    let offers = best.iter().enumerate().filter_map(|(r, b)| b.as_ref().map(|(rate, jobs)| (*rate, r, jobs)));
    // The first robot of equals.
    offers.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map(|(_, r, jobs)| (r, jobs.clone()))
}

/// How fast robots really get on, learned from what their tours took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    m_per_s: f64,
}

impl Pace {
    /// A first guess.
    #[must_use]
    pub fn new(m_per_s: f64) -> Self {
        Self { m_per_s }
    }

    /// A robot took so long for a way of that length, waiting for others included. Every way counts for a hundredth.
    pub fn saw(&mut self, length_m: f64, took_s: f64) {
        if length_m > 0.0 && took_s > 0.0 {
            // Slowness is averaged, for it is time that adds up.
            let slow = 1.0 / self.m_per_s + 0.01 * (took_s / length_m - 1.0 / self.m_per_s);
            self.m_per_s = (1.0 / slow).clamp(0.05, 5.0);
        }
    }

    /// Metres in a second.
    #[must_use]
    pub fn m_per_s(&self) -> f64 {
        self.m_per_s
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Point2;

    use super::super::road_map::{Node, Place};
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    /// A lane of ten nodes, 2 m apart, a bay beside each (11 to 20), a counter (10) at the beginning.
    fn map() -> RoadMap {
        let node = |id: String, x_m: f64, y_m: f64, place| Node { id, at: Point2::new(x_m, y_m), place };
        let mut nodes: Vec<Node> =
            (0..10).map(|i| node(format!("l{i}"), f64::from(i) * 2.0, 0.0, Place::Lane)).collect();
        nodes.push(node("counter".into(), -1.0, 0.0, Place::Bay));
        let mut edges: Vec<(usize, usize)> = (0..9).map(|i| (i, i + 1)).collect();
        edges.push((0, 10));
        for i in 0..10 {
            nodes.push(node(format!("bay{i}"), f64::from(i) * 2.0, 1.0, Place::Bay));
            edges.push((i as usize, nodes.len() - 1));
        }
        RoadMap::new(nodes, &edges, 0.7).unwrap()
    }

    const ESTIMATE: Estimate = Estimate { m_per_s: 1.0, pick_s: 20.0, hand_over_s: 10.0 };

    fn fleet(map: &RoadMap) -> Fleet<'_> {
        let counters = Box::leak(Box::new(Counters::new(map, &[10])));
        Fleet { map, counters, room: 2, estimate: ESTIMATE }
    }

    fn job(id: u64, due_s: i64, bays: &[usize]) -> Job {
        Job {
            id,
            placed_us: id as i64,
            due_us: due_s * SECOND_US,
            bays: bays.to_vec(),
            company: Some(0),
            shuns: Vec::new(),
        }
    }

    fn ready(robot: usize, from: usize) -> Ready {
        Ready { robot, from, at_us: 0, carries: Vec::new(), to_pick: Vec::new() }
    }

    #[test]
    fn a_tour_takes_its_ways_picks_and_handing_over() {
        let map = map();
        let takes_s = fleet(&map).takes_s(&ready(0, 10), &[&job(1, 900, &[11, 13])]);
        // 1 + 4 m along the lane with two spurs each way, and back.
        assert!((takes_s - (2.0 + 6.0 + 6.0 + 40.0 + 10.0)).abs() < 1e-9, "{takes_s}");
        assert!(fleet(&map).takes_s(&ready(0, 10), &[]).abs() < 1e-9);
    }

    #[test]
    fn every_order_is_taken_once_and_nobody_takes_more_than_fits() {
        let map = map();
        let waiting: Vec<Job> = (0..7).map(|i| job(i, 600 + i as i64 * 60, &[11 + i as usize])).collect();
        for choice in [Choice::LeastSlack, Choice::FirstCome, Choice::NearestFirst] {
            let taken = fleet(&map).assign(choice, &[ready(4, 11), ready(9, 20)], &waiting);
            let mut all: Vec<usize> = taken.iter().flat_map(|t| t.jobs.iter().copied()).collect();
            assert_eq!(all.len(), 4, "{choice:?}: two robots with room for two");
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 4, "{choice:?}");
            assert!(taken.iter().all(|t| t.jobs.len() <= 2 && [4, 9].contains(&t.robot)));
        }
        assert!(fleet(&map).assign(Choice::LeastSlack, &[], &waiting).is_empty());
        assert!(fleet(&map).assign(Choice::LeastSlack, &[ready(0, 11)], &[]).is_empty());
    }

    #[test]
    fn who_is_shunned_takes_nothing_and_strangers_do_not_ride_together() {
        let map = map();
        let of = |id, company, shuns: &[usize]| Job { company, shuns: shuns.to_vec(), ..job(id, 900, &[12]) };
        let waiting = [of(0, None, &[]), of(1, Some(1), &[4]), of(2, Some(2), &[4]), of(3, Some(1), &[4])];
        for choice in [Choice::LeastSlack, Choice::FirstCome, Choice::NearestFirst] {
            let taken = fleet(&map).assign(choice, &[ready(4, 11)], &waiting);
            assert_eq!(taken, [Taken { robot: 4, jobs: vec![0] }], "{choice:?}");
        }
        let mut taken = fleet(&map).assign(Choice::LeastSlack, &[ready(5, 11), ready(6, 11)], &waiting[1..]);
        taken.iter_mut().for_each(|t| t.jobs.sort_unstable());
        taken.sort_by(|a, b| a.jobs.cmp(&b.jobs));
        assert_eq!(taken.iter().map(|t| t.jobs.as_slice()).collect::<Vec<_>>(), [&[0, 2][..], &[1]]);
        // Whoever carries one takes another of its company only.
        let busy = Ready { carries: vec![of(9, Some(2), &[])], to_pick: vec![12], ..ready(7, 11) };
        let taken = fleet(&map).assign(Choice::LeastSlack, &[busy], &waiting);
        assert_eq!(taken, [Taken { robot: 7, jobs: vec![2] }]);
    }

    #[test]
    fn orders_that_lie_together_go_together_each_to_the_robot_that_is_near() {
        let map = map();
        let waiting = [job(0, 900, &[12]), job(1, 900, &[19]), job(2, 900, &[12]), job(3, 900, &[20])];
        let mut taken = fleet(&map).assign(Choice::LeastSlack, &[ready(0, 20), ready(1, 11)], &waiting);
        taken.iter_mut().for_each(|t| t.jobs.sort_unstable());
        taken.sort_by_key(|t| t.robot);
        let of = |robot, jobs: &[usize]| Taken { robot, jobs: jobs.to_vec() };
        assert_eq!(taken, [of(0, &[1, 3]), of(1, &[0, 2])]);
    }

    #[test]
    fn what_is_late_anyway_gives_way_but_not_for_ever() {
        let map = map();
        let one = Fleet { room: 1, ..fleet(&map) };
        let waiting = [job(0, 10, &[15]), job(1, 300, &[15])];
        assert_eq!(one.assign(Choice::LeastSlack, &[ready(0, 11)], &waiting)[0].jobs, [1]);
        assert_eq!(one.assign(Choice::LeastSlack, &[ready(0, 11)], &waiting[..1])[0].jobs, [0]);
        let old = [job(0, -24 * 3600, &[15]), job(1, 3000, &[15])];
        assert_eq!(one.assign(Choice::LeastSlack, &[ready(0, 11)], &old)[0].jobs, [0]);
    }

    #[test]
    fn an_order_joins_a_load_unless_that_makes_it_late() {
        let map = map();
        let carried =
            |due_s: i64| Ready { carries: vec![job(0, due_s, &[12])], to_pick: vec![12], ..ready(0, 11) };
        let far = [job(1, 900, &[20])];
        assert_eq!(fleet(&map).assign(Choice::LeastSlack, &[carried(900)], &far)[0].jobs, [0]);
        assert!(fleet(&map).assign(Choice::LeastSlack, &[carried(40)], &far).is_empty());
        assert!(
            fleet(&map).assign(Choice::FirstCome, &[carried(900)], &far).is_empty(),
            "yardsticks fill once"
        );
    }

    #[test]
    fn staff_take_over_what_robots_miss_and_they_do_not() {
        let map = map();
        let walks = Estimate { m_per_s: 1.0, pick_s: 15.0, hand_over_s: 10.0 };
        let waiting = [job(0, 900, &[20]), job(1, 100, &[20]), job(2, 20, &[20])];
        let staff = ready(0, 10);
        assert_eq!(fleet(&map).rescue(&waiting, 200 * SECOND_US, &staff, &walks), Some(1));
        assert_eq!(fleet(&map).rescue(&waiting, 0, &staff, &walks), None, "a robot is in time");
    }

    #[test]
    fn pace_is_learned() {
        let mut pace = Pace::new(0.6);
        for _ in 0..2000 {
            pace.saw(10.0, 10.0);
            pace.saw(10.0, 30.0);
        }
        assert!((pace.m_per_s() - 0.5).abs() < 0.01, "{}", pace.m_per_s());
        pace.saw(0.0, 5.0);
        pace.saw(5.0, 0.0);
        assert!((pace.m_per_s() - 0.5).abs() < 0.01);
    }
}
