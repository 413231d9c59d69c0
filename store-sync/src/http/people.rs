//! Signing in, accounts, the audit log, and checking a configuration.

use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{set_cookie, token_of};
use super::routes::Limit;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::{Account, Person, Role};
use crate::desk::audit::AuditRow;

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The account; `null` for nobody.
    name: Option<String>,
    /// Its role.
    role: Option<Role>,
    /// Its password is one-time: change it first.
    must_change: bool,
    /// To be sent as `X-Linefree-Csrf` with whatever changes something.
    csrf: String,
}

impl Session {
    fn of(person: Option<Person>) -> Self {
        person.map_or(Self { name: None, role: None, must_change: false, csrf: String::new() }, |p| Self {
            name: Some(p.name),
            role: Some(p.role),
            must_change: p.must_change,
            csrf: p.csrf,
        })
    }
}

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SignIn {
    name: String,
    password: String,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewPassword {
    password: String,
}

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewAccount {
    name: String,
    role: Role,
    /// What a shopper enters with.
    credential: Option<String>,
}

/// An account's one-time password, told once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneTime {
    password: String,
}

/// An account to be let in, or not.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Disabled {
    name: String,
    disabled: bool,
}

/// The audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    /// Does every row's sum hold?
    whole: bool,
    /// Youngest first.
    rows: Vec<AuditRow>,
}

/// What a configuration says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigCheck {
    /// May it be used?
    ok: bool,
    /// Mistakes and warnings, with line and remedy.
    messages: Vec<String>,
}

/// Who is signed in with this session.
#[utoipa::path(get, path = "/api/session", responses((status = 200, description = "The answer.", body = Session)))]
pub(super) async fn session(request: Request) -> Json<Session> {
    Json(Session::of(request.extensions().get::<Person>().cloned()))
}

async fn with_session(context: &Context, token: String) -> Result<Response, Trouble> {
    let cookie = set_cookie(context, &token);
    let person = context.at_desk(move |desk| desk.person(&token, wall_us())).await?;
    Ok((cookie, Json(Session::of(person))).into_response())
}

/// Signs in with name and password.
#[utoipa::path(post, path = "/api/session", request_body = SignIn,
    responses((status = 200, description = "Signed in.", body = Session), (status = 409, description = "Refused.", body = super::answers::Problem)))]
pub(super) async fn sign_in(
    State(context): State<Context>,
    Json(asked): Json<SignIn>,
) -> Result<Response, Trouble> {
    let tries = std::sync::Arc::clone(&context.tries);
    let done = context
        .at_desk(move |desk| {
            let now = wall_us();
            let done = desk.sign_in(&tries, &asked.name, &asked.password, now);
            desk.note(None, "session.begin", &asked.name, "", done.is_ok(), now)?;
            done
        })
        .await?;
    with_session(&context, done).await
}

/// Signs out.
#[utoipa::path(delete, path = "/api/session", responses((status = 200, description = "Signed out.", body = Session)))]
pub(super) async fn sign_out(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    if let Some(token) = token_of(&headers).map(str::to_owned) {
        context.at_desk(move |desk| desk.sign_out(&token)).await?;
    }
    Ok((set_cookie(&context, ""), Json(Session::of(None))).into_response())
}

/// Changes one's own password; every other session of the account ends.
#[utoipa::path(post, path = "/api/password", request_body = NewPassword, responses((status = 200, description = "Changed.", body = Session)))]
pub(super) async fn password(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewPassword>,
) -> Result<Response, Trouble> {
    let token = context
        .at_desk(move |desk| {
            let done = desk.change_password(&person.name, &asked.password, wall_us());
            desk.note(Some(&person), "password.change", &person.name, "", done.is_ok(), wall_us())?;
            done
        })
        .await?;
    with_session(&context, token).await
}

/// Accounts of people who work here.
#[utoipa::path(get, path = "/api/accounts", responses((status = 200, description = "The answer.", body = [Account])))]
pub(super) async fn accounts(State(context): State<Context>) -> Result<Json<Vec<Account>>, Trouble> {
    Ok(Json(context.at_desk(crate::desk::Desk::accounts).await?))
}

/// Makes an account and tells its one-time password.
#[utoipa::path(post, path = "/api/accounts", request_body = NewAccount, responses((status = 200, description = "Made.", body = OneTime)))]
pub(super) async fn add_account(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewAccount>,
) -> Result<Json<OneTime>, Trouble> {
    let password = context
        .at_desk(move |desk| {
            let done = desk.add_account(&asked.name, asked.role, asked.credential.as_deref(), wall_us());
            let subject = if asked.role == Role::Shopper { "a shopper" } else { asked.name.as_str() };
            desk.note(Some(&person), "account.add", subject, asked.role.name(), done.is_ok(), wall_us())?;
            done
        })
        .await?;
    Ok(Json(OneTime { password }))
}

/// Lets an account sign in, or not.
#[utoipa::path(post, path = "/api/accounts/disabled", request_body = Disabled, responses((status = 200, description = "Done.", body = bool, content_type = "application/json")))]
pub(super) async fn disable_account(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<Disabled>,
) -> Result<Json<bool>, Trouble> {
    if asked.name == person.name {
        return Err(Trouble::Refused("nobody shuts themselves out".into()));
    }
    context
        .at_desk(move |desk| {
            let done = desk.set_disabled(&asked.name, asked.disabled);
            let detail = if asked.disabled { "disabled" } else { "enabled" };
            desk.note(Some(&person), "account.disable", &asked.name, detail, done.is_ok(), wall_us())?;
            done
        })
        .await?;
    Ok(Json(true))
}

/// Who did what to money and data, youngest first.
#[utoipa::path(get, path = "/api/audit", params(Limit), responses((status = 200, description = "The answer.", body = Audit)))]
pub(super) async fn audit(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Audit>, Trouble> {
    let (whole, rows) =
        context.at_desk(move |desk| Ok((desk.audit_is_whole()?, desk.audit(limit.rows())?))).await?;
    Ok(Json(Audit { whole, rows }))
}

/// Would a store.toml be taken? Nothing is changed.
#[utoipa::path(post, path = "/api/config/check", request_body = String, responses((status = 200, description = "The answer.", body = ConfigCheck)))]
pub(super) async fn check_config(text: String) -> Result<Json<ConfigCheck>, Trouble> {
    if text.is_empty() {
        return Err(Trouble::Malformed("the body is the text of a store.toml"));
    }
    let checked = tokio::task::spawn_blocking(move || {
        let path = std::path::Path::new("store.toml");
        match linefree_recording::StoreFile::parse(path, &text) {
            Ok(file) => {
                ConfigCheck { ok: true, messages: file.warnings.iter().map(ToString::to_string).collect() }
            }
            Err(mistakes) => {
                ConfigCheck { ok: false, messages: mistakes.iter().map(ToString::to_string).collect() }
            }
        }
    });
    checked.await.map(Json).map_err(|_| Trouble::Failed)
}
