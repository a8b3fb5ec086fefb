//! What help and mistakes on the command line look like.

use crate::env::{ONE, TestEnv, assert_answer};

#[test]
fn help_lists_every_command() {
    let env = TestEnv::new();
    assert_answer!(env, "help", env.bkt(["--help"]).ended(0));
    assert_answer!(env, "help_vm", env.bkt(["vm", "--help"]).ended(0));
    assert_answer!(env, "help_vm_sync", env.bkt(["vm", "sync", "-h"]).ended(0));
}

#[test]
fn a_mistake_of_usage_is_no_pending_change() {
    let env = TestEnv::with(ONE);
    for words in [
        &["vm", "snyc"][..],
        &["vm"],
        &["vm", "start"],
        &["vm", "stop", "--all", "web"],
        &["vm", "stop", "--force", "--timeout", "5", "web"],
        &["vm", "stop", "--timeout", "0", "web"],
        &["vm", "sync", "--take-theirs", "colour"],
        &["vm", "sync", "--keep-mine", "--take-theirs", "memory"],
        &["vm", "sync", "--plan", "p.json", "--adopt"],
        &["vm", "sync", "--out", "p.json", "--dry-run"],
        &["vm", "plan", "--against", "dumps", "--connect", "qemu:///system"],
        &["--connect", "two words", "vm", "status"],
        &["schema", "bogus"],
    ] {
        env.bkt(words).ended(64);
    }
    let error = env.bkt(["vm", "snyc", "--json"]).ended(64).line();
    assert_eq!(error["error"]["kind"], "usage");
}

#[test]
fn a_mistyped_vm_is_named_with_the_one_that_was_meant() {
    let env = TestEnv::with(ONE);
    env.write("dumps/.keep", "");
    assert_answer!(env, env.bkt(["vm", "plan", "wbe", "--against", "dumps"]), @r"
    exit code 64
    --- stderr
    error: the manifest has no VM `wbe`

    hint: did you mean `web`?
    ");
}

#[test]
fn the_version_is_told() {
    let answer = TestEnv::new().bkt(["--version"]).ended(0);
    assert_eq!(answer.stdout, format!("bkt {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_place_for_state_that_is_relative_is_refused() {
    let env = TestEnv::with(ONE);
    let mut command = env.command(["vm", "status"]);
    command.env("XDG_STATE_HOME", "state");
    assert_answer!(env, crate::env::run(command), @r"
    exit code 4
    --- stderr
    error: `XDG_STATE_HOME` is `state`, which is not an absolute path

    hint: set it to an absolute path: `export XDG_STATE_HOME=/home/me`
    ");
}
