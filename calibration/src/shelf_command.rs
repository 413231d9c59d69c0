//! `calibrate shelf`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use linefree_calibration::shelf::{self, Reading, ShelfFit};
use serde_json::json;

use crate::{note, print, write_file};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The filled-in walk (CSV): plate,load_g,temperature_c and a column of counts for each plate
    #[arg(long, value_name = "FILE", required_unless_present = "plates")]
    walk: Option<PathBuf>,
    /// Write an empty walk for these plates instead, as 1/5/1,1/5/2,1/5/3: what to do at each step
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "walk")]
    plates: Vec<String>,
    /// With --plates: the known weights, grams
    #[arg(long, value_name = "GRAMS", value_delimiter = ',', default_values_t = [500.0, 2000.0])]
    weights: Vec<f64>,
    /// Where to write; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Example:
  $ calibrate shelf --plates 1/5/1,1/5/2,1/5/3 --weights 500,2000 --out walk.csv
  (do what each line says, wait until the counts rest, write them down in its columns)
  $ calibrate shelf --walk walk.csv --out shelf.toml

It finds dead, swapped and wrongly wired plates first. Walk once in the cool and once in the warm,
into one file, and it also learns what the temperature does.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(walk) = &arguments.walk else { return empty_walk(arguments) };
    let (plates, readings) = read(walk).with_context(|| walk.display().to_string())?;
    let fit = shelf::fit(&plates, &readings).with_context(|| walk.display().to_string())?;
    let toml = toml_of(&plates, &fit);
    let mut summary = format!("{} plates, {} readings: rms {:.2} g", plates.len(), readings.len(), fit.rms_g);
    for warning in &fit.warnings {
        let _ = write!(summary, "\nwarning: {warning}");
    }
    note(&summary);
    if let Some(out) = &arguments.out {
        write_file(out, &toml)?;
    }
    if arguments.json {
        let rows: Vec<_> = plates.iter().enumerate().map(|(i, plate)| row(plate, i, &fit)).collect();
        let report = json!({"rms_g": fit.rms_g, "plates": rows, "warnings": fit.warnings});
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else if arguments.out.is_none() {
        print(&toml)?;
    }
    Ok(())
}

fn row(plate: &str, i: usize, fit: &ShelfFit) -> serde_json::Value {
    let felt: Vec<f64> = fit.leaks.row(i).iter().copied().collect();
    json!({
        "plate": plate,
        "tare_counts": fit.tare_counts[i],
        "counts_a_gram": felt[i],
        "felt_counts_a_gram": felt,
        "counts_a_degree": fit.counts_a_degree.as_ref().map(|d| d[i]),
    })
}

fn empty_walk(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.weights.iter().all(|w| w.is_finite() && *w > 0.0),
        "every weight must be above 0 grams"
    );
    let mut csv = format!("plate,load_g,temperature_c,{}\n", arguments.plates.join(","));
    for (plate, load_g, words) in shelf::steps(&arguments.plates, &arguments.weights) {
        let plate = plate.map_or("-", |p| arguments.plates[p].as_str());
        let _ = writeln!(csv, "# {words}\n{plate},{load_g},{}", ",".repeat(arguments.plates.len()));
    }
    match &arguments.out {
        Some(out) => write_file(out, &csv),
        None => print(&csv),
    }
}

fn read(path: &std::path::Path) -> anyhow::Result<(Vec<String>, Vec<Reading>)> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_path(path)?;
    let header = reader.headers()?.clone();
    anyhow::ensure!(
        header.iter().take(3).eq(["plate", "load_g", "temperature_c"]) && header.len() > 3,
        "the header must be plate,load_g,temperature_c and the plates' ids; `calibrate shelf --plates` writes it"
    );
    let plates: Vec<String> = header.iter().skip(3).map(str::to_owned).collect();
    let mut readings = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |field: &str| {
            field
                .parse::<f64>()
                .with_context(|| format!("line {line}: {field:?} is no number; write it with a point"))
        };
        let plate = match &record[0] {
            "-" | "" => None,
            id => Some(plates.iter().position(|p| p == id).with_context(|| {
                format!("line {line}: plate {id} has no column; write - where the shelf is empty")
            })?),
        };
        let temperature_c = if record[2].is_empty() { None } else { Some(number(&record[2])?) };
        let counts = record.iter().skip(3).map(number).collect::<anyhow::Result<Vec<f64>>>()?;
        let load_g = if plate.is_none() { 0.0 } else { number(&record[1])? };
        readings.push(Reading { plate, load_g, temperature_c, counts });
    }
    Ok((plates, readings))
}

fn toml_of(plates: &[String], fit: &ShelfFit) -> String {
    let mut out = String::from(
        "# By `calibrate shelf`; goes into store.toml. Weights = shares * (counts - tare_counts - drift) / counts_per_g.\n",
    );
    let _ = writeln!(out, "[[shelf_calibration]]\nplates = {plates:?}");
    let _ = writeln!(out, "counts_per_g = {:?}", fit.counts_per_g());
    let rows: Vec<Vec<f64>> = fit.shares().row_iter().map(|r| r.iter().copied().collect()).collect();
    let _ = writeln!(out, "shares = {rows:?}");
    let _ = writeln!(out, "tare_counts = {:?}", fit.tare_counts);
    if let (Some(drift), Some(at_c)) = (&fit.counts_a_degree, fit.at_c) {
        let _ = writeln!(out, "counts_a_degree = {drift:?}\nat_c = {at_c:?}");
    }
    let _ = writeln!(out, "quality = {{ rms_g = {:?} }}", fit.rms_g);
    out
}
