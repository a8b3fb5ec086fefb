//! Manifests that are not there, not files, half-written, or full of faults: told at once, libvirt unasked.

use std::fs;
use std::process::Command;

use crate::env::{ONE, TestEnv, assert_answer};

#[test]
fn every_fault_of_a_manifest_is_shown_where_it_is() {
    let env = TestEnv::with(
        "{\n  \"vms\": {\n    \"web\": {\n      \"memory_gb\": 1.5,\n      \"vcpu\": 2,\n      \"boot\": \"efi\"\n    },\n  }\n}\n",
    );
    assert_answer!(env, "faults", env.bkt(["vm", "sync"]).ended(3));
    let error = env.bkt(["vm", "status", "--json"]).ended(3);
    env.holds("error", &error);
    assert_eq!(error.line()["error"]["faults"].as_array().unwrap().len(), 5);
    env.holds("sync", &env.bkt(["sync", "--json"]).ended(3));
}

#[test]
fn every_command_of_every_subsystem_shows_the_faults_too() {
    let env = TestEnv::with("{ \"vms\": { \"web\": 1 } }");
    for command in ["sync", "capture", "status", "drift"] {
        let answer = env.bkt([command]).ended(3);
        assert!(answer.stderr.contains("error[wrong-type]: `web` is an object"), "{command}: {answer}");
        assert!(answer.stderr.contains("manifests/vms.json:1:19"), "{command}: {answer}");
    }
}

#[test]
fn without_a_manifest_the_way_to_one_is_told() {
    let env = TestEnv::new();
    assert_answer!(env, env.bkt(["vm", "sync"]), @r"
    exit code 3
    --- stderr
    error: no `manifests/vms.json` in `$TEST/repo` or a directory above it

    hint: write one from the VMs there are with `bkt vm capture`, or name one with `--manifest PATH`
    ");
    env.bkt(["--manifest", "gone.json", "vm", "sync"]).ended(3);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let env = TestEnv::new();
    fs::create_dir(env.repo().join("dir")).unwrap();
    fs::write(env.repo().join("dir/vms.json"), ONE).unwrap();
    assert!(Command::new("mkfifo").arg(env.repo().join("fifo")).status().unwrap().success());
    fs::write(env.repo().join("large"), vec![b' '; (4 << 20) + 1]).unwrap();
    for (path, what) in [
        ("dir", "is a directory, not a file"),
        ("dir", "--manifest $TEST/repo/dir/vms.json"),
        ("fifo", "is a named pipe"),
        ("/dev/zero", "is a device"),
        ("large", "is larger than 4 MiB"),
    ] {
        let answer = env.bkt(["--manifest", path, "vm", "plan"]).ended(3);
        let what = what.replace("$TEST/repo", env.repo().to_str().unwrap());
        assert!(answer.stderr.contains(&what), "{path}: {answer}");
    }
}

#[test]
fn a_manifest_is_found_from_below() {
    let env = TestEnv::with(ONE);
    let below = env.repo().join("a/b");
    fs::create_dir_all(below.join("dumps")).unwrap();
    let mut command = env.command(["vm", "plan", "--against", "dumps", "--json"]);
    command.current_dir(&below);
    let answer = crate::env::run(command).ended(2);
    let found = env.repo().join("manifests/vms.json");
    assert_eq!(answer.line()["outcome"]["manifest"], found.to_str().unwrap());
}

#[test]
fn hostile_text_never_reaches_the_terminal() {
    let env = TestEnv::with("{ \"vms\": { \"\\u001b[2Ja\": { \"\\u001b]0;x\\u0007\": 1 } } }");
    let answer = env.bkt(["vm", "sync", "--color", "never"]).ended(3);
    assert!(!answer.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", answer.stderr);
}
