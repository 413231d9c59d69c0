//! The store's ledger: every event that matters, durable, in one append-only SQLite file, and what follows from it.
//!
//! **Durability.** WAL with `synchronous = FULL`; [`Ledger::append`] is one transaction per batch, events and
//! projections together. When it returns, the batch survives a power cut; before that, nothing of it does.
//!
//! **Identity.** An event is `(source, epoch, seq)`. The same event again is a duplicate and changes nothing. Another
//! content under a number that the ledger has is a conflict: the first stays, the other is kept in `conflicts`.
//!
//! **Order.** Any order of arrival is taken; `ledger_seq` is the order of arrival. Projections depend on the set of
//! events only, so a late, doubled or reordered delivery ends in the same carts and receipts (a test holds it to that).
//!
//! **Failure rules.** An error of SQLite leaves the ledger as it was before the call. An event that cannot be numbered
//! is [refused](Refusal); one whose content breaks a constraint is stored and listed in `oddities`. A file written by a
//! newer program, or for another store, is not opened.
//!
//! Limits: one writer per file (a lock file beside it, see [`crate::serve`]); numbers and times fit in 63 bits.

mod check;
mod cursor;
mod migrate;
mod project;
mod read;
mod rebuild;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linefree_bus::payload::{Event, EventBody};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

pub use check::{CheckReport, Finding, Severity};
pub use cursor::OutboxCursor;
pub use read::{
    CandidateRow, CartRow, EvidenceRow, FaultRow, LedgerReader, LineRow, ReceiptRow, SourceRow, StoredEvent,
    Totals, VisitRow,
};

/// What went wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened or made.
    #[error("cannot open the ledger {}: {source}. Is the folder there and writable?", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file was written by a newer program.
    #[error(
        "the ledger has schema {found}, this program knows {known}: use the store-sync that wrote it, or a newer one"
    )]
    Newer {
        /// Its `user_version`.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The file belongs to another store.
    #[error("the ledger belongs to store {found:?}, not to {wanted:?}: give each store its own data folder")]
    OtherStore {
        /// What the file says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The file is no ledger.
    #[error("the file is no ledger: {0}")]
    NoLedger(String),
    /// A stored body does not parse; the file was changed by somebody else.
    #[error("the ledger's event {ledger_seq} does not parse: {source}")]
    Body {
        /// Which event.
        ledger_seq: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// SQLite failed.
    #[error("the ledger failed while {doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
}

/// Names the operation behind an SQLite error.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|source| LedgerError::Sqlite { doing, source })
    }
}

/// What identifies an event everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Who originated it.
    pub source: String,
    /// In which numbering.
    pub epoch: Uuid,
    /// Under which number.
    pub seq: u64,
}

impl EventId {
    /// The identity of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self { source: event.source.clone(), epoch: event.epoch, seq: event.seq }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.epoch, self.seq)
    }
}

/// An event that has no place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub id: EventId,
    /// Why.
    pub reason: &'static str,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Appended {
    /// New events: ledger number and position in the batch, in order.
    pub stored: Vec<(u64, usize)>,
    /// Events that the ledger had already, with the same content.
    pub duplicates: u64,
    /// Events whose number the ledger has with another content.
    pub conflicts: Vec<EventId>,
    /// Events that cannot be numbered.
    pub refused: Vec<Refusal>,
    /// New events that were stored but break a constraint of the projections, and which.
    pub oddities: Vec<(EventId, String)>,
    /// For every numbering that the batch touched: up to which number the ledger is complete. What may be acknowledged.
    pub complete: BTreeMap<(String, Uuid), u64>,
}

/// The kind of an event, as its JSON tag says.
#[must_use]
pub fn kind_of(body: &EventBody) -> &'static str {
    match body {
        EventBody::ShelfChanged(_) => "shelf_changed",
        EventBody::GatePassed(_) => "gate_passed",
        EventBody::VisitOpened(_) => "visit_opened",
        EventBody::ItemAttributed(_) => "item_attributed",
        EventBody::CartChanged(_) => "cart_changed",
        EventBody::VisitClosed(_) => "visit_closed",
        EventBody::DeviceFault(_) => "device_fault",
    }
}

