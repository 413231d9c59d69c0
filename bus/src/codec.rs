//! Payloads to bytes and back: JSON, at most [`MAX_PAYLOAD_BYTES`], errors that name topic and JSON path.
//!
//! A payload that cannot be decoded is the sender's fault and never the receiver's end: the client counts it and
//! hands it on as [`Incoming::Malformed`](crate::client::Incoming::Malformed).

use crate::check::{Payload, Problem};
use crate::payload::{
    CartChanged, DeviceFault, Event, GatePassed, ItemAttributed, ShelfChanged, VisitClosed, VisitOpened,
};
use crate::topic::{Topic, TopicKind};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest payload, in bytes. A frame with a hundred people is about 30 KiB.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

/// Why a payload could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Larger than the limit.
    #[error("{topic}: payload of {bytes} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")]
    TooLarge {
        /// Which topic.
        topic: String,
        /// Its size.
        bytes: usize,
    },
    /// No JSON, or not the JSON of this topic's payload.
    #[error("{topic}: at {path}: {why}")]
    Payload {
        /// Which topic.
        topic: String,
        /// JSON path, `.` for the whole.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// The payload's own source is not the topic's.
    #[error("{topic}: at {path}: {found:?} does not match the topic")]
    OtherSource {
        /// Which topic.
        topic: String,
        /// JSON path of the source.
        path: &'static str,
        /// What stands there.
        found: String,
    },
    /// A payload of a type that the topic does not carry: a mistake in the program.
    #[error("{topic} does not carry this type of payload")]
    OtherType {
        /// Which topic.
        topic: String,
    },
}

fn check<T: Payload>(topic: &Topic, payload: &T) -> Result<(), CodecError> {
    if !T::fits(topic.kind()) {
        return Err(CodecError::OtherType { topic: topic.to_string() });
    }
    if let Some(source) = payload.source()
        && source != topic.source()
    {
        return Err(CodecError::OtherSource {
            topic: topic.to_string(),
            path: T::SOURCE_PATH,
            found: source.chars().take(64).collect(),
        });
    }
    payload.check().map_err(|Problem { path, why }| CodecError::Payload {
        topic: topic.to_string(),
        path,
        why,
    })
}

/// A payload's bytes.
///
/// # Errors
/// [`CodecError`] when the payload is too large, holds a number that is not finite, or belongs elsewhere.
pub fn encode<T: Payload>(topic: &Topic, payload: &T) -> Result<Bytes, CodecError> {
    check(topic, payload)?;
    let bytes = serde_json::to_vec(payload).map_err(|e| CodecError::Payload {
        topic: topic.to_string(),
        path: ".".to_owned(),
        why: e.to_string(),
    })?;
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(CodecError::TooLarge { topic: topic.to_string(), bytes: bytes.len() });
    }
    Ok(bytes.into())
}

/// The payload in some bytes.
///
/// # Errors
/// [`CodecError`] that names the topic and the JSON path.
pub fn decode<T: Payload>(topic: &Topic, bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(CodecError::TooLarge { topic: topic.to_string(), bytes: bytes.len() });
    }
    let payload: T = match from_json(bytes) {
        Ok(payload) => payload,
        Err(problem) => {
            let Problem { path, why } =
                if topic.kind() == TopicKind::Event { in_body(bytes, problem) } else { problem };
            return Err(CodecError::Payload { topic: topic.to_string(), path, why });
        }
    };
    check(topic, &payload)?;
    Ok(payload)
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| located(&e))?;
    json.end().map_err(|e| Problem { path: ".".to_owned(), why: e.to_string() })?;
    Ok(value)
}

fn located(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    Problem { path: error.path().to_string(), why: error.inner().to_string() }
}

/// Serde buffers a body before it knows its kind, and with that forgets the path. Only for messages that are
/// refused anyway, the body is read once more as the kind that it says it is.
fn in_body(bytes: &[u8], problem: Problem) -> Problem {
    if problem.path != "body" {
        return problem;
    }
    let Ok(mut event) = serde_json::from_slice::<Value>(bytes) else { return problem };
    let Some(Value::Object(mut body)) = event.get_mut("body").map(Value::take) else { return problem };
    let Some(Value::String(kind)) = body.remove("kind") else { return problem };
    fn path_in<T: DeserializeOwned>(body: Value) -> Option<Problem> {
        serde_path_to_error::deserialize::<_, T>(body).err().map(|e| located(&e))
    }
    let body = Value::Object(body);
    let found = match kind.as_str() {
        "shelf_changed" => path_in::<ShelfChanged>(body),
        "gate_passed" => path_in::<GatePassed>(body),
        "visit_opened" => path_in::<VisitOpened>(body),
        "item_attributed" => path_in::<ItemAttributed>(body),
        "cart_changed" => path_in::<CartChanged>(body),
        "visit_closed" => path_in::<VisitClosed>(body),
        "device_fault" => path_in::<DeviceFault>(body),
        _ => None,
    };
    match found {
        Some(Problem { path, why }) if path == "." => Problem { path: "body".to_owned(), why },
        Some(Problem { path, why }) => Problem { path: format!("body.{path}"), why },
        None => problem,
    }
}

