//! What the bus's tests share: brokers to test against, and a source and a ledger around them.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)] // Each test binary uses its own part; see clippy.toml.

use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming};
use linefree_bus::payload::{EventBody, GateDirection, GatePassed, Status};
use linefree_bus::topic::Subscription;
use linefree_bus::url::BusUrl;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// Bound of every wait on real I/O; never reached when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A free port of loopback.
pub fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A Mosquitto process of our own.
pub struct Mosquitto {
    child: Child,
    pub addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Mosquitto {
    /// `None`, and a visible line, where Mosquitto is not installed.
    pub async fn start() -> Option<Self> {
        let binary = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(binary) = binary else {
            eprintln!("skipped: no mosquitto binary here (apt-get install mosquitto)");
            return None;
        };
        Self::start_with(binary, "allow_anonymous true\n").await
    }

    /// With mutual TLS and access rules, from the files of an identity folder; as root, who made them.
    pub async fn start_guarded(dir: &Path) -> Option<Self> {
        let binary = "/usr/sbin/mosquitto";
        if !Path::new(binary).exists() {
            eprintln!("skipped: no mosquitto binary here (apt-get install mosquitto)");
            return None;
        }
        let file = |name: &str| dir.join(name).display().to_string();
        let settings = format!(
            "user root\ncafile {}\ncertfile {}\nkeyfile {}\ncrlfile {}\nacl_file {}\nrequire_certificate true\n\
             use_identity_as_username true\nuse_username_as_clientid true\nallow_anonymous false\n",
            file("ca.pem"),
            file("bus.pem"),
            file("bus.key"),
            file("crl.pem"),
            file("acl")
        );
        Self::start_with(binary, &settings).await
    }

    async fn start_with(binary: &str, settings: &str) -> Option<Self> {
        let addr = free_addr();
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "persistence false\nmax_queued_messages 0\nset_tcp_nodelay true\nlistener {} 127.0.0.1\n{settings}",
            addr.port()
        );
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::spawn(binary, dir.path());
        let this = Self { child, addr, dir };
        this.wait().await;
        Some(this)
    }

    fn spawn(binary: &str, dir: &Path) -> Child {
        Command::new(binary)
            .arg("-c")
            .arg(dir.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn wait(&self) {
        let connect = async {
            while tokio::net::TcpStream::connect(self.addr).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, connect).await.expect("mosquitto does not listen");
    }

    /// Kills it without warning and starts an empty one on the same port.
    pub async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn("/usr/sbin/mosquitto", self.dir.path());
        self.wait().await;
    }

    pub fn url(&self) -> BusUrl {
        BusUrl::of_addr(self.addr)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A nats-server process of our own, with JetStream, which its MQTT needs.
pub struct Nats {
    child: Child,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nats {
    /// `None`, and a visible line, where nats-server is not installed. The environment variable
    /// `LINEFREE_NATS_SERVER` names a binary elsewhere.
    pub async fn start() -> Option<Self> {
        let named = std::env::var("LINEFREE_NATS_SERVER").ok();
        let known = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"].map(str::to_owned);
        let Some(binary) = named.into_iter().chain(known).find(|path| Path::new(path).exists()) else {
            eprintln!("skipped: no nats-server binary here (apt-get install nats-server)");
            return None;
        };
        let addr = free_addr();
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "listen: \"{}\"\nserver_name: bus\njetstream {{ store_dir: \"{}\" }}\nmqtt {{ listen: \"{addr}\" }}\n",
            free_addr(),
            dir.path().display()
        );
        let path = dir.path().join("nats.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(binary)
            .arg("-c")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let connect = async {
            while tokio::net::TcpStream::connect(addr).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, connect).await.expect("nats-server does not listen");
        Some(Self { child, addr, _dir: dir })
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The embedded broker in a process of its own, so that it can be killed: the test binary runs itself, and only
/// the test `broker_child`.
pub struct EmbeddedProcess {
    child: Child,
    pub addr: SocketAddr,
}

/// Where a test binary that was started as a broker listens.
pub const LISTEN_ENV: &str = "LINEFREE_TEST_BROKER";

impl EmbeddedProcess {
    pub async fn start() -> Self {
        let addr = free_addr();
        let this = Self { child: Self::spawn(addr), addr };
        this.wait().await;
        this
    }

    fn spawn(addr: SocketAddr) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "broker_child"])
            .env(LISTEN_ENV, addr.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn wait(&self) {
        let connect = async {
            while tokio::net::TcpStream::connect(self.addr).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, connect).await.expect("the broker's process does not listen");
    }

    pub async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.addr);
        self.wait().await;
    }
}

impl Drop for EmbeddedProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that can be killed.
pub enum Mortal {
    Embedded(EmbeddedProcess),
    Mosquitto(Mosquitto),
}

impl Mortal {
    pub fn url(&self) -> BusUrl {
        BusUrl::of_addr(match self {
            Self::Embedded(broker) => broker.addr,
            Self::Mosquitto(broker) => broker.addr,
        })
    }

    pub async fn kill_and_restart(&mut self) {
        match self {
            Self::Embedded(broker) => broker.kill_and_restart().await,
            Self::Mosquitto(broker) => broker.kill_and_restart().await,
        }
    }
}

/// Every broker there is to test against.
pub struct Brokers {
    pub urls: Vec<(&'static str, BusUrl)>,
    _mosquitto: Option<Mosquitto>,
    _nats: Option<Nats>,
}

pub async fn brokers() -> Brokers {
    let embedded = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let mosquitto = Mosquitto::start().await;
    let mut urls = vec![("embedded", embedded.url())];
    urls.extend(mosquitto.as_ref().map(|m| ("mosquitto", m.url())));
    let nats = Nats::start().await;
    urls.extend(nats.as_ref().map(|n| ("nats-server", BusUrl::of_addr(n.addr))));
    Brokers { urls, _mosquitto: mosquitto, _nats: nats }
}

pub fn config(url: &BusUrl, source: &str, subscriptions: &[Subscription]) -> BusConfig {
    let mut config = BusConfig::new(url.clone(), "nano", Status::online(source, "test", "0.0.0"));
    config.subscriptions = subscriptions.to_vec();
    config.limits.max_pause = Duration::from_millis(300);
    config
}

pub async fn connect(url: &BusUrl, source: &str, subscriptions: &[Subscription]) -> (BusClient, Inbox) {
    let (client, inbox) = BusClient::connect(config(url, source, subscriptions)).unwrap();
    client.wait_connected(PATIENCE).await.unwrap();
    (client, inbox)
}

/// The first message that a filter picks; fails after [`PATIENCE`].
pub async fn wait_for<T>(inbox: &mut Inbox, what: &str, mut pick: impl FnMut(Incoming) -> Option<T>) -> T {
    let search = async {
        loop {
            let message = inbox.recv().await.expect("the client is closed");
            if let Some(found) = pick(message) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

pub fn body(n: u32) -> EventBody {
    EventBody::GatePassed(GatePassed {
        gate: "door".to_owned(),
        direction: GateDirection::Entry,
        credential: Some(format!("c{n}")),
        party: n,
    })
}
