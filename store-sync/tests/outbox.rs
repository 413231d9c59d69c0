//! The outbox against clouds that are down, flaky, forgetful and lying; and the reference cloud itself.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use feed::*;
use serde_json::{Value, json};
use store_sync::cloud::packing::Packing;
use store_sync::cloud::receive::{CloudEvents, RefusedBatch, router};
use store_sync::ledger::{Ledger, LedgerReader};
use store_sync::outbox::http::HttpCloud;
use store_sync::outbox::{Deliver, DeliveryError, Outbox, RunningOutbox, Step};

fn ledger_of(dir: &Path) -> Ledger {
    let mut l = Ledger::open(&dir.join("ledger.sqlite"), "nano", 1).unwrap();
    l.append(&morning(), 2).unwrap();
    l
}

/// Serves until the test's process ends; on a thread of its own, so that the blocking outbox can be stepped here.
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

fn outbox(ledger: &Path, addr: SocketAddr, token_file: Option<PathBuf>) -> Outbox {
    let cloud = HttpCloud::new(&format!("http://{addr}/v1/events"), token_file).unwrap();
    Outbox::open(ledger, Box::new(cloud)).unwrap()
}

#[test]
fn everything_arrives_once_and_receipts_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger_of(dir.path());
    let addr = serve(router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None));
    let mut o = outbox(l.path(), addr, None);
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    assert!(matches!(o.step().unwrap(), Step::Idle));
    l.append(&[event("floor-1", epoch(1), 14, 60, opened("v3"))], 3).unwrap();
    drop(o);
    // A new process goes on where the cursor stands.
    let mut o = outbox(l.path(), addr, None);
    assert_eq!(o.acknowledged_seq(), 19);
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 1 }));

    let get = |path: &str| -> Value {
        let mut answer = ureq::get(format!("http://{addr}{path}")).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    };
    let receipts = get("/v1/stores/nano/receipts");
    assert_eq!(receipts.as_array().unwrap().len(), 2);
    assert_eq!(receipts[1]["visit"], "v1");
    assert_eq!(receipts[1]["charge_minor"], 199);
    assert_eq!(receipts[1]["lines"][0]["sku"], "632565000012");
    let events = get("/v1/stores/nano/events?after=15&limit=3");
    assert_eq!(events.as_array().unwrap().len(), 3);
    assert_eq!(events[0]["position"], 16);
    let back = store_sync::cloud::event::event_of(&events[0]["event"]).unwrap();
    assert_eq!(back, morning()[15], "an event can be taken back from the cloud as it was");
    assert_eq!(get("/v1/stores"), json!([{"store": "nano", "events": 20}]));
    assert_eq!(get("/v1/stores/other/receipts"), json!([]));
}

#[test]
fn a_batch_obeys_the_cloudevents_schema() {
    let schema: Value = serde_json::from_str(include_str!("official/cloudevents-1.0.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(!validator.is_valid(&json!({"id": "1"})), "the schema refuses something");

    struct Keep(Arc<Mutex<Vec<u8>>>);
    impl Deliver for Keep {
        fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
            *self.0.lock().unwrap() = batch.to_vec();
            Ok(19)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let l = ledger_of(dir.path());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mut o = Outbox::open(l.path(), Box::new(Keep(Arc::clone(&kept)))).unwrap();
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    let batch: Vec<Value> = serde_json::from_slice(&kept.lock().unwrap()).unwrap();
    assert_eq!(batch.len(), 19);
    for (i, event) in batch.iter().enumerate() {
        let mistakes: Vec<String> = validator.iter_errors(event).map(|e| e.to_string()).collect();
        assert!(mistakes.is_empty(), "{event}: {mistakes:?}");
        let received = store_sync::cloud::event::check(event).unwrap();
        assert_eq!((received.store.as_str(), received.ledger_seq), ("nano", i as u64 + 1));
    }
    assert_eq!(batch[16]["type"], "org.linefree.visit.closed.v1");
    assert_eq!(batch[16]["id"], format!("floor-1/{}/12", epoch(1)));
    assert_eq!(batch[16]["source"], "/stores/nano");
    assert_eq!(batch[16]["time"], "2026-01-28T22:24:40.000000Z");
}

#[derive(Clone, Copy)]
enum Mood {
    Honest,
    /// Answers before reading anything.
    Error500,
    /// Keeps the batch, but the answer is lost.
    AnswerLost,
    ClaimsTooMuch,
    Gibberish,
    TakesNothing,
    Forgot,
    TooLarge,
}

/// A cloud with moods in front of the real receiver: the last mood stays.
fn moody(dir: &Path, moods: Vec<Mood>) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let real = router(CloudEvents::open(&dir.join("cloud.sqlite")).unwrap(), None);
    let moods = Arc::new(Mutex::new(VecDeque::from(moods)));
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let (real, moods, seen) = (real.clone(), Arc::clone(&moods), Arc::clone(&seen));
        async move {
            let mood = {
                let mut moods = moods.lock().unwrap();
                if moods.len() > 1 { moods.pop_front().unwrap() } else { moods[0] }
            };
            let events: Vec<Value> = serde_json::from_slice(&unpacked(&headers, &body)).unwrap();
            seen.lock().unwrap().push(events.len());
            let says = |n: u64| axum::Json(json!({ "acknowledged": n })).into_response();
            match mood {
                Mood::Error500 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                Mood::TooLarge if events.len() > 5 => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
                Mood::ClaimsTooMuch => says(1_000_000),
                Mood::Gibberish => "<html>hotel wifi, please log in</html>".into_response(),
                Mood::TakesNothing | Mood::Forgot => says(0),
                Mood::Honest | Mood::TooLarge => pass(real, headers, body).await,
                Mood::AnswerLost => {
                    assert_eq!(pass(real, headers, body).await.status(), StatusCode::OK);
                    let cut = tokio_stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
                    Response::new(Body::from_stream(cut))
                }
            }
        }
    });
    (serve(app), sizes)
}

