//! The reference page's tables, in Markdown.

use super::{Example, qos};
use crate::topic::{PREFIX, TOPICS};
use schemars::Schema;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The table of topics.
pub fn topics() -> String {
    let mut text =
        String::from("| topic | payload | QoS | retained | purpose |\n| --- | --- | --- | --- | --- |\n");
    for row in &TOPICS {
        let _ = writeln!(
            text,
            "| `{PREFIX}/{{store}}/{}` | [{}](#{}) | {} | {} | {} |",
            row.pattern,
            row.payload,
            row.payload.to_lowercase(),
            qos(row),
            if row.retained { "yes" } else { "no" },
            row.purpose
        );
    }
    text.trim_end().to_owned()
}

/// For each payload, and each type within, a table of its fields.
pub fn payloads(schemas: &BTreeMap<&'static str, Schema>) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for (name, schema) in schemas {
        let schema = schema.as_value();
        object(&mut text, name, schema, &mut told);
        if let Some(parts) = schema.get("$defs").and_then(Value::as_object) {
            for (name, part) in parts {
                object(&mut text, name, part, &mut told);
            }
        }
    }
    text.trim_end().to_owned()
}

fn object(text: &mut String, name: &str, schema: &Value, told: &mut BTreeSet<String>) {
    if !told.insert(name.to_owned()) {
        return;
    }
    let _ = writeln!(text, "### {name}\n\n{}\n", doc(schema));
    if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
        variants(text, kinds);
    }
    fields(text, schema);
}

/// The words of an enumeration, or the kinds of a tagged union with each one's fields.
fn variants(text: &mut String, kinds: &[Value]) {
    if kinds.iter().all(|kind| kind.get("const").is_some()) {
        text.push_str("| value | |\n| --- | --- |\n");
        for kind in kinds {
            let word = kind.get("const").and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(text, "| `{word}` | {} |", doc(kind));
        }
        text.push('\n');
        return;
    }
    for kind in kinds {
        let word = kind.pointer("/properties/kind/const").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "#### {word}\n\n`\"kind\": \"{word}\"`. {}\n", doc(kind));
        fields(text, kind);
    }
}

/// The table of an object's fields; the tag of a union has been told already.
fn fields(text: &mut String, schema: &Value) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = list(schema, "required").filter_map(Value::as_str).collect();
    text.push_str("| field | type | | |\n| --- | --- | --- | --- |\n");
    for (field, schema) in fields.iter().filter(|(_, schema)| schema.get("const").is_none()) {
        let needed = if required.contains(&field.as_str()) { "" } else { "optional" };
        let _ = writeln!(text, "| `{field}` | {} | {needed} | {} |", type_of(schema), doc(schema));
    }
    text.push('\n');
}

fn list<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn doc(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.replace("[`", "`").replace("`]", "`").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn link(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    format!("[{name}](#{})", name.to_lowercase())
}

fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return link(reference);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let names: Vec<String> = list(schema, key).map(type_of).collect();
        if !names.is_empty() {
            return names.join(" or ");
        }
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names: Vec<String> = names.into_iter().map(|name| scalar(name, schema)).collect();
    names.join(" or ")
}

fn scalar(name: &str, schema: &Value) -> String {
    let format = schema.get("format").and_then(Value::as_str);
    match (name, format) {
        ("array", _) => {
            let of = schema.get("items").map(type_of).unwrap_or_default();
            match schema.get("minItems").filter(|n| schema.get("maxItems") == Some(n)) {
                Some(count) => format!("{count} x {of}"),
                None => format!("list of {of}"),
            }
        }
        ("object", _) => {
            let of = schema.get("additionalProperties").map(type_of).unwrap_or_default();
            format!("map from text to {of}")
        }
        ("string", Some("uuid")) => "UUID".to_owned(),
        ("string", _) => "text".to_owned(),
        ("integer", Some(format)) => format.to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// The examples, one below the other.
pub fn examples(examples: &[Example]) -> String {
    let mut text = String::new();
    for Example { payload, name, what, value } in examples {
        let _ = writeln!(text, "{payload}, {name}. {what}\n\n```json\n{value:#}\n```\n");
    }
    text.trim_end().to_owned()
}
