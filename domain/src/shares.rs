//! What each of several sellers is owed of what a shopper has paid in the end: after answers to reviews and refunds.
//!
//! **Invariants** (property-tested): what the sellers are paid sums to what was charged less what went back, to the minor
//! unit; a seller whose lines went back whole is owed nothing, and no tax and no commission stand on them; without refunds
//! the shares are those of the receipt.
//!
//! Commission is a share of the seller's net, rounded once on the whole of it, so that refunds in parts end where one
//! refund would.

use std::collections::BTreeMap;

use crate::pricing::{PricingError, SellerTotal, half_up, money};
use crate::units::Money;

/// A line that was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargedLine {
    /// Whose it is.
    pub seller: String,
    /// What was charged for it, with tax.
    pub charged: Money,
    /// The tax in it.
    pub tax: Money,
    /// What of it went back.
    pub refunded: Money,
}

impl ChargedLine {
    /// What stays, and the tax in it: tax goes back as the money does.
    fn kept(&self) -> Result<(Money, Money), PricingError> {
        let charged = i128::from(self.charged.minor);
        let kept = charged - i128::from(self.refunded.minor);
        let share = kept.clamp(0, charged.max(0));
        let tax = if charged > 0 { i128::from(self.tax.minor) * share / charged } else { 0 };
        Ok((money(kept)?, money(tax)?))
    }
}

/// What each seller is owed, with the commission of each in basis points; sellers that are not named pay none.
///
/// # Errors
/// [`PricingError::TooLarge`].
pub fn shares(
    lines: impl IntoIterator<Item = ChargedLine>,
    commission_bp: &BTreeMap<String, u32>,
) -> Result<BTreeMap<String, SellerTotal>, PricingError> {
    let mut sellers = BTreeMap::<String, SellerTotal>::new();
    for line in lines {
        let (kept, tax) = line.kept()?;
        let of = sellers.entry(line.seller).or_default();
        of.paid = of.paid.plus(kept).ok_or(PricingError::TooLarge)?;
        of.tax = of.tax.plus(tax).ok_or(PricingError::TooLarge)?;
    }
    for (seller, of) in &mut sellers {
        let bp = commission_bp.get(seller).copied().unwrap_or(0);
        let net = (i128::from(of.paid.minor) - i128::from(of.tax.minor)).max(0);
        of.commission = money(half_up(net * i128::from(bp), 10_000))?;
        of.owed = of.paid.plus(Money::from_minor(-of.commission.minor)).ok_or(PricingError::TooLarge)?;
    }
    Ok(sellers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = ChargedLine> {
        (0..3_u8, 0..100_000_i64, 0..=100_i64, 0..=100_i64).prop_map(|(seller, charged, tax, back)| {
            ChargedLine {
                seller: format!("s{seller}"),
                charged: Money::from_minor(charged),
                tax: Money::from_minor(charged * tax / 400),
                refunded: Money::from_minor(charged * back / 100),
            }
        })
    }

    proptest! {
        #[test]
        fn shares_sum_to_what_is_paid_in_the_end(lines in prop::collection::vec(line(), 0..12), bp in 0..=10_000_u32) {
            let commission = BTreeMap::from([("s1".to_owned(), bp)]);
            let of = shares(lines.clone(), &commission).unwrap();
            let sum = |what: &dyn Fn(&SellerTotal) -> Money| of.values().map(|s| what(s).minor).sum::<i64>();
            let paid: i64 = lines.iter().map(|l| l.charged.minor - l.refunded.minor).sum();
            prop_assert_eq!(sum(&|s| s.paid), paid);
            prop_assert_eq!(sum(&|s| s.owed) + sum(&|s| s.commission), paid);
            for s in of.values() {
                prop_assert!(0 <= s.tax.minor && s.tax.minor <= s.paid.minor, "{s:?}");
                prop_assert!(0 <= s.commission.minor && s.commission.minor <= s.paid.minor - s.tax.minor, "{s:?}");
            }
            // All of it goes back.
            let none = lines.into_iter().map(|l| ChargedLine { refunded: l.charged, ..l });
            prop_assert!(shares(none, &commission).unwrap().values().all(|s| *s == SellerTotal::default()));
        }
    }
}
