//! Faults of devices: counted always, reported at a bounded rate.
//!
//! A scale that says NaN says it 80 times a second. [`FaultLog`] counts every occurrence but reports one fault of one
//! device at most once an interval, and once more when it is over. Time is passed in, so that replay reports what
//! the live run did.
//!
//! # Limits
//! At most [`MAX_WAITING`] reports wait to be taken; further ones are dropped and counted as
//! `fault_reports_dropped`. State is kept per device and kind: it is bounded by the number of devices.

use std::collections::{BTreeMap, VecDeque};

use linefree_domain::time::StoreTime;

/// Reports that may wait in a [`FaultLog`].
pub const MAX_WAITING: usize = 256;

/// What can be wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A video file ended before its header said so.
    TruncatedVideo,
    /// A camera stream is not there, or was lost.
    NoFrames,
    /// An image of an image folder cannot be decoded.
    UnreadableImage,
    /// A camera changed the size of its images: its calibration no longer holds.
    SizeChanged,
    /// A plate reported not a number.
    NanWeight,
    /// A plate reported a weight it cannot carry.
    AbsurdWeight,
    /// A plate repeats one value as no living sensor does.
    Stuck,
    /// A plate or scale has not reported for too long.
    NoSamples,
    /// A scale reports faster than it can.
    TooManySamples,
    /// Samples went back in time.
    OutOfOrder,
    /// A scale, or a plate's converter, does not answer.
    ScaleLost,
    /// A plate's amplifier is beyond its range.
    Saturated,
    /// A scale sends what is not of its protocol.
    MalformedLine,
    /// A gate's lock, or its code reader, does not answer.
    GateLost,
    /// A fire alarm: the gate stands open.
    FireAlarm,
}

impl FaultKind {
    /// The machine-readable name, as it stands on the bus and in counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncatedVideo => "truncated_video",
            Self::NoFrames => "no_frames",
            Self::UnreadableImage => "unreadable_image",
            Self::SizeChanged => "size_changed",
            Self::NanWeight => "nan_weight",
            Self::AbsurdWeight => "absurd_weight",
            Self::Stuck => "stuck",
            Self::NoSamples => "no_samples",
            Self::TooManySamples => "too_many_samples",
            Self::OutOfOrder => "out_of_order",
            Self::ScaleLost => "scale_lost",
            Self::Saturated => "saturated",
            Self::MalformedLine => "malformed_line",
            Self::GateLost => "gate_lost",
            Self::FireAlarm => "fire_alarm",
        }
    }
}

/// A report: a device is faulty, or well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is faulty: a plate id, a camera's name, a scale's name.
    pub device: String,
    /// What is wrong with it.
    pub kind: FaultKind,
    /// For people: what was seen and what to do.
    pub message: String,
    /// How often it was seen so far, on this device.
    pub times: u64,
    /// True when the fault is over.
    pub cleared: bool,
}

#[derive(Debug, Default)]
struct State {
    times: u64,
    reported: bool,
    last_report: Option<StoreTime>,
}

/// Counts faults and lets reports of them through at a bounded rate.
#[derive(Debug)]
pub struct FaultLog {
    interval_s: f64,
    states: BTreeMap<(String, FaultKind), State>,
    counters: BTreeMap<&'static str, u64>,
    waiting: VecDeque<Fault>,
}

impl Default for FaultLog {
    /// One report of a device's fault a minute.
    fn default() -> Self {
        Self::new(60.0)
    }
}

impl FaultLog {
    /// A log that reports one fault of one device at most once in `interval_s`.
    #[must_use]
    pub fn new(interval_s: f64) -> Self {
        Self { interval_s, states: BTreeMap::new(), counters: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// The fault was seen (again). The message is only made when it is reported.
    pub fn raise(&mut self, now: StoreTime, device: &str, kind: FaultKind, message: impl FnOnce() -> String) {
        *self.counters.entry(kind.name()).or_default() += 1;
        let state = self.states.entry((device.to_owned(), kind)).or_default();
        state.times += 1;
        // A clock that went back must not silence a fault for the length of the step.
        let quiet = state.last_report.is_some_and(|t| (0.0..self.interval_s).contains(&now.seconds_since(t)));
        if quiet {
            return;
        }
        state.last_report = Some(now);
        state.reported = true;
        let fault =
            Fault { device: device.to_owned(), kind, message: message(), times: state.times, cleared: false };
        self.push(fault);
    }

    /// The device is well in this respect. Reported only where its fault was.
    pub fn clear(&mut self, device: &str, kind: FaultKind, message: impl FnOnce() -> String) {
        // The common case, a device that never had a fault, must not allocate.
        if self.states.is_empty() {
            return;
        }
        let Some(state) = self.states.get_mut(&(device.to_owned(), kind)).filter(|s| s.reported) else {
            return;
        };
        state.reported = false;
        let fault =
            Fault { device: device.to_owned(), kind, message: message(), times: state.times, cleared: true };
        self.push(fault);
    }

    fn push(&mut self, fault: Fault) {
        if self.waiting.len() == MAX_WAITING {
            *self.counters.entry("fault_reports_dropped").or_default() += 1;
            return;
        }
        if fault.cleared {
            tracing::info!(device = %fault.device, fault = fault.kind.name(), "{}", fault.message);
        } else {
            tracing::warn!(device = %fault.device, fault = fault.kind.name(), "{}", fault.message);
        }
        self.waiting.push_back(fault);
    }

    /// Takes the reports that wait, oldest first.
    pub fn take(&mut self) -> Vec<Fault> {
        self.waiting.drain(..).collect()
    }

    /// How often each kind of fault was seen, all devices together.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> StoreTime {
        StoreTime::from_micros(0).plus_s(seconds)
    }

    #[test]
    fn a_lasting_fault_is_counted_always_and_reported_once_a_minute() {
        let mut log = FaultLog::default();
        for sample in 0..(150 * 60) {
            log.raise(at(f64::from(sample) / 60.0), "1/5/10", FaultKind::NanWeight, || "NaN".into());
        }
        let reports = log.take();
        assert_eq!(reports.iter().map(|f| f.times).collect::<Vec<_>>(), [1, 3601, 7201]);
        assert_eq!(log.counters()["nan_weight"], 9000);
    }

    #[test]
    fn a_flapping_fault_does_not_report_every_change() {
        let mut log = FaultLog::default();
        for sample in 0..600 {
            log.raise(at(f64::from(sample) / 10.0), "p", FaultKind::NanWeight, || "NaN".into());
            log.clear("p", FaultKind::NanWeight, || "well".into());
        }
        let reports = log.take();
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports[1].cleared);
    }

    #[test]
    fn devices_and_kinds_do_not_silence_each_other() {
        let mut log = FaultLog::default();
        log.raise(at(0.0), "a", FaultKind::NanWeight, String::new);
        log.raise(at(0.0), "b", FaultKind::NanWeight, String::new);
        log.raise(at(0.0), "a", FaultKind::Stuck, String::new);
        assert_eq!(log.take().len(), 3);
        log.clear("c", FaultKind::Stuck, String::new);
        assert!(log.take().is_empty(), "a device that was never faulty was reported well");
    }

    #[test]
    fn reports_are_bounded() {
        let mut log = FaultLog::default();
        for device in 0..(MAX_WAITING + 7) {
            log.raise(at(0.0), &device.to_string(), FaultKind::Stuck, String::new);
        }
        assert_eq!(log.take().len(), MAX_WAITING);
        assert_eq!(log.counters()["fault_reports_dropped"], 7);
    }
}
