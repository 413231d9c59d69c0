//! Reads a file of one JSON object a line, with the line's number in every mistake.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::mistake::Mistake;

/// The longest line, bytes.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;

/// The latest `t` that is believed, seconds: 100 days. Beyond it somebody wrote a Unix time.
pub(crate) const MAX_T_S: f64 = 8_640_000.0;

/// Yields `(line number, object)`; ends after the first mistake.
pub(crate) struct JsonLines<T> {
    path: PathBuf,
    reader: BufReader<File>,
    line: u32,
    buffer: Vec<u8>,
    ended: bool,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    pub(crate) fn open(path: &Path) -> Result<Self, Mistake> {
        let file = File::open(path).map_err(|e| Mistake::io(path, "open it", &e))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            line: 0,
            buffer: Vec::new(),
            ended: false,
            kind: PhantomData,
        })
    }

    pub(crate) fn mistake(&self, field: &str, what: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        Mistake::in_line(&self.path, self.line, field, what, remedy)
    }

    /// Reads the next line that is not blank into the buffer; false at the end of the file.
    fn fill(&mut self) -> Result<bool, Mistake> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1);
            let read = limited.read_until(b'\n', &mut self.buffer);
            let bytes = read.map_err(|e| Mistake::io(&self.path, "read it", &e))?;
            if bytes == 0 {
                return Ok(false);
            }
            self.line = self.line.saturating_add(1);
            if bytes > MAX_LINE_BYTES {
                return Err(self.mistake("", "is longer than 1 MiB", "write one JSON object a line"));
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    fn parse(&self) -> Result<T, Mistake> {
        serde_json::from_slice(&self.buffer).map_err(|e| {
            let torn = e.is_eof() && self.buffer.last() != Some(&b'\n');
            let full = e.to_string();
            let what = full.rsplit_once(" at line ").map_or(full.as_str(), |(what, _)| what);
            let (what, remedy) = if torn {
                (format!("the file ends in the middle of this line: {what}"), "remove the line or finish it")
            } else {
                (what.to_owned(), "write it as docs/ref/recording.md says")
            };
            // serde_json's column counts bytes from 1; 0 means before the first.
            self.mistake("", what, remedy).at_column(u32::try_from(e.column()).unwrap_or(u32::MAX).max(1))
        })
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<T, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.fill() {
            Ok(false) => None,
            Ok(true) => Some(self.parse()),
            Err(mistake) => Some(Err(mistake)),
        };
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Why `t` cannot be a time of a recording; `None` when it can.
pub(crate) fn wrong_t(t: f64) -> Option<&'static str> {
    (!t.is_finite() || t.abs() > MAX_T_S).then_some("t is seconds from the recording's start")
}
