//! A person model ready to run: frame in, boxes in the frame's pixels out.
//!
//! One detector serves one camera, on one thread at a time. After the first frame of a size nothing of ours is
//! allocated: the letterbox writes into the session's own input tensor, candidates and detections are kept in
//! reused buffers. (ONNX Runtime allocates its outputs from its own arena.)

use std::time::{Duration, Instant};

use linefree_domain::geometry::PixelBox;
use linefree_domain::tracking::Detection;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use crate::error::{ModelError, Result};
use crate::frame::FrameView;
use crate::heads::{self, Candidate, Head, InputPx};
use crate::letterbox::Letterbox;
use crate::manifest::{Dim, InputSpec, Layout, ModelEntry, Task};
use crate::runtime::{Provider, Runtime};
use crate::signature::{self, TensorInfo};
use crate::suppression::suppress;

/// Largest side of a model's input, pixels.
const MAX_INPUT_SIDE_PX: u32 = 4_096;

/// At most this many threads: more than any machine this runs on has use for.
const MAX_THREADS: usize = 64;

/// Down-sampling of CenterNet's maps of people.
const PERSON_STRIDE: usize = 4;

/// How a detector is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorOptions {
    /// Threads of one run, 1 to 64.
    pub threads: usize,
    /// Size of the model's input.
    pub input: InputSize,
    /// Score below which detections are dropped; `None`: the model's own.
    pub score_min: Option<f32>,
    /// What runs it.
    pub provider: Provider,
}

impl Default for DetectorOptions {
    /// One thread of the processor, the model's own size and threshold.
    fn default() -> Self {
        Self { threads: 1, input: InputSize::ModelDefault, score_min: None, provider: Provider::Cpu }
    }
}

/// Size of a model's input. Models of fixed size accept their own only, or one that adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSize {
    /// The manifest's `default_px`.
    ModelDefault,
    /// Exactly this.
    Exact {
        /// Width, pixels.
        width_px: u32,
        /// Height, pixels.
        height_px: u32,
    },
    /// The shape of these frames, so that no part of the input is padding, with about as many pixels as the
    /// manifest's `default_px`. A model of fixed size stays as it is.
    ShapedAs {
        /// Width of the frames, pixels.
        frame_width_px: u32,
        /// Height of the frames, pixels.
        frame_height_px: u32,
    },
}

impl InputSize {
    /// Width and height for this model.
    pub(crate) fn resolve(self, model: &ModelEntry) -> Result<[u32; 2]> {
        let spec = &model.input;
        let [width_px, height_px] = match self {
            Self::ModelDefault => spec.default_px,
            Self::Exact { width_px, height_px } => [width_px, height_px],
            Self::ShapedAs { frame_width_px, frame_height_px } => {
                shaped(spec, frame_width_px.max(1), frame_height_px.max(1))
            }
        };
        let refuse =
            |why: String| Err(ModelError::InputSize { name: model.name.clone(), width_px, height_px, why });
        let sides = [width_px, height_px];
        let dims = spec.height_and_width().map_or([None, None], |(h, w)| [Some(w), Some(h)]);
        for (side, dim) in sides.into_iter().zip(dims) {
            match dim {
                Some(Dim::Fixed(fixed)) if *fixed != i64::from(side) => {
                    let [w, h] = spec.default_px;
                    return refuse(format!("this model's input is always {w} x {h}; leave the size out"));
                }
                _ if side == 0 || side > MAX_INPUT_SIDE_PX || side % spec.multiple_px != 0 => {
                    return refuse(format!(
                        "sides must be multiples of {} from {} to {MAX_INPUT_SIDE_PX}",
                        spec.multiple_px, spec.multiple_px
                    ));
                }
                _ => {}
            }
        }
        Ok(sides)
    }
}

