//! Events of what follows from a visit: answers to reviews, refunds, counts of stock, answers to the cloud's commands,
//! insights, forgotten shoppers. Each says its whole state, never a difference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PriceStep;

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
    /// How that came about, where price rules made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PriceStep>,
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

/// What an hour of the store says to whoever makes, buys and places products: told once, when the hour is over, from
/// what was known by then. Nothing in it is about a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InsightsTold {
    /// When the hour began.
    pub hour_us: i64,
    /// Visits that ended in it.
    pub visits: u64,
    /// How many of them took something.
    pub buyers: u64,
    /// Half of them lasted longer, seconds; absent where nobody left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_s: Option<f64>,
    /// Products of which there is something to tell, by SKU.
    pub products: Vec<ProductInsight>,
}

/// What an hour says of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductInsight {
    /// The product.
    pub sku: String,
    /// Items lifted from shelves, by the likeliest explanation where it is likelier than not.
    pub taken: u64,
    /// Items put onto shelves again, likewise.
    pub put_back: u64,
    /// Of those: onto a plate where the planogram has another product.
    pub misplaced: u64,
    /// How long none was left on any of its counted plates, seconds, 0 to 3600.
    pub out_of_stock_s: u32,
}

/// A shopper's personal data was deleted. Whoever keeps copies of these visits deletes their credentials, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopperForgotten {
    /// The visits; what was bought in them stays.
    pub visits: Vec<String>,
}
