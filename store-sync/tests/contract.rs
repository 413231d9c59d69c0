//! The contracts with the world: documents that official schemas take, and clients and clouds of earlier versions.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use feed::*;
use linefree_bus::payload::{Event, EventBody, TaskChanged, TaskState};
use serde_json::{Value, json};
use store_sync::cloud::event::event_of;
use store_sync::cloud::receive::{CloudEvents, Credentials, guarded, router};
use store_sync::downlink::AskCommands as _;
use store_sync::ledger::Ledger;
use store_sync::outbox::http::HttpCloud;
use store_sync::outbox::{Outbox, Step};

fn serve(app: axum::Router) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

#[test]
fn the_committed_descriptions_are_those_of_the_code_and_openapi_by_its_official_schema() {
    let official = include_str!("official/openapi-3.1.json");
    let official = jsonschema::validator_for(&serde_json::from_str(official).unwrap()).unwrap();
    for (name, generated) in [
        ("openapi.json", store_sync::http::openapi_json().unwrap()),
        ("cloud-openapi.json", store_sync::cloud::receive::openapi_json().unwrap()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ref").join(name);
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(committed == generated, "docs/ref/{name} is old: cargo xtask schema");
        let document: Value = serde_json::from_str(&generated).unwrap();
        let errors: Vec<String> =
            official.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        let mut broken = document;
        broken["paths"]["no-slash"] = json!({});
        assert!(!official.is_valid(&broken), "the official schema refuses something");
    }
}

/// What a store of the first version sent, byte by byte: no compression, no commands, the first kinds of event.
/// Caught from that program: a morning and two odd events.
const FIRST_BATCH: &str = include_str!("compatible/batch-1.json");

#[test]
fn a_store_of_the_first_version_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let addr = serve(router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None));
    for (address, new) in [("/v1/events", 21), ("/", 0)] {
        let mut answer = agent()
            .post(format!("http://{addr}{address}"))
            .header("Content-Type", "application/cloudevents-batch+json")
            .send(FIRST_BATCH)
            .unwrap();
        assert_eq!(answer.status(), 200);
        let told: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        // The first version reads this one field and needs it to be a whole number.
        assert_eq!(told["acknowledged"].as_u64(), Some(21));
        assert_eq!(told["new"], new);
    }
}

#[test]
fn this_version_sends_what_the_first_sent_and_more() {
    let first: Vec<Value> = serde_json::from_str(FIRST_BATCH).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::open(&dir.path().join("ledger.sqlite"), "nano", 1).unwrap();
    l.append(&morning(), 2).unwrap();
    let addr = serve(router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None));
    let cloud = HttpCloud::new(&format!("http://{addr}/v1/events"), None).unwrap();
    let mut o = Outbox::open(l.path(), Box::new(cloud)).unwrap();
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    let now = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap().events("nano", 0, 100).unwrap();
    for (first, now) in first.iter().zip(&now) {
        for (name, value) in first.as_object().unwrap() {
            // These two belong to the delivery.
            if name != "ledger" && name != "sequence" {
                assert_eq!(&now.event[name], value, "{name} of {}", first["id"]);
            }
        }
    }
}

/// Carts, receipts, refunds, stock, orders, payments: each kind of event, and every state of a robot's task, goes up as a
/// CloudEvent by the official schema and is in the cloud what it was in the store.
#[test]
fn every_kind_of_event_and_every_state_of_a_task_goes_up_as_it_is() {
    let mut bodies: Vec<EventBody> = linefree_bus::schema::examples()
        .into_iter()
        .filter(|e| e.payload == "Event")
        .map(|e| serde_json::from_value::<Event>(e.value).unwrap().body)
        // It takes the others' credential away, as it should.
        .filter(|body| !matches!(body, EventBody::ShopperForgotten(_)))
        .collect();
    let task =
        bodies.iter().find_map(|b| if let EventBody::TaskChanged(t) = b { Some(t.clone()) } else { None });
    let states = ["waiting", "assigned", "underway", "done", "failed", "cancelled"];
    for state in states {
        let state: TaskState = serde_json::from_value(json!(state)).unwrap();
        bodies.push(EventBody::TaskChanged(TaskChanged { state, ..task.clone().unwrap() }));
    }
    let kinds: BTreeSet<&str> = bodies.iter().map(store_sync::ledger::kind_of).collect();
    for kind in
        ["cart_changed", "visit_closed", "refund_issued", "stock_counted", "order_changed", "task_changed"]
    {
        assert!(kinds.contains(kind), "{kind} has no example");
    }
    let events: Vec<Event> =
        (1..).zip(bodies).map(|(seq, body)| event("floor-1", epoch(1), seq, seq as i64, body)).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::open(&dir.path().join("ledger.sqlite"), "nano", 1).unwrap();
    assert_eq!(l.store(&events, 2).unwrap().stored.len(), events.len());
    let addr = serve(router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None));
    let cloud = HttpCloud::new(&format!("http://{addr}/v1/events"), None).unwrap();
    let mut o = Outbox::open(l.path(), Box::new(cloud)).unwrap();
    assert!(matches!(o.step().unwrap(), Step::Delivered { .. }));
    assert!(matches!(o.step().unwrap(), Step::Idle));
    let there = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap().events("nano", 0, 1000).unwrap();
    let of_bus: Vec<Event> = there
        .iter()
        .map(|placed| event_of(&placed.event).unwrap())
        .filter(|e| e.source != store_sync::ledger::OWN_SOURCE)
        .collect();
    assert_eq!(of_bus, events);
    let told: Vec<&Value> = there
        .iter()
        .filter(|p| p.event["type"] == "org.linefree.task.changed.v1")
        .map(|p| &p.event["data"]["state"])
        .collect();
    assert_eq!(told[told.len() - states.len()..], states);
}

