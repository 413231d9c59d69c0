//! The demo's online order: a simulated robot fetches it from the shelf that a shopper of the video stands at.
//!
//! Robots live by the clock, so the recording is played as if it began now: a copy of its folder, in links, has a
//! recording.toml of its own, and a store.toml with the recording's `robots.toml` and a scale for all plates. The scale is
//! simulated: it weighs what the recording says and what the robot moves, and sends counts as a real one does, so the shelf
//! role runs as in a store. Only in real time: the robot cannot be played faster.
//!
//! The customer is the chain's app, as another program would be: it places the order by the store's signed webhook, paid
//! into escrow, and when the order is ready it opens the locker with the code ([`mod@super::app`]). What became of it is
//! read from the cloud's events ([`Followed`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// In a recording's folder: the robots of its store.
pub const ROBOTS: &str = "robots.toml";
/// When the order is given, in the recording's time: the robot has it off the shelf about 12 s later, when c1 stands there
/// (55.0 to 61.5 s by the clip's ground truth) and takes something from the same shelf.
pub const ORDER_AT: Duration = Duration::from_millis(44_000);
/// The order, as the app calls it.
pub const ORDER: &str = "demo-1";
/// What is ordered: the product of plate j/2/1. It lies on l/2/2, too; of plates that nobody has counted the first is taken.
const SKU: &str = "2000000000169";
/// The plate that the robot takes it from.
const PLATE: &str = "j/2/1";
/// What it costs, minor units, as store.toml says.
const PRICE_MINOR: i64 = 549;
/// Who stands within this distance of the plate stands at the shelf, metres.
const AT_SHELF_M: f64 = 1.3;
/// Counts a gram of the simulated scale.
const COUNTS_PER_G: f64 = 100.0;

/// A recording that is played as if it began now.
#[derive(Debug)]
pub struct Staged {
    /// The recording itself.
    recording: PathBuf,
    /// Its copy.
    pub folder: PathBuf,
}

impl Staged {
    /// Makes the copy below `data`; `None` where the recording has no robots.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn prepare(recording: &Path, data: &Path) -> Result<Option<Self>> {
        let robots = recording.join(ROBOTS);
        if !robots.exists() {
            return Ok(None);
        }
        let folder = data.join("recording");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let recording = recording.canonicalize().with_context(|| format!("find {}", recording.display()))?;
        for entry in fs::read_dir(&recording).with_context(|| format!("read {}", recording.display()))? {
            let entry = entry.with_context(|| format!("read {}", recording.display()))?;
            let name = entry.file_name();
            if !["store.toml", "recording.toml"].iter().any(|own| name == *own) {
                let link = folder.join(&name);
                symlink(entry.path(), &link).with_context(|| format!("link {}", link.display()))?;
            }
        }
        let read = |file: &Path| fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
        let mut store = read(&recording.join("store.toml"))?;
        let _ = write!(store, "\n{}\n{}", read(&robots)?, scale(&recording.join("weights.csv"))?);
        let file = folder.join("store.toml");
        fs::write(&file, store).with_context(|| format!("write {}", file.display()))?;
        let staged = Self { recording, folder };
        staged.begin()?;
        Ok(Some(staged))
    }

    /// The recording begins now. Gives that moment.
    ///
    /// # Errors
    /// When its recording.toml cannot be read or written.
    pub fn begin(&self) -> Result<SystemTime> {
        let from = self.recording.join("recording.toml");
        let text = fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
        let start = SystemTime::now();
        let now = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let lines = text.lines().map(|line| match line.starts_with("start") {
            true => format!("start = {}", rfc3339(now)),
            false => line.to_owned(),
        });
        let file = self.folder.join("recording.toml");
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        Ok(start)
    }
}

/// One scale for all plates that the recording weighs.
fn scale(weights: &Path) -> Result<String> {
    let file = File::open(weights).with_context(|| format!("open {}", weights.display()))?;
    let mut header = String::new();
    BufReader::new(file).read_line(&mut header).with_context(|| format!("read {}", weights.display()))?;
    let plates: Vec<String> =
        header.trim().split(',').skip(1).map(|plate| format!("\"{}\"", plate.trim())).collect();
    let counts = vec![format!("{COUNTS_PER_G:.1}"); plates.len()].join(", ");
    Ok(format!(
        "\n[[source]]\nplates = [{}]\nurl = \"bus:scales\"\ncounts_per_g = [{counts}]\n",
        plates.join(", ")
    ))
}

