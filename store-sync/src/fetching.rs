//! Orders to robots: what waits in the order book is given to master control, and what becomes of it goes into the book.
//!
//! Nothing is remembered but which tasks master control has: it takes the same task twice as one, so after a restart it is
//! simply given everything that is open again. A task that somebody has called off, or that staff have taken, is taken
//! from the robots; what they say of it after that counts only when the item has been picked. Items that go back to a
//! shelf are for staff: they lie at the hand-over, where no robot takes them up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use linefree_bus::payload::{TaskKind, TaskState};
use tokio::sync::{mpsc, watch};

use crate::clock::wall_us;
use crate::ledger::order_book::OrderBook;
use crate::ledger::{LedgerError, TaskRow};
use crate::projecting::Written;
use crate::robots::service::Command;
use crate::robots::{RobotTask, RobotTaskKind, STAFF, TaskUpdate};

/// How often it is looked what is open.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a pause before an update is written again that could not be.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a task without an order is promised for, seconds from now.
const SOON_US: i64 = 3_600_000_000;

/// The way between the order book and the robots.
pub struct Fetching {
    book: Arc<Mutex<OrderBook>>,
    commands: mpsc::Sender<Command>,
    updates: mpsc::Receiver<TaskUpdate>,
    given: BTreeSet<String>,
    written: Written,
}

/// An open task, and when its order is due.
type Open = Vec<(TaskRow, Option<i64>)>;

fn open(book: &OrderBook) -> Result<Open, LedgerError> {
    let mut out = Vec::new();
    for row in book.reader().open_tasks()? {
        let due_us = match &row.task.order {
            Some(order) => book.reader().order(order)?.and_then(|o| o.order.due_us),
            None => None,
        };
        out.push((row, due_us));
    }
    Ok(out)
}

/// As robots know it; `None` for what only staff can do.
fn robot_task(row: &TaskRow, due_us: Option<i64>) -> Option<RobotTask> {
    let task = &row.task;
    let kind = match task.task_kind {
        TaskKind::Pick => RobotTaskKind::Pick,
        TaskKind::Restock => RobotTaskKind::Restock,
        TaskKind::Tidy => RobotTaskKind::Tidy,
        TaskKind::Return => return None,
    };
    Some(RobotTask {
        task: task.task.clone(),
        kind,
        order: task.order.clone(),
        sku: task.sku.clone(),
        quantity: task.quantity,
        plate: task.plate.clone(),
        deliver_to: String::new(),
        due_us: due_us.unwrap_or_else(|| wall_us() + SOON_US),
    })
}

impl Fetching {
    /// Between a book and robots.
    #[must_use]
    pub fn new(
        book: Arc<Mutex<OrderBook>>,
        commands: mpsc::Sender<Command>,
        updates: mpsc::Receiver<TaskUpdate>,
        written: Written,
    ) -> Self {
        Self { book, commands, updates, given: BTreeSet::new(), written }
    }

    /// Runs until it is stopped or the robots' service ends.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stopped = stop.clone();
        loop {
            let update = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                update = self.updates.recv() => match update {
                    Some(update) => Some(update),
                    None => return,
                },
                _ = look.tick() => None,
            };
            match update {
                Some(update) => self.tell(update, stopped.clone()).await,
                None => self.give().await,
            }
        }
    }

    async fn at_book<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut OrderBook) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let book = Arc::clone(&self.book);
        let done = tokio::task::spawn_blocking(move || {
            act(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.unwrap_or_else(|_| Err(LedgerError::Refused("the order book died".into())))
    }

    /// Gives what is open and takes back what is not.
    async fn give(&mut self) {
        let open = match self.at_book(|book| open(book)).await {
            Ok(open) => open,
            Err(e) => {
                tracing::warn!("open tasks cannot be read: {e}");
                return;
            }
        };
        let by_staff = |row: &TaskRow| row.task.assignee.as_deref() == Some(STAFF);
        let for_robots: Vec<RobotTask> = open
            .iter()
            .filter(|(row, _)| !by_staff(row))
            .filter_map(|(row, due)| robot_task(row, *due))
            .collect();
        let gone: Vec<String> =
            self.given.iter().filter(|id| for_robots.iter().all(|t| t.task != **id)).cloned().collect();
        for id in gone {
            self.given.remove(&id);
            if self.commands.send(Command::Cancel(id)).await.is_err() {
                return;
            }
        }
        for task in for_robots {
            if self.given.insert(task.task.clone())
                && self.commands.send(Command::Assign(task)).await.is_err()
            {
                return;
            }
        }
    }

    /// Writes what has become of a task; again and again while the ledger cannot take it.
    async fn tell(&self, update: TaskUpdate, mut stop: watch::Receiver<bool>) {
        if !self.given.contains(&update.task) && update.state != TaskState::Done {
            return;
        }
        loop {
            let again = update.clone();
            match self.at_book(move |book| book.tell(&again, wall_us())).await {
                Ok(ledger_seq) => {
                    self.written.tell(ledger_seq);
                    return;
                }
                Err(LedgerError::Refused(why)) => {
                    tracing::warn!(task = update.task, "what a robot says of a task was not written: {why}");
                    return;
                }
                Err(e) => tracing::debug!(task = update.task, "a task's state waits: {e}"),
            }
            let stopped = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(AGAIN_AFTER) => false,
            };
            if stopped {
                return;
            }
        }
    }
}
