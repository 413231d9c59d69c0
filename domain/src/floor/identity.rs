//! Names on bodies: what linking stretches says about whom the floor shows where.

use std::collections::BTreeMap;

use nalgebra::Point2;

use super::body::Body;
use super::motion::{Belief, Walk};
use super::stretches::{End, OVER_S, Stretch, StretchNumber};
use super::tracker::FloorTracker;
use super::{FloorEvent, Person};
use crate::ids::{CameraIndex, ShopperId};
use crate::time::StoreTime;

/// Stretches are forgotten this long after their end, seconds.
const KEEP_S: f64 = 90.0;
/// Most stretches kept.
const MOST_STRETCHES: usize = 2048;
/// Whoever is within this distance of a place may have reached there, metres.
const NEAR_M: f64 = 2.5;
/// Names move to a body that was seen for at least this long since it became sure again, seconds: whoever else
/// stepped out there must have had the time to be noticed.
const SETTLE_AFTER_S: f64 = 0.9;
/// Without looks to compare, it takes this long, seconds.
const SETTLE_BLIND_S: f64 = 3.0;
/// How sure a name is, is told when a stretch is this old, seconds.
const TELL_AFTER_S: f64 = 2.0;
/// Doubts of the same two within this time are one doubt, seconds.
const MEETING_S: f64 = 3.0;
/// Whoever is so much likelier than anybody else is not doubted, nats.
const SURE_NATS: f64 = 6.0;
/// Margins are products of many factors that are less independent than that: their share that is believed.
const TEMPER: f64 = 0.8;

impl FloorTracker {
    /// Notes in which stretch a body was seen.
    pub(super) fn note_stretch(
        &mut self,
        body: usize,
        person: &Person,
        camera: CameraIndex,
        time: StoreTime,
    ) {
        let Some(tracklet) = &person.tracklet else { return };
        let known = self.stretches.iter().rposition(|s| s.tracklets.contains(&(camera, tracklet.id)));
        let index = known.or_else(|| {
            // Another camera never lost sight of this one: the new tracklet is the same person's.
            let current = self.bodies[body].stretch?;
            let index = self.stretches.iter().position(|s| s.number == current)?;
            let other = self.bodies[body]
                .links
                .iter()
                .any(|(c, link)| *c != camera && time.seconds_since(link.time) < OVER_S);
            (other && !self.stretches[index].is_over(time)).then_some(index)
        });
        let index = index.unwrap_or_else(|| {
            let number = self.next_stretch;
            self.next_stretch = self.next_stretch.wrapping_add(1);
            self.stretches.push(Stretch::new(number, time, person.foot));
            if self.stretches.len() > MOST_STRETCHES {
                self.stretches.remove(0);
            }
            self.stretches.len() - 1
        });
        let stretch = &mut self.stretches[index];
        stretch.see(camera, tracklet, time, person.foot);
        self.bodies[body].stretch = Some(stretch.number);
    }

    /// Puts paths together and moves names to where they belong.
    pub(super) fn settle_identities(&mut self, now: StoreTime) {
        self.stretches.retain(|s| now.seconds_since(s.ended()) <= KEEP_S);
        self.entered.retain(|(_, time)| now.seconds_since(*time) <= KEEP_S);
        self.link_stretches(now);
        let claims: Vec<(ShopperId, usize)> = (0..self.bodies.len())
            .filter_map(|i| {
                let stretch = self.stretch(self.bodies[i].stretch?)?;
                let ripe = stretch.lasted_s() >= SETTLE_BLIND_S
                    || (stretch.is_compared() && stretch.lasted_s() >= SETTLE_AFTER_S);
                if stretch.is_over(now) || !ripe {
                    return None;
                }
                let name = self.owner_of(stretch.number)?;
                self.bodies.iter().any(|b| b.id == Some(name)).then_some((name, i))
            })
            .collect();
        if claims.iter().any(|(name, i)| self.bodies[*i].id != Some(*name)) {
            self.rename(&claims, now);
        }
        self.tell_doubts(now);
    }

    /// Gives the bodies the names that were claimed for them. A body's slot keeps its name; what is seen moves.
    fn rename(&mut self, claims: &[(ShopperId, usize)], now: StoreTime) {
        let old: Vec<Body> = self.bodies.clone();
        let claimed: Vec<usize> = claims.iter().map(|(_, i)| *i).collect();
        let mut gone: Vec<usize> = Vec::new();
        for (k, body) in old.iter().enumerate() {
            let Some(name) = body.id else {
                if claimed.contains(&k) {
                    gone.push(k);
                }
                continue;
            };
            match claims.iter().find(|(n, _)| *n == name) {
                Some((_, r)) if *r == k => {}
                Some((_, r)) => {
                    let from = old[*r].stretch.and_then(|s| self.stretch(s)).map_or(now, Stretch::began);
                    let before = self.last_of(name, old[*r].stretch, now);
                    let until = before.map_or(from, |end| end.time);
                    self.bodies[k] = body.seen_as(&old[*r], until, from, self.config.history_s);
                }
                None if !claimed.contains(&k) => {}
                None => match self.last_of(name, body.stretch, now) {
                    Some(end) => self.bodies[k] = body.lost_at(&end, &self.walk),
                    None => gone.push(k),
                },
            }
            self.bodies[k].together.clear();
            self.bodies[k].refresh(now, &self.walk);
        }
        for k in gone.into_iter().rev() {
            let kept = claims.iter().find(|(_, i)| *i == k).map(|(name, _)| *name);
            if let (Some(gone), Some(kept)) = (old[k].id, kept) {
                self.merged.insert(gone, (kept, now));
                self.events.push_back(FloorEvent::Merged { kept, gone, time: now });
            }
            self.bodies.remove(k);
        }
    }

