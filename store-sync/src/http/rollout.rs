//! How configuration and models reach devices: the stages, the devices, what happened, and taking it back.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::desk::audit::AuditRow;
use crate::rollout::RolloutDesk;
use crate::rollout::plan::{Numbered, Stage};

/// Rows of what happened.
const HISTORY: u32 = 50;

/// A release.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReleaseInfo {
    number: u64,
    /// What it holds, for people.
    why: String,
}

/// A roll-out under way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnderWay {
    release: ReleaseInfo,
    /// `canary`, `all`, or `back`.
    #[schema(value_type = String)]
    stage: Stage,
    began_us: i64,
    /// Devices that get it first.
    canaries: Vec<String>,
    /// Since when every one of them is well with it.
    well_us: Option<i64>,
}

/// A device that takes part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OnDevice {
    source: String,
    role: String,
    online: bool,
    since_us: i64,
    /// The release that it runs by; 0 for its own store.toml.
    number: u64,
    /// That release is still on trial.
    trial: bool,
    /// The release that it is to run by.
    wanted: Option<u64>,
    /// The newest release that it refused.
    refused: Option<u64>,
    /// Why.
    refused_why: Option<String>,
}

/// How the roll-out stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rollout {
    /// What everybody is to run by when nothing is under way.
    good: Option<ReleaseInfo>,
    /// What that can be taken back to.
    before: Option<ReleaseInfo>,
    running: Option<UnderWay>,
    /// Why the last one went back.
    last_back: Option<String>,
    devices: Vec<OnDevice>,
    /// Share of the devices that get a release first.
    canary_share: f64,
    /// How long those must be well, seconds.
    hold_s: i64,
    /// What happened, youngest first.
    history: Vec<AuditRow>,
}

/// Why a release is taken back.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TakeBack {
    reason: String,
}

fn desk(context: &Context) -> Result<RolloutDesk, Trouble> {
    context.rollout.clone().ok_or(Trouble::NotFound("this server rolls nothing out"))
}

/// How the roll-out stands.
#[utoipa::path(get, path = "/api/rollout", responses((status = 200, description = "The answer.", body = Rollout)))]
pub(super) async fn rollout(State(context): State<Context>) -> Result<Json<Rollout>, Trouble> {
    let desk = desk(&context)?;
    let view = desk.view.borrow().clone();
    let history = context.at_desk(|desk| desk.audit_of("rollout.", HISTORY)).await?;
    let info = |n: &Numbered| ReleaseInfo {
        number: n.number,
        why: view.releases.get(&n.number).cloned().unwrap_or_default(),
    };
    let devices = view.plan.devices.iter().map(|(source, seen)| OnDevice {
        source: source.clone(),
        role: seen.role.clone(),
        online: seen.online,
        since_us: seen.since_us,
        number: seen.number,
        trial: seen.trial,
        wanted: view.plan.wanted(source),
        refused: seen.refused.as_ref().map(|(number, _)| *number),
        refused_why: seen.refused.as_ref().map(|(_, why)| why.clone()),
    });
    Ok(Json(Rollout {
        good: view.plan.good.as_ref().map(info),
        before: view.plan.before.as_ref().map(info),
        running: view.plan.running.as_ref().map(|r| UnderWay {
            release: info(&r.release),
            stage: r.stage,
            began_us: r.began_us,
            canaries: r.canaries.clone(),
            well_us: r.well_us,
        }),
        last_back: view.plan.last_back.clone(),
        devices: devices.collect(),
        canary_share: desk.gates.canary_share,
        hold_s: desk.gates.hold_us / 1_000_000,
        history,
    }))
}

/// Takes back what is under way or, when nothing is, what everybody runs by: the content before that, under a new number.
#[utoipa::path(post, path = "/api/rollout/back", request_body = TakeBack, responses((status = 200, description = "On its way back.", body = bool, content_type = "application/json")))]
pub(super) async fn take_back(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<TakeBack>,
) -> Result<Json<bool>, Trouble> {
    let reason = asked.reason.trim().chars().take(200).collect::<String>();
    if reason.is_empty() {
        return Err(Trouble::Refused("say why it is taken back".into()));
    }
    let done = desk(&context)?.take_back(format!("{}: {reason}", person.name)).await;
    let ok = done.is_ok();
    context
        .at_desk(move |desk| desk.note(Some(&person), "rollout.take_back", "release", &reason, ok, wall_us()))
        .await?;
    done.map_err(Trouble::Refused)?;
    Ok(Json(true))
}
