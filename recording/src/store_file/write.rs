//! Writes a [`StoreLayout`] as store.toml.

use std::fmt::Write;

use linefree_domain::fulfilment::road_map::Place;
use linefree_domain::geometry::View;
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::{GateKind, Gondola, Plate, RobotFloor, StoreLayout};
use nalgebra::{Point2, Rotation2};

/// The text of a store.toml that describes this layout, the same bytes for the same layout.
///
/// Shelves come out in the order in which their plates stand in the layout; lengths of plates are rounded to the
/// micrometre, which takes back the rounding of turning them into the store's coordinates.
#[must_use]
pub fn store_toml(layout: &StoreLayout) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, layout);
    out
}

fn write_all(out: &mut String, layout: &StoreLayout) -> std::fmt::Result {
    writeln!(out, "format = 1\n\n[store]")?;
    writeln!(out, "id = {}", text(layout.id.as_str()))?;
    writeln!(out, "name = {}", text(&layout.name))?;
    writeln!(out, "timezone = {}", text(&layout.timezone))?;
    writeln!(out, "currency = {}", text(layout.currency.as_str()))?;
    let corners: Vec<String> = layout.floor.corners().iter().map(point).collect();
    writeln!(out, "floor = [{}]", corners.join(", "))?;
    for gate in &layout.gates {
        let kind = match gate.kind {
            GateKind::Entry => "entry",
            GateKind::Exit => "exit",
            GateKind::Both => "both",
        };
        writeln!(out, "\n[[gate]]\nid = {}\nkind = \"{kind}\"", text(gate.id.as_str()))?;
        writeln!(out, "segment = [{}, {}]", point(&gate.segment.from), point(&gate.segment.to))?;
    }
    for camera in &layout.cameras {
        let [w, h] = camera.size_px;
        writeln!(out, "\n[[camera]]\nid = {}\nsize_px = [{w}, {h}]", text(camera.id.as_str()))?;
        match &camera.view {
            View::Homography(m) => {
                writeln!(out, "homography = [{}]", numbers(m.transpose().iter().copied()))?;
            }
            View::Lens { lens, pose } => {
                let [fx, fy, cx, cy] = [lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px].map(float);
                let distortion = numbers(lens.distortion);
                writeln!(
                    out,
                    "lens = {{ fx = {fx}, fy = {fy}, cx = {cx}, cy = {cy}, distortion = [{distortion}] }}"
                )?;
                let rotation = numbers(pose.rotation.iter().copied());
                let translation = numbers(pose.translation.iter().copied());
                writeln!(out, "pose = {{ rotation = [{rotation}], translation = [{translation}] }}")?;
            }
        }
    }
    for (i, gondola) in layout.gondolas.iter().enumerate() {
        write_gondola(out, gondola, layout.plates.iter().filter(|p| p.gondola == i))?;
    }
    for product in &layout.products {
        writeln!(out, "\n[[product]]\nsku = {}", text(product.sku.as_str()))?;
        writeln!(out, "name = {}\nprice = {}", text(&product.name), product.price.minor)?;
        let (mean, sd) = (float(product.weight.mean_g), float(product.weight.sd_g));
        writeln!(out, "weight_g = {{ mean = {mean}, sd = {sd} }}")?;
    }
    for facing in &layout.facings {
        // An index out of range cannot come from a parsed layout; a hand-built one shows it as a plate nobody has.
        let sku = layout.products.get(facing.product.0).map_or("?", |p| p.sku.as_str());
        let plates: Vec<String> = facing
            .plates
            .iter()
            .map(|p| text(layout.plates.get(p.0).map_or("?", |p| p.id.as_str())))
            .collect();
        writeln!(out, "\n[[facing]]\nsku = {}\nplates = [{}]", text(sku), plates.join(", "))?;
        if let Some(count) = facing.count {
            writeln!(out, "count = {count}")?;
        }
    }
    match &layout.robots {
        Some(robots) => write_robots(out, robots, layout),
        None => Ok(()),
    }
}

