//! VMs whose record cannot be read: told, and in nobody's way.

use std::fs;

use castra_testkit::obedient_disk;
use plasmavmc_host::Layout;
use serde_json::Value;

use crate::env::{Answer, TestEnv};
use crate::sectors::{one_vm, vms};

/// A world whose VMs `web` and `db` run, with records of `db` and of a VM `x` that cannot be read.
fn with_broken_records() -> (TestEnv, Layout) {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let db = one_vm("").replace("[project]\nname = \"shop\"", "").replace("\"web\"", "\"db\"");
    env.write("castra.toml", one_vm(&db));
    assert_eq!(env.start().len(), 2);
    let layout = env.layout();
    for name in ["db", "x"] {
        fs::write(layout.vm_record(&name.parse().unwrap()), "{").unwrap();
    }
    (env, layout)
}

/// The VMs that are warned of: each record by its path.
fn warned_of(answer: &Answer) -> Vec<&'static str> {
    let diagnostics = answer.outcome()["diagnostics"].to_string();
    ["web", "db", "x"]
        .into_iter()
        .filter(|vm| diagnostics.contains(&format!("/vms/{vm}.json` is not")))
        .collect()
}

#[test]
fn a_record_that_cannot_be_read_hides_no_vm() {
    let (env, _) = with_broken_records();
    let status = env.castra(["status", "--json"]).succeeded();
    env.holds("status", &status);
    let states: Vec<_> = vms(&status).iter().map(|vm| (vm["vm"].clone(), vm["state"].clone())).collect();
    let running = |vm: &str| (Value::from(vm), Value::from("running"));
    assert_eq!(states, [running("db"), running("web")]);
    assert_eq!(warned_of(&status), ["db", "x"]);
    let hint = &status.outcome()["diagnostics"][0]["hint"];
    assert!(hint.as_str().unwrap().starts_with("if it runs, stop it first"), "{hint}");
    assert_eq!(warned_of(&env.castra(["ports", "--json"]).succeeded()), ["db", "x"]);
    let doctor = env.castra(["doctor"]).failed(4);
    assert!(doctor.stdout.contains("/vms/x.json` is not a VM record"), "{doctor}");
    let strays = env.path().to_str().unwrap();
    let stray = doctor.stdout.lines().find(|line| line.contains("runs VM") && line.contains(strays));
    assert_eq!(stray, None, "a known VM is called a stray");
}

#[test]
fn down_stops_what_it_can_and_tells_what_it_could_not_tidy_up() {
    let (env, layout) = with_broken_records();
    let answer = env.run(&["down", "--json"]).failed(9);
    env.holds("down", &answer);
    let failed: Vec<_> = answer.error()["failures"].as_array().unwrap().clone();
    let names: Vec<_> = failed.iter().map(|failure| failure["vm"].clone()).collect();
    assert_eq!(names, ["db", "x"], "{answer}");
    assert!(failed[0]["error"]["hints"].to_string().contains("mv "), "{answer}");
    let ended: Vec<_> = answer
        .lines()
        .into_iter()
        .filter(|line| line["event"] == "ShutdownComplete")
        .map(|line| line["vm"].clone())
        .collect();
    assert_eq!(ended.len(), 2, "{answer}");
    assert_eq!(env.qemus(), []);
    let overlay = |vm: &str| layout.overlay(&vm.parse().unwrap()).exists();
    assert_eq!((overlay("web"), overlay("db")), (false, true), "only what is known to be disposable goes");

    // As the hint says.
    for name in ["db", "x"] {
        let record = layout.vm_record(&name.parse().unwrap());
        fs::rename(&record, record.with_extension("json.broken")).unwrap();
    }
    assert_eq!(env.start().len(), 2);
    env.run(&["down"]).succeeded();
    assert_eq!((overlay("web"), overlay("db")), (false, false));
}

#[test]
fn up_starts_what_it_can_beside_a_record_that_cannot_be_read() {
    let (env, layout) = with_broken_records();
    env.run(&["down"]).failed(9);
    let answer = env.run(&["up", "--json", "--wait", "running"]).failed(9);
    assert!(answer.error()["message"].as_str().unwrap().contains("`db`"), "{answer}");
    assert_eq!(env.row("web")["state"], "running");
    fs::remove_file(layout.vm_record(&"db".parse().unwrap())).unwrap();
    // A VM the config does not have makes no failure of those it has.
    let answer = env.run(&["up", "--json", "--wait", "running"]).succeeded();
    assert_eq!(warned_of(&answer), ["x"]);
}

#[test]
fn clean_refuses_beside_a_live_vm_and_cleans_beside_a_dead_one_whose_record_cannot_be_read() {
    let (env, _) = with_broken_records();
    env.castra(["clean"]).failed(6);
    env.run(&["down"]).failed(9);
    env.castra(["clean"]).succeeded();
}
