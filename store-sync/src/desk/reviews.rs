//! Answers that can still be undone, and contested lines.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, DeskError, hex, random, refused};

/// How long an answer can be undone before it is written to the ledger and charged.
pub const HOLD_US: i64 = 10_000_000;

/// An answer that can still be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldAnswer {
    /// The visit.
    pub visit: String,
    /// The line.
    pub sku: String,
    /// How many the shopper pays for.
    pub quantity: u32,
    /// Who answered.
    pub who: String,
    /// When it will be charged, wall clock.
    pub due_us: i64,
}

/// A line that a shopper contests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contest {
    /// Its id.
    pub contest: String,
    /// The visit.
    pub visit: String,
    /// The line.
    pub sku: String,
    /// What the shopper says.
    pub words: String,
    /// When.
    pub opened_us: i64,
    /// `open`, `refunded` or `refused`.
    pub state: String,
    /// When it was settled.
    pub settled_us: Option<i64>,
    /// What the store says.
    pub answer: Option<String>,
}

fn held(r: &rusqlite::Row<'_>) -> rusqlite::Result<HeldAnswer> {
    Ok(HeldAnswer {
        visit: r.get(0)?,
        sku: r.get(1)?,
        quantity: r.get(2)?,
        who: r.get(3)?,
        due_us: r.get(4)?,
    })
}

fn contest(r: &rusqlite::Row<'_>) -> rusqlite::Result<Contest> {
    Ok(Contest {
        contest: r.get(0)?,
        visit: r.get(1)?,
        sku: r.get(2)?,
        words: r.get(3)?,
        opened_us: r.get(4)?,
        state: r.get(5)?,
        settled_us: r.get(6)?,
        answer: r.get(7)?,
    })
}

const CONTEST: &str = "SELECT contest, visit, sku, words, opened_us, state, settled_us, answer FROM contests";

impl Desk {
    /// Holds an answer until it is due. A second answer to the same line replaces the first.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn hold(&self, answer: &HeldAnswer) -> Result<(), DeskError> {
        self.conn().execute(
            "INSERT INTO held_answers (visit, sku, quantity, who, due_us) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET quantity = excluded.quantity, who = excluded.who, due_us = excluded.due_us",
            params![answer.visit, answer.sku, answer.quantity, answer.who, answer.due_us],
        )?;
        Ok(())
    }

    /// Takes an answer back; false when it was written already.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn let_go_of(&self, visit: &str, sku: &str) -> Result<bool, DeskError> {
        let gone = self
            .conn()
            .execute("DELETE FROM held_answers WHERE visit = ? AND sku = ?", params![visit, sku])?;
        Ok(gone > 0)
    }

    /// Answers that can still be undone; with a time, only those that are due by then.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn held(&self, due_by_us: Option<i64>) -> Result<Vec<HeldAnswer>, DeskError> {
        let conn = self.conn();
        let mut statement = conn.prepare_cached(
            "SELECT visit, sku, quantity, who, due_us FROM held_answers WHERE due_us <= ? ORDER BY due_us LIMIT 1000",
        )?;
        let rows = statement.query_map([due_by_us.unwrap_or(i64::MAX)], held)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A shopper contests a line; returns the contest's id.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the line is contested already.
    pub fn contest(&self, visit: &str, sku: &str, words: &str, now_us: i64) -> Result<String, DeskError> {
        let id = hex(&random::<8>()?);
        let words: String = words.chars().filter(|c| !c.is_control()).take(1000).collect();
        let added = self.conn().execute(
            "INSERT INTO contests (contest, visit, sku, words, opened_us, state) VALUES (?, ?, ?, ?, ?, 'open')
             ON CONFLICT DO NOTHING",
            params![id, visit, sku, words, now_us],
        )?;
        if added == 0 {
            return refused("this line is contested already");
        }
        Ok(id)
    }

    /// Takes back a contest that the ledger did not take.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn withdraw(&self, id: &str) -> Result<(), DeskError> {
        self.conn().execute("DELETE FROM contests WHERE contest = ? AND state = 'open'", params![id])?;
        Ok(())
    }

    /// An open contest.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when there is none.
    pub fn open_contest(&self, id: &str) -> Result<Contest, DeskError> {
        let found = self
            .conn()
            .query_row(&format!("{CONTEST} WHERE contest = ? AND state = 'open'"), [id], contest)
            .optional()?;
        found.map_or_else(|| refused("there is no such open contest"), Ok)
    }

    /// Settles a contest.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when it is settled already.
    pub fn settle(&self, id: &str, refunded: bool, answer: &str, now_us: i64) -> Result<(), DeskError> {
        let answer: String = answer.chars().filter(|c| !c.is_control()).take(1000).collect();
        let state = if refunded { "refunded" } else { "refused" };
        let done = self.conn().execute(
            "UPDATE contests SET state = ?, settled_us = ?, answer = ? WHERE contest = ? AND state = 'open'",
            params![state, now_us, answer, id],
        )?;
        if done == 0 { refused("there is no such open contest") } else { Ok(()) }
    }

    /// Contests, open ones first, oldest first among them; of one visit when named.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn contests(&self, visit: Option<&str>) -> Result<Vec<Contest>, DeskError> {
        let conn = self.conn();
        let mut statement = conn.prepare_cached(&format!(
            "{CONTEST} WHERE ?1 IS NULL OR visit = ?1 ORDER BY state <> 'open', opened_us, contest LIMIT 1000"
        ))?;
        let rows = statement.query_map([visit], contest)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
