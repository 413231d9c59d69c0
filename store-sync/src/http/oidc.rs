//! The two steps of signing in at the chain's provider: out, and back.
//!
//! The browser's own secret travels in a cookie that only these two paths see, with SameSite=Lax: coming back from the
//! provider is a step from another site. Why somebody is not signed in reaches the page as one of a few words; the rest is in
//! the log.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{cookie_of, secure, set_cookie};
use super::answers::Problem;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::DeskError;
use crate::oidc::{Oidc, OidcError};

const COOKIE: &str = "linefree-oidc";

/// How people may sign in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignInWays {
    /// The host of the chain's provider; `null` where there is none.
    provider: Option<String>,
}

/// What the provider gave the browser.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Back {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// How people may sign in.
#[utoipa::path(get, path = "/api/sign-in", responses((status = 200, description = "The answer.", body = SignInWays)))]
pub(super) async fn ways(State(context): State<Context>) -> Json<SignInWays> {
    Json(SignInWays { provider: context.oidc.as_ref().map(|o| o.host().to_owned()) })
}

fn provider(context: &Context) -> Result<Arc<Oidc>, Trouble> {
    context.oidc.clone().ok_or(Trouble::NotFound("this store has no provider to sign in at"))
}

fn to(place: &str, cookie: String) -> Response {
    let headers: [(HeaderName, String); 2] =
        [(header::LOCATION, place.to_owned()), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn own_cookie(context: &Context, secret: &str) -> String {
    let lasts_s = if secret.is_empty() { 0 } else { 600 };
    let secure = secure(context);
    format!("{COOKIE}={secret}; Path=/api/oidc; HttpOnly; SameSite=Lax; Max-Age={lasts_s}{secure}")
}

/// Sends the browser to the provider.
#[utoipa::path(get, path = "/api/oidc/begin", responses((status = 303, description = "To the provider."), (status = 404, description = "This store has no provider.", body = Problem)))]
pub(super) async fn begin(State(context): State<Context>) -> Result<Response, Trouble> {
    let oidc = provider(&context)?;
    let begun =
        tokio::task::spawn_blocking(move || oidc.begin(wall_us())).await.map_err(|_| Trouble::Failed)?;
    Ok(match begun {
        Ok(begun) => to(&begun.url, own_cookie(&context, &begun.browser)),
        Err(error) => {
            tracing::warn!("nobody can sign in at the provider: {error}");
            to("/#sign-in=provider", own_cookie(&context, ""))
        }
    })
}

/// The browser is back from the provider: a session, or why not.
#[utoipa::path(get, path = "/api/oidc/back", params(Back), responses((status = 303, description = "To the console."), (status = 404, description = "This store has no provider.", body = Problem)))]
pub(super) async fn back(
    State(context): State<Context>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Trouble> {
    let oidc = provider(&context)?;
    let browser = cookie_of(&headers, COOKIE).unwrap_or_default().to_owned();
    let finished = tokio::task::spawn_blocking(move || match (back.state, back.code, back.error) {
        (_, _, Some(error)) => Err(OidcError::Refused(error)),
        (Some(state), Some(code), None) => oidc.finish(&browser, &state, &code, wall_us()),
        _ => Err(OidcError::Stale),
    });
    let finished = finished.await.map_err(|_| Trouble::Failed)?;
    let refused = |word: &str| to(&format!("/#sign-in={word}"), own_cookie(&context, ""));
    let known = match finished {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!("a sign-in by the provider failed: {error}");
            let (word, who) = match error {
                OidcError::Provider(_) => ("provider", String::new()),
                OidcError::Stale => ("stale", String::new()),
                OidcError::Refused(_) => ("refused", String::new()),
                OidcError::NoRole(who) => ("role", who),
            };
            let note = move |desk: &crate::desk::Desk| {
                desk.note(None, "session.begin", &who, &format!("by the provider: {word}"), false, wall_us())
            };
            context.at_desk(note).await?;
            return Ok(refused(word));
        }
    };
    let signed_in = context.at_desk(move |desk| {
        let done = match desk.sign_in_known(&known, wall_us()) {
            Err(DeskError::Refused(_)) => Ok(None),
            other => other.map(Some),
        };
        let account =
            done.as_ref().ok().and_then(|d| d.as_ref()).map_or(known.name.as_str(), |(_, name)| name);
        let ok = matches!(done, Ok(Some(_)));
        desk.note(None, "session.begin", account, "by the provider", ok, wall_us())?;
        done
    });
    let Some((token, _)) = signed_in.await? else { return Ok(refused("out")) };
    let mut response = to("/", own_cookie(&context, ""));
    let [(name, value)] = set_cookie(&context, &token);
    if let Ok(value) = value.parse() {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}
