//! Delete-my-data: a shopper's credential goes, the money stays.
//!
//! A credential is all that the ledger knows of a person. It stands in one table of the ledger, apart from the events,
//! and in three projections. [`forget`] deletes it from the ledger and says so in an event, which takes it out of the
//! projections and tells the cloud to do the same. Deleted bytes are overwritten (`secure_delete`), and the write-ahead
//! logs are emptied.
//!
//! **What it cannot reach**: journals of devices, which keep about their last 10,000 events until newer ones push them
//! out; and backups made before. Keep backups no longer than the law lets you keep the credential.

use std::path::Path;

use linefree_bus::payload::{EventBody, ShopperForgotten};
use rusqlite::TransactionBehavior;

use super::{Doing, LedgerError, LedgerReader, connect, own, projector};

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// The visits; their receipts stay.
    pub visits: Vec<String>,
    /// How many events held the credential.
    pub events: usize,
    /// Place of the event that says so: once it is projected, the projections have forgotten, too.
    pub ledger_seq: u64,
}

/// Deletes a credential from a ledger. The projections follow when they reach [`Forgotten::ledger_seq`].
///
/// # Errors
/// [`LedgerError::Refused`]: nobody used it, or a visit with it still lasts. [`LedgerError`] when SQLite fails.
pub fn forget(ledger: &Path, credential: &str, now_us: i64) -> Result<Forgotten, LedgerError> {
    let reader = LedgerReader::open(ledger)?;
    let mut conn = connect(ledger)?;
    let doing = "forgetting a shopper";
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
    let (mut visits, mut events) = (Vec::new(), 0);
    let shown = tx.execute("DELETE FROM shown WHERE credential = ?", [credential]).doing(doing)?;
    {
        let mut statement = tx
            .prepare(
                "SELECT e.kind, e.body ->> '$.visit' FROM credentials c JOIN events e USING (ledger_seq)
                 WHERE c.credential = ? ORDER BY ledger_seq",
            )
            .doing(doing)?;
        let mut rows = statement.query([credential]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            events += 1;
            if let Some(visit) = row.get::<_, Option<String>>(1).doing(doing)?
                && !visits.contains(&visit)
            {
                visits.push(visit);
            }
        }
    }
    if events == 0 {
        // Somebody may have shown a coupon and never come.
        if shown > 0 {
            tx.commit().doing(doing)?;
        }
        return Err(LedgerError::Refused("no event of this ledger holds that credential".into()));
    }
    for visit in &visits {
        if reader.receipt(visit)?.is_none() {
            return Err(LedgerError::Refused(format!(
                "visit {visit} still lasts: delete the data after its shopper has left"
            )));
        }
    }
    tx.execute("DELETE FROM credentials WHERE credential = ?", [credential]).doing(doing)?;
    let body = EventBody::ShopperForgotten(ShopperForgotten { visits: visits.clone() });
    let ledger_seq = own::say(&tx, body, now_us)?;
    tx.commit().doing(doing)?;
    Ok(Forgotten { visits, events, ledger_seq })
}

/// Empties the write-ahead logs of a ledger and its projections, which may still hold what was deleted. False when
/// somebody was reading: try again.
///
/// # Errors
/// [`LedgerError`].
pub fn empty_logs(ledger: &Path) -> Result<bool, LedgerError> {
    let mut emptied = true;
    for path in [ledger.to_owned(), projector::file_of(ledger)] {
        let busy: i64 = connect(&path)?
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))
            .doing("emptying the write-ahead log")?;
        emptied &= busy == 0;
    }
    Ok(emptied)
}
