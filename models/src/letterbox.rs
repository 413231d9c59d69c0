//! From a frame to a model's input tensor: scale, place, normalise, reorder, in one pass.
//!
//! The frame is scaled by one factor for both axes to the largest size that fits, put in the top left corner, and
//! the rest of the input holds the model's padding value. Resampling has pixel centres at half coordinates and is
//! bilinear for factors down to 1/2 (the same as OpenCV's `INTER_LINEAR`). For stronger reduction the triangle
//! filter grows with the factor, so that every source pixel counts; plain bilinear would skip some and alias.
//!
//! Tables of positions and weights are computed when the frame's size changes; after that nothing is allocated,
//! and the padding, which stays the same, is not written again. Rows are blended first: that loop runs over
//! contiguous bytes and compiles to SIMD.

use crate::frame::FrameView;
use crate::manifest::{ColourOrder, InputSpec, Layout};

/// How one axis is resampled: each output position is a weighted sum of `taps` consecutive source positions.
#[derive(Debug, Default)]
struct Axis {
    taps: usize,
    /// First source position of each output position.
    starts: Vec<u32>,
    /// `taps` weights for each output position; they sum to 1.
    weights: Vec<f32>,
}

impl Axis {
    fn fill(&mut self, source: usize, target: usize) {
        let step = source as f64 / target as f64;
        // Half width of the triangle: 1 source pixel (bilinear), or half the step when that is more.
        let half = (step / 2.0).max(1.0);
        self.taps = ((2.0 * half).ceil() as usize).min(source);
        self.starts.clear();
        self.weights.clear();
        for position in 0..target {
            let centre = (position as f64 + 0.5) * step - 0.5;
            let first = (centre - half).floor() + 1.0;
            let start = first.clamp(0.0, (source - self.taps) as f64) as usize;
            self.starts.push(start as u32);
            let at = self.weights.len();
            self.weights.resize(at + self.taps, 0.0);
            let last = (centre + half).ceil() as i64;
            let mut sum = 0.0;
            for p in first as i64..last.max(first as i64 + 1) {
                let weight = (1.0 - (p as f64 - centre).abs() / half).max(0.0);
                // Outside the source, the border pixel is repeated.
                let tap =
                    (p.clamp(0, source as i64 - 1) as usize).clamp(start, start + self.taps - 1) - start;
                self.weights[at + tap] += weight as f32;
                sum += weight as f32;
            }
            self.weights[at..].iter_mut().for_each(|w| *w /= sum);
        }
    }
}

/// Fills a model's input tensor from frames.
#[derive(Debug)]
pub struct Letterbox {
    input_width: usize,
    input_height: usize,
    layout: Layout,
    channels: ColourOrder,
    /// Pixel p of input channel c becomes `p * gain[c] + offset[c]`.
    gain: [f32; 3],
    offset: [f32; 3],
    pad: f32,
    /// Fill the whole input, whatever that does to the shape.
    stretch: bool,
    frame_px: (u32, u32),
    scale: f32,
    across: Axis,
    down: Axis,
    blended: Vec<f32>,
}

impl Letterbox {
    /// For a model's input of this size.
    #[must_use]
    pub fn new(spec: &InputSpec, input_width: u32, input_height: u32) -> Self {
        Self {
            input_width: input_width as usize,
            input_height: input_height as usize,
            layout: spec.layout,
            channels: spec.channels,
            gain: spec.std.map(|s| 1.0 / s),
            offset: std::array::from_fn(|c| -spec.mean[c] / spec.std[c]),
            pad: f32::from(spec.pad),
            stretch: false,
            frame_px: (0, 0),
            scale: 1.0,
            across: Axis::default(),
            down: Axis::default(),
            blended: Vec::new(),
        }
    }

    /// The same, without padding: each axis has its own factor. For crops whose shape says little.
    #[must_use]
    pub fn stretched(spec: &InputSpec, input_width: u32, input_height: u32) -> Self {
        Self { stretch: true, ..Self::new(spec, input_width, input_height) }
    }

    /// Input pixels per frame pixel, of the last frame; when stretched, of the axis that was reduced more.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Writes the frame into `tensor`, which must hold 3 x height x width numbers and be the same at every call.
    pub fn fill(&mut self, frame: &FrameView<'_>, tensor: &mut [f32]) {
        if self.frame_px != (frame.width_px(), frame.height_px()) {
            self.prepare(frame.width_px(), frame.height_px(), tensor);
        }
        let area = self.input_width * self.input_height;
        let swap = frame.order() != self.channels;
        // Where the frame's channels go in the input, and with which gain and offset.
        let to = if swap { [2, 1, 0] } else { [0, 1, 2] };
        let gain = to.map(|c| self.gain[c]);
        let offset = to.map(|c| self.offset[c]);
        for y in 0..self.down.starts.len() {
            self.blend_rows(frame, y);
            match self.layout {
                Layout::Nchw => {
                    let row = y * self.input_width;
                    let [first, second, third] = planes(tensor, area);
                    let mut out = [first, second, third].map(|p| &mut p[row..row + self.input_width]);
                    if swap {
                        out.swap(0, 2);
                    }
                    let [a, b, c] = out;
                    let pixels = a.iter_mut().zip(b.iter_mut()).zip(c.iter_mut());
                    for (((a, b), c), value) in pixels.zip(self.row_pixels()) {
                        *a = value[0] * gain[0] + offset[0];
                        *b = value[1] * gain[1] + offset[1];
                        *c = value[2] * gain[2] + offset[2];
                    }
                }
                Layout::Nhwc => {
                    let row = &mut tensor[y * self.input_width * 3..][..self.input_width * 3];
                    for (out, value) in row.as_chunks_mut::<3>().0.iter_mut().zip(self.row_pixels()) {
                        for c in 0..3 {
                            out[to[c]] = value[c] * gain[c] + offset[c];
                        }
                    }
                }
            }
        }
    }

