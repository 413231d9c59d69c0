//! What questions to the ledger are answered with.

use linefree_bus::payload::{Event, PriceStep};

use super::EventId;

/// An event with its place in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Position in the ledger, from 1.
    pub ledger_seq: u64,
    /// When the ledger took it, wall clock.
    pub received_us: i64,
    /// What happened.
    pub event: Event,
}

/// What the outbox sends for one place of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum OutboxEvent {
    /// An event.
    Whole(StoredEvent),
    /// An event whose body retention has let go: its place must be filled all the same.
    LetGo {
        /// Its place.
        ledger_seq: u64,
        /// Its identity.
        id: EventId,
        /// Its kind.
        kind: String,
        /// When it happened.
        time_us: i64,
        /// When the ledger took it, wall clock.
        received_us: i64,
    },
}

impl OutboxEvent {
    /// Its place in the ledger.
    #[must_use]
    pub fn ledger_seq(&self) -> u64 {
        match self {
            Self::Whole(stored) => stored.ledger_seq,
            Self::LetGo { ledger_seq, .. } => *ledger_seq,
        }
    }

    /// When the ledger took it, wall clock.
    #[must_use]
    pub fn received_us(&self) -> i64 {
        match self {
            Self::Whole(stored) => stored.received_us,
            Self::LetGo { received_us, .. } => *received_us,
        }
    }
}

/// A visit.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitRow {
    /// Its id.
    pub visit: String,
    /// What the shopper entered with.
    pub credential: Option<String>,
    /// How many people.
    pub party: u32,
    /// When it began; `None` when the ledger was never told.
    pub opened_us: Option<i64>,
    /// When it ended; `None` while it lasts.
    pub left_us: Option<i64>,
}

/// A line of a cart or receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct LineRow {
    /// The product.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, minor units.
    pub unit_price_minor: i64,
    /// Probability that the line is right.
    pub probability: f64,
    /// Must a person look?
    pub review: bool,
    /// What the line costs, minor units: as it stands, when it is in review.
    pub amount_minor: i64,
    /// How that came about; empty where no price rules made it.
    pub steps: Vec<PriceStep>,
}

/// What a visit that still lasts holds.
#[derive(Debug, Clone, PartialEq)]
pub struct CartRow {
    /// The visit.
    pub visit: VisitRow,
    /// When the cart was last told; `None` for never.
    pub changed_us: Option<i64>,
    /// Its lines, by SKU.
    pub lines: Vec<LineRow>,
}

/// A visit that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptRow {
    /// The visit.
    pub visit: String,
    /// What the shopper entered with.
    pub credential: Option<String>,
    /// When it began.
    pub entered_us: i64,
    /// When it ended.
    pub left_us: i64,
    /// ISO 4217.
    pub currency: String,
    /// What may be charged, minor units.
    pub charge_minor: i64,
    /// What waits for a person, minor units.
    pub in_review_minor: i64,
    /// Version of the price rules that it was priced by; `None` where it was not.
    pub rules_version: Option<u64>,
    /// Version of the chain's unit prices that it was priced by; `None` where they are the floor's.
    pub prices_version: Option<u64>,
    /// Its lines, by SKU.
    pub lines: Vec<LineRow>,
}

/// One explanation of a shelf event.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateRow {
    /// Who.
    pub visit: Option<String>,
    /// Who, when it is a robot.
    pub robot: Option<String>,
    /// What.
    pub sku: Option<String>,
    /// Taken (positive) or put back (negative).
    pub quantity: i32,
    /// Its odds.
    pub probability: f64,
}

/// A shelf event that is explained by a visit, with every other explanation beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceRow {
    /// The shelf event's source.
    pub source: String,
    /// Its numbering.
    pub epoch: String,
    /// Its number.
    pub seq: u64,
    /// When handling began and the weight had settled, and by how much it changed: `None` while the ledger has the
    /// explanation but not the shelf event itself.
    pub shelf: Option<(i64, i64, f64, f64)>,
    /// Plates and their own change, grams.
    pub plates: Vec<(String, f64)>,
    /// Explanations, best first.
    pub candidates: Vec<CandidateRow>,
}

/// A fault, as last told.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRow {
    /// What is faulty.
    pub device: String,
    /// Short name of the fault.
    pub fault: String,
    /// For people.
    pub message: String,
    /// Over?
    pub cleared: bool,
    /// Event time.
    pub time_us: i64,
    /// Who says so.
    pub reported_by: String,
}

/// One numbering of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRow {
    /// The source.
    pub source: String,
    /// Its numbering.
    pub epoch: String,
    /// Complete up to here.
    pub contiguous_seq: u64,
    /// Highest number seen.
    pub highest_seq: u64,
    /// Event time of its youngest event.
    pub last_time_us: i64,
}

/// Counts over the whole ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of the last event.
    pub ledger_seq: u64,
    /// The cloud has everything up to here.
    pub acknowledged_seq: u64,
    /// Visits that began.
    pub visits: u64,
    /// Receipts.
    pub receipts: u64,
    /// Receipts with at least one line in review.
    pub receipts_in_review: u64,
    /// Events with a known number and another content.
    pub conflicts: u64,
    /// Stored events that break a constraint.
    pub oddities: u64,
    /// Numbers that sources can no longer send.
    pub lost: u64,
}
