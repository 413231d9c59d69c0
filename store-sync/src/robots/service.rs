//! Master control on the broker: the shell around [`MasterControl`].
//!
//! One task on the runtime: messages of robots, commands and the clock in; messages to robots and what becomes of tasks
//! out. **Bounds.** [`COMMANDS`] commands and [`UPDATES`] updates wait at most; when nobody reads updates, further ones
//! are dropped, and whoever gives a task again is told again how it stands. **Failure.** Without the broker nothing is
//! sent; what was not sent is sent again by time-outs. Messages that do not parse are counted, and told at each doubling.

use std::time::Duration;

use anyhow::Context as _;
use linefree_bus::identity::TlsIdentity;
use linefree_bus::payload::Handling;
use linefree_bus::url::BusUrl;
use linefree_bus::vda5050::factsheet::Factsheet;
use linefree_bus::vda5050::peer::{Peer, PeerConfig, PeerEvent};
use linefree_bus::vda5050::state::{Connection, State};
use linefree_bus::vda5050::topic::{RobotTopic, RobotTopics};
use linefree_bus::vda5050::{Message, RobotId, decode, encode};
use linefree_domain::layout::StoreLayout;
use nalgebra::Point2;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::control::{MasterControl, Output};
use super::vehicle::{Link, Vehicle};
use super::{RobotTask, TaskUpdate};
use crate::clock::wall_us;

/// Commands that wait.
pub const COMMANDS: usize = 4096;
/// Updates that wait.
pub const UPDATES: usize = 4096;
/// How often it is looked where people are, and what is known of robots is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What master control is told by the rest of the program.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Do this.
    Assign(RobotTask),
    /// Do not do this task.
    Cancel(String),
    /// Staff have brought this robot home and taken goods off it.
    MovedHome(RobotId),
}

/// Where people are; `None` while nobody watches.
pub type Eyes = Box<dyn Fn() -> Option<Vec<Point2<f64>>> + Send>;

/// How one robot is, for people.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RobotView {
    /// `manufacturer/serialNumber`.
    pub robot: String,
    /// Is it connected?
    pub online: bool,
    /// Where it is, metres; absent when it has not said.
    pub at: Option<[f64; 2]>,
    /// The node where it is, or which it is leaving.
    pub node: Option<String>,
    /// The nodes that it may drive along now.
    pub base: Vec<String>,
    /// The rest of its way.
    pub horizon: Vec<String>,
    /// Percent.
    pub battery: f64,
    /// Is it being charged?
    pub charging: bool,
    /// What it works on.
    pub tasks: Vec<String>,
    /// Why it cannot drive now, if it cannot.
    pub unfit: Option<String>,
    /// What staff should see to.
    pub notice: Option<String>,
}

/// How the service is run.
pub struct RobotsConfig {
    /// Where the broker is.
    pub url: BusUrl,
    /// Who we are to it, over TLS.
    pub identity: Option<TlsIdentity>,
    /// Where people are.
    pub eyes: Eyes,
}

/// Master control that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Robots {
    /// To give tasks.
    pub commands: mpsc::Sender<Command>,
    /// What becomes of them; taken by whoever keeps the orders.
    pub updates: Option<mpsc::Receiver<TaskUpdate>>,
    /// How the robots are.
    pub views: watch::Receiver<Vec<RobotView>>,
    /// What they handle at shelves, and what they have handled of late.
    pub handlings: watch::Receiver<Vec<Handling>>,
    task: JoinHandle<()>,
}

