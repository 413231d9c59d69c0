//! Orders as they come in, from the cloud or a channel, and single steps of orders.
//!
//! **Never guess.** An order with an unknown product, a promise in the past, or money that is not what its lines come to is
//! refused with the field named. The same order again is the order that is here.

use linefree_bus::payload::{
    EventBody, MoneyState, OrderChanged, OrderLine, OrderMoney, OrderState, TaskChanged,
};
use linefree_domain::orders::Order;
use linefree_domain::orders::plan::MAX_ORDER_ID_CHARS;
use linefree_domain::orders::steps::StepError;
use linefree_domain::time::StoreTime;
use rusqlite::Transaction;

use super::commands::{Decision, StoreFacts, each_once, sound};
use super::facts::{known_prices, known_skus};
use super::order_rows::{DEFAULT_PROMISE_S, order_of, told_order};
use super::{LedgerError, LedgerReader};
use crate::cloud::command::{NewOrder, NewPayment};

/// Most of one product in one order.
const MAX_QUANTITY: u32 = 10_000;

/// Decides about a new order. Gives what is to be written, and whether the order is new; the same order again writes
/// nothing.
pub(super) fn order_received(
    tx: &Transaction<'_>,
    reader: &LedgerReader,
    facts: &StoreFacts,
    new: &NewOrder,
    now_us: i64,
) -> Result<Result<(Vec<EventBody>, bool), String>, LedgerError> {
    let known = known_skus(tx, facts)?;
    let prices = known_prices(tx, facts)?;
    let made = made_of(new, facts, now_us, |sku| known.contains(sku), |sku| prices.get(sku).copied());
    let made = match made {
        Ok(made) => made,
        Err(why) => return Ok(Err(why)),
    };
    if let Some(here) = reader.order(&new.order)? {
        return Ok(if is_same(&here.order, &made, new) {
            Ok((Vec::new(), false))
        } else {
            Err(format!("order {:?} is here already, with another content", new.order))
        });
    }
    Ok(sound(EventBody::OrderChanged(Box::new(made))).map(|bodies| (bodies, true)))
}

/// The order that a caller's words make.
fn made_of(
    new: &NewOrder,
    facts: &StoreFacts,
    now_us: i64,
    is_known: impl Fn(&str) -> bool,
    price_minor: impl Fn(&str) -> Option<i64>,
) -> Result<OrderChanged, String> {
    let chars = new.order.chars().count();
    if chars == 0 || chars > MAX_ORDER_ID_CHARS || new.order.chars().any(char::is_control) {
        return Err(format!(
            "order: an id has 1 to {MAX_ORDER_ID_CHARS} characters and no control character"
        ));
    }
    let due_us =
        new.due_us.unwrap_or_else(|| StoreTime::from_micros(now_us).plus_s(DEFAULT_PROMISE_S).micros);
    if due_us <= now_us {
        return Err("due_us is in the past: this store cannot keep that promise".to_owned());
    }
    each_once("lines", new.lines.iter().map(|l| l.sku.as_str()))?;
    let mut lines = Vec::with_capacity(new.lines.len());
    for (i, wanted) in new.lines.iter().enumerate() {
        for (field, sku) in
            std::iter::once(("sku", &wanted.sku)).chain(wanted.substitutes.iter().map(|s| ("substitutes", s)))
        {
            if !is_known(sku) {
                return Err(format!("lines[{i}].{field}: this store has no product {sku:?}"));
            }
        }
        if wanted.quantity == 0 || wanted.quantity > MAX_QUANTITY {
            return Err(format!(
                "lines[{i}].quantity is {}: 1 to {MAX_QUANTITY} is allowed",
                wanted.quantity
            ));
        }
        let unit_price_minor = wanted.unit_price_minor.or_else(|| price_minor(&wanted.sku));
        if unit_price_minor.is_some_and(|p| p < 0) {
            return Err(format!("lines[{i}].unit_price_minor is negative"));
        }
        lines.push(OrderLine {
            sku: wanted.sku.clone(),
            quantity: wanted.quantity,
            picked: 0,
            given_up: 0,
            substitutes: wanted.substitutes.clone(),
            instead_of: None,
            unit_price_minor,
        });
    }
    let money = new.payment.as_ref().map(|p| money_of(p, facts, &lines)).transpose()?;
    Ok(OrderChanged {
        order: new.order.clone(),
        state: OrderState::Received,
        lines,
        reason: None,
        channel: new.channel.clone(),
        placed_us: Some(now_us),
        due_us: Some(due_us),
        handover: new.handover,
        if_short: new.if_short,
        question: None,
        money,
    })
}

