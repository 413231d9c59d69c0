//! An online order from the channel's request to the hand-over, fetched by a simulated robot over a real broker.
#![allow(clippy::unwrap_used, dead_code)] // Helpers of tests are not known as tests to clippy.

mod grid;
mod http;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use grid::store;
use http::ask;
use linefree_recording::StoreFile;
use linefree_simulator::amr::faults::Faults;
use linefree_simulator::amr::peer;
use serde_json::{Value, json};
use store_sync::cloud::receive::{CloudEvents, router};
use store_sync::serve::{Access, Bus, Cloud, Server, Settings};

const AT_MOST: Duration = Duration::from_secs(90);
const TEA: &str = "4006381333931";

/// The reference cloud on a port of its own.
async fn reference_cloud(events: CloudEvents) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(events, None)).await });
    addr
}

/// What the cloud was told of something, one state after the other.
fn told(kept: &Path, kind: &str, name: &str, id: &str) -> Vec<String> {
    let events = CloudEvents::open(kept).unwrap().events("grid", 0, 10_000).unwrap();
    let of = |data: &Value| (data[name] == id).then(|| data["state"].as_str().unwrap().to_owned());
    let mut states: Vec<String> =
        events.iter().filter(|e| e.event["type"] == kind).filter_map(|e| of(&e.event["data"])).collect();
    states.dedup();
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_fetches_what_a_customer_ordered() {
    let mut layout = store(2);
    let product = format!(
        "format = 1\n[store]\nid = \"grid\"\nname = \"Grid\"\ntimezone = \"UTC\"\ncurrency = \"EUR\"\n\
         floor = [[0, 0], [40, 0], [40, 40], [0, 40]]\n[[product]]\nsku = \"{TEA}\"\nname = \"Tea\"\nprice = 249\n\
         weight_g = 100.0\n"
    );
    layout.products = StoreFile::parse(Path::new("store.toml"), &product).unwrap().layout.products;
    let floor = layout.robots.clone().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let kept = dir.path().join("cloud.sqlite");
    let cloud = reference_cloud(CloudEvents::open(&kept).unwrap());
    let server = Server::start(Settings {
        layout,
        data_dir: dir.path().to_owned(),
        listen: any,
        bus: Bus::Embedded(any),
        cloud: Some(Cloud {
            url: format!("http://{}/v1/events", cloud.await),
            token_file: None,
            tls_dir: None,
        }),
        gln: None,
        access: Access::Open,
        payments: None,
        risk: None,
        rollout: None,
        oidc: None,
        config: None,
    })
    .await
    .unwrap();
    let setting = peer::Setting {
        url: server.bus().clone(),
        speed: 30.0,
        seed: 3,
        faults: Faults::default(),
        scales: None,
    };
    let robots: Vec<peer::Running> = (0..2).map(|i| peer::start(&floor, i, &setting).unwrap()).collect();
    let base = format!("http://{}", server.console());

    let done = tokio::task::spawn_blocking(move || {
        let post = |path: &str, body: Value| ask(&format!("{base}{path}"), Some(&body));
        let get = |path: &str| ask(&format!("{base}{path}"), None).1;
        let until = |path: &str, what: &str, done: &dyn Fn(&Value) -> bool| {
            let began = Instant::now();
            loop {
                let value = get(path);
                if done(&value) {
                    return value;
                }
                assert!(began.elapsed() < AT_MOST, "{what} did not happen; {path} says {value}");
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        let count = json!({ "plate": "g/1/40", "sku": TEA, "quantity": 5 });
        assert_eq!(post("/api/stock/count", count).0, 200);
        until("/api/robots", "both robots are there", &|r| {
            r.as_array().is_some_and(|r| r.len() == 2 && r.iter().all(|r| r["online"] == true))
        });
        let order = json!({ "order": "o1", "lines": [{ "sku": TEA, "quantity": 2 }] });
        let (status, placed) = post("/api/orders", order);
        assert_eq!(status, 201, "{placed}");
        until("/api/orders", "the robot fetches it", &|o| o[0]["state"] == "ready");
        let task = get("/api/tasks")[0].clone();
        let code = placed["handover_code"].clone();
        let over = post("/api/orders/hand-over", json!({ "order": "o1", "code": code }));
        // One that is called off on the way: the robot brings nothing, or the item goes back.
        let (status, second) =
            post("/api/orders", json!({ "order": "o2", "lines": [{ "sku": TEA, "quantity": 1 }] }));
        assert_eq!(status, 201, "{second}");
        until("/api/tasks", "a robot has it", &|t| t[0]["task"] == "o2-1" && t[0]["assignee"] != Value::Null);
        assert_eq!(post("/api/orders/cancel", json!({ "order": "o2", "reason": "no" })).0, 200);
        let robots_idle = until("/api/robots", "the robots are free again", &|r| {
            r.as_array().is_some_and(|r| r.iter().all(|r| r["tasks"] == json!([])))
        });
        (task, over, get("/api/orders"), robots_idle)
    });
    let (task, over, orders, _) = done.await.unwrap();
    assert_eq!((&task["state"], &task["quantity"]), (&json!("done"), &json!(2)), "{task}");
    assert!(task["assignee"].as_str().unwrap().starts_with("linefree/amr-"), "{task}");
    assert_eq!(over.0, 200, "{over:?}");
    let state = |id: &str| {
        orders.as_array().unwrap().iter().find(|o| o["order"] == id).map(|o| o["state"].clone()).unwrap()
    };
    assert_eq!((state("o1"), state("o2")), (json!("handed_over"), json!("cancelled")), "{orders}");
    for robot in robots {
        robot.stop().await;
    }
    // Every state of the robot's task, and of the orders, is in the cloud.
    let (task_type, order_type) = ("org.linefree.task.changed.v1", "org.linefree.order.changed.v1");
    let began = Instant::now();
    while told(&kept, order_type, "order", "o2").last().is_none_or(|state| state != "cancelled") {
        assert!(began.elapsed() < AT_MOST, "the cloud was not told of the end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(told(&kept, task_type, "task", "o1-1"), ["waiting", "assigned", "underway", "done"]);
    assert_eq!(told(&kept, order_type, "order", "o1"), ["received", "picking", "ready", "handed_over"]);
    assert!(told(&kept, task_type, "task", "o2-1").len() >= 3);
    server.stop().await.unwrap();
}
