//! Devices over mutual TLS with access rules: the honest talk, the hostile do not get through. Against the embedded
//! broker behind the gatekeeper, and against Mosquitto with the same certificates and the same table.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

mod support;

use linefree_bus::acl;
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::gatekeeper::{Gatekeeper, GatekeeperConfig};
use linefree_bus::identity::{Authority, BROKER, DeviceName, IdentityDir, client_config};
use linefree_bus::payload::{People, Status};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::url::{BusUrl, Login};
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Mosquitto, PATIENCE, wait_for};
use tokio::time::timeout;

/// An authority, and the files of some devices.
struct Store {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "nano").unwrap();
        let mut this = Self { dir, authority };
        this.issue("bus", BROKER, None);
        for (source, role) in
            [("cam1", "camera"), ("cam2", "camera"), ("floor-1", "floor"), ("watcher-1", "watcher")]
        {
            this.issue(source, role, None);
        }
        this
    }

    fn identity(&self) -> IdentityDir {
        IdentityDir::new(self.dir.path())
    }

    fn issue(&mut self, source: &str, role: &str, until_s: Option<u64>) {
        let name = DeviceName::new("nano", source, role).unwrap();
        let hosts = if role == BROKER { vec!["127.0.0.1".to_owned()] } else { Vec::new() };
        let request = std::fs::read_to_string(self.identity().prepare(&name, &hosts).unwrap()).unwrap();
        let (signed, pem) = match until_s {
            Some(until_s) => self.authority.sign_until(&request, until_s).unwrap(),
            None => self.authority.sign(&request, 90).unwrap(),
        };
        assert_eq!(signed, name);
        std::fs::write(self.identity().certificate(source), pem).unwrap();
    }

    fn config(&self, url: &BusUrl, source: &str, subscriptions: &[Subscription]) -> BusConfig {
        let identity = client_config(&self.identity(), source).unwrap();
        support::config(url, source, subscriptions).with_identity(identity)
    }

    async fn connect(
        &self,
        url: &BusUrl,
        source: &str,
        subscriptions: &[Subscription],
    ) -> (BusClient, Inbox) {
        let (client, inbox) = BusClient::connect(self.config(url, source, subscriptions)).unwrap();
        client.wait_connected(PATIENCE).await.unwrap();
        (client, inbox)
    }

    /// Why a device does not get in.
    async fn refused(&self, url: &BusUrl, source: &str) -> String {
        let (client, _inbox) = BusClient::connect(self.config(url, source, &[])).unwrap();
        client.wait_connected(Duration::from_millis(700)).await.expect_err("it got in").why
    }
}

/// A client that does as it likes.
struct Raw {
    client: AsyncClient,
    events: EventLoop,
}

impl Raw {
    fn new(store: &Store, url: &BusUrl, source: &str, client_id: &str) -> Self {
        let mut options = MqttOptions::new(client_id, url.host(), url.port());
        let identity = client_config(&store.identity(), source).unwrap();
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(identity)));
        let (client, events) = AsyncClient::new(options, 32);
        Self { client, events }
    }

    /// What comes in until one fits; or why nothing does any more.
    async fn until<T>(&mut self, mut pick: impl FnMut(&Packet) -> Option<T>) -> Result<T, String> {
        let search = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) => {
                        if let Some(found) = pick(&packet) {
                            return Ok(found);
                        }
                    }
                    Ok(Event::Outgoing(_)) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        timeout(PATIENCE, search).await.expect("nothing came")
    }
}

/// A guarded broker to test against, with what keeps it alive.
async fn guarded(store: &Store) -> Vec<(&'static str, BusUrl, Option<Gatekeeper>, Option<Mosquitto>)> {
    let login = Login { username: "gatekeeper".into(), password: "only it knows".into() };
    let broker = BrokerConfig { login: Some(login.clone()), ..BrokerConfig::loopback() };
    let broker = EmbeddedBroker::start(broker).await.unwrap();
    let config = GatekeeperConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        broker: broker.addr(),
        login: Some(login),
        identity: store.identity(),
        source: "bus".into(),
        max_connections: 100,
    };
    let gatekeeper = Gatekeeper::start(config).await.unwrap();
    let url = |addr: SocketAddr| BusUrl::parse(&format!("mqtts://{addr}")).unwrap();
    let mut all = vec![("embedded", url(gatekeeper.addr()), Some(gatekeeper), None)];
    write_acl(store.dir.path(), &store.authority);
    if let Some(mosquitto) = Mosquitto::start_guarded(store.dir.path()).await {
        all.push(("mosquitto", url(mosquitto.addr), None, Some(mosquitto)));
    }
    all
}

