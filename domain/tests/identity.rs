//! Who is who after people met: tracklets are cut at meetings, and names follow looks, or are doubted.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use linefree_domain::floor::{FloorConfig, FloorEvent, FloorTracker, PeopleObservation, Person};
use linefree_domain::geometry::{PixelBox, Polygon, Segment};
use linefree_domain::ids::{CameraIndex, GateId, GateIndex, ShopperId, StoreId, TrackId, TrackletId};
use linefree_domain::layout::{Gate, GateKind, StoreLayout};
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{
    Alike, Appearance, BINS, CHANNELS, Detection, PARTS, Tracker, TrackerConfig, Tracklet, Tracklets,
    TrackletsConfig,
};
use linefree_domain::units::Currency;
use nalgebra::{Matrix2, Point2};

fn at(t_s: f64) -> StoreTime {
    StoreTime::from_micros(1_000_000_000_000).plus_s(t_s)
}

/// A hall of 12 m by 4 m with a door at each end.
fn hall() -> StoreLayout {
    let point = |x: f64, y: f64| Point2::new(x, y);
    let door = |id: &str, x: f64| Gate {
        id: GateId::new(id).unwrap(),
        kind: GateKind::Both,
        segment: Segment { from: point(x, 1.0), to: point(x, 3.0) },
    };
    StoreLayout {
        id: StoreId::new("hall").unwrap(),
        name: "Hall".into(),
        timezone: "UTC".into(),
        currency: Currency::new("EUR").unwrap(),
        floor: Polygon::new(vec![point(0.0, 0.0), point(12.0, 0.0), point(12.0, 4.0), point(0.0, 4.0)])
            .unwrap(),
        gates: vec![door("west", 0.0), door("east", 12.0)],
        cameras: Vec::new(),
        gondolas: Vec::new(),
        plates: Vec::new(),
        products: Vec::new(),
        facings: Vec::new(),
        robots: None,
    }
}

/// Two people come in by both doors, stand in one place from second 6 to 9, and part again. Before they meet they are
/// tracklets 1 (from the west) and 2 (from the east), afterwards 3 (to the west) and 4 (to the east). `alike` is what
/// the camera says of 3 and 4.
fn meeting(alike: impl Fn(u32) -> Vec<Alike>) -> (BTreeMap<u32, ShopperId>, Vec<FloorEvent>) {
    let mut floor = FloorTracker::new(&hall(), FloorConfig::default());
    let mut names = BTreeMap::new();
    let mut events = Vec::new();
    floor.expect(vec![(GateIndex(0), at(0.0)), (GateIndex(1), at(0.0))]);
    for frame in 0..140 {
        let t_s = f64::from(frame) / 10.0;
        let off_m = 0.15 + 0.95 * (6.0 - t_s).max(t_s - 9.0).max(0.0);
        let person = |x: f64, tracklet: Option<u32>| {
            // A comparison comes when a tracklet has been seen for half a second.
            let news = (100..=130).contains(&frame) && frame % 10 == 0;
            let tracklet = tracklet.map(|id| Tracklet {
                id: TrackletId(id),
                alike: (news || id < 3 && frame == 10).then(|| alike(id)),
            });
            Person {
                foot: Point2::new(x, 2.0),
                cov_m2: Matrix2::identity() * 0.02,
                score: 0.9,
                height_m: None,
                hands: Vec::new(),
                hand_sd_m: 0.08,
                track: Some(TrackId(u32::from(x > 6.0))),
                tracklet,
            }
        };
        let ids = match t_s {
            t if t < 6.0 => [Some(1), Some(2)],
            t if t < 9.3 => [None, None],
            _ => [Some(3), Some(4)],
        };
        // In the middle one hides the other.
        let shown = if (6.0..9.0).contains(&t_s) { 1 } else { 2 };
        let people = [person(6.0 - off_m, ids[0]), person(6.0 + off_m, ids[1])];
        floor.handle_people(&PeopleObservation {
            camera: CameraIndex(0),
            time: at(t_s),
            people: people.into_iter().take(shown).collect(),
        });
        while let Some(event) = floor.poll_event() {
            events.push(event);
        }
        for (tracklet, x) in [(ids[0], 6.0 - off_m), (ids[1], 6.0 + off_m)] {
            let here = |s: &&linefree_domain::floor::Shopper| (s.at - Point2::new(x, 2.0)).norm() < 0.7;
            if let (Some(tracklet), Some(shopper), true) =
                (tracklet, floor.shoppers().find(here), off_m > 1.5)
            {
                names.insert(tracklet, floor.kept_id(shopper.id));
            }
        }
    }
    (names, events)
}

