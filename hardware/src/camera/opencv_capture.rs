//! Video files, network streams and V4L2 devices through OpenCV's capture.
//!
//! Files and URLs are opened with the FFmpeg back end by name: left to choose, OpenCV may take GStreamer, which on
//! Debian fails on ordinary AVI files. The image buffer (a `Mat`) is reused from frame to frame.
//!
//! # Limits
//! * The time of a file's frame is index / rate. Files with a variable rate are played at their average rate.
//! * Opening a stream blocks for at most [`STREAM_OPEN_TIMEOUT`], reading from one for [`STREAM_READ_TIMEOUT`]
//!   (V4L2: 10 s, fixed by OpenCV).
//! * A stream's frames carry the time of their arrival here. FFmpeg buffers: a caller slower than the stream falls
//!   behind it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use linefree_domain::time::StoreTime;
use opencv::core::{CV_8UC3, Mat, MatTraitConst, MatTraitConstManual, Vector};
use opencv::videoio::{self, VideoCapture, VideoCaptureTrait, VideoCaptureTraitConst};

use super::{BackOff, Camera, CameraError, CameraInfo, CameraSource, Frame, Reconnect};
use crate::fault::{Fault, FaultKind, FaultLog};

/// How long opening a stream may take.
pub const STREAM_OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stream may be silent before it counts as lost.
pub const STREAM_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A camera behind OpenCV's capture.
pub struct OpenCvCamera {
    name: String,
    kind: Kind,
    mat: Mat,
    /// Index of the next frame.
    index: u64,
    faults: FaultLog,
}

enum Kind {
    File(File),
    Stream(Box<Stream>),
}

struct File {
    capture: VideoCapture,
    size_px: [u32; 2],
    rate_hz: f64,
    promised: Option<u64>,
    ended: bool,
}

struct Stream {
    source: CameraSource,
    capture: Option<VideoCapture>,
    link: Reconnect,
    size_px: Option<[u32; 2]>,
    first: Option<Instant>,
}

impl std::fmt::Debug for OpenCvCamera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenCvCamera").field("info", &self.info()).field("index", &self.index).finish()
    }
}

impl OpenCvCamera {
    /// Opens a video file.
    ///
    /// # Errors
    /// [`CameraError::Missing`] or [`CameraError::Unreadable`] with what was seen and what to do.
    pub fn open_file(path: &Path) -> Result<Self, CameraError> {
        let name = path.display().to_string();
        let unreadable = |reason: String| CameraError::Unreadable { path: path.to_owned(), reason };
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(CameraError::Missing { path: path.to_owned() });
            }
            Err(source) => return Err(CameraError::Io { path: path.to_owned(), source }),
        };
        if meta.is_dir() {
            return Err(unreadable("it is a folder".into()));
        }
        if meta.len() == 0 {
            return Err(unreadable("it is empty".into()));
        }
        // An absolute path cannot be taken for one of FFmpeg's protocols, as "concat:a" could be.
        let absolute = |source| CameraError::Io { path: path.to_owned(), source };
        let full: PathBuf = std::fs::canonicalize(path).map_err(absolute)?;
        let fail = |operation| {
            let name = name.clone();
            move |source| CameraError::OpenCv { name, operation, source }
        };
        let capture =
            VideoCapture::from_file(&full, videoio::CAP_FFMPEG).map_err(fail("opening the video"))?;
        if !capture.is_opened().map_err(fail("opening the video"))? {
            return Err(unreadable("FFmpeg does not know its format, or it was cut before its index".into()));
        }
        let get = |property| capture.get(property).map_err(fail("reading the video's header"));
        let rate_hz = get(videoio::CAP_PROP_FPS)?;
        // 1,000 frames/s is what FFmpeg reports for files that hold no rate.
        if !(rate_hz > 0.0 && rate_hz < 1000.0) {
            return Err(unreadable(format!("its header names {rate_hz} frames/s")));
        }
        let size_px =
            [get(videoio::CAP_PROP_FRAME_WIDTH)? as u32, get(videoio::CAP_PROP_FRAME_HEIGHT)? as u32];
        let count = get(videoio::CAP_PROP_FRAME_COUNT)?;
        // Broken headers yield huge negative counts.
        let promised = (1.0..1e12).contains(&count).then_some(count as u64);
        let kind = Kind::File(File { capture, size_px, rate_hz, promised, ended: false });
        Ok(Self { name, kind, mat: Mat::default(), index: 0, faults: FaultLog::default() })
    }

    /// A network stream or V4L2 device. Connects at the first [`Camera::next_frame`], so that a store whose camera is
    /// away still starts.
    #[must_use]
    pub fn open_stream(source: CameraSource, back_off: BackOff) -> Self {
        let name = source.to_string();
        // FNV-1a of the name: cameras of one store draw different jitter, a restart draws the same.
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let link = Reconnect::new(back_off, seed);
        let stream = Stream { source, capture: None, link, size_px: None, first: None };
        Self {
            name,
            kind: Kind::Stream(Box::new(stream)),
            mat: Mat::default(),
            index: 0,
            faults: FaultLog::default(),
        }
    }
}

