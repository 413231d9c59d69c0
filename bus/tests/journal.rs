//! The journal against a model: a list of events, and crashes at any byte.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

use linefree_bus::journal::{Journal, JournalError, JournalOptions};
use linefree_bus::payload::{EventBody, VisitOpened};
use proptest::prelude::*;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

fn body(n: u64, padding: usize) -> EventBody {
    let credential = Some("x".repeat(padding));
    EventBody::VisitOpened(VisitOpened { visit: format!("v{n}"), credential, party: 1 })
}

fn small() -> JournalOptions {
    JournalOptions { segment_bytes: 600, keep_acked: 3, max_bytes: 1 << 20 }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, "shelf-1", small()).unwrap().0
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "journal"))
        .collect();
    paths.sort();
    paths
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Everything there is, by number and time, read in odd little steps.
fn contents(journal: &mut Journal) -> Vec<(u64, i64)> {
    let mut found = Vec::new();
    let mut next = journal.first_seq();
    loop {
        let events = journal.read_from(next, 3, 1 << 20).unwrap();
        let Some(last) = events.last() else { return found };
        next = last.seq + 1;
        found.extend(events.iter().map(|e| (e.seq, e.time_us)));
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Append that many events of about that size, then sync.
    Publish(usize, usize),
    /// Append, write, and lose power before the sync: the file keeps this share of what was written.
    Crash(usize, usize, f64),
    /// The same, but what is kept beyond the share is noise.
    CrashWithNoise(usize, usize, f64, u8),
    /// The ledger has acknowledged this share of what is there.
    Ack(f64),
    /// Close and open.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let count = 1..6_usize;
    let padding = 0..400_usize;
    prop_oneof![
        4 => (count.clone(), padding.clone()).prop_map(|(c, p)| Step::Publish(c, p)),
        3 => (count.clone(), padding.clone(), 0.0..1.0).prop_map(|(c, p, k)| Step::Crash(c, p, k)),
        2 => (count, padding, 0.0..1.0, any::<u8>()).prop_map(|(c, p, k, x)| Step::CrashWithNoise(c, p, k, x)),
        1 => (0.0..1.0).prop_map(Step::Ack),
        1 => Just(Step::Reopen),
    ]
}

/// What a power cut in the middle of a sync leaves: appends are written by a twin journal over a copy, and of the
/// bytes it added the given share is put behind the real one's durable bytes.
fn crash(dir: &Path, journal: Journal, count: usize, padding: usize, keep: f64, noise: Option<u8>) {
    drop(journal);
    let newest = segments(dir).pop().unwrap();
    let durable = size(&newest);
    let twin = tempfile::tempdir().unwrap();
    for path in segments(dir) {
        std::fs::copy(&path, twin.path().join(path.file_name().unwrap())).unwrap();
    }
    let options = JournalOptions { segment_bytes: u64::MAX, ..small() };
    let mut twin_journal = Journal::open(twin.path(), "shelf-1", options).unwrap().0;
    for n in 0..count {
        twin_journal.append(-1, body(n as u64, padding)).unwrap();
    }
    twin_journal.sync().unwrap();
    let mut written = Vec::new();
    let mut twin_file = File::open(twin.path().join(newest.file_name().unwrap())).unwrap();
    twin_file.seek(SeekFrom::Start(durable)).unwrap();
    twin_file.read_to_end(&mut written).unwrap();
    let kept = (written.len() as f64 * keep) as usize;
    match noise {
        // Power cuts also leave the end of a write without its middle: flip a byte and keep the rest.
        Some(flip) if kept < written.len() => written[kept] ^= flip | 1,
        _ => written.truncate(kept),
    }
    OpenOptions::new().append(true).open(&newest).unwrap().write_all(&written).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_durable_stays_and_numbers_have_no_gap(steps in prop::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path());
        let epoch = journal.epoch();
        // Every number that was ever durable, by its position, with its time; -1 for what a crash let through.
        let mut model: Vec<i64> = Vec::new();
        let mut clock = 0;
        let mut acked = 0;
        for step in steps {
            match step {
                Step::Publish(count, padding) => {
                    for _ in 0..count {
                        clock += 1;
                        let event = journal.append(clock, body(clock as u64, padding)).unwrap();
                        model.push(clock);
                        prop_assert_eq!(event.seq, model.len() as u64);
                    }
                    journal.sync().unwrap();
                }
                Step::Crash(count, padding, keep) => {
                    crash(dir.path(), journal, count, padding, keep, None);
                    journal = open(dir.path());
                    let survived = journal.durable_seq() as usize;
                    prop_assert!(survived >= model.len() && survived < model.len() + count, "{} {}", survived, model.len());
                    model.resize(survived, -1);
                }
                Step::CrashWithNoise(count, padding, keep, flip) => {
                    crash(dir.path(), journal, count, padding, keep, Some(flip));
                    journal = open(dir.path());
                    let survived = journal.durable_seq() as usize;
                    prop_assert!(survived >= model.len() && survived <= model.len() + count);
                    model.resize(survived, -1);
                }
                Step::Ack(share) => {
                    acked = acked.max((model.len() as f64 * share) as u64);
                    journal.trim_to(acked).unwrap();
                }
                Step::Reopen => {
                    drop(journal);
                    journal = open(dir.path());
                }
            }
            prop_assert_eq!(journal.epoch(), epoch);
            prop_assert_eq!(journal.durable_seq(), model.len() as u64);
            let first = journal.first_seq();
            // Never more trimmed than acknowledged, less what is kept for others.
            prop_assert!(first <= acked.saturating_sub(small().keep_acked) + 1);
            let expected: Vec<(u64, i64)> =
                (first..=model.len() as u64).map(|seq| (seq, model[seq as usize - 1])).collect();
            prop_assert_eq!(contents(&mut journal), expected);
        }
    }

    /// Any damaged byte of what was durable is either noticed or (in the last write) cut and reported, never
    /// served as an event.
    #[test]
    fn damage_is_never_served(at in 0.0..1.0_f64, flip in 1..=255_u8) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path());
        for n in 1..=12 {
            journal.append(n, body(n as u64, 20)).unwrap();
            journal.sync().unwrap();
        }
        drop(journal);
        let paths = segments(dir.path());
        prop_assert!(paths.len() > 1);
        let total: u64 = paths.iter().map(|p| size(p)).sum();
        let mut offset = (total as f64 * at) as u64;
        let mut hit = 0;
        while offset >= size(&paths[hit]) {
            offset -= size(&paths[hit]);
            hit += 1;
        }
        let mut bytes = std::fs::read(&paths[hit]).unwrap();
        bytes[offset as usize] ^= flip;
        std::fs::write(&paths[hit], bytes).unwrap();
        match Journal::open(dir.path(), "shelf-1", small()) {
            Err(JournalError::Damaged { path, offset: found, .. }) => {
                prop_assert_eq!(&path, &paths[hit]);
                prop_assert!(found <= offset);
            }
            Err(other) => prop_assert!(false, "{}", other),
            Ok((mut journal, report)) => {
                // Only the very last record has no later one that proves it.
                let cut = report.cut.expect("damage went unnoticed");
                prop_assert_eq!(&cut.path, paths.last().unwrap());
                prop_assert_eq!(journal.durable_seq(), 11);
                let expected: Vec<(u64, i64)> = (1..=11).map(|n| (n, n as i64)).collect();
                prop_assert_eq!(contents(&mut journal), expected);
            }
        }
    }
}

