//! Orders to suppliers in a simulated year: the store's method beside rules that people use.
//!
//! Demand: customers come by a Poisson process whose rate has a week, wanders, and is better or worse on some days; three
//! in ten take two. What is not there is not sold and nobody sees that it was wanted. Deliveries come in the morning
//! after the lead time, the oldest items are sold first, and what is too old is thrown away in the evening.

use std::collections::VecDeque;
use std::fmt::Write as _;

use clap::Args;
use linefree_domain::orders::reorder::{Supply, suggest};

use crate::chance::Chance;

/// Demand of Monday to Sunday beside the mean.
const WEEK: [f64; 7] = [0.85, 0.80, 0.85, 0.95, 1.25, 1.45, 0.85];
/// Days before anything is counted.
const WARM_UP: usize = 35;
/// Days of sales that a rule may look at.
const HISTORY: usize = 28;

/// Options of `reorder`.
#[derive(Debug, Args)]
pub struct ReorderArgs {
    /// How many products
    #[arg(long, default_value_t = 300)]
    products: u32,
    /// How many days
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// The stated probability of no stock-out between two deliveries
    #[arg(long, default_value_t = 0.95)]
    service: f64,
    /// Decides everything left open
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How orders are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The store's.
    OrderUpTo,
    /// Filled up to where it began: a level that somebody set once.
    Fixed,
    /// Twice what a week's mean says until the next delivery.
    Double,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OrderUpTo, Self::Fixed, Self::Double];

    fn name(self) -> &'static str {
        match self {
            Self::OrderUpTo => "order-up-to (R, S)",
            Self::Fixed => "a fixed level",
            Self::Double => "twice the week's mean",
        }
    }
}

/// What came of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Items wanted.
    pub wanted: u64,
    /// Items sold.
    pub sold: u64,
    /// Items delivered.
    pub delivered: u64,
    /// Items thrown away.
    pub wasted: u64,
    /// Days of products.
    pub days: u64,
    /// Of them, days on which somebody wanted what was not there.
    pub short_days: u64,
    /// Items in stock in the evening, summed over days.
    pub stock: u64,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.sold += other.sold;
        self.delivered += other.delivered;
        self.wasted += other.wasted;
        self.days += other.days;
        self.short_days += other.short_days;
        self.stock += other.stock;
    }

    /// Of what was wanted, how much was sold.
    #[must_use]
    pub fn fill_rate(&self) -> f64 {
        self.sold as f64 / self.wanted.max(1) as f64
    }
}

/// A product and everybody who wants it.
struct Demand {
    supply: Supply,
    daily: Vec<u32>,
    start: u32,
}

impl Demand {
    fn new(seed: u64, product: u32, days: usize, service_level: f64) -> Self {
        let mut chance = Chance::new(seed, &format!("reorder: product {product}"));
        let mut mean = chance.log_between(0.2, 20.0);
        let fresh = chance.happens(0.3);
        let supply = Supply {
            review_days: 1,
            lead_days: chance.count(1, 3),
            shelf_life_days: fresh.then(|| chance.count(3, 10)),
            pack: if fresh { 1 } else { *chance.pick(&[1, 6, 12]).unwrap_or(&1) },
            service_level,
            ..Supply::default()
        };
        let start = (mean * f64::from(supply.lead_days + 2)).ceil() as u32;
        let daily = (0..days)
            .map(|day| {
                mean *= chance.normal(0.01).exp();
                let rate = mean * WEEK[day % 7] * chance.bounded_normal(0.35).exp() / 1.3;
                let (mut at, mut wanted) = (chance.waiting_s(1.0 / rate), 0);
                while at < 1.0 {
                    wanted += if chance.happens(0.3) { 2 } else { 1 };
                    at += chance.waiting_s(1.0 / rate);
                }
                wanted
            })
            .collect();
        Self { supply, daily, start }
    }

