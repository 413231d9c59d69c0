//! The simulated twin: boxes walk over a floor, the same for the same seed.
//!
//! Positions are a function of the frame's index alone, so [`SimulatedCamera::truth`] can be asked for any frame,
//! and painting frame 1,000 gives the same bytes whether or not frame 999 was ever painted. It looks like no
//! person: it is for what does not look (pipelines, timing, life cycles).

use linefree_domain::geometry::PixelBox;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Camera, CameraError, CameraInfo, Frame};

/// What the simulated camera sees.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedScene {
    /// Everything is drawn from this.
    pub seed: u64,
    /// Width and height, pixels.
    pub size_px: [u32; 2],
    /// Frames per second.
    pub rate_hz: f64,
    /// How many frames there are; `None` for no end.
    pub frames: Option<u64>,
    /// How many boxes walk about.
    pub people: usize,
}

impl Default for SimulatedScene {
    /// 640 x 360 pixels, 10 frames/s without end, three people.
    fn default() -> Self {
        Self { seed: 0, size_px: [640, 360], rate_hz: 10.0, frames: None, people: 3 }
    }
}

#[derive(Debug, Clone)]
struct Walker {
    size_px: [f64; 2],
    start_px: [f64; 2],
    /// Pixels per frame.
    step_px: [f64; 2],
    bgr: [u8; 3],
}

/// A camera that needs nothing.
#[derive(Debug, Clone)]
pub struct SimulatedCamera {
    scene: SimulatedScene,
    walkers: Vec<Walker>,
    background: Vec<u8>,
    image: Vec<u8>,
    next: u64,
}

impl SimulatedCamera {
    /// Draws the scene from its seed.
    #[must_use]
    pub fn new(scene: SimulatedScene) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(scene.seed);
        let mut draw = |from: f64, to: f64| {
            from + (to - from) * (f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0))
        };
        let [width_px, height_px] = scene.size_px.map(f64::from);
        let walkers = (0..scene.people)
            .map(|_| {
                let tall = height_px * draw(0.25, 0.45);
                let size_px = [(tall * 0.4).round(), tall.round()];
                Walker {
                    size_px,
                    start_px: [draw(0.0, width_px - size_px[0]), draw(0.0, height_px - size_px[1])],
                    step_px: [draw(-4.0, 4.0), draw(-1.5, 1.5)],
                    bgr: [draw(20.0, 120.0) as u8, draw(20.0, 120.0) as u8, draw(130.0, 250.0) as u8],
                }
            })
            .collect();
        let [width, height] = scene.size_px.map(|side| side as usize);
        let mut background = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            let shade = 150 + (60 * y / height.max(1)) as u8;
            background.extend(std::iter::repeat_n(shade, 3 * width));
        }
        Self { scene, walkers, image: background.clone(), background, next: 0 }
    }

    /// Where the boxes are in a frame, in the order in which they are painted: later ones hide earlier ones.
    #[must_use]
    pub fn truth(&self, index: u64) -> Vec<PixelBox> {
        let [width_px, height_px] = self.scene.size_px.map(f64::from);
        self.walkers
            .iter()
            .map(|w| PixelBox {
                x: reflect(w.start_px[0] + w.step_px[0] * index as f64, width_px - w.size_px[0]).round(),
                y: reflect(w.start_px[1] + w.step_px[1] * index as f64, height_px - w.size_px[1]).round(),
                w: w.size_px[0],
                h: w.size_px[1],
            })
            .collect()
    }

    fn paint(&mut self, index: u64) {
        self.image.copy_from_slice(&self.background);
        let stride = 3 * self.scene.size_px[0] as usize;
        for (walker, b) in self.walkers.iter().zip(self.truth(index)) {
            let (left, right) = (3 * b.x as usize, (3 * (b.x + b.w) as usize).min(stride));
            for row in self.image.chunks_exact_mut(stride).skip(b.y as usize).take(b.h as usize) {
                for pixel in row[left..right].as_chunks_mut::<3>().0 {
                    *pixel = walker.bgr;
                }
            }
        }
    }
}

/// Walks to and fro between 0 and `range`.
fn reflect(along: f64, range: f64) -> f64 {
    if range <= 0.0 {
        return 0.0;
    }
    let lap = along.rem_euclid(2.0 * range);
    if lap > range { 2.0 * range - lap } else { lap }
}

impl Camera for SimulatedCamera {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: format!("simulated:{}", self.scene.seed),
            size_px: Some(self.scene.size_px),
            rate_hz: Some(self.scene.rate_hz),
            frames: self.scene.frames,
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CameraError> {
        let index = self.next;
        if self.scene.frames.is_some_and(|frames| index >= frames) {
            return Ok(None);
        }
        self.next += 1;
        self.paint(index);
        let [width_px, height_px] = self.scene.size_px;
        Ok(Some(Frame {
            data: &self.image,
            width_px,
            height_px,
            stride_bytes: 3 * width_px as usize,
            index,
            offset_s: index as f64 / self.scene.rate_hz,
            arrived: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_paints_the_same_bytes() {
        let scene = SimulatedScene { frames: Some(30), ..SimulatedScene::default() };
        let (mut a, mut b) = (SimulatedCamera::new(scene.clone()), SimulatedCamera::new(scene.clone()));
        let mut other = SimulatedCamera::new(SimulatedScene { seed: 1, ..scene });
        let mut frames = 0;
        let mut differs = false;
        while let Some(frame) = a.next_frame().unwrap() {
            assert_eq!(frame.index, frames);
            assert!((frame.offset_s - frames as f64 / 10.0).abs() < 1e-12);
            assert_eq!(frame.data, b.next_frame().unwrap().unwrap().data);
            differs |= frame.data != other.next_frame().unwrap().unwrap().data;
            frames += 1;
        }
        assert_eq!(frames, 30);
        assert!(differs, "two seeds painted the same");
        assert!(a.next_frame().unwrap().is_none(), "the end must stay the end");
    }

    #[test]
    fn the_truth_is_what_is_painted() {
        let scene = SimulatedScene { seed: 5, people: 1, ..SimulatedScene::default() };
        let mut camera = SimulatedCamera::new(scene);
        let mut moved = false;
        for index in 0..400 {
            let truth = camera.truth(index)[0];
            moved |= truth != camera.truth(0)[0];
            let colour = camera.walkers[0].bgr;
            let frame = camera.next_frame().unwrap().unwrap();
            let (x, y) = (truth.x as u32, truth.y as u32);
            assert!(x + truth.w as u32 <= 640 && y + truth.h as u32 <= 360, "frame {index}: {truth:?}");
            assert_eq!(frame.pixel(x, y), Some(colour));
            assert_eq!(frame.pixel(x + truth.w as u32 - 1, y + truth.h as u32 - 1), Some(colour));
            if x > 0 {
                assert_ne!(frame.pixel(x - 1, y), Some(colour));
            }
        }
        assert!(moved);
    }

    #[test]
    fn a_scene_too_small_for_people_paints_without_panic() {
        for size_px in [[1, 1], [3, 2], [2, 100]] {
            let mut camera = SimulatedCamera::new(SimulatedScene { size_px, ..SimulatedScene::default() });
            for _ in 0..50 {
                assert!(camera.next_frame().unwrap().is_some());
            }
        }
    }
}
