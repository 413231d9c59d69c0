//! store.toml as it is edited in the console.
//!
//! The file that the server was started with is never written: an edited text stands in the data folder
//! (`edited-store.json`), with the sum of the file that it was made from. It is in force instead of the file, for devices at
//! once (the roll-out offers it), for the server itself from its next start, until somebody changes the file: then the file
//! counts, and the edited text is put aside. A text is taken only whole and without a mistake, never while somebody else
//! has saved another in between, and never with another store id, currency or data folder: those belong to the ledger.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use linefree_bus::durable;
use linefree_recording::StoreFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::desk::hex;

/// The file in the data folder.
const EDITED_FILE: &str = "edited-store.json";

/// The sum of a text, by which whoever edits says what they began with.
#[must_use]
pub fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// An edited text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// The sum of the file that was in force before.
    file_sha256: String,
    /// Who saved it.
    pub who: String,
    /// When, wall clock.
    pub at_us: i64,
    /// The text.
    pub text: String,
}

/// Where a facing is to be: product, plates, and how many lie there when it is full.
pub type PlannedFacing = (String, Vec<String>, Option<u32>);

/// Why a text was not saved.
#[derive(Debug, thiserror::Error)]
pub enum NotSaved {
    /// It makes no sense here; the words are for whoever saves.
    #[error("{0}")]
    Refused(String),
    /// It has mistakes: each with line, field and remedy.
    #[error("the text has {} mistakes", .0.len())]
    Mistakes(Vec<String>),
    /// The disk does not take it.
    #[error("cannot write {}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What the disk says.
        source: std::io::Error,
    },
}

/// The configuration in force.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    /// Where an edited text is kept; `None` = it cannot be edited.
    file: Option<PathBuf>,
    file_sha256: String,
    running: String,
    edited: Mutex<Option<Edited>>,
}

impl Config {
    /// What is in force of a file, `text`, and what was edited of it in a data folder; also as it was read.
    ///
    /// # Errors
    /// When the edited text cannot be read from the disk.
    pub fn open(path: &Path, data_dir: &Path, file: StoreFile) -> anyhow::Result<(Self, StoreFile)> {
        let place = data_dir.join(EDITED_FILE);
        let file_sha256 = digest(&file.text);
        let edited = match std::fs::read_to_string(&place) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.with_context(|| format!("cannot read {}", place.display()))?),
        };
        let kept = edited.and_then(|text| in_force(path, &place, &file_sha256, &text));
        let (edited, now) = match kept {
            Some((edited, now)) => (Some(edited), now),
            None => (None, file),
        };
        let (path, running) = (path.to_owned(), now.text.clone());
        Ok((Self { path, file: Some(place), file_sha256, running, edited: Mutex::new(edited) }, now))
    }

    /// A text that stays as it is.
    #[must_use]
    pub fn fixed(text: &str) -> Self {
        Self {
            path: PathBuf::from("store.toml"),
            file: None,
            file_sha256: digest(text),
            running: text.to_owned(),
            edited: Mutex::new(None),
        }
    }

    fn edited(&self) -> std::sync::MutexGuard<'_, Option<Edited>> {
        self.edited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force.
    #[must_use]
    pub fn text(&self) -> String {
        self.edited().as_ref().map_or_else(|| self.running.clone(), |e| e.text.clone())
    }

    /// Who saved it and when; `None` for the file as it was found.
    #[must_use]
    pub fn saved_by(&self) -> Option<(String, i64)> {
        self.edited().as_ref().map(|e| (e.who.clone(), e.at_us))
    }

    /// Does the server itself still run by another text?
    #[must_use]
    pub fn waits_for_start(&self) -> bool {
        self.text() != self.running
    }

    /// Takes a text that was made from the one with the sum `from`; returns what is suspicious in it.
    ///
    /// # Errors
    /// [`NotSaved`]; then what was in force is.
    pub fn save(&self, text: &str, from: &str, who: &str, now_us: i64) -> Result<Vec<String>, NotSaved> {
        let Some(file) = &self.file else {
            return Err(NotSaved::Refused("this server's configuration cannot be edited".into()));
        };
        let mut edited = self.edited();
        let before = edited.as_ref().map_or(self.running.as_str(), |e| e.text.as_str());
        if digest(before) != from {
            return Err(NotSaved::Refused(
                "somebody else has saved it in between: read it again first".into(),
            ));
        }
        let read = |text: &str| {
            StoreFile::parse(&self.path, text)
                .map_err(|m| NotSaved::Mistakes(m.iter().map(ToString::to_string).collect()))
        };
        let (old, new) = (read(&self.running)?, read(text)?);
        let stays = [
            ("the store's id", old.layout.id.to_string() == new.layout.id.to_string()),
            ("its currency", old.layout.currency == new.layout.currency),
            ("the server's data_dir", old.live.server.data_dir == new.live.server.data_dir),
        ];
        if let Some((what, _)) = stays.iter().find(|(_, same)| !same) {
            return Err(NotSaved::Refused(format!(
                "{what} cannot be changed here: the ledger belongs to it"
            )));
        }
        let next = Edited {
            file_sha256: self.file_sha256.clone(),
            who: who.to_owned(),
            at_us: now_us,
            text: text.to_owned(),
        };
        // Plain text and numbers can always be written.
        let json = serde_json::to_string(&next).unwrap_or_default();
        durable::replace(file, &json).map_err(|source| NotSaved::Disk { path: file.clone(), source })?;
        *edited = Some(next);
        Ok(new.warnings.iter().map(ToString::to_string).collect())
    }

    /// The text in force with other facings; everything else, comments too, stays as it is.
    ///
    /// # Errors
    /// [`NotSaved::Refused`] when the text in force cannot be edited.
    pub fn with_facings(&self, facings: &[PlannedFacing]) -> Result<String, NotSaved> {
        use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};
        let mut document: DocumentMut =
            self.text().parse().map_err(|e| NotSaved::Refused(format!("store.toml: {e}")))?;
        let mut tables = ArrayOfTables::new();
        for (sku, plates, count) in facings {
            let mut table = Table::new();
            table["sku"] = value(sku);
            table["plates"] = value(plates.iter().collect::<Array>());
            if let Some(count) = count {
                table["count"] = value(i64::from(*count));
            }
            tables.push(table);
        }
        if tables.is_empty() {
            document.remove("facing");
        } else {
            document["facing"] = Item::ArrayOfTables(tables);
        }
        Ok(document.to_string())
    }
}

