//! `[[shelf_calibration]]`: the gains of a shelf's plates and what leaks between them, as `calibrate shelf` wrote them.
//!
//! A calibration worse than the store's limit is a mistake that names the step to repeat, as a camera's is.

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::ShelfMixing;

use super::quality;
use crate::toml_walk::{Node, Table};

/// A calibrated shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfCalibration {
    /// For each of its plates, how many counts of its own channel one gram is.
    pub counts_per_g: Vec<f64>,
    /// Its plates, and how their weights follow from the channels' grams.
    pub mixing: ShelfMixing,
}

impl ShelfCalibration {
    /// The gain of a plate, where this shelf has it.
    #[must_use]
    pub fn gain_of(&self, plate: PlateIndex) -> Option<f64> {
        let at = self.mixing.plates.iter().position(|p| *p == plate)?;
        self.counts_per_g.get(at).copied()
    }
}

pub(super) fn read(root: &mut Table<'_>, layout: Option<&StoreLayout>) -> Vec<ShelfCalibration> {
    let limit_g = quality::read_shelf_limit(root);
    let mut shelves: Vec<ShelfCalibration> = Vec::new();
    for (node, mut t) in root.tables("shelf_calibration") {
        let remedy = "copy the table that `calibrate shelf` wrote";
        let plates = t.need("plates", remedy).and_then(|n| {
            let list = n.array("a list of plates")?;
            list.iter().map(|n| plate(n, layout)).collect::<Option<Vec<_>>>()
        });
        let gains = t.need("counts_per_g", remedy).and_then(|n| row(&n));
        let shares = t.need("shares", remedy).and_then(|n| {
            let rows = n.array("a row of shares for each plate")?;
            rows.iter().map(row).collect::<Option<Vec<_>>>()
        });
        if let Some(n) = t.get("quality") {
            quality::check_shelf(&n, limit_g);
        }
        // For people, and for whoever fits it again.
        for key in ["tare_counts", "counts_a_degree", "at_c"] {
            t.get(key);
        }
        t.finish();
        let (Some(plates), Some(counts_per_g), Some(shares)) = (plates, gains, shares) else { continue };
        if counts_per_g.len() != plates.len() || counts_per_g.contains(&0.0) {
            node.mistake("has not one gain other than 0 for each plate", remedy);
            continue;
        }
        if shelves.iter().any(|s| s.mixing.plates.iter().any(|p| plates.contains(p))) {
            node.mistake("holds a plate of an earlier one", "keep the newer of the two");
        }
        match ShelfMixing::new(plates, shares) {
            Some(mixing) => shelves.push(ShelfCalibration { counts_per_g, mixing }),
            None => node.mistake("has not a row and a column of shares for each plate", remedy),
        }
    }
    shelves
}

fn plate(node: &Node<'_>, layout: Option<&StoreLayout>) -> Option<PlateIndex> {
    let id = node.str("the id of a plate")?;
    let found = layout?.plate(id);
    if found.is_none() {
        node.mistake(format!("no plate is called {id:?}"), "write the id of a plate of this file");
    }
    found
}

fn row(node: &Node<'_>) -> Option<Vec<f64>> {
    node.array("a list of numbers")?.iter().map(|n| n.num("a number")).collect()
}
