//! Does a camera still see as it did: in focus, and with nothing before its lens? Pure, beside whatever else is done with
//! frames, and a few milliseconds every few seconds.
//!
//! Two things are measured on the green channel. **Sharpness**: the mean second difference along rows at full resolution,
//! which is what goes first when a lens is out of focus, fogged or smeared. **Covered**: of the picture's 16 x 9 tiles
//! that usually show something, how many are flat now. Both are told beside what is usual for this camera: the first
//! [`LEARN`] measurements, followed slowly while all is well. So a camera that was blurred when it was started is not found
//! out here (`calibrate` is where that is seen), and a picture that is dark, because the lamps are off, is not judged.

use super::Frame;

/// Measurements that say what is usual.
const LEARN: u32 = 12;
/// How far what is usual follows each measurement.
const FOLLOW: f64 = 1.0 / 200.0;
/// Rows that are read of those there are.
const EVERY_ROW: u32 = 4;
/// Tiles across and down.
const TILES: [usize; 2] = [16, 9];
/// A tile shows something when its grey levels spread by more than this.
const SHOWS: f64 = 7.0;
/// It is flat when they spread by less than this.
const FLAT: f64 = 3.0;
/// Darker than this on average, grey levels, nothing is judged.
const DARK: f64 = 22.0;

/// How a camera sees, beside what is usual for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clear {
    /// Sharpness over the usual one; 1 is as always, less is blurred.
    pub sharpness: f64,
    /// Share of the tiles that usually show something and are flat now, 0 to 1.
    pub covered: f64,
}

/// What is usual for a camera, and what was measured last.
#[derive(Debug, Clone, Default)]
pub struct Clearness {
    size_px: [u32; 2],
    measured: u32,
    sharp: f64,
    spread: Vec<f64>,
    last: Option<Clear>,
}

struct Measured {
    mean: f64,
    sharp: f64,
    spread: Vec<f64>,
}

impl Clearness {
    /// Measures a frame; says how the camera sees once it is known what is usual. A frame of another size begins anew.
    pub fn take(&mut self, frame: &Frame<'_>) -> Option<Clear> {
        let size_px = [frame.width_px, frame.height_px];
        if size_px != self.size_px {
            *self = Self { size_px, ..Self::default() };
        }
        let now = measure(frame)?;
        if now.mean < DARK {
            return self.last;
        }
        if self.measured < LEARN {
            self.measured += 1;
            let part = 1.0 / f64::from(self.measured);
            self.follow(&now, part);
            return None;
        }
        let (shown, flat) = self
            .spread
            .iter()
            .zip(&now.spread)
            .filter(|(usual, _)| **usual > SHOWS)
            .fold((0_u32, 0_u32), |(shown, flat), (_, spread)| (shown + 1, flat + u32::from(*spread < FLAT)));
        let clear = Clear {
            sharpness: if self.sharp > 0.0 { now.sharp / self.sharp } else { 1.0 },
            covered: if shown == 0 { 0.0 } else { f64::from(flat) / f64::from(shown) },
        };
        if (0.8..1.25).contains(&clear.sharpness) && clear.covered < 0.1 {
            self.follow(&now, FOLLOW);
        }
        self.last = Some(clear);
        self.last
    }

    /// What was measured last.
    #[must_use]
    pub fn last(&self) -> Option<Clear> {
        self.last
    }

    fn follow(&mut self, now: &Measured, part: f64) {
        self.spread.resize(now.spread.len(), 0.0);
        self.sharp += (now.sharp - self.sharp) * part;
        for (usual, spread) in self.spread.iter_mut().zip(&now.spread) {
            *usual += (spread - *usual) * part;
        }
    }
}

