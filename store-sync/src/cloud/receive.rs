//! The reference cloud's HTTP side: takes batches, says how much it has without a hole, hands out commands.
//!
//! Limits: [`MAX_BATCH_BYTES`] for a batch, unpacked as well (a small body that unpacks to more is refused),
//! [`super::MAX_BATCH_EVENTS`] events. Who may do what is said by [`Credentials`].

// utoipa's macro writes the parameters' types with their full path.
#![allow(unused_qualifications)]

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, IntoResponses, OpenApi, ToSchema};

use super::access::Bearer;
pub use super::access::Credentials;
use super::command::{Command, CommandBody};
pub use super::events::{CloudEvents, DatabaseError, RefusedBatch, Taken};
use super::packing::{Packing, Unpacked};
use super::trunk::SharedEvents;
use super::{BATCH_MEDIA_TYPE, CommandPage, MAX_BATCH_BYTES, PlacedEvent};
use crate::clock::wall_us;

#[derive(Clone)]
pub(super) struct Cloud {
    events: SharedEvents,
    credentials: Arc<Credentials>,
}

/// The receiver's HTTP side. With a token, every request must carry it.
pub fn router(events: CloudEvents, token: Option<String>) -> Router {
    guarded(events, Credentials { chain: token, ..Credentials::default() })
}

/// The receiver's HTTP side for those who may use it.
pub fn guarded(events: CloudEvents, credentials: Credentials) -> Router {
    shared(Arc::new(Mutex::new(events)), credentials)
}

/// The same, over a database that something else uses as well.
pub fn shared(events: SharedEvents, credentials: Credentials) -> Router {
    let cloud = Cloud { events, credentials: Arc::new(credentials) };
    Router::new()
        .route("/v1/events", post(take_batch))
        .route("/", post(take_batch).get(what_this_is))
        .route("/v1/stores", get(stores))
        .route("/v1/stores/{store}/events", get(store_events))
        .route("/v1/stores/{store}/receipts", get(store_receipts))
        .route("/v1/stores/{store}/commands", get(store_commands).post(issue_command))
        .route("/v1/stores/{store}/answers", get(store_answers))
        .route("/v1/openapi.json", get(|| async { Json(CloudApi::openapi()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(MAX_BATCH_BYTES))
        .with_state(cloud)
}

async fn what_this_is() -> &'static str {
    "Linefree reference cloud\n\nPOST /v1/events               CloudEvents batches from stores\n\
     GET  /v1/stores               which stores have delivered\n\
     GET  /v1/stores/{store}/receipts\nGET  /v1/stores/{store}/events?after=POSITION&limit=N\n\
     POST /v1/stores/{store}/commands   tell a store something\n\
     GET  /v1/stores/{store}/commands?after=SEQ\nGET  /v1/stores/{store}/answers\n\
     GET  /v1/openapi.json         all of it\n"
}

impl Cloud {
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut CloudEvents) -> T + Send + 'static,
    ) -> Option<T> {
        let events = Arc::clone(&self.events);
        tokio::task::spawn_blocking(move || work(&mut events.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .ok()
    }

    async fn look<T: Serialize + Send + 'static>(
        &self,
        bearer: &Bearer,
        store: &str,
        work: impl FnOnce(&CloudEvents) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Response {
        if let Some(refusal) = bearer.refused(store) {
            return refusal;
        }
        match self.with(|events| work(events)).await {
            Some(Ok(rows)) => Json(rows).into_response(),
            Some(Err(e)) => told(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
            None => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
        }
    }
}

/// Why a request has no answer.
#[derive(Serialize, ToSchema)]
struct Problem {
    /// For people.
    error: String,
}

pub(super) fn told(status: StatusCode, why: &str) -> Response {
    (status, Json(Problem { error: why.to_owned() })).into_response()
}

/// What anybody is refused with who may not do what they ask.
#[derive(IntoResponses)]
// The descriptions name it; the answers are made where it is found out.
#[allow(dead_code)]
enum Strangers {
    /// No certificate or token, or one that nobody has.
    #[response(status = 401)]
    Nobody(Problem),
    /// The credentials are another store's, or of somebody who has no business here.
    #[response(status = 403)]
    Others(Problem),
}

/// What the cloud has now.
#[derive(Serialize, ToSchema)]
struct Acknowledgement {
    /// Everything of this ledger up to this number is durable.
    acknowledged: u64,
    /// Events of the batch that were new.
    new: u64,
    /// Events of the batch that were here.
    duplicates: u64,
}

/// A batch's body, unpacked.
fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes, (StatusCode, String)> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(body) };
    let name = encoding.to_str().unwrap_or("?");
    let Some(packing) = Packing::named(name) else {
        let why = format!("Content-Encoding {name:?}: send zstd, gzip or none");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    };
    packing.unpack(&body, MAX_BATCH_BYTES).map(Into::into).map_err(|e| {
        let status = match e {
            Unpacked::Broken { .. } => StatusCode::BAD_REQUEST,
            Unpacked::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        };
        (status, e.to_string())
    })
}

/// Takes a batch of a store's events, whole or not at all. The same batch may come any number of times.
#[utoipa::path(post, path = "/v1/events",
    params(("Content-Encoding" = Option<String>, Header, description = "`zstd`, `gzip`, or left out.")),
    request_body(content = Vec<Object>, content_type = "application/cloudevents-batch+json",
        description = "CloudEvents 1.0 of one store and one ledger, with the extensions `ledger` and `sequence`."),
    responses(
        (status = 200, description = "The answer.", body = Acknowledgement),
        (status = 400, body = Problem, description = "Not what the contract says."),
        Strangers,
        (status = 409, body = Problem, description = "It contradicts what is here."),
        (status = 413, description = "Too large: send less at once."),
        (status = 415, description = "Another media type or encoding.", body = Problem)))]