/// An event read back from a journal: no topic to compare with.
pub(crate) fn decode_event(bytes: &[u8]) -> Result<Event, Problem> {
    from_json(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{EventBody, People, Person, Watermark};
    use uuid::Uuid;

    fn event() -> Event {
        Event {
            source: "gate-1".to_owned(),
            epoch: Uuid::from_u128(7),
            seq: 1,
            time_us: 1_769_639_040_000_000,
            body: EventBody::GatePassed(GatePassed {
                gate: "door".to_owned(),
                direction: crate::payload::GateDirection::Entry,
                credential: None,
                party: 1,
            }),
        }
    }

    fn why(kind: TopicKind, source: &str, json: &str) -> String {
        let topic = Topic::new(kind, "nano", source).unwrap();
        match kind {
            TopicKind::Event => decode::<Event>(&topic, json.as_bytes()).unwrap_err().to_string(),
            TopicKind::People => decode::<People>(&topic, json.as_bytes()).unwrap_err().to_string(),
            _ => decode::<Watermark>(&topic, json.as_bytes()).unwrap_err().to_string(),
        }
    }

    #[test]
    fn an_event_goes_there_and_back() {
        let topic = Topic::new(TopicKind::Event, "nano", "gate-1").unwrap();
        let bytes = encode(&topic, &event()).unwrap();
        assert_eq!(decode::<Event>(&topic, &bytes).unwrap(), event());
    }

    #[test]
    fn errors_name_topic_and_path() {
        let json = r#"{"camera":"cam1","time_us":1,"people":[{"foot":[0,0],"cov":[1,0,1],"score":0.5},
            {"foot":[0,"x"],"cov":[1,0,1],"score":0.5}]}"#;
        let error = why(TopicKind::People, "cam1", json);
        assert!(error.starts_with("linefree/v1/nano/camera/cam1/people: at people[1].foot[1]: "), "{error}");

        let json = serde_json::to_string(&event()).unwrap().replace("\"party\":1", "\"party\":-1");
        let error = why(TopicKind::Event, "gate-1", &json);
        assert!(error.starts_with("linefree/v1/nano/event/gate-1: at body.party: "), "{error}");

        let json = serde_json::to_string(&event()).unwrap().replace("gate_passed", "gate_opened");
        let error = why(TopicKind::Event, "gate-1", &json);
        assert!(error.contains("at body") && error.contains("gate_opened"), "{error}");

        assert!(why(TopicKind::Event, "gate-1", "{} x").contains("at "));
        assert!(why(TopicKind::Event, "gate-1", "\u{0}").contains("at .: "));
    }

    #[test]
    fn what_is_not_in_the_contract_is_refused() {
        let json = serde_json::to_string(&event()).unwrap();
        assert!(why(TopicKind::Event, "gate-2", &json).contains("at source"));
        assert!(why(TopicKind::Event, "gate-1", &json.replace("\"seq\":1", "\"seq\":0")).contains("at seq"));
        let more = json.replace("\"seq\":1", "\"seq\":1,\"colour\":2");
        assert!(why(TopicKind::Event, "gate-1", &more).contains("colour"));
        let more = json.replace("\"party\":1", "\"party\":1,\"colour\":2");
        assert!(why(TopicKind::Event, "gate-1", &more).contains("colour"));
        assert!(
            why(TopicKind::Event, "gate-1", &format!("{json}{}", " ".repeat(MAX_PAYLOAD_BYTES)))
                .contains("bytes")
        );
    }

    #[test]
    fn a_number_that_is_not_finite_never_leaves() {
        let topic = Topic::new(TopicKind::People, "nano", "cam1").unwrap();
        let person = Person {
            foot: [0.0, f64::NAN],
            cov: [1.0, 0.0, 1.0],
            score: 0.9,
            height: None,
            hands: Vec::new(),
            hand_sd: None,
            track: None,
            tracklet: None,
        };
        let people = People { camera: "cam1".to_owned(), time_us: 0, people: vec![person] };
        let error = encode(&topic, &people).unwrap_err().to_string();
        assert!(error.contains("people[0].foot[1]") && error.contains("NaN"), "{error}");
        let topic = Topic::new(TopicKind::Status, "nano", "cam1").unwrap();
        assert!(matches!(encode(&topic, &people), Err(CodecError::OtherType { .. })));
    }
}