    fn year(&self, rule: Rule) -> Outcome {
        let life = self.supply.shelf_life_days.map_or(usize::MAX, |days| days as usize);
        // Day of delivery and items, the oldest first.
        let mut shelf = VecDeque::from([(0_usize, self.start)]);
        let mut under_way: VecDeque<(usize, u32)> = VecDeque::new();
        let mut sales: Vec<u32> = Vec::with_capacity(self.daily.len());
        let mut out = Outcome::default();
        for (day, &wanted) in self.daily.iter().enumerate() {
            let counts = day >= WARM_UP;
            while let Some((_, items)) = under_way.pop_front_if(|(comes, _)| *comes <= day) {
                shelf.push_back((day, items));
                out.delivered += if counts { u64::from(items) } else { 0 };
            }
            let mut left = wanted;
            for (_, items) in &mut shelf {
                let some = left.min(*items);
                *items -= some;
                left -= some;
            }
            sales.push(wanted - left);
            let mut wasted = 0;
            shelf.retain(|(since, items)| {
                let keeps = *items > 0 && day - since + 1 < life;
                wasted += if keeps { 0 } else { *items };
                keeps
            });
            let stock: u32 = shelf.iter().map(|(_, items)| items).sum();
            if counts {
                out.wanted += u64::from(wanted);
                out.sold += u64::from(wanted - left);
                out.wasted += u64::from(wasted);
                out.short_days += u64::from(left > 0);
                out.stock += u64::from(stock);
                out.days += 1;
            }
            let coming: u32 = under_way.iter().map(|(_, items)| items).sum();
            let items = self.order(rule, &sales, stock, coming);
            if items > 0 {
                under_way.push_back((day + self.supply.lead_days as usize, items));
            }
        }
        out
    }

    fn order(&self, rule: Rule, sales: &[u32], stock: u32, coming: u32) -> u32 {
        let pack = self.supply.pack;
        match rule {
            Rule::OrderUpTo => {
                let recent = &sales[sales.len().saturating_sub(HISTORY)..];
                suggest(recent, stock, coming, &self.supply).quantity
            }
            Rule::Fixed => self.start.saturating_sub(stock + coming).div_ceil(pack) * pack,
            Rule::Double => {
                let week = &sales[sales.len().saturating_sub(7)..];
                let mean = f64::from(week.iter().sum::<u32>()) / week.len() as f64;
                let days = f64::from(self.supply.review_days + self.supply.lead_days);
                let up_to = (2.0 * mean * days).ceil() as u32;
                up_to.saturating_sub(stock + coming).div_ceil(pack) * pack
            }
        }
    }
}

/// Each rule on the same demand.
#[must_use]
pub fn compare(seed: u64, products: u32, days: u32, service_level: f64) -> Vec<(Rule, Outcome)> {
    let mut all: Vec<(Rule, Outcome)> = Rule::ALL.iter().map(|rule| (*rule, Outcome::default())).collect();
    for product in 0..products {
        let demand = Demand::new(seed, product, days as usize + WARM_UP, service_level);
        for (rule, outcome) in &mut all {
            outcome.add(demand.year(*rule));
        }
    }
    all
}

/// The table of `simulator reorder`, in Markdown.
#[must_use]
pub fn table(all: &[(Rule, Outcome)]) -> String {
    let mut text = String::from(
        "| rule | of the demand sold | days with a stock-out | thrown away | stock, days of sales |\n|---|---|---|---|---|\n",
    );
    for (rule, o) in all {
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64 * 100.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.2} % | {:.2} % | {:.2} % | {:.2} |",
            rule.name(),
            o.fill_rate() * 100.0,
            share(o.short_days, o.days),
            share(o.wasted, o.delivered),
            o.stock as f64 / o.sold.max(1) as f64
        );
    }
    text
}

/// Runs the comparison.
///
/// # Errors
/// When the options make no sense.
pub fn run(args: &ReorderArgs) -> anyhow::Result<String> {
    anyhow::ensure!((0.5..=0.9999).contains(&args.service), "--service is {}: 0.5 to 0.9999", args.service);
    anyhow::ensure!(args.days > 0 && args.products > 0, "--days and --products are at least 1");
    Ok(table(&compare(args.seed, args.products, args.days, args.service)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_sells_more_than_a_fixed_level_and_keeps_less_than_doubling() {
        let all = compare(11, 60, 120, 0.95);
        let of = |rule: Rule| all.iter().find(|(r, _)| *r == rule).unwrap().1;
        let (ours, fixed, double) = (of(Rule::OrderUpTo), of(Rule::Fixed), of(Rule::Double));
        assert_eq!((ours.wanted, ours.days), (fixed.wanted, double.days));
        assert!(ours.short_days < fixed.short_days && ours.sold > fixed.sold, "{ours:?} {fixed:?}");
        assert!(ours.stock < double.stock, "{ours:?} {double:?}");
        // Nothing comes from nowhere: what was sold or thrown away was delivered, or lay there at the start.
        assert!(ours.sold + ours.wasted <= ours.delivered + ours.stock + 60 * 200);
    }
}
