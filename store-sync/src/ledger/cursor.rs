//! How far the cloud has the ledger: the one thing that the outbox writes.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Doing, LedgerError, clamp_seq, connect};

/// The outbox's cursor, over a connection of its own.
#[derive(Debug)]
pub struct OutboxCursor {
    conn: Connection,
}

impl OutboxCursor {
    /// Opens the cursor of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::NoLedger(format!("{} does not exist", path.display())));
        }
        connect(path).map(|conn| Self { conn })
    }

    /// Every event up to this one is in the cloud. A crash before this is durable only means that some are sent again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn set(&self, acknowledged_seq: u64) -> Result<(), LedgerError> {
        self.conn
            .execute("UPDATE outbox SET acknowledged_seq = ?", params![clamp_seq(acknowledged_seq)])
            .doing("noting what the cloud has")?;
        Ok(())
    }
}
