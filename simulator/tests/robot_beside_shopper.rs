//! A robot picks an online order from the shelf that a shopper stands at: store server, floor and shelf roles, a simulated
//! robot and a simulated scale over a real broker. The order is handed over, and the shopper pays for what they took.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

mod http;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edge_agent::roles::{Pace, Role, RoleOptions};
use http::ask;
use linefree_bus::client::{BusClient, BusConfig, Incoming, Outgoing};
use linefree_bus::payload::{Event, EventBody, GateDirection, GatePassed, People, Person, Status, Watermark};
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::url::BusUrl;
use linefree_recording::StoreFile;
use linefree_simulator::amr::faults::Faults;
use linefree_simulator::amr::peer;
use linefree_simulator::amr::scales::{Moved, Scales};
use nalgebra::Point2;
use serde_json::{Value, json};
use store_sync::clock::wall_us;
use store_sync::serve::{Access, Bus, Server, Settings};

const AT_MOST: Duration = Duration::from_secs(90);
const TEA: &str = "4006381333931";
const PLATE: &str = "1/1/1";
const DOOR: Point2<f64> = Point2::new(2.5, 0.1);
const BEFORE_THE_TEA: Point2<f64> = Point2::new(1.15, 2.58);

const STORE: &str = r#"format = 1
[store]
id = "corner"
name = "Corner"
timezone = "UTC"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 3], [0, 3]]

[[gate]]
id = "door"
kind = "both"
segment = [[2.0, 0.0], [3.0, 0.0]]

[[camera]]
id = "cam1"
size_px = [600, 300]
homography = [0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]

[[gondola]]
id = "1"
origin = [1.0, 3.0, 0.0]
yaw_deg = 0

[[gondola.shelf]]
id = "1"
height_m = 1.0
plates = [{ id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] }, { id = "2", offset = [0.4, 0.0], size = [0.3, 0.4] }]

[[product]]
sku = "4006381333931"
name = "Tea"
price = 249
weight_g = 250.0

[[product]]
sku = "632565000012"
name = "Water"
price = 199
weight_g = 538.0

[[facing]]
sku = "4006381333931"
plates = ["1/1/1"]
count = 8

[[facing]]
sku = "632565000012"
plates = ["1/1/2"]
count = 8

[[source]]
plates = ["1/1/1", "1/1/2"]
url = "bus:scale-1"
counts_per_g = [100.0, -80.0]

[robots]
edges = [["l1", "l2"], ["l1", "b1"], ["l2", "c1"], ["l2", "h1"]]

[[robots.node]]
id = "l1"
at = [1.9, 1.5]

[[robots.node]]
id = "l2"
at = [4.0, 1.5]

[[robots.node]]
id = "b1"
at = [1.9, 2.4]
place = "bay"
plates = ["1/1/1", "1/1/2"]

[[robots.node]]
id = "c1"
at = [4.0, 0.6]
place = "bay"
station = "counter"

[[robots.node]]
id = "h1"
at = [4.0, 2.4]
place = "home"

[[robots.robot]]
manufacturer = "linefree"
serial = "amr-1"
home = "h1"
"#;

fn device(url: &BusUrl, source: &str, role: &str, hears: &[TopicKind]) -> BusConfig {
    let config = BusConfig::new(url.clone(), "corner", Status::online(source, role, "0"));
    hears.iter().fold(config, |config, kind| config.subscribe(Subscription::all(*kind)))
}

/// A camera that sees the shopper ten times a second, wherever they have got to on their way to where they want to be.
fn watch(client: BusClient, goal: Arc<Mutex<Option<Point2<f64>>>>) {
    tokio::spawn(async move {
        let mut at = DOOR;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let goal = *goal.lock().unwrap();
            let person = goal.map(|goal| {
                let way = goal - at;
                at += way * (0.12 / way.norm().max(0.12));
                Person {
                    foot: [at.x, at.y],
                    cov: [0.01, 0.0, 0.01],
                    score: 0.9,
                    height: None,
                    hands: Vec::new(),
                    hand_sd: None,
                    track: Some(1),
                    tracklet: None,
                }
            });
            let time_us = wall_us();
            let people = People { camera: "cam1".into(), time_us, people: person.into_iter().collect() };
            let _ = client.publish(Outgoing::People(people));
            let _ = client.publish(Outgoing::Watermark(Watermark::unnumbered("cam1", time_us, false)));
        }
    });
}

