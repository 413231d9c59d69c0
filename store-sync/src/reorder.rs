//! What to order from suppliers: the method of [`linefree_domain::orders::reorder`] on what the ledger knows.
//!
//! Demand is what left the store on whole days; the running day is not a day yet. On a day on which a product was sold
//! out its demand is not known, and what was sold stands in for it: suggestions err on the low side then. Only counted
//! plates have a stock; of a product that nobody has counted, the store says so instead of guessing.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::orders::reorder::{Suggestion, Supply, suggest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cloud::command::{CatalogueProduct, Command, CommandBody};
use crate::ledger::read_sales::DAY_US;
use crate::ledger::{LedgerError, LedgerReader};

/// Days of sales that are looked at: four weeks, so that each day of the week counts the same.
pub const HISTORY_DAYS: u32 = 28;

/// What to order of one product.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reorder {
    /// The product.
    pub sku: String,
    /// Items to order, whole packs; `null` when nobody has counted what is there.
    pub quantity: Option<u32>,
    /// What stock is filled up to.
    pub up_to: u32,
    /// What can be sold; `null` when nobody has counted.
    pub on_hand: Option<i64>,
    /// Of it promised to online orders.
    pub reserved: u32,
    /// Mean sales of a day.
    pub daily_mean: f64,
    /// Their standard deviation.
    pub daily_sd: f64,
    /// The shelf life, not the service level, decides.
    pub limited_by_shelf_life: bool,
    /// Whole days of sales that this rests on.
    pub days: u32,
}

/// How each product is supplied, from the catalogue in force; the defaults for what it does not say.
fn supplies(reader: &LedgerReader, default: Supply) -> Result<BTreeMap<String, Supply>, LedgerError> {
    let Some(told) = reader.in_force("catalogue")? else { return Ok(BTreeMap::new()) };
    let body = serde_json::from_str::<Command>(&told).ok().map(|command| command.body);
    let Some(Ok(CommandBody::Catalogue { products })) = body.map(serde_json::from_value) else {
        return Ok(BTreeMap::new());
    };
    let supply = |p: CatalogueProduct| {
        let told = p.supply.unwrap_or_default();
        let supply = Supply {
            review_days: told.review_days.unwrap_or(default.review_days),
            lead_days: told.lead_days.unwrap_or(default.lead_days),
            shelf_life_days: told.shelf_life_days.or(default.shelf_life_days),
            pack: told.pack.unwrap_or(default.pack),
            ..default
        };
        (p.sku, supply)
    };
    Ok(products.into_iter().map(supply).collect())
}

/// Suggests for every product that was sold or counted, those to order first.
///
/// # Errors
/// [`LedgerError`].
pub fn suggestions(reader: &LedgerReader, now_us: i64, default: Supply) -> Result<Vec<Reorder>, LedgerError> {
    let today_us = now_us - now_us.rem_euclid(DAY_US);
    let first_us = reader.first_day_us()?.unwrap_or(today_us);
    // The day on which everything began is no whole day either.
    let known = (today_us - first_us).max(0) / DAY_US;
    let days = u32::try_from(known).unwrap_or(0).min(HISTORY_DAYS);
    let sold = reader.daily_sales(today_us, days)?;
    let supplies = supplies(reader, default)?;
    let mut on_hand: BTreeMap<String, i64> = BTreeMap::new();
    for row in reader.stock(u32::MAX)? {
        *on_hand.entry(row.sku).or_default() += row.quantity.max(0);
    }
    let mut reserved: BTreeMap<String, u32> = BTreeMap::new();
    for row in reader.open_tasks()? {
        if row.task.order.is_some() {
            *reserved.entry(row.task.sku).or_default() += row.task.quantity;
        }
    }
    let skus: BTreeSet<&String> = sold.keys().chain(on_hand.keys()).collect();
    let nothing = vec![0; days as usize];
    let mut out: Vec<Reorder> = skus
        .into_iter()
        .map(|sku| {
            let daily = sold.get(sku).unwrap_or(&nothing);
            let there = on_hand.get(sku).copied();
            let promised = reserved.get(sku).copied().unwrap_or(0);
            let free = u32::try_from(there.unwrap_or(0)).unwrap_or(0).saturating_sub(promised);
            let supply = supplies.get(sku).copied().unwrap_or(default);
            let Suggestion { quantity, up_to, daily_mean, daily_sd, limited_by_shelf_life } =
                suggest(daily, free, 0, &supply);
            Reorder {
                sku: sku.clone(),
                quantity: there.map(|_| quantity),
                up_to,
                on_hand: there,
                reserved: promised,
                daily_mean,
                daily_sd,
                limited_by_shelf_life,
                days,
            }
        })
        .collect();
    out.sort_by(|a, b| (b.quantity, &a.sku).cmp(&(a.quantity, &b.sku)));
    Ok(out)
}
