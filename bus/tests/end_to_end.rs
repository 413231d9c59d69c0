//! From a source's journal to receivers that take each event once: with a broker that is killed under load, a
//! ledger that is away, a receiver that comes late, and a source that is restarted.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

mod support;

use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, Inbox, Incoming, Outgoing};
use linefree_bus::gap::{GapTracker, MarkVerdict, Verdict};
use linefree_bus::journal::JournalOptions;
use linefree_bus::payload::{Ack, EventBody, Watermark};
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::watermark::MinWatermark;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{EmbeddedProcess, LISTEN_ENV, Mortal, Mosquitto, PATIENCE, body, connect};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Not a test: the broker of [`EmbeddedProcess`], killed by whoever started it.
#[tokio::test]
#[ignore = "run by other tests as a process of its own"]
async fn broker_child() {
    let Ok(listen) = std::env::var(LISTEN_ENV) else { return };
    let _broker = EmbeddedBroker::start(BrokerConfig::on(listen.parse().unwrap())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
}

/// What a receiver took, in order: the `n` of each event's body.
fn number(body: &EventBody) -> u32 {
    match body {
        EventBody::GatePassed(gate) => gate.party,
        other => panic!("unexpected {other:?}"),
    }
}

/// A receiver as store-sync and the floor role are: takes each event once, asks for what is missing, and (the
/// ledger) acknowledges what it has. Ends when a complete watermark says that the source is finished.
struct Receiver {
    client: BusClient,
    inbox: Inbox,
    acknowledges: bool,
    tracker: GapTracker,
    min: MinWatermark,
    taken: Vec<u32>,
    doubles: u64,
    progress: Arc<AtomicU64>,
}

impl Receiver {
    fn new(client: BusClient, inbox: Inbox, acknowledges: bool) -> Self {
        let min = MinWatermark::new(["gate-1".to_owned()], None);
        Self {
            client,
            inbox,
            acknowledges,
            tracker: GapTracker::new(),
            min,
            taken: Vec::new(),
            doubles: 0,
            progress: Arc::default(),
        }
    }

    /// Gives the client back as well: a ledger that is gone acknowledges nothing.
    async fn run(mut self) -> (Vec<u32>, u64, BusClient) {
        let started = Instant::now();
        while self.min.min_us(0) != Some(i64::MAX) {
            let now_us = started.elapsed().as_micros() as i64;
            match self.inbox.recv().await.expect("the client is closed") {
                Incoming::Event(event) => {
                    match self.tracker.on_event(&event, now_us) {
                        Verdict::Accept => self.taken.push(number(&event.body)),
                        Verdict::Duplicate => self.doubles += 1,
                        Verdict::Gap { resend, .. } => self.ask(resend),
                    }
                    let seq = self.tracker.contiguous("gate-1", event.epoch);
                    self.progress.store(seq, Ordering::Release);
                    if self.acknowledges {
                        let ack = Ack { source: "gate-1".to_owned(), epoch: event.epoch, seq };
                        self.client.publish(Outgoing::Ack(ack)).unwrap();
                    }
                    if let Some(mark) = self.tracker.released("gate-1") {
                        self.finish(&mark);
                    }
                }
                Incoming::Watermark(mark) => match self.tracker.on_watermark(&mark, now_us) {
                    MarkVerdict::Complete => self.finish(&mark),
                    MarkVerdict::Missing { resend } => self.ask(resend),
                    MarkVerdict::Lost { from_seq, to_seq } => panic!("lost {from_seq} to {to_seq}"),
                },
                _ => {}
            }
        }
        (self.taken, self.doubles, self.client)
    }

    fn ask(&self, resend: Option<linefree_bus::payload::Resend>) {
        if let Some(resend) = resend {
            self.client.publish(Outgoing::Resend(resend)).unwrap();
        }
    }

    fn finish(&mut self, mark: &Watermark) {
        self.min.observe(mark, 0);
    }
}

const WANTED: [Subscription; 2] = [
    Subscription { kind: TopicKind::Event, source: None },
    Subscription { kind: TopicKind::Watermark, source: None },
];

async fn survives_a_dying_broker(mut broker: Mortal) {
    const EVENTS: u32 = 6_000;
    let dir = tempfile::tempdir().unwrap();
    let url = broker.url();
    let (client, inbox) = connect(&url, "ledger", &WANTED).await;
    let ledger = Receiver::new(client, inbox, true);
    let reached = Arc::clone(&ledger.progress);
    let ledger = tokio::spawn(ledger.run());
    let (client, inbox) = connect(&url, "floor-1", &WANTED).await;
    let floor = tokio::spawn(Receiver::new(client, inbox, false).run());

    let (client, _own) = connect(&url, "gate-1", &[]).await;
    let options =
        PublisherOptions { journal: JournalOptions { segment_bytes: 64 << 10, ..JournalOptions::default() } };
    let (source, _) = EventPublisher::open(dir.path(), "gate-1", client, options).await.unwrap();
    let publishing: JoinHandle<()> = {
        let source = source.clone();
        tokio::spawn(async move {
            for first in (0..EVENTS).step_by(20) {
                let events = (first..first + 20).map(|n| (i64::from(n), body(n))).collect();
                source.publish_all(events).await.unwrap();
                source.watermark(i64::from(first + 19), false);
            }
            source.watermark(i64::from(EVENTS), true);
        })
    };
    // Killed while it carries events: each time after the ledger has got some more.
    for killed in 1..=3_u64 {
        let wait = async {
            while reached.load(Ordering::Acquire) < killed * u64::from(EVENTS) / 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| {
            panic!(
                "stuck at {} before kill {killed}: {:?}",
                reached.load(Ordering::Acquire),
                source.counters()
            )
        });
        broker.kill_and_restart().await;
    }
    publishing.await.unwrap();
    let expected: Vec<u32> = (0..EVENTS).collect();
    let mut alive = Vec::new();
    for (name, receiver) in [("ledger", ledger), ("floor", floor)] {
        let (taken, doubles, client) = timeout(PATIENCE, receiver).await.expect("never finished").unwrap();
        assert!(taken == expected, "{name}: {} taken, {doubles} doubles", taken.len());
        alive.push(client);
        eprintln!("{name}: {} events taken once, {doubles} duplicates dropped", taken.len());
    }
    source.wait_acked(PATIENCE).await.unwrap();
    assert!(source.counters()["events_resent"] > 0, "no event was ever in danger: the test tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_the_embedded_broker_dies_under_load() {
    survives_a_dying_broker(Mortal::Embedded(EmbeddedProcess::start().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_mosquitto_dies_under_load() {
    if let Some(mosquitto) = Mosquitto::start().await {
        survives_a_dying_broker(Mortal::Mosquitto(mosquitto)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_restarts_without_a_broker_delivers_everything_later() {
    let dir = tempfile::tempdir().unwrap();
    let addr = support::free_addr();
    let url = linefree_bus::url::BusUrl::of_addr(addr);
    // Nobody listens yet: the store's server is off.
    let mut epoch = None;
    for life in 0..3_u32 {
        let (client, _own) = BusClient::connect(support::config(&url, "gate-1", &[])).unwrap();
        let options = PublisherOptions::default();
        let (source, report) = EventPublisher::open(dir.path(), "gate-1", client, options).await.unwrap();
        assert_eq!(report.created, life == 0);
        assert_eq!(*epoch.get_or_insert(source.epoch()), source.epoch());
        for n in 0..100 {
            source.publish(0, body(life * 100 + n)).await.unwrap();
        }
        assert_eq!(source.last_seq(), u64::from(life + 1) * 100);
        source.close().await;
    }
    let _broker = EmbeddedBroker::start(BrokerConfig::on(addr)).await.unwrap();
    let (client, inbox) = connect(&url, "ledger", &WANTED).await;
    let ledger = tokio::spawn(Receiver::new(client, inbox, true).run());
    let (client, _own) = connect(&url, "gate-1", &[]).await;
    let (source, report) =
        EventPublisher::open(dir.path(), "gate-1", client, PublisherOptions::default()).await.unwrap();
    assert_eq!(report.events, 300);
    source.wait_acked(PATIENCE).await.unwrap();
    source.watermark(1, true);
    let (taken, ..) = timeout(PATIENCE, ledger).await.unwrap().unwrap();
    assert_eq!(taken, (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_comes_late_gets_what_was_acknowledged_long_ago() {
    let dir = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (client, inbox) = connect(&broker.url(), "ledger", &WANTED).await;
    let ledger = tokio::spawn(Receiver::new(client, inbox, true).run());
    let (client, _own) = connect(&broker.url(), "gate-1", &[]).await;
    let (source, _) =
        EventPublisher::open(dir.path(), "gate-1", client, PublisherOptions::default()).await.unwrap();
    source.publish_all((0..500).map(|n| (0, body(n))).collect()).await.unwrap();
    source.wait_acked(PATIENCE).await.unwrap();
    source.watermark(7, true);
    assert_eq!(timeout(PATIENCE, ledger).await.unwrap().unwrap().0.len(), 500);
    // The source is finished and silent; only its repeated watermark tells the latecomer what there was.
    let (client, inbox) = connect(&broker.url(), "floor-1", &WANTED).await;
    let floor = tokio::spawn(Receiver::new(client, inbox, false).run());
    let (taken, ..) = timeout(PATIENCE, floor).await.unwrap().unwrap();
    assert_eq!(taken, (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_leave_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (client, inbox) = connect(&broker.url(), "ledger", &WANTED).await;
    let ledger = tokio::spawn(Receiver::new(client, inbox, true).run());
    let (client, _own) = connect(&broker.url(), "gate-1", &[]).await;
    let journal = JournalOptions { segment_bytes: 4_096, keep_acked: 100, ..JournalOptions::default() };
    let options = PublisherOptions { journal };
    let (source, _) = EventPublisher::open(dir.path(), "gate-1", client, options).await.unwrap();
    for first in (0..2_000).step_by(10) {
        source.publish_all((first..first + 10).map(|n| (0, body(n))).collect()).await.unwrap();
    }
    source.wait_acked(PATIENCE).await.unwrap();
    // A trim that was not taken is made up for by the next acknowledgement.
    source.publish(0, body(2_000)).await.unwrap();
    source.wait_acked(PATIENCE).await.unwrap();
    let shrunk = async {
        while source.counters()["journal_bytes"] > 40_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shrunk).await.unwrap();
    source.watermark(1, true);
    timeout(PATIENCE, ledger).await.unwrap().unwrap();
}

/// How fast events get from a caller to the ledger and back, journal and broker included. The figures are printed:
/// `cargo test -p linefree-bus --test end_to_end -- --ignored --nocapture throughput`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    const EVENTS: u32 = 10_000;
    for (name, url) in &support::brokers().await.urls {
        let (client, inbox) = connect(url, "ledger", &WANTED).await;
        let ledger = tokio::spawn(Receiver::new(client, inbox, true).run());
        let (client, _own) = connect(url, "gate-1", &[]).await;
        let dir = tempfile::tempdir().unwrap();
        let (source, _) =
            EventPublisher::open(dir.path(), "gate-1", client, PublisherOptions::default()).await.unwrap();
        let mut waits = Vec::new();
        for n in 0..200 {
            let started = Instant::now();
            source.publish(0, body(n)).await.unwrap();
            source.wait_acked(PATIENCE).await.unwrap();
            waits.push(started.elapsed());
        }
        waits.sort();
        let started = Instant::now();
        for first in (200..EVENTS).step_by(100) {
            source.publish_all((first..first + 100).map(|n| (0, body(n))).collect()).await.unwrap();
        }
        let durable = started.elapsed();
        source.wait_acked(PATIENCE).await.unwrap();
        let acked = started.elapsed();
        source.watermark(1, true);
        let (taken, doubles, _client) = timeout(PATIENCE, ledger).await.unwrap().unwrap();
        assert_eq!(taken, (0..EVENTS).collect::<Vec<_>>());
        let rate = |time: Duration| f64::from(EVENTS - 200) / time.as_secs_f64();
        eprintln!(
            "{name}: one event, durable, sent and acknowledged: median {:?}, worst of 200 {:?}; in hundreds: {:.0} \
             events/s durable, {:.0} events/s acknowledged; {doubles} doubles",
            waits[100],
            waits[199],
            rate(durable),
            rate(acked)
        );
    }
}
