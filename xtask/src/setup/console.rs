//! What builds and tests the console: its npm packages, beside its sources where node looks for them.
//!
//! Nobody needs them to build or run Linefree: the built console is committed under `console/dist/`. Chromium, which the
//! browser test drives, is among the Debian packages.

use std::fs;

use anyhow::{Context, Result};

use super::{Plan, Step};
use crate::process;
use crate::workspace::Workspace;

const LOCK: &str = "console/package-lock.json";

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let inputs = fs::read_to_string(workspace.root.join(LOCK)).with_context(|| format!("read {LOCK}"))?;
    let modules = workspace.root.join("console/node_modules");
    Ok(Plan::Step(Step {
        name: "console's packages (npm)".into(),
        stamp: Some("console"),
        inputs,
        outputs: vec![modules.join(".package-lock.json")],
        make: Box::new(move |running| {
            let log = workspace.home.join("log/console.log");
            process::retried("npm ci", running, || {
                let mut install = workspace.command("npm");
                install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
                process::quietly(install.arg(workspace.root.join("console")), &log, running)
            })
        }),
    }))
}
