//! Who sees what: the floor in cells, each with the cameras that see it and how surely a person there is placed.
//!
//! A camera sees a cell when the floor in its middle appears in the image and no shelving stands between. The error of
//! a place is that of the feet in the image, carried to the floor by the camera's own Jacobian, with what the
//! camera's calibration leaves open beside it; cameras are put together as independent measurements (their inverse
//! covariances add up).
//!
//! # Limits
//! Shelving is a box over the plates of a gondola, from the floor to [`GOODS_M`] above its highest plate. People hide
//! nobody. What a calibration does not say of itself is taken to be right.

use linefree_domain::geometry::View;
use linefree_domain::layout::{Gondola, StoreLayout};
use nalgebra::{Matrix2, Point2, Point3, Rotation3, Vector2, Vector3};

use crate::store::Quality;

/// Goods reach this far above the highest plate, metres.
pub const GOODS_M: f64 = 0.25;
/// Feet are found in an image to this share of its height: 3 pixels of 720.
pub const FEET_SD_SHARE: f64 = 0.004;
/// The lowest point of a box is not the middle of who stands there: standard deviation, metres.
pub const BODY_SD_M: f64 = 0.05;
/// Who stands this near to a shelf's front shops there, metres.
pub const FRONT_M: f64 = 0.8;
/// Side of the floor's cells, metres, where the floor is no larger than what [`MOST_CELLS`] of them cover.
pub const CELL_M: f64 = 0.5;
/// The most cells.
pub const MOST_CELLS: f64 = 2000.0;
/// Where the pixels of a lens do not come back to the point this near, the lens model has folded over, metres.
const FOLDED_M: f64 = 0.02;

/// A camera that looks at the floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Viewer {
    /// Its id.
    pub id: String,
    /// Width and height of its images, pixels.
    pub size_px: [u32; 2],
    /// How its pixels relate to the store.
    pub view: View,
    /// What its calibration says of itself.
    pub quality: Quality,
}

impl Viewer {
    /// The cameras of a store.
    #[must_use]
    pub fn of(layout: &StoreLayout, qualities: &[Quality]) -> Vec<Self> {
        let quality = |i: usize| qualities.get(i).copied().unwrap_or_default();
        let viewer = |(i, c): (usize, &linefree_domain::layout::Camera)| Self {
            id: c.id.as_str().to_owned(),
            size_px: c.size_px,
            view: c.view.clone(),
            quality: quality(i),
        };
        layout.cameras.iter().enumerate().map(viewer).collect()
    }

    /// Where the camera stands; `None` for a homography, which does not tell.
    #[must_use]
    pub fn position(&self) -> Option<Point3<f64>> {
        match &self.view {
            View::Homography(_) => None,
            View::Lens { pose, .. } => Some(pose.position()),
        }
    }

    /// The pixel of a point of the store, where the image shows it.
    #[must_use]
    pub fn pixel_of(&self, at: Point3<f64>) -> Option<Point2<f64>> {
        let px = self.view.pixel_of(at)?;
        let inside = |v: f64, side: u32| (0.0..f64::from(side)).contains(&v);
        if !inside(px.x, self.size_px[0]) || !inside(px.y, self.size_px[1]) {
            return None;
        }
        let back = self.view.floor_at(px, at.z)?;
        ((back.at - at.xy()).norm() < FOLDED_M).then_some(px)
    }

