//! What becomes of orders and tasks: by staff at the console, and by channels through signed webhooks.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use linefree_bus::payload::{OrderState, TaskKind, TaskState};
use linefree_domain::orders::steps::Answer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::Order;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::cloud::command::NewOrder;
use crate::desk::accounts::Person;
use crate::desk::channels::Signed;
use crate::ledger::LedgerError;
use crate::ledger::order_book::{OrderBook, Taken, TaskUpdate};

/// What the customer says to a question.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// The substitute is fine.
    Substitute,
    /// The rest without it.
    LeaveOut,
    /// Then nothing at all.
    CancelOrder,
}

impl From<Said> for Answer {
    fn from(said: Said) -> Self {
        match said {
            Said::Substitute => Self::Substitute,
            Said::LeaveOut => Self::LeaveOut,
            Said::CancelOrder => Self::CancelOrder,
        }
    }
}

/// The customer's answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderAnswer {
    order: String,
    answer: Said,
}

/// Calls an order off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallOff {
    order: String,
    /// Why, for people.
    reason: String,
}

/// Which order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrder {
    order: String,
}

/// An order is handed over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    order: String,
    /// The six digits that the customer has.
    code: String,
}

/// Work for a robot or for staff.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    /// `restock`, `return` or `tidy`.
    #[schema(value_type = String)]
    task_kind: TaskKind,
    sku: String,
    quantity: u32,
    plate: String,
}

/// How far a member of staff is with a task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskTold {
    task: String,
    /// `assigned`, `underway`, `done` or `failed`.
    #[schema(value_type = String)]
    state: TaskState,
    /// Why, where it needs saying.
    reason: Option<String>,
}

/// What a channel is told of its order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelOrder {
    #[serde(flatten)]
    order: Order,
    /// The code that it is handed over for; left out when it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    handover_code: Option<String>,
}

/// A channel's own word for an order, as the store calls it.
fn store_id(channel: &str, order: &str) -> String {
    format!("{channel}.{order}")
}