impl Camera for OpenCvCamera {
    fn info(&self) -> CameraInfo {
        let name = self.name.clone();
        match &self.kind {
            Kind::File(file) => CameraInfo {
                name,
                size_px: Some(file.size_px),
                rate_hz: Some(file.rate_hz),
                frames: file.promised,
            },
            Kind::Stream(stream) => CameraInfo { name, size_px: stream.size_px, rate_hz: None, frames: None },
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
        let (offset_s, arrived) = match &mut self.kind {
            Kind::File(file) => {
                if file.ended {
                    return Ok(None);
                }
                let read = file.capture.read(&mut self.mat);
                // FFmpeg does not tell a torn frame from the end: both are the end, judged by the count below.
                if !read.unwrap_or(false) || self.mat.empty() {
                    file.ended = true;
                    let rate_hz = file.rate_hz;
                    if let Some(promised) = file.promised {
                        note_cut(&mut self.faults, &self.name, self.index, promised, rate_hz);
                    }
                    return Ok(None);
                }
                (self.index as f64 / file.rate_hz, None)
            }
            Kind::Stream(stream) => {
                stream.read(&self.name, &mut self.mat, &mut self.faults)?;
                let now = Instant::now();
                let first = *stream.first.get_or_insert(now);
                (now.saturating_duration_since(first).as_secs_f64(), Some(wall_clock()))
            }
        };
        let index = self.index;
        self.index += 1;
        lend(&self.name, &self.mat, index, offset_s, arrived).map(Some)
    }

    fn skip_frame(&mut self) -> Result<bool, CameraError> {
        // A stream's arrival times and reconnection belong to whole reads; a file is only decoded, not converted.
        let Kind::File(file) = &mut self.kind else { return Ok(self.next_frame()?.is_some()) };
        if file.ended || !file.capture.grab().unwrap_or(false) {
            return Ok(self.next_frame()?.is_some());
        }
        self.index += 1;
        Ok(true)
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        self.faults.take()
    }
}

/// Headers without an exact count give an estimate from the duration, which may be off by one.
fn note_cut(faults: &mut FaultLog, name: &str, read: u64, promised: u64, rate_hz: f64) {
    if read + 1 >= promised {
        return;
    }
    let now = StoreTime::default().plus_s(read as f64 / rate_hz);
    faults.raise(now, name, FaultKind::TruncatedVideo, || {
        format!(
            "{name}: ended after {read} of {promised} frames ({:.1} s are missing): the file was cut or is damaged \
             there. What was read has been used; copy or record the file again",
            (promised - read) as f64 / rate_hz
        )
    });
}

impl Stream {
    /// Fills `mat` with the next image, connecting first where needed.
    fn read(&mut self, name: &str, mat: &mut Mat, faults: &mut FaultLog) -> Result<(), CameraError> {
        let now = Instant::now();
        if self.capture.is_none() {
            let retry_in = self.link.wait(now);
            if !retry_in.is_zero() {
                return Err(self.reconnecting(name, retry_in));
            }
            match connect(&self.source) {
                Ok(capture) => {
                    self.capture = Some(capture);
                    self.link.connected(Instant::now());
                }
                Err(reason) => return Err(self.lost(name, faults, &reason)),
            }
        }
        let Some(capture) = &mut self.capture else {
            return Err(self.lost(name, faults, "it is not connected"));
        };
        match capture.read(mat) {
            Ok(true) if !mat.empty() => {}
            Ok(_) => return Err(self.lost(name, faults, "the stream ended or was silent for too long")),
            Err(e) => return Err(self.lost(name, faults, &e.message)),
        }
        let size_px = [mat.cols().unsigned_abs(), mat.rows().unsigned_abs()];
        match self.size_px {
            Some(before) if before != size_px => {
                faults.raise(wall_clock(), name, FaultKind::SizeChanged, || {
                    format!(
                        "{name}: images are now {}x{} pixels instead of {}x{}: positions will be wrong until the \
                         camera is set back or calibrated again",
                        size_px[0], size_px[1], before[0], before[1]
                    )
                });
            }
            Some(_) => faults.clear(name, FaultKind::SizeChanged, || format!("{name}: image size is back")),
            None => self.size_px = Some(size_px),
        }
        faults.clear(name, FaultKind::NoFrames, || format!("{name}: frames are coming again"));
        Ok(())
    }

