//! The HTTP API and the console.
//!
//! No login yet, so the server listens on this machine only unless it is told otherwise, and on this machine it answers
//! only requests addressed to this machine (a web page elsewhere must not read it through a re-bound name). Everything
//! is `GET`; nothing here changes the store.

mod answers;
mod console;
mod live;
mod map;
mod metrics;
mod openapi;
mod orders;
mod proofs;
mod routes;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use linefree_domain::layout::StoreLayout;
use tokio::sync::watch;

use crate::gs1::Place;
use crate::ledger::{LedgerError, LedgerReader};
use crate::live::Live;
use crate::outbox::RunningOutbox;
use crate::projecting::Progress;
use crate::signed::SigningKey;

pub use openapi::openapi_json;

/// How long a question waits for the projections.
const PROJECTED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// As whom the store speaks to others.
#[derive(Debug)]
pub struct Identity {
    place: Place,
    key: SigningKey,
}

impl Identity {
    /// A store with its GLN, where it has one, and the key that it signs receipts with.
    ///
    /// # Errors
    /// When the GLN is none.
    pub fn new(store: &str, gln: Option<&str>, key: SigningKey) -> Result<Self, crate::gs1::NoGln> {
        Ok(Self { place: Place::new(store, gln)?, key })
    }
}

/// What every request can reach.
#[derive(Clone)]
pub struct Context {
    reader: Arc<Mutex<LedgerReader>>,
    live: Arc<Live>,
    outbox: Option<Arc<RunningOutbox>>,
    map: Arc<answers::StoreMap>,
    identity: Arc<Identity>,
    progress: Arc<Progress>,
    stop: watch::Receiver<bool>,
    only_this_machine: bool,
}

impl Context {
    /// For a store and its ledger. `listen` is where the server listens.
    #[must_use]
    pub fn new(
        reader: LedgerReader,
        identity: Identity,
        layout: &StoreLayout,
        live: Arc<Live>,
        outbox: Option<Arc<RunningOutbox>>,
        progress: Arc<Progress>,
        listen: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            reader: Arc::new(Mutex::new(reader)),
            live,
            outbox,
            map: Arc::new(map::of(layout)),
            identity: Arc::new(identity),
            progress,
            stop,
            only_this_machine: listen.ip().is_loopback(),
        }
    }

    /// Asks the ledger on a thread where waiting is allowed.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&LedgerReader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Trouble> {
        // An answer holds at least what was acknowledged before the question. Should the projections be stuck, an old
        // answer is better than none: /healthz tells the trouble.
        self.progress.caught_up(PROJECTED_WITHIN).await;
        let reader = Arc::clone(&self.reader);
        let answer = tokio::task::spawn_blocking(move || {
            question(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => {
                tracing::error!("a question to the ledger failed: {e}");
                Err(Trouble::Failed)
            }
            Err(_) => Err(Trouble::Failed),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug)]
enum Trouble {
    NotFound(&'static str),
    Malformed(&'static str),
    Failed,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the ledger could not be read; see the log"),
        };
        (status, axum::Json(answers::Problem { error: error.to_owned() })).into_response()
    }
}

/// The whole server.
pub fn router(context: Context) -> Router {
    Router::new()
        .route("/api/store", get(routes::store))
        .route("/api/visits", get(routes::visits))
        .route("/api/carts", get(routes::carts))
        .route("/api/receipts", get(routes::receipts))
        .route("/api/receipts/{visit}", get(routes::receipt))
        .route("/api/receipts/{visit}/signed", get(proofs::signed_receipt))
        .route("/api/keys", get(proofs::keys))
        .route("/api/epcis/events", get(proofs::epcis_events))
        .route("/api/devices", get(routes::devices))
        .route("/api/stats", get(routes::stats))
        .route("/api/events", get(routes::events))
        .route("/api/stock", get(orders::stock))
        .route("/api/orders", get(orders::orders))
        .route("/api/tasks", get(orders::tasks))
        .route("/metrics", get(metrics::metrics))
        .route("/api/live", get(live::live))
        .route("/api/openapi.json", get(openapi::openapi))
        .route("/healthz", get(routes::healthz))
        .fallback(console::file)
        .layer(middleware::from_fn_with_state(context.clone(), guard))
        .with_state(context)
}

/// Refuses requests that were meant for another name; says what browsers may do with the answer.
async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    if context.only_this_machine && !names_this_machine(request.headers().get(header::HOST)) {
        return (StatusCode::MISDIRECTED_REQUEST, "this server answers for this machine only\n")
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn names_this_machine(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|h| h.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
