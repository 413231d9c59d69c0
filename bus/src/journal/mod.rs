//! A source's numbered events on disk, from publishing until well after the ledger has acknowledged them.
//!
//! A journal is a directory of **segments**, `<number of its first record>.journal`, of about
//! [`JournalOptions::segment_bytes`] each; the newest is written, the others only read and finally deleted whole.
//! [`mod@format`] describes their bytes. One process may have it open (an advisory lock on `lock`).
//!
//! **Durability.** [`Journal::append`] gives a number and keeps the event in memory; [`Journal::sync`] writes
//! everything appended with one write and one fsync. Only after `sync` has returned may an event be called
//! published, be sent, or be read. When `sync` fails, everything since the last sync is gone: the file is cut back
//! and the numbers are given out again. When even cutting back fails, or the fsync itself does (after which nobody
//! knows what is on disk), the journal refuses all further writes until it is opened again. An event whose sync
//! failed in that way may be found on disk when the journal is next opened, and is then sent.
//!
//! **On opening** every record is checked. A torn tail (what a power cut left of an unfinished write) is cut off
//! and reported in [`OpenReport`]. Damage to a record that had been durable is an error that names file and
//! offset: events of the store would be missing, which no program may decide to ignore.
//!
//! **Trimming.** [`Journal::trim_to`] deletes segments that are acknowledged, but keeps the last
//! [`JournalOptions::keep_acked`] acknowledged events, for receivers other than the ledger that were away.
//!
//! **Limits.** Events of at most the bus's payload limit; [`JournalOptions::max_bytes`] on disk, after which
//! `append` refuses: days of events, reached only when the ledger has been away for as long.

pub mod format;
mod segments;

use crate::codec::{self, MAX_PAYLOAD_BYTES};
use crate::payload::{Event, EventBody};
use format::{Header, encode_record};
use segments::{Segment, SegmentReader};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why a journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("journal {path}: cannot {doing}: {source}{}", remedy(source))]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("journal {0} is in use by another process: is this device running twice?")]
    InUse(PathBuf),
    /// A record that had been durable is damaged.
    #[error(
        "journal {path} is damaged at byte {offset}: {why}. Events from number {seq} on cannot be read. Keep a copy \
         of {dir} for diagnosis, check the disk, then move the directory away and start again: the device begins a \
         new numbering, and what the ledger had not acknowledged of the old one is lost", dir = dir_of(path)
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Number of the first event that cannot be read.
        seq: u64,
        /// What is wrong there.
        why: String,
    },
    /// The directory is another source's journal.
    #[error(
        "journal {path} belongs to {found:?}, not to {wanted:?}: each source needs a directory of its own"
    )]
    OtherSource {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted to open it.
        wanted: String,
    },
    /// The event cannot be published.
    #[error("event of {origin}: {why}")]
    BadEvent {
        /// Whose.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// The journal has reached its limit.
    #[error(
        "journal {path} holds {bytes} bytes, its limit: the ledger has not acknowledged for a long time. Check that \
         store-sync runs and is connected to the bus"
    )]
    Full {
        /// Which directory.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// An earlier failure left the disk in an unknown state.
    #[error(
        "journal {path} takes no events since an earlier failure ({why}): restart the device once it is mended"
    )]
    Broken {
        /// Which directory.
        path: PathBuf,
        /// The earlier failure.
        why: String,
    },
    /// The journal's thread is gone.
    #[error("the journal of {0:?} is closed")]
    Closed(String),
}

