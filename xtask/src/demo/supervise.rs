//! Starts the demo's programs, watches them, and stops them in order.
//!
//! Each program runs in a process group of its own, so that Ctrl-C on a terminal reaches only us and we can stop
//! them one by one: those that send first, those that receive last. Each gets SIGTERM and [`PATIENCE`] to end by
//! itself, then is killed. A program's output goes to a log file of its name.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::process;
use crate::say;

/// How long a program may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often we look.
pub const TICK: Duration = Duration::from_millis(50);

/// Was the demo asked to stop (Ctrl-C, SIGTERM, or its terminal is gone)?
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on. The first signal asks to stop; a second one ends this program at once.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
                .context("listen for Ctrl-C")?;
        }
        Ok(Self(asked))
    }

    /// Was it?
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One program on its way.
struct Program {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
}

/// All programs, in the order in which they were started.
pub struct Programs {
    logs: PathBuf,
    all: Vec<Program>,
}

impl Programs {
    /// None yet; their logs will be in this folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(logs: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        Ok(Self { logs, all: Vec::new() })
    }

    /// Where a program's output goes.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name).with_extension("log")
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.log(name);
        let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let err = out.try_clone().context("share a log")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().with_context(|| format!("start {}", process::typed(command)))?;
        self.all.push(Program { name: name.to_owned(), child, ended: None });
        Ok(())
    }

    /// Looks after the programs once.
    ///
    /// # Errors
    /// Names the first program that failed, with the end of its log.
    pub fn look(&mut self) -> Result<()> {
        for program in &mut self.all {
            if program.ended.is_none() {
                program.ended = program.child.try_wait().context("look after a program")?;
            }
        }
        let failed = self.all.iter().find_map(|p| p.ended.filter(|e| !e.success()).map(|e| (&p.name, e)));
        if let Some((name, ended)) = failed {
            let log = self.log(name);
            bail!("{name} ended with {ended}; the end of {}:\n{}", log.display(), process::tail(&log, 25));
        }
        Ok(())
    }

    /// Has this program ended, and well?
    #[must_use]
    pub fn has_ended(&self, name: &str) -> bool {
        self.all.iter().any(|p| p.name == name && p.ended.is_some())
    }

    /// Waits until `ready` says so, looking after the programs meanwhile.
    ///
    /// # Errors
    /// When a program fails, when the demo is asked to stop, or when it takes longer than `limit`; the error says
    /// what was waited for.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        stop: &Stop,
        mut ready: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.look()?;
            if ready(self)? {
                return Ok(());
            }
            if stop.asked() {
                bail!("stopped while waiting for {what}");
            }
            if begun.elapsed() > limit {
                bail!("waited {} s in vain for {what}; logs are in {}", limit.as_secs(), self.logs.display());
            }
            thread::sleep(TICK);
        }
    }

    /// Stops every program that is still running: the last started, which sends, first. Says which had to be killed.
    pub fn stop(&mut self) -> Vec<String> {
        let mut killed = Vec::new();
        for program in self.all.iter_mut().rev() {
            if !end(&mut program.child, PATIENCE) {
                killed.push(program.name.clone());
            }
        }
        self.all.clear();
        killed
    }
}

impl Drop for Programs {
    /// No program outlives the demo, however it ends.
    fn drop(&mut self) {
        for name in self.stop() {
            say::note(format!("{name} did not end within {} s and was killed", PATIENCE.as_secs()));
        }
    }
}

/// Ends a program; false when it had to be killed.
fn end(child: &mut Child, patience: Duration) -> bool {
    if !matches!(child.try_wait(), Ok(None)) {
        return true;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
    let begun = Instant::now();
    while asked && begun.elapsed() < patience {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(TICK);
    }
    // An error here means that it has just ended.
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn logs(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xtask-supervise-{name}-{}", std::process::id()))
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn never() -> Stop {
        Stop(Arc::new(AtomicBool::new(false)))
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_that_fails_is_named_with_its_last_words() {
        let mut programs = Programs::new(logs("fails")).unwrap();
        programs.start("steady", &mut sh("exec sleep 60")).unwrap();
        programs.start("shelf-1", &mut sh("echo no such plate >&2; exit 2")).unwrap();
        let error = programs.wait_until("the end", LIMIT, &never(), |_| Ok(false)).unwrap_err().to_string();
        assert!(error.contains("shelf-1 ended with") && error.contains("no such plate"), "{error}");
    }

    #[test]
    fn programs_are_asked_before_they_are_killed() {
        let folder = logs("asks");
        let mut programs = Programs::new(folder.clone()).unwrap();
        let polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        programs.start("polite", &mut sh(polite)).unwrap();
        let log = programs.log("polite");
        programs.wait_until("ready", LIMIT, &never(), |_| Ok(process::tail(&log, 1) == "ready")).unwrap();
        assert_eq!(programs.stop(), Vec::<String>::new());
        assert_eq!(process::tail(&log, 1), "bye");

        let mut stubborn = sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut first = [0; 5];
        stubborn.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert!(!end(&mut stubborn, Duration::from_millis(200)), "it ignores SIGTERM and must be killed");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn waiting_has_an_end_and_can_be_stopped() {
        let mut programs = Programs::new(logs("waits")).unwrap();
        let error = programs.wait_until("Godot", Duration::ZERO, &never(), |_| Ok(false)).unwrap_err();
        assert!(error.to_string().contains("in vain for Godot"), "{error}");
        let asked = Stop(Arc::new(AtomicBool::new(true)));
        assert!(programs.wait_until("Godot", LIMIT, &asked, |_| Ok(false)).is_err());
    }
}