    /// The weighted sum of the source rows behind output row `y`, three numbers per source pixel.
    fn blend_rows(&mut self, frame: &FrameView<'_>, y: usize) {
        let taps = self.down.taps;
        let start = self.down.starts[y] as usize;
        let weights = &self.down.weights[y * taps..][..taps];
        if let [w0, w1] = *weights {
            let rows = frame.row(start).iter().zip(frame.row(start + 1));
            for (out, (a, b)) in self.blended.iter_mut().zip(rows) {
                *out = f32::from(*a) * w0 + f32::from(*b) * w1;
            }
            return;
        }
        self.blended.fill(0.0);
        for (tap, weight) in weights.iter().enumerate() {
            for (out, a) in self.blended.iter_mut().zip(frame.row(start + tap)) {
                *out += f32::from(*a) * weight;
            }
        }
    }

    /// The pixels of the output row whose source rows were blended, in the frame's channel order.
    fn row_pixels(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        let source = self.blended.as_chunks::<3>().0;
        let taps = self.across.taps;
        self.across.starts.iter().zip(self.across.weights.chunks_exact(taps)).map(move |(start, weights)| {
            let pixels = &source[*start as usize..][..taps];
            let mut sum = [0.0; 3];
            for (pixel, weight) in pixels.iter().zip(weights) {
                for c in 0..3 {
                    sum[c] += pixel[c] * weight;
                }
            }
            sum
        })
    }

    /// Tables for a new frame size; writes the padding.
    fn prepare(&mut self, width_px: u32, height_px: u32, tensor: &mut [f32]) {
        self.frame_px = (width_px, height_px);
        let across = self.input_width as f64 / f64::from(width_px);
        let down = self.input_height as f64 / f64::from(height_px);
        let scale = across.min(down);
        self.scale = scale as f32;
        let side = |px: u32, limit: usize| ((f64::from(px) * scale).round() as usize).clamp(1, limit);
        let [columns, rows] = if self.stretch {
            [self.input_width, self.input_height]
        } else {
            [side(width_px, self.input_width), side(height_px, self.input_height)]
        };
        self.across.fill(width_px as usize, columns);
        self.down.fill(height_px as usize, rows);
        self.blended.clear();
        self.blended.resize(width_px as usize * 3, 0.0);
        let padding: [f32; 3] = std::array::from_fn(|c| self.pad * self.gain[c] + self.offset[c]);
        match self.layout {
            Layout::Nchw => {
                let area = self.input_width * self.input_height;
                for (plane, value) in planes(tensor, area).into_iter().zip(padding) {
                    plane.fill(value);
                }
            }
            Layout::Nhwc => tensor.as_chunks_mut::<3>().0.fill(padding),
        }
    }
}

