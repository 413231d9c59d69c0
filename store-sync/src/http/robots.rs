//! Robots, as people see and help them.

#![allow(unused_qualifications)] // utoipa's macro writes the parameters' types with their full path.

use axum::extract::State;
use axum::{Extension, Json};
use linefree_bus::vda5050::RobotId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Context, Trouble};
use crate::clock::wall_us;
use crate::desk::accounts::Person;
use crate::robots::service::{Command, RobotView};

/// Which robot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRobot {
    /// `manufacturer/serialNumber`.
    robot: String,
}

/// How the robots are; none in a store without.
#[utoipa::path(get, path = "/api/robots", responses((status = 200, description = "The answer.", body = [RobotView])))]
pub(super) async fn robots(State(context): State<Context>) -> Json<Vec<RobotView>> {
    Json(context.robots.as_ref().map(|desk| desk.views.borrow().clone()).unwrap_or_default())
}

/// Staff have brought a robot home and taken goods off it: its way is free again.
#[utoipa::path(post, path = "/api/robots/moved-home", request_body = OfRobot, responses((status = 200, description = "Told.", body = bool, content_type = "application/json"), (status = 404, description = "There is no such robot.")))]
pub(super) async fn moved_home(
    State(context): State<Context>,
    Extension(person): Extension<Person>,
    Json(asked): Json<OfRobot>,
) -> Result<Json<bool>, Trouble> {
    let none = || Trouble::NotFound("this store has no such robot");
    let desk = context.robots.clone().ok_or_else(none)?;
    if !desk.views.borrow().iter().any(|view| view.robot == asked.robot) {
        return Err(none());
    }
    let (manufacturer, serial) = asked.robot.split_once('/').ok_or_else(none)?;
    let (robot, subject) = (RobotId::new(manufacturer, serial), asked.robot.clone());
    context
        .at_desk(move |desk| desk.note(Some(&person), "robot.moved_home", &subject, "", true, wall_us()))
        .await?;
    desk.commands.send(Command::MovedHome(robot)).await.map_err(|_| Trouble::Failed)?;
    Ok(Json(true))
}
