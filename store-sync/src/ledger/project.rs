//! Events into projections: carts, receipts, shelf events and their explanations, faults.
//!
//! [`apply`] is the only writer of the projection tables, live and in a rebuild, so both end in the same bytes. What a
//! later event replaces is decided by identity ([`super::EventId`] order: epoch, source, number), never by arrival.

use linefree_bus::payload::{
    CartChanged, DeviceFault, Event, EventBody, GateDirection, GatePassed, ItemAttributed, Line,
    ShelfChanged, VisitClosed, VisitOpened,
};
use rusqlite::{Connection, ErrorCode, Params, params};
use uuid::Uuid;

use super::{Doing, LedgerError, clamp_seq};

/// Brings the projections up to one new event, inside the caller's transaction.
///
/// `Some(reason)` when the event breaks a constraint; then it is listed in `oddities` and changes nothing else.
pub(super) fn apply(conn: &Connection, event: &Event) -> Result<Option<String>, LedgerError> {
    count_source(conn, event)?;
    let stale = is_stale(conn, event).doing("comparing an event")?;
    execute(conn, "SAVEPOINT event", []).doing("projecting an event")?;
    match apply_body(conn, event) {
        Ok(()) => {
            // A stale event is tried and undone, so that it is odd or not whenever it comes.
            if stale {
                execute(conn, "ROLLBACK TO event", []).doing("undoing a stale event")?;
            }
            execute(conn, "RELEASE event", []).doing("projecting an event")?;
            Ok(None)
        }
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            execute(conn, "ROLLBACK TO event", []).doing("undoing an event")?;
            execute(conn, "RELEASE event", []).doing("undoing an event")?;
            let reason = match e {
                rusqlite::Error::SqliteFailure(_, Some(text)) => text,
                other => other.to_string(),
            };
            execute(
                conn,
                "INSERT INTO oddities (source, epoch, seq, reason) VALUES (?, ?, ?, ?)",
                params![event.source, event.epoch.to_string(), clamp_seq(event.seq), reason],
            )
            .doing("noting an oddity")?;
            Ok(Some(reason))
        }
        Err(source) => Err(LedgerError::Sqlite { doing: "projecting an event", source }),
    }
}

