//! The files of a journal: listing, checking, creating, reading.

use super::format::{self, Header, Tail};
use super::{Cut, JournalError, io_error};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const EXTENSION: &str = "journal";
const UNFINISHED: &str = "new";
const LOCK: &str = "lock";

/// One file of the journal, as far as it is durable.
#[derive(Debug, Clone)]
pub struct Segment {
    pub path: PathBuf,
    pub epoch: Uuid,
    /// Number of its first record.
    pub first_seq: u64,
    /// One more than the number of its last record.
    pub end_seq: u64,
    /// Where its records begin.
    pub header_bytes: u64,
    /// Where its durable records end.
    pub size_bytes: u64,
}

impl Segment {
    /// One less than [`Self::first_seq`] while it is empty.
    pub fn last_seq(&self) -> u64 {
        self.end_seq - 1
    }

    pub fn open_for_append(&self) -> Result<File, JournalError> {
        OpenOptions::new().append(true).open(&self.path).map_err(io_error(&self.path, "open for writing"))
    }
}

/// Locks the directory for this process.
pub fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error(&path, "open the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(JournalError::InUse(dir.to_owned())),
        Err(std::fs::TryLockError::Error(e)) => Err(io_error(&path, "lock")(e)),
    }
}

/// Makes creations, renames and deletions in the directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir, "make the directory durable"))
}

/// Creates a segment. It appears under its name only when its header is whole and durable.
pub fn create(dir: &Path, header: &Header) -> Result<Segment, JournalError> {
    let path = dir.join(format!("{:020}.{EXTENSION}", header.first_seq));
    let unfinished = path.with_extension(UNFINISHED);
    let bytes = format::encode_header(header);
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    write().map_err(io_error(&path, "create the segment"))?;
    sync_dir(dir)?;
    Ok(Segment {
        path,
        epoch: header.epoch,
        first_seq: header.first_seq,
        end_seq: header.first_seq,
        header_bytes: bytes.len() as u64,
        size_bytes: bytes.len() as u64,
    })
}

/// Finds, checks and repairs the segments of a directory, oldest first.
pub fn load(dir: &Path, source: &str, cut: &mut Option<Cut>) -> Result<Vec<Segment>, JournalError> {
    let paths = list(dir)?;
    let mut segments: Vec<Segment> = Vec::with_capacity(paths.len());
    for (i, path) in paths.iter().enumerate() {
        let newest = i + 1 == paths.len();
        let bytes = std::fs::read(path).map_err(io_error(path, "read"))?;
        let expected = segments.last().map(|s| s.end_seq);
        let damaged = |offset: usize, seq: u64, why: &str| JournalError::Damaged {
            path: path.clone(),
            offset: offset as u64,
            seq,
            why: why.to_owned(),
        };
        let (header, start) =
            format::decode_header(&bytes).map_err(|why| damaged(0, expected.unwrap_or(0), why))?;
        if header.source != source {
            return Err(JournalError::OtherSource {
                path: dir.to_owned(),
                found: header.source,
                wanted: source.to_owned(),
            });
        }
        let follows = segments.last().is_none_or(|s| s.epoch == header.epoch);
        if !follows || expected.is_some_and(|seq| seq != header.first_seq) || header.first_seq == 0 {
            let why =
                "the segment does not follow the one before it: a file is missing or not of this journal";
            return Err(damaged(0, expected.unwrap_or(1), why));
        }
        let scan = format::scan(&bytes, start, header.first_seq);
        match scan.tail {
            Tail::Clean => {}
            Tail::Torn(why) if newest => {
                *cut = Some(cut_tail(path, scan.good_bytes, bytes.len(), why)?);
            }
            // A segment is durable in whole before the next one is begun.
            Tail::Torn(why) | Tail::Corrupt(why) => {
                return Err(damaged(scan.good_bytes, scan.last_seq + 1, why));
            }
        }
        segments.push(Segment {
            path: path.clone(),
            epoch: header.epoch,
            first_seq: header.first_seq,
            end_seq: scan.last_seq + 1,
            header_bytes: start as u64,
            size_bytes: scan.good_bytes as u64,
        });
    }
    Ok(segments)
}