fn passed(direction: GateDirection) -> EventBody {
    let credential = (direction == GateDirection::Entry).then(|| "anna".to_owned());
    EventBody::GatePassed(GatePassed { gate: "door".into(), direction, credential, party: 1 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_robot_picks_beside_a_shopper_and_nobody_pays_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let toml = dir.path().join("store.toml");
    std::fs::write(&toml, STORE).unwrap();
    let store = StoreFile::parse(Path::new("store.toml"), STORE).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(Settings {
        layout: store.layout.clone(),
        data_dir: dir.path().join("ledger"),
        listen: any,
        bus: Bus::Embedded(any),
        cloud: None,
        gln: None,
        access: Access::Open,
        payments: None,
        rollout: None,
        oidc: None,
        config: None,
    })
    .await
    .unwrap();
    let bus = server.bus().clone();
    let options = RoleOptions {
        config: Some(toml),
        recording: None,
        pace: Pace::Factor(1.0),
        bus: Some(bus.to_string()),
        data: Some(dir.path().join("device")),
        cameras: Vec::new(),
        number: 1,
        lateness: 3.0,
        release_key: None,
        metrics: None,
        report: None,
    };
    // They run until the test's process ends, as a device's do until it is switched off.
    std::thread::spawn(move || edge_agent::roles::run(&options, &[Role::Floor, Role::Shelf]));
    let scales = Scales::start(&store, &bus, 5, None).unwrap();
    let floor = store.layout.robots.clone().unwrap();
    let setting = peer::Setting {
        url: bus.clone(),
        speed: 4.0,
        seed: 3,
        faults: Faults::default(),
        scales: Some(scales.clone()),
    };
    let robot = peer::start(&floor, 0, &setting).unwrap();

    let (camera, _) = BusClient::connect(device(&bus, "cam1", "camera", &[])).unwrap();
    let (gate, _) = BusClient::connect(device(&bus, "gate-1", "gate", &[])).unwrap();
    let (_ears, mut heard) = BusClient::connect(device(&bus, "ears", "test", &[TopicKind::Event])).unwrap();
    let journal = dir.path().join("gate");
    let (gates, _) =
        EventPublisher::open(&journal, "gate-1", gate, PublisherOptions::default()).await.unwrap();
    let gates = Arc::new(gates);
    let marks = Arc::clone(&gates);
    tokio::spawn(async move {
        loop {
            marks.watermark(wall_us(), false);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let kept = Arc::clone(&events);
    tokio::spawn(async move {
        while let Some(incoming) = heard.recv().await {
            if let Incoming::Event(event) = incoming {
                kept.lock().unwrap().push(event);
            }
        }
    });
    let goal: Arc<Mutex<Option<Point2<f64>>>> = Arc::default();
    watch(camera, Arc::clone(&goal));

    let base = format!("http://{}", server.console());
    let runtime = tokio::runtime::Handle::current();
    let seen = Arc::clone(&events);
    let of = move |what: &dyn Fn(&EventBody) -> bool| {
        seen.lock().unwrap().iter().filter(|e| what(&e.body)).map(|e| e.body.clone()).collect::<Vec<_>>()
    };
    tokio::task::spawn_blocking(move || {
        let post = |path: &str, body: Value| ask(&format!("{base}{path}"), Some(&body));
        let get = |path: &str| ask(&format!("{base}{path}"), None).1;
        let until = |what: &str, done: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !done() {
                assert!(began.elapsed() < AT_MOST, "{what} did not happen; heard {:?}", of(&|_| true));
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        let lifts = || of(&|b| matches!(b, EventBody::ShelfChanged(_))).len();
        let explained = || of(&|b| matches!(b, EventBody::ItemAttributed(_))).len();
        let carts = || of(&|b| matches!(b, EventBody::CartChanged(c) if !c.lines.is_empty()));
        assert_eq!(post("/api/stock/count", json!({ "plate": PLATE, "sku": TEA, "quantity": 8 })).0, 200);
        until("the robot is there", &|| get("/api/robots")[0]["online"] == true);

        // Anna comes in and stands before the tea.
        *goal.lock().unwrap() = Some(DOOR);
        runtime.block_on(gates.publish(wall_us(), passed(GateDirection::Entry))).unwrap();
        *goal.lock().unwrap() = Some(BEFORE_THE_TEA);
        std::thread::sleep(Duration::from_secs(4));

        // Somebody else orders two, and the robot takes them from under her nose.
        let order = json!({ "order": "o1", "lines": [{ "sku": TEA, "quantity": 2 }] });
        let (status, placed) = post("/api/orders", order);
        assert_eq!(status, 201, "{placed}");
        until("the shelf feels the robot", &|| lifts() == 1);
        until("the robot's pick is explained", &|| explained() == 1);
        until("the order is ready", &|| get("/api/orders")[0]["state"] == "ready");
        assert_eq!(carts(), [], "nothing is in her cart because of the robot");
        // She takes one herself.
        scales.moved(&Moved { plate: PLATE.into(), sku: TEA.into(), quantity: -1 });
        until("the shelf feels her", &|| lifts() == 2);
        until("her take is explained", &|| explained() == 2);
        let over = post("/api/orders/hand-over", json!({ "order": "o1", "code": placed["handover_code"] }));
        assert_eq!(over.0, 200, "{over:?}");

        *goal.lock().unwrap() = Some(DOOR);
        std::thread::sleep(Duration::from_secs(3));
        runtime.block_on(gates.publish(wall_us(), passed(GateDirection::Exit))).unwrap();
        *goal.lock().unwrap() = None;
        until("her receipt is written", &|| !of(&|b| matches!(b, EventBody::VisitClosed(_))).is_empty());
        let closed = of(&|b| matches!(b, EventBody::VisitClosed(_)));
        let EventBody::VisitClosed(receipt) = &closed[0] else { unreachable!() };
        let lines: Vec<_> = receipt.lines.iter().map(|l| (l.sku.as_str(), l.quantity, l.review)).collect();
        assert_eq!(lines, [(TEA, 1, false)], "{receipt:?}");
        assert_eq!((receipt.charge_minor, receipt.in_review_minor), (249, 0));
        assert_eq!(get("/api/orders")[0]["state"], "handed_over");
    })
    .await
    .unwrap();
    robot.stop().await;
    server.stop().await.unwrap();
}
