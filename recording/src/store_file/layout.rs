//! The store's own tables: `[store]`, `[[gate]]`, `[[camera]]`, `[[gondola]]`.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::geometry::{Lens, Polygon, Pose, Segment, View};
use linefree_domain::ids::{CameraId, GateId, PlateId, PlateIndex, StoreId};
use linefree_domain::layout::{Camera, Gate, GateKind, Gondola, Plate, StoreLayout};
use linefree_domain::units::Currency;
use nalgebra::{Matrix3, Point2, Point3, Vector3};

use super::catalogue;
use super::quality;
use super::robots;
use crate::toml_walk::{Node, Table};

/// A gate further than this from the walkable floor is probably misplaced, metres.
const GATE_FAR_FROM_FLOOR_M: f64 = 1.0;

/// `None` when a part is missing or wrong; every reason has then been reported.
pub(super) fn read(root: &mut Table<'_>) -> Option<StoreLayout> {
    let store = read_store(root);
    let gates = read_gates(root, store.as_ref().map(|s| &s.floor));
    let cameras = read_cameras(root);
    let (gondolas, plates) = read_gondolas(root);
    let by_id: BTreeMap<&str, PlateIndex> =
        plates.iter().enumerate().map(|(i, p)| (p.id.as_str(), PlateIndex(i))).collect();
    let (products, facings) = catalogue::read(root, &by_id);
    let robots = robots::read(root, store.as_ref().map(|s| s.id.as_str()), &by_id);
    let Store { id, name, timezone, currency, floor } = store?;
    Some(StoreLayout {
        id,
        name,
        timezone,
        currency,
        floor,
        gates,
        cameras,
        gondolas,
        plates,
        products,
        facings,
        robots,
    })
}

struct Store {
    id: StoreId,
    name: String,
    timezone: String,
    currency: Currency,
    floor: Polygon,
}

fn read_store(root: &mut Table<'_>) -> Option<Store> {
    let node = root.need("store", "add a [store] table with id, name, timezone, currency and floor")?;
    let mut t = node.table("[store] with single brackets")?;
    let id = t
        .need("id", "name the store, for example id = \"berlin-3\"")
        .and_then(|n| n.id("a short id without spaces", |s| StoreId::new(s)));
    let name = t
        .need("name", "write the name people know the store by")
        .and_then(|n| filled(&n, "the store's name"));
    let timezone = t
        .need("timezone", "write an IANA name, for example timezone = \"Europe/Berlin\"")
        .and_then(|n| read_timezone(&n));
    let currency =
        t.need("currency", "write an ISO 4217 code, for example currency = \"EUR\"").and_then(|n| {
            let text = n.str("a currency code")?;
            let currency = Currency::new(text);
            if currency.is_none() {
                n.mistake(
                    format!("{text:?} is not a currency code"),
                    "write three capitals, for example \"EUR\"",
                );
            }
            currency
        });
    let floor = t
        .need("floor", "list the corners of the walkable floor in metres: [[0, 0], [6, 0], [6, 4]]")
        .and_then(|n| read_floor(&n));
    t.finish();
    Some(Store { id: id?, name: name?, timezone: timezone?, currency: currency?, floor: floor? })
}

pub(super) fn filled(node: &Node<'_>, wanted: &str) -> Option<String> {
    let text = node.str(wanted)?;
    if text.trim().is_empty() {
        node.mistake("is empty", format!("write {wanted}"));
        return None;
    }
    Some(text.to_owned())
}

fn read_timezone(node: &Node<'_>) -> Option<String> {
    let text = filled(node, "an IANA time zone name")?;
    let plausible = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    if !text.chars().all(plausible) {
        node.mistake(
            format!("{text:?} is not a time zone name"),
            "write an IANA name, for example \"Europe/Berlin\"",
        );
        return None;
    }
    Some(text)
}

fn read_floor(node: &Node<'_>) -> Option<Polygon> {
    let corners = node.array("a list of [x, y] corners in metres")?;
    let points: Vec<Option<Point2<f64>>> = corners.iter().map(|n| point(n)).collect();
    let points: Vec<Point2<f64>> = points.into_iter().collect::<Option<_>>()?;
    if points.len() < 3 {
        node.mistake(format!("has {} corners", points.len()), "list at least three corners");
        return None;
    }
    if crosses_itself(&points) {
        node.warn("two of its edges cross", "list the corners in order around the floor");
    }
    let polygon = Polygon::new(points);
    if polygon.is_none() {
        node.mistake("encloses no area", "list the corners in order around the floor, in metres");
    }
    polygon
}

