//! The reference cloud on a real PostgreSQL server, which must do what it does on SQLite. Skips where there is none.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod feed;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use feed::*;
use linefree_bus::payload::{EventBody, ReviewAnswered, ShopperForgotten};
use serde_json::{Value, json};
use store_sync::cloud::receive::{CloudEvents, RefusedBatch};
use store_sync::ledger::Ledger;
use store_sync::outbox::{Deliver, DeliveryError, Outbox, Step};

const AT_MOST: Duration = Duration::from_secs(40);

/// A server of the test's own, which ends with it.
struct Postgres {
    child: Child,
    addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Postgres {
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let Some(bin) = versions.map(|v| v.path().join("bin")).find(|bin| bin.join("initdb").exists()) else {
            println!("skipped: no PostgreSQL server here (apt-get install postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to run as root; Debian's package brings a user for it.
        let user = root_runs_as(dir.path());
        let data = dir.path().join("data");
        let run = |program: PathBuf| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = run(bin.join("initdb"))
            .args(["--auth=trust", "--username=linefree", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = run(bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", &format!("port={}", addr.port())])
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(began.elapsed() < AT_MOST, "PostgreSQL does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, addr, dir })
    }

    fn cloud(&self) -> CloudEvents {
        let url = format!("postgres://linefree@{}/postgres", self.addr);
        let began = Instant::now();
        loop {
            match CloudEvents::open_postgres(&url, None) {
                Ok(cloud) => return cloud,
                // It listens a moment before it is ready.
                Err(e) => assert!(began.elapsed() < AT_MOST, "{e}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn root_runs_as(dir: &Path) -> Option<(u32, u32)> {
    let id = |flag: &str, user: &[&str]| -> Option<u32> {
        let told = Command::new("id").arg(flag).args(user).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    };
    if id("-u", &[]) != Some(0) {
        return None;
    }
    let (uid, gid) = (id("-u", &["postgres"])?, id("-g", &["postgres"])?);
    std::os::unix::fs::chown(dir, Some(uid), Some(gid)).unwrap();
    Some((uid, gid))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.dir.path());
    }
}

/// Into a database without HTTP between.
struct Direct(Arc<Mutex<CloudEvents>>);

impl Deliver for Direct {
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let batch: Vec<Value> = serde_json::from_slice(batch).unwrap();
        let taken = self.0.lock().unwrap().take(&batch, 7);
        taken.map(|t| t.acknowledged).map_err(|e| DeliveryError::Unreachable(e.to_string()))
    }
}

fn batch(store: &str, events: &[(u64, &str, Value)]) -> Vec<Value> {
    let one = |(seq, id, data): &(u64, &str, Value)| {
        json!({
            "specversion": "1.0", "id": id, "source": format!("/stores/{store}"),
            "type": "org.linefree.visit.closed.v1", "time": "2026-01-28T22:24:00.000001Z",
            "datacontenttype": "application/json", "ledger": epoch(9).to_string(),
            "sequence": format!("{seq:020}"), "data": data,
        })
    };
    events.iter().map(one).collect()
}

/// Everything that both databases are asked, one after the other.
fn answers(cloud: CloudEvents, dir: &Path) -> Vec<Value> {
    std::fs::create_dir_all(dir).unwrap();
    let cloud = Arc::new(Mutex::new(cloud));
    let path = dir.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    ledger.append(&morning(), 2).unwrap();
    let to = Box::new(Direct(Arc::clone(&cloud)));
    let mut outbox = Outbox::open(&path, to).unwrap().with_page(7);
    while !matches!(outbox.step().unwrap(), Step::Idle) {}
    assert_eq!(outbox.acknowledged_seq(), 19);
    let mut told = Vec::new();
    let mut take = |batch: Vec<Value>| {
        let taken = cloud.lock().unwrap().take(&batch, 8);
        told.push(match taken {
            Ok(t) => json!([t.acknowledged, t.new, t.duplicates]),
            Err(RefusedBatch::Malformed(why)) => json!({ "malformed": why }),
            Err(RefusedBatch::Conflict(why)) => json!({ "conflict": why }),
            Err(RefusedBatch::Database(e)) => panic!("{e}"),
        });
    };
    let visit = |n: i64| json!({ "visit": "w", "left_us": n, "credential": "c", "note": "tab\tnul\u{0}" });
    take(batch("other", &[(1, "a/1", visit(1)), (2, "a/2", visit(2))]));
    take(batch("other", &[(2, "a/2", visit(2)), (4, "a/4", visit(3)), (5, "a/5", visit(4))]));
    take(batch("other", &[(3, "a/3", visit(9))]));
    // The same event without its credential is the same; with another content it is a conflict, and nothing is kept.
    take(batch(
        "other",
        &[(6, "a/6", visit(5)), (1, "a/1", json!({ "visit": "w", "left_us": 1, "note": "tab\tnul\u{0}" }))],
    ));
    take(batch("other", &[(7, "a/7", visit(6)), (1, "a/1", visit(0))]));
    take(batch("other", &[(1, "a/8", visit(1))]));
    take(vec![]);
    take(batch("o/ther", &[(1, "a/1", visit(1))]));
    let answered = EventBody::ReviewAnswered(ReviewAnswered {
        visit: "v1".into(),
        sku: "632565000012".into(),
        quantity: 1,
        currency: "USD".into(),
        charge_minor: 55,
        steps: Vec::new(),
    });
    ledger.append(&[event("office", epoch(8), 1, 80, answered)], 3).unwrap();
    let gone = EventBody::ShopperForgotten(ShopperForgotten { visits: vec!["v1".into()] });
    ledger.append(&[event("office", epoch(7), 1, 90, gone)], 3).unwrap();
    while !matches!(outbox.step().unwrap(), Step::Idle) {}
    let mut cloud = cloud.lock().unwrap();
    let prices = json!({"kind": "prices", "currency": "USD", "prices": []});
    told.push(json!(cloud.issue("nano", "c1", 1, &prices, 5).unwrap()));
    told.push(json!(cloud.issue("nano", "c1", 1, &prices, 6).unwrap()));
    told.push(json!(cloud.issue("nano", "c1", 2, &prices, 6).unwrap()));
    told.push(json!(cloud.issue("nano", "c2", 2, &prices, 7).unwrap()));
    told.push(json!(cloud.commands("nano", 1, 10).unwrap()));
    told.push(json!(cloud.answers("nano", 10).unwrap()));
    told.push(json!(cloud.stores().unwrap()));
    for store in ["nano", "other", "none", "\u{0}"] {
        told.push(json!(cloud.receipts(store, 10).unwrap()));
        let events = cloud.events(store, 0, 100).unwrap();
        told.push(events.iter().map(|e| e.event.clone()).collect());
        assert!(events.windows(2).all(|w| w[0].position < w[1].position));
        let Some(second) = events.get(1) else { continue };
        assert_eq!(cloud.events(store, second.position, 1).unwrap()[0].position, events[2].position);
    }
    told
}

/// The ledger's own id differs from run to run; it is in nothing that is told.
#[test]
fn postgresql_answers_as_sqlite_does() {
    let Some(server) = Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sqlite = answers(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), &dir.path().join("a"));
    let postgres = answers(server.cloud(), &dir.path().join("b"));
    assert_eq!(sqlite.len(), postgres.len());
    for (a, b) in sqlite.iter().zip(&postgres) {
        assert_eq!(a, b);
    }
    assert_eq!(sqlite[..3], [json!([2, 2, 0]), json!([2, 2, 1]), json!([5, 1, 0])]);
    assert!(
        json!(postgres).to_string().contains(r#""owed_minor":254"#),
        "199 at the gate and 55 after review"
    );
    assert!(!json!(postgres).to_string().contains("cred-v1"), "a forgotten credential is gone");
    // What was taken is there for the next process, and for several at once.
    let (mut one, mut two) = (server.cloud(), server.cloud());
    let next = |n: u64| batch("other", &[(n, &format!("a/{n}"), json!({ "visit": "w", "left_us": n }))]);
    assert_eq!(one.take(&next(7), 9).unwrap().acknowledged, 7);
    assert_eq!(two.take(&next(8), 9).unwrap().acknowledged, 8);
    assert_eq!(one.take(&next(8), 9).unwrap().duplicates, 1);
}

#[test]
fn a_database_elsewhere_or_a_broken_address_is_refused_without_telling_secrets() {
    for url in [
        "postgres://u:s3cret@db.example/x",
        "postgres://u:s3cret@[bad/x",
        "s3cret",
        "postgres://u:s3cret@10.0.0.1/x",
    ] {
        let told = CloudEvents::open_postgres(url, None).err().unwrap().to_string();
        assert!(!told.contains("s3cret"), "{told}");
    }
}
