//! The store's ledger: every event that matters, durable, in one append-only SQLite file, and what follows from it.
//!
//! | file | holds | when it is lost |
//! | --- | --- | --- |
//! | `ledger.sqlite` | the truth: events, numberings, losses, commands | put a backup back, then refill it from the cloud |
//! | `projections.sqlite` | what follows: carts, receipts, stock, orders ... | it is made again |
//!
//! **Durability.** WAL with `synchronous = FULL`; [`Ledger::store`] is one transaction per batch. When it returns, the
//! batch survives a power cut; before that, nothing of it does. Projections follow right after, by [`Projector`].
//!
//! **Identity.** An event is `(source, epoch, seq)`. The same event again is a duplicate and changes nothing. Another
//! content under a number that the ledger has is a conflict: the first stays, the other is kept in `conflicts`.
//!
//! **Order.** Any order of arrival is taken; `ledger_seq` is the order of arrival. Projections depend on the set of
//! events only, so a late, doubled or reordered delivery ends in the same carts and receipts (a test holds it to that).
//!
//! **Personal data.** Credentials are kept apart from the events ([`personal`]), so that one can be deleted and the
//! money stays. Bodies of kinds that are only evidence may be let go after a time ([`retention`]).
//!
//! **Failure rules.** An error of SQLite leaves the ledger as it was before the call. An event that cannot be numbered
//! is [refused](Refusal); one whose content breaks a constraint is stored and listed in `oddities`. A file written by a
//! newer program, or for another store, is not opened. A file that was put back from a copy while this program has it
//! open is noticed with the next batch ([`LedgerError::Replaced`]).
//!
//! Limits: one taker of events per file (a lock file beside it, see [`crate::serve`]); the outbox's cursor, the store's
//! own events and the tools write beside it, each in short transactions; numbers and times fit in 63 bits.

pub mod backup;
pub mod captures;
mod check;
pub mod commands;
mod cursor;
mod decider;
mod facts;
mod migrate;
mod new_orders;
pub mod order_book;
mod order_rows;
mod own;
pub mod payment_book;
pub mod personal;
mod price_book;
mod project;
mod project_orders;
mod project_payments;
mod project_prices;
mod projector;
mod read;
mod read_console;
mod read_insights;
mod read_orders;
mod read_prices;
pub(crate) mod read_sales;
mod read_settled;
mod read_shares;
pub mod retention;
mod rows;
pub mod shown;
mod sound;
pub mod staff;
mod store;
mod twins;
mod unit_prices;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linefree_bus::payload::{Event, EventBody};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use uuid::Uuid;

pub use check::{CheckReport, Finding, Severity};
pub use cursor::OutboxCursor;
pub use own::{OWN_SOURCE, OwnVoice};
pub use projector::{Projected, Projector};
pub use read::LedgerReader;
pub use read_console::{Bucket, MisplacedRow, Moment, MomentCart, MoneyRow, PlateStep, RefundRow, ReviewRow};
pub use read_insights::{Hour, InsightRow, Insights};
pub use read_orders::{OrderRow, PaymentRow, StockRow, TaskRow};
pub use read_prices::{ContestRow, PriceRulesRow};
pub use read_settled::{AnswerRow, SettledRow};
pub use rows::{
    CandidateRow, CartRow, EvidenceRow, FaultRow, LineRow, OutboxEvent, ReceiptRow, SourceRow, StoredEvent,
    Totals, VisitRow,
};

use unit_prices::PriceLists;

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
    /// The file was put back from a copy while this program had it open.
    #[error(
        "the ledger was put back from a copy (it was {was}, it is {is}): what the sources and the cloud know is read anew"
    )]
    Replaced {
        /// Its id when it was opened.
        was: Uuid,
        /// Its id now.
        is: Uuid,
    },
    /// What was asked for is refused; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It cannot be decided at this moment; nothing was changed, and the same may be asked again.
    #[error("{0}: try again")]
    Busy(&'static str),
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
        EventBody::ReviewAnswered(_) => "review_answered",
        EventBody::RefundIssued(_) => "refund_issued",
        EventBody::PaymentChanged(_) => "payment_changed",
        EventBody::ContestChanged(_) => "contest_changed",
        EventBody::PriceRulesChanged(_) => "price_rules_changed",
        EventBody::ReceiptPriced(_) => "receipt_priced",
        EventBody::StockCounted(_) => "stock_counted",
        EventBody::OrderChanged(_) => "order_changed",
        EventBody::TaskChanged(_) => "task_changed",
        EventBody::CommandAnswered(_) => "command_answered",
        EventBody::InsightsTold(_) => "insights_told",
        EventBody::ShopperForgotten(_) => "shopper_forgotten",
    }
}

