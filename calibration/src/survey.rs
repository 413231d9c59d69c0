//! What `calibrate pose` reads beside points: surveyed markers, lenses, cameras of a store.toml, people who walked.

use std::path::Path;

use linefree_domain::geometry::{Lens, Pose};
use nalgebra::{Point2, Point3, Vector3};
use serde::Deserialize;

use crate::markers::CELLS;
use crate::markers::inner::{Node, OUTER};
use crate::rig::Feet;

/// A sheet that lies on the floor (or on a shelf) at a surveyed place.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct SurveyedMarker {
    /// Its number.
    pub id: u32,
    /// Its middle, metres.
    pub x_m: f64,
    /// Its middle, metres.
    pub y_m: f64,
    /// Its height above the floor, metres.
    #[serde(default)]
    pub z_m: f64,
    /// Counter-clockwise rotation of its upper edge against the x axis, degrees.
    #[serde(default)]
    pub yaw_deg: f64,
    /// Side of its black square, metres.
    pub side_m: f64,
}

impl SurveyedMarker {
    /// Its corners in the store, clockwise from the upper left of the print as it lies there.
    #[must_use]
    pub fn corners(&self) -> [Point3<f64>; 4] {
        OUTER.map(|node| self.node(node))
    }

    /// A corner of its pattern in the store.
    #[must_use]
    pub fn node(&self, [column, row]: Node) -> Point3<f64> {
        let cell_m = self.side_m / CELLS as f64;
        let half = self.side_m / 2.0;
        let (x, y) = (column as f64 * cell_m - half, half - row as f64 * cell_m);
        let (sin, cos) = self.yaw_deg.to_radians().sin_cos();
        Point3::new(self.x_m + x * cos - y * sin, self.y_m + x * sin + y * cos, self.z_m)
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The file cannot be read.
    #[error("{0}: cannot be read")]
    File(String, #[source] std::io::Error),
    /// The survey of markers is wrong.
    #[error("{file}: {reason}; write a line a marker: id,x_m,y_m,z_m,yaw_deg,side_m, numbers with a point")]
    Markers {
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A TOML file is wrong.
    #[error("{file}: {reason}")]
    Toml {
        /// Which file.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A line of people is wrong.
    #[error("{file}: line {line}: {reason}; people.jsonl is described in docs/ref/recording.md")]
    People {
        /// Which file.
        file: String,
        /// Which line.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

fn read(path: &Path) -> Result<String, SurveyError> {
    std::fs::read_to_string(path).map_err(|e| SurveyError::File(path.display().to_string(), e))
}

/// Reads surveyed markers.
///
/// # Errors
/// [`SurveyError`], with line and remedy.
pub fn read_markers(path: &Path) -> Result<Vec<SurveyedMarker>, SurveyError> {
    let text = read(path)?;
    let wrong = |reason: String| SurveyError::Markers { file: path.display().to_string(), reason };
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut markers: Vec<SurveyedMarker> = Vec::new();
    for record in reader.deserialize() {
        let marker: SurveyedMarker = record.map_err(|e| wrong(e.to_string()))?;
        let numbers = [marker.x_m, marker.y_m, marker.z_m, marker.yaw_deg, marker.side_m];
        if !numbers.iter().all(|v| v.is_finite()) || marker.side_m <= 0.0 {
            return Err(wrong(format!("marker {} has a number that is none, or no side", marker.id)));
        }
        if markers.iter().any(|m| m.id == marker.id) {
            return Err(wrong(format!(
                "marker {} stands there twice; every sheet needs its own number",
                marker.id
            )));
        }
        markers.push(marker);
    }
    Ok(markers)
}

/// A lens as `calibrate lens` wrote it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LensFile {
    /// The lens.
    pub lens: Lens,
    /// The image size that it holds for, pixels.
    pub size_px: [u32; 2],
    /// Its quality, where the file says it.
    pub rms_px: Option<f64>,
}

impl LensFile {
    /// The same lens for images that the camera makes smaller or larger by itself, as a stream beside a still.
    ///
    /// # Errors
    /// What to do when the images are not of one shape: then a part was cut off, and nobody knows which.
    pub fn resized(&self, size_px: [u32; 2]) -> Result<Self, String> {
        let [across, down] = [0, 1].map(|i| f64::from(size_px[i]) / f64::from(self.size_px[i]));
        // A pixel of rounding in the lesser image is no other shape.
        if (across / down - 1.0).abs() > 1.5 / f64::from(size_px[0].min(size_px[1]).max(1)) {
            return Err(format!(
                "images of {}x{} pixels are not those of {}x{} made smaller: a part is cut off; set the camera's \
                 stream to the same shape, or measure the lens at that size",
                size_px[0], size_px[1], self.size_px[0], self.size_px[1]
            ));
        }
        let l = &self.lens;
        // Pixel centres are whole numbers: the image's edge is half a pixel before the first.
        let centre = |c: f64, s: f64| (c + 0.5) * s - 0.5;
        let lens = Lens {
            fx_px: l.fx_px * across,
            fy_px: l.fy_px * down,
            cx_px: centre(l.cx_px, across),
            cy_px: centre(l.cy_px, down),
            distortion: l.distortion,
        };
        Ok(Self { lens, size_px, rms_px: self.rms_px.map(|rms| rms * across) })
    }
}

#[derive(Deserialize)]
struct LensTable {
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
    distortion: [f64; 5],
}

impl LensTable {
    fn lens(&self) -> Lens {
        let Self { fx, fy, cx, cy, distortion } = *self;
        Lens { fx_px: fx, fy_px: fy, cx_px: cx, cy_px: cy, distortion }
    }
}

#[derive(Deserialize, Default)]
struct QualityTable {
    lens_rms_px: Option<f64>,
}

#[derive(Deserialize)]
struct LensToml {
    size_px: [u32; 2],
    lens: LensTable,
    #[serde(default)]
    quality: QualityTable,
}

/// Reads what `calibrate lens` wrote, or the lens of this camera out of `[[camera]]` tables.
///
/// # Errors
/// [`SurveyError`].
pub fn read_lens(path: &Path, camera: &str) -> Result<LensFile, SurveyError> {
    let wrong = |e: toml::de::Error| SurveyError::Toml {
        file: path.display().to_string(),
        reason: format!("{}; give a file that `calibrate lens --out` wrote", e.message()),
    };
    let text = read(path)?;
    if let Ok(StoreToml { camera: cameras }) = toml::from_str::<StoreToml>(&text)
        && !cameras.is_empty()
    {
        let found = cameras.into_iter().find(|c| c.id == camera);
        let lens = found.and_then(|c| Some((c.lens?, c.size_px, c.quality.lens_rms_px)));
        let (lens, size_px, rms_px) = lens.ok_or_else(|| SurveyError::Toml {
            file: path.display().to_string(),
            reason: format!("holds no lens of camera {camera}; name the camera as it stands there"),
        })?;
        return Ok(LensFile { lens: lens.lens(), size_px, rms_px });
    }
    let file: LensToml = toml::from_str(&text).map_err(wrong)?;
    Ok(LensFile { lens: file.lens.lens(), size_px: file.size_px, rms_px: file.quality.lens_rms_px })
}

/// A camera of a store.toml.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreCamera {
    /// Its id.
    pub id: String,
    /// Its lens, image size and the lens's quality.
    pub lens: LensFile,
    /// Its pose.
    pub pose: Pose,
}

#[derive(Deserialize)]
struct PoseTable {
    rotation: [f64; 3],
    translation: [f64; 3],
}

#[derive(Deserialize)]
struct CameraTable {
    id: String,
    size_px: [u32; 2],
    lens: Option<LensTable>,
    pose: Option<PoseTable>,
    #[serde(default)]
    quality: QualityTable,
}

#[derive(Deserialize)]
struct StoreToml {
    #[serde(default)]
    camera: Vec<CameraTable>,
}

/// Reads the cameras of a store.toml that have lens and pose.
///
/// # Errors
/// [`SurveyError`], also when there are none.
pub fn read_cameras(path: &Path) -> Result<Vec<StoreCamera>, SurveyError> {
    let wrong = |reason: String| SurveyError::Toml { file: path.display().to_string(), reason };
    let file: StoreToml = toml::from_str(&read(path)?)
        .map_err(|e| wrong(format!("{}; `edge-agent config check` names every mistake", e.message())))?;
    let mut cameras = Vec::new();
    for c in file.camera {
        let (Some(lens), Some(pose)) = (c.lens, c.pose) else { continue };
        let pose =
            Pose { rotation: Vector3::from(pose.rotation), translation: Vector3::from(pose.translation) };
        let lens = LensFile { lens: lens.lens(), size_px: c.size_px, rms_px: c.quality.lens_rms_px };
        cameras.push(StoreCamera { id: c.id, lens, pose });
    }
    if cameras.is_empty() {
        return Err(wrong(
            "no camera has lens and pose; run `calibrate lens` and `calibrate pose` first".into(),
        ));
    }
    Ok(cameras)
}

#[derive(Deserialize)]
struct PeopleLine {
    t: f64,
    camera: String,
    people: Vec<PersonLine>,
}

#[derive(Deserialize)]
struct PersonLine {
    #[serde(rename = "box")]
    in_image: Option<[f64; 4]>,
}

/// Reads the feet of people from a recording's people.jsonl: boxes in the image only, moments in steps of `step_s`.
/// Cameras that are not among `cameras` are passed over.
///
/// # Errors
/// [`SurveyError`], with the line.
pub fn read_feet(path: &Path, cameras: &[StoreCamera], step_s: f64) -> Result<Vec<Feet>, SurveyError> {
    let mut feet = Vec::new();
    for (index, line) in read(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |reason: String| SurveyError::People {
            file: path.display().to_string(),
            line: index + 1,
            reason,
        };
        let line: PeopleLine = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let Some(camera) = cameras.iter().position(|c| c.id == line.camera) else { continue };
        let height_px = f64::from(cameras[camera].lens.size_px[1]);
        for [x, y, w, h] in line.people.iter().filter_map(|p| p.in_image) {
            // A box that ends at the image's edge does not end at the feet.
            if y + h < height_px - 2.0 {
                let moment = (line.t / step_s).round() as i64;
                feet.push(Feet { moment, camera, px: Point2::new(x + w / 2.0, y + h) });
            }
        }
    }
    Ok(feet)
}
