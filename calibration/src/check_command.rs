//! `calibrate check`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use linefree_calibration::coverage::Viewer;
use linefree_calibration::drift::{self, CameraDrift, PlateDrift, Seen};
use linefree_calibration::store::Store;
use linefree_domain::geometry::View;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector};
use linefree_domain::time::StoreTime;
use linefree_recording::WeightsReader;
use nalgebra::{Point2, Vector3};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{note, print, write_file};

/// People of one moment are within this, seconds.
const MOMENT_S: f64 = 0.1;
/// A camera that is off by this share of the agent's limit is warned about.
const WARN_SHARE: f64 = 0.4;
/// The agent's limit of errors on the floor, metres.
const LIMIT_M: f64 = 0.15;
/// People who seem this much taller or smaller than at first, metres: the camera was tilted.
const HEIGHT_M: f64 = 0.06;
/// A plate's gain may have drifted by this.
const GAIN_SHARE: f64 = 0.01;
/// ... and by this many standard deviations.
const GAIN_SDS: f64 = 3.0;
/// As many checks are remembered: a year of days.
const REMEMBERED: usize = 400;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The store with its cameras and planogram
    #[arg(value_name = "STORE.TOML")]
    store: PathBuf,
    /// What cameras saw: people.jsonl of a recording, or their messages on the bus, one a line
    #[arg(long, value_name = "FILE", required_unless_present = "weights")]
    people: Option<PathBuf>,
    /// What scales weighed: weights.csv of a recording
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where earlier checks are remembered; made at the first one, which should follow a calibration
    #[arg(long, value_name = "FILE", default_value = "check.jsonl")]
    history: PathBuf,
    /// Begin anew: this check follows a calibration
    #[arg(long)]
    afresh: bool,
    /// The day of this check, as 2026-11-23
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    day: Option<String>,
    /// End with exit code 1 when something has drifted
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  $ mosquitto_sub -h 127.0.0.1 -t 'linefree/v1/corner/camera/+/people' -W 3600 > today.jsonl
  $ calibrate check store.toml --people today.jsonl --history check.jsonl --day 2026-11-23
  $ calibrate check store.toml --people people.jsonl --weights weights.csv --strict

The first check after a calibration is what later ones are compared with. An hour with customers is
enough. Run it every night; it warns before the agent's limit is reached.";

/// One check, a line of the history.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Check {
    day: String,
    #[serde(default)]
    cameras: BTreeMap<String, CameraDrift>,
    #[serde(default)]
    plates: BTreeMap<String, PlateDrift>,
}

fn parse_day(text: &str) -> Result<String, String> {
    days(text).map(|_| text.to_owned()).ok_or_else(|| "write the day as 2026-11-23".into())
}

/// Days since 1970 of a date (Hinnant's days_from_civil).
fn days(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split('-').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = parts.try_into().ok()?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn today() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let z = (since.as_secs() / 86_400) as i64 + 719_468;
    // Hinnant's civil_from_days.
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * m + 2) / 5 + 1)
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::read(&arguments.store)?;
    let viewers = Viewer::of(&store.layout, &store.qualities);
    let mut check = Check {
        day: arguments.day.clone().unwrap_or_else(today),
        cameras: BTreeMap::new(),
        plates: BTreeMap::new(),
    };
    if let Some(file) = &arguments.people {
        let seen = read_people(file, &viewers)?;
        let drifts = drift::of_cameras(viewers.len(), &seen);
        check.cameras = viewers.iter().map(|v| v.id.clone()).zip(drifts).collect();
    }
    if let Some(file) = &arguments.weights {
        check.plates = of_weights(file, &store.layout)?;
    }
    let earlier = if arguments.afresh { Vec::new() } else { read_history(&arguments.history)? };
    let (warnings, notes) = judge(&check, &earlier);
    let mut summary = told(&check, earlier.first());
    for line in &notes {
        let _ = write!(summary, "\nnote: {line}");
    }
    for line in &warnings {
        let _ = write!(summary, "\nwarning: {line}");
    }
    if warnings.is_empty() {
        summary.push_str("\nnothing has drifted");
    }
    remember(&arguments.history, &earlier, &check)?;
    note(&summary);
    if arguments.json {
        let report = json!({"check": check, "first": earlier.first(), "warnings": warnings, "notes": notes});
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    }
    anyhow::ensure!(!arguments.strict || warnings.is_empty(), "{} things have drifted", warnings.len());
    Ok(())
}