/// The ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    ledger_id: Uuid,
    path: PathBuf,
    /// Gone when somebody else projects.
    projector: Option<Projector>,
    unit_prices: PriceLists,
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
        let (ledger_id, found) = store::identity(&conn)?;
        if let Some(wanted) = store
            && wanted != found
        {
            return Err(LedgerError::OtherStore { found, wanted: wanted.to_owned() });
        }
        let projector = Some(Projector::open(path)?);
        let unit_prices = PriceLists::default();
        let mut ledger = Self { conn, ledger_id, path: path.to_owned(), projector, unit_prices };
        ledger.project()?;
        Ok(ledger)
    }

    /// Gives the projections to somebody else to keep up to date; [`Self::append`] then only stores.
    pub fn take_projector(&mut self) -> Option<Projector> {
        self.projector.take()
    }

    fn project(&mut self) -> Result<Vec<(EventId, String)>, LedgerError> {
        self.projector.as_mut().map_or(Ok(Vec::new()), Projector::catch_up)
    }

    /// After [`LedgerError::Replaced`]: goes on with the ledger that is there now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn accept_replacement(&mut self) -> Result<(), LedgerError> {
        self.ledger_id = store::identity(&self.conn)?.0;
        self.project().map(drop)
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

    /// A transaction on the ledger that this was opened on, and no other.
    fn begin(&mut self, doing: &'static str) -> Result<Transaction<'_>, LedgerError> {
        let was = self.ledger_id;
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        let (is, _) = store::identity(&tx)?;
        if is != was {
            return Err(LedgerError::Replaced { was, is });
        }
        Ok(tx)
    }

    /// Was it put back from a copy since it was opened?
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn is_replaced(&self) -> Result<bool, LedgerError> {
        Ok(store::identity(&self.conn)?.0 != self.ledger_id)
    }

    /// Adds an event of the ledger's own; returns its place.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn say(&mut self, body: EventBody, now_us: i64) -> Result<u64, LedgerError> {
        let tx = self.begin("adding the ledger's own event")?;
        let seq = own::say(&tx, body, now_us)?;
        tx.commit().doing("adding the ledger's own event")?;
        self.project()?;
        Ok(seq)
    }

    /// Stores a batch: one transaction, durable when this returns; receipts in it are priced. The projections are left
    /// to the [`Projector`].
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`] or [`LedgerError::Replaced`]; then nothing of the batch was taken and it may be given
    /// again.
    pub fn store(&mut self, batch: &[Event], received_us: i64) -> Result<Appended, LedgerError> {
        let mut lists = std::mem::take(&mut self.unit_prices);
        let tx = self.begin("beginning a batch")?;
        let out = store::store_batch(&tx, batch, received_us, true)?;
        for (_, index) in &out.stored {
            price_book::price_closed(&tx, &mut lists, &batch[*index], received_us)?;
        }
        tx.commit().doing("committing a batch")?;
        self.unit_prices = lists;
        Ok(out)
    }

    /// Stores a batch and projects it.
    ///
    /// # Errors
    /// As [`Self::store`]; when only projecting fails, the batch is stored.
    pub fn append(&mut self, batch: &[Event], received_us: i64) -> Result<Appended, LedgerError> {
        let mut out = self.store(batch, received_us)?;
        out.oddities = self.project()?;
        Ok(out)
    }

    /// Notes that a source can no longer send some numbers; returns up to where its numbering is complete now.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn note_loss(
        &mut self,
        source: &str,
        epoch: Uuid,
        from_seq: u64,
        to_seq: u64,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        let tx = self.begin("beginning a loss")?;
        let complete = store::note_loss(&tx, source, epoch, from_seq, to_seq, now_us)?;
        tx.commit().doing("committing a loss")?;
        Ok(complete)
    }

    /// Makes the projections again from the events, and counts the sources anew. Returns how many events were read.
    ///
    /// # Errors
    /// [`LedgerError`]; then the old projections stand.
    pub fn rebuild(&mut self, progress: impl Fn(u64, u64)) -> Result<u64, LedgerError> {
        let tx = self.begin("beginning the rebuild")?;
        store::recount(&tx)?;
        tx.commit().doing("committing the rebuild")?;
        match &mut self.projector {
            Some(projector) => projector.rebuild(progress),
            None => Err(LedgerError::Refused("the projections are being written by somebody else".into())),
        }
    }

    /// What follows from the events, as text: equal text, equal projections, bit by bit.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn dump_projections(&self) -> Result<String, LedgerError> {
        let doing = "reading the sources";
        let mut out = String::from("-- numberings\n");
        let mut rows = self
            .conn
            .prepare(
                "SELECT source || ' ' || epoch || ' ' || contiguous_seq || ' ' || highest_seq || ' ' || events || ' ' ||
                        last_time_us FROM numberings ORDER BY source, epoch",
            )
            .doing(doing)?;
        for row in rows.query_map([], |r| r.get::<_, String>(0)).doing(doing)? {
            out.push_str(&row.doing(doing)?);
            out.push('\n');
        }
        match &self.projector {
            Some(projector) => Ok(out + &projector.dump()?),
            None => Err(LedgerError::Refused("the projections are being written by somebody else".into())),
        }
    }

    /// Up to which number each numbering is complete: what to resume from and to acknowledge, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn complete(&self) -> Result<Vec<(String, Uuid, u64)>, LedgerError> {
        let mut statement = self
            .conn
            .prepare("SELECT source, epoch, contiguous_seq FROM numberings ORDER BY last_time_us, epoch")
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
        store::last_seq(&self.conn).map(i64::cast_unsigned)
    }
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten: credentials are deleted because somebody wants them gone.
        conn.pragma_update(None, "secure_delete", true)?;
        // Words of the configuration are texts, not columns that happen to be misspelt.
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    };
    open().map_err(|source| LedgerError::Open { path: path.to_owned(), source })
}

fn clamp_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
