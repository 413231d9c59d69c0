//! `gate.jsonl`: who passed which gate when.

use std::path::Path;

use linefree_domain::ids::{Credential, GateIndex};
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use serde::{Deserialize, Serialize};

use crate::json_lines::{JsonLines, wrong_t};
use crate::mistake::Mistake;

/// Somebody passed a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateLine {
    /// When.
    pub time: StoreTime,
    /// Which gate.
    pub gate: GateIndex,
    /// Which way.
    pub event: GateEvent,
    /// With which credential: always there on entry, perhaps on exit.
    pub credential: Option<Credential>,
    /// How many people the credential lets in.
    pub party: u32,
}

/// Which way a gate was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateEvent {
    /// Into the store.
    Entry,
    /// Out of the store.
    Exit,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGate {
    t: f64,
    gate: String,
    event: GateEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<u32>,
}

/// All lines, sorted by time; lines of the same time keep the file's order.
pub(crate) fn read(path: &Path, start: StoreTime, layout: &StoreLayout) -> Result<Vec<GateLine>, Mistake> {
    let mut lines = JsonLines::<RawGate>::open(path)?;
    let mut all = Vec::new();
    while let Some(raw) = lines.next() {
        let raw = raw?;
        if let Some(remedy) = wrong_t(raw.t) {
            return Err(lines.mistake("t", format!("{} is not a time", raw.t), remedy));
        }
        let gate = layout.gate(&raw.gate).ok_or_else(|| {
            lines.mistake(
                "gate",
                format!("store.toml has no gate {:?}", raw.gate),
                "write the id of one of its gates",
            )
        })?;
        let credential = match raw.credential.as_deref().map(Credential::new).transpose() {
            Ok(credential) => credential,
            Err(e) => return Err(lines.mistake("credential", e.to_string(), "write the credential's id")),
        };
        if raw.event == GateEvent::Entry && credential.is_none() {
            return Err(lines.mistake(
                "credential",
                "is missing",
                "an entry carries the credential it was made with",
            ));
        }
        let party = raw.party.unwrap_or(1);
        if party == 0 {
            return Err(lines.mistake(
                "party",
                "is 0",
                "write how many people entered, or leave it out for one",
            ));
        }
        all.push(GateLine { time: start.plus_s(raw.t), gate, event: raw.event, credential, party });
    }
    all.sort_by_key(|l| l.time);
    Ok(all)
}

/// One line of gate.jsonl as it is written.
pub(crate) fn to_raw(t: f64, line: &GateLine, layout: &StoreLayout) -> Option<RawGate> {
    Some(RawGate {
        t,
        gate: layout.gates.get(line.gate.0)?.id.as_str().to_owned(),
        event: line.event,
        credential: line.credential.as_ref().map(|c| c.as_str().to_owned()),
        party: (line.party != 1).then_some(line.party),
    })
}
