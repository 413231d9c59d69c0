//! The ONNX Runtime library, loaded from a file at run time.
//!
//! A process has one at most. Loading the same file again gives the same runtime; loading another one is refused.
//! Telemetry is off.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::error::{ModelError, Result};

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
