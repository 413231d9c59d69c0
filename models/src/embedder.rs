//! How a product looks, as a unit vector: crop in, [`Embedding`] out.
//!
//! A crop is stretched to the model's square, since the model was trained on crops of every shape. Two crops of one
//! product have a high cosine. What it means for a name is the business of [`crate::Gallery`].
//!
//! Limits: one embedder runs on one thread at a time. A crop of less than 8 x 8 px is refused by
//! [`FrameView::crop`]; an output that is no unit vector is an error, never a silent answer.

use ort::session::Session;
use ort::value::Tensor;

use crate::detector::{self, InputSize};
use crate::error::{ModelError, Result};
use crate::frame::FrameView;
use crate::letterbox::Letterbox;
use crate::manifest::{ModelEntry, Task};
use crate::runtime::{Provider, Runtime};

/// A unit vector. Embeddings of one model compare by their dot product.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Scales a vector to length 1; `None` when it has no direction.
    #[must_use]
    pub fn of(mut vector: Vec<f32>) -> Option<Self> {
        let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length < 1e-6 {
            return None;
        }
        vector.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        Some(Self(vector))
    }

    /// Its numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// Cosine of the angle between two, -1 to 1.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }
}

/// A product model ready to run.
#[derive(Debug)]
pub struct ProductEmbedder {
    name: String,
    digest: String,
    output: String,
    length: usize,
    session: Session,
    input: Tensor<f32>,
    letterbox: Letterbox,
}

impl ProductEmbedder {
    pub(crate) fn new(
        runtime: &Runtime,
        model: &ModelEntry,
        bytes: &[u8],
        threads: usize,
        provider: Provider,
    ) -> Result<Self> {
        let name = &model.name;
        let (Task::Product, [output]) = (model.task, model.outputs.as_slice()) else {
            return Err(ModelError::WrongTask {
                name: name.clone(),
                found: model.task.to_string(),
                asked: Task::Product.to_string(),
            });
        };
        let sides = InputSize::ModelDefault.resolve(model)?;
        let session = detector::checked_session(runtime, model, bytes, sides, threads, provider)?;
        let length = model.embedding_length();
        let input = detector::input_tensor(model, sides)?;
        Ok(Self {
            name: name.clone(),
            digest: model.sha256.clone(),
            output: output.name.clone(),
            length,
            session,
            input,
            letterbox: Letterbox::stretched(&model.input, sides[0], sides[1]),
        })
    }

    /// How the crop looks.
    ///
    /// # Errors
    /// When ONNX Runtime fails, or what it gives is no unit vector of the manifest's length.
    pub fn embed(&mut self, crop: &FrameView<'_>) -> Result<Embedding> {
        let (_, tensor) = self.input.extract_tensor_mut();
        self.letterbox.fill(crop, tensor);
        let failed =
            |reason: String| ModelError::Session { name: self.name.clone(), operation: "run", reason };
        let outputs = self.session.run(ort::inputs![&self.input]).map_err(|e| failed(e.to_string()))?;
        let value = outputs.get(&self.output).ok_or_else(|| failed("no embedding came out".into()))?;
        let (_, numbers) = value.try_extract_tensor::<f32>().map_err(|e| failed(e.to_string()))?;
        if numbers.len() != self.length {
            return Err(failed(format!("{} numbers, {} expected", numbers.len(), self.length)));
        }
        Embedding::of(numbers.to_vec()).ok_or_else(|| failed("the embedding has no direction".into()))
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the model: embeddings of different models do not compare.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Numbers of an embedding.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}
