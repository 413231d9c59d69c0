//! The floor role killed (SIGKILL) at several moments of a scene of two shoppers: every visit gets one receipt, and what is
//! charged is what would have been charged.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use device::{Agent, agent};
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::payload::{
    EventBody, GateDirection, GatePassed, People, Person, PlateDelta, ShelfChanged, Status, Tracklet,
    VisitClosed, Watermark,
};
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::topic::{Subscription, TopicKind};

const PATIENCE: Duration = Duration::from_secs(60);
const START_US: i64 = 1_780_000_000_000_000;
/// The scene is over.
const END_S: f64 = 44.0;

const STORE: &str = r#"format = 1
[store]
id = "corner"
name = "Corner shop"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0.0, 0.0], [8.0, 0.0], [8.0, 4.0], [0.0, 4.0]]
[[gate]]
id = "door"
kind = "both"
segment = [[0.0, 1.0], [0.0, 2.0]]
[[camera]]
id = "cam1"
size_px = [800, 400]
homography = [0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]
[[gondola]]
id = "1"
origin = [0.6, 4.0, 0.0]
yaw_deg = 0.0
[[gondola.shelf]]
id = "1"
height_m = 1.0
plates = [{ id = "1", offset = [1.2, 0.0], size = [0.4, 0.4] }, { id = "2", offset = [4.2, 0.0], size = [0.4, 0.4] }]
[[product]]
sku = "tea"
name = "Tea"
price = 349
weight_g = 250.0
[[product]]
sku = "rice"
name = "Rice"
price = 199
weight_g = { mean = 1000.0, sd = 4.0 }
[[facing]]
sku = "tea"
plates = ["1/1/1"]
count = 6
[[facing]]
sku = "rice"
plates = ["1/1/2"]
count = 6
"#;

/// Corner points with their times, straight lines between.
type Walk = &'static [(f64, f64, f64)];
const ANNA: Walk = &[(0.0, 0.2, 1.5), (6.0, 2.0, 3.7), (16.0, 2.0, 3.7), (24.0, 0.1, 1.5)];
const BEN: Walk = &[(2.0, 0.2, 1.5), (10.0, 5.0, 3.7), (26.0, 5.0, 3.7), (36.0, 0.1, 1.5)];

fn place(walk: Walk, t_s: f64) -> Option<[f64; 2]> {
    let leg = walk.windows(2).find(|leg| (leg[0].0..=leg[1].0).contains(&t_s))?;
    let u = (t_s - leg[0].0) / (leg[1].0 - leg[0].0);
    Some([leg[0].1 + u * (leg[1].1 - leg[0].1), leg[0].2 + u * (leg[1].2 - leg[0].2)])
}

fn at_us(t_s: f64) -> i64 {
    START_US + (t_s * 1e6).round() as i64
}

fn people(t_s: f64, followed: bool) -> People {
    let person = |(number, walk): (u32, Walk)| {
        let foot = place(walk, t_s)?;
        let tracklet = followed.then_some(Tracklet { id: number, alike: None });
        Some(Person {
            foot,
            cov: [0.02, 0.0, 0.02],
            score: 0.9,
            height: None,
            hands: Vec::new(),
            hand_sd: None,
            track: followed.then_some(number),
            tracklet,
        })
    };
    let people = [(1, ANNA), (2, BEN)].into_iter().filter_map(person).collect();
    People { camera: "cam1".into(), time_us: at_us(t_s), people }
}

/// What gate and shelf say, with the moment at which they say it.
fn said() -> Vec<(f64, &'static str, i64, EventBody)> {
    let gate = |t_s: f64, credential: Option<&str>| {
        let direction = if credential.is_some() { GateDirection::Entry } else { GateDirection::Exit };
        let credential = credential.map(str::to_owned);
        let passed = GatePassed { gate: "door".into(), direction, credential, party: 1 };
        (t_s, "gate-1", at_us(t_s), EventBody::GatePassed(passed))
    };
    let shelf = |plate: &str, delta_g: f64, from_s: f64, to_s: f64| {
        let (start_us, end_us) = (at_us(from_s), at_us(to_s));
        let plate = PlateDelta { plate: plate.into(), delta_g, sd_g: 1.5, start_us, end_us };
        let changed = ShelfChanged { plates: vec![plate], delta_g, sd_g: 1.5, start_us, end_us };
        (to_s + 0.7, "shelf-1", end_us, EventBody::ShelfChanged(changed))
    };
    let mut said = vec![
        gate(0.0, Some("anna")),
        gate(2.0, Some("ben")),
        shelf("1/1/1", -250.5, 8.0, 9.5),
        shelf("1/1/2", -2_001.0, 12.0, 13.5),
        shelf("1/1/2", 1_000.5, 19.0, 20.5),
        gate(24.0, None),
        gate(36.0, None),
    ];
    said.sort_by(|a, b| a.0.total_cmp(&b.0));
    said
}

