//! Cameras with their own clock, rate, errors and tracks.
//!
//! A position is off by a constant for each camera (calibration), by an error that stays alike for about a second
//! (how a body bends, where a box ends) and by white noise, larger along the ray than across it and larger with
//! distance. The covariance that is told is right only on average. People are missed the more, the less of them is
//! seen; whoever is hidden from the hip down is placed worse. Ghosts appear. A camera's own track ends in a gap of a
//! second and can jump to a neighbour.

use std::collections::BTreeMap;

use linefree_domain::floor::Person;
use linefree_domain::ids::TrackId;
use nalgebra::{Matrix2, Point2, Point3, Vector2, Vector3};

use super::Trouble;
use super::sight::Scene;
use crate::chance::Chance;
use crate::scenario::CameraPlan;
use crate::stores::{Eye, SimulatedStore};
use crate::world::{Happened, Pose};

/// Everyone whom one camera says it sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// By the camera's clock, seconds from the start.
    pub t_s: f64,
    /// Which camera.
    pub camera: usize,
    /// When the message arrives, seconds from the start.
    pub arrives_s: f64,
    /// Whom it sees.
    pub people: Vec<Person>,
}

/// Time over which errors stay alike, seconds.
const ALIKE_S: f64 = 0.9;
/// A camera's track ends when nobody was seen for so long, seconds.
const TRACK_GAP_S: f64 = 1.0;
/// People this near each other get their tracks swapped, metres ...
const SWAP_M: f64 = 0.6;
/// ... so often a second.
const SWAPS_PER_S: f64 = 0.12;
/// How far beyond the floor's edge cameras still tell of people, metres.
const OUTSIDE_M: f64 = 0.5;

/// Height of a shoulder, as a share of the body's.
const SHOULDER: f64 = 0.82;
/// How much of an arm must be seen for a hand to be told at its visible end, as shares of its length, longest first.
const ARM_PARTS: [f64; 5] = [1.0, 0.9, 0.8, 0.7, 0.6];

/// How good one camera is.
struct Quality {
    rate_hz: f64,
    phase_s: f64,
    clock_s: f64,
    latency_s: f64,
    bias_m: Vector2<f64>,
    near_sd_m: f64,
    sd_per_m: f64,
    alike_share: f64,
    /// Told standard deviation over the true one.
    boast: f64,
    missed: f64,
    ghosts_per_s: f64,
    hands: f64,
    hand_sd_m: f64,
}

impl Quality {
    fn new(plan: &CameraPlan, hands: bool, chance: &mut Chance) -> Self {
        let factor = chance.between(plan.error_factor[0], plan.error_factor[1]);
        let bias = 0.07 * factor;
        let rate_hz = chance.between(5.0, 15.0);
        Self {
            rate_hz,
            phase_s: chance.between(0.0, 1.0 / rate_hz),
            clock_s: chance.bounded_normal(0.03),
            latency_s: chance.between(0.05, 0.35),
            bias_m: Vector2::new(chance.bounded_normal(bias), chance.bounded_normal(bias)),
            near_sd_m: chance.between(0.03, 0.08) * factor,
            sd_per_m: chance.between(0.008, 0.02) * factor,
            alike_share: chance.between(0.4, 0.75),
            boast: chance.log_between(0.65, 1.5),
            missed: chance.between(0.03, 0.12) * plan.failure_factor,
            ghosts_per_s: chance.between(0.01, 0.08) * plan.failure_factor,
            hands: if hands { chance.between(0.25, 0.7) } else { 0.0 },
            hand_sd_m: chance.between(0.05, 0.10),
        }
    }
}

/// What one camera remembers of one person.
struct Followed {
    track: u32,
    seen_s: f64,
    error: Vector2<f64>,
    error_s: f64,
}

/// Something that looks like a person for a while.
struct Ghost {
    until_s: f64,
    at: Point2<f64>,
    track: u32,
}

/// Everything that all cameras tell, in the order of arrival.
#[must_use]
pub fn observe(
    store: &SimulatedStore,
    happened: &Happened,
    plan: &CameraPlan,
    trouble: &Trouble,
    seed: u64,
) -> Vec<Look> {
    let mut all = Vec::new();
    let hands = Chance::new(seed, "hands").happens(plan.hands);
    let blind_s: Vec<f64> = {
        let mut chance = Chance::new(seed, "blind entry");
        happened.walks.iter().map(|_| chance.between(plan.blind_entry_s[0], plan.blind_entry_s[1])).collect()
    };
    for (camera, eye) in store.eyes.iter().enumerate() {
        let mut chance = Chance::new(seed, &format!("camera {camera}"));
        let quality = Quality::new(plan, hands, &mut chance);
        let mut looks = watch(store, happened, camera, eye, &quality, &blind_s, &mut chance);
        trouble.change(camera, &mut looks, &mut Chance::new(seed, &format!("trouble of camera {camera}")));
        all.extend(looks);
    }
    all.sort_by(|a, b| {
        a.arrives_s.total_cmp(&b.arrives_s).then(a.camera.cmp(&b.camera)).then(a.t_s.total_cmp(&b.t_s))
    });
    all
}

