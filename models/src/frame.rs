//! A view of a camera frame: 8-bit, three interleaved channels, rows possibly padded. Nothing is copied.

use linefree_domain::geometry::PixelBox;

use crate::error::{ModelError, Result};
use crate::manifest::ColourOrder;

/// Largest side of a frame, pixels: bounds what a wrong header can make us compute.
pub const MAX_SIDE_PX: u32 = 16_384;

/// Smallest side of a crop, pixels: below it there is nothing to recognise.
pub const MIN_CROP_PX: u32 = 8;

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

    /// The part of the frame that a box covers, as a view of its own.
    ///
    /// # Errors
    /// When the box is no box, or less than [`MIN_CROP_PX`] of it are in the frame on either side.
    pub fn crop(&self, bbox: &PixelBox) -> Result<Self> {
        let clip = |at: f64, limit: u32| at.clamp(0.0, f64::from(limit)).round() as u32;
        let [x0, x1] = [bbox.x, bbox.x + bbox.w].map(|x| clip(x, self.width_px));
        let [y0, y1] = [bbox.y, bbox.y + bbox.h].map(|y| clip(y, self.height_px));
        if !bbox.is_valid() || x1 < x0 + MIN_CROP_PX || y1 < y0 + MIN_CROP_PX {
            return Err(ModelError::Crop {
                bbox: format!("{} x {} px at {}, {}", bbox.w, bbox.h, bbox.x, bbox.y),
                width_px: self.width_px,
                height_px: self.height_px,
            });
        }
        let start = y0 as usize * self.stride_bytes + x0 as usize * 3;
        let data = self.data.get(start..).unwrap_or_default();
        Self::new(data, x1 - x0, y1 - y0, self.stride_bytes, self.order)
    }

    /// The bytes of a row, three per pixel.
    ///
    /// # Panics
    /// When `y` is not below the height.
    #[must_use]
    pub fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride_bytes;
        &self.data[start..start + self.width_px as usize * 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_views_and_must_show_something() {
        let data: Vec<u8> = (0..30 * 20 * 3).map(|i| (i % 251) as u8).collect();
        let frame = FrameView::new(&data, 30, 20, 90, ColourOrder::Rgb).unwrap();
        let crop = frame.crop(&PixelBox { x: 20.0, y: 4.0, w: 50.0, h: 9.0 }).unwrap();
        assert_eq!((crop.width_px(), crop.height_px()), (10, 9));
        assert_eq!(crop.row(8), &data[12 * 90 + 60..12 * 90 + 90]);
        for [x, y, w, h] in [
            [0.0, 0.0, 0.0, 10.0],
            [25.0, 0.0, 30.0, 20.0],
            [40.0, 0.0, 10.0, 10.0],
            [f64::NAN, 0.0, 9.0, 9.0],
        ] {
            let refusal = frame.crop(&PixelBox { x, y, w, h }).unwrap_err().to_string();
            assert!(refusal.contains("of a frame of 30 x 20 px"), "{refusal}");
        }
    }

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
