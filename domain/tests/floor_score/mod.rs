//! How good are shoppers on the floor? IDF1, identity switches and position error against the truth.
//!
//! IDF1 (Ristani et al., ECCV 2016 workshops) with a distance instead of an overlap; switches as CLEAR MOT counts
//! them (Bernardin and Stiefelhagen, 2008): a match is kept while it is within the distance.

use std::collections::BTreeMap;

use linefree_domain::tracking::Assignment;
use nalgebra::Point2;

/// Everybody at one moment: who is where.
pub type Moment = Vec<(u32, Point2<f64>)>;

/// The figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub idf1: f64,
    pub switches: usize,
    pub recall: f64,
    pub precision: f64,
    pub median_error_m: f64,
    pub p95_error_m: f64,
}

/// Compares moments pairwise: `truth[k]` and `found[k]` are of the same time.
pub fn score(truth: &[Moment], found: &[Moment], within_m: f64) -> Score {
    assert_eq!(truth.len(), found.len());
    let mut overlap: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    let mut kept: BTreeMap<u32, u32> = BTreeMap::new();
    let mut errors: Vec<f64> = Vec::new();
    let mut switches = 0;
    let (mut truths, mut founds) = (0, 0);
    let mut assignment = Assignment::default();
    for (t, f) in truth.iter().zip(found) {
        truths += t.len();
        founds += f.len();
        assignment.reset(t.len(), f.len());
        for (row, (id, at)) in t.iter().enumerate() {
            for (column, (other, there)) in f.iter().enumerate() {
                let d = (at - there).norm();
                if d < within_m {
                    *overlap.entry((*id, *other)).or_default() += 1.0;
                    let held = kept.get(id) == Some(other);
                    assignment.set(row, column, d / within_m - if held { 100.0 } else { 0.0 });
                }
            }
        }
        for (row, pair) in assignment.solve(1.0).iter().enumerate() {
            let Some(column) = *pair else { continue };
            let ((id, at), (other, there)) = (t[row], f[column]);
            errors.push((at - there).norm());
            if kept.insert(id, other).is_some_and(|before| before != other) {
                switches += 1;
            }
        }
    }
    let rows: Vec<u32> = unique(overlap.keys().map(|k| k.0));
    let columns: Vec<u32> = unique(overlap.keys().map(|k| k.1));
    assignment.reset(rows.len(), columns.len());
    for ((id, other), count) in &overlap {
        let (row, column) = (rows.binary_search(id).unwrap(), columns.binary_search(other).unwrap());
        assignment.set(row, column, -count);
    }
    let pairs = assignment.solve(0.0).to_vec();
    let id_true: f64 =
        pairs.iter().enumerate().filter_map(|(r, c)| Some(overlap[&(rows[r], columns[(*c)?])])).sum();
    errors.sort_by(f64::total_cmp);
    let quantile = |q: f64| errors.get((q * errors.len() as f64) as usize).copied().unwrap_or(f64::NAN);
    Score {
        idf1: 2.0 * id_true / (truths + founds) as f64,
        switches,
        recall: errors.len() as f64 / truths as f64,
        precision: errors.len() as f64 / founds as f64,
        median_error_m: quantile(0.5),
        p95_error_m: quantile(0.95),
    }
}

fn unique(ids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
