//! Reservations: which plate each line is picked from, and what happens when a shopper was quicker.
//!
//! [`plan`] is a function of what is: orders, their tasks, and the stock that shoppers draw from at the same time. It is
//! called whenever one of these has changed, and returns only what has to change; called again on its own result it
//! returns nothing. An active pick reserves its items. The steps, the most urgent order first:
//!
//! 1. Where less lies on a plate than is reserved there, the least urgent reservations that nobody is fetching yet are
//!    released.
//! 2. What a line lacks is reserved where most lies; plates that nobody has counted come last, plates where this order
//!    has failed before never again.
//! 3. What cannot be reserved anywhere is substituted, asked about or given up, as the customer wants it.
//! 4. Items that were picked and are not wanted any more (a cancelled order, a pick that was called off too late) are
//!    brought back.
//!
//! The stock that is handed in leaves out what was picked already, whether or not a scale has noticed.

use std::collections::BTreeMap;

use super::{
    IfShort, MoneyState, Order, OrderLine, OrderState, Question, Stocked, Task, TaskKind, TaskState,
};
use crate::ids::{OrderId, PlateId, Sku, TaskId};
use crate::time::StoreTime;

/// The longest reason, characters.
const MAX_REASON: usize = 500;

/// The longest order id that tasks can be named after, characters.
pub const MAX_ORDER_ID_CHARS: usize = 56;

/// What the store promises itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// A question is answered this long before the promised time, or the rest comes without.
    pub answer_before_due_s: f64,
    /// A question stays open at least this long after the order came, but never beyond the promised time.
    pub answer_within_s: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { answer_before_due_s: 600.0, answer_within_s: 300.0 }
    }
}

/// What has to change: orders and tasks, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Orders that are different now.
    pub orders: Vec<Order>,
    /// Tasks that are new or different now.
    pub tasks: Vec<Task>,
}

/// Plans. `orders` are those that are not over, and cancelled ones whose items may still be about; `tasks` are all
/// tasks of these orders.
#[must_use]
pub fn plan(orders: &[Order], tasks: &[Task], stock: &[Stocked], now: StoreTime, rules: &Rules) -> Plan {
    let mut desk = Desk { orders: orders.to_vec(), tasks: tasks.to_vec(), stock, now, rules };
    desk.release_overbooked();
    let mut by_urgency: Vec<usize> = (0..orders.len()).collect();
    by_urgency.sort_by(|a, b| (orders[*a].due, &orders[*a].id).cmp(&(orders[*b].due, &orders[*b].id)));
    // What a cancelled order lets go may be what a more urgent one lacks; each round ends at least one order.
    for _ in 0..=orders.len() {
        let before = (desk.orders.clone(), desk.tasks.clone());
        for &i in &by_urgency {
            match desk.orders[i].state {
                OrderState::Received | OrderState::Picking | OrderState::Asking => desk.provide(i),
                OrderState::Cancelled => desk.call_off(i),
                OrderState::Ready | OrderState::OnTheWay | OrderState::HandedOver => {}
            }
            desk.bring_back(i);
        }
        desk.offer_substitutes();
        if (&desk.orders, &desk.tasks) == (&before.0, &before.1) {
            break;
        }
    }
    let changed_orders = desk.orders.into_iter().zip(orders).filter(|(new, old)| new != *old);
    let known = tasks.len();
    let changed_tasks =
        desk.tasks.into_iter().enumerate().filter(|(i, task)| *i >= known || *task != tasks[*i]);
    Plan {
        orders: changed_orders.map(|(new, _)| new).collect(),
        tasks: changed_tasks.map(|(_, task)| task).collect(),
    }
}

struct Desk<'d> {
    orders: Vec<Order>,
    tasks: Vec<Task>,
    stock: &'d [Stocked],
    now: StoreTime,
    rules: &'d Rules,
}

