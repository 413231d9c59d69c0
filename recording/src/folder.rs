//! A recording's folder as a whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::gates::GateLine;
use crate::manifest::Manifest;
use crate::mistake::{Mistake, Mistakes};
use crate::people::PeopleReader;
use crate::receipts::Receipts;
use crate::store_file::{MAX_STORE_FILE_BYTES, StoreFile};
use crate::views::ViewLine;
use crate::weights::WeightsReader;

/// The largest expected.json that is read, bytes.
const MAX_RECEIPTS_BYTES: u64 = 256 << 20;

/// A recording whose recording.toml and store.toml have been read and checked. The other files are read as they are
/// asked for; one that is not there is `None`, for every file but those two is optional.
#[derive(Debug, Clone)]
pub struct Recording {
    dir: PathBuf,
    /// What recording.toml says.
    pub manifest: Manifest,
    /// What store.toml says.
    pub store: StoreFile,
}

impl Recording {
    /// Opens a folder.
    ///
    /// # Errors
    /// Every mistake in recording.toml and store.toml. Whether videos exist is left to those who play them.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Mistakes> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Mistake::in_file(
                dir,
                "is not a folder",
                "give the folder that holds recording.toml",
            )
            .into());
        }
        let mut mistakes = Vec::new();
        let store = StoreFile::read(dir.join("store.toml")).map_err(|m| mistakes.extend(m.into_vec())).ok();
        let path = dir.join("recording.toml");
        let manifest = read_text(&path, MAX_STORE_FILE_BYTES)
            .map_err(|m| vec![m])
            .and_then(|text| Manifest::parse(&path, &text, store.as_ref().map(|s| &s.layout)))
            .map_err(|m| mistakes.extend(m))
            .ok();
        Mistakes::check(mistakes)?;
        match (store, manifest) {
            (Some(store), Some(manifest)) => Ok(Self { dir: dir.to_owned(), manifest, store }),
            _ => {
                Err(Mistake::in_file(dir, "could not be read", "correct recording.toml and store.toml")
                    .into())
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a camera's video lies.
    #[must_use]
    pub fn video_path(&self, camera: &crate::CameraFile) -> PathBuf {
        self.dir.join(&camera.file)
    }

    fn optional(&self, name: &str) -> Option<PathBuf> {
        let path = self.dir.join(name);
        // A dangling link is a mistake to be told, not an absent file.
        path.symlink_metadata().is_ok().then_some(path)
    }

    /// Plate weights in time order; `None` when there is no weights.csv.
    ///
    /// # Errors
    /// When the file or its header cannot be read.
    pub fn weights(&self) -> Result<Option<WeightsReader>, Mistake> {
        self.optional("weights.csv")
            .map(|p| WeightsReader::open(&p, self.manifest.start, &self.store.layout))
            .transpose()
    }

    /// People's positions in the order of the file; `None` when there is no people.jsonl.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn people(&self) -> Result<Option<PeopleReader>, Mistake> {
        self.optional("people.jsonl")
            .map(|p| PeopleReader::open(&p, self.manifest.start, &self.store.layout))
            .transpose()
    }

    /// Everyone who passed a gate, by time; empty when there is no gate.jsonl.
    ///
    /// # Errors
    /// The first mistake in the file.
    pub fn gates(&self) -> Result<Vec<GateLine>, Mistake> {
        self.optional("gate.jsonl")
            .map_or(Ok(Vec::new()), |p| crate::gates::read(&p, self.manifest.start, &self.store.layout))
    }

    /// Product vision made elsewhere, by time; empty when there is no views.jsonl.
    ///
    /// # Errors
    /// The first mistake in the file.
    pub fn views(&self) -> Result<Vec<ViewLine>, Mistake> {
        self.optional("views.jsonl")
            .map_or(Ok(Vec::new()), |p| crate::views::read(&p, self.manifest.start, &self.store.layout))
    }

    /// The receipts that are expected; `None` when there is no expected.json.
    ///
    /// # Errors
    /// The first mistake in the file, a SKU that store.toml does not have among them.
    pub fn expected(&self) -> Result<Option<Receipts>, Mistake> {
        let Some(path) = self.optional("expected.json") else { return Ok(None) };
        let text = read_text(&path, MAX_RECEIPTS_BYTES)?;
        let receipts = Receipts::parse(&path, &text)?;
        let unknown = receipts
            .receipts
            .iter()
            .flat_map(|r| &r.lines)
            .find(|l| self.store.layout.product(l.sku.as_str()).is_none());
        if let Some(line) = unknown {
            let sku = line.sku.as_str();
            let at = text.lines().position(|l| l.contains(sku)).map_or(1, |i| i + 1);
            return Err(Mistake::in_line(
                &path,
                u32::try_from(at).unwrap_or(u32::MAX),
                "sku",
                format!("store.toml has no product {sku:?}"),
                "correct the SKU or add the product",
            ));
        }
        Ok(Some(receipts))
    }
}

/// Reads a whole text file of limited size.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, Mistake> {
    let file = File::open(path).map_err(|e| Mistake::io(path, "open it", &e))?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|e| Mistake::io(path, "read it", &e))?;
    if bytes.len() as u64 > max_bytes {
        return Err(Mistake::in_file(
            path,
            format!("is larger than {} MiB", max_bytes >> 20),
            "check that it is the file that was meant",
        ));
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes().get(..valid).map_or(0, |b| b.iter().filter(|c| **c == b'\n').count()) + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        Mistake::in_line(path, line, "", "is not UTF-8 text", "save it as UTF-8")
    })
}
