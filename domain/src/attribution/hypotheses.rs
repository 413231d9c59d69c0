//! Weighted hypotheses over holdings, in clusters that do not depend on each other.

use std::collections::BTreeMap;

use crate::ids::{HandlingId, PlateIndex, ProductIndex, ShopperId};

/// Who or what has an item that is not in its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A shopper carries it.
    Shopper(ShopperId),
    /// It lies on a plate where it does not belong.
    Place(PlateIndex),
    /// A declared handling has moved it: taken it away, or put it where it lies.
    Handling(HandlingId),
}

/// How many of which product each holder has; entries are sorted and never zero.
pub(super) type Holdings = BTreeMap<(Holder, ProductIndex), u32>;

/// Who really is whom the floor calls by a name, where that is somebody else.
pub(super) type Owners = BTreeMap<ShopperId, ShopperId>;

/// What one item weighed when it was moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighed {
    pub grams: f64,
    pub variance_g2: f64,
}

/// What single items of each holder weighed, as far as that is known: never more than there are.
type WeighedItems = BTreeMap<(Holder, ProductIndex), Vec<Weighed>>;

/// One belief about a cluster's holders, with the log of its weight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hypothesis {
    pub holdings: Holdings,
    pub weighed: WeighedItems,
    pub owners: Owners,
    pub log_weight: f64,
}

impl Hypothesis {
    /// The certain belief in these holdings.
    fn knowing(holdings: Holdings, weighed: WeighedItems) -> Self {
        Self { holdings, weighed, owners: Owners::new(), log_weight: 0.0 }
    }

    /// Who really is whom the floor calls by this name.
    pub fn owner(&self, name: ShopperId) -> ShopperId {
        self.owners.get(&name).copied().unwrap_or(name)
    }

    /// The same belief with two names changed for each other from now on.
    fn exchanged(&self, a: ShopperId, b: ShopperId) -> Self {
        let (was_a, was_b) = (self.owner(a), self.owner(b));
        let mut owners = self.owners.clone();
        for (name, owner) in [(a, was_b), (b, was_a)] {
            if name == owner {
                owners.remove(&name);
            } else {
                owners.insert(name, owner);
            }
        }
        Self { owners, ..self.clone() }
    }

    /// How many a holder has.
    pub fn count(&self, holder: Holder, product: ProductIndex) -> u32 {
        self.holdings.get(&(holder, product)).copied().unwrap_or(0)
    }

    pub fn add(&mut self, holder: Holder, product: ProductIndex, count: u32) {
        if count > 0 {
            *self.holdings.entry((holder, product)).or_insert(0) += count;
        }
    }

    /// One more, of which it is known what it weighs.
    pub fn add_weighed(&mut self, holder: Holder, product: ProductIndex, item: Weighed) {
        self.add(holder, product, 1);
        self.weighed.entry((holder, product)).or_default().push(item);
    }

    /// What the items of a holder weigh, as far as that is known.
    pub fn weighed(&self, holder: Holder, product: ProductIndex) -> &[Weighed] {
        self.weighed.get(&(holder, product)).map_or(&[], Vec::as_slice)
    }

    /// Forgets the weights of items that are no longer there: those that come nearest to what was moved.
    fn forget_weights(&mut self, holder: Holder, product: ProductIndex, moved_g: f64) {
        let count = self.count(holder, product) as usize;
        let Some(items) = self.weighed.get_mut(&(holder, product)) else { return };
        while items.len() > count {
            let off = |i: &usize| (items[*i].grams - moved_g).abs();
            let nearest = (0..items.len()).min_by(|a, b| off(a).total_cmp(&off(b)));
            nearest.map(|i| items.remove(i));
        }
        if items.is_empty() {
            self.weighed.remove(&(holder, product));
        }
    }

    /// Takes up to `count` away, of `each_g` grams each; gives how many there were to take.
    pub fn remove(&mut self, holder: Holder, product: ProductIndex, count: u32, each_g: f64) -> u32 {
        let Some(held) = self.holdings.get_mut(&(holder, product)) else {
            return 0;
        };
        let removed = count.min(*held);
        *held -= removed;
        if *held == 0 {
            self.holdings.remove(&(holder, product));
        }
        self.forget_weights(holder, product, each_g);
        removed
    }

