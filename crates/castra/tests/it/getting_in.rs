//! `castra exec`, `cp` and `bus` on real Linux guests with Castra's agent: what the played guest of
//! `agent_lab` cannot show.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::broker::{broker, row};
use crate::env::{Answer, TestEnv, assert_answer, wait};
use crate::exec::{line, on_a_terminal};
use crate::guests::{self, BOUND};

/// A project whose VM boots the tiny guest with a memory that holds what is copied there.
fn linux() -> TestEnv {
    let env = guests::linux("512 MiB", "");
    // Whoever comes early waits for the guest.
    in_guest(&env, "true").succeeded();
    env
}

fn in_guest(env: &TestEnv, script: &str) -> Answer {
    env.castra(["exec", "--wait", "120", "web", "--", "sh", "-c", script])
}

#[test]
fn programs_and_files_need_no_network() {
    let env = linux();
    assert_eq!(in_guest(&env, "exit 7").code, Some(7));
    assert_eq!(in_guest(&env, "kill -15 $$").code, Some(143));
    assert_eq!(env.castra(["exec", "web", "no-such-program"]).code, Some(127));
    in_guest(&env, "ip link set eth0 down").succeeded();
    assert_eq!(in_guest(&env, "cat /sys/class/net/eth0/operstate").stdout, "down\n");

    let bytes: Vec<u8> =
        (0..64 << 20_u32).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    env.write("big", &bytes);
    let sparse = fs::File::create(env.project().join("sparse")).unwrap();
    sparse.set_len(4 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (4 << 30) - 3).unwrap();
    env.run(&["cp", "big", "sparse", "web:/root/"]).succeeded();
    assert_eq!(in_guest(&env, "stat -c %s /root/sparse").stdout, format!("{}\n", 4_u64 << 30));
    env.run(&["cp", "web:/root/big", "web:/root/sparse", "back/"]).succeeded();
    assert!(fs::read(env.project().join("back/big")).unwrap() == bytes);
    let meta = env.project().join("back/sparse").metadata().unwrap();
    let disk = std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
    assert!(meta.len() == 4 << 30 && disk < 1 << 20, "{disk} bytes on the disk");

    let input = env.castra_with(["exec", "web", "--", "md5sum"], b"word");
    assert_eq!(input.succeeded().stdout, "c47d187067c6cf953245f128b5fde62a  -\n");
    in_guest(&env, "castra-agent publish --topic build done").succeeded();
    let heard = env.castra(["bus", "tail", "--json"]).succeeded();
    assert_eq!(heard.lines()[0]["bus"]["text"], "done");
    env.castra(["down", "--now"]).succeeded();
}

/// Reads what a child writes until that, byte by byte: a prompt ends no line.
fn until(child: &mut Child, end: &str) {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
}

#[test]
fn programs_and_shells_in_a_guest_hear_ctrl_c() {
    let env = linux();
    // Without a shell, which has ideas of its own.
    let words = ["exec", "web", "--", "grep", "SigIgn", "/proc/self/status"];
    let told = env.castra(words).succeeded().stdout;
    let ignored = u64::from_str_radix(told.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & 0b110, 0, "INT and QUIT: {told}");

    let mut child = on_a_terminal(&env, "shell web");
    child.stdin.as_mut().unwrap().write_all(b"echo rea''dy; sleep 600\n").unwrap();
    while line(&mut child) != "ready" {}
    // Each waits for the prompt: a shell throws away what was typed while it set up its terminal.
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    until(&mut child, "# ");
    // At a prompt it is no end of the session either.
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    until(&mut child, "# ");
    child.stdin.as_mut().unwrap().write_all(b"echo st''ill; exit 6\n").unwrap();
    let answer = wait(child, BOUND).succeeded();
    assert!(answer.stdout.contains("still\r\n") && answer.stdout.contains("code=6"), "{answer}");
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_broker_that_dies_costs_what_ran_and_the_next_command_brings_another() {
    let env = linux();
    let layout = env.layout();
    let ran = env.spawn(&["exec", "web", "--", "sh", "-c", "echo $$ > /tmp/ran; sleep 600"]);
    crate::env::eventually("the program", || in_guest(&env, "test -s /tmp/ran").code == Some(0));
    broker(&layout).signal(Signal::KILL).unwrap();
    assert_answer!(env, wait(ran, BOUND).failed(125), @r"
    exit code 125
    --- stderr
    error: the broker ended the connection

    hint: run the command again: it starts another broker where VMs run
    ");
    assert_eq!(in_guest(&env, "echo again").succeeded().stdout, "again\n");
    // A new session begins from nothing: what ran for the old one was ended.
    crate::env::eventually("the end of what ran", || {
        in_guest(&env, "kill -0 $(cat /tmp/ran) 2>/dev/null").code == Some(1)
    });
    assert_eq!(row(&env, "web")["reachable"], Value::Bool(true));
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_guest_that_restarts_under_a_program_is_told() {
    let env = linux();
    let begun = Instant::now();
    let ran =
        env.spawn(&["exec", "web", "--", "sh", "-c", "sleep 1; echo b > /proc/sysrq-trigger; sleep 600"]);
    let answer = wait(ran, BOUND).failed(125);
    assert!(answer.stderr.contains("the guest of VM `web` went away"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(30), "told after {:?}", begun.elapsed());
    assert_eq!(in_guest(&env, "echo back").succeeded().stdout, "back\n");
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_message_for_a_guest_that_still_boots_waits_for_it_as_exec_does() {
    let env = guests::linux("256 MiB", "");
    // It boots no further than this until somebody was told that it is waited for.
    let qemu = env.signal_qemu(Signal::STOP);
    let mut publish = env.spawn(&["bus", "publish", "--topic", "deploy", "v2"]);
    let (mut told, mut note) = (BufReader::new(publish.stderr.take().unwrap()), String::new());
    told.read_line(&mut note).unwrap();
    assert!(note.starts_with("note: the guest of VM `web` boots: it is waited for"), "{note}");
    qemu.signal(Signal::CONT).unwrap();
    wait(publish, BOUND).succeeded();
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_copy_from_a_vm_that_froze_just_now_fails_soon_and_says_so() {
    let env = linux();
    // While its last answer is young, the broker still lets commands in.
    let qemu = env.signal_qemu(Signal::STOP);
    let begun = Instant::now();
    let copy = env.run(&["cp", "web:/etc/hostname", "."]).failed(8);
    assert!(copy.stderr.contains("VM `web` is frozen: its guest said nothing for 5 s"), "{copy}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    qemu.signal(Signal::CONT).unwrap();
    in_guest(&env, "true").succeeded();
    env.castra(["down", "--now"]).succeeded();
}
