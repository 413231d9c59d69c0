//! A small store for tests: three gondolas on 10 x 7 m, a door, a catalogue.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;

use linefree_calibration::store::Store;

/// What items weigh, grams: the first two alike.
pub const PRODUCTS: [(&str, f64, f64); 5] = [
    ("water", 538.0, 3.0),
    ("juice", 538.0, 3.0),
    ("crisps", 187.0, 2.0),
    ("gum", 31.0, 0.4),
    ("coffee", 520.0, 2.5),
];

/// Its store.toml, with these tables behind.
pub fn toml(more: &str) -> String {
    let mut out = String::from(
        "format = 1\n[store]\nid = \"corner\"\nname = \"Corner <shop>\"\ntimezone = \"Europe/Berlin\"\n\
         currency = \"EUR\"\nfloor = [[0, 0], [10, 0], [10, 7], [0, 7]]\n\
         [[gate]]\nid = \"door\"\nkind = \"both\"\nsegment = [[4, 0], [5, 0]]\n",
    );
    for (id, x, y, yaw, width) in
        [("1", 1.0, 6.4, 0, 8.0), ("2", 2.0, 3.6, 0, 5.0), ("3", 7.0, 4.55, 180, 5.0)]
    {
        let _ = write!(out, "[[gondola]]\nid = \"{id}\"\norigin = [{x}, {y}, 0]\nyaw_deg = {yaw}\n");
        for shelf in 1..=3 {
            let plate = |p: usize| {
                let part = width / 4.0;
                let x = part * p as f64;
                format!("{{ id = \"{}\", offset = [{x}, 0.0], size = [{part}, 0.45] }}", p + 1)
            };
            let plates: Vec<String> = (0..4).map(plate).collect();
            let height = 0.4 * f64::from(shelf);
            let _ = write!(
                out,
                "[[gondola.shelf]]\nid = \"{shelf}\"\nheight_m = {height}\nplates = [{}]\n",
                plates.join(", ")
            );
        }
    }
    for (sku, mean, sd) in PRODUCTS {
        let _ = write!(
            out,
            "[[product]]\nsku = \"{sku}\"\nname = \"{sku}\"\nprice = 100\nweight_g = {{ mean = {mean}, sd = {sd} }}\n"
        );
    }
    out + more
}

pub fn store(more: &str) -> Store {
    Store::parse(Path::new("store.toml"), &toml(more)).unwrap()
}
