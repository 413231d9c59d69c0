//! The reference cloud's events and commands in PostgreSQL: what [`super::sqlite`] does, for several receivers at once.
//!
//! One lock (`pg_advisory_xact_lock`) orders the transactions that write, so that positions appear in order and a reader
//! who pages by them misses none. A connection that broke is opened again by the next question; the batch that was
//! under way is refused and comes again. **Limits**: no TLS to the database: it must be on this machine (or be reached
//! through something on this machine that encrypts), and the address is checked for that. PostgreSQL's texts hold no NUL
//! character: an event's id or type with one is refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postgres::config::Host;
use postgres::{Client, Config, NoTls, Row, Transaction};
use serde_json::{Value, json};

use super::PlacedEvent;
use super::command::Command;
use super::event::Received;
use super::events::{
    Batch, DatabaseError, RefusedBatch, Taken, kept, other_content, other_event, same_but_credential,
};
use super::receipts::{KINDS, receipt_of};

/// Says to other receivers that somebody writes; any number that nobody else uses.
const WRITING: i64 = 0x6c69_6e65_6672_6565;

/// Events and commands in PostgreSQL.
pub(super) struct PostgresEvents {
    config: Config,
    client: Mutex<Client>,
}

fn wrong(why: impl Into<String>) -> DatabaseError {
    DatabaseError(why.into())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

impl PostgresEvents {
    pub fn open(url: &str, password: Option<String>) -> Result<Self, DatabaseError> {
        // Its own error could repeat a password.
        let mut config: Config = url
            .parse()
            .map_err(|_| wrong("the database's address is not of the form postgres://user@host:port/name"))?;
        let on_this_machine = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        };
        if config.get_hosts().is_empty() || !config.get_hosts().iter().all(on_this_machine) {
            return Err(wrong(
                "the database must be on this machine, or be reached through something on it that encrypts: events would \
                 travel in the clear",
            ));
        }
        if let Some(password) = password {
            config.password(password);
        }
        config.application_name("linefree-receive").connect_timeout(std::time::Duration::from_secs(10));
        let mut client = config.connect(NoTls)?;
        let mut tx = client.transaction()?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&WRITING])?;
        tx.batch_execute(include_str!("schema/postgres.sql"))?;
        tx.commit()?;
        Ok(Self { config, client: Mutex::new(client) })
    }

    fn client(&self) -> Result<MutexGuard<'_, Client>, DatabaseError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.is_closed() {
            *client = self.config.connect(NoTls)?;
        }
        Ok(client)
    }

    pub fn take(&self, batch: &Batch<'_>, now_us: i64) -> Result<Taken, RefusedBatch> {
        let (store, ledger) = (&batch.store, &batch.ledger);
        let mut client = self.client()?;
        let mut tx = client.transaction()?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&WRITING])?;
        let mut taken = Taken::default();
        for (received, event) in &batch.events {
            take_one(&mut tx, ledger, received, event, now_us, &mut taken)?;
            match received.kind.as_str() {
                "org.linefree.command.answered.v1" => {
                    let answer = &event["data"];
                    tx.execute(
                        "UPDATE commands SET accepted = $3, reason = $4, answered_us = coalesce(answered_us, $5)
                         WHERE store = $1 AND seq = $2",
                        &[
                            store,
                            &answer["command_seq"].as_i64(),
                            &answer["accepted"].as_bool(),
                            &answer["reason"].as_str().map(|r| r.replace('\0', "")),
                            &now_us,
                        ],
                    )?;
                }
                "org.linefree.shopper.forgotten.v1" => forget(&mut tx, store, &event["data"])?,
                _ => {}
            }
        }
        let before: i64 = tx
            .query_opt(
                "SELECT acknowledged_seq FROM ledgers WHERE store = $1 AND ledger = $2",
                &[store, ledger],
            )?
            .map_or(0, |r| r.get(0));
        // The first number beyond that has no neighbour above it ends what is contiguous.
        let reached: Option<i64> = tx
            .query_one(
                "SELECT min(d.ledger_seq) FROM deliveries d
                 WHERE d.store = $1 AND d.ledger = $2 AND d.ledger_seq > $3
                   AND NOT EXISTS (SELECT 1 FROM deliveries n WHERE n.store = d.store AND n.ledger = d.ledger
                                   AND n.ledger_seq = d.ledger_seq + 1)
                   AND EXISTS (SELECT 1 FROM deliveries f WHERE f.store = d.store AND f.ledger = d.ledger
                               AND f.ledger_seq = $3 + 1)",
                &[store, ledger, &before],
            )?
            .get(0);
        let acknowledged = reached.unwrap_or(before);
        tx.execute(
            "INSERT INTO ledgers (store, ledger, acknowledged_seq) VALUES ($1, $2, $3)
             ON CONFLICT (store, ledger) DO UPDATE SET acknowledged_seq = excluded.acknowledged_seq",
            &[store, ledger, &acknowledged],
        )?;
        tx.commit()?;
        taken.acknowledged = acknowledged.cast_unsigned();
        Ok(taken)
    }

    pub fn events(&self, store: &str, after: i64, limit: u32) -> Result<Vec<PlacedEvent>, DatabaseError> {
        let rows = self.client()?.query(
            "SELECT position, event FROM events WHERE store = $1 AND position > $2 ORDER BY position LIMIT $3",
            &[&store.replace('\0', "?"), &after, &i64::from(limit)],
        )?;
        let placed = |r: &Row| PlacedEvent { position: r.get(0), event: json_of(r.get(1)) };
        Ok(rows.iter().map(placed).collect())
    }

    pub fn receipts(&self, store: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        let store = store.replace('\0', "?");
        let rows = self.client()?.query(
            "SELECT visit FROM (
               SELECT DISTINCT ON (visit) visit, left_us, position FROM events
               WHERE store = $1 AND type = $2 AND visit IS NOT NULL
               ORDER BY visit, position DESC) last
             ORDER BY left_us DESC NULLS LAST, position DESC LIMIT $3",
            &[&store, &KINDS[0], &i64::from(limit)],
        )?;
        let visits: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
        let rows = self.client()?.query(
            "SELECT visit, event FROM events WHERE store = $1 AND visit = ANY($2) AND type = ANY($3) ORDER BY position",
            &[&store, &visits, &&KINDS[..]],
        )?;
        let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for row in &rows {
            events.entry(row.get(0)).or_default().push(json_of(row.get(1)));
        }
        Ok(visits.iter().filter_map(|visit| receipt_of(events.get(visit)?)).collect())
    }

    pub fn stores(&self) -> Result<Vec<Value>, DatabaseError> {
        let rows =
            self.client()?.query("SELECT store, count(*) FROM events GROUP BY store ORDER BY store", &[])?;
        let store = |r: &Row| json!({ "store": r.get::<_, String>(0), "events": r.get::<_, i64>(1) });
        Ok(rows.iter().map(store).collect())
    }

    pub fn issue(
        &self,
        store: &str,
        command: &str,
        version: u64,
        body: &Value,
        now_us: i64,
    ) -> Result<Option<u64>, DatabaseError> {
        if command.contains('\0') {
            return Err(wrong("a command's id holds a NUL character"));
        }
        let (version, told) = (i64::try_from(version).unwrap_or(i64::MAX), body.to_string());
        let mut client = self.client()?;
        let mut tx = client.transaction()?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&WRITING])?;
        let known = tx.query_opt(
            "SELECT seq, body, version FROM commands WHERE store = $1 AND command = $2",
            &[&store, &command],
        )?;
        if let Some(known) = known {
            let same = known.get::<_, String>(1) == told && known.get::<_, i64>(2) == version;
            return Ok(same.then(|| known.get::<_, i64>(0).cast_unsigned()));
        }
        let seq: i64 = tx
            .query_one("SELECT coalesce(max(seq), 0) + 1 FROM commands WHERE store = $1", &[&store])?
            .get(0);
        tx.execute(
            "INSERT INTO commands (store, seq, command, version, issued_us, body) VALUES ($1, $2, $3, $4, $5, $6)",
            &[&store, &seq, &command, &version, &now_us, &told],
        )?;
        tx.commit()?;
        Ok(Some(seq.cast_unsigned()))
    }

    pub fn commands(&self, store: &str, after: u64, limit: u32) -> Result<Vec<Command>, DatabaseError> {
        let rows = self.client()?.query(
            "SELECT command, seq, version, issued_us, body, accepted FROM commands WHERE store = $1 AND seq > $2
             ORDER BY seq LIMIT $3",
            &[&store.replace('\0', "?"), &i64::try_from(after).unwrap_or(i64::MAX), &i64::from(limit)],
        )?;
        let command = |r: &Row| Command {
            command: r.get(0),
            seq: r.get::<_, i64>(1).cast_unsigned(),
            version: r.get::<_, i64>(2).cast_unsigned(),
            issued_us: r.get(3),
            answered: r.get(5),
            body: json_of(r.get(4)),
        };
        Ok(rows.iter().map(command).collect())
    }

    pub fn answers(&self, store: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        let rows = self.client()?.query(
            "SELECT seq, command, accepted, reason, answered_us FROM commands WHERE store = $1
             ORDER BY seq DESC LIMIT $2",
            &[&store.replace('\0', "?"), &i64::from(limit)],
        )?;
        let answer = |r: &Row| {
            json!({
                "seq": r.get::<_, i64>(0),
                "command": r.get::<_, String>(1),
                "accepted": r.get::<_, Option<bool>>(2),
                "reason": r.get::<_, Option<String>>(3),
                "answered_us": r.get::<_, Option<i64>>(4),
            })
        };
        Ok(rows.iter().map(answer).collect())
    }
}

