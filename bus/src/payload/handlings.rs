//! What robots do at shelves, told while they do it. Whole and repeated: the newest message counts, a lost one is made up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who of those whom no camera follows handles what: everything that is under way, and what ended in the last seconds.
/// QoS 0, not retained; sent at each change and repeated while there is something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handlings {
    /// Who says so: the ledger, for the robots of its store.
    pub source: String,
    /// When.
    pub time_us: i64,
    /// Each handling once.
    pub handlings: Vec<Handling>,
}

/// One handling of some plates, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handling {
    /// Its id; the same id again is the same handling.
    pub handling: String,
    /// The task that it is part of.
    pub task: String,
    /// Who: a robot's `manufacturer/serialNumber`.
    pub by: String,
    /// Which plates, `gondola/shelf/plate`: the task's, and those that weigh the same facing.
    pub plates: Vec<String>,
    /// The product.
    pub sku: String,
    /// How many are to be taken (positive) or put (negative).
    pub quantity: i32,
    /// When it began, by the clock of whoever says so.
    pub from_us: i64,
    /// When it ended; left out while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_us: Option<i64>,
    /// How many were moved, once it has ended; left out when nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<u32>,
}