async fn take_batch(State(cloud): State<Cloud>, bearer: Bearer, headers: HeaderMap, body: Bytes) -> Response {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if media_type.split(';').next().map(str::trim) != Some(BATCH_MEDIA_TYPE) {
        return told(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("send {BATCH_MEDIA_TYPE}"));
    }
    let body = match unpacked(&headers, body) {
        Ok(body) => body,
        Err((status, why)) => return told(status, &why),
    };
    let batch: Vec<Value> = match serde_json::from_slice(&body) {
        Ok(batch) => batch,
        Err(e) => return told(StatusCode::BAD_REQUEST, &format!("the body is no JSON array: {e}")),
    };
    // Every event of a batch must be of one store, which `take` checks; here it is enough that one is the bearer's.
    let source = batch.first().and_then(|e| e.get("source")).and_then(Value::as_str).unwrap_or_default();
    if let Some(refusal) = bearer.refused(source.strip_prefix("/stores/").unwrap_or("?")) {
        return refusal;
    }
    match cloud.with(move |events| events.take(&batch, wall_us())).await {
        Some(Ok(taken)) => {
            tracing::info!(taken.acknowledged, taken.new, taken.duplicates, "took a batch");
            let Taken { acknowledged, new, duplicates } = taken;
            Json(Acknowledgement { acknowledged, new, duplicates }).into_response()
        }
        Some(Err(e)) => {
            tracing::warn!("refused a batch: {e}");
            let status = match e {
                RefusedBatch::Malformed(_) => StatusCode::BAD_REQUEST,
                RefusedBatch::Conflict(_) => StatusCode::CONFLICT,
                RefusedBatch::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            told(status, &e.to_string())
        }
        None => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
    }
}

#[derive(Deserialize, IntoParams)]
struct Page {
    /// After this position (of events) or number (of commands).
    #[serde(default)]
    after: i64,
    /// At most this many, up to 1000; 100 when left out.
    #[serde(default = "default_limit")]
    #[param(value_type = i64, minimum = 0, required = false)]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

/// The stores that have delivered anything.
#[utoipa::path(get, path = "/v1/stores", responses((status = 200, description = "The answer.", body = Vec<Object>), Strangers))]
async fn stores(State(cloud): State<Cloud>, bearer: Bearer) -> Response {
    cloud.look(&bearer, "", CloudEvents::stores).await
}

/// A store's events in the order in which they came.
#[utoipa::path(get, path = "/v1/stores/{store}/events", params(("store" = String, Path, description = "The store."), Page),
    responses((status = 200, description = "The answer.", body = Vec<PlacedEvent>),
        (status = 400, description = "A parameter is no number."), Strangers))]
async fn store_events(
    State(cloud): State<Cloud>,
    bearer: Bearer,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    let of = store.clone();
    cloud.look(&bearer, &of, move |events| events.events(&store, page.after, page.limit.min(1000))).await
}

