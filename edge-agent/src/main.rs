//! `edge-agent`: the device program. Cameras, shelves, gates and the floor of a store, each as a role; and the same
//! pipeline over recordings.

use std::process::ExitCode;

use clap::Parser;
use edge_agent::cli::{Cli, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its whole chain of causes.
#[allow(clippy::print_stderr, reason = "a command's error belongs on stderr")]
fn report(error: &anyhow::Error) {
    eprintln!("edge-agent: {error:#}");
}
