//! From a model's raw outputs to candidate boxes, one module for each kind of head.
//!
//! Every head writes candidates in the model's input pixels into a buffer that it does not own, at most
//! [`CANDIDATES_MAX`] (the strongest are kept), in no particular order.

mod centernet;
mod nanodet;
mod yolox;

use serde::Deserialize;

use crate::manifest::Task;

pub(crate) use centernet::decode as decode_centernet;
pub(crate) use nanodet::decode as decode_nanodet;
pub(crate) use yolox::decode as decode_yolox;

/// More candidates than this in one frame are not people; the weakest are dropped.
pub const CANDIDATES_MAX: usize = 1_000;

/// COCO's class for a person.
const PERSON: usize = 0;

/// COCO's number of classes.
const CLASSES: usize = 80;

/// Down-sampling of the three levels of a feature pyramid.
const STRIDES: [usize; 3] = [8, 16, 32];

/// How a model's outputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// CenterNet (Zhou et al., Objects as Points, 2019): a heat map of centres and a map of sizes.
    Centernet,
    /// YOLOX (Ge et al., 2021): one row per cell: box, objectness, classes.
    Yolox,
    /// NanoDet with generalised focal loss (Li et al., 2020): class maps, and distances as distributions.
    Nanodet,
    /// As CenterNet, at a stride of 8 and with a plane of heat for products and one for hands.
    Centres,
    /// No boxes: one unit vector for the whole input.
    Embedding,
}

impl Head {
    /// What models with it are for.
    #[must_use]
    pub const fn task(self) -> Task {
        match self {
            Self::Centernet | Self::Yolox | Self::Nanodet => Task::Person,
            Self::Centres => Task::Handling,
            Self::Embedding => Task::Product,
        }
    }

    /// How many outputs it reads.
    #[must_use]
    pub const fn output_count(self) -> usize {
        match self {
            Self::Centernet | Self::Centres => 2,
            Self::Yolox | Self::Embedding => 1,
            Self::Nanodet => 6,
        }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Centernet => "centernet",
            Self::Yolox => "yolox",
            Self::Nanodet => "nanodet",
            Self::Centres => "centres",
            Self::Embedding => "embedding",
        })
    }
}

/// A box before suppression, corners in input pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
    /// Score, 0 to 1.
    pub score: f32,
}

impl Candidate {
    fn is_sound(&self) -> bool {
        let finite = [self.left, self.top, self.right, self.bottom, self.score].iter().all(|v| v.is_finite());
        finite && self.right > self.left && self.bottom > self.top
    }
}

/// Adds a candidate unless it is no box or weaker than all of a full buffer.
fn push(out: &mut Vec<Candidate>, candidate: Candidate) {
    if !candidate.is_sound() {
        return;
    }
    if out.len() < CANDIDATES_MAX {
        out.push(candidate);
    } else if let Some(weakest) = out.iter_mut().min_by(|a, b| a.score.total_cmp(&b.score))
        && weakest.score < candidate.score
    {
        *weakest = candidate;
    }
}

/// The input's size, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputPx {
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl InputPx {
    /// Cells of a pyramid level, as columns and rows.
    pub(crate) const fn cells(self, stride: usize) -> (usize, usize) {
        (self.width / stride, self.height / stride)
    }
}

/// An output is shorter or longer than its head expects: the expected number of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongLength {
    /// Which output, in the head's order.
    pub output: usize,
    /// Values expected.
    pub expected: usize,
    /// Values found.
    pub found: usize,
}

pub(crate) fn expect_len(output: usize, values: &[f32], expected: usize) -> Result<(), WrongLength> {
    if values.len() == expected { Ok(()) } else { Err(WrongLength { output, expected, found: values.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_keeps_the_strongest() {
        let candidate = |score| Candidate { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0, score };
        let mut out = Vec::new();
        for i in 0..CANDIDATES_MAX + 10 {
            push(&mut out, candidate(i as f32 / 10_000.0));
        }
        assert_eq!(out.len(), CANDIDATES_MAX);
        let weakest = out.iter().map(|c| c.score).fold(1.0, f32::min);
        assert!((weakest - 10.0 / 10_000.0).abs() < 1e-6);
        push(&mut out, candidate(f32::NAN));
        push(&mut out, Candidate { right: -1.0, ..candidate(1.0) });
        assert!(out.iter().all(|c| c.score < 0.2), "neither is a box");
    }
}