    fn of(&self, holder: Holder) -> impl Iterator<Item = (ProductIndex, u32)> + '_ {
        self.holdings.iter().filter(move |((h, _), _)| *h == holder).map(|((_, p), n)| (*p, *n))
    }
}

/// Bounds on a cluster's belief.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pruning {
    pub kept: usize,
    /// Hypotheses less likely than the best by more than this (natural log) are dropped.
    pub log_window: f64,
}

/// A set of holders whose holdings depend on each other, and the joint belief about them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cluster {
    /// Best first; weights sum to 1.
    pub hypotheses: Vec<Hypothesis>,
}

impl Cluster {
    /// The certain belief that nobody holds anything.
    pub fn empty() -> Self {
        Self { hypotheses: vec![Hypothesis::knowing(Holdings::new(), WeighedItems::new())] }
    }

    /// Does it know something of this holder: what they have, or whose name they go by?
    pub fn knows(&self, holder: Holder) -> bool {
        let named = |h: &Hypothesis| match holder {
            Holder::Shopper(name) => {
                h.owners.contains_key(&name) || h.owners.values().any(|owner| *owner == name)
            }
            Holder::Place(_) | Holder::Handling(_) => false,
        };
        self.hypotheses.iter().any(|h| h.of(holder).next().is_some() || named(h))
    }

