//! The JSON Schema (2020-12) of `castra.toml`, for editors and `castra schema`.
//!
//! It says what a schema can: keys, types, ranges, patterns. Rules between values, such as names
//! that are unique, only reading the config checks. Pure. Tests: `tests/config/schema.rs`.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::document::Document;

/// The schema of `castra.toml`.
pub fn schema() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().into();
    let mut schema = generator.into_root_schema_for::<Document>().to_value();
    without_null(&mut schema);
    join_lines(&mut schema);
    without_defaults(&mut schema["$defs"]["Replica"]["properties"]);
    schema
}

/// Takes the defaults out: what a replica does not say is as in its entry.
fn without_defaults(properties: &mut Value) {
    for property in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        property.as_object_mut().map(|property| property.remove("default"));
    }
}

/// Makes each description one line: the line breaks of the source are not the reader's.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            object.values_mut().for_each(join_lines);
        }
        Value::Array(array) => array.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// Takes `null` out of the schema: a key that may be missing is an `Option` here, but TOML has no
/// way to write `null`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [single] = types.as_slice() {
                    let single = single.clone();
                    object.insert("type".to_owned(), single);
                }
            }
            if let Some(only) = only_choice(object) {
                object.remove("anyOf");
                object.extend(only);
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(array) => array.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The one schema that `anyOf` offers beside `null`.
fn only_choice(object: &Map<String, Value>) -> Option<Map<String, Value>> {
    let choices = object.get("anyOf")?.as_array()?;
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|name| name == "null");
    let mut others = choices.iter().filter(|choice| !is_null(choice));
    match (others.next(), others.next()) {
        (Some(only), None) => only.as_object().cloned(),
        _ => None,
    }
}
