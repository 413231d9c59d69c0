//! Commands: what the cloud tells a store. The contract's types; what a store does with them is in
//! [`crate::ledger::commands`].
//!
//! The cloud numbers each store's commands from 1 without gaps. A store asks for those after the last one that it has
//! decided about, decides about each in order, and answers with an event (`command.answered`) in its ledger, which comes
//! to the cloud like every other event. So a command is taken once, whatever is sent twice, and the answer is never lost.

use std::collections::BTreeMap;

use linefree_bus::payload::{Handover, IfShort, PriceRules};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A command as it travels. Its body is judged by the store, so that an unknown or broken one is refused with a reason
/// instead of stopping all that follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// Its own id: the same id again is the same command.
    pub command: String,
    /// Its number among the store's commands, from 1.
    pub seq: u64,
    /// For commands that say how things are: a later one has a greater version.
    #[serde(default)]
    pub version: u64,
    /// When the cloud issued it.
    #[serde(default)]
    pub issued_us: i64,
    /// Set when the cloud has this store's answer already: taken, or refused. A store that was put back from an older
    /// copy does not move money or pick an order a second time then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
    /// What it commands, a `CommandBody`: its `kind` says what the rest of it is. What is none is refused by the store.
    #[schema(value_type = Object)]
    pub body: Value,
}

/// What can be commanded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CommandBody {
    /// All products, whole.
    Catalogue {
        /// The products.
        products: Vec<CatalogueProduct>,
    },
    /// All prices, whole.
    Prices {
        /// ISO 4217.
        currency: String,
        /// The prices.
        prices: Vec<Price>,
    },
    /// How prices are made from unit prices, whole: promotions, points, taxes, sellers.
    PriceRules {
        /// Visits that begin now or later are priced by them; when they are taken, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_us: Option<i64>,
        /// The rules, as in the event `price_rules_changed`.
        #[schema(value_type = Object)]
        rules: PriceRules,
    },
    /// All facings, whole.
    Planogram {
        /// The facings.
        facings: Vec<PlannedFacing>,
    },
    /// Pick this.
    Order(NewOrder),
    /// Do not pick it after all.
    OrderCancelled {
        /// The order's id.
        order: String,
        /// Why.
        reason: String,
    },
    /// Which model devices run.
    ModelRollout {
        /// Its name.
        model: String,
        /// SHA-256 of its file, hexadecimal.
        sha256: String,
    },
    /// Somebody at the chain looked at a line in review.
    ReviewAnswer {
        /// The visit.
        visit: String,
        /// The line's product.
        sku: String,
        /// How many the shopper pays for.
        quantity: u32,
    },
    /// Money goes back.
    Refund {
        /// The refund's id.
        refund: String,
        /// The visit that was charged.
        visit: String,
        /// What for.
        lines: Vec<RefundedLine>,
        /// Why.
        reason: String,
    },
    /// How the store decides.
    Policy {
        /// Lines less certain than this go to review, 0 to 1.
        review_below: f64,
        /// How many days evidence of each kind is kept; kinds that are not named are kept.
        #[serde(default)]
        keep_days: BTreeMap<String, u32>,
    },
}

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueProduct {
    /// Its code.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// Weight of one item, grams.
    pub weight_g: f64,
    /// How it is supplied, for suggestions of what to order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supply: Option<CatalogueSupply>,
}

/// How a product is supplied. What is left out is as the store has it for all products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueSupply {
    /// Days between two orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_days: Option<u32>,
    /// Days from order to shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_days: Option<u32>,
    /// Days until it cannot be sold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shelf_life_days: Option<u32>,
    /// Items that come together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<u32>,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what.
    pub sku: String,
    /// Of one, minor units.
    pub unit_price_minor: i64,
}

/// Where a product lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedFacing {
    /// What.
    pub sku: String,
    /// On which plates, `gondola/shelf/plate`.
    pub plates: Vec<String>,
}

/// An online order, as whoever took it tells the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Its id, 1 to 56 characters: the same id again is the same order.
    pub order: String,
    /// What.
    pub lines: Vec<Wanted>,
    /// Where it was placed: the chain's app, a messaging channel, a marketplace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it is promised for; in an hour when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_us: Option<i64>,
    /// How the customer gets it: `locker`, `counter` (when left out), `courier` or `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub handover: Option<Handover>,
    /// What the customer wants when something is missing: to be asked (`ask`, when left out), the line's `substitute`,
    /// the rest (`partial`), or nothing at all then (`cancel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub if_short: Option<IfShort>,
    /// Its money, where the store has to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<NewPayment>,
}

/// Who has the money of a new order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// Is it in escrow? Else the customer pays at the hand-over.
    pub held: bool,
    /// ISO 4217.
    pub currency: String,
    /// What was held, minor units; must be what the lines come to.
    pub amount_minor: i64,
    /// Whoever holds it knows it by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// What the customer would take instead, the best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitutes: Vec<String>,
    /// What one costs the customer, minor units; the store's price when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_minor: Option<i64>,
}

/// A line of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundedLine {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// What goes back for all of them, minor units.
    pub amount_minor: i64,
}

impl CommandBody {
    /// As the JSON tag says it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Catalogue { .. } => "catalogue",
            Self::Prices { .. } => "prices",
            Self::PriceRules { .. } => "price_rules",
            Self::Planogram { .. } => "planogram",
            Self::Order(_) => "order",
            Self::OrderCancelled { .. } => "order_cancelled",
            Self::ModelRollout { .. } => "model_rollout",
            Self::ReviewAnswer { .. } => "review_answer",
            Self::Refund { .. } => "refund",
            Self::Policy { .. } => "policy",
        }
    }

    /// Does it say how things are from now on? Then versions count.
    #[must_use]
    pub fn is_state(&self) -> bool {
        matches!(
            self,
            Self::Catalogue { .. }
                | Self::Prices { .. }
                | Self::PriceRules { .. }
                | Self::Planogram { .. }
                | Self::ModelRollout { .. }
                | Self::Policy { .. }
        )
    }
}
