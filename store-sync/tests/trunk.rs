//! The trunk: stores into a real cluster of three NATS servers, one of which is killed under load, and the reference
//! cloud behind it. Skips where nats-server is not installed.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod feed;
mod nats;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::payload::Event;
use nats::{Cluster, Leaf};
use serde_json::Value;
use store_sync::cloud::BATCH_MEDIA_TYPE;
use store_sync::cloud::packing::Packing;
use store_sync::cloud::receive::CloudEvents;
use store_sync::cloud::trunk::{SharedEvents, answer, read};
use store_sync::downlink::AskCommands as _;
use store_sync::ledger::Ledger;
use store_sync::outbox::nats::{NatsTrunk, TrunkUrl};
use store_sync::outbox::{Deliver, Outbox, Step};

const AT_MOST: Duration = Duration::from_secs(60);

fn visits(store: u8, from: u64, count: u64) -> Vec<Event> {
    let visit = |n: u64| {
        let lines = vec![line("632565000012", (n % 5 + 1) as u32, 0.97, false)];
        let body = closed(&format!("v{n}"), n as i64, n as i64 + 1, lines);
        event("floor-1", epoch(store), n, n as i64, body)
    };
    (from..from + count).map(visit).collect()
}

fn outbox(ledger: &Path, url: &str, store: &str) -> Outbox {
    Outbox::open(ledger, Box::new(NatsTrunk::new(url, store, None).unwrap())).unwrap().with_page(20)
}

/// Steps until the trunk has everything; how many attempts failed.
fn drain(outbox: &mut Outbox) -> u64 {
    let (began, mut failed) = (Instant::now(), 0);
    loop {
        match outbox.step().unwrap() {
            Step::Idle => return failed,
            Step::Failed(e) => {
                failed += 1;
                assert!(began.elapsed() < AT_MOST, "{e}");
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => {}
        }
    }
}

/// The reference cloud, reading the trunk on a thread of its own until the test's process ends.
fn reader(url: &str, data: &Path) -> SharedEvents {
    let events: SharedEvents = Arc::new(Mutex::new(CloudEvents::open(&data.join("cloud.sqlite")).unwrap()));
    let (shared, url) = (Arc::clone(&events), TrunkUrl::parse(url).unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            loop {
                let Ok(client) = url.connect("reader", None).await else { continue };
                let (a, b) = (Arc::clone(&shared), Arc::clone(&shared));
                let _ = tokio::join!(read(&url, client.clone(), a), answer(&url, client.clone(), b));
            }
        });
    });
    events
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < AT_MOST, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every batch in the stream: store, numbers in order.
fn in_stream(url: &str) -> Vec<(String, Vec<u64>)> {
    let url = TrunkUrl::parse(url).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let context = url.jetstream(url.connect("look", None).await.unwrap());
        let stream = url.open_stream(&context).await.unwrap();
        let last = stream.get_info().await.unwrap().state.last_sequence;
        let mut out = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let packing = Packing::named(message.headers.get("Content-Encoding").unwrap().as_str()).unwrap();
            let plain = packing.unpack(&message.payload, 8 << 20).unwrap();
            let batch: Vec<Value> = serde_json::from_slice(&plain).unwrap();
            let numbers = batch.iter().map(|e| e["sequence"].as_str().unwrap().parse().unwrap());
            out.push((batch[0]["source"].as_str().unwrap().to_owned(), numbers.collect()));
        }
        out
    })
}

#[test]
fn a_server_of_three_is_killed_under_load_and_nothing_is_lost_doubled_or_out_of_order() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = cluster.url("plaza");
    let cloud = reader(&url, dir.path());
    const VISITS: u64 = 600;
    let stores: Vec<_> = (1..=4u8)
        .map(|n| {
            let (path, url) = (dir.path().join(format!("store-{n}.sqlite")), url.clone());
            std::thread::spawn(move || {
                let store = format!("store.{n}");
                let mut ledger = Ledger::open(&path, &store, 1).unwrap();
                let mut outbox = outbox(&path, &url, &store);
                let mut failed = 0;
                for part in 0..VISITS / 50 {
                    ledger.append(&visits(n, part * 50 + 1, 50), 2).unwrap();
                    failed += drain(&mut outbox);
                }
                failed
            })
        })
        .collect();
    // One is killed when about a third has arrived, comes back after two thirds, and another is killed then.
    let arrived =
        || cloud.lock().unwrap().stores().unwrap().iter().map(|s| s["events"].as_u64().unwrap()).sum::<u64>();
    wait_for("a third", || arrived() > 4 * VISITS / 3);
    cluster.kill(1);
    wait_for("two thirds", || arrived() > 8 * VISITS / 3);
    cluster.restart(1);
    let failed: u64 = stores.into_iter().map(|s| s.join().unwrap()).sum();
    wait_for("all of it", || arrived() >= 4 * VISITS);
    let told = cloud.lock().unwrap().stores().unwrap();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|s| s["events"] == VISITS), "{told:?}");
    println!("attempts that failed while a server was away: {failed}");

    // The stream itself: each store's numbers without a gap, a repetition or a turn.
    let mut seen = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for (store, numbers) in in_stream(&url) {
        seen.entry(store).or_default().extend(numbers);
    }
    assert_eq!(seen.len(), 4);
    for (store, numbers) in seen {
        assert_eq!(numbers, (1..=VISITS).collect::<Vec<u64>>(), "{store}");
    }
}

