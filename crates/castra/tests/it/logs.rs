//! `castra logs` over files that are there.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};

use crate::env::{TestEnv, assert_answer};

fn env() -> TestEnv {
    let env = TestEnv::with_project();
    let layout = env.layout();
    fs::create_dir_all(layout.logs()).unwrap();
    let vm = "devbox".parse().unwrap();
    fs::write(layout.vm_log(&vm), "QEMU 10\nwarning: TCG\n").unwrap();
    fs::write(layout.serial_log(&vm), "one\r\n\x1b[2J\x1b]0;owned\x07two\r\nlogin: ").unwrap();
    let event =
        r#"{"seq":1,"at":"2026-01-01T00:00:00.000Z","vm":"devbox","event":"VmReady","elapsed_ms":2700}"#;
    fs::write(layout.events_log(), format!("{event}\n")).unwrap();
    env
}

#[test]
fn lines_say_where_they_come_from_and_drive_no_terminal() {
    let env = env();
    assert_answer!(env, env.castra(["logs"]), @r"
    exit code 0
    --- stdout
    [host] 2026-01-01T00:00:00.000Z devbox: up after 2.7 s
    [devbox:qemu] QEMU 10
    [devbox:qemu] warning: TCG
    [devbox:serial] one
    [devbox:serial] two
    [devbox:serial] login:
    ");
}

#[test]
fn a_tail_and_a_source_narrow_what_is_shown() {
    let env = env();
    let answer = env.castra(["logs", "devbox", "--source", "serial,qemu", "--tail", "1"]).succeeded();
    assert_eq!(answer.stdout, "[devbox:qemu] warning: TCG\n[devbox:serial] login:\n");
}

#[test]
fn raw_is_what_was_written() {
    let env = env();
    let answer = env.castra(["logs", "--raw", "--source", "serial"]).succeeded();
    assert_eq!(answer.stdout, "one\r\n\x1b[2J\x1b]0;owned\x07two\r\nlogin: \n");
}

#[test]
fn a_project_that_never_ran_has_no_logs_and_says_so() {
    let env = TestEnv::with_project();
    let answer = env.castra(["logs"]).succeeded();
    assert_eq!(answer.stdout, "");
    assert!(answer.stderr.starts_with("note: there are no logs yet\n"), "{}", answer.stderr);
}

#[test]
fn what_comes_is_followed_until_nobody_reads() {
    let env = env();
    let path = env.layout().serial_log(&"devbox".parse().unwrap());
    let mut child = env.command(["logs", "-f", "--tail", "1", "--source", "serial"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "[devbox:serial] login:\n");
    let mut log = File::options().append(true).open(&path).unwrap();
    log.write_all(b"root\r\n").unwrap();
    assert_eq!(next(), "[devbox:serial] root\n");
    // Another run begins its log anew.
    fs::write(&path, "boot\n").unwrap();
    assert_eq!(next(), "[devbox:serial] boot\n");
    drop(lines);
    let mut log = File::options().append(true).open(&path).unwrap();
    log.write_all(b"unread\n").unwrap();
    crate::env::wait(child, std::time::Duration::from_secs(10)).succeeded();
}
