//! NATS servers of the tests' own: a cluster on loopback whose members can be killed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const AT_MOST: Duration = Duration::from_secs(40);

/// Some servers with JetStream that know one another.
pub struct Cluster {
    binary: PathBuf,
    dir: tempfile::TempDir,
    servers: Vec<(SocketAddr, Option<Child>)>,
    /// Where leaf nodes knock.
    leaves: Vec<SocketAddr>,
}

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Cluster {
    /// `None`, and a visible line, where nats-server is not installed. The environment variable
    /// `LINEFREE_NATS_SERVER` names a binary elsewhere.
    pub fn start(count: usize) -> Option<Self> {
        let named = std::env::var("LINEFREE_NATS_SERVER").ok();
        let known = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"].map(str::to_owned);
        let Some(binary) = named.into_iter().chain(known).find(|path| Path::new(path).exists()) else {
            println!("skipped: no nats-server binary here (apt-get install nats-server)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let clients: Vec<SocketAddr> = (0..count).map(|_| free_addr()).collect();
        let routes: Vec<SocketAddr> = (0..count).map(|_| free_addr()).collect();
        let leaves: Vec<SocketAddr> = (0..count).map(|_| free_addr()).collect();
        let known: Vec<String> = routes.iter().map(|r| format!("\"nats://{r}\"")).collect();
        for (n, (client, route)) in clients.iter().zip(&routes).enumerate() {
            let mut config = format!(
                "server_name: s{n}\nlisten: \"{client}\"\njetstream {{ store_dir: \"{}\", max_file_store: 256MB, domain: hub }}\n",
                dir.path().join(format!("data-{n}")).display()
            );
            config += &format!("leafnodes {{ listen: \"{}\" }}\n", leaves[n]);
            if count > 1 {
                config += &format!(
                    "cluster {{ name: test, listen: \"{route}\", routes: [{}] }}\n",
                    known.join(", ")
                );
            }
            std::fs::write(dir.path().join(format!("s{n}.conf")), config).unwrap();
        }
        let servers = clients.into_iter().map(|addr| (addr, None)).collect();
        let mut cluster = Self { binary: binary.into(), dir, servers, leaves };
        for n in 0..count {
            cluster.restart(n);
        }
        cluster.wait_ready();
        Some(cluster)
    }

    /// A leader of the cluster's own is there once a stream of every server's can be made.
    fn wait_ready(&self) {
        let url = store_sync::outbox::nats::TrunkUrl::parse(&self.url("ready")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            loop {
                let made = async {
                    let client = url.connect("test", None).await?;
                    url.open_stream(&url.jetstream(client)).await
                };
                // Before there is a leader nobody answers.
                match tokio::time::timeout(Duration::from_secs(1), made).await {
                    Ok(Ok(_)) => return,
                    other => {
                        let told = other.map(Result::err);
                        assert!(began.elapsed() < AT_MOST, "the cluster has no leader: {told:?}");
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }

    /// Where stores find a chain's stream.
    pub fn url(&self, chain: &str) -> String {
        let hosts: Vec<String> = self.servers.iter().map(|(addr, _)| addr.to_string()).collect();
        format!("nats://{}/{chain}", hosts.join(","))
    }

    /// Ends a server at once, as a power cut does.
    #[allow(dead_code)]
    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.servers[n].1.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a server, with what it has on its disk.
    pub fn restart(&mut self, n: usize) {
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.dir.path().join(format!("s{n}.conf")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.servers[n].1 = Some(child);
        let began = Instant::now();
        while TcpStream::connect(self.servers[n].0).is_err() {
            assert!(began.elapsed() < AT_MOST, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.servers {
            if let Some(child) = child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// A server in a store, which passes everything on to a hub: no stream of its own.
#[allow(dead_code)]
pub struct Leaf {
    binary: PathBuf,
    dir: tempfile::TempDir,
    addr: SocketAddr,
    child: Option<Child>,
    hub: usize,
}

#[allow(dead_code)]
impl Leaf {
    /// A leaf node of a cluster's.
    pub fn start(hub: &Cluster) -> Self {
        let (dir, addr) = (tempfile::tempdir().unwrap(), free_addr());
        let remotes: Vec<String> = hub.leaves.iter().map(|l| format!("\"nats-leaf://{l}\"")).collect();
        // A hub that is gone is asked again every second.
        let config = format!(
            "listen: \"{addr}\"\nleafnodes {{ reconnect: 1, remotes: [ {{ urls: [{}] }} ] }}\n",
            remotes.join(", ")
        );
        std::fs::write(dir.path().join("leaf.conf"), config).unwrap();
        let hub_size = hub.servers.len();
        let mut leaf = Self { binary: hub.binary.clone(), dir, addr, child: None, hub: hub_size };
        leaf.restart();
        leaf
    }

    /// Where the store finds the chain's stream: in the hub's domain, and kept by the whole hub if it has to be made.
    pub fn url(&self, chain: &str) -> String {
        format!("nats://{}/{chain}?domain=hub&replicas={}", self.addr, self.hub)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it (again).
    pub fn restart(&mut self) {
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.dir.path().join("leaf.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            assert!(began.elapsed() < AT_MOST, "the leaf node does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.kill();
    }
}
