//! The reference of `castra.toml` as Markdown, made from the JSON Schema: `docs/config.md`.
//!
//! Pure. Tests: below.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::FaultCode;
use super::schema::schema;

/// The tables in the order of the page: the key under `$defs`, and what stands above it in a config.
const TABLES: [(&str, &str); 9] = [
    ("Project", "`[project]`"),
    ("Lifecycle", "`[lifecycle]`"),
    ("Channel", "`[channel]`"),
    ("Vm", "`[[vms]]`"),
    ("PortForward", "An entry of `port_forwards`"),
    ("Mount", "`[[vms.mounts]]`"),
    ("CloudInit", "`[vms.cloud_init]`"),
    ("Bootstrap", "`[vms.bootstrap]`"),
    ("Inline", "`user_data` and `network_config` as tables"),
];

/// The text above the tables.
const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// The text below the tables.
const RULES: &str = include_str!("reference/rules.md");

/// The reference as Markdown, from the second heading on.
pub fn reference_markdown() -> String {
    let schema = schema();
    let mut page = format!("{INTRODUCTION}\n## Keys\n\n### The file\n\n");
    table(&mut page, &schema, &schema);
    for (name, title) in TABLES {
        let definition = &schema["$defs"][name];
        let _ = write!(page, "\n### {title}\n\n{}\n\n", description(definition));
        table(&mut page, &schema, definition);
    }
    replica(&mut page, &schema["$defs"]["Replica"]);
    let _ = write!(page, "\n{RULES}\n## Faults\n\n| code | what is wrong |\n| --- | --- |\n");
    for code in FaultCode::ALL {
        let _ = writeln!(page, "| `{code}` | {} |", code.meaning());
    }
    page
}

/// The keys of a replica, by name only: they mean what they mean in `[[vms]]`.
fn replica(page: &mut String, definition: &Value) {
    let keys: BTreeSet<&String> =
        definition["properties"].as_object().into_iter().flat_map(Map::keys).collect();
    let keys: Vec<String> = keys.into_iter().map(|key| format!("`{key}`")).collect();
    let meaning = description(definition);
    let _ = write!(
        page,
        "\n### `[vms.replicas.<name>]`\n\n{meaning} It takes {} as `[[vms]]` does.\n",
        keys.join(", ")
    );
}

/// One row a key: the needed ones first, then by name.
fn table(page: &mut String, schema: &Value, definition: &Value) {
    page.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    let required: Vec<&str> =
        definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let no_properties = Map::new();
    let properties = definition["properties"].as_object().unwrap_or(&no_properties);
    let mut keys: Vec<&String> = properties.keys().collect();
    keys.sort_by_key(|key| (!required.contains(&key.as_str()), key.as_str()));
    for key in keys {
        let property = &properties[key];
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "needed".to_owned(),
            Some(default) if !default.is_object() => format!("`{default}`"),
            _ => String::new(),
        };
        let _ = writeln!(
            page,
            "| `{key}` | {} | {default} | {} |",
            value(schema, property),
            description(property)
        );
    }
}

fn description(definition: &Value) -> String {
    definition["description"].as_str().unwrap_or_default().replace('|', "\\|")
}

/// What a key takes, in words.
fn value(schema: &Value, property: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return referred(schema, name);
    }
    match property["type"].as_str() {
        Some("integer") if property["minimum"] == property["maximum"] => property["minimum"].to_string(),
        Some("integer") => format!("{} to {}", property["minimum"], property["maximum"]),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => format!("list of {}", plural(&property["items"])),
        Some("object") if property["additionalProperties"]["type"] == "string" => "table of texts".to_owned(),
        Some("object") => "tables".to_owned(),
        _ => "text".to_owned(),
    }
}

/// What a key takes that refers to another definition.
fn referred(schema: &Value, name: &str) -> String {
    let definition = &schema["$defs"][name];
    let words: Vec<String> = definition["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|choice| choice["const"].as_str())
        .map(|word| format!("`{word}`"))
        .collect();
    match (words.is_empty(), name) {
        (false, _) => words.join(", "),
        (true, "Verify") => "text, or list of texts".to_owned(),
        (true, "Source") => "path, or `{ inline = \"…\" }`".to_owned(),
        (true, _) => "table".to_owned(),
    }
}

fn plural(items: &Value) -> &'static str {
    if items.get("$ref").is_some() { "tables" } else { "texts" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_code_has_a_row() {
        let page = reference_markdown();
        let schema = schema();
        let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
        for key in
            definitions.filter_map(|definition| definition["properties"].as_object()).flat_map(Map::keys)
        {
            assert!(page.contains(&format!("| `{key}` | ")), "{key}");
        }
        for code in FaultCode::ALL {
            assert!(page.contains(&format!("| `{code}` | ")), "{code}");
        }
        assert!(!page.contains("|  |  |"), "a row without a value");
    }
}
