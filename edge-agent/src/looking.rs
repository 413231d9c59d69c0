//! What was handled, by sight: on a shelf event, a look back at the place in a camera's recent frames.
//!
//! Nothing runs until a shelf tells of a change. Then the box that a reach needs around the plate is projected into the
//! image, and two kinds of crops are looked at: frames from during the handling, for a product in or beside a hand; and
//! one from before and one from after, for the product on the shelf face that is there in one only. What is found is
//! compared with the enrolled products whose weight or place suits the change. Only likelihoods come out.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use anyhow::{Context, bail};
use linefree_domain::attribution::ProductView;
use linefree_domain::geometry::PixelBox;
use linefree_domain::ids::{CameraIndex, ProductIndex, Sku};
use linefree_domain::layout::{Camera, StoreLayout};
use linefree_domain::shelf::ShelfEvent;
use linefree_domain::time::StoreTime;
use linefree_models::{
    DetectorOptions, Found, FrameView, Gallery, ProductDetector, ProductEmbedder, Provider, Recogniser,
    Recognition, Registry, Runtime, Thing,
};
use linefree_recording::VisionConfig;
use nalgebra::Vector3;

use crate::frames::{Kept, RecentFrames};

/// A shelf event waits this long for the views of what was handled, seconds from its end. Looking begins
/// `AFTER_S` after the end; the rest is the way of the event to the camera and of the view to the floor.
pub const VIEWS_WAIT_S: f64 = 2.5;
/// The shelf face is looked at this long after the end of a handling, and before its beginning, seconds.
const AFTER_S: f64 = 0.6;
/// Hands are looked for this long before the first and after the last change of weight, seconds.
const AROUND_S: f64 = 0.5;
/// Frames of a handling that are looked at.
const REACH_FRAMES: usize = 6;
/// What a reach needs around the middle of a plate: to each side, and below and above it, metres.
const ASIDE_M: f64 = 0.35;
const BELOW_M: f64 = 0.10;
const ABOVE_M: f64 = 0.40;
/// Smaller crops show no product that could be told from another, pixels.
const CROP_MIN_PX: f64 = 40.0;
/// At least this much of the box must be in the image.
const IN_VIEW: f64 = 0.5;
/// A product touches a hand if their boxes do when the hand's is widened by this share.
const HAND_WIDENED: f64 = 0.25;
/// Mean difference of a face's pixels before and after from which on something was taken there or put, of 255.
const CHANGED: f64 = 22.0;
/// A product's weight suits a change within this many standard deviations.
const WEIGHT_SDS: f64 = 3.5;
/// Uncertainty of every weight that no scale states, grams.
const WEIGHT_SLACK_G: f64 = 1.0;
/// At most so many of a product are thought of as moved at once.
const COUNT_MAX: u32 = 6;
/// Products that one look compares at most; more say that weight and place tell nothing.
const CANDIDATES_MAX: usize = 32;
/// Events that wait for their look at most; the oldest make room.
const ASKED_MAX: usize = 64;

/// What looking has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookCounts {
    /// Shelf events at places in view.
    pub asked: u64,
    /// Those of which something was told.
    pub told: u64,
    /// Those at which fewer than two enrolled products were possible: nothing to tell apart.
    pub certain: u64,
    /// Those of which no product was to be seen.
    pub unseen: u64,
    /// Those that came when the frames were gone.
    pub late: u64,
}

impl LookCounts {
    /// Adds another camera's.
    pub fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.told += other.told;
        self.certain += other.certain;
        self.unseen += other.unseen;
        self.late += other.late;
    }
}

/// One camera's looks at shelves.
#[derive(Debug)]
pub struct Looker {
    camera: CameraIndex,
    frames: RecentFrames,
    detector: ProductDetector,
    embedder: ProductEmbedder,
    recogniser: Recogniser,
    enrolled: BTreeMap<ProductIndex, Sku>,
    asked: VecDeque<ShelfEvent>,
    counts: LookCounts,
}

