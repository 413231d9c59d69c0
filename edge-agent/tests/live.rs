//! A live store on one machine: `edge-agent all` with a serial scale on a pseudo-terminal and a gate that is presented
//! codes by HTTP, and an embedded broker between it and us.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

mod device;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use device::{Agent, agent, line, speak};
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming};
use linefree_bus::payload::{EventBody, Status};
use linefree_bus::topic::{Subscription, TopicKind};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

fn store_toml(scale: &Path, gate: SocketAddr, plates: &str) -> String {
    format!(
        r#"format = 1
[store]
id = "live"
name = "Live"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 4], [0, 4]]
[[gate]]
id = "door"
kind = "both"
segment = [[2.0, 0.0], [3.0, 0.0]]
[[gondola]]
id = "1"
origin = [0, 2, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "1"
height_m = 1.2
plates = [{{ id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] }}, {{ id = "2", offset = [0.9, 0.0], size = [0.3, 0.4] }}]
[[product]]
sku = "632565000012"
name = "Water"
price = 199
weight_g = 538.0
[[facing]]
sku = "632565000012"
plates = ["1/1/1"]
count = 8
[[source]]
plates = ["1/1/1"]
url = "serial:{}"
driver = "and"
capacity_g = 30000
[[source]]
gate = "door"
url = "listen:{gate}"
key_file = "issuer.pub"
{plates}
"#,
        scale.display()
    )
}

async fn listen(broker: &EmbeddedBroker) -> (BusClient, Inbox) {
    let status = Status::online("watcher", "test", "0");
    let config = BusConfig::new(broker.url(), "live", status)
        .subscribe(Subscription::all(TopicKind::Event))
        .subscribe(Subscription::all(TopicKind::Status));
    let (client, inbox) = BusClient::connect(config).unwrap();
    client.wait_connected(PATIENCE).await.unwrap();
    (client, inbox)
}

