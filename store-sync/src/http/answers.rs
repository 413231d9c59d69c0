//! What the API answers: the types behind docs/ref/openapi.json.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::prices::PriceChange;
use crate::ledger::{CandidateRow, CartRow, EvidenceRow, FaultRow, LineRow, ReceiptRow, SourceRow, VisitRow};

/// Something went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What, for people.
    pub error: String,
}

/// The store as a map. Lengths in metres on the floor plane, y up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreMap {
    /// The store's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// IANA time zone name.
    pub timezone: String,
    /// Corners of the walkable polygon.
    pub floor: Vec<[f64; 2]>,
    /// Where shoppers come in and go out.
    pub gates: Vec<MapGate>,
    /// Shelving.
    pub gondolas: Vec<MapGondola>,
    /// Weighing plates.
    pub plates: Vec<MapPlate>,
    /// The catalogue.
    pub products: Vec<MapProduct>,
    /// Cameras.
    pub cameras: Vec<MapCamera>,
    /// Nodes of the robots' road map; none in a store without.
    pub nodes: Vec<MapNode>,
    /// Edges of the road map, from where to where.
    pub ways: Vec<[[f64; 2]; 2]>,
}

/// A gate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapGate {
    /// Its id.
    pub id: String,
    /// `entry`, `exit` or `both`.
    pub kind: &'static str,
    /// One end of its threshold.
    pub from: [f64; 2],
    /// The other end.
    pub to: [f64; 2],
}

/// A place on the road map of robots.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapNode {
    /// Its id, as robots' ways name it.
    pub id: String,
    /// Where, metres.
    pub at: [f64; 2],
}

/// A piece of shelving.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapGondola {
    /// Its id.
    pub id: String,
    /// Its outline seen from above; empty when it has no plates.
    pub outline: Vec<[f64; 2]>,
    /// Unit vector towards where its shoppers stand.
    pub facing: [f64; 2],
}

/// A weighing plate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapPlate {
    /// `gondola/shelf/plate`.
    pub id: String,
    /// Its corners seen from above.
    pub corners: Vec<[f64; 2]>,
    /// Height of its surface.
    pub height_m: f64,
    /// SKUs that the planogram places on it.
    pub skus: Vec<String>,
}

/// A product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapProduct {
    /// Its code.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// Price of one, minor units.
    pub price_minor: i64,
    /// Mean weight of one, grams.
    pub weight_g: f64,
}

/// A camera.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MapCamera {
    /// Its id.
    pub id: String,
    /// Where it hangs, with its height; `null` for a camera that is known by a homography only.
    pub position: Option<[f64; 3]>,
    /// What it sees of the floor; empty when that cannot be told.
    pub footprint: Vec<[f64; 2]>,
}

/// A visit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Visit {
    /// Its id.
    pub visit: String,
    /// What the shopper entered with; `null` for one who was never seen entering.
    pub credential: Option<String>,
    /// How many people are on the credential.
    pub party: u32,
    /// When it began; `null` when nobody told.
    pub opened_us: Option<i64>,
    /// When it ended; `null` while it lasts.
    pub left_us: Option<i64>,
}

impl From<VisitRow> for Visit {
    fn from(r: VisitRow) -> Self {
        let VisitRow { visit, credential, party, opened_us, left_us } = r;
        Self { visit, credential, party, opened_us, left_us }
    }
}

/// A product in a cart or on a receipt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CartLine {
    /// The product.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, minor units.
    pub unit_price_minor: i64,
    /// Probability that the line is right, 0 to 1.
    pub probability: f64,
    /// Must a person look before it is charged?
    pub review: bool,
    /// What the line costs, minor units; of one in review, what it would cost as it stands.
    pub amount_minor: i64,
    /// How that came about, rule by rule; empty where no price rules made it.
    pub explained: Vec<PriceChange>,
}

fn lines(rows: Vec<LineRow>) -> Vec<CartLine> {
    rows.into_iter()
        .map(|r| CartLine {
            sku: r.sku,
            name: r.name,
            quantity: r.quantity,
            unit_price_minor: r.unit_price_minor,
            probability: r.probability,
            review: r.review,
            amount_minor: r.amount_minor,
            explained: r.steps.into_iter().map(Into::into).collect(),
        })
        .collect()
}

