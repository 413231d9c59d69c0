//! Where things are: the workspace, what set-up installs, the optional shared data.
//!
//! | place | default | overridden by |
//! | --- | --- | --- |
//! | home: what set-up installs | `.linefree/` | `LINEFREE_HOME` |
//! | shared: data for development and evaluation, may be absent | `../shared` | `LINEFREE_SHARED` |
//! | target: what cargo builds | `target/` | `CARGO_TARGET_DIR` |

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The places that every command works with; all absolute.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The workspace's root folder.
    pub root: PathBuf,
    /// What set-up installs.
    pub home: PathBuf,
    /// Shared data, which may be absent.
    pub shared: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    ///
    /// # Errors
    /// When the folder is no longer there.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .and_then(|p| p.canonicalize().ok())
            .with_context(|| format!("the workspace around {} is gone; build xtask again", here.display()))?;
        let from_env = |name: &str, default: PathBuf| match env::var_os(name) {
            Some(path) if !path.is_empty() => root.join(path),
            _ => default,
        };
        Ok(Self {
            home: from_env("LINEFREE_HOME", root.join(".linefree")),
            shared: from_env("LINEFREE_SHARED", root.join("../shared")),
            target: from_env("CARGO_TARGET_DIR", root.join("target")),
            root,
        })
    }

    /// The ONNX Runtime library that set-up installs.
    #[must_use]
    pub fn onnxruntime(&self) -> PathBuf {
        self.home.join("lib/libonnxruntime.so")
    }

    /// A program of this workspace, as `cargo build` leaves it.
    #[must_use]
    pub fn built(&self, program: &str) -> PathBuf {
        self.target.join("debug").join(program)
    }

    /// A command that runs in the root and knows the places.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("LINEFREE_HOME", &self.home)
            .env("LINEFREE_SHARED", &self.shared)
            .env("ORT_DYLIB_PATH", self.onnxruntime());
        command
    }

    /// The cargo that runs us, in the root, with the places known to whatever it starts.
    #[must_use]
    pub fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// A path as people want to read it: relative to the root where it lies in it.
    #[must_use]
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
