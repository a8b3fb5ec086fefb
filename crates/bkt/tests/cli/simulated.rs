//! Against libvirt's own simulation (`test:///default`), which needs no daemon and forgets everything when
//! virsh ends, and against a virsh that is not there.

use crate::env::{ONE, TestEnv, assert_answer};

#[test]
fn a_host_without_virsh_is_told_what_to_install() {
    let env = TestEnv::with(ONE);
    for words in [&["vm", "status"][..], &["vm", "sync"], &["vm", "start", "web"], &["sync"]] {
        let mut command = env.command(words);
        command.env("PATH", env.repo());
        let answer = crate::env::run(command).ended(4);
        assert!(answer.stderr.contains("virsh"), "{words:?}: {answer}");
        assert!(answer.stderr.contains("hint: "), "{words:?}: {answer}");
    }
}

#[test]
fn the_connection_is_that_of_the_flag_before_the_environment_before_the_manifest() {
    let manifest = ONE.replacen('{', "{\n  \"uri\": \"test:///nowhere.xml\",", 1);
    let env = TestEnv::with(&manifest);
    let uri = |words: &[&str], variable: Option<&str>| {
        let mut command = env.command(words.iter().chain(&["vm", "status", "--json"]));
        command.envs(variable.map(|uri| ("LIBVIRT_DEFAULT_URI", uri)));
        crate::env::run(command)
    };
    let shown = uri(&["--connect", "test:///default"], Some("test:///other.xml")).ended(2).line();
    assert_eq!(shown["outcome"]["uri"], "test:///default");
    let shown = uri(&[], Some("test:///default")).ended(2).line();
    assert_eq!(shown["outcome"]["uri"], "test:///default");
    assert!(uri(&[], None).line()["error"].is_object());
}

#[test]
fn status_shows_what_is_missing_and_what_is_unmanaged() {
    let env = TestEnv::with(ONE);
    assert_answer!(env, "status", env.bkt(["--connect", "test:///default", "vm", "status"]).ended(2));
    let answer = env.bkt(["--connect", "test:///default", "vm", "status", "--json"]).ended(2);
    env.holds("vm-status", &answer);
    env.holds("status", &env.bkt(["--connect", "test:///default", "status", "--json"]).ended(2));
}

#[test]
fn status_needs_no_manifest() {
    let env = TestEnv::new();
    let answer = env.bkt(["--connect", "test:///default", "vm", "status", "--json"]).ended(0).line();
    assert_eq!(answer["outcome"]["vms"][0]["standing"], "unmanaged");
    assert!(answer["outcome"]["manifest"].is_null());
}

#[test]
fn a_capture_says_what_it_cannot_say_and_writes_nothing_then() {
    let env = TestEnv::with(ONE);
    let answer = env.bkt(["--connect", "test:///default", "vm", "capture"]).ended(2);
    assert!(answer.stdout.contains("test: cannot say"), "{answer}");
    assert_eq!(env.read("manifests/vms.json"), ONE);
    let answer = env.bkt(["--connect", "test:///default", "vm", "capture", "--check", "--json"]).ended(2);
    env.holds("vm-capture", &answer);
    env.holds("sync", &env.bkt(["--connect", "test:///default", "capture", "--json"]).ended(2));
}

#[test]
fn a_dry_run_plans_what_is_missing_and_writes_nothing() {
    let env = TestEnv::new();
    let manifest = ONE.replace("\"disk_size_gb\": 20", "\"disk_size_gb\": 20, \"create_if_missing\": true");
    env.write("manifests/vms.json", &manifest);
    let refused = env.bkt(["--connect", "test:///default", "vm", "sync", "--dry-run"]).ended(2);
    assert!(refused.stdout.contains("web: make it: `mkdir -p /images`"), "{refused}");
    env.write("manifests/vms.json", manifest.replace("/images", env.repo().to_str().unwrap()));
    let answer = env.bkt(["--connect", "test:///default", "vm", "sync", "--dry-run", "--json"]).ended(2);
    env.holds("vm-sync", &answer);
    assert_eq!(answer.line()["outcome"]["plan"]["vms"][0]["action"], "create");
    env.holds("sync", &env.bkt(["--connect", "test:///default", "sync", "--dry-run", "--json"]).ended(2));
    env.holds("drift", &env.bkt(["--connect", "test:///default", "drift", "--json"]).ended(2));
    assert_eq!(TestEnv::tree(&env.repo()), ["manifests", "manifests/vms.json"]);
}

#[test]
fn a_reviewed_plan_is_refused_once_the_manifest_wants_something_else() {
    let env = TestEnv::new();
    let text = ONE.replace("\"disk_size_gb\": 20", "\"disk_size_gb\": 20, \"create_if_missing\": true");
    let text = text.replace("/images", env.repo().to_str().unwrap());
    env.write("manifests/vms.json", &text);
    let vm = |words: &[&str]| env.bkt([&["--connect", "test:///default", "vm", "sync"], words].concat());
    vm(&["--out", "plan.json"]).ended(2);
    let changed = text.replace("\"vcpus\": 2", "\"vcpus\": 3");
    assert_ne!(changed, text);
    env.write("manifests/vms.json", changed);
    let answer = vm(&["--plan", "plan.json"]).ended(6);
    assert!(answer.stderr.contains("`web` is to have another `vcpus` by the manifest now"), "{answer}");
    env.write("manifests/vms.json", "{ \"vms\": {} }");
    let answer = vm(&["--plan", "plan.json"]).ended(6);
    assert!(answer.stderr.contains("`web` left the manifest"), "{answer}");
}

#[test]
fn a_vm_that_is_not_there_is_neither_started_nor_stopped() {
    let env = TestEnv::with(ONE);
    for verb in ["start", "stop"] {
        let answer = env.bkt(["--connect", "test:///default", "vm", verb, "web"]).ended(64);
        assert!(answer.stderr.contains("libvirt has no VM `web`"), "{answer}");
        assert!(answer.stderr.contains("bkt vm sync web"), "{answer}");
    }
}

#[test]
fn vms_that_the_manifest_does_not_list_are_not_among_all() {
    let env = TestEnv::with(ONE);
    let answer = env.bkt(["--connect", "test:///default", "vm", "stop", "--all", "--json"]).ended(0);
    env.holds("vm-power", &answer);
    assert_eq!(answer.line()["outcome"]["vms"], serde_json::json!([]));
}
