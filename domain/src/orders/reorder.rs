//! How many of each product to order from its supplier.
//!
//! The periodic-review, order-up-to policy (R, S) of Silver, Pyke and Thomas, "Inventory and Production Management in
//! Supply Chains", 4th edition, chapter 6: at every review, order what is missing up to the level S, where S is the
//! smallest stock that demand over the review period plus the lead time exceeds with at most the probability 1 - α
//! (the cycle service level α is stated). Demand over that time is taken as negative binomial with the mean and variance
//! of the daily history (Poisson where it varies no more than that): slow movers sell 0, 0, 3, and no normal
//! distribution says how much safety three days of that need. Perishables: S is never more than what sells within the
//! shelf life with the probability [`Supply::sold_in_time`], because the rest would be thrown away.

/// How a product is supplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Supply {
    /// Days between two orders, at least 1.
    pub review_days: u32,
    /// Days from order to shelf.
    pub lead_days: u32,
    /// Days until it cannot be sold any more; `None` = it keeps.
    pub shelf_life_days: Option<u32>,
    /// Items that come together, at least 1.
    pub pack: u32,
    /// α: the probability of no stock-out until the next delivery, 0.5 to 0.9999.
    pub service_level: f64,
    /// The probability with which stock within its shelf life is to sell, 0.05 to 0.95.
    pub sold_in_time: f64,
}

impl Default for Supply {
    fn default() -> Self {
        Self {
            review_days: 1,
            lead_days: 1,
            shelf_life_days: None,
            pack: 1,
            service_level: 0.95,
            sold_in_time: 0.3,
        }
    }
}

/// What to order, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion {
    /// Items, whole packs.
    pub quantity: u32,
    /// S: what stock and open orders are filled up to, items.
    pub up_to: u32,
    /// Mean demand of a day, items.
    pub daily_mean: f64,
    /// Standard deviation of a day's demand, items.
    pub daily_sd: f64,
    /// The shelf life, not the service level, decides.
    pub limited_by_shelf_life: bool,
}

/// Mean and variance of a day, the variance without bias.
fn moments(daily: &[u32]) -> (f64, f64) {
    let n = daily.len() as f64;
    if daily.is_empty() {
        return (0.0, 0.0);
    }
    let mean = daily.iter().map(|d| f64::from(*d)).sum::<f64>() / n;
    let variance = if daily.len() < 2 {
        mean
    } else {
        daily.iter().map(|d| (f64::from(*d) - mean).powi(2)).sum::<f64>() / (n - 1.0)
    };
    (mean, variance)
}

/// The smallest number that demand with this mean and variance does not exceed with at least probability `p`.
///
/// Negative binomial where the variance is larger than the mean, Poisson where not.
#[must_use]
pub fn quantile(mean: f64, variance: f64, p: f64) -> u32 {
    if !(mean > 0.0 && mean.is_finite() && variance.is_finite()) {
        return 0;
    }
    let p = p.clamp(0.0, 0.9999);
    let overdispersed = variance > mean * 1.000_001;
    // Of the negative binomial: r failures, success probability q = 1 - mean / variance.
    let (r, q) = if overdispersed {
        (mean * mean / (variance - mean), 1.0 - mean / variance)
    } else {
        (f64::INFINITY, 0.0)
    };
    let ln_first = if overdispersed { r * (1.0 - q).ln() } else { -mean };
    // Terms in logarithms: the first one underflows for large means.
    let (mut ln_term, mut sum, mut k) = (ln_first, 0.0, 0_u32);
    let last = (mean + 12.0 * variance.max(mean).sqrt() + 20.0).min(4e9) as u32;
    loop {
        sum += ln_term.exp();
        if sum >= p || k >= last {
            return k;
        }
        let next = f64::from(k) + 1.0;
        ln_term += if overdispersed { ((f64::from(k) + r) / next * q).ln() } else { (mean / next).ln() };
        k += 1;
    }
}

