//! The six topics of VDA 5050: `{interface}/v2/{manufacturer}/{serialNumber}/{topic}`.
//!
//! Delivery is the standard's (chapter 6.2): QoS 0 but for `connection`; `connection` and `factsheet` are retained.
//! Because QoS 0 may lose a message, master control sends an order again until the robot's state shows it.

use std::fmt;

use super::RobotId;
use crate::topic::{Delivery, MAX_LEVEL_CHARS};

/// The interface name that the standard proposes.
pub const DEFAULT_INTERFACE: &str = "uagv";

/// The store's own topics begin so.
const RESERVED: &str = "linefree";

/// The topic level of the protocol's major version.
const MAJOR: &str = "v2";

/// What a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RobotTopic {
    /// Where to drive and what to do there, from master control.
    Order,
    /// What to do at once, from master control.
    InstantActions,
    /// How the robot is.
    State,
    /// Where the robot is, more often.
    Visualization,
    /// Whether the robot is connected; its last will.
    Connection,
    /// What kind of robot it is.
    Factsheet,
}

/// All of them.
pub const ROBOT_TOPICS: [RobotTopic; 6] = [
    RobotTopic::Order,
    RobotTopic::InstantActions,
    RobotTopic::State,
    RobotTopic::Visualization,
    RobotTopic::Connection,
    RobotTopic::Factsheet,
];

impl RobotTopic {
    /// The last level of the topic.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::InstantActions => "instantActions",
            Self::State => "state",
            Self::Visualization => "visualization",
            Self::Connection => "connection",
            Self::Factsheet => "factsheet",
        }
    }

    /// Is it master control that speaks here? Otherwise it is the robot.
    #[must_use]
    pub fn from_master(self) -> bool {
        matches!(self, Self::Order | Self::InstantActions)
    }

    /// How it is delivered.
    #[must_use]
    pub fn delivery(self) -> Delivery {
        if self == Self::Connection { Delivery::AtLeastOnce } else { Delivery::AtMostOnce }
    }

    /// Does the broker keep the last one?
    #[must_use]
    pub fn retained(self) -> bool {
        matches!(self, Self::Connection | Self::Factsheet)
    }
}

/// Why a name cannot stand in a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot stand in a topic: 1 to {MAX_LEVEL_CHARS} of A-Z a-z 0-9 _ . : - are allowed (VDA 5050, 6.1.2); `linefree` is taken"
)]
pub struct BadName(pub String);

/// Can a manufacturer, a serial number or an interface be called so?
///
/// # Errors
/// [`BadName`] when not.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if name.is_empty() || name.len() > MAX_LEVEL_CHARS || !name.chars().all(fits) {
        return Err(BadName(name.chars().take(80).collect()));
    }
    Ok(())
}

/// The topics below one interface name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotTopics {
    interface: String,
}

impl Default for RobotTopics {
    fn default() -> Self {
        Self { interface: DEFAULT_INTERFACE.to_owned() }
    }
}

impl fmt::Display for RobotTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{MAJOR}", self.interface)
    }
}

impl RobotTopics {
    /// Below this interface name.
    ///
    /// # Errors
    /// When it cannot stand in a topic, or is `linefree`.
    pub fn new(interface: &str) -> Result<Self, BadName> {
        check_name(interface)?;
        if interface == RESERVED {
            return Err(BadName(interface.to_owned()));
        }
        Ok(Self { interface: interface.to_owned() })
    }

    /// The topic of one robot.
    #[must_use]
    pub fn of(&self, robot: &RobotId, topic: RobotTopic) -> String {
        format!("{self}/{}/{}/{}", robot.manufacturer, robot.serial, topic.name())
    }

    /// The filter for every robot.
    #[must_use]
    pub fn all(&self, topic: RobotTopic) -> String {
        format!("{self}/+/+/{}", topic.name())
    }

    /// Any interface's topic of one robot. `linefree` is no interface name.
    #[must_use]
    pub fn of_topic(topic: &str) -> Option<(Self, RobotId, RobotTopic)> {
        let topics = Self::new(topic.split('/').next()?).ok()?;
        let (robot, kind) = topics.parse(topic)?;
        Some((topics, robot, kind))
    }

    /// The topic that a filter asks for of every robot, of any one interface.
    #[must_use]
    pub fn of_filter(filter: &str) -> Option<RobotTopic> {
        let topics = Self::new(filter.split('/').next()?).ok()?;
        ROBOT_TOPICS.into_iter().find(|topic| topics.all(*topic) == filter)
    }

    /// Whose topic it is, and which; `None` when it is none of these.
    #[must_use]
    pub fn parse(&self, topic: &str) -> Option<(RobotId, RobotTopic)> {
        let mut levels = topic.strip_prefix(&self.interface)?.strip_prefix('/')?.split('/');
        if levels.next() != Some(MAJOR) {
            return None;
        }
        let (manufacturer, serial, name) = (levels.next()?, levels.next()?, levels.next()?);
        if levels.next().is_some() || check_name(manufacturer).is_err() || check_name(serial).is_err() {
            return None;
        }
        let kind = ROBOT_TOPICS.into_iter().find(|t| t.name() == name)?;
        Some((RobotId::new(manufacturer, serial), kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_go_there_and_back() {
        let topics = RobotTopics::default();
        let robot = RobotId::new("linefree", "amr-1");
        assert_eq!(topics.of(&robot, RobotTopic::InstantActions), "uagv/v2/linefree/amr-1/instantActions");
        for topic in ROBOT_TOPICS {
            assert_eq!(topics.parse(&topics.of(&robot, topic)), Some((robot.clone(), topic)));
        }
        for bad in
            ["uagv/v1/a/b/order", "uagv/v2/a/b", "uagv/v2/a/b/order/x", "x/v2/a/b/order", "uagv/v2/a/b/o"]
        {
            assert_eq!(topics.parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_that_would_break_a_topic_are_refused() {
        for bad in ["", "a/b", "a+b", "#", "a b", "ä", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
            assert!(RobotTopics::new(bad).is_err(), "{bad:?}");
        }
    }
}
