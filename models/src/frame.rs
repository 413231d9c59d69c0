//! A view of a camera frame: 8-bit, three interleaved channels, rows possibly padded. Nothing is copied.

use crate::error::{ModelError, Result};
use crate::manifest::ColourOrder;

/// Largest side of a frame, pixels: bounds what a wrong header can make us compute.
pub const MAX_SIDE_PX: u32 = 16_384;

/// Someone else's pixels, such as those of an OpenCV `Mat` of type `CV_8UC3`.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    data: &'a [u8],
    width_px: u32,
    height_px: u32,
    stride_bytes: usize,
    order: ColourOrder,
}

impl<'a> FrameView<'a> {
    /// Describes pixels: `stride_bytes` from one row to the next, channels in `order`.
    ///
    /// # Errors
    /// When a side is 0 or above [`MAX_SIDE_PX`], rows overlap, or `data` ends before the last row does.
    pub fn new(
        data: &'a [u8],
        width_px: u32,
        height_px: u32,
        stride_bytes: usize,
        order: ColourOrder,
    ) -> Result<Self> {
        let refuse = |what: String| ModelError::Frame { width_px, height_px, stride_bytes, what };
        if !(1..=MAX_SIDE_PX).contains(&width_px) || !(1..=MAX_SIDE_PX).contains(&height_px) {
            return Err(refuse(format!("a detector: sides must be 1 to {MAX_SIDE_PX} px")));
        }
        let row_bytes = width_px as usize * 3;
        if stride_bytes < row_bytes {
            return Err(refuse(format!("3 bytes per pixel: a row has {row_bytes} bytes")));
        }
        let last_row_end = stride_bytes
            .checked_mul(height_px as usize - 1)
            .and_then(|start| start.checked_add(row_bytes))
            .ok_or_else(|| refuse("the address space".into()))?;
        if data.len() < last_row_end {
            return Err(refuse(format!("its data: {} bytes, {last_row_end} needed", data.len())));
        }
        Ok(Self { data, width_px, height_px, stride_bytes, order })
    }

    /// Width, pixels.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height, pixels.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Order of the channels.
    #[must_use]
    pub fn order(&self) -> ColourOrder {
        self.order
    }

    /// The bytes of a row, three per pixel; `y` must be below the height.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride_bytes;
        &self.data[start..start + self.width_px as usize * 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_must_fit_their_data() {
        let data = [0_u8; 100];
        let frame = |w, h, stride| FrameView::new(&data, w, h, stride, ColourOrder::Bgr);
        assert!(frame(8, 4, 24).is_ok());
        assert!(frame(8, 4, 25).is_ok(), "the last row needs no padding: 3 * 25 + 24 = 99");
        for (w, h, stride, said) in [
            (8, 4, 26, "its data: 100 bytes, 102 needed"),
            (8, 4, 23, "a row has 24 bytes"),
            (0, 4, 24, "sides must be 1 to"),
            (8, 20_000, 24, "sides must be 1 to"),
            (8, 3, usize::MAX, "the address space"),
        ] {
            let refusal = frame(w, h, stride).unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