fn take_one(
    tx: &mut Transaction<'_>,
    ledger: &str,
    received: &Received,
    event: &Value,
    now_us: i64,
    taken: &mut Taken,
) -> Result<(), RefusedBatch> {
    if received.id.contains('\0') || received.kind.contains('\0') {
        return Err(RefusedBatch::Malformed("an event's id or type holds a NUL character".into()));
    }
    let kept = kept(event);
    let known = tx.query_opt(
        "SELECT event FROM events WHERE store = $1 AND event_id = $2",
        &[&received.store, &received.id],
    )?;
    match known {
        Some(known) if same_but_credential(json_of(known.get(0)), kept.clone()) => taken.duplicates += 1,
        Some(_) => return Err(other_content(&received.id)),
        None => {
            let data = &kept["data"];
            let text = |name: &str| data[name].as_str().filter(|t| !t.contains('\0'));
            tx.execute(
                "INSERT INTO events (store, event_id, type, event, received_us, visit, left_us, credential)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    &received.store,
                    &received.id,
                    &received.kind,
                    &kept.to_string(),
                    &now_us,
                    &text("visit"),
                    &data["left_us"].as_i64(),
                    &text("credential"),
                ],
            )?;
            taken.new += 1;
        }
    }
    let seq = received.ledger_seq.cast_signed();
    let there = tx.query_opt(
        "SELECT event_id FROM deliveries WHERE store = $1 AND ledger = $2 AND ledger_seq = $3",
        &[&received.store, &ledger, &seq],
    )?;
    match there.map(|r| r.get::<_, String>(0)) {
        Some(id) if id == received.id => Ok(()),
        Some(id) => Err(other_event(seq, &id, received)),
        None => {
            tx.execute(
                "INSERT INTO deliveries (store, ledger, ledger_seq, event_id) VALUES ($1, $2, $3, $4)",
                &[&received.store, &ledger, &seq, &received.id],
            )?;
            Ok(())
        }
    }
}

/// Takes the credentials of some visits out of every event that holds them.
fn forget(tx: &mut Transaction<'_>, store: &str, forgotten: &Value) -> Result<(), postgres::Error> {
    let visits = forgotten["visits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let visits: Vec<&str> = visits.iter().filter_map(Value::as_str).filter(|v| !v.contains('\0')).collect();
    let rows = tx.query(
        "SELECT position, event FROM events WHERE store = $1 AND credential IN (
           SELECT credential FROM events WHERE store = $1 AND visit = ANY($2) AND credential IS NOT NULL
             AND type IN ('org.linefree.visit.opened.v1', 'org.linefree.visit.closed.v1'))",
        &[&store, &visits],
    )?;
    for row in rows {
        let mut event = json_of(row.get(1));
        event["data"]["credential"] = Value::Null;
        tx.execute(
            "UPDATE events SET event = $2, credential = NULL WHERE position = $1",
            &[&row.get::<_, i64>(0), &event.to_string()],
        )?;
    }
    Ok(())
}
