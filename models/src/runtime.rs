//! The ONNX Runtime library, loaded from a file at run time.
//!
//! A process has one at most. Loading the same file again gives the same runtime; loading another one is refused.
//! Telemetry is off.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::builder::SessionBuilder;

use crate::error::{ModelError, Result};

/// What runs a model. The library decides what of it there is: [`Provider::Cpu`] is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT.
    TensorRt,
    /// Intel's OpenVINO.
    OpenVino,
}

impl Provider {
    /// Every provider there is.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// Its name in commands and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// Adds it to a session, or says why it cannot: never falls back to the processor in silence.
    pub(crate) fn register(self, builder: SessionBuilder) -> Result<SessionBuilder> {
        let dispatch = match self {
            Self::Cpu => return Ok(builder),
            Self::Cuda => ort::ep::CUDA::default().build(),
            Self::TensorRt => ort::ep::TensorRT::default().build(),
            Self::OpenVino => ort::ep::OpenVINO::default().build(),
        };
        builder.with_execution_providers([dispatch.error_on_failure()]).map_err(|e| ModelError::Provider {
            provider: self.name().into(),
            why: format!(
                "{e}; install an ONNX Runtime library that has it, or use cpu, which is always there"
            ),
        })
    }
}

impl std::str::FromStr for Provider {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| ModelError::Provider {
            provider: format!("{text:?}"),
            why: format!("there is no such; there are {}", Self::ALL.map(Self::name).join(", ")),
        })
    }
}

static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// A loaded ONNX Runtime. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Loads the library, such as `.linefree/lib/libonnxruntime.so`.
    ///
    /// # Errors
    /// When the file is missing, is not an ONNX Runtime of a suitable version, or another one is loaded already.
    pub fn load(library: &Path) -> Result<Self> {
        let Ok(path) = library.canonicalize() else {
            return Err(ModelError::LibraryMissing { path: library.to_owned() });
        };
        // What the lock protects is replaced whole, so a poisoned lock still holds something true.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, environment)) = loaded.as_ref() {
            return if *at == path {
                Ok(Self { environment: environment.clone() })
            } else {
                Err(ModelError::LibraryAlreadyLoaded { loaded: at.clone(), asked: path })
            };
        }
        let unusable = |reason: String| ModelError::LibraryUnusable { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|e| unusable(e.to_string()))?
            .with_name("linefree")
            .with_telemetry(false)
            .build()
            .map_err(|e| unusable(e.to_string()))?;
        tracing::debug!(library = %path.display(), "loaded ONNX Runtime");
        *loaded = Some((path, environment.clone()));
        Ok(Self { environment })
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}
