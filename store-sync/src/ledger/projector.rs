//! The projections' file: kept up to date with the events, made again from them, compared byte by byte.
//!
//! `projections.sqlite` stands beside the ledger. It is written after the events are durable, with
//! `synchronous = NORMAL`: a power cut may take its last transactions, never its shape, and what is missing is projected
//! again from the ledger. **Failure rules.** A file that is missing, damaged, of another version or of another ledger is
//! made again; nothing is ever read from it that the ledger does not say.

use std::path::{Path, PathBuf};

use linefree_bus::payload::{Event, EventBody};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::project::apply_page;
use super::store::{EVENT_COLUMNS, EVENT_TABLES, event_of, identity};
use super::{Doing, EventId, LedgerError, StoredEvent, connect};

/// The projections as they are made now.
pub(super) const PROJECTIONS: &str = include_str!("schema/projections.sql");

/// Raise it whenever `projections.sql`, or what `project.rs` writes into it, changes.
pub(super) const PROJECTIONS_VERSION: i64 = 7;

/// Memory for pages, KiB: a rebuild is one transaction, and what does not fit is written and read back many times.
const CACHE_KIB: i64 = 64 << 10;

/// Events projected in one transaction.
const PAGE: i64 = 1000;

/// Every projection table, children after their parents.
pub(super) const TABLES: &[&str] = &[
    "visits",
    "carts",
    "cart_lines",
    "receipts",
    "receipt_lines",
    "shelf_events",
    "shelf_event_plates",
    "attributions",
    "attribution_candidates",
    "gate_passages",
    "device_faults",
    "review_answers",
    "refunds",
    "refund_lines",
    "price_rules",
    "receipt_prices",
    "receipt_price_lines",
    "contests",
    "stock_counts",
    "orders",
    "order_lines",
    "tasks",
    "trips",
    "oddities",
];

/// What one step of projecting did.
#[derive(Debug, Default)]
pub struct Projected {
    /// The events, with their place in the ledger. Those whose body was let go are left out.
    pub events: Vec<StoredEvent>,
    /// Those that break a constraint, and which.
    pub oddities: Vec<(EventId, String)>,
    /// Everything up to here is in the projections.
    pub ledger_seq: u64,
    /// There is more to do.
    pub more: bool,
}

/// The only writer of a ledger's projections.
#[derive(Debug)]
pub struct Projector {
    truth: Connection,
    views: Connection,
    /// Which ledger they are made of.
    of: String,
    /// Everything up to here is in the projections, and the sum of that event.
    at: (i64, i64),
}

/// The projections' file of a ledger.
pub(super) fn file_of(ledger: &Path) -> PathBuf {
    ledger.with_file_name("projections.sqlite")
}

