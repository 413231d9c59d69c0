//! Surveyed points: where a mark on the floor appears in the image, and where it is in the store.
//!
//! A CSV file with the header `x_px,y_px,x_m,y_m` in any order, and optionally `z_m` (height above the floor) and `name`; lines that begin with `#` are
//! comments. Points may be many thousands (a walked pattern, a tracker's ground truth) or four.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use nalgebra::{Matrix2, Point2, Vector2};

/// The fewest points that determine a homography.
pub const MIN_POINTS: usize = 4;

/// Points within this share of their longest extent from one line count as collinear.
const COLLINEAR_SHARE: f64 = 0.01;

/// One mark on the floor.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyedPoint {
    /// Where it is written: line of the file, from 1.
    pub line: u64,
    /// What people call it, where they do.
    pub name: Option<String>,
    /// Where it appears, pixels.
    pub image_px: Point2<f64>,
    /// Where it is, metres.
    pub floor_m: Point2<f64>,
    /// How high above the floor, metres.
    pub height_m: f64,
}

impl fmt::Display for SurveyedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "line {} ({name})", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// Why points cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PointsError {
    /// The header is not the expected one.
    #[error(
        "line {line}: {found:?} is no header of surveyed points; write x_px,y_px,x_m,y_m (and, if wanted, z_m and name)"
    )]
    Header {
        /// Line of the file.
        line: u64,
        /// What stands there.
        found: String,
    },
    /// The file is no text.
    #[error("the file cannot be read as text; save it as CSV in UTF-8")]
    Text(#[from] std::io::Error),
    /// A line is no CSV.
    #[error("line {line}: cannot be read as CSV ({reason})")]
    Csv {
        /// Line of the file.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line has too few or too many fields.
    #[error(
        "line {line}: has {found} fields where the header has {wanted}; decimals are written with a point"
    )]
    Fields {
        /// Line of the file.
        line: u64,
        /// How many it has.
        found: usize,
        /// How many the header has.
        wanted: usize,
    },
    /// A field is no number.
    #[error("line {line}: {field} is {found:?}, not a number; write it with a point, as 12.4")]
    NotANumber {
        /// Line of the file.
        line: u64,
        /// Which column.
        field: &'static str,
        /// What stands there.
        found: String,
    },
    /// A field is NaN or infinite.
    #[error("line {line}: {field} is {found}; measure the point again or remove the line")]
    NotFinite {
        /// Line of the file.
        line: u64,
        /// Which column.
        field: &'static str,
        /// What stands there.
        found: f64,
    },
    /// The same pixel twice.
    #[error(
        "line {line} repeats the pixel ({}, {}) of line {first}; one mark is one pixel: remove one of the lines, or \
         mark the point in the image again",
        at.x, at.y
    )]
    Repeated {
        /// The later line.
        line: u64,
        /// The earlier line.
        first: u64,
        /// The pixel.
        at: Point2<f64>,
    },
    /// Too few different points.
    #[error(
        "{found} different points on the floor, at least {MIN_POINTS} are needed; survey 8 or more, spread over the view"
    )]
    TooFew {
        /// How many there are.
        found: usize,
    },
    /// All points lie on one line.
    #[error(
        "all points lie on one line {place}; a line does not fix a plane: add points well to both sides of it"
    )]
    Collinear {
        /// On the floor or in the image.
        place: Place,
    },
    /// All points but one lie on one line.
    #[error(
        "all points but {alone} lie on one line {place}; add at least one more point well away from that line"
    )]
    CollinearButOne {
        /// The point off the line.
        alone: String,
        /// On the floor or in the image.
        place: Place,
    },
}

/// Where points were found to be degenerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the metres.
    Floor,
    /// In the pixels.
    Image,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "on the floor",
            Self::Image => "in the image",
        })
    }
}

const FIELDS: [&str; 4] = ["x_px", "y_px", "x_m", "y_m"];

