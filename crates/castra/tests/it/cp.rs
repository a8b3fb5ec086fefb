//! `castra cp`: whole files, whole trees, and nothing half anywhere.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::agent_lab::AgentLab;
use crate::env::{TestEnv, assert_answer, eventually, wait};

const BOUND: Duration = Duration::from_secs(60);

fn write(path: &Path, bytes: &[u8], mode: u32, modified_s: u64) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(modified_s);
    File::options().write(true).open(path).or_else(|_| File::open(path)).unwrap().set_modified(time).unwrap();
}

fn facts(path: &Path) -> (u32, i64, u64) {
    let meta = path.symlink_metadata().unwrap();
    (meta.mode() & 0o7777, meta.mtime(), meta.len())
}

#[test]
fn a_file_is_the_same_there_and_back() {
    let lab = AgentLab::new();
    let bytes: Vec<u8> =
        (0..64 << 20_u32).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (here, back) = (lab.env.project().join("big"), lab.env.project().join("back"));
    write(&here, &bytes, 0o640, 1_000_000_000);
    lab.run(&["cp", "big", &lab.at("")]).succeeded();
    let there = lab.guest().join("big");
    assert_eq!(facts(&there), facts(&here));
    assert!(fs::read(&there).unwrap() == bytes, "the bytes differ there");
    lab.run(&["cp", &lab.at("big"), "back"]).succeeded();
    assert_eq!(facts(&back), facts(&here));
    assert!(fs::read(&back).unwrap() == bytes, "the bytes differ here");
}

#[test]
fn holes_stay_holes_there_and_back() {
    const LENGTH: u64 = 1 << 30;
    let lab = AgentLab::new();
    let file = File::create(lab.env.project().join("disk")).unwrap();
    file.set_len(LENGTH).unwrap();
    file.write_all_at(b"middle", LENGTH / 2).unwrap();
    let outcome = lab.run(&["cp", "--json", "disk", &lab.at("disk")]).succeeded().outcome();
    assert_eq!(outcome["bytes"], LENGTH);
    lab.run(&["cp", &lab.at("disk"), "back"]).succeeded();
    for path in [lab.guest().join("disk"), lab.env.project().join("back")] {
        let meta = path.metadata().unwrap();
        assert!(meta.len() == LENGTH && meta.blocks() * 512 < 1 << 20, "{meta:?}");
        let mut middle = [0; 7];
        File::open(path).unwrap().read_exact_at(&mut middle, LENGTH / 2).unwrap();
        assert_eq!(&middle, b"middle\0");
    }
}

