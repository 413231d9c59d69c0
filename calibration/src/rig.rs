//! Poses of cameras from markers, and from people walking.
//!
//! Markers: each camera's pose is found from the markers that it sees, by RANSAC over perspective-n-point (OpenCV's
//! `solvePnPRansac`), and then all cameras are adjusted together ([`crate::bundle`]). A marker that several cameras
//! see need not be surveyed.
//!
//! People: whoever is seen by two cameras at one moment stands in one place on the floor. Feet are matched by where
//! the poses believed so far put them, nearest first; the poses are adjusted; and matched again, more narrowly.

use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Point2, Point3, Vector3};
use opencv::calib3d;
use opencv::core::{Mat, MatTraitConst, Point2f, Point3f, Vector};

use crate::bundle::{self, Adjusted, BundleError, Mark, RigCamera, Sight};

/// Feet of one person in two cameras may lie this far apart on the floor, metres; from round to round.
const GATES_M: [f64; 4] = [1.5, 0.8, 0.5, 0.4];
/// A person's feet are on the floor within this, metres.
const ON_FLOOR_SD_M: f64 = 0.01;
/// Steeper than this, feet say too little of the floor: metres a pixel.
const COARSEST_M_PER_PX: f64 = 0.1;

/// A person's feet as one camera sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feet {
    /// When; feet of the same moment have exactly the same number.
    pub moment: i64,
    /// Index of the camera.
    pub camera: usize,
    /// Where they appear, pixels.
    pub px: Point2<f64>,
}

/// Why there are no poses.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// No pose to begin with.
    #[error(
        "camera {camera}: no pose fits its {points} marker corners; check the markers' places in the survey and that \
         the lens belongs to this camera and image size"
    )]
    NoPose {
        /// Which camera.
        camera: String,
        /// How many corners it sees.
        points: usize,
    },
    /// Nothing is seen by two cameras.
    #[error(
        "no two cameras saw a person at the same place and moment; cameras that do not overlap need markers, and ones \
         that do need poses that are right within a metre and clocks that agree"
    )]
    NothingShared,
    /// The adjustment failed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// OpenCV failed.
    #[error("OpenCV could not find the pose")]
    OpenCv(#[from] opencv::Error),
}

/// The pose of one camera from points whose places are known, whatever a part of them says.
///
/// # Errors
/// [`RigError::NoPose`].
pub fn first_pose(
    camera: &str,
    lens: &Lens,
    points: &[(Point3<f64>, Point2<f64>)],
) -> Result<Pose, RigError> {
    let none = || RigError::NoPose { camera: camera.to_owned(), points: points.len() };
    if points.len() < bundle::MIN_SIGHTS {
        return Err(none());
    }
    // Centred, for OpenCV computes in 32-bit floats.
    let centre = points.iter().map(|p| p.0.coords).sum::<Vector3<f64>>() / points.len() as f64;
    let as_f32 = |p: &Point3<f64>| {
        let v = p.coords - centre;
        Point3f::new(v.x as f32, v.y as f32, v.z as f32)
    };
    let on_floor: Vector<Point3f> = points.iter().map(|(m, _)| as_f32(m)).collect();
    let in_image: Vector<Point2f> =
        points.iter().map(|(_, px)| Point2f::new(px.x as f32, px.y as f32)).collect();
    let matrix = [[lens.fx_px, 0.0, lens.cx_px], [0.0, lens.fy_px, lens.cy_px], [0.0, 0.0, 1.0]];
    let matrix = Mat::from_slice_2d(&matrix)?;
    let distortion = Mat::from_slice_2d(&[lens.distortion])?;
    let (mut turn, mut shift, mut inliers) = (Mat::default(), Mat::default(), Mat::default());
    let flags = calib3d::SOLVEPNP_SQPNP;
    let found = calib3d::solve_pnp_ransac(
        &on_floor,
        &in_image,
        &matrix,
        &distortion,
        &mut turn,
        &mut shift,
        false,
        1000,
        4.0,
        0.999,
        &mut inliers,
        flags,
    )?;
    if !found || (inliers.rows() as usize) < bundle::MIN_SIGHTS {
        return Err(none());
    }
    let three = |m: &Mat| -> opencv::Result<Vector3<f64>> {
        Ok(Vector3::new(*m.at::<f64>(0)?, *m.at::<f64>(1)?, *m.at::<f64>(2)?))
    };
    let mut pose = Pose { rotation: three(&turn)?, translation: three(&shift)? };
    pose.translation -= pose.matrix() * centre;
    Ok(pose)
}

