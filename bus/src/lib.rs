//! The store's message bus: topics, payloads, client, embedded broker and journal.

pub mod payload;