/// Everything but the floor role.
struct World {
    _broker: EmbeddedBroker,
    url: String,
    folder: tempfile::TempDir,
    camera: BusClient,
    inbox: Inbox,
    sources: BTreeMap<&'static str, EventPublisher>,
    progress_us: i64,
    seen: BTreeSet<(uuid::Uuid, u64)>,
    opened: Vec<String>,
    receipts: Vec<VisitClosed>,
    followed: bool,
}

impl World {
    async fn new(followed: bool) -> Self {
        let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("store.toml"), STORE).unwrap();
        let connect = |source: &str, kinds: &[TopicKind]| {
            let config = BusConfig::new(broker.url(), "corner", Status::online(source, "test", "0"));
            let config = kinds.iter().fold(config, |c, kind| c.subscribe(Subscription::all(*kind)));
            BusClient::connect(config).unwrap()
        };
        let (camera, inbox) = connect("cam1", &[TopicKind::Event, TopicKind::Progress]);
        camera.wait_connected(PATIENCE).await.unwrap();
        let mut sources = BTreeMap::new();
        for source in ["gate-1", "shelf-1"] {
            let (client, mut ears) = connect(source, &[]);
            tokio::spawn(async move { while ears.recv().await.is_some() {} });
            let journal = folder.path().join("sources").join(source);
            let options = PublisherOptions::default();
            let (publisher, _) = EventPublisher::open(&journal, source, client, options).await.unwrap();
            sources.insert(source, publisher);
        }
        let url = broker.url().to_string();
        Self {
            _broker: broker,
            url,
            folder,
            camera,
            inbox,
            sources,
            progress_us: i64::MIN,
            seen: BTreeSet::new(),
            opened: Vec::new(),
            receipts: Vec::new(),
            followed,
        }
    }

    fn floor(&self) -> Agent {
        let config = self.folder.path().join("store.toml");
        let data = self.folder.path().join("data");
        let mut command = agent(&["floor", "--config", config.to_str().unwrap(), "--bus", &self.url]);
        command.args(["--data", data.to_str().unwrap(), "--lateness", "30"]);
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        Agent(command.stderr(Stdio::from(log.unwrap())).spawn().unwrap())
    }

    fn hear(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Progress(mark) => self.progress_us = self.progress_us.max(mark.time_us),
            Incoming::Event(event)
                if event.source == "floor-1" && self.seen.insert((event.epoch, event.seq)) =>
            {
                match event.body {
                    EventBody::VisitOpened(opened) => self.opened.push(opened.visit),
                    EventBody::VisitClosed(closed) => self.receipts.push(closed),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Plays the scene from one moment to another; with a floor that listens, never far ahead of it.
    async fn play(&mut self, from_s: f64, to_s: f64, heard: bool) {
        let (first, last) = ((from_s * 10.0).round() as u32, (to_s * 10.0).round() as u32);
        for tenth in first..last {
            let t_s = f64::from(tenth) / 10.0;
            let due = |told_s: f64| (told_s * 10.0).round() as u32 == tenth;
            for (_, source, time_us, body) in said().into_iter().filter(|(told_s, ..)| due(*told_s)) {
                self.sources[source].publish(time_us, body).await.unwrap();
            }
            self.sources["gate-1"].watermark(at_us(t_s), false);
            self.sources["shelf-1"].watermark(at_us(t_s - 1.0), false);
            let camera = [
                Outgoing::People(people(t_s, self.followed)),
                Outgoing::Watermark(Watermark::unnumbered("cam1", at_us(t_s), false)),
            ];
            for message in camera {
                self.camera.publish_when_room(message).await.unwrap();
            }
            if heard {
                self.wait(|w| w.progress_us >= at_us(t_s - 1.5)).await;
            }
        }
    }

    async fn wait(&mut self, until: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !until(self) {
                let incoming = self.inbox.recv().await.unwrap();
                self.hear(incoming);
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("nothing for {PATIENCE:?}; {} receipts; the floor says:\n{log}", self.receipts.len());
        }
    }

    /// Plays the whole scene; the floor is killed at these moments and comes back after so much of the scene.
    async fn receipts(mut self, kills_s: &[f64], away_s: f64) -> Vec<VisitClosed> {
        let mut floor = self.floor();
        let mut now_s = 0.0;
        for kill_s in kills_s {
            self.play(now_s, *kill_s, true).await;
            // SIGKILL: no word of farewell.
            drop(floor);
            self.play(*kill_s, kill_s + away_s, false).await;
            now_s = kill_s + away_s;
            floor = self.floor();
        }
        self.play(now_s, END_S, true).await;
        self.wait(|w| w.receipts.len() >= 2).await;
        // What would be said twice is said at once after a start.
        drop(floor);
        let _floor = self.floor();
        let before_us = self.progress_us;
        self.play(END_S, END_S + 3.0, true).await;
        self.wait(|w| w.progress_us > before_us).await;
        let mut opened = self.opened.clone();
        opened.sort();
        opened.dedup();
        assert_eq!(opened.len(), self.opened.len(), "told twice: {:?}", self.opened);
        self.receipts.sort_by(|a, b| a.credential.cmp(&b.credential));
        self.receipts
    }
}

/// `credential: sku quantity[?] ..`, a line in review with a question mark.
fn told(receipts: &[VisitClosed]) -> Vec<String> {
    let line = |l: &linefree_bus::payload::Line| {
        format!("{} {}{}", l.sku, l.quantity, if l.review { "?" } else { "" })
    };
    receipts
        .iter()
        .map(|r| {
            let lines: Vec<String> = r.lines.iter().map(line).collect();
            format!("{}: {}", r.credential.as_deref().unwrap_or("-"), lines.join(", "))
        })
        .collect()
}

/// All of a receipt but the moment of leaving, which depends on when the floor looked.
fn money(receipts: &[VisitClosed]) -> Vec<VisitClosed> {
    receipts.iter().map(|r| VisitClosed { left_us: 0, ..r.clone() }).collect()
}

const RIGHT: [&str; 2] = ["anna: tea 1", "ben: rice 1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_that_comes_back_at_once_writes_the_same_receipts() {
    let undisturbed = World::new(true).await.receipts(&[], 0.0).await;
    assert_eq!(told(&undisturbed), RIGHT);
    // Before an entry is matched, while a plate changes, between take and return, at the gate, before the receipt.
    for kill_s in [0.6, 9.0, 10.3, 15.0, 24.3, 26.5, 36.2, 39.0] {
        let receipts = World::new(true).await.receipts(&[kill_s], 0.0).await;
        assert_eq!(money(&receipts), money(&undisturbed), "killed at {kill_s} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_that_is_killed_again_and_again_writes_the_same_receipts() {
    let undisturbed = World::new(false).await.receipts(&[], 0.0).await;
    let kills: Vec<f64> = (1..14).map(|k| f64::from(k) * 3.1).collect();
    let receipts = World::new(false).await.receipts(&kills, 0.0).await;
    assert_eq!(money(&receipts), money(&undisturbed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_uncertain_after_the_floor_was_away_is_looked_at() {
    for (kill_s, ways) in
        [(1.0, &[false, true][..]), (11.0, &[true]), (12.7, &[false]), (21.0, &[false]), (34.0, &[true])]
    {
        for followed in ways.iter().copied() {
            let receipts = World::new(followed).await.receipts(&[kill_s], 2.5).await;
            let who: Vec<_> = receipts.iter().map(|r| r.credential.as_deref()).collect();
            assert_eq!(who, [Some("anna"), Some("ben")], "killed at {kill_s} s");
            // What is charged is right, and what else was taken somebody looks at.
            let told = told(&receipts);
            let lines: Vec<_> = receipts.iter().flat_map(|r| &r.lines).collect();
            for (receipt, right) in told.iter().zip(RIGHT) {
                let charged = receipt.split(": ").nth(1).unwrap().split(", ").filter(|l| !l.ends_with('?'));
                let right = right.split(": ").nth(1).unwrap();
                assert!(
                    charged.clone().all(|l| l.is_empty() || l == right),
                    "killed at {kill_s} s: {told:?}"
                );
            }
            for sku in ["tea", "rice"] {
                assert!(lines.iter().any(|l| l.sku == sku), "killed at {kill_s} s: {told:?}");
            }
        }
    }
}

/// Without its memory (a lost disk, another program) the floor still has its journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_without_memory_carries_on_with_what_it_said() {
    let mut world = World::new(true).await;
    let floor = world.floor();
    world.play(0.0, 18.5, true).await;
    drop(floor);
    std::fs::remove_dir_all(world.folder.path().join("data/floor")).unwrap();
    let receipts = world.receipts_from(18.5).await;
    assert_eq!(told(&receipts), ["anna: tea 1?", "ben: rice 2?"]);
}

impl World {
    async fn receipts_from(mut self, from_s: f64) -> Vec<VisitClosed> {
        let _floor = self.floor();
        self.play(from_s, END_S, true).await;
        // Nobody of these visits is known any more; they are given up after five minutes of the scene.
        self.play(END_S, END_S + 330.0, true).await;
        self.wait(|w| w.receipts.len() >= 2).await;
        self.receipts.sort_by(|a, b| a.credential.cmp(&b.credential));
        self.receipts
    }
}

#[test]
fn the_scene_is_whole() {
    assert!(Path::new(env!("CARGO_BIN_EXE_edge-agent")).exists());
    assert_eq!(said().len(), 7);
}
