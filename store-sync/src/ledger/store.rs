//! Events into the ledger's own file: numbered, each once, credentials apart.

use std::collections::BTreeMap;

use linefree_bus::payload::{Event, EventBody};
use rusqlite::{Connection, OptionalExtension, Statement, Transaction, params};
use uuid::Uuid;

use super::{Appended, Doing, EventId, LedgerError, Refusal, clamp_seq, kind_of};

const INSERT: &str =
    "INSERT INTO events (ledger_seq, numbering, source_seq, kind, time_us, body, sum, received_us)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (numbering, source_seq) DO NOTHING";

/// An event as it stands in the file.
pub(super) struct Stored {
    seq: i64,
    kind: &'static str,
    time_us: i64,
    /// Without the credential.
    body: String,
    credential: Option<String>,
    sum: i64,
}

impl Stored {
    pub fn of(event: &Event) -> Result<Self, LedgerError> {
        Self::of_epoch(event, event.epoch.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    /// The same for whoever has the numbering's text at hand.
    fn of_epoch(event: &Event, epoch: &str) -> Result<Self, LedgerError> {
        let json = |body: &EventBody| {
            serde_json::to_string(body).map_err(|source| LedgerError::Body { ledger_seq: 0, source })
        };
        let (body, credential) = match credential_of(&event.body) {
            None => (json(&event.body)?, None),
            Some(credential) => {
                let credential = credential.to_owned();
                let mut bare = event.body.clone();
                set_credential(&mut bare, None);
                (json(&bare)?, Some(credential))
            }
        };
        let seq = clamp_seq(event.seq);
        let sum = sum_of(&event.source, epoch, seq, event.time_us, &body);
        Ok(Self { seq, kind: kind_of(&event.body), time_us: event.time_us, body, credential, sum })
    }

    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// False when the ledger has this number of this numbering already.
    pub fn insert(
        &self,
        conn: &Connection,
        ledger_seq: i64,
        numbering: i64,
        received_us: i64,
    ) -> rusqlite::Result<bool> {
        let mut insert = conn.prepare_cached(INSERT)?;
        self.insert_by(&mut insert, conn, (ledger_seq, numbering, received_us))
    }

    /// The same by [`INSERT`], prepared once for a batch.
    fn insert_by(
        &self,
        insert: &mut Statement<'_>,
        conn: &Connection,
        (ledger_seq, numbering, received_us): (i64, i64, i64),
    ) -> rusqlite::Result<bool> {
        let new = insert.execute(params![
            ledger_seq,
            numbering,
            self.seq,
            self.kind,
            self.time_us,
            self.body,
            self.sum,
            received_us
        ])?;
        if new == 1
            && let Some(credential) = &self.credential
        {
            conn.prepare_cached("INSERT INTO credentials (ledger_seq, credential) VALUES (?, ?)")?
                .execute(params![ledger_seq, credential])?;
        }
        Ok(new == 1)
    }

    /// Is the event that has this number the same? What was let go (a body by retention, a credential by its owner's
    /// wish) is not compared and does not come back.
    fn is_that_of(&self, tx: &Transaction<'_>, numbering: i64) -> rusqlite::Result<(i64, bool)> {
        tx.prepare_cached(
            "SELECT e.ledger_seq,
                    e.time_us = ?3 AND e.kind = ?4 AND coalesce(e.body = ?5, 1)
                      AND coalesce(c.credential = ?6, 1)
             FROM events e LEFT JOIN credentials c USING (ledger_seq)
             WHERE e.numbering = ?1 AND e.source_seq = ?2",
        )?
        .query_row(params![numbering, self.seq, self.time_us, self.kind, self.body, self.credential], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
    }
}

/// What a shopper entered with, where an event says so.
pub(super) fn credential_of(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::GatePassed(e) => e.credential.as_deref(),
        EventBody::VisitOpened(e) => e.credential.as_deref(),
        EventBody::VisitClosed(e) => e.credential.as_deref(),
        _ => None,
    }
}

pub(super) fn set_credential(body: &mut EventBody, credential: Option<String>) {
    match body {
        EventBody::GatePassed(e) => e.credential = credential,
        EventBody::VisitOpened(e) => e.credential = credential,
        EventBody::VisitClosed(e) => e.credential = credential,
        _ => {}
    }
}

/// CRC-32 over everything that an event says and is.
pub(super) fn sum_of(source: &str, epoch: &str, seq: i64, time_us: i64, body: &str) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    for text in [source, epoch] {
        sum.update(text.as_bytes());
        sum.update(&[0]);
    }
    sum.update(&seq.to_le_bytes());
    sum.update(&time_us.to_le_bytes());
    sum.update(body.as_bytes());
    i64::from(sum.finalize())
}

/// A numbering while a batch is being stored: read once, written once.
struct Numbering {
    numbering: i64,
    /// Text of its epoch, of which every event's sum is made.
    epoch: String,
    contiguous: i64,
    highest: i64,
    events: i64,
    last_time_us: i64,
    changed: bool,
}

impl Numbering {
    fn find_or_begin(tx: &Transaction<'_>, source: &str, epoch: Uuid) -> rusqlite::Result<Self> {
        let epoch = epoch.to_string();
        let mut find = tx.prepare_cached(
            "SELECT numbering, contiguous_seq, highest_seq, events, last_time_us FROM numberings
             WHERE source = ? AND epoch = ?",
        )?;
        let mut find = || {
            find.query_row(params![source, epoch], |r| {
                Ok(Self {
                    numbering: r.get(0)?,
                    epoch: epoch.clone(),
                    contiguous: r.get(1)?,
                    highest: r.get(2)?,
                    events: r.get(3)?,
                    last_time_us: r.get(4)?,
                    changed: false,
                })
            })
            .optional()
        };
        if let Some(known) = find()? {
            return Ok(known);
        }
        tx.execute(
            "INSERT INTO numberings (source, epoch, contiguous_seq, highest_seq, events, last_time_us)
             VALUES (?, ?, 0, 0, 0, 0)",
            params![source, epoch],
        )?;
        find()?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    fn count(&mut self, seq: i64, time_us: i64) {
        if seq == self.contiguous + 1 {
            self.contiguous = seq;
        }
        self.highest = self.highest.max(seq);
        self.last_time_us = if self.events == 0 { time_us } else { self.last_time_us.max(time_us) };
        self.events += 1;
        self.changed = true;
    }

    /// Moves the complete part on as far as events and losses go.
    fn complete(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut there = conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE numbering = ? AND source_seq = ?)")?;
        let mut lost = conn.prepare_cached(
            "SELECT max(to_seq) FROM losses WHERE numbering = ?1 AND from_seq <= ?2 AND to_seq >= ?2",
        )?;
        let before = self.contiguous;
        loop {
            let next = self.contiguous.saturating_add(1);
            if next <= self.highest && there.query_row(params![self.numbering, next], |r| r.get(0))? {
                self.contiguous = next;
                continue;
            }
            match lost.query_row(params![self.numbering, next], |r| r.get::<_, Option<i64>>(0))? {
                Some(to) if to > self.contiguous => self.contiguous = to,
                _ => break,
            }
        }
        self.highest = self.highest.max(self.contiguous);
        self.changed |= before != self.contiguous;
        Ok(())
    }

    fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        if self.changed {
            conn.prepare_cached(
                "UPDATE numberings SET contiguous_seq = ?2, highest_seq = ?3, events = ?4, last_time_us = ?5
                 WHERE numbering = ?1",
            )?
            .execute(params![
                self.numbering,
                self.contiguous,
                self.highest,
                self.events,
                self.last_time_us
            ])?;
        }
        Ok(())
    }
}

/// Stores a batch within the caller's transaction. Nobody on the bus may speak in the ledger's own name.
pub(super) fn store_batch(
    tx: &Transaction<'_>,
    batch: &[Event],
    received_us: i64,
    from_bus: bool,
) -> Result<Appended, LedgerError> {
    let mut next = last_seq(tx)? + 1;
    let mut out = Appended::default();
    let mut insert = tx.prepare_cached(INSERT).doing("storing an event")?;
    // Few sources speak at once, so a list is quicker than a map whose keys must be made for each event.
    let mut numberings: Vec<(&str, Uuid, Numbering)> = Vec::new();
    for (index, event) in batch.iter().enumerate() {
        if from_bus && event.source == super::OWN_SOURCE {
            let reason = "only the ledger itself speaks as `ledger`";
            out.refused.push(Refusal { id: EventId::of(event), reason });
            continue;
        }
        let refuse = |reason| Refusal { id: EventId::of(event), reason };
        if let Some(reason) = unnumberable(event) {
            out.refused.push(refuse(reason));
            continue;
        }
        let at = match numberings.iter().position(|(s, e, _)| *e == event.epoch && *s == event.source) {
            Some(at) => at,
            None => {
                if linefree_domain::ids::CameraId::new(&event.source).is_err() {
                    out.refused.push(refuse("the source's name is no id"));
                    continue;
                }
                let begun =
                    Numbering::find_or_begin(tx, &event.source, event.epoch).doing("finding a source")?;
                numberings.push((&event.source, event.epoch, begun));
                numberings.len() - 1
            }
        };
        let numbering = &mut numberings[at].2;
        let stored = Stored::of_epoch(event, &numbering.epoch)?;
        let place = (next, numbering.numbering, received_us);
        if stored.insert_by(&mut insert, tx, place).doing("storing an event")? {
            numbering.count(stored.seq, stored.time_us);
            out.stored.push((next.cast_unsigned(), index));
            next += 1;
            continue;
        }
        match stored.is_that_of(tx, numbering.numbering).doing("looking an event up")? {
            (_, true) => out.duplicates += 1,
            (there, false) => {
                note_conflict(tx, there, &stored, received_us)?;
                out.conflicts.push(EventId::of(event));
            }
        }
    }
    let mut complete = BTreeMap::new();
    for (source, epoch, mut numbering) in numberings {
        let finish = |n: &mut Numbering| {
            // Without a hole there is nothing to look for; losses move the end themselves when they are noted.
            if n.contiguous < n.highest {
                n.complete(tx)?;
            }
            n.write(tx)
        };
        finish(&mut numbering).doing("finding what is complete")?;
        complete.insert((source.to_owned(), epoch), numbering.contiguous.cast_unsigned());
    }
    out.complete = complete;
    Ok(out)
}

