//! What the store tells others about itself in a form that they can check: signed receipts, its keys, EPCIS events.

// utoipa's macro writes the parameters' types with their full path.
#![allow(unused_qualifications)]

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::answers::Problem;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::{epcis, signed};

/// Most EPCIS events of an answer.
const MAX_PER_PAGE: usize = 1000;

/// A visit's receipt as it stands, with a detached signature: `store-sync receipt verify` checks it.
#[utoipa::path(get, path = "/api/receipts/{visit}/signed", params(("visit" = String, Path, description = "The visit.")),
    responses((status = 200, description = "`receipt` and `signature` (a JWS without its payload, EdDSA over the receipt's canonical form).", body = Object),
        (status = 404, description = "There is none.", body = Problem)))]
pub(super) async fn signed_receipt(
    State(context): State<Context>,
    Path(visit): Path<String>,
) -> Result<Json<Value>, Trouble> {
    let found = context.ask(move |ledger| signed::receipt_document(ledger, &visit)).await?;
    let receipt = found.ok_or(Trouble::NotFound("this visit has no receipt"))?;
    signed::sign(&receipt, &context.identity.key).map(Json).map_err(|e| {
        tracing::error!("a receipt cannot be signed: {e}");
        Trouble::Failed
    })
}

/// The keys that this store signs with, as a JWK set.
#[utoipa::path(get, path = "/api/keys", responses((status = 200, description = "The answer.", body = Object)))]
pub(super) async fn keys(State(context): State<Context>) -> Json<Value> {
    Json(json!({ "keys": [context.identity.key.public().jwk()] }))
}

/// Which part of the EPCIS events is wanted; names as in EPCIS 2.0's own interface.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(super) struct EpcisPage {
    /// At most about this many (those that follow from one event stay together), 1 to 1000; 100 when left out.
    #[param(value_type = Option<i64>, minimum = 0)]
    per_page: Option<u32>,
    /// Where the page before ended, from its `Link`.
    next_page_token: Option<String>,
}

/// What was sold, picked and stocked, as an EPCIS 2.0 query document, in the ledger's order. `Link` names the next page.
#[utoipa::path(get, path = "/api/epcis/events", params(EpcisPage),
    responses((status = 200, description = "The answer.", body = Object, content_type = "application/ld+json"),
        (status = 400, description = "A parameter is none.")))]
pub(super) async fn epcis_events(
    State(context): State<Context>,
    Query(page): Query<EpcisPage>,
) -> Result<Response, Trouble> {
    let token = page.next_page_token.as_deref().map(str::parse::<u64>);
    let after =
        token.transpose().map_err(|_| Trouble::Malformed("nextPageToken is none of this server's"))?;
    let limit = usize::try_from(page.per_page.unwrap_or(100)).unwrap_or(MAX_PER_PAGE).clamp(1, MAX_PER_PAGE);
    let place = context.identity.place.clone();
    let (events, next) =
        context.ask(move |ledger| epcis::events(ledger, &place, after.unwrap_or(0), limit)).await?;
    let mut response = Json(epcis::query_document(events, wall_us())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(epcis::MEDIA_TYPE));
    headers.insert("GS1-EPCIS-Version", HeaderValue::from_static("2.0.0"));
    if let Some(next) = next {
        let link = format!("</api/epcis/events?perPage={limit}&nextPageToken={next}>; rel=\"next\"");
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.insert(header::LINK, link);
        }
    }
    Ok(response)
}
