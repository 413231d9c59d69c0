//! What people and channels do to one order. Each step returns the order as it is then, or says why it cannot be.
//!
//! Whoever hands over has checked the customer's code before; a step only knows what state allows it.

use super::plan::{cancel, say, substitute};
use super::{MoneyState, Order, OrderState};
use crate::units::Money;

/// What the customer says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The substitute is fine.
    Substitute,
    /// The rest without it.
    LeaveOut,
    /// Then nothing at all.
    CancelOrder,
}

/// Why a step cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The order is in another state.
    #[error("order {order} is {is}: {what}")]
    Wrong {
        /// Which.
        order: String,
        /// Its state, for people.
        is: &'static str,
        /// What would be needed.
        what: &'static str,
    },
    /// There is no question, or it offers no substitute.
    #[error("order {0} {1}")]
    NoQuestion(String, &'static str),
}

/// A state, for people.
#[must_use]
pub fn name_of(state: OrderState) -> &'static str {
    match state {
        OrderState::Received => "received",
        OrderState::Picking => "being picked",
        OrderState::Asking => "waiting for the customer's answer",
        OrderState::Ready => "ready",
        OrderState::OnTheWay => "on the way",
        OrderState::HandedOver => "handed over",
        OrderState::Cancelled => "cancelled",
    }
}

fn wrong(order: &Order, what: &'static str) -> StepError {
    StepError::Wrong { order: order.id.to_string(), is: name_of(order.state), what }
}

/// The customer has answered.
///
/// # Errors
/// [`StepError`] when nobody asked, or there is no such substitute.
pub fn answer(order: &Order, answer: Answer) -> Result<Order, StepError> {
    let Some(question) = &order.question else {
        return Err(StepError::NoQuestion(order.id.to_string(), "asks nothing"));
    };
    let mut new = order.clone();
    let at = new.lines.iter().position(|l| l.sku == question.sku);
    let Some(at) = at else {
        return Err(StepError::NoQuestion(order.id.to_string(), "asks about a product that is not in it"));
    };
    match answer {
        Answer::Substitute => {
            let Some(instead) = &question.substitute else {
                return Err(StepError::NoQuestion(order.id.to_string(), "has no substitute to offer"));
            };
            substitute(&mut new, at, instead, question.missing);
        }
        Answer::LeaveOut => {
            let line = &mut new.lines[at];
            line.given_up = line.given_up.saturating_add(question.missing).min(line.quantity);
            say(&mut new.reason, &format!("{} of {} left out, as answered", question.missing, question.sku));
        }
        Answer::CancelOrder => cancel(&mut new, "cancelled by the customer"),
    }
    new.question = None;
    Ok(new)
}

/// A courier or agent has it.
///
/// # Errors
/// [`StepError`] unless it is ready and is to be carried.
pub fn collect(order: &Order) -> Result<Order, StepError> {
    if order.state != OrderState::Ready {
        return Err(wrong(order, "only what is ready can be collected"));
    }
    if !order.handover.is_carried() {
        return Err(wrong(order, "the customer fetches it; hand it over with their code"));
    }
    Ok(Order { state: OrderState::OnTheWay, ..order.clone() })
}

/// The customer has it. Money in escrow, or paid just now, is the store's as far as items were picked.
///
/// # Errors
/// [`StepError`] unless it is ready or, where somebody carries it, on the way.
pub fn hand_over(order: &Order) -> Result<Order, StepError> {
    match (order.state, order.handover.is_carried()) {
        (OrderState::OnTheWay, _) | (OrderState::Ready, false) => {}
        (OrderState::Ready, true) => return Err(wrong(order, "a courier or agent collects it first")),
        _ => return Err(wrong(order, "only what is ready can be handed over")),
    }
    let mut new = Order { state: OrderState::HandedOver, ..order.clone() };
    if let Some(money) = &mut new.money {
        // Without a price for each line only a whole order has a known price; anything else is settled by people.
        let whole = order.lines.iter().all(|l| l.picked == l.quantity);
        money.released = match picked_worth(order) {
            Some(worth) => worth.min(money.amount),
            None if whole => money.amount,
            None => {
                say(&mut new.reason, "not everything was picked and a price is unknown: settle by hand");
                Money::from_minor(0)
            }
        };
        money.state = MoneyState::Released;
    }
    Ok(new)
}

/// Calls it off.
///
/// # Errors
/// [`StepError`] when it is over already, or on the way.
pub fn call_off(order: &Order, why: &str) -> Result<Order, StepError> {
    if order.state.is_over() || order.state == OrderState::OnTheWay {
        return Err(wrong(order, "it cannot be called off any more"));
    }
    let mut new = order.clone();
    cancel(&mut new, why);
    Ok(new)
}

/// What the picked items cost; `None` when a price is missing or the sum is beyond all measure.
fn picked_worth(order: &Order) -> Option<Money> {
    order
        .lines
        .iter()
        .try_fold(Money::from_minor(0), |sum, line| sum.plus(line.unit_price?.times(line.picked)?))
}
