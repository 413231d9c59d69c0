//! Scenarios: who comes, what they do, and what goes wrong, in files that a store manager can read.
//!
//! A file under simulator/scenarios says what happens; the seed says the rest: the store, which products, when,
//! where people stand, how they walk, and every sensor's errors. docs/design/simulator.md explains the keys.

mod cast;
mod files;
mod steps;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

pub use cast::{Cast, Wish};
pub use files::{all, named, real_case_names};
pub use steps::{Manner, Step};

/// What a scenario is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScenarioKind {
    /// What people do.
    People,
    /// What sensors, devices and networks do.
    Fault,
    /// Who pays.
    Policy,
    /// Many at once.
    Crowd,
    /// The real nanostore.
    Nanostore,
    /// Measured and shown, but not part of the total.
    Reported,
}

impl ScenarioKind {
    /// One word for tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Fault => "fault",
            Self::Policy => "policy",
            Self::Crowd => "crowd",
            Self::Nanostore => "nanostore",
            Self::Reported => "reported",
        }
    }
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LayoutKind {
    /// A made-up store, another one for every seed.
    Generated,
    /// The real nanostore's shelving, products and planogram.
    Nanostore,
}

/// From and to, both included.
pub type Range<T> = [T; 2];

/// A scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// One line that says what happens.
    pub summary: String,
    /// What it is about.
    pub kind: ScenarioKind,
    /// The store.
    #[serde(default)]
    pub store: StorePlan,
    /// Which products the letters stand for.
    #[serde(default)]
    pub products: BTreeMap<String, String>,
    /// Who comes.
    #[serde(default, rename = "shopper")]
    pub shoppers: Vec<Role>,
    /// Others who shop at random meanwhile.
    #[serde(default)]
    pub crowd: CrowdPlan,
    /// Cameras.
    #[serde(default)]
    pub cameras: CameraPlan,
    /// Scales.
    #[serde(default)]
    pub scales: ScalePlan,
    /// Share of handlings of which product vision has a view.
    #[serde(default)]
    pub vision: f64,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<FaultPlan>,
    /// The labelled case of the real store that this replays.
    #[serde(skip)]
    pub real_case: Option<String>,
}

/// The store of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorePlan {
    /// How many gondolas.
    pub gondolas: Range<u32>,
    /// Shelves a gondola.
    pub shelves: Range<u32>,
    /// Plates a shelf.
    pub plates: Range<u32>,
    /// Products, as far as there is room.
    pub products: Range<u32>,
    /// Gates: 1 or 2; by seed where it is not said.
    pub gates: Option<u32>,
    /// How true the planogram is.
    pub planogram: Planogram,
}

impl Default for StorePlan {
    fn default() -> Self {
        Self {
            gondolas: [3, 5],
            shelves: [3, 4],
            plates: [6, 9],
            products: [24, 50],
            gates: None,
            planogram: Planogram::Right,
        }
    }
}

/// How true a planogram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planogram {
    /// As the store is.
    Right,
    /// Every second facing names another's product.
    HalfWrong,
    /// The facings of one gondola name each other's products.
    GondolaWrong,
}

/// Somebody with something to do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What the others call them.
    pub name: String,
    /// Seconds from the start.
    #[serde(default)]
    pub enters_s: Range<f64>,
    /// What kind of visitor.
    #[serde(default, rename = "as")]
    pub visitor: Visitor,
    /// Body height, metres; by seed where it is not said.
    #[serde(default)]
    pub height_m: Option<Range<f64>>,
    /// Whose credential they come in on; their own where it is not said.
    #[serde(default)]
    pub with: Option<String>,
    /// Who it is that comes again: their credential, when they have left.
    #[serde(default)]
    pub again: Option<String>,
    /// What they do, in order; leaving is understood.
    pub does: Vec<String>,
}

/// How somebody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Visitor {
    /// With a credential of their own.
    #[default]
    Shopper,
    /// Works here: pays for nothing.
    Staff,
    /// Comes in without the gate noticing.
    Unseen,
    /// The gate does not let them in.
    Denied,
}

/// People who shop at random.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrowdPlan {
    /// How many.
    pub shoppers: Range<u32>,
    /// How many things each does at the shelves.
    pub does: Range<u32>,
    /// Within how many seconds they come.
    pub within_s: f64,
    /// Share of things that are put back where they do not belong.
    pub misplaces: f64,
    /// Share that is put back in its place.
    pub returns: f64,
    /// Seconds between two things.
    pub pause_s: Range<f64>,
    /// How likely the next thing is near where they are.
    pub stays: f64,
}

