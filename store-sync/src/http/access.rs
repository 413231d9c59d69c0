//! Who may ask what.
//!
//! One table ([`needs`]) says which role a request needs; what it does not list is for staff to read and for managers to
//! change. A request is known by its session's cookie (HttpOnly, SameSite=Strict) or, for programs on this machine, by the
//! bearer token in the data folder's `reader-token`, which reads as an auditor and changes nothing. Whatever changes
//! something must carry the session's CSRF token and come from this origin. Each client has a budget of requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq as _;

use super::{Context, answers};
use crate::clock::wall_us;
use crate::desk::accounts::{Person, Role};

/// Name of the session's cookie.
const COOKIE: &str = "linefree";
/// The header that carries the CSRF token.
const CSRF: &str = "x-linefree-csrf";
/// Requests that a client may make at once, and per second after that.
const BUDGET: (f64, f64) = (300.0, 60.0);
/// Clients whose budget is remembered.
const MAX_CLIENTS: usize = 20_000;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Any session, even one whose password must be changed first.
    Session,
    /// A shopper's own pages.
    Shopper,
    /// To read: this role or an auditor.
    Read(Role),
    /// To change: this role.
    Change(Role),
}

/// What a request needs, by its method and path.
fn needs(method: &Method, path: &str) -> Needs {
    let reads = method == Method::GET || method == Method::HEAD;
    if !path.starts_with("/api/") && path != "/metrics" {
        return Needs::Nothing;
    }
    match (reads, path) {
        (_, "/api/session" | "/api/join") => Needs::Nothing,
        (true, "/api/openapi.json" | "/api/sign-in" | "/api/oidc/begin" | "/api/oidc/back") => Needs::Nothing,
        // Channels sign what they send; the door itself looks at it.
        (false, p) if p.starts_with("/api/hooks/") => Needs::Nothing,
        (false, "/api/password") => Needs::Session,
        (_, p) if p == "/api/me" || p.starts_with("/api/me/") => Needs::Shopper,
        (true, "/api/audit" | "/api/accounts" | "/api/config") => Needs::Read(Role::Ops),
        (
            false,
            "/api/accounts"
            | "/api/accounts/disabled"
            | "/api/config"
            | "/api/config/check"
            | "/api/rollout/back",
        ) => Needs::Change(Role::Ops),
        (
            false,
            "/api/reviews/answer"
            | "/api/reviews/undo"
            | "/api/stock/count"
            | "/api/entry/check"
            | "/api/orders"
            | "/api/orders/answer"
            | "/api/orders/collect"
            | "/api/orders/hand-over"
            | "/api/tasks"
            | "/api/tasks/tell"
            | "/api/robots/moved-home",
        ) => Needs::Change(Role::Staff),
        (true, _) => Needs::Read(Role::Staff),
        (false, _) => Needs::Change(Role::Manager),
    }
}

fn allowed(needs: Needs, role: Role) -> bool {
    match needs {
        Needs::Nothing | Needs::Session => true,
        Needs::Shopper => role == Role::Shopper,
        Needs::Read(least) => role == Role::Auditor || role.at_least(least),
        Needs::Change(least) => role.at_least(least),
    }
}

/// What clients may still ask.
#[derive(Debug, Default)]
pub(super) struct Budgets(Mutex<HashMap<String, (f64, Instant)>>);

impl Budgets {
    fn take(&self, client: &str, now: Instant) -> bool {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS {
            // A full budget says nothing; what is left is who asks a lot.
            clients
                .retain(|_, (left, at)| *left + now.duration_since(*at).as_secs_f64() * BUDGET.1 < BUDGET.0);
        }
        let (left, at) = clients.entry(client.to_owned()).or_insert((BUDGET.0, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * BUDGET.1).min(BUDGET.0);
        *at = now;
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }
}

/// A cookie of a request.
pub(super) fn cookie_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split(';').find_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The session's token in a request.
pub(super) fn token_of(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE)
}

/// What a cookie says where it must travel over TLS only.
pub(super) fn secure(context: &Context) -> &'static str {
    if context.only_this_machine { "" } else { "; Secure" }
}

/// The header that gives a session to a browser; an empty token takes it away.
pub(super) fn set_cookie(context: &Context, token: &str) -> [(header::HeaderName, String); 1] {
    let secure = secure(context);
    let lasts = if token.is_empty() { 0 } else { 365 * 24 * 3600 };
    [(
        header::SET_COOKIE,
        format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts}{secure}"),
    )]
}

fn no(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(answers::Problem { error: error.to_owned() })).into_response()
}

/// Does a request that changes something come from a page of this server?
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(header::HOST)
}