fn watch(
    store: &SimulatedStore,
    happened: &Happened,
    camera: usize,
    eye: &Eye,
    quality: &Quality,
    blind_s: &[f64],
    chance: &mut Chance,
) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut followed: BTreeMap<usize, Followed> = BTreeMap::new();
    let mut ghosts: Vec<Ghost> = Vec::new();
    let mut tracks = 0;
    let mut frame = 0.0;
    let mut last_s = f64::NEG_INFINITY;
    let mut arrived_s = f64::NEG_INFINITY;
    loop {
        let t = quality.phase_s + frame / quality.rate_hz + chance.bounded_normal(0.003);
        frame += 1.0;
        if t >= happened.duration_s {
            return looks;
        }
        if t < 0.0 || chance.happens(0.004) {
            continue;
        }
        let poses = happened.walks.iter().enumerate().filter_map(|(i, w)| Some((i, w, w.pose(t)?)));
        let there: Vec<_> = poses.collect();
        let scene = Scene {
            obstacles: &store.obstacles,
            bodies: there.iter().map(|(i, w, p)| (*i, p.at, w.height_m)).collect(),
            blind_x_m: store.blind_x_m,
        };
        let mut people = Vec::new();
        let mut seen_now: Vec<(usize, Point2<f64>)> = Vec::new();
        for (i, walk, pose) in &there {
            let unseen = t < walk.entered_s + blind_s.get(*i).copied().unwrap_or(0.0) && blind_s[*i] > 0.0;
            if unseen || store.layout.floor.distance_m(pose.at) > OUTSIDE_M {
                continue;
            }
            let seen = scene.seen(eye, *i, pose.at, walk.height_m);
            let found = (1.0 - quality.missed) * ((seen.share - 0.25) / 0.45).clamp(0.0, 1.0);
            if !chance.happens(found) {
                continue;
            }
            let follow = followed.entry(*i).or_insert_with(|| Followed {
                track: 0,
                seen_s: f64::NEG_INFINITY,
                error: Vector2::new(chance.normal(1.0), chance.normal(1.0)),
                error_s: t,
            });
            if follow.track == 0 || t - follow.seen_s > TRACK_GAP_S {
                tracks += 1;
                follow.track = tracks;
            }
            follow.seen_s = t;
            // An autoregressive error of unit variance.
            let keep = (-(t - follow.error_s) / ALIKE_S).exp();
            let fresh = (1.0 - keep * keep).sqrt();
            follow.error = follow.error * keep + Vector2::new(chance.normal(fresh), chance.normal(fresh));
            follow.error_s = t;
            seen_now.push((*i, pose.at));
            let mut person = place(eye, quality, pose.at, follow.error, seen.foot, chance);
            person.score = (0.55 + 0.4 * seen.share + chance.normal(0.06)).clamp(0.3, 0.99);
            person.score = round(person.score, 100.0);
            person.height_m = chance.happens(0.7).then(|| round(walk.height_m + chance.normal(0.06), 100.0));
            person.track = Some(TrackId(follow.track));
            let hand =
                (quality.hands > 0.0).then(|| seen_hand(&scene, eye, *i, pose, walk.height_m)).flatten();
            if let Some(hand) = hand
                && chance.happens(quality.hands)
            {
                let sd = quality.hand_sd_m;
                let off = Vector3::new(chance.normal(sd), chance.normal(sd), chance.normal(sd));
                person.hands = vec![(hand + off).map(|v| round(v, 1000.0))];
                person.hand_sd_m = round(sd, 1000.0);
            }
            people.push(person);
        }
        swap_tracks(&seen_now, &mut followed, &mut people, quality, chance);
        haunt(store, eye, quality, t, &mut ghosts, &mut tracks, &mut people, chance);
        // A camera's lines are in order, whatever the network does to them.
        let t_s = (t + quality.clock_s).max(last_s).max(0.0);
        last_s = t_s;
        let late_s = quality.latency_s + chance.waiting_s(0.03).min(0.3);
        arrived_s = (t + late_s).max(arrived_s);
        looks.push(Look { t_s, camera, arrives_s: arrived_s, people });
    }
}