impl Projector {
    /// Opens the projections of a ledger that exists, or makes them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path) -> Result<Self, LedgerError> {
        let truth = connect(ledger)?;
        truth.pragma_update(None, "query_only", true).doing("opening it for reading")?;
        let path = file_of(ledger);
        let begun = connect(&path).and_then(|views| {
            let mut projector = Self { truth, views, of: String::new(), at: (0, 0) };
            projector.renew()?;
            Ok(projector)
        });
        match begun {
            Err(e) if is_damaged(&e) => {
                tracing::warn!("{}: {e}; it is made again from the ledger", path.display());
                for suffix in ["", "-wal", "-shm"] {
                    let mut name = path.clone().into_os_string();
                    name.push(suffix);
                    match std::fs::remove_file(&name) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                            return Err(LedgerError::NoLedger(format!(
                                "the damaged {} cannot be removed: {e}",
                                path.display()
                            )));
                        }
                        _ => {}
                    }
                }
                let truth = connect(ledger)?;
                truth.pragma_update(None, "query_only", true).doing("opening it for reading")?;
                let mut projector = Self { truth, views: connect(&path)?, of: String::new(), at: (0, 0) };
                projector.renew()?;
                Ok(projector)
            }
            other => other,
        }
    }

    /// Finds out where the projections stand, and empties them when they are not this ledger's or this program's.
    fn renew(&mut self) -> Result<(), LedgerError> {
        self.views.pragma_update(None, "synchronous", "NORMAL").doing("opening the projections")?;
        self.views.pragma_update(None, "cache_size", -CACHE_KIB).doing("opening the projections")?;
        let made: bool = self
            .views
            .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'projected')", [], |r| {
                r.get(0)
            })
            .doing("opening the projections")?;
        if made {
            // The version comes first: in a file of another one, the other columns may not be there.
            let version: i64 = self
                .views
                .query_row("SELECT version FROM projected", [], |r| r.get(0))
                .doing("opening the projections")?;
            if version == PROJECTIONS_VERSION {
                (self.of, self.at) = self
                    .views
                    .query_row("SELECT ledger_id, ledger_seq, sum FROM projected", [], |r| {
                        Ok((r.get(0)?, (r.get(1)?, r.get(2)?)))
                    })
                    .doing("opening the projections")?;
                if self.fits()? {
                    return Ok(());
                }
            }
        }
        let (of, _) = identity(&self.truth)?;
        let of = of.to_string();
        let tx = begin(&mut self.views)?;
        drop_all(&tx)?;
        make(&tx, PROJECTIONS, &of)?;
        tx.commit().doing("making the projections' tables")?;
        self.at = (0, 0);
        self.of = of;
        Ok(())
    }

    /// Is the event where the projections end still the one that they were made of?
    fn fits(&self) -> Result<bool, LedgerError> {
        if identity(&self.truth)?.0.to_string() != self.of {
            return Ok(false);
        }
        if self.at.0 == 0 {
            return Ok(true);
        }
        let found: Option<i64> = self
            .truth
            .prepare_cached("SELECT sum FROM events WHERE ledger_seq = ?")
            .and_then(|mut s| s.query_row([self.at.0], |r| r.get(0)).optional())
            .doing("comparing the projections with the events")?;
        Ok(found == Some(self.at.1))
    }

    /// Projects the next events, at most a page of them.
    ///
    /// # Errors
    /// [`LedgerError`]; then the projections stand as they were, and it may be tried again.
    pub fn step(&mut self) -> Result<Projected, LedgerError> {
        if !self.fits()? {
            tracing::warn!("the ledger was put back from a copy: its projections are made again");
            self.renew()?;
        }
        let page = page_after(&self.truth, self.at.0, i64::MAX)?;
        let Some(last) = page.last().map(|row| (row.ledger_seq, row.sum)) else {
            return Ok(Projected { ledger_seq: self.at.0.cast_unsigned(), ..Projected::default() });
        };
        let more = page.len() as i64 == PAGE;
        let mut places = Vec::with_capacity(page.len());
        let mut events = Vec::with_capacity(page.len());
        for row in page {
            if let Some(event) = row.event {
                places.push((row.ledger_seq, row.received_us));
                events.push(event);
            }
        }
        let tx = begin(&mut self.views)?;
        let oddities = apply_page(&tx, &events)?;
        if events.iter().any(|e| matches!(e.body, EventBody::ShopperForgotten(_))) {
            forget(&self.truth, &tx, &events)?;
        }
        stand_at(&tx, last)?;
        tx.commit().doing("committing the projections")?;
        self.at = last;
        let events = places.into_iter().zip(events).map(|((seq, received_us), event)| StoredEvent {
            ledger_seq: seq.cast_unsigned(),
            received_us,
            event,
        });
        Ok(Projected { events: events.collect(), oddities, ledger_seq: last.0.cast_unsigned(), more })
    }

    /// Projects everything there is. Returns what was odd.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn catch_up(&mut self) -> Result<Vec<(EventId, String)>, LedgerError> {
        let mut oddities = Vec::new();
        loop {
            let step = self.step()?;
            oddities.extend(step.oddities);
            if !step.more {
                return Ok(oddities);
            }
        }
    }

    /// Makes the projections again from the events, in one transaction. Returns how many events were read. `progress`
    /// is told (done, total) now and then.
    ///
    /// # Errors
    /// [`LedgerError`]; then the old projections stand.
    pub fn rebuild(&mut self, progress: impl Fn(u64, u64)) -> Result<u64, LedgerError> {
        // Children are written with their parents by the same code, so the links are checked once, at the end.
        self.views.pragma_update(None, "foreign_keys", false).doing("beginning the rebuild")?;
        let rebuilt = self.rebuild_unlinked(progress);
        self.views.pragma_update(None, "foreign_keys", true).doing("ending the rebuild")?;
        rebuilt
    }

    fn rebuild_unlinked(&mut self, progress: impl Fn(u64, u64)) -> Result<u64, LedgerError> {
        let of = identity(&self.truth)?.0.to_string();
        let tx = begin(&mut self.views)?;
        drop_all(&tx)?;
        // Indexes are made of whole tables in the end, which costs less than keeping them sorted all the way.
        let (indexes, tables): (Vec<&str>, Vec<&str>) =
            PROJECTIONS.split_inclusive(";\n").partition(|sql| sql.contains("\nCREATE INDEX "));
        make(&tx, &tables.concat(), &of)?;
        let truth = &mut self.truth;
        let total: i64 =
            truth.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).doing("counting the events")?;
        let (mut done, mut at) = (0, (0, 0));
        // One thread reads and parses, this one writes.
        std::thread::scope(|scope| -> Result<(), LedgerError> {
            let (give, pages) = std::sync::mpsc::sync_channel(4);
            scope.spawn(move || {
                let mut after = 0;
                loop {
                    let page = page_after(truth, after, i64::MAX);
                    let more = match &page {
                        Ok(page) => page.last().map(|row| row.ledger_seq),
                        Err(_) => None,
                    };
                    // A writer that has failed takes no more.
                    if give.send(page).is_err() {
                        return;
                    }
                    match more {
                        Some(last) => after = last,
                        None => return,
                    }
                }
            });
            for page in pages {
                let page = page?;
                let Some(last) = page.last() else { break };
                at = (last.ledger_seq, last.sum);
                done += page.len() as u64;
                let events: Vec<Event> = page.into_iter().filter_map(|row| row.event).collect();
                apply_page(&tx, &events)?;
                progress(done, total.cast_unsigned());
            }
            Ok(())
        })?;
        tx.execute_batch(&indexes.concat()).doing("making the projections' indexes")?;
        let broken: i64 = tx
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |r| r.get(0))
            .doing("checking the rebuild")?;
        if broken > 0 {
            return Err(LedgerError::Refused(format!(
                "{broken} rows of the rebuilt projections point at nothing: report this; the old ones stand"
            )));
        }
        stand_at(&tx, at)?;
        tx.commit().doing("committing the rebuild")?;
        self.at = at;
        self.of = of;
        Ok(done)
    }

    /// Every projection as text: equal text, equal projections, bit by bit.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn dump(&self) -> Result<String, LedgerError> {
        let mut out = String::new();
        for table in TABLES {
            out.push_str(&format!("-- {table}\n{}\n", dump(&self.views, table)?));
        }
        Ok(out)
    }
}