/// The segments' paths in order. Unfinished ones are deleted: nothing was ever written into them.
fn list(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io_error(dir, "list"))? {
        let path = entry.map_err(io_error(dir, "list"))?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        match extension {
            Some(EXTENSION) => paths.push(path),
            Some(UNFINISHED) => {
                std::fs::remove_file(&path).map_err(io_error(&path, "delete an unfinished segment"))?;
            }
            _ => {}
        }
    }
    // Names are numbers of fixed width.
    paths.sort();
    Ok(paths)
}

fn cut_tail(path: &Path, good: usize, size: usize, why: &str) -> Result<Cut, JournalError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_len(good as u64)?;
            file.sync_all()
        })
        .map_err(io_error(path, "cut a torn tail"))?;
    Ok(Cut { path: path.to_owned(), offset: good as u64, bytes: (size - good) as u64, why: why.to_owned() })
}

/// Reads records one after the other; remembers where it is, so that reading on needs no search.
///
/// Holds at most [`CHUNK`] bytes beyond one record in memory.
#[derive(Debug, Default)]
pub struct SegmentReader {
    file: Option<(PathBuf, File)>,
    /// Bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// Number and offset of the next record.
    next: (u64, u64),
}

const CHUNK: usize = 256 * 1024;

impl SegmentReader {
    /// The JSON of one record of a segment, and its offset.
    pub fn read(&mut self, segment: &Segment, seq: u64) -> Result<(&[u8], u64), JournalError> {
        let same = self.file.as_ref().is_some_and(|(path, _)| *path == segment.path);
        if !same {
            let file = File::open(&segment.path).map_err(io_error(&segment.path, "open"))?;
            self.file = Some((segment.path.clone(), file));
            self.buffer.clear();
        }
        if !same || self.next.0 > seq {
            self.next = (segment.first_seq, segment.header_bytes);
        }
        loop {
            let (number, offset) = self.next;
            let size = self.fill(segment, offset, number)?;
            self.next = (number + 1, offset + size as u64);
            if number == seq {
                let at = (offset - self.base) as usize;
                return Ok((&self.buffer[at + format::RECORD_HEAD..at + size], offset));
            }
        }
    }

    /// Makes sure that the whole record at `offset` is in the buffer; gives its size.
    fn fill(&mut self, segment: &Segment, offset: u64, seq: u64) -> Result<usize, JournalError> {
        let damaged = |why: &str| JournalError::Damaged {
            path: segment.path.clone(),
            offset,
            seq,
            why: why.to_owned(),
        };
        let mut wanted = CHUNK;
        loop {
            let inside = offset >= self.base && offset <= self.base + self.buffer.len() as u64;
            if inside {
                match format::decode_record(&self.buffer, (offset - self.base) as usize) {
                    Ok(record) if record.seq == seq => return Ok(record.size()),
                    Ok(_) => return Err(damaged("the record's number does not follow")),
                    Err(why) if self.base + self.buffer.len() as u64 >= segment.size_bytes => {
                        return Err(damaged(why));
                    }
                    Err(why) if wanted > 4 * CHUNK => return Err(damaged(why)),
                    Err(_) => {}
                }
            }
            self.load(segment, offset, wanted)?;
            wanted *= 2;
        }
    }

    fn load(&mut self, segment: &Segment, offset: u64, wanted: usize) -> Result<(), JournalError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let left = segment.size_bytes.saturating_sub(offset);
        let size = left.min(wanted as u64) as usize;
        self.buffer.resize(size, 0);
        self.base = offset;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut self.buffer))
            .map_err(io_error(path, "read"))
    }
}
