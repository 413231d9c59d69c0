//! The reference cloud: takes batches, keeps each event once, says how much it has without a hole.
//!
//! **Whole or nothing.** A batch is one transaction; one bad event refuses the batch and names it. **Idempotent.** An
//! event id that is here with the same content is counted and skipped; with another content the batch is refused with
//! `409`. **Limits.** [`MAX_BATCH_BYTES`], [`MAX_BATCH_EVENTS`]. One SQLite file, `synchronous = FULL`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Deserialize;
use serde_json::{Value, json};

use super::event::{Received, check};
use super::{BATCH_MEDIA_TYPE, MAX_BATCH_BYTES, MAX_BATCH_EVENTS};
use crate::clock::wall_us;

/// What a batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Everything of the ledger up to here is durable.
    pub acknowledged: u64,
    /// Events that were new.
    pub new: u64,
    /// Events that were here already.
    pub duplicates: u64,
}

/// Why a batch was refused.
#[derive(Debug, thiserror::Error)]
pub enum RefusedBatch {
    /// It is not what the contract says.
    #[error("{0}")]
    Malformed(String),
    /// It contradicts what is here.
    #[error("{0}")]
    Conflict(String),
    /// The cloud's own disk failed.
    #[error("the cloud's database failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// The cloud's events.
#[derive(Debug)]
pub struct CloudEvents {
    conn: Connection,
}

impl CloudEvents {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        if version == 0 {
            let schema = include_str!("schema.sql");
            conn.execute_batch(&format!("BEGIN; {schema} PRAGMA user_version = 1; COMMIT"))?;
        }
        Ok(Self { conn })
    }

    /// Takes a batch, whole or not at all.
    ///
    /// # Errors
    /// [`RefusedBatch`].
    pub fn take(&mut self, batch: &[Value], now_us: i64) -> Result<Taken, RefusedBatch> {
        if batch.is_empty() || batch.len() > MAX_BATCH_EVENTS {
            let told = format!("a batch holds 1 to {MAX_BATCH_EVENTS} events, this one {}", batch.len());
            return Err(RefusedBatch::Malformed(told));
        }
        let mut checked = Vec::with_capacity(batch.len());
        for (i, event) in batch.iter().enumerate() {
            let received = check(event)
                .map_err(|why| RefusedBatch::Malformed(format!("event {} of the batch: {why}", i + 1)))?;
            checked.push((received, event));
        }
        let (store, ledger) = (checked[0].0.store.clone(), checked[0].0.ledger.to_string());
        if checked.iter().any(|(r, _)| r.store != store || r.ledger != checked[0].0.ledger) {
            return Err(RefusedBatch::Malformed("a batch holds events of one store and one ledger".into()));
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut taken = Taken::default();
        for (received, event) in &checked {
            take_one(&tx, &ledger, received, event, now_us, &mut taken)?;
        }
        let mut acknowledged: i64 = tx
            .query_row(
                "SELECT acknowledged_seq FROM ledgers WHERE store = ? AND ledger = ?",
                params![store, ledger],
                |r| r.get(0),
            )
            .optional()?
            .unwrap_or(0);
        {
            let mut next = tx.prepare(
                "SELECT ledger_seq FROM deliveries WHERE store = ? AND ledger = ? AND ledger_seq > ?
                 ORDER BY ledger_seq",
            )?;
            let mut rows = next.query(params![store, ledger, acknowledged])?;
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(0)? != acknowledged + 1 {
                    break;
                }
                acknowledged += 1;
            }
        }
        tx.execute(
            "INSERT INTO ledgers (store, ledger, acknowledged_seq) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET acknowledged_seq = excluded.acknowledged_seq",
            params![store, ledger, acknowledged],
        )?;
        tx.commit()?;
        taken.acknowledged = acknowledged.cast_unsigned();
        Ok(taken)
    }

    /// Up to `limit` events of a store after a position, in the order in which they came.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn events(&self, store: &str, after: i64, limit: u32) -> rusqlite::Result<Vec<Value>> {
        self.json_rows(
            "SELECT json_object('position', position, 'event', json(event)) FROM events
             WHERE store = ? AND position > ? ORDER BY position LIMIT ?",
            params![store, after, limit],
        )
    }

    /// The last receipt of each visit of a store, youngest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn receipts(&self, store: &str, limit: u32) -> rusqlite::Result<Vec<Value>> {
        self.json_rows(
            "SELECT json(event ->> 'data') FROM events
             WHERE position IN (SELECT max(position) FROM events
                                WHERE store = ?1 AND type = 'org.linefree.visit.closed.v1'
                                GROUP BY event ->> '$.data.visit')
             ORDER BY event ->> '$.data.left_us' DESC, position DESC LIMIT ?2",
            params![store, limit],
        )
    }

    /// The stores that have delivered anything, with how many events each.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn stores(&self) -> rusqlite::Result<Vec<Value>> {
        self.json_rows(
            "SELECT json_object('store', store, 'events', count(*)) FROM events GROUP BY store ORDER BY store",
            [],
        )
    }

    fn json_rows(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<Value>> {
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map(params, |r| r.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?).unwrap_or(Value::Null))).collect()
    }
}

