//! Is the ledger whole? Numbers without gaps, nothing that points nowhere, sums that add up, projections that follow
//! from the events bit by bit.

use std::fmt;

use rusqlite::Connection;

use super::migrate::PROJECTIONS;
use super::rebuild::{TABLES, dump, replay};
use super::{Doing, LedgerError, LedgerReader};

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
         FROM (SELECT source, epoch, source_seq,
                      lag(source_seq, 1, 0) OVER (PARTITION BY source, epoch ORDER BY source_seq) AS before
               FROM events)
         WHERE source_seq <> before + 1",
    ),
    (
        Severity::Notice,
        "gaps",
        "SELECT source || ' (epoch ' || epoch || ') said that it can no longer send ' || from_seq || ' to ' || to_seq
         FROM losses",
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
        "SELECT 'shelf event ' || s.source || '/' || s.epoch || '/' || s.seq || ' says ' || s.delta_g ||
                ' g, its plates say ' || coalesce(p.sum_g, 0) || ' g'
         FROM shelf_events s LEFT JOIN (
           SELECT source, epoch, seq, sum(delta_g) AS sum_g FROM shelf_event_plates GROUP BY source, epoch, seq
         ) p USING (source, epoch, seq)
         WHERE abs(s.delta_g - coalesce(p.sum_g, 0)) > 0.01",
    ),
    (
        Severity::Error,
        "sums",
        "SELECT 'the explanations of shelf event ' || shelf_source || '/' || shelf_epoch || '/' || shelf_seq ||
                ' add up to ' || sum(probability)
         FROM attribution_candidates GROUP BY shelf_source, shelf_epoch, shelf_seq HAVING sum(probability) > 1.000001",
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
                ' more time(s) with another content; the first is kept' FROM conflicts",
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
        for line in self.texts("PRAGMA quick_check")? {
            if line != "ok" {
                findings.push(Finding { severity: Severity::Error, question: "file", text: line });
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
        let events = replay(&self.conn, &memory, |_, _| ())?;
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
