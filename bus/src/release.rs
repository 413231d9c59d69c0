//! Releases: what devices run by, signed whole.
//!
//! A release is the store's description (store.toml) with what the cloud has changed since, and the model that cameras
//! run. The store's server numbers and signs releases with its own Ed25519 key; a device has the public half in a file
//! (PEM) and takes nothing else. **Numbers only grow**: the content that was good before comes back under a new number,
//! so that an old message, replayed, is refused. What a release refers to and does not hold, the models' files, it names
//! by SHA-256.

use std::path::Path;

use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::payload::Wanted;

/// What stands before the text where it is signed, so that no signature of anything else fits.
const CONTEXT: &str = "linefree-release-v1\n";

/// What stands before the 32 bytes of a public key: SubjectPublicKeyInfo with id-Ed25519 (RFC 8410).
pub const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What devices run by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The store.
    pub store: String,
    /// Its number, from 1: each greater than all before.
    pub number: u64,
    /// Where it came from, for people.
    pub why: String,
    /// How long a device tries it before it stays, seconds, 1 to 86,400.
    pub trial_s: u32,
    /// The text of store.toml. A device keeps `[bus]`, `[server]` and `[cloud]` of its own.
    pub store_toml: String,
    /// What replaces parts of it.
    pub changes: ReleaseChanges,
}

/// What the cloud has commanded since store.toml was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseChanges {
    /// Names and weights of products; those that store.toml lacks come with a price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<ReleasedProduct>,
    /// The planogram, in the place of store.toml's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facings: Option<Vec<ReleasedFacing>>,
    /// Lines less certain than this go to review, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_below: Option<f64>,
    /// The model that cameras run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ReleasedModel>,
}

/// A product's name and weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedProduct {
    /// Its code.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// Weight of one item, grams.
    pub weight_g: f64,
    /// What one costs, minor units of the store's currency, when the release was made. Devices tell it for products that
    /// store.toml lacks; what is charged follows from the prices in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_minor: Option<i64>,
}

/// Where a product lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedFacing {
    /// What.
    pub sku: String,
    /// On which plates, `gondola/shelf/plate`.
    pub plates: Vec<String>,
}

/// A model by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedModel {
    /// Its name in the device's registry.
    pub model: String,
    /// SHA-256 of its file, 64 hexadecimal digits.
    pub sha256: String,
}

/// Why a release is refused, or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The key's file.
    #[error("{path}: {why}; it is release-key.pub.pem of the store's server")]
    Key {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Not signed by the key.
    #[error("release is not signed by this store's release key")]
    Signature,
    /// Signed, and not to be understood: the program is older than the release.
    #[error("release cannot be read by this version of the program: {0}")]
    Text(String),
    /// Of another store.
    #[error("release {number} is of store {store}")]
    OtherStore {
        /// Its number.
        number: u64,
        /// Whose it is.
        store: String,
    },
    /// A field is out of range.
    #[error("release {number}: trial_s is {trial_s}, 1 to 86400 is allowed")]
    Trial {
        /// Its number.
        number: u64,
        /// What it says.
        trial_s: u32,
    },
}

/// The public half of a store's release key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseKey([u8; 32]);

impl ReleaseKey {
    /// Of its 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`ReleaseError::Key`].
    pub fn read(path: &Path) -> Result<Self, ReleaseError> {
        let wrong = |why: String| ReleaseError::Key { path: path.display().to_string(), why };
        let der = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|e| wrong(e.to_string()))?;
        let key = der.as_ref().strip_prefix(&PUBLIC_DER).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| wrong("it holds no Ed25519 public key".into()))
    }

    /// Checks a message and reads what it holds.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing of a text that is not signed is looked at.
    pub fn open(&self, wanted: &Wanted, store: &str) -> Result<Release, ReleaseError> {
        let signature = from_hex(&wanted.signature).ok_or(ReleaseError::Signature)?;
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&signed_bytes(&wanted.text), &signature)
            .map_err(|_| ReleaseError::Signature)?;
        let release: Release =
            serde_json::from_str(&wanted.text).map_err(|e| ReleaseError::Text(e.to_string()))?;
        let number = release.number;
        if release.store != store {
            return Err(ReleaseError::OtherStore { number, store: release.store });
        }
        if !(1..=86_400).contains(&release.trial_s) {
            return Err(ReleaseError::Trial { number, trial_s: release.trial_s });
        }
        Ok(release)
    }
}

/// The bytes that are signed for a release's text.
#[must_use]
pub fn signed_bytes(text: &str) -> Vec<u8> {
    [CONTEXT.as_bytes(), text.as_bytes()].concat()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    fn release(store: &str, trial_s: u32) -> Release {
        Release {
            store: store.into(),
            number: 7,
            why: "test".into(),
            trial_s,
            store_toml: "format = 1\n".into(),
            changes: ReleaseChanges::default(),
        }
    }

    fn sign(pair: &Ed25519KeyPair, text: String) -> Wanted {
        let signature = pair.sign(&signed_bytes(&text));
        let signature = signature.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Wanted { source: "cam1".into(), text, signature }
    }

    #[test]
    fn only_what_the_store_has_signed_is_read() {
        let pair = || {
            let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap()
        };
        let own = pair();
        let key = ReleaseKey::new(own.public_key().as_ref().try_into().unwrap());
        let text = |store: &str, trial_s| serde_json::to_string(&release(store, trial_s)).unwrap();
        let good = sign(&own, text("nano", 60));
        assert_eq!(key.open(&good, "nano").unwrap(), release("nano", 60));

        let told = |wanted: &Wanted| key.open(wanted, "nano").unwrap_err().to_string();
        let changed = Wanted { text: good.text.replace("60", "61"), ..good.clone() };
        assert!(told(&changed).contains("not signed"), "{}", told(&changed));
        assert!(told(&sign(&pair(), text("nano", 60))).contains("not signed"));
        for signature in ["", "xyz", "é0", &"0".repeat(128)] {
            assert!(told(&Wanted { signature: signature.into(), ..good.clone() }).contains("not signed"));
        }
        // A signature of the bare text is of something else.
        let bare: String =
            own.sign(good.text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert!(told(&Wanted { signature: bare, ..good.clone() }).contains("not signed"));
        assert_eq!(told(&sign(&own, text("mega", 60))), "release 7 is of store mega");
        assert!(told(&sign(&own, text("nano", 0))).contains("trial_s is 0"));
        assert!(told(&sign(&own, "{}".into())).contains("cannot be read by this version"));
    }
}
