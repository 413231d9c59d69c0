//! Who may see and do what, over real sockets: sign-in, roles, CSRF, the audit log, reviews with undo, refunds, a
//! shopper's own page, delete-my-data.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;
mod feed;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use corner::publisher;
use feed::*;
use linefree_bus::payload::*;
use serde_json::{Value, json};
use store_sync::serve::{Access, Server, Settings};

const AT_MOST: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a long enough password";

fn settings(data: &Path, access: Access) -> Settings {
    Settings { access, ..corner::settings(data) }
}

/// A browser: an address, a cookie, a token against forgery.
#[derive(Clone)]
struct Browser {
    addr: SocketAddr,
    cookie: String,
    csrf: String,
}

impl Browser {
    fn new(addr: SocketAddr) -> Self {
        Self { addr, cookie: String::new(), csrf: String::new() }
    }

    async fn ask(&mut self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (status, head, value) = self.send(method, path, body, "").await;
        if let Some(cookie) = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")) {
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        if let Some(csrf) = value.get("csrf").and_then(Value::as_str) {
            self.csrf = csrf.to_owned();
        }
        (status, value)
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>, more: &str) -> (u16, String, Value) {
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nX-Linefree-Csrf: {}\r\n{kind}{more}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.addr,
            self.cookie,
            self.csrf,
            body.len()
        );
        let addr = self.addr;
        let text = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(AT_MOST)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
        .await
        .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(body)).await
    }

    /// Signs in with a one-time password and chooses another.
    async fn begin(addr: SocketAddr, name: &str, once: &str) -> Self {
        let mut browser = Self::new(addr);
        let (status, session) = browser.post("/api/session", json!({ "name": name, "password": once })).await;
        assert_eq!((status, &session["must_change"]), (200, &true.into()), "{session}");
        assert_eq!(browser.get("/api/receipts").await.0, 403, "a one-time password opens nothing");
        let (status, session) = browser.post("/api/password", json!({ "password": PASSWORD })).await;
        assert_eq!((status, &session["must_change"]), (200, &false.into()), "{session}");
        browser
    }

    async fn until(&mut self, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (_, value) = self.get(path).await;
            if done(&value) {
                return value;
            }
            assert!(began.elapsed() < AT_MOST, "{what} did not happen; {path} says {value}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_makes_an_admin_and_roles_hold() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data, Access::Accounts)).await.unwrap();
    let addr = server.console();
    let once = server.first().unwrap().password.clone();
    assert_eq!(std::fs::read_to_string(data.join("first-password")).unwrap().trim(), once);

    let mut nobody = Browser::new(addr);
    assert_eq!(nobody.get("/").await.0, 200);
    // The bus is connected a moment after the start; until then it says so.
    let mut healthy = false;
    for _ in 0..250 {
        healthy = nobody.get("/healthz").await.0 == 200;
        if healthy {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(healthy, "well within five seconds");
    for path in ["/api/receipts", "/api/live", "/api/me", "/api/audit", "/metrics", "/api/store"] {
        assert_eq!(nobody.get(path).await.0, 401, "{path}");
    }
    assert_eq!(nobody.post("/api/refunds", json!({})).await.0, 401);
    let wrong = json!({ "name": "admin", "password": "wrong" });
    for _ in 0..5 {
        let (status, told) = nobody.post("/api/session", wrong.clone()).await;
        assert_eq!((status, &told["error"]), (409, &"wrong name or password".into()));
    }
    let (_, told) = nobody.post("/api/session", wrong.clone()).await;
    assert!(told["error"].as_str().unwrap().contains("too many"), "{told}");
    server.stop().await.unwrap();

    // The wait is in memory; the one-time password is not used up yet.
    let server = Server::start(settings(&data, Access::Accounts)).await.unwrap();
    let addr = server.console();
    assert_eq!(server.first().unwrap().password, once);
    let mut admin = Browser::begin(addr, "admin", &once).await;
    assert!(!data.join("first-password").exists(), "the one-time password is used up");
    let (status, told) = admin.post("/api/accounts", json!({ "name": "sam", "role": "staff" })).await;
    assert_eq!(status, 200, "{told}");
    let mut staff = Browser::begin(addr, "sam", told["password"].as_str().unwrap()).await;
    assert_eq!(staff.get("/api/receipts").await.0, 200);
    assert_eq!(staff.get("/api/accounts").await.0, 403);
    assert_eq!(staff.post("/api/refunds", json!({})).await.0, 403);

    // Forgery: without the token, with another's, from another site.
    let mut forged = admin.clone();
    forged.csrf = String::new();
    let new = json!({ "name": "x", "role": "ops" });
    assert_eq!(forged.post("/api/accounts", new.clone()).await.0, 403);
    forged.csrf.clone_from(&staff.csrf);
    assert_eq!(forged.post("/api/accounts", new.clone()).await.0, 403);
    let sent = admin.send("POST", "/api/accounts", Some(new), "Origin: http://evil.example\r\n").await;
    assert_eq!(sent.0, 403);
    assert!(sent.1.contains("cross-origin-opener-policy: same-origin"), "{}", sent.1);

    // Programs on this machine read, and change nothing.
    let token = std::fs::read_to_string(data.join("reader-token")).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    assert_eq!(Browser::new(addr).send("GET", "/metrics", None, &bearer).await.0, 200);
    assert_eq!(Browser::new(addr).send("POST", "/api/stock/count", Some(json!({})), &bearer).await.0, 403);

    let (_, audit) = admin.get("/api/audit").await;
    assert_eq!(audit["whole"], true);
    let actions: Vec<&str> =
        audit["rows"].as_array().unwrap().iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "password.change",
            "session.begin",
            "account.add",
            "password.change",
            "session.begin",
            "session.begin",
            "session.begin",
            "session.begin",
            "session.begin",
            "session.begin",
            "session.begin"
        ]
    );
    // Shut out: the session ends at once.
    assert_eq!(admin.post("/api/accounts/disabled", json!({ "name": "sam", "disabled": true })).await.0, 200);
    assert_eq!(staff.get("/api/receipts").await.0, 401);
    let (_, checked) = admin.ask("POST", "/api/config/check", Some(json!("[store]"))).await;
    assert_eq!(checked["ok"], false);
    assert_eq!(admin.ask("DELETE", "/api/session", None).await.0, 200);
    assert_eq!(admin.get("/api/receipts").await.0, 401);
    server.stop().await.unwrap();

    // A row that is changed behind the log's back is found.
    let file = rusqlite::Connection::open(data.join("console.sqlite")).unwrap();
    assert!(file.execute("UPDATE audit SET who = 'nobody' WHERE n = 9", []).is_err());
    file.execute_batch("DROP TRIGGER audit_is_never_changed; UPDATE audit SET who = 'sam' WHERE n = 9")
        .unwrap();
    let desk = store_sync::desk::Desk::open(&data).unwrap();
    assert!(!desk.audit_is_whole().unwrap());
    drop(file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_is_settled_undone_charged_contested_and_refunded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(settings(&data, Access::Accounts)).await.unwrap();
    let addr = server.console();
    let once = server.first().unwrap().password.clone();
    let mut admin = Browser::begin(addr, "admin", &once).await;
    let account = json!({ "name": "phone-1", "role": "shopper", "credential": "card-v1" });
    let (_, told) = admin.post("/api/accounts", account).await;
    let mut phone = Browser::begin_shopper(addr, told["password"].as_str().unwrap()).await;

    let (_floor_client, floor) = publisher(&server, dir.path(), "floor-1").await;
    let (_shelf_client, shelf_events) = publisher(&server, dir.path(), "shelf-1").await;
    let lift = shelf_events.publish(START_US, shelf("A/1/1", -520.0, 1)).await.unwrap();
    let open = VisitOpened { visit: "v1".into(), credential: Some("card-v1".into()), party: 1 };
    floor.publish(START_US, EventBody::VisitOpened(open)).await.unwrap();
    floor.publish(START_US, attributed(&lift, "v1", "milk", 0.6)).await.unwrap();
    floor.publish(START_US, cart("v1", vec![line("milk", 2, 0.6, true)])).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();
    shelf_events.wait_acked(AT_MOST).await.unwrap();
    let (_, me) = phone.get("/api/me").await;
    assert_eq!(
        (&me["cart"]["visit"], &me["cart"]["lines"][0]["quantity"]),
        (&"v1".into(), &2.into()),
        "{me}"
    );
    let (_, refused) = phone.post("/api/me/forget", json!({})).await;
    assert!(refused["error"].as_str().unwrap().contains("still lasts"), "{refused}");
    let EventBody::VisitClosed(mut end) = closed("v1", 0, 9, vec![line("milk", 2, 0.6, true)]) else {
        panic!()
    };
    end.credential = Some("card-v1".into());
    floor.publish(START_US, EventBody::VisitClosed(end)).await.unwrap();
    floor.wait_acked(AT_MOST).await.unwrap();

    let (_, reviews) = admin.get("/api/reviews").await;
    assert_eq!((&reviews[0]["visit"], &reviews[0]["sku"]), (&"v1".into(), &"milk".into()), "{reviews}");
    assert_eq!(reviews[0]["evidence"][0]["candidates"][0]["probability"], 0.6);
    assert_eq!(reviews[0]["evidence"][0]["steps"][0]["delta_g"], -520.0);
    let answer = |quantity| json!({ "visit": "v1", "sku": "milk", "quantity": quantity });
    assert_eq!(admin.post("/api/reviews/answer", answer(3)).await.0, 409, "more than the line has");
    assert_eq!(admin.post("/api/reviews/answer", answer(0)).await.0, 200);
    assert_eq!(admin.get("/api/reviews").await.1[0]["held"]["quantity"], 0);
    assert_eq!(admin.post("/api/reviews/undo", json!({ "visit": "v1", "sku": "milk" })).await.0, 200);
    assert_eq!(admin.get("/api/reviews").await.1[0]["held"], Value::Null);
    assert_eq!(admin.post("/api/reviews/answer", answer(1)).await.0, 200);
    // Nothing waits for the ten seconds: the server goes on with what was held when it starts again.
    server.stop().await.unwrap();
    let file = rusqlite::Connection::open(data.join("console.sqlite")).unwrap();
    file.execute("UPDATE held_answers SET due_us = 0", []).unwrap();
    drop(file);

    let server = Server::start(settings(&data, Access::Accounts)).await.unwrap();
    (admin.addr, phone.addr) = (server.console(), server.console());
    let money =
        admin.until("/api/receipts/v1/money", "the charge", |m| m["answered_minor"].as_i64() > Some(0)).await;
    assert_eq!((&money["answered_minor"], &money["open_minor"]), (&199.into(), &0.into()), "{money}");
    assert_eq!(admin.post("/api/reviews/answer", answer(2)).await.0, 409, "answered once");
    assert_eq!(admin.get("/api/reviews").await.1, json!([]));

    let contest = json!({ "visit": "v1", "sku": "milk", "words": "I put it back" });
    assert_eq!(phone.post("/api/me/contest", contest.clone()).await.0, 200);
    assert_eq!(phone.post("/api/me/contest", contest).await.0, 409, "once");
    let other = json!({ "visit": "v2", "sku": "milk", "words": "" });
    assert_eq!(phone.post("/api/me/contest", other).await.0, 404, "not theirs");
    let (_, contests) = admin.get("/api/contests").await;
    let id = contests[0]["contest"].as_str().unwrap();
    let settle = |quantity| json!({ "contest": id, "quantity": quantity, "answer": "you did" });
    assert_eq!(admin.post("/api/contests/settle", settle(2)).await.0, 409, "one was paid");
    let (status, told) = admin.post("/api/contests/settle", settle(1)).await;
    assert_eq!(status, 200, "{told}");
    let (_, me) = phone.get("/api/me").await;
    let mine = &me["receipts"][0]["money"];
    assert_eq!((&mine["refunded_minor"], &mine["contests"][0]["state"]), (&199.into(), &"refunded".into()));
    let again =
        json!({ "refund": "r2", "visit": "v1", "lines": [{ "sku": "milk", "quantity": 1 }], "reason": "x" });
    assert_eq!(admin.post("/api/refunds", again).await.0, 409, "everything went back already");

    // The entry code: good for this store, and nobody can write one.
    let (_, entry) = phone.post("/api/me/entry", json!({ "party": 3 })).await;
    let code = entry["code"].as_str().unwrap();
    // The last character of base64 may hold bits that say nothing; the one before it does not.
    let (kept, last) = code.split_at(code.len() - 2);
    let forged = format!("{kept}{}{}", if last.starts_with('A') { 'B' } else { 'A' }, &last[1..]);
    assert_eq!(admin.post("/api/entry/check", json!({ "code": forged })).await.0, 409);
    let (_, of) = admin.post("/api/entry/check", json!({ "code": code })).await;
    assert_eq!((&of["credential"], &of["party"]), (&"card-v1".into(), &3.into()));
    assert_eq!(admin.post("/api/entry/check", json!({ "code": code })).await.0, 409, "it is good once");
    assert_eq!(phone.post("/api/me/entry", json!({ "party": 21 })).await.0, 409);
    // The receipt as a document: one's own, nobody else's.
    let (status, signed) = phone.get("/api/me/receipts/v1/signed").await;
    assert_eq!((status, &signed["receipt"]["visit"]), (200, &"v1".into()), "{signed}");
    assert_eq!(phone.get("/api/me/receipts/v2/signed").await.0, 404);

    let (_, past) = admin.get(&format!("/api/moment?at_us={}", START_US + 1_000_000)).await;
    assert_eq!(past["carts"][0]["lines"][0]["sku"], "milk", "{past}");
    let (_, insights) = admin.get("/api/insights").await;
    let hour = &insights["hours"][0];
    assert_eq!((&hour["visits"], &hour["buyers"]), (&1.into(), &1.into()), "{insights}");
    assert_eq!(insights["products"][0]["taken"], 1, "{insights}");

    // Delete-my-data: the account, the credential, the session; money stays.
    assert_eq!(phone.post("/api/me/forget", json!({})).await.0, 200);
    assert_eq!(phone.get("/api/me").await.0, 401);
    let (_, receipt) = admin.get("/api/receipts/v1").await;
    assert_eq!((&receipt["credential"], &receipt["lines"][0]["sku"]), (&Value::Null, &"milk".into()));
    let (_, audit) = admin.get("/api/audit").await;
    assert_eq!(audit["rows"][0]["who"], "shopper");
    assert!(!audit.to_string().contains("card-v1"), "the log must not name shoppers: {audit}");
    server.stop().await.unwrap();
}

impl Browser {
    async fn begin_shopper(addr: SocketAddr, once: &str) -> Self {
        let mut phone = Self::begin_with(addr, "phone-1", once).await;
        assert_eq!(phone.get("/api/receipts").await.0, 403, "a shopper sees their own page only");
        phone
    }

    async fn begin_with(addr: SocketAddr, name: &str, once: &str) -> Self {
        let mut browser = Self::begin(addr, name, once).await;
        assert_eq!(browser.get("/api/me").await.0, 200);
        browser
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_joins_without_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&dir.path().join("data"), Access::Accounts)).await.unwrap();
    let mut phone = Browser::new(server.console());
    assert_eq!(phone.post("/api/join", json!({})).await.0, 200);
    let (_, session) = phone.get("/api/session").await;
    assert_eq!(session["role"], "shopper");
    let (_, me) = phone.get("/api/me").await;
    assert!(me["credential"].as_str().unwrap().starts_with("app-"), "{me}");
    assert_eq!((&me["cart"], &me["receipts"]), (&Value::Null, &json!([])));
    assert_eq!(phone.get("/api/carts").await.0, 403);
    assert_eq!(phone.post("/api/me/forget", json!({})).await.0, 200);
    assert_eq!(phone.get("/api/me").await.0, 401);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn other_machines_are_listened_to_behind_tls_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir.path().join("data"), Access::Accounts);
    settings.listen = "0.0.0.0:0".parse().unwrap();
    let told = Server::start(settings).await.err().unwrap().to_string();
    assert!(told.contains("--behind-tls"), "{told}");
    let mut settings = corner::settings(&dir.path().join("data"));
    settings.bus = store_sync::serve::Bus::Embedded("0.0.0.0:0".parse().unwrap());
    let told = format!("{:#}", Server::start(settings).await.err().unwrap());
    assert!(told.contains("--broker-behind-tls"), "{told}");
}

/// Whatever the description offers, and however broken the request: who has not signed in is refused, but where one signs
/// in, joins, knocks as a channel with a signature, or asks whether the server is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_of_the_store_refuses_who_has_not_signed_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&dir.path().join("data"), Access::Accounts)).await.unwrap();
    let document: Value = serde_json::from_str(&store_sync::http::openapi_json().unwrap()).unwrap();
    let open = ["/api/session", "/api/join", "/api/sign-in", "/api/oidc/begin", "/api/oidc/back", "/healthz"];
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if open.contains(&path.as_str()) {
            continue;
        }
        let concrete = path.replace("{visit}", "v1").replace("{channel}", "app");
        assert!(!concrete.contains('{'), "{path}");
        for method in methods.as_object().unwrap().keys() {
            let stranger = Browser::new(server.console());
            let (status, _, told) =
                stranger.send(&method.to_uppercase(), &concrete, Some(json!(7)), "").await;
            // A channel proves itself by a signature over its body.
            let signed = path.starts_with("/api/hooks/") && (400..500).contains(&status);
            assert!(status == 401 || signed, "{method} {path}: {status} {told}");
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked}");
    server.stop().await.unwrap();
}
