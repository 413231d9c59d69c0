//! Projections of answers to reviews, refunds, counts, orders and tasks. See [`super::project`].

use linefree_bus::payload::{
    OrderChanged, OrderState, RefundIssued, ReviewAnswered, StockCounted, TaskChanged, TaskState,
};
use rusqlite::{Connection, params};

use super::project::{By, execute, if_later};

pub(super) fn review_answered(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &ReviewAnswered,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO review_answers (visit, sku, quantity, currency, charge_minor, answered_us,
                                         by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET quantity = excluded.quantity, currency = excluded.currency,
               charge_minor = excluded.charge_minor, answered_us = excluded.answered_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("review_answers")
        ),
        params![e.visit, e.sku, e.quantity, e.currency, e.charge_minor, at_us, by.epoch, by.source, by.seq],
    )
    .map(drop)
}

pub(super) fn refund_issued(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &RefundIssued,
) -> rusqlite::Result<()> {
    let later = execute(
        conn,
        concat!(
            "INSERT INTO refunds (refund, visit, currency, amount_minor, reason, issued_us,
                                  by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET visit = excluded.visit, currency = excluded.currency,
               amount_minor = excluded.amount_minor, reason = excluded.reason, issued_us = excluded.issued_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("refunds")
        ),
        params![e.refund, e.visit, e.currency, e.amount_minor, e.reason, at_us, by.epoch, by.source, by.seq],
    )?;
    if later == 0 {
        return Ok(());
    }
    execute(conn, "DELETE FROM refund_lines WHERE refund = ?", params![e.refund])?;
    for line in &e.lines {
        execute(
            conn,
            "INSERT INTO refund_lines (refund, sku, quantity, amount_minor) VALUES (?, ?, ?, ?)",
            params![e.refund, line.sku, line.quantity, line.amount_minor],
        )?;
    }
    Ok(())
}

pub(super) fn stock_counted(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &StockCounted,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO stock_counts (plate, sku, quantity, counted_us, by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET sku = excluded.sku, quantity = excluded.quantity,
               counted_us = excluded.counted_us, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
               by_seq = excluded.by_seq",
            if_later!("stock_counts")
        ),
        params![e.plate, e.sku, e.quantity, at_us, by.epoch, by.source, by.seq],
    )
    .map(drop)
}

/// As the tables and JSON write it.
pub(super) fn order_state(state: OrderState) -> &'static str {
    match state {
        OrderState::Received => "received",
        OrderState::Picking => "picking",
        OrderState::Ready => "ready",
        OrderState::HandedOver => "handed_over",
        OrderState::Cancelled => "cancelled",
    }
}

fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "waiting",
        TaskState::Assigned => "assigned",
        TaskState::Underway => "underway",
        TaskState::Done => "done",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    }
}

pub(super) fn order_changed(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &OrderChanged,
) -> rusqlite::Result<()> {
    let later = execute(
        conn,
        concat!(
            "INSERT INTO orders (order_id, state, reason, changed_us, by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET state = excluded.state, reason = excluded.reason,
               changed_us = excluded.changed_us, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
               by_seq = excluded.by_seq",
            if_later!("orders")
        ),
        params![e.order, order_state(e.state), e.reason, at_us, by.epoch, by.source, by.seq],
    )?;
    if later == 0 {
        return Ok(());
    }
    execute(conn, "DELETE FROM order_lines WHERE order_id = ?", params![e.order])?;
    for line in &e.lines {
        execute(
            conn,
            "INSERT INTO order_lines (order_id, sku, quantity, picked) VALUES (?, ?, ?, ?)",
            params![e.order, line.sku, line.quantity, line.picked],
        )?;
    }
    Ok(())
}

pub(super) fn task_changed(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &TaskChanged,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO tasks (task, order_id, sku, quantity, plate, assignee, state, reason, changed_us,
                                by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET order_id = excluded.order_id, sku = excluded.sku,
               quantity = excluded.quantity, plate = excluded.plate, assignee = excluded.assignee,
               state = excluded.state, reason = excluded.reason, changed_us = excluded.changed_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("tasks")
        ),
        params![
            e.task,
            e.order,
            e.sku,
            e.quantity,
            e.plate,
            e.assignee,
            task_state(e.state),
            e.reason,
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
    )
    .map(drop)
}
