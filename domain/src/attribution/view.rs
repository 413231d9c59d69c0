//! Product vision as evidence: what a picture of a place says about the product that was handled there.

use super::content::Content;
use crate::ids::ProductIndex;
use crate::layout::StoreLayout;
use crate::shelf::ShelfEvent;
use crate::time::StoreTime;

/// What product vision made of one look at a shelf while something was handled there.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductView {
    /// When.
    pub time: StoreTime,
    /// Where: `gondola/shelf`.
    pub place: String,
    /// How likely the picture is for each product; not normalised, absent products are not excluded.
    pub likelihood: Vec<(ProductIndex, f64)>,
}

/// A view belongs to an event that it is no further from in time than this, seconds: clocks and frames differ.
const NEAR_S: f64 = 0.7;
/// Share of views that show something else: another hand, another item, a mistaken model.
const ASTRAY: f64 = 0.15;
/// What a view that went astray says of any product.
const ASTRAY_LIKELIHOOD: f64 = 0.1;
/// Several views of one event share their light and angle: this much of each is believed.
const TEMPER: f64 = 0.8;

impl ProductView {
    /// May it show what happened in this event?
    #[must_use]
    pub fn shows(&self, event: &ShelfEvent, layout: &StoreLayout) -> bool {
        self.time.seconds_since(event.start()) >= -NEAR_S
            && event.end().seconds_since(self.time) >= -NEAR_S
            && event.changes.iter().any(|c| layout.plates[c.plate.0].id.place() == self.place)
    }

    fn of(&self, product: ProductIndex) -> f64 {
        let told =
            self.likelihood.iter().find(|(p, _)| *p == product).map_or(0.0, |(_, l)| l.clamp(0.0, 1.0));
        (1.0 - ASTRAY) * told + ASTRAY * ASTRAY_LIKELIHOOD
    }

    /// Log-likelihood of the view if this is what happened. A view shows one of the things that moved; where nothing
    /// in the catalogue moved it shows anything.
    pub(super) fn log_likelihood(&self, content: &Content) -> f64 {
        let n = content.actions.len();
        if n == 0 {
            return TEMPER * ASTRAY_LIKELIHOOD.ln();
        }
        let mean = content.actions.iter().map(|(a, _)| self.of(a.product)).sum::<f64>() / n as f64;
        TEMPER * mean.ln()
    }
}
