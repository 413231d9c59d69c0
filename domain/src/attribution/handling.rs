//! Declared handlings: somebody whom no camera follows, a robot above all, says what they do at which plates and when.
//!
//! A declaration is evidence, not a verdict. While it lasts, whoever declared it is one more who may have moved *that*
//! product on *those* plates, and a likely one; a change that weighs otherwise is explained as if nothing had been
//! declared. In every hypothesis it is counted what of the handling has happened ([`Holder::Handling`]), so that one
//! declared item explains one item: a second one is somebody else's, whichever of the two came first. When it is told
//! how many were moved, hypotheses in which it were other ones lose.

use std::collections::BTreeMap;

use super::content::Action;
use super::hypotheses::{Holder, Hypothesis};
use crate::ids::{HandlingId, PlateIndex, ProductIndex};
use crate::shelf::{PlateChange, ShelfEvent};
use crate::time::StoreTime;

/// What somebody whom no camera follows does at some plates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handling {
    /// Which one; the same again is the same, as it stands now.
    pub id: HandlingId,
    /// Where.
    pub plates: Vec<PlateIndex>,
    /// What.
    pub product: ProductIndex,
    /// How many are to be taken (positive) or put (negative).
    pub quantity: i32,
    /// When it began.
    pub from: StoreTime,
    /// When it ended; none while it goes on.
    pub to: Option<StoreTime>,
    /// How many were moved, once that is known.
    pub moved: Option<u32>,
}

/// A shelf feels a hand this long before whoever sends it says so, and settles so long after, seconds: messages travel.
const BEFORE_S: f64 = 2.0;
const AFTER_S: f64 = 3.0;
/// A handling whose end nobody tells has ended after this long, seconds.
const LONGEST_S: f64 = 900.0;
/// What happened is judged this long after its end, seconds: shelf events that belong to it are explained by then.
pub(crate) const JUDGED_AFTER_S: f64 = 10.0;
/// How likely whoever declares a handling is to have done it, as the density of a body that stands there, per square
/// metre: some twenty times a shopper who stands right before the plate and stays, which is as much as stance and manner say.
const DECLARED_PER_M2: f64 = 1500.0;
/// However empty the floor, a declaration makes its product no more than this much likelier than others; natural log.
const SURE: f64 = 5.3;
/// An item that was moved without a shelf event, and one that was not moved although a shelf event looks like it.
const UNFELT: f64 = 1e-3;
const UNTOLD: f64 = 0.02;
/// Handlings at one time; further ones push out the oldest.
const MOST: usize = 256;

/// The handlings that may matter to shelf events to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Handlings {
    all: BTreeMap<HandlingId, Handling>,
}

/// A handling during a shelf event, before it is known what the event was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declared {
    pub id: HandlingId,
    plates: Vec<PlateIndex>,
    pub product: ProductIndex,
    quantity: i32,
}

impl Declared {
    /// Log of its share in an action on these plates, where the people who are near have this log-likelihood together;
    /// none when it cannot be this action.
    pub fn log_share(
        &self,
        action: Action,
        changes: &[PlateChange],
        people: f64,
        done: &Hypothesis,
    ) -> Option<f64> {
        let left = self.quantity.unsigned_abs().saturating_sub(done.count(self.holder(), self.product));
        let fits = action.product == self.product
            && action.count.signum() == self.quantity.signum()
            && action.count.unsigned_abs() <= left
            && changes.iter().any(|c| self.plates.contains(&c.plate));
        fits.then(|| (DECLARED_PER_M2.ln() - people).min(SURE))
    }

    /// Where it is counted what has happened of it.
    pub fn holder(&self) -> Holder {
        Holder::Handling(self.id)
    }
}

impl Handling {
    fn end(&self) -> StoreTime {
        self.to.unwrap_or_else(|| self.from.plus_s(LONGEST_S))
    }

    /// What this leaves of the weight of a hypothesis that explains so many of its items; a natural log.
    pub(super) fn judged(&self, explained: u32) -> f64 {
        let Some(moved) = self.moved else { return 0.0 };
        let unfelt = f64::from(moved.saturating_sub(explained)) * UNFELT.ln();
        let untold = f64::from(explained.saturating_sub(moved)) * UNTOLD.ln();
        unfelt + untold
    }
}

impl Handlings {
    /// Takes a declaration in. What is known of an end is not forgotten when older news comes after it.
    pub fn declare(&mut self, mut handling: Handling) {
        if let Some(known) = self.all.get(&handling.id)
            && handling.to.is_none()
        {
            (handling.to, handling.moved) = (known.to, known.moved);
        }
        self.all.insert(handling.id, handling);
        while self.all.len() > MOST {
            let oldest = self.all.values().min_by_key(|h| (h.from, h.id)).map(|h| h.id);
            oldest.and_then(|id| self.all.remove(&id));
        }
    }

    /// Those that a shelf event may be part of.
    pub fn during(&self, event: &ShelfEvent) -> Vec<Declared> {
        self.all
            .values()
            .filter(|h| event.end() >= h.from.plus_s(-BEFORE_S) && event.start() <= h.end().plus_s(AFTER_S))
            .filter(|h| event.changes.iter().any(|c| h.plates.contains(&c.plate)))
            .map(|h| Declared {
                id: h.id,
                plates: h.plates.clone(),
                product: h.product,
                quantity: h.quantity,
            })
            .collect()
    }

    /// Takes out those that no shelf event from `until` on can be part of.
    pub fn take_over(&mut self, until: StoreTime) -> Vec<Handling> {
        let over: Vec<HandlingId> = self
            .all
            .values()
            .filter(|h| until.seconds_since(h.end()) > JUDGED_AFTER_S)
            .map(|h| h.id)
            .collect();
        over.into_iter().filter_map(|id| self.all.remove(&id)).collect()
    }
}
