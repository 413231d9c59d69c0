//! The ledger's tools as they are run: the real program beside a running server.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;
mod feed;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::journal::JournalOptions;
use linefree_bus::payload::*;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use store_sync::cloud::receive::{CloudEvents, router};
use store_sync::ledger::LedgerReader;
use store_sync::serve::{Cloud, DataDir, Server, Settings};

const AT_MOST: Duration = Duration::from_secs(30);

fn settings(data: &Path, cloud: Option<SocketAddr>) -> Settings {
    let cloud =
        cloud.map(|addr| Cloud { url: format!("http://{addr}/v1/events"), token_file: None, tls_dir: None });
    Settings { cloud, ..corner::settings(data) }
}

/// Runs a tool; returns whether it succeeded and what it said.
async fn tool(arguments: &[&str], data: &Path, input: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-sync"));
    command.args(arguments).arg("--data").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    })
    .await
    .unwrap()
}

async fn source(server: &Server, dir: &Path, name: &str, journal: JournalOptions) -> EventPublisher {
    let status = Status::online(name, "floor", "test");
    let (client, mut inbox) =
        BusClient::connect(BusConfig::new(server.bus().clone(), "corner", status)).unwrap();
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    EventPublisher::open(&dir.join(name), name, client, PublisherOptions { journal }).await.unwrap().0
}