impl Looker {
    /// For one camera, with the gallery and the models that a store asks for.
    ///
    /// # Errors
    /// When the gallery is missing, damaged or of another model, no product of the store is enrolled in it, or a model
    /// is unusable.
    pub fn load(
        runtime: &Runtime,
        registry: &Registry,
        wanted: &VisionConfig,
        layout: &StoreLayout,
        camera: CameraIndex,
    ) -> anyhow::Result<Self> {
        let entry = registry.manifest().model(&wanted.model)?;
        let Some(config) = entry.recogniser else {
            bail!("[vision] model {} is for {}, not for recognising products", wanted.model, entry.task);
        };
        let gallery = Gallery::read(&wanted.gallery, &wanted.model, &entry.sha256, entry.embedding_length())?;
        let gallery = gallery.with_context(|| absent(&wanted.gallery))?;
        let enrolled: BTreeMap<ProductIndex, Sku> = layout
            .products
            .iter()
            .enumerate()
            .filter(|(_, p)| gallery.products().contains_key(&p.sku))
            .map(|(i, p)| (ProductIndex(i), p.sku.clone()))
            .collect();
        if enrolled.is_empty() {
            bail!(
                "[vision] gallery {}: none of its products is one of store.toml; enrol them by their SKUs",
                wanted.gallery.display()
            );
        }
        let detector = registry
            .product_detector(runtime, &wanted.detector, &DetectorOptions::default())
            .with_context(|| format!("[vision] detector {:?}", wanted.detector))?;
        let embedder = registry.product_embedder(runtime, &wanted.model, 1, Provider::Cpu)?;
        Ok(Self {
            camera,
            frames: RecentFrames::new(wanted.memory_mb as usize * 1_000_000),
            detector,
            embedder,
            recogniser: Recogniser::new(&gallery, config),
            enrolled,
            asked: VecDeque::new(),
            counts: LookCounts::default(),
        })
    }

    /// Where the camera's frames are kept.
    pub fn frames_mut(&mut self) -> &mut RecentFrames {
        &mut self.frames
    }

    /// What looking has come to.
    #[must_use]
    pub fn counts(&self) -> LookCounts {
        self.counts
    }

    /// Asks for a look at what was handled; answered by [`Self::views`] when the time has come.
    pub fn ask(&mut self, event: ShelfEvent) {
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(event);
    }

    /// Looks at what was asked about and is over by `now`, the time of the newest frame.
    ///
    /// # Errors
    /// When a model fails.
    pub fn views(&mut self, now: StoreTime, layout: &StoreLayout) -> anyhow::Result<Vec<ProductView>> {
        let mut views = Vec::new();
        let ripe = |event: &ShelfEvent| now.seconds_since(event.end()) >= AFTER_S;
        while let Some(at) = self.asked.iter().position(ripe) {
            if let Some(event) = self.asked.remove(at) {
                views.extend(self.look(&event, layout)?);
            }
        }
        Ok(views)
    }

