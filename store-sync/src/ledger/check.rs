//! Is the ledger whole? Numbers without gaps, nothing that points nowhere, sums that add up, projections that follow
//! from the events bit by bit.

use std::fmt;

use rusqlite::Connection;

use super::projector::{PROJECTIONS, Row, TABLES, dump, replay};
use super::store::Stored;
use super::{Doing, LedgerError, LedgerReader, clamp_seq};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// May be normal, for example while a source is still sending; for a person to judge.
    Notice,
    /// The ledger contradicts itself.
    Error,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Which of the questions found it: `numbers`, `gaps`, `orphans`, `sums`, `projections`, `file`, `oddities`.
    pub question: &'static str,
    /// For people.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Notice => "notice",
            Severity::Error => "ERROR",
        };
        write!(f, "{word} ({}): {}", self.question, self.text)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many events were read.
    pub events: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Does the ledger contradict itself anywhere?
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// Questions whose every row is a finding; each row is one text.
const QUESTIONS: &[(Severity, &str, &str)] = &[
    (
        Severity::Error,
        "numbers",
        "SELECT 'after event ' || before || ' comes event ' || ledger_seq || ': ' || (ledger_seq - before - 1) ||
                ' are missing'
         FROM (SELECT ledger_seq, lag(ledger_seq, 1, 0) OVER (ORDER BY ledger_seq) AS before FROM events)
         WHERE ledger_seq <> before + 1",
    ),
    (
        Severity::Error,
        "numbers",
        "SELECT 'the cloud has acknowledged ' || acknowledged_seq || ', beyond the last event'
         FROM outbox WHERE acknowledged_seq > (SELECT coalesce(max(ledger_seq), 0) FROM events)",
    ),
    (
        Severity::Notice,
        "gaps",
        "SELECT source || ' (epoch ' || epoch || ') lacks ' || (before + 1) || ' to ' || (source_seq - 1)
         FROM (SELECT numbering, source_seq,
                      lag(source_seq, 1, 0) OVER (PARTITION BY numbering ORDER BY source_seq) AS before
               FROM events) JOIN numberings USING (numbering)
         WHERE source_seq <> before + 1",
    ),
    (
        Severity::Notice,
        "gaps",
        "SELECT source || ' (epoch ' || epoch || ') said that it can no longer send ' || from_seq || ' to ' || to_seq
         FROM losses l JOIN numberings USING (numbering)
         WHERE (SELECT count(*) FROM events e WHERE e.numbering = l.numbering
                  AND e.source_seq BETWEEN l.from_seq AND l.to_seq) < to_seq - from_seq + 1",
    ),
    (
        Severity::Error,
        "numbers",
        "SELECT source || ' (epoch ' || epoch || ') is said to have ' || n.events || ' events up to ' || highest_seq ||
                ', it has ' || coalesce(c.events, 0) || ' up to ' || coalesce(c.highest, 0)
         FROM numberings n LEFT JOIN (SELECT numbering, count(*) AS events, max(source_seq) AS highest
                                      FROM events GROUP BY numbering) c USING (numbering)
         WHERE n.events <> coalesce(c.events, 0) OR highest_seq < coalesce(c.highest, 0)",
    ),
    (
        Severity::Error,
        "numbers",
        "SELECT source || ' (epoch ' || epoch || ') was acknowledged up to ' || contiguous_seq ||
                ', but not everything before that is there'
         FROM numberings n
         WHERE contiguous_seq > (SELECT count(*) FROM events e
                                 WHERE e.numbering = n.numbering AND e.source_seq <= n.contiguous_seq)
             + coalesce((SELECT sum(min(l.to_seq, n.contiguous_seq) - l.from_seq + 1
                              - (SELECT count(*) FROM events e WHERE e.numbering = l.numbering
                                   AND e.source_seq BETWEEN l.from_seq AND min(l.to_seq, n.contiguous_seq)))
                         FROM losses l WHERE l.numbering = n.numbering AND l.from_seq <= n.contiguous_seq), 0)",
    ),
    (
        Severity::Error,
        "orphans",
        "SELECT 'a credential belongs to event ' || ledger_seq || ', which has no body any more'
         FROM credentials JOIN events USING (ledger_seq) WHERE body IS NULL",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'visit ' || visit || ' was refunded ' || refunded_minor || ', but paid ' ||
                (charge_minor + answered_minor)
         FROM payments WHERE refunded_minor > charge_minor + answered_minor",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'refund ' || f.refund || ' says ' || f.amount_minor || ', its lines say ' || coalesce(l.amount, 0)
         FROM refunds f LEFT JOIN (SELECT refund, sum(amount_minor) AS amount FROM refund_lines GROUP BY refund) l
           USING (refund)
         WHERE f.amount_minor <> coalesce(l.amount, 0)",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT 'refund ' || refund || ' is for visit ' || visit || ', which has no receipt'
         FROM refunds WHERE visit NOT IN (SELECT visit FROM receipts)",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT 'task ' || task || ' is for order ' || order_id || ', which the ledger does not have'
         FROM tasks WHERE order_id NOT IN (SELECT order_id FROM orders)",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT 'the receipt of visit ' || visit || ' has no visit that was opened'
         FROM receipts WHERE visit NOT IN (SELECT visit FROM visits)",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT 'the cart of visit ' || visit || ' has no visit that was opened'
         FROM carts WHERE visit NOT IN (SELECT visit FROM visits) AND visit NOT IN (SELECT visit FROM receipts)",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT 'an explanation speaks of shelf event ' || shelf_source || '/' || shelf_epoch || '/' || shelf_seq ||
                ', which the ledger does not have'
         FROM attributions a WHERE NOT EXISTS (SELECT 1 FROM shelf_events s
           WHERE (s.source, s.epoch, s.seq) = (a.shelf_source, a.shelf_epoch, a.shelf_seq))",
    ),
    (
        Severity::Notice,
        "orphans",
        "SELECT DISTINCT 'an explanation speaks of visit ' || visit || ', which was never opened'
         FROM attribution_candidates WHERE visit IS NOT NULL AND visit NOT IN (SELECT visit FROM visits)",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'the receipt of visit ' || r.visit || ' says ' || r.charge_minor || ' + ' || r.in_review_minor ||
                ' in review, its lines say ' || coalesce(l.charge, 0) || ' + ' || coalesce(l.review, 0)
         FROM receipts r LEFT JOIN (
           SELECT visit, sum(iif(review, 0, quantity * unit_price_minor)) AS charge,
                  sum(iif(review, quantity * unit_price_minor, 0)) AS review
           FROM receipt_lines GROUP BY visit) l USING (visit)
         WHERE r.charge_minor <> coalesce(l.charge, 0) OR r.in_review_minor <> coalesce(l.review, 0)",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'the receipt of visit ' || r.visit || ' is priced at ' || r.charge_minor || ' + ' || r.in_review_minor ||
                ' in review, its lines come to ' || coalesce(l.charge, 0) || ' + ' || coalesce(l.review, 0)
         FROM priced_receipts r LEFT JOIN (
           SELECT visit, sum(iif(review, 0, amount_minor)) AS charge, sum(iif(review, amount_minor, 0)) AS review
           FROM priced_lines GROUP BY visit) l USING (visit)
         WHERE (r.rules_version IS NOT NULL OR r.prices_version IS NOT NULL)
           AND (r.charge_minor <> coalesce(l.charge, 0) OR r.in_review_minor <> coalesce(l.review, 0))",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'the price of ' || sku || ' for visit ' || visit || ' is ' || amount_minor || ', its steps come to ' ||
                (SELECT coalesce(sum(value ->> '$.change_minor'), 0) FROM json_each(steps))
         FROM receipt_price_lines
         WHERE amount_minor <> (SELECT coalesce(sum(value ->> '$.change_minor'), 0) FROM json_each(steps))",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'shelf event ' || s.source || '/' || s.epoch || '/' || s.seq || ' says ' || s.delta_g ||
                ' g, its plates say ' || coalesce(p.sum_g, 0) || ' g'
         FROM shelf_events s LEFT JOIN (
           SELECT source, epoch, seq, sum(delta_g) AS sum_g FROM shelf_event_plates GROUP BY source, epoch, seq
         ) p USING (source, epoch, seq)
         WHERE abs(s.delta_g - coalesce(p.sum_g, 0)) > 0.01",
    ),
    (
        Severity::Notice,
        "oddities",
        "SELECT source || '/' || epoch || '/' || seq || ' is stored but changes nothing: ' || reason FROM oddities",
    ),
    (
        Severity::Notice,
        "oddities",
        "SELECT source || '/' || epoch || '/' || source_seq || ' came ' || times ||
                ' more time(s) with another content; the first is kept'
         FROM conflicts JOIN events USING (ledger_seq) JOIN numberings USING (numbering)",
    ),
];

