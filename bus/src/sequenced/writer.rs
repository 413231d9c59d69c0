//! The thread that owns a journal: blocking file operations, grouped so that many events share one fsync.

use crate::journal::{Journal, JournalError};
use crate::payload::{Event, EventBody};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait for the thread. Whoever sends more waits.
pub const COMMANDS: usize = 256;

type Reply = oneshot::Sender<Result<Vec<Event>, JournalError>>;

/// What the thread is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Number these and make them durable, all or none.
    Append(Vec<(i64, EventBody)>, Reply),
    /// Read from a number on, at most so many.
    Read(u64, usize, Reply),
    /// The ledger has everything up to this number.
    Trim(u64),
    /// Let go of the journal and end.
    Close(oneshot::Sender<()>),
}

/// The numbers that the journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub first_seq: u64,
    pub durable_seq: u64,
    pub bytes: u64,
}

impl Extent {
    pub fn of(journal: &Journal) -> Self {
        Self {
            first_seq: journal.first_seq(),
            durable_seq: journal.durable_seq(),
            bytes: journal.size_bytes(),
        }
    }
}

/// Bytes read at once: bounds the memory of a source that sends much again.
const READ_BYTES: usize = 1 << 20;

/// Serves commands until [`Command::Close`], or until nobody can send any more.
pub fn run(mut journal: Journal, mut commands: mpsc::Receiver<Command>, extent: &watch::Sender<Extent>) {
    while let Some(first) = commands.blocking_recv() {
        let mut group = vec![first];
        while group.len() < COMMANDS
            && let Ok(more) = commands.try_recv()
        {
            group.push(more);
        }
        let mut appended = Vec::new();
        let mut rest = Vec::new();
        for command in group {
            match command {
                Command::Append(events, reply) => match journal.append_all(events) {
                    Ok(events) => appended.push((events, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                },
                other => rest.push(other),
            }
        }
        let synced = journal.sync();
        // Whoever is told that an event is durable must also see that it is: first the extent, then the replies.
        extent.send_replace(Extent::of(&journal));
        for (events, reply) in appended {
            // A caller that went away does not want to know.
            let _ = reply.send(match &synced {
                Ok(()) => Ok(events),
                Err(error) => Err(error.clone()),
            });
        }
        for command in rest {
            match command {
                Command::Append(..) => {}
                Command::Read(from, at_most, reply) => {
                    let _ = reply.send(journal.read_from(from, at_most, READ_BYTES));
                }
                Command::Trim(acked) => {
                    match journal.trim_to(acked) {
                        Ok(0) => {}
                        Ok(_) => drop(extent.send_replace(Extent::of(&journal))),
                        Err(error) => tracing::warn!(%error, "acknowledged events stay in the journal"),
                    };
                }
                Command::Close(done) => {
                    drop(journal);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }
}