/// Reads a CSV of surveyed points. Does not yet judge whether they determine a pose: see [`check`].
///
/// # Errors
/// [`PointsError`] with line and field.
pub fn read(mut input: impl Read) -> Result<Vec<SurveyedPoint>, PointsError> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    // A spreadsheet may put a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    // Line by line, because the csv crate's positions do not count the comments and empty lines that it skips.
    let mut lines =
        (1_u64..).zip(text.lines()).filter(|(_, l)| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    let (line, header) = lines.next().unwrap_or((1, ""));
    let names = fields(line, header)?;
    let bad_header = || PointsError::Header { line, found: header.to_owned() };
    let column = |name: &str| names.iter().position(|n| n == name);
    let mut columns = [0; 4];
    for (slot, field) in columns.iter_mut().zip(FIELDS) {
        *slot = column(field).ok_or_else(bad_header)?;
    }
    let (height_column, name_column) = (column("z_m"), column("name"));
    if names.len() != 4 + usize::from(height_column.is_some()) + usize::from(name_column.is_some()) {
        return Err(bad_header());
    }
    let mut points = Vec::new();
    for (line, row) in lines {
        let row = fields(line, row)?;
        if row.len() != names.len() {
            return Err(PointsError::Fields { line, found: row.len(), wanted: names.len() });
        }
        let mut values = [0.0; 4];
        let number = |column: usize, field: &'static str| {
            let text = row.get(column).unwrap_or_default();
            let number: f64 =
                text.parse().map_err(|_| PointsError::NotANumber { line, field, found: text.to_owned() })?;
            if !number.is_finite() {
                return Err(PointsError::NotFinite { line, field, found: number });
            }
            Ok(number)
        };
        for ((value, column), field) in values.iter_mut().zip(columns).zip(FIELDS) {
            *value = number(column, field)?;
        }
        let height_m = height_column.map(|c| number(c, "z_m")).transpose()?.unwrap_or(0.0);
        let name = name_column.and_then(|c| row.get(c)).filter(|n| !n.is_empty()).map(str::to_owned);
        points.push(SurveyedPoint {
            line,
            name,
            image_px: Point2::new(values[0], values[1]),
            floor_m: Point2::new(values[2], values[3]),
            height_m,
        });
    }
    Ok(points)
}

/// The fields of one line.
fn fields(line: u64, text: &str) -> Result<csv::StringRecord, PointsError> {
    let mut record = csv::StringRecord::new();
    csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .buffer_capacity(256)
        .from_reader(text.as_bytes())
        .read_record(&mut record)
        .map_err(|e| PointsError::Csv { line, reason: e.to_string() })?;
    Ok(record)
}

/// Can these points determine a homography?
///
/// # Errors
/// [`PointsError`] when they are not finite, repeated, too few, or lie (but for one) on one line.
pub fn check(points: &[SurveyedPoint]) -> Result<(), PointsError> {
    for p in points {
        let values = [p.image_px.x, p.image_px.y, p.floor_m.x, p.floor_m.y];
        for (value, field) in values.into_iter().zip(FIELDS) {
            if !value.is_finite() {
                return Err(PointsError::NotFinite { line: p.line, field, found: value });
            }
        }
    }
    // The same floor point at two pixels is let through: rounded ground truth has it, and if the pixels are far
    // apart the fit names the wrong one.
    let mut seen = HashMap::new();
    for p in points {
        if let Some(first) = seen.insert(bits(p.image_px), p.line) {
            return Err(PointsError::Repeated { line: p.line, first, at: p.image_px });
        }
    }
    let different: std::collections::HashSet<[u64; 2]> = points.iter().map(|p| bits(p.floor_m)).collect();
    if different.len() < MIN_POINTS {
        return Err(PointsError::TooFew { found: different.len() });
    }
    check_spread(points, Place::Floor, |p| p.floor_m)?;
    check_spread(points, Place::Image, |p| p.image_px)
}

/// Adding zero turns -0 into 0: the same point.
fn bits(p: Point2<f64>) -> [u64; 2] {
    [(p.x + 0.0).to_bits(), (p.y + 0.0).to_bits()]
}

/// Sums from which the spread of points can be told, also with one of them left out.
#[derive(Clone, Copy)]
struct Sums {
    count: f64,
    sum: Vector2<f64>,
    squares: Matrix2<f64>,
}

impl Sums {
    /// Spread across the line of best fit over spread along it, 0 to 1.
    fn flatness(&self) -> f64 {
        let mean = self.sum / self.count;
        let scatter = self.squares / self.count - mean * mean.transpose();
        let values = scatter.symmetric_eigenvalues();
        let (least, most) = (values.min().max(0.0), values.max());
        if most > 0.0 { (least / most).sqrt() } else { 0.0 }
    }
}

