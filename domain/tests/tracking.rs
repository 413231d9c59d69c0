//! One camera's tracker: who keeps their number, and what nonsense does not do.

use std::time::Duration;

use linefree_domain::geometry::PixelBox;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{DelayedTracker, Detection, Track, Tracker, TrackerConfig};
use proptest::prelude::*;

const FPS: f64 = 10.0;

fn at(frame: u32) -> StoreTime {
    StoreTime::from_micros(1_000_000).plus_s(f64::from(frame) / FPS)
}

fn standing(x: f64, score: f64) -> Detection {
    Detection { bbox: PixelBox { x, y: 100.0, w: 60.0, h: 160.0 }, score }
}

/// Ids of everybody shown in the last frame, from left to right.
fn ids(tracks: &[Track]) -> Vec<u32> {
    let mut tracks = tracks.to_vec();
    tracks.sort_by(|a, b| a.bbox.x.total_cmp(&b.bbox.x));
    tracks.iter().map(|t| t.id.0).collect()
}

#[test]
fn a_walker_is_confirmed_by_the_fourth_sighting_and_followed() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for frame in 0..50 {
        let x = 20.0 + 8.0 * f64::from(frame);
        let tracks = tracker.handle_frame(at(frame), &[standing(x, 0.9)]);
        assert_eq!(tracks.len(), usize::from(frame >= 3));
        if let [t] = tracks {
            assert!((t.bbox.x - x).abs() < 8.0 && (t.seen.x - x).abs() < 1e-9 && t.id.0 == 1, "{t:?}");
        }
    }
}

#[test]
fn two_who_pass_each_other_keep_their_numbers() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut first = Vec::new();
    for frame in 0..60 {
        let step = 6.0 * f64::from(frame);
        let (right, left) = (standing(40.0 + step, 0.9), standing(400.0 - step, 0.9));
        // While they cover each other the detector sees one of them.
        let hidden = (right.bbox.x - left.bbox.x).abs() < 30.0;
        let seen = if hidden { vec![right] } else { vec![right, left] };
        let tracks = tracker.handle_frame(at(frame), &seen);
        if frame == 10 {
            first = ids(tracks);
        }
        if frame == 59 {
            let mut last = ids(tracks);
            last.reverse();
            assert_eq!(last, first, "they passed through each other");
        }
    }
    assert_eq!(tracker.counters().tracks_begun, 2);
}

#[test]
fn who_stands_behind_something_for_a_second_and_a_half_is_the_same() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut shown = Vec::new();
    for frame in 0..50 {
        let hidden = (20..35).contains(&frame);
        let seen = if hidden { vec![] } else { vec![standing(200.0, 0.9)] };
        shown = ids(tracker.handle_frame(at(frame), &seen));
        assert!(!hidden || shown.is_empty(), "who is not seen is not shown");
    }
    assert_eq!(shown, [1]);
}

#[test]
fn a_weak_detection_keeps_a_track_and_begins_none() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for frame in 0..20 {
        let score = if frame < 5 { 0.9 } else { 0.3 };
        tracker.handle_frame(at(frame), &[standing(200.0, score), standing(500.0, 0.3)]);
    }
    let tracks = tracker.handle_frame(at(20), &[standing(200.0, 0.3), standing(500.0, 0.3)]);
    assert_eq!(ids(tracks), [1]);
    assert_eq!(tracker.counters().tracks_begun, 1);
}

#[test]
fn the_delayed_tracker_tells_the_first_frames_and_fills_short_gaps() {
    let mut tracker = DelayedTracker::new(TrackerConfig::default(), Duration::from_millis(300));
    let mut told = Vec::new();
    for frame in 0..30 {
        let x = 20.0 + 8.0 * f64::from(frame);
        let mut seen = if frame == 12 || frame == 13 { vec![] } else { vec![standing(x, 0.9)] };
        if frame == 20 {
            seen.push(standing(700.0, 0.95)); // a flicker
        }
        for (time, tracks) in tracker.handle_frame(at(frame), &seen) {
            assert!((at(frame).seconds_since(time) - 0.3).abs() < 1e-6, "fixed delay");
            told.push((time, tracks));
        }
    }
    told.extend(tracker.finish());
    assert_eq!(told.len(), 30);
    for (frame, (time, tracks)) in told.iter().enumerate() {
        assert_eq!(*time, at(frame as u32));
        assert_eq!(ids(tracks), [1], "frame {frame}");
        assert!((tracks[0].bbox.x - 20.0 - 8.0 * frame as f64).abs() < 12.0, "frame {frame}: {tracks:?}");
    }
}

