//! Prices and price rules: what the chain commands, what a receipt costs by them, and what an answer to a review adds.
//!
//! **When.** A receipt is priced by the unit prices and the newest rules that were in force when its visit began: nobody's basket changes its
//! price on the way to the exit. It is priced in the transaction that takes it, with an event of the ledger's own
//! ([`ReceiptPriced`]); whatever is asked or paid later follows from that event, so rules that change later, a rebuild and
//! another version of this program change nothing.
//!
//! **Lines in review** are priced with all others as they stand, and not charged. An answer is priced in the same basket
//! with the quantity that was answered; what is charged already stays.
//!
//! **Failure rules.** Rules that make no sense are refused before they come into force. A receipt that cannot be priced
//! (another currency, an amount that does not fit) is charged as the floor told it, and a warning says why.

use std::collections::{BTreeMap, BTreeSet};

use linefree_bus::payload::{
    self as told, Event, EventBody, PriceStep, PriceWhy, ReceiptPriced, VisitClosed,
};
use linefree_domain::pricing::{
    BasketLine, Coupon, Deal, GroupPrice, Loyalty, MultiBuy, Off, PriceRules, PricedReceipt, Shown, Why,
    tax_included,
};
use linefree_domain::units::Money;
use rusqlite::Transaction;

use super::commands::StoreFacts;
use super::rows::ReceiptRow;
use super::shown::{self, ShownRow};
use super::sound::unsound;
use super::unit_prices::{PriceList, PriceLists};
use super::{Doing, LedgerError, LedgerReader, own};
use crate::cloud::command::{Command, CommandBody};

/// Whose products are that are not said to be anybody's.
pub(super) const OWN_SELLER: &str = "store";
/// The tax class of products that are not said to have another.
const STANDARD: &str = "standard";
/// The version that stands for no rules.
const NO_RULES: u64 = 0;
/// The largest amount in a rule, minor units.
const MAX_MINOR: i64 = 1_000_000_000;
/// The most rules of one kind.
const MAX_RULES: usize = 2000;
/// The largest set of rules as JSON, bytes: it must fit in an event.
const MAX_BYTES: usize = 200_000;

type Check = Result<(), String>;

fn within(field: &str, value: i64, least: i64, most: i64) -> Check {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field} is {value}: {least} to {most} is allowed"))
    }
}

fn name(field: &str, value: &str) -> Check {
    match value.chars().count() {
        1..=64 if !value.chars().any(char::is_control) => Ok(()),
        _ => Err(format!("{field} has 1 to 64 characters")),
    }
}

fn once<'a>(field: &str, part: &str, names: impl Iterator<Item = &'a String>) -> Check {
    let mut seen = BTreeSet::new();
    for (i, value) in names.enumerate() {
        if i >= MAX_RULES {
            return Err(format!("{field} has more than {MAX_RULES} entries"));
        }
        name(&format!("{field}[{i}].{part}"), value)?;
        if !seen.insert(value) {
            return Err(format!("{field}[{i}].{part}: {value:?} stands there twice"));
        }
    }
    Ok(())
}

