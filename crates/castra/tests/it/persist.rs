//! What becomes of what a guest wrote, and of files that are not Castra's.

use std::fs;

use castra_testkit::{counting_disk, obedient_disk};

use crate::env::TestEnv;
use crate::sectors::{names, one_vm, only, vms};

/// Boots the guest that counts its boots and gives what it said.
fn boot(env: &TestEnv, expected: &[u8]) {
    env.start();
    env.heard(&env.layout(), expected);
}

#[test]
fn what_a_disposable_guest_wrote_is_gone_at_its_next_start() {
    let env = TestEnv::with_guest(&counting_disk(), "");
    boot(&env, b"0U");
    env.run(&["down"]).succeeded();
    boot(&env, b"0U");
    assert_eq!(
        fs::read(env.project().join("guest.img")).unwrap(),
        counting_disk(),
        "the base was written to"
    );
}

#[test]
fn what_a_persistent_guest_wrote_is_there_at_its_next_start() {
    let env = TestEnv::with_guest(&counting_disk(), "persistent = true");
    boot(&env, b"0U");
    let down = env.run(&["down", "--json"]).succeeded();
    let kept = down.lines();
    assert!(only(&kept, "PersistentLayerKept")["size_bytes"].as_u64().unwrap() > 0);
    assert_eq!(vms(&down)[0]["reclaimed_bytes"], 0);
    let up = env.run(&["up", "--json", "--wait", "running"]).succeeded();
    assert_eq!(only(&up.lines(), "OverlayPrepared")["created"], false);
    env.heard(&env.layout(), b"1U");
    // A QEMU that ends before its time loses nothing either.
    env.run(&["down", "--now"]).succeeded();
    boot(&env, b"2U");
    assert_eq!(
        fs::read(env.project().join("guest.img")).unwrap(),
        counting_disk(),
        "the base was written to"
    );
}

#[test]
fn a_vm_made_persistent_while_it_runs_keeps_its_disk() {
    let env = TestEnv::with_guest(&counting_disk(), "");
    boot(&env, b"0U");
    env.write("castra.toml", one_vm("persistent = true"));
    let answer = env.run(&["down", "--json"]).succeeded();
    assert!(!names(&answer.lines()).contains(&"EphemeralLayerDiscarded"), "{answer}");
    boot(&env, b"1U");
}

#[test]
fn a_file_of_the_users_own_is_never_discarded() {
    let env = TestEnv::with_guest(&obedient_disk(), "overlay = \"./mine.qcow2\"");
    let mine = env.write("mine.qcow2", "a year of work");
    let error = env.run(&["up", "--json"]).failed(6).error();
    assert!(error["message"].as_str().unwrap().contains("mine.qcow2"), "{error}");
    env.run(&["down"]).succeeded();
    env.run(&["up", "--force"]).failed(6);
    assert_eq!(fs::read(&mine).unwrap(), b"a year of work");
}

#[test]
fn an_overlay_where_the_config_wants_it_is_made_and_discarded_there() {
    let env = TestEnv::with_guest(&obedient_disk(), "overlay = \"./disks/web.qcow2\"");
    let overlay = env.project().join("disks/web.qcow2");
    env.start();
    assert!(overlay.exists() && !env.overlay().exists());
    env.run(&["down"]).succeeded();
    assert!(!overlay.exists());
    assert!(overlay.parent().unwrap().exists());
}
