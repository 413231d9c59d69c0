//! Does a model give on this device what it gave where it was made?
//!
//! Every model is shown one picture, made by integer arithmetic and so the same everywhere, and its outputs are summed
//! up: mean, root mean square and largest value of each. The manifest has the numbers that the model gave where it was
//! made. Another processor rounds differently (tolerance 1 %, more for a model in eight-bit arithmetic); a wrong execution provider, a miscompiled library or
//! other weights do not come near.

use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::Tensor;

use crate::detector::{self, InputSize};
use crate::error::{ModelError, Result};
use crate::frame::FrameView;
use crate::letterbox::Letterbox;
use crate::manifest::{ColourOrder, ModelEntry, Task};
use crate::registry::Registry;
use crate::runtime::{Provider, Runtime};

/// Numbers of an output's summary.
const SUMMARY: usize = 3;

/// Any model, bare: shown the golden picture again and again.
#[derive(Debug)]
pub struct Probe {
    name: String,
    expected: Vec<f64>,
    tolerance: f64,
    outputs: Vec<String>,
    session: Session,
    input: Tensor<f32>,
}

impl Probe {
    /// Loads a model of the registry, verified, at its default size.
    ///
    /// # Errors
    /// When the model is unknown, missing or altered, or cannot be run with this provider.
    pub fn load(
        registry: &Registry,
        runtime: &Runtime,
        name: &str,
        threads: usize,
        provider: Provider,
    ) -> Result<Self> {
        let model = registry.manifest().model(name)?;
        Self::new(runtime, model, &registry.verified_bytes(model)?, threads, provider)
    }

    fn new(
        runtime: &Runtime,
        model: &ModelEntry,
        bytes: &[u8],
        threads: usize,
        provider: Provider,
    ) -> Result<Self> {
        let sides = InputSize::ModelDefault.resolve(model)?;
        let session = detector::session(runtime, model, bytes, sides, threads, provider)?;
        let mut input = detector::input_tensor(model, sides)?;
        let pixels = picture();
        let frame = FrameView::new(&pixels, SIDE_PX, SIDE_PX, 3 * SIDE_PX as usize, ColourOrder::Rgb)?;
        let mut letterbox = match model.task {
            Task::Person | Task::Handling => Letterbox::new(&model.input, sides[0], sides[1]),
            Task::Product => Letterbox::stretched(&model.input, sides[0], sides[1]),
        };
        letterbox.fill(&frame, input.extract_tensor_mut().1);
        Ok(Self {
            name: model.name.clone(),
            expected: model.golden.clone(),
            tolerance: model.golden_tolerance,
            outputs: model.outputs.iter().map(|o| o.name.clone()).collect(),
            session,
            input,
        })
    }

    /// Runs the model once, and gives the time.
    ///
    /// # Errors
    /// When ONNX Runtime fails.
    pub fn time(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let ran = self.session.run(ort::inputs![&self.input]);
        let took = begun.elapsed();
        ran.map(|_| took).map_err(|e| failed(&self.name, "run", &e.to_string()))
    }

    /// Summary of what the model gives here for the golden picture.
    ///
    /// # Errors
    /// When ONNX Runtime fails.
    pub fn summary(&mut self) -> Result<Vec<f64>> {
        let name = &self.name;
        let outputs =
            self.session.run(ort::inputs![&self.input]).map_err(|e| failed(name, "run", &e.to_string()))?;
        let mut all = Vec::new();
        for wanted in &self.outputs {
            let value = outputs.get(wanted).ok_or_else(|| failed(name, "run", "an output is missing"))?;
            let (_, data) =
                value.try_extract_tensor::<f32>().map_err(|e| failed(name, "read", &e.to_string()))?;
            let count = data.len().max(1) as f64;
            let numbers = data.iter().map(|v| f64::from(*v));
            all.push(numbers.clone().sum::<f64>() / count);
            all.push((numbers.clone().map(|v| v * v).sum::<f64>() / count).sqrt());
            all.push(numbers.fold(f64::NEG_INFINITY, f64::max));
        }
        Ok(all)
    }

    /// Compares with what the manifest says.
    ///
    /// # Errors
    /// [`ModelError::Golden`] when they differ, or the manifest says nothing.
    pub fn check(&mut self) -> Result<()> {
        let found = self.summary()?;
        match difference(&self.expected, &found, self.tolerance) {
            None => Ok(()),
            Some(what) => Err(ModelError::Golden { name: self.name.clone(), what }),
        }
    }
}

fn failed(name: &str, operation: &'static str, reason: &str) -> ModelError {
    ModelError::Session { name: name.into(), operation, reason: reason.into() }
}

/// How two summaries differ, if they do.
fn difference(expected: &[f64], found: &[f64], tolerance: f64) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} numbers expected, {} found", expected.len(), found.len()));
    }
    let outputs = expected.chunks(SUMMARY).zip(found.chunks(SUMMARY)).enumerate();
    for (output, (wanted, got)) in outputs {
        let allowed = tolerance * wanted.get(1).copied().unwrap_or_default().abs();
        let largest = wanted.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // A NaN is never below anything.
        if !(largest <= allowed && got.iter().all(|v| v.is_finite())) {
            return Some(format!("output {output} is summed up as {got:?}, expected {wanted:?}"));
        }
    }
    None
}

const SIDE_PX: u32 = 256;

/// Stripes, discs and a gradient in many colours.
fn picture() -> Vec<u8> {
    let side = i64::from(SIDE_PX);
    let mut out = Vec::with_capacity((3 * side * side) as usize);
    for y in 0..side {
        for x in 0..side {
            for c in 0..3 {
                let mut value = (x * (c + 1) / 2 + y * (3 - c) / 3) % 256;
                if (x - 90).pow(2) + (y - 110).pow(2) < 55 * 55 {
                    value = 220 - 70 * c + (x / 6 + y / 9) % 2 * 30;
                }
                if (150..225).contains(&x) && (60..230).contains(&y) {
                    value = if y / 14 % 3 == c { 235 } else { 40 + 25 * c };
                }
                out.push(value.clamp(0, 255) as u8);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_differ_beyond_rounding_only() {
        let expected = [0.1, 0.5, 0.9, -3.0, 20.0, 55.0];
        let same = [0.1004, 0.4996, 0.9, -3.1, 20.1, 55.1];
        assert_eq!(difference(&expected, &same, 0.01), None);
        assert!(difference(&expected, &same, 0.001).is_some());
        for (found, said) in [
            (&[0.1, 0.5, 0.96, -3.0, 20.0, 55.0][..], "output 0"),
            (&[0.1, 0.5, 0.9, -3.0, 20.0, 56.0][..], "output 1"),
            (&[0.1, 0.5, f64::NAN, -3.0, 20.0, 55.0][..], "output 0"),
            (&[0.1, 0.5, 0.9][..], "6 numbers expected, 3 found"),
        ] {
            let what = difference(&expected, found, 0.01).unwrap();
            assert!(what.contains(said), "{what}");
        }
    }
}