fn money_of(payment: &NewPayment, facts: &StoreFacts, lines: &[OrderLine]) -> Result<OrderMoney, String> {
    if facts.currency.as_ref().is_some_and(|own| *own != payment.currency) {
        let own = facts.currency.as_deref().unwrap_or_default();
        return Err(format!("payment.currency is {:?}, this store charges {own}", payment.currency));
    }
    let mut worth = 0_i64;
    for (i, line) in lines.iter().enumerate() {
        let Some(price) = line.unit_price_minor else {
            return Err(format!("lines[{i}].unit_price_minor: this store has no price of {:?}", line.sku));
        };
        worth = price
            .checked_mul(i64::from(line.quantity))
            .and_then(|all| worth.checked_add(all))
            .ok_or("the lines come to more than can be counted")?;
    }
    if worth != payment.amount_minor {
        return Err(format!(
            "payment.amount_minor is {}, but the lines come to {worth}",
            payment.amount_minor
        ));
    }
    Ok(OrderMoney {
        currency: payment.currency.clone(),
        amount_minor: worth,
        released_minor: 0,
        state: if payment.held { MoneyState::Held } else { MoneyState::Due },
        reference: payment.reference.clone(),
    })
}

/// Is what a caller tells again what is here? Only what the caller said is compared: what the store chose for it, and
/// what has become of it since, is the store's.
fn is_same(here: &OrderChanged, made: &OrderChanged, new: &NewOrder) -> bool {
    let told = |o: &OrderChanged| -> Vec<(String, u32, Vec<String>)> {
        let own = o.lines.iter().filter(|l| l.instead_of.is_none());
        own.map(|l| (l.sku.clone(), l.quantity, l.substitutes.clone())).collect()
    };
    let grew = |h: &(String, u32, Vec<String>), m: &(String, u32, Vec<String>)| {
        // A line grows when it also stands in for another one.
        h.0 == m.0 && h.1 >= m.1 && h.2 == m.2
    };
    let (h, m) = (told(here), told(made));
    h.len() == m.len()
        && h.iter().zip(&m).all(|(h, m)| grew(h, m))
        && here.channel == made.channel
        && (new.due_us.is_none() || here.due_us == made.due_us)
        && here.handover == made.handover.or(here.handover)
        && here.if_short == made.if_short.or(here.if_short)
        && here.money.as_ref().map(|m| (m.amount_minor, &m.reference))
            == made.money.as_ref().map(|m| (m.amount_minor, &m.reference))
}

/// One step of one order.
pub(super) fn step(
    reader: &LedgerReader,
    order: &str,
    step: impl FnOnce(&Order) -> Result<Order, StepError>,
) -> Result<Decision, LedgerError> {
    let Some(row) = reader.order(order)? else {
        return Ok(Err(format!("this store has no order {order:?}")));
    };
    let (known, channel) = match order_of(&row) {
        Ok(known) => known,
        Err(why) => return Ok(Err(format!("order {order:?} cannot be read: {why}"))),
    };
    Ok(match step(&known) {
        Ok(new) => sound(EventBody::OrderChanged(Box::new(told_order(&new, channel)))),
        Err(why) => Err(why.to_string()),
    })
}

/// A task that is told anew.
pub(super) fn task_body(task: TaskChanged) -> Decision {
    sound(EventBody::TaskChanged(task))
}