impl Drop for Robots {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Robots {
    /// Starts master control of a store's robots.
    ///
    /// # Errors
    /// When the store has none, or their map is wrong, or there is no runtime.
    pub fn start(layout: &StoreLayout, config: RobotsConfig) -> anyhow::Result<Self> {
        let control = MasterControl::new(layout, wall_us())?;
        let interface = layout.robots.as_ref().map_or("", |r| r.interface.as_str());
        let topics = RobotTopics::new(interface).context("[robots] interface")?;
        let heard = [RobotTopic::Connection, RobotTopic::State, RobotTopic::Factsheet];
        let peer = PeerConfig {
            url: config.url,
            name: format!("linefree-{}-robots", layout.id),
            topics,
            hears: heard.into_iter().map(|topic| (None, topic)).collect(),
            will: None,
            identity: config.identity,
        };
        let (peer, events) = Peer::connect(peer)?;
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (updates, updated) = mpsc::channel(UPDATES);
        let (say, views) = watch::channel(Vec::new());
        let (handle, handlings) = watch::channel(Vec::new());
        let service = Service {
            control,
            peer,
            updates,
            views: say,
            handlings: handle,
            malformed: 0,
            eyes: config.eyes,
        };
        let task = tokio::spawn(service.run(events, commanded));
        Ok(Self { commands, updates: Some(updated), views, handlings, task })
    }
}

struct Service {
    control: MasterControl,
    peer: Peer,
    updates: mpsc::Sender<TaskUpdate>,
    views: watch::Sender<Vec<RobotView>>,
    handlings: watch::Sender<Vec<Handling>>,
    malformed: u64,
    eyes: Eyes,
}

impl Service {
    async fn run(mut self, mut events: mpsc::Receiver<PeerEvent>, mut commands: mpsc::Receiver<Command>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = look.tick() => self.look(),
            }
            self.say();
            self.tell_handlings();
        }
    }

    fn tell_handlings(&self) {
        let handlings = self.control.handlings(wall_us());
        self.handlings.send_if_modified(|known| {
            let new = *known != handlings;
            *known = handlings;
            new
        });
    }

    fn look(&mut self) {
        let now_us = wall_us();
        if let Some(people) = (self.eyes)() {
            self.control.handle_people(people, now_us);
        }
        if now_us >= self.control.poll_deadline() {
            self.control.handle_timeout(now_us);
        }
        let views: Vec<RobotView> =
            (0..self.control.vehicles().len()).map(|v| view(&self.control, v)).collect();
        self.views.send_if_modified(|known| {
            let new = *known != views;
            *known = views;
            new
        });
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign(task) => self.control.assign(task, wall_us()),
            Command::Cancel(task) => self.control.cancel(&task, wall_us()),
            Command::MovedHome(robot) => {
                if !self.control.moved_home(&robot, wall_us()) {
                    tracing::warn!(%robot, "there is no such robot");
                }
            }
        }
    }

    fn hear(&mut self, event: PeerEvent) {
        let now_us = wall_us();
        match event {
            PeerEvent::Connected => {
                tracing::info!("master control of robots is connected");
                self.control.handle_connected(now_us);
            }
            PeerEvent::Disconnected(why) => tracing::warn!("master control of robots lost the broker: {why}"),
            PeerEvent::Message { robot, topic, payload } => match topic {
                RobotTopic::State => {
                    if let Some(state) = self.read::<State>(&robot, topic, &payload) {
                        self.control.handle_state(&robot, state, now_us);
                    }
                }
                RobotTopic::Connection => {
                    if let Some(connection) = self.read::<Connection>(&robot, topic, &payload) {
                        self.control.handle_connection(&robot, &connection, now_us);
                    }
                }
                RobotTopic::Factsheet => {
                    if let Some(factsheet) = self.read::<Factsheet>(&robot, topic, &payload) {
                        self.control.handle_factsheet(&robot, factsheet, now_us);
                    }
                }
                RobotTopic::Order | RobotTopic::InstantActions | RobotTopic::Visualization => {}
            },
        }
    }

    fn read<M: Message>(&mut self, robot: &RobotId, topic: RobotTopic, payload: &[u8]) -> Option<M> {
        match decode(robot, payload) {
            Ok(message) => Some(message),
            Err(why) => {
                self.malformed += 1;
                if self.malformed.is_power_of_two() {
                    let (topic, so_far) = (topic.name(), self.malformed);
                    tracing::warn!(%robot, topic, so_far, "a robot's message does not parse: {why}");
                }
                None
            }
        }
    }

    /// Sends what master control has to say.
    fn say(&mut self) {
        while let Some(output) = self.control.poll_output() {
            let sent = match &output {
                Output::Order(robot, order) => self.send(robot, RobotTopic::Order, order),
                Output::InstantActions(robot, actions) => {
                    self.send(robot, RobotTopic::InstantActions, actions)
                }
                Output::Task(update) => {
                    tracing::info!(
                        task = update.task, state = ?update.state, assignee = update.assignee.as_deref(),
                        reason = update.reason.as_deref(), "robot task"
                    );
                    if self.updates.try_send(update.clone()).is_err() {
                        tracing::debug!(task = update.task, "nobody takes the update");
                    }
                    Ok(())
                }
                Output::Notice { robot, text } => {
                    tracing::warn!(%robot, "{text}");
                    Ok(())
                }
            };
            if let Err(why) = sent {
                // It is sent again when its time is up.
                tracing::debug!("not sent to a robot: {why:#}");
            }
        }
    }

    fn send<M: Message>(&self, robot: &RobotId, topic: RobotTopic, message: &M) -> anyhow::Result<()> {
        Ok(self.peer.send(robot, topic, encode(message)?)?)
    }
}

/// How a robot is, for people.
fn view(control: &MasterControl, v: usize) -> RobotView {
    let vehicle: &Vehicle = &control.vehicles()[v];
    let traffic = control.traffic();
    let name = |n: usize| traffic.map().nodes().get(n).map(|n| n.id.clone()).unwrap_or_default();
    let ahead: Vec<usize> = traffic.way(v).skip(1).collect();
    let released = traffic.released(v).min(ahead.len());
    let position = vehicle.state.as_ref().and_then(|s| s.agv_position.as_ref());
    RobotView {
        robot: vehicle.id.to_string(),
        online: vehicle.link == Link::Online,
        at: position.map(|p| [(p.x * 1e3).round() / 1e3, (p.y * 1e3).round() / 1e3]),
        node: traffic.at(v).map(name),
        base: ahead[..released].iter().map(|n| name(*n)).collect(),
        horizon: ahead[released..].iter().map(|n| name(*n)).collect(),
        battery: vehicle.charge(),
        charging: vehicle.is_charging(),
        tasks: vehicle.job.as_ref().map(|j| j.tasks.clone()).unwrap_or_default(),
        unfit: vehicle.unfit(),
        notice: vehicle.told.clone(),
    }
}
