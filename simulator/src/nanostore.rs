//! A real walk-out store: case cps-test-01 of the AutoCheckout data (AiFi nanostore, CPS-IoT Week 2020).
//!
//! From the published data come the four videos, the lenses, gondolas, shelves and plates, products with their
//! weights, and the labelled events of all twelve cases. Three things are missing there and are made here:
//!
//! - **Plate signals.** The 60 Hz signals are not public. They are synthesised ([`crate::load_cell`]) from the
//!   labelled events of the case and the products' weights.
//! - **Poses.** The published poses do not fit these videos: the cameras had been turned since, by 15 to 40 degrees,
//!   which an overlay of the shelves shows at once. `CAMERAS` holds poses that were estimated anew, by bundle
//!   adjustment over marks on the floor, the feet of the glass wall and the two reaches, with the published lenses.
//!   Projected back, floor marks agree within 2 pixels in the median; the shopper is 1.65 to 1.8 m tall in every
//!   view; hands and labelled plates meet within 0.25 m. By position, cam1, cam3, cam5 and cam7 are the published
//!   cameras 1, 5, 7 and 9. The gondola at the end wall (5) is seen 0.9 m nearer than published, as if gondola 4 had
//!   not been there that day; nothing is taken from either.
//! - **The planogram.** Products lie where the cases' labelled takes found them; the others are put on free plates in
//!   the order of their ids.
//!
//! The moment of each take was read off the videos: the hand comes back with something at 10.6 s and 16.6 s, six
//! seconds apart as the labels (22:24:15 and 22:24:21) are, so t = 0 is 22:24:05 to within a second. The shopper
//! comes in by the door at the far end just before the videos begin and leaves by the near one at 21.3 s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use linefree_domain::geometry::{Lens, Polygon, Pose, Segment, View};
use linefree_domain::ids::{
    CameraId, CameraIndex, Credential, GateId, GateIndex, PlateId, PlateIndex, ProductIndex, Sku, StoreId,
};
use linefree_domain::layout::{
    Camera, Facing, Gate, GateKind, Gondola, ItemWeight, Plate, Product, StoreLayout,
};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};
use linefree_recording::{
    CameraFile, DEFAULT_SD_FRACTION, GateEvent, GateLine, MIN_DEFAULT_SD_G, RecordingWriter, StoreFile,
    store_toml,
};
use nalgebra::{Point2, Point3, Rotation3, Vector3};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::load_cell;
use crate::script::{Action, Deed, Script};

/// 2020-01-28T22:24:05Z.
const START: StoreTime = StoreTime::from_micros(1_580_250_245_000_000);
const DURATION_S: f64 = 33.8;
const SIZE_PX: [u32; 2] = [640, 360];
/// The case that has videos.
const CASE: &str = "cps-test-01";
/// When the case's takes change the weight and how long the hand is there, seconds; read off the videos.
const TAKES_S: [(f64, f64); 2] = [(10.6, 1.6), (16.6, 2.6)];
/// When the shopper passes the near door, seconds.
const EXIT_S: f64 = 21.3;

/// Video, published camera, rotation and translation (world to camera) as estimated anew.
const CAMERAS: [(&str, &str, [f64; 3], [f64; 3]); 4] = [
    ("cam1", "1", [1.195_281, 2.366_301, -0.924_639], [2.505_98, -0.761_17, 4.420_28]),
    ("cam3", "5", [1.554_259, 2.071_589, -1.266_146], [1.690_61, 0.301_54, 3.455_16]),
    ("cam5", "7", [1.163_17, -2.065_621, 1.153_049], [0.148_06, 2.341_27, 1.393_08]),
    ("cam7", "9", [1.216_813, -2.295_215, 0.981_889], [-0.592_53, 1.231_1, 2.651_21]),
];

/// The walkable floor between the shelves' fronts and the glass wall, metres.
const FLOOR_M: [[f64; 2]; 4] = [[0.15, -1.5], [3.75, -1.5], [3.75, 0.05], [0.15, 0.05]];
/// The doors in the glass wall.
const GATES: [(&str, GateKind, [[f64; 2]; 2]); 2] = [
    ("far-door", GateKind::Entry, [[2.85, -1.5], [3.65, -1.5]]),
    ("near-door", GateKind::Exit, [[0.25, -1.5], [0.85, -1.5]]),
];

