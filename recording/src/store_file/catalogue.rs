//! `[[product]]` and `[[facing]]`: what is sold, what one item weighs, and where it lies.

use std::collections::{BTreeMap, BTreeSet};

use linefree_domain::ids::{PlateIndex, ProductIndex, Sku};
use linefree_domain::layout::{Facing, ItemWeight, Product};
use linefree_domain::units::Money;

use super::layout::filled;
use crate::toml_walk::{Node, Table};

/// Spread between items of one SKU that is assumed where store.toml gives a plain number: 1 % of the mean.
///
/// Items of one SKU were measured to spread by 0.1 to 5 %, most of them by less than 1.
pub const DEFAULT_SD_FRACTION: f64 = 0.01;

/// The least spread that is assumed where store.toml gives none, grams.
pub const MIN_DEFAULT_SD_G: f64 = 1.0;

/// The least spread that is believed where store.toml gives one, grams: even coins are not all alike.
pub const MIN_SD_G: f64 = 0.1;

/// How many samples the assumed spread is worth beside measured ones.
const PRIOR_SAMPLES: f64 = 2.0;

/// The longest SKU, characters.
const MAX_SKU_CHARS: usize = 32;

pub(super) fn read(root: &mut Table<'_>, plates: &BTreeMap<&str, PlateIndex>) -> (Vec<Product>, Vec<Facing>) {
    let mut by_sku: BTreeMap<String, ProductIndex> = BTreeMap::new();
    // SKUs whose product is otherwise wrong: a facing that names one is not a second mistake.
    let mut named: BTreeSet<String> = BTreeSet::new();
    let mut products = Vec::new();
    for (_, mut t) in root.tables("product") {
        let sku_node = t.need("sku", "write the product's GTIN, or any code of up to 32 characters");
        let sku = sku_node.as_ref().and_then(read_sku);
        if let (Some(sku), Some(n)) = (&sku, &sku_node)
            && !named.insert(sku.as_str().to_owned())
        {
            n.mistake(format!("{:?} is the SKU of an earlier product", sku.as_str()), "keep one of the two");
        }
        let name = t.need("name", "write what people call it").and_then(|n| filled(&n, "the product's name"));
        let price =
            t.need("price", "write the price in minor units: 199 for 1.99").and_then(|n| read_price(&n));
        let weight = t
            .need("weight_g", "write what one item weighs in grams, or { mean, sd }, or { samples = [...] }")
            .and_then(|n| read_weight(&n));
        t.finish();
        if let (Some(sku), Some(name), Some(price), Some(weight)) = (sku, name, price, weight) {
            by_sku.insert(sku.as_str().to_owned(), ProductIndex(products.len()));
            products.push(Product { sku, name, price, weight });
        }
    }
    let facings = read_facings(root, plates, &by_sku, &named);
    (products, facings)
}

fn read_sku(node: &Node<'_>) -> Option<Sku> {
    let sku = node.id("a GTIN or any other code", |s| {
        let chars = s.chars().count();
        if chars > MAX_SKU_CHARS {
            return Err(format!("{s:?} has {chars} characters, a SKU has at most {MAX_SKU_CHARS}"));
        }
        Sku::new(s).map_err(|e| e.to_string())
    })?;
    if let Some(expected) = gtin_check_digit(sku.as_str())
        && !sku.as_str().ends_with(expected)
    {
        node.warn(
            format!("{:?} looks like a GTIN, but its check digit would be {expected}", sku.as_str()),
            "compare it with the barcode; it is taken as it is",
        );
    }
    Some(sku)
}

/// The check digit that a GTIN of 8, 12, 13 or 14 digits should end in (GS1 General Specifications, 7.9.1);
/// `None` for any other text.
#[must_use]
pub fn gtin_check_digit(text: &str) -> Option<char> {
    if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let body = text.bytes().rev().skip(1);
    let sum: u32 = body.zip([3, 1].into_iter().cycle()).map(|(b, weight)| u32::from(b - b'0') * weight).sum();
    char::from_digit((10 - sum % 10) % 10, 10)
}

fn read_price(node: &Node<'_>) -> Option<Money> {
    let minor = node.int("a whole number of minor units: 199 for 1.99")?;
    if minor < 0 {
        node.mistake(format!("is {minor}"), "a price is not negative; write minor units: 199 for 1.99");
        return None;
    }
    Some(Money::from_minor(minor))
}

