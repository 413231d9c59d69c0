//! Questions to the ledger, over a connection of their own: readers never wait for the writer, nor it for them (WAL).

use std::cell::RefCell;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use uuid::Uuid;

use super::projector::file_of;
use super::read_prices::json;
use super::rows::{
    CandidateRow, CartRow, EvidenceRow, FaultRow, LineRow, OutboxEvent, ReceiptRow, SourceRow, StoredEvent,
    Totals, VisitRow,
};
use super::store::{EVENT_COLUMNS, EVENT_TABLES, event_of, identity, last_seq};
use super::unit_prices::PriceLists;
use super::{Doing, EventId, LedgerError, clamp_seq, connect};

/// Lines of receipts.
const PRICED: &str = "SELECT sku, name, quantity, unit_price_minor, probability, review, amount_minor, steps FROM priced_lines";

/// Lines of carts: what they come to is known when the visit ends.
const IN_CARTS: &str = "SELECT sku, name, quantity, unit_price_minor, probability, review,
    quantity * unit_price_minor, '[]' FROM cart_lines";

/// The ledger, open for reading.
#[derive(Debug)]
pub struct LedgerReader {
    pub(super) conn: Connection,
    unit_prices: RefCell<PriceLists>,
}

impl LedgerReader {
    /// Opens a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`]: there is none, or SQLite fails.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::NoLedger(format!("{} does not exist", path.display())));
        }
        let conn = connect(path)?;
        let views = file_of(path);
        if !views.is_file() {
            let told = format!("{} is missing: run `store-sync rebuild`", views.display());
            return Err(LedgerError::NoLedger(told));
        }
        conn.execute("ATTACH ? AS views", [views.display().to_string()]).doing("opening the projections")?;
        conn.pragma_update(None, "query_only", true).doing("opening it for reading")?;
        Ok(Self { conn, unit_prices: RefCell::default() })
    }

    /// Everything up to here is in the projections, which is what most questions are answered from.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn projected_seq(&self) -> Result<u64, LedgerError> {
        self.conn
            .prepare_cached("SELECT ledger_seq FROM projected")
            .and_then(|mut s| s.query_row([], |r| r.get::<_, i64>(0)))
            .doing("reading what is projected")
            .map(i64::cast_unsigned)
    }

    /// The last event of the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_seq(&self) -> Result<u64, LedgerError> {
        last_seq(&self.conn).map(i64::cast_unsigned)
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let read = || self.conn.prepare_cached(sql)?.query_map(params, row)?.collect();
        let rows: rusqlite::Result<Vec<T>> = read();
        rows.doing("answering a question")
    }

    /// The whole text of the command of a kind that is in force, if any.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn in_force(&self, kind: &str) -> Result<Option<String>, LedgerError> {
        let found = self.all(
            "SELECT c.told FROM in_force i JOIN commands c USING (command_seq) WHERE i.kind = ?",
            [kind],
            |r| r.get(0),
        )?;
        Ok(found.into_iter().next())
    }

    /// The ledger's id and its store.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn identity(&self) -> Result<(Uuid, String), LedgerError> {
        identity(&self.conn)
    }

    /// Up to `limit` events after a ledger number, in order; those whose body was let go are left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn events_after(&self, after: u64, limit: u32) -> Result<Vec<StoredEvent>, LedgerError> {
        let whole = |event| match event {
            OutboxEvent::Whole(stored) => Some(stored),
            OutboxEvent::LetGo { .. } => None,
        };
        Ok(self.outbox_events(after, u64::MAX, limit)?.into_iter().filter_map(whole).collect())
    }

    /// Up to `limit` places of the ledger after a number and up to another, in order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn outbox_events(&self, after: u64, until: u64, limit: u32) -> Result<Vec<OutboxEvent>, LedgerError> {
        let doing = "reading the events";
        let mut statement = self
            .conn
            .prepare_cached(&format!(
                "SELECT {EVENT_COLUMNS} FROM {EVENT_TABLES} WHERE e.ledger_seq > ? AND e.ledger_seq <= ?
                 ORDER BY e.ledger_seq LIMIT ?"
            ))
            .doing(doing)?;
        let mut rows = statement.query(params![clamp_seq(after), clamp_seq(until), limit]).doing(doing)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let ledger_seq = row.get::<_, i64>(0).doing(doing)?.cast_unsigned();
            let received_us = row.get(7).doing(doing)?;
            out.push(match event_of(row)? {
                Some(event) => OutboxEvent::Whole(StoredEvent { ledger_seq, received_us, event }),
                None => {
                    let epoch: String = row.get(2).doing(doing)?;
                    OutboxEvent::LetGo {
                        ledger_seq,
                        id: EventId {
                            source: row.get(1).doing(doing)?,
                            epoch: Uuid::parse_str(&epoch)
                                .map_err(|e| LedgerError::NoLedger(e.to_string()))?,
                            seq: row.get::<_, i64>(3).doing(doing)?.cast_unsigned(),
                        },
                        kind: row.get(8).doing(doing)?,
                        time_us: row.get(4).doing(doing)?,
                        received_us,
                    }
                }
            });
        }
        Ok(out)
    }

    /// The visits, youngest first; those without a beginning first of all.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn visits(&self, limit: u32) -> Result<Vec<VisitRow>, LedgerError> {
        self.all(
            "SELECT k.visit, coalesce(v.credential, r.credential), coalesce(v.party, 1),
                    coalesce(v.opened_us, r.entered_us), r.left_us
             FROM (SELECT visit FROM visits UNION SELECT visit FROM receipts) k
             LEFT JOIN visits v USING (visit) LEFT JOIN receipts r USING (visit)
             ORDER BY 4 DESC NULLS FIRST, 1 LIMIT ?",
            params![limit],
            visit,
        )
    }

    /// What every visit that still lasts holds, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn carts(&self, limit: u32) -> Result<Vec<CartRow>, LedgerError> {
        let mut carts = self.all(
            "SELECT k.visit, v.credential, coalesce(v.party, 1), v.opened_us, NULL, c.changed_us
             FROM (SELECT visit FROM visits UNION SELECT visit FROM carts) k
             LEFT JOIN visits v USING (visit) LEFT JOIN carts c USING (visit)
             WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.visit = k.visit)
             ORDER BY 4, 1 LIMIT ?",
            params![limit],
            |r| Ok(CartRow { visit: visit(r)?, changed_us: r.get(5)?, lines: Vec::new() }),
        )?;
        for cart in &mut carts {
            cart.lines = self.cart_lines(&cart.visit)?;
        }
        Ok(carts)
    }

    /// What a visit that still lasts holds.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn cart(&self, visit: &str) -> Result<Option<CartRow>, LedgerError> {
        let found = self.all(
            "SELECT v.visit, v.credential, v.party, v.opened_us, NULL, c.changed_us
             FROM visits v LEFT JOIN carts c USING (visit) WHERE v.visit = ?",
            params![visit],
            |r| Ok(CartRow { visit: self::visit(r)?, changed_us: r.get(5)?, lines: Vec::new() }),
        )?;
        let Some(mut cart) = found.into_iter().next() else { return Ok(None) };
        cart.lines = self.cart_lines(&cart.visit)?;
        Ok(Some(cart))
    }

    /// At the prices that the visit will be priced by.
    fn cart_lines(&self, visit: &VisitRow) -> Result<Vec<LineRow>, LedgerError> {
        let mut lines = self.lines(IN_CARTS, &visit.visit)?;
        let Some(opened_us) = visit.opened_us else { return Ok(lines) };
        if let Some(list) = self.unit_prices.borrow_mut().at(&self.conn, opened_us)? {
            for line in &mut lines {
                if let Some(minor) = list.minor.get(&line.sku) {
                    line.unit_price_minor = *minor;
                    line.amount_minor = minor.saturating_mul(i64::from(line.quantity));
                }
            }
        }
        Ok(lines)
    }

    /// The youngest receipts, youngest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn receipts(&self, limit: u32) -> Result<Vec<ReceiptRow>, LedgerError> {
        let mut receipts = self.all(
            "SELECT visit, credential, entered_us, left_us, currency, charge_minor, in_review_minor, rules_version,
                    prices_version
             FROM priced_receipts ORDER BY left_us DESC, visit LIMIT ?",
            params![limit],
            receipt,
        )?;
        for receipt in &mut receipts {
            receipt.lines = self.lines(PRICED, &receipt.visit)?;
        }
        Ok(receipts)
    }

    /// One visit's receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn receipt(&self, visit: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        let found = self
            .all(
                "SELECT visit, credential, entered_us, left_us, currency, charge_minor, in_review_minor,
                        rules_version, prices_version FROM priced_receipts WHERE visit = ?",
                params![visit],
                receipt,
            )?
            .pop();
        let Some(mut receipt) = found else { return Ok(None) };
        receipt.lines = self.lines(PRICED, visit)?;
        Ok(Some(receipt))
    }

    fn lines(&self, from: &str, visit: &str) -> Result<Vec<LineRow>, LedgerError> {
        self.all(&format!("{from} WHERE visit = ? ORDER BY sku"), params![visit], |r| {
            Ok(LineRow {
                sku: r.get(0)?,
                name: r.get(1)?,
                quantity: r.get(2)?,
                unit_price_minor: r.get(3)?,
                probability: r.get(4)?,
                review: r.get(5)?,
                amount_minor: r.get(6)?,
                steps: json(r, 7)?,
            })
        })
    }

    /// Every shelf event that some explanation gives to a visit, in time order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn evidence(&self, visit: &str) -> Result<Vec<EvidenceRow>, LedgerError> {
        let mut rows = self.all(
            "SELECT DISTINCT c.shelf_source, c.shelf_epoch, c.shelf_seq, s.start_us, s.end_us, s.delta_g, s.sd_g
             FROM attribution_candidates c
             LEFT JOIN shelf_events s
               ON (s.source, s.epoch, s.seq) = (c.shelf_source, c.shelf_epoch, c.shelf_seq)
             WHERE c.visit = ? ORDER BY s.start_us NULLS LAST, 1, 2, 3",
            params![visit],
            |r| {
                let start: Option<i64> = r.get(3)?;
                let shelf = match start {
                    Some(start) => Some((start, r.get(4)?, r.get(5)?, r.get(6)?)),
                    None => None,
                };
                Ok(EvidenceRow {
                    source: r.get(0)?,
                    epoch: r.get(1)?,
                    seq: r.get::<_, i64>(2)?.cast_unsigned(),
                    shelf,
                    plates: Vec::new(),
                    candidates: Vec::new(),
                })
            },
        )?;
        for row in &mut rows {
            let key = params![row.source, row.epoch, clamp_seq(row.seq)];
            row.plates = self.all(
                "SELECT plate, delta_g FROM shelf_event_plates WHERE source = ? AND epoch = ? AND seq = ?
                 ORDER BY plate",
                key,
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?;
            row.candidates = self.all(
                "SELECT visit, sku, quantity, probability, robot FROM attribution_candidates
                 WHERE shelf_source = ? AND shelf_epoch = ? AND shelf_seq = ? ORDER BY rank",
                key,
                |r| {
                    Ok(CandidateRow {
                        visit: r.get(0)?,
                        sku: r.get(1)?,
                        quantity: r.get(2)?,
                        probability: r.get(3)?,
                        robot: r.get(4)?,
                    })
                },
            )?;
        }
        Ok(rows)
    }

    /// The faults, those that last first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn faults(&self, limit: u32) -> Result<Vec<FaultRow>, LedgerError> {
        self.all(
            "SELECT device, fault, message, cleared, time_us, by_source FROM device_faults
             ORDER BY cleared, time_us DESC, device, fault LIMIT ?",
            params![limit],
            |r| {
                Ok(FaultRow {
                    device: r.get(0)?,
                    fault: r.get(1)?,
                    message: r.get(2)?,
                    cleared: r.get(3)?,
                    time_us: r.get(4)?,
                    reported_by: r.get(5)?,
                })
            },
        )
    }

    /// Every numbering of every source.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn sources(&self) -> Result<Vec<SourceRow>, LedgerError> {
        self.all(
            "SELECT source, epoch, contiguous_seq, highest_seq, last_time_us FROM numberings ORDER BY source, epoch",
            [],
            |r| {
                Ok(SourceRow {
                    source: r.get(0)?,
                    epoch: r.get(1)?,
                    contiguous_seq: r.get::<_, i64>(2)?.cast_unsigned(),
                    highest_seq: r.get::<_, i64>(3)?.cast_unsigned(),
                    last_time_us: r.get(4)?,
                })
            },
        )
    }

    /// Counts over the whole ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn totals(&self) -> Result<Totals, LedgerError> {
        self.conn
            .prepare_cached(
                "SELECT (SELECT coalesce(max(ledger_seq), 0) FROM events),
                        (SELECT acknowledged_seq FROM outbox),
                        (SELECT count(*) FROM visits),
                        (SELECT count(*) FROM receipts),
                        (SELECT count(DISTINCT visit) FROM receipt_lines WHERE review),
                        (SELECT coalesce(sum(times), 0) FROM conflicts),
                        (SELECT count(*) FROM oddities),
                        (SELECT coalesce(sum(to_seq - from_seq + 1), 0) FROM losses)",
            )
            .and_then(|mut s| {
                s.query_row([], |r| {
                    let n = |i: usize| r.get::<_, i64>(i).map(i64::cast_unsigned);
                    Ok(Totals {
                        ledger_seq: n(0)?,
                        acknowledged_seq: n(1)?,
                        visits: n(2)?,
                        receipts: n(3)?,
                        receipts_in_review: n(4)?,
                        conflicts: n(5)?,
                        oddities: n(6)?,
                        lost: n(7)?,
                    })
                })
            })
            .doing("counting")
    }

    /// How far the cloud has the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn acknowledged_seq(&self) -> Result<u64, LedgerError> {
        self.conn
            .query_row("SELECT acknowledged_seq FROM outbox", [], |r| r.get::<_, i64>(0))
            .optional()
            .doing("reading the outbox")
            .map(|seq| seq.unwrap_or(0).cast_unsigned())
    }
}

fn visit(r: &Row<'_>) -> rusqlite::Result<VisitRow> {
    Ok(VisitRow {
        visit: r.get(0)?,
        credential: r.get(1)?,
        party: r.get(2)?,
        opened_us: r.get(3)?,
        left_us: r.get(4)?,
    })
}

fn receipt(r: &Row<'_>) -> rusqlite::Result<ReceiptRow> {
    Ok(ReceiptRow {
        visit: r.get(0)?,
        credential: r.get(1)?,
        entered_us: r.get(2)?,
        left_us: r.get(3)?,
        currency: r.get(4)?,
        charge_minor: r.get(5)?,
        in_review_minor: r.get(6)?,
        rules_version: r.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
        prices_version: r.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
        lines: Vec::new(),
    })
}
