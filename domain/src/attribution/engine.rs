//! The engine: one shelf event in, revised belief and the event's own odds out.

use std::collections::BTreeMap;
use std::ops::Range;

use super::content::{Action, Catalogue, Content, gaussian};
use super::handling::{Declared, Handling, Handlings};
use super::hypotheses::{Cluster, Holder, Hypothesis, Pruning, Weighed, log_add};
use super::reach::Reach;
use super::view::ProductView;
use crate::ids::{HandlingId, PlateIndex, ProductIndex, ShopperId};
use crate::layout::StoreLayout;
use crate::shelf::{PlateChange, ShelfEvent};
use crate::time::StoreTime;

/// Limits and priors of attribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttributionConfig {
    /// Hypotheses kept in a cluster.
    pub hypotheses_kept: usize,
    /// Hypotheses less likely than the best by more than this are dropped, natural log.
    pub log_window: f64,
    /// Shoppers considered for one action.
    pub shoppers_considered: usize,
    /// How strongly an item belongs where it is known to lie misplaced.
    pub misplaced_belongs: f64,
    /// Prior of putting something that one was never seen to take.
    pub unseen_take: f64,
    /// Prior of putting something that another shopper has taken: it was handed over.
    pub handed_over: f64,
    /// Prior of putting an item on a plate that is not its own, against its own.
    pub put_elsewhere: f64,
    /// How much likelier two shoppers move something on the same plates at once than one shopper moves two things there
    /// in two actions.
    pub two_people: f64,
}

impl Default for AttributionConfig {
    fn default() -> Self {
        Self {
            hypotheses_kept: 96,
            log_window: 12.0,
            shoppers_considered: 5,
            misplaced_belongs: 1.0,
            unseen_take: 1e-4,
            handed_over: 0.01,
            put_elsewhere: 0.05,
            two_people: 5.0,
        }
    }
}

/// One action that an event may have been, with its odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Who; none for somebody whom no camera sees.
    pub shopper: Option<ShopperId>,
    /// The declared handling that did it, if one did.
    pub handling: Option<HandlingId>,
    /// What; none when nothing moved, or something that is not in the catalogue.
    pub product: Option<ProductIndex>,
    /// How many were taken (positive) or put (negative).
    pub quantity: i32,
    /// Probability that the event holds this action.
    pub probability: f64,
}

/// Odds of how many of a product somebody holds.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantityOdds {
    /// The product.
    pub product: ProductIndex,
    /// Count and probability, by count from 0; sums to 1.
    pub odds: Vec<(u32, f64)>,
}

/// Belief about who holds what in one store.
#[derive(Debug, Clone)]
pub struct Attribution {
    config: AttributionConfig,
    catalogue: Catalogue,
    clusters: Vec<Cluster>,
    handlings: Handlings,
}

/// Who may have done one action, with the log of their share.
type Actor = (Option<ShopperId>, f64);
/// Who did what, action by action; none for somebody whom no camera sees.
type Deeds = Vec<(Option<Holder>, Action)>;

/// A product belongs nowhere more than this far down, so that a wrong planogram can be outvoted by weight.
const TAKE_FLOOR: f64 = 1e-6;
/// Half a belonging is a home: a facing, or a place that was learned.
const HOME: f64 = 0.5;
/// A product less probable than this is not learned to lie where something was taken.
const TEACHING: f64 = 0.02;

/// An item weighs the same again within this much, grams: in a recording of a real shelf, picks and their returns agree
/// within 2 to 4 g.
const SAME_ITEM_SD_G: f64 = 1.5;
/// Share of items that weigh something else when they come back: opened, exchanged, or weighed badly.
const CHANGED_SHARE: f64 = 0.1;

/// What was moved in some changes, as one item.
fn moved(changes: &[PlateChange]) -> Weighed {
    Weighed {
        grams: changes.iter().map(|c| c.delta_g).sum::<f64>().abs(),
        variance_g2: changes.iter().map(|c| c.sd_g * c.sd_g).sum(),
    }
}

