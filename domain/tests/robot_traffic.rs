//! Random maps, fleets and delays: no two robots ever have one node or edge, and everybody arrives.
//!
//! The account of who is where is the test's own: robots report what they do, and the test knows nothing of queues.
//! `LINEFREE_TRAFFIC_SEEDS=100..2000 cargo test -p linefree-domain --test robot_traffic` tries other seeds.

use std::collections::BTreeSet;

use linefree_domain::fulfilment::road_map::{Node, Place, RoadMap};
use linefree_domain::fulfilment::traffic::Traffic;
use nalgebra::Point2;

const SECOND_US: i64 = 1_000_000;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

/// A grid with holes: a random tree over all lanes and some edges more; bays and homes at the corners of its nodes.
fn map(dice: &mut Dice, robots: usize) -> (RoadMap, Vec<usize>, Vec<usize>) {
    let (wide, deep) = (2 + dice.roll(4), 2 + dice.roll(4));
    let lane = |x: usize, y: usize| y * wide + x;
    let mut nodes: Vec<Node> = (0..wide * deep)
        .map(|i| Node {
            id: format!("l{i}"),
            at: Point2::new((i % wide) as f64 * 3.0, (i / wide) as f64 * 3.0),
            place: Place::Lane,
        })
        .collect();
    let mut walls: Vec<(usize, usize)> = Vec::new();
    for y in 0..deep {
        for x in 0..wide {
            walls.extend((x + 1 < wide).then(|| (lane(x, y), lane(x + 1, y))));
            walls.extend((y + 1 < deep).then(|| (lane(x, y), lane(x, y + 1))));
        }
    }
    // Kruskal in random order; one in three edges that would close a ring stays as well.
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    let mut edges = Vec::new();
    while !walls.is_empty() {
        let (a, b) = walls.swap_remove(dice.roll(walls.len()));
        if group[a] != group[b] {
            let (from, to) = (group[a], group[b]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            edges.push((a, b));
        } else if dice.roll(3) == 0 {
            edges.push((a, b));
        }
    }
    let mut corners: Vec<(usize, f64, f64)> = (0..nodes.len())
        .flat_map(|n| [(n, 0.8, 0.8), (n, 0.8, -0.8), (n, -0.8, 0.8), (n, -0.8, -0.8)])
        .collect();
    let (mut homes, mut bays) = (Vec::new(), Vec::new());
    let bays_wanted = 1 + dice.roll(robots + 4);
    while !corners.is_empty() && (homes.len() < robots || bays.len() < bays_wanted) {
        let (n, dx_m, dy_m) = corners.swap_remove(dice.roll(corners.len()));
        let home = homes.len() < robots;
        let at = nodes[n].at + nalgebra::Vector2::new(dx_m, dy_m);
        let id = format!("p{}", nodes.len());
        nodes.push(Node { id, at, place: if home { Place::Home } else { Place::Bay } });
        edges.push((n, nodes.len() - 1));
        if home { &mut homes } else { &mut bays }.push(nodes.len() - 1);
    }
    (RoadMap::new(nodes, &edges, 0.7).expect("the generator makes well-formed maps"), homes, bays)
}

/// What a robot physically does, known from its own reports only.
#[derive(Clone)]
struct Body {
    here: Option<usize>,
    next: Option<usize>,
    there_us: i64,
    errands: usize,
    /// Nodes that it was told it may drive to.
    promised: Vec<usize>,
    broken_until_us: Option<i64>,
}

fn audit(bodies: &[Body], seed: u64) {
    let mut taken = BTreeSet::new();
    for (robot, body) in bodies.iter().enumerate() {
        for node in body.here.iter().chain(&body.next) {
            assert!(taken.insert(*node), "seed {seed}: robot {robot} meets another at node {node}");
        }
    }
}

fn plays(seed: u64) {
    let mut dice = Dice(seed);
    let robots = 1 + dice.roll(7);
    let (map, homes, bays) = map(&mut dice, robots);
    let base = 1 + dice.roll(4);
    let mut traffic = Traffic::new(map, &homes, 1.0).expect("homes are free").with_base(base);
    let mut bodies: Vec<Body> = homes
        .iter()
        .map(|h| Body {
            here: Some(*h),
            next: None,
            there_us: 0,
            errands: 6,
            promised: vec![],
            broken_until_us: None,
        })
        .collect();
    // Everybody is predicted to take two seconds an edge, and takes from one to forty.
    let predicted = |_: usize, _: usize| 2 * SECOND_US;
    let mut now_us = 0;
    let mut moves = 0;
    loop {
        assert!(traffic.deadlocked().is_empty(), "seed {seed}: {:?} can never go on", traffic.deadlocked());
        // Whoever rests goes on an errand, to a bay that is free, and home after the last; some change their minds.
        for robot in 0..robots {
            if bodies[robot].broken_until_us.is_some() {
                continue;
            }
            let goal = if bodies[robot].errands == 0 { homes[robot] } else { bays[dice.roll(bays.len())] };
            if traffic.at_rest(robot) && traffic.at(robot) != Some(goal) {
                match traffic.send(robot, goal, now_us, &predicted) {
                    Ok(_) => bodies[robot].errands = bodies[robot].errands.saturating_sub(1),
                    // Somebody's: out of the way, so that two who want each other's place both get it.
                    Err(_) if traffic.at(robot) != Some(homes[robot]) => {
                        traffic.send(robot, homes[robot], now_us, &predicted).expect("a home is always free");
                    }
                    Err(_) => {}
                }
            } else if !traffic.at_rest(robot) && dice.roll(12) == 0 {
                let _ = traffic.divert(robot, goal, now_us, &predicted);
            }
        }
        for (robot, body) in bodies.iter_mut().enumerate() {
            // A promise is kept: what was released before is still the next of the way, and still released.
            let now: Vec<usize> = traffic.way(robot).skip(1).take(traffic.released(robot)).collect();
            assert!(now.len() <= base);
            assert!(
                now.starts_with(&body.promised),
                "seed {seed}: robot {robot} was promised {:?}, now {now:?}",
                body.promised
            );
            body.promised = now;
            if body.next.is_none()
                && body.broken_until_us.is_none()
                && let Ok(next) = traffic.leaves(robot, now_us)
            {
                body.next = Some(next);
                let takes_s = if dice.roll(10) == 0 { 40 } else { 1 + dice.roll(4) };
                body.there_us = now_us + takes_s as i64 * SECOND_US;
            }
        }
        audit(&bodies, seed);
        // One in fifty breaks down where it is, for up to two minutes, and is then pushed home.
        let victim = dice.roll(robots * 50);
        if let Some(body) = bodies.get_mut(victim)
            && body.broken_until_us.is_none()
        {
            let until_us = now_us + (1 + dice.roll(120)) as i64 * SECOND_US;
            body.broken_until_us = Some(until_us);
            traffic.expect_until(victim, until_us);
        }
        let done = |(r, b): (usize, &Body)| b.errands == 0 && b.here == Some(homes[r]) && b.next.is_none();
        if bodies.iter().enumerate().all(done) && bodies.iter().all(|b| b.broken_until_us.is_none()) {
            break;
        }
        let moving = |b: &Body| b.broken_until_us.or(b.next.map(|_| b.there_us));
        let next = bodies.iter().enumerate().filter_map(|(r, b)| Some((moving(b)?, r))).min();
        // Nothing moves: all wait for a bay that is somebody's. The next round rolls other goals.
        let Some((at_us, robot)) = next else {
            now_us += SECOND_US;
            moves += 1;
            assert!(moves < 100_000, "seed {seed}: somebody never arrives");
            continue;
        };
        now_us = now_us.max(at_us);
        let body = &mut bodies[robot];
        if body.broken_until_us.take().is_some() {
            traffic.take_away(robot);
            (body.here, body.next) = (Some(homes[robot]), None);
            body.promised.clear();
            traffic.put(robot, homes[robot]).expect("a home is always free");
        } else {
            let behind = traffic.arrives(robot).expect("it drove");
            assert_eq!(Some(behind), body.here, "seed {seed}");
            body.here = body.next.take();
            assert_eq!(traffic.at(robot), body.here, "seed {seed}");
            body.promised.remove(0);
        }
        audit(&bodies, seed);
        moves += 1;
        assert!(moves < 100_000, "seed {seed}: somebody never arrives");
    }
}

#[test]
fn on_any_map_nobody_meets_and_everybody_arrives() {
    let seeds = std::env::var("LINEFREE_TRAFFIC_SEEDS").unwrap_or_else(|_| "0..300".into());
    let (from, to) = seeds.split_once("..").expect("LINEFREE_TRAFFIC_SEEDS is like 0..300");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        plays(seed);
    }
}
