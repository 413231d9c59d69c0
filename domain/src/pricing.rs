//! What a basket costs: unit prices, promotions, points, taxes, and who of several sellers is owed what.
//!
//! **Order of rules.** Each works on what the one before left of a line; the order never depends on the rule set:
//!
//! 1. unit price times quantity;
//! 2. multi-buy: the one that saves most on the line, ties to the lesser id;
//! 3. group price: where enough people joined and it is lower than what step 2 left;
//! 4. coupons, in the order of the rule set, each code once;
//! 5. loyalty points redeemed;
//! 6. taxes, rounded per line, half a minor unit up;
//! 7. split by seller, less the reseller's commission on the seller's net; points are earned on what is paid.
//!
//! What steps 4 and 5 take off several lines is shared out by the largest remainder (Hamilton's method), so that the
//! shares sum to the minor unit and no line falls below zero.
//!
//! **Limits.** A multi-buy counts the items of one line; the caller joins lines of a product. Loyalty points and taxes
//! know one currency. **Failure rules.** Rules or lines that make no sense are a [`PricingError`], and so is an amount
//! that does not fit; nothing is ever priced in part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::shares::{ChargedLine, shares};
use crate::units::Money;

/// Ten thousand basis points are the whole.
const WHOLE_BP: i128 = 10_000;

/// A line to be priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasketLine {
    /// The product.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Money,
    /// Whose it is.
    pub seller: String,
    /// Which of the rule set's taxes it bears.
    pub tax_class: String,
}

/// What a full set of a multi-buy costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deal {
    /// As many unit prices.
    PriceOf(u32),
    /// A fixed amount.
    Amount(Money),
}

/// `take` of a product for less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiBuy {
    /// Its id.
    pub id: String,
    /// The product.
    pub sku: String,
    /// How many make a full set, at least 1.
    pub take: u32,
    /// What a full set costs.
    pub deal: Deal,
}

/// A lower unit price once enough people have joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPrice {
    /// Its id.
    pub id: String,
    /// The product.
    pub sku: String,
    /// How many people must have joined.
    pub people: u32,
    /// Price of one then.
    pub unit_price: Money,
}

/// What a coupon takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// An amount, at most what its lines come to.
    Amount(Money),
    /// A share, basis points.
    ShareBp(u32),
}

/// Something off for whoever shows the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// Its code.
    pub code: String,
    /// What it takes off.
    pub off: Off,
    /// What its lines must come to after the earlier steps.
    pub least: Money,
    /// The products it is for; none named means all.
    pub skus: BTreeSet<String>,
}

/// Points for money and money for points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loyalty {
    /// One point is earned for each full one of these, at least 1 minor unit.
    pub spend_per_point: Money,
    /// What a point takes off, at least 1 minor unit.
    pub point_worth: Money,
}

/// How prices are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceRules {
    /// Sets for less.
    pub multi_buys: Vec<MultiBuy>,
    /// Lower prices for many.
    pub group_prices: Vec<GroupPrice>,
    /// Coupons, in the order in which they count.
    pub coupons: Vec<Coupon>,
    /// Points, where the store gives any.
    pub loyalty: Option<Loyalty>,
    /// Rate of each tax class, basis points.
    pub tax_bp: BTreeMap<String, u32>,
    /// Do unit prices include tax?
    pub tax_included: bool,
    /// The reseller's commission on a seller's net, basis points; sellers that are not named pay none.
    pub commission_bp: BTreeMap<String, u32>,
}

/// What the shopper brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Codes of coupons.
    pub codes: BTreeSet<String>,
    /// How many people have joined each group price, by id.
    pub joined: BTreeMap<String, u32>,
    /// How many points are to be redeemed; the caller knows that they are there.
    pub redeem_points: u64,
}

