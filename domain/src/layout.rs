//! The store as it is built: what `store.toml` describes, checked and with every reference resolved.
//!
//! The path of a weighing plate is store > gondola > shelf > plate. References between parts are indexes into the
//! vectors of [`StoreLayout`], so the core never looks a name up in its hot paths.

mod robots;

use std::collections::BTreeMap;

use nalgebra::{Point2, Point3, Vector2};

use crate::geometry::{Polygon, Segment, View};
use crate::ids::{CameraId, CameraIndex, GateId, GateIndex, PlateId, PlateIndex, ProductIndex, Sku, StoreId};
use crate::units::{Currency, Money};

pub use robots::{Bay, RobotFloor, RobotPost, Station};

/// Which way shoppers pass a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateKind {
    /// In only.
    Entry,
    /// Out only.
    Exit,
    /// Both ways.
    Both,
}

impl GateKind {
    /// May shoppers come in here?
    #[must_use]
    pub fn lets_in(self) -> bool {
        self != Self::Exit
    }

    /// May shoppers leave here?
    #[must_use]
    pub fn lets_out(self) -> bool {
        self != Self::Entry
    }
}

/// A gate: the only places where shoppers appear and vanish.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Its id.
    pub id: GateId,
    /// Which way it works.
    pub kind: GateKind,
    /// The threshold on the floor.
    pub segment: Segment,
}

/// A calibrated camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its id.
    pub id: CameraId,
    /// Width and height of its images, pixels.
    pub size_px: [u32; 2],
    /// How its pixels relate to the store.
    pub view: View,
}

/// A piece of shelving with its front towards the shoppers.
#[derive(Debug, Clone, PartialEq)]
pub struct Gondola {
    /// Its id, the first part of its plates' ids.
    pub id: String,
    /// Front left foot, metres.
    pub origin: Point3<f64>,
    /// Counter-clockwise rotation seen from above, degrees; at 0 the shoppers stand on its -y side.
    pub yaw_deg: f64,
}

impl Gondola {
    /// From the gondola's own coordinates (x right along the front, y away from the shopper, z up) to the store's.
    #[must_use]
    pub fn to_store(&self, local: Point3<f64>) -> Point3<f64> {
        let turned =
            nalgebra::Rotation3::from_axis_angle(&nalgebra::Vector3::z_axis(), self.yaw_deg.to_radians());
        self.origin + turned * local.coords
    }

    /// Unit vector on the floor that points from the shelving to where its shoppers stand.
    #[must_use]
    pub fn facing(&self) -> Vector2<f64> {
        let (sin, cos) = self.yaw_deg.to_radians().sin_cos();
        Vector2::new(sin, -cos)
    }
}

/// A weighing plate.
#[derive(Debug, Clone, PartialEq)]
pub struct Plate {
    /// Its id, `gondola/shelf/plate`.
    pub id: PlateId,
    /// Position of its gondola in [`StoreLayout::gondolas`].
    pub gondola: usize,
    /// Middle of its surface, metres.
    pub centre: Point3<f64>,
    /// Its corners seen from above, metres: front left, front right, back right, back left.
    pub corners: [Point2<f64>; 4],
}

/// What one item of a product weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemWeight {
    /// Mean, grams.
    pub mean_g: f64,
    /// Standard deviation between items, grams.
    pub sd_g: f64,
}

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Its code.
    pub sku: Sku,
    /// What people call it.
    pub name: String,
    /// Price of one item.
    pub price: Money,
    /// Weight of one item.
    pub weight: ItemWeight,
}

/// Where a product lies: one or several neighbouring plates. One item may rest on several of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Facing {
    /// What lies there.
    pub product: ProductIndex,
    /// On which plates.
    pub plates: Vec<PlateIndex>,
    /// How many items at the start, where known.
    pub count: Option<u32>,
}

/// The whole store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreLayout {
    /// Its id.
    pub id: StoreId,
    /// What people call it.
    pub name: String,
    /// IANA time zone name, for people; the core does not use it.
    pub timezone: String,
    /// The currency of every price.
    pub currency: Currency,
    /// Where people can walk.
    pub floor: Polygon,
    /// Its gates.
    pub gates: Vec<Gate>,
    /// Its cameras.
    pub cameras: Vec<Camera>,
    /// Its shelving.
    pub gondolas: Vec<Gondola>,
    /// Every weighing plate of every shelf.
    pub plates: Vec<Plate>,
    /// The catalogue.
    pub products: Vec<Product>,
    /// The planogram.
    pub facings: Vec<Facing>,
    /// Where robots drive; `None` in a store without them.
    pub robots: Option<RobotFloor>,
}

impl StoreLayout {
    /// Finds a camera by id.
    #[must_use]
    pub fn camera(&self, id: &str) -> Option<CameraIndex> {
        self.cameras.iter().position(|c| c.id.as_str() == id).map(CameraIndex)
    }

    /// Finds a gate by id.
    #[must_use]
    pub fn gate(&self, id: &str) -> Option<GateIndex> {
        self.gates.iter().position(|g| g.id.as_str() == id).map(GateIndex)
    }

    /// Every plate by id, for those who must look up many.
    #[must_use]
    pub fn plates_by_id(&self) -> BTreeMap<&str, PlateIndex> {
        self.plates.iter().enumerate().map(|(i, p)| (p.id.as_str(), PlateIndex(i))).collect()
    }

    /// Finds a plate by id.
    #[must_use]
    pub fn plate(&self, id: &str) -> Option<PlateIndex> {
        self.plates.iter().position(|p| p.id.as_str() == id).map(PlateIndex)
    }

    /// Finds a product by SKU.
    #[must_use]
    pub fn product(&self, sku: &str) -> Option<ProductIndex> {
        self.products.iter().position(|p| p.sku.as_str() == sku).map(ProductIndex)
    }

    /// The products that the planogram places on a plate.
    pub fn products_on(&self, plate: PlateIndex) -> impl Iterator<Item = ProductIndex> + '_ {
        self.facings.iter().filter(move |f| f.plates.contains(&plate)).map(|f| f.product)
    }
}