impl Context {
    /// Has the order book do something on a thread where waiting is allowed, then plans at once.
    async fn at_book<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut OrderBook) -> Result<(T, u64), LedgerError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let book = Arc::clone(&self.orders);
        let done = tokio::task::spawn_blocking(move || {
            act(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let (out, ledger_seq) = done.await.map_err(|_| Trouble::Failed)?.map_err(Trouble::of)?;
        self.written.tell(ledger_seq);
        self.plan_orders().await;
        Ok(out)
    }

    /// Plans every open order; called every half second, and whenever something was told.
    pub(crate) async fn plan_orders(&self) {
        let book = Arc::clone(&self.orders);
        let planned = tokio::task::spawn_blocking(move || {
            book.lock().unwrap_or_else(PoisonError::into_inner).plan(wall_us())
        });
        match planned.await {
            Ok(Ok(ledger_seq)) => self.written.tell(ledger_seq),
            // The next look does it.
            Ok(Err(e)) => tracing::debug!("orders were not planned: {e}"),
            Err(e) => tracing::error!("planning orders died: {e}"),
        }
    }

    /// A step of staff: noted in the audit log, done, and planned upon.
    async fn order_step(
        &self,
        person: &Person,
        action: &'static str,
        subject: &str,
        detail: &str,
        act: impl FnOnce(&mut OrderBook) -> Result<u64, LedgerError> + Send + 'static,
    ) -> Result<Json<bool>, Trouble> {
        let book = Arc::clone(&self.orders);
        let act = move || act(&mut book.lock().unwrap_or_else(PoisonError::into_inner));
        self.audited(person, action, subject, detail, act).await?;
        self.plan_orders().await;
        Ok(Json(true))
    }

    async fn take_order(&self, new: NewOrder) -> Result<(StatusCode, Json<ChannelOrder>), Trouble> {
        let taken: Taken = self
            .at_book(move |book| {
                let taken = book.take(&new, wall_us())?;
                let seq = taken.ledger_seq;
                Ok((taken, seq))
            })
            .await?;
        let status = if taken.is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, Json(self.channel_order(taken.order.order.order).await?)))
    }

    async fn channel_order(&self, order: String) -> Result<ChannelOrder, Trouble> {
        let of = order.clone();
        let row = self.ask(move |ledger| ledger.order(&of)).await?;
        let row = row.ok_or(Trouble::NotFound("there is no such order"))?;
        let over = matches!(row.order.state, OrderState::HandedOver | OrderState::Cancelled);
        let code = self.at_desk(move |desk| desk.handover_code(&order)).await?;
        Ok(ChannelOrder { order: row.into(), handover_code: (!over).then_some(code) })
    }

    /// The code must be the order's. Whoever guesses waits longer and longer, as at sign-in.
    async fn expect_code(&self, who: Option<Person>, order: &str, code: String) -> Result<(), Trouble> {
        let tries = format!("order {order}");
        if let Some(wait_s) = self.tries.wait_s(&tries, wall_us()) {
            return Err(Trouble::Refused(format!("too many wrong codes: try again in {wait_s} s")));
        }
        let of = order.to_owned();
        if self.at_desk(move |desk| desk.is_handover_code(&of, &code)).await? {
            self.tries.right(&tries);
            return Ok(());
        }
        self.tries.wrong(&tries, wall_us());
        let of = order.to_owned();
        self.at_desk(move |desk| {
            desk.note(who.as_ref(), "order.hand_over", &of, "wrong code", false, wall_us())
        })
        .await?;
        Err(Trouble::Refused("this is not the order's code".into()))
    }

    /// Reads a channel's signed request.
    pub(super) async fn heard<T: serde::de::DeserializeOwned>(
        &self,
        channel: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<T, Trouble> {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (id, timestamp, signature) =
            (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"));
        let (channel, bytes) = (channel.to_owned(), body.clone());
        let check = self.at_desk(move |desk| {
            let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature, body: &bytes };
            desk.check_channel(&channel, signed, wall_us())
        });
        check.await.map_err(|trouble| match trouble {
            Trouble::Refused(why) => Trouble::Stranger(why),
            other => other,
        })?;
        serde_json::from_slice(body).map_err(|e| Trouble::Refused(format!("body: {e}")))
    }
}

/// Places an order for a customer: at the counter, on the telephone. Idempotent by its id.
#[utoipa::path(post, path = "/api/orders", request_body = NewOrder, responses((status = 201, description = "It is here now.", body = ChannelOrder), (status = 200, description = "It was here already.", body = ChannelOrder), (status = 409, description = "It cannot be taken; the field is named.")))]
pub(super) async fn place(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(mut new): Json<NewOrder>,
) -> Result<(StatusCode, Json<ChannelOrder>), Trouble> {
    new.channel.get_or_insert_with(|| "store".to_owned());
    let (order, lines) = (new.order.clone(), new.lines.len());
    context
        .at_desk(move |desk| {
            desk.note(Some(&person), "order.place", &order, &format!("{lines} lines"), true, wall_us())
        })
        .await?;
    context.take_order(new).await
}

/// The customer told staff what to do about what is missing.
#[utoipa::path(post, path = "/api/orders/answer", request_body = OrderAnswer, responses((status = 200, description = "Done.", body = bool, content_type = "application/json"), (status = 409, description = "Nobody asked.")))]
pub(super) async fn answer(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<OrderAnswer>,
) -> Result<Json<bool>, Trouble> {
    let subject = asked.order.clone();
    let detail = format!("{:?}", asked.answer);
    context
        .order_step(&person, "order.answer", &subject, &detail, move |book| {
            book.answer(&asked.order, asked.answer.into(), wall_us())
        })
        .await
}