    /// Where a shopper's path was last sure, apart from one stretch.
    fn last_of(&self, name: ShopperId, but: Option<StretchNumber>, now: StoreTime) -> Option<End> {
        let owned = self
            .stretches
            .iter()
            .filter(|s| Some(s.number) != but && s.is_over(now) && self.owner_of(s.number) == Some(name));
        owned.max_by_key(|s| s.ended()).map(|s| s.end(&self.walk))
    }

    /// Tells, once a stretch, how sure it is whose it is.
    fn tell_doubts(&mut self, now: StoreTime) {
        for i in 0..self.stretches.len() {
            let s = &self.stretches[i];
            let due = s.lasted_s() >= TELL_AFTER_S || s.is_over(now);
            if s.told || !due {
                continue;
            }
            let (number, margin, rival, time) = (s.number, s.margin, s.rival, s.began());
            // Somebody on trial has no name yet; it is told when they have.
            let Some(shopper) = self.owner_of(number) else { continue };
            let rival = rival.and_then(|n| self.owner_of(n));
            self.stretches[i].told = true;
            let Some(rival) = rival else { continue };
            let recent = |(a, b, t): &(ShopperId, ShopperId, StoreTime)| {
                [(*a, *b), (*b, *a)].contains(&(shopper, rival)) && time.seconds_since(*t).abs() < MEETING_S
            };
            if margin >= SURE_NATS || shopper == rival || self.doubted.iter().any(recent) {
                continue;
            }
            let probability = 1.0 / (1.0 + (TEMPER * margin).exp());
            self.doubted.push((shopper, rival, time));
            self.events.push_back(FloorEvent::Doubted { shopper, rival, probability, time });
        }
        self.doubted.retain(|(_, _, time)| now.seconds_since(*time) <= KEEP_S);
    }

    /// Is it settled who was near a place in an interval, as well as it will be? False while somebody there has just
    /// met somebody else or come back into sight. Cameras that tell no tracklets leave nothing to wait for.
    #[must_use]
    pub fn is_settled(&self, place: Point2<f64>, from: StoreTime, to: StoreTime) -> bool {
        let near = |at: Point2<f64>| (at - place).norm() <= NEAR_M;
        let unsettled = |s: &Stretch| {
            !s.told
                && s.began() <= to.plus_s(SETTLE_AFTER_S)
                && s.ended() >= from.plus_s(-SETTLE_AFTER_S)
                && s.places().any(near)
        };
        let crowded = |b: &Body| {
            let sure = b.stretch.and_then(|n| self.stretch(n)).is_some_and(|s| s.ended() >= b.last_seen);
            b.stretch.is_some() && !sure && b.last_seen >= from && near(b.at_last.at())
        };
        !self.stretches.iter().any(unsettled) && !self.bodies.iter().any(crowded)
    }

    /// Those who left are not looked for.
    pub(super) fn close_stretches(&mut self, name: ShopperId) {
        let owned: Vec<StretchNumber> =
            self.stretches.iter().map(|s| s.number).filter(|n| self.owner_of(*n) == Some(name)).collect();
        for s in self.stretches.iter_mut().filter(|s| owned.contains(&s.number)) {
            s.gone = true;
        }
    }
}

impl Body {
    /// This name on the body that `seen` is: the past of the one until a moment, the present of the other since one.
    pub(super) fn seen_as(&self, seen: &Self, until: StoreTime, from: StoreTime, history_s: f64) -> Self {
        let mut history = self.history.until(until);
        history.append(&seen.history.since(from));
        history.push(seen.last_seen, &seen.at_last, history_s);
        Self {
            id: self.id,
            born: self.born,
            born_at: self.born_at,
            born_gate: self.born_gate,
            hits: self.hits,
            seen_s: self.seen_s,
            history,
            ..seen.clone()
        }
    }

    /// This name on nobody who is seen: lost where they were last surely seen.
    fn lost_at(&self, end: &End, walk: &Walk) -> Self {
        let mut belief: Belief = walk.first(end.at, &end.cov_m2());
        (belief.mean.z, belief.mean.w) = (end.velocity.x, end.velocity.y);
        (belief.cov[(2, 2)], belief.cov[(3, 3)]) = (end.velocity_var, end.velocity_var);
        Self {
            belief,
            time: end.time,
            last_seen: end.time,
            at_last: belief,
            recent: [end.time; 3],
            links: BTreeMap::new(),
            history: self.history.until(end.time),
            stretch: None,
            ..self.clone()
        }
    }
}
