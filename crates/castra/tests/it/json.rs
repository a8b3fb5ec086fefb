//! What programs read: every line is one of the shapes its schema allows.

use serde_json::Value;

use crate::env::TestEnv;

#[test]
fn every_answer_is_as_its_schema_says() {
    let env = TestEnv::with_project();
    for (schema, code, words) in [
        ("status", 0, &["status"][..]),
        ("ports", 0, &["ports"]),
        ("plan", 5, &["up", "--plan", "--qcow", "missing.qcow2"]),
        ("down", 0, &["down"]),
        ("logs", 0, &["logs"]),
        ("bootstrap", 2, &["bootstrap"]),
        ("console", 6, &["console"]),
        ("clean", 0, &["clean"]),
        ("clean", 0, &["clean", "--global", "--dry-run"]),
        ("image-list", 0, &["image", "list"]),
        ("image-verify", 0, &["image", "verify"]),
        ("image-rm", 5, &["image", "rm", "mine"]),
        ("init", 0, &["init", "--force"]),
        ("init", 6, &["init"]),
        ("error", 2, &["up", "wbe"]),
        ("error", 2, &["bogus"]),
        ("doctor", 0, &["doctor"]),
    ] {
        let answer = env.castra(words.iter().chain(&["--json"]));
        assert_eq!(answer.code, Some(code), "{words:?}: {answer}");
        env.holds(schema, &answer);
    }
}

#[test]
fn what_is_told_of_a_running_vm_is_as_its_schema_says() {
    let port = castra_testkit::free_port();
    let env = TestEnv::with_vm(&format!("port_forwards = [{{ host = {port}, guest = 22 }}]"));
    env.holds("plan", &env.castra(["up", "--plan", "--json"]).succeeded());
    let up = env.castra(["up", "--wait", "none", "--json"]).succeeded();
    env.holds("up", &up);
    let events: Vec<_> =
        up.lines().iter().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect();
    for event in ["WorkspacePrepared", "OverlayPrepared", "VmLaunched", "VmReady"] {
        assert!(events.contains(&event.to_owned()), "{event} is missing: {events:?}");
    }
    env.holds("up", &env.castra(["up", "--wait", "none", "--json"]).succeeded());
    env.holds("status", &env.castra(["status", "--json"]).succeeded());
    env.holds("ports", &env.castra(["ports", "--json"]).succeeded());
    env.holds("clean", &env.castra(["clean", "--dry-run", "--json"]).succeeded());
    env.holds("down", &env.castra(["down", "--now", "--json"]).succeeded());
    env.holds("status", &env.castra(["status", "--json"]).succeeded());
    let logs = env.castra(["logs", "--json"]).succeeded();
    env.holds("logs", &logs);
    assert!(logs.lines().iter().any(|line| line["log"]["event"]["event"] == "ShutdownComplete"), "{logs}");
}

#[test]
fn faults_of_a_config_are_as_the_schema_of_errors_says() {
    let env = TestEnv::new();
    env.write("castra.toml", "[[vms]]\nname = \"../x\"\nbogus = 1\n");
    env.holds("error", &env.castra(["up", "--json"]));
    env.holds("up", &env.castra(["up", "--json"]));
}

#[test]
fn the_last_line_is_the_only_one_with_an_answer() {
    let env = TestEnv::with_project();
    let layout = env.layout();
    std::fs::create_dir_all(layout.logs()).unwrap();
    std::fs::write(layout.logs().join("old.log"), "x").unwrap();
    let answer = env.castra(["clean", "--json"]).succeeded();
    let lines = answer.lines();
    let (last, before) = lines.split_last().unwrap();
    assert!(last["outcome"].is_object());
    assert_eq!(before.len(), 1, "{answer}");
    assert_eq!(before[0]["event"], "CleanupProgress");
}

#[test]
fn every_schema_is_one_and_an_unknown_one_is_refused() {
    let env = TestEnv::new();
    let page = env.castra(["schema", "--help"]).succeeded().stdout;
    for name in ["config", "events", "error", "status", "up", "doctor"] {
        assert!(page.contains(name), "{name} is not listed");
        let schema: Value = serde_json::from_str(&env.castra(["schema", name]).succeeded().stdout).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    env.castra(["schema", "bogus"]).failed(2);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::io::{BufRead, BufReader};
    let env = TestEnv::new();
    let mut child = env.command(["completions", "zsh"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let answer = crate::env::wait(child, std::time::Duration::from_secs(10));
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_under_standard_output_is_a_failure() {
    let env = TestEnv::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = env.command(["status"]).stdout(full).spawn().unwrap();
    crate::env::wait(child, std::time::Duration::from_secs(10)).failed(9);
}
