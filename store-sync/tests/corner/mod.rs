//! The corner store's server in the test's own process, and devices that talk to it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::payload::Status;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_recording::StoreFile;
use serde_json::Value;
use store_sync::desk::channels::sign;
use store_sync::serve::{Access, Bus, Server, Settings};

const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// On free ports, open to everybody, without a cloud.
pub fn settings(data: &Path) -> Settings {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let corner = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/corner.toml");
    Settings {
        layout: StoreFile::read(corner).unwrap().layout,
        data_dir: data.to_owned(),
        listen: any,
        bus: Bus::Embedded(any),
        cloud: None,
        gln: None,
        access: Access::Open,
        payments: None,
        rollout: None,
        oidc: None,
        config: None,
    }
}

/// A source of numbered events with its journal in a folder of its own below `dir`.
pub async fn publisher(server: &Server, dir: &Path, source: &str) -> (BusClient, EventPublisher) {
    let status = Status::online(source, "floor", "test");
    let (client, mut inbox) =
        BusClient::connect(BusConfig::new(server.bus().clone(), "corner", status)).unwrap();
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    client.wait_connected(CONNECTED_WITHIN).await.unwrap();
    let journal = dir.join(source);
    let (events, _) =
        EventPublisher::open(&journal, source, client.clone(), PublisherOptions::default()).await.unwrap();
    (client, events)
}

/// Asks a server over HTTP: gets, or posts a body. With `signed`, a secret and seconds since the Unix epoch, as a channel
/// does.
pub fn ask(url: &str, body: Option<&Value>, signed: Option<(&str, i64)>) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = match body {
        None => agent.get(url).call().unwrap(),
        Some(body) => {
            let body = body.to_string();
            let mut request = agent.post(url).header("content-type", "application/json");
            if let Some((secret, at_s)) = signed {
                let at = at_s.to_string();
                let signature = sign(secret, "m1", &at, body.as_bytes()).unwrap();
                request = request
                    .header("webhook-id", "m1")
                    .header("webhook-timestamp", at)
                    .header("webhook-signature", signature);
            }
            request.send(&body).unwrap()
        }
    };
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Seconds since the Unix epoch.
pub fn now_s() -> i64 {
    store_sync::clock::wall_us() / 1_000_000
}
