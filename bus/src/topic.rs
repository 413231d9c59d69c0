//! Every topic of the bus, in one table. Nothing else in the project builds or parses a topic.
//!
//! A topic is `linefree/v1/{store}/...`, where `v1` is the version of every payload below it. Ids in topics have at
//! most [`MAX_LEVEL_CHARS`] characters and hold no white space, control character, `/`, `+`, `#` or `$`. (A store
//! that runs on nats-server should also avoid `.` in ids, which NATS 2.9 refuses in MQTT topics.)

use std::fmt;
use std::str::FromStr;

/// What every topic begins with; the number is the version of the payloads.
pub const PREFIX: &str = "linefree/v1";

/// The longest id in a topic, in characters.
pub const MAX_LEVEL_CHARS: usize = 64;

/// What a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKind {
    /// [`People`](crate::payload::People) of one camera.
    People,
    /// [`Event`](crate::payload::Event), numbered.
    Event,
    /// [`Watermark`](crate::payload::Watermark) of a source.
    Watermark,
    /// [`Shoppers`](crate::payload::Shoppers), for maps.
    Shoppers,
    /// [`Watermark`](crate::payload::Watermark) of what the floor role has consumed.
    Progress,
    /// [`Status`](crate::payload::Status) of a device.
    Status,
    /// [`Ack`](crate::payload::Ack) of the ledger.
    Ack,
    /// [`Resend`](crate::payload::Resend), from any receiver.
    Resend,
    /// [`Counts`](crate::payload::Counts) of a scale's controller.
    Counts,
    /// [`Handlings`](crate::payload::Handlings) of robots at shelves.
    Handlings,
    /// [`ProductView`](crate::payload::ProductView) of one camera.
    View,
    /// [`Wanted`](crate::payload::Wanted): the release that a device is to run by.
    Wanted,
    /// [`InForce`](crate::payload::InForce): the release that a device runs by.
    InForce,
}

/// Delivery promised by one hop of MQTT. Never enough by itself: see the crate's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0: at most once.
    AtMostOnce,
    /// QoS 1: at least once.
    AtLeastOnce,
}

/// One row of the table of topics.
#[derive(Debug, Clone, Copy)]
pub struct TopicRow {
    /// What it carries.
    pub kind: TopicKind,
    /// The levels after the store, `{source}` standing for the source.
    pub pattern: &'static str,
    /// The payload's type.
    pub payload: &'static str,
    /// How it is delivered.
    pub delivery: Delivery,
    /// Does the broker keep the last one for whoever subscribes later?
    pub retained: bool,
    /// Who publishes it and what for, in one line.
    pub purpose: &'static str,
}

