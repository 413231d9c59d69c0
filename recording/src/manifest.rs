//! `recording.toml`: when the recording began, how long it is, and which cameras have video.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use linefree_domain::ids::CameraIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;

use crate::mistake::Mistake;
use crate::store_file::check_format;
use crate::toml_walk::{Doc, Node, Table};

/// What recording.toml says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The moment that `t` = 0 means.
    pub start: StoreTime,
    /// Length, seconds.
    pub duration_s: f64,
    /// The cameras that have video.
    pub cameras: Vec<CameraFile>,
}

/// The video of one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraFile {
    /// Which camera of store.toml.
    pub camera: CameraIndex,
    /// The video as recording.toml names it, from the recording's folder.
    pub file: PathBuf,
    /// `t` of its first frame, seconds.
    pub offset_s: f64,
}

impl Manifest {
    /// The moment at `t` seconds from the start.
    #[must_use]
    pub fn time_at(&self, t_s: f64) -> StoreTime {
        self.start.plus_s(t_s)
    }

    /// The end of the recording.
    #[must_use]
    pub fn end(&self) -> StoreTime {
        self.time_at(self.duration_s)
    }

    /// The text of recording.toml, the same bytes for the same manifest.
    #[must_use]
    pub fn to_toml(&self, layout: &StoreLayout) -> String {
        let start = jiff::Timestamp::from_microsecond(self.start.micros).unwrap_or_default();
        let mut out = format!("format = 1\nstart = {start}\nduration_s = {:?}\n", self.duration_s);
        for camera in &self.cameras {
            let id = layout.cameras.get(camera.camera.0).map_or("?", |c| c.id.as_str());
            let file = toml::Value::String(camera.file.display().to_string());
            // Writing to a String cannot fail.
            let _ =
                write!(out, "\n[[camera]]\nid = \"{id}\"\nfile = {file}\noffset_s = {:?}\n", camera.offset_s);
        }
        out
    }

    /// Checks the text of a recording.toml. Without a layout (store.toml is itself wrong) cameras are not looked up.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(crate) fn parse(path: &Path, text: &str, layout: Option<&StoreLayout>) -> Result<Self, Vec<Mistake>> {
        let doc = Doc::new(path, text);
        let parsed = doc.parse();
        let mut root = Table::root(&doc, parsed.get_ref());
        check_format(&mut root);
        let start = root
            .need("start", "write when t = 0 was: start = 2026-01-28T22:24:00Z")
            .and_then(|n| read_start(&n));
        let duration_s = root.need("duration_s", "write the recording's length in seconds").and_then(|n| {
            let value = n.num("seconds")?;
            if value <= 0.0 {
                n.mistake(format!("is {value}"), "write the recording's length in seconds, above 0");
                return None;
            }
            Some(value)
        });
        let mut cameras: Vec<CameraFile> = Vec::new();
        for (_, mut t) in root.tables("camera") {
            let id = t.need("id", "write the id of a camera of store.toml");
            let camera = id.as_ref().and_then(|n| {
                let id = n.str("the id of a camera of store.toml")?;
                let found = layout?.camera(id);
                if found.is_none() {
                    n.mistake(
                        format!("store.toml has no camera {id:?}"),
                        "write the id of one of its cameras",
                    );
                }
                found
            });
            let file = t.need("file", "write the video's path from this folder").and_then(|n| {
                let text = n.str("the video's path from this folder")?;
                if text.is_empty() {
                    n.mistake("is empty", "write the video's path from this folder");
                    return None;
                }
                Some(PathBuf::from(text))
            });
            let offset_s = t
                .need("offset_s", "write the t of the video's first frame, usually 0.0")
                .and_then(|n| n.num("seconds"));
            t.finish();
            if let (Some(camera), Some(n)) = (camera, &id)
                && cameras.iter().any(|c| c.camera == camera)
            {
                n.mistake("has a video already", "keep one [[camera]] a camera");
            }
            if let (Some(camera), Some(file), Some(offset_s)) = (camera, file, offset_s) {
                cameras.push(CameraFile { camera, file, offset_s });
            }
        }
        root.finish();
        let mistakes = doc.mistakes.take();
        match (start, duration_s) {
            (Some(start), Some(duration_s)) if mistakes.is_empty() => Ok(Self { start, duration_s, cameras }),
            _ => Err(mistakes),
        }
    }
}

fn read_start(node: &Node<'_>) -> Option<StoreTime> {
    let text = node.datetime()?;
    match text.parse::<jiff::Timestamp>() {
        Ok(start) => Some(StoreTime::from_micros(start.as_microsecond())),
        Err(_) => {
            node.mistake(
                format!("{text} is not a moment"),
                "write date, time and offset: 2026-01-28T22:24:00Z",
            );
            None
        }
    }
}
