//! A connection to the broker for the topics of robots: master control has one, and so has every robot.
//!
//! MQTT 3.1.1 with clean sessions. The connection is made again for ever, with pauses of up to [`MAX_PAUSE`]; after
//! each reconnect the peer subscribes again and reports [`PeerEvent::Connected`], whereupon its owner says again what
//! matters (a robot its `connection`; master control asks for states).
//!
//! **Bounds.** At most [`QUEUE`] messages wait in either direction. A message that finds the outward queue full, or no
//! connection, is refused: whoever sends on these topics must live with losses anyway (QoS 0). When the inward queue is
//! full, `visualization` is dropped and everything else makes the peer stop reading from the network.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, QoS, SubscribeFilter,
    TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::RobotId;
use super::topic::{RobotTopic, RobotTopics};
use crate::codec::MAX_PAYLOAD_BYTES;
use crate::topic::Delivery;
use crate::url::BusUrl;

/// Messages that wait in each direction.
pub const QUEUE: usize = 1024;

/// Longest pause between two attempts to connect.
pub const MAX_PAUSE: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The broker gives a silent peer up after one and a half times this: that is when a last will comes.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A message that the broker publishes when the peer is lost: topic, payload.
pub type Will = (RobotId, RobotTopic, Vec<u8>);

/// How a peer connects.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where the broker is.
    pub url: BusUrl,
    /// What the connection's name begins with; random digits follow.
    pub name: String,
    /// The topics.
    pub topics: RobotTopics,
    /// What it hears: of everybody, or of one robot.
    pub hears: Vec<(Option<RobotId>, RobotTopic)>,
    /// What the broker says when it is lost.
    pub will: Option<Will>,
    /// Who it is to a broker over TLS.
    pub identity: Option<Arc<ClientConfig>>,
}

/// What a peer reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// Connected and subscribed, for the first time or again.
    Connected,
    /// The connection is lost and being made again.
    Disconnected(String),
    /// A message on one of the topics that it hears.
    Message {
        /// Whose topic.
        robot: RobotId,
        /// Which.
        topic: RobotTopic,
        /// The message.
        payload: Vec<u8>,
    },
}

/// Why a peer could not be made, or a message not be sent.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A URL over TLS, and nothing to show there.
    #[error("{0} is a broker over TLS, which asks for a certificate; name its folder as tls_dir")]
    NoIdentity(String),
    /// Not called within a tokio runtime.
    #[error("a peer needs a tokio runtime around it: {0}")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
    /// Too much waits already, or the peer is closed.
    #[error("the message was not taken: {0}")]
    NotTaken(String),
}

/// A connection for the topics of robots. Dropping it cuts the connection, so that the broker publishes the will.
#[derive(Debug)]
pub struct Peer {
    client: AsyncClient,
    topics: RobotTopics,
    connected: watch::Receiver<bool>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn qos(topic: RobotTopic) -> QoS {
    match topic.delivery() {
        Delivery::AtMostOnce => QoS::AtMostOnce,
        Delivery::AtLeastOnce => QoS::AtLeastOnce,
    }
}

impl Peer {
    /// Begins to connect, and goes on for ever.
    ///
    /// # Errors
    /// When there is no runtime, or no identity for TLS.
    pub fn connect(config: PeerConfig) -> Result<(Self, mpsc::Receiver<PeerEvent>), PeerError> {
        let runtime = tokio::runtime::Handle::try_current()?;
        if config.url.tls() && config.identity.is_none() {
            return Err(PeerError::NoIdentity(config.url.to_string()));
        }
        let random = Uuid::now_v7().as_u128() as u32;
        let mut options =
            MqttOptions::new(format!("{}-{random:08x}", config.name), config.url.host(), config.url.port());
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_max_packet_size(4 * MAX_PAYLOAD_BYTES, 4 * MAX_PAYLOAD_BYTES);
        if let Some((robot, topic, payload)) = config.will {
            let name = config.topics.of(&robot, topic);
            options.set_last_will(LastWill::new(name, payload, qos(topic), topic.retained()));
        }
        if let Some(login) = config.url.login() {
            options.set_credentials(&login.username, &login.password);
        }
        if let Some(identity) = config.identity {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(identity)));
        }
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let filter = |(robot, topic): &(Option<RobotId>, RobotTopic)| {
            let name =
                robot.as_ref().map_or_else(|| config.topics.all(*topic), |r| config.topics.of(r, *topic));
            SubscribeFilter::new(name, qos(*topic))
        };
        let filters: Vec<SubscribeFilter> = config.hears.iter().map(filter).collect();
        let (say, heard) = mpsc::channel(QUEUE);
        let (up, connected) = watch::channel(false);
        let link = Link { client: client.clone(), topics: config.topics.clone(), filters, say, up };
        let task = runtime.spawn(link.run(events)).abort_handle();
        Ok((Self { client, topics: config.topics, connected, tasks: vec![task] }, heard))
    }

    /// Is it connected and subscribed?
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Sends a message. Never waits.
    ///
    /// # Errors
    /// When there is no connection, or too much waits already.
    pub fn send(&self, robot: &RobotId, topic: RobotTopic, payload: Vec<u8>) -> Result<(), PeerError> {
        if !self.is_connected() {
            return Err(PeerError::NotTaken("there is no connection to the broker".to_owned()));
        }
        let name = self.topics.of(robot, topic);
        self.client
            .try_publish(name, qos(topic), topic.retained(), payload)
            .map_err(|e| PeerError::NotTaken(e.to_string()))
    }

    /// Sends what waits and says goodbye to the broker, which then keeps the will to itself; gives up after `at_most`.
    pub async fn close(self, at_most: Duration) {
        let mut connected = self.connected.clone();
        if self.client.try_disconnect().is_ok() {
            let down = connected.wait_for(|up| !*up);
            let _ = tokio::time::timeout(at_most, down).await;
        }
    }
}

/// The task of a peer.
struct Link {
    client: AsyncClient,
    topics: RobotTopics,
    filters: Vec<SubscribeFilter>,
    say: mpsc::Sender<PeerEvent>,
    up: watch::Sender<bool>,
}

impl Link {
    async fn run(self, mut events: EventLoop) {
        let mut pause = FIRST_PAUSE;
        let mut leaving = false;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) if self.filters.is_empty() => {
                    pause = FIRST_PAUSE;
                    self.connected().await;
                }
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let (client, filters) = (self.client.clone(), self.filters.clone());
                    // Not from this task: it empties the queue, which may be full of what the last connection left.
                    tokio::spawn(async move { client.subscribe_many(filters).await });
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => {
                    pause = FIRST_PAUSE;
                    self.connected().await;
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let Some((robot, topic)) = self.topics.parse(&publish.topic) else { continue };
                    let payload = publish.payload.to_vec();
                    let message = PeerEvent::Message { robot, topic, payload };
                    if topic == RobotTopic::Visualization {
                        let _ = self.say.try_send(message);
                    } else if self.say.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => leaving = true,
                Ok(_) => {}
                Err(error) => {
                    let was_up = self.up.send_replace(false);
                    if leaving {
                        return;
                    }
                    tracing::debug!(%error, "no connection to the broker; trying again");
                    if was_up && self.say.send(PeerEvent::Disconnected(error.to_string())).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    async fn connected(&self) {
        self.up.send_replace(true);
        let _ = self.say.send(PeerEvent::Connected).await;
    }
}
