//! The plaza: the pedestrian clip PETS09-S2L1 as a shop floor.
//!
//! Who takes what stands in `script.toml`; it was written from the clip's ground-truth positions, and
//! [`build`] refuses a script that they do not bear out: whoever handles a plate must stand within reach of it, in
//! front of it, and nearer than everybody else by a margin that a person looking on would not doubt. Gates are
//! passed where and when a ground-truth track begins and ends; people still in view at the end stay inside.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use linefree_domain::ids::{Credential, GateIndex};
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use linefree_recording::{CameraFile, GateEvent, GateLine, RecordingWriter, StoreFile};
use nalgebra::{Point2, center};

use crate::load_cell;
use crate::script::{Action, Script};

/// Frames a second of the clip as opencv-doc ships it.
const FRAMES_PER_S: f64 = 10.0;
/// Frames of the clip.
const FRAMES: u32 = 795;
/// 2026-01-28T10:00:00Z: t = 0. The clip itself is older; nothing depends on the date.
const START: StoreTime = StoreTime::from_micros(1_769_594_400_000_000);
/// How far a foot may be from the front edge of a plate that its owner handles, metres.
const REACH_M: f64 = 0.85;
/// By how much everybody else must be farther away, metres.
const MARGIN_M: f64 = 0.4;
/// Others within this distance of a handled plate make it a contested one, metres.
const CONTESTED_M: f64 = 2.1;
/// How far a track may begin or end from the gate it passes, metres.
const GATE_REACH_M: f64 = 1.2;

/// One person's ground-truth positions by frame.
type Path2 = BTreeMap<u32, Point2<f64>>;

/// What was found while the script was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// When the weight changes, seconds.
    pub t: f64,
    /// Who.
    pub credential: String,
    /// The first plate.
    pub plate: String,
    /// The shopper's distance from the plate's front edge, metres.
    pub distance_m: f64,
    /// The next nearest person's distance; infinite when there is nobody, metres.
    pub next_m: f64,
}

impl Checked {
    /// Was another shopper near as well?
    #[must_use]
    pub fn contested(&self) -> bool {
        self.next_m < CONTESTED_M
    }
}

/// Builds the recording in `out` from `store.toml` and `script.toml` in `source` and the clip's ground truth.
///
/// # Errors
/// When a file cannot be read or written, or the ground truth does not bear out the script.
pub fn build(source: &Path, ground_truth: &Path, out: &Path) -> anyhow::Result<Vec<Checked>> {
    let store = StoreFile::read(source.join("store.toml"))?;
    let script = Script::read(&source.join("script.toml"))?;
    let people = read_ground_truth(ground_truth)?;
    let gates = passages(&people, &store.layout)?;
    let checked = check(&script, &people, &store.layout)?;

    let handlings = script.handlings(&store.layout)?;
    let samples = load_cell::weigh(&store.layout, START, script.sampling(), &handlings);
    let camera = store.layout.camera("cam1").context("store.toml has no camera \"cam1\"")?;
    let mut writer = RecordingWriter::create(out, &store, START)?;
    for sample in &samples {
        writer.weights(sample)?;
    }
    for gate in &gates {
        writer.gate(gate)?;
    }
    let credentials: Vec<String> = people.keys().map(|id| credential(*id)).collect();
    writer.expected(&script.receipts(credentials.iter().map(String::as_str))?)?;
    let video = CameraFile { camera, file: "cameras/plaza.avi".into(), offset_s: 0.0 };
    writer.finish(script.duration_s, vec![video])?;
    Ok(checked)
}

fn credential(id: u32) -> String {
    format!("c{id}")
}

fn time_s(frame: u32) -> f64 {
    f64::from(frame - 1) / FRAMES_PER_S
}

/// MOT text with floor coordinates: frame, identity, box (4), confidence, x, y, z.
fn read_ground_truth(path: &Path) -> anyhow::Result<BTreeMap<u32, Path2>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "read {} (give it with --ground-truth; it comes with MOT15 as PETS09-S2L1/gt/gt.txt)",
            path.display()
        )
    })?;
    let mut people: BTreeMap<u32, Path2> = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let row: Vec<f64> = line
            .split(',')
            .map(|v| v.trim().parse())
            .collect::<Result<_, _>>()
            .with_context(|| format!("{}:{}: not a line of numbers", path.display(), i + 1))?;
        let [frame, id, _, _, _, _, _, x, y, ..] = row.as_slice() else {
            bail!("{}:{}: has {} numbers, needs 9", path.display(), i + 1, row.len());
        };
        ensure!((1.0..=f64::from(FRAMES)).contains(frame), "{}:{}: frame {frame}", path.display(), i + 1);
        people.entry(*id as u32).or_default().insert(*frame as u32, Point2::new(*x, *y));
    }
    ensure!(!people.is_empty(), "{} is empty", path.display());
    Ok(people)
}

