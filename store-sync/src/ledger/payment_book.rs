//! The payment book: what each visit's payment is, what is to be asked next, and what was answered.
//!
//! A question is an event before it is asked and again when it is answered; both rest on what is in the ledger at that
//! moment, and nobody else writes in between. So whatever dies, the question under way is asked again under its key.

use std::path::Path;

use linefree_bus::payload::{self as told, EventBody, PaymentAsk, PaymentChanged};
use linefree_domain::ids::VisitId;
use linefree_domain::payment::{
    Answer, Ask, AskKind, Bill, Policy, Trip, TripState, answered, begin, next, revised, try_again,
};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};
use rusqlite::{Row, params};

use super::commands::{StoreFacts, sound};
use super::decider::Decider;
use super::read_orders::value;
use super::twins::same;
use super::{LedgerError, LedgerReader};

/// A visit's payment, with what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripRow {
    /// As last told, or as it begins.
    pub trip: Trip,
    /// What the visit comes to.
    pub bill: Bill,
    /// What the shopper entered with; `None` for one who was never seen entering, and for one who was forgotten.
    pub credential: Option<String>,
    /// When it last changed; `None` when nothing was asked yet.
    pub changed_us: Option<i64>,
}

/// Every visit with its bill and its trip, if it has one.
const TRIPS: &str = "SELECT v.visit, v.credential, p.visit IS NOT NULL AS ended,
    coalesce(p.charge_minor + p.answered_minor - p.refunded_minor, 0) AS owed,
    coalesce(p.open_minor, 0) AS open_minor, coalesce(p.contested_minor, 0) AS contested_minor,
    coalesce(t.currency, p.currency) AS currency, t.state, t.step, t.ask,
    t.ask_minor, t.ask_earlier, t.ask_since_us, t.silences, t.pending, t.authorised_minor, t.captured_minor,
    t.refunded_minor, t.disputed_minor, t.hold_declined, t.reference, t.reason, t.changed_us
  FROM (SELECT visit, credential, left_us AS at_us FROM receipts UNION ALL
        SELECT visit, credential, opened_us FROM visits WHERE visit NOT IN (SELECT visit FROM receipts)) v
  LEFT JOIN payments p USING (visit) LEFT JOIN trips t USING (visit)";

same!(core_state, told_state, told::TripState, TripState, Open, BadDebt, ByHand);
same!(core_kind, told_kind, told::AskKind, AskKind, Authorise, Capture, Release, Refund, Contest);

fn told_trip(trip: &Trip) -> EventBody {
    EventBody::PaymentChanged(PaymentChanged {
        visit: trip.id.to_string(),
        currency: trip.currency.to_string(),
        state: told_state(trip.state),
        step: trip.step,
        ask: trip.ask.as_ref().map(|a| PaymentAsk {
            ask: told_kind(a.kind),
            amount_minor: a.amount.minor,
            earlier_minor: a.earlier.iter().map(|m| m.minor).collect(),
            since_us: a.since.micros,
            silences: a.silences,
            pending: a.pending,
        }),
        authorised_minor: trip.authorised.minor,
        captured_minor: trip.captured.minor,
        refunded_minor: trip.refunded.minor,
        disputed_minor: trip.disputed.minor,
        hold_declined: trip.hold_declined,
        reference: trip.reference.as_ref().map(|r| r.chars().take(200).collect()),
        reason: trip.reason.as_ref().map(|r| r.chars().filter(|c| !c.is_control()).take(500).collect()),
    })
}

