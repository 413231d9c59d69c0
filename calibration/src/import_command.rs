//! `calibrate import`.

use std::path::PathBuf;

use anyhow::Context;
use linefree_calibration::nanostore;
use linefree_calibration::survey::LensFile;
use linefree_calibration::tables;
use serde_json::json;

use crate::{note, parse_size, print, write_file};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The format of the file
    #[arg(value_enum)]
    format: Format,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Size of the cameras' images, as 640x360
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: [u32; 2],
    /// Only these cameras, as 9 or 9=cam5 for a new id; all without it
    #[arg(long, value_name = "NUMBER[=ID]")]
    camera: Vec<String>,
    /// Where to write the cameras' tables; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// calibration.json of the AutoCheckout data (AiFi nanostore, CPS-IoT Week 2020)
    Nanostore,
}

const EXAMPLES: &str = "Example:
  $ calibrate import nanostore store_meta/calibration.json --size 640x360 --camera 9=cam5 --out cameras.toml

Nothing in such a file says how good it is, or whether a camera was turned since. Check it: mark
points whose places are known and run
  $ calibrate pose --points points.csv --camera cam5 --lens cam5=cameras.toml";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.file.display().to_string();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("{path}: cannot be read"))?;
    let Format::Nanostore = arguments.format;
    let all = nanostore::read(&text, arguments.size).with_context(|| path.clone())?;
    let mut chosen = Vec::new();
    if arguments.camera.is_empty() {
        chosen.extend(all.iter().map(|c| (format!("cam{}", c.number), c)));
    }
    for wanted in &arguments.camera {
        let (number, id) = wanted
            .split_once('=')
            .map_or((wanted.as_str(), format!("cam{wanted}")), |(n, id)| (n, id.into()));
        let known = || all.iter().map(|c| c.number.as_str()).collect::<Vec<_>>().join(", ");
        let camera = all
            .iter()
            .find(|c| c.number == number)
            .with_context(|| format!("{path}: has no camera {number}; it has {}", known()))?;
        chosen.push((id, camera));
    }
    let mut table = String::from(
        "# Taken over as it was published. Nobody has measured it here: check it with `calibrate pose --points` before \
         use.\n",
    );
    let mut rows = Vec::new();
    for (id, c) in &chosen {
        let lens = LensFile { lens: c.lens, size_px: arguments.size, rms_px: None };
        table.push_str(&tables::imported_table(id, &lens, &c.pose));
        let at = c.pose.position();
        rows.push(json!({
            "camera": id,
            "number": c.number,
            "position_m": [at.x, at.y, at.z],
            "rotation": c.pose.rotation.as_slice(),
            "translation": c.pose.translation.as_slice(),
            "fx_px": c.lens.fx_px,
            "fy_px": c.lens.fy_px,
            "cx_px": c.lens.cx_px,
            "cy_px": c.lens.cy_px,
            "distortion": c.lens.distortion,
        }));
    }
    note(&format!(
        "{} cameras taken over; nothing says how good they are: check them with `calibrate pose --points`",
        chosen.len()
    ));
    if let Some(out) = &arguments.out {
        write_file(out, &table)?;
        note(&format!("wrote {}", out.display()));
    }
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&json!({"cameras": rows}))?))?;
    } else if arguments.out.is_none() {
        print(&table)?;
    }
    Ok(())
}
