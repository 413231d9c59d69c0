//! The whole server in this process: embedded broker, ledger, API and console, over real sockets.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]
#![allow(clippy::float_cmp)] // Counters are whole numbers.

mod corner;
mod feed;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corner::{publisher, settings};
use feed::*;
use linefree_bus::client::{BusClient, BusConfig, Outgoing};
use linefree_bus::payload::*;
use serde_json::Value;
use store_sync::cloud::receive::{CloudEvents, router};
use store_sync::serve::{Cloud, Server};

const AT_MOST: Duration = Duration::from_secs(20);

/// Status and body of a request made by hand, so that nothing tidies it up.
fn raw(addr: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

async fn get(addr: SocketAddr, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let (status, text) = tokio::task::spawn_blocking(move || raw(addr, &request)).await.unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn until(addr: SocketAddr, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (_, value) = get(addr, path).await;
        if done(&value) {
            return value;
        }
        assert!(began.elapsed() < AT_MOST, "{what} did not happen; {path} says {value}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visit_goes_from_the_bus_to_the_api_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data)).await.unwrap();
    let addr = server.console();

    // Another server must not touch this ledger.
    let told = Server::start(settings(&data)).await.err().unwrap().to_string();
    assert!(told.contains("another store-sync"), "{told}");

    let (client, floor) = publisher(&server, dir.path(), "floor-1").await;
    let (shelf_client, shelf_events) = publisher(&server, dir.path(), "shelf-1").await;
    let lift = shelf_events.publish(START_US, shelf("A/1/1", -520.0, 1)).await.unwrap();
    floor.publish(START_US, opened("v1")).await.unwrap();
    floor.publish(START_US, attributed(&lift, "v1", "milk", 0.9)).await.unwrap();
    floor.publish(START_US, cart("v1", vec![line("milk", 2, 0.7, true)])).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    shelf_events.wait_acked(AT_MOST).await.unwrap();
    // Acknowledged means in the ledger.
    let (_, carts) = get(addr, "/api/carts").await;
    assert_eq!(carts[0]["visit"], "v1");
    assert_eq!(carts[0]["lines"][0]["review"], true);
    assert_eq!(get(addr, "/api/receipts/v1").await.0, 404);

    floor.publish(START_US, closed("v1", 0, 9, vec![line("milk", 2, 0.7, true)])).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    let (status, receipt) = get(addr, "/api/receipts/v1").await;
    assert_eq!(status, 200);
    assert_eq!((&receipt["charge_minor"], &receipt["in_review_minor"]), (&0.into(), &398.into()));
    assert_eq!(receipt["evidence"][0]["shelf"]["delta_g"], -520.0);
    assert_eq!(receipt["evidence"][0]["candidates"][0]["probability"], 0.9);
    assert_eq!(get(addr, "/api/carts").await.1, serde_json::json!([]));
    assert_eq!(get(addr, "/api/visits").await.1[0]["left_us"], START_US + 9_000_000);
    assert_eq!(get(addr, "/api/events?after=1&limit=2").await.1.as_array().unwrap().len(), 2);
    let stats = get(addr, "/api/stats").await.1;
    assert_eq!((&stats["ledger_seq"], &stats["receipts"]), (&5.into(), &1.into()));

    client.close(AT_MOST).await;
    until(addr, "/api/devices", "the device's leave", |d| {
        d["devices"].as_array().unwrap().iter().any(|d| d["source"] == "floor-1" && d["online"] == false)
    })
    .await;
    shelf_client.close(AT_MOST).await;
    drop((floor, shelf_events));
    server.stop().await.unwrap();

    let server = Server::start(settings(&data)).await.unwrap();
    let (_, receipts) = get(server.console(), "/api/receipts").await;
    assert_eq!(receipts[0]["visit"], "v1");
    // The source is told again how far it is acknowledged, and goes on from there.
    let (_, floor) = publisher(&server, dir.path(), "floor-1").await;
    floor.publish(START_US, opened("v2")).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    assert_eq!(get(server.console(), "/api/stats").await.1["ledger_seq"], 6);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_conflicting_early_and_malformed_messages_are_counted_and_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&dir.path().join("data"))).await.unwrap();
    let addr = server.console();
    let status = Status::online("device-1", "floor", "test");
    let (client, _inbox) =
        BusClient::connect(BusConfig::new(server.bus().clone(), "corner", status)).unwrap();
    client.wait_connected(AT_MOST).await.unwrap();
    let e = |seq, visit: &str| Outgoing::Event(event("floor-9", epoch(9), seq, 1, opened(visit)));
    for message in [e(1, "v1"), e(1, "v1"), e(1, "other"), e(5, "v5"), e(2, "v2")] {
        client.publish(message).unwrap();
    }
    // What no client of ours would send: raw packets of MQTT 3.1.1.
    let host = server.bus().host().to_owned();
    let port = server.bus().port();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect((host, port)).unwrap();
        stream.write_all(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03raw").unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        let topic = b"linefree/v1/corner/event/floor-9";
        for payload in [&b"not json"[..], b"{\"source\":1}", b"", b"\xff\xfe", b"[[[[[[[["] {
            let mut packet = vec![0x30, (2 + topic.len() + payload.len()) as u8, 0, topic.len() as u8];
            packet.extend_from_slice(topic);
            packet.extend_from_slice(payload);
            stream.write_all(&packet).unwrap();
        }
        stream.write_all(b"\xe0\x00").unwrap();
    })
    .await
    .unwrap();
    let stats = until(addr, "/api/stats", "counting", |s| {
        s["malformed"] == 5 && s["ledger_seq"] == 2 && s["early"] == 1 && s["conflicts"] == 1
    })
    .await;
    assert_eq!(stats["duplicates"], 1);
    assert!(stats["resends"].as_u64().unwrap() >= 1, "{stats}");
    let (_, visits) = get(addr, "/api/visits").await;
    let mut names: Vec<&str> =
        visits.as_array().unwrap().iter().map(|v| v["visit"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["v1", "v2"]);
    assert_eq!(get(addr, "/healthz").await.0, 200);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_see_positions_and_events_and_are_let_go_at_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&dir.path().join("data"))).await.unwrap();
    let addr = server.console();
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    write!(&stream, "GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (send, seen) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let wait = |word: &str| {
        let began = Instant::now();
        loop {
            let line = seen.recv_timeout(AT_MOST).unwrap();
            if line.contains(word) {
                return line;
            }
            assert!(began.elapsed() < AT_MOST, "{word} never came");
        }
    };
    wait("event: shoppers");
    let (client, floor) = publisher(&server, dir.path(), "floor-1").await;
    // An event is sent until it is acknowledged, so that afterwards the server is known to listen.
    floor.publish(START_US, opened("v1")).await.unwrap();
    let line = wait("visit_opened");
    assert!(line.contains("\"ledger_seq\":1"), "{line}");
    let at = ShopperPosition { shopper: 3, visit: Some("v1".into()), at: [1.5, 2.5], radius_m: 0.3 };
    let shoppers = Shoppers { time_us: START_US, shoppers: vec![at] };
    client.publish(Outgoing::Shoppers { source: "floor-1".into(), shoppers }).unwrap();
    let line = wait("\"shopper\":3");
    assert!(line.contains("[1.5,2.5]"), "{line}");
    let began = Instant::now();
    server.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "a viewer held the stop up");
    reader.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_served_to_this_machine_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&dir.path().join("data"))).await.unwrap();
    let addr = server.console();
    let ask = |first: &str, host: &str| {
        let request = format!("{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tokio::task::spawn_blocking(move || raw(addr, &request))
    };
    let (status, page) = ask("GET /", "127.0.0.1").await.unwrap();
    assert_eq!(status, 200);
    assert!(
        page.contains("content-security-policy: default-src 'none'") && page.contains("assets/index.js"),
        "{page}"
    );
    for path in ["/assets/index.js", "/me.html", "/me.webmanifest", "/me-worker.js", "/icon.svg"] {
        assert_eq!(ask(&format!("GET {path}"), "localhost:80").await.unwrap().0, 200, "{path}");
    }
    assert_eq!(ask("GET /", "rebound.example").await.unwrap().0, 421);
    assert_eq!(ask("GET /api/receipts", "127.0.0.1.example").await.unwrap().0, 421);
    assert_eq!(ask("GET /../../etc/passwd", "localhost").await.unwrap().0, 404);
    assert_eq!(ask("POST /", "localhost").await.unwrap().0, 405);
    assert_eq!(ask("GET /api/receipts?limit=x", "localhost").await.unwrap().0, 400);

    let (_, map) = get(addr, "/api/store").await;
    assert_eq!((map["gondolas"].as_array().unwrap().len(), map["plates"].as_array().unwrap().len()), (4, 24));
    let outline = &map["gondolas"][1]["outline"];
    assert_eq!(outline[0], serde_json::json!([8.96, 3.32]), "gondola B is turned by 180 degrees");
    assert_eq!(map["cameras"][0]["footprint"].as_array().unwrap().len(), 26);
    assert_eq!(map["plates"][0]["skus"].as_array().unwrap().len(), 1);
    server.stop().await.unwrap();
}