/// A trunk whose acknowledgements get lost on the way back, every second time.
struct Deaf(NatsTrunk, Mutex<u64>);

impl Deliver for Deaf {
    fn begin(&self, ledger: uuid::Uuid, acknowledged: u64) {
        self.0.begin(ledger, acknowledged);
    }

    fn deliver(&self, batch: &[u8]) -> Result<u64, store_sync::outbox::DeliveryError> {
        let answer = self.0.deliver(batch);
        let mut calls = self.1.lock().unwrap();
        *calls += 1;
        if *calls % 2 == 1 {
            return Err(store_sync::outbox::DeliveryError::Unreachable("the answer got lost".into()));
        }
        answer
    }
}

#[test]
fn lost_answers_restarts_and_a_restored_ledger_double_nothing_and_commands_come_down() {
    let Some(cluster) = Cluster::start(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = cluster.url("plaza");
    let path = dir.path().join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    let trunk = || NatsTrunk::new(&url, "nano", None).unwrap();
    let mut seq = 1;
    for _ in 0..3 {
        // A new process each time, whose first answer is lost: more has happened until it tries again.
        let mut outbox = Outbox::open(&path, Box::new(Deaf(trunk(), Mutex::new(0)))).unwrap().with_page(20);
        ledger.append(&visits(1, seq, 30), 2).unwrap();
        assert!(matches!(outbox.step().unwrap(), Step::Failed(_)));
        ledger.append(&visits(1, seq + 30, 5), 2).unwrap();
        seq += 35;
        drain(&mut outbox);
        assert_eq!(outbox.acknowledged_seq(), seq - 1);
    }
    let numbers: Vec<u64> = in_stream(&url).into_iter().flat_map(|(_, numbers)| numbers).collect();
    assert_eq!(numbers, (1..seq).collect::<Vec<u64>>());

    // The cloud behind it, with a command; a ledger under a new id is delivered again and kept once.
    let cloud = reader(&url, dir.path());
    let arrived =
        || cloud.lock().unwrap().stores().unwrap().first().and_then(|s| s["events"].as_u64()).unwrap_or(0);
    wait_for("everything", || arrived() == seq - 1);
    drop(ledger);
    let copy = dir.path().join("copy.sqlite");
    store_sync::ledger::backup::backup(&path, &copy).unwrap();
    store_sync::ledger::backup::restore(&copy, &path, 3).unwrap();
    drain(&mut outbox(&path, &url, "nano"));
    Ledger::open(&path, "nano", 1).unwrap().append(&visits(1, seq, 1), 4).unwrap();
    drain(&mut outbox(&path, &url, "nano"));
    wait_for("the restored ledger's next event", || arrived() == seq);

    let body = serde_json::json!({"kind": "prices", "currency": "USD", "prices": []});
    cloud.lock().unwrap().issue("nano", "prices-1", 1, &body, 5).unwrap();
    let asked = trunk();
    wait_for("a command", || {
        asked.commands("nano", 0).unwrap().is_some_and(|c| c.len() == 1 && c[0].command == "prices-1")
    });
    assert_eq!(asked.commands("nano", 1).unwrap(), Some(Vec::new()));
    drop(cluster);
    assert!(asked.commands("nano", 1).is_err(), "servers that are gone are no empty list");
}

/// Each store speaks to a leaf node of its own, which is cut off from the hub and comes back, as does one of the hub's
/// three servers: nothing is lost or doubled, and each store's order holds.
#[test]
fn stores_behind_leaf_nodes_deliver_all_of_it_in_order_whatever_is_killed() {
    let Some(mut hub) = Cluster::start(3) else { return };
    let dir = tempfile::tempdir().unwrap();
    let cloud = reader(&hub.url("plaza"), dir.path());
    const VISITS: u64 = 300;
    let mut leaves: Vec<Leaf> = (1..=3).map(|_| Leaf::start(&hub)).collect();
    let stores: Vec<_> = (1..=3_u8)
        .zip(&leaves)
        .map(|(n, leaf)| {
            let (path, url) = (dir.path().join(format!("store-{n}.sqlite")), leaf.url("plaza"));
            std::thread::spawn(move || {
                let store = format!("store-{n}");
                let mut ledger = Ledger::open(&path, &store, 1).unwrap();
                let mut outbox = outbox(&path, &url, &store);
                for part in 0..VISITS / 25 {
                    ledger.append(&visits(n, part * 25 + 1, 25), 2).unwrap();
                    drain(&mut outbox);
                }
            })
        })
        .collect();
    let arrived =
        || cloud.lock().unwrap().stores().unwrap().iter().map(|s| s["events"].as_u64().unwrap()).sum::<u64>();
    wait_for("a quarter", || arrived() > 3 * VISITS / 4);
    leaves[0].kill();
    wait_for("half", || arrived() > 3 * VISITS / 2);
    hub.kill(0);
    leaves[0].restart();
    wait_for("three quarters", || arrived() > 9 * VISITS / 4);
    hub.restart(0);
    for store in stores {
        store.join().unwrap();
    }
    wait_for("all of it", || arrived() >= 3 * VISITS);
    let mut seen = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for (store, numbers) in in_stream(&hub.url("plaza")) {
        seen.entry(store).or_default().extend(numbers);
    }
    assert_eq!(seen.len(), 3);
    for (store, numbers) in seen {
        assert_eq!(numbers, (1..=VISITS).collect::<Vec<u64>>(), "{store}");
    }
    // Commands come down the same way.
    let body = serde_json::json!({"kind": "policy", "review_below": 0.8});
    cloud.lock().unwrap().issue("store-1", "p1", 1, &body, 5).unwrap();
    let asked = NatsTrunk::new(&leaves[0].url("plaza"), "store-1", None).unwrap();
    wait_for(
        "a command",
        || matches!(asked.commands("store-1", 0), Ok(Some(c)) if c.len() == 1 && c[0].command == "p1"),
    );
}

/// What earlier stores put into the stream (gzip, or plain) is read; what nobody here can unpack waits, and is not
/// thrown away.
#[test]
fn batches_of_earlier_stores_are_read_and_those_of_later_ones_wait() {
    let Some(cluster) = Cluster::start(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = cluster.url("plaza");
    let first = include_str!("compatible/batch-1.json").as_bytes();
    let parsed = TrunkUrl::parse(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let put = |store: &str, packing: Option<&str>, payload: Vec<u8>| {
        let (subject, mut headers) = (parsed.subject(store, "events"), async_nats::HeaderMap::new());
        headers.insert("Content-Type", BATCH_MEDIA_TYPE);
        if let Some(name) = packing {
            headers.insert("Content-Encoding", name);
        }
        runtime.block_on(async {
            let context = parsed.jetstream(parsed.connect("old", None).await.unwrap());
            parsed.open_stream(&context).await.unwrap();
            context.publish_with_headers(subject, headers, payload.into()).await.unwrap().await.unwrap();
        });
    };
    put("later", Some("snappy"), b"whatever".to_vec());
    put("nano", Some("gzip"), Packing::Gzip.pack(first).unwrap());
    put("nano", None, first.to_vec());
    let cloud = reader(&url, dir.path());
    wait_for("the first version's batch", || {
        cloud.lock().unwrap().stores().unwrap().iter().any(|s| s["events"] == 21)
    });
    let mut waiting = 0;
    wait_for("everything else to be acknowledged", || {
        let info = runtime.block_on(async {
            let context = parsed.jetstream(parsed.connect("look", None).await.unwrap());
            let stream = parsed.open_stream(&context).await.unwrap();
            stream.consumer_info("linefree-receive").await.unwrap()
        });
        waiting = info.num_ack_pending;
        info.num_pending == 0 && waiting == 1 && info.ack_floor.stream_sequence == 0
    });
    assert_eq!(waiting, 1, "the one that nobody can unpack is still there");
}
