//! What travels on the bus: one type a message, JSON, versioned by the topic prefix (`linefree/v1`).
//!
//! Two families. **Numbered events** ([`Event`]) matter: whoever originates one numbers it per source and epoch,
//! journals it, and re-sends it until the ledger has acknowledged it. **Momentary messages** (people, shoppers,
//! watermarks, status) are worth one moment and are not journalled. Unknown fields are refused: within a version
//! of the topic prefix, only optional fields and new kinds of event may be added; a receiver that does not know a kind
//! counts it as malformed and goes on.
//!
//! Times are `time_us`, microseconds since the Unix epoch. Lengths are metres, weights grams, money minor units.

mod commerce;
mod handlings;
mod orders;
mod payment;
mod pricing;
mod rollout;
mod view;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use commerce::{
    CommandAnswered, InsightsTold, ProductInsight, RefundIssued, RefundLine, ReviewAnswered,
    ShopperForgotten, StockCounted,
};
pub use handlings::{Handling, Handlings};
pub use orders::{
    Handover, IfShort, MoneyState, OrderChanged, OrderLine, OrderMoney, OrderQuestion, OrderState,
    TaskChanged, TaskKind, TaskState,
};

pub use payment::{AskKind, ContestChanged, ContestState, PaymentAsk, PaymentChanged, TripState};
pub use pricing::{
    Commission, Coupon, Deal, GroupPrice, Loyalty, MultiBuy, Off, PriceRules, PriceRulesChanged, PriceStep,
    PriceWhy, PricedLine, ReceiptPriced, SellerShare, SoldAs, TaxRate,
};
pub use rollout::{InForce, RefusedRelease, Wanted};
pub use view::{ProductLikelihood, ProductView};

/// An event that matters, numbered by its source.
///
/// `(source, epoch, seq)` is its identity everywhere: in the journal, on the bus, in the ledger and in the cloud.
/// `epoch` is drawn when a source's journal is created, so that a device that lost its disk starts a new numbering
/// instead of re-using numbers that the ledger has seen. `seq` starts at 1 and has no gaps within an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who originated it, for example `shelf-1`.
    pub source: String,
    /// Which numbering of that source.
    pub epoch: Uuid,
    /// Position in that numbering, from 1.
    pub seq: u64,
    /// When it happened, event time.
    pub time_us: i64,
    /// What happened.
    pub body: EventBody,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EventBody {
    /// The weight on one or several neighbouring plates changed and settled.
    ShelfChanged(ShelfChanged),
    /// A gate was passed.
    GatePassed(GatePassed),
    /// A visit began.
    VisitOpened(VisitOpened),
    /// A shelf event was explained: who, what, how many, with which odds.
    ItemAttributed(ItemAttributed),
    /// What a visit holds now.
    CartChanged(CartChanged),
    /// A visit ended: the receipt.
    VisitClosed(VisitClosed),
    /// A device or sensor is faulty, or well again.
    DeviceFault(DeviceFault),
    /// Somebody looked at a line in review.
    ReviewAnswered(ReviewAnswered),
    /// Money goes back.
    RefundIssued(RefundIssued),
    /// The payment of a visit, as it stands.
    PaymentChanged(PaymentChanged),
    /// A shopper contests a line, or is answered.
    ContestChanged(ContestChanged),
    /// Price rules come into force.
    PriceRulesChanged(Box<PriceRulesChanged>),
    /// What a receipt costs by the price rules.
    ReceiptPriced(Box<ReceiptPriced>),
    /// Somebody counted what lies on a plate.
    StockCounted(StockCounted),
    /// An online order, as it stands.
    OrderChanged(Box<OrderChanged>),
    /// Something that a robot or a person is to do, as it stands.
    TaskChanged(TaskChanged),
    /// The store has decided about a command of the cloud's.
    CommandAnswered(CommandAnswered),
    /// What an hour of the store says of its products.
    InsightsTold(InsightsTold),
    /// A shopper's personal data was deleted.
    ShopperForgotten(ShopperForgotten),
}