/// The order as the app posts it.
#[must_use]
pub fn placed() -> Value {
    json!({
        "order": ORDER,
        "lines": [{ "sku": SKU, "quantity": 1 }],
        "handover": "locker",
        "payment": { "held": true, "currency": "GBP", "amount_minor": PRICE_MINOR, "reference": "demo-escrow" }
    })
}

fn text(of: &Value) -> String {
    of.as_str().unwrap_or_default().to_owned()
}

/// What became of the order, as the cloud has it. Times are the recording's, seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Followed {
    /// The store's id of the order.
    order: String,
    /// When the app placed it.
    placed_s: Option<f64>,
    /// When the shelf had felt the robot.
    picked_s: Option<f64>,
    /// From which plate.
    plate: Option<String>,
    /// Whom the floor role takes it to have been, and how surely.
    robot: Option<String>,
    probability: Option<f64>,
    /// Who stood at the shelf then: credentials, where they have one.
    beside: Vec<String>,
    /// Who of them has the product in their cart or on their receipt, at the end.
    charged: Vec<String>,
    /// When it was ready.
    ready_s: Option<f64>,
    /// When the customer had it.
    handed_over_s: Option<f64>,
    /// What became of the money: `released` when the store has it.
    money: Option<String>,
    /// The recording's beginning, microseconds since the Unix epoch.
    #[serde(skip)]
    start_us: i64,
    /// The shelf event of the pick, when it ended, and whether it was explained.
    #[serde(skip)]
    shelf: Option<(String, i64)>,
    #[serde(skip)]
    explained: bool,
    /// Who stood there, by visit; `None` until somebody has looked.
    #[serde(skip)]
    stood: Option<Vec<String>>,
    /// Credentials by visit.
    #[serde(skip)]
    credentials: BTreeMap<String, String>,
    /// Visits with the product now.
    #[serde(skip)]
    holders: BTreeSet<String>,
}