/// The size of the frames' shape whose area is nearest to the default's.
fn shaped(spec: &InputSpec, frame_width_px: u32, frame_height_px: u32) -> [u32; 2] {
    let free = |dim: &Dim| matches!(dim, Dim::Free(_));
    if !spec.height_and_width().is_some_and(|(h, w)| free(h) && free(w)) {
        return spec.default_px;
    }
    let aspect = f64::from(frame_width_px) / f64::from(frame_height_px);
    let area = f64::from(spec.default_px[0]) * f64::from(spec.default_px[1]);
    let multiple = f64::from(spec.multiple_px);
    let largest = (f64::from(MAX_INPUT_SIDE_PX) / multiple).floor() * multiple;
    let round = |side: f64| ((side / multiple).round() * multiple).clamp(multiple, largest);
    // The height follows from the rounded width, and rounds up, so that the frame fills the width.
    let width = round((area * aspect).sqrt());
    let height = ((width / aspect / multiple - 1e-9).ceil() * multiple).clamp(multiple, largest);
    [width as u32, height as u32]
}

/// What the last frame cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimings {
    /// Letterbox and normalisation.
    pub preprocess: Duration,
    /// The model.
    pub run: Duration,
    /// Decoding and suppression.
    pub postprocess: Duration,
}

impl StageTimings {
    /// All stages.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.preprocess + self.run + self.postprocess
    }
}

/// Finds people in frames.
#[derive(Debug)]
pub struct PersonDetector {
    name: String,
    head: Head,
    input_px: InputPx,
    score_min: f32,
    nms_iou: f32,
    session: Session,
    /// Names of the outputs, in the head's order.
    output_names: Vec<String>,
    input: Tensor<f32>,
    letterbox: Letterbox,
    candidates: Vec<Candidate>,
    detections: Vec<Detection>,
    timings: StageTimings,
}

impl PersonDetector {
    pub(crate) fn new(
        runtime: &Runtime,
        model: &ModelEntry,
        bytes: &[u8],
        options: &DetectorOptions,
    ) -> Result<Self> {
        let name = &model.name;
        if model.task != Task::Person {
            return Err(ModelError::WrongTask {
                name: name.clone(),
                found: model.task.to_string(),
                asked: Task::Person.to_string(),
            });
        }
        let sides = options.input.resolve(model)?;
        let [width_px, height_px] = sides;
        let session = checked_session(runtime, model, bytes, sides, options.threads, options.provider)?;
        let output_names = model.outputs.iter().map(|o| o.name.clone()).collect();

        let (w, h) = (width_px as usize, height_px as usize);
        let input = input_tensor(model, sides)?;
        Ok(Self {
            name: name.clone(),
            head: model.head,
            input_px: InputPx { width: w, height: h },
            score_min: options.score_min.unwrap_or(model.score_min),
            nms_iou: model.nms_iou,
            session,
            output_names,
            input,
            letterbox: Letterbox::new(&model.input, width_px, height_px),
            candidates: Vec::with_capacity(heads::CANDIDATES_MAX),
            detections: Vec::with_capacity(heads::CANDIDATES_MAX),
            timings: StageTimings::default(),
        })
    }

    /// People in a frame, strongest first; boxes are clipped to the frame.
    ///
    /// # Errors
    /// When ONNX Runtime fails, or the model's outputs have other sizes than its head expects.
    pub fn detect(&mut self, frame: &FrameView<'_>) -> Result<&[Detection]> {
        let begun = Instant::now();
        let (_, tensor) = self.input.extract_tensor_mut();
        self.letterbox.fill(frame, tensor);
        let filled = Instant::now();

        let failed =
            |reason: String| ModelError::Session { name: self.name.clone(), operation: "run", reason };
        let outputs = self.session.run(ort::inputs![&self.input]).map_err(|e| failed(e.to_string()))?;
        let ran = Instant::now();

        self.candidates.clear();
        let decoding = Decoding {
            head: self.head,
            input: self.input_px,
            names: &self.output_names,
            score_min: self.score_min,
        };
        decoding.decode(&outputs, &mut self.candidates).map_err(failed)?;
        suppress(&mut self.candidates, self.nms_iou);
        let scale = f64::from(self.letterbox.scale());
        let (width_px, height_px) = (f64::from(frame.width_px()), f64::from(frame.height_px()));
        self.detections.clear();
        self.detections
            .extend(self.candidates.iter().filter_map(|c| to_frame(c, scale, width_px, height_px)));
        self.timings =
            StageTimings { preprocess: filled - begun, run: ran - filled, postprocess: ran.elapsed() };
        Ok(&self.detections)
    }

