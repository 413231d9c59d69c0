//! Shopping at random: what somebody without a script does next.

use linefree_domain::ids::{PlateIndex, ProductIndex};

use super::{Act, Place, World};
use crate::scenario::Manner;

/// Share of things done at a shelf that only touch it.
const TOUCHES: f64 = 0.06;
/// Share that are only looked at.
const BROWSES: f64 = 0.06;

impl World<'_> {
    /// Decides the next thing, and to go on shopping after it.
    pub(super) fn shop(&mut self, who: usize, left: u32) {
        if left == 0 {
            return;
        }
        let [pause_from, pause_to] = self.crowd.pause_s;
        let pause_s = self.chance.between(pause_from, pause_to);
        let next = self.idea(who);
        let acts = &mut self.bodies[who].acts;
        acts.push_front(Act::Shop(left - 1));
        acts.push_front(Act::Wait(pause_s));
        acts.push_front(next);
    }

    fn idea(&mut self, who: usize) -> Act {
        let held: Vec<ProductIndex> = self.ledger.with(who).map(|i| self.ledger.items[i].product).collect();
        let mut u = self.chance.between(0.0, 1.0);
        let mut falls = |share: f64| {
            u -= share;
            u < 0.0
        };
        if let Some(product) = self.chance.pick(&held).copied() {
            if falls(self.crowd.returns) {
                return Act::Put(1, product, Vec::new(), Manner::Usual);
            }
            if falls(self.crowd.misplaces) {
                return match self.facing(who) {
                    Some((_, plates)) => Act::Put(1, product, plates, Manner::Usual),
                    None => Act::Wait(1.0),
                };
            }
        }
        let touches = falls(TOUCHES);
        let browses = falls(BROWSES);
        // What was misplaced catches the eye of somebody.
        let mut strays: Vec<usize> = Vec::new();
        for (n, item) in self.ledger.items.iter().enumerate() {
            let home = &self.store.layout.facings[item.home].plates;
            if item.place == Place::Shelf && item.rests.iter().any(|(p, _)| !home.contains(p)) {
                strays.push(n);
            }
        }
        let stray = self.chance.pick(&strays).copied();
        let wants_stray = self.chance.happens(0.3);
        let Some((product, plates)) = self.facing(who) else { return Act::Wait(1.0) };
        if touches {
            return Act::Touch(plates);
        }
        if browses {
            return Act::GoTo(plates);
        }
        if let (Some(stray), true) = (stray, wants_stray) {
            let item = &self.ledger.items[stray];
            let plates = item.rests.iter().map(|(p, _)| *p).collect();
            return Act::Take(vec![(1, item.product, plates)], Manner::Usual);
        }
        let many = self.chance.between(0.0, 1.0);
        let mut count = if many < 0.8 {
            1
        } else if many < 0.95 {
            2
        } else {
            3
        };
        let lying = self.ledger.lying(product, &plates).count();
        count = count.min(u32::try_from(lying).unwrap_or(1));
        if count == 0 {
            return Act::GoTo(plates);
        }
        let manner = if self.chance.happens(0.2) { Manner::Quickly } else { Manner::Usual };
        Act::Take(vec![(count, product, plates)], manner)
    }

    /// A facing to turn to: near where they are, or anywhere.
    fn facing(&mut self, who: usize) -> Option<(ProductIndex, Vec<PlateIndex>)> {
        let layout = &self.store.layout;
        let here = self.bodies[who].last_plates.first().map(|p| layout.plates[p.0].gondola);
        let stays = self.chance.happens(self.crowd.stays);
        let near: Vec<usize> = (0..layout.facings.len())
            .filter(|f| {
                let gondola = layout.facings[*f].plates.first().map(|p| layout.plates[p.0].gondola);
                !stays || here.is_none() || gondola == here
            })
            .collect();
        let facing = self.chance.pick(&near).copied()?;
        let f = &layout.facings[facing];
        Some((f.product, f.plates.clone()))
    }
}