    /// Everyone who may really be one of these.
    pub fn owners_of(&self, names: &[ShopperId]) -> Vec<ShopperId> {
        let mut owners: Vec<ShopperId> =
            self.hypotheses.iter().flat_map(|h| names.iter().map(|name| h.owner(*name))).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Two names may have been changed for each other, with this probability: each hypothesis is believed both ways.
    pub fn exchange(&mut self, a: ShopperId, b: ShopperId, probability: f64, pruning: Pruning) {
        let (stay, change) = ((1.0 - probability).ln(), probability.ln());
        let changed: Vec<Hypothesis> = self
            .hypotheses
            .iter()
            .map(|h| {
                let mut changed = h.exchanged(a, b);
                changed.log_weight += change;
                changed
            })
            .collect();
        self.hypotheses.iter_mut().for_each(|h| h.log_weight += stay);
        self.hypotheses.extend(changed);
        self.prune(pruning);
    }

    /// The joint belief of two independent clusters.
    pub fn joined(&self, other: &Self, pruning: Pruning) -> Self {
        let joint = self.hypotheses.iter().flat_map(|a| {
            other.hypotheses.iter().map(move |b| {
                let mut holdings = a.holdings.clone();
                holdings.extend(b.holdings.iter().map(|(k, n)| (*k, *n)));
                let mut owners = a.owners.clone();
                owners.extend(b.owners.iter().map(|(name, owner)| (*name, *owner)));
                let mut weighed = a.weighed.clone();
                weighed.extend(b.weighed.iter().map(|(k, items)| (*k, items.clone())));
                Hypothesis { holdings, weighed, owners, log_weight: a.log_weight + b.log_weight }
            })
        });
        let mut cluster = Self { hypotheses: joint.collect() };
        cluster.prune(pruning);
        cluster
    }

    /// Merges equal hypotheses, drops the unlikely, normalises. Deterministic: ties are broken by content. Of hypotheses
    /// that differ only in what items weigh, the likeliest one's weights are kept.
    pub fn prune(&mut self, pruning: Pruning) {
        let mut merged: BTreeMap<(Holdings, Owners), (f64, f64, WeighedItems)> = BTreeMap::new();
        for h in self.hypotheses.drain(..) {
            let none = (f64::NEG_INFINITY, f64::NEG_INFINITY, WeighedItems::new());
            let (log, likeliest, weighed) = merged.entry((h.holdings, h.owners)).or_insert(none);
            *log = log_add(*log, h.log_weight);
            if h.log_weight > *likeliest {
                (*likeliest, *weighed) = (h.log_weight, h.weighed);
            }
        }
        self.hypotheses = merged
            .into_iter()
            .map(|((holdings, owners), (log_weight, _, weighed))| Hypothesis {
                holdings,
                weighed,
                owners,
                log_weight,
            })
            .collect();
        // The map gave content order, and the sort is stable.
        self.hypotheses.sort_by(|a, b| b.log_weight.total_cmp(&a.log_weight));
        let best = self.hypotheses.first().map_or(0.0, |h| h.log_weight);
        self.hypotheses.retain(|h| h.log_weight >= best - pruning.log_window);
        self.hypotheses.truncate(pruning.kept);
        let total = self.hypotheses.iter().fold(f64::NEG_INFINITY, |sum, h| log_add(sum, h.log_weight));
        for h in &mut self.hypotheses {
            h.log_weight -= total;
        }
    }

    /// Takes out every holder on which all hypotheses agree: they no longer depend on the rest.
    pub fn split(mut self) -> Vec<Self> {
        let Some(first) = self.hypotheses.first() else {
            return Vec::new();
        };
        let mut holders: Vec<Holder> =
            self.hypotheses.iter().flat_map(|h| h.holdings.keys().map(|(holder, _)| *holder)).collect();
        holders.sort_unstable();
        holders.dedup();
        let doubted = |holder: &Holder| match holder {
            Holder::Shopper(name) => {
                self.hypotheses.iter().any(|h| h.owners.iter().any(|(n, owner)| n == name || owner == name))
            }
            Holder::Place(_) | Holder::Handling(_) => false,
        };
        let agreed: Vec<Holder> = holders
            .into_iter()
            .filter(|holder| !doubted(holder))
            .filter(|holder| self.hypotheses.iter().all(|h| h.of(*holder).eq(first.of(*holder))))
            .collect();
        let mut parts: Vec<Self> = agreed
            .iter()
            .map(|holder| {
                let holdings = first.of(*holder).map(|(p, n)| ((*holder, p), n)).collect();
                let weighed = first.weighed.iter().filter(|((h, _), _)| h == holder);
                let weighed = weighed.map(|(key, items)| (*key, items.clone())).collect();
                Self { hypotheses: vec![Hypothesis::knowing(holdings, weighed)] }
            })
            .collect();
        for h in &mut self.hypotheses {
            h.holdings.retain(|(holder, _), _| !agreed.contains(holder));
            h.weighed.retain(|(holder, _), _| !agreed.contains(holder));
        }
        if self.hypotheses.iter().any(|h| !h.holdings.is_empty() || !h.owners.is_empty()) {
            parts.push(self);
        }
        parts
    }

    /// Moves everything that one holder has to another: two ids turned out to be one person.
    pub fn rename(&mut self, gone: Holder, kept: Holder) {
        for h in &mut self.hypotheses {
            let moved: Vec<_> = h.of(gone).collect();
            for (product, count) in moved {
                let weighed = h.weighed.remove(&(gone, product)).unwrap_or_default();
                h.remove(gone, product, count, 0.0);
                h.add(kept, product, count);
                if !weighed.is_empty() {
                    h.weighed.entry((kept, product)).or_default().extend(weighed);
                }
            }
            let (Holder::Shopper(gone), Holder::Shopper(kept)) = (gone, kept) else { continue };
            h.owners.remove(&gone);
            for owner in h.owners.values_mut().filter(|owner| **owner == gone) {
                *owner = kept;
            }
            h.owners.retain(|name, owner| name != owner);
        }
    }

    /// Forgets a holder: what they have is settled elsewhere (a receipt).
    pub fn forget(&mut self, holder: Holder, pruning: Pruning) {
        for h in &mut self.hypotheses {
            h.holdings.retain(|(other, _), _| *other != holder);
            h.weighed.retain(|(other, _), _| *other != holder);
            if let Holder::Shopper(gone) = holder {
                h.owners.retain(|name, owner| *name != gone && *owner != gone);
            }
        }
        self.prune(pruning);
    }

    /// Odds of how many of each product these holders have together, as (product, count) -> probability.
    pub fn totals(&self, holders: &[Holder]) -> BTreeMap<ProductIndex, BTreeMap<u32, f64>> {
        let mut totals: BTreeMap<ProductIndex, BTreeMap<u32, f64>> = BTreeMap::new();
        for h in &self.hypotheses {
            let mut held: BTreeMap<ProductIndex, u32> = BTreeMap::new();
            for (product, count) in holders.iter().flat_map(|holder| h.of(*holder)) {
                *held.entry(product).or_insert(0) += count;
            }
            for (product, count) in held {
                *totals.entry(product).or_default().entry(count).or_insert(0.0) += h.log_weight.exp();
            }
        }
        for odds in totals.values_mut() {
            let some: f64 = odds.values().sum();
            odds.insert(0, (1.0 - some).max(0.0));
        }
        totals
    }
}

/// ln(exp(a) + exp(b)) without overflow.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low.is_finite() { high + (low - high).exp().ln_1p() } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRUNING: Pruning = Pruning { kept: 64, log_window: 14.0 };