    fn lost(&mut self, name: &str, faults: &mut FaultLog, reason: &str) -> CameraError {
        self.capture = None;
        let retry_in = self.link.lost(Instant::now());
        faults.raise(wall_clock(), name, FaultKind::NoFrames, || {
            format!("{name}: no frames ({reason}); check its power, network and address. It is tried again by itself")
        });
        self.reconnecting(name, retry_in)
    }

    fn reconnecting(&self, name: &str, retry_in: Duration) -> CameraError {
        CameraError::Reconnecting { name: name.to_owned(), attempt: self.link.attempt(), retry_in }
    }
}

fn connect(source: &CameraSource) -> Result<VideoCapture, String> {
    let millis = |d: Duration| i32::try_from(d.as_millis()).unwrap_or(i32::MAX);
    let opened = match source {
        CameraSource::Device(number) => {
            let number = i32::try_from(*number).map_err(|_| "there is no such device".to_owned())?;
            VideoCapture::new(number, videoio::CAP_V4L2)
        }
        CameraSource::Url(url) => {
            let params = Vector::<i32>::from_slice(&[
                videoio::CAP_PROP_OPEN_TIMEOUT_MSEC,
                millis(STREAM_OPEN_TIMEOUT),
                videoio::CAP_PROP_READ_TIMEOUT_MSEC,
                millis(STREAM_READ_TIMEOUT),
            ]);
            VideoCapture::from_file_with_params(url, videoio::CAP_FFMPEG, &params)
        }
        CameraSource::File(_) | CameraSource::Folder(_) | CameraSource::Simulated(_) => {
            return Err("it is not a stream".to_owned());
        }
    };
    // OpenCV's own message may quote the URL with its password: it is not passed on.
    let capture = opened.map_err(|e| format!("OpenCV error {}", e.code))?;
    if capture.is_opened().unwrap_or(false) { Ok(capture) } else { Err("it does not answer".to_owned()) }
}

fn lend<'a>(
    name: &str,
    mat: &'a Mat,
    index: u64,
    offset_s: f64,
    arrived: Option<StoreTime>,
) -> Result<Frame<'a>, CameraError> {
    if mat.typ() != CV_8UC3 {
        return Err(CameraError::Format {
            name: name.to_owned(),
            found: format!("OpenCV type {}", mat.typ()),
        });
    }
    let fail = |source| CameraError::OpenCv { name: name.to_owned(), operation: "lending a frame", source };
    // Captured images are always continuous; `data_bytes` refuses others.
    let data = mat.data_bytes().map_err(fail)?;
    let (width_px, height_px) = (mat.cols().unsigned_abs(), mat.rows().unsigned_abs());
    Ok(Frame { data, width_px, height_px, stride_bytes: 3 * width_px as usize, index, offset_s, arrived })
}

fn wall_clock() -> StoreTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    StoreTime::default() + since
}
