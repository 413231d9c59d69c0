//! Pricing: the order of rules by a worked example, and what holds for any basket and any rules.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::pricing::{
    BasketLine, Coupon, Deal, GroupPrice, Loyalty, MultiBuy, Off, PriceRules, PricingError, Shown, Why,
};
use linefree_domain::units::Money;
use proptest::prelude::*;

const EUR: fn(i64) -> Money = Money::from_minor;

fn line(sku: &str, quantity: u32, unit: i64, seller: &str) -> BasketLine {
    BasketLine {
        sku: sku.into(),
        quantity,
        unit_price: EUR(unit),
        seller: seller.into(),
        tax_class: "food".into(),
    }
}

fn coupon(code: &str, off: Off, least: i64) -> Coupon {
    Coupon { code: code.into(), off, least: EUR(least), skus: BTreeSet::new() }
}

fn example() -> (PriceRules, Shown) {
    let rules = PriceRules {
        multi_buys: vec![MultiBuy {
            id: "3for2".into(),
            sku: "cola".into(),
            take: 3,
            deal: Deal::PriceOf(2),
        }],
        group_prices: vec![GroupPrice {
            id: "neighbours".into(),
            sku: "rice".into(),
            people: 5,
            unit_price: EUR(800),
        }],
        coupons: vec![coupon("ten", Off::ShareBp(1_000), 1_000), coupon("one", Off::Amount(EUR(100)), 0)],
        loyalty: Some(Loyalty { spend_per_point: EUR(100), point_worth: EUR(1) }),
        tax_bp: BTreeMap::from([("food".into(), 700)]),
        tax_included: false,
        commission_bp: BTreeMap::from([("farm".into(), 1_500)]),
    };
    let shown = Shown {
        codes: ["ten".into(), "one".into()].into(),
        joined: BTreeMap::from([("neighbours".into(), 5)]),
        redeem_points: 50,
    };
    (rules, shown)
}

#[test]
fn the_rules_work_in_their_order() {
    let (rules, shown) = example();
    let basket = [line("cola", 4, 200, "store"), line("rice", 1, 1_000, "farm")];
    let r = rules.price(&basket, &shown).unwrap();
    // Cola 800 - 200 = 600, rice 1000 - 200 = 800; a tenth of 1400 is 140 (60, 80); 100 of 1260 (43, 57);
    // 50 points of 1160 (497, 663): 21, 29; then 7 % tax on 476 and 634: 33, 44.
    let changes: Vec<Vec<i64>> =
        r.lines.iter().map(|l| l.explained.iter().map(|e| e.change.minor).collect()).collect();
    assert_eq!(changes, [vec![800, -200, -60, -43, -21, 33], vec![1_000, -200, -80, -57, -29, 44]]);
    assert_eq!((r.paid, r.points_redeemed, r.points_earned), (EUR(1_187), 50, 11));
    assert_eq!(r.tax["food"], EUR(77));
    // 15 % of the net 634 is 95.1.
    assert_eq!((r.sellers["farm"].commission, r.sellers["farm"].owed), (EUR(95), EUR(583)));
    assert_eq!(r.sellers["store"].owed, EUR(509));
    assert_eq!(r.lines[0].explained[1].why.to_string(), "multi-buy 3for2, 1 full sets");
    assert_eq!(r.lines[1].explained[1].why, Why::Group { id: "neighbours".into(), joined: 5 });
}

#[test]
fn conditions_that_are_not_met_change_nothing() {
    let (rules, mut shown) = example();
    shown.joined.insert("neighbours".into(), 4);
    shown.codes = ["ten".into(), "unknown".into()].into();
    shown.redeem_points = 0;
    let r = rules.price(&[line("rice", 1, 999, "farm")], &shown).unwrap();
    assert_eq!(r.lines[0].explained[0].change, EUR(999));
    assert_eq!(r.lines[0].explained.len(), 2, "only the price and its tax: {:?}", r.lines[0].explained);
}

#[test]
fn included_tax_is_stated_and_not_added() {
    let (mut rules, _) = example();
    rules.tax_included = true;
    let r = rules.price(&[line("rice", 1, 1_070, "farm")], &Shown::default()).unwrap();
    assert_eq!((r.paid, r.tax["food"]), (EUR(1_070), EUR(70)));
}

#[test]
fn what_makes_no_sense_has_no_price() {
    let (rules, shown) = example();
    let price = |l: BasketLine| rules.price(&[l], &shown).unwrap_err();
    assert!(matches!(price(line("rice", 0, 1, "farm")), PricingError::Line(..)));
    assert!(matches!(price(line("rice", 1, -1, "farm")), PricingError::Line(..)));
    assert_eq!(price(line("cola", 2, i64::MAX, "farm")), PricingError::TooLarge);
    let other = BasketLine { tax_class: "toys".into(), ..line("rice", 1, 1, "farm") };
    assert_eq!(price(other), PricingError::TaxClass("toys".into()));
    let (mut rules, _) = example();
    rules.coupons.push(coupon("ten", Off::ShareBp(1), 0));
    assert!(matches!(rules.check(), Err(PricingError::Rule(..))));
}

fn baskets() -> impl Strategy<Value = Vec<BasketLine>> {
    let one = (0..4_usize, 1..9_u32, 0..3_000_i64, 0..3_usize).prop_map(|(sku, n, unit, seller)| {
        line(["cola", "rice", "tea", "soap"][sku], n, unit, ["store", "farm", "mill"][seller])
    });
    prop::collection::vec(one, 0..7)
}

