//! `castra status` of real VMs: it never writes, never waits, and tells what it can.

use std::fs;
use std::time::{Duration, Instant};

use castra_testkit::{halting_disk, obedient_disk};
use rustix::process::Signal;
use serde_json::Value;

use crate::broker::unserved;
use crate::env::{TestEnv, assert_answer};
use crate::sectors::{SHORT_WAITS, details, vms};

#[test]
fn status_changes_nothing_whatever_state_a_vm_is_in() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let unchanged = |expected: &str| {
        let before = details(env.path());
        let answer = env.castra(["status", "--json"]).succeeded();
        env.castra(["status", "--verbose"]).succeeded();
        assert_eq!(details(env.path()), before, "{expected}");
        env.holds("status", &answer);
        assert_eq!(env.row("web")["state"], expected);
    };
    unchanged("running");
    env.kill_qemu();
    unserved(&env.layout());
    unchanged("stopped");
    env.run(&["down"]).succeeded();
    unchanged("stopped");
}

#[test]
fn a_running_vm_is_told_whole() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let began = Instant::now();
    let up = env.start().remove(0);
    let row = env.row("web");
    assert_eq!((&row["state"], &row["pid"]), (&"running".into(), &up["pid"]));
    assert_eq!((&row["paused"], &row["responsive"]), (&false.into(), &true.into()));
    assert_eq!((&row["accelerator"], &row["cpus"]), (&"tcg".into(), &1.into()));
    assert_eq!(row["memory_bytes"], 64 << 20);
    let uptime = Duration::from_millis(row["uptime_ms"].as_u64().unwrap());
    // The kernel counts the start of a process in hundredths of a second.
    assert!(uptime <= began.elapsed() + Duration::from_millis(20), "{uptime:?}");
    assert!(row["stop_reason"].is_null());
}

#[test]
fn a_frozen_qemu_is_told_without_a_write_and_is_back_when_it_wakes() {
    let env = TestEnv::with_guest(&halting_disk(), "");
    let up = env.run(&["up", "--json", "--wait", "none"]).succeeded();
    let pid = &vms(&up)[0]["pid"];
    let qemu = env.signal_qemu(Signal::STOP);
    let before = details(env.path());
    let began = Instant::now();
    let row = env.row("web");
    // The bound of the answer is a second; the rest is for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((&row["state"], &row["responsive"]), (&"running".into(), &false.into()));
    assert_eq!(&row["pid"], pid);
    assert_eq!(details(env.path()), before);
    qemu.signal(Signal::CONT).unwrap();
    assert_eq!(env.row("web")["responsive"], true);
}

#[test]
fn a_lost_or_broken_snapshot_of_the_config_hides_no_vm() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let snapshot = env.layout().config_snapshot();
    let known = || {
        let status = env.castra(["status", "--json", "--skip-discovery"]).succeeded().outcome();
        status["workspaces"][0]["vms"][0].clone()
    };
    for text in ["", "version = 99\n", "[[vms]]\nname = \"../x\"\n", "\0\u{1}"] {
        fs::write(&snapshot, text).unwrap();
        assert_eq!((&known()["vm"], &known()["state"]), (&"web".into(), &"running".into()), "{text:?}");
    }
    fs::remove_file(&snapshot).unwrap();
    assert_eq!(known()["state"], "running");
    let down = env.run(&["down", "--json", "--skip-discovery"]).succeeded();
    assert_eq!(vms(&down)[0]["outcome"], "graceful");
}

#[test]
fn a_broken_config_hides_no_vm_and_is_warned_of() {
    let env = TestEnv::with_guest(&obedient_disk(), SHORT_WAITS);
    env.start();
    env.write("castra.toml", "bogus");
    let warned = |answer: &crate::env::Answer| {
        let warning = answer.outcome()["diagnostics"][0].to_string();
        assert!(warning.contains("the project here is taken as its last `castra up` left it"), "{warning}");
        assert!(warning.contains("castra.toml:1:6: this is not TOML"), "{warning}");
    };
    let status = env.castra(["status", "--json"]).succeeded();
    env.holds("status", &status);
    warned(&status);
    assert_eq!(vms(&status)[0]["state"], "running");
    warned(&env.castra(["ports", "--json"]).succeeded());
    warned(&env.castra(["status", "--json", "--config", "castra.toml"]).succeeded());
    let down = env.run(&["down", "web", "--json"]).succeeded();
    warned(&down);
    assert_eq!(vms(&down)[0]["outcome"], "graceful");
    assert_eq!(down.lines()[0]["graceful_wait_ms"], 1000, "the waits of its last `up`: {down}");
}

#[test]
fn a_broken_config_of_a_project_that_never_ran_is_left_out_and_warned_of() {
    let env = TestEnv::new();
    env.write("castra.toml", "bogus");
    assert_answer!(env, env.castra(["status"]), @r"
    exit code 0
    --- stdout
    No workspaces yet: `castra init` writes a castra.toml, `castra up` starts its VMs
    --- stderr
    warning: the project here is left out: $TEST/project/castra.toml:1:6: this is not TOML: key with no value, expected `=`
    hint: `castra up --plan` shows what is wrong with its config
    ");
}

#[test]
fn the_last_runs_and_what_the_next_will_take_are_told_on_request_only() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    assert_eq!(env.row("web")["timings"], Value::Null);
    let timings = |env: &TestEnv| {
        let status = env.castra(["status", "--json", "--timings"]).succeeded().outcome();
        status["workspaces"][0]["vms"][0]["timings"].clone()
    };
    let none = serde_json::json!({ "runs": [], "estimate": null });
    env.run(&["up", "--wait", "running", "--plan"]).succeeded();
    for runs in 1..=2 {
        env.start();
        let before = details(env.path());
        let told = timings(&env);
        assert_ne!(told, none);
        assert_eq!(told["runs"].as_array().unwrap().len(), runs);
        assert_eq!(told["estimate"]["runs"], runs);
        let stages = told["runs"][0]["stages"].as_array().unwrap();
        assert!(stages.iter().any(|reached| reached["stage"] == "console"), "{stages:?}");
        assert_eq!(details(env.path()), before, "status wrote");
        // Bringing up what is up already is no run.
        env.run(&["up", "--wait", "running"]).succeeded();
        assert_eq!(timings(&env)["runs"].as_array().unwrap().len(), runs);
        env.down();
    }
    let text = env.castra(["status", "--timings"]).succeeded().stdout;
    assert!(text.contains("web: the next run takes about"), "{text}");
}
