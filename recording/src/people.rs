//! `people.jsonl`: where people are, one line a camera and moment.
//!
//! A person is either a box in the image or a point on the floor. Lines of one camera are in time order; cameras
//! interleave and may be late, so the reader keeps the order of the file, which is the order of arrival.

use std::collections::BTreeMap;
use std::path::Path;

use linefree_domain::floor::Person;
use linefree_domain::geometry::PixelBox;
use linefree_domain::ids::{CameraId, CameraIndex, TrackId};
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::Detection;
use nalgebra::{Matrix2, Point2, Point3};
use serde::{Deserialize, Serialize};

use crate::json_lines::{JsonLines, wrong_t};
use crate::mistake::Mistake;

/// Standard deviation of a hand's coordinates where the line does not give one, metres.
pub const DEFAULT_HAND_SD_M: f64 = 0.08;

/// Everyone one camera sees at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PeopleLine {
    /// When, by that camera's clock.
    pub time: StoreTime,
    /// Which camera.
    pub camera: CameraId,
    /// The camera in store.toml; `None` for one that is not there, which can only give floor points.
    pub index: Option<CameraIndex>,
    /// Everyone in it.
    pub people: Vec<RecordedPerson>,
}

/// One person, in either form.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordedPerson {
    /// A box in the image.
    Box(Detection),
    /// A point on the floor.
    Floor(Person),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLine {
    t: f64,
    camera: String,
    people: Vec<RawPerson>,
}

#[derive(Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPerson {
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    bbox: Option<[f64; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foot: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cov: Option<[f64; 3]>,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hands: Option<Vec<[f64; 3]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_sd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<u32>,
}

/// Streams people.jsonl; ends after the first mistake.
pub struct PeopleReader {
    lines: JsonLines<RawLine>,
    start: StoreTime,
    cameras: BTreeMap<String, CameraIndex>,
    last_t: BTreeMap<String, f64>,
    ended: bool,
}

impl PeopleReader {
    /// Opens a people.jsonl.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, start: StoreTime, layout: &StoreLayout) -> Result<Self, Mistake> {
        let cameras = layout
            .cameras
            .iter()
            .enumerate()
            .map(|(i, c)| (c.id.as_str().to_owned(), CameraIndex(i)))
            .collect();
        Ok(Self { lines: JsonLines::open(path)?, start, cameras, last_t: BTreeMap::new(), ended: false })
    }

    fn check(&mut self, raw: RawLine) -> Result<PeopleLine, Mistake> {
        let RawLine { t, camera, people } = raw;
        if let Some(remedy) = wrong_t(t) {
            return Err(self.lines.mistake("t", format!("{t} is not a time"), remedy));
        }
        let id = CameraId::new(&camera)
            .map_err(|e| self.lines.mistake("camera", e.to_string(), "write the id of a camera"))?;
        let last = self.last_t.entry(camera.clone()).or_insert(f64::NEG_INFINITY);
        if t < *last {
            let what = format!("{t} comes after {last} of the same camera: time goes backwards");
            return Err(self.lines.mistake("t", what, "keep each camera's lines in time order"));
        }
        *last = t;
        let index = self.cameras.get(&camera).copied();
        let mut checked = Vec::with_capacity(people.len());
        for (i, person) in people.iter().enumerate() {
            let person = check_person(person, index.is_some()).map_err(|(field, what, remedy)| {
                self.lines.mistake(&format!("people[{}].{field}", i + 1), what, remedy)
            })?;
            checked.push(person);
        }
        Ok(PeopleLine { time: self.start.plus_s(t), camera: id, index, people: checked })
    }
}

