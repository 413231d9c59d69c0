//! The HTTP API, the console and the shopper's page.
//!
//! Whoever asks must be signed in and have the role for it (`access.rs`). A server that listens on this machine only answers
//! only requests addressed to this machine (a web page elsewhere must not read it through a re-bound name). Every answer
//! carries a content security policy that lets nothing in from elsewhere.

mod access;
mod answers;
mod config;
mod console;
mod desk;
mod entering;
mod insights;
mod live;
mod map;
mod me;
mod metrics;
mod oidc;
mod openapi;
mod order_desk;
mod orders;
mod payments;
mod people;
mod prices;
mod proofs;
mod robots;
mod rollout;
mod routes;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use linefree_domain::layout::StoreLayout;
use tokio::sync::{mpsc, watch};

use crate::clock::wall_us;
use crate::config::Config;
use crate::desk::accounts::{Person, Tries};
use crate::desk::{Desk, DeskError};
use crate::gs1::Place;
use crate::ledger::order_book::OrderBook;
use crate::ledger::staff::Staff;
use crate::ledger::{LedgerError, LedgerReader};
use crate::live::Live;
use crate::oidc::Oidc;
use crate::outbox::RunningOutbox;
use crate::payments::Payments;
use crate::projecting::{Progress, Written};
use crate::risk::GatePolicy;
use crate::robots::service::{Command as RobotCommand, RobotView};
use crate::rollout::RolloutDesk;
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
    written: Written,
    stop: watch::Receiver<bool>,
    only_this_machine: bool,
    desk: Arc<Desk>,
    staff: Arc<Mutex<Staff>>,
    orders: Arc<Mutex<OrderBook>>,
    payments: Option<Arc<Payments>>,
    gate_policy: Option<Arc<GatePolicy>>,
    refusals: Arc<entering::Refusals>,
    robots: Option<RobotsDesk>,
    rollout: Option<RolloutDesk>,
    config: Option<Arc<Config>>,
    oidc: Option<Arc<Oidc>>,
    facings: Arc<BTreeSet<(String, String)>>,
    ledger: PathBuf,
    tries: Arc<Tries>,
    budgets: Arc<access::Budgets>,
    reader_token: Arc<str>,
    /// Nobody signs in: everybody may do everything.
    open: bool,
}

/// Robots, as people see and help them.
#[derive(Debug, Clone)]
pub struct RobotsDesk {
    /// How they are.
    pub views: watch::Receiver<Vec<RobotView>>,
    /// What they are told.
    pub commands: mpsc::Sender<RobotCommand>,
}

/// The store as the server knows it.
pub struct Parts<'a> {
    /// As whom the store speaks to others.
    pub identity: Identity,
    /// The store.
    pub layout: &'a StoreLayout,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// The ledger's file.
    pub ledger: PathBuf,
    /// Accounts and what they do.
    pub desk: Arc<Desk>,
    /// Writes what people decide.
    pub staff: Staff,
    /// Writes what becomes of orders and tasks.
    pub orders: Arc<Mutex<OrderBook>>,
    /// Payments, where the store has a gateway.
    pub payments: Option<Arc<Payments>>,
    /// Who may enter, where somebody is asked.
    pub gate_policy: Option<Arc<GatePolicy>>,
    /// Robots, where the store has any.
    pub robots: Option<RobotsDesk>,
    /// The roll-out, where there is one.
    pub rollout: Option<RolloutDesk>,
    /// store.toml, where it can be edited.
    pub config: Option<Arc<Config>>,
    /// The chain's provider to sign in at.
    pub oidc: Option<Oidc>,
    /// What programs on this machine read with.
    pub reader_token: String,
    /// Nobody signs in.
    pub open: bool,
}

/// Which product belongs on which plate: (plate, SKU).
pub(crate) fn facings_of(layout: &StoreLayout) -> BTreeSet<(String, String)> {
    let names = |f: &linefree_domain::layout::Facing| {
        let sku = layout.products[f.product.0].sku.to_string();
        f.plates.iter().map(|p| (layout.plates[p.0].id.to_string(), sku.clone())).collect::<Vec<_>>()
    };
    layout.facings.iter().flat_map(names).collect()
}

