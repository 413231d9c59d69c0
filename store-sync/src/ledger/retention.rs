//! Retention by kind: bodies of old evidence are let go, money and numbers stay.
//!
//! What may go is what only explains: shelf events, their explanations, carts, gate passages, faults. Visits, receipts,
//! answers, refunds, orders and the rest are kept. The row of an event stays, with its identity, kind and time, so that
//! numbers have no hole and a late duplicate is recognised.
//!
//! An event goes when it is older than its kind's limit, the cloud has it, it is projected, and every earlier event of
//! its source and kind goes too: so the projections without it are those that a rebuild makes. Evidence since the oldest
//! count of stock is kept, because stock follows from it.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Doing, LedgerError, connect, projector};

/// Kinds whose bodies may be let go.
pub const EVIDENCE: [&str; 5] =
    ["shelf_changed", "item_attributed", "cart_changed", "gate_passed", "device_fault"];

/// Events let go in one transaction: the writer waits no longer than for these.
const CHUNK: usize = 2000;

/// How many days each kind is kept; kinds that are not named are kept for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepDays(BTreeMap<String, u32>);

impl KeepDays {
    /// Checks the kinds.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] names a kind that must be kept.
    pub fn new(days: BTreeMap<String, u32>) -> Result<Self, LedgerError> {
        match days.keys().find(|kind| !EVIDENCE.contains(&kind.as_str())) {
            None => Ok(Self(days)),
            Some(kind) => Err(LedgerError::Refused(format!(
                "events of kind {kind:?} are never let go; only these may be: {}",
                EVIDENCE.join(", ")
            ))),
        }
    }
}

/// Lets go of what has been kept long enough; returns how many events lost their body. `also_undelivered` is for stores
/// without a cloud.
///
/// # Errors
/// [`LedgerError`]; what was let go until then stays so, and the next run goes on.
pub fn let_go(
    ledger: &Path,
    keep: &KeepDays,
    now_us: i64,
    also_undelivered: bool,
) -> Result<u64, LedgerError> {
    let doing = "letting go of old events";
    let mut truth = connect(ledger)?;
    let views = connect(&projector::file_of(ledger))?;
    let projected: i64 =
        views.query_row("SELECT ledger_seq FROM projected", [], |r| r.get(0)).doing(doing)?;
    let delivered: i64 =
        truth.query_row("SELECT acknowledged_seq FROM outbox", [], |r| r.get(0)).doing(doing)?;
    let until_seq = if also_undelivered { projected } else { projected.min(delivered) };
    let counted_us: Option<i64> =
        views.query_row("SELECT min(counted_us) FROM stock_counts", [], |r| r.get(0)).doing(doing)?;
    let sources: rusqlite::Result<Vec<String>> = truth
        .prepare("SELECT DISTINCT source FROM numberings ORDER BY source")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect());
    let sources = sources.doing(doing)?;
    let mut total = 0;
    for (kind, days) in &keep.0 {
        let mut before_us = now_us.saturating_sub(i64::from(*days) * 86_400_000_000);
        if matches!(kind.as_str(), "shelf_changed" | "item_attributed") {
            before_us = before_us.min(counted_us.unwrap_or(i64::MAX));
        }
        for source in &sources {
            let bound = first_kept(&truth, source, kind, before_us, until_seq).doing(doing)?;
            loop {
                let gone = let_go_chunk(&mut truth, source, kind, &bound, until_seq).doing(doing)?;
                total += gone as u64;
                if gone < CHUNK {
                    break;
                }
            }
            drop_rows(&views, source, kind, &bound).doing(doing)?;
        }
    }
    drop_oddities(&truth, &views).doing(doing)?;
    Ok(total)
}

/// Epoch and number of the first event of a source and kind that stays; just behind the last one when none does.
type Bound = (String, i64);

fn first_kept(
    truth: &Connection,
    source: &str,
    kind: &str,
    before_us: i64,
    until_seq: i64,
) -> rusqlite::Result<Bound> {
    let found = truth
        .prepare_cached(
            "SELECT n.epoch, e.source_seq FROM numberings n JOIN events e USING (numbering)
             WHERE n.source = ? AND e.kind = ? AND (e.time_us >= ? OR e.ledger_seq > ?)
             ORDER BY n.epoch, e.source_seq LIMIT 1",
        )?
        .query_row(params![source, kind, before_us, until_seq], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    // Nothing stays of what is there now; what arrives meanwhile has a greater number and is not touched.
    let last = truth
        .prepare_cached(
            "SELECT n.epoch, e.source_seq + 1 FROM numberings n JOIN events e USING (numbering)
             WHERE n.source = ? AND e.kind = ? AND e.ledger_seq <= ? ORDER BY n.epoch DESC, e.source_seq DESC LIMIT 1",
        )?
        .query_row(params![source, kind, until_seq], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    Ok(last.unwrap_or_default())
}

fn let_go_chunk(
    truth: &mut Connection,
    source: &str,
    kind: &str,
    bound: &Bound,
    until_seq: i64,
) -> rusqlite::Result<usize> {
    let tx = truth.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seqs: Vec<i64> = tx
        .prepare_cached(
            "SELECT e.ledger_seq FROM numberings n JOIN events e USING (numbering)
             WHERE n.source = ? AND e.kind = ? AND e.body IS NOT NULL AND (n.epoch, e.source_seq) < (?, ?)
               AND e.ledger_seq <= ? LIMIT ?",
        )?
        .query_map(params![source, kind, bound.0, bound.1, until_seq, CHUNK as i64], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for seq in &seqs {
        tx.prepare_cached("UPDATE events SET body = NULL WHERE ledger_seq = ?")?.execute([seq])?;
        tx.prepare_cached("DELETE FROM credentials WHERE ledger_seq = ?")?.execute([seq])?;
    }
    tx.commit()?;
    Ok(seqs.len())
}

fn drop_rows(views: &Connection, source: &str, kind: &str, bound: &Bound) -> rusqlite::Result<()> {
    // Children go with their parents (ON DELETE CASCADE).
    let sql = match kind {
        "shelf_changed" => "DELETE FROM shelf_events WHERE source = ? AND (epoch, seq) < (?, ?)",
        "gate_passed" => "DELETE FROM gate_passages WHERE source = ? AND (epoch, seq) < (?, ?)",
        "cart_changed" => "DELETE FROM carts WHERE by_source = ? AND (by_epoch, by_seq) < (?, ?)",
        "item_attributed" => "DELETE FROM attributions WHERE by_source = ? AND (by_epoch, by_seq) < (?, ?)",
        _ => "DELETE FROM device_faults WHERE by_source = ? AND (by_epoch, by_seq) < (?, ?)",
    };
    views.prepare_cached(sql)?.execute(params![source, bound.0, bound.1])?;
    Ok(())
}

/// Oddities of events that were let go: nobody could look at them any more.
fn drop_oddities(truth: &Connection, views: &Connection) -> rusqlite::Result<()> {
    let all: Vec<(String, String, i64)> = views
        .prepare("SELECT source, epoch, seq FROM oddities")?
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (source, epoch, seq) in all {
        let gone: bool = truth.query_row(
            "SELECT e.body IS NULL FROM numberings n JOIN events e USING (numbering)
             WHERE n.source = ? AND n.epoch = ? AND e.source_seq = ?",
            params![source, epoch, seq],
            |r| r.get(0),
        )?;
        if gone {
            views.execute(
                "DELETE FROM oddities WHERE source = ? AND epoch = ? AND seq = ?",
                params![source, epoch, seq],
            )?;
        }
    }
    Ok(())
}
