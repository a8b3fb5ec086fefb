//! `castra clean` around VMs that run, or ran, on real QEMU.

use std::fs;
use std::path::Path;

use plasmavmc_host::Layout;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::broker::unserved;
use crate::env::{TestEnv, eventually};

fn vm(env: &TestEnv) -> serde_json::Value {
    env.castra(["status", "--json"]).outcome()["workspaces"][0]["vms"][0].clone()
}

/// Ends the VM's process as a crash would.
fn crash(env: &TestEnv) {
    let pid = vm(env)["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually("the end of the VM", || vm(env)["state"] == "stopped");
}

fn overlay(layout: &Layout) -> std::path::PathBuf {
    layout.overlay(&"web".parse().unwrap())
}

#[test]
fn a_running_vm_loses_nothing_to_clean() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    fs::write(layout.logs().join("gone.log"), "x").unwrap();
    env.castra(["clean"]).failed(6);
    assert!(layout.logs().join("gone.log").exists(), "a refused command removed something");
    let before = vm(&env)["pid"].clone();
    let outcome = env.castra(["clean", "--force", "--json"]).succeeded().outcome();
    assert_eq!(outcome["workspaces"][0]["live"], json!(["web"]));
    assert!(!layout.logs().join("gone.log").exists());
    assert!(overlay(&layout).exists());
    let after = vm(&env);
    assert_eq!(
        (&after["state"], &after["pid"], &after["responsive"]),
        (&json!("starting"), &before, &json!(true))
    );
    env.castra(["down", "--now"]).succeeded();
    assert!(!overlay(&layout).exists());
}

#[test]
fn a_running_vm_whose_record_was_lost_is_still_live() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    fs::remove_file(layout.vm_record(&"web".parse().unwrap())).unwrap();
    env.castra(["clean"]).failed(6);
    env.castra(["clean", "--force"]).succeeded();
    assert!(overlay(&layout).exists(), "the disk of a live VM was removed");
    assert!(layout.pid_file(&"web".parse().unwrap()).exists());
}

#[test]
fn what_a_crashed_vm_left_is_removed() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    crash(&env);
    unserved(&layout);
    env.castra(["clean"]).succeeded();
    let left: Vec<_> =
        files(layout.root()).into_iter().filter(|file| !file.starts_with("metadata/keys/")).collect();
    assert_eq!(left, ["metadata/config_snapshot.toml", "metadata/workspace.json"]);
    env.castra(["up", "--wait", "none"]).succeeded();
}

#[test]
fn a_persistent_disk_survives_with_all_that_is_needed_to_use_it() {
    let env = TestEnv::with_vm("persistent = true");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    env.castra(["down", "--now"]).succeeded();
    for scope in ["--workspace", "--global"] {
        let outcome = env.castra(["clean", scope, "--force", "--json"]).succeeded().outcome();
        assert!(overlay(&layout).exists(), "{scope} removed a persistent disk");
        assert!(outcome["diagnostics"].to_string().contains("persistent VM `web` stays"), "{outcome}");
    }
    env.castra(["up", "--wait", "none"]).succeeded();
}

#[test]
fn a_disk_that_became_persistent_while_its_vm_ran_stays() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    crash(&env);
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config + "persistent = true\n");
    env.castra(["clean"]).succeeded();
    assert!(overlay(&layout).exists());
}

#[test]
fn global_cleaning_leaves_the_overlay_of_a_crashed_vm_to_the_next_up() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let layout = env.layout();
    crash(&env);
    env.castra(["clean", "--global"]).succeeded();
    assert!(overlay(&layout).exists());
    assert!(layout.vm_record(&"web".parse().unwrap()).exists(), "nobody knows whose overlay that is now");
    env.castra(["up", "--wait", "none"]).succeeded();
}

/// The files that tell something: locks are empty and stay.
fn files(root: &Path) -> Vec<String> {
    let is_file = |name: &String| root.join(name).is_file() && !name.starts_with("metadata/locks/");
    TestEnv::tree(root).into_iter().filter(is_file).collect()
}
