//! Stock, orders and tasks.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use axum::Json;
use axum::extract::{Query, State};
use linefree_bus::payload::{Handover, OrderChanged, TaskChanged};
use linefree_domain::orders::reorder::Supply;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::routes::Limit;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::ledger::{OrderRow, StockRow, TaskRow};
use crate::reorder::{Reorder, suggestions};

/// What lies on a plate that somebody has counted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stock {
    /// `gondola/shelf/plate`.
    plate: String,
    /// What was counted there.
    sku: String,
    /// How many there were.
    counted: i64,
    /// When.
    counted_us: i64,
    /// How many there are, as far as takes are explained.
    quantity: i64,
    /// What the weight has changed by since, grams.
    delta_g: f64,
}

/// An online order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Order {
    /// As last told: the event `order_changed`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    order: OrderChanged,
    /// When it last changed.
    changed_us: i64,
}

/// Something that a robot or a person is to do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// As last told: the event `task_changed`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    task: TaskChanged,
    /// When it last changed.
    changed_us: i64,
}

impl Order {
    /// Do staff of the store hand it over?
    pub(super) fn is_for_the_counter(&self) -> bool {
        !matches!(self.order.handover, Some(Handover::Locker | Handover::Courier | Handover::Agent))
    }
}

impl From<OrderRow> for Order {
    fn from(OrderRow { order, changed_us }: OrderRow) -> Self {
        Self { order, changed_us }
    }
}

impl From<TaskRow> for Task {
    fn from(TaskRow { task, changed_us }: TaskRow) -> Self {
        Self { task, changed_us }
    }
}

/// With which service suggestions are made.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Service {
    /// The probability of no stock-out until the next delivery, 0.5 to 0.9999; 0.95 when left out.
    service: Option<f64>,
    /// Days from order to shelf, where the catalogue does not say it; 1 when left out.
    #[param(value_type = Option<i64>, minimum = 0)]
    lead_days: Option<u32>,
}

/// What to order from suppliers, from the sales of whole days and the stock that was counted.
#[utoipa::path(get, path = "/api/reorder", params(Service), responses((status = 200, description = "The answer.", body = [Reorder]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn reorder(
    State(context): State<Context>,
    Query(asked): Query<Service>,
) -> Result<Json<Vec<Reorder>>, Trouble> {
    let plain = Supply::default();
    let service_level = asked.service.unwrap_or(plain.service_level);
    if !(0.5..=0.9999).contains(&service_level) {
        return Err(Trouble::Malformed("service: 0.5 to 0.9999 is allowed"));
    }
    let supply =
        Supply { service_level, lead_days: asked.lead_days.unwrap_or(plain.lead_days).min(365), ..plain };
    Ok(Json(context.ask(move |ledger| suggestions(ledger, wall_us(), supply)).await?))
}

/// Stock of the plates that somebody has counted: the count, less what was taken since.
#[utoipa::path(get, path = "/api/stock", params(Limit), responses((status = 200, description = "The answer.", body = [Stock]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn stock(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Stock>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.stock(limit.rows())).await?;
    let stock = |r: StockRow| Stock {
        plate: r.plate,
        sku: r.sku,
        counted: r.counted,
        counted_us: r.counted_us,
        quantity: r.quantity,
        delta_g: r.delta_g,
    };
    Ok(Json(rows.into_iter().map(stock).collect()))
}

/// Online orders, last changed first.
#[utoipa::path(get, path = "/api/orders", params(Limit), responses((status = 200, description = "The answer.", body = [Order]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn orders(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Order>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.orders(limit.rows())).await?;
    Ok(Json(rows.into_iter().map(Order::from).collect()))
}

/// What robots and people have to do, last changed first.
#[utoipa::path(get, path = "/api/tasks", params(Limit), responses((status = 200, description = "The answer.", body = [Task]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn tasks(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Task>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.tasks(limit.rows())).await?;
    Ok(Json(rows.into_iter().map(Task::from).collect()))
}
