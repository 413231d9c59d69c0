//! Points on the floor, and how a camera's pixels map onto it.
//!
//! Floor coordinates are metres, right-handed with z up; angles are radians in code and degrees in files. Pixels
//! have x to the right and y down, (0, 0) the top left corner of the image.
//!
//! Camera model: pinhole with Brown-Conrady distortion (k1, k2, p1, p2, k3), as OpenCV's `calib3d` defines it,
//! and a pose that maps world to camera, `X_cam = R X_world + t` (Hartley and Zisserman, Multiple View Geometry,
//! 2nd ed., ch. 6 and 7.4).

use nalgebra::{Matrix2, Matrix3, Point2, Point3, Rotation3, Vector2, Vector3};

/// A straight piece on the floor, such as a gate's threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// One end, metres.
    pub from: Point2<f64>,
    /// The other end, metres.
    pub to: Point2<f64>,
}

impl Segment {
    /// Distance from a point to the nearest point of the segment, metres.
    #[must_use]
    pub fn distance_m(&self, p: Point2<f64>) -> f64 {
        let along = self.to - self.from;
        let len2 = along.norm_squared();
        let u = if len2 > 0.0 { ((p - self.from).dot(&along) / len2).clamp(0.0, 1.0) } else { 0.0 };
        (p - (self.from + along * u)).norm()
    }

    /// The middle, metres.
    #[must_use]
    pub fn middle(&self) -> Point2<f64> {
        nalgebra::center(&self.from, &self.to)
    }
}

/// A simple polygon on the floor; the last corner joins the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    corners: Vec<Point2<f64>>,
}

impl Polygon {
    /// A polygon from at least three finite corners; `None` otherwise, or when it has no area.
    #[must_use]
    pub fn new(corners: Vec<Point2<f64>>) -> Option<Self> {
        let finite = corners.iter().all(|c| c.x.is_finite() && c.y.is_finite());
        let polygon = Self { corners };
        (finite && polygon.corners.len() >= 3 && polygon.area_m2() > 1e-9).then_some(polygon)
    }

    /// The corners in order, metres.
    #[must_use]
    pub fn corners(&self) -> &[Point2<f64>] {
        &self.corners
    }

    fn edges(&self) -> impl Iterator<Item = Segment> + '_ {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().zip(next).map(|(a, b)| Segment { from: *a, to: *b })
    }

    /// Area, square metres, by the shoelace formula.
    #[must_use]
    pub fn area_m2(&self) -> f64 {
        self.edges().map(|e| e.from.x * e.to.y - e.to.x * e.from.y).sum::<f64>().abs() / 2.0
    }

    /// Is the point inside (even-odd rule)?
    #[must_use]
    pub fn contains(&self, p: Point2<f64>) -> bool {
        let crossed = |e: &Segment| {
            (e.from.y > p.y) != (e.to.y > p.y)
                && p.x < (e.to.x - e.from.x) * (p.y - e.from.y) / (e.to.y - e.from.y) + e.from.x
        };
        self.edges().filter(crossed).count() % 2 == 1
    }

    /// Distance to the polygon, metres: 0 inside, else to the nearest edge.
    #[must_use]
    pub fn distance_m(&self, p: Point2<f64>) -> f64 {
        if self.contains(p) {
            return 0.0;
        }
        self.edges().map(|e| e.distance_m(p)).fold(f64::INFINITY, f64::min)
    }
}

/// A point on the floor with the Jacobian that turns pixel noise into metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloorPoint {
    /// Metres.
    pub at: Point2<f64>,
    /// d(floor x, floor y) / d(pixel x, pixel y), metres per pixel.
    pub per_px: Matrix2<f64>,
}

impl FloorPoint {
    /// Covariance on the floor (square metres) of a pixel with independent noise of these standard deviations.
    #[must_use]
    pub fn covariance_m2(&self, sd_px: Vector2<f64>) -> Matrix2<f64> {
        self.per_px * Matrix2::from_diagonal(&sd_px.component_mul(&sd_px)) * self.per_px.transpose()
    }
}

/// Lens of a camera: focal lengths and principal point in pixels, distortion `[k1, k2, p1, p2, k3]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lens {
    /// Focal length along x, pixels.
    pub fx_px: f64,
    /// Focal length along y, pixels.
    pub fy_px: f64,
    /// Principal point, pixels.
    pub cx_px: f64,
    /// Principal point, pixels.
    pub cy_px: f64,
    /// Brown-Conrady coefficients k1, k2, p1, p2, k3.
    pub distortion: [f64; 5],
}

