//! Events of online orders and of what robots and people do for them. Each says its whole state, never a difference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

/// How the customer gets an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// From a locker, with the code.
    Locker,
    /// At the counter.
    Counter,
    /// A courier brings it.
    Courier,
    /// An agent in the neighbourhood hands it out.
    Agent,
}

/// What the customer wants when something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfShort {
    /// To be asked.
    Ask,
    /// The substitute that the line names, without asking.
    Substitute,
    /// The rest.
    Partial,
    /// Everything or nothing.
    Cancel,
}

/// Where an order's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

/// An online order, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderChanged {
    /// The order.
    pub order: String,
    /// How far it has come.
    pub state: OrderState,
    /// Its lines, by SKU.
    pub lines: Vec<OrderLine>,
    /// Why, where it needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it was placed: the chain's app, a messaging channel, a marketplace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_us: Option<i64>,
    /// When it is promised for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_us: Option<i64>,
    /// How the customer gets it; at the counter when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// What the customer wants when something is missing; to be asked when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_short: Option<IfShort>,
    /// What the customer is being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<OrderQuestion>,
    /// Its money, where the store has to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<OrderMoney>,
}

/// One product of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The product.
    pub sku: String,
    /// How many are wanted.
    pub quantity: u32,
    /// How many are picked.
    pub picked: u32,
    /// How many the customer will not get, and knows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_up: u32,
    /// What the customer would take instead, the best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitutes: Vec<String>,
    /// What this line stands in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// What one costs the customer, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_minor: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What a customer is asked about an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderQuestion {
    /// What is missing.
    pub sku: String,
    /// How many.
    pub missing: u32,
    /// What they could have instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute: Option<String>,
    /// Without an answer by then, the rest comes without it.
    pub until_us: i64,
}

/// What an order costs, and where that money is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderMoney {
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// What was held or is due, at most, minor units.
    pub amount_minor: i64,
    /// What the store gets of it, minor units; the rest goes back.
    pub released_minor: i64,
    /// Where it is.
    pub state: MoneyState,
    /// Whoever holds it knows it by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Take items from a plate to the hand-over.
    #[default]
    Pick,
    /// Fill a plate up.
    Restock,
    /// Bring an item back to where it belongs.
    Return,
    /// Put a shelf in order.
    Tidy,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

/// Something that a robot or a person is to do, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskChanged {
    /// The task.
    pub task: String,
    /// What is to be done; a pick when left out.
    #[serde(default)]
    pub task_kind: TaskKind,
    /// The order that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// From which plate, or to which; `gondola/shelf/plate`.
    pub plate: String,
    /// Who does it: a robot's id, `staff`, or nobody yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// How far it has come.
    pub state: TaskState,
    /// Why, where it needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