/// Which rule changed a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Unit price times quantity.
    UnitPrice {
        /// How many.
        quantity: u32,
    },
    /// A multi-buy.
    MultiBuy {
        /// Its id.
        id: String,
        /// How many full sets.
        sets: u32,
    },
    /// A group price.
    Group {
        /// Its id.
        id: String,
        /// How many have joined.
        joined: u32,
    },
    /// A coupon.
    Coupon {
        /// Its code.
        code: String,
    },
    /// Points redeemed on the whole receipt.
    Points {
        /// How many.
        points: u64,
    },
    /// Tax that is added.
    Tax {
        /// Its class.
        class: String,
        /// Its rate, basis points.
        rate_bp: u32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnitPrice { quantity } => write!(f, "{quantity} at the unit price"),
            Self::MultiBuy { id, sets } => write!(f, "multi-buy {id}, {sets} full sets"),
            Self::Group { id, joined } => write!(f, "group price {id}, {joined} people joined"),
            Self::Coupon { code } => write!(f, "coupon {code}"),
            Self::Points { points } => write!(f, "this line's share of {points} points redeemed"),
            Self::Tax { class, rate_bp } => {
                write!(f, "tax {class}, {}.{:02} %", rate_bp / 100, rate_bp % 100)
            }
        }
    }
}

/// What a rule did to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which rule.
    pub why: Why,
    /// By how much it changed the line; the changes of a line sum to what is paid for it.
    pub change: Money,
}

/// A line with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedLine {
    /// The line.
    pub line: BasketLine,
    /// What is paid for it, with tax.
    pub paid: Money,
    /// The tax in it.
    pub tax: Money,
    /// How it came about, in the order of the rules.
    pub explained: Vec<Explanation>,
}

impl PricedLine {
    /// What goes back for `quantity` more items when `before` of them went back already, as [`share_of`] says.
    #[must_use]
    pub fn refund(&self, before: u32, quantity: u32) -> Option<Money> {
        share_of(self.paid, self.line.quantity, before, quantity)
    }
}

/// What goes back for `quantity` more of `of` items that cost `paid` together when `before` of them went back already;
/// `None` when there are not as many. Whatever the portions, all of them together give back exactly what was paid.
#[must_use]
pub fn share_of(paid: Money, of: u32, before: u32, quantity: u32) -> Option<Money> {
    let after = before.checked_add(quantity).filter(|n| *n <= of && of > 0)?;
    let up_to = |n: u32| i128::from(paid.minor) * i128::from(n) / i128::from(of);
    money(up_to(after) - up_to(before)).ok()
}

/// What a seller is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SellerTotal {
    /// Paid for the seller's lines, with tax.
    pub paid: Money,
    /// The tax in it.
    pub tax: Money,
    /// What the reseller keeps.
    pub commission: Money,
    /// What the seller is owed: paid less commission.
    pub owed: Money,
}

/// A basket with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedReceipt {
    /// The lines, in the basket's order.
    pub lines: Vec<PricedLine>,
    /// What is paid.
    pub paid: Money,
    /// Tax by class.
    pub tax: BTreeMap<String, Money>,
    /// Totals by seller.
    pub sellers: BTreeMap<String, SellerTotal>,
    /// Points that were redeemed.
    pub points_redeemed: u64,
    /// Points that were earned.
    pub points_earned: u64,
}