impl Lens {
    /// Distorts a point of the ideal image plane (z = 1).
    #[must_use]
    pub fn distort(&self, p: Point2<f64>) -> Point2<f64> {
        let [k1, k2, p1, p2, k3] = self.distortion;
        let r2 = p.x * p.x + p.y * p.y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        Point2::new(
            p.x * radial + 2.0 * p1 * p.x * p.y + p2 * (r2 + 2.0 * p.x * p.x),
            p.y * radial + p1 * (r2 + 2.0 * p.y * p.y) + 2.0 * p2 * p.x * p.y,
        )
    }

    /// From a pixel to the ideal image plane, by fixed-point iteration (as OpenCV's `undistortPoints`).
    ///
    /// `None` where the iteration does not come back to the pixel: outside what the lens model can describe.
    #[must_use]
    pub fn undistort(&self, px: Point2<f64>) -> Option<Point2<f64>> {
        let seen = Point2::new((px.x - self.cx_px) / self.fx_px, (px.y - self.cy_px) / self.fy_px);
        let mut p = seen;
        for _ in 0..40 {
            let back = self.distort(p);
            p -= back - seen;
        }
        let error = (self.distort(p) - seen).norm();
        (error < 1e-4).then_some(p)
    }
}

/// Pose of a camera: maps world to camera coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Rotation as a Rodrigues vector: axis times angle in radians.
    pub rotation: Vector3<f64>,
    /// Translation, metres.
    pub translation: Vector3<f64>,
}

impl Pose {
    /// The rotation as a matrix.
    #[must_use]
    pub fn matrix(&self) -> Matrix3<f64> {
        Rotation3::new(self.rotation).into_inner()
    }

    /// Where the camera stands, metres.
    #[must_use]
    pub fn position(&self) -> Point3<f64> {
        Point3::from(-(self.matrix().transpose() * self.translation))
    }
}

/// How a camera's pixels relate to the store.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// Image pixels to floor metres only: nothing above the floor can be placed.
    Homography(Matrix3<f64>),
    /// A calibrated lens and pose.
    Lens {
        /// The lens.
        lens: Lens,
        /// The pose, world to camera.
        pose: Pose,
    },
}

impl View {
    /// Where the ray through a pixel meets the horizontal plane `height_m` above the floor.
    ///
    /// `None` when it does not (above the horizon, outside the lens model) or, for a homography, when the height is
    /// not that of the floor.
    #[must_use]
    pub fn floor_at(&self, px: Point2<f64>, height_m: f64) -> Option<FloorPoint> {
        let at = self.plane_point(px, height_m)?;
        // Central differences: exact enough at half a pixel for every model, with or without distortion.
        let step = 0.5;
        let dx = self.plane_point(px + Vector2::new(step, 0.0), height_m)?
            - self.plane_point(px - Vector2::new(step, 0.0), height_m)?;
        let dy = self.plane_point(px + Vector2::new(0.0, step), height_m)?
            - self.plane_point(px - Vector2::new(0.0, step), height_m)?;
        Some(FloorPoint { at, per_px: Matrix2::from_columns(&[dx / (2.0 * step), dy / (2.0 * step)]) })
    }

    fn plane_point(&self, px: Point2<f64>, height_m: f64) -> Option<Point2<f64>> {
        match self {
            Self::Homography(h) => {
                if height_m.abs() > 1e-9 {
                    return None;
                }
                let p = h * Vector3::new(px.x, px.y, 1.0);
                // The sign of the denominator tells the two sides of the horizon apart; the floor is the side on
                // which the bottom of a very tall image would lie.
                let below = h * Vector3::new(px.x, 1e7, 1.0);
                let same_side = (p.z > 0.0) == (below.z > 0.0) && p.z.abs() > 1e-12;
                same_side.then(|| Point2::new(p.x / p.z, p.y / p.z))
            }
            Self::Lens { lens, pose } => {
                let ideal = lens.undistort(px)?;
                let back = pose.matrix().transpose();
                let ray = back * Vector3::new(ideal.x, ideal.y, 1.0);
                let origin = -(back * pose.translation);
                let reach = (height_m - origin.z) / ray.z;
                (reach.is_finite() && reach > 0.0)
                    .then(|| Point2::new(origin.x + ray.x * reach, origin.y + ray.y * reach))
            }
        }
    }