/// All cameras from marks that they see: first each alone, then all together.
///
/// # Errors
/// [`RigError`].
pub fn from_marks(
    cameras: &[(String, Lens)],
    marks: &[Mark],
    sights: &[Sight],
) -> Result<Adjusted, RigError> {
    let mut rig = Vec::new();
    for (index, (id, lens)) in cameras.iter().enumerate() {
        let seen = sights.iter().filter(|s| s.camera == index && marks.get(s.mark).is_some_and(is_surveyed));
        let points: Vec<(Point3<f64>, Point2<f64>)> =
            seen.filter(|s| s.px.iter().all(|v| v.is_finite())).map(|s| (marks[s.mark].at, s.px)).collect();
        let pose = first_pose(id, lens, &points)?;
        rig.push(RigCamera { id: id.clone(), lens: *lens, pose, prior: None });
    }
    Ok(bundle::adjust(&rig, marks, sights)?)
}

fn is_surveyed(mark: &Mark) -> bool {
    mark.sd_m.iter().all(|sd| sd.is_finite()) && mark.at.iter().all(|v| v.is_finite())
}

/// What walking people say of the poses.
#[derive(Debug, Clone, PartialEq)]
pub struct Walked {
    /// The adjusted poses.
    pub adjusted: Adjusted,
    /// Moments at which two or more cameras saw one person.
    pub shared: usize,
}

/// Refines poses that are roughly right from the feet of people, with no marker at all. At least one camera must have
/// a prior. `sd_px` is how surely feet are found in an image.
///
/// # Errors
/// [`RigError`].
pub fn from_people(cameras: &[RigCamera], feet: &[Feet], sd_px: f64) -> Result<Walked, RigError> {
    let mut rig = cameras.to_vec();
    let mut last = None;
    for gate_m in GATES_M {
        let (marks, sights) = matched(&rig, feet, gate_m, sd_px);
        if marks.is_empty() {
            return Err(RigError::NothingShared);
        }
        // The priors stay those of the beginning: only the start of the search moves.
        let adjusted = bundle::adjust_from(cameras, &rig, &marks, &sights)?;
        for (camera, pose) in rig.iter_mut().zip(&adjusted.poses) {
            camera.pose = *pose;
        }
        last = Some(Walked { adjusted, shared: marks.len() });
    }
    last.ok_or(RigError::NothingShared)
}

/// Puts together the feet of one person: marks on the floor, and who sees each.
fn matched(rig: &[RigCamera], feet: &[Feet], gate_m: f64, sd_px: f64) -> (Vec<Mark>, Vec<Sight>) {
    let views: Vec<View> = rig.iter().map(|c| View::Lens { lens: c.lens, pose: c.pose }).collect();
    let mut placed: Vec<(Feet, Point2<f64>)> = feet
        .iter()
        .filter_map(|f| {
            let floor = views.get(f.camera)?.floor_at(f.px, 0.0)?;
            (floor.per_px.norm() < COARSEST_M_PER_PX).then_some((*f, floor.at))
        })
        .collect();
    placed.sort_by_key(|(f, _)| (f.moment, f.camera));
    let (mut marks, mut sights) = (Vec::new(), Vec::new());
    for moment in placed.chunk_by(|a, b| a.0.moment == b.0.moment) {
        for group in together(moment, gate_m) {
            let mean = group.iter().map(|i| moment[*i].1.coords).sum::<nalgebra::Vector2<f64>>()
                / group.len() as f64;
            let sd_m = Vector3::new(f64::INFINITY, f64::INFINITY, ON_FLOOR_SD_M);
            for i in &group {
                let (f, _) = moment[*i];
                sights.push(Sight { camera: f.camera, mark: marks.len(), px: f.px, sd_px });
            }
            marks.push(Mark { at: Point3::new(mean.x, mean.y, 0.0), sd_m });
        }
    }
    (marks, sights)
}

/// Groups of feet that lie together, nearest first, at most one of each camera, two or more.
fn together(moment: &[(Feet, Point2<f64>)], gate_m: f64) -> Vec<Vec<usize>> {
    let mut pairs = Vec::new();
    for (i, a) in moment.iter().enumerate() {
        for (j, b) in moment.iter().enumerate().skip(i + 1) {
            let apart_m = (a.1 - b.1).norm();
            if a.0.camera != b.0.camera && apart_m < gate_m {
                pairs.push((apart_m, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut group: Vec<usize> = (0..moment.len()).collect();
    for (_, i, j) in pairs {
        let (a, b) = (group[i], group[j]);
        let cameras = |g: usize| -> Vec<usize> {
            (0..moment.len()).filter(|k| group[*k] == g).map(|k| moment[k].0.camera).collect()
        };
        let (of_a, of_b) = (cameras(a), cameras(b));
        if a != b && of_a.iter().all(|c| !of_b.contains(c)) {
            for g in &mut group {
                if *g == b {
                    *g = a;
                }
            }
        }
    }
    let members = |g: usize| (0..group.len()).filter(|k| group[*k] == g).collect::<Vec<_>>();
    (0..moment.len()).map(members).filter(|m| m.len() >= 2).collect()
}
