//! `cargo xtask demo`: a whole store on one machine, on real video.
//!
//! Six programs, as a store runs them, over MQTT on loopback: the reference cloud, the store's server with its
//! embedded broker, and the roles floor, gate, shelf and camera, which play a recording. Ports are free ones, data is in
//! a fresh folder, and everything is stopped in order however the demo ends.
//!
//! In real time there is an online order as well, which a simulated robot fetches from the shelf that a shopper stands at
//! ([`mod@order`]).
//!
//! With `--headless` it runs the recording to its end, waits until every receipt is in the cloud, compares them with
//! the recording's `expected.json` ([`mod@score`]) and fails when they are not good enough.

mod app;
mod narrator;
mod online;
mod order;
mod report;
mod score;
mod stations;
mod supervise;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::process;
use crate::say;
use crate::setup::{PLAZA, stamp};
use crate::workspace::Workspace;
use app::App;
use narrator::{Narrator, Placed};
use online::Online;
use order::Staged;
use report::{CameraReport, Measured, Report};
use score::{Receipt, Receipts, score};
use stations::{ROLES, Stations};
use supervise::{Programs, Stop, TICK};

/// How long a program may take until it answers.
const START: Duration = Duration::from_secs(30);
/// How long the last receipts may take from the store to the cloud.
const DELIVERY: Duration = Duration::from_secs(60);
/// A recording that takes longer than this many times its own length is stuck.
const SLOWEST: f64 = 20.0;

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                                    in real time, until Ctrl-C
  cargo xtask demo --pace 4                           four times as fast
  cargo xtask demo --headless --report report.json    as fast as possible; fails when receipts are not right
  cargo xtask demo --headless --pace 1                in real time, with the online order; fails when it goes wrong";

/// How to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Run to the recording's end, compare the receipts with what is expected, and end.
    #[arg(long)]
    headless: bool,
    /// Where to write what was measured, as JSON.
    #[arg(long, value_name = "FILE", requires = "headless")]
    report: Option<PathBuf>,
    /// How fast to play: a factor of real time, or `max`. [default: 1, with --headless max]
    #[arg(long, value_name = "FACTOR")]
    pace: Option<String>,
    /// Which recording to play.
    #[arg(long, value_name = "DIR", default_value = PLAZA)]
    recording: PathBuf,
    /// Keep the demo's data (ledger, journals, logs) instead of removing it.
    #[arg(long)]
    keep: bool,
    /// Leave the online order and its robot out; at pace 1 there is one.
    #[arg(long)]
    no_order: bool,
    /// Leave set-up out.
    #[arg(long)]
    pub no_setup: bool,
    /// Use the programs as they were built last.
    #[arg(long)]
    no_build: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a program does not build, start or end as it should; the error shows the end of its log.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let recording = workspace.root.join(&options.recording);
    let length_s = length_of(&recording)?;
    let expected = options.headless.then(|| expected_of(&recording)).transpose()?;
    let default_pace = if options.headless { "max" } else { "1" };
    let pace = options.pace.as_deref().unwrap_or(default_pace);

    if !options.no_build {
        build(workspace)?;
    }
    let stop = Stop::listen()?;
    let data = fresh_folder(workspace)?;
    let ordered = !options.no_order && pace.parse() == Ok(1.0);
    let staged = if ordered { Staged::prepare(&recording, &data)? } else { None };
    let played = staged.as_ref().map_or(&recording, |staged| &staged.folder);
    let mut demo = Demo {
        stations: Stations::plan(workspace, played, &data, pace, staged.is_some())?,
        staged,
        online: None,
        programs: Programs::new(data.join("log"))?,
        stop,
        begun: Instant::now(),
        told: 0,
        narrator: Narrator::default(),
    };
    let shown = workspace.shown(&data);
    let outcome = match expected {
        Some(expected) => demo.play_out(&expected, length_s, pace, options.report.as_deref()),
        None => demo.live(&shown),
    };
    for name in demo.programs.stop() {
        say::note(format!("{name} did not end by itself and was killed"));
    }
    if outcome.is_err() || options.keep {
        say::note(format!("data and logs are kept in {shown}"));
    } else {
        fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    }
    outcome
}

