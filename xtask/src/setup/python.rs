//! A Python environment of the workspace's own: pip for downloads, what converts the person model, and what makes the
//! long tests' requests.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Plan, Step};
use crate::process;
use crate::workspace::Workspace;

/// What the environment holds.
const REQUIREMENTS: [&str; 2] = ["models/convert/requirements.txt", "store-sync/tests/requirements.txt"];

/// The environment's Python.
pub fn interpreter(workspace: &Workspace) -> PathBuf {
    workspace.home.join("venv/bin/python")
}

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let requirements = REQUIREMENTS.map(|path| workspace.root.join(path));
    let mut inputs = String::new();
    for path in &requirements {
        inputs += &fs::read_to_string(path).with_context(|| format!("read {}", workspace.shown(path)))?;
    }
    let venv = workspace.home.join("venv");
    Ok(Plan::Step(Step {
        name: "Python environment".into(),
        stamp: Some("python"),
        inputs,
        outputs: vec![interpreter(workspace)],
        make: Box::new(move |running| {
            let log = workspace.home.join("log/python.log");
            let mut make = workspace.command("python3");
            make.args(["-m", "venv", "--clear"]).arg(&venv);
            process::quietly(&mut make, &log, running)
                .context("make the environment (on Debian it needs: apt-get install python3-venv)")?;
            process::retried("pip install", running, || {
                let mut install = workspace.command(interpreter(workspace));
                install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
                for path in &requirements {
                    install.arg("-r").arg(path);
                }
                process::quietly(&mut install, &log, running)
            })
        }),
    }))
}
