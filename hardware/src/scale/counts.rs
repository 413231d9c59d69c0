//! Counts that a microcontroller sends from afar: raw values with the controller's own uptime, into samples in store
//! time. Sans-IO; the bus brings the messages (`scale/{source}/counts`, see docs/ref/bus.md).
//!
//! A microcontroller has no clock, only an uptime, and the network delays its messages unevenly. The least delayed
//! message tells best how the two clocks stand to each other: [`UptimeClock`] keeps the smallest difference of arrival
//! and uptime, and lets it grow by [`DRIFT`] so that it follows a controller whose clock is slow. (The minimum filter of
//! NTP's clock selection, Mills, RFC 5905, section 10, for one way only.) What remains unknown is the network's least
//! delay, a few milliseconds in a store.
//!
//! # Failure rules
//! An uptime that goes back is a restart: the clocks are compared anew. A number of values other than the plates' is a
//! `malformed_line`. A report older than the newest is dropped by the checks that stand around every scale.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;

use super::converter::{Reading, grams, saturated_remedy};
use super::{Scale, ScaleError};
use crate::clock::LiveClock;
use crate::fault::{Fault, FaultKind, FaultLog};

/// How much slower than ours a controller's clock may run: ceramic resonators are good to 0.5 %, crystals to 0.01 %.
pub const DRIFT: f64 = 0.005;
/// How long a report is waited for.
pub const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// What a controller reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountsReport {
    /// When it arrived here.
    pub arrived: StoreTime,
    /// The controller's uptime when it measured, milliseconds.
    pub uptime_ms: u64,
    /// Raw counts, one a plate; `None` where a converter did not answer.
    pub counts: Vec<Option<i32>>,
}

/// Turns a controller's uptime into store time.
#[derive(Debug, Clone, Default)]
pub struct UptimeClock {
    /// Uptime of the last report, and the store time at which its uptime was 0, microseconds.
    state: Option<(u64, f64)>,
}

impl UptimeClock {
    /// When this report was measured.
    pub fn at(&mut self, uptime_ms: u64, arrived: StoreTime) -> StoreTime {
        let uptime_us = uptime_ms as f64 * 1e3;
        let seen_us = arrived.micros as f64 - uptime_us;
        let zero_us = match self.state {
            Some((last_ms, zero_us)) if uptime_ms >= last_ms => {
                seen_us.min(zero_us + (uptime_ms - last_ms) as f64 * 1e3 * DRIFT)
            }
            _ => seen_us,
        };
        self.state = Some((uptime_ms, zero_us));
        StoreTime::from_micros((zero_us + uptime_us) as i64)
    }
}

/// A scale whose counts come over the bus.
#[derive(Debug)]
pub struct CountsScale {
    reports: Receiver<CountsReport>,
    name: String,
    plates: Vec<(PlateIndex, String, f64)>,
    uptime: UptimeClock,
    clock: LiveClock,
    faults: FaultLog,
}

impl CountsScale {
    /// Fed by whoever listens to the bus; ends when the sender is dropped. Plates with the name and the counts a gram of
    /// each.
    #[must_use]
    pub fn new(
        name: String,
        reports: Receiver<CountsReport>,
        plates: Vec<(PlateIndex, String, f64)>,
        clock: LiveClock,
    ) -> Self {
        Self { reports, name, plates, uptime: UptimeClock::default(), clock, faults: FaultLog::default() }
    }

    fn take(&mut self, report: &CountsReport) -> Option<WeightSample> {
        let name = &self.name;
        if report.counts.len() != self.plates.len() {
            let (found, wanted) = (report.counts.len(), self.plates.len());
            self.faults.raise(report.arrived, name, FaultKind::MalformedLine, || {
                format!("{name}: sends {found} counts, store.toml names {wanted} plates for it")
            });
            return None;
        }
        self.faults.clear(name, FaultKind::MalformedLine, || format!("{name}: its counts fit again"));
        let time = self.uptime.at(report.uptime_ms, report.arrived);
        let mut weights_g = Vec::with_capacity(self.plates.len());
        for ((plate, name, per_g), counts) in self.plates.iter().zip(&report.counts) {
            let Some(counts) = counts else { continue };
            match Reading::of_24_bits(*counts) {
                Reading::Counts(counts) => {
                    self.faults
                        .clear(name, FaultKind::Saturated, || format!("{name}: is within its range again"));
                    weights_g.push((*plate, grams(counts, *per_g)));
                }
                Reading::Saturated => {
                    let message = || format!("{name}: {}", saturated_remedy());
                    self.faults.raise(time, name, FaultKind::Saturated, message);
                    weights_g.push((*plate, f64::NAN));
                }
            }
        }
        Some(WeightSample { time, weights_g })
    }
}

