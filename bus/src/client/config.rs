//! How a device connects, and every bound of its connection.

use crate::payload::Status;
use crate::topic::Subscription;
use crate::url::BusUrl;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Every bound of a client.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Momentary messages waiting to be sent.
    pub out_momentary: usize,
    /// Events waiting to be sent; the same bound holds for status, acknowledgements and resend requests.
    pub out_lasting: usize,
    /// Momentary messages waiting to be consumed.
    pub in_momentary: usize,
    /// Other messages waiting to be consumed.
    pub in_lasting: usize,
    /// Bytes of momentary messages waiting, for either direction.
    pub momentary_bytes: usize,
    /// The broker gives a silent device up after one and a half times this. Large, because a device that computes
    /// on every core is slow to answer.
    pub keep_alive: Duration,
    /// Longest pause between two attempts to connect.
    pub max_pause: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            out_momentary: 4_096,
            out_lasting: 4_096,
            in_momentary: 8_192,
            in_lasting: 4_096,
            momentary_bytes: 64 << 20,
            keep_alive: Duration::from_secs(60),
            max_pause: Duration::from_secs(5),
        }
    }
}

/// How a device connects.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Where the broker is.
    pub url: BusUrl,
    /// Name of this connection to the broker: must differ between all connections.
    pub client_id: String,
    /// Which store.
    pub store: String,
    /// The device's birth message; its last will follows from it.
    pub status: Status,
    /// What it wants to hear.
    pub subscriptions: Vec<Subscription>,
    /// Who it is to a broker over TLS: needed for `mqtts://`, see [`client_config`](crate::identity::client_config).
    pub identity: Option<Arc<ClientConfig>>,
    /// Bounds.
    pub limits: ClientLimits,
}

impl BusConfig {
    /// A configuration without subscriptions. The client id ends in random digits: two processes never fight for
    /// one, and no broker takes a restarted device for the one that died.
    #[must_use]
    pub fn new(url: BusUrl, store: impl Into<String>, status: Status) -> Self {
        let store = store.into();
        let random = Uuid::now_v7().as_u128() as u32;
        Self {
            url,
            client_id: format!("linefree-{store}-{}-{random:08x}", status.source),
            store,
            status,
            subscriptions: Vec::new(),
            identity: None,
            limits: ClientLimits::default(),
        }
    }

    /// Says who it is to a broker over TLS.
    #[must_use]
    pub fn with_identity(mut self, identity: Arc<ClientConfig>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Adds a subscription.
    #[must_use]
    pub fn subscribe(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }
}
