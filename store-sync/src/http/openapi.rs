//! The API's description, generated from the code; docs/ref/openapi.json is its committed copy.

use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{live, metrics, orders, proofs, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Linefree store API",
        description = "What the store's server knows: read-only. Times are microseconds since the Unix epoch, lengths \
                       metres, weights grams, money minor units."
    ),
    paths(
        routes::store,
        routes::visits,
        routes::carts,
        routes::receipts,
        routes::receipt,
        proofs::signed_receipt,
        proofs::keys,
        proofs::epcis_events,
        routes::devices,
        routes::stats,
        routes::events,
        orders::stock,
        orders::orders,
        orders::tasks,
        live::live,
        metrics::metrics,
        routes::healthz
    )
)]
struct Api;

/// The description as pretty JSON with a final newline: the bytes of docs/ref/openapi.json.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    Api::openapi().to_pretty_json().map(|text| text + "\n")
}

pub(super) async fn openapi() -> Response {
    axum::Json(Api::openapi()).into_response()
}