/// An I/O error is given to everybody whose events shared the failed write.
impl Clone for JournalError {
    fn clone(&self) -> Self {
        match self {
            Self::Io { path, doing, source } => {
                let source = match source.raw_os_error() {
                    Some(code) => std::io::Error::from_raw_os_error(code),
                    None => std::io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { path: path.clone(), doing, source }
            }
            Self::InUse(path) => Self::InUse(path.clone()),
            Self::Damaged { path, offset, seq, why } => {
                Self::Damaged { path: path.clone(), offset: *offset, seq: *seq, why: why.clone() }
            }
            Self::OtherSource { path, found, wanted } => {
                Self::OtherSource { path: path.clone(), found: found.clone(), wanted: wanted.clone() }
            }
            Self::BadEvent { origin, why } => Self::BadEvent { origin: origin.clone(), why: why.clone() },
            Self::Full { path, bytes } => Self::Full { path: path.clone(), bytes: *bytes },
            Self::Broken { path, why } => Self::Broken { path: path.clone(), why: why.clone() },
            Self::Closed(source) => Self::Closed(source.clone()),
        }
    }
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ". The disk is full: make room; the event was not published"
        }
        std::io::ErrorKind::PermissionDenied => ". The device's user must be allowed to write there",
        std::io::ErrorKind::ReadOnlyFilesystem => ". The file system is mounted read-only",
        _ => "",
    }
}

fn dir_of(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

pub(crate) fn io_error<'a>(
    path: &'a Path,
    doing: &'static str,
) -> impl FnOnce(std::io::Error) -> JournalError + 'a {
    move |source| JournalError::Io { path: path.to_owned(), doing, source }
}

/// How a journal behaves.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// A segment is closed when it has grown beyond this.
    pub segment_bytes: u64,
    /// This many acknowledged events are kept for other receivers than the ledger (rounded up to whole segments).
    pub keep_acked: u64,
    /// The journal refuses events beyond this size.
    pub max_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_bytes: 1 << 20, keep_acked: 10_000, max_bytes: 1 << 30 }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// A new journal was begun: a new numbering.
    pub created: bool,
    /// Events found.
    pub events: u64,
    /// The torn tail that was cut off, if there was one.
    pub cut: Option<Cut>,
}

/// A torn tail that was cut off. None of it had ever been published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Which file.
    pub path: PathBuf,
    /// Its size now.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: String,
}

/// A source's numbered events on disk. Blocking; [`EventPublisher`](crate::sequenced::EventPublisher) wraps it for
/// tasks.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    source: String,
    epoch: Uuid,
    options: JournalOptions,
    /// Oldest first; the last one is being written. Never empty.
    segments: Vec<Segment>,
    file: File,
    /// Appended since the last sync.
    pending: Vec<u8>,
    next_seq: u64,
    durable_seq: u64,
    broken: Option<String>,
    reader: SegmentReader,
    _lock: File,
}

impl Journal {
    /// Opens a source's journal, or begins one where there is none.
    ///
    /// # Errors
    /// [`JournalError`] when it is in use, another source's, or damaged.
    pub fn open(
        dir: &Path,
        source: &str,
        options: JournalOptions,
    ) -> Result<(Self, OpenReport), JournalError> {
        if source.is_empty() || source.len() > 255 {
            let why = "a source's id has 1 to 255 bytes".to_owned();
            return Err(JournalError::BadEvent { origin: source.to_owned(), why });
        }
        std::fs::create_dir_all(dir).map_err(io_error(dir, "create the directory"))?;
        let lock = segments::lock(dir)?;
        let mut cut = None;
        let mut found = segments::load(dir, source, &mut cut)?;
        let created = found.is_empty();
        if created {
            let header = Header { source: source.to_owned(), epoch: Uuid::now_v7(), first_seq: 1 };
            found.push(segments::create(dir, &header)?);
        }
        // `load` and `create` leave at least one segment.
        let Some(newest) = found.last() else { return Err(JournalError::Closed(source.to_owned())) };
        let (epoch, last_seq) = (newest.epoch, newest.last_seq());
        let file = newest.open_for_append()?;
        let journal = Self {
            dir: dir.to_owned(),
            source: source.to_owned(),
            epoch,
            options,
            segments: found,
            file,
            pending: Vec::new(),
            next_seq: last_seq + 1,
            durable_seq: last_seq,
            broken: None,
            reader: SegmentReader::default(),
            _lock: lock,
        };
        let events = journal.durable_seq + 1 - journal.first_seq();
        Ok((journal, OpenReport { created, events, cut }))
    }