/// Everybody enters where their track begins and leaves where it ends.
fn passages(people: &BTreeMap<u32, Path2>, layout: &StoreLayout) -> anyhow::Result<Vec<GateLine>> {
    let mut lines = Vec::new();
    for (id, path) in people {
        let ends = [path.first_key_value(), path.last_key_value()];
        let [Some((first, from)), Some((last, to))] = ends else { bail!("person {id} is never seen") };
        let at = |frame: u32| START.plus_s(time_s(frame));
        lines.push(GateLine {
            time: at(*first),
            gate: nearest_gate(layout, *from, GateEvent::Entry)
                .with_context(|| format!("person {id} at frame {first}"))?,
            event: GateEvent::Entry,
            credential: Some(Credential::new(credential(*id))?),
            party: 1,
        });
        if *last < FRAMES {
            lines.push(GateLine {
                time: at(*last),
                gate: nearest_gate(layout, *to, GateEvent::Exit)
                    .with_context(|| format!("person {id} at frame {last}"))?,
                event: GateEvent::Exit,
                credential: None,
                party: 1,
            });
        }
    }
    lines.sort_by_key(|l| (l.time, l.gate));
    Ok(lines)
}

fn nearest_gate(layout: &StoreLayout, at: Point2<f64>, event: GateEvent) -> anyhow::Result<GateIndex> {
    let works = |kind: linefree_domain::layout::GateKind| match event {
        GateEvent::Entry => kind.lets_in(),
        GateEvent::Exit => kind.lets_out(),
    };
    let gates = layout.gates.iter().enumerate().filter(|(_, g)| works(g.kind));
    let nearest = gates
        .map(|(i, g)| (g.segment.distance_m(at), GateIndex(i)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .context("no gate works that way")?;
    ensure!(
        nearest.0 <= GATE_REACH_M,
        "the nearest gate is {:.1} m from ({:.1}, {:.1})",
        nearest.0,
        at.x,
        at.y
    );
    Ok(nearest.1)
}

/// Where somebody is at a moment, between frames on the straight line.
fn position(path: &Path2, t: f64) -> Option<Point2<f64>> {
    let frame = t * FRAMES_PER_S + 1.0;
    let (before, part) = (frame.floor() as u32, frame.fract());
    let a = path.get(&before)?;
    let b = path.get(&(before + 1)).unwrap_or(a);
    Some(a + (b - a) * part)
}

fn check(
    script: &Script,
    people: &BTreeMap<u32, Path2>,
    layout: &StoreLayout,
) -> anyhow::Result<Vec<Checked>> {
    let mut checked = Vec::new();
    let mut wrong = String::new();
    for action in &script.actions {
        match check_action(action, people, layout) {
            Ok(one) => checked.push(one),
            Err(error) => wrong += &format!("\n  {error}"),
        }
    }
    ensure!(
        wrong.is_empty(),
        "the ground truth does not bear out script.toml; correct these actions:{wrong}"
    );
    Ok(checked)
}

fn check_action(
    action: &Action,
    people: &BTreeMap<u32, Path2>,
    layout: &StoreLayout,
) -> anyhow::Result<Checked> {
    let place = format!("action at t = {} of {}", action.t, action.credential);
    let first = action.plates.first().with_context(|| format!("{place}: names no plate"))?;
    let plates: Vec<_> =
        action.plates.iter().filter_map(|id| layout.plates.get(layout.plate(id)?.0)).collect();
    ensure!(plates.len() == action.plates.len(), "{place}: store.toml has not all of {:?}", action.plates);
    // The middle of the front edge of what is handled.
    let sum =
        plates.iter().map(|p| center(&p.corners[0], &p.corners[1]).coords).sum::<nalgebra::Vector2<f64>>();
    let front = Point2::from(sum / plates.len() as f64);
    let mut others = f64::INFINITY;
    let mut own = None;
    for (id, path) in people {
        let Some(at) = position(path, action.t) else { continue };
        let distance = (at - front).norm();
        if credential(*id) == action.credential {
            own = Some((distance, at));
        } else {
            others = others.min(distance);
        }
    }
    let (distance_m, at) = own.with_context(|| format!("{place}: they are not in view"))?;
    ensure!(distance_m <= REACH_M, "{place}: they are {distance_m:.2} m from plate {first}, beyond reach");
    ensure!(
        others - distance_m >= MARGIN_M,
        "{place}: somebody else is {others:.2} m from plate {first}, they are {distance_m:.2} m"
    );
    let facing = plates.first().and_then(|p| layout.gondolas.get(p.gondola)).context("no gondola")?.facing();
    ensure!((at - front).dot(&facing) > 0.0, "{place}: they stand behind plate {first}");
    let plate = first.clone();
    Ok(Checked { t: action.t, credential: action.credential.clone(), plate, distance_m, next_m: others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_lies_between_frames() {
        let path = Path2::from([(1, Point2::new(0.0, 0.0)), (2, Point2::new(1.0, 2.0))]);
        assert!((position(&path, 0.05).unwrap() - Point2::new(0.5, 1.0)).norm() < 1e-9);
        assert_eq!(position(&path, 0.1).unwrap(), Point2::new(1.0, 2.0));
        assert!(position(&path, 0.31).is_none());
    }
}