/// More findings of one question than this are counted, not listed.
const LISTED: usize = 20;

impl LedgerReader {
    /// Checks the whole ledger. Reads every event twice; the writer may go on meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`] when the check itself cannot be done.
    pub fn check(&self) -> Result<CheckReport, LedgerError> {
        // One snapshot for all questions, whatever is appended meanwhile.
        self.conn.execute_batch("BEGIN").doing("beginning the check")?;
        let report = self.check_snapshot();
        self.conn.execute_batch("COMMIT").doing("ending the check")?;
        report
    }

    fn check_snapshot(&self) -> Result<CheckReport, LedgerError> {
        let mut findings = Vec::new();
        // The projections' snapshot is taken first, so that the events are never behind it.
        let projected = self.projected_seq()?;
        for file in ["main", "views"] {
            for line in self.texts(&format!("PRAGMA {file}.quick_check"))? {
                if line != "ok" {
                    findings.push(Finding { severity: Severity::Error, question: "file", text: line });
                }
            }
        }
        for (severity, question, sql) in QUESTIONS {
            let texts = self.texts(sql)?;
            let more = texts.len().saturating_sub(LISTED);
            let finding = |text| Finding { severity: *severity, question, text };
            findings.extend(texts.into_iter().take(LISTED).map(finding));
            if more > 0 {
                findings.push(finding(format!("... and {more} more of this kind")));
            }
        }
        let memory = Connection::open_in_memory().doing("making projections to compare with")?;
        memory.pragma_update(None, "foreign_keys", true).doing("making projections to compare with")?;
        memory.execute_batch(PROJECTIONS).doing("making projections to compare with")?;
        memory.execute_batch("BEGIN").doing("making projections to compare with")?;
        let mut changed = Vec::new();
        let (events, _) = replay(
            &self.conn,
            &memory,
            clamp_seq(projected),
            |_, _| (),
            |page| {
                changed.extend(page.iter().filter(|row| !sum_holds(row)).map(|row| row.ledger_seq));
                Ok(())
            },
        )?;
        for seq in changed.iter().take(LISTED) {
            findings.push(Finding {
                severity: Severity::Error,
                question: "sums",
                text: format!(
                    "event {seq} is not what was stored: the disk or somebody changed it. Put a backup back, and \
                     check the disk"
                ),
            });
        }
        for table in TABLES {
            if dump(&self.conn, table)? != dump(&memory, table)? {
                findings.push(Finding {
                    severity: Severity::Error,
                    question: "projections",
                    text: format!(
                        "{table} does not follow from the events: run `store-sync rebuild` and report this"
                    ),
                });
            }
        }
        Ok(CheckReport { events, findings })
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>, LedgerError> {
        let read = || self.conn.prepare(sql)?.query_map([], |r| r.get(0))?.collect();
        let rows: rusqlite::Result<Vec<String>> = read();
        rows.doing("checking")
    }
}

/// Is an event what its sum was made of? One whose body was let go cannot be checked.
fn sum_holds(row: &Row) -> bool {
    let Some(event) = &row.event else { return true };
    Stored::of(event).is_ok_and(|stored| stored.sum() == row.sum)
}
