//! Payments: how they stand for staff, a shopper's own, and the bank's call-backs.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use linefree_domain::payment::{Answer, AskKind, TripState};
use linefree_domain::units::Money;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::me::own;
use super::routes::Limit;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::ledger::LedgerError;
use crate::ledger::payment_book::TripRow;
use crate::payments::Payments;
use crate::payments::upi::reference_of;

/// The name under which the bank's side signs its call-backs: `store-sync channel add payments`.
pub(super) const CALLBACKS: &str = "payments";

/// How a visit's payment stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Payment {
    /// The visit.
    visit: String,
    /// `open`, `contested`, `bad_debt` or `by_hand`.
    state: &'static str,
    /// The visit is over, and paid as its receipt says.
    settled: bool,
    /// ISO 4217.
    currency: String,
    /// What it comes to, minor units.
    owed_minor: i64,
    /// Of that, what the shopper contests and nobody has answered yet.
    contested_minor: i64,
    /// Held, and not taken yet.
    authorised_minor: i64,
    /// Taken.
    captured_minor: i64,
    /// Paid back.
    refunded_minor: i64,
    /// Of what was taken, what the gateway was told is in dispute.
    disputed_minor: i64,
    /// What the gateway is being asked: `authorise`, `capture`, `release`, `refund` or `contest`.
    asking: Option<&'static str>,
    /// How much of it, minor units.
    asking_minor: Option<i64>,
    /// Times that no answer came.
    silences: u32,
    /// Waits for the payer.
    pending: bool,
    /// Why, for people.
    reason: Option<String>,
    /// When it last changed.
    changed_us: Option<i64>,
    /// Pays what is open by UPI: a link for the phone, and what a QR code holds. None while some of it is contested.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// Which visit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfVisit {
    visit: String,
}

/// The bank's side tells what became of a payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpiTold {
    /// The link's transaction reference.
    tr: String,
    /// What was paid, paise.
    amount_minor: i64,
    /// Was it paid?
    paid: bool,
    /// Why not, for people.
    #[serde(default)]
    reason: Option<String>,
}

/// What a gateway says of a question that it had answered with `pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum GatewaySaid {
    /// It is done.
    Approved,
    /// No.
    Declined,
    /// What was held is not held any more.
    Expired,
}

/// A hosted gateway calls back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewayTold {
    /// The `Idempotency-Key` of the question.
    key: String,
    state: GatewaySaid,
    /// What it calls the authorisation.
    #[serde(default)]
    reference: Option<String>,
    /// Why not, for people.
    #[serde(default)]
    reason: Option<String>,
}

fn ask_name(kind: AskKind) -> &'static str {
    match kind {
        AskKind::Authorise => "authorise",
        AskKind::Capture => "capture",
        AskKind::Release => "release",
        AskKind::Refund => "refund",
        AskKind::Contest => "contest",
    }
}

fn payment(row: TripRow, payments: &Payments) -> Payment {
    let TripRow { trip, bill, changed_us, .. } = row;
    let ask = trip.ask.as_ref();
    let link = match (payments.upi(), ask) {
        // Nobody is sent to pay what they contest: the link comes back with the answer.
        (Some(payee), Some(ask)) if ask.pending && ask.kind == AskKind::Capture && !bill.is_contested() => {
            payee.link(ask.amount.minor, &reference_of(&trip.key()), &format!("Visit {}", trip.id)).ok()
        }
        _ => None,
    };
    Payment {
        visit: trip.id.to_string(),
        state: match trip.state {
            TripState::Open if bill.is_contested() => "contested",
            TripState::Open => "open",
            TripState::BadDebt => "bad_debt",
            TripState::ByHand => "by_hand",
        },
        settled: trip.is_settled(&bill),
        currency: trip.currency.to_string(),
        owed_minor: bill.owed.minor,
        contested_minor: bill.contested.minor,
        authorised_minor: trip.authorised.minor,
        captured_minor: trip.captured.minor,
        refunded_minor: trip.refunded.minor,
        disputed_minor: trip.disputed.minor,
        asking: ask.map(|a| ask_name(a.kind)),
        asking_minor: ask.map(|a| a.amount.minor),
        silences: ask.map_or(0, |a| a.silences),
        pending: ask.is_some_and(|a| a.pending),
        reason: trip.reason,
        changed_us,
        link,
    }
}

impl Context {
    /// The payments, where this store has a gateway.
    fn payments(&self) -> Result<Arc<Payments>, Trouble> {
        self.payments.clone().ok_or(Trouble::NotFound("this store has no payment gateway"))
    }

    async fn at_payments<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Payments) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let payments = self.payments()?;
        self.progress.caught_up(super::PROJECTED_WITHIN).await;
        let done = tokio::task::spawn_blocking(move || act(&payments)).await;
        done.map_err(|_| Trouble::Failed)?.map_err(Trouble::of)
    }
}

