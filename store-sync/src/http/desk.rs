//! What staff decide, and what they need to see for it: reviews, refunds, contests, counts, the past.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use linefree_bus::payload::ContestState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answers::Evidence;
use super::prices::PriceChange;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::desk::reviews::{Contest, HOLD_US, HeldAnswer};
use crate::ledger::{LedgerReader, ReviewRow};

/// A line that waits for a person, with everything there is to decide by.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Review {
    visit: String,
    left_us: i64,
    sku: String,
    name: String,
    quantity: u32,
    unit_price_minor: i64,
    probability: f64,
    /// An answer that can still be undone.
    held: Option<HeldAnswer>,
    /// Shelf events that some explanation makes this line of.
    evidence: Vec<Doubt>,
}

/// A shelf event with what is around it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Doubt {
    #[serde(flatten)]
    event: Evidence,
    /// The plate that changed most, if the ledger still has the event.
    plate: Option<String>,
    /// Steps of that plate's weight in the two minutes around the event.
    steps: Vec<Step>,
    /// Where people stood when it ended; empty when that is forgotten.
    positions: Vec<Stood>,
}

/// A step of a plate's weight.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Step {
    start_us: i64,
    end_us: i64,
    delta_g: f64,
    sd_g: f64,
}

/// Where somebody stood.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stood {
    shopper: u32,
    visit: Option<String>,
    at: [f64; 2],
    radius_m: f64,
}

/// An answer to a review.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Answer {
    visit: String,
    sku: String,
    /// How many the shopper pays for.
    quantity: u32,
}

/// A line.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct LineOf {
    visit: String,
    sku: String,
}

/// A refund to be issued.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewRefund {
    /// Drawn by the caller, so that the same request twice is one refund.
    refund: String,
    visit: String,
    lines: Vec<RefundQuantity>,
    reason: String,
}

/// How many of a product go back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct RefundQuantity {
    sku: String,
    quantity: u32,
}

/// What became of a visit's money.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Money {
    currency: String,
    charge_minor: i64,
    answered_minor: i64,
    refunded_minor: i64,
    open_minor: i64,
    /// Contested, and not answered yet.
    contested_minor: i64,
    /// Answered reviews.
    answers: Vec<Answered>,
    refunds: Vec<Refund>,
    contests: Vec<Contest>,
    /// What each seller is owed of it: sums to what was charged and answered less what went back. Shoppers are not told.
    pub(super) sellers: Vec<Share>,
}

/// A seller's share.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Share {
    /// Who; `store` for the store itself.
    seller: String,
    /// Paid for the seller's lines and not paid back, with tax.
    paid_minor: i64,
    /// The tax in it.
    tax_minor: i64,
    /// What the store keeps.
    commission_minor: i64,
}

/// An answered review: how many are paid, what they cost, and how that came about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answered {
    sku: String,
    quantity: u32,
    charge_minor: i64,
    explained: Vec<PriceChange>,
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refund {
    refund: String,
    amount_minor: i64,
    reason: String,
    issued_us: i64,
    lines: Vec<RefundQuantity>,
}

/// How a contest ends.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Settlement {
    contest: String,
    /// How many of the contested line go back; 0 refuses it.
    quantity: u32,
    /// What the shopper is told.
    answer: String,
}

/// A count of a plate.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Count {
    plate: String,
    sku: String,
    quantity: u32,
}

/// An item that lies where the planogram has another product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Misplaced {
    plate: String,
    sku: String,
    quantity: i32,
    probability: f64,
    time_us: i64,
}

/// Which moment.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct At {
    /// Event time.
    at_us: i64,
}

/// The store at a moment of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Past {
    carts: Vec<PastCart>,
    receipts: u64,
    /// Plates that changed within ten seconds before, by how many grams.
    plates: Vec<(String, f64)>,
    /// Where people were; empty when that is forgotten.
    shoppers: Vec<Stood>,
}

/// A cart at a moment of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PastCart {
    visit: String,
    credential: Option<String>,
    opened_us: i64,
    #[schema(value_type = Object)]
    lines: serde_json::Value,
}

/// What the timeline spans.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    from_us: i64,
    to_us: i64,
    /// Events by kind in each of 200 stretches.
    buckets: Vec<BTreeMap<String, u64>>,
}

