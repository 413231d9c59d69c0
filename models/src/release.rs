//! Signed sets of models: activated when they are whole and run right on this device, and rolled back.
//!
//! A release is a folder with `manifest.toml`, `manifest.toml.sig` (the Ed25519 signature of its bytes, 128 hexadecimal
//! digits) and the models that the manifest lists. The signature covers the models too, since the manifest has their
//! SHA-256. The home folder keeps activated releases below `releases/`, each under the first digits of its manifest's
//! digest, and `releases/active` and `releases/previous` name two of them.
//!
//! Failure rules: what is not signed by the key, not whole, or fails its golden test on this device is never made
//! active, and what was active stays so. Names are replaced whole, so a crash leaves the old release or the new one.

use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::error::{ModelError, Result};
use crate::golden::Probe;
use crate::registry::{Registry, hex};
use crate::runtime::{Provider, Runtime};

const MANIFEST: &str = "manifest.toml";
const SIGNATURE: &str = "manifest.toml.sig";
const ACTIVE: &str = "active";
const PREVIOUS: &str = "previous";

fn fault(path: &Path, what: impl Into<String>) -> ModelError {
    ModelError::Signature { path: path.to_owned(), what: what.into() }
}

/// Makes a key pair: the private key (PKCS#8) and the public key as 64 hexadecimal digits.
///
/// # Errors
/// When the machine has no randomness.
pub fn new_key() -> Result<(Vec<u8>, String)> {
    let here = Path::new("new key");
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| fault(here, "this machine gives no random numbers"))?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).map_err(|e| fault(here, e.to_string()))?;
    Ok((private.as_ref().to_vec(), hex(pair.public_key().as_ref())))
}

/// Signs the manifest of a release folder with a private key from [`new_key`].
///
/// # Errors
/// When the key is none, or a file cannot be read or written.
pub fn sign(folder: &Path, private_key: &[u8]) -> Result<()> {
    let pair = Ed25519KeyPair::from_pkcs8(private_key)
        .map_err(|e| fault(folder, format!("the private key is no Ed25519 key in PKCS#8: {e}")))?;
    let manifest = read(&folder.join(MANIFEST))?;
    write(&folder.join(SIGNATURE), hex(pair.sign(&manifest).as_ref()).as_bytes())
}

/// Checks that a release's manifest was signed by this public key (64 hexadecimal digits).
///
/// # Errors
/// When the key or the signature is malformed, missing, or does not fit.
pub fn check_signature(folder: &Path, public_key: &str) -> Result<()> {
    let path = folder.join(SIGNATURE);
    let key = bytes_of(public_key)
        .filter(|k| k.len() == 32)
        .ok_or_else(|| fault(folder, "the public key must be 64 hexadecimal digits"))?;
    let text = read(&path)?;
    let signature = std::str::from_utf8(&text).ok().and_then(bytes_of);
    let signature = signature.ok_or_else(|| fault(&path, "it is no signature in hexadecimal digits"))?;
    let manifest = read(&folder.join(MANIFEST))?;
    UnparsedPublicKey::new(&ED25519, key).verify(&manifest, &signature).map_err(|_| {
        fault(&path, "the manifest is not signed by this key; the release is refused: fetch it again")
    })
}

/// The active release's folder, if there is one.
#[must_use]
pub fn active(home: &Path) -> Option<PathBuf> {
    named(home, ACTIVE)
}

/// Activates a release: signature, every model's bytes, then every model's golden test on this device.
///
/// # Errors
/// When anything of that fails; what was active stays so.
pub fn activate(
    home: &Path,
    folder: &Path,
    public_key: &str,
    runtime: &Runtime,
    provider: Provider,
) -> Result<PathBuf> {
    check_signature(folder, public_key)?;
    let digest = hex(&Sha256::digest(read(&folder.join(MANIFEST))?));
    let name = digest.get(..16).unwrap_or(&digest).to_owned();
    let stage = releases(home).join(format!("{name}.part"));
    let target = releases(home).join(&name);
    // What is tested is the copy that will run, not the folder that it came from.
    let result = stage_and_test(folder, &stage, public_key, runtime, provider);
    if let Err(error) = result {
        let _ = std::fs::remove_dir_all(&stage);
        return Err(error);
    }
    if target.exists() {
        std::fs::remove_dir_all(&target).map_err(|e| fault(&target, e.to_string()))?;
    }
    std::fs::rename(&stage, &target).map_err(|e| fault(&target, e.to_string()))?;
    let before = active(home).and_then(|p| Some(p.file_name()?.to_str()?.to_owned()));
    if let Some(before) = before.filter(|b| *b != name) {
        write(&releases(home).join(PREVIOUS), before.as_bytes())?;
    }
    write(&releases(home).join(ACTIVE), name.as_bytes())?;
    Ok(target)
}

