//! The store's message bus: topics, payloads, client, embedded broker and journal. The only user of rumqttc and
//! rumqttd; everybody else speaks [`client::BusClient`].
//!
//! **No broker is trusted.** The embedded one keeps everything in memory and was seen to drop queued messages, and
//! "published" means queued, not delivered, with every client library. So truth is end to end: who originates an
//! event numbers it and journals it ([`journal`]), sends it until the ledger has acknowledged it ([`sequenced`]),
//! and receivers put the numbers in order, drop duplicates and ask for what is missing ([`gap`]). A broker may be
//! killed, restarted empty, or replaced by Mosquitto or nats-server: nothing is lost and nothing counts twice.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`payload`] | the messages: JSON, versioned by the topic prefix |
//! | [`topic`] | the table of topics |
//! | [`codec`] | bytes to payloads and back, with limits and errors that say where |
//! | [`url`] | where the broker is, and who we are to it |
//! | [`broker`] | the embedded broker |
//! | [`identity`] | keys and certificates of devices, and the store's authority that signs them |
//! | [`acl`] | who may say and hear what |
//! | [`gatekeeper`] | mutual TLS and access rules in front of the embedded broker |
//! | [`client`] | the connection: reconnects for ever, bounded queues both ways |
//! | [`journal`] | a source's numbered events on disk |
//! | [`sequenced`] | journal plus connection: what a source publishes events with |
//! | [`gap`] | the receiver's side of the numbers |
//! | [`durable`] | files that are there whole or not at all |
//! | [`release`] | what devices run by, signed whole |
//! | [`vda5050`] | the standard's messages between master control and robots, on topics of their own |
//! | [`watermark`] | how far event time may be released |
//! | [`schema`] | JSON Schemas, AsyncAPI and the reference page, generated from the above |

pub mod acl;
pub mod broker;
pub mod check;
pub mod client;
pub mod codec;
pub mod durable;
pub mod gap;
pub mod gatekeeper;
pub mod identity;
pub mod journal;
pub mod payload;
pub mod release;
pub mod schema;
pub mod sequenced;
pub mod topic;
pub mod url;
pub mod vda5050;
pub mod watermark;