impl Iterator for PeopleReader {
    type Item = Result<PeopleLine, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.lines.next().map(|raw| raw.and_then(|raw| self.check(raw)));
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

type Wrong = (&'static str, String, &'static str);

fn check_person(raw: &RawPerson, calibrated: bool) -> Result<RecordedPerson, Wrong> {
    if !raw.score.is_finite() || raw.score < 0.0 {
        return Err(("score", format!("is {}", raw.score), "write a number from 0 to 1"));
    }
    let score = raw.score.min(1.0);
    match (raw.bbox, raw.foot) {
        (Some([x, y, w, h]), None) => {
            let extra = [
                ("cov", raw.cov.is_some()),
                ("height", raw.height.is_some()),
                ("hands", raw.hands.is_some()),
                ("hand_sd", raw.hand_sd.is_some()),
                ("track", raw.track.is_some()),
            ];
            if let Some((field, _)) = extra.into_iter().find(|(_, there)| *there) {
                return Err((field, "stands beside box".to_owned(), "a box has only box and score"));
            }
            let bbox = PixelBox { x, y, w, h };
            if !bbox.is_valid() {
                return Err((
                    "box",
                    format!("is {:?}", [x, y, w, h]),
                    "write [x, y, width, height] in pixels",
                ));
            }
            if !calibrated {
                let what = "store.toml has no camera of this id, so the box cannot be placed on the floor";
                return Err(("box", what.to_owned(), "add the [[camera]], or write floor points"));
            }
            Ok(RecordedPerson::Box(Detection { bbox, score }))
        }
        (None, Some(foot)) => floor_person(raw, foot, score).map(RecordedPerson::Floor),
        (Some(_), Some(_)) => Err(("box", "stands beside foot".to_owned(), "write either box or foot")),
        (None, None) => Err(("box", "is missing, and so is foot".to_owned(), "write either box or foot")),
    }
}

fn floor_person(raw: &RawPerson, foot: [f64; 2], score: f64) -> Result<Person, Wrong> {
    if !foot.iter().all(|v| v.is_finite()) {
        return Err(("foot", format!("is {foot:?}"), "write [x, y] in metres"));
    }
    let Some([xx, xy, yy]) = raw.cov else {
        return Err((
            "cov",
            "is missing".to_owned(),
            "write the foot's covariance [xx, xy, yy], square metres",
        ));
    };
    // A vanishing determinant (perfect correlation) is poor but not impossible; a negative one is.
    let possible = xx > 0.0 && yy > 0.0 && xx * yy - xy * xy >= -1e-12 * xx * yy;
    if !(possible && xx.is_finite() && yy.is_finite()) {
        return Err((
            "cov",
            format!("is {:?}", [xx, xy, yy]),
            "write a covariance [xx, xy, yy], square metres",
        ));
    }
    if let Some(height) = raw.height
        && !(height.is_finite() && height > 0.0)
    {
        return Err(("height", format!("is {height}"), "write the body's height in metres, or leave it out"));
    }
    let hand_sd_m = raw.hand_sd.unwrap_or(DEFAULT_HAND_SD_M);
    if !(hand_sd_m.is_finite() && hand_sd_m > 0.0) {
        return Err(("hand_sd", format!("is {hand_sd_m}"), "write metres above 0, or leave it out"));
    }
    let hands = raw.hands.as_deref().unwrap_or_default();
    if !hands.iter().flatten().all(|v| v.is_finite()) {
        return Err(("hands", "holds a number that is not finite".to_owned(), "write [x, y, z] in metres"));
    }
    Ok(Person {
        foot: Point2::from(foot),
        cov_m2: Matrix2::new(xx, xy, xy, yy),
        score,
        height_m: raw.height,
        hands: hands.iter().map(|h| Point3::from(*h)).collect(),
        hand_sd_m,
        track: raw.track.map(TrackId),
        tracklet: None,
    })
}

/// One line of people.jsonl as it is written.
pub(crate) fn to_raw(t: f64, line: &PeopleLine) -> RawLine {
    let person = |p: &RecordedPerson| match p {
        RecordedPerson::Box(d) => RawPerson {
            bbox: Some([d.bbox.x, d.bbox.y, d.bbox.w, d.bbox.h]),
            score: d.score,
            ..RawPerson::default()
        },
        RecordedPerson::Floor(p) => {
            let hands: Vec<[f64; 3]> = p.hands.iter().map(|h| [h.x, h.y, h.z]).collect();
            RawPerson {
                foot: Some([p.foot.x, p.foot.y]),
                cov: Some([p.cov_m2.m11, p.cov_m2.m12, p.cov_m2.m22]),
                score: p.score,
                height: p.height_m,
                hand_sd: (!hands.is_empty()).then_some(p.hand_sd_m),
                hands: (!hands.is_empty()).then_some(hands),
                track: p.track.map(|t| t.0),
                ..RawPerson::default()
            }
        }
    };
    RawLine { t, camera: line.camera.as_str().to_owned(), people: line.people.iter().map(person).collect() }
}