/// The ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    ledger_id: Uuid,
    path: PathBuf,
}

impl Ledger {
    /// Opens the ledger of a store, makes it if there is none, and brings it up to this program's schema.
    ///
    /// # Errors
    /// [`LedgerError`]: the file cannot be opened, is newer, belongs to another store, or SQLite fails.
    pub fn open(path: &Path, store: &str, now_us: i64) -> Result<Self, LedgerError> {
        let conn = connect(path)?;
        Self::prepare(conn, path, Some(store), now_us)
    }

    /// Opens a ledger that must exist already, whichever store it belongs to.
    ///
    /// # Errors
    /// [`LedgerError`]: there is none, it is newer, or SQLite fails.
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::NoLedger(format!("{} does not exist", path.display())));
        }
        let conn = connect(path)?;
        Self::prepare(conn, path, None, 0)
    }

    fn prepare(
        mut conn: Connection,
        path: &Path,
        store: Option<&str>,
        now_us: i64,
    ) -> Result<Self, LedgerError> {
        migrate::migrate(&mut conn, store, now_us)?;
        let (id, found): (String, String) = conn
            .query_row("SELECT ledger_id, store FROM ledger", [], |r| Ok((r.get(0)?, r.get(1)?)))
            .doing("reading its identity")?;
        if let Some(wanted) = store
            && wanted != found
        {
            return Err(LedgerError::OtherStore { found, wanted: wanted.to_owned() });
        }
        let ledger_id = Uuid::parse_str(&id).map_err(|e| LedgerError::NoLedger(e.to_string()))?;
        let mut ledger = Self { conn, ledger_id, path: path.to_owned() };
        ledger.renew_projections()?;
        Ok(ledger)
    }

    /// This ledger's own id, drawn when it was made.
    #[must_use]
    pub fn ledger_id(&self) -> Uuid {
        self.ledger_id
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a batch: one transaction, durable when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; then nothing of the batch was taken and it may be given again.
    pub fn append(&mut self, batch: &[Event], received_us: i64) -> Result<Appended, LedgerError> {
        let tx =
            self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing("beginning a batch")?;
        let mut next = last_seq(&tx)? + 1;
        let mut out = Appended::default();
        for (index, event) in batch.iter().enumerate() {
            if let Some(reason) = unnumberable(event) {
                out.refused.push(Refusal { id: EventId::of(event), reason });
                continue;
            }
            let body = body_json(event)?;
            match known(&tx, event, &body)? {
                Some(true) => out.duplicates += 1,
                Some(false) => {
                    note_conflict(&tx, event, &body, received_us)?;
                    out.conflicts.push(EventId::of(event));
                }
                None => {
                    insert(&tx, next, event, &body, received_us)?;
                    if let Some(reason) = project::apply(&tx, event)? {
                        out.oddities.push((EventId::of(event), reason));
                    }
                    out.stored.push((next.cast_unsigned(), index));
                    next += 1;
                }
            }
            out.complete.insert((event.source.clone(), event.epoch), 0);
        }
        for ((source, epoch), seq) in &mut out.complete {
            *seq = project::complete_up_to(&tx, &tx, source, *epoch)?;
        }
        tx.commit().doing("committing a batch")?;
        Ok(out)
    }

    /// Notes that a source can no longer send some numbers; returns up to where its numbering is complete now.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn note_loss(
        &mut self,
        source: &str,
        epoch: Uuid,
        from_seq: u64,
        to_seq: u64,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        let tx =
            self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing("beginning a loss")?;
        tx.execute(
            "INSERT INTO losses (source, epoch, from_seq, to_seq, noted_us) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET to_seq = max(to_seq, excluded.to_seq)",
            params![source, epoch.to_string(), clamp_seq(from_seq), clamp_seq(to_seq), now_us],
        )
        .doing("noting a loss")?;
        project::touch_source(&tx, source, epoch)?;
        let complete = project::complete_up_to(&tx, &tx, source, epoch)?;
        tx.commit().doing("committing a loss")?;
        Ok(complete)
    }

    /// Up to which number each numbering is complete: what to resume from and to acknowledge, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn complete(&self) -> Result<Vec<(String, Uuid, u64)>, LedgerError> {
        let mut statement = self
            .conn
            .prepare("SELECT source, epoch, contiguous_seq FROM sources ORDER BY last_time_us, epoch")
            .doing("reading the sources")?;
        let rows = statement
            .query_map([], |r| {
                Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?.cast_unsigned()))
            })
            .doing("reading the sources")?;
        let mut out = Vec::new();
        for row in rows {
            let (source, epoch, seq) = row.doing("reading the sources")?;
            let epoch = Uuid::parse_str(&epoch).map_err(|e| LedgerError::NoLedger(e.to_string()))?;
            out.push((source, epoch, seq));
        }
        Ok(out)
    }

    /// The number of the last event; 0 for none.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn last_seq(&self) -> Result<u64, LedgerError> {
        last_seq(&self.conn).map(i64::cast_unsigned)
    }
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // Words of the configuration are texts, not columns that happen to be misspelt.
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    };
    open().map_err(|source| LedgerError::Open { path: path.to_owned(), source })
}

