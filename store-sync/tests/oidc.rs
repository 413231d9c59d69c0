//! Signing in at a provider that lies: whoever it cannot prove to be somebody with a role here stays outside. The browser
//! test signs in at a real provider; this one makes a provider say what a real one never would.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linefree_recording::OidcConfig;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store_sync::clock::wall_us;
use store_sync::desk::accounts::Role;
use store_sync::oidc::{Begun, Known, Oidc, OidcError};

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// What the provider will say next.
struct Says {
    claims: Value,
    signed_with: u8,
    challenge: String,
}

#[derive(Clone)]
struct Provider {
    issuer: String,
    says: Arc<Mutex<Says>>,
}

async fn discovery(State(p): State<Provider>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", p.issuer);
    Json(json!({
        "issuer": p.issuer, "authorization_endpoint": at("auth"), "token_endpoint": at("token"), "jwks_uri": at("jwks"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn jwks() -> Json<Value> {
    let x = URL_SAFE_NO_PAD.encode(key(1).public_key().as_ref());
    Json(
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "k", "x": x }] }),
    )
}

async fn token(State(p): State<Provider>, asked: String) -> Json<Value> {
    let says = p.says.lock().unwrap();
    let verifier = of(&format!("?{asked}"), "code_verifier");
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())), says.challenge, "PKCE, S256");
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let text =
        format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "k", "typ": "JWT" })), part(&says.claims));
    let signature = URL_SAFE_NO_PAD.encode(key(says.signed_with).sign(text.as_bytes()).as_ref());
    Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": format!("{text}.{signature}") }))
}

struct Bench {
    provider: Provider,
    oidc: Arc<Oidc>,
}

/// A query parameter of an address.
fn of(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
}

impl Bench {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let says = Says { claims: Value::Null, signed_with: 1, challenge: String::new() };
        let provider = Provider { issuer: issuer.clone(), says: Arc::new(Mutex::new(says)) };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        let role = |group: &str, is: &str| (group.to_owned(), is.to_owned());
        let config = OidcConfig {
            issuer,
            client_id: "linefree".into(),
            client_secret_file: None,
            redirect: None,
            role_claim: "groups".into(),
            scopes: vec!["profile".into()],
            roles: vec![role("crew", "staff"), role("chiefs", "manager")],
        };
        let oidc = Arc::new(Oidc::new(config, "http://127.0.0.1:1/api/oidc/back".into()));
        Self { provider, oidc }
    }

    async fn begin(&self) -> Begun {
        let oidc = Arc::clone(&self.oidc);
        let begun = tokio::task::spawn_blocking(move || oidc.begin(wall_us())).await.unwrap().unwrap();
        self.provider.says.lock().unwrap().challenge = of(&begun.url, "code_challenge");
        begun
    }

    /// Comes back with what the provider says, `change`d from what it should.
    async fn back(
        &self,
        begun: &Begun,
        change: impl FnOnce(&mut Value, &mut u8),
        at_us: i64,
    ) -> Result<Known, OidcError> {
        let now_s = wall_us() / 1_000_000;
        let mut claims = json!({
            "iss": self.provider.issuer, "aud": "linefree", "sub": "7", "nonce": of(&begun.url, "nonce"),
            "iat": now_s, "exp": now_s + 300, "preferred_username": "ana", "groups": ["crew", "chiefs", "choir"],
        });
        let mut signed_with = 1;
        change(&mut claims, &mut signed_with);
        {
            let mut says = self.provider.says.lock().unwrap();
            (says.claims, says.signed_with) = (claims, signed_with);
        }
        let (oidc, browser, state) = (Arc::clone(&self.oidc), begun.browser.clone(), of(&begun.url, "state"));
        tokio::task::spawn_blocking(move || oidc.finish(&browser, &state, "code", at_us)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_provider_vouches_for_gets_the_most_that_their_groups_may_do() {
    let bench = Bench::new().await;
    let begun = bench.begin().await;
    assert!(begun.url.contains("code_challenge_method=S256") && begun.url.contains("response_type=code"));
    let known = bench.back(&begun, |_, _| {}, wall_us()).await.unwrap();
    assert_eq!((known.subject.as_str(), known.name.as_str(), known.role), ("7", "ana", Role::Manager));
    // Once.
    assert!(matches!(bench.back(&begun, |_, _| {}, wall_us()).await, Err(OidcError::Stale)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_must_not_say_is_not_believed() {
    let bench = Bench::new().await;
    type Lie = (&'static str, fn(&mut Value, &mut u8));
    let lies: [Lie; 5] = [
        ("another sign-in's nonce", |c, _| c["nonce"] = "x".into()),
        ("for somebody else", |c, _| c["aud"] = "another".into()),
        ("from somebody else", |c, _| c["iss"] = "http://127.0.0.1:2".into()),
        ("expired", |c, _| c["exp"] = 1.into()),
        ("signed by somebody else", |_, key| *key = 2),
    ];
    for (what, lie) in lies {
        let begun = bench.begin().await;
        let told = bench.back(&begun, lie, wall_us()).await;
        assert!(matches!(told, Err(OidcError::Refused(_))), "{what}: {told:?}");
    }
    let begun = bench.begin().await;
    let told = bench.back(&begun, |c, _| c["groups"] = json!(["choir"]), wall_us()).await;
    assert!(matches!(told, Err(OidcError::NoRole(who)) if who == "ana"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_browser_that_began_comes_back_and_not_after_ten_minutes() {
    let bench = Bench::new().await;
    let begun = bench.begin().await;
    let thief = Begun { browser: "another browser's cookie".into(), ..begun.clone() };
    assert!(matches!(bench.back(&thief, |_, _| {}, wall_us()).await, Err(OidcError::Stale)));
    // The thief's try has ended nobody's sign-in.
    bench.back(&begun, |_, _| {}, wall_us()).await.unwrap();
    let late = bench.begin().await;
    assert!(matches!(bench.back(&late, |_, _| {}, wall_us() + 601_000_000).await, Err(OidcError::Stale)));
}