    /// Runs the bare session on what the input tensor holds, and gives the time: what [`Self::detect`] is measured
    /// against.
    ///
    /// # Errors
    /// When ONNX Runtime fails.
    pub fn run_bare(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let outputs = self.session.run(ort::inputs![&self.input]);
        let took = begun.elapsed();
        match outputs {
            Ok(_) => Ok(took),
            Err(e) => {
                let name = self.name.clone();
                Err(ModelError::Session { name, operation: "run", reason: e.to_string() })
            }
        }
    }

    /// What the last [`Self::detect`] cost.
    #[must_use]
    pub fn timings(&self) -> StageTimings {
        self.timings
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.name
    }

    /// Width and height of the model's input, pixels.
    #[must_use]
    pub fn input_px(&self) -> [u32; 2] {
        // Both were u32 when they came in.
        [self.input_px.width as u32, self.input_px.height as u32]
    }

    /// The threshold in force.
    #[must_use]
    pub fn score_min(&self) -> f32 {
        self.score_min
    }
}

/// A tensor of zeros as the model takes it, at this input size: filled anew for every run.
pub(crate) fn input_tensor(model: &ModelEntry, [width_px, height_px]: [u32; 2]) -> Result<Tensor<f32>> {
    let (w, h) = (width_px as usize, height_px as usize);
    let shape = match model.input.layout {
        Layout::Nchw => [1, 3, h, w],
        Layout::Nhwc => [1, h, w, 3],
    };
    Tensor::from_array((shape, vec![0.0_f32; 3 * w * h])).map_err(|e| ModelError::Session {
        name: model.name.clone(),
        operation: "make the input tensor",
        reason: e.to_string(),
    })
}

/// A session of the model's bytes, at this input size; threads beyond what is sensible are not asked for.
pub(crate) fn session(
    runtime: &Runtime,
    model: &ModelEntry,
    bytes: &[u8],
    [width_px, height_px]: [u32; 2],
    threads: usize,
    provider: Provider,
) -> Result<Session> {
    let refused = |e: ort::Error| ModelError::Session {
        name: model.name.clone(),
        operation: "make a session",
        reason: e.to_string(),
    };
    let mut builder = provider.register(
        prepared(runtime, model, [width_px, height_px], threads.clamp(1, MAX_THREADS)).map_err(refused)?,
    )?;
    builder.commit_from_memory(bytes).map_err(refused)
}

/// The same, of a model whose inputs and outputs are what its manifest says.
pub(crate) fn checked_session(
    runtime: &Runtime,
    model: &ModelEntry,
    bytes: &[u8],
    sides_px: [u32; 2],
    threads: usize,
    provider: Provider,
) -> Result<Session> {
    let session = session(runtime, model, bytes, sides_px, threads, provider)?;
    let describe = |outlets: &[Outlet]| outlets.iter().map(tensor_info).collect::<Vec<_>>();
    signature::check(model, &describe(session.inputs()), &describe(session.outputs()))?;
    Ok(session)
}

fn prepared(
    runtime: &Runtime,
    model: &ModelEntry,
    [width_px, height_px]: [u32; 2],
    threads: usize,
) -> ort::Result<SessionBuilder> {
    let mut builder: SessionBuilder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        // Waiting threads that spin take the cores from the rest of the edge machine.
        .with_intra_op_spinning(false)?
        .with_log_level(LogLevel::Error)?;
    if let Some((height, width)) = model.input.height_and_width() {
        for (dim, side_px) in [(height, height_px), (width, width_px)] {
            if let Dim::Free(symbol) = dim {
                builder = builder.with_dimension_override(symbol, i64::from(side_px))?;
            }
        }
    }
    Ok(builder)
}

fn tensor_info(outlet: &Outlet) -> TensorInfo {
    let (element, dims) = match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => ("f32".to_owned(), shape.to_vec()),
        ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
        other => (other.to_string(), Vec::new()),
    };
    TensorInfo { name: outlet.name().to_owned(), element, dims }
}

/// How outputs are read.
struct Decoding<'a> {
    head: Head,
    input: InputPx,
    names: &'a [String],
    score_min: f32,
}

