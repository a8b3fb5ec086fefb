//! `castra console` over a socket as QEMU has it. The guest behind it is played here: what is tested
//! is the terminal's side. Consoles of real guests are in the tests of VMs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plasmavmc_host::socket;

use crate::env::{TestEnv, eventually, wait};

/// A project and the listening end of its VM's console.
fn env() -> (TestEnv, UnixListener) {
    let env = TestEnv::with_project();
    let layout = env.layout();
    fs::create_dir_all(layout.root()).unwrap();
    let listener = socket::listen(layout.root(), "devbox.serial").unwrap();
    (env, listener)
}

fn heard(stream: &mut UnixStream, what: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    read_until(stream, what);
}

fn read_until(stream: &mut impl Read, what: &[u8]) {
    let mut got = Vec::new();
    while !got.windows(what.len()).any(|window| window == what) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {got:?}"));
        got.push(byte[0]);
    }
}

#[test]
fn a_piped_line_is_answered() {
    let (env, listener) = env();
    let guest = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        heard(&mut stream, b"uptime\n");
        stream.write_all(b"up 3 min\r\n").unwrap();
        stream
    });
    let answer = env.castra_with(["console"], b"uptime\n").succeeded();
    assert_eq!(answer.stdout, "up 3 min\r\n");
    drop(guest.join().unwrap());
}

#[test]
fn the_end_of_the_vm_is_told() {
    let (env, listener) = env();
    let guest = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"Power down.\n").unwrap();
    });
    let child = env.command(["console", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let answer = wait(child, Duration::from_secs(10)).succeeded();
    guest.join().unwrap();
    assert_eq!(answer.lines()[0]["console"], "Power down.\n");
    assert_eq!(answer.outcome()["end"], "vm_stopped");
    assert_eq!(answer.outcome()["received_bytes"], 12);
}

#[test]
fn a_second_console_is_told_of_the_first() {
    let (env, listener) = env();
    let first = env.command(["console"]).stdin(Stdio::piped()).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let error = env.castra(["console", "--json"]).failed(6).error();
    assert_eq!(error["message"], "the console of VM `devbox` is in use");
    drop(stream);
    wait(first, Duration::from_secs(10)).succeeded();
}

/// Runs a console on a terminal of its own between two looks at the terminal's mode; gives the guest's
/// end of it once bytes are carried.
fn on_a_terminal(env: &TestEnv, listener: &UnixListener) -> (Child, UnixStream) {
    let castra = env.command(["console"]);
    let words = format!("stty -g > before; {} console; stty -g > after", castra.get_program().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]);
    command.current_dir(env.project()).env("HOME", env.path().join("home")).env("SHELL", "/bin/sh");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    guest.write_all(b"ready").unwrap();
    read_until(child.stdout.as_mut().unwrap(), b"ready");
    (child, guest)
}

fn mode_is_as_before(env: &TestEnv) -> bool {
    let read = |name: &str| fs::read_to_string(env.project().join(name)).unwrap_or_default();
    eventually("the look afterwards", || !read("after").is_empty());
    read("before") == read("after")
}

#[test]
fn the_escape_key_leaves_and_the_terminal_is_as_it_was() {
    let (env, listener) = env();
    let (mut child, mut guest) = on_a_terminal(&env, &listener);
    let mut keyboard = child.stdin.take().unwrap();
    // Ctrl-C is the guest's, not ours.
    keyboard.write_all(b"ls\r\x03").unwrap();
    heard(&mut guest, b"ls\r\x03");
    keyboard.write_all(b"\x1d").unwrap();
    let answer = wait(child, Duration::from_secs(10)).succeeded();
    assert!(answer.stdout.contains("Left the console"), "{answer}");
    assert!(mode_is_as_before(&env));
}

#[test]
fn a_signal_ends_a_console_and_leaves_the_terminal_as_it_was() {
    let (env, listener) = env();
    let (mut child, mut guest) = on_a_terminal(&env, &listener);
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(b"x\r").unwrap();
    heard(&mut guest, b"x\r");
    let console = rustix::process::Pid::from_raw(peer(&guest)).unwrap();
    rustix::process::kill_process(console, rustix::process::Signal::TERM).unwrap();
    wait(child, Duration::from_secs(10));
    assert!(mode_is_as_before(&env));
}

/// The process at the other end.
fn peer(stream: &UnixStream) -> i32 {
    rustix::net::sockopt::socket_peercred(stream).unwrap().pid.as_raw_nonzero().get()
}
