//! `cargo xtask ci`: what must hold before anything lands, quick checks first, then every test.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::process;
use crate::say;
use crate::testing::{self, Wanted};
use crate::workspace::Workspace;
use crate::{links, rules};

/// Runs every check, even after one has failed, so that one run tells everything; tests only when all hold.
///
/// # Errors
/// Names the checks that failed.
pub fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, check: &dyn Fn() -> Result<()>| {
        say::note(format!("== {name}"));
        let begun = Instant::now();
        match check() {
            Ok(()) => say::note(format!("   holds ({:.1} s)", begun.elapsed().as_secs_f64())),
            Err(error) => {
                say::note(format!("   FAILED: {error:#}"));
                failed.push(name);
            }
        }
    };
    check("formatting (cargo fmt --check)", &|| {
        process::loudly(workspace.cargo().args(["fmt", "--all", "--check"]))
    });
    check("rules of the house (dependence, file sizes, glossary)", &|| none(&rules::breaches(workspace)?));
    check("links of the documentation", &|| none(&links::broken(workspace)?));
    check("licences and sources of dependencies (cargo deny)", &|| deny(workspace));
    check("lints (cargo clippy)", &|| {
        let mut clippy = workspace.cargo();
        clippy.args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]);
        process::loudly(&mut clippy)
    });
    check("documentation of the code (cargo doc)", &|| {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        process::loudly(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    if !failed.is_empty() {
        bail!("{} of the checks failed, tests were not run: {}", failed.len(), failed.join("; "));
    }
    say::note("== tests");
    testing::run(workspace, &Wanted::default())
}

fn none(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} found:\n   {}", problems.len(), problems.join("\n   "))
}

/// `cargo deny` is not part of set-up (it takes minutes to build); where it is installed, it decides.
fn deny(workspace: &Workspace) -> Result<()> {
    if !process::on_path("cargo-deny") {
        say::note("   cargo-deny is not installed, left out; to have it: cargo install --locked cargo-deny");
        return Ok(());
    }
    // Advisories need a database from the web; bans, licences and sources do not.
    process::loudly(workspace.cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))
}