fn judge(check: &Check, earlier: &[Check]) -> (Vec<String>, Vec<String>) {
    let (mut warnings, mut notes) = (Vec::new(), Vec::new());
    let first = earlier.first();
    for (id, now) in &check.cameras {
        let then = first.and_then(|c| c.cameras.get(id));
        let Some(off_m) = now.off_m else {
            notes.push(format!(
                "{id}: {} pairs with other cameras, {} are needed; check over a longer time, or let cameras overlap",
                now.pairs,
                drift::MIN_PAIRS
            ));
            tilted(id, now, then, &mut warnings);
            continue;
        };
        let moved_m = moved_m(now, then);
        if moved_m > WARN_SHARE * LIMIT_M {
            let soon = pace(id, check, earlier, moved_m);
            warnings.push(format!(
                "{id} puts people {:.0} cm from where other cameras see them{}; repeat `calibrate pose` for it{soon}",
                off_m * 100.0,
                if then.is_some() { format!(", {:.0} cm more than at first", moved_m * 100.0) } else { String::new() }
            ));
        }
        tilted(id, now, then, &mut warnings);
    }
    for (id, now) in &check.plates {
        let (Some(gain), Some(sd)) = (now.gain, now.gain_sd) else { continue };
        let then = first.and_then(|c| c.plates.get(id)).and_then(|p| p.gain).unwrap_or(1.0);
        let off = gain / then - 1.0;
        if off.abs() > GAIN_SHARE && off.abs() > GAIN_SDS * sd {
            warnings.push(format!(
                "plate {id} weighs {:.1} % too {} ({} takes and puts); repeat `calibrate shelf` for its shelf",
                off.abs() * 100.0,
                if off > 0.0 { "much" } else { "little" },
                now.changes
            ));
        }
    }
    (warnings, notes)
}

/// How far a camera has moved since the first check, on the floor.
fn moved_m(now: &CameraDrift, then: Option<&CameraDrift>) -> f64 {
    let off_m = now.off_m.unwrap_or(0.0);
    match (then, now.shift_m) {
        (Some(CameraDrift { off_m: Some(was_m), shift_m: Some(was), .. }), Some(is)) => {
            (is[0] - was[0]).hypot(is[1] - was[1]).max(off_m - was_m)
        }
        _ => off_m,
    }
}

fn tilted(id: &str, now: &CameraDrift, then: Option<&CameraDrift>, warnings: &mut Vec<String>) {
    if let (Some(is), Some(was)) = (now.height_m, then.and_then(|t| t.height_m))
        && (is - was).abs() > HEIGHT_M
    {
        warnings.push(format!(
            "people seem {:.0} cm {} to {id} than at first: it was tilted or moved; repeat `calibrate pose` for it",
            (is - was).abs() * 100.0,
            if is > was { "taller" } else { "smaller" }
        ));
    }
}

/// When the limit is reached if it goes on like this: a line through all checks.
fn pace(id: &str, check: &Check, earlier: &[Check], moved_now_m: f64) -> String {
    if moved_now_m >= LIMIT_M {
        return String::new();
    }
    let first = earlier.first().and_then(|c| c.cameras.get(id));
    let points: Vec<(f64, f64)> = earlier
        .iter()
        .chain([check])
        .filter_map(|c| Some((days(&c.day)? as f64, moved_m(c.cameras.get(id)?, first))))
        .collect();
    let n = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if points.len() < 3 || spread < 1.0 || along <= 0.0 {
        return String::new();
    }
    let days = (LIMIT_M - moved_now_m) / (along / spread);
    format!(" (at this pace it is off by {:.0} cm in {days:.0} days)", LIMIT_M * 100.0)
}

fn told(check: &Check, first: Option<&Check>) -> String {
    let mut out = match first {
        Some(first) => format!("{}, compared with {}", check.day, first.day),
        None => format!("{}: the first check; later ones are compared with it", check.day),
    };
    for (id, c) in &check.cameras {
        let off = c.off_m.map_or("not known".to_owned(), |m| format!("{:.1} cm", m * 100.0));
        let _ = write!(out, "\n{id}: off by {off}, {} pairs", c.pairs);
        if let Some(height_m) = c.height_m {
            let _ = write!(out, ", people {height_m:.2} m tall");
        }
    }
    for (id, p) in &check.plates {
        if let Some(gain) = p.gain {
            let _ = write!(out, "\nplate {id}: gain {gain:.4}, {} takes and puts", p.changes);
        }
    }
    out
}

fn read_history(path: &Path) -> anyhow::Result<Vec<Check>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("{}: cannot be read", path.display())),
    };
    let line = |(i, text): (usize, &str)| {
        serde_json::from_str(text).with_context(|| {
            format!(
                "{}: line {}: is no check; remove the line, or begin with --afresh",
                path.display(),
                i + 1
            )
        })
    };
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(line).collect()
}

fn remember(path: &Path, earlier: &[Check], check: &Check) -> anyhow::Result<()> {
    // The first stays: all are compared with it.
    let skip = (earlier.len() + 1).saturating_sub(REMEMBERED);
    let kept = earlier.iter().enumerate().filter(|(i, _)| *i == 0 || *i > skip).map(|(_, c)| c);
    let lines: Vec<String> = kept.chain([check]).map(serde_json::to_string).collect::<Result<_, _>>()?;
    write_file(path, &(lines.join("\n") + "\n"))
}

#[derive(Deserialize)]
struct PeopleLine {
    /// Of a recording, seconds.
    t: Option<f64>,
    /// Of the bus, microseconds.
    time_us: Option<i64>,
    camera: String,
    people: Vec<PersonLine>,
}

