//! The projections, kept up to date on a thread of their own while events are stored on another.
//!
//! An event is acknowledged when it is durable, not when it is projected. Whoever asks the projections first waits until
//! they have everything that was stored before the question ([`Progress::caught_up`]), so that nobody reads less than
//! what was acknowledged to them. **When the projections' disk fails** the step is tried again, and the trouble told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use crate::ledger::Projector;
use crate::live::Live;
use crate::outbox::RunningOutbox;

/// The tools and the commander write beside the taker of events; this is how soon that is seen at the latest.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The pause after a failed step.
const PAUSE: Duration = Duration::from_secs(1);

/// How far events are stored and projected.
#[derive(Debug)]
pub struct Progress {
    stored: AtomicU64,
    projected: watch::Sender<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { stored: AtomicU64::new(0), projected: watch::Sender::new(0) }
    }
}

impl Progress {
    /// Everything up to here is durable.
    pub fn on_stored(&self, ledger_seq: u64) {
        self.stored.fetch_max(ledger_seq, Ordering::AcqRel);
    }

    /// Waits until the projections hold what is stored at this moment, or `at_most`; false when they do not.
    pub async fn caught_up(&self, at_most: Duration) -> bool {
        let wanted = self.stored.load(Ordering::Acquire);
        let mut projected = self.projected.subscribe();
        tokio::time::timeout(at_most, projected.wait_for(|seq| *seq >= wanted)).await.is_ok_and(|r| r.is_ok())
    }
}

/// The thread that projects.
pub struct Projecting {
    wake: mpsc::SyncSender<()>,
    thread: std::thread::JoinHandle<()>,
}

/// What is woken when events are stored. Ends the thread when the last one is gone.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::SyncSender<()>);

impl Waker {
    /// There are more events.
    pub fn wake(&self) {
        // One pending wake-up is as good as many.
        let _ = self.0.try_send(());
    }
}

/// Tells everybody who waits for it that the store itself has written something: questions, projections, the outbox. Holds
/// what it wakes weakly, so that nobody who still writes at the end keeps a thread alive.
#[derive(Clone)]
pub struct Written {
    progress: Arc<Progress>,
    waker: Weak<Waker>,
    outbox: Option<Weak<RunningOutbox>>,
}

impl Written {
    /// Wakes these.
    #[must_use]
    pub fn new(progress: &Arc<Progress>, waker: &Arc<Waker>, outbox: Option<&Arc<RunningOutbox>>) -> Self {
        let outbox = outbox.map(Arc::downgrade);
        Self { progress: Arc::clone(progress), waker: Arc::downgrade(waker), outbox }
    }

    /// There is an event at this place; 0 when nothing was written.
    pub fn tell(&self, ledger_seq: u64) {
        if ledger_seq > 0 {
            self.progress.on_stored(ledger_seq);
            self.wake();
        }
    }

    /// There are more events.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.upgrade() {
            waker.wake();
        }
        if let Some(outbox) = self.outbox.as_ref().and_then(Weak::upgrade) {
            outbox.wake();
        }
    }
}

impl Projecting {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(projector: Projector, progress: Arc<Progress>, live: Arc<Live>) -> std::io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("projections".into())
            .spawn(move || run(projector, &woken, &progress, &live))?;
        Ok(Self { wake, thread })
    }

    /// What wakes it.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// Ends the thread once every [`Waker`] is gone; what it had not projected is projected at the next start.
    pub fn stop(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the projections' thread had died");
        }
    }
}

fn run(mut projector: Projector, woken: &mpsc::Receiver<()>, progress: &Progress, live: &Live) {
    let mut pause = Duration::ZERO;
    loop {
        match projector.step() {
            Ok(done) => {
                live.trouble_over("projections");
                for (id, reason) in &done.oddities {
                    tracing::warn!(%id, "an event is stored but changes nothing: {reason}");
                }
                progress.projected.send_replace(done.ledger_seq);
                for stored in &done.events {
                    live.event(stored.ledger_seq, &stored.event);
                }
                if done.more {
                    continue;
                }
                pause = pause.max(LOOK_EVERY);
            }
            Err(e) => {
                live.trouble(
                    "projections",
                    &format!("the projections cannot be written: {e}. Check the disk"),
                );
                pause = PAUSE;
            }
        }
        match woken.recv_timeout(pause) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => pause = Duration::ZERO,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}