fn row_of(r: &Row<'_>, own: Currency) -> rusqlite::Result<Option<TripRow>> {
    let visit: String = r.get("visit")?;
    let currency: Option<String> = r.get("currency")?;
    // An id or currency that the core cannot take was refused as an event; there is nothing to pay then.
    let Ok(id) = VisitId::new(visit) else { return Ok(None) };
    let Some(currency) = currency.map_or(Some(own), |c| Currency::new(&c)) else { return Ok(None) };
    let money = |column: &str| -> rusqlite::Result<Money> {
        Ok(Money::from_minor(r.get::<_, Option<i64>>(column)?.unwrap_or(0)))
    };
    let mut trip = Trip::new(id, currency);
    let changed_us: Option<i64> = r.get("changed_us")?;
    if changed_us.is_some() {
        trip.state = core_state(value(r, "state")?);
        trip.step = r.get("step")?;
        (trip.authorised, trip.captured) = (money("authorised_minor")?, money("captured_minor")?);
        (trip.refunded, trip.disputed) = (money("refunded_minor")?, money("disputed_minor")?);
        trip.hold_declined = r.get("hold_declined")?;
        (trip.reference, trip.reason) = (r.get("reference")?, r.get("reason")?);
        trip.ask = match value::<Option<told::AskKind>>(r, "ask")? {
            None => None,
            Some(kind) => Some(Ask {
                kind: core_kind(kind),
                amount: money("ask_minor")?,
                earlier: minors(r, "ask_earlier")?,
                since: StoreTime::from_micros(r.get("ask_since_us")?),
                silences: r.get("silences")?,
                pending: r.get("pending")?,
            }),
        };
    }
    let bill = Bill {
        ended: r.get("ended")?,
        owed: money("owed")?,
        in_review: money("open_minor")?,
        contested: money("contested_minor")?,
    };
    Ok(Some(TripRow { trip, bill, credential: r.get("credential")?, changed_us }))
}

/// Amounts that a column holds as a JSON list.
fn minors(r: &Row<'_>, column: &str) -> rusqlite::Result<Vec<Money>> {
    let text: Option<String> = r.get(column)?;
    let list: Vec<i64> = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(list.into_iter().map(Money::from_minor).collect())
}

impl LedgerReader {
    fn trips_where(
        &self,
        rest: &str,
        values: impl rusqlite::Params,
        own: Currency,
    ) -> Result<Vec<TripRow>, LedgerError> {
        let rows = self.all(&format!("{TRIPS} {rest}"), values, |r| row_of(r, own))?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// A visit's payment.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn trip(&self, visit: &str, own: Currency) -> Result<Option<TripRow>, LedgerError> {
        Ok(self.trips_where("WHERE v.visit = ?", params![visit], own)?.pop())
    }

    /// Payments that were begun, last changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn trips(&self, own: Currency, limit: u32) -> Result<Vec<TripRow>, LedgerError> {
        self.trips_where(
            "WHERE t.visit IS NOT NULL ORDER BY t.changed_us DESC, t.visit LIMIT ?",
            params![limit],
            own,
        )
    }

    /// Event time of the youngest visit or receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn youngest_visit_us(&self) -> Result<Option<i64>, LedgerError> {
        let found: Vec<Option<i64>> = self.all(
            "SELECT max(at_us) FROM (SELECT max(left_us) AS at_us FROM receipts
             UNION ALL SELECT max(opened_us) FROM visits)",
            params![],
            |r| r.get(0),
        )?;
        Ok(found.into_iter().flatten().next())
    }

    /// Payments that are not as they should be: something is under way, or is to be asked. None is begun for a visit
    /// that ended, or where money is held began, at `after_us` or before.
    fn open_trips(&self, own: Currency, holds: bool, after_us: i64) -> Result<Vec<TripRow>, LedgerError> {
        self.trips_where(
            "WHERE t.ask IS NOT NULL
                OR (p.visit IS NOT NULL AND coalesce(t.state, 'open') = 'open'
                    AND (t.visit IS NOT NULL OR v.at_us > ?2) AND
                    (coalesce(t.captured_minor - t.refunded_minor, 0)
                       <> p.charge_minor + p.answered_minor - p.refunded_minor
                     OR (t.captured_minor > t.refunded_minor AND t.disputed_minor <> p.contested_minor)
                     OR (t.authorised_minor > 0 AND p.open_minor = 0 AND p.contested_minor = 0)))
                OR (?1 AND p.visit IS NULL AND t.visit IS NULL AND v.at_us > ?2)
             ORDER BY v.visit LIMIT 1000",
            params![holds, after_us],
            own,
        )
    }

    /// What the visits of a credential have left unpaid, without what is in dispute.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn bad_debt_minor(&self, credential: &str) -> Result<i64, LedgerError> {
        let found: Vec<i64> = self.all(
            "SELECT coalesce(sum(max(p.charge_minor + p.answered_minor - p.refunded_minor
                                     - p.contested_minor - t.captured_minor + t.refunded_minor, 0)), 0)
             FROM trips t JOIN receipts r USING (visit) JOIN payments p USING (visit)
             WHERE t.state = 'bad_debt' AND r.credential = ?",
            params![credential],
            |r| r.get(0),
        )?;
        Ok(found.first().copied().unwrap_or(0))
    }
}