/// A batch as it was before it was compressed.
fn unpacked(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let packing = headers
        .get("content-encoding")
        .map_or(Packing::Plain, |e| Packing::named(e.to_str().unwrap()).unwrap());
    packing.unpack(body, 64 << 20).unwrap()
}

/// A cloud that knows only some ways of packing; says which way each batch came.
fn choosy(dir: &Path, known: &'static [Packing]) -> (SocketAddr, Arc<Mutex<Vec<Packing>>>) {
    let came = Arc::new(Mutex::new(Vec::new()));
    let real = router(CloudEvents::open(&dir.join("cloud.sqlite")).unwrap(), None);
    let seen = Arc::clone(&came);
    let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let (real, seen) = (real.clone(), Arc::clone(&seen));
        async move {
            let name = headers.get("content-encoding").map_or("identity", |e| e.to_str().unwrap());
            let packing = Packing::named(name).unwrap();
            seen.lock().unwrap().push(packing);
            if known.contains(&packing) {
                pass(real, headers, body).await
            } else {
                StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()
            }
        }
    });
    (serve(app), came)
}

#[test]
fn a_cloud_gets_batches_in_the_best_way_that_it_knows() {
    use Packing::{Gzip, Plain, Zstd};
    let all: [(&'static [Packing], &[Packing]); 3] = [
        (&[Zstd, Gzip, Plain], &[Zstd, Zstd]),
        (&[Gzip, Plain], &[Zstd, Gzip, Gzip]),
        (&[Plain], &[Zstd, Gzip, Plain, Plain]),
    ];
    for (known, expected) in all {
        let dir = tempfile::tempdir().unwrap();
        let l = ledger_of(dir.path());
        let (addr, came) = choosy(dir.path(), known);
        let mut o = outbox(l.path(), addr, None).with_page(10);
        assert!(matches!(o.step().unwrap(), Step::Delivered { events: 10 }), "{known:?}");
        assert!(matches!(o.step().unwrap(), Step::Delivered { events: 9 }), "{known:?}");
        assert_eq!(*came.lock().unwrap(), expected, "{known:?}");
        let cloud = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap();
        assert_eq!(cloud.events("nano", 0, 100).unwrap().len(), 19);
    }
}

async fn pass(mut real: axum::Router, headers: HeaderMap, body: Bytes) -> Response {
    let mut request = Request::post("/v1/events").body(Body::from(body)).unwrap();
    *request.headers_mut() = headers;
    match tower_service::Service::call(&mut real, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[test]
fn failures_of_every_kind_lose_nothing_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let l = ledger_of(dir.path());
    let moods = [
        Mood::Error500,
        Mood::ClaimsTooMuch,
        Mood::Gibberish,
        Mood::TakesNothing,
        Mood::AnswerLost,
        Mood::Honest,
    ];
    let (addr, sizes) = moody(dir.path(), moods.to_vec());
    let mut o = outbox(l.path(), addr, None);
    for expected in ["500", "1000000", "hotel", "still has only up to 0", "no answer"] {
        match o.step().unwrap() {
            Step::Failed(e) => assert!(e.to_string().contains(expected), "{e}"),
            other => panic!("expected a failure with {expected}, got {other:?}"),
        }
        assert_eq!(LedgerReader::open(l.path()).unwrap().acknowledged_seq().unwrap(), 0);
    }
    // The batch whose answer was lost is sent again; the cloud knows every event.
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    assert_eq!(*sizes.lock().unwrap(), [19; 6]);
    let cloud = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap();
    assert_eq!(cloud.events("nano", 0, 100).unwrap().len(), 19);
}

#[test]
fn a_cloud_that_forgot_gets_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = ledger_of(dir.path());
    let (addr, _) = moody(dir.path(), vec![Mood::Honest, Mood::Forgot, Mood::Honest]);
    let mut o = outbox(l.path(), addr, None);
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }));
    l.append(&[event("floor-1", epoch(1), 14, 60, opened("v3"))], 3).unwrap();
    assert!(matches!(o.step().unwrap(), Step::Rewound { to: 0 }));
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 20 }));
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_it_fits() {
    let dir = tempfile::tempdir().unwrap();
    let l = ledger_of(dir.path());
    let (addr, sizes) = moody(dir.path(), vec![Mood::TooLarge]);
    let mut o = outbox(l.path(), addr, None);
    let mut steps = 0;
    while !matches!(o.step().unwrap(), Step::Idle) {
        steps += 1;
        assert!(steps < 100, "it must end");
    }
    assert_eq!(o.acknowledged_seq(), 19);
    assert!(sizes.lock().unwrap().iter().any(|n| *n <= 5));
}

