//! The newest frame of a live camera, however slow whoever looks is.
//!
//! A stream that is read too slowly is not slower, it is later: decoders and the network buffer seconds of it. So a
//! thread reads every frame as it comes and keeps the newest; the caller gets that one, and how many it never saw is
//! counted ([`Camera::dropped`]).
//!
//! # Limits
//! Two images are kept, one being written and one lent; each frame is copied once. [`Camera::next_frame`] waits for at
//! most [`WAIT`]. The thread ends with its camera, after at most that camera's own read time-out.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use linefree_domain::time::StoreTime;

use super::{Camera, CameraError, CameraInfo, Frame, STREAM_READ_TIMEOUT};
use crate::fault::Fault;

/// How long a frame is waited for: somewhat longer than a stream may be silent before its driver says so.
pub const WAIT: Duration = STREAM_READ_TIMEOUT.saturating_add(Duration::from_secs(6));

/// An image of our own.
#[derive(Debug, Default)]
struct Image {
    data: Vec<u8>,
    width_px: u32,
    height_px: u32,
    stride_bytes: usize,
    index: u64,
    offset_s: f64,
    arrived: Option<StoreTime>,
}

impl Image {
    fn copy(&mut self, frame: &Frame<'_>) {
        self.data.clear();
        self.data.extend_from_slice(frame.data);
        (self.width_px, self.height_px) = (frame.width_px, frame.height_px);
        self.stride_bytes = frame.stride_bytes;
        (self.index, self.offset_s, self.arrived) = (frame.index, frame.offset_s, frame.arrived);
    }

    fn lend(&self) -> Frame<'_> {
        Frame {
            data: &self.data,
            width_px: self.width_px,
            height_px: self.height_px,
            stride_bytes: self.stride_bytes,
            index: self.index,
            offset_s: self.offset_s,
            arrived: self.arrived,
        }
    }
}

/// What the thread and the caller share.
#[derive(Debug)]
struct State {
    newest: Image,
    fresh: bool,
    dropped: u64,
    error: Option<CameraError>,
    ended: bool,
    closed: bool,
    faults: Vec<Fault>,
    info: CameraInfo,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Any live camera, read by a thread of its own.
#[derive(Debug)]
pub struct LatestCamera {
    shared: Shared,
    lent: Image,
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LatestCamera {
    /// Begins to read.
    ///
    /// # Errors
    /// [`CameraError::Io`] when the system has no thread left.
    pub fn new(camera: impl Camera + 'static) -> Result<Self, CameraError> {
        let info = camera.info();
        let name = info.name.clone();
        let state = State {
            newest: Image::default(),
            fresh: false,
            dropped: 0,
            error: None,
            ended: false,
            closed: false,
            faults: Vec::new(),
            info,
        };
        let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("camera".to_owned())
            .spawn(move || read(camera, &theirs))
            .map_err(|source| CameraError::Io { path: name.into(), source })?;
        Ok(Self { shared, lent: Image::default() })
    }
}

fn read(mut camera: impl Camera, shared: &Shared) {
    loop {
        let mut pause = Duration::ZERO;
        let ended = match camera.next_frame() {
            Ok(Some(frame)) => {
                let mut state = lock(shared);
                state.dropped += u64::from(state.fresh);
                state.fresh = true;
                state.error = None;
                state.newest.copy(&frame);
                false
            }
            Ok(None) => true,
            Err(error) => {
                let retry = error.retry_in();
                pause = retry.unwrap_or_default();
                lock(shared).error = Some(error);
                retry.is_none()
            }
        };
        let (info, faults) = (camera.info(), camera.take_faults());
        let mut state = lock(shared);
        state.info = info;
        state.faults.extend(faults);
        state.ended |= ended;
        shared.1.notify_all();
        if state.ended || state.closed {
            return;
        }
        if !pause.is_zero() {
            // Woken early when the camera is closed.
            let waited = shared.1.wait_timeout_while(state, pause, |s| !s.closed);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for LatestCamera {
    fn drop(&mut self) {
        lock(&self.shared).closed = true;
        self.shared.1.notify_all();
    }
}

impl Camera for LatestCamera {
    fn info(&self) -> CameraInfo {
        lock(&self.shared).info.clone()
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
        let state = lock(&self.shared);
        let nothing = |s: &mut State| !s.fresh && s.error.is_none() && !s.ended;
        let waited = self.shared.1.wait_timeout_while(state, WAIT, nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.fresh {
            state.fresh = false;
            std::mem::swap(&mut state.newest, &mut self.lent);
            drop(state);
            return Ok(Some(self.lent.lend()));
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.ended {
            return Ok(None);
        }
        Err(CameraError::Reconnecting {
            name: state.info.name.clone(),
            attempt: 1,
            retry_in: Duration::from_millis(100),
        })
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut lock(&self.shared).faults)
    }

    fn dropped(&self) -> u64 {
        lock(&self.shared).dropped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::camera::{SimulatedCamera, SimulatedScene};

    /// Gives a frame when it is told to, and says when it has.
    struct OnDemand {
        camera: SimulatedCamera,
        go: Receiver<()>,
        asked: Sender<()>,
    }

    impl Camera for OnDemand {
        fn info(&self) -> CameraInfo {
            self.camera.info()
        }

        fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
            // Asking for the next frame says that the last one is through.
            let _ = self.asked.send(());
            match self.go.recv() {
                Ok(()) => self.camera.next_frame(),
                Err(_) => Ok(None),
            }
        }
    }

    #[test]
    fn a_slow_caller_gets_the_newest_frame_and_the_rest_are_counted() {
        let ((give, go), (asked, through)) = (channel(), channel());
        let camera = SimulatedCamera::new(SimulatedScene::default());
        let mut latest = LatestCamera::new(OnDemand { camera, go, asked }).unwrap();
        through.recv().unwrap();
        for _ in 0..5 {
            give.send(()).unwrap();
            through.recv().unwrap();
        }
        let frame = latest.next_frame().unwrap().unwrap();
        assert_eq!((frame.index, frame.data.len()), (4, frame.stride_bytes * frame.height_px as usize));
        assert_eq!(latest.dropped(), 4);
        give.send(()).unwrap();
        assert_eq!(latest.next_frame().unwrap().unwrap().index, 5);
        assert_eq!(latest.dropped(), 4);
        drop(give);
        assert!(latest.next_frame().unwrap().is_none(), "the end is passed on");
    }

    #[test]
    fn what_is_wrong_is_passed_on() {
        struct Away;
        impl Camera for Away {
            fn info(&self) -> CameraInfo {
                CameraInfo { name: "away".into(), size_px: None, rate_hz: None, frames: None }
            }
            fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
                let retry_in = Duration::from_secs(30);
                Err(CameraError::Reconnecting { name: "away".into(), attempt: 2, retry_in })
            }
        }
        let mut latest = LatestCamera::new(Away).unwrap();
        let error = latest.next_frame().unwrap_err();
        assert_eq!(error.retry_in(), Some(Duration::from_secs(30)));
    }
}
