//! The command is killed at every named step: nothing runs out of sight, no file is half, and the
//! next command succeeds.

use std::fs;
use std::os::unix::fs::MetadataExt;

use plasmavmc_host::failpoint;

use crate::env::{TestEnv, wait};
use crate::guests::{BOUND, assert_files_are_whole, shop, vm, web};

/// The steps with a name that begins so.
fn steps(areas: &[&str]) -> Vec<&'static str> {
    let steps = failpoint::ALL.iter().copied();
    steps.filter(|step| areas.iter().any(|area| step.starts_with(area))).collect()
}

const IMAGE: [&str; 1] = ["image-"];
const UP: [&str; 2] = ["up.", "launch."];
const DOWN: [&str; 2] = ["down.", "stop."];
/// Tried in `bootstrap.rs`, on guests that can be bootstrapped.
const BOOTSTRAP: [&str; 1] = ["bootstrap."];
/// Tried by the tests of `bkt`.
const SYNC: [&str; 1] = ["sync."];

#[test]
fn every_step_is_one_that_is_tried_here() {
    let tried = steps(&[&IMAGE[..], &UP, &DOWN, &BOOTSTRAP, &SYNC].concat());
    assert_eq!(tried.len(), failpoint::ALL.len(), "{tried:?}");
    assert!(steps(&UP).len() > 8 && steps(&DOWN).len() > 4, "{tried:?}");
}

/// Runs a command that dies at `step`.
fn die_at(env: &TestEnv, step: &str, args: &[&str]) {
    let victim = env.command(args).env(failpoint::VARIABLE, step).spawn().unwrap();
    let answer = wait(victim, BOUND);
    assert_eq!(answer.code, None, "{step} was not reached by {args:?}: {answer}");
}

/// What holds after a crash, whatever came before it. Gives the live QEMU's process.
fn nothing_is_lost(env: &TestEnv, step: &str) -> Option<u32> {
    let row = env.row("web");
    let qemus = env.qemus();
    assert!(qemus.len() <= 1, "{step}: {qemus:?}");
    let pid = qemus.first().map(|qemu| qemu.pid);
    assert_eq!(row["pid"].as_u64(), pid.map(u64::from), "{step}: status tells {row}");
    assert_eq!(row["state"] != "stopped", pid.is_some(), "{step}: status tells {row}");
    assert!(pid.is_none() || env.overlay().exists(), "{step}: the overlay is gone under a live VM");
    assert_files_are_whole(&env.layout());
    pid
}

/// What holds after the last `down`.
fn nothing_is_left(env: &TestEnv, step: &str) {
    env.down();
    assert_eq!(env.qemus(), [], "{step}");
    assert!(!env.overlay().exists(), "{step}: the overlay was left behind");
    assert_eq!(env.row("web")["state"], "stopped", "{step}");
}

/// A world in which the next `up` passes `step`.
fn before(step: &str) -> TestEnv {
    let env = web();
    if step == "up.old-overlay-discarded" {
        env.up();
        env.kill_qemu();
        assert!(env.overlay().exists(), "an overlay of a VM that was not shut down stays");
    }
    env
}

#[test]
fn an_up_that_was_killed_is_finished_by_the_next() {
    for step in steps(&UP) {
        let env = before(step);
        die_at(&env, step, &["up", "--wait", "none"]);
        let orphan = nothing_is_lost(&env, step);
        let up = env.up();
        assert_eq!(up["vms"][0]["change"] == "already_running", orphan.is_some(), "{step}: {up}");
        let running = env.only_qemu();
        assert!(orphan.is_none_or(|orphan| orphan == running), "{step}: a second QEMU was started");
        nothing_is_left(&env, step);
    }
}

#[test]
fn an_up_that_was_killed_is_undone_by_a_down() {
    for step in steps(&UP) {
        let env = before(step);
        die_at(&env, step, &["up", "--wait", "none"]);
        nothing_is_lost(&env, step);
        nothing_is_left(&env, step);
        assert_files_are_whole(&env.layout());
    }
}

#[test]
fn a_kept_disk_survives_an_up_and_a_down_killed_at_any_step() {
    let env = shop(&[vm("web", "persistent = true")]);
    env.up();
    env.down();
    let disk = || fs::metadata(env.overlay()).unwrap().ino();
    let before = disk();
    let makes_a_disk = |step: &&str| ["up.old-overlay-discarded", "up.overlay-created"].contains(step);
    for step in steps(&UP).into_iter().filter(|step| !makes_a_disk(step)) {
        die_at(&env, step, &["up", "--wait", "none"]);
        nothing_is_lost(&env, step);
        env.down();
        assert_eq!(disk(), before, "{step}: it is another file");
    }
    for step in steps(&DOWN) {
        env.up();
        die_at(&env, step, &["down"]);
        nothing_is_lost(&env, step);
        assert_eq!(disk(), before, "{step}: it is another file");
    }
    env.down();
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_down_that_was_killed_is_finished_by_the_next() {
    for step in steps(&DOWN) {
        let env = web();
        env.up();
        die_at(&env, step, &["down"]);
        nothing_is_lost(&env, step);
        nothing_is_left(&env, step);
    }
}

#[test]
fn a_down_that_was_killed_does_not_keep_a_vm_from_being_started() {
    for step in steps(&DOWN) {
        let env = web();
        env.up();
        die_at(&env, step, &["down"]);
        nothing_is_lost(&env, step);
        env.up();
        env.only_qemu();
        nothing_is_left(&env, step);
    }
}

#[test]
fn an_image_whose_import_was_killed_is_whole_or_not_there() {
    for step in steps(&IMAGE) {
        let env = TestEnv::new();
        let mut disk = vec![7; 1 << 16];
        // The mark of a boot sector: without it, this is no disk.
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        env.write("disk.raw", disk);
        die_at(&env, step, &["image", "import", "disk.raw", "--name", "mine"]);
        for name in TestEnv::tree(&env.castra_home()).iter().filter(|name| name.ends_with(".json")) {
            let text = fs::read(env.castra_home().join(name)).unwrap();
            assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "{step}: {name} is half");
        }
        env.castra(["image", "import", "disk.raw", "--name", "mine"]).succeeded();
        let verified = env.castra(["image", "verify", "mine", "--json"]).succeeded().outcome();
        assert_eq!(verified["images"][0]["check"], "intact", "{step}: {verified}");
    }
}
