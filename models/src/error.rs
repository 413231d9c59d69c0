//! What can go wrong, said so that the reader knows what was expected, what was found, and what to do.

use std::path::PathBuf;

/// A failure of the registry, the runtime or a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The manifest cannot be read.
    #[error(
        "read the model manifest {path}: {source}; it belongs to the source tree as models/manifest.toml",
        path = path.display()
    )]
    ManifestUnreadable {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not TOML of the expected form; the message has line and column.
    #[error("model manifest {path}: {what}", path = path.display())]
    ManifestMalformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and where.
        what: String,
    },
    /// The manifest contradicts itself.
    #[error("model manifest {path}, model {model:?}: {what}", path = path.display())]
    ManifestInvalid {
        /// The manifest.
        path: PathBuf,
        /// The model's name.
        model: String,
        /// What is wrong.
        what: String,
    },
    /// No such model.
    #[error("no model is called {name:?}; the manifest has: {known}")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Every name there is.
        known: String,
    },
    /// The ONNX Runtime library is not there.
    #[error(
        "the ONNX Runtime library {path} is missing; run `cargo xtask setup`, which installs it",
        path = path.display()
    )]
    LibraryMissing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The file is there and is not a usable ONNX Runtime.
    #[error(
        "load the ONNX Runtime library {path}: {reason}; remove it and run `cargo xtask setup` again",
        path = path.display()
    )]
    LibraryUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// A process can load one ONNX Runtime only.
    #[error(
        "ONNX Runtime is already loaded from {loaded}; a process can load one only, so {asked} is refused: use one path",
        loaded = loaded.display(), asked = asked.display()
    )]
    LibraryAlreadyLoaded {
        /// What is loaded.
        loaded: PathBuf,
        /// What was asked for.
        asked: PathBuf,
    },
    /// The model's file is not installed.
    #[error(
        "model {name}: {path} is missing; run `cargo xtask setup`, which installs it",
        path = path.display()
    )]
    ModelMissing {
        /// The model.
        name: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// The model's file cannot be read.
    #[error("model {name}: read {path}: {source}", path = path.display())]
    ModelUnreadable {
        /// The model.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model's file has other bytes than the manifest says.
    #[error(
        "model {name}: {path} has sha256 {found}, the manifest expects {expected}; \
         the file is damaged or another version: remove it and run `cargo xtask setup` again",
        path = path.display()
    )]
    HashMismatch {
        /// The model.
        name: String,
        /// Its file.
        path: PathBuf,
        /// By the manifest.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// The model's inputs or outputs are not those of the manifest.
    #[error(
        "model {name}: {place} is {found}, the manifest expects {expected}; \
         correct models/manifest.toml or install the model that it describes"
    )]
    SignatureMismatch {
        /// The model.
        name: String,
        /// Which input or output.
        place: String,
        /// By the manifest.
        expected: String,
        /// Of the model.
        found: String,
    },
    /// The input size asked for does not suit the model.
    #[error("model {name}: input size {width_px} x {height_px} is not possible: {why}")]
    InputSize {
        /// The model.
        name: String,
        /// Width asked for.
        width_px: u32,
        /// Height asked for.
        height_px: u32,
        /// What would be possible.
        why: String,
    },
    /// A frame whose description does not fit its data.
    #[error("a frame of {width_px} x {height_px} px with {stride_bytes} bytes per row does not fit {what}")]
    Frame {
        /// Width.
        width_px: u32,
        /// Height.
        height_px: u32,
        /// Bytes from one row to the next.
        stride_bytes: usize,
        /// What it does not fit.
        what: String,
    },
    /// A crop that shows nothing.
    #[error(
        "the crop {bbox} of a frame of {width_px} x {height_px} px shows less than 8 x 8 px; \
         ask for a box inside the frame"
    )]
    Crop {
        /// The box asked for.
        bbox: String,
        /// Width of the frame.
        width_px: u32,
        /// Height of the frame.
        height_px: u32,
    },
    /// A model asked to do what another kind of model does.
    #[error(
        "model {name} is for {found}, not for {asked}; `edge-agent models list` shows which model does what"
    )]
    WrongTask {
        /// The model.
        name: String,
        /// What it is for.
        found: String,
        /// What was asked of it.
        asked: String,
    },
    /// An execution provider that this machine or this ONNX Runtime cannot use.
    #[error("execution provider {provider}: {why}")]
    Provider {
        /// Its name.
        provider: String,
        /// Why, and what to do.
        why: String,
    },
    /// The model runs and gives something else than it did where it was made.
    #[error(
        "model {name}: its golden test failed: {what}; it is not activated: install it again, \
         or use another execution provider"
    )]
    Golden {
        /// The model.
        name: String,
        /// What differs.
        what: String,
    },
    /// A gallery of products that cannot be used.
    #[error("gallery {path}: {what}", path = path.display())]
    Gallery {
        /// The gallery's file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A signature that does not fit.
    #[error("{path}: {what}", path = path.display())]
    Signature {
        /// The signed file or its key.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// ONNX Runtime refused an operation.
    #[error("model {name}: {operation}: {reason}")]
    Session {
        /// The model.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// What ONNX Runtime said.
        reason: String,
    },
}

/// Results of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
