//! A hosted payment gateway over HTTPS.
//!
//! `POST {url}/authorisations`, `/captures`, `/releases`, `/refunds`, `/contests` with the header `Idempotency-Key` and the body
//! `{"amount_minor", "currency", "token", "authorisation"}`; the answer is 200 with `{"state": "approved" | "declined" |
//! "expired" | "pending", "reference", "reason"}`. Everything else (another status, a time-out, a body that is none) is
//! silence, and is asked again under the same key. A contest says how much of what was taken is in dispute now, 0 when that is
//! over; a gateway that takes none answers 404, 405 or 501. After `pending` the gateway calls back
//! (`POST /api/hooks/payments/gateway` of the store). The store's own key for the gateway comes from a file, read anew for
//! each question, and goes nowhere in the clear except on this machine. An adapter of this size is what a real gateway
//! needs.

use std::path::PathBuf;
use std::time::Duration;

use linefree_domain::payment::{Answer, AskKind};
use serde::{Deserialize, Serialize};

use super::{Gateway, Question};
use crate::outbox::http::{agent, is_loopback, read_token};

/// An answer longer than this is none.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A gateway somewhere else.
pub struct Hosted {
    agent: ureq::Agent,
    url: String,
    token_file: Option<PathBuf>,
}

/// A question as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// How much, minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of which authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorisation: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum Said {
    Approved {
        #[serde(default)]
        reference: Option<String>,
    },
    Declined {
        #[serde(default)]
        reason: Option<String>,
    },
    Expired,
    Pending,
}

/// The end of the address for a kind of question.
#[must_use]
pub fn path_of(kind: AskKind) -> &'static str {
    match kind {
        AskKind::Authorise => "authorisations",
        AskKind::Capture => "captures",
        AskKind::Release => "releases",
        AskKind::Refund => "refunds",
        AskKind::Contest => "contests",
    }
}

impl Hosted {
    /// Checks the address; nothing is sent yet.
    ///
    /// # Errors
    /// When it is not https, or http on this machine.
    pub fn new(url: &str, token_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let clear = url.strip_prefix("http://");
        if clear.is_none() && !url.starts_with("https://") {
            anyhow::bail!("the payment gateway's address {url:?} must begin with https://");
        }
        if clear.is_some_and(|rest| !is_loopback(rest)) {
            anyhow::bail!(
                "the payment gateway's address {url:?} is http: and not on this machine: use https"
            );
        }
        Ok(Self { agent: agent(ANSWERS_WITHIN), url: url.trim_end_matches('/').to_owned(), token_file })
    }

    fn send(&self, question: &Question<'_>) -> Result<Answer, String> {
        let body = Asked {
            amount_minor: question.amount_minor,
            currency: question.currency.to_string(),
            token: question.token.map(str::to_owned),
            authorisation: question.authorisation.map(str::to_owned),
        };
        let mut request = self
            .agent
            .post(format!("{}/{}", self.url, path_of(question.kind)))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", question.key);
        if let Some(file) = &self.token_file {
            let token = read_token(file).map_err(|e| e.to_string())?;
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let body = serde_json::to_vec(&body).map_err(|e| e.to_string())?;
        let mut response =
            request.send(&body[..]).map_err(|e| format!("the gateway cannot be reached: {e}"))?;
        let status = response.status().as_u16();
        if question.kind == AskKind::Contest && matches!(status, 404 | 405 | 501) {
            return Ok(Answer::Declined("the gateway takes no contests".to_owned()));
        }
        if status != 200 {
            return Err(format!("the gateway answers with status {status}"));
        }
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|e| format!("the gateway's answer broke off: {e}"))?;
        let said = serde_json::from_str(&text).map_err(|e| format!("the gateway's answer is none: {e}"))?;
        Ok(match said {
            Said::Approved { reference } => Answer::Approved(reference),
            Said::Declined { reason } => Answer::Declined(reason.unwrap_or_else(|| "declined".to_owned())),
            Said::Expired => Answer::Expired,
            Said::Pending => Answer::Pending,
        })
    }
}

impl Gateway for Hosted {
    fn name(&self) -> String {
        format!("the gateway at {}", self.url)
    }

    fn ask(&self, question: &Question<'_>) -> Answer {
        self.send(question).unwrap_or_else(Answer::Silence)
    }
}
