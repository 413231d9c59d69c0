//! The cloud's events and commands, wherever they are kept: in an SQLite file or in PostgreSQL.
//!
//! **Whole or nothing.** A batch is one transaction; one bad event refuses the batch and names it. **Idempotent.** An
//! event id that is here with the same content is counted and skipped; with another content the batch is refused. The
//! credential is not compared: it may have been deleted on either side. **Forgetting**: an event that says so takes the
//! credentials out of a shopper's visits and gate passages here, too.

use std::path::Path;

use serde_json::Value;

use super::command::Command;
use super::event::{Received, check};
use super::postgres::PostgresEvents;
use super::sqlite::SqliteEvents;
use super::{MAX_BATCH_EVENTS, PlacedEvent};

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

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(pub(super) String);

impl From<rusqlite::Error> for DatabaseError {
    fn from(e: rusqlite::Error) -> Self {
        Self(e.to_string())
    }
}

impl From<postgres::Error> for DatabaseError {
    fn from(e: postgres::Error) -> Self {
        // Its own text says only "db error".
        Self(
            e.as_db_error()
                .map_or_else(|| e.to_string(), |db| format!("{}: {}", db.severity(), db.message())),
        )
    }
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
    Database(DatabaseError),
}

impl From<DatabaseError> for RefusedBatch {
    fn from(e: DatabaseError) -> Self {
        Self::Database(e)
    }
}

impl From<rusqlite::Error> for RefusedBatch {
    fn from(e: rusqlite::Error) -> Self {
        Self::Database(e.into())
    }
}

impl From<postgres::Error> for RefusedBatch {
    fn from(e: postgres::Error) -> Self {
        Self::Database(e.into())
    }
}

/// A batch, each of whose events keeps the contract, of one store and one ledger.
pub(super) struct Batch<'a> {
    pub store: String,
    pub ledger: String,
    pub events: Vec<(Received, &'a Value)>,
}

impl<'a> Batch<'a> {
    fn check(batch: &'a [Value]) -> Result<Self, RefusedBatch> {
        if batch.is_empty() || batch.len() > MAX_BATCH_EVENTS {
            let told = format!("a batch holds 1 to {MAX_BATCH_EVENTS} events, this one {}", batch.len());
            return Err(RefusedBatch::Malformed(told));
        }
        let mut events = Vec::with_capacity(batch.len());
        for (i, event) in batch.iter().enumerate() {
            let received = check(event)
                .map_err(|why| RefusedBatch::Malformed(format!("event {} of the batch: {why}", i + 1)))?;
            events.push((received, event));
        }
        let (store, ledger) = (events[0].0.store.clone(), events[0].0.ledger);
        if events.iter().any(|(r, _)| r.store != store || r.ledger != ledger) {
            return Err(RefusedBatch::Malformed("a batch holds events of one store and one ledger".into()));
        }
        Ok(Self { store, ledger: ledger.to_string(), events })
    }
}

/// An event as it is kept: without what belongs to a delivery.
pub(super) fn kept(event: &Value) -> Value {
    let mut kept = event.clone();
    if let Some(object) = kept.as_object_mut() {
        object.remove("ledger");
        object.remove("sequence");
    }
    kept
}

/// Are two events the same, but for a credential that one of them does not have any more?
pub(super) fn same_but_credential(mut a: Value, mut b: Value) -> bool {
    let take = |event: &mut Value| {
        let data = event.get_mut("data").and_then(Value::as_object_mut);
        data.and_then(|d| d.remove("credential")).filter(|c| !c.is_null())
    };
    let (of_a, of_b) = (take(&mut a), take(&mut b));
    (of_a.is_none() || of_b.is_none() || of_a == of_b) && a == b
}

pub(super) fn other_content(id: &str) -> RefusedBatch {
    RefusedBatch::Conflict(format!("event {id} is here with another content"))
}

pub(super) fn other_event(seq: i64, id: &str, received: &Received) -> RefusedBatch {
    RefusedBatch::Conflict(format!(
        "number {seq} of this ledger brought event {id}, now it brings {}: was the store's ledger put back from an older \
         copy?",
        received.id
    ))
}

enum Kept {
    Sqlite(SqliteEvents),
    Postgres(Box<PostgresEvents>),
}

/// The cloud's events.
pub struct CloudEvents(Kept);

impl CloudEvents {
    /// Opens or makes an SQLite file.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        Ok(Self(Kept::Sqlite(SqliteEvents::open(path)?)))
    }

    /// Opens a PostgreSQL database and makes its tables. Waits for the network, so not on an asynchronous thread.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn open_postgres(url: &str, password: Option<String>) -> Result<Self, DatabaseError> {
        Ok(Self(Kept::Postgres(Box::new(PostgresEvents::open(url, password)?))))
    }

    /// Takes a batch, whole or not at all.
    ///
    /// # Errors
    /// [`RefusedBatch`].
    pub fn take(&mut self, batch: &[Value], now_us: i64) -> Result<Taken, RefusedBatch> {
        let batch = Batch::check(batch)?;
        match &mut self.0 {
            Kept::Sqlite(db) => db.take(&batch, now_us),
            Kept::Postgres(db) => db.take(&batch, now_us),
        }
    }

    /// Up to `limit` events of a store after a position, in the order in which they came.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn events(&self, store: &str, after: i64, limit: u32) -> Result<Vec<PlacedEvent>, DatabaseError> {
        match &self.0 {
            Kept::Sqlite(db) => Ok(db.events(store, after, limit)?),
            Kept::Postgres(db) => db.events(store, after, limit),
        }
    }

    /// The receipt of each visit of a store as it stands, youngest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn receipts(&self, store: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        match &self.0 {
            Kept::Sqlite(db) => Ok(db.receipts(store, limit)?),
            Kept::Postgres(db) => db.receipts(store, limit),
        }
    }

    /// The stores that have delivered anything, with how many events each.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn stores(&self) -> Result<Vec<Value>, DatabaseError> {
        match &self.0 {
            Kept::Sqlite(db) => Ok(db.stores()?),
            Kept::Postgres(db) => db.stores(),
        }
    }

    /// Issues a command to a store, with the next number. The same id again is the same command; `None` when that id has
    /// another content.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn issue(
        &mut self,
        store: &str,
        command: &str,
        version: u64,
        body: &Value,
        now_us: i64,
    ) -> Result<Option<u64>, DatabaseError> {
        match &mut self.0 {
            Kept::Sqlite(db) => Ok(db.issue(store, command, version, body, now_us)?),
            Kept::Postgres(db) => db.issue(store, command, version, body, now_us),
        }
    }

    /// A store's commands after a number, in order.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn commands(&self, store: &str, after: u64, limit: u32) -> Result<Vec<Command>, DatabaseError> {
        match &self.0 {
            Kept::Sqlite(db) => Ok(db.commands(store, after, limit)?),
            Kept::Postgres(db) => db.commands(store, after, limit),
        }
    }

    /// What a store has decided about its commands, youngest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn answers(&self, store: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        match &self.0 {
            Kept::Sqlite(db) => Ok(db.answers(store, limit)?),
            Kept::Postgres(db) => db.answers(store, limit),
        }
    }
}