fn is_damaged(error: &LedgerError) -> bool {
    let LedgerError::Sqlite { source, .. } = error else { return matches!(error, LedgerError::Open { .. }) };
    matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn begin(conn: &mut Connection) -> Result<Transaction<'_>, LedgerError> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate).doing("beginning to project")
}

fn make(tx: &Transaction<'_>, sql: &str, of: &str) -> Result<(), LedgerError> {
    tx.execute_batch(sql)
        .and_then(|()| {
            tx.execute(
                "INSERT INTO projected (one, version, ledger_id, ledger_seq, sum) VALUES (1, ?, ?, 0, 0)",
                params![PROJECTIONS_VERSION, of],
            )
        })
        .doing("making the projections' tables")?;
    Ok(())
}

fn drop_all(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    let drop_all = || -> rusqlite::Result<()> {
        for kind in ["view", "table"] {
            let mut names =
                tx.prepare("SELECT name FROM sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite_%'")?;
            let names: rusqlite::Result<Vec<String>> = names.query_map([kind], |r| r.get(0))?.collect();
            // Children were made after their parents.
            for name in names?.iter().rev() {
                tx.execute_batch(&format!("DROP {kind} \"{name}\""))?;
            }
        }
        Ok(())
    };
    drop_all().doing("dropping the projections")
}

fn stand_at(tx: &Transaction<'_>, (seq, sum): (i64, i64)) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE projected SET ledger_seq = ?, sum = ?")
        .and_then(|mut s| s.execute(params![seq, sum]))
        .doing("noting what is projected")?;
    Ok(())
}

