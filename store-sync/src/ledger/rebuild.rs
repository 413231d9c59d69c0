//! Projections made again from the events, and compared byte by byte.

use linefree_bus::payload::{Event, EventBody};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::migrate::{PROJECTIONS, PROJECTIONS_VERSION};
use super::{Doing, Ledger, LedgerError, project};

/// Every projection table, children after their parents.
pub(super) const TABLES: &[&str] = &[
    "sources",
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
    "oddities",
];

impl Ledger {
    /// Makes the projections again if another version of this program made them; true when it did.
    pub(super) fn renew_projections(&mut self) -> Result<bool, LedgerError> {
        let version: i64 = self
            .conn
            .query_row("SELECT projections_version FROM ledger", [], |r| r.get(0))
            .doing("reading the projections' version")?;
        if version == PROJECTIONS_VERSION {
            return Ok(false);
        }
        self.rebuild(|_, _| ()).map(|_| true)
    }

    /// Drops the projections and makes them again from the events, in one transaction. Returns how many events were
    /// read. `progress` is told (done, total) now and then.
    ///
    /// # Errors
    /// [`LedgerError`]; then the old projections stand.
    pub fn rebuild(&mut self, progress: impl Fn(u64, u64)) -> Result<u64, LedgerError> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("beginning the rebuild")?;
        for table in TABLES.iter().rev() {
            tx.execute_batch(&format!("DROP TABLE IF EXISTS {table}")).doing("dropping the projections")?;
        }
        tx.execute_batch(PROJECTIONS).doing("making the projections' tables")?;
        let count = replay(&tx, &tx, progress)?;
        tx.execute("UPDATE ledger SET projections_version = ?", params![PROJECTIONS_VERSION])
            .doing("noting the projections' version")?;
        tx.commit().doing("committing the rebuild")?;
        Ok(count)
    }
}

/// Projects every event of `from` into the (empty) projections of `to`.
pub(super) fn replay(
    from: &Connection,
    to: &Connection,
    progress: impl Fn(u64, u64),
) -> Result<u64, LedgerError> {
    let total: i64 =
        from.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).doing("counting the events")?;
    let total = total.cast_unsigned();
    let mut done = 0;
    // Page by page: an undone odd event would abort a statement that is still being read.
    let mut after = 0;
    loop {
        let page = page_after(from, after)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, event) in &page {
            project::apply(to, event)?;
        }
        done += page.len() as u64;
        progress(done, total);
    }
    replay_progress(from, to)?;
    Ok(done)
}

fn page_after(from: &Connection, after: i64) -> Result<Vec<(i64, Event)>, LedgerError> {
    let mut statement = from
        .prepare_cached(
            "SELECT ledger_seq, source, epoch, source_seq, time_us, body FROM events
             WHERE ledger_seq > ? ORDER BY ledger_seq LIMIT 1000",
        )
        .doing("reading the events")?;
    let mut rows = statement.query(params![after]).doing("reading the events")?;
    let mut page = Vec::new();
    while let Some(row) = rows.next().doing("reading the events")? {
        page.push((row.get(0).doing("reading the events")?, event_of(row)?));
    }
    Ok(page)
}

/// What is complete follows from the events and the noted losses, which live in the ledger's own file.
fn replay_progress(from: &Connection, to: &Connection) -> Result<(), LedgerError> {
    let pairs = |sql: &str| -> Result<Vec<(String, Uuid)>, LedgerError> {
        let mut statement = from.prepare(sql).doing("reading the sources")?;
        let rows = statement
            .query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
            .doing("reading the sources")?;
        let mut out = Vec::new();
        for row in rows {
            let (source, epoch) = row.doing("reading the sources")?;
            out.push((source, Uuid::parse_str(&epoch).map_err(|e| LedgerError::NoLedger(e.to_string()))?));
        }
        Ok(out)
    };
    for (source, epoch) in pairs("SELECT DISTINCT source, epoch FROM losses")? {
        project::touch_source(to, &source, epoch)?;
    }
    for (source, epoch) in pairs(
        "SELECT source, epoch FROM events UNION SELECT source, epoch FROM losses ORDER BY source, epoch",
    )? {
        project::complete_up_to(from, to, &source, epoch)?;
    }
    Ok(())
}

pub(super) fn event_of(row: &rusqlite::Row<'_>) -> Result<Event, LedgerError> {
    let get = || -> rusqlite::Result<(i64, String, String, i64, i64, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let (ledger_seq, source, epoch, seq, time_us, body) = get().doing("reading an event")?;
    let body: EventBody =
        serde_json::from_str(&body).map_err(|source| LedgerError::Body { ledger_seq, source })?;
    let epoch = Uuid::parse_str(&epoch).map_err(|e| LedgerError::NoLedger(e.to_string()))?;
    Ok(Event { source, epoch, seq: seq.cast_unsigned(), time_us, body })
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

impl Ledger {
    /// Every projection as text: equal text, equal projections, bit by bit.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn dump_projections(&self) -> Result<String, LedgerError> {
        let mut out = String::new();
        for table in TABLES {
            out.push_str(&format!("-- {table}\n{}\n", dump(&self.conn, table)?));
        }
        Ok(out)
    }
}