/// What to order of one product. `daily` is its demand of each past day on which it could be bought (the youngest last;
/// four weeks are a good measure), `on_hand` what can be sold, `on_order` what has been ordered and has not come.
#[must_use]
pub fn suggest(daily: &[u32], on_hand: u32, on_order: u32, supply: &Supply) -> Suggestion {
    let (mean, variance) = moments(daily);
    let days = f64::from(supply.review_days.max(1)) + f64::from(supply.lead_days);
    let enough = quantile(mean * days, variance * days, supply.service_level.clamp(0.5, 0.9999));
    let sells = supply.shelf_life_days.map(|life| {
        // What is ordered now has lain for no time when it comes, and is bought behind what is there.
        let days = f64::from(life) + f64::from(supply.lead_days);
        quantile(mean * days, variance * days, supply.sold_in_time.clamp(0.05, 0.95))
    });
    let up_to = sells.map_or(enough, |sells| enough.min(sells));
    let missing = up_to.saturating_sub(on_hand.saturating_add(on_order));
    let pack = supply.pack.max(1);
    // A perishable product is rounded down: half a pack too many is thrown away.
    let packs = if sells.is_some_and(|s| s <= enough) { missing / pack } else { missing.div_ceil(pack) };
    Suggestion {
        quantity: packs.saturating_mul(pack),
        up_to,
        daily_mean: mean,
        daily_sd: variance.sqrt(),
        limited_by_shelf_life: sells.is_some_and(|s| s < enough),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_distributions() {
        // Poisson(2): P(X <= 4) = 0.9473, P(X <= 5) = 0.9834.
        assert_eq!((quantile(2.0, 2.0, 0.947), quantile(2.0, 2.0, 0.95)), (4, 5));
        // Negative binomial with r = 1, q = 2/3 is geometric: P(X <= k) = 1 - (2/3)^(k + 1); mean 2, variance 6.
        for (k, p) in [(0, 0.33), (4, 0.86), (7, 0.95)] {
            assert_eq!(quantile(2.0, 6.0, p), k, "p = {p}");
        }
        // A mean whose first term underflows: close to the normal distribution's 0.95.
        let large = f64::from(quantile(2000.0, 2000.0, 0.95));
        assert!((large - (2000.0 + 1.645 * 2000.0_f64.sqrt())).abs() < 3.0, "{large}");
        assert_eq!(quantile(0.0, 0.0, 0.95), 0);
        assert_eq!(quantile(f64::NAN, 1.0, 0.95), 0);
    }

    #[test]
    fn a_steady_seller_is_filled_up_with_safety() {
        let daily = [4, 6, 5, 5, 4, 6, 5, 5];
        let supply = Supply { lead_days: 2, ..Supply::default() };
        let all = suggest(&daily, 0, 0, &supply);
        // Three days of 5, and more than that for safety.
        assert!((18..=26).contains(&all.up_to), "{all:?}");
        assert_eq!(suggest(&daily, 10, 4, &supply).quantity, all.up_to - 14);
        assert_eq!(suggest(&daily, 100, 0, &supply).quantity, 0);
    }

    #[test]
    fn packs_are_whole_and_perishables_are_not_hoarded() {
        let daily = [1, 0, 3, 0, 2, 0, 0, 2];
        let keeps = Supply { pack: 6, lead_days: 6, ..Supply::default() };
        let fresh = Supply { shelf_life_days: Some(2), ..keeps };
        let (keeps, fresh) = (suggest(&daily, 0, 0, &keeps), suggest(&daily, 0, 0, &fresh));
        assert_eq!(keeps.quantity % 6, 0);
        assert!(keeps.quantity >= keeps.up_to);
        assert!(fresh.limited_by_shelf_life && fresh.quantity < keeps.quantity, "{keeps:?} {fresh:?}");
        assert_eq!(suggest(&[], 0, 0, &Supply::default()).quantity, 0);
    }
}
