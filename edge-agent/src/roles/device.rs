//! What every role needs of the bus: a connection with birth and last will, the floor's progress, numbered events.

use std::collections::BTreeMap;

use anyhow::Context;
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::identity::{IdentityDir, client_config};
use linefree_bus::payload::{DeviceFault, EventBody, ShelfChanged, Status};
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_domain::time::StoreTime;
use linefree_hardware::fault::Fault;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::metrics::Metrics;
use super::{Role, Site};

/// A device on the bus.
pub(super) struct Device {
    pub source: String,
    pub role: Role,
    pub client: BusClient,
    metrics: Metrics,
}

impl Device {
    /// Connects; never waits for the broker, which may come later.
    pub fn connect(
        site: &Site,
        source: String,
        role: Role,
        subscriptions: &[Subscription],
    ) -> anyhow::Result<(Self, Inbox)> {
        let status = Status::online(source.as_str(), role.name(), env!("CARGO_PKG_VERSION"));
        let mut config = BusConfig::new(site.bus.clone(), site.store.layout.id.as_str(), status);
        if site.bus.tls() {
            let dir = site.store.live.bus.as_ref().and_then(|bus| bus.tls_dir.as_ref());
            let dir = dir.context("a bus over TLS (mqtts://) needs tls_dir in [bus] of store.toml")?;
            config = config.with_identity(client_config(&IdentityDir::new(dir), &source)?);
        }
        let config = subscriptions.iter().cloned().fold(config, BusConfig::subscribe);
        let (client, inbox) =
            BusClient::connect(config).with_context(|| format!("connect {source} to the bus"))?;
        if let Some(releases) = &site.releases {
            releases.follow(&source, role, &client, &site.metrics);
        }
        Ok((Self { source, role, client, metrics: site.metrics.clone() }, inbox))
    }

    /// Tells everyone how this device is doing.
    pub fn tell_status(&self, counters: BTreeMap<String, u64>) {
        let mut status = Status::online(self.source.as_str(), self.role.name(), env!("CARGO_PKG_VERSION"));
        status.counters = counters;
        status.counters.extend(self.client.stats().counters());
        self.metrics.tell(&self.source, self.role.name(), &status.counters);
        // Retained and remembered by the client: a full queue only delays it.
        let _ = self.client.publish(Outgoing::Status(status));
    }

    /// Opens this source's numbered, journalled events.
    pub async fn publisher(&self, site: &Site) -> anyhow::Result<EventPublisher> {
        let dir = site.data.join("journal").join(&self.source);
        let options = PublisherOptions::default();
        let (publisher, _) = EventPublisher::open(&dir, &self.source, self.client.clone(), options)
            .await
            .with_context(|| format!("open the journal of {} in {}", self.source, dir.display()))?;
        Ok(publisher)
    }
}

/// Shelf events that wait for a camera to look; more are dropped, and what they tell is missing as evidence.
const CHANGES_MAX: usize = 64;

/// Listens to the floor role's progress, which paces replayed sources, until dropped; and to shelf events, for who
/// subscribed to them.
pub(super) struct ProgressTap {
    pub progress: watch::Receiver<Option<StoreTime>>,
    pub changes: mpsc::Receiver<ShelfChanged>,
    task: AbortHandle,
}

impl Drop for ProgressTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a replayed source subscribes to.
pub(super) fn progress_subscription() -> Subscription {
    Subscription::all(TopicKind::Progress)
}

/// Consumes an inbox that matters for progress and shelf events only.
pub(super) fn tap_progress(mut inbox: Inbox) -> ProgressTap {
    let (tell, progress) = watch::channel(None);
    let (pass_on, changes) = mpsc::channel(CHANGES_MAX);
    let task = tokio::spawn(async move {
        while let Some(incoming) = inbox.recv().await {
            match incoming {
                Incoming::Progress(mark) => {
                    tell.send_replace(Some(StoreTime::from_micros(mark.time_us)));
                }
                Incoming::Event(event) => {
                    if let EventBody::ShelfChanged(changed) = event.body {
                        let _ = pass_on.try_send(changed);
                    }
                }
                Incoming::Malformed { topic, why } => tracing::warn!(topic, why, "malformed message dropped"),
                Incoming::Disconnected { why } => tracing::warn!(why, "the bus is away; trying again"),
                _ => {}
            }
        }
    });
    ProgressTap { progress, changes, task: task.abort_handle() }
}

/// A hardware fault as an event; it stands until it is cleared.
pub(super) fn fault_body(metrics: &Metrics, fault: Fault) -> EventBody {
    metrics.fault(&fault);
    EventBody::DeviceFault(DeviceFault {
        device: fault.device,
        fault: fault.kind.name().into(),
        message: fault.message,
        cleared: fault.cleared,
    })
}
