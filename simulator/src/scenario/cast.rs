//! Which products the letters of a scenario stand for.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use linefree_domain::ids::{PlateIndex, ProductIndex};
use linefree_domain::layout::{Facing, StoreLayout};

use super::Scenario;
use crate::chance::Chance;

/// What a scenario wants of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `any`
    Any,
    /// `alike A`: weighs as much.
    Alike(String),
    /// `half of A`: weighs half as much.
    Half(String),
    /// `beside A`: lies on the neighbouring plates.
    Beside(String),
    /// `near A`: lies on the same gondola.
    Near(String),
    /// `far from A`: lies on another gondola.
    Far(String),
}

impl Wish {
    /// Reads a wish.
    ///
    /// # Errors
    /// When it is not one of those above.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let own = |s: &str| s.to_owned();
        Ok(match words[..] {
            ["any"] => Self::Any,
            ["alike", a] => Self::Alike(own(a)),
            ["half", "of", a] => Self::Half(own(a)),
            ["beside", a] => Self::Beside(own(a)),
            ["near", a] => Self::Near(own(a)),
            ["far", "from", a] => Self::Far(own(a)),
            _ => bail!("{text:?} is no wish; write any, alike A, half of A, beside A, near A or far from A"),
        })
    }

    /// The product that it compares with.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Alike(a) | Self::Half(a) | Self::Beside(a) | Self::Near(a) | Self::Far(a) => Some(a),
        }
    }
}

/// The products of a scenario, by letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cast {
    parts: BTreeMap<String, ProductIndex>,
}

/// A cast this far from what was wished is good enough.
const GOOD: f64 = 0.01;

impl Cast {
    /// Finds products that are what the scenario wishes, as nearly as this store has them.
    ///
    /// # Errors
    /// When the store has fewer products than the scenario needs.
    pub fn new(scenario: &Scenario, layout: &StoreLayout, chance: &mut Chance) -> anyhow::Result<Self> {
        let mut wishes: Vec<(&String, Wish)> = Vec::new();
        for (letter, text) in &scenario.products {
            wishes.push((letter, Wish::parse(text)?));
        }
        // Free ones first, then those that compare with what is there already.
        wishes.sort_by_key(|(letter, wish)| (wish.other().is_some(), (*letter).clone()));
        let mut lying: Vec<ProductIndex> = layout.facings.iter().map(|f| f.product).collect();
        lying.sort_unstable();
        lying.dedup();
        ensure!(lying.len() >= wishes.len(), "the store has only {} products", lying.len());
        let mut best: Option<(f64, Self)> = None;
        for _ in 0..60 {
            let (misfit, cast) = Self::attempt(&wishes, &lying, layout, chance)?;
            if best.as_ref().is_none_or(|(b, _)| misfit < *b) {
                best = Some((misfit, cast));
            }
            if best.as_ref().is_some_and(|(b, _)| *b < GOOD) {
                break;
            }
        }
        best.map(|(_, cast)| cast).context("no product was cast")
    }

    fn attempt(
        wishes: &[(&String, Wish)],
        lying: &[ProductIndex],
        layout: &StoreLayout,
        chance: &mut Chance,
    ) -> anyhow::Result<(f64, Self)> {
        let mut cast = Self::default();
        let mut sum = 0.0;
        for (letter, wish) in wishes {
            let mut free: Vec<ProductIndex> =
                lying.iter().copied().filter(|p| !cast.parts.values().any(|q| q == p)).collect();
            chance.shuffle(&mut free);
            let other = wish.other().map(|a| cast.product(a)).transpose()?;
            let misfit = |p: &ProductIndex| other.map_or(0.0, |a| misfit(wish, layout, *p, a));
            let chosen = free.iter().map(|p| (misfit(p), *p)).min_by(|a, b| a.0.total_cmp(&b.0));
            let (cost, product) = chosen.context("the store has too few products")?;
            sum += cost;
            cast.parts.insert((*letter).clone(), product);
        }
        Ok((sum, cast))
    }

    /// What a letter stands for.
    ///
    /// # Errors
    /// When it stands for nothing.
    pub fn product(&self, letter: &str) -> anyhow::Result<ProductIndex> {
        self.parts.get(letter).copied().with_context(|| format!("[products] has no {letter}"))
    }
}

/// The facing of a product that is its home.
pub fn home(layout: &StoreLayout, product: ProductIndex) -> Option<&Facing> {
    layout.facings.iter().find(|f| f.product == product)
}

fn misfit(wish: &Wish, layout: &StoreLayout, p: ProductIndex, a: ProductIndex) -> f64 {
    let weight_g = |p: ProductIndex| layout.products[p.0].weight.mean_g;
    let off = |wanted: f64| ((weight_g(p) - wanted) / wanted).abs();
    let (Some(mine), Some(theirs)) = (home(layout, p), home(layout, a)) else { return 100.0 };
    let gondola = |f: &Facing| f.plates.first().map(|p| layout.plates[p.0].gondola);
    match wish {
        Wish::Any => 0.0,
        Wish::Alike(_) => off(weight_g(a)),
        Wish::Half(_) => off(weight_g(a) / 2.0),
        Wish::Beside(_) => {
            let place = |f: &Facing, p: Option<&PlateIndex>| {
                p.or(f.plates.first()).map(|p| layout.plates[p.0].id.place().to_owned())
            };
            let same = place(mine, None) == place(theirs, None);
            let gap = |x: &Facing, y: &Facing| {
                let (last, first) = (x.plates.iter().max(), y.plates.iter().min());
                last.zip(first).map_or(9, |(a, b)| if b.0 > a.0 { b.0 - a.0 } else { 9 })
            };
            let between = gap(mine, theirs).min(gap(theirs, mine));
            if same && between == 1 {
                0.0
            } else if same {
                0.5
            } else {
                5.0
            }
        }
        Wish::Near(_) => f64::from(u8::from(gondola(mine) != gondola(theirs))),
        Wish::Far(_) => f64::from(u8::from(gondola(mine) == gondola(theirs))),
    }
}
