//! The corner store's server in the test's own process, and devices that talk to it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use linefree_bus::client::{BusClient, BusConfig};
use linefree_bus::payload::Status;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_recording::StoreFile;
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