/// What is wrong with rules, for people.
pub(super) fn check(
    facts: &StoreFacts,
    rules: &told::PriceRules,
    sku_is_known: impl Fn(&str, &str) -> Check,
) -> Check {
    if let Some(own) = &facts.currency
        && *own != rules.currency
    {
        return Err(format!("rules.currency is {:?}, this store charges {own}", rules.currency));
    }
    if serde_json::to_string(rules).map_or(usize::MAX, |text| text.len()) > MAX_BYTES {
        return Err(format!("the rules have more than {MAX_BYTES} bytes as JSON"));
    }
    once("rules.multi_buys", "id", rules.multi_buys.iter().map(|m| &m.id))?;
    for (i, m) in rules.multi_buys.iter().enumerate() {
        let at = format!("rules.multi_buys[{i}]");
        sku_is_known(&format!("{at}.sku"), &m.sku)?;
        within(&format!("{at}.take"), i64::from(m.take), 1, 1000)?;
        match m.deal {
            told::Deal::PriceOf(pay) if pay >= m.take => {
                return Err(format!("{at}.deal: {} for the price of {pay} is no rule", m.take));
            }
            told::Deal::PriceOf(_) => {}
            told::Deal::AmountMinor(minor) => {
                within(&format!("{at}.deal.amount_minor"), minor, 0, MAX_MINOR)?;
            }
        }
    }
    once("rules.group_prices", "id", rules.group_prices.iter().map(|g| &g.id))?;
    for (i, g) in rules.group_prices.iter().enumerate() {
        let at = format!("rules.group_prices[{i}]");
        sku_is_known(&format!("{at}.sku"), &g.sku)?;
        within(&format!("{at}.people"), i64::from(g.people), 1, 1_000_000_000)?;
        within(&format!("{at}.unit_price_minor"), g.unit_price_minor, 0, MAX_MINOR)?;
    }
    once("rules.coupons", "code", rules.coupons.iter().map(|c| &c.code))?;
    for (i, c) in rules.coupons.iter().enumerate() {
        let at = format!("rules.coupons[{i}]");
        within(&format!("{at}.least_minor"), c.least_minor, 0, MAX_MINOR)?;
        match c.off {
            told::Off::AmountMinor(minor) => within(&format!("{at}.off.amount_minor"), minor, 1, MAX_MINOR)?,
            told::Off::ShareBp(bp) => within(&format!("{at}.off.share_bp"), i64::from(bp), 1, 10_000)?,
        }
        for sku in &c.skus {
            sku_is_known(&format!("{at}.skus"), sku)?;
        }
    }
    if let Some(l) = rules.loyalty {
        within("rules.loyalty.spend_per_point_minor", l.spend_per_point_minor, 1, MAX_MINOR)?;
        within("rules.loyalty.point_worth_minor", l.point_worth_minor, 1, MAX_MINOR)?;
    }
    check_sellers(rules, sku_is_known)?;
    core_of(rules).0.check().map_err(|e| e.to_string())
}

fn check_sellers(rules: &told::PriceRules, sku_is_known: impl Fn(&str, &str) -> Check) -> Check {
    once("rules.taxes", "class", rules.taxes.iter().map(|t| &t.class))?;
    for (i, tax) in rules.taxes.iter().enumerate() {
        within(&format!("rules.taxes[{i}].rate_bp"), i64::from(tax.rate_bp), 0, 100_000)?;
    }
    once("rules.sold_as", "sku", rules.sold_as.iter().map(|s| &s.sku))?;
    for (i, sold) in rules.sold_as.iter().enumerate() {
        sku_is_known(&format!("rules.sold_as[{i}].sku"), &sold.sku)?;
        if let Some(seller) = &sold.seller {
            name(&format!("rules.sold_as[{i}].seller"), seller)?;
        }
        if let Some(class) = &sold.tax_class
            && class != STANDARD
            && !rules.taxes.iter().any(|t| t.class == *class)
        {
            return Err(format!(
                "rules.sold_as[{i}].tax_class: no rate is stated for {class:?} in rules.taxes"
            ));
        }
    }
    once("rules.commissions", "seller", rules.commissions.iter().map(|c| &c.seller))?;
    for (i, commission) in rules.commissions.iter().enumerate() {
        within(&format!("rules.commissions[{i}].rate_bp"), i64::from(commission.rate_bp), 0, 10_000)?;
        if !rules.sold_as.iter().any(|s| s.seller.as_ref() == Some(&commission.seller)) {
            return Err(format!("rules.commissions[{i}].seller: {:?} sells nothing here", commission.seller));
        }
    }
    Ok(())
}