/// Calls an order off.
#[utoipa::path(post, path = "/api/orders/cancel", request_body = CallOff, responses((status = 200, description = "Done.", body = bool, content_type = "application/json"), (status = 409, description = "It is too late.")))]
pub(super) async fn cancel(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<CallOff>,
) -> Result<Json<bool>, Trouble> {
    let (subject, detail) = (asked.order.clone(), asked.reason.clone());
    context
        .order_step(&person, "order.cancel", &subject, &detail, move |book| {
            book.call_off(&asked.order, &asked.reason, wall_us())
        })
        .await
}

/// A courier or agent takes an order along.
#[utoipa::path(post, path = "/api/orders/collect", request_body = OfOrder, responses((status = 200, description = "Done.", body = bool, content_type = "application/json"), (status = 409, description = "It is not ready, or nobody carries it.")))]
pub(super) async fn collect(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<OfOrder>,
) -> Result<Json<bool>, Trouble> {
    let subject = asked.order.clone();
    context
        .order_step(&person, "order.collect", &subject, "", move |book| book.collect(&asked.order, wall_us()))
        .await
}

/// Hands an order over to whoever has its code.
#[utoipa::path(post, path = "/api/orders/hand-over", request_body = HandOver, responses((status = 200, description = "Done.", body = bool, content_type = "application/json"), (status = 409, description = "The code is wrong, or the order is not ready.")))]
pub(super) async fn hand_over(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<HandOver>,
) -> Result<Json<bool>, Trouble> {
    let HandOver { order, code } = asked;
    let subject = order.clone();
    context.expect_code(Some(person.clone()), &order, code).await?;
    context
        .order_step(&person, "order.hand_over", &subject, "", move |book| book.hand_over(&order, wall_us()))
        .await
}

/// Gives robots and staff something to do: fill a plate up, bring an item back, tidy.
#[utoipa::path(post, path = "/api/tasks", request_body = NewTask, responses((status = 200, description = "Done.", body = bool, content_type = "application/json"), (status = 409, description = "The store has no such plate or product.")))]
pub(super) async fn add_task(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewTask>,
) -> Result<Json<bool>, Trouble> {
    let subject = asked.plate.clone();
    let detail = format!("{:?} {} x {}", asked.task_kind, asked.quantity, asked.sku);
    context
        .order_step(&person, "task.add", &subject, &detail, move |book| {
            book.add_task(asked.task_kind, &asked.sku, asked.quantity, &asked.plate, wall_us())
        })
        .await
}

/// A member of staff takes a task, has done it, or cannot do it.
#[utoipa::path(post, path = "/api/tasks/tell", request_body = TaskTold, responses((status = 200, description = "Noted.", body = bool, content_type = "application/json"), (status = 409, description = "There is no such task.")))]
pub(super) async fn tell_task(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<TaskTold>,
) -> Result<Json<bool>, Trouble> {
    if !matches!(asked.state, TaskState::Assigned | TaskState::Underway | TaskState::Done | TaskState::Failed)
    {
        return Err(Trouble::Refused("staff say assigned, underway, done or failed".into()));
    }
    let subject = asked.task.clone();
    let detail = format!("{:?} {}", asked.state, asked.reason.as_deref().unwrap_or_default());
    context
        .order_step(&person, "task.tell", &subject, &detail, move |book| {
            let update = TaskUpdate {
                task: asked.task,
                state: asked.state,
                assignee: Some("staff".into()),
                reason: asked.reason,
            };
            book.tell(&update, wall_us())
        })
        .await
}

/// A channel places an order. Idempotent by the channel's own id; signed as Standard Webhooks says.
#[utoipa::path(post, path = "/api/hooks/orders/{channel}", params(("channel" = String, Path, description = "The channel's name.")), request_body = NewOrder,
    responses((status = 201, description = "It is here now.", body = ChannelOrder), (status = 200, description = "It was here already.", body = ChannelOrder), (status = 401, description = "The signature is not the channel's."), (status = 409, description = "It cannot be taken; the field is named.")))]
