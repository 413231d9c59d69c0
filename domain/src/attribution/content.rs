//! What could have moved: products and counts that explain a change of weight.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ids::{PlateIndex, ProductIndex};
use crate::layout::StoreLayout;
use crate::shelf::{PlateChange, ShelfEvent};

/// One product moved, `count` of it: positive when taken, negative when put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Action {
    pub product: ProductIndex,
    pub count: i32,
}

/// One explanation of an event's weights: actions, each on a run of the event's plates. No actions: nothing moved,
/// or something that is not in the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub actions: Vec<(Action, Range<usize>)>,
    /// Log of weight likelihood times structural prior; where things lie is not in it.
    pub log_weight: f64,
}

/// Priors on the structure of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ContentPriors {
    /// Nothing moved: settling, a touch, a neighbour's shake.
    pub nothing: f64,
    /// Something moved that is not in the catalogue.
    pub foreign: f64,
    /// Each further action in one event.
    pub further_action: f64,
    /// Two actions on the very same plates.
    pub same_plates: f64,
}

pub(super) const PRIORS: ContentPriors =
    ContentPriors { nothing: 0.02, foreign: 2e-4, further_action: 0.06, same_plates: 0.01 };

/// Prior of how many of one product move at once, for 1, 2, ...
const COUNT_PRIOR: [f64; 6] = [0.86, 0.10, 0.022, 0.01, 0.005, 0.003];
/// Share of changes whose weight error is far from what the sensor says, and how far.
const OUTLIER_SHARE: f64 = 0.01;
const OUTLIER_SD_G: f64 = 15.0;
/// Scale error of a load cell, as a share of the change.
const GAIN_SD: f64 = 0.003;
/// Range of weights of things that are not in the catalogue, grams.
const FOREIGN_RANGE_G: f64 = 3_000.0;
const SINGLES_KEPT: usize = 24;
const CONTENTS_KEPT: usize = 48;

/// Where products lie, as the planogram says and events have taught.
#[derive(Debug, Clone)]
pub(super) struct Catalogue {
    weights: Vec<(f64, f64)>,
    /// Per plate: products and how strongly they belong there.
    at: Vec<BTreeMap<ProductIndex, f64>>,
    /// Takes from where the product was known to lie and from elsewhere, each with what was believed at first.
    takes_home: f64,
    takes_elsewhere: f64,
}

/// How strongly a product belongs where its facing is, and beside it.
const BELONGS: f64 = 1.0;
const BESIDE: f64 = 0.03;
/// Of so many takes, so many are believed at first to be from where a product is not known to lie. A store whose
/// planogram is wrong teaches otherwise.
const FIRST_TAKES: f64 = 10.0;
const FIRST_ELSEWHERE: f64 = 0.02;

impl Catalogue {
    pub fn new(layout: &StoreLayout) -> Self {
        let mut at = vec![BTreeMap::new(); layout.plates.len()];
        for facing in &layout.facings {
            for plate in &facing.plates {
                at[plate.0].insert(facing.product, BELONGS);
            }
            for (i, plate) in layout.plates.iter().enumerate() {
                let beside = facing.plates.iter().any(|p| {
                    let other = &layout.plates[p.0];
                    let width_m = (other.corners[1] - other.corners[0]).norm();
                    other.id.place() == plate.id.place()
                        && (other.centre - plate.centre).norm() < 1.5 * width_m
                });
                if beside {
                    at[i].entry(facing.product).or_insert(BESIDE);
                }
            }
        }
        let weights = layout.products.iter().map(|p| (p.weight.mean_g, p.weight.sd_g)).collect();
        let takes_elsewhere = FIRST_TAKES * FIRST_ELSEWHERE;
        Self { weights, at, takes_home: FIRST_TAKES - takes_elsewhere, takes_elsewhere }
    }

    /// How well a product belongs on these plates: 1 for its facing, near 0 elsewhere.
    pub fn belongs(&self, product: ProductIndex, plates: impl Iterator<Item = PlateIndex>) -> f64 {
        // What may lie anywhere is shared by all products.
        let elsewhere = self.takes_elsewhere / (self.takes_home + self.takes_elsewhere);
        let anywhere = elsewhere / self.weights.len().max(1) as f64;
        plates.filter_map(|p| self.at[p.0].get(&product)).copied().fold(anywhere, f64::max)
    }