    /// The pixel at which a point of the store appears; `None` behind the camera, or above the floor for a
    /// homography.
    #[must_use]
    pub fn pixel_of(&self, world: Point3<f64>) -> Option<Point2<f64>> {
        match self {
            Self::Homography(h) => {
                if world.z.abs() > 1e-9 {
                    return None;
                }
                let p = h.try_inverse()? * Vector3::new(world.x, world.y, 1.0);
                (p.z.abs() > 1e-12).then(|| Point2::new(p.x / p.z, p.y / p.z))
            }
            Self::Lens { lens, pose } => {
                let p = pose.matrix() * world.coords + pose.translation;
                if p.z <= 1e-9 {
                    return None;
                }
                let d = lens.distort(Point2::new(p.x / p.z, p.y / p.z));
                Some(Point2::new(lens.fx_px * d.x + lens.cx_px, lens.fy_px * d.y + lens.cy_px))
            }
        }
    }
}

/// An axis-aligned box in the image, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelBox {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl PixelBox {
    /// The middle of the lower edge: where a standing person meets the floor.
    #[must_use]
    pub fn foot(&self) -> Point2<f64> {
        Point2::new(self.x + self.w / 2.0, self.y + self.h)
    }

    /// The middle of the upper edge: the top of the head.
    #[must_use]
    pub fn head(&self) -> Point2<f64> {
        Point2::new(self.x + self.w / 2.0, self.y)
    }

    /// Area, square pixels.
    #[must_use]
    pub fn area_px2(&self) -> f64 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// Area of the overlap with another box, square pixels.
    #[must_use]
    pub fn overlap_px2(&self, other: &Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let overlap = self.overlap_px2(other);
        let union = self.area_px2() + other.area_px2() - overlap;
        if union > 0.0 { overlap / union } else { 0.0 }
    }

    /// Are all four numbers finite and the sides positive?
    #[must_use]
    pub fn is_valid(&self) -> bool {
        [self.x, self.y, self.w, self.h].iter().all(|v| v.is_finite()) && self.w > 0.0 && self.h > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceiling_camera() -> View {
        let lens = Lens {
            fx_px: 500.0,
            fy_px: 500.0,
            cx_px: 320.0,
            cy_px: 180.0,
            distortion: [-0.2, 0.05, 0.001, -0.001, 0.0],
        };
        // Looks down at 3 m height, tilted by 40 degrees from the vertical.
        let rotation = Rotation3::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI - 0.7);
        let pose =
            Pose { rotation: rotation.scaled_axis(), translation: -(rotation * Vector3::new(1.0, 2.0, 3.0)) };
        View::Lens { lens, pose }
    }

    #[test]
    fn a_pixel_and_its_floor_point_agree() {
        let view = ceiling_camera();
        for (x, y, z) in [(1.0, 3.0, 0.0), (0.2, 3.5, 1.7), (1.9, 2.2, 1.0)] {
            let px = view.pixel_of(Point3::new(x, y, z)).unwrap();
            let back = view.floor_at(px, z).unwrap();
            assert!((back.at - Point2::new(x, y)).norm() < 1e-3, "{px:?} came back as {:?}", back.at);
        }
    }

    #[test]
    fn the_jacobian_predicts_a_small_step() {
        let view = ceiling_camera();
        let px = Point2::new(300.0, 150.0);
        let here = view.floor_at(px, 0.0).unwrap();
        let step = Vector2::new(0.8, -0.6);
        let there = view.floor_at(px + step, 0.0).unwrap();
        assert!((there.at - here.at - here.per_px * step).norm() < 1e-3);
    }

    #[test]
    fn a_homography_ends_at_its_horizon() {
        // y_floor = 100 / (y_px - 50): the horizon is the image row 50.
        let view = View::Homography(Matrix3::new(1.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0, 1.0, -50.0));
        assert!(view.floor_at(Point2::new(10.0, 150.0), 0.0).is_some());
        assert!(view.floor_at(Point2::new(10.0, 20.0), 0.0).is_none());
        assert!(view.floor_at(Point2::new(10.0, 150.0), 1.0).is_none());
    }

    #[test]
    fn polygons_know_inside_from_outside() {
        let l_shape = [(0.0, 0.0), (4.0, 0.0), (4.0, 1.0), (1.0, 1.0), (1.0, 3.0), (0.0, 3.0)];
        let p = Polygon::new(l_shape.iter().map(|(x, y)| Point2::new(*x, *y)).collect()).unwrap();
        assert!((p.area_m2() - 6.0).abs() < 1e-12);
        assert!(p.contains(Point2::new(0.5, 2.0)) && !p.contains(Point2::new(2.0, 2.0)));
        assert!((p.distance_m(Point2::new(2.0, 2.0)) - 1.0).abs() < 1e-12);
        assert!(Polygon::new(vec![Point2::origin(); 5]).is_none());
    }
}
