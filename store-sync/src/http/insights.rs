//! What the store's hours say of products and visits.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Context, Trouble};
use crate::out_of_stock::HOUR_US;

/// Hours that are answered at most: a month.
const MAX_HOURS: i64 = 31 * 24;

/// How much is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Span {
    /// The last so many hours in which anything happened are in it, up to 744; 168 when left out.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 744)]
    hours: Option<i64>,
}

/// A product in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductHour {
    sku: String,
    /// Hours since the Unix epoch.
    hour: i64,
    taken: u64,
    put_back: u64,
    /// Of those: where the planogram has another product.
    misplaced: u64,
    /// How long no counted plate held any.
    out_of_stock_s: u32,
}

/// Visits that ended in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VisitHour {
    /// Hours since the Unix epoch.
    hour: i64,
    visits: u64,
    buyers: u64,
    /// How long each lasted, seconds, shortest first.
    dwell_s: Vec<f64>,
}

/// What the store's hours say.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Insights {
    products: Vec<ProductHour>,
    hours: Vec<VisitHour>,
}

/// Taken, put back, misplaced and out of stock by product and hour; visits, buyers and dwell by hour. The chain gets the
/// same as events `insights_told`, when an hour is over.
#[utoipa::path(get, path = "/api/insights", params(Span), responses((status = 200, description = "The answer.", body = Insights)))]
pub(super) async fn insights(
    State(context): State<Context>,
    Query(span): Query<Span>,
) -> Result<Json<Insights>, Trouble> {
    let wanted = span.hours.unwrap_or(168);
    if !(1..=MAX_HOURS).contains(&wanted) {
        return Err(Trouble::Malformed("hours is a number from 1 to 744"));
    }
    let facings = Arc::clone(&context.facings);
    let found = context
        .ask(move |ledger| {
            let Some((_, last_us)) = ledger.floor_times_us()? else { return Ok(None) };
            let end = last_us.div_euclid(HOUR_US) + 1;
            ledger.insights(end - wanted..end, last_us, &facings).map(Some)
        })
        .await?
        .unwrap_or_default();
    let product = |r: crate::ledger::InsightRow| ProductHour {
        sku: r.sku,
        hour: r.hour,
        taken: r.taken,
        put_back: r.put_back,
        misplaced: r.misplaced,
        out_of_stock_s: r.out_of_stock_s,
    };
    let hour = |(hour, h): (i64, crate::ledger::Hour)| VisitHour {
        hour,
        visits: h.visits,
        buyers: h.buyers,
        dwell_s: h.dwell_s,
    };
    Ok(Json(Insights {
        products: found.products.into_iter().map(product).collect(),
        hours: found.hours.into_iter().map(hour).collect(),
    }))
}
