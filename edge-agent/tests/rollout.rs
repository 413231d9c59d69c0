//! Releases on a real agent: tried, kept, refused by name, and left again when they are bad. The test is the server.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

mod device;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device::{Agent, agent, line, speak};
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::payload::{InForce, Status, Wanted};
use linefree_bus::release::{PUBLIC_DER, Release, ReleaseChanges, ReleasedFacing, signed_bytes};
use linefree_bus::topic::{Subscription, TopicKind};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server's key, as it makes it.
fn new_key() -> Ed25519KeyPair {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap()
}

fn store_toml(scale: &Path) -> String {
    format!(
        r#"format = 1
[store]
id = "live"
name = "Live"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 4], [0, 4]]
[[gate]]
id = "door"
kind = "both"
segment = [[2.0, 0.0], [3.0, 0.0]]
[[gondola]]
id = "1"
origin = [0, 2, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "1"
height_m = 1.2
plates = [{{ id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] }}]
[[product]]
sku = "632565000012"
name = "Water"
price = 199
weight_g = 538.0
[[facing]]
sku = "632565000012"
plates = ["1/1/1"]
[[source]]
plates = ["1/1/1"]
url = "serial:{}"
driver = "and"
capacity_g = 30000
"#,
        scale.display()
    )
}

/// A shelf device with a scale that speaks, and the server's side of the bus.
struct Bench {
    folder: tempfile::TempDir,
    broker: EmbeddedBroker,
    key: Ed25519KeyPair,
    server: BusClient,
    inbox: Inbox,
    scale: PathBuf,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
        let key = new_key();
        let der = [&PUBLIC_DER[..], key.public_key().as_ref()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        std::fs::write(folder.path().join("release-key.pub.pem"), pem).unwrap();
        let (far, scale) = line();
        std::thread::spawn(move || speak(far, &AtomicI32::new(5_000)));
        std::fs::write(folder.path().join("store.toml"), store_toml(&scale)).unwrap();
        let status = Status::online("ledger", "ledger", "test");
        let config =
            BusConfig::new(broker.url(), "live", status).subscribe(Subscription::all(TopicKind::InForce));
        let (server, inbox) = BusClient::connect(config).unwrap();
        server.wait_connected(PATIENCE).await.unwrap();
        Self { folder, broker, key, server, inbox, scale }
    }

    fn agent(&self) -> Agent {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = agent(&["shelf", "--bus", &self.broker.url().to_string(), "--config"]);
        command.arg(path("store.toml"));
        command.arg("--release-key").arg(path("release-key.pub.pem")).arg("--data").arg(path("data"));
        Agent(command.stderr(Stdio::null()).spawn().unwrap())
    }

    fn release(&self, number: u64, trial_s: u32) -> Release {
        Release {
            store: "live".into(),
            number,
            why: "a test".into(),
            trial_s,
            store_toml: store_toml(&self.scale),
            changes: ReleaseChanges::default(),
        }
    }

    fn publish(&self, release: &Release, key: &Ed25519KeyPair) {
        let text = serde_json::to_string(release).unwrap();
        let signature = key.sign(&signed_bytes(&text));
        let signature = signature.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        self.server.publish(Outgoing::Wanted(Wanted { source: "shelf-1".into(), text, signature })).unwrap();
    }

    fn want(&self, release: &Release) {
        self.publish(release, &self.key);
    }

