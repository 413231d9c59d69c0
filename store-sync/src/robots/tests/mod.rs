//! Master control against robots that do as they are told, or not.

mod failures;
mod handling;
mod robot;
mod smooth;

use std::path::Path;

use linefree_bus::vda5050::check;
use linefree_domain::layout::StoreLayout;
use linefree_recording::StoreFile;

use super::control::{MasterControl, Output};
use super::{RobotTask, RobotTaskKind, TaskState, TaskUpdate};
use robot::FakeRobot;

/// A ring of lanes with two bays, two counters, a place for stock, and homes for two robots.
///
/// ```text
///   b1   b2
///    |    |
///   l1---l2---l3---l4---h1
///    |              |
///   k1---k2---k3---k4
///    |    |    |    |
///   s1   c1   h2   c2
/// ```
const STORE: &str = r#"format = 1
[store]
id = "corner"
name = "Corner"
timezone = "UTC"
currency = "EUR"
floor = [[0, 0], [9, 0], [9, 6], [0, 6]]
[[gondola]]
id = "g"
origin = [0.5, 5, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "1"
height_m = 1
plates = [
  { id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] },
  { id = "2", offset = [1.5, 0.0], size = [0.3, 0.4] },
  { id = "3", offset = [3.0, 0.0], size = [0.3, 0.4] },
]
[robots]
totes = 2
staff_after = 2
edges = [
  ["l1", "l2"], ["l2", "l3"], ["l3", "l4"], ["k1", "k2"], ["k2", "k3"], ["k3", "k4"], ["l1", "k1"], ["l4", "k4"],
  ["l1", "b1"], ["l2", "b2"], ["k1", "s1"], ["k2", "c1"], ["k3", "h2"], ["k4", "c2"], ["l4", "h1"],
]
[[robots.node]]
id = "l1"
at = [1, 3]
[[robots.node]]
id = "l2"
at = [2.5, 3]
[[robots.node]]
id = "l3"
at = [4, 3]
[[robots.node]]
id = "l4"
at = [5.5, 3]
[[robots.node]]
id = "k1"
at = [1, 1.5]
[[robots.node]]
id = "k2"
at = [2.5, 1.5]
[[robots.node]]
id = "k3"
at = [4, 1.5]
[[robots.node]]
id = "k4"
at = [5.5, 1.5]
[[robots.node]]
id = "b1"
at = [1, 4]
place = "bay"
plates = ["g/1/1"]
[[robots.node]]
id = "b2"
at = [2.5, 4]
place = "bay"
plates = ["g/1/2"]
[[robots.node]]
id = "s1"
at = [1, 0.5]
place = "bay"
station = "stock"
[[robots.node]]
id = "c1"
at = [2.5, 0.5]
place = "bay"
station = "counter"
[[robots.node]]
id = "c2"
at = [5.5, 0.5]
place = "bay"
station = "counter"
[[robots.node]]
id = "h1"
at = [7, 3]
place = "home"
[[robots.node]]
id = "h2"
at = [4, 0.5]
place = "home"
[[robots.robot]]
manufacturer = "acme"
serial = "r1"
home = "h1"
[[robots.robot]]
manufacturer = "acme"
serial = "r2"
home = "h2"
"#;

const SECOND_US: i64 = 1_000_000;

fn layout() -> StoreLayout {
    StoreFile::parse(Path::new("store.toml"), STORE).unwrap().layout
}

/// A pick of two items from a plate, due in an hour, for an order of its own.
fn pick(task: &str, plate: &str) -> RobotTask {
    RobotTask {
        task: task.to_owned(),
        kind: RobotTaskKind::Pick,
        order: Some(format!("o-{task}")),
        sku: "4006381333931".to_owned(),
        quantity: 2,
        plate: plate.to_owned(),
        deliver_to: String::new(),
        due_us: 3600 * SECOND_US,
    }
}

/// Master control, its robots, and everything that was said.
struct Floor {
    control: MasterControl,
    robots: Vec<FakeRobot>,
    now_us: i64,
    updates: Vec<TaskUpdate>,
    notices: Vec<String>,
}

impl Floor {
    /// Two robots at home, known to master control.
    fn new() -> Self {
        Self::with(vec![FakeRobot::at("r1", "h1"), FakeRobot::at("r2", "h2")])
    }

    fn with(robots: Vec<FakeRobot>) -> Self {
        Self::in_store(&layout(), robots)
    }

