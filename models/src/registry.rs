//! Models by name: their files, verified, become detectors.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::detector::{DetectorOptions, PersonDetector};
use crate::embedder::ProductEmbedder;
use crate::error::{ModelError, Result};
use crate::manifest::{Manifest, ModelEntry};
use crate::product_detector::ProductDetector;
use crate::runtime::{Provider, Runtime};

/// The model that is used unless the store says otherwise.
pub const DEFAULT_PERSON_MODEL: &str = "person-centernet";

/// The model that tells products apart unless the store says otherwise.
pub const DEFAULT_PRODUCT_MODEL: &str = "product-embedding";

/// The model that finds products and hands unless the store says otherwise.
pub const DEFAULT_HANDLING_MODEL: &str = "product-hand";

/// The models that are this project's own and small enough to travel inside the program.
const BROUGHT: [&[u8]; 2] =
    [include_bytes!("../weights/product-embedding.onnx"), include_bytes!("../weights/product-hand.onnx")];

/// The model of this digest, if the program brings it along.
fn brought(sha256: &str) -> Option<&'static [u8]> {
    BROUGHT.into_iter().find(|bytes| hex(&Sha256::digest(bytes)) == sha256)
}

/// A manifest and the folder in which its models are installed.
#[derive(Debug, Clone)]
pub struct Registry {
    manifest: Manifest,
    models_dir: PathBuf,
}

impl Registry {
    /// Reads the manifest. The models' files are looked at when they are asked for.
    ///
    /// # Errors
    /// When the manifest cannot be read or is wrong.
    pub fn open(manifest: &Path, models_dir: &Path) -> Result<Self> {
        Ok(Self { manifest: Manifest::read(manifest)?, models_dir: models_dir.to_owned() })
    }

    /// The manifest that belongs to this program, for machines without the source tree.
    ///
    /// # Errors
    /// Never, unless the program was built from a wrong manifest.
    pub fn built_in(models_dir: &Path) -> Result<Self> {
        let manifest =
            Manifest::parse(include_str!("../manifest.toml"), Path::new("(built in) manifest.toml"))?;
        Ok(Self { manifest, models_dir: models_dir.to_owned() })
    }

    /// What models there are.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where a model's file is, or would be.
    ///
    /// # Errors
    /// When no model has this name.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.models_dir.join(&self.manifest.model(name)?.file))
    }

    /// Whether a model is "installed", "built in", "altered" or "missing" here.
    #[must_use]
    pub fn state(&self, name: &str) -> &'static str {
        let Ok(model) = self.manifest.model(name) else { return "missing" };
        match self.verified_bytes(model) {
            Ok(_) if self.models_dir.join(&model.file).exists() => "installed",
            Ok(_) => "built in",
            Err(ModelError::ModelMissing { .. }) => "missing",
            Err(_) => "altered",
        }
    }

    /// Loads a person model: verifies its bytes and its signature, and makes a session.
    ///
    /// # Errors
    /// When the name is unknown, the file is missing or has other bytes, the size asked for does not suit it, its
    /// inputs or outputs are not those of the manifest, or ONNX Runtime refuses it.
    pub fn person_detector(
        &self,
        runtime: &Runtime,
        name: &str,
        options: &DetectorOptions,
    ) -> Result<PersonDetector> {
        let model = self.manifest.model(name)?;
        let bytes = self.verified_bytes(model)?;
        PersonDetector::new(runtime, model, &bytes, options)
    }

    /// Loads a product model, verified in the same way.
    ///
    /// # Errors
    /// As [`Self::person_detector`].
    pub fn product_embedder(
        &self,
        runtime: &Runtime,
        name: &str,
        threads: usize,
        provider: Provider,
    ) -> Result<ProductEmbedder> {
        let model = self.manifest.model(name)?;
        let bytes = self.verified_bytes(model)?;
        ProductEmbedder::new(runtime, model, &bytes, threads, provider)
    }

    /// Loads a model that finds products and hands, verified in the same way.
    ///
    /// # Errors
    /// As [`Self::person_detector`].
    pub fn product_detector(
        &self,
        runtime: &Runtime,
        name: &str,
        options: &DetectorOptions,
    ) -> Result<ProductDetector> {
        let model = self.manifest.model(name)?;
        let bytes = self.verified_bytes(model)?;
        ProductDetector::new(runtime, model, &bytes, options)
    }

    /// The file's bytes: what is verified is what is run. A model that the program brings along need not be
    /// installed.
    pub(crate) fn verified_bytes(&self, model: &ModelEntry) -> Result<Vec<u8>> {
        let path = self.models_dir.join(&model.file);
        let name = model.name.clone();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => match brought(&model.sha256) {
                Some(bytes) => bytes.to_vec(),
                None => return Err(ModelError::ModelMissing { name, path }),
            },
            Err(source) => return Err(ModelError::ModelUnreadable { name, path, source }),
        };
        let found = hex(&Sha256::digest(&bytes));
        if found != model.sha256 {
            let expected = model.sha256.clone();
            return Err(ModelError::HashMismatch { name, path, expected, found });
        }
        Ok(bytes)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