impl Attribution {
    /// A belief in which nobody holds anything.
    #[must_use]
    pub fn new(layout: &StoreLayout, config: AttributionConfig) -> Self {
        Self {
            config,
            catalogue: Catalogue::new(layout),
            clusters: Vec::new(),
            handlings: Handlings::default(),
        }
    }

    fn pruning(&self) -> Pruning {
        Pruning { kept: self.config.hypotheses_kept, log_window: self.config.log_window }
    }

    /// Explains an event and revises the belief. Candidates come best first. `staff` are shoppers who may put down what
    /// nobody saw them take: they fill shelves.
    pub fn handle_event(
        &mut self,
        event: &ShelfEvent,
        reach: &Reach<'_>,
        views: &[&ProductView],
        staff: &[ShopperId],
    ) -> Vec<Candidate> {
        let shoppers = self.near(reach, &event.changes);
        let plates: Vec<PlateIndex> = event.changes.iter().map(|c| c.plate).collect();
        let mut holders: Vec<Holder> = shoppers.iter().map(|s| Holder::Shopper(*s)).collect();
        holders.extend(plates.iter().map(|p| Holder::Place(*p)));
        let declared = self.handlings.during(event);
        holders.extend(declared.iter().map(Declared::holder));
        holders.extend(self.givers(event));
        let cluster = self.gather(&holders);
        holders.extend(cluster.owners_of(&shoppers).into_iter().map(Holder::Shopper));

        let mut held: Vec<ProductIndex> = cluster
            .hypotheses
            .iter()
            .flat_map(|h| h.holdings.keys())
            .filter(|(holder, _)| holders.contains(holder))
            .map(|(_, product)| *product)
            .chain(declared.iter().map(|d| d.product))
            .collect();
        held.sort_unstable();
        held.dedup();
        let mut contents = self.catalogue.contents(event, &held);
        for content in &mut contents {
            content.log_weight += views.iter().map(|view| view.log_likelihood(content)).sum::<f64>();
        }
        let mut actors =
            ActorCache { reach, shoppers: &shoppers, staff, declared, event, cache: BTreeMap::new() };

        let mut grown = Vec::new();
        let mut explained: Vec<(Deeds, f64)> = Vec::new();
        let best_content = contents.iter().map(|c| c.log_weight).fold(f64::NEG_INFINITY, f64::max);
        for hypothesis in &cluster.hypotheses {
            for content in &contents {
                // Even the best place and actor (log 0) could not bring it back into the window.
                if content.log_weight < best_content - 2.0 * self.config.log_window {
                    continue;
                }
                self.grow(hypothesis, content, event, &mut actors, &mut grown, &mut explained);
            }
        }
        let candidates = candidates(&explained);
        self.teach(event, &candidates);
        let mut cluster = Cluster { hypotheses: grown };
        cluster.prune(self.pruning());
        self.clusters.extend(cluster.split());
        candidates
    }

    /// The shoppers who may have done it, likeliest first, cut to those who matter.
    fn near(&self, reach: &Reach<'_>, changes: &[PlateChange]) -> Vec<ShopperId> {
        let mut near: Vec<(ShopperId, f64)> =
            reach.shoppers(changes).into_iter().map(|s| (s, reach.log_likelihood(s, changes))).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let best = near.first().map_or(0.0, |n| n.1).max(reach.nobody());
        near.into_iter()
            .filter(|(_, log)| *log > best - 9.0)
            .take(self.config.shoppers_considered)
            .map(|(s, _)| s)
            .collect()
    }

    /// Shoppers who hold something that weighs like what was put down: whoever put it may have it from them.
    fn givers(&self, event: &ShelfEvent) -> Vec<Holder> {
        let (put_g, sd_g) = (event.delta_g(), event.sd_g());
        if put_g <= 0.0 {
            return Vec::new();
        }
        let held = self.clusters.iter().flat_map(|c| &c.hypotheses).flat_map(|h| h.holdings.keys());
        held.filter(|(holder, product)| {
            matches!(holder, Holder::Shopper(_)) && self.catalogue.may_weigh(*product, put_g, sd_g)
        })
        .map(|(holder, _)| *holder)
        .collect()
    }

