//! Mutual TLS and access rules in front of a broker that has neither: the embedded one.
//!
//! A device connects with its certificate. The gatekeeper reads its MQTT packets, lets through what [`Acl`] allows, and
//! passes everything else to the broker, which listens on loopback behind a login that only the gatekeeper knows.
//!
//! | a device tries to | what happens |
//! | --- | --- |
//! | connect without a certificate of the store's authority, or with an expired or revoked one | the TLS handshake fails |
//! | connect under somebody else's client id | it gets an id made of its own name: nobody is thrown out |
//! | leave a last will in another's name | the connection is refused (not authorized) |
//! | publish on a topic that is not its own | the connection is closed, and it is told in the log |
//! | subscribe to what is not its business | the subscription fails (0x80) |
//! | flood | it is read no faster than [`PACKETS_PER_S`] and [`BYTES_PER_S`]; its own socket fills |
//!
//! # Limits
//! MQTT 3.1.1. At most [`GatekeeperConfig::max_connections`] connections; a handshake and a CONNECT each have
//! [`GREETING`]. Sessions are clean. The authority's and its own files are looked at every [`LOOK_EVERY`]: a renewed
//! certificate is shown, and a revoked one refused, at the next connection after that.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Login as MqttLogin, Packet, SubAck, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{self, QoS};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use crate::acl::Acl;
use crate::codec::MAX_PAYLOAD_BYTES;
use crate::identity::{DeviceName, IdentityDir, IdentityError, Stamps, server_config, stamps};
use crate::url::Login;

/// How long a handshake, and the CONNECT after it, may take.
pub const GREETING: Duration = Duration::from_secs(10);

/// How often it looks for renewed files.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Packets of one device that are passed on in a second.
pub const PACKETS_PER_S: f64 = 2_000.0;
/// Bytes of one device that are passed on in a second.
pub const BYTES_PER_S: f64 = 8e6;
/// A flood may begin with this many seconds' worth at once.
const BURST_S: f64 = 1.0;
/// A payload of the codec's limit, its topic and the header.
const MAX_PACKET_BYTES: usize = MAX_PAYLOAD_BYTES + 1024;
/// Answers of the gatekeeper itself that may wait to be sent.
const ANSWERS: usize = 16;

/// How the gatekeeper runs.
#[derive(Debug, Clone)]
pub struct GatekeeperConfig {
    /// Where devices connect; port 0 for any free port.
    pub listen: SocketAddr,
    /// The broker behind it.
    pub broker: SocketAddr,
    /// How to log in there.
    pub login: Option<Login>,
    /// Keys and certificates.
    pub identity: IdentityDir,
    /// Name of the broker's own certificate in that folder.
    pub source: String,
    /// Connections at once; more wait.
    pub max_connections: usize,
}