impl Desk<'_> {
    /// A shopper took what was reserved: whoever is least urgent has to look elsewhere.
    fn release_overbooked(&mut self) {
        let due: BTreeMap<OrderId, StoreTime> = self.orders.iter().map(|o| (o.id.clone(), o.due)).collect();
        for stocked in self.stock {
            let Some(lies) = stocked.quantity else { continue };
            let mut booked: Vec<usize> = (0..self.tasks.len())
                .filter(|i| {
                    let t = &self.tasks[*i];
                    let unfetched = matches!(t.state, TaskState::Waiting | TaskState::Assigned);
                    unfetched && t.kind == TaskKind::Pick && t.plate == stocked.plate && t.sku == stocked.sku
                })
                .collect();
            let urgency = |i: &usize| {
                let task = &self.tasks[*i];
                (task.order.as_ref().and_then(|o| due.get(o)).copied(), task.id.clone())
            };
            booked.sort_by_key(urgency);
            let mut reserved: i64 = booked.iter().map(|i| i64::from(self.tasks[*i].quantity)).sum();
            while reserved > lies.max(0)
                && let Some(i) = booked.pop()
            {
                reserved -= i64::from(self.tasks[i].quantity);
                self.change(i, TaskState::Cancelled, "a shopper was quicker");
            }
        }
    }

    fn change(&mut self, task: usize, state: TaskState, reason: &str) {
        let task = &mut self.tasks[task];
        task.state = state;
        task.reason = Some(reason.to_owned());
        task.changed = self.now;
    }

    fn of_order<'a>(&'a self, order: &'a OrderId) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |t| t.order.as_ref() == Some(order))
    }

    /// How many of a product this order's tasks of a kind and state hold.
    fn count(&self, order: &OrderId, sku: &Sku, kind: TaskKind, state: impl Fn(TaskState) -> bool) -> u32 {
        self.of_order(order)
            .filter(|t| t.kind == kind && t.sku == *sku && state(t.state))
            .fold(0, |sum, t| sum.saturating_add(t.quantity))
    }

    /// How many on a plate are nobody's yet; `None` = nobody has counted.
    fn free(&self, stocked: &Stocked) -> Option<i64> {
        let lies = stocked.quantity?;
        let gone = self
            .tasks
            .iter()
            .filter(|t| t.kind == TaskKind::Pick && t.plate == stocked.plate && t.sku == stocked.sku)
            .filter(|t| t.state.is_active())
            .map(|t| i64::from(t.quantity))
            .sum::<i64>();
        Some((lies - gone).max(0))
    }

    /// Reserves up to `need` of a product; returns what is lacking.
    fn reserve(&mut self, order: &OrderId, sku: &Sku, mut need: u32) -> u32 {
        let failed: Vec<PlateId> = self
            .of_order(order)
            .filter(|t| t.kind == TaskKind::Pick && t.sku == *sku && t.state == TaskState::Failed)
            .map(|t| t.plate.clone())
            .collect();
        let mut places: Vec<(Option<i64>, PlateId)> = self
            .stock
            .iter()
            .filter(|s| s.sku == *sku && !failed.contains(&s.plate))
            .map(|s| (self.free(s), s.plate.clone()))
            .collect();
        // Most first: the fewest stops. What nobody has counted sorts last.
        places.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        for (free, plate) in places {
            let here = free.map_or(need, |free| u32::try_from(free).unwrap_or(u32::MAX).min(need));
            if here == 0 {
                continue;
            }
            if !self.add(order, TaskKind::Pick, sku, here, plate) {
                break;
            }
            need -= here;
            if need == 0 {
                break;
            }
        }
        need
    }

    fn add(&mut self, order: &OrderId, kind: TaskKind, sku: &Sku, quantity: u32, plate: PlateId) -> bool {
        let number = self.of_order(order).count() + 1;
        let Ok(id) = TaskId::new(format!("{order}-{number}")) else { return false };
        self.tasks.push(Task {
            id,
            kind,
            order: Some(order.clone()),
            sku: sku.clone(),
            quantity,
            plate,
            assignee: None,
            state: TaskState::Waiting,
            reason: None,
            changed: self.now,
        });
        true
    }

    /// Releases picks beyond what is still wanted: one that had been called off was brought nevertheless. What somebody
    /// is fetching already comes, and goes back. Returns how many are being picked.
    fn release_surplus(&mut self, order: &OrderId, sku: &Sku, still: u32) -> u32 {
        let mut active = self.count(order, sku, TaskKind::Pick, TaskState::is_active);
        for t in (0..self.tasks.len()).rev() {
            let task = &self.tasks[t];
            let unfetched = matches!(task.state, TaskState::Waiting | TaskState::Assigned);
            let this = task.order.as_ref() == Some(order) && task.sku == *sku && task.kind == TaskKind::Pick;
            if active > still && unfetched && this {
                active -= task.quantity;
                self.change(t, TaskState::Cancelled, "enough is picked");
            }
        }
        active
    }

    /// Sees to everything that an open order lacks.
    fn provide(&mut self, i: usize) {
        let id = self.orders[i].id.clone();
        let mut question = None;
        let mut at = 0;
        // Substitutes are added behind the line that they stand in for, and come to their turn.
        while at < self.orders[i].lines.len() {
            let sku = self.orders[i].lines[at].sku.clone();
            let done = self.count(&id, &sku, TaskKind::Pick, |s| s == TaskState::Done);
            let given_up = self.orders[i].lines[at].given_up;
            let still = self.orders[i].lines[at].quantity.saturating_sub(given_up).saturating_sub(done);
            let active = self.release_surplus(&id, &sku, still);
            let line = &mut self.orders[i].lines[at];
            let wanted = line.quantity - line.given_up.min(line.quantity);
            line.picked = done.min(wanted);
            let need = wanted.saturating_sub(line.picked).saturating_sub(active);
            let missing = if need > 0 { self.reserve(&id, &sku, need) } else { 0 };
            if missing > 0 {
                let asks = self.short(i, at, missing);
                if self.orders[i].state == OrderState::Cancelled {
                    self.call_off(i);
                    return;
                }
                question = question.or(asks);
            }
            at += 1;
        }
        self.orders[i].question = question;
        self.conclude(i);
    }

    /// Something is missing. Returns the question that the customer is asked.
    fn short(&mut self, i: usize, at: usize, missing: u32) -> Option<Question> {
        let order = &self.orders[i];
        let line = &order.lines[at];
        let sku = line.sku.clone();
        match order.if_short {
            IfShort::Ask => {
                let until = order
                    .due
                    .plus_s(-self.rules.answer_before_due_s)
                    .max(order.placed.plus_s(self.rules.answer_within_s).min(order.due));
                if self.now < until {
                    return Some(Question { sku, missing, substitute: None, until });
                }
                self.give_up(i, at, missing, "left out: nobody answered in time");
            }
            IfShort::Substitute => {
                let mut missing = missing;
                while missing > 0
                    && let Some(instead) =
                        self.orders[i].lines[at].substitutes.iter().find(|s| self.available(s) > 0).cloned()
                {
                    let some = u32::try_from(self.available(&instead)).unwrap_or(u32::MAX).min(missing);
                    substitute(&mut self.orders[i], at, &instead, some);
                    missing -= some;
                    // Reserved at once, so that the next look at what is available sees it.
                    let id = self.orders[i].id.clone();
                    if self.reserve(&id, &instead, some) > 0 {
                        break;
                    }
                }
                if missing > 0 {
                    self.give_up(i, at, missing, "left out: none is left");
                }
            }
            IfShort::Partial => self.give_up(i, at, missing, "left out: none is left"),
            IfShort::Cancel => {
                let why = format!("cancelled: {missing} of {sku} are missing, and all or nothing was wanted");
                cancel(&mut self.orders[i], &why);
            }
        }
        None
    }

    /// Names in each question what is left when everybody has reserved.
    fn offer_substitutes(&mut self) {
        for i in 0..self.orders.len() {
            let order = &self.orders[i];
            let Some(question) = &order.question else { continue };
            let line = order.lines.iter().find(|l| l.sku == question.sku);
            let first = line.and_then(|l| l.substitutes.iter().find(|s| self.available(s) > 0)).cloned();
            if let Some(question) = &mut self.orders[i].question {
                question.substitute = first;
            }
        }
    }

    fn give_up(&mut self, i: usize, at: usize, missing: u32, why: &str) {
        let order = &mut self.orders[i];
        let line = &mut order.lines[at];
        line.given_up = line.given_up.saturating_add(missing).min(line.quantity);
        let note = format!("{missing} of {} {why}", line.sku);
        say(&mut order.reason, &note);
    }

    /// How many of a product could be reserved; only where somebody has counted.
    fn available(&self, sku: &Sku) -> i64 {
        self.stock.iter().filter(|s| s.sku == *sku).filter_map(|s| self.free(s)).sum()
    }

    /// What state follows from its lines.
    fn conclude(&mut self, i: usize) {
        let begun = self.of_order(&self.orders[i].id).any(|t| t.kind == TaskKind::Pick);
        let order = &mut self.orders[i];
        let settled = order.lines.iter().all(|l| l.picked + l.given_up >= l.quantity);
        order.state = if order.question.is_some() {
            OrderState::Asking
        } else if settled && order.lines.iter().all(|l| l.picked == 0) {
            cancel(order, "cancelled: nothing of it could be picked");
            OrderState::Cancelled
        } else if settled {
            OrderState::Ready
        } else if begun {
            OrderState::Picking
        } else {
            OrderState::Received
        };
    }

    /// A cancelled order holds nothing.
    fn call_off(&mut self, i: usize) {
        let id = self.orders[i].id.clone();
        for t in 0..self.tasks.len() {
            let task = &self.tasks[t];
            if task.order.as_ref() == Some(&id) && task.kind == TaskKind::Pick && task.state.is_active() {
                self.change(t, TaskState::Cancelled, "the order was cancelled");
            }
        }
    }

    /// What was picked and nobody gets goes back to where it came from.
    fn bring_back(&mut self, i: usize) {
        let order = &self.orders[i];
        let (id, over) = (order.id.clone(), order.state == OrderState::Cancelled);
        let mut skus: Vec<Sku> = self.of_order(&id).map(|t| t.sku.clone()).collect();
        skus.sort();
        skus.dedup();
        for sku in skus {
            let done = self.count(&id, &sku, TaskKind::Pick, |s| s == TaskState::Done);
            let back = self.count(&id, &sku, TaskKind::Return, |s| s != TaskState::Cancelled);
            let kept = if over {
                0
            } else {
                self.orders[i].lines.iter().find(|l| l.sku == sku).map_or(0, |l| l.picked)
            };
            let surplus = done.saturating_sub(kept).saturating_sub(back);
            let from = self
                .of_order(&id)
                .filter(|t| t.kind == TaskKind::Pick && t.sku == sku && t.state == TaskState::Done)
                .map(|t| t.plate.clone())
                .last();
            if surplus > 0
                && let Some(plate) = from
            {
                self.add(&id, TaskKind::Return, &sku, surplus, plate);
            }
        }
    }
}

