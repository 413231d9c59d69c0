//! Disks that are full or read-only: nothing acknowledged is lost, nothing is doubled, and the operator is told.
//!
//! Needs Linux and the right to mount a small tmpfs in a mount namespace of its own (`unshare -m`); says so and skips
//! where that is not allowed. The test program starts itself again within the namespace, so nothing is left behind.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stderr)]
#![cfg(target_os = "linux")]

mod corner;
mod feed;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::journal::{Journal, JournalOptions};
use linefree_bus::payload::*;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use store_sync::cloud::event::CloudEvent;
use store_sync::cloud::receive::CloudEvents;
use store_sync::ledger::{Ledger, LedgerReader};
use store_sync::serve::Server;

const AT_MOST: Duration = Duration::from_secs(30);

fn mount(arguments: &[&str], at: &Path) {
    let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
    assert!(status.success(), "mount {arguments:?} failed");
}

/// Runs a test of this program again in a mount namespace of its own; returns the folder to work in there, `None` when
/// the test has been run that way.
fn in_a_namespace(test: &str) -> Option<PathBuf> {
    if let Ok(dir) = std::env::var("LINEFREE_SMALL_DISK") {
        return Some(dir.into());
    }
    if !Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: this user may not make a mount namespace");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("LINEFREE_SMALL_DISK", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    None
}

/// Fills a disk to its last byte.
fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1 << 8, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_refuses_whole_batches_and_goes_on_when_there_is_room() {
    let Some(dir) = in_a_namespace("a_full_disk_refuses_whole_batches_and_goes_on_when_there_is_room") else {
        return;
    };
    mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &dir);
    let path = dir.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    let batch = |from: u64| -> Vec<Event> {
        (from..from + 20).map(|seq| event("floor-1", epoch(1), seq, 1, opened(&format!("v{seq}")))).collect()
    };
    let mut next = 1;
    let error = loop {
        match ledger.store(&batch(next), 2) {
            Ok(_) => next += 20,
            Err(e) => break e.to_string(),
        }
        assert!(next < 100_000, "the disk never got full");
    };
    assert!(error.contains("full") || error.contains("I/O"), "{error}");
    assert!(next > 100, "something fits");
    assert_eq!(ledger.last_seq().unwrap(), next - 1, "all of the acknowledged, nothing of the refused");
    // Still full, and a restart changes nothing.
    assert!(ledger.store(&batch(next), 2).is_err());
    mount(&["-o", "remount,size=16m"], &dir);
    assert_eq!(ledger.store(&batch(next), 2).unwrap().stored.len(), 20);
    assert_eq!(ledger.store(&batch(next), 2).unwrap().duplicates, 20);
    drop(ledger);
    let ledger = Ledger::open(&path, "nano", 1).unwrap();
    assert_eq!(ledger.last_seq().unwrap(), next + 19);
    assert!(!LedgerReader::open(&path).unwrap().check().unwrap().has_errors());
}

#[test]
fn a_journal_on_a_full_disk_gives_its_numbers_out_again() {
    let Some(dir) = in_a_namespace("a_journal_on_a_full_disk_gives_its_numbers_out_again") else { return };
    mount(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"], &dir);
    let open = || Journal::open(&dir.join("journal"), "floor-1", JournalOptions::default()).unwrap();
    let (mut journal, _) = open();
    let mut durable = 0;
    let error = loop {
        journal.append(1, opened(&format!("v{}", durable + 1))).unwrap();
        match journal.sync() {
            Ok(()) => durable += 1,
            Err(e) => break e.to_string(),
        }
    };
    assert!(error.contains("disk is full") && error.contains("make room"), "{error}");
    assert_eq!(journal.durable_seq(), durable);
    mount(&["-o", "remount,size=1m"], &dir);
    let event = journal.append(1, opened("after")).unwrap();
    journal.sync().unwrap();
    assert_eq!(event.seq, durable + 1, "the number was not used");
    drop(journal);
    let (mut journal, report) = open();
    assert_eq!((report.events, report.cut), (durable + 1, None));
    assert_eq!(journal.read_from(durable + 1, 1, 1 << 20).unwrap()[0].body, opened("after"));
}

#[test]
fn a_read_only_disk_is_named_and_nothing_is_changed() {
    let Some(dir) = in_a_namespace("a_read_only_disk_is_named_and_nothing_is_changed") else { return };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], &dir);
    let path = dir.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    ledger.append(&morning(), 2).unwrap();
    drop(ledger);
    drop(Journal::open(&dir.join("journal"), "floor-1", JournalOptions::default()).unwrap());
    mount(&["-o", "remount,ro"], &dir);
    let told = Ledger::open(&path, "nano", 1).unwrap_err().to_string();
    assert!(
        told.contains("ledger.sqlite") && (told.contains("writable") || told.contains("readonly")),
        "{told}"
    );
    let told =
        Journal::open(&dir.join("journal"), "floor-1", JournalOptions::default()).unwrap_err().to_string();
    assert!(told.contains("read-only"), "{told}");
    mount(&["-o", "remount,rw"], &dir);
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    assert_eq!(ledger.append(&morning(), 3).unwrap().duplicates, 19);
}

fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

async fn until(addr: SocketAddr, path: &'static str, what: &str, done: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let text = tokio::task::spawn_blocking(move || get(addr, path)).await.unwrap();
        if done(&text) {
            return text;
        }
        assert!(began.elapsed() < AT_MOST, "{what} did not happen; {path} says {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_tells_of_a_full_disk_and_takes_everything_when_there_is_room() {
    let test = "the_server_tells_of_a_full_disk_and_takes_everything_when_there_is_room";
    let Some(dir) = in_a_namespace(test) else { return };
    // The server's disk is small; the source has another.
    let journals = tempfile::tempdir().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &dir);
    let server = Server::start(corner::settings(&dir.join("data"))).await.unwrap();
    let addr = server.console();
    let status = Status::online("floor-1", "floor", "test");
    let (client, mut inbox) =
        BusClient::connect(BusConfig::new(server.bus().clone(), "corner", status)).unwrap();
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let options = PublisherOptions::default();
    let (floor, _) = EventPublisher::open(journals.path(), "floor-1", client, options).await.unwrap();
    floor.publish(START_US, opened("v1")).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    until(addr, "/healthz", "health", |t| t.starts_with("HTTP/1.1 200")).await;

    let filler = fill(&dir);
    for n in 2..400 {
        floor.publish(START_US, opened(&format!("v{n}-{}", "x".repeat(40)))).await.unwrap();
    }
    let told = until(addr, "/healthz", "the trouble", |t| t.starts_with("HTTP/1.1 503")).await;
    assert!(told.contains("check the disk") && told.contains("Nothing is acknowledged"), "{told}");
    assert!(floor.acked_seq() < 399, "what is not durable is not acknowledged");
    std::fs::remove_file(filler).unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    until(addr, "/healthz", "recovery", |t| t.starts_with("HTTP/1.1 200")).await;
    // The ledger itself remembers that there was trouble.
    let devices = until(addr, "/api/devices", "word of it", |t| t.contains("not_writable")).await;
    assert!(devices.contains("could not be written for"), "{devices}");
    server.stop().await.unwrap();
    let path = dir.join("data/ledger.sqlite");
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.totals().unwrap().visits, 399);
    assert!(!reader.check().unwrap().has_errors());
}

/// The reference cloud on a full disk: the batch is refused whole, the store keeps it, and it goes on when there is room.
#[test]
fn a_cloud_on_a_full_disk_acknowledges_nothing_that_it_does_not_have() {
    let test = "a_cloud_on_a_full_disk_acknowledges_nothing_that_it_does_not_have";
    let Some(dir) = in_a_namespace(test) else { return };
    let store = tempfile::tempdir().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &dir);
    let path = store.path().join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    ledger.append(&morning(), 2).unwrap();
    let mut cloud = CloudEvents::open(&dir.join("cloud.sqlite")).unwrap();
    let filler = fill(&dir);
    let batch = |after: u64| -> Vec<serde_json::Value> {
        let reader = LedgerReader::open(&path).unwrap();
        let (ledger_id, store) = reader.identity().unwrap();
        let places = reader.outbox_events(after, u64::MAX, 500).unwrap();
        let event = |place| serde_json::to_value(CloudEvent::of(&store, ledger_id, place).unwrap()).unwrap();
        places.iter().map(event).collect()
    };
    // Some may still fit in what SQLite has reserved; what is refused is refused whole.
    let mut n = 0;
    let mut taken = 0;
    let told = loop {
        match cloud.take(&batch(taken), 3) {
            Ok(answer) => taken = answer.acknowledged,
            Err(e) => break e.to_string(),
        }
        n += 1;
        assert!(n < 1000, "the disk is never full");
        let visit = format!("w{n}");
        let more =
            (0..20).map(|k| event("floor-2", epoch(9), n * 20 + k - 19, 50, opened(&format!("{visit}-{k}"))));
        ledger.append(&more.collect::<Vec<_>>(), 4).unwrap();
    };
    assert!(told.contains("the cloud's database failed") && told.contains("full"), "{told}");
    let kept = cloud.events("nano", 0, 1_000_000).unwrap().len() as u64;
    assert_eq!(kept, taken, "what was acknowledged is there, and nothing else");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(cloud.take(&batch(taken), 5).unwrap().acknowledged, ledger.last_seq().unwrap());
}