#[derive(Deserialize)]
struct PersonLine {
    #[serde(rename = "box")]
    in_image: Option<[f64; 4]>,
    foot: Option<[f64; 2]>,
    height: Option<f64>,
}

fn read_people(path: &Path, viewers: &[Viewer]) -> anyhow::Result<Vec<Seen>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read"))?;
    let mut seen = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let line: PeopleLine = serde_json::from_str(line).with_context(|| {
            format!(
                "{shown}: line {}: is no line of people (docs/ref/recording.md, docs/ref/bus.md)",
                index + 1
            )
        })?;
        let time_s = line.t.or(line.time_us.map(|us| us as f64 / 1e6));
        let time_s = time_s.filter(|t| t.is_finite()).with_context(|| {
            format!("{shown}: line {}: has no time; write t (seconds) or time_us", index + 1)
        })?;
        let moment = (time_s / MOMENT_S).round() as i64;
        let Some(camera) = viewers.iter().position(|v| v.id == line.camera) else { continue };
        for person in &line.people {
            let placed = match (person.foot, person.in_image) {
                (Some([x, y]), _) => Some((Point2::new(x, y), person.height)),
                (None, Some(in_image)) => placed(&viewers[camera], in_image),
                (None, None) => None,
            };
            if let Some((at, height_m)) = placed {
                seen.push(Seen { moment, camera, at, height_m });
            }
        }
    }
    anyhow::ensure!(
        !seen.is_empty(),
        "{shown}: holds nobody whom a camera of the store places on the floor; check that it is of this store"
    );
    Ok(seen)
}

/// Where the feet of a box are, and how tall it is; `None` where it ends at the image's edge and not at the feet.
fn placed(viewer: &Viewer, [x, y, w, h]: [f64; 4]) -> Option<(Point2<f64>, Option<f64>)> {
    if y + h >= f64::from(viewer.size_px[1]) - 2.0 {
        return None;
    }
    let at = viewer.view.floor_at(Point2::new(x + w / 2.0, y + h), 0.0)?.at;
    let height_m = if y > 2.0 { height_m(&viewer.view, at, Point2::new(x + w / 2.0, y)) } else { None };
    Some((at, height_m))
}

/// How high above a place on the floor the ray through a pixel passes.
fn height_m(view: &View, at: Point2<f64>, head_px: Point2<f64>) -> Option<f64> {
    let View::Lens { lens, pose } = view else { return None };
    let ideal = lens.undistort(head_px)?;
    let ray = pose.matrix().transpose() * Vector3::new(ideal.x, ideal.y, 1.0);
    let from = pose.position();
    // Nearest to the vertical line above the place.
    let along = (at - from.xy()).dot(&ray.xy()) / ray.xy().norm_squared();
    let height_m = from.z + along * ray.z;
    (along > 0.0 && (0.5..2.5).contains(&height_m)).then_some(height_m)
}

fn of_weights(path: &Path, layout: &StoreLayout) -> anyhow::Result<BTreeMap<String, PlateDrift>> {
    let reader = WeightsReader::open(path, StoreTime::from_micros(0), layout)?;
    let mut detector = ShelfDetector::new(layout, ShelfConfig::default());
    let mut events = Vec::new();
    for sample in reader {
        events.extend(detector.handle_sample(&sample?));
    }
    events.extend(detector.finish());
    let drifts = drift::of_plates(layout, &events);
    Ok(drifts.into_iter().map(|(plate, d)| (layout.plates[plate.0].id.to_string(), d)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted() {
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2026-11-23").zip(days("2026-12-01")).map(|(a, b)| b - a), Some(8));
        assert_eq!(days("2024-03-01").zip(days("2024-02-28")).map(|(a, b)| a - b), Some(2));
        for bad in ["", "2026-13-01", "2026-1", "today", "2026-01-40"] {
            assert!(days(bad).is_none(), "{bad}");
        }
        assert!(days(&today()).is_some_and(|d| d > 20_000));
    }

    #[test]
    fn a_slow_drift_is_told_before_it_reaches_the_limit() {
        let at = |day: &str, off: f64| {
            let drift =
                CameraDrift { pairs: 200, off_m: Some(off), shift_m: Some([off, 0.0]), height_m: Some(1.7) };
            Check { day: day.into(), cameras: [("cam1".to_owned(), drift)].into(), plates: BTreeMap::new() }
        };
        let earlier = [at("2026-11-01", 0.01), at("2026-11-05", 0.03), at("2026-11-09", 0.05)];
        assert!(judge(&at("2026-11-09", 0.05), &earlier[..2]).0.is_empty());
        let (warnings, _) = judge(&at("2026-11-13", 0.09), &earlier);
        assert!(warnings.len() == 1 && warnings[0].contains("8 cm more than at first"), "{warnings:?}");
        assert!(warnings[0].contains("15 cm in 1"), "{warnings:?}");
        let mut tilted = at("2026-11-13", 0.01);
        tilted.cameras.get_mut("cam1").unwrap().height_m = Some(1.9);
        assert!(judge(&tilted, &earlier).0[0].contains("20 cm taller"));
    }
}
