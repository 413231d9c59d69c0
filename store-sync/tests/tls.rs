//! The uplink over mutual TLS: a store gets in as itself; everybody else is refused by name.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod feed;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use feed::*;
use linefree_bus::identity::{Authority, CLOUD, Clients, DeviceName, IdentityDir, OPERATOR, UPLINK};
use store_sync::cloud::listen::{Peer, TlsListener};
use store_sync::cloud::receive::{CloudEvents, Credentials, guarded};
use store_sync::downlink::AskCommands;
use store_sync::ledger::Ledger;
use store_sync::outbox::http::HttpCloud;
use store_sync::outbox::{DeliveryError, Outbox, Step};

const DAY_S: u64 = 86_400;

/// A chain's authority and the files that it has signed, each in a folder of its own.
struct Chain {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Chain {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("ca"), "fresh-mart").unwrap();
        Self { dir, authority }
    }

    /// Signs a key of a folder; gives the folder, which trusts this chain.
    fn sign(&mut self, folder: &str, name: &DeviceName, days: i64) -> PathBuf {
        let path = self.dir.path().join(folder);
        let files = IdentityDir::new(&path);
        let hosts = if name.role == CLOUD { vec!["127.0.0.1".to_owned()] } else { Vec::new() };
        let request = std::fs::read_to_string(files.prepare(name, &hosts).unwrap()).unwrap();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let until_s = now_s.checked_add_signed(days * DAY_S.cast_signed()).unwrap();
        let (_, pem) = self.authority.sign_until(&request, until_s).unwrap();
        std::fs::write(files.certificate(&name.source), pem).unwrap();
        std::fs::write(files.ca(), self.authority.ca_pem()).unwrap();
        path
    }

    fn store(&mut self, folder: &str, store: &str) -> PathBuf {
        self.sign(folder, &DeviceName::new(store, store, UPLINK).unwrap(), 90)
    }

    /// A cloud that this chain has signed.
    fn cloud(&mut self, clients: Clients, chain_token: Option<&str>) -> SocketAddr {
        let files = self.sign("cloud", &DeviceName::new("fresh-mart", "cloud", CLOUD).unwrap(), 90);
        std::fs::copy(self.dir.path().join("ca/crl.pem"), files.join("crl.pem")).unwrap();
        self.serve(files, clients, chain_token)
    }

    fn serve(&self, files: PathBuf, clients: Clients, chain_token: Option<&str>) -> SocketAddr {
        let events = CloudEvents::open(&self.dir.path().join("cloud.sqlite")).unwrap();
        let credentials = Credentials {
            chain: chain_token.map(str::to_owned),
            certificates: clients == Clients::Certified,
            ..Credentials::default()
        };
        let app = guarded(events, credentials).into_make_service_with_connect_info::<Peer>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let listener = TlsListener::new(listener, IdentityDir::new(files), clients).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        told.recv().unwrap()
    }
}

/// A store with a morning behind it.
fn ledger(dir: &Path, store: &str) -> PathBuf {
    let path = dir.join(format!("{store}.sqlite"));
    Ledger::open(&path, store, 1).unwrap().append(&morning(), 2).unwrap();
    path
}

fn url(addr: SocketAddr) -> String {
    format!("https://{addr}/v1/events")
}

/// Delivers a morning of a store with the files of a folder, which are of `certified`.
fn deliver(addr: SocketAddr, ledger: &Path, files: &Path, certified: &str) -> Step {
    let cloud = HttpCloud::new(&url(addr), None).unwrap().with_tls(files, certified).unwrap();
    Outbox::open(ledger, Box::new(cloud)).unwrap().step().unwrap()
}