const BUCKETS: u32 = 200;
const AROUND_US: i64 = 60_000_000;

fn stood(context: &Context, at_us: i64) -> Vec<Stood> {
    let looks = context.live.trails.at(at_us).into_iter();
    looks.map(|s| Stood { shopper: s.shopper, visit: s.visit, at: s.at, radius_m: s.radius_m }).collect()
}

fn doubts(ledger: &LedgerReader, row: &ReviewRow) -> Result<Vec<Doubt>, crate::ledger::LedgerError> {
    let mut out = Vec::new();
    for found in ledger.evidence(&row.visit)? {
        let here = |c: &crate::ledger::CandidateRow| {
            c.visit.as_deref() == Some(&row.visit) && c.sku.as_deref() == Some(&row.sku)
        };
        if !found.candidates.iter().any(here) {
            continue;
        }
        let main = found.plates.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).map(|(p, _)| p.clone());
        let steps = match (&main, found.shelf) {
            (Some(plate), Some((start, end, ..))) => {
                ledger.plate_steps(plate, start - AROUND_US, end + AROUND_US)?
            }
            _ => Vec::new(),
        };
        let step = |s: crate::ledger::PlateStep| Step {
            start_us: s.start_us,
            end_us: s.end_us,
            delta_g: s.delta_g,
            sd_g: s.sd_g,
        };
        out.push(Doubt {
            event: found.into(),
            plate: main,
            steps: steps.into_iter().map(step).collect(),
            positions: Vec::new(),
        });
    }
    Ok(out)
}

/// Lines in review, oldest first, with their evidence.
#[utoipa::path(get, path = "/api/reviews", responses((status = 200, description = "The answer.", body = [Review])))]
pub(super) async fn reviews(State(context): State<Context>) -> Result<Json<Vec<Review>>, Trouble> {
    let held = context.at_desk(|desk| desk.held(None)).await?;
    let rows = context
        .ask(|ledger| {
            ledger
                .reviews(100)?
                .into_iter()
                .map(|row| Ok((doubts(ledger, &row)?, row)))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let review = |(mut evidence, row): (Vec<Doubt>, ReviewRow)| {
        for doubt in &mut evidence {
            doubt.positions =
                doubt.event.shelf.as_ref().map(|s| stood(&context, s.end_us)).unwrap_or_default();
        }
        Review {
            held: held.iter().find(|h| h.visit == row.visit && h.sku == row.sku).cloned(),
            visit: row.visit,
            left_us: row.left_us,
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price_minor: row.unit_price_minor,
            probability: row.probability,
            evidence,
        }
    };
    Ok(Json(rows.into_iter().map(review).collect()))
}

/// Answers a review. It is written to the ledger and charged ten seconds later; until then it can be undone.
#[utoipa::path(post, path = "/api/reviews/answer", request_body = Answer, responses((status = 200, description = "Held.", body = HeldAnswer)))]
pub(super) async fn answer_review(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<Answer>,
) -> Result<Json<HeldAnswer>, Trouble> {
    let (visit, sku) = (asked.visit.clone(), asked.sku.clone());
    let open = context
        .ask(move |ledger| {
            let found =
                ledger.receipt(&visit)?.and_then(|r| r.lines.into_iter().find(|l| l.sku == sku && l.review));
            Ok(if ledger.is_answered(&visit, &sku)? { None } else { found })
        })
        .await?;
    let Some(line) = open else {
        return Err(Trouble::Refused("this line does not wait for an answer".into()));
    };
    if asked.quantity > line.quantity {
        return Err(Trouble::Refused(format!("the line has {} at most", line.quantity)));
    }
    let held = HeldAnswer {
        visit: asked.visit,
        sku: asked.sku,
        quantity: asked.quantity,
        who: person.name.clone(),
        due_us: wall_us() + HOLD_US,
    };
    let kept = held.clone();
    context
        .at_desk(move |desk| {
            let detail = format!("{} x {}", held.quantity, held.sku);
            desk.note(Some(&person), "review.answer", &held.visit, &detail, true, wall_us())?;
            desk.hold(&held)
        })
        .await?;
    Ok(Json(kept))
}

/// Takes an answer back that was given within the last ten seconds.
#[utoipa::path(post, path = "/api/reviews/undo", request_body = LineOf, responses((status = 200, description = "Undone.", body = bool, content_type = "application/json")))]
pub(super) async fn undo_answer(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<LineOf>,
) -> Result<Json<bool>, Trouble> {
    let undone = context
        .at_desk(move |desk| {
            let undone = desk.let_go_of(&asked.visit, &asked.sku)?;
            desk.note(Some(&person), "review.undo", &asked.visit, &asked.sku, undone, wall_us())?;
            Ok(undone)
        })
        .await?;
    if undone {
        Ok(Json(true))
    } else {
        Err(Trouble::Refused("the answer is charged already: a refund corrects it".into()))
    }
}

/// What became of a visit's money: answers, refunds, contests.
#[utoipa::path(get, path = "/api/receipts/{visit}/money", params(("visit" = String, Path, description = "The visit.")),
    responses((status = 200, description = "The answer.", body = Money)))]
