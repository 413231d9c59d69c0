//! `weights.csv`: what every plate weighs, in time order.
//!
//! An empty field is no sample; `nan` is a fault of the plate and is passed on as NaN. Anything else that is not a
//! finite number ends the reading.

use std::fs::File;
use std::path::{Path, PathBuf};

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;

use crate::json_lines::wrong_t;
use crate::mistake::Mistake;

/// Streams weights.csv; ends after the first mistake.
#[derive(Debug)]
pub struct WeightsReader {
    path: PathBuf,
    start: StoreTime,
    plates: Vec<PlateIndex>,
    names: Vec<String>,
    reader: csv::Reader<File>,
    record: csv::StringRecord,
    last_t: f64,
    ended: bool,
}

impl WeightsReader {
    /// Opens a weights.csv and checks its header against the store.
    ///
    /// # Errors
    /// When the file cannot be opened, or its header is not `t` and known plates, each once.
    pub fn open(path: &Path, start: StoreTime, layout: &StoreLayout) -> Result<Self, Mistake> {
        let file = File::open(path).map_err(|e| Mistake::io(path, "open it", &e))?;
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).has_headers(true).from_reader(file);
        let header = reader.headers().map_err(|e| csv_mistake(path, &e))?.clone();
        let wrong = |column: usize, what: String, remedy: &str| {
            let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
            Err(Mistake::in_line(path, 1, format!("column {column}"), what, remedy))
        };
        if header.get(0).map(|t| t.trim_start_matches('\u{feff}')) != Some("t") {
            let found = header.get(0).unwrap_or_default();
            return wrong(0, format!("is {found:?}, not `t`"), "begin the header with t, then the plates");
        }
        let known = layout.plates_by_id();
        let mut plates = Vec::new();
        let mut names = Vec::new();
        for (i, name) in header.iter().enumerate().skip(1) {
            let Some(plate) = known.get(name) else {
                return wrong(
                    i,
                    format!("store.toml has no plate {name:?}"),
                    "write gondola/shelf/plate of store.toml",
                );
            };
            if plates.contains(plate) {
                return wrong(i, format!("{name:?} has a column already"), "keep one column a plate");
            }
            plates.push(*plate);
            names.push(name.to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            start,
            plates,
            names,
            reader,
            record: csv::StringRecord::new(),
            last_t: f64::NEG_INFINITY,
            ended: false,
        })
    }

    /// The plates of the header, in its order.
    #[must_use]
    pub fn plates(&self) -> &[PlateIndex] {
        &self.plates
    }

    fn read(&mut self) -> Result<Option<WeightSample>, Mistake> {
        let found = self.reader.read_record(&mut self.record).map_err(|e| csv_mistake(&self.path, &e))?;
        if !found {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let wrong = |field: &str, what: String, remedy: &str| {
            Err(Mistake::in_line(&self.path, line, field, what, remedy))
        };
        if self.record.len() != self.plates.len() + 1 {
            return wrong(
                "",
                format!("has {} fields, the header has {}", self.record.len(), self.plates.len() + 1),
                "finish or remove the line; leave a field empty where there is no sample",
            );
        }
        let text = self.record.get(0).unwrap_or_default();
        let t = match text.parse::<f64>() {
            Ok(t) if wrong_t(t).is_none() => t,
            _ => {
                return wrong(
                    "t",
                    format!("{text:?} is not a time"),
                    "write seconds from the recording's start",
                );
            }
        };
        if t < self.last_t {
            return wrong(
                "t",
                format!("{t} comes after {}: time goes backwards", self.last_t),
                "sort the rows by t",
            );
        }
        let mut weights_g = Vec::with_capacity(self.plates.len());
        for ((text, plate), name) in self.record.iter().skip(1).zip(&self.plates).zip(&self.names) {
            if text.is_empty() {
                continue;
            }
            let value = match text.parse::<f64>() {
                Ok(v) if v.is_finite() || text.eq_ignore_ascii_case("nan") => v,
                _ => {
                    return wrong(
                        name,
                        format!("{text:?} is not a weight"),
                        "write grams, `nan` for a fault, or nothing where there is no sample",
                    );
                }
            };
            weights_g.push((*plate, value));
        }
        self.last_t = t;
        Ok(Some(WeightSample { time: self.start.plus_s(t), weights_g }))
    }
}

impl Iterator for WeightsReader {
    type Item = Result<WeightSample, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

fn csv_mistake(path: &Path, error: &csv::Error) -> Mistake {
    let line = error.position().map(|p| u32::try_from(p.line()).unwrap_or(u32::MAX));
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    Mistake {
        line,
        ..Mistake::in_file(path, what, "write comma-separated numbers as docs/ref/recording.md says")
    }
}
