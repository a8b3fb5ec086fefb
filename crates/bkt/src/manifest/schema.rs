//! The JSON Schema (2020-12) of the manifest, for editors and `bkt schema`: `manifests/vms.schema.json`.
//!
//! It says what a schema can: keys, types, ranges, patterns. Rules between values, such as disks that no
//! two VMs share, only reading the manifest checks. Pure. Tests: `tests/manifest`.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::document::{COMMENT_KEYS, Document};

/// The schema of `vms.json`.
pub fn schema() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().into();
    let mut schema = generator.into_root_schema_for::<Document>().to_value();
    tidy(&mut schema, "");
    close(&mut schema);
    let definition = &mut schema["$defs"]["VmDefinition"];
    close(definition);
    if let Some(required) = definition["required"].as_array_mut() {
        required.retain(|key| key != "memory_gb");
    }
    definition["oneOf"] = json!([{ "required": ["memory_gb"] }, { "required": ["memory_mb"] }]);
    schema
}

/// Refuses keys that mean nothing, and lets comments be.
fn close(object: &mut Value) {
    object["patternProperties"] = json!({ COMMENT_KEYS: true });
    object["additionalProperties"] = json!(false);
}

/// Makes each description one line, takes out `null` where a key may only be left out, and the hints of
/// Rust's own number types.
fn tidy(schema: &mut Value, key: &str) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                object.remove("format");
            }
            if !matches!(key, "title" | "$schema") {
                without_null(object);
            }
            for (key, value) in object.iter_mut() {
                tidy(value, key);
            }
        }
        Value::Array(array) => array.iter_mut().for_each(|value| tidy(value, "")),
        _ => {}
    }
}

fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [single] = types.as_slice() {
            let single = single.clone();
            object.insert("type".to_owned(), single);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let is_null = |choice: &Value| choice["type"] == "null";
    if let Some(Value::Array(choices)) = object.get("anyOf")
        && choices.iter().any(is_null)
        && let [only] = choices.iter().filter(|choice| !is_null(choice)).collect::<Vec<_>>().as_slice()
        && let Some(only) = only.as_object().cloned()
    {
        object.remove("anyOf");
        object.extend(only);
    } else if let Some(choices) = object.remove("anyOf") {
        // Of two shapes that exclude each other one holds.
        object.insert("oneOf".to_owned(), choices);
    }
}
