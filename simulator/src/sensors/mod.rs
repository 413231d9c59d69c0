//! What cameras, gates and product vision make of what happened, with everything that they get wrong.

mod cameras;
mod faults;
mod sight;
mod views;

pub use cameras::{Look, observe};
pub use faults::{Faults, Trouble};
pub use sight::Scene;
pub use views::{Viewed, views};
