//! How prices came about, and the price rules.

use axum::Json;
use axum::extract::State;
use linefree_bus::payload::{PriceRules, PriceStep, PriceWhy};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Context, Trouble};
use crate::clock::wall_us;

/// What a rule did to a line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriceChange {
    /// `unit_price`, `multi_buy`, `group`, `coupon`, `points` or `tax`.
    rule: &'static str,
    /// Its id, code or tax class.
    name: Option<String>,
    /// How many items, full sets, people who joined or points; of a tax its rate, basis points.
    count: Option<u64>,
    /// By how much it changed the line, minor units; all changes sum to what the line costs.
    change_minor: i64,
}

impl From<PriceStep> for PriceChange {
    fn from(step: PriceStep) -> Self {
        let (rule, name, count) = match step.why {
            PriceWhy::UnitPrice(quantity) => ("unit_price", None, Some(quantity.into())),
            PriceWhy::MultiBuy { id, sets } => ("multi_buy", Some(id), Some(sets.into())),
            PriceWhy::Group { id, joined } => ("group", Some(id), Some(joined.into())),
            PriceWhy::Coupon(code) => ("coupon", Some(code), None),
            PriceWhy::Points(points) => ("points", None, Some(points)),
            PriceWhy::Tax { class, rate_bp } => ("tax", Some(class), Some(rate_bp.into())),
        };
        Self { rule, name, count, change_minor: step.change_minor }
    }
}

/// The price rules in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RulesInForce {
    /// Their version.
    version: u64,
    /// Since when.
    from_us: i64,
    /// The rules, as in the event `price_rules_changed`.
    #[schema(value_type = Object)]
    rules: PriceRules,
}

/// The price rules by which visits that begin now will be priced; `null` where there are none.
#[utoipa::path(get, path = "/api/price-rules", responses((status = 200, description = "The answer.", body = Option<RulesInForce>)))]
pub(super) async fn price_rules(
    State(context): State<Context>,
) -> Result<Json<Option<RulesInForce>>, Trouble> {
    let found = context.ask(|ledger| ledger.price_rules_at(wall_us())).await?;
    Ok(Json(found.map(|row| RulesInForce { version: row.version, from_us: row.from_us, rules: row.rules })))
}