fn stage_and_test(
    folder: &Path,
    stage: &Path,
    public_key: &str,
    runtime: &Runtime,
    provider: Provider,
) -> Result<()> {
    std::fs::create_dir_all(stage).map_err(|e| fault(stage, e.to_string()))?;
    let models = Registry::open(&folder.join(MANIFEST), folder)?;
    let files = models.manifest().models().iter().map(|m| m.file.as_str());
    for file in files.chain([MANIFEST, SIGNATURE]) {
        let from = folder.join(file);
        if from.exists() {
            std::fs::copy(&from, stage.join(file)).map_err(|e| fault(&from, e.to_string()))?;
        }
    }
    check_signature(stage, public_key)?;
    let staged = Registry::open(&stage.join(MANIFEST), stage)?;
    for model in staged.manifest().models() {
        Probe::load(&staged, runtime, &model.name, 1, provider)?.check()?;
    }
    Ok(())
}

/// Goes back to the release that was active before; a second time comes back.
///
/// # Errors
/// When there is none.
pub fn roll_back(home: &Path) -> Result<PathBuf> {
    let place = releases(home);
    let previous = named(home, PREVIOUS)
        .ok_or_else(|| fault(&place.join(PREVIOUS), "there is no earlier release to go back to"))?;
    let current = std::fs::read(place.join(ACTIVE)).unwrap_or_default();
    let name = read(&place.join(PREVIOUS))?;
    write(&place.join(ACTIVE), &name)?;
    write(&place.join(PREVIOUS), &current)?;
    Ok(previous)
}

fn releases(home: &Path) -> PathBuf {
    home.join("releases")
}

/// The release that a name file names, when its folder is there.
fn named(home: &Path, file: &str) -> Option<PathBuf> {
    let name = std::fs::read_to_string(releases(home).join(file)).ok()?;
    let name = name.trim();
    let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit());
    Some(releases(home).join(name)).filter(|p| sound && p.is_dir())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| fault(path, format!("read: {e}")))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("part");
    let put = || std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    put().map_err(|e| fault(path, format!("write: {e}")))
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0 && !d.is_empty())?;
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high * 16 + low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_signed_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = new_key().unwrap();
        std::fs::write(folder.path().join(MANIFEST), "version = 1\n").unwrap();
        let refusal = |key: &str| check_signature(folder.path(), key).unwrap_err().to_string();
        assert!(refusal(&public).contains("manifest.toml.sig"));
        sign(folder.path(), &private).unwrap();
        check_signature(folder.path(), &public).unwrap();

        let (_, other) = new_key().unwrap();
        assert!(refusal(&other).contains("not signed by this key"));
        assert!(refusal("12").contains("64 hexadecimal digits"));
        std::fs::write(folder.path().join(MANIFEST), "version = 1 \n").unwrap();
        assert!(refusal(&public).contains("not signed by this key"));
        std::fs::write(folder.path().join(SIGNATURE), "xyz").unwrap();
        assert!(refusal(&public).contains("no signature"));
        assert!(sign(folder.path(), b"no key").unwrap_err().to_string().contains("PKCS#8"));
    }

    #[test]
    fn without_releases_nothing_is_active_and_nothing_can_be_rolled_back() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(active(home.path()), None);
        assert!(roll_back(home.path()).unwrap_err().to_string().contains("no earlier release"));
        std::fs::create_dir_all(releases(home.path())).unwrap();
        std::fs::write(releases(home.path()).join(ACTIVE), "../../etc").unwrap();
        assert_eq!(active(home.path()), None, "a name is no path");
    }
}
