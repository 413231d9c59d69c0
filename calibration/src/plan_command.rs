//! `calibrate plan`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_calibration::coverage::{Coverage, Viewer};
use linefree_calibration::plan::{self, Plan, Proposed, Wish};
use linefree_calibration::store::Store;
use linefree_calibration::{page, tables};
use serde_json::json;

use crate::{note, parse_size, print, write_file};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The store: floor and gondolas are enough
    #[arg(value_name = "STORE.TOML")]
    store: PathBuf,
    /// How many cameras may be bought
    #[arg(long, value_name = "NUMBER")]
    cameras: usize,
    /// How high they hang, metres
    #[arg(long, value_name = "METRES", default_value_t = 3.0)]
    height: f64,
    /// Their horizontal field of view, degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 100.0)]
    field: f64,
    /// Size of their images
    #[arg(long, value_name = "WxH", value_parser = parse_size, default_value = "2560x1440")]
    size: [u32; 2],
    /// Plan the cameras beside those of the file, not instead of them
    #[arg(long)]
    keep: bool,
    /// Draw the plan as a page of HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Where to write the cameras' tables; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  $ calibrate plan store.toml --cameras 4 --out plan.toml --html plan.html
  $ calibrate plan store.toml --cameras 1 --keep --height 2.8

The tables hold the planned lens and pose, so that a store can be simulated before it is built;
the agent refuses them until the cameras that hang there are calibrated.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::read(&arguments.store)?;
    let viewers = Viewer::of(&store.layout, &store.qualities);
    let existing = if arguments.keep { viewers.as_slice() } else { &[] };
    let wish = Wish {
        cameras: arguments.cameras,
        height_m: arguments.height,
        size_px: arguments.size,
        field_deg: arguments.field,
    };
    let bar = ProgressBar::new(100).with_style(
        ProgressStyle::with_template("trying places {bar:30} {percent} %")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let plan =
        plan::propose(&store.layout, existing, &wish, |share| bar.set_position((share * 100.0) as u64))
            .with_context(|| arguments.store.display().to_string())?;
    bar.finish_and_clear();
    let mut summary = summary(&plan, wish.cameras);
    let table: String = plan.cameras.iter().map(|c| tables::planned_table(&c.viewer, &words(c))).collect();
    if let Some(html) = &arguments.html {
        write_file(html, &page::of_plan(&store.layout, existing, &plan))?;
        let _ = write!(summary, "\nwrote {}", html.display());
    }
    if let Some(out) = &arguments.out {
        write_file(out, &table)?;
        let _ = write!(summary, "\nwrote {}", out.display());
    }
    note(&summary);
    if arguments.json {
        let cameras: Vec<_> = plan.cameras.iter().map(row).collect();
        let report =
            json!({"cameras": cameras, "before": figures(&plan.before), "after": figures(&plan.after)});
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else if arguments.out.is_none() {
        print(&table)?;
    }
    Ok(())
}

fn row(c: &Proposed) -> serde_json::Value {
    json!({
        "camera": c.viewer.id,
        "position_m": [c.at.x, c.at.y, c.at.z],
        "yaw_deg": c.yaw_deg,
        "down_deg": c.down_deg,
    })
}

/// What a coverage comes to, for scripts.
pub fn figures(coverage: &Coverage) -> serde_json::Value {
    json!({
        "seen_by_1": coverage.share_seen(1, false),
        "seen_by_2": coverage.share_seen(2, false),
        "fronts_seen_by_1": coverage.share_seen(1, true),
        "fronts_seen_by_2": coverage.share_seen(2, true),
        "median_error_m": coverage.median_error_m(),
    })
}

fn words(c: &Proposed) -> String {
    format!(
        "hang it at ({:.2}, {:.2}), {:.2} m high; turn it to {:.0} degrees (counter-clockwise from the x axis), {:.0} \
         below the horizontal",
        c.at.x, c.at.y, c.at.z, c.yaw_deg, c.down_deg
    )
}

fn summary(plan: &Plan, wanted: usize) -> String {
    let mut out = String::new();
    for c in &plan.cameras {
        let _ = writeln!(out, "{}: {}", c.viewer.id, words(c));
    }
    if plan.cameras.len() < wanted {
        let _ = writeln!(out, "no further camera would add anything");
    }
    let a = &plan.after;
    let percent = |share: f64| share * 100.0;
    let _ = write!(
        out,
        "of the floor, {:.0} % is seen by one camera or more, {:.0} % by two; before shelves {:.0} % and {:.0} %",
        percent(a.share_seen(1, false)),
        percent(a.share_seen(2, false)),
        percent(a.share_seen(1, true)),
        percent(a.share_seen(2, true))
    );
    if let Some(error_m) = a.median_error_m() {
        let _ = write!(out, "\nexpected error of a shopper's place: {:.0} cm in the median", error_m * 100.0);
    }
    if a.share_seen(1, false) < 0.95 {
        out.push_str(
            "\nwarning: more than a twentieth of the floor is seen by no camera; more or wider ones help",
        );
    }
    out
}