async fn wait_for<T>(inbox: &mut Inbox, what: &str, mut wanted: impl FnMut(Incoming) -> Option<T>) -> T {
    let found = async {
        loop {
            match inbox.recv().await {
                Some(incoming) => {
                    if let Some(found) = wanted(incoming) {
                        return found;
                    }
                }
                None => panic!("the bus client ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// Posts a code; gives the answer's head and body. `None` while nobody listens.
fn present(gate: SocketAddr, code: &str) -> Option<String> {
    let mut socket = TcpStream::connect(gate).ok()?;
    let request = format!(
        "POST /v1/present HTTP/1.1\r\nHost: gate\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{code}",
        code.len()
    );
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_a_serial_scale_and_a_gate_lives() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (far, path) = line();
    let gate = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let key = folder.path().join("issuer");
    assert!(agent(&["credential", "key", "--out", key.to_str().unwrap()]).status().unwrap().success());
    let config = folder.path().join("store.toml");
    std::fs::write(&config, store_toml(&path, gate, "")).unwrap();

    let (_client, mut inbox) = listen(&broker).await;
    let url = broker.url().to_string();
    let mut command = agent(&["all", "--config", config.to_str().unwrap(), "--bus", &url]);
    let mut store = Agent(command.stderr(Stdio::null()).spawn().unwrap());
    let load_g = Arc::new(AtomicI32::new(5_000));
    let speaking = Arc::clone(&load_g);
    std::thread::spawn(move || speak(far, &speaking));

    let code = |nonce: &str| {
        let private = folder.path().join("issuer.key");
        let args = ["credential", "issue", "--key", private.to_str().unwrap(), "--store", "live"];
        let output = agent(&args).args(["--credential", nonce, "--party", "2"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // The scale has been heard for a while when its role counts enough weights.
    wait_for(&mut inbox, "weights", |m| match m {
        Incoming::Status(s) => (s.counters.get("weights").is_some_and(|n| *n > 40)).then_some(()),
        _ => None,
    })
    .await;
    let first = code("c1");
    let answer = present(gate, &first).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"party\":2"), "{answer}");
    let again = present(gate, &first).unwrap();
    assert!(again.starts_with("HTTP/1.1 403") && again.contains("\"reason\":\"used\""), "{again}");
    let passed = wait_for(&mut inbox, "entry", |m| match m {
        Incoming::Event(e) => match e.body {
            EventBody::GatePassed(passed) => Some(passed),
            _ => None,
        },
        _ => None,
    })
    .await;
    assert_eq!((passed.credential.as_deref(), passed.party, passed.gate.as_str()), (Some("c1"), 2, "door"));

    // At rest the scale's own noise is told: 0.56 g.
    let noise_mg = wait_for(&mut inbox, "noise", |m| match m {
        Incoming::Status(s) => s.counters.get("plate_noise_mg").copied(),
        _ => None,
    })
    .await;
    assert!((200..1_500).contains(&noise_mg), "{noise_mg}");
    load_g.store(5_000 - 538, Ordering::Relaxed);
    let lift = wait_for(&mut inbox, "lift", |m| match m {
        Incoming::Event(e) => match e.body {
            EventBody::ShelfChanged(changed) => Some(changed),
            _ => None,
        },
        _ => None,
    })
    .await;
    assert_eq!(lift.plates[0].plate, "1/1/1");
    assert!((lift.delta_g + 538.0).abs() < 5.0, "{lift:?}");

    // Asked to stop, each role says goodbye itself: a last will has no time.
    kill_process(Pid::from_child(&store.0), Signal::TERM).unwrap();
    let mut left = Vec::new();
    while left.len() < 3 {
        let (source, time_us) = wait_for(&mut inbox, "farewells", |m| match m {
            Incoming::Status(s) if !s.online => Some((s.source, s.time_us)),
            _ => None,
        })
        .await;
        assert!(time_us > 0, "{source} was lost instead of leaving");
        left.push(source);
    }
    left.sort();
    assert_eq!(left, ["floor-1", "gate-1", "shelf-1"]);
    assert!(store.0.wait().unwrap().success());
    let used = std::fs::read_to_string(folder.path().join("data/gate/door.used")).unwrap();
    assert_eq!(used.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_a_microcontroller_come_over_the_bus() {
    use linefree_bus::client::Outgoing;
    use linefree_bus::payload::Counts;

    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let config = folder.path().join("store.toml");
    let gate = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(folder.path().join("issuer.pub"), "").unwrap();
    // The gain stands in the shelf's calibration, which also says that 4 % of the load leaks away.
    let counts = "[[source]]\nplates = [\"1/1/2\"]\nurl = \"bus:scale-3\"\n\
                  [[shelf_calibration]]\nplates = [\"1/1/2\"]\ncounts_per_g = [-100.0]\nshares = [[1.04]]\n";
    std::fs::write(&config, store_toml(Path::new("/dev/null/none"), gate, counts)).unwrap();
    let (client, mut inbox) = listen(&broker).await;
    let url = broker.url().to_string();
    let mut command = agent(&["shelf", "--config", config.to_str().unwrap(), "--bus", &url]);
    let _shelf = Agent(command.stderr(Stdio::null()).spawn().unwrap());
    wait_for(&mut inbox, "birth", |m| match m {
        Incoming::Status(s) => (s.source == "shelf-1" && s.online).then_some(()),
        _ => None,
    })
    .await;
    // The other scale does not exist: that is told, and this one is heard all the same.
    let sender = client.clone();
    let sending = tokio::spawn(async move {
        let noise = [0, 31, -40, 62, -55, 17, -8];
        for n in 0..600_u64 {
            let load = if n < 60 { -200_000 } else { -200_000 + 25_000 };
            let value = load + noise[(n % 7) as usize];
            let counts = Counts { source: "scale-3".into(), uptime_ms: n * 50, counts: vec![Some(value)] };
            let _ = sender.publish(Outgoing::Counts(counts));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let (mut lift_g, mut lost) = (None, false);
    wait_for(&mut inbox, "lift and fault", |m| {
        if let Incoming::Event(e) = m {
            match e.body {
                EventBody::ShelfChanged(changed) => lift_g = Some(changed.delta_g),
                EventBody::DeviceFault(fault) => {
                    lost |= fault.fault == "scale_lost" && fault.device == "/dev/null/none";
                }
                _ => {}
            }
        }
        (lift_g.is_some() && lost).then_some(())
    })
    .await;
    sending.abort();
    assert!((lift_g.unwrap() + 260.0).abs() < 3.0, "{lift_g:?}");
}

/// A shopper whom a camera of ours sees, 10 times a second, on the way to where they are told to go.
async fn walk(
    client: BusClient,
    mut to: tokio::sync::watch::Receiver<Option<[f64; 2]>>,
    at: tokio::sync::watch::Sender<[f64; 2]>,
) {
    use linefree_bus::client::Outgoing;
    use linefree_bus::payload::{People, Person, Watermark};

    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let mut people = Vec::new();
        let target = *to.borrow_and_update();
        if let Some(target) = target {
            at.send_modify(|at| {
                let way = [target[0] - at[0], target[1] - at[1]];
                let step = 0.1 / way[0].hypot(way[1]).max(0.1);
                *at = [at[0] + step * way[0], at[1] + step * way[1]];
            });
            let foot = *at.borrow();
            let cov = [0.02, 0.0, 0.02];
            let (height, hands, hand_sd, tracklet) = (None, Vec::new(), None, None);
            people.push(Person { foot, cov, score: 0.9, height, hands, hand_sd, track: None, tracklet });
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time_us = now.as_micros() as i64;
        let people = People { camera: "cam1".into(), time_us, people };
        let mark = Watermark::unnumbered("cam1", time_us, false);
        if client.publish(Outgoing::People(people)).is_err()
            || client.publish(Outgoing::Watermark(mark)).is_err()
        {
            return;
        }
    }
}

/// Every role of a live store killed at once, with somebody in it who has taken something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_store_when_all_of_it_is_killed_gets_one_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (far, path) = line();
    let gate = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let key = folder.path().join("issuer");
    assert!(agent(&["credential", "key", "--out", key.to_str().unwrap()]).status().unwrap().success());
    let config = folder.path().join("store.toml");
    let camera = "[[camera]]\nid = \"cam1\"\nsize_px = [600, 400]\n\
                  homography = [0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]\n";
    std::fs::write(&config, store_toml(&path, gate, camera)).unwrap();
    let (client, mut inbox) = listen(&broker).await;
    let url = broker.url().to_string();
    let start = || {
        let mut command = agent(&["all", "--config", config.to_str().unwrap(), "--bus", &url]);
        Agent(command.stderr(Stdio::null()).spawn().unwrap())
    };
    let store = start();
    let load_g = Arc::new(AtomicI32::new(5_000));
    let speaking = Arc::clone(&load_g);
    std::thread::spawn(move || speak(far, &speaking));
    let weighed = |m| match m {
        Incoming::Status(s) => (s.counters.get("weights").is_some_and(|n| *n > 60)).then_some(()),
        _ => None,
    };
    wait_for(&mut inbox, "weights", weighed).await;

    let private = key.with_extension("key");
    let args = ["credential", "issue", "--key", private.to_str().unwrap(), "--store", "live"];
    let code = agent(&args).args(["--credential", "c1", "--party", "1"]).output().unwrap();
    let answer = present(gate, &String::from_utf8(code.stdout).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (go, to) = tokio::sync::watch::channel(Some([0.3, 1.7]));
    let (at, mut place) = tokio::sync::watch::channel([2.5, 0.05]);
    tokio::spawn(walk(client.clone(), to, at));
    place.wait_for(|at| (at[1] - 1.7).abs() < 0.05).await.unwrap();
    load_g.store(5_000 - 538, Ordering::Relaxed);
    wait_for(&mut inbox, "cart", |m| match m {
        Incoming::Event(e) => matches!(e.body, EventBody::CartChanged(_)).then_some(()),
        _ => None,
    })
    .await;
    // SIGKILL to every role.
    drop(store);
    let _again = start();
    wait_for(&mut inbox, "weights again", weighed).await;
    go.send(Some([2.5, -0.4])).unwrap();
    place.wait_for(|at| at[1] < -0.35).await.unwrap();
    go.send(None).unwrap();
    let receipt = wait_for(&mut inbox, "receipt", |m| match m {
        Incoming::Event(e) => match e.body {
            EventBody::VisitClosed(closed) => Some(closed),
            _ => None,
        },
        _ => None,
    })
    .await;
    assert_eq!(receipt.credential.as_deref(), Some("c1"));
    let lines: Vec<_> = receipt.lines.iter().map(|l| (l.name.as_str(), l.quantity)).collect();
    assert_eq!(lines, [("Water", 1)]);
    // Charged, or looked at where it was away for too long to be sure.
    assert_eq!(receipt.charge_minor + receipt.in_review_minor, 199);
}
