//! `store.toml`: the store as it is built, and how a live one is run.
//!
//! The tables that describe the store (`store`, `gate`, `camera`, `gondola`, `product`, `facing`, and `robots` where
//! there are any) become a [`StoreLayout`] with every reference resolved. `calibration` limits how bad a calibration may say it is.
//! The tables of a live store (`bus`, `server`, `cloud`, `oidc`, `detector`, `policy`, `shelf_calibration`, `source`) are all optional and become a
//! [`LiveConfig`] with every default filled in. A recording carries the same file. Nothing is guessed: an unknown key,
//! a number out of range or a reference to something that is not there is a [`Mistake`], and all of them are reported
//! at once.

mod catalogue;
mod layout;
mod live;
mod oidc;
mod quality;
mod robots;
mod shelf_calibration;
mod source;
mod write;

use std::path::Path;

use linefree_domain::layout::StoreLayout;

use crate::mistake::{Mistake, Mistakes};
use crate::toml_walk::{Doc, Table};

pub use catalogue::{DEFAULT_SD_FRACTION, MIN_DEFAULT_SD_G, MIN_SD_G, default_sd_g, gtin_check_digit};
pub use live::{
    BusConfig, CloudConfig, DEFAULT_DETECTOR, DEFAULT_LISTEN, DEFAULT_REVIEW_BELOW, DetectorConfig,
    LiveConfig, PolicyConfig, ServerConfig, VisionConfig,
};
pub use oidc::{OIDC_ROLES, OidcConfig};
pub use quality::Quality;
pub use shelf_calibration::ShelfCalibration;
pub use source::{
    Adc, GateConfig, GateReader, LineProtocol, Opener, ScaleConfig, ScaleDriver, SerialLine, SerialParity,
    SourceConfig, SourceDevice,
};
pub use write::store_toml;

/// The largest store.toml that is read, bytes: a store of 10,000 plates needs about 2 MB.
pub const MAX_STORE_FILE_BYTES: u64 = 32 << 20;

/// A store.toml that has been read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreFile {
    /// The store as it is built.
    pub layout: StoreLayout,
    /// How a live store is run, with defaults filled in.
    pub live: LiveConfig,
    /// What is suspicious but not wrong, such as a GTIN whose check digit does not fit.
    pub warnings: Vec<Mistake>,
    /// How good its calibrations say they are.
    pub qualities: Vec<Quality>,
    /// The file's own text, to be copied into recordings.
    pub text: String,
}

impl StoreFile {
    /// Reads and checks a store.toml.
    ///
    /// # Errors
    /// Every mistake in it, each with line, field and remedy.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Mistakes> {
        let path = path.as_ref();
        Self::parse(path, &crate::folder::read_text(path, MAX_STORE_FILE_BYTES)?)
    }

    /// Checks the text of a store.toml. `path` names it in messages, and relative paths in it (`data_dir`, secrets)
    /// are taken from its folder.
    ///
    /// # Errors
    /// Every mistake in it, each with line, field and remedy.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Mistakes> {
        let doc = Doc::new(path, text);
        let parsed = doc.parse();
        let mut root = Table::root(&doc, parsed.get_ref());
        check_format(&mut root);
        let layout = layout::read(&mut root);
        let live = live::read(&mut root, path.parent().unwrap_or(Path::new("")), layout.as_ref());
        root.finish();
        let mut warnings = doc.warnings.take();
        warnings.sort();
        Mistakes::check(doc.mistakes.take())?;
        match layout {
            Some(layout) => {
                let qualities = quality::told(&mut Table::root(&doc, parsed.get_ref()));
                Ok(Self { layout, live, warnings, qualities, text: text.to_owned() })
            }
            // Every `None` comes with a reported mistake; this arm only keeps the function total.
            None => Err(Mistake::in_file(path, "could not be read", "correct it").into()),
        }
    }
}

/// `format = 1`, the first key of store.toml and recording.toml.
pub(crate) fn check_format(root: &mut Table<'_>) {
    let Some(node) = root.need("format", "begin the file with `format = 1`") else { return };
    if let Some(format) = node.int("format = 1")
        && format != 1
    {
        node.mistake(format!("is {format}; this program reads format 1"), "write `format = 1`");
    }
}
