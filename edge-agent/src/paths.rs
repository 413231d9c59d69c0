//! Where set-up has put what a device needs.
//!
//! Looked for in this order: `LINEFREE_HOME`; `.linefree` in the working folder or one of its parents;
//! `/var/lib/linefree`, where packages install.

use std::path::{Path, PathBuf};

use anyhow::Context;
use linefree_models::{Home, Registry, Runtime, release};

/// What set-up has put on this machine.
#[must_use]
pub fn home() -> Home {
    let home = Home::find(&std::env::current_dir().unwrap_or_default());
    let chosen = std::env::var_os("LINEFREE_HOME").is_some_and(|v| !v.is_empty());
    if chosen || home.path().is_dir() { home } else { Home::at(Path::new("/var/lib/linefree")) }
}

/// The active release of models where there is one (`edge-agent models activate`), else the model registry of this
/// program with its models in the home folder.
///
/// # Errors
/// When the manifest is wrong.
pub fn registry() -> anyhow::Result<Registry> {
    if let Some(active) = release::active(home().path()) {
        return Ok(Registry::open(&active.join("manifest.toml"), &active)?);
    }
    Ok(Registry::built_in(&home().models_dir())?)
}

/// ONNX Runtime from the home folder, or from `ORT_DYLIB_PATH` where that is set.
///
/// # Errors
/// When the library is missing or unusable, with the remedy.
pub fn runtime() -> anyhow::Result<Runtime> {
    let path = std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| home().library(), PathBuf::from);
    Runtime::load(&path).context("load ONNX Runtime; `cargo xtask setup` installs it")
}

/// Reads a text file, naming it when that fails.
///
/// # Errors
/// When it cannot be read.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// Writes a file that only its owner may read, and that was not there before.
///
/// # Errors
/// When it cannot be written, or is there already.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

/// Writes a file whole or not at all: to a neighbour first, then renamed.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, text).with_context(|| format!("write {}", path.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("write {}", path.display()))
}
