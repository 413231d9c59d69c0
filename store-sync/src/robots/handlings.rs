//! What robots handle at shelves, as their states say: for the floor role, which would blame a shopper otherwise.
//!
//! A handling begins when a state first shows a pick (or, where a shelf is filled, a drop) that runs, and ends when one
//! shows that it has ended; both by our own clock, since those of robots are anybody's. Where no state showed it running,
//! it began after the robot's state before.

use std::collections::BTreeMap;
use std::time::Duration;

use linefree_bus::client::{BusClient, Outgoing};
use linefree_bus::payload::{Handling, Handlings};
use linefree_bus::vda5050::state::{ActionStatus, State};
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use tokio::sync::watch;

use super::RobotTaskKind;
use super::control::MasterControl;
use super::steering::work_of;
use super::vehicle::Work;
use crate::clock::wall_us;
use crate::intake::LEDGER_SOURCE;

/// How long an end is told, microseconds: longer than messages may be lost in a row.
const TOLD_US: i64 = 15_000_000;
/// A handling whose end nobody has seen is told no longer than this, microseconds.
const LONGEST_US: i64 = 900_000_000;
/// How often it is told again.
const AGAIN_EVERY: Duration = Duration::from_millis(500);

/// The handlings of a store's robots, by the id of the robot's action.
#[derive(Debug, Default)]
pub(super) struct HandlingLog {
    all: BTreeMap<String, Noted>,
    /// Plates that weigh one facing together, by product.
    facings: Vec<(String, Vec<PlateIndex>)>,
}

#[derive(Debug)]
struct Noted {
    robot: usize,
    handling: Handling,
}

impl HandlingLog {
    pub fn new(layout: &StoreLayout) -> Self {
        let facing = |f: &linefree_domain::layout::Facing| {
            Some((layout.products.get(f.product.0)?.sku.to_string(), f.plates.clone()))
        };
        Self { all: BTreeMap::new(), facings: layout.facings.iter().filter_map(facing).collect() }
    }

    /// The plate and those that weigh the same facing.
    fn plates(&self, sku: &str, plate: PlateIndex) -> Vec<PlateIndex> {
        let together = self.facings.iter().find(|(of, plates)| of == sku && plates.contains(&plate));
        together.map_or_else(|| vec![plate], |(_, plates)| plates.clone())
    }

    /// Everything that goes on, and what has ended of late.
    pub fn told(&self, now_us: i64) -> Vec<Handling> {
        let fresh = |h: &&Handling| match h.to_us {
            Some(to_us) => now_us - to_us < TOLD_US,
            None => now_us - h.from_us < LONGEST_US,
        };
        self.all.values().map(|noted| &noted.handling).filter(fresh).cloned().collect()
    }
}

impl MasterControl {
    /// What robots handle now, and what they have handled of late.
    #[must_use]
    pub fn handlings(&self, now_us: i64) -> Vec<Handling> {
        self.handling_log.told(now_us)
    }

    /// Takes from a robot's newest state what it handles. `before_us` is when it was last heard, if it ever was.
    pub(super) fn note_handlings(&mut self, v: usize, state: &State, before_us: Option<i64>, now_us: i64) {
        for action in &state.action_states {
            let ended = action.action_status.is_over();
            if action.action_status == ActionStatus::Waiting {
                continue;
            }
            let id = action.action_id.as_str();
            if !self.handling_log.all.contains_key(id) {
                // What ended before we ever heard the robot is long past, however often it says so.
                let known = self.vehicles[v].state.as_ref().and_then(|before| before.action(id));
                let began_us = match known {
                    _ if !ended => Some(now_us),
                    Some(before) if before.action_status.is_over() => None,
                    _ => before_us,
                };
                let Some(handling) = began_us.and_then(|from_us| self.handling_of(v, id, from_us)) else {
                    continue;
                };
                self.handling_log.all.insert(id.to_owned(), Noted { robot: v, handling });
            }
            let Some(noted) = self.handling_log.all.get_mut(id).filter(|n| n.handling.to_us.is_none()) else {
                continue;
            };
            if ended {
                let done = action.action_status == ActionStatus::Finished;
                noted.handling.to_us = Some(now_us.max(noted.handling.from_us));
                noted.handling.moved = Some(if done { noted.handling.quantity.unsigned_abs() } else { 0 });
            }
        }
        self.handling_log.all.retain(|id, noted| {
            let ended_us = noted.handling.to_us.unwrap_or(noted.handling.from_us + LONGEST_US);
            let of_late = now_us - ended_us < TOLD_US;
            of_late || noted.robot != v || state.action(id).is_some()
        });
    }

    /// The handling that an action is, unless it is none of a shelf.
    fn handling_of(&self, v: usize, action_id: &str, from_us: i64) -> Option<Handling> {
        let (work, task_id) = work_of(action_id)?;
        let record = self.tasks.get(task_id)?;
        let task = &record.task;
        let many = i32::try_from(task.quantity).ok().filter(|n| *n > 0)?;
        let (plate, quantity) = match (work, task.kind) {
            (Work::Pick, RobotTaskKind::Pick | RobotTaskKind::ReturnMisplaced) => (record.plate, many),
            (Work::Drop, RobotTaskKind::Restock) => (record.plate, -many),
            (Work::Drop, RobotTaskKind::ReturnMisplaced) => (self.plate(&task.deliver_to)?, -many),
            _ => return None,
        };
        let plates = self.handling_log.plates(&task.sku, plate);
        Some(Handling {
            handling: action_id.to_owned(),
            task: task_id.to_owned(),
            by: self.vehicles[v].id.to_string(),
            plates: plates.into_iter().map(|p| self.plate_id(p)).collect(),
            sku: task.sku.clone(),
            quantity,
            from_us,
            to_us: None,
            moved: None,
        })
    }
}

/// Tells the floor role what robots handle, at each change and again and again while there is something to tell, until
/// the robots or the server end.
pub(crate) async fn tell(
    mut handlings: watch::Receiver<Vec<Handling>>,
    client: BusClient,
    mut stop: watch::Receiver<bool>,
) {
    let mut again = tokio::time::interval(AGAIN_EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = handlings.changed() => if changed.is_err() { return },
            _ = again.tick() => {}
        }
        let handlings = handlings.borrow_and_update().clone();
        if !handlings.is_empty() {
            let told = Handlings { source: LEDGER_SOURCE.to_owned(), time_us: wall_us(), handlings };
            // What cannot be sent now is told again.
            let _ = client.publish(Outgoing::Handlings(told));
        }
    }
}