    /// How surely this camera places somebody whose feet appear there: covariance, square metres.
    #[must_use]
    pub fn covariance_m2(&self, px: Point2<f64>) -> Option<Matrix2<f64>> {
        let focal_px = match &self.view {
            View::Homography(_) => 0.0,
            View::Lens { lens, .. } => lens.fx_px,
        };
        let turned_px = self.quality.rotation_sd_deg.unwrap_or(0.0).to_radians() * focal_px;
        let sd_px = (FEET_SD_SHARE * f64::from(self.size_px[1])).hypot(turned_px);
        let floor = self.view.floor_at(px, 0.0)?;
        // Half of all points lie within 1.18 standard deviations in the plane.
        let fitted_m = self.quality.floor_error_m.unwrap_or(0.0) / 1.18;
        let place_m = self.quality.position_sd_m.unwrap_or(0.0);
        let own = BODY_SD_M.powi(2) + fitted_m.powi(2) + place_m.powi(2);
        let all = floor.covariance_m2(Vector2::repeat(sd_px)) + Matrix2::identity() * own;
        all.iter().all(|v| v.is_finite()).then_some(all)
    }
}

/// Shelving as a box.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    gondola: Gondola,
    least: Vector3<f64>,
    most: Vector3<f64>,
}

impl Body {
    /// The boxes of a store's gondolas; those without plates have none.
    #[must_use]
    pub fn of(layout: &StoreLayout) -> Vec<Self> {
        let mut bodies = Vec::new();
        for (index, gondola) in layout.gondolas.iter().enumerate() {
            let mut least = Vector3::repeat(f64::INFINITY);
            let mut most = Vector3::repeat(f64::NEG_INFINITY);
            for plate in layout.plates.iter().filter(|p| p.gondola == index) {
                for corner in plate.corners {
                    let local = local(gondola, Point3::new(corner.x, corner.y, plate.centre.z));
                    (least, most) = (least.inf(&local), most.sup(&local));
                }
            }
            if least.x < most.x {
                least.z = -gondola.origin.z;
                most.z += GOODS_M;
                bodies.push(Self { gondola: gondola.clone(), least, most });
            }
        }
        bodies
    }

    /// Does it stand between the two points?
    #[must_use]
    pub fn blocks(&self, from: Point3<f64>, to: Point3<f64>) -> bool {
        // The part of the way that lies between each pair of parallel faces (Kay and Kajiya 1986).
        let (a, b) = (local(&self.gondola, from), local(&self.gondola, to));
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for axis in 0..3 {
            let way = b[axis] - a[axis];
            if way.abs() < 1e-12 {
                if a[axis] <= self.least[axis] || a[axis] >= self.most[axis] {
                    return false;
                }
                continue;
            }
            let (p, q) = ((self.least[axis] - a[axis]) / way, (self.most[axis] - a[axis]) / way);
            enters = enters.max(p.min(q));
            leaves = leaves.min(p.max(q));
        }
        // Touching an edge hides nothing.
        leaves - enters > 1e-9
    }

    /// Is the place under or within it?
    #[must_use]
    pub fn covers(&self, at: Point2<f64>) -> bool {
        let p = local(&self.gondola, Point3::new(at.x, at.y, self.gondola.origin.z));
        (0..2).all(|i| (self.least[i]..=self.most[i]).contains(&p[i]))
    }

    /// Does somebody there stand before its front?
    #[must_use]
    pub fn fronts(&self, at: Point2<f64>) -> bool {
        let p = local(&self.gondola, Point3::new(at.x, at.y, self.gondola.origin.z));
        (self.least.x..=self.most.x).contains(&p.x) && (self.least.y - FRONT_M..self.least.y).contains(&p.y)
    }

    /// Its corners seen from above, metres.
    #[must_use]
    pub fn outline(&self) -> [Point2<f64>; 4] {
        let (a, b) = (self.least, self.most);
        [[a.x, a.y], [b.x, a.y], [b.x, b.y], [a.x, b.y]]
            .map(|[x, y]| self.gondola.to_store(Point3::new(x, y, 0.0)).xy())
    }

