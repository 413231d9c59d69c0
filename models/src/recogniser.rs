//! Which product is this: an embedding against a [`Gallery`], as probabilities that sum to 1 with "none of these".
//!
//! Embeddings are first whitened by what the gallery itself shows (`whitening.rs`). A product's score is then part cosine
//! to the centroid of its pictures, part mean cosine of its nearest pictures: the centroid is steady with few pictures,
//! the nearest ones know the sides of a package. Scores become probabilities by a softmax whose temperature, and "none of these" by a logistic of the best score whose threshold, were fitted on
//! photographs that the model was not trained on (`models/training/fit.py`).
//!
//! Limits: the figures hold for crops like those it was fitted on, one product filling most of the picture. With one
//! candidate the answer is still open: it may be none of these.

use linefree_domain::ids::Sku;
use serde::Deserialize;

use crate::embedder::Embedding;
use crate::gallery::Gallery;
use crate::whitening::Whitening;

/// How scores become probabilities; fitted for one model, so it is in the manifest beside it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecogniserConfig {
    /// Share of the centroid in a score, 0 to 1; the rest is the nearest pictures'.
    pub centroid_share: f32,
    /// Most pictures that count as nearest; of a product with few pictures a fifth, at least one.
    pub nearest: usize,
    /// How many pictures the assumption weighs that pictures of one product differ alike in every direction.
    pub scatter_prior: f64,
    /// How many products the assumption weighs that their common centre is zero.
    pub centre_prior: f64,
    /// Divides scores before the softmax.
    pub temperature: f32,
    /// Best score at which known and unknown are equally likely.
    pub unknown_score: f32,
    /// How fast "unknown" falls beyond it, in score.
    pub unknown_width: f32,
}

impl RecogniserConfig {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let positive = |v: f32| v.is_finite() && v > 0.0;
        if !(0.0..=1.0).contains(&self.centroid_share) || !self.unknown_score.is_finite() {
            Some("recogniser.centroid_share must be 0 to 1 and recogniser.unknown_score finite")
        } else if ![self.scatter_prior, self.centre_prior].iter().all(|v| v.is_finite() && *v > 0.0) {
            Some("recogniser.scatter_prior and centre_prior must be positive")
        } else if self.nearest == 0 || !positive(self.temperature) || !positive(self.unknown_width) {
            Some("recogniser.nearest, temperature and unknown_width must be positive")
        } else {
            None
        }
    }
}

/// A product that it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The product.
    pub sku: Sku,
    /// Probability that it is this one.
    pub p: f64,
}

/// What a crop shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// Likeliest first; with `unknown` they sum to 1.
    pub candidates: Vec<Candidate>,
    /// Probability that it is none of them.
    pub unknown: f64,
}

impl Recognition {
    /// What attribution takes as a view: how likely the picture is if each candidate was handled.
    ///
    /// "None of these" says nothing for or against any of them, so it is shared out evenly: a picture of a bare hand
    /// changes nothing.
    pub fn likelihood(&self) -> impl Iterator<Item = (&Sku, f64)> {
        let even = self.unknown / self.candidates.len().max(1) as f64;
        self.candidates.iter().map(move |c| (&c.sku, c.p + even))
    }
}

/// One product as it is compared.
#[derive(Debug)]
struct Product {
    sku: Sku,
    centroid: Option<Embedding>,
    pictures: Vec<Embedding>,
}

/// A gallery made ready to be asked.
#[derive(Debug)]
pub struct Recogniser {
    config: RecogniserConfig,
    whitening: Option<Whitening>,
    products: Vec<Product>,
}

impl Recogniser {
    /// For every product of the gallery.
    #[must_use]
    pub fn new(gallery: &Gallery, config: RecogniserConfig) -> Self {
        let pictures = gallery.products().values().map(Vec::as_slice);
        let whitening = Whitening::of(pictures, config.scatter_prior, config.centre_prior);
        let products = gallery.products().iter().filter(|(_, pictures)| !pictures.is_empty());
        let products = products.map(|(sku, pictures)| {
            let pictures: Vec<Embedding> = pictures.iter().map(|p| whitened(whitening.as_ref(), p)).collect();
            Product { sku: sku.clone(), centroid: centroid(&pictures), pictures }
        });
        let products = products.collect();
        Self { config, whitening, products }
    }

