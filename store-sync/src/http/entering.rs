//! Who may enter: entry codes for phones, their check at gates, and whom the store has not let in.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use axum::{Extension, Json};
use linefree_domain::payment::may_enter;
use linefree_domain::units::Money;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::me::own;
use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::desk::entry::Entering;
use crate::risk::Applicant;

/// How many refusals staff can look back on.
const MAX_REFUSALS: usize = 50;
/// A refusal for the same reason within this time is the same one: phones ask for a new code every minute.
const SAME_WITHIN_US: i64 = 600_000_000;

/// A code to show at the gate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryCode {
    code: String,
    /// Until when it is good, wall clock.
    until_us: i64,
}

/// Who comes in.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AskCode {
    /// How many people, 1 to 20; 1 when left out.
    party: Option<u32>,
}

/// A code that a gate read.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ReadCode {
    code: String,
}

/// Whose code it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CodeOf {
    credential: String,
    /// How many people it lets in.
    party: u32,
}

/// Somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Refusal {
    /// Who.
    credential: String,
    /// Why, as the shopper was told.
    reason: String,
    /// When last, wall clock.
    at_us: i64,
}

/// The last ones that were not let in; forgotten with the server's end.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    fn note(&self, refusal: Refusal) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |r: &Refusal| {
            (&r.credential, &r.reason) == (&refusal.credential, &refusal.reason)
                && refusal.at_us - r.at_us < SAME_WITHIN_US
        };
        all.retain(|r| !same(r));
        all.push_front(refusal);
        all.truncate(MAX_REFUSALS);
    }

    /// Somebody is let in again, or is to be forgotten.
    pub(super) fn forget(&self, credential: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|r| r.credential != credential);
    }

    fn all(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Context {
    /// May somebody enter? What they have left unpaid counts, then what the risk service says. An error says why not, and
    /// staff see the same words.
    async fn let_in(&self, credential: &str) -> Result<(), Trouble> {
        let currency = self.map.currency.clone();
        let mut unpaid_minor = 0;
        if self.payments.is_some() {
            let of = credential.to_owned();
            unpaid_minor = self.ask(move |ledger| ledger.bad_debt_minor(&of)).await?;
        }
        let owes = linefree_domain::units::Currency::new(&currency)
            .map(|currency| (Money::from_minor(unpaid_minor), currency));
        let mut answer = may_enter(owes, None);
        if let (Ok(()), Some(policy)) = (&answer, self.gate_policy.clone()) {
            let applicant = Applicant {
                store: self.map.id.clone(),
                credential: credential.to_owned(),
                unpaid_minor,
                currency,
            };
            let asked = tokio::task::spawn_blocking(move || policy.refusal(&applicant)).await;
            let risk = asked.map_err(|_| Trouble::Failed)?;
            answer = may_enter(owes, risk.as_deref());
        }
        match answer {
            Ok(()) => {
                self.refusals.forget(credential);
                Ok(())
            }
            Err(why) => {
                let (credential, reason) = (credential.to_owned(), why.to_string());
                self.refusals.note(Refusal { credential, reason: reason.clone(), at_us: wall_us() });
                Err(Trouble::Refused(reason))
            }
        }
    }
}

/// A code that opens the gate once, within a minute; refused with the reason to whom the store does not let in.
#[utoipa::path(post, path = "/api/me/entry", request_body = AskCode, responses((status = 200, description = "The code.", body = EntryCode), (status = 409, description = "The store does not let them in; the reason is for them.")))]
pub(super) async fn entry(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<AskCode>,
) -> Result<Json<EntryCode>, Trouble> {
    let credential = own(&person)?;
    context.let_in(&credential).await?;
    let (store, entering) =
        (context.map.id.clone(), Entering { credential, party: asked.party.unwrap_or(1) });
    let (code, until_us) = context.at_desk(move |desk| desk.entry_code(&store, &entering, wall_us())).await?;
    Ok(Json(EntryCode { code, until_us }))
}

/// Whom an entry code lets in, once: for gates that do not check codes themselves.
#[utoipa::path(post, path = "/api/entry/check", request_body = ReadCode, responses((status = 200, description = "Good.", body = CodeOf), (status = 409, description = "It is no code of this store, too old, used, or of somebody who is not let in; the reason says which.")))]
pub(super) async fn check_entry(
    State(context): State<Context>,
    Json(read): Json<ReadCode>,
) -> Result<Json<CodeOf>, Trouble> {
    let store = context.map.id.clone();
    let entering = context.at_desk(move |desk| desk.check_entry_code(&store, &read.code, wall_us())).await?;
    context.let_in(&entering.credential).await?;
    Ok(Json(CodeOf { credential: entering.credential, party: entering.party }))
}

/// Whom the store did not let in, and why, the last first.
#[utoipa::path(get, path = "/api/entry/refused", responses((status = 200, description = "The answer.", body = [Refusal])))]
pub(super) async fn refused(State(context): State<Context>) -> Result<Json<Vec<Refusal>>, Trouble> {
    Ok(Json(context.refusals.all()))
}
