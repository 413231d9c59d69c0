//! Payments against gateways that fail in every way, a store that dies between any two steps, and a gateway over real HTTP.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path as Part, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use feed::{answer, begins, contested, ends, epoch, event, refund};
use linefree_bus::payload::*;
use linefree_domain::payment::{Answer, AskKind as Kind, Policy};
use linefree_domain::units::{Currency, Money};
use serde_json::{Value, json};
use store_sync::ledger::commands::StoreFacts;
use store_sync::ledger::payment_book::{PaymentBook, TripRow};
use store_sync::ledger::{Ledger, LedgerReader};
use store_sync::payments::hosted::{Asked, Hosted};
use store_sync::payments::sandbox::Sandbox;
use store_sync::payments::{Gateway, Payments, Question};
use store_sync::projecting::{Projecting, Waker};

const AT_MOST: Duration = Duration::from_secs(20);

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

/// A ledger in a folder, where visits begin and end.
struct Store {
    dir: tempfile::TempDir,
    ledger: Ledger,
    reader: LedgerReader,
    projector: Waker,
    seq: u64,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite"), "corner", 1).unwrap();
        let reader = LedgerReader::open(ledger.path()).unwrap();
        let projector = ledger.take_projector().unwrap();
        let projector = Projecting::start(projector, Arc::default(), Arc::default()).unwrap().waker();
        Self { dir, ledger, reader, projector, seq: 0 }
    }

    /// Until the projections show everything.
    fn catch_up(&self) {
        let began = Instant::now();
        while self.reader.projected_seq().unwrap() < self.reader.last_seq().unwrap() {
            self.projector.wake();
            assert!(began.elapsed() < AT_MOST, "nobody projects");
            std::thread::yield_now();
        }
    }

    fn tell(&mut self, body: EventBody) {
        self.seq += 1;
        let told = event("floor-1", epoch(1), self.seq, i64::try_from(self.seq).unwrap(), body);
        self.ledger.store(&[told], 1).unwrap();
    }

    fn sandbox(&self) -> Sandbox {
        Sandbox::open(&self.dir.path().join("gateway.json")).unwrap()
    }

    fn payments(&self, gateway: Box<dyn Gateway>, hold_minor: i64) -> Payments {
        let book = PaymentBook::open(self.ledger.path(), StoreFacts::default(), usd()).unwrap();
        let policy = Policy { hold: Money::from_minor(hold_minor), ..Policy::default() };
        Payments::new(book, gateway, policy)
    }

    /// Until nothing is to be asked any more, with a clock that jumps over every pause.
    fn settle(&self, payments: &Payments, now_us: &mut i64) {
        for _ in 0..30 {
            self.catch_up();
            let asked = payments.step(*now_us, &|_| self.projector.wake()).unwrap().asked;
            *now_us += 700_000_000;
            if asked == 0 {
                self.catch_up();
                return;
            }
        }
    }

    fn trip(&self, visit: &str) -> TripRow {
        LedgerReader::open(self.ledger.path()).unwrap().trip(visit, usd()).unwrap().unwrap()
    }
}

/// A visit is paid, answered, contested, and what was contested goes back.
fn story(token: &str) -> [EventBody; 6] {
    [
        begins("v1", token),
        ends("v1", token, 2, 1),
        answer("v1", 1),
        contested("v1", ContestState::Open),
        refund("v1", 199),
        contested("v1", ContestState::Refunded),
    ]
}

#[test]
fn each_way_to_fail_ends_as_it_should() {
    for (token, captured, refunded, state, hold_minor) in [
        ("tok-1", 597, 199, "Open", 0),
        ("tok-1", 597, 199, "Open", 5000),
        ("tok-slow", 597, 199, "Open", 5000),
        ("tok-twice", 597, 199, "Open", 0),
        ("tok-expired", 597, 199, "Open", 5000),
        ("tok-no-refund", 597, 0, "ByHand", 0),
        ("tok-declined", 0, 0, "BadDebt", 0),
        ("4242 4242 4242 4242", 0, 0, "BadDebt", 0),
        ("tok-down", 0, 0, "Open", 0),
    ] {
        let mut store = Store::new();
        let payments = store.payments(Box::new(store.sandbox()), hold_minor);
        let mut disputed = 0;
        let mut now_us = 1_000_000;
        for body in story(token) {
            store.tell(body);
            store.settle(&payments, &mut now_us);
            // What of the money that was taken is in dispute, the gateway knows.
            let told = store.sandbox().done().disputed_minor.get("v1").copied().unwrap_or(0);
            assert_eq!(told, store.trip("v1").trip.disputed.minor, "{token}");
            disputed = disputed.max(told);
        }
        assert_eq!(disputed, if captured > 0 { 199 } else { 0 }, "{token}");
        let (trip, done) = (store.trip("v1").trip, store.sandbox().done());
        assert_eq!(
            (trip.captured.minor, trip.refunded.minor, format!("{:?}", trip.state).as_str()),
            (captured, refunded, state),
            "{token}, hold {hold_minor}: {trip:?}"
        );
        assert_eq!((done.captured_minor, done.refunded_minor), (captured, refunded), "{token}");
        assert_eq!(trip.ask.is_some(), token == "tok-down");
        let debt = LedgerReader::open(store.ledger.path()).unwrap().bad_debt_minor(token).unwrap();
        assert_eq!(debt, if state == "BadDebt" { 398 } else { 0 }, "{token}");
        assert_eq!(LedgerReader::open(store.ledger.path()).unwrap().check().unwrap().findings, []);
    }
}

