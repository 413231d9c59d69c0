//! The colours of a figure's clothes, from pixels.

use linefree_domain::geometry::PixelBox;
use linefree_domain::tracking::{Appearance, BINS, CHANNELS, PARTS};

use crate::frame::FrameView;
use crate::manifest::ColourOrder;

/// Chest, waist and legs as shares of a standing figure's height; head and feet are left out.
const PART_EDGES: [f64; PARTS + 1] = [0.14, 0.40, 0.58, 0.90];
/// The middle share of the width: beside it is mostly background.
const MIDDLE: f64 = 0.5;
/// About this many samples along each side of a part are enough.
const SAMPLES: usize = 16;

/// Colours of the figure in a box; `None` for a box that shows too little of one.
///
/// Brightness and the two colour differences of BT.601, each as a histogram with linear sharing between neighbouring
/// bins, so that a small change of light moves it a little only.
#[must_use]
pub fn appearance_of(frame: &FrameView<'_>, bbox: &PixelBox) -> Option<Appearance> {
    let width = f64::from(frame.width_px());
    let height = f64::from(frame.height_px());
    let left = (bbox.x + bbox.w * (1.0 - MIDDLE) / 2.0).clamp(0.0, width) as usize;
    let right = (bbox.x + bbox.w * (1.0 + MIDDLE) / 2.0).clamp(0.0, width) as usize;
    let mut counts = [[[0.0_f32; BINS]; CHANNELS]; PARTS];
    for (part, histograms) in counts.iter_mut().enumerate() {
        let [top, bottom] =
            [part, part + 1].map(|e| (bbox.y + bbox.h * PART_EDGES[e]).clamp(0.0, height) as usize);
        if right <= left || bottom <= top {
            return None;
        }
        let step_x = ((right - left) / SAMPLES).max(1);
        let step_y = ((bottom - top) / SAMPLES).max(1);
        for y in (top..bottom).step_by(step_y) {
            let row = frame.row(y);
            for x in (left..right).step_by(step_x) {
                let Some([first, green, third]) = row.get(3 * x..3 * x + 3).map(|p| [p[0], p[1], p[2]])
                else {
                    continue;
                };
                let (blue, red) = match frame.order() {
                    ColourOrder::Bgr => (f32::from(first), f32::from(third)),
                    ColourOrder::Rgb => (f32::from(third), f32::from(first)),
                };
                let bright = 0.299 * red + 0.587 * f32::from(green) + 0.114 * blue;
                // Clothes are seldom vivid: colour differences are spread over the range that they use.
                let colours = [bright / 255.0, 0.5 + (blue - bright) / 120.0, 0.5 + (red - bright) / 120.0];
                for (histogram, value) in histograms.iter_mut().zip(colours) {
                    share(histogram, value);
                }
            }
        }
    }
    Appearance::from_counts(&counts)
}

/// Adds 1 to the two bins nearest to a value from 0 to 1.
fn share(histogram: &mut [f32; BINS], value: f32) {
    let at = value.clamp(0.0, 1.0) * (BINS - 1) as f32;
    let low = (at as usize).min(BINS - 2);
    let part = at - low as f32;
    histogram[low] += 1.0 - part;
    histogram[low + 1] += part;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey image with a figure in two colours.
    fn image(chest: [u8; 3], legs: [u8; 3]) -> Vec<u8> {
        let mut data = vec![128; 100 * 100 * 3];
        for y in 10..90 {
            for x in 40..60 {
                let colour = if y < 52 { chest } else { legs };
                data[(y * 100 + x) * 3..][..3].copy_from_slice(&colour);
            }
        }
        data
    }

    fn look(data: &[u8]) -> Appearance {
        let frame = FrameView::new(data, 100, 100, 300, ColourOrder::Bgr).unwrap();
        appearance_of(&frame, &PixelBox { x: 38.0, y: 10.0, w: 24.0, h: 80.0 }).unwrap()
    }

    #[test]
    fn clothes_tell_people_apart_and_light_does_not() {
        let red = look(&image([40, 40, 200], [30, 30, 30]));
        let dimmer = look(&image([34, 34, 180], [24, 24, 24]));
        let blue = look(&image([200, 60, 40], [30, 30, 30]));
        assert!(red.distance(&dimmer) < 0.5 * red.distance(&blue));
    }

    #[test]
    fn a_box_outside_the_image_shows_nothing() {
        let data = image([0; 3], [0; 3]);
        let frame = FrameView::new(&data, 100, 100, 300, ColourOrder::Bgr).unwrap();
        for (x, y) in [(200.0, 10.0), (-300.0, 10.0), (10.0, 500.0), (f64::NAN, 0.0)] {
            assert!(appearance_of(&frame, &PixelBox { x, y, w: 20.0, h: 40.0 }).is_none());
        }
    }
}
