//! The products that a shop has shown to the camera: embeddings by SKU, in one file.
//!
//! `gallery.lfg` is a line of JSON (format version, the model's name and digest, length of an embedding, the products
//! with their number of pictures, SHA-256 of the rest) and then the embeddings as little-endian 32-bit floats, product
//! by product. It is replaced whole or not at all.
//!
//! Failure rules: a file of another version, of another model, cut short or altered is refused by name, and never
//! repaired in silence: its pictures have to be enrolled again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use linefree_domain::ids::Sku;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::embedder::Embedding;
use crate::error::{ModelError, Result};
use crate::registry::hex;

/// The only format version there is.
const VERSION: u32 = 1;
/// The file's name in the gallery's folder.
const FILE: &str = "gallery.lfg";
/// Most pictures of one product; the oldest go first.
pub const PICTURES_MAX: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    linefree_gallery: u32,
    model: String,
    digest: String,
    length: usize,
    products: Vec<(String, usize)>,
    sha256: String,
}

/// Enrolled products.
#[derive(Debug, Clone, PartialEq)]
pub struct Gallery {
    model: String,
    digest: String,
    length: usize,
    products: BTreeMap<Sku, Vec<Embedding>>,
}

impl Gallery {
    /// An empty one, for embeddings of this model.
    #[must_use]
    pub fn new(model: &str, digest: &str, length: usize) -> Self {
        Self { model: model.into(), digest: digest.into(), length, products: BTreeMap::new() }
    }

