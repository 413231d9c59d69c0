//! What commands and people may speak of: store.toml, and over it what the cloud has commanded since.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::layout::StoreLayout;
use rusqlite::{Connection, OptionalExtension};

use super::{Doing, LedgerError};
use crate::cloud::command::{Command, CommandBody, Price};

/// What commands may speak of.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// Products of store.toml.
    pub skus: BTreeSet<String>,
    /// Plates.
    pub plates: BTreeSet<String>,
    /// Which products lie on which plates: plate, SKU.
    pub facings: Vec<(String, String)>,
    /// Prices of store.toml by SKU, minor units.
    pub prices_minor: BTreeMap<String, i64>,
    /// ISO 4217; `None` where there are no products.
    pub currency: Option<String>,
}

impl StoreFacts {
    /// Of a store.
    #[must_use]
    pub fn of(layout: &StoreLayout) -> Self {
        Self {
            skus: layout.products.iter().map(|p| p.sku.to_string()).collect(),
            plates: layout.plates.iter().map(|p| p.id.to_string()).collect(),
            facings: facings_of(layout),
            prices_minor: layout.products.iter().map(|p| (p.sku.to_string(), p.price.minor)).collect(),
            currency: Some(layout.currency.to_string()),
        }
    }
}

fn facings_of(layout: &StoreLayout) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for facing in &layout.facings {
        let Some(product) = layout.products.get(facing.product.0) else { continue };
        let plates = facing.plates.iter().filter_map(|p| layout.plates.get(p.0));
        all.extend(plates.map(|plate| (plate.id.to_string(), product.sku.to_string())));
    }
    all
}

/// The command of a kind that is in force, if any: its version and whole text.
pub(super) fn in_force(conn: &Connection, kind: &str) -> Result<Option<(u64, String)>, LedgerError> {
    conn.query_row(
        "SELECT i.version, c.told FROM in_force i JOIN commands c USING (command_seq) WHERE i.kind = ?",
        [kind],
        |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get(1)?)),
    )
    .optional()
    .doing("reading what is in force")
}

/// What the command of a kind that is in force says. It was judged when it was taken; one that a later program wrote
/// otherwise says nothing.
fn body_in_force(conn: &Connection, kind: &str) -> Result<Option<CommandBody>, LedgerError> {
    let body = |(_, told): (u64, String)| {
        let command = serde_json::from_str::<Command>(&told).ok()?;
        serde_json::from_value(command.body).ok()
    };
    Ok(in_force(conn, kind)?.and_then(body))
}

/// Prices of store.toml, and over them those in force.
pub(super) fn known_prices(
    conn: &Connection,
    facts: &StoreFacts,
) -> Result<BTreeMap<String, i64>, LedgerError> {
    let mut known = facts.prices_minor.clone();
    if let Some(CommandBody::Prices { prices, .. }) = body_in_force(conn, "prices")? {
        known.extend(prices.into_iter().map(|Price { sku, unit_price_minor }| (sku, unit_price_minor)));
    }
    Ok(known)
}

/// Products of store.toml and of the catalogue in force.
pub(super) fn known_skus(conn: &Connection, facts: &StoreFacts) -> Result<BTreeSet<String>, LedgerError> {
    let mut known = facts.skus.clone();
    if let Some(CommandBody::Catalogue { products }) = body_in_force(conn, "catalogue")? {
        known.extend(products.into_iter().map(|p| p.sku));
    }
    Ok(known)
}

/// Which products lie on which plates, plate and SKU: by the planogram in force, else by store.toml.
pub(super) fn known_facings(
    conn: &Connection,
    facts: &StoreFacts,
) -> Result<Vec<(String, String)>, LedgerError> {
    let Some(CommandBody::Planogram { facings }) = body_in_force(conn, "planogram")? else {
        return Ok(facts.facings.clone());
    };
    let of = |f: crate::cloud::command::PlannedFacing| {
        f.plates.into_iter().map(move |plate| (plate, f.sku.clone())).collect::<Vec<_>>()
    };
    Ok(facings.into_iter().flat_map(of).collect())
}
