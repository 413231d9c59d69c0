//! How the payment of a visit stands. Said whole each time, before a gateway is asked and after it has answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a visit's payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TripState {
    /// All is well; more may come.
    Open,
    /// The payer's side declined what is owed.
    BadDebt,
    /// A refund was declined: people pay it back by other means.
    ByHand,
}

/// What a gateway is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskKind {
    /// To hold an amount.
    Authorise,
    /// To take some of what is held.
    Capture,
    /// To let go of what is held.
    Release,
    /// To pay back some of what was taken.
    Refund,
    /// To know how much of what was taken is in dispute now; 0 = nothing any more.
    Contest,
}

/// A question to the gateway that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentAsk {
    /// What.
    pub ask: AskKind,
    /// How much, minor units.
    pub amount_minor: i64,
    /// What the payer was asked for before, under the same key, minor units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_minor: Vec<i64>,
    /// When it was first asked.
    pub since_us: i64,
    /// Times that no answer came.
    #[serde(default)]
    pub silences: u32,
    /// The gateway has it and will call back.
    #[serde(default)]
    pub pending: bool,
}

/// The payment of a visit, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentChanged {
    /// The visit.
    pub visit: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// How it stands.
    pub state: TripState,
    /// How many questions were begun. `visit:step` is the last one's key: the gateway does nothing twice under one key.
    pub step: u32,
    /// The question under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<PaymentAsk>,
    /// Held, and not taken yet, minor units.
    pub authorised_minor: i64,
    /// Taken, minor units.
    pub captured_minor: i64,
    /// Paid back, minor units.
    pub refunded_minor: i64,
    /// Of what was taken, what the gateway was told is in dispute, minor units.
    #[serde(default)]
    pub disputed_minor: i64,
    /// The hold at the entry was declined.
    #[serde(default)]
    pub hold_declined: bool,
    /// What the gateway calls the authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why it is as it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a contest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContestState {
    /// Nobody has answered yet: its amount is in dispute.
    Open,
    /// The shopper was right: a refund says what goes back.
    Refunded,
    /// The line stands.
    Upheld,
}

/// A shopper contests a line of a receipt, or is answered. What they and the store say in words is told nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContestChanged {
    /// Its id.
    pub contest: String,
    /// The visit.
    pub visit: String,
    /// The line's product.
    pub sku: String,
    /// ISO 4217 code of the amount.
    pub currency: String,
    /// What was paid for the line and did not go back yet when it was contested, minor units.
    pub amount_minor: i64,
    /// How it stands.
    pub state: ContestState,
}
