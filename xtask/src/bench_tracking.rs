//! The tracker's part of `cargo xtask bench`: ours and the trackers of PyPI on the same detections.
//!
//! Every peer gets an environment under `.linefree/peers`; what cannot be installed is left out with a line that says
//! so. All of them run on one core, one after another, on the MOT text files of `LINEFREE_SHARED/data/mot15`; TrackEval
//! scores what they wrote. Only tracking is timed: reading, conversion and writing are not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::say::{self, Running};
use crate::setup::stamp;
use crate::workspace::Workspace;

/// Ours must lead the best peer by so many points of HOTA and of IDF1.
const LEAST_LEAD: f64 = 2.0;
/// Ours must be so many times as fast as the fastest peer.
const LEAST_SPEED: f64 = 20.0;
/// Rounds of ours; the fastest counts, as for the peers.
const ROUNDS: usize = 3;
const RUNNER: &str = "xtask/python/track_peers.py";
pub const SCORER: &str = "xtask/python/score_tracks.py";
/// What scores, in an environment of its own.
const SCORING: Library = Library { name: "scoring", packages: &["trackeval==1.3.0"], peers: &[] };
const OURS: &str = "linefree";

/// A library of PyPI and the trackers in it.
struct Library {
    name: &'static str,
    packages: &'static [&'static str],
    peers: &'static [&'static str],
}

const LIBRARIES: [Library; 5] = [
    Library {
        name: "trackers",
        packages: &["trackers==2.6.1"],
        peers: &["sort", "bytetrack", "oc-sort", "bot-sort", "c-biou"],
    },
    // Later ones have handed tracking over to `trackers`.
    Library { name: "supervision", packages: &["supervision==0.26.1"], peers: &["supervision"] },
    Library { name: "norfair", packages: &["norfair==2.3.0"], peers: &["norfair"] },
    Library { name: "motpy", packages: &["motpy==0.0.10"], peers: &["motpy"] },
    Library { name: "similari", packages: &["similari-trackers-rs==0.26.12", "numpy"], peers: &["similari"] },
];

/// What is measured of one sequence or of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Score {
    pub hota: f64,
    det_a: f64,
    ass_a: f64,
    pub idf1: f64,
    pub mota: f64,
    pub switches: u32,
    #[serde(default)]
    sequences: BTreeMap<String, Score>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Timing {
    frames: u64,
    seconds: f64,
    frames_per_second: f64,
}

/// One tracker's figures.
#[derive(Debug, Clone, Serialize)]
struct Row {
    tracker: String,
    #[serde(flatten)]
    score: Score,
    frames_per_second: f64,
}

/// Ours beside the best of the peers.
#[derive(Debug, Serialize)]
struct Lead {
    hota: f64,
    idf1: f64,
    fewest_switches_of_peers: u32,
    times_fastest: f64,
}

#[derive(Debug, Serialize)]
struct Figures {
    profile: String,
    rows: Vec<Row>,
    left_out: Vec<String>,
    lead: Option<Lead>,
}