    /// A take of this probability was from where its product was known to lie, or was not.
    pub fn count_take(&mut self, home: bool, probability: f64) {
        *(if home { &mut self.takes_home } else { &mut self.takes_elsewhere }) += probability;
    }

    /// A take teaches that the product lies there.
    pub fn learn(&mut self, product: ProductIndex, plate: PlateIndex, confidence: f64) {
        let strength = self.at[plate.0].entry(product).or_insert(0.0);
        *strength = (*strength + 0.25 * confidence).min(2.0).max(*strength);
    }

    /// Log-likelihood of the weight of some plates if just this has happened on them.
    pub fn weight_log_likelihood(&self, changes: &[PlateChange], action: Action) -> f64 {
        let (mean_g, sd_g) = self.weights[action.product.0];
        self.sum_log_likelihood(changes, &[(mean_g, sd_g, action.count)])
    }

    fn sum_log_likelihood(&self, changes: &[PlateChange], items: &[(f64, f64, i32)]) -> f64 {
        let expected: f64 = items.iter().map(|(mean, _, count)| -mean * f64::from(*count)).sum();
        let spread: f64 = items
            .iter()
            .map(|(mean, sd, count)| {
                let n = f64::from(count.abs());
                n * sd * sd + (GAIN_SD * mean * n).powi(2)
            })
            .sum();
        let sensor: f64 = changes.iter().map(|c| c.sd_g * c.sd_g).sum();
        let off: f64 = changes.iter().map(|c| c.delta_g).sum::<f64>() - expected;
        let usual = gaussian(off, spread + sensor);
        let outlier = gaussian(off, spread + sensor + OUTLIER_SD_G.powi(2));
        ((1.0 - OUTLIER_SHARE) * usual + OUTLIER_SHARE * outlier).max(1e-60).ln()
    }

    /// The single products and counts that explain a run of plates, best first.
    fn singles(&self, changes: &[PlateChange]) -> Vec<(Action, f64)> {
        let delta_g: f64 = changes.iter().map(|c| c.delta_g).sum();
        let sign = if delta_g < 0.0 { 1 } else { -1 };
        let mut found: Vec<(Action, f64, f64)> = Vec::new();
        for product in (0..self.weights.len()).map(ProductIndex) {
            for (count, prior) in (1..).zip(COUNT_PRIOR) {
                let action = Action { product, count: sign * count };
                let log_weight = self.weight_log_likelihood(changes, action) + prior.ln();
                let placed = self.belongs(product, changes.iter().map(|c| c.plate)).ln();
                found.push((action, log_weight, log_weight + placed));
            }
        }
        // Best by weight alone (it may lie misplaced here) and best by weight and place.
        found.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        let mut rest = found.split_off(SINGLES_KEPT.min(found.len()));
        rest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.extend(rest.into_iter().take(SINGLES_KEPT));
        found.into_iter().map(|(action, log_weight, _)| (action, log_weight)).collect()
    }

    /// Two products moved on the same plates at once: only among those that belong there.
    fn pairs(&self, changes: &[PlateChange], extra: &[ProductIndex]) -> Vec<(Action, Action, f64)> {
        let mut products: Vec<ProductIndex> = changes
            .iter()
            .flat_map(|c| self.at[c.plate.0].keys())
            .chain(extra)
            .copied()
            .filter(|p| (0..self.weights.len()).contains(&p.0))
            .collect();
        products.sort_unstable();
        products.dedup();
        let counts = [-1, 1];
        let mut pairs = Vec::new();
        for (i, &a) in products.iter().enumerate() {
            for &b in &products[i..] {
                for (m, n) in counts.iter().flat_map(|m| counts.iter().map(move |n| (*m, *n))) {
                    // One product both taken and put cancels; both the same way is a single of two.
                    if a == b && m != n {
                        continue;
                    }
                    let (wa, wb) = (self.weights[a.0], self.weights[b.0]);
                    let log = self.sum_log_likelihood(changes, &[(wa.0, wa.1, m), (wb.0, wb.1, n)]);
                    let pair = (Action { product: a, count: m }, Action { product: b, count: n });
                    pairs.push((pair.0, pair.1, log));
                }
            }
        }
        pairs.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        pairs.truncate(8);
        pairs
    }

