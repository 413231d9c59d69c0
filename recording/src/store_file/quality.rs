//! How good a camera's calibration says it is, and the limits beyond which it is refused.
//!
//! `calibrate` writes its quality into the table of the camera. A calibration worse than the store's limit is a mistake
//! of store.toml like any other: a wrong pose makes wrong receipts, silently. A table without quality (written by
//! hand, or by an importer) is taken as it is.

use crate::toml_walk::{Node, Table};

/// A key of `quality`, the key of its limit in `[calibration]`, the limit where that is absent, the unit, and the step
/// to repeat.
const LIMITS: [(&str, &str, f64, &str, &str); 5] = [
    (
        "lens_rms_px",
        "max_lens_rms_px",
        1.0,
        "px",
        "repeat `calibrate lens` with sharp images of a flat board, in every part of the image",
    ),
    (
        "floor_error_m",
        "max_floor_error_m",
        0.15,
        "m",
        "repeat `calibrate pose`: survey again the points that it left out, and add more",
    ),
    (
        "pose_rms_px",
        "max_pose_rms_px",
        6.0,
        "px",
        "repeat `calibrate pose`; check first that the lens belongs to this camera and image size",
    ),
    (
        "position_sd_m",
        "max_position_sd_m",
        0.10,
        "m",
        "repeat `calibrate pose` with more markers in this camera's view, or a longer walk",
    ),
    (
        "rotation_sd_deg",
        "max_rotation_sd_deg",
        1.0,
        "degrees",
        "repeat `calibrate pose` with more markers in this camera's view, or a longer walk",
    ),
];

/// One figure of how good a calibration says it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The camera, or the shelf as `gondola/shelf`.
    pub of: String,
    /// What it measures, as store.toml calls it: `floor_error_m`, `rms_g` ...
    pub key: &'static str,
    /// The figure, in the unit that its name ends with; smaller is better.
    pub value: f64,
    /// Beyond this the store would be refused.
    pub limit: f64,
}

/// Every figure of a store.toml that has been found right.
pub(super) fn told(root: &mut Table<'_>) -> Vec<Quality> {
    let (limits, shelf_limit) = (read_limits(root), read_shelf_limit(root));
    let mut all = Vec::new();
    for (_, mut camera) in root.tables("camera") {
        let of = camera.get("id").and_then(|n| n.str("a camera's id").map(str::to_owned)).unwrap_or_default();
        let Some(mut t) = camera.get("quality").and_then(|n| n.table("what calibrate wrote")) else {
            continue;
        };
        for ((key, ..), limit) in LIMITS.into_iter().zip(limits.0) {
            let value = t.get(key).and_then(|n| n.num("a number of 0 or more"));
            all.extend(value.map(|value| Quality { of: of.clone(), key, value, limit }));
        }
    }
    for (_, mut shelf) in root.tables("shelf_calibration") {
        let plates = shelf.get("plates").and_then(|n| n.array("a list of plates")).unwrap_or_default();
        let first = plates.first().and_then(|n| n.str("a plate")).unwrap_or_default();
        let of = first.rsplit_once('/').map_or(first, |(shelf, _)| shelf).to_owned();
        let Some(mut t) = shelf.get("quality").and_then(|n| n.table("what calibrate wrote")) else {
            continue;
        };
        let value = t.get("rms_g").and_then(|n| n.num("grams, 0 or more"));
        all.extend(value.map(|value| Quality { of, key: "rms_g", value, limit: shelf_limit }));
    }
    all
}

/// `[calibration]`: the limits, in the order of [`LIMITS`].
pub(super) struct Limits([f64; 5]);

pub(super) fn read_limits(root: &mut Table<'_>) -> Limits {
    let mut limits = LIMITS.map(|l| l.2);
    if let Some(mut t) = root.get("calibration").and_then(|n| n.table("limits of calibrations")) {
        for (limit, (_, key, ..)) in limits.iter_mut().zip(LIMITS) {
            let Some(node) = t.get(key) else { continue };
            let Some(value) = node.num("a number above 0") else { continue };
            if value > 0.0 {
                *limit = value;
            } else {
                node.mistake(format!("is {value}"), "a limit is above 0");
            }
        }
        // Read where shelves are.
        t.get(SHELF_LIMIT_KEY);
        t.finish();
    }
    Limits(limits)
}

/// The key of the limit of a shelf's error, and the limit where that is absent, grams.
const SHELF_LIMIT_KEY: &str = "max_shelf_rms_g";
const SHELF_LIMIT_G: f64 = 2.0;

pub(super) fn read_shelf_limit(root: &mut Table<'_>) -> f64 {
    let table = root.get("calibration").and_then(|n| n.table("limits of calibrations"));
    let Some(node) = table.and_then(|mut t| t.get(SHELF_LIMIT_KEY)) else { return SHELF_LIMIT_G };
    match node.num("grams, above 0") {
        Some(value) if value > 0.0 => value,
        Some(value) => {
            node.mistake(format!("is {value}"), "a limit is above 0");
            SHELF_LIMIT_G
        }
        None => SHELF_LIMIT_G,
    }
}

/// Checks a shelf's `quality` against its limit.
pub(super) fn check_shelf(node: &Node<'_>, limit_g: f64) {
    let Some(mut t) = node.table("what calibrate wrote") else { return };
    if let Some(node) = t.get("rms_g")
        && let Some(value) = node.num("grams, 0 or more")
    {
        if value < 0.0 {
            node.mistake(format!("is {value}"), "copy what calibrate wrote");
        } else if value > limit_g {
            node.mistake(
                format!("is {value} g, worse than the limit of {limit_g} g"),
                "repeat `calibrate shelf` with weights that rest alone in the middle of each plate; or, knowing that, \
                 raise [calibration] max_shelf_rms_g",
            );
        }
    }
    t.finish();
}

/// Checks a camera's `quality` against the limits.
pub(super) fn check(node: &Node<'_>, limits: &Limits) {
    let Some(mut t) = node.table("what calibrate wrote") else { return };
    for ((key, limit_key, _, unit, step), limit) in LIMITS.into_iter().zip(limits.0) {
        let Some(node) = t.get(key) else { continue };
        let Some(value) = node.num("a number of 0 or more") else { continue };
        if value < 0.0 {
            node.mistake(format!("is {value}"), "copy what calibrate wrote");
        } else if value > limit {
            node.mistake(
                format!("is {value} {unit}, worse than the limit of {limit} {unit}"),
                format!("{step}; or, knowing that, raise [calibration] {limit_key}"),
            );
        }
    }
    // How many points, views or sights stand behind it: for people.
    for key in ["points", "views", "sights"] {
        t.get(key);
    }
    t.finish();
}
