//! Tells what each hour says of products and visits, once it is over: an event for the chain, its makers and buyers.
//!
//! An hour is over when event time is ten minutes past its end, or when nothing at all has come for ten minutes and the
//! wall clock is. What arrives for an hour after that is in the ledger and on the console, not in the event. Hours in
//! which nothing was handled and nobody left are not told of. One thread tells; what was told is read from the ledger, so
//! that a restart neither repeats nor skips an hour.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use linefree_bus::payload::{EventBody, InsightsTold, ProductInsight};

use tokio::sync::watch;

use crate::clock::wall_us;
use crate::ledger::{Insights, LedgerError, LedgerReader, OwnVoice};
use crate::live::Live;
use crate::out_of_stock::HOUR_US;
use crate::projecting::Written;

/// How long an hour is waited for after its end.
pub const GRACE_US: i64 = 600_000_000;

/// How often it is looked whether an hour is over.
const EVERY: Duration = Duration::from_secs(5);

/// More products than this are not told of in one event; the busiest are.
const MAX_PRODUCTS: usize = 1_000;

/// Whoever tells.
pub struct Telling {
    reader: LedgerReader,
    voice: OwnVoice,
    facings: BTreeSet<(String, String)>,
    /// Hours before this one need no second look.
    looked: Option<i64>,
}

impl Telling {
    /// Reads and writes over connections of its own. `facings`: which product belongs on which plate, (plate, SKU).
    #[must_use]
    pub fn new(reader: LedgerReader, voice: OwnVoice, facings: BTreeSet<(String, String)>) -> Self {
        Self { reader, voice, facings, looked: None }
    }

    /// Tells of every hour that is over; returns the place of the last event it wrote. `event_us` is how far event time
    /// has come, as far as anybody knows.
    ///
    /// # Errors
    /// [`LedgerError`]; what was not told is told by the next step.
    pub fn step(&mut self, event_us: Option<i64>, now_us: i64) -> Result<Option<u64>, LedgerError> {
        let quiet = self.reader.last_received_us()?.is_none_or(|at| now_us.saturating_sub(at) >= GRACE_US);
        let until_us = if quiet { Some(now_us) } else { event_us };
        let Some(until_us) = until_us else { return Ok(None) };
        let over = until_us.saturating_sub(GRACE_US).div_euclid(HOUR_US);
        // Only what is projected can be summed up.
        if self.looked >= Some(over) || self.reader.projected_seq()? != self.reader.last_seq()? {
            return Ok(None);
        }
        let mut from = self.reader.last_hour_told_us()?.map_or(i64::MIN / HOUR_US, |us| us / HOUR_US + 1);
        let mut place = None;
        while let Some(hour) = self.reader.next_busy_hour(from)?.filter(|hour| *hour < over) {
            let found = self.reader.insights(hour..hour + 1, until_us, &self.facings)?;
            let body = EventBody::InsightsTold(told(hour, found));
            place = Some(self.voice.say(body, (hour + 1) * HOUR_US)?);
            from = hour + 1;
        }
        self.looked = Some(over);
        Ok(place)
    }
}

fn told(hour: i64, mut found: Insights) -> InsightsTold {
    let visits = found.hours.remove(&hour).unwrap_or_default();
    let median = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied();
    found.products.sort_by_key(|row| std::cmp::Reverse((row.taken + row.put_back, row.out_of_stock_s)));
    found.products.truncate(MAX_PRODUCTS);
    found.products.sort_by(|a, b| a.sku.cmp(&b.sku));
    let product = |row: crate::ledger::InsightRow| ProductInsight {
        sku: row.sku,
        taken: row.taken,
        put_back: row.put_back,
        misplaced: row.misplaced,
        out_of_stock_s: row.out_of_stock_s,
    };
    InsightsTold {
        hour_us: hour * HOUR_US,
        visits: visits.visits,
        buyers: visits.buyers,
        dwell_s: median(&visits.dwell_s),
        products: found.products.into_iter().map(product).collect(),
    }
}

/// Tells what each hour says, when it is over.
pub(crate) async fn run(
    mut telling: Telling,
    live: Arc<Live>,
    written: Written,
    mut stop: watch::Receiver<bool>,
) {
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = due.tick() => {}
        }
        let event_us = live.event_time();
        let step = tokio::task::spawn_blocking(move || {
            let done = telling.step(event_us, wall_us());
            (telling, done)
        });
        let Ok((back, done)) = step.await else { return };
        telling = back;
        match done {
            Ok(Some(place)) => written.tell(place),
            Ok(None) => {}
            Err(e) => tracing::warn!("an hour's insights were not told yet: {e}"),
        }
    }
}
