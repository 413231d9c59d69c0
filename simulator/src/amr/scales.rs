//! Simulated scales that feel what simulated robots do.
//!
//! Each scale of `store.toml` that is read over the bus (`url = "bus:NAME"`) gets a controller that sends raw counts as a
//! real one does, so that everything behind it is what a store runs. A robot's pick takes the items off its plate, its
//! drop puts them there; each item weighs a little differently. A step takes a fifth of a second, and white noise lies on
//! top. Where a recording is played, what its plates weighed at that moment is what lies there, with the noise that it has,
//! and what robots move is added; a line that cannot be read ends the scale, by name. Furniture that shakes is in
//! [`load_cell`](crate::load_cell), for recordings.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use linefree_bus::client::{BusClient, BusConfig, Outgoing};
use linefree_bus::payload::{Counts, Status};
use linefree_bus::url::BusUrl;
use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use linefree_recording::{Mistake, Recording, ScaleDriver, SourceDevice, StoreFile, WeightsReader};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::chance::Chance;

/// Twenty samples a second, as the HX711 boards of real shelves give at most 80 and at least 10.
const EVERY: Duration = Duration::from_millis(50);
/// White noise of a plate, grams.
const NOISE_G: f64 = 0.6;
/// How much of the way to its load a plate shows at each further sample.
const STEP: f64 = 0.6;
/// What a plate weighs with nothing on it, grams.
const EMPTY_G: f64 = 500.0;
/// Items on a facing whose planogram does not say how many.
const ITEMS: u32 = 8;

/// A robot has taken items off a plate (negative) or put them there (positive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The plate, `gondola/shelf/plate`.
    pub plate: String,
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: i32,
}

/// The scales of a store; clones are handles to the same ones. They end with the last of them.
#[derive(Debug, Clone)]
pub struct Scales {
    loads: Arc<Mutex<Loads>>,
    /// Why one of them has ended.
    ended: watch::Receiver<Option<String>>,
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Loads {
    /// What lies on each plate, grams.
    on_plate_g: BTreeMap<String, f64>,
    /// Mean and standard deviation of an item's weight, grams.
    weights_g: BTreeMap<String, (f64, f64)>,
    chance: Chance,
}

#[derive(Debug)]
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Scales {
    /// Starts the controllers of a store's scales that are read over the bus, full as the planogram says, or as a recording
    /// has them, whose times are taken to be those of the clock.
    ///
    /// # Errors
    /// When the store has no such scale, the bus refuses a name, or the weights or their first line cannot be read. It must
    /// be called on a tokio runtime.
    pub fn start(
        store: &StoreFile,
        url: &BusUrl,
        seed: u64,
        recording: Option<&Recording>,
    ) -> anyhow::Result<Self> {
        let layout = &store.layout;
        let mut on_plate_g: BTreeMap<String, f64> =
            layout.plates.iter().map(|p| (p.id.to_string(), EMPTY_G)).collect();
        for facing in layout.facings.iter().filter(|_| recording.is_none()) {
            let Some(product) = layout.products.get(facing.product.0) else { continue };
            let items = f64::from(facing.count.unwrap_or(ITEMS));
            for plate in facing.plates.iter().filter_map(|p| layout.plates.get(p.0)) {
                if let Some(load_g) = on_plate_g.get_mut(&plate.id.to_string()) {
                    *load_g += items * product.weight.mean_g / facing.plates.len() as f64;
                }
            }
        }
        let weights_g =
            layout.products.iter().map(|p| (p.sku.to_string(), (p.weight.mean_g, p.weight.sd_g))).collect();
        let loads = Loads { on_plate_g, weights_g, chance: Chance::new(seed, "items on simulated scales") };
        let loads = Arc::new(Mutex::new(loads));
        let mut tasks = Vec::new();
        let (ends, ended) = watch::channel(None);
        for source in &store.live.sources {
            let SourceDevice::Plates(config) = &source.device else { continue };
            let ScaleDriver::Counts { source: name } = &config.driver else { continue };
            let played = match recording {
                Some(recording) => recording
                    .weights()?
                    .map(|weights| Played::new(weights, layout.plates.len()))
                    .transpose()?,
                None => None,
            };
            let plate = |p: &PlateIndex| (*p, layout.plates[p.0].id.to_string());
            let status = Status::online(name.as_str(), "scale", env!("CARGO_PKG_VERSION"));
            let bus = BusConfig::new(url.clone(), layout.id.as_str(), status);
            let (client, _) = BusClient::connect(bus).with_context(|| format!("scale {name}"))?;
            let controller = Controller {
                name: name.clone(),
                plates: config.plates.iter().map(plate).zip(config.counts_per_g.iter().copied()).collect(),
                played,
                loads: Arc::clone(&loads),
                chance: Chance::new(seed, &format!("noise of scale {name}")),
                client,
            };
            let (name, ends) = (name.clone(), ends.clone());
            let task = async move {
                let Err(why) = controller.run().await;
                ends.send_replace(Some(format!("scale {name}: {why}")));
            };
            tasks.push(tokio::spawn(task).abort_handle());
        }
        anyhow::ensure!(
            !tasks.is_empty(),
            "store {} has no [[source]] with url = \"bus:NAME\": without one no scale can be simulated",
            layout.id
        );
        Ok(Self { loads, ended, _tasks: Arc::new(Tasks(tasks)) })
    }

    /// Waits until a scale ends, and gives why: a line of the recording that it plays cannot be read. A scale that would
    /// go on with the last weights would weigh what nobody has said.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Somebody has moved items. What is no plate of the store weighs nothing: a counter, a stock room.
    pub fn moved(&self, moved: &Moved) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        let Loads { on_plate_g, weights_g, chance } = &mut *loads;
        let (mean_g, sd_g) = weights_g.get(&moved.sku).copied().unwrap_or_default();
        let n = f64::from(moved.quantity);
        let grams = n * mean_g + chance.bounded_normal(sd_g * n.abs().sqrt());
        if let Some(load_g) = on_plate_g.get_mut(&moved.plate) {
            *load_g += grams;
        }
    }
}