/// Measures, prints a table, keeps the JSON and the tables of the documentation.
///
/// # Errors
/// When there is no data, when ours does not build or run, or when it does not lead as is wanted.
pub fn run(workspace: &Workspace, profile: &str, docs: Option<&Path>) -> Result<()> {
    let data = data(workspace)?;
    process::loudly(workspace.cargo().args(["build", "--locked", "-p", "edge-agent", "--profile", profile]))?;
    let scoring = install_scorer(workspace)?;
    let out = workspace.target.join("bench/tracking");
    // Results of an earlier run must not be scored as this one's.
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("clear {}", out.display()))?;
    }
    let mut timings = BTreeMap::from([(OURS.to_owned(), ours(workspace, profile, &data, &out.join(OURS))?)]);
    let mut left_out = Vec::new();
    for library in &LIBRARIES {
        match install(workspace, library) {
            Ok(python) => {
                for peer in library.peers {
                    match peer_timing(workspace, &python, peer, &data, &out.join(peer)) {
                        Ok(timing) => {
                            timings.insert((*peer).to_owned(), timing);
                        }
                        Err(error) => left_out.push(format!("{peer} ({}): {error:#}", library.packages[0])),
                    }
                }
            }
            Err(error) => left_out.push(format!("{}: not installed: {error:#}", library.packages[0])),
        }
    }
    for line in &left_out {
        say::note(format!("left out: {line}"));
    }
    let running = Running::begin("scoring with TrackEval");
    let folders: Vec<PathBuf> = timings.keys().map(|name| out.join(name)).collect();
    let mut score = workspace.command(&scoring);
    score.arg(workspace.root.join(SCORER)).arg(&data).args(&folders);
    let scores: BTreeMap<String, Score> =
        serde_json::from_str(&process::output(&mut score)?).context("the scorer printed something else")?;
    running.done("");
    let figures = Figures::of(profile, scores, &timings, left_out)?;
    say::line(figures.table());
    let kept = workspace.target.join("bench").join(format!("tracking-{profile}.json"));
    stamp::write_whole(&kept, (serde_json::to_string_pretty(&figures)? + "\n").as_bytes())?;
    say::note(format!("kept in {}", workspace.shown(&kept)));
    if let Some(folder) = docs {
        write_between(&folder.join("tracking.md"), "tracking", &figures.markdown())?;
    }
    let short = figures.shortcomings();
    if !short.is_empty() {
        bail!("{}", short.join("; "));
    }
    Ok(())
}

fn data(workspace: &Workspace) -> Result<PathBuf> {
    let data = workspace.shared.join("data/mot15");
    ensure!(
        sequences(&data)?.next().is_some(),
        "{} holds no MOT sequences (SEQUENCE/det.txt, gt.txt, seqinfo.ini): set LINEFREE_SHARED to the folder that \
         holds data/mot15",
        data.display()
    );
    Ok(data)
}

/// The folders of a MOT data set that can be scored, by name.
fn sequences(data: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    let list = fs::read_dir(data)
        .with_context(|| format!("read {} (LINEFREE_SHARED names the folder of data/)", data.display()))?;
    let mut folders: Vec<PathBuf> = list.flatten().map(|e| e.path()).collect();
    folders.retain(|f| f.join("det.txt").is_file() && f.join("gt.txt").is_file());
    folders.sort();
    Ok(folders.into_iter())
}

/// A value of seqinfo.ini.
fn info(folder: &Path, key: &str) -> Result<String> {
    let path = folder.join("seqinfo.ini");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let value = text.lines().filter_map(|l| l.split_once('=')).find(|(k, _)| k.trim() == key);
    Ok(value.with_context(|| format!("{}: no {key}", path.display()))?.1.trim().to_owned())
}

/// The environment of what scores.
pub fn install_scorer(workspace: &Workspace) -> Result<PathBuf> {
    install(workspace, &SCORING).context("install what scores (TrackEval)")
}

