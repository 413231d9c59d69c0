//! A store with aisles for robots.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

use std::path::Path;

use linefree_domain::ids::{PlateId, PlateIndex};
use linefree_domain::layout::{Bay, Plate, RobotFloor, RobotPost, Station, StoreLayout};
use linefree_recording::StoreFile;
use linefree_simulator::robots::floor::Floor;
use nalgebra::{Point2, Point3};
use store_sync::robots::{RobotTask, RobotTaskKind};

const EMPTY: &str = "format = 1\n[store]\nid = \"grid\"\nname = \"Grid\"\ntimezone = \"UTC\"\ncurrency = \"EUR\"\n\
                     floor = [[0, 0], [40, 0], [40, 40], [0, 40]]\n";

/// A store with aisles for so many robots, a plate at each bay.
pub fn store(robots: usize) -> StoreLayout {
    let made = Floor::for_robots(robots).unwrap();
    let mut layout = StoreFile::parse(Path::new("store.toml"), EMPTY).unwrap().layout;
    let nodes = made.map.nodes().to_vec();
    let mut edges = Vec::new();
    for a in 0..nodes.len() {
        edges.extend(made.map.joined(a).iter().map(|(b, _)| *b).filter(|b| *b > a).map(|b| (a, b)));
    }
    let at = Point2::new(0.0, 0.0);
    layout.plates = (0..made.bays.len())
        .map(|i| Plate {
            id: PlateId::new(format!("g/1/{i}")).unwrap(),
            gondola: 0,
            centre: Point3::new(0.0, 0.0, 1.0),
            corners: [at; 4],
        })
        .collect();
    let post = |(i, home): (usize, &usize)| RobotPost {
        manufacturer: "linefree".to_owned(),
        serial: format!("amr-{i}"),
        home: *home,
        load_type: None,
    };
    layout.robots = Some(RobotFloor {
        interface: "uagv".to_owned(),
        map: "grid".to_owned(),
        apart_m: 0.7,
        speed_m_s: 1.2,
        slow_m_s: 0.4,
        slow_within_m: 1.5,
        totes: 2,
        staff_after: 3,
        edges,
        bays: made
            .bays
            .iter()
            .enumerate()
            .map(|(i, node)| Bay { node: *node, plates: vec![PlateIndex(i)] })
            .collect(),
        stations: made
            .counters
            .all()
            .iter()
            .map(|node| Station { name: "counter".to_owned(), node: *node })
            .collect(),
        robots: made.homes.iter().enumerate().map(post).collect(),
        nodes,
    });
    layout
}

/// A pick of one item, for an order of its own.
pub fn pick(task: &str, plate: usize, due_us: i64) -> RobotTask {
    RobotTask {
        task: task.to_owned(),
        kind: RobotTaskKind::Pick,
        order: Some(format!("o-{task}")),
        sku: "4006381333931".to_owned(),
        quantity: 1,
        plate: format!("g/1/{plate}"),
        deliver_to: String::new(),
        due_us,
    }
}
