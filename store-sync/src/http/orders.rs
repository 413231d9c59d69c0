//! Stock, orders and tasks.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use axum::Json;
use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::Limit;
use super::{Context, Trouble};
use crate::ledger::{OrderRow, StockRow, TaskRow};

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
    /// Its id.
    order: String,
    /// `received`, `picking`, `ready`, `handed_over` or `cancelled`.
    state: String,
    /// Why, where it was said.
    reason: Option<String>,
    /// When it last changed.
    changed_us: i64,
    /// Its lines, by SKU.
    lines: Vec<OrderedLine>,
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderedLine {
    /// The product.
    sku: String,
    /// How many are wanted.
    quantity: u32,
    /// How many are picked.
    picked: u32,
}

/// One pick of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its id.
    task: String,
    /// For which order.
    order: String,
    /// What.
    sku: String,
    /// How many.
    quantity: u32,
    /// From where.
    plate: String,
    /// Who does it: a robot's id, `staff`, or nobody yet.
    assignee: Option<String>,
    /// `waiting`, `assigned`, `underway`, `done`, `failed` or `cancelled`.
    state: String,
    /// Why, where it was said.
    reason: Option<String>,
    /// When it last changed.
    changed_us: i64,
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
    let line = |(sku, quantity, picked)| OrderedLine { sku, quantity, picked };
    let order = |r: OrderRow| Order {
        order: r.order,
        state: r.state,
        reason: r.reason,
        changed_us: r.changed_us,
        lines: r.lines.into_iter().map(line).collect(),
    };
    Ok(Json(rows.into_iter().map(order).collect()))
}

/// Picks by robots and people, last changed first.
#[utoipa::path(get, path = "/api/tasks", params(Limit), responses((status = 200, description = "The answer.", body = [Task]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn tasks(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Task>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.tasks(limit.rows())).await?;
    let task = |r: TaskRow| Task {
        task: r.task,
        order: r.order,
        sku: r.sku,
        quantity: r.quantity,
        plate: r.plate,
        assignee: r.assignee,
        state: r.state,
        reason: r.reason,
        changed_us: r.changed_us,
    };
    Ok(Json(rows.into_iter().map(task).collect()))
}