pub(super) fn point(node: &Node<'_>) -> Option<Point2<f64>> {
    node.nums::<2>("[x, y] in metres").map(|[x, y]| Point2::new(x, y))
}

/// Do two edges that share no corner meet?
fn crosses_itself(p: &[Point2<f64>]) -> bool {
    let n = p.len();
    let side = |a: Point2<f64>, b: Point2<f64>, c: Point2<f64>| (b - a).perp(&(c - a));
    let crossing = |i: usize, j: usize| {
        let (a, b, c, d) = (p[i], p[(i + 1) % n], p[j], p[(j + 1) % n]);
        side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
    };
    (0..n).any(|i| (i + 2..n).any(|j| crossing(i, j)))
}

fn read_gates(root: &mut Table<'_>, floor: Option<&Polygon>) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for (node, mut t) in root.tables("gate") {
        let id_node = t.need("id", "name the gate, for example id = \"door\"");
        let id = id_node.as_ref().and_then(|n| n.id("a short id without spaces", |s| GateId::new(s)));
        let kind = t.need("kind", "write \"entry\", \"exit\" or \"both\"").and_then(|n| {
            let text = n.str("\"entry\", \"exit\" or \"both\"")?;
            match text {
                "entry" => Some(GateKind::Entry),
                "exit" => Some(GateKind::Exit),
                "both" => Some(GateKind::Both),
                _ => {
                    n.mistake(
                        format!("{text:?} is no kind of gate"),
                        "write \"entry\", \"exit\" or \"both\"",
                    );
                    None
                }
            }
        });
        let segment = t.need("segment", "write the threshold's two ends in metres: [[2, 0], [3, 0]]");
        let segment = segment.and_then(|n| read_segment(&n, floor));
        t.finish();
        if let (Some(id), Some(n)) = (&id, &id_node)
            && gates.iter().any(|g| g.id == *id)
        {
            n.mistake(
                format!("{:?} is the id of an earlier gate", id.as_str()),
                "give every gate its own id",
            );
        }
        if let (Some(id), Some(kind), Some(segment)) = (id, kind, segment) {
            gates.push(Gate { id, kind, segment });
        }
        drop(node);
    }
    gates
}

fn read_segment(node: &Node<'_>, floor: Option<&Polygon>) -> Option<Segment> {
    let wanted = "two points in metres: [[2, 0], [3, 0]]";
    let ends = node.array(wanted)?;
    let [from, to] = ends.as_slice() else {
        node.mistake(format!("has {} points", ends.len()), format!("write {wanted}"));
        return None;
    };
    let segment = Segment { from: point(from)?, to: point(to)? };
    if (segment.to - segment.from).norm() < 1e-6 {
        node.mistake("has no length", "write the two ends of the threshold");
        return None;
    }
    if let Some(floor) = floor
        && floor.distance_m(segment.middle()) > GATE_FAR_FROM_FLOOR_M
    {
        node.warn(
            format!("its middle is {:.1} m from the walkable floor", floor.distance_m(segment.middle())),
            "check the gate's place and the corners of [store] floor",
        );
    }
    Some(segment)
}

fn read_cameras(root: &mut Table<'_>) -> Vec<Camera> {
    let limits = quality::read_limits(root);
    let mut cameras: Vec<Camera> = Vec::new();
    for (_, mut t) in root.tables("camera") {
        let id_node = t.need("id", "name the camera, for example id = \"cam1\"");
        let id = id_node.as_ref().and_then(|n| n.id("a short id without spaces", |s| CameraId::new(s)));
        let size_px = t.need("size_px", "write width and height of its images: size_px = [1280, 720]");
        let size_px = size_px.and_then(|n| read_size_px(&n));
        let view = read_view(&mut t);
        if let Some(node) = t.get("quality") {
            quality::check(&node, &limits);
        }
        t.finish();
        if let (Some(id), Some(n)) = (&id, &id_node)
            && cameras.iter().any(|c| c.id == *id)
        {
            n.mistake(
                format!("{:?} is the id of an earlier camera", id.as_str()),
                "give every camera its own id",
            );
        }
        if let (Some(id), Some(size_px), Some(view)) = (id, size_px, view) {
            cameras.push(Camera { id, size_px, view });
        }
    }
    cameras
}

