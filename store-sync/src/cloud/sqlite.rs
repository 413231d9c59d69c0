//! The reference cloud's events and commands in one SQLite file with `synchronous = FULL`.

use std::path::Path;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde_json::{Value, json};

use super::PlacedEvent;
use super::command::Command;
use super::event::Received;
use super::events::{Batch, RefusedBatch, Taken, kept, other_content, other_event, same_but_credential};
use super::receipts::receipt_of;

/// The cloud's events.
#[derive(Debug)]
pub(super) struct SqliteEvents {
    conn: Connection,
}

impl SqliteEvents {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        conn.pragma_update(None, "secure_delete", true)?;
        let steps =
            [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];
        for (step, schema) in (1..).zip(steps) {
            if version < step {
                conn.execute_batch(&format!("BEGIN; {schema} PRAGMA user_version = {step}; COMMIT"))?;
            }
        }
        Ok(Self { conn })
    }

    /// Takes a batch, whole or not at all.
    ///
    /// # Errors
    /// [`RefusedBatch`].
    pub fn take(&mut self, batch: &Batch<'_>, now_us: i64) -> Result<Taken, RefusedBatch> {
        let (store, ledger) = (&batch.store, &batch.ledger);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut taken = Taken::default();
        for (received, event) in &batch.events {
            take_one(&tx, ledger, received, event, now_us, &mut taken)?;
            match received.kind.as_str() {
                "org.linefree.command.answered.v1" => note_answer(&tx, store, &event["data"], now_us)?,
                "org.linefree.shopper.forgotten.v1" => forget(&tx, store, &event["data"])?,
                _ => {}
            }
        }
        let mut acknowledged: i64 = tx
            .query_row(
                "SELECT acknowledged_seq FROM ledgers WHERE store = ? AND ledger = ?",
                params![store, ledger],
                |r| r.get(0),
            )
            .optional()?
            .unwrap_or(0);
        {
            let mut next = tx.prepare(
                "SELECT ledger_seq FROM deliveries WHERE store = ? AND ledger = ? AND ledger_seq > ?
                 ORDER BY ledger_seq",
            )?;
            let mut rows = next.query(params![store, ledger, acknowledged])?;
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(0)? != acknowledged + 1 {
                    break;
                }
                acknowledged += 1;
            }
        }
        tx.execute(
            "INSERT INTO ledgers (store, ledger, acknowledged_seq) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET acknowledged_seq = excluded.acknowledged_seq",
            params![store, ledger, acknowledged],
        )?;
        tx.commit()?;
        taken.acknowledged = acknowledged.cast_unsigned();
        Ok(taken)
    }

    /// Up to `limit` events of a store after a position, in the order in which they came.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn events(&self, store: &str, after: i64, limit: u32) -> rusqlite::Result<Vec<PlacedEvent>> {
        self.conn
            .prepare_cached(
                "SELECT position, event FROM events WHERE store = ? AND position > ? ORDER BY position LIMIT ?",
            )?
            .query_map(params![store, after, limit], |r| {
                let text: String = r.get(1)?;
                let event = serde_json::from_str(&text).unwrap_or(Value::Null);
                Ok(PlacedEvent { position: r.get(0)?, event })
            })?
            .collect()
    }

    /// The receipt of each visit of a store as it stands, youngest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn receipts(&self, store: &str, limit: u32) -> rusqlite::Result<Vec<Value>> {
        let visits = "SELECT event ->> '$.data.visit' FROM events
             WHERE position IN (SELECT max(position) FROM events
                                WHERE store = ?1 AND type = 'org.linefree.visit.closed.v1'
                                GROUP BY event ->> '$.data.visit')
             ORDER BY event ->> '$.data.left_us' DESC, position DESC LIMIT ?2";
        // Of any type: a hostile store may have called a visit by a number.
        let visits: Vec<SqlValue> = self
            .conn
            .prepare_cached(visits)?
            .query_map(params![store, limit], |r| r.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        // By the partial index `events_of_receipts`, whose kinds these are.
        let mut of_visit = self.conn.prepare_cached(
            "SELECT event FROM events
             WHERE store = ?1 AND event ->> '$.data.visit' IS ?2
               AND type IN ('org.linefree.visit.closed.v1', 'org.linefree.receipt.priced.v1',
                            'org.linefree.review.answered.v1', 'org.linefree.refund.issued.v1')
             ORDER BY position",
        )?;
        let mut receipts = Vec::with_capacity(visits.len());
        for visit in visits {
            let events: Vec<Value> = of_visit
                .query_map(params![store, visit], |r| Ok(parse(&r.get::<_, String>(0)?)))?
                .collect::<rusqlite::Result<_>>()?;
            receipts.extend(receipt_of(&events));
        }
        Ok(receipts)
    }

    /// The stores that have delivered anything, with how many events each.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn stores(&self) -> rusqlite::Result<Vec<Value>> {
        self.json_rows(
            "SELECT json_object('store', store, 'events', count(*)) FROM events GROUP BY store ORDER BY store",
            [],
        )
    }

    fn json_rows(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<Value>> {
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map(params, |r| r.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?).unwrap_or(Value::Null))).collect()
    }
}