pub(super) async fn hook_place(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<ChannelOrder>), Trouble> {
    if channel == super::payments::CALLBACKS {
        return Err(Trouble::Stranger("the bank's side places no orders".into()));
    }
    let mut new: NewOrder = context.heard(&channel, &headers, &body).await?;
    if new.channel.as_ref().is_some_and(|told| *told != channel) {
        return Err(Trouble::Refused(format!("channel: this is the door of {channel:?}")));
    }
    new.order = store_id(&channel, &new.order);
    new.channel = Some(channel);
    context.take_order(new).await
}

/// A channel asks how its order is, and for the code that it is handed over for.
#[utoipa::path(post, path = "/api/hooks/orders/{channel}/state", params(("channel" = String, Path, description = "The channel's name.")), request_body = OfOrder,
    responses((status = 200, description = "As it is.", body = ChannelOrder), (status = 401, description = "The signature is not the channel's."), (status = 404, description = "There is none.")))]
pub(super) async fn hook_state(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChannelOrder>, Trouble> {
    let asked: OfOrder = context.heard(&channel, &headers, &body).await?;
    Ok(Json(context.channel_order(store_id(&channel, &asked.order)).await?))
}

/// The customer answered the channel.
#[utoipa::path(post, path = "/api/hooks/orders/{channel}/answer", params(("channel" = String, Path, description = "The channel's name.")), request_body = OrderAnswer,
    responses((status = 200, description = "As it is now.", body = ChannelOrder), (status = 401, description = "The signature is not the channel's."), (status = 409, description = "Nobody asked.")))]
pub(super) async fn hook_answer(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChannelOrder>, Trouble> {
    let asked: OrderAnswer = context.heard(&channel, &headers, &body).await?;
    let order = store_id(&channel, &asked.order);
    let of = order.clone();
    context.at_book(move |book| Ok(((), book.answer(&of, asked.answer.into(), wall_us())?))).await?;
    Ok(Json(context.channel_order(order).await?))
}

/// The customer called the order off at the channel.
#[utoipa::path(post, path = "/api/hooks/orders/{channel}/cancel", params(("channel" = String, Path, description = "The channel's name.")), request_body = CallOff,
    responses((status = 200, description = "As it is now.", body = ChannelOrder), (status = 401, description = "The signature is not the channel's."), (status = 409, description = "It is too late.")))]
pub(super) async fn hook_cancel(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChannelOrder>, Trouble> {
    let asked: CallOff = context.heard(&channel, &headers, &body).await?;
    let order = store_id(&channel, &asked.order);
    let of = order.clone();
    context.at_book(move |book| Ok(((), book.call_off(&of, &asked.reason, wall_us())?))).await?;
    Ok(Json(context.channel_order(order).await?))
}

/// The customer has the order, where no staff of the store hand it out: the channel's locker took the code, or its courier or
/// agent did.
#[utoipa::path(post, path = "/api/hooks/orders/{channel}/hand-over", params(("channel" = String, Path, description = "The channel's name.")), request_body = HandOver,
    responses((status = 200, description = "As it is now.", body = ChannelOrder), (status = 401, description = "The signature is not the channel's."), (status = 409, description = "The code is wrong, the order is not ready, or staff hand it over at the counter.")))]
pub(super) async fn hook_hand_over(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChannelOrder>, Trouble> {
    let asked: HandOver = context.heard(&channel, &headers, &body).await?;
    let order = store_id(&channel, &asked.order);
    let ChannelOrder { order: known, .. } = context.channel_order(order.clone()).await?;
    if known.is_for_the_counter() {
        return Err(Trouble::Refused("staff hand this order over at the counter".into()));
    }
    context.expect_code(None, &order, asked.code).await?;
    let of = order.clone();
    context.at_book(move |book| Ok(((), book.hand_over(&of, wall_us())?))).await?;
    Ok(Json(context.channel_order(order).await?))
}