impl Followed {
    /// Nothing yet, in a recording that began then.
    #[must_use]
    pub fn new(start: SystemTime) -> Self {
        let start = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            order: format!("{}.{ORDER}", super::app::CHANNEL),
            start_us: i64::try_from(start.as_micros()).unwrap_or(i64::MAX),
            ..Self::default()
        }
    }

    fn second(&self, time_us: i64) -> f64 {
        // To a tenth: nothing here is known better.
        ((time_us - self.start_us) as f64 / 1e5).round() / 10.0
    }

    /// Is it over?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.handed_over_s.is_some()
    }

    /// Is it ready, and nobody has come for it yet?
    #[must_use]
    pub fn waits(&self) -> bool {
        self.ready_s.is_some() && !self.is_over()
    }

    /// When the shelf felt the robot, microseconds since the Unix epoch, while nobody has looked who stood there.
    #[must_use]
    pub fn asks_who_stood_there(&self) -> Option<i64> {
        self.shelf.as_ref().filter(|_| self.explained && self.stood.is_none()).map(|(_, at_us)| *at_us)
    }

    /// Where people were at that moment (`GET /api/moment`), and the plates (`GET /api/store`).
    pub fn stood_there(&mut self, moment: &Value, store: &Value) {
        let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
        let point = |of: &Value| Some((of.get(0)?.as_f64()?, of.get(1)?.as_f64()?));
        let plates = list(&store["plates"]);
        let plate = plates.iter().find(|p| p["id"] == PLATE).map(|p| list(&p["corners"])).unwrap_or_default();
        let corners: Vec<(f64, f64)> = plate.iter().filter_map(point).collect();
        let near = |at: (f64, f64)| corners.iter().any(|c| (at.0 - c.0).hypot(at.1 - c.1) <= AT_SHELF_M);
        let visits = list(&moment["shoppers"]);
        let beside = visits.iter().filter(|s| point(&s["at"]).is_some_and(near));
        self.stood = Some(beside.filter_map(|s| s["visit"].as_str().map(str::to_owned)).collect());
    }

    /// An event that reached the cloud.
    pub fn hear(&mut self, placed: &Value) {
        let event = &placed["event"];
        let data = &event["data"];
        let kind = event["type"].as_str().unwrap_or_default();
        let time: Option<jiff::Timestamp> = event["time"].as_str().and_then(|t| t.parse().ok());
        let time_us = time.map_or(0, jiff::Timestamp::as_microsecond);
        match kind {
            "org.linefree.order.changed.v1" if data["order"] == self.order.as_str() => {
                let at_s = Some(self.second(time_us));
                self.placed_s = self.placed_s.or(at_s);
                self.money = data["money"]["state"].as_str().map(str::to_owned);
                match data["state"].as_str() {
                    Some("ready") => self.ready_s = self.ready_s.or(at_s),
                    Some("handed_over") => self.handed_over_s = at_s,
                    _ => {}
                }
            }
            "org.linefree.shelf.changed.v1" => {
                let plates = data["plates"].as_array();
                let lifted =
                    |p: &&Value| p["plate"] == PLATE && p["delta_g"].as_f64().is_some_and(|g| g < -50.0);
                let ours = plates.and_then(|plates| plates.iter().find(lifted));
                if let (Some(plate), true, None) = (ours, self.placed_s.is_some(), &self.shelf) {
                    let end_us = plate["end_us"].as_i64().unwrap_or(time_us);
                    self.picked_s = Some(self.second(end_us));
                    self.plate = Some(PLATE.to_owned());
                    self.shelf = Some((text(&event["id"]), end_us));
                }
            }
            "org.linefree.item.attributed.v1" => {
                let best = &data["candidates"][0];
                if self.shelf.as_ref().is_some_and(|(id, _)| event["subject"] == id.as_str()) {
                    self.explained = true;
                    self.robot = best["robot"].as_str().filter(|_| best["sku"] == SKU).map(str::to_owned);
                    self.probability = best["probability"].as_f64();
                }
            }
            "org.linefree.visit.opened.v1" => {
                if let Some(credential) = data["credential"].as_str() {
                    self.credentials.insert(text(&data["visit"]), credential.to_owned());
                }
            }
            "org.linefree.cart.changed.v1" | "org.linefree.visit.closed.v1" => {
                let visit = text(&data["visit"]);
                let lines = data["lines"].as_array();
                if lines.is_some_and(|lines| lines.iter().any(|l| l["sku"] == SKU)) {
                    self.holders.insert(visit);
                } else {
                    self.holders.remove(&visit);
                }
            }
            _ => {}
        }
        let name = |visit: &String| self.credentials.get(visit).unwrap_or(visit).clone();
        let stood = self.stood.iter().flatten();
        self.beside = stood.clone().map(name).collect();
        self.charged = stood.filter(|v| self.holders.contains(*v)).map(name).collect();
    }

    /// Why it did not go as it should; empty when it did.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        let mut why = Vec::new();
        let mut expect = |ok: bool, what: &str| {
            if !ok {
                why.push(format!("the online order: {what}"));
            }
        };
        expect(self.picked_s.is_some(), "no shelf felt the robot's pick");
        expect(!self.beside.is_empty(), "nobody stood at the shelf when the robot picked");
        expect(self.robot.is_some(), "the pick was not taken to be the robot's");
        expect(self.charged.is_empty(), "a shopper beside the robot has what it took");
        expect(self.is_over(), "it was not handed over");
        expect(self.money.as_deref() == Some("released"), "its money was not released from escrow");
        why
    }

    /// For people.
    #[must_use]
    pub fn told(&self) -> String {
        let at = |s: Option<f64>| s.map_or("never".to_owned(), |s| format!("{s:.1} s"));
        format!(
            "online order {}: placed {}, picked {} from {} by {} (p {:.3}) beside {}, ready {}, handed over {}, escrow {}",
            self.order,
            at(self.placed_s),
            at(self.picked_s),
            self.plate.as_deref().unwrap_or("nowhere"),
            self.robot.as_deref().unwrap_or("nobody known"),
            self.probability.unwrap_or(0.0),
            if self.beside.is_empty() { "nobody".to_owned() } else { self.beside.join(", ") },
            at(self.ready_s),
            at(self.handed_over_s),
            self.money.as_deref().unwrap_or("none"),
        )
    }
}

