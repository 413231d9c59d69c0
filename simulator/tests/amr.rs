//! Master control and simulated robots: in simulated time with faults and lost messages, and over a real broker.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

mod grid;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use grid::{pick, store};
use jsonschema::Validator;
use linefree_bus::broker::{BrokerConfig, EmbeddedBroker};
use linefree_bus::vda5050::order::{InstantActions, Order};
use linefree_bus::vda5050::peer::{Peer, PeerConfig, PeerEvent};
use linefree_bus::vda5050::state::{Connection, ConnectionState, State};
use linefree_bus::vda5050::topic::{ROBOT_TOPICS, RobotTopic, RobotTopics};
use linefree_bus::vda5050::{Message, RobotId, decode, encode};
use linefree_domain::layout::StoreLayout;
use linefree_simulator::amr::faults::Faults;
use linefree_simulator::amr::peer;
use linefree_simulator::amr::vehicle::{Amr, Trouble};
use linefree_simulator::chance::Chance;
use serde_json::Value;
use store_sync::robots::control::{MasterControl, Output};
use store_sync::robots::service::{Command, Robots, RobotsConfig};
use store_sync::robots::{STAFF, TaskState, TaskUpdate};

/// The official schemas.
struct Official(BTreeMap<&'static str, Validator>);

impl Official {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bus/tests/official/vda5050-2.1.0");
        let validator = |topic: RobotTopic| {
            let text = std::fs::read_to_string(folder.join(format!("{}.schema", topic.name()))).unwrap();
            let schema: Value = serde_json::from_str(&text).unwrap();
            (topic.name(), jsonschema::options().should_validate_formats(true).build(&schema).unwrap())
        };
        Self(ROBOT_TOPICS.into_iter().map(validator).collect())
    }

    fn check(&self, topic: RobotTopic, payload: &[u8]) {
        let value: Value = serde_json::from_slice(payload).unwrap();
        let errors: Vec<String> = self.0[topic.name()].iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?} in {value:#}", topic.name());
    }

    /// Over the wire and back, checked.
    fn sent<M: Message>(&self, robot: &RobotId, topic: RobotTopic, message: &M) -> M {
        let bytes = encode(message).unwrap();
        self.check(topic, &bytes);
        decode(robot, &bytes).unwrap()
    }
}

struct World {
    control: MasterControl,
    robots: Vec<Amr>,
    gone: Vec<bool>,
    told_us: Vec<i64>,
    official: Official,
    luck: Chance,
    /// Probability that a message on a QoS 0 topic is lost.
    lossy: f64,
    now_us: i64,
    nearest_m: f64,
    updates: Vec<TaskUpdate>,
    refused: Vec<String>,
}

const STEP_US: i64 = 100_000;