/// The rules as the core knows them, and what everybody shows.
fn core_of(rules: &told::PriceRules) -> (PriceRules, Shown) {
    let minor = Money::from_minor;
    let mut tax_bp: BTreeMap<String, u32> = BTreeMap::from([(STANDARD.to_owned(), 0)]);
    tax_bp.extend(rules.taxes.iter().map(|t| (t.class.clone(), t.rate_bp)));
    let core = PriceRules {
        multi_buys: rules
            .multi_buys
            .iter()
            .map(|m| MultiBuy {
                id: m.id.clone(),
                sku: m.sku.clone(),
                take: m.take,
                deal: match m.deal {
                    told::Deal::PriceOf(pay) => Deal::PriceOf(pay),
                    told::Deal::AmountMinor(amount) => Deal::Amount(minor(amount)),
                },
            })
            .collect(),
        group_prices: rules
            .group_prices
            .iter()
            .map(|g| GroupPrice {
                id: g.id.clone(),
                sku: g.sku.clone(),
                people: g.people,
                unit_price: minor(g.unit_price_minor),
            })
            .collect(),
        coupons: rules
            .coupons
            .iter()
            .map(|c| Coupon {
                code: c.code.clone(),
                off: match c.off {
                    told::Off::AmountMinor(amount) => Off::Amount(minor(amount)),
                    told::Off::ShareBp(bp) => Off::ShareBp(bp),
                },
                least: minor(c.least_minor),
                skus: c.skus.iter().cloned().collect(),
            })
            .collect(),
        loyalty: rules.loyalty.map(|l| Loyalty {
            spend_per_point: minor(l.spend_per_point_minor),
            point_worth: minor(l.point_worth_minor),
        }),
        tax_bp,
        tax_included: rules.tax_included,
        commission_bp: rules.commissions.iter().map(|c| (c.seller.clone(), c.rate_bp)).collect(),
    };
    let shown = Shown {
        codes: rules.coupons.iter().filter(|c| c.everyone).map(|c| c.code.clone()).collect(),
        joined: rules.group_prices.iter().map(|g| (g.id.clone(), g.joined)).collect(),
        redeem_points: 0,
    };
    (core, shown)
}

/// The tax in an amount that was paid for a product whose price includes it.
pub(super) fn tax_in(rules: &told::PriceRules, sku: &str, paid_minor: i64) -> i64 {
    let class = rules.sold_as.iter().find(|s| s.sku == sku).and_then(|s| s.tax_class.as_deref());
    let class = class.unwrap_or(STANDARD);
    let rate_bp = rules.taxes.iter().find(|t| t.class == class).map_or(0, |t| t.rate_bp);
    tax_included(Money::from_minor(paid_minor), rate_bp).map_or(0, |tax| tax.minor)
}

/// A line to be priced: SKU, quantity, unit price in minor units.
type Bare<'a> = (&'a str, u32, i64);

fn price<'a>(
    rules: &told::PriceRules,
    own: &ShownRow,
    lines: impl Iterator<Item = Bare<'a>>,
) -> Result<(PriceRules, PricedReceipt), String> {
    let sold: BTreeMap<&str, &told::SoldAs> = rules.sold_as.iter().map(|s| (s.sku.as_str(), s)).collect();
    let basket: Vec<BasketLine> = lines
        .map(|(sku, quantity, unit_minor)| {
            let sold = sold.get(sku);
            let or = |said: Option<&String>, else_: &str| said.cloned().unwrap_or_else(|| else_.to_owned());
            BasketLine {
                sku: sku.to_owned(),
                quantity,
                unit_price: Money::from_minor(unit_minor),
                seller: or(sold.and_then(|s| s.seller.as_ref()), OWN_SELLER),
                tax_class: or(sold.and_then(|s| s.tax_class.as_ref()), STANDARD),
            }
        })
        .collect();
    let (core, mut shown) = core_of(rules);
    shown.codes.extend(own.codes.iter().cloned());
    shown.redeem_points = own.points;
    let priced = core.price(&basket, &shown).map_err(|e| e.to_string())?;
    Ok((core, priced))
}

