//! A glance at a frame: has anything changed, and where have these boxes gone? A hundredth of what a model costs.
//!
//! The frame's green channel is kept reduced to about 384 pixels in width: as it is now, as it was in the frame
//! before, as it was when somebody last looked closely ([`Glance::look`]), and what mostly stands there (sigma-delta
//! background, Manzanera and Richefeu, PRL 28, 2007). Change is judged by blocks of 8 x 8 reduced pixels against the
//! frame that was looked at, so that slow movement adds up; what changes everywhere alike (exposure, lamps) and the
//! sensor's own noise are taken off by medians over all blocks.
//!
//! Cameras must stand still. A frame of another size starts anew. Nothing is allocated after the first frame.

use super::Frame;

/// Width to which frames are reduced, about, pixels.
const WIDTH_PX: u32 = 384;
/// Side of a block, reduced pixels.
const BLOCK: usize = 8;
/// A block has changed when its pixels differ by more than this on average, grey levels of 255.
const CHANGED: f32 = 5.0;
/// And by so many times what the middle block differs by.
const CHANGED_NOISE: f32 = 3.0;
/// Changed blocks that are worth a look.
const BLOCKS_MIN: usize = 2;
/// Background pixels move by one level every so many frames.
const BACKGROUND_EVERY: u64 = 4;
/// Pixels this far from the background are foreground, grey levels.
const FOREGROUND: u8 = 14;
/// Boxes are searched for within this share of their height.
const REACH: f64 = 0.14;
/// Price of a step away from the middle of the search, grey levels a pixel of the template.
const STEP_PRICE: f32 = 0.15;

/// What a glance remembers.
#[derive(Debug, Clone, Default)]
pub struct Glance {
    factor: usize,
    width: usize,
    height: usize,
    frames: u64,
    now: Vec<u8>,
    before: Vec<u8>,
    looked: Vec<u8>,
    background: Vec<u8>,
    blocks: Vec<(f32, f32)>,
    sorted: Vec<f32>,
    changed: Vec<bool>,
    template: Vec<u8>,
    mask: Vec<u8>,
}

/// A box in frame pixels: left, top, width, height.
pub type GlanceBox = [f64; 4];

impl Glance {
    /// Takes the next frame in.
    pub fn take(&mut self, frame: &Frame<'_>) {
        let factor = (f64::from(frame.width_px) / f64::from(WIDTH_PX)).round().max(1.0) as usize;
        let (width, height) = (frame.width_px as usize / factor, frame.height_px as usize / factor);
        let fresh = (factor, width, height) != (self.factor, self.width, self.height);
        if fresh {
            *self = Self { factor, width, height, ..Self::default() };
            self.now.resize(width * height, 0);
        }
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.resize(width * height, 0);
        for (y, out) in self.now.chunks_exact_mut(width.max(1)).enumerate() {
            // One row of each `factor` and one pixel of two: an average of more costs more and shows no more.
            let row = frame.row((y * factor + factor / 2) as u32);
            if factor == 1 {
                for (o, p) in out.iter_mut().zip(row.chunks_exact(3)) {
                    *o = p[1];
                }
            } else {
                for (o, p) in out.iter_mut().zip(row.chunks_exact(3 * factor)) {
                    *o = u8::midpoint(p[1], p[4]);
                }
            }
        }
        if fresh || self.before.len() != self.now.len() {
            self.before.clone_from(&self.now);
            self.looked.clear();
            self.background.clone_from(&self.now);
        }
        if self.frames.is_multiple_of(BACKGROUND_EVERY) {
            for (b, n) in self.background.iter_mut().zip(&self.now) {
                *b = b.saturating_add(u8::from(*n > *b)).saturating_sub(u8::from(*n < *b));
            }
        }
        self.frames += 1;
        self.judge();
    }

    /// Remembers the frame as the one that was looked at closely.
    pub fn look(&mut self) {
        self.looked.clone_from(&self.now);
    }

