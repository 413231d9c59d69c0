//! Orders and tasks between the core's types and the events that tell of them.

use linefree_bus::payload::{self as told, OrderChanged, TaskChanged};
use linefree_domain::ids::{OrderId, PlateId, Sku, TaskId};
use linefree_domain::orders::{
    HandoverKind, IfShort, MoneyState, Order, OrderLine, OrderMoney, OrderState, Question, Task, TaskKind,
    TaskState,
};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};

use super::read_orders::{OrderRow, TaskRow};
use super::twins::same;

/// What an order that says no promised time is promised for: seconds after it came.
pub(super) const DEFAULT_PROMISE_S: f64 = 3600.0;

same!(
    order_state,
    told_order_state,
    told::OrderState,
    OrderState,
    Received,
    Picking,
    Asking,
    Ready,
    OnTheWay,
    HandedOver,
    Cancelled
);
same!(handover, told_handover, told::Handover, HandoverKind, Locker, Counter, Courier, Agent);
same!(if_short, told_if_short, told::IfShort, IfShort, Ask, Substitute, Partial, Cancel);
same!(money_state, told_money_state, told::MoneyState, MoneyState, Due, Held, Released, Returned);
same!(task_kind, told_task_kind, told::TaskKind, TaskKind, Pick, Restock, Return, Tidy);
same!(
    task_state,
    told_task_state,
    told::TaskState,
    TaskState,
    Waiting,
    Assigned,
    Underway,
    Done,
    Failed,
    Cancelled
);

/// What a ledger holds and the core cannot take, in words.
type Odd<T> = Result<T, String>;

fn sku(text: &str) -> Odd<Sku> {
    Sku::new(text).map_err(|e| e.to_string())
}

/// An order as the core knows it, and the channel that it came through.
pub(super) fn order_of(row: &OrderRow) -> Odd<(Order, Option<String>)> {
    let OrderRow { order: e, changed_us } = row;
    let placed = StoreTime::from_micros(e.placed_us.unwrap_or(*changed_us));
    let line = |l: &told::OrderLine| -> Odd<OrderLine> {
        Ok(OrderLine {
            sku: sku(&l.sku)?,
            quantity: l.quantity,
            picked: l.picked,
            given_up: l.given_up,
            substitutes: l.substitutes.iter().map(|s| sku(s)).collect::<Odd<_>>()?,
            instead_of: l.instead_of.as_deref().map(sku).transpose()?,
            unit_price: l.unit_price_minor.map(Money::from_minor),
        })
    };
    let question = |q: &told::OrderQuestion| -> Odd<Question> {
        Ok(Question {
            sku: sku(&q.sku)?,
            missing: q.missing,
            substitute: q.substitute.as_deref().map(sku).transpose()?,
            until: StoreTime::from_micros(q.until_us),
        })
    };
    let money = |m: &told::OrderMoney| -> Odd<OrderMoney> {
        Ok(OrderMoney {
            currency: Currency::new(&m.currency).ok_or_else(|| format!("{:?} is no currency", m.currency))?,
            amount: Money::from_minor(m.amount_minor),
            released: Money::from_minor(m.released_minor),
            state: money_state(m.state),
            reference: m.reference.clone(),
        })
    };
    let order = Order {
        id: OrderId::new(&e.order).map_err(|e| e.to_string())?,
        state: order_state(e.state),
        placed,
        due: e.due_us.map_or(placed.plus_s(DEFAULT_PROMISE_S), StoreTime::from_micros),
        handover: e.handover.map_or(HandoverKind::Counter, handover),
        if_short: e.if_short.map_or(IfShort::Ask, if_short),
        lines: e.lines.iter().map(line).collect::<Odd<_>>()?,
        question: e.question.as_ref().map(question).transpose()?,
        money: e.money.as_ref().map(money).transpose()?,
        reason: e.reason.clone(),
    };
    Ok((order, e.channel.clone()))
}

/// An order as an event tells it.
pub(super) fn told_order(order: &Order, channel: Option<String>) -> OrderChanged {
    let line = |l: &OrderLine| told::OrderLine {
        sku: l.sku.to_string(),
        quantity: l.quantity,
        picked: l.picked,
        given_up: l.given_up,
        substitutes: l.substitutes.iter().map(Sku::to_string).collect(),
        instead_of: l.instead_of.as_ref().map(Sku::to_string),
        unit_price_minor: l.unit_price.map(|p| p.minor),
    };
    OrderChanged {
        order: order.id.to_string(),
        state: told_order_state(order.state),
        lines: order.lines.iter().map(line).collect(),
        reason: order.reason.clone(),
        channel,
        placed_us: Some(order.placed.micros),
        due_us: Some(order.due.micros),
        handover: Some(told_handover(order.handover)),
        if_short: Some(told_if_short(order.if_short)),
        question: order.question.as_ref().map(|q| told::OrderQuestion {
            sku: q.sku.to_string(),
            missing: q.missing,
            substitute: q.substitute.as_ref().map(Sku::to_string),
            until_us: q.until.micros,
        }),
        money: order.money.as_ref().map(|m| told::OrderMoney {
            currency: m.currency.to_string(),
            amount_minor: m.amount.minor,
            released_minor: m.released.minor,
            state: told_money_state(m.state),
            reference: m.reference.clone(),
        }),
    }
}

/// A task as the core knows it.
pub(super) fn task_of(row: &TaskRow) -> Odd<Task> {
    let TaskRow { task: e, changed_us } = row;
    Ok(Task {
        id: TaskId::new(&e.task).map_err(|e| e.to_string())?,
        kind: task_kind(e.task_kind),
        order: e.order.as_deref().map(OrderId::new).transpose().map_err(|e| e.to_string())?,
        sku: sku(&e.sku)?,
        quantity: e.quantity,
        plate: PlateId::new(&e.plate).map_err(|e| e.to_string())?,
        assignee: e.assignee.clone(),
        state: task_state(e.state),
        reason: e.reason.clone(),
        changed: StoreTime::from_micros(*changed_us),
    })
}

/// A task as an event tells it.
pub(super) fn told_task(task: &Task) -> TaskChanged {
    TaskChanged {
        task: task.id.to_string(),
        task_kind: told_task_kind(task.kind),
        order: task.order.as_ref().map(OrderId::to_string),
        sku: task.sku.to_string(),
        quantity: task.quantity,
        plate: task.plate.to_string(),
        assignee: task.assignee.clone(),
        state: told_task_state(task.state),
        reason: task.reason.clone(),
    }
}
