//! Writes a recording: by the simulator, by `edge-agent all --record DIR`.
//!
//! Streams are appended as they come; recording.toml is written last, by [`RecordingWriter::finish`], so that a
//! folder without it is recognisably unfinished. Times are written to the microsecond without trailing zeros and
//! numbers in the shortest form that reads back the same, so that equal input gives equal bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use serde::Serialize;

use crate::gates::{self, GateLine};
use crate::manifest::{CameraFile, Manifest};
use crate::mistake::Mistake;
use crate::people::{self, PeopleLine};
use crate::receipts::Receipts;
use crate::store_file::StoreFile;
use crate::views::{self, ViewLine};

/// A recording that is being written.
pub struct RecordingWriter {
    dir: PathBuf,
    layout: StoreLayout,
    start: StoreTime,
    weights: Option<(PathBuf, BufWriter<File>)>,
    /// Which plate each column after `t` is.
    columns: Vec<PlateIndex>,
    people: Option<(PathBuf, BufWriter<File>)>,
    gates: Option<(PathBuf, BufWriter<File>)>,
    views: Option<(PathBuf, BufWriter<File>)>,
}

impl RecordingWriter {
    /// Makes the folder and copies store.toml into it. Files of an earlier recording in it are replaced.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn create(dir: impl AsRef<Path>, store: &StoreFile, start: StoreTime) -> Result<Self, Mistake> {
        let dir = dir.as_ref().to_owned();
        std::fs::create_dir_all(&dir).map_err(|e| Mistake::io(&dir, "make the folder", &e))?;
        for old in
            ["recording.toml", "weights.csv", "people.jsonl", "gate.jsonl", "views.jsonl", "expected.json"]
        {
            let path = dir.join(old);
            if path.symlink_metadata().is_ok() {
                std::fs::remove_file(&path).map_err(|e| Mistake::io(&path, "replace it", &e))?;
            }
        }
        let path = dir.join("store.toml");
        std::fs::write(&path, &store.text).map_err(|e| Mistake::io(&path, "write it", &e))?;
        let columns = (0..store.layout.plates.len()).map(PlateIndex).collect();
        Ok(Self {
            dir,
            layout: store.layout.clone(),
            start,
            weights: None,
            columns,
            people: None,
            gates: None,
            views: None,
        })
    }

    /// Limits weights.csv to some plates, in this order; without it every plate of the store has a column. Has to be
    /// called before the first sample.
    pub fn weigh_only(&mut self, plates: &[PlateIndex]) {
        self.columns = plates.to_vec();
    }

    /// Appends a row of weights.csv.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn weights(&mut self, sample: &WeightSample) -> Result<(), Mistake> {
        let layout = &self.layout;
        let columns = &self.columns;
        let (path, out) = stream(&mut self.weights, &self.dir, "weights.csv", |out| {
            out.write_all(b"t")?;
            for plate in columns {
                write!(out, ",{}", layout.plates.get(plate.0).map_or("?", |p| p.id.as_str()))?;
            }
            out.write_all(b"\n")
        })?;
        let mut row = seconds(self.start, sample.time);
        for plate in &self.columns {
            row.push(',');
            // A full sample has each plate at its own index; only one with gaps is searched.
            let own = sample.weights_g.get(plate.0).filter(|(p, _)| p == plate);
            if let Some((_, grams)) = own.or_else(|| sample.weights_g.iter().find(|(p, _)| p == plate)) {
                row.push_str(&if grams.is_nan() { "nan".to_owned() } else { grams.to_string() });
            }
        }
        row.push('\n');
        out.write_all(row.as_bytes()).map_err(|e| Mistake::io(path, "write it", &e))
    }

    /// Appends a line of people.jsonl.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn people(&mut self, line: &PeopleLine) -> Result<(), Mistake> {
        let raw = people::to_raw(t_s(self.start, line.time), line);
        append(&mut self.people, &self.dir, "people.jsonl", &raw)
    }

    /// Appends a line of gate.jsonl.
    ///
    /// # Errors
    /// When the file cannot be written or the gate is not of this store.
    pub fn gate(&mut self, line: &GateLine) -> Result<(), Mistake> {
        let raw = gates::to_raw(t_s(self.start, line.time), line, &self.layout);
        let raw = raw.ok_or_else(|| not_of_this_store(&self.dir, "gate.jsonl"))?;
        append(&mut self.gates, &self.dir, "gate.jsonl", &raw)
    }

    /// Appends a line of views.jsonl.
    ///
    /// # Errors
    /// When the file cannot be written or a product is not of this store.
    pub fn view(&mut self, line: &ViewLine) -> Result<(), Mistake> {
        let raw = views::to_raw(t_s(self.start, line.time), line, &self.layout);
        let raw = raw.ok_or_else(|| not_of_this_store(&self.dir, "views.jsonl"))?;
        append(&mut self.views, &self.dir, "views.jsonl", &raw)
    }

    /// Writes expected.json.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn expected(&mut self, receipts: &Receipts) -> Result<(), Mistake> {
        receipts.write(&self.dir.join("expected.json"))
    }

    /// Writes what is buffered to the files, so that a crash loses no more than what comes after.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn flush(&mut self) -> Result<(), Mistake> {
        let open = [&mut self.weights, &mut self.people, &mut self.gates, &mut self.views];
        for (path, out) in open.into_iter().flatten() {
            out.flush().map_err(|e| Mistake::io(path, "write it", &e))?;
        }
        Ok(())
    }

    /// Closes every file and writes recording.toml.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self, duration_s: f64, cameras: Vec<CameraFile>) -> Result<(), Mistake> {
        self.flush()?;
        let manifest = Manifest { start: self.start, duration_s, cameras };
        let path = self.dir.join("recording.toml");
        std::fs::write(&path, manifest.to_toml(&self.layout)).map_err(|e| Mistake::io(&path, "write it", &e))
    }
}

