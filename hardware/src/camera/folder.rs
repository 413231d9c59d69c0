//! A folder of images as a camera: frames in the natural order of their names (`2.jpg` before `10.jpg`).
//!
//! An image that cannot be decoded, or is not of the first one's size, is skipped: its index and time stay
//! unused, and the fault is counted.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use image::ImageReader;
use linefree_domain::time::StoreTime;

use super::{Camera, CameraError, CameraInfo, Frame};
use crate::fault::{Fault, FaultKind, FaultLog};

/// A folder of .jpg and .png images.
#[derive(Debug)]
pub struct FolderCamera {
    folder: PathBuf,
    files: Vec<PathBuf>,
    rate_hz: f64,
    size_px: [u32; 2],
    next: usize,
    bgr: Vec<u8>,
    faults: FaultLog,
}

impl FolderCamera {
    /// Lists the folder; `rate_hz` is how many images make a second.
    ///
    /// # Errors
    /// [`CameraError`] when the folder is missing, holds no image, or its first readable image cannot be found; or
    /// when the rate is not a positive number.
    pub fn open(folder: &Path, rate_hz: f64) -> Result<Self, CameraError> {
        if !folder.is_dir() {
            return Err(CameraError::Missing { path: folder.to_owned() });
        }
        if !(rate_hz.is_finite() && rate_hz > 0.0) {
            let reason = format!("{rate_hz} images a second were asked for");
            return Err(CameraError::Unreadable { path: folder.to_owned(), reason });
        }
        let io = |source| CameraError::Io { path: folder.to_owned(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if is_image(&path) && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(CameraError::EmptyFolder { path: folder.to_owned() });
        }
        files.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
        let Some(size_px) = files.iter().find_map(|f| image::image_dimensions(f).ok()) else {
            let reason = format!("none of its {} images can be decoded", files.len());
            return Err(CameraError::Unreadable { path: folder.to_owned(), reason });
        };
        Ok(Self {
            folder: folder.to_owned(),
            files,
            rate_hz,
            size_px: [size_px.0, size_px.1],
            next: 0,
            bgr: Vec::new(),
            faults: FaultLog::default(),
        })
    }

    /// Decodes into the buffer, or says what is wrong.
    fn decode(&mut self, path: &Path) -> Result<(), (FaultKind, String)> {
        let unreadable = |e: &dyn std::fmt::Display| {
            let message =
                format!("{}: cannot be decoded ({e}); it is skipped. Copy it again", path.display());
            (FaultKind::UnreadableImage, message)
        };
        let image = ImageReader::open(path)
            .and_then(ImageReader::with_guessed_format)
            .map_err(|e| unreadable(&e))?
            .decode()
            .map_err(|e| unreadable(&e))?
            .into_rgb8();
        let [width, height] = self.size_px;
        if image.dimensions() != (width, height) {
            let (w, h) = image.dimensions();
            let message = format!(
                "{}: is {w}x{h} pixels, the others are {width}x{height}; it is skipped. One folder is one camera",
                path.display()
            );
            return Err((FaultKind::SizeChanged, message));
        }
        self.bgr.clear();
        self.bgr.extend_from_slice(image.as_raw());
        for pixel in self.bgr.as_chunks_mut::<3>().0 {
            pixel.swap(0, 2);
        }
        Ok(())
    }
}

impl Camera for FolderCamera {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: self.folder.display().to_string(),
            size_px: Some(self.size_px),
            rate_hz: Some(self.rate_hz),
            frames: Some(self.files.len() as u64),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
        loop {
            let Some(path) = self.files.get(self.next).cloned() else { return Ok(None) };
            let index = self.next as u64;
            self.next += 1;
            let offset_s = index as f64 / self.rate_hz;
            match self.decode(&path) {
                Ok(()) => {
                    let [width_px, height_px] = self.size_px;
                    return Ok(Some(Frame {
                        data: &self.bgr,
                        width_px,
                        height_px,
                        stride_bytes: 3 * width_px as usize,
                        index,
                        offset_s,
                        arrived: None,
                    }));
                }
                Err((kind, message)) => {
                    let now = StoreTime::default().plus_s(offset_s);
                    self.faults.raise(now, &self.folder.display().to_string(), kind, || message);
                }
            }
        }
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        self.faults.take()
    }
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Compares runs of digits as numbers and everything else as text.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (digits_left, digits_right) = (digits(left), digits(right));
        if digits_left > 0 && digits_right > 0 {
            let (x, y) = (&left[..digits_left], &right[..digits_right]);
            let (x0, y0) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            // Longer is larger once leading zeros are gone; no number is too long for this.
            let by_number = x0.len().cmp(&y0.len()).then_with(|| x0.cmp(y0));
            if by_number != Ordering::Equal {
                return by_number;
            }
            (left, right) = (&left[digits_left..], &right[digits_right..]);
            continue;
        }
        let (mut chars_left, mut chars_right) = (left.chars(), right.chars());
        match (chars_left.next(), chars_right.next()) {
            // Equal but for leading zeros: still a total order.
            (None, None) => return a.cmp(b),
            (x, y) if x != y => return x.cmp(&y),
            _ => (left, right) = (chars_left.as_str(), chars_right.as_str()),
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names =
            ["f10.jpg", "f2.jpg", "f1.jpg", "f02.jpg", "g1.jpg", "f.jpg", "f99999999999999999999.jpg"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            ["f.jpg", "f1.jpg", "f02.jpg", "f2.jpg", "f10.jpg", "f99999999999999999999.jpg", "g1.jpg"]
        );
    }
}