fn write_acl(dir: &Path, authority: &Authority) {
    std::fs::write(dir.join("acl"), acl::mosquitto(&authority.devices())).unwrap();
}

fn people(camera: &str, time_us: i64) -> People {
    People { camera: camera.into(), time_us, people: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_honest_talk_and_the_hostile_do_not() {
    let store = Store::new();
    for (name, url, gatekeeper, _mosquitto) in guarded(&store).await {
        let (camera, _own) = store.connect(&url, "cam1", &[Subscription::of(TopicKind::Ack, "cam1")]).await;
        let wanted = [Subscription::all(TopicKind::People), Subscription::all(TopicKind::Event)];
        let (_floor, mut inbox) = store.connect(&url, "floor-1", &wanted).await;
        camera.publish(Outgoing::People(people("cam1", 1))).unwrap();
        wait_for(&mut inbox, "people", |m| (m == Incoming::People(people("cam1", 1))).then_some(())).await;

        // Another device's topic: cam2 speaks as cam1. Whatever it gets for that, nobody hears it.
        let mut thief = Raw::new(&store, &url, "cam2", "thief");
        let forged = serde_json::to_vec(&people("cam1", 666)).unwrap();
        let topic = "linefree/v1/nano/camera/cam1/people";
        thief.client.publish(topic, QoS::AtLeastOnce, false, forged).await.unwrap();
        let closed = thief.until(|p| matches!(p, Packet::PubAck(_)).then_some(())).await;
        if gatekeeper.is_some() {
            assert!(closed.is_err(), "{name}: the gatekeeper ends such a connection");
        }
        camera.publish(Outgoing::People(people("cam1", 2))).unwrap();
        let next = wait_for(&mut inbox, "people", |m| match m {
            Incoming::People(p) => Some(p.time_us),
            _ => None,
        })
        .await;
        assert_eq!(next, 2, "{name}: a forged message was heard");

        // Somebody else's client id: cam1 stays connected.
        let mut double = Raw::new(&store, &url, "cam2", "linefree-nano-cam1-00000000");
        double.until(|p| matches!(p, Packet::ConnAck(_)).then_some(())).await.unwrap();
        camera.publish(Outgoing::People(people("cam1", 3))).unwrap();
        wait_for(&mut inbox, "people", |m| (m == Incoming::People(people("cam1", 3))).then_some(())).await;
        assert_eq!(camera.stats().connections, 1, "{name}: cam1 was thrown out");

        // Wildcards: subscribed or not, what others say does not arrive.
        for filter in ["#", "linefree/v1/nano/#", "linefree/v1/nano/camera/+/people", "+/+/nano/+/+/people"] {
            let mut curious = Raw::new(&store, &url, "cam2", "curious");
            curious.client.subscribe(filter, QoS::AtMostOnce).await.unwrap();
            let code = curious
                .until(|p| match p {
                    Packet::SubAck(ack) => Some(ack.return_codes[0]),
                    _ => None,
                })
                .await
                .unwrap();
            if gatekeeper.is_some() {
                assert_eq!(code, SubscribeReasonCode::Failure, "{name}: {filter}");
            }
            curious.client.subscribe("linefree/v1/nano/status/cam2", QoS::AtMostOnce).await.unwrap();
            curious.until(|p| matches!(p, Packet::SubAck(_)).then_some(())).await.unwrap();
            camera.publish(Outgoing::People(people("cam1", 4))).unwrap();
            wait_for(&mut inbox, "people", |m| (m == Incoming::People(people("cam1", 4))).then_some(()))
                .await;
            // Its own word comes after whatever it might have heard.
            let own = serde_json::to_vec(&Status::online("cam2", "camera", filter)).unwrap();
            curious
                .client
                .publish("linefree/v1/nano/status/cam2", QoS::AtMostOnce, false, own)
                .await
                .unwrap();
            let mut heard = Vec::new();
            curious
                .until(|p| match p {
                    Packet::Publish(publish) if publish.topic.ends_with("status/cam2") => Some(()),
                    Packet::Publish(publish) => {
                        heard.push(publish.topic.clone());
                        None
                    }
                    _ => None,
                })
                .await
                .unwrap();
            assert_eq!(heard, Vec::<String>::new(), "{name}: {filter}");
        }
        if let Some(gatekeeper) = gatekeeper {
            assert!(gatekeeper.denied() >= 5, "{}", gatekeeper.denied());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_certificates_that_hold_get_in() {
    let mut store = Store::new();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    store.issue("old", "camera", Some(now_s - 60));
    store.issue("lost", "camera", None);
    assert_eq!(store.authority.revoke("lost").unwrap(), 1);
    assert!(store.authority.devices().iter().all(|d| d.source != "lost" && d.source != "old"));
    // Another authority of the same name, whose certificates look the same.
    let mut other = Store::new();
    other.issue("cam1", "camera", None);
    std::fs::copy(store.dir.path().join("ca.pem"), other.dir.path().join("ca.pem")).unwrap();

    for (name, url, gatekeeper, _mosquitto) in guarded(&store).await {
        store.connect(&url, "cam1", &[]).await;
        for (who, store, source) in
            [("expired", &store, "old"), ("revoked", &store, "lost"), ("another authority's", &other, "cam1")]
        {
            let why = store.refused(&url, source).await;
            eprintln!("{name}: {who}: {why}");
            assert!(!why.is_empty());
        }
        // Without any certificate, and without TLS.
        let plain = BusUrl::of_addr(SocketAddr::from(([127, 0, 0, 1], url.port())));
        let (client, _inbox) = BusClient::connect(support::config(&plain, "cam1", &[])).unwrap();
        assert!(
            client.wait_connected(Duration::from_millis(500)).await.is_err(),
            "{name}: it got in without TLS"
        );

        // Revoked while it is known: refused once the list is read again, which the gatekeeper does by itself.
        if gatekeeper.is_some() {
            store.connect(&url, "cam2", &[]).await;
            let mut again = Authority::open(store.dir.path()).unwrap();
            again.revoke("cam2").unwrap();
            until("a revoked device gets in for long", async || {
                let (client, _inbox) = BusClient::connect(store.config(&url, "cam2", &[])).unwrap();
                client.wait_connected(Duration::from_millis(500)).await.is_err()
            })
            .await;
        }
    }
}

/// Asks until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_up_without_a_restart() {
    let mut store = Store::new();
    let expired = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60;
    for (name, url, gatekeeper, _mosquitto) in guarded(&store).await {
        // A device that has slept through its renewal: the same process gets in when its file is there.
        store.issue("cam1", "camera", Some(expired()));
        let (camera, _own) = BusClient::connect(store.config(&url, "cam1", &[])).unwrap();
        assert!(camera.wait_connected(Duration::from_millis(700)).await.is_err(), "{name}");
        // Half a file is no certificate: what was there before is shown, and nothing ends.
        std::fs::write(store.identity().certificate("cam1"), "-----BEGIN CERT").unwrap();
        assert!(camera.wait_connected(Duration::from_millis(700)).await.is_err(), "{name}");
        store.issue("cam1", "camera", None);
        camera.wait_connected(PATIENCE).await.unwrap();
        // The bus itself.
        if gatekeeper.is_some() {
            store.issue("bus", BROKER, Some(expired()));
            let connects = async || {
                let (client, _inbox) = BusClient::connect(store.config(&url, "cam2", &[])).unwrap();
                client.wait_connected(Duration::from_millis(500)).await.is_ok()
            };
            until("an expired bus is believed", async || !connects().await).await;
            store.issue("bus", BROKER, None);
            let connects = async || {
                let (client, _inbox) = BusClient::connect(store.config(&url, "cam2", &[])).unwrap();
                client.wait_connected(Duration::from_millis(500)).await.is_ok()
            };
            until("a renewed bus is not believed", connects).await;
        }
    }
}

/// A device that sends as fast as it can: those who do not are heard all the same, and the flood comes no faster than
/// allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_drown_the_others() {
    let store = Store::new();
    for (name, url, gatekeeper, _mosquitto) in guarded(&store).await {
        let (camera, _own) = store.connect(&url, "cam1", &[]).await;
        let wanted = [Subscription::of(TopicKind::People, "cam1")];
        let (_floor, mut inbox) = store.connect(&url, "floor-1", &wanted).await;
        let mut flood = Raw::new(&store, &url, "cam2", "flood");
        let client = flood.client.clone();
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = std::sync::Arc::clone(&sent);
        let pouring = tokio::spawn(async move {
            let payload = serde_json::to_vec(&people("cam2", 1)).unwrap();
            let topic = "linefree/v1/nano/camera/cam2/people";
            while client.publish(topic, QoS::AtMostOnce, false, payload.clone()).await.is_ok() {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let draining = tokio::spawn(async move { while flood.events.poll().await.is_ok() {} });
        until("no flood", async || sent.load(std::sync::atomic::Ordering::Relaxed) > 5_000).await;
        let began = std::time::Instant::now();
        for n in 10..30 {
            camera.publish(Outgoing::People(people("cam1", n))).unwrap();
            wait_for(&mut inbox, "people", |m| (m == Incoming::People(people("cam1", n))).then_some(()))
                .await;
        }
        let took = began.elapsed();
        eprintln!("{name}: 20 messages through a flood in {took:?}");
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        if gatekeeper.is_some() {
            let mut counting = Raw::new(&store, &url, "floor-1", "counting");
            let topic = "linefree/v1/nano/camera/cam2/people";
            counting.client.subscribe(topic, QoS::AtMostOnce).await.unwrap();
            let (mut first, mut heard) = (None, 0);
            counting
                .until(|p| {
                    if matches!(p, Packet::Publish(_)) {
                        first.get_or_insert_with(std::time::Instant::now);
                        heard += 1;
                    }
                    (heard > 6_000).then_some(())
                })
                .await
                .unwrap();
            let took = first.unwrap().elapsed();
            eprintln!("{name}: 6,000 messages of the flood in {took:?}");
            // At 2,000 a second, after at most a second's worth at once and what buffers held.
            assert!(took > Duration::from_millis(1_200), "{name}: {took:?}");
        }
        pouring.abort();
        draining.abort();
    }
}

#[tokio::test]
async fn a_last_will_in_another_s_name_is_refused() {
    let store = Store::new();
    let all = guarded(&store).await;
    if let Some((_, url, ..)) = all.iter().find(|(name, ..)| *name == "mosquitto") {
        will_is_not_heard(&store, url).await;
    }
    let url = all[0].1.clone();
    let mut options = MqttOptions::new("x", url.host(), url.port());
    let identity = client_config(&store.identity(), "cam2").unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(identity)));
    let will = serde_json::to_vec(&Status::online("cam1", "camera", "0").last_will()).unwrap();
    let topic = "linefree/v1/nano/status/cam1";
    options.set_last_will(rumqttc::LastWill::new(topic, will, QoS::AtLeastOnce, true));
    let (_client, mut events) = AsyncClient::new(options, 8);
    let error = timeout(PATIENCE, events.poll()).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("NotAuthorized"), "{error}");
}

/// Mosquitto lets such a device in; nobody hears its will.
async fn will_is_not_heard(store: &Store, url: &BusUrl) {
    let wanted = [Subscription::all(TopicKind::Status)];
    let (_watcher, mut inbox) = store.connect(url, "watcher-1", &wanted).await;
    let mut options = MqttOptions::new("x", url.host(), url.port());
    let identity = client_config(&store.identity(), "cam2").unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(identity)));
    let will = serde_json::to_vec(&Status::online("cam1", "camera", "forged").last_will()).unwrap();
    let topic = "linefree/v1/nano/status/cam1";
    options.set_last_will(rumqttc::LastWill::new(topic, will, QoS::AtLeastOnce, true));
    let (client, mut events) = AsyncClient::new(options, 8);
    // Refused at once, or let in and lost without a word.
    while let Ok(Ok(event)) = timeout(PATIENCE, events.poll()).await {
        if matches!(event, Event::Incoming(Packet::ConnAck(_))) {
            break;
        }
    }
    drop((client, events));
    let (camera, _own) = store.connect(url, "cam1", &[]).await;
    let mut told = Status::online("cam1", "camera", "true");
    told.counters.insert("last".into(), 1);
    camera.publish(Outgoing::Status(told)).unwrap();
    let mut forged = 0;
    wait_for(&mut inbox, "the camera's own word", |m| match m {
        Incoming::Status(s) if s.source == "cam1" => {
            forged += u32::from(s.version == "forged");
            s.counters.contains_key("last").then_some(())
        }
        _ => None,
    })
    .await;
    assert_eq!(forged, 0, "a forged will was heard");
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let identity = IdentityDir::new(dir.path());
    let name = DeviceName::new("nano", "cam1", "camera").unwrap();
    assert!(client_config(&identity, "cam1").unwrap_err().to_string().contains("edge-agent provision"));
    let first = std::fs::read(identity.prepare(&name, &[]).unwrap().with_extension("key")).unwrap();
    assert!(client_config(&identity, "cam1").unwrap_err().to_string().contains("store-sync provision sign"));
    let again = std::fs::read(identity.prepare(&name, &[]).unwrap().with_extension("key")).unwrap();
    assert_eq!(first, again, "a renewal keeps the key");
    let url = BusUrl::parse("mqtts://127.0.0.1").unwrap();
    let error = BusClient::connect(support::config(&url, "cam1", &[])).unwrap_err().to_string();
    assert!(error.contains("tls_dir"), "{error}");
    let mut authority = Authority::create(&dir.path().join("ca"), "nano").unwrap();
    assert!(authority.sign("no request", 1).is_err());
    assert!(Authority::create(&dir.path().join("ca"), "nano").is_err(), "an authority was overwritten");
    assert!(DeviceName::new("nano", "a/b", "camera").is_err());
    assert!(DeviceName::new("nano", "a", "king").is_err());
}
