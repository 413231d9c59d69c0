//! A store.toml as those need it who judge its calibration: the layout, and what each camera's table says of itself.
//!
//! # Failure rules
//! A file that the agent would refuse only because a calibration is worse than its limit is read all the same, with
//! the refusals kept in [`Store::refused`]: who wants to know what is wrong must be able to look. Every other mistake
//! stays one.

use std::path::Path;

use linefree_domain::layout::StoreLayout;
use linefree_recording::{MAX_STORE_FILE_BYTES, StoreFile};
use serde::Deserialize;

/// What a camera's table says of its calibration.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
pub struct Quality {
    /// Root mean square error of the lens, pixels.
    pub lens_rms_px: Option<f64>,
    /// Median error on the floor of points held out, metres.
    pub floor_error_m: Option<f64>,
    /// Root mean square error of the pose, pixels.
    pub pose_rms_px: Option<f64>,
    /// How surely the camera's place is known, metres.
    pub position_sd_m: Option<f64>,
    /// How surely its rotation is known, degrees.
    pub rotation_sd_deg: Option<f64>,
}

/// A store and the quality of its calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// The store as it is built.
    pub layout: StoreLayout,
    /// By camera, in the order of the layout.
    pub qualities: Vec<Quality>,
    /// Why the agent would not run with it: calibrations worse than their limit, each with the step to repeat.
    pub refused: Vec<String>,
}

/// Why a store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read.
    #[error("{0}: cannot be read")]
    File(String, #[source] std::io::Error),
    /// Mistakes in it.
    #[error("{0}")]
    Mistakes(String),
}

#[derive(Deserialize)]
struct QualityToml {
    #[serde(default)]
    camera: Vec<CameraQuality>,
}

#[derive(Deserialize)]
struct CameraQuality {
    #[serde(default)]
    quality: Quality,
}

impl Store {
    /// Reads a store.toml.
    ///
    /// # Errors
    /// Every mistake in it, but for calibrations worse than their limit.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let file = |e| StoreError::File(path.display().to_string(), e);
        let length = std::fs::metadata(path).map_err(file)?.len();
        if length > MAX_STORE_FILE_BYTES {
            let told = format!("{}: has {length} bytes, more than a store.toml", path.display());
            return Err(StoreError::Mistakes(told));
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(file)?)
    }

    /// As [`Self::read`], of a text; `path` names it in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, StoreError> {
        let (layout, refused) = match StoreFile::parse(path, text) {
            Ok(file) => (file.layout, Vec::new()),
            Err(mistakes) => {
                let told = mistakes.to_string();
                let relaxed = without_limits(text).and_then(|t| StoreFile::parse(path, &t).ok());
                let layout = relaxed.ok_or_else(|| StoreError::Mistakes(told.clone()))?.layout;
                (layout, told.lines().map(str::to_owned).collect())
            }
        };
        let qualities = toml::from_str::<QualityToml>(text).map(|t| t.camera).unwrap_or_default();
        let mut qualities: Vec<Quality> = qualities.into_iter().map(|c| c.quality).collect();
        qualities.resize(layout.cameras.len(), Quality::default());
        Ok(Self { layout, qualities, refused })
    }
}

/// The same store with nothing that says how good its calibration is.
fn without_limits(text: &str) -> Option<String> {
    let mut root: toml::Table = text.parse().ok()?;
    root.remove("calibration");
    for camera in root.get_mut("camera").and_then(toml::Value::as_array_mut).into_iter().flatten() {
        camera.as_table_mut()?.remove("quality");
    }
    for shelf in root.get_mut("shelf_calibration").and_then(toml::Value::as_array_mut).into_iter().flatten() {
        shelf.as_table_mut()?.remove("quality");
    }
    toml::to_string(&root).ok()
}
