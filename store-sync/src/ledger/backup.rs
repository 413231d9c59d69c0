//! Copies of a ledger, taken and put back while the store's server runs.
//!
//! [`backup`] writes a compact, consistent copy in one read transaction; the writer does not wait. [`restore`] puts a
//! copy back in one transaction of SQLite's, so whoever has the file open sees the old ledger or the restored one. A
//! restored ledger **gets a new id**: events that came after the copy was made may get other numbers now, and the cloud
//! must not mistake them for what it has under the old ones. Everything is delivered again under the new id; the cloud
//! knows each event by its own identity and keeps it once.
//!
//! What the copy lacks is repaired from both ends: sources send again what their journals still hold (they are asked as
//! soon as they tell their last number), and [`Ledger::refill`] takes the rest back from the cloud.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linefree_bus::payload::Event;
use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::store::{identity, last_seq, store_batch};
use super::{Appended, Doing, Ledger, LedgerError, connect, migrate};

/// A copy of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The store it belongs to.
    pub store: String,
    /// Its last event.
    pub ledger_seq: u64,
}

fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> LedgerError + 'a {
    move |e| LedgerError::Refused(format!("cannot {doing} {}: {e}", path.display()))
}

/// Writes a copy of a ledger to a file that does not exist yet. May run beside the server.
///
/// # Errors
/// [`LedgerError`]: the file exists, or cannot be written.
pub fn backup(ledger: &Path, to: &Path) -> Result<Copied, LedgerError> {
    if !ledger.is_file() {
        return Err(LedgerError::NoLedger(format!("{} does not exist", ledger.display())));
    }
    if to.exists() {
        let told = format!("{} exists: a backup never writes over another; name a new file", to.display());
        return Err(LedgerError::Refused(told));
    }
    // Written aside, so that half a backup is never taken for one.
    let mut aside = to.as_os_str().to_owned();
    aside.push(".unfinished");
    let aside = PathBuf::from(aside);
    if aside.exists() {
        std::fs::remove_file(&aside).map_err(io("remove", &aside))?;
    }
    let conn = connect(ledger)?;
    conn.execute("VACUUM INTO ?", [aside.display().to_string()]).doing("copying it")?;
    drop(conn);
    let copied = look_at(&aside)?;
    let synced = File::open(&aside).and_then(|f| f.sync_all());
    synced.and_then(|()| std::fs::rename(&aside, to)).map_err(io("finish", to))?;
    if let Some(folder) = to.parent().filter(|f| !f.as_os_str().is_empty()) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(io("finish", folder))?;
    }
    Ok(copied)
}

/// Is a copy whole?
fn look_at(copy: &Path) -> Result<Copied, LedgerError> {
    let conn = Connection::open(copy).doing("reading the copy")?;
    let told: String = conn.query_row("PRAGMA quick_check", [], |r| r.get(0)).doing("checking the copy")?;
    if told != "ok" {
        return Err(LedgerError::NoLedger(format!("the copy {} is damaged: {told}", copy.display())));
    }
    let (_, store) = identity(&conn)?;
    Ok(Copied { store, ledger_seq: last_seq(&conn)?.cast_unsigned() })
}

/// Puts a copy back in the place of a ledger, or where there is none. May run beside the server.
///
/// # Errors
/// [`LedgerError`]: the copy is damaged, of a newer program, or of another store. Then the ledger stands as it was.
pub fn restore(from: &Path, ledger: &Path, now_us: i64) -> Result<Copied, LedgerError> {
    let mut aside = ledger.as_os_str().to_owned();
    aside.push(".restoring");
    let aside = PathBuf::from(aside);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = aside.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    // Through SQLite, not by copying the file: what is given may be another ledger's file with its log beside it.
    let copied = {
        if !from.is_file() {
            return Err(LedgerError::NoLedger(format!("{} does not exist", from.display())));
        }
        let source = Connection::open(from).doing("reading the copy")?;
        source.execute("VACUUM INTO ?", [aside.display().to_string()]).doing("reading the copy")?;
        look_at(&aside)?
    };
    let mut fresh = connect(&aside)?;
    migrate::migrate(&mut fresh, None, now_us)?;
    renew_id(&mut fresh, now_us)?;
    {
        let damaged = |e: LedgerError| {
            LedgerError::Refused(format!(
                "what is there now cannot be read ({e}): stop the server, move {0}, {0}-wal and {0}-shm away, then \
                 restore again",
                ledger.display()
            ))
        };
        let mut live = connect(ledger).map_err(damaged)?;
        let tables: i64 = live
            .query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))
            .doing("reading it")
            .map_err(damaged)?;
        if tables > 0 {
            let (_, found) = identity(&live).map_err(damaged)?;
            if found != copied.store {
                return Err(LedgerError::OtherStore { found: copied.store, wanted: found });
            }
        }
        let put = rusqlite::backup::Backup::new(&fresh, &mut live)
            .and_then(|copy| copy.run_to_completion(i32::MAX, Duration::from_millis(20), None));
        put.doing("putting the copy in its place")?;
    }
    drop(fresh);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = aside.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    Ok(copied)
}

/// A new id, and a cloud that is thought to have nothing under it.
fn renew_id(conn: &mut Connection, now_us: i64) -> Result<(), LedgerError> {
    let doing = "giving it a new id";
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
    let (was, _) = identity(&tx)?;
    let renew = || -> rusqlite::Result<()> {
        tx.execute(
            "INSERT INTO former_ids (ledger_id, last_seq, until_us)
             VALUES (?, (SELECT coalesce(max(ledger_seq), 0) FROM events), ?)",
            params![was.to_string(), now_us],
        )?;
        tx.execute("UPDATE ledger SET ledger_id = ?", [Uuid::now_v7().to_string()])?;
        tx.execute("UPDATE outbox SET acknowledged_seq = 0", [])?;
        Ok(())
    };
    renew().doing(doing)?;
    tx.commit().doing(doing)
}

impl Ledger {
    /// Takes events back that the cloud has and this ledger may lack. Unlike events from the bus they may be the
    /// ledger's own, from before it was put back.
    ///
    /// # Errors
    /// As [`Ledger::store`].
    pub fn refill(&mut self, events: &[Event], now_us: i64) -> Result<Appended, LedgerError> {
        let tx = self.begin("beginning to refill it")?;
        let out = store_batch(&tx, events, now_us, false)?;
        tx.commit().doing("refilling it")?;
        self.project()?;
        Ok(out)
    }
}