#[test]
fn one_process_at_a_time_and_one_source_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let error = Journal::open(dir.path(), "shelf-1", small()).unwrap_err();
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
    drop(journal);
    let error = Journal::open(dir.path(), "shelf-2", small()).unwrap_err().to_string();
    assert!(error.contains("shelf-1") && error.contains("shelf-2"), "{error}");
}

#[test]
fn a_lost_disk_begins_a_new_numbering() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, report) = Journal::open(dir.path(), "shelf-1", small()).unwrap();
    assert!(report.created);
    let epoch = journal.epoch();
    drop(journal);
    let (journal, report) = Journal::open(dir.path(), "shelf-1", small()).unwrap();
    assert!(!report.created && journal.epoch() == epoch);
    drop(journal);
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert!(open(dir.path()).epoch() > epoch, "epochs sort by time");
}

#[test]
fn a_missing_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    for n in 1..=20 {
        journal.append(n, body(n as u64, 100)).unwrap();
        journal.sync().unwrap();
    }
    drop(journal);
    let paths = segments(dir.path());
    assert!(paths.len() > 3);
    std::fs::remove_file(&paths[1]).unwrap();
    let error = Journal::open(dir.path(), "shelf-1", small()).unwrap_err().to_string();
    assert!(error.contains(&paths[2].display().to_string()) && error.contains("missing"), "{error}");
    assert!(error.contains("move the directory away"), "an error says what to do: {error}");
}

#[test]
fn what_cannot_be_read_back_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    assert!(matches!(journal.append(1, body(1, 300_000)), Err(JournalError::BadEvent { .. })));
    let good = (1, body(1, 1));
    assert!(journal.append_all(vec![good.clone(), (1, body(1, 300_000))]).is_err());
    assert_eq!(journal.append_all(vec![good]).unwrap()[0].seq, 1);
    journal.sync().unwrap();
    assert_eq!(contents(&mut journal), [(1, 1)]);
}

#[test]
fn a_full_journal_says_who_is_to_blame() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { max_bytes: 2_000, ..small() };
    let mut journal = Journal::open(dir.path(), "shelf-1", options).unwrap().0;
    let error = loop {
        match journal.append(1, body(1, 100)) {
            Ok(_) => journal.sync().unwrap(),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, JournalError::Full { .. }) && error.to_string().contains("store-sync"),
        "{error}"
    );
    let last = journal.durable_seq();
    journal.trim_to(last).unwrap();
    journal.append(2, body(2, 1)).unwrap();
}
