//! `castra exec` and `castra shell`: what a program has here, it has there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use castra_testkit::throughout;
use rustix::process::{Pid, Signal, kill_process};

use crate::agent_lab::AgentLab;
use crate::env::{TestEnv, assert_answer, eventually, wait};

const BOUND: Duration = Duration::from_secs(20);

/// Bytes of every value, many of them.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + n / 256) as u8).collect()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether a signal was sent to a process that did not take it yet.
fn is_pending(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:\t")).unwrap();
    u64::from_str_radix(mask, 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

/// Reads a line of what a program says.
pub(crate) fn line(child: &mut Child) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with('\n') {
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text.trim().to_owned()
}

#[test]
fn exit_codes_pass_and_castras_own_are_told_apart() {
    let lab = AgentLab::new();
    for (words, code) in [
        (&["true"][..], 0),
        (&["--", "sh", "-c", "exit 7"], 7),
        (&["devbox", "--", "sh", "-c", "exit 255"], 255),
        (&["devbox", "false"], 1),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--", "no-such-program"], 127),
        (&["--cwd", "/no/such/directory", "--", "true"], 127),
        (&["--", "/etc/passwd"], 126),
        (&["devbox"], 125),
        (&["other", "--", "true"], 125),
        (&["--user", "no-such-user", "--", "true"], 127),
    ] {
        let args: Vec<&str> = std::iter::once("exec").chain(words.iter().copied()).collect();
        let answer = lab.run(&args);
        assert_eq!(answer.code, Some(code), "{words:?}: {answer}");
    }
}

#[test]
fn a_vm_that_does_not_run_is_no_answer_of_a_program() {
    let env = TestEnv::with_project();
    assert_answer!(env, env.castra(["exec", "--", "true"]).failed(125), @r"
    exit code 125
    --- stderr
    error: VM `devbox` does not run

    hint: start it with `castra up`; `castra logs devbox` shows its last run
    ");
    let error = env.castra(["exec", "--json", "--", "true"]).failed(125).error();
    assert_eq!(error["kind"], "conflict");
}

#[test]
fn a_command_that_waits_for_a_guest_ends_with_a_signal() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    env.write("notes", "x");
    for words in ["exec --wait 600 -- true", "shell --wait 600", "cp --wait 600 notes :x"] {
        let mut child = env.command(words.split(' ')).stdin(Stdio::piped()).spawn().unwrap();
        // By then it has asked the broker, more than once.
        throughout(Duration::from_secs(1), "it waits", || child.try_wait().unwrap().is_none());
        signal(&child, Signal::INT);
        let answer = wait(child, Duration::from_secs(10));
        assert_eq!((answer.code, answer.stderr.as_str()), (None, ""), "{words}");
    }
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_guest_that_was_just_started_is_waited_for_longer_and_that_is_said() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--wait", "none"]).succeeded();
    let told = |words: &[&str]| {
        let mut child = env.command(words).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
        let waits = child.try_wait().unwrap().is_none();
        let _ = child.kill();
        child.wait().unwrap();
        (first, waits)
    };
    let (first, waits) = told(&["exec", "--", "true"]);
    assert!(waits && first.starts_with("note: the guest of VM `web` boots"), "{first}");
    let (first, _) = told(&["exec", "--wait", "1", "--", "true"]);
    assert!(first.starts_with("error: the guest of VM `web` is not reachable after"), "{first}");
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn words_that_run_nothing_are_told_with_what_to_type() {
    let lab = AgentLab::new();
    assert_answer!(lab.env, lab.run(&["exec", "devbox"]).failed(125), @r"
    exit code 125
    --- stderr
    error: there is no program to run

    hint: name one: `castra exec devbox -- uname -a`
    hint: or get a shell: `castra shell devbox`
    ");
}

#[test]
fn streams_pass_byte_for_byte_and_apart() {
    let lab = AgentLab::new();
    let sent = bytes(3_000_000);
    let script = "cat; printf '\\377\\0err' >&2; exit 3";
    let mut child =
        lab.env.command(["exec", "--", "sh", "-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let given = sent.clone();
    let writer = thread::spawn(move || stdin.write_all(&given).unwrap());
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    let mut said = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(got == sent, "{} bytes of {} came back", got.len(), sent.len());
    assert_eq!(said, b"\xff\0err");
}

#[test]
fn a_program_has_the_variables_and_the_directory_it_was_given() {
    let lab = AgentLab::new();
    let cwd = lab.guest();
    let cwd = cwd.to_str().unwrap();
    let answer = lab.run(&[
        "exec",
        "-C",
        cwd,
        "-e",
        "A=b c",
        "-e",
        "EMPTY=",
        "devbox",
        "--",
        "sh",
        "-c",
        "pwd; echo \"$A|$EMPTY\"",
    ]);
    assert_eq!(answer.succeeded().stdout, format!("{cwd}\nb c|\n"));
}

#[test]
fn a_program_without_input_reads_nothing() {
    let lab = AgentLab::new();
    assert_eq!(lab.run(&["exec", "--", "wc", "-c"]).succeeded().stdout.trim(), "0");
}

#[test]
fn programs_get_lines_of_json() {
    let lab = AgentLab::new();
    let answer = lab.run(&["exec", "--json", "--", "sh", "-c", "echo out; printf '\\377' >&2; exit 4"]);
    lab.env.holds("exec", &answer);
    assert_eq!(answer.code, Some(4));
    let lines = answer.lines();
    assert!(lines.iter().any(|line| line["output"]["text"] == "out\n"), "{answer}");
    assert!(lines.iter().any(|line| line["output"]["hex"] == "ff"), "{answer}");
    assert_eq!((&answer.outcome()["code"], &answer.outcome()["exit_code"]), (&4.into(), &4.into()));
}

#[test]
fn two_programs_at_once_do_not_wait_for_each_other() {
    let lab = AgentLab::new();
    let fifo = lab.guest().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    let reader = lab.env.command(["exec", "--", "cat", fifo]).spawn().unwrap();
    lab.run(&["exec", "--", "sh", "-c", &format!("echo met > {fifo}")]).succeeded();
    assert_eq!(wait(reader, BOUND).succeeded().stdout, "met\n");
}

#[test]
fn a_signal_goes_to_the_program_and_its_answer_comes_back() {
    let lab = AgentLab::new();
    let script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = lab.env.command(["exec", "--", "sh", "-c", script]).spawn().unwrap();
    assert_eq!(line(&mut child), "ready");
    signal(&child, Signal::TERM);
    let answer = wait(child, BOUND);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(9), "got\n"), "{answer}");
}

/// A program that says its number and goes on for ever.
fn immortal(lab: &AgentLab, words: &str) -> (Child, u32) {
    let script = format!("{words}; echo $$; while :; do sleep 0.05; done");
    let mut child = lab.env.command(["exec", "--", "sh", "-c", &script]).spawn().unwrap();
    let pid = line(&mut child).parse().unwrap();
    (child, pid)
}

fn ends(pid: u32) {
    eventually("the program's end", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_program_that_ignores_signals_is_left_at_the_third_and_ended() {
    let lab = AgentLab::new();
    let (child, pid) = immortal(&lab, "trap '' INT TERM");
    for _ in 0..3 {
        signal(&child, Signal::INT);
        // Signals of one kind that come at once are one.
        eventually("its delivery", || !is_pending(child.id(), Signal::INT));
    }
    assert_eq!(wait(child, BOUND).code, None, "it ends as the signal would have ended it");
    ends(pid);
}

#[test]
fn a_program_ends_with_the_command_that_ran_it() {
    let lab = AgentLab::new();
    let (mut child, pid) = immortal(&lab, "trap '' INT TERM HUP");
    child.kill().unwrap();
    child.wait().unwrap();
    ends(pid);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_program_quietly() {
    let lab = AgentLab::new();
    let mut child = lab.env.command(["exec", "--", "yes"]).spawn().unwrap();
    assert_eq!(line(&mut child), "y");
    drop(child.stdout.take());
    let answer = wait(child, BOUND).succeeded();
    assert_eq!(answer.stderr, "");
}

/// Runs a command on a terminal of its own, between two looks at the terminal's mode.
pub(crate) fn on_a_terminal(env: &TestEnv, words: &str) -> Child {
    let castra = env.command::<&str>([]);
    let program = castra.get_program().to_str().unwrap();
    let words =
        format!("stty rows 33 cols 77; stty -g > before; {program} {words}; echo code=$?; stty -g > after");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]);
    command.current_dir(env.project()).env("HOME", env.path().join("home")).env("SHELL", "/bin/sh");
    command.env("TERM", "vt220").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn mode_is_as_before(env: &TestEnv) -> bool {
    let read = |name: &str| fs::read_to_string(env.project().join(name)).unwrap_or_default();
    eventually("the look afterwards", || !read("after").is_empty());
    read("before") == read("after")
}

#[test]
fn on_a_terminal_the_program_has_one_of_the_same_size_and_kind() {
    let lab = AgentLab::new();
    let child = on_a_terminal(&lab.env, "exec -- sh -c 'stty size; echo $TERM; exit 5'");
    let answer = wait(child, BOUND).succeeded();
    assert!(answer.stdout.contains("33 77\r\nvt220\r\n"), "{answer}");
    assert!(answer.stdout.contains("code=5"), "{answer}");
    assert!(mode_is_as_before(&lab.env));
}

#[test]
fn ctrl_c_on_a_terminal_is_the_programs() {
    let lab = AgentLab::new();
    let script = "trap \"echo got; exit 6\" INT; echo ready; while :; do sleep 0.05; done";
    let mut child = on_a_terminal(&lab.env, &format!("exec -- sh -c '{script}'"));
    while line(&mut child) != "ready" {}
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let answer = wait(child, BOUND).succeeded();
    assert!(answer.stdout.contains("got\r\n") && answer.stdout.contains("code=6"), "{answer}");
    assert!(mode_is_as_before(&lab.env));
}

#[test]
fn a_program_that_does_not_answer_is_left_from_a_terminal() {
    let lab = AgentLab::new();
    let script = "stty raw; echo ready; exec sleep 600";
    let mut child = on_a_terminal(&lab.env, &format!("exec -- sh -c '{script}'"));
    while line(&mut child) != "ready" {}
    child.stdin.as_mut().unwrap().write_all(b"\x03\r~.").unwrap();
    let answer = wait(child, BOUND).succeeded();
    assert!(answer.stdout.contains("interrupted") && answer.stdout.contains("code=125"), "{answer}");
    assert!(mode_is_as_before(&lab.env));
}

#[test]
fn a_shell_on_a_terminal_is_one_of_a_login() {
    let lab = AgentLab::new();
    let mut child = on_a_terminal(&lab.env, "shell");
    child.stdin.as_mut().unwrap().write_all(b"echo shell=$0; tty; exit 4\n").unwrap();
    let answer = wait(child, BOUND).succeeded();
    assert!(answer.stdout.contains("shell=-"), "{answer}");
    assert!(answer.stdout.contains("/dev/pts/") && answer.stdout.contains("code=4"), "{answer}");
    assert!(mode_is_as_before(&lab.env));
}

#[test]
fn a_shell_takes_its_words_from_a_pipe() {
    let lab = AgentLab::new();
    let answer = lab.env.castra_with(["shell", "devbox"], b"echo $((6 * 7))\nexit 3\n");
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(3), "42\n"), "{answer}");
}