/// Some of a line become another product. The customer never pays more for it.
pub(super) fn substitute(order: &mut Order, at: usize, instead: &Sku, some: u32) {
    let line = &mut order.lines[at];
    let (sku, unit_price) = (line.sku.clone(), line.unit_price);
    line.given_up = line.given_up.saturating_add(some).min(line.quantity);
    match order.lines.iter_mut().find(|l| l.sku == *instead) {
        Some(same) => same.quantity = same.quantity.saturating_add(some),
        None => order.lines.push(OrderLine {
            sku: instead.clone(),
            quantity: some,
            picked: 0,
            given_up: 0,
            substitutes: Vec::new(),
            instead_of: Some(sku.clone()),
            unit_price,
        }),
    }
    say(&mut order.reason, &format!("{some} of {sku} become {instead}"));
}

/// Calls an order off; its money goes back.
pub(super) fn cancel(order: &mut Order, why: &str) {
    order.state = OrderState::Cancelled;
    order.question = None;
    say(&mut order.reason, why);
    if let Some(money) = &mut order.money {
        money.state = MoneyState::Returned;
    }
}

/// Adds to what is said about an order, as far as there is room.
pub(super) fn say(reason: &mut Option<String>, what: &str) {
    let said = reason.take().map_or_else(|| what.to_owned(), |before| format!("{before}; {what}"));
    *reason = Some(said.chars().take(MAX_REASON).collect());
}
