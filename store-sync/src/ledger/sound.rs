//! Is an event sound? What the tables of the projections demand, said in words and before SQLite is asked.

use std::collections::HashSet;

use linefree_bus::payload::{EventBody, Line};
use linefree_domain::payment::MAX_EARLIER;

/// The largest amount, minor units.
const MAX_MINOR: i64 = 1_000_000_000_000;
/// The largest quantity of one line.
const MAX_QUANTITY: u32 = 1_000_000;
/// The largest change of weight, grams.
const MAX_G: f64 = 1e7;

type Check = Result<(), String>;

fn text(name: &str, value: &str, most: usize) -> Check {
    let chars = value.chars().count();
    if chars == 0 || chars > most || value.contains('\0') {
        return Err(format!("{name} has {chars} characters, 1 to {most} are allowed"));
    }
    Ok(())
}

fn id(name: &str, value: &str) -> Check {
    text(name, value, 64)
}

fn maybe_id(name: &str, value: Option<&str>) -> Check {
    value.map_or(Ok(()), |value| id(name, value))
}

/// A text that people read; may be empty.
fn words(name: &str, value: &str, most: usize) -> Check {
    if value.is_empty() { Ok(()) } else { text(name, value, most) }
}

fn within<T: PartialOrd + std::fmt::Display + Copy>(name: &str, value: T, least: T, most: T) -> Check {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(format!("{name} is {value}, {least} to {most} is allowed"))
    }
}

fn amount(name: &str, value: i64) -> Check {
    within(name, value, 0, MAX_MINOR)
}

fn currency(value: &str) -> Check {
    if value.len() == 3 && value.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(format!("currency {value:?} is no code of three capital letters"))
    }
}

fn in_order(what: &str, start_us: i64, end_us: i64) -> Check {
    if end_us >= start_us { Ok(()) } else { Err(format!("{what} ends before it begins")) }
}

fn each_once<'a>(what: &str, keys: impl Iterator<Item = &'a str> + Clone) -> Check {
    let twice = |key: &str| Err(format!("{what} {key:?} stands there twice"));
    // Most carts are small, and comparing a few keys costs less than a set of them.
    if keys.clone().nth(16).is_none() {
        for (i, key) in keys.clone().enumerate() {
            if keys.clone().take(i).any(|earlier| earlier == key) {
                return twice(key);
            }
        }
        return Ok(());
    }
    let mut seen = HashSet::new();
    for key in keys {
        if !seen.insert(key) {
            return twice(key);
        }
    }
    Ok(())
}

fn lines(lines: &[Line]) -> Check {
    for l in lines {
        id("sku", &l.sku)?;
        words("name", &l.name, 1000)?;
        within("quantity", l.quantity, 1, MAX_QUANTITY)?;
        amount("unit_price_minor", l.unit_price_minor)?;
        within("probability", l.probability, 0.0, 1.0)?;
    }
    each_once("sku", lines.iter().map(|l| l.sku.as_str()))
}

