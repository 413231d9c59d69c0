//! Price rules as the chain states them, and what a receipt costs by them. Said whole each time, never as a difference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a full set of a multi-buy costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Deal {
    /// As many unit prices.
    PriceOf(u32),
    /// A fixed amount, minor units.
    AmountMinor(i64),
}

/// `take` of a product for less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiBuy {
    /// Its id, which the receipt names.
    pub id: String,
    /// The product.
    pub sku: String,
    /// How many make a full set.
    pub take: u32,
    /// What a full set costs.
    pub deal: Deal,
}

/// A lower unit price once enough people have joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupPrice {
    /// Its id, which the receipt names.
    pub id: String,
    /// The product.
    pub sku: String,
    /// How many people must have joined.
    pub people: u32,
    /// How many have: whoever runs the group says so.
    pub joined: u32,
    /// Price of one then, minor units.
    pub unit_price_minor: i64,
}

/// What a coupon takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Off {
    /// An amount, minor units; at most what its lines come to.
    AmountMinor(i64),
    /// A share, basis points.
    ShareBp(u32),
}

/// Something off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    /// Its code, which the receipt names.
    pub code: String,
    /// What it takes off.
    pub off: Off,
    /// What its lines must come to, minor units.
    #[serde(default)]
    pub least_minor: i64,
    /// The products it is for; none named means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<String>,
    /// Does everybody have it, whatever they show?
    pub everyone: bool,
}

/// Points for money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loyalty {
    /// One point is earned for each full one of these, minor units.
    pub spend_per_point_minor: i64,
    /// What a point takes off, minor units.
    pub point_worth_minor: i64,
}

/// The rate of a tax class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// The class; `standard` is that of every product that is not named.
    pub class: String,
    /// Basis points.
    pub rate_bp: u32,
}

/// Whose a product is, and which tax it bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoldAs {
    /// The product.
    pub sku: String,
    /// Whose it is; the store's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Its tax class; `standard` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<String>,
}

/// What the store keeps of what a seller's goods bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commission {
    /// Whose goods.
    pub seller: String,
    /// Basis points of the price without tax.
    pub rate_bp: u32,
}

/// How prices are made, whole. The order in which rules count does not depend on their order here, but for coupons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRules {
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// Sets for less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multi_buys: Vec<MultiBuy>,
    /// Lower prices for many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_prices: Vec<GroupPrice>,
    /// Something off, in the order in which they count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Coupon>,
    /// Points, where the store gives any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loyalty: Option<Loyalty>,
    /// Rates by class. `standard` is 0 when it is not stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxRate>,
    /// Do unit prices include tax?
    #[serde(default)]
    pub tax_included: bool,
    /// Products that are not the store's own, or bear another tax than the standard one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sold_as: Vec<SoldAs>,
    /// Sellers that are not named pay none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commissions: Vec<Commission>,
}

/// Price rules come into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRulesChanged {
    /// Their version.
    pub version: u64,
    /// Visits that begin now or later are priced by them, until newer ones follow.
    pub from_us: i64,
    /// The rules.
    pub rules: PriceRules,
}

/// Which rule changed what is paid for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PriceWhy {
    /// Unit price times as many.
    UnitPrice(u32),
    /// A multi-buy.
    MultiBuy {
        /// Its id.
        id: String,
        /// How many full sets.
        sets: u32,
    },
    /// A group price.
    Group {
        /// Its id.
        id: String,
        /// How many people have joined.
        joined: u32,
    },
    /// A coupon, by its code.
    Coupon(String),
    /// This line's share of so many points.
    Points(u64),
    /// Tax that is added.
    Tax {
        /// Its class.
        class: String,
        /// Its rate, basis points.
        rate_bp: u32,
    },
}

/// What a rule did to a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceStep {
    /// Which rule.
    pub why: PriceWhy,
    /// By how much it changed the line, minor units; the steps of a line sum to what it costs.
    pub change_minor: i64,
}

/// A line with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricedLine {
    /// The product.
    pub sku: String,
    /// What one costs by the chain's prices, minor units, where the floor told another price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_minor: Option<i64>,
    /// What the line costs, with tax, minor units.
    pub amount_minor: i64,
    /// The tax in it, minor units.
    pub tax_minor: i64,
    /// Whose it is; `store` for the store's own.
    pub seller: String,
    /// How it came about, in the order of the rules.
    pub steps: Vec<PriceStep>,
}

/// What a seller is owed for what was charged with the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SellerShare {
    /// Who.
    pub seller: String,
    /// Paid for the seller's lines, with tax, minor units.
    pub paid_minor: i64,
    /// The tax in it, minor units.
    pub tax_minor: i64,
    /// What the store keeps, minor units.
    pub commission_minor: i64,
}

/// What a receipt costs by the prices and price rules that were in force when its visit began. Said once for each receipt,
/// when the ledger takes it; what was said first stays, whatever becomes of prices and rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptPriced {
    /// The visit.
    pub visit: String,
    /// Source of the event that closed it.
    pub closed_source: String,
    /// Its numbering.
    pub closed_epoch: Uuid,
    /// Its number.
    pub closed_seq: u64,
    /// Version of the rules; 0 where there were none.
    pub version: u64,
    /// Version of the chain's unit prices, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_version: Option<u64>,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// The receipt's lines, by SKU; those in review cost this if they are answered as they stand.
    pub lines: Vec<PricedLine>,
    /// Sum of the lines that need no review, minor units.
    pub charge_minor: i64,
    /// Sum of the lines in review, minor units.
    pub in_review_minor: i64,
    /// Points earned with what is charged.
    pub points_earned: u64,
    /// Who is owed what of what is charged.
    pub sellers: Vec<SellerShare>,
}
