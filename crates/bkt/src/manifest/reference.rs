//! The reference of the manifest as Markdown, made from its JSON Schema: `docs/vms-manifest.md`.
//!
//! Pure. Tests: below.

use std::fmt::Write as _;

use serde_json::Value;

use super::code::FaultCode;
use super::edit::KEYS;
use super::schema::schema;

/// The text above the tables.
const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// The text below the tables.
const RULES: &str = include_str!("reference/rules.md");

/// The reference as Markdown, from the second heading on.
pub fn reference_markdown() -> String {
    let schema = schema();
    let mut page = format!("{INTRODUCTION}\n## Keys\n\n### The file\n\n");
    table(&mut page, &schema, &["$schema", "uri", "vms"]);
    let vm = &schema["$defs"]["VmDefinition"];
    page.push_str("\n### A VM\n\n");
    table(&mut page, vm, &KEYS);
    page.push_str("\n### An entry of `iso_sources`\n\nOne of the two, and nothing else.\n\n");
    page.push_str("| key | value | meaning |\n| --- | --- | --- |\n");
    for shape in schema["$defs"]["IsoSource"]["oneOf"].as_array().into_iter().flatten() {
        for (key, property) in shape["properties"].as_object().into_iter().flatten() {
            let _ = writeln!(page, "| `{key}` | {} | {} |", value(property), words(&property["description"]));
        }
    }
    let _ = write!(page, "\n{RULES}\n## Faults\n\n| code | what is wrong |\n| --- | --- |\n");
    for code in FaultCode::ALL {
        let _ = writeln!(page, "| `{code}` | {} |", code.meaning());
    }
    page
}

/// One row a key.
fn table(page: &mut String, definition: &Value, keys: &[&str]) {
    page.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    let is_needed =
        |key: &str| definition["required"].as_array().into_iter().flatten().any(|needed| needed == key);
    for key in keys {
        let property = &definition["properties"][key];
        let default = match property.get("default") {
            Some(default) => {
                format!("`{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned))
            }
            None if is_needed(key) => "needed".to_owned(),
            None if key.starts_with("memory_") => "one of the two is needed".to_owned(),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            page,
            "| `{key}` | {} | {default} | {} |",
            value(property),
            words(&property["description"])
        );
    }
}

/// A description on one line, as a cell of a table takes it.
fn words(description: &Value) -> String {
    description.as_str().unwrap_or_default().replace('|', "\\|")
}

/// What a key takes, in words.
fn value(property: &Value) -> String {
    let list = |words: &Value| {
        let words: Vec<String> = words
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect();
        words.join(", ")
    };
    if property["enum"].is_array() {
        return list(&property["enum"]);
    }
    match (property["type"].as_str(), &property["type"]) {
        (Some("integer"), _) => format!("{} to {}", property["minimum"], property["maximum"]),
        (Some("boolean"), _) => "`true` or `false`".to_owned(),
        (Some("array"), _) if property["items"]["enum"].is_array() => "list of names of fields".to_owned(),
        (Some("array"), _) => format!("list of at most {} objects", property["maxItems"]),
        (Some("object"), _) => "object: names and VMs".to_owned(),
        (None, Value::Array(_)) => "text or `null`".to_owned(),
        _ => "text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_code_has_a_row() {
        let page = reference_markdown();
        let schema = schema();
        for definition in [&schema, &schema["$defs"]["VmDefinition"]] {
            for key in definition["properties"].as_object().unwrap().keys() {
                assert!(page.contains(&format!("| `{key}` | ")), "{key}");
            }
        }
        for code in FaultCode::ALL {
            assert!(page.contains(&format!("| `{code}` | ")), "{code}");
        }
        assert!(!page.contains("|  |") && !page.contains("null to null"), "a row lacks something:\n{page}");
    }
}
