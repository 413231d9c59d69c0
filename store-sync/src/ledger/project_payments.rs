//! Projection of payments. See [`super::project`].

use linefree_bus::payload::PaymentChanged;
use rusqlite::{Connection, params};

use super::project::{By, execute, if_later};
use super::project_prices::json;
use super::read_orders::word;

pub(super) fn payment_changed(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &PaymentChanged,
) -> rusqlite::Result<()> {
    let ask = e.ask.as_ref();
    execute(
        conn,
        concat!(
            "INSERT INTO trips (visit, currency, state, step, ask, ask_minor, ask_earlier, ask_since_us, silences,
                                pending, authorised_minor, captured_minor, refunded_minor, disputed_minor,
                                hold_declined, reference, reason, changed_us, by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET currency = excluded.currency, state = excluded.state, step = excluded.step,
               ask = excluded.ask, ask_minor = excluded.ask_minor,
               ask_earlier = excluded.ask_earlier, ask_since_us = excluded.ask_since_us,
               silences = excluded.silences, pending = excluded.pending,
               authorised_minor = excluded.authorised_minor, captured_minor = excluded.captured_minor,
               refunded_minor = excluded.refunded_minor,
               disputed_minor = excluded.disputed_minor, hold_declined = excluded.hold_declined,
               reference = excluded.reference, reason = excluded.reason, changed_us = excluded.changed_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("trips")
        ),
        params![
            e.visit,
            e.currency,
            word(&e.state),
            e.step,
            ask.map(|a| word(&a.ask)),
            ask.map(|a| a.amount_minor),
            ask.map(|a| json(&a.earlier_minor)),
            ask.map(|a| a.since_us),
            ask.map(|a| a.silences),
            ask.map(|a| a.pending),
            e.authorised_minor,
            e.captured_minor,
            e.refunded_minor,
            e.disputed_minor,
            e.hold_declined,
            e.reference,
            e.reason,
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
    )
    .map(drop)
}
