//! All cameras of a store together: bundle adjustment.
//!
//! Method: Levenberg-Marquardt on the reprojection error, with the marks eliminated by the Schur complement (Triggs et
//! al. 2000, "Bundle Adjustment: A Modern Synthesis"), which leaves six unknowns a camera however many marks there
//! are. Outliers lose their pull by Cauchy's loss and then by Geman and McClure's, which lets go of them altogether;
//! who is an outlier is judged at the end. Lenses are held.
//!
//! # Limits
//! The start must be roughly right (half a metre, ten degrees): the problem has false minima. What holds the whole
//! in place are the marks' surveyed places and the cameras' priors; people's feet alone only say that they are on the
//! floor, so at least one camera must be known.
//!
//! # Failure rules
//! Numbers that are not finite, cameras that no chain of common marks joins to something surveyed and too few sights
//! are errors that name the camera; nothing is adjusted then.

mod linear;

use linefree_domain::geometry::{Lens, Pose};
use nalgebra::{Point2, Point3, Vector3};

/// Sights further off than this many standard deviations are outliers.
pub const OUTLIER_SDS: f64 = 5.0;
/// The fewest sights of one camera.
pub const MIN_SIGHTS: usize = 4;
const ITERATIONS: usize = 40;

/// A camera whose pose is sought.
#[derive(Debug, Clone, PartialEq)]
pub struct RigCamera {
    /// Its id, for messages.
    pub id: String,
    /// Its lens.
    pub lens: Lens,
    /// Where it is believed to be.
    pub pose: Pose,
    /// How surely that is believed: standard deviations of place (metres) and rotation (radians). `None` = the pose
    /// is only where the search begins.
    pub prior: Option<[f64; 2]>,
}

/// A point of the store that cameras see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Where it is believed to be, metres.
    pub at: Point3<f64>,
    /// Standard deviations along x, y and z, metres; infinite = not known at all.
    pub sd_m: Vector3<f64>,
}

/// A mark as one camera sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Index of the camera.
    pub camera: usize,
    /// Index of the mark.
    pub mark: usize,
    /// Where it appears, pixels.
    pub px: Point2<f64>,
    /// Standard deviation of that, pixels.
    pub sd_px: f64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjusted {
    /// The cameras' poses.
    pub poses: Vec<Pose>,
    /// The marks' places.
    pub marks: Vec<Point3<f64>>,
    /// Standard deviations by camera: place (metres) and rotation (degrees).
    pub sds: Vec<[f64; 2]>,
    /// Root mean square reprojection error of the sights that are no outliers, by camera, pixels.
    pub rms_px: Vec<f64>,
    /// Sights that were left out.
    pub outliers: Vec<usize>,
}

/// Why nothing was adjusted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// A number is none.
    #[error("{what} holds numbers that are not finite; measure it again or remove it")]
    NotFinite {
        /// What.
        what: String,
    },
    /// A camera sees too little.
    #[error(
        "camera {camera} sees {sights} marks, at least {MIN_SIGHTS} are needed; put more markers into its view, or let \
         people walk there"
    )]
    TooFewSights {
        /// Which camera.
        camera: String,
        /// How many it sees.
        sights: usize,
    },
    /// A camera hangs in the air.
    #[error(
        "camera {camera} shares no marks with any camera whose place is known; put a surveyed marker into its view, or \
         one that it sees together with another camera"
    )]
    NotJoined {
        /// Which camera.
        camera: String,
    },
    /// The numbers run away.
    #[error(
        "the sights do not determine the pose of camera {camera}; spread its marks over the view, not on one line"
    )]
    Undetermined {
        /// Which camera.
        camera: String,
    },
}

/// How strongly a residual pulls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    /// Cauchy's, with this scale in standard deviations.
    Cauchy(f64),
    /// Geman and McClure's.
    Geman(f64),
}

impl Loss {
    /// Cost and weight of a squared residual.
    fn of(self, r2: f64) -> (f64, f64) {
        match self {
            Self::Cauchy(c) => (c * c * (r2 / (c * c)).ln_1p(), 1.0 / (1.0 + r2 / (c * c))),
            Self::Geman(c) => {
                let keep = 1.0 / (1.0 + r2 / (c * c));
                (r2 * keep, keep * keep)
            }
        }
    }
}

/// Adjusts all poses and marks to the sights.
///
/// # Errors
/// [`BundleError`], which names the camera or mark concerned.
pub fn adjust(cameras: &[RigCamera], marks: &[Mark], sights: &[Sight]) -> Result<Adjusted, BundleError> {
    adjust_from(cameras, cameras, marks, sights)
}