fn rule_sets() -> impl Strategy<Value = (PriceRules, Shown)> {
    let deal =
        prop_oneof![(0..5_u32).prop_map(Deal::PriceOf), (0..4_000_i64).prop_map(|a| Deal::Amount(EUR(a)))];
    let off = prop_oneof![
        (0..=10_000_u32).prop_map(Off::ShareBp),
        (0..9_000_i64).prop_map(|a| Off::Amount(EUR(a)))
    ];
    let coupons = prop::collection::vec((off, 0..4_000_i64, prop::bool::ANY), 0..4);
    let money = (coupons, 1..500_i64, 1..50_i64, 0..3_000_u32, prop::bool::ANY, 0..=10_000_u32);
    (1..5_u32, deal, 0..6_u32, 0..2_000_i64, money, 0..9_000_u64).prop_map(
        |(take, deal, joined, group, (coupons, spend, worth, tax, included, commission), redeem)| {
            let coupons: Vec<Coupon> = coupons
                .into_iter()
                .enumerate()
                .map(|(i, (off, least, tea))| Coupon {
                    skus: if tea { ["tea".to_owned()].into() } else { BTreeSet::new() },
                    ..coupon(&format!("c{i}"), off, least)
                })
                .collect();
            let shown = Shown {
                codes: coupons.iter().map(|c| c.code.clone()).collect(),
                joined: BTreeMap::from([("g".into(), joined)]),
                redeem_points: redeem,
            };
            let rules = PriceRules {
                multi_buys: vec![MultiBuy { id: "m".into(), sku: "cola".into(), take, deal }],
                group_prices: vec![GroupPrice {
                    id: "g".into(),
                    sku: "rice".into(),
                    people: 3,
                    unit_price: EUR(group),
                }],
                coupons,
                loyalty: Some(Loyalty { spend_per_point: EUR(spend), point_worth: EUR(worth) }),
                tax_bp: BTreeMap::from([("food".into(), tax)]),
                tax_included: included,
                commission_bp: BTreeMap::from([("farm".into(), commission)]),
            };
            (rules, shown)
        },
    )
}

proptest! {
    #[test]
    fn everything_sums_to_the_minor_unit((rules, shown) in rule_sets(), basket in baskets()) {
        let r = rules.price(&basket, &shown).unwrap();
        let sum = |amounts: &mut dyn Iterator<Item = Money>| amounts.map(|m| m.minor).sum::<i64>();
        for l in &r.lines {
            prop_assert!(l.paid.minor >= 0 && l.tax.minor >= 0 && l.tax <= l.paid);
            prop_assert_eq!(sum(&mut l.explained.iter().map(|e| e.change)), l.paid.minor);
        }
        prop_assert_eq!(sum(&mut r.lines.iter().map(|l| l.paid)), r.paid.minor);
        prop_assert_eq!(sum(&mut r.lines.iter().map(|l| l.tax)), sum(&mut r.tax.values().copied()));
        prop_assert_eq!(sum(&mut r.sellers.values().map(|s| s.paid)), r.paid.minor);
        for s in r.sellers.values() {
            prop_assert!(s.commission.minor >= 0 && s.owed.minor >= 0);
            prop_assert_eq!(s.commission.minor + s.owed.minor, s.paid.minor);
        }
        let worth = rules.loyalty.unwrap().point_worth.minor;
        let by_points = r.lines.iter().flat_map(|l| &l.explained).filter(|e| matches!(e.why, Why::Points { .. }));
        prop_assert_eq!(-sum(&mut by_points.map(|e| e.change)), worth * i64::try_from(r.points_redeemed).unwrap());
        prop_assert!(r.points_redeemed <= shown.redeem_points);
        prop_assert_eq!(&r, &rules.price(&basket, &shown).unwrap());
    }

    #[test]
    fn explanations_keep_the_order_of_rules((rules, shown) in rule_sets(), basket in baskets()) {
        let step = |why: &Why| match why {
            Why::UnitPrice { .. } => 1,
            Why::MultiBuy { .. } => 2,
            Why::Group { .. } => 3,
            Why::Coupon { .. } => 4,
            Why::Points { .. } => 5,
            Why::Tax { .. } => 6,
        };
        for l in rules.price(&basket, &shown).unwrap().lines {
            prop_assert!(l.explained.iter().map(|e| step(&e.why)).is_sorted());
            prop_assert!(l.explained.iter().all(|e| (2..=5).contains(&step(&e.why)) == (e.change.minor < 0)));
        }
    }

    #[test]
    fn refunds_give_back_what_was_paid(
        (rules, shown) in rule_sets(),
        basket in baskets(),
        portions in prop::collection::vec(1..4_u32, 8),
    ) {
        for l in rules.price(&basket, &shown).unwrap().lines {
            let (mut before, mut back) = (0, 0);
            for portion in &portions {
                let portion = (*portion).min(l.line.quantity - before);
                let amount = l.refund(before, portion).unwrap();
                prop_assert!(amount.minor >= 0);
                (before, back) = (before + portion, back + amount.minor);
            }
            prop_assert_eq!(before, l.line.quantity);
            prop_assert_eq!(back, l.paid.minor);
            prop_assert_eq!(l.refund(before, 1), None);
        }
    }
}