/// A moment as TOML and RFC 3339 write it; `since` the Unix epoch. One beyond the calendar is its end.
fn rfc3339(since: Duration) -> String {
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    format!("{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_toml_reads_it() {
        let at = |s: u64, us: u32| rfc3339(Duration::new(s, us * 1_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_826_149, 500_000), "2000-02-29T12:09:09.500000Z");
        assert_eq!(at(1_769_594_400, 1), "2026-01-28T10:00:00.000001Z");
    }

    fn event(id: &str, kind: &str, at_s: u64, data: &Value) -> Value {
        let time = rfc3339(Duration::from_secs(at_s));
        let subject = data["subject"].clone();
        json!({ "event": { "id": id, "type": format!("org.linefree.{kind}.v1"), "time": time, "subject": subject, "data": data } })
    }

    fn order_is(state: &str, money: &str, at_s: u64) -> Value {
        let data = json!({ "order": "app.demo-1", "state": state, "money": { "state": money } });
        event("o", "order.changed", at_s, &data)
    }

    /// An order that went as it should, to which a cart is added.
    fn played(best: &Value, cart: &Value) -> Followed {
        let mut followed = Followed::new(UNIX_EPOCH + Duration::from_secs(1000));
        let lift = json!({ "plates": [{ "plate": PLATE, "delta_g": -98.0, "end_us": 1_056_040_000_i64 }] });
        for told in [
            event("v", "visit.opened", 1022, &json!({ "visit": "v1", "credential": "c1" })),
            event("early", "shelf.changed", 1030, &lift),
            order_is("received", "held", 1044),
            event("shelf/e/9", "shelf.changed", 1056, &lift),
            event("f", "item.attributed", 1056, &json!({ "subject": "shelf/e/9", "candidates": [best] })),
        ] {
            followed.hear(&told);
        }
        assert_eq!(followed.asks_who_stood_there(), Some(1_056_040_000));
        let people =
            json!({ "shoppers": [{ "visit": "v1", "at": [0.0, 1.0] }, { "visit": "v2", "at": [9.0, 9.0] }] });
        let store = json!({ "plates": [{ "id": PLATE, "corners": [[0.0, 0.0], [0.4, 0.0]] }] });
        followed.stood_there(&people, &store);
        assert_eq!(followed.asks_who_stood_there(), None);
        followed.hear(&order_is("ready", "held", 1063));
        assert!(followed.waits());
        followed.hear(&event("c", "cart.changed", 1064, &json!({ "visit": "v1", "lines": [cart] })));
        followed.hear(&order_is("handed_over", "released", 1065));
        followed
    }

    #[test]
    fn an_order_is_followed_from_the_app_to_the_locker() {
        let robot = json!({ "robot": "linefree/amr-1", "sku": SKU, "probability": 0.99 });
        let good = played(&robot, &json!({ "sku": "other" }));
        assert_eq!(good.shortfalls(), Vec::<String>::new());
        let report = serde_json::to_value(&good).unwrap();
        assert_eq!(
            report,
            json!({ "order": "app.demo-1", "placed_s": 44.0, "picked_s": 56.0, "plate": PLATE, "robot": "linefree/amr-1",
                    "probability": 0.99, "beside": ["c1"], "charged": [], "ready_s": 63.0, "handed_over_s": 65.0,
                    "money": "released" })
        );
        let charged = played(&robot, &json!({ "sku": SKU }));
        assert_eq!(charged.shortfalls().len(), 1, "{:?}", charged.shortfalls());
        let blamed =
            played(&json!({ "visit": "v1", "sku": SKU, "probability": 0.9 }), &json!({ "sku": "other" }));
        assert!(blamed.shortfalls()[0].contains("taken to be the robot's"), "{:?}", blamed.shortfalls());
        assert_eq!(Followed::new(UNIX_EPOCH).shortfalls().len(), 5);
    }

    #[test]
    fn the_copy_has_robots_and_a_scale_and_begins_now() {
        let dir = std::env::temp_dir().join(format!("xtask-order-{}", std::process::id()));
        let recording = dir.join("r");
        fs::create_dir_all(&recording).unwrap();
        let write = |name: &str, text: &str| fs::write(recording.join(name), text).unwrap();
        write("store.toml", "format = 1\n");
        write("recording.toml", "format = 1\nstart = 2026-01-28T10:00:00Z\n");
        write("weights.csv", "t,a/1/1,a/1/2\n0,1,2\n");
        assert!(Staged::prepare(&recording, &dir.join("none")).unwrap().is_none());
        write(ROBOTS, "[robots]\n");
        let staged = Staged::prepare(&recording, &dir).unwrap().unwrap();
        let read = |name: &str| fs::read_to_string(staged.folder.join(name)).unwrap();
        assert!(read("store.toml").contains("plates = [\"a/1/1\", \"a/1/2\"]\nurl = \"bus:scales\""));
        assert!(read("store.toml").contains("[robots]") && read("store.toml").contains("[100.0, 100.0]"));
        assert!(!read("recording.toml").contains("2026-01-28T10:00:00Z"));
        assert!(read("weights.csv").starts_with("t,a/1/1"));
        fs::remove_dir_all(dir).unwrap();
    }
}
