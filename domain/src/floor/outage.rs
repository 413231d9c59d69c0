//! A time in which nobody watched, because the program that follows people was away. That nobody saw somebody then
//! says nothing about whether they left.

use std::collections::BTreeMap;

use super::body::Body;
use super::stretches::StretchNumber;
use super::tracker::FloorTracker;
use crate::ids::ShopperId;
use crate::time::StoreTime;

/// The last time in which nobody watched.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    until: StoreTime,
    /// In which stretch everybody had last been seen.
    before: BTreeMap<ShopperId, StretchNumber>,
}

impl FloorTracker {
    /// Nobody is watched from now until a moment.
    pub fn unwatched(&mut self, until: StoreTime) {
        let before = self.bodies.iter().filter_map(|b| Some((b.id?, b.stretch?))).collect();
        self.outage = Some(Outage { until, before });
    }

    /// Has a shopper been seen, since somebody watches again, by a camera that never lost them meanwhile? Then they are the
    /// same as before, and nobody can have been mistaken for them.
    #[must_use]
    pub fn is_same_since(&self, id: ShopperId) -> bool {
        let Some(outage) = &self.outage else { return true };
        let id = self.kept_id(id);
        let body = self.bodies.iter().find(|b| b.id == Some(id));
        body.is_some_and(|b| {
            b.last_seen > outage.until && b.stretch.is_some() && outage.before.get(&id) == b.stretch.as_ref()
        })
    }

    /// How long a body has not been seen although somebody watched, seconds.
    pub(super) fn looked_for_s(&self, body: &Body, now: StoreTime) -> f64 {
        let watched_again = self.outage.as_ref().map_or(body.last_seen, |o| o.until.max(body.last_seen));
        now.seconds_since(watched_again)
    }
}