/// The three planes of a tensor.
fn planes(tensor: &mut [f32], area: usize) -> [&mut [f32]; 3] {
    let (first, rest) = tensor.split_at_mut(area);
    let (second, third) = rest.split_at_mut(area);
    [first, second, &mut third[..area]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Dim;

    fn spec(layout: Layout, channels: ColourOrder) -> InputSpec {
        let free = |name: &str| Dim::Free(name.into());
        let shape = match layout {
            Layout::Nchw => vec![Dim::Fixed(1), Dim::Fixed(3), free("h"), free("w")],
            Layout::Nhwc => vec![Dim::Fixed(1), free("h"), free("w"), Dim::Fixed(3)],
        };
        InputSpec {
            name: "images".into(),
            shape,
            layout,
            channels,
            mean: [10.0, 20.0, 30.0],
            std: [2.0, 4.0, 5.0],
            pad: 114,
            multiple_px: 1,
            default_px: [1, 1],
        }
    }

    fn picture(width: usize, height: usize, stride: usize) -> Vec<u8> {
        let mut data = vec![255; stride * height];
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    data[y * stride + x * 3 + c] = ((x * 31 + y * 57 + c * 85 + x * y * 7) % 251) as u8;
                }
            }
        }
        data
    }

    /// The definition, straightforwardly: a separable triangle filter over clamped source coordinates.
    fn reference(
        data: &[u8],
        stride: usize,
        size: (usize, usize),
        scaled: (usize, usize),
        at: [usize; 3],
    ) -> f64 {
        let [x, y, c] = at;
        let axis = |position: usize, source: usize, target: usize| {
            let step = source as f64 / target as f64;
            let half = (step / 2.0).max(1.0);
            let centre = (position as f64 + 0.5) * step - 0.5;
            let mut taps: Vec<(usize, f64)> = Vec::new();
            for p in -64..source as i64 + 64 {
                let weight = 1.0 - (p as f64 - centre).abs() / half;
                if weight > 0.0 {
                    taps.push((p.clamp(0, source as i64 - 1) as usize, weight));
                }
            }
            let sum: f64 = taps.iter().map(|t| t.1).sum();
            taps.into_iter().map(|(p, w)| (p, w / sum)).collect::<Vec<_>>()
        };
        let mut value = 0.0;
        for (sy, wy) in axis(y, size.1, scaled.1) {
            for (sx, wx) in axis(x, size.0, scaled.0) {
                value += f64::from(data[sy * stride + sx * 3 + c]) * wx * wy;
            }
        }
        value
    }

    #[test]
    fn agrees_with_the_definition() {
        let cases = [((64, 48), (32, 24)), ((20, 10), (40, 40)), ((97, 31), (16, 16)), ((5, 300), (32, 32))];
        for (size, input) in cases {
            let stride = size.0 * 3 + 5;
            let data = picture(size.0, size.1, stride);
            let frame =
                FrameView::new(&data, size.0 as u32, size.1 as u32, stride, ColourOrder::Bgr).unwrap();
            for layout in [Layout::Nchw, Layout::Nhwc] {
                for channels in [ColourOrder::Bgr, ColourOrder::Rgb] {
                    let spec = spec(layout, channels);
                    let mut letterbox = Letterbox::new(&spec, input.0 as u32, input.1 as u32);
                    let mut tensor = vec![f32::NAN; input.0 * input.1 * 3];
                    letterbox.fill(&frame, &mut tensor);
                    let scale = (input.0 as f64 / size.0 as f64).min(input.1 as f64 / size.1 as f64);
                    assert!((f64::from(letterbox.scale()) - scale).abs() < 1e-6);
                    let scaled = (
                        ((size.0 as f64 * scale).round() as usize).max(1),
                        ((size.1 as f64 * scale).round() as usize).max(1),
                    );
                    for y in 0..input.1 {
                        for x in 0..input.0 {
                            for c in 0..3 {
                                let source_c = if channels == ColourOrder::Bgr { c } else { 2 - c };
                                let pixel = if x < scaled.0 && y < scaled.1 {
                                    reference(&data, stride, size, scaled, [x, y, source_c])
                                } else {
                                    114.0
                                };
                                let expected = (pixel - f64::from(spec.mean[c])) / f64::from(spec.std[c]);
                                let index = match layout {
                                    Layout::Nchw => (c * input.1 + y) * input.0 + x,
                                    Layout::Nhwc => (y * input.0 + x) * 3 + c,
                                };
                                let found = f64::from(tensor[index]);
                                assert!(
                                    (found - expected).abs() < 2e-3,
                                    "{size:?} -> {input:?} {layout:?} at {x}, {y}, {c}: {found}, {expected}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn halving_is_the_mean_of_four() {
        let data = picture(4, 2, 12);
        let frame = FrameView::new(&data, 4, 2, 12, ColourOrder::Rgb).unwrap();
        let mut letterbox = Letterbox::new(&spec(Layout::Nchw, ColourOrder::Rgb), 2, 1);
        let mut tensor = vec![0.0; 6];
        letterbox.fill(&frame, &mut tensor);
        let mean = [0, 3, 12, 15].iter().map(|i| f32::from(data[*i])).sum::<f32>() / 4.0;
        assert!((tensor[0] - (mean - 10.0) / 2.0).abs() < 1e-4);
    }

    #[test]
    fn a_second_frame_allocates_nothing_and_a_new_size_is_noticed() {
        let spec = spec(Layout::Nchw, ColourOrder::Bgr);
        let mut letterbox = Letterbox::new(&spec, 32, 32);
        let mut tensor = vec![0.0; 32 * 32 * 3];
        let wide = picture(64, 32, 192);
        let wide = FrameView::new(&wide, 64, 32, 192, ColourOrder::Bgr).unwrap();
        letterbox.fill(&wide, &mut tensor);
        let first = tensor.clone();
        let held = |l: &Letterbox| {
            (l.blended.as_ptr(), l.across.starts.as_ptr(), l.across.weights.as_ptr(), l.down.weights.as_ptr())
        };
        let before = held(&letterbox);
        letterbox.fill(&wide, &mut tensor);
        assert_eq!(held(&letterbox), before);
        let tall = picture(32, 64, 96);
        letterbox.fill(&FrameView::new(&tall, 32, 64, 96, ColourOrder::Bgr).unwrap(), &mut tensor);
        letterbox.fill(&wide, &mut tensor);
        assert_eq!(tensor, first, "the padding of the other shape must be gone");
    }
}
