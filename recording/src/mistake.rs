//! What is wrong with a file, told so that a person can mend it.
//!
//! Every reader of this crate reports a [`Mistake`]: file, line, column, field, what is wrong, and the remedy.
//! `store.toml` and `recording.toml` are read to their end and every mistake is reported ([`Mistakes`]); the
//! streaming readers stop at the first, because what follows cannot be trusted.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong in one place of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct Mistake {
    /// Which file.
    pub file: PathBuf,
    /// Line, counted from 1; `None` when the file as a whole is meant.
    pub line: Option<u32>,
    /// Column in characters, counted from 1.
    pub column: Option<u32>,
    /// Which field, for example `product[3].price` (entries counted from 1); empty when none is meant.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Mistake {
    /// A mistake of a file as a whole, such as one that cannot be opened.
    #[must_use]
    pub fn in_file(file: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            field: String::new(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A mistake in a line (counted from 1).
    #[must_use]
    pub fn in_line(
        file: &Path,
        line: u32,
        field: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { line: Some(line), field: field.into(), ..Self::in_file(file, what, remedy) }
    }

    /// The same, with a column (counted from 1).
    #[must_use]
    pub fn at_column(mut self, column: u32) -> Self {
        self.column = Some(column);
        self
    }

    pub(crate) fn io(file: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::in_file(
            file,
            format!("cannot {doing}: {error}"),
            "check that it exists and that this user may use it",
        )
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Every mistake that was found, in the order of the files' lines. Never empty.
///
/// Its text, one mistake a line, is what `edge-agent config check` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// `Ok` when there is none.
    ///
    /// # Errors
    /// The mistakes themselves, sorted by file and line.
    pub fn check(mut mistakes: Vec<Mistake>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort();
        mistakes.dedup();
        Err(Self(mistakes))
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// As a vector.
    #[must_use]
    pub fn into_vec(self) -> Vec<Mistake> {
        self.0
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
