//! Hostile and mistaken input: one clear answer, one exit code, and nothing left behind.

use std::fs;

use crate::env::{Answer, TestEnv, assert_answer};

/// The answer to a config, and the proof that it left nothing.
#[track_caller]
fn refused(config: &str) -> Answer {
    let env = TestEnv::new();
    env.write("castra.toml", config);
    let answer = env.castra(["up", "--json"]).failed(3);
    assert_eq!(TestEnv::tree(env.path()), ["home", "project", "project/castra.toml"]);
    assert!(answer.stderr.is_empty(), "{answer}");
    answer
}

#[test]
fn every_fault_of_a_config_is_shown_where_it_is() {
    let env = TestEnv::new();
    env.write(
        "castra.toml",
        "version = 1\n\n[[vms]]\nname = \"../x\"\nmemmory = \"2 GiB\"\nmemory = \"lots\"\nport_forwards = [{ host = 0, guest = 22 }]\n",
    );
    assert_answer!(env, env.castra(["up"]), @r#"
    exit code 3
    --- stderr
    error[bad-name]: a VM name cannot hold '/': use letters, digits, `-`, `_` and `.`
     --> $TEST/project/castra.toml:4:8
      |
    4 | name = "../x"
      |        ^^^^^^

    error[unknown-key]: `[[vms]]` has no key `memmory`
     --> $TEST/project/castra.toml:5:1
      |
    5 | memmory = "2 GiB"
      | ^^^^^^^
      |
      = help: did you mean `memory`?

    error[bad-size]: `lots` is not a size: write a whole number and a unit, such as `512 MiB` or `2 GiB`
     --> $TEST/project/castra.toml:6:10
      |
    6 | memory = "lots"
      |          ^^^^^^

    error[out-of-range]: `host` is a whole number from 1 to 65535
     --> $TEST/project/castra.toml:7:27
      |
    7 | port_forwards = [{ host = 0, guest = 22 }]
      |                           ^

    error: `$TEST/project/castra.toml` has 4 faults

    hint: `castra schema` prints the format, for editors that complete and check it
    "#);
}

#[test]
fn programs_get_every_fault_with_its_place() {
    let error = refused("version = 1\n[[vms]]\nname = \"web\"\ncpus = 0\nmemmory = 1\n").error();
    let faults = error["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2, "{error}");
    assert_eq!((&faults[0]["line"], &faults[1]["line"]), (&4.into(), &5.into()));
    assert!(faults.iter().all(|fault| fault["code"].is_string()), "{error}");
}

#[test]
fn hostile_names_of_vms_are_faults() {
    for name in ["../x", "a/b", "a\\nb", "a,b", "-rf", "", &"x".repeat(300), "\\u0000", ".."] {
        refused(&format!("[[vms]]\nname = \"{name}\"\n"));
    }
}

#[test]
fn hostile_values_are_faults() {
    for line in [
        "port_forwards = [{ host = 65536, guest = 22 }]",
        "port_forwards = [{ host = -1, guest = 22 }]",
        "port_forwards = [{ host = 1, guest = 22 }, { host = 1, guest = 23 }]",
        "memory = \"lots\"",
        "memory = \"-1 GiB\"",
        "cpus = 1e9",
        "accelerator = \"magic\"",
        "overlay = \"\"",
    ] {
        refused(&format!("[[vms]]\nname = \"web\"\n{line}\n"));
    }
}

#[test]
fn a_bomb_is_a_fault_and_takes_no_time() {
    refused(&format!("x = {}", "[".repeat(100_000)));
    refused(&"a.".repeat(50_000));
    refused(&"[[vms]]\n".repeat(100_000));
}

#[test]
fn what_is_no_file_is_no_config() {
    let env = TestEnv::new();
    fs::create_dir(env.project().join("castra.toml")).unwrap();
    env.castra(["up"]).failed(3);
    env.castra(["up", "--config", "."]).failed(3);
    env.castra(["up", "--config", "/dev/zero"]).failed(3);
    env.castra(["status", "--config", "missing.toml"]).failed(3);
    assert_eq!(TestEnv::tree(env.path()), ["home", "project", "project/castra.toml"]);
}

#[test]
fn hostile_words_are_mistakes_of_usage() {
    let env = TestEnv::with_project();
    for vm in ["../x", "a/b", "a\nb", "a,b", "--", ".."] {
        env.castra(["up", "--", vm]).failed(2);
        env.castra(["logs", "--", vm]).failed(2);
    }
    for id in ["../../etc", "", "shop", "shop-0123456789AB"] {
        env.castra(["status", "--workspace", id]).failed(2);
    }
    for image in ["../x", "a/b", ""] {
        env.castra(["image", "pull", image]).failed(2);
    }
    assert!(!env.castra_home().exists());
}

#[test]
fn words_that_are_not_utf8_are_answered() {
    use std::os::unix::ffi::OsStrExt;
    let env = TestEnv::with_project();
    let word = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    env.castra([std::ffi::OsStr::new("up"), word]).failed(2);
    env.castra([std::ffi::OsStr::new("status"), "--config".as_ref(), word]).failed(3);
}
