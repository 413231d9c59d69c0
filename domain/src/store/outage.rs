//! Going on after the program was away: who was in the store before is restored, and what cannot be known is told.

use crate::cart::Line;
use crate::ids::{ShopperId, VisitId};
use crate::store::Store;
use crate::time::StoreTime;
use crate::visit::CarriedVisit;

/// So long after a time in which nobody watched it is settled who is surely the same as before, seconds.
const REASSURED_AFTER_S: f64 = 4.0;
/// What changed so close to such a time may have been in it, seconds.
const NEAR_S: f64 = 1.0;

/// The last time in which nobody watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    from: StoreTime,
    until: StoreTime,
    /// Something was taken or put meanwhile: by whom, nobody saw.
    touched: bool,
    settled: bool,
}

impl Store {
    /// How many visits have been opened; it numbers the next one.
    #[must_use]
    pub fn visits_opened(&self) -> u64 {
        self.visits.opened()
    }

    /// Goes on numbering visits after so many.
    pub fn resume_after(&mut self, opened: u64) {
        self.visits.resume_after(opened);
    }

    /// The open visits: id, credential and the rest, with what each holds.
    pub fn open_visits(&self) -> impl Iterator<Item = (CarriedVisit, Vec<Line>)> {
        self.visits.open().iter().map(|v| {
            let carried = CarriedVisit {
                id: v.id.clone(),
                credential: v.credential.clone(),
                party: v.party,
                entered: v.entered,
            };
            (carried, self.lines_of(v))
        })
    }

    /// How far event time has gone.
    #[must_use]
    pub fn now(&self) -> Option<StoreTime> {
        self.now
    }

    /// Goes on with a visit of which nothing but this is known: it is in doubt, and so are its lines.
    pub fn carry(&mut self, visit: CarriedVisit, lines: Vec<Line>) {
        let now = self.now.map_or(visit.entered, |now| now.max(visit.entered));
        self.carried.insert(visit.id.clone(), lines);
        self.visits.carry(visit, now);
    }

    /// Forgets an open visit whose receipt is written already.
    pub fn forget(&mut self, visit: &VisitId) {
        self.visits.forget(visit);
        self.carts.remove(visit);
        self.carried.remove(visit);
    }

    /// From now until a moment nobody watches.
    pub(super) fn interrupt(&mut self, from: StoreTime, until: StoreTime) {
        self.floor.unwatched(until);
        self.visits.interrupt(from, until);
        let touched = self.held.iter().any(|(_, event)| event.end() >= from.plus_s(-NEAR_S));
        self.outage = Some(Outage { from, until, touched, settled: false });
    }

    /// A shelf event is taken: was it while nobody watched?
    pub(super) fn note_touched(&mut self, began: StoreTime, ended: StoreTime) {
        let Some(outage) = &mut self.outage else { return };
        if began <= outage.until.plus_s(NEAR_S) && ended >= outage.from.plus_s(-NEAR_S) {
            outage.touched = true;
            if outage.settled {
                // It was told late: what was sure is not.
                self.visits.interrupt(outage.from, outage.until);
            }
        }
    }

    /// Settles, once there has been time to look around, which visits are in doubt.
    pub(super) fn settle_outage(&mut self, now: StoreTime) {
        let Some(outage) = self.outage.as_mut().filter(|o| !o.settled) else { return };
        if now.seconds_since(outage.until) < REASSURED_AFTER_S {
            return;
        }
        outage.settled = true;
        if !outage.touched {
            let floor = &self.floor;
            self.visits.reassure(|shopper: ShopperId| floor.is_same_since(shopper));
        }
        self.update_carts(now);
    }

    /// Lines of a visit in doubt: what it was known to hold before and what it holds now, all of it looked at.
    pub(super) fn doubted(&self, visit: &VisitId, mut lines: Vec<Line>) -> Vec<Line> {
        for before in self.carried.get(visit).into_iter().flatten() {
            match lines.iter_mut().find(|l| l.product == before.product) {
                Some(line) => {
                    line.quantity = line.quantity.saturating_add(before.quantity);
                    line.probability = line.probability.min(before.probability);
                }
                None => lines.push(before.clone()),
            }
        }
        lines.sort_by_key(|l| l.product);
        lines.iter_mut().for_each(|l| l.review = true);
        lines
    }
}
