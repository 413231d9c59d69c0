//! kill -9 of any process at random points under load: agents, broker, store-sync, cloud.
//!
//! Real processes over real sockets and files. Agents write down every event that they were told is durable; in the end
//! each of these must be in the ledger once, with its content, and everything in the ledger must be in the cloud once.
//! 25 kills by default, 500 with `LINEFREE_LONG=1`, any number with `LINEFREE_KILLS`; `LINEFREE_KILL_SEED` changes the
//! order. Agents and the broker are this test program, started again with an environment variable.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod feed;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::payload::*;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::url::BusUrl;
use store_sync::clock::wall_us;
use store_sync::cloud::event::event_of;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::{EventId, Ledger, LedgerReader};

/// How long anything may take to come back.
const AT_MOST: Duration = Duration::from_secs(90);

const AGENTS: [&str; 2] = ["floor-1", "floor-2"];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn child(name: &str) -> Option<PathBuf> {
    (std::env::var("LINEFREE_CHILD").as_deref() == Ok(name))
        .then(|| PathBuf::from(std::env::var("LINEFREE_CHILD_DIR").unwrap()))
}

fn argument(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// The broker's process; does nothing in a run of the tests.
#[tokio::test]
async fn process_of_the_broker() {
    if child("broker").is_none() {
        return;
    }
    let addr: SocketAddr = argument("LINEFREE_CHILD_ADDR").parse().unwrap();
    // The port may still be held by the one that was killed a moment ago.
    let mut broker = EmbeddedBroker::start(BrokerConfig::on(addr)).await;
    while broker.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        broker = EmbeddedBroker::start(BrokerConfig::on(addr)).await;
    }
    std::future::pending::<()>().await;
}

/// An agent's process; does nothing in a run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_of_an_agent() {
    let Some(dir) = child("agent") else { return };
    let source = argument("LINEFREE_CHILD_SOURCE");
    let url = BusUrl::parse(&argument("LINEFREE_CHILD_BUS")).unwrap();
    let mut config = BusConfig::new(url, "corner", Status::online(&source, "floor", "test"));
    config.limits.max_pause = Duration::from_millis(200);
    let (client, mut inbox) = BusClient::connect(config).unwrap();
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let journal = dir.join(format!("journal-{source}"));
    let (events, _) =
        EventPublisher::open(&journal, &source, client, PublisherOptions::default()).await.unwrap();
    let mut told =
        std::fs::File::options().create(true).append(true).open(dir.join(format!("told-{source}"))).unwrap();
    let stop = dir.join("stop");
    while !stop.exists() {
        let visit = format!("{source}-{}", events.last_seq() + 1);
        let now = wall_us();
        let lines = vec![line("milk", 1 + (now % 3) as u32, 0.97, false), line("bread", 1, 0.5, true)];
        let EventBody::VisitClosed(receipt) = closed(&visit, 0, 9, lines.clone()) else { unreachable!() };
        let of_visit = vec![
            (now, opened(&visit)),
            (now, cart(&visit, lines)),
            (now, EventBody::VisitClosed(VisitClosed { currency: "EUR".into(), ..receipt })),
        ];
        for event in events.publish_all(of_visit).await.unwrap() {
            // One write each: what has reached the kernel outlives this process.
            told.write_all(format!("{}\n", serde_json::to_string(&event).unwrap()).as_bytes()).unwrap();
        }
        events.watermark(now, false);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    events.wait_acked(AT_MOST).await.unwrap();
}

struct Store {
    dir: PathBuf,
    broker: SocketAddr,
    cloud: SocketAddr,
}

