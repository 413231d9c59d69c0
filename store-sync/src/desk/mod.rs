//! What the console keeps beside the ledger: who may do what, what was done, and what can still be undone.
//!
//! One SQLite file, `console.sqlite` in the data folder. Losing it loses accounts, the audit log and open contests, never
//! what happened in the store. Passwords are argon2id hashes; of session tokens only the SHA-256 is kept.
//!
//! Limits: one process (the data folder's lock), short transactions behind one mutex.

pub mod accounts;
pub mod audit;
pub mod channels;
pub mod entry;
pub mod outside;
pub mod reviews;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

/// What went wrong at the desk.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Not allowed, or makes no sense; the words are for whoever asked.
    #[error("{0}")]
    Refused(String),
    /// SQLite failed.
    #[error("the console's own file failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system gives no random numbers, or a file beside the database cannot be written.
    #[error("{0}")]
    System(String),
}

/// A refusal in words.
pub(crate) fn refused<T>(words: impl Into<String>) -> Result<T, DeskError> {
    Err(DeskError::Refused(words.into()))
}

/// The console's own file.
#[derive(Debug)]
pub struct Desk {
    conn: Mutex<Connection>,
    path: PathBuf,
}

impl Desk {
    /// Opens it in a data folder; makes it if there is none.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn open(data: &Path) -> Result<Self, DeskError> {
        let path = data.join("console.sqlite");
        let conn = Connection::open(&path)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "secure_delete", true)?;
        conn.execute_batch(include_str!("schema.sql"))?;
        Ok(Self { conn: Mutex::new(conn), path })
    }

    fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

impl Desk {
    /// Keeps a number under a name, at the first call; gives the one that is kept.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn keep_first(&self, name: &str, number: i64) -> Result<i64, DeskError> {
        let conn = self.conn();
        conn.execute("INSERT INTO kept (name, number) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, number))?;
        Ok(conn.query_row("SELECT number FROM kept WHERE name = ?", [name], |r| r.get(0))?)
    }
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], DeskError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| DeskError::System(format!("the system gives no random numbers: {e}")))?;
    Ok(bytes)
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), DeskError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let told = |e: std::io::Error| DeskError::System(format!("cannot write {}: {e}", path.display()));
    let _ = std::fs::remove_file(path);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(told)?;
    file.write_all(text.as_bytes()).map_err(told)
}