    /// The products of `among` that are not enrolled.
    #[must_use]
    pub fn missing<'a>(&self, among: &'a [Sku]) -> Vec<&'a Sku> {
        among.iter().filter(|sku| !self.products.iter().any(|p| p.sku == **sku)).collect()
    }

    /// Which of the enrolled products the embedding shows: of `among`, or of all.
    #[must_use]
    pub fn recognise(&self, seen: &Embedding, among: Option<&[Sku]>) -> Recognition {
        let seen = &whitened(self.whitening.as_ref(), seen);
        let asked = |p: &&Product| among.is_none_or(|skus| skus.contains(&p.sku));
        let mut scored: Vec<(&Sku, f64)> =
            self.products.iter().filter(asked).map(|p| (&p.sku, f64::from(self.score(p, seen)))).collect();
        // Equal scores stay in the order of SKUs: the same picture, the same answer.
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some(best) = scored.first().map(|(_, score)| *score) else {
            return Recognition { candidates: Vec::new(), unknown: 1.0 };
        };
        let c = &self.config;
        let known = 1.0 / (1.0 + ((f64::from(c.unknown_score) - best) / f64::from(c.unknown_width)).exp());
        let weights = scored.iter().map(|(_, score)| ((score - best) / f64::from(c.temperature)).exp());
        let sum: f64 = weights.clone().sum();
        let candidates = scored
            .iter()
            .zip(weights)
            .map(|((sku, _), weight)| Candidate { sku: (*sku).clone(), p: known * weight / sum })
            .collect();
        Recognition { candidates, unknown: 1.0 - known }
    }

    fn score(&self, product: &Product, seen: &Embedding) -> f32 {
        let mut near: Vec<f32> = product.pictures.iter().map(|p| p.cosine(seen)).collect();
        near.sort_by(|a, b| b.total_cmp(a));
        near.truncate((near.len() / 5).min(self.config.nearest).max(1));
        let nearest = near.iter().sum::<f32>() / near.len() as f32;
        // Pictures that cancel out have no centroid: the nearest alone speak.
        let centre = product.centroid.as_ref().map_or(nearest, |c| c.cosine(seen));
        self.config.centroid_share * centre + (1.0 - self.config.centroid_share) * nearest
    }
}

/// As it is compared. A picture that is the centre of all has no direction from there, and stays as it is.
fn whitened(whitening: Option<&Whitening>, seen: &Embedding) -> Embedding {
    whitening.and_then(|w| w.apply(seen)).unwrap_or_else(|| seen.clone())
}

/// The direction of the mean.
fn centroid(pictures: &[Embedding]) -> Option<Embedding> {
    let mut sum = vec![0.0_f32; pictures.first()?.values().len()];
    for picture in pictures {
        sum.iter_mut().zip(picture.values()).for_each(|(s, v)| *s += v / pictures.len() as f32);
    }
    Embedding::of(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: RecogniserConfig = RecogniserConfig {
        centroid_share: 0.5,
        nearest: 5,
        scatter_prior: 1000.0,
        centre_prior: 20.0,
        temperature: 0.05,
        unknown_score: 0.6,
        unknown_width: 0.05,
    };

    fn sku(text: &str) -> Sku {
        Sku::new(text).unwrap()
    }

    fn picture(values: [f32; 3]) -> Embedding {
        Embedding::of(values.to_vec()).unwrap()
    }

    fn recogniser() -> Recogniser {
        let mut gallery = Gallery::new("m", "d", 3);
        for (name, values) in [
            ("milk", [1.0, 0.1, 0.0]),
            ("milk", [1.0, 0.0, 0.1]),
            ("juice", [0.1, 1.0, 0.0]),
            ("tea", [0.7, 0.7, 0.0]),
        ] {
            gallery.enrol(&sku(name), picture(values));
        }
        Recogniser::new(&gallery, CONFIG)
    }

    fn sum(r: &Recognition) -> f64 {
        r.candidates.iter().map(|c| c.p).sum::<f64>() + r.unknown
    }

    #[test]
    fn the_nearest_product_is_likeliest_and_all_sums_to_one() {
        let found = recogniser().recognise(&picture([1.0, 0.05, 0.0]), None);
        assert_eq!(found.candidates[0].sku, sku("milk"));
        assert!(found.candidates[0].p > 0.9 && found.unknown < 0.01, "{found:?}");
        assert!((sum(&found) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_unknown_stays_unknown() {
        let found = recogniser().recognise(&picture([0.0, 0.0, 1.0]), None);
        assert!(found.unknown > 0.99, "{found:?}");
        assert!(found.likelihood().all(|(_, p)| (p - 1.0 / 3.0).abs() < 0.01), "it tells nothing: {found:?}");
        let empty = Recogniser::new(&Gallery::new("m", "d", 3), CONFIG);
        assert!(empty.recognise(&picture([1.0, 0.0, 0.0]), None).unknown > 0.999);
    }

    #[test]
    fn only_those_asked_about_are_answered() {
        let recogniser = recogniser();
        let among = [sku("juice"), sku("tea"), sku("cola")];
        let found = recogniser.recognise(&picture([1.0, 0.2, 0.0]), Some(&among));
        let names: Vec<&str> = found.candidates.iter().map(|c| c.sku.as_str()).collect();
        assert_eq!(names, ["tea", "juice"]);
        assert!((sum(&found) - 1.0).abs() < 1e-9);
        let evidence: Vec<f64> = found.likelihood().map(|(_, p)| p).collect();
        assert!((evidence.iter().sum::<f64>() - 1.0).abs() < 1e-9 && evidence[0] > evidence[1]);
        assert_eq!(recogniser.missing(&among), [&sku("cola")]);
        assert!(recogniser.recognise(&picture([1.0, 0.2, 0.0]), Some(&[])).unknown > 0.999);
    }
}