fn steps(line: &linefree_domain::pricing::PricedLine) -> Vec<PriceStep> {
    let step = |e: &linefree_domain::pricing::Explanation| PriceStep {
        why: match e.why.clone() {
            Why::UnitPrice { quantity } => PriceWhy::UnitPrice(quantity),
            Why::MultiBuy { id, sets } => PriceWhy::MultiBuy { id, sets },
            Why::Group { id, joined } => PriceWhy::Group { id, joined },
            Why::Coupon { code } => PriceWhy::Coupon(code),
            Why::Points { points } => PriceWhy::Points(points),
            Why::Tax { class, rate_bp } => PriceWhy::Tax { class, rate_bp },
        },
        change_minor: e.change.minor,
    };
    line.explained.iter().map(step).collect()
}

/// Commands with price rules, the newest first: found by schema/3.sql's index, which `accepted = 1` is written for.
const NEWEST_RULES: &str =
    "SELECT version, told, received_us FROM commands WHERE kind = 'price_rules' AND accepted = 1
     ORDER BY command_seq DESC";

/// The newest rules that are in force at a moment, with their version.
fn rules_at(tx: &Transaction<'_>, at_us: i64) -> Result<Option<(u64, told::PriceRules)>, LedgerError> {
    let doing = "reading the price rules";
    let any: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM in_force WHERE kind = 'price_rules')")
        .and_then(|mut s| s.query_row([], |r| r.get(0)))
        .doing(doing)?;
    if !any {
        return Ok(None);
    }
    // The newest first; older ones are looked for only while a newer one is still to come into force.
    let mut statement = tx.prepare_cached(NEWEST_RULES).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let (version, text, received_us): (i64, String, i64) =
            (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().doing(doing)?;
        let body = serde_json::from_str::<Command>(&text).map(|c| c.body).and_then(serde_json::from_value);
        if let Ok(CommandBody::PriceRules { from_us, rules }) = body
            && from_us.unwrap_or(received_us) <= at_us
        {
            return Ok(Some((version.cast_unsigned(), rules)));
        }
    }
    Ok(None)
}

/// What a receipt costs by unit prices and rules; an error says why it has no price by them.
fn priced(
    event: &Event,
    closed: &VisitClosed,
    (version, rules): (u64, &told::PriceRules),
    own: &ShownRow,
    list: Option<&PriceList>,
) -> Result<ReceiptPriced, String> {
    for (what, currency) in
        [("price rules", &rules.currency)].into_iter().chain(list.map(|l| ("prices", &l.currency)))
    {
        if *currency != closed.currency {
            return Err(format!("it is in {}, the {what} are in {currency}", closed.currency));
        }
    }
    let commanded = |l: &told::Line| commanded_price(list, l);
    let bare =
        closed.lines.iter().map(|l| (l.sku.as_str(), l.quantity, commanded(l).unwrap_or(l.unit_price_minor)));
    let (core, priced) = price(rules, own, bare)?;
    let both = || closed.lines.iter().zip(&priced.lines);
    let sum =
        |review: bool| -> i64 { both().filter(|(l, _)| l.review == review).map(|(_, p)| p.paid.minor).sum() };
    let charged = both().filter(|(l, _)| !l.review).map(|(_, p)| p);
    let sellers = core.split(charged).map_err(|e| e.to_string())?;
    let charge_minor = sum(false);
    Ok(ReceiptPriced {
        visit: closed.visit.clone(),
        closed_source: event.source.clone(),
        closed_epoch: event.epoch,
        closed_seq: event.seq,
        version,
        prices_version: list.map(|l| l.version),
        currency: closed.currency.clone(),
        lines: both()
            .map(|(l, p)| told::PricedLine {
                sku: p.line.sku.clone(),
                unit_price_minor: commanded(l),
                amount_minor: p.paid.minor,
                tax_minor: p.tax.minor,
                seller: p.line.seller.clone(),
                steps: steps(p),
            })
            .collect(),
        charge_minor,
        in_review_minor: sum(true),
        points_earned: core.loyalty.map_or(0, |l| (charge_minor / l.spend_per_point.minor).unsigned_abs()),
        sellers: sellers
            .into_iter()
            .map(|(seller, of)| told::SellerShare {
                seller,
                paid_minor: of.paid.minor,
                tax_minor: of.tax.minor,
                commission_minor: of.commission.minor,
            })
            .collect(),
    })
}

