//! How like real shelves the simulated ones are: the same figures of both, a plot, and what our detector makes of both.
//!
//! The real signals are AIM3S's: five shelves, each the sum of its twelve plates, 100 s at 60 Hz, with eight labelled
//! handlings. The simulated ones have the same shelves and the same handlings (when, how long, how heavy); everything
//! else is drawn from seeds.

mod figures;
mod plot;

use std::path::Path;

use anyhow::{Context, ensure};
use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector, WeightSample};
use linefree_domain::time::StoreTime;
use linefree_recording::StoreFile;
use serde::Deserialize;

use crate::chance::Chance;
use crate::load_cell::{self, Furniture, Handling, Sampling};

pub use figures::{Detection, Figures};

/// Shelves of the recording, and plates of each.
const SHELVES: [&str; 5] = ["a", "b", "c", "d", "e"];
const PLATES: usize = 12;
const RATE_HZ: f64 = 60.0;
const START: StoreTime = StoreTime::from_micros(0);
/// Labels begin with the arm's going out and end when it is back: the hand is at the plate for this share of it ...
const TOUCHES: f64 = 0.75;
/// ... and the weight moves at this share.
const MOVES_AT: f64 = 0.45;

/// A labelled handling.
#[derive(Debug, Clone, Deserialize)]
struct Label {
    shelf: String,
    gt_start_ms: f64,
    gt_end_ms: f64,
    delta_g: f64,
}

/// Signals of five shelves with what is known to have been done to them.
#[derive(Debug, Clone)]
pub struct Signals {
    /// Seconds.
    pub times_s: Vec<f64>,
    /// By shelf, grams.
    pub shelves_g: Vec<Vec<f64>>,
    /// Shelf, from, to (seconds), change (grams).
    pub handled: Vec<(usize, f64, f64, f64)>,
}

/// Reads the real recording.
///
/// # Errors
/// When its files are absent or not what this knows.
pub fn real(aim3s: &Path) -> anyhow::Result<Signals> {
    let path = aim3s.join("events.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("read {} (give the folder of the AIM3S data with --aim3s)", path.display())
    })?;
    let labels: Vec<Label> = serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let mut handled = Vec::new();
    for label in &labels {
        let shelf = SHELVES.iter().position(|s| *s == label.shelf);
        let shelf = shelf.with_context(|| format!("{}: no shelf {:?}", path.display(), label.shelf))?;
        handled.push((shelf, label.gt_start_ms / 1e3, label.gt_end_ms / 1e3, label.delta_g));
    }
    handled.sort_by(|a, b| a.1.total_cmp(&b.1));
    let path = aim3s.join("shelf_weights_60hz.csv");
    let mut reader = csv::Reader::from_path(&path).with_context(|| format!("read {}", path.display()))?;
    let mut signals = Signals { times_s: Vec::new(), shelves_g: vec![Vec::new(); SHELVES.len()], handled };
    for (i, row) in reader.deserialize::<Vec<f64>>().enumerate() {
        let row = row.with_context(|| format!("{}: row {}", path.display(), i + 2))?;
        ensure!(row.len() > SHELVES.len(), "{}: row {} is too short", path.display(), i + 2);
        signals.times_s.push(row[0] / 1e3);
        for (shelf, g) in signals.shelves_g.iter_mut().zip(&row[1..]) {
            shelf.push(*g);
        }
    }
    Ok(signals)
}

/// Five shelves in one piece of furniture; `plates` on each.
fn store(plates: usize) -> anyhow::Result<StoreFile> {
    let mut text = String::from(
        "format = 1\n[store]\nid = \"aim3s\"\nname = \"AIM3S\"\ntimezone = \"UTC\"\ncurrency = \"USD\"\n\
         floor = [[0.0, -2.0], [2.0, -2.0], [2.0, 0.0], [0.0, 0.0]]\n\
         [[gate]]\nid = \"door\"\nkind = \"both\"\nsegment = [[0.0, -2.0], [1.0, -2.0]]\n\
         [[gondola]]\nid = \"1\"\norigin = [0.0, 0.0, 0.0]\nyaw_deg = 0.0\n",
    );
    for (i, shelf) in SHELVES.iter().enumerate() {
        let height = 0.3 + 0.3 * i as f64;
        let list: Vec<String> = (0..plates)
            .map(|p| format!("{{ id = \"{p}\", offset = [{:.2}, 0.0], size = [0.1, 0.4] }}", 0.1 * p as f64))
            .collect();
        text += &format!(
            "[[gondola.shelf]]\nid = \"{shelf}\"\nheight_m = {height:.2}\nplates = [{}]\n",
            list.join(", ")
        );
    }
    text += "[[product]]\nsku = \"x\"\nname = \"x\"\nprice = 1\nweight_g = 400.0\n";
    Ok(StoreFile::parse(Path::new("store.toml"), &text)?)
}

