//! Online orders: what is promised, what is reserved for it on the shelves, and what becomes of it when a shopper is
//! quicker.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | reservations of plate stock, re-planned whenever stock, orders or tasks change |
//! | [`steps`] | what people and channels do to one order: answer, collect, hand over, cancel |
//! | [`reorder`] | how many of each product to order from its supplier |
//!
//! **No hidden state.** An order and its tasks are their own whole state; planning is a function of them and of the
//! stock. So a crash loses nothing: the next planning finds what is missing and does only that. **Never a silent miss:**
//! whatever cannot be picked becomes a question to the customer, a substitute that the customer allowed, or a part that is
//! given up with a reason.

pub mod plan;
pub mod reorder;
pub mod steps;

use crate::ids::{OrderId, PlateId, Sku, TaskId};
use crate::time::StoreTime;
use crate::units::{Currency, Money};

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// The store has it.
    Received,
    /// It is being picked.
    Picking,
    /// Something is missing, and the customer is asked.
    Asking,
    /// Everything that could be picked is.
    Ready,
    /// A courier or agent has it.
    OnTheWay,
    /// The customer has it.
    HandedOver,
    /// It was called off.
    Cancelled,
}

impl OrderState {
    /// Nothing can change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::HandedOver | Self::Cancelled)
    }
}

/// How the customer gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverKind {
    /// From a locker, with the code.
    Locker,
    /// At the counter.
    Counter,
    /// A courier brings it.
    Courier,
    /// An agent in the neighbourhood hands it out.
    Agent,
}

impl HandoverKind {
    /// Somebody carries it out of the store before the customer has it.
    #[must_use]
    pub fn is_carried(self) -> bool {
        matches!(self, Self::Courier | Self::Agent)
    }
}

/// What the customer wants when something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfShort {
    /// To be asked.
    Ask,
    /// The substitute that the line names, without asking; without one, as [`IfShort::Partial`].
    Substitute,
    /// The rest.
    Partial,
    /// Everything or nothing.
    Cancel,
}

/// One product of an order. `picked + given_up <= quantity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// The product.
    pub sku: Sku,
    /// How many are wanted.
    pub quantity: u32,
    /// How many are picked.
    pub picked: u32,
    /// How many the customer will not get, and knows.
    pub given_up: u32,
    /// What the customer would take instead, the best first.
    pub substitutes: Vec<Sku>,
    /// What this line stands in for.
    pub instead_of: Option<Sku>,
    /// What one costs the customer.
    pub unit_price: Option<Money>,
}

/// What the customer is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is missing.
    pub sku: Sku,
    /// How many.
    pub missing: u32,
    /// What they could have instead.
    pub substitute: Option<Sku>,
    /// Without an answer by then, the rest comes without it.
    pub until: StoreTime,
}

/// Where the customer's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyState {
    /// Nobody has it yet: it is collected at the hand-over.
    Due,
    /// In escrow: neither the customer's nor the store's until the hand-over.
    Held,
    /// The store's.
    Released,
    /// The customer's again.
    Returned,
}

/// What an order costs, and where that money is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderMoney {
    /// Currency of all amounts.
    pub currency: Currency,
    /// What was held or is due, at most.
    pub amount: Money,
    /// What the store gets of it; the rest goes back. Known at the hand-over.
    pub released: Money,
    /// Where it is.
    pub state: MoneyState,
    /// Whoever holds it knows it by this.
    pub reference: Option<String>,
}

/// An online order, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// How far it has come.
    pub state: OrderState,
    /// When it came.
    pub placed: StoreTime,
    /// When it is promised for.
    pub due: StoreTime,
    /// How the customer gets it.
    pub handover: HandoverKind,
    /// What to do when something is missing.
    pub if_short: IfShort,
    /// Its lines, each product once.
    pub lines: Vec<OrderLine>,
    /// What the customer is being asked.
    pub question: Option<Question>,
    /// Its money, where the store has to do with it.
    pub money: Option<OrderMoney>,
    /// Why it is as it is, for people.
    pub reason: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Take items from a plate to the hand-over.
    Pick,
    /// Fill a plate up.
    Restock,
    /// Bring an item back to where it belongs.
    Return,
    /// Put a shelf in order.
    Tidy,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Nobody has it yet.
    Waiting,
    /// A robot or a person has it.
    Assigned,
    /// Under way.
    Underway,
    /// Done.
    Done,
    /// Given up; a reason says why.
    Failed,
    /// Called off.
    Cancelled,
}

impl TaskState {
    /// It holds its items for its order.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Assigned | Self::Underway)
    }
}

/// Something that a robot or a person is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What is to be done.
    pub kind: TaskKind,
    /// For which order, if for one.
    pub order: Option<OrderId>,
    /// The product.
    pub sku: Sku,
    /// How many.
    pub quantity: u32,
    /// From which plate, or to which.
    pub plate: PlateId,
    /// Who does it: a robot's id, `staff`, or nobody yet.
    pub assignee: Option<String>,
    /// How far it has come.
    pub state: TaskState,
    /// Why it is as it is, for people.
    pub reason: Option<String>,
    /// When it last changed.
    pub changed: StoreTime,
}

/// What lies on a plate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stocked {
    /// Where.
    pub plate: PlateId,
    /// What.
    pub sku: Sku,
    /// How many, without what was picked already; `None` where the planogram says so and nobody has counted. Below 0 when
    /// more was taken than counted.
    pub quantity: Option<i64>,
}
