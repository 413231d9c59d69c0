//! What this program says, and how it shows that it works: the only place that prints.
//!
//! On a terminal, a running step shows a spinner, its seconds and the last line of what it runs; elsewhere (a CI
//! log) it says when it begins and when it ends.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A result or a table: standard output.
pub fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Progress and warnings: standard error, so that results can be piped.
pub fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// A step on its way.
pub struct Running {
    label: String,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Running {
    /// Shows that a step begins.
    #[must_use]
    pub fn begin(label: impl Into<String>) -> Self {
        let label = label.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:>4} {wide_msg:.dim}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
                .with_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            note(format!("{label} ..."));
        }
        Self { label, begun: Instant::now(), bar }
    }

    /// Shows what the step is doing right now. Only a terminal shows it.
    pub fn doing(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.trim().to_owned());
        }
    }

    /// Shows that the step is done, what came of it, and what it cost.
    pub fn done(self, outcome: &str) -> Duration {
        let cost = self.begun.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let outcome = if outcome.is_empty() { String::new() } else { format!(" ({outcome})") };
        note(format!("{} {:.1} s{outcome}", self.label, cost.as_secs_f64()));
        cost
    }
}

impl Drop for Running {
    /// A step that failed leaves no spinner behind; the error speaks.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar
            && !bar.is_finished()
        {
            bar.finish_and_clear();
        }
    }
}
