//! Which workspaces a command acts on, and what is said where there is none.

use std::fs;

use crate::env::{TestEnv, assert_answer};

#[test]
fn a_machine_without_workspaces_says_how_to_begin() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["status"]), @r"
    exit code 0
    --- stdout
    No workspaces yet: `castra init` writes a castra.toml, `castra up` starts its VMs
    ");
    assert_eq!(env.castra(["status", "--json"]).outcome()["workspaces"].as_array().unwrap().len(), 0);
    assert!(!env.castra_home().exists(), "reading wrote something");
}

#[test]
fn a_project_that_never_ran_is_shown_as_stopped() {
    let env = TestEnv::with_project();
    assert_answer!(env, env.castra(["status"]), @r"
    exit code 0
    --- stdout
    shop  shop-<hash>
    VM      STATE    BROKER   UPTIME  ACCEL  CPUS  MEMORY  FORWARDS
    devbox  stopped  offline  -       -         -       -  2222->22

    stopped = no process, starting = its guest is not up yet
    running = its guest is up, shutting_down = on its way down
    offline = no broker runs, waiting = it has not heard of the guest lately
    reachable = the guest answered within the freshness window (6 s unless castra.toml says otherwise)
    (time) = since its last handshake or answered keepalive; guests are asked every 2 s
    ");
    assert!(!env.castra_home().exists(), "reading wrote something");
}

#[test]
fn a_config_is_found_from_a_directory_below_it() {
    let env = TestEnv::with_project();
    fs::create_dir_all(env.project().join("a/b")).unwrap();
    let mut command = env.command(["status", "--json"]);
    command.current_dir(env.project().join("a/b"));
    let answer = crate::env::wait(command.spawn().unwrap(), std::time::Duration::from_secs(10));
    assert_eq!(answer.outcome()["workspaces"][0]["project"], "shop");
}

#[test]
fn without_discovery_the_project_here_is_not_looked_at() {
    let env = TestEnv::with_project();
    let workspaces = env.castra(["status", "--json", "--skip-discovery"]).outcome()["workspaces"].clone();
    assert_eq!(workspaces.as_array().unwrap().len(), 0);
}

#[test]
fn up_without_a_config_says_what_to_do() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["up"]), @r"
    exit code 3
    --- stderr
    error: no `castra.toml` in `$TEST/project` or a directory above it

    hint: write one with `castra init`, name one with `--config PATH`, or name the workspace of VMs that run: `--workspace ID`
    ");
    assert_answer!(env, env.castra(["up", "--skip-discovery"]), @r"
    exit code 2
    --- stderr
    error: no config is named and none may be searched for

    hint: name one with `--config PATH`, or the workspace of VMs that run with `--workspace ID`
    ");
    assert_eq!(TestEnv::tree(env.path()), ["home", "project"]);
}

#[test]
fn an_unknown_vm_is_named_with_those_there_are() {
    let env = TestEnv::with_project();
    assert_answer!(env, env.castra(["up", "wbe"]), @r"
    exit code 2
    --- stderr
    error: there is no VM `wbe` here

    hint: there is `devbox`
    ");
    assert_answer!(env, env.castra(["console", "wbe"]), @r"
    exit code 2
    --- stderr
    error: there is no VM `wbe` here

    hint: there is `devbox`
    ");
    env.castra(["logs", "wbe"]).failed(2);
}

#[test]
fn an_unknown_workspace_is_named() {
    let env = TestEnv::new();
    for verb in ["status", "down", "ports", "logs", "console", "clean"] {
        let error = env.castra([verb, "--json", "--workspace", "shop-0123456789ab"]).failed(2).error();
        assert_eq!(error["message"], "there is no workspace `shop-0123456789ab`", "{verb}");
    }
}

#[test]
fn a_console_of_a_vm_that_does_not_run_says_how_to_start_it() {
    let env = TestEnv::with_project();
    assert_answer!(env, env.castra(["console"]), @r"
    exit code 6
    --- stderr
    error: VM `devbox` does not run

    hint: start it with `castra up`; `castra logs devbox` shows its last run
    ");
    assert!(!env.castra_home().exists(), "a refused command wrote something");
}