impl Store {
    fn new(dir: &Path) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { dir: dir.to_owned(), broker: free(), cloud: free() }
    }

    fn log(&self) -> Stdio {
        std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap().into()
    }

    fn this_program(&self, test: &str, name: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env("LINEFREE_CHILD", name).env("LINEFREE_CHILD_DIR", &self.dir);
        command
    }

    fn start(&self, which: usize) -> Child {
        let mut command = match which {
            0 => {
                let mut command = self.this_program("process_of_the_broker", "broker");
                command.env("LINEFREE_CHILD_ADDR", self.broker.to_string());
                command
            }
            1 => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_store-sync"));
                command
                    .args(["serve", "--listen", "127.0.0.1:0", "--config"])
                    .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/corner.toml"))
                    .arg("--data")
                    .arg(self.dir.join("data"))
                    .args(["--bus", &format!("mqtt://{}", self.broker)])
                    .args(["--cloud", &format!("http://{}/v1/events", self.cloud)]);
                command
            }
            2 => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_store-sync"));
                command.args(["receive", "--listen", &self.cloud.to_string(), "--data"]);
                command.arg(self.dir.join("cloud"));
                command
            }
            agent => {
                let mut command = self.this_program("process_of_an_agent", "agent");
                command.env("LINEFREE_CHILD_SOURCE", AGENTS[agent - 3]);
                command.env("LINEFREE_CHILD_BUS", format!("mqtt://{}", self.broker));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(self.log()).stderr(self.log()).spawn().unwrap()
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < AT_MOST, "{what} did not happen; the log ends:\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn nothing_acknowledged_is_missing_and_nothing_is_doubled_after_any_process_is_killed() {
    let long = std::env::var("LINEFREE_LONG").is_ok_and(|v| v == "1");
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let kills = number("LINEFREE_KILLS").unwrap_or(if long { 500 } else { 25 });
    let mut dice = Dice(number("LINEFREE_KILL_SEED").unwrap_or(6));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let mut processes: Vec<Child> = (0..3 + AGENTS.len()).map(|which| store.start(which)).collect();
    let ledger = dir.path().join("data/ledger.sqlite");
    store.wait("the first event in the ledger", || {
        LedgerReader::open(&ledger).is_ok_and(|r| r.last_seq().is_ok_and(|seq| seq > 0))
    });
    let mut killed: BTreeMap<usize, u32> = BTreeMap::new();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(10 + dice.below(240)));
        let which = dice.below(processes.len() as u64) as usize;
        processes[which].kill().unwrap();
        processes[which].wait().unwrap();
        processes[which] = store.start(which);
        *killed.entry(which).or_default() += 1;
    }
    std::fs::write(dir.path().join("stop"), "").unwrap();
    for agent in &mut processes[3..] {
        store.wait("an agent's last acknowledgement", || agent.try_wait().unwrap().is_some());
        assert!(agent.wait().unwrap().success(), "an agent failed:\n{}", store.log_end());
    }
    store.wait("delivery to the cloud", || {
        LedgerReader::open(&ledger).is_ok_and(|r| r.acknowledged_seq().unwrap() == r.last_seq().unwrap())
    });
    // The last of the kills: the processes that are left.
    for process in &mut processes[..3] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let events = compare(dir.path());
    eprintln!(
        "{kills} kills {killed:?} (0 broker, 1 store-sync, 2 cloud, 3 and 4 agents): {events} events, all there once"
    );
}

/// Compares what the agents were told, the ledger and the cloud; returns how many events there are.
fn compare(dir: &Path) -> usize {
    let ledger = dir.join("data/ledger.sqlite");
    let reader = LedgerReader::open(&ledger).unwrap();
    let mut stored: BTreeMap<EventId, Event> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = reader.events_after(after, 1000).unwrap();
        let Some(last) = page.last() else { break };
        assert_eq!(last.ledger_seq, after + page.len() as u64, "the ledger's numbers have a hole");
        after = last.ledger_seq;
        for one in page {
            assert!(stored.insert(EventId::of(&one.event), one.event).is_none(), "an event is there twice");
        }
    }
    let mut told = 0;
    for source in AGENTS {
        for text in std::fs::read_to_string(dir.join(format!("told-{source}"))).unwrap().lines() {
            // The last line of a killed agent may be half a line; its event is not counted as told then.
            let Ok(event) = serde_json::from_str::<Event>(text) else { continue };
            assert_eq!(
                stored.get(&EventId::of(&event)),
                Some(&event),
                "an event that was durable is missing"
            );
            told += 1;
        }
    }
    assert!(told > 100, "only {told} events: there was no load");

    // Money: one receipt a visit, here and in the cloud.
    let charges: BTreeMap<String, i64> = stored
        .values()
        .filter_map(|e| match &e.body {
            EventBody::VisitClosed(closed) => Some((closed.visit.clone(), closed.charge_minor)),
            _ => None,
        })
        .collect();
    let receipts = reader.receipts(u32::MAX).unwrap();
    let charged: BTreeMap<String, i64> = receipts.iter().map(|r| (r.visit.clone(), r.charge_minor)).collect();
    assert_eq!((receipts.len(), &charged), (charges.len(), &charges));
    let cloud = CloudEvents::open(&dir.join("cloud/cloud.sqlite")).unwrap();
    let delivered = cloud.events("corner", 0, u32::MAX).unwrap();
    let ids: BTreeSet<&str> = delivered.iter().map(|e| e.event["id"].as_str().unwrap()).collect();
    assert_eq!((delivered.len(), ids.len()), (stored.len(), stored.len()), "the cloud has each event once");
    for one in &delivered {
        let event = event_of(&one.event).unwrap();
        assert_eq!(stored.get(&EventId::of(&event)), Some(&event));
    }
    let in_cloud: i64 =
        cloud.receipts("corner", u32::MAX).unwrap().iter().map(|r| r["charge_minor"].as_i64().unwrap()).sum();
    assert_eq!(in_cloud, charges.values().sum::<i64>());

    let report = reader.check().unwrap();
    assert_eq!(report.findings, [], "the ledger is whole");
    drop(reader);
    let mut ledger = Ledger::open_existing(&ledger).unwrap();
    let live = ledger.dump_projections().unwrap();
    ledger.rebuild(|_, _| ()).unwrap();
    assert_eq!(ledger.dump_projections().unwrap(), live, "a rebuild gives the same bytes");
    stored.len()
}