    /// Its gondola's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.gondola.id
    }

    /// Places before its front, left to right as a shopper sees them, this far away and this far apart, metres.
    #[must_use]
    pub fn places_before(&self, away_m: f64, apart_m: f64) -> Vec<Point2<f64>> {
        let width = self.most.x - self.least.x;
        let count = (width / apart_m).ceil().max(1.0) as usize;
        let x = |i: usize| self.least.x + width * (i as f64 + 0.5) / count as f64;
        let place = |i| self.gondola.to_store(Point3::new(x(i), self.least.y - away_m, 0.0)).xy();
        (0..count).map(place).collect()
    }
}

fn local(gondola: &Gondola, at: Point3<f64>) -> Vector3<f64> {
    let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), -gondola.yaw_deg.to_radians());
    turn * (at - gondola.origin)
}

/// Does any shelving stand between?
#[must_use]
pub fn hidden(bodies: &[Body], from: Point3<f64>, to: Point3<f64>) -> bool {
    bodies.iter().any(|b| b.blocks(from, to))
}

/// A piece of the floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its middle, metres.
    pub at: Point2<f64>,
    /// Does who stands there shop at a shelf?
    pub front: bool,
    /// The cameras that see it, in their order.
    pub seen_by: Vec<usize>,
    /// Expected error of a person's place there, root mean square, metres; `None` where no camera sees it.
    pub error_m: Option<f64>,
}

/// A floor in cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// Side of a cell, metres.
    pub cell_m: f64,
    /// The cells, row by row from the least y.
    pub cells: Vec<Cell>,
}

/// Middles of the cells of a store's floor, where no shelving stands, and their side.
#[must_use]
pub fn cells(layout: &StoreLayout, bodies: &[Body]) -> (f64, Vec<Cell>) {
    let cell_m = (layout.floor.area_m2() / MOST_CELLS).sqrt().max(CELL_M);
    let [least, most] = bounds(layout.floor.corners());
    let count = |axis: usize| ((most[axis] - least[axis]) / cell_m).ceil().max(1.0) as usize;
    let mut cells = Vec::new();
    for row in 0..count(1) {
        for column in 0..count(0) {
            let at =
                Point2::new(least.x + (column as f64 + 0.5) * cell_m, least.y + (row as f64 + 0.5) * cell_m);
            if layout.floor.contains(at) && !bodies.iter().any(|b| b.covers(at)) {
                let front = bodies.iter().any(|b| b.fronts(at));
                cells.push(Cell { at, front, seen_by: Vec::new(), error_m: None });
            }
        }
    }
    (cell_m, cells)
}

/// The least and the greatest coordinates.
#[must_use]
pub fn bounds(points: &[Point2<f64>]) -> [Point2<f64>; 2] {
    let (mut least, mut most) = (Vector2::repeat(f64::INFINITY), Vector2::repeat(f64::NEG_INFINITY));
    for p in points {
        (least, most) = (least.inf(&p.coords), most.sup(&p.coords));
    }
    [Point2::from(least), Point2::from(most)]
}

impl Coverage {
    /// What these cameras see of a store.
    #[must_use]
    pub fn of(layout: &StoreLayout, viewers: &[Viewer]) -> Self {
        let bodies = Body::of(layout);
        let (cell_m, mut cells) = cells(layout, &bodies);
        for cell in &mut cells {
            let mut information = Matrix2::zeros();
            for (index, viewer) in viewers.iter().enumerate() {
                if let Some(covariance) = seen(viewer, &bodies, cell.at)
                    && let Some(inverse) = covariance.try_inverse()
                {
                    information += inverse;
                    cell.seen_by.push(index);
                }
            }
            cell.error_m = error_m(&information);
        }
        Self { cell_m, cells }
    }

    /// The share of cells (of those before shelves, where `fronts`) that at least `cameras` see.
    #[must_use]
    pub fn share_seen(&self, cameras: usize, fronts: bool) -> f64 {
        let of: Vec<&Cell> = self.cells.iter().filter(|c| c.front || !fronts).collect();
        let seen = of.iter().filter(|c| c.seen_by.len() >= cameras).count();
        if of.is_empty() { 0.0 } else { seen as f64 / of.len() as f64 }
    }