/// Kills whoever asks, before or after it has done what it was asked.
struct Deadly {
    inner: Sandbox,
    asked: Arc<AtomicU32>,
    dies_at: u32,
    after: bool,
}

impl Gateway for Deadly {
    fn name(&self) -> String {
        "deadly".into()
    }

    fn ask(&self, question: &Question<'_>) -> Answer {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(n != self.dies_at || self.after, "killed before");
        let answer = self.inner.ask(question);
        assert!(n != self.dies_at, "killed after");
        answer
    }
}

#[test]
fn killed_between_any_two_steps_nothing_is_taken_twice_or_lost() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut ends_well = Vec::new();
    for (dies_at, after) in (0..8).flat_map(|n| [(n, false), (n, true)]) {
        let mut store = Store::new();
        let asked = Arc::new(AtomicU32::new(0));
        let mut now_us = 1_000_000;
        for body in story("tok-1") {
            store.tell(body);
            // Whoever dies is started again, and knows nothing but what is on disk.
            for _ in 0..3 {
                let inner = store.sandbox();
                let deadly = Deadly { inner, asked: Arc::clone(&asked), dies_at, after };
                let payments = store.payments(Box::new(deadly), 300);
                let lived = catch_unwind(AssertUnwindSafe(|| store.settle(&payments, &mut now_us)));
                if lived.is_ok() {
                    break;
                }
            }
        }
        let (trip, done) = (store.trip("v1").trip, store.sandbox().done());
        ends_well.push((
            trip.captured.minor,
            trip.refunded.minor,
            done.captured_minor,
            done.refunded_minor,
            trip.ask.is_none() && done.disputed_minor.is_empty(),
            asked.load(Ordering::SeqCst) > dies_at,
        ));
    }
    std::panic::set_hook(hook);
    assert_eq!(ends_well, [(597, 199, 597, 199, true, true); 16]);
}

#[test]
fn of_a_flaky_gateway_nothing_is_taken_twice_and_nothing_is_lost() {
    let mut store = Store::new();
    let payments = store.payments(Box::new(store.sandbox()), 0);
    let mut now_us = 1_000_000;
    // What goes back before anything was taken is never taken.
    let mut expected = (0, 0);
    for n in 1..=25_u32 {
        let (visit, token) = (format!("v{n}"), format!("tok-flaky-{n}"));
        store.tell(ends(&visit, &token, n, 0));
        expected.0 += 199 * i64::from(n);
        if n % 3 == 0 {
            store.tell(refund(&visit, 199));
            expected.0 -= 199;
        }
    }
    let mut late = false;
    // A silent question ends a round, so there are as many rounds as silences.
    let (mut rounds, mut silences) = (0, 0);
    loop {
        store.catch_up();
        let trips = store.reader.trips(usd(), 100).unwrap();
        silences += trips.iter().filter(|r| r.trip.ask.as_ref().is_some_and(|a| a.silences > 0)).count();
        let asked = payments.step(now_us, &|_| store.projector.wake()).unwrap().asked;
        now_us += 700_000_000;
        rounds += 1;
        assert!(rounds < 2000, "it must end");
        if asked == 0 && late {
            break;
        }
        if asked == 0 {
            // All is paid; now some of it goes back.
            late = true;
            for n in (1..=25).filter(|n| n % 3 == 1) {
                store.tell(refund(&format!("v{n}"), 199));
                expected.1 += 199;
            }
        }
    }
    store.catch_up();
    let done = store.sandbox().done();
    assert!(silences > 25, "only {silences} silences: this gateway is not flaky");
    assert_eq!((done.captured_minor, done.refunded_minor), expected);
    let trips = store.reader.trips(usd(), 100).unwrap();
    assert_eq!(trips.len(), 25);
    for row in &trips {
        assert!(row.trip.is_settled(&row.bill), "{row:?}");
    }
    let sum = |of: fn(&TripRow) -> i64| trips.iter().map(of).sum::<i64>();
    assert_eq!(
        (sum(|r| r.trip.captured.minor), sum(|r| r.trip.refunded.minor)),
        (done.captured_minor, done.refunded_minor)
    );
    // A hundred questions more under keys that were answered move nothing.
    let sandbox = store.sandbox();
    for row in &trips {
        for step in 1..=row.trip.step {
            let key = format!("{}:{step}", row.trip.id);
            for kind in [Kind::Capture, Kind::Refund] {
                let token = row.credential.as_deref();
                let (amount_minor, currency) = (199, usd());
                sandbox.ask(&Question {
                    key: &key,
                    kind,
                    amount_minor,
                    currency,
                    token,
                    authorisation: None,
                });
            }
        }
    }
    let after = store.sandbox().done();
    assert_eq!((after.captured_minor, after.refunded_minor), (done.captured_minor, done.refunded_minor));
}

