//! `docs/events.md`: every event with its fields, from the schema of the event type. Tests: below.

use plasmavmc_types::EventKind;
use serde_json::Value;

/// The text of the page.
pub(super) fn page() -> String {
    let schema = schemars::schema_for!(EventKind).to_value();
    let mut text = format!(
        "# Events\n\n{}\n\nWhat happens is told as events: as sentences to people, as one JSON object per line with \
         `--json`, and kept in `logs/events.jsonl` of the workspace. Beside its own fields every event has `seq` \
         (its position within the command, from 1), `at` (RFC 3339, UTC, milliseconds), `event` (its name) and, \
         where it happened to a VM, `vm`. A name or field once released keeps its meaning; new ones may be \
         added.\n",
        super::NOTICE
    );
    for variant in variants(&schema) {
        text.push_str(&section(variant, &schema));
    }
    text
}

fn variants(schema: &Value) -> &[Value] {
    schema["oneOf"].as_array().map_or(&[], Vec::as_slice)
}

fn section(variant: &Value, schema: &Value) -> String {
    let name = variant["properties"]["event"]["const"].as_str().unwrap_or_default();
    let mut text = format!("\n## `{name}`\n\n{}\n", words(&variant["description"]));
    let mut rows = fields(variant, schema);
    rows.extend(flattened(variant));
    if !rows.is_empty() {
        text.push_str("\n| field | type | meaning |\n| --- | --- | --- |\n");
        text.push_str(&rows.concat());
    }
    text
}

fn fields(variant: &Value, schema: &Value) -> Vec<String> {
    let Some(properties) = variant["properties"].as_object() else { return Vec::new() };
    let own = properties.iter().filter(|(name, _)| *name != "event");
    own.map(|(name, field)| {
        format!("| `{name}` | {} | {} |\n", type_of(field, schema), words(&field["description"]))
    })
    .collect()
}

/// The rows of an enum that is flattened into an event: one per value of its tag, and the fields a
/// value brings.
fn flattened(variant: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    for inner in variants(variant) {
        let properties = inner["properties"].as_object().into_iter().flatten();
        let (tags, fields): (Vec<_>, Vec<_>) = properties.partition(|(_, field)| field["const"].is_string());
        for (tag, field) in tags {
            let value = field["const"].as_str().unwrap_or_default();
            rows.push(format!("| `{tag}` | `{value}` | {} |\n", words(&inner["description"])));
            let with = |(name, field): &(&String, &Value)| {
                let (kind, meaning) = (word(&field["type"]), words(&field["description"]));
                format!("| `{name}` | {kind}, with `{value}` | {meaning} |\n")
            };
            rows.extend(fields.iter().map(with));
        }
    }
    rows
}

/// A type in a few words: `integer`, `text`, `integer, optional`, or the values of an enum.
fn type_of(field: &Value, schema: &Value) -> String {
    if let Some(target) = field["$ref"].as_str() {
        return values(resolve(schema, target));
    }
    match &field["type"] {
        Value::Array(types) => {
            let some: Vec<&str> = types.iter().map(word).filter(|it| *it != "null").collect();
            format!("{}, optional", some.join(" or "))
        }
        single => word(single).to_owned(),
    }
}

fn values(target: &Value) -> String {
    let one_by_one = variants(target).iter().filter_map(|variant| variant["const"].as_str());
    let together = target["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let list: Vec<String> = one_by_one.chain(together).map(|value| format!("`{value}`")).collect();
    if list.is_empty() { word(&target["type"]).to_owned() } else { list.join(", ") }
}

fn word(kind: &Value) -> &str {
    match kind.as_str() {
        Some("string") => "text",
        Some(other) => other,
        None => "value",
    }
}

fn resolve<'a>(schema: &'a Value, target: &str) -> &'a Value {
    schema.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null)
}

/// A description on one line, as a cell of a table takes it.
fn words(description: &Value) -> String {
    let text = description.as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_section_and_every_field_a_meaning() {
        let page = page();
        let schema = schemars::schema_for!(EventKind).to_value();
        assert!(variants(&schema).len() > 20, "the schema lists one shape per event");
        assert_eq!(page.matches("\n## `").count(), variants(&schema).len());
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.contains("|  |") && !line.contains("| value |"), "a cell is empty: {line}");
        }
    }
}
