//! Belief about holdings into lines that may be charged, and lines that a person must look at.

use crate::attribution::QuantityOdds;
use crate::ids::{Credential, ProductIndex, VisitId};
use crate::layout::StoreLayout;
use crate::time::StoreTime;
use crate::units::Money;

/// When a line may be charged without a person looking at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CartPolicy {
    /// A line less probable than this goes to review, 0 to 1.
    pub review_below: f64,
}

impl Default for CartPolicy {
    fn default() -> Self {
        Self { review_below: 0.9 }
    }
}

/// One product in a cart or on a receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The product.
    pub product: ProductIndex,
    /// How many, at least 1.
    pub quantity: u32,
    /// Probability that product and quantity are right, 0 to 1.
    pub probability: f64,
    /// Must a person look before it is charged?
    pub review: bool,
}

/// A visit's final lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The visit.
    pub visit: VisitId,
    /// Who pays; none for a shopper who was never seen entering.
    pub credential: Option<Credential>,
    /// When the visit began.
    pub entered: StoreTime,
    /// When it ended.
    pub left: StoreTime,
    /// The lines, in the order of the catalogue.
    pub lines: Vec<Line>,
}

impl Receipt {
    /// Sum of the lines in review, or of those that are not; `None` when it does not fit.
    #[must_use]
    pub fn total(&self, layout: &StoreLayout, in_review: bool) -> Option<Money> {
        self.lines.iter().filter(|l| l.review == in_review).try_fold(Money::default(), |sum, line| {
            sum.plus(layout.products[line.product.0].price.times(line.quantity)?)
        })
    }
}

/// The lines that the odds of a shopper's holdings make.
///
/// A line carries the likeliest count and its probability. Where "none" is likeliest but not sure enough, the
/// likeliest other count is kept as a line in review: what may be missing is doubtful too.
#[must_use]
pub fn lines(holdings: &[QuantityOdds], policy: CartPolicy) -> Vec<Line> {
    let likeliest = |odds: &[(u32, f64)], least: u32| {
        odds.iter()
            .filter(|(count, _)| *count >= least)
            // Ties go to the smaller count: never charge more on a coin's toss.
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
            .copied()
    };
    holdings
        .iter()
        .filter_map(|QuantityOdds { product, odds }| {
            let (count, probability) = likeliest(odds, 0)?;
            let sure = probability >= policy.review_below;
            let (quantity, probability) = match (count, sure) {
                (0, true) => return None,
                (0, false) => likeliest(odds, 1)?,
                _ => (count, probability),
            };
            // Odds that were multiplied from many parts may be a rounding error above 1.
            let probability = probability.min(1.0);
            Some(Line { product: *product, quantity, probability, review: !sure || count == 0 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(odds: &[(u32, f64)]) -> Option<Line> {
        let holdings = [QuantityOdds { product: ProductIndex(3), odds: odds.to_vec() }];
        lines(&holdings, CartPolicy::default()).pop()
    }

    #[test]
    fn a_sure_line_is_charged_and_a_doubtful_one_is_looked_at() {
        let sure = line(&[(0, 0.03), (2, 0.97)]).unwrap();
        assert_eq!((sure.quantity, sure.review), (2, false));
        let doubtful = line(&[(1, 0.6), (2, 0.4)]).unwrap();
        assert_eq!((doubtful.quantity, doubtful.review), (1, true));
    }

    #[test]
    fn what_may_be_missing_is_looked_at() {
        assert_eq!(line(&[(0, 0.95), (1, 0.05)]), None);
        let missing = line(&[(0, 0.7), (1, 0.3)]).unwrap();
        assert_eq!((missing.quantity, missing.review), (1, true));
        assert!((missing.probability - 0.3).abs() < 1e-12);
    }
}