/// The same handlings on simulated shelves.
///
/// # Errors
/// Never with the shelves that this makes.
pub fn simulated(real: &Signals, seed: u64) -> anyhow::Result<Signals> {
    let layout = store(PLATES)?.layout;
    let mut chance = Chance::new(seed, "honesty");
    let mut handlings = Vec::new();
    for (shelf, from_s, to_s, delta_g) in &real.handled {
        let duration_s = to_s - from_s;
        let first = shelf * PLATES + chance.count(0, PLATES as u32 - 2) as usize;
        let u = chance.between(0.12, 0.88);
        handlings.push(Handling {
            at_s: from_s + MOVES_AT * duration_s,
            duration_s: TOUCHES * duration_s,
            plates: vec![PlateIndex(first), PlateIndex(first + 1)],
            delta_g: *delta_g,
            parts_g: Some(vec![delta_g * u, delta_g * (1.0 - u)]),
            ..Handling::default()
        });
    }
    let duration_s = real.times_s.last().copied().unwrap_or(0.0);
    let samples = load_cell::weigh(
        &layout,
        START,
        Sampling { rate_hz: RATE_HZ, duration_s, seed, furniture: Furniture::MEASURED },
        &handlings,
    );
    let mut signals = Signals {
        times_s: Vec::new(),
        shelves_g: vec![Vec::new(); SHELVES.len()],
        handled: real.handled.clone(),
    };
    for sample in &samples {
        signals.times_s.push(sample.time.seconds_since(START));
        let mut sums = [0.0; SHELVES.len()];
        let mut heard = [false; SHELVES.len() * PLATES];
        for (plate, g) in &sample.weights_g {
            sums[plate.0 / PLATES] += g;
            heard[plate.0] = true;
        }
        for (shelf, list) in signals.shelves_g.iter_mut().enumerate() {
            // A lost reading is no change of weight.
            let whole = heard[shelf * PLATES..(shelf + 1) * PLATES].iter().all(|h| *h);
            let last = list.last().copied().unwrap_or(sums[shelf]);
            list.push(if whole { sums[shelf] } else { last });
        }
    }
    Ok(signals)
}

/// What our shelf detector finds in such signals, each shelf taken for one plate.
///
/// # Errors
/// Never with the shelves that this makes.
pub fn detect(signals: &Signals) -> anyhow::Result<Detection> {
    let layout = store(1)?.layout;
    let mut detector = ShelfDetector::new(&layout, ShelfConfig::default());
    let mut found = Vec::new();
    for (row, t) in signals.times_s.iter().enumerate() {
        let weights_g = signals
            .shelves_g
            .iter()
            .enumerate()
            .map(|(shelf, list)| (PlateIndex(shelf), list[row]))
            .collect();
        found.extend(detector.handle_sample(&WeightSample { time: START.plus_s(*t), weights_g }));
    }
    found.extend(detector.finish());
    let found: Vec<(usize, f64, f64, f64)> = found
        .iter()
        .flat_map(|e| &e.changes)
        .map(|c| (c.plate.0, c.start.seconds_since(START), c.end.seconds_since(START), c.delta_g))
        .collect();
    Ok(Detection::of(&signals.handled, &found))
}

/// Compares, writes the plot, and gives the tables in Markdown.
///
/// # Errors
/// When the data cannot be read or the plot not be written.
pub fn compare(aim3s: &Path, seeds: u64, plot: &Path) -> anyhow::Result<String> {
    let real = real(aim3s)?;
    let simulated = (1..=seeds).map(|seed| simulated(&real, seed)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(first) = simulated.first() {
        plot::write(plot, &real, first).with_context(|| format!("write {}", plot.display()))?;
    }
    let figures: Vec<Figures> = simulated.iter().map(Figures::of).collect();
    let found = simulated.iter().map(detect).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(figures::table(&Figures::of(&real), &figures, &detect(&real)?, &found))
}
