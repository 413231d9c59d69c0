//! `[robots]` of store.toml: read, refused with line and remedy, written and read back.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use linefree_domain::fulfilment::road_map::Place;
use linefree_domain::ids::PlateIndex;
use linefree_recording::{StoreFile, store_toml};

const GOOD: &str = r#"format = 1
[store]
id = "s"
name = "Shop"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 4], [0, 4]]
[[gondola]]
id = "1"
origin = [0, 2, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "5"
height_m = 1.2
plates = [
  { id = "10", offset = [0.0, 0.0], size = [0.1, 0.4] },
  { id = "11", offset = [0.1, 0.0], size = [0.1, 0.4] },
]
[robots]
slow_m_s = 0.3
edges = [["l1", "l2"], ["l1", "b1"], ["l2", "c1"], ["l2", "h1"]]
[[robots.node]]
id = "l1"
at = [1, 1]
[[robots.node]]
id = "l2"
at = [2, 1]
[[robots.node]]
id = "b1"
at = [1, 1.8]
place = "bay"
plates = ["1/5/10", "1/5/11"]
[[robots.node]]
id = "c1"
at = [2.8, 1]
place = "bay"
station = "counter"
[[robots.node]]
id = "h1"
at = [2, 0.2]
place = "home"
[[robots.robot]]
manufacturer = "acme"
serial = "amr-1"
home = "h1"
load_type = "TOTE"
"#;

fn parse(text: &str) -> Result<StoreFile, String> {
    StoreFile::parse(Path::new("store.toml"), text).map_err(|m| m.to_string())
}

#[test]
fn robots_are_read() {
    let floor = parse(GOOD).unwrap().layout.robots.unwrap();
    assert_eq!((floor.interface.as_str(), floor.map.as_str()), ("uagv", "s"));
    assert_eq!((floor.speed_m_s, floor.slow_m_s, floor.totes, floor.staff_after), (1.2, 0.3, 1, 3));
    assert_eq!(floor.bays_of(PlateIndex(1)).collect::<Vec<_>>(), [2]);
    assert_eq!(floor.station("counter").collect::<Vec<_>>(), [3]);
    assert_eq!((floor.robots[0].home, floor.nodes[4].place), (4, Place::Home));
    assert_eq!(floor.road_map().unwrap().nodes().len(), 5);
}

#[test]
fn a_store_without_robots_has_none() {
    let without = GOOD.split("[robots]").next().unwrap();
    assert_eq!(parse(without).unwrap().layout.robots, None);
}

#[test]
fn what_is_written_reads_back() {
    let layout = parse(GOOD).unwrap().layout;
    let text = store_toml(&layout);
    let again = parse(&text).unwrap().layout;
    assert_eq!(again.robots, layout.robots);
    assert_eq!(store_toml(&again), text);
}

#[test]
fn mistakes_are_told_with_line_and_remedy() {
    let cases = [
        ("slow_m_s = 0.3", "slow_m_s = 3", 20, "faster than speed_m_s"),
        ("[\"l1\", \"l2\"], ", "", 21, "cannot be reached"),
        ("[\"l2\", \"h1\"]]", "[\"l2\", \"h9\"]]", 21, "no node is called \"h9\""),
        ("[\"l2\", \"h1\"]]", "[\"l2\"]]", 21, "has 1 ends"),
        ("[\"l2\", \"h1\"]]", "[\"l2\", \"l2\"]]", 21, "joins a node to itself"),
        ("at = [2, 1]", "at = [1.1, 1]", 21, "0.10 m apart; robots need 0.70 m"),
        ("id = \"l2\"", "id = \"l1\"", 26, "is the id of an earlier node"),
        ("place = \"home\"", "place = \"garage\"", 41, "no kind of place"),
        ("place = \"bay\"\nstation", "station", 33, "is no bay"),
        ("\"1/5/11\"]\n[[robots.node]]", "\"1/5/12\"]\n[[robots.node]]", 32, "no plate is called"),
        ("serial = \"amr-1\"", "serial = \"amr/1\"", 44, "cannot stand in a message"),
        ("home = \"h1\"", "home = \"c1\"", 45, "is no home"),
        ("slow_m_s", "slow_ms", 20, "did you mean `slow_m_s`?"),
    ];
    for (right, wrong, line, says) in cases {
        assert!(GOOD.contains(right), "{right}");
        let told = parse(&GOOD.replacen(right, wrong, 1)).unwrap_err();
        assert!(told.contains(says) && told.contains(&format!("store.toml:{line}")), "{says}: {told}");
    }
}