    fn hypothesis(entries: &[(Holder, usize, u32)], p: f64) -> Hypothesis {
        let holdings = entries.iter().map(|(h, product, n)| ((*h, ProductIndex(*product)), *n)).collect();
        Hypothesis { log_weight: p.ln(), ..Hypothesis::knowing(holdings, WeighedItems::new()) }
    }

    #[test]
    fn agreed_holders_leave_the_cluster() {
        let [a, b] = [1, 2].map(|id| Holder::Shopper(ShopperId(id)));
        let mut cluster = Cluster {
            hypotheses: vec![
                hypothesis(&[(a, 0, 1), (b, 1, 1)], 0.75),
                hypothesis(&[(a, 0, 1), (b, 2, 1)], 0.25),
            ],
        };
        cluster.prune(PRUNING);
        let parts = cluster.split();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().any(|c| c.knows(a) && !c.knows(b)));
        let odds = parts.iter().find(|c| c.knows(b)).unwrap().totals(&[b]);
        assert!((odds[&ProductIndex(1)][&1] - 0.75).abs() < 1e-12);
        assert!((odds[&ProductIndex(1)][&0] - 0.25).abs() < 1e-12);
    }

    #[test]
    fn doubted_names_stay_together_and_what_one_has_stays_theirs() {
        let [a, b] = [1, 2].map(ShopperId);
        let mut cluster = Cluster { hypotheses: vec![hypothesis(&[(Holder::Shopper(a), 0, 1)], 1.0)] };
        cluster.exchange(a, b, 0.3, PRUNING);
        let parts = cluster.split();
        assert_eq!(parts.len(), 1, "nobody is agreed upon while two names are in doubt");
        let mut cluster = parts.into_iter().next().unwrap();
        assert!(cluster.knows(Holder::Shopper(b)));
        // Whoever goes by the first name takes something.
        for h in &mut cluster.hypotheses {
            let owner = h.owner(a);
            h.add(Holder::Shopper(owner), ProductIndex(7), 1);
        }
        let of = |who| cluster.totals(&[Holder::Shopper(who)]);
        assert!((of(a)[&ProductIndex(0)][&1] - 1.0).abs() < 1e-9);
        assert!((of(a)[&ProductIndex(7)][&1] - 0.7).abs() < 1e-9);
        assert!((of(b)[&ProductIndex(7)][&1] - 0.3).abs() < 1e-9);
    }

    #[test]
    fn equal_beliefs_merge_and_the_weights_sum_to_one() {
        let a = Holder::Shopper(ShopperId(1));
        let mut cluster = Cluster {
            hypotheses: vec![
                hypothesis(&[(a, 0, 1)], 0.2),
                hypothesis(&[], 0.3),
                hypothesis(&[(a, 0, 1)], 0.2),
            ],
        };
        cluster.prune(PRUNING);
        assert_eq!(cluster.hypotheses.len(), 2);
        let sum: f64 = cluster.hypotheses.iter().map(|h| h.log_weight.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(cluster.hypotheses[0].count(a, ProductIndex(0)), 1);
    }
}
