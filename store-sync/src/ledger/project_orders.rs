//! Projections of answers to reviews, refunds, counts, orders and tasks. See [`super::project`].

use linefree_bus::payload::{OrderChanged, RefundIssued, ReviewAnswered, StockCounted, TaskChanged};
use rusqlite::{Connection, params};

use super::project::{By, execute, if_later};
use super::project_prices::json;
use super::read_orders::word;

pub(super) fn review_answered(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &ReviewAnswered,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO review_answers (visit, sku, quantity, currency, charge_minor, steps, answered_us,
                                         by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET quantity = excluded.quantity, currency = excluded.currency,
               charge_minor = excluded.charge_minor, steps = excluded.steps, answered_us = excluded.answered_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("review_answers")
        ),
        params![
            e.visit,
            e.sku,
            e.quantity,
            e.currency,
            e.charge_minor,
            json(&e.steps),
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
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
    )?;
    execute(
        conn,
        "INSERT INTO counts (by_epoch, by_source, by_seq, plate, sku, quantity, counted_us)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![by.epoch, by.source, by.seq, e.plate, e.sku, e.quantity, at_us],
    )
    .map(drop)
}

pub(super) fn order_changed(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &OrderChanged,
) -> rusqlite::Result<()> {
    let (question, money) = (e.question.as_ref(), e.money.as_ref());
    let later = execute(
        conn,
        concat!(
            "INSERT INTO orders (order_id, state, reason, channel, placed_us, due_us, handover, if_short,
                                 question_sku, question_missing, question_substitute, question_until_us, currency,
                                 amount_minor, released_minor, money_state, money_reference, changed_us, by_epoch,
                                 by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET state = excluded.state, reason = excluded.reason, channel = excluded.channel,
               placed_us = excluded.placed_us, due_us = excluded.due_us, handover = excluded.handover,
               if_short = excluded.if_short, question_sku = excluded.question_sku,
               question_missing = excluded.question_missing, question_substitute = excluded.question_substitute,
               question_until_us = excluded.question_until_us, currency = excluded.currency,
               amount_minor = excluded.amount_minor, released_minor = excluded.released_minor,
               money_state = excluded.money_state, money_reference = excluded.money_reference,
               changed_us = excluded.changed_us, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
               by_seq = excluded.by_seq",
            if_later!("orders")
        ),
        params![
            e.order,
            word(&e.state),
            e.reason,
            e.channel,
            e.placed_us,
            e.due_us,
            e.handover.as_ref().map(word),
            e.if_short.as_ref().map(word),
            question.map(|q| &q.sku),
            question.map(|q| q.missing),
            question.and_then(|q| q.substitute.as_ref()),
            question.map(|q| q.until_us),
            money.map(|m| &m.currency),
            money.map(|m| m.amount_minor),
            money.map(|m| m.released_minor),
            money.map(|m| word(&m.state)),
            money.and_then(|m| m.reference.as_ref()),
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
    )?;
    if later == 0 {
        return Ok(());
    }
    execute(conn, "DELETE FROM order_lines WHERE order_id = ?", params![e.order])?;
    for (place, line) in e.lines.iter().enumerate() {
        execute(
            conn,
            "INSERT INTO order_lines (order_id, sku, line, quantity, picked, given_up, substitutes, instead_of,
                                      unit_price_minor)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                e.order,
                line.sku,
                i64::try_from(place).unwrap_or(i64::MAX),
                line.quantity,
                line.picked,
                line.given_up,
                // Texts always become JSON.
                json(&line.substitutes),
                line.instead_of,
                line.unit_price_minor
            ],
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
            "INSERT INTO tasks (task, kind, order_id, sku, quantity, plate, assignee, state, reason, changed_us,
                                by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET kind = excluded.kind, order_id = excluded.order_id, sku = excluded.sku,
               quantity = excluded.quantity, plate = excluded.plate, assignee = excluded.assignee,
               state = excluded.state, reason = excluded.reason, changed_us = excluded.changed_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("tasks")
        ),
        params![
            e.task,
            word(&e.task_kind),
            e.order,
            e.sku,
            e.quantity,
            e.plate,
            e.assignee,
            word(&e.state),
            e.reason,
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
    )
    .map(drop)
}