/// The table. Documentation and AsyncAPI are generated from it.
pub const TOPICS: [TopicRow; 13] = [
    TopicRow {
        kind: TopicKind::People,
        pattern: "camera/{source}/people",
        payload: "People",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "A camera's people at one moment, on the floor plane.",
    },
    TopicRow {
        kind: TopicKind::Event,
        pattern: "event/{source}",
        payload: "Event",
        delivery: Delivery::AtLeastOnce,
        retained: false,
        purpose: "All numbered events of a source: shelf events, gates, visits, attributions, carts, faults.",
    },
    TopicRow {
        kind: TopicKind::Watermark,
        pattern: "watermark/{source}",
        payload: "Watermark",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "How far a source has sent everything, in event time; repeated once a second.",
    },
    TopicRow {
        kind: TopicKind::Shoppers,
        pattern: "floor/{source}/shoppers",
        payload: "Shoppers",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "Where everyone is, for maps.",
    },
    TopicRow {
        kind: TopicKind::Progress,
        pattern: "floor/{source}/progress",
        payload: "Watermark",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "How far the floor role has consumed; replayed sources stay at most 5 s of event time ahead of it.",
    },
    TopicRow {
        kind: TopicKind::Status,
        pattern: "status/{source}",
        payload: "Status",
        delivery: Delivery::AtLeastOnce,
        retained: true,
        purpose: "A device's birth and state; its last will says it is gone.",
    },
    TopicRow {
        kind: TopicKind::Ack,
        pattern: "ledger/ack/{source}",
        payload: "Ack",
        delivery: Delivery::AtLeastOnce,
        retained: true,
        purpose: "The ledger has every event of the source up to this number, durably.",
    },
    TopicRow {
        kind: TopicKind::Resend,
        pattern: "resend/{source}",
        payload: "Resend",
        delivery: Delivery::AtLeastOnce,
        retained: false,
        purpose: "A receiver saw a gap and asks the source to send again.",
    },
    TopicRow {
        kind: TopicKind::Counts,
        pattern: "scale/{source}/counts",
        payload: "Counts",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "Raw counts of a scale's microcontroller, for the shelf role.",
    },
    TopicRow {
        kind: TopicKind::Handlings,
        pattern: "robots/{source}/handlings",
        payload: "Handlings",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "What robots handle at shelves, for the floor role; repeated while there is something to tell.",
    },
    TopicRow {
        kind: TopicKind::View,
        pattern: "camera/{source}/view",
        payload: "ProductView",
        delivery: Delivery::AtMostOnce,
        retained: false,
        purpose: "Which product a camera saw handled in a shelf event, as likelihoods; for the floor role.",
    },
    TopicRow {
        kind: TopicKind::Wanted,
        pattern: "release/{source}/wanted",
        payload: "Wanted",
        delivery: Delivery::AtLeastOnce,
        retained: true,
        purpose: "The release that a device is to run by, whole and signed, from the store's server.",
    },
    TopicRow {
        kind: TopicKind::InForce,
        pattern: "release/{source}/in_force",
        payload: "InForce",
        delivery: Delivery::AtLeastOnce,
        retained: true,
        purpose: "The release that a device runs by, and the newest that it refused.",
    },
];

impl TopicKind {
    /// This kind's row of the table.
    #[must_use]
    pub fn row(self) -> &'static TopicRow {
        // The table holds every kind, in the order of the enum; a test checks it.
        &TOPICS[self as usize]
    }
}

/// Why a text is no topic of the bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// An id that cannot be one level of a topic.
    #[error("{what} {text:?} cannot stand in a topic: {why}")]
    BadId {
        /// `store` or `source`.
        what: &'static str,
        /// The offending text, cut to the limit.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not below `linefree/v1/`.
    #[error("{0:?} is not below {PREFIX}/")]
    OtherPrefix(String),
    /// Below the prefix, but not in the table.
    #[error("{0:?} is no topic of version 1; the table of topics is in docs/ref/bus.md")]
    Unknown(String),
}

fn check_level(what: &'static str, text: &str) -> Result<(), TopicError> {
    let bad = |why| Err(TopicError::BadId { what, text: text.chars().take(MAX_LEVEL_CHARS).collect(), why });
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.chars().count() > MAX_LEVEL_CHARS {
        return bad("it has more than 64 characters");
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '+' | '#' | '$');
    if text.contains(forbidden) {
        return bad("an id holds no white space, control character, '/', '+', '#' or '$'");
    }
    Ok(())
}

/// A topic of the bus: what, of which store, of which source. `Display` gives its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    kind: TopicKind,
    store: String,
    source: String,
}

impl Topic {
    /// Checks the ids and makes it a topic.
    ///
    /// # Errors
    /// [`TopicError::BadId`] when an id cannot stand in a topic.
    pub fn new(kind: TopicKind, store: &str, source: &str) -> Result<Self, TopicError> {
        check_level("store", store)?;
        check_level("source", source)?;
        Ok(Self { kind, store: store.to_owned(), source: source.to_owned() })
    }

    /// Reads the text of a topic.
    ///
    /// # Errors
    /// [`TopicError`] when it is not in the table.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let shown = || text.chars().take(256).collect::<String>();
        let rest = text
            .strip_prefix(PREFIX)
            .and_then(|t| t.strip_prefix('/'))
            .ok_or_else(|| TopicError::OtherPrefix(shown()))?;
        let (store, rest) = rest.split_once('/').ok_or_else(|| TopicError::Unknown(shown()))?;
        for row in &TOPICS {
            if let Some(source) = match_pattern(row.pattern, rest) {
                return Self::new(row.kind, store, source);
            }
        }
        Err(TopicError::Unknown(shown()))
    }

    /// What it carries.
    #[must_use]
    pub fn kind(&self) -> TopicKind {
        self.kind
    }

    /// Which store.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Which source: a camera, a device, the floor role.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The source, when `rest` fits the pattern.
