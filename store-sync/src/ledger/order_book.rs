//! The order book: takes orders, plans them against the stock, and writes what follows as the ledger's own events.
//!
//! Everything is decided from the projections ([`linefree_domain::orders::plan`]) inside one transaction, so that a crash
//! at any moment leaves an order either as it was or as it is to be; planning again does what is missing.

use std::path::Path;

use linefree_bus::payload::{EventBody, OrderChanged, TaskChanged, TaskKind, TaskState};
use linefree_domain::ids::{PlateId, Sku};
use linefree_domain::orders::plan::{Plan, Rules, plan};
use linefree_domain::orders::steps::{self, Answer};
use linefree_domain::orders::{Order, Stocked, Task};
use linefree_domain::time::StoreTime;
use uuid::Uuid;

use super::commands::{Decision, StoreFacts, sound};
use super::decider::Decider;
use super::facts::known_facings;
use super::new_orders::{order_received, step, task_body};
use super::order_rows::{order_of, task_of, told_order, told_task};
use super::{LedgerError, LedgerReader, OrderRow};
use crate::cloud::command::NewOrder;

/// What whoever works on a task says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskUpdate {
    /// The task.
    pub task: String,
    /// How far it has come.
    pub state: TaskState,
    /// Who has it: `manufacturer/serialNumber`, [`STAFF`](crate::robots::STAFF), or nobody.
    pub assignee: Option<String>,
    /// Why, where it needs saying.
    pub reason: Option<String>,
}

/// An order that is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it is.
    pub order: OrderRow,
    /// It was not here before.
    pub is_new: bool,
    /// The place of its event; 0 when it was here.
    pub ledger_seq: u64,
}

/// Writes what becomes of orders and tasks.
#[derive(Debug)]
pub struct OrderBook {
    decider: Decider,
    rules: Rules,
    /// Up to this event nothing had to change at the last look, and nothing will before this moment without another one.
    quiet: Option<(u64, i64)>,
    /// What nobody can plan, as it was last told.
    odd: Vec<String>,
}

/// What planning looks at.
struct Looked {
    orders: Vec<(Order, Option<String>)>,
    tasks: Vec<Task>,
    stock: Vec<Stocked>,
    /// Orders and tasks that the core cannot take, and why: nobody plans them.
    odd: Vec<String>,
}

