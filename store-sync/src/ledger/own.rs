//! What the ledger itself has to say: numbered events of the source `ledger`, whose epoch is the ledger's own id.
//!
//! They need no journal and no bus: they are written where all others end up. Since a ledger that was put back from a
//! copy has a new id, its numbers are never used twice.

use std::path::Path;

use linefree_bus::payload::{Event, EventBody};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::store::{identity, store_batch};
use super::{Doing, LedgerError, connect};

/// The name under which the ledger speaks, on the bus and in its own events.
pub const OWN_SOURCE: &str = "ledger";

/// Tells what rests on nothing that the ledger holds, over a connection of its own.
#[derive(Debug)]
pub struct OwnVoice(Connection);

impl OwnVoice {
    /// Of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path) -> Result<Self, LedgerError> {
        Ok(Self(connect(ledger)?))
    }

    /// Adds an event of the ledger's own; returns its place.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing was written.
    pub fn say(&mut self, body: EventBody, now_us: i64) -> Result<u64, LedgerError> {
        let doing = "writing the ledger's own event";
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        let place = say(&tx, body, now_us)?;
        tx.commit().doing(doing)?;
        Ok(place)
    }
}

/// Adds an event of the ledger's own; returns its place.
pub(super) fn say(tx: &Transaction<'_>, body: EventBody, now_us: i64) -> Result<u64, LedgerError> {
    let (epoch, _) = identity(tx)?;
    let last: i64 = tx
        .query_row(
            "SELECT coalesce(max(highest_seq), 0) FROM numberings WHERE source = ? AND epoch = ?",
            params![OWN_SOURCE, epoch.to_string()],
            |r| r.get(0),
        )
        .doing("numbering the ledger's own event")?;
    let seq = last.cast_unsigned() + 1;
    let event = Event { source: OWN_SOURCE.to_owned(), epoch, seq, time_us: now_us, body };
    let done = store_batch(tx, &[event], now_us, false)?;
    done.stored
        .first()
        .map(|(ledger_seq, _)| *ledger_seq)
        .ok_or_else(|| LedgerError::Refused("the ledger's own event has a number that is taken".into()))
}
