//! A disk under a live VM is never deleted, whoever believes to own it.

use std::fs;

use serde_json::Value;

use crate::env::TestEnv;
use crate::guests::{shop, vm};

const UP_BANK: [&str; 6] = ["up", "--wait", "none", "--json", "--config", "../bank/castra.toml"];
const DOWN_BANK: [&str; 4] = ["down", "--json", "--config", "../bank/castra.toml"];
const DOWN_SHOP: [&str; 4] = ["down", "--json", "--config", "castra.toml"];

/// A world with the projects `shop` and `bank`, whose configs name one file as the disk of their VMs.
fn one_disk_for_two() -> TestEnv {
    let env = shop(&[vm("web", "overlay = \"../disk.qcow2\"")]);
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    fs::create_dir(env.path().join("bank")).unwrap();
    fs::write(env.path().join("bank/castra.toml"), config.replace("\"shop\"", "\"bank\"")).unwrap();
    env
}

/// An error that is a conflict over the disk.
#[track_caller]
fn is_about_the_disk(error: &Value) {
    assert!(error["message"].as_str().unwrap().contains("disk.qcow2"), "{error}");
}

#[test]
fn a_disk_under_a_live_vm_of_another_project_stays() {
    let env = one_disk_for_two();
    let disk = env.path().join("disk.qcow2");
    // Both had it once, one after the other, so both have reason to believe that it is theirs.
    env.run(&UP_BANK).succeeded();
    env.run(&DOWN_BANK).succeeded();
    env.up();
    let pid = env.only_qemu();
    assert!(disk.exists());
    for command in [&UP_BANK[..], &DOWN_BANK] {
        is_about_the_disk(&env.run(command).failed(6).error());
        assert!(disk.exists(), "{command:?} deleted the disk of a live VM");
        assert_eq!(env.only_qemu(), pid, "{command:?}");
    }
    env.run(&DOWN_SHOP).succeeded();
    assert!(!disk.exists());
    env.run(&UP_BANK).succeeded();
    is_about_the_disk(&env.run(&["up", "--wait", "none", "--json"]).failed(6).error());
    assert!(disk.exists());
    env.run(&DOWN_BANK).succeeded();
    assert_eq!(env.qemus(), []);
}
