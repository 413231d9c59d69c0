//! The server's data folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A data folder that is in use by this process, and by no other.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if need be and takes it.
    ///
    /// # Errors
    /// When it cannot be made, or another process has it.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot make the data folder {}", path.display()))?;
        Self::take_existing(path)
    }

    /// Takes a folder that is there.
    ///
    /// # Errors
    /// When it is not there, or another process has it.
    pub fn take_existing(path: &Path) -> anyhow::Result<Self> {
        let name = path.join("lock");
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&name)
            .with_context(|| format!("cannot write in the data folder {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another store-sync uses the data folder {}: stop it, or name another with --data",
                    path.display()
                )
            }
            Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", name.display())),
        }
    }

    /// The ledger's file in a data folder.
    #[must_use]
    pub fn ledger_in(path: &Path) -> PathBuf {
        path.join("ledger.sqlite")
    }

    /// The file of the key that receipts are signed with, in a data folder.
    #[must_use]
    pub fn receipt_key_in(path: &Path) -> PathBuf {
        path.join("receipt-key.pem")
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        Self::ledger_in(&self.path)
    }
}
