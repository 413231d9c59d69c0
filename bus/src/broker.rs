//! The embedded broker: rumqttd, MQTT 3.1.1, in this process.
//!
//! What it is good for: a store's own bus without a service to install. What it is not: durable. It keeps
//! messages in memory, at most [`SEGMENTS_PER_FILTER`] x [`SEGMENT_BYTES`] for each topic filter, and silently
//! drops the oldest for subscribers that lag further behind; retained messages are gone after a restart. Sources,
//! receivers and [`client`](crate::client) are built for that.
//!
//! It does not switch off Nagle's algorithm, so a lone message may wait some 40 ms for the receiver's delayed TCP
//! acknowledgement (measured: an event and its acknowledgement take 44 ms, with Mosquitto's `set_tcp_nodelay`
//! 0.6 ms); under load it does not matter.
//!
//! It cannot be stopped: rumqttd has no way to. It ends with the process. It cannot report the port that the
//! system chose for port 0 either, so a free port is probed first; another process could take it in between, which
//! [`EmbeddedBroker::start`] notices and, for port 0, tries again with another one.
//!
//! It speaks no TLS, so it listens on loopback only, unless told that something which does TLS stands before it
//! ([`BrokerConfig::behind_tls`]): the [`gatekeeper`](crate::gatekeeper) is that for other machines.

use crate::codec::MAX_PAYLOAD_BYTES;
use crate::url::{BusUrl, Login};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Size of one segment of a topic filter's memory.
pub const SEGMENT_BYTES: usize = 1024 * 1024;

/// Segments kept in memory for each topic filter.
pub const SEGMENTS_PER_FILTER: usize = 8;

/// How long a broker may take to answer its first CONNECT.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Ports tried when a free one is wanted.
const PORT_ATTEMPTS: usize = 5;

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error("the bus cannot listen on {addr}: {source}; is another broker running there?")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker came up but does not answer.
    #[error("the embedded broker on {addr} did not answer within {} s: {why}", START_TIMEOUT.as_secs())]
    Silent {
        /// Which address.
        addr: SocketAddr,
        /// The last thing that was seen.
        why: String,
    },
    /// Other machines would reach it without TLS.
    #[error(
        "the embedded broker on {addr} could be reached from other machines without TLS: let devices in by --guard, or \
         listen on 127.0.0.1, or put a proxy that does TLS before it and say so with --broker-behind-tls"
    )]
    Exposed {
        /// Which address.
        addr: SocketAddr,
    },
    /// Its thread could not be started.
    #[error("the embedded broker's thread: {0}")]
    Thread(std::io::Error),
}

/// How the broker runs.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where it listens; port 0 for any free port.
    pub listen: SocketAddr,
    /// The one login that devices use; `None` lets everybody in.
    pub login: Option<Login>,
    /// Connections at once; more are refused.
    pub max_connections: usize,
    /// Something that does TLS stands before it: then, and only then, it may listen beyond loopback.
    pub behind_tls: bool,
}

impl BrokerConfig {
    /// On a free port of 127.0.0.1, without a login.
    #[must_use]
    pub fn loopback() -> Self {
        Self::on(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// On this address, without a login.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self { listen, login: None, max_connections: 1_000, behind_tls: false }
    }
}

/// A broker that runs within this process until the process ends.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    addr: SocketAddr,
    login: Option<Login>,
}