    /// Every explanation worth trying, best first by weight and place. `held` are products that somebody near holds
    /// or that are known to lie misplaced here.
    pub fn contents(&self, event: &ShelfEvent, held: &[ProductIndex]) -> Vec<Content> {
        let changes = &event.changes;
        let n = changes.len();
        let delta_g = event.delta_g();
        let variance = event.sd_g().powi(2);
        let mut contents = vec![
            Content {
                actions: Vec::new(),
                log_weight: (PRIORS.nothing * gaussian(delta_g, variance + 9.0)).max(1e-60).ln(),
            },
            Content { actions: Vec::new(), log_weight: (PRIORS.foreign / FOREIGN_RANGE_G).ln() },
        ];
        for cuts in segmentations(n) {
            let structure = PRIORS.further_action.ln() * (cuts.len() as f64 - 1.0);
            let kept = if cuts.len() == 1 { 2 * SINGLES_KEPT } else { 6 };
            let mut partial = vec![Content { actions: Vec::new(), log_weight: structure }];
            for run in cuts {
                let singles = self.singles(&changes[run.clone()]);
                partial = partial
                    .iter()
                    .flat_map(|c| {
                        singles.iter().take(kept).map(|(action, log)| {
                            let mut actions = c.actions.clone();
                            actions.push((*action, run.clone()));
                            Content { actions, log_weight: c.log_weight + log }
                        })
                    })
                    .collect();
                self.keep_best(&mut partial, changes, CONTENTS_KEPT);
            }
            contents.extend(partial);
        }
        for (a, b, log) in self.pairs(changes, held) {
            let log_weight = log + PRIORS.same_plates.ln();
            contents.push(Content { actions: vec![(a, 0..n), (b, 0..n)], log_weight });
        }
        self.keep_best(&mut contents, changes, 2 * CONTENTS_KEPT);
        contents
    }

    fn keep_best(&self, contents: &mut Vec<Content>, changes: &[PlateChange], most: usize) {
        let score = |c: &Content| {
            let placed = c.actions.iter().map(|(a, run)| {
                // Half the weight of the place: a misplaced item must be able to stay in.
                0.5 * self.belongs(a.product, changes[run.clone()].iter().map(|c| c.plate)).ln()
            });
            c.log_weight + placed.sum::<f64>()
        };
        contents.sort_by(|a, b| {
            let key = |c: &Content| c.actions.iter().map(|(a, r)| (*a, r.start, r.end)).collect::<Vec<_>>();
            score(b).total_cmp(&score(a)).then_with(|| key(a).cmp(&key(b)))
        });
        contents.truncate(most);
    }
}

/// Every way to cut `0..n` into runs; only whole and single plates when there are many.
fn segmentations(n: usize) -> Vec<Vec<Range<usize>>> {
    if n > 5 {
        return vec![vec![0..n], (0..n).map(|i| i..i + 1).collect()];
    }
    (0..1_usize << n.saturating_sub(1))
        .map(|cuts| {
            let mut runs = Vec::new();
            let mut begin = 0;
            for i in 1..=n {
                if i == n || cuts & (1 << (i - 1)) != 0 {
                    runs.push(begin..i);
                    begin = i;
                }
            }
            runs
        })
        .collect()
}

/// Density of a Gaussian with mean zero.
pub(super) fn gaussian(off: f64, variance: f64) -> f64 {
    let variance = variance.max(1e-6);
    (-off * off / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segmentations_cover_every_cut() {
        assert_eq!(segmentations(1), vec![vec![0..1]]);
        assert_eq!(segmentations(3).len(), 4);
        assert!(segmentations(3).contains(&vec![0..2, 2..3]));
        assert_eq!(segmentations(9).len(), 2);
    }
}