/// What a visit that still lasts holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cart {
    /// The visit.
    #[serde(flatten)]
    pub visit: Visit,
    /// When the cart was last told; `null` for never.
    pub changed_us: Option<i64>,
    /// Its lines, by SKU.
    pub lines: Vec<CartLine>,
}

impl From<CartRow> for Cart {
    fn from(r: CartRow) -> Self {
        Self { visit: r.visit.into(), changed_us: r.changed_us, lines: lines(r.lines) }
    }
}

/// What a visit that ended took.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The visit.
    pub visit: String,
    /// What the shopper entered with; `null` for one who was never seen entering.
    pub credential: Option<String>,
    /// When the visit began.
    pub entered_us: i64,
    /// When it ended.
    pub left_us: i64,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// What may be charged now, minor units.
    pub charge_minor: i64,
    /// What waits for a person, minor units.
    pub in_review_minor: i64,
    /// Version of the price rules that it was priced by; `null` where it was not.
    pub rules_version: Option<u64>,
    /// Version of the chain's unit prices that it was priced by; `null` where they are the store's own.
    pub prices_version: Option<u64>,
    /// Its lines, by SKU.
    pub lines: Vec<CartLine>,
}

impl From<ReceiptRow> for Receipt {
    fn from(r: ReceiptRow) -> Self {
        Self {
            visit: r.visit,
            credential: r.credential,
            entered_us: r.entered_us,
            left_us: r.left_us,
            currency: r.currency,
            charge_minor: r.charge_minor,
            in_review_minor: r.in_review_minor,
            rules_version: r.rules_version,
            prices_version: r.prices_version,
            lines: lines(r.lines),
        }
    }
}

/// A receipt with what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptDetail {
    /// The receipt.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// Every shelf event that some explanation gives to this visit, in time order.
    pub evidence: Vec<Evidence>,
}

/// A shelf event and its explanations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Evidence {
    /// The shelf event's source.
    pub source: String,
    /// Its numbering.
    pub epoch: String,
    /// Its number.
    pub seq: u64,
    /// What the plates felt; `null` while only the explanation has arrived.
    pub shelf: Option<ShelfEvent>,
    /// Explanations, best first.
    pub candidates: Vec<Explanation>,
}

/// A lift (negative) or a put (positive).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShelfEvent {
    /// When handling began.
    pub start_us: i64,
    /// When the weight had settled.
    pub end_us: i64,
    /// Change of weight, grams.
    pub delta_g: f64,
    /// Its standard deviation, grams.
    pub sd_g: f64,
    /// Plates and their own changes.
    pub plates: Vec<PlateChange>,
}

/// One plate's part of a shelf event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlateChange {
    /// `gondola/shelf/plate`.
    pub plate: String,
    /// Change of its weight, grams.
    pub delta_g: f64,
}

/// Who, what, how many, with which odds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Who; `null` for nobody known.
    pub visit: Option<String>,
    /// Who, when it is a robot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robot: Option<String>,
    /// What; `null` for "nothing was taken or put".
    pub sku: Option<String>,
    /// Taken (positive) or put back (negative).
    pub quantity: i32,
    /// Odds, 0 to 1.
    pub probability: f64,
}

impl From<EvidenceRow> for Evidence {
    fn from(r: EvidenceRow) -> Self {
        let plates = r.plates.into_iter().map(|(plate, delta_g)| PlateChange { plate, delta_g }).collect();
        let explain = |c: CandidateRow| Explanation {
            visit: c.visit,
            robot: c.robot,
            sku: c.sku,
            quantity: c.quantity,
            probability: c.probability,
        };
        Self {
            source: r.source,
            epoch: r.epoch,
            seq: r.seq,
            shelf: r.shelf.map(|(start_us, end_us, delta_g, sd_g)| ShelfEvent {
                start_us,
                end_us,
                delta_g,
                sd_g,
                plates,
            }),
            candidates: r.candidates.into_iter().map(explain).collect(),
        }
    }
}