fn build(workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    say::note("building the demo's programs (cargo build)");
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "-p", "edge-agent", "-p", "store-sync", "-p", "simulator", "--bins"]);
    process::loudly(&mut build).context("the programs do not build")?;
    say::note(format!("built in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

struct Demo<'a> {
    stations: Stations<'a>,
    /// Played in the recording's place where there is an order.
    staged: Option<Staged>,
    /// The order, once the store is there to take it.
    online: Option<Online>,
    programs: Programs,
    stop: Stop,
    begun: Instant,
    /// How far the cloud's events have been told.
    told: i64,
    narrator: Narrator,
}

impl Demo<'_> {
    /// Starts every program, each when those that it needs answer.
    fn start(&mut self) -> Result<()> {
        self.programs.start("cloud", &mut self.stations.receive())?;
        self.wait_for_answer("the reference cloud", &self.stations.cloud("/healthz"))?;
        self.programs.start("store", &mut self.stations.serve())?;
        self.wait_for_answer("the store's server", &self.stations.console("/healthz"))?;
        if let Some(staged) = &self.staged {
            let app = App::join(
                &mut self.stations.add_channel(app::CHANNEL),
                self.stations.orders_of(app::CHANNEL),
            )?;
            self.online = Some(Online::new(app, staged.begin()?));
            self.programs.start("robots", &mut self.stations.robots())?;
        }
        for role in ROLES {
            self.programs.start(role, &mut self.stations.role(role))?;
        }
        Ok(())
    }

    fn wait_for_answer(&mut self, who: &str, url: &str) -> Result<()> {
        let what = format!("{who} to answer");
        self.programs.wait_until(&what, START, &self.stop, |_| Ok(ureq::get(url).call().is_ok()))
    }

    /// Runs until Ctrl-C and tells what happens.
    fn live(&mut self, data: &str) -> Result<ExitCode> {
        self.start()?;
        say::line(format!("console: {}", self.stations.console_link()));
        say::line("         it asks for a password of your own; the link is good until then");
        say::line(format!("phone:   {}", self.stations.console("/me.html")));
        say::line(format!("logs and data: {data}; Ctrl-C stops everything"));
        let mut ended = false;
        // A shelf that is weighed live goes on, and so does the floor.
        let played = self.played();
        let mut over = false;
        while !self.stop.asked() {
            self.programs.look()?;
            self.tell_news()?;
            if let Some(online) = &mut self.online {
                online.go_on(&self.stations)?;
                if online.followed().is_over() && !over {
                    over = true;
                    say::line(online.followed().told());
                }
            }
            if !ended && played.iter().all(|role| self.programs.has_ended(role)) {
                ended = true;
                say::line("the recording has ended; the console stays until Ctrl-C");
            }
            thread::sleep(TICK * 5);
        }
        say::note("stopping");
        Ok(ExitCode::SUCCESS)
    }

    /// The roles that end with the recording. A shelf that is weighed live goes on, and so does the floor.
    fn played(&self) -> &'static [&'static str] {
        if self.staged.is_some() { &["gate", "camera"] } else { &ROLES }
    }

    fn tell_news(&mut self) -> Result<()> {
        for placed in self.news()? {
            let placed: Placed = serde_json::from_value(placed).context("read an event of the cloud's")?;
            if let Some(text) = self.narrator.tell(&placed) {
                say::line(text);
            }
        }
        Ok(())
    }

    /// What has reached the cloud since.
    fn news(&mut self) -> Result<Vec<Value>> {
        let news: Vec<Value> = get(&self.stations.cloud_events(self.told))?;
        for placed in &news {
            self.told = placed["position"].as_i64().unwrap_or(self.told);
            if let Some(online) = &mut self.online {
                online.hear(placed);
            }
        }
        Ok(news)
    }

    /// Follows the online order until the recording has ended and the customer has it.
    fn play_order(&mut self, limit: Duration) -> Result<()> {
        let running = say::Running::begin("the online order");
        let begun = Instant::now();
        loop {
            self.programs.look()?;
            self.news()?;
            let Some(online) = &mut self.online else { return Ok(()) };
            online.go_on(&self.stations)?;
            let ended = self.played().iter().all(|role| self.programs.has_ended(role));
            let Some(online) = &self.online else { return Ok(()) };
            if ended && online.followed().is_over() {
                running.done("");
                return Ok(());
            }
            if self.stop.asked() || begun.elapsed() > limit {
                bail!("stopped before the online order was over: {}", online.followed().told());
            }
            thread::sleep(TICK * 2);
        }
    }

    /// Runs the recording to its end and judges the receipts.
    fn play_out(
        &mut self,
        expected: &Receipts,
        length_s: f64,
        pace: &str,
        report_to: Option<&Path>,
    ) -> Result<ExitCode> {
        self.start()?;
        say::note(format!("playing {length_s:.0} s of recording, pace {pace}"));
        let slowed = 1.0 / pace.parse().unwrap_or(1.0_f64).min(1.0);
        let limit = Duration::from_secs_f64(60.0 + length_s * SLOWEST * slowed);
        if self.online.is_some() {
            self.play_order(limit)?;
        }
        let ends = self.played();
        let running = say::Running::begin("the recording's end");
        self.programs.wait_until("the recording's end", limit, &self.stop, |programs| {
            let playing: Vec<&str> = ends.iter().copied().filter(|r| !programs.has_ended(r)).collect();
            running.doing(&format!("playing: {}", playing.join(", ")));
            Ok(playing.is_empty())
        })?;
        running.done("");

        let stats = self.stations.console("/api/stats");
        let token = self.stations.reader_token()?;
        self.programs.wait_until("everything to reach the cloud", DELIVERY, &self.stop, |_| {
            let stats: Stats = get_as(&stats, Some(&token))?;
            Ok(stats.outbox.is_some_and(|outbox| outbox.lag == 0))
        })?;
        self.news()?;
        let came: Vec<Receipt> = get(&self.stations.cloud_receipts())?;
        // A floor that is weighed live goes on: who is still inside has no receipt yet.
        let left = Receipts {
            receipts: expected
                .receipts
                .iter()
                .filter(|r| came.iter().any(|c| c.credential == r.credential))
                .cloned()
                .collect(),
        };
        let expected = if self.online.is_some() { &left } else { expected };
        let elapsed_s = self.begun.elapsed().as_secs_f64();

        let measured = Measured {
            receipts: came.len(),
            expected: expected.receipts.len(),
            camera: CameraReport::read(&self.stations.camera_report())?,
            messages: self.messages()?,
            elapsed_s,
            duration_s: length_s,
            order: self.online.as_ref().map(|online| online.followed().clone()),
        };
        let report = Report::new(score(expected, &Receipts { receipts: came }), measured);
        if let Some(path) = report_to {
            let text = serde_json::to_string_pretty(&report).context("write the report")? + "\n";
            stamp::write_whole(&std::path::absolute(path)?, text.as_bytes())?;
        }
        say::line(report.table().trim_end());
        for why in report.shortfalls() {
            say::line(format!("NOT GOOD ENOUGH: {why}"));
        }
        Ok(if report.shortfalls().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Messages that everybody has put on the bus, by their own last status.
    fn messages(&self) -> Result<u64> {
        let token = self.stations.reader_token()?;
        let answer: Devices = get_as(&self.stations.console("/api/devices"), Some(&token))?;
        Ok(answer.devices.iter().filter_map(|device| device.counters.get("bus_sent")).sum())
    }
}

/// Part of the answer of `GET /api/stats`.
#[derive(Deserialize)]
struct Stats {
    outbox: Option<Outbox>,
}

#[derive(Deserialize)]
struct Outbox {
    lag: u64,
}

/// Part of the answer of `GET /api/devices`.
#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    counters: BTreeMap<String, u64>,
}

fn get<T: DeserializeOwned>(url: &str) -> Result<T> {
    get_as(url, None)
}

/// As whoever has this token.
fn get_as<T: DeserializeOwned>(url: &str, token: Option<&str>) -> Result<T> {
    let mut request = ureq::get(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request.call().with_context(|| format!("GET {url}"))?;
    answer.body_mut().read_json().with_context(|| format!("read the answer of GET {url}"))
}

#[derive(Deserialize)]
struct RecordingToml {
    duration_s: f64,
}

fn length_of(recording: &Path) -> Result<f64> {
    let file = recording.join("recording.toml");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{} is no recording: read recording.toml", recording.display()))?;
    let toml: RecordingToml = toml::from_str(&text).with_context(|| format!("read {}", file.display()))?;
    Ok(toml.duration_s)
}

fn expected_of(recording: &Path) -> Result<Receipts> {
    let file = recording.join("expected.json");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("--headless compares with {}: read it", file.display()))?;
    let expected: Receipts =
        serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))?;
    if expected.receipts.is_empty() {
        bail!("{} expects no receipt: there is nothing to compare", file.display());
    }
    Ok(expected)
}

/// A folder that no other demo uses.
fn fresh_folder(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("demo").join(std::process::id().to_string());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
