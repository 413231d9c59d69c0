//! The generated reference: up to date, and true.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are not known as tests to clippy.

use jsonschema::Validator;
use linefree_bus::codec;
use linefree_bus::payload::{
    Ack, Counts, Event, Handlings, InForce, People, ProductView, Resend, Shoppers, Status, Wanted, Watermark,
};
use linefree_bus::schema::{examples, files, schemas};
use linefree_bus::topic::{TOPICS, Topic, TopicRow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const REMEDY: &str = "run `cargo xtask schema` and commit what it wrote";

fn validator(payload: &str) -> Validator {
    jsonschema::validator_for(schemas()[payload].as_value()).unwrap()
}

/// Does our own decoder take it?
fn decodes(payload: &str, value: &Value) -> Result<(), String> {
    let bytes = serde_json::to_vec(value).unwrap();
    let row: &TopicRow = TOPICS.iter().find(|row| row.payload == payload).unwrap();
    let source = value.get("source").or(value.get("camera")).and_then(Value::as_str).unwrap_or("floor-1");
    let topic = Topic::new(row.kind, "nano", source).map_err(|e| e.to_string())?;
    match payload {
        "Ack" => codec::decode::<Ack>(&topic, &bytes).map(drop),
        "Counts" => codec::decode::<Counts>(&topic, &bytes).map(drop),
        "Event" => codec::decode::<Event>(&topic, &bytes).map(drop),
        "Handlings" => codec::decode::<Handlings>(&topic, &bytes).map(drop),
        "InForce" => codec::decode::<InForce>(&topic, &bytes).map(drop),
        "Wanted" => codec::decode::<Wanted>(&topic, &bytes).map(drop),
        "People" => codec::decode::<People>(&topic, &bytes).map(drop),
        "ProductView" => codec::decode::<ProductView>(&topic, &bytes).map(drop),
        "Resend" => codec::decode::<Resend>(&topic, &bytes).map(drop),
        "Shoppers" => codec::decode::<Shoppers>(&topic, &bytes).map(drop),
        "Status" => codec::decode::<Status>(&topic, &bytes).map(drop),
        "Watermark" => codec::decode::<Watermark>(&topic, &bytes).map(drop),
        other => panic!("{other} is in no table"),
    }
    .map_err(|e| e.to_string())
}

#[test]
fn the_committed_reference_is_what_the_code_says() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ref");
    for (name, text) in files() {
        let committed = std::fs::read_to_string(reference.join(&name)).unwrap_or_default();
        assert!(committed == text, "docs/ref/{name} is out of date: {REMEDY}");
    }
    let known: BTreeSet<String> = files().into_keys().collect();
    for entry in std::fs::read_dir(reference.join("schema")).unwrap() {
        let name = format!("schema/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(known.contains(&name), "docs/ref/{name} is of no payload: delete it");
    }
}

#[test]
fn every_example_fits_its_schema_and_the_decoder() {
    let mut seen = BTreeSet::new();
    for example in examples() {
        let validator = validator(example.payload);
        let errors: Vec<String> =
            validator.iter_errors(&example.value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{} {}: {errors:?}", example.payload, example.name);
        decodes(example.payload, &example.value).unwrap();
        seen.insert(example.payload);
        seen.extend(example.value.pointer("/body/kind").map(|_| example.name));
    }
    // one schema a payload, 19 kinds of event.
    assert_eq!(seen.len(), schemas().len() + 19, "{seen:?}");
}

/// Schema and decoder refuse the same: a missing field, an unknown field and a field of another type, at every
/// object of every example.
#[test]
fn the_schema_is_as_strict_as_the_decoder() {
    let mut refused = 0;
    for example in examples() {
        let validator = validator(example.payload);
        let mut places = Vec::new();
        objects(&example.value, String::new(), &mut places);
        for place in places {
            // Counters may have any name.
            if place == "/counters" {
                continue;
            }
            let at = |value: &mut Value, change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                change(value.pointer_mut(&place).unwrap().as_object_mut().unwrap());
            };
            let fields: Vec<String> =
                example.value.pointer(&place).unwrap().as_object().unwrap().keys().cloned().collect();
            let mut unknown = example.value.clone();
            at(&mut unknown, &|o| drop(o.insert("colour".to_owned(), json!(1))));
            let mut changed = vec![(unknown, "unknown field")];
            for field in &fields {
                let mut missing = example.value.clone();
                at(&mut missing, &|o| drop(o.remove(field)));
                let mut other = example.value.clone();
                at(&mut other, &|o| drop(o.insert(field.clone(), json!({"no": "such"}))));
                changed.extend([(missing, "missing field"), (other, "other type")]);
            }
            for (value, what) in changed {
                let (schema, decoder) = (validator.is_valid(&value), decodes(example.payload, &value));
                // The one rule across two fields, which the schema does not say.
                if decoder.as_ref().is_err_and(|why| why.contains("without an epoch numbers nothing")) {
                    continue;
                }
                assert!(
                    schema == decoder.is_ok(),
                    "{} {}: {what} at {place:?}: schema {schema}, decoder {decoder:?}\n{value:#}",
                    example.payload,
                    example.name
                );
                refused += u32::from(!schema);
            }
        }
    }
    assert!(refused > 200, "only {refused} changes were refused");
}

fn objects(value: &Value, path: String, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                objects(value, format!("{path}/{name}"), out);
            }
            out.push(path);
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                objects(value, format!("{path}/{i}"), out);
            }
        }
        _ => {}
    }
}

#[test]
fn the_asyncapi_document_refers_to_what_is_there() {
    let files = files();
    let api: Value = serde_json::from_str(&files["asyncapi.json"]).unwrap();
    assert_eq!(api["asyncapi"], "3.0.0");
    assert_eq!(api["channels"].as_object().unwrap().len(), TOPICS.len());
    let mut references = Vec::new();
    collect(&api, &mut references);
    assert!(references.len() > 4 * TOPICS.len());
    for reference in references {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere"),
            None => assert!(files.contains_key(&reference), "{reference} leads nowhere"),
        }
    }
}

fn collect(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            out.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|v| collect(v, out));
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, out)),
        _ => {}
    }
}

#[test]
fn the_asyncapi_document_is_one_by_its_official_schema() {
    let text = include_str!("official/asyncapi-3.0.0.json");
    let official = jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap();
    let document = linefree_bus::schema::asyncapi();
    let errors: Vec<String> =
        official.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut broken = document;
    broken["channels"]["event"]["address"] = json!(7);
    assert!(!official.is_valid(&broken), "the official schema refuses something");
}
