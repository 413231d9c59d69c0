//! `views.jsonl`: product vision made elsewhere, how likely each product is at a place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use linefree_domain::ids::ProductIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use serde::{Deserialize, Serialize};

use crate::json_lines::{JsonLines, wrong_t};
use crate::mistake::Mistake;

/// What was seen being taken or put at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewLine {
    /// When.
    pub time: StoreTime,
    /// Where: `gondola/shelf`.
    pub place: String,
    /// How likely the picture is for each product; not normalised, absent products are not excluded.
    pub likelihood: Vec<(ProductIndex, f64)>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawView {
    t: f64,
    place: String,
    likelihood: BTreeMap<String, f64>,
}

/// All lines, sorted by time; lines of the same time keep the file's order.
pub(crate) fn read(path: &Path, start: StoreTime, layout: &StoreLayout) -> Result<Vec<ViewLine>, Mistake> {
    let places: BTreeSet<&str> = layout.plates.iter().map(|p| p.id.place()).collect();
    let products: BTreeMap<&str, ProductIndex> =
        layout.products.iter().enumerate().map(|(i, p)| (p.sku.as_str(), ProductIndex(i))).collect();
    let mut lines = JsonLines::<RawView>::open(path)?;
    let mut all = Vec::new();
    while let Some(raw) = lines.next() {
        let raw = raw?;
        if let Some(remedy) = wrong_t(raw.t) {
            return Err(lines.mistake("t", format!("{} is not a time", raw.t), remedy));
        }
        if !places.contains(raw.place.as_str()) {
            let what = format!("store.toml has no shelf {:?} with plates", raw.place);
            return Err(lines.mistake("place", what, "write gondola/shelf"));
        }
        let mut likelihood = Vec::with_capacity(raw.likelihood.len());
        for (sku, value) in &raw.likelihood {
            let field = format!("likelihood.{sku}");
            let Some(product) = products.get(sku.as_str()) else {
                return Err(lines.mistake(
                    &field,
                    format!("store.toml has no product {sku:?}"),
                    "correct the SKU",
                ));
            };
            if !value.is_finite() || *value < 0.0 {
                return Err(lines.mistake(&field, format!("is {value}"), "a likelihood is not negative"));
            }
            likelihood.push((*product, *value));
        }
        all.push(ViewLine { time: start.plus_s(raw.t), place: raw.place, likelihood });
    }
    all.sort_by_key(|l| l.time);
    Ok(all)
}

/// One line of views.jsonl as it is written.
pub(crate) fn to_raw(t: f64, line: &ViewLine, layout: &StoreLayout) -> Option<RawView> {
    let named =
        |(p, value): &(ProductIndex, f64)| Some((layout.products.get(p.0)?.sku.as_str().to_owned(), *value));
    let likelihood = line.likelihood.iter().map(named).collect::<Option<_>>()?;
    Some(RawView { t, place: line.place.clone(), likelihood })
}
