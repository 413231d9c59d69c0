//! Cameras: frames, one after another, lent to the caller.
//!
//! A [`Frame`] borrows its camera's one buffer: it must be used (or copied) before the next is asked for. Nothing
//! here keeps an image any longer, writes one to disk, or sends one anywhere.
//!
//! | driver | for | time of a frame |
//! | --- | --- | --- |
//! | [`OpenCvCamera::open_file`] | video files (FFmpeg) | index / rate, which cannot drift |
//! | [`OpenCvCamera::open_stream`] | `rtsp://`, `http://` ..., `/dev/video0` (V4L2) | arrival |
//! | [`FolderCamera`] | a folder of .jpg and .png images | index / rate |
//! | [`LatestCamera`] | around any live one: the newest frame, however slow whoever looks is | as its own |
//! | [`SimulatedCamera`] | tests and demos without any hardware | index / rate |
//!
//! # Failure rules
//! * Missing, unreadable and empty files are errors that name the file and the remedy.
//! * A file that ends before its header said so yields the frames there are and then the fault `truncated_video`.
//! * A stream is never given up: while it is away, [`Camera::next_frame`] returns [`CameraError::Reconnecting`] at
//!   once and tries again when the back-off ([`Reconnect`]) allows. `no_frames` is raised, and cleared when frames
//!   come again.
//! * Names in messages never show the user name or password of a URL.

mod clearness;
mod folder;
mod glance;
mod latest;
mod opencv_capture;
mod reconnect;
mod simulated;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use linefree_domain::time::StoreTime;

use crate::fault::Fault;

pub use clearness::{Clear, Clearness};
pub use folder::FolderCamera;
pub use glance::{Glance, GlanceBox};
pub use latest::LatestCamera;
pub use opencv_capture::{OpenCvCamera, STREAM_OPEN_TIMEOUT, STREAM_READ_TIMEOUT};
pub use reconnect::{BackOff, Reconnect};
pub use simulated::{SimulatedCamera, SimulatedScene};
pub use source::{CameraSource, SourceError, redact_url};

/// One image, lent by its camera: 8-bit blue, green, red, rows from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The bytes; row `y` begins at `y * stride_bytes`.
    pub data: &'a [u8],
    /// Pixels in a row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Bytes from one row to the next, at least `3 * width_px`.
    pub stride_bytes: usize,
    /// Position since the camera was opened, from 0. Frames that could not be read leave a gap.
    pub index: u64,
    /// Seconds from the first frame.
    pub offset_s: f64,
    /// When it arrived, on this device's clock; `None` for files, which know no clock.
    pub arrived: Option<StoreTime>,
}

impl<'a> Frame<'a> {
    /// The bytes of one row without padding; empty below the last row.
    #[must_use]
    pub fn row(&self, y: u32) -> &'a [u8] {
        let start = y as usize * self.stride_bytes;
        self.data.get(start..start + 3 * self.width_px as usize).unwrap_or_default()
    }

    /// Blue, green and red of one pixel; `None` outside the image.
    #[must_use]
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let start = 3 * x as usize;
        self.row(y).get(start..start + 3).map(|p| [p[0], p[1], p[2]])
    }
}

/// What is known about a camera before its frames are read.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraInfo {
    /// For messages and faults; shows no secret.
    pub name: String,
    /// Width and height, pixels; `None` until a stream has connected.
    pub size_px: Option<[u32; 2]>,
    /// Frames per second, where it is known.
    pub rate_hz: Option<f64>,
    /// How many frames there will be, as far as the file's header tells: good for a progress bar.
    pub frames: Option<u64>,
}

/// A source of frames.
pub trait Camera: Send {
    /// What is known about it.
    fn info(&self) -> CameraInfo;

    /// The next frame; `None` when there will be no more. Blocks while a live camera has none, but no longer than
    /// its driver's read time-out.
    ///
    /// # Errors
    /// [`CameraError`]; after a transient one ([`CameraError::retry_in`]) the call may be repeated.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError>;

    /// Passes over the next frame without making an image of it, where that is cheaper; false when there is none.
    ///
    /// # Errors
    /// As [`Camera::next_frame`].
    fn skip_frame(&mut self) -> Result<bool, CameraError> {
        Ok(self.next_frame()?.is_some())
    }

    /// Takes the faults reported since the last call, oldest first.
    fn take_faults(&mut self) -> Vec<Fault> {
        Vec::new()
    }

    /// How many frames were passed over because newer ones had come.
    fn dropped(&self) -> u64 {
        0
    }
}

impl<C: Camera + ?Sized> Camera for Box<C> {
    fn info(&self) -> CameraInfo {
        (**self).info()
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
        (**self).next_frame()
    }

    fn skip_frame(&mut self) -> Result<bool, CameraError> {
        (**self).skip_frame()
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        (**self).take_faults()
    }

    fn dropped(&self) -> u64 {
        (**self).dropped()
    }
}

/// Why a camera gave no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The file or folder is not there.
    #[error("{path}: there is no such video file or image folder; check the path in store.toml")]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The file is there and cannot be read as video.
    #[error(
        "{path}: cannot be read as video ({reason}); play it with another program, and copy or record it again if \
         that fails too"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// A folder without images.
    #[error("{path}: holds no .jpg, .jpeg or .png image")]
    EmptyFolder {
        /// Which folder.
        path: PathBuf,
    },
    /// A stream is away; it will be tried again.
    #[error("{name}: no frames; attempt {attempt} to reconnect follows in {:.1} s", retry_in.as_secs_f64())]
    Reconnecting {
        /// Which camera.
        name: String,
        /// Number of the attempt that comes next.
        attempt: u32,
        /// When calling again is worth it.
        retry_in: Duration,
    },
    /// The images are not of a kind that the pipeline takes.
    #[error(
        "{name}: images are {found}, wanted are 8-bit colour images; set the camera to a usual colour format"
    )]
    Format {
        /// Which camera.
        name: String,
        /// What was seen.
        found: String,
    },
    /// OpenCV failed.
    #[error("{name}: {operation} failed")]
    OpenCv {
        /// Which camera.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: opencv::Error,
    },
    /// Reading the file system failed.
    #[error("{path}: cannot be read")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl CameraError {
    /// For an error that passes by itself: when to call again. `None` when the camera cannot go on.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Reconnecting { retry_in, .. } => Some(*retry_in),
            _ => None,
        }
    }
}

/// Opens any camera. `rate_hz` is for image folders, which do not know theirs.
///
/// # Errors
/// [`CameraError`] when a file or folder is missing or unreadable. A stream that is away is no error yet: see
/// [`OpenCvCamera::open_stream`].
pub fn open(source: &CameraSource, rate_hz: f64) -> Result<Box<dyn Camera>, CameraError> {
    Ok(match source {
        CameraSource::File(path) => Box::new(OpenCvCamera::open_file(path)?),
        CameraSource::Folder(path) => Box::new(FolderCamera::open(path, rate_hz)?),
        CameraSource::Url(_) | CameraSource::Device(_) => {
            Box::new(LatestCamera::new(OpenCvCamera::open_stream(source.clone(), BackOff::default()))?)
        }
        CameraSource::Simulated(seed) => {
            Box::new(SimulatedCamera::new(SimulatedScene { seed: *seed, ..SimulatedScene::default() }))
        }
    })
}