    /// Takes out and joins every cluster that knows something of these holders.
    fn gather(&mut self, holders: &[Holder]) -> Cluster {
        let (touched, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.clusters)
            .into_iter()
            .partition(|c| holders.iter().any(|holder| c.knows(*holder)));
        self.clusters = rest;
        let pruning = self.pruning();
        touched.iter().fold(Cluster::empty(), |joint, c| joint.joined(c, pruning))
    }

    fn grow(
        &self,
        hypothesis: &Hypothesis,
        content: &Content,
        event: &ShelfEvent,
        actors: &mut ActorCache<'_>,
        grown: &mut Vec<Hypothesis>,
        explained: &mut Vec<(Deeds, f64)>,
    ) {
        let mut branches: Vec<(Hypothesis, Deeds)> = vec![(
            Hypothesis { log_weight: hypothesis.log_weight + content.log_weight, ..hypothesis.clone() },
            Vec::new(),
        )];
        // Takes before puts: what is lifted here may be laid down there within the same event.
        let (takes, puts): (Vec<_>, Vec<_>) = content.actions.iter().partition(|(a, _)| a.count > 0);
        for (action, run) in takes.into_iter().chain(puts) {
            let changes = &event.changes[run.clone()];
            // Of two actions on the same plates it is not known which weighed what.
            let weighed = content.actions.iter().filter(|(_, other)| other == run).count() == 1;
            let (who, people) = actors.of(run.start, run.end);
            let (staff, declared) = (actors.staff, &actors.declared);
            branches = branches
                .into_iter()
                .flat_map(|(base, done)| {
                    let people_did = who.iter().map(|(shopper, log_share)| {
                        let owner = shopper.map(|name| base.owner(name));
                        let stocks = owner.is_some_and(|who| staff.contains(&who));
                        (owner.map(Holder::Shopper), stocks, *log_share)
                    });
                    let was_declared = declared.iter().filter_map(|d| {
                        let log_share = d.log_share(*action, changes, people, &base)?;
                        Some((Some(d.holder()), true, log_share))
                    });
                    people_did
                        .chain(was_declared)
                        .map(|(holder, stocks, log_share)| {
                            let mut next = base.clone();
                            if weighed {
                                next.log_weight += self.weighs_like(&next, *action, holder, changes);
                            }
                            next.log_weight +=
                                log_share + self.apply(&mut next, *action, holder, stocks, changes);
                            let mut done = done.clone();
                            done.push((holder, *action));
                            (next, done)
                        })
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        let one_place = |a: &(Action, Range<usize>), b: &(Action, Range<usize>)| a.1 == b.1;
        let at_once = content.actions.windows(2).any(|pair| one_place(&pair[0], &pair[1]));
        for (mut next, done) in branches {
            let people = |pair: &[(Option<Holder>, Action)]| {
                pair.iter().all(|deed| deed.0.is_some()) && pair[0].0 != pair[1].0
            };
            if at_once && done.windows(2).any(people) {
                next.log_weight += self.config.two_people.ln();
            }
            if next.log_weight.is_finite() {
                explained.push((done, next.log_weight));
                grown.push(next);
            }
        }
    }

    /// One and the same item weighs the same when it is moved again: log of how much likelier that makes the change than
    /// any item of the product would. 0 where nothing is known of what these items weigh.
    fn weighs_like(
        &self,
        hypothesis: &Hypothesis,
        action: Action,
        holder: Option<Holder>,
        changes: &[PlateChange],
    ) -> f64 {
        let Action { product, count } = action;
        // Items at home can always be taken too: one more that nothing is known of.
        let home = self.catalogue.belongs(product, changes.iter().map(|c| c.plate)) >= HOME;
        let (holders, mut others): (Vec<Holder>, u32) = match (count, holder) {
            (1, _) => (changes.iter().map(|c| Holder::Place(c.plate)).collect(), u32::from(home)),
            (-1, Some(holder)) => (vec![hypothesis.source(holder, product, moved(changes).grams)], 0),
            _ => return 0.0,
        };
        let known: Vec<Weighed> =
            holders.iter().flat_map(|h| hypothesis.weighed(*h, product)).copied().collect();
        if known.is_empty() {
            return 0.0;
        }
        others += holders.iter().map(|h| hypothesis.count(*h, product)).sum::<u32>() - known.len() as u32;
        let moved = moved(changes);
        let any = self.catalogue.weight_log_likelihood(changes, action).exp();
        let same = |item: &Weighed| {
            let variance_g2 = item.variance_g2 + moved.variance_g2 + SAME_ITEM_SD_G.powi(2);
            (1.0 - CHANGED_SHARE) * gaussian(moved.grams - item.grams, variance_g2) + CHANGED_SHARE * any
        };
        let sum = known.iter().map(same).sum::<f64>() + f64::from(others) * any;
        (sum / (known.len() as f64 + f64::from(others)) / any).ln()
    }

    /// Moves the items in a hypothesis; gives the log prior of that happening at these plates.
    fn apply(
        &self,
        hypothesis: &mut Hypothesis,
        action: Action,
        holder: Option<Holder>,
        stocks: bool,
        changes: &[PlateChange],
    ) -> f64 {
        let Action { product, count } = action;
        let n = count.unsigned_abs();
        let home = self.catalogue.belongs(product, changes.iter().map(|c| c.plate));
        let moved = moved(changes);
        let each_g = moved.grams / f64::from(n.max(1));
        if count > 0 {
            let mut lying = 0;
            for change in changes {
                lying += hypothesis.remove(Holder::Place(change.plate), product, n - lying, each_g);
            }
            match holder {
                Some(holder) if n == 1 => hypothesis.add_weighed(holder, product, moved),
                Some(holder) => hypothesis.add(holder, product, n),
                None => {}
            }
            let misplaced = if lying > 0 { self.config.misplaced_belongs } else { 0.0 };
            return home.max(misplaced).max(TAKE_FLOOR).ln();
        }
        let held = match holder {
            Some(handling @ Holder::Handling(_)) => {
                hypothesis.add(handling, product, n);
                n
            }
            Some(shopper) => hypothesis.remove(shopper, product, n, each_g),
            None => 0,
        };
        let given = match holder {
            Some(shopper @ Holder::Shopper(_)) if held < n && !stocks => {
                let giver = hypothesis.source(shopper, product, each_g);
                hypothesis.remove(giver, product, n - held, each_g)
            }
            _ => 0,
        };
        let given_log = f64::from(given) * self.config.handed_over.ln();
        let unseen_log = f64::from(n - held - given) * self.config.unseen_take.ln();
        let unseen = if stocks { 0.0 } else { given_log + unseen_log };
        let place = if home >= HOME {
            0.0
        } else {
            // Where most of it rests: a plate that bears little of it may not feel it being taken.
            let most = changes.iter().max_by(|a, b| a.delta_g.total_cmp(&b.delta_g));
            let place = Holder::Place(most.unwrap_or(&changes[0]).plate);
            if n == 1 {
                hypothesis.add_weighed(place, product, moved);
            } else {
                hypothesis.add(place, product, n);
            }
            self.config.put_elsewhere.ln()
        };
        unseen + place
    }

    /// What was taken teaches what lies there, by its probability whoever took it: a second take of something that could
    /// have been three products is then explained by those three, in the proportions that the first one left.
    fn teach(&mut self, event: &ShelfEvent, candidates: &[Candidate]) {
        let mut taken: BTreeMap<ProductIndex, f64> = BTreeMap::new();
        for candidate in candidates.iter().filter(|c| c.quantity > 0) {
            if let Some(product) = candidate.product {
                *taken.entry(product).or_insert(0.0) += candidate.probability;
            }
        }
        let plates = || event.changes.iter().map(|c| c.plate);
        for (product, probability) in &taken {
            self.catalogue.count_take(self.catalogue.belongs(*product, plates()) >= HOME, *probability);
        }
        for (product, probability) in taken.into_iter().filter(|(_, p)| *p > TEACHING) {
            for change in &event.changes {
                self.catalogue.learn(product, change.plate, probability.min(1.0));
            }
        }
    }

    /// Odds of what these shoppers hold together, by product.
    #[must_use]
    pub fn holdings(&self, shoppers: &[ShopperId]) -> Vec<QuantityOdds> {
        let holders: Vec<Holder> = shoppers.iter().map(|s| Holder::Shopper(*s)).collect();
        let mut totals: BTreeMap<ProductIndex, BTreeMap<u32, f64>> = BTreeMap::new();
        for cluster in &self.clusters {
            for (product, odds) in cluster.totals(&holders) {
                let sum = totals.entry(product).or_insert_with(|| BTreeMap::from([(0, 1.0)]));
                *sum = convolved(sum, &odds);
            }
        }
        totals
            .into_iter()
            .map(|(product, odds)| QuantityOdds { product, odds: odds.into_iter().collect() })
            .collect()
    }

    /// Two shoppers turned out to be one: everything of `gone` belongs to `kept`.
    pub fn merge(&mut self, kept: ShopperId, gone: ShopperId) {
        let holders = [Holder::Shopper(kept), Holder::Shopper(gone)];
        let mut cluster = self.gather(&holders);
        cluster.rename(holders[1], holders[0]);
        cluster.prune(self.pruning());
        self.clusters.extend(cluster.split());
    }

    /// Two shoppers may have been taken for each other from now on, with this probability. What they have stays theirs;
    /// what is taken under a name goes to whoever it is, and a put of what only one of them has tells.
    pub fn doubt(&mut self, a: ShopperId, b: ShopperId, probability: f64) {
        self.believe_both(a, b, probability, Cluster::exchange);
    }

    /// Two shoppers may have come in on each other's credential, with this probability: then all that either of them has and
    /// will take is the other's.
    pub fn doubt_entries(&mut self, a: ShopperId, b: ShopperId, probability: f64) {
        self.believe_both(a, b, probability, Cluster::exchange_from_the_beginning);
    }

    fn believe_both(
        &mut self,
        a: ShopperId,
        b: ShopperId,
        probability: f64,
        exchange: impl FnOnce(&mut Cluster, ShopperId, ShopperId, f64, Pruning),
    ) {
        if a == b || !(probability > 0.0 && probability < 1.0) {
            return;
        }
        let mut cluster = self.gather(&[Holder::Shopper(a), Holder::Shopper(b)]);
        exchange(&mut cluster, a, b, probability, self.pruning());
        self.clusters.extend(cluster.split());
    }

    /// Somebody whom no camera follows says what they do, or how it ended. Shelf events that are explained from now on
    /// may be theirs.
    pub fn declare(&mut self, handling: Handling) {
        self.handlings.declare(handling);
    }

    /// Every shelf event that began before `until` has been explained: handlings that were over long before are judged by
    /// what they were told to have moved. Gives whether there was one.
    pub fn judge_handlings(&mut self, until: StoreTime) -> bool {
        let over = self.handlings.take_over(until);
        for handling in &over {
            let holder = Holder::Handling(handling.id);
            let mut cluster = self.gather(&[holder]);
            for hypothesis in &mut cluster.hypotheses {
                let explained = hypothesis.count(holder, handling.product);
                hypothesis.log_weight += handling.judged(explained);
            }
            cluster.forget(holder, self.pruning());
            self.clusters.extend(cluster.split());
        }
        !over.is_empty()
    }

    /// The shopper's receipt is written: what they hold is sold.
    pub fn settle(&mut self, shopper: ShopperId) {
        let holder = Holder::Shopper(shopper);
        let mut cluster = self.gather(&[holder]);
        cluster.forget(holder, self.pruning());
        self.clusters.extend(cluster.split());
    }

    /// Everyone who holds something in some hypothesis.
    #[must_use]
    pub fn shoppers(&self) -> Vec<ShopperId> {
        let holders = self.clusters.iter().flat_map(|c| &c.hypotheses).flat_map(|h| h.holdings.keys());
        let mut shoppers: Vec<ShopperId> = holders
            .filter_map(|(holder, _)| match holder {
                Holder::Shopper(shopper) => Some(*shopper),
                Holder::Place(_) | Holder::Handling(_) => None,
            })
            .collect();
        shoppers.sort_unstable();
        shoppers.dedup();
        shoppers
    }

    /// How many hypotheses are alive over all clusters: what the belief costs.
    #[must_use]
    pub fn hypotheses(&self) -> usize {
        self.clusters.iter().map(|c| c.hypotheses.len()).sum()
    }
}

/// Shares of the shoppers in the actions of one run of plates, computed once a run.
struct ActorCache<'a> {
    reach: &'a Reach<'a>,
    shoppers: &'a [ShopperId],
    staff: &'a [ShopperId],
    declared: Vec<Declared>,
    event: &'a ShelfEvent,
    cache: BTreeMap<(usize, usize), (Vec<Actor>, f64)>,
}

impl ActorCache<'_> {
    /// The people, each with the log of their share, and the log-likelihood of all of them together.
    fn of(&mut self, start: usize, end: usize) -> (Vec<Actor>, f64) {
        let Self { reach, shoppers, event, cache, .. } = self;
        cache
            .entry((start, end))
            .or_insert_with(|| {
                let changes = &event.changes[start..end];
                let mut actors: Vec<Actor> =
                    shoppers.iter().map(|s| (Some(*s), reach.log_likelihood(*s, changes))).collect();
                actors.push((None, reach.nobody()));
                let total = actors.iter().fold(f64::NEG_INFINITY, |sum, (_, log)| log_add(sum, *log));
                actors.iter_mut().for_each(|(_, log)| *log -= total);
                actors.retain(|(_, log)| *log > -9.0);
                (actors, total)
            })
            .clone()
    }
}

fn candidates(explained: &[(Deeds, f64)]) -> Vec<Candidate> {
    let total = explained.iter().fold(f64::NEG_INFINITY, |sum, (_, log)| log_add(sum, *log));
    let mut odds: BTreeMap<(Option<Holder>, Option<ProductIndex>, i32), f64> = BTreeMap::new();
    for (actions, log) in explained {
        let p = (log - total).exp();
        if actions.is_empty() {
            *odds.entry((None, None, 0)).or_insert(0.0) += p;
        }
        for (holder, action) in actions {
            *odds.entry((*holder, Some(action.product), action.count)).or_insert(0.0) += p;
        }
    }
    let mut found: Vec<Candidate> = odds
        .into_iter()
        .filter(|(_, p)| *p > 1e-4)
        .map(|((holder, product, quantity), probability)| Candidate {
            shopper: match holder {
                Some(Holder::Shopper(shopper)) => Some(shopper),
                _ => None,
            },
            handling: match holder {
                Some(Holder::Handling(handling)) => Some(handling),
                _ => None,
            },
            product,
            quantity,
            // A sum of many parts of 1 may be a rounding error above it.
            probability: probability.min(1.0),
        })
        .collect();
    found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    found.truncate(12);
    found
}

fn convolved(a: &BTreeMap<u32, f64>, b: &BTreeMap<u32, f64>) -> BTreeMap<u32, f64> {
    let mut sum = BTreeMap::new();
    for (m, p) in a {
        for (n, q) in b {
            *sum.entry(m + n).or_insert(0.0) += p * q;
        }
    }
    sum
}