fn take_one(
    tx: &rusqlite::Transaction<'_>,
    ledger: &str,
    received: &Received,
    event: &Value,
    now_us: i64,
    taken: &mut Taken,
) -> Result<(), RefusedBatch> {
    let kept = kept(event).to_string();
    let known: Option<String> = tx
        .prepare_cached("SELECT event FROM events WHERE store = ? AND event_id = ?")?
        .query_row(params![received.store, received.id], |r| r.get(0))
        .optional()?;
    match known {
        Some(known) if known == kept || same_but_credential(parse(&known), parse(&kept)) => {
            taken.duplicates += 1;
        }
        Some(_) => return Err(other_content(&received.id)),
        None => {
            tx.prepare_cached(
                "INSERT INTO events (store, event_id, type, event, received_us) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![received.store, received.id, received.kind, kept, now_us])?;
            taken.new += 1;
        }
    }
    let seq = received.ledger_seq.cast_signed();
    let there: Option<String> = tx
        .prepare_cached("SELECT event_id FROM deliveries WHERE store = ? AND ledger = ? AND ledger_seq = ?")?
        .query_row(params![received.store, ledger, seq], |r| r.get(0))
        .optional()?;
    match there {
        Some(id) if id == received.id => Ok(()),
        Some(id) => Err(other_event(seq, &id, received)),
        None => {
            tx.prepare_cached(
                "INSERT INTO deliveries (store, ledger, ledger_seq, event_id) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![received.store, ledger, seq, received.id])?;
            Ok(())
        }
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// A store has decided about a command.
fn note_answer(
    tx: &rusqlite::Transaction<'_>,
    store: &str,
    answer: &Value,
    now_us: i64,
) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE commands SET accepted = ?3, reason = ?4, answered_us = coalesce(answered_us, ?5)
         WHERE store = ?1 AND seq = ?2",
        params![
            store,
            answer["command_seq"].as_i64(),
            answer["accepted"].as_bool(),
            answer["reason"].as_str(),
            now_us
        ],
    )?;
    Ok(())
}

/// Takes the credentials of some visits out of every event that holds them.
fn forget(tx: &rusqlite::Transaction<'_>, store: &str, forgotten: &Value) -> rusqlite::Result<()> {
    let visits = forgotten["visits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut credentials: Vec<String> = Vec::new();
    for visit in visits.iter().filter_map(Value::as_str) {
        let held = tx
            .prepare_cached(
                "SELECT DISTINCT event ->> '$.data.credential' FROM events
                 WHERE store = ? AND type IN ('org.linefree.visit.opened.v1', 'org.linefree.visit.closed.v1')
                   AND event ->> '$.data.visit' = ? AND event ->> '$.data.credential' IS NOT NULL",
            )?
            .query_map(params![store, visit], |r| r.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        credentials.extend(held);
    }
    for credential in credentials {
        tx.execute(
            "UPDATE events SET event = json_set(event, '$.data.credential', NULL)
             WHERE store = ? AND event ->> '$.data.credential' = ?",
            params![store, credential],
        )?;
    }
    Ok(())
}

impl SqliteEvents {
    /// Issues a command to a store, with the next number. The same id again is the same command; `None` when that id has
    /// another content.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn issue(
        &mut self,
        store: &str,
        command: &str,
        version: u64,
        body: &Value,
        now_us: i64,
    ) -> rusqlite::Result<Option<u64>> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        let known: Option<(i64, String, i64)> = tx
            .query_row(
                "SELECT seq, body, version FROM commands WHERE store = ? AND command = ?",
                params![store, command],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )
            .optional()?;
        if let Some((seq, text, of_version)) = known {
            let told = body.to_string();
            let same = text == told && of_version == version;
            return Ok(same.then(|| seq.cast_unsigned()));
        }
        let seq: i64 = tx.query_row(
            "SELECT coalesce(max(seq), 0) + 1 FROM commands WHERE store = ?",
            params![store],
            |r| r.get(0),
        )?;
        tx.execute(
            "INSERT INTO commands (store, seq, command, version, issued_us, body) VALUES (?, ?, ?, ?, ?, ?)",
            params![store, seq, command, version, now_us, body.to_string()],
        )?;
        tx.commit()?;
        Ok(Some(seq.cast_unsigned()))
    }

    /// A store's commands after a number, in order.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn commands(&self, store: &str, after: u64, limit: u32) -> rusqlite::Result<Vec<Command>> {
        self.conn
            .prepare_cached(
                "SELECT command, seq, version, issued_us, body, accepted FROM commands WHERE store = ? AND seq > ?
                 ORDER BY seq LIMIT ?",
            )?
            .query_map(params![store, i64::try_from(after).unwrap_or(i64::MAX), limit], |r| {
                let body: String = r.get(4)?;
                Ok(Command {
                    command: r.get(0)?,
                    seq: r.get::<_, i64>(1)?.cast_unsigned(),
                    version: r.get::<_, i64>(2)?.cast_unsigned(),
                    issued_us: r.get(3)?,
                    answered: r.get(5)?,
                    body: serde_json::from_str(&body).unwrap_or(Value::Null),
                })
            })?
            .collect()
    }

    /// What a store has decided about its commands, youngest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn answers(&self, store: &str, limit: u32) -> rusqlite::Result<Vec<Value>> {
        self.conn
            .prepare_cached(
                "SELECT seq, command, accepted, reason, answered_us FROM commands WHERE store = ?
                 ORDER BY seq DESC LIMIT ?",
            )?
            .query_map(params![store, limit], |r| {
                Ok(json!({
                    "seq": r.get::<_, i64>(0)?,
                    "command": r.get::<_, String>(1)?,
                    "accepted": r.get::<_, Option<bool>>(2)?,
                    "reason": r.get::<_, Option<String>>(3)?,
                    "answered_us": r.get::<_, Option<i64>>(4)?,
                }))
            })?
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Databases of every earlier version are brought up to date with what they hold, and a receipt is found by its visit.
    #[test]
    fn every_earlier_version_is_brought_up_to_date() {
        for version in [1, 2] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("cloud.sqlite");
            let old = Connection::open(&path).unwrap();
            for schema in &[include_str!("schema/1.sql"), include_str!("schema/2.sql")][..version] {
                old.execute_batch(schema).unwrap();
            }
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            let event = json!({"id": "x", "type": "org.linefree.visit.closed.v1", "data": {"visit": "v1", "left_us": 2}});
            old.execute(
                "INSERT INTO events (store, event_id, type, event, received_us) VALUES ('nano', 'x', ?, ?, 1)",
                params![event["type"].as_str(), event.to_string()],
            )
            .unwrap();
            drop(old);
            let events = SqliteEvents::open(&path).unwrap();
            assert_eq!(events.receipts("nano", 9).unwrap(), [json!({"visit": "v1", "left_us": 2})]);
            let kinds = super::super::receipts::KINDS.map(|k| format!("'{k}'")).join(", ");
            let plan: String = events
                .conn
                .query_row(
                    &format!(
                        "EXPLAIN QUERY PLAN SELECT event FROM events WHERE store = 'nano'
                         AND event ->> '$.data.visit' IS 'v1' AND type IN ({kinds}) ORDER BY position"
                    ),
                    [],
                    |r| r.get("detail"),
                )
                .unwrap();
            assert!(plan.contains("events_of_receipts"), "{plan}");
        }
    }
}