/// What one item costs by the chain's list, where that is another price than the floor told.
fn commanded_price(list: Option<&PriceList>, line: &told::Line) -> Option<i64> {
    list.and_then(|l| l.minor.get(&line.sku)).copied().filter(|minor| *minor != line.unit_price_minor)
}

/// Says what a receipt costs that was just stored, where other unit prices or price rules were in force when its visit
/// began. What is no receipt is passed over.
pub(super) fn price_closed(
    tx: &Transaction<'_>,
    lists: &mut PriceLists,
    event: &Event,
    now_us: i64,
) -> Result<(), LedgerError> {
    let EventBody::VisitClosed(closed) = &event.body else { return Ok(()) };
    if unsound(&event.body).is_err() {
        return Ok(());
    }
    let list = lists.at(tx, closed.entered_us)?;
    let (version, rules) = match rules_at(tx, closed.entered_us)? {
        Some(found) => found,
        None if closed.lines.iter().all(|l| commanded_price(list.as_deref(), l).is_none()) => return Ok(()),
        None => (NO_RULES, told::PriceRules { currency: closed.currency.clone(), ..Default::default() }),
    };
    let own = shown::take(tx, &closed.visit, closed.credential.as_deref())?;
    let body = priced(event, closed, (version, &rules), &own, list.as_deref())
        .map(|priced| EventBody::ReceiptPriced(Box::new(priced)))
        .and_then(|body| unsound(&body).map(|()| body));
    match body {
        Ok(body) => own::say(tx, body, now_us).map(drop),
        Err(why) => {
            tracing::warn!(
                visit = closed.visit,
                version,
                "the receipt is charged as the floor told it, not as the chain commands: {why}"
            );
            Ok(())
        }
    }
}

/// What an answer of so many items of a line in review comes to, and how.
pub(super) fn price_answer(
    reader: &LedgerReader,
    receipt: &ReceiptRow,
    sku: &str,
    quantity: u32,
) -> Result<Result<(i64, Vec<PriceStep>), String>, LedgerError> {
    let Some(line) = receipt.lines.iter().find(|l| l.sku == sku) else {
        return Ok(Err(format!("visit {:?} has no line {sku:?}", receipt.visit)));
    };
    let Some(version) = receipt.rules_version else {
        return Ok(Ok((line.unit_price_minor.saturating_mul(i64::from(quantity)), Vec::new())));
    };
    if quantity == 0 {
        return Ok(Ok((0, Vec::new())));
    }
    if quantity == line.quantity {
        return Ok(Ok((line.amount_minor, line.steps.clone())));
    }
    let Some(rules) = reader.price_rules(version)? else {
        return Ok(Err(format!("version {version} of the price rules is not in this ledger")));
    };
    let bare = receipt
        .lines
        .iter()
        .map(|l| (l.sku.as_str(), if l.sku == sku { quantity } else { l.quantity }, l.unit_price_minor));
    let used = ShownRow::used(&receipt.lines);
    Ok(price(&rules.rules, &used, bare).map(|(_, priced)| {
        let of = priced.lines.iter().find(|p| p.line.sku == sku);
        of.map_or_else(|| (0, Vec::new()), |p| (p.paid.minor, steps(p)))
    }))
}

#[cfg(test)]
mod tests {
    use super::NEWEST_RULES;
    use crate::ledger::Ledger;

    /// Neither read through nor sorted, whatever else was commanded.
    #[test]
    fn price_rules_are_found_by_their_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        drop(Ledger::open(&path, "corner", 1).unwrap());
        let conn = rusqlite::Connection::open(&path).unwrap();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {NEWEST_RULES}")).unwrap();
        let steps: Vec<String> =
            plan.query_map([], |r| r.get("detail")).unwrap().map(Result::unwrap).collect();
        let [only] = &steps[..] else { panic!("{steps:?}") };
        assert!(only.contains("INDEX commands_of_kind (kind=? AND accepted=?)"), "{only}");
    }
}
