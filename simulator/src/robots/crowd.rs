//! Shoppers among the robots. What they do depends on the seed alone, never on the robots.

use crate::chance::Chance;

use super::floor::Floor;

/// Shoppers that walk from lane node to lane node.
pub struct Crowd<'f> {
    floor: &'f Floor,
    chance: Chance,
    /// Where each shopper is, and for how long robots must wait for them, seconds.
    shoppers: Vec<(usize, f64)>,
    people: Vec<u16>,
    in_way_s: Vec<f64>,
}

impl<'f> Crowd<'f> {
    /// Shoppers anywhere, and when each takes the first step, microseconds.
    #[must_use]
    pub fn new(floor: &'f Floor, shoppers: usize, seed: u64) -> (Self, Vec<i64>) {
        let nodes = floor.map.nodes().len();
        let mut crowd = Self {
            floor,
            chance: Chance::new(seed, "robots: crowd"),
            shoppers: Vec::new(),
            people: vec![0; nodes],
            in_way_s: vec![0.0; nodes],
        };
        let mut first_us = Vec::new();
        for _ in 0..shoppers {
            let node = crowd.chance.pick(&floor.lanes).copied().unwrap_or(0);
            crowd.shoppers.push((node, 0.0));
            crowd.people[node] += 1;
            first_us.push((crowd.chance.waiting_s(10.0) * 1e6) as i64);
        }
        (crowd, first_us)
    }

    /// A shopper takes a step; gives the time until the next one, microseconds.
    pub fn step(&mut self, who: usize) -> i64 {
        let (from, in_way_s) = self.shoppers[who];
        // Bays and homes are ends of the map: people walk on lanes.
        let near: Vec<usize> = self.floor.map.joined(from).iter().map(|(n, _)| *n).collect();
        let near: Vec<usize> = near.into_iter().filter(|n| self.floor.map.joined(*n).len() > 1).collect();
        let to = self.chance.pick(&near).copied().unwrap_or(from);
        // One step in four ends at a shelf; one shopper in twenty-five sees no robot coming.
        let stays_s = if self.chance.happens(0.25) { self.chance.waiting_s(25.0) } else { 1.5 };
        let blocks_s = if self.chance.happens(0.04) { self.chance.waiting_s(6.0) } else { 0.0 };
        self.people[from] -= 1;
        self.in_way_s[from] -= in_way_s;
        self.people[to] += 1;
        self.in_way_s[to] += blocks_s;
        self.shoppers[who] = (to, blocks_s);
        (stays_s * 1e6) as i64
    }

    /// Somebody who walks about without being one of the shoppers: staff at a shelf.
    pub fn stands(&mut self, node: usize, is_there: bool) {
        let count = &mut self.people[node];
        *count = if is_there { *count + 1 } else { count.saturating_sub(1) };
    }

    /// Is anybody at one of these nodes?
    #[must_use]
    pub fn near(&self, a: usize, b: usize) -> bool {
        self.people[a] + self.people[b] > 0
    }

    /// How long a robot that drives there must wait for people in its way, seconds.
    #[must_use]
    pub fn in_way_s(&self, node: usize) -> f64 {
        if self.people[node] == 0 { 0.0 } else { self.in_way_s[node].max(0.0) }
    }
}
