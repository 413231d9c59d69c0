//! Gates: where shoppers present a credential to come in, and where they leave.
//!
//! A gate yields an event for each person or party let through, in event time. What an event means for visits is
//! decided in the core; a gate only tells.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`token`] | short-lived signed codes, each used once |
//! | [`control`] | when a gate is open, sans-IO |
//! | [`reader`] | code readers on serial lines |
//! | [`lines`] | relay, sensors, HTTP |

pub mod control;
pub mod lines;
pub mod reader;
pub mod token;

use linefree_domain::visit::GatePassed;

/// Why a gate cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The recording behind a replay twin is bad.
    #[error("the gates of the recording cannot be replayed further")]
    Replay(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The GPIO chip cannot be used.
    #[error(
        "{chip}: cannot use the gate's lines ({why}); check that they are free and this user is in group gpio"
    )]
    Chip {
        /// Which chip.
        chip: String,
        /// What the system said.
        why: String,
    },
    /// A line cannot be driven.
    #[error("cannot {what}: {why}; check the wiring of the gate's controller")]
    Line {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// A gate that is opened over the network does not answer.
    #[error("the gate's controller does not answer ({why}); check its power, network and open_url")]
    Http {
        /// What was seen.
        why: String,
    },
}

/// A gate, or all gates of one controller.
pub trait Gate: Send {
    /// The next event; `None` when there will be no more (a recording's end).
    ///
    /// # Errors
    /// [`GateError`] when the gate cannot go on.
    fn next_event(&mut self) -> Result<Option<GatePassed>, GateError>;
}

/// Replay twin: yields what an iterator yields, at once. Pacing is the caller's.
#[derive(Debug)]
pub struct ReplayGate<I> {
    events: I,
}

impl<I> ReplayGate<I> {
    /// A gate fed by a fallible iterator, as a recording's reader is one.
    pub fn new(events: I) -> Self {
        Self { events }
    }
}

impl<I, E> Gate for ReplayGate<I>
where
    I: Iterator<Item = Result<GatePassed, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn next_event(&mut self) -> Result<Option<GatePassed>, GateError> {
        self.events.next().transpose().map_err(|e| GateError::Replay(e.into()))
    }
}

#[cfg(test)]
mod tests {
    use linefree_domain::ids::{Credential, GateIndex};
    use linefree_domain::time::StoreTime;

    use super::*;

    fn entry(seconds: f64) -> GatePassed {
        GatePassed {
            time: StoreTime::default().plus_s(seconds),
            gate: GateIndex(0),
            entry: true,
            credential: Some(Credential::new("c1").unwrap()),
            party: 1,
        }
    }

    #[test]
    fn replay_yields_all_events_then_none() {
        let mut gate: Box<dyn Gate> =
            Box::new(ReplayGate::new([entry(1.0), entry(2.0)].into_iter().map(Ok::<_, String>)));
        assert_eq!(gate.next_event().unwrap(), Some(entry(1.0)));
        assert_eq!(gate.next_event().unwrap(), Some(entry(2.0)));
        assert_eq!(gate.next_event().unwrap(), None);
    }

    #[test]
    fn a_bad_line_of_the_recording_is_an_error_with_its_cause() {
        let mut gate = ReplayGate::new([Err("gate.jsonl:3: unknown gate \"dor\"")].into_iter());
        let error = gate.next_event().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "gate.jsonl:3: unknown gate \"dor\"");
    }
}
