//! What is known of one robot.

use std::collections::{BTreeMap, VecDeque};

use linefree_bus::vda5050::factsheet::{ActionScope, Factsheet};
use linefree_bus::vda5050::order::{Action, ActionParameter, BlockingType};
use linefree_bus::vda5050::state::{ActionStatus, EStop, ErrorLevel, OperatingMode, State};
use linefree_bus::vda5050::{RobotId, VERSION};
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::RobotPost;

use super::trip::Trip;

/// Is a robot within reach?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It has said nothing yet.
    Unheard,
    /// Yes.
    Online,
    /// No, since then.
    Lost(i64),
}

/// Where a robot is for the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Nowhere: it has not said where it is.
    Unknown,
    /// On this lane node, without a way that is reserved for it.
    Astray(usize),
    /// Where the traffic has it.
    Known,
}

/// What a robot does at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Takes goods.
    Pick,
    /// Gives goods.
    Drop,
    /// Puts a shelf in order.
    Tidy,
}

impl Work {
    /// The standard's type of action; `tidy` is our own.
    #[must_use]
    pub fn action_type(self) -> &'static str {
        match self {
            Self::Pick => "pick",
            Self::Drop => "drop",
            Self::Tidy => "tidy",
        }
    }
}

/// Where a stop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopAt {
    /// Within reach of a plate.
    Plate(PlateIndex),
    /// At a station.
    Station(String),
}

/// A stop of a job: a place, and what is done there for which task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Where.
    pub at: StopAt,
    /// What.
    pub work: Vec<(String, Work)>,
}

/// What a robot is to do: one or several tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// The tasks that are not over.
    pub tasks: Vec<String>,
    /// The stops still to come.
    pub stops: VecDeque<Stop>,
}

/// An order that is being called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelling {
    /// The instant action.
    pub action_id: String,
    /// When it was last sent.
    pub sent_us: i64,
    /// How often.
    pub tries: u32,
}

/// What a robot has done of a task, as its own states say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The goods are on it.
    Picked,
    /// The goods are where they were to go.
    Delivered,
}

/// One robot.
#[derive(Debug, Clone)]
pub struct Vehicle {
    /// Who.
    pub id: RobotId,
    /// Its entry in `store.toml`.
    pub post: RobotPost,
    /// Is it within reach?
    pub link: Link,
    /// When it was last heard.
    pub heard_us: i64,
    /// Version of the protocol that it speaks.
    pub version: String,
    /// Numbers of our messages to it: orders, instant actions.
    pub headers: [u32; 2],
    /// Its newest state.
    pub state: Option<State>,
    /// Its factsheet.
    pub factsheet: Option<Factsheet>,
    /// When the factsheet was last asked for, and how often.
    pub asked_factsheet: (i64, u32),
    /// Where it is for the traffic.
    pub whereabouts: Whereabouts,
    /// Where it drives.
    pub trip: Option<Trip>,
    /// What it is to do.
    pub job: Option<Job>,
    /// The order that is being called off.
    pub cancelling: Option<Cancelling>,
    /// What it has done of tasks, by their id.
    pub done: BTreeMap<String, Progress>,
    /// It takes no new task before this.
    pub rest_until_us: i64,
    /// Since when its next stop has not been free.
    pub blocked_us: Option<i64>,
    /// What staff were last told of it.
    pub told: Option<String>,
    /// Number of the next thing that it is told, for ids.
    pub next_id: u32,
}

/// Below this charge a robot takes no new task, percent.
pub const LOW_BATTERY: f64 = 25.0;
/// A robot at home is charged when it has less, percent.
pub const CHARGE_BELOW: f64 = 90.0;

impl Vehicle {
    /// That has said nothing yet.
    #[must_use]
    pub fn new(post: &RobotPost, now_us: i64) -> Self {
        Self {
            id: RobotId::new(post.manufacturer.as_str(), post.serial.as_str()),
            post: post.clone(),
            link: Link::Unheard,
            heard_us: now_us,
            version: VERSION.to_owned(),
            headers: [0; 2],
            state: None,
            factsheet: None,
            asked_factsheet: (i64::MIN, 0),
            whereabouts: Whereabouts::Unknown,
            trip: None,
            job: None,
            cancelling: None,
            done: BTreeMap::new(),
            rest_until_us: i64::MIN,
            blocked_us: None,
            told: None,
            next_id: 0,
        }
    }

    /// Why it cannot drive now, if it cannot.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        if self.link != Link::Online {
            return Some("it is not connected".to_owned());
        }
        let Some(state) = &self.state else { return Some("it has not told its state".to_owned()) };
        if let Some(error) = state.errors.iter().find(|e| e.error_level == ErrorLevel::Fatal) {
            let text = error.error_description.as_deref().unwrap_or_default();
            return Some(format!("error {} {text}", error.error_type).trim_end().to_owned());
        }
        if !matches!(state.operating_mode, OperatingMode::Automatic | OperatingMode::SemiAutomatic) {
            return Some(format!("a person drives it ({:?})", state.operating_mode));
        }
        if state.safety_state.e_stop != EStop::None {
            return Some("its emergency stop is pressed".to_owned());
        }
        match &state.agv_position {
            Some(at) if !at.position_initialized => Some("it does not know where it is".to_owned()),
            _ => None,
        }
    }

    /// Percent.
    #[must_use]
    pub fn charge(&self) -> f64 {
        self.state.as_ref().map_or(0.0, |s| s.battery_state.battery_charge)
    }

    /// Is it being charged?
    #[must_use]
    pub fn is_charging(&self) -> bool {
        self.state.as_ref().is_some_and(|s| s.battery_state.charging)
    }

    /// Does it know an action? Without a factsheet it is taken to know picking and dropping only.
    #[must_use]
    pub fn knows(&self, action_type: &str, scope: ActionScope) -> bool {
        match &self.factsheet {
            Some(factsheet) => factsheet.knows(action_type, scope),
            None => scope == ActionScope::Node && matches!(action_type, "pick" | "drop"),
        }
    }

    /// What it calls its loads.
    #[must_use]
    pub fn load_type(&self) -> String {
        let of_factsheet = || {
            let sets = &self.factsheet.as_ref()?.load_specification.load_sets;
            sets.first().map(|s| s.load_type.clone())
        };
        self.post.load_type.clone().or_else(of_factsheet).unwrap_or_else(|| "TOTE".to_owned())
    }

    /// Goods are on it that no job of it is about.
    #[must_use]
    pub fn carries_leftovers(&self) -> bool {
        let of_job = |task: &String| self.job.as_ref().is_some_and(|j| j.tasks.contains(task));
        self.done.iter().any(|(task, progress)| *progress == Progress::Picked && !of_job(task))
    }

    /// An action without parameters.
    #[must_use]
    pub fn action(action_type: &str, action_id: String) -> Action {
        Action {
            action_type: action_type.to_owned(),
            action_id,
            action_description: None,
            blocking_type: BlockingType::Hard,
            action_parameters: Vec::new(),
        }
    }

    /// The same with parameters.
    #[must_use]
    pub fn action_with(action_type: &str, action_id: String, parameters: Vec<ActionParameter>) -> Action {
        Action { action_parameters: parameters, ..Self::action(action_type, action_id) }
    }

    /// How far an action is, as the newest state says.
    #[must_use]
    pub fn status(&self, action_id: &str) -> Option<ActionStatus> {
        self.state.as_ref()?.action(action_id).map(|a| a.action_status)
    }
}