impl Scale for CountsScale {
    fn next_sample(&mut self) -> Result<Option<WeightSample>, ScaleError> {
        loop {
            match self.reports.recv_timeout(REPORT_TIMEOUT) {
                Ok(report) => {
                    if let Some(sample) = self.take(&report) {
                        return Ok(Some(sample));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Some(WeightSample { time: self.clock.now(), weights_g: Vec::new() }));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    fn take_faults(&mut self) -> Vec<Fault> {
        self.faults.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn at(seconds: f64) -> StoreTime {
        StoreTime::from_micros(1_700_000_000_000_000).plus_s(seconds)
    }

    #[test]
    fn uneven_delays_do_not_move_the_time_of_a_report() {
        let mut clock = UptimeClock::default();
        // Up since 50 s before; delays of 30, 4, 90 and 9 ms.
        let delays_ms = [30, 4, 90, 9];
        let times: Vec<f64> = delays_ms
            .iter()
            .enumerate()
            .map(|(i, delay_ms)| {
                let uptime_ms = 50_000 + 100 * i as u64;
                let arrived = at(0.1 * i as f64 + f64::from(*delay_ms) / 1e3);
                clock.at(uptime_ms, arrived).seconds_since(at(0.0)) - 0.1 * i as f64
            })
            .collect();
        for (i, off_s) in times[1..].iter().enumerate() {
            assert!((off_s - 0.004).abs() < 0.002, "{i}: {off_s}");
        }
    }

    #[test]
    fn a_slow_clock_is_followed_and_a_restart_begins_anew() {
        let mut clock = UptimeClock::default();
        let mut off_s = 0.0;
        for second in 0..600_u64 {
            // The controller's clock loses 0.1 %.
            let time = clock.at((second as f64 * 999.0) as u64, at(second as f64));
            off_s = time.seconds_since(at(second as f64));
        }
        assert!(f64::abs(off_s) < 0.01, "{off_s} s off after ten minutes");
        assert_eq!(clock.at(5, at(700.0)), at(700.0));
    }

    #[test]
    fn reports_become_samples() {
        let (tell, reports) = mpsc::channel();
        let plates = vec![(PlateIndex(3), "a".to_owned(), 400.0), (PlateIndex(5), "b".to_owned(), -200.0)];
        let mut scale = CountsScale::new("scale-3".into(), reports, plates, LiveClock::default());
        let report = |s: f64, counts: &[Option<i32>]| CountsReport {
            arrived: at(s),
            uptime_ms: (s * 1e3) as u64,
            counts: counts.to_vec(),
        };
        tell.send(report(1.0, &[Some(400_000), Some(-100)])).unwrap();
        tell.send(report(1.1, &[Some(1)])).unwrap();
        tell.send(report(1.2, &[Some(8_388_607), None])).unwrap();
        drop(tell);
        let first = scale.next_sample().unwrap().unwrap();
        assert_eq!(first.weights_g, [(PlateIndex(3), 1000.0), (PlateIndex(5), 0.5)]);
        let second = scale.next_sample().unwrap().unwrap();
        assert!(second.weights_g.len() == 1 && second.weights_g[0].1.is_nan(), "{second:?}");
        assert!((second.time.seconds_since(first.time) - 0.2).abs() < 1e-3);
        assert_eq!(scale.next_sample().unwrap(), None);
        let faults = scale.take_faults();
        let told: Vec<_> = faults.iter().map(|f| (f.device.as_str(), f.kind.name(), f.cleared)).collect();
        let malformed = |cleared| ("scale-3", "malformed_line", cleared);
        assert_eq!(told, [malformed(false), malformed(true), ("a", "saturated", false)]);
    }
}
