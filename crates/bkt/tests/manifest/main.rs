//! `vms.json` through the public interface of the library: what it means, and every fault.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up shall fail where it stands")]

mod faults;
mod meaning;
mod properties;
mod schema;

use std::path::Path;

use bkt::manifest::{Environment, Fault, VmManifest, parse};

/// What every test reads its manifest with.
fn env() -> Environment<'static> {
    Environment { file: Path::new("/src/manifests/vms.json"), home: Some(Path::new("/home/me")) }
}

/// The faults of a text.
fn faults(text: &str) -> Vec<Fault> {
    parse(text, env()).err().unwrap_or_default()
}

/// What a text means, which has no fault.
#[track_caller]
fn read(text: &str) -> VmManifest {
    parse(text, env()).unwrap_or_else(|faults| panic!("{text}\n{faults:#?}"))
}

/// The keys a VM needs, without a brace.
const NEEDED: &str = r#""memory_gb": 8, "vcpus": 4, "disk_path": "/d/a.qcow2", "disk_size_gb": 80,
    "boot": "uefi", "network": "default", "graphics": "spice""#;

/// A manifest with one VM that has what it needs, and `more`.
fn with(more: &str) -> String {
    format!("{{\"vms\": {{ \"a\": {{ {NEEDED},\n    {more}\n}} }} }}\n")
}

/// A manifest with one VM in which `key` has that value.
fn but(key: &str, value: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(&format!("{{{NEEDED}}}")).unwrap();
    let members = parsed.as_object().unwrap().iter().filter(|(name, _)| *name != key);
    let members: Vec<String> = members.map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{\"vms\": {{ \"a\": {{ \"{key}\": {value},\n    {}\n}} }} }}\n", members.join(", "))
}

/// The RFC's own schema and example.
fn rfc_example() -> &'static str {
    include_str!("../../../../examples/host/manifests/vms.json")
}