    /// Which numbering.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Whose events.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Number of the oldest event that is still there; one more than [`Self::durable_seq`] when there is none.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.segments.first().map_or(self.next_seq, |segment| segment.first_seq)
    }

    /// Number of the newest durable event, 0 for none yet.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// Size on disk, with what is about to be written.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.size_bytes).sum::<u64>() + self.pending.len() as u64
    }

    /// Numbers an event and keeps it for the next [`Self::sync`]. It is not published yet.
    ///
    /// # Errors
    /// [`JournalError`] when it is no event of the contract, or the journal is full or broken.
    pub fn append(&mut self, time_us: i64, body: EventBody) -> Result<Event, JournalError> {
        if let Some(why) = &self.broken {
            return Err(JournalError::Broken { path: self.dir.clone(), why: why.clone() });
        }
        let bytes = self.size_bytes();
        if bytes >= self.options.max_bytes {
            return Err(JournalError::Full { path: self.dir.clone(), bytes });
        }
        let bad = |why: String| JournalError::BadEvent { origin: self.source.clone(), why };
        crate::check::check_body(&body).map_err(|p| bad(format!("at {}: {}", p.path, p.why)))?;
        let event =
            Event { source: self.source.clone(), epoch: self.epoch, seq: self.next_seq, time_us, body };
        let json = serde_json::to_vec(&event).map_err(|e| bad(e.to_string()))?;
        if json.len() > MAX_PAYLOAD_BYTES {
            return Err(bad(format!("it has {} bytes, at most {MAX_PAYLOAD_BYTES} are allowed", json.len())));
        }
        encode_record(&mut self.pending, event.seq, self.durable_seq, &json);
        self.next_seq += 1;
        Ok(event)
    }

    /// As [`Self::append`] for several events, all or none.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_all(&mut self, events: Vec<(i64, EventBody)>) -> Result<Vec<Event>, JournalError> {
        let (pending, next_seq) = (self.pending.len(), self.next_seq);
        let appended = events.into_iter().map(|(time_us, body)| self.append(time_us, body)).collect();
        if Result::<Vec<Event>, _>::is_err(&appended) {
            self.pending.truncate(pending);
            self.next_seq = next_seq;
        }
        appended
    }

    /// Makes everything appended durable: one write, one fsync. On failure none of it is, and its numbers are
    /// given out again.
    ///
    /// # Errors
    /// [`JournalError`], see the module's documentation.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let result = self.write_pending().and_then(|()| {
            let path = self.newest().path.clone();
            self.file.sync_data().map_err(io_error(&path, "make events durable")).inspect_err(|error| {
                // After a failed fsync the kernel may have dropped the pages: nobody knows what is on disk.
                self.broken = Some(error.to_string());
            })
        });
        if let Err(error) = result {
            self.pending.clear();
            self.next_seq = self.durable_seq + 1;
            let size = self.newest().size_bytes;
            if self.broken.is_none()
                && let Err(cut) = self.file.set_len(size).and_then(|()| self.file.sync_data())
            {
                self.broken = Some(format!("{error}; and cutting the file back failed: {cut}"));
            }
            return Err(error);
        }
        self.durable_seq = self.next_seq - 1;
        let (written, records) = (self.pending.len() as u64, self.next_seq);
        self.pending.clear();
        if let Some(newest) = self.segments.last_mut() {
            newest.size_bytes += written;
            newest.end_seq = records;
        }
        if self.newest().size_bytes >= self.options.segment_bytes {
            self.rotate();
        }
        Ok(())
    }

    /// Writes what was appended, without making it durable.
    fn write_pending(&mut self) -> Result<(), JournalError> {
        let path = self.newest().path.clone();
        self.file.write_all(&self.pending).map_err(io_error(&path, "write events"))
    }

    fn newest(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }

    /// Begins a new segment. Failing is no reason to refuse events: the old one just grows, and it is tried again
    /// with the next sync.
    fn rotate(&mut self) {
        let header =
            Header { source: self.source.clone(), epoch: self.epoch, first_seq: self.durable_seq + 1 };
        match segments::create(&self.dir, &header).and_then(|s| s.open_for_append().map(|file| (s, file))) {
            Ok((segment, file)) => {
                self.segments.push(segment);
                self.file = file;
            }
            Err(error) => tracing::warn!(%error, "the journal keeps writing to its old segment"),
        }
    }

    /// Reads durable events from a number on (or from the oldest there is), at most `max_events`, and stops after
    /// about `max_bytes`.
    ///
    /// # Errors
    /// [`JournalError`] when a file cannot be read or is damaged.
    pub fn read_from(
        &mut self,
        seq: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Event>, JournalError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut next = seq.max(self.first_seq());
        while next <= self.durable_seq && events.len() < max_events && bytes < max_bytes {
            let at = self.segments.partition_point(|s| s.first_seq <= next);
            let Some(segment) = at.checked_sub(1).and_then(|i| self.segments.get(i)) else { break };
            let (json, offset) = self.reader.read(segment, next)?;
            bytes += json.len();
            let event = codec::decode_event(json).map_err(|problem| JournalError::Damaged {
                path: segment.path.clone(),
                offset,
                seq: next,
                why: format!("at {}: {}", problem.path, problem.why),
            })?;
            events.push(event);
            next += 1;
        }
        Ok(events)
    }

    /// Deletes segments that the ledger has acknowledged up to this number and that are older than the events
    /// kept for others. Returns how many it deleted.
    ///
    /// # Errors
    /// [`JournalError::Io`] when a file cannot be deleted; the journal stays whole.
    pub fn trim_to(&mut self, acked_seq: u64) -> Result<usize, JournalError> {
        let last = acked_seq.min(self.durable_seq).saturating_sub(self.options.keep_acked);
        let mut deleted = 0;
        // The newest stays in any case: it carries the numbering.
        while self.segments.len() > 1 && self.segments[0].last_seq() <= last {
            let path = self.segments[0].path.clone();
            std::fs::remove_file(&path).map_err(io_error(&path, "delete an acknowledged segment"))?;
            self.segments.remove(0);
            deleted += 1;
        }
        if deleted > 0 {
            segments::sync_dir(&self.dir)?;
        }
        Ok(deleted)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::payload::VisitOpened;

    fn body() -> EventBody {
        EventBody::VisitOpened(VisitOpened { visit: "v".to_owned(), credential: None, party: 1 })
    }

    /// `/dev/full` fails every write as a full disk does, and cannot be cut back either.
    #[test]
    fn a_full_disk_publishes_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path(), "shelf-1", JournalOptions::default()).unwrap().0;
        let mut journal = open();
        journal.append(1, body()).unwrap();
        journal.sync().unwrap();
        let path = journal.newest().path.clone();
        let before = std::fs::read(&path).unwrap();
        journal.file = File::options().write(true).open("/dev/full").unwrap();
        journal.append(2, body()).unwrap();
        let error = journal.sync().unwrap_err().to_string();
        assert!(error.contains("disk is full") && error.contains("not published"), "{error}");
        assert_eq!(journal.durable_seq(), 1);
        assert!(matches!(journal.append(3, body()), Err(JournalError::Broken { .. })));
        drop(journal);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(open().durable_seq(), 1);
    }

    /// A write that fails half-way leaves nothing behind, and the journal goes on.
    #[test]
    fn a_failed_write_is_cut_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "shelf-1", JournalOptions::default()).unwrap().0;
        let path = journal.newest().path.clone();
        // A handle that may not write fails the write, and may not cut back either ...
        journal.file = File::open(&path).unwrap();
        journal.append(1, body()).unwrap();
        assert!(journal.sync().is_err());
        assert!(journal.broken.is_some(), "nobody knows what is on disk");
        // ... while half a record that was written is gone when the journal is opened again.
        drop(journal);
        File::options().append(true).open(&path).unwrap().write_all(&[1, 2, 3]).unwrap();
        let (mut journal, report) = Journal::open(dir.path(), "shelf-1", JournalOptions::default()).unwrap();
        assert_eq!(report.cut.map(|cut| cut.bytes), Some(3));
        journal.append(1, body()).unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.read_from(1, 10, 1_000).unwrap().len(), 1);
    }
}