impl Default for CrowdPlan {
    fn default() -> Self {
        Self {
            shoppers: [0, 0],
            does: [2, 5],
            within_s: 20.0,
            misplaces: 0.05,
            returns: 0.12,
            pause_s: [0.5, 4.0],
            stays: 0.4,
        }
    }
}

/// Cameras of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraPlan {
    /// How many.
    pub count: Range<u32>,
    /// How good positions are: 1 as usual.
    pub error_factor: Range<f64>,
    /// Share of stores whose cameras see hands.
    pub hands: f64,
    /// Misses, false detections and lost tracks: 1 as usual.
    pub failure_factor: f64,
    /// Half of the store, by seed, that no camera sees.
    pub blind_corner: bool,
    /// Nobody is seen before being this long in the store, seconds.
    pub blind_entry_s: Range<f64>,
}

impl Default for CameraPlan {
    fn default() -> Self {
        Self {
            count: [3, 5],
            error_factor: [0.7, 1.4],
            hands: 0.5,
            failure_factor: 1.0,
            blind_corner: false,
            blind_entry_s: [0.0, 0.0],
        }
    }
}

/// Scales of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScalePlan {
    /// Rates that there are, samples a second.
    pub rates_hz: Vec<f64>,
}

impl Default for ScalePlan {
    fn default() -> Self {
        Self { rates_hz: vec![10.0, 60.0, 80.0] }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// What.
    pub what: FaultKindPlan,
    /// The product on whose plates, for plates.
    #[serde(default)]
    pub at: Option<String>,
    /// From when, seconds.
    #[serde(default)]
    pub from_s: Range<f64>,
    /// For how long, seconds.
    #[serde(default = "for_ever")]
    pub for_s: Range<f64>,
    /// How much, in the fault's own unit.
    #[serde(default)]
    pub by: Range<f64>,
}

fn for_ever() -> Range<f64> {
    [1e6, 1e6]
}

/// Faults that a scenario can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKindPlan {
    /// A plate sends the same weight over and over.
    PlateStuck,
    /// A plate sends `nan` for a while and then nothing.
    PlateDead,
    /// A plate's weight drifts, by grams a second.
    PlateDrifts,
    /// A camera sends nothing.
    CameraLost,
    /// A camera's clock is off, by seconds.
    CameraClock,
    /// The scales' clock is off, by seconds.
    ScaleClock,
    /// Cameras' messages come late and in another order, by up to so many seconds.
    MessagesLate,
    /// Cameras' messages come twice, by this share.
    MessagesDoubled,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// When the text is no scenario, with file and field.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let file = || format!("in simulator/scenarios/{name}.toml");
        let mut scenario: Self = toml::from_str(text).with_context(file)?;
        name.clone_into(&mut scenario.name);
        for (letter, wish) in &scenario.products {
            let wish = Wish::parse(wish).with_context(|| format!("{}: products.{letter}", file()))?;
            if let Some(other) = wish.other() {
                ensure!(
                    scenario.products.contains_key(other),
                    "{}: products.{letter} speaks of {other}, which is no product here",
                    file()
                );
            }
        }
        for role in &scenario.shoppers {
            role.steps(&scenario).with_context(|| format!("{}: {}", file(), role.name))?;
        }
        Ok(scenario)
    }

    /// The layout that it is made for.
    #[must_use]
    pub fn home(&self) -> LayoutKind {
        if self.kind == ScenarioKind::Nanostore { LayoutKind::Nanostore } else { LayoutKind::Generated }
    }
}

impl Role {
    /// What they do, read.
    ///
    /// # Errors
    /// The first sentence that says nothing, or that names who or what is not there.
    pub fn steps(&self, scenario: &Scenario) -> anyhow::Result<Vec<Step>> {
        let known = |name: &str| scenario.shoppers.iter().any(|r| r.name == name);
        let mut steps = Vec::new();
        for sentence in &self.does {
            let step = Step::parse(sentence)
                .with_context(|| format!("does: {sentence:?} is nothing that people do here"))?;
            for product in step.products() {
                ensure!(
                    scenario.products.contains_key(product),
                    "does: {sentence:?}: [products] has no {product}"
                );
            }
            if let Some(name) = step.person() {
                ensure!(known(name), "does: {sentence:?}: there is no [[shopper]] {name}");
            }
            steps.push(step);
        }
        Ok(steps)
    }
}