/// Says that one tracklet is of the same person as one of the first two.
fn like(earlier: u32, log_odds: f64) -> Vec<Alike> {
    (1..=2)
        .map(|id| Alike {
            tracklet: TrackletId(id),
            log_odds: if id == earlier { log_odds } else { -log_odds },
        })
        .collect()
}

#[test]
fn names_follow_looks_whichever_way_people_part() {
    let (turned_back, _) = meeting(|id| if id < 3 { Vec::new() } else { like(id - 2, 4.0) });
    assert_eq!(turned_back[&3], turned_back[&1], "{turned_back:?}");
    assert_eq!(turned_back[&4], turned_back[&2], "{turned_back:?}");
    let (walked_on, _) = meeting(|id| if id < 3 { Vec::new() } else { like(5 - id, 4.0) });
    assert_eq!(walked_on[&3], walked_on[&2], "{walked_on:?}");
    assert_eq!(walked_on[&4], walked_on[&1], "{walked_on:?}");
}

#[test]
fn what_looks_do_not_tell_is_doubted() {
    let doubts = |events: &[FloorEvent]| -> Vec<f64> {
        let of = |e: &FloorEvent| match e {
            FloorEvent::Doubted { probability, .. } => Some(*probability),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    let (_, alike) = meeting(|_| Vec::new());
    let told = doubts(&alike);
    assert!(told.len() == 1 && told[0] > 0.2 && told[0] < 0.6, "{told:?}");
    let (_, clear) = meeting(|id| if id < 3 { Vec::new() } else { like(id - 2, 6.0) });
    assert!(doubts(&clear).iter().all(|p| *p < 0.02), "{:?}", doubts(&clear));
}

/// Two people of these heights come in by both doors, walk up to each other, and part again after a second in one
/// place, having walked on or turned back. One camera tells their heights and its own tracks, but no tracklets: its tracks
/// change over where `tracks_change` says so. Gives who is shown west and east before and after, and what was told.
fn without_tracklets(
    heights_m: [f64; 2],
    walk_on: bool,
    tracks_change: bool,
) -> ([Vec<ShopperId>; 2], Vec<FloorEvent>) {
    let mut floor = FloorTracker::new(&hall(), FloorConfig::default());
    let (mut shown, mut events) = ([Vec::new(), Vec::new()], Vec::new());
    floor.expect(vec![(GateIndex(0), at(0.0)), (GateIndex(1), at(0.0))]);
    for frame in 0..130 {
        let t_s = f64::from(frame) / 10.0;
        let off_m = 0.05 + 0.95 * (6.0 - t_s).max(t_s - 7.0).max(0.0);
        let parted = t_s > 6.5;
        let people = [0, 1].map(|who: u32| {
            let west = (who == 0) != (parted && walk_on);
            let tracked = if parted && tracks_change { 1 - who } else { who };
            Person {
                foot: Point2::new(if west { 6.0 - off_m } else { 6.0 + off_m }, 2.0),
                cov_m2: Matrix2::identity() * 0.01,
                score: 0.9,
                height_m: Some(heights_m[who as usize]),
                hands: Vec::new(),
                hand_sd_m: 0.08,
                track: Some(TrackId(tracked)),
                tracklet: None,
            }
        });
        floor.handle_people(&PeopleObservation {
            camera: CameraIndex(0),
            time: at(t_s),
            people: people.to_vec(),
        });
        events.extend(std::iter::from_fn(|| floor.poll_event()));
        for (part, when) in [4.0, 11.0].into_iter().enumerate() {
            if (t_s - when).abs() < 0.01 {
                let mut here: Vec<_> = floor.shoppers().collect();
                here.sort_by(|a, b| a.at.x.total_cmp(&b.at.x));
                shown[part] = here.iter().map(|s| s.id).collect();
            }
        }
    }
    (shown, events)
}

#[test]
fn heights_and_tracks_settle_a_meeting_without_tracklets() {
    for walk_on in [false, true] {
        let (shown, events) = without_tracklets([1.62, 1.86], walk_on, false);
        let [before, mut after] = shown;
        assert_eq!(before.len(), 2, "{before:?}");
        if walk_on {
            after.reverse();
        }
        assert_eq!(before, after, "walked on: {walk_on}");
        let doubted = events.iter().any(|e| matches!(e, FloorEvent::Doubted { .. }));
        assert!(!doubted, "nothing is in doubt: {events:?}");
    }
}

#[test]
fn a_meeting_whose_evidence_disagrees_is_doubted() {
    // Of one height, and the camera's tracks have changed over: nobody can know.
    let (_, events) = without_tracklets([1.75, 1.75], false, true);
    let told: Vec<f64> = events
        .iter()
        .filter_map(|e| match e {
            FloorEvent::Doubted { probability, .. } => Some(*probability),
            _ => None,
        })
        .collect();
    assert!(told.len() == 1 && told[0] > 0.05 && told[0] <= 0.5, "{told:?}");
}

fn clothes(bin: usize) -> Appearance {
    let mut histogram = [0.2; BINS];
    histogram[bin] = 20.0;
    Appearance::from_counts(&[[histogram; CHANNELS]; PARTS]).unwrap()
}

#[test]
fn a_track_is_cut_where_two_people_meet_and_compared_afterwards() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut tracklets = Tracklets::new(TrackletsConfig::default());
    let mut pieces: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let mut alike: BTreeMap<u32, Vec<Alike>> = BTreeMap::new();
    let mut unsure = 0;
    for frame in 0..80 {
        let t_s = f64::from(frame) / 10.0;
        // Two figures walk through each other, one a little lower in the image than the other.
        let left = PixelBox { x: 100.0 + 8.0 * f64::from(frame), y: 100.0, w: 40.0, h: 120.0 };
        let right = PixelBox { x: 730.0 - 8.0 * f64::from(frame), y: 118.0, w: 40.0, h: 120.0 };
        let seen = [left, right].map(|bbox| Detection { bbox, score: 0.9 });
        tracker.handle_looks(at(t_s), &seen, &[Some(clothes(3)), Some(clothes(11))]);
        for piece in tracklets.handle_frame(at(t_s), &tracker) {
            let Some(piece) = piece else {
                unsure += 1;
                continue;
            };
            let span = pieces.entry(piece.id.0).or_insert((t_s, t_s));
            span.1 = t_s;
            if let Some(news) = piece.alike {
                alike.insert(piece.id.0, news);
            }
        }
    }
    assert_eq!(pieces.len(), 4, "two before the meeting and two after it: {pieces:?}");
    assert!(unsure >= 4, "while they cover each other nobody is sure: {unsure}");
    for after in [3, 4] {
        let news = &alike[&after];
        let like: Vec<u32> = news.iter().filter(|a| a.log_odds > 2.0).map(|a| a.tracklet.0).collect();
        let unlike = news.iter().filter(|a| a.log_odds < -2.0).count();
        assert_eq!((like.len(), unlike), (1, 1), "{news:?}");
    }
}
