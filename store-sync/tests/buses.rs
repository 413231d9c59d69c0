//! The whole store on a broker of somebody else's: Mosquitto, and NATS' MQTT. Only the URL differs. The broker is killed
//! under load and comes back empty. Skips what is not installed.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod corner;
mod feed;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corner::{publisher, settings};
use feed::*;
use linefree_bus::url::BusUrl;
use store_sync::ledger::LedgerReader;
use store_sync::serve::{Bus, DataDir, Server, Settings};

const AT_MOST: Duration = Duration::from_secs(60);

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A broker's process.
struct Broker {
    program: String,
    config: tempfile::NamedTempFile,
    addr: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start(programs: &[String], config: impl FnOnce(SocketAddr, &Path) -> String) -> Option<Self> {
        let Some(program) = programs.iter().find(|p| Path::new(p).exists()) else {
            println!("skipped: none of {programs:?} is here");
            return None;
        };
        let (addr, dir) = (free_addr(), tempfile::tempdir().unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config(addr, dir.path())).unwrap();
        let child = Self::spawn(program, file.path());
        let broker = Self { program: program.clone(), config: file, addr, child, _dir: dir };
        broker.wait();
        Some(broker)
    }

    fn mosquitto() -> Option<Self> {
        let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(str::to_owned);
        Self::start(&programs, |addr, _| {
            format!(
                "persistence false\nmax_queued_messages 0\nset_tcp_nodelay true\nlistener {} 127.0.0.1\n\
                 allow_anonymous true\n",
                addr.port()
            )
        })
    }

    fn nats() -> Option<Self> {
        let named = std::env::var("LINEFREE_NATS_SERVER").ok();
        let known = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"].map(str::to_owned);
        let programs: Vec<String> = named.into_iter().chain(known).collect();
        Self::start(&programs, |addr, dir| {
            format!(
                "listen: \"{}\"\nserver_name: bus\njetstream {{ store_dir: \"{}\" }}\nmqtt {{ listen: \"{addr}\" }}\n",
                free_addr(),
                dir.display()
            )
        })
    }

    fn spawn(program: &str, config: &Path) -> Child {
        let mut command = Command::new(program);
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait(&self) {
        let began = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            assert!(began.elapsed() < AT_MOST, "{} does not listen", self.program);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.program, self.config.path());
        self.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn a_day_on(mut broker: Broker) {
    const VISITS: usize = 120;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let bus = Bus::At(BusUrl::of_addr(broker.addr));
    let server = Server::start(Settings { bus, ..settings(&data) }).await.unwrap();
    let (_client, floor) = publisher(&server, dir.path(), "floor-1").await;
    for n in 0..VISITS {
        let visit = format!("v{n}");
        floor.publish(START_US, opened(&visit)).await.unwrap();
        floor.publish(START_US, closed(&visit, 0, 9, vec![line("milk", 2, 0.97, false)])).await.unwrap();
        if n == VISITS / 3 {
            broker = tokio::task::spawn_blocking(move || {
                broker.kill_and_restart();
                broker
            })
            .await
            .unwrap();
        }
    }
    floor.wait_acked(AT_MOST).await.unwrap();
    server.stop().await.unwrap();
    let reader = LedgerReader::open(&DataDir::ledger_in(&data)).unwrap();
    let receipts = reader.receipts(1000).unwrap();
    assert_eq!(receipts.len(), VISITS);
    assert!(receipts.iter().all(|r| r.charge_minor == 398));
    let of_floor = reader.sources().unwrap();
    assert!(
        of_floor.iter().any(|s| s.source == "floor-1" && s.contiguous_seq == 2 * VISITS as u64),
        "{of_floor:?}"
    );
    assert_eq!(reader.check().unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_mosquitto_loses_nothing_when_it_is_killed() {
    if let Some(broker) = Broker::mosquitto() {
        a_day_on(broker).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_nats_mqtt_loses_nothing_when_it_is_killed() {
    if let Some(broker) = Broker::nats() {
        a_day_on(broker).await;
    }
}
