//! What lies where: a planogram proposed from the weights on the plates, the catalogue, and what a camera recognised.
//!
//! Method: for each place (a plate, or neighbours that one item rests on) every product and count is weighed against
//! what the scale says (Bayes): the whole weight must be `count` items, each of the product's mean and spread; where
//! one item was taken off or put on, that change must be one item, or a few; and what was seen there, and what lay
//! there before, count as further evidence. "Something that is not in the catalogue" is always among the candidates.
//!
//! # Failure rules
//! A place is proposed only where one product has at least [`SURE`]; the others are told with what they could be, for
//! somebody to say. Nothing is guessed: equal weights of two products stay two candidates.

use std::collections::BTreeMap;

use linefree_domain::ids::{PlateIndex, ProductIndex};
use linefree_domain::layout::StoreLayout;

/// A product this probable is proposed.
pub const SURE: f64 = 0.9;
/// A place that weighs less is empty, grams.
pub const EMPTY_G: f64 = 4.0;
/// The most items of a place.
pub const MOST_ITEMS: u32 = 200;
/// The most items of one take or put while a shelf is filled.
pub const MOST_AT_ONCE: u32 = 6;
/// One item more at once is this much less probable.
const ONE_MORE: f64 = 0.2;
/// A scale's own error: grams, and a share of the load.
const SCALE_SD_G: f64 = 1.5;
const SCALE_SHARE: f64 = 0.002;
/// What lay there before is this many times as likely as any other product.
const STAYED: f64 = 3.0;
/// Chance of something that the catalogue does not have, before anything is weighed.
const UNKNOWN: f64 = 0.02;
/// The weights such a thing may have, grams.
const UNKNOWN_RANGE_G: f64 = 2_000.0;
/// A recogniser's probability is believed no less than this.
const SEEN_FLOOR: f64 = 0.02;
/// Candidates less probable are not told.
const TOLD: f64 = 0.02;

/// What is known of a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its plates: one, or neighbours that one item rests on.
    pub plates: Vec<PlateIndex>,
    /// What lies there, grams.
    pub weight_g: f64,
    /// Changes while it was filled, or when one item was taken off.
    pub changes: Vec<Change>,
    /// What a camera recognised there, with probabilities.
    pub seen: BTreeMap<ProductIndex, f64>,
}

/// A settled change of a place's weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Grams.
    pub delta_g: f64,
    /// How surely.
    pub sd_g: f64,
    /// It may be this many items at once; 1 where somebody took off exactly one.
    pub most_items: u32,
}

/// A product that may lie at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which; `None` = nothing of the catalogue.
    pub product: Option<ProductIndex>,
    /// How many, most probably.
    pub count: u32,
    /// How probable the product is.
    pub probability: f64,
}

/// What a place seems to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The place.
    pub plates: Vec<PlateIndex>,
    /// Its weight, grams.
    pub weight_g: f64,
    /// Candidates, the most probable first; empty for an empty place.
    pub candidates: Vec<Candidate>,
    /// What the planogram had there, where it had anything.
    pub before: Vec<ProductIndex>,
}

impl Proposal {
    /// The product to propose, where one is sure enough.
    #[must_use]
    pub fn sure(&self) -> Option<Candidate> {
        self.candidates.first().copied().filter(|c| c.product.is_some() && c.probability >= SURE)
    }

    /// Does the proposal put something else there than the planogram had?
    #[must_use]
    pub fn differs(&self) -> bool {
        let now = self.sure().and_then(|c| c.product);
        now.is_some_and(|p| !self.before.is_empty() && !self.before.contains(&p))
    }
}

/// Why nothing is proposed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanogramError {
    /// The catalogue is empty.
    #[error("the store has no [[product]]; enrol the catalogue with weights before the planogram")]
    NoProducts,
    /// Nothing was weighed.
    #[error("no plate was weighed; give at least one line of plate,weight_g")]
    NothingWeighed,
    /// A number is none.
    #[error("plate {plate}: {what} is no weight; weigh it again")]
    NoWeight {
        /// Which.
        plate: String,
        /// What stands there.
        what: String,
    },
}

