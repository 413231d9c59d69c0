//! `manifest.toml`: what each model is, byte for byte, and how it is fed and read.
//!
//! Unknown keys are errors, so that a misspelt one cannot be ignored silently. How a model is obtained
//! (`[[model.source]]`) is set-up's business and is kept as it stands, unread.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::error::{ModelError, Result};
use crate::heads::Head;
use crate::recogniser::RecogniserConfig;

/// The only manifest version there is.
const VERSION: u32 = 1;

/// Every model there is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    #[serde(rename = "model")]
    models: Vec<ModelEntry>,
}

/// One model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The name by which it is asked for.
    pub name: String,
    /// Its card, relative to the manifest.
    pub card: String,
    /// What it finds.
    pub task: Task,
    /// How its outputs are read.
    pub head: Head,
    /// File name in the models folder.
    pub file: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Licence of the weights.
    pub licence: String,
    /// What to know about the licence or the origin.
    #[serde(default)]
    pub licence_note: String,
    /// Score below which detections are dropped, unless the caller says otherwise. Detectors only.
    #[serde(default)]
    pub score_min: f32,
    /// Of two boxes that overlap more than this (intersection over union), the weaker is dropped. Detectors only.
    #[serde(default)]
    pub nms_iou: f32,
    /// How a product model's scores become probabilities.
    pub recogniser: Option<RecogniserConfig>,
    /// What it gives for the golden picture: see [`crate::golden`].
    #[serde(default)]
    pub golden: Vec<f64>,
    /// How far from it a device may be, as a share of each output's root mean square; 0.01 unless it says otherwise.
    #[serde(default = "golden_tolerance")]
    pub golden_tolerance: f64,
    /// Its only input.
    pub input: InputSpec,
    /// Its outputs, in the order in which the head expects them.
    #[serde(rename = "output")]
    pub outputs: Vec<OutputSpec>,
    /// Where it comes from, for set-up.
    #[serde(rename = "source")]
    sources: Vec<toml::Table>,
}

/// Floating-point models differ by less than this from processor to processor.
fn golden_tolerance() -> f64 {
    0.01
}

/// What a model finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// People, each with a box.
    Person,
    /// Products and hands, each with a box: see [`crate::ProductDetector`].
    Handling,
    /// How a product looks, as a unit vector: see [`crate::ProductEmbedder`].
    Product,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Person => "people",
            Self::Handling => "products and hands",
            Self::Product => "recognising products",
        })
    }
}

/// One dimension of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Always this.
    Fixed(i64),
    /// Free, with a name.
    Free(String),
}

/// Order of the dimensions of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Layout {
    /// Batch, channel, row, column.
    #[serde(rename = "NCHW")]
    Nchw,
    /// Batch, row, column, channel.
    #[serde(rename = "NHWC")]
    Nhwc,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ColourOrder {
    /// Red first.
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue first, as OpenCV has it.
    #[serde(rename = "BGR")]
    Bgr,
}

/// The input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Tensor's name.
    pub name: String,
    /// Tensor's shape.
    pub shape: Vec<Dim>,
    /// What its dimensions are.
    pub layout: Layout,
    /// What its channels are.
    pub channels: ColourOrder,
    /// Subtracted from each channel, in the order of `channels`.
    pub mean: [f32; 3],
    /// Each channel is divided by it after that.
    pub std: [f32; 3],
    /// Pixel value around the frame where its shape is not the input's.
    pub pad: u8,
    /// Free sides must be multiples of it.
    pub multiple_px: u32,
    /// `[width, height]` unless the caller says otherwise.
    pub default_px: [u32; 2],
}

impl InputSpec {
    /// The dimensions of height and width.
    #[must_use]
    pub fn height_and_width(&self) -> Option<(&Dim, &Dim)> {
        match (self.layout, self.shape.as_slice()) {
            (Layout::Nchw, [_, _, h, w]) | (Layout::Nhwc, [_, h, w, _]) => Some((h, w)),
            _ => None,
        }
    }

    fn fault(&self) -> Option<String> {
        let channels = if self.layout == Layout::Nchw { 1 } else { 3 };
        if self.shape.len() != 4 || self.shape[0] != Dim::Fixed(1) || self.shape[channels] != Dim::Fixed(3) {
            return Some("input.shape must have four dimensions, batch 1 and 3 channels".into());
        }
        let positive = self.std.iter().all(|s| s.is_finite() && *s > 0.0);
        if !positive || !self.mean.iter().all(|m| m.is_finite()) {
            return Some("input.mean must be finite and input.std positive".into());
        }
        if self.multiple_px == 0 {
            return Some("input.multiple_px must be positive".into());
        }
        let (height, width) = self.height_and_width()?;
        for (dim, side_px) in [(width, self.default_px[0]), (height, self.default_px[1])] {
            let fits = match dim {
                Dim::Fixed(v) => *v == i64::from(side_px),
                Dim::Free(_) => side_px > 0 && side_px % self.multiple_px == 0,
            };
            if !fits {
                return Some("input.default_px must agree with input.shape and input.multiple_px".into());
            }
        }
        None
    }
}

/// One output.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Tensor's name.
    pub name: String,
    /// Tensor's shape.
    pub shape: Vec<Dim>,
}

