//! `calibrate planogram`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;
use linefree_calibration::planogram::{self, Candidate, Change, Place, Proposal};
use linefree_calibration::store::Store;
use linefree_domain::ids::{PlateIndex, ProductIndex};
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector};
use linefree_domain::time::StoreTime;
use linefree_recording::WeightsReader;
use serde_json::json;

use crate::{note, print, write_file};

/// The first and last settled weights are means over this long, seconds.
const SETTLED_S: f64 = 2.0;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The store with its plates and catalogue
    #[arg(value_name = "STORE.TOML")]
    store: PathBuf,
    /// CSV of what lies on the plates: plate,weight_g and optionally one_item_g
    #[arg(long, value_name = "FILE", required_unless_present = "filling", conflicts_with = "filling")]
    weights: Option<PathBuf>,
    /// weights.csv of a recording that begins with empty shelves and ends with full ones
    #[arg(long, value_name = "FILE")]
    filling: Option<PathBuf>,
    /// CSV of what a camera recognised: plate,sku,probability (from edge-agent recognise)
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
    /// Ask about every place that is not sure, on the standard input
    #[arg(long)]
    confirm: bool,
    /// Where to write the facings; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  $ cat plates.csv
  plate,weight_g,one_item_g
  1/5/1,2152.4,538.1
  1/5/2+1/5/3,980,
  $ calibrate planogram store.toml --weights plates.csv --confirm --out planogram.toml
  $ calibrate planogram store.toml --filling weights.csv --seen seen.csv --out planogram.toml

weight_g is what lies there, one_item_g what it changed by when one item was taken off. Plates on
which one item rests together are joined by +. The facings go into store.toml; those that are not
sure are written as comments, with what they could be, for you to confirm.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::read(&arguments.store)?;
    let layout = &store.layout;
    let mut places = match (&arguments.weights, &arguments.filling) {
        (Some(file), _) => read_weights(file, layout)?,
        (None, Some(file)) => read_filling(file, layout)?,
        (None, None) => anyhow::bail!("give --weights or --filling"),
    };
    if let Some(file) = &arguments.seen {
        read_seen(file, layout, &mut places)?;
    }
    let mut proposals =
        planogram::propose(layout, &places).with_context(|| arguments.store.display().to_string())?;
    if arguments.confirm {
        confirm(layout, &mut proposals, &mut std::io::stdin().lock())?;
    }
    let table = table(layout, &proposals);
    let sure = proposals.iter().filter(|p| p.sure().is_some()).count();
    let empty = proposals.iter().filter(|p| p.candidates.is_empty()).count();
    let mut summary = format!(
        "{} places: {sure} sure, {} to confirm, {empty} empty",
        proposals.len(),
        proposals.len() - sure - empty
    );
    for p in proposals.iter().filter(|p| p.differs()) {
        let _ = write!(summary, "\nnote: {} is not what the planogram has there", told(layout, p));
    }
    for p in proposals.iter().filter(|p| p.sure().is_none() && !p.candidates.is_empty()) {
        let _ = write!(summary, "\nto confirm: {}", told(layout, p));
    }
    if let Some(out) = &arguments.out {
        write_file(out, &table)?;
        let _ = write!(summary, "\nwrote {}", out.display());
    }
    note(&summary);
    if arguments.json {
        let rows: Vec<_> = proposals.iter().map(|p| row(layout, p)).collect();
        print(&format!("{}\n", serde_json::to_string_pretty(&json!({"places": rows}))?))?;
    } else if arguments.out.is_none() {
        print(&table)?;
    }
    Ok(())
}

fn ids(layout: &StoreLayout, plates: &[PlateIndex]) -> Vec<String> {
    plates.iter().map(|p| layout.plates[p.0].id.to_string()).collect()
}

fn name(layout: &StoreLayout, c: &Candidate) -> String {
    match c.product {
        Some(p) => {
            let product = &layout.products[p.0];
            format!("{} x {} ({}), {:.0} %", c.count, product.name, product.sku, c.probability * 100.0)
        }
        None => format!("nothing of the catalogue, {:.0} %", c.probability * 100.0),
    }
}

fn told(layout: &StoreLayout, p: &Proposal) -> String {
    let could: Vec<String> = p.candidates.iter().take(4).map(|c| name(layout, c)).collect();
    format!("{}: {:.0} g: {}", ids(layout, &p.plates).join("+"), p.weight_g, could.join("; "))
}

fn row(layout: &StoreLayout, p: &Proposal) -> serde_json::Value {
    let sku = |i: ProductIndex| layout.products[i.0].sku.as_str().to_owned();
    let candidates: Vec<_> = p
        .candidates
        .iter()
        .map(|c| json!({"sku": c.product.map(sku), "count": c.count, "probability": c.probability}))
        .collect();
    json!({
        "plates": ids(layout, &p.plates),
        "weight_g": p.weight_g,
        "sure": p.sure().is_some(),
        "candidates": candidates,
        "before": p.before.iter().map(|i| sku(*i)).collect::<Vec<_>>(),
    })
}