fn not_of_this_store(dir: &Path, name: &str) -> Mistake {
    Mistake::in_file(
        &dir.join(name),
        "a line names what the store does not have",
        "record with the same store.toml",
    )
}

type Stream = Option<(PathBuf, BufWriter<File>)>;

/// The open file, opened with its header on first use.
fn stream<'s>(
    slot: &'s mut Stream,
    dir: &Path,
    name: &str,
    header: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(&'s Path, &'s mut BufWriter<File>), Mistake> {
    let opened = match slot.take() {
        Some(opened) => opened,
        None => {
            let path = dir.join(name);
            let file = File::create(&path).map_err(|e| Mistake::io(&path, "write it", &e))?;
            let mut out = BufWriter::new(file);
            header(&mut out).map_err(|e| Mistake::io(&path, "write it", &e))?;
            (path, out)
        }
    };
    let (path, out) = slot.insert(opened);
    Ok((path.as_path(), out))
}

fn append(slot: &mut Stream, dir: &Path, name: &str, line: &impl Serialize) -> Result<(), Mistake> {
    let (path, out) = stream(slot, dir, name, |_| Ok(()))?;
    let text = serde_json::to_string(line)
        .map_err(|e| Mistake::in_file(path, e.to_string(), "record only finite numbers"))?;
    writeln!(out, "{text}").map_err(|e| Mistake::io(path, "write it", &e))
}

/// Seconds from the start. A division, not a multiplication by 1e-6: it gives the number nearest to the decimal.
fn t_s(start: StoreTime, time: StoreTime) -> f64 {
    time.micros.saturating_sub(start.micros) as f64 / 1e6
}

/// Seconds from the start, exact to the microsecond, without trailing zeros.
fn seconds(start: StoreTime, time: StoreTime) -> String {
    let micros = time.micros.saturating_sub(start.micros);
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let text = format!("{sign}{whole}.{part:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