/// The receipt of each of a store's visits as it stands, youngest first: priced by the chain's rules (`charge_minor`,
/// `in_review_minor`, each line's `amount_minor` and `steps`), with answers to lines in review (`answered_minor`) and refunds
/// (`refunded_minor`); `owed_minor` is the sum of it: what the shopper pays in the end.
#[utoipa::path(get, path = "/v1/stores/{store}/receipts", params(("store" = String, Path, description = "The store."), Page),
    responses((status = 200, description = "The answer.", body = Vec<Object>),
        (status = 400, description = "A parameter is no number."), Strangers))]
async fn store_receipts(
    State(cloud): State<Cloud>,
    bearer: Bearer,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    let of = store.clone();
    cloud.look(&bearer, &of, move |events| events.receipts(&store, page.limit.min(1000))).await
}

/// A store's commands after a number, in order.
#[utoipa::path(get, path = "/v1/stores/{store}/commands", params(("store" = String, Path, description = "The store."), Page),
    responses((status = 200, description = "The answer.", body = CommandPage),
        (status = 400, description = "A parameter is no number."), Strangers))]
async fn store_commands(
    State(cloud): State<Cloud>,
    bearer: Bearer,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    let of = store.clone();
    let after = u64::try_from(page.after).unwrap_or(0);
    let work = move |events: &CloudEvents| {
        Ok(CommandPage { commands: events.commands(&store, after, page.limit.min(1000))? })
    };
    cloud.look(&bearer, &of, work).await
}

/// What a store has decided about its commands, youngest first.
#[utoipa::path(get, path = "/v1/stores/{store}/answers", params(("store" = String, Path, description = "The store."), Page),
    responses((status = 200, description = "The answer.", body = Vec<Object>),
        (status = 400, description = "A parameter is no number."), Strangers))]
async fn store_answers(
    State(cloud): State<Cloud>,
    bearer: Bearer,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    let of = store.clone();
    cloud.look(&bearer, &of, move |events| events.answers(&store, page.limit.min(1000))).await
}

/// A command to be issued.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCommand {
    /// Its id: the same id again is the same command.
    command: String,
    /// For commands that say how things are: greater than the last one's.
    #[serde(default)]
    version: u64,
    /// What it commands: a `CommandBody`. The store judges it and answers, so that this cloud need not know every kind.
    #[schema(value_type = Object)]
    body: serde_json::Map<String, Value>,
}

/// Tells a store something. It is numbered here and decided about there.
#[utoipa::path(post, path = "/v1/stores/{store}/commands", params(("store" = String, Path, description = "The store.")),
    request_body = NewCommand,
    responses((status = 200, body = Object, description = "Its number."), (status = 400, description = "No command."),
        Strangers,
        (status = 409, body = Problem, description = "The id has another content."),
        (status = 415, description = "Not JSON."), (status = 422, description = "A field is missing or unknown.")))]
async fn issue_command(
    State(cloud): State<Cloud>,
    bearer: Bearer,
    UrlPath(store): UrlPath<String>,
    Json(new): Json<NewCommand>,
) -> Response {
    if let Some(refusal) = bearer.refused("") {
        return refusal;
    }
    let id_chars = new.command.chars().count();
    if linefree_domain::ids::StoreId::new(&store).is_err() || !(1..=64).contains(&id_chars) {
        return told(StatusCode::BAD_REQUEST, "a store's and a command's id have 1 to 64 characters");
    }
    if i64::try_from(new.version).is_err() {
        return told(StatusCode::BAD_REQUEST, "a version has at most 63 bits");
    }
    let body = Value::Object(new.body);
    let issued =
        cloud.with(move |events| events.issue(&store, &new.command, new.version, &body, wall_us())).await;
    match issued {
        Some(Ok(Some(seq))) => Json(json!({ "seq": seq })).into_response(),
        Some(Ok(None)) => told(StatusCode::CONFLICT, "this command's id has another content"),
        Some(Err(e)) => told(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        None => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Linefree cloud API",
        description = "What a chain's cloud offers its stores. `store-sync receive` is its reference. Within /v1 only \
                       optional fields and new resources are added."
    ),
    paths(take_batch, stores, store_events, store_receipts, store_commands, store_answers, issue_command),
    components(schemas(Command, CommandBody))
)]
struct CloudApi;

/// The description as pretty JSON with a final newline: the bytes of docs/ref/cloud-openapi.json.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    CloudApi::openapi().to_pretty_json().map(|text| text + "\n")
}
