//! The last seconds of one camera, for a look back when a shelf tells that something was handled.
//!
//! Bounded in time and in bytes: where frames are too large for the memory, fewer a second are kept. Frames are copies
//! in this process's memory; they are written nowhere and leave it never.

use std::collections::VecDeque;

use linefree_domain::time::StoreTime;
use linefree_models::{ColourOrder, FrameView};

/// Frames older than this are of no use, seconds: a handling, its settling, and the way over the bus.
const SPAN_S: f64 = 9.0;
/// Frames kept a second where memory allows: hands move for about a second in a reach.
const RATE_HZ: f64 = 5.0;

/// A frame that was kept.
#[derive(Debug)]
pub struct Kept {
    /// When it was taken.
    pub time: StoreTime,
    width_px: u32,
    height_px: u32,
    bgr: Vec<u8>,
}

impl Kept {
    /// Its pixels.
    ///
    /// # Errors
    /// Never: it was a frame when it was kept.
    pub fn view(&self) -> linefree_models::Result<FrameView<'_>> {
        FrameView::new(&self.bgr, self.width_px, self.height_px, self.width_px as usize * 3, ColourOrder::Bgr)
    }
}

/// Recent frames, oldest first.
#[derive(Debug)]
pub struct RecentFrames {
    memory_bytes: usize,
    frames: VecDeque<Kept>,
    /// Buffers of frames that were let go, to be used again.
    spare: Vec<Vec<u8>>,
}

impl RecentFrames {
    /// Holds at most so many bytes of frames.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        Self { memory_bytes, frames: VecDeque::new(), spare: Vec::new() }
    }

    /// Copies a frame (BGR, rows of `stride_bytes`) if it is time for another one.
    pub fn keep(&mut self, time: StoreTime, bgr: &[u8], size_px: [u32; 2], stride_bytes: usize) {
        let row_bytes = size_px[0] as usize * 3;
        let bytes = row_bytes * size_px[1] as usize;
        let most = (self.memory_bytes / bytes.max(1)).min((SPAN_S * RATE_HZ) as usize);
        if most == 0 || stride_bytes < row_bytes {
            return;
        }
        let step_s = SPAN_S / most as f64;
        // A little early is in time: frames come on a grid of their own.
        if self.frames.back().is_some_and(|last| time.seconds_since(last.time) < step_s - 0.01) {
            return;
        }
        while self.frames.len() >= most
            || self.frames.front().is_some_and(|first| time.seconds_since(first.time) > SPAN_S)
        {
            self.spare.extend(self.frames.pop_front().map(|gone| gone.bgr));
        }
        self.spare.truncate(1);
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        for row in bgr.chunks(stride_bytes).take(size_px[1] as usize) {
            copy.extend_from_slice(row.get(..row_bytes).unwrap_or_default());
        }
        if copy.len() == bytes {
            self.frames.push_back(Kept { time, width_px: size_px[0], height_px: size_px[1], bgr: copy });
        }
    }

    /// Frames from one moment to another, oldest first.
    pub fn between(&self, from: StoreTime, to: StoreTime) -> impl Iterator<Item = &Kept> {
        self.frames.iter().filter(move |f| f.time >= from && f.time <= to)
    }

    /// The last frame until then.
    #[must_use]
    pub fn before(&self, time: StoreTime) -> Option<&Kept> {
        self.frames.iter().rev().find(|f| f.time <= time)
    }

    /// The first frame from then on.
    #[must_use]
    pub fn after(&self, time: StoreTime) -> Option<&Kept> {
        self.frames.iter().find(|f| f.time >= time)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(memory_bytes: usize, seconds: f64) -> RecentFrames {
        let mut frames = RecentFrames::new(memory_bytes);
        for i in 0..(seconds * 20.0) as i64 {
            // Rows of 2 px with 2 bytes of padding.
            let data = [i as u8; 2 * 8];
            frames.keep(StoreTime::from_micros(i * 50_000), &data, [2, 2], 8);
        }
        frames
    }

    #[test]
    fn time_and_bytes_bound_what_is_kept() {
        let plenty = filled(1 << 20, 30.0);
        assert_eq!(plenty.len(), 45, "5 a second for 9 seconds");
        let oldest = plenty.between(StoreTime::default(), StoreTime::from_micros(i64::MAX)).next().unwrap();
        assert!(oldest.time >= StoreTime::from_micros(20_900_000), "{:?}", oldest.time);
        // 12 bytes a frame.
        assert_eq!(filled(120, 30.0).len(), 10);
        assert!(filled(11, 30.0).is_empty());
    }

    #[test]
    fn frames_are_found_by_time_and_without_padding() {
        let frames = filled(1 << 20, 4.0);
        let at = |s: f64| StoreTime::default().plus_s(s);
        assert_eq!(frames.before(at(1.05)).unwrap().time, at(1.0));
        assert_eq!(frames.after(at(1.05)).unwrap().time, at(1.2));
        assert_eq!(frames.between(at(1.0), at(2.0)).count(), 6);
        assert!(frames.before(at(-1.0)).is_none() && frames.after(at(9.0)).is_none());
        let kept = frames.before(at(1.0)).unwrap();
        assert_eq!(kept.bgr, [20; 12]);
        assert_eq!(kept.view().unwrap().width_px(), 2);
    }
}
