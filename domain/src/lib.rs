//! The pure core of Linefree: what a store knows and what it decides.
//!
//! Everything here is sans-IO. Nothing reads a clock, a file or a socket; time comes in as an argument
//! ([`time::StoreTime`]), inputs come in through `handle_*` methods, decisions go out as returned values. The
//! same code therefore runs live, in replay and in simulation with the same result, byte for byte.
//!
//! | module | what it turns into what |
//! | --- | --- |
//! | [`layout`] | the store as it is built: gates, camera poses, plates, products, facings |
//! | [`tracking`] | one camera's detections into tracks |
//! | [`floor`] | every camera's people into shoppers on the floor plane |
//! | [`shelf`] | plate weights into lift and put events |
//! | [`attribution`] | shelf events into who took what, with probability |
//! | [`visit`] | gates and shoppers into visits |
//! | [`cart`] | attributed events into cart lines and receipts |
//! | [`orders`] | online orders: reservations against the same shelves, substitutes, re-ordering |
//! | [`payment`] | what a visit comes to into questions to the payment gateway, each asked once |
//! | [`pricing`] | baskets into prices by rules, each explained on its line, and what each seller is owed |
//! | [`shares`] | what sellers are owed of what is paid in the end |
//! | [`store`] | all of the above, composed: the floor role's brain |
//! | [`fulfilment`] | orders into robots' ways: who fetches what, and who goes first |
//!
//! The nouns are those of `docs/glossary.md`.

pub mod attribution;
pub mod cart;
pub mod floor;
pub mod fulfilment;
pub mod geometry;
pub mod ids;
pub mod layout;
pub mod orders;
pub mod payment;
pub mod pricing;
pub mod shares;
pub mod shelf;
pub mod store;
pub mod time;
pub mod tracking;
pub mod units;
pub mod visit;
