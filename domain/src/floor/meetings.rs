//! Two shoppers who met and parted: who is who is settled then, from what is known of both before and after.
//!
//! While two people are within arm's length of each other, single sightings cannot tell them apart and are given to
//! whoever is nearer. That need not be right in the end. When they have parted, three things speak: how near they
//! came (the follower's own trust), whether each camera's track of the one is still on the same one (it changes over
//! with a rate while they are near), and body heights. If together they say that the two were exchanged, names are
//! exchanged from the closest moment on; what doubt remains is told ([`FloorEvent::Doubted`]).
//!
//! Only for cameras that tell no tracklets: with them, [`super::linking`] knows more.

use std::collections::BTreeMap;

use super::FloorEvent;
use super::body::{Body, Height};
use super::tracker::FloorTracker;
use crate::ids::{CameraIndex, ShopperId, TrackId};
use crate::time::StoreTime;

/// Nearer than this is a meeting, metres ...
const MEET_M: f64 = 0.35;
/// ... until they are this far apart, metres.
const PART_M: f64 = 0.65;
/// So long after parting it is settled, seconds.
const SETTLE_S: f64 = 1.0;
/// Who was not seen for so long is no longer followed in a meeting, seconds.
const FORGOTTEN_S: f64 = 5.0;
/// A camera's track that was last seen so long before the meeting says nothing of it, seconds.
const LINK_OLD_S: f64 = 5.0;
/// A camera's tracks of two who are near change over this often a second.
const TRACK_SWAPS_PER_S: f64 = 0.15;
/// The least probability that they changed over, however short the meeting.
const TRACK_SWAP_MIN: f64 = 0.05;
/// The follower's trust in itself, nats: when they came as near as can be, and more for each metre between them.
const TRUST: f64 = 1.0;
const TRUST_PER_M: f64 = 5.0;
/// Surer than this is not told as a doubt, nats.
const SURE_NATS: f64 = 6.0;

/// What is known of somebody when a meeting begins.
#[derive(Debug, Clone)]
struct Known {
    tracks: BTreeMap<CameraIndex, TrackId>,
    height: Height,
}

impl Known {
    fn of(body: &Body, since: StoreTime) -> Self {
        let fresh = body.links.iter().filter(|(_, link)| link.time >= since);
        let tracks = fresh.filter_map(|(camera, link)| Some((*camera, link.track?))).collect();
        Self { tracks, height: body.height }
    }
}

/// A meeting of two shoppers that is not settled yet.
#[derive(Debug, Clone)]
pub(super) struct Meeting {
    who: [ShopperId; 2],
    before: [Known; 2],
    near_s: f64,
    closest_m: f64,
    closest: StoreTime,
    seen: StoreTime,
    /// When they had parted, and what was known of their heights by then.
    parted: Option<(StoreTime, [Height; 2])>,
}

impl FloorTracker {
    /// Follows who is near whom; settles the meetings of those who have parted.
    pub(super) fn follow_meetings(&mut self, now: StoreTime) {
        let mut meetings = std::mem::take(&mut self.meetings);
        let mut due = Vec::new();
        meetings.retain_mut(|meeting| {
            let [Some(a), Some(b)] = meeting.who.map(|id| self.body_of(id)) else { return false };
            let gone = |body: &Body| body.unseen_s(now) > FORGOTTEN_S;
            if gone(a) || gone(b) {
                return false;
            }
            meeting.follow(a, b, now);
            let over = meeting.parted.is_some_and(|(since, _)| now.seconds_since(since) >= SETTLE_S);
            if over {
                due.push(meeting.clone());
            }
            !over
        });
        self.meetings = meetings;
        for meeting in due {
            self.settle_meeting(&meeting, now);
        }
        self.note_meetings(now);
    }

    fn body_of(&self, id: ShopperId) -> Option<&Body> {
        self.bodies.iter().find(|b| b.id == Some(id))
    }