/// A gatekeeper that runs until the process ends.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    addr: SocketAddr,
    config: GatekeeperConfig,
    tls: Arc<Mutex<Arc<ServerConfig>>>,
    denied: Arc<AtomicU64>,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum GatekeeperError {
    /// Keys or certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address cannot be listened on.
    #[error("the bus cannot listen on {addr}: {source}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Gatekeeper {
    /// Listens when it returns.
    ///
    /// # Errors
    /// [`GatekeeperError`] when a certificate or the address cannot be used.
    pub async fn start(config: GatekeeperConfig) -> Result<Self, GatekeeperError> {
        let read = stamps(&Self::files(&config));
        let tls = Arc::new(Mutex::new(server_config(&config.identity, &config.source)?));
        let failed = |source| GatekeeperError::Listen { addr: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let gatekeeper = Self { addr, config, tls, denied: Arc::default() };
        tokio::spawn(gatekeeper.clone().accept(listener));
        tokio::spawn(gatekeeper.clone().look(read));
        Ok(gatekeeper)
    }

    /// Where devices connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How often a device tried what it may not.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Reads keys, certificates and the list of revoked ones again, for connections to come.
    ///
    /// # Errors
    /// When they cannot be used; the old ones stay.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let fresh = server_config(&self.config.identity, &self.config.source)?;
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn files(config: &GatekeeperConfig) -> [PathBuf; 4] {
        let (dir, source) = (&config.identity, &config.source);
        [dir.ca(), dir.crl(), dir.certificate(source), dir.key(source)]
    }

    /// Takes up renewed files.
    async fn look(self, mut read: Stamps) {
        let files = Self::files(&self.config);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = stamps(&files);
            if now == read {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    tracing::info!("renewed certificates and lists are in force");
                    read = now;
                }
                // Perhaps they are just being copied: those from before stay in force.
                Err(error) => tracing::warn!(%error, "renewed certificates or lists are no use"),
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(self.config.max_connections));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (socket, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let gatekeeper = self.clone();
            tokio::spawn(async move {
                if let Err(error) = gatekeeper.serve(socket).await {
                    tracing::warn!(%peer, %error, "a device's connection ended");
                }
                drop(permit);
            });
        }
    }

    async fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let tls = Arc::clone(&self.tls.lock().unwrap_or_else(PoisonError::into_inner));
        let stream = timeout(GREETING, TlsAcceptor::from(tls).accept(socket)).await??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or_else(|| io::Error::other("no certificate"))?;
        let device = DeviceName::of_certificate(certificate).map_err(io::Error::other)?;
        let (reader, writer) = split(stream);
        let mut session = Session {
            acl: Acl::new(device.clone()),
            device,
            reader,
            buffer: BytesMut::new(),
            budget: Budget::new(),
        };
        self.relay(&mut session, writer).await
    }

    async fn relay(
        &self,
        session: &mut Session,
        mut writer: WriteHalf<TlsStream<TcpStream>>,
    ) -> io::Result<()> {
        let device = session.device.clone();
        let Some((Packet::Connect(mut connect), _)) = timeout(GREETING, session.next()).await?? else {
            return Err(io::Error::other(format!("{device} does not begin with CONNECT")));
        };
        if connect.last_will.as_ref().is_some_and(|will| !session.acl.may_publish(&will.topic)) {
            self.denied.fetch_add(1, Ordering::Relaxed);
            let refusal = ConnAck::new(ConnectReturnCode::NotAuthorized, false);
            writer.write_all(&encode(&Packet::ConnAck(refusal))?).await?;
            writer.shutdown().await?;
            return Err(io::Error::other(format!("{device} left a last will in another's name")));
        }
        // Whatever it calls itself: an id of its own name, different each time, ends nobody's session.
        connect.client_id = format!("{}-{}", device.source, Uuid::new_v4().simple());
        connect.clean_session = true;
        connect.login = self.config.login.as_ref().map(|l| MqttLogin::new(&l.username, &l.password));
        let broker = TcpStream::connect(self.config.broker).await?;
        broker.set_nodelay(true)?;
        let (mut from_broker, mut to_broker) = broker.into_split();
        to_broker.write_all(&encode(&Packet::Connect(connect))?).await?;

        let (answer, mut answers) = mpsc::channel::<Vec<u8>>(ANSWERS);
        let down = async move {
            let mut bytes = vec![0; 16 * 1024];
            let mut packets = BytesMut::new();
            loop {
                tokio::select! {
                    read = from_broker.read(&mut bytes) => match read? {
                        0 => return Ok::<(), io::Error>(()),
                        n => packets.extend_from_slice(&bytes[..n]),
                    },
                    Some(own) = answers.recv() => {
                        // Only between whole packets.
                        writer.write_all(&own).await?;
                    }
                }
                while let Some(length) = whole_packet(&packets)? {
                    writer.write_all(&packets.split_to(length)).await?;
                }
                writer.flush().await?;
            }
        };
        let up = async {
            while let Some((packet, raw)) = session.next().await? {
                match &packet {
                    Packet::Publish(publish) if !session.acl.may_publish(&publish.topic) => {
                        self.denied.fetch_add(1, Ordering::Relaxed);
                        let topic: String = publish.topic.chars().take(128).collect();
                        return Err(io::Error::other(format!("{device} may not publish to {topic:?}")));
                    }
                    Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                        return Err(io::Error::other(format!(
                            "{device} uses QoS 2, which this bus does not"
                        )));
                    }
                    Packet::Subscribe(subscribe)
                        if !subscribe.filters.iter().all(|f| session.acl.may_subscribe(&f.path)) =>
                    {
                        self.denied.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%device, "a subscription was denied");
                        let codes = vec![SubscribeReasonCode::Failure; subscribe.filters.len()];
                        let refusal = Packet::SubAck(SubAck::new(subscribe.pkid, codes));
                        if answer.send(encode(&refusal)?).await.is_err() {
                            return Ok(());
                        }
                    }
                    Packet::Connect(_) => {
                        return Err(io::Error::other(format!("{device} sent a second CONNECT")));
                    }
                    Packet::Disconnect => {
                        to_broker.write_all(&raw).await?;
                        return Ok(());
                    }
                    _ => to_broker.write_all(&raw).await?,
                }
            }
            Ok(())
        };
        // Either end closes both.
        tokio::select! {
            ended = up => ended,
            ended = down => ended,
        }
    }
}

