//! Where set-up has put things.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::registry::Registry;
use crate::runtime::Runtime;

/// The folder that `cargo xtask setup` fills: `.linefree`, or `$LINEFREE_HOME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// At this place.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// `$LINEFREE_HOME`, else the `.linefree` of `from` or of the nearest folder above it, else `from`'s even if it
    /// is not there (so that errors name a place).
    #[must_use]
    pub fn find(from: &Path) -> Self {
        if let Some(path) = std::env::var_os("LINEFREE_HOME").filter(|v| !v.is_empty()) {
            return Self { path: path.into() };
        }
        let found = from.ancestors().map(|a| a.join(".linefree")).find(|p| p.is_dir());
        Self { path: found.unwrap_or_else(|| from.join(".linefree")) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ONNX Runtime library.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.path.join("lib/libonnxruntime.so")
    }

    /// The folder of model files.
    #[must_use]
    pub fn models_dir(&self) -> PathBuf {
        self.path.join("models")
    }

    /// Loads the library and opens the built-in manifest over the installed models.
    ///
    /// # Errors
    /// As [`Runtime::load`] and [`Registry::built_in`].
    pub fn open(&self) -> Result<(Runtime, Registry)> {
        Ok((Runtime::load(&self.library())?, Registry::built_in(&self.models_dir())?))
    }
}