    fn note_meetings(&mut self, now: StoreTime) {
        let mut begun = Vec::new();
        for (i, a) in self.bodies.iter().enumerate() {
            let Some(first) = a.id.filter(|_| a.stretch.is_none()) else { continue };
            for b in &self.bodies[i + 1..] {
                let Some(second) = b.id.filter(|_| b.stretch.is_none()) else { continue };
                let apart_m = (a.shown.at - b.shown.at).norm();
                let known = |m: &Meeting| m.who == [first, second] || m.who == [second, first];
                if apart_m < MEET_M && !self.meetings.iter().any(known) {
                    let since = now.plus_s(-LINK_OLD_S);
                    begun.push(Meeting {
                        who: [first, second],
                        before: [Known::of(a, since), Known::of(b, since)],
                        near_s: 0.0,
                        closest_m: apart_m,
                        closest: now,
                        seen: now,
                        parted: None,
                    });
                }
            }
        }
        self.meetings.extend(begun);
    }

    fn settle_meeting(&mut self, meeting: &Meeting, now: StoreTime) {
        let [Some(i), Some(j)] = meeting.who.map(|id| self.bodies.iter().position(|b| b.id == Some(id)))
        else {
            return;
        };
        let kept = meeting.kept_log_odds(&self.bodies[i], &self.bodies[j]);
        if kept < 0.0 {
            let (a, b) = (self.bodies[i].clone(), self.bodies[j].clone());
            let history_s = self.config.history_s;
            let cut = meeting.closest;
            self.bodies[i] = a.seen_as(&b, cut, cut, history_s);
            self.bodies[j] = b.seen_as(&a, cut, cut, history_s);
            for (at, known) in [i, j].into_iter().zip(&meeting.before) {
                let other = if at == i { &b } else { &a };
                let theirs = if at == i { &meeting.before[1] } else { &meeting.before[0] };
                self.bodies[at].height = known.height.plus(&other.height.since(&theirs.height));
                self.bodies[at].together.clear();
                self.bodies[at].refresh(now, &self.walk);
            }
            self.counters.exchanged += 1;
        }
        if kept.abs() < SURE_NATS {
            let [shopper, rival] = meeting.who;
            let probability = 1.0 / (1.0 + kept.abs().exp());
            self.events.push_back(FloorEvent::Doubted { shopper, rival, probability, time: meeting.closest });
        }
    }
}

impl Meeting {
    fn follow(&mut self, a: &Body, b: &Body, now: StoreTime) {
        let apart_m = (a.shown.at - b.shown.at).norm();
        if apart_m < MEET_M {
            self.near_s += now.seconds_since(self.seen);
            self.parted = None;
        }
        self.seen = now;
        if apart_m < self.closest_m {
            (self.closest_m, self.closest) = (apart_m, now);
        }
        let seen = a.unseen_s(now) < 0.5 && b.unseen_s(now) < 0.5;
        if apart_m > PART_M && seen && self.parted.is_none() {
            self.parted = Some((now, [a.height, b.height]));
        }
    }

    /// Log-odds that each of them is still who they are shown as.
    fn kept_log_odds(&self, a: &Body, b: &Body) -> f64 {
        let Some((parted, heights)) = &self.parted else { return f64::INFINITY };
        let changed = 0.5 * (1.0 - (-2.0 * TRACK_SWAPS_PER_S * self.near_s).exp());
        let changed = changed.max(TRACK_SWAP_MIN);
        let says = ((1.0 - changed) / changed).ln();
        let mut cameras: BTreeMap<CameraIndex, f64> = BTreeMap::new();
        for (body, own, other) in [(a, 0, 1), (b, 1, 0)] {
            for (camera, link) in body.links.iter().filter(|(_, link)| link.time >= *parted) {
                let Some(track) = link.track else { continue };
                let was = |who: usize| self.before[who].tracks.get(camera) == Some(&track);
                let said = if was(own) {
                    says
                } else if was(other) {
                    -says
                } else {
                    continue;
                };
                // Both halves of a change over are one change.
                cameras.insert(*camera, said);
            }
        }
        let tracks: f64 = cameras.values().sum();
        let after = [a.height.since(&heights[0]), b.height.since(&heights[1])];
        let misfit =
            |before: usize, now: usize| self.before[before].height.misfit(&after[now], f64::INFINITY);
        let tall = misfit(0, 1) + misfit(1, 0) - misfit(0, 0) - misfit(1, 1);
        TRUST + TRUST_PER_M * self.closest_m + tracks + tall.clamp(-SURE_NATS, SURE_NATS)
    }
}