/// A tree with everything a tree may have; gives what is in it.
fn tree(root: &Path) -> Vec<String> {
    fs::create_dir_all(root.join("sub/deeper")).unwrap();
    write(&root.join("run.sh"), b"#!/bin/sh\n", 0o755, 1_100_000_000);
    write(&root.join("sub/secret"), b"", 0o400, 1_200_000_000);
    write(&root.join("sub/deeper/n\u{f6}te \"1\""), b"x", 0o644, 1_300_000_000);
    symlink("../run.sh", root.join("sub/link")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    fs::set_permissions(root.join("sub/deeper"), fs::Permissions::from_mode(0o700)).unwrap();
    TestEnv::tree(root)
}

#[test]
fn a_directory_is_copied_with_all_that_is_in_it() {
    let lab = AgentLab::new();
    let here = lab.env.project().join("site");
    let names = tree(&here);
    let answer = lab.run(&["cp", "--json", "site", &lab.at("")]).succeeded();
    lab.env.holds("cp", &answer);
    let outcome = answer.outcome();
    assert_eq!(
        (&outcome["files"], &outcome["directories"], &outcome["links"]),
        (&3.into(), &3.into(), &2.into()),
        "{outcome}"
    );
    lab.run(&["cp", &lab.at("site"), "back"]).succeeded();
    for copy in [lab.guest().join("site"), lab.env.project().join("back")] {
        assert_eq!(TestEnv::tree(&copy), names);
        for name in ["run.sh", "sub/secret", "sub/deeper/n\u{f6}te \"1\""] {
            assert_eq!(facts(&copy.join(name)), facts(&here.join(name)), "{name}");
        }
        assert_eq!(fs::read_link(copy.join("sub/link")).unwrap(), Path::new("../run.sh"));
        assert_eq!(fs::read_link(copy.join("outside")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(copy.join("sub/deeper").metadata().unwrap().mode() & 0o777, 0o700);
    }
}

#[test]
fn where_things_go_is_as_with_any_cp() {
    let lab = AgentLab::new();
    for name in ["a", "b"] {
        lab.env.write(name, name);
    }
    lab.run(&["cp", "a", "b", &lab.at("new/")]).succeeded();
    lab.run(&["cp", "a", &lab.at("new/renamed")]).succeeded();
    lab.run(&["cp", "a", &lab.at("new/b")]).succeeded();
    assert_eq!(AgentLab::names(&lab.guest()), ["new", "new/a", "new/b", "new/renamed"]);
    assert_eq!(fs::read(lab.guest().join("new/b")).unwrap(), b"a", "what was there is replaced");
    lab.run(&["cp", &lab.at("new/a"), &lab.at("new/b"), "into/"]).succeeded();
    lab.run(&["cp", &lab.at("new/."), "into"]).succeeded();
    assert_eq!(TestEnv::tree(&lab.env.project().join("into")), ["a", "b", "renamed"]);
    lab.run(&["cp", "a", &lab.at("none/a")]).failed(2);
    lab.run(&["cp", &lab.at("none"), "x"]).failed(2);
    assert_answer!(lab.env, lab.run(&["cp", "a", "b", &lab.at("nowhere")]).failed(2), @r"
    exit code 2
    --- stderr
    error: `devbox:$TEST/guest/nowhere` is no directory, so only one file can be copied there

    hint: a destination that ends in `/` is a directory, and made where it is missing
    ");
    assert_answer!(lab.env, lab.run(&["cp", "a", "b"]).failed(2), @r"
    exit code 2
    --- stderr
    error: neither side of the copy is in a VM

    hint: write the one in a VM as `<vm>:<path>`: `castra cp notes.txt web:/root/`
    ");
}

#[test]
fn a_copy_is_told_in_a_sentence() {
    let lab = AgentLab::new();
    lab.env.write("site/a", "12345");
    let answer = lab.run(&["cp", "site", &lab.at("")]).succeeded();
    let said = answer.stdout.split(" in ").next().unwrap();
    assert_eq!(said, "Copied 1 file and 1 directory (5 B) to VM `devbox`", "{answer}");
}

#[test]
fn streams_are_copied_as_files() {
    let lab = AgentLab::new();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    lab.env.castra_with(["cp", "-", &lab.at("from-input")], &bytes).succeeded();
    assert!(fs::read(lab.guest().join("from-input")).unwrap() == bytes);
    let mut child = lab.env.command(["cp", &lab.at("from-input"), "-"]).spawn().unwrap();
    let mut got = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut got).unwrap();
    assert!(child.wait().unwrap().success() && got == bytes);
    lab.env.castra_with(["cp", "-", &lab.at("")], b"x").failed(2);
}

#[test]
fn a_copy_into_a_guest_that_is_interrupted_leaves_nothing() {
    let lab = AgentLab::new();
    fs::write(lab.guest().join("file"), "old").unwrap();
    for signal in [Signal::INT, Signal::KILL] {
        let mut child = lab.env.command(["cp", "-", &lab.at("file")]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[1; 200_000]).unwrap();
        eventually("the unfinished file", || AgentLab::names(&lab.guest()).len() == 2);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let answer = wait(child, BOUND);
        assert_eq!((answer.code, answer.stderr.as_str()), (None, ""), "{answer}");
        eventually("the end of it", || AgentLab::names(&lab.guest()) == ["file"]);
        assert_eq!(fs::read(lab.guest().join("file")).unwrap(), b"old");
    }
}

#[test]
fn a_copy_out_of_a_guest_that_is_interrupted_leaves_nothing() {
    let lab = AgentLab::new();
    fs::write(lab.guest().join("big"), vec![1; 256 << 20]).unwrap();
    let into = lab.env.project().join("into");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("big"), "old").unwrap();
    let child = lab.env.command(["cp", &lab.at("big"), "into"]).spawn().unwrap();
    eventually("the unfinished file", || AgentLab::names(&into).len() == 2);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let answer = wait(child, BOUND);
    assert_eq!((answer.code, answer.stderr.as_str()), (None, ""), "{answer}");
    assert_eq!(AgentLab::names(&into), ["big"]);
    assert_eq!(fs::read(into.join("big")).unwrap(), b"old");
}

#[test]
fn nothing_is_written_through_a_link_that_is_in_the_way() {
    let lab = AgentLab::new();
    let outside = lab.env.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let into = lab.env.project().join("into");
    // An earlier copy brought a link; now the guest says that it is a directory.
    fs::create_dir_all(into.join("site")).unwrap();
    symlink(&outside, into.join("site/data")).unwrap();
    fs::create_dir_all(lab.guest().join("site/data")).unwrap();
    fs::write(lab.guest().join("site/data/evil"), "x").unwrap();
    lab.run(&["cp", &lab.at("site"), "into"]).failed(9);
    assert!(AgentLab::names(&outside).is_empty());
}

#[test]
fn what_would_run_as_another_user_loses_that_right() {
    let lab = AgentLab::new();
    write(&lab.guest().join("tool"), b"", 0o6755, 1);
    lab.run(&["cp", &lab.at("tool"), "."]).succeeded();
    assert_eq!(facts(&lab.env.project().join("tool")).0, 0o755);
}

#[test]
fn what_cannot_be_copied_is_left_out_and_told() {
    let lab = AgentLab::new();
    fs::create_dir(lab.guest().join("run")).unwrap();
    fs::write(lab.guest().join("run/pid"), "1").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(lab.guest().join("run/socket")).unwrap();
    let answer = lab.run(&["cp", &lab.at("run"), "."]).succeeded();
    assert!(answer.stderr.contains("run/socket` is neither a file, a directory nor a link"), "{answer}");
    assert_eq!(TestEnv::tree(&lab.env.project().join("run")), ["pid"]);
}
