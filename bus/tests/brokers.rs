//! The client against real brokers: the embedded one, and Mosquitto where it is installed.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

mod support;

use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::client::{BusClient, Incoming, Outgoing, PublishError};
use linefree_bus::payload::{Ack, People, Person, Resend, ShopperPosition, Shoppers, Status, Watermark};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::url::{BusUrl, Login};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use support::{PATIENCE, brokers, config, connect, free_addr, wait_for};
use uuid::Uuid;

fn people(time_us: i64) -> People {
    let person = Person {
        foot: [1.0, 2.5],
        cov: [0.01, 0.0, 0.01],
        score: 0.9,
        height: Some(1.7),
        hands: vec![[1.1, 2.4, 1.2]],
        hand_sd: Some(0.08),
        track: Some(3),
        tracklet: None,
    };
    People { camera: "cam1".to_owned(), time_us, people: vec![person] }
}

/// A client that is not ours, for what ours refuses to do.
async fn raw_publish(url: &BusUrl, topic: &str, payload: Vec<u8>, retain: bool) {
    let mut options = MqttOptions::new(format!("raw-{}", Uuid::now_v7().simple()), url.host(), url.port());
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
    let acked =
        async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
    tokio::time::timeout(PATIENCE, acked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_as_it_was_sent_and_in_order() {
    for (name, url) in &brokers().await.urls {
        let all = linefree_bus::topic::TOPICS.map(|row| Subscription::all(row.kind));
        let (_listener, mut inbox) = connect(url, "listener", &all).await;
        let (client, _own) = connect(url, "floor-1", &[]).await;
        let epoch = Uuid::from_u128(5);
        let shoppers = Shoppers {
            time_us: 4,
            shoppers: vec![ShopperPosition { shopper: 1, visit: None, at: [1.0, 2.0], radius_m: 0.3 }],
        };
        let sent = [
            Outgoing::People(people(1)),
            Outgoing::Watermark(Watermark::unnumbered("cam1", 1, false)),
            Outgoing::Shoppers { source: "floor-1".to_owned(), shoppers: shoppers.clone() },
            Outgoing::Progress(Watermark::unnumbered("floor-1", 4, false)),
            Outgoing::Ack(Ack { source: "shelf-1".to_owned(), epoch, seq: 7 }),
            Outgoing::Resend(Resend { source: "shelf-1".to_owned(), epoch, from_seq: 3 }),
        ];
        for message in &sent {
            client.publish(message.clone()).unwrap();
        }
        let mut heard = Vec::new();
        // QoS 0 and QoS 1 may overtake each other inside a broker; each class keeps its order.
        while heard.len() < sent.len() {
            heard.push(
                wait_for(&mut inbox, "message", |m| match m {
                    Incoming::Connected | Incoming::Status(_) => None,
                    other => Some(other),
                })
                .await,
            );
        }
        let expected = [
            Incoming::People(people(1)),
            Incoming::Watermark(Watermark::unnumbered("cam1", 1, false)),
            Incoming::Shoppers { source: "floor-1".to_owned(), shoppers },
            Incoming::Progress(Watermark::unnumbered("floor-1", 4, false)),
            Incoming::Ack(Ack { source: "shelf-1".to_owned(), epoch, seq: 7 }),
            Incoming::Resend(Resend { source: "shelf-1".to_owned(), epoch, from_seq: 3 }),
        ];
        for message in &expected {
            assert!(heard.contains(message), "{name}: {message:?} is missing in {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_latecomer_hears_acknowledgements_and_statuses() {
    for (name, url) in &brokers().await.urls {
        let (ledger, _inbox) = connect(url, "ledger", &[]).await;
        let ack = Ack { source: "shelf-1".to_owned(), epoch: Uuid::from_u128(5), seq: 42 };
        ledger.publish(Outgoing::Ack(Ack { seq: 41, ..ack.clone() })).unwrap();
        ledger.publish(Outgoing::Ack(ack.clone())).unwrap();
        // The ledger hears its own acknowledgement on a second connection: then the broker has it.
        let (_a, mut inbox) = connect(url, "a", &[Subscription::all(TopicKind::Ack)]).await;
        wait_for(&mut inbox, "ack", |m| (m == Incoming::Ack(ack.clone())).then_some(())).await;
        let wanted = [Subscription::of(TopicKind::Ack, "shelf-1"), Subscription::all(TopicKind::Status)];
        let (_b, mut inbox) = connect(url, "b", &wanted).await;
        let (mut acked, mut online) = (false, false);
        while !(acked && online) {
            wait_for(&mut inbox, "retained messages", |m| {
                acked |= m == Incoming::Ack(ack.clone());
                online |=
                    matches!(&m, Incoming::Status(s) if s.source == "ledger" && s.online && s.time_us > 0);
                Some(())
            })
            .await;
        }
        eprintln!("{name}: retained messages arrive");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_will_speaks_when_a_device_is_lost_and_only_once_when_it_leaves() {
    for (name, url) in &brokers().await.urls {
        let (_watcher, mut inbox) = connect(url, "watcher", &[Subscription::all(TopicKind::Status)]).await;
        let (lost, _own) = connect(url, "cam1", &[]).await;
        let status = |source: &'static str, online: bool| {
            move |m| match m {
                Incoming::Status(s) if s.source == source && s.online == online => Some(s),
                _ => None,
            }
        };
        wait_for(&mut inbox, "birth", status("cam1", true)).await;
        drop(lost);
        let will = wait_for(&mut inbox, "last will", status("cam1", false)).await;
        assert_eq!((will.time_us, will.role.as_str()), (0, "test"), "{name}");

        let (leaving, _own) = connect(url, "cam2", &[]).await;
        wait_for(&mut inbox, "birth", status("cam2", true)).await;
        leaving.close(PATIENCE).await;
        let said = wait_for(&mut inbox, "farewell", status("cam2", false)).await;
        assert!(said.time_us > 0, "{name}: its own farewell has a time, a last will has none");
        // Whoever connects next hears the farewell, not a will that came after it.
        let (_late, mut inbox) = connect(url, "late", &[Subscription::all(TopicKind::Status)]).await;
        let kept = wait_for(&mut inbox, "farewell", status("cam2", false)).await;
        assert_eq!(kept, said, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_obituary_is_corrected() {
    for (name, url) in &brokers().await.urls {
        let (_watcher, mut inbox) = connect(url, "watcher", &[Subscription::all(TopicKind::Status)]).await;
        let (_alive, _own) = connect(url, "cam1", &[]).await;
        let dead = serde_json::to_vec(&Status::online("cam1", "test", "0").last_will()).unwrap();
        raw_publish(url, "linefree/v1/nano/status/cam1", dead, true).await;
        for online in [false, true] {
            wait_for(&mut inbox, "status", |m| match m {
                Incoming::Status(s) => (s.source == "cam1" && s.online == online).then_some(()),
                _ => None,
            })
            .await;
        }
        eprintln!("{name}: corrected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_payloads_are_counted_and_harmless() {
    for (name, url) in &brokers().await.urls {
        let wanted = [Subscription::all(TopicKind::People), Subscription::all(TopicKind::Event)];
        let (client, mut inbox) = connect(url, "floor-1", &wanted).await;
        let bad: [(&str, Vec<u8>, &str); 5] = [
            ("camera/cam1/people", b"\xff\xfe".to_vec(), "at ."),
            (
                "camera/cam1/people",
                br#"{"camera":"cam1","time_us":1,"people":[{"foot":[0]}]}"#.to_vec(),
                "people[0]",
            ),
            ("camera/cam2/people", serde_json::to_vec(&people(1)).unwrap(), "does not match"),
            ("event/shelf-1", Vec::new(), "at ."),
            ("event/shelf-1", br#"{"source":"shelf-1","seq":1}"#.to_vec(), "missing field"),
        ];
        for (topic, payload, _) in &bad {
            raw_publish(url, &format!("linefree/v1/nano/{topic}"), payload.clone(), false).await;
        }
        for (topic, _, problem) in &bad {
            let (found, why) = wait_for(&mut inbox, "malformed", |m| match m {
                Incoming::Malformed { topic, why } => Some((topic, why)),
                _ => None,
            })
            .await;
            assert!(found.ends_with(topic) && why.contains(problem) && why.contains(&found), "{name}: {why}");
        }
        assert_eq!(client.stats().malformed, 5, "{name}");
        assert_eq!(client.stats().connections, 1, "{name}: the connection survived");
        raw_publish(
            url,
            "linefree/v1/nano/camera/cam1/people",
            serde_json::to_vec(&people(9)).unwrap(),
            false,
        )
        .await;
        wait_for(&mut inbox, "people", |m| (m == Incoming::People(people(9))).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_needed_where_there_is_one() {
    let login = Login { username: "store".to_owned(), password: "secret".to_owned() };
    let settings = BrokerConfig { login: Some(login), ..BrokerConfig::loopback() };
    let broker = EmbeddedBroker::start(settings).await.unwrap();
    connect(&broker.url(), "cam1", &[]).await;
    let stranger = BusUrl::of_addr(broker.addr());
    let (client, _inbox) = BusClient::connect(config(&stranger, "cam2", &[])).unwrap();
    let error = client.wait_connected(std::time::Duration::from_millis(500)).await.unwrap_err();
    assert!(!error.why.is_empty() && error.to_string().contains(&stranger.to_string()), "{error}");
}

#[tokio::test]
async fn without_a_broker_publishing_neither_waits_nor_grows() {
    let url = BusUrl::of_addr(free_addr());
    let mut config = config(&url, "cam1", &[]);
    config.limits.out_momentary = 10;
    let (client, mut inbox) = BusClient::connect(config).unwrap();
    for n in 0..1_000 {
        client.publish(Outgoing::People(people(n))).unwrap();
    }
    assert_eq!(client.stats().dropped_out, 990);
    assert!(!client.is_connected());
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.publish_when_room(Outgoing::People(people(1))).await });
    client.close(PATIENCE).await;
    drop(waiting.await);
    while inbox.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_publishes_with_a_full_inbox_does_not_deadlock() {
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let mut limited = config(&broker.url(), "echo", &[Subscription::all(TopicKind::Resend)]);
    limited.limits.in_lasting = 4;
    let (echo, mut requests) = BusClient::connect(limited).unwrap();
    echo.wait_connected(PATIENCE).await.unwrap();
    let (asker, mut answers) = connect(&broker.url(), "asker", &[Subscription::all(TopicKind::Ack)]).await;
    let epoch = Uuid::from_u128(1);
    let total = 2_000;
    for n in 1..=total {
        let request = Resend { source: "x".to_owned(), epoch, from_seq: n };
        asker.publish_when_room(Outgoing::Resend(request)).await.unwrap();
    }
    let echoing = async {
        for _ in 0..total {
            let seq = wait_for(&mut requests, "request", |m| match m {
                Incoming::Resend(r) => Some(r.from_seq),
                _ => None,
            })
            .await;
            let ack = Ack { source: "x".to_owned(), epoch, seq };
            match echo.publish(Outgoing::Ack(ack)) {
                Ok(()) => {}
                Err(PublishError::Full(_)) => panic!("acknowledgements are never refused"),
                Err(error) => panic!("{error}"),
            }
        }
    };
    echoing.await;
    wait_for(&mut answers, "last answer", |m| matches!(m, Incoming::Ack(a) if a.seq == total).then_some(()))
        .await;
    assert!(echo.stats().stalls > 0, "the inbox was never full: the test tests nothing");
}
