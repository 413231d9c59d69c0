//! The ledger's schema, step by step: `user_version` says which step a file has reached.
//!
//! Steps change the truth only. Projections are never migrated: they are in a file of their own, which is made again
//! from the events when [`super::projector`] finds that another version made it.

use std::collections::HashMap;

use linefree_bus::payload::{Event, EventBody};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::store::Stored;
use super::{Doing, LedgerError};

/// A step of the schema.
struct Step {
    sql: &'static str,
    /// What the SQL cannot do.
    code: Option<Code>,
}

type Code = fn(&Transaction<'_>) -> Result<(), LedgerError>;

/// The steps, first to last. Never change one that was released; append the next, and a dump of the file before it to
/// the tests.
const STEPS: &[Step] = &[
    Step { sql: include_str!("schema/1.sql"), code: None },
    Step { sql: include_str!("schema/2.sql"), code: Some(carry_over_to_2) },
    Step { sql: include_str!("schema/3.sql"), code: None },
    Step { sql: include_str!("schema/4.sql"), code: None },
];

/// "LFLG": marks the file as a Linefree ledger for `file` and for ourselves.
const APPLICATION_ID: i64 = 0x4c46_4c47;

pub(super) fn migrate(conn: &mut Connection, store: Option<&str>, now_us: i64) -> Result<(), LedgerError> {
    // Tables are replaced whole; what points at them is checked before the commit instead.
    conn.pragma_update(None, "foreign_keys", false).doing("preparing its migration")?;
    let done = migrate_unchecked(conn, store, now_us);
    conn.pragma_update(None, "foreign_keys", true).doing("ending its migration")?;
    done
}

fn migrate_unchecked(conn: &mut Connection, store: Option<&str>, now_us: i64) -> Result<(), LedgerError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing("locking it for its migration")?;
    let pragma = |name: &str| tx.query_row(&format!("PRAGMA {name}"), [], |r| r.get::<_, i64>(0));
    let found = pragma("user_version").doing("reading its version")?;
    let application = pragma("application_id").doing("reading its mark")?;
    let tables: i64 =
        tx.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).doing("reading its schema")?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(LedgerError::NoLedger("it is an SQLite file of another program".into()));
    }
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    if found == 0 && store.is_none() {
        return Err(LedgerError::NoLedger("it is empty".into()));
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (number, step) in STEPS.iter().enumerate().skip(done) {
        tx.execute_batch(step.sql).doing("migrating it")?;
        if number == 0
            && let Some(store) = store
        {
            tx.execute(
                "INSERT INTO ledger (one, ledger_id, store, created_us, projections_version) VALUES (1, ?, ?, ?, 0)",
                params![Uuid::now_v7().to_string(), store, now_us],
            )
            .doing("naming it")?;
        }
        if let Some(code) = step.code {
            code(&tx)?;
        }
    }
    let broken: i64 = tx
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |r| r.get(0))
        .doing("checking its migration")?;
    if broken > 0 {
        return Err(LedgerError::NoLedger(format!(
            "{broken} of its rows point at nothing, so it is not brought up to date: keep a copy and report this"
        )));
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).doing("marking it")?;
    tx.pragma_update(None, "user_version", known).doing("writing its version")?;
    tx.commit().doing("migrating it")
}

/// Step 2: the rows of the old tables, with credentials apart.
fn carry_over_to_2(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    let mut numberings: HashMap<(String, String), i64> = HashMap::new();
    let mut number = |source: &str, epoch: &str| -> rusqlite::Result<i64> {
        if let Some(known) = numberings.get(&(source.to_owned(), epoch.to_owned())) {
            return Ok(*known);
        }
        tx.execute(
            "INSERT INTO numberings (source, epoch, contiguous_seq, highest_seq, events, last_time_us)
             VALUES (?, ?, 0, 0, 0, 0)",
            params![source, epoch],
        )?;
        numberings.insert((source.to_owned(), epoch.to_owned()), tx.last_insert_rowid());
        Ok(tx.last_insert_rowid())
    };
    let carry = "carrying its events over";
    {
        let mut old = tx
            .prepare(
                "SELECT ledger_seq, source, epoch, source_seq, time_us, body, received_us FROM events_1
                 ORDER BY ledger_seq",
            )
            .doing(carry)?;
        let mut rows = old.query([]).doing(carry)?;
        while let Some(row) = rows.next().doing(carry)? {
            let ledger_seq: i64 = row.get(0).doing(carry)?;
            let event = event_of_1(row, ledger_seq)?;
            let numbering = number(&event.source, &event.epoch.to_string()).doing(carry)?;
            let stored = Stored::of(&event)?;
            stored.insert(tx, ledger_seq, numbering, row.get(6).doing(carry)?).doing(carry)?;
        }
    }
    let mut rest = || -> rusqlite::Result<()> {
        let mut losses = tx.prepare("SELECT source, epoch, from_seq, to_seq, noted_us FROM losses_1")?;
        let mut rows = losses.query([])?;
        while let Some(row) = rows.next()? {
            let numbering = number(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?;
            tx.execute(
                "INSERT INTO losses (numbering, from_seq, to_seq, noted_us) VALUES (?, ?, ?, ?)",
                params![numbering, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?],
            )?;
        }
        tx.execute_batch(
            "INSERT INTO conflicts (ledger_seq, times, last_us, time_us, body)
             SELECT e.ledger_seq, c.times, c.last_us, c.time_us, json_remove(c.body, '$.credential')
             FROM conflicts_1 c JOIN events_1 e USING (source, epoch, source_seq);
             DROP TABLE conflicts_1; DROP TABLE losses_1; DROP TABLE events_1;",
        )
    };
    rest().doing("carrying its losses and conflicts over")?;
    super::store::recount(tx)
}

fn event_of_1(row: &rusqlite::Row<'_>, ledger_seq: i64) -> Result<Event, LedgerError> {
    let get = || -> rusqlite::Result<(String, String, i64, i64, String)> {
        Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let (source, epoch, seq, time_us, body) = get().doing("reading an event")?;
    let body: EventBody =
        serde_json::from_str(&body).map_err(|source| LedgerError::Body { ledger_seq, source })?;
    let epoch = Uuid::parse_str(&epoch).map_err(|e| LedgerError::NoLedger(e.to_string()))?;
    Ok(Event { source, epoch, seq: seq.cast_unsigned(), time_us, body })
}