fn take_one(
    tx: &rusqlite::Transaction<'_>,
    ledger: &str,
    received: &Received,
    event: &Value,
    now_us: i64,
    taken: &mut Taken,
) -> Result<(), RefusedBatch> {
    let mut kept = event.clone();
    if let Some(object) = kept.as_object_mut() {
        object.remove("ledger");
        object.remove("sequence");
    }
    let kept = kept.to_string();
    let known: Option<String> = tx
        .prepare_cached("SELECT event FROM events WHERE store = ? AND event_id = ?")?
        .query_row(params![received.store, received.id], |r| r.get(0))
        .optional()?;
    match known {
        Some(known) if known == kept => taken.duplicates += 1,
        Some(_) => {
            let told = format!("event {} is here with another content", received.id);
            return Err(RefusedBatch::Conflict(told));
        }
        None => {
            tx.prepare_cached(
                "INSERT INTO events (store, event_id, type, event, received_us) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![received.store, received.id, received.kind, kept, now_us])?;
            taken.new += 1;
        }
    }
    let seq = received.ledger_seq.cast_signed();
    let there: Option<String> = tx
        .prepare_cached("SELECT event_id FROM deliveries WHERE store = ? AND ledger = ? AND ledger_seq = ?")?
        .query_row(params![received.store, ledger, seq], |r| r.get(0))
        .optional()?;
    match there {
        Some(id) if id == received.id => Ok(()),
        Some(id) => Err(RefusedBatch::Conflict(format!(
            "number {seq} of this ledger brought event {id}, now it brings {}: was the store's ledger put back \
             from an older copy?",
            received.id
        ))),
        None => {
            tx.prepare_cached(
                "INSERT INTO deliveries (store, ledger, ledger_seq, event_id) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![received.store, ledger, seq, received.id])?;
            Ok(())
        }
    }
}

#[derive(Clone)]
struct Cloud {
    events: Arc<Mutex<CloudEvents>>,
    token: Option<Arc<str>>,
}

/// The receiver's HTTP side. With a token, every request must carry it.
pub fn router(events: CloudEvents, token: Option<String>) -> Router {
    let cloud = Cloud { events: Arc::new(Mutex::new(events)), token: token.map(Into::into) };
    Router::new()
        .route("/v1/events", post(take_batch))
        .route("/", post(take_batch).get(what_this_is))
        .route("/v1/stores", get(stores))
        .route("/v1/stores/{store}/events", get(store_events))
        .route("/v1/stores/{store}/receipts", get(store_receipts))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(MAX_BATCH_BYTES))
        .with_state(cloud)
}

async fn what_this_is() -> &'static str {
    "Linefree reference cloud\n\nPOST /v1/events               CloudEvents batches from stores\n\
     GET  /v1/stores               which stores have delivered\n\
     GET  /v1/stores/{store}/receipts\nGET  /v1/stores/{store}/events?after=POSITION&limit=N\n"
}

impl Cloud {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        // Every byte is compared, so that the time taken tells nothing about where they differ.
        let differing = token.bytes().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        differing == 0 && token.len() == given.len()
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut CloudEvents) -> T + Send + 'static,
    ) -> Option<T> {
        let events = Arc::clone(&self.events);
        tokio::task::spawn_blocking(move || work(&mut events.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .ok()
    }

    async fn look(
        &self,
        headers: &HeaderMap,
        work: impl FnOnce(&CloudEvents) -> rusqlite::Result<Vec<Value>> + Send + 'static,
    ) -> Response {
        if !self.admits(headers) {
            return told(StatusCode::UNAUTHORIZED, "a bearer token is needed");
        }
        match self.with(|events| work(events)).await {
            Some(Ok(rows)) => Json(rows).into_response(),
            Some(Err(e)) => told(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
            None => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
        }
    }
}

fn told(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

async fn take_batch(State(cloud): State<Cloud>, headers: HeaderMap, body: Bytes) -> Response {
    if !cloud.admits(&headers) {
        return told(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if media_type.split(';').next().map(str::trim) != Some(BATCH_MEDIA_TYPE) {
        return told(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("send {BATCH_MEDIA_TYPE}"));
    }
    let batch: Vec<Value> = match serde_json::from_slice(&body) {
        Ok(batch) => batch,
        Err(e) => return told(StatusCode::BAD_REQUEST, &format!("the body is no JSON array: {e}")),
    };
    match cloud.with(move |events| events.take(&batch, wall_us())).await {
        Some(Ok(taken)) => {
            tracing::info!(taken.acknowledged, taken.new, taken.duplicates, "took a batch");
            Json(json!({ "acknowledged": taken.acknowledged, "new": taken.new, "duplicates": taken.duplicates }))
                .into_response()
        }
        Some(Err(e)) => {
            tracing::warn!("refused a batch: {e}");
            let status = match e {
                RefusedBatch::Malformed(_) => StatusCode::BAD_REQUEST,
                RefusedBatch::Conflict(_) => StatusCode::CONFLICT,
                RefusedBatch::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            told(status, &e.to_string())
        }
        None => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

async fn stores(State(cloud): State<Cloud>, headers: HeaderMap) -> Response {
    cloud.look(&headers, CloudEvents::stores).await
}

async fn store_events(
    State(cloud): State<Cloud>,
    headers: HeaderMap,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    cloud.look(&headers, move |events| events.events(&store, page.after, page.limit.min(1000))).await
}

async fn store_receipts(
    State(cloud): State<Cloud>,
    headers: HeaderMap,
    UrlPath(store): UrlPath<String>,
    Query(page): Query<Page>,
) -> Response {
    cloud.look(&headers, move |events| events.receipts(&store, page.limit.min(1000))).await
}