fn refused(step: Step) -> String {
    match step {
        Step::Failed(e) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_delivers_as_itself_and_as_nobody_else() {
    let mut chain = Chain::new();
    let nano = chain.store("nano", "nano");
    let mega = chain.store("mega", "mega");
    let camera = chain.sign("camera", &DeviceName::new("nano", "nano", "camera").unwrap(), 90);
    let rosa = chain.sign("rosa", &DeviceName::new("fresh-mart", "rosa", OPERATOR).unwrap(), 90);
    let addr = chain.cloud(Clients::Certified, None);
    let of_nano = ledger(chain.dir.path(), "nano");

    // Another store's certificate is good for the connection, not for these events.
    let told = refused(deliver(addr, &of_nano, &mega, "mega"));
    assert!(told.contains("403") && told.contains("of store mega, not of nano"), "{told}");
    assert!(matches!(deliver(addr, &of_nano, &nano, "nano"), Step::Delivered { events: 19 }));

    let cloud = |files: &Path, store: &str| HttpCloud::new(&url(addr), None).unwrap().with_tls(files, store);
    assert_eq!(cloud(&nano, "nano").unwrap().commands("nano", 0).unwrap(), Some(Vec::new()));
    let told = cloud(&mega, "mega").unwrap().commands("nano", 0).unwrap_err().to_string();
    assert!(told.contains("of store mega, not of nano"), "{told}");

    // A device of the same authority is no store, and a store notices a foreign certificate before it sends anything.
    let told = cloud(&camera, "nano").err().unwrap().to_string();
    assert!(told.contains("nano.pem") && told.contains("nano (camera of nano)"), "{told}");
    let told = cloud(&nano, "mega").unwrap().commands("nano", 0).unwrap_err().to_string();
    assert!(told.contains("wants this store's certificate"), "{told}");

    // Somebody of the chain may do everything; the same by other programs' means.
    let curl = |files: &Path, name: &str, path: &str| {
        let out = std::process::Command::new("curl")
            .args(["-s", "--cacert"])
            .arg(files.join("ca.pem"))
            .arg("--cert")
            .arg(files.join(format!("{name}.pem")))
            .arg("--key")
            .arg(files.join(format!("{name}.key")))
            .arg(format!("https://{addr}{path}"))
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(curl(&rosa, "rosa", "/v1/stores"), r#"[{"events":19,"store":"nano"}]"#);
    assert!(curl(&nano, "nano", "/v1/stores").contains("this is for the whole chain"));
    assert!(curl(&camera, "nano", "/v1/stores").contains("the certificate is of nano (camera of nano)"));
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_by_name() {
    let mut chain = Chain::new();
    let nano = DeviceName::new("nano", "nano", UPLINK).unwrap();
    let good = chain.sign("nano", &nano, 90);
    let expired = chain.sign("expired", &nano, -1);
    let mut other = Chain::new();
    let foreign = other.sign("nano", &nano, 90);
    // It trusts the right cloud, and shows what the wrong authority has signed.
    std::fs::copy(good.join("ca.pem"), foreign.join("ca.pem")).unwrap();
    let revoked = chain.sign("revoked", &DeviceName::new("mega", "mega", UPLINK).unwrap(), 90);
    chain.authority.revoke("mega").unwrap();
    let addr = chain.cloud(Clients::Certified, None);
    let (nano, mega) = (ledger(chain.dir.path(), "nano"), ledger(chain.dir.path(), "mega"));

    for (files, ledger, store, why) in [
        (&expired, &nano, "nano", "has expired: renew it"),
        (&foreign, &nano, "nano", "another authority has signed"),
        (&revoked, &mega, "mega", "was revoked"),
    ] {
        let told = refused(deliver(addr, ledger, files, store));
        assert!(told.starts_with("no secure connection: the cloud") && told.contains(why), "{told}");
    }
    // And the other way round: a cloud that another authority has signed, or whose certificate is of another host or
    // has expired.
    let theirs = other.cloud(Clients::Certified, None);
    let told = refused(deliver(theirs, &nano, &good, "nano"));
    assert!(told.contains("is ca.pem in tls_dir the chain's?"), "{told}");
    let cloud = HttpCloud::new(&format!("https://localhost:{}/v1/events", addr.port()), None).unwrap();
    let told = cloud.with_tls(&good, "nano").unwrap().commands("nano", 0).unwrap_err().to_string();
    assert!(told.contains("for another host"), "{told}");
    let late = chain.sign("late", &DeviceName::new("fresh-mart", "cloud", CLOUD).unwrap(), -1);
    let late = chain.serve(late, Clients::Certified, None);
    let told = refused(deliver(late, &nano, &good, "nano"));
    assert!(told.contains("the cloud's own certificate has expired"), "{told}");
    // What was refused was not taken, and what is in order still is.
    assert!(matches!(deliver(addr, &nano, &good, "nano"), Step::Delivered { events: 19 }));
}

#[test]
fn a_certificate_that_is_revoked_ends_a_kept_connection_and_one_that_is_renewed_needs_no_restart() {
    let mut chain = Chain::new();
    let nano = chain.store("nano", "nano");
    let mega = chain.store("mega", "mega");
    let addr = chain.cloud(Clients::Certified, None);
    // Both keep their connections.
    let of =
        |files: &Path, store: &str| HttpCloud::new(&url(addr), None).unwrap().with_tls(files, store).unwrap();
    let (of_nano, of_mega) = (of(&nano, "nano"), of(&mega, "mega"));
    assert_eq!(of_nano.commands("nano", 0).unwrap(), Some(Vec::new()));
    assert_eq!(of_mega.commands("mega", 0).unwrap(), Some(Vec::new()));

    chain.authority.revoke("mega").unwrap();
    let cloud = chain.dir.path().join("cloud");
    let list = cloud.join("crl.pem");
    std::fs::copy(chain.dir.path().join("ca/crl.pem"), &list).unwrap();
    let began = Instant::now();
    let told = loop {
        match of_mega.commands("mega", 0) {
            Err(e) if e.to_string().contains("was revoked") => break e.to_string(),
            // Until the cloud has looked; then the connection ends under a question, once.
            Ok(_) | Err(DeliveryError::Unreachable(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the kept connection goes on");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(told.starts_with("no secure connection: the cloud"), "{told}");
    let ledger = ledger(chain.dir.path(), "mega");
    assert!(refused(deliver(addr, &ledger, &mega, "mega")).contains("was revoked"));
    // Whoever has done nothing is not disturbed, also not by a list that cannot be read.
    assert_eq!(of_nano.commands("nano", 0).unwrap(), Some(Vec::new()));
    std::fs::write(&list, "torn").unwrap();
    let torn = Instant::now();
    while torn.elapsed() < Duration::from_millis(700) {
        assert_eq!(of_nano.commands("nano", 0).unwrap(), Some(Vec::new()));
    }
    assert!(refused(deliver(addr, &ledger, &mega, "mega")).contains("was revoked"));
    // A new certificate of the same store is good at once.
    let again = chain.store("again", "mega");
    std::fs::copy(chain.dir.path().join("ca/crl.pem"), &list).unwrap();
    assert!(matches!(deliver(addr, &ledger, &again, "mega"), Step::Delivered { events: 19 }));
}

#[test]
fn without_certificates_of_stores_a_token_over_https_does() {
    let mut chain = Chain::new();
    let addr = chain.cloud(Clients::Anyone, Some("s3cret"));
    let files = chain.dir.path().join("trust");
    std::fs::create_dir(&files).unwrap();
    let cloud = |token: Option<&str>| {
        let file = token.map(|token| {
            let file = files.join("token");
            std::fs::write(&file, token).unwrap();
            file
        });
        HttpCloud::new(&url(addr), file).unwrap()
    };
    let told = cloud(None).with_tls(&files, "nano").err().unwrap().to_string();
    assert!(told.contains("neither ca.pem nor nano.pem"), "{told}");
    std::fs::write(files.join("ca.pem"), chain.authority.ca_pem()).unwrap();
    let asked = cloud(Some("s3cret")).with_tls(&files, "nano").unwrap().commands("nano", 0);
    assert_eq!(asked.unwrap(), Some(Vec::new()));
    let refused = cloud(None).with_tls(&files, "nano").unwrap().commands("nano", 0);
    assert!(matches!(refused, Err(DeliveryError::Refused { status: 401, .. })), "{refused:?}");
    // The public authorities do not know the chain's.
    let told = cloud(Some("s3cret")).commands("nano", 0).unwrap_err().to_string();
    assert!(told.contains("not of an authority that is trusted here"), "{told}");
    let clear = HttpCloud::new("http://127.0.0.1:1/v1/events", None).unwrap().with_tls(&files, "nano");
    assert!(clear.err().unwrap().to_string().contains("is not https://"));
}

#[test]
fn whoever_stalls_or_talks_nonsense_holds_nobody_up() {
    use std::io::{Read as _, Write as _};
    let mut chain = Chain::new();
    let nano = chain.store("nano", "nano");
    let addr = chain.cloud(Clients::Certified, None);
    let silent: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
    let mut clear = std::net::TcpStream::connect(addr).unwrap();
    clear.write_all(b"GET /v1/stores HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = clear.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "it must not answer in the clear");
    let ledger = ledger(chain.dir.path(), "nano");
    assert!(matches!(deliver(addr, &ledger, &nano, "nano"), Step::Delivered { events: 19 }));
    drop(silent);
}
