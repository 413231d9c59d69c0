//! Interoperability with implementations of VDA 5050 that are not ours: the vehicle of the npm package vda-5050-lib, and
//! the models, schemas and rules of the PyPI package vda5050-sdk. Set-up installs both; without them these tests say that
//! they skip.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

mod grid;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use grid::{pick, store};
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::vda5050::peer::{Peer, PeerConfig, PeerEvent};
use linefree_bus::vda5050::state::{ActionStatus, State};
use linefree_bus::vda5050::topic::{ROBOT_TOPICS, RobotTopic, RobotTopics};
use linefree_bus::vda5050::{RobotId, decode};
use linefree_simulator::amr::faults::Faults;
use linefree_simulator::amr::peer;
use serde_json::{Value, json};
use store_sync::robots::service::{Command, Robots, RobotsConfig};
use store_sync::robots::{TaskState, TaskUpdate};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Where set-up has put a library; `None` says that it is not there.
fn library(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("LINEFREE_HOME")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.linefree"), PathBuf::from);
    let path = home.join("peers").join(name);
    if !path.is_dir() {
        eprintln!(
            "skipped: {} is absent; `cargo xtask setup` installs it where npm and pip are",
            path.display()
        );
        return None;
    }
    Some(path)
}

async fn ear(broker: &EmbeddedBroker) -> (Peer, mpsc::Receiver<PeerEvent>) {
    let config = PeerConfig {
        url: broker.url(),
        name: "ear".to_owned(),
        topics: RobotTopics::default(),
        hears: ROBOT_TOPICS.into_iter().map(|topic| (None, topic)).collect(),
        will: None,
        identity: None,
    };
    let (ear, mut heard) = Peer::connect(config).unwrap();
    assert_eq!(heard.recv().await, Some(PeerEvent::Connected));
    (ear, heard)
}

async fn until(updates: &mut mpsc::Receiver<TaskUpdate>, task: &str, state: TaskState) -> Vec<TaskUpdate> {
    let mut seen = Vec::new();
    let come = async {
        while let Some(update) = updates.recv().await {
            let is = update.task == task && update.state == state;
            seen.push(update);
            if is {
                return;
            }
        }
    };
    let come = timeout(Duration::from_secs(60), come).await;
    assert!(come.is_ok() && seen.last().is_some_and(|u| u.state == state), "{task}: {seen:?}");
    seen
}

/// One pick and drop to its end, one called off under way, home again: no message refused by the library's validation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vehicle_of_vda_5050_lib_does_a_pick_and_stops_for_a_cancel() {
    let Some(folder) = library("vda-5050-lib") else { return };
    let mut layout = store(1);
    let floor = layout.robots.as_mut().unwrap();
    // What its virtual vehicle calls its loads.
    floor.robots[0].load_type = Some("EPAL".to_owned());
    let home = floor.nodes[floor.robots[0].home].clone();
    let map = floor.map.clone();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (_ear, mut heard) = ear(&broker).await;
    let mut vehicle = tokio::process::Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/agv.cjs"))
        .arg(folder.join("node_modules/vda-5050-lib"))
        .arg(format!("mqtt://{}", broker.addr()))
        .args(["linefree", "amr-0", &map, &home.at.x.to_string(), &home.at.y.to_string(), &home.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let config = RobotsConfig { url: broker.url(), identity: None, eyes: Box::new(|| None) };
    let mut robots = Robots::start(&layout, config).unwrap();
    let mut updates = robots.updates.take().unwrap();
    // Bays 22 and 23 are at the end of the first aisle where its home is.
    robots.commands.send(Command::Assign(pick("t-1", 22, i64::MAX / 2))).await.unwrap();
    let seen = until(&mut updates, "t-1", TaskState::Done).await;
    let states: Vec<TaskState> = seen.iter().map(|u| u.state).collect();
    assert_eq!(states, [TaskState::Assigned, TaskState::Underway, TaskState::Done], "{seen:?}");

    robots.commands.send(Command::Assign(pick("t-2", 2, i64::MAX / 2))).await.unwrap();
    until(&mut updates, "t-2", TaskState::Underway).await;
    robots.commands.send(Command::Cancel("t-2".to_owned())).await.unwrap();
    until(&mut updates, "t-2", TaskState::Cancelled).await;
    let id = RobotId::new("linefree", "amr-0");
    let (mut cancelled, mut picked, mut dropped) = (false, false, false);
    let back = async {
        while let Some(event) = heard.recv().await {
            let PeerEvent::Message { topic: RobotTopic::State, payload, .. } = event else { continue };
            let state: State = decode(&id, &payload).unwrap();
            let finished = |kind: &str| {
                let of = state.action_states.iter().filter(|a| a.action_id.starts_with(kind));
                of.clone().any(|a| a.action_status == ActionStatus::Finished)
            };
            picked |= finished("pick.");
            dropped |= finished("drop.");
            cancelled |= finished("cancelOrder.");
            assert!(state.errors.is_empty(), "{:?}", state.errors);
            if cancelled && state.is_idle() && state.last_node_id == home.id {
                return;
            }
        }
    };
    let back = timeout(Duration::from_secs(60), back).await;
    assert!(back.is_ok(), "it did not come home: cancelled {cancelled}");
    assert!(picked && dropped && cancelled);
    drop(vehicle.stdin.take());
    let mut said = String::new();
    let mut stderr = vehicle.stderr.take().unwrap();
    timeout(Duration::from_secs(10), stderr.read_to_string(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, "", "the library has complaints");
}

/// Everything that our master control and our simulated robots say is read and checked by vda5050-sdk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vda5050_sdk_reads_every_message() {
    let Some(folder) = library("vda5050-sdk") else { return };
    let layout = store(2);
    let floor = layout.robots.clone().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (_ear, mut heard) = ear(&broker).await;
    let config = RobotsConfig { url: broker.url(), identity: None, eyes: Box::new(|| None) };
    let mut robots = Robots::start(&layout, config).unwrap();
    let setting =
        peer::Setting { url: broker.url(), speed: 30.0, seed: 1, faults: Faults::default(), scales: None };
    let running: Vec<peer::Running> = (0..2).map(|i| peer::start(&floor, i, &setting).unwrap()).collect();
    let mut updates = robots.updates.take().unwrap();
    robots.commands.send(Command::Assign(pick("t-1", 22, i64::MAX / 2))).await.unwrap();
    until(&mut updates, "t-1", TaskState::Done).await;
    for robot in running {
        robot.stop().await;
    }
    let mut lines = Vec::new();
    while let Ok(event) = heard.try_recv() {
        let PeerEvent::Message { topic, payload, .. } = event else { continue };
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        lines.push(json!({ "topic": topic.name(), "payload": payload }).to_string());
    }
    let mut python = std::process::Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/messages.py"))
        .env("PYTHONPATH", &folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    drop(stdin);
    let read = python.wait_with_output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let count: Value = serde_json::from_slice(&read.stdout).unwrap();
    for topic in ROBOT_TOPICS {
        assert!(count[topic.name()].as_u64().unwrap() > 0, "{count}");
    }
}