impl World {
    fn new(layout: &StoreLayout, faults: Faults, lossy: f64, seed: u64) -> Self {
        let floor = layout.robots.as_ref().unwrap();
        let robots: Vec<Amr> =
            (0..floor.robots.len()).map(|i| Amr::new(floor, i, faults, seed).unwrap()).collect();
        Self {
            control: MasterControl::new(layout, 0).unwrap(),
            gone: vec![true; robots.len()],
            told_us: vec![0; robots.len()],
            robots,
            official: Official::new(),
            luck: Chance::new(seed, "lost messages"),
            lossy,
            now_us: 0,
            nearest_m: f64::INFINITY,
            updates: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn arrives(&mut self) -> bool {
        !self.luck.happens(self.lossy)
    }

    fn step(&mut self) {
        self.now_us += STEP_US;
        for i in 0..self.robots.len() {
            self.robots[i].advance(STEP_US as f64 * 1e-6);
            let gone = matches!(self.robots[i].trouble, Some((Trouble::Dropout, _)));
            if gone != self.gone[i] {
                self.gone[i] = gone;
                let state = if gone { ConnectionState::ConnectionBroken } else { ConnectionState::Online };
                let id = self.robots[i].id.clone();
                let connection: Connection = self.robots[i].connection(1, state, self.now_us);
                let connection = self.official.sent(&id, RobotTopic::Connection, &connection);
                self.control.handle_connection(&id, &connection, self.now_us);
                self.robots[i].news = true;
            }
            if gone {
                continue;
            }
            let id = self.robots[i].id.clone();
            if std::mem::take(&mut self.robots[i].factsheet_wanted) {
                let factsheet = self.robots[i].factsheet(1, self.now_us);
                let factsheet = self.official.sent(&id, RobotTopic::Factsheet, &factsheet);
                self.control.handle_factsheet(&id, factsheet, self.now_us);
            }
            if self.robots[i].news || self.now_us - self.told_us[i] >= 15_000_000 {
                self.robots[i].news = false;
                self.told_us[i] = self.now_us;
                let state: State = self.robots[i].state(1, self.now_us);
                let state = self.official.sent(&id, RobotTopic::State, &state);
                for error in &state.errors {
                    if error.error_type.starts_with("order") || error.error_type == "validationError" {
                        self.refused.push(format!("{id}: {error:?}"));
                    }
                }
                if self.arrives() {
                    self.control.handle_state(&id, state, self.now_us);
                }
            }
        }
        if self.now_us >= self.control.poll_deadline() {
            self.control.handle_timeout(self.now_us);
        }
        self.hand_over();
        for (i, a) in self.robots.iter().enumerate() {
            for b in &self.robots[..i] {
                self.nearest_m = self.nearest_m.min((a.at - b.at).norm());
            }
        }
    }

    fn hand_over(&mut self) {
        while let Some(output) = self.control.poll_output() {
            let index = |id: &RobotId, robots: &[Amr]| robots.iter().position(|r| r.id == *id).unwrap();
            match output {
                Output::Order(id, order) => {
                    let order: Order = self.official.sent(&id, RobotTopic::Order, &order);
                    let i = index(&id, &self.robots);
                    if !self.gone[i] && self.arrives() {
                        self.robots[i].take_order(&order);
                    }
                }
                Output::InstantActions(id, actions) => {
                    let actions: InstantActions =
                        self.official.sent(&id, RobotTopic::InstantActions, &actions);
                    let i = index(&id, &self.robots);
                    if !self.gone[i] && self.arrives() {
                        self.robots[i].take_actions(&actions);
                    }
                }
                Output::Task(update) => self.updates.push(update),
                Output::Notice { .. } => {}
            }
        }
    }

    fn ended(&self, task: &str) -> bool {
        let last = self.updates.iter().rfind(|u| u.task == task);
        last.is_some_and(|u| u.state == TaskState::Done || u.assignee.as_deref() == Some(STAFF))
    }
}

fn many_tasks(world: &mut World, tasks: usize, bays: usize, hours: f64) {
    let mut place = Chance::new(1, "plates");
    for i in 0..tasks {
        let plate = place.count(0, bays as u32 - 1) as usize;
        world.control.assign(pick(&format!("t-{i}"), plate, i64::MAX / 2), world.now_us);
    }
    let end_us = world.now_us + (hours * 3600.0 * 1e6) as i64;
    while world.now_us < end_us && (0..tasks).any(|i| !world.ended(&format!("t-{i}"))) {
        world.step();
    }
    let open: Vec<usize> = (0..tasks).filter(|i| !world.ended(&format!("t-{i}"))).collect();
    assert!(open.is_empty(), "{open:?} have not ended: {:?}", world.updates.last());
    assert!(world.nearest_m > 0.5, "two robots came within {:.2} m", world.nearest_m);
    assert!(world.control.traffic().deadlocked().is_empty());
}

#[test]
fn robots_do_what_they_are_told_and_no_order_is_refused() {
    let layout = store(6);
    let mut world = World::new(&layout, Faults::default(), 0.0, 1);
    many_tasks(&mut world, 40, layout.plates.len(), 2.0);
    let done = world.updates.iter().filter(|u| u.state == TaskState::Done).count();
    assert_eq!(done, 40);
    assert!(world.refused.is_empty(), "{:?}", world.refused);
}

/// Messages are lost, picks fail, robots stop, break and lose their connection: every task ends, nobody meets.
#[test]
fn faults_and_lost_messages_lose_no_task() {
    let layout = store(6);
    let faults = Faults { fumble: 0.05, refuse: 0.02, stuck: 2.0, fatal: 1.0, dropout: 3.0 };
    for seed in 1..=2 {
        let mut world = World::new(&layout, faults, 0.03, seed);
        many_tasks(&mut world, 60, layout.plates.len(), 6.0);
        let done = world.updates.iter().filter(|u| u.state == TaskState::Done).count();
        assert!(done >= 50, "only {done} of 60 were done by robots");
    }
}

/// The same over a real broker: every message on the wire fits the official schemas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_broker_a_pick_is_done_and_every_message_fits() {
    let layout = store(2);
    let floor = layout.robots.clone().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let hears = ROBOT_TOPICS.into_iter().map(|topic| (None, topic)).collect();
    let (_ear, mut heard) = Peer::connect(PeerConfig {
        url: broker.url(),
        name: "ear".to_owned(),
        topics: RobotTopics::default(),
        hears,
        will: None,
        identity: None,
    })
    .unwrap();
    assert_eq!(heard.recv().await, Some(PeerEvent::Connected));
    let config = RobotsConfig { url: broker.url(), identity: None, eyes: Box::new(|| None) };
    let mut robots = Robots::start(&layout, config).unwrap();
    let setting =
        peer::Setting { url: broker.url(), speed: 30.0, seed: 1, faults: Faults::default(), scales: None };
    let running: Vec<peer::Running> = (0..2).map(|i| peer::start(&floor, i, &setting).unwrap()).collect();
    robots.commands.send(Command::Assign(pick("t-1", 40, i64::MAX / 2))).await.unwrap();
    let mut updates = robots.updates.take().unwrap();
    let done = async {
        while let Some(update) = updates.recv().await {
            if update.state == TaskState::Done {
                return update;
            }
        }
        panic!("master control ended");
    };
    let done = tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
    assert!(done.assignee.unwrap().starts_with("linefree/amr-"));
    for robot in running {
        robot.stop().await;
    }
    let official = Official::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    // Both robots say goodbye at the end.
    let mut offline = 0;
    while offline < 2 {
        let event = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.unwrap().unwrap();
        let PeerEvent::Message { robot, topic, payload } = event else { continue };
        official.check(topic, &payload);
        *seen.entry(topic.name()).or_default() += 1;
        if topic == RobotTopic::Connection {
            let connection: Connection = decode(&robot, &payload).unwrap();
            offline += usize::from(connection.connection_state == ConnectionState::Offline);
        }
    }
    for topic in ROBOT_TOPICS {
        assert!(seen.contains_key(topic.name()), "nothing was heard on {}: {seen:?}", topic.name());
    }
}

/// A robot that is cut off leaves its last will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_that_is_cut_off_leaves_its_will() {
    let layout = store(2);
    let floor = layout.robots.clone().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let (_ear, mut heard) = Peer::connect(PeerConfig {
        url: broker.url(),
        name: "ear".to_owned(),
        topics: RobotTopics::default(),
        hears: vec![(None, RobotTopic::Connection)],
        will: None,
        identity: None,
    })
    .unwrap();
    assert_eq!(heard.recv().await, Some(PeerEvent::Connected));
    // A dropout a second, of its own time.
    let faults = Faults { dropout: 3600.0, ..Faults::default() };
    let setting = peer::Setting { url: broker.url(), speed: 1.0, seed: 3, faults, scales: None };
    let running = peer::start(&floor, 0, &setting).unwrap();
    let broken = async {
        loop {
            let Some(PeerEvent::Message { robot, payload, .. }) = heard.recv().await else { continue };
            let connection: Connection = decode(&robot, &payload).unwrap();
            if connection.connection_state == ConnectionState::ConnectionBroken {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), broken).await.unwrap();
    running.stop().await;
}