/// A library's own environment; made when it is not there.
fn install(workspace: &Workspace, library: &Library) -> Result<PathBuf> {
    let folder = workspace.home.join("peers").join(library.name);
    let python = folder.join("bin/python");
    let stamp = folder.join("packages.txt");
    let wanted = library.packages.join("\n");
    if python.is_file() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    let running = Running::begin(format!("install {} from PyPI", library.packages.join(", ")));
    let log = workspace.home.join("log").join(format!("peer-{}.log", library.name));
    let mut make = workspace.command("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    process::quietly(&mut make, &log, &running)
        .context("make the environment (on Debian it needs: apt-get install python3-venv)")?;
    process::retried("pip install", &running, || {
        let mut pip = workspace.command(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        process::quietly(pip.args(library.packages), &log, &running)
    })?;
    stamp::write_whole(&stamp, wanted.as_bytes())?;
    running.done("");
    Ok(python)
}

/// A command bound to one core, with as many threads.
pub fn pinned(workspace: &Workspace, program: &Path) -> std::process::Command {
    let mut command = workspace.command("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(threads, "1");
    }
    command
}

fn ours(workspace: &Workspace, profile: &str, data: &Path, out: &Path) -> Result<Timing> {
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let program = workspace.target.join(folder).join("edge-agent");
    let running = Running::begin("track: ours");
    let mut best: Option<Timing> = None;
    for _ in 0..ROUNDS {
        let (mut frames, mut seconds) = (0, 0.0);
        for folder in sequences(data)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let timing = out.join(format!("{name}.json"));
            let size = format!("{}x{}", info(&folder, "imWidth")?, info(&folder, "imHeight")?);
            let mut track = pinned(workspace, &program);
            track.arg("track").arg("--detections").arg(folder.join("det.txt"));
            track.args(["--fps", &info(&folder, "frameRate")?, "--size", &size]);
            track.arg("--out").arg(out.join(format!("{name}.txt"))).arg("--timing").arg(&timing);
            process::output(&mut track)?;
            let spent = read_timing(&timing)?;
            frames += spent.frames;
            seconds += spent.seconds;
        }
        if best.as_ref().is_none_or(|b| seconds < b.seconds) {
            best = Some(Timing { frames, seconds, frames_per_second: frames as f64 / seconds });
        }
    }
    running.done("");
    best.context("no round of ours")
}

fn peer_timing(workspace: &Workspace, python: &Path, peer: &str, data: &Path, out: &Path) -> Result<Timing> {
    let running = Running::begin(format!("track: {peer}"));
    let mut track = pinned(workspace, python);
    track.arg(workspace.root.join(RUNNER)).arg(peer).arg(data).arg(out);
    let log = workspace.target.join("bench/tracking").join(format!("{peer}.log"));
    process::quietly(&mut track, &log, &running)?;
    running.done("");
    read_timing(&out.join("timing.json"))
}

fn read_timing(path: &Path) -> Result<Timing> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no timing", path.display()))
}

/// Puts `text` between the marks of `name` in a page.
pub fn write_between(page: &Path, name: &str, text: &str) -> Result<()> {
    let whole = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let (begin, end) = (format!("<!-- bench {name} -->\n"), format!("<!-- end of bench {name} -->"));
    let marks = || format!("{}: no marks {:?} and {end:?}", page.display(), begin.trim());
    let (before, rest) = whole.split_once(&begin).with_context(marks)?;
    let (_, after) = rest.split_once(&end).with_context(marks)?;
    stamp::write_whole(page, format!("{before}{begin}{text}{end}{after}").as_bytes())?;
    Ok(())
}

impl Figures {
    fn of(
        profile: &str,
        scores: BTreeMap<String, Score>,
        timings: &BTreeMap<String, Timing>,
        left_out: Vec<String>,
    ) -> Result<Self> {
        let mut rows = Vec::new();
        for (tracker, score) in scores {
            let frames_per_second =
                timings.get(&tracker).with_context(|| format!("no timing of {tracker}"))?.frames_per_second;
            rows.push(Row { tracker, score, frames_per_second });
        }
        rows.sort_by(|a, b| b.score.hota.total_cmp(&a.score.hota));
        let lead = Self::lead(&rows);
        Ok(Self { profile: profile.to_owned(), rows, left_out, lead })
    }

    /// `None` when there is nobody to compare with.
    fn lead(rows: &[Row]) -> Option<Lead> {
        let ours = rows.iter().find(|r| r.tracker == OURS)?;
        let peers: Vec<&Row> = rows.iter().filter(|r| r.tracker != OURS).collect();
        let best = |of: fn(&Row) -> f64| peers.iter().map(|r| of(r)).max_by(f64::total_cmp);
        Some(Lead {
            hota: ours.score.hota - best(|r| r.score.hota)?,
            idf1: ours.score.idf1 - best(|r| r.score.idf1)?,
            fewest_switches_of_peers: peers.iter().map(|r| r.score.switches).min()?,
            times_fastest: ours.frames_per_second / best(|r| r.frames_per_second)?,
        })
    }

