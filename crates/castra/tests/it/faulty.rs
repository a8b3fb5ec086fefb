//! A castra.toml that was broken while its VMs run: nobody is locked out of them.

use std::fs;

use castra_testkit::obedient_disk;

use crate::env::{TestEnv, assert_answer};

/// A project whose VM runs, and whose config has had two faults since.
fn broken() -> TestEnv {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", format!("{config}memmory = 3\ncpus = \"many\"\n"));
    env
}

/// What every command says first, with the place of the first fault.
fn warning(env: &TestEnv) -> String {
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let line = config.lines().position(|line| line.starts_with("memmory")).unwrap() + 1;
    format!(
        "warning: the project here is taken as its last `castra up` left it: {}:{line}:1: `[[vms]]` has no key \
         `memmory`, and 1 more fault",
        env.project().join("castra.toml").display()
    )
}

#[test]
fn a_config_with_faults_locks_nobody_out_of_a_vm_that_runs() {
    let env = broken();
    let warning = warning(&env);
    let id = env.castra(["status", "--json"]).outcome()["workspaces"][0]["id"].as_str().unwrap().to_owned();
    for words in [
        &["status"][..],
        &["status", "--config", "castra.toml"],
        &["ports", "--config", "castra.toml"],
        &["logs"],
        &["ssh-config"],
    ] {
        let answer = env.run(words).succeeded();
        assert!(answer.stderr.contains(&warning), "{words:?}: {answer}");
        assert!(answer.stdout.is_empty() || !answer.stdout.contains("memmory"), "{words:?}: {answer}");
    }
    // The guest has no agent: that is what they fail of, and not of the config.
    for (words, code) in [
        (&["exec", "--wait", "0", "web", "--", "true"][..], 125),
        (&["exec", "--wait", "0", "true"], 125),
        (&["shell", "--wait", "0"], 125),
        (&["cp", "--wait", "0", "castra.toml", "web:/"], 8),
        (&["bus", "publish", "--topic", "t", "--wait", "0", "x"], 8),
    ] {
        let answer = env.run(words).failed(code);
        assert!(answer.stderr.contains("guest of VM `web` is not reachable"), "{answer}");
    }
    let answer = env.run(&["console"]).succeeded();
    assert!(answer.stderr.contains(&warning), "{answer}");

    // What would act on the config refuses, and what removes files says how to go on.
    env.run(&["up"]).failed(3);
    let refused = env.run(&["clean"]).failed(3);
    assert!(refused.stderr.contains(&format!("`castra clean --workspace {id}`")), "{refused}");

    let down = env.run(&["down", "--config", "castra.toml"]).succeeded();
    assert!(down.stderr.contains(&warning) && down.stdout.contains("Stopped 1 VM"), "{down}");
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_config_that_was_deleted_locks_nobody_out_either() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    fs::remove_file(env.project().join("castra.toml")).unwrap();
    let answer = env.run(&["logs"]).succeeded();
    assert!(answer.stderr.contains("taken as its last `castra up` left it: no `castra.toml`"), "{answer}");
    let named = env.run(&["status", "--json", "--config", "castra.toml"]).succeeded().outcome();
    assert_eq!(named["workspaces"][0]["vms"][0]["state"], "running", "{named}");
    assert_eq!(named["diagnostics"].as_array().unwrap().len(), 1, "{named}");
    env.run(&["up"]).failed(3);
    env.run(&["down", "--config", "castra.toml"]).succeeded();
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_config_with_faults_that_was_never_up_is_told_as_what_it_is() {
    let env = TestEnv::new();
    env.write("castra.toml", "[[vms]]\nnmae = \"x\"\n");
    for words in [&["logs"][..], &["status", "--config", "castra.toml"], &["console"]] {
        let answer = env.run(words).failed(3);
        assert!(answer.stderr.contains("error[unknown-key]"), "{answer}");
    }
    assert_answer!(env, env.castra(["status"]), @r"
    exit code 0
    --- stdout
    No workspaces yet: `castra init` writes a castra.toml, `castra up` starts its VMs
    --- stderr
    warning: the project here is left out: $TEST/project/castra.toml:1:1: `[[vms]]` needs `name`, and 1 more fault
    hint: `castra up --plan` shows what is wrong with its config
    ");
}