impl EmbeddedBroker {
    /// Starts it and returns when it has answered a CONNECT.
    ///
    /// # Errors
    /// [`BrokerError`] when the address is taken or the broker does not answer.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        if !config.listen.ip().is_loopback() && !config.behind_tls {
            return Err(BrokerError::Exposed { addr: config.listen });
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::start_once(&config).await {
                Ok(broker) => return Ok(broker),
                Err(error) if config.listen.port() == 0 && attempt < PORT_ATTEMPTS => {
                    tracing::warn!(%error, attempt, "trying another port for the embedded broker");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_once(config: &BrokerConfig) -> Result<Self, BrokerError> {
        // rumqttd only logs when it cannot bind, so the address is tried first, and with port 0 settled.
        let listen_error = |source| BrokerError::Listen { addr: config.listen, source };
        let addr = {
            let probe = TcpListener::bind(config.listen).map_err(listen_error)?;
            probe.local_addr().map_err(listen_error)?
        };
        let ended = Arc::new(AtomicBool::new(false));
        let mut broker = rumqttd::Broker::new(settings(config, addr));
        let flag = Arc::clone(&ended);
        std::thread::Builder::new()
            .name("bus-broker".to_owned())
            .spawn(move || {
                if let Err(error) = broker.start() {
                    tracing::error!(%error, "the embedded broker failed");
                }
                flag.store(true, Ordering::Release);
            })
            .map_err(BrokerError::Thread)?;
        let broker = Self { addr, login: config.login.clone() };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let why = match broker.say_hello().await {
                Ok(()) => {
                    tracing::info!(%addr, "the embedded broker accepts connections");
                    return Ok(broker);
                }
                Err(error) => error.to_string(),
            };
            if ended.load(Ordering::Acquire) || Instant::now() >= deadline {
                return Err(BrokerError::Silent { addr, why });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its URL, as devices on this machine use it.
    #[must_use]
    pub fn url(&self) -> BusUrl {
        let url = BusUrl::of_addr(reachable(self.addr));
        match &self.login {
            Some(login) => url.with_login(login.clone()),
            None => url,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One CONNECT, one CONNACK, one DISCONNECT, by hand: this must not need a client that reconnects.
    async fn say_hello(&self) -> std::io::Result<()> {
        let hello = async {
            let mut socket = TcpStream::connect(reachable(self.addr)).await?;
            socket.write_all(&connect_packet(self.login.as_ref())).await?;
            let mut connack = [0_u8; 4];
            socket.read_exact(&mut connack).await?;
            socket.write_all(&[0xe0, 0]).await?;
            // CONNACK is 0x20, length 2, flags, return code (MQTT 3.1.1, section 3.2).
            match connack {
                [0x20, 2, _, 0] => Ok(()),
                other => Err(std::io::Error::other(format!("it answered {other:02x?}"))),
            }
        };
        timeout(Duration::from_secs(2), hello)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// Listening everywhere is reached on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// MQTT 3.1.1, section 3.1: clean session, keep-alive 10 s.
fn connect_packet(login: Option<&Login>) -> Vec<u8> {
    let mut flags = 0x02_u8;
    let mut fields = vec!["linefree-start-check".as_bytes()];
    if let Some(login) = login {
        flags |= 0xc0;
        fields.push(login.username.as_bytes());
        fields.push(login.password.as_bytes());
    }
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 10];
    for field in fields {
        // Logins are short; anything longer than a u16 is cut and then refused by the broker.
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        body.extend(length.to_be_bytes());
        body.extend(&field[..usize::from(length)]);
    }
    let mut packet = vec![0x10];
    let mut rest = body.len();
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        packet.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn settings(config: &BrokerConfig, listen: SocketAddr) -> rumqttd::Config {
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 10_000,
        // A payload of the codec's limit, its topic and the header.
        max_payload_size: MAX_PAYLOAD_BYTES + 1024,
        max_inflight_count: 200,
        auth: config.login.as_ref().map(|l| HashMap::from([(l.username.clone(), l.password.clone())])),
        external_auth: None,
        // Topics come into being when somebody first publishes or subscribes to them.
        dynamic_filters: true,
    };
    let server = rumqttd::ServerSettings {
        name: "bus".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: config.max_connections,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS_PER_FILTER,
            ..rumqttd::RouterConfig::default()
        },
        v4: Some(HashMap::from([("bus".to_owned(), server)])),
        ..rumqttd::Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_listens_when_start_returns_and_refuses_strangers() {
        let login = Login { username: "store".to_owned(), password: "secret".to_owned() };
        let config = BrokerConfig { login: Some(login), ..BrokerConfig::loopback() };
        let broker = EmbeddedBroker::start(config).await.unwrap();
        assert_ne!(broker.addr().port(), 0);
        broker.say_hello().await.unwrap();
        let stranger = EmbeddedBroker { addr: broker.addr(), login: None };
        assert!(stranger.say_hello().await.is_err());
    }

    #[tokio::test]
    async fn a_taken_address_is_said_to_be_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let error = EmbeddedBroker::start(BrokerConfig::on(addr)).await.unwrap_err();
        assert!(matches!(error, BrokerError::Listen { .. }), "{error}");
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }

    #[tokio::test]
    async fn other_machines_are_listened_to_behind_tls_only() {
        for everywhere in ["0.0.0.0:0", "[::]:0"] {
            let config = BrokerConfig::on(everywhere.parse().unwrap());
            let told = EmbeddedBroker::start(config).await.unwrap_err().to_string();
            assert!(told.contains("without TLS") && told.contains("--broker-behind-tls"), "{told}");
        }
        let config = BrokerConfig { behind_tls: true, ..BrokerConfig::on("0.0.0.0:0".parse().unwrap()) };
        assert!(EmbeddedBroker::start(config).await.unwrap().addr().ip().is_unspecified());
    }
}