/// The facings as they stand in store.toml; what is not sure is a comment.
fn table(layout: &StoreLayout, proposals: &[Proposal]) -> String {
    let mut out =
        String::from("# Proposed by `calibrate planogram`; goes into store.toml once it is confirmed.\n");
    for p in proposals {
        let plates = ids(layout, &p.plates);
        let Some(best) = p.candidates.first() else {
            let _ = writeln!(out, "# {}: empty.", plates.join("+"));
            continue;
        };
        let sure = p.sure().is_some();
        let note = if sure { "" } else { "Confirm: " };
        let _ = writeln!(out, "# {note}{}.", told(layout, p).replace(['\n', '\r'], " "));
        let Some(product) = best.product else { continue };
        let mark = if sure { "" } else { "# " };
        let _ = writeln!(
            out,
            "{mark}[[facing]]\n{mark}sku = {:?}\n{mark}plates = {plates:?}\n{mark}count = {}\n",
            layout.products[product.0].sku.as_str(),
            best.count
        );
    }
    out
}

/// Asks about each place that is not sure: the number of a candidate, a SKU, or nothing to leave it open.
fn confirm(
    layout: &StoreLayout,
    proposals: &mut [Proposal],
    answers: &mut impl BufRead,
) -> anyhow::Result<()> {
    for p in proposals.iter_mut().filter(|p| p.sure().is_none() && !p.candidates.is_empty()) {
        note(&format!("{}: {:.0} g lie there. Is it", ids(layout, &p.plates).join("+"), p.weight_g));
        for (i, c) in p.candidates.iter().enumerate() {
            note(&format!("  {} {}", i + 1, name(layout, c)));
        }
        loop {
            note("its number, another SKU, or nothing to leave it open:");
            let mut line = String::new();
            if answers.read_line(&mut line).context("reading an answer")? == 0 {
                return Ok(());
            }
            let answer = line.trim();
            if answer.is_empty() {
                break;
            }
            let listed =
                answer.parse::<usize>().ok().and_then(|n| p.candidates.get(n.wrapping_sub(1))).copied();
            let other = layout.product(answer).map(|product| {
                let each_g = layout.products[product.0].weight.mean_g;
                let count = (p.weight_g / each_g).round().clamp(1.0, f64::from(planogram::MOST_ITEMS)) as u32;
                Candidate { product: Some(product), count, probability: 1.0 }
            });
            if let Some(chosen) = listed.or(other) {
                p.candidates = vec![Candidate { probability: 1.0, ..chosen }];
                break;
            }
            note(&format!("{answer:?} is neither a number of the list nor a SKU of the catalogue"));
        }
    }
    Ok(())
}

/// A CSV with this header's first columns, row by row with its line.
fn rows(path: &Path, header: &[&str]) -> anyhow::Result<Vec<(u64, csv::StringRecord)>> {
    let shown = path.display();
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_path(path)
        .with_context(|| format!("{shown}: cannot be read"))?;
    let found = reader.headers().with_context(|| format!("{shown}: cannot be read"))?.clone();
    anyhow::ensure!(
        found.iter().zip(header).all(|(f, h)| f.trim_start_matches('\u{feff}') == *h)
            && found.len() + 1 >= header.len(),
        "{shown}: line 1: the header must be {}",
        header.join(",")
    );
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("{shown}: cannot be read as CSV"))?;
        rows.push((record.position().map_or(0, csv::Position::line), record));
    }
    Ok(rows)
}

fn number(path: &Path, line: u64, field: &str, text: &str) -> anyhow::Result<f64> {
    let value: Option<f64> = text.parse().ok().filter(|v: &f64| v.is_finite());
    value.with_context(|| {
        format!("{}: line {line}: {field} is {text:?}, not a number; write it with a point", path.display())
    })
}

fn plates_of(path: &Path, line: u64, text: &str, layout: &StoreLayout) -> anyhow::Result<Vec<PlateIndex>> {
    let one = |id: &str| {
        layout.plate(id.trim()).with_context(|| {
            format!(
                "{}: line {line}: the store has no plate {id:?}; write gondola/shelf/plate, several joined by +",
                path.display()
            )
        })
    };
    text.split('+').map(one).collect()
}