/// An edited text that still counts, with what it says.
fn in_force(path: &Path, place: &Path, file_sha256: &str, json: &str) -> Option<(Edited, StoreFile)> {
    let aside = |why: &str| {
        let to = place.with_extension("aside.json");
        tracing::warn!("{why}: {} counts, the edited text is in {}", path.display(), to.display());
        if let Err(e) = std::fs::rename(place, &to) {
            tracing::warn!("it cannot be put there: {e}");
        }
        None
    };
    let Ok(edited) = serde_json::from_str::<Edited>(json) else { return aside("the edited text is damaged") };
    if edited.file_sha256 != file_sha256 {
        return aside("store.toml was changed since it was edited in the console");
    }
    match StoreFile::parse(path, &edited.text) {
        Ok(now) => Some((edited, now)),
        Err(_) => aside("this program does not take the text that was edited in the console"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNER: &str = include_str!("../examples/corner.toml");

    fn open(folder: &Path, text: &str) -> (Config, StoreFile) {
        let path = folder.join("store.toml");
        let file = StoreFile::parse(&path, text).unwrap();
        Config::open(&path, folder, file).unwrap()
    }

    #[test]
    fn what_is_saved_is_in_force_for_devices_at_once_and_for_the_server_from_its_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (config, _) = open(folder.path(), CORNER);
        let text = format!("{CORNER}\n[policy]\nreview_below = 0.8\n");
        config.save(&text, &digest(CORNER), "sam", 7).unwrap();
        assert_eq!((config.text(), config.waits_for_start()), (text.clone(), true));
        let (again, file) = open(folder.path(), CORNER);
        assert_eq!((again.saved_by(), again.waits_for_start()), (Some(("sam".into(), 7)), false));
        assert!((file.live.policy.review_below - 0.8).abs() < 1e-9);
    }

    #[test]
    fn a_file_that_was_changed_by_hand_counts_again() {
        let folder = tempfile::tempdir().unwrap();
        let (config, _) = open(folder.path(), CORNER);
        config.save(&format!("{CORNER}\n# edited\n"), &digest(CORNER), "sam", 7).unwrap();
        let by_hand = format!("{CORNER}\n# by hand\n");
        let (again, file) = open(folder.path(), &by_hand);
        assert_eq!((again.saved_by(), file.text), (None, by_hand));
        assert!(folder.path().join("edited-store.aside.json").exists());
    }

    #[test]
    fn nothing_is_saved_over_somebody_elses_text_with_mistakes_or_for_another_store() {
        let folder = tempfile::tempdir().unwrap();
        let (config, _) = open(folder.path(), CORNER);
        let from = digest(CORNER);
        let refused = |text: &str, from: &str| config.save(text, from, "sam", 7).unwrap_err().to_string();
        assert!(refused(CORNER, &digest("old")).contains("in between"));
        assert!(refused("format = 2", &from).contains("mistakes"));
        let other = CORNER.replacen("id = \"corner\"", "id = \"other\"", 1);
        assert_ne!(other, CORNER);
        assert!(refused(&other, &from).contains("the store's id"));
        assert_eq!(config.saved_by(), None);
    }

    #[test]
    fn facings_are_replaced_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (config, file) = open(folder.path(), &format!("# kept\n{CORNER}"));
        let (sku, plate) = (file.layout.products[0].sku.to_string(), file.layout.plates[0].id.to_string());
        let text = config.with_facings(&[(sku.clone(), vec![plate.clone()], Some(4))]).unwrap();
        let after = StoreFile::parse(Path::new("store.toml"), &text).unwrap();
        assert_eq!((after.layout.facings.len(), after.layout.facings[0].count), (1, Some(4)));
        assert!(text.starts_with("# kept"));
        assert_eq!(after.layout.products, file.layout.products);
    }
}