fn execute(conn: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

/// Makes sure that a numbering has its row.
pub(super) fn touch_source(conn: &Connection, source: &str, epoch: Uuid) -> Result<(), LedgerError> {
    execute(
        conn,
        "INSERT INTO sources (source, epoch, contiguous_seq, highest_seq, events, last_time_us)
         VALUES (?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        params![source, epoch.to_string()],
    )
    .doing("counting a source")?;
    Ok(())
}

fn count_source(conn: &Connection, event: &Event) -> Result<(), LedgerError> {
    execute(
        conn,
        "INSERT INTO sources (source, epoch, contiguous_seq, highest_seq, events, last_time_us)
         VALUES (?1, ?2, 0, ?3, 1, ?4)
         ON CONFLICT DO UPDATE SET highest_seq = max(highest_seq, excluded.highest_seq), events = events + 1,
           last_time_us = iif(events = 0, excluded.last_time_us, max(last_time_us, excluded.last_time_us))",
        params![event.source, event.epoch.to_string(), clamp_seq(event.seq), event.time_us],
    )
    .doing("counting a source")?;
    Ok(())
}

/// Moves a numbering's complete part on as far as it goes, and returns its end. `truth` holds the events and losses,
/// `conn` the projections; they are the same file except in a check.
pub(super) fn complete_up_to(
    truth: &Connection,
    conn: &Connection,
    source: &str,
    epoch: Uuid,
) -> Result<u64, LedgerError> {
    let epoch = epoch.to_string();
    let walk = || -> rusqlite::Result<i64> {
        let (start, highest): (i64, i64) = conn
            .prepare_cached("SELECT contiguous_seq, highest_seq FROM sources WHERE source = ? AND epoch = ?")?
            .query_row(params![source, epoch], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let mut there = truth.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM events WHERE source = ? AND epoch = ? AND source_seq = ?)",
        )?;
        let mut lost = truth.prepare_cached(
            "SELECT max(to_seq) FROM losses WHERE source = ?1 AND epoch = ?2 AND from_seq <= ?3 AND to_seq >= ?3",
        )?;
        let mut complete = start;
        loop {
            let next = complete.saturating_add(1);
            if next <= highest && there.query_row(params![source, epoch, next], |r| r.get(0))? {
                complete = next;
                continue;
            }
            match lost.query_row(params![source, epoch, next], |r| r.get::<_, Option<i64>>(0))? {
                Some(to) if to > complete => complete = to,
                _ => break,
            }
        }
        if complete != start {
            execute(
                conn,
                "UPDATE sources SET contiguous_seq = ?3, highest_seq = max(highest_seq, ?3)
                 WHERE source = ?1 AND epoch = ?2",
                params![source, epoch, complete],
            )?;
        }
        Ok(complete)
    };
    walk().map(i64::cast_unsigned).doing("finding what is complete")
}

fn apply_body(conn: &Connection, event: &Event) -> rusqlite::Result<()> {
    match &event.body {
        EventBody::ShelfChanged(e) => shelf_changed(conn, event, e),
        EventBody::GatePassed(e) => gate_passed(conn, event, e),
        EventBody::VisitOpened(e) => visit_opened(conn, event, e),
        EventBody::ItemAttributed(e) => item_attributed(conn, event, e),
        EventBody::CartChanged(e) => cart_changed(conn, event, e),
        EventBody::VisitClosed(e) => visit_closed(conn, event, e),
        EventBody::DeviceFault(e) => device_fault(conn, event, e),
    }
}

fn shelf_changed(conn: &Connection, event: &Event, e: &ShelfChanged) -> rusqlite::Result<()> {
    let epoch = event.epoch.to_string();
    let seq = clamp_seq(event.seq);
    execute(
        conn,
        "INSERT INTO shelf_events (source, epoch, seq, time_us, start_us, end_us, delta_g, sd_g)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![event.source, epoch, seq, event.time_us, e.start_us, e.end_us, e.delta_g, e.sd_g],
    )?;
    for plate in &e.plates {
        execute(
            conn,
            "INSERT INTO shelf_event_plates (source, epoch, seq, plate, delta_g, sd_g, start_us, end_us)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                event.source,
                epoch,
                seq,
                plate.plate,
                plate.delta_g,
                plate.sd_g,
                plate.start_us,
                plate.end_us
            ],
        )?;
    }
    Ok(())
}

fn gate_passed(conn: &Connection, event: &Event, e: &GatePassed) -> rusqlite::Result<()> {
    let direction = match e.direction {
        GateDirection::Entry => "entry",
        GateDirection::Exit => "exit",
    };
    execute(
        conn,
        "INSERT INTO gate_passages (source, epoch, seq, time_us, gate, direction, credential, party)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            event.source,
            event.epoch.to_string(),
            clamp_seq(event.seq),
            event.time_us,
            e.gate,
            direction,
            e.credential,
            e.party
        ],
    )?;
    Ok(())
}

/// Has a later event already written what this one writes?
fn is_stale(conn: &Connection, event: &Event) -> rusqlite::Result<bool> {
    let epoch = event.epoch.to_string();
    let seq = clamp_seq(event.seq);
    let newer = |table: &str, key: &[(&str, &dyn rusqlite::ToSql)]| -> rusqlite::Result<bool> {
        let columns: Vec<String> = key.iter().map(|(column, _)| format!("{column} = ?")).collect();
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {table} WHERE {} AND (by_epoch, by_source, by_seq) > (?, ?, ?))",
            columns.join(" AND ")
        );
        let mut values: Vec<&dyn rusqlite::ToSql> = key.iter().map(|(_, value)| *value).collect();
        values.extend([&epoch as &dyn rusqlite::ToSql, &event.source, &seq]);
        conn.prepare_cached(&sql)?.query_row(values.as_slice(), |r| r.get(0))
    };
    match &event.body {
        EventBody::ShelfChanged(_) | EventBody::GatePassed(_) => Ok(false),
        EventBody::VisitOpened(e) => newer("visits", &[("visit", &e.visit)]),
        EventBody::CartChanged(e) => newer("carts", &[("visit", &e.visit)]),
        EventBody::VisitClosed(e) => newer("receipts", &[("visit", &e.visit)]),
        EventBody::DeviceFault(e) => newer("device_faults", &[("device", &e.device), ("fault", &e.fault)]),
        EventBody::ItemAttributed(e) => newer(
            "attributions",
            &[
                ("shelf_source", &e.shelf_source),
                ("shelf_epoch", &e.shelf_epoch.to_string()),
                ("shelf_seq", &clamp_seq(e.shelf_seq)),
            ],
        ),
    }
}

