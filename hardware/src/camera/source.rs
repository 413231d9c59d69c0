//! Where a camera's frames come from, as it is written in `store.toml` or on a command line.

use std::fmt;
use std::path::PathBuf;

/// A camera's source.
#[derive(Clone, PartialEq, Eq)]
pub enum CameraSource {
    /// A video file.
    File(PathBuf),
    /// A folder of images.
    Folder(PathBuf),
    /// A stream that FFmpeg can open. May hold a password: shown redacted only.
    Url(String),
    /// A V4L2 device, by its number: `/dev/video2` is 2.
    Device(u32),
    /// The simulated twin, by its seed.
    Simulated(u64),
}

/// Why a text is no camera source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no camera source ({reason}); use a video file, an image folder ending in '/', \
     rtsp://user:password@host/path, /dev/video0, or simulated:SEED"
)]
pub struct SourceError {
    text: String,
    reason: &'static str,
}

impl CameraSource {
    /// Reads a source: `simulated:7`, `/dev/video0`, a URL, a folder (it exists as one, or ends in `/`), else a file.
    ///
    /// # Errors
    /// [`SourceError`] when the text is empty or of none of these forms.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let bad = |reason| SourceError { text: redact_url(text), reason };
        if text.trim().is_empty() {
            return Err(bad("it is empty"));
        }
        if let Some(seed) = text.strip_prefix("simulated:") {
            return seed.parse().map(Self::Simulated).map_err(|_| bad("the seed is not a number"));
        }
        if let Some(number) = text.strip_prefix("/dev/video") {
            return number.parse().map(Self::Device).map_err(|_| bad("the device has no number"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            if scheme == "file" {
                return Ok(Self::File(rest.into()));
            }
            if !matches!(scheme, "rtsp" | "rtsps" | "rtmp" | "http" | "https" | "tcp" | "udp" | "srt") {
                return Err(bad("its scheme is not supported"));
            }
            return if rest.is_empty() { Err(bad("it names no host")) } else { Ok(Self::Url(text.into())) };
        }
        let path = PathBuf::from(text);
        Ok(if text.ends_with('/') || path.is_dir() { Self::Folder(path) } else { Self::File(path) })
    }
}

impl fmt::Display for CameraSource {
    /// For messages: shows no user name or password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(&redact_url(url)),
            Self::Device(number) => write!(f, "/dev/video{number}"),
            Self::Simulated(seed) => write!(f, "simulated:{seed}"),
        }
    }
}

impl fmt::Debug for CameraSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraSource({self})")
    }
}

/// A URL without its user name, password and query, all of which cameras are given secrets in.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((before, _)) => (before, "?***"),
        None => (rest, ""),
    };
    // A password may hold an unescaped '@' or '/': everything up to the last '@' goes.
    let (user, host_and_path) = rest.rsplit_once('@').map_or(("", rest), |(_, after)| ("***@", after));
    format!("{scheme}://{user}{host_and_path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let parse = |text| CameraSource::parse(text).unwrap();
        assert_eq!(parse("simulated:7"), CameraSource::Simulated(7));
        assert_eq!(parse("/dev/video2"), CameraSource::Device(2));
        assert_eq!(parse("rtsp://cam/1"), CameraSource::Url("rtsp://cam/1".into()));
        assert_eq!(parse("cameras/cam1.mp4"), CameraSource::File("cameras/cam1.mp4".into()));
        assert_eq!(parse("frames/"), CameraSource::Folder("frames/".into()));
        let here = env!("CARGO_MANIFEST_DIR");
        assert_eq!(parse(here), CameraSource::Folder(here.into()));
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_forms_that_are() {
        for bad in ["", "  ", "simulated:x", "/dev/video", "gopher://a/b", "rtsp://"] {
            let message = CameraSource::parse(bad).unwrap_err().to_string();
            assert!(message.contains("rtsp://user:password@host/path"), "{message}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for url in [
            "rtsp://admin:hunter2@10.0.0.5:554/main",
            "rtsp://admin:hun@ter2@10.0.0.5/main",
            "rtsp://admin:hunter2@10.0.0.5/main?token=hunter2",
            "http://10.0.0.5/main?user=a&pwd=hunter2",
        ] {
            let source = CameraSource::parse(url).unwrap();
            for shown in [source.to_string(), format!("{source:?}")] {
                assert!(!shown.contains("hunter2") && !shown.contains("ter2@"), "{shown}");
                assert!(shown.contains("10.0.0.5") && shown.contains("main"), "{shown}");
            }
        }
        let error = CameraSource::parse("gopher://admin:hunter2@host/").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
