//! Robots: tasks in, VDA 5050 out, and what becomes of the tasks.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`control`] | master control: pure, `now` is passed in, messages come out |
//! | [`vehicle`] | what is known of one robot |
//! | [`trip`] | one order of VDA 5050: nodes released bit by bit |
//! | `sharing` | which robot takes what |
//! | `dispatching` | where each goes next, charging |
//! | `steering` | what a robot's state means for its trip and its tasks |
//! | `trouble` | time-outs, errors, lost robots, re-assignment, staff |
//! | `finding` | robots that master control does not know the place of, at its start above all |
//! | `handlings` | what they handle at shelves, for who must not be blamed for it |
//! | [`service`] | the shell: the broker's connection and the clock |
//!
//! **A trip is an order.** A robot drives to one resting place and works there: one `orderId`. Its base is what the
//! [`Traffic`](linefree_domain::fulfilment::traffic::Traffic) has released, the rest of the way is its horizon, and each
//! further release is an order update that begins with the last node of the base. So the stitching node never carries
//! actions, about which implementations of the standard differ.
//!
//! **Who owns the truth.** Where a robot is and what it has done, its `state` says; what it is to do and who may drive
//! where, master control says; what became of a task, the ledger says (through [`TaskUpdate`]). After a restart master
//! control knows nothing but what states tell, and tasks that are given to it again.
//!
//! **Failure.** See `trouble`. A task that fails too often, or that no robot can take, is for staff: it is
//! [`TaskState::Assigned`] to [`STAFF`]. A robot that is lost keeps every node that was released to it until it is back
//! or staff say that they have moved it.

pub mod control;
mod dispatching;
mod finding;
pub(crate) mod handlings;
pub mod service;
mod sharing;
mod steering;
pub mod trip;
mod trouble;
pub mod vehicle;

#[cfg(test)]
mod tests;

pub use linefree_bus::payload::TaskState;

pub use crate::ledger::order_book::TaskUpdate;

/// Who has a task that robots could not do.
pub const STAFF: &str = "staff";

/// The station where orders are handed over, unless a task says otherwise.
pub const COUNTER: &str = "counter";

/// The station where goods for the shelves come from.
pub const STOCK: &str = "stock";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RobotTaskKind {
    /// Take items from a plate to a station, the counter by default.
    Pick,
    /// Take items from the stock to a plate.
    Restock,
    /// Take an item from the plate where it does not belong to another plate.
    ReturnMisplaced,
    /// Put a plate's shelf in order; only robots that know the action `tidy` can.
    Tidy,
}

/// Something for a robot to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotTask {
    /// Its id. The same id again is the same task.
    pub task: String,
    /// What is to be done.
    pub kind: RobotTaskKind,
    /// The order that it is for, if for one.
    pub order: Option<String>,
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// The plate that it is about, `gondola/shelf/plate`.
    pub plate: String,
    /// A station, or for [`RobotTaskKind::ReturnMisplaced`] a plate; empty for the counter.
    pub deliver_to: String,
    /// When it must be done, store time.
    pub due_us: i64,
}
