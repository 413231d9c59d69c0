//! Who may enter: a risk service over real HTTP that says yes, says no, talks nonsense and dies; what is unpaid; and that
//! shopper and staff see the same reason.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use serde_json::{Value, json};
use store_sync::risk::{Applicant, IfSilent, RiskSettings};
use store_sync::serve::{Access, Server, Settings};

/// A phone: where it asks, and its cookie.
struct Phone {
    base: String,
    cookie: String,
    csrf: String,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

impl Phone {
    fn join(base: &str) -> Self {
        let joined = agent().post(format!("{base}/api/join")).send_empty().unwrap();
        assert_eq!(joined.status(), 200);
        let cookie = joined.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut phone = Self { base: base.to_owned(), cookie, csrf: String::new() };
        let session = phone.get("/api/session");
        phone.csrf = session["csrf"].as_str().unwrap().to_owned();
        phone
    }

    fn get(&self, path: &str) -> Value {
        let asked = agent().get(format!("{}{path}", self.base)).header("Cookie", &self.cookie).call();
        asked.unwrap().body_mut().read_json().unwrap()
    }

    fn entry(&self) -> (u16, Value) {
        let asked = agent()
            .post(format!("{}/api/me/entry", self.base))
            .header("Cookie", &self.cookie)
            .header("X-Linefree-Csrf", &self.csrf)
            .send_json(json!({}));
        let mut answer = asked.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }
}

/// What the service answers, and whom it was asked about.
type Mood = Arc<Mutex<(StatusCode, Value, Vec<Applicant>)>>;

async fn judge(
    State(mood): State<Mood>,
    headers: HeaderMap,
    Json(applicant): Json<Applicant>,
) -> (StatusCode, Json<Value>) {
    assert_eq!(headers["authorization"], "Bearer risk-key");
    let mut mood = mood.lock().unwrap();
    mood.2.push(applicant);
    (mood.0, Json(mood.1.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_risk_service_is_asked_and_its_reason_is_seen_by_shopper_and_staff() {
    let dir = tempfile::tempdir().unwrap();
    let mood: Mood = Arc::new(Mutex::new((StatusCode::OK, json!({ "enter": true }), Vec::new())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/risk", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/risk", axum::routing::post(judge)).with_state(Arc::clone(&mood));
    let service = tokio::spawn(async move { axum::serve(listener, router).await });
    let token_file = dir.path().join("key");
    std::fs::write(&token_file, "risk-key\n").unwrap();

    for if_silent in [IfSilent::Enter, IfSilent::Refuse] {
        let data = dir.path().join(format!("{if_silent:?}"));
        let risk = RiskSettings { url: url.clone(), token_file: Some(token_file.clone()), if_silent };
        let settings = Settings { access: Access::Accounts, risk: Some(risk), ..corner::settings(&data) };
        let server = Server::start(settings).await.unwrap();
        let base = format!("http://{}", server.console());
        let reader = std::fs::read_to_string(data.join("reader-token")).unwrap();
        tokio::task::block_in_place(|| {
            let says = |status: u16, body: Value| {
                let mut mood = mood.lock().unwrap();
                (mood.0, mood.1) = (StatusCode::from_u16(status).unwrap(), body);
            };
            let staff_see = || -> Value {
                let asked = agent()
                    .get(format!("{base}/api/entry/refused"))
                    .header("Authorization", format!("Bearer {}", reader.trim()))
                    .call();
                asked.unwrap().body_mut().read_json().unwrap()
            };
            let phone = Phone::join(&base);
            let credential = phone.get("/api/me")["credential"].as_str().unwrap().to_owned();
            says(200, json!({ "enter": true }));
            assert_eq!(phone.entry().0, 200);
            let asked = mood.lock().unwrap().2.pop().unwrap();
            let of = |store: &str, currency: &str| Applicant {
                store: store.into(),
                credential: credential.clone(),
                unpaid_minor: 0,
                currency: currency.into(),
            };
            assert_eq!(asked, of("corner", "EUR"));
            assert_eq!(staff_see(), json!([]));

            says(200, json!({ "enter": false, "reason": "three charge-backs" }));
            for _ in 0..2 {
                let (status, words) = phone.entry();
                assert_eq!((status, &words["error"]), (409, &json!("entry is refused: three charge-backs")));
            }
            let seen = staff_see();
            assert_eq!(seen.as_array().unwrap().len(), 1, "asked twice, told once: {seen}");
            assert_eq!(
                (&seen[0]["credential"], &seen[0]["reason"]),
                (&json!(credential), &json!("entry is refused: three charge-backs"))
            );

            // A status, a body that is none, an answer without the field: silence.
            for (status, body) in [(500, json!({ "enter": false })), (200, json!("no")), (200, json!({}))] {
                says(status, body);
                let (status, words) = phone.entry();
                match if_silent {
                    IfSilent::Enter => assert_eq!(status, 200, "{words}"),
                    IfSilent::Refuse => {
                        assert!(status == 409 && words["error"].as_str().unwrap().contains("staff"));
                    }
                }
            }
            says(200, json!({ "enter": true }));
            assert_eq!(phone.entry().0, 200);
            assert_eq!(staff_see(), json!([]), "who is let in again is not refused any more");
        });
        server.stop().await.unwrap();
    }
    service.abort();
    let bad =
        RiskSettings { url: "http://risk.example/".into(), token_file: None, if_silent: IfSilent::Enter };
    assert!(bad.policy().is_err());
}
