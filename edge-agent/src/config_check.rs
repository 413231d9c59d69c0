//! `edge-agent config check`: every mistake of a store.toml with line and remedy, and what a right one describes.

use std::fmt::Write as _;
use std::path::Path;

use linefree_domain::geometry::View;
use linefree_domain::layout::GateKind;
use linefree_recording::{SourceDevice, StoreFile};

/// Reads a store.toml and says what it describes.
///
/// # Errors
/// All its mistakes, each with file, line, field and remedy.
pub fn check(path: &Path) -> anyhow::Result<String> {
    let file = StoreFile::read(path)?;
    let layout = &file.layout;
    let mut text = String::new();
    let mut say = |line: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    say(format!("{}: store {} ({}), {}", path.display(), layout.id, layout.name, layout.currency));
    say(format!("  floor      {:.1} m2", layout.floor.area_m2()));
    let lets = |wanted: fn(GateKind) -> bool| layout.gates.iter().filter(|g| wanted(g.kind)).count();
    say(format!(
        "  gates      {} ({} let in, {} let out)",
        layout.gates.len(),
        lets(GateKind::lets_in),
        lets(GateKind::lets_out)
    ));
    let lenses = layout.cameras.iter().filter(|c| matches!(c.view, View::Lens { .. })).count();
    say(format!(
        "  cameras    {} ({lenses} by lens and pose, {} by homography)",
        layout.cameras.len(),
        layout.cameras.len() - lenses
    ));
    say(format!("  gondolas   {}, {} plates", layout.gondolas.len(), layout.plates.len()));
    say(format!("  products   {}, {} facings", layout.products.len(), layout.facings.len()));
    let unplaced: Vec<&str> = layout
        .products
        .iter()
        .enumerate()
        .filter(|(i, _)| layout.facings.iter().all(|f| f.product.0 != *i))
        .map(|(_, p)| p.sku.as_str())
        .collect();
    if !unplaced.is_empty() {
        let shown = unplaced.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        say(format!("  note       {} products have no facing: {shown} ...", unplaced.len()));
    }
    if !file.live.sources.is_empty() {
        say(live(&file));
    }
    for warning in &file.warnings {
        say(format!("  warning    {warning}"));
    }
    say("no mistakes".into());
    Ok(text)
}

/// What of the store has a live sensor.
fn live(file: &StoreFile) -> String {
    let (mut cameras, mut scales, mut plates, mut gates) = (0, 0, 0, 0);
    for source in &file.live.sources {
        match &source.device {
            SourceDevice::Camera(_) => cameras += 1,
            SourceDevice::Gate(_) => gates += 1,
            SourceDevice::Plates(scale) => {
                scales += 1;
                plates += scale.plates.len();
            }
        }
    }
    let layout = &file.layout;
    format!(
        "  live       {cameras} of {} cameras, {plates} of {} plates on {scales} scales, {gates} of {} gates",
        layout.cameras.len(),
        layout.plates.len(),
        layout.gates.len()
    )
}
