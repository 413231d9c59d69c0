//! `store.toml` and the recording folder: read strictly, written canonically.
//!
//! A recording is a folder that replays a store: the store's own `store.toml`, plate weights, gates, video or
//! people's positions, and the receipts that are expected. The format is docs/ref/recording.md. Whatever is not
//! that format is refused with file, line, field and remedy ([`Mistake`]).
//!
//! | file | read by | written by |
//! | --- | --- | --- |
//! | `store.toml` | [`StoreFile`] | [`store_toml`] |
//! | `recording.toml` | [`Manifest`] | [`RecordingWriter`] |
//! | `weights.csv` | [`WeightsReader`] | [`RecordingWriter`] |
//! | `people.jsonl` | [`PeopleReader`] | [`RecordingWriter`] |
//! | `gate.jsonl` | [`Recording::gates`] | [`RecordingWriter`] |
//! | `views.jsonl` | [`Recording::views`] | [`RecordingWriter`] |
//! | `expected.json`, replay's receipts | [`Receipts`] | [`Receipts`] |
//!
//! Limits: one line of a text file has at most 1 MiB; a `store.toml` has at most 32 MiB. Readers of weights and
//! people stream; gates, views and receipts are held in memory.

mod folder;
mod gates;
mod json_lines;
mod manifest;
mod mistake;
mod people;
mod receipts;
mod store_file;
mod toml_walk;
mod views;
mod weights;
mod writer;

pub use folder::Recording;
pub use gates::{GateEvent, GateLine};
pub use manifest::{CameraFile, Manifest};
pub use mistake::{Mistake, Mistakes};
pub use people::{DEFAULT_HAND_SD_M, PeopleLine, PeopleReader, RecordedPerson};
pub use receipts::{PROBABILITY_DIGITS, Receipt, ReceiptLine, Receipts};
pub use store_file::{
    Adc, BusConfig, CloudConfig, DEFAULT_DETECTOR, DEFAULT_LISTEN, DEFAULT_REVIEW_BELOW, DEFAULT_SD_FRACTION,
    DetectorConfig, GateConfig, GateReader, LineProtocol, LiveConfig, MAX_STORE_FILE_BYTES, MIN_DEFAULT_SD_G,
    MIN_SD_G, OIDC_ROLES, OidcConfig, Opener, PolicyConfig, Quality, ScaleConfig, ScaleDriver, SerialLine,
    SerialParity, ServerConfig, ShelfCalibration, SourceConfig, SourceDevice, StoreFile, VisionConfig,
    default_sd_g, gtin_check_digit, store_toml,
};
pub use views::ViewLine;
pub use weights::WeightsReader;
pub use writer::RecordingWriter;
