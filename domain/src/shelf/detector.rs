//! From single plates to shelf events: neighbouring plates that change together change as one.

use std::collections::BTreeMap;

use super::plate::{PlateChange, PlateConfig, PlateDetector};
use super::{ShelfEvent, WeightSample};
use crate::ids::PlateIndex;
use crate::layout::StoreLayout;
use crate::time::StoreTime;

/// Limits of shelf event detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShelfConfig {
    /// Limits on one plate.
    pub plate: PlateConfig,
    /// Changes of neighbouring plates are one event when their intervals overlap or come this close, seconds.
    pub join_s: f64,
    /// An event waits at most this long for an active neighbour, seconds.
    pub wait_s: f64,
    /// A weight beyond this is a fault and not a weight, grams.
    pub absurd_g: f64,
}

impl Default for ShelfConfig {
    fn default() -> Self {
        Self { plate: PlateConfig::default(), join_s: 0.3, wait_s: 4.0, absurd_g: 1e6 }
    }
}

/// What is wrong with a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlateFaultKind {
    /// It sends NaN or an infinity.
    NotANumber,
    /// It sends weights that no shelf can carry.
    Absurd,
    /// Its samples go back in time.
    TimeGoesBack,
}

/// A plate turned faulty, or well again. Reported once per turn, not per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlateFault {
    /// Which plate.
    pub plate: PlateIndex,
    /// What is wrong.
    pub kind: PlateFaultKind,
    /// Since when, or until when.
    pub time: StoreTime,
    /// True when it is over.
    pub cleared: bool,
}

/// What a detector has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShelfCounters {
    /// Weights taken in.
    pub weights: u64,
    /// Weights refused: NaN, infinite, absurd or out of time order.
    pub bad_weights: u64,
    /// Shelf events found.
    pub events: u64,
}

#[derive(Debug, Clone)]
struct PlateState {
    detector: PlateDetector,
    neighbours: Vec<PlateIndex>,
    last: Option<StoreTime>,
    fault: Option<PlateFaultKind>,
}

/// Turns weight samples into shelf events, for any set of plates of a store.
#[derive(Debug, Clone)]
pub struct ShelfDetector {
    config: ShelfConfig,
    plates: Vec<PlateState>,
    /// Changes that still wait for an active neighbour, by plate: at most one group each.
    waiting: Vec<Vec<PlateChange>>,
    faults: Vec<PlateFault>,
    counters: ShelfCounters,
    now: Option<StoreTime>,
}

impl ShelfDetector {
    /// A detector for every plate of the store.
    #[must_use]
    pub fn new(layout: &StoreLayout, config: ShelfConfig) -> Self {
        let plates = neighbours(layout)
            .into_iter()
            .enumerate()
            .map(|(i, neighbours)| PlateState {
                detector: PlateDetector::new(PlateIndex(i), config.plate),
                neighbours,
                last: None,
                fault: None,
            })
            .collect();
        Self {
            config,
            plates,
            waiting: Vec::new(),
            faults: Vec::new(),
            counters: ShelfCounters::default(),
            now: None,
        }
    }

    /// What has been seen so far.
    #[must_use]
    pub fn counters(&self) -> ShelfCounters {
        self.counters
    }

    /// Faults found or cleared since the last call.
    pub fn take_faults(&mut self) -> Vec<PlateFault> {
        std::mem::take(&mut self.faults)
    }

    /// Standard deviation at rest of the noisiest plate, grams; none before one has rested.
    #[must_use]
    pub fn noisiest_g(&self) -> Option<f64> {
        self.plates.iter().filter_map(|p| p.detector.noise_g()).max_by(f64::total_cmp)
    }

    /// The settled weight of a plate, grams, once there is one.
    #[must_use]
    pub fn level_g(&self, plate: PlateIndex) -> Option<f64> {
        self.plates.get(plate.0).and_then(|p| p.detector.level_g())
    }

    /// Events that will still be found end after this moment: whoever consumes in event time may go up to it.
    #[must_use]
    pub fn watermark(&self) -> Option<StoreTime> {
        let now = self.now?;
        // A level is dated back to where it began to hold, at most the longest window ago.
        let settling = now.plus_s(-(self.config.plate.windows_s[2] + 0.25));
        let waiting = self.waiting.iter().flatten().map(|c| c.end).min();
        Some(waiting.map_or(settling, |w| settling.min(w.plus_s(-1e-6))))
    }

    /// Takes one sample of any number of plates; gives the events that are complete with it.
    pub fn handle_sample(&mut self, sample: &WeightSample) -> Vec<ShelfEvent> {
        for &(plate, weight_g) in &sample.weights_g {
            if let Some(change) = self.take_weight(sample.time, plate, weight_g) {
                self.join(change);
            }
        }
        self.now = self.now.max(Some(sample.time));
        self.release(sample.time, false)
    }