fn check_spread(
    points: &[SurveyedPoint],
    place: Place,
    at: impl Fn(&SurveyedPoint) -> Point2<f64>,
) -> Result<(), PointsError> {
    // Around the first point: squares of large coordinates would lose the digits that matter.
    let Some(origin) = points.first().map(&at) else { return Err(PointsError::TooFew { found: 0 }) };
    let all =
        points.iter().fold(Sums { count: 0.0, sum: Vector2::zeros(), squares: Matrix2::zeros() }, |s, p| {
            let d = at(p) - origin;
            Sums { count: s.count + 1.0, sum: s.sum + d, squares: s.squares + d * d.transpose() }
        });
    if all.flatness() < COLLINEAR_SHARE {
        return Err(PointsError::Collinear { place });
    }
    for p in points {
        let d = at(p) - origin;
        let others =
            Sums { count: all.count - 1.0, sum: all.sum - d, squares: all.squares - d * d.transpose() };
        if others.flatness() < COLLINEAR_SHARE {
            return Err(PointsError::CollinearButOne { alone: p.to_string(), place });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[[f64; 4]]) -> Vec<SurveyedPoint> {
        rows.iter()
            .zip(2..)
            .map(|(r, line)| SurveyedPoint {
                line,
                name: None,
                image_px: Point2::new(r[0], r[1]),
                floor_m: Point2::new(r[2], r[3]),
                height_m: 0.0,
            })
            .collect()
    }

    #[test]
    fn columns_may_stand_in_any_order_with_names_and_comments() {
        let csv = "\u{feff}# survey of 3 May\ny_m, x_m ,name,x_px,y_px\n2.0,1.0,\"door, left\",100,200.5\r\n# no\n\n-1,0,,3,4";
        let read = read(csv.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].image_px, read[0].floor_m), (Point2::new(100.0, 200.5), Point2::new(1.0, 2.0)));
        assert_eq!(read[0].to_string(), "line 3 (door, left)");
        assert_eq!(read[1].to_string(), "line 6");
    }

    #[test]
    fn bad_files_are_refused_by_line_and_field() {
        let cases = [
            ("x,y,X,Y\n1,2,3,4\n", "line 1: \"x,y,X,Y\" is no header"),
            ("x_px,y_px,x_m\n1,2,3\n", "x_px,y_px,x_m,y_m"),
            ("x_px,y_px,x_m,y_m,w_m\n1,2,3,4,5\n", "line 1"),
            ("x_px,y_px,x_m,y_m,z_m\n1,2,3,4,inf\n", "line 2: z_m is inf"),
            ("", "line 1"),
            ("x_px,y_px,x_m,y_m\n1,2,3,4\n1,2,\"3,5\",4\n", "line 3: x_m is \"3,5\""),
            ("x_px,y_px,x_m,y_m\n1,,3,4\n", "line 2: y_px is \"\""),
            ("x_px,y_px,x_m,y_m\n1,2,3,4\n1,2,NaN,4\n", "line 3: x_m is NaN"),
            ("x_px,y_px,x_m,y_m\n1,2,3,-inf\n", "line 2: y_m is -inf"),
            ("x_px,y_px,x_m,y_m\n\n1,2,3\n", "line 3: has 3 fields where the header has 4"),
        ];
        for (csv, part) in cases {
            let message = read(csv.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(part), "{csv:?}: {message}");
        }
        assert!(matches!(read([0xff, 0xfe, b'x'].as_slice()), Err(PointsError::Text(_))));
    }

    #[test]
    fn four_points_of_a_rectangle_will_do() {
        let four = [[0.0, 0.0, 0.0, 0.0], [9.0, 1.0, 1.0, 0.0], [8.0, 5.0, 1.0, 1.0], [0.5, 4.0, 0.0, 1.0]];
        check(&points(&four)).unwrap();
    }

    #[test]
    fn points_that_fix_no_pose_are_refused_by_name() {
        let message = |rows: &[[f64; 4]]| check(&points(rows)).unwrap_err().to_string();
        let three = [[0.0, 0.0, 0.0, 0.0], [9.0, 1.0, 1.0, 0.0], [8.0, 5.0, 1.0, 1.0]];
        assert!(message(&three).starts_with("3 different points"));
        assert!(message(&[]).starts_with("0 different points"));

        let twice = [three.as_slice(), &[[9.0, 1.0, 4.0, 4.0]]].concat();
        assert!(message(&twice).contains("line 5 repeats the pixel (9, 1) of line 3"), "{}", message(&twice));

        let one_place =
            [[0.0, 0.0, 2.0, 2.0], [9.0, 1.0, 2.0, 2.0], [8.0, 5.0, 2.0, 2.0], [1.0, 4.0, 2.0, 2.0]];
        assert!(message(&one_place).starts_with("1 different points"));

        // Far from the origin, as national grids are, on a slanted line.
        let on_a_line: Vec<[f64; 4]> = (0..9)
            .map(f64::from)
            .map(|i| [i * 40.0, i * i, 500_000.0 + i * 0.3, 4_000_000.0 + i * 0.7])
            .collect();
        assert!(message(&on_a_line).contains("one line on the floor"), "{}", message(&on_a_line));

        let mut but_one = on_a_line;
        but_one[4][2] += 3.0;
        assert!(message(&but_one).contains("all points but line 6 lie on one line on the floor"));

        let seen_edge_on: Vec<[f64; 4]> =
            (0..6).map(f64::from).map(|i| [i * 50.0, 200.0 + i * 0.01, i, i * i]).collect();
        assert!(message(&seen_edge_on).contains("one line in the image"));

        let mut nan = points(&three);
        nan[1].floor_m.x = f64::NAN;
        assert!(check(&nan).unwrap_err().to_string().starts_with("line 3: x_m is NaN"));
    }
}