/// Where a camera takes somebody's hand to be: the hand, or where the arm disappears when the hand is inside a shelf.
fn seen_hand(scene: &Scene<'_>, eye: &Eye, who: usize, pose: &Pose, height_m: f64) -> Option<Point3<f64>> {
    let shoulder = Point3::new(pose.at.x, pose.at.y, SHOULDER * height_m);
    ARM_PARTS
        .iter()
        .map(|part| shoulder + (pose.hand - shoulder) * *part)
        .find(|at| scene.sees(eye, *at, who))
}

fn round(v: f64, scale: f64) -> f64 {
    (v * scale).round() / scale
}

/// Where a camera places somebody, and how sure it says it is.
fn place(
    eye: &Eye,
    quality: &Quality,
    at: Point2<f64>,
    alike: Vector2<f64>,
    foot: bool,
    chance: &mut Chance,
) -> Person {
    let ray = at - eye.at.xy();
    let distance_m = ray.norm().max(0.3);
    let ahead = ray / distance_m;
    let across = Vector2::new(-ahead.y, ahead.x);
    let hidden = if foot { 1.0 } else { 2.2 };
    let sd_across = quality.near_sd_m + quality.sd_per_m * distance_m;
    let sd_ahead = sd_across * 1.6 * hidden;
    let (a, w) = (quality.alike_share.sqrt(), (1.0 - quality.alike_share).sqrt());
    let white = Vector2::new(chance.normal(1.0), chance.normal(1.0));
    let unit = alike * a + white * w;
    let off = ahead * (unit.x * sd_ahead) + across * (unit.y * sd_across) + quality.bias_m;
    let foot_at = (at + off).map(|v| round(v, 1000.0));
    let axes = Matrix2::from_columns(&[ahead, across]);
    let told = Vector2::new(sd_ahead, sd_across) * quality.boast;
    let squares = Matrix2::from_diagonal(&told.component_mul(&told));
    let cov = axes * squares * axes.transpose();
    let cov = cov.map(|v| round(v, 1e6)) + Matrix2::identity() * 1e-4;
    Person {
        foot: foot_at,
        cov_m2: cov,
        score: 0.9,
        height_m: None,
        hands: Vec::new(),
        hand_sd_m: linefree_recording::DEFAULT_HAND_SD_M,
        track: None,
        tracklet: None,
    }
}

/// Tracks of people who are near each other change places now and then.
fn swap_tracks(
    seen: &[(usize, Point2<f64>)],
    followed: &mut BTreeMap<usize, Followed>,
    people: &mut [Person],
    quality: &Quality,
    chance: &mut Chance,
) {
    for i in 0..seen.len() {
        for j in i + 1..seen.len() {
            let near = (seen[i].1 - seen[j].1).norm() < SWAP_M;
            if !near || !chance.happens(SWAPS_PER_S / quality.rate_hz) {
                continue;
            }
            let tracks =
                (followed.get(&seen[i].0).map(|f| f.track), followed.get(&seen[j].0).map(|f| f.track));
            let (Some(a), Some(b)) = tracks else { continue };
            for (who, track) in [(seen[i].0, b), (seen[j].0, a)] {
                if let Some(f) = followed.get_mut(&who) {
                    f.track = track;
                }
            }
            people[i].track = Some(TrackId(b));
            people[j].track = Some(TrackId(a));
        }
    }
}

/// False detections: most of a moment, some that stay a while.
#[expect(clippy::too_many_arguments, reason = "one camera's whole state, in one place only")]
fn haunt(
    store: &SimulatedStore,
    eye: &Eye,
    quality: &Quality,
    t: f64,
    ghosts: &mut Vec<Ghost>,
    tracks: &mut u32,
    people: &mut Vec<Person>,
    chance: &mut Chance,
) {
    ghosts.retain(|g| g.until_s > t);
    if chance.happens(quality.ghosts_per_s / quality.rate_hz) {
        let corners = store.layout.floor.corners();
        let xs = corners.iter().map(|c| c.x);
        let ys = corners.iter().map(|c| c.y);
        let (x0, x1) = (xs.clone().fold(f64::MAX, f64::min), xs.fold(f64::MIN, f64::max));
        let (y0, y1) = (ys.clone().fold(f64::MAX, f64::min), ys.fold(f64::MIN, f64::max));
        let at = Point2::new(chance.between(x0, x1), chance.between(y0, y1));
        *tracks += 1;
        ghosts.push(Ghost { until_s: t + chance.waiting_s(0.25).min(2.0), at, track: *tracks });
    }
    for ghost in ghosts.iter() {
        let mut person = place(eye, quality, ghost.at, Vector2::zeros(), true, chance);
        person.score = round(chance.between(0.3, 0.7), 100.0);
        person.track = Some(TrackId(ghost.track));
        people.push(person);
    }
}
