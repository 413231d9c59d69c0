//! `cargo deb`, which makes the Debian packages: for the long mode's test of them, and for whoever makes a release.
//!
//! Built from the registry into the home, which takes minutes: only where it is asked for.

use std::path::PathBuf;

use anyhow::Result;

use super::{Extent, Plan, Step};
use crate::process;
use crate::workspace::Workspace;

const VERSION: &str = "3.8.0";

/// The folder of the program.
pub fn programs(workspace: &Workspace) -> PathBuf {
    workspace.home.join("cargo/bin")
}

pub fn plan(workspace: &Workspace, extent: Extent) -> Result<Plan<'_>> {
    let name = "cargo-deb";
    if extent != Extent::Long {
        return Ok(Plan::Skip {
            name,
            why: "only the long mode makes packages (cargo xtask setup --long)".into(),
        });
    }
    Ok(Plan::Step(Step {
        name: format!("{name} {VERSION}"),
        stamp: Some("packer"),
        inputs: VERSION.into(),
        outputs: vec![programs(workspace).join("cargo-deb")],
        make: Box::new(move |running| {
            let log = workspace.home.join("log/packer.log");
            process::retried("cargo install cargo-deb", running, || {
                let mut install = workspace.cargo();
                install.args(["install", "--locked", "--version", VERSION, "--root"]);
                install.arg(workspace.home.join("cargo")).arg("cargo-deb");
                process::quietly(&mut install, &log, running)
            })
        }),
    }))
}