pub(super) async fn money(
    State(context): State<Context>,
    Path(visit): Path<String>,
) -> Result<Json<Money>, Trouble> {
    Ok(Json(money_of(&context, visit).await?))
}

pub(super) async fn money_of(context: &Context, visit: String) -> Result<Money, Trouble> {
    let asked = visit.clone();
    let found = context
        .ask(move |ledger| {
            Ok(match ledger.payment(&asked)? {
                Some(payment) => Some((payment, ledger.settled(&asked)?, ledger.shares(&asked)?)),
                None => None,
            })
        })
        .await?;
    let (payment, money, shares) = found.ok_or(Trouble::NotFound("this visit has no receipt"))?;
    let contests = context.at_desk(move |desk| desk.contests(Some(&visit))).await?;
    let quantity = |(sku, quantity)| RefundQuantity { sku, quantity };
    Ok(Money {
        currency: payment.currency,
        charge_minor: payment.charge_minor,
        answered_minor: payment.answered_minor,
        refunded_minor: payment.refunded_minor,
        open_minor: payment.open_minor,
        contested_minor: payment.contested_minor,
        answers: money
            .answers
            .into_iter()
            .map(|a| Answered {
                sku: a.sku,
                quantity: a.quantity,
                charge_minor: a.charge_minor,
                explained: a.steps.into_iter().map(Into::into).collect(),
            })
            .collect(),
        refunds: money
            .refunds
            .into_iter()
            .map(|r| Refund {
                refund: r.refund,
                amount_minor: r.amount_minor,
                reason: r.reason,
                issued_us: r.issued_us,
                lines: r.lines.into_iter().map(quantity).collect(),
            })
            .collect(),
        contests,
        sellers: shares
            .into_iter()
            .map(|s| Share {
                seller: s.seller,
                paid_minor: s.paid_minor,
                tax_minor: s.tax_minor,
                commission_minor: s.commission_minor,
            })
            .collect(),
    })
}

/// Issues a refund.
#[utoipa::path(post, path = "/api/refunds", request_body = NewRefund, responses((status = 200, description = "Issued.", body = bool, content_type = "application/json")))]
pub(super) async fn refund(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewRefund>,
) -> Result<Json<bool>, Trouble> {
    let lines: Vec<(String, u32)> = asked.lines.into_iter().map(|l| (l.sku, l.quantity)).collect();
    let detail = format!("{lines:?}: {}", asked.reason);
    let visit = asked.visit.clone();
    context
        .decide(&person, "refund.issue", &visit, &detail, move |staff| {
            staff.refund(&asked.refund, &asked.visit, &lines, &asked.reason, wall_us())
        })
        .await?;
    Ok(Json(true))
}

/// Contested lines, open ones first.
#[utoipa::path(get, path = "/api/contests", responses((status = 200, description = "The answer.", body = [Contest])))]
pub(super) async fn contests(State(context): State<Context>) -> Result<Json<Vec<Contest>>, Trouble> {
    Ok(Json(context.at_desk(|desk| desk.contests(None)).await?))
}

