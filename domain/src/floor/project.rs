//! From a box in the image to a place on the floor, with how sure it is.
//!
//! **With a lens and a pose**, a standing person is an upright round body: feet, shoulders and head as rings of
//! points at 0, 0.82 and 1 times a height of 1.70 m with a standard deviation of 0.10 m. The place and height whose
//! projected outline fits the box's four edges best are found by Gauss-Newton; the covariance is that of the fit.
//! One estimator thereby covers feet that are seen, heads that are seen, steep views where the foot is not below the
//! head in the image, wide lenses, and boxes cut by the image's edge: an edge that is cut says nothing and is left
//! out. Legs hidden behind a shelf pull the box's bottom up; a stooping person's head comes down: the fit is also
//! made without the bottom and without the top, and the best explanation wins, each omission having its price.
//!
//! **With a homography**, the middle of the lower edge is the foot. A box cut at the image's bottom then tells
//! little, and its covariance says so.

use nalgebra::{Matrix2, Matrix3, Point2, Point3, Vector2, Vector3};

use super::Person;
use crate::geometry::{PixelBox, View};
use crate::ids::TrackId;
use crate::layout::Camera;

/// Standard deviation of a box's upper and lower edge, box heights.
const EDGE_Y_SD: f64 = 0.07;
/// Standard deviation of a box's left and right edge, box widths.
const EDGE_X_SD: f64 = 0.15;
/// No edge is known better, pixels.
const EDGE_LEAST_SD_PX: f64 = 1.5;
/// What does not come from pixels: people sway, are no cylinders, and calibrations err. Metres.
const PLACE_SD_M: f64 = 0.06;
/// Body height of a shopper whose height nobody knows, metres.
const HEIGHT_M: f64 = 1.70;
const HEIGHT_SD_M: f64 = 0.10;
/// Price of leaving an edge out of the fit, in squared standard deviations.
const OMISSION_PRICE: f64 = 6.0;
/// Beyond this distance from the camera a box tells nothing useful, metres.
const FARTHEST_M: f64 = 80.0;
/// Worse than this on the floor is no observation, metres.
const WORST_SD_M: f64 = 4.0;

/// Where a person stands whom a camera sees as this box; `None` where that is not on the floor.
#[must_use]
pub fn person_from_box(
    camera: &Camera,
    bbox: PixelBox,
    score: f64,
    track: Option<TrackId>,
) -> Option<Person> {
    if !bbox.is_valid() || !score.is_finite() {
        return None;
    }
    let edges = Edges::of(&bbox, camera.size_px);
    let (foot, cov, height_m) = match &camera.view {
        View::Homography(_) => by_foot(&camera.view, &bbox, &edges)?,
        View::Lens { pose, .. } => by_outline(&camera.view, &bbox, &edges, pose.position())?,
    };
    let cov_m2 = cov + Matrix2::identity() * (PLACE_SD_M * PLACE_SD_M);
    let usable = foot.coords.iter().chain(cov_m2.iter()).all(|v| v.is_finite())
        && cov_m2.determinant() > 0.0
        && super::motion::largest_eigenvalue(&cov_m2) < WORST_SD_M * WORST_SD_M;
    usable.then(|| Person {
        foot,
        cov_m2,
        score: score.clamp(0.0, 1.0),
        height_m,
        hands: Vec::new(),
        hand_sd_m: 0.0,
        track,
        tracklet: None,
    })
}

/// Which edges of a box are real, and how well each is known.
struct Edges {
    /// Left, right, top, bottom: cut by the image's edge?
    cut: [bool; 4],
    sd_px: [f64; 4],
}

impl Edges {
    fn of(bbox: &PixelBox, size_px: [u32; 2]) -> Self {
        let [width, height] = size_px.map(f64::from);
        let near = |v: f64, border: f64| (v - border).abs() < (0.01 * border.max(height)).max(3.0);
        let x_sd = (EDGE_X_SD * bbox.w).max(EDGE_LEAST_SD_PX);
        let y_sd = (EDGE_Y_SD * bbox.h).max(EDGE_LEAST_SD_PX);
        let right = bbox.x + bbox.w;
        let bottom = bbox.y + bbox.h;
        Self {
            cut: [
                bbox.x < 0.0 || near(bbox.x, 0.0),
                right > width || near(right, width),
                bbox.y < 0.0 || near(bbox.y, 0.0),
                bottom > height || near(bottom, height),
            ],
            sd_px: [x_sd, x_sd, y_sd, y_sd],
        }
    }
}