fn read_weights(path: &Path, layout: &StoreLayout) -> anyhow::Result<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    for (line, row) in rows(path, &["plate", "weight_g", "one_item_g"])? {
        let plates = plates_of(path, line, row.get(0).unwrap_or_default(), layout)?;
        if let Some(twice) = plates.iter().find(|p| places.iter().any(|q| q.plates.contains(p))) {
            anyhow::bail!(
                "{}: line {line}: plate {} stands there twice; keep one line for each",
                path.display(),
                layout.plates[twice.0].id
            );
        }
        let weight_g = number(path, line, "weight_g", row.get(1).unwrap_or_default())?;
        let one = row.get(2).filter(|t| !t.is_empty());
        let changes = match one {
            Some(text) => {
                vec![Change { delta_g: number(path, line, "one_item_g", text)?, sd_g: 0.5, most_items: 1 }]
            }
            None => Vec::new(),
        };
        places.push(Place { plates, weight_g, changes, seen: BTreeMap::new() });
    }
    Ok(places)
}

fn read_seen(path: &Path, layout: &StoreLayout, places: &mut [Place]) -> anyhow::Result<()> {
    for (line, row) in rows(path, &["plate", "sku", "probability"])? {
        let plates = plates_of(path, line, row.get(0).unwrap_or_default(), layout)?;
        let sku = row.get(1).unwrap_or_default();
        let product = layout.product(sku).with_context(|| {
            format!(
                "{}: line {line}: the catalogue has no {sku:?}; add its [[product]] first",
                path.display()
            )
        })?;
        let probability = number(path, line, "probability", row.get(2).unwrap_or_default())?;
        anyhow::ensure!(
            (0.0..=1.0).contains(&probability),
            "{}: line {line}: probability is {probability}; write 0 to 1",
            path.display()
        );
        for place in places.iter_mut().filter(|p| p.plates.iter().any(|q| plates.contains(q))) {
            place.seen.insert(product, probability);
        }
    }
    Ok(())
}

/// What was put on each plate between the first and the last seconds of a recording of weights. Plates that changed
/// together again and again hold items that rest on both.
fn read_filling(path: &Path, layout: &StoreLayout) -> anyhow::Result<Vec<Place>> {
    let reader = WeightsReader::open(path, StoreTime::from_micros(0), layout)?;
    let named: Vec<PlateIndex> = reader.plates().to_vec();
    let mut detector = ShelfDetector::new(layout, ShelfConfig::default());
    let mut samples: BTreeMap<PlateIndex, Vec<(StoreTime, f64)>> = BTreeMap::new();
    let mut events = Vec::new();
    for sample in reader {
        let sample = sample?;
        for (plate, weight_g) in sample.weights_g.iter().filter(|(_, w)| w.is_finite()) {
            samples.entry(*plate).or_default().push((sample.time, *weight_g));
        }
        events.extend(detector.handle_sample(&sample));
    }
    events.extend(detector.finish());
    let together = |a: PlateIndex, b: PlateIndex| {
        let changes = |e: &&linefree_domain::shelf::ShelfEvent, p| e.changes.iter().any(|c| c.plate == p);
        let both = events.iter().filter(|e| changes(e, a) && changes(e, b)).count();
        let either = events.iter().filter(|e| changes(e, a) || changes(e, b)).count();
        both > 0 && 2 * both > either
    };
    let mut places: Vec<Place> = Vec::new();
    for plate in named {
        let rested_g = settled_change_g(samples.get(&plate).map_or(&[], Vec::as_slice));
        let rested_g = rested_g.with_context(|| {
            format!(
                "{}: plate {} has no weights for {SETTLED_S} s at both ends; record a little before and after filling",
                path.display(),
                layout.plates[plate.0].id
            )
        })?;
        let with = places.iter_mut().find(|p| p.plates.iter().any(|q| together(*q, plate)));
        match with {
            Some(place) => {
                place.plates.push(plate);
                place.weight_g += rested_g;
            }
            None => places.push(Place {
                plates: vec![plate],
                weight_g: rested_g,
                changes: Vec::new(),
                seen: BTreeMap::new(),
            }),
        }
    }
    for place in &mut places {
        let own = events.iter().filter(|e| e.changes.iter().all(|c| place.plates.contains(&c.plate)));
        place.changes = own
            .map(|e| Change { delta_g: e.delta_g(), sd_g: e.sd_g(), most_items: planogram::MOST_AT_ONCE })
            .collect();
    }
    Ok(places)
}

/// Last settled weight less the first.
fn settled_change_g(samples: &[(StoreTime, f64)]) -> Option<f64> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    if last.seconds_since(first) < 2.0 * SETTLED_S {
        return None;
    }
    let median = |of: &dyn Fn(StoreTime) -> bool| {
        let mut weights: Vec<f64> = samples.iter().filter(|s| of(s.0)).map(|s| s.1).collect();
        weights.sort_by(f64::total_cmp);
        weights.get(weights.len() / 2).copied()
    };
    let begin = median(&|t| t.seconds_since(first) <= SETTLED_S)?;
    let end = median(&|t| last.seconds_since(t) <= SETTLED_S)?;
    Some(end - begin)
}