fn read_weight(node: &Node<'_>) -> Option<ItemWeight> {
    if !node.is_table() {
        let mean_g = positive(node, "grams, or { mean = 538.0, sd = 2.0 }, or { samples = [537.0, 539.5] }")?;
        return Some(ItemWeight { mean_g, sd_g: default_sd_g(mean_g) });
    }
    let mut t = node.table("a weight")?;
    let (mean, sd, samples) = (t.get("mean"), t.get("sd"), t.get("samples"));
    t.finish();
    match (mean, sd, samples) {
        (Some(mean), Some(sd), None) => {
            let mean_g = positive(&mean, "grams");
            let sd_g = sd.num("grams").filter(|v| {
                if *v < 0.0 {
                    sd.mistake(format!("is {v}"), "a standard deviation is not negative");
                }
                *v >= 0.0
            });
            Some(ItemWeight { mean_g: mean_g?, sd_g: sd_g?.max(MIN_SD_G) })
        }
        (None, None, Some(samples)) => {
            let list = samples.array("a list of weighed items in grams")?;
            if list.is_empty() {
                samples.mistake("is empty", "weigh at least one item, or write a plain number");
                return None;
            }
            let grams: Vec<Option<f64>> = list.iter().map(|n| positive(n, "grams")).collect();
            Some(from_samples(&grams.into_iter().collect::<Option<Vec<_>>>()?))
        }
        _ => {
            node.mistake(
                "is neither { mean, sd } nor { samples }",
                "write a number of grams, { mean = 538.0, sd = 2.0 } or { samples = [537.0, 539.5] }",
            );
            None
        }
    }
}

fn positive(node: &Node<'_>, wanted: &str) -> Option<f64> {
    let value = node.num(wanted)?;
    if value <= 0.0 {
        node.mistake(format!("is {value} g"), "an item weighs more than 0 g");
        return None;
    }
    Some(value)
}

/// How much items of one product differ in weight where nobody has weighed any, as a standard deviation in grams.
#[must_use]
pub fn default_sd_g(mean_g: f64) -> f64 {
    (mean_g * DEFAULT_SD_FRACTION).max(MIN_DEFAULT_SD_G)
}

/// Mean and spread of weighed items.
///
/// Two or three samples say little about a spread and may agree by chance, so the default spread counts as
/// [`PRIOR_SAMPLES`] further degrees of freedom (a scaled inverse chi-square prior; Gelman et al., Bayesian Data
/// Analysis, 3rd ed., 2.6). The mean's own uncertainty, s2 / n, is part of what the next item may differ by.
fn from_samples(grams: &[f64]) -> ItemWeight {
    let n = grams.len() as f64;
    let mean_g = grams.iter().sum::<f64>() / n;
    let squares: f64 = grams.iter().map(|g| (g - mean_g).powi(2)).sum();
    let prior = default_sd_g(mean_g).powi(2);
    let variance = (PRIOR_SAMPLES * prior + squares) / (PRIOR_SAMPLES + n - 1.0);
    ItemWeight { mean_g, sd_g: (variance * (1.0 + 1.0 / n)).sqrt().max(MIN_SD_G) }
}

fn read_facings(
    root: &mut Table<'_>,
    plates: &BTreeMap<&str, PlateIndex>,
    by_sku: &BTreeMap<String, ProductIndex>,
    named: &BTreeSet<String>,
) -> Vec<Facing> {
    let mut facings = Vec::new();
    let mut seen: BTreeSet<(ProductIndex, Vec<PlateIndex>)> = BTreeSet::new();
    for (node, mut t) in root.tables("facing") {
        let product = t.need("sku", "write the SKU of a [[product]]").and_then(|n| {
            let sku = n.str("the SKU of a [[product]]")?;
            let product = by_sku.get(sku).copied();
            if product.is_none() && !named.contains(sku) {
                n.mistake(
                    format!("no [[product]] has the SKU {sku:?}"),
                    "correct the SKU or add the product",
                );
            }
            product
        });
        let list = t.need("plates", "list the plates it lies on: [\"1/5/10\"]").and_then(|n| {
            let list = n.array("a list of plates: [\"1/5/10\"]")?;
            if list.is_empty() {
                n.mistake("is empty", "list the plates it lies on, or remove the facing");
            }
            let found: Vec<Option<PlateIndex>> = list.iter().map(|n| read_plate(n, plates)).collect();
            let found: Vec<PlateIndex> = found.into_iter().collect::<Option<_>>()?;
            let distinct: BTreeSet<PlateIndex> = found.iter().copied().collect();
            if distinct.len() < found.len() {
                n.mistake("names a plate twice", "name each plate once");
                return None;
            }
            Some(found)
        });
        let count = t.get("count").and_then(|n| {
            let value = n.int("how many items lie there")?;
            let count = u32::try_from(value).ok();
            if count.is_none() {
                n.mistake(format!("is {value}"), "write how many items lie there, or leave it out");
            }
            count
        });
        t.finish();
        let (Some(product), Some(list)) = (product, list) else { continue };
        if list.is_empty() {
            continue;
        }
        let mut key = list.clone();
        key.sort();
        if !seen.insert((product, key)) {
            node.warn("repeats an earlier facing", "remove one of the two");
        }
        facings.push(Facing { product, plates: list, count });
    }
    facings
}

fn read_plate(node: &Node<'_>, plates: &BTreeMap<&str, PlateIndex>) -> Option<PlateIndex> {
    let id = node.str("a plate, gondola/shelf/plate")?;
    let found = plates.get(id).copied();
    if found.is_none() {
        node.mistake(
            format!("no plate is called {id:?}"),
            "write gondola/shelf/plate as [[gondola]] and [[gondola.shelf]] name them",
        );
    }
    found
}
