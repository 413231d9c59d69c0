//! Picture files into pixels: JPEG and PNG, upright, three channels.
//!
//! Refused by name: what is no picture, is cut short, or has a side that no camera has. What has an alpha channel or
//! is grey becomes RGB; the note of a phone about how it was held is obeyed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use linefree_domain::tracking::Detection;
use linefree_models::{
    ColourOrder, DetectorOptions, FrameView, MAX_SIDE_PX, MIN_CROP_PX, PersonDetector, ProductDetector,
    Registry, Runtime, Task,
};
use linefree_recording::DetectorConfig;

use crate::{paths, vision};

/// Most memory that decoding one picture may take.
const DECODED_MAX_BYTES: u64 = 512 << 20;

/// Reads a picture file.
///
/// # Errors
/// When it cannot be read or is no sound picture of at least 8 x 8 px; the message names the file.
pub fn read(path: &Path) -> anyhow::Result<RgbImage> {
    let named = || format!("picture {}", path.display());
    let mut reader =
        ImageReader::open(path).with_context(named)?.with_guessed_format().with_context(named)?;
    if reader.format().is_none() {
        bail!("picture {}: it is neither JPEG nor PNG; convert it to one of them", path.display());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PX);
    limits.max_image_height = Some(MAX_SIDE_PX);
    limits.max_alloc = Some(DECODED_MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().with_context(named)?;
    let orientation = decoder.orientation().with_context(named)?;
    let mut image = DynamicImage::from_decoder(decoder)
        .with_context(|| format!("{}: it is damaged or cut short; copy or take it again", named()))?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    if width < MIN_CROP_PX || height < MIN_CROP_PX {
        bail!("{}: {width} x {height} px show nothing; at least 8 x 8 px are needed", named());
    }
    Ok(image.into_rgb8())
}

/// The picture as a frame.
///
/// # Errors
/// Never for a picture from [`read`].
pub fn frame(image: &RgbImage) -> anyhow::Result<FrameView<'_>> {
    let (width, height) = image.dimensions();
    Ok(FrameView::new(image.as_raw(), width, height, width as usize * 3, ColourOrder::Rgb)?)
}

/// A model that finds things in pictures, whichever things it is for.
enum Finder {
    People { detector: PersonDetector, threshold: f64 },
    Handling(ProductDetector),
}

impl Finder {
    fn load(
        runtime: &Runtime,
        registry: &Registry,
        wanted: &DetectorConfig,
        frame_px: [u32; 2],
        threads: usize,
    ) -> anyhow::Result<Self> {
        if registry.manifest().model(&wanted.model)?.task == Task::Handling {
            let input = vision::input_size(wanted, frame_px);
            let score_min = wanted.score_min.map(|s| s as f32);
            let options = DetectorOptions { threads, input, score_min, ..DetectorOptions::default() };
            return Ok(Self::Handling(registry.product_detector(runtime, &wanted.model, &options)?));
        }
        let threshold = vision::threshold(registry, wanted)?;
        Ok(Self::People {
            detector: vision::person_detector(runtime, registry, wanted, frame_px, threads)?,
            threshold,
        })
    }

    /// Boxes in the picture's pixels, strongest first; those of products and hands say which they are.
    fn find(&mut self, picture: &FrameView<'_>) -> anyhow::Result<Vec<serde_json::Value>> {
        let person = |d: &Detection| {
            let b = d.bbox;
            serde_json::json!({ "x": b.x, "y": b.y, "w": b.w, "h": b.h, "score": d.score })
        };
        Ok(match self {
            Self::People { detector, threshold } => {
                detector.detect(picture)?.iter().filter(|d| d.score >= *threshold).map(person).collect()
            }
            Self::Handling(detector) => detector
                .detect(picture)?
                .iter()
                .map(|f| {
                    let mut line = person(&Detection { bbox: f.bbox, score: f.score });
                    line["class"] = f.thing.name().into();
                    line
                })
                .collect(),
        })
    }
}

/// Finds people, or products and hands, in picture files: a line of JSON for each, boxes in the picture's pixels,
/// strongest first.
///
/// # Errors
/// When the model is unusable, and at the end when a picture was.
pub fn detect(
    images: &[PathBuf],
    wanted: &DetectorConfig,
    threads: usize,
    mut print: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (runtime, registry) = (paths::runtime()?, paths::registry()?);
    let mut finder: Option<([u32; 2], Finder)> = None;
    let mut refused = 0;
    for path in images {
        let image = match read(path) {
            Ok(image) => image,
            Err(error) => {
                refused += 1;
                tracing::error!("{error:#}");
                continue;
            }
        };
        let size = [image.width(), image.height()];
        let (_, ready) = match finder.take().filter(|(px, _)| *px == size) {
            Some(same) => finder.insert(same),
            None => finder.insert((size, Finder::load(&runtime, &registry, wanted, size, threads)?)),
        };
        let boxes = ready.find(&frame(&image)?)?;
        print(&format!("{}\n", serde_json::json!({ "image": path.display().to_string(), "boxes": boxes })))?;
    }
    if refused > 0 {
        bail!("{refused} of {} pictures could not be read; they are named above", images.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let sound = folder.path().join("sound.png");
        RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 90])).save(&sound).unwrap();
        assert_eq!(read(&sound).unwrap().dimensions(), (40, 30));
        let bytes = std::fs::read(&sound).unwrap();
        let tiny = folder.path().join("tiny.png");
        RgbImage::new(3, 40).save(&tiny).unwrap();

        for (name, content, said) in [
            ("cut.png", &bytes[..bytes.len() / 2], "damaged or cut short"),
            ("head.png", &bytes[..12], "picture"),
            ("text.jpg", &b"hello"[..], "picture"),
            ("empty.jpg", &b""[..], "picture"),
            ("text.bin", &b"hello"[..], "neither JPEG nor PNG"),
            ("tiny.png", &std::fs::read(&tiny).unwrap()[..], "3 x 40 px show nothing"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let refusal = format!("{:#}", read(&path).unwrap_err());
            assert!(refusal.contains(said) && refusal.contains(name), "{name}: {refusal}");
        }
        assert!(format!("{:#}", read(&folder.path().join("none.jpg")).unwrap_err()).contains("none.jpg"));
    }

    #[test]
    fn other_channel_counts_become_three() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grey.png");
        image::GrayImage::from_pixel(20, 20, image::Luma([77])).save(&path).unwrap();
        assert_eq!(read(&path).unwrap().get_pixel(3, 3).0, [77; 3]);
        let path = folder.path().join("alpha.png");
        image::RgbaImage::from_pixel(20, 20, image::Rgba([1, 2, 3, 4])).save(&path).unwrap();
        assert_eq!(read(&path).unwrap().get_pixel(3, 3).0, [1, 2, 3]);
    }
}