/// As [`adjust`], with the search beginning at the poses of `begin`; priors are around those of `cameras`.
///
/// # Errors
/// [`BundleError`].
pub fn adjust_from(
    cameras: &[RigCamera],
    begin: &[RigCamera],
    marks: &[Mark],
    sights: &[Sight],
) -> Result<Adjusted, BundleError> {
    check(cameras, marks, sights)?;
    let mut state = linear::State::new(begin, marks);
    // First a wide loss, which pulls from afar; then one that lets go.
    for loss in [Loss::Cauchy(10.0), Loss::Cauchy(3.0), Loss::Geman(4.0)] {
        let mut damping = 1e-3;
        let mut cost = state.cost(cameras, marks, sights, loss);
        for _ in 0..ITERATIONS {
            let Some(next) = state.step(cameras, marks, sights, loss, damping) else {
                damping *= 10.0;
                if damping > 1e8 {
                    break;
                }
                continue;
            };
            let lower = next.cost(cameras, marks, sights, loss);
            if lower < cost {
                let done = cost - lower < 1e-7 * cost.max(1e-12);
                (state, cost) = (next, lower);
                damping = (damping * 0.2).max(1e-12);
                if done {
                    break;
                }
            } else {
                damping *= 5.0;
                if damping > 1e8 {
                    break;
                }
            }
        }
    }
    let errors: Vec<f64> = sights.iter().map(|s| state.error_px(cameras, s)).collect();
    let outlier = |i: &usize| errors[*i] > OUTLIER_SDS * sights[*i].sd_px || !errors[*i].is_finite();
    let outliers: Vec<usize> = (0..sights.len()).filter(outlier).collect();
    let mut rms_px = Vec::new();
    for (index, camera) in cameras.iter().enumerate() {
        let of_camera = (0..sights.len()).filter(|i| sights[*i].camera == index && !outlier(i));
        let squares: Vec<f64> = of_camera.map(|i| errors[i] * errors[i]).collect();
        if squares.len() < MIN_SIGHTS {
            return Err(BundleError::TooFewSights { camera: camera.id.clone(), sights: squares.len() });
        }
        rms_px.push((squares.iter().sum::<f64>() / squares.len() as f64).sqrt());
    }
    let sds = state.sds(cameras, marks, sights)?;
    Ok(Adjusted { poses: state.poses(), marks: state.marks.clone(), sds, rms_px, outliers })
}

fn check(cameras: &[RigCamera], marks: &[Mark], sights: &[Sight]) -> Result<(), BundleError> {
    for camera in cameras {
        let l = &camera.lens;
        let numbers = [l.fx_px, l.fy_px, l.cx_px, l.cy_px];
        let pose = camera.pose.rotation.iter().chain(camera.pose.translation.iter());
        if !numbers.iter().chain(&l.distortion).chain(pose).all(|v| v.is_finite()) {
            return Err(BundleError::NotFinite { what: format!("camera {}", camera.id) });
        }
    }
    for (index, mark) in marks.iter().enumerate() {
        if !mark.at.iter().all(|v| v.is_finite()) || mark.sd_m.iter().any(|v| v.is_nan() || *v <= 0.0) {
            return Err(BundleError::NotFinite { what: format!("mark {}", index + 1) });
        }
    }
    let mut seen = vec![0; cameras.len()];
    for (index, sight) in sights.iter().enumerate() {
        let there = sight.camera < cameras.len() && sight.mark < marks.len();
        let finite = sight.px.iter().all(|v| v.is_finite()) && sight.sd_px.is_finite();
        if !there || !finite || sight.sd_px <= 0.0 {
            return Err(BundleError::NotFinite { what: format!("sight {}", index + 1) });
        }
        seen[sight.camera] += 1;
    }
    if let Some(index) = (0..cameras.len()).find(|i| seen[*i] < MIN_SIGHTS) {
        return Err(BundleError::TooFewSights { camera: cameras[index].id.clone(), sights: seen[index] });
    }
    joined(cameras, marks, sights)
}

/// Is every camera joined to something whose place is known, through marks that cameras share?
fn joined(cameras: &[RigCamera], marks: &[Mark], sights: &[Sight]) -> Result<(), BundleError> {
    let mut known: Vec<bool> = cameras.iter().map(|c| c.prior.is_some()).collect();
    let surveyed = |m: &Mark| m.sd_m.iter().all(|v| v.is_finite());
    let mut reached: Vec<bool> = marks.iter().map(surveyed).collect();
    loop {
        let mut grown = false;
        let mut common = vec![0; cameras.len()];
        for sight in sights {
            if known[sight.camera] && !reached[sight.mark] {
                reached[sight.mark] = true;
                grown = true;
            }
            common[sight.camera] += usize::from(reached[sight.mark]);
        }
        for (index, common) in common.iter().enumerate() {
            if !known[index] && *common >= MIN_SIGHTS - 1 {
                known[index] = true;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    match known.iter().position(|known| !known) {
        Some(index) => Err(BundleError::NotJoined { camera: cameras[index].id.clone() }),
        None => Ok(()),
    }
}