impl ModelEntry {
    /// Numbers of a product model's embedding; 0 for other models.
    #[must_use]
    pub fn embedding_length(&self) -> usize {
        match (self.task, self.outputs.as_slice()) {
            (Task::Product, [only]) => match only.shape.as_slice() {
                [_, Dim::Fixed(length)] => usize::try_from(*length).unwrap_or_default(),
                _ => 0,
            },
            _ => 0,
        }
    }

    fn fault(&self) -> Option<String> {
        let hex = self.sha256.len() == 64
            && self.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let fraction = |v: f32| (0.0..=1.0).contains(&v);
        if !hex {
            Some("sha256 must be 64 lower-case hexadecimal digits".into())
        } else if !fraction(self.score_min) || !fraction(self.nms_iou) {
            Some("score_min and nms_iou must be 0 to 1".into())
        } else if self.file.is_empty() || self.file.contains(['/', '\\']) {
            Some("file must be a plain file name".into())
        } else if self.head.task() != self.task {
            Some(format!("head {} is not for {}", self.head, self.task))
        } else if self.recogniser.is_some() != (self.task == Task::Product) {
            Some("[model.recogniser] belongs to product models, and to all of them".into())
        } else if let Some(what) = self.recogniser.and_then(|r| r.fault()) {
            Some(what.into())
        } else if self.sources.is_empty() {
            Some("at least one [[model.source]] is needed".into())
        } else if self.outputs.len() != self.head.output_count() {
            Some(format!(
                "head {} needs {} outputs, {} are listed",
                self.head,
                self.head.output_count(),
                self.outputs.len()
            ))
        } else {
            self.input.fault()
        }
    }
}

impl Manifest {
    /// Reads and checks a manifest file.
    ///
    /// # Errors
    /// When it cannot be read, is not of the expected form, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ModelError::ManifestUnreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks a manifest's text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let malformed = |what: String| ModelError::ManifestMalformed { path: path.to_owned(), what };
        let manifest: Self = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        if manifest.version != VERSION {
            return Err(malformed(format!(
                "version is {}, this program reads version {VERSION}; use a manifest of the same release",
                manifest.version
            )));
        }
        let mut seen = HashSet::new();
        for model in &manifest.models {
            let fault =
                if seen.insert(&model.name) { model.fault() } else { Some("listed more than once".into()) };
            if let Some(what) = fault {
                let model = model.name.clone();
                return Err(ModelError::ManifestInvalid { path: path.to_owned(), model, what });
            }
        }
        Ok(manifest)
    }

    /// Every model, in the manifest's order.
    #[must_use]
    pub fn models(&self) -> &[ModelEntry] {
        &self.models
    }

    /// The model of this name.
    ///
    /// # Errors
    /// When there is none; the message lists those there are.
    pub fn model(&self, name: &str) -> Result<&ModelEntry> {
        self.models.iter().find(|m| m.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            ModelError::UnknownModel { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../manifest.toml");

    fn refusal(text: &str) -> String {
        Manifest::parse(text, Path::new("m.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_manifest_is_sound() {
        let manifest = Manifest::parse(SHIPPED, Path::new("manifest.toml")).unwrap();
        let names: Vec<&str> = manifest.models().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "person-centernet",
                "person-yolox-nano",
                "person-nanodet-320",
                "product-embedding",
                "product-hand"
            ]
        );
        for model in manifest.models() {
            let card = Path::new(env!("CARGO_MANIFEST_DIR")).join(&model.card);
            assert!(card.is_file(), "{} has no card {}", model.name, card.display());
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, said) in [
            ("version = 1", "version = 2", "version is 2, this program reads version 1"),
            ("head = \"yolox\"", "head = \"ssd\"", "unknown variant `ssd`"),
            ("nms_iou", "nms_uio", "unknown field `nms_uio`"),
            ("sha256 = \"8b", "sha256 = \"8B", "sha256 must be 64 lower-case hexadecimal digits"),
            ("score_min = 0.3\n", "score_min = 30.0\n", "score_min and nms_iou must be 0 to 1"),
            ("default_px = [416, 416]", "default_px = [320, 320]", "input.default_px must agree"),
            ("default_px = [384, 288]", "default_px = [400, 288]", "input.default_px must agree"),
            ("name = \"person-yolox-nano\"", "name = \"person-centernet\"", "listed more than once"),
            ("file = \"person-c", "file = \"../person-c", "file must be a plain file name"),
            ("std = [1.0, 1.0, 1.0]", "std = [1.0, 0.0, 1.0]", "input.std positive"),
        ] {
            let text = SHIPPED.replacen(from, to, 1);
            assert_ne!(text, SHIPPED, "{from} is not in the manifest");
            let refusal = refusal(&text);
            assert!(refusal.contains(said), "{refusal}");
        }
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_known_ones() {
        let manifest = Manifest::parse(SHIPPED, Path::new("manifest.toml")).unwrap();
        assert_eq!(
            manifest.model("persons").unwrap_err().to_string(),
            "no model is called \"persons\"; the manifest has: \
             person-centernet, person-yolox-nano, person-nanodet-320, product-embedding, product-hand"
        );
    }
}
