//! A scenario and a seed into a recording.

use std::path::Path;

use linefree_domain::ids::CameraIndex;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use linefree_recording::{
    GateEvent, GateLine, PeopleLine, RecordedPerson, RecordingWriter, StoreFile, ViewLine, store_toml,
};

use crate::chance::Chance;
use crate::load_cell::{self, Furniture, Sampling};
use crate::scenario::{LayoutKind, Scenario};
use crate::sensors::{self, Faults, Look, Viewed};
use crate::stores::SimulatedStore;
use crate::world::{self, Happened};

/// 2026-03-02T09:00:00Z: when every simulated recording begins.
const START: StoreTime = StoreTime::from_micros(1_772_442_000_000_000);

/// Evidence that can be left out, to see what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Evidence {
    /// Product vision: no views.jsonl.
    Views,
    /// The same as views.
    Vision,
    /// Hands of people.
    Hands,
    /// What tells products apart by weight: the catalogue says that every item may weigh twice or half as much.
    Weights,
    /// The planogram: no facings.
    Planogram,
    /// Cameras' own track ids.
    Tracks,
    /// Body heights.
    Heights,
}

/// A simulated stay in a store with everything that sensors made of it.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// What was there.
    pub store: SimulatedStore,
    /// What happened.
    pub happened: Happened,
    /// What cameras told, in the order of arrival.
    pub looks: Vec<Look>,
    /// What scales told.
    pub samples: Vec<WeightSample>,
    /// What product vision told.
    pub views: Vec<Viewed>,
}

impl Simulation {
    /// Lets a scenario happen.
    ///
    /// # Errors
    /// When the scenario asks for what the store does not have, or data of the real store is absent.
    pub fn run(
        scenario: &Scenario,
        layout: LayoutKind,
        seed: u64,
        without: &[Evidence],
    ) -> anyhow::Result<Self> {
        let seed = Chance::seed_of(seed, &scenario.name);
        let mut store = SimulatedStore::new(scenario, layout, seed)?;
        let happened = world::happen(scenario, &store, seed)?;
        for (facing, count) in store.told.facings.iter_mut().zip(&happened.stock) {
            facing.count = facing.count.map(|_| *count);
        }
        let faults = Faults::new(scenario, &store, seed)?;
        let mut looks = sensors::observe(&store, &happened, &scenario.cameras, &faults.cameras, seed);
        let rate_hz = Chance::new(seed, "rate").pick(&scenario.scales.rates_hz).copied().unwrap_or(60.0);
        let sampling =
            Sampling { rate_hz, duration_s: happened.duration_s, seed, furniture: Furniture::MEASURED };
        let mut samples = load_cell::weigh(&store.layout, START, sampling, &happened.handlings);
        faults.change_weights(&mut samples, START);
        let mut views = sensors::views(&store, &happened, scenario.vision, seed);
        for evidence in without {
            match evidence {
                Evidence::Views | Evidence::Vision => views.clear(),
                Evidence::Hands => each_person(&mut looks, |p| p.hands.clear()),
                Evidence::Tracks => each_person(&mut looks, |p| p.track = None),
                Evidence::Heights => each_person(&mut looks, |p| p.height_m = None),
                Evidence::Planogram => store.told.facings.clear(),
                Evidence::Weights => {
                    for product in &mut store.told.products {
                        product.weight.sd_g = 0.5 * product.weight.mean_g;
                    }
                }
            }
        }
        Ok(Self { store, happened, looks, samples, views })
    }

    /// When the recording begins.
    #[must_use]
    pub fn start(&self) -> StoreTime {
        START
    }

    /// A camera's look as recordings have it.
    #[must_use]
    pub fn people_line(&self, look: &Look) -> PeopleLine {
        PeopleLine {
            time: START.plus_s(millisecond(look.t_s)),
            camera: self.store.eyes[look.camera].id.clone(),
            index: Some(CameraIndex(look.camera)),
            people: look.people.iter().cloned().map(RecordedPerson::Floor).collect(),
        }
    }

    /// Everybody who passed a gate.
    #[must_use]
    pub fn gate_lines(&self) -> Vec<GateLine> {
        let line = |p: &world::Passage| GateLine {
            time: START.plus_s(millisecond(p.at_s)),
            gate: p.gate,
            event: if p.entry { GateEvent::Entry } else { GateEvent::Exit },
            credential: p.credential.clone(),
            party: p.party,
        };
        self.happened.passages.iter().map(line).collect()
    }

    /// Writes the recording.
    ///
    /// # Errors
    /// When the store is none that store.toml can describe, or a file cannot be written.
    pub fn write(&self, out: &Path) -> anyhow::Result<()> {
        let store = StoreFile::parse(&out.join("store.toml"), &store_toml(&self.store.told))?;
        let mut writer = RecordingWriter::create(out, &store, START)?;
        for sample in &self.samples {
            writer.weights(sample)?;
        }
        for look in &self.looks {
            writer.people(&self.people_line(look))?;
        }
        for line in self.gate_lines() {
            writer.gate(&line)?;
        }
        for view in &self.views {
            writer.view(&ViewLine {
                time: START.plus_s(millisecond(view.t_s)),
                place: view.place.clone(),
                likelihood: view.likelihood.clone(),
            })?;
        }
        writer.expected(&self.happened.receipts)?;
        // Clocks that are off may go beyond the end.
        let last = self.samples.last().map_or(0.0, |s| s.time.seconds_since(START));
        writer.finish(self.happened.duration_s.max(last.ceil()), Vec::new())?;
        Ok(())
    }
}

fn each_person(looks: &mut [Look], change: impl Fn(&mut linefree_domain::floor::Person)) {
    looks.iter_mut().flat_map(|l| &mut l.people).for_each(change);
}

fn millisecond(t_s: f64) -> f64 {
    (t_s.max(0.0) * 1000.0).round() / 1000.0
}
