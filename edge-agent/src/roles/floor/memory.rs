//! What the floor role has heard, on disk for as long as somebody is in the store: a role that was killed hears it again
//! and is where it was.
//!
//! A folder of segments, `<number>.floor`, of lines: a checksum of eight hexadecimal digits, a space, a [`Record`] in
//! JSON. Each segment begins with a [`Base`], so that reading may begin with any of them. What was heard before the
//! first of those who are in the store came in is deleted, segment by segment; nothing older than [`OLDEST_US`] stays.
//!
//! There are places of people here, and how alike a camera found two of its tracklets, as a number: no frames, no
//! looks. The files are for their owner only.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use linefree_bus::payload::{Event, EventBody, Handlings, Line, People, ProductView};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A new segment is begun after so much event time ...
const SEGMENT_US: i64 = 60_000_000;
/// ... or when the last one has grown beyond this.
const SEGMENT_BYTES: u64 = 16 << 20;
/// What was heard so long before somebody came in may still matter to them.
const BEFORE_US: i64 = 20_000_000;
/// Visits older than this are known by their carts only.
pub(super) const OLDEST_US: i64 = 2 * 3_600_000_000;

/// Something that the floor role heard or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// Where a segment begins.
    Base(Box<Base>),
    /// People whom a camera saw.
    People(People),
    /// What a camera saw handled.
    View(ProductView),
    /// A numbered event.
    Event(Event),
    /// What robots handle.
    Handlings(Handlings),
    /// Event time went on to here, and what follows from everything before was published.
    Went {
        /// To where.
        us: i64,
    },
    /// The role was away.
    Unwatched {
        /// Since when.
        from_us: i64,
        /// Until when.
        until_us: i64,
    },
}

impl Record {
    /// The moment that it is about.
    fn time_us(&self) -> i64 {
        match self {
            Self::People(people) => people.time_us,
            Self::View(view) => view.time_us,
            Self::Event(event) => match &event.body {
                EventBody::ShelfChanged(changed) => changed.end_us.max(event.time_us),
                _ => event.time_us,
            },
            Self::Base(_) | Self::Handlings(_) | Self::Went { .. } | Self::Unwatched { .. } => i64::MIN,
        }
    }
}

/// What must be known to begin reading with a segment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Base {
    /// How far event time had gone.
    pub us: Option<i64>,
    /// Visits opened until then.
    pub opened: u64,
    /// Up to which number each source's events had been taken.
    pub taken: Vec<(String, Uuid, u64)>,
    /// The latest that each camera had told.
    pub cameras: BTreeMap<String, i64>,
    /// Who was in the store, and with what.
    pub open: Vec<OpenVisit>,
    /// What had been heard of moments to come.
    pub waiting: Vec<Record>,
}

/// Somebody in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenVisit {
    /// The visit.
    pub visit: String,
    /// Who pays.
    pub credential: Option<String>,
    /// How many they are.
    pub party: u32,
    /// Since when.
    pub entered_us: i64,
    /// What they hold.
    pub lines: Vec<Line>,
}

struct Segment {
    path: PathBuf,
    /// Event time at its beginning.
    us: Option<i64>,
}

/// The log.
pub(super) struct Memory {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    next: u64,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// Heard, of moments to come.
    waiting: VecDeque<Record>,
    /// The last thing that went wrong; nothing is written until the next segment.
    failed: bool,
}