#[test]
fn carrying_moves_everybody_as_they_were_seen_to_move_and_begins_nobody() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut x = 20.0;
    for frame in 0..40 {
        if frame < 8 || frame % 4 == 0 {
            tracker.handle_frame(at(frame), &[standing(x, 0.9)]);
        } else {
            // Every other time the movement could not be seen, and they go on as they went.
            let tracks = tracker.carry(at(frame), |_, _| (frame % 2 == 0).then_some((8.0, 0.0)));
            assert_eq!(ids(tracks), [1], "frame {frame}");
            assert!((tracks[0].seen.x - x).abs() < 5.0, "frame {frame}: {tracks:?}, true {x}");
        }
        x += 8.0;
    }
    assert_eq!(tracker.counters().tracks_begun, 1);
    let before = tracker.counters().frames_out_of_order;
    assert!(tracker.carry(at(39), |_, _| None).is_empty());
    assert_eq!(tracker.counters().frames_out_of_order, before + 1);
}

#[test]
fn what_a_score_means_is_learned_from_the_detector() {
    // A detector that never says more than 0.6 is followed as one that always says 0.98.
    for sure in [0.6, 0.98] {
        let mut tracker = Tracker::new(TrackerConfig::default());
        for frame in 0..10 {
            tracker.handle_frame(at(frame), &[standing(200.0, sure), standing(500.0, 0.4 * sure)]);
        }
        assert_eq!(ids(tracker.tracks()), [1], "sure is {sure}");
    }
}

#[test]
fn time_only_runs_forward() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_frame(at(5), &[standing(10.0, 0.9)]);
    assert!(tracker.handle_frame(at(5), &[standing(10.0, 0.9)]).is_empty());
    assert!(tracker.handle_frame(at(1), &[standing(10.0, 0.9)]).is_empty());
    let c = tracker.counters();
    assert_eq!((c.frames, c.frames_out_of_order, c.tracks_begun), (1, 2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nonsense_is_dropped_and_the_rest_is_numbers(
        frames in proptest::collection::vec(
            proptest::collection::vec(
                (
                    prop_oneof![6 => -100.0f64..2000.0, 1 => Just(f64::NAN), 1 => Just(1e200)],
                    -100.0f64..1000.0,
                    prop_oneof![6 => 0.1f64..300.0, 1 => -5.0f64..0.0, 1 => Just(f64::INFINITY)],
                    0.1f64..500.0,
                    prop_oneof![6 => 0.0f64..1.0, 1 => Just(f64::NAN)],
                ),
                0..15,
            ),
            1..40,
        ),
    ) {
        let mut one = Tracker::new(TrackerConfig::default());
        let mut two = Tracker::new(TrackerConfig::default());
        for (k, frame) in frames.iter().enumerate() {
            let seen: Vec<Detection> = frame
                .iter()
                .map(|(x, y, w, h, score)| Detection {
                    bbox: PixelBox { x: *x, y: *y, w: *w, h: *h },
                    score: *score,
                })
                .collect();
            let tracks = one.handle_frame(at(k as u32), &seen).to_vec();
            prop_assert!(tracks.iter().all(|t| t.bbox.is_valid() && t.score.is_finite()));
            let mut numbers = ids(&tracks);
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), tracks.len(), "nobody is in two places");
            prop_assert_eq!(two.handle_frame(at(k as u32), &seen), &tracks[..], "same input, same output");
        }
        let sound = |d: &&(f64, f64, f64, f64, f64)| {
            let b = PixelBox { x: d.0, y: d.1, w: d.2, h: d.3 };
            b.is_valid() && d.4.is_finite()
        };
        let bad = frames.iter().flatten().filter(|d| !sound(d)).count() as u64;
        prop_assert!(one.counters().bad_detections >= bad);
    }
}
