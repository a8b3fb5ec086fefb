//! What help and mistakes on the command line look like.

use crate::env::{TestEnv, assert_answer};

#[test]
fn help_lists_every_command() {
    let env = TestEnv::new();
    assert_answer!(env, "help", env.castra(["--help"]).succeeded());
}

#[test]
fn help_of_a_command_ends_with_examples() {
    let env = TestEnv::new();
    assert_answer!(env, "help_down", env.castra(["down", "-h"]).succeeded());
}

#[test]
fn a_mistyped_command_is_a_mistake_of_usage_with_advice() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["statsu"]), @r"
    exit code 2
    --- stderr
    error: unrecognized subcommand 'statsu'

      tip: a similar subcommand exists: 'status'

    Usage: castra [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn programs_are_told_of_mistakes_in_json() {
    let env = TestEnv::new();
    let error = env.castra(["statsu", "--json"]).failed(2).error();
    assert_eq!(error["kind"], "usage");
    assert!(error["message"].as_str().unwrap().contains("statsu"), "{error}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let env = TestEnv::new();
    for words in [
        &["status", "--workspace", "a-0123456789ab", "--config", "castra.toml"][..],
        &["status", "--workspace", "a-0123456789ab", "--skip-discovery"],
        &["status", "-v", "-q"],
        &["clean", "--global", "--workspace"],
        &["logs", "--raw", "--json"],
        &["up", "--timeout", "0"],
        &["up", "--wait", "forever"],
        &["image", "rm"],
    ] {
        env.castra(words).failed(2);
    }
}

#[test]
fn the_version_is_told() {
    let answer = TestEnv::new().castra(["--version"]).succeeded();
    assert_eq!(answer.stdout, format!("castra {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_home_directory_nothing_works_and_the_reason_is_told() {
    let env = TestEnv::new();
    let mut command = env.command(["status"]);
    command.env("CASTRA_HOME", "relative/place");
    let answer = crate::env::wait(command.spawn().unwrap(), std::time::Duration::from_secs(10));
    assert_answer!(env, answer, @r"
    exit code 4
    --- stderr
    error: `CASTRA_HOME` is `relative/place`, which is not an absolute path

    hint: set it to an absolute path: `export CASTRA_HOME=/var/lib/castra`
    ");
}
