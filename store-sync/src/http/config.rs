//! Configuration and planogram: what is in force, and saving another.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::config::{Config, NotSaved, PlannedFacing, digest};
use crate::desk::accounts::Person;
use linefree_recording::StoreFile;

/// The configuration in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigText {
    /// The text of store.toml.
    text: String,
    /// Its SHA-256: to be sent with another text.
    digest: String,
    /// Who saved it here; `null` for the file as it was found.
    saved_by: Option<String>,
    /// When.
    saved_us: Option<i64>,
    /// The server itself follows at its next start.
    waits_for_start: bool,
}

/// Another text of store.toml.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewConfig {
    text: String,
    /// Digest of the text that it was made from.
    from: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Saved {
    /// Is it in force?
    ok: bool,
    /// Mistakes that kept it from that, or warnings.
    messages: Vec<String>,
}

/// Which product lies where.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PlannedAt {
    sku: String,
    /// `gondola/shelf/plate`, neighbours from left to right.
    plates: Vec<String>,
    /// How many lie there when it is full.
    count: Option<u32>,
}

/// The planogram in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Planogram {
    facings: Vec<PlannedAt>,
    /// Digest of the configuration that holds it: to be sent with another one.
    digest: String,
    /// The chain commands the planogram, with this version: it counts instead, and this one cannot be edited.
    commanded: Option<u64>,
    /// The map, prices and orders follow at the server's next start; devices at once.
    waits_for_start: bool,
}

/// Another planogram.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewPlanogram {
    facings: Vec<PlannedAt>,
    from: String,
}

fn config(context: &Context) -> Result<std::sync::Arc<Config>, Trouble> {
    context.config.clone().ok_or(Trouble::NotFound("this server was started without a store.toml of its own"))
}

/// The configuration in force.
#[utoipa::path(get, path = "/api/config", responses((status = 200, description = "The answer.", body = ConfigText)))]
pub(super) async fn read(State(context): State<Context>) -> Result<Json<ConfigText>, Trouble> {
    let config = config(&context)?;
    let (text, saved) = (config.text(), config.saved_by());
    Ok(Json(ConfigText {
        digest: digest(&text),
        text,
        saved_us: saved.as_ref().map(|(_, at_us)| *at_us),
        saved_by: saved.map(|(who, _)| who),
        waits_for_start: config.waits_for_start(),
    }))
}

/// Saves another text: checked whole, in force for devices at once, for the server itself from its next start.
#[utoipa::path(post, path = "/api/config", request_body = NewConfig, responses((status = 200, description = "Saved, or its mistakes.", body = Saved)))]
pub(super) async fn save(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewConfig>,
) -> Result<Json<Saved>, Trouble> {
    saved(&context, person, "config.save", asked.text, asked.from).await
}

async fn saved(
    context: &Context,
    person: Person,
    action: &'static str,
    text: String,
    from: String,
) -> Result<Json<Saved>, Trouble> {
    let config = config(context)?;
    context
        .at_desk(move |desk| {
            let done = config.save(&text, &from, &person.name, wall_us());
            let detail = match &done {
                Ok(_) => format!("from {} to {}", &from[..from.len().min(12)], &digest(&text)[..12]),
                Err(e) => e.to_string(),
            };
            desk.note(Some(&person), action, "store.toml", &detail, done.is_ok(), wall_us())?;
            Ok(done)
        })
        .await
        .and_then(answer)
}

fn answer(done: Result<Vec<String>, NotSaved>) -> Result<Json<Saved>, Trouble> {
    match done {
        Ok(messages) => Ok(Json(Saved { ok: true, messages })),
        Err(NotSaved::Mistakes(messages)) => Ok(Json(Saved { ok: false, messages })),
        Err(NotSaved::Refused(why)) => Err(Trouble::Refused(why)),
        Err(e @ NotSaved::Disk { .. }) => {
            tracing::error!("{e}");
            Err(Trouble::Failed)
        }
    }
}

/// Which version of the planogram the chain commands, if it does.
async fn commanded(context: &Context) -> Result<Option<u64>, Trouble> {
    context.ask(|ledger| ledger.version_in_force("planogram")).await
}

/// The planogram in force.
#[utoipa::path(get, path = "/api/planogram", responses((status = 200, description = "The answer.", body = Planogram)))]
pub(super) async fn planogram(State(context): State<Context>) -> Result<Json<Planogram>, Trouble> {
    let config = config(&context)?;
    let text = config.text();
    let file = StoreFile::parse(std::path::Path::new("store.toml"), &text).map_err(|mistakes| {
        tracing::error!("the configuration in force: {mistakes}");
        Trouble::Failed
    })?;
    let layout = &file.layout;
    let facings = layout.facings.iter().map(|f| PlannedAt {
        sku: layout.products.get(f.product.0).map(|p| p.sku.to_string()).unwrap_or_default(),
        plates: f.plates.iter().filter_map(|p| layout.plates.get(p.0)).map(|p| p.id.to_string()).collect(),
        count: f.count,
    });
    Ok(Json(Planogram {
        facings: facings.collect(),
        digest: digest(&text),
        commanded: commanded(&context).await?,
        waits_for_start: config.waits_for_start(),
    }))
}

/// Saves another planogram, as [`save`] does with the whole text.
#[utoipa::path(post, path = "/api/planogram", request_body = NewPlanogram, responses((status = 200, description = "Saved, or its mistakes.", body = Saved)))]
pub(super) async fn save_planogram(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<NewPlanogram>,
) -> Result<Json<Saved>, Trouble> {
    if let Some(version) = commanded(&context).await? {
        let why = format!("the chain commands the planogram (version {version}): it is changed there");
        return Err(Trouble::Refused(why));
    }
    let facings: Vec<PlannedFacing> = asked.facings.into_iter().map(|f| (f.sku, f.plates, f.count)).collect();
    let text = match config(&context)?.with_facings(&facings) {
        Ok(text) => text,
        Err(e) => return answer(Err(e)),
    };
    saved(&context, person, "planogram.save", text, asked.from).await
}

/// One figure of how good a calibration says it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalibrationFigure {
    /// The camera, or the shelf as `gondola/shelf`.
    of: String,
    /// What it measures: `lens_rms_px`, `floor_error_m`, `pose_rms_px`, `position_sd_m`, `rotation_sd_deg` or `rms_g`.
    key: String,
    value: f64,
    /// Beyond this the configuration would be refused.
    limit: f64,
}

/// How good the calibrations of the configuration in force say they are.
#[utoipa::path(get, path = "/api/calibration", responses((status = 200, description = "The answer.", body = [CalibrationFigure])))]
pub(super) async fn calibration(
    State(context): State<Context>,
) -> Result<Json<Vec<CalibrationFigure>>, Trouble> {
    let text = config(&context)?.text();
    // What was saved was read without a mistake; should this program not read it, there is nothing to tell.
    let file = StoreFile::parse(std::path::Path::new("store.toml"), &text).ok();
    let figures = file.into_iter().flat_map(|f| f.qualities).map(|q| CalibrationFigure {
        of: q.of,
        key: q.key.to_owned(),
        value: q.value,
        limit: q.limit,
    });
    Ok(Json(figures.collect()))
}
