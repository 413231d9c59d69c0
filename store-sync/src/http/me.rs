//! A shopper's own pages: basket, receipts, contests, deleting one's data.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::set_cookie;
use super::answers::{Cart, Receipt};
use super::desk::{Money, money_of};
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::ledger::LedgerError;
use crate::ledger::shown::ShownRow;

/// What a shopper sees.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    /// What people call the store.
    store: String,
    /// IANA time zone name.
    timezone: String,
    /// ISO 4217.
    currency: String,
    credential: String,
    /// The visit that lasts now.
    cart: Option<Cart>,
    /// Receipts, youngest first, with what became of their money.
    receipts: Vec<MyReceipt>,
    /// Points, and what is shown for the next receipt.
    purse: Purse,
}

/// What the shopper has, and shows for the next receipt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purse {
    /// Points that were earned and not redeemed yet.
    points: u64,
    /// What a point takes off, minor units; `null` where the store gives none.
    point_worth_minor: Option<i64>,
    /// Codes of coupons that are shown.
    shown_codes: Vec<String>,
    /// Points that are to be redeemed.
    shown_points: u64,
}

/// What is to be shown for the next receipt, instead of what was shown before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Show {
    /// Codes of coupons.
    codes: std::collections::BTreeSet<String>,
    /// Points to be redeemed; a receipt takes no more than it costs.
    points: u64,
}

/// A receipt with its money.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MyReceipt {
    #[serde(flatten)]
    receipt: Receipt,
    money: Money,
}

/// A line that the shopper contests.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewContest {
    visit: String,
    sku: String,
    words: String,
}

pub(super) fn own(person: &Person) -> Result<String, Trouble> {
    person.credential.clone().ok_or(Trouble::NotFound("this account has no credential"))
}

/// A phone that has no account gets one, without a name: it is known by a pseudonym only.
#[utoipa::path(post, path = "/api/join", responses((status = 200, description = "Joined.", body = bool, content_type = "application/json")))]
pub(super) async fn join(State(context): State<Context>) -> Result<Response, Trouble> {
    let token = context.at_desk(|desk| desk.join(wall_us())).await?;
    Ok((set_cookie(&context, &token), Json(true)).into_response())
}

/// The shopper's basket and receipts.
#[utoipa::path(get, path = "/api/me", responses((status = 200, description = "The answer.", body = Me)))]
pub(super) async fn me(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
) -> Result<Json<Me>, Trouble> {
    let credential = own(&person)?;
    let asked = credential.clone();
    let (cart, receipts, purse) = context
        .ask(move |ledger| {
            let (open, closed) = ledger.visits_of(&asked)?;
            let cart = match open {
                Some(visit) => ledger.cart(&visit)?,
                None => None,
            };
            let mut receipts = Vec::new();
            for visit in closed {
                receipts.extend(ledger.receipt(&visit)?);
            }
            Ok((cart, receipts, ledger.purse(&asked, wall_us())?))
        })
        .await?;
    let mut mine = Vec::new();
    for receipt in receipts {
        let mut money = money_of(&context, receipt.visit.clone()).await?;
        // What sellers and the store have agreed is between them.
        money.sellers.clear();
        mine.push(MyReceipt { receipt: receipt.into(), money });
    }
    let map = &context.map;
    let (store, timezone, currency) = (map.name.clone(), map.timezone.clone(), map.currency.clone());
    let purse = Purse {
        points: purse.points,
        point_worth_minor: purse.point_worth_minor,
        shown_codes: purse.shown.codes.into_iter().collect(),
        shown_points: purse.shown.points,
    };
    let cart = cart.map(Into::into);
    Ok(Json(Me { store, timezone, currency, credential, cart, receipts: mine, purse }))
}

/// Shows coupons and points for the shopper's next receipt.
#[utoipa::path(post, path = "/api/me/show", request_body = Show, responses((status = 200, description = "Noted.", body = bool, content_type = "application/json")))]
pub(super) async fn show(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<Show>,
) -> Result<Json<bool>, Trouble> {
    let credential = own(&person)?;
    let detail = format!("{} coupons, {} points", asked.codes.len(), asked.points);
    let wanted = ShownRow { codes: asked.codes, points: asked.points };
    context
        .decide(&person, "shopper.show", "a shopper", &detail, move |staff| {
            staff.show(&credential, &wanted, wall_us())
        })
        .await?;
    Ok(Json(true))
}

