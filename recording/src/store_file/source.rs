//! `[[source]]`: where a live camera, scale or gate is found, and how it is read.
//!
//! Every key that a driver does not know is a mistake, as everywhere in this file: a `baud` beside an I²C bus was meant
//! for something else.

mod gate;
mod scale;

use std::path::Path;

use linefree_domain::ids::CameraIndex;
use linefree_domain::layout::StoreLayout;

use super::layout::filled;
use super::shelf_calibration::ShelfCalibration;
use crate::toml_walk::{Node, Table};

pub use gate::{GateConfig, GateReader, Opener};
pub use scale::{Adc, LineProtocol, ScaleConfig, ScaleDriver, SerialLine, SerialParity};

/// `[[source]]`: a live sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// What it feeds.
    pub device: SourceDevice,
    /// Where it is found, as it was written: `rtsp://...`, `serial:/dev/ttyUSB0`, `gpio:/dev/gpiochip0` ...
    pub url: String,
}

/// What a live sensor feeds, and how it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceDevice {
    /// A camera of store.toml.
    Camera(CameraIndex),
    /// A scale whose channels are plates of store.toml.
    Plates(ScaleConfig),
    /// A gate of store.toml.
    Gate(GateConfig),
}

impl SourceDevice {
    /// Do both feed the same thing?
    fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Camera(a), Self::Camera(b)) => a == b,
            (Self::Gate(a), Self::Gate(b)) => a.gate == b.gate,
            (Self::Plates(a), Self::Plates(b)) => a.plates.iter().any(|p| b.plates.contains(p)),
            _ => false,
        }
    }
}

pub(super) fn read(
    root: &mut Table<'_>,
    folder: &Path,
    layout: Option<&StoreLayout>,
    shelves: &[ShelfCalibration],
) -> Vec<SourceConfig> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for (node, mut t) in root.tables("source") {
        let url_node = t.need("url", "write where the sensor is found");
        let url = url_node.as_ref().and_then(|n| filled(n, "an address"));
        let named = [t.get("camera"), t.get("plates"), t.get("gate")];
        let address = url_node.zip(url.clone());
        let device = match named {
            [Some(n), None, None] => {
                known(&n, "camera", layout.map(|l| |id: &str| l.camera(id))).map(SourceDevice::Camera)
            }
            [None, Some(n), None] => {
                let list = n.array("a list of plates");
                let one = |n: &Node<'_>| known(n, "plate", layout.map(|l| |id: &str| l.plate(id)));
                let plates = list.and_then(|list| list.iter().map(one).collect::<Option<Vec<_>>>());
                if plates.as_ref().is_some_and(Vec::is_empty) {
                    n.mistake("is empty", "name the plates of this scale, in the order of its channels");
                }
                scale::read(&mut t, address.as_ref(), plates, shelves).map(SourceDevice::Plates)
            }
            [None, None, Some(n)] => {
                let gate = known(&n, "gate", layout.map(|l| |id: &str| l.gate(id)));
                gate::read(&mut t, address.as_ref(), folder, gate).map(SourceDevice::Gate)
            }
            _ => {
                node.mistake(
                    "does not say what it feeds",
                    "write one of camera = \"cam1\", plates = [\"1/5/10\"] or gate = \"door\"",
                );
                continue;
            }
        };
        t.finish();
        let (Some(device), Some(url)) = (device, url) else { continue };
        if sources.iter().any(|s| s.device.shares(&device)) {
            node.mistake("feeds what an earlier source feeds", "keep one of the two");
        }
        sources.push(SourceConfig { device, url });
    }
    sources
}

fn known<T>(node: &Node<'_>, kind: &str, find: Option<impl Fn(&str) -> Option<T>>) -> Option<T> {
    let id = node.str(&format!("the id of a {kind}"))?;
    // Without a layout its own mistakes are the ones to mend first.
    let found = find?(id);
    if found.is_none() {
        node.mistake(format!("no {kind} is called {id:?}"), format!("write the id of a {kind} of this file"));
    }
    found
}

/// A whole number within limits.
pub(super) fn whole(node: &Node<'_>, least: u32, most: u32, wanted: &str) -> Option<u32> {
    let value = node.int(wanted)?;
    let fits = u32::try_from(value).ok().filter(|v| (least..=most).contains(v));
    if fits.is_none() {
        node.mistake(format!("is {value}"), format!("write {wanted}, from {least} to {most}"));
    }
    fits
}

/// What stands behind the scheme of an address, which must be something.
fn behind<'a>(node: &Node<'_>, url: &'a str, scheme: &str, wanted: &str) -> Option<&'a str> {
    let rest = url.strip_prefix(scheme)?;
    if rest.is_empty() {
        node.mistake("names nothing behind its scheme", format!("write {wanted}"));
        return None;
    }
    if rest.contains('?') {
        node.mistake("holds a '?'", "write settings as keys of this [[source]], for example baud = 9600");
        return None;
    }
    Some(rest)
}