    /// Waits for a report.
    async fn until(&mut self, what: &str, mut fits: impl FnMut(&InForce) -> bool) -> InForce {
        let mut last = None;
        let found = async {
            loop {
                match self.inbox.recv().await {
                    Some(Incoming::InForce(report)) if fits(&report) => return report,
                    Some(Incoming::InForce(report)) => last = Some(report),
                    Some(_) => {}
                    None => panic!("the bus client ended"),
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}; the last report was {last:?}"))
    }

    /// Waits until the trial was begun so often: on the disk, because reports of an earlier process may be on their way.
    async fn starts(&self, often: u32) {
        let state = self.folder.path().join("data/release/1-shelf/state.json");
        let began = std::time::Instant::now();
        while !std::fs::read_to_string(&state).unwrap().contains(&format!("\"starts\": {often}")) {
            assert!(began.elapsed() < PATIENCE, "no start number {often}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a release is refused; gives the reason.
    async fn refused(&mut self, number: u64, stays: u64) -> String {
        let refuses = |r: &InForce| !r.trial && r.refused.as_ref().is_some_and(|r| r.number == number);
        let report = self.until(&format!("refusal of {number}"), refuses).await;
        assert_eq!(report.number, stays, "{report:?}");
        report.refused.unwrap().reason
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_releases_stay_and_bad_ones_are_refused_or_left_again() {
    let mut bench = Bench::new().await;
    let mut agent = bench.agent();
    bench.until("birth", |r| r.number == 0 && !r.trial && r.refused.is_none()).await;

    let mut planned = bench.release(3, 2);
    let facing = ReleasedFacing { sku: "632565000012".into(), plates: vec!["1/1/1".into()] };
    planned.changes.facings = Some(vec![facing.clone()]);
    planned.changes.review_below = Some(0.8);
    bench.want(&planned);
    bench.until("trial", |r| r.number == 3 && r.trial).await;
    bench.until("end of the trial", |r| r.number == 3 && !r.trial).await;
    assert!(agent.0.try_wait().unwrap().is_none(), "it is still the same process");

    // What cannot be run by is refused without being tried.
    let mut broken = bench.release(4, 2);
    broken.store_toml = broken.store_toml.replace("height_m = 1.2", "height_m = \"high\"");
    bench.want(&broken);
    let told = bench.refused(4, 3).await;
    assert!(told.contains("store.toml of release 4") && told.contains("height_m"), "{told}");
    let mut elsewhere = bench.release(5, 2);
    elsewhere.changes.facings = Some(vec![ReleasedFacing { plates: vec!["1/1/9".into()], ..facing }]);
    bench.want(&elsewhere);
    let told = bench.refused(5, 3).await;
    assert!(told.contains("no plate \"1/1/9\""), "{told}");
    bench.want(&Release { store: "other".into(), ..bench.release(6, 2) });
    assert!(bench.refused(0, 3).await.contains("of store other"));
    bench.publish(&bench.release(7, 2), &new_key());
    bench
        .until("refusal of a forgery", |r| {
            r.number == 3 && r.refused.as_ref().is_some_and(|r| r.reason.contains("not signed by"))
        })
        .await;

    // What can be run by and is not well is left again, by the device itself.
    let mut blind = bench.release(8, 4);
    blind.store_toml = store_toml(Path::new("/dev/null/none"));
    bench.want(&blind);
    bench.until("trial of 8", |r| r.number == 8 && r.trial).await;
    let told = bench.refused(8, 3).await;
    assert!(told.contains("/dev/null/none: scale_lost"), "{told}");

    // An old message, replayed, changes nothing; the next good one does.
    bench.want(&bench.release(2, 2));
    bench.want(&blind);
    bench.want(&bench.release(9, 2));
    let report = bench.until("release 9", |r| r.number == 9 && !r.trial).await;
    assert_eq!(report.refused, None);

    // Off for a month, while thirty releases went by: it comes back to the newest, whole.
    drop(agent);
    for number in 10..40 {
        bench.want(&bench.release(number, 1));
    }
    agent = bench.agent();
    // Their content is that of release 9: it is taken under its new number, and nothing needs to be tried.
    bench.until("release 39", |r| r.number == 39 && !r.trial).await;
    drop(agent);
    let names = |folder: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let kept = bench.folder.path().join("data/release/1-shelf");
    assert!(names(&kept).contains(&"39.json".to_owned()), "{:?}", names(&kept));

    // Somebody has changed it on the disk: it is found out, and the device's own store.toml is what is left.
    let text = std::fs::read_to_string(kept.join("39.json")).unwrap();
    std::fs::write(kept.join("39.json"), text.replace("Berlin", "Madrid")).unwrap();
    let _agent = bench.agent();
    let told = bench.until("doubt", |r| r.refused.is_some()).await;
    assert!(told.refused.unwrap().reason.contains("release 39 on disk: release is not signed by"));
    // The broker still has it, whole.
    bench.until("release 39 again", |r| r.number == 39 && !r.trial && r.refused.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_kills_its_process_is_left_at_the_third_start() {
    let mut bench = Bench::new().await;
    let agent = bench.agent();
    let good = bench.release(1, 1);
    bench.want(&good);
    bench.until("release 1", |r| r.number == 1 && !r.trial).await;
    // Its trial would take an hour; it dies before.
    let mut deadly = bench.release(2, 3_600);
    deadly.store_toml.push_str("# another\n");
    bench.want(&deadly);
    bench.until("trial", |r| r.number == 2 && r.trial).await;
    bench.starts(1).await;
    drop(agent);
    let agent = bench.agent();
    bench.starts(2).await;
    drop(agent);
    let _agent = bench.agent();
    let told = bench.refused(2, 1).await;
    assert!(told.contains("never came to the end of its trial"), "{told}");
}