type Placed = (Point2<f64>, Matrix2<f64>, Option<f64>);

fn by_foot(view: &View, bbox: &PixelBox, edges: &Edges) -> Option<Placed> {
    let floor = view.floor_at(bbox.foot(), 0.0)?;
    // The middle between two independent edges, each side that is cut being off by as much as half a body.
    let side = |i: usize| if edges.cut[i] { 0.5 * bbox.w } else { edges.sd_px[i] };
    let x_sd = side(0).hypot(side(1)) / 2.0;
    let y_sd = if edges.cut[3] { 0.4 * bbox.h } else { edges.sd_px[3] };
    Some((floor.at, floor.covariance_m2(Vector2::new(x_sd, y_sd)), None))
}

/// Left, right, top and bottom of the body's outline in the image.
fn outline(view: &View, state: &Vector3<f64>) -> Option<[f64; 4]> {
    const AROUND: usize = 8;
    let mut sides = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY];
    for (share, radius_m) in [(0.0, 0.15), (0.82, 0.22), (1.0, 0.08)] {
        for k in 0..AROUND {
            let angle = std::f64::consts::TAU * k as f64 / AROUND as f64;
            let (sin, cos) = angle.sin_cos();
            let world = Point3::new(state.x + radius_m * cos, state.y + radius_m * sin, share * state.z);
            let px = view.pixel_of(world)?;
            sides = [sides[0].min(px.x), sides[1].max(px.x), sides[2].min(px.y), sides[3].max(px.y)];
        }
    }
    sides.iter().all(|v| v.is_finite()).then_some(sides)
}

struct Fit {
    state: Vector3<f64>,
    cov: Matrix3<f64>,
    misfit: f64,
    outline: [f64; 4],
}

/// Fits place and height to the edges that are used, from a first guess.
fn fit(view: &View, seen: &[f64; 4], sd_px: &[f64; 4], used: [bool; 4], start: Point2<f64>) -> Option<Fit> {
    const STEPS: usize = 8;
    let mut state = Vector3::new(start.x, start.y, HEIGHT_M);
    let prior = 1.0 / (HEIGHT_SD_M * HEIGHT_SD_M);
    let mut cov = Matrix3::identity();
    for _ in 0..STEPS {
        let here = outline(view, &state)?;
        let mut information = Matrix3::zeros();
        information[(2, 2)] = prior;
        let mut pull = Vector3::new(0.0, 0.0, prior * (HEIGHT_M - state.z));
        let mut slopes = [Vector3::zeros(); 4];
        for axis in 0..3 {
            let mut moved = state;
            moved[axis] += 0.02;
            let there = outline(view, &moved)?;
            for edge in 0..4 {
                slopes[edge][axis] = (there[edge] - here[edge]) / 0.02;
            }
        }
        for edge in (0..4).filter(|e| used[*e]) {
            let weight = 1.0 / (sd_px[edge] * sd_px[edge]);
            information += slopes[edge] * slopes[edge].transpose() * weight;
            pull += slopes[edge] * (weight * (seen[edge] - here[edge]));
        }
        cov = information.try_inverse()?;
        let mut step = cov * pull;
        let stride = step.xy().norm();
        if !stride.is_finite() {
            return None;
        }
        if stride > 2.0 {
            step *= 2.0 / stride; // far off, the outline is not straight enough to leap
        }
        state += step;
        if stride < 1e-3 {
            break;
        }
    }
    let here = outline(view, &state)?;
    let mut misfit = ((state.z - HEIGHT_M) / HEIGHT_SD_M).powi(2);
    for edge in (0..4).filter(|e| used[*e]) {
        misfit += ((seen[edge] - here[edge]) / sd_px[edge]).powi(2);
    }
    misfit.is_finite().then_some(Fit { state, cov, misfit, outline: here })
}