    fn table(&self) -> String {
        let mut text = format!(
            "tracking on one core, {} profile of ours\n\
             tracker         HOTA   DetA   AssA   IDF1   MOTA  switches     frames/s\n",
            self.profile
        );
        for Row { tracker, score: s, frames_per_second } in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{tracker:<13} {:>6.1} {:>6.1} {:>6.1} {:>6.1} {:>6.1} {:>9} {frames_per_second:>12.0}",
                s.hota, s.det_a, s.ass_a, s.idf1, s.mota, s.switches
            );
        }
        match &self.lead {
            Some(l) => {
                let _ = write!(
                    text,
                    "ours beside the best peer: HOTA {:+.1}, IDF1 {:+.1}, switches at least {} elsewhere, {:.0} \
                     times the frames/s",
                    l.hota, l.idf1, l.fewest_switches_of_peers, l.times_fastest
                );
            }
            None => text += "no peer could be run: nothing to compare with",
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| tracker | HOTA | DetA | AssA | IDF1 | MOTA | switches | frames/s |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for Row { tracker, score: s, frames_per_second } in &self.rows {
            let name = if tracker == OURS { "**linefree**" } else { tracker };
            let _ = writeln!(
                text,
                "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {frames_per_second:.0} |",
                s.hota, s.det_a, s.ass_a, s.idf1, s.mota, s.switches
            );
        }
        text
    }

    fn shortcomings(&self) -> Vec<String> {
        let (Some(lead), Some(ours)) = (&self.lead, self.rows.iter().find(|r| r.tracker == OURS)) else {
            return vec!["no peer could be run".into()];
        };
        let mut short = Vec::new();
        for (name, points) in [("HOTA", lead.hota), ("IDF1", lead.idf1)] {
            if points < LEAST_LEAD {
                short
                    .push(format!("{name} is {points:+.1} from the best peer's, {LEAST_LEAD:+.1} is wanted"));
            }
        }
        if ours.score.switches >= lead.fewest_switches_of_peers {
            let least = lead.fewest_switches_of_peers;
            short.push(format!("{} switches, fewer than {least} are wanted", ours.score.switches));
        }
        if lead.times_fastest < LEAST_SPEED {
            let times = lead.times_fastest;
            short.push(format!(
                "{times:.0} times the fastest peer's frames/s, at least {LEAST_SPEED} is wanted"
            ));
        }
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(switches: u32) -> Figures {
        let scores = format!(
            r#"{{"linefree": {{"hota": 43.0, "det_a": 45, "ass_a": 42, "idf1": 58, "mota": 48, "switches": {switches}}},
                "sort": {{"hota": 39.5, "det_a": 42, "ass_a": 36, "idf1": 57, "mota": 45, "switches": 300}}}}"#
        );
        let timing = |rate: f64| Timing { frames: 100, seconds: 100.0 / rate, frames_per_second: rate };
        let timings = BTreeMap::from([("linefree".into(), timing(60_000.0)), ("sort".into(), timing(1e3))]);
        Figures::of("release", serde_json::from_str(&scores).unwrap(), &timings, Vec::new()).unwrap()
    }

    #[test]
    fn ours_is_held_against_the_best_peer() {
        let short = figures(301).shortcomings();
        assert_eq!(short.len(), 2, "{short:?}");
        assert!(short[0].contains("IDF1 is +1.0") && short[1].contains("fewer than 300"), "{short:?}");
        let table = figures(10).table();
        assert!(table.contains("HOTA +3.5") && table.ends_with("60 times the frames/s"), "{table}");
    }

    #[test]
    fn a_table_goes_between_its_marks() {
        let page = std::env::temp_dir().join(format!("xtask-marks-{}.md", std::process::id()));
        fs::write(&page, "a\n<!-- bench x -->\nold\n<!-- end of bench x -->\nb\n").unwrap();
        write_between(&page, "x", "new\n").unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert_eq!(text, "a\n<!-- bench x -->\nnew\n<!-- end of bench x -->\nb\n");
        assert!(write_between(&page, "y", "new\n").is_err());
        fs::remove_file(page).unwrap();
    }
}