fn match_pattern<'a>(pattern: &str, rest: &'a str) -> Option<&'a str> {
    let (before, after) = pattern.split_once("{source}")?;
    let source = rest.strip_prefix(before)?.strip_suffix(after)?;
    (!source.contains('/')).then_some(source)
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = self.kind.row().pattern.replace("{source}", &self.source);
        write!(f, "{PREFIX}/{}/{tail}", self.store)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::parse(text)
    }
}

/// What a client wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscription {
    /// What.
    pub kind: TopicKind,
    /// Of whom; `None` for every source.
    pub source: Option<String>,
}

impl Subscription {
    /// Of every source.
    #[must_use]
    pub fn all(kind: TopicKind) -> Self {
        Self { kind, source: None }
    }

    /// Of one source.
    #[must_use]
    pub fn of(kind: TopicKind, source: impl Into<String>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The MQTT topic filter.
    ///
    /// # Errors
    /// [`TopicError::BadId`] when an id cannot stand in a topic.
    pub fn filter(&self, store: &str) -> Result<String, TopicError> {
        match &self.source {
            Some(source) => Topic::new(self.kind, store, source).map(|topic| topic.to_string()),
            None => {
                check_level("store", store)?;
                Ok(format!("{PREFIX}/{store}/{}", self.kind.row().pattern.replace("{source}", "+")))
            }
        }
    }

    /// Does this subscription cover the topic (of the same store)?
    #[must_use]
    pub fn covers(&self, topic: &Topic) -> bool {
        self.kind == topic.kind && self.source.as_deref().is_none_or(|source| source == topic.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for (i, row) in TOPICS.iter().enumerate() {
            assert_eq!(row.kind as usize, i, "{:?}", row.kind);
            assert!(row.pattern.contains("{source}"));
        }
    }

    #[test]
    fn every_topic_goes_there_and_back() {
        for row in &TOPICS {
            let topic = Topic::new(row.kind, "nano", "shelf-1").unwrap();
            assert_eq!(Topic::parse(&topic.to_string()).unwrap(), topic);
        }
        assert_eq!(
            Topic::new(TopicKind::Ack, "nano", "shelf-1").unwrap().to_string(),
            "linefree/v1/nano/ledger/ack/shelf-1"
        );
        assert_eq!(
            Subscription::all(TopicKind::People).filter("nano").unwrap(),
            "linefree/v1/nano/camera/+/people"
        );
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for bad in [
            "",
            "linefree/v1",
            "linefree/v1/",
            "linefree/v1/nano",
            "linefree/v1/nano/event",
            "linefree/v1/nano/event/",
            "linefree/v1/nano/event/a/b",
            "linefree/v1//event/a",
            "linefree/v2/nano/event/a",
            "linefree/v1/nano/camera/a/frames",
            "linefree/v1/nano/event/a+b",
        ] {
            assert!(Topic::parse(bad).is_err(), "{bad:?} was taken for a topic");
        }
        assert!(Topic::new(TopicKind::Event, "a/b", "c").is_err());
        assert!(Topic::new(TopicKind::Event, "a", &"x".repeat(65)).is_err());
    }

    #[test]
    fn a_subscription_covers_what_its_filter_says() {
        let topic = Topic::new(TopicKind::Event, "nano", "shelf-1").unwrap();
        assert!(Subscription::all(TopicKind::Event).covers(&topic));
        assert!(Subscription::of(TopicKind::Event, "shelf-1").covers(&topic));
        assert!(!Subscription::of(TopicKind::Event, "shelf-2").covers(&topic));
        assert!(!Subscription::all(TopicKind::Status).covers(&topic));
    }
}
