//! Implementations of VDA 5050 that are not ours, for the tests of interoperability: the vehicle of vda-5050-lib, and the
//! models and schemas of vda5050-sdk.
//!
//! Nobody needs them to build or run Linefree. Where npm is missing the step is passed over, and the tests say that they
//! skip.

use anyhow::Result;

use super::{Plan, Step, python};
use crate::process;
use crate::workspace::Workspace;

const VEHICLE: &str = "vda-5050-lib@1.4.0";
const MODELS: &str = "vda5050-sdk==0.2.0";

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let name = "other makers' VDA 5050 (npm, pip)";
    if !process::on_path("npm") {
        return Ok(Plan::Skip { name, why: "npm is not installed".into() });
    }
    let vehicle = workspace.home.join("peers/vda-5050-lib");
    let models = workspace.home.join("peers/vda5050-sdk");
    let outputs =
        vec![vehicle.join("node_modules/vda-5050-lib/package.json"), models.join("vda5050/__init__.py")];
    Ok(Plan::Step(Step {
        name: name.into(),
        stamp: Some("robots"),
        inputs: format!("{VEHICLE} {MODELS}"),
        outputs,
        make: Box::new(move |running| {
            let log = workspace.home.join("log/robots.log");
            process::retried("npm install", running, || {
                let mut install = workspace.command("npm");
                install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
                process::quietly(install.arg(&vehicle).arg(VEHICLE), &log, running)
            })?;
            process::retried("pip install", running, || {
                let mut pip = workspace.command(python::interpreter(workspace));
                pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--upgrade", "--target"]);
                process::quietly(pip.arg(&models).arg(MODELS), &log, running)
            })
        }),
    }))
}