    fn look(&mut self, event: &ShelfEvent, layout: &StoreLayout) -> anyhow::Result<Option<ProductView>> {
        let Some(most) = event.changes.iter().max_by(|a, b| a.delta_g.abs().total_cmp(&b.delta_g.abs()))
        else {
            return Ok(None);
        };
        let plate = &layout.plates[most.plate.0];
        let Some(place) = reach_box(&layout.cameras[self.camera.0], plate.centre.coords) else {
            return Ok(None);
        };
        self.counts.asked += 1;
        let candidates = self.candidates(event, layout);
        if candidates.len() < 2 {
            self.counts.certain += 1;
            return Ok(None);
        }
        let Self { frames, detector, embedder, recogniser, counts, .. } = self;
        let (from, to) = (event.start().plus_s(-AROUND_S), event.end().plus_s(AROUND_S));
        let during: Vec<&Kept> = frames.between(from, to).collect();
        if during.is_empty() {
            counts.late += 1;
            return Ok(None);
        }
        let size_px = layout.cameras[self.camera.0].size_px;
        let mut shown: Vec<(FrameView<'_>, f64)> = Vec::new();
        for kept in spread(&during, REACH_FRAMES) {
            let Ok(crop) = crop(kept, &place, size_px) else { continue };
            let found = detector.detect(&crop)?;
            shown.extend(held(found).filter_map(|f| Some((crop.crop(&f.bbox).ok()?, f.score))));
        }
        let before = frames.before(event.start().plus_s(-AFTER_S));
        let after = frames.after(event.end().plus_s(AFTER_S / 2.0));
        let [before, after] = [before, after].map(|kept| crop(kept?, &place, size_px).ok());
        if let (Some(before), Some(after)) = (before, after) {
            // What was lifted is there before, what was put is there afterwards.
            let (with, without) = if event.delta_g() < 0.0 { (before, after) } else { (after, before) };
            if let Some(f) = gone(detector.detect(&with)?, &with, &without)
                && let Ok(product) = with.crop(&f.bbox)
            {
                shown.push((product, f.score));
            }
        }
        let mut told = Vec::with_capacity(shown.len());
        for (product, score) in shown {
            told.push((recogniser.recognise(&embedder.embed(&product)?, Some(&candidates)), score));
        }
        let Some(likelihood) = joint(&told, &candidates) else {
            counts.unseen += 1;
            return Ok(None);
        };
        counts.told += 1;
        let likelihood = candidates.iter().zip(likelihood);
        let likelihood = likelihood.filter_map(|(sku, p)| Some((layout.product(sku.as_str())?, p))).collect();
        Ok(Some(ProductView { time: event.end(), place: plate.id.place().to_owned(), likelihood }))
    }

    /// The enrolled products that lie there or whose weight suits the change.
    fn candidates(&self, event: &ShelfEvent, layout: &StoreLayout) -> Vec<Sku> {
        let mut changes: Vec<(f64, f64)> = event.changes.iter().map(|c| (c.delta_g, c.sd_g)).collect();
        changes.push((event.delta_g(), event.sd_g()));
        let suits = |product: ProductIndex| {
            let weight = layout.products[product.0].weight;
            changes.iter().any(|(delta_g, sd_g)| {
                (1..=COUNT_MAX).any(|count| {
                    let count = f64::from(count);
                    let var = sd_g.powi(2) + count * weight.sd_g.powi(2) + WEIGHT_SLACK_G.powi(2);
                    (delta_g.abs() - count * weight.mean_g).abs() <= WEIGHT_SDS * var.sqrt()
                })
            })
        };
        let lies = |product: ProductIndex| {
            event.changes.iter().any(|c| layout.products_on(c.plate).any(|p| p == product))
        };
        let possible = self.enrolled.iter().filter(|(p, _)| suits(**p) || lies(**p));
        possible.map(|(_, sku)| sku.clone()).take(CANDIDATES_MAX).collect()
    }
}

/// What several crops of one handling say together of each candidate; `None` where they say nothing.
///
/// Crops count by their detector's score and by how likely they show a candidate at all. That none of them does is as
/// likely as if the square root of their number had been seen independently: they share light, angle and background.
fn joint(told: &[(Recognition, f64)], candidates: &[Sku]) -> Option<Vec<f64>> {
    let mut sums = vec![0.0; candidates.len()];
    for (seen, score) in told {
        for c in &seen.candidates {
            if let Some(i) = candidates.iter().position(|sku| *sku == c.sku) {
                sums[i] += score * c.p;
            }
        }
    }
    let whole: f64 = sums.iter().sum();
    if whole <= 0.0 {
        return None;
    }
    let logs: f64 = told.iter().map(|(seen, _)| seen.unknown.max(f64::MIN_POSITIVE).ln()).sum();
    let unknown = (logs / (told.len() as f64).sqrt()).exp();
    let even = unknown / candidates.len() as f64;
    Some(sums.into_iter().map(|sum| (1.0 - unknown) * sum / whole + even).collect())
}

fn absent(gallery: &Path) -> String {
    format!(
        "[vision] gallery {}: there is none; make it with `edge-agent enrol --gallery {} --sku GTIN IMAGES...`, \
         or remove [vision]",
        gallery.display(),
        gallery.display()
    )
}

/// Evenly spread, at most so many.
fn spread<'a>(all: &[&'a Kept], most: usize) -> impl Iterator<Item = &'a Kept> {
    let count = all.len().min(most);
    let chosen: Vec<&Kept> = (0..count).map(|i| all[i * all.len() / count]).collect();
    chosen.into_iter()
}

