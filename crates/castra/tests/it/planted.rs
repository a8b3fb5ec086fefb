//! A workspace that came with a cloned repository, links and records in it: it must choose neither where
//! Castra writes, nor what a guest is given, nor what goes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::env::TestEnv;

/// Links `place` of the workspace to `target`.
fn plant(env: &TestEnv, place: &str, target: &Path) {
    let place = env.project().join(".castra").join(place);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(target, place).unwrap();
}

#[test]
fn links_in_a_cloned_workspace_lead_nothing_out_and_nothing_in() {
    let env = TestEnv::with_vm("");
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("name = \"shop\"", "name = \"shop\"\nstate_dir = \".castra\""));
    let own = env.path().join("home/own");
    fs::create_dir_all(own.join("folder")).unwrap();
    for name in ["log", "events", "lock", "key", "folder/web.json"] {
        fs::write(own.join(name), "precious").unwrap();
    }
    plant(&env, "logs/host-broker.log", &own.join("log"));
    plant(&env, "logs/events.jsonl", &own.join("events"));
    plant(&env, "metadata/locks/.broker.lock", &own.join("lock"));
    plant(&env, "metadata/keys/web.host_ed25519", &own.join("key"));
    plant(&env, "metadata/sessions", &own.join("folder"));
    plant(&env, "metadata/operations", &own.join("folder"));

    env.run(&["up", "--wait", "none"]).succeeded();
    env.run(&["down", "--now"]).succeeded();
    for name in ["log", "events", "lock", "key", "folder/web.json"] {
        assert_eq!(fs::read_to_string(own.join(name)).unwrap(), "precious", "{name}");
    }
    assert_eq!(TestEnv::tree(&own.join("folder")), ["web.json"]);
}

#[test]
fn a_record_in_a_cloned_workspace_makes_no_file_of_the_user_go() {
    let env = TestEnv::with_vm("");
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("name = \"shop\"", "name = \"shop\"\nstate_dir = \".castra\""));
    env.run(&["up", "--wait", "none"]).succeeded();
    env.run(&["down", "--now"]).succeeded();
    let thesis = env.path().join("home/thesis.tex");
    fs::write(&thesis, "precious").unwrap();
    let records = env.project().join(".castra/metadata/vms");
    let mut record: serde_json::Value =
        serde_json::from_slice(&fs::read(records.join("web.json")).unwrap()).unwrap();
    let text = record.to_string().replace("\"web\"", "\"old\"");
    record = serde_json::from_str(&text).unwrap();
    assert_eq!(record["spec"]["disks"][0]["persistence"], "disposable", "{record}");
    record["spec"]["disks"][0]["path"] = json!(thesis);
    fs::write(records.join("old.json"), record.to_string()).unwrap();

    env.run(&["down"]).succeeded();
    env.run(&["up", "--wait", "none"]).succeeded();
    env.run(&["down", "--now"]).succeeded();
    assert_eq!(fs::read_to_string(&thesis).unwrap(), "precious");
    assert!(!records.join("old.json").exists(), "the record was believed to be a VM's and forgotten");
}
