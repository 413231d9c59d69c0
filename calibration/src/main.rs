//! `calibrate`: the command for whoever installs cameras and shelves.
//!
//! Results go to the standard output or to `--out`; what a person should know beside them goes to the standard error,
//! so that `--json` can be piped. Exit codes: 0 done, 1 the input does not give a calibration, 2 wrong usage.

mod check_command;
mod images;
mod import_command;
mod lens_command;
mod plan_command;
mod planogram_command;
mod pose_command;
mod print_command;
mod report_command;
mod rig_command;
mod shelf_command;
mod stereo_command;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "calibrate", version, after_help = EXAMPLES, arg_required_else_help = true)]
/// Calibrates a store: cameras, shelves and what lies on them; and says how good it is
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  calibrate pose --points points.csv --camera cam1 --size 1920x1080 --out cam1.toml
  calibrate lens --board 9x6 boards/*.jpg --out lens.toml
  calibrate pose --markers sheets.csv --image cam1=cam1.jpg --lens cam1=lens.toml --out cameras.toml
  calibrate report store.toml --out report.html
  calibrate plan store.toml --cameras 4 --html plan.html
  calibrate check store.toml --people people.jsonl
  calibrate completions bash > /etc/bash_completion.d/calibrate

The guide is docs/guide/calibration.md.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit the pose of a camera (pixels to floor metres) to surveyed points
    Pose(pose_command::Arguments),
    /// Fit focal length, principal point and distortion to images of a chessboard
    Lens(lens_command::Arguments),
    /// Check two cameras that see one board at the same moments against each other
    Stereo(stereo_command::Arguments),
    /// Make sheets to print: numbered markers, a chessboard, a ChArUco board (PDF)
    Print(print_command::Arguments),
    /// Calibrate the plates of a shelf: wiring, tare, gain, cross-talk, temperature
    Shelf(shelf_command::Arguments),
    /// Propose what lies where, from weights and the catalogue
    Planogram(planogram_command::Arguments),
    /// See whether cameras or plates have drifted, from what the store saw
    Check(check_command::Arguments),
    /// Propose where to hang cameras, before anything is bought
    Plan(plan_command::Arguments),
    /// Write a page with pictures: who sees what, how exactly, what is left over, what would help
    Report(report_command::Arguments),
    /// Take over a calibration that was made elsewhere
    Import(import_command::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Pose(arguments) => pose_command::run(&arguments),
        Command::Lens(arguments) => lens_command::run(&arguments),
        Command::Stereo(arguments) => stereo_command::run(&arguments),
        Command::Print(arguments) => print_command::run(&arguments),
        Command::Shelf(arguments) => shelf_command::run(&arguments),
        Command::Planogram(arguments) => planogram_command::run(&arguments),
        Command::Check(arguments) => check_command::run(&arguments),
        Command::Plan(arguments) => plan_command::run(&arguments),
        Command::Report(arguments) => report_command::run(&arguments),
        Command::Import(arguments) => import_command::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "calibrate", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            note(&format!("error: {e:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes to the standard output. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("writing to the standard output"),
    }
}

/// For people, beside the result.
fn note(text: &str) {
    // Nobody left to tell when this fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Width and height as `1920x1080`.
fn parse_size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    sides
        .filter(|s| s.iter().all(|side| *side > 0))
        .ok_or_else(|| "write WIDTHxHEIGHT in pixels, as 1920x1080".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_are_two_positive_numbers() {
        assert_eq!(parse_size("1920x1080"), Ok([1920, 1080]));
        for bad in ["", "1920", "1920x", "0x5", "ax5", "1920x1080x3", "-1x5"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