/// What a reach at this point needs of the image, in the calibration's pixels; `None` where the camera does not see it,
/// or sees it too small.
fn reach_box(camera: &Camera, centre: Vector3<f64>) -> Option<PixelBox> {
    let mut corners = Vec::with_capacity(8);
    for x in [-ASIDE_M, ASIDE_M] {
        for y in [-ASIDE_M, ASIDE_M] {
            for z in [-BELOW_M, ABOVE_M] {
                corners.push(camera.view.pixel_of((centre + Vector3::new(x, y, z)).into())?);
            }
        }
    }
    let [width, height] = camera.size_px.map(f64::from);
    let least = |v: fn(&nalgebra::Point2<f64>) -> f64| corners.iter().map(v).fold(f64::INFINITY, f64::min);
    let most = |v: fn(&nalgebra::Point2<f64>) -> f64| corners.iter().map(v).fold(f64::NEG_INFINITY, f64::max);
    let (x0, x1, y0, y1) = (least(|p| p.x), most(|p| p.x), least(|p| p.y), most(|p| p.y));
    let whole = PixelBox { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
    let seen = whole.overlap_px2(&PixelBox { x: 0.0, y: 0.0, w: width, h: height });
    let (cx0, cx1) = (x0.max(0.0), x1.min(width));
    let (cy0, cy1) = (y0.max(0.0), y1.min(height));
    let clipped = PixelBox { x: cx0, y: cy0, w: cx1 - cx0, h: cy1 - cy0 };
    let large = clipped.w >= CROP_MIN_PX && clipped.h >= CROP_MIN_PX;
    (whole.is_valid() && large && seen >= IN_VIEW * whole.area_px2()).then_some(clipped)
}

/// A box of the calibration's pixels as a view of a frame, which may be of another size.
fn crop<'a>(kept: &'a Kept, place: &PixelBox, size_px: [u32; 2]) -> linefree_models::Result<FrameView<'a>> {
    let frame = kept.view()?;
    let sx = f64::from(frame.width_px()) / f64::from(size_px[0].max(1));
    let sy = f64::from(frame.height_px()) / f64::from(size_px[1].max(1));
    frame.crop(&PixelBox { x: place.x * sx, y: place.y * sy, w: place.w * sx, h: place.h * sy })
}

/// Products in or beside a hand: of each hand, the one that overlaps it most.
fn held(found: &[Found]) -> impl Iterator<Item = &Found> {
    let hands = found.iter().filter(|f| f.thing == Thing::Hand);
    hands.filter_map(|hand| {
        let b = hand.bbox;
        let (dx, dy) = (b.w * HAND_WIDENED, b.h * HAND_WIDENED);
        let near = PixelBox { x: b.x - dx, y: b.y - dy, w: b.w + 2.0 * dx, h: b.h + 2.0 * dy };
        let share = |f: &Found| near.overlap_px2(&f.bbox) / f.bbox.area_px2().max(1.0) * f.score;
        found
            .iter()
            .filter(|f| f.thing == Thing::Product && near.overlap_px2(&f.bbox) > 0.0)
            .max_by(|a, b| share(a).total_cmp(&share(b)))
    })
}