#[test]
fn a_cloud_that_comes_late_gets_it_all_from_the_running_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let l = ledger_of(dir.path());
    // A port that nobody listens on yet.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = reserved.local_addr().unwrap();
    drop(reserved);
    let running = RunningOutbox::start(outbox(l.path(), addr, None)).unwrap();
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("a failure", &|| running.status().failures >= 1);
    assert!(running.status().last_error.unwrap().contains("no answer"));
    let app = router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), None);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    wait("delivery", &|| running.status().acknowledged_seq == 19);
    let status = running.status();
    assert_eq!((status.failures_in_a_row, status.last_error), (0, None));
    running.stop(Duration::from_secs(5));
    assert_eq!(LedgerReader::open(l.path()).unwrap().acknowledged_seq().unwrap(), 19);
}

#[test]
fn a_token_is_asked_for_and_given() {
    let dir = tempfile::tempdir().unwrap();
    let l = ledger_of(dir.path());
    let app =
        router(CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap(), Some("right-token".into()));
    let addr = serve(app);
    let refused = |o: &mut Outbox| match o.step().unwrap() {
        Step::Failed(e) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(&mut outbox(l.path(), addr, None)).contains("401"));
    let token_file = dir.path().join("token");
    let mut o = outbox(l.path(), addr, Some(token_file.clone()));
    assert!(refused(&mut o).contains("token file"), "the file is not there yet");
    std::fs::write(&token_file, "wrong-token\n").unwrap();
    let told = refused(&mut o);
    assert!(told.contains("401") && !told.contains("wrong-token"), "{told}");
    std::fs::write(&token_file, "right-token\n").unwrap();
    assert!(matches!(o.step().unwrap(), Step::Delivered { events: 19 }), "the file is read anew");
}

#[test]
fn the_cloud_refuses_what_breaks_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let mut cloud = CloudEvents::open(&dir.path().join("cloud.sqlite")).unwrap();
    let of = |store: &str, ledger: u128, seq: u64, id: &str, data: Value| {
        json!({"specversion": "1.0", "id": id, "source": format!("/stores/{store}"), "type": "org.linefree.x.v1",
               "ledger": uuid::Uuid::from_u128(ledger).to_string(), "sequence": format!("{seq:020}"), "data": data})
    };
    let taken = cloud.take(&[of("a", 1, 1, "e1", json!({})), of("a", 1, 3, "e3", json!({}))], 1).unwrap();
    assert_eq!((taken.acknowledged, taken.new), (1, 2), "3 is not contiguous");
    let taken = cloud.take(&[of("a", 1, 2, "e2", json!({})), of("a", 1, 1, "e1", json!({}))], 1).unwrap();
    assert_eq!((taken.acknowledged, taken.new, taken.duplicates), (3, 1, 1));
    // Another ledger of the same store brings old events under new numbers: each is kept once.
    let taken = cloud.take(&[of("a", 2, 1, "e3", json!({}))], 1).unwrap();
    assert_eq!((taken.acknowledged, taken.new, taken.duplicates), (1, 0, 1));

    let malformed = |r: Result<_, RefusedBatch>| matches!(r, Err(RefusedBatch::Malformed(_)));
    let conflict = |r: Result<_, RefusedBatch>| matches!(r, Err(RefusedBatch::Conflict(_)));
    assert!(malformed(cloud.take(&[], 1)));
    assert!(malformed(cloud.take(&[of("a", 1, 9, "e9", json!({})), of("b", 1, 1, "e1", json!({}))], 1)));
    assert!(malformed(cloud.take(&[of("a", 1, 9, "e9", json!({})), of("a", 2, 2, "e2", json!({}))], 1)));
    assert!(conflict(cloud.take(&[of("a", 1, 4, "e1", json!({"other": 1}))], 1)));
    assert!(conflict(cloud.take(&[of("a", 1, 1, "e9", json!({}))], 1)));
    // A refused batch left nothing behind.
    assert_eq!(cloud.events("a", 0, 100).unwrap().len(), 3);

    let addr = serve(router(cloud, None));
    let post = |kind: &str, body: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent
            .post(format!("http://{addr}/v1/events"))
            .header("Content-Type", kind)
            .send(body)
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(post("application/json", "[]"), 415);
    assert_eq!(post("application/cloudevents-batch+json", "{}"), 400);
    assert_eq!(post("application/cloudevents-batch+json; charset=utf-8", "[]"), 400);
    assert_eq!(post("application/cloudevents-batch+json", &" ".repeat(9 << 20)), 413);
}
