//! Poses of cameras from markers, and from people walking.
//!
//! Markers: each camera's pose is found from the markers that it sees, by RANSAC (Fischler and Bolles 1981) over the
//! poses through three of their corners (Ke and Roumeliotis 2017, OpenCV's `AP3P`), whether they lie in one plane or
//! not; and then all cameras are adjusted together ([`crate::bundle`]). A marker that several cameras see need not be
//! surveyed.
//!
//! People: whoever is seen by two cameras at one moment stands in one place on the floor. Feet are matched by where
//! the poses believed so far put them, nearest first; the poses are adjusted; and matched again, more narrowly.

use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Matrix3, Point2, Point3, Vector3};
use opencv::calib3d;
use opencv::core::{
    Mat, MatTraitConst, Point2d, Point3d, TermCriteria, TermCriteria_COUNT, TermCriteria_EPS, Vector,
    no_array,
};

use crate::bundle::{self, Adjusted, BundleError, Mark, RigCamera, Sight};

/// Feet of one person in two cameras may lie this far apart on the floor, metres; from round to round.
const GATES_M: [f64; 4] = [1.5, 0.8, 0.5, 0.4];
/// A person's feet are on the floor within this, metres.
const ON_FLOOR_SD_M: f64 = 0.01;
/// Steeper than this, feet say too little of the floor: metres a pixel.
const COARSEST_M_PER_PX: f64 = 0.1;

/// How many threes of corners are tried: with half of all corners wrong, one in eight is good.
const SAMPLES: usize = 400;
/// A corner agrees with a first pose within this, pixels: a pose through three corners is rough.
const AGREES_PX: f64 = 6.0;
/// At least this share of a camera's corners must agree with its first pose.
const MIN_AGREEING_SHARE: f64 = 0.4;
/// Camera matrix of the ideal image plane.
const IDEAL: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

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

/// The pose of one camera from points whose places are known, though a part of them be wrong.
///
/// # Errors
/// [`RigError::NoPose`] where no pose pleases four in ten of the points.
pub fn first_pose(
    camera: &str,
    lens: &Lens,
    points: &[(Point3<f64>, Point2<f64>)],
) -> Result<Pose, RigError> {
    let none = || RigError::NoPose { camera: camera.to_owned(), points: points.len() };
    // Undistorted here: OpenCV stops after five rounds, which a wide lens's corners need more than.
    let ideal: Vec<Known> = points
        .iter()
        .filter_map(|(at, px)| Some(Known { at: *at, px: *px, ideal: lens.undistort(*px)? }))
        .collect();
    if ideal.len() < bundle::MIN_SIGHTS {
        return Err(none());
    }
    // Centred, so that nothing is lost where a survey's numbers are great.
    let centre = ideal.iter().map(|p| p.at.coords).sum::<Vector3<f64>>() / ideal.len() as f64;
    let ideal: Vec<Known> = ideal.into_iter().map(|p| Known { at: p.at - centre, ..p }).collect();
    let mut draws = Draws(0);
    let mut best: Option<(f64, Pose)> = None;
    for _ in 0..SAMPLES {
        let Some(sample) = draws.three(ideal.len()) else { break };
        for pose in through_three(&sample.map(|i| ideal[i]))? {
            // A wrong point costs the same however wrong it is (MSAC, Torr and Zisserman 2000).
            let off = Offset::under(&pose, lens);
            let cost: f64 = ideal.iter().map(|p| off.of(p).min(AGREES_PX).powi(2)).sum();
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, pose));
            }
        }
    }
    let (_, mut pose) = best.ok_or_else(none)?;
    let mut agreeing = Vec::new();
    for _ in 0..3 {
        let off = Offset::under(&pose, lens);
        agreeing = ideal.iter().filter(|p| off.of(p) < AGREES_PX).copied().collect();
        if agreeing.len() < bundle::MIN_SIGHTS {
            return Err(none());
        }
        pose = refined(&pose, &agreeing)?;
    }
    if (agreeing.len() as f64) < MIN_AGREEING_SHARE * points.len() as f64 {
        return Err(none());
    }
    pose.translation -= pose.matrix() * centre;
    Ok(pose)
}

/// A point whose place is known.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Point3<f64>,
    px: Point2<f64>,
    /// Its pixel in the ideal image plane.
    ideal: Point2<f64>,
}

