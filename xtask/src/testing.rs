//! `cargo xtask test`: every test of the workspace, closing with the runner's own last line.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process;
use crate::say;
use crate::workspace::Workspace;

/// Which tests, and how.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Also those that take minutes (marked `#[ignore]` with the reason).
    pub long: bool,
    /// Passed on to the runner, for example a test's name.
    pub arguments: Vec<String>,
}

/// Builds the programs, runs every test and returns the runner's own exit code. Nothing is printed after it.
///
/// # Errors
/// When the programs do not build or the runner cannot start.
pub fn run(workspace: &Workspace, wanted: &Wanted) -> Result<ExitCode> {
    let begun = Instant::now();
    say::note("building the programs that tests start (cargo build)");
    process::loudly(workspace.cargo().args(["build", "--locked", "--workspace", "--bins"]))
        .context("the programs do not build")?;
    say::note(format!("built in {:.0} s", begun.elapsed().as_secs_f64()));

    let nextest = process::on_path("cargo-nextest");
    if nextest && wanted.arguments.is_empty() {
        // nextest leaves out the examples in the documentation.
        let status =
            process::status(workspace.cargo().args(["test", "--locked", "--workspace", "--doc", "--quiet"]))?;
        if !status.success() {
            return Ok(code(status.code()));
        }
    }
    let mut runner = if nextest { with_nextest(workspace, wanted) } else { with_cargo(workspace, wanted) };
    if wanted.long {
        runner.env("LINEFREE_LONG", "1");
        let mut programs = vec![crate::setup::programs(workspace)];
        programs.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        runner.env("PATH", std::env::join_paths(programs).context("the PATH cannot be extended")?);
    }
    let status = process::status(&mut runner)?;
    Ok(code(status.code()))
}

fn with_nextest(workspace: &Workspace, wanted: &Wanted) -> Command {
    let mut command = workspace.cargo();
    command.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
    command.args(["--status-level", "slow", "--final-status-level", "fail"]);
    if wanted.long {
        command.args(["--run-ignored", "all"]);
    }
    command.args(&wanted.arguments);
    command
}

fn with_cargo(workspace: &Workspace, wanted: &Wanted) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast", "--"]);
    if wanted.long {
        command.arg("--include-ignored");
    }
    command.args(&wanted.arguments);
    command
}

fn code(status: Option<i32>) -> ExitCode {
    // A runner that was ended by a signal has no code; it did not succeed.
    ExitCode::from(u8::try_from(status.unwrap_or(1)).unwrap_or(1))
}
