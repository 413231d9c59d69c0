//! The real nanostore as a place to simulate in: its gondolas, plates, products and planogram.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use linefree_domain::geometry::{Polygon, Segment};
use linefree_domain::ids::GateId;
use linefree_domain::layout::{Gate, GateKind, StoreLayout};
use nalgebra::Point2;

use crate::chance::Chance;
use crate::nanostore;

/// Where the real store's published data lies: `$LINEFREE_SHARED/data/nanostore`, by default `../shared`; `None` where
/// it is absent.
#[must_use]
pub fn shared_nanostore() -> Option<PathBuf> {
    let roots = match std::env::var_os("LINEFREE_SHARED") {
        Some(root) => vec![PathBuf::from(root)],
        // From the workspace's root, and from this crate's folder, where tests run.
        None => vec![PathBuf::from("../shared"), PathBuf::from("../../shared")],
    };
    roots.into_iter().map(|r| r.join("data/nanostore")).find(|d| d.join("cases.json").is_file())
}

/// The real store, with as much floor before the shelves as a seed gives it.
pub fn layout(chance: &mut Chance) -> anyhow::Result<StoreLayout> {
    let data = shared_nanostore().context(
        "the nanostore's data is not here: set LINEFREE_SHARED to the folder that holds data/nanostore",
    )?;
    let mut layout = nanostore::real_layout(&data)?;
    let front = -(chance.between(1.7, 2.6) * 100.0).round() / 100.0;
    let floor = [[0.0, front], [4.4, front], [4.4, 0.05], [0.0, 0.05]];
    layout.floor = Polygon::new(floor.map(Point2::from).to_vec()).context("the floor has no area")?;
    let gate = |id: &str, kind, from: f64| -> anyhow::Result<Gate> {
        let segment = Segment { from: Point2::new(from, front), to: Point2::new(from + 0.9, front) };
        Ok(Gate { id: GateId::new(id)?, kind, segment })
    };
    layout.gates = if chance.happens(0.5) {
        vec![gate("door", GateKind::Both, 1.6)?]
    } else {
        vec![gate("far-door", GateKind::Entry, 2.85)?, gate("near-door", GateKind::Exit, 0.25)?]
    };
    // The published weight is of one packet; how much packets differ is not published.
    for product in &mut layout.products {
        product.weight.mean_g *= 1.0 + chance.bounded_normal(0.002);
        product.weight.sd_g = (product.weight.mean_g * chance.log_between(0.001, 0.03)).max(0.2);
    }
    ensure!(
        !layout.facings.is_empty(),
        "the nanostore's planogram is empty; {} is not what it was",
        data.display()
    );
    Ok(layout)
}
