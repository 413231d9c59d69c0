//! Counters for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::{Context, Trouble};
use crate::clock::wall_us;

/// Counters and gauges for Prometheus: events, the ledger's end, the outbox's depth and age.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, body = String, content_type = "text/plain", description = "Prometheus text format.")))]
pub(super) async fn metrics(State(context): State<Context>) -> Result<impl IntoResponse, Trouble> {
    let (totals, projected, oldest_us) = context
        .ask(|ledger| {
            let totals = ledger.totals()?;
            // How long the first event that the cloud does not have has been waiting.
            let oldest = ledger.outbox_events(totals.acknowledged_seq, u64::MAX, 1)?;
            let oldest_us = oldest.first().map(crate::ledger::OutboxEvent::received_us);
            Ok((totals, ledger.projected_seq()?, oldest_us))
        })
        .await?;
    let counters = &context.live.counters;
    let get = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    let flag = |c: &std::sync::atomic::AtomicBool| u64::from(c.load(Ordering::Relaxed));
    let outbox = context.outbox.as_ref().map(|o| o.status()).unwrap_or_default();
    let age_us = oldest_us.map_or(0, |since| wall_us().saturating_sub(since).max(0));
    let mut text = String::new();
    let mut row = |name: &str, kind: &str, help: &str, value: f64| {
        let _ = writeln!(
            text,
            "# HELP linefree_{name} {help}\n# TYPE linefree_{name} {kind}\nlinefree_{name} {value}"
        );
    };
    let rows: [(&str, &str, &str, u64); 18] = [
        ("messages_total", "counter", "Messages from the bus.", get(&counters.messages)),
        ("malformed_total", "counter", "Messages that did not parse.", get(&counters.malformed)),
        ("events_total", "counter", "Events that were new.", get(&counters.events)),
        ("duplicates_total", "counter", "Events that the ledger had.", get(&counters.duplicates)),
        ("resends_total", "counter", "Requests to send again.", get(&counters.resends)),
        ("batches_total", "counter", "Transactions.", get(&counters.batches)),
        ("failed_batches_total", "counter", "Transactions that failed.", get(&counters.failed_batches)),
        ("ledger_seq", "gauge", "Number of the ledger's last event.", totals.ledger_seq),
        ("projected_seq", "gauge", "Last event in the projections.", projected),
        ("conflicts", "gauge", "Events that came again with another content.", totals.conflicts),
        ("oddities", "gauge", "Stored events that break a constraint.", totals.oddities),
        ("lost", "gauge", "Numbers that sources can no longer send.", totals.lost),
        ("receipts", "gauge", "Receipts.", totals.receipts),
        ("outbox_acknowledged_seq", "gauge", "The cloud has everything up to here.", totals.acknowledged_seq),
        (
            "outbox_depth",
            "gauge",
            "Events that the cloud does not have.",
            totals.ledger_seq.saturating_sub(totals.acknowledged_seq),
        ),
        ("outbox_failures_total", "counter", "Failed deliveries.", outbox.failures),
        ("ledger_ok", "gauge", "1 while the ledger can be written.", flag(&counters.ledger_ok)),
        ("bus_ok", "gauge", "1 while the bus is connected.", flag(&counters.bus_ok)),
    ];
    for (name, kind, help, value) in rows {
        row(name, kind, help, value as f64);
    }
    row(
        "outbox_age_seconds",
        "gauge",
        "Age of the first event that the cloud does not have.",
        age_us as f64 / 1e6,
    );
    row(
        "outbox_lag_seconds",
        "gauge",
        "How long the last event waited that the cloud took.",
        outbox.waits.last_s(),
    );
    let name = "linefree_outbox_wait_seconds";
    let _ =
        writeln!(text, "# HELP {name} How long events waited that the cloud took.\n# TYPE {name} histogram");
    for (bound_s, count) in outbox.waits.at_most() {
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound_s}\"}} {count}");
    }
    let (count, sum_s) = (outbox.waits.count(), outbox.waits.sum_s());
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum_s}\n{name}_count {count}");
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
