//! Runs other programs: quietly with a log, or with their output shown; retries what may fail for a moment.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::say::{self, Running};

/// How many lines of a failed program's output an error repeats.
const TAIL_LINES: usize = 15;
/// How much of a log is read to find its last lines, bytes.
const TAIL_BYTES: u64 = 8 * 1024;
/// Waits between the tries of a download.
const RETRY_WAITS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(20)];

/// The command as one would type it.
#[must_use]
pub fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|w| {
        let w = w.to_string_lossy();
        if w.is_empty() || w.contains(|c: char| c.is_whitespace() || "'\"$;&|<>()*?#~".contains(c)) {
            format!("'{}'", w.replace('\'', r"'\''"))
        } else {
            w.into_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Is there a program of this name on the `PATH`?
#[must_use]
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

fn missing(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    if error.kind() == std::io::ErrorKind::NotFound {
        format!("{program} is not installed or not on the PATH (wanted for: {})", typed(command))
    } else {
        format!("cannot start: {}", typed(command))
    }
}

fn judge(status: ExitStatus, command: &Command, more: impl FnOnce() -> String) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("{} ended with {status}{}", typed(command), more())
}

/// The last lines of a file; empty when it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.split(['\n', '\r']).map(str::trim_end).filter(|l| !l.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a program to its end; its output goes to `log` and its last line to the progress display.
///
/// # Errors
/// When it cannot start or fails; the error repeats the command, the end of its output and where the rest is.
pub fn quietly(command: &mut Command, log: &Path, running: &Running) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let out = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let err = out.try_clone().context("share the log")?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    running.doing(&typed(command));
    let mut child = command.spawn().map_err(|e| anyhow::Error::msg(missing(command, &e)))?;
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for a program")? {
            break status;
        }
        thread::sleep(Duration::from_millis(100));
        running.doing(&tail(log, 1));
    };
    judge(status, command, || format!(":\n{}\n(all of it: {})", tail(log, TAIL_LINES), log.display()))
}

/// Runs a program to its end with its output shown as it comes.
///
/// # Errors
/// When it cannot start or fails.
pub fn loudly(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    judge(status, command, String::new)
}

/// Runs a program to its end with its output shown as it comes and says how it ended.
///
/// # Errors
/// When it cannot start.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().map_err(|e| anyhow::Error::msg(missing(command, &e)))
}

/// Runs a program and returns what it printed.
///
/// # Errors
/// When it cannot start or fails; the error repeats what it complained of.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.output().map_err(|e| anyhow::Error::msg(missing(command, &e)))?;
    judge(out.status, command, || format!(":\n{}", String::from_utf8_lossy(&out.stderr).trim_end()))?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Tries something that needs the network up to four times.
///
/// # Errors
/// The last try's error, with the number of tries.
pub fn retried(what: &str, running: &Running, attempt: impl FnMut() -> Result<()>) -> Result<()> {
    retried_after(&RETRY_WAITS, what, running, attempt)
}

fn retried_after(
    waits: &[Duration],
    what: &str,
    running: &Running,
    mut attempt: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut waits = waits.iter();
    let mut tries = 1;
    loop {
        let error = match attempt() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let Some(wait) = waits.next() else {
            return Err(error.context(format!(
                "{what}: failed {tries} times; check the network or the registry's settings, then run this again"
            )));
        };
        say::note(format!("{what}: try {tries} failed, again in {} s", wait.as_secs()));
        running.doing("waiting before the next try");
        thread::sleep(*wait);
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_download_is_retried_and_then_explained() {
        let running = Running::begin("test");
        let mut tries = 0;
        let waits = [Duration::ZERO; 3];
        let end = retried_after(&waits, "fetch it", &running, || {
            tries += 1;
            bail!("no route")
        });
        assert_eq!(tries, 4);
        let text = format!("{:#}", end.unwrap_err());
        assert!(text.contains("fetch it: failed 4 times") && text.contains("no route"), "{text}");

        let mut tries = 0;
        retried_after(&waits, "fetch it", &running, || {
            tries += 1;
            if tries < 3 { bail!("busy") } else { Ok(()) }
        })
        .unwrap();
        assert_eq!(tries, 3);
    }

    #[test]
    fn an_error_repeats_the_command_and_its_last_words() {
        let log = std::env::temp_dir().join(format!("xtask-quietly-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo the reason >&2; exit 3"]);
        let error = quietly(&mut command, &log, &Running::begin("test")).unwrap_err().to_string();
        assert!(error.starts_with("sh -c 'echo first; echo the reason >&2; exit 3' ended with"), "{error}");
        assert!(error.contains("first\nthe reason"), "{error}");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
        assert!(error.contains("no-such-program-here is not installed"), "{error}");
    }
}
