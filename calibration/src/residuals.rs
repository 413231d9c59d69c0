//! What a fit leaves over, point by point: written beside a calibration, so that a report can draw it.
//!
//! `calibrate pose --out cam1.toml` writes `cam1.residuals.csv`: camera, the point's pixel, how far from there the
//! calibration has it, and whether it was used.

use std::path::{Path, PathBuf};

use nalgebra::{Point2, Vector2};
use serde::{Deserialize, Serialize};

/// A point of one camera's image.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The camera.
    pub camera: String,
    /// Where the point was marked or found, pixels.
    pub px: Point2<f64>,
    /// How far from there the calibration has it, pixels.
    pub off_px: Vector2<f64>,
    /// Was it used, or left out?
    pub used: bool,
}

#[derive(Serialize, Deserialize)]
struct Row {
    camera: String,
    x_px: f64,
    y_px: f64,
    off_x_px: f64,
    off_y_px: f64,
    used: bool,
}

/// Why residuals cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ResidualsError {
    /// The file cannot be read or is none.
    #[error(
        "{0}: cannot be read as residuals; give a file that `calibrate pose --out` wrote beside its table"
    )]
    File(String, #[source] csv::Error),
    /// A number is none.
    #[error(
        "{file}: line {line}: holds a number that is not finite; write the file again with `calibrate pose`"
    )]
    NotFinite {
        /// Which file.
        file: String,
        /// Which line.
        line: usize,
    },
}

/// Where residuals stand for a calibration that is written there.
#[must_use]
pub fn beside(table: &Path) -> PathBuf {
    table.with_extension("residuals.csv")
}

/// As CSV.
#[must_use]
pub fn to_csv(residuals: &[Residual]) -> String {
    let mut out = String::from("camera,x_px,y_px,off_x_px,off_y_px,used\n");
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for r in residuals.iter().filter(|r| r.off_px.iter().all(|v| v.is_finite())) {
        let row = Row {
            camera: r.camera.clone(),
            x_px: rounded(r.px.x),
            y_px: rounded(r.px.y),
            off_x_px: rounded(r.off_px.x),
            off_y_px: rounded(r.off_px.y),
            used: r.used,
        };
        // Writing to memory does not fail.
        let _ = writer.serialize(row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    out.push_str(&String::from_utf8_lossy(&bytes));
    out
}

fn rounded(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}

/// Reads what [`to_csv`] wrote.
///
/// # Errors
/// [`ResidualsError`].
pub fn read(path: &Path) -> Result<Vec<Residual>, ResidualsError> {
    let file = |e| ResidualsError::File(path.display().to_string(), e);
    let mut reader = csv::Reader::from_path(path).map_err(file)?;
    let mut residuals = Vec::new();
    for (index, row) in reader.deserialize().enumerate() {
        let row: Row = row.map_err(file)?;
        if ![row.x_px, row.y_px, row.off_x_px, row.off_y_px].iter().all(|v| v.is_finite()) {
            return Err(ResidualsError::NotFinite { file: path.display().to_string(), line: index + 2 });
        }
        residuals.push(Residual {
            camera: row.camera,
            px: Point2::new(row.x_px, row.y_px),
            off_px: Vector2::new(row.off_x_px, row.off_y_px),
            used: row.used,
        });
    }
    Ok(residuals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let one = Residual {
            camera: "till, left".into(),
            px: Point2::new(12.5, 7.0),
            off_px: Vector2::new(-0.25, 1.5),
            used: false,
        };
        let lost = Residual { off_px: Vector2::new(f64::INFINITY, 0.0), ..one.clone() };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), to_csv(&[one.clone(), lost])).unwrap();
        assert_eq!(read(file.path()).unwrap(), [one]);
        std::fs::write(file.path(), "camera,x_px,y_px,off_x_px,off_y_px,used\na,1,2,NaN,0,true\n").unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("line 2"));
        std::fs::write(file.path(), "x,y\n1,2\n").unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("calibrate pose --out"));
    }
}
