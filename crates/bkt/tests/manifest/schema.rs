//! The published schema: what it holds of the specification's own, and that it is what reading does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bkt::manifest::schema;
use serde_json::{Value, json};

use crate::{but, faults, read, rfc_example, with};

/// The schema of the specification, word for word.
const SPECIFIED: &str = include_str!("specified.schema.json");

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn validates(schema: &Value, text: &str) -> bool {
    jsonschema::validator_for(schema).unwrap().is_valid(&serde_json::from_str(text).unwrap())
}

#[test]
fn the_schema_is_one_and_takes_the_example() {
    jsonschema::meta::validate(&schema()).unwrap();
    assert!(validates(&schema(), rfc_example()));
    assert!(validates(&serde_json::from_str(SPECIFIED).unwrap(), rfc_example()));
}

#[test]
fn the_committed_schema_is_as_the_code_says() {
    let kept = fs::read_to_string(root().join("manifests/vms.schema.json")).unwrap_or_default();
    assert!(kept == format!("{:#}\n", schema()), "manifests/vms.schema.json: run `cargo xtask gen`");
}

/// Every word of the specification's schema stands in ours: types, least values, words, defaults, needed
/// keys. Ours says more.
#[test]
fn the_specified_schema_holds() {
    let (ours, specified): (Value, Value) = (schema(), serde_json::from_str(SPECIFIED).unwrap());
    assert_eq!((&ours["title"], &ours["$schema"]), (&specified["title"], &specified["$schema"]));
    assert_eq!(ours["required"], specified["required"]);
    for name in ["VmManifest", "VmDefinition"] {
        let pick = |schema: &Value| match name {
            "VmManifest" => schema.clone(),
            name => schema["$defs"][name].clone(),
        };
        let (ours, specified) = (pick(&ours), pick(&specified));
        assert_eq!((&ours["type"], &ours["description"]), (&specified["type"], &specified["description"]));
        for (key, property) in specified["properties"].as_object().unwrap() {
            let own = &ours["properties"][key];
            for (word, value) in property.as_object().unwrap() {
                match word.as_str() {
                    "description" => assert!(
                        own[word]
                            .as_str()
                            .unwrap()
                            .starts_with(value.as_str().unwrap().trim_end_matches('.')),
                        "{key}"
                    ),
                    _ => assert_eq!(&own[word], value, "`{word}` of `{key}`"),
                }
            }
        }
    }
    let vm = &ours["$defs"]["VmDefinition"];
    let mut needed: BTreeSet<&str> =
        vm["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert_eq!(vm["oneOf"], json!([{ "required": ["memory_gb"] }, { "required": ["memory_mb"] }]));
    needed.insert("memory_gb");
    let specified: BTreeSet<&str> = specified["$defs"]["VmDefinition"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    assert_eq!(needed, specified);
}

#[test]
fn an_iso_source_is_as_specified() {
    let (ours, specified): (Value, Value) = (schema(), serde_json::from_str(SPECIFIED).unwrap());
    let (ours, specified) = (&ours["$defs"]["IsoSource"], &specified["$defs"]["IsoSource"]);
    assert_eq!(ours["description"], specified["description"]);
    for (own, given) in ours["oneOf"].as_array().unwrap().iter().zip(specified["oneOf"].as_array().unwrap()) {
        assert_eq!(own["required"], given["required"]);
        assert_eq!(own["additionalProperties"], given["additionalProperties"]);
        for (key, property) in given["properties"].as_object().unwrap() {
            for (word, value) in property.as_object().unwrap() {
                assert_eq!(&own["properties"][key][word], value, "`{word}` of `{key}`");
            }
        }
    }
}

#[test]
fn the_schema_and_the_reading_know_the_same_keys() {
    let schema = schema();
    for key in schema["$defs"]["VmDefinition"]["properties"].as_object().unwrap().keys() {
        let faults = faults(&but(key, "{ \"x\": 1 }"));
        assert!(faults.iter().all(|fault| fault.code.as_str() != "unknown-key"), "{key}: {faults:?}");
    }
    let all = faults(&with("\"colour\": 1"));
    let known = all[0].suggestion.as_deref().unwrap();
    let listed = known.matches('`').count() / 2;
    assert_eq!(listed, schema["$defs"]["VmDefinition"]["properties"].as_object().unwrap().len(), "{known}");
}

#[test]
fn what_the_schema_can_tell_it_tells() {
    let schema = schema();
    for (key, value) in [
        ("memory_gb", "0"),
        ("memory_gb", "1.5"),
        ("vcpus", "\"4\""),
        ("disk_path", "\"a.qcow2\""),
        ("disk_path", "\"/a/../b\""),
        ("disk_path", "\"/a/\""),
        ("boot", "\"efi\""),
        ("tpm", "\"1.2\""),
        ("network", "\"bridge:\""),
        ("network", "\"\""),
        ("mac", "\"01:00:5e:00:00:01\""),
        ("graphics", "null"),
        ("disk_bus", "\"xen\""),
        ("cpu_model", "\"a b\""),
        ("title", "\"\""),
        ("iso_sources", "[{}]"),
        ("iso_sources", "[{\"path\": \"a\"}]"),
        ("iso_sources", "[{\"path\": \"/a\", \"url\": \"http://h/\"}]"),
        ("iso_sources", "[{\"url\": \"ftp://h/\"}]"),
        ("iso_sources", "[{\"url\": \"http://h/\", \"checksum\": \"sha1:00\"}]"),
        ("unmanaged_fields", "[\"grafics\"]"),
        ("colour", "1"),
        ("memory_mb", "8192"),
    ] {
        let text = but(key, value);
        assert!(!faults(&text).is_empty(), "{key}: {value}");
        assert!(!validates(&schema, &text), "{key}: {value}");
    }
    for more in ["\"x-a\": 1", "\"title\": null", "\"iso_sources\": []", "\"network\": \"bridge:br0\""] {
        let text = if more.contains("network") { but("network", "\"bridge:br0\"") } else { with(more) };
        read(&text);
        assert!(validates(&schema, &text), "{more}");
    }
}

#[test]
fn every_manifest_that_is_shown_is_right() {
    let page = fs::read_to_string(root().join("docs/vms-manifest.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for text in blocks.into_iter().chain([rfc_example()]) {
        read(text);
        assert!(validates(&schema(), text), "{text}");
    }
}