impl Decoding<'_> {
    fn decode(&self, outputs: &SessionOutputs<'_>, out: &mut Vec<Candidate>) -> Result<(), String> {
        let values = |expected: usize| -> Result<&[f32], String> {
            // Session and manifest were compared when the detector was made.
            let value = self.names.get(expected).and_then(|name| outputs.get(name));
            let value = value.ok_or_else(|| format!("the model gave no output {expected}"))?;
            value.try_extract_tensor::<f32>().map(|(_, data)| data).map_err(|e| e.to_string())
        };
        match self.head {
            Head::Centernet => heads::decode_centernet(
                self.input,
                PERSON_STRIDE,
                values(0)?,
                values(1)?,
                self.score_min,
                out,
            ),
            Head::Yolox => heads::decode_yolox(self.input, values(0)?, self.score_min, out),
            Head::Nanodet => {
                let classes = [values(0)?, values(1)?, values(2)?];
                let boxes = [values(3)?, values(4)?, values(5)?];
                heads::decode_nanodet(self.input, classes, boxes, self.score_min, out)
            }
            // Refused when the detector is made.
            Head::Centres | Head::Embedding => return Err(format!("head {} has no people", self.head)),
        }
        .map_err(|wrong| {
            format!(
                "output {} has {} values, head {} expects {} at this input size",
                wrong.output, wrong.found, self.head, wrong.expected
            )
        })
    }
}

/// Input pixels to frame pixels, clipped; `None` when nothing of the box is in the frame.
pub(crate) fn to_frame(c: &Candidate, scale: f64, width_px: f64, height_px: f64) -> Option<Detection> {
    let x0 = (f64::from(c.left) / scale).clamp(0.0, width_px);
    let y0 = (f64::from(c.top) / scale).clamp(0.0, height_px);
    let x1 = (f64::from(c.right) / scale).clamp(0.0, width_px);
    let y1 = (f64::from(c.bottom) / scale).clamp(0.0, height_px);
    let bbox = PixelBox { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
    bbox.is_valid().then_some(Detection { bbox, score: f64::from(c.score) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn manifest() -> Manifest {
        Manifest::parse(include_str!("../manifest.toml"), std::path::Path::new("manifest.toml")).unwrap()
    }

    #[test]
    fn free_models_take_the_shape_of_the_frames() {
        let manifest = manifest();
        let model = manifest.model("person-centernet").unwrap();
        let shaped = |frame_width_px, frame_height_px| {
            InputSize::ShapedAs { frame_width_px, frame_height_px }.resolve(model).unwrap()
        };
        assert_eq!(shaped(768, 576), [384, 288]);
        assert_eq!(shaped(640, 360), [448, 256]);
        assert_eq!(shaped(360, 640), [256, 480]);
        assert_eq!(shaped(1, 1_000_000), [32, 4096]);
        let fixed = manifest.model("person-yolox-nano").unwrap();
        let size = InputSize::ShapedAs { frame_width_px: 640, frame_height_px: 360 };
        assert_eq!(size.resolve(fixed).unwrap(), [416, 416]);
    }

    #[test]
    fn impossible_sizes_are_refused_with_the_possible_ones() {
        let manifest = manifest();
        let refusal = |name: &str, width_px, height_px| {
            let model = manifest.model(name).unwrap();
            InputSize::Exact { width_px, height_px }.resolve(model).unwrap_err().to_string()
        };
        assert_eq!(
            refusal("person-centernet", 400, 300),
            "model person-centernet: input size 400 x 300 is not possible: \
             sides must be multiples of 32 from 32 to 4096"
        );
        assert!(refusal("person-centernet", 0, 32).contains("multiples of 32"));
        assert_eq!(
            refusal("person-yolox-nano", 320, 320),
            "model person-yolox-nano: input size 320 x 320 is not possible: \
             this model's input is always 416 x 416; leave the size out"
        );
    }

    #[test]
    fn boxes_are_clipped_to_the_frame() {
        let candidate = Candidate { left: -4.0, top: 10.0, right: 20.0, bottom: 60.0, score: 0.5 };
        let found = to_frame(&candidate, 0.5, 100.0, 80.0).unwrap();
        assert_eq!(found.bbox, PixelBox { x: 0.0, y: 20.0, w: 40.0, h: 60.0 });
        let outside = Candidate { left: 60.0, right: 70.0, ..candidate };
        assert_eq!(to_frame(&outside, 0.5, 100.0, 80.0), None);
    }
}
