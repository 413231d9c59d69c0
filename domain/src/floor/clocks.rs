//! How far each camera's clock is off, from what the cameras saw of the same people, and the scales' from who stood there.
//!
//! Cameras that overlap see the same walkers. One whose clock is two seconds off sees them where the others saw them two
//! seconds ago; shifting its sightings in time until they fall on the others' best finds the shift. Who stands says
//! nothing, who walks a lot. The loss of a sighting is its squared distance to the nearest sighting of any other camera at
//! that moment, in standard deviations and bounded (a robust M-estimate; Huber, Robust Statistics, 1981), so that people
//! whom the others do not see, and cameras that are off too, do not decide.
//!
//! Only differences between cameras can be found. The camera whose shift mends most is taken first; of two that would mend
//! alike, the later one in the layout is taken to be off.

use nalgebra::{Point2, Vector2};

use super::PeopleObservation;
use crate::layout::StoreLayout;
use crate::shelf::ShelfEvent;
use crate::time::StoreTime;

/// Shifts that are tried: up to this many seconds either way ...
const MOST_OFF_S: f64 = 3.0;
/// ... in steps of this, which is also the width of a bin of time, seconds.
const STEP_S: f64 = 0.1;
/// How far two cameras' sightings of one person are apart, metres.
const SAME_SD_M: f64 = 0.3;
/// The most that one sighting can lose.
const MOST_LOSS: f64 = 3.0;
/// A clock is off when shifting it gains this much for the average sighting ...
const LEAST_GAIN: f64 = 0.25;
/// ... over at least this many sightings ...
const LEAST_SIGHTINGS: usize = 60;
/// ... by at least this, seconds: less is how cameras are.
const LEAST_OFF_S: f64 = 0.3;
/// Distances that are computed for one camera at most: long recordings are sampled.
const MOST_WORK: usize = 20_000_000;
/// People below this score are not used.
const LEAST_SCORE: f64 = 0.4;

/// Where one stands who handles a plate: so far from its front edge, give or take, metres; the longest look, seconds.
const STAND_OFF_M: f64 = 0.42;
const STANCE_SD_M: f64 = 0.35;
const HANDLING_S: f64 = 1.5;
/// The scales' clock is off when shifting it gains this much for the average shelf event ...
const LEAST_STANCE_GAIN: f64 = 0.35;
/// ... of at least so many ...
const LEAST_EVENTS: usize = 4;
/// ... by at least this, seconds: people stand before a shelf for some time before and after.
const LEAST_SCALE_OFF_S: f64 = 1.0;
/// Shifts that lose this much more than the best are as good.
const ALIKE_LOSS: f64 = 0.05;

/// What cameras saw of a stretch of time, to compare their clocks.
#[derive(Debug, Clone, Default)]
pub struct ClockComparison {
    /// By camera: bin of time and place.
    seen: Vec<Vec<(i64, Point2<f64>)>>,
}

impl ClockComparison {
    /// Notes what a camera saw; the order does not matter.
    pub fn note(&mut self, observation: &PeopleObservation) {
        let camera = observation.camera.0;
        if camera >= super::MOST_CAMERAS {
            return;
        }
        if camera >= self.seen.len() {
            self.seen.resize_with(camera + 1, Vec::new);
        }
        let bin = bin_of(observation.time);
        let sound =
            |p: &&super::Person| p.score >= LEAST_SCORE && p.foot.coords.iter().all(|v| v.is_finite());
        self.seen[camera].extend(observation.people.iter().filter(sound).map(|p| (bin, p.foot)));
    }

    /// How far each camera's clock is ahead of the others', seconds; 0 for a clock that is right or cannot be judged.
    #[must_use]
    pub fn ahead_s(&self) -> Vec<f64> {
        let mut shifts = vec![0_i64; self.seen.len()];
        // A camera that was shifted once may be judged better when the others have been shifted too.
        for _ in 0..2 * self.seen.len() {
            let best = (0..self.seen.len())
                .filter_map(|camera| Some((camera, self.best_shift(camera, &shifts)?)))
                .filter(|(camera, (shift, gain))| *gain >= LEAST_GAIN && *shift != shifts[*camera])
                .max_by(|a, b| a.1.1.total_cmp(&b.1.1).then(a.0.cmp(&b.0)));
            let Some((camera, (shift, _))) = best else { break };
            shifts[camera] = shift;
        }
        let seconds = shifts.iter().map(|bins| *bins as f64 * STEP_S);
        seconds.map(|s| if s.abs() < LEAST_OFF_S { 0.0 } else { s }).collect()
    }