    /// Has anything changed since the frame that was last looked at? True before the first look.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.looked.is_empty() || self.changed.iter().filter(|c| **c).count() >= BLOCKS_MIN
    }

    fn judge(&mut self) {
        self.changed.clear();
        self.blocks.clear();
        let (columns, rows) = (self.width / BLOCK, self.height / BLOCK);
        if self.looked.len() != self.now.len() || columns == 0 || rows == 0 {
            return;
        }
        for row in 0..rows {
            for column in 0..columns {
                let (mut sum, mut sad) = (0_i32, 0_u32);
                for y in row * BLOCK..(row + 1) * BLOCK {
                    let at = y * self.width + column * BLOCK;
                    for (n, l) in self.now[at..at + BLOCK].iter().zip(&self.looked[at..at + BLOCK]) {
                        sum += i32::from(*n) - i32::from(*l);
                        sad += u32::from(n.abs_diff(*l));
                    }
                }
                let area = (BLOCK * BLOCK) as f32;
                self.blocks.push((sum as f32 / area, sad as f32 / area));
            }
        }
        let middle = |sorted: &mut Vec<f32>| {
            let half = sorted.len() / 2;
            *sorted.select_nth_unstable_by(half, f32::total_cmp).1
        };
        self.sorted.clear();
        self.sorted.extend(self.blocks.iter().map(|b| b.0));
        let everywhere = middle(&mut self.sorted).abs();
        self.sorted.clear();
        self.sorted.extend(self.blocks.iter().map(|b| b.1));
        let noise = middle(&mut self.sorted);
        let limit = everywhere + CHANGED.max(CHANGED_NOISE * (noise - everywhere).max(0.0));
        self.changed.extend(self.blocks.iter().map(|b| b.1 > limit));
    }

    /// How far what fills a box has moved since the frame before, pixels; `None` where that cannot be told.
    ///
    /// The box's inner part, as far as it stands out from the background, is searched for around `guess` by the sum
    /// of absolute differences; the best place is refined by a parabola.
    pub fn shift(&mut self, place: GlanceBox, guess: (f64, f64)) -> Option<(f64, f64)> {
        let scale = self.factor as f64;
        let [left, top, w, h] = place.map(|v| v / scale);
        let (x0, x1) = ((left + 0.12 * w).round() as i64, (left + 0.88 * w).round() as i64);
        let (y0, y1) = ((top + 0.05 * h).round() as i64, (top + 0.95 * h).round() as i64);
        let (width, height) = (self.width as i64, self.height as i64);
        let (x0, x1, y0, y1) = (x0.max(0), x1.min(width), y0.max(0), y1.min(height));
        if x1 - x0 < 3 || y1 - y0 < 6 || self.before.len() != self.now.len() {
            return None;
        }
        let (tw, th) = ((x1 - x0) as usize, (y1 - y0) as usize);
        self.template.clear();
        self.mask.clear();
        for y in y0..y1 {
            let at = (y * width + x0) as usize;
            self.template.extend_from_slice(&self.before[at..at + tw]);
            let pairs = self.before[at..at + tw].iter().zip(&self.background[at..at + tw]);
            self.mask.extend(pairs.map(|(p, b)| if p.abs_diff(*b) >= FOREGROUND { 255 } else { 0 }));
        }
        let foreground = self.mask.iter().filter(|m| **m > 0).count();
        // Somebody who has stood for long has become background: then everything counts.
        let counted = if 6 * foreground < self.mask.len() {
            self.mask.fill(255);
            self.mask.len()
        } else {
            foreground
        };
        let reach = ((REACH * h).round() as i64).clamp(2, 12);
        let (gx, gy) = ((guess.0 / scale).round() as i64, (guess.1 / scale).round() as i64);
        let side = 2 * reach + 1;
        let mut costs = vec![f32::INFINITY; (side * side) as usize];
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let (x, y) = (x0 + gx + dx, y0 + gy + dy);
                if x < 0 || y < 0 || x + tw as i64 > width || y + th as i64 > height {
                    continue;
                }
                let mut sad = 0_u32;
                for row in 0..th {
                    let at = ((y + row as i64) * width + x) as usize;
                    let (t, m) = (&self.template[row * tw..][..tw], &self.mask[row * tw..][..tw]);
                    let differences = self.now[at..at + tw].iter().zip(t).zip(m);
                    sad += differences.map(|((n, t), m)| u32::from(n.abs_diff(*t) & *m)).sum::<u32>();
                }
                let away = ((dx * dx + dy * dy) as f32).sqrt();
                costs[((dy + reach) * side + dx + reach) as usize] =
                    sad as f32 / counted as f32 + STEP_PRICE * away;
            }
        }
        let (best, cost) = costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
        if !cost.is_finite() {
            return None;
        }
        let (bx, by) = (best as i64 % side, best as i64 / side);
        let at = |x: i64, y: i64| {
            let inside = (0..side).contains(&x) && (0..side).contains(&y);
            if inside { costs[(y * side + x) as usize] } else { f32::INFINITY }
        };
        let refined = |low: f32, high: f32| {
            let bend = low + high - 2.0 * cost;
            if bend.is_finite() && bend > 1e-6 { f64::from(0.5 * (low - high) / bend) } else { 0.0 }
        };
        let fx = refined(at(bx - 1, by), at(bx + 1, by));
        let fy = refined(at(bx, by - 1), at(bx, by + 1));
        Some((((bx - reach + gx) as f64 + fx) * scale, ((by - reach + gy) as f64 + fy) * scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A textured wall with noise, brightness added everywhere, and a patterned person at `x` (none below 0).
    fn image(x: i64, seed: u32, brighter: u8) -> Vec<u8> {
        let (w, h) = (768_usize, 432_usize);
        let mut noise = seed;
        let mut data = vec![0; 3 * w * h];
        for (i, p) in data.chunks_exact_mut(3).enumerate() {
            let (px, py) = ((i % w) as i64, (i / w) as i64);
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let person = x >= 0 && (x..x + 60).contains(&px) && (150..330).contains(&py);
            let grey =
                if person { 30 + ((px - x) / 12 * 37 + py / 20 * 53) % 60 } else { 130 + px / 40 % 9 * 7 };
            p.fill((grey as u8).saturating_add((noise >> 30) as u8).saturating_add(brighter));
        }
        data
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame {
            data,
            width_px: 768,
            height_px: 432,
            stride_bytes: 3 * 768,
            index: 0,
            offset_s: 0.0,
            arrived: None,
        }
    }

    #[test]
    fn noise_and_lamps_are_no_news_and_a_person_is() {
        let mut glance = Glance::default();
        glance.take(&frame(&image(-1, 1, 0)));
        assert!(glance.changed(), "nobody has looked yet");
        glance.look();
        for seed in 2..8 {
            glance.take(&frame(&image(-1, seed, seed as u8)));
            assert!(!glance.changed(), "seed {seed}");
        }
        glance.take(&frame(&image(300, 9, 0)));
        assert!(glance.changed());
    }

    #[test]
    fn slow_movement_adds_up() {
        let mut glance = Glance::default();
        glance.take(&frame(&image(300, 1, 0)));
        glance.look();
        let seen = (1..40).find(|step| {
            glance.take(&frame(&image(300 + step, 1 + *step as u32, 0)));
            glance.changed()
        });
        assert!(seen.is_some_and(|step| step < 20), "{seen:?}");
    }

    #[test]
    fn a_box_goes_with_its_person() {
        let mut glance = Glance::default();
        for seed in 0..4 {
            glance.take(&frame(&image(-1, seed, 0)));
        }
        glance.take(&frame(&image(300, 5, 0)));
        glance.take(&frame(&image(309, 6, 0)));
        let (x, y) = glance.shift([300.0, 150.0, 60.0, 180.0], (0.0, 0.0)).unwrap();
        assert!((x - 9.0).abs() < 1.5 && y.abs() < 1.5, "{x} {y}");
        assert!(glance.shift([-100.0, 0.0, 50.0, 100.0], (0.0, 0.0)).is_none());
    }
}