/// Builds the recording in `out`; the videos are yours to link to the paths returned (from, to).
///
/// # Errors
/// When the data cannot be read or is not what this module knows, or the recording cannot be written.
pub fn build(data: &Path, out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let cases = cases(data)?;
    let layout = layout(data, &cases)?;
    let store = StoreFile::parse(&out.join("store.toml"), &store_toml(&layout))?;
    let case = cases.iter().find(|c| c.case == CASE).with_context(|| format!("cases.json has no {CASE}"))?;
    let script = script(case)?;

    let shopper = case.events.first().map(|e| e.shopper.clone()).context("the case has no event")?;
    let samples =
        load_cell::weigh(&store.layout, START, script.sampling(), &script.handlings(&store.layout)?);
    let mut writer = RecordingWriter::create(out, &store, START)?;
    for sample in &samples {
        writer.weights(sample)?;
    }
    let entry = GateLine {
        time: START,
        gate: GateIndex(0),
        event: GateEvent::Entry,
        credential: Some(Credential::new(&shopper)?),
        party: 1,
    };
    let exit = GateLine {
        time: START.plus_s(EXIT_S),
        gate: GateIndex(1),
        event: GateEvent::Exit,
        credential: None,
        party: 1,
    };
    writer.gate(&entry)?;
    writer.gate(&exit)?;
    writer.expected(&script.receipts([shopper.as_str()])?)?;
    let mut files = Vec::new();
    let mut videos = Vec::new();
    for (i, (camera, ..)) in CAMERAS.iter().enumerate() {
        let file = PathBuf::from(format!("cameras/{camera}.mp4"));
        videos.push((data.join(format!("videos/{CASE}-nodepth-{camera}.mp4")), out.join(&file)));
        files.push(CameraFile { camera: CameraIndex(i), file, offset_s: 0.0 });
    }
    writer.finish(DURATION_S, files)?;
    Ok(videos)
}

fn script(case: &Case) -> anyhow::Result<Script> {
    ensure!(case.events.len() == TAKES_S.len(), "{CASE} has {} events, not 2", case.events.len());
    let action = |(event, (t, handling_s)): (&Event, &(f64, f64))| -> anyhow::Result<Action> {
        Ok(Action {
            t: *t,
            credential: event.shopper.clone(),
            deed: if event.putback == 0 { Deed::Take } else { Deed::Put },
            sku: event.products.first().context("an event without product")?.clone(),
            quantity: 1,
            plates: event.position.plates(),
            handling_s: *handling_s,
        })
    };
    let actions = case.events.iter().zip(&TAKES_S).map(action).collect::<anyhow::Result<_>>()?;
    Ok(Script { seed: 20_200_128, rate_hz: 20.0, duration_s: DURATION_S, actions })
}

/// The real store as the published data describes it, without anybody in it.
///
/// # Errors
/// When the data cannot be read or is not what this module knows.
pub fn real_layout(data: &Path) -> anyhow::Result<StoreLayout> {
    layout(data, &cases(data)?)
}

/// The labelled cases.
///
/// # Errors
/// When cases.json cannot be read.
pub fn cases(data: &Path) -> anyhow::Result<Vec<Case>> {
    read(&data.join("cases.json"))
}