/// Why a basket has no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// A rule makes no sense.
    #[error("price rule {0} makes no sense: {1}")]
    Rule(String, &'static str),
    /// A line makes no sense.
    #[error("the line of {0} cannot be priced: {1}")]
    Line(String, &'static str),
    /// No tax is stated for a class.
    #[error("the price rules state no tax for class {0:?}: add it, with 0 where none is due")]
    TaxClass(String),
    /// An amount does not fit.
    #[error("an amount of the basket does not fit in 63 bits")]
    TooLarge,
}

impl PriceRules {
    /// Do the rules make sense?
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), PricingError> {
        let must = |ok: bool, id: &str, why| {
            if ok { Ok(()) } else { Err(PricingError::Rule(id.to_owned(), why)) }
        };
        for m in &self.multi_buys {
            must(m.take > 0, &m.id, "a set needs at least one item")?;
            if let Deal::Amount(amount) = m.deal {
                must(amount.minor >= 0, &m.id, "its amount is negative")?;
            }
        }
        for g in &self.group_prices {
            must(g.unit_price.minor >= 0, &g.id, "its price is negative")?;
        }
        let mut codes = BTreeSet::new();
        for c in &self.coupons {
            must(codes.insert(&c.code), &c.code, "its code is there twice")?;
            must(c.least.minor >= 0, &c.code, "its least amount is negative")?;
            match c.off {
                Off::Amount(amount) => must(amount.minor >= 0, &c.code, "its amount is negative")?,
                Off::ShareBp(bp) => must(bp <= 10_000, &c.code, "it takes off more than the whole")?,
            }
        }
        if let Some(l) = self.loyalty {
            let ok = l.spend_per_point.minor > 0 && l.point_worth.minor > 0;
            must(ok, "loyalty", "a point must cost and be worth something")?;
        }
        for (seller, bp) in &self.commission_bp {
            must(*bp <= 10_000, seller, "its commission is more than the whole")?;
        }
        Ok(())
    }

    /// Prices a basket.
    ///
    /// # Errors
    /// [`PricingError`].
    pub fn price(&self, basket: &[BasketLine], shown: &Shown) -> Result<PricedReceipt, PricingError> {
        self.check()?;
        let mut lines = basket.iter().map(|l| self.goods(l, shown)).collect::<Result<Vec<_>, _>>()?;
        total(&lines)?;
        self.take_coupons(&mut lines, shown)?;
        let points_redeemed = self.take_points(&mut lines, shown.redeem_points)?;
        let mut tax = BTreeMap::<String, Money>::new();
        for line in &mut lines {
            self.put_tax(line)?;
            let of_class = tax.entry(line.line.tax_class.clone()).or_default();
            *of_class = of_class.plus(line.tax).ok_or(PricingError::TooLarge)?;
        }
        let paid = total(&lines)?;
        let earned = self.loyalty.map_or(0, |l| paid.minor / l.spend_per_point.minor);
        let sellers = self.split(lines.iter())?;
        Ok(PricedReceipt { lines, paid, tax, sellers, points_redeemed, points_earned: earned.unsigned_abs() })
    }

    /// Steps 1 to 3.
    fn goods(&self, line: &BasketLine, shown: &Shown) -> Result<PricedLine, PricingError> {
        let bad = |why| Err(PricingError::Line(line.sku.clone(), why));
        if line.quantity == 0 {
            return bad("it has no items");
        }
        if line.unit_price.minor < 0 {
            return bad("its unit price is negative");
        }
        let unit = i128::from(line.unit_price.minor);
        let quantity = i128::from(line.quantity);
        let mut priced = PricedLine {
            line: line.clone(),
            paid: Money::default(),
            tax: Money::default(),
            explained: vec![],
        };
        priced.change(Why::UnitPrice { quantity: line.quantity }, unit * quantity)?;
        let best = self
            .multi_buys
            .iter()
            .filter(|m| m.sku == line.sku)
            .map(|m| {
                let deal = match m.deal {
                    Deal::PriceOf(pay) => unit * i128::from(pay),
                    Deal::Amount(amount) => i128::from(amount.minor),
                };
                let sets = line.quantity / m.take;
                (m, sets, (unit * i128::from(m.take) - deal) * i128::from(sets))
            })
            .filter(|(.., saved)| *saved > 0)
            .max_by(|a, b| a.2.cmp(&b.2).then(b.0.id.cmp(&a.0.id)));
        if let Some((m, sets, saved)) = best {
            priced.change(Why::MultiBuy { id: m.id.clone(), sets }, -saved)?;
        }
        let group = self
            .group_prices
            .iter()
            .filter(|g| g.sku == line.sku)
            .filter_map(|g| Some((g, *shown.joined.get(&g.id)?)))
            .filter(|(g, joined)| *joined >= g.people)
            .min_by(|a, b| a.0.unit_price.cmp(&b.0.unit_price).then(a.0.id.cmp(&b.0.id)));
        if let Some((g, joined)) = group {
            let saved = i128::from(priced.paid.minor) - i128::from(g.unit_price.minor) * quantity;
            if saved > 0 {
                priced.change(Why::Group { id: g.id.clone(), joined }, -saved)?;
            }
        }
        Ok(priced)
    }

    /// Step 4.
    fn take_coupons(&self, lines: &mut [PricedLine], shown: &Shown) -> Result<(), PricingError> {
        for coupon in self.coupons.iter().filter(|c| shown.codes.contains(&c.code)) {
            let meant = |l: &PricedLine| coupon.skus.is_empty() || coupon.skus.contains(&l.line.sku);
            let weights: Vec<i64> = lines.iter().map(|l| if meant(l) { l.paid.minor } else { 0 }).collect();
            let base: i128 = weights.iter().map(|w| i128::from(*w)).sum();
            if base < i128::from(coupon.least.minor) {
                continue;
            }
            let off = match coupon.off {
                Off::Amount(amount) => base.min(i128::from(amount.minor)),
                Off::ShareBp(bp) => half_up(base * i128::from(bp), WHOLE_BP),
            };
            take_off(lines, off, &weights, &Why::Coupon { code: coupon.code.clone() })?;
        }
        Ok(())
    }

    /// Step 5; gives how many points were taken: never more than are needed.
    fn take_points(&self, lines: &mut [PricedLine], asked: u64) -> Result<u64, PricingError> {
        let Some(loyalty) = self.loyalty else { return Ok(0) };
        let left = total(lines)?;
        let points = asked.min((left.minor / loyalty.point_worth.minor).unsigned_abs());
        let weights: Vec<i64> = lines.iter().map(|l| l.paid.minor).collect();
        let off = i128::from(points) * i128::from(loyalty.point_worth.minor);
        take_off(lines, off, &weights, &Why::Points { points })?;
        Ok(points)
    }

    /// Step 6.
    fn put_tax(&self, line: &mut PricedLine) -> Result<(), PricingError> {
        let class = line.line.tax_class.clone();
        let rate_bp = *self.tax_bp.get(&class).ok_or_else(|| PricingError::TaxClass(class.clone()))?;
        if self.tax_included {
            line.tax = tax_included(line.paid, rate_bp)?;
            return Ok(());
        }
        let tax = half_up(i128::from(line.paid.minor) * i128::from(rate_bp), WHOLE_BP);
        line.tax = money(tax)?;
        if tax > 0 {
            line.change(Why::Tax { class, rate_bp }, tax)?;
        }
        Ok(())
    }

    /// Step 7, of some lines: those that are charged now.
    ///
    /// # Errors
    /// [`PricingError::TooLarge`].
    pub fn split<'a>(
        &self,
        lines: impl Iterator<Item = &'a PricedLine>,
    ) -> Result<BTreeMap<String, SellerTotal>, PricingError> {
        let charged = |l: &PricedLine| ChargedLine {
            seller: l.line.seller.clone(),
            charged: l.paid,
            tax: l.tax,
            refunded: Money::default(),
        };
        shares(lines.map(charged), &self.commission_bp)
    }
}

