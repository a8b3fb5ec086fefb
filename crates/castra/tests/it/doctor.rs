//! `castra doctor`: what it finds, what it says to do, and that it changes nothing.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::env::{Answer, TestEnv, wait};
use crate::guests::{BOUND, web};

/// One check of an answer.
fn check(answer: &Answer, name: &str) -> Value {
    let outcome = answer.outcome();
    let check = outcome["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    check.unwrap_or_else(|| panic!("no check `{name}`: {answer}"))
}

/// Its details that speak of `path`. Other tests run VMs in homes of their own meanwhile.
fn about(check: &Value, path: &Path) -> Vec<String> {
    let details = check["details"].as_array().unwrap().iter();
    let texts = details.map(|detail| detail.as_str().unwrap().to_owned());
    texts.filter(|text| text.contains(path.to_str().unwrap())).collect()
}

fn doctor(env: &TestEnv) -> Answer {
    env.castra(["doctor", "--json"])
}

#[test]
fn a_host_that_can_run_vms_is_told_so_with_reasons_and_nothing_is_written() {
    let env = TestEnv::new();
    let answer = doctor(&env).succeeded();
    for name in ["qemu", "qemu_img", "home", "disk_space", "workspaces", "leftovers", "image_store"] {
        assert_eq!(check(&answer, name)["status"], "ok", "{answer}");
    }
    let outcome = answer.outcome();
    let accelerators = outcome["accelerators"].as_array().unwrap();
    let tcg = accelerators.iter().find(|row| row["accelerator"] == "tcg").unwrap();
    assert!(tcg["rank"].is_u64(), "TCG runs everywhere: {tcg}");
    for row in accelerators {
        assert!(!row["reason"].as_str().unwrap().is_empty(), "{row}");
    }
    let first = accelerators.iter().find(|row| row["rank"] == 1).unwrap();
    let expected = if first["accelerator"] == "tcg" { "warning" } else { "ok" };
    assert_eq!(check(&answer, "accelerator")["status"], expected, "{answer}");
    assert_eq!(TestEnv::tree(&env.castra_home()), [""; 0], "looking made something");
}

#[test]
fn a_missing_qemu_is_a_problem_with_the_package_to_install() {
    let env = TestEnv::new();
    let mut command = env.command(["doctor", "--json"]);
    let answer = wait(command.env("PATH", "/nonexistent").spawn().unwrap(), BOUND);
    let answer = answer.failed(4);
    let qemu = check(&answer, "qemu");
    assert_eq!(qemu["status"], "problem");
    assert!(qemu["hints"][0].as_str().unwrap().contains("apt-get install qemu-system-"), "{qemu}");
    assert_eq!(check(&answer, "accelerator")["status"], "problem");
}

#[test]
fn whatever_is_no_workspace_any_more_is_named_with_a_way_out() {
    let env = TestEnv::new();
    let (projects, links) = (env.castra_home().join("projects"), env.castra_home().join("workspaces"));
    fs::create_dir_all(projects.join("broken/metadata")).unwrap();
    fs::write(projects.join("broken/metadata/workspace.json"), "{").unwrap();
    fs::create_dir(&links).unwrap();
    std::os::unix::fs::symlink("/nonexistent/w", links.join("gone")).unwrap();
    let before = TestEnv::tree(&env.castra_home());
    let answer = doctor(&env).failed(4);
    let found = check(&answer, "workspaces");
    assert_eq!(found["status"], "problem");
    assert_eq!(about(&found, &projects.join("broken")).len(), 1, "{found}");
    assert_eq!(about(&found, &links.join("gone")).len(), 1, "{found}");
    assert_eq!(found["hints"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(TestEnv::tree(&env.castra_home()), before);
}

#[test]
fn a_vm_whose_workspace_was_moved_away_is_found_and_goes_on_running() {
    let env = web();
    env.up();
    let (pid, root) = (env.only_qemu(), env.layout().root().to_owned());
    assert_eq!(about(&check(&doctor(&env), "strays"), env.path()), [""; 0]);

    let away = env.path().join("away");
    fs::rename(&root, &away).unwrap();
    let strays = check(&doctor(&env), "strays");
    assert_eq!(strays["status"], "warning");
    let expected =
        format!("process {pid} runs VM `web` in {}, a workspace that is not known here", away.display());
    assert_eq!(about(&strays, &away), [expected]);

    fs::rename(&away, &root).unwrap();
    assert_eq!(about(&check(&doctor(&env), "strays"), env.path()), [""; 0]);
    assert_eq!(env.row("web")["pid"], pid, "it was touched");
}

#[test]
fn what_a_killed_vm_left_is_named_until_down_has_tidied_up() {
    let env = web();
    env.up();
    assert_eq!(check(&doctor(&env), "leftovers")["status"], "ok");
    env.kill_qemu();
    let leftovers = check(&doctor(&env), "leftovers");
    assert_eq!(leftovers["status"], "warning");
    assert!(!about(&leftovers, env.layout().root()).is_empty(), "{leftovers}");
    env.down();
    assert_eq!(check(&doctor(&env), "leftovers")["status"], "ok");
}
