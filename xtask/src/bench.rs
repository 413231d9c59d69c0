//! `cargo xtask bench`: milliseconds per frame by stage, beside a bare run of the same model in the same process.
//!
//! The figures are made by the example `bench_detect` of linefree-models, which prints them as JSON; here they are
//! shown as a table and kept under `target/bench/`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::say::{self, Running};
use crate::setup::stamp;
use crate::workspace::Workspace;

/// What is measured, and how it is built.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Leave set-up out.
    #[arg(long)]
    pub no_setup: bool,
    /// Build as the demo does instead of optimised as for a store: starts sooner, measures the demo's profile.
    #[arg(long)]
    dev: bool,
    /// Passed on to the measuring program.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Measures, prints a table, keeps the JSON.
///
/// # Errors
/// When the program does not build, fails, or prints no JSON.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let profile = if options.dev { "dev" } else { "release" };
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--locked",
        "-p",
        "linefree-models",
        "--example",
        "bench_detect",
        "--profile",
        profile,
    ]);
    process::loudly(&mut build)?;

    let running = Running::begin(format!("measuring ({profile} profile)"));
    let mut bench = workspace.cargo();
    bench.args(["run", "--locked", "--quiet", "-p", "linefree-models", "--example", "bench_detect"]);
    bench.args(["--profile", profile, "--"]).args(&options.arguments);
    let text = process::output(&mut bench)?;
    running.done("");

    let figures: Value = serde_json::from_str(&text).context("bench_detect printed no JSON")?;
    for line in table(&figures) {
        say::line(line);
    }
    let kept: PathBuf = workspace.target.join("bench").join(format!("detect-{profile}.json"));
    stamp::write_whole(&kept, text.as_bytes())?;
    say::note(format!("kept in {}", workspace.shown(&kept)));
    Ok(())
}

/// Every figure with the path that leads to it, one a line, aligned.
fn table(figures: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    flatten(String::new(), figures, &mut rows);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.into_iter().map(|(name, figure)| format!("{name:<width$}  {figure:>12}")).collect()
}

fn flatten(path: String, value: &Value, rows: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(all) => {
            for (key, value) in all {
                flatten(below(key), value, rows);
            }
        }
        Value::Array(all) => {
            for (index, value) in all.iter().enumerate() {
                flatten(below(&index.to_string()), value, rows);
            }
        }
        Value::Number(n) if n.is_f64() => rows.push((path, format!("{:.3}", n.as_f64().unwrap_or(f64::NAN)))),
        Value::String(text) => rows.push((path, text.clone())),
        other => rows.push((path, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_aligned_rows() {
        let figures =
            serde_json::json!({"model": "m", "ms": {"run": 12.3456, "total": 13}, "sizes": [512, 384]});
        let expected =
            ["model             m", "ms.run       12.346", "ms.total         13", "sizes.0         512"];
        let squeezed = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rows = table(&figures);
        for (row, wanted) in rows.iter().zip(expected) {
            assert_eq!(squeezed(row), squeezed(wanted));
        }
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().all(|r| r.len() == rows[0].len()), "{rows:?}");
    }
}