/// Of the products in one crop, the one whose pixels differ most in the other; `None` where none differs much.
fn gone<'a>(found: &'a [Found], with: &FrameView<'_>, without: &FrameView<'_>) -> Option<&'a Found> {
    let products = found.iter().filter(|f| f.thing == Thing::Product);
    products
        .filter_map(|f| Some((f, difference(&with.crop(&f.bbox).ok()?, &without.crop(&f.bbox).ok()?)?)))
        .filter(|(_, much)| *much >= CHANGED)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(f, _)| f)
}

/// Mean absolute difference of two crops of one size, of 255.
fn difference(a: &FrameView<'_>, b: &FrameView<'_>) -> Option<f64> {
    if (a.width_px(), a.height_px()) != (b.width_px(), b.height_px()) {
        return None;
    }
    let rows = 0..a.height_px() as usize;
    let sum: u64 = rows
        .map(|y| a.row(y).iter().zip(b.row(y)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>())
        .sum();
    Some(sum as f64 / f64::from(a.width_px()) / f64::from(a.height_px()) / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skus() -> [Sku; 2] {
        ["a", "b"].map(|s| Sku::new(s).unwrap())
    }

    fn told(p: [f64; 2]) -> (Recognition, f64) {
        let candidates = skus().into_iter().zip(p).map(|(sku, p)| linefree_models::Candidate { sku, p });
        (Recognition { candidates: candidates.collect(), unknown: 1.0 - p[0] - p[1] }, 0.5)
    }

    #[test]
    fn crops_that_agree_say_more_than_one_and_those_that_do_not_say_less() {
        assert_eq!(joint(&[], &skus()), None);
        let of = |all: &[[f64; 2]]| {
            let all: Vec<_> = all.iter().map(|p| told(*p)).collect();
            let joint = joint(&all, &skus()).unwrap();
            assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{joint:?}");
            joint[0]
        };
        let one = of(&[[0.7, 0.1]]);
        assert!((one - 0.8).abs() < 1e-9, "one crop says what its recognition does: {one}");
        let four = of(&[[0.7, 0.1]; 4]);
        assert!(four > one && four < 0.7 / 0.8, "{four}");
        assert!((of(&[[0.7, 0.1], [0.1, 0.7]]) - 0.5).abs() < 1e-9);
        assert!((of(&[[0.7, 0.1], [0.0, 0.0]]) - one).abs() < 0.11, "a bare hand changes little");
    }

    #[test]
    fn of_each_hand_the_product_that_it_holds() {
        let found =
            |thing, x: f64, w: f64, score| Found { thing, bbox: PixelBox { x, y: 0.0, w, h: 40.0 }, score };
        let all = [
            found(Thing::Hand, 100.0, 40.0, 0.6),
            found(Thing::Product, 0.0, 40.0, 0.9),
            found(Thing::Product, 145.0, 40.0, 0.9),
            found(Thing::Product, 110.0, 30.0, 0.5),
        ];
        let chosen: Vec<f64> = held(&all).map(|f| f.bbox.x).collect();
        assert_eq!(chosen, [110.0]);
        assert_eq!(held(&all[1..]).count(), 0);
    }

    #[test]
    fn what_changed_on_the_shelf_face_is_found() {
        let frame = |dark: bool| {
            let pixel = |x: usize| if dark && x < 20 { 10 } else { 200 };
            (0..60 * 40).flat_map(|i| [pixel(i % 60); 3]).collect::<Vec<u8>>()
        };
        let (with, without) = (frame(true), frame(false));
        let view = |data| FrameView::new(data, 60, 40, 180, linefree_models::ColourOrder::Bgr).unwrap();
        let found = [0.0, 30.0].map(|x| Found {
            thing: Thing::Product,
            bbox: PixelBox { x, y: 5.0, w: 20.0, h: 30.0 },
            score: 0.5,
        });
        assert_eq!(gone(&found, &view(&with), &view(&without)), Some(&found[0]));
        assert_eq!(gone(&found, &view(&with), &view(&with)), None);
    }
}