    /// Median expected error of the cells that are seen, metres.
    #[must_use]
    pub fn median_error_m(&self) -> Option<f64> {
        let mut errors: Vec<f64> = self.cells.iter().filter_map(|c| c.error_m).collect();
        errors.sort_by(f64::total_cmp);
        errors.get(errors.len() / 2).copied()
    }

    /// By square metre of the floor: its corner of least x and y, and the expected error there (root mean square over
    /// its cells); `None` where part of it is not seen.
    #[must_use]
    pub fn by_square_metre(&self) -> Vec<(Point2<f64>, Option<f64>)> {
        let mut squares: std::collections::BTreeMap<(i64, i64), Vec<Option<f64>>> = Default::default();
        for cell in &self.cells {
            let key = (cell.at.y.floor() as i64, cell.at.x.floor() as i64);
            squares.entry(key).or_default().push(cell.error_m);
        }
        let mean = |errors: Vec<Option<f64>>| {
            let count = errors.len() as f64;
            let errors: Option<Vec<f64>> = errors.into_iter().collect();
            errors.map(|e| (e.iter().map(|v| v * v).sum::<f64>() / count).sqrt())
        };
        let corner = |(y, x): (i64, i64)| Point2::new(x as f64, y as f64);
        squares.into_iter().map(|(key, errors)| (corner(key), mean(errors))).collect()
    }
}

/// Covariance with which a camera places somebody; `None` where it does not see them.
#[must_use]
pub fn seen(viewer: &Viewer, bodies: &[Body], at: Point2<f64>) -> Option<Matrix2<f64>> {
    let foot = Point3::new(at.x, at.y, 0.0);
    let px = viewer.pixel_of(foot)?;
    if viewer.position().is_some_and(|p| hidden(bodies, p, foot)) {
        return None;
    }
    viewer.covariance_m2(px)
}

/// Root mean square error of what an information matrix leaves open, metres.
#[must_use]
pub fn error_m(information: &Matrix2<f64>) -> Option<f64> {
    let covariance = information.try_inverse()?;
    let error = covariance.trace().sqrt();
    error.is_finite().then_some(error)
}

/// A stretch before a shelf's front where too few cameras see a shopper.
#[derive(Debug, Clone, PartialEq)]
pub struct BlindZone {
    /// The gondola.
    pub gondola: String,
    /// Its ends, metres.
    pub from: Point2<f64>,
    /// Its ends, metres.
    pub to: Point2<f64>,
    /// The most cameras that see a place in it: 0 or 1.
    pub cameras: usize,
}

/// How far before a front shoppers stand, metres.
const STANDS_M: f64 = 0.4;
/// How finely fronts are looked at, metres.
const ALONG_M: f64 = 0.25;

/// Stretches before shelves that no camera sees, or only one.
#[must_use]
pub fn blind_zones(layout: &StoreLayout, viewers: &[Viewer]) -> Vec<BlindZone> {
    let bodies = Body::of(layout);
    let mut zones: Vec<BlindZone> = Vec::new();
    for body in &bodies {
        let places = body.places_before(STANDS_M, ALONG_M);
        let counts: Vec<usize> = places
            .iter()
            .map(|at| viewers.iter().filter(|v| seen(v, &bodies, *at).is_some()).count())
            .collect();
        let stretches: Vec<(usize, Point2<f64>)> = counts.into_iter().zip(places).collect();
        for stretch in stretches.chunk_by(|a, b| a.0.min(2) == b.0.min(2)) {
            let (Some((cameras, from)), Some((_, to))) = (stretch.first(), stretch.last()) else { continue };
            if *cameras < 2 {
                zones.push(BlindZone {
                    gondola: body.id().to_owned(),
                    from: *from,
                    to: *to,
                    cameras: *cameras,
                });
            }
        }
    }
    zones
}
