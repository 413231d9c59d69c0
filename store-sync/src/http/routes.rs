//! The API's questions to the ledger.

// utoipa's macro writes the parameters' types with their full path.
#![allow(unused_qualifications)]

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::answers::{
    Cart, Device, Devices, LedgerEvent, OutboxStats, Problem, Receipt, ReceiptDetail, Stats, StoreMap, Visit,
};
use super::{Context, Trouble};

/// More than this is not answered at once.
const MAX_ROWS: u32 = 1000;

/// How much of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Limit {
    /// At most this many, up to 1000; 100 when left out.
    #[param(value_type = Option<i64>, minimum = 0)]
    limit: Option<u32>,
}

impl Limit {
    pub(super) fn rows(&self) -> u32 {
        self.limit.unwrap_or(100).min(MAX_ROWS)
    }
}

/// Which part of the ledger is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Page {
    /// Events after this ledger number; from the first when left out.
    after: Option<u64>,
    /// At most this many, up to 1000; 100 when left out.
    #[param(value_type = Option<i64>, minimum = 0)]
    limit: Option<u32>,
}

/// The store as a map: floor, gates, shelving, plates, products, cameras.
#[utoipa::path(get, path = "/api/store", responses((status = 200, description = "The answer.", body = StoreMap)))]
pub(super) async fn store(State(context): State<Context>) -> Json<serde_json::Value> {
    Json(serde_json::to_value(&*context.map).unwrap_or_default())
}

/// Visits, youngest first.
#[utoipa::path(get, path = "/api/visits", params(Limit), responses((status = 200, description = "The answer.", body = [Visit]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn visits(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Visit>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.visits(limit.rows())).await?;
    Ok(Json(rows.into_iter().map(Visit::from).collect()))
}

/// What every visit that still lasts holds, oldest visit first.
#[utoipa::path(get, path = "/api/carts", params(Limit), responses((status = 200, description = "The answer.", body = [Cart]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn carts(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Cart>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.carts(limit.rows())).await?;
    Ok(Json(rows.into_iter().map(Cart::from).collect()))
}

/// Receipts, youngest first.
#[utoipa::path(get, path = "/api/receipts", params(Limit), responses((status = 200, description = "The answer.", body = [Receipt]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn receipts(
    State(context): State<Context>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Receipt>>, Trouble> {
    let rows = context.ask(move |ledger| ledger.receipts(limit.rows())).await?;
    Ok(Json(rows.into_iter().map(Receipt::from).collect()))
}

/// One receipt, with the shelf events it rests on and every explanation of them.
#[utoipa::path(get, path = "/api/receipts/{visit}", params(("visit" = String, Path, description = "The visit.")),
    responses((status = 200, description = "The answer.", body = ReceiptDetail), (status = 404, description = "There is none.", body = Problem)))]
pub(super) async fn receipt(
    State(context): State<Context>,
    Path(visit): Path<String>,
) -> Result<Json<ReceiptDetail>, Trouble> {
    let found = context
        .ask(move |ledger| {
            let Some(receipt) = ledger.receipt(&visit)? else { return Ok(None) };
            Ok(Some((receipt, ledger.evidence(&visit)?)))
        })
        .await?;
    let (receipt, evidence) = found.ok_or(Trouble::NotFound("this visit has no receipt"))?;
    Ok(Json(ReceiptDetail {
        receipt: receipt.into(),
        evidence: evidence.into_iter().map(Into::into).collect(),
    }))
}

/// Devices, faults, and how much of each source's numbering the ledger has.
#[utoipa::path(get, path = "/api/devices", responses((status = 200, description = "The answer.", body = Devices)))]
pub(super) async fn devices(State(context): State<Context>) -> Result<Json<Devices>, Trouble> {
    let (faults, sources) = context.ask(|ledger| Ok((ledger.faults(MAX_ROWS)?, ledger.sources()?))).await?;
    let devices = context.live.statuses().into_iter().map(|s| Device {
        source: s.source,
        role: s.role,
        online: s.online,
        time_us: s.time_us,
        version: s.version,
        counters: s.counters,
    });
    Ok(Json(Devices {
        devices: devices.collect(),
        faults: faults.into_iter().map(Into::into).collect(),
        sources: sources.into_iter().map(Into::into).collect(),
    }))
}

/// Counts of messages, events, duplicates and faults; the ledger's end; the outbox's lag.
#[utoipa::path(get, path = "/api/stats", responses((status = 200, description = "The answer.", body = Stats)))]
pub(super) async fn stats(State(context): State<Context>) -> Result<Json<Stats>, Trouble> {
    let totals = context.ask(crate::ledger::LedgerReader::totals).await?;
    let counters = &context.live.counters;
    let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
    let outbox = context.outbox.as_ref().map(|outbox| {
        let status = outbox.status();
        OutboxStats {
            acknowledged_seq: status.acknowledged_seq,
            lag: totals.ledger_seq.saturating_sub(status.acknowledged_seq),
            failures_in_a_row: status.failures_in_a_row,
            last_error: status.last_error,
            last_success_us: status.last_success_us,
        }
    });
    Ok(Json(Stats {
        messages: get(&counters.messages),
        malformed: get(&counters.malformed),
        events: get(&counters.events),
        duplicates: get(&counters.duplicates),
        early: get(&counters.early),
        resends: get(&counters.resends),
        refused: get(&counters.refused),
        batches: get(&counters.batches),
        failed_batches: get(&counters.failed_batches),
        conflicts: totals.conflicts,
        oddities: totals.oddities,
        lost: totals.lost,
        ledger_seq: totals.ledger_seq,
        visits: totals.visits,
        receipts: totals.receipts,
        receipts_in_review: totals.receipts_in_review,
        viewers: context.live.viewers() as u64,
        viewers_missed: get(&counters.viewers_missed),
        bus_ok: counters.bus_ok.load(Ordering::Relaxed),
        ledger_ok: counters.ledger_ok.load(Ordering::Relaxed),
        troubles: context.live.troubles(),
        outbox,
    }))
}

/// The ledger's events, in order.
#[utoipa::path(get, path = "/api/events", params(Page), responses((status = 200, description = "The answer.", body = [LedgerEvent]), (status = 400, description = "A parameter is no number.")))]
pub(super) async fn events(
    State(context): State<Context>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<LedgerEvent>>, Trouble> {
    let limit = page.limit.unwrap_or(100).min(MAX_ROWS);
    let after = page.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Trouble::Malformed("no ledger reaches this number"));
    }
    let rows = context.ask(move |ledger| ledger.events_after(after, limit)).await?;
    let events = rows.into_iter().map(|row| LedgerEvent {
        ledger_seq: row.ledger_seq,
        source: row.event.source,
        epoch: row.event.epoch.to_string(),
        seq: row.event.seq,
        time_us: row.event.time_us,
        body: serde_json::to_value(&row.event.body).unwrap_or_default(),
    });
    Ok(Json(events.collect()))
}

/// Is the store's server well? For whoever supervises it.
#[utoipa::path(get, path = "/healthz", responses(
    (status = 200, body = String, description = "The bus is connected and the ledger is being written."),
    (status = 503, body = String, description = "One of them is not; the body names it.")))]
pub(super) async fn healthz(State(context): State<Context>) -> (StatusCode, String) {
    let mut troubles = context.live.troubles();
    let ok = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
    if !ok(&context.live.counters.bus_ok) {
        troubles.push("the bus is not connected".to_owned());
    }
    if troubles.is_empty() && ok(&context.live.counters.ledger_ok) {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, troubles.join("\n") + "\n")
    }
}
