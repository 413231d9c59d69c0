//! A segment's bytes. Sans-IO: everything here works on slices, so that tests can cut and flip at any byte.
//!
//! All integers are little-endian.
//!
//! | header | bytes | |
//! | --- | --- | --- |
//! | magic | 8 | `LFJRNL\r\n`: a text-mode copy breaks it visibly |
//! | version | 4 | 1 |
//! | source length | 4 | at most 255 |
//! | epoch | 16 | the numbering this segment belongs to |
//! | first number | 8 | number of its first record |
//! | source | .. | UTF-8 |
//! | crc32 | 4 | of everything before it |
//!
//! | record | bytes | |
//! | --- | --- | --- |
//! | length | 4 | of the JSON, at most the bus's payload limit |
//! | crc32 | 4 | of the rest of the record |
//! | number | 8 | one more than the record before it |
//! | durable | 8 | highest number known to be on disk when this record was written |
//! | JSON | length | the event as it goes out on the bus |
//!
//! `durable` tells a torn tail from a corrupted middle. A power cut may leave any part of the last, unsynced write
//! on disk, also its end without its beginning. A damaged record whose number no later record calls durable was
//! never acknowledged to anybody and is cut; any other damage is an error.

use crate::codec::MAX_PAYLOAD_BYTES;
use uuid::Uuid;

const MAGIC: [u8; 8] = *b"LFJRNL\r\n";
const VERSION: u32 = 1;
const HEADER_FIXED: usize = 40;
const CRC: usize = 4;
/// Bytes of a record before its JSON.
pub const RECORD_HEAD: usize = 24;

/// What a segment's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose events.
    pub source: String,
    /// Which numbering.
    pub epoch: Uuid,
    /// Number of the first record.
    pub first_seq: u64,
}

/// One record within a segment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub seq: u64,
    /// Highest number that was durable when it was written.
    pub durable_seq: u64,
    /// The event's JSON.
    pub json: &'a [u8],
}

impl Record<'_> {
    /// Its size on disk.
    pub fn size(&self) -> usize {
        RECORD_HEAD + self.json.len()
    }
}

/// A segment's first bytes.
pub fn encode_header(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_FIXED + header.source.len() + CRC);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    // Sources are checked to be short when the journal is opened.
    bytes.extend((header.source.len() as u32).to_le_bytes());
    bytes.extend(header.epoch.as_bytes());
    bytes.extend(header.first_seq.to_le_bytes());
    bytes.extend(header.source.as_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// Reads a segment's header; gives its size as well.
///
/// # Errors
/// What is wrong with it.
pub fn decode_header(bytes: &[u8]) -> Result<(Header, usize), &'static str> {
    if bytes.len() < HEADER_FIXED {
        return Err("the file is shorter than a header");
    }
    if bytes[..8] != MAGIC {
        return Err("it does not begin with a journal's magic bytes");
    }
    if u32_at(bytes, 8) != VERSION {
        return Err("it is of a version that this program does not know");
    }
    let source_len = u32_at(bytes, 12) as usize;
    let size = HEADER_FIXED + source_len + CRC;
    if source_len > 255 || bytes.len() < size {
        return Err("the header is incomplete");
    }
    if crc32fast::hash(&bytes[..size - CRC]) != u32_at(bytes, size - CRC) {
        return Err("the header's checksum is wrong");
    }
    let Ok(source) = std::str::from_utf8(&bytes[HEADER_FIXED..HEADER_FIXED + source_len]) else {
        return Err("the header's source is no text");
    };
    let mut epoch = [0; 16];
    epoch.copy_from_slice(&bytes[16..32]);
    let header =
        Header { source: source.to_owned(), epoch: Uuid::from_bytes(epoch), first_seq: u64_at(bytes, 32) };
    Ok((header, size))
}