fn encode(packet: &Packet) -> io::Result<Vec<u8>> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, MAX_PACKET_BYTES).map_err(io::Error::other)?;
    Ok(bytes.to_vec())
}

/// Length of the packet that a buffer begins with, once it is whole.
fn whole_packet(buffer: &BytesMut) -> io::Result<Option<usize>> {
    match mqttbytes::check(buffer.iter(), usize::MAX) {
        Ok(header) => Ok(Some(header.frame_length())),
        Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// What a device sends.
struct Session {
    device: DeviceName,
    acl: Acl,
    reader: ReadHalf<TlsStream<TcpStream>>,
    buffer: BytesMut,
    budget: Budget,
}

impl Session {
    /// The next packet, and its bytes; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<(Packet, Vec<u8>)>> {
        loop {
            match mqttbytes::check(self.buffer.iter(), MAX_PACKET_BYTES) {
                Ok(header) => {
                    let raw = self.buffer.split_to(header.frame_length());
                    let bytes = raw.to_vec();
                    let mut raw = raw;
                    let packet = Packet::read(&mut raw, MAX_PACKET_BYTES).map_err(io::Error::other)?;
                    self.budget.spend(bytes.len()).await;
                    return Ok(Some((packet, bytes)));
                }
                Err(mqttbytes::Error::InsufficientBytes(_)) => {
                    if self.reader.read_buf(&mut self.buffer).await? == 0 {
                        return Ok(None);
                    }
                }
                Err(error) => {
                    return Err(io::Error::other(format!(
                        "{} does not speak MQTT 3.1.1: {error}",
                        self.device
                    )));
                }
            }
        }
    }
}

/// How much may be passed on: two buckets that fill with time (the leaky bucket as a meter, ITU-T I.371).
struct Budget {
    packets: f64,
    bytes: f64,
    at: Instant,
}

impl Budget {
    fn new() -> Self {
        Self { packets: PACKETS_PER_S * BURST_S, bytes: BYTES_PER_S * BURST_S, at: Instant::now() }
    }

    /// Waits until a packet of this size may pass.
    async fn spend(&mut self, bytes: usize) {
        let now = Instant::now();
        let short_s = self.short_s(bytes, now);
        if short_s > 0.0 {
            sleep_until(now + Duration::from_secs_f64(short_s)).await;
        }
    }

    /// Takes a packet's share; gives how long it has to wait for it, seconds.
    fn short_s(&mut self, bytes: usize, now: Instant) -> f64 {
        let elapsed_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.packets = (self.packets + elapsed_s * PACKETS_PER_S).min(PACKETS_PER_S * BURST_S) - 1.0;
        self.bytes = (self.bytes + elapsed_s * BYTES_PER_S).min(BYTES_PER_S * BURST_S) - bytes as f64;
        (-self.packets / PACKETS_PER_S).max(-self.bytes / BYTES_PER_S).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_slowed_to_the_rate_and_a_quiet_device_never_waits() {
        let mut budget = Budget::new();
        let start = budget.at;
        let mut now = start;
        let packets = 10_000;
        for _ in 0..packets {
            now += Duration::from_secs_f64(budget.short_s(100, now));
        }
        let took_s = (now - start).as_secs_f64();
        // The burst is free.
        let wanted_s = f64::from(packets) / PACKETS_PER_S - BURST_S;
        assert!((took_s - wanted_s).abs() < 0.01, "{took_s} s instead of {wanted_s} s");

        let mut quiet = Budget::new();
        for second in 1..100 {
            let now = quiet.at + Duration::from_secs(1);
            assert!(quiet.short_s(1_000_000, now) <= 0.0, "waited in second {second}");
        }
        let mut heavy = Budget::new();
        let now = heavy.at;
        assert!(heavy.short_s(16_000_000, now) > 0.9, "bytes count as well");
    }
}
