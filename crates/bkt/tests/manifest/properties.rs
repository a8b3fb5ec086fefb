//! What holds of every text.

use bkt::manifest::{Edits, parse, parse_bytes, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{env, rfc_example, with};

/// A value a careless person or a hostile one may write.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..5000).prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(1e19)),
        "(uefi|bios|spice|none|2\\.0|default|bridge:br0|/d/[ab]\\.qcow2|~/a\\.iso|52:54:00:00:00:0[01]|\\PC{0,6})".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("(path|url|x-a|\\PC{0,3})", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A manifest in which some keys of the example have other values, or are gone.
fn manifest() -> impl Strategy<Value = Value> {
    let keys = [
        "memory_gb",
        "memory_mb",
        "vcpus",
        "disk_path",
        "disk_size_gb",
        "create_if_missing",
        "boot",
        "tpm",
        "network",
        "mac",
        "graphics",
        "iso_sources",
        "autostart",
        "secure_boot",
        "cpu_model",
        "disk_bus",
        "title",
        "unmanaged_fields",
        "x-a",
        "colour",
    ];
    let change = (prop::sample::select(keys.to_vec()), prop::option::of(value()));
    prop::collection::vec(change, 0..3).prop_map(|changes| {
        let mut manifest: Value = serde_json::from_str(rfc_example()).unwrap();
        let vm = manifest["vms"]["win11"].as_object_mut().unwrap();
        for (key, value) in changes {
            match value {
                Some(value) => drop(vm.insert(key.to_owned(), value)),
                None => drop(vm.remove(key)),
            }
        }
        manifest
    })
}

proptest! {
    #[test]
    fn no_text_is_too_wild_to_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let faults = parse_bytes(&bytes, env()).err().unwrap_or_default();
        for fault in faults {
            prop_assert!(fault.span.start <= fault.span.end && fault.span.end <= bytes.len());
            prop_assert!(fault.position.line >= 1 && fault.position.column >= 1);
            prop_assert!(!fault.message.contains(char::is_control));
        }
    }

    /// A manifest that was cut, or in which a byte is another one.
    #[test]
    fn a_broken_manifest_is_told_and_never_breaks_us(cut in 0usize..600, at in 0usize..600, byte in any::<u8>()) {
        let mut bytes = with("\"iso_sources\": [{ \"path\": \"~/a.iso\" }], \"mac\": \"52:54:00:00:00:00\"").into_bytes();
        let end = cut.min(bytes.len());
        let half = bytes[..end].to_vec();
        let is_whole = half.trim_ascii_end().len() == bytes.trim_ascii_end().len();
        prop_assert_eq!(parse_bytes(&half, env()).is_ok(), is_whole);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse_bytes(&bytes, env());
    }

    #[test]
    fn what_is_accepted_is_as_the_schema_says(manifest in manifest()) {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        if parse(&manifest.to_string(), env()).is_ok() {
            let faults: Vec<_> = validator.iter_errors(&manifest).map(|fault| fault.to_string()).collect();
            prop_assert!(faults.is_empty(), "{:?}\n{:#}", faults, manifest);
        }
    }

    #[test]
    fn an_edit_of_nothing_changes_nothing(manifest in manifest()) {
        let text = format!("{manifest:#}");
        if let Ok((edited, _)) = Edits::default().apply(&text, env()) {
            prop_assert_eq!(edited, text);
        }
    }
}