fn write_robots(out: &mut String, floor: &RobotFloor, layout: &StoreLayout) -> std::fmt::Result {
    writeln!(out, "\n[robots]\ninterface = {}\nmap = {}", text(&floor.interface), text(&floor.map))?;
    let numbers = [
        ("apart_m", floor.apart_m),
        ("speed_m_s", floor.speed_m_s),
        ("slow_m_s", floor.slow_m_s),
        ("slow_within_m", floor.slow_within_m),
    ];
    for (key, value) in numbers {
        writeln!(out, "{key} = {}", float(value))?;
    }
    writeln!(out, "totes = {}\nstaff_after = {}\nedges = [", floor.totes, floor.staff_after)?;
    // As with facings, an index out of range shows as something that nobody has.
    let name = |node: usize| text(floor.nodes.get(node).map_or("?", |n| n.id.as_str()));
    for (a, b) in &floor.edges {
        writeln!(out, "  [{}, {}],", name(*a), name(*b))?;
    }
    writeln!(out, "]")?;
    for (i, node) in floor.nodes.iter().enumerate() {
        let place = match node.place {
            Place::Lane => "lane",
            Place::Bay => "bay",
            Place::Home => "home",
        };
        writeln!(out, "\n[[robots.node]]\nid = {}\nat = {}", text(&node.id), point(&node.at))?;
        writeln!(out, "place = \"{place}\"")?;
        if let Some(bay) = floor.bays.iter().find(|b| b.node == i) {
            let id = |p: &PlateIndex| text(layout.plates.get(p.0).map_or("?", |p| p.id.as_str()));
            let plates: Vec<String> = bay.plates.iter().map(id).collect();
            writeln!(out, "plates = [{}]", plates.join(", "))?;
        }
        if let Some(station) = floor.stations.iter().find(|s| s.node == i) {
            writeln!(out, "station = {}", text(&station.name))?;
        }
    }
    for robot in &floor.robots {
        writeln!(out, "\n[[robots.robot]]\nmanufacturer = {}", text(&robot.manufacturer))?;
        writeln!(out, "serial = {}\nhome = {}", text(&robot.serial), name(robot.home))?;
        if let Some(load_type) = &robot.load_type {
            writeln!(out, "load_type = {}", text(load_type))?;
        }
    }
    Ok(())
}

fn write_gondola<'a>(
    out: &mut String,
    gondola: &Gondola,
    plates: impl Iterator<Item = &'a Plate>,
) -> std::fmt::Result {
    writeln!(out, "\n[[gondola]]\nid = {}", text(&gondola.id))?;
    writeln!(out, "origin = [{}]", numbers(gondola.origin.iter().copied()))?;
    writeln!(out, "yaw_deg = {}", float(gondola.yaw_deg))?;
    let mut shelves: Vec<(&str, Vec<&Plate>)> = Vec::new();
    for plate in plates {
        let [_, shelf, _] = plate.id.parts();
        match shelves.iter_mut().find(|(id, _)| *id == shelf) {
            Some((_, list)) => list.push(plate),
            None => shelves.push((shelf, vec![plate])),
        }
    }
    let back = Rotation2::new(-gondola.yaw_deg.to_radians());
    let local = |p: &Point2<f64>| back * (p - gondola.origin.xy());
    for (id, list) in shelves {
        let height = list.first().map_or(0.0, |p| micrometre(p.centre.z - gondola.origin.z));
        writeln!(out, "\n[[gondola.shelf]]\nid = {}\nheight_m = {}\nplates = [", text(id), float(height))?;
        for plate in list {
            let [front_left, _, back_right, _] = plate.corners.each_ref().map(local);
            let size = back_right - front_left;
            let [_, _, name] = plate.id.parts();
            writeln!(
                out,
                "  {{ id = {}, offset = [{}], size = [{}] }},",
                text(name),
                numbers([micrometre(front_left.x), micrometre(front_left.y)]),
                numbers([micrometre(size.x), micrometre(size.y)]),
            )?;
        }
        writeln!(out, "]")?;
    }
    Ok(())
}

fn micrometre(value: f64) -> f64 {
    // Adding zero turns -0 into 0.
    (value * 1e6).round() / 1e6 + 0.0
}

fn point(p: &Point2<f64>) -> String {
    format!("[{}]", numbers([p.x, p.y]))
}

fn numbers(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(float).collect::<Vec<_>>().join(", ")
}

/// The shortest text that reads back as the same number, always with a point or exponent.
fn float(value: f64) -> String {
    format!("{value:?}")
}

/// A TOML basic string.
fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}