/// The shopper's own receipt as a document that proves itself: the same that staff can give out.
#[utoipa::path(get, path = "/api/me/receipts/{visit}/signed", params(("visit" = String, Path, description = "The visit.")),
    responses((status = 200, description = "`receipt` and `signature`.", body = Object), (status = 404, description = "It is not theirs.", body = super::answers::Problem)))]
pub(super) async fn signed(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Path(visit): Path<String>,
) -> Result<Json<serde_json::Value>, Trouble> {
    let (credential, asked) = (own(&person)?, visit.clone());
    let receipt = context.ask(move |ledger| ledger.receipt(&asked)).await?;
    if receipt.is_none_or(|r| r.credential.as_deref() != Some(&credential)) {
        return Err(Trouble::NotFound("this is no receipt of yours"));
    }
    super::proofs::signed_receipt(State(context), Path(visit)).await
}

/// Contests a line of one's own receipt.
#[utoipa::path(post, path = "/api/me/contest", request_body = NewContest, responses((status = 200, description = "Noted.", body = bool, content_type = "application/json")))]
pub(super) async fn contest(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewContest>,
) -> Result<Json<bool>, Trouble> {
    let (credential, visit) = (own(&person)?, asked.visit.clone());
    let receipt = context.ask(move |ledger| ledger.receipt(&visit)).await?;
    let mine = receipt.filter(|r| r.credential.as_deref() == Some(&credential));
    if !mine.is_some_and(|r| r.lines.iter().any(|l| l.sku == asked.sku)) {
        return Err(Trouble::NotFound("this is no line of a receipt of yours"));
    }
    let (visit, sku) = (asked.visit.clone(), asked.sku.clone());
    let id =
        context.at_desk(move |desk| desk.contest(&asked.visit, &asked.sku, &asked.words, wall_us())).await?;
    let (contest, subject, detail) = (id.clone(), visit.clone(), sku.clone());
    let noted = context
        .decide(&person, "contest.open", &subject, &detail, move |staff| {
            staff.contest(&contest, &visit, &sku, wall_us())
        })
        .await;
    if noted.is_err() {
        context.at_desk(move |desk| desk.withdraw(&id)).await?;
    }
    noted?;
    Ok(Json(true))
}

/// Deletes the shopper's account and credential everywhere; what was bought stays, under nobody's name.
#[utoipa::path(post, path = "/api/me/forget", responses((status = 200, description = "Forgotten.", body = bool, content_type = "application/json")))]
pub(super) async fn forget(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
) -> Result<Response, Trouble> {
    let credential = own(&person)?;
    let (ledger, asked) = (context.ledger.clone(), credential.clone());
    let told = tokio::task::spawn_blocking(move || {
        match crate::ledger::personal::forget(&ledger, &asked, wall_us()) {
            Ok(forgotten) => Ok(Some(forgotten.ledger_seq)),
            // Somebody who never came has nothing there.
            Err(LedgerError::Refused(why)) if why.starts_with("no event") => Ok(None),
            Err(e) => Err(e),
        }
    });
    let forgotten = credential.clone();
    let done = told.await.map_err(|_| Trouble::Failed)?;
    if let Ok(Some(seq)) = &done {
        context.progress.on_stored(*seq);
    }
    let done = done.map_err(Trouble::of);
    let ok = done.is_ok();
    context
        .at_desk(move |desk| {
            desk.note(Some(&person), "shopper.forget", "a shopper", "", ok, wall_us())?;
            if ok { desk.forget_credential(&credential) } else { Ok(()) }
        })
        .await?;
    done?;
    context.refusals.forget(&forgotten);
    // The projections follow within moments; then the write-ahead logs, which may hold what was deleted, are emptied.
    context.progress.caught_up(super::PROJECTED_WITHIN).await;
    let ledger = context.ledger.clone();
    let emptied = tokio::task::spawn_blocking(move || crate::ledger::personal::empty_logs(&ledger)).await;
    if !matches!(emptied, Ok(Ok(true))) {
        tracing::info!("the write-ahead logs are in use; they are emptied with the next checkpoint");
    }
    if let Some(outbox) = &context.outbox {
        outbox.wake();
    }
    Ok((set_cookie(&context, ""), Json(true)).into_response())
}
