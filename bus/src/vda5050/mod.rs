//! VDA 5050 2.1: the messages between master control and mobile robots, as the standard writes them.
//!
//! Robots keep the standard's own topics (`uagv/v2/{manufacturer}/{serialNumber}/...`) beside `linefree/v1/...`; the
//! types here are those of its JSON schemas (version 2.1.0, copies under `bus/tests/official/vda5050-2.1.0/`), and
//! the tests hold every message that we make against those schemas.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`topic`] | the six topics, their delivery, and who may use them |
//! | [`order`] | `order` and `instantActions`: what master control says |
//! | [`state`] | `state`, `visualization` and `connection`: what a robot says all the time |
//! | [`factsheet`] | `factsheet`: what a robot says about its kind |
//! | [`check`] | what the text of the standard asks of an order beyond its schema |
//! | [`peer`] | a connection to the broker that carries these topics |
//!
//! **What is read.** Required fields must be there, numbers and enumerations must be what the schemas say. Fields that
//! we do not know are passed over: a robot may be newer or talkative. Three deviations that are common in the field are
//! accepted: `PAUSED` as the status of an action (the standard's text has it, its schema has not), timestamps without a
//! zone (read as UTC), and any minor version of major version 2.
//! **What is written** fits the schemas: optional fields are left out rather than sent as null. A robot that speaks 2.0
//! gets messages with its own version in the header, and its instant actions under both names that the standard has had
//! for them.
//! **Limits.** A payload has at most [`MAX_PAYLOAD_BYTES`] bytes.

pub mod check;
pub mod factsheet;
pub mod order;
pub mod peer;
pub mod state;
pub mod topic;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::MAX_PAYLOAD_BYTES;

/// The version that we speak.
pub const VERSION: &str = "2.1.0";

/// Why a message of a robot could not be used, or ours not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Larger than the limit.
    #[error("the message has {0} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")]
    TooLarge(usize),
    /// No JSON, or not what the standard's schema asks for.
    #[error("at {path}: {why}")]
    Malformed {
        /// JSON path, `.` for the whole.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// Of another major version.
    #[error("it speaks version {0:?} of VDA 5050; this program speaks {VERSION}, and any other 2.x")]
    OtherVersion(String),
    /// The message says that it is of another robot than its topic.
    #[error("it says to be of {found}, its topic of {topic}")]
    OtherRobot {
        /// Who the message is of.
        found: String,
        /// Who the topic is of.
        topic: String,
    },
}

/// A moment, written as the standard does: ISO 8601 in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Of microseconds since the Unix epoch; what a calendar cannot hold becomes the epoch.
    #[must_use]
    pub fn of_us(us: i64) -> Self {
        Self(jiff::Timestamp::from_millisecond(us.div_euclid(1000)).unwrap_or_default())
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn us(self) -> i64 {
        self.0.as_microsecond()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.parse::<jiff::Timestamp>();
        // Robots that leave the zone out mean UTC, which is what the standard asks for.
        let parsed = parsed.or_else(|_| format!("{text}Z").parse());
        parsed.map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is no moment; wanted for example \"2026-11-23T08:15:00.000Z\""
            ))
        })
    }
}

/// Who a robot is: the two names that its topics carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RobotId {
    /// Who made it.
    pub manufacturer: String,
    /// Its serial number.
    pub serial: String,
}

impl RobotId {
    /// Of its two names.
    #[must_use]
    pub fn new(manufacturer: impl Into<String>, serial: impl Into<String>) -> Self {
        Self { manufacturer: manufacturer.into(), serial: serial.into() }
    }
}

impl fmt::Display for RobotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.manufacturer, self.serial)
    }
}

/// What every message begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Number of the message among those of its topic.
    pub header_id: u32,
    /// When it was made.
    pub timestamp: Timestamp,
    /// Version of the protocol.
    pub version: String,
    /// Who made the robot.
    pub manufacturer: String,
    /// The robot's serial number.
    pub serial_number: String,
}

impl Header {
    /// Of a message to or from a robot.
    #[must_use]
    pub fn new(robot: &RobotId, version: &str, header_id: u32, now_us: i64) -> Self {
        Self {
            header_id,
            timestamp: Timestamp::of_us(now_us),
            version: version.to_owned(),
            manufacturer: robot.manufacturer.clone(),
            serial_number: robot.serial.clone(),
        }
    }

    /// The robot that the message is of or for.
    #[must_use]
    pub fn robot(&self) -> RobotId {
        RobotId::new(self.manufacturer.as_str(), self.serial_number.as_str())
    }
}

/// A message with a header.
pub trait Message: Serialize + DeserializeOwned {
    /// Its header; `None` where the standard lets it be absent.
    fn header(&self) -> Option<&Header>;
}

/// A message's bytes.
///
/// # Errors
/// When it is too large, or holds a number that JSON cannot.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, MessageError> {
    let bytes = serde_json::to_vec(message)
        .map_err(|e| MessageError::Malformed { path: ".".to_owned(), why: e.to_string() })?;
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(MessageError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// The message in some bytes that came on a topic of this robot.
///
/// # Errors
/// [`MessageError`] says where and what is wrong.
pub fn decode<M: Message>(robot: &RobotId, bytes: &[u8]) -> Result<M, MessageError> {
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(MessageError::TooLarge(bytes.len()));
    }
    let reader = &mut serde_json::Deserializer::from_slice(bytes);
    let message: M = serde_path_to_error::deserialize(reader)
        .map_err(|e| MessageError::Malformed { path: e.path().to_string(), why: e.inner().to_string() })?;
    if let Some(header) = message.header() {
        if header.version.split('.').next() != Some("2") {
            return Err(MessageError::OtherVersion(header.version.chars().take(32).collect()));
        }
        if header.robot() != *robot {
            let found = header.robot().to_string().chars().take(128).collect();
            return Err(MessageError::OtherRobot { found, topic: robot.to_string() });
        }
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_millisecond() {
        let moment = Timestamp::of_us(1_795_421_700_123_456);
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-23T08:15:00.123Z\"");
        for text in ["2026-11-23T08:15:00.123Z", "2026-11-23T08:15:00.123", "2026-11-23T09:15:00.123+01:00"] {
            let read: Timestamp = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(read, moment, "{text}");
        }
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
