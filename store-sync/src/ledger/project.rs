//! Events into projections: visits, carts, receipts, payments, shelf events and their explanations, stock, orders, tasks,
//! faults.
//!
//! [`apply_page`] is the only writer of the projection tables, live and in a rebuild, so both end in the same bytes. What
//! a later event replaces is decided by identity ([`super::EventId`] order: epoch, source, number), never by arrival.
//! Within a page, what another event of the page replaces is checked but not written.

use std::collections::HashMap;

use linefree_bus::payload::{
    Event, EventBody, GateDirection, ItemAttributed, Line, ShelfChanged, VisitClosed,
};
use rusqlite::{Connection, ErrorCode, Params, params};
use uuid::Uuid;

use super::project_orders as orders;
use super::project_prices as prices;
use super::sound::unsound;
use super::{Doing, EventId, LedgerError, clamp_seq};

/// What an event replaces the earlier state of; `None` for one that stands alone.
#[derive(PartialEq, Eq, Hash)]
enum Replaces<'a> {
    Visit(&'a str),
    Cart(&'a str),
    Receipt(&'a str),
    Fault(&'a str, &'a str),
    Attribution(&'a str, Uuid, u64),
    Answer(&'a str, &'a str),
    Refund(&'a str),
    Order(&'a str),
    Task(&'a str),
    Payment(&'a str),
    Contest(&'a str),
    PriceRules(u64),
}

fn replaces(body: &EventBody) -> Option<Replaces<'_>> {
    Some(match body {
        EventBody::VisitOpened(e) => Replaces::Visit(&e.visit),
        EventBody::CartChanged(e) => Replaces::Cart(&e.visit),
        EventBody::VisitClosed(e) => Replaces::Receipt(&e.visit),
        EventBody::DeviceFault(e) => Replaces::Fault(&e.device, &e.fault),
        EventBody::ItemAttributed(e) => Replaces::Attribution(&e.shelf_source, e.shelf_epoch, e.shelf_seq),
        EventBody::ReviewAnswered(e) => Replaces::Answer(&e.visit, &e.sku),
        EventBody::RefundIssued(e) => Replaces::Refund(&e.refund),
        EventBody::OrderChanged(e) => Replaces::Order(&e.order),
        EventBody::TaskChanged(e) => Replaces::Task(&e.task),
        EventBody::PaymentChanged(e) => Replaces::Payment(&e.visit),
        EventBody::ContestChanged(e) => Replaces::Contest(&e.contest),
        EventBody::PriceRulesChanged(e) => Replaces::PriceRules(e.version),
        // Insights follow from the rest; answers to commands and forgotten shoppers are acted upon where they are written; nothing follows here.
        EventBody::ShelfChanged(_)
        | EventBody::GatePassed(_)
        // Of counts the history stays, too.
        | EventBody::StockCounted(_)
        // Of a receipt's prices the first stays, not the last.
        | EventBody::ReceiptPriced(_)
        | EventBody::CommandAnswered(_)
        | EventBody::InsightsTold(_)
        | EventBody::ShopperForgotten(_) => return None,
    })
}

/// Brings the projections up to a page of events, inside the caller's transaction. Returns the odd ones: they are listed
/// in `oddities` and change nothing else.
pub(super) fn apply_page(conn: &Connection, page: &[Event]) -> Result<Vec<(EventId, String)>, LedgerError> {
    // A fast try first; should a table refuse an event that `sound` let through, the page is undone and done again
    // event by event.
    let doing = "projecting a page";
    execute(conn, "SAVEPOINT page", []).doing(doing)?;
    let done = match apply_each(conn, page, false) {
        Err(LedgerError::Sqlite { source, .. })
            if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
        {
            execute(conn, "ROLLBACK TO page", []).doing("undoing a page")?;
            apply_each(conn, page, true)
        }
        other => other,
    };
    execute(conn, "RELEASE page", []).doing(doing)?;
    done
}

fn apply_each(
    conn: &Connection,
    page: &[Event],
    one_by_one: bool,
) -> Result<Vec<(EventId, String)>, LedgerError> {
    fn rank(e: &Event) -> (Uuid, &str, u64) {
        (e.epoch, &e.source, e.seq)
    }
    let mut last: HashMap<Replaces<'_>, usize> = HashMap::new();
    let mut odd = Vec::new();
    let mut reasons: Vec<Option<String>> = Vec::with_capacity(page.len());
    for (at, event) in page.iter().enumerate() {
        let reason = unsound(&event.body).err();
        if reason.is_none()
            && let Some(key) = replaces(&event.body)
        {
            let winner = last.entry(key).or_insert(at);
            if rank(&page[*winner]) < rank(event) {
                *winner = at;
            }
        }
        reasons.push(reason);
    }
    for (at, event) in page.iter().enumerate() {
        if let Some(reason) = reasons[at].take() {
            note_oddity(conn, event, &reason)?;
            odd.push((EventId::of(event), reason));
            continue;
        }
        if replaces(&event.body).is_some_and(|key| last.get(&key) != Some(&at)) {
            continue;
        }
        if !one_by_one {
            apply_body(conn, event).doing("projecting an event")?;
        } else if let Some(reason) = apply(conn, event)? {
            odd.push((EventId::of(event), reason));
        }
    }
    Ok(odd)
}

/// One sound event. The tables' own constraints stand behind `sound`: should one be broken all the same, the event is
/// odd as well.
fn apply(conn: &Connection, event: &Event) -> Result<Option<String>, LedgerError> {
    let doing = "projecting an event";
    execute(conn, "SAVEPOINT event", []).doing(doing)?;
    match apply_body(conn, event) {
        Ok(()) => {
            execute(conn, "RELEASE event", []).doing(doing)?;
            Ok(None)
        }
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            execute(conn, "ROLLBACK TO event", []).doing("undoing an event")?;
            execute(conn, "RELEASE event", []).doing("undoing an event")?;
            let reason = match e {
                rusqlite::Error::SqliteFailure(_, Some(text)) => text,
                other => other.to_string(),
            };
            note_oddity(conn, event, &reason)?;
            Ok(Some(reason))
        }
        Err(source) => Err(LedgerError::Sqlite { doing, source }),
    }
}

fn note_oddity(conn: &Connection, event: &Event, reason: &str) -> Result<(), LedgerError> {
    execute(
        conn,
        "INSERT INTO oddities (source, epoch, seq, reason) VALUES (?, ?, ?, ?)",
        params![event.source, event.epoch.to_string(), clamp_seq(event.seq), reason],
    )
    .doing("noting an oddity")?;
    Ok(())
}

pub(super) fn execute(conn: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

/// The identity of the event that writes, as the columns by_epoch, by_source and by_seq hold it.
pub(super) struct By<'a> {
    pub epoch: String,
    pub source: &'a str,
    pub seq: i64,
}

/// What became of a row that holds the newest state of something.
pub(super) enum Written {
    /// There was none.
    New,
    /// It replaced an older one, whose children are to go.
    Newer,
    /// A later event had written it.
    Stale,
}

/// Inserts a row, or updates the older one: two statements, because nearly all rows are new and then have no children
/// to be looked for.
pub(super) fn write(
    conn: &Connection,
    insert: &str,
    update: &str,
    params: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Written> {
    if execute(conn, insert, params)? > 0 {
        return Ok(Written::New);
    }
    Ok(if execute(conn, update, params)? > 0 { Written::Newer } else { Written::Stale })
}

/// Ends an upsert so that the greatest identity wins.
macro_rules! if_later {
    ($table:literal) => {
        concat!(
            " WHERE (excluded.by_epoch, excluded.by_source, excluded.by_seq) > (",
            $table,
            ".by_epoch, ",
            $table,
            ".by_source, ",
            $table,
            ".by_seq)"
        )
    };
}
pub(super) use if_later;

fn apply_body(conn: &Connection, event: &Event) -> rusqlite::Result<()> {
    let by = By { epoch: event.epoch.to_string(), source: &event.source, seq: clamp_seq(event.seq) };
    let at_us = event.time_us;
    match &event.body {
        EventBody::ShelfChanged(e) => shelf_changed(conn, &by, at_us, e),
        EventBody::GatePassed(e) => {
            let direction = match e.direction {
                GateDirection::Entry => "entry",
                GateDirection::Exit => "exit",
            };
            execute(
                conn,
                "INSERT INTO gate_passages (source, epoch, seq, time_us, gate, direction, credential, party)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                params![by.source, by.epoch, by.seq, at_us, e.gate, direction, e.credential, e.party],
            )
            .map(drop)
        }
        EventBody::VisitOpened(e) => execute(
            conn,
            concat!(
                "INSERT INTO visits (visit, credential, party, opened_us, by_epoch, by_source, by_seq)
                 VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET credential = excluded.credential, party = excluded.party,
                   opened_us = excluded.opened_us, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
                   by_seq = excluded.by_seq",
                if_later!("visits")
            ),
            params![e.visit, e.credential, e.party, at_us, by.epoch, by.source, by.seq],
        )
        .map(drop),
        EventBody::ItemAttributed(e) => item_attributed(conn, &by, at_us, e),
        EventBody::CartChanged(e) => {
            let written = write(
                conn,
                "INSERT INTO carts (visit, changed_us, by_epoch, by_source, by_seq) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
                "UPDATE carts SET changed_us = ?2, by_epoch = ?3, by_source = ?4, by_seq = ?5
                 WHERE visit = ?1 AND (?3, ?4, ?5) > (by_epoch, by_source, by_seq)",
                params![e.visit, at_us, by.epoch, by.source, by.seq],
            )?;
            match written {
                Written::New => {}
                Written::Newer => {
                    execute(conn, "DELETE FROM cart_lines WHERE visit = ?", params![e.visit])?;
                }
                Written::Stale => return Ok(()),
            }
            lines(
                conn,
                "INSERT INTO cart_lines (visit, sku, name, quantity, unit_price_minor, probability, review)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
                &e.visit,
                &e.lines,
            )
        }
        EventBody::VisitClosed(e) => visit_closed(conn, &by, e),
        EventBody::DeviceFault(e) => execute(
            conn,
            concat!(
                "INSERT INTO device_faults (device, fault, time_us, message, cleared, by_epoch, by_source, by_seq)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET time_us = excluded.time_us, message = excluded.message,
                   cleared = excluded.cleared, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
                   by_seq = excluded.by_seq",
                if_later!("device_faults")
            ),
            params![e.device, e.fault, at_us, e.message, e.cleared, by.epoch, by.source, by.seq],
        )
        .map(drop),
        EventBody::ReviewAnswered(e) => orders::review_answered(conn, &by, at_us, e),
        EventBody::RefundIssued(e) => orders::refund_issued(conn, &by, at_us, e),
        EventBody::PaymentChanged(e) => super::project_payments::payment_changed(conn, &by, at_us, e),
        EventBody::ContestChanged(e) => prices::contest_changed(conn, &by, at_us, e),
        EventBody::PriceRulesChanged(e) => prices::price_rules_changed(conn, &by, e),
        EventBody::ReceiptPriced(e) => prices::receipt_priced(conn, &by, e),
        EventBody::StockCounted(e) => orders::stock_counted(conn, &by, at_us, e),
        EventBody::OrderChanged(e) => orders::order_changed(conn, &by, at_us, e),
        EventBody::TaskChanged(e) => orders::task_changed(conn, &by, at_us, e),
        EventBody::InsightsTold(e) => {
            execute(conn, "INSERT INTO hours_told (hour_us) VALUES (?) ON CONFLICT DO NOTHING", [e.hour_us])
                .map(drop)
        }
        EventBody::CommandAnswered(_) | EventBody::ShopperForgotten(_) => Ok(()),
    }
}

fn shelf_changed(conn: &Connection, by: &By<'_>, at_us: i64, e: &ShelfChanged) -> rusqlite::Result<()> {
    execute(
        conn,
        "INSERT INTO shelf_events (source, epoch, seq, time_us, start_us, end_us, delta_g, sd_g)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![by.source, by.epoch, by.seq, at_us, e.start_us, e.end_us, e.delta_g, e.sd_g],
    )?;
    // The first of those that changed most, so that it is one.
    let mut main = 0;
    for (i, plate) in e.plates.iter().enumerate() {
        if plate.delta_g.abs() > e.plates[main].delta_g.abs() {
            main = i;
        }
    }
    for (i, plate) in e.plates.iter().enumerate() {
        execute(
            conn,
            "INSERT INTO shelf_event_plates (source, epoch, seq, plate, delta_g, sd_g, start_us, end_us, main)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                by.source,
                by.epoch,
                by.seq,
                plate.plate,
                plate.delta_g,
                plate.sd_g,
                plate.start_us,
                plate.end_us,
                i == main
            ],
        )?;
    }
    Ok(())
}

fn item_attributed(conn: &Connection, by: &By<'_>, at_us: i64, e: &ItemAttributed) -> rusqlite::Result<()> {
    let (shelf_epoch, shelf_seq) = (e.shelf_epoch.to_string(), clamp_seq(e.shelf_seq));
    let written = write(
        conn,
        "INSERT INTO attributions (shelf_source, shelf_epoch, shelf_seq, time_us, by_epoch, by_source, by_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        "UPDATE attributions SET time_us = ?4, by_epoch = ?5, by_source = ?6, by_seq = ?7
         WHERE shelf_source = ?1 AND shelf_epoch = ?2 AND shelf_seq = ?3
           AND (?5, ?6, ?7) > (by_epoch, by_source, by_seq)",
        params![e.shelf_source, shelf_epoch, shelf_seq, at_us, by.epoch, by.source, by.seq],
    )?;
    match written {
        Written::New => {}
        Written::Newer => {
            execute(
                conn,
                "DELETE FROM attribution_candidates WHERE shelf_source = ? AND shelf_epoch = ? AND shelf_seq = ?",
                params![e.shelf_source, shelf_epoch, shelf_seq],
            )?;
        }
        Written::Stale => return Ok(()),
    }
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

fn visit_closed(conn: &Connection, by: &By<'_>, e: &VisitClosed) -> rusqlite::Result<()> {
    let later = execute(
        conn,
        concat!(
            "INSERT INTO receipts (visit, credential, entered_us, left_us, currency, charge_minor, in_review_minor,
                                   by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET credential = excluded.credential, entered_us = excluded.entered_us,
               left_us = excluded.left_us, currency = excluded.currency, charge_minor = excluded.charge_minor,
               in_review_minor = excluded.in_review_minor, by_epoch = excluded.by_epoch,
               by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("receipts")
        ),
        params![
            e.visit,
            e.credential,
            e.entered_us,
            e.left_us,
            e.currency,
            e.charge_minor,
            e.in_review_minor,
            by.epoch,
            by.source,
            by.seq
        ],
    )?;
    if later == 0 {
        return Ok(());
    }
    execute(conn, "DELETE FROM receipt_lines WHERE visit = ?", params![e.visit])?;
    lines(
        conn,
        "INSERT INTO receipt_lines (visit, sku, name, quantity, unit_price_minor, probability, review)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        &e.visit,
        &e.lines,
    )
}

fn lines(conn: &Connection, sql: &str, visit: &str, lines: &[Line]) -> rusqlite::Result<()> {
    for l in lines {
        execute(
            conn,
            sql,
            params![visit, l.sku, l.name, l.quantity, l.unit_price_minor, l.probability, l.review],
        )?;
    }
    Ok(())
}