async fn visit(floor: &EventPublisher, n: u64) {
    let visit = format!("v{n}");
    let lines = vec![line("milk", 1, 0.97, false)];
    let all = vec![
        (START_US, opened(&visit)),
        (START_US, cart(&visit, lines.clone())),
        (START_US, closed(&visit, 1, 9, lines)),
    ];
    floor.publish_all(all).await.unwrap();
    floor.watermark(START_US + n as i64, false);
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < AT_MOST, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_is_put_back_under_the_running_server_and_nothing_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let cloud_file = dir.path().join("cloud.sqlite");
    let app = router(CloudEvents::open(&cloud_file).unwrap(), None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cloud = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let server = Server::start(settings(&data, Some(cloud))).await.unwrap();
    let ledger = DataDir::ledger_in(&data);
    let seqs = || {
        let reader = LedgerReader::open(&ledger).unwrap();
        (reader.last_seq().unwrap(), reader.acknowledged_seq().unwrap())
    };
    // One source keeps its journal, the other's disk is small and holds the last few events only.
    let keeps = source(&server, dir.path(), "floor-1", JournalOptions::default()).await;
    let few = JournalOptions { segment_bytes: 600, keep_acked: 3, ..JournalOptions::default() };
    let forgets = source(&server, dir.path(), "floor-2", few.clone()).await;
    for n in 0..10 {
        visit(&keeps, n).await;
    }
    visit(&forgets, 100).await;
    keeps.wait_acked(AT_MOST).await.unwrap();
    forgets.wait_acked(AT_MOST).await.unwrap();
    let copy = dir.path().join("monday.sqlite");
    let to = copy.to_str().unwrap();
    let (fine, said) = tool(&["backup", "--to", to], &data, "").await;
    assert!(fine && said.contains("33 events"), "{said}");
    let (fine, said) = tool(&["backup", "--to", to], &data, "").await;
    assert!(!fine && said.contains("never writes over another"), "{said}");

    for n in 10..20 {
        visit(&keeps, n).await;
        visit(&forgets, 100 + n).await;
        forgets.wait_acked(AT_MOST).await.unwrap();
    }
    keeps.wait_acked(AT_MOST).await.unwrap();
    until("delivery", || seqs() == (93, 93)).await;
    let id = LedgerReader::open(&ledger).unwrap().identity().unwrap().0;

    let (fine, said) = tool(&["restore", "--from", to], &data, "").await;
    assert!(fine && said.contains("running server goes on"), "{said}");
    assert_ne!(LedgerReader::open(&ledger).unwrap().identity().unwrap().0, id, "a new id");
    // The sources go on, and send what the copy lacks: all of one, the last few of the other.
    visit(&keeps, 20).await;
    visit(&forgets, 200).await;
    keeps.wait_acked(AT_MOST).await.unwrap();
    let has = |source: &str| {
        let reader = LedgerReader::open(&ledger).unwrap();
        let sources = reader.sources().unwrap();
        sources.iter().find(|s| s.source == source).map_or(0, |s| s.contiguous_seq)
    };
    until("the first source's last event", || has("floor-1") == 63).await;
    until("the second source's last event", || has("floor-2") == 36).await;
    let lost = LedgerReader::open(&ledger).unwrap().totals().unwrap().lost;
    assert!(lost > 0, "what its journal does not hold is noted as lost");
    let (fine, said) = tool(&["refill", "--cloud", &format!("http://{cloud}/v1/events")], &data, "").await;
    assert!(!fine && said.contains("another store-sync uses"), "{said}");
    server.stop().await.unwrap();

    let (fine, said) = tool(&["refill", "--cloud", &format!("http://{cloud}/v1/events")], &data, "").await;
    assert!(fine && said.contains(&format!("{lost} were missing here")), "{said}");
    let reader = LedgerReader::open(&ledger).unwrap();
    assert_eq!(reader.totals().unwrap().receipts, 33, "31 visits of before and 2 of after");
    assert_eq!(reader.last_seq().unwrap(), 99);
    let (fine, said) = tool(&["check"], &data, "").await;
    assert!(fine && said.contains("99 events, sound, 0 notices"), "{said}");
    let (fine, said) = tool(&["rebuild"], &data, "").await;
    assert!(fine && said.contains("from 99 events"), "{said}");

    // Under its new id everything is delivered again, and the cloud has each event once.
    let server = Server::start(settings(&data, Some(cloud))).await.unwrap();
    until("delivery under the new id", || seqs() == (99, 99)).await;
    server.stop().await.unwrap();
    let delivered = CloudEvents::open(&cloud_file).unwrap();
    assert_eq!(delivered.events("corner", 0, 1000).unwrap().len(), 99);
    assert_eq!(delivered.receipts("corner", 1000).unwrap().len(), 33);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_deleted_and_evidence_let_go_beside_the_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data, None)).await.unwrap();
    let floor = source(&server, dir.path(), "floor-1", JournalOptions::default()).await;
    for n in 1..=3 {
        visit(&floor, n).await;
    }
    floor.wait_acked(AT_MOST).await.unwrap();
    let (fine, said) = tool(&["delete-my-data"], &data, "cred-v2\n").await;
    assert!(fine && said.contains("2 events of 1 visits"), "{said}");
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"cred-v2"), "{} still holds it", path.display());
    }
    let (fine, said) = tool(&["delete-my-data"], &data, "cred-v2\n").await;
    assert!(!fine && said.contains("no event"), "{said}");
    let (fine, said) = tool(&["let-go", "--keep", "cart_changed=0", "--also-undelivered"], &data, "").await;
    assert!(fine && said.contains("3 events"), "{said}");
    let (fine, said) = tool(&["let-go", "--keep", "visit_closed=0"], &data, "").await;
    assert!(!fine && said.contains("never let go"), "{said}");
    let (fine, said) = tool(&["check"], &data, "").await;
    assert!(fine && said.contains("sound"), "{said}");
    assert_eq!(LedgerReader::open(&DataDir::ledger_in(&data)).unwrap().totals().unwrap().receipts, 3);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_another_store_or_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    for (folder, store) in [(&data, "corner"), (&other, "nano")] {
        std::fs::create_dir(folder).unwrap();
        let mut l = store_sync::ledger::Ledger::open(&DataDir::ledger_in(folder), store, 1).unwrap();
        l.append(&morning(), 2).unwrap();
    }
    let copy = dir.path().join("copy");
    assert!(tool(&["backup", "--to", copy.to_str().unwrap()], &other, "").await.0);
    let (fine, said) = tool(&["restore", "--from", copy.to_str().unwrap()], &data, "").await;
    assert!(!fine && said.contains("belongs to store \"nano\""), "{said}");
    let bytes = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &bytes[..bytes.len() / 2]).unwrap();
    let (fine, said) = tool(&["restore", "--from", copy.to_str().unwrap()], &other, "").await;
    assert!(!fine, "{said}");
    for folder in [&data, &other] {
        let reader = LedgerReader::open(&DataDir::ledger_in(folder)).unwrap();
        assert_eq!((reader.last_seq().unwrap(), reader.totals().unwrap().receipts), (19, 2), "as it was");
    }
    // Onto a new disk, without a server.
    let fresh = dir.path().join("fresh");
    std::fs::write(&copy, &bytes).unwrap();
    let (fine, said) = tool(&["restore", "--from", copy.to_str().unwrap()], &fresh, "").await;
    assert!(fine && said.contains("19 events"), "{said}");
    assert_eq!(LedgerReader::open(&DataDir::ledger_in(&fresh)).unwrap().totals().unwrap().receipts, 2);
    let (fine, said) = tool(&["restore", "--here"], &fresh, "").await;
    assert!(fine, "{said}");
    assert!(tool(&["check"], &fresh, "").await.0);
}