/// Settles a contest: refunds some of the line, or refuses with words.
#[utoipa::path(post, path = "/api/contests/settle", request_body = Settlement, responses((status = 200, description = "Settled.", body = bool, content_type = "application/json")))]
pub(super) async fn settle(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<Settlement>,
) -> Result<Json<bool>, Trouble> {
    let id = asked.contest.clone();
    let contest = context.at_desk(move |desk| desk.open_contest(&id)).await?;
    let reason = if asked.answer.trim().is_empty() { contest.words.clone() } else { asked.answer.clone() };
    let act = if asked.quantity > 0 { "contest.refund" } else { "contest.refuse" };
    let detail = format!("{} x {}: {reason}", asked.quantity, contest.sku);
    let (visit, quantity) = (contest.visit.clone(), asked.quantity);
    let id = asked.contest.clone();
    context
        .decide(&person, act, &visit, &detail, move |staff| {
            let of = (contest.contest.as_str(), contest.visit.as_str(), contest.sku.as_str());
            staff.settle_contest(of, quantity, &reason, wall_us())
        })
        .await?;
    // The ledger's word counts, should somebody else have answered first.
    let settled = context.ask(move |ledger| ledger.contest(&id)).await?;
    let refunded = settled.map_or(quantity > 0, |row| row.contest.state == ContestState::Refunded);
    context.at_desk(move |desk| desk.settle(&asked.contest, refunded, &asked.answer, wall_us())).await?;
    Ok(Json(true))
}

/// Somebody counted a plate.
#[utoipa::path(post, path = "/api/stock/count", request_body = Count, responses((status = 200, description = "Noted.", body = bool, content_type = "application/json")))]
pub(super) async fn count(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<Count>,
) -> Result<Json<bool>, Trouble> {
    let (plate, detail) = (asked.plate.clone(), format!("{} x {}", asked.quantity, asked.sku));
    // Counts are compared with shelf events, so they are told in event time: a demo lives in the past.
    let at_us = context.live.event_time().unwrap_or_else(wall_us);
    context
        .decide(&person, "stock.count", &plate, &detail, move |staff| {
            staff.count(&asked.plate, &asked.sku, asked.quantity, at_us)
        })
        .await?;
    Ok(Json(true))
}

/// Items that were put where the planogram has another product, youngest first.
#[utoipa::path(get, path = "/api/misplaced", responses((status = 200, description = "The answer.", body = [Misplaced])))]
pub(super) async fn misplaced(State(context): State<Context>) -> Result<Json<Vec<Misplaced>>, Trouble> {
    let rows = context.ask(|ledger| ledger.puts(1000)).await?;
    let wrong = rows.into_iter().filter(|r| !context.facings.contains(&(r.plate.clone(), r.sku.clone())));
    let misplaced = wrong.map(|r| Misplaced {
        plate: r.plate,
        sku: r.sku,
        quantity: r.quantity,
        probability: r.probability,
        time_us: r.time_us,
    });
    Ok(Json(misplaced.take(200).collect()))
}

/// When things happened, for scrubbing; `null` while nothing has.
#[utoipa::path(get, path = "/api/timeline", responses((status = 200, description = "The answer.", body = Option<Timeline>)))]
pub(super) async fn timeline(State(context): State<Context>) -> Result<Json<Option<Timeline>>, Trouble> {
    let found = context.ask(|ledger| ledger.timeline(BUCKETS)).await?;
    Ok(Json(found.map(|(from_us, to_us, rows)| {
        let mut buckets = vec![BTreeMap::new(); BUCKETS as usize];
        for row in rows {
            if let Some(bucket) = buckets.get_mut(row.bucket as usize) {
                bucket.insert(row.kind, row.events);
            }
        }
        Timeline { from_us, to_us, buckets }
    })))
}

/// The store as it was at a moment.
#[utoipa::path(get, path = "/api/moment", params(At), responses((status = 200, description = "The answer.", body = Past)))]
pub(super) async fn moment(
    State(context): State<Context>,
    Query(at): Query<At>,
) -> Result<Json<Past>, Trouble> {
    let found = context.ask(move |ledger| ledger.moment(at.at_us)).await?;
    let cart = |c: crate::ledger::MomentCart| PastCart {
        visit: c.visit,
        credential: c.credential,
        opened_us: c.opened_us,
        lines: c.lines,
    };
    Ok(Json(Past {
        carts: found.carts.into_iter().map(cart).collect(),
        receipts: found.receipts,
        plates: found.plates,
        shoppers: stood(&context, at.at_us),
    }))
}