/// Payments that were begun, last changed first.
#[utoipa::path(get, path = "/api/payments", params(Limit), responses((status = 200, description = "The answer.", body = [Payment]), (status = 404, description = "This store has no payment gateway.")))]
pub(super) async fn payments(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Payment>>, Trouble> {
    let all = context
        .at_payments(move |payments| {
            let rows = payments.at_book(|book| book.reader().trips(book.currency(), limit.rows()))?;
            Ok(rows.into_iter().map(|row| payment(row, payments)).collect())
        })
        .await?;
    Ok(Json(all))
}

/// A shopper's own payments, those that are open first.
#[utoipa::path(get, path = "/api/me/payments", responses((status = 200, description = "The answer.", body = [Payment]), (status = 404, description = "This store has no payment gateway.")))]
pub(super) async fn my_payments(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
) -> Result<Json<Vec<Payment>>, Trouble> {
    let credential = own(&person)?;
    let mut mine: Vec<Payment> = context
        .at_payments(move |payments| {
            let rows = payments.at_book(|book| {
                let (open, closed) = book.reader().visits_of(&credential)?;
                open.into_iter()
                    .chain(closed)
                    .filter_map(|visit| book.reader().trip(&visit, book.currency()).transpose())
                    .collect::<Result<Vec<TripRow>, LedgerError>>()
            })?;
            Ok(rows.into_iter().map(|row| payment(row, payments)).collect())
        })
        .await?;
    mine.sort_by_key(|p| (p.settled, std::cmp::Reverse(p.changed_us)));
    Ok(Json(mine))
}

/// Asks the gateway again for what it had declined: the shopper has seen to their means of payment.
#[utoipa::path(post, path = "/api/payments/try-again", request_body = OfVisit, responses((status = 200, description = "It will be asked again.", body = bool, content_type = "application/json"), (status = 404, description = "This store has no payment gateway.")))]
pub(super) async fn try_again(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<OfVisit>,
) -> Result<Json<bool>, Trouble> {
    let (payments, visit) = (context.payments()?, asked.visit.clone());
    let act = move || payments.at_book(|book| book.try_again(&asked.visit, wall_us()));
    let seq = context.audited(&person, "payment.try_again", &visit, "", act).await?;
    Ok(Json(seq > 0))
}

/// The bank's side tells that a UPI payment was made, or not. Signed as Standard Webhooks says; told twice, it counts once.
#[utoipa::path(post, path = "/api/hooks/payments/upi", request_body = UpiTold,
    responses((status = 200, description = "Noted; `false` when it was known.", body = bool, content_type = "application/json"), (status = 401, description = "The signature is not the bank's."), (status = 404, description = "Nobody waits for this reference."), (status = 409, description = "The amount is another one.")))]
pub(super) async fn upi_told(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<bool>, Trouble> {
    let told: UpiTold = context.heard(CALLBACKS, &headers, &body).await?;
    let found = context
        .at_payments(move |payments| {
            payments.at_book(|book| {
                let open = book.open_trips(false)?;
                let waits = open.into_iter().find(|row| {
                    let pending = row.trip.ask.as_ref().is_some_and(|a| a.pending);
                    pending && reference_of(&row.trip.key()) == told.tr
                });
                let Some(row) = waits else {
                    let known = book.reader().captures(i64::MIN, i64::MAX)?;
                    let known = known.iter().any(|c| reference_of(&c.key) == told.tr);
                    return Ok(if known { Some(0) } else { None });
                };
                let asked = row.trip.ask.as_ref().map_or(0, |a| a.amount.minor);
                let paid = Money::from_minor(told.amount_minor);
                if told.paid && !row.trip.has_asked_for(paid) {
                    return Err(LedgerError::Refused(format!(
                        "amount_minor is {}, but {asked} was asked for: people must look",
                        told.amount_minor
                    )));
                }
                let answer = if told.paid {
                    Answer::Paid(paid)
                } else {
                    Answer::Declined(told.reason.unwrap_or_else(|| "the payer did not pay".to_owned()))
                };
                let (visit, key) = (row.trip.id.to_string(), row.trip.key());
                Ok(Some(book.answered(&visit, &key, &answer, wall_us())?))
            })
        })
        .await?;
    let seq = found.ok_or(Trouble::NotFound("nobody waits for a payment with this reference"))?;
    context.written.tell(seq);
    Ok(Json(seq > 0))
}

/// A hosted gateway answers a question that it had left pending. Signed as Standard Webhooks says; told twice, it counts once.
#[utoipa::path(post, path = "/api/hooks/payments/gateway", request_body = GatewayTold,
    responses((status = 200, description = "Noted; `false` when it was known.", body = bool, content_type = "application/json"), (status = 401, description = "The signature is not the gateway's."), (status = 404, description = "Nobody has asked under this key."), (status = 409, description = "The key is none.")))]
pub(super) async fn gateway_told(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<bool>, Trouble> {
    let GatewayTold { key, state, reference, reason } = context.heard(CALLBACKS, &headers, &body).await?;
    let answer = match state {
        GatewaySaid::Approved => Answer::Approved(reference),
        GatewaySaid::Declined => Answer::Declined(reason.unwrap_or_else(|| "declined".to_owned())),
        GatewaySaid::Expired => Answer::Expired,
    };
    let found = context
        .at_payments(move |payments| {
            payments.at_book(|book| {
                let trip = match key.rsplit_once(':') {
                    Some((visit, _)) => book.reader().trip(visit, book.currency())?,
                    None => None,
                };
                // A key of a step that was never begun is nobody's.
                let step = key.rsplit_once(':').and_then(|(_, step)| step.parse::<u32>().ok());
                if !trip.is_some_and(|row| step.is_some_and(|step| (1..=row.trip.step).contains(&step))) {
                    return Ok(None);
                }
                book.called_back(&key, &answer, wall_us()).map(Some)
            })
        })
        .await?;
    let seq = found.ok_or(Trouble::NotFound("nobody has asked under this key"))?;
    context.written.tell(seq);
    Ok(Json(seq > 0))
}