type Moods = Arc<(Sandbox, Mutex<Vec<u16>>)>;

async fn gate(
    State(moods): State<Moods>,
    Part(what): Part<String>,
    headers: HeaderMap,
    Json(asked): Json<Asked>,
) -> (StatusCode, Json<Value>) {
    let kind = match what.as_str() {
        "authorisations" => Kind::Authorise,
        "captures" => Kind::Capture,
        "releases" => Kind::Release,
        "contests" => Kind::Contest,
        _ => Kind::Refund,
    };
    assert_eq!(headers["authorization"], "Bearer store-key");
    let question = Question {
        key: headers["idempotency-key"].to_str().unwrap(),
        kind,
        amount_minor: asked.amount_minor,
        currency: usd(),
        token: asked.token.as_deref(),
        authorisation: asked.authorisation.as_deref(),
    };
    let answer = moods.0.ask(&question);
    if let Answer::Silence(why) = &answer {
        // What comes too late, a proxy before the gateway says.
        let proxy =
            if why == "HTTP 500" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::GATEWAY_TIMEOUT };
        return (proxy, Json(json!("?")));
    }
    if let Some(status) = moods.1.lock().unwrap().pop() {
        // It was done, and the answer is nonsense.
        return (StatusCode::from_u16(status).unwrap(), Json(json!("?")));
    }
    let said = match answer {
        Answer::Approved(reference) => json!({ "state": "approved", "reference": reference }),
        Answer::Declined(reason) => json!({ "state": "declined", "reason": reason }),
        Answer::Expired => json!({ "state": "expired" }),
        Answer::Pending | Answer::Silence(_) | Answer::Paid(_) => json!({ "state": "pending" }),
    };
    (StatusCode::OK, Json(said))
}

#[test]
fn a_hosted_gateway_is_asked_over_http_and_its_nonsense_is_asked_again() {
    let mut store = Store::new();
    let moods: Moods = Arc::new((store.sandbox(), Mutex::new(vec![200, 500, 503, 404])));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/{what}", axum::routing::post(gate)).with_state(moods);
    runtime.spawn(async move { axum::serve(listener, router).await });

    let token_file = store.dir.path().join("key");
    std::fs::write(&token_file, "store-key\n").unwrap();
    let hosted = Hosted::new(&url, Some(token_file)).unwrap();
    let payments = store.payments(Box::new(hosted), 0);
    let mut now_us = 1_000_000;
    for body in [begins("v1", "tok-1"), ends("v1", "tok-1", 2, 0), refund("v1", 199)] {
        store.tell(body);
        store.settle(&payments, &mut now_us);
    }
    let trip = store.trip("v1").trip;
    assert_eq!((trip.captured.minor, trip.refunded.minor, &trip.ask), (398, 199, &None), "{trip:?}");
    let done = store.sandbox().done();
    assert_eq!((done.captured_minor, done.refunded_minor), (398, 199));
    // A gateway that says HTTP 500 now and then, and comes too late.
    for n in 10..20_u32 {
        store.tell(ends(&format!("v{n}"), &format!("tok-flaky-{n}"), n, 0));
        store.settle(&payments, &mut now_us);
    }
    let flaky: i64 = (10..20).map(|n| 199 * n).sum();
    assert_eq!(store.sandbox().done().captured_minor, 398 + flaky);
    // Nothing listens any more: it is silence, not an answer.
    drop(runtime);
    store.tell(ends("v2", "tok-2", 1, 0));
    store.settle(&payments, &mut now_us);
    let trip = store.trip("v2").trip;
    assert!(trip.ask.is_some_and(|a| a.silences > 3) && trip.reason.unwrap().contains("reached"));
    for bad in ["http://gateway.example/v1", "ftp://x"] {
        assert!(Hosted::new(bad, None).is_err());
    }
}