    /// Where a gallery's file is in its folder.
    #[must_use]
    pub fn file(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Reads a folder's gallery, which must be of this model; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, of another version or of another model.
    pub fn read(folder: &Path, model: &str, digest: &str, length: usize) -> Result<Option<Self>> {
        let path = Self::file(folder);
        let fault = |what: String| ModelError::Gallery { path: path.clone(), what };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault(format!("read: {e}"))),
        };
        let damaged = |what: &str| {
            fault(format!("{what}; the file is damaged: remove it and enrol the pictures again"))
        };
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("it has no header line"))?;
        let (head, payload) = (&bytes[..end], &bytes[end + 1..]);
        let header: serde_json::Value =
            serde_json::from_slice(head).map_err(|_| damaged("no JSON header"))?;
        match header.get("linefree_gallery").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(VERSION) => {}
            Some(v) => {
                return Err(fault(format!(
                    "format version {v}, this program reads {VERSION}; use a program of the same release"
                )));
            }
            None => return Err(damaged("it does not say that it is a gallery")),
        }
        let header: Header =
            serde_json::from_value(header).map_err(|e| damaged(&format!("its header: {e}")))?;
        if (header.digest.as_str(), header.length) != (digest, length) {
            return Err(fault(format!(
                "made with the model {} ({}), this is {model} ({}); embeddings of different models do not \
                 compare: enrol the pictures again into another folder",
                header.model,
                short(&header.digest),
                short(digest)
            )));
        }
        if hex(&Sha256::digest(payload)) != header.sha256 {
            return Err(damaged("its embeddings do not have the checksum of its header"));
        }
        let numbers: Vec<f32> =
            payload.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        let mut rows = numbers.chunks_exact(length.max(1));
        let mut gallery = Self::new(model, digest, length);
        for (sku, count) in header.products {
            let sku = Sku::new(&sku).map_err(|e| damaged(&format!("a product: {e}")))?;
            let pictures: Option<Vec<Embedding>> =
                (0..count.min(PICTURES_MAX)).map(|_| Embedding::of(rows.next()?.to_vec())).collect();
            let pictures = pictures.ok_or_else(|| damaged("it has fewer embeddings than it says"))?;
            gallery.products.insert(sku, pictures);
        }
        if rows.next().is_some() {
            return Err(damaged("it has more embeddings than it says"));
        }
        Ok(Some(gallery))
    }

    /// Adds a picture; beyond [`PICTURES_MAX`] the product's oldest is forgotten.
    pub fn enrol(&mut self, sku: &Sku, picture: Embedding) {
        let pictures = self.products.entry(sku.clone()).or_default();
        if pictures.len() == PICTURES_MAX {
            pictures.remove(0);
        }
        pictures.push(picture);
    }

    /// Forgets a product; whether it was there.
    pub fn forget(&mut self, sku: &Sku) -> bool {
        self.products.remove(sku).is_some()
    }

    /// Products with their pictures, by SKU.
    #[must_use]
    pub fn products(&self) -> &BTreeMap<Sku, Vec<Embedding>> {
        &self.products
    }

    /// Writes the gallery into its folder, which is made if need be: whole, on disk, or not at all.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is still there.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = Self::file(folder);
        let mut payload = Vec::new();
        for picture in self.products.values().flatten() {
            payload.extend(picture.values().iter().flat_map(|v| v.to_le_bytes()));
        }
        let header = Header {
            linefree_gallery: VERSION,
            model: self.model.clone(),
            digest: self.digest.clone(),
            length: self.length,
            products: self.products.iter().map(|(sku, p)| (sku.to_string(), p.len())).collect(),
            sha256: hex(&Sha256::digest(&payload)),
        };
        let fault = |what: String| ModelError::Gallery { path: path.clone(), what };
        let mut bytes = serde_json::to_vec(&header).map_err(|e| fault(e.to_string()))?;
        bytes.push(b'\n');
        bytes.extend(payload);
        let put = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let beside = folder.join(format!("{FILE}.{}.part", std::process::id()));
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)
        };
        put().map_err(|e| fault(format!("write: {e}")))
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(values: [f32; 3]) -> Embedding {
        Embedding::of(values.to_vec()).unwrap()
    }

    fn sample() -> Gallery {
        let mut gallery = Gallery::new("m", &"a".repeat(64), 3);
        gallery.enrol(&Sku::new("632565000012").unwrap(), picture([1.0, 0.2, 0.0]));
        gallery.enrol(&Sku::new("632565000012").unwrap(), picture([0.9, 0.0, 0.1]));
        gallery.enrol(&Sku::new("7").unwrap(), picture([0.0, 1.0, 0.0]));
        gallery
    }

    fn read(folder: &Path, digest: &str) -> Result<Option<Gallery>> {
        Gallery::read(folder, "m", digest, 3)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("shop");
        assert_eq!(read(&inside, &"a".repeat(64)).unwrap(), None);
        sample().write(&inside).unwrap();
        let back = read(&inside, &"a".repeat(64)).unwrap().unwrap();
        assert_eq!(back.products().len(), 2);
        for (sku, pictures) in sample().products() {
            for (a, b) in pictures.iter().zip(&back.products()[sku]) {
                assert!((a.cosine(b) - 1.0).abs() < 1e-6);
            }
        }
        let left = std::fs::read_dir(&inside).unwrap().count();
        assert_eq!(left, 1, "nothing but the gallery is left behind");
    }

    #[test]
    fn galleries_of_others_and_damaged_ones_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let digest = "a".repeat(64);
        sample().write(folder.path()).unwrap();
        let said = read(folder.path(), &"b".repeat(64)).unwrap_err().to_string();
        assert!(said.contains("embeddings of different models do not compare"), "{said}");

        let path = Gallery::file(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let mut bent = whole.clone();
        *bent.last_mut().unwrap() ^= 1;
        let text = String::from_utf8_lossy(&whole[..21]).replace(":1", ":9");
        let newer = [text.as_bytes(), &whole[21..]].concat();
        for (bytes, what) in [
            (&whole[..whole.len() - 4], "checksum"),
            (&bent[..], "checksum"),
            (&whole[..30], "no header line"),
            (&b"not a gallery\n"[..], "no JSON header"),
            (&b"{\"a\":1}\n"[..], "does not say that it is a gallery"),
            (&newer[..], "format version 9"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let said = read(folder.path(), &digest).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains("gallery.lfg"), "{what}: {said}");
        }
    }

    #[test]
    fn a_product_keeps_its_newest_pictures() {
        let mut gallery = sample();
        let sku = Sku::new("7").unwrap();
        for n in 0..PICTURES_MAX + 3 {
            gallery.enrol(&sku, picture([n as f32, 1.0, 0.0]));
        }
        assert_eq!(gallery.products()[&sku].len(), PICTURES_MAX);
        assert!(gallery.forget(&sku) && !gallery.forget(&sku));
    }
}