impl Memory {
    /// Opens the log and gives what it holds, oldest first, beginning with a base; empty where there is none.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<Record>)> {
        fs::create_dir_all(dir)?;
        let mut numbers: Vec<u64> = fs::read_dir(dir)?
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_suffix(".floor")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let mut memory = Self {
            dir: dir.to_owned(),
            segments: VecDeque::new(),
            next: numbers.last().map_or(1, |n| n + 1),
            file: None,
            bytes: 0,
            waiting: VecDeque::new(),
            failed: false,
        };
        let (mut records, mut whole) = (Vec::new(), true);
        for number in numbers {
            let path = memory.path(number);
            // What follows something damaged is of no use without it.
            let (read, good) = if whole { read(&path)? } else { (Vec::new(), Some(0)) };
            let base = match read.first() {
                Some(Record::Base(base)) => base.us,
                _ => {
                    tracing::warn!(path = %path.display(), "what the floor had heard is not whole from here on");
                    whole = false;
                    fs::remove_file(&path)?;
                    continue;
                }
            };
            if let Some(bytes) = good {
                // The last line of a process that was killed is often a part of one.
                OpenOptions::new().write(true).open(&path)?.set_len(bytes)?;
                whole = false;
            }
            records.extend(read);
            memory.segments.push_back(Segment { path, us: base });
        }
        Ok((memory, records))
    }

    /// After reading: what was heard of moments after `us` still waits.
    pub fn remember(&mut self, records: impl IntoIterator<Item = Record>, us: i64) {
        self.waiting.extend(records.into_iter().filter(|r| r.time_us() > us.max(i64::MIN + 1)));
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}.floor"))
    }

    /// Writes something down; it is on disk after the next [`Self::flush`] that syncs.
    pub fn note(&mut self, record: Record) {
        self.write(&record);
        if record.time_us() > i64::MIN {
            self.waiting.push_back(record);
        }
    }

    fn write(&mut self, record: &Record) {
        let Some(file) = self.file.as_mut().filter(|_| !self.failed) else { return };
        match line(record).and_then(|line| file.write_all(line.as_bytes()).map(|()| line.len())) {
            Ok(bytes) => self.bytes += bytes as u64,
            Err(why) => self.fail(&why),
        }
    }

    fn fail(&mut self, why: &io::Error) {
        if !self.failed {
            tracing::error!(dir = %self.dir.display(), %why, "what the floor hears cannot be kept: who is in the store now would be known by their carts only");
        }
        self.failed = true;
    }

    /// Hands everything to the system, which survives this process; to the disk too, which survives the system.
    pub fn flush(&mut self, sync: bool) {
        let Some(file) = self.file.as_mut().filter(|_| !self.failed) else { return };
        let done = file.flush().and_then(|()| if sync { file.get_ref().sync_data() } else { Ok(()) });
        if let Err(why) = done {
            self.fail(&why);
        }
    }

    /// Could the last thing not be written?
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Forgets what waits for moments that have passed.
    pub fn went(&mut self, us: i64) {
        self.waiting.retain(|record| record.time_us() > us);
    }

    /// Is it time for a new segment?
    pub fn is_due(&self, us: i64) -> bool {
        let began = self.segments.back().and_then(|s| s.us);
        self.file.is_none()
            || self.bytes >= SEGMENT_BYTES
            || began.is_none_or(|began| us - began >= SEGMENT_US)
    }

    /// Begins a segment, and deletes those that nobody in the store needs any more.
    pub fn begin(&mut self, mut base: Base) {
        self.flush(false);
        base.waiting = self.waiting.iter().cloned().collect();
        if self.failed {
            // There is something missing in them.
            self.delete(self.segments.len());
            self.failed = false;
        }
        let now_us = base.us.unwrap_or(i64::MAX);
        let young = base.open.iter().map(|v| v.entered_us).filter(|e| now_us.saturating_sub(*e) <= OLDEST_US);
        let needed_us = young.min().unwrap_or(now_us).saturating_sub(BEFORE_US);
        let path = self.path(self.next);
        let us = base.us;
        match OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path) {
            Ok(file) => self.file = Some(BufWriter::new(file)),
            Err(why) => return self.fail(&why),
        }
        (self.next, self.bytes) = (self.next + 1, 0);
        self.segments.push_back(Segment { path, us });
        self.write(&Record::Base(Box::new(base)));
        self.flush(false);
        let starts = self.segments.iter().rposition(|s| s.us.is_some_and(|us| us <= needed_us));
        self.delete(starts.unwrap_or(0));
    }

    /// Deletes the oldest segments.
    fn delete(&mut self, count: usize) {
        for segment in self.segments.drain(..count) {
            if let Err(why) = fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %why, "what the floor had heard is not deleted");
            }
        }
    }

    /// Everybody has left for good.
    pub fn clear(mut self) {
        self.delete(self.segments.len());
    }
}

