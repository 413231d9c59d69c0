//! The ledger's schema, step by step: `user_version` says which step a file has reached.
//!
//! Steps change the truth only. Projections are never migrated: another [`PROJECTIONS_VERSION`] drops them and makes
//! them again from the events.

use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::{Doing, LedgerError};

/// The steps, first to last. Never change one that was released; append the next.
const STEPS: &[&str] = &[include_str!("schema.sql")];

/// The projections as they are made now.
pub(super) const PROJECTIONS: &str = include_str!("projections.sql");

/// Raise it whenever `projections.sql`, or what `project.rs` writes into it, changes.
pub(super) const PROJECTIONS_VERSION: i64 = 1;

/// "LFLG": marks the file as a Linefree ledger for `file` and for ourselves.
const APPLICATION_ID: i64 = 0x4c46_4c47;

pub(super) fn migrate(conn: &mut Connection, store: Option<&str>, now_us: i64) -> Result<(), LedgerError> {
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
    let done = usize::try_from(found).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        tx.execute_batch(step).doing("migrating it")?;
    }
    if found == 0 {
        let Some(store) = store else {
            return Err(LedgerError::NoLedger("it is empty".into()));
        };
        tx.execute(
            "INSERT INTO ledger (one, ledger_id, store, created_us, projections_version) VALUES (1, ?, ?, ?, 0)",
            params![Uuid::now_v7().to_string(), store, now_us],
        )
        .doing("naming it")?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).doing("marking it")?;
    tx.pragma_update(None, "user_version", known).doing("writing its version")?;
    tx.commit().doing("migrating it")
}
