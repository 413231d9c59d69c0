//! The risk service: whether somebody may enter, asked before a phone gets an entry code and again where a gate has one
//! checked.
//!
//! `POST {url}` with `{"store", "credential", "unpaid_minor", "currency"}` and, where there is one, the store's key as a
//! bearer token; the answer is 200 with `{"enter": true}` or `{"enter": false, "reason": "..."}`. The reason is shown to
//! the shopper and to staff as it is, up to [`MAX_REASON`] characters. **Failure rules.** Everything else (another status, a
//! body that is none, no answer within two seconds) is silence: people enter all the same, unless the store has said that
//! nobody does then ([`IfSilent`]). Nothing is kept of an answer.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outbox::http::{agent, is_loopback, read_token};

/// The longest reason, characters.
pub const MAX_REASON: usize = 200;

/// An answer longer than this is none.
const MAX_ANSWER_BYTES: u64 = 16 << 10;

/// How long an answer may take: somebody stands before the gate.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Who wants to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applicant {
    /// The store.
    pub store: String,
    /// What they would enter with: a token, never a name.
    pub credential: String,
    /// What they have not paid of earlier visits, minor units.
    pub unpaid_minor: i64,
    /// ISO 4217 code of that.
    pub currency: String,
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RiskAnswer {
    /// They may.
    Enter,
    /// They may not, and why.
    Refused(String),
    /// Nothing that can be understood, and what there was instead.
    Silence(String),
}

/// Somebody who knows who may enter. Asking may take seconds.
pub trait RiskService: Send + Sync {
    /// Asks.
    fn ask(&self, applicant: &Applicant) -> RiskAnswer;
}

/// What a store does when the service is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfSilent {
    /// People enter.
    Enter,
    /// Nobody does.
    Refuse,
}

/// A store's gate policy beside what is unpaid.
pub struct GatePolicy {
    service: Box<dyn RiskService>,
    if_silent: IfSilent,
}

impl GatePolicy {
    /// By a service.
    #[must_use]
    pub fn new(service: Box<dyn RiskService>, if_silent: IfSilent) -> Self {
        Self { service, if_silent }
    }

    /// Why somebody may not enter, in words for them and for staff; `None` when they may.
    #[must_use]
    pub fn refusal(&self, applicant: &Applicant) -> Option<String> {
        match self.service.ask(applicant) {
            RiskAnswer::Enter => None,
            RiskAnswer::Refused(why) => Some(why),
            RiskAnswer::Silence(why) => {
                tracing::warn!("the risk service: {why}");
                let nobody = self.if_silent == IfSilent::Refuse;
                nobody.then(|| "it cannot be checked just now; staff can help".to_owned())
            }
        }
    }
}

/// How a store asks about risk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskSettings {
    /// Where.
    pub url: String,
    /// Holds the store's key for it.
    pub token_file: Option<PathBuf>,
    /// When it is silent.
    pub if_silent: IfSilent,
}

impl RiskSettings {
    /// The policy; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is neither https nor http on this machine.
    pub fn policy(self) -> anyhow::Result<GatePolicy> {
        let service = HostedRisk::new(&self.url, self.token_file)?;
        Ok(GatePolicy::new(Box::new(service), self.if_silent))
    }
}

/// A risk service somewhere else.
pub struct HostedRisk {
    agent: ureq::Agent,
    url: String,
    token_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Said {
    enter: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl HostedRisk {
    /// Checks the address.
    ///
    /// # Errors
    /// When it is neither https nor http on this machine.
    pub fn new(url: &str, token_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let clear = url.strip_prefix("http://");
        if !(url.starts_with("https://") || clear.is_some_and(is_loopback)) {
            anyhow::bail!(
                "the risk service's address {url:?} must begin with https://, or be on this machine"
            );
        }
        Ok(Self { agent: agent(ANSWERS_WITHIN), url: url.to_owned(), token_file })
    }

    fn send(&self, applicant: &Applicant) -> Result<RiskAnswer, String> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        if let Some(file) = &self.token_file {
            let token = read_token(file).map_err(|e| e.to_string())?;
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let body = serde_json::to_vec(applicant).map_err(|e| e.to_string())?;
        let mut response = request.send(&body[..]).map_err(|e| format!("it cannot be reached: {e}"))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("it answers with status {status}"));
        }
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        let text = text.map_err(|e| format!("its answer broke off: {e}"))?;
        let said: Said = serde_json::from_str(&text).map_err(|e| format!("its answer is none: {e}"))?;
        if said.enter {
            return Ok(RiskAnswer::Enter);
        }
        let why = said.reason.unwrap_or_else(|| "no reason is given".to_owned());
        Ok(RiskAnswer::Refused(why.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()))
    }
}

impl RiskService for HostedRisk {
    fn ask(&self, applicant: &Applicant) -> RiskAnswer {
        self.send(applicant).unwrap_or_else(RiskAnswer::Silence)
    }
}