/// Devices, faults and numberings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Devices {
    /// Every device that has told its state since this server started.
    pub devices: Vec<Device>,
    /// Faults, those that last first.
    pub faults: Vec<Fault>,
    /// How much of each source's numbering the ledger has.
    pub sources: Vec<Source>,
}

/// A device as it last told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Device {
    /// Its name.
    pub source: String,
    /// `camera`, `shelf`, `gate`, `floor` or `ledger`.
    pub role: String,
    /// Is it there?
    pub online: bool,
    /// When it said so; 0 when the broker said it in its place.
    pub time_us: i64,
    /// Software version.
    pub version: String,
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
}

/// A fault.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// What is faulty.
    pub device: String,
    /// Short name.
    pub fault: String,
    /// For people: what was seen and what to do.
    pub message: String,
    /// Is it over?
    pub cleared: bool,
    /// When it was told, event time.
    pub time_us: i64,
    /// Who told it.
    pub reported_by: String,
}

impl From<FaultRow> for Fault {
    fn from(r: FaultRow) -> Self {
        let FaultRow { device, fault, message, cleared, time_us, reported_by } = r;
        Self { device, fault, message, cleared, time_us, reported_by }
    }
}

/// One numbering of one source.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Source {
    /// The source.
    pub source: String,
    /// Its numbering.
    pub epoch: String,
    /// The ledger is complete up to here.
    pub contiguous_seq: u64,
    /// Highest number seen.
    pub highest_seq: u64,
    /// Event time of its youngest event.
    pub last_time_us: i64,
}

impl From<SourceRow> for Source {
    fn from(r: SourceRow) -> Self {
        let SourceRow { source, epoch, contiguous_seq, highest_seq, last_time_us } = r;
        Self { source, epoch, contiguous_seq, highest_seq, last_time_us }
    }
}

/// Counts. Those marked "since the start" begin at 0 when the server starts; the others are the ledger's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// Messages from the bus since the start.
    pub messages: u64,
    /// Messages that did not parse, since the start.
    pub malformed: u64,
    /// New events since the start.
    pub events: u64,
    /// Events that the ledger had already, since the start.
    pub duplicates: u64,
    /// Events that came before one that was missing (they come again), since the start.
    pub early: u64,
    /// Requests to send events again, since the start.
    pub resends: u64,
    /// Events that cannot be numbered, since the start.
    pub refused: u64,
    /// Transactions since the start.
    pub batches: u64,
    /// Transactions that failed and were tried again, since the start.
    pub failed_batches: u64,
    /// Events that came again with another content.
    pub conflicts: u64,
    /// Stored events that break a rule and change nothing.
    pub oddities: u64,
    /// Events that their sources can no longer send.
    pub lost: u64,
    /// Number of the last event in the ledger.
    pub ledger_seq: u64,
    /// Visits that began.
    pub visits: u64,
    /// Receipts.
    pub receipts: u64,
    /// Receipts with a line in review.
    pub receipts_in_review: u64,
    /// Viewers of the live stream.
    pub viewers: u64,
    /// Live messages that slow viewers missed, since the start.
    pub viewers_missed: u64,
    /// Is the bus connected?
    pub bus_ok: bool,
    /// Is the ledger being written without trouble?
    pub ledger_ok: bool,
    /// What does not work now, for people.
    pub troubles: Vec<String>,
    /// The outbox; `null` when no cloud is configured.
    pub outbox: Option<OutboxStats>,
}

/// Delivery to the cloud.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutboxStats {
    /// The cloud has everything up to here.
    pub acknowledged_seq: u64,
    /// How many events it does not have yet.
    pub lag: u64,
    /// Failed attempts since the last success.
    pub failures_in_a_row: u32,
    /// What the last failure said; `null` after a success.
    pub last_error: Option<String>,
    /// When the last delivery succeeded since the start, wall clock.
    pub last_success_us: Option<i64>,
}

/// An event of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LedgerEvent {
    /// Its position in the ledger.
    pub ledger_seq: u64,
    /// Who originated it.
    pub source: String,
    /// In which numbering.
    pub epoch: String,
    /// Under which number.
    pub seq: u64,
    /// When it happened.
    pub time_us: i64,
    /// What happened, as on the bus.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}