/// Notes that numbers will never come; returns up to where the numbering is complete now.
pub(super) fn note_loss(
    tx: &Transaction<'_>,
    source: &str,
    epoch: Uuid,
    from_seq: u64,
    to_seq: u64,
    now_us: i64,
) -> Result<u64, LedgerError> {
    let note = || -> rusqlite::Result<i64> {
        let mut numbering = Numbering::find_or_begin(tx, source, epoch)?;
        tx.execute(
            "INSERT INTO losses (numbering, from_seq, to_seq, noted_us) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET to_seq = max(to_seq, excluded.to_seq)",
            params![numbering.numbering, clamp_seq(from_seq), clamp_seq(to_seq), now_us],
        )?;
        numbering.complete(tx)?;
        numbering.write(tx)?;
        Ok(numbering.contiguous)
    };
    note().map(i64::cast_unsigned).doing("noting a loss")
}

/// Counts every numbering anew from the events and losses.
pub(super) fn recount(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    let count = || -> rusqlite::Result<()> {
        tx.execute_batch(
            "UPDATE numberings SET contiguous_seq = 0, events = 0, highest_seq = 0, last_time_us = 0;
             UPDATE numberings SET highest_seq = c.highest, events = c.events, last_time_us = c.last_us
             FROM (SELECT numbering, max(source_seq) AS highest, count(*) AS events, max(time_us) AS last_us
                   FROM events GROUP BY numbering) c
             WHERE c.numbering = numberings.numbering;",
        )?;
        let mut all = tx
            .prepare("SELECT numbering, contiguous_seq, highest_seq, events, last_time_us FROM numberings")?;
        let all: rusqlite::Result<Vec<Numbering>> = all
            .query_map([], |r| {
                Ok(Numbering {
                    numbering: r.get(0)?,
                    // Nothing is stored here.
                    epoch: String::new(),
                    contiguous: r.get(1)?,
                    highest: r.get(2)?,
                    events: r.get(3)?,
                    last_time_us: r.get(4)?,
                    changed: true,
                })
            })?
            .collect();
        for mut numbering in all? {
            numbering.complete(tx)?;
            numbering.write(tx)?;
        }
        Ok(())
    };
    count().doing("counting the sources anew")
}

