//! `calibrate report`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use linefree_calibration::coverage::{self, Coverage, Viewer};
use linefree_calibration::page::{self, Report};
use linefree_calibration::plan::{self, PlanError, Wish};
use linefree_calibration::residuals::{self, Residual};
use linefree_calibration::store::Store;
use serde_json::json;

use crate::{note, plan_command, print, write_file};

/// Where no camera of the store tells how high cameras hang, metres.
const HEIGHT_M: f64 = 3.0;
/// Field of view of one more camera, degrees.
const FIELD_DEG: f64 = 100.0;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The store with its cameras
    #[arg(value_name = "STORE.TOML")]
    store: PathBuf,
    /// What fits left over: the .residuals.csv that `calibrate pose --out` writes beside its table
    #[arg(long, value_name = "FILE", num_args = 1..)]
    residuals: Vec<PathBuf>,
    /// Where to write the page
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Example:
  $ calibrate pose --markers sheets.csv --image cam1=cam1.jpg --lens cam1=lens1.toml --out cameras.toml
  $ calibrate report store.toml --residuals cameras.residuals.csv --out report.html

One page with everything in it: who sees which part of the floor, blind zones in front of shelves,
the expected error by square metre, residuals, and where one more camera would help most.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::read(&arguments.store)?;
    let viewers = Viewer::of(&store.layout, &store.qualities);
    anyhow::ensure!(
        !viewers.is_empty(),
        "{}: has no [[camera]]; `calibrate plan` proposes where to hang some, `calibrate pose` finds where they are",
        arguments.store.display()
    );
    let mut left: Vec<Residual> = Vec::new();
    for file in &arguments.residuals {
        left.extend(residuals::read(file)?);
    }
    if let Some(stranger) = left.iter().find(|r| viewers.iter().all(|v| v.id != r.camera)) {
        note(&format!(
            "note: residuals of {}, which the store does not have, are passed over",
            stranger.camera
        ));
    }
    let coverage = Coverage::of(&store.layout, &viewers);
    let zones = coverage::blind_zones(&store.layout, &viewers);
    let mut heights: Vec<f64> = viewers.iter().filter_map(|v| v.position().map(|p| p.z)).collect();
    heights.sort_by(f64::total_cmp);
    let height_m = heights.get(heights.len() / 2).copied().unwrap_or(HEIGHT_M).clamp(1.0, 12.0);
    let size_px = viewers[0].size_px.map(|s| s.clamp(64, 16_384));
    let wish = Wish { cameras: 1, height_m, size_px, field_deg: FIELD_DEG };
    let one_more = match plan::propose(&store.layout, &viewers, &wish, |_| ()) {
        Ok(plan) => Some(plan),
        Err(PlanError::NothingSeen { .. }) => None,
        Err(e) => return Err(e).with_context(|| arguments.store.display().to_string()),
    };
    let html = page::of_report(&Report {
        store: &store,
        viewers: &viewers,
        coverage: &coverage,
        zones: &zones,
        residuals: &left,
        one_more: one_more.as_ref(),
    });
    write_file(&arguments.out, &html)?;
    let mut summary = format!(
        "{:.0} % of the floor is seen, {:.0} % by two cameras or more; {} blind zones in front of shelves",
        100.0 * coverage.share_seen(1, false),
        100.0 * coverage.share_seen(2, false),
        zones.len()
    );
    for line in &store.refused {
        let _ = write!(summary, "\nthe agent refuses this store: {line}");
    }
    let _ = write!(summary, "\nwrote {}", arguments.out.display());
    note(&summary);
    if arguments.json {
        let squares: Vec<_> = coverage
            .by_square_metre()
            .iter()
            .map(|(corner, error_m)| json!({"x_m": corner.x, "y_m": corner.y, "error_m": error_m}))
            .collect();
        let blind: Vec<_> = zones
            .iter()
            .map(|z| {
                let (from, to) = ([z.from.x, z.from.y], [z.to.x, z.to.y]);
                json!({"gondola": z.gondola, "from_m": from, "to_m": to, "cameras": z.cameras})
            })
            .collect();
        let best = one_more.as_ref().and_then(|p| p.cameras.first()).map(
            |c| json!({"position_m": [c.at.x, c.at.y, c.at.z], "yaw_deg": c.yaw_deg, "down_deg": c.down_deg}),
        );
        let report = json!({
            "coverage": plan_command::figures(&coverage),
            "error_by_square_metre": squares,
            "blind_zones": blind,
            "one_more_camera": best,
            "with_one_more": one_more.as_ref().map(|p| plan_command::figures(&p.after)),
            "refused": store.refused,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    }
    Ok(())
}
