//! Set-up, demo, tests, benchmarks and CI of the workspace: `cargo xtask COMMAND`.
//!
//! This program is what a fresh clone compiles first, before set-up has installed anything. So it depends on no
//! other crate of the workspace and on nothing that needs a system library; what it needs from the others it gets
//! by running them.

mod bench;
mod bench_camera;
mod bench_ledger;
mod bench_tracking;
mod ci;
mod demo;
mod links;
mod process;
mod rules;
mod say;
mod schema;
mod setup;
mod testing;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use setup::{Extent, Zeal};
use workspace::Workspace;

const EXAMPLES: &str = "\
Two commands are all a fresh clone needs:
  cargo xtask demo     set up, build, and watch shoppers walk out; Ctrl-C stops it
  cargo xtask test     set up, build, and run every test

Places:
  .linefree/    what set-up installs; LINEFREE_HOME puts it elsewhere, removing it undoes set-up
  ../shared/    data for development and evaluation; LINEFREE_SHARED names another place; tests that need it are
                skipped, visibly, where it is absent";

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, after_help = EXAMPLES, version)]
/// Works on Linefree's workspace: sets up, shows, tests, measures.
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing: system packages, ONNX Runtime, person model, demo video.
    ///
    /// Every step is named, says what it cost, and is left out when its result is there already. Only the Debian
    /// packages need root; without root, the line to run is printed. `demo`, `test` and `ci` do this by themselves.
    Setup {
        /// Do every step again, even where its result is there.
        #[arg(long)]
        force: bool,
        /// Also what the tests of the long mode need: cargo-deb, which is built for minutes.
        #[arg(long)]
        long: bool,
    },
    /// Run every test; the last lines are the test runner's own.
    ///
    /// Uses cargo-nextest where it is installed, else cargo test.
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --long\n  cargo xtask test -- gate"
    )]
    Test {
        /// Also the tests that take minutes.
        #[arg(long)]
        long: bool,
        /// Leave set-up out.
        #[arg(long)]
        no_setup: bool,
        /// Passed on to the test runner, for example part of a test's name.
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Check what must hold before anything lands: format, house rules, links, lints, docs, every test.
    Ci {
        /// Leave set-up out.
        #[arg(long)]
        no_setup: bool,
    },
    /// Run a store on real video: camera, shelf, gate and floor roles, the ledger, and a reference cloud.
    Demo(demo::Options),
    /// Write the reference under docs/ref again from the code: bus schemas, OpenAPI.
    Schema {
        /// Write nothing; fail when something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Measure: milliseconds per frame, the ledger, tracking beside its peers, what a camera costs.
    Bench(bench::Options),
    /// Print a shell's completion script for `cargo-xtask`, for those who alias it.
    #[command(
        after_help = "Example:\n  cargo xtask completions bash > ~/.local/share/bash-completion/completions/xtask"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            say::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let set_up_for = |extent: Extent, left_out: bool| {
        if left_out { Ok(()) } else { setup::run(&workspace, Zeal::Needed, extent) }
    };
    let set_up = |left_out: bool| set_up_for(Extent::Usual, left_out);
    match command {
        Command::Setup { force, long } => {
            let extent = if long { Extent::Long } else { Extent::Usual };
            setup::run(&workspace, if force { Zeal::Forced } else { Zeal::Listed }, extent)?;
        }
        Command::Test { long, no_setup, arguments } => {
            set_up_for(if long { Extent::Long } else { Extent::Usual }, no_setup)?;
            return testing::run(&workspace, &testing::Wanted { long, arguments });
        }
        Command::Ci { no_setup } => {
            set_up(no_setup)?;
            return ci::run(&workspace);
        }
        Command::Demo(options) => {
            set_up(options.no_setup)?;
            return demo::run(&workspace, &options);
        }
        Command::Schema { check } => schema::run(&workspace, check)?,
        Command::Bench(options) => {
            set_up(options.no_setup)?;
            bench::run(&workspace, &options)?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "xtask", &mut script);
            say::line(String::from_utf8_lossy(&script));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