/// Lets a request through with whoever made it, or says why not.
pub(super) async fn check(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let needs = needs(&method, &path);
    let reads = method == Method::GET || method == Method::HEAD;
    let headers = request.headers();
    if !reads && !same_origin(headers) {
        return no(StatusCode::FORBIDDEN, "this request comes from another site");
    }
    let client = token_of(headers).map_or_else(
        || {
            let peer = request.extensions().get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
            peer.map_or(IpAddr::from([0, 0, 0, 0]), |p| p.0.ip()).to_string()
        },
        str::to_owned,
    );
    if path.starts_with("/api/") && !context.open && !context.budgets.take(&client, Instant::now()) {
        return no(StatusCode::TOO_MANY_REQUESTS, "too many requests: wait a moment");
    }
    let person = match who(&context, headers) {
        Ok(person) => person,
        Err(error) => {
            tracing::error!("sessions cannot be read: {error}");
            return no(StatusCode::INTERNAL_SERVER_ERROR, "sessions cannot be read; see the log");
        }
    };
    if needs != Needs::Nothing {
        let Some(person) = &person else {
            return no(StatusCode::UNAUTHORIZED, "sign in first");
        };
        if person.must_change && needs != Needs::Session {
            return no(StatusCode::FORBIDDEN, "change the one-time password first");
        }
        if !allowed(needs, person.role) {
            return no(StatusCode::FORBIDDEN, "your role may not do this");
        }
        let sent = headers.get(CSRF).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        if !reads && !context.open && !bool::from(sent.ct_eq(person.csrf.as_bytes())) {
            return no(StatusCode::FORBIDDEN, "the request lacks this session's token: reload the page");
        }
    }
    if let Some(person) = person {
        request.extensions_mut().insert(person);
    }
    next.run(request).await
}

/// Who asks; a look into a small table, quick enough to be done here.
fn who(context: &Context, headers: &HeaderMap) -> Result<Option<Person>, crate::desk::DeskError> {
    let program =
        |role, csrf| Person { name: "a program".into(), role, credential: None, must_change: false, csrf };
    if context.open {
        return Ok(Some(program(Role::Ops, String::new())));
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    if let Some(bearer) = bearer {
        let right = bool::from(bearer.as_bytes().ct_eq(context.reader_token.as_bytes()));
        // No CSRF token matches this one: it reads only.
        return Ok(right.then(|| program(Role::Auditor, "\u{0}".into())));
    }
    token_of(headers).map_or(Ok(None), |token| context.desk.person(token, wall_us()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_needs_gives_each_role_its_own() {
        use Role::{Auditor, Manager, Ops, Shopper, Staff};
        let may = |method: &Method, path: &str| {
            [Shopper, Staff, Manager, Ops, Auditor].map(|role| allowed(needs(method, path), role))
        };
        assert_eq!(may(&Method::GET, "/"), [true; 5]);
        assert_eq!(may(&Method::GET, "/api/receipts"), [false, true, true, true, true]);
        assert_eq!(may(&Method::GET, "/metrics"), [false, true, true, true, true]);
        assert_eq!(may(&Method::GET, "/api/audit"), [false, false, false, true, true]);
        assert_eq!(may(&Method::POST, "/api/reviews/answer"), [false, true, true, true, false]);
        assert_eq!(may(&Method::POST, "/api/orders/hand-over"), [false, true, true, true, false]);
        assert_eq!(may(&Method::POST, "/api/orders/cancel"), [false, false, true, true, false]);
        assert_eq!(may(&Method::POST, "/api/hooks/orders/app"), [true; 5]);
        assert_eq!(may(&Method::POST, "/api/refunds"), [false, false, true, true, false]);
        assert_eq!(may(&Method::POST, "/api/accounts"), [false, false, false, true, false]);
        assert_eq!(may(&Method::GET, "/api/config"), [false, false, false, true, true]);
        assert_eq!(may(&Method::POST, "/api/rollout/back"), [false, false, false, true, false]);
        assert_eq!(may(&Method::POST, "/api/planogram"), [false, false, true, true, false]);
        assert_eq!(may(&Method::GET, "/api/oidc/back"), [true; 5]);
        assert_eq!(may(&Method::POST, "/api/anything/new"), [false, false, true, true, false]);
        assert_eq!(may(&Method::POST, "/api/me/forget"), [true, false, false, false, false]);
        assert_eq!(may(&Method::GET, "/api/mean"), [false, true, true, true, true]);
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let budgets = Budgets::default();
        let now = Instant::now();
        assert_eq!((0..400).filter(|_| budgets.take("a", now)).count(), 300);
        assert!(budgets.take("b", now));
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| budgets.take("a", later)).count(), 60);
    }
}