/// How far off points are under a pose.
struct Offset<'a> {
    lens: &'a Lens,
    turn: Matrix3<f64>,
    shift: Vector3<f64>,
}

impl<'a> Offset<'a> {
    fn under(pose: &Pose, lens: &'a Lens) -> Self {
        Self { lens, turn: pose.matrix(), shift: pose.translation }
    }

    /// In pixels; infinite behind the camera.
    fn of(&self, p: &Known) -> f64 {
        let at = self.turn * p.at.coords + self.shift;
        if at.z <= 0.0 {
            return f64::INFINITY;
        }
        let d = self.lens.distort(Point2::new(at.x / at.z, at.y / at.z));
        let dx = self.lens.fx_px * d.x + self.lens.cx_px - p.px.x;
        dx.hypot(self.lens.fy_px * d.y + self.lens.cy_px - p.px.y)
    }
}

/// Which points to try: drawn by SplitMix64 (Steele et al. 2014) from a fixed start, so that a survey gives the same
/// poses whenever it is fitted.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count as u64) as usize
    }

    /// Three different numbers below `count`.
    fn three(&mut self, count: usize) -> Option<[usize; 3]> {
        if count < 3 {
            return None;
        }
        loop {
            let [a, b, c] = [self.below(count), self.below(count), self.below(count)];
            if a != b && a != c && b != c {
                return Some([a, b, c]);
            }
        }
    }
}

/// Points as OpenCV takes them.
fn for_opencv(points: &[Known]) -> (Vector<Point3d>, Vector<Point2d>) {
    let at = points.iter().map(|p| Point3d::new(p.at.x, p.at.y, p.at.z)).collect();
    (at, points.iter().map(|p| Point2d::new(p.ideal.x, p.ideal.y)).collect())
}

/// The up to four poses in which three points lie where they are seen.
fn through_three(sample: &[Known; 3]) -> opencv::Result<Vec<Pose>> {
    let [a, b, c] = sample.map(|p| p.at);
    let longest = (b - a).norm().max((c - a).norm()).max((c - b).norm());
    // Three points on a line, or nearly, fix no pose.
    if (b - a).cross(&(c - a)).norm() < 0.02 * longest * longest {
        return Ok(Vec::new());
    }
    let (at, ideal) = for_opencv(sample);
    let (mut turns, mut shifts) = (Vector::<Mat>::new(), Vector::<Mat>::new());
    let method = calib3d::SOLVEPNP_AP3P;
    let matrix = Mat::from_slice_2d(&IDEAL)?;
    calib3d::solve_p3p(&at, &ideal, &matrix, &no_array(), &mut turns, &mut shifts, method)?;
    let mut poses = Vec::new();
    for (turn, shift) in turns.iter().zip(shifts.iter()) {
        let pose = Pose { rotation: three(&turn)?, translation: three(&shift)? };
        if pose.rotation.iter().chain(&pose.translation).all(|v| v.is_finite()) {
            poses.push(pose);
        }
    }
    Ok(poses)
}

/// The pose with the least squared error over all of these points.
fn refined(pose: &Pose, points: &[Known]) -> opencv::Result<Pose> {
    let (at, ideal) = for_opencv(points);
    let column = |v: &Vector3<f64>| Mat::from_slice_2d(&[[v.x], [v.y], [v.z]]);
    let (mut turn, mut shift) = (column(&pose.rotation)?, column(&pose.translation)?);
    let until = TermCriteria::new(TermCriteria_COUNT + TermCriteria_EPS, 30, 1e-12)?;
    let matrix = Mat::from_slice_2d(&IDEAL)?;
    calib3d::solve_pnp_refine_lm(&at, &ideal, &matrix, &no_array(), &mut turn, &mut shift, until)?;
    let better = Pose { rotation: three(&turn)?, translation: three(&shift)? };
    let finite = better.rotation.iter().chain(&better.translation).all(|v| v.is_finite());
    Ok(if finite { better } else { *pose })
}

fn three(m: &Mat) -> opencv::Result<Vector3<f64>> {
    Ok(Vector3::new(*m.at::<f64>(0)?, *m.at::<f64>(1)?, *m.at::<f64>(2)?))
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
    /// The feet that were put together; their marks are those of [`Self::adjusted`].
    pub sights: Vec<Sight>,
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
        last = Some(Walked { adjusted, shared: marks.len(), sights });
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
