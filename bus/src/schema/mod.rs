//! The bus's reference, generated from the code: a JSON Schema for each payload, the AsyncAPI document, and the
//! page `docs/ref/bus.md`.
//!
//! `cargo xtask schema` writes them; a test fails when the committed files are not what the code says.

mod examples;
mod tables;

pub use examples::{Example, examples};

use crate::codec::MAX_PAYLOAD_BYTES;
use crate::payload::{
    Ack, Counts, Event, Handlings, InForce, People, ProductView, Resend, Shoppers, Status, Wanted, Watermark,
};
use crate::topic::{Delivery, PREFIX, TOPICS, TopicRow};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The page's text; the tables go where it says so.
const PAGE: &str = include_str!("bus.md");

/// The JSON Schema of every payload, by the payload's name. Draft 2020-12.
#[must_use]
pub fn schemas() -> BTreeMap<&'static str, Schema> {
    fn schema<T: JsonSchema>() -> Schema {
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
    }
    BTreeMap::from([
        ("Ack", schema::<Ack>()),
        ("Counts", schema::<Counts>()),
        ("Event", schema::<Event>()),
        ("Handlings", schema::<Handlings>()),
        ("InForce", schema::<InForce>()),
        ("People", schema::<People>()),
        ("ProductView", schema::<ProductView>()),
        ("Resend", schema::<Resend>()),
        ("Shoppers", schema::<Shoppers>()),
        ("Status", schema::<Status>()),
        ("Wanted", schema::<Wanted>()),
        ("Watermark", schema::<Watermark>()),
    ])
}

/// Every generated file, by its path below `docs/ref/`.
#[must_use]
pub fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (name, schema) in schemas() {
        files.insert(schema_path(name), pretty(schema.as_value()));
    }
    files.insert("asyncapi.json".to_owned(), pretty(&asyncapi()));
    files.insert("bus.md".to_owned(), page());
    files
}

fn schema_path(name: &str) -> String {
    format!("schema/{}.json", name.to_lowercase())
}

fn pretty(value: &Value) -> String {
    // A JSON value has no keys that are no text, so it can always be written.
    format!("{value:#}\n")
}

fn page() -> String {
    let schemas = schemas();
    PAGE.replace("<!-- topics -->", &tables::topics())
        .replace("<!-- payloads -->", &tables::payloads(&schemas))
        .replace("<!-- examples -->", &tables::examples(&examples()))
}

fn qos(row: &TopicRow) -> u8 {
    match row.delivery {
        Delivery::AtMostOnce => 0,
        Delivery::AtLeastOnce => 1,
    }
}

/// The AsyncAPI 3.0 document.
#[must_use]
pub fn asyncapi() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for row in &TOPICS {
        let name = format!("{:?}", row.kind);
        let id = name.to_lowercase();
        channels.insert(
            id.clone(),
            json!({
                "address": format!("{PREFIX}/{{store}}/{}", row.pattern),
                "description": row.purpose,
                "messages": { row.payload: { "$ref": format!("#/components/messages/{}", row.payload) } },
                "parameters": {
                    "store": { "$ref": "#/components/parameters/store" },
                    "source": { "$ref": "#/components/parameters/source" },
                },
            }),
        );
        operations.insert(
            format!("publish{name}"),
            json!({
                "action": "send",
                "summary": row.purpose,
                "channel": { "$ref": format!("#/channels/{id}") },
                "messages": [{ "$ref": format!("#/channels/{id}/messages/{}", row.payload) }],
                "bindings": {
                    "mqtt": { "qos": qos(row), "retain": row.retained, "bindingVersion": "0.2.0" },
                },
            }),
        );
        let of_it: Vec<Value> = examples()
            .into_iter()
            .filter(|e| e.payload == row.payload)
            .map(|e| json!({ "name": e.name, "summary": e.what, "payload": e.value }))
            .collect();
        messages.insert(
            row.payload.to_owned(),
            json!({
                "name": row.payload,
                "contentType": "application/json",
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-2020-12",
                    "schema": { "$ref": schema_path(row.payload) },
                },
                "examples": of_it,
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Linefree: the store's bus",
            "version": "1",
            "description": format!(
                "MQTT 3.1.1. The version is part of every topic ({PREFIX}). Payloads are JSON of at most \
                 {MAX_PAYLOAD_BYTES} bytes. How numbered events are delivered is described in bus.md."
            ),
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "store": {
                "host": "127.0.0.1:1883",
                "protocol": "mqtt",
                "protocolVersion": "3.1.1",
                "description": "The broker embedded in store-sync, or the store's own Mosquitto or nats-server.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "parameters": {
                "store": { "description": "The store's id, as in store.toml." },
                "source": { "description": "Who originates the messages: a camera, shelf, gate or floor role." },
            },
        },
    })
}
