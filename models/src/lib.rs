//! The model registry, the recognition of products, and the only user of ONNX Runtime.
//!
//! [`Registry`] reads `manifest.toml` (what each model is, byte for byte, and how it is fed) and turns an installed
//! model into a [`PersonDetector`]; [`Runtime`] is the ONNX Runtime library, loaded from a file. `cargo xtask setup`
//! installs both; the cards in `cards/` say how well each model does and under which licence it comes.
//!
//! ```no_run
//! use std::path::Path;
//! use linefree_models::{ColourOrder, DetectorOptions, FrameView, Registry, Runtime};
//!
//! # fn main() -> linefree_models::Result<()> {
//! let runtime = Runtime::load(Path::new(".linefree/lib/libonnxruntime.so"))?;
//! let registry = Registry::open(Path::new("models/manifest.toml"), Path::new(".linefree/models"))?;
//! let mut detector = registry.person_detector(&runtime, "person-centernet", &DetectorOptions::default())?;
//! let pixels = vec![0_u8; 768 * 576 * 3];
//! let frame = FrameView::new(&pixels, 768, 576, 768 * 3, ColourOrder::Bgr)?;
//! for person in detector.detect(&frame)? {
//!     let _ = (person.bbox, person.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`ProductDetector`] finds products and hands in a picture of a shelf, [`ProductEmbedder`] turns a crop into an [`Embedding`], [`Gallery`] keeps those of the products that a shop has
//! enrolled, and [`Recogniser`] says which of them a crop shows, or none. [`golden`] proves that a model gives on this
//! device what it gave where it was made, and [`release`] activates signed sets of models that do, and rolls back.
//!
//! Failure rules: a model whose bytes, inputs or outputs are not those of the manifest is never run; every error
//! names what was expected, what was found, and the remedy ([`ModelError`]). Nothing here keeps a frame: the input
//! tensor is overwritten by the next one.

mod appearance;
mod detector;
mod embedder;
mod error;
mod frame;
mod gallery;
pub mod golden;
mod heads;
mod home;
mod letterbox;
mod manifest;
mod product_detector;
mod recogniser;
mod registry;
pub mod release;
mod runtime;
mod signature;
mod suppression;
mod whitening;

pub use appearance::appearance_of;
pub use detector::{DetectorOptions, InputSize, PersonDetector, StageTimings};
pub use embedder::{Embedding, ProductEmbedder};
pub use error::{ModelError, Result};
pub use frame::{FrameView, MAX_SIDE_PX, MIN_CROP_PX};
pub use gallery::{Gallery, PICTURES_MAX};
pub use heads::Head;
pub use home::Home;
pub use manifest::{ColourOrder, Dim, InputSpec, Layout, Manifest, ModelEntry, OutputSpec, Task};
pub use product_detector::{Found, ProductDetector, Thing};
pub use recogniser::{Candidate, Recogniser, RecogniserConfig, Recognition};
pub use registry::{DEFAULT_HANDLING_MODEL, DEFAULT_PERSON_MODEL, DEFAULT_PRODUCT_MODEL, Registry};
pub use runtime::{Provider, Runtime};