fn line(record: &Record) -> io::Result<String> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// A segment's records up to the first that is not whole, and where that one begins.
fn read(path: &Path) -> io::Result<(Vec<Record>, Option<u64>)> {
    let bytes = fs::read(path)?;
    let (mut records, mut at) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let record = std::str::from_utf8(line).ok().and_then(|line| {
            let (sum, json) = line.strip_suffix('\n')?.split_once(' ')?;
            let right = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json.as_bytes());
            if right { serde_json::from_str(json).ok() } else { None }
        });
        match record {
            Some(record) => records.push(record),
            None => return Ok((records, Some(at))),
        }
        at += line.len() as u64;
    }
    Ok((records, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn people(time_us: i64) -> Record {
        Record::People(People { camera: "cam1".into(), time_us, people: Vec::new() })
    }

    fn base(us: i64, entered_us: &[i64]) -> Base {
        let visit = |entered_us: &i64| OpenVisit {
            visit: format!("v-{entered_us}-1"),
            credential: Some("ada".into()),
            party: 1,
            entered_us: *entered_us,
            lines: Vec::new(),
        };
        Base { us: Some(us), opened: 1, open: entered_us.iter().map(visit).collect(), ..Base::default() }
    }

    fn segments(dir: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_was_heard_is_there_after_a_kill_wherever_the_last_line_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, records) = Memory::open(dir.path()).unwrap();
        assert!(records.is_empty());
        memory.begin(base(0, &[]));
        for us in 1..=3 {
            memory.note(people(us));
            memory.note(Record::Went { us });
        }
        memory.flush(false);
        drop(memory);
        let path = segments(dir.path()).remove(0);
        let whole = fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for cut in last..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (memory, records) = Memory::open(dir.path()).unwrap();
            assert_eq!(records.len(), if cut == whole.len() { 7 } else { 6 }, "cut at {cut}");
            assert!(matches!(records[0], Record::Base(_)));
            // What is written now is found again after another kill.
            drop(memory);
            let (mut memory, _) = Memory::open(dir.path()).unwrap();
            memory.begin(base(3, &[0]));
            memory.note(people(9));
            memory.flush(true);
            drop(memory);
            let (_, records) = Memory::open(dir.path()).unwrap();
            assert_eq!(records.last(), Some(&people(9)), "cut at {cut}");
            segments(dir.path()).into_iter().skip(1).for_each(|extra| fs::remove_file(extra).unwrap());
        }
    }

    #[test]
    fn a_flipped_bit_ends_what_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, _) = Memory::open(dir.path()).unwrap();
        memory.begin(base(0, &[]));
        (1..=5).for_each(|us| memory.note(people(us)));
        memory.flush(false);
        let path = segments(dir.path()).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (_, records) = Memory::open(dir.path()).unwrap();
        assert!(records.len() < 6 && !records.is_empty(), "{records:?}");
        assert!(records.iter().skip(1).enumerate().all(|(i, r)| *r == people(i as i64 + 1)));
    }

    #[test]
    fn what_belongs_to_ended_visits_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, _) = Memory::open(dir.path()).unwrap();
        // Somebody enters in minute 3 and leaves in minute 8.
        for minute in 0..10 {
            let here = if (3..8).contains(&minute) { &[3 * MINUTE_US][..] } else { &[] };
            memory.begin(base(minute * MINUTE_US, here));
            memory.note(people(minute * MINUTE_US + 1));
            let kept = segments(dir.path()).len();
            // A segment for what was just before, the visit's, and the one that is written.
            let most = if here.is_empty() { 2 } else { minute as usize - 3 + 2 };
            assert!(kept <= most, "minute {minute}: {kept} segments");
        }
        drop(memory);
        let (memory, records) = Memory::open(dir.path()).unwrap();
        assert!(!format!("{records:?}").contains("ada"), "{records:?}");
        memory.clear();
        assert!(segments(dir.path()).is_empty());
    }

    #[test]
    fn somebody_who_never_leaves_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, _) = Memory::open(dir.path()).unwrap();
        for minute in 0..300 {
            memory.begin(base(minute * MINUTE_US, &[0]));
        }
        assert!(segments(dir.path()).len() <= (OLDEST_US / MINUTE_US) as usize + 2);
    }

    #[test]
    fn what_waits_for_its_moment_is_in_the_next_segment_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, _) = Memory::open(dir.path()).unwrap();
        memory.begin(base(0, &[]));
        memory.note(people(5));
        memory.note(people(15));
        memory.went(10);
        memory.begin(base(10, &[]));
        drop(memory);
        let (_, records) = Memory::open(dir.path()).unwrap();
        let Some(Record::Base(base)) = records.last() else { panic!("{records:?}") };
        assert_eq!(base.waiting, [people(15)]);
    }
}
