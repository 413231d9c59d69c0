//! A serial scale on a pseudo-terminal: what a scale does to its line, the driver must stand.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use linefree_domain::ids::PlateIndex;
use linefree_hardware::clock::LiveClock;
use linefree_hardware::scale::{Scale, SerialProtocol, SerialScale, SerialSettings};
use linefree_hardware::tty::Parity;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The scale's end of a line, and the name of our end.
fn line() -> (File, PathBuf) {
    let controller: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    (File::from(controller), PathBuf::from(name.into_string().unwrap()))
}

fn scale(path: PathBuf, protocol: SerialProtocol, plates: usize) -> SerialScale {
    let settings = SerialSettings { path, baud: 9_600, parity: Parity::None, protocol };
    let plates = (0..plates).map(|i| (PlateIndex(i), format!("1/1/{i}"), 1.0)).collect();
    SerialScale::new(settings, plates, LiveClock::default())
}

/// The next sample that says something.
fn weights(scale: &mut SerialScale) -> Vec<f64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let sample = scale.next_sample().unwrap().unwrap();
        if !sample.weights_g.is_empty() {
            return sample.weights_g.iter().map(|(_, g)| *g).collect();
        }
        assert!(Instant::now() < deadline, "nothing came: {:?}", scale.take_faults());
    }
}

#[test]
fn lines_become_samples_and_rubbish_a_fault() {
    let (mut far, path) = line();
    let mut scale = scale(path, SerialProtocol::And, 1);
    assert!(scale.next_sample().unwrap().unwrap().weights_g.is_empty(), "it only opens the line");
    far.write_all(b"0123.4 g\r\nST,+00538.0  g\r\n\xff\xfe garbage\r\nST,+0053").unwrap();
    assert_eq!(weights(&mut scale), [538.0], "the torn first line was used");
    far.write_all(b"9.5  g\r\nOL,+9999.9  g\r\n").unwrap();
    assert_eq!(weights(&mut scale), [539.5]);
    assert!(weights(&mut scale)[0].is_nan());
    let told: Vec<_> = scale.take_faults().iter().map(|f| (f.kind.name(), f.cleared)).collect();
    assert_eq!(told, [("malformed_line", false), ("malformed_line", true), ("saturated", false)]);
}

#[test]
fn mt_sics_is_asked_to_speak() {
    let (mut far, path) = line();
    let mut scale = scale(path, SerialProtocol::Sics, 1);
    scale.next_sample().unwrap();
    let mut asked = [0; 5];
    far.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"SIR\r\n");
    far.write_all(b"S S\r\nS D      -1.50 kg\r\n").unwrap();
    assert_eq!(weights(&mut scale), [-1500.0]);
}

#[test]
fn a_line_without_end_does_not_grow_for_ever() {
    let (mut far, path) = line();
    let mut scale = scale(path, SerialProtocol::Csv, 3);
    scale.next_sample().unwrap();
    for _ in 0..4 {
        far.write_all(&[b'7'; 700]).unwrap();
        scale.next_sample().unwrap();
    }
    far.write_all(b"\n1,,3\n").unwrap();
    assert_eq!(weights(&mut scale), [1.0, 3.0]);
    let first = &scale.take_faults()[0];
    assert!(first.kind.name() == "malformed_line" && first.message.contains("baud"), "{first:?}");
}

#[test]
fn a_pulled_cable_is_told_and_tried_again() {
    let (far, path) = line();
    // Behind a name of our own: the system gives a terminal's number to the next who asks, perhaps another test.
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("tty");
    std::os::unix::fs::symlink(path, &name).unwrap();
    let mut scale = scale(name.clone(), SerialProtocol::Plain, 1);
    scale.next_sample().unwrap();
    std::fs::remove_file(name).unwrap();
    drop(far);
    let deadline = Instant::now() + Duration::from_secs(10);
    let lost = loop {
        scale.next_sample().unwrap();
        if let Some(fault) = scale.take_faults().pop() {
            break fault;
        }
        assert!(Instant::now() < deadline, "the loss was not noticed");
    };
    assert!(lost.kind.name() == "scale_lost" && !lost.cleared, "{lost:?}");
}