/// A lift (negative delta) or a put (positive delta).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShelfChanged {
    /// The plates whose weight changed, with each one's own change.
    pub plates: Vec<PlateDelta>,
    /// Sum over the plates, grams.
    pub delta_g: f64,
    /// Standard deviation of the sum, grams.
    pub sd_g: f64,
    /// When handling began.
    pub start_us: i64,
    /// When the weight had settled.
    pub end_us: i64,
}

/// One plate's part of a shelf event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlateDelta {
    /// `gondola/shelf/plate`.
    pub plate: String,
    /// Change of its weight, grams.
    pub delta_g: f64,
    /// Standard deviation of the change, grams.
    pub sd_g: f64,
    /// When handling of this plate began.
    pub start_us: i64,
    /// When this plate had settled.
    pub end_us: i64,
}

/// Which way a gate was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateDirection {
    /// Into the store.
    Entry,
    /// Out of the store.
    Exit,
}

/// Somebody passed a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatePassed {
    /// Which gate.
    pub gate: String,
    /// Which way.
    pub direction: GateDirection,
    /// With which credential; exits may carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// How many people the credential lets in.
    pub party: u32,
}

/// A visit began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitOpened {
    /// The visit.
    pub visit: String,
    /// Its credential; `null` for a shopper who was never seen entering.
    pub credential: Option<String>,
    /// How many people are on the credential.
    pub party: u32,
}

/// A shelf event was explained, as far as is known now; a later one for the same shelf event replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemAttributed {
    /// The shelf event's source.
    pub shelf_source: String,
    /// Which of that source's numberings: a source that lost its disk starts again at 1.
    pub shelf_epoch: Uuid,
    /// The shelf event's number.
    pub shelf_seq: u64,
    /// Explanations with their odds, best first. One shelf event may hold several actions (two shoppers who lift
    /// neighbouring items at once), so the odds of all of them may sum to more than 1.
    pub candidates: Vec<Candidate>,
}

/// One explanation of a shelf event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Who; `null` for nobody known.
    pub visit: Option<String>,
    /// What; `null` for "nothing was taken or put".
    pub sku: Option<String>,
    /// How many were taken (positive) or put back (negative).
    pub quantity: i32,
    /// Its odds, 0 to 1.
    pub probability: f64,
}

/// What a visit holds now. Whole, not a difference: the last one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CartChanged {
    /// The visit.
    pub visit: String,
    /// Its lines, by SKU.
    pub lines: Vec<Line>,
}

/// One product in a cart or on a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, minor units.
    pub unit_price_minor: i64,
    /// Probability that this line (product and quantity) is right, 0 to 1.
    pub probability: f64,
    /// Must a person look before it is charged?
    pub review: bool,
}

/// A visit ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitClosed {
    /// The visit.
    pub visit: String,
    /// Its credential; `null` for a shopper who was never seen entering.
    pub credential: Option<String>,
    /// When it began.
    pub entered_us: i64,
    /// When it ended.
    pub left_us: i64,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// The receipt's lines, by SKU.
    pub lines: Vec<Line>,
    /// Sum of the lines that need no review, minor units: what may be charged now.
    pub charge_minor: i64,
    /// Sum of the lines in review, minor units.
    pub in_review_minor: i64,
}

/// A device or sensor is faulty, or well again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceFault {
    /// What is faulty: a plate id, a camera id, a gate id.
    pub device: String,
    /// Short machine-readable name: `nan_weight`, `stuck`, `no_frames`, `malformed_payload` ...
    pub fault: String,
    /// For people: what was seen and what to do.
    pub message: String,
    /// True when the fault is over.
    pub cleared: bool,
}

/// The people one camera sees at one moment, on the floor. QoS 0, not retained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Which camera.
    pub camera: String,
    /// Exposure time of the frame.
    pub time_us: i64,
    /// Everyone in it.
    pub people: Vec<Person>,
}

/// One person as one camera sees them. No image, no face, no appearance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Where they stand, metres.
    pub foot: [f64; 2],
    /// Its covariance xx, xy, yy, square metres.
    pub cov: [f64; 3],
    /// Detector's score, 0 to 1.
    pub score: f64,
    /// Body height, metres, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<f64>,
    /// Hands, metres, where they can be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hands: Vec<[f64; 3]>,
    /// Standard deviation of each hand coordinate, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_sd: Option<f64>,
    /// That camera's own track number; it may switch to somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u32>,
    /// That camera's own tracklet, where it can tell that nobody was mistaken for somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracklet: Option<Tracklet>,
}