#[test]
fn a_cloud_of_the_first_version_gets_plain_batches_and_is_asked_for_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::open(&dir.path().join("ledger.sqlite"), "nano", 1).unwrap();
    l.append(&morning(), 2).unwrap();
    // It knows one address, and takes whatever comes for JSON.
    let app = axum::Router::new().route(
        "/v1/events",
        axum::routing::post(|headers: HeaderMap, body: Bytes| async move {
            match serde_json::from_slice::<Vec<Value>>(&body) {
                Ok(batch) => {
                    assert!(headers.get("content-encoding").is_none());
                    let last = batch.last().unwrap()["sequence"].as_str().unwrap().parse::<u64>().unwrap();
                    axum::Json(json!({ "acknowledged": last })).into_response()
                }
                Err(_) => StatusCode::BAD_REQUEST.into_response(),
            }
        }),
    );
    let addr = serve(app);
    let cloud = HttpCloud::new(&format!("http://{addr}/v1/events"), None).unwrap();
    assert_eq!(cloud.commands("nano", 0).unwrap(), None);
    let mut o = Outbox::open(l.path(), Box::new(cloud)).unwrap();
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    assert!(matches!(o.step().unwrap(), Step::Idle));
}

#[test]
fn each_store_acts_for_itself_and_the_chain_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = Credentials { chain: Some("chain-token".into()), ..Credentials::default() };
    let told = credentials.clone().with_stores("nano a\nnano b\n").unwrap_err();
    assert!(told.contains("line 2") && told.contains("twice"), "{told}");
    let told = credentials.clone().with_stores("# stores\n\nnano s3cret more\n").unwrap_err();
    assert!(told.contains("line 3") && !told.contains("s3cret"), "{told}");
    let credentials = credentials.with_stores("nano nano-token\nother other-token\n").unwrap();
    let addr = serve(guarded(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), credentials));
    let post = |path: &str, kind: &str, token: &str, body: &str| {
        let request = agent().post(format!("http://{addr}{path}")).header("Content-Type", kind);
        let request = request.header("Authorization", format!("Bearer {token}"));
        request.send(body).unwrap().status().as_u16()
    };
    let get = |path: &str, token: &str| {
        let request = agent().get(format!("http://{addr}{path}"));
        request.header("Authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
    };
    let batch = "application/cloudevents-batch+json";
    assert_eq!(post("/v1/events", batch, "wrong", FIRST_BATCH), 401);
    assert_eq!(post("/v1/events", batch, "other-token", FIRST_BATCH), 403);
    assert_eq!(post("/v1/events", batch, "nano-token", FIRST_BATCH), 200);
    let command = r#"{"command": "c1", "version": 1, "body": {"kind": "policy", "review_below": 0.8}}"#;
    let commands = "/v1/stores/nano/commands";
    assert_eq!(post(commands, "application/json", "nano-token", command), 403, "a store commands nobody");
    assert_eq!(post(commands, "application/json", "chain-token", command), 200);
    assert_eq!(post(commands, "application/json", "chain-token", command), 200, "the same again");
    let other = command.replace("0.8", "0.7");
    assert_eq!(post(commands, "application/json", "chain-token", &other), 409);
    assert_eq!(get(commands, "nano-token"), 200);
    assert_eq!(get(commands, "other-token"), 403);
    assert_eq!(get("/v1/stores", "nano-token"), 403);
    assert_eq!(get("/v1/stores", "chain-token"), 200);
    assert_eq!(get("/v1/stores/nano/receipts", ""), 401);
}

/// Whatever the description offers, and however broken the request: without a token, or with a wrong one, it is refused
/// before anything of it is looked at.
#[test]
fn every_resource_of_the_cloud_refuses_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = Credentials { chain: Some("chain-token".into()), ..Credentials::default() };
    let events = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap();
    let addr = serve(guarded(events, credentials));
    let document: Value = serde_json::from_str(&store_sync::cloud::receive::openapi_json().unwrap()).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let url = format!("http://{addr}{}", path.replace("{store}", "nano"));
        for method in methods.as_object().unwrap().keys() {
            for token in [None, Some("Bearer wrong"), Some("Basic Y2hhaW4="), Some("Bearer ")] {
                let (name, value) = token.map_or(("X-Nothing", "1"), |token| ("Authorization", token));
                let status = match method.as_str() {
                    "get" => {
                        let request = agent().get(format!("{url}?limit=many")).header(name, value);
                        request.call().unwrap().status().as_u16()
                    }
                    "post" => {
                        let request = agent().post(&url).header("Content-Type", "text/html");
                        request.header(name, value).send("<nothing>").unwrap().status().as_u16()
                    }
                    other => panic!("how to ask by {other}?"),
                };
                assert_eq!(status, 401, "{method} {path} {token:?}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 28, "{asked}");
}

#[test]
fn a_small_body_that_unpacks_to_much_is_refused() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let addr = serve(router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let post = |encoding: &str, body: &[u8]| {
        agent()
            .post(format!("http://{addr}/v1/events"))
            .header("Content-Type", "application/cloudevents-batch+json")
            .header("Content-Encoding", encoding)
            .send(body)
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(post("gzip", &bomb), 413);
    let bomb = store_sync::cloud::packing::Packing::Zstd.pack(&vec![b' '; 64 << 20]).unwrap();
    assert!(bomb.len() < 10_000);
    assert_eq!(post("zstd", &bomb), 413);
    assert_eq!(post("zstd", b"no zstd"), 400);
    assert_eq!(post("gzip", b"no gzip"), 400);
    assert_eq!(post("br", b"[]"), 415);
}