/// Appends a record to `out`.
pub fn encode_record(out: &mut Vec<u8>, seq: u64, durable_seq: u64, json: &[u8]) {
    let start = out.len();
    // The codec has checked that an event's JSON is far shorter than a u32 can say.
    out.extend((json.len() as u32).to_le_bytes());
    out.extend([0; 4]);
    out.extend(seq.to_le_bytes());
    out.extend(durable_seq.to_le_bytes());
    out.extend(json);
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The record at an offset.
///
/// # Errors
/// What is wrong with it.
pub fn decode_record(bytes: &[u8], offset: usize) -> Result<Record<'_>, &'static str> {
    let Some(bytes) = bytes.get(offset..).filter(|rest| rest.len() >= RECORD_HEAD) else {
        return Err("the record's head is incomplete");
    };
    let length = u32_at(bytes, 0) as usize;
    if length == 0 || length > MAX_PAYLOAD_BYTES {
        return Err("the record's length is impossible");
    }
    let Some(record) = bytes.get(..RECORD_HEAD + length) else {
        return Err("the record is incomplete");
    };
    if crc32fast::hash(&record[8..]) != u32_at(record, 4) {
        return Err("the record's checksum is wrong");
    }
    Ok(Record { seq: u64_at(record, 8), durable_seq: u64_at(record, 16), json: &record[RECORD_HEAD..] })
}

/// What a scan of a segment found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Number of the last good record; one less than the segment's first when there is none.
    pub last_seq: u64,
    /// Where the good records end.
    pub good_bytes: usize,
    /// What stands after them.
    pub tail: Tail,
}

/// What stands after the good records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Bytes that were never acknowledged to anybody: may be cut.
    Torn(&'static str),
    /// A damaged record that had been durable: must not be cut.
    Corrupt(&'static str),
}

/// Walks over all records from `offset`, which must be numbered from `first_seq` without a gap.
pub fn scan(bytes: &[u8], offset: usize, first_seq: u64) -> Scan {
    let mut at = offset;
    let mut next = first_seq;
    let why = loop {
        if at == bytes.len() {
            return Scan { last_seq: next - 1, good_bytes: at, tail: Tail::Clean };
        }
        match decode_record(bytes, at) {
            Ok(record) if record.seq == next => {
                at += record.size();
                next += 1;
            }
            Ok(_) => break "the record's number does not follow",
            Err(why) => break why,
        }
    };
    let tail = if durable_after(bytes, at, next) { Tail::Corrupt(why) } else { Tail::Torn(why) };
    Scan { last_seq: next - 1, good_bytes: at, tail }
}

/// Does any whole record after `offset` prove that number `seq` had been durable?
fn durable_after(bytes: &[u8], offset: usize, seq: u64) -> bool {
    (offset..bytes.len().saturating_sub(RECORD_HEAD)).any(|at| {
        // The two cheap comparisons reject nearly every offset before a checksum is taken.
        let durable = u64_at(bytes, at + 16);
        let found = u64_at(bytes, at + 8);
        durable >= seq && durable < found && decode_record(bytes, at).is_ok()
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut le = [0; 4];
    le.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(le)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut le = [0; 8];
    le.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(le)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(records: &[(u64, u64)]) -> (Vec<u8>, usize) {
        let header = Header { source: "shelf-1".to_owned(), epoch: Uuid::from_u128(9), first_seq: 5 };
        let mut bytes = encode_header(&header);
        let size = bytes.len();
        assert_eq!(decode_header(&bytes), Ok((header, size)));
        for (seq, durable) in records {
            encode_record(&mut bytes, *seq, *durable, format!("{{\"n\":{seq}}}").as_bytes());
        }
        (bytes, size)
    }

    #[test]
    fn whole_segments_scan_clean() {
        let (bytes, start) = segment(&[(5, 4), (6, 5), (7, 5)]);
        assert_eq!(scan(&bytes, start, 5), Scan { last_seq: 7, good_bytes: bytes.len(), tail: Tail::Clean });
    }

    #[test]
    fn a_hole_is_torn_unless_a_later_record_calls_it_durable() {
        // 6 and 7 were one write: 6's damage is a torn tail, although 7 is whole.
        let (mut bytes, start) = segment(&[(5, 4), (6, 5), (7, 5)]);
        let size = (bytes.len() - start) / 3;
        bytes[start + size + 10] ^= 1;
        let found = scan(&bytes, start, 5);
        assert_eq!((found.last_seq, found.good_bytes), (5, start + size));
        assert!(matches!(found.tail, Tail::Torn(_)));
        // 6 was durable before 7 was written: its damage must not be cut away.
        let (mut bytes, start) = segment(&[(5, 4), (6, 5), (7, 6)]);
        bytes[start + size + 10] ^= 1;
        assert!(matches!(scan(&bytes, start, 5).tail, Tail::Corrupt(_)));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let (bytes, start) = segment(&[]);
        for bit in 0..start * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_header(&bad).is_err(), "bit {bit}");
        }
    }
}
