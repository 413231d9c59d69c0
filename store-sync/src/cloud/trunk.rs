//! The reference cloud as a reader of the trunk: what stores put into the chain's stream, into its own database.
//!
//! A durable consumer: what was read is acknowledged after it is in the database, so a killed reader reads it again and
//! the database has each event once. A message that breaks the contract or contradicts what is there is told and taken
//! out of the queue: it would stand in the way of every other store. One that is packed in a way that this program does
//! not know waits for a reader that does. Commands are answered on the same servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use serde::Deserialize;
use serde_json::Value;
use tokio_stream::StreamExt as _;

use super::events::{CloudEvents, RefusedBatch, Taken};
use super::packing::Packing;
use super::{CommandPage, MAX_BATCH_BYTES};
use crate::clock::wall_us;
use crate::outbox::DeliveryError;
use crate::outbox::nats::TrunkUrl;

/// Name of the durable consumer: all readers of one name share the work.
const CONSUMER: &str = "linefree-receive";

/// A message that cannot be unpacked here comes again after so long.
const FOR_NEWER: Duration = Duration::from_secs(10);

/// The cloud's database, shared with its HTTP side.
pub type SharedEvents = Arc<Mutex<CloudEvents>>;

fn wrong(e: &dyn std::fmt::Display) -> DeliveryError {
    DeliveryError::Unreachable(e.to_string())
}

/// Reads the trunk for ever; returns when it cannot any more.
///
/// # Errors
/// [`DeliveryError`].
pub async fn read(url: &TrunkUrl, client: Client, events: SharedEvents) -> Result<(), DeliveryError> {
    let stream = url.open_stream(&url.jetstream(client.clone())).await?;
    let config = pull::Config {
        durable_name: Some(CONSUMER.into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer(CONSUMER, config).await.map_err(|e| wrong(&e))?;
    let mut messages = consumer.messages().await.map_err(|e| wrong(&e))?;
    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(e) => {
                tracing::warn!("the trunk: {e}");
                continue;
            }
        };
        let (payload, events) = (message.payload.clone(), Arc::clone(&events));
        let encoding = message.headers.as_ref().and_then(|h| h.get("Content-Encoding"));
        let Some(packing) = encoding.map_or(Some(Packing::Plain), |name| Packing::named(name.as_str()))
        else {
            tracing::warn!(subject = %message.subject, "a batch is packed by {encoding:?}: it waits for a newer reader");
            message.ack_with(AckKind::Nak(Some(FOR_NEWER))).await.map_err(|e| wrong(&e))?;
            continue;
        };
        let taken = tokio::task::spawn_blocking(move || take(&payload, packing, &events))
            .await
            .map_err(|e| wrong(&e))?;
        let answer = match taken {
            Ok(taken) => {
                tracing::debug!(taken.acknowledged, taken.new, taken.duplicates, "took a batch");
                message.ack().await
            }
            Err(RefusedBatch::Database(e)) => {
                tracing::error!("the cloud's database failed: {e}");
                message.ack_with(AckKind::Nak(Some(Duration::from_secs(1)))).await
            }
            Err(e) => {
                tracing::warn!(subject = %message.subject, "a batch is not what the contract says: {e}");
                message.ack_with(AckKind::Term).await
            }
        };
        answer.map_err(|e| wrong(&e))?;
    }
    Err(DeliveryError::Unreachable("the trunk's messages ended".into()))
}

fn take(payload: &[u8], packing: Packing, events: &SharedEvents) -> Result<Taken, RefusedBatch> {
    let malformed = |why: String| RefusedBatch::Malformed(why);
    let plain = packing.unpack(payload, MAX_BATCH_BYTES).map_err(|e| malformed(e.to_string()))?;
    let batch: Vec<Value> =
        serde_json::from_slice(&plain).map_err(|e| malformed(format!("it is no JSON array: {e}")))?;
    events.lock().unwrap_or_else(PoisonError::into_inner).take(&batch, wall_us())
}

/// Answers the stores' questions for commands, for ever.
///
/// # Errors
/// [`DeliveryError`].
pub async fn answer(url: &TrunkUrl, client: Client, events: SharedEvents) -> Result<(), DeliveryError> {
    #[derive(Deserialize)]
    struct Question {
        after: u64,
    }
    let mut questions = client.subscribe(url.subject("*", "commands")).await.map_err(|e| wrong(&e))?;
    while let Some(question) = questions.next().await {
        let Some(reply) = question.reply else { continue };
        let Ok(Question { after }) = serde_json::from_slice(&question.payload) else { continue };
        let Some(store) = store_of(&question.subject) else { continue };
        let events = Arc::clone(&events);
        let listed = tokio::task::spawn_blocking(move || {
            events.lock().unwrap_or_else(PoisonError::into_inner).commands(&store, after, 100)
        });
        match listed.await {
            Ok(Ok(commands)) => {
                let page = serde_json::to_vec(&CommandPage { commands }).map_err(|e| wrong(&e))?;
                client.publish(reply, page.into()).await.map_err(|e| wrong(&e))?;
            }
            Ok(Err(e)) => tracing::error!("commands could not be read: {e}"),
            Err(e) => return Err(wrong(&e)),
        }
    }
    Err(DeliveryError::Unreachable("the trunk's questions ended".into()))
}

/// The store in `linefree.{chain}.{store}.commands`, with `%XX` undone.
fn store_of(subject: &str) -> Option<String> {
    let token = subject.split('.').nth(2)?;
    let (mut bytes, mut rest) = (Vec::new(), token.as_bytes());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_told_by_the_subject() {
        let url = TrunkUrl::parse("nats://a/x").unwrap();
        for store in ["corner", "corner.1", "læden 7"] {
            assert_eq!(store_of(&url.subject(store, "commands")).as_deref(), Some(store));
        }
        assert_eq!(store_of("linefree.x.%f.commands"), None);
    }
}