/// Proposes what lies at each place.
///
/// # Errors
/// [`PlanogramError`].
pub fn propose(layout: &StoreLayout, places: &[Place]) -> Result<Vec<Proposal>, PlanogramError> {
    if layout.products.is_empty() {
        return Err(PlanogramError::NoProducts);
    }
    if places.is_empty() {
        return Err(PlanogramError::NothingWeighed);
    }
    for place in places {
        let numbers = place.changes.iter().map(|c| c.delta_g).chain([place.weight_g]);
        if let Some(bad) = numbers.into_iter().find(|g| !g.is_finite() || g.abs() > 1e6) {
            let plate = place.plates.first().map_or(String::new(), |p| layout.plates[p.0].id.to_string());
            return Err(PlanogramError::NoWeight { plate, what: bad.to_string() });
        }
    }
    Ok(places.iter().map(|p| weigh(layout, p)).collect())
}

fn weigh(layout: &StoreLayout, place: &Place) -> Proposal {
    let before: Vec<ProductIndex> = place.plates.iter().flat_map(|p| layout.products_on(*p)).collect();
    let mut proposal =
        Proposal { plates: place.plates.clone(), weight_g: place.weight_g, candidates: Vec::new(), before };
    if place.weight_g < EMPTY_G {
        return proposal;
    }
    let scale_sd_g = SCALE_SD_G.hypot(SCALE_SHARE * place.weight_g);
    let prior = (1.0 - UNKNOWN) / layout.products.len() as f64;
    let mut scored: Vec<(Option<ProductIndex>, u32, f64)> = Vec::new();
    for (index, product) in layout.products.iter().enumerate() {
        let index = ProductIndex(index);
        let (mean, sd) = (product.weight.mean_g, product.weight.sd_g);
        let mut log = prior.ln();
        if proposal.before.contains(&index) {
            log += STAYED.ln();
        }
        if !place.seen.is_empty() {
            log += place.seen.get(&index).copied().unwrap_or(0.0).max(SEEN_FLOOR).ln();
        }
        for change in &place.changes {
            let scale_sd_g = change.sd_g.hypot(SCALE_SD_G);
            log += most_likely(change.delta_g.abs(), [mean, sd], scale_sd_g, change.most_items, ONE_MORE)
                .map_or(f64::NEG_INFINITY, |(_, l)| l);
        }
        if let Some((count, of_weight)) = most_likely(place.weight_g, [mean, sd], scale_sd_g, MOST_ITEMS, 1.0)
        {
            scored.push((Some(index), count, log + of_weight));
        }
    }
    // Anything else may weigh anything.
    let flat = -UNKNOWN_RANGE_G.ln();
    let mut unknown = UNKNOWN.ln() + flat * (1 + place.changes.len()) as f64;
    if !place.seen.is_empty() {
        unknown += (1.0 - place.seen.values().sum::<f64>()).max(SEEN_FLOOR).ln();
    }
    scored.push((None, 0, unknown));
    let most = scored.iter().map(|s| s.2).fold(f64::NEG_INFINITY, f64::max);
    let all: f64 = scored.iter().map(|s| (s.2 - most).exp()).sum();
    let mut candidates: Vec<Candidate> = scored
        .into_iter()
        .map(|(product, count, log)| Candidate { product, count, probability: (log - most).exp() / all })
        .filter(|c| c.probability >= TOLD)
        .collect();
    candidates.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    proposal.candidates = candidates;
    proposal
}

/// The most likely count for a weight, and the log of the weight's likelihood over all counts, each of which is
/// `one_more` times as probable as the one before.
fn most_likely(
    weight_g: f64,
    [mean_g, sd_g]: [f64; 2],
    scale_sd_g: f64,
    most: u32,
    one_more: f64,
) -> Option<(u32, f64)> {
    let near = (weight_g / mean_g).round();
    if !(near.is_finite() && near <= f64::from(most) + 1.0) {
        return None;
    }
    let near = near as u32;
    let mut best: Option<(u32, f64)> = None;
    let mut sum = 0.0;
    let chances: f64 = (0..most).map(|k| one_more.powi(k as i32)).sum();
    // Counts further away are too improbable to matter.
    for count in near.saturating_sub(3).max(1)..=(near + 3).min(most) {
        let n = f64::from(count);
        // The mean itself is known no better than an item: items of one delivery err together.
        let sd = (n * sd_g * sd_g + (n * sd_g * 0.3).powi(2)).sqrt().hypot(scale_sd_g);
        let off = (weight_g - n * mean_g) / sd;
        let chance = one_more.powi(count as i32 - 1) / chances;
        let likelihood = chance * (-0.5 * off * off).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt());
        sum += likelihood;
        if best.is_none_or(|(_, l)| likelihood > l) {
            best = Some((count, likelihood));
        }
    }
    best.map(|(count, _)| (count, sum.max(1e-300).ln()))
}
