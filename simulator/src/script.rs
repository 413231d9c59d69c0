//! Who takes and puts what when (`script.toml`), and what follows from it: handlings of plates, and receipts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use linefree_domain::ids::{Credential, Sku};
use linefree_domain::layout::StoreLayout;
use linefree_recording::{Receipt, ReceiptLine, Receipts};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use serde::Deserialize;

use crate::load_cell::{Furniture, Handling, Sampling};

/// A script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Where every random number of the recording comes from.
    pub seed: u64,
    /// Samples a second of every plate.
    pub rate_hz: f64,
    /// Length, seconds.
    pub duration_s: f64,
    /// What happens, in time order.
    #[serde(rename = "action", default)]
    pub actions: Vec<Action>,
}

/// One handling of one plate by one shopper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// When the weight changes, seconds from the start.
    pub t: f64,
    /// Who.
    pub credential: String,
    /// What they do.
    #[serde(rename = "do")]
    pub deed: Deed,
    /// With which product.
    pub sku: String,
    /// How many.
    #[serde(default = "one")]
    pub quantity: u32,
    /// At which plates.
    pub plates: Vec<String>,
    /// How long the hand is there, seconds.
    pub handling_s: f64,
}

fn one() -> u32 {
    1
}

/// What a shopper does at a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Takes items from it.
    Take,
    /// Puts items on it, at home or elsewhere.
    Put,
    /// Touches it and changes nothing.
    Touch,
}

/// Streams of a seed that are items, apart from the load cells' own.
const ITEM_STREAM: u64 = 1 << 48;

impl Script {
    /// Reads a script.toml.
    ///
    /// # Errors
    /// When it cannot be read or is no script.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let script: Self = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let ordered = script.actions.windows(2).all(|w| w[0].t <= w[1].t);
        ensure!(ordered, "{}: actions are not in time order; sort them by t", path.display());
        Ok(script)
    }

    /// How the plates are sampled.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        Sampling {
            rate_hz: self.rate_hz,
            duration_s: self.duration_s,
            seed: self.seed,
            furniture: Furniture::RATTLING,
        }
    }

    /// What the load cells feel. Every item has its own weight, drawn when it is taken and kept until it is put back.
    ///
    /// # Errors
    /// When an action names what the store does not have, or puts back what its shopper does not hold.
    pub fn handlings(&self, layout: &StoreLayout) -> anyhow::Result<Vec<Handling>> {
        let mut held: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        let mut handlings = Vec::with_capacity(self.actions.len());
        for (stream, action) in (ITEM_STREAM..).zip(&self.actions) {
            let place = || format!("action at t = {} of {}", action.t, action.credential);
            let product = layout.product(&action.sku).and_then(|p| layout.products.get(p.0));
            let product = product.with_context(|| format!("{}: no product {:?}", place(), action.sku))?;
            let plate =
                |id: &String| layout.plate(id).with_context(|| format!("{}: no plate {id:?}", place()));
            let plates = action.plates.iter().map(plate).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(!plates.is_empty(), "{}: names no plate", place());
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(stream);
            let mine = held.entry((&action.credential, &action.sku)).or_default();
            let mut delta_g = 0.0;
            for _ in 0..action.quantity {
                match action.deed {
                    Deed::Take => {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        let item_g = product.weight.mean_g + z.clamp(-3.0, 3.0) * product.weight.sd_g;
                        mine.push(item_g);
                        delta_g -= item_g;
                    }
                    Deed::Put => {
                        delta_g +=
                            mine.pop().with_context(|| format!("{}: puts what they do not hold", place()))?;
                    }
                    Deed::Touch => {}
                }
            }
            handlings.push(Handling {
                at_s: action.t,
                duration_s: action.handling_s,
                plates,
                delta_g,
                ..Handling::default()
            });
        }
        Ok(handlings)
    }

    /// What each of these shoppers leaves with.
    ///
    /// # Errors
    /// When a credential or SKU is no id, or somebody puts back more than they took.
    pub fn receipts<'c>(&self, credentials: impl IntoIterator<Item = &'c str>) -> anyhow::Result<Receipts> {
        let mut held: BTreeMap<&str, BTreeMap<&str, i64>> =
            credentials.into_iter().map(|c| (c, BTreeMap::new())).collect();
        for action in &self.actions {
            let lines = held.get_mut(action.credential.as_str());
            let lines = lines.with_context(|| format!("{} never enters", action.credential))?;
            let sign = match action.deed {
                Deed::Take => 1,
                Deed::Put => -1,
                Deed::Touch => 0,
            };
            *lines.entry(&action.sku).or_default() += sign * i64::from(action.quantity);
        }
        let mut receipts = Vec::new();
        for (credential, held) in held {
            let mut lines = Vec::new();
            for (sku, quantity) in held.into_iter().filter(|(_, q)| *q != 0) {
                let quantity = u32::try_from(quantity)
                    .with_context(|| format!("{credential} put back more {sku} than taken"))?;
                lines.push(ReceiptLine { sku: Sku::new(sku)?, quantity, probability: None, review: None });
            }
            receipts.push(Receipt { credential: Some(Credential::new(credential)?), lines });
        }
        Ok(Receipts { receipts }.canonical())
    }
}