/// One figure of `/metrics`.
async fn metric(addr: SocketAddr, name: &'static str) -> f64 {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let (status, text) = tokio::task::spawn_blocking(move || raw(addr, &request)).await.unwrap();
    assert_eq!(status, 200);
    let told = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    told.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn until_metric(addr: SocketAddr, name: &'static str, done: impl Fn(f64) -> bool) -> f64 {
    let began = Instant::now();
    loop {
        let told = metric(addr, name).await;
        if done(told) {
            return told;
        }
        assert!(began.elapsed() < AT_MOST, "{name} stays {told}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_depth_age_and_lag_of_the_outbox() {
    let dir = tempfile::tempdir().unwrap();
    // A port that nobody listens on yet.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cloud = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{cloud}/v1/events");
    let settings = store_sync::serve::Settings {
        cloud: Some(Cloud { url, token_file: None, tls_dir: None }),
        ..settings(&dir.path().join("data"))
    };
    let server = Server::start(settings).await.unwrap();
    let addr = server.console();
    assert_eq!(metric(addr, "linefree_outbox_depth").await, 0.0);
    assert_eq!(metric(addr, "linefree_outbox_age_seconds").await, 0.0);
    let (_, floor) = publisher(&server, dir.path(), "floor-1").await;
    for visit in ["v1", "v2", "v3"] {
        floor.publish(START_US, opened(visit)).await.unwrap();
    }
    floor.wait_acked(AT_MOST).await.unwrap();
    assert_eq!(metric(addr, "linefree_outbox_depth").await, 3.0);
    let age_s = until_metric(addr, "linefree_outbox_age_seconds", |age_s| age_s > 0.0).await;
    until_metric(addr, "linefree_outbox_age_seconds", |later_s| later_s > age_s).await;
    until_metric(addr, "linefree_outbox_failures_total", |failures| failures >= 1.0).await;
    assert_eq!(metric(addr, "linefree_outbox_wait_seconds_count").await, 0.0);

    let app = router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None);
    let listener = tokio::net::TcpListener::bind(cloud).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    until_metric(addr, "linefree_outbox_depth", |depth| depth == 0.0).await;
    assert_eq!(metric(addr, "linefree_outbox_age_seconds").await, 0.0);
    until_metric(addr, "linefree_outbox_wait_seconds_count", |count| count == 3.0).await;
    let lag_s = metric(addr, "linefree_outbox_lag_seconds").await;
    assert!(lag_s >= age_s, "{lag_s} s, and it was {age_s} s old before");
    assert!(metric(addr, "linefree_outbox_wait_seconds_sum").await >= lag_s);
    assert_eq!(metric(addr, "linefree_outbox_wait_seconds_bucket{le=\"+Inf\"}").await, 3.0);
    server.stop().await.unwrap();
}