/// What is wrong with an event, for people.
pub(super) fn unsound(body: &EventBody) -> Check {
    match body {
        EventBody::ShelfChanged(e) => {
            in_order("the shelf event", e.start_us, e.end_us)?;
            within("delta_g", e.delta_g, -MAX_G, MAX_G)?;
            within("sd_g", e.sd_g, 0.0, MAX_G)?;
            for p in &e.plates {
                id("plate", &p.plate)?;
                in_order("a plate's part", p.start_us, p.end_us)?;
                within("delta_g", p.delta_g, -MAX_G, MAX_G)?;
                within("sd_g", p.sd_g, 0.0, MAX_G)?;
            }
            each_once("plate", e.plates.iter().map(|p| p.plate.as_str()))
        }
        EventBody::GatePassed(e) => {
            id("gate", &e.gate)?;
            maybe_id("credential", e.credential.as_deref())
        }
        EventBody::VisitOpened(e) => {
            id("visit", &e.visit)?;
            maybe_id("credential", e.credential.as_deref())
        }
        EventBody::ItemAttributed(e) => {
            id("shelf_source", &e.shelf_source)?;
            if e.shelf_seq == 0 || i64::try_from(e.shelf_seq).is_err() {
                return Err("shelf_seq is no number from 1".to_owned());
            }
            within("the number of candidates", e.candidates.len(), 0, 1000)?;
            for c in &e.candidates {
                maybe_id("visit", c.visit.as_deref())?;
                words("robot", c.robot.as_deref().unwrap_or_default(), 200)?;
                maybe_id("sku", c.sku.as_deref())?;
                within("probability", c.probability, 0.0, 1.0)?;
            }
            Ok(())
        }
        EventBody::CartChanged(e) => {
            id("visit", &e.visit)?;
            lines(&e.lines)
        }
        EventBody::VisitClosed(e) => {
            id("visit", &e.visit)?;
            maybe_id("credential", e.credential.as_deref())?;
            in_order("the visit", e.entered_us, e.left_us)?;
            currency(&e.currency)?;
            // Sums of many lines may exceed a line's limit.
            within("charge_minor", e.charge_minor, 0, i64::MAX)?;
            within("in_review_minor", e.in_review_minor, 0, i64::MAX)?;
            lines(&e.lines)
        }
        EventBody::DeviceFault(e) => {
            text("device", &e.device, 200)?;
            id("fault", &e.fault)?;
            words("message", &e.message, 4000)
        }
        EventBody::ReviewAnswered(e) => {
            id("visit", &e.visit)?;
            id("sku", &e.sku)?;
            within("quantity", e.quantity, 0, MAX_QUANTITY)?;
            currency(&e.currency)?;
            amount("charge_minor", e.charge_minor)
        }
        EventBody::RefundIssued(e) => {
            id("refund", &e.refund)?;
            id("visit", &e.visit)?;
            currency(&e.currency)?;
            words("reason", &e.reason, 1000)?;
            within("amount_minor", e.amount_minor, 1, MAX_MINOR)?;
            for l in &e.lines {
                id("sku", &l.sku)?;
                within("quantity", l.quantity, 1, MAX_QUANTITY)?;
                amount("amount_minor", l.amount_minor)?;
            }
            each_once("sku", e.lines.iter().map(|l| l.sku.as_str()))
        }
        EventBody::PaymentChanged(e) => {
            id("visit", &e.visit)?;
            currency(&e.currency)?;
            amount("authorised_minor", e.authorised_minor)?;
            amount("captured_minor", e.captured_minor)?;
            within("refunded_minor", e.refunded_minor, 0, e.captured_minor)?;
            amount("disputed_minor", e.disputed_minor)?;
            if let Some(ask) = &e.ask {
                amount("ask.amount_minor", ask.amount_minor)?;
                within("the number of earlier amounts", ask.earlier_minor.len(), 0, MAX_EARLIER)?;
                ask.earlier_minor.iter().try_for_each(|minor| amount("ask.earlier_minor", *minor))?;
            }
            words("reference", e.reference.as_deref().unwrap_or_default(), 200)?;
            words("reason", e.reason.as_deref().unwrap_or_default(), 1000)
        }
        EventBody::StockCounted(e) => {
            id("plate", &e.plate)?;
            id("sku", &e.sku)?;
            within("quantity", e.quantity, 0, MAX_QUANTITY)
        }
        EventBody::OrderChanged(e) => {
            id("order", &e.order)?;
            words("reason", e.reason.as_deref().unwrap_or_default(), 1000)?;
            maybe_id("channel", e.channel.as_deref())?;
            for l in &e.lines {
                id("sku", &l.sku)?;
                within("quantity", l.quantity, 1, MAX_QUANTITY)?;
                within("picked", l.picked, 0, l.quantity)?;
                within("given_up", l.given_up, 0, l.quantity - l.picked)?;
                within("the number of substitutes", l.substitutes.len(), 0, 20)?;
                l.substitutes.iter().try_for_each(|s| id("substitute", s))?;
                maybe_id("instead_of", l.instead_of.as_deref())?;
                l.unit_price_minor.map_or(Ok(()), |price| amount("unit_price_minor", price))?;
            }
            if let Some(question) = &e.question {
                id("question.sku", &question.sku)?;
                within("question.missing", question.missing, 1, MAX_QUANTITY)?;
                maybe_id("question.substitute", question.substitute.as_deref())?;
            }
            if let Some(money) = &e.money {
                currency(&money.currency)?;
                amount("money.amount_minor", money.amount_minor)?;
                within("money.released_minor", money.released_minor, 0, money.amount_minor)?;
                maybe_id("money.reference", money.reference.as_deref())?;
            }
            each_once("sku", e.lines.iter().map(|l| l.sku.as_str()))
        }
        EventBody::TaskChanged(e) => {
            id("task", &e.task)?;
            maybe_id("order", e.order.as_deref())?;
            id("sku", &e.sku)?;
            within("quantity", e.quantity, 1, MAX_QUANTITY)?;
            id("plate", &e.plate)?;
            maybe_id("assignee", e.assignee.as_deref())?;
            words("reason", e.reason.as_deref().unwrap_or_default(), 1000)
        }
        EventBody::ContestChanged(e) => {
            id("contest", &e.contest)?;
            id("visit", &e.visit)?;
            id("sku", &e.sku)?;
            currency(&e.currency)?;
            amount("amount_minor", e.amount_minor)
        }
        EventBody::PriceRulesChanged(e) => currency(&e.rules.currency),
        EventBody::ReceiptPriced(e) => {
            id("visit", &e.visit)?;
            id("closed_source", &e.closed_source)?;
            currency(&e.currency)?;
            within("closed_seq", e.closed_seq, 1, i64::MAX as u64)?;
            within("charge_minor", e.charge_minor, 0, i64::MAX)?;
            within("in_review_minor", e.in_review_minor, 0, i64::MAX)?;
            for l in &e.lines {
                id("sku", &l.sku)?;
                id("seller", &l.seller)?;
                l.unit_price_minor.map_or(Ok(()), |minor| amount("unit_price_minor", minor))?;
                within("amount_minor", l.amount_minor, 0, i64::MAX)?;
                within("tax_minor", l.tax_minor, 0, l.amount_minor)?;
            }
            each_once("sku", e.lines.iter().map(|l| l.sku.as_str()))
        }
        EventBody::InsightsTold(_) | EventBody::CommandAnswered(_) | EventBody::ShopperForgotten(_) => Ok(()),
    }
}