/// Writes what becomes of payments.
#[derive(Debug)]
pub struct PaymentBook {
    decider: Decider,
    own: Currency,
    after_us: i64,
}

impl PaymentBook {
    /// Of a ledger that exists; `own` is the store's currency.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, facts: StoreFacts, own: Currency) -> Result<Self, LedgerError> {
        Ok(Self { decider: Decider::open(ledger, facts)?, own, after_us: i64::MIN })
    }

    /// Nobody is asked to pay for what ended at this moment, or before it.
    #[must_use]
    pub fn after(self, after_us: i64) -> Self {
        Self { after_us, ..self }
    }

    /// Payments that are not as they should be: something is under way, or is to be asked; with `holds` also visits that
    /// have just begun.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open_trips(&self, holds: bool) -> Result<Vec<TripRow>, LedgerError> {
        self.reader().open_trips(self.own, holds, self.after_us)
    }

    /// Reads what is there.
    #[must_use]
    pub fn reader(&self) -> &LedgerReader {
        &self.decider.reader
    }

    /// The store's currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.own
    }

    fn change(
        &mut self,
        visit: &str,
        now_us: i64,
        change: impl FnOnce(&TripRow) -> Option<Trip>,
    ) -> Result<(Option<TripRow>, u64), LedgerError> {
        let own = self.own;
        let mut after = None;
        let seq = self.decider.decide(now_us, |_, reader| {
            let Some(row) = reader.trip(visit, own)? else { return Ok(Ok(Vec::new())) };
            let Some(new) = change(&row).filter(|new| *new != row.trip) else {
                after = Some(row);
                return Ok(Ok(Vec::new()));
            };
            let body = told_trip(&new);
            after = Some(TripRow { trip: new, changed_us: Some(now_us), ..row });
            Ok(sound(body))
        })?;
        Ok((after, seq))
    }

    /// Notes the next question of a visit, if there is one. Returns the payment as it is then and the event's place, 0
    /// when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn begin(
        &mut self,
        visit: &str,
        policy: &Policy,
        now_us: i64,
    ) -> Result<(Option<TripRow>, u64), LedgerError> {
        self.change(visit, now_us, |row| {
            let what = next(&row.trip, &row.bill, policy)?;
            Some(begin(&row.trip, what, StoreTime::from_micros(now_us)))
        })
    }

    /// Notes an answer to the question with this key. An answer to any other, or a second one, changes nothing. Returns
    /// the event's place, 0 when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn answered(
        &mut self,
        visit: &str,
        key: &str,
        answer: &Answer,
        now_us: i64,
    ) -> Result<u64, LedgerError> {
        let (_, seq) = self.change(visit, now_us, |row| {
            (row.trip.ask.is_some() && row.trip.key() == key).then(|| answered(&row.trip, answer, &row.bill))
        })?;
        Ok(seq)
    }

    /// A gateway answers by itself, by the question's key. Returns the event's place, 0 when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] when the key is none of a question's.
    pub fn called_back(&mut self, key: &str, answer: &Answer, now_us: i64) -> Result<u64, LedgerError> {
        let Some((visit, _)) = key.rsplit_once(':') else {
            return Err(LedgerError::Refused(format!("key: {key:?} is no question's")));
        };
        self.answered(visit, key, answer, now_us)
    }

    /// The question that waits for the payer follows the bill. Returns the event's place, 0 when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn revise(&mut self, visit: &str, now_us: i64) -> Result<u64, LedgerError> {
        Ok(self.change(visit, now_us, |row| revised(&row.trip, &row.bill))?.1)
    }

    /// People try again. Returns the event's place, 0 when nothing was written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn try_again(&mut self, visit: &str, now_us: i64) -> Result<u64, LedgerError> {
        Ok(self.change(visit, now_us, |row| Some(try_again(&row.trip)))?.1)
    }
}
