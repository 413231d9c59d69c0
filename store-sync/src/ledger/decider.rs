//! Decisions that rest on the projections, written as the ledger's own events.
//!
//! **One at a time.** Deciding waits until the projections show everything that is in the ledger, and holds the ledger
//! while it decides: what another decision has just changed is seen, or this one is put off ([`LedgerError::Busy`]).

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::commands::{Decision, StoreFacts};
use super::facts::known_skus;
use super::{Doing, LedgerError, LedgerReader, connect, own};

/// How often, and how many times, it is looked whether the projections are up to date.
const WAIT: (std::time::Duration, u32) = (std::time::Duration::from_millis(10), 300);

/// Decides, beside the writer of events, over a connection of its own.
#[derive(Debug)]
pub(super) struct Decider {
    conn: Connection,
    /// What decisions rest on.
    pub(super) reader: LedgerReader,
    /// What the store is.
    pub(super) facts: StoreFacts,
}

impl Decider {
    /// Of a ledger that exists.
    pub(super) fn open(ledger: &Path, facts: StoreFacts) -> Result<Self, LedgerError> {
        Ok(Self { conn: connect(ledger)?, reader: LedgerReader::open(ledger)?, facts })
    }

    /// Are there such a plate and product? An error says which is not.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(super) fn known(&self, plate: &str, sku: &str) -> Result<Result<(), String>, LedgerError> {
        Ok(if !self.facts.plates.contains(plate) {
            Err(format!("this store has no plate {plate:?}"))
        } else if !known_skus(&self.reader.conn, &self.facts)?.contains(sku) {
            Err(format!("this store has no product {sku:?}"))
        } else {
            Ok(())
        })
    }

    /// Writes what `decision` says, all of it or nothing. Returns the place of the last event; 0 when there is none.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the reason, [`LedgerError::Busy`].
    pub(super) fn decide(
        &mut self,
        now_us: i64,
        decision: impl FnOnce(&Transaction<'_>, &LedgerReader) -> Result<Decision, LedgerError>,
    ) -> Result<u64, LedgerError> {
        let doing = "writing a decision";
        let mut waited = 0;
        while self.reader.projected_seq()? < self.reader.last_seq()? {
            waited += 1;
            if waited > WAIT.1 {
                return Err(LedgerError::Busy("the projections are behind"));
            }
            std::thread::sleep(WAIT.0);
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        // Whoever decided about money just now, the cloud's commander or another request, must be seen: nobody writes
        // while this transaction lasts, so once the projections are up to date they stay so.
        if self.reader.projected_seq()? < self.reader.last_seq()? {
            return Err(LedgerError::Busy("the store has just decided about something else"));
        }
        let bodies = decision(&tx, &self.reader)?.map_err(LedgerError::Refused)?;
        let mut last = 0;
        for body in bodies {
            last = own::say(&tx, body, now_us)?;
        }
        tx.commit().doing(doing)?;
        Ok(last)
    }
}
