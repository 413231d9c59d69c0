//! A model that finds products and hands, whatever the product: a crop in, boxes in the crop's pixels out.
//!
//! It is asked now and then, about crops of any size; a crop of another shape than the model's input is padded.

use linefree_domain::geometry::PixelBox;
use ort::session::Session;
use ort::value::Tensor;

use crate::detector::{self, DetectorOptions};
use crate::error::{ModelError, Result};
use crate::frame::FrameView;
use crate::heads::{self, Candidate, InputPx, WrongLength};
use crate::letterbox::Letterbox;
use crate::manifest::{ModelEntry, Task};
use crate::runtime::Runtime;
use crate::suppression::suppress;

/// Down-sampling of the model's maps.
const STRIDE: usize = 8;

/// What a box is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A product, which one is not said.
    Product,
    /// A hand, without its arm.
    Hand,
}

impl Thing {
    /// Every thing, in the order of the model's planes.
    pub const ALL: [Self; 2] = [Self::Product, Self::Hand];

    /// Its name in files: `product` or `hand`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Hand => "hand",
        }
    }
}

/// A product or a hand in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Which of the two.
    pub thing: Thing,
    /// Where, pixels of the picture; clipped to it.
    pub bbox: PixelBox,
    /// How sure, 0 to 1.
    pub score: f64,
}

/// Finds products and hands. One at a time; make one for each thread.
#[derive(Debug)]
pub struct ProductDetector {
    name: String,
    outputs: [String; 2],
    input_px: InputPx,
    score_min: f32,
    nms_iou: f32,
    session: Session,
    input: Tensor<f32>,
    letterbox: Letterbox,
    candidates: Vec<Candidate>,
    found: Vec<Found>,
}

impl ProductDetector {
    pub(crate) fn new(
        runtime: &Runtime,
        model: &ModelEntry,
        bytes: &[u8],
        options: &DetectorOptions,
    ) -> Result<Self> {
        let name = &model.name;
        let (Task::Handling, [heat, size]) = (model.task, model.outputs.as_slice()) else {
            return Err(ModelError::WrongTask {
                name: name.clone(),
                found: model.task.to_string(),
                asked: Task::Handling.to_string(),
            });
        };
        let sides = options.input.resolve(model)?;
        let session =
            detector::checked_session(runtime, model, bytes, sides, options.threads, options.provider)?;
        Ok(Self {
            name: name.clone(),
            outputs: [heat.name.clone(), size.name.clone()],
            input_px: InputPx { width: sides[0] as usize, height: sides[1] as usize },
            score_min: options.score_min.unwrap_or(model.score_min),
            nms_iou: model.nms_iou,
            session,
            input: detector::input_tensor(model, sides)?,
            letterbox: Letterbox::new(&model.input, sides[0], sides[1]),
            candidates: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Products and hands in a picture, strongest first.
    ///
    /// # Errors
    /// When ONNX Runtime fails, or the model's outputs have other sizes than its head expects.
    pub fn detect(&mut self, picture: &FrameView<'_>) -> Result<&[Found]> {
        let (_, tensor) = self.input.extract_tensor_mut();
        self.letterbox.fill(picture, tensor);
        let failed =
            |reason: String| ModelError::Session { name: self.name.clone(), operation: "run", reason };
        let outputs = self.session.run(ort::inputs![&self.input]).map_err(|e| failed(e.to_string()))?;
        let values = |output: usize| -> Result<&[f32]> {
            let value = outputs.get(&self.outputs[output]);
            let value = value.ok_or_else(|| failed(format!("the model gave no output {output}")))?;
            value.try_extract_tensor::<f32>().map(|(_, data)| data).map_err(|e| failed(e.to_string()))
        };
        let wrong = |wrong: WrongLength| {
            let WrongLength { output, expected, found } = wrong;
            failed(format!("output {output} has {found} values, {expected} are expected at this input size"))
        };
        let (heat, size) = (values(0)?, values(1)?);
        let (columns, rows) = self.input_px.cells(STRIDE);
        let plane = columns * rows;
        heads::expect_len(0, heat, Thing::ALL.len() * plane).map_err(wrong)?;
        let scale = f64::from(self.letterbox.scale());
        let (width_px, height_px) = (f64::from(picture.width_px()), f64::from(picture.height_px()));
        self.found.clear();
        // Each kind by itself: a hand over a product hides no product.
        for (thing, heat) in Thing::ALL.into_iter().zip(heat.chunks_exact(plane)) {
            self.candidates.clear();
            heads::decode_centernet(self.input_px, STRIDE, heat, size, self.score_min, &mut self.candidates)
                .map_err(wrong)?;
            suppress(&mut self.candidates, self.nms_iou);
            let boxes =
                self.candidates.iter().filter_map(|c| detector::to_frame(c, scale, width_px, height_px));
            self.found.extend(boxes.map(|d| Found { thing, bbox: d.bbox, score: d.score }));
        }
        self.found.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(&self.found)
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.name
    }

    /// The threshold in force.
    #[must_use]
    pub fn score_min(&self) -> f32 {
        self.score_min
    }
}
