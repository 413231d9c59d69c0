//! The store's layout as a map that can be drawn.

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::{Camera, GateKind, StoreLayout};
use nalgebra::{Point2, Point3, Rotation2};

use super::answers::{MapCamera, MapGate, MapGondola, MapNode, MapPlate, MapProduct, StoreMap};

/// Columns of the image that are followed to the floor.
const COLUMNS: u32 = 12;

/// Steps from the top of the image downwards until the floor is met.
const ROWS: u32 = 24;

fn xy(p: Point2<f64>) -> [f64; 2] {
    // Millimetres are enough for a map, and shorter.
    [(p.x * 1e3).round() / 1e3, (p.y * 1e3).round() / 1e3]
}

pub(super) fn of(layout: &StoreLayout) -> StoreMap {
    let gates = layout.gates.iter().map(|g| MapGate {
        id: g.id.to_string(),
        kind: match g.kind {
            GateKind::Entry => "entry",
            GateKind::Exit => "exit",
            GateKind::Both => "both",
        },
        from: xy(g.segment.from),
        to: xy(g.segment.to),
    });
    let gondolas = layout.gondolas.iter().enumerate().map(|(i, g)| MapGondola {
        id: g.id.clone(),
        outline: outline(layout, i),
        facing: [g.facing().x, g.facing().y],
    });
    let plates = layout.plates.iter().enumerate().map(|(i, p)| MapPlate {
        id: p.id.to_string(),
        corners: p.corners.iter().map(|c| xy(*c)).collect(),
        height_m: p.centre.z,
        skus: layout.products_on(PlateIndex(i)).map(|p| layout.products[p.0].sku.to_string()).collect(),
    });
    let products = layout.products.iter().map(|p| MapProduct {
        sku: p.sku.to_string(),
        name: p.name.clone(),
        price_minor: p.price.minor,
        weight_g: p.weight.mean_g,
    });
    let roads = layout.robots.as_ref();
    let node = |i: usize| roads.and_then(|r| r.nodes.get(i)).map(|n| xy(n.at));
    let ways = roads.map(|r| r.edges.iter().filter_map(|(a, b)| Some([node(*a)?, node(*b)?])).collect());
    let nodes = roads.map(|r| r.nodes.iter().map(|n| MapNode { id: n.id.clone(), at: xy(n.at) }).collect());
    StoreMap {
        nodes: nodes.unwrap_or_default(),
        ways: ways.unwrap_or_default(),
        id: layout.id.to_string(),
        name: layout.name.clone(),
        currency: layout.currency.to_string(),
        timezone: layout.timezone.clone(),
        floor: layout.floor.corners().iter().map(|c| xy(*c)).collect(),
        gates: gates.collect(),
        gondolas: gondolas.collect(),
        plates: plates.collect(),
        products: products.collect(),
        cameras: layout.cameras.iter().map(|c| camera(c, layout)).collect(),
    }
}

/// The rectangle, turned as the gondola is, that holds its plates.
fn outline(layout: &StoreLayout, gondola: usize) -> Vec<[f64; 2]> {
    let g = &layout.gondolas[gondola];
    let back = Rotation2::new(-g.yaw_deg.to_radians());
    let origin = Point2::new(g.origin.x, g.origin.y);
    let local = layout
        .plates
        .iter()
        .filter(|p| p.gondola == gondola)
        .flat_map(|p| p.corners)
        .map(|corner| back * (corner - origin));
    let mut range: Option<[f64; 4]> = None;
    for at in local {
        let [x0, y0, x1, y1] = range.unwrap_or([at.x, at.y, at.x, at.y]);
        range = Some([x0.min(at.x), y0.min(at.y), x1.max(at.x), y1.max(at.y)]);
    }
    let Some([x0, y0, x1, y1]) = range else { return Vec::new() };
    [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        .map(|(x, y)| {
            let p = g.to_store(Point3::new(x, y, 0.0));
            xy(Point2::new(p.x, p.y))
        })
        .to_vec()
}

fn camera(camera: &Camera, layout: &StoreLayout) -> MapCamera {
    use linefree_domain::geometry::View;
    let position = match &camera.view {
        View::Lens { pose, .. } => {
            let p = pose.position();
            Some([p.x, p.y, p.z])
        }
        View::Homography(_) => None,
    };
    MapCamera { id: camera.id.to_string(), position, footprint: footprint(camera, layout) }
}

/// The part of the image that shows the floor, on the floor: along each column from the lower edge up to the horizon or
/// to far beyond the store, whichever comes first.
fn footprint(camera: &Camera, layout: &StoreLayout) -> Vec<[f64; 2]> {
    let corners = layout.floor.corners();
    let middle = nalgebra::center(&corners[0], &corners[corners.len() / 2]);
    let reach_m = corners.iter().map(|c| (c - middle).norm()).fold(1.0, f64::max) * 3.0;
    let [width, height] = camera.size_px.map(f64::from);
    let near = |x: f64, y: f64| {
        let at = camera.view.floor_at(Point2::new(x, y), 0.0)?.at;
        ((at - middle).norm() <= reach_m).then_some(at)
    };
    let (mut far_edge, mut near_edge) = (Vec::new(), Vec::new());
    for column in 0..=COLUMNS {
        let x = width * f64::from(column) / f64::from(COLUMNS);
        let Some(lowest) = near(x, height) else { continue };
        let highest =
            (0..=ROWS).find_map(|row| near(x, height * f64::from(row) / f64::from(ROWS))).unwrap_or(lowest);
        near_edge.push(xy(lowest));
        far_edge.push(xy(highest));
    }
    near_edge.reverse();
    far_edge.append(&mut near_edge);
    if far_edge.len() < 3 { Vec::new() } else { far_edge }
}