/// A stretch of a camera's track in which nobody can have been mistaken for somebody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tracklet {
    /// Its number; not used twice while the camera role runs.
    pub id: u32,
    /// Comparisons with earlier tracklets, told when there is news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<Vec<Alike>>,
}

/// How much a tracklet looks like an earlier one of the same camera. A number only: looks stay in the camera role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alike {
    /// The earlier tracklet.
    pub tracklet: u32,
    /// Natural logarithm of how much likelier these looks are of one person than of two.
    pub log_odds: f64,
}

/// Where everyone is, as the floor role believes. QoS 0, for maps; not retained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shoppers {
    /// Event time.
    pub time_us: i64,
    /// Everyone on the floor.
    pub shoppers: Vec<ShopperPosition>,
}

/// One shopper on the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopperPosition {
    /// The floor role's number of this person.
    pub shopper: u32,
    /// Their visit, once known.
    pub visit: Option<String>,
    /// Where, metres.
    pub at: [f64; 2],
    /// Radius that holds them with 95 % probability, metres.
    pub radius_m: f64,
}

/// "I have sent everything up to here." Lets receivers go on in event time without guessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// Who says so.
    pub source: String,
    /// Nothing older than this will follow.
    pub time_us: i64,
    /// Numbering of its events, for sources that number any.
    pub epoch: Option<Uuid>,
    /// Highest number sent so far, 0 for none: a receiver that has fewer asks for them again.
    pub last_seq: u64,
    /// Lowest number that the source can still send again: a receiver stops waiting for lower ones. Left out by
    /// sources that number no events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// True once when a replayed source has reached its end.
    pub finished: bool,
}

impl Watermark {
    /// The watermark of a source that numbers no events: a camera, or the floor role's progress.
    ///
    /// Sources that do number events publish theirs through
    /// [`EventPublisher::watermark`](crate::sequenced::EventPublisher::watermark), which knows the numbers.
    #[must_use]
    pub fn unnumbered(source: impl Into<String>, time_us: i64, finished: bool) -> Self {
        Self { source: source.into(), time_us, epoch: None, last_seq: 0, first_seq: None, finished }
    }
}

/// The ledger's acknowledgement of a source. Retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Which source.
    pub source: String,
    /// Which of its numberings.
    pub epoch: Uuid,
    /// Every event up to this number is in the ledger, durably.
    pub seq: u64,
}

/// "Send me these again." From any receiver that saw a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// Whose events.
    pub source: String,
    /// Which numbering.
    pub epoch: Uuid,
    /// From this number on.
    pub from_seq: u64,
}

/// What a scale's microcontroller has measured: raw, because it knows neither plates nor time. QoS 0, not retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Which controller.
    pub source: String,
    /// Its uptime when it measured, milliseconds.
    pub uptime_ms: u64,
    /// Raw counts of its converters, in order, 24 bits with sign; `null` for one that did not answer.
    pub counts: Vec<Option<i32>>,
}

/// A device's own state. Retained; the broker publishes the last will when the device is lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Which device.
    pub source: String,
    /// Its role: `camera`, `shelf`, `gate`, `floor`, `ledger`.
    pub role: String,
    /// Online, or gone.
    pub online: bool,
    /// When it said so, wall clock; 0 in a last will, which is written before anybody dies.
    pub time_us: i64,
    /// Software version.
    pub version: String,
    /// Counters by name, for example `frames`, `frames_dropped`, `bad_payloads`.
    pub counters: std::collections::BTreeMap<String, u64>,
}

impl Status {
    /// The birth message of a device. The client fills in the time when it sends it.
    #[must_use]
    pub fn online(source: impl Into<String>, role: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            role: role.into(),
            online: true,
            time_us: 0,
            version: version.into(),
            counters: std::collections::BTreeMap::new(),
        }
    }

    /// The last will that goes with this status: offline, at no time.
    #[must_use]
    pub fn last_will(&self) -> Self {
        Self { online: false, time_us: 0, counters: std::collections::BTreeMap::new(), ..self.clone() }
    }
}
