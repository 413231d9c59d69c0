//! Shelf events into who took what, with probability.
//!
//! For each shelf event the engine asks which *content* explains the change of weight (products and counts, on which
//! of the plates), and who could have reached there. Answers are joint: an item can only be put back by somebody who
//! holds it, a misplaced item can be taken from where it was put, and a later event may revise what was believed of
//! an earlier one. Belief is a set of weighted hypotheses over *holdings* (how many of which product each shopper
//! holds and lies misplaced on each plate), factored into clusters that do not depend on each other, as in
//! multiple-hypothesis tracking (Reid 1979; Blackman and Popoli 1999, ch. 16). The formulas and their sources are in
//! `docs/design/attribution.md`.
//!
//! Conservation holds in every hypothesis: an action moves an item between its shelf, a shopper and a place, and
//! never makes or loses one. Pruning is deterministic: by weight, then by content.

mod content;
mod engine;
mod handling;
mod hypotheses;
mod reach;
mod view;

pub use engine::{Attribution, AttributionConfig, Candidate, QuantityOdds};
pub use handling::Handling;
pub(crate) use handling::JUDGED_AFTER_S;
pub use hypotheses::Holder;
pub use reach::{Reach, ReachConfig};
pub use view::ProductView;
