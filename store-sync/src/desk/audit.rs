//! The audit log: who did what to money and data, in order, never changed.
//!
//! Each row's sum is SHA-256 over the sum before it and the row, so that a row that was changed or cut out by hand is
//! found by [`Desk::audit_is_whole`]. Shoppers stand in it as `shopper`: a log that cannot forget must not name them.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::accounts::{Person, Role};
use super::{Desk, DeskError};

/// One action.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditRow {
    /// Its number.
    pub n: i64,
    /// When, wall clock.
    pub at_us: i64,
    /// The account; `shopper` for any shopper.
    pub who: String,
    /// Its role then.
    pub role: String,
    /// What was done: `review.answer`, `refund.issue` ...
    pub action: String,
    /// To what: a visit, an account ...
    pub subject: String,
    /// With which values.
    pub detail: String,
    /// Was it done, or refused?
    pub done: bool,
}

fn sum_of(before: &[u8], row: &AuditRow) -> Vec<u8> {
    let mut sum = Sha256::new();
    sum.update(before);
    for text in [
        &row.n.to_string(),
        &row.at_us.to_string(),
        &row.who,
        &row.role,
        &row.action,
        &row.subject,
        &row.detail,
        &row.done.to_string(),
    ] {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    }
    sum.finalize().to_vec()
}

const COLUMNS: &str = "n, at_us, who, role, action, subject, detail, done, sum";

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<(AuditRow, Vec<u8>)> {
    let row = AuditRow {
        n: r.get(0)?,
        at_us: r.get(1)?,
        who: r.get(2)?,
        role: r.get(3)?,
        action: r.get(4)?,
        subject: r.get(5)?,
        detail: r.get(6)?,
        done: r.get(7)?,
    };
    Ok((row, r.get(8)?))
}

impl Desk {
    /// Adds an action.
    ///
    /// # Errors
    /// [`DeskError`]: then the action itself must not be done either.
    pub fn note(
        &self,
        who: Option<&Person>,
        action: &str,
        subject: &str,
        detail: &str,
        done: bool,
        now_us: i64,
    ) -> Result<(), DeskError> {
        let (name, role) = match who {
            Some(p) if p.role == Role::Shopper => ("shopper", "shopper"),
            Some(p) => (p.name.as_str(), p.role.name()),
            None => ("nobody", "none"),
        };
        let cut = |text: &str, most| text.chars().take(most).collect::<String>();
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let last: Option<(i64, Vec<u8>)> = tx
            .query_row("SELECT n, sum FROM audit ORDER BY n DESC LIMIT 1", [], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let (n, before) = last.unwrap_or_default();
        let row = AuditRow {
            n: n + 1,
            at_us: now_us,
            who: name.to_owned(),
            role: role.to_owned(),
            action: cut(action, 64),
            subject: cut(subject, 128),
            detail: cut(detail, 1000),
            done,
        };
        let sum = sum_of(&before, &row);
        tx.execute(
            "INSERT INTO audit (n, at_us, who, role, action, subject, detail, done, sum)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![row.n, row.at_us, row.who, row.role, row.action, row.subject, row.detail, row.done, sum],
        )?;
        tx.commit()?;
        Ok(())
    }

    /// The last actions, youngest first.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, DeskError> {
        let conn = self.conn();
        let mut statement =
            conn.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY n DESC LIMIT ?"))?;
        let rows = statement.query_map([limit], |r| Ok(row(r)?.0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The last actions whose name begins so, youngest first.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn audit_of(&self, action: &str, limit: u32) -> Result<Vec<AuditRow>, DeskError> {
        let conn = self.conn();
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE substr(action, 1, length(?1)) = ?1 ORDER BY n DESC LIMIT ?2"
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![action, limit], |r| Ok(row(r)?.0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Does every row's sum hold, and is none missing?
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn audit_is_whole(&self) -> Result<bool, DeskError> {
        let conn = self.conn();
        let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY n"))?;
        let mut before = Vec::new();
        for (i, found) in statement.query_map([], row)?.enumerate() {
            let (row, sum) = found?;
            if row.n != i64::try_from(i + 1).unwrap_or(0) || sum != sum_of(&before, &row) {
                return Ok(false);
            }
            before = sum;
        }
        Ok(true)
    }
}
