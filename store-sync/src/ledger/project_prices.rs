//! Projections of price rules, of what receipts cost by them, and of contests. See [`super::project`].

use linefree_bus::payload::{ContestChanged, PriceRulesChanged, PricedLine, ReceiptPriced};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::project::{By, execute, if_later};
use super::read_orders::word;

/// What the tables hold as JSON: types of the contract, which can always be written.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn price_rules_changed(
    conn: &Connection,
    by: &By<'_>,
    e: &PriceRulesChanged,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO price_rules (version, from_us, rules, by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET from_us = excluded.from_us, rules = excluded.rules,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("price_rules")
        ),
        params![super::clamp_seq(e.version), e.from_us, json(&e.rules), by.epoch, by.source, by.seq],
    )
    .map(drop)
}

/// What was said first about a receipt stays: by it the shopper has paid.
pub(super) fn receipt_priced(conn: &Connection, by: &By<'_>, e: &ReceiptPriced) -> rusqlite::Result<()> {
    let (epoch, seq) = (e.closed_epoch.to_string(), super::clamp_seq(e.closed_seq));
    let earlier = execute(
        conn,
        "INSERT INTO receipt_prices (visit, closed_epoch, closed_source, closed_seq, version, prices_version,
                                     charge_minor, in_review_minor, points_earned, sellers, by_epoch, by_source,
                                     by_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET version = excluded.version, prices_version = excluded.prices_version,
           charge_minor = excluded.charge_minor,
           in_review_minor = excluded.in_review_minor, points_earned = excluded.points_earned,
           sellers = excluded.sellers, by_epoch = excluded.by_epoch, by_source = excluded.by_source,
           by_seq = excluded.by_seq
         WHERE (excluded.by_epoch, excluded.by_source, excluded.by_seq)
             < (receipt_prices.by_epoch, receipt_prices.by_source, receipt_prices.by_seq)",
        params![
            e.visit,
            epoch,
            e.closed_source,
            seq,
            super::clamp_seq(e.version),
            e.prices_version.map(super::clamp_seq),
            e.charge_minor,
            e.in_review_minor,
            super::clamp_seq(e.points_earned),
            json(&e.sellers),
            by.epoch,
            by.source,
            by.seq
        ],
    )?;
    if earlier == 0 {
        return Ok(());
    }
    execute(
        conn,
        "DELETE FROM receipt_price_lines
         WHERE visit = ? AND closed_epoch = ? AND closed_source = ? AND closed_seq = ?",
        params![e.visit, epoch, e.closed_source, seq],
    )?;
    for PricedLine { sku, unit_price_minor, amount_minor, tax_minor, seller, steps } in &e.lines {
        execute(
            conn,
            "INSERT INTO receipt_price_lines (visit, closed_epoch, closed_source, closed_seq, sku, unit_price_minor,
                                              amount_minor, tax_minor, seller, steps)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                e.visit,
                epoch,
                e.closed_source,
                seq,
                sku,
                unit_price_minor,
                amount_minor,
                tax_minor,
                seller,
                json(steps)
            ],
        )?;
    }
    Ok(())
}

pub(super) fn contest_changed(
    conn: &Connection,
    by: &By<'_>,
    at_us: i64,
    e: &ContestChanged,
) -> rusqlite::Result<()> {
    execute(
        conn,
        concat!(
            "INSERT INTO contests (contest, visit, sku, currency, amount_minor, state, changed_us,
                                   by_epoch, by_source, by_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET visit = excluded.visit, sku = excluded.sku, currency = excluded.currency,
               amount_minor = excluded.amount_minor, state = excluded.state, changed_us = excluded.changed_us,
               by_epoch = excluded.by_epoch, by_source = excluded.by_source, by_seq = excluded.by_seq",
            if_later!("contests")
        ),
        params![
            e.contest,
            e.visit,
            e.sku,
            e.currency,
            e.amount_minor,
            word(&e.state),
            at_us,
            by.epoch,
            by.source,
            by.seq
        ],
    )
    .map(drop)
}