impl PricedLine {
    fn change(&mut self, why: Why, by: i128) -> Result<(), PricingError> {
        let change = money(by)?;
        self.paid = self.paid.plus(change).ok_or(PricingError::TooLarge)?;
        self.explained.push(Explanation { why, change });
        Ok(())
    }
}

/// The tax in an amount that includes it.
///
/// # Errors
/// [`PricingError::TooLarge`].
pub fn tax_included(paid: Money, rate_bp: u32) -> Result<Money, PricingError> {
    let rate = i128::from(rate_bp);
    money(half_up(i128::from(paid.minor) * rate, WHOLE_BP + rate))
}

pub(crate) fn money(minor: i128) -> Result<Money, PricingError> {
    i64::try_from(minor).map(Money::from_minor).map_err(|_| PricingError::TooLarge)
}

fn total(lines: &[PricedLine]) -> Result<Money, PricingError> {
    let sum = lines.iter().try_fold(Money::default(), |sum, l| sum.plus(l.paid));
    sum.ok_or(PricingError::TooLarge)
}

/// A quotient of numbers that are not negative, half a unit up.
pub(crate) fn half_up(dividend: i128, divisor: i128) -> i128 {
    (2 * dividend + divisor) / (2 * divisor)
}

/// Shares an amount of at most the weights' sum out by the largest remainder; equal remainders go to earlier lines.
fn take_off(lines: &mut [PricedLine], off: i128, weights: &[i64], why: &Why) -> Result<(), PricingError> {
    let whole: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if off == 0 || whole == 0 {
        return Ok(());
    }
    let mut shares: Vec<i128> = weights.iter().map(|w| off * i128::from(*w) / whole).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(off * i128::from(weights[*at]) % whole), *at));
    let left = off - shares.iter().sum::<i128>();
    for at in order.into_iter().take(usize::try_from(left).map_err(|_| PricingError::TooLarge)?) {
        shares[at] += 1;
    }
    for (line, share) in lines.iter_mut().zip(shares).filter(|(_, share)| *share > 0) {
        line.change(why.clone(), -share)?;
    }
    Ok(())
}