pub(super) fn read_size_px(node: &Node<'_>) -> Option<[u32; 2]> {
    let wanted = "width and height in pixels: [1280, 720]";
    let items = node.array(wanted)?;
    let sizes: Vec<i64> = items.iter().map(|n| n.int("pixels")).collect::<Option<_>>()?;
    let sizes: Vec<u32> = sizes
        .into_iter()
        .filter_map(|v| u32::try_from(v).ok().filter(|v| (1..=65_535).contains(v)))
        .collect();
    let size = <[u32; 2]>::try_from(sizes).ok().filter(|_| items.len() == 2);
    if size.is_none() {
        node.mistake("is not a width and a height of 1 to 65535 pixels", format!("write {wanted}"));
    }
    size
}

fn read_view(t: &mut Table<'_>) -> Option<View> {
    let homography = t.get("homography");
    let lens = t.get("lens");
    let pose = t.get("pose");
    match (homography, lens, pose) {
        (Some(h), None, None) => read_homography(&h),
        (None, Some(lens), Some(pose)) => {
            let (lens, pose) = (read_lens(&lens), read_pose(&pose));
            Some(View::Lens { lens: lens?, pose: pose? })
        }
        (Some(h), _, _) => {
            h.mistake("stands beside lens or pose", "keep either homography, or lens and pose");
            None
        }
        (None, Some(lens), None) => {
            lens.mistake(
                "stands without pose",
                "add pose = { rotation, translation }, or use homography instead",
            );
            None
        }
        (None, None, Some(pose)) => {
            pose.mistake(
                "stands without lens",
                "add lens = { fx, fy, cx, cy, distortion }, or use homography",
            );
            None
        }
        (None, None, None) => {
            t.mistake("homography", "is missing", "calibrate the camera: add homography, or lens and pose");
            None
        }
    }
}

fn read_homography(node: &Node<'_>) -> Option<View> {
    let h = node.nums::<9>("9 numbers, row by row, from image pixels to floor metres")?;
    let matrix = Matrix3::from_row_slice(&h);
    // The determinant scales with the cube of the matrix, which has no natural scale of its own.
    let scale = matrix.norm();
    let well = scale > 0.0 && (matrix / scale).determinant().abs() > 1e-15 && matrix.try_inverse().is_some();
    if !well {
        node.mistake(
            "cannot be inverted: it maps the image to a line or a point",
            "calibrate the camera again with at least four points that are not on one line",
        );
        return None;
    }
    Some(View::Homography(matrix))
}

fn read_lens(node: &Node<'_>) -> Option<Lens> {
    let mut t = node.table("{ fx, fy, cx, cy, distortion }")?;
    let mut number = |key: &'static str, positive: bool| {
        let n = t.need(key, "write it in pixels")?;
        let v = n.num("pixels")?;
        if positive && v <= 0.0 {
            n.mistake(format!("is {v}"), "a focal length is above 0 pixels");
            return None;
        }
        Some(v)
    };
    let (fx, fy, cx, cy) = (number("fx", true), number("fy", true), number("cx", false), number("cy", false));
    let distortion = t
        .need("distortion", "write [k1, k2, p1, p2, k3], zeros where the lens has none")
        .and_then(|n| n.nums::<5>("[k1, k2, p1, p2, k3]"));
    t.finish();
    Some(Lens { fx_px: fx?, fy_px: fy?, cx_px: cx?, cy_px: cy?, distortion: distortion? })
}

fn read_pose(node: &Node<'_>) -> Option<Pose> {
    let mut t = node.table("{ rotation, translation }")?;
    let rotation = t
        .need("rotation", "write the Rodrigues vector [rx, ry, rz], world to camera")
        .and_then(|n| n.nums::<3>("[rx, ry, rz]"));
    let translation = t
        .need("translation", "write [tx, ty, tz] in metres, world to camera")
        .and_then(|n| n.nums::<3>("[tx, ty, tz] in metres"));
    t.finish();
    Some(Pose { rotation: Vector3::from(rotation?), translation: Vector3::from(translation?) })
}