fn layout(data: &Path, cases: &[Case]) -> anyhow::Result<StoreLayout> {
    let floor = Polygon::new(FLOOR_M.map(Point2::from).to_vec()).context("the floor has no area")?;
    let gate = |(id, kind, [a, b]): (&str, GateKind, [[f64; 2]; 2])| -> anyhow::Result<Gate> {
        Ok(Gate { id: GateId::new(id)?, kind, segment: Segment { from: a.into(), to: b.into() } })
    };
    let (gondolas, plates) = shelving(&data.join("store_meta"))?;
    let products = products(&data.join("products.json"))?;
    let facings = planogram(cases, &products, &plates);
    Ok(StoreLayout {
        id: StoreId::new("nanostore")?,
        name: "Nanostore".to_owned(),
        timezone: "America/Los_Angeles".to_owned(),
        currency: Currency::new("USD").context("a currency")?,
        floor,
        gates: GATES.into_iter().map(gate).collect::<anyhow::Result<_>>()?,
        cameras: cameras(&data.join("store_meta/calibration.json"))?,
        gondolas,
        plates,
        products,
        facings,
        robots: None,
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
}

#[derive(Deserialize)]
struct Calibration {
    cameras: BTreeMap<String, PublishedCamera>,
}

#[derive(Deserialize)]
struct PublishedCamera {
    /// Rows; in units of the image's width and height.
    #[serde(rename = "K")]
    k: [[f64; 3]; 3],
    dist_coeffs: [f64; 5],
}

fn cameras(path: &Path) -> anyhow::Result<Vec<Camera>> {
    let published: Calibration = read(path)?;
    let [width, height] = SIZE_PX.map(f64::from);
    let camera = |(id, number, rotation, translation): (&str, &str, [f64; 3], [f64; 3])| {
        let found = published
            .cameras
            .get(number)
            .with_context(|| format!("no camera {number} in {}", path.display()))?;
        let [[fx, _, cx], [_, fy, cy], _] = found.k;
        let lens = Lens {
            fx_px: fx * width,
            fy_px: fy * height,
            cx_px: cx * width,
            cy_px: cy * height,
            distortion: found.dist_coeffs,
        };
        let pose = Pose { rotation: Vector3::from(rotation), translation: Vector3::from(translation) };
        Ok(Camera { id: CameraId::new(id)?, size_px: SIZE_PX, view: View::Lens { lens, pose } })
    };
    CAMERAS.into_iter().map(camera).collect()
}

#[derive(Deserialize, Clone, Copy)]
struct Xyz {
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Deserialize)]
struct Transform {
    translation: Xyz,
    /// Rodrigues vector.
    rotation: Xyz,
}

#[derive(Deserialize)]
struct Placement {
    transform: Transform,
    dim_x: f64,
    dim_y: f64,
}

impl Placement {
    fn translation(&self) -> Vector3<f64> {
        let Xyz { x, y, z } = self.transform.translation;
        Vector3::new(x, y, z)
    }
}

#[derive(Deserialize)]
struct Part<I> {
    id: I,
    coordinates: Placement,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GondolaKey {
    id: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ShelfKey {
    gondola_id: GondolaKey,
    shelf_index: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PlateKey {
    shelf_id: ShelfKey,
    plate_index: u32,
}

#[derive(Deserialize)]
struct Gondolas {
    gondolas: Vec<Part<GondolaKey>>,
}

#[derive(Deserialize)]
struct Shelves {
    shelves: Vec<Part<ShelfKey>>,
}

#[derive(Deserialize)]
struct Plates {
    plates: Vec<Part<PlateKey>>,
}

/// Gondolas and plates in metres. The data hangs each shelf 0.41 m in front of its gondola's back panel; here a
/// gondola's origin is its front left foot, so that shift moves from the shelves into the gondola.
fn shelving(meta: &Path) -> anyhow::Result<(Vec<Gondola>, Vec<Plate>)> {
    let mut published = read::<Gondolas>(&meta.join("Gondolas.json"))?.gondolas;
    let shelves = read::<Shelves>(&meta.join("Shelves.json"))?.shelves;
    let mut parts = read::<Plates>(&meta.join("Plates.json"))?.plates;
    published.sort_by_key(|g| g.id);
    parts.sort_by_key(|p| p.id);
    let upright = |r: Xyz| r.x.abs() < 1e-6 && r.y.abs() < 1e-6;
    ensure!(published.iter().all(|g| upright(g.coordinates.transform.rotation)), "a gondola is tilted");
    let turned = |p: &Placement| {
        Vector3::from([p.transform.rotation.x, p.transform.rotation.y, p.transform.rotation.z]).norm() > 1e-6
    };
    ensure!(!shelves.iter().any(|s| turned(&s.coordinates)), "a shelf is turned against its gondola");
    ensure!(!parts.iter().any(|p| turned(&p.coordinates)), "a plate is turned against its shelf");

    let depth_m = shelves.first().map(|s| s.coordinates.translation().y).context("there is no shelf")?;
    let mut gondolas = Vec::new();
    for part in &published {
        let yaw = part.coordinates.transform.rotation.z;
        let shift = Rotation3::from_axis_angle(&Vector3::z_axis(), yaw) * Vector3::new(0.0, depth_m, 0.0);
        gondolas.push(Gondola {
            id: part.id.id.to_string(),
            origin: Point3::from(round_mm(part.coordinates.translation() + shift)),
            yaw_deg: (yaw.to_degrees() * 10.0).round() / 10.0,
        });
    }
    let mut plates = Vec::new();
    for part in &parts {
        let PlateKey { shelf_id, plate_index } = part.id;
        let gondola =
            published.iter().position(|g| g.id == shelf_id.gondola_id).context("a plate without gondola")?;
        let shelf = shelves.iter().find(|s| s.id == shelf_id).context("a plate without shelf")?;
        let on_gondola = round_mm(
            shelf.coordinates.translation() + part.coordinates.translation()
                - Vector3::new(0.0, depth_m, 0.0),
        );
        let size = round_mm(Vector3::new(part.coordinates.dim_x, part.coordinates.dim_y, 0.0));
        let frame = gondolas.get(gondola).context("a plate without gondola")?;
        let at = |u: f64, v: f64| {
            frame.to_store(Point3::from(on_gondola + size.component_mul(&Vector3::new(u, v, 0.0))))
        };
        plates.push(Plate {
            id: PlateId::new(format!("{}/{}/{plate_index}", shelf_id.gondola_id.id, shelf_id.shelf_index))?,
            gondola,
            centre: at(0.5, 0.5),
            corners: [at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)].map(|c| c.xy()),
        });
    }
    Ok((gondolas, plates))
}

/// The data is in 32-bit floats of inches turned into metres; a millimetre is more than it knows.
fn round_mm(v: Vector3<f64>) -> Vector3<f64> {
    v.map(|c| (c * 1000.0).round() / 1000.0)
}

#[derive(Deserialize)]
struct PublishedProduct {
    id: String,
    name: String,
    /// Dollars.
    price: f64,
    /// Grams.
    weight: f64,
}

/// The catalogue by SKU, without the entry of unknown products, which weighs nothing.
fn products(path: &Path) -> anyhow::Result<Vec<Product>> {
    let mut published: Vec<PublishedProduct> = read(path)?;
    published.retain(|p| p.weight > 0.0);
    published.sort_by(|a, b| a.id.cmp(&b.id));
    let product = |p: PublishedProduct| -> anyhow::Result<Product> {
        let mean_g = (p.weight * 100.0).round() / 100.0;
        let sd_g = ((mean_g * DEFAULT_SD_FRACTION).max(MIN_DEFAULT_SD_G) * 100.0).round() / 100.0;
        Ok(Product {
            sku: Sku::new(&p.id)?,
            name: p.name,
            price: Money::from_minor((p.price * 100.0).round() as i64),
            weight: ItemWeight { mean_g, sd_g },
        })
    };
    published.into_iter().map(product).collect()
}

/// A labelled case: one stay of one or several shoppers.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Its name.
    pub case: String,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// One labelled handling.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// 1 for a put, 0 for a take.
    pub putback: u8,
    /// Where.
    pub position: Position,
    /// Who.
    pub shopper: String,
    /// When, by somebody's watch: offset into a video and the video's name.
    pub time: String,
    /// What: one SKU for each item.
    pub products: Vec<String>,
}

/// Plates of one shelf.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Gondola.
    pub gondola: u32,
    /// Shelf.
    pub shelf: u32,
    /// Plates, neighbours.
    pub plates: Vec<u32>,
}

impl Position {
    /// The plates' ids in the store.
    #[must_use]
    pub fn plates(&self) -> Vec<String> {
        self.plates.iter().map(|p| format!("{}/{}/{p}", self.gondola, self.shelf)).collect()
    }
}

/// Products lie where takes found them before anybody put one back; the rest get two free plates each.
fn planogram(cases: &[Case], products: &[Product], plates: &[Plate]) -> Vec<Facing> {
    let mut found: BTreeMap<&str, BTreeSet<Position>> = BTreeMap::new();
    for case in cases {
        let mut put_back: BTreeSet<&str> = BTreeSet::new();
        for event in &case.events {
            for sku in &event.products {
                if event.putback != 0 {
                    put_back.insert(sku);
                } else if !put_back.contains(sku.as_str()) {
                    found.entry(sku).or_default().insert(event.position.clone());
                }
            }
        }
    }
    let index: BTreeMap<&str, PlateIndex> =
        plates.iter().enumerate().map(|(i, p)| (p.id.as_str(), PlateIndex(i))).collect();
    let mut used: BTreeSet<PlateIndex> = BTreeSet::new();
    let mut facings = Vec::new();
    for (i, product) in products.iter().enumerate() {
        for position in found.get(product.sku.as_str()).into_iter().flatten() {
            let plates: Vec<PlateIndex> =
                position.plates().iter().filter_map(|p| index.get(p.as_str()).copied()).collect();
            used.extend(&plates);
            facings.push(Facing { product: ProductIndex(i), plates, count: None });
        }
    }
    // Neighbours on one shelf, both free.
    let mut free = plates.windows(2).enumerate().filter_map(|(i, pair)| match pair {
        [a, b] if a.id.place() == b.id.place() => Some([PlateIndex(i), PlateIndex(i + 1)]),
        _ => None,
    });
    for (i, product) in products.iter().enumerate() {
        if found.contains_key(product.sku.as_str()) {
            continue;
        }
        let Some(pair) = free.find(|pair| pair.iter().all(|p| !used.contains(p))) else { break };
        used.extend(pair);
        facings.push(Facing { product: ProductIndex(i), plates: pair.to_vec(), count: None });
    }
    facings
}