/// `None` for a frame that is too small to say anything.
fn measure(frame: &Frame<'_>) -> Option<Measured> {
    let [across, down] = TILES;
    let (width, height) = (frame.width_px as usize, frame.height_px as usize);
    if width < 4 * across || height < 8 * down {
        return None;
    }
    let mut tiles = vec![(0_u64, 0_u64, 0_u64); across * down];
    let (mut differences, mut pixels) = (0_u64, 0_u64);
    for y in (0..frame.height_px).step_by(EVERY_ROW as usize) {
        let row = frame.row(y);
        let green = |x: usize| row.get(3 * x + 1).copied().map_or(0, i32::from);
        let line = y as usize * down / height * across;
        let (mut before, mut here) = (green(0), green(1));
        for x in 1..width - 1 {
            let next = green(x + 1);
            differences += u64::from((2 * here - before - next).unsigned_abs());
            let tile = &mut tiles[line + x * across / width];
            let value = u64::from(here.unsigned_abs());
            *tile = (tile.0 + 1, tile.1 + value, tile.2 + value * value);
            (before, here) = (here, next);
        }
        pixels += width as u64 - 2;
    }
    let spread = |&(n, sum, squares): &(u64, u64, u64)| {
        let n = n.max(1) as f64;
        (squares as f64 / n - (sum as f64 / n).powi(2)).max(0.0).sqrt()
    };
    let sum: u64 = tiles.iter().map(|t| t.1).sum();
    Some(Measured {
        mean: sum as f64 / pixels as f64,
        sharp: differences as f64 / pixels as f64,
        spread: tiles.iter().map(spread).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 640;
    const H: usize = 360;

    /// A room of blocks with edges and a little noise.
    fn room(noise_seed: u32) -> Vec<u8> {
        let mut seed = noise_seed;
        let mut grey = vec![0_u8; W * H];
        for (i, g) in grey.iter_mut().enumerate() {
            let (x, y) = (i % W, i / W);
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let block = if (x / 17 + y / 13) % 2 == 0 { 70 } else { 150 };
            *g = (block + (seed >> 30)) as u8;
        }
        grey
    }

    fn blurred(grey: &[u8], reach: usize) -> Vec<u8> {
        let mean = |i: usize| {
            let (x, row) = (i % W, i / W * W);
            let part = &grey[row + x.saturating_sub(reach)..(row + W).min(row + x + reach + 1)];
            (part.iter().map(|g| u32::from(*g)).sum::<u32>() / part.len() as u32) as u8
        };
        (0..grey.len()).map(mean).collect()
    }

    fn take(clear: &mut Clearness, grey: &[u8]) -> Option<Clear> {
        let data: Vec<u8> = grey.iter().flat_map(|g| [*g; 3]).collect();
        let frame = Frame {
            data: &data,
            width_px: W as u32,
            height_px: H as u32,
            stride_bytes: 3 * W,
            index: 0,
            offset_s: 0.0,
            arrived: None,
        };
        clear.take(&frame)
    }

    fn usual() -> Clearness {
        let mut clear = Clearness::default();
        for seed in 0..LEARN {
            assert_eq!(take(&mut clear, &room(seed)), None, "what is usual is not known yet");
        }
        clear
    }

    #[test]
    fn what_is_as_always_is_told_as_such() {
        let told = take(&mut usual(), &room(99)).unwrap();
        assert!((told.sharpness - 1.0).abs() < 0.05 && told.covered == 0.0, "{told:?}");
    }

    #[test]
    fn a_blurred_picture_is_less_sharp_and_not_covered() {
        let told = take(&mut usual(), &blurred(&room(99), 3)).unwrap();
        assert!(told.sharpness < 0.55 && told.covered < 0.1, "{told:?}");
    }

    #[test]
    fn something_before_half_of_the_lens_covers_half_of_the_picture() {
        let mut grey = room(99);
        for row in grey.chunks_exact_mut(W) {
            row[..W / 2].fill(90);
        }
        let told = take(&mut usual(), &grey).unwrap();
        assert!((0.4..0.6).contains(&told.covered), "{told:?}");
    }

    #[test]
    fn the_dark_is_not_judged_and_another_size_begins_anew() {
        let mut clear = usual();
        let before = take(&mut clear, &room(99));
        let dark: Vec<u8> = room(0).iter().map(|g| g / 20).collect();
        assert_eq!(take(&mut clear, &dark), before);
        let small = Frame {
            data: &[90; 3 * 320 * 180],
            width_px: 320,
            height_px: 180,
            stride_bytes: 960,
            index: 0,
            offset_s: 0.0,
            arrived: None,
        };
        assert_eq!((clear.take(&small), clear.last()), (None, None));
    }
}
