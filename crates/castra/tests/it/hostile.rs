//! Hostile values of a project: each is a fault, and nothing is made. Names of VMs and words of the
//! command line are in `faults.rs`, awkward places that have to work in `places.rs`.

use std::fs;

use crate::env::{TestEnv, wait};
use crate::guests::{BOUND, shop, vm};

/// `extra` in a config that is otherwise right is a fault, told in one error, and nothing is made.
#[track_caller]
fn refused(extra: &str) {
    let env = TestEnv::new();
    env.write("castra.toml", extra);
    for command in
        [&["up", "--json"][..], &["up", "--plan", "--json"], &["ports", "--json", "--config", "castra.toml"]]
    {
        let error = env.castra(command).failed(3).error();
        assert_eq!(error["kind"], "config", "{extra:?}: {error}");
        let faults = error["faults"].as_array().unwrap();
        assert!(
            !faults.is_empty() && faults.iter().all(|fault| fault["line"].is_u64()),
            "{extra:?}: {error}"
        );
    }
    assert_eq!(TestEnv::tree(env.path()), ["home", "project", "project/castra.toml"], "{extra:?}");
}

#[test]
fn hostile_values_of_a_project_are_faults() {
    let long = "x".repeat(300);
    for name in ["", "a/b", "../x", "a\\nb", "a\\u0000b", &long] {
        refused(&format!("[project]\nname = \"{name}\"\n[[vms]]\nname = \"web\"\n"));
    }
    let deep = "x/".repeat(3000);
    for dir in ["", "a\\nb", "a\\u0000b", "a\\u001b[2Jb", &deep] {
        refused(&format!("[project]\nstate_dir = \"{dir}\"\n[[vms]]\nname = \"web\"\n"));
    }
    for line in [
        "port_forwards = [{ host = 0, guest = 22 }]",
        "port_forwards = [{ host = 22222, guest = 65536 }]",
        "port_forwards = [{ host = 22222, guest = 22, protocol = \"sctp\" }]",
        "port_forwards = [{ host = 22222, guest = 22, address = \"127.0.0.1,restrict=on\" }]",
        "base_image = \"\"",
        "base_image = \"a\\nb.qcow2\"",
        "base_image = \"nbd:localhost,x\"",
        "overlay = \"a\\nb\"",
        "overlay = \"metadata/../../../etc/passwd\\u0000\"",
        "memory = \"99999999999999999999 TiB\"",
        "memory = \"0\"",
        "cpus = 0",
        "cpus = 256",
        "cpus = -1",
        "count = 0",
        "count = 1000000000",
        "firmware = \"bios,readonly=off\"",
        "persistent = \"yes\"",
    ] {
        refused(&format!("[[vms]]\nname = \"web\"\n{line}\n"));
    }
    for line in ["sigkill_wait_secs = -1", "graceful_shutdown_wait_secs = 1e400", "sigterm_wait_secs = 86401"]
    {
        refused(&format!("[lifecycle]\n{line}\n[[vms]]\nname = \"web\"\n"));
    }
    refused("version = 2\n[[vms]]\nname = \"web\"\n");
    refused("version = 1\n");
    refused("[[vms]]\nname = \"web\"\n[[vms]]\nname = \"WEB\"\n");
}

#[test]
fn a_directory_with_a_line_break_is_refused() {
    let env = shop(&[vm("web", "")]);
    let dir = env.path().join("line\nbreak");
    fs::create_dir(&dir).unwrap();
    fs::copy(env.project().join("castra.toml"), dir.join("castra.toml")).unwrap();
    let up = env.command(["up", "--wait", "none", "--json"]).current_dir(&dir).spawn().unwrap();
    let answer = wait(up, BOUND);
    let error = answer.failed(3).error();
    assert!(error["message"].as_str().unwrap().contains("control character"), "{error}");
    assert_eq!(env.qemus(), []);
    assert_eq!(TestEnv::tree(&env.castra_home()), ["cache", "cache/accelerator.json"]);
}

#[test]
fn the_longest_name_of_a_vm_runs() {
    let name = "x".repeat(63);
    let env = shop(&[vm(&name, "")]);
    env.up();
    assert_eq!(env.row(&name)["responsive"], true);
    env.only_qemu();
    env.down();
    assert_eq!(env.qemus(), []);
}