/// The weights of a recording, as its moments come.
struct Played {
    weights: WeightsReader,
    next: Option<WeightSample>,
    /// By plate of the layout, grams.
    weights_g: Vec<f64>,
}

impl Played {
    /// What the first line says lies there at once.
    fn new(mut weights: WeightsReader, plates: usize) -> Result<Self, Mistake> {
        let next = weights.next().transpose()?;
        let mut played = Self { weights, next, weights_g: vec![0.0; plates] };
        played.take_next()?;
        Ok(played)
    }

    fn take_next(&mut self) -> Result<(), Mistake> {
        for (plate, grams) in self.next.take().into_iter().flat_map(|sample| sample.weights_g) {
            self.weights_g[plate.0] = grams;
        }
        self.next = self.weights.next().transpose()?;
        Ok(())
    }

    /// Takes what the plates weighed until now. After the last line they keep what lies on them.
    fn go_on(&mut self, now: StoreTime) -> Result<(), Mistake> {
        while self.next.as_ref().is_some_and(|sample| sample.time <= now) {
            self.take_next()?;
        }
        Ok(())
    }
}

struct Controller {
    name: String,
    /// Each with its name and its counts a gram.
    plates: Vec<((PlateIndex, String), f64)>,
    played: Option<Played>,
    loads: Arc<Mutex<Loads>>,
    chance: Chance,
    client: BusClient,
}

impl Controller {
    /// Goes on until a line of the recording cannot be read.
    async fn run(mut self) -> Result<Infallible, Mistake> {
        let began = Instant::now();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shown_g = self.loads_g();
        let noise_g = if self.played.is_some() { 0.0 } else { NOISE_G };
        loop {
            tick.tick().await;
            let loads_g = self.loads_g();
            if let Some(played) = &mut self.played {
                played.go_on(StoreTime::from_micros(super::peer::wall_us()))?;
            }
            let mut counts = Vec::with_capacity(self.plates.len());
            for (i, load_g) in loads_g.into_iter().enumerate() {
                shown_g[i] += STEP * (load_g - shown_g[i]);
                let ((plate, _), counts_per_g) = &self.plates[i];
                let lain_g = self.played.as_ref().map_or(0.0, |p| p.weights_g[plate.0]);
                let grams = lain_g + shown_g[i] + self.chance.normal(noise_g);
                counts.push(Some((grams * counts_per_g).round() as i32));
            }
            let uptime_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            // A sample that cannot be sent is lost, as on a radio link.
            let _ = self.client.publish(Outgoing::Counts(Counts {
                source: self.name.clone(),
                uptime_ms,
                counts,
            }));
        }
    }

    fn loads_g(&self) -> Vec<f64> {
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |plate: &String| loads.on_plate_g.get(plate).copied().unwrap_or_default();
        self.plates.iter().map(|((_, plate), _)| load(plate)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const STORE: &str = r#"format = 1
[store]
id = "corner"
name = "Corner"
timezone = "UTC"
currency = "EUR"
floor = [[0, 0], [4, 0], [4, 3], [0, 3]]
[[gondola]]
id = "a"
origin = [1, 2.5, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "1"
height_m = 1
plates = [{ id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] }, { id = "2", offset = [0.3, 0.0], size = [0.3, 0.4] }]
"#;

    fn played(lines: &str) -> Result<Played, Mistake> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weights.csv");
        fs::write(&file, format!("t,a/1/1,a/1/2\n{lines}")).unwrap();
        let layout = StoreFile::parse(Path::new("store.toml"), STORE).unwrap().layout;
        Played::new(WeightsReader::open(&file, StoreTime::from_micros(0), &layout)?, layout.plates.len())
    }

    #[test]
    fn a_recording_is_weighed_as_its_moments_come_and_its_end_stays() {
        let mut played = played("0,500,600\n1,400,600\n2,400,350\n").unwrap();
        assert_eq!(played.weights_g, [500.0, 600.0]);
        let mut at = |s: f64| {
            played.go_on(StoreTime::from_micros(0).plus_s(s)).unwrap();
            played.weights_g.clone()
        };
        assert_eq!(at(0.9), [500.0, 600.0]);
        assert_eq!(at(1.0), [400.0, 600.0]);
        assert_eq!(at(60.0), [400.0, 350.0]);
    }

    #[test]
    fn a_line_that_cannot_be_read_ends_it_by_name() {
        let first = played("0,500,heavy\n").err().unwrap().to_string();
        assert!(first.contains("weights.csv:2"), "{first}");
        let mut later = played("0,500,600\n1,400,600\n2,heavy,600\n").unwrap();
        let why = later.go_on(StoreTime::from_micros(5_000_000)).unwrap_err().to_string();
        assert!(why.contains("weights.csv:4"), "{why}");
        assert_eq!(later.weights_g, [400.0, 600.0], "what could be read was weighed");
    }
}
