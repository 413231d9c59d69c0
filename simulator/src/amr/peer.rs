//! A simulated robot on the broker.
//!
//! It tells its state when something has happened and every 15 s, where it is twice a second, and its factsheet and
//! connection with the retain flag; the broker publishes `CONNECTIONBROKEN` when it is lost. A dropout cuts the
//! connection as a radio hole does, while the robot drives on to the end of its base.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use linefree_bus::url::BusUrl;
use linefree_bus::vda5050::order::{InstantActions, Order};
use linefree_bus::vda5050::peer::{Peer, PeerConfig, PeerEvent};
use linefree_bus::vda5050::state::ConnectionState;
use linefree_bus::vda5050::topic::{RobotTopic, RobotTopics};
use linefree_bus::vda5050::{Message, decode, encode};
use linefree_domain::layout::RobotFloor;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::faults::Faults;
use super::scales::Scales;
use super::vehicle::{Amr, Trouble};

const TICK: Duration = Duration::from_millis(50);
const STATE_EVERY_US: i64 = 15_000_000;
const VISUALIZATION_EVERY_US: i64 = 500_000;

/// How robots are run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Where the broker is.
    pub url: BusUrl,
    /// How many times faster than real.
    pub speed: f64,
    /// Decides faults.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Scales that feel what they do.
    pub scales: Option<Scales>,
}

/// A robot that runs.
#[derive(Debug)]
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Says goodbye and ends.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.task.await;
    }
}

/// Wall clock, microseconds since the Unix epoch.
pub(super) fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Starts one of a store's robots.
///
/// # Errors
/// When the store has no such robot, or there is no runtime.
pub fn start(floor: &RobotFloor, robot: usize, setting: &Setting) -> anyhow::Result<Running> {
    let amr = Amr::new(floor, robot, setting.faults, setting.seed).context("the store has no such robot")?;
    let topics = RobotTopics::new(&floor.interface)?;
    let body = Body { amr, topics, setting: setting.clone(), numbers: [0; 4], told_us: 0, shown_us: 0 };
    let (stop, stopped) = oneshot::channel();
    let (peer, events) = body.connect()?;
    let task = tokio::spawn(body.run(peer, events, stopped));
    Ok(Running { stop: Some(stop), task })
}

struct Body {
    amr: Amr,
    topics: RobotTopics,
    setting: Setting,
    /// Header numbers: state, visualization, connection, factsheet.
    numbers: [u32; 4],
    told_us: i64,
    shown_us: i64,
}

impl Body {
    fn connect(&self) -> anyhow::Result<(Peer, mpsc::Receiver<PeerEvent>)> {
        let will = self.amr.connection(0, ConnectionState::ConnectionBroken, wall_us());
        let id = &self.amr.id;
        let config = PeerConfig {
            url: self.setting.url.clone(),
            name: format!("{}-{}", id.manufacturer, id.serial),
            topics: self.topics.clone(),
            hears: [RobotTopic::Order, RobotTopic::InstantActions].map(|t| (Some(id.clone()), t)).to_vec(),
            will: Some((id.clone(), RobotTopic::Connection, encode(&will)?)),
            identity: None,
        };
        Ok(Peer::connect(config)?)
    }

    async fn run(
        mut self,
        peer: Peer,
        mut events: mpsc::Receiver<PeerEvent>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut peer = Some(peer);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before_us = wall_us();
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                event = events.recv(), if peer.is_some() => match event {
                    Some(event) => self.hear(peer.as_ref(), event),
                    None => peer = None,
                },
                _ = tick.tick() => {
                    let now_us = wall_us();
                    // A machine that was asleep does not make a robot leap.
                    let dt_s = ((now_us - before_us) as f64 * 1e-6).clamp(0.0, 1.0) * self.setting.speed;
                    before_us = now_us;
                    self.amr.advance(dt_s);
                    for moved in self.amr.moved.drain(..) {
                        if let Some(scales) = &self.setting.scales {
                            scales.moved(&moved);
                        }
                    }
                    let gone = matches!(self.amr.trouble, Some((Trouble::Dropout, _)));
                    if gone {
                        // Dropped without a goodbye: the broker publishes the will.
                        peer = None;
                    } else if peer.is_none()
                        && let Ok((new, heard)) = self.connect()
                    {
                        (peer, events) = (Some(new), heard);
                    }
                }
            }
            if let Some(peer) = &peer {
                self.tell(peer);
            }
        }
        if let Some(peer) = peer {
            let number = self.next(2);
            let offline = self.amr.connection(number, ConnectionState::Offline, wall_us());
            self.send(&peer, RobotTopic::Connection, &offline);
            peer.close(Duration::from_secs(2)).await;
        }
    }

    fn next(&mut self, topic: usize) -> u32 {
        self.numbers[topic] = self.numbers[topic].wrapping_add(1);
        self.numbers[topic]
    }

    fn send<M: Message>(&self, peer: &Peer, topic: RobotTopic, message: &M) -> bool {
        // What is not sent now is sent with the next change.
        encode(message).is_ok_and(|payload| peer.send(&self.amr.id, topic, payload).is_ok())
    }

    fn hear(&mut self, peer: Option<&Peer>, event: PeerEvent) {
        match event {
            PeerEvent::Connected => {
                let number = self.next(2);
                let online = self.amr.connection(number, ConnectionState::Online, wall_us());
                if let Some(peer) = peer {
                    self.send(peer, RobotTopic::Connection, &online);
                }
                self.amr.factsheet_wanted = true;
                self.amr.news = true;
            }
            PeerEvent::Message { robot, topic: RobotTopic::Order, payload } => {
                match decode::<Order>(&robot, &payload) {
                    Ok(order) => self.amr.take_order(&order),
                    Err(why) => self.malformed("order", &why.to_string()),
                }
            }
            PeerEvent::Message { robot, topic: RobotTopic::InstantActions, payload } => {
                match decode::<InstantActions>(&robot, &payload) {
                    Ok(actions) => self.amr.take_actions(&actions),
                    Err(why) => self.malformed("instantActions", &why.to_string()),
                }
            }
            PeerEvent::Message { .. } | PeerEvent::Disconnected(_) => {}
        }
    }

    fn malformed(&mut self, topic: &str, why: &str) {
        let level = linefree_bus::vda5050::state::ErrorLevel::Warning;
        let error = super::told::error("validationError", level, why, &[("topic", topic)]);
        self.amr.errors.retain(|e| e.error_references != error.error_references);
        self.amr.errors.push(error);
        self.amr.news = true;
    }

    fn tell(&mut self, peer: &Peer) {
        if !peer.is_connected() {
            return;
        }
        let now_us = wall_us();
        if std::mem::take(&mut self.amr.factsheet_wanted) {
            let number = self.next(3);
            let factsheet = self.amr.factsheet(number, now_us);
            self.send(peer, RobotTopic::Factsheet, &factsheet);
        }
        if self.amr.news || now_us - self.told_us >= STATE_EVERY_US {
            let number = self.next(0);
            let state = self.amr.state(number, now_us);
            if self.send(peer, RobotTopic::State, &state) {
                self.amr.news = false;
                self.told_us = now_us;
            }
        }
        if now_us - self.shown_us >= VISUALIZATION_EVERY_US {
            let number = self.next(1);
            let visualization = self.amr.visualization(number, now_us);
            self.send(peer, RobotTopic::Visualization, &visualization);
            self.shown_us = now_us;
        }
    }
}
