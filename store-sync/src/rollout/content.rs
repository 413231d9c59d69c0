//! What devices are to run by, from store.toml and the commands in force.

use linefree_bus::release::{Release, ReleaseChanges, ReleasedFacing, ReleasedModel, ReleasedProduct};
use sha2::{Digest as _, Sha256};

use crate::cloud::command::{CatalogueProduct, Command, CommandBody};
use crate::desk::hex;
use crate::ledger::LedgerError;
use crate::ledger::commands::Commander;

/// A release without its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The text of store.toml.
    pub store_toml: String,
    /// What the cloud has commanded since.
    pub changes: ReleaseChanges,
    /// Which commands those are, for people: `planogram 7, policy 2`.
    pub commands: String,
}

impl Content {
    /// As it is in force now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn in_force(store_toml: &str, commander: &Commander) -> Result<Self, LedgerError> {
        let mut changes = ReleaseChanges::default();
        let mut commands = Vec::new();
        for kind in ["catalogue", "planogram", "policy", "model_rollout"] {
            let Some((version, told)) = commander.in_force(kind)? else { continue };
            // It was judged when it was taken; one of a later program's kind changes nothing here.
            let body = serde_json::from_str::<Command>(&told).ok();
            let Some(body) = body.and_then(|c| serde_json::from_value::<CommandBody>(c.body).ok()) else {
                continue;
            };
            match body {
                CommandBody::Catalogue { products } => {
                    let prices = commander.prices_beyond_store_toml(&products)?;
                    let product = |p: CatalogueProduct| ReleasedProduct {
                        unit_price_minor: prices.get(&p.sku).copied(),
                        sku: p.sku,
                        name: p.name,
                        weight_g: p.weight_g,
                    };
                    changes.products = products.into_iter().map(product).collect();
                }
                CommandBody::Planogram { facings } => {
                    let facing = |f: crate::cloud::command::PlannedFacing| ReleasedFacing {
                        sku: f.sku,
                        plates: f.plates,
                    };
                    changes.facings = Some(facings.into_iter().map(facing).collect());
                }
                CommandBody::Policy { review_below, .. } => changes.review_below = Some(review_below),
                CommandBody::ModelRollout { model, sha256 } => {
                    changes.model = Some(ReleasedModel { model, sha256 });
                }
                _ => continue,
            }
            commands.push(format!("{kind} {version}"));
        }
        Ok(Self { store_toml: store_toml.to_owned(), changes, commands: commands.join(", ") })
    }

    /// The same content has the same digest. What a product costs does not count, only that it has a price: the ledger
    /// charges by the prices in force, and no device need begin anew for another price.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut sum = Sha256::new();
        sum.update((self.store_toml.len() as u64).to_be_bytes());
        sum.update(self.store_toml.as_bytes());
        let mut changes = self.changes.clone();
        for product in &mut changes.products {
            product.unit_price_minor = product.unit_price_minor.map(|_| 0);
        }
        // Plain structs with text and finite numbers can always be written.
        sum.update(serde_json::to_vec(&changes).unwrap_or_default());
        hex(&sum.finalize())
    }

    /// Under a number.
    #[must_use]
    pub fn release(self, store: &str, number: u64, trial_s: u32) -> Release {
        let why = match self.commands.as_str() {
            "" => "store.toml".to_owned(),
            commands => format!("store.toml with {commands}"),
        };
        Release {
            store: store.to_owned(),
            number,
            why,
            trial_s,
            store_toml: self.store_toml,
            changes: self.changes,
        }
    }
}