fn by_outline(view: &View, bbox: &PixelBox, edges: &Edges, camera: Point3<f64>) -> Option<Placed> {
    let seen = [bbox.x, bbox.x + bbox.w, bbox.y, bbox.y + bbox.h];
    let visible = edges.cut.map(|cut| !cut);
    let foot = view.floor_at(bbox.foot(), 0.0).map(|p| p.at);
    let head = view.floor_at(bbox.head(), HEIGHT_M).map(|p| p.at);
    // Whatever is cut, one side at least must tell the bearing, and one of top and bottom the distance.
    if !(visible[0] || visible[1]) || !(visible[2] || visible[3]) {
        return None;
    }
    let reachable = |p: &Point2<f64>| (p - camera.xy()).norm() < FARTHEST_M;
    let mut best: Option<(f64, Fit, bool)> = None;
    let mut consider = |used: [bool; 4], start: Option<Point2<f64>>, hidden: Option<usize>| {
        let Some(start) = start.filter(&reachable) else { return };
        let Some(found) = fit(view, &seen, &edges.sd_px, used, start) else { return };
        let price = match hidden {
            None => found.misfit,
            // What is hidden makes the box smaller, never larger.
            Some(3) if seen[3] <= found.outline[3] + edges.sd_px[3] => found.misfit + OMISSION_PRICE,
            Some(2) if seen[2] >= found.outline[2] - edges.sd_px[2] => found.misfit + OMISSION_PRICE,
            Some(_) => return,
        };
        let both = used[2] && used[3];
        if best.as_ref().is_none_or(|(least, ..)| price < *least) {
            best = Some((price, found, both));
        }
    };
    consider(visible, if visible[3] { foot } else { head }, None);
    if visible[2] && visible[3] {
        consider([visible[0], visible[1], true, false], head, Some(3));
        consider([visible[0], visible[1], false, true], foot, Some(2));
    }
    let (_, found, both) = best?;
    let at = Point2::new(found.state.x, found.state.y);
    if !reachable(&at) || !(0.8..2.4).contains(&found.state.z) {
        return None;
    }
    // A poor fit is a poor measurement: four edges and a prior for three unknowns leave about one degree of freedom.
    let cov = found.cov.fixed_view::<2, 2>(0, 0) * (found.misfit / 2.0).clamp(1.0, 9.0);
    let told = both && found.cov[(2, 2)].sqrt() < 0.8 * HEIGHT_SD_M;
    Some((at, cov, told.then_some(found.state.z)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Lens, Pose};
    use crate::ids::CameraId;
    use nalgebra::Rotation3;

    /// At 2.8 m, looking along +y and down by 30 degrees, as cameras in stores hang.
    fn shop_camera() -> Camera {
        let lens = Lens {
            fx_px: 520.0,
            fy_px: 520.0,
            cx_px: 320.0,
            cy_px: 240.0,
            distortion: [-0.25, 0.06, 0.0, 0.0, 0.0],
        };
        let rotation = Rotation3::from_axis_angle(&Vector3::x_axis(), (90f64 + 30.0).to_radians());
        let pose =
            Pose { rotation: rotation.scaled_axis(), translation: -(rotation * Vector3::new(0.0, 0.0, 2.8)) };
        Camera { id: CameraId::new("c").unwrap(), size_px: [640, 480], view: View::Lens { lens, pose } }
    }

    fn box_of(camera: &Camera, x: f64, y: f64, height: f64) -> PixelBox {
        let [l, r, t, b] = outline(&camera.view, &Vector3::new(x, y, height)).unwrap();
        PixelBox { x: l, y: t, w: r - l, h: b - t }
    }

    fn clip(b: PixelBox) -> PixelBox {
        let (r, d) = ((b.x + b.w).min(640.0), (b.y + b.h).min(480.0));
        let (x, y) = (b.x.max(0.0), b.y.max(0.0));
        PixelBox { x, y, w: r - x, h: d - y }
    }

    #[test]
    fn a_whole_person_is_placed_whatever_their_height() {
        let camera = shop_camera();
        for (x, y, h) in [(0.0, 4.0, 1.70), (-1.0, 5.0, 1.60), (1.5, 6.0, 1.85)] {
            let p = person_from_box(&camera, box_of(&camera, x, y, h), 0.9, None).unwrap();
            let d2 = super::super::motion::distance2(p.foot - Point2::new(x, y), &p.cov_m2).unwrap().0;
            assert!(d2 < 3.0, "({x}, {y}) is {d2} from {}", p.foot);
            assert!((p.foot - Point2::new(x, y)).norm() < 0.2, "({x}, {y}) came out at {}", p.foot);
        }
    }

    #[test]
    fn a_person_cut_by_the_lower_edge_is_placed_by_the_head() {
        let camera = shop_camera();
        let whole = box_of(&camera, 0.2, 1.5, 1.70);
        assert!(whole.y + whole.h > 500.0, "the test wants feet outside the image: {whole:?}");
        let p = person_from_box(&camera, clip(whole), 0.9, None).unwrap();
        assert!((p.foot - Point2::new(0.2, 1.5)).norm() < 0.15, "{}", p.foot);
        assert!(p.height_m.is_none());
        let along = p.cov_m2[(1, 1)].sqrt();
        assert!(along > 0.1, "10 cm of height are more than 10 cm of distance here: {along}");
    }

    #[test]
    fn legs_behind_a_shelf_do_not_send_a_person_away() {
        let camera = shop_camera();
        let mut half = box_of(&camera, 0.0, 4.0, 1.70);
        half.h *= 0.55;
        let naive = camera.view.floor_at(half.foot(), 0.0).unwrap().at;
        assert!((naive - Point2::new(0.0, 4.0)).norm() > 1.5, "the foot alone is far off: {naive}");
        let p = person_from_box(&camera, half, 0.9, None).unwrap();
        let d2 = super::super::motion::distance2(p.foot - Point2::new(0.0, 4.0), &p.cov_m2).unwrap().0;
        assert!((p.foot - Point2::new(0.0, 4.0)).norm() < 0.4 && d2 < 6.0, "{} {d2}", p.foot);
    }

    #[test]
    fn a_homography_takes_the_foot_and_doubts_a_cut_box() {
        let h = Matrix3::new(0.01, 0.0, -3.2, 0.0, 0.02, -2.0, 0.0, 0.002, 0.2);
        let camera =
            Camera { id: CameraId::new("c").unwrap(), size_px: [640, 480], view: View::Homography(h) };
        let whole = PixelBox { x: 300.0, y: 200.0, w: 60.0, h: 150.0 };
        let p = person_from_box(&camera, whole, 0.9, Some(TrackId(7))).unwrap();
        assert!((p.foot - camera.view.floor_at(whole.foot(), 0.0).unwrap().at).norm() < 1e-12);
        assert_eq!(p.track, Some(TrackId(7)));
        let cropped = Camera { size_px: [640, 351], ..camera };
        let doubtful = person_from_box(&cropped, whole, 0.9, None).unwrap();
        assert!(doubtful.cov_m2.determinant() > 20.0 * p.cov_m2.determinant());
    }

    #[test]
    fn nonsense_is_no_person() {
        let camera = shop_camera();
        let ok = box_of(&camera, 0.0, 4.0, 1.70);
        for bad in [
            PixelBox { x: f64::NAN, ..ok },
            PixelBox { w: 0.0, ..ok },
            PixelBox { h: -3.0, ..ok },
            PixelBox { y: 1e300, ..ok },
            PixelBox { x: 0.0, y: 0.0, w: 640.0, h: 480.0 },
            // High above the horizon.
            PixelBox { x: 300.0, y: -200.0, w: 5.0, h: 10.0 },
        ] {
            assert_eq!(person_from_box(&camera, bad, 0.9, None), None, "{bad:?}");
        }
        assert_eq!(person_from_box(&camera, ok, f64::NAN, None), None);
    }
}