    /// The shift at which this camera agrees best with the others, and how much better a sighting fits than now.
    fn best_shift(&self, camera: usize, shifts: &[i64]) -> Option<(i64, f64)> {
        let others = self.others_of(camera, shifts)?;
        let mine = &self.seen[camera];
        let reach = (MOST_OFF_S / STEP_S).round() as i64;
        let tried = 2 * reach as usize + 1;
        let crowd = others.bins.iter().map(Vec::len).sum::<usize>() / others.bins.len().max(1) + 1;
        let every = (mine.len() * tried * crowd).div_ceil(MOST_WORK).max(1);
        let sampled: Vec<(i64, Point2<f64>)> = mine.iter().step_by(every).copied().collect();
        let now = others.loss(&sampled, shifts[camera], SAME_SD_M);
        if now.1 < LEAST_SIGHTINGS {
            return None;
        }
        let best = (-reach..=reach)
            .map(|shift| (shift, others.loss(&sampled, shift, SAME_SD_M)))
            // A shift past the others' sightings would be judged by few.
            .filter(|(_, (_, judged))| 2 * judged >= now.1)
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.0.abs().cmp(&b.0.abs())))?;
        Some((best.0, now.0 - best.1.0))
    }

    /// How far the scales' clock is ahead of the cameras', seconds; 0 when it is right or cannot be judged.
    ///
    /// `ahead_s` are the cameras' clocks ([`Self::ahead_s`]). Somebody stands before a shelf while it is handled: the shift
    /// of all shelf events at which most have somebody there is the clock's, the middle of it where several do as well.
    #[must_use]
    pub fn scales_ahead_s(&self, ahead_s: &[f64], layout: &StoreLayout, events: &[ShelfEvent]) -> f64 {
        let shifts: Vec<i64> = ahead_s.iter().map(|s| (s / STEP_S).round() as i64).collect();
        let Some(everybody) = self.others_of(usize::MAX, &shifts) else { return 0.0 };
        let handled: Vec<Vec<(i64, Point2<f64>)>> =
            events.iter().filter_map(|event| standing(event, layout)).collect();
        if handled.len() < LEAST_EVENTS {
            return 0.0;
        }
        let loss = |shift: i64| -> f64 {
            let of = |moments: &Vec<(i64, Point2<f64>)>| {
                let (mean, judged) = everybody.loss(moments, shift, STANCE_SD_M);
                if judged == 0 { MOST_LOSS } else { mean }
            };
            handled.iter().map(of).sum::<f64>() / handled.len() as f64
        };
        let reach = (MOST_OFF_S / STEP_S).round() as i64;
        let losses: Vec<(i64, f64)> = (-reach..=reach).map(|shift| (shift, loss(shift))).collect();
        let least = losses.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
        let alike: Vec<i64> =
            losses.iter().filter(|(_, loss)| loss - least <= ALIKE_LOSS).map(|(shift, _)| *shift).collect();
        let middle_s = alike.iter().sum::<i64>() as f64 / alike.len().max(1) as f64 * STEP_S;
        if loss(0) - least >= LEAST_STANCE_GAIN && middle_s.abs() >= LEAST_SCALE_OFF_S {
            middle_s
        } else {
            0.0
        }
    }

    fn others_of(&self, camera: usize, shifts: &[i64]) -> Option<Others> {
        let shifted = || {
            let others = self.seen.iter().enumerate().filter(|(other, _)| *other != camera);
            others.flat_map(|(other, seen)| {
                seen.iter().map(move |(bin, at)| (bin - shifts.get(other).copied().unwrap_or_default(), *at))
            })
        };
        let first = shifted().map(|(bin, _)| bin).min()?;
        let last = shifted().map(|(bin, _)| bin).max()?;
        let mut bins = vec![Vec::new(); usize::try_from(last - first + 1).ok()?];
        for (bin, at) in shifted() {
            bins[(bin - first) as usize].push(at);
        }
        Some(Others { first, bins })
    }
}

