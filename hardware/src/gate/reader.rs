//! Code readers on serial lines (most USB readers can be one): a line of text a code.
//!
//! # Failure rules
//! A reader that is away is tried again every [`RETRY`]; a line longer than any code is thrown away.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::token::MAX_TEXT_BYTES;
use crate::tty::{self, Parity};

/// How often a reader that is away is looked for.
pub const RETRY: Duration = Duration::from_secs(2);

/// What a reader has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A code.
    Code(String),
    /// Nothing for now.
    Nothing,
    /// It went away, and why.
    Lost(String),
}

/// A reader on a serial line.
#[derive(Debug)]
pub struct SerialReader {
    path: PathBuf,
    baud: u32,
    parity: Parity,
    port: Option<File>,
    tried: Option<Instant>,
    buffer: Vec<u8>,
    too_long: bool,
}

impl SerialReader {
    /// Opened at the first look.
    #[must_use]
    pub fn new(path: PathBuf, baud: u32, parity: Parity) -> Self {
        Self { path, baud, parity, port: None, tried: None, buffer: Vec::new(), too_long: false }
    }

    /// The next code; blocks for at most 0.2 s.
    pub fn look(&mut self) -> Look {
        if let Some(code) = self.next_code() {
            return Look::Code(code);
        }
        let Some(port) = &mut self.port else { return self.try_open() };
        let mut bytes = [0; 256];
        match port.read(&mut bytes) {
            Ok(0) if tty::hung_up(port) => self.lost("the line was closed"),
            Ok(read) => {
                self.buffer.extend_from_slice(&bytes[..read]);
                self.next_code().map_or(Look::Nothing, Look::Code)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Look::Nothing,
            Err(error) => self.lost(&error.to_string()),
        }
    }

    fn try_open(&mut self) -> Look {
        if self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            std::thread::sleep(Duration::from_millis(100));
            return Look::Nothing;
        }
        self.tried = Some(Instant::now());
        match tty::open(&self.path, self.baud, self.parity) {
            Ok(port) => {
                self.port = Some(port);
                self.buffer.clear();
                Look::Nothing
            }
            Err(error) => self.lost(&error.to_string()),
        }
    }

    fn lost(&mut self, why: &str) -> Look {
        self.port = None;
        Look::Lost(format!("{}: the reader is away ({why}); check its cable", self.path.display()))
    }

    fn next_code(&mut self) -> Option<String> {
        loop {
            let Some(end) = self.buffer.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                if self.buffer.len() > MAX_TEXT_BYTES {
                    self.buffer.clear();
                    self.too_long = true;
                }
                return None;
            };
            let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if !std::mem::take(&mut self.too_long) && !text.is_empty() {
                return Some(text);
            }
        }
    }
}
