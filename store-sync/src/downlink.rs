//! The cloud's commands to the ledger: asked for, decided about in order, answered with events.
//!
//! The store asks; the cloud never reaches in. What is asked for is what follows the last command that was decided
//! about, so nothing is skipped and a crash only means asking again. Failures are told by the outbox, which talks to the
//! same cloud; here they only make the next question come later.

use std::sync::mpsc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::wall_us;
use crate::cloud::command::Command;
use crate::ledger::LedgerError;
use crate::ledger::commands::{Commander, Decided};
use crate::ledger::retention::{KeepDays, let_go};
use crate::outbox::{BackOff, DeliveryError};

/// How often the cloud is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How often old evidence is let go.
const LET_GO_EVERY_US: i64 = 3_600_000_000;

/// Why commands could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DownlinkError {
    /// The cloud.
    #[error(transparent)]
    Cloud(#[from] DeliveryError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Who can be asked for commands.
pub trait AskCommands: Send {
    /// The store's commands after a number, in order. `None` when this cloud has no commands.
    ///
    /// # Errors
    /// [`DeliveryError`].
    fn commands(&self, store: &str, after: u64) -> Result<Option<Vec<Command>>, DeliveryError>;
}

/// Takes commands.
pub struct Downlink {
    commander: Commander,
    cloud: Box<dyn AskCommands>,
    store: String,
    let_go_us: i64,
}

impl Downlink {
    /// From a cloud to a ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn new(commander: Commander, cloud: Box<dyn AskCommands>) -> Result<Self, LedgerError> {
        let store = commander.store()?;
        Ok(Self { commander, cloud, store, let_go_us: wall_us() })
    }

    /// Asks once. `None` when this cloud has no commands.
    ///
    /// # Errors
    /// [`DownlinkError`].
    pub fn step(&mut self) -> Result<Option<Decided>, DownlinkError> {
        let after = self.commander.command_seq()?;
        let Some(commands) = self.cloud.commands(&self.store, after)? else { return Ok(None) };
        let decided = self.commander.take(&commands, wall_us())?;
        for (command, reason) in &decided.refused {
            tracing::warn!(command, "a command of the cloud's was refused: {reason}");
        }
        if decided.contradictions > 0 {
            tracing::warn!(
                "the cloud sends other commands under numbers that were decided about: they are ignored"
            );
        }
        Ok(Some(decided))
    }

    /// Lets go of what the policy in force no longer keeps.
    fn keep_policy(&mut self, now_us: i64) -> Result<(), LedgerError> {
        if now_us.saturating_sub(self.let_go_us) < LET_GO_EVERY_US {
            return Ok(());
        }
        self.let_go_us = now_us;
        let Some((_, told)) = self.commander.in_force("policy")? else { return Ok(()) };
        let days = serde_json::from_str::<serde_json::Value>(&told)
            .ok()
            .and_then(|told| serde_json::from_value(told.pointer("/body/keep_days")?.clone()).ok())
            .unwrap_or_default();
        let gone = let_go(self.commander.path(), &KeepDays::new(days)?, now_us, false)?;
        if gone > 0 {
            tracing::info!(gone, "let go of old evidence, as the policy in force says");
        }
        Ok(())
    }
}

/// A downlink that runs on a thread of its own.
pub struct RunningDownlink {
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl RunningDownlink {
    /// Starts asking. `decided` is called when something was decided about: there are answers to deliver.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(mut downlink: Downlink, decided: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("downlink".into()).spawn(move || {
            let mut pause = BackOff::default();
            loop {
                let wait = match downlink.step() {
                    Ok(done) => {
                        pause.reset();
                        if done.is_some_and(|d| d.accepted > 0 || !d.refused.is_empty()) {
                            decided();
                        }
                        ASK_EVERY
                    }
                    Err(e) => {
                        tracing::debug!("no commands from the cloud: {e}");
                        // The low bits of a UUID are random, and nothing here needs more than that.
                        ASK_EVERY.max(pause.next(Uuid::now_v7().as_u128() as u16))
                    }
                };
                if let Err(e) = downlink.keep_policy(wall_us()) {
                    tracing::warn!("old evidence could not be let go: {e}");
                }
                if !matches!(stopped.recv_timeout(wait), Err(mpsc::RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, or leaves it after `at_most` when the cloud keeps it waiting.
    pub fn stop(self, at_most: Duration) {
        drop(self.stop);
        let began = std::time::Instant::now();
        while !self.thread.is_finished() && began.elapsed() < at_most {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
