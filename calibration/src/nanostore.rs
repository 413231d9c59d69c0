//! Cameras of the AutoCheckout data (AiFi nanostore, CPS-IoT Week 2020): its `calibration.json` in our own terms.
//!
//! There, `K` is in shares of the image's width and height, `Tw` maps the camera to the world (x to the right, y
//! down, z ahead; the world's z up) with its shift in inches, and `dist_coeffs` are k1, k2, p1, p2, k3.
//!
//! # Failure rules
//! What is not finite, no rotation, or a camera that looks at nothing is an error that names the camera. Nothing says
//! how good such a calibration is, so none is written: check it before use.

use std::collections::BTreeMap;

use linefree_domain::geometry::{Lens, Pose};
use nalgebra::{Matrix3, Rotation3, UnitQuaternion, Vector3};
use serde::Deserialize;

/// An inch, metres.
const INCH_M: f64 = 0.0254;
/// A rotation's rows are of length 1 and square to each other within this.
const SQUARE: f64 = 1e-3;

/// A camera of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedCamera {
    /// Its number there, such as `9` or `21-depth`.
    pub number: String,
    /// Its lens, at the size asked for.
    pub lens: Lens,
    /// Its pose.
    pub pose: Pose,
}

/// Why the file cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum NanostoreError {
    /// The file is something else.
    #[error(
        "no calibration of the AutoCheckout data: {0}; give its store_meta/calibration.json, with K, Tw and dist_coeffs \
         for each camera"
    )]
    Format(#[from] serde_json::Error),
    /// A camera's numbers make no camera.
    #[error("camera {number}: {reason}; take the file again from where it was published")]
    Camera {
        /// Which.
        number: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// There are no cameras.
    #[error("the file names no cameras; give store_meta/calibration.json")]
    Empty,
}

#[derive(Deserialize)]
struct File {
    cameras: BTreeMap<String, Camera>,
}

#[derive(Deserialize)]
struct Camera {
    #[serde(rename = "K")]
    k: [[f64; 3]; 3],
    #[serde(rename = "Tw")]
    to_world: [[f64; 4]; 4],
    dist_coeffs: [f64; 5],
}

/// Reads the file's cameras for images of this size.
///
/// # Errors
/// [`NanostoreError`].
pub fn read(json: &str, size_px: [u32; 2]) -> Result<Vec<ImportedCamera>, NanostoreError> {
    let file: File = serde_json::from_str(json)?;
    if file.cameras.is_empty() {
        return Err(NanostoreError::Empty);
    }
    file.cameras.into_iter().map(|(number, c)| camera(number, &c, size_px.map(f64::from))).collect()
}

fn camera(number: String, c: &Camera, [width, height]: [f64; 2]) -> Result<ImportedCamera, NanostoreError> {
    let wrong = |reason| NanostoreError::Camera { number: number.clone(), reason };
    let [[fx, _, cx], [_, fy, cy], _] = c.k;
    let numbers = [fx, fy, cx, cy].into_iter().chain(c.dist_coeffs);
    if !numbers.chain(c.to_world.iter().flatten().copied()).all(f64::is_finite) {
        return Err(wrong("holds a number that is not finite"));
    }
    if fx <= 0.0 || fy <= 0.0 {
        return Err(wrong("has a focal length of 0 or less"));
    }
    let [a, b, d, _] = c.to_world;
    let turn = Matrix3::new(a[0], a[1], a[2], b[0], b[1], b[2], d[0], d[1], d[2]);
    if (turn * turn.transpose() - Matrix3::identity()).abs().max() > SQUARE || turn.determinant() < 0.0 {
        return Err(wrong("has a Tw that is no rotation"));
    }
    let place = Vector3::new(a[3], b[3], d[3]) * INCH_M;
    // Rounded in the file: the nearest rotation (Higham 1989).
    let svd = turn.svd(true, true);
    let (Some(u), Some(v_t)) = (svd.u, svd.v_t) else { return Err(wrong("has a Tw that is no rotation")) };
    let turn = Rotation3::from_matrix_unchecked(u * v_t).inverse();
    // Through a quaternion: half a turn has no axis that the matrix alone would show.
    let rotation = UnitQuaternion::from_rotation_matrix(&turn).scaled_axis();
    let lens = Lens {
        fx_px: fx * width,
        fy_px: fy * height,
        cx_px: cx * width,
        cy_px: cy * height,
        distortion: c.dist_coeffs,
    };
    let pose = Pose { rotation, translation: -(turn * place) };
    Ok(ImportedCamera { number, lens, pose })
}