impl OrderBook {
    /// Of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, facts: StoreFacts) -> Result<Self, LedgerError> {
        let decider = Decider::open(ledger, facts)?;
        Ok(Self { decider, rules: Rules::default(), quiet: None, odd: Vec::new() })
    }

    /// Reads what is there.
    #[must_use]
    pub fn reader(&self) -> &LedgerReader {
        &self.decider.reader
    }

    /// Takes an order. The same order again is the order that is here.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn take(&mut self, new: &NewOrder, now_us: i64) -> Result<Taken, LedgerError> {
        let facts = self.decider.facts.clone();
        let mut is_new = false;
        let mut made = None;
        let ledger_seq = self.decider.decide(now_us, |tx, reader| {
            Ok(order_received(tx, reader, &facts, new, now_us)?.map(|(bodies, first)| {
                is_new = first;
                if let Some(EventBody::OrderChanged(order)) = bodies.first() {
                    made = Some(OrderChanged::clone(order));
                }
                bodies
            }))
        })?;
        let order = match made {
            Some(order) => OrderRow { order, changed_us: now_us },
            None => self
                .decider
                .reader
                .order(&new.order)?
                .ok_or_else(|| LedgerError::Busy("the order is not to be found"))?,
        };
        Ok(Taken { order, is_new, ledger_seq })
    }

    /// The customer has answered. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn answer(&mut self, order: &str, answer: Answer, now_us: i64) -> Result<u64, LedgerError> {
        self.decider.decide(now_us, |_, reader| step(reader, order, |o| steps::answer(o, answer)))
    }

    /// Calls an order off. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn call_off(&mut self, order: &str, why: &str, now_us: i64) -> Result<u64, LedgerError> {
        self.decider.decide(now_us, |_, reader| step(reader, order, |o| steps::call_off(o, why)))
    }

    /// A courier or agent has it. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn collect(&mut self, order: &str, now_us: i64) -> Result<u64, LedgerError> {
        self.decider.decide(now_us, |_, reader| step(reader, order, steps::collect))
    }

    /// The customer has it: whoever calls has checked their code. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn hand_over(&mut self, order: &str, now_us: i64) -> Result<u64, LedgerError> {
        self.decider.decide(now_us, |_, reader| step(reader, order, steps::hand_over))
    }

    /// The store's own work: fill up, tidy, bring back. Returns the event's place.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn add_task(
        &mut self,
        kind: TaskKind,
        sku: &str,
        quantity: u32,
        plate: &str,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        let checked = if kind == TaskKind::Pick {
            Err("picks follow from orders: place one".to_owned())
        } else {
            self.decider.known(plate, sku)?
        };
        let task = TaskChanged {
            task: format!("t-{}", Uuid::now_v7()),
            task_kind: kind,
            order: None,
            sku: sku.to_owned(),
            quantity,
            plate: plate.to_owned(),
            assignee: None,
            state: TaskState::Waiting,
            reason: None,
        };
        self.decider.decide(now_us, |_, _| Ok(checked.and_then(|()| task_body(task))))
    }

    /// Whoever works on a task tells how far it is. What is known already writes nothing. An item that was picked is
    /// picked, even when the task had been called off; nothing else wakes a task that is over. Returns the event's
    /// place, 0 when there is none.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason.
    pub fn tell(&mut self, update: &TaskUpdate, now_us: i64) -> Result<u64, LedgerError> {
        self.decider.decide(now_us, |_, reader| {
            let Some(row) = reader.task(&update.task)? else {
                return Ok(Err(format!("this store has no task {:?}", update.task)));
            };
            let before = row.task;
            let over = matches!(before.state, TaskState::Done | TaskState::Failed | TaskState::Cancelled);
            let late = update.state == TaskState::Done && before.state != TaskState::Done;
            let known = before.state == update.state && before.assignee == update.assignee;
            if known || (over && !late) {
                return Ok(Ok(Vec::new()));
            }
            Ok(task_body(TaskChanged {
                state: update.state,
                assignee: update.assignee.clone(),
                reason: update.reason.clone(),
                ..before
            }))
        })
    }

    fn look(reader: &LedgerReader, facts: &StoreFacts, now_us: i64) -> Result<Looked, LedgerError> {
        let mut looked = Looked { orders: Vec::new(), tasks: Vec::new(), stock: Vec::new(), odd: Vec::new() };
        for row in reader.open_orders(now_us)? {
            let tasks: Result<Vec<Task>, String> =
                reader.tasks_of(&row.order.order)?.iter().map(task_of).collect();
            match (order_of(&row), tasks) {
                (Ok(order), Ok(tasks)) => {
                    looked.orders.push(order);
                    looked.tasks.extend(tasks);
                }
                (Err(why), _) | (_, Err(why)) => {
                    looked.odd.push(format!("order {:?}: {why}", row.order.order));
                }
            }
        }
        if looked.orders.is_empty() {
            // Stock is a sum over many shelf events: not asked for without need.
            return Ok(looked);
        }
        let ids = |plate: &str, sku: &str| Some((PlateId::new(plate).ok()?, Sku::new(sku).ok()?));
        let counted = reader.stock(u32::MAX)?;
        for (plate, sku) in &known_facings(&reader.conn, facts)? {
            let is_counted = counted.iter().any(|s| s.plate == *plate);
            if let (false, Some((plate, sku))) = (is_counted, ids(plate, sku)) {
                looked.stock.push(Stocked { plate, sku, quantity: None });
            }
        }
        for row in counted {
            if let Some((plate, sku)) = ids(&row.plate, &row.sku) {
                looked.stock.push(Stocked { plate, sku, quantity: Some(row.quantity) });
            }
        }
        Ok(looked)
    }

    fn planned(looked: &Looked, rules: &Rules, now_us: i64) -> Plan {
        let orders: Vec<Order> = looked.orders.iter().map(|(order, _)| order.clone()).collect();
        plan(&orders, &looked.tasks, &looked.stock, StoreTime::from_micros(now_us), rules)
    }

    /// Plans every open order; looks at nothing when no event came and no question has run out. Returns the place of the
    /// last event, 0 when nothing had to change.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is written then.
    pub fn plan(&mut self, now_us: i64) -> Result<u64, LedgerError> {
        let seq = self.decider.reader.projected_seq()?;
        if self.quiet.is_some_and(|(at, until_us)| at == seq && now_us < until_us) {
            return Ok(0);
        }
        let rules = self.rules;
        let facts = self.decider.facts.clone();
        let looked = Self::look(&self.decider.reader, &facts, now_us)?;
        self.tell_odd(&looked.odd);
        let current = seq >= self.decider.reader.last_seq()?;
        if current && Self::planned(&looked, &rules, now_us) == Plan::default() {
            let questions = looked.orders.iter().filter_map(|(order, _)| order.question.as_ref());
            self.quiet = Some((seq, questions.map(|q| q.until.micros).min().unwrap_or(i64::MAX)));
            return Ok(0);
        }
        if looked.orders.is_empty() {
            return Ok(0);
        }
        self.decider.decide(now_us, |_, reader| {
            let looked = Self::look(reader, &facts, now_us)?;
            let made = Self::planned(&looked, &rules, now_us);
            let channel = |order: &Order| {
                looked.orders.iter().find(|(o, _)| o.id == order.id).and_then(|(_, c)| c.clone())
            };
            // Tasks first: an order never says that it is being picked before there is something to pick.
            let tasks = made.tasks.iter().map(|t| task_body(told_task(t)));
            let orders = made
                .orders
                .iter()
                .map(|o| sound(EventBody::OrderChanged(Box::new(told_order(o, channel(o))))));
            let all: Result<Vec<Vec<EventBody>>, String> = tasks.chain(orders).collect();
            let bodies: Decision = all.map(|bodies| bodies.into_iter().flatten().collect());
            Ok(bodies)
        })
    }

    /// Says which orders nobody plans, when they are others than before.
    fn tell_odd(&mut self, odd: &[String]) {
        if self.odd != odd {
            for why in odd {
                tracing::warn!("cannot be planned: {why}");
            }
            self.odd = odd.to_vec();
        }
    }
}