impl Context {
    /// For a store and its ledger.
    #[must_use]
    pub fn new(
        reader: LedgerReader,
        parts: Parts<'_>,
        live: Arc<Live>,
        outbox: Option<Arc<RunningOutbox>>,
        (progress, written): (Arc<Progress>, Written),
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            reader: Arc::new(Mutex::new(reader)),
            live,
            outbox,
            map: Arc::new(map::of(parts.layout)),
            identity: Arc::new(parts.identity),
            progress,
            written,
            stop,
            only_this_machine: parts.listen.ip().is_loopback(),
            desk: parts.desk,
            staff: Arc::new(Mutex::new(parts.staff)),
            orders: parts.orders,
            payments: parts.payments,
            gate_policy: parts.gate_policy,
            refusals: Arc::default(),
            robots: parts.robots,
            rollout: parts.rollout,
            config: parts.config,
            oidc: parts.oidc.map(Arc::new),
            facings: Arc::new(facings_of(parts.layout)),
            ledger: parts.ledger,
            tries: Arc::default(),
            budgets: Arc::default(),
            reader_token: parts.reader_token.into(),
            open: parts.open,
        }
    }

    /// Does something at the desk on a thread where waiting is allowed.
    async fn at_desk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Desk) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let desk = Arc::clone(&self.desk);
        match tokio::task::spawn_blocking(move || act(&desk)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(DeskError::Refused(why))) => Err(Trouble::Refused(why)),
            Ok(Err(e)) => {
                tracing::error!("the console's own file: {e}");
                Err(Trouble::Failed)
            }
            Err(_) => Err(Trouble::Failed),
        }
    }

    /// Writes a decision to the ledger, and to the audit log before that: what is not noted is not done. `act` returns the
    /// place of its last event, 0 when it writes none.
    async fn audited(
        &self,
        person: &Person,
        action: &'static str,
        subject: &str,
        detail: &str,
        act: impl FnOnce() -> Result<u64, LedgerError> + Send + 'static,
    ) -> Result<u64, Trouble> {
        let (person, subject, detail) = (person.clone(), subject.to_owned(), detail.to_owned());
        let note = move |desk: &Desk, action: &str, done| {
            desk.note(Some(&person), action, &subject, &detail, done, wall_us())
        };
        let asked = note.clone();
        self.at_desk(move |desk| asked(desk, action, true)).await?;
        match tokio::task::spawn_blocking(act).await.map_err(|_| Trouble::Failed)? {
            Ok(ledger_seq) => {
                self.written.tell(ledger_seq);
                Ok(ledger_seq)
            }
            Err(e) => {
                self.at_desk(move |desk| note(desk, &format!("{action}.refused"), false)).await?;
                Err(Trouble::of(e))
            }
        }
    }

    /// As [`Self::audited`], for what staff decide.
    async fn decide(
        &self,
        person: &Person,
        action: &'static str,
        subject: &str,
        detail: &str,
        act: impl FnOnce(&mut Staff) -> Result<u64, LedgerError> + Send + 'static,
    ) -> Result<(), Trouble> {
        let staff = Arc::clone(&self.staff);
        let act = move || act(&mut staff.lock().unwrap_or_else(PoisonError::into_inner));
        self.audited(person, action, subject, detail, act).await.map(drop)
    }

    /// Writes the answers to reviews that can no longer be undone.
    pub(crate) async fn write_due_answers(&self) {
        let Ok(due) = self.at_desk(|desk| desk.held(Some(wall_us()))).await else { return };
        for answer in due {
            let (visit, sku) = (answer.visit.clone(), answer.sku.clone());
            let staff = Arc::clone(&self.staff);
            let done = tokio::task::spawn_blocking(move || {
                let mut staff = staff.lock().unwrap_or_else(PoisonError::into_inner);
                staff.answer(&answer.visit, &answer.sku, answer.quantity, wall_us())
            });
            match done.await {
                Ok(Ok(seq)) => self.written.tell(seq),
                // It can never be written: somebody else has answered.
                Ok(Err(LedgerError::Refused(why))) => {
                    tracing::warn!(visit, sku, "an answer was not written: {why}");
                }
                Ok(Err(e)) => {
                    tracing::warn!(visit, sku, "an answer was not written yet: {e}");
                    continue;
                }
                Err(_) => continue,
            }
            let _ = self.at_desk(move |desk| desk.let_go_of(&visit, &sku)).await;
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
    /// Makes no sense, or is not allowed; the words are for whoever asked.
    Refused(String),
    /// Nobody whom the store knows.
    Stranger(String),
    Failed,
}

impl Trouble {
    fn of(e: LedgerError) -> Self {
        match e {
            e @ (LedgerError::Refused(_) | LedgerError::Busy(_)) => Self::Refused(e.to_string()),
            e => {
                tracing::error!("the ledger: {e}");
                Self::Failed
            }
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what.to_owned()),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why.to_owned()),
            Self::Refused(why) => (StatusCode::CONFLICT, why),
            Self::Stranger(why) => (StatusCode::UNAUTHORIZED, why),
            Self::Failed => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the server could not do it; see its log".to_owned())
            }
        };
        (status, axum::Json(answers::Problem { error })).into_response()
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
        .route("/api/orders", get(orders::orders).post(order_desk::place))
        .route("/api/orders/answer", post(order_desk::answer))
        .route("/api/orders/cancel", post(order_desk::cancel))
        .route("/api/orders/collect", post(order_desk::collect))
        .route("/api/orders/hand-over", post(order_desk::hand_over))
        .route("/api/robots", get(robots::robots))
        .route("/api/robots/moved-home", post(robots::moved_home))
        .route("/api/price-rules", get(prices::price_rules))
        .route("/api/payments", get(payments::payments))
        .route("/api/payments/try-again", post(payments::try_again))
        .route("/api/hooks/payments/upi", post(payments::upi_told))
        .route("/api/hooks/payments/gateway", post(payments::gateway_told))
        .route("/api/tasks", get(orders::tasks).post(order_desk::add_task))
        .route("/api/tasks/tell", post(order_desk::tell_task))
        .route("/api/hooks/orders/{channel}", post(order_desk::hook_place))
        .route("/api/hooks/orders/{channel}/state", post(order_desk::hook_state))
        .route("/api/hooks/orders/{channel}/answer", post(order_desk::hook_answer))
        .route("/api/hooks/orders/{channel}/cancel", post(order_desk::hook_cancel))
        .route("/api/hooks/orders/{channel}/hand-over", post(order_desk::hook_hand_over))
        .route("/api/reorder", get(orders::reorder))
        .route("/api/reviews", get(desk::reviews))
        .route("/api/reviews/answer", post(desk::answer_review))
        .route("/api/reviews/undo", post(desk::undo_answer))
        .route("/api/receipts/{visit}/money", get(desk::money))
        .route("/api/refunds", post(desk::refund))
        .route("/api/contests", get(desk::contests))
        .route("/api/contests/settle", post(desk::settle))
        .route("/api/stock/count", post(desk::count))
        .route("/api/misplaced", get(desk::misplaced))
        .route("/api/timeline", get(desk::timeline))
        .route("/api/moment", get(desk::moment))
        .route("/api/insights", get(insights::insights))
        .route("/api/sign-in", get(oidc::ways))
        .route("/api/oidc/begin", get(oidc::begin))
        .route("/api/oidc/back", get(oidc::back))
        .route("/api/rollout", get(rollout::rollout))
        .route("/api/rollout/back", post(rollout::take_back))
        .route("/api/config", get(config::read).post(config::save))
        .route("/api/calibration", get(config::calibration))
        .route("/api/planogram", get(config::planogram).post(config::save_planogram))
        .route("/api/session", get(people::session).post(people::sign_in).delete(people::sign_out))
        .route("/api/password", post(people::password))
        .route("/api/accounts", get(people::accounts).post(people::add_account))
        .route("/api/accounts/disabled", post(people::disable_account))
        .route("/api/audit", get(people::audit))
        .route("/api/config/check", post(people::check_config))
        .route("/api/join", post(me::join))
        .route("/api/me", get(me::me))
        .route("/api/me/payments", get(payments::my_payments))
        .route("/api/me/entry", post(entering::entry))
        .route("/api/me/receipts/{visit}/signed", get(me::signed))
        .route("/api/me/show", post(me::show))
        .route("/api/me/contest", post(me::contest))
        .route("/api/me/forget", post(me::forget))
        .route("/api/entry/refused", get(entering::refused))
        .route("/api/entry/check", post(entering::check_entry))
        .route("/metrics", get(metrics::metrics))
        .route("/api/live", get(live::live))
        .route("/api/openapi.json", get(openapi::openapi))
        .route("/healthz", get(routes::healthz))
        .fallback(console::file)
        .layer(axum::extract::DefaultBodyLimit::max(1024 * 1024))
        .layer(middleware::from_fn_with_state(context.clone(), access::check))
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
             manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ),
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
