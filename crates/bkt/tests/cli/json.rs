//! What programs read.

use serde_json::Value;

use crate::env::{ONE, TestEnv};

#[test]
fn every_schema_is_one_and_an_unknown_one_is_refused() {
    let env = TestEnv::new();
    for name in [
        "manifest",
        "plan-file",
        "error",
        "vm-sync",
        "vm-capture",
        "vm-status",
        "vm-power",
        "vm-fetch",
        "sync",
        "status",
        "drift",
    ] {
        let text = env.bkt(["schema", name]).ended(0).stdout;
        let schema: Value = serde_json::from_str(&text).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    env.bkt(["schema", "bogus"]).ended(64);
}

#[test]
fn the_schema_of_the_manifest_is_the_committed_one() {
    let printed = TestEnv::new().bkt(["schema"]).ended(0).stdout;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/vms.schema.json");
    assert_eq!(printed, std::fs::read_to_string(kept).unwrap());
}

#[test]
fn a_fetch_of_a_vm_without_urls_fetches_nothing() {
    let env = TestEnv::with(ONE);
    let answer = env.bkt(["vm", "fetch", "web", "--json"]).ended(0);
    env.holds("vm-fetch", &answer);
    assert_eq!(answer.line()["outcome"]["vms"][0]["media"], serde_json::json!([]));
}

#[test]
fn a_full_disk_under_standard_output_is_a_failure() {
    let env = TestEnv::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = env.command(["schema"]);
    command.stdout(full);
    crate::env::run(command).ended(9);
}