    /// The end of all samples: gives what was still waiting.
    pub fn finish(&mut self) -> Vec<ShelfEvent> {
        self.release(self.now.unwrap_or_default(), true)
    }

    fn take_weight(&mut self, time: StoreTime, plate: PlateIndex, weight_g: f64) -> Option<PlateChange> {
        let absurd_g = self.config.absurd_g;
        let state = self.plates.get_mut(plate.0)?;
        let fault = if !weight_g.is_finite() {
            Some(PlateFaultKind::NotANumber)
        } else if weight_g.abs() > absurd_g {
            Some(PlateFaultKind::Absurd)
        } else if state.last.is_some_and(|last| time <= last) {
            Some(PlateFaultKind::TimeGoesBack)
        } else {
            None
        };
        if state.fault != fault {
            let turned = [(state.fault, true), (fault, false)];
            self.faults.extend(
                turned
                    .into_iter()
                    .filter_map(|(kind, cleared)| kind.map(|kind| PlateFault { plate, kind, time, cleared })),
            );
            state.fault = fault;
        }
        if fault.is_some() {
            self.counters.bad_weights += 1;
            return None;
        }
        self.counters.weights += 1;
        state.last = Some(time);
        state.detector.handle_weight(time, weight_g)
    }

    /// Adds a change to the waiting group that it touches in space and time; joins groups that it bridges.
    fn join(&mut self, change: PlateChange) {
        let near = &self.plates[change.plate.0].neighbours;
        let join_s = self.config.join_s;
        let touches = |c: &PlateChange| {
            near.contains(&c.plate)
                && c.start.seconds_since(change.end) <= join_s
                && change.start.seconds_since(c.end) <= join_s
        };
        let (touching, apart): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|group| group.iter().any(touches));
        let mut group: Vec<PlateChange> = touching.into_iter().flatten().collect();
        group.push(change);
        self.waiting = apart;
        self.waiting.push(group);
    }

    fn release(&mut self, now: StoreTime, all: bool) -> Vec<ShelfEvent> {
        let (plates, config) = (&self.plates, &self.config);
        let ready = |group: &Vec<PlateChange>| {
            let end = group.iter().map(|c| c.end).max().unwrap_or_default();
            if all || now.seconds_since(end) > config.wait_s {
                return true;
            }
            // A neighbour that became active before the group had settled may hold the rest of the same item.
            !group.iter().flat_map(|c| &plates[c.plate.0].neighbours).any(|n| {
                plates[n.0].detector.active_since().is_some_and(|s| s.seconds_since(end) <= config.join_s)
            })
        };
        let mut events: Vec<ShelfEvent> = self
            .waiting
            .extract_if(.., |group| ready(group))
            .map(|mut changes| {
                changes.sort_by_key(|c| (c.plate, c.start));
                ShelfEvent { changes }
            })
            .collect();
        events.sort_by_key(|e| (e.end(), e.changes[0].plate));
        self.counters.events += events.len() as u64;
        events
    }
}

/// For every plate the plates on the same shelf that may bear a part of what it bears: those whose edge lies within a
/// third of a plate's width, and those of one facing, over which a wide item spans.
fn neighbours(layout: &StoreLayout) -> Vec<Vec<PlateIndex>> {
    let mut by_place: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, plate) in layout.plates.iter().enumerate() {
        by_place.entry(plate.id.place()).or_default().push(i);
    }
    let width_m = |i: usize| (layout.plates[i].corners[1] - layout.plates[i].corners[0]).norm();
    let depth_m = |i: usize| (layout.plates[i].corners[2] - layout.plates[i].corners[1]).norm();
    let touch = |a: usize, b: usize| {
        let apart_m = (layout.plates[a].centre - layout.plates[b].centre).norm();
        let along_m = (width_m(a) + width_m(b)) / 2.0;
        let across_m = (depth_m(a) + depth_m(b)) / 2.0;
        // Side by side, or one behind the other.
        apart_m <= along_m * 1.34 || (apart_m <= across_m * 1.1 && across_m < along_m)
    };
    (0..layout.plates.len())
        .map(|i| {
            let place = layout.plates[i].id.place();
            let of_facing = |j: usize| {
                let both = [PlateIndex(i), PlateIndex(j)];
                layout.facings.iter().any(|f| both.iter().all(|p| f.plates.contains(p)))
            };
            let beside = by_place[place].iter().filter(|j| **j != i && (touch(i, **j) || of_facing(**j)));
            beside.map(|j| PlateIndex(*j)).collect()
        })
        .collect()
}
