//! Between the store and the chain's cloud: CloudEvents 1.0, in batches, over HTTP.
//!
//! The store's side is [`crate::outbox`]; [`receive`] is a reference of the cloud's side, small enough to read whole.
//! The contract between them:
//!
//! - `POST`, `Content-Type: application/cloudevents-batch+json`, a JSON array of events of one store and one ledger.
//! - `id` is the event's identity (`source/epoch/number`): the same id again is the same event, whatever came before.
//! - `sequence` (a CloudEvents extension, zero-padded so that it sorts as text) is the position in the store's ledger,
//!   `ledger` the id of that ledger: a store that lost its disk starts another ledger at 1.
//! - `Content-Encoding: zstd` or `gzip` is allowed and optional on both sides: whoever does not know it answers 415.
//! - An event whose content the store has let go is sent as `org.linefree.event.let-go.v1` with an id of its own, so that
//!   its number is filled and nothing is contradicted.
//! - `org.linefree.shopper.forgotten.v1`: whoever keeps copies of these visits deletes their credentials.
//! - Batches may leave numbers out and bring them later (a store that catches up sends what happens now first).
//! - `GET /v1/stores/{store}/commands?after=N`: the store's [commands](command) after number N, in order.
//! - The answer is `200` and `{"acknowledged": N}`: everything of this ledger up to N is durable in the cloud. Anything
//!   else is a failure, and the store sends again, for ever.

pub mod access;
pub mod command;
pub mod event;
pub mod events;
pub mod listen;
pub mod packing;
mod postgres;
mod receipts;
pub mod receive;
mod sqlite;
pub mod trunk;

/// The commands of a store, as the cloud lists them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct CommandPage {
    /// In order, without gaps.
    pub commands: Vec<command::Command>,
}

/// The events of a store, as the cloud lists them.
pub type EventPage = Vec<PlacedEvent>;

/// An event in the cloud.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct PlacedEvent {
    /// The cloud's own order.
    pub position: i64,
    /// The CloudEvent, without `ledger` and `sequence`.
    #[schema(value_type = Object)]
    pub event: serde_json::Value,
}

/// The media type of a batch.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// The largest batch that the receiver takes, bytes.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The most events that the receiver takes in one batch.
pub const MAX_BATCH_EVENTS: usize = 5000;