fn last_seq(conn: &Connection) -> Result<i64, LedgerError> {
    conn.query_row("SELECT coalesce(max(ledger_seq), 0) FROM events", [], |r| r.get(0))
        .doing("reading the last number")
}

/// Why an event cannot be numbered, if so. What its body says is not judged here.
fn unnumberable(event: &Event) -> Option<&'static str> {
    if event.seq == 0 {
        return Some("numbers start at 1");
    }
    if i64::try_from(event.seq).is_err() {
        return Some("the number is beyond 63 bits");
    }
    linefree_domain::ids::CameraId::new(&event.source).err().map(|_| "the source's name is no id")
}

fn clamp_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn body_json(event: &Event) -> Result<String, LedgerError> {
    serde_json::to_string(&event.body).map_err(|source| LedgerError::Body { ledger_seq: 0, source })
}

/// `None`: not in the ledger. `Some(true)`: there, the same. `Some(false)`: there with another content.
fn known(tx: &Transaction<'_>, event: &Event, body: &str) -> Result<Option<bool>, LedgerError> {
    tx.prepare_cached(
        "SELECT time_us = ?4 AND body = ?5 FROM events WHERE source = ?1 AND epoch = ?2 AND source_seq = ?3",
    )
    .and_then(|mut s| {
        s.query_row(
            params![event.source, event.epoch.to_string(), clamp_seq(event.seq), event.time_us, body],
            |r| r.get(0),
        )
        .optional()
    })
    .doing("looking an event up")
}

fn insert(
    tx: &Transaction<'_>,
    ledger_seq: i64,
    event: &Event,
    body: &str,
    received_us: i64,
) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "INSERT INTO events (ledger_seq, source, epoch, source_seq, kind, time_us, body, received_us)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut s| {
        s.execute(params![
            ledger_seq,
            event.source,
            event.epoch.to_string(),
            clamp_seq(event.seq),
            kind_of(&event.body),
            event.time_us,
            body,
            received_us
        ])
    })
    .doing("storing an event")?;
    Ok(())
}

fn note_conflict(tx: &Transaction<'_>, event: &Event, body: &str, now_us: i64) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO conflicts (source, epoch, source_seq, times, last_us, time_us, body)
         VALUES (?, ?, ?, 1, ?, ?, ?)
         ON CONFLICT DO UPDATE SET times = times + 1, last_us = excluded.last_us, time_us = excluded.time_us,
                                   body = excluded.body",
        params![event.source, event.epoch.to_string(), clamp_seq(event.seq), now_us, event.time_us, body],
    )
    .doing("noting a conflict")?;
    Ok(())
}