/// An event with its place and sum; without the event when its body was let go.
pub(super) struct Row {
    pub ledger_seq: i64,
    pub received_us: i64,
    pub sum: i64,
    pub event: Option<Event>,
}

fn page_after(truth: &Connection, after: i64, until: i64) -> Result<Vec<Row>, LedgerError> {
    let doing = "reading the events";
    let mut statement = truth
        .prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM {EVENT_TABLES} WHERE e.ledger_seq > ? AND e.ledger_seq <= ?
             ORDER BY e.ledger_seq LIMIT {PAGE}"
        ))
        .doing(doing)?;
    let mut rows = statement.query([after, until]).doing(doing)?;
    let mut page = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        page.push(Row {
            ledger_seq: row.get(0).doing(doing)?,
            received_us: row.get(7).doing(doing)?,
            sum: row.get(9).doing(doing)?,
            event: event_of(row)?,
        });
    }
    Ok(page)
}

/// Projects every event of `truth` up to a number into the (empty) projections of `views`; `look` sees each page before.
/// Returns how many there were, and where the projections stand.
pub(super) fn replay(
    truth: &Connection,
    views: &Connection,
    until: i64,
    progress: impl Fn(u64, u64),
    mut look: impl FnMut(&[Row]) -> Result<(), LedgerError>,
) -> Result<(u64, (i64, i64)), LedgerError> {
    let total: i64 = truth
        .query_row("SELECT count(*) FROM events WHERE ledger_seq <= ?", [until], |r| r.get(0))
        .doing("counting the events")?;
    let (mut done, mut at) = (0, (0, 0));
    loop {
        let page = page_after(truth, at.0, until)?;
        let Some(last) = page.last() else { return Ok((done, at)) };
        at = (last.ledger_seq, last.sum);
        done += page.len() as u64;
        look(&page)?;
        let events: Vec<Event> = page.into_iter().filter_map(|row| row.event).collect();
        apply_page(views, &events)?;
        progress(done, total.cast_unsigned());
    }
}

/// Takes credentials out of the projections that the ledger no longer has.
fn forget(truth: &Connection, views: &Connection, page: &[Event]) -> Result<(), LedgerError> {
    let doing = "forgetting a shopper";
    for event in page {
        let EventBody::ShopperForgotten(forgotten) = &event.body else { continue };
        for visit in &forgotten.visits {
            for table in ["visits", "receipts"] {
                views
                    .execute(&format!("UPDATE {table} SET credential = NULL WHERE visit = ?"), [visit])
                    .doing(doing)?;
            }
        }
    }
    let kept: rusqlite::Result<Vec<(String, String, i64)>> = views
        .prepare("SELECT source, epoch, seq FROM gate_passages WHERE credential IS NOT NULL")
        .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect());
    for (source, epoch, seq) in kept.doing(doing)? {
        let there: bool = truth
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM numberings n JOIN events e USING (numbering)
                                JOIN credentials USING (ledger_seq)
                                WHERE n.source = ? AND n.epoch = ? AND e.source_seq = ?)",
            )
            .and_then(|mut s| s.query_row(params![source, epoch, seq], |r| r.get(0)))
            .doing(doing)?;
        if !there {
            views
                .execute(
                    "UPDATE gate_passages SET credential = NULL WHERE source = ? AND epoch = ? AND seq = ?",
                    params![source, epoch, seq],
                )
                .doing(doing)?;
        }
    }
    Ok(())
}

/// One projection table as text, row by row in primary-key order: equal text, equal projection.
pub(super) fn dump(conn: &Connection, table: &str) -> Result<String, LedgerError> {
    let read = || -> rusqlite::Result<String> {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let mut lines = Vec::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut line = String::new();
            for i in 0..columns {
                let text = match row.get_ref(i)? {
                    ValueRef::Null => "null".to_owned(),
                    ValueRef::Integer(v) => v.to_string(),
                    // The bits, not a rounding of them.
                    ValueRef::Real(v) => format!("{:016x}", v.to_bits()),
                    ValueRef::Text(t) | ValueRef::Blob(t) => format!("{:?}", String::from_utf8_lossy(t)),
                };
                line.push_str(&text);
                line.push('\t');
            }
            lines.push(line);
        }
        lines.sort_unstable();
        Ok(lines.join("\n"))
    };
    read().doing("reading a projection")
}