fn visit_opened(conn: &Connection, event: &Event, e: &VisitOpened) -> rusqlite::Result<()> {
    execute(
        conn,
        "INSERT OR REPLACE INTO visits (visit, credential, party, opened_us, by_epoch, by_source, by_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            e.visit,
            e.credential,
            e.party,
            event.time_us,
            event.epoch.to_string(),
            event.source,
            clamp_seq(event.seq)
        ],
    )?;
    Ok(())
}

fn item_attributed(conn: &Connection, event: &Event, e: &ItemAttributed) -> rusqlite::Result<()> {
    let shelf_epoch = e.shelf_epoch.to_string();
    let shelf_seq = clamp_seq(e.shelf_seq);
    execute(
        conn,
        "DELETE FROM attributions WHERE shelf_source = ? AND shelf_epoch = ? AND shelf_seq = ?",
        params![e.shelf_source, shelf_epoch, shelf_seq],
    )?;
    execute(
        conn,
        "INSERT INTO attributions (shelf_source, shelf_epoch, shelf_seq, time_us, by_epoch, by_source, by_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            e.shelf_source,
            shelf_epoch,
            shelf_seq,
            event.time_us,
            event.epoch.to_string(),
            event.source,
            clamp_seq(event.seq)
        ],
    )?;
    for (rank, c) in (1_i64..).zip(&e.candidates) {
        execute(
            conn,
            "INSERT INTO attribution_candidates
               (shelf_source, shelf_epoch, shelf_seq, rank, visit, sku, quantity, probability)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![e.shelf_source, shelf_epoch, shelf_seq, rank, c.visit, c.sku, c.quantity, c.probability],
        )?;
    }
    Ok(())
}

fn cart_changed(conn: &Connection, event: &Event, e: &CartChanged) -> rusqlite::Result<()> {
    execute(conn, "DELETE FROM carts WHERE visit = ?", params![e.visit])?;
    execute(
        conn,
        "INSERT INTO carts (visit, changed_us, by_epoch, by_source, by_seq) VALUES (?, ?, ?, ?, ?)",
        params![e.visit, event.time_us, event.epoch.to_string(), event.source, clamp_seq(event.seq)],
    )?;
    lines(conn, "cart_lines", &e.visit, &e.lines)
}

fn visit_closed(conn: &Connection, event: &Event, e: &VisitClosed) -> rusqlite::Result<()> {
    execute(conn, "DELETE FROM receipts WHERE visit = ?", params![e.visit])?;
    execute(
        conn,
        "INSERT INTO receipts (visit, credential, entered_us, left_us, currency, charge_minor, in_review_minor,
                               by_epoch, by_source, by_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            e.visit,
            e.credential,
            e.entered_us,
            e.left_us,
            e.currency,
            e.charge_minor,
            e.in_review_minor,
            event.epoch.to_string(),
            event.source,
            clamp_seq(event.seq)
        ],
    )?;
    lines(conn, "receipt_lines", &e.visit, &e.lines)
}

fn lines(conn: &Connection, table: &str, visit: &str, lines: &[Line]) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO {table} (visit, sku, name, quantity, unit_price_minor, probability, review)
         VALUES (?, ?, ?, ?, ?, ?, ?)"
    );
    for l in lines {
        execute(
            conn,
            &sql,
            params![visit, l.sku, l.name, l.quantity, l.unit_price_minor, l.probability, l.review],
        )?;
    }
    Ok(())
}

fn device_fault(conn: &Connection, event: &Event, e: &DeviceFault) -> rusqlite::Result<()> {
    execute(
        conn,
        "INSERT OR REPLACE INTO device_faults
           (device, fault, time_us, message, cleared, by_epoch, by_source, by_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            e.device,
            e.fault,
            event.time_us,
            e.message,
            e.cleared,
            event.epoch.to_string(),
            event.source,
            clamp_seq(event.seq)
        ],
    )?;
    Ok(())
}