/// Where somebody stands who handles these plates, bin by bin of the handling.
fn standing(event: &ShelfEvent, layout: &StoreLayout) -> Option<Vec<(i64, Point2<f64>)>> {
    let plates: Vec<_> = event.changes.iter().filter_map(|c| layout.plates.get(c.plate.0)).collect();
    let facing = layout.gondolas.get(plates.first()?.gondola)?.facing();
    let front =
        plates.iter().map(|p| nalgebra::center(&p.corners[0], &p.corners[1]).coords).sum::<Vector2<f64>>();
    let at = Point2::from(front / plates.len() as f64 + facing * STAND_OFF_M);
    let (start, end) = (event.start(), event.end().min(event.start().plus_s(HANDLING_S)));
    Some((bin_of(start)..=bin_of(end.max(start))).map(|bin| (bin, at)).collect())
}

/// What all other cameras saw, by bin of time.
struct Others {
    first: i64,
    bins: Vec<Vec<Point2<f64>>>,
}

impl Others {
    /// Mean loss of sightings whose clock is ahead by so many bins, and how many could be judged.
    fn loss(&self, sightings: &[(i64, Point2<f64>)], ahead: i64, sd_m: f64) -> (f64, usize) {
        let (mut sum, mut count) = (0.0, 0);
        for (bin, at) in sightings {
            let centre = bin - ahead - self.first;
            let near = (centre - 1..=centre + 1).filter_map(|b| self.bins.get(usize::try_from(b).ok()?));
            let d2 = near.flatten().map(|p| (p - at).norm_squared()).fold(f64::INFINITY, f64::min);
            if d2.is_finite() {
                sum += (d2 / (2.0 * sd_m * sd_m)).min(MOST_LOSS);
                count += 1;
            }
        }
        (sum / f64::max(count as f64, 1.0), count)
    }
}

fn bin_of(time: StoreTime) -> i64 {
    time.micros.div_euclid((STEP_S * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use nalgebra::Matrix2;

    use super::*;
    use crate::floor::Person;
    use crate::ids::CameraIndex;

    /// Three cameras see somebody walk up and down a hall for 40 s, and somebody stand; one clock is ahead.
    fn hall(ahead_s: [f64; 3], walks: bool) -> Vec<f64> {
        let mut clocks = ClockComparison::default();
        for frame in 0..400 {
            for (camera, ahead_s) in ahead_s.into_iter().enumerate() {
                let t_s = f64::from(frame) / 10.0 + 0.03 * camera as f64;
                let along_m = if walks { 4.0 + 3.5 * (t_s / 4.0).sin() } else { 4.0 };
                let err = Vector2::new((t_s * 7.3 + camera as f64).sin(), (t_s * 5.1).cos()) * 0.08;
                let person = |x: f64, y: f64| Person {
                    foot: Point2::new(x, y) + err,
                    cov_m2: Matrix2::identity() * 0.01,
                    score: 0.9,
                    height_m: None,
                    hands: Vec::new(),
                    hand_sd_m: 0.08,
                    track: None,
                    tracklet: None,
                };
                clocks.note(&PeopleObservation {
                    camera: CameraIndex(camera),
                    time: StoreTime::from_micros(1_000_000_000).plus_s(t_s + ahead_s),
                    people: vec![person(along_m, 1.0), person(2.0, 3.0)],
                });
            }
        }
        clocks.ahead_s()
    }

    #[test]
    fn a_clock_two_seconds_off_is_found_either_way() {
        for off_s in [2.0, -1.6] {
            let found = hall([0.0, off_s, 0.0], true);
            assert!((found[1] - off_s).abs() < 0.21, "{found:?}");
            assert!(found[0] == 0.0 && found[2] == 0.0, "{found:?}");
        }
    }

    #[test]
    fn right_clocks_and_people_who_stand_change_nothing() {
        assert_eq!(hall([0.0, 0.05, -0.05], true), [0.0; 3]);
        assert_eq!(hall([0.0, 2.0, 0.0], false), [0.0; 3]);
        assert!(ClockComparison::default().ahead_s().is_empty());
    }
}
