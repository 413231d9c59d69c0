//! The store's server: the ledger, its synchronisation with the cloud, the HTTP API and the console.

pub mod clock;
pub mod cloud;
pub mod ledger;
pub mod outbox;
