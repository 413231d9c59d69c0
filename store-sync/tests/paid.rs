//! How a store with a server is paid: from when on, by UPI call-backs that come late, twice and wrong, and by a gateway that
//! calls back.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;
mod feed;

use std::path::Path;
use std::time::{Duration, Instant};

use corner::{ask, now_s, publisher};
use feed::{ends, refund};
use linefree_bus::payload::*;
use linefree_domain::units::Currency;
use serde_json::{Value, json};
use store_sync::desk::Desk;
use store_sync::ledger::LedgerReader;
use store_sync::payments::PaymentSettings;
use store_sync::payments::upi::{read_settled, reconcile, reference_of};
use store_sync::serve::{Server, Settings};

const AT_MOST: Duration = Duration::from_secs(20);

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

fn upi_store(data: &Path) -> Settings {
    let how = "upi://pay?pa=corner@examplebank&pn=Corner%20Shop&mc=5411";
    Settings { payments: Some(PaymentSettings::parse(how, None, 0).unwrap()), ..corner::settings(data) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_bought_before_the_store_was_paid_is_not_charged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let paid = |hold_minor| Settings {
        payments: Some(PaymentSettings::parse("sandbox", None, hold_minor).unwrap()),
        ..corner::settings(&data)
    };
    let at = |visit: &str, at_s: i64| {
        let EventBody::VisitClosed(mut body) = ends(visit, "tok-1", 2, 0) else { unreachable!() };
        (body.entered_us, body.left_us) = (at_s * 1_000_000, at_s * 1_000_000 + 1);
        EventBody::VisitClosed(body)
    };
    let server = Server::start(corner::settings(&data)).await.unwrap();
    let (floor, events) = publisher(&server, dir.path(), "floor-1").await;
    events.publish(1_000_000, at("before", 1)).await.unwrap();
    let reader = LedgerReader::open(&data.join("ledger.sqlite")).unwrap();
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < AT_MOST, "{what} did not happen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until("the first receipt", &|| reader.receipt("before").unwrap().is_some()).await;
    floor.close(AT_MOST).await;
    server.stop().await.unwrap();

    let captured = |visit: &str| reader.trip(visit, usd()).unwrap().map(|row| row.trip.captured.minor);
    for (visit, at_s) in [("after", 2), ("after-a-restart", 3)] {
        let server = Server::start(paid(5000)).await.unwrap();
        let (floor, events) = publisher(&server, dir.path(), &format!("floor-{at_s}")).await;
        events.publish(at_s * 1_000_000, at(visit, at_s)).await.unwrap();
        until(visit, &|| captured(visit) == Some(398)).await;
        floor.close(AT_MOST).await;
        server.stop().await.unwrap();
    }
    let row = reader.trip("before", usd()).unwrap().unwrap();
    assert_eq!((row.trip.captured.minor, row.changed_us), (0, None), "{row:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upi_is_paid_when_the_bank_says_so_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(upi_store(&data)).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("payments").unwrap();
    let base = format!("http://{}", server.console());
    let get = |path: &str| ask(&format!("{base}{path}"), None, None).1;
    let told = |secret: &str, body: Value| {
        ask(&format!("{base}/api/hooks/payments/upi"), Some(&body), Some((secret, now_s())))
    };

    let (_floor, events) = publisher(&server, dir.path(), "floor-1").await;
    let mut body = ends("v1", "tok-1", 2, 0);
    if let EventBody::VisitClosed(e) = &mut body {
        e.currency = "INR".into();
    }
    events.publish(1_700_000_000_000_000, body).await.unwrap();
    let began = Instant::now();
    let payment = loop {
        let all = tokio::task::block_in_place(|| get("/api/payments"));
        if all[0]["pending"] == true {
            break all[0].clone();
        }
        assert!(began.elapsed() < AT_MOST, "{all}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    let link = payment["link"].as_str().unwrap();
    assert!(link.contains("&am=3.98&cu=INR") && link.contains("pa=corner@examplebank"), "{link}");
    let tr = link.split("&tr=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert_eq!(tr, reference_of("v1:2"));

    let paid = json!({ "tr": tr, "amount_minor": 398, "paid": true });
    let mut wrong = paid.clone();
    wrong["amount_minor"] = json!(1);
    tokio::task::block_in_place(|| {
        assert_eq!(told("whsec_AAAA", paid.clone()).0, 401);
        assert_eq!(told(&secret, json!({ "tr": "LFnothing", "amount_minor": 398, "paid": true })).0, 404);
        let (status, words) = told(&secret, wrong);
        assert!(status == 409 && words["error"].as_str().unwrap().contains("398"), "{words}");
        assert_eq!(told(&secret, paid.clone()), (200, json!(true)));
        assert_eq!(told(&secret, paid), (200, json!(false)), "a second call-back");
        let all = get("/api/payments");
        assert_eq!((&all[0]["captured_minor"], &all[0]["settled"]), (&json!(398), &json!(true)), "{all}");
    });
    server.stop().await.unwrap();

    let reader = LedgerReader::open(&data.join("ledger.sqlite")).unwrap();
    let captures = reader.captures(i64::MIN, i64::MAX).unwrap();
    let ours: Vec<(String, i64)> = captures.iter().map(|c| (reference_of(&c.key), c.amount_minor)).collect();
    let file = read_settled(&format!("tr,amount,status\n{tr},3.98,SUCCESS\n")).unwrap();
    assert_eq!(reconcile(&ours, &file).matched, 1);
    assert!(!reader.check().unwrap().has_errors());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_upi_link_that_is_out_follows_the_bill_and_the_old_one_is_good_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(upi_store(&data)).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("payments").unwrap();
    let base = format!("http://{}", server.console());
    let payment = |done: &dyn Fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let (_, all) = ask(&format!("{base}/api/payments"), None, None);
            if done(&all[0]) {
                return all[0].clone();
            }
            assert!(began.elapsed() < AT_MOST, "{all}");
            std::thread::sleep(Duration::from_millis(30));
        }
    };
    let (_floor, events) = publisher(&server, dir.path(), "floor-1").await;
    let inr = |mut body: EventBody| {
        match &mut body {
            EventBody::VisitClosed(e) => e.currency = "INR".into(),
            EventBody::RefundIssued(e) => e.currency = "INR".into(),
            _ => {}
        }
        body
    };
    events.publish(1_700_000_000_000_000, inr(ends("v1", "tok-1", 2, 0))).await.unwrap();
    let before =
        tokio::task::block_in_place(|| payment(&|p| p["asking_minor"] == 398 && p["pending"] == true));
    events.publish(1_700_000_001_000_000, inr(refund("v1", 199))).await.unwrap();
    let after = tokio::task::block_in_place(|| payment(&|p| p["asking_minor"] == 199));
    let tr = |p: &Value| {
        let link = p["link"].as_str().unwrap();
        link.split("&tr=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    assert_eq!(tr(&before), tr(&after), "the bank takes one reference once");
    assert!(after["link"].as_str().unwrap().contains("&am=1.99&cu=INR"));
    tokio::task::block_in_place(|| {
        let told = |amount_minor: i64| {
            let body = json!({ "tr": tr(&after), "amount_minor": amount_minor, "paid": true });
            ask(&format!("{base}/api/hooks/payments/upi"), Some(&body), Some((&secret, now_s())))
        };
        assert_eq!(told(200).0, 409, "nobody was ever asked for that");
        // The shopper had the first link open.
        assert_eq!(told(398), (200, json!(true)));
        assert_eq!(told(199), (200, json!(false)), "the same reference again");
        // What was paid too much goes back; UPI leaves that to people.
        let now = payment(&|p| p["state"] == "by_hand");
        assert_eq!((&now["captured_minor"], &now["owed_minor"]), (&json!(398), &json!(199)), "{now}");
    });
    server.stop().await.unwrap();
    let reader = LedgerReader::open(&data.join("ledger.sqlite")).unwrap();
    let captures = reader.captures(i64::MIN, i64::MAX).unwrap();
    assert_eq!(
        captures.iter().map(|c| c.amount_minor).collect::<Vec<_>>(),
        [398],
        "as the bank's file will say"
    );
    assert!(!reader.check().unwrap().has_errors());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosted_gateway_that_answers_later_calls_back_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Holds at once, and takes its time to capture.
    let pends = |axum::extract::Path(what): axum::extract::Path<String>| async move {
        axum::Json(match what.as_str() {
            "captures" => json!({ "state": "pending" }),
            _ => json!({ "state": "approved", "reference": "auth-1" }),
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/{what}", axum::routing::post(pends));
    let gateway = tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = Settings {
        payments: Some(PaymentSettings::parse(&url, None, 0).unwrap()),
        ..corner::settings(&data)
    };
    let server = Server::start(settings).await.unwrap();
    let secret = Desk::open(&data).unwrap().add_channel("payments").unwrap();
    let base = format!("http://{}", server.console());
    let (_floor, events) = publisher(&server, dir.path(), "floor-1").await;
    events.publish(1_700_000_000_000_000, ends("v1", "tok-1", 2, 0)).await.unwrap();
    tokio::task::block_in_place(|| {
        let first = || ask(&format!("{base}/api/payments"), None, None).1[0].clone();
        let began = Instant::now();
        while first()["pending"] != true {
            assert!(began.elapsed() < AT_MOST, "{}", first());
            std::thread::sleep(Duration::from_millis(30));
        }
        let told = |secret: &str, key: &str| {
            let body = json!({ "key": key, "state": "approved" });
            ask(&format!("{base}/api/hooks/payments/gateway"), Some(&body), Some((secret, now_s())))
        };
        assert_eq!(told("whsec_AAAA", "v1:2").0, 401);
        assert_eq!(told(&secret, "v1:3").0, 404, "nobody asked that");
        assert_eq!(told(&secret, "v9:1").0, 404);
        assert_eq!(told(&secret, "v1").0, 404);
        assert_eq!(told(&secret, "v1:2"), (200, json!(true)));
        assert_eq!(told(&secret, "v1:2"), (200, json!(false)), "a second call-back");
        assert_eq!((&first()["captured_minor"], &first()["settled"]), (&json!(398), &json!(true)));
    });
    server.stop().await.unwrap();
    gateway.abort();
}