    fn in_store(layout: &StoreLayout, robots: Vec<FakeRobot>) -> Self {
        let control = MasterControl::new(layout, 0).unwrap();
        let mut floor = Self { control, robots, now_us: 0, updates: Vec::new(), notices: Vec::new() };
        floor.control.handle_connected(0);
        for i in 0..floor.robots.len() {
            floor.connect(i);
        }
        floor
    }

    fn connect(&mut self, i: usize) {
        let robot = &mut self.robots[i];
        let id = robot.id.clone();
        robot.online = true;
        let (connection, factsheet) = (robot.connection(true), robot.factsheet());
        self.control.handle_connection(&id, &connection, self.now_us);
        self.control.handle_factsheet(&id, factsheet, self.now_us);
        self.tell(i);
    }

    fn disconnect(&mut self, i: usize) {
        self.robots[i].online = false;
        let (id, connection) = (self.robots[i].id.clone(), self.robots[i].connection(false));
        self.control.handle_connection(&id, &connection, self.now_us);
        self.hand_over();
    }

    /// Robot `i` tells its state.
    fn tell(&mut self, i: usize) {
        if self.robots[i].online {
            let (id, state) = (self.robots[i].id.clone(), self.robots[i].state());
            self.control.handle_state(&id, state, self.now_us);
            self.hand_over();
        }
    }

    /// Hands over what master control says.
    fn hand_over(&mut self) {
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Order(id, order) => {
                    assert_eq!(check::check(&order), Ok(()));
                    if let Some(robot) = self.robots.iter_mut().find(|r| r.id == id && r.online) {
                        robot.take_order(order);
                    }
                }
                Output::InstantActions(id, actions) => {
                    if let Some(robot) = self.robots.iter_mut().find(|r| r.id == id && r.online) {
                        robot.take_actions(&actions);
                    }
                }
                Output::Task(update) => self.updates.push(update),
                Output::Notice { robot, text } => self.notices.push(format!("{robot}: {text}")),
            }
        }
        self.nobody_meets();
    }

    /// No two robots have one node, or the same edge from its two ends.
    fn nobody_meets(&self) {
        for (i, a) in self.robots.iter().enumerate() {
            for b in &self.robots[..i] {
                assert_ne!(a.node, b.node, "{} and {} meet", a.id, b.id);
            }
        }
    }

    /// One second passes: everybody does one step, tells it, and time-outs are looked at.
    fn second(&mut self) {
        self.now_us += SECOND_US;
        for i in 0..self.robots.len() {
            if self.robots[i].step() {
                self.nobody_meets();
                self.tell(i);
            }
        }
        if self.now_us % (10 * SECOND_US) == 0 {
            for i in 0..self.robots.len() {
                self.tell(i);
            }
        }
        self.control.handle_timeout(self.now_us);
        self.hand_over();
    }

    /// Seconds pass until something holds; panics when it does not within `at_most`.
    fn until(&mut self, at_most: u32, holds: impl Fn(&Self) -> bool) {
        for _ in 0..at_most {
            if holds(self) {
                return;
            }
            self.second();
        }
        for (v, robot) in self.control.vehicles().iter().enumerate() {
            let way: Vec<&str> =
                self.control.traffic().way(v).map(|n| self.control.map.nodes()[n].id.as_str()).collect();
            println!("{}: {:?} {:?} {way:?}", robot.id, robot.whereabouts, robot.unfit());
            println!(
                "  trip {:?}",
                robot.trip.as_ref().map(|t| (&t.nodes, t.reached, t.released, t.purpose, t.void))
            );
            println!("  job {:?} cancelling {:?}", robot.job, robot.cancelling);
        }
        panic!("it did not come to that: {:?} {:?}", self.updates, self.notices);
    }

    fn assign(&mut self, task: RobotTask) {
        self.control.assign(task, self.now_us);
        self.hand_over();
    }

    /// What was told of a task, in order: state and who has it.
    fn told(&self, task: &str) -> Vec<(TaskState, Option<&str>)> {
        let of = self.updates.iter().filter(|u| u.task == task);
        of.map(|u| (u.state, u.assignee.as_deref())).collect()
    }

    fn is(&self, task: &str, state: TaskState) -> bool {
        self.updates.iter().rfind(|u| u.task == task).is_some_and(|u| u.state == state)
    }
}