pub(super) fn last_seq(conn: &Connection) -> Result<i64, LedgerError> {
    conn.prepare_cached("SELECT coalesce(max(ledger_seq), 0) FROM events")
        .and_then(|mut s| s.query_row([], |r| r.get(0)))
        .doing("reading the last number")
}

/// Why an event cannot be numbered, if so. What its body says is not judged here.
fn unnumberable(event: &Event) -> Option<&'static str> {
    if event.seq == 0 {
        return Some("numbers start at 1");
    }
    i64::try_from(event.seq).err().map(|_| "the number is beyond 63 bits")
}

fn note_conflict(
    tx: &Transaction<'_>,
    ledger_seq: i64,
    stored: &Stored,
    now_us: i64,
) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO conflicts (ledger_seq, times, last_us, time_us, body) VALUES (?, 1, ?, ?, ?)
         ON CONFLICT DO UPDATE SET times = times + 1, last_us = excluded.last_us, time_us = excluded.time_us,
                                   body = excluded.body",
        params![ledger_seq, now_us, stored.time_us, stored.body],
    )
    .doing("noting a conflict")?;
    Ok(())
}

/// The columns that [`event_of`] reads, from `events e` with its numbering `n` and credential `c`.
pub(super) const EVENT_COLUMNS: &str = "e.ledger_seq, n.source, n.epoch, e.source_seq, e.time_us, e.body, c.credential, e.received_us, e.kind, e.sum";

/// Where they come from.
pub(super) const EVENT_TABLES: &str =
    "events e JOIN numberings n USING (numbering) LEFT JOIN credentials c USING (ledger_seq)";

/// A row of [`EVENT_COLUMNS`] as an event; `None` when its body was let go.
pub(super) fn event_of(row: &rusqlite::Row<'_>) -> Result<Option<Event>, LedgerError> {
    let doing = "reading an event";
    let Some(body) = row.get_ref(5).and_then(|v| Ok(v.as_str_or_null()?)).doing(doing)? else {
        return Ok(None);
    };
    let ledger_seq: i64 = row.get(0).doing(doing)?;
    let mut body: EventBody =
        serde_json::from_str(body).map_err(|source| LedgerError::Body { ledger_seq, source })?;
    if let Some(credential) = row.get::<_, Option<String>>(6).doing(doing)? {
        set_credential(&mut body, Some(credential));
    }
    let epoch = row.get_ref(2).and_then(|v| Ok(v.as_str()?)).doing(doing)?;
    let epoch = Uuid::parse_str(epoch).map_err(|e| LedgerError::NoLedger(e.to_string()))?;
    Ok(Some(Event {
        source: row.get(1).doing(doing)?,
        epoch,
        seq: row.get::<_, i64>(3).doing(doing)?.cast_unsigned(),
        time_us: row.get(4).doing(doing)?,
        body,
    }))
}

/// The ledger's own id and its store.
pub(super) fn identity(conn: &Connection) -> Result<(Uuid, String), LedgerError> {
    let found: Option<(String, String)> = conn
        .prepare_cached("SELECT ledger_id, store FROM ledger")
        .and_then(|mut s| s.query_row([], |r| Ok((r.get(0)?, r.get(1)?))).optional())
        .doing("reading its identity")?;
    let (id, store) = found.ok_or_else(|| LedgerError::NoLedger("it has no identity".into()))?;
    Ok((Uuid::parse_str(&id).map_err(|e| LedgerError::NoLedger(e.to_string()))?, store))
}