fn read_gondolas(root: &mut Table<'_>) -> (Vec<Gondola>, Vec<Plate>) {
    let (mut gondolas, mut plates) = (Vec::<Gondola>::new(), Vec::new());
    for (_, mut t) in root.tables("gondola") {
        let id_node = t.need("id", "name the gondola, for example id = \"1\"");
        let id = id_node.as_ref().and_then(|n| part_of_plate_id(n));
        let origin = t
            .need("origin", "write its front left foot in metres: [x, y, z]")
            .and_then(|n| n.nums::<3>("[x, y, z] in metres"));
        let yaw_deg = t
            .need("yaw_deg", "write its rotation in degrees, 0 when shoppers stand on its -y side")
            .and_then(|n| n.num("degrees"));
        if let (Some(id), Some(n)) = (&id, &id_node)
            && gondolas.iter().any(|g| g.id == *id)
        {
            n.mistake(format!("{id:?} is the id of an earlier gondola"), "give every gondola its own id");
        }
        // A stand-in keeps reading when a part is wrong, so that the shelves' mistakes are found as well.
        let gondola = Gondola {
            id: id.clone().unwrap_or_else(|| "?".to_owned()),
            origin: Point3::from(origin.unwrap_or_default()),
            yaw_deg: yaw_deg.unwrap_or_default(),
        };
        let mut shelves = BTreeSet::new();
        for (_, mut shelf) in t.tables("shelf") {
            read_shelf(&mut shelf, &gondola, gondolas.len(), &mut shelves, &mut plates);
            shelf.finish();
        }
        t.finish();
        gondolas.push(gondola);
    }
    (gondolas, plates)
}

/// A text that can be one part of `gondola/shelf/plate`.
fn part_of_plate_id(node: &Node<'_>) -> Option<String> {
    // PlateId checks whole ids; with two harmless parts it checks this one.
    node.id("a short id without spaces or '/'", |s| {
        if s.contains('/') {
            return Err(format!("{s:?} holds '/', which parts gondola/shelf/plate"));
        }
        PlateId::new(format!("{s}/s/p")).map_err(|e| e.to_string()).map(|_| s.to_owned())
    })
}

fn read_shelf(
    t: &mut Table<'_>,
    gondola: &Gondola,
    gondola_index: usize,
    shelves: &mut BTreeSet<String>,
    plates: &mut Vec<Plate>,
) {
    let id_node = t.need("id", "name the shelf, for example id = \"5\"");
    let id = id_node.as_ref().and_then(|n| part_of_plate_id(n));
    if let (Some(id), Some(n)) = (&id, &id_node)
        && !shelves.insert(id.clone())
    {
        n.mistake(
            format!("{id:?} is the id of an earlier shelf of this gondola"),
            "give every shelf of a gondola its own id",
        );
    }
    let height_m =
        t.need("height_m", "write the height of its surface in metres").and_then(|n| n.num("metres"));
    let list =
        t.need("plates", "list its weighing plates: [ { id = \"1\", offset = [0, 0], size = [0.1, 0.4] } ]");
    let list = list.and_then(|n| n.array("a list of plates")).unwrap_or_default();
    let mut ids = BTreeSet::new();
    for node in list {
        let Some(mut p) = node.table("{ id = \"1\", offset = [0, 0], size = [0.1, 0.4] }") else { continue };
        let plate_node = p.need("id", "name the plate, for example id = \"10\"");
        let plate = plate_node.as_ref().and_then(|n| part_of_plate_id(n));
        if let (Some(plate), Some(n)) = (&plate, &plate_node)
            && !ids.insert(plate.clone())
        {
            n.mistake(
                format!("{plate:?} is the id of an earlier plate of this shelf"),
                "give every plate of a shelf its own id",
            );
        }
        let offset = p
            .need("offset", "write where its front left corner lies on the shelf: [x, y] in metres")
            .and_then(|n| n.nums::<2>("[x, y] in metres"));
        let size = p.need("size", "write its width and depth in metres: [0.1, 0.4]").and_then(|n| {
            let size = n.nums::<2>("[width, depth] in metres")?;
            if size.iter().any(|v| *v <= 0.0) {
                n.mistake(format!("is {size:?}"), "write a width and a depth above 0 m");
                return None;
            }
            Some(size)
        });
        p.finish();
        let (Some(shelf), Some(plate)) = (&id, plate) else { continue };
        let whole = format!("{}/{shelf}/{plate}", gondola.id);
        let id = match PlateId::new(&whole) {
            Ok(id) => id,
            Err(error) => {
                node.mistake(error.to_string(), "shorten the ids of gondola, shelf and plate");
                continue;
            }
        };
        if let (Some(offset), Some(size), Some(height_m)) = (offset, size, height_m) {
            plates.push(place(id, gondola, gondola_index, height_m, offset, size));
        }
    }
}

fn place(
    id: PlateId,
    gondola: &Gondola,
    gondola_index: usize,
    height_m: f64,
    [x, y]: [f64; 2],
    [width, depth]: [f64; 2],
) -> Plate {
    let at = |dx: f64, dy: f64| gondola.to_store(Point3::new(x + dx * width, y + dy * depth, height_m));
    let corners = [at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)].map(|c| c.xy());
    Plate { id, gondola: gondola_index, centre: at(0.5, 0.5), corners }
}
