//! Events of what follows from a visit: answers to reviews, refunds, counts of stock, orders, robots' tasks, answers to
//! the cloud's commands, forgotten shoppers. Each says its whole state, never a difference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody looked at a receipt's line that was in review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewAnswered {
    /// The visit whose receipt holds the line.
    pub visit: String,
    /// The line's product.
    pub sku: String,
    /// How many the shopper pays for; 0 for none.
    pub quantity: u32,
    /// ISO 4217 code of the amount.
    pub currency: String,
    /// What may be charged for them, minor units.
    pub charge_minor: i64,
}

/// Money goes back to a shopper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundIssued {
    /// This refund's own id: the same id again is the same refund.
    pub refund: String,
    /// The visit that was charged.
    pub visit: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// What it is for, by SKU.
    pub lines: Vec<RefundLine>,
    /// Sum of the lines, minor units.
    pub amount_minor: i64,
    /// Why, for people.
    pub reason: String,
}

/// One product of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundLine {
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// What goes back for all of them, minor units.
    pub amount_minor: i64,
}

/// Somebody counted what lies on a plate: after filling it up, or to be sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StockCounted {
    /// `gondola/shelf/plate`.
    pub plate: String,
    /// What lies there.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// The store has it.
    Received,
    /// It is being picked.
    Picking,
    /// Everything that could be picked is.
    Ready,
    /// The customer has it.
    HandedOver,
    /// It was called off.
    Cancelled,
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
}

/// One product of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The product.
    pub sku: String,
    /// How many are wanted.
    pub quantity: u32,
    /// How many are picked.
    pub picked: u32,
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

/// One pick of an order by a robot or a person, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskChanged {
    /// The task.
    pub task: String,
    /// The order that it is for.
    pub order: String,
    /// The product to pick.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// From which plate; `gondola/shelf/plate`.
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

/// The store has decided about a command of the cloud's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandAnswered {
    /// The command.
    pub command: String,
    /// Its number among this store's commands.
    pub command_seq: u64,
    /// What it commands: `prices`, `planogram`, `order` ...
    pub command_kind: String,
    /// Its version.
    pub version: u64,
    /// Taken, or refused.
    pub accepted: bool,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A shopper's personal data was deleted. Whoever keeps copies of these visits deletes their credentials, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopperForgotten {
    /// The visits; what was bought in them stays.
    pub visits: Vec<String>,
}
